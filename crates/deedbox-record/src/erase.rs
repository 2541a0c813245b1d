//! Erasure, and what a receipt of it may claim.

use alloc::vec::Vec;

use deedbox_cbor::{Item, Limits, Order, Writer, read};
use deedbox_model::{DatasetId, Epoch, ObjectId, StoreId, Timestamp};

use crate::PayloadError;

/// How thoroughly something was erased. Each level includes the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the format has these three")]
pub enum ErasureLevel {
    /// 1: the ciphertext was deleted at the host.
    Purged,
    /// 2: the dataset has a new key, the old one is on no keyring, and the host share that opens older keyrings was
    /// replaced.
    Rekeyed,
    /// 3: the root secret was replaced.
    NewRoot,
}

impl ErasureLevel {
    /// Its number.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Purged => 1,
            Self::Rekeyed => 2,
            Self::NewRoot => 3,
        }
    }

    const fn from_number(number: u64) -> Option<Self> {
        match number {
            1 => Some(Self::Purged),
            2 => Some(Self::Rekeyed),
            3 => Some(Self::NewRoot),
            _ => None,
        }
    }

    /// What holds from the receipt's time on, in words for the person. It rests on the host having done what it says only
    /// where it says so.
    #[must_use]
    pub const fn guarantee(self) -> &'static str {
        match self {
            Self::Purged => {
                "the host says that its live files hold these objects no more; archives of it may, and open as before"
            }
            Self::Rekeyed => {
                "the keys are destroyed: archives of these objects can't be read, by the person either, once the host's \
                 back-ups of its key share have lapsed"
            }
            Self::NewRoot => {
                "whoever held the former root secret, as on a lost device, opens nothing that is written from here on"
            }
        }
    }
}

/// What no erasure reaches, in words for the person; the same for every level.
pub const OUT_OF_REACH: [&str; 4] = [
    "copies that connections received while they were permitted",
    "export bundles that the person or somebody else keeps",
    "keys and content on devices that were off, until they connect",
    "keys that were granted, for what was sealed before",
];

/// The objects of one dataset that were erased.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErasedDataset {
    /// The dataset.
    pub dataset: DatasetId,
    /// Epochs below this one can't be opened any more. `None` at level 1.
    pub destroyed_below: Option<Epoch>,
    /// The objects.
    pub objects: Vec<ObjectId>,
}

impl ErasedDataset {
    /// Objects of a dataset, whose epochs below that one were destroyed.
    #[must_use]
    pub const fn new(dataset: DatasetId, destroyed_below: Option<Epoch>, objects: Vec<ObjectId>) -> Self {
        Self { dataset, destroyed_below, objects }
    }
}

/// What the host says of its part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostErasure {
    /// Whether the bytes have left its files, rather than its answers only.
    pub physical: bool,
    /// Days that its back-ups of key shares are kept.
    pub share_backup_days: u32,
}

impl HostErasure {
    /// The host's word.
    #[must_use]
    pub const fn new(physical: bool, share_backup_days: u32) -> Self {
        Self { physical, share_backup_days }
    }
}

/// What was erased, how, and so what may be claimed of it.
///
/// ```cddl
/// erasure-receipt = { 1: level: 1..3, 2: store: b16, 3: time: uint, 4: [* [dataset: b16, epoch: u32 / null, [* object: b16]]],
///                     5: keyring-epoch: u32 / null, 6: physical: bool, 7: share-backup-days: u32 }
/// ```
/// Key 5: keyrings of epochs below can't be read any more, once the share's back-ups lapsed. Canonical; at most 1 MiB.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErasureReceipt {
    /// How thoroughly.
    pub level: ErasureLevel,
    /// The store.
    pub store: StoreId,
    /// When.
    pub time: Timestamp,
    /// What.
    pub datasets: Vec<ErasedDataset>,
    /// The keyring epoch in force since; `None` at level 1.
    pub keyring_epoch: Option<Epoch>,
    /// What the host says of its part.
    pub host: HostErasure,
}

impl ErasureReceipt {
    /// A receipt.
    #[must_use]
    pub const fn new(
        level: ErasureLevel,
        store: StoreId,
        time: Timestamp,
        datasets: Vec<ErasedDataset>,
        keyring_epoch: Option<Epoch>,
        host: HostErasure,
    ) -> Self {
        Self { level, store, time, datasets, keyring_epoch, host }
    }

