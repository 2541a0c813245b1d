use alloc::vec::Vec;
use core::fmt;

use deedbox_cbor::{Item, Map, Writer};
#[cfg(feature = "es256")]
use deedbox_crypto::ecdsa::P256Key;
#[cfg(feature = "es384")]
use deedbox_crypto::ecdsa::P384Key;
use deedbox_crypto::sign::PublicKey;

use super::{ALG, KEY_OPS, KTY, Thumbprint, public_only, read_key, typed};
use crate::{Algorithm, CoseError, KeyError, Verifier};

/// A public key that verifies signatures of exactly one algorithm. Holding one means that it is sound: canonical, on its
/// curve, not of small order.
///
/// ```cddl
/// okp = { 1: 1, -1: 6, -2: bstr .size 32, common }                       ; Ed25519, RFC 9053 §7.2
/// ec2 = { 1: 2, -1: 1 / 2, -2: bstr, -3: bstr, common }                  ; P-256, P-384, RFC 9053 §7.1.1
/// common = (? 2: bstr, ? 3: int, ? 4: [+ int / tstr], * label => any)    ; -4, the private part, is refused
/// ```
#[derive(Clone)]
pub struct VerifyKey {
    kind: Kind,
    thumbprint: Thumbprint,
}

#[derive(Clone)]
enum Kind {
    Ed25519(PublicKey),
    #[cfg(feature = "es256")]
    P256 {
        key: P256Key,
        x: [u8; 32],
        y: [u8; 32],
    },
    #[cfg(feature = "es384")]
    P384 {
        key: P384Key,
        x: [u8; 48],
        y: [u8; 48],
    },
}

impl VerifyKey {
    /// Reads a COSE_Key of at most 4,096 bytes.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn parse(cose_key: &[u8]) -> Result<Self, KeyError> {
        Self::from_item(read_key(cose_key)?)
    }

    /// Reads a COSE_Key that is part of something larger.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn from_item(item: Item<'_>) -> Result<Self, KeyError> {
        let (map, kty) = typed(item)?;
        if !matches!(kty, OKP | EC2) {
            return Err(KeyError::Kty);
        }
        public_only(map, D)?;
        let algorithm = match (kty, map.get_int(CRV).ok_or(KeyError::Shape)?.as_i64()) {
            (OKP, Some(6)) => Algorithm::Ed25519,
            (EC2, Some(1)) => Algorithm::Es256,
            (EC2, Some(2)) => Algorithm::Es384,
            _ => return Err(KeyError::Curve),
        };
        let alg = map.get_int(ALG).map(|alg| alg.as_i64().and_then(Algorithm::from_id));
        if alg.is_some_and(|alg| alg != Some(algorithm)) {
            return Err(KeyError::Alg);
        }
        let ops = map.get_int(KEY_OPS).map(|ops| ops.as_array().ok_or(KeyError::Shape)).transpose()?;
        if ops.is_some_and(|ops| !ops.iter().any(|op| op.as_i64() == Some(VERIFY))) {
            return Err(KeyError::KeyOps);
        }
        Kind::read(algorithm, map).map(Self::of)
    }

    /// The key that is known to be Ed25519's.
    #[must_use]
    pub fn from_ed25519(key: PublicKey) -> Self {
        Self::of(Kind::Ed25519(key))
    }

    fn of(kind: Kind) -> Self {
        let mut writer = Writer::with_capacity(128);
        kind.write(&mut writer);
        Self { thumbprint: Thumbprint::of(writer.as_slice()), kind }
    }

    /// The key with its required members only, in deterministic CBOR: {1, -1, -2}, and -3 for a curve that needs it.
    #[must_use]
    pub fn to_cose_key(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(128);
        self.encode(&mut writer);
        writer.into_vec()
    }

    /// Writes what [`VerifyKey::to_cose_key`] gives, as one item.
    pub fn encode(&self, writer: &mut Writer) {
        self.kind.write(writer);
    }

    /// The Ed25519 key, if it is one.
    #[must_use]
    pub const fn as_ed25519(&self) -> Option<&PublicKey> {
        match &self.kind {
            Kind::Ed25519(key) => Some(key),
            #[cfg(any(feature = "es256", feature = "es384"))]
            _ => None,
        }
    }

    /// The one algorithm it verifies.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        match &self.kind {
            Kind::Ed25519(_) => Algorithm::Ed25519,
            #[cfg(feature = "es256")]
            Kind::P256 { .. } => Algorithm::Es256,
            #[cfg(feature = "es384")]
            Kind::P384 { .. } => Algorithm::Es384,
        }
    }

    /// The key's name.
    #[must_use]
    pub const fn thumbprint(&self) -> Thumbprint {
        self.thumbprint
    }
}

