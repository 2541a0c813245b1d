//! The store header: the slots, and a MAC over all of it.

use alloc::vec::Vec;
use core::fmt;

use deedbox_cbor::{Item, Limits, Order, Writer, read};
use deedbox_crypto::{ct, kdf};
use deedbox_model::{Epoch, StoreId};
use rand_core::CryptoRng;

use crate::{NewSlot, OwnerKey, Root, Slot, SlotId, Succession, Unlock, UnlockError};

/// A store header as it was read: not authentic until [`Header::unlock`] gave a root.
///
/// ```cddl
/// store-header = ["deedbox-store", 1, store: b16, root-epoch: u32, header-version: uint, slots: [1*64 slot],
///                 ? successions: [1*64 bstr .cbor succession], mac: b32]
/// ```
/// At most 256 KiB. The bytes received are kept; the MAC is over all of them before the last element.
#[derive(Clone, PartialEq, Eq)]
pub struct Header {
    bytes: Vec<u8>,
    store: StoreId,
    root_epoch: Epoch,
    version: u64,
    slots: Vec<Slot>,
    // INVARIANT (in order): each leads to the root epoch after that of the one before, the last to this header's.
    successions: Vec<Succession>,
}

impl Header {
    /// Makes the header of a new store, version 1.
    ///
    /// # Errors
    /// [`UnlockError::WeakParameters`], [`UnlockError::ParametersTooCostly`]; [`UnlockError::Limit`] for no slot, more than
    /// 64, a credential's id beyond its length, or a generator that repeats itself.
    pub fn create(root: &Root, slots: &[NewSlot<'_>], rng: &mut impl CryptoRng) -> Result<Self, UnlockError> {
        if slots.is_empty() || slots.len() > MAX_SLOTS {
            return Err(UnlockError::Limit);
        }
        let make = |slot| Slot::make(SlotId::generate(rng), slot, root, rng);
        let slots = slots.iter().map(make).collect::<Result<Vec<_>, _>>()?;
        if has_twins(&slots) {
            return Err(UnlockError::Limit);
        }
        Self::write(root, 1, slots, Vec::new())
    }

    /// Reads a header.
    ///
    /// # Errors
    /// [`UnlockError::Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, UnlockError> {
        let item = read(bytes, Order::Canonical, &Limits::new(MAX_LEN)).ok();
        item.and_then(Self::from_item).ok_or(UnlockError::Malformed)
    }

    fn from_item(item: Item<'_>) -> Option<Self> {
        let array = item.as_array()?;
        let (name, format, store, root_epoch, version, slots, steps, mac) = match (array.exactly(), array.exactly()) {
            (Some([name, format, store, root_epoch, version, slots, mac]), _) => {
                (name, format, store, root_epoch, version, slots, None, mac)
            }
            (_, Some([name, format, store, root_epoch, version, slots, steps, mac])) => {
                (name, format, store, root_epoch, version, slots, Some(steps), mac)
            }
            _ => return None,
        };
        if name.as_str() != Some(NAME) || format.as_u64() != Some(1) || mac.as_byte_array::<32>().is_none() {
            return None;
        }
        let slots = slots.as_array()?;
        if slots.is_empty() || slots.len() > MAX_SLOTS {
            return None;
        }
        let slots = slots.iter().map(Slot::from_item).collect::<Option<Vec<_>>>()?;
        if has_twins(&slots) {
            return None;
        }
        let version = version.as_u64().filter(|version| *version > 0)?;
        let (store, root_epoch) = (StoreId::decode(store)?, Epoch::decode(root_epoch)?);
        let successions = match steps {
            Some(steps) => successions(steps, &store, root_epoch)?,
            None => Vec::new(),
        };
        Some(Self { bytes: item.bytes().to_vec(), store, root_epoch, version, slots, successions })
    }

    /// The header's bytes, for the host to keep.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The store's true id.
    #[must_use]
    pub const fn store(&self) -> &StoreId {
        &self.store
    }

    /// The root's epoch.
    #[must_use]
    pub const fn root_epoch(&self) -> Epoch {
        self.root_epoch
    }

    /// Counts the header's changes; to be pinned once the header was unlocked.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// The slots.
    #[must_use]
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The steps from former owners' keys to the present one, oldest first.
    #[must_use]
    pub fn successions(&self) -> &[Succession] {
        &self.successions
    }

