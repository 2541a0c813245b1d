//! The memory backend: a mutex and maps. The model that other backends are held against, and enough for tests.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, Range};
use std::sync::{Mutex, MutexGuard, PoisonError};

use deedbox_model::{BlobId, DatasetId, MailboxId, ObjectId, Seq, StoreId, StoreName, Timestamp};

use crate::error::StorageError;
use crate::rules::{check_commit, check_mailbox, check_quota, check_step, len};
use crate::storage::{Blocking, storage_from_blocking};
use crate::transfer::{Arrival, DatasetRow, Inventory, Transfer};
use crate::types::{
    BlobRow, Class, Commit, CommitOutcome, Cursor, Erasure, HeadRow, Index, IndexRow, KEPT_HEADS, Limit, MAX_SEQ,
    MailRow, MeterRow, Mode, NewStore, ObjectRow, Page, Part, Purge, Purged, Quota, RowKey, Snapshot, Stamp, Swap,
    Table, Total, Usage, Versioned,
};

/// Stores in memory; gone when it is dropped.
#[derive(Default)]
pub struct MemoryStorage {
    all: Mutex<All>,
}

#[derive(Default)]
struct All {
    stores: BTreeMap<StoreId, Store>,
    /// Stores that are being taken in.
    arriving: BTreeMap<StoreId, Store>,
    aliases: BTreeMap<StoreName, StoreId>,
    shares: BTreeMap<(StoreId, u32), [u8; 32]>,
    noted: u64,
    /// Counts whatever may have changed a store.
    changes: u64,
    meters: BTreeMap<([u8; 16], u64, u8), Total>,
}

struct Store {
    /// The last of [`All::changes`] that was this store's.
    changed: u64,
    header: Versioned<Vec<u8>>,
    usage: Usage,
    datasets: BTreeMap<DatasetId, Dataset>,
    mailboxes: BTreeMap<MailboxId, Mailbox>,
    blobs: BTreeMap<BlobId, Blob>,
    rows: BTreeMap<(Table, RowKey), Versioned<Vec<u8>>>,
}

#[derive(Default)]
struct Dataset {
    seq: u64,
    compacted: u64,
    heads: BTreeMap<u64, HeadRow>,
    objects: BTreeMap<ObjectId, ObjectRow>,
    by_seq: BTreeSet<(u64, ObjectId)>,
}

#[derive(Default)]
struct Mailbox {
    last: u64,
    held: Total,
    items: BTreeMap<u64, MailRow>,
    dedupe: BTreeSet<[u8; 16]>,
}

#[derive(Default)]
struct Blob {
    body: Vec<u8>,
    sealed: bool,
}

impl std::fmt::Debug for MemoryStorage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryStorage").finish_non_exhaustive()
    }
}

impl MemoryStorage {
    /// Without any store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

storage_from_blocking!(MemoryStorage);

impl All {
    fn store(&self, s: StoreId) -> Result<&Store, StorageError> {
        self.stores.get(&s).ok_or(StorageError::NotFound)
    }

    fn store_mut(&mut self, s: StoreId) -> Result<&mut Store, StorageError> {
        let store = self.stores.get_mut(&s).ok_or(StorageError::NotFound)?;
        self.changes = self.changes.wrapping_add(1);
        store.changed = self.changes;
        Ok(store)
    }

    fn begin(&mut self, s: StoreId, store: Store) {
        self.changes = self.changes.wrapping_add(1);
        self.stores.insert(s, Store { changed: self.changes, ..store });
    }

    fn resolve(&self, name: StoreName) -> Option<StoreId> {
        let id = StoreId::from_bytes(*name.as_bytes());
        if self.stores.contains_key(&id) { Some(id) } else { self.aliases.get(&name).copied() }
    }
}

impl Store {
    fn new(header: Versioned<Vec<u8>>) -> Self {
        Self {
            changed: 0,
            header,
            usage: Usage::default(),
            datasets: BTreeMap::new(),
            mailboxes: BTreeMap::new(),
            blobs: BTreeMap::new(),
            rows: BTreeMap::new(),
        }
    }

