//! Ed25519, RFC 8032, verified strictly and one at a time.

use core::fmt;

use ed25519_dalek::Signer as _;
use rand_core::CryptoRng;

use crate::{Rejected, secret::SecretBytes};

/// An Ed25519 signing key, wiped when dropped.
///
/// ```compile_fail
/// fn copy(key: &deedbox_crypto::sign::SigningKey) -> deedbox_crypto::sign::SigningKey { key.clone() }
/// ```
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// The key of a seed.
    #[must_use]
    pub fn from_seed(seed: &SecretBytes<32>) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed.expose()))
    }

    /// Draws a new key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self::from_seed(&SecretBytes::generate(rng))
    }

    /// Its public part.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signs `message`.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }

    /// The seed, for a keyring that is sealed right after.
    #[must_use]
    pub fn export_secret_bytes_hazmat(&self) -> SecretBytes<32> {
        // COPY: wiped with the result.
        SecretBytes::from_bytes(self.0.to_bytes())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").finish_non_exhaustive()
    }
}

/// An Ed25519 public key: canonical, on the curve, not of small order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(ed25519_dalek::VerifyingKey);

impl PublicKey {
    /// Checks the 32 bytes of a key.
    ///
    /// # Errors
    /// [`Rejected`] for bytes that are no canonical point, or one of small order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, Rejected> {
        let key = ed25519_dalek::VerifyingKey::from_bytes(bytes).map_err(|_| Rejected)?;
        // Another encoding of a point would give one key two thumbprints. y is below 2^255 - 19; the two points for which a
        // sign bit is redundant, those with x = 0, are weak.
        let [low, middle @ .., high] = bytes;
        let y_is_large = *low >= 0xed && middle.iter().all(|byte| *byte == 0xff) && high & 0x7f == 0x7f;
        if y_is_large || key.is_weak() { Err(Rejected) } else { Ok(Self(key)) }
    }

    /// Its 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// Verifies strictly: canonical S, no component of small order.
    ///
    /// # Errors
    /// [`Rejected`].
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> Result<(), Rejected> {
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        self.0.verify_strict(message, &signature).map_err(|_| Rejected)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicKey").finish_non_exhaustive()
    }
}
