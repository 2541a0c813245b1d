//! Erasure at three levels, and a new root for a store that a lost device could open.

use std::collections::{BTreeMap, BTreeSet};

use deedbox_audit::{Entry, EntryKind};
use deedbox_cose::sha256;
use deedbox_model::{DatasetId, Digest, FieldPath, ObjectId, Timestamp};
use deedbox_record::{
    ErasedDataset, ErasureLevel, ErasureReceipt, Granularity, Header, HostErasure, HostShare, Keyring, NewSlot, Record,
    Reseal, Root, SlotId,
};

use super::{BATCH, Change, Keys, Open, Person};
use crate::{client::HostClient, error::PersonError, system};

/// What is to be erased, by dataset.
type Erased = BTreeMap<DatasetId, BTreeSet<ObjectId>>;

impl<H: HostClient> Person<Open<H>> {
    /// Erasure, level 1: deletes fields at the host, for room and order. Who has an archive of the host and the keys still
    /// reads them; see [`Person::erase`].
    ///
    /// # Errors
    /// [`PersonError::NotFound`] when one of the fields is not there; nothing is deleted then.
    pub async fn purge(&mut self, fields: &[FieldPath]) -> Result<ErasureReceipt, PersonError> {
        let open = &mut self.state;
        let mut erased = open.find(fields)?;
        let now = system::now();
        let mut change = open.change();
        open.take_out(&mut change, &erased, now);
        open.add_files(&mut erased)?;
        open.commit(change, now).await?;
        open.receipt(ErasureLevel::Purged, &erased, now).await
    }

    /// Erasure, level 2: destroys the keys of fields. Their datasets get new keys, everything else in them is sealed anew,
    /// the keyring forgets the old keys, and the host's share that opens older keyrings is replaced. From then on nobody
    /// reads the fields in any archive of the host, the person included.
    ///
    /// Who has a grant on one of the datasets needs the new keys: see [`Person::outdated_grants`].
    ///
    /// It may be interrupted: until the last commit nothing is erased and nothing lost, and asking again finishes it.
    ///
    /// # Errors
    /// [`PersonError::NotFound`] when one of the fields is not there; [`PersonError::Conflict`] when another device wrote
    /// meanwhile.
    pub async fn erase(&mut self, fields: &[FieldPath]) -> Result<ErasureReceipt, PersonError> {
        let erased = self.state.find(fields)?;
        self.state.rekey(erased).await
    }

    /// Erases a whole dataset as [`Person::erase`] does; an empty one of the same title stays.
    ///
    /// # Errors
    /// As [`Person::erase`].
    pub async fn erase_dataset(&mut self, title: &str) -> Result<ErasureReceipt, PersonError> {
        let dataset = self.state.dataset(title)?;
        if dataset.granularity() != Granularity::Field {
            return Err(PersonError::NotFound);
        }
        let shelf = self.state.shelves.get(dataset.id()).ok_or(PersonError::Damaged)?;
        let objects = shelf.replica.entries().iter().map(|entry| *entry.object()).collect();
        self.state.rekey([(*dataset.id(), objects)].into()).await
    }