    fn take_in(&mut self, step: Arrival<'_>) {
        match step {
            Arrival::Rows(table, rows) => {
                self.rows.extend(rows.iter().map(|(key, row)| ((table, *key), row.clone())));
            }
            Arrival::Dataset(row) => {
                let dataset = self.datasets.entry(row.dataset).or_default();
                dataset.seq = row.seq.get();
                dataset.compacted = row.compacted;
            }
            Arrival::Heads(d, heads) => {
                let rows = heads.iter().map(|head| (head.seq.get(), head.clone()));
                self.datasets.entry(d).or_default().heads.extend(rows);
            }
            Arrival::Objects(d, objects) => {
                let dataset = self.datasets.entry(d).or_default();
                for row in objects {
                    dataset.by_seq.insert((row.seq.get(), row.object));
                    dataset.objects.insert(row.object, row.clone());
                }
            }
            Arrival::Mailbox(m, last) => self.mailboxes.entry(m).or_default().last = last,
            Arrival::Mail(m, items) => {
                let mailbox = self.mailboxes.entry(m).or_default();
                for row in items {
                    mailbox.held.add(1, len(&row.body));
                    mailbox.dedupe.insert(row.dedupe);
                    mailbox.items.insert(row.n, row.clone());
                }
            }
            Arrival::Blob(b, row) => self.blobs.entry(b).or_default().sealed = row.sealed,
            Arrival::BlobPart(b, _, bytes) => self.blobs.entry(b).or_default().body.extend_from_slice(bytes),
            Arrival::Abandon | Arrival::Begin(_) | Arrival::End => {}
        }
    }

    /// Counts everything anew.
    fn count(&mut self) {
        let mut usage = Usage { header: Total { count: 1, bytes: len(&self.header.value) }, ..Usage::default() };
        for dataset in self.datasets.values() {
            usage.datasets.add(1, dataset.heads.values().map(|head| len(&head.body)).sum());
            for row in dataset.objects.values() {
                usage.objects.add(1, len(&row.body));
            }
        }
        for mailbox in self.mailboxes.values() {
            usage.mail.add(mailbox.held.count, mailbox.held.bytes);
        }
        for blob in self.blobs.values() {
            usage.blobs.add(1, len(&blob.body));
        }
        for row in self.rows.values() {
            usage.rows.add(1, len(&row.value));
        }
        self.usage = usage;
    }

    fn dataset(&self, d: DatasetId) -> Result<(&Dataset, &HeadRow), StorageError> {
        let dataset = self.datasets.get(&d).ok_or(StorageError::NotFound)?;
        let head = dataset.heads.get(&dataset.seq).ok_or(StorageError::Corrupt)?;
        Ok((dataset, head))
    }

    /// The totals after the commit, and the items it really pushes: everything is decided before anything is touched.
    fn plan(&self, commit: &Commit<'_>) -> Result<(Usage, Vec<MailboxPlan>), StorageError> {
        let mut usage = self.usage;
        for part in commit.parts {
            self.plan_part(part, &mut usage);
        }
        let mut plans: Vec<MailboxPlan> = Vec::new();
        let mut boxes: BTreeMap<MailboxId, (u64, Total, BTreeSet<[u8; 16]>)> = BTreeMap::new();
        for mail in commit.mail {
            let (last, held, fresh) = boxes.entry(mail.mailbox).or_insert_with(|| {
                self.mailboxes.get(&mail.mailbox).map_or_else(Default::default, |b| (b.last, b.held, BTreeSet::new()))
            });
            let known = self.mailboxes.get(&mail.mailbox).is_some_and(|b| b.dedupe.contains(&mail.dedupe));
            if known || !fresh.insert(mail.dedupe) {
                continue;
            }
            *last = last.saturating_add(1);
            held.add(1, len(mail.body));
            check_mailbox(*held, commit.quota)?;
            usage.mail.add(1, len(mail.body));
            let row =
                MailRow { n: *last, dedupe: mail.dedupe, at: mail.at, expires: mail.expires, body: mail.body.to_vec() };
            plans.push(MailboxPlan { mailbox: mail.mailbox, row });
        }
        if let Some(swap) = commit.header {
            usage.header = Total { count: 1, bytes: len(swap.body) };
        }
        check_quota(&self.usage, &usage, commit.quota)?;
        Ok((usage, plans))
    }

