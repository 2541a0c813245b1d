//! The host and its storage against bare SQLite doing the same row work, a bare file, and the bare check of a signature.

use std::{
    cell::Cell,
    fs::{File, OpenOptions},
    hint::black_box,
    io::Write as _,
    path::Path,
};

use deedbox::{
    host::{Admitted, Config, Host, MemoryStorage, Method, Rate, Request, SqliteStorage},
    parts::{
        host::{proof::Claims as Proof, wire::CreateBody},
        model::{CapabilityId, DatasetId, ObjectId, Seq, StoreId, Timestamp},
        store::{
            Commit, CommitOutcome, Cursor, HeadHash, KEPT_HEADS, Limit, Mode, NewStore, Page, Part, Put, Quota, Storage,
        },
    },
};
use deedbox_cbor::Writer;
use deedbox_cose::{LocalSigner, Signer as _};
use deedbox_crypto::{hash::sha256, secret::SecretBytes, sign::SigningKey};
use deedbox_testkit::rng::SeededRng;
use pollster::block_on;
use rusqlite::{Connection, params};

use crate::{Claims, Goal};

const D: DatasetId = DatasetId::from_bytes([0xd1; 16]);
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const WHOLE: Limit = Limit { rows: u32::MAX, bytes: u64::MAX };

pub(crate) fn measure(claims: &mut Claims) {
    let Ok(folder) = tempfile::tempdir() else { return };
    let Ok(storage) = SqliteStorage::open(folder.path().join("stores"), folder.path().join("shares")) else { return };
    commits(claims, &storage, folder.path());
    rows(claims, &storage, folder.path());
    writers(claims, &storage);
    call(claims);
}

/// A store that is written to: the next head's number is counted.
struct Store<'a> {
    storage: &'a SqliteStorage,
    id: StoreId,
    seq: Cell<u64>,
}

impl<'a> Store<'a> {
    fn new(storage: &'a SqliteStorage, id: u8) -> Self {
        let (id, quota) = (StoreId::from_bytes([id; 16]), Quota::default());
        let new = NewStore { header: b"header", header_version: 1, owner: None, quota: &quota };
        assert!(block_on(storage.create(id, &new)).is_ok());
        Self { storage, id, seq: Cell::new(0) }
    }

    /// Writes these objects under the next head.
    fn write(&self, bodies: &[(ObjectId, [u8; 400])]) {
        let at = self.seq.get() + 1;
        self.seq.set(at);
        let Some(seq) = Seq::new(at) else { return };
        let put = |(object, body): &'_ (ObjectId, [u8; 400])| (*object, *body);
        let held: Vec<_> = bodies.iter().map(put).collect();
        let puts: Vec<_> =
            held.iter().map(|(object, body)| Put { object: *object, seq, kind: 1, body_hash: [7; 32], body }).collect();
        let expect = (at > 1).then(|| hash(at - 1));
        let part = Part {
            dataset: D,
            expect,
            seq,
            hash: hash(at),
            head: &[5; 300],
            mode: Mode::Next,
            puts: &puts,
            removes: &[],
        };
        let commit = Commit { parts: &[part], mail: &[], header: None, quota: &Quota::default() };
        assert!(matches!(block_on(self.storage.commit(self.id, &commit)), Ok(CommitOutcome::Done)));
    }

    /// Its file once more, under another name, as bare SQLite opens it.
    fn copy(&self, folder: &Path) -> Option<Connection> {
        let hex = self.id.to_string();
        let file = folder.join("stores/stores").join(hex.get(..2)?).join(&hex).join("store.sqlite");
        let copy = folder.join(format!("{hex}.sqlite"));
        // a back-up is whole whatever is in the log
        Connection::open(file).ok()?.execute("VACUUM INTO ?", [copy.to_str()?]).ok()?;
        let db = Connection::open(copy).ok()?;
        db.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY;",
        )
        .ok()?;
        Some(db)
    }
}

fn hash(n: u64) -> HeadHash {
    let mut hash = [1; 32];
    for (to, from) in hash.iter_mut().zip(n.to_be_bytes()) {
        *to = from;
    }
    HeadHash(hash)
}

fn object(n: u64) -> ObjectId {
    let mut id = [0; 16];
    for (to, from) in id.iter_mut().zip(n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()) {
        *to = from;
    }
    ObjectId::from_bytes(id)
}

fn bodies(count: u64) -> Vec<(ObjectId, [u8; 400])> {
    (0..count).map(|n| (object(n), [6; 400])).collect()
}

