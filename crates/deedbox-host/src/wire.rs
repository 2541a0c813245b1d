//! Bodies of requests and replies: deterministic CBOR, written and read here for clients and hosts alike.
//!
//! Readers are strict and return `None` for whatever they do not know; what they return borrows from the bytes.

use deedbox_cbor::{Item, Limits, Order, Writer, read};
use deedbox_model::{BlobId, CapabilityId, DatasetId, MailboxId, ObjectId, Seq, StoreId, Timestamp};
use deedbox_store::{Cursor, Erasure, HeadHash, Mode, ObjectRow, Total, Usage};

/// Most bytes of a body that a reader of replies takes.
pub const MAX_REPLY: usize = 64 << 20;

/// An object on the wire.
///
/// ```cddl
/// obj = [object: b16, seq: uint, kind: uint .size 1, body: bstr]
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Object<'a> {
    /// Its id.
    pub object: ObjectId,
    /// The sequence number of the head that wrote it.
    pub seq: Seq,
    /// Its kind.
    pub kind: u8,
    /// Its bytes.
    pub body: &'a [u8],
}

impl<'a> Object<'a> {
    /// An object.
    #[must_use]
    pub const fn new(object: ObjectId, seq: Seq, kind: u8, body: &'a [u8]) -> Self {
        Self { object, seq, kind, body }
    }

    fn encode(&self, writer: &mut Writer) {
        writer.array(4);
        self.object.encode(writer);
        self.seq.encode(writer);
        writer.uint(u64::from(self.kind)).bytes(self.body);
    }

    fn decode(item: Item<'a>) -> Option<Self> {
        let [object, seq, kind, body] = item.as_array()?.exactly()?;
        Some(Self {
            object: ObjectId::decode(object)?,
            seq: Seq::decode(seq)?,
            kind: kind.as_u8()?,
            body: body.as_bytes()?,
        })
    }
}

impl<'a> From<&'a ObjectRow> for Object<'a> {
    fn from(row: &'a ObjectRow) -> Self {
        Self { object: row.object, seq: row.seq, kind: row.kind, body: &row.body }
    }
}

/// One dataset's part of a commit.
///
/// ```cddl
/// part = [dataset: b16, expect: b32 / null, seq: uint, head: bstr, mode: 0..1, [* obj], removes: [* b16]]
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartBody<'a> {
    /// Which dataset.
    pub dataset: DatasetId,
    /// SHA-256 of the head it replaces.
    pub expect: Option<HeadHash>,
    /// The new head's sequence number.
    pub seq: Seq,
    /// The new head.
    pub head: &'a [u8],
    /// 0 next, 1 replace.
    pub mode: Mode,
    /// Objects written.
    pub puts: Vec<Object<'a>>,
    /// Objects removed.
    pub removes: Vec<ObjectId>,
}

impl<'a> PartBody<'a> {
    /// A part that puts and removes nothing yet.
    #[must_use]
    pub const fn new(dataset: DatasetId, expect: Option<HeadHash>, seq: Seq, head: &'a [u8], mode: Mode) -> Self {
        Self { dataset, expect, seq, head, mode, puts: Vec::new(), removes: Vec::new() }
    }

    fn encode(&self, writer: &mut Writer) {
        writer.array(7);
        self.dataset.encode(writer);
        match &self.expect {
            Some(hash) => writer.bytes(&hash.0),
            None => writer.null(),
        };
        self.seq.encode(writer);
        writer.bytes(self.head).uint(u64::from(self.mode == Mode::Replace));
        writer.array(self.puts.len());
        self.puts.iter().for_each(|put| put.encode(writer));
        encode_ids(writer, &self.removes);
    }

    fn decode(item: Item<'a>) -> Option<Self> {
        let [dataset, expect, seq, head, mode, puts, removes] = item.as_array()?.exactly()?;
        Some(Self {
            dataset: DatasetId::decode(dataset)?,
            expect: if expect.is_null() { None } else { Some(HeadHash(expect.as_byte_array()?)) },
            seq: Seq::decode(seq)?,
            head: head.as_bytes()?,
            mode: match mode.as_u64()? {
                0 => Mode::Next,
                1 => Mode::Replace,
                _ => return None,
            },
            puts: puts.as_array()?.iter().map(Object::decode).collect::<Option<_>>()?,
            removes: decode_ids(removes)?,
        })
    }
}