    fn plan_part(&self, part: &Part<'_>, usage: &mut Usage) {
        let dataset = self.datasets.get(&part.dataset);
        usage.datasets.add(u64::from(dataset.is_none()), len(part.head));
        for put in part.puts {
            usage.objects.add(1, len(put.body));
        }
        let Some(dataset) = dataset else { return };
        for (_, head) in dataset.heads.range(..=part.seq.get().saturating_sub(KEPT_HEADS)) {
            usage.datasets.sub(0, len(&head.body));
        }
        if part.mode == Mode::Replace {
            for row in dataset.objects.values() {
                usage.objects.sub(1, len(&row.body));
            }
        } else {
            let gone = part.puts.iter().map(|put| &put.object).chain(part.removes);
            for row in gone.filter_map(|object| dataset.objects.get(object)) {
                usage.objects.sub(1, len(&row.body));
            }
        }
    }
}

struct MailboxPlan {
    mailbox: MailboxId,
    row: MailRow,
}

impl Dataset {
    fn apply(&mut self, part: &Part<'_>) {
        let seq = part.seq.get();
        let before = self.objects.len();
        if part.mode == Mode::Replace {
            self.objects.clear();
            self.by_seq.clear();
        }
        let mut removed = part.mode == Mode::Replace && before > 0;
        for object in part.removes {
            removed |= self.remove(*object).is_some();
        }
        for put in part.puts {
            self.remove(put.object);
            self.by_seq.insert((put.seq.get(), put.object));
            self.objects.insert(
                put.object,
                ObjectRow {
                    object: put.object,
                    seq: put.seq,
                    kind: put.kind,
                    body_hash: put.body_hash,
                    body: put.body.to_vec(),
                },
            );
        }
        if removed {
            self.compacted = seq;
        }
        self.seq = seq;
        self.heads.insert(seq, HeadRow { seq: part.seq, hash: part.hash, body: part.head.to_vec() });
        let oldest = seq.saturating_sub(KEPT_HEADS);
        self.heads.retain(|seq, _| *seq > oldest);
    }

    fn remove(&mut self, object: ObjectId) -> Option<ObjectRow> {
        let row = self.objects.remove(&object)?;
        self.by_seq.remove(&(row.seq.get(), object));
        Some(row)
    }
}

impl Blocking for MemoryStorage {
    fn create(&self, s: StoreId, new: &NewStore<'_>) -> Result<(), StorageError> {
        if new.header_version > MAX_SEQ {
            return Err(StorageError::Invalid("a header version is beyond 2^63 - 1"));
        }
        let mut all = self.all();
        if all.resolve(StoreName::from_bytes(*s.as_bytes())).is_some() {
            return Err(StorageError::AlreadyExists);
        }
        let mut usage = Usage { header: Total { count: 1, bytes: len(new.header) }, ..Usage::default() };
        let mut rows = BTreeMap::new();
        if let Some((key, value)) = new.owner {
            usage.rows.add(1, len(value));
            rows.insert((Table::Capabilities, key), Versioned { version: 1, value: value.to_vec() });
        }
        check_quota(&Usage::default(), &usage, new.quota)?;
        let header = Versioned { version: new.header_version, value: new.header.to_vec() };
        all.arriving.remove(&s);
        all.begin(s, Store { usage, rows, ..Store::new(header) });
        Ok(())
    }

