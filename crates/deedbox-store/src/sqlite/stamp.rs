//! Whether a store may have changed, without opening its file: by what the file system knows of it, or where it is open
//! already, by what SQLite does.

use std::path::Path;
use std::time::{Duration, SystemTime};

use rusqlite::Connection;

use crate::types::Stamp;

/// A time of the file system that is older is that of no later write: file systems count in steps of up to two seconds.
const STEP: Duration = Duration::from_secs(3);

/// What the file system says of a store's file.
pub(super) enum Found {
    /// There is none.
    Nothing,
    Stamp(Stamp),
    /// It may be changing.
    Unknown,
}

/// The stamp of a file whose log is empty, and that was last written a while before `now`.
///
/// As long as both hold, the file alone is the store. A change is written to the log first, and seen only later, when the
/// log was flushed: times of the log say nothing of that moment, so a log with anything in it is not known. The log gets
/// empty again when all of it was moved into the file, whose times then change: so two equal stamps have no change between
/// them, as long as the log is looked at first and the clock is read before.
#[cfg(unix)]
pub(super) fn of_file(path: &Path, now: SystemTime) -> Found {
    use std::os::unix::fs::MetadataExt as _;

    let is_empty = match std::fs::metadata(path.with_extension("sqlite-wal")) {
        Ok(log) => log.len() == 0,
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    };
    let file = match std::fs::metadata(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Found::Nothing,
        Err(_) => return Found::Unknown,
    };
    let nanos = |secs: i64, nanos: i64| secs.wrapping_mul(1_000_000_000).wrapping_add(nanos);
    let changed = nanos(file.ctime(), file.ctime_nsec());
    // unlike the time of the last write this one can't be set, as by whoever puts a back-up in the file's place
    let latest = now.checked_sub(STEP).and_then(|before| before.duration_since(SystemTime::UNIX_EPOCH).ok());
    let is_old = latest.and_then(|latest| i64::try_from(latest.as_nanos()).ok()).is_some_and(|latest| changed < latest);
    if is_empty && is_old {
        let written = nanos(file.mtime(), file.mtime_nsec());
        Found::Stamp(Stamp([file.ino(), file.len(), written.cast_unsigned(), changed.cast_unsigned()]))
    } else {
        Found::Unknown
    }
}

#[cfg(not(unix))]
pub(super) fn of_file(path: &Path, _: SystemTime) -> Found {
    match path.try_exists() {
        Ok(false) => Found::Nothing,
        _ => Found::Unknown,
    }
}

/// The stamp of a store that connection `number` has open and writes nothing to: SQLite counts the changes that a connection
/// meets. No file has inode 0.
pub(super) fn of_connection(number: u64, db: &Connection) -> Option<Stamp> {
    let version: i64 = db.prepare_cached("PRAGMA data_version").ok()?.query_row([], |row| row.get(0)).ok()?;
    Some(Stamp([0, number, version.cast_unsigned(), 0]))
}

#[cfg(all(test, unix))]
mod tests {
    use deedbox_model::{DatasetId, Seq, StoreId};

    use super::*;
    use crate::storage::Blocking as _;
    use crate::types::{Commit, CommitOutcome, HeadHash, Mode, NewStore, Part, Purge, Quota};
    use crate::{SqliteStorage, StorageError};

    const S: StoreId = StoreId::from_bytes([0x51; 16]);
    const D: DatasetId = DatasetId::from_bytes([0xd1; 16]);

    fn commit(storage: &SqliteStorage, n: u8) {
        let (hash, expect) = (HeadHash([n; 32]), (n > 1).then(|| HeadHash([n - 1; 32])));
        let (dataset, seq, head, mode) = (D, Seq::new(u64::from(n)).unwrap(), b"head".as_slice(), Mode::Next);
        let part = Part { dataset, expect, seq, hash, head, mode, puts: &[], removes: &[] };
        let commit = Commit { parts: &[part], mail: &[], header: None, quota: &Quota::default() };
        assert_eq!(storage.commit(S, &commit).unwrap(), CommitOutcome::Done);
    }

    /// Two processes, as far as files know: they share folders and nothing else.
    #[test]
    fn the_stamp_of_a_file_tells_of_every_write_of_others() {
        let folder = tempfile::tempdir().unwrap();
        let open = || SqliteStorage::open(folder.path().join("stores"), folder.path().join("shares")).unwrap();
        #[expect(clippy::disallowed_methods, reason = "the file system's clock")]
        let now = SystemTime::now();
        let later = now + Duration::from_secs(3_600);
        let watching = open();
        let new = NewStore { header: b"header", header_version: 1, owner: None, quota: &Quota::default() };
        open().create(S, &new).unwrap();
        assert_eq!(watching.stamp_at(S, now), None, "just written");
        assert_eq!(watching.stamp_at(S, now - Duration::from_secs(3_600)), None, "a clock that was set back");
        let mut seen = vec![watching.stamp_at(S, later).unwrap()];
        for n in 1..=3 {
            // opened, read and closed by another
            open().header(S).unwrap();
            assert_eq!(watching.stamp_at(S, later), seen.last().copied(), "reading is no change");
            let writing = open();
            writing.header(S).unwrap();
            assert_eq!(watching.stamp_at(S, later), seen.last().copied(), "opening is no change");
            commit(&writing, n);
            assert_eq!(watching.stamp_at(S, later), None, "the log has something");
            drop(writing);
            let stamp = watching.stamp_at(S, later).unwrap();
            assert!(!seen.contains(&stamp), "after commit {n}");
            seen.push(stamp);
        }
        // open here as well: what SQLite counts is taken while there is a log
        watching.header(S).unwrap();
        assert_eq!(watching.stamp_at(S, later), seen.last().copied());
        let writing = open();
        for n in 4..=6 {
            commit(&writing, n);
            let stamp = watching.stamp_at(S, later).unwrap();
            assert!(!seen.contains(&stamp), "after commit {n}");
            assert_eq!(watching.stamp_at(S, now), Some(stamp), "nothing was written since");
            seen.push(stamp);
        }
        writing.purge(S, Purge::Store).unwrap();
        assert_eq!(watching.stamp_at(S, later), None);
        assert!(matches!(watching.header(S), Err(StorageError::NotFound)), "served from a file without a name");
    }
}
