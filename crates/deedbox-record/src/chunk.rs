//! c2sp.org/chunked-encryption@v1 over ChaCha20-Poly1305, restated in `docs/format/record.md`: one key for one object,
//! chunks of 16 KiB of which the last is always short.

use deedbox_crypto::{aead::Cipher, ct, label};
use zeroize::Zeroizing;

use crate::{ObjectKey, address::Place};

/// Bytes before the chunks: prefix, salt and commitment.
pub(crate) const HEAD: usize = 64;
/// Plaintext bytes in a chunk that is not the last.
pub(crate) const CHUNK: usize = 16_384;
/// Bytes of a tag.
pub(crate) const TAG: usize = 16;
/// A chunk that is not the last, sealed.
pub(crate) const SEALED_CHUNK: usize = CHUNK + TAG;

/// What one object is sealed or opened with; used once.
pub(crate) struct Chunks {
    cipher: Cipher,
    base_nonce: [u8; 12],
    commitment: [u8; 32],
}

impl Chunks {
    /// Derives key, base nonce and commitment from the object's key, its salt, prefix and place.
    pub(crate) fn derive(key: &ObjectKey, prefix: &[u8; 8], salt: &[u8; 24], at: &Place) -> Option<Self> {
        #[cfg(all(feature = "std", any(test, feature = "test-util")))]
        crate::test_util::count_derivation();
        let seq = at.seq.to_be_bytes();
        let info: [&[u8]; 8] = [
            label::CHUNKED.as_bytes(),
            salt,
            label::CONTEXT.as_bytes(),
            prefix,
            &at.store,
            &at.dataset,
            &at.object,
            &seq,
        ];
        let mut okm = Zeroizing::new([0; 76]);
        key.prk().expand(&info, &mut *okm).ok()?;
        let (key, rest) = okm.split_first_chunk::<32>()?;
        let (base_nonce, rest) = rest.split_first_chunk::<12>()?;
        Some(Self { cipher: Cipher::new(key), base_nonce: *base_nonce, commitment: *rest.first_chunk::<32>()? })
    }

    /// What stands in the object, so that it opens under one key at one place only.
    pub(crate) const fn commitment(&self) -> &[u8; 32] {
        &self.commitment
    }

    /// Whether the object commits to this key and place; in constant time.
    pub(crate) fn is_committed(&self, commitment: &[u8; 32]) -> bool {
        ct::eq(&self.commitment, commitment)
    }

    /// Encrypts chunk `index` in place.
    pub(crate) fn seal(&self, index: u64, chunk: &mut [u8]) -> Option<[u8; TAG]> {
        self.cipher.seal_in_place(&self.nonce(index), &[], chunk).ok()
    }

    /// Encrypts chunk `index` into `out`, which is as long.
    pub(crate) fn seal_to(&self, index: u64, chunk: &[u8], out: &mut [u8]) -> Option<[u8; TAG]> {
        self.cipher.seal_to(&self.nonce(index), &[], chunk, out).ok()
    }

    /// Decrypts chunk `index` in place if the tag behind it is right, and gives it.
    pub(crate) fn open<'a>(&self, index: u64, sealed: &'a mut [u8]) -> Option<&'a mut [u8]> {
        self.cipher.open_joined(&self.nonce(index), &[], sealed).ok()
    }

    /// Decrypts chunk `index` into `out`, which is as long as the chunk, if the tag behind it is right.
    pub(crate) fn open_to(&self, index: u64, sealed: &[u8], out: &mut [u8]) -> Option<()> {
        let (text, tag) = sealed.split_last_chunk::<TAG>()?;
        self.cipher.open_to(&self.nonce(index), &[], text, tag, out).ok()
    }

    /// The base nonce XOR `index` as a 96-bit number.
    fn nonce(&self, index: u64) -> [u8; 12] {
        let mut nonce = self.base_nonce;
        for (byte, index) in nonce.iter_mut().skip(4).zip(index.to_be_bytes()) {
            *byte ^= index;
        }
        nonce
    }
}

/// The length of an object around a body: its head, and a tag for every full chunk and for the last one, which is always
/// short.
pub(crate) fn object_len(body: u64) -> Option<u64> {
    let chunks = (body / CHUNK as u64).checked_add(1)?;
    body.checked_add(chunks.checked_mul(TAG as u64)?)?.checked_add(HEAD as u64)
}