    /// Erasure, level 3: a new root secret, a new keyring key and a new key for every dataset. Whoever could open the box
    /// by the former root, such as a lost device, opens nothing that is written from here on, and is no longer let in by the
    /// host. What it had fetched, it has; it also knows the keys of connections made before, so
    /// renew those that matter. Who has a grant needs the new keys: see [`Person::outdated_grants`].
    ///
    /// Slots of devices and contacts are wrapped anew by themselves, unless they are `lost`; the others need their secret
    /// (`with`, by the slot's id). The ids of those that are not wrapped anew are returned: they are gone.
    ///
    /// # Errors
    /// [`PersonError::Unlock`]: `NoSuchSlot`; `Limit` when no slot would be left. [`PersonError::Conflict`] when another
    /// device wrote meanwhile. Then nothing has changed.
    pub async fn rotate_root(
        &mut self,
        lost: &[SlotId],
        with: &[(SlotId, NewSlot<'_>)],
    ) -> Result<(ErasureReceipt, Vec<SlotId>), PersonError> {
        let (mut rng, now) = (system::rng(), system::now());
        let open = &mut self.state;
        let root = open.root.next(&mut rng)?;
        let (header, dropped) = open.header.rotate_root(&open.root, &root, lost, with, &mut rng)?;
        let mut keyring = open.keyring.working_copy()?;
        dropped.iter().for_each(|slot| {
            keyring.remove_device(slot);
        });
        let mut change = open.change();
        let datasets: Vec<DatasetId> = open.shelves.keys().copied().collect();
        open.begin_epochs(&datasets, &mut keyring, &mut change)?;
        open.owner.admit(&root, now).await?;
        let keys = open.next_keyring(keyring, Some((root, header)), now).await?;
        change.keys = Some(keys);
        change.log(Entry::new(now, EntryKind::Erasure, None, open.policy_digest()));
        open.commit(change, now).await?;
        open.owner.revoke_former(now).await?;
        let receipt = open.receipt(ErasureLevel::NewRoot, &BTreeMap::new(), now).await?;
        Ok((receipt, dropped))
    }
}

impl<H: HostClient> Open<H> {
    pub(super) fn find(&self, fields: &[FieldPath]) -> Result<Erased, PersonError> {
        let wanted: BTreeSet<&str> = fields.iter().map(FieldPath::as_str).collect();
        let (mut erased, mut found) = (Erased::new(), BTreeSet::new());
        for (dataset, shelf) in self.fields() {
            let places: BTreeMap<ObjectId, &str> =
                wanted.iter().map(|path| (dataset.name_key().object_id(path), *path)).collect();
            for (entry, _) in shelf.sealed() {
                // A value that another device wrote at the same time has a place of its own, and says whose it is; what does
                // not open is no reason to erase nothing.
                let says = || {
                    let opened = shelf.open(entry.object(), dataset.keys()).ok().flatten()?;
                    wanted.get(Record::decode(opened.payload()).ok()?.name()).copied()
                };
                if let Some(path) = places.get(entry.object()).copied().or_else(says) {
                    erased.entry(*dataset.id()).or_default().insert(*entry.object());
                    found.insert(path);
                }
            }
        }
        if found == wanted { Ok(erased) } else { Err(PersonError::NotFound) }
    }

    fn take_out(&self, change: &mut Change, erased: &Erased, now: Timestamp) {
        for (dataset, objects) in erased {
            change.purges.extend(objects.iter().map(|object| (*dataset, *object)));
        }
        change.log(Entry::new(now, EntryKind::Erasure, None, self.policy_digest()));
    }

    /// Adds to what is erased the files that go with it: a receipt names them, by their ids.
    fn add_files(&self, erased: &mut Erased) -> Result<(), PersonError> {
        for (dataset, objects) in erased {
            let mut files = BTreeSet::new();
            for object in &*objects {
                files.extend(self.blobs_of(dataset, object)?);
            }
            objects.extend(files.iter().map(|blob| ObjectId::from_bytes(*blob.as_bytes())));
        }
        Ok(())
    }

    async fn rekey(&mut self, mut erased: Erased) -> Result<ErasureReceipt, PersonError> {
        let now = system::now();
        let mut change = self.change();
        self.take_out(&mut change, &erased, now);
        self.add_files(&mut erased)?;
        let datasets: Vec<DatasetId> = erased.keys().copied().collect();
        self.renew(&datasets, change, true, now).await?;
        self.receipt(ErasureLevel::Rekeyed, &erased, now).await
    }

    /// New keys for datasets, everything in them sealed anew and the old keys forgotten, `last` in the same commit as that;
    /// with the keyring under a new share of the host's if `with_share`.
    pub(super) async fn renew(
        &mut self,
        datasets: &[DatasetId],
        mut last: Change,
        with_share: bool,
        now: Timestamp,
    ) -> Result<(), PersonError> {
        let mut keyring = self.keyring.working_copy()?;
        for id in datasets {
            self.begin_epoch(&mut keyring, id)?;
        }
        if !self.fits(datasets) {
            // More than one commit takes: first the new keys, then everything is sealed anew under them, batch by batch.
            let mut change = self.change();
            change.keys = Some(Keys::of(keyring));
            change.reseal = datasets.iter().map(|id| (*id, BATCH)).collect();
            self.commit(change, now).await?;
            self.reseal_stale(datasets, now).await?;
            keyring = self.keyring.working_copy()?;
        }
        for id in datasets {
            keyring.destroy_epochs(id);
        }
        last.reseal = datasets.iter().map(|id| (*id, Reseal::Eager)).collect();
        last.keys = Some(if with_share { self.next_keyring(keyring, None, now).await? } else { Keys::of(keyring) });
        self.commit(last, now).await
    }

    /// A new epoch for each of these datasets, with as many objects sealed anew as one commit takes; later ones do the others.
    pub(super) fn begin_epochs(
        &self,
        datasets: &[DatasetId],
        keyring: &mut Keyring,
        change: &mut Change,
    ) -> Result<(), PersonError> {
        let Reseal::Lazy { objects: mut most, bytes: mut room } = BATCH else { return Err(PersonError::Damaged) };
        for id in datasets {
            let shelf = self.shelves.get(id).ok_or(PersonError::Damaged)?;
            self.begin_epoch(keyring, id)?;
            change.reseal.insert(*id, Reseal::Lazy { objects: most, bytes: room });
            most = most.saturating_sub(shelf.replica.entries().len());
            room = room.saturating_sub(shelf.len());
        }
        Ok(())
    }

    /// A new epoch for a dataset. Epochs that hold nothing any more are forgotten on the way.
    fn begin_epoch(&self, keyring: &mut Keyring, id: &DatasetId) -> Result<(), PersonError> {
        if !self.is_stale(id) {
            keyring.destroy_epochs(id);
        }
        keyring.rotate(id, &mut system::rng())?;
        Ok(())
    }

    /// The keyring under its next epoch, whose share the host has from now on.
    pub(super) async fn next_keyring(
        &self,
        keyring: Keyring,
        root: Option<(Root, Header)>,
        now: Timestamp,
    ) -> Result<Keys, PersonError> {
        let epoch = self.epoch.next().ok_or(deedbox_record::SealError::Exhausted)?;
        let fresh = HostShare::generate(&mut system::rng());
        // An attempt that was interrupted may have left one: two devices then use the same.
        let share = self.owner.share_or_put(epoch.get(), fresh.expose(), now).await?;
        Ok(Keys { keyring, epoch: Some((epoch, HostShare::from_bytes(share))), root })
    }

    fn fits(&self, datasets: &[DatasetId]) -> bool {
        let Reseal::Lazy { objects, bytes } = BATCH else { return false };
        let shelves = || datasets.iter().filter_map(|id| self.shelves.get(id));
        let count: usize = shelves().map(|shelf| shelf.replica.entries().len()).sum();
        let len: usize = shelves().map(super::shelf::Shelf::len).sum();
        count <= objects && len <= bytes
    }

    /// Whether an object of the dataset is sealed in an older epoch than the present one.
    pub(super) fn is_stale(&self, id: &DatasetId) -> bool {
        let present = self.keyring.dataset(id).and_then(|dataset| dataset.keys().current());
        let mut objects = self.shelves.get(id).into_iter().flat_map(|shelf| shelf.sealed());
        objects.any(|(_, bytes)| deedbox_record::peek(bytes).ok().and_then(|prefix| prefix.epoch()) != present)
    }

    /// Has the host forget what is left of it, and writes the receipt and its digest into the log.
    async fn receipt(
        &mut self,
        level: ErasureLevel,
        erased: &Erased,
        now: Timestamp,
    ) -> Result<ErasureReceipt, PersonError> {
        let is_rekeyed = level != ErasureLevel::Purged;
        if let Some(former) = self.epoch.get().checked_sub(1).filter(|former| is_rekeyed && *former > 0) {
            self.owner.drop_share(former, now).await?;
        }
        self.purge_leftovers(now).await?;
        let purged = self.owner.purge_traces(now).await?;
        let datasets = erased.iter().map(|(id, objects)| {
            let below = self.keyring.dataset(id).and_then(|dataset| dataset.keys().current()).filter(|_| is_rekeyed);
            ErasedDataset::new(*id, below, objects.iter().copied().collect())
        });
        let host = HostErasure::new(purged.physical, purged.share_backup_days);
        let epoch = is_rekeyed.then_some(self.epoch);
        let receipt = ErasureReceipt::new(level, *self.root.store(), now, datasets.collect(), epoch, host);
        let mut change = self.change();
        let mut entry = Entry::new(now, EntryKind::Receipt, None, self.policy_digest());
        entry.receipt = Some(Digest::from_bytes(sha256(&receipt.to_bytes())));
        change.log(entry);
        self.commit(change, now).await?;
        Ok(receipt)
    }
}