impl Kind {
    fn read(algorithm: Algorithm, map: Map<'_>) -> Result<Self, KeyError> {
        match algorithm {
            Algorithm::Ed25519 => {
                let key = PublicKey::from_bytes(&coordinate(map, X)?).map_err(|_| KeyError::Point)?;
                Ok(Self::Ed25519(key))
            }
            #[cfg(feature = "es256")]
            Algorithm::Es256 => {
                let (x, y) = (coordinate(map, X)?, coordinate(map, Y)?);
                Ok(Self::P256 { key: P256Key::from_affine(&x, &y).map_err(|_| KeyError::Point)?, x, y })
            }
            #[cfg(feature = "es384")]
            Algorithm::Es384 => {
                let (x, y) = (coordinate(map, X)?, coordinate(map, Y)?);
                Ok(Self::P384 { key: P384Key::from_affine(&x, &y).map_err(|_| KeyError::Point)?, x, y })
            }
            #[cfg(not(all(feature = "es256", feature = "es384")))]
            _ => Err(KeyError::Unsupported),
        }
    }

    fn write(&self, writer: &mut Writer) {
        match self {
            Self::Ed25519(key) => write_map(writer, OKP, 6, key.as_bytes(), None),
            #[cfg(feature = "es256")]
            Self::P256 { x, y, .. } => write_map(writer, EC2, 1, x, Some(y)),
            #[cfg(feature = "es384")]
            Self::P384 { x, y, .. } => write_map(writer, EC2, 2, x, Some(y)),
        }
    }
}

impl Verifier for VerifyKey {
    fn algorithm(&self) -> Algorithm {
        Self::algorithm(self)
    }

    fn verify(&self, to_be_signed: &[u8], signature: &[u8]) -> Result<(), CoseError> {
        let bad = CoseError::BadSignature;
        match &self.kind {
            Kind::Ed25519(key) => key.verify(to_be_signed, signature.try_into().map_err(|_| bad)?).map_err(|_| bad),
            #[cfg(feature = "es256")]
            Kind::P256 { key, .. } => key.verify(to_be_signed, signature.try_into().map_err(|_| bad)?).map_err(|_| bad),
            #[cfg(feature = "es384")]
            Kind::P384 { key, .. } => key.verify(to_be_signed, signature.try_into().map_err(|_| bad)?).map_err(|_| bad),
        }
    }
}

/// Equal keys have equal names: the thumbprint covers all that makes the key.
impl PartialEq for VerifyKey {
    fn eq(&self, other: &Self) -> bool {
        self.thumbprint == other.thumbprint
    }
}

impl Eq for VerifyKey {}

/// Prints the algorithm: a key links those who hold it.
impl fmt::Debug for VerifyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyKey").field("algorithm", &self.algorithm()).finish_non_exhaustive()
    }
}

fn coordinate<const N: usize>(map: Map<'_>, label: i64) -> Result<[u8; N], KeyError> {
    map.get_int(label).and_then(Item::as_byte_array).ok_or(KeyError::Shape)
}

fn write_map(writer: &mut Writer, kty: i64, crv: i64, x: &[u8], y: Option<&[u8]>) {
    writer.map(|map| {
        map.int(KTY, |w| {
            w.int(kty);
        })
        .int(CRV, |w| {
            w.int(crv);
        })
        .int(X, |w| {
            w.bytes(x);
        });
        if let Some(y) = y {
            map.int(Y, |w| {
                w.bytes(y);
            });
        }
    });
}

const OKP: i64 = 1;
const EC2: i64 = 2;
const CRV: i64 = -1;
const X: i64 = -2;
const Y: i64 = -3;
const D: i64 = -4;
/// The operation "verify" of `key_ops`.
const VERIFY: i64 = 2;
