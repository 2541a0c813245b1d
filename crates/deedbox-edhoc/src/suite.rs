//! What a suite exchanges and seals with: keys on the wire and the secret they give, the AEAD, RFC 9528 §3.6 and §5.

#[cfg(feature = "pq")]
use alloc::boxed::Box;
use alloc::vec::Vec;

#[cfg(feature = "pq")]
use deedbox_crypto::kem;
#[cfg(feature = "test-suites")]
use deedbox_crypto::outside::{Ccm, P256Public, P256Secret};
use deedbox_crypto::{
    aead::{Cipher, KEY_LEN, NONCE_LEN, TAG_LEN},
    kex,
    secret::SecretBytes,
};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::{
    error::EdhocError,
    session::Role,
    transcript::{Prk, edhoc_kdf_fixed},
    wire::SIGNATURE_LEN,
};

/// ChaCha20-Poly1305, SHA-256, X25519, Ed25519.
pub(crate) const CLASSIC: i32 = 4;
/// Suite 4 with X-Wing for X25519; private use (RFC 9528 §9.4).
#[cfg(feature = "pq")]
pub(crate) const HYBRID: i32 = -21;

/// Whether `role` signs in `method`; else it authenticates by static Diffie-Hellman (RFC 9528 §3.2).
pub(crate) const fn signs(method: i32, role: Role) -> bool {
    match role {
        Role::Initiator => matches!(method, 0 | 1),
        Role::Responder => matches!(method, 0 | 2),
    }
}

/// Whether `suite` has what `method` needs: suite -21 has no static keys, and ES256 is not here.
pub(crate) const fn fits(method: i32, suite: i32) -> bool {
    match suite {
        -21 => method == 0,
        2 | 3 => method == 3,
        _ => true,
    }
}

/// Bytes of Signature_or_MAC_x.
pub(crate) const fn proof_len(suite: i32, method: i32, role: Role) -> usize {
    if signs(method, role) { SIGNATURE_LEN } else { mac_len(suite) }
}

/// The EDHOC MAC length, of a MAC that is not signed.
pub(crate) const fn mac_len(suite: i32) -> usize {
    if matches!(suite, 0 | 2) { 8 } else { 16 }
}

/// A secret key: an ephemeral one, X or Y, or a static one.
pub(crate) enum Secret {
    X25519(kex::SecretKey),
    #[cfg(feature = "pq")]
    XWing {
        seed: SecretBytes<32>,
        key: Box<kem::SecretKey>,
    },
    #[cfg(feature = "test-suites")]
    P256(P256Secret),
}

impl Secret {
    /// The secret of 32 bytes: a scalar, or the seed of a key pair.
    pub(crate) fn new(suite: i32, secret: SecretBytes<32>) -> Result<Self, EdhocError> {
        match suite {
            #[cfg(feature = "pq")]
            HYBRID => {
                let key = kem::SecretKey::from_seed(&secret).map_err(|_| EdhocError::UnsupportedSuite)?;
                Ok(Self::XWing { seed: secret, key: Box::new(key) })
            }
            CLASSIC => Ok(Self::X25519(kex::SecretKey::from_bytes(&secret))),
            #[cfg(feature = "test-suites")]
            0 => Ok(Self::X25519(kex::SecretKey::from_bytes(&secret))),
            // One draw in 2^32 is no scalar.
            #[cfg(feature = "test-suites")]
            2 | 3 => P256Secret::from_bytes(&secret).map(Self::P256).map_err(|_| EdhocError::LimitExceeded),
            _ => Err(EdhocError::UnsupportedSuite),
        }
    }

    /// G_X or G_Y.
    pub(crate) fn public(&self) -> Result<Vec<u8>, EdhocError> {
        match self {
            Self::X25519(x) => Ok(x.public().to_vec()),
            #[cfg(feature = "pq")]
            Self::XWing { key, .. } => Ok(key.public().to_bytes()),
            #[cfg(feature = "test-suites")]
            Self::P256(x) => x.public_x().map(|x| x.to_vec()).map_err(|_| EdhocError::UnsupportedSuite),
        }
    }

