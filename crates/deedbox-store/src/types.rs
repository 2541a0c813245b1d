//! What goes into a store and comes out of it: opaque bytes, ids, numbers, and hashes that somebody else computed.

use deedbox_model::{BlobId, DatasetId, MailboxId, ObjectId, Seq, Timestamp};

/// The greatest sequence number a backend keeps: 2^63 − 1.
pub const MAX_SEQ: u64 = i64::MAX as u64;

/// How many heads of a dataset are kept: the newest.
pub const KEPT_HEADS: u64 = 4_096;

/// How many bytes of a blob lie in one row.
pub const BLOB_PART: u64 = 1 << 20;

/// SHA-256 of a head's bytes, computed by the caller and only compared here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeadHash(pub [u8; 32]);

/// A value with the version that a later change has to name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned<T> {
    /// Counts up with each change.
    pub version: u64,
    /// The value.
    pub value: T,
}

/// Stands for a store as it was at a moment; see [`Storage::stamp`](crate::Storage::stamp). What is in it is the backend's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp(pub [u64; 4]);

/// What a new store begins with.
#[derive(Debug, Clone, Copy)]
pub struct NewStore<'a> {
    /// The store header, opaque here.
    pub header: &'a [u8],
    /// The version inside that header; a moved store does not begin at 1.
    pub header_version: u64,
    /// The owner's capability row: key and value, put into [`Table::Capabilities`] at version 1.
    pub owner: Option<(RowKey, &'a [u8])>,
    /// What the header and the row are counted against.
    pub quota: &'a Quota,
}

/// One change of a store: all of it, or nothing.
#[derive(Debug, Clone, Copy)]
pub struct Commit<'a> {
    /// Datasets that get a new head, each at most once.
    pub parts: &'a [Part<'a>],
    /// Mail to push.
    pub mail: &'a [Mail<'a>],
    /// The store header's exchange.
    pub header: Option<HeaderSwap<'a>>,
    /// What the totals after the commit are held against.
    pub quota: &'a Quota,
}

/// The new head of one dataset, and what it changes.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// Which dataset.
    pub dataset: DatasetId,
    /// Hash of the head this part replaces; `None` for the first.
    pub expect: Option<HeadHash>,
    /// Sequence number of the new head.
    pub seq: Seq,
    /// Hash of the new head.
    pub hash: HeadHash,
    /// The new head, opaque here.
    pub head: &'a [u8],
    /// Next step, or whole exchange.
    pub mode: Mode,
    /// Objects written, each at most once.
    pub puts: &'a [Put<'a>],
    /// Objects removed; absent ones change nothing.
    pub removes: &'a [ObjectId],
}

/// An object to write.
#[derive(Debug, Clone, Copy)]
pub struct Put<'a> {
    /// Its id.
    pub object: ObjectId,
    /// The sequence number of the head that wrote it.
    pub seq: Seq,
    /// Its kind, opaque here.
    pub kind: u8,
    /// SHA-256 of `body`, computed by the caller.
    pub body_hash: [u8; 32],
    /// Its bytes, opaque here.
    pub body: &'a [u8],
}

/// How a part follows the head before it. Exhaustive: there are these two ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a backend must decide each way")]
pub enum Mode {
    /// Sequence number + 1, and every object put has that number.
    Next,
    /// Any greater sequence number; the dataset's whole content is exchanged.
    Replace,
}

/// An item for a mailbox.
#[derive(Debug, Clone, Copy)]
pub struct Mail<'a> {
    /// Which mailbox; it exists once something was pushed.
    pub mailbox: MailboxId,
    /// While an item with the same id is held, pushing changes nothing and counts as pushed.
    pub dedupe: [u8; 16],
    /// When it arrived, by the host's clock.
    pub at: Timestamp,
    /// When it lapses, by the host's clock.
    pub expires: Timestamp,
    /// Sealed by the sender, opaque here.
    pub body: &'a [u8],
}

/// The exchange of the store header: version `expect` becomes `expect + 1`.
#[derive(Debug, Clone, Copy)]
pub struct HeaderSwap<'a> {
    /// The version held at present.
    pub expect: u64,
    /// The new header, opaque here.
    pub body: &'a [u8],
}

