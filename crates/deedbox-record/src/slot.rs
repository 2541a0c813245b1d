//! Slots: ways to open a store. Each wraps the root secret under a key of its own.

pub(crate) mod passphrase;
pub(crate) mod phrase;
pub(crate) mod prf;
pub(crate) mod recipient;
pub(crate) mod shamir;

use core::fmt;

use deedbox_cbor::{Item, ItemBuf, Writer};
use deedbox_cose::{RecipientKey, RecipientSecret, Thumbprint};
use deedbox_crypto::{kdf, label, secret::SecretBytes};
use deedbox_model::{Epoch, SlotId, StoreId};
use rand_core::CryptoRng;

use crate::{
    AccountSecret, Kind, ObjectKey, OutsideSecret, PassphraseCost, RecoveryPhrase, Root, Threshold, ThresholdSecret,
    UnlockError,
    address::Place,
    container::{open_at, seal_at},
};

/// What opens a slot; its number in the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the format has these six")]
pub enum SlotType {
    /// 1: a passphrase together with the account secret; the default.
    Passphrase,
    /// 2: a passphrase alone, which the host can guess at for as long as it likes.
    PassphraseOnly,
    /// 3: 32 bytes from elsewhere, such as a security key.
    Outside,
    /// 4: a recovery phrase of 24 words.
    Phrase,
    /// 5: a device's or a trusted contact's key.
    Recipient,
    /// 6: several shares together.
    Threshold,
}

impl SlotType {
    /// The type of number `number`, 1 to 6.
    #[must_use]
    pub const fn from_number(number: u64) -> Option<Self> {
        match number {
            1 => Some(Self::Passphrase),
            2 => Some(Self::PassphraseOnly),
            3 => Some(Self::Outside),
            4 => Some(Self::Phrase),
            5 => Some(Self::Recipient),
            6 => Some(Self::Threshold),
            _ => None,
        }
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Passphrase => 1,
            Self::PassphraseOnly => 2,
            Self::Outside => 3,
            Self::Phrase => 4,
            Self::Recipient => 5,
            Self::Threshold => 6,
        }
    }
}

