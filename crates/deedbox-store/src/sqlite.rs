//! The SQLite backend: one file per store, so that erasing is an unlink, moving a copy, and damage personal.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use deedbox_model::{BlobId, DatasetId, MailboxId, ObjectId, Seq, StoreId, StoreName, Timestamp};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use crate::error::StorageError;
use crate::rules::{check_commit, check_quota, len};
use crate::storage::{Blocking, storage_from_blocking};
use crate::transfer::{Arrival, Inventory, Transfer};
use crate::types::{
    BlobRow, Commit, CommitOutcome, Cursor, Erasure, HeadRow, Index, Limit, MailRow, MeterRow, NewStore, Page, Purge,
    Purged, Quota, RowKey, Snapshot, Stamp, Swap, Table, Total, Usage, Versioned,
};
use open::{Fail, Outcome, connect, sync_dir, to_int};

mod host;
mod open;
mod read;
mod schema;
mod stamp;
mod transfer;
mod write;

/// How many stores are open at a time.
const OPEN_STORES: usize = 256;

/// Row of table `row` that says removed bytes may still be in the log.
const PENDING: (i64, [u8; 16]) = (0, [0; 16]);

/// Stores in SQLite files, one a store. The layout is in `docs/format/store.md`.
///
/// It blocks the thread it is called on; a server calls it from threads of its own. Several processes may share the
/// folders.
pub struct SqliteStorage {
    root: PathBuf,
    host: Mutex<Connection>,
    shares: Mutex<Connection>,
    open: Mutex<Cache>,
    /// Of what is opened or made.
    number: AtomicU64,
}

#[derive(Default)]
struct Cache {
    tick: u64,
    stores: HashMap<StoreId, (u64, Arc<Open>)>,
}

struct Open {
    /// No two have the same.
    number: u64,
    writer: Mutex<Connection>,
    reader: Mutex<Connection>,
    gone: AtomicBool,
}

