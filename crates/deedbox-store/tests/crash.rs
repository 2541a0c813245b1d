//! A process dies, or its disk fills up or breaks, at each call by which SQLite and this crate touch a file. Afterwards what
//! was acknowledged is there, and what was not is there wholly or not at all.
//!
//! A child process runs a script of operations under a preloaded shim (`tests/faults/shim.c`) that counts calls and strikes
//! at one of them. The memory backend, which ran the same script, says what has to be found. `DEEDBOX_FULL=1` strikes at
//! every call, else at a few spread over the script.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use deedbox_model::{BlobId, DatasetId, MailboxId, ObjectId, Seq, StoreId, StoreName, Timestamp};
use deedbox_store::{
    Commit, HeadHash, HeaderSwap, Limit, Mail, MemoryStorage, MeterRow, Mode, NewStore, Part, Purge, Put, Quota,
    RowKey, SqliteStorage, Storage, StorageError, Table, Total,
};
use pollster::block_on;

const S: StoreId = StoreId::from_bytes([0x51; 16]);
const OTHER: StoreId = StoreId::from_bytes([0x52; 16]);
const D: DatasetId = DatasetId::from_bytes([0xd1; 16]);
const E: DatasetId = DatasetId::from_bytes([0xd2; 16]);
const M: MailboxId = MailboxId::from_bytes([0x31; 16]);
const B: BlobId = BlobId::from_bytes([0xb1; 16]);
const ALIAS: StoreName = StoreName::from_bytes([0xaa; 16]);
const WHOLE: Limit = Limit { rows: u32::MAX, bytes: u64::MAX };
/// What a purge is to remove from every file.
const SECRET: u8 = 0xa7;

/// One operation of the script.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Op {
    Create(StoreId),
    /// Dataset, number, mode, and what each object put is filled with; also mail and a header.
    Commit(DatasetId, u64, Mode, &'static [(u8, u8, usize)], Option<u64>),
    Push(u8, u64),
    Ack(u64),
    Lapse(u64),
    Append(u64, usize),
    Seal(u64),
    Row(Option<u64>, bool),
    Alias(bool),
    Share(u32),
    Unshare(u32),
    Note(u64),
    PurgeObject(u8),
    PurgeBlob,
    PurgeBox,
    PurgeDataset,
    Traces,
    PurgeStore(StoreId),
}

/// As a person's life at a host: made, filled, renewed, cleaned up, left.
const SCRIPT: &[Op] = &[
    Op::Create(OTHER),
    Op::Create(S),
    Op::Share(1),
    Op::Commit(D, 1, Mode::Next, &[(1, 1, 300), (2, SECRET, 3_000), (3, 3, 9_000)], None),
    Op::Note(100),
    Op::Commit(D, 2, Mode::Next, &[(1, 4, 500)], Some(1)),
    Op::Commit(E, 1, Mode::Next, &[(9, 9, 100)], None),
    Op::Push(1, 50),
    Op::Push(2, 90),
    Op::Alias(true),
    Op::Row(None, true),
    Op::Append(0, 5_000),
    Op::Append(5_000, 3_000),
    Op::Seal(8_000),
    Op::Share(2),
    Op::Commit(E, 2, Mode::Replace, &[(8, 8, 200), (7, 7, 200)], Some(2)),
    Op::Unshare(1),
    Op::PurgeObject(2),
    Op::Row(Some(1), true),
    Op::Traces,
    Op::Lapse(60),
    Op::Ack(2),
    Op::PurgeBlob,
    Op::PurgeBox,
    Op::Row(Some(2), false),
    Op::PurgeDataset,
    Op::Alias(false),
    Op::Alias(true),
    Op::Traces,
    Op::PurgeStore(S),
    Op::PurgeStore(OTHER),
];

/// The operation that removes the secret.
const PURGED: usize = 17;

fn hash(d: DatasetId, n: u64) -> HeadHash {
    let mut hash = [d.as_bytes()[0]; 32];
    hash[..8].copy_from_slice(&n.to_be_bytes());
    HeadHash(hash)
}

