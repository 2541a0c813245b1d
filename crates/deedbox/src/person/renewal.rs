//! Everything written anew: sealed under new keys, or in the newest versions of schemas.

use deedbox_cbor::{ItemBuf, Limits, Writer};
use deedbox_model::{DatasetId, Timestamp};
use deedbox_record::{Kind, Record, Reseal};

use super::{BATCH, Change, Keys, Open, POLICY, Person, dataset_of};
use crate::{client::HostClient, error::PersonError, system};

impl<H: HostClient> Person<Open<H>> {
    /// Seals every object anew, as this version seals, under new keys for every dataset and for the keyring: what to call once
    /// after an update that brings a new version or suite of the format. The former keys are forgotten. Content stays as it
    /// is, schemas included ([`Person::migrate`]), and so do slots ([`Person::rotate_root`]) and the content of files, which
    /// have keys of their own that are used once.
    ///
    /// Who has a grant needs the new keys: see [`Person::outdated_grants`].
    ///
    /// It may be interrupted, and the box is read and written as before meanwhile, by other devices too: the box remembers that
    /// it was begun, and calling again, on any device, does what is left.
    ///
    /// # Errors
    /// [`PersonError::Host`]; [`PersonError::Conflict`] when another device wrote meanwhile: refresh, and call again.
    /// [`PersonError::Open`] when an object doesn't open.
    pub async fn reseal_all(&mut self) -> Result<(), PersonError> {
        let now = system::now();
        let open = &mut self.state;
        let policy = dataset_of(&open.keyring, POLICY)?;
        let begun = (*policy.id(), policy.name_key().object_id(RESEAL));
        let datasets: Vec<DatasetId> = open.keyring.datasets().iter().map(|dataset| *dataset.id()).collect();
        if open.shelves.get(&begun.0).is_some_and(|shelf| shelf.bytes(&begun.1).is_none()) {
            let mut change = open.change();
            let mut value = Writer::new();
            now.encode(&mut value);
            let value = ItemBuf::parse(value.as_slice(), &Limits::new(16)).map_err(|_| PersonError::Damaged)?;
            change.records.push((begun.0, begun.1, Record::new(POLICY, 1, RESEAL, value)?));
            let mut keyring = open.keyring.working_copy()?;
            open.begin_epochs(&datasets, &mut keyring, &mut change)?;
            change.keys = Some(Keys::of(keyring));
            open.commit(change, now).await?;
        }
        open.reseal_stale(&datasets, now).await?;
        let mut keyring = open.keyring.working_copy()?;
        for id in &datasets {
            keyring.destroy_epochs(id);
        }
        let mut last = open.change();
        last.purges.push(begun);
        last.keys = Some(open.next_keyring(keyring, None, now).await?);
        open.commit(last, now).await?;
        // What is not done now is done when the box is opened next.
        let _ = open.tidy(now).await;
        Ok(())
    }

    /// Writes the fields that [`Person::with_migrations`] reads in a newer version of their schema in that version, and gives how
    /// many it were. Whoever does not know the migrations, such as a reader of a grant, then sees the newest version too; a
    /// device with an older one of yours gets [`PersonError::Payload`] where it knows the schema. Provenance, with an issuer's
    /// signed bytes, and files stay as they are.
    ///
    /// More than one commit takes are several, each complete in itself: calling again does what is left.
    ///
    /// # Errors
    /// [`PersonError::Payload`] when one value can't be migrated; nothing is written then. [`PersonError::Conflict`] when another
    /// device wrote meanwhile: refresh, and call again.
    pub async fn migrate(&mut self) -> Result<usize, PersonError> {
        let now = system::now();
        let open = &mut self.state;
        let mut migrated = open.migrated()?.into_iter().peekable();
        let mut count = 0_usize;
        while migrated.peek().is_some() {
            let Reseal::Lazy { objects: mut most, bytes: mut room } = BATCH else { return Err(PersonError::Damaged) };
            let mut change: Change = open.change();
            while let Some((dataset, object, record, len)) = migrated.next_if(|_| most > 0 && room > 0) {
                (most, room) = (most.saturating_sub(1), room.saturating_sub(len));
                change.records.push((dataset, object, record));
                count = count.saturating_add(1);
            }
            open.commit(change, now).await?;
        }
        Ok(count)
    }
}

impl<H: HostClient> Open<H> {
    /// The person's records that are stored in older versions of their schemas, as they are read, with their lengths.
    fn migrated(&self) -> Result<Vec<(DatasetId, deedbox_model::ObjectId, Record, usize)>, PersonError> {
        let mut migrated = Vec::new();
        for (dataset, shelf) in self.fields() {
            for (entry, bytes) in shelf.sealed().filter(|(entry, _)| entry.kind() == Kind::Record.number()) {
                let Ok(Some(opened)) = shelf.open(entry.object(), dataset.keys()) else { continue };
                let read = self.migrations.read(opened.payload())?;
                if read.is_changed() {
                    migrated.push((*dataset.id(), *entry.object(), read.into_record(), bytes.len()));
                }
            }
        }
        Ok(migrated)
    }

    /// Seals anew, batch by batch, what is left in older epochs of these datasets.
    pub(super) async fn reseal_stale(&mut self, datasets: &[DatasetId], now: Timestamp) -> Result<(), PersonError> {
        while let Some(id) = datasets.iter().find(|id| self.is_stale(id)) {
            let mut change = self.change();
            change.reseal.insert(*id, BATCH);
            self.commit(change, now).await?;
        }
        Ok(())
    }
}

/// The record that says that everything is being sealed anew; its value is the time at which that began.
const RESEAL: &str = "reseal";