/// A commit.
///
/// ```cddl
/// commit-body = { 1: [* part], ? 2: [* [mailbox: b16, dedupe: b16, body: bstr]], ? 3: [expect: uint, header: bstr] }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommitBody<'a> {
    /// Datasets with a new head.
    pub parts: Vec<PartBody<'a>>,
    /// Mail to push: mailbox, dedupe id, bytes.
    pub mail: Vec<(MailboxId, [u8; 16], &'a [u8])>,
    /// The header's exchange: version in force, new header.
    pub header: Option<(u64, &'a [u8])>,
}

impl<'a> CommitBody<'a> {
    /// A commit of these parts.
    #[must_use]
    pub const fn new(parts: Vec<PartBody<'a>>) -> Self {
        Self { parts, mail: Vec::new(), header: None }
    }

    /// The commit's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        write(|writer| {
            writer.map(|map| {
                map.int(1, |w| {
                    w.array(self.parts.len());
                    self.parts.iter().for_each(|part| part.encode(w));
                });
                if !self.mail.is_empty() {
                    map.int(2, |w| {
                        w.array(self.mail.len());
                        for (mailbox, dedupe, body) in &self.mail {
                            w.array(3).bytes(mailbox.as_bytes()).bytes(dedupe).bytes(body);
                        }
                    });
                }
                if let Some((expect, header)) = self.header {
                    map.int(3, |w| {
                        w.array(2).uint(expect).bytes(header);
                    });
                }
            });
        })
    }

    /// Reads a commit of at most `limit` bytes.
    #[must_use]
    pub fn from_bytes(bytes: &'a [u8], limit: usize) -> Option<Self> {
        let mut fields = item(bytes, limit)?.as_map()?.fields();
        let parts = fields.required(1)?.as_array()?.iter().map(PartBody::decode).collect::<Option<_>>()?;
        let mut mail = Vec::new();
        if let Some(items) = fields.optional(2)? {
            for item in items.as_array()? {
                let [mailbox, dedupe, body] = item.as_array()?.exactly()?;
                mail.push((MailboxId::decode(mailbox)?, dedupe.as_byte_array()?, body.as_bytes()?));
            }
            if mail.is_empty() {
                return None;
            }
        }
        let header = match fields.optional(3)? {
            None => None,
            Some(swap) => {
                let [expect, header] = swap.as_array()?.exactly()?;
                Some((expect.as_u64()?, header.as_bytes()?))
            }
        };
        fields.finish()?;
        Some(Self { parts, mail, header })
    }
}

/// What stands in the way of a commit: the body of its 409.
///
/// ```cddl
/// conflict = [dataset: b16, head: bstr / null] / [null, header-version: uint]
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a client must notice each")]
pub enum ConflictBody<'a> {
    /// Another head is in force.
    Head(DatasetId, Option<&'a [u8]>),
    /// Another header is in force.
    Header(u64),
}

impl<'a> ConflictBody<'a> {
    /// The bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        write(|writer| {
            writer.array(2);
            match self {
                Self::Head(dataset, Some(head)) => writer.bytes(dataset.as_bytes()).bytes(head),
                Self::Head(dataset, None) => writer.bytes(dataset.as_bytes()).null(),
                Self::Header(version) => writer.null().uint(*version),
            };
        })
    }

    /// Reads the bytes.
    #[must_use]
    pub fn from_bytes(bytes: &'a [u8]) -> Option<Self> {
        let [dataset, what] = item(bytes, MAX_REPLY)?.as_array()?.exactly()?;
        match (dataset.is_null(), what.is_null()) {
            (true, _) => Some(Self::Header(what.as_u64()?)),
            (false, true) => Some(Self::Head(DatasetId::decode(dataset)?, None)),
            (false, false) => Some(Self::Head(DatasetId::decode(dataset)?, Some(what.as_bytes()?))),
        }
    }
}

