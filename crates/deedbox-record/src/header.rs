//! The store header: the slots, and a MAC over all of it.

use alloc::vec::Vec;
use core::fmt;

use deedbox_cbor::{Item, Limits, Order, Writer, read};
use deedbox_crypto::{ct, kdf};
use deedbox_model::{Epoch, StoreId};
use rand_core::CryptoRng;

use crate::{NewSlot, Root, Slot, SlotId, Unlock, UnlockError};

/// A store header as it was read: not authentic until [`Header::unlock`] gave a root.
///
/// ```cddl
/// store-header = ["deedbox-store", 1, store: b16, root-epoch: u32, header-version: uint, slots: [1*64 slot], mac: b32]
/// ```
/// At most 256 KiB. The bytes received are kept; the MAC is over all of them before the last element.
#[derive(Clone, PartialEq, Eq)]
pub struct Header {
    bytes: Vec<u8>,
    store: StoreId,
    root_epoch: Epoch,
    version: u64,
    slots: Vec<Slot>,
}

impl Header {
    /// Makes the header of a new store, version 1.
    ///
    /// # Errors
    /// [`UnlockError::WeakParameters`], [`UnlockError::ParametersTooCostly`]; [`UnlockError::Limit`] for no slot or more
    /// than 64.
    pub fn create(root: &Root, slots: &[NewSlot<'_>], rng: &mut impl CryptoRng) -> Result<Self, UnlockError> {
        if slots.is_empty() || slots.len() > MAX_SLOTS {
            return Err(UnlockError::Limit);
        }
        let slots = slots.iter().map(|slot| Slot::make(slot, root, rng)).collect::<Result<_, _>>()?;
        Self::write(root, 1, slots)
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
        let [name, format, store, root_epoch, version, slots, mac] = item.as_array()?.exactly()?;
        if name.as_str() != Some(NAME) || format.as_u64() != Some(1) || mac.as_byte_array::<32>().is_none() {
            return None;
        }
        let slots = slots.as_array()?;
        if slots.is_empty() || slots.len() > MAX_SLOTS {
            return None;
        }
        let slots = slots.iter().map(Slot::from_item).collect::<Option<Vec<_>>>()?;
        let mut ids: Vec<_> = slots.iter().map(|slot| *slot.id()).collect();
        ids.sort_unstable();
        if !ids.is_sorted_by(|one, next| one < next) {
            return None;
        }
        let version = version.as_u64().filter(|version| *version > 0)?;
        let (store, root_epoch) = (StoreId::decode(store)?, Epoch::decode(root_epoch)?);
        Some(Self { bytes: item.bytes().to_vec(), store, root_epoch, version, slots })
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
        slots.push(Slot::make(slot, root, rng)?);
        Self::write(root, self.version.checked_add(1).ok_or(UnlockError::Limit)?, slots)
    }

    /// The next version of this header, without that slot. Whoever has its secret and an old header still opens what the
    /// root secret opens: that ends with a new root only.
    ///
    /// # Errors
    /// [`UnlockError::HeaderTampered`], [`UnlockError::NoSuchSlot`]; [`UnlockError::Limit`] for the last slot.
    pub fn remove_slot(&self, root: &Root, slot: &SlotId) -> Result<Self, UnlockError> {
        self.authenticate(root)?;
        let slots: Vec<_> = self.slots.iter().filter(|found| found.id() != slot).cloned().collect();
        if slots.len() == self.slots.len() {
            return Err(UnlockError::NoSuchSlot);
        }
        if slots.is_empty() {
            return Err(UnlockError::Limit);
        }
        Self::write(root, self.version.checked_add(1).ok_or(UnlockError::Limit)?, slots)
    }

    fn write(root: &Root, version: u64, slots: Vec<Slot>) -> Result<Self, UnlockError> {
        let mut writer = Writer::with_capacity(slots.len().saturating_mul(256).saturating_add(128));
        writer.array(7).text(NAME).uint(1);
        root.store().encode(&mut writer);
        root.epoch().encode(&mut writer);
        writer.uint(version).array(slots.len());
        for slot in &slots {
            slot.encode(&mut writer);
        }
        let mac = mac_of(root, writer.as_slice());
        writer.bytes(&mac);
        let bytes = writer.into_vec();
        if bytes.len() > MAX_LEN {
            return Err(UnlockError::Limit);
        }
        Ok(Self { bytes, store: *root.store(), root_epoch: root.epoch(), version, slots })
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

fn mac_of(root: &Root, covered: &[u8]) -> [u8; 32] {
    kdf::hmac_sha256(root.slots_mac_key().expose(), &[covered])
}

const NAME: &str = "deedbox-store";
const MAX_SLOTS: usize = 64;
const MAX_LEN: usize = 256 << 10;
/// The head of a byte string of 32.
const MAC_HEAD: [u8; 2] = [0x58, 0x20];

#[cfg(test)]
mod tests;
