//! Moving a whole store from one backend to another.

use deedbox_model::{BlobId, DatasetId, MailboxId, Seq, StoreId, StoreName};

use crate::error::StorageError;
use crate::storage::Storage;
use crate::types::{
    BLOB_PART, BlobRow, Cursor, HeadHash, HeadRow, Limit, MailRow, ObjectRow, Page, Purge, Purged, RowKey, Table,
    Usage, Versioned,
};

/// What a store has that no reading operation lists, in the order of ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inventory {
    /// Its aliases.
    pub aliases: Vec<StoreName>,
    /// The host's shares, by epoch.
    pub shares: Vec<(u32, [u8; 32])>,
    /// The datasets that have a head.
    pub datasets: Vec<DatasetRow>,
    /// Mailboxes, and the last number each has given.
    pub mailboxes: Vec<(MailboxId, u64)>,
    /// Blobs, sealed or not.
    pub blobs: Vec<(BlobId, BlobRow)>,
}

/// A dataset's head in force, without its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatasetRow {
    /// Its id.
    pub dataset: DatasetId,
    /// The head's sequence number.
    pub seq: Seq,
    /// The head's hash.
    pub hash: HeadHash,
    /// The number up to which objects were removed.
    pub compacted: u64,
}

/// A step of taking a store in. Nothing of it is to be seen before [`Arrival::End`], which makes all of it seen at once.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Arrival<'a> {
    /// The store's header. What an earlier try left behind is forgotten. `AlreadyExists` when there is such a store.
    Begin(&'a Versioned<Vec<u8>>),
    /// Small rows, with the versions they have.
    Rows(Table, &'a [(RowKey, Versioned<Vec<u8>>)]),
    /// A dataset.
    Dataset(&'a DatasetRow),
    /// Heads of a dataset.
    Heads(DatasetId, &'a [HeadRow]),
    /// Objects of a dataset.
    Objects(DatasetId, &'a [ObjectRow]),
    /// A mailbox and the last number it gave.
    Mailbox(MailboxId, u64),
    /// Items of a mailbox.
    Mail(MailboxId, &'a [MailRow]),
    /// A blob of this length, whose parts follow.
    Blob(BlobId, BlobRow),
    /// The part of a blob with this number: [`BLOB_PART`] bytes, or what is left.
    BlobPart(BlobId, u64, &'a [u8]),
    /// Everything is there: the totals are counted, and the store is seen.
    End,
    /// The try is given up: what came so far is forgotten.
    Abandon,
}

/// A backend that gives stores away whole, and takes them in.
pub trait Transfer: Storage {
    /// What the store has besides header, rows, heads, objects, mail and bytes of blobs.
    ///
    /// # Errors
    /// `NotFound` for an unknown store; `Corrupt`, `Unavailable`, `Backend` as the environment has it.
    fn inventory(&self, s: StoreId) -> impl Future<Output = Result<Inventory, StorageError>> + Send;

    /// Takes in one step of a store. Steps come in the order of [`copy_store`].
    ///
    /// # Errors
    /// `AlreadyExists` for a store that is there, `NotFound` for a step before the first; `Corrupt`, `Full`, `Unavailable`,
    /// `Backend` as the environment has it.
    fn arrive<'a>(&'a self, s: StoreId, step: Arrival<'a>) -> impl Future<Output = Result<(), StorageError>> + Send;
}

/// Why a store did not move. The source is whole, and the same call may be made again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MoveError {
    /// The copy is not what the source is: somebody wrote to one of them meanwhile. Keep writers away and move it again.
    #[error("the two stores differ in their {0}")]
    Differs(&'static str),
    /// The source failed.
    #[error("the source failed")]
    From(#[source] StorageError),
    /// The target failed. `AlreadyExists`: it has a store of this id that is not a copy.
    #[error("the target failed")]
    To(#[source] StorageError),
}

impl MoveError {
    /// The variant's name; after a dot the code of what failed.
    #[must_use]
    pub fn code(&self) -> String {
        match self {
            Self::Differs(_) => "Differs".to_owned(),
            Self::From(error) => format!("From.{}", error.code()),
            Self::To(error) => format!("To.{}", error.code()),
        }
    }
}

/// What moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Moved {
    /// What the target holds now.
    pub usage: Usage,
    /// What the source removed, and what a removed byte is there.
    pub purged: Purged,
}

const PAGE: Limit = Limit { rows: 1_000, bytes: 8 << 20 };
const TABLES: [Table; 2] = [Table::Capabilities, Table::Settings];

/// Moves a store: copies it, holds the copy against the source byte by byte, and only then purges the source.
///
/// Nobody may write to the store meanwhile: stop the host, or take the store out of what it serves. A write that comes before the
/// comparison is noticed, one that comes after it is lost. Interrupted at any moment, the source is whole or the target is;
/// the same call made again goes on from a copy that was finished, and forgets one that was not.
///
/// ```
/// # use deedbox_model::StoreId;
/// # use deedbox_store::{MemoryStorage, NewStore, Quota, Storage as _, move_store};
/// # pollster::block_on(async {
/// # let (from, to, s, quota) = (MemoryStorage::new(), MemoryStorage::new(), StoreId::from_bytes([1; 16]), Quota::default());
/// # from.create(s, &NewStore { header: b"header", header_version: 7, owner: None, quota: &quota }).await.unwrap();
/// // from: SqliteStorage, to: PostgresStorage, for every id of from.stores(after, limit)
/// let moved = move_store(&from, &to, s).await?;
/// assert_eq!(moved.usage.header.count, 1);
/// assert_eq!(to.header(s).await.unwrap().version, 7);
/// # Ok::<(), deedbox_store::MoveError>(())
/// # }).unwrap();
/// ```
///
/// # Errors
/// [`MoveError`] says which side failed. `From(NotFound)`: there is no such store, or it moved before.
pub async fn move_store<A: Transfer, B: Transfer>(from: &A, to: &B, s: StoreId) -> Result<Moved, MoveError> {
    copy_store(from, to, s).await?;
    let usage = to.usage(s).await.map_err(MoveError::To)?;
    let purged = from.purge(s, Purge::Store).await.map_err(MoveError::From)?;
    Ok(Moved { usage, purged })
}

/// [`move_store`] without the purge: the source stays as it is.
///
/// # Errors
/// As [`move_store`]. When the copy differs it is purged from the target, unless it was there before.
pub async fn copy_store<A: Transfer, B: Transfer>(from: &A, to: &B, s: StoreId) -> Result<(), MoveError> {
    let header = from.header(s).await.map_err(MoveError::From)?;
    let inventory = from.inventory(s).await.map_err(MoveError::From)?;
    let fresh = match to.arrive(s, Arrival::Begin(&header)).await {
        Ok(()) => {
            let sent = send(from, to, s, &inventory).await;
            if sent.is_err() {
                // a second failure tells nothing new; the next Begin forgets what is left
                let _ = to.arrive(s, Arrival::Abandon).await;
            }
            sent?;
            true
        }
        // a copy that an earlier call finished, or another store, which is not touched
        Err(StorageError::AlreadyExists) => match same_content(from, to, s).await {
            Ok(()) => false,
            Err(MoveError::Differs(_)) => return Err(MoveError::To(StorageError::AlreadyExists)),
            Err(error) => return Err(error),
        },
        Err(error) => return Err(MoveError::To(error)),
    };
    let finished = async {
        for (epoch, share) in &inventory.shares {
            to.share_put(s, *epoch, share).await.map_err(MoveError::To)?;
        }
        for alias in &inventory.aliases {
            to.set_alias(s, *alias, true).await.map_err(MoveError::To)?;
        }
        same_store(from, to, s).await
    };
    match finished.await {
        Err(MoveError::Differs(_)) if !fresh => Err(MoveError::To(StorageError::AlreadyExists)),
        Err(error @ MoveError::Differs(_)) => {
            to.purge(s, Purge::Store).await.map_err(MoveError::To)?;
            Err(error)
        }
        other => other,
    }
}

/// Sends everything but shares and aliases, which the target keeps elsewhere.
async fn send<A: Transfer, B: Transfer>(from: &A, to: &B, s: StoreId, inventory: &Inventory) -> Result<(), MoveError> {
    let arrive = async |step: Arrival<'_>| to.arrive(s, step).await.map_err(MoveError::To);
    for table in TABLES {
        let rows = from.rows(s, table).await.map_err(MoveError::From)?;
        for rows in rows.chunks(256) {
            arrive(Arrival::Rows(table, rows)).await?;
        }
    }
    for dataset in &inventory.datasets {
        let d = dataset.dataset;
        arrive(Arrival::Dataset(dataset)).await?;
        let mut after = None;
        loop {
            let heads = from.heads(s, d, after, PAGE.rows).await.map_err(MoveError::From)?;
            let Some(last) = heads.last() else { break };
            after = Some(last.seq);
            arrive(Arrival::Heads(d, &heads)).await?;
        }
        let mut cursor = Cursor::START;
        while let Page::Rows { rows, next, .. } = from.changes(s, d, cursor, PAGE).await.map_err(MoveError::From)? {
            arrive(Arrival::Objects(d, &rows)).await?;
            let Some(next) = next else { break };
            cursor = next;
        }
    }
    for (m, last) in &inventory.mailboxes {
        arrive(Arrival::Mailbox(*m, *last)).await?;
        let mut after = 0;
        loop {
            let mail = from.mail_list(s, *m, after, PAGE).await.map_err(MoveError::From)?;
            let Some(last) = mail.last() else { break };
            after = last.n;
            arrive(Arrival::Mail(*m, &mail)).await?;
        }
    }
    for (b, blob) in &inventory.blobs {
        arrive(Arrival::Blob(*b, *blob)).await?;
        for n in 0..blob.len.div_ceil(BLOB_PART) {
            let start = n.saturating_mul(BLOB_PART);
            let part = from.blob_read(s, *b, start..start.saturating_add(BLOB_PART)).await.map_err(MoveError::From)?;
            arrive(Arrival::BlobPart(*b, n, &part)).await?;
        }
    }
    arrive(Arrival::End).await
}

/// Calls both backends alike; what the source gives, if the target gives the same.
macro_rules! same {
    ($what:literal, $from:ident, $to:ident, $name:ident($($arg:expr),*)) => {{
        let (left, right) = ($from.$name($($arg),*).await, $to.$name($($arg),*).await);
        let left = left.map_err(MoveError::From)?;
        if left != right.map_err(MoveError::To)? {
            return Err(MoveError::Differs($what));
        }
        left
    }};
}

/// Holds a store of one backend against the same store of another, byte by byte: header, rows with their versions, every head,
/// object, item of mail and blob, numbers and totals, shares and aliases.
///
/// # Errors
/// [`MoveError::Differs`] names the first thing that is not the same.
pub async fn same_store<A: Transfer, B: Transfer>(from: &A, to: &B, s: StoreId) -> Result<(), MoveError> {
    same!("inventory", from, to, inventory(s));
    same_content(from, to, s).await
}

/// [`same_store`] without shares and aliases.
async fn same_content<A: Transfer, B: Transfer>(from: &A, to: &B, s: StoreId) -> Result<(), MoveError> {
    let inventory = from.inventory(s).await.map_err(MoveError::From)?;
    let other = to.inventory(s).await.map_err(MoveError::To)?;
    let parts = |of: &Inventory| (of.datasets.clone(), of.mailboxes.clone(), of.blobs.clone());
    if parts(&inventory) != parts(&other) {
        return Err(MoveError::Differs("inventory"));
    }
    same!("header", from, to, header(s));
    same!("totals", from, to, usage(s));
    for table in TABLES {
        same!("rows", from, to, rows(s, table));
    }
    for dataset in &inventory.datasets {
        let d = dataset.dataset;
        let mut after = None;
        while let Some(last) = same!("heads", from, to, heads(s, d, after, PAGE.rows)).last() {
            after = Some(last.seq);
        }
        let mut cursor = Cursor::START;
        while let Page::Rows { next: Some(next), .. } = same!("objects", from, to, changes(s, d, cursor, PAGE)) {
            cursor = next;
        }
    }
    for (m, _) in &inventory.mailboxes {
        let mut after = 0;
        while let Some(last) = same!("mail", from, to, mail_list(s, *m, after, PAGE)).last() {
            after = last.n;
        }
    }
    for (b, blob) in &inventory.blobs {
        for n in 0..blob.len.div_ceil(BLOB_PART) {
            let start = n.saturating_mul(BLOB_PART);
            same!("blobs", from, to, blob_read(s, *b, start..start.saturating_add(BLOB_PART)));
        }
    }
    Ok(())
}