    /// Splits the content of message_2 into G_Y and CIPHERTEXT_2.
    pub(crate) fn split<'a>(&self, content: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        let len = match self {
            #[cfg(feature = "pq")]
            Self::XWing { .. } => kem::ENC_LEN,
            _ => 32,
        };
        content.split_at_checked(len)
    }

    /// G_XY, or G_IY, from G_Y as it came.
    pub(crate) fn agree(&self, g_y: &[u8]) -> Result<SecretBytes<32>, EdhocError> {
        match self {
            Self::X25519(x) => {
                let g_y = g_y.try_into().map_err(|_| EdhocError::Malformed)?;
                x.agree(g_y).map_err(|_| EdhocError::LowOrderPoint)
            }
            #[cfg(feature = "pq")]
            Self::XWing { key, .. } => key.decapsulate(g_y).map_err(|_| EdhocError::Malformed),
            #[cfg(feature = "test-suites")]
            Self::P256(x) => {
                let g_y = g_y.try_into().map_err(|_| EdhocError::Malformed)?;
                P256Public::from_x(g_y).map(|g_y| x.agree(&g_y)).map_err(|_| EdhocError::Malformed)
            }
        }
    }

    /// The secret shared with the holder of a key of the same curve.
    pub(crate) fn dh(&self, public: &Public) -> Result<SecretBytes<32>, EdhocError> {
        match (self, public) {
            (Self::X25519(x), Public::X25519(public)) => x.agree(public).map_err(|_| EdhocError::LowOrderPoint),
            #[cfg(feature = "test-suites")]
            (Self::P256(x), Public::P256(public)) => Ok(x.agree(public)),
            #[cfg(any(feature = "pq", feature = "test-suites"))]
            _ => Err(EdhocError::UnsupportedCredential),
        }
    }

    /// The 32 bytes it was made of, for a stored handshake.
    pub(crate) fn into_secret(self) -> SecretBytes<32> {
        match self {
            Self::X25519(x) => x.export_secret_bytes_hazmat(),
            #[cfg(feature = "pq")]
            Self::XWing { seed, .. } => seed,
            #[cfg(feature = "test-suites")]
            Self::P256(x) => x.export_secret_bytes_hazmat(),
        }
    }
}

/// A public key: G_X as the Responder read it, or a peer's static one.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Public {
    X25519([u8; 32]),
    #[cfg(feature = "pq")]
    XWing(Box<kem::PublicKey>),
    #[cfg(feature = "test-suites")]
    P256(P256Public),
}

impl Public {
    /// Of the suite's length, and a key: `Malformed` otherwise. No scalar multiplication.
    pub(crate) fn read(suite: i32, bytes: &[u8]) -> Result<Self, EdhocError> {
        match suite {
            #[cfg(feature = "pq")]
            HYBRID => {
                let key = kem::PublicKey::from_bytes(bytes).map_err(|_| EdhocError::Malformed)?;
                Ok(Self::XWing(Box::new(key)))
            }
            CLASSIC => bytes.try_into().map(Self::X25519).map_err(|_| EdhocError::Malformed),
            #[cfg(feature = "test-suites")]
            0 => bytes.try_into().map(Self::X25519).map_err(|_| EdhocError::Malformed),
            #[cfg(feature = "test-suites")]
            2 | 3 => {
                let x = bytes.try_into().map_err(|_| EdhocError::Malformed)?;
                P256Public::from_x(x).map(Self::P256).map_err(|_| EdhocError::Malformed)
            }
            _ => Err(EdhocError::UnsupportedSuite),
        }
    }

    /// What answers this G_X.
    pub(crate) fn answer(&self, rng: &mut impl CryptoRng) -> Result<Answer, EdhocError> {
        let y = match self {
            #[cfg(feature = "pq")]
            Self::XWing(g_x) => {
                let (g_y, g_xy) = g_x.encapsulate(rng).map_err(|_| EdhocError::Malformed)?;
                return Ok(Answer { g_y, g_xy, y: None });
            }
            Self::X25519(_) => Secret::X25519(kex::SecretKey::generate(rng)),
            #[cfg(feature = "test-suites")]
            Self::P256(_) => Secret::new(2, SecretBytes::generate(rng))?,
        };
        Ok(Answer { g_y: y.public()?, g_xy: y.dh(self)?, y: Some(y) })
    }
}

/// G_Y and G_XY, and Y where it is a key.
pub(crate) struct Answer {
    pub(crate) g_y: Vec<u8>,
    pub(crate) g_xy: SecretBytes<32>,
    pub(crate) y: Option<Secret>,
}

