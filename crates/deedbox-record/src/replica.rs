//! A dataset as this client has verified it: takes what a host answered, gives what to send.

use alloc::{collections::BTreeMap, vec::Vec};
use core::{cmp::Ordering, fmt};

use deedbox_crypto::hash::sha256;
use deedbox_model::{DatasetId, Digest, Epoch, ObjectId, Seq, StoreName};

use crate::{
    Address, Draft, Entry, EpochKeys, Freshness, Head, HeadError, Kind, OpenError, Opened, Pin, SignedPart, container,
    head::root_of_sorted, share,
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
    // INVARIANT (state): ascending object ids; their root is the head's. Empty without a head, unless they were salvaged.
    entries: Vec<Entry>,
    /// The newest head whose freshness was known or accepted.
    pin: Option<Pin>,
    freshness: Freshness,
    /// The head of a host's that is none, and that the next one takes the place of.
    instead_of: Option<Pin>,
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
        Self {
            store,
            dataset,
            head: None,
            entries: Vec::new(),
            pin: None,
            freshness: Freshness::Unknown,
            instead_of: None,
        }
    }

    /// A dataset that is made now: its first head is still to be signed.
    #[must_use]
    pub const fn create(store: StoreName, dataset: DatasetId) -> Self {
        Self {
            store,
            dataset,
            head: None,
            entries: Vec::new(),
            pin: None,
            freshness: Freshness::Pinned,
            instead_of: None,
        }
    }

    /// A dataset of which this client remembers the newest head it accepted, and no object.
    #[must_use]
    pub const fn pinned(store: StoreName, dataset: DatasetId, pin: Pin) -> Self {
        Self {
            store,
            dataset,
            head: None,
            entries: Vec::new(),
            pin: Some(pin),
            freshness: Freshness::Pinned,
            instead_of: None,
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
        self.witnessed(pin, Freshness::Paired)
    }

    /// Compares the state with the head that a connection's receipt names.
    ///
    /// # Errors
    /// [`HeadError::Rollback`], [`HeadError::Fork`].
    ///
    /// # Security
    /// That connection vouches for no more than having seen this head, and may be in league with the host.
    pub fn accept_receipt(&mut self, named: &Pin) -> Result<Freshness, HeadError> {
        self.witnessed(named, Freshness::Receipt)
    }

    fn witnessed(&mut self, pin: &Pin, by: Freshness) -> Result<Freshness, HeadError> {
        let Some(head) = &self.head else { return Ok(self.freshness) };
        if head.follows(pin)? == Freshness::Pinned && self.freshness == Freshness::Unknown {
            self.freshness = by;
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

    /// Takes what lies at a host as it is, because the person says so: where its newest head, `head`, was signed by nobody who
    /// may, or is that of other objects, as whoever was let in to write can make it. Nothing vouches for this state but each
    /// object for itself: what was left out does not show. Gives the number of that head. The next one takes its place:
    /// [`Draft::sign_above`].
    ///
    /// # Errors
    /// [`HeadError::Malformed`] for what has not even a number, or an object that is told twice. The replica is then as it was.
    pub fn salvage(&mut self, head: &[u8], objects: &[ChangedObject<'_>]) -> Result<Seq, HeadError> {
        let pin = Head::peek_pin(head).ok_or(HeadError::Malformed)?;
        let entry = |change: &ChangedObject<'_>| match *change {
            ChangedObject::Put { object, seq, kind, bytes } => {
                (object, Some(Entry::new(object, seq, kind, Digest::from_bytes(sha256(bytes)))))
            }
            ChangedObject::Removed(object) => (object, None),
        };
        let entries = merge_entries(&[], objects.iter().map(entry).collect()).ok_or(HeadError::Malformed)?;
        (self.head, self.entries, self.pin) = (None, entries, None);
        (self.freshness, self.instead_of) = (Freshness::Pinned, Some(pin));
        Ok(pin.seq())
    }

    /// The head that the next one follows.
    pub(crate) fn last(&self) -> Option<Pin> {
        self.head.as_ref().map(Head::pin).or(self.instead_of)
    }

    /// Opens an object that a host gave, if it is the one of the state.
    ///
    /// # Errors
    /// [`OpenError::Rejected`] when the state has no such object or another; those of [`crate::open`].
    pub fn open(&self, object: &ObjectId, bytes: &[u8], keys: &EpochKeys) -> Result<Opened, OpenError> {
        self.open_entry(self.entry(object).ok_or(OpenError::Rejected)?, bytes, keys)
    }

    /// Opens an object of this dataset, of the present state or of one before.
    pub(crate) fn open_entry(&self, entry: &Entry, bytes: &[u8], keys: &EpochKeys) -> Result<Opened, OpenError> {
        let object = entry.object();
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
        Draft::of(self, BTreeMap::new())
    }

    /// Takes over a part that the host committed.
    ///
    /// # Errors
    /// [`HeadError::Fork`] when the part builds on another state than this one.
    pub fn committed(&mut self, part: SignedPart) -> Result<Applied, HeadError> {
        let fork = HeadError::Fork { seq: part.head.seq() };
        if *part.dataset() != self.dataset || *part.head.store() != self.store {
            return Err(HeadError::WrongDataset);
        }
        if part.head.prev() != self.last().as_ref().map(Pin::hash) {
            return Err(fork);
        }
        self.instead_of = None;
        self.pin = Some(part.head.pin());
        self.freshness = Freshness::Pinned;
        let applied = Applied { seq: part.head.seq(), freshness: self.freshness };
        self.head = Some(part.head);
        self.entries = part.entries;
        Ok(applied)
    }

    pub(crate) fn is_accepted(&self) -> bool {
        match (&self.head, &self.pin) {
            (Some(head), Some(pin)) => head.pin() == *pin,
            // Nothing but a dataset that is made now, or was salvaged, may be written without a state.
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
        let verified = self.verify(heads, keys)?;
        for (position, head) in verified.into_iter().enumerate() {
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
        let changes = share::map(changes, |change| Self::examine(change, &head)).ok_or(HeadError::Malformed)?;
        let changes = changes.into_iter().collect::<Result<Vec<_>, _>>()?;
        if head.min_suite() > SUITE && !entries.is_empty() {
            return Err(HeadError::SuiteTooLow);
        }
        let entries = merge_entries(entries, changes).ok_or(HeadError::Malformed)?;
        if u64::try_from(entries.len()) != Ok(head.count()) {
            return Err(HeadError::CountMismatch);
        }
        if root_of_sorted(&entries) != *head.root() {
            return Err(HeadError::RootMismatch);
        }
        Ok(State { head, entries, freshness })
    }

    /// Verifies heads, oldest first.
    ///
    /// The keys of the meta dataset's heads die with their keyring epoch. A head of such an epoch counts when the next one
    /// names it as `prev`: who signed that one vouches for it.
    fn verify(&self, heads: &[&[u8]], keys: &EpochKeys) -> Result<Vec<Head>, HeadError> {
        let mut verified: Vec<Head> = Vec::with_capacity(heads.len());
        for bytes in heads.iter().rev() {
            let next = verified.last();
            let (head, is_epochs_own) = match keys.epoch_of(&Head::peek_key(bytes)?) {
                Some(epoch) => {
                    let head = Head::verify(bytes, &keys.head_key(epoch).ok_or(HeadError::UnknownKey)?)?;
                    let is_epochs_own = head.epoch() == epoch;
                    (head, is_epochs_own)
                }
                None => {
                    let next = next.filter(|_| self.dataset == DatasetId::META);
                    let head = next.and_then(|next| Head::vouched_for(bytes, next)).ok_or(HeadError::UnknownKey)?;
                    let is_before = keys.first().is_some_and(|first| head.epoch() < first);
                    (head, is_before)
                }
            };
            if *head.store() != self.store || *head.dataset() != self.dataset {
                return Err(HeadError::WrongDataset);
            }
            if !is_epochs_own {
                return Err(HeadError::KeyMismatch);
            }
            verified.push(head);
        }
        verified.reverse();
        Ok(verified)
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

struct State {
    head: Head,
    entries: Vec<Entry>,
    freshness: Freshness,
}

pub(crate) type Change = (ObjectId, Option<Entry>);

/// Entries with changes, in the order of ids; `None` when an object is changed twice.
pub(crate) fn merge_entries(entries: &[Entry], mut changes: Vec<Change>) -> Option<Vec<Entry>> {
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
pub(crate) const KEPT_HEADS: usize = 4_096;
pub(crate) const SUITE: u64 = 1;

#[cfg(test)]
pub(crate) mod tests;