/// Does one operation; the answer as text.
async fn apply<T: Storage>(storage: &T, op: Op) -> Result<String, StorageError> {
    let quota = Quota::default();
    let at = Timestamp::from_secs;
    Ok(match op {
        Op::Create(s) => {
            let owner = Some((RowKey([1; 16]), b"owner".as_slice()));
            let new = NewStore { header: b"header", header_version: 1, owner, quota: &quota };
            format!("{:?}", storage.create(s, &new).await?)
        }
        Op::Commit(dataset, n, mode, objects, header) => {
            let seq = Seq::new(n).unwrap();
            let bodies: Vec<_> = objects.iter().map(|(id, fill, len)| (*id, vec![*fill; *len])).collect();
            let put =
                |(id, body)| Put { object: ObjectId::from_bytes([id; 16]), seq, kind: 1, body_hash: [id; 32], body };
            let puts: Vec<_> = bodies.iter().map(|(id, body)| put((*id, body.as_slice()))).collect();
            let expect = (n > 1).then(|| hash(dataset, n - 1));
            let part =
                Part { dataset, expect, seq, hash: hash(dataset, n), head: b"head", mode, puts: &puts, removes: &[] };
            let mail = [Mail { mailbox: M, dedupe: [n as u8; 16], at: at(1), expires: at(80 + n), body: b"with it" }];
            let header = header.map(|expect| HeaderSwap { expect, body: b"newer header" });
            let mail = if header.is_some() { mail.as_slice() } else { &[] };
            format!("{:?}", storage.commit(S, &Commit { parts: &[part], mail, header, quota: &quota }).await?)
        }
        Op::Push(dedupe, expires) => {
            let body = [dedupe; 100];
            let mail = [Mail { mailbox: M, dedupe: [dedupe + 100; 16], at: at(1), expires: at(expires), body: &body }];
            let commit = Commit { parts: &[], mail: &mail, header: None, quota: &quota };
            format!("{:?}", storage.commit(S, &commit).await?)
        }
        Op::Ack(upto) => format!("{:?}", storage.mail_ack(S, M, upto).await?),
        Op::Lapse(now) => format!("{:?}", storage.mail_lapse(S, at(now)).await?),
        Op::Append(from, len) => format!("{:?}", storage.blob_append(S, B, from, &vec![7; len], &quota).await?),
        Op::Seal(len) => format!("{:?}", storage.blob_seal(S, B, len).await?),
        Op::Row(expect, on) => {
            let body = on.then_some([5_u8; 40]);
            let body = body.as_ref().map(<[u8; 40]>::as_slice);
            format!("{:?}", storage.swap_row(S, Table::Settings, RowKey([6; 16]), expect, body).await?)
        }
        Op::Alias(on) => format!("{:?}", storage.set_alias(S, ALIAS, on).await?),
        Op::Share(epoch) => format!("{:?}", storage.share_put(S, epoch, &[epoch as u8; 32]).await?),
        Op::Unshare(epoch) => format!("{:?}", storage.share_drop(S, epoch).await?),
        Op::Note(now) => {
            let row = MeterRow { meter: [4; 16], day: 1, class: 1, total: Total { count: 1, bytes: 10 } };
            format!("{:?}", storage.note(at(now), &[row]).await?)
        }
        Op::PurgeObject(id) => purged(storage, S, Purge::Objects(D, &[ObjectId::from_bytes([id; 16])])).await?,
        Op::PurgeBlob => purged(storage, S, Purge::Blob(B)).await?,
        Op::PurgeBox => purged(storage, S, Purge::Mailbox(M)).await?,
        Op::PurgeDataset => purged(storage, S, Purge::Dataset(D)).await?,
        Op::Traces => purged(storage, S, Purge::Traces).await?,
        Op::PurgeStore(s) => purged(storage, s, Purge::Store).await?,
    })
}

async fn purged<T: Storage>(storage: &T, s: StoreId, what: Purge<'_>) -> Result<String, StorageError> {
    Ok(format!("{:?}", storage.purge(s, what).await?))
}

/// What an operation answers whose first try was done, though nobody learned it.
fn is_done_before(op: Op, answer: &Result<String, StorageError>) -> bool {
    match (op, answer) {
        (Op::Create(_), Err(StorageError::AlreadyExists)) | (Op::PurgeStore(_), Err(StorageError::NotFound)) => true,
        // the writer finds its own hash
        (Op::Commit(d, n, ..), Ok(text)) => text.contains("Conflict") && text.contains(&format!("{:?}", hash(d, n))),
        (Op::Append(at, len), Err(StorageError::WrongOffset { have })) => *have == at + len as u64,
        (Op::Row(..), Ok(text)) => text.contains("Conflict"),
        (Op::PurgeObject(_) | Op::PurgeBlob | Op::PurgeBox | Op::PurgeDataset, Ok(text)) => text.contains("rows: 0"),
        (Op::Ack(_), Ok(text)) => text == "0",
        (Op::Lapse(_), Ok(text)) => text == "[]",
        (_, Ok(_)) => true,
        _ => false,
    }
}

