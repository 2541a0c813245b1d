use core::fmt;

use deedbox_crypto::hash::sha256;

/// Names a key: the SHA-256 of its required members in deterministic CBOR (RFC 9679).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Thumbprint([u8; 32]);

impl Thumbprint {
    /// Takes the 32 bytes of a thumbprint.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Takes the bytes of a thumbprint if they are 32.
    #[must_use]
    pub fn try_from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The thumbprint of a key written with its required members only, in deterministic CBOR.
    pub(crate) fn of(key: &[u8]) -> Self {
        Self(sha256(key))
    }

    /// Its 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Prints nothing: a key's name links those who hold it.
impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Thumbprint").finish_non_exhaustive()
    }
}
