//! The ways to open a box: slots, the passphrase, and what another device wrote meanwhile.

use std::sync::Arc;

use deedbox_cose::LocalSigner;
use deedbox_host::wire;
use deedbox_model::Timestamp;
use deedbox_record::{AccountSecret, Header, NewSlot, Passphrase, PassphraseCost, Slot, SlotId, SlotType, UnlockError};

use super::{Change, Granted, Open, Person, dataset_of, normalised, unhex};
use crate::{
    client::{HostClient, Owner, Watch, header},
    error::PersonError,
    system,
};

impl<H: HostClient> Person<Open<H>> {
    /// The ways to open the box.
    #[must_use]
    pub fn slots(&self) -> &[Slot] {
        self.state.header.slots()
    }

    /// Adds a way to open the box: another device, a contact, a security key, a threshold of shares.
    ///
    /// # Errors
    /// [`PersonError::Unlock`]: `Limit`, `WeakParameters`; [`PersonError::Conflict`].
    pub async fn add_slot(&mut self, slot: &NewSlot<'_>) -> Result<SlotId, PersonError> {
        let open = &mut self.state;
        let header = open.header.add_slot(&open.root, slot, &mut system::rng())?;
        let id = header.slots().last().map(|slot| *slot.id()).ok_or(PersonError::Damaged)?;
        open.exchange(header).await?;
        Ok(id)
    }

    /// Takes a way to open the box away. Whoever has its secret and kept an old header still opens the box with it; for a
    /// lost device see [`Person::rotate_root`].
    ///
    /// # Errors
    /// [`PersonError::Unlock`]: `NoSuchSlot`, `Limit` for the last one; [`PersonError::Conflict`].
    pub async fn remove_slot(&mut self, slot: &SlotId) -> Result<(), PersonError> {
        let open = &mut self.state;
        let header = open.header.remove_slot(&open.root, slot)?;
        open.exchange(header).await
    }

    /// Changes the passphrase: one slot of the header is replaced, no record is touched. The account secret stays.
    ///
    /// # Errors
    /// [`PersonError::Unlock`]: `NoSuchSlot` when the box has no passphrase; [`PersonError::Conflict`].
    pub async fn change_passphrase(&mut self, passphrase: &str, account_secret: &str) -> Result<(), PersonError> {
        let open = &mut self.state;
        let slots = open.header.slots();
        let slot = slots.iter().find(|slot| slot.slot_type() == SlotType::Passphrase).ok_or(UnlockError::NoSuchSlot)?;
        let account_secret = AccountSecret::from_bytes(unhex(account_secret).ok_or(UnlockError::Rejected)?);
        let normal = normalised(passphrase);
        let new = NewSlot::Passphrase {
            passphrase: &Passphrase::new(&normal),
            account_secret: &account_secret,
            cost: PassphraseCost::DEFAULT,
        };
        let header = open.header.replace_slot(&open.root, slot.id(), &new, &mut system::rng())?;
        open.exchange(header).await
    }

    /// Waits for what another device, or a connection with a right to, writes to a dataset: by title, as
    /// [`Person::datasets`] gives them. What the host then tells is a hint; [`Person::refresh`] verifies.
    ///
    /// # Errors
    /// [`PersonError::NotFound`] for an unknown title.
    pub fn watch(&self, title: &str) -> Result<Watch<'_, H, LocalSigner>, PersonError> {
        let open = &self.state;
        let id = dataset_of(&open.keyring, title)?.id();
        let head = open.shelves.get(id).and_then(|shelf| shelf.replica.head());
        Ok(Watch::new(&open.owner, *id, head.map(|head| head.seq())))
    }

    /// Takes over what another device wrote meanwhile, verified against what this one has seen.
    ///
    /// # Errors
    /// As [`Person::unlock`]; [`PersonError::Unlock`] with `Rejected` when the root was replaced: unlock the box anew.
    pub async fn refresh(mut self) -> Result<Self, PersonError> {
        self.state.catch_up().await?;
        self.state.tidy(system::now()).await?;
        Ok(self)
    }
}

impl<H: HostClient> Open<H> {
    /// Takes over what another device wrote meanwhile, verified against what this one has seen: all of it, or on an error nothing.
    pub(super) async fn catch_up(&mut self) -> Result<(), PersonError> {
        let pins = self.pins();
        let bytes = header(self.owner.client(), *self.root.store()).await?;
        let bytes = wire::versioned_from_bytes(&bytes).map_or(bytes.as_slice(), |(_, header)| header);
        let header = Header::parse(bytes)?;
        header.check_version(pins.header)?;
        if header.root_epoch() > self.root.epoch() {
            return Err(UnlockError::Rejected.into());
        }
        header.authenticate(&self.root)?;
        let root = self.root.working_copy();
        let owner = Owner::new(self.owner.client(), &root);
        let read = Open::read(owner, root, header, Some(&pins), None).await?;
        let Open { header, share, epoch, keyring, meta, mut shelves, rules, log, log_signer, uses, leftovers, .. } =
            read;
        for shelf in shelves.values_mut() {
            shelf.migrations = Arc::clone(&self.migrations);
        }
        (self.header, self.share, self.epoch, self.keyring) = (header, share, epoch, keyring);
        (self.meta, self.shelves, self.rules, self.leftovers) = (meta, shelves, rules, leftovers);
        (self.log, self.log_signer, self.uses, self.pinned) = (log, log_signer, uses, pins.newest);
        Ok(())
    }

    /// Commits what `make` makes of the present state. Where another device was first, what it wrote is taken over and `make` is
    /// asked again: whatever it decides, it decides by the rules that are in force when the host takes it.
    pub(super) async fn write_with<T>(
        &mut self,
        now: Timestamp,
        make: impl Fn(&Self) -> Result<(Change, T), PersonError>,
    ) -> Result<T, PersonError> {
        let make = |open: &Self| make(open).map(|(change, made)| (change, Vec::new(), made));
        self.write_taking_back(now, make).await.map(|(_, made)| made)
    }

    /// The same for what takes grants back.
    pub(super) async fn write_taking_back<T>(
        &mut self,
        now: Timestamp,
        make: impl Fn(&Self) -> Result<(Change, Vec<Granted>, T), PersonError>,
    ) -> Result<(Vec<Granted>, T), PersonError> {
        for _ in 0..TRIES {
            let (change, revoked, made) = make(self)?;
            match self.take_back(change, &revoked, now).await {
                Err(PersonError::Conflict) => self.catch_up().await?,
                done => return done.map(|()| (revoked, made)),
            }
        }
        Err(PersonError::Conflict)
    }

    async fn exchange(&mut self, header: Header) -> Result<(), PersonError> {
        let mut body = wire::CommitBody::new(Vec::new());
        body.header = Some((self.header.version(), header.bytes()));
        if self.owner.commit(&body, system::now()).await?.status == 409 {
            return Err(PersonError::Conflict);
        }
        self.header = header;
        Ok(())
    }
}

/// How often a change is made upon what other devices wrote before somebody has to ask again.
const TRIES: usize = 8;