/// What became of a commit. Exhaustive: a caller must notice a new outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a conflict is an outcome, not an error"]
#[expect(clippy::exhaustive_enums, reason = "a caller must notice a new outcome")]
pub enum CommitOutcome {
    /// Another head is in force. Nothing was changed. Where it is the caller's own, an earlier try was done.
    Conflict {
        /// The first part that did not fit.
        dataset: DatasetId,
        /// The head in force, if there is one.
        head: Option<HeadRow>,
    },
    /// All of it is durable.
    Done,
    /// Another header is in force. Nothing was changed.
    HeaderConflict {
        /// Its version.
        version: u64,
    },
}

/// A head as it was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadRow {
    /// Its sequence number.
    pub seq: Seq,
    /// Its hash, as the committer gave it.
    pub hash: HeadHash,
    /// Its bytes.
    pub body: Vec<u8>,
}

/// An object as it was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectRow {
    /// Its id.
    pub object: ObjectId,
    /// The sequence number of the head that wrote it.
    pub seq: Seq,
    /// Its kind.
    pub kind: u8,
    /// SHA-256 of the body, as the committer gave it.
    pub body_hash: [u8; 32],
    /// Its bytes.
    pub body: Vec<u8>,
}

/// An object without its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexRow {
    /// Its id.
    pub object: ObjectId,
    /// The sequence number of the head that wrote it.
    pub seq: Seq,
    /// Its kind.
    pub kind: u8,
    /// SHA-256 of the body.
    pub body_hash: [u8; 32],
}

/// Some objects and the head they belong to, read at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The head in force.
    pub head: HeadRow,
    /// In the order asked for; `None` where there is no such object.
    pub rows: Vec<Option<ObjectRow>>,
}

/// A whole dataset without its bytes, in the order of object ids, and the head it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// The head in force.
    pub head: HeadRow,
    /// Every object.
    pub rows: Vec<IndexRow>,
}

/// Where a walk through a dataset's changes stands. Callers keep it and give it back; only [`Cursor::START`] and
/// [`Cursor::after`] are made by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor {
    pub(crate) seq: u64,
    pub(crate) object: [u8; 16],
    /// Removals up to this sequence number are known to the walker.
    pub(crate) floor: u64,
}

impl Cursor {
    /// Length of [`Cursor::to_bytes`].
    pub const LENGTH: usize = 32;
    /// The beginning: whoever starts here has nothing yet, so no removal can be missed.
    pub const START: Self = Self { seq: 0, object: [0; 16], floor: 0 };

    /// Everything up to and including the head `seq` is known.
    #[must_use]
    pub const fn after(seq: Seq) -> Self {
        Self { seq: seq.get(), object: [0xff; 16], floor: seq.get() }
    }

    /// The cursor as bytes: seq (8, big-endian) ‖ object (16) ‖ floor (8, big-endian).
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::LENGTH] {
        let mut out = [0; Self::LENGTH];
        let (seq, rest) = out.split_at_mut(8);
        let (object, floor) = rest.split_at_mut(16);
        seq.copy_from_slice(&self.seq.to_be_bytes());
        object.copy_from_slice(&self.object);
        floor.copy_from_slice(&self.floor.to_be_bytes());
        out
    }

    /// The reverse of [`Cursor::to_bytes`]; `None` for another length or numbers beyond [`MAX_SEQ`].
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (seq, rest) = bytes.split_first_chunk::<8>()?;
        let (object, rest) = rest.split_first_chunk::<16>()?;
        let floor = rest.first_chunk::<8>().filter(|_| rest.len() == 8)?;
        let (seq, floor) = (u64::from_be_bytes(*seq), u64::from_be_bytes(*floor));
        (seq <= MAX_SEQ && floor <= MAX_SEQ).then_some(Self { seq, object: *object, floor })
    }

    pub(crate) fn is_start(self) -> bool {
        self == Self::START
    }
}

/// How much a page holds. One row is always given, however long, so that a walk gets on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Most rows.
    pub rows: u32,
    /// Most bytes of bodies.
    pub bytes: u64,
}

impl Default for Limit {
    /// 1,000 rows, 8 MiB.
    fn default() -> Self {
        Self { rows: 1_000, bytes: 8 << 20 }
    }
}

/// A page of changes, read at one moment. Exhaustive: a caller must notice a new kind.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a caller must notice a new kind of page")]
pub enum Page {
    /// Objects were removed since the cursor: begin again at [`Cursor::START`], or compare with the index.
    Resync {
        /// The head in force.
        head: HeadRow,
    },
    /// The next rows, in the order of (seq, object).
    Rows {
        /// The head in force.
        head: HeadRow,
        /// The rows.
        rows: Vec<ObjectRow>,
        /// Where to go on; `None` when everything up to `head` was given: later, go on from [`Cursor::after`] it.
        next: Option<Cursor>,
    },
}

