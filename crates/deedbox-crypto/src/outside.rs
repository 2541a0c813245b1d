//! What only outside vectors and live peers of protocols need: AES-CCM (RFC 3610) and ECDH on P-256 (SP 800-56A). Nothing of
//! deedbox's own seals or agrees with these.

use alloc::vec::Vec;
use core::fmt;

use aes::Aes128;
use ccm::{
    AeadInOut as _, KeyInit as _,
    consts::{U8, U13, U16},
};
use p256::elliptic_curve::{ecdh::diffie_hellman, sec1::ToSec1Point as _};
use zeroize::Zeroize as _;

use crate::{Rejected, secret::SecretBytes};

/// AES-128-CCM with nonces of 13 bytes: AES-CCM-16-64-128 or AES-CCM-16-128-128 of COSE (RFC 9053 §4.2).
pub struct Ccm(Tag);

enum Tag {
    Eight(ccm::Ccm<Aes128, U8, U13>),
    Sixteen(ccm::Ccm<Aes128, U16, U13>),
}

impl Ccm {
    /// With tags of 8 bytes.
    #[must_use]
    pub fn tag_8(key: &[u8; 16]) -> Self {
        Self(Tag::Eight(ccm::Ccm::new(key.into())))
    }

    /// With tags of 16 bytes.
    #[must_use]
    pub fn tag_16(key: &[u8; 16]) -> Self {
        Self(Tag::Sixteen(ccm::Ccm::new(key.into())))
    }

    /// Encrypts `buffer` in place and appends the tag.
    ///
    /// # Errors
    /// [`Rejected`] above 64 KiB; the buffer is then wiped.
    pub fn seal(&self, nonce: &[u8; 13], aad: &[u8], buffer: &mut Vec<u8>) -> Result<(), Rejected> {
        let sealed = match &self.0 {
            Tag::Eight(cipher) => cipher
                .encrypt_inout_detached(nonce.into(), aad, buffer.as_mut_slice().into())
                .map(|tag| buffer.extend_from_slice(&tag)),
            Tag::Sixteen(cipher) => cipher
                .encrypt_inout_detached(nonce.into(), aad, buffer.as_mut_slice().into())
                .map(|tag| buffer.extend_from_slice(&tag)),
        };
        sealed.map_err(|_| Rejected).inspect_err(|_| buffer.zeroize())
    }

    /// Takes the tag off and decrypts the rest in place.
    ///
    /// # Errors
    /// [`Rejected`]; the buffer is then wiped.
    pub fn open(&self, nonce: &[u8; 13], aad: &[u8], buffer: &mut Vec<u8>) -> Result<(), Rejected> {
        let opened = match &self.0 {
            Tag::Eight(cipher) => split::<8>(buffer).and_then(|(text, tag)| {
                cipher.decrypt_inout_detached(nonce.into(), aad, text.into(), (&tag).into()).map_err(|_| Rejected)
            }),
            Tag::Sixteen(cipher) => split::<16>(buffer).and_then(|(text, tag)| {
                cipher.decrypt_inout_detached(nonce.into(), aad, text.into(), (&tag).into()).map_err(|_| Rejected)
            }),
        };
        match opened {
            Ok(()) => buffer.truncate(buffer.len().saturating_sub(self.tag_len())),
            Err(Rejected) => buffer.zeroize(),
        }
        opened
    }

    /// Bytes of a tag.
    #[must_use]
    pub const fn tag_len(&self) -> usize {
        match &self.0 {
            Tag::Eight(_) => 8,
            Tag::Sixteen(_) => 16,
        }
    }
}

fn split<const N: usize>(buffer: &mut [u8]) -> Result<(&mut [u8], [u8; N]), Rejected> {
    buffer.split_last_chunk_mut::<N>().map(|(text, tag)| (text, *tag)).ok_or(Rejected)
}

/// A P-256 secret key, wiped when dropped.
pub struct P256Secret(p256::SecretKey);

impl P256Secret {
    /// The key of a scalar.
    ///
    /// # Errors
    /// [`Rejected`] for zero, and for what is not below the order.
    pub fn from_bytes(bytes: &SecretBytes<32>) -> Result<Self, Rejected> {
        p256::SecretKey::from_slice(bytes.expose()).map(Self).map_err(|_| Rejected)
    }

    /// The x-coordinate of its public part.
    ///
    /// # Errors
    /// [`Rejected`] never happens: a public key is not the point at infinity.
    pub fn public_x(&self) -> Result<[u8; 32], Rejected> {
        let point = self.0.public_key().to_sec1_point(false);
        point.x().and_then(|x| x.as_slice().try_into().ok()).ok_or(Rejected)
    }

