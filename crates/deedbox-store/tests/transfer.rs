//! A store moves from backend to backend, whole or not at all.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::sync::atomic::{AtomicU32, Ordering};

use deedbox_model::{BlobId, DatasetId, MailboxId, ObjectId, Seq, StoreId, StoreName, Timestamp};
use deedbox_store::{
    Arrival, BLOB_PART, Commit, CommitOutcome, Cursor, HeadHash, HeaderSwap, Inventory, Limit, Mail, MemoryStorage,
    Mode, MoveError, NewStore, Page, Part, Purge, Put, Quota, RowKey, SqliteStorage, Storage, StorageError, Swap,
    Table, Transfer, copy_store, move_store, same_store,
};
use pollster::block_on;

#[path = "postgres/server.rs"]
mod server;

const S: StoreId = StoreId::from_bytes([0x51; 16]);
const T: StoreId = StoreId::from_bytes([0x52; 16]);
const D: DatasetId = DatasetId::from_bytes([0xd1; 16]);
const E: DatasetId = DatasetId::from_bytes([0xd2; 16]);
const M: MailboxId = MailboxId::from_bytes([0x31; 16]);
const ALIAS: StoreName = StoreName::from_bytes([0xaa; 16]);

fn object(n: u64) -> ObjectId {
    let mut id = [9; 16];
    id[..8].copy_from_slice(&n.to_be_bytes());
    ObjectId::from_bytes(id)
}

fn commit(storage: &impl Storage, s: StoreId, d: DatasetId, seq: u64, objects: u64, removes: &[ObjectId]) {
    let hash = |seq: u64| HeadHash([u8::try_from(seq).unwrap(); 32]);
    let at = Seq::new(seq).unwrap();
    let bodies: Vec<_> =
        (0..objects).map(|n| vec![u8::try_from(n % 251).unwrap(); usize::try_from(n % 4_000).unwrap()]).collect();
    let puts: Vec<_> = (0..objects)
        .zip(&bodies)
        .map(|(n, body)| Put { object: object(n), seq: at, kind: 3, body_hash: [8; 32], body })
        .collect();
    let head = vec![0x68; usize::try_from(seq).unwrap() * 7];
    let part = Part {
        dataset: d,
        expect: (seq > 1).then(|| hash(seq - 1)),
        seq: at,
        hash: hash(seq),
        head: &head,
        mode: Mode::Next,
        puts: &puts,
        removes,
    };
    let body = [u8::try_from(seq).unwrap(); 33];
    let (now, expires) = (Timestamp::from_secs(seq), Timestamp::from_secs(seq * 10));
    let mail = [Mail { mailbox: M, dedupe: [u8::try_from(seq).unwrap(); 16], at: now, expires, body: &body }];
    let quota = Quota::default();
    let outcome = block_on(storage.commit(s, &Commit { parts: &[part], mail: &mail, header: None, quota: &quota }));
    assert_eq!(outcome.unwrap(), CommitOutcome::Done);
}

/// Everything a store can have, with numbers that are not the first ones.
fn fill(storage: &impl Storage, s: StoreId) {
    let quota = Quota::default();
    let owner = Some((RowKey([7; 16]), b"capability".as_slice()));
    block_on(storage.create(s, &NewStore { header: b"header", header_version: 41, owner, quota: &quota })).unwrap();
    let header = Some(HeaderSwap { expect: 41, body: b"newer header" });
    let swap = Commit { parts: &[], mail: &[], header, quota: &quota };
    assert_eq!(block_on(storage.commit(s, &swap)).unwrap(), CommitOutcome::Done);
    commit(storage, s, D, 1, 2_300, &[]);
    commit(storage, s, D, 2, 10, &[object(2_000), object(2_001)]);
    commit(storage, s, D, 3, 3, &[]);
    block_on(storage.mail_ack(s, M, 2)).unwrap();
    commit(storage, s, E, 1, 0, &[]);
    for (key, versions) in [(1, 1), (2, 5)] {
        let key = RowKey([key; 16]);
        for version in 1..=versions {
            let expect = Some(version - 1).filter(|version| *version > 0);
            let swap = block_on(storage.swap_row(s, Table::Settings, key, expect, Some(&[5; 40])));
            assert_eq!(swap.unwrap(), Swap::Done(Some(version)));
        }
    }
    let length = usize::try_from(2 * BLOB_PART + 5).unwrap();
    let bytes: Vec<u8> = (0..length).map(|n| u8::try_from(n % 253).unwrap()).collect();
    for (id, length, seal) in [(1, length, true), (2, 70, false), (3, 0, true)] {
        let b = BlobId::from_bytes([id; 16]);
        let len = block_on(storage.blob_append(s, b, 0, &bytes[..length], &quota)).unwrap();
        if seal {
            block_on(storage.blob_seal(s, b, len)).unwrap();
        }
    }
    block_on(storage.share_put(s, 4, &[4; 32])).unwrap();
    block_on(storage.share_put(s, 5, &[5; 32])).unwrap();
}

