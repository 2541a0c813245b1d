//! AWS-LC. It seals in place; it opens in place where the tag follows the ciphertext, and from one buffer to another where it
//! doesn't. So `seal_to` copies the text, and `open` the ciphertext.

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
        self.open_to(nonce, aad, &buffer.to_vec(), tag, buffer)
    }

    pub(super) fn seal_to(
        &self,
        nonce: &[u8; 12],
        aad: &[u8],
        text: &[u8],
        out: &mut [u8],
    ) -> Result<[u8; 16], Rejected> {
        if text.len() != out.len() {
            return Err(Rejected);
        }
        out.copy_from_slice(text);
        self.seal(nonce, aad, out)
    }

    pub(super) fn open_to(
        &self,
        nonce: &[u8; 12],
        aad: &[u8],
        ciphertext: &[u8],
        tag: &[u8; 16],
        out: &mut [u8],
    ) -> Result<(), Rejected> {
        let key = self.0.as_ref().ok_or(Rejected)?;
        key.open_separate_gather(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), ciphertext, tag, out)
            .map_err(|_| Rejected)
    }

    pub(super) fn open_joined(&self, nonce: &[u8; 12], aad: &[u8], sealed: &mut [u8]) -> Result<(), Rejected> {
        let key = self.0.as_ref().ok_or(Rejected)?;
        key.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), sealed)
            .map(|_| ())
            .map_err(|_| Rejected)
    }
}