impl std::fmt::Debug for SqliteStorage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStorage").finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SqliteStorage {
    /// Opens the stores under `root`, and the host's shares under `shares`: another folder, so that it has back-ups of
    /// its own. Makes both where they are missing, and finishes removals that were interrupted.
    ///
    /// # Errors
    /// `Invalid` when both are one folder, `Corrupt` when the host's own files are damaged or newer, `Backend` when a
    /// folder cannot be written.
    pub fn open(root: impl AsRef<Path>, shares: impl AsRef<Path>) -> Result<Self, StorageError> {
        Self::open_folders(root.as_ref(), shares.as_ref()).map_err(|Fail(error)| error)
    }

    fn open_folders(root: &Path, shares: &Path) -> Outcome<Self> {
        if root == shares {
            return Err(StorageError::Invalid("the shares need a folder of their own").into());
        }
        for folder in [&root.join("stores"), &root.join("trash"), &root.join("new"), shares] {
            std::fs::create_dir_all(folder)?;
        }
        for folder in ["trash", "new"] {
            for entry in std::fs::read_dir(root.join(folder))? {
                std::fs::remove_dir_all(entry?.path())?;
            }
        }
        Ok(Self {
            root: root.to_owned(),
            host: Mutex::new(connect(&root.join("host.sqlite"), true, schema::HOST)?),
            shares: Mutex::new(connect(&shares.join("shares.sqlite"), true, schema::SHARES)?),
            open: Mutex::new(Cache::default()),
            number: AtomicU64::new(0),
        })
    }

    fn folder(&self, s: StoreId) -> PathBuf {
        let hex = s.to_string();
        let (first, _) = hex.split_at_checked(2).unwrap_or((&hex, ""));
        self.root.join("stores").join(first).join(&hex)
    }

    /// Ids after `after`, in order: the folders' names are hex, so that names and ids have one order.
    fn list(&self, after: Option<StoreId>, most: usize) -> Outcome<Vec<StoreId>> {
        let after = after.map(|id| id.to_string());
        let mut parents = names(&self.root.join("stores"))?;
        parents.retain(|parent| after.as_ref().is_none_or(|after| after.get(..2) <= Some(parent.as_str())));
        let mut out = Vec::new();
        for parent in parents {
            for name in names(&self.root.join("stores").join(parent))? {
                if after.as_ref().is_some_and(|after| name <= *after) {
                    continue;
                }
                out.extend(StoreId::parse_hex(&name));
                if out.len() >= most {
                    return Ok(out);
                }
            }
        }
        Ok(out)
    }

    fn temporary(&self, parent: &str, s: StoreId) -> PathBuf {
        let n = self.number.fetch_add(1, Ordering::Relaxed);
        self.root.join(parent).join(format!("{s}-{}-{n}", std::process::id()))
    }

    fn exists(&self, s: StoreId) -> Outcome<bool> {
        Ok(self.folder(s).try_exists()?)
    }

    /// The open connections of a store; the least recently used store is closed when there are too many.
    fn store(&self, s: StoreId) -> Outcome<Arc<Open>> {
        {
            let mut cache = lock(&self.open);
            cache.tick = cache.tick.saturating_add(1);
            let tick = cache.tick;
            if let Some((used, open)) = cache.stores.get_mut(&s) {
                *used = tick;
                return Ok(Arc::clone(open));
            }
        }
        if !self.exists(s)? {
            return Err(StorageError::NotFound.into());
        }
        let path = self.folder(s).join("store.sqlite");
        if !path.try_exists()? {
            return Err(StorageError::Corrupt.into());
        }
        let writer = connect(&path, false, schema::STORE)?;
        let reader = connect(&path, false, schema::STORE)?;
        reader.execute_batch("PRAGMA query_only = ON")?;
        write::header_version(&writer)?;
        if pending(&writer)? {
            drop_traces(&writer)?;
        }
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let gone = AtomicBool::new(false);
        let fresh = Open { number, writer: Mutex::new(writer), reader: Mutex::new(reader), gone };
        // Closing moves the log into the file and flushes it: that must not hold up whoever looks for another store.
        let (open, oldest) = {
            let mut cache = lock(&self.open);
            let tick = cache.tick;
            let open = Arc::clone(&cache.stores.entry(s).or_insert_with(|| (tick, Arc::new(fresh))).1);
            let oldest = cache.stores.iter().min_by_key(|(_, (used, _))| *used).map(|(id, _)| *id);
            let oldest = oldest.filter(|oldest| cache.stores.len() > OPEN_STORES && *oldest != s);
            (open, oldest.and_then(|oldest| cache.stores.remove(&oldest)))
        };
        drop(oldest);
        Ok(open)
    }

    fn read<T>(&self, s: StoreId, f: impl FnOnce(&Connection) -> Outcome<T>) -> Result<T, StorageError> {
        let run = || -> Outcome<T> {
            let store = self.store(s)?;
            let mut reader = lock(&store.reader);
            if store.gone.load(Ordering::Acquire) {
                return Err(StorageError::NotFound.into());
            }
            let transaction = reader.transaction_with_behavior(TransactionBehavior::Deferred)?;
            let value = f(&transaction)?;
            transaction.commit()?;
            Ok(value)
        };
        run().map_err(|Fail(error)| error)
    }

    /// One write transaction; it is committed unless `f` fails.
    fn write<T>(&self, s: StoreId, f: impl FnOnce(&Connection) -> Outcome<T>) -> Result<T, StorageError> {
        let run = || -> Outcome<T> {
            let store = self.store(s)?;
            let mut writer = lock(&store.writer);
            if store.gone.load(Ordering::Acquire) {
                return Err(StorageError::NotFound.into());
            }
            let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = f(&transaction)?;
            transaction.commit()?;
            Ok(value)
        };
        run().map_err(|Fail(error)| error)
    }

    /// The stamp of a store, where that can be told without opening a file.
    fn stamp_at(&self, s: StoreId, now: SystemTime) -> Option<Stamp> {
        let path = self.folder(s).join("store.sqlite");
        match stamp::of_file(&path, now) {
            stamp::Found::Stamp(stamp) => Some(stamp),
            stamp::Found::Nothing => {
                // another process removed it; what is held here is a file without a name
                if let Some((_, open)) = lock(&self.open).stores.remove(&s) {
                    open.gone.store(true, Ordering::Release);
                }
                None
            }
            stamp::Found::Unknown => {
                let open = lock(&self.open).stores.get(&s).map(|(_, open)| Arc::clone(open))?;
                let reader = open.reader.try_lock().ok()?;
                stamp::of_connection(open.number, &reader)
            }
        }
    }

    fn alias(&self, name: StoreName) -> Outcome<Option<StoreId>> {
        let found = lock(&self.host)
            .query_row("SELECT store FROM alias WHERE name = ?", [name.as_bytes()], |row| row.get(0))
            .optional()?;
        Ok(found.map(StoreId::from_bytes))
    }

    /// Builds the file under another name and renames its folder, so that a folder under `stores` is always whole.
    fn build(&self, s: StoreId, new: &NewStore<'_>) -> Outcome<()> {
        if self.exists(s)? || self.alias(s.into())?.is_some() {
            return Err(StorageError::AlreadyExists.into());
        }
        let usage = first_usage(new)?;
        let version = to_int(new.header_version)?;
        let building = self.temporary("new", s);
        std::fs::create_dir_all(&building)?;
        let built = (|| -> Outcome<()> {
            let mut db = connect(&building.join("store.sqlite"), true, schema::STORE)?;
            let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute("INSERT INTO header (version, body) VALUES (?, ?)", params![version, new.header])?;
            if let Some((key, body)) = new.owner {
                transaction.execute(
                    "INSERT INTO row (tbl, key, version, body) VALUES (?, ?, 1, ?)",
                    params![Table::Capabilities.number(), key.0, body],
                )?;
            }
            write::set_usage(&transaction, Usage::default(), usage)?;
            transaction.commit()?;
            db.close().map_err(|(_, error)| error)?;
            self.show(s, &building)
        })();
        if built.is_err() {
            // a leftover is removed by the next start
            let _ = std::fs::remove_dir_all(&building);
        }
        built
    }

    /// A folder that was built becomes a store's.
    fn show(&self, s: StoreId, building: &Path) -> Outcome<()> {
        sync_dir(building)?;
        let target = self.folder(s);
        let parent = target.parent().ok_or(StorageError::Invalid("the root has no folder"))?;
        if !parent.try_exists()? {
            std::fs::create_dir_all(parent)?;
            sync_dir(&self.root.join("stores"))?;
        }
        std::fs::rename(building, &target).map_err(|error| match error.kind() {
            std::io::ErrorKind::DirectoryNotEmpty | std::io::ErrorKind::AlreadyExists => {
                Fail(StorageError::AlreadyExists)
            }
            _ => error.into(),
        })?;
        sync_dir(parent)
    }

    /// One step of building a store's file from another backend's. A start of this backend forgets what was not finished.
    fn take_in(&self, s: StoreId, step: Arrival<'_>) -> Outcome<()> {
        if self.exists(s)? || self.alias(s.into())?.is_some() {
            return Err(StorageError::AlreadyExists.into());
        }
        let building = self.root.join("new").join(format!("{s}-arriving"));
        if matches!(step, Arrival::Abandon | Arrival::Begin(_)) && building.try_exists()? {
            std::fs::remove_dir_all(&building)?;
        }
        let begins = matches!(step, Arrival::Begin(_));
        match step {
            Arrival::Abandon => return Ok(()),
            Arrival::Begin(_) => std::fs::create_dir_all(&building)?,
            _ if !building.try_exists()? => return Err(StorageError::NotFound.into()),
            _ => {}
        }
        let mut db = connect(&building.join("store.sqlite"), begins, schema::STORE)?;
        let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transfer::take_in(&transaction, step)?;
        transaction.commit()?;
        db.close().map_err(|(_, error)| error)?;
        if matches!(step, Arrival::End) { self.show(s, &building) } else { Ok(()) }
    }

    fn inventory_of(&self, s: StoreId) -> Result<Inventory, StorageError> {
        let mut inventory = self.read(s, transfer::inventory)?;
        inventory.shares = self.shares(s, |db| {
            let mut find = db.prepare("SELECT epoch, share FROM share WHERE store = ? ORDER BY epoch")?;
            let rows = find.query_map([s.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })?;
        let aliases = || -> Outcome<Vec<StoreName>> {
            let host = lock(&self.host);
            let mut find = host.prepare("SELECT name FROM alias WHERE store = ? ORDER BY name")?;
            let rows = find.query_map([s.as_bytes()], |row| row.get(0).map(StoreName::from_bytes))?;
            Ok(rows.collect::<Result<_, _>>()?)
        };
        inventory.aliases = aliases().map_err(|Fail(error)| error)?;
        Ok(inventory)
    }

    fn purge_store(&self, s: StoreId) -> Outcome<Total> {
        let store = self.store(s)?;
        let writer = lock(&store.writer);
        let reader = lock(&store.reader);
        let usage = write::usage(&writer)?;
        // the shares first: what is left after an interruption opens nothing
        for (connection, sql) in
            [(&self.shares, "DELETE FROM share WHERE store = ?"), (&self.host, "DELETE FROM alias WHERE store = ?")]
        {
            let connection = lock(connection);
            connection.execute(sql, [s.as_bytes()])?;
            truncate_log(&connection)?;
        }
        let folder = self.folder(s);
        let trash = self.temporary("trash", s);
        std::fs::rename(&folder, &trash).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Fail(StorageError::NotFound),
            _ => error.into(),
        })?;
        // only now: where a step before fails, whoever holds the store goes on with it
        store.gone.store(true, Ordering::Release);
        lock(&self.open).stores.remove(&s);
        if let Some(parent) = folder.parent() {
            sync_dir(parent)?;
        }
        drop((writer, reader));
        std::fs::remove_dir_all(&trash)?;
        sync_dir(&self.root.join("trash"))?;
        let classes = [usage.blobs, usage.datasets, usage.header, usage.mail, usage.objects, usage.rows];
        Ok(Total { count: classes.iter().map(|total| total.count).sum(), bytes: usage.bytes() })
    }

    fn purge_traces(&self, s: StoreId) -> Outcome<Total> {
        let store = self.store(s)?;
        let writer = lock(&store.writer);
        let _reader = lock(&store.reader);
        if store.gone.load(Ordering::Acquire) {
            return Err(StorageError::NotFound.into());
        }
        mark_pending(&writer)?;
        drop_traces(&writer)?;
        truncate_log(&lock(&self.shares))?;
        Ok(Total::default())
    }

    /// Runs `f` over what is the host's own.
    fn host<T>(&self, f: impl FnOnce(&mut Connection) -> Outcome<T>) -> Result<T, StorageError> {
        f(&mut lock(&self.host)).map_err(|Fail(error)| error)
    }

    /// Runs `f` over the shares, for a store that exists.
    fn shares<T>(&self, s: StoreId, f: impl FnOnce(&mut Connection) -> Outcome<T>) -> Result<T, StorageError> {
        let run = || -> Outcome<T> {
            if !self.exists(s)? {
                return Err(StorageError::NotFound.into());
            }
            f(&mut lock(&self.shares))
        };
        run().map_err(|Fail(error)| error)
    }
}

