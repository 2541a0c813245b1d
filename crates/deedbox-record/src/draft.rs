//! Changes to a dataset: written as a draft, signed as one part of a commit.

use alloc::{collections::BTreeMap, vec, vec::Vec};
use core::fmt;

use deedbox_crypto::hash::sha256;
use deedbox_model::{DatasetId, Digest, Epoch, ObjectId, Seq, Timestamp};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::{
    Address, Entry, EpochKeys, Head, Keyring, Kind, OpenError, PayloadError, Record, Replica, SealError, Tombstone,
    address::Place,
    container,
    head::{Claims, root_of_sorted},
    replica::{SUITE, merge_entries},
    share,
};

/// A change that is being written: all of it becomes one head.
pub struct Draft<'a> {
    replica: &'a Replica,
    changes: BTreeMap<ObjectId, Change>,
    /// Objects that are sealed anew as they are, in the order of their ids: no change of the person's.
    reseals: Vec<(ObjectId, Payload)>,
}

pub(crate) type Payload = (Kind, Zeroizing<Vec<u8>>);

/// What happens to one object.
pub(crate) enum Change {
    Put(Payload),
    /// Takes the object out.
    Purge,
}

/// How a new epoch reaches the objects of older ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "all at once, or some at a time")]
pub enum Reseal {
    /// All objects in one change; older epochs can be destroyed after it. For up to 20,000 objects.
    Eager,
    /// Some objects with each change; the others stay readable by the old key until their turn comes.
    Lazy {
        /// At most that many.
        objects: usize,
        /// And no further one once they have that many bytes.
        bytes: usize,
    },
}

impl<'a> Draft<'a> {
    pub(crate) const fn of(replica: &'a Replica, changes: BTreeMap<ObjectId, Change>) -> Self {
        Self { replica, changes, reseals: Vec::new() }
    }

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

    /// Leaves a tombstone in the object's place, if there is an object.
    ///
    /// # Errors
    /// [`PayloadError::Limit`].
    pub fn remove(&mut self, object: ObjectId) -> Result<&mut Self, PayloadError> {
        let Some(entry) = self.replica.entry(&object) else {
            self.changes.remove(&object);
            return Ok(self);
        };
        let parents = [*entry.sha256()].into();
        self.set(object, Kind::Tombstone, Zeroizing::new(Tombstone::new(parents).encode()?))
    }

    /// Takes the object, or its tombstone, out of the dataset altogether. Other devices then have to fetch all of it.
    pub fn purge(&mut self, object: ObjectId) -> &mut Self {
        // What is not there can't be taken out: a host would refuse.
        match self.replica.entry(&object) {
            Some(_) => self.changes.insert(object, Change::Purge),
            None => self.changes.remove(&object),
        };
        self
    }

