//! A dataset as this client has verified it: takes what a host answered, gives what to send.

use alloc::{collections::BTreeMap, vec::Vec};
use core::{cmp::Ordering, fmt};

use deedbox_crypto::hash::sha256;
use deedbox_model::{DatasetId, Digest, Epoch, ObjectId, Seq, StoreName, Timestamp};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::{
    Address, Entry, EpochKeys, Freshness, Head, HeadError, Keyring, Kind, OpenError, Opened, PayloadError, Pin, Record,
    SealError, Tombstone, container,
    head::{Claims, root_of_sorted},
};

/// The state of one dataset: the newest head that was verified, and which objects it holds.
///
/// Whatever a host answers, a replica holds a state that the person signed, or the answer was an error and the replica
/// is as it was before. Objects themselves stay with the caller: [`Replica::open`] checks each against the state.
///
/// ```compile_fail
/// fn copy(replica: &deedbox_record::Replica) -> deedbox_record::Replica { replica.clone() }
/// ```
pub struct Replica {
    store: StoreName,
    dataset: DatasetId,
    head: Option<Head>,
    // INVARIANT (state): ascending object ids; their root is the head's. Empty without a head.
    entries: Vec<Entry>,
    /// The newest head whose freshness was known or accepted.
    pin: Option<Pin>,
    freshness: Freshness,
}

/// One object as a host answers it, or its removal from the dataset.
#[derive(Clone, Copy)]
#[expect(clippy::exhaustive_enums, reason = "an object is there or it is not")]
pub enum ChangedObject<'a> {
    /// The object is there.
    Put {
        /// Its id.
        object: ObjectId,
        /// The number of the head that wrote it.
        seq: Seq,
        /// The number of its kind.
        kind: u8,
        /// Its bytes.
        bytes: &'a [u8],
    },
    /// The object is not there any more, not even as a tombstone.
    Removed(
        /// Its id.
        ObjectId,
    ),
}

/// What came of an answer that was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "an unknown freshness has to be accepted"]
pub struct Applied {
    seq: Seq,
    freshness: Freshness,
}

/// What the person accepted when a host came back with an older state: for the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RollbackEvidence {
    before: Option<Pin>,
    after: Pin,
}

impl Replica {
    /// A dataset of which nothing is known yet: the first state of it will be of [`Freshness::Unknown`].
    #[must_use]
    pub const fn new(store: StoreName, dataset: DatasetId) -> Self {
        Self { store, dataset, head: None, entries: Vec::new(), pin: None, freshness: Freshness::Unknown }
    }

    /// A dataset that is made now: its first head is still to be signed.
    #[must_use]
    pub const fn create(store: StoreName, dataset: DatasetId) -> Self {
        Self { store, dataset, head: None, entries: Vec::new(), pin: None, freshness: Freshness::Pinned }
    }

    /// A dataset of which this client remembers the newest head it accepted, and no object.
    #[must_use]
    pub const fn pinned(store: StoreName, dataset: DatasetId, pin: Pin) -> Self {
        Self { store, dataset, head: None, entries: Vec::new(), pin: Some(pin), freshness: Freshness::Pinned }
    }

    /// The store, as the dataset's readers know it.
    #[must_use]
    pub const fn store(&self) -> &StoreName {
        &self.store
    }

    /// The dataset.
    #[must_use]
    pub const fn dataset(&self) -> &DatasetId {
        &self.dataset
    }

    /// The newest head that was verified.
    #[must_use]
    pub const fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    /// How it is known that the state is not an old one.
    #[must_use]
    pub const fn freshness(&self) -> Freshness {
        self.freshness
    }

    /// What to remember: the newest head that was accepted.
    #[must_use]
    pub const fn pin(&self) -> Option<&Pin> {
        self.pin.as_ref()
    }

    /// The objects, tombstones too, in the order of their ids.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The object of that id.
    #[must_use]
    pub fn entry(&self, object: &ObjectId) -> Option<&Entry> {
        let at = self.entries.binary_search_by(|entry| entry.object().cmp(object)).ok()?;
        self.entries.get(at)
    }

