//! What several devices wrote to one place at the same time: all of it stays until the person chooses.

use std::{collections::BTreeMap, fmt};

use deedbox_audit::{Entry, EntryKind};
use deedbox_cbor::ItemBuf;
use deedbox_model::{Assurance, DatasetId, Digest, FieldPath, ObjectId, Provenance};
use deedbox_record::{Dataset, Pending, Record};

use super::{Change, Open, Person, dataset_of};
use crate::{client::HostClient, error::PersonError, system};

/// One of several values of a field: devices wrote to its path at the same time, none having seen what the other wrote.
#[derive(Clone)]
#[non_exhaustive]
pub struct Sibling {
    /// The value.
    pub value: ItemBuf,
    /// Whose word it is.
    pub provenance: Option<Provenance>,
    dataset: DatasetId,
    object: ObjectId,
    path: FieldPath,
}

impl<H: HostClient> Person<Open<H>> {
    /// Fields with several values, since devices wrote to one path at the same time: for the person to choose
    /// ([`Person::keep`]). Until then all of them are values of the field, wherever it is read, decided about, granted or erased;
    /// [`Person::value`], [`Person::file`] and [`Person::annotate`] look at the one that kept the place, which is the same on
    /// every device.
    ///
    /// # Errors
    /// [`PersonError::Open`], [`PersonError::Payload`].
    pub fn siblings(&self) -> Result<Vec<(FieldPath, Vec<Sibling>)>, PersonError> {
        let open = &self.state;
        let mut fields: BTreeMap<(DatasetId, String), Vec<Sibling>> = BTreeMap::new();
        for (dataset, shelf) in open.fields() {
            for (object, record) in shelf.placed(dataset)? {
                let path = FieldPath::parse(record.name()).map_err(|_| PersonError::Damaged)?;
                let (value, provenance) = (record.value().clone(), record.provenance().cloned());
                let sibling = Sibling { value, provenance, dataset: *dataset.id(), object, path };
                fields.entry((*dataset.id(), record.name().to_owned())).or_default().push(sibling);
            }
        }
        let several = fields.into_values().filter(|siblings| siblings.len() > 1);
        Ok(several.filter_map(|siblings| Some((siblings.first()?.path.clone(), siblings))).collect())
    }

    /// Keeps one of a field's values and deletes its siblings, as the person chose. They are erased as [`Person::purge`] does.
    ///
    /// # Errors
    /// [`PersonError::NotFound`] when it is no value of the field any more; [`PersonError::Conflict`] when another device wrote
    /// meanwhile. Nothing is deleted then.
    pub async fn keep(&mut self, sibling: &Sibling) -> Result<(), PersonError> {
        let now = system::now();
        let open = &mut self.state;
        let dataset = open.keyring.dataset(&sibling.dataset).ok_or(PersonError::NotFound)?;
        let shelf = open.shelves.get(dataset.id()).ok_or(PersonError::Damaged)?;
        let mut change = open.change();
        let mut kept = None;
        for (object, record) in shelf.placed(dataset)? {
            if record.name() != sibling.path.as_str() {
                continue;
            }
            let is_same = *record.value() == sibling.value && record.provenance() == sibling.provenance.as_ref();
            if object == sibling.object && is_same {
                kept = Some(record);
            } else {
                change.purges.push((*dataset.id(), object));
            }
        }
        let (kept, place) = (kept.ok_or(PersonError::NotFound)?, dataset.name_key().object_id(sibling.path.as_str()));
        if place != sibling.object {
            change.purges.retain(|(_, object)| *object != place);
            change.purges.push((*dataset.id(), sibling.object));
            change.records.push((*dataset.id(), place, kept));
        }
        change.log(Entry::new(now, EntryKind::Erasure, None, open.policy_digest()));
        open.commit(change, now).await
    }
}

impl<H: HostClient> Person<Open<H>> {
    /// What stands among the person's fields and is none: the dataset's title and the object. Somebody who was let in to write
    /// ([`Shared::Dataset`](super::Shared::Dataset)) put there what does not open, is no record, or names no path. It is passed
    /// over wherever fields are read, and what does not open is gone once the dataset gets new keys.
    #[must_use]
    pub fn unreadable(&self) -> Vec<(&str, ObjectId)> {
        let mut unreadable = Vec::new();
        for (dataset, shelf) in self.state.fields() {
            unreadable.extend(shelf.unreadable(dataset.keys()).into_iter().map(|object| (dataset.title(), object)));
        }
        unreadable
    }