/// Everything that can be read of both stores; shares and aliases apart, as a store's end takes them first.
async fn dump<T: Storage>(storage: &T) -> (String, String) {
    let (mut text, mut apart) = (String::new(), String::new());
    for s in [OTHER, S] {
        let header = match storage.header(s).await {
            Ok(header) => header,
            Err(StorageError::NotFound) => {
                writeln!(text, "no store").unwrap();
                continue;
            }
            Err(error) => panic!("{error:?}"),
        };
        writeln!(text, "{header:?} {:?}", storage.usage(s).await.unwrap()).unwrap();
        storage.check(s).await.unwrap();
        for d in storage.datasets(s).await.unwrap() {
            let index = storage.index(s, d).await.unwrap();
            let ids: Vec<_> = index.rows.iter().map(|row| row.object).collect();
            let snapshot = storage.get(s, d, &ids).await.unwrap();
            assert!(snapshot.rows.iter().all(Option::is_some));
            writeln!(text, "{d} {index:?} {snapshot:?} {:?}", storage.heads(s, d, None, 99).await.unwrap()).unwrap();
        }
        let blob = storage.blob(s, B).await.unwrap();
        let bytes = if blob.is_some() { storage.blob_read(s, B, 0..u64::MAX).await.unwrap() } else { Vec::new() };
        writeln!(text, "{blob:?} {bytes:?} {:?}", storage.mail_list(s, M, 0, WHOLE).await.unwrap()).unwrap();
        for table in [Table::Capabilities, Table::Settings] {
            writeln!(text, "{:?}", storage.rows(s, table).await.unwrap()).unwrap();
        }
        for epoch in [1, 2] {
            writeln!(apart, "{:?}", storage.share(s, epoch).await.unwrap()).unwrap();
        }
    }
    writeln!(apart, "{:?}", storage.resolve(ALIAS).await.unwrap()).unwrap();
    let noted = storage.note(Timestamp::from_secs(0), &[]).await.unwrap();
    writeln!(text, "{noted:?} {:?}", storage.meter([4; 16]).await.unwrap()).unwrap();
    (text, apart)
}

/// What the model holds and answered: states before the first operation and after each.
fn model() -> (Vec<(String, String)>, Vec<String>) {
    let memory = MemoryStorage::new();
    let mut states = vec![block_on(dump(&memory))];
    let mut answers = Vec::new();
    for op in SCRIPT {
        answers.push(block_on(apply(&memory, *op)).unwrap());
        states.push(block_on(dump(&memory)));
    }
    (states, answers)
}

/// Whether `found` is the state before operation `n`, or (`Some(true)`) the one after it.
fn place(states: &[(String, String)], n: usize, found: &(String, String)) -> Option<bool> {
    if states.get(n + 1) == Some(found) && states[n] != *found {
        return Some(true);
    }
    let half = matches!(SCRIPT.get(n), Some(Op::PurgeStore(_))) && states[n].0 == found.0;
    (states[n] == *found || half).then_some(false)
}

fn open(root: &Path) -> Result<SqliteStorage, StorageError> {
    SqliteStorage::open(root.join("host"), root.join("shares"))
}

