//! For vectors and tests only: given salts and raw keys, and a count of key derivations. Feature `test-util`.
//!
//! Never in a product: a salt used twice under one key gives away what was sealed.

#[cfg(test)]
pub(crate) mod two_key;

use alloc::vec::Vec;

use deedbox_crypto::{hash, secret::SecretBytes};
use deedbox_model::{DatasetId, Epoch, ObjectId, StoreId, StoreName};
use zeroize::Zeroizing;

use crate::{
    DatasetKey, HostShare, Kind, NameKey, ObjectKey, OpenError, Opened, Root, SealError, SlotId, SlotType,
    VerifiedGrant, address::Place, container, pad, slot,
};

/// Everything that decides how an object is sealed, as raw bytes.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_structs, reason = "for vectors")]
pub struct RawPlace {
    /// Its kind.
    pub kind: Kind,
    /// Its epoch, which may be 0.
    pub epoch: u32,
    /// The store.
    pub store: [u8; 16],
    /// The dataset.
    pub dataset: [u8; 16],
    /// The object, blob or slot.
    pub object: [u8; 16],
    /// The sequence number, which may be 0.
    pub seq: u64,
    /// The object's key.
    pub key: [u8; 32],
}

impl RawPlace {
    fn key(&self) -> ObjectKey {
        ObjectKey::of(SecretBytes::from_bytes(self.key), self.epoch)
    }

    const fn place(&self) -> Place {
        Place { store: self.store, dataset: self.dataset, object: self.object, seq: self.seq }
    }
}

/// Seals with a given salt.
///
/// # Errors
/// As [`crate::seal`].
pub fn seal_with_salt(at: &RawPlace, payload: &[u8], salt: &[u8; 24]) -> Result<Vec<u8>, SealError> {
    let mut out = Vec::new();
    container::seal_with_salt(&at.key(), &at.place(), at.kind, payload, salt, &mut out)?;
    Ok(out)
}

/// Opens an object of any kind.
///
/// # Errors
/// As [`crate::open`].
pub fn open(at: &RawPlace, object: &[u8]) -> Result<Opened, OpenError> {
    container::open_at(&at.key(), &at.place(), at.kind, object)
}

/// Opens an object of any kind in place.
///
/// # Errors
/// As [`crate::open_in_place`].
pub fn open_in_place<'a>(at: &RawPlace, object: &'a mut [u8]) -> Result<&'a [u8], OpenError> {
    container::open_in_place_at(&at.key(), &at.place(), at.kind, object)
}

/// The length that a payload of `len` is padded to: a blob by its writer, a slot not at all.
#[must_use]
pub fn padded_len(kind: Kind, len: usize) -> Option<usize> {
    match kind {
        Kind::Blob => usize::try_from(pad::padme(u64::try_from(len).ok()?)?).ok(),
        Kind::Slot => Some(len),
        _ => pad::padded(len),
    }
}

/// The hedged salt.
#[must_use]
pub fn hedged_salt(key: [u8; 32], random: &[u8; 32], payload: &[u8]) -> [u8; 24] {
    container::hedged_salt(&ObjectKey::of(SecretBytes::from_bytes(key), 0), random, payload)
}

/// An object's key, of a dataset's.
#[must_use]
pub fn object_key(dataset_key: [u8; 32], object: &ObjectId) -> [u8; 32] {
    *dataset(dataset_key, Epoch::FIRST).object_key(object).secret().expose()
}

/// An object's id by its name.
#[must_use]
pub fn object_id(name_key: [u8; 32], name: &str) -> ObjectId {
    NameKey::of(SecretBytes::from_bytes(name_key)).object_id(name)
}

/// What a head publishes of its dataset's key.
#[must_use]
pub fn dataset_commitment(dataset_key: [u8; 32], store: &StoreName, id: &DatasetId, epoch: Epoch) -> [u8; 32] {
    *dataset(dataset_key, epoch).commitment(store, id).as_bytes()
}

/// The keyring's key.
#[must_use]
pub fn keyring_key(root_secret: [u8; 32], share: [u8; 32], store: StoreId, epoch: Epoch) -> [u8; 32] {
    *root(root_secret, store, epoch).keyring_key(&HostShare::from_bytes(share), epoch).secret().expose()
}

/// The seed that signs the meta dataset's heads.
#[must_use]
pub fn meta_head_seed(keyring_key: [u8; 32], store: StoreId, epoch: Epoch) -> [u8; 32] {
    *root([0; 32], store, epoch).meta_head_seed(&dataset(keyring_key, epoch)).secret().expose()
}

/// The key of the header's MAC.
#[must_use]
pub fn slots_mac(root_secret: [u8; 32], store: StoreId, epoch: Epoch) -> [u8; 32] {
    *root(root_secret, store, epoch).slots_mac_key().expose()
}

/// The seed of the owner's key at the host.
#[must_use]
pub fn access_seed(root_secret: [u8; 32], store: StoreId, epoch: Epoch) -> [u8; 32] {
    *root(root_secret, store, epoch).access_seed().expose()
}

/// The key that wraps a root secret.
#[must_use]
pub fn slot_kek(salt: &[u8], ikm: &[u8], kind: SlotType, store: &StoreId, id: &SlotId, epoch: Epoch) -> [u8; 32] {
    *slot::kek(&deedbox_crypto::kdf::extract(salt, ikm), kind, store, id, epoch).secret().expose()
}

/// A leaf of the state tree, of an object's bytes.
#[must_use]
pub fn object_hash(object: &[u8]) -> [u8; 32] {
    hash::sha256(object)
}

/// A grant's claims as they were signed, keys and all.
#[must_use]
pub fn grant_claims(grant: &VerifiedGrant) -> Zeroizing<Vec<u8>> {
    grant.encode_claims()
}

/// How many keys were derived for objects and passphrases by this thread.
#[cfg(feature = "std")]
#[must_use]
pub fn derivations() -> u64 {
    DERIVATIONS.get()
}

#[cfg(feature = "std")]
pub(crate) fn count_derivation() {
    DERIVATIONS.set(DERIVATIONS.get().wrapping_add(1));
}

#[cfg(feature = "std")]
std::thread_local! {
    static DERIVATIONS: core::cell::Cell<u64> = const { core::cell::Cell::new(0) };
}

fn dataset(key: [u8; 32], epoch: Epoch) -> DatasetKey {
    DatasetKey::of(SecretBytes::from_bytes(key), epoch)
}

fn root(secret: [u8; 32], store: StoreId, epoch: Epoch) -> Root {
    Root::of(SecretBytes::from_bytes(secret), store, epoch)
}