/// The names in a folder, sorted.
fn names(folder: &Path) -> Outcome<Vec<String>> {
    let entries = std::fs::read_dir(folder)?;
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}

fn first_usage(new: &NewStore<'_>) -> Outcome<Usage> {
    let mut usage = Usage { header: Total { count: 1, bytes: len(new.header) }, ..Usage::default() };
    if let Some((_, value)) = new.owner {
        usage.rows.add(1, len(value));
    }
    check_quota(&Usage::default(), &usage, new.quota)?;
    Ok(usage)
}

fn pending(db: &Connection) -> Outcome<bool> {
    let sql = "SELECT 1 FROM row WHERE tbl = ? AND key = ?";
    Ok(db.query_row(sql, params![PENDING.0, PENDING.1], |_| Ok(())).optional()?.is_some())
}

fn mark_pending(db: &Connection) -> Outcome<()> {
    let sql = "INSERT INTO row (tbl, key, version, body) VALUES (?, ?, 1, x'') ON CONFLICT (tbl, key) DO NOTHING";
    db.execute(sql, params![PENDING.0, PENDING.1])?;
    Ok(())
}

/// Empties the log, and only then takes the mark away.
fn drop_traces(db: &Connection) -> Outcome<()> {
    truncate_log(db)?;
    db.execute("DELETE FROM row WHERE tbl = ? AND key = ?", params![PENDING.0, PENDING.1])?;
    truncate_log(db)
}