/// The child: runs the script, and writes down how many operations were acknowledged. A failed one is looked at, and tried
/// again once there is room.
#[test]
#[ignore = "run by the tests of this file, under the shim"]
fn child() {
    let Some(folder) = std::env::var_os("CRASH_FOLDER").map(PathBuf::from) else { return };
    let kind = std::env::var("FAULT_KIND").unwrap_or_default();
    let (states, answers) = model();
    // where SQLite cannot even make a file, it does not say why
    let expected = |error: &StorageError| match (kind.as_str(), error.code()) {
        ("full", "Backend") => format!("{error:?}").contains("CannotOpen"),
        ("full", code) => code == "Full",
        // a log's index that cannot grow counts as a full disk
        (_, code) => code == "Backend" || code == "Full",
    };
    let room = || std::fs::write(folder.join("off"), b"").unwrap();
    let storage = open(&folder.join("root")).unwrap_or_else(|error| {
        assert!(expected(&error), "open: {error:?}");
        room();
        open(&folder.join("root")).unwrap()
    });
    let mut acks = std::fs::File::create(folder.join("acks")).unwrap();
    let mut log = std::fs::OpenOptions::new().append(true).create(true).open(folder.join("log")).unwrap();
    for (n, op) in SCRIPT.iter().enumerate() {
        writeln!(log, "op {n}").unwrap();
        match block_on(apply(&storage, *op)) {
            Ok(answer) => assert_eq!(answer, answers[n], "{op:?}"),
            Err(error) => {
                assert!(expected(&error), "{op:?}: {error:?}");
                // reads go on
                let found = block_on(dump(&storage));
                let after = place(&states, n, &found);
                assert!(after.is_some(), "{op:?} failed and left\n{}\nnot\n{}", found.0, states[n].0);
                if kind == "full" {
                    assert_eq!(after, Some(false), "{op:?} was done without room");
                }
                room();
                let again = block_on(apply(&storage, *op));
                let same = again.as_ref().is_ok_and(|answer| *answer == answers[n]);
                assert!(same || is_done_before(*op, &again), "{op:?} again: {again:?}");
            }
        }
        acks.write_all(b".").unwrap();
        if let Op::Create(s) = op {
            // a full disk has no room for the log of a store that is not open
            if let Err(error) = block_on(storage.header(*s)) {
                assert!(expected(&error), "opening: {error:?}");
                room();
                block_on(storage.header(*s)).unwrap();
            }
        }
    }
    assert_eq!(block_on(dump(&storage)), states[SCRIPT.len()]);
}

/// The log that an operation writes to, if it is one and no more.
fn log_of(op: Op) -> Option<&'static str> {
    match op {
        Op::Create(_) | Op::PurgeStore(_) | Op::Traces => None,
        Op::Alias(_) | Op::Note(_) => Some("host.sqlite-wal"),
        Op::Share(_) | Op::Unshare(_) => Some("shares.sqlite-wal"),
        _ => Some("store.sqlite-wal"),
    }
}

struct Shim {
    library: PathBuf,
    folder: tempfile::TempDir,
}

impl Shim {
    fn build() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("shim.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/shim.c");
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).arg("-ldl");
        assert!(cc.status().unwrap().success(), "the C compiler that builds SQLite builds the shim");
        Self { library, folder }
    }

    /// Runs the child with a fault at a point; its folder, and whether it came to its end.
    fn run(&self, kind: &str, at: usize) -> (PathBuf, bool) {
        let folder = self.folder.path().join(format!("{kind}-{at}"));
        std::fs::create_dir_all(folder.join("root")).unwrap();
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["child", "--exact", "--ignored", "--nocapture", "--test-threads=1"])
            .env("LD_PRELOAD", &self.library)
            .env("CRASH_FOLDER", &folder)
            .env("FAULT_UNDER", folder.join("root"))
            .env("FAULT_AT", at.to_string())
            .env("FAULT_KIND", kind)
            .env("FAULT_LOG", folder.join("log"))
            .env("FAULT_OFF", folder.join("off"))
            .output()
            .unwrap();
        if !output.status.success() {
            use std::os::unix::process::ExitStatusExt as _;
            let told = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.signal(), Some(9), "{kind} at {at}: {told}");
        }
        (folder, output.status.success())
    }

    /// Every call of the script, in order: what it is, and of which file.
    fn calls(&self) -> Vec<(String, String)> {
        let (folder, ended) = self.run("count", 0);
        assert!(ended);
        let log = std::fs::read_to_string(folder.join("log")).unwrap();
        let calls = log.lines().map(|line| line.split_once(' ').unwrap()).filter(|(call, _)| *call != "op");
        let root = folder.join("root");
        let short = |path: &str| Path::new(path).strip_prefix(&root).unwrap().to_string_lossy().into_owned();
        calls.map(|(call, path)| (call.to_owned(), short(path))).collect()
    }
}

/// Points to strike at: all of them, or a few.
fn points(count: usize, few: usize) -> impl Iterator<Item = usize> {
    let step = if std::env::var_os("DEEDBOX_FULL").is_some() { 1 } else { (count / few).max(1) };
    (1..=count).step_by(step)
}

