//! AWS-LC. Its detached opening reads the ciphertext from one buffer and writes to another, so opening copies the ciphertext
//! once; sealing works in place.

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

use crate::Rejected;

/// `None` only if the library refused a key of the right length.
pub(super) struct Cipher(Option<LessSafeKey>);

impl Cipher {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self(UnboundKey::new(&CHACHA20_POLY1305, key).ok().map(LessSafeKey::new))
    }

    pub(super) fn seal(&self, nonce: &[u8; 12], aad: &[u8], buffer: &mut [u8]) -> Result<[u8; 16], Rejected> {
        let key = self.0.as_ref().ok_or(Rejected)?;
        let tag = key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), buffer)
            .map_err(|_| Rejected)?;
        tag.as_ref().try_into().map_err(|_| Rejected)
    }

    pub(super) fn open(&self, nonce: &[u8; 12], aad: &[u8], buffer: &mut [u8], tag: &[u8; 16]) -> Result<(), Rejected> {
        let key = self.0.as_ref().ok_or(Rejected)?;
        let ciphertext = buffer.to_vec();
        key.open_separate_gather(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), &ciphertext, tag, buffer)
            .map_err(|_| Rejected)
    }
}