/// Moves the log into the file and cuts it to nothing.
fn truncate_log(db: &Connection) -> Outcome<()> {
    let busy: i64 = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy == 0 { Ok(()) } else { Err(StorageError::Unavailable { retry: true }.into()) }
}

storage_from_blocking!(SqliteStorage);

impl Blocking for SqliteStorage {
    fn create(&self, s: StoreId, new: &NewStore<'_>) -> Result<(), StorageError> {
        self.build(s, new).map_err(|Fail(error)| error)
    }

    fn resolve(&self, name: StoreName) -> Result<Option<StoreId>, StorageError> {
        let id = StoreId::from_bytes(*name.as_bytes());
        let run = || if self.exists(id)? { Ok(Some(id)) } else { self.alias(name) };
        run().map_err(|Fail(error)| error)
    }

    fn stores(&self, after: Option<StoreId>, limit: u32) -> Result<Vec<StoreId>, StorageError> {
        self.list(after, usize::try_from(limit.max(1)).unwrap_or(usize::MAX)).map_err(|Fail(error)| error)
    }

    fn set_alias(&self, s: StoreId, alias: StoreName, on: bool) -> Result<(), StorageError> {
        let run = || -> Outcome<()> {
            if !self.exists(s)? {
                return Err(StorageError::NotFound.into());
            }
            if !on {
                let sql = "DELETE FROM alias WHERE name = ? AND store = ?";
                lock(&self.host).execute(sql, params![alias.as_bytes(), s.as_bytes()])?;
                return Ok(());
            }
            if self.exists(StoreId::from_bytes(*alias.as_bytes()))? {
                return Err(StorageError::AlreadyExists.into());
            }
            let sql = "INSERT INTO alias (name, store) VALUES (?, ?) ON CONFLICT (name) DO NOTHING";
            lock(&self.host).execute(sql, params![alias.as_bytes(), s.as_bytes()])?;
            if self.alias(alias)? == Some(s) { Ok(()) } else { Err(StorageError::AlreadyExists.into()) }
        };
        run().map_err(|Fail(error)| error)
    }

