//! The default backend.

use chacha20poly1305::{AeadInOut as _, ChaCha20Poly1305, KeyInit as _, aead::inout::InOutBuf};

use crate::Rejected;

pub(super) struct Cipher(ChaCha20Poly1305);

impl Cipher {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self(ChaCha20Poly1305::new(key.into()))
    }

    pub(super) fn seal(&self, nonce: &[u8; 12], aad: &[u8], buffer: &mut [u8]) -> Result<[u8; 16], Rejected> {
        self.0.encrypt_inout_detached(nonce.into(), aad, buffer.into()).map(Into::into).map_err(|_| Rejected)
    }

    pub(super) fn open(&self, nonce: &[u8; 12], aad: &[u8], buffer: &mut [u8], tag: &[u8; 16]) -> Result<(), Rejected> {
        self.0.decrypt_inout_detached(nonce.into(), aad, buffer.into(), tag.into()).map_err(|_| Rejected)
    }

    pub(super) fn seal_to(
        &self,
        nonce: &[u8; 12],
        aad: &[u8],
        text: &[u8],
        out: &mut [u8],
    ) -> Result<[u8; 16], Rejected> {
        let buffer = InOutBuf::new(text, out).map_err(|_| Rejected)?;
        self.0.encrypt_inout_detached(nonce.into(), aad, buffer).map(Into::into).map_err(|_| Rejected)
    }

    pub(super) fn open_to(
        &self,
        nonce: &[u8; 12],
        aad: &[u8],
        ciphertext: &[u8],
        tag: &[u8; 16],
        out: &mut [u8],
    ) -> Result<(), Rejected> {
        let buffer = InOutBuf::new(ciphertext, out).map_err(|_| Rejected)?;
        self.0.decrypt_inout_detached(nonce.into(), aad, buffer, tag.into()).map_err(|_| Rejected)
    }

    pub(super) fn open_joined(&self, nonce: &[u8; 12], aad: &[u8], sealed: &mut [u8]) -> Result<(), Rejected> {
        let (buffer, tag) = sealed.split_last_chunk_mut().ok_or(Rejected)?;
        self.open(nonce, aad, buffer, tag)
    }
}
