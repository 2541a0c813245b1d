//! HPKE, RFC 9180, single-shot, with X-Wing (draft-connolly-cfrg-xwing-kem; HPKE KEM 0x647a), HKDF-SHA-256 and
//! ChaCha20-Poly1305: base mode and PSK mode.

use alloc::vec::Vec;
use core::fmt;

use hpke::{
    Deserializable as _, Kem as _, OpModeR, OpModeS, PskBundle, Serializable as _, aead::ChaCha20Poly1305,
    kdf::HkdfSha256,
};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::{Rejected, secret::SecretBytes};

/// Bytes of an X-Wing public key.
pub const PUBLIC_LEN: usize = 1216;
/// Bytes of an X-Wing encapsulated key.
pub const ENC_LEN: usize = 1120;

type XWing = hpke::kem::XWing;

/// An X-Wing secret key, made of a 32-byte seed; wiped when dropped.
///
/// ```compile_fail
/// fn copy(key: &deedbox_crypto::kem::SecretKey) -> deedbox_crypto::kem::SecretKey { key.clone() }
/// ```
pub struct SecretKey(<XWing as hpke::Kem>::PrivateKey);

/// An X-Wing public key.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(<XWing as hpke::Kem>::PublicKey);

/// What binds a message to an earlier secret: at least 32 secret bytes and their public name.
///
/// ```compile_fail
/// fn copy<'a>(psk: &deedbox_crypto::kem::Psk<'a>) -> deedbox_crypto::kem::Psk<'a> { psk.clone() }
/// ```
pub struct Psk<'a> {
    /// The secret.
    pub psk: &'a [u8],
    /// Its name.
    pub id: &'a [u8],
}

impl SecretKey {
    /// The key of a seed.
    ///
    /// # Errors
    /// [`Rejected`] never happens for 32 bytes; the primitive's interface allows it.
    pub fn from_seed(seed: &SecretBytes<32>) -> Result<Self, Rejected> {
        <XWing as hpke::Kem>::PrivateKey::from_bytes(seed.expose()).map(Self).map_err(|_| Rejected)
    }

    /// Its public part.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(XWing::sk_to_pk(&self.0))
    }

    /// Opens what was sealed to this key.
    ///
    /// # Errors
    /// [`Rejected`].
    pub fn open(
        &self,
        enc: &[u8],
        info: &[u8],
        aad: &[u8],
        ciphertext: &[u8],
        psk: Option<&Psk<'_>>,
    ) -> Result<Zeroizing<Vec<u8>>, Rejected> {
        open::<XWing>(&self.0, enc, info, aad, ciphertext, psk)
    }

    /// The raw secret of an encapsulation to this key, for protocols with a key schedule of their own.
    ///
    /// # Errors
    /// [`Rejected`] for another length. Altered bytes of the right length give another secret, as implicit rejection wants.
    pub fn decapsulate(&self, enc: &[u8]) -> Result<SecretBytes<32>, Rejected> {
        let enc = <XWing as hpke::Kem>::EncappedKey::from_bytes(enc).map_err(|_| Rejected)?;
        let shared = XWing::decap(&self.0, None, &enc).map_err(|_| Rejected)?;
        Ok(SecretBytes::build(|out| out.copy_from_slice(&shared.0)))
    }
}

impl PublicKey {
    /// Checks a key's 1,216 bytes (FIPS 203 §7.2 for its ML-KEM part).
    ///
    /// # Errors
    /// [`Rejected`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Rejected> {
        <XWing as hpke::Kem>::PublicKey::from_bytes(bytes).map(Self).map_err(|_| Rejected)
    }

    /// Its 1,216 bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.to_bytes().to_vec()
    }

    /// Seals `plaintext`: the encapsulated key and the ciphertext with its tag.
    ///
    /// # Errors
    /// [`Rejected`] for a PSK of less than 32 bytes or an empty name.
    pub fn seal(
        &self,
        info: &[u8],
        aad: &[u8],
        plaintext: &[u8],
        psk: Option<&Psk<'_>>,
        rng: &mut impl CryptoRng,
    ) -> Result<(Vec<u8>, Vec<u8>), Rejected> {
        seal::<XWing>(&self.0, info, aad, plaintext, psk, rng)
    }

    /// A fresh raw secret and its encapsulation (1,120 bytes), for protocols with a key schedule of their own.
    ///
    /// # Errors
    /// [`Rejected`] never happens for X-Wing; the primitive's interface allows it.
    pub fn encapsulate(&self, rng: &mut impl CryptoRng) -> Result<(Vec<u8>, SecretBytes<32>), Rejected> {
        let (shared, enc) = XWing::encap_with_rng(&self.0, None, rng).map_err(|_| Rejected)?;
        Ok((enc.to_bytes().to_vec(), SecretBytes::build(|out| out.copy_from_slice(&shared.0))))
    }
}

