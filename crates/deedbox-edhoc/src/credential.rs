//! Credentials and how they are named, RFC 9528 §3.5.

use alloc::{boxed::Box, vec::Vec};
use core::fmt;

use deedbox_cbor::{Item, Limits, Order, Writer, read};
use deedbox_cose::VerifyKey;
use deedbox_crypto::{secret::SecretBytes, sign::PublicKey};

#[cfg(feature = "test-suites")]
use crate::suite::Public;
use crate::{
    error::{CredentialError, EdhocError},
    suite::Secret,
    wire::{MAX_MESSAGE, write_short},
};

/// How a credential was named: by key identifier, or by a map with one entry (kcwt 13, kccs 14, x5chain 33, x5t 34).
#[derive(Clone, PartialEq, Eq)]
pub struct IdCred {
    /// The full map.
    map: Box<[u8]>,
    kind: Kind,
}

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    Kid(Vec<u8>),
    Value(Vec<u8>),
}

impl IdCred {
    /// A key identifier.
    #[must_use]
    pub(crate) fn from_kid(kid: Vec<u8>) -> Self {
        let mut writer = Writer::new();
        writer.map(|map| {
            map.int(4, |w| {
                w.bytes(&kid);
            });
        });
        Self { map: writer.into_vec().into(), kind: Kind::Kid(kid) }
    }

    pub(crate) fn from_map(map: Item<'_>, value: Item<'_>) -> Self {
        Self { map: map.bytes().into(), kind: Kind::Value(value.bytes().to_vec()) }
    }

    /// The map, `{4: kid}` when the message had the compact form.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// The key identifier, if that is what it is.
    #[must_use]
    pub fn kid(&self) -> Option<&[u8]> {
        match &self.kind {
            Kind::Kid(kid) => Some(kid),
            Kind::Value(_) => None,
        }
    }

    /// The CWT claims set sent by value (label 14), if that is what it is: CRED_x itself, as received.
    #[must_use]
    pub fn ccs(&self) -> Option<&[u8]> {
        match (&self.kind, self.map.get(..2)) {
            (Kind::Value(value), Some([0xa1, 0x0e])) => Some(value),
            _ => None,
        }
    }

    /// As it stands in a plaintext.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match &self.kind {
            Kind::Kid(kid) => {
                let mut writer = Writer::new();
                write_short(&mut writer, kid);
                out.extend_from_slice(writer.as_slice());
            }
            Kind::Value(_) => out.extend_from_slice(&self.map),
        }
    }
}

/// Prints nothing of its content: a credential may name a person.
impl fmt::Debug for IdCred {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdCred").finish_non_exhaustive()
    }
}

/// How one's own credential is named in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Form {
    /// By its key identifier: the peer has the credential already.
    Kid,
    /// By value, or as [`Credential::with_id`] says.
    Value,
}

#[derive(Clone, PartialEq, Eq)]
enum Key {
    Signature(PublicKey),
    #[cfg(feature = "test-suites")]
    Static(Public),
}

/// CRED_x: one CBOR item, used exactly as given, and its Ed25519 key.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    bytes: Box<[u8]>,
    key: Key,
    kid: Vec<u8>,
    id: Option<IdCred>,
}

impl Credential {
    /// A CWT claims set, `{.., 8: {1: COSE_Key}, ..}`. Takes up to 16,384 bytes. Its key identifier is the one in the key,
    /// else the key's RFC 9679 thumbprint.
    ///
    /// # Errors
    /// [`CredentialError::Malformed`], [`CredentialError::Key`].
    pub fn from_ccs(bytes: &[u8]) -> Result<Self, CredentialError> {
        let item = read(bytes, Order::Canonical, &Limits::new(MAX_MESSAGE)).map_err(|_| CredentialError::Malformed)?;
        let claims = item.as_map().ok_or(CredentialError::Malformed)?;
        let cnf = claims.get_int(8).and_then(Item::as_map).ok_or(CredentialError::Malformed)?;
        let key = cnf.get_int(1).and_then(Item::as_map).ok_or(CredentialError::Malformed)?;
        if key.get_int(1).and_then(Item::as_u64) != Some(1) || key.get_int(-1).and_then(Item::as_u64) != Some(6) {
            return Err(CredentialError::Key);
        }
        let x = key.get_int(-2).and_then(Item::as_byte_array).ok_or(CredentialError::Key)?;
        let public = PublicKey::from_bytes(&x).map_err(|_| CredentialError::Key)?;
        let kid = match key.get_int(2) {
            None => thumbprint(&public),
            Some(kid) => kid.as_bytes().ok_or(CredentialError::Malformed)?.to_vec(),
        };
        let mut writer = Writer::new();
        writer.map(|map| {
            map.int(14, |w| {
                w.item(item);
            });
        });
        let id = IdCred { map: writer.into_vec().into(), kind: Kind::Value(bytes.to_vec()) };
        Ok(Self { bytes: bytes.into(), key: Key::Signature(public), kid, id: Some(id) })
    }