    /// Takes a host's answer: all heads since the pin, oldest first, and the objects changed since then.
    ///
    /// Without new heads the state stays, and an answer that would change it is refused.
    ///
    /// # Errors
    /// See [`HeadError`]; the replica is then as it was.
    pub fn apply(
        &mut self,
        heads: &[&[u8]],
        changes: &[ChangedObject<'_>],
        keys: &EpochKeys,
    ) -> Result<Applied, HeadError> {
        let base = self.head.as_ref().map(Head::pin).or(self.pin);
        self.take(base, &self.entries, heads, changes, keys).map(|state| self.install(state))
    }

    /// Takes a host's answer as [`Replica::apply`] does, with the dataset's whole content in place of its changes.
    ///
    /// # Errors
    /// As [`Replica::apply`].
    pub fn resync(
        &mut self,
        heads: &[&[u8]],
        objects: &[ChangedObject<'_>],
        keys: &EpochKeys,
    ) -> Result<Applied, HeadError> {
        let base = self.head.as_ref().map(Head::pin).or(self.pin);
        self.take(base, &[], heads, objects, keys).map(|state| self.install(state))
    }

    /// Says that the caller accepts a state of which nobody knows how old it is.
    pub fn accept_unknown(&mut self) {
        if let Some(head) = &self.head {
            self.pin = Some(head.pin());
        }
    }

    /// Compares the state with what another device of the person's has seen.
    ///
    /// # Errors
    /// [`HeadError::Rollback`], [`HeadError::Fork`].
    pub fn accept_paired(&mut self, pin: &Pin) -> Result<Freshness, HeadError> {
        let Some(head) = &self.head else { return Ok(self.freshness) };
        if head.follows(pin)? == Freshness::Pinned && self.freshness == Freshness::Unknown {
            self.freshness = Freshness::Paired;
            self.pin = Some(head.pin());
        }
        Ok(self.freshness)
    }

    /// Takes an older or other state than the pinned one, because the person says so: after a host's restore.
    ///
    /// # Errors
    /// As [`Replica::apply`], but for what the pin tells.
    pub fn accept_rollback(
        &mut self,
        heads: &[&[u8]],
        objects: &[ChangedObject<'_>],
        keys: &EpochKeys,
    ) -> Result<RollbackEvidence, HeadError> {
        let state = self.take(None, &[], heads, objects, keys)?;
        let evidence = RollbackEvidence { before: self.pin, after: state.head.pin() };
        self.pin = Some(evidence.after);
        self.freshness = Freshness::Pinned;
        self.head = Some(state.head);
        self.entries = state.entries;
        Ok(evidence)
    }

    /// Opens an object that a host gave, if it is the one of the state.
    ///
    /// # Errors
    /// [`OpenError::Rejected`] when the state has no such object or another; those of [`crate::open`].
    pub fn open(&self, object: &ObjectId, bytes: &[u8], keys: &EpochKeys) -> Result<Opened, OpenError> {
        let entry = self.entry(object).ok_or(OpenError::Rejected)?;
        if sha256(bytes) != *entry.sha256().as_bytes() {
            return Err(OpenError::Rejected);
        }
        let prefix = container::peek(bytes)?;
        let key = prefix.epoch().and_then(|epoch| keys.key(epoch));
        let key = key.ok_or(OpenError::UnknownEpoch(prefix.epoch().map_or(0, Epoch::get)))?;
        let kind = Kind::from_number(entry.kind()).ok_or(OpenError::Malformed)?;
        let at = Address { store: self.store, dataset: self.dataset, object: *object, seq: entry.seq() };
        container::open(&key.object_key(object), &at, kind, bytes)
    }

    /// Begins a change on top of the state.
    #[must_use]
    pub const fn draft(&self) -> Draft<'_> {
        Draft { replica: self, changes: BTreeMap::new() }
    }

    /// Takes over a part that the host committed.
    ///
    /// # Errors
    /// [`HeadError::Fork`] when the part builds on another state than this one.
    pub fn committed(&mut self, part: SignedPart) -> Result<Applied, HeadError> {
        let fork = HeadError::Fork { seq: part.head.seq() };
        if part.dataset != self.dataset || *part.head.store() != self.store {
            return Err(HeadError::WrongDataset);
        }
        if part.head.prev() != self.head.as_ref().map(Head::hash) {
            return Err(fork);
        }
        self.pin = Some(part.head.pin());
        self.freshness = Freshness::Pinned;
        let applied = Applied { seq: part.head.seq(), freshness: self.freshness };
        self.head = Some(part.head);
        self.entries = part.entries;
        Ok(applied)
    }

    fn is_accepted(&self) -> bool {
        match (&self.head, &self.pin) {
            (Some(head), Some(pin)) => head.pin() == *pin,
            // Nothing but a dataset that is made now may be written without a state.
            (None, None) => self.freshness == Freshness::Pinned,
            _ => false,
        }
    }

    fn install(&mut self, state: State) -> Applied {
        if state.freshness != Freshness::Unknown {
            self.pin = Some(state.head.pin());
        }
        let applied = Applied { seq: state.head.seq(), freshness: state.freshness };
        self.freshness = state.freshness;
        self.head = Some(state.head);
        self.entries = state.entries;
        applied
    }

    /// Verifies an answer without taking it over.
    fn take(
        &self,
        base: Option<Pin>,
        entries: &[Entry],
        heads: &[&[u8]],
        changes: &[ChangedObject<'_>],
        keys: &EpochKeys,
    ) -> Result<State, HeadError> {
        let mut newest = base.and(self.head.clone());
        let mut last = base;
        // What follows a state of unknown age is of unknown age.
        let mut freshness = match (base, &self.head) {
            (None, _) => Freshness::Unknown,
            (Some(_), Some(_)) if !self.is_accepted() => Freshness::Unknown,
            (Some(_), _) => Freshness::Pinned,
        };
        for (position, bytes) in heads.iter().enumerate() {
            let head = self.verify(bytes, keys)?;
            if let Some(last) = &last {
                match head.follows(last)? {
                    Freshness::Pinned => {}
                    // The host keeps that many heads: whoever was away for longer can't know.
                    _ if position == 0 && heads.len() >= KEPT_HEADS => freshness = Freshness::Unknown,
                    _ => return Err(HeadError::Fork { seq: head.seq() }),
                }
            }
            if newest.as_ref().is_some_and(|before| head.epoch() < before.epoch()) {
                return Err(HeadError::EpochRegressed);
            }
            last = Some(head.pin());
            newest = Some(head);
        }
        let head = newest.ok_or(HeadError::Malformed)?;
        let key = keys.key(head.epoch()).ok_or(HeadError::UnknownKey)?;
        if !head.commits_to(&key.commitment(&self.store, &self.dataset)) {
            return Err(HeadError::KeyMismatch);
        }
        let changes = changes.iter().map(|change| Self::examine(change, &head)).collect::<Result<Vec<_>, _>>()?;
        if head.min_suite() > SUITE && !entries.is_empty() {
            return Err(HeadError::SuiteTooLow);
        }
        let entries = merge(entries, changes).ok_or(HeadError::Malformed)?;
        if u64::try_from(entries.len()) != Ok(head.count()) {
            return Err(HeadError::CountMismatch);
        }
        if root_of_sorted(&entries) != *head.root() {
            return Err(HeadError::RootMismatch);
        }
        Ok(State { head, entries, freshness })
    }

    fn verify(&self, bytes: &[u8], keys: &EpochKeys) -> Result<Head, HeadError> {
        let epoch = keys.epoch_of(&Head::peek_key(bytes)?).ok_or(HeadError::UnknownKey)?;
        let key = keys.head_key(epoch).ok_or(HeadError::UnknownKey)?;
        let head = Head::verify(bytes, &key)?;
        if *head.store() != self.store || *head.dataset() != self.dataset {
            return Err(HeadError::WrongDataset);
        }
        if head.epoch() == epoch { Ok(head) } else { Err(HeadError::KeyMismatch) }
    }

    fn examine(change: &ChangedObject<'_>, head: &Head) -> Result<Change, HeadError> {
        match *change {
            ChangedObject::Put { object, seq, kind, bytes } => {
                let &[_, suite, stated, ..] = bytes.first_chunk::<8>().ok_or(HeadError::Malformed)?;
                if stated != kind {
                    return Err(HeadError::Malformed);
                }
                if u64::from(suite) < head.min_suite() {
                    return Err(HeadError::SuiteTooLow);
                }
                Ok((object, Some(Entry::new(object, seq, kind, Digest::from_bytes(sha256(bytes))))))
            }
            ChangedObject::Removed(object) => Ok((object, None)),
        }
    }
}

/// Prints the number of objects.
impl fmt::Debug for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replica").field("head", &self.head).field("freshness", &self.freshness).finish_non_exhaustive()
    }
}

impl ChangedObject<'_> {
    /// The object's id.
    #[must_use]
    pub const fn object(&self) -> &ObjectId {
        match self {
            Self::Put { object, .. } | Self::Removed(object) => object,
        }
    }
}