    fn resolve(&self, name: StoreName) -> Result<Option<StoreId>, StorageError> {
        Ok(self.all().resolve(name))
    }

    fn stores(&self, after: Option<StoreId>, limit: u32) -> Result<Vec<StoreId>, StorageError> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let all = self.all();
        let found = all.stores.range((from, Bound::Unbounded)).map(|(id, _)| *id);
        Ok(found.take(rows_limit(limit)).collect())
    }

    fn set_alias(&self, s: StoreId, alias: StoreName, on: bool) -> Result<(), StorageError> {
        let mut all = self.all();
        all.store(s)?;
        match (all.resolve(alias), on) {
            (None, true) => {
                all.aliases.insert(alias, s);
                Ok(())
            }
            (Some(other), true) if other != s || alias.as_bytes() == s.as_bytes() => Err(StorageError::AlreadyExists),
            (Some(_), true) | (None, false) => Ok(()),
            (Some(other), false) => {
                if other == s {
                    all.aliases.remove(&alias);
                }
                Ok(())
            }
        }
    }

    fn header(&self, s: StoreId) -> Result<Versioned<Vec<u8>>, StorageError> {
        Ok(self.all().store(s)?.header.clone())
    }

    fn commit(&self, s: StoreId, c: &Commit<'_>) -> Result<CommitOutcome, StorageError> {
        check_commit(c)?;
        let mut all = self.all();
        let store = all.store_mut(s)?;
        for part in c.parts {
            let head = store.datasets.get(&part.dataset).and_then(|d| d.heads.get(&d.seq));
            if head.map(|head| head.hash) != part.expect {
                return Ok(CommitOutcome::Conflict { dataset: part.dataset, head: head.cloned() });
            }
            check_step(head.map_or(0, |head| head.seq.get()), part)?;
        }
        if let Some(swap) = c.header
            && swap.expect != store.header.version
        {
            return Ok(CommitOutcome::HeaderConflict { version: store.header.version });
        }
        let (usage, mail) = store.plan(c)?;
        for part in c.parts {
            store.datasets.entry(part.dataset).or_default().apply(part);
        }
        for MailboxPlan { mailbox, row } in mail {
            let mailbox = store.mailboxes.entry(mailbox).or_default();
            mailbox.last = row.n;
            mailbox.held.add(1, len(&row.body));
            mailbox.dedupe.insert(row.dedupe);
            mailbox.items.insert(row.n, row);
        }
        if let Some(swap) = c.header {
            store.header = Versioned { version: swap.expect.saturating_add(1), value: swap.body.to_vec() };
        }
        store.usage = usage;
        Ok(CommitOutcome::Done)
    }

    fn heads(&self, s: StoreId, d: DatasetId, after: Option<Seq>, limit: u32) -> Result<Vec<HeadRow>, StorageError> {
        let all = self.all();
        let (dataset, _) = all.store(s)?.dataset(d)?;
        let from = after.map_or(0, Seq::get).saturating_add(1);
        Ok(dataset.heads.range(from..).take(rows_limit(limit)).map(|(_, head)| head.clone()).collect())
    }

    fn datasets(&self, s: StoreId) -> Result<Vec<DatasetId>, StorageError> {
        Ok(self.all().store(s)?.datasets.keys().copied().collect())
    }

    fn get(&self, s: StoreId, d: DatasetId, ids: &[ObjectId]) -> Result<Snapshot, StorageError> {
        let all = self.all();
        let (dataset, head) = all.store(s)?.dataset(d)?;
        let rows = ids.iter().map(|id| dataset.objects.get(id).cloned()).collect();
        Ok(Snapshot { head: head.clone(), rows })
    }

