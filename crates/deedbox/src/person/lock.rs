//! The ways to open a box: slots, the passphrase, and what another device wrote meanwhile.

use deedbox_cose::LocalSigner;
use deedbox_host::wire;
use deedbox_record::{AccountSecret, Header, NewSlot, Passphrase, PassphraseCost, Slot, SlotId, SlotType, UnlockError};

use super::{Open, Person, dataset_of, normalised, unhex};
use crate::{
    client::{HostClient, Watch, header},
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
    pub async fn refresh(self) -> Result<Self, PersonError> {
        let pins = self.pins();
        let Open { owner, root, migrations, written, .. } = self.state;
        let bytes = header(owner.client(), *root.store()).await?;
        let bytes = wire::versioned_from_bytes(&bytes).map_or(bytes.as_slice(), |(_, header)| header);
        let header = Header::parse(bytes)?;
        header.check_version(pins.header)?;
        if header.root_epoch() > root.epoch() {
            return Err(UnlockError::Rejected.into());
        }
        header.authenticate(&root)?;
        let open = Open::load(owner, root, header, Some(&pins)).await?;
        let refreshed = Self { state: Open { written, ..open } };
        Ok(refreshed.with_migrations(migrations))
    }
}

impl<H: HostClient> Open<H> {
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
