//! A dataset of which only some objects can be opened: what a grant of single objects makes of it.

use alloc::{collections::BTreeMap, vec::Vec};
use core::fmt;

use deedbox_crypto::hash::sha256;
use deedbox_merkle::Frontier;
use deedbox_model::{DatasetId, Digest, Epoch, ObjectId, StoreName};

use crate::{
    Address, ChangedObject, Entry, Freshness, Head, HeadError, HeadKey, Kind, ObjectKey, OpenError, Opened, Pin,
    container, replica::KEPT_HEADS,
};

/// The state of a dataset for one who holds the keys of some of its objects, in one epoch.
///
/// It takes a head, the leaf hashes of all objects, and the granted objects: the leaves make the head's root, and each object
/// is one of the leaves. So whoever reads one object knows it to be the one of the signed state, and learns of its neighbours
/// only how many there are.
///
/// A granted object that is not given is [`PartialReplica::missing`]: removed, or withheld; leaves don't tell which.
///
/// ```compile_fail
/// fn copy(replica: &deedbox_record::PartialReplica) -> deedbox_record::PartialReplica { replica.clone() }
/// ```
pub struct PartialReplica {
    store: StoreName,
    dataset: DatasetId,
    epoch: Epoch,
    head_key: HeadKey,
    keys: BTreeMap<ObjectId, ObjectKey>,
    head: Option<Head>,
    // INVARIANT (state): granted objects, each a leaf of the head's tree. Empty without a head.
    entries: BTreeMap<ObjectId, Entry>,
    /// The newest head whose freshness was known or accepted.
    pin: Pin,
    freshness: Freshness,
}

impl PartialReplica {
    /// Nothing known yet but the head that a grant names.
    pub(crate) fn new(head_key: HeadKey, keys: Vec<(ObjectId, ObjectKey)>, granted: &Head) -> Self {
        Self {
            store: *granted.store(),
            dataset: *granted.dataset(),
            epoch: granted.epoch(),
            head_key,
            keys: keys.into_iter().collect(),
            head: None,
            entries: BTreeMap::new(),
            pin: granted.pin(),
            freshness: Freshness::Pinned,
        }
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
    pub const fn pin(&self) -> &Pin {
        &self.pin
    }

    /// The objects that the grant opens, in the order of their ids.
    pub fn granted(&self) -> impl Iterator<Item = &ObjectId> {
        self.keys.keys()
    }

    /// Granted objects that the state holds, as far as the host gave them.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// Granted objects that the host didn't give: removed or withheld.
    pub fn missing(&self) -> impl Iterator<Item = &ObjectId> {
        self.keys.keys().filter(|object| !self.entries.contains_key(object))
    }

    /// Takes a host's answer: all heads since the pin, oldest first, the leaf hashes of the newest in the order of object
    /// ids, and the granted objects changed since the last answer.
    ///
    /// # Errors
    /// [`HeadError::UnknownKey`] after a rotation: the grant's epoch is over, ask for a new one. [`HeadError::Malformed`] also
    /// for an object that is not granted, [`HeadError::RootMismatch`] for one that is no leaf. The state is then as it was.
    pub fn apply(
        &mut self,
        heads: &[&[u8]],
        leaves: &[Digest],
        objects: &[ChangedObject<'_>],
    ) -> Result<Freshness, HeadError> {
        let mut last = self.pin;
        let mut freshness = if heads.is_empty() { self.freshness } else { Freshness::Pinned };
        let mut newest = self.head.clone();
        for (position, bytes) in heads.iter().enumerate() {
            let head = self.verify(bytes)?;
            match head.follows(&last)? {
                Freshness::Pinned => {}
                // The host keeps that many heads: whoever was away for longer can't know.
                _ if position == 0 && heads.len() >= KEPT_HEADS => freshness = Freshness::Unknown,
                _ => return Err(HeadError::Fork { seq: head.seq() }),
            }
            last = head.pin();
            newest = Some(head);
        }
        let head = newest.ok_or(HeadError::Malformed)?;
        if u64::try_from(leaves.len()) != Ok(head.count()) {
            return Err(HeadError::CountMismatch);
        }
        if root_of_leaves(leaves) != *head.root() {
            return Err(HeadError::RootMismatch);
        }
        let mut entries = BTreeMap::new();
        for object in objects {
            let ChangedObject::Put { object, seq, kind, bytes } = *object else { continue };
            let entry = Entry::new(object, seq, kind, Digest::from_bytes(sha256(bytes)));
            let &[_, suite, stated, ..] = bytes.first_chunk::<8>().ok_or(HeadError::Malformed)?;
            if stated != kind || !self.keys.contains_key(&object) || entries.insert(object, entry).is_some() {
                return Err(HeadError::Malformed);
            }
            if u64::from(suite) < head.min_suite() {
                return Err(HeadError::SuiteTooLow);
            }
            if !leaves.contains(&entry.leaf_hash()) {
                return Err(HeadError::RootMismatch);
            }
        }
        // What was known and still is a leaf is as it was.
        for (object, entry) in &self.entries {
            if !entries.contains_key(object) && leaves.contains(&entry.leaf_hash()) {
                entries.insert(*object, *entry);
            }
        }
        if freshness != Freshness::Unknown {
            self.pin = head.pin();
        }
        (self.head, self.entries, self.freshness) = (Some(head), entries, freshness);
        Ok(freshness)
    }

    /// Says that the caller accepts a state of which nobody knows how old it is.
    pub fn accept_unknown(&mut self) {
        if let Some(head) = &self.head {
            self.pin = head.pin();
        }
    }

    /// Opens a granted object that a host gave, if it is the one of the state.
    ///
    /// # Errors
    /// [`OpenError::Rejected`] when the state has no such object or another, or it is not granted; those of
    /// [`crate::open`].
    pub fn open(&self, object: &ObjectId, bytes: &[u8]) -> Result<Opened, OpenError> {
        let entry = self.entries.get(object).ok_or(OpenError::Rejected)?;
        let key = self.keys.get(object).ok_or(OpenError::Rejected)?;
        if sha256(bytes) != *entry.sha256().as_bytes() {
            return Err(OpenError::Rejected);
        }
        let kind = Kind::from_number(entry.kind()).ok_or(OpenError::Malformed)?;
        let at = Address { store: self.store, dataset: self.dataset, object: *object, seq: entry.seq() };
        container::open(key, &at, kind, bytes)
    }

    fn verify(&self, bytes: &[u8]) -> Result<Head, HeadError> {
        let head = Head::verify(bytes, &self.head_key)?;
        if *head.store() != self.store || *head.dataset() != self.dataset {
            return Err(HeadError::WrongDataset);
        }
        if head.epoch() == self.epoch { Ok(head) } else { Err(HeadError::KeyMismatch) }
    }
}

/// Prints counts.
impl fmt::Debug for PartialReplica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartialReplica")
            .field("head", &self.head)
            .field("granted", &self.keys.len())
            .field("missing", &self.missing().count())
            .finish_non_exhaustive()
    }
}

/// The root of a tree of these leaves (RFC 9162 §2.1.1).
fn root_of_leaves(leaves: &[Digest]) -> Digest {
    let mut tree = Frontier::new();
    for leaf in leaves {
        // A tree of 2^64 leaves is beyond any memory.
        let _ = tree.push(*leaf.as_bytes());
    }
    Digest::from_bytes(tree.root())
}

#[cfg(test)]
mod tests;