    fn changes(&self, s: StoreId, d: DatasetId, after: Cursor, limit: Limit) -> Result<Page, StorageError> {
        let all = self.all();
        let (dataset, head) = all.store(s)?.dataset(d)?;
        let head = head.clone();
        let floor = if after.is_start() { dataset.compacted } else { after.floor };
        if floor < dataset.compacted {
            return Ok(Page::Resync { head });
        }
        let from = (after.seq, ObjectId::from_bytes(after.object));
        let mut rows: Vec<ObjectRow> = Vec::new();
        let mut bytes = 0_u64;
        for (seq, object) in dataset.by_seq.range(from..).filter(|at| **at != from || after.is_start()) {
            let row = dataset.objects.get(object).ok_or(StorageError::Corrupt)?;
            bytes = bytes.saturating_add(len(&row.body));
            if let Some(last) = rows.last()
                && (rows.len() >= rows_limit(limit.rows) || bytes > limit.bytes)
            {
                let next = Cursor { seq: last.seq.get(), object: *last.object.as_bytes(), floor };
                return Ok(Page::Rows { head, rows, next: Some(next) });
            }
            debug_assert_eq!(*seq, row.seq.get(), "both maps hold the same rows");
            rows.push(row.clone());
        }
        Ok(Page::Rows { head, rows, next: None })
    }

    fn index(&self, s: StoreId, d: DatasetId) -> Result<Index, StorageError> {
        let all = self.all();
        let (dataset, head) = all.store(s)?.dataset(d)?;
        let rows = dataset
            .objects
            .values()
            .map(|row| IndexRow { object: row.object, seq: row.seq, kind: row.kind, body_hash: row.body_hash })
            .collect();
        Ok(Index { head: head.clone(), rows })
    }

    fn blob_append(&self, s: StoreId, b: BlobId, at: u64, bytes: &[u8], q: &Quota) -> Result<u64, StorageError> {
        let mut all = self.all();
        let store = all.store_mut(s)?;
        let blob = store.blobs.get(&b);
        let have = blob.map_or(0, |blob| len(&blob.body));
        if at != have {
            return Err(StorageError::WrongOffset { have });
        }
        if blob.is_some_and(|blob| blob.sealed) {
            return Err(StorageError::Invalid("the blob is sealed"));
        }
        let new = have.saturating_add(len(bytes));
        if new > q.blob_len {
            return Err(StorageError::OverQuota(Class::Blobs));
        }
        let mut usage = store.usage;
        usage.blobs.add(u64::from(blob.is_none()), len(bytes));
        check_quota(&store.usage, &usage, q)?;
        store.usage = usage;
        store.blobs.entry(b).or_default().body.extend_from_slice(bytes);
        Ok(new)
    }

    fn blob_seal(&self, s: StoreId, b: BlobId, len: u64) -> Result<(), StorageError> {
        let mut all = self.all();
        let blob = all.store_mut(s)?.blobs.get_mut(&b).ok_or(StorageError::NotFound)?;
        let have = self::len(&blob.body);
        if have != len {
            return Err(StorageError::WrongOffset { have });
        }
        blob.sealed = true;
        Ok(())
    }

    fn blob(&self, s: StoreId, b: BlobId) -> Result<Option<BlobRow>, StorageError> {
        let row = |blob: &Blob| BlobRow { len: len(&blob.body), sealed: blob.sealed };
        Ok(self.all().store(s)?.blobs.get(&b).map(row))
    }

    fn blob_read(&self, s: StoreId, b: BlobId, range: Range<u64>) -> Result<Vec<u8>, StorageError> {
        let all = self.all();
        let blob = all.store(s)?.blobs.get(&b).ok_or(StorageError::NotFound)?;
        let end = usize::try_from(range.end).unwrap_or(usize::MAX).min(blob.body.len());
        let start = usize::try_from(range.start).unwrap_or(usize::MAX).min(end);
        Ok(blob.body.get(start..end).unwrap_or_default().to_vec())
    }

