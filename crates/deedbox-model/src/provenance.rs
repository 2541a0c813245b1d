use alloc::{boxed::Box, vec::Vec};
use core::fmt;

use deedbox_cbor::{Item, Writer};

use crate::{Assurance, Timestamp};

/// Where a value came from, how sure that is, and since when it is known.
///
/// ```cddl
/// provenance = { 1: source: bstr, 2: assurance: uint, 3: observed: uint, ? 4: signed: bstr }
/// ```
///
/// `source` names whoever's word it is: a key's thumbprint for what an issuer signed, or the person's own name for an
/// import. `signed` is the issuer's document as it was received, kept verbatim.
#[derive(Clone, PartialEq, Eq)]
pub struct Provenance {
    source: Box<[u8]>,
    assurance: Assurance,
    observed: Timestamp,
    signed: Option<Box<[u8]>>,
}

impl Provenance {
    /// The word of `source`, seen at `observed`; nothing signed.
    #[must_use]
    pub fn new(source: impl Into<Vec<u8>>, assurance: Assurance, observed: Timestamp) -> Self {
        Self { source: source.into().into_boxed_slice(), assurance, observed, signed: None }
    }

    /// The same with the document that proves it, verbatim.
    #[must_use]
    pub fn with_signed(mut self, signed: impl Into<Vec<u8>>) -> Self {
        self.signed = Some(signed.into().into_boxed_slice());
        self
    }

    /// Whose word it is.
    #[must_use]
    pub fn source(&self) -> &[u8] {
        &self.source
    }

    /// How well it is known.
    #[must_use]
    pub const fn assurance(&self) -> Assurance {
        self.assurance
    }

    /// When the agent learned it.
    #[must_use]
    pub const fn observed(&self) -> Timestamp {
        self.observed
    }

    /// The issuer's document.
    #[must_use]
    pub fn signed(&self) -> Option<&[u8]> {
        self.signed.as_deref()
    }

    /// Reads the map; unknown keys are refused.
    #[must_use]
    pub fn decode(item: Item<'_>) -> Option<Self> {
        let mut fields = item.as_map()?.fields();
        let source = fields.required(1)?.as_bytes()?.into();
        let assurance = Assurance::decode(fields.required(2)?)?;
        let observed = Timestamp::decode(fields.required(3)?)?;
        let signed = match fields.optional(4)? {
            Some(signed) => Some(signed.as_bytes()?.into()),
            None => None,
        };
        fields.finish()?;
        Some(Self { source, assurance, observed, signed })
    }

    /// Writes the map.
    pub fn encode(&self, writer: &mut Writer) {
        writer.map(|map| {
            map.int(1, |writer| {
                writer.bytes(&self.source);
            });
            map.int(2, |writer| self.assurance.encode(writer));
            map.int(3, |writer| self.observed.encode(writer));
            if let Some(signed) = &self.signed {
                map.int(4, |writer| {
                    writer.bytes(signed);
                });
            }
        });
    }
}

/// Prints no source and no signed content: both may tell who somebody is.
impl fmt::Debug for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provenance")
            .field("assurance", &self.assurance)
            .field("observed", &self.observed)
            .field("signed_len", &self.signed.as_ref().map(|signed| signed.len()))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use deedbox_cbor::{Limits, Order};
    use proptest::prelude::*;

    use super::*;

    fn bytes(provenance: &Provenance) -> Vec<u8> {
        let mut writer = Writer::new();
        provenance.encode(&mut writer);
        writer.into_vec()
    }

    fn decode(bytes: &[u8]) -> Option<Provenance> {
        Provenance::decode(deedbox_cbor::read(bytes, Order::Canonical, &Limits::new(4096)).ok()?)
    }

    #[test]
    fn hex() {
        // {1: h'61', 2: 3, 3: 5, 4: h'd2'}
        let provenance = Provenance::new(*b"a", Assurance::Substantial, Timestamp::from_secs(5)).with_signed([0xd2]);
        assert_eq!(bytes(&provenance), [0xa4, 1, 0x41, 0x61, 2, 3, 3, 5, 4, 0x41, 0xd2]);
    }

    #[test]
    fn debug_shows_no_content() {
        let provenance = Provenance::new(*b"ada", Assurance::High, Timestamp::from_secs(5)).with_signed(*b"secret");
        assert_eq!(
            format!("{provenance:?}"),
            "Provenance { assurance: High, observed: Timestamp(5), signed_len: Some(6), .. }"
        );
    }

    #[test]
    fn other_maps_are_refused() {
        let good = [0xa4, 1, 0x41, 0x61, 2, 3, 3, 5, 4, 0x41, 0xd2];
        assert!(decode(&good).is_some());
        assert_eq!(decode(&[0xa3, 1, 0x41, 0x61, 2, 5, 3, 5]), None, "assurance above 4");
        assert_eq!(decode(&[0xa2, 1, 0x41, 0x61, 2, 3]), None, "nothing observed");
        assert_eq!(decode(&[0xa4, 1, 0x41, 0x61, 2, 3, 3, 5, 5, 0x41, 0xd2]), None, "unknown key");
        assert_eq!(decode(&[0xa4, 0, 0, 1, 0x41, 0x61, 2, 3, 3, 5]), None, "unknown key first");
        assert_eq!(decode(&[0xa3, 1, 0x61, 0x61, 2, 3, 3, 5]), None, "source is text");
    }

    proptest! {
        #[test]
        fn round_trip(source: Vec<u8>, level in 0u8..5, observed: u64, signed: Option<Vec<u8>>) {
            let mut provenance =
                Provenance::new(source, Assurance::from_level(level).unwrap(), Timestamp::from_secs(observed));
            if let Some(signed) = signed {
                provenance = provenance.with_signed(signed);
            }
            prop_assert_eq!(decode(&bytes(&provenance)), Some(provenance));
        }
    }
}