/// What a commit does to rows, as anybody would write it by hand: one transaction.
fn bare(db: &Connection, at: u64, bodies: &[(ObjectId, [u8; 400])]) -> rusqlite::Result<()> {
    let (d, seq, hash) = (D.as_bytes(), i64::try_from(at).unwrap_or(0), hash(at).0);
    db.execute_batch("BEGIN IMMEDIATE")?;
    let held: Option<i64> =
        db.prepare_cached("SELECT seq FROM head WHERE ds = ?")?.query_row([d], |row| row.get(0)).ok();
    {
        let mut put = db.prepare_cached(
            "INSERT INTO object (ds, id, seq, kind, hash, body) VALUES (?, ?, ?, 1, ?, ?) ON CONFLICT (ds, id)
             DO UPDATE SET seq = excluded.seq, hash = excluded.hash, body = excluded.body",
        )?;
        for (object, body) in bodies {
            put.execute(params![d, object.as_bytes(), seq, [7_u8; 32], body])?;
        }
    }
    match held {
        Some(_) => {
            db.prepare_cached("UPDATE head SET seq = ?, hash = ? WHERE ds = ?")?.execute(params![seq, hash, d])?
        }
        None => db
            .prepare_cached("INSERT INTO head (seq, hash, ds, compacted) VALUES (?, ?, ?, 0)")?
            .execute(params![seq, hash, d])?,
    };
    db.prepare_cached("INSERT INTO heads (ds, seq, hash, body) VALUES (?, ?, ?, ?)")?.execute(params![
        d,
        seq,
        hash,
        [5_u8; 300]
    ])?;
    db.prepare_cached("DELETE FROM heads WHERE ds = ? AND seq <= ?")?.execute(params![d, seq - KEPT_HEADS as i64])?;
    for class in [2, 3] {
        db.prepare_cached("UPDATE total SET count = count + 1, bytes = bytes + 400 WHERE class = ?")?
            .execute([class])?;
    }
    db.execute_batch("COMMIT")
}

fn commits(claims: &mut Claims, storage: &SqliteStorage, folder: &Path) {
    let one = bodies(1);
    let store = Store::new(storage, 1);
    store.write(&one);
    let Some(db) = store.copy(folder) else { return };
    let at = Cell::new(store.seq.get());
    let next = || {
        at.set(at.get() + 1);
        at.get()
    };
    claims.claim(
        "store: commit of one / bare transaction",
        Goal::AtMost(1.25),
        || store.write(&one),
        || assert!(bare(&db, next(), &one).is_ok()),
    );
    let Ok(mut file) = OpenOptions::new().create(true).append(true).open(folder.join("appended")) else { return };
    let append = |file: &mut File| file.write_all(&[6; 400]).and_then(|()| file.sync_data());
    claims.claim(
        "store: commit of one / append and fdatasync",
        Goal::AtMost(2.0),
        || store.write(&one),
        || assert!(append(&mut file).is_ok()),
    );
    let many = bodies(4_500);
    let store = Store::new(storage, 2);
    store.write(&many);
    let Some(db) = store.copy(folder) else { return };
    claims.claim(
        "store: commit of 4,500 / bare inserts",
        Goal::AtMost(1.5),
        || store.write(&many),
        || assert!(bare(&db, next(), &many).is_ok()),
    );
}

fn rows(claims: &mut Claims, storage: &SqliteStorage, folder: &Path) {
    let store = Store::new(storage, 3);
    store.write(&bodies(4_500));
    let Some(db) = store.copy(folder) else { return };
    let ids: Vec<ObjectId> = (0..100).map(|n| object(n * 44)).collect();
    let get = || block_on(storage.get(store.id, D, &ids)).map_or(0, |snapshot| snapshot.rows.iter().flatten().count());
    let Ok(mut find) = db.prepare("SELECT seq, kind, hash, body FROM object WHERE ds = ? AND id = ?") else { return };
    let mut select = || -> rusqlite::Result<usize> {
        let mut rows = Vec::new();
        db.execute_batch("BEGIN")?;
        for id in &ids {
            rows.push(find.query_row(params![D.as_bytes(), id.as_bytes()], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, u8>(1)?, row.get::<_, [u8; 32]>(2)?, row.get::<_, Vec<u8>>(3)?))
            })?);
        }
        db.execute_batch("COMMIT")?;
        Ok(black_box(rows).len())
    };
    assert_eq!((get(), select().ok()), (100, Some(100)));
    claims.claim("store: get of 100 / bare selects", Goal::AtMost(1.25), || _ = get(), || _ = black_box(select()));
    let changes = |after| match block_on(storage.changes(store.id, D, after, WHOLE)) {
        Ok(Page::Rows { rows, .. }) => rows.len(),
        _ => 0,
    };
    let sql = "SELECT id, seq, kind, hash, body FROM object WHERE ds = ? ORDER BY seq, id";
    let Ok(mut all) = db.prepare(sql) else { return };
    let mut scan = || -> rusqlite::Result<usize> {
        let mut rows = all.query([D.as_bytes()])?;
        let mut out = Vec::new();
        while let Some(row) = rows.next()? {
            out.push((
                row.get::<_, [u8; 16]>(0)?,
                row.get::<_, i64>(1)?,
                row.get::<_, u8>(2)?,
                row.get::<_, [u8; 32]>(3)?,
                row.get::<_, Vec<u8>>(4)?,
            ));
        }
        Ok(black_box(out).len())
    };
    assert_eq!((changes(Cursor::START), scan().ok()), (4_500, Some(4_500)));
    claims.claim(
        "store: changes over 4,500 / bare select",
        Goal::AtMost(1.5),
        || _ = changes(Cursor::START),
        || _ = black_box(scan()),
    );
}