    fn mail_list(&self, s: StoreId, m: MailboxId, after: u64, limit: Limit) -> Result<Vec<MailRow>, StorageError> {
        let all = self.all();
        let Some(mailbox) = all.store(s)?.mailboxes.get(&m) else { return Ok(Vec::new()) };
        let mut rows: Vec<MailRow> = Vec::new();
        let mut bytes = 0_u64;
        for (_, row) in mailbox.items.range(after.saturating_add(1)..) {
            bytes = bytes.saturating_add(len(&row.body));
            if !rows.is_empty() && (rows.len() >= rows_limit(limit.rows) || bytes > limit.bytes) {
                break;
            }
            rows.push(row.clone());
        }
        Ok(rows)
    }

    fn mail_ack(&self, s: StoreId, m: MailboxId, upto: u64) -> Result<u64, StorageError> {
        let mut all = self.all();
        let store = all.store_mut(s)?;
        let Some(mailbox) = store.mailboxes.get_mut(&m) else { return Ok(0) };
        let kept = upto.checked_add(1).map_or_else(BTreeMap::new, |from| mailbox.items.split_off(&from));
        let gone = std::mem::replace(&mut mailbox.items, kept);
        for row in gone.values() {
            mailbox.dedupe.remove(&row.dedupe);
            mailbox.held.sub(1, len(&row.body));
            store.usage.mail.sub(1, len(&row.body));
        }
        Ok(u64::try_from(gone.len()).unwrap_or(u64::MAX))
    }

    fn mail_lapse(&self, s: StoreId, now: Timestamp) -> Result<Vec<(MailboxId, Total)>, StorageError> {
        let mut all = self.all();
        let store = all.store_mut(s)?;
        let mut out = Vec::new();
        for (id, mailbox) in &mut store.mailboxes {
            let mut gone = Total::default();
            for (_, row) in mailbox.items.extract_if(.., |_, row| row.expires <= now) {
                mailbox.dedupe.remove(&row.dedupe);
                gone.add(1, len(&row.body));
            }
            if gone.count > 0 {
                mailbox.held.sub(gone.count, gone.bytes);
                store.usage.mail.sub(gone.count, gone.bytes);
                out.push((*id, gone));
            }
        }
        Ok(out)
    }

    fn row(&self, s: StoreId, t: Table, key: RowKey) -> Result<Option<Versioned<Vec<u8>>>, StorageError> {
        Ok(self.all().store(s)?.rows.get(&(t, key)).cloned())
    }

    fn rows(&self, s: StoreId, t: Table) -> Result<Vec<(RowKey, Versioned<Vec<u8>>)>, StorageError> {
        let all = self.all();
        let range = (t, RowKey([0; 16]))..=(t, RowKey([0xff; 16]));
        Ok(all.store(s)?.rows.range(range).map(|((_, key), row)| (*key, row.clone())).collect())
    }

    fn swap_row(
        &self,
        s: StoreId,
        t: Table,
        key: RowKey,
        expect: Option<u64>,
        new: Option<&[u8]>,
    ) -> Result<Swap, StorageError> {
        let mut all = self.all();
        let store = all.store_mut(s)?;
        let held = store.rows.get(&(t, key)).map(|row| (row.version, len(&row.value)));
        if held.map(|(version, _)| version) != expect {
            return Ok(Swap::Conflict(held.map(|(version, _)| version)));
        }
        if let Some((_, bytes)) = held {
            store.usage.rows.sub(1, bytes);
        }
        let Some(value) = new else {
            store.rows.remove(&(t, key));
            return Ok(Swap::Done(None));
        };
        let version = expect.unwrap_or(0).saturating_add(1);
        store.usage.rows.add(1, len(value));
        store.rows.insert((t, key), Versioned { version, value: value.to_vec() });
        Ok(Swap::Done(Some(version)))
    }

