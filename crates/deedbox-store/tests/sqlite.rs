//! What is particular to files: they outlive the process, they get damaged, and removed bytes leave them.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::path::{Path, PathBuf};

use deedbox_model::{DatasetId, ObjectId, Seq, StoreId, StoreName};
use deedbox_store::{
    Commit, CommitOutcome, Cursor, HeadHash, Limit, Mode, NewStore, Part, Purge, Put, Quota, Snapshot, SqliteStorage,
    Storage, StorageError,
};
use pollster::block_on;

const S: StoreId = StoreId::from_bytes([0x51; 16]);
const D: DatasetId = DatasetId::from_bytes([0xd1; 16]);
const OBJECT: ObjectId = ObjectId::from_bytes([0x0b; 16]);

fn open(folder: &Path) -> Result<SqliteStorage, StorageError> {
    SqliteStorage::open(folder.join("host"), folder.join("shares"))
}

fn file(folder: &Path) -> PathBuf {
    folder.join("host/stores/51").join(S.to_string()).join("store.sqlite")
}

fn write(storage: &SqliteStorage, seq: u64, body: &[u8]) -> Result<CommitOutcome, StorageError> {
    let hash = |seq: u64| HeadHash([u8::try_from(seq).unwrap(); 32]);
    let expect = (seq > 1).then(|| hash(seq - 1));
    let seq_ = Seq::new(seq).unwrap();
    let puts = [Put { object: OBJECT, seq: seq_, kind: 1, body_hash: [7; 32], body }];
    let part = Part {
        dataset: D,
        expect,
        seq: seq_,
        hash: hash(seq),
        head: b"head",
        mode: Mode::Next,
        puts: &puts,
        removes: &[],
    };
    block_on(storage.commit(S, &Commit { parts: &[part], mail: &[], header: None, quota: &Quota::default() }))
}

/// One store with one object, closed.
fn filled() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path()).unwrap();
    let quota = Quota::default();
    let new = NewStore { header: b"header", header_version: 1, owner: None, quota: &quota };
    block_on(storage.create(S, &new)).unwrap();
    for seq in 1..=5 {
        assert_eq!(write(&storage, seq, &[0x4b; 3_000]).unwrap(), CommitOutcome::Done);
    }
    block_on(storage.share_put(S, 1, &[9; 32])).unwrap();
    folder
}

fn read(folder: &Path) -> Result<Snapshot, StorageError> {
    let storage = open(folder)?;
    block_on(storage.header(S))?;
    block_on(storage.changes(S, D, Cursor::START, Limit::default()))?;
    block_on(storage.get(S, D, &[OBJECT]))
}

#[test]
fn what_was_done_is_there_after_reopening() {
    let folder = filled();
    let snapshot = read(folder.path()).unwrap();
    assert_eq!(snapshot.head.seq.get(), 5);
    assert_eq!(snapshot.rows[0].as_ref().unwrap().body, [0x4b; 3_000]);
    let storage = open(folder.path()).unwrap();
    assert_eq!(block_on(storage.share(S, 1)).unwrap(), Some([9; 32]));
    block_on(storage.check(S)).unwrap();
}

#[test]
fn done_survives_a_process_that_never_closes_its_files() {
    let folder = filled();
    let storage = open(folder.path()).unwrap();
    assert_eq!(write(&storage, 6, b"last").unwrap(), CommitOutcome::Done);
    // the copy is what a crash at this moment leaves: file and log, nothing closed
    let copy = tempfile::tempdir().unwrap();
    let target = file(copy.path());
    std::fs::create_dir_all(target.parent().unwrap()).unwrap();
    for name in ["store.sqlite", "store.sqlite-wal"] {
        std::fs::copy(file(folder.path()).with_file_name(name), target.with_file_name(name)).unwrap();
    }
    assert_eq!(read(copy.path()).unwrap().rows[0].as_ref().unwrap().body, b"last");
}

#[test]
fn truncated_files_are_corrupt() {
    let folder = filled();
    let path = file(folder.path());
    let whole = std::fs::read(&path).unwrap();
    assert!(!path.with_file_name("store.sqlite-wal").exists(), "closing moves the log into the file");
    for length in [0, 1, 15, 16, 99, 100, 1_000, 4_095, 4_096, 4_097, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..length]).unwrap();
        let error = read(folder.path()).expect_err("a truncated file reads");
        assert_eq!(error.code(), "Corrupt", "length {length}");
    }
    std::fs::write(&path, whole).unwrap();
    read(folder.path()).unwrap();
}

#[test]
fn a_missing_file_is_corrupt_and_a_missing_folder_is_no_store() {
    let folder = filled();
    std::fs::remove_file(file(folder.path())).unwrap();
    assert_eq!(read(folder.path()).unwrap_err().code(), "Corrupt");
    std::fs::remove_dir_all(file(folder.path()).parent().unwrap()).unwrap();
    assert_eq!(read(folder.path()).unwrap_err().code(), "NotFound");
}

#[test]
fn other_files_are_corrupt() {
    let folder = filled();
    for content in [b"not a database at all".as_slice(), &[0; 8_192], &[0xff; 8_192]] {
        std::fs::write(file(folder.path()), content).unwrap();
        assert_eq!(read(folder.path()).unwrap_err().code(), "Corrupt");
    }
}

