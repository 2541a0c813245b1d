use core::fmt;

use deedbox_crypto::{kem::SecretKey, secret::SecretBytes};
use rand_core::CryptoRng;

use super::RecipientKey;
use crate::KeyError;

/// The secret part of a [`RecipientKey`]: opens what was sealed to it. Wiped when dropped; it can't be cloned:
///
/// ```compile_fail
/// fn twice(secret: deedbox_cose::RecipientSecret) -> deedbox_cose::RecipientSecret {
///     secret.clone()
/// }
/// ```
pub struct RecipientSecret {
    secret: SecretKey,
    public: RecipientKey,
}

impl RecipientSecret {
    /// The key that an X-Wing seed stands for.
    ///
    /// # Errors
    /// [`KeyError::Point`], which no seed of 32 bytes gives.
    pub fn from_seed(seed: &SecretBytes<32>) -> Result<Self, KeyError> {
        let secret = SecretKey::from_seed(seed).map_err(|_| KeyError::Point)?;
        let public = RecipientKey::from_xwing(secret.public());
        Ok(Self { secret, public })
    }

    /// A fresh key.
    ///
    /// # Errors
    /// As [`RecipientSecret::from_seed`].
    pub fn generate(rng: &mut impl CryptoRng) -> Result<Self, KeyError> {
        Self::from_seed(&SecretBytes::generate(rng))
    }

    /// The public part, for those who seal.
    #[must_use]
    pub const fn public(&self) -> &RecipientKey {
        &self.public
    }

    /// The key itself, for formats that seal without COSE.
    #[must_use]
    pub const fn as_xwing(&self) -> &SecretKey {
        &self.secret
    }
}

impl fmt::Debug for RecipientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecipientSecret").finish_non_exhaustive()
    }
}