    fn header(&self, s: StoreId) -> Result<Versioned<Vec<u8>>, StorageError> {
        self.read(s, read::header)
    }

    fn commit(&self, s: StoreId, c: &Commit<'_>) -> Result<CommitOutcome, StorageError> {
        check_commit(c)?;
        self.write(s, |db| write::commit(db, c))
    }

    fn heads(&self, s: StoreId, d: DatasetId, after: Option<Seq>, limit: u32) -> Result<Vec<HeadRow>, StorageError> {
        self.read(s, |db| read::heads(db, d, after, limit))
    }

    fn datasets(&self, s: StoreId) -> Result<Vec<DatasetId>, StorageError> {
        self.read(s, read::datasets)
    }

    fn get(&self, s: StoreId, d: DatasetId, ids: &[ObjectId]) -> Result<Snapshot, StorageError> {
        self.read(s, |db| read::get(db, d, ids))
    }

    fn changes(&self, s: StoreId, d: DatasetId, after: Cursor, limit: Limit) -> Result<Page, StorageError> {
        self.read(s, |db| read::changes(db, d, after, limit))
    }

    fn index(&self, s: StoreId, d: DatasetId) -> Result<Index, StorageError> {
        self.read(s, |db| read::index(db, d))
    }

    fn blob_append(&self, s: StoreId, b: BlobId, at: u64, bytes: &[u8], q: &Quota) -> Result<u64, StorageError> {
        self.write(s, |db| write::blob_append(db, b, at, bytes, q))
    }

    fn blob_seal(&self, s: StoreId, b: BlobId, len: u64) -> Result<(), StorageError> {
        self.write(s, |db| write::blob_seal(db, b, len))
    }

    fn blob(&self, s: StoreId, b: BlobId) -> Result<Option<BlobRow>, StorageError> {
        self.read(s, |db| read::blob_row(db, b))
    }

    fn blob_read(&self, s: StoreId, b: BlobId, range: Range<u64>) -> Result<Vec<u8>, StorageError> {
        self.read(s, |db| read::blob_read(db, b, range))
    }

    fn mail_list(&self, s: StoreId, m: MailboxId, after: u64, limit: Limit) -> Result<Vec<MailRow>, StorageError> {
        self.read(s, |db| read::mail_list(db, m, after, limit))
    }

    fn mail_ack(&self, s: StoreId, m: MailboxId, upto: u64) -> Result<u64, StorageError> {
        self.write(s, |db| write::mail_ack(db, m, upto))
    }

    fn mail_lapse(&self, s: StoreId, now: Timestamp) -> Result<Vec<(MailboxId, Total)>, StorageError> {
        self.write(s, |db| write::mail_lapse(db, now))
    }

    fn row(&self, s: StoreId, t: Table, key: RowKey) -> Result<Option<Versioned<Vec<u8>>>, StorageError> {
        self.read(s, |db| read::row(db, t, key))
    }

    fn rows(&self, s: StoreId, t: Table) -> Result<Vec<(RowKey, Versioned<Vec<u8>>)>, StorageError> {
        self.read(s, |db| read::rows(db, t))
    }

