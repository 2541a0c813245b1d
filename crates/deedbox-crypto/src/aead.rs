//! ChaCha20-Poly1305, RFC 8439. The feature `aws-lc` takes another implementation of the same bytes.

#[cfg(feature = "aws-lc")]
mod aws_lc;
#[cfg(any(not(feature = "aws-lc"), test))]
mod rustcrypto;

use core::fmt;

#[cfg(feature = "aws-lc")]
use aws_lc as backend;
#[cfg(not(feature = "aws-lc"))]
use rustcrypto as backend;
use zeroize::Zeroize as _;

use crate::Rejected;

/// Bytes of a key.
pub const KEY_LEN: usize = 32;
/// Bytes of a nonce.
pub const NONCE_LEN: usize = 12;
/// Bytes of a tag.
pub const TAG_LEN: usize = 16;

/// A key that seals and opens. A nonce is used once with a key; the callers of this crate derive both together.
pub struct Cipher(backend::Cipher);

impl Cipher {
    /// The cipher of `key`.
    #[must_use]
    pub fn new(key: &[u8; KEY_LEN]) -> Self {
        Self(backend::Cipher::new(key))
    }

    /// Encrypts `buffer` in place and gives the tag.
    ///
    /// # Errors
    /// [`Rejected`] above 256 GiB, which no buffer here reaches; the buffer is then wiped.
    pub fn seal_in_place(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], buffer: &mut [u8]) -> Result<[u8; TAG_LEN], Rejected> {
        self.0.seal(nonce, aad, buffer).inspect_err(|_| buffer.zeroize())
    }

    /// Decrypts `buffer` in place if `tag` is right.
    ///
    /// # Errors
    /// [`Rejected`]; the buffer is then wiped.
    pub fn open_in_place(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        buffer: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), Rejected> {
        self.0.open(nonce, aad, buffer, tag).inspect_err(|_| buffer.zeroize())
    }
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cipher").finish_non_exhaustive()
    }
}
