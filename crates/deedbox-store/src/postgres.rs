//! The PostgreSQL backend: for more stores than one machine has room for.

use std::future::Future;
use std::hash::{BuildHasher as _, RandomState};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use deedbox_model::{BlobId, DatasetId, MailboxId, ObjectId, Seq, StoreId, StoreName, Timestamp};
use tokio_postgres::Socket;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};

pub use tokio_postgres;
pub use tokio_postgres::{Config, NoTls};

use crate::error::StorageError;
use crate::rules::check_commit;
use crate::storage::Storage;
use crate::transfer::{Arrival, Inventory, Transfer};
use crate::types::{
    BlobRow, Commit, CommitOutcome, Cursor, Erasure, HeadRow, Index, Limit, MailRow, MeterRow, NewStore, Page, Purge,
    Purged, Quota, RowKey, Snapshot, Swap, Table, Total, Usage, Versioned,
};
#[cfg(feature = "postgres-tls")]
pub use tls::{Encrypted, Tls, ToServer};
#[cfg(feature = "postgres-tls")]
pub use tokio_rustls::rustls;

use connect::{Attempt, Conn, Database, Ended, Fail, Outcome};
use write::Place;

mod connect;
mod read;
mod schema;
#[cfg(feature = "postgres-tls")]
mod tls;
mod transfer;
mod write;

/// How often a transaction is tried that met another, or a connection that was lost.
const TRIES: u32 = 5;

/// Which databases hold the stores, and how they are used.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PostgresOptions {
    /// The databases of the stores. Of `n` the first has the first `n`th of all store ids, and so on; a list of another
    /// length puts stores elsewhere, so that they have to be moved.
    pub stores: Vec<Config>,
    /// The database of the host's shares: another one, so that it has back-ups of its own.
    pub shares: Config,
    /// Connections to each database, at most.
    pub connections: usize,
    /// How long an operation may take, waiting for a connection and all tries included.
    pub timeout: Duration,
}

impl PostgresOptions {
    /// One database for the stores and one for the shares; 16 connections to each, 30 seconds.
    #[must_use]
    pub fn new(stores: Config, shares: Config) -> Self {
        Self { stores: vec![stores], shares, connections: 16, timeout: Duration::from_secs(30) }
    }
}

/// Stores in PostgreSQL databases. The tables are in `docs/format/store.md`.
///
/// Its futures may be awaited by any executor: connections are served by threads of its own, and no operation blocks the
/// thread it is called on. Several processes may share the databases.
///
/// A connection that is lost while a commit's answer is due leaves unknown whether it was done. The operation is then tried
/// again on another connection, and finds its own work; where the server can't be reached it ends as
/// [`StorageError::Unavailable`], and the caller's own retry is met by the rules: a commit's conflict shows its own head.
pub struct PostgresStorage {
    stores: Vec<Database>,
    shares: Database,
    timeout: Duration,
    random: RandomState,
    count: AtomicU64,
    runtime: Runtime,
}

impl std::fmt::Debug for PostgresStorage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresStorage").finish_non_exhaustive()
    }
}

/// The threads that serve connections.
struct Runtime(Option<tokio::runtime::Runtime>);

impl Runtime {
    fn new() -> Result<Self, StorageError> {
        let threads = std::thread::available_parallelism().map_or(2, |n| n.get().clamp(1, 4));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("deedbox-postgres")
            .enable_all()
            .build()
            .map_err(StorageError::backend)?;
        Ok(Self(Some(runtime)))
    }