    /// The x-coordinate shared with the holder of `peer`.
    #[must_use]
    pub fn agree(&self, peer: &P256Public) -> SecretBytes<32> {
        let shared = diffie_hellman(self.0.to_nonzero_scalar(), peer.0.as_affine());
        SecretBytes::build(|out| out.copy_from_slice(shared.raw_secret_bytes()))
    }

    /// The scalar.
    #[must_use]
    pub fn export_secret_bytes_hazmat(&self) -> SecretBytes<32> {
        // COPY: wiped with the result.
        SecretBytes::build(|out| out.copy_from_slice(&self.0.to_bytes()))
    }
}

/// A P-256 public key, on the curve.
#[derive(Clone, PartialEq, Eq)]
pub struct P256Public(p256::PublicKey);

impl P256Public {
    /// One of the two points with this x-coordinate; which of them makes no difference to [`P256Secret::agree`].
    ///
    /// # Errors
    /// [`Rejected`] if there is none.
    pub fn from_x(x: &[u8; 32]) -> Result<Self, Rejected> {
        let mut point = alloc::vec![2];
        point.extend_from_slice(x);
        p256::PublicKey::from_sec1_bytes(&point).map(Self).map_err(|_| Rejected)
    }

    /// The point of both coordinates, x ‖ y.
    ///
    /// # Errors
    /// [`Rejected`] for a point that is not on the curve.
    pub fn from_affine(xy: &[u8; 64]) -> Result<Self, Rejected> {
        let mut point = alloc::vec![4];
        point.extend_from_slice(xy);
        p256::PublicKey::from_sec1_bytes(&point).map(Self).map_err(|_| Rejected)
    }
}

impl fmt::Debug for Ccm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ccm").finish_non_exhaustive()
    }
}

impl fmt::Debug for P256Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("P256Secret").finish_non_exhaustive()
    }
}

impl fmt::Debug for P256Public {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("P256Public").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3610 §8, packet vector 1.
    #[test]
    fn ccm_gives_the_figures_of_its_rfc() {
        let key: [u8; 16] = core::array::from_fn(|n| 0xc0 + n as u8);
        let nonce = [0, 0, 0, 3, 2, 1, 0, 0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5];
        let (aad, text): (Vec<u8>, Vec<u8>) = ((0..8).collect(), (8..31).collect());
        let sealed = [
            0x58, 0x8c, 0x97, 0x9a, 0x61, 0xc6, 0x63, 0xd2, 0xf0, 0x66, 0xd0, 0xc2, 0xc0, 0xf9, 0x89, 0x80, 0x6d, 0x5f,
            0x6b, 0x61, 0xda, 0xc3, 0x84, 0x17, 0xe8, 0xd1, 0x2c, 0xfd, 0xf9, 0x26, 0xe0,
        ];
        let cipher = Ccm::tag_8(&key);
        let mut buffer = text.clone();
        cipher.seal(&nonce, &aad, &mut buffer).unwrap();
        assert_eq!(buffer, sealed);
        cipher.open(&nonce, &aad, &mut buffer).unwrap();
        assert_eq!(buffer, text);
        for at in 0..sealed.len() {
            let mut other = sealed.to_vec();
            other[at] ^= 1;
            assert_eq!(cipher.open(&nonce, &aad, &mut other), Err(Rejected));
        }
        assert_eq!(cipher.open(&nonce, &aad, &mut vec![0; 7]), Err(Rejected));
        let long = Ccm::tag_16(&key);
        long.seal(&nonce, &aad, &mut buffer).unwrap();
        assert_eq!(buffer.len(), text.len() + 16);
        assert_eq!(cipher.open(&nonce, &aad, &mut buffer.clone()), Err(Rejected));
        long.open(&nonce, &aad, &mut buffer).unwrap();
        assert_eq!(buffer, text);
    }

    #[test]
    fn both_points_of_an_x_agree_on_the_same() {
        let [one, two] = [1, 2].map(|n| P256Secret::from_bytes(&SecretBytes::from_bytes([n; 32])).unwrap());
        let by_x = P256Public::from_x(&two.public_x().unwrap()).unwrap();
        let back = P256Public::from_x(&one.public_x().unwrap()).unwrap();
        assert!(one.agree(&by_x).matches(two.agree(&back).expose()));
        assert!(P256Secret::from_bytes(&SecretBytes::from_bytes([0; 32])).is_err());
        assert!(P256Secret::from_bytes(&SecretBytes::from_bytes([0xff; 32])).is_err());
        assert!(P256Public::from_x(&[0xff; 32]).is_err());
        assert!(P256Public::from_affine(&[1; 64]).is_err());
    }
}