    /// The bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        let epoch = |w: &mut Writer, epoch: Option<Epoch>| match epoch {
            Some(epoch) => epoch.encode(w),
            None => {
                w.null();
            }
        };
        writer.map(|map| {
            map.int(1, |w| {
                w.uint(self.level.number().into());
            });
            map.int(2, |w| self.store.encode(w)).int(3, |w| self.time.encode(w));
            map.int(4, |w| {
                w.array(self.datasets.len());
                for erased in &self.datasets {
                    erased.dataset.encode(w.array(3));
                    epoch(w, erased.destroyed_below);
                    w.array(erased.objects.len());
                    erased.objects.iter().for_each(|object| object.encode(w));
                }
            });
            map.int(5, |w| epoch(w, self.keyring_epoch));
            map.int(6, |w| {
                w.bool(self.host.physical);
            });
            map.int(7, |w| {
                w.uint(self.host.share_backup_days.into());
            });
        });
        writer.into_vec()
    }

    /// Reads a receipt.
    ///
    /// # Errors
    /// [`PayloadError::Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, PayloadError> {
        let item = read(bytes, Order::Canonical, &Limits::new(1 << 20)).ok();
        item.and_then(Self::from_item).ok_or(PayloadError::Malformed)
    }

    fn from_item(item: Item<'_>) -> Option<Self> {
        let epoch = |item: Item<'_>| if item.is_null() { Some(None) } else { Epoch::decode(item).map(Some) };
        let dataset = |item: Item<'_>| {
            let [dataset, below, objects] = item.as_array()?.exactly()?;
            let objects = objects.as_array()?.iter().map(ObjectId::decode).collect::<Option<_>>()?;
            Some(ErasedDataset::new(DatasetId::decode(dataset)?, epoch(below)?, objects))
        };
        let mut fields = item.as_map()?.fields();
        let receipt = Self {
            level: ErasureLevel::from_number(fields.required(1)?.as_u64()?)?,
            store: StoreId::decode(fields.required(2)?)?,
            time: Timestamp::decode(fields.required(3)?)?,
            datasets: fields.required(4)?.as_array()?.iter().map(dataset).collect::<Option<_>>()?,
            keyring_epoch: epoch(fields.required(5)?)?,
            host: HostErasure::new(fields.required(6)?.as_bool()?, fields.required(7)?.as_u32()?),
        };
        fields.finish()?;
        // Level 1 destroys no key; the others do.
        let is_rekeyed = receipt.level != ErasureLevel::Purged;
        let is_sound = receipt.keyring_epoch.is_some() == is_rekeyed
            && receipt.datasets.iter().all(|erased| erased.destroyed_below.is_some() == is_rekeyed);
        is_sound.then_some(receipt)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn receipt() -> impl Strategy<Value = ErasureReceipt> {
        let erased = (any::<[u8; 16]>(), 1_u32.., proptest::collection::vec(any::<[u8; 16]>(), 0..3));
        let level = prop_oneof![Just(ErasureLevel::Purged), Just(ErasureLevel::Rekeyed), Just(ErasureLevel::NewRoot)];
        (
            level,
            any::<[u8; 16]>(),
            0_u64..1 << 40,
            proptest::collection::vec(erased, 0..3),
            1_u32..,
            any::<(bool, u32)>(),
        )
            .prop_map(|(level, store, time, datasets, keyring, (physical, days))| {
                let epoch = |n| Epoch::new(n).filter(|_| level != ErasureLevel::Purged);
                let datasets = datasets.into_iter().map(|(dataset, below, objects)| {
                    let objects = objects.into_iter().map(ObjectId::from_bytes).collect();
                    ErasedDataset::new(DatasetId::from_bytes(dataset), epoch(below), objects)
                });
                ErasureReceipt::new(
                    level,
                    StoreId::from_bytes(store),
                    Timestamp::from_secs(time),
                    datasets.collect(),
                    epoch(keyring),
                    HostErasure::new(physical, days),
                )
            })
    }

    proptest! {
        #[test]
        fn round_trip_and_no_other_bytes(receipt in receipt(), at in 0_usize..200, bit in 0_u8..8) {
            let mut bytes = receipt.to_bytes();
            prop_assert_eq!(ErasureReceipt::parse(&bytes), Ok(receipt));
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            if let Ok(other) = ErasureReceipt::parse(&bytes) {
                prop_assert_eq!(other.to_bytes(), bytes);
            }
        }
    }

    #[test]
    fn a_receipt_claims_no_more_than_its_level() {
        let store = StoreId::from_bytes([1; 16]);
        let (now, host) = (Timestamp::from_secs(1), HostErasure::new(true, 7));
        let erased = |below| [ErasedDataset::new(DatasetId::from_bytes([2; 16]), below, Vec::new())].into();
        let is_read = |level, below, keyring| {
            let receipt = ErasureReceipt::new(level, store, now, erased(below), keyring, host);
            ErasureReceipt::parse(&receipt.to_bytes()).is_ok()
        };
        let two = Epoch::new(2);
        assert!(is_read(ErasureLevel::Purged, None, None) && is_read(ErasureLevel::Rekeyed, two, two));
        assert!(!is_read(ErasureLevel::Purged, two, None) && !is_read(ErasureLevel::Purged, None, two));
        assert!(!is_read(ErasureLevel::Rekeyed, None, two) && !is_read(ErasureLevel::NewRoot, two, None));
    }
}