/// Prints lengths.
impl fmt::Debug for ChangedObject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put { seq, bytes, .. } => {
                f.debug_struct("Put").field("seq", seq).field("len", &bytes.len()).finish_non_exhaustive()
            }
            Self::Removed(_) => f.debug_struct("Removed").finish_non_exhaustive(),
        }
    }
}

impl Applied {
    /// The state's number.
    #[must_use]
    pub const fn seq(&self) -> Seq {
        self.seq
    }

    /// How it is known that the state is not an old one; [`Freshness::Unknown`] is for the caller to accept, with
    /// [`Replica::accept_unknown`].
    #[must_use]
    pub const fn freshness(&self) -> Freshness {
        self.freshness
    }
}

impl RollbackEvidence {
    /// What was pinned before.
    #[must_use]
    pub const fn before(&self) -> Option<&Pin> {
        self.before.as_ref()
    }

    /// What is pinned now.
    #[must_use]
    pub const fn after(&self) -> &Pin {
        &self.after
    }
}

/// A change that is being written: all of it becomes one head.
pub struct Draft<'a> {
    replica: &'a Replica,
    /// `None` takes the object out.
    changes: BTreeMap<ObjectId, Option<Payload>>,
}

impl Draft<'_> {
    /// Writes a record.
    ///
    /// # Errors
    /// [`PayloadError::Limit`].
    pub fn put(&mut self, object: ObjectId, record: &Record) -> Result<&mut Self, PayloadError> {
        self.set(object, Kind::Record, record.encode()?)
    }

    /// Writes what the client caches, to be made again at any time.
    ///
    /// # Errors
    /// [`PayloadError::Limit`].
    pub fn put_index(&mut self, object: ObjectId, payload: Zeroizing<Vec<u8>>) -> Result<&mut Self, PayloadError> {
        self.set(object, Kind::Index, payload)
    }

    /// Writes the keyring; in the meta dataset only.
    ///
    /// # Errors
    /// [`PayloadError::Limit`].
    pub fn put_keyring(&mut self, keyring: &Keyring) -> Result<&mut Self, PayloadError> {
        self.set(ObjectId::KEYRING, Kind::Keyring, keyring.encode()?)
    }

    /// Leaves a tombstone in the object's place.
    ///
    /// # Errors
    /// [`PayloadError::Limit`].
    pub fn remove(&mut self, object: ObjectId) -> Result<&mut Self, PayloadError> {
        let parents = self.replica.entry(&object).map(|entry| *entry.sha256()).into_iter().collect();
        self.set(object, Kind::Tombstone, Zeroizing::new(Tombstone::new(parents).encode()?))
    }

    /// Takes the object, or its tombstone, out of the dataset altogether. Other devices then have to fetch all of it.
    pub fn purge(&mut self, object: ObjectId) -> &mut Self {
        self.changes.insert(object, None);
        self
    }

    /// How many objects the change touches.
    #[must_use]
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether it touches none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Seals everything for the next number and signs the next head.
    ///
    /// # Errors
    /// [`SealError::NotAccepted`] when the state's freshness is unknown and was not accepted; [`SealError::NoKey`],
    /// [`SealError::Exhausted`].
    pub fn sign(self, keys: &EpochKeys, now: Timestamp, rng: &mut impl CryptoRng) -> Result<SignedPart, SealError> {
        let Replica { store, dataset, ref head, ref entries, .. } = *self.replica;
        if !self.replica.is_accepted() {
            return Err(SealError::NotAccepted);
        }
        let seq = head.as_ref().map_or(Some(Seq::FIRST), |head| head.seq().next()).ok_or(SealError::Exhausted)?;
        let epoch = keys.current().ok_or(SealError::NoKey)?;
        let key = keys.key(epoch).ok_or(SealError::NoKey)?;
        let seed = keys.head_seed(epoch).ok_or(SealError::NoKey)?;
        let min_suite = head.as_ref().map_or(SUITE, Head::min_suite);
        if head.as_ref().is_some_and(|head| head.epoch() > epoch) || min_suite > SUITE {
            return Err(SealError::NoKey);
        }
        let mut puts = Vec::with_capacity(self.changes.len());
        let mut removes = Vec::new();
        let mut changes = Vec::with_capacity(self.changes.len());
        for (object, change) in &self.changes {
            let Some((kind, payload)) = change else {
                removes.push(*object);
                changes.push((*object, None));
                continue;
            };
            let at = Address { store, dataset, object: *object, seq };
            let bytes = container::seal(&key.object_key(object), &at, *kind, payload, rng)?;
            let entry = Entry::new(*object, seq, kind.number(), Digest::from_bytes(sha256(&bytes)));
            changes.push((*object, Some(entry)));
            puts.push(SealedObject { entry, bytes });
        }
        let entries = merge(entries, changes).ok_or(SealError::Exhausted)?;
        let claims = Claims {
            store,
            dataset,
            seq,
            prev: head.as_ref().map(|head| *head.hash()),
            root: root_of_sorted(&entries),
            count: u64::try_from(entries.len()).map_err(|_| SealError::Exhausted)?,
            epoch,
            commitment: Digest::from_bytes(*key.commitment(&store, &dataset).as_bytes()),
            time: now,
            min_suite,
        };
        let (head_bytes, head) = claims.sign(&seed.signer())?;
        Ok(SignedPart { dataset, head, head_bytes, puts, removes, entries })
    }

    fn set(&mut self, object: ObjectId, kind: Kind, payload: Zeroizing<Vec<u8>>) -> Result<&mut Self, PayloadError> {
        // The keyring has its place, and nothing else goes there.
        let is_keyring_place = self.replica.dataset == DatasetId::META && object == ObjectId::KEYRING;
        if payload.len() > kind.limit() || (kind == Kind::Keyring) != is_keyring_place {
            return Err(PayloadError::Limit);
        }
        self.changes.insert(object, Some((kind, payload)));
        Ok(self)
    }
}

