use std::collections::BTreeSet;

use deedbox_audit::{Entry, EntryKind};
use deedbox_cbor::ItemBuf;
use deedbox_model::{Assurance, DatasetId, FieldPath, Name, Provenance, StoreName, Timestamp};
use deedbox_record::{Granularity, Keyring, Record};

use super::{
    Change, Open, Person, dataset_of,
    shelf::Shelf,
    sibling::{Base, Placed},
};
use crate::{client::HostClient, error::PersonError, exchange::Value, system};

/// What an import brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// How many fields.
    pub fields: usize,
    /// Titles of the datasets they went to.
    pub datasets: Vec<String>,
    /// Bytes of ciphertext that these datasets now hold.
    pub sealed: usize,
    /// Fields to which another device wrote something else at the same time: both values are in the box, and the person
    /// chooses ([`Person::siblings`]).
    pub conflicts: Vec<FieldPath>,
}

impl<H: HostClient> Person<Open<H>> {
    /// Imports a JSON document or FHIR bundle: one record a field, each with its provenance, in one commit. A field that was
    /// imported before is replaced, but not one that an issuer signed, nor one that another device wrote at the same time:
    /// [`Imported::conflicts`].
    ///
    /// # Errors
    /// [`PersonError::Import`], [`PersonError::FieldName`], [`PersonError::IssuerOwned`], [`PersonError::Payload`],
    /// [`PersonError::Host`]; nothing is imported unless everything is.
    pub async fn import(&mut self, document: &[u8], source: &str) -> Result<Imported, PersonError> {
        let now = system::now();
        let import = deedbox_interop::import(document)?;
        let incoming = import.fields().iter().map(|field| Incoming {
            dataset: field.dataset(),
            group: field.group(),
            path: field.path(),
            value: field.value(),
            provenance: Provenance::new(source.as_bytes(), Assurance::Declared, now),
        });
        let open = &mut self.state;
        let entry = Entry::new(now, EntryKind::Receipt, None, open.policy_digest());
        open.take_in(&incoming.collect::<Vec<_>>(), entry, now).await
    }

    /// Every value in the box, opened: the field it belongs to, its path and the value.
    ///
    /// # Errors
    /// [`PersonError::Open`] when an object is not what was signed.
    pub fn values(&self) -> Result<Vec<Value>, PersonError> {
        let open = &self.state;
        let mut values = Vec::new();
        for (dataset, shelf) in open.fields() {
            for record in shelf.records(dataset)? {
                values.push(value(&record)?);
            }
        }
        values.sort_by(|one, next| (&one.field, one.path.as_str()).cmp(&(&next.field, next.path.as_str())));
        Ok(values)
    }

    /// The value at a path, with its provenance.
    ///
    /// # Errors
    /// [`PersonError::NotFound`], [`PersonError::Open`].
    pub fn value(&self, path: &FieldPath) -> Result<(ItemBuf, Option<Provenance>), PersonError> {
        let (_, _, record) = self.state.at(path)?;
        Ok((record.value().clone(), record.provenance().cloned()))
    }

    /// Titles of the datasets that hold the person's fields.
    pub fn datasets(&self) -> impl Iterator<Item = &str> {
        self.state.fields().map(|(dataset, _)| dataset.title())
    }
}

/// A value on its way into the box.
pub(super) struct Incoming<'a> {
    pub(super) dataset: &'a str,
    pub(super) group: &'a str,
    pub(super) path: &'a FieldPath,
    pub(super) value: &'a ItemBuf,
    pub(super) provenance: Provenance,
}

impl<H: HostClient> Open<H> {
    /// Writes values and a log entry, all or nothing.
    pub(super) async fn take_in(
        &mut self,
        incoming: &[Incoming<'_>],
        entry: Entry,
        now: Timestamp,
    ) -> Result<Imported, PersonError> {
        let titles: BTreeSet<String> = incoming.iter().map(|one| title(one.dataset)).collect();
        let base = |one: &Incoming<'_>| self.base(&title(one.dataset), one.path.as_str());
        let bases = incoming.iter().map(base).collect::<Result<Vec<_>, _>>()?;
        let conflicts = self.write_with(now, |open| open.taken_in(incoming, &bases, &titles, &entry)).await?;
        let shelves = titles.iter().filter_map(|title| self.shelves.get(self.dataset(title).ok()?.id()));
        let sealed = shelves.map(Shelf::len).sum();
        Ok(Imported { fields: incoming.len(), datasets: titles.into_iter().collect(), sealed, conflicts })
    }

    /// The change, with the paths at which values will stand beside those of other devices.
    fn taken_in(
        &self,
        incoming: &[Incoming<'_>],
        bases: &[Base],
        titles: &BTreeSet<String>,
        entry: &Entry,
    ) -> Result<(Change, Vec<FieldPath>), PersonError> {
        let (mut change, mut conflicts) = (self.change(), Vec::new());
        let mut keyring = self.keyring.working_copy()?;
        for title in titles {
            provide(title, &mut keyring, &mut change)?;
        }
        for (one, base) in incoming.iter().zip(bases) {
            Name::escape(one.group).map_err(|_| PersonError::FieldName)?;
            let dataset = dataset_of(&keyring, &title(one.dataset))?;
            let path = one.path.as_str();
            if let Some(shelf) = self.shelves.get(dataset.id())
                && let Some(there) = shelf.record(dataset, path)?
                && !may_replace(&there, &one.provenance)
            {
                return Err(PersonError::IssuerOwned);
            }
            let record = Record::new(one.group, 1, path, one.value.clone())?.with_provenance(one.provenance.clone());
            if self.put(&mut change, dataset, record, base)? == Placed::Beside {
                conflicts.push(one.path.clone());
            }
        }
        change.log(Entry { policy: self.policy_digest(), ..entry.clone() });
        change.with_datasets(keyring);
        Ok((change, conflicts))
    }
}

/// Makes a dataset for the person's fields in a change, unless there is one of that title.
pub(super) fn provide(title: &str, keyring: &mut Keyring, change: &mut Change) -> Result<(), PersonError> {
    if dataset_of(keyring, title).is_err() {
        let mut rng = system::rng();
        // Readers of it know the store by a name of its own: who is granted it does not learn the true id.
        let (id, name) = (DatasetId::generate(&mut rng), StoreName::generate(&mut rng));
        keyring.add_dataset(name, id, title, Granularity::Field, &mut rng)?;
        change.shelves.push(Shelf::create(name, id));
    }
    Ok(())
}

/// What somebody signed is replaced by their own word only, and what the person said by the person's.
pub(super) fn may_replace(there: &Record, coming: &Provenance) -> bool {
    let issuer = |provenance: &Provenance| provenance.signed().map(|_| provenance.source().to_vec());
    there.provenance().and_then(issuer) == issuer(coming)
}

/// A dataset's title: an imported name can't be one of the box's own.
pub(super) fn title(name: &str) -> String {
    name.replace(':', "_")
}

pub(super) fn value(record: &Record) -> Result<Value, PersonError> {
    let (group, _) = record.schema();
    Ok(Value {
        field: Name::escape(group).map_err(|_| PersonError::Damaged)?,
        path: FieldPath::parse(record.name()).map_err(|_| PersonError::Damaged)?,
        value: record.value().clone(),
    })
}
