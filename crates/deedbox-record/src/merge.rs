//! Putting changes upon a state that another device made meanwhile, so that no value is lost and every device would
//! have done the same.

use alloc::{collections::BTreeMap, vec::Vec};

use deedbox_crypto::hash::sha256;
use deedbox_model::{Digest, ObjectId};
use zeroize::Zeroizing;

use crate::{
    DatasetKey, Draft, Entry, EpochKeys, Kind, MergeError, OpenError, Pending, Record, Replica,
    draft::{Change, Payload},
};

/// What two devices wrote to one object, and what became of it; to be shown to the person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Conflict {
    /// Two values: one keeps the place, the other stands beside it. Both name the object that they replaced.
    BothKept {
        /// The place.
        object: ObjectId,
        /// Where the other value stands.
        sibling: ObjectId,
    },
    /// One device removed what another changed: the value stays. To remove it, remove it again.
    RemovalUndone {
        /// The object.
        object: ObjectId,
    },
}

impl Replica {
    /// Puts overtaken changes upon the present state: a draft to be signed, and what two devices both wrote.
    ///
    /// For each object, with what stood there when the change was made, what stands there now, and the change:
    ///
    /// - only one side changed it: that side's value. Sealing anew is no change.
    /// - both wrote the same: that.
    /// - two records: both stay. The one whose payload, without parents, has the smaller SHA-256 keeps the id; the other
    ///   gets an id that is derived from the place and its own payload. Both name the object replaced as a parent.
    /// - a record and a removal: the record.
    /// - an index: the change; it can be made again at any time.
    ///
    /// The outcome does not depend on which device came first. `objects` gives an object's bytes: of all entries of the
    /// present state, and, where the caller still has them, of those before.
    ///
    /// # Errors
    /// [`MergeError::Keyring`] when both sides changed the keyring; [`MergeError::WrongDataset`]; [`MergeError::Open`].
    pub fn rebase<'b>(
        &self,
        pending: Pending,
        keys: &EpochKeys,
        objects: impl Fn(&Entry) -> Option<&'b [u8]>,
    ) -> Result<(Draft<'_>, Vec<Conflict>), MergeError> {
        if pending.dataset != *self.dataset() {
            return Err(MergeError::WrongDataset);
        }
        let key =
            keys.current().and_then(|epoch| keys.key(epoch)).ok_or(MergeError::Open(OpenError::UnknownEpoch(0)))?;
        let read = |entry: &Entry| -> Result<Payload, OpenError> {
            let bytes = objects(entry).ok_or(OpenError::Rejected)?;
            let kind = Kind::from_number(entry.kind()).ok_or(OpenError::Malformed)?;
            Ok((kind, self.open_entry(entry, bytes, keys)?.into_payload()))
        };
        let mut merge = Merge { replica: self, key, changes: BTreeMap::new(), conflicts: Vec::new() };
        let mut overtaken = Vec::new();
        for (object, (base, change)) in pending.changes {
            let now = self.entry(&object).copied();
            // The state before may be gone; then it counts as changed.
            let is_same = base == now
                || match (&base, &now) {
                    (Some(base), Some(now)) if objects(base).is_some() => same(&read(base)?, &read(now)?),
                    _ => false,
                };
            if is_same {
                merge.changes.insert(object, change);
            } else {
                overtaken.push((object, base, change));
            }
        }
        for (object, base, change) in overtaken {
            let parent = base.map(|base| *base.sha256());
            match change {
                Change::Put((Kind::Keyring, _)) => return Err(MergeError::Keyring),
                Change::Put(ours) => merge.settle(object, parent, ours, &read)?,
                Change::Purge => merge.purge(object, &read)?,
            }
        }
        Ok((Draft::of(self, merge.changes), merge.conflicts))
    }
}

struct Merge<'a> {
    replica: &'a Replica,
    key: &'a DatasetKey,
    changes: BTreeMap<ObjectId, Change>,
    conflicts: Vec<Conflict>,
}