    /// Runs a future on whatever executor polls it, with timers and sockets of this runtime.
    async fn within<T>(&self, future: impl Future<Output = T>) -> T {
        // boxed: what is awaited here would make every caller's future large
        let mut future = Box::pin(future);
        std::future::poll_fn(|cx| {
            let _context = self.0.as_ref().map(tokio::runtime::Runtime::enter);
            future.as_mut().poll(cx)
        })
        .await
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        // a runtime that waits for its tasks must not be dropped by another one's task
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl PostgresStorage {
    /// As [`PostgresStorage::open`], over TLS and nothing else, whatever the configurations' `sslmode` says: to servers whose
    /// certificate and name `tls` verifies.
    ///
    /// # Errors
    /// As [`PostgresStorage::open`]; `Backend` too when the server is another one, or has no TLS.
    #[cfg(feature = "postgres-tls")]
    pub async fn open_tls(mut options: PostgresOptions, tls: Tls) -> Result<Self, StorageError> {
        for config in options.stores.iter_mut().chain([&mut options.shares]) {
            config.ssl_mode(tokio_postgres::config::SslMode::Require);
        }
        Self::open(options, tls).await
    }

    /// Connects, makes missing tables, and brings older ones to this version. [`NoTls`] is for a server on this machine or
    /// behind a tunnel, `PostgresStorage::open_tls` (feature `postgres-tls`) for every other; a connector of your own encrypts
    /// where the configurations ask for it ([`Config::ssl_mode`]), which by default they do not insist on.
    ///
    /// # Errors
    /// `Invalid` when the shares have no database of their own or there is none for the stores, `Corrupt` when a database was
    /// written by a newer version, `Unavailable` when a server cannot be reached, `Backend` when it refuses, or does not keep
    /// what it says is kept (`fsync = off`).
    pub async fn open<T>(options: PostgresOptions, tls: T) -> Result<Self, StorageError>
    where
        T: MakeTlsConnect<Socket> + Clone + Sync + Send + 'static,
        T::Stream: Sync + Send,
        T::TlsConnect: Sync + Send,
        <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
    {
        if options.stores.is_empty() || options.connections == 0 {
            return Err(StorageError::Invalid("no database or no connection for the stores"));
        }
        let runtime = Runtime::new()?;
        let (connections, timeout) = (options.connections, options.timeout);
        let open = async {
            let mut stores = Vec::new();
            for config in options.stores {
                stores.push(Database::open(config, tls.clone(), connections, timeout, &schema::STORES).await?);
            }
            let shares = Database::open(options.shares, tls, connections, timeout, &schema::SHARES).await?;
            Ok::<_, StorageError>((stores, shares))
        };
        let (stores, shares) = runtime.within(open).await?;
        Ok(Self { stores, shares, timeout, random: RandomState::new(), count: AtomicU64::new(0), runtime })
    }

    /// Where the database of an id is in the list: each has an equal range of first bytes.
    fn at(&self, id: &[u8; 16]) -> usize {
        let [a, b, ..] = *id;
        let first = usize::from(u16::from_be_bytes([a, b]));
        first.saturating_mul(self.stores.len()) >> 16
    }

    /// Where what belongs to no store lies: in the first database.
    fn own(&self) -> &Database {
        self.stores.first().unwrap_or(&self.shares)
    }

    fn of(&self, id: &[u8; 16]) -> &Database {
        self.stores.get(self.at(id)).unwrap_or(&self.shares)
    }

    /// A number that no other attempt has, of whatever process.
    fn stamp(&self) -> i64 {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        i64::from_be_bytes(self.random.hash_one(count).to_be_bytes())
    }

    /// Tries until it is done, refused, or out of tries or time.
    async fn tries<T, F, Fut>(&self, database: &Database, f: F) -> Result<T, StorageError>
    where
        F: Fn(Arc<Conn>, Attempt) -> Fut,
        Fut: Future<Output = Outcome<Ended<T>>>,
    {
        let work = async {
            let mut attempt = Attempt { stamp: self.stamp(), unknown: false };
            let mut unknown = None;
            let mut last = StorageError::Unavailable { retry: true };
            for n in 0..TRIES {
                if n > 0 {
                    tokio::time::sleep(Duration::from_millis(1_u64.checked_shl(n).unwrap_or(1))).await;
                }
                let conn = match database.get().await {
                    Ok(conn) => conn,
                    Err(Fail::Again(error) | Fail::Storage(error)) => return Err(error),
                    Err(Fail::Done) => return Err(StorageError::Corrupt),
                };
                let ended = f(Arc::clone(&conn), attempt).await;
                conn.settle().await;
                match ended {
                    Ok(Ended::Done(value)) => return Ok(value),
                    Ok(Ended::Unknown(value)) => {
                        unknown = Some(value);
                        attempt.unknown = true;
                        last = StorageError::Unavailable { retry: true };
                    }
                    Err(Fail::Again(error)) => last = error,
                    Err(Fail::Done) => return unknown.ok_or(StorageError::Corrupt),
                    Err(Fail::Storage(error)) => return Err(error),
                }
            }
            Err(last)
        };
        let timed = async { tokio::time::timeout(self.timeout, work).await };
        self.runtime.within(timed).await.unwrap_or(Err(StorageError::Unavailable { retry: true }))
    }

    /// [`Self::tries`] for what changes nothing.
    async fn read<T, F, Fut>(&self, database: &Database, f: F) -> Result<T, StorageError>
    where
        F: Fn(Arc<Conn>) -> Fut,
        Fut: Future<Output = Outcome<T>>,
    {
        self.tries(database, |conn, _| {
            let read = f(conn);
            async move { Ok(Ended::Done(read.await?)) }
        })
        .await
    }

    /// Runs `f` while the store's row is held, so that the store can't go meanwhile, and one at a time gets here.
    async fn holding<T, F, Fut>(&self, s: StoreId, f: F) -> Result<T, StorageError>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Outcome<T>>,
    {
        self.read(self.of(s.as_bytes()), |conn| {
            let work = f();
            async move {
                write::hold(&conn, s).await?;
                work.await
            }
        })
        .await
    }

    async fn purge_store(&self, s: StoreId) -> Result<Total, StorageError> {
        self.drop_aliases_elsewhere(s).await?;
        let gone = self
            .tries(self.of(s.as_bytes()), |conn, attempt| async move {
                let shares = self.shares.get().await?;
                write::purge_store(conn, shares, s, attempt).await
            })
            .await?;
        // those that somebody set meanwhile
        self.drop_aliases_elsewhere(s).await?;
        Ok(gone)
    }

    /// Aliases of a store lie where their own bytes say. One connection at a time: whoever holds one of two databases and
    /// waits for the other's could wait for ever.
    async fn drop_aliases_elsewhere(&self, s: StoreId) -> Result<(), StorageError> {
        let own = self.at(s.as_bytes());
        for (_, database) in self.stores.iter().enumerate().filter(|(at, _)| *at != own) {
            self.read(database, |conn| write::drop_aliases(conn, s)).await?;
        }
        Ok(())
    }
}

impl Storage for PostgresStorage {
    async fn create<'a>(&'a self, s: StoreId, new: &'a NewStore<'a>) -> Result<(), StorageError> {
        self.tries(self.of(s.as_bytes()), |conn, attempt| write::create(conn, s, new, attempt)).await
    }

    async fn resolve(&self, name: StoreName) -> Result<Option<StoreId>, StorageError> {
        self.read(self.of(name.as_bytes()), |conn| read::resolve(conn, name)).await
    }

    async fn stores(&self, after: Option<StoreId>, limit: u32) -> Result<Vec<StoreId>, StorageError> {
        let most = usize::try_from(limit.max(1)).unwrap_or(usize::MAX);
        let first = after.map_or(0, |id| self.at(id.as_bytes()));
        let mut found: Vec<StoreId> = Vec::new();
        // the databases have the ids in their own order
        for database in self.stores.iter().skip(first) {
            let rest = i64::try_from(most.saturating_sub(found.len())).unwrap_or(i64::MAX);
            if rest == 0 {
                break;
            }
            found.extend(self.read(database, |conn| read::stores(conn, after, rest)).await?);
        }
        Ok(found)
    }

    async fn set_alias(&self, s: StoreId, alias: StoreName, on: bool) -> Result<(), StorageError> {
        let (own, other) = (self.of(s.as_bytes()), self.of(alias.as_bytes()));
        self.read(own, |conn| read::exists(conn, s)).await?;
        if !on {
            return self.read(other, |conn| write::drop_alias(conn, s, alias)).await;
        }
        self.read(other, |conn| write::set_alias(conn, s, alias)).await?;
        // a purge that began before is waited for, and one that begins now sees the alias
        let still = self.read(own, |conn| async move { write::hold(&conn, s).await }).await;
        if matches!(still, Err(StorageError::NotFound)) {
            self.read(other, |conn| write::drop_alias(conn, s, alias)).await?;
        }
        still
    }

    async fn header(&self, s: StoreId) -> Result<Versioned<Vec<u8>>, StorageError> {
        self.read(self.of(s.as_bytes()), |conn| read::header(conn, s)).await
    }

    async fn commit<'a>(&'a self, s: StoreId, c: &'a Commit<'a>) -> Result<CommitOutcome, StorageError> {
        check_commit(c)?;
        self.tries(self.of(s.as_bytes()), |conn, attempt| write::commit(conn, s, c, attempt)).await
    }