/// The secret that one attempt to unlock uses. One variant per type of slot.
#[derive(Debug)]
#[non_exhaustive]
pub enum Unlock<'a> {
    /// Type 1. The passphrase is NFC-normalised by the caller.
    Passphrase {
        /// What the person knows.
        passphrase: &'a Passphrase<'a>,
        /// What the person's devices hold.
        account_secret: &'a AccountSecret,
    },
    /// Type 2. The passphrase is NFC-normalised by the caller.
    PassphraseOnly(&'a Passphrase<'a>),
    /// Type 3; [`Slot::credential_id`] tells which credential gives it.
    Outside(&'a OutsideSecret),
    /// Type 4.
    Phrase(&'a RecoveryPhrase),
    /// Type 5; [`Slot::recipient`] tells whose key it is for.
    Recipient(&'a RecipientSecret),
    /// Type 6, joined of shares; [`Slot::threshold`] tells how many and of which set.
    Threshold(&'a ThresholdSecret),
}

/// A passphrase as UTF-8, NFC-normalised by the caller; its Debug prints nothing.
#[derive(Clone, Copy)]
pub struct Passphrase<'a>(&'a str);

impl<'a> Passphrase<'a> {
    /// Takes the text as it is.
    #[must_use]
    pub const fn new(text: &'a str) -> Self {
        Self(text)
    }

    pub(crate) const fn bytes(&self) -> &'a [u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Passphrase<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passphrase").finish_non_exhaustive()
    }
}

/// A slot to be made.
#[derive(Debug)]
#[non_exhaustive]
pub enum NewSlot<'a> {
    /// Type 1; see [`Unlock::Passphrase`].
    Passphrase {
        /// What the person knows.
        passphrase: &'a Passphrase<'a>,
        /// What the person's devices hold.
        account_secret: &'a AccountSecret,
        /// What one guess costs.
        cost: PassphraseCost,
    },
    /// Type 2; an explicit choice: everything hangs on the passphrase alone.
    PassphraseOnly {
        /// What the person knows.
        passphrase: &'a Passphrase<'a>,
        /// What one guess costs.
        cost: PassphraseCost,
    },
    /// Type 3.
    Outside {
        /// What something else keeps.
        secret: &'a OutsideSecret,
        /// The WebAuthn credential to ask for it, 1 to 1,023 bytes. The host reads it.
        credential_id: Option<&'a [u8]>,
    },
    /// Type 4.
    Phrase(&'a RecoveryPhrase),
    /// Type 5: whoever holds this key's secret opens the store alone. The host reads the key: use one that is known
    /// nowhere else.
    Recipient(&'a RecipientKey),
    /// Type 6, as it was split.
    Threshold(&'a ThresholdSecret),
}

/// A slot of a store header.
///
/// ```cddl
/// slot = [type: 1..6, id: b16, params: {* uint => any}, wrapped: bstr .size 112]
/// ```
/// Parameters are kept as they are and read when the slot is opened. Until then they are the host's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    kind: SlotType,
    id: SlotId,
    params: ItemBuf,
    wrapped: [u8; WRAPPED],
}

impl Slot {
    /// Its type.
    #[must_use]
    pub const fn slot_type(&self) -> SlotType {
        self.kind
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> &SlotId {
        &self.id
    }

    /// Of type 3: the WebAuthn credential that gives the secret, if the slot names one.
    #[must_use]
    pub fn credential_id(&self) -> Option<&[u8]> {
        self.params_of(SlotType::Outside).and_then(prf::read_params)?
    }

    /// Of type 5: the name of the key that opens it.
    #[must_use]
    pub fn recipient(&self) -> Option<Thumbprint> {
        let params = self.params_of(SlotType::Recipient).and_then(recipient::Params::read);
        params.map(|params| params.key().thumbprint())
    }

    /// Of type 6: how many of how many shares open it, and of which set.
    #[must_use]
    pub fn threshold(&self) -> Option<Threshold> {
        self.params_of(SlotType::Threshold).and_then(Threshold::read_params)
    }

    /// Of type 5: the key that opens it, to make the slot again for another root.
    pub(crate) fn recipient_key(&self) -> Option<RecipientKey> {
        let params = self.params_of(SlotType::Recipient).and_then(recipient::Params::read);
        params.map(|params| params.key().clone())
    }

    fn params_of(&self, kind: SlotType) -> Option<&ItemBuf> {
        (self.kind == kind).then_some(&self.params)
    }

    pub(crate) fn from_item(item: Item<'_>) -> Option<Self> {
        let [kind, id, params, wrapped] = item.as_array()?.exactly()?;
        let kind = SlotType::from_number(kind.as_u64()?)?;
        if params.as_map()?.iter().any(|(key, _)| key.as_u64().is_none()) {
            return None;
        }
        Some(Self {
            kind,
            id: SlotId::decode(id)?,
            params: ItemBuf::from_item(params).ok()?,
            wrapped: wrapped.as_byte_array()?,
        })
    }

    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer.array(4).uint(self.kind.number().into()).bytes(self.id.as_bytes());
        writer.item(self.params.as_item()).bytes(&self.wrapped);
    }

    /// Makes slot `id` around `root`.
    pub(crate) fn make(
        id: SlotId,
        new: &NewSlot<'_>,
        root: &Root,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, UnlockError> {
        let mut params = Writer::new();
        let (kind, secret) = match new {
            NewSlot::Passphrase { passphrase, account_secret, cost } => {
                let salt = passphrase::write_params(*cost, &mut params, rng);
                let hash = passphrase::stretch(passphrase, &salt, *cost, SlotType::Passphrase)?;
                (SlotType::Passphrase, kdf::extract(hash.expose(), account_secret.expose()))
            }
            NewSlot::PassphraseOnly { passphrase, cost } => {
                let salt = passphrase::write_params(*cost, &mut params, rng);
                let hash = passphrase::stretch(passphrase, &salt, *cost, SlotType::PassphraseOnly)?;
                (SlotType::PassphraseOnly, kdf::extract(&NO_SALT, hash.expose()))
            }
            NewSlot::Outside { secret, credential_id } => {
                prf::write_params(*credential_id, &mut params)?;
                (SlotType::Outside, kdf::extract(&NO_SALT, secret.expose()))
            }
            NewSlot::Phrase(phrase) => {
                params.map(|_| ());
                (SlotType::Phrase, kdf::extract(&NO_SALT, phrase.entropy()))
            }
            NewSlot::Recipient(key) => {
                let ikm = SecretBytes::generate(rng);
                let info = recipient::info(root.store(), &id, root.epoch());
                recipient::write_params(key, &ikm, &info, &mut params, rng)?;
                (SlotType::Recipient, kdf::extract(&NO_SALT, ikm.expose()))
            }
            NewSlot::Threshold(secret) => {
                secret.threshold().write_params(&mut params);
                (SlotType::Threshold, kdf::extract(&NO_SALT, secret.expose()))
            }
        };
        let kek = kek(&secret, kind, root.store(), &id, root.epoch());
        let mut wrapped = alloc::vec::Vec::with_capacity(WRAPPED);
        let place = Place::slot(root.store(), id.as_bytes());
        seal_at(&kek, &place, Kind::Slot, root.secret().expose(), rng, &mut wrapped).map_err(|_| UnlockError::Limit)?;
        let params = deedbox_cbor::read(params.as_slice(), deedbox_cbor::Order::Canonical, &PARAMS)
            .and_then(ItemBuf::from_item)
            .map_err(|_| UnlockError::Malformed)?;
        Ok(Self { kind, id, params, wrapped: wrapped.as_slice().try_into().map_err(|_| UnlockError::Malformed)? })
    }

    /// Opens the slot: one attempt, one key derivation.
    pub(crate) fn open(&self, with: &Unlock<'_>, store: &StoreId, epoch: Epoch) -> Result<Root, UnlockError> {
        let mut known = true;
        let secret = match (self.kind, with) {
            (SlotType::Passphrase, Unlock::Passphrase { passphrase, account_secret }) => {
                let (cost, salt) = passphrase::read_params(&self.params).ok_or(UnlockError::Malformed)?;
                let hash = passphrase::stretch(passphrase, &salt, cost, self.kind)?;
                kdf::extract(hash.expose(), account_secret.expose())
            }
            (SlotType::PassphraseOnly, Unlock::PassphraseOnly(passphrase)) => {
                let (cost, salt) = passphrase::read_params(&self.params).ok_or(UnlockError::Malformed)?;
                let hash = passphrase::stretch(passphrase, &salt, cost, self.kind)?;
                kdf::extract(&NO_SALT, hash.expose())
            }
            (SlotType::Outside, Unlock::Outside(secret)) => {
                prf::read_params(&self.params).ok_or(UnlockError::Malformed)?;
                kdf::extract(&NO_SALT, secret.expose())
            }
            (SlotType::Phrase, Unlock::Phrase(phrase)) => {
                if self.params.as_item().as_map().is_none_or(|map| !map.is_empty()) {
                    return Err(UnlockError::Malformed);
                }
                kdf::extract(&NO_SALT, phrase.entropy())
            }
            (SlotType::Recipient, Unlock::Recipient(key)) => {
                let params = recipient::Params::read(&self.params).ok_or(UnlockError::Malformed)?;
                let ikm = params.open(key, &recipient::info(store, &self.id, epoch));
                known = ikm.is_some();
                // Another's key goes the same way to the same end as any wrong secret.
                let ikm = ikm.unwrap_or_else(|| SecretBytes::from_bytes([0; 32]));
                kdf::extract(&NO_SALT, ikm.expose())
            }
            (SlotType::Threshold, Unlock::Threshold(secret)) => {
                Threshold::read_params(&self.params).ok_or(UnlockError::Malformed)?;
                kdf::extract(&NO_SALT, secret.expose())
            }
            _ => return Err(UnlockError::WrongMethod),
        };
        let kek = kek(&secret, self.kind, store, &self.id, epoch);
        let opened = open_at(&kek, &Place::slot(store, self.id.as_bytes()), Kind::Slot, &self.wrapped);
        let opened = opened.ok().filter(|_| known).ok_or(UnlockError::Rejected)?;
        let secret = SecretBytes::try_from_slice(opened.payload()).ok_or(UnlockError::Rejected)?;
        Ok(Root::of(secret, *store, epoch))
    }
}

/// The key that wraps the root secret, from an extracted secret.
pub(crate) fn kek(secret: &SecretBytes<32>, kind: SlotType, store: &StoreId, id: &SlotId, epoch: Epoch) -> ObjectKey {
    let number = epoch.get().to_be_bytes();
    let rest: [&[u8]; 4] = [&[kind.number()], store.as_bytes(), id.as_bytes(), &number];
    ObjectKey::of(kdf::derive(secret, label::SLOT_KEK, &rest), epoch.get())
}

/// The length of a wrapped root secret: a container of 32 bytes.
pub(crate) const WRAPPED: usize = 112;
/// The salt of types that have none.
const NO_SALT: [u8; 32] = [0; 32];
const PARAMS: deedbox_cbor::Limits = deedbox_cbor::Limits::new(4_096);

#[cfg(test)]
mod tests;