    /// Takes out what [`Person::unreadable`] lists, and gives how many objects it were.
    ///
    /// # Errors
    /// [`PersonError::Host`]; [`PersonError::Conflict`] when another device wrote meanwhile.
    pub async fn discard_unreadable(&mut self) -> Result<usize, PersonError> {
        let now = system::now();
        let open = &mut self.state;
        let mut change = open.change();
        for (dataset, shelf) in open.fields() {
            change.purges.extend(shelf.unreadable(dataset.keys()).into_iter().map(|object| (*dataset.id(), object)));
        }
        let count = change.purges.len();
        if count > 0 {
            change.log(Entry::new(now, EntryKind::Erasure, None, open.policy_digest()));
        }
        open.commit(change, now).await?;
        Ok(count)
    }
}

/// What stood where a record is to be written, when that was asked for.
pub(super) struct Base {
    place: Option<deedbox_record::Entry>,
    record: Option<Record>,
}

/// What becomes of a record that is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Placed {
    /// It takes the place of what the writer saw there.
    Over,
    /// It stands beside what another device put there meanwhile.
    Beside,
    /// Another device wrote the same.
    There,
}

impl<H: HostClient> Open<H> {
    /// The record of a path: the one in the path's place, else one that names it, as a grant's holder writes it.
    pub(super) fn at(&self, path: &FieldPath) -> Result<(&Dataset, ObjectId, Record), PersonError> {
        for (dataset, shelf) in self.fields() {
            if let Some(record) = shelf.record(dataset, path.as_str())? {
                return Ok((dataset, dataset.name_key().object_id(path.as_str()), record));
            }
        }
        for (dataset, shelf) in self.fields() {
            let mut placed = shelf.placed(dataset)?.into_iter();
            if let Some((object, record)) = placed.find(|(_, record)| record.name() == path.as_str()) {
                return Ok((dataset, object, record));
            }
        }
        Err(PersonError::NotFound)
    }

    /// What stands at a name, in a dataset that may not exist yet.
    pub(super) fn base(&self, title: &str, name: &str) -> Result<Base, PersonError> {
        let Ok(dataset) = dataset_of(&self.keyring, title) else { return Ok(Base { place: None, record: None }) };
        let shelf = self.shelves.get(dataset.id()).ok_or(PersonError::Damaged)?;
        let place = shelf.replica.entry(&dataset.name_key().object_id(name)).copied();
        Ok(Base { place, record: shelf.record(dataset, name)? })
    }

    /// Adds a record to a change: in the place of `base`, and beside anything else that stands there by now.
    pub(super) fn put(
        &self,
        change: &mut Change,
        dataset: &Dataset,
        record: Record,
        base: &Base,
    ) -> Result<Placed, PersonError> {
        let object = dataset.name_key().object_id(record.name());
        let there = match self.shelves.get(dataset.id()) {
            Some(shelf) => shelf.record(dataset, record.name())?,
            None => None,
        };
        let Some(there) = there.filter(|there| base.record.as_ref().is_none_or(|base| !is_same(base, there))) else {
            change.records.push((*dataset.id(), object, record));
            return Ok(Placed::Over);
        };
        if says(&there) == says(&record) {
            return Ok(Placed::There);
        }
        let pending = change.overtaken.entry(*dataset.id()).or_insert_with(|| Pending::new(*dataset.id()));
        pending.put(object, base.place, &record)?;
        Ok(Placed::Beside)
    }
}

/// What a record tells the person: not when and where it was written.
type Says<'a> = (
    (&'a str, u64),
    &'a ItemBuf,
    Option<&'a (ObjectId, Digest)>,
    Option<(&'a [u8], Assurance, Option<&'a [u8]>)>,
    Vec<(u64, &'a Digest, Option<&'a str>)>,
);

fn says(record: &Record) -> Says<'_> {
    let whose = record.provenance().map(|whose| (whose.source(), whose.assurance(), whose.signed()));
    let files = record.blobs().iter().map(|blob| (blob.length(), blob.sha256(), blob.media())).collect();
    (record.schema(), record.value(), record.about(), whose, files)
}

/// Whether it is the record that stood there: not one that was written since.
fn is_same(one: &Record, other: &Record) -> bool {
    let when = |record: &Record| record.provenance().map(Provenance::observed);
    says(one) == says(other) && when(one) == when(other)
}

/// Prints no value and no path.
impl fmt::Debug for Sibling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sibling").finish_non_exhaustive()
    }
}