/// Some objects and the head they belong to: `[head: bstr, [* obj / null]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObjectsBody<'a> {
    /// The head in force.
    pub head: &'a [u8],
    /// In the order asked for.
    pub rows: Vec<Option<Object<'a>>>,
}

impl<'a> ObjectsBody<'a> {
    /// Some objects.
    #[must_use]
    pub const fn new(head: &'a [u8], rows: Vec<Option<Object<'a>>>) -> Self {
        Self { head, rows }
    }

    /// The bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        write(|writer| {
            writer.array(2).bytes(self.head).array(self.rows.len());
            for row in &self.rows {
                match row {
                    Some(row) => row.encode(writer),
                    None => {
                        writer.null();
                    }
                }
            }
        })
    }

    /// Reads the bytes.
    #[must_use]
    pub fn from_bytes(bytes: &'a [u8]) -> Option<Self> {
        let [head, rows] = item(bytes, MAX_REPLY)?.as_array()?.exactly()?;
        let row = |item: Item<'a>| if item.is_null() { Some(None) } else { Object::decode(item).map(Some) };
        let rows = rows.as_array()?.iter().map(row).collect::<Option<_>>()?;
        Some(Self { head: head.as_bytes()?, rows })
    }
}

/// A page of changes.
///
/// ```cddl
/// page = { 1: [* head: bstr], 2: [* obj], 3: next: bstr .size 32 / null, 4: resync: bool }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PageBody<'a> {
    /// The head the page ends at; those before it come from the heads.
    pub heads: Vec<&'a [u8]>,
    /// The next objects.
    pub rows: Vec<Object<'a>>,
    /// Where to go on.
    pub next: Option<Cursor>,
    /// Whether objects were removed since the cursor, so that the walk has to begin again.
    pub resync: bool,
}

impl<'a> PageBody<'a> {
    /// A page.
    #[must_use]
    pub const fn new(heads: Vec<&'a [u8]>, rows: Vec<Object<'a>>, next: Option<Cursor>, resync: bool) -> Self {
        Self { heads, rows, next, resync }
    }

    /// The bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        write(|writer| {
            writer.map(|map| {
                map.int(1, |w| {
                    w.array(self.heads.len());
                    self.heads.iter().for_each(|head| {
                        w.bytes(head);
                    });
                })
                .int(2, |w| {
                    w.array(self.rows.len());
                    self.rows.iter().for_each(|row| row.encode(w));
                })
                .int(3, |w| {
                    match self.next {
                        Some(next) => w.bytes(&next.to_bytes()),
                        None => w.null(),
                    };
                })
                .int(4, |w| {
                    w.bool(self.resync);
                });
            });
        })
    }

    /// Reads the bytes.
    #[must_use]
    pub fn from_bytes(bytes: &'a [u8]) -> Option<Self> {
        let mut fields = item(bytes, MAX_REPLY)?.as_map()?.fields();
        let heads = fields.required(1)?.as_array()?.iter().map(Item::as_bytes).collect::<Option<_>>()?;
        let rows = fields.required(2)?.as_array()?.iter().map(Object::decode).collect::<Option<_>>()?;
        let next = fields.required(3)?;
        let next = if next.is_null() { None } else { Some(Cursor::from_bytes(next.as_bytes()?)?) };
        let resync = fields.required(4)?.as_bool()?;
        fields.finish()?;
        Some(Self { heads, rows, next, resync })
    }
}

/// An item of a mailbox on the wire: `[n: uint, dedupe: b16, at: uint, body: bstr]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MailBody<'a> {
    /// Its number.
    pub n: u64,
    /// The sender's id for it.
    pub dedupe: [u8; 16],
    /// When it arrived, by the host's clock.
    pub at: Timestamp,
    /// Its bytes.
    pub body: &'a [u8],
}

impl<'a> MailBody<'a> {
    /// An item.
    #[must_use]
    pub const fn new(n: u64, dedupe: [u8; 16], at: Timestamp, body: &'a [u8]) -> Self {
        Self { n, dedupe, at, body }
    }