fn move_all<A: Transfer, B: Transfer>(from: &A, to: &B) {
    let before = block_on(from.usage(S)).unwrap();
    let others = block_on(from.usage(T)).unwrap();
    let moved = block_on(move_store(from, to, S)).unwrap();
    assert_eq!(moved.usage, before);
    assert_eq!(block_on(from.header(S)).unwrap_err().code(), "NotFound");
    assert_eq!(block_on(from.resolve(ALIAS)).unwrap(), None);
    assert_eq!(block_on(to.resolve(ALIAS)).unwrap(), Some(S));
    assert_eq!(block_on(from.usage(T)).unwrap(), others);
    assert_eq!(block_on(move_store(from, to, S)).unwrap_err().code(), "From.NotFound");
    // the target goes on where the source was
    commit(to, S, E, 2, 1, &[]);
    let mail = block_on(to.mail_list(S, M, 0, Limit::default())).unwrap();
    assert_eq!(mail.last().map(|row| row.n), Some(before.mail.count + 2 + 1));
    let old = block_on(to.changes(S, D, Cursor::after(Seq::FIRST), Limit::default())).unwrap();
    assert!(matches!(old, Page::Resync { .. }), "a removal from before the move is forgotten");
    let swap = block_on(to.swap_row(S, Table::Settings, RowKey([2; 16]), Some(5), Some(&[5; 40])));
    assert_eq!(swap.unwrap(), Swap::Done(Some(6)));
    let back = block_on(to.swap_row(S, Table::Settings, RowKey([2; 16]), Some(6), None)).unwrap();
    assert_eq!(back, Swap::Done(None));
}

fn sqlite(folder: &std::path::Path) -> SqliteStorage {
    SqliteStorage::open(folder.join("stores"), folder.join("shares")).unwrap()
}

#[test]
fn from_sqlite_to_memory_and_back() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (from, memory, to) = (sqlite(first.path()), MemoryStorage::new(), sqlite(second.path()));
    fill(&from, S);
    fill(&from, T);
    block_on(from.set_alias(S, ALIAS, true)).unwrap();
    block_on(copy_store(&from, &to, S)).unwrap();
    block_on(same_store(&from, &to, S)).unwrap();
    block_on(to.check(S)).unwrap();
    move_all(&from, &memory);
    fill(&memory, T);
    let reference = block_on(same_store(&memory, &to, S));
    assert!(matches!(reference, Err(MoveError::Differs(_))), "the store went on after its copy was taken");
    block_on(to.purge(S, Purge::Store)).unwrap();
    block_on(copy_store(&memory, &to, S)).unwrap();
    block_on(to.check(S)).unwrap();
}

#[test]
fn from_sqlite_to_postgres_to_memory() {
    let Some(admin) = server::server() else { return };
    let databases = server::Databases::new(&admin, 2);
    let folder = tempfile::tempdir().unwrap();
    let (from, postgres, to) = (sqlite(folder.path()), databases.open(), MemoryStorage::new());
    fill(&from, S);
    fill(&from, T);
    block_on(from.set_alias(S, ALIAS, true)).unwrap();
    move_all(&from, &postgres);
    block_on(postgres.check(S)).unwrap();
    fill(&postgres, T);
    block_on(copy_store(&postgres, &to, S)).unwrap();
    block_on(move_store(&postgres, &to, S)).unwrap();
    assert_eq!(block_on(postgres.stores(None, 9)).unwrap(), [T]);
    assert_eq!(
        server::ask(
            &databases.config(0),
            "SELECT count(*) FROM deedbox.object WHERE store = '\\x51515151515151515151515151515151'"
        ),
        0
    );
}

