//! X25519, RFC 7748.

use core::fmt;

use rand_core::CryptoRng;
use x25519_dalek::{PublicKey, StaticSecret};

use crate::{Rejected, secret::SecretBytes};

/// An X25519 secret key, wiped when dropped.
///
/// ```compile_fail
/// fn copy(key: &deedbox_crypto::kex::SecretKey) -> deedbox_crypto::kex::SecretKey { key.clone() }
/// ```
pub struct SecretKey(StaticSecret);

impl SecretKey {
    /// Draws a new key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self::from_bytes(&SecretBytes::generate(rng))
    }

    /// The key of 32 bytes.
    #[must_use]
    pub fn from_bytes(bytes: &SecretBytes<32>) -> Self {
        Self(StaticSecret::from(*bytes.expose()))
    }

    /// Its public part.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        PublicKey::from(&self.0).to_bytes()
    }

    /// The secret shared with the holder of `peer`.
    ///
    /// # Errors
    /// [`Rejected`] when the result is all zero: `peer` is of low order (RFC 7748 §6.1).
    pub fn agree(&self, peer: &[u8; 32]) -> Result<SecretBytes<32>, Rejected> {
        let shared = self.0.diffie_hellman(&PublicKey::from(*peer));
        if !shared.was_contributory() {
            return Err(Rejected);
        }
        Ok(SecretBytes::build(|out| out.copy_from_slice(shared.as_bytes())))
    }

    /// The 32 bytes, for a stored handshake that is sealed right after.
    #[must_use]
    pub fn export_secret_bytes_hazmat(&self) -> SecretBytes<32> {
        // COPY: wiped with the result.
        SecretBytes::from_bytes(self.0.to_bytes())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretKey").finish_non_exhaustive()
    }
}
