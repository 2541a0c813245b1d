//! Slots opened by a key of somebody's: another device of the person's, or a trusted contact.

use alloc::vec::Vec;

use deedbox_cbor::{ItemBuf, Writer};
use deedbox_cose::{RecipientKey, RecipientSecret, Thumbprint};
use deedbox_crypto::{
    kem::{ENC_LEN, PUBLIC_LEN, PublicKey},
    label,
    secret::SecretBytes,
};
use deedbox_model::{Epoch, SlotId, StoreId};
use rand_core::CryptoRng;

use crate::UnlockError;

/// The parameters: what was sealed, and the key it was sealed to, so that the slot can be made again for a new root.
///
/// ```cddl
/// params = { 1: thumbprint: b32, 2: enc: bstr .size 1120, 3: sealed: bstr .size 48, 4: key: bstr .size 1216 }
/// ```
pub(crate) struct Params<'a> {
    key: RecipientKey,
    enc: &'a [u8],
    sealed: &'a [u8],
}

impl<'a> Params<'a> {
    /// Reads the parameters: exactly those four, a sound key, and the thumbprint that is its own.
    pub(crate) fn read(params: &'a ItemBuf) -> Option<Self> {
        let mut fields = params.as_item().as_map()?.fields();
        let thumbprint = Thumbprint::from_bytes(fields.required(1)?.as_byte_array()?);
        let enc = fields.required(2)?.as_bytes().filter(|enc| enc.len() == ENC_LEN)?;
        let sealed = fields.required(3)?.as_bytes().filter(|sealed| sealed.len() == SEALED_LEN)?;
        let key = fields.required(4)?.as_bytes().filter(|key| key.len() == PUBLIC_LEN)?;
        fields.finish()?;
        let key = RecipientKey::from_xwing(PublicKey::from_bytes(key).ok()?);
        (key.thumbprint() == thumbprint).then_some(Self { key, enc, sealed })
    }

    /// The key that the slot is for.
    pub(crate) const fn key(&self) -> &RecipientKey {
        &self.key
    }

    /// Opens what was sealed: HPKE in base mode, no aad.
    pub(crate) fn open(&self, secret: &RecipientSecret, info: &[u8]) -> Option<SecretBytes<32>> {
        let ikm = secret.as_xwing().open(self.enc, info, &[], self.sealed, None).ok()?;
        SecretBytes::try_from_slice(&ikm)
    }
}

/// Seals `ikm` to `key` and writes the parameters.
pub(crate) fn write_params(
    key: &RecipientKey,
    ikm: &SecretBytes<32>,
    info: &[u8],
    writer: &mut Writer,
    rng: &mut impl CryptoRng,
) -> Result<(), UnlockError> {
    let sealed = key.as_xwing().seal(info, &[], ikm.expose(), None, rng);
    let (enc, sealed) = sealed.map_err(|_| UnlockError::Rejected)?;
    let public = key.as_xwing().to_bytes();
    let thumbprint = key.thumbprint();
    writer.map(|map| {
        for (key, value) in [(1, &thumbprint.as_bytes()[..]), (2, &enc), (3, &sealed), (4, &public)] {
            map.int(key, |w| {
                w.bytes(value);
            });
        }
    });
    Ok(())
}

/// HPKE's info: the slot, so that what was sealed for one opens nowhere else.
pub(crate) fn info(store: &StoreId, slot: &SlotId, epoch: Epoch) -> Vec<u8> {
    [label::SLOT_SEAL.as_bytes(), store.as_bytes(), slot.as_bytes(), &epoch.get().to_be_bytes()].concat()
}

/// 32 bytes and a tag.
const SEALED_LEN: usize = 48;