    /// Seals anew, content unchanged, what is not sealed in `epoch`, and gives how many objects. `epoch` is the current one of
    /// the keys that will sign; `keys` open what is there; `objects` gives an object's bytes.
    ///
    /// What the draft changes anyway is sealed in the current epoch without this. With [`Reseal::Eager`] no object of an
    /// older epoch is left, and the keyring of the same commit may have destroyed them ([`Keyring::destroy_epochs`]).
    ///
    /// # Errors
    /// [`OpenError::Rejected`] when `objects` gives other bytes than the state has, or none; those of [`Replica::open`].
    /// The draft then has no reseal at all.
    pub fn reseal<'b>(
        &mut self,
        how: Reseal,
        epoch: Epoch,
        keys: &EpochKeys,
        objects: impl Fn(&ObjectId) -> Option<&'b [u8]>,
    ) -> Result<usize, OpenError> {
        let (most, mut budget) = match how {
            Reseal::Eager => (usize::MAX, usize::MAX),
            Reseal::Lazy { objects, bytes } => (objects, bytes),
        };
        let mut chosen = Vec::new();
        for entry in self.replica.entries() {
            if chosen.len() >= most || budget == 0 {
                break;
            }
            let object = entry.object();
            if self.changes.contains_key(object) {
                continue;
            }
            let bytes = objects(object).ok_or(OpenError::Rejected)?;
            if container::peek(bytes)?.epoch() != Some(epoch) {
                budget = budget.saturating_sub(bytes.len());
                chosen.push((entry, bytes));
            }
        }
        let opened = share::map(&chosen, |(entry, bytes)| {
            let kind = Kind::from_number(entry.kind()).ok_or(OpenError::Malformed)?;
            let opened = self.replica.open_entry(entry, bytes, keys)?;
            Ok((*entry.object(), (kind, opened.into_payload())))
        });
        let reseals = opened.ok_or(OpenError::Rejected)?.into_iter().collect::<Result<Vec<_>, OpenError>>()?;
        self.reseals = reseals;
        Ok(self.reseals.len())
    }

    /// The dataset.
    #[must_use]
    pub const fn dataset(&self) -> &DatasetId {
        self.replica.dataset()
    }

    /// How many objects the change touches.
    #[must_use]
    pub fn len(&self) -> usize {
        self.changes.len().saturating_add(self.reseals.len())
    }

    /// Whether it touches none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Seals everything for the next number and signs the next head.
    ///
    /// # Errors
    /// [`SealError::NotAccepted`] when the state's freshness is unknown and was not accepted; [`SealError::NoKey`],
    /// [`SealError::Exhausted`].
    pub fn sign(self, keys: &EpochKeys, now: Timestamp, rng: &mut impl CryptoRng) -> Result<SignedPart, SealError> {
        self.sign_from(None, keys, now, rng)
    }

    /// Signs as [`Draft::sign`] does, with a number above `floor`: for a state that the person took back to
    /// ([`Replica::accept_rollback`]) while heads up to `floor` were signed. No number is then used for two states, and whoever saw
    /// the newer one learns of it at once. A host takes such a head as a replacement, with everything that is in the dataset.
    ///
    /// # Errors
    /// As [`Draft::sign`].
    pub fn sign_above(
        self,
        floor: Seq,
        keys: &EpochKeys,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<SignedPart, SealError> {
        self.sign_from(Some(floor), keys, now, rng)
    }

    fn sign_from(
        self,
        floor: Option<Seq>,
        keys: &EpochKeys,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<SignedPart, SealError> {
        let (head, (store, dataset)) = (self.replica.head(), (*self.replica.store(), *self.replica.dataset()));
        if !self.replica.is_accepted() {
            return Err(SealError::NotAccepted);
        }
        let last = self.replica.last();
        let before = last.map(|last| last.seq()).max(floor);
        let seq = before.map_or(Some(Seq::FIRST), Seq::next).ok_or(SealError::Exhausted)?;
        let epoch = keys.current().ok_or(SealError::NoKey)?;
        let key = keys.key(epoch).ok_or(SealError::NoKey)?;
        let seed = keys.head_seed(epoch).ok_or(SealError::NoKey)?;
        let min_suite = head.map_or(SUITE, Head::min_suite);
        if head.is_some_and(|head| head.epoch() > epoch) || min_suite > SUITE {
            return Err(SealError::NoKey);
        }
        let mut removes = Vec::new();
        let mut entries = Vec::with_capacity(self.len());
        let mut payloads = Vec::with_capacity(self.len());
        for (object, change) in &self.changes {
            match change {
                Change::Put(payload) => payloads.push((object, payload)),
                Change::Purge => {
                    removes.push(*object);
                    entries.push((*object, None));
                }
            }
        }
        payloads.extend(self.reseals.iter().map(|(object, payload)| (object, payload)));
        // Drawn at once: the system's generator is a call into the system, which takes longer than what it gives.
        let mut random = Zeroizing::new(vec![[0; 32]; payloads.len()]);
        rng.fill_bytes(random.as_flattened_mut());
        let jobs: Vec<_> = payloads.into_iter().zip(random.iter()).collect();
        let sealed = share::map(&jobs, |&((object, (kind, payload)), random)| {
            let at = Place::from(&Address { store, dataset, object: *object, seq });
            let mut bytes = Vec::new();
            container::seal_with_random(&key.object_key(object), &at, *kind, payload, random, &mut bytes)?;
            let entry = Entry::new(*object, seq, kind.number(), Digest::from_bytes(sha256(&bytes)));
            Ok(SealedObject { entry, bytes })
        });
        let puts = sealed.ok_or(SealError::Exhausted)?.into_iter().collect::<Result<Vec<_>, SealError>>()?;
        entries.extend(puts.iter().map(|put| (*put.entry.object(), Some(put.entry))));
        let entries = merge_entries(self.replica.entries(), entries).ok_or(SealError::Exhausted)?;
        let claims = Claims {
            store,
            dataset,
            seq,
            prev: last.map(|last| *last.hash()),
            root: root_of_sorted(&entries),
            count: u64::try_from(entries.len()).map_err(|_| SealError::Exhausted)?,
            epoch,
            commitment: Digest::from_bytes(*key.commitment(&store, &dataset).as_bytes()),
            time: now,
            min_suite,
        };
        let (head_bytes, head) = claims.sign(&seed.signer())?;
        let based_on = |(object, change)| (object, (self.replica.entry(&object).copied(), change));
        let pending = Pending { dataset, changes: self.changes.into_iter().map(based_on).collect() };
        Ok(SignedPart { dataset, head, head_bytes, puts, removes, entries, pending })
    }

    fn set(&mut self, object: ObjectId, kind: Kind, payload: Zeroizing<Vec<u8>>) -> Result<&mut Self, PayloadError> {
        // The keyring has its place, and nothing else goes there.
        let is_keyring_place = *self.replica.dataset() == DatasetId::META && object == ObjectId::KEYRING;
        if payload.len() > kind.limit() || (kind == Kind::Keyring) != is_keyring_place {
            return Err(PayloadError::Limit);
        }
        self.changes.insert(object, Change::Put((kind, payload)));
        Ok(self)
    }
}

/// Prints the number of changes.
impl fmt::Debug for Draft<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft").field("changes", &self.len()).finish_non_exhaustive()
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
    pub(crate) head: Head,
    head_bytes: Vec<u8>,
    puts: Vec<SealedObject>,
    removes: Vec<ObjectId>,
    pub(crate) entries: Vec<Entry>,
    pending: Pending,
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

    /// The host has another head: the changes again, to be put upon that one with [`Replica::rebase`].
    ///
    /// Objects that were only sealed anew are not among them; see [`Draft::reseal`].
    pub fn into_pending(self) -> Pending {
        self.pending
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

/// Changes that another device overtook: what was to be written, and upon what.
#[must_use = "what is dropped here was never written"]
pub struct Pending {
    pub(crate) dataset: DatasetId,
    /// By object: what stood there when the change was made, and the change.
    pub(crate) changes: BTreeMap<ObjectId, (Option<Entry>, Change)>,
}

impl Pending {
    /// No changes yet, for a dataset whose state has moved on since they were made.
    pub const fn new(dataset: DatasetId) -> Self {
        Self { dataset, changes: BTreeMap::new() }
    }

    /// A record that was to be written where `base` stood.
    ///
    /// # Errors
    /// [`PayloadError::Limit`].
    pub fn put(&mut self, object: ObjectId, base: Option<Entry>, record: &Record) -> Result<&mut Self, PayloadError> {
        let change = Change::Put((Kind::Record, record.encode()?));
        self.changes.insert(object, (base, change));
        Ok(self)
    }

    /// How many objects it touches.
    #[must_use]
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether it touches none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

/// Prints the number of changes.
impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("changes", &self.changes.len()).finish_non_exhaustive()
    }
}