    fn share(&self, s: StoreId, epoch: u32) -> Result<Option<[u8; 32]>, StorageError> {
        let all = self.all();
        all.store(s)?;
        Ok(all.shares.get(&(s, epoch)).copied())
    }

    fn share_put(&self, s: StoreId, epoch: u32, share: &[u8; 32]) -> Result<(), StorageError> {
        let mut all = self.all();
        all.store(s)?;
        match all.shares.get(&(s, epoch)) {
            Some(held) if held == share => Ok(()),
            Some(_) => Err(StorageError::AlreadyExists),
            None if all.shares.range((s, 0)..=(s, u32::MAX)).count() >= 2 => {
                Err(StorageError::Invalid("two epochs have a share already"))
            }
            None => {
                all.shares.insert((s, epoch), *share);
                Ok(())
            }
        }
    }

    fn share_drop(&self, s: StoreId, epoch: u32) -> Result<(), StorageError> {
        let mut all = self.all();
        all.store(s)?;
        all.shares.remove(&(s, epoch));
        Ok(())
    }

    fn purge(&self, s: StoreId, what: Purge<'_>) -> Result<Purged, StorageError> {
        let mut all = self.all();
        let store = all.store_mut(s)?;
        let mut gone = Total::default();
        match what {
            Purge::Blob(b) => {
                if let Some(blob) = store.blobs.remove(&b) {
                    gone.add(1, len(&blob.body));
                }
                store.usage.blobs.sub(gone.count, gone.bytes);
            }
            Purge::Dataset(d) => {
                if let Some(dataset) = store.datasets.remove(&d) {
                    for row in dataset.objects.values() {
                        gone.add(1, len(&row.body));
                    }
                    store.usage.objects.sub(gone.count, gone.bytes);
                    let bytes = dataset.heads.values().map(|head| len(&head.body)).sum();
                    store.usage.datasets.sub(1, bytes);
                    gone.add(1, bytes);
                }
            }
            Purge::Mailbox(m) => {
                if let Some(mailbox) = store.mailboxes.remove(&m) {
                    gone = mailbox.held;
                    store.usage.mail.sub(gone.count, gone.bytes);
                }
            }
            Purge::Objects(d, objects) => {
                if let Some(dataset) = store.datasets.get_mut(&d) {
                    for row in objects.iter().filter_map(|object| dataset.remove(*object)) {
                        gone.add(1, len(&row.body));
                    }
                    if gone.count > 0 {
                        dataset.compacted = dataset.seq;
                    }
                    store.usage.objects.sub(gone.count, gone.bytes);
                }
            }
            Purge::Store => {
                let usage = store.usage;
                let classes = [usage.blobs, usage.datasets, usage.header, usage.mail, usage.objects, usage.rows];
                gone = Total { count: classes.iter().map(|total| total.count).sum(), bytes: usage.bytes() };
                all.stores.remove(&s);
                all.aliases.retain(|_, store| *store != s);
                all.shares.retain(|(store, _), _| *store != s);
            }
            Purge::Traces => {}
        }
        Ok(Purged { rows: gone.count, bytes: gone.bytes, erasure: Erasure::Physical })
    }

    fn check(&self, s: StoreId) -> Result<(), StorageError> {
        let all = self.all();
        let store = all.store(s)?;
        let mut fresh = Usage::default();
        fresh.header.add(1, len(&store.header.value));
        for dataset in store.datasets.values() {
            fresh.datasets.add(1, dataset.heads.values().map(|head| len(&head.body)).sum());
            dataset.objects.values().for_each(|object| fresh.objects.add(1, len(&object.body)));
        }
        let mail = store.mailboxes.values().flat_map(|mailbox| mailbox.items.values());
        mail.for_each(|item| fresh.mail.add(1, len(&item.body)));
        store.blobs.values().for_each(|blob| fresh.blobs.add(1, len(&blob.body)));
        store.rows.values().for_each(|row| fresh.rows.add(1, len(&row.value)));
        if fresh == store.usage { Ok(()) } else { Err(StorageError::Corrupt) }
    }

