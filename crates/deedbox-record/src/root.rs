use core::fmt;

use deedbox_cose::LocalSigner;
use deedbox_crypto::{kdf, label, secret::SecretBytes, sign::SigningKey};
use deedbox_model::{Epoch, StoreId};
use rand_core::CryptoRng;

use crate::{DatasetKey, EpochKeys, OwnerKey, SealError, key::HeadSeed};

/// The root secret of one store in one root epoch: everything follows from it and the host's share. It is held by
/// clients and inside slots only.
///
/// ```compile_fail
/// fn copy(root: &deedbox_record::Root) -> deedbox_record::Root { root.clone() }
/// ```
pub struct Root {
    secret: SecretBytes<32>,
    store: StoreId,
    epoch: Epoch,
}

impl Root {
    /// Draws the root secret of a new store.
    #[must_use]
    pub fn generate(store: StoreId, rng: &mut impl CryptoRng) -> Self {
        Self { secret: SecretBytes::generate(rng), store, epoch: Epoch::FIRST }
    }

    /// Draws the root secret of the same store's next epoch, which shuts out whoever holds this one.
    ///
    /// # Errors
    /// [`SealError::Exhausted`].
    pub fn next(&self, rng: &mut impl CryptoRng) -> Result<Self, SealError> {
        let epoch = self.epoch.next().ok_or(SealError::Exhausted)?;
        Ok(Self { secret: SecretBytes::generate(rng), store: self.store, epoch })
    }

    /// A second copy, for a box that is read anew while it is open. It is wiped as the first one is.
    #[must_use]
    pub fn working_copy(&self) -> Self {
        // COPY: wiped with the copy.
        Self { secret: SecretBytes::from_bytes(*self.secret.expose()), store: self.store, epoch: self.epoch }
    }

    pub(crate) const fn of(secret: SecretBytes<32>, store: StoreId, epoch: Epoch) -> Self {
        Self { secret, store, epoch }
    }

    /// The store, by its true id.
    #[must_use]
    pub const fn store(&self) -> &StoreId {
        &self.store
    }

    /// The root's epoch.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The owner's way into the host.
    #[must_use]
    pub fn access_key(&self) -> SigningKey {
        SigningKey::from_seed(&self.access_seed())
    }

    /// The public half of it, as other devices of the person's pin it.
    #[must_use]
    pub fn owner(&self) -> OwnerKey {
        OwnerKey::new(self.epoch, *self.access_key().public().as_bytes())
    }

    /// The same as a signer of COSE documents.
    #[must_use]
    pub fn access_signer(&self) -> LocalSigner {
        LocalSigner::from_seed(&self.access_seed())
    }

    /// The keyring's key, which is the dataset key of the meta dataset.
    #[must_use]
    pub fn keyring_key(&self, share: &HostShare, epoch: Epoch) -> DatasetKey {
        let prk = kdf::extract(share.0.expose(), self.secret.expose());
        let number = epoch.get().to_be_bytes();
        DatasetKey::of(kdf::derive(&prk, label::KEYRING, &[self.store.as_bytes(), &number]), epoch)
    }

    /// All keys of the meta dataset in one keyring epoch.
    #[must_use]
    pub fn meta_keys(&self, share: &HostShare, epoch: Epoch) -> EpochKeys {
        let key = self.keyring_key(share, epoch);
        let seed = self.meta_head_seed(&key);
        EpochKeys::of_one(key, seed)
    }

    pub(crate) fn meta_head_seed(&self, key: &DatasetKey) -> HeadSeed {
        let number = key.epoch().get().to_be_bytes();
        HeadSeed::of(kdf::derive(key.secret(), label::META_HEAD, &[self.store.as_bytes(), &number]))
    }

    pub(crate) fn access_seed(&self) -> SecretBytes<32> {
        let number = self.epoch.get().to_be_bytes();
        kdf::derive(&self.secret, label::ACCESS, &[self.store.as_bytes(), &number])
    }

    pub(crate) fn slots_mac_key(&self) -> SecretBytes<32> {
        let number = self.epoch.get().to_be_bytes();
        kdf::derive(&self.secret, label::SLOTS_MAC, &[self.store.as_bytes(), &number])
    }

    pub(crate) const fn secret(&self) -> &SecretBytes<32> {
        &self.secret
    }
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Root").finish_non_exhaustive()
    }
}

/// The host's share of one keyring epoch: made by the client, kept by the host, worthless alone. When the host deletes it
/// the keyrings of that epoch can't be read any more, not even with the root secret.
pub struct HostShare(SecretBytes<32>);

impl HostShare {
    /// Draws the share of a new keyring epoch.
    #[must_use]
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self(SecretBytes::generate(rng))
    }

    /// The share of a host that keeps none.
    #[must_use]
    pub fn none() -> Self {
        Self(SecretBytes::from_bytes([0; 32]))
    }

    /// Takes what the host gave.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(SecretBytes::from_bytes(bytes))
    }

    /// Takes what a bundle holds, if it is 32 bytes.
    pub(crate) fn try_from_slice(bytes: &[u8]) -> Option<Self> {
        SecretBytes::try_from_slice(bytes).map(Self)
    }

    /// What the host is to keep.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }
}

impl fmt::Debug for HostShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostShare").finish_non_exhaustive()
    }
}