#[test]
fn newer_versions_are_refused_and_left_alone() {
    let folder = filled();
    let path = file(folder.path());
    let mut bytes = std::fs::read(&path).unwrap();
    // user_version lies at offset 60 of the file's header
    assert_eq!(bytes[60..64], [0, 0, 0, 1]);
    bytes[63] = 2;
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(read(folder.path()).unwrap_err().code(), "Corrupt");
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

#[test]
fn flipped_bits_never_panic_and_never_change_what_has_no_hash() {
    let folder = filled();
    let path = file(folder.path());
    let whole = std::fs::read(&path).unwrap();
    let intact = read(folder.path()).unwrap();
    let (mut corrupt, mut tried) = (0, 0);
    for at in (0..whole.len()).step_by(131).chain(0..110) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        std::fs::write(&path, &bytes).unwrap();
        tried += 1;
        match read(folder.path()) {
            Ok(snapshot) if snapshot == intact => {}
            // opaque bytes: whoever knows their hash notices
            Ok(snapshot) => {
                let body = snapshot.rows[0].as_ref().map(|row| row.body.len());
                assert!(body.is_none_or(|length| length <= whole.len()), "offset {at}");
            }
            Err(error) => {
                assert!(matches!(error, StorageError::Corrupt | StorageError::NotFound), "offset {at}: {error:?}");
                corrupt += 1;
            }
        }
        for name in ["store.sqlite-wal", "store.sqlite-shm"] {
            let _ = std::fs::remove_file(path.with_file_name(name));
        }
    }
    assert!(corrupt > 10 && tried > 200, "{corrupt} of {tried}");
}

#[test]
fn a_damaged_store_leaves_the_others_alone() {
    let folder = filled();
    let other = StoreId::from_bytes([0x77; 16]);
    let storage = open(folder.path()).unwrap();
    let quota = Quota::default();
    block_on(storage.create(other, &NewStore { header: b"o", header_version: 1, owner: None, quota: &quota })).unwrap();
    drop(storage);
    std::fs::write(file(folder.path()), b"gone").unwrap();
    let storage = open(folder.path()).unwrap();
    assert_eq!(block_on(storage.header(S)).unwrap_err().code(), "Corrupt");
    assert_eq!(block_on(storage.header(other)).unwrap().value, b"o");
}

#[test]
fn two_processes_on_one_store_do_each_number_once() {
    let folder = filled();
    let (a, b) = (open(folder.path()).unwrap(), open(folder.path()).unwrap());
    for seq in 6..=20 {
        let (first, second) = if seq % 2 == 0 { (&a, &b) } else { (&b, &a) };
        assert_eq!(write(first, seq, b"first").unwrap(), CommitOutcome::Done);
        assert!(matches!(write(second, seq, b"second").unwrap(), CommitOutcome::Conflict { .. }));
    }
    assert_eq!(block_on(a.get(S, D, &[])).unwrap().head.seq.get(), 20);
}

#[test]
fn interrupted_removals_are_finished_at_the_next_start() {
    let folder = filled();
    // renamed, not unlinked
    let trash = folder.path().join("host/trash/left");
    std::fs::rename(file(folder.path()).parent().unwrap(), &trash).unwrap();
    // built, not renamed
    std::fs::create_dir_all(folder.path().join("host/new/half")).unwrap();
    let storage = open(folder.path()).unwrap();
    assert!(!trash.exists() && !folder.path().join("host/new/half").exists());
    assert_eq!(block_on(storage.resolve(StoreName::from(S))).unwrap(), None);
    let quota = Quota::default();
    block_on(storage.create(S, &NewStore { header: b"", header_version: 1, owner: None, quota: &quota })).unwrap();
}

#[test]
fn purged_rows_leave_the_log_at_the_next_open_when_nobody_purged_the_traces() {
    let folder = filled();
    let path = file(folder.path());
    let copy = tempfile::tempdir().unwrap();
    {
        let storage = open(folder.path()).unwrap();
        assert_eq!(write(&storage, 6, &[0xa7; 3_000]).unwrap(), CommitOutcome::Done);
        block_on(storage.purge(S, Purge::Objects(D, &[OBJECT]))).unwrap();
        let target = file(copy.path());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        for name in ["store.sqlite", "store.sqlite-wal"] {
            std::fs::copy(path.with_file_name(name), target.with_file_name(name)).unwrap();
        }
    }
    let holds = |name: &str| {
        let path = file(copy.path()).with_file_name(name);
        std::fs::read(path).unwrap_or_default().windows(64).any(|window| window == [0xa7; 64])
    };
    assert!(holds("store.sqlite-wal"), "the crash came before the log was emptied");
    let storage = open(copy.path()).unwrap();
    assert_eq!(block_on(storage.get(S, D, &[OBJECT])).unwrap().rows, [None]);
    assert!(!holds("store.sqlite-wal") && !holds("store.sqlite"));
}

#[test]
fn one_folder_for_stores_and_shares_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let error = SqliteStorage::open(folder.path(), folder.path()).unwrap_err();
    assert_eq!(error.code(), "Invalid");
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let blocked = folder.path().join("file");
    std::fs::write(&blocked, b"").unwrap();
    assert_eq!(open(&blocked).unwrap_err().code(), "Backend");
}