/// HPKE with DHKEM(X25519, HKDF-SHA-256), KEM 0x0020: for other people's messages and the published vectors. deedbox seals to
/// X-Wing keys only.
pub mod x25519 {
    use super::*;

    type X25519 = hpke::kem::X25519HkdfSha256;

    /// The public key of a secret one.
    ///
    /// # Errors
    /// [`Rejected`].
    pub fn public(secret: &SecretBytes<32>) -> Result<[u8; 32], Rejected> {
        let secret = <X25519 as hpke::Kem>::PrivateKey::from_bytes(secret.expose()).map_err(|_| Rejected)?;
        Ok(X25519::sk_to_pk(&secret).to_bytes().into())
    }

    /// Opens what was sealed to `secret`.
    ///
    /// # Errors
    /// [`Rejected`].
    pub fn open(
        secret: &SecretBytes<32>,
        enc: &[u8],
        info: &[u8],
        aad: &[u8],
        ciphertext: &[u8],
        psk: Option<&Psk<'_>>,
    ) -> Result<Zeroizing<Vec<u8>>, Rejected> {
        let secret = <X25519 as hpke::Kem>::PrivateKey::from_bytes(secret.expose()).map_err(|_| Rejected)?;
        super::open::<X25519>(&secret, enc, info, aad, ciphertext, psk)
    }

    /// Seals `plaintext` to `public`.
    ///
    /// # Errors
    /// [`Rejected`] for a key of low order or an unfit PSK.
    pub fn seal(
        public: &[u8; 32],
        info: &[u8],
        aad: &[u8],
        plaintext: &[u8],
        psk: Option<&Psk<'_>>,
        rng: &mut impl CryptoRng,
    ) -> Result<(Vec<u8>, Vec<u8>), Rejected> {
        let public = <X25519 as hpke::Kem>::PublicKey::from_bytes(public).map_err(|_| Rejected)?;
        super::seal::<X25519>(&public, info, aad, plaintext, psk, rng)
    }
}

fn seal<K: hpke::Kem>(
    public: &K::PublicKey,
    info: &[u8],
    aad: &[u8],
    plaintext: &[u8],
    psk: Option<&Psk<'_>>,
    rng: &mut impl CryptoRng,
) -> Result<(Vec<u8>, Vec<u8>), Rejected> {
    let mode = match psk {
        None => OpModeS::Base,
        Some(psk) => OpModeS::Psk(bundle(psk)?),
    };
    let (enc, ciphertext) =
        hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, K>(&mode, public, info, plaintext, aad, rng)
            .map_err(|_| Rejected)?;
    Ok((enc.to_bytes().to_vec(), ciphertext))
}

fn open<K: hpke::Kem>(
    secret: &K::PrivateKey,
    enc: &[u8],
    info: &[u8],
    aad: &[u8],
    ciphertext: &[u8],
    psk: Option<&Psk<'_>>,
) -> Result<Zeroizing<Vec<u8>>, Rejected> {
    let mode = match psk {
        None => OpModeR::Base,
        Some(psk) => OpModeR::Psk(bundle(psk)?),
    };
    let enc = K::EncappedKey::from_bytes(enc).map_err(|_| Rejected)?;
    hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, K>(&mode, secret, &enc, info, ciphertext, aad)
        .map(Zeroizing::new)
        .map_err(|_| Rejected)
}

fn bundle<'a>(psk: &Psk<'a>) -> Result<PskBundle<'a>, Rejected> {
    // RFC 9180 §9.5: a PSK has at least 32 bytes.
    if psk.psk.len() < 32 {
        return Err(Rejected);
    }
    PskBundle::new(psk.psk, psk.id).map_err(|_| Rejected)
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretKey").finish_non_exhaustive()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicKey").finish_non_exhaustive()
    }
}

impl fmt::Debug for Psk<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Psk").finish_non_exhaustive()
    }
}