type Payload = (Kind, Zeroizing<Vec<u8>>);

/// Prints the number of changes.
impl fmt::Debug for Draft<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft").field("changes", &self.changes.len()).finish_non_exhaustive()
    }
}

/// An object to be sent.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedObject {
    entry: Entry,
    bytes: Vec<u8>,
}

impl SealedObject {
    /// Its id, number, kind and hash.
    #[must_use]
    pub const fn entry(&self) -> &Entry {
        &self.entry
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Prints the length.
impl fmt::Debug for SealedObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedObject").field("len", &self.bytes.len()).finish_non_exhaustive()
    }
}

/// What to send to the host for one dataset; once the host committed it, [`Replica::committed`] takes it over.
///
/// ```compile_fail
/// fn twice(mut replica: deedbox_record::Replica, part: deedbox_record::SignedPart) {
///     let _ = replica.committed(part);
///     let _ = replica.committed(part); // it was taken over already
/// }
/// ```
#[must_use = "nothing is written until the host commits it"]
pub struct SignedPart {
    dataset: DatasetId,
    head: Head,
    head_bytes: Vec<u8>,
    puts: Vec<SealedObject>,
    removes: Vec<ObjectId>,
    entries: Vec<Entry>,
}

impl SignedPart {
    /// The dataset.
    #[must_use]
    pub const fn dataset(&self) -> &DatasetId {
        &self.dataset
    }