    /// Checks that the owner is the pinned one, or that one owner after the other signed who came next, from the pinned one to
    /// that of `root`, which this header unlocked to. Whoever opens with a device's key has to check it before anything is
    /// written: the host could have made up a header for that key.
    ///
    /// # Errors
    /// [`UnlockError::HeaderRolledBack`] for the root of an epoch before the pinned one's; [`UnlockError::HeaderTampered`] for
    /// another owner in the same epoch; [`UnlockError::UnknownOwner`] when no steps lead here.
    ///
    /// # Security
    /// A step is as good as the key that signed it. Who stole a former root can sign another successor, and show it to devices
    /// that have not seen the true one, if the host helps. After a theft the person compares the owner's key on each device.
    pub fn check_owner(&self, root: &Root, pinned: &OwnerKey) -> Result<(), UnlockError> {
        let owner = root.owner();
        if owner.epoch() < pinned.epoch() {
            return Err(UnlockError::HeaderRolledBack);
        }
        if owner.epoch() == pinned.epoch() {
            return if owner == *pinned { Ok(()) } else { Err(UnlockError::HeaderTampered) };
        }
        let mut known = *pinned;
        for step in self.successions.iter().skip_while(|step| step.leads_to() <= pinned.epoch()) {
            known = step.verify(&self.store, &known)?;
        }
        if known == owner { Ok(()) } else { Err(UnlockError::UnknownOwner) }
    }

    /// Refuses a header that is older than the pinned version.
    ///
    /// # Errors
    /// [`UnlockError::HeaderRolledBack`].
    pub const fn check_version(&self, pinned: u64) -> Result<(), UnlockError> {
        if self.version < pinned { Err(UnlockError::HeaderRolledBack) } else { Ok(()) }
    }

    /// Opens one slot with one secret, and checks with the root secret that the whole header is as it was written.
    ///
    /// # Errors
    /// [`UnlockError::NoSuchSlot`], [`UnlockError::WrongMethod`], [`UnlockError::Malformed`],
    /// [`UnlockError::WeakParameters`], [`UnlockError::ParametersTooCostly`] before anything is hashed; then
    /// [`UnlockError::Rejected`], and [`UnlockError::HeaderTampered`] when the slot opened but the header is not authentic.
    pub fn unlock(&self, slot: &SlotId, with: &Unlock<'_>) -> Result<Root, UnlockError> {
        let slot = self.slots.iter().find(|found| found.id() == slot).ok_or(UnlockError::NoSuchSlot)?;
        let root = slot.open(with, &self.store, self.root_epoch)?;
        self.authenticate(&root)?;
        Ok(root)
    }

    /// Checks that the header is as a holder of `root` wrote it.
    ///
    /// # Errors
    /// [`UnlockError::HeaderTampered`].
    pub fn authenticate(&self, root: &Root) -> Result<(), UnlockError> {
        let tampered = UnlockError::HeaderTampered;
        let same = root.store() == &self.store && root.epoch() == self.root_epoch;
        let (covered, mac) = self.bytes.split_last_chunk::<32>().ok_or(tampered)?;
        let covered = covered.strip_suffix(&MAC_HEAD).ok_or(tampered)?;
        let computed = mac_of(root, covered);
        if same && ct::eq(&computed, mac) { Ok(()) } else { Err(tampered) }
    }

    /// The next version of this header, with one slot more.
    ///
    /// # Errors
    /// [`UnlockError::HeaderTampered`]; those of [`Header::create`].
    pub fn add_slot(&self, root: &Root, slot: &NewSlot<'_>, rng: &mut impl CryptoRng) -> Result<Self, UnlockError> {
        self.authenticate(root)?;
        if self.slots.len() >= MAX_SLOTS {
            return Err(UnlockError::Limit);
        }
        let mut slots = self.slots.clone();
        slots.push(Slot::make(SlotId::generate(rng), slot, root, rng)?);
        self.succeed(root, slots, self.successions.clone())
    }

    /// The next version of this header, with that slot made anew: another passphrase, say, or another type. It keeps its
    /// id and its place; nothing else of it remains, and no object is touched. An old header still opens with the old
    /// secret, as after [`Header::remove_slot`].
    ///
    /// # Errors
    /// [`UnlockError::HeaderTampered`], [`UnlockError::NoSuchSlot`]; those of [`Header::create`].
    pub fn replace_slot(
        &self,
        root: &Root,
        slot: &SlotId,
        by: &NewSlot<'_>,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, UnlockError> {
        self.authenticate(root)?;
        let mut slots = self.slots.clone();
        let place = slots.iter_mut().find(|found| found.id() == slot).ok_or(UnlockError::NoSuchSlot)?;
        *place = Slot::make(*slot, by, root, rng)?;
        self.succeed(root, slots, self.successions.clone())
    }

