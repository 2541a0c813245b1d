//! What a device remembers of a box.

use std::collections::BTreeMap;

use deedbox_cbor::{Item, Limits, Order, Writer, read};
use deedbox_model::{DatasetId, Digest, Epoch, Seq};
use deedbox_record::{OwnerKey, Pin};

/// What a device remembers of a box between two sessions, so that an older state is noticed: not secret, and worth keeping
/// where the host can't write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pins {
    pub(super) header: u64,
    pub(super) owner: Option<OwnerKey>,
    pub(super) heads: BTreeMap<DatasetId, Pin>,
    /// Whether the box was no old copy when these were taken, as far as numbers that must not be used twice go.
    pub(super) newest: bool,
}

impl Pins {
    /// What a device that opens the box for the first time gets from another of the person's, by a code that it shows, say: whose
    /// box it is. Without it a device that opens by its own key can't tell the person's box from one that the host made up.
    #[must_use]
    pub const fn of_owner(owner: OwnerKey) -> Self {
        Self { header: 0, owner: Some(owner), heads: BTreeMap::new(), newest: false }
    }

    /// The owner's key, for another device of the person's.
    #[must_use]
    pub const fn owner(&self) -> Option<&OwnerKey> {
        self.owner.as_ref()
    }

    /// Deterministic CBOR, for the device to keep.
    ///
    /// ```cddl
    /// pins = [1, header-version: uint, owner: [root-epoch: u32, key: b32] / null, [* [dataset: b16, seq: uint, head: b32]],
    ///         newest: bool]
    /// ```
    /// Datasets ascend by id, each once. Not `newest` are the pins of a box that was itself opened without any, as long as it has
    /// connections that were not written since: it may be an old copy, so they go on as another device.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.array(5).uint(1).uint(self.header);
        match &self.owner {
            Some(owner) => {
                owner.epoch().encode(writer.array(2));
                writer.bytes(owner.as_bytes());
            }
            None => {
                writer.null();
            }
        }
        writer.array(self.heads.len());
        for (dataset, pin) in &self.heads {
            dataset.encode(writer.array(3));
            pin.seq().encode(&mut writer);
            pin.hash().encode(&mut writer);
        }
        writer.bool(self.newest);
        writer.into_vec()
    }

    /// Reads what [`Pins::to_bytes`] wrote, at most 512 KiB; `None` for anything else.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let item = read(bytes, Order::Canonical, &Limits::new(512 << 10)).ok()?;
        let [format, header, owner, heads, newest] = item.as_array()?.exactly()?;
        if format.as_u64() != Some(1) {
            return None;
        }
        let owner = if owner.is_null() {
            None
        } else {
            let [epoch, key] = owner.as_array()?.exactly()?;
            Some(OwnerKey::new(Epoch::decode(epoch)?, key.as_byte_array()?))
        };
        let head = |item: Item<'_>| {
            let [dataset, seq, hash] = item.as_array()?.exactly()?;
            Some((DatasetId::decode(dataset)?, Pin::new(Seq::decode(seq)?, Digest::decode(hash)?)))
        };
        let heads = heads.as_array()?.iter().map(head).collect::<Option<Vec<_>>>()?;
        let in_order = heads.is_sorted_by(|(one, _), (next, _)| one < next);
        let (header, newest) = (header.as_u64()?, newest.as_bool()?);
        in_order.then(|| Self { header, owner, heads: heads.into_iter().collect(), newest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_kept_as_they_are_and_nothing_else_is_read() {
        let id = |n| DatasetId::from_bytes([n; 16]);
        let pin = |n| Pin::new(Seq::new(n).unwrap(), Digest::from_bytes([7; 32]));
        let heads = [(id(1), pin(3)), (id(2), pin(9))];
        let owner = OwnerKey::new(Epoch::FIRST, [5; 32]);
        let all = Pins { header: 4, owner: Some(owner), heads: heads.into(), newest: true };
        for pins in [Pins::default(), Pins::of_owner(owner), all.clone()] {
            let bytes = pins.to_bytes();
            assert_eq!(Pins::parse(&bytes), Some(pins));
            for len in 0..bytes.len() {
                assert_eq!(Pins::parse(&bytes[..len]), None);
            }
            assert_eq!(Pins::parse(&[bytes.as_slice(), &[0]].concat()), None);
            // What is read at all is written the same again.
            for at in 0..bytes.len() {
                for bit in 0..8 {
                    let mut altered = bytes.clone();
                    altered[at] ^= 1 << bit;
                    assert!(Pins::parse(&altered).is_none_or(|read| read.to_bytes() == altered));
                }
            }
        }
        let mut twice = all.to_bytes();
        let at = twice.windows(16).position(|window| window == [2; 16]).unwrap();
        twice[at..at + 16].fill(1);
        assert_eq!(Pins::parse(&twice), None);
    }
}