impl Merge<'_> {
    /// Finds a place for `ours`, which was meant for `object`, beside what stands there now.
    fn settle(
        &mut self,
        mut object: ObjectId,
        parent: Option<Digest>,
        mut ours: Payload,
        read: &impl Fn(&Entry) -> Result<Payload, OpenError>,
    ) -> Result<(), MergeError> {
        loop {
            let (theirs, is_new) = match (self.changes.remove(&object), self.replica.entry(&object)) {
                (Some(Change::Put(theirs)), _) => (Some(theirs), true),
                (Some(Change::Purge), _) | (None, None) => (None, false),
                (None, Some(entry)) => (Some(read(entry)?), false),
            };
            let is_removal = ours.0 == Kind::Tombstone;
            let Some(theirs) = theirs else {
                // Taken out: a removal has nothing left to do, a value comes back.
                if !is_removal {
                    self.conflicts.push(Conflict::RemovalUndone { object });
                    self.changes.insert(object, Change::Put(ours));
                }
                return Ok(());
            };
            match (ours.0, theirs.0) {
                (Kind::Record, Kind::Record) if !same(&ours, &theirs) => {}
                // A value against a removal.
                (Kind::Record, Kind::Tombstone) => {
                    self.conflicts.push(Conflict::RemovalUndone { object });
                    self.changes.insert(object, Change::Put(ours));
                    return Ok(());
                }
                (Kind::Index, _) => {
                    self.changes.insert(object, Change::Put(ours));
                    return Ok(());
                }
                // Equal, or a removal against anything: theirs stays.
                _ => {
                    if is_removal && theirs.0 == Kind::Record {
                        self.conflicts.push(Conflict::RemovalUndone { object });
                    }
                    if is_new {
                        self.changes.insert(object, Change::Put(theirs));
                    }
                    return Ok(());
                }
            }
            let (stays, goes, is_ours) =
                if normal(&ours) < normal(&theirs) { (ours, theirs, true) } else { (theirs, ours, false) };
            let sibling = self.key.sibling(&object, &normal(&goes));
            self.conflicts.push(Conflict::BothKept { object, sibling });
            let named = with_parent(&stays, parent);
            if is_ours || is_new || named.1 != stays.1 {
                self.changes.insert(object, Change::Put(named));
            }
            ours = with_parent(&goes, parent);
            object = sibling;
            // Nothing stands beside it yet in most cases, and then it is a plain write.
            if !self.changes.contains_key(&object) && self.replica.entry(&object).is_none() {
                self.changes.insert(object, Change::Put(ours));
                return Ok(());
            }
        }
    }

    /// Takes out what nobody changed into another value.
    fn purge(
        &mut self,
        object: ObjectId,
        read: &impl Fn(&Entry) -> Result<Payload, OpenError>,
    ) -> Result<(), MergeError> {
        let Some(entry) = self.replica.entry(&object) else { return Ok(()) };
        if read(entry)?.0 == Kind::Record {
            self.conflicts.push(Conflict::RemovalUndone { object });
        } else {
            self.changes.insert(object, Change::Purge);
        }
        Ok(())
    }
}

/// Whether two payloads say the same, whatever they replaced.
fn same(one: &Payload, other: &Payload) -> bool {
    one.0 == other.0 && (one.0 == Kind::Tombstone || normal(one) == normal(other))
}

/// SHA-256 of the payload without its parents.
fn normal((kind, payload): &Payload) -> [u8; 32] {
    let bare = (*kind == Kind::Record)
        .then(|| Record::decode(payload).and_then(|record| record.with_parents(Vec::new()).encode()).ok());
    sha256(bare.flatten().as_ref().unwrap_or(payload))
}

/// The payload with one more parent; as it was when it can hold none.
fn with_parent((kind, payload): &Payload, parent: Option<Digest>) -> Payload {
    let named = parent.and_then(|parent| {
        let record = Record::decode(payload).ok()?;
        let mut parents = record.parents().to_vec();
        parents.push(parent);
        parents.sort_unstable_by_key(|parent| *parent.as_bytes());
        parents.dedup();
        record.with_parents(parents).encode().ok()
    });
    (*kind, named.unwrap_or_else(|| Zeroizing::new(payload.to_vec())))
}

#[cfg(test)]
mod tests;