    /// The next version of this header, without that slot. Whoever has its secret and an old header still opens what the
    /// root secret opens: that ends with a new root only, by [`Header::rotate_root`].
    ///
    /// # Errors
    /// [`UnlockError::HeaderTampered`], [`UnlockError::NoSuchSlot`]; [`UnlockError::Limit`] for the last slot.
    pub fn remove_slot(&self, root: &Root, slot: &SlotId) -> Result<Self, UnlockError> {
        self.authenticate(root)?;
        let slots: Vec<_> = self.slots.iter().filter(|found| found.id() != slot).cloned().collect();
        if slots.len() == self.slots.len() {
            return Err(UnlockError::NoSuchSlot);
        }
        self.succeed(root, slots, self.successions.clone())
    }

    /// The next version of this header, around the next root ([`Root::next`]), and the slots that were dropped.
    ///
    /// Slots named in `lost` are dropped: whoever has their secret is to be shut out. Those given in `with` are made anew
    /// as in [`Header::replace_slot`]. Of the others, recipients' (type 5) are made anew by themselves, for the keys they
    /// name, and the rest is dropped, for its secrets are not at hand. Ids and order stay.
    ///
    /// ```
    /// # use deedbox_cose::RecipientSecret;
    /// # use deedbox_model::StoreId;
    /// # use deedbox_record::{Header, NewSlot, RecoveryPhrase, Root, Unlock};
    /// # let mut rng = deedbox_testkit::rng::SeededRng::new(1);
    /// # let root = Root::generate(StoreId::generate(&mut rng), &mut rng);
    /// # let (phrase, phone, tablet) = (RecoveryPhrase::generate(&mut rng), RecipientSecret::generate(&mut rng)?, RecipientSecret::generate(&mut rng)?);
    /// let slots = [NewSlot::Phrase(&phrase), NewSlot::Recipient(phone.public()), NewSlot::Recipient(tablet.public())];
    /// let header = Header::create(&root, &slots, &mut rng)?;
    /// # let [_, lost, kept] = [0, 1, 2].map(|n| *header.slots()[n].id());
    ///
    /// // The phone is lost. Were it not named, the new root would be sealed to it too.
    /// let new = root.next(&mut rng)?;
    /// let (header, dropped) = header.rotate_root(&root, &new, &[lost], &[], &mut rng)?;
    ///
    /// assert_eq!(dropped.len(), 2); // the phone's, and the phrase's, which was not at hand
    /// assert!(header.unlock(&kept, &Unlock::Recipient(&tablet)).is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`UnlockError::HeaderTampered`]; [`UnlockError::NoSuchSlot`] when the header has not all that are named;
    /// [`UnlockError::Limit`] when one is named twice, when none would remain, or when `new` is not the root after `old`;
    /// those of [`Header::create`].
    ///
    /// # Security
    /// Whoever holds the key of a type 5 slot that is not named gets the new root. Objects and keyring stay as they are:
    /// they need keys that follow from the new root, and new epochs.
    pub fn rotate_root(
        &self,
        old: &Root,
        new: &Root,
        lost: &[SlotId],
        with: &[(SlotId, NewSlot<'_>)],
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, Vec<SlotId>), UnlockError> {
        self.authenticate(old)?;
        if new.store() != old.store() || Some(new.epoch()) != old.epoch().next() {
            return Err(UnlockError::Limit);
        }
        let mut named: Vec<_> = lost.iter().chain(with.iter().map(|(id, _)| id)).collect();
        if !named.iter().all(|id| self.slots.iter().any(|slot| slot.id() == *id)) {
            return Err(UnlockError::NoSuchSlot);
        }
        named.sort_unstable();
        if !named.is_sorted_by(|one, next| one < next) {
            return Err(UnlockError::Limit);
        }
        let (mut slots, mut dropped) = (Vec::with_capacity(self.slots.len()), Vec::new());
        for slot in &self.slots {
            let id = *slot.id();
            let given = with.iter().find(|(named, _)| *named == id).map(|(_, new)| new);
            let recipient = slot.recipient_key().filter(|_| !lost.contains(&id));
            match given.or(recipient.as_ref().map(NewSlot::Recipient).as_ref()) {
                Some(by) => slots.push(Slot::make(id, by, new, rng)?),
                None => dropped.push(id),
            }
        }
        let mut successions = self.successions.clone();
        successions.push(Succession::sign(old, new)?);
        let surplus = successions.len().saturating_sub(MAX_SUCCESSIONS);
        successions.drain(..surplus);
        Ok((self.succeed(new, slots, successions)?, dropped))
    }

    /// This header under another version number. A host that came back with an older header takes the next number only: such
    /// headers lead it from there to one above all that a device has seen.
    ///
    /// # Errors
    /// [`UnlockError::HeaderTampered`]; [`UnlockError::Limit`] for 0.
    pub fn numbered(&self, root: &Root, version: u64) -> Result<Self, UnlockError> {
        self.authenticate(root)?;
        if version == 0 {
            return Err(UnlockError::Limit);
        }
        Self::write(root, version, self.slots.clone(), self.successions.clone())
    }

    /// The header after this one, with these slots, if there are any and each has an id of its own.
    fn succeed(&self, root: &Root, slots: Vec<Slot>, successions: Vec<Succession>) -> Result<Self, UnlockError> {
        if slots.is_empty() || has_twins(&slots) {
            return Err(UnlockError::Limit);
        }
        Self::write(root, self.version.checked_add(1).ok_or(UnlockError::Limit)?, slots, successions)
    }

    pub(crate) fn write(
        root: &Root,
        version: u64,
        slots: Vec<Slot>,
        successions: Vec<Succession>,
    ) -> Result<Self, UnlockError> {
        let mut writer = Writer::with_capacity(slots.len().saturating_mul(256).saturating_add(128));
        writer.array(if successions.is_empty() { 7 } else { 8 }).text(NAME).uint(1);
        root.store().encode(&mut writer);
        root.epoch().encode(&mut writer);
        writer.uint(version).array(slots.len());
        for slot in &slots {
            slot.encode(&mut writer);
        }
        if !successions.is_empty() {
            writer.array(successions.len());
            successions.iter().for_each(|step| {
                writer.bytes(step.bytes());
            });
        }
        let mac = mac_of(root, writer.as_slice());
        writer.bytes(&mac);
        let bytes = writer.into_vec();
        if bytes.len() > MAX_LEN {
            return Err(UnlockError::Limit);
        }
        Ok(Self { bytes, store: *root.store(), root_epoch: root.epoch(), version, slots, successions })
    }
}

/// Prints the version and the number of slots.
impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Header")
            .field("version", &self.version)
            .field("slots", &self.slots.len())
            .finish_non_exhaustive()
    }
}