    /// The bytes of a list.
    #[must_use]
    pub fn list_to_bytes(items: &[Self]) -> Vec<u8> {
        write(|writer| {
            writer.array(items.len());
            for item in items {
                writer.array(4).uint(item.n).bytes(&item.dedupe).uint(item.at.secs()).bytes(item.body);
            }
        })
    }

    /// Reads a list.
    #[must_use]
    pub fn list_from_bytes(bytes: &'a [u8]) -> Option<Vec<Self>> {
        let read = |item: Item<'a>| {
            let [n, dedupe, at, body] = item.as_array()?.exactly()?;
            Some(Self {
                n: n.as_u64()?,
                dedupe: dedupe.as_byte_array()?,
                at: Timestamp::decode(at)?,
                body: body.as_bytes()?,
            })
        };
        item(bytes, MAX_REPLY)?.as_array()?.iter().map(read).collect()
    }
}

/// What a new store begins with.
///
/// ```cddl
/// create = [store: b16, header: bstr, capability: b16, holder: b32]
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CreateBody<'a> {
    /// The store's true id.
    pub store: StoreId,
    /// Its header.
    pub header: &'a [u8],
    /// Id of the owner's first capability.
    pub capability: CapabilityId,
    /// The owner's Ed25519 key at this host.
    pub holder: [u8; 32],
}

impl<'a> CreateBody<'a> {
    /// A new store.
    #[must_use]
    pub const fn new(store: StoreId, header: &'a [u8], capability: CapabilityId, holder: [u8; 32]) -> Self {
        Self { store, header, capability, holder }
    }

    /// The bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        write(|writer| {
            writer.array(4).bytes(self.store.as_bytes()).bytes(self.header);
            writer.bytes(self.capability.as_bytes()).bytes(&self.holder);
        })
    }

    /// Reads at most `limit` bytes.
    #[must_use]
    pub fn from_bytes(bytes: &'a [u8], limit: usize) -> Option<Self> {
        let [store, header, capability, holder] = item(bytes, limit)?.as_array()?.exactly()?;
        Some(Self {
            store: StoreId::decode(store)?,
            header: header.as_bytes()?,
            capability: CapabilityId::decode(capability)?,
            holder: holder.as_byte_array()?,
        })
    }
}

/// What is to be purged.
///
/// ```cddl
/// purge = [0, dataset: b16, [* object: b16]] / [1, dataset: b16] / [2, blob: b16] / [3, mailbox: b16]
///         / [4]                                                                            ; traces
///         / [5]                                                                            ; the store
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a receipt must say each")]
pub enum PurgeBody {
    /// One blob.
    Blob(BlobId),
    /// One dataset.
    Dataset(DatasetId),
    /// One mailbox.
    Mailbox(MailboxId),
    /// Objects of a dataset.
    Objects(DatasetId, Vec<ObjectId>),
    /// The whole store.
    Store,
    /// What is left of bytes removed before.
    Traces,
}

impl PurgeBody {
    /// The bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        write(|writer| self.encode(writer))
    }

    /// Writes one item.
    pub fn encode(&self, writer: &mut Writer) {
        match self {
            Self::Objects(dataset, objects) => {
                writer.array(3).uint(0).bytes(dataset.as_bytes());
                encode_ids(writer, objects);
            }
            Self::Dataset(id) => {
                writer.array(2).uint(1).bytes(id.as_bytes());
            }
            Self::Blob(id) => {
                writer.array(2).uint(2).bytes(id.as_bytes());
            }
            Self::Mailbox(id) => {
                writer.array(2).uint(3).bytes(id.as_bytes());
            }
            Self::Traces => {
                writer.array(1).uint(4);
            }
            Self::Store => {
                writer.array(1).uint(5);
            }
        }
    }

    /// Reads at most `limit` bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8], limit: usize) -> Option<Self> {
        Self::decode(item(bytes, limit)?)
    }

    /// Reads one item.
    #[must_use]
    pub fn decode(item: Item<'_>) -> Option<Self> {
        let parts: Vec<_> = item.as_array()?.iter().collect();
        let kind = parts.first()?.as_u64()?;
        match (kind, parts.get(1..)?) {
            (0, [dataset, objects]) => Some(Self::Objects(DatasetId::decode(*dataset)?, decode_ids(*objects)?)),
            (1, [id]) => Some(Self::Dataset(DatasetId::decode(*id)?)),
            (2, [id]) => Some(Self::Blob(BlobId::decode(*id)?)),
            (3, [id]) => Some(Self::Mailbox(MailboxId::decode(*id)?)),
            (4, []) => Some(Self::Traces),
            (5, []) => Some(Self::Store),
            _ => None,
        }
    }
}

