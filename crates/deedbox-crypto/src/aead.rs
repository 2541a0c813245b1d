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

/// A key that seals and opens, wiped when dropped.
///
/// ```compile_fail
/// # let cipher = deedbox_crypto::aead::Cipher::new(&[0; 32]);
/// let copy = cipher.clone();
/// ```
///
/// # Security
/// A nonce is used once with a key: two texts under one nonce give away both and the key of the tag. The callers of this
/// crate derive key and nonce together from fresh salt, or count within one fresh stream.
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
    pub fn seal_in_place(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        buffer: &mut [u8],
    ) -> Result<[u8; TAG_LEN], Rejected> {
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

    /// Encrypts `text` into `out`, which is as long, and gives the tag.
    ///
    /// # Errors
    /// [`Rejected`] for another length, and above 256 GiB; `out` is then wiped.
    pub fn seal_to(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        text: &[u8],
        out: &mut [u8],
    ) -> Result<[u8; TAG_LEN], Rejected> {
        self.0.seal_to(nonce, aad, text, out).inspect_err(|_| out.zeroize())
    }

    /// Decrypts `ciphertext` into `out`, which is as long, if `tag` is right.
    ///
    /// # Errors
    /// [`Rejected`], for another length too; `out` is then wiped.
    pub fn open_to(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        ciphertext: &[u8],
        tag: &[u8; TAG_LEN],
        out: &mut [u8],
    ) -> Result<(), Rejected> {
        let opened = if ciphertext.len() == out.len() {
            self.0.open_to(nonce, aad, ciphertext, tag, out)
        } else {
            Err(Rejected)
        };
        opened.inspect_err(|_| out.zeroize())
    }

    /// Decrypts in place what begins `sealed` if the tag that ends it is right, and gives the text. Unlike
    /// [`Cipher::open_in_place`] it copies nothing with either backend.
    ///
    /// # Errors
    /// [`Rejected`]; the buffer is then wiped.
    pub fn open_joined<'a>(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        sealed: &'a mut [u8],
    ) -> Result<&'a mut [u8], Rejected> {
        let Some(len) = sealed.len().checked_sub(TAG_LEN).filter(|_| self.0.open_joined(nonce, aad, sealed).is_ok())
        else {
            sealed.zeroize();
            return Err(Rejected);
        };
        sealed.get_mut(..len).ok_or(Rejected)
    }
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cipher").finish_non_exhaustive()
    }
}

/// The two backends are interchangeable: each opens what the other sealed, and both give the same bytes.
#[cfg(all(test, feature = "aws-lc"))]
mod tests {
    use proptest::prelude::*;

    use super::{aws_lc, rustcrypto};
    use crate::Rejected;

    proptest! {
        #[test]
        fn backends_give_the_same_bytes(key: [u8; 32], nonce: [u8; 12], aad: Vec<u8>, text: Vec<u8>, flip: usize) {
            let (ours, theirs) = (rustcrypto::Cipher::new(&key), aws_lc::Cipher::new(&key));
            let (mut one, mut other) = (text.clone(), text.clone());
            let tag = ours.seal(&nonce, &aad, &mut one).unwrap();
            prop_assert_eq!(theirs.seal(&nonce, &aad, &mut other), Ok(tag));
            prop_assert_eq!(&one, &other);
            let joined = [&one[..], &tag].concat();
            let (mut of_ours, mut of_theirs) = (joined.clone(), joined);
            prop_assert_eq!(ours.open_joined(&nonce, &aad, &mut of_ours), Ok(()));
            prop_assert_eq!(theirs.open_joined(&nonce, &aad, &mut of_theirs), Ok(()));
            prop_assert_eq!((&of_ours[..text.len()], &of_theirs[..text.len()]), (&text[..], &text[..]));
            let (mut of_ours, mut of_theirs) = (vec![0; text.len()], vec![0; text.len()]);
            prop_assert_eq!(ours.open_to(&nonce, &aad, &one, &tag, &mut of_ours), Ok(()));
            prop_assert_eq!(theirs.open_to(&nonce, &aad, &one, &tag, &mut of_theirs), Ok(()));
            prop_assert_eq!((&of_ours, &of_theirs), (&text, &text));
            prop_assert_eq!(ours.seal_to(&nonce, &aad, &text, &mut of_ours), Ok(tag));
            prop_assert_eq!(theirs.seal_to(&nonce, &aad, &text, &mut of_theirs), Ok(tag));
            prop_assert_eq!((&of_ours, &of_theirs), (&one, &one));
            prop_assert_eq!(theirs.open(&nonce, &aad, &mut one, &tag), Ok(()));
            prop_assert_eq!(ours.open(&nonce, &aad, &mut other, &tag), Ok(()));
            prop_assert_eq!((&one, &other), (&text, &text));

            let mut wrong = tag;
            wrong[flip % 16] ^= 1 << (flip % 8);
            ours.seal(&nonce, &aad, &mut one).unwrap();
            let mut other = one.clone();
            prop_assert_eq!(theirs.open(&nonce, &aad, &mut one, &wrong), Err(Rejected));
            prop_assert_eq!(ours.open(&nonce, &aad, &mut other, &wrong), Err(Rejected));
        }
    }

    #[test]
    fn backends_agree_at_block_and_chunk_sizes() {
        for length in [0, 1, 15, 16, 17, 63, 64, 65, 255, 256, 16383, 16384, 16385, 262_144] {
            let (ours, theirs) = (rustcrypto::Cipher::new(&[3; 32]), aws_lc::Cipher::new(&[3; 32]));
            let (mut one, mut other) = (vec![9; length], vec![9; length]);
            let tag = ours.seal(&[4; 12], b"", &mut one).unwrap();
            assert_eq!(theirs.seal(&[4; 12], b"", &mut other), Ok(tag), "{length}");
            assert_eq!(one, other, "{length}");
        }
    }
}