/// Whether an id stands twice.
fn has_twins(slots: &[Slot]) -> bool {
    let mut ids: Vec<_> = slots.iter().map(|slot| *slot.id()).collect();
    ids.sort_unstable();
    !ids.is_sorted_by(|one, next| one < next)
}

/// Steps that lead one to the next and to the root of this epoch. Whether each owner signed is another question.
fn successions(item: Item<'_>, store: &StoreId, root_epoch: Epoch) -> Option<Vec<Succession>> {
    let array = item.as_array().filter(|array| !array.is_empty() && array.len() <= MAX_SUCCESSIONS)?;
    let mut steps: Vec<Succession> = Vec::with_capacity(array.len());
    for item in array.iter() {
        let step = Succession::parse(item.as_bytes()?).ok().filter(|step| step.store() == store)?;
        if steps.last().is_some_and(|before| before.leads_to().next() != Some(step.leads_to())) {
            return None;
        }
        steps.push(step);
    }
    steps.last().is_some_and(|last| last.leads_to() == root_epoch).then_some(steps)
}

fn mac_of(root: &Root, covered: &[u8]) -> [u8; 32] {
    kdf::hmac_sha256(root.slots_mac_key().expose(), &[covered])
}

const NAME: &str = "deedbox-store";
const MAX_SLOTS: usize = 64;
const MAX_SUCCESSIONS: usize = 64;
const MAX_LEN: usize = 256 << 10;
/// The head of a byte string of 32.
const MAC_HEAD: [u8; 2] = [0x58, 0x20];

#[cfg(test)]
mod tests;