/// What a host says it removed. Canonical CBOR; the embedder signs it.
///
/// ```cddl
/// purge-receipt = { 1: time: uint, 2: purge, 3: rows: uint, 4: bytes: uint, 5: erasure: 0..1, 6: share-backup-days: uint }
/// ```
/// Erasure 0: no longer to be reached through the host. 1: in none of the host's files.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PurgeReceipt {
    /// When, by the host's clock.
    pub time: Timestamp,
    /// What was purged.
    pub purge: PurgeBody,
    /// Rows removed.
    pub rows: u64,
    /// Bytes removed.
    pub bytes: u64,
    /// Whether the bytes have left the host's files. Only the traces' purge makes it so.
    pub physical: bool,
    /// Days that a back-up of a share may outlive it.
    pub share_backup_days: u32,
}

impl PurgeReceipt {
    pub(crate) fn new(
        time: Timestamp,
        purge: PurgeBody,
        purged: deedbox_store::Purged,
        share_backup_days: u32,
    ) -> Self {
        let whole = matches!(purge, PurgeBody::Traces | PurgeBody::Store);
        let physical = whole && purged.erasure == Erasure::Physical;
        Self { time, purge, rows: purged.rows, bytes: purged.bytes, physical, share_backup_days }
    }

    /// The bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        write(|writer| {
            writer.map(|map| {
                map.int(1, |w| self.time.encode(w)).int(2, |w| self.purge.encode(w));
                for (key, value) in [
                    (3, self.rows),
                    (4, self.bytes),
                    (5, u64::from(self.physical)),
                    (6, u64::from(self.share_backup_days)),
                ] {
                    map.int(key, |w| {
                        w.uint(value);
                    });
                }
            });
        })
    }

    /// Reads the bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut fields = item(bytes, MAX_REPLY)?.as_map()?.fields();
        let receipt = Self {
            time: Timestamp::decode(fields.required(1)?)?,
            purge: PurgeBody::decode(fields.required(2)?)?,
            rows: fields.required(3)?.as_u64()?,
            bytes: fields.required(4)?.as_u64()?,
            physical: match fields.required(5)?.as_u64()? {
                0 => false,
                1 => true,
                _ => return None,
            },
            share_backup_days: fields.required(6)?.as_u32()?,
        };
        fields.finish()?;
        Some(receipt)
    }
}

/// The totals of a store: `{ * class: uint => [count: uint, bytes: uint] }`, classes 1 header, 2 datasets, 3 objects,
/// 4 mail, 5 blobs, 6 rows.
#[must_use]
pub fn usage_to_bytes(usage: &Usage) -> Vec<u8> {
    let totals = [usage.header, usage.datasets, usage.objects, usage.mail, usage.blobs, usage.rows];
    write(|writer| {
        writer.map(|map| {
            for (class, total) in (1..).zip(totals) {
                map.int(class, |w| {
                    w.array(2).uint(total.count).uint(total.bytes);
                });
            }
        });
    })
}

/// Reads what [`usage_to_bytes`] wrote.
#[must_use]
pub fn usage_from_bytes(bytes: &[u8]) -> Option<Usage> {
    let mut fields = item(bytes, MAX_REPLY)?.as_map()?.fields();
    let mut usage = Usage::default();
    let totals = [
        &mut usage.header,
        &mut usage.datasets,
        &mut usage.objects,
        &mut usage.mail,
        &mut usage.blobs,
        &mut usage.rows,
    ];
    for (class, total) in (1..).zip(totals) {
        let [count, bytes] = fields.required(class)?.as_array()?.exactly()?;
        *total = Total { count: count.as_u64()?, bytes: bytes.as_u64()? };
    }
    fields.finish()?;
    Some(usage)
}