/// The AEAD of a suite with the key and nonce of one message.
pub(crate) enum Sealing {
    ChaCha {
        key: Zeroizing<[u8; KEY_LEN]>,
        iv: Zeroizing<[u8; NONCE_LEN]>,
    },
    #[cfg(feature = "test-suites")]
    Ccm {
        key: Zeroizing<[u8; 16]>,
        iv: Zeroizing<[u8; 13]>,
        suite: i32,
    },
}

impl Sealing {
    /// K_x and IV_x, by their labels of EDHOC_KDF.
    pub(crate) fn new(suite: i32, prk: &Prk, [key, iv]: [u16; 2], th: &[u8; 32]) -> Self {
        match suite {
            #[cfg(feature = "test-suites")]
            0 | 2 | 3 => Self::Ccm { key: edhoc_kdf_fixed(prk, key, th), iv: edhoc_kdf_fixed(prk, iv, th), suite },
            _ => Self::ChaCha { key: edhoc_kdf_fixed(prk, key, th), iv: edhoc_kdf_fixed(prk, iv, th) },
        }
    }

    pub(crate) fn key(&self) -> &[u8] {
        match self {
            Self::ChaCha { key, .. } => &**key,
            #[cfg(feature = "test-suites")]
            Self::Ccm { key, .. } => &**key,
        }
    }

    pub(crate) fn iv(&self) -> &[u8] {
        match self {
            Self::ChaCha { iv, .. } => &**iv,
            #[cfg(feature = "test-suites")]
            Self::Ccm { iv, .. } => &**iv,
        }
    }

    pub(crate) fn seal(&self, aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, EdhocError> {
        let mut buffer = plaintext.to_vec();
        match self {
            Self::ChaCha { key, iv } => {
                let tag =
                    Cipher::new(key).seal_in_place(iv, aad, &mut buffer).map_err(|_| EdhocError::LimitExceeded)?;
                buffer.extend_from_slice(&tag);
            }
            #[cfg(feature = "test-suites")]
            Self::Ccm { key, iv, suite } => {
                ccm(*suite, key).seal(iv, aad, &mut buffer).map_err(|_| EdhocError::LimitExceeded)?;
            }
        }
        Ok(buffer)
    }

    /// `Malformed` when shorter than a tag, else `Authentication`.
    pub(crate) fn open(&self, aad: &[u8], ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, EdhocError> {
        match self {
            Self::ChaCha { key, iv } => {
                let (text, tag) = ciphertext.split_last_chunk::<TAG_LEN>().ok_or(EdhocError::Malformed)?;
                let mut buffer = Zeroizing::new(text.to_vec());
                let opened = Cipher::new(key).open_in_place(iv, aad, &mut buffer, tag);
                opened.map_err(|_| EdhocError::Authentication)?;
                Ok(buffer)
            }
            #[cfg(feature = "test-suites")]
            Self::Ccm { key, iv, suite } => {
                let cipher = ccm(*suite, key);
                if ciphertext.len() < cipher.tag_len() {
                    return Err(EdhocError::Malformed);
                }
                let mut buffer = Zeroizing::new(ciphertext.to_vec());
                cipher.open(iv, aad, &mut buffer).map_err(|_| EdhocError::Authentication)?;
                Ok(buffer)
            }
        }
    }
}

#[cfg(feature = "test-suites")]
fn ccm(suite: i32, key: &[u8; 16]) -> Ccm {
    if suite == 3 { Ccm::tag_16(key) } else { Ccm::tag_8(key) }
}

/// A static Diffie-Hellman key, for methods 1 to 3.
#[cfg(feature = "test-suites")]
#[expect(missing_debug_implementations, reason = "holds a secret; nothing of it is to be printed")]
pub struct StaticKey(pub(crate) Secret);

#[cfg(feature = "test-suites")]
impl StaticKey {
    /// A key on X25519, for suites 0 and 4.
    #[must_use]
    pub fn x25519(secret: &SecretBytes<32>) -> Self {
        Self(Secret::X25519(kex::SecretKey::from_bytes(secret)))
    }

    /// A key on P-256, for suites 2 and 3; `None` for what is no scalar.
    #[must_use]
    pub fn p256(secret: &SecretBytes<32>) -> Option<Self> {
        P256Secret::from_bytes(secret).ok().map(|key| Self(Secret::P256(key)))
    }
}
