use core::fmt;

use deedbox_cose::{LocalSigner, Thumbprint, VerifyKey};
use deedbox_crypto::{
    kdf, label,
    secret::SecretBytes,
    sign::{PublicKey, SigningKey},
};
use deedbox_model::{DatasetId, Epoch, ObjectId, StoreName};
use rand_core::CryptoRng;

/// The key of one dataset in one epoch, random: to forget it is to erase what it sealed.
///
/// It gives keys of objects and a commitment, and seals nothing itself:
///
/// ```compile_fail
/// fn seal(key: &deedbox_record::DatasetKey, at: &deedbox_record::Address, rng: &mut deedbox_testkit::rng::SeededRng) {
///     let _ = deedbox_record::seal(key, at, deedbox_record::Kind::Record, b"", rng);
/// }
/// ```
/// ```compile_fail
/// fn copy(key: &deedbox_record::DatasetKey) -> deedbox_record::DatasetKey { key.clone() }
/// ```
pub struct DatasetKey {
    secret: SecretBytes<32>,
    prk: kdf::Prk,
    epoch: Epoch,
}

impl DatasetKey {
    /// Draws a new key for `epoch`.
    #[must_use]
    pub fn generate(epoch: Epoch, rng: &mut impl CryptoRng) -> Self {
        Self::of(SecretBytes::generate(rng), epoch)
    }

    pub(crate) fn of(secret: SecretBytes<32>, epoch: Epoch) -> Self {
        Self { prk: kdf::Prk::new(&secret), secret, epoch }
    }

    /// The epoch whose objects it opens.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The key of one object: opens and seals that one only, so it can be shared alone.
    #[must_use]
    pub fn object_key(&self, object: &ObjectId) -> ObjectKey {
        ObjectKey::of(self.prk.derive(label::OBJECT, &[object.as_bytes()]), self.epoch.get())
    }

    /// What a head publishes, so that all readers of one head hold one key.
    #[must_use]
    pub fn commitment(&self, store: &StoreName, dataset: &DatasetId) -> KeyCommitment {
        let epoch = self.epoch.get().to_be_bytes();
        let rest: [&[u8]; 3] = [store.as_bytes(), dataset.as_bytes(), &epoch];
        KeyCommitment(*self.prk.derive(label::DATASET_COMMIT, &rest).expose())
    }

    /// Where a value goes that lost its place to another in a merge: known to whoever writes, unguessable to the host.
    pub(crate) fn sibling(&self, object: &ObjectId, payload: &[u8; 32]) -> ObjectId {
        let derived = self.prk.derive(label::SIBLING, &[object.as_bytes(), payload]);
        let [id @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = *derived.expose();
        ObjectId::from_bytes(id)
    }

    pub(crate) const fn secret(&self) -> &SecretBytes<32> {
        &self.secret
    }
}

impl fmt::Debug for DatasetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatasetKey").finish_non_exhaustive()
    }
}

/// Opens and seals one object in one epoch.
///
/// ```compile_fail
/// fn copy(key: &deedbox_record::ObjectKey) -> deedbox_record::ObjectKey { key.clone() }
/// ```
pub struct ObjectKey {
    secret: SecretBytes<32>,
    prk: kdf::Prk,
    // Blobs and slots have epochs of their own: 0, or the root's.
    epoch: u32,
}

impl ObjectKey {
    pub(crate) fn of(secret: SecretBytes<32>, epoch: u32) -> Self {
        Self { prk: kdf::Prk::new(&secret), secret, epoch }
    }

    pub(crate) const fn epoch(&self) -> u32 {
        self.epoch
    }

    pub(crate) const fn secret(&self) -> &SecretBytes<32> {
        &self.secret
    }

    /// What a seal's salt, key, nonce and commitment are derived from.
    pub(crate) const fn prk(&self) -> &kdf::Prk {
        &self.prk
    }
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectKey").finish_non_exhaustive()
    }
}

/// Turns names into object ids, so that one name always finds its object and the host learns no name.
pub struct NameKey(SecretBytes<32>);

impl NameKey {
    /// Draws a new key; one per dataset, for as long as it lives.
    #[must_use]
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self(SecretBytes::generate(rng))
    }

    pub(crate) const fn of(secret: SecretBytes<32>) -> Self {
        Self(secret)
    }

    /// The id of the object that `name` names.
    #[must_use]
    pub fn object_id(&self, name: &str) -> ObjectId {
        let mac = kdf::hmac_sha256(self.0.expose(), &[label::OBJECT_ID.as_bytes(), name.as_bytes()]);
        let [id @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = mac;
        ObjectId::from_bytes(id)
    }

    pub(crate) const fn secret(&self) -> &SecretBytes<32> {
        &self.0
    }
}

impl fmt::Debug for NameKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NameKey").finish_non_exhaustive()
    }
}

/// What a head publishes about its dataset's key: HKDF of the key and the place; equal for equal keys only.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyCommitment(pub(crate) [u8; 32]);

impl KeyCommitment {
    /// Its 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for KeyCommitment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyCommitment").finish_non_exhaustive()
    }
}

/// Verifies the heads of one dataset in one epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadKey(VerifyKey);

impl HeadKey {
    /// Checks the 32 bytes of an Ed25519 key; `None` when it is no sound one.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        Some(Self(VerifyKey::from_ed25519(PublicKey::from_bytes(bytes).ok()?)))
    }

    /// The key's name, which heads carry.
    #[must_use]
    pub const fn thumbprint(&self) -> Thumbprint {
        self.0.thumbprint()
    }

    /// The key for COSE.
    #[must_use]
    pub const fn verify_key(&self) -> &VerifyKey {
        &self.0
    }
}

/// The seed that signs the heads of one dataset in one epoch.
pub(crate) struct HeadSeed(SecretBytes<32>);

impl HeadSeed {
    pub(crate) const fn of(secret: SecretBytes<32>) -> Self {
        Self(secret)
    }

    pub(crate) fn signer(&self) -> LocalSigner {
        LocalSigner::from_seed(&self.0)
    }

    pub(crate) fn public_bytes(&self) -> [u8; 32] {
        *SigningKey::from_seed(&self.0).public().as_bytes()
    }

    pub(crate) const fn secret(&self) -> &SecretBytes<32> {
        &self.0
    }
}