/// A blob without its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobRow {
    /// Bytes held.
    pub len: u64,
    /// Whether it is immutable.
    pub sealed: bool,
}

/// An item in a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailRow {
    /// Its number in its mailbox, from 1, without gaps.
    pub n: u64,
    /// The sender's id for it.
    pub dedupe: [u8; 16],
    /// When it arrived.
    pub at: Timestamp,
    /// When it lapses.
    pub expires: Timestamp,
    /// Its bytes.
    pub body: Vec<u8>,
}

/// The tables of small rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Table {
    /// Capabilities, by their id.
    Capabilities,
    /// Whatever else a host keeps about a store.
    Settings,
}

impl Table {
    /// The table's number, as files and backends keep it.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Capabilities => 1,
            Self::Settings => 2,
        }
    }
}

/// The key of a small row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey(pub [u8; 16]);

/// What became of a row's exchange. Exhaustive: a caller must notice a new outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a conflict is an outcome, not an error"]
#[expect(clippy::exhaustive_enums, reason = "a caller must notice a new outcome")]
pub enum Swap {
    /// Another version is in force (`None`: no row). Nothing was changed.
    Conflict(Option<u64>),
    /// Durable; the new version (`None`: the row is gone).
    Done(Option<u64>),
}

/// What to remove.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Purge<'a> {
    /// One blob.
    Blob(BlobId),
    /// A dataset: its heads and objects.
    Dataset(DatasetId),
    /// A mailbox, its numbering too.
    Mailbox(MailboxId),
    /// Objects of one dataset, without a new head.
    Objects(DatasetId, &'a [ObjectId]),
    /// The whole store, with its aliases and shares.
    Store,
    /// What is left of bytes removed before, in logs and free pages.
    Traces,
}

/// What a purge removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purged {
    /// Rows removed.
    pub rows: u64,
    /// Bytes of bodies removed.
    pub bytes: u64,
    /// What a removed byte is, on this backend.
    pub erasure: Erasure,
}

/// What becomes of removed bytes once the traces are purged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Erasure {
    /// No longer to be reached through the backend; copies may be left in its files.
    Logical,
    /// In none of the backend's files. Blocks of the disk are out of scope: encrypt the disk.
    Physical,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Class {
    /// Blobs.
    Blobs,
    /// Datasets; their bytes are those of the heads kept.
    Datasets,
    /// The store header.
    Header,
    /// Mail held.
    Mail,
    /// Objects.
    Objects,
    /// Small rows.
    Rows,
    /// All of them.
    Store,
}

/// How many, and how many bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Total {
    /// How many.
    pub count: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
}

/// What was charged to a meter on one day in one class. There is no store in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeterRow {
    /// Which meter.
    pub meter: [u8; 16],
    /// Days since 1970-01-01, UTC.
    pub day: u64,
    /// The class of requests, opaque here.
    pub class: u8,
    /// How many, and how many bytes; sums end at 2^63 − 1.
    pub total: Total,
}

/// What a store holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Blobs.
    pub blobs: Total,
    /// Datasets, and the heads kept of them.
    pub datasets: Total,
    /// The store header.
    pub header: Total,
    /// Mail held.
    pub mail: Total,
    /// Objects.
    pub objects: Total,
    /// Small rows.
    pub rows: Total,
}

impl Usage {
    /// Bytes of everything.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        [self.blobs, self.datasets, self.header, self.mail, self.objects, self.rows]
            .iter()
            .fold(0, |sum, total| sum.saturating_add(total.bytes))
    }
}

/// The most a store may hold. What exceeds it already may still shrink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Bytes of everything.
    pub bytes: u64,
    /// Objects.
    pub objects: u64,
    /// Datasets.
    pub datasets: u64,
    /// Bytes of one blob.
    pub blob_len: u64,
    /// Items in one mailbox.
    pub mailbox_items: u64,
    /// Bytes in one mailbox.
    pub mailbox_bytes: u64,
}

impl Default for Quota {
    /// 1 GiB, 200,000 objects, 4,096 datasets, blobs of 256 MiB, mailboxes of 10,000 items and 64 MiB.
    fn default() -> Self {
        Self {
            bytes: 1 << 30,
            objects: 200_000,
            datasets: 4_096,
            blob_len: 256 << 20,
            mailbox_items: 10_000,
            mailbox_bytes: 64 << 20,
        }
    }
}
