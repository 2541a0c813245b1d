//! The trait every backend implements, and its boxed twin.

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

use deedbox_model::{BlobId, DatasetId, MailboxId, ObjectId, Seq, StoreId, StoreName, Timestamp};

use crate::error::StorageError;
use crate::types::{
    BlobRow, Commit, CommitOutcome, Cursor, HeadRow, Index, Limit, MailRow, MeterRow, NewStore, Page, Purge, Purged,
    Quota, RowKey, Snapshot, Stamp, Swap, Table, Total, Usage, Versioned,
};

/// An operation of [`Storage`], with what it gives where a backend says nothing else.
macro_rules! operation {
    ($(#[$doc:meta])* fn $name:ident<$lt:lifetime>($( $arg:ident: $ty:ty),*) -> $out:ty) => {
        $(#[$doc])*
        fn $name<$lt>(&$lt self $(, $arg: $ty)*) -> impl Future<Output = Result<$out, StorageError>> + Send;
    };
    ($(#[$doc:meta])* fn $name:ident<$lt:lifetime>($( $arg:ident: $ty:ty),*) -> $out:ty, $otherwise:expr) => {
        $(#[$doc])*
        fn $name<$lt>(&$lt self $(, $arg: $ty)*) -> impl Future<Output = Result<$out, StorageError>> + Send {
            $( let _ = $arg; )*
            async { Ok($otherwise) }
        }
    };
}

macro_rules! operations {
    ($(
        $(#[$doc:meta])*
        fn $name:ident<$lt:lifetime>($( $arg:ident: $ty:ty),*) -> $out:ty $(, otherwise $otherwise:expr)?;
    )*) => {
        /// Opaque bytes in order. Every operation names one store, and nothing spans stores. The rules that every
        /// backend keeps are on the crate's front page; the conformance kit checks them.
        ///
        /// No method panics, whatever its arguments, and none needs an async runtime.
        pub trait Storage: Send + Sync + 'static {
            $( operation! { $(#[$doc])* fn $name<$lt>($( $arg: $ty),*) -> $out $(, $otherwise)? } )*
        }

        /// [`Storage`] behind a pointer, for callers that choose the backend at run time. Every `Storage` is one.
        pub trait DynStorage: Send + Sync + 'static {
            $(
                /// The twin of the [`Storage`] method of this name.
                fn $name<$lt>(&$lt self $(, $arg: $ty)*)
                -> Pin<Box<dyn Future<Output = Result<$out, StorageError>> + Send + $lt>>;
            )*
        }

        impl<S: Storage> DynStorage for S {
            $(
                fn $name<$lt>(&$lt self $(, $arg: $ty)*)
                -> Pin<Box<dyn Future<Output = Result<$out, StorageError>> + Send + $lt>> {
                    Box::pin(Storage::$name(self $(, $arg)*))
                }
            )*
        }

        impl<S: Storage> Storage for Arc<S> {
            $(
                async fn $name<$lt>(&$lt self $(, $arg: $ty)*) -> Result<$out, StorageError> {
                    Storage::$name(&**self $(, $arg)*).await
                }
            )*
        }

        #[cfg(feature = "conformance")]
        impl<S: Storage, F> Storage for crate::conformance::Watched<S, F>
        where
            F: Fn(&'static str) -> Result<(), StorageError> + Send + Sync + 'static,
        {
            $(
                async fn $name<$lt>(&$lt self $(, $arg: $ty)*) -> Result<$out, StorageError> {
                    (self.watch)(stringify!($name))?;
                    Storage::$name(&self.storage $(, $arg)*).await
                }
            )*
        }

        /// The operations as memory and SQLite have them: they block, so their futures are ready when first polled.
        pub(crate) trait Blocking: Send + Sync + 'static {
            $( fn $name<$lt>(&$lt self $(, $arg: $ty)*) -> Result<$out, StorageError>; )*
        }

        /// Gives a type with [`Blocking`] the trait [`Storage`].
        macro_rules! storage_from_blocking {
            ($type:ty) => {
                impl $crate::storage::Storage for $type {
                    $(
                        async fn $name<$lt>(&$lt self $(, $arg: $ty)*) -> Result<$out, StorageError> {
                            $crate::storage::Blocking::$name(self $(, $arg)*)
                        }
                    )*
                }
            };
        }
        pub(crate) use storage_from_blocking;
    };
}

operations! {
    /// Makes a store: its header, the owner's capability row, its first totals. `AlreadyExists` when the id is a store
    /// or an alias.
    ///
    /// # Errors
    /// `OverQuota` for the header; `Corrupt`, `Full`, `Unavailable`, `Backend` as the environment has it.
    fn create<'a>(s: StoreId, new: &'a NewStore<'a>) -> ();
    /// The store that a true id or an alias names.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`, `Backend` as the environment has it.
    fn resolve<'a>(name: StoreName) -> Option<StoreId>;
    /// True ids of stores after `after`, in order, at most `limit` (at least one): for the operator's own rounds.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`, `Backend` as the environment has it.
    fn stores<'a>(after: Option<StoreId>, limit: u32) -> Vec<StoreId>;
    /// Adds or removes an alias; doing it twice changes nothing. `AlreadyExists` when it names another store.
    ///
    /// # Errors
    /// `NotFound` for an unknown store; `Corrupt`, `Full`, `Unavailable`, `Backend` as the environment has it.
    fn set_alias<'a>(s: StoreId, alias: StoreName, on: bool) -> ();
    /// The store header and its version.
    ///
    /// # Errors
    /// `NotFound` for an unknown store; `Corrupt`, `Full`, `Unavailable`, `Backend` as the environment has it.
    fn header<'a>(s: StoreId) -> Versioned<Vec<u8>>;
    /// Changes a store: all of the commit or nothing, durable when `Done` is returned.
    ///
    /// # Errors
    /// `Invalid` for a commit that breaks a rule, `OverQuota`, `NotFound` for an unknown store; `Corrupt`, `Full`,
    /// `Unavailable`, `Backend` as the environment has it.
    fn commit<'a>(s: StoreId, c: &'a Commit<'a>) -> CommitOutcome;
    /// Heads in order, after `after`. The newest 4,096 are kept.
    ///
    /// # Errors
    /// `NotFound` for an unknown store or dataset; `Corrupt`, `Full`, `Unavailable`, `Backend` as the environment has
    /// it.
    fn heads<'a>(s: StoreId, d: DatasetId, after: Option<Seq>, limit: u32) -> Vec<HeadRow>;
    /// The datasets that have a head, in the order of ids.
    ///
    /// # Errors
    /// `NotFound` for an unknown store; `Corrupt`, `Full`, `Unavailable`, `Backend` as the environment has it.
    fn datasets<'a>(s: StoreId) -> Vec<DatasetId>;
    /// Objects by id, and the head they belong to.
    ///
    /// # Errors
    /// `NotFound` for an unknown store or dataset; `Corrupt`, `Full`, `Unavailable`, `Backend` as the environment has
    /// it.
    fn get<'a>(s: StoreId, d: DatasetId, ids: &'a [ObjectId]) -> Snapshot;
    /// The next objects in the order of (seq, object).
    ///
    /// # Errors
    /// `NotFound` for an unknown store or dataset; `Corrupt`, `Full`, `Unavailable`, `Backend` as the environment has
    /// it.
    fn changes<'a>(s: StoreId, d: DatasetId, after: Cursor, limit: Limit) -> Page;
    /// Every object of a dataset without its bytes, in the order of ids.
    ///
    /// # Errors
    /// `NotFound` for an unknown store or dataset; `Corrupt`, `Full`, `Unavailable`, `Backend` as the environment has
    /// it.
    fn index<'a>(s: StoreId, d: DatasetId) -> Index;
    /// Appends to a blob, which begins to exist with its first bytes; returns its new length. `WrongOffset` unless `at`
    /// is its length.
    ///
    /// # Errors
    /// `NotFound` for an unknown store; `Corrupt`, `Full`, `Unavailable`, `Backend` as the environment has it.
    fn blob_append<'a>(s: StoreId, b: BlobId, at: u64, bytes: &'a [u8], q: &'a Quota) -> u64;
    /// Makes a blob immutable; again with the same length changes nothing. `WrongOffset` unless `len` is its length.
    ///
    /// # Errors
    /// `NotFound` for an unknown store or blob; `Corrupt`, `Full`, `Unavailable`, `Backend` as the environment has it.
    fn blob_seal<'a>(s: StoreId, b: BlobId, len: u64) -> ();
    /// A blob's length and whether it is sealed; `None`: there is no such blob.
    ///
    /// # Errors
    /// `NotFound` for an unknown store; `Corrupt`, `Full`, `Unavailable`, `Backend` as the environment has it.
    fn blob<'a>(s: StoreId, b: BlobId) -> Option<BlobRow>;
    /// The bytes of a range, cut off at the blob's end.
    ///
    /// # Errors
    /// `NotFound` for an unknown store or blob; `Corrupt`, `Full`, `Unavailable`, `Backend` as the environment has it.
    fn blob_read<'a>(s: StoreId, b: BlobId, range: Range<u64>) -> Vec<u8>;
    /// Items of a mailbox with numbers above `after`, in order; an unknown mailbox is empty.
    ///
    /// # Errors
    /// `NotFound` for an unknown store; `Corrupt`, `Full`, `Unavailable`, `Backend` as the environment has it.
    fn mail_list<'a>(s: StoreId, m: MailboxId, after: u64, limit: Limit) -> Vec<MailRow>;
    /// Deletes items up to and including number `upto`; returns how many.
    ///
    /// # Errors
    /// `NotFound` for an unknown store; `Corrupt`, `Full`, `Unavailable`, `Backend` as the environment has it.
    fn mail_ack<'a>(s: StoreId, m: MailboxId, upto: u64) -> u64;
    /// Deletes the mail whose time is over at `now`; returns what was in which mailbox, in the order of mailboxes.
    ///
    /// # Errors
    /// `NotFound` for an unknown store; `Corrupt`, `Full`, `Unavailable`, `Backend` as the environment has it.
    fn mail_lapse<'a>(s: StoreId, now: Timestamp) -> Vec<(MailboxId, Total)>;
    /// A small row.
    ///
    /// # Errors
    /// `NotFound` for an unknown store; `Corrupt`, `Full`, `Unavailable`, `Backend` as the environment has it.
    fn row<'a>(s: StoreId, t: Table, key: RowKey) -> Option<Versioned<Vec<u8>>>;
    /// All rows of a table, in the order of keys.
    ///
    /// # Errors
    /// `NotFound` for an unknown store; `Corrupt`, `Full`, `Unavailable`, `Backend` as the environment has it.
    fn rows<'a>(s: StoreId, t: Table) -> Vec<(RowKey, Versioned<Vec<u8>>)>;
    /// Writes or deletes a row whose version is `expect` (`None`: there is no row).
    ///
    /// # Errors
    /// `NotFound` for an unknown store; `Corrupt`, `Full`, `Unavailable`, `Backend` as the environment has it.
    fn swap_row<'a>(s: StoreId, t: Table, key: RowKey, expect: Option<u64>, new: Option<&'a [u8]>) -> Swap;
    /// The host's share of an epoch.
    ///
    /// # Errors
    /// `NotFound` for an unknown store; `Corrupt`, `Full`, `Unavailable`, `Backend` as the environment has it.
    fn share<'a>(s: StoreId, epoch: u32) -> Option<[u8; 32]>;
    /// Keeps a share; the same again changes nothing. `AlreadyExists` for another value, `Invalid` for a third epoch.
    ///
    /// # Errors
    /// `NotFound` for an unknown store; `Corrupt`, `Full`, `Unavailable`, `Backend` as the environment has it.
    fn share_put<'a>(s: StoreId, epoch: u32, share: &'a [u8; 32]) -> ();
    /// Forgets a share; an absent one changes nothing.
    ///
    /// # Errors
    /// `NotFound` for an unknown store; `Corrupt`, `Full`, `Unavailable`, `Backend` as the environment has it.
    fn share_drop<'a>(s: StoreId, epoch: u32) -> ();
    /// Removes for good; what is absent counts as removed.
    ///
    /// # Errors
    /// `NotFound` for an unknown store; `Corrupt`, `Full`, `Unavailable`, `Backend` as the environment has it.
    fn purge<'a>(s: StoreId, what: Purge<'a>) -> Purged;
    /// Reads one store from end to end and holds its totals against a fresh count, with whatever check of its own the
    /// backend has. Bodies are opaque here; whoever knows their hashes compares those.
    ///
    /// # Errors
    /// `Corrupt` when something does not fit, `NotFound` for an unknown store; `Unavailable`, `Backend` as the
    /// environment has it.
    fn check<'a>(s: StoreId) -> ();
    /// Notes a time and adds to meters, both durable together; returns the greatest time noted so far. It is the host's
    /// own, and no store's. Time 0 without meters only reads.
    ///
    /// # Errors
    /// `Corrupt`, `Full`, `Unavailable`, `Backend` as the environment has it.
    fn note<'a>(now: Timestamp, usage: &'a [MeterRow]) -> Timestamp;
    /// The sums of one meter, in the order of days and classes.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`, `Backend` as the environment has it.
    fn meter<'a>(meter: [u8; 16]) -> Vec<MeterRow>;
    /// Deletes the sums of days before `day`; returns how many.
    ///
    /// # Errors
    /// `Corrupt`, `Full`, `Unavailable`, `Backend` as the environment has it.
    fn meters_drop<'a>(day: u64) -> u64;
    /// A stamp of the store, for whoever wants to know whether it is worth looking again. The same stamp given twice means
    /// that nothing of the store changed in between, by whatever process: every operation that was begun after the first and
    /// had ended before the second gave one answer. Shares, aliases and what is the host's own are not of the store. A new
    /// stamp means nothing; `None`, which a backend may always give and gives for a store that is not there: not known, so look.
    ///
    /// It is asked for often, for many stores, and costs next to nothing: no file is opened, no server asked, nobody waited for.
    ///
    /// # Errors
    /// `Backend` as the environment has it.
    fn stamp<'a>(s: StoreId) -> Option<Stamp>, otherwise None;
    /// What the store holds, by class.
    ///
    /// # Errors
    /// `NotFound` for an unknown store; `Corrupt`, `Full`, `Unavailable`, `Backend` as the environment has it.
    fn usage<'a>(s: StoreId) -> Usage;
}
