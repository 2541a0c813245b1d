use deedbox_audit::{Entry, EntryKind};
use deedbox_cbor::ItemBuf;
use deedbox_model::{Assurance, DatasetId, FieldPath, Name, Provenance, StoreName};
use deedbox_record::{Granularity, Record};

use super::{Keys, Open, Person, dataset_of, shelf::Shelf};
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
}

impl<H: HostClient> Person<Open<H>> {
    /// Imports a JSON document or FHIR bundle: one record a field, each with its provenance, in one commit. A field that was
    /// imported before is replaced.
    ///
    /// # Errors
    /// [`PersonError::Import`], [`PersonError::FieldName`], [`PersonError::Payload`], [`PersonError::Host`]; nothing is imported
    /// unless everything is.
    pub async fn import(&mut self, document: &[u8], source: &str) -> Result<Imported, PersonError> {
        let (mut rng, now) = (system::rng(), system::now());
        let import = deedbox_interop::import(document)?;
        let open = &mut self.state;
        let titles: Vec<String> = import.datasets().into_iter().map(title).collect();
        for field in import.fields() {
            Name::escape(field.group()).map_err(|_| PersonError::FieldName)?;
        }
        let mut change = open.change();
        let mut keyring = open.keyring.working_copy()?;
        for title in &titles {
            if dataset_of(&keyring, title).is_err() {
                // Readers of it know the store by a name of its own: who is granted it does not learn the true id.
                let (id, name) = (DatasetId::generate(&mut rng), StoreName::generate(&mut rng));
                open.owner.put_alias(name, now).await?;
                keyring.add_dataset(name, id, title, Granularity::Field, &mut rng)?;
                change.shelves.push(Shelf::create(name, id));
            }
        }
        for field in import.fields() {
            let dataset = dataset_of(&keyring, &title(field.dataset()))?;
            let path = field.path().as_str();
            let provenance = Provenance::new(source.as_bytes(), Assurance::Declared, now);
            let record = Record::new(field.group(), 1, path, field.value().clone())?.with_provenance(provenance);
            change.records.push((*dataset.id(), dataset.name_key().object_id(path), record));
        }
        change.log(Entry::new(now, EntryKind::Receipt, None, open.policy_digest()));
        if !change.shelves.is_empty() {
            change.keys = Some(Keys::of(keyring));
        }
        open.commit(change, now).await?;
        let shelves = titles.iter().filter_map(|title| open.shelves.get(open.dataset(title).ok()?.id()));
        let sealed = shelves.map(Shelf::len).sum();
        Ok(Imported { fields: import.fields().len(), datasets: titles, sealed })
    }

    /// Every value in the box, opened: the field it belongs to, its path and the value.
    ///
    /// # Errors
    /// [`PersonError::Open`] when an object is not what was signed.
    pub fn values(&self) -> Result<Vec<Value>, PersonError> {
        let open = &self.state;
        let mut values = Vec::new();
        for dataset in open.keyring.datasets().iter().filter(|dataset| dataset.granularity() == Granularity::Field) {
            let shelf = open.shelves.get(dataset.id()).ok_or(PersonError::Damaged)?;
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
        let open = &self.state;
        for dataset in open.keyring.datasets().iter().filter(|dataset| dataset.granularity() == Granularity::Field) {
            let shelf = open.shelves.get(dataset.id()).ok_or(PersonError::Damaged)?;
            if let Some(record) = shelf.record(dataset, path.as_str())? {
                return Ok((record.value().clone(), record.provenance().cloned()));
            }
        }
        Err(PersonError::NotFound)
    }

    /// Titles of the datasets that hold the person's fields.
    pub fn datasets(&self) -> impl Iterator<Item = &str> {
        let datasets = self.state.keyring.datasets().iter();
        datasets.filter(|dataset| dataset.granularity() == Granularity::Field).map(deedbox_record::Dataset::title)
    }
}

/// A dataset's title: an imported name can't be one of the box's own.
fn title(name: &str) -> String {
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
