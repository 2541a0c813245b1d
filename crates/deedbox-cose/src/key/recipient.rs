use alloc::vec::Vec;
use core::fmt;

use deedbox_cbor::{Item, Writer};
use deedbox_crypto::kem::{PUBLIC_LEN, PublicKey};

use super::{ALG, KEY_OPS, KTY, Thumbprint, public_only, read_key, typed};
use crate::{KeyError, encrypt0::HPKE_XWING};

/// A public key to which things are sealed: X-Wing, for HPKE.
///
/// ```cddl
/// akp = { 1: 7, 3: -91258, -1: bstr .size 1216, ? 2: bstr, ? 4: [+ int / tstr], * label => any }   ; -2 is refused
/// ```
/// Algorithm −91258 is private use: −65536 less the HPKE identifier of X-Wing (25722), until one is registered. The
/// thumbprint covers {1, 3, −1}.
#[derive(Clone)]
pub struct RecipientKey {
    key: PublicKey,
    thumbprint: Thumbprint,
}

impl RecipientKey {
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
        if kty != AKP {
            return Err(KeyError::Kty);
        }
        public_only(map, PRIVATE)?;
        if map.get_int(ALG).ok_or(KeyError::Shape)?.as_i64() != Some(HPKE_XWING) {
            return Err(KeyError::Alg);
        }
        // Public keys of a KEM are for nothing that `key_ops` could name (RFC 9052 §7.1): an empty list at most.
        let ops = map.get_int(KEY_OPS).map(|ops| ops.as_array().ok_or(KeyError::Shape)).transpose()?;
        if ops.is_some_and(|ops| !ops.is_empty()) {
            return Err(KeyError::KeyOps);
        }
        let public = map.get_int(PUBLIC).and_then(Item::as_bytes).filter(|bytes| bytes.len() == PUBLIC_LEN);
        Ok(Self::from_xwing(PublicKey::from_bytes(public.ok_or(KeyError::Shape)?).map_err(|_| KeyError::Point)?))
    }

    /// Takes an X-Wing key.
    #[must_use]
    pub fn from_xwing(key: PublicKey) -> Self {
        let mut writer = Writer::with_capacity(PUBLIC_LEN + 16);
        write(&key, &mut writer);
        Self { thumbprint: Thumbprint::of(writer.as_slice()), key }
    }

    /// The key with its required members only, in deterministic CBOR: {1, 3, −1}.
    #[must_use]
    pub fn to_cose_key(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(PUBLIC_LEN + 16);
        self.encode(&mut writer);
        writer.into_vec()
    }

    /// Writes what [`RecipientKey::to_cose_key`] gives, as one item.
    pub fn encode(&self, writer: &mut Writer) {
        write(&self.key, writer);
    }

    /// The key's name.
    #[must_use]
    pub const fn thumbprint(&self) -> Thumbprint {
        self.thumbprint
    }

    /// The key itself, for formats that seal without COSE.
    #[must_use]
    pub const fn as_xwing(&self) -> &PublicKey {
        &self.key
    }
}

impl PartialEq for RecipientKey {
    fn eq(&self, other: &Self) -> bool {
        self.thumbprint == other.thumbprint
    }
}

impl Eq for RecipientKey {}

/// Prints nothing: a key links those who hold it.
impl fmt::Debug for RecipientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecipientKey").finish_non_exhaustive()
    }
}

fn write(key: &PublicKey, writer: &mut Writer) {
    writer.map(|map| {
        map.int(KTY, |w| {
            w.int(AKP);
        })
        .int(ALG, |w| {
            w.int(HPKE_XWING);
        })
        .int(PUBLIC, |w| {
            w.bytes(&key.to_bytes());
        });
    });
}

/// Key type "Algorithm Key Pair".
const AKP: i64 = 7;
const PUBLIC: i64 = -1;
const PRIVATE: i64 = -2;