    /// Any item with a key that the application knows to belong to it. Its key identifier is the key's thumbprint.
    ///
    /// # Errors
    /// [`CredentialError::Malformed`].
    pub fn with_key(bytes: &[u8], key: PublicKey) -> Result<Self, CredentialError> {
        read(bytes, Order::Any, &Limits::new(MAX_MESSAGE)).map_err(|_| CredentialError::Malformed)?;
        Ok(Self { bytes: bytes.into(), key: Key::Signature(key), kid: thumbprint(&key), id: None })
    }

    /// Any item with a static Diffie-Hellman key: 32 bytes of X25519, or the 64 bytes x ‖ y of P-256. It has no key identifier
    /// until [`Self::with_id`] gives one.
    ///
    /// # Errors
    /// [`CredentialError::Malformed`], [`CredentialError::Key`].
    #[cfg(feature = "test-suites")]
    pub fn with_static_key(bytes: &[u8], key: &[u8]) -> Result<Self, CredentialError> {
        read(bytes, Order::Any, &Limits::new(MAX_MESSAGE)).map_err(|_| CredentialError::Malformed)?;
        let key = match (key.try_into(), key.try_into()) {
            (Ok(x25519), _) => Public::X25519(x25519),
            (_, Ok(xy)) => {
                let key = deedbox_crypto::outside::P256Public::from_affine(xy).map_err(|_| CredentialError::Key)?;
                Public::P256(key)
            }
            _ => return Err(CredentialError::Key),
        };
        Ok(Self { bytes: bytes.into(), key: Key::Static(key), kid: Vec::new(), id: None })
    }

    /// Named by this full map from now on: `{4: kid}` sets what [`Form::Kid`] sends, any other what [`Form::Value`] sends.
    ///
    /// # Errors
    /// [`CredentialError::Malformed`] for a map that no peer would take.
    pub fn with_id(mut self, map: &[u8]) -> Result<Self, CredentialError> {
        let item = read(map, Order::Canonical, &Limits::new(MAX_MESSAGE)).map_err(|_| CredentialError::Malformed)?;
        let mut pairs = item.as_map().ok_or(CredentialError::Malformed)?.iter();
        let (Some((label, value)), None) = (pairs.next(), pairs.next()) else {
            return Err(CredentialError::Malformed);
        };
        match label.as_i64() {
            Some(4) => {
                let kid = value.as_bytes().filter(|kid| kid.len() <= 32).ok_or(CredentialError::Malformed)?;
                self.kid = kid.to_vec();
            }
            Some(13 | 14 | 33 | 34) => self.id = Some(IdCred::from_map(item, value)),
            _ => return Err(CredentialError::Malformed),
        }
        Ok(self)
    }

    /// The item as given.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its key; `None` only for a static key, which credentials have under the feature `test-suites` alone.
    #[must_use]
    pub const fn key(&self) -> Option<&PublicKey> {
        match &self.key {
            Key::Signature(key) => Some(key),
            #[cfg(feature = "test-suites")]
            Key::Static(_) => None,
        }
    }

    /// What the peer's static key adds to the key schedule: G_RX or G_IY. Nothing where the peer signs.
    #[cfg_attr(not(feature = "test-suites"), expect(unused_variables, reason = "there are no static keys"))]
    pub(crate) fn mixed(&self, signs: bool, ephemeral: Option<&Secret>) -> Result<Option<SecretBytes<32>>, EdhocError> {
        match &self.key {
            Key::Signature(_) if signs => Ok(None),
            #[cfg(feature = "test-suites")]
            Key::Static(key) if !signs => {
                ephemeral.ok_or(EdhocError::UnsupportedCredential).and_then(|secret| secret.dh(key)).map(Some)
            }
            _ => Err(EdhocError::UnsupportedCredential),
        }
    }

    /// Its key identifier.
    #[must_use]
    pub fn kid(&self) -> &[u8] {
        &self.kid
    }

    pub(crate) fn id(&self, form: Form) -> Result<IdCred, EdhocError> {
        match form {
            Form::Kid => Ok(IdCred::from_kid(self.kid.clone())),
            Form::Value => self.id.clone().ok_or(EdhocError::UnsupportedCredential),
        }
    }

    /// Whether this could be the other: a reflected handshake.
    pub(crate) fn reflects(&self, other: &Self) -> bool {
        self.key == other.key || self.bytes == other.bytes
    }
}

/// Prints nothing of its content: a credential may name a person.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").finish_non_exhaustive()
    }
}

fn thumbprint(key: &PublicKey) -> Vec<u8> {
    VerifyKey::from_ed25519(*key).thumbprint().as_bytes().to_vec()
}
