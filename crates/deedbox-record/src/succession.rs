//! Who owns a store after its root was replaced: the former owner's key signs the next one.

use alloc::vec::Vec;
use core::fmt;

use deedbox_cbor::{Limits, Order, Writer, read};
use deedbox_cose::sign1;
use deedbox_crypto::label;
use deedbox_model::{Epoch, StoreId};

use crate::{HeadKey, Root, UnlockError};

/// The owner's public key of one root epoch: what tells a person's own header from one that somebody else made up. It is not
/// secret. A device pins it, and gets the first from another device of the person's.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct OwnerKey {
    epoch: Epoch,
    key: [u8; 32],
}

impl OwnerKey {
    /// A key as it was kept.
    #[must_use]
    pub const fn new(epoch: Epoch, key: [u8; 32]) -> Self {
        Self { epoch, key }
    }

    /// The root epoch.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The Ed25519 public key.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.key
    }
}

/// Prints the epoch: the key links who sees it twice.
impl fmt::Debug for OwnerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnerKey").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

/// A step from one owner's key to the next, as it was read: of its form, and nothing more.
///
/// ```cddl
/// succession = 18([ bstr .cbor {1: -19, 4: kid: b32}, {}, bstr .cbor succession-claims, bstr .size 64 ])
/// succession-claims = { 1: store: b16, 2: root-epoch: u32, 3: key: b32 }                 ; of the next owner
/// ```
/// external_aad is `deedbox/1 succession` 00.
#[derive(Clone, PartialEq, Eq)]
pub struct Succession {
    bytes: Vec<u8>,
    store: StoreId,
    next: OwnerKey,
}

impl Succession {
    /// Signs the owner of the root after `old`.
    pub(crate) fn sign(old: &Root, new: &Root) -> Result<Self, UnlockError> {
        let next = new.owner();
        let mut claims = Writer::with_capacity(64);
        claims.map(|map| {
            map.int(1, |w| old.store().encode(w));
            map.int(2, |w| next.epoch.encode(w));
            map.int(3, |w| {
                w.bytes(&next.key);
            });
        });
        let bytes = sign1::document(&old.access_signer(), label::SUCCESSION.as_bytes(), claims.as_slice());
        Ok(Self { bytes: bytes.map_err(|_| UnlockError::Limit)?, store: *old.store(), next })
    }

    /// Reads a step of at most 512 bytes.
    ///
    /// # Errors
    /// [`UnlockError::Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, UnlockError> {
        let claims = || {
            let document = sign1::Document::parse(bytes).ok().filter(|_| bytes.len() <= MAX_LEN)?;
            let item = read(document.peek().payload(), Order::Canonical, &Limits::new(MAX_LEN)).ok()?;
            let mut fields = item.as_map()?.fields();
            let store = StoreId::decode(fields.required(1)?)?;
            let epoch = Epoch::decode(fields.required(2)?)?;
            let key = fields.required(3)?.as_byte_array()?;
            fields.finish()?;
            HeadKey::from_bytes(&key)?;
            Some((store, OwnerKey { epoch, key }))
        };
        let (store, next) = claims().ok_or(UnlockError::Malformed)?;
        Ok(Self { bytes: bytes.to_vec(), store, next })
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The next owner's key, if the owner of `store` named by `by` signed it, and it is of the root epoch after theirs.
    ///
    /// # Errors
    /// [`UnlockError::UnknownOwner`].
    pub fn verify(&self, store: &StoreId, by: &OwnerKey) -> Result<OwnerKey, UnlockError> {
        let unknown = UnlockError::UnknownOwner;
        let key = HeadKey::from_bytes(&by.key).ok_or(unknown)?;
        sign1::open_document(&self.bytes, key.verify_key(), label::SUCCESSION.as_bytes()).map_err(|_| unknown)?;
        let is_next = self.store == *store && Some(self.next.epoch) == by.epoch.next();
        if is_next { Ok(self.next) } else { Err(unknown) }
    }

    pub(crate) const fn store(&self) -> &StoreId {
        &self.store
    }

    /// The root epoch that it leads to, as it says.
    pub(crate) const fn leads_to(&self) -> Epoch {
        self.next.epoch
    }
}

/// Prints where it leads to.
impl fmt::Debug for Succession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Succession").field("next", &self.next).finish_non_exhaustive()
    }
}

const MAX_LEN: usize = 512;

#[cfg(test)]
mod tests;