    /// SHA-256 of the head that must be in force; `None` for the first.
    #[must_use]
    pub const fn expect(&self) -> Option<&Digest> {
        self.head.prev()
    }

    /// The new head.
    #[must_use]
    pub const fn head(&self) -> &Head {
        &self.head
    }

    /// The new head's bytes.
    #[must_use]
    pub fn head_bytes(&self) -> &[u8] {
        &self.head_bytes
    }

    /// Objects to write.
    #[must_use]
    pub fn puts(&self) -> &[SealedObject] {
        &self.puts
    }

    /// Objects to take out.
    #[must_use]
    pub fn removes(&self) -> &[ObjectId] {
        &self.removes
    }
}

/// Prints counts.
impl fmt::Debug for SignedPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedPart")
            .field("head", &self.head)
            .field("puts", &self.puts.len())
            .field("removes", &self.removes.len())
            .finish_non_exhaustive()
    }
}

struct State {
    head: Head,
    entries: Vec<Entry>,
    freshness: Freshness,
}

type Change = (ObjectId, Option<Entry>);

/// Entries with changes, in the order of ids; `None` when an object is changed twice.
fn merge(entries: &[Entry], mut changes: Vec<Change>) -> Option<Vec<Entry>> {
    changes.sort_unstable_by_key(|(object, _)| *object);
    if !changes.is_sorted_by(|(one, _), (next, _)| one < next) {
        return None;
    }
    let mut merged = Vec::with_capacity(entries.len().saturating_add(changes.len()));
    let mut old = entries.iter().copied().peekable();
    for (object, change) in changes {
        while let Some(entry) = old.next_if(|entry| entry.object().cmp(&object) == Ordering::Less) {
            merged.push(entry);
        }
        old.next_if(|entry| *entry.object() == object);
        merged.extend(change);
    }
    merged.extend(old);
    Some(merged)
}

/// How many heads a host keeps.
const KEPT_HEADS: usize = 4_096;
const SUITE: u64 = 1;

#[cfg(test)]
mod tests;