/// A target that fails at the n-th step, or whose copy is not what was sent.
struct Failing<B> {
    inner: B,
    left: AtomicU32,
    falsify: bool,
}

macro_rules! delegate {
    ($( fn $name:ident<$lt:lifetime>($( $arg:ident: $ty:ty),*) -> $out:ty; )*) => {
        impl<B: Transfer> Storage for Failing<B> {
            $( async fn $name<$lt>(&$lt self $(, $arg: $ty)*) -> Result<$out, StorageError> {
                self.inner.$name($($arg),*).await
            } )*
        }
    };
}

delegate! {
    fn create<'a>(s: StoreId, new: &'a NewStore<'a>) -> ();
    fn resolve<'a>(name: StoreName) -> Option<StoreId>;
    fn stores<'a>(after: Option<StoreId>, limit: u32) -> Vec<StoreId>;
    fn set_alias<'a>(s: StoreId, alias: StoreName, on: bool) -> ();
    fn header<'a>(s: StoreId) -> deedbox_store::Versioned<Vec<u8>>;
    fn commit<'a>(s: StoreId, c: &'a Commit<'a>) -> CommitOutcome;
    fn heads<'a>(s: StoreId, d: DatasetId, after: Option<Seq>, limit: u32) -> Vec<deedbox_store::HeadRow>;
    fn datasets<'a>(s: StoreId) -> Vec<DatasetId>;
    fn get<'a>(s: StoreId, d: DatasetId, ids: &'a [ObjectId]) -> deedbox_store::Snapshot;
    fn changes<'a>(s: StoreId, d: DatasetId, after: Cursor, limit: Limit) -> Page;
    fn index<'a>(s: StoreId, d: DatasetId) -> deedbox_store::Index;
    fn blob_append<'a>(s: StoreId, b: BlobId, at: u64, bytes: &'a [u8], q: &'a Quota) -> u64;
    fn blob_seal<'a>(s: StoreId, b: BlobId, len: u64) -> ();
    fn blob<'a>(s: StoreId, b: BlobId) -> Option<deedbox_store::BlobRow>;
    fn blob_read<'a>(s: StoreId, b: BlobId, range: std::ops::Range<u64>) -> Vec<u8>;
    fn mail_list<'a>(s: StoreId, m: MailboxId, after: u64, limit: Limit) -> Vec<deedbox_store::MailRow>;
    fn mail_ack<'a>(s: StoreId, m: MailboxId, upto: u64) -> u64;
    fn mail_lapse<'a>(s: StoreId, now: Timestamp) -> Vec<(MailboxId, deedbox_store::Total)>;
    fn row<'a>(s: StoreId, t: Table, key: RowKey) -> Option<deedbox_store::Versioned<Vec<u8>>>;
    fn rows<'a>(s: StoreId, t: Table) -> Vec<(RowKey, deedbox_store::Versioned<Vec<u8>>)>;
    fn swap_row<'a>(s: StoreId, t: Table, key: RowKey, expect: Option<u64>, new: Option<&'a [u8]>) -> Swap;
    fn share<'a>(s: StoreId, epoch: u32) -> Option<[u8; 32]>;
    fn share_put<'a>(s: StoreId, epoch: u32, share: &'a [u8; 32]) -> ();
    fn share_drop<'a>(s: StoreId, epoch: u32) -> ();
    fn purge<'a>(s: StoreId, what: Purge<'a>) -> deedbox_store::Purged;
    fn check<'a>(s: StoreId) -> ();
    fn note<'a>(now: Timestamp, usage: &'a [deedbox_store::MeterRow]) -> Timestamp;
    fn meter<'a>(meter: [u8; 16]) -> Vec<deedbox_store::MeterRow>;
    fn meters_drop<'a>(day: u64) -> u64;
    fn usage<'a>(s: StoreId) -> deedbox_store::Usage;
}

