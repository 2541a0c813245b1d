//! Many stores in SQLite files, one each, against bare SQLite that does the same row work to files of the same kind.

use std::{hint::black_box, path::Path};

use deedbox::{
    host::{Config, SqliteStorage, Storage as _},
    parts::model::ObjectId,
};
use pollster::block_on;
use rusqlite::{Connection, params};

use crate::{
    Outcome, Report, Sizes, Turns, each, memory,
    people::{self, BODY, D, HEAD, commit, hash, object, share},
    time,
};

/// Stores that stay open: the backend keeps 256.
const OPEN: usize = 100;
const WRITERS: usize = 8;

pub(crate) fn measure(report: &mut Report, sizes: &Sizes, folder: &Path) -> Outcome<()> {
    report.part(&format!("SQLite, {} stores, microseconds", sizes.stores));
    let (open, rounds) = (OPEN.min(sizes.stores / 8), sizes.rounds);
    let storage = SqliteStorage::open(folder.join("stores"), folder.join("shares"))?;
    let host = people::host(storage, Config::default());
    let storage = host.storage();
    let owner = people::owner();
    let made = time(|| share(sizes.stores, |n| people::make(&host, &owner, n)))?;
    report.figure("made by eight threads", &format!("{:.0} a second", sizes.stores as f64 / made));
    report.figure(
        "files of an empty store",
        &format!("{:.1} KiB", length(folder)? as f64 / 1_024.0 / sizes.stores as f64),
    );

    // the first `open` are ours, the next bare; both hold a hundred objects
    let objects: Vec<ObjectId> = (0..100).map(object).collect();
    share(2 * open, |n| commit(storage, people::store(n), 1, &objects))?;
    let bare: Vec<Connection> = (open..2 * open).map(|n| connect(folder, n)).collect::<Outcome<_>>()?;
    let (mut ours_at, mut bare_at) = (vec![1; open], vec![1; open]);
    let one = |round: usize| [object(round % 100)];
    let turns = Turns::take(
        rounds,
        |round| {
            let n = round % open;
            ours_at[n] += 1;
            commit(storage, people::store(n), ours_at[n], &one(round))
        },
        |round| {
            let n = round % open;
            bare_at[n] += 1;
            write(&bare[n], bare_at[n], one(round)[0])
        },
    )?;
    report.turns("commit of one record", &turns, Some(0.8));
    let turns = Turns::take(
        rounds,
        |round| get(storage, round % open, &one(round)),
        |round| read(&bare[round % open], &one(round)),
    )?;
    report.turns("get of one record, with its head", &turns, Some(0.8));
    let turns =
        Turns::take(rounds, |round| get(storage, round % open, &objects), |round| read(&bare[round % open], &objects))?;
    report.turns("get of a hundred", &turns, Some(0.8));

    writers(report, storage, &bare, &mut ours_at, &mut bare_at, if rounds < 100 { 1 } else { 21 })?;

    // Stores that are not open, none of them twice: each is opened first, and closed in the end to make room for another.
    // Bare opens and closes too.
    let (first, count) = (2 * open, ((sizes.stores - 2 * open) / 2).min(rounds));
    let ours = |round: usize| first + 2 * round;
    share(2 * count, |n| commit(storage, people::store(first + n), 1, &objects[..1]))?;
    if sizes.stores - first - 2 * count > 256 {
        // puts all of those out again
        share(256, |n| get_any(storage, first + 2 * count + n))?;
    }
    let turns = Turns::take(
        count,
        |round| get(storage, ours(round), &objects[..1]),
        |round| read(&connect(folder, ours(round) + 1)?, &objects[..1]),
    )?;
    report.turns("get of one from a store that is not open", &turns, None);
    let turns = Turns::take(
        count,
        |round| commit(storage, people::store(ours(round)), 2, &objects[..1]),
        |round| write(&connect(folder, ours(round) + 1)?, 2, objects[0]),
    )?;
    report.turns("commit to a store that is not open", &turns, None);

    // in the same folder, another backend whose stores are all closed
    drop(bare);
    let again = SqliteStorage::open(folder.join("stores"), folder.join("shares-again"))?;
    let before = memory();
    let kept = sizes.stores.min(256);
    (0..kept).try_for_each(|n| get_any(&again, n))?;
    report.figure("memory of a store that is open (256 at most)", &each(before, memory(), kept));
    let before = memory();
    (kept..sizes.stores).try_for_each(|n| get_any(&again, n))?;
    let rest = sizes.stores - kept;
    report.figure("memory of each further store, closed again", &each(before, memory(), rest));
    report.figure("flushes of a commit", "one: cargo test -p deedbox-store --test crash a_change_is_one_flush");
    Ok(())
}

fn get(storage: &SqliteStorage, n: usize, ids: &[ObjectId]) -> Outcome<()> {
    let found = block_on(storage.get(people::store(n), D, ids))?;
    if found.rows.iter().flatten().count() == ids.len() { Ok(()) } else { Err("an object is missing".into()) }
}

/// Reads whatever a store has.
fn get_any(storage: &SqliteStorage, n: usize) -> Outcome<()> {
    block_on(storage.header(people::store(n)))?;
    block_on(storage.usage(people::store(n)))?;
    Ok(())
}

