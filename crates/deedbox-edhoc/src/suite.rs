//! What a suite exchanges: ephemeral keys on the wire and the secret they give, RFC 9528 §3.6 and §5.

#[cfg(feature = "pq")]
use alloc::boxed::Box;
use alloc::vec::Vec;

#[cfg(feature = "pq")]
use deedbox_crypto::kem;
use deedbox_crypto::{kex, secret::SecretBytes};
use rand_core::CryptoRng;

use crate::error::EdhocError;

/// ChaCha20-Poly1305, SHA-256, X25519, Ed25519.
pub(crate) const CLASSIC: i32 = 4;
/// Suite 4 with X-Wing for X25519; private use (RFC 9528 §9.4).
#[cfg(feature = "pq")]
pub(crate) const HYBRID: i32 = -21;

/// The Initiator's ephemeral secret, X.
pub(crate) enum Ephemeral {
    X25519(kex::SecretKey),
    #[cfg(feature = "pq")]
    XWing {
        seed: SecretBytes<32>,
        key: Box<kem::SecretKey>,
    },
}

impl Ephemeral {
    /// The secret of 32 bytes: a scalar, or the seed of a key pair.
    pub(crate) fn new(suite: i32, secret: SecretBytes<32>) -> Result<Self, EdhocError> {
        match suite {
            #[cfg(feature = "pq")]
            HYBRID => {
                let key = kem::SecretKey::from_seed(&secret).map_err(|_| EdhocError::UnsupportedSuite)?;
                Ok(Self::XWing { seed: secret, key: Box::new(key) })
            }
            CLASSIC => Ok(Self::X25519(kex::SecretKey::from_bytes(&secret))),
            _ => Err(EdhocError::UnsupportedSuite),
        }
    }

    /// G_X.
    pub(crate) fn public(&self) -> Vec<u8> {
        match self {
            Self::X25519(x) => x.public().to_vec(),
            #[cfg(feature = "pq")]
            Self::XWing { key, .. } => key.public().to_bytes(),
        }
    }

    /// Splits the content of message_2 into G_Y and CIPHERTEXT_2.
    pub(crate) fn split<'a>(&self, content: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        let len = match self {
            Self::X25519(_) => 32,
            #[cfg(feature = "pq")]
            Self::XWing { .. } => kem::ENC_LEN,
        };
        content.split_at_checked(len)
    }

    /// G_XY.
    pub(crate) fn agree(&self, g_y: &[u8]) -> Result<SecretBytes<32>, EdhocError> {
        match self {
            Self::X25519(x) => {
                let g_y = g_y.try_into().map_err(|_| EdhocError::Malformed)?;
                x.agree(g_y).map_err(|_| EdhocError::LowOrderPoint)
            }
            #[cfg(feature = "pq")]
            Self::XWing { key, .. } => key.decapsulate(g_y).map_err(|_| EdhocError::Malformed),
        }
    }

    /// The 32 bytes it was made of, for a stored handshake.
    pub(crate) fn into_secret(self) -> SecretBytes<32> {
        match self {
            Self::X25519(x) => x.export_secret_bytes_hazmat(),
            #[cfg(feature = "pq")]
            Self::XWing { seed, .. } => seed,
        }
    }
}

/// G_X as the Responder read it.
pub(crate) enum Public {
    X25519([u8; 32]),
    #[cfg(feature = "pq")]
    XWing(Box<kem::PublicKey>),
}

impl Public {
    /// Of the suite's length, and a key: `Malformed` otherwise. No curve arithmetic.
    pub(crate) fn read(suite: i32, bytes: &[u8]) -> Result<Self, EdhocError> {
        match suite {
            #[cfg(feature = "pq")]
            HYBRID => {
                let key = kem::PublicKey::from_bytes(bytes).map_err(|_| EdhocError::Malformed)?;
                Ok(Self::XWing(Box::new(key)))
            }
            CLASSIC => bytes.try_into().map(Self::X25519).map_err(|_| EdhocError::Malformed),
            _ => Err(EdhocError::UnsupportedSuite),
        }
    }

    /// G_Y and G_XY.
    pub(crate) fn answer(&self, rng: &mut impl CryptoRng) -> Result<(Vec<u8>, SecretBytes<32>), EdhocError> {
        match self {
            Self::X25519(g_x) => {
                let y = kex::SecretKey::generate(rng);
                let g_xy = y.agree(g_x).map_err(|_| EdhocError::LowOrderPoint)?;
                Ok((y.public().to_vec(), g_xy))
            }
            #[cfg(feature = "pq")]
            Self::XWing(g_x) => g_x.encapsulate(rng).map_err(|_| EdhocError::Malformed),
        }
    }
}