    fn swap_row(
        &self,
        s: StoreId,
        t: Table,
        key: RowKey,
        expect: Option<u64>,
        new: Option<&[u8]>,
    ) -> Result<Swap, StorageError> {
        self.write(s, |db| write::swap_row(db, t, key, expect, new))
    }

    fn share(&self, s: StoreId, epoch: u32) -> Result<Option<[u8; 32]>, StorageError> {
        self.shares(s, |db| {
            let sql = "SELECT share FROM share WHERE store = ? AND epoch = ?";
            Ok(db.query_row(sql, params![s.as_bytes(), epoch], |row| row.get(0)).optional()?)
        })
    }

    fn share_put(&self, s: StoreId, epoch: u32, share: &[u8; 32]) -> Result<(), StorageError> {
        self.shares(s, |db| {
            let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let held: Option<[u8; 32]> = transaction
                .query_row(
                    "SELECT share FROM share WHERE store = ? AND epoch = ?",
                    params![s.as_bytes(), epoch],
                    |row| row.get(0),
                )
                .optional()?;
            match held {
                Some(held) if held == *share => return Ok(()),
                Some(_) => return Err(StorageError::AlreadyExists.into()),
                None => {}
            }
            let count: i64 =
                transaction
                    .query_row("SELECT count(*) FROM share WHERE store = ?", [s.as_bytes()], |row| row.get(0))?;
            if count >= 2 {
                return Err(StorageError::Invalid("two epochs have a share already").into());
            }
            let sql = "INSERT INTO share (store, epoch, share) VALUES (?, ?, ?)";
            transaction.execute(sql, params![s.as_bytes(), epoch, share])?;
            Ok(transaction.commit()?)
        })
    }

    fn share_drop(&self, s: StoreId, epoch: u32) -> Result<(), StorageError> {
        self.shares(s, |db| {
            db.execute("DELETE FROM share WHERE store = ? AND epoch = ?", params![s.as_bytes(), epoch])?;
            Ok(())
        })
    }

    fn purge(&self, s: StoreId, what: Purge<'_>) -> Result<Purged, StorageError> {
        let rows = |f: &dyn Fn(&Connection) -> Outcome<Total>| {
            self.write(s, |db| {
                mark_pending(db)?;
                f(db)
            })
        };
        let gone = match what {
            Purge::Blob(b) => rows(&|db| write::purge_blob(db, b)),
            Purge::Dataset(d) => rows(&|db| write::purge_dataset(db, d)),
            Purge::Mailbox(m) => rows(&|db| write::purge_mailbox(db, m)),
            Purge::Objects(d, objects) => rows(&|db| write::purge_objects(db, d, objects)),
            Purge::Store => self.purge_store(s).map_err(|Fail(error)| error),
            Purge::Traces => self.purge_traces(s).map_err(|Fail(error)| error),
        }?;
        Ok(Purged { rows: gone.count, bytes: gone.bytes, erasure: Erasure::Physical })
    }

    fn check(&self, s: StoreId) -> Result<(), StorageError> {
        self.read(s, read::check)
    }

    fn note(&self, now: Timestamp, usage: &[MeterRow]) -> Result<Timestamp, StorageError> {
        self.host(|db| {
            let noted = host::noted(db)?;
            if now <= noted && usage.is_empty() {
                return Ok(noted);
            }
            let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let noted = host::note(&transaction, now, usage)?;
            transaction.commit()?;
            Ok(noted)
        })
    }

    fn meter(&self, meter: [u8; 16]) -> Result<Vec<MeterRow>, StorageError> {
        self.host(|db| host::meter(db, meter))
    }

    fn meters_drop(&self, day: u64) -> Result<u64, StorageError> {
        self.host(|db| host::meters_drop(db, day))
    }

    fn stamp(&self, s: StoreId) -> Result<Option<Stamp>, StorageError> {
        #[expect(clippy::disallowed_methods, reason = "the clock by which the files' own times are set")]
        Ok(self.stamp_at(s, SystemTime::now()))
    }

    fn usage(&self, s: StoreId) -> Result<Usage, StorageError> {
        self.read(s, write::usage)
    }
}

impl Transfer for SqliteStorage {
    async fn inventory(&self, s: StoreId) -> Result<Inventory, StorageError> {
        self.inventory_of(s)
    }

    async fn arrive<'a>(&'a self, s: StoreId, step: Arrival<'a>) -> Result<(), StorageError> {
        self.take_in(s, step).map_err(|Fail(error)| error)
    }
}