    async fn heads(
        &self,
        s: StoreId,
        d: DatasetId,
        after: Option<Seq>,
        limit: u32,
    ) -> Result<Vec<HeadRow>, StorageError> {
        self.read(self.of(s.as_bytes()), |conn| read::heads(conn, s, d, after, limit)).await
    }

    async fn datasets(&self, s: StoreId) -> Result<Vec<DatasetId>, StorageError> {
        self.read(self.of(s.as_bytes()), |conn| read::datasets(conn, s)).await
    }

    async fn get<'a>(&'a self, s: StoreId, d: DatasetId, ids: &'a [ObjectId]) -> Result<Snapshot, StorageError> {
        self.read(self.of(s.as_bytes()), |conn| read::get(conn, s, d, ids)).await
    }

    async fn changes(&self, s: StoreId, d: DatasetId, after: Cursor, limit: Limit) -> Result<Page, StorageError> {
        self.read(self.of(s.as_bytes()), |conn| read::changes(conn, s, d, after, limit)).await
    }

    async fn index(&self, s: StoreId, d: DatasetId) -> Result<Index, StorageError> {
        self.read(self.of(s.as_bytes()), |conn| read::index(conn, s, d)).await
    }

    async fn blob_append<'a>(
        &'a self,
        s: StoreId,
        b: BlobId,
        at: u64,
        bytes: &'a [u8],
        q: &'a Quota,
    ) -> Result<u64, StorageError> {
        self.tries(self.of(s.as_bytes()), |conn, attempt| write::blob_append(conn, s, b, at, bytes, q, attempt)).await
    }

    async fn blob_seal(&self, s: StoreId, b: BlobId, len: u64) -> Result<(), StorageError> {
        self.tries(self.of(s.as_bytes()), |conn, attempt| write::blob_seal(conn, s, b, len, attempt)).await
    }

    async fn blob(&self, s: StoreId, b: BlobId) -> Result<Option<BlobRow>, StorageError> {
        self.read(self.of(s.as_bytes()), |conn| read::blob(conn, s, b)).await
    }

    async fn blob_read(&self, s: StoreId, b: BlobId, range: Range<u64>) -> Result<Vec<u8>, StorageError> {
        self.read(self.of(s.as_bytes()), |conn| read::blob_read(conn, s, b, range.clone())).await
    }

    async fn mail_list(
        &self,
        s: StoreId,
        m: MailboxId,
        after: u64,
        limit: Limit,
    ) -> Result<Vec<MailRow>, StorageError> {
        self.read(self.of(s.as_bytes()), |conn| read::mail_list(conn, s, m, after, limit)).await
    }

    async fn mail_ack(&self, s: StoreId, m: MailboxId, upto: u64) -> Result<u64, StorageError> {
        self.tries(self.of(s.as_bytes()), |conn, attempt| write::mail_ack(conn, s, m, upto, attempt)).await
    }

    async fn mail_lapse(&self, s: StoreId, now: Timestamp) -> Result<Vec<(MailboxId, Total)>, StorageError> {
        self.tries(self.of(s.as_bytes()), |conn, attempt| write::mail_lapse(conn, s, now, attempt)).await
    }

    async fn row(&self, s: StoreId, t: Table, key: RowKey) -> Result<Option<Versioned<Vec<u8>>>, StorageError> {
        self.read(self.of(s.as_bytes()), |conn| read::row(conn, s, t, key)).await
    }

    async fn rows(&self, s: StoreId, t: Table) -> Result<Vec<(RowKey, Versioned<Vec<u8>>)>, StorageError> {
        self.read(self.of(s.as_bytes()), |conn| read::rows(conn, s, t)).await
    }

    async fn swap_row<'a>(
        &'a self,
        s: StoreId,
        t: Table,
        key: RowKey,
        expect: Option<u64>,
        new: Option<&'a [u8]>,
    ) -> Result<Swap, StorageError> {
        let place = Place { table: t, key };
        self.tries(self.of(s.as_bytes()), |conn, attempt| write::swap_row(conn, s, place, expect, new, attempt)).await
    }

    async fn share(&self, s: StoreId, epoch: u32) -> Result<Option<[u8; 32]>, StorageError> {
        self.read(self.of(s.as_bytes()), |conn| read::exists(conn, s)).await?;
        self.read(&self.shares, |conn| read::share(conn, s, epoch)).await
    }

    async fn share_put<'a>(&'a self, s: StoreId, epoch: u32, share: &'a [u8; 32]) -> Result<(), StorageError> {
        self.holding(s, || async move {
            let conn = self.shares.get().await?;
            write::share_put(&conn, s, epoch, share).await
        })
        .await
    }

    async fn share_drop(&self, s: StoreId, epoch: u32) -> Result<(), StorageError> {
        self.holding(s, || async move {
            let conn = self.shares.get().await?;
            write::share_drop(&conn, s, epoch).await
        })
        .await
    }

    async fn purge<'a>(&'a self, s: StoreId, what: Purge<'a>) -> Result<Purged, StorageError> {
        let gone = match what {
            Purge::Store => self.purge_store(s).await,
            other => self.tries(self.of(s.as_bytes()), |conn, attempt| write::purge(conn, s, other, attempt)).await,
        }?;
        Ok(Purged { rows: gone.count, bytes: gone.bytes, erasure: Erasure::Logical })
    }

    async fn check(&self, s: StoreId) -> Result<(), StorageError> {
        self.read(self.of(s.as_bytes()), |conn| read::integrity(conn, s)).await
    }

    async fn note<'a>(&'a self, now: Timestamp, usage: &'a [MeterRow]) -> Result<Timestamp, StorageError> {
        if usage.is_empty() && now.secs() == 0 {
            return self.read(self.own(), read::noted).await;
        }
        self.tries(self.own(), |conn, attempt| write::note(conn, now, usage, attempt)).await
    }

    async fn meter(&self, meter: [u8; 16]) -> Result<Vec<MeterRow>, StorageError> {
        self.read(self.own(), |conn| read::meter(conn, meter)).await
    }

    async fn meters_drop(&self, day: u64) -> Result<u64, StorageError> {
        self.read(self.own(), |conn| write::meters_drop(conn, day)).await
    }

    async fn usage(&self, s: StoreId) -> Result<Usage, StorageError> {
        self.read(self.of(s.as_bytes()), |conn| read::usage(conn, s)).await
    }
}

impl Transfer for PostgresStorage {
    async fn inventory(&self, s: StoreId) -> Result<Inventory, StorageError> {
        let mut inventory = self.read(self.of(s.as_bytes()), |conn| transfer::inventory(conn, s)).await?;
        inventory.shares = self.read(&self.shares, |conn| transfer::shares(conn, s)).await?;
        for database in &self.stores {
            inventory.aliases.extend(self.read(database, |conn| transfer::aliases(conn, s)).await?);
        }
        Ok(inventory)
    }

    async fn arrive<'a>(&'a self, s: StoreId, step: Arrival<'a>) -> Result<(), StorageError> {
        self.tries(self.of(s.as_bytes()), |conn, attempt| transfer::arrive(conn, s, step, attempt)).await
    }
}