/// A list of object ids: `[* object: b16]`.
#[must_use]
pub fn ids_to_bytes(ids: &[ObjectId]) -> Vec<u8> {
    write(|writer| encode_ids(writer, ids))
}

/// Reads what [`ids_to_bytes`] wrote, of at most `limit` bytes.
#[must_use]
pub fn ids_from_bytes(bytes: &[u8], limit: usize) -> Option<Vec<ObjectId>> {
    decode_ids(item(bytes, limit)?)
}

/// A list of byte strings: `[* bstr]`. Heads come so.
#[must_use]
pub fn list_to_bytes<'a>(list: impl ExactSizeIterator<Item = &'a [u8]>) -> Vec<u8> {
    write(|writer| {
        writer.array(list.len());
        for entry in list {
            writer.bytes(entry);
        }
    })
}

/// Reads what [`list_to_bytes`] wrote.
#[must_use]
pub fn list_from_bytes(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    item(bytes, MAX_REPLY)?.as_array()?.iter().map(Item::as_bytes).collect()
}

/// Two byte strings: `[bstr, bstr]`. The head and its leaf hashes come so, and mail is pushed so: dedupe id, body.
#[must_use]
pub fn pair_to_bytes(first: &[u8], second: &[u8]) -> Vec<u8> {
    write(|writer| {
        writer.array(2).bytes(first).bytes(second);
    })
}

/// Reads what [`pair_to_bytes`] wrote, of at most `limit` bytes.
#[must_use]
pub fn pair_from_bytes(bytes: &[u8], limit: usize) -> Option<(&[u8], &[u8])> {
    let [first, second] = item(bytes, limit)?.as_array()?.exactly()?;
    Some((first.as_bytes()?, second.as_bytes()?))
}

/// A number and bytes: `[uint, bstr]`. The header and its version come so.
#[must_use]
pub fn versioned_to_bytes(version: u64, value: &[u8]) -> Vec<u8> {
    write(|writer| {
        writer.array(2).uint(version).bytes(value);
    })
}

/// Reads what [`versioned_to_bytes`] wrote.
#[must_use]
pub fn versioned_from_bytes(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let [version, value] = item(bytes, MAX_REPLY)?.as_array()?.exactly()?;
    Some((version.as_u64()?, value.as_bytes()?))
}

/// One byte string. A share comes so.
#[must_use]
pub fn bytes_to_bytes(value: &[u8]) -> Vec<u8> {
    write(|writer| {
        writer.bytes(value);
    })
}

/// Reads what [`bytes_to_bytes`] wrote.
#[must_use]
pub fn bytes_from_bytes(bytes: &[u8]) -> Option<&[u8]> {
    item(bytes, MAX_REPLY)?.as_bytes()
}

/// One number. The count of acknowledged mail and the state of a capability come so.
#[must_use]
pub fn uint_to_bytes(value: u64) -> Vec<u8> {
    write(|writer| {
        writer.uint(value);
    })
}

/// Reads what [`uint_to_bytes`] wrote.
#[must_use]
pub fn uint_from_bytes(bytes: &[u8]) -> Option<u64> {
    item(bytes, 16)?.as_u64()
}

fn encode_ids(writer: &mut Writer, ids: &[ObjectId]) {
    writer.array(ids.len());
    ids.iter().for_each(|id| id.encode(writer));
}

fn decode_ids(item: Item<'_>) -> Option<Vec<ObjectId>> {
    item.as_array()?.iter().map(ObjectId::decode).collect()
}

fn write(f: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::new();
    f(&mut writer);
    writer.into_vec()
}

fn item(bytes: &[u8], limit: usize) -> Option<Item<'_>> {
    read(bytes, Order::Canonical, &Limits::new(limit)).ok()
}
