use core::fmt;

use deedbox_cbor::{Item, Writer};

use crate::id::{parse_hex, write_hex};

/// Thirty-two bytes that name other bytes: a SHA-256 that somebody else computed.
///
/// CBOR: a byte string of 32. Equality is not of constant time; a digest is public.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Bytes in a digest.
    pub const LENGTH: usize = 32;

    /// Takes the bytes as they are.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads exactly 64 lower-case hex digits.
    #[must_use]
    pub fn parse_hex(text: &str) -> Option<Self> {
        parse_hex(text).map(Self)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads a byte string of exactly 32 bytes.
    #[must_use]
    pub fn decode(item: Item<'_>) -> Option<Self> {
        item.as_byte_array().map(Self)
    }

    /// Writes a byte string.
    pub fn encode(&self, writer: &mut Writer) {
        writer.bytes(&self.0);
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use deedbox_cbor::{Limits, Order};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn round_trip(bytes: [u8; 32]) {
            let digest = Digest::from_bytes(bytes);
            prop_assert_eq!(Digest::parse_hex(&digest.to_string()), Some(digest));
            let mut writer = Writer::new();
            digest.encode(&mut writer);
            let item = deedbox_cbor::read(writer.as_slice(), Order::Canonical, &Limits::new(64)).unwrap();
            prop_assert_eq!(Digest::decode(item), Some(digest));
        }
    }

    #[test]
    fn an_id_is_no_digest() {
        let mut writer = Writer::new();
        writer.bytes(&[0; 16]);
        let item = deedbox_cbor::read(writer.as_slice(), Order::Canonical, &Limits::new(64)).unwrap();
        assert_eq!(Digest::decode(item), None);
    }
}