fn writers(
    report: &mut Report,
    storage: &SqliteStorage,
    bare: &[Connection],
    ours_at: &mut [u64],
    bare_at: &mut [u64],
    rounds: usize,
) -> Outcome<()> {
    const EACH: usize = 10;
    let writers = WRITERS.min(bare.len());
    let paths: Vec<_> = bare.iter().take(writers).map(|db| db.path().unwrap_or_default().to_owned()).collect();
    let dbs = paths.iter().map(|path| open(Path::new(path))).collect::<Outcome<Vec<_>>>()?;
    let mut dbs: Vec<Connection> = dbs;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..2 * rounds {
        let is_ours = round % 4 == 0 || round % 4 == 3;
        let at = if is_ours { &mut *ours_at } else { &mut *bare_at };
        let seconds = time(|| {
            std::thread::scope(|scope| {
                let threads: Vec<_> = at
                    .iter_mut()
                    .zip(dbs.iter_mut())
                    .enumerate()
                    .map(|(n, (at, db))| {
                        scope.spawn(move || {
                            (0..EACH).try_for_each(|_| {
                                *at += 1;
                                if is_ours {
                                    commit(storage, people::store(n), *at, &[object(n)])
                                } else {
                                    write(db, *at, object(n))
                                }
                            })
                        })
                    })
                    .collect();
                threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread panicked")?)
            })
        })?;
        if is_ours { &mut ours } else { &mut theirs }.push((EACH * writers) as f64 / seconds);
    }
    report.rates("commits by eight writers, a store each", &ours, &theirs, 0.8);
    Ok(())
}

/// The file of a store, as anybody would open it by hand who wants it as durable and as clean.
fn connect(folder: &Path, n: usize) -> Outcome<Connection> {
    let hex = people::store(n).to_string();
    open(&folder.join("stores/stores").join(&hex[..2]).join(&hex).join("store.sqlite"))
}

fn open(path: &Path) -> Outcome<Connection> {
    let db = Connection::open(path)?;
    db.set_prepared_statement_cache_capacity(32);
    db.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY;
         PRAGMA busy_timeout = 5000;",
    )?;
    Ok(db)
}

/// What a commit does to rows, as anybody would write it by hand: one transaction.
fn write(db: &Connection, at: u64, object: ObjectId) -> Outcome<()> {
    let (d, id, seq, hash) = (D.as_bytes(), object.as_bytes(), i64::try_from(at)?, hash(at).0);
    db.execute_batch("BEGIN IMMEDIATE")?;
    db.prepare_cached("SELECT seq, hash FROM head WHERE ds = ?")?
        .query_row([d], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, [u8; 32]>(1)?)))?;
    db.prepare_cached("SELECT length(body) FROM object WHERE ds = ? AND id = ?")?
        .query_row(params![d, id], |row| row.get::<_, i64>(0))?;
    db.prepare_cached(
        "INSERT INTO object (ds, id, seq, kind, hash, body) VALUES (?, ?, ?, 1, ?, ?) ON CONFLICT (ds, id)
         DO UPDATE SET seq = excluded.seq, hash = excluded.hash, body = excluded.body",
    )?
    .execute(params![d, id, seq, [7_u8; 32], BODY])?;
    db.prepare_cached("UPDATE head SET seq = ?, hash = ? WHERE ds = ?")?.execute(params![seq, hash, d])?;
    db.prepare_cached("INSERT INTO heads (ds, seq, hash, body) VALUES (?, ?, ?, ?)")?
        .execute(params![d, seq, hash, HEAD])?;
    // the newest 4,096 stay; the totals are read for the quota, and the one that changed is written
    db.prepare_cached("DELETE FROM heads WHERE ds = ? AND seq <= ?")?.execute(params![d, seq - 4_096])?;
    let mut totals = [(0_i64, 0_i64); 6];
    let mut read = db.prepare_cached("SELECT count, bytes FROM total ORDER BY class")?;
    let mut rows = read.query([])?;
    for total in &mut totals {
        let row = rows.next()?.ok_or("a total is missing")?;
        *total = (row.get(0)?, row.get(1)?);
    }
    drop(rows);
    let (count, bytes) = black_box(totals)[1];
    db.prepare_cached("UPDATE total SET count = ?, bytes = ? WHERE class = 2")?.execute(params![count, bytes + 300])?;
    Ok(db.execute_batch("COMMIT")?)
}

/// What a read gives, as anybody would write it by hand: the head in force and the objects, at one moment.
fn read(db: &Connection, ids: &[ObjectId]) -> Outcome<()> {
    let d = D.as_bytes();
    db.execute_batch("BEGIN")?;
    let seq: i64 = db.prepare_cached("SELECT seq, hash FROM head WHERE ds = ?")?.query_row([d], |row| {
        black_box(row.get::<_, [u8; 32]>(1)?);
        row.get(0)
    })?;
    black_box(
        db.prepare_cached("SELECT hash, body FROM heads WHERE ds = ? AND seq = ?")?
            .query_row(params![d, seq], |row| Ok((row.get::<_, [u8; 32]>(0)?, row.get::<_, Vec<u8>>(1)?)))?,
    );
    let mut find = db.prepare_cached("SELECT seq, kind, hash, body FROM object WHERE ds = ? AND id = ?")?;
    let mut rows = Vec::new();
    for id in ids {
        rows.push(find.query_row(params![d, id.as_bytes()], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, u8>(1)?, row.get::<_, [u8; 32]>(2)?, row.get::<_, Vec<u8>>(3)?))
        })?);
    }
    black_box(rows);
    Ok(db.execute_batch("COMMIT")?)
}

/// Bytes of all files under a folder.
fn length(folder: &Path) -> Outcome<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        sum += if entry.file_type()?.is_dir() { length(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(sum)
}