/// The same number of commits by eight threads: each to its own store, or all to one.
fn writers(claims: &mut Claims, storage: &SqliteStorage) {
    let one = bodies(1);
    let own: Vec<u8> = (10..18).collect();
    let stores: Vec<StoreId> = own.iter().map(|id| Store::new(storage, *id).id).collect();
    let shared = Store::new(storage, 20).id;
    // a dataset for each thread, so that both write the same
    let write = |store: StoreId, thread: usize, at: u64| {
        let Some(seq) = Seq::new(at) else { return };
        let puts = [Put { object: object(0), seq, kind: 1, body_hash: [7; 32], body: &one[0].1 }];
        let dataset = DatasetId::from_bytes([u8::try_from(thread).unwrap_or(0); 16]);
        let expect = (at > 1).then(|| hash(at - 1));
        let part =
            Part { dataset, expect, seq, hash: hash(at), head: b"head", mode: Mode::Next, puts: &puts, removes: &[] };
        let commit = Commit { parts: &[part], mail: &[], header: None, quota: &Quota::default() };
        assert!(matches!(block_on(storage.commit(store, &commit)), Ok(CommitOutcome::Done)));
    };
    let run = |store: &(dyn Fn(usize) -> StoreId + Sync), from: &Cell<u64>| {
        let first = from.get() + 1;
        from.set(from.get() + 4);
        std::thread::scope(|scope| {
            for thread in 0..8 {
                scope.spawn(move || (first..first + 4).for_each(|at| write(store(thread), thread, at)));
            }
        });
    };
    let (apart, together) = (Cell::new(0), Cell::new(0));
    claims.claim(
        "store: 8 writers on 8 stores / on one",
        Goal::Faster(1.5),
        || run(&|thread| stores[thread], &apart),
        || run(&|_| shared, &together),
    );
}

fn call(claims: &mut Claims) {
    let mut config = Config::default();
    config.rate = Rate { per_second: 1 << 20, burst: 1 << 30 };
    let host = Host::new(MemoryStorage::new(), || NOW, config);
    let owner = LocalSigner::generate(&mut SeededRng::new(7));
    let (s, id) = (StoreId::from_bytes([1; 16]), CapabilityId::from_bytes([2; 16]));
    let mut w = Writer::new();
    w.array(7).text("deedbox-store").uint(1).bytes(s.as_bytes()).uint(1).uint(1).array(1).uint(0).bytes(&[0; 32]);
    let Some(key) = owner.public().as_ed25519().map(|key| *key.as_bytes()) else { return };
    let new = CreateBody::new(s, w.as_slice(), id, key);
    assert!(block_on(host.create(Admitted::by_embedder(), &new)).is_ok());
    let target = format!("/v1/stores/{s}/usage");
    let request = Request {
        method: Method::Get,
        origin: "https://host.example",
        target: &target,
        body: b"",
        range: None,
        proof: None,
    };
    let Ok(proof) = Proof::new(id, request.hash(), NOW).sign(&owner) else { return };
    let request = Request { proof: Some(&proof), ..request };
    assert!(block_on(host.call(request)).is_ok());
    let signing = SigningKey::from_seed(&SecretBytes::from_bytes([3; 32]));
    let (public, message) = (signing.public(), [4; 150]);
    let signature = signing.sign(&message);
    claims.claim(
        "host: call in memory / verify and body hash",
        Goal::AtMost(2.0),
        || _ = black_box(block_on(host.call(request))),
        || {
            black_box(sha256(b""));
            assert!(black_box(public.verify(&message, &signature)).is_ok());
        },
    );
}