    fn note(&self, now: Timestamp, usage: &[MeterRow]) -> Result<Timestamp, StorageError> {
        let mut all = self.all();
        all.noted = all.noted.max(now.secs().min(MAX_SEQ));
        for row in usage {
            let sum = all.meters.entry((row.meter, row.day.min(MAX_SEQ), row.class)).or_default();
            sum.add(row.total.count, row.total.bytes);
            *sum = Total { count: sum.count.min(MAX_SEQ), bytes: sum.bytes.min(MAX_SEQ) };
        }
        Ok(Timestamp::from_secs(all.noted))
    }

    fn meter(&self, meter: [u8; 16]) -> Result<Vec<MeterRow>, StorageError> {
        let all = self.all();
        let sums = all.meters.range((meter, 0, 0)..=(meter, u64::MAX, u8::MAX));
        Ok(sums
            .map(|((meter, day, class), total)| MeterRow { meter: *meter, day: *day, class: *class, total: *total })
            .collect())
    }

    fn meters_drop(&self, day: u64) -> Result<u64, StorageError> {
        let mut all = self.all();
        let before = all.meters.len();
        all.meters.retain(|(_, at, _), _| *at >= day);
        Ok(u64::try_from(before.saturating_sub(all.meters.len())).unwrap_or(u64::MAX))
    }

    fn stamp(&self, s: StoreId) -> Result<Option<Stamp>, StorageError> {
        Ok(self.all().stores.get(&s).map(|store| Stamp([store.changed, 0, 0, 0])))
    }

    fn usage(&self, s: StoreId) -> Result<Usage, StorageError> {
        Ok(self.all().store(s)?.usage)
    }
}

impl Transfer for MemoryStorage {
    async fn inventory(&self, s: StoreId) -> Result<Inventory, StorageError> {
        let all = self.all();
        let store = all.store(s)?;
        let mut datasets = Vec::new();
        for (id, dataset) in &store.datasets {
            let head = dataset.heads.get(&dataset.seq).ok_or(StorageError::Corrupt)?;
            datasets.push(DatasetRow { dataset: *id, seq: head.seq, hash: head.hash, compacted: dataset.compacted });
        }
        let blob = |blob: &Blob| BlobRow { len: len(&blob.body), sealed: blob.sealed };
        Ok(Inventory {
            aliases: all.aliases.iter().filter(|(_, store)| **store == s).map(|(alias, _)| *alias).collect(),
            shares: all.shares.range((s, 0)..=(s, u32::MAX)).map(|((_, epoch), share)| (*epoch, *share)).collect(),
            datasets,
            mailboxes: store.mailboxes.iter().map(|(id, mailbox)| (*id, mailbox.last)).collect(),
            blobs: store.blobs.iter().map(|(id, held)| (*id, blob(held))).collect(),
        })
    }

    async fn arrive<'a>(&'a self, s: StoreId, step: Arrival<'a>) -> Result<(), StorageError> {
        let mut all = self.all();
        if all.resolve(s.into()).is_some() {
            return Err(StorageError::AlreadyExists);
        }
        match step {
            Arrival::Begin(header) => {
                all.arriving.insert(s, Store::new(header.clone()));
                return Ok(());
            }
            Arrival::Abandon => {
                all.arriving.remove(&s);
                return Ok(());
            }
            Arrival::End => {
                let mut store = all.arriving.remove(&s).ok_or(StorageError::NotFound)?;
                store.count();
                all.begin(s, store);
                return Ok(());
            }
            _ => {}
        }
        all.arriving.get_mut(&s).ok_or(StorageError::NotFound)?.take_in(step);
        Ok(())
    }
}

/// A limit of rows; at least one.
fn rows_limit(rows: u32) -> usize {
    usize::try_from(rows.max(1)).unwrap_or(usize::MAX)
}
