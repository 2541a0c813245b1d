//! Secret bytes that wipe themselves.

use core::fmt;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::ct;

/// `N` secret bytes: wiped when dropped, never printed, never copied unless asked for by [`SecretBytes::expose`].
///
/// ```compile_fail
/// let secret = deedbox_crypto::secret::SecretBytes::from_bytes([0; 32]);
/// let copy = secret.clone();
/// ```
pub struct SecretBytes<const N: usize>(Zeroizing<[u8; N]>);

impl<const N: usize> SecretBytes<N> {
    /// Draws new bytes.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = Zeroizing::new([0; N]);
        rng.fill_bytes(&mut *bytes);
        Self(bytes)
    }

    /// Takes bytes; the caller wipes its own copy.
    #[must_use]
    pub fn from_bytes(bytes: [u8; N]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Copies bytes, if they are `N`.
    #[must_use]
    pub fn try_from_slice(bytes: &[u8]) -> Option<Self> {
        let mut own = Zeroizing::new([0; N]);
        if bytes.len() != N {
            return None;
        }
        own.copy_from_slice(bytes);
        Some(Self(own))
    }

    /// Builds the bytes in place.
    #[cfg(any(feature = "seal", feature = "password"))]
    pub(crate) fn build(fill: impl FnOnce(&mut [u8; N])) -> Self {
        let mut bytes = Zeroizing::new([0; N]);
        fill(&mut bytes);
        Self(bytes)
    }

    /// The bytes themselves. Whoever copies them wipes the copy.
    #[must_use]
    pub fn expose(&self) -> &[u8; N] {
        &self.0
    }

    /// Equality in constant time.
    #[must_use]
    pub fn matches(&self, other: &[u8]) -> bool {
        ct::eq(&*self.0, other)
    }
}

impl<const N: usize> fmt::Debug for SecretBytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretBytes").finish_non_exhaustive()
    }
}
