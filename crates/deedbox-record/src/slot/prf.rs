//! Slots opened by a secret from outside: a security key's PRF output, or what a system's key store holds.

use alloc::vec::Vec;
use core::fmt;

use deedbox_cbor::{ItemBuf, Writer};
use deedbox_crypto::{label, secret::SecretBytes};
use deedbox_model::StoreId;
use rand_core::CryptoRng;

use crate::UnlockError;

/// Thirty-two secret bytes that something else keeps: the output of a WebAuthn credential's PRF (WebAuthn Level 3,
/// §10.1.4) for [`OutsideSecret::prf_input`], or random bytes in a key store. They must be as hard to guess as random ones.
///
/// ```compile_fail
/// fn copy(secret: &deedbox_record::OutsideSecret) -> deedbox_record::OutsideSecret { secret.clone() }
/// ```
pub struct OutsideSecret(SecretBytes<32>);

impl OutsideSecret {
    /// Draws new bytes, for a key store to keep.
    #[must_use]
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self(SecretBytes::generate(rng))
    }

    /// Takes what the key store kept, or the PRF's first result.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(SecretBytes::from_bytes(bytes))
    }

    /// What to evaluate a credential's PRF at (`eval.first`): another value for each store, so that one credential may
    /// open several.
    #[must_use]
    pub fn prf_input(store: &StoreId) -> Vec<u8> {
        [label::SLOT_PRF.as_bytes(), store.as_bytes()].concat()
    }

    /// The bytes, for a key store to keep.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }
}

impl fmt::Debug for OutsideSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutsideSecret").finish_non_exhaustive()
    }
}

/// Writes the parameters.
///
/// ```cddl
/// params = { ? 1: credential: bstr .size (1..1023) }
/// ```
pub(crate) fn write_params(credential: Option<&[u8]>, writer: &mut Writer) -> Result<(), UnlockError> {
    if credential.is_some_and(|id| !is_credential(id)) {
        return Err(UnlockError::Limit);
    }
    writer.map(|map| {
        if let Some(id) = credential {
            map.int(1, |w| {
                w.bytes(id);
            });
        }
    });
    Ok(())
}

/// Reads the parameters: the credential, if one is named.
pub(crate) fn read_params(params: &ItemBuf) -> Option<Option<&[u8]>> {
    let mut fields = params.as_item().as_map()?.fields();
    let credential = match fields.optional(1)? {
        Some(id) => Some(id.as_bytes().filter(|id| is_credential(id))?),
        None => None,
    };
    fields.finish()?;
    Some(credential)
}

/// A credential's id has at most 1,023 bytes (WebAuthn Level 3, §4).
const fn is_credential(id: &[u8]) -> bool {
    !id.is_empty() && id.len() <= 1_023
}