/// Looks at what a killed child left, and goes on from there to the end of the script.
fn assert_recovers(folder: &Path, states: &[(String, String)], answers: &[String]) -> usize {
    let acked = std::fs::read(folder.join("acks")).map_or(0, |acks| acks.len());
    let root = folder.join("root");
    let storage = open(&root).unwrap();
    let found = block_on(dump(&storage));
    let after = place(states, acked, &found);
    let op = SCRIPT.get(acked);
    assert!(after.is_some(), "{op:?} left\n{}\nnot\n{}", found.0, states[acked].0);
    if acked + usize::from(after == Some(true)) > PURGED {
        assert_eq!(files_with(&root, &[SECRET; 64]), Vec::<PathBuf>::new(), "{op:?}");
    }
    // meters that were in memory died with the process: nobody adds them again
    let noted = usize::from(matches!(op, Some(Op::Note(_))) && after == Some(true));
    for (n, op) in SCRIPT.iter().enumerate().skip(acked + noted) {
        let again = block_on(apply(&storage, *op));
        let same = again.as_ref().is_ok_and(|answer| *answer == answers[n]);
        let before = n == acked && is_done_before(*op, &again);
        assert!(same || before, "{op:?} again: {again:?}");
    }
    assert_eq!(block_on(dump(&storage)), states[SCRIPT.len()]);
    acked
}

fn files_with(folder: &Path, needle: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, needle));
        } else if std::fs::read(&path).unwrap().windows(needle.len()).any(|window| window == needle) {
            found.push(path);
        }
    }
    found
}

#[test]
fn a_process_killed_at_any_call_loses_nothing_acknowledged() {
    let shim = Shim::build();
    let calls = shim.calls();
    let (states, answers) = model();
    let mut reached: BTreeMap<usize, usize> = BTreeMap::new();
    let (mut kills, mut tears) = (0, 0);
    for at in points(calls.len(), 25) {
        let (folder, ended) = shim.run("kill", at);
        assert!(!ended, "call {at} came");
        *reached.entry(assert_recovers(&folder, &states, &answers)).or_default() += 1;
        kills += 1;
        std::fs::remove_dir_all(folder).unwrap();
        if calls[at - 1].0 == "write" {
            let (folder, ended) = shim.run("torn", at);
            assert!(!ended, "call {at} came");
            assert_recovers(&folder, &states, &answers);
            tears += 1;
            std::fs::remove_dir_all(folder).unwrap();
        }
    }
    assert!(reached.len() > 10, "operations that were struck: {reached:?}");
    println!("{} calls; killed at {kills}, torn at {tears}; by operation {reached:?}", calls.len());
}

#[test]
fn a_full_disk_changes_nothing_and_is_over_when_there_is_room() {
    let shim = Shim::build();
    let count = shim.calls().len();
    let mut struck = 0;
    for at in points(count, 25) {
        let (folder, ended) = shim.run("full", at);
        assert!(ended);
        struck += 1;
        assert_eq!(block_on(dump(&open(&folder.join("root")).unwrap())), model().0[SCRIPT.len()]);
        std::fs::remove_dir_all(folder).unwrap();
    }
    println!("{count} calls; full from {struck} of them on");
}

#[test]
fn a_disk_that_fails_once_loses_nothing_acknowledged() {
    let shim = Shim::build();
    let count = shim.calls().len();
    let mut struck = 0;
    for at in points(count, 25) {
        let (folder, ended) = shim.run("once", at);
        assert!(ended);
        struck += 1;
        assert_eq!(block_on(dump(&open(&folder.join("root")).unwrap())), model().0[SCRIPT.len()]);
        std::fs::remove_dir_all(folder).unwrap();
    }
    println!("{count} calls; failed at {struck} of them");
}

#[test]
fn a_change_is_one_flush_of_the_log() {
    let shim = Shim::build();
    let (folder, _) = shim.run("count", 0);
    let log = std::fs::read_to_string(folder.join("log")).unwrap();
    let mut flushes: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    let mut at = None;
    for (call, what) in log.lines().map(|line| line.split_once(' ').unwrap()) {
        match (call, at) {
            ("op", _) => at = Some(what.parse().unwrap()),
            ("flush", Some(n)) => flushes.entry(n).or_default().push(what.rsplit('/').next().unwrap()),
            _ => {}
        }
    }
    for (n, op) in SCRIPT.iter().enumerate() {
        let Some(file) = log_of(*op) else { continue };
        // before the first frames of a log its header is flushed, and the folder that it is new in
        let held = flushes.get(&n).cloned().unwrap_or_default();
        let before = SCRIPT[..n].iter().rev().take_while(|op| **op != Op::Traces || file.starts_with("host"));
        let first = before.filter(|op| log_of(**op) == Some(file)).count() == 0;
        assert!(held == [file] || (first && held.first() == held.last() && held.len() <= 3), "{op:?} flushed {held:?}");
    }
}
