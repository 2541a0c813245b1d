//! What a host reads of heads and headers: their structure, never their signatures or what they protect.

use deedbox_cbor::{Limits, Order, read};
use deedbox_cose::sign1;
use deedbox_model::{DatasetId, Seq, StoreId, StoreName};

use crate::error::HostError;

/// Most bytes of a head.
pub(crate) const MAX_HEAD: usize = 1_024;

/// What a head says of its place.
///
/// ```cddl
/// head-claims = { 1: store: b16, 2: dataset: b16, 3: seq: uint, 4: prev: b32 / null, 5: root: b32, 6: count: uint,
///                 7: epoch: u32, 8: dk-commit: b32, 9: time: uint, 10: min-suite: uint }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeadPlace {
    pub(crate) store: StoreName,
    pub(crate) dataset: DatasetId,
    pub(crate) seq: Seq,
    pub(crate) prev: Option<[u8; 32]>,
}

impl HeadPlace {
    pub(crate) fn parse(head: &[u8]) -> Option<Self> {
        if head.len() > MAX_HEAD {
            return None;
        }
        let document = sign1::Document::parse(head).ok()?;
        let claims = document.peek().payload();
        let mut fields = read(claims, Order::Canonical, &Limits::new(MAX_HEAD)).ok()?.as_map()?.fields();
        let store = StoreName::decode(fields.required(1)?)?;
        let dataset = DatasetId::decode(fields.required(2)?)?;
        let seq = Seq::decode(fields.required(3)?)?;
        let prev = fields.required(4)?;
        let prev = if prev.is_null() { None } else { Some(prev.as_byte_array()?) };
        fields.required(5)?.as_byte_array::<32>()?;
        fields.required(6)?.as_u64()?;
        fields.required(7)?.as_u32()?;
        fields.required(8)?.as_byte_array::<32>()?;
        fields.required(9)?.as_u64()?;
        fields.required(10)?.as_u64()?;
        fields.finish()?;
        Some(Self { store, dataset, seq, prev })
    }
}

/// The version of a store header, if it is this store's.
///
/// ```cddl
/// store-header = ["deedbox-store", 1, store: b16, root-epoch: u32, header-version: uint, slots: [1*64 slot],
///                 ? successions: [1*64 bstr], mac: b32]
/// ```
pub(crate) fn check_header(header: &[u8], s: StoreId) -> Result<u64, HostError> {
    let parse = || {
        let item = read(header, Order::Canonical, &Limits::new(header.len())).ok()?;
        let array = item.as_array()?;
        let (known, mac) = match (array.exactly(), array.exactly()) {
            (Some([kind, format, store, epoch, version, slots, mac]), _) => {
                ([kind, format, store, epoch, version, slots], mac)
            }
            (_, Some([kind, format, store, epoch, version, slots, steps, mac])) => {
                let count = steps.as_array()?.len();
                (1..=64).contains(&count).then_some(([kind, format, store, epoch, version, slots], mac))?
            }
            _ => return None,
        };
        let [kind, format, store, epoch, version, slots] = known;
        let slots = slots.as_array()?.len();
        let known = kind.as_str()? == "deedbox-store" && format.as_u64()? == 1 && (1..=64).contains(&slots);
        epoch.as_u32()?;
        mac.as_byte_array::<32>()?;
        known.then_some((StoreId::decode(store)?, version.as_u64()?))
    };
    let (store, version) = parse().ok_or(HostError::Malformed)?;
    if store == s { Ok(version) } else { Err(HostError::HeadMismatch) }
}