impl<B: Transfer> Transfer for Failing<B> {
    async fn inventory(&self, s: StoreId) -> Result<Inventory, StorageError> {
        self.inner.inventory(s).await
    }

    async fn arrive<'a>(&'a self, s: StoreId, step: Arrival<'a>) -> Result<(), StorageError> {
        let left = self.left.load(Ordering::Relaxed);
        self.left.store(left.saturating_sub(1), Ordering::Relaxed);
        match step {
            // as when the process ends here: nobody tidies up
            _ if left == 0 && !self.falsify => Err(StorageError::Unavailable { retry: true }),
            Arrival::Heads(d, heads) if self.falsify => {
                let mut heads = heads.to_vec();
                heads[0].body[0] ^= 1;
                self.inner.arrive(s, Arrival::Heads(d, &heads)).await
            }
            other => self.inner.arrive(s, other).await,
        }
    }
}

fn interrupted<B: Transfer>(to: B) -> B {
    let from = MemoryStorage::new();
    fill(&from, S);
    block_on(from.set_alias(S, ALIAS, true)).unwrap();
    let untouched = MemoryStorage::new();
    block_on(copy_store(&from, &untouched, S)).unwrap();
    let mut to = Failing { inner: to, left: AtomicU32::new(0), falsify: false };
    let mut steps = 0;
    loop {
        to.left = AtomicU32::new(steps);
        match block_on(move_store(&from, &to, S)) {
            Ok(_) => break,
            Err(error) => assert_eq!(error.code(), "To.Unavailable"),
        }
        // the source is whole, the target shows nothing, and the id may not be taken by a store that would get its rows
        block_on(same_store(&untouched, &from, S)).unwrap();
        assert_eq!(block_on(to.resolve(S.into())).unwrap(), None, "after {steps} steps");
        assert_eq!(block_on(to.header(S)).unwrap_err().code(), "NotFound");
        assert_eq!(block_on(to.get(S, D, &[])).unwrap_err().code(), "NotFound");
        assert!(block_on(to.stores(None, 9)).unwrap().is_empty());
        steps += 1;
    }
    assert!(steps > 15, "{steps} steps");
    block_on(same_store(&untouched, &to, S)).unwrap();

    to.falsify = true;
    let other = MemoryStorage::new();
    fill(&other, T);
    let error = block_on(move_store(&other, &to, T)).unwrap_err();
    assert!(matches!(error, MoveError::Differs("heads")), "{error:?}");
    assert!(block_on(other.header(T)).is_ok(), "the source went although the copy differs");
    assert_eq!(block_on(to.header(T)).unwrap_err().code(), "NotFound");
    to.inner
}

#[test]
fn an_interrupted_move_leaves_the_source_whole_and_can_be_made_again() {
    interrupted(MemoryStorage::new());
    let folder = tempfile::tempdir().unwrap();
    block_on(interrupted(sqlite(folder.path())).check(S)).unwrap();
}

#[test]
fn an_interrupted_move_to_postgres_too() {
    let Some(admin) = server::server() else { return };
    let databases = server::Databases::new(&admin, 1);
    block_on(interrupted(databases.open()).check(S)).unwrap();
}

#[test]
fn a_store_in_the_way_is_not_touched() {
    let (from, to) = (MemoryStorage::new(), MemoryStorage::new());
    fill(&from, S);
    let quota = Quota::default();
    block_on(to.create(S, &NewStore { header: b"other", header_version: 1, owner: None, quota: &quota })).unwrap();
    assert_eq!(block_on(move_store(&from, &to, S)).unwrap_err().code(), "To.AlreadyExists");
    assert_eq!(block_on(to.header(S)).unwrap().value, b"other");
    assert_eq!(block_on(to.inventory(S)).unwrap(), Inventory::default());
    assert!(block_on(from.header(S)).is_ok());
}
