use core::fmt;

use deedbox_cbor::{Item, Writer};
use rand_core::CryptoRng;

/// Defines 16-byte identifiers, each a type of its own so that none passes for another.
macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        ///
        /// CBOR: a byte string of 16. [`Display`](fmt::Display) is 32 lower-case hex digits.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// Bytes in an id.
            pub const LENGTH: usize = 16;

            /// Takes the bytes as they are.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// Draws a fresh id.
            #[must_use]
            pub fn generate(rng: &mut impl CryptoRng) -> Self {
                let mut bytes = [0; 16];
                rng.fill_bytes(&mut bytes);
                Self(bytes)
            }

            /// Reads exactly 32 lower-case hex digits.
            #[must_use]
            pub fn parse_hex(text: &str) -> Option<Self> {
                parse_hex(text).map(Self)
            }

            /// The bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// Reads a byte string of exactly 16 bytes.
            #[must_use]
            pub fn decode(item: Item<'_>) -> Option<Self> {
                item.as_byte_array().map(Self)
            }

            /// Writes a byte string.
            pub fn encode(&self, writer: &mut Writer) {
                writer.bytes(&self.0);
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(f, &self.0)
            }
        }

        #[cfg(feature = "serde")]
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        #[cfg(feature = "serde")]
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = alloc::string::String::deserialize(deserializer)?;
                Self::parse_hex(&text).ok_or_else(|| serde::de::Error::custom("not 32 lower-case hex digits"))
            }
        }
    )+};
}

ids! {
    /// Names a blob: a large value that lies beside its record.
    BlobId,
    /// Names a right to do something at a host.
    CapabilityId,
    /// Names a connection between a person and a provider.
    ConnectionId,
    /// Names a dataset: the unit that is shared and erased as one.
    DatasetId,
    /// Names a grant over its whole life: after a rotation those who stay get the new keys under the same id.
    GrantId,
    /// Names a mailbox at a host.
    MailboxId,
    /// Names an object inside a dataset.
    ObjectId,
    /// Names a slot of a store header: one way to unlock it.
    SlotId,
    /// Names a store by its true id, which only the person and the host know.
    StoreId,
    /// Names a store as others are told: the true id or an alias; a host resolves both.
    StoreName,
}

impl DatasetId {
    /// The dataset of the store's own objects.
    pub const META: Self = Self([0; 16]);
}

impl ObjectId {
    /// The keyring, in the dataset [`DatasetId::META`].
    pub const KEYRING: Self = Self([0; 16]);
}

impl MailboxId {
    /// The mailbox a host leaves its own notices in.
    pub const NOTICES: Self = Self([0; 16]);
}

impl From<StoreId> for StoreName {
    fn from(id: StoreId) -> Self {
        Self(id.0)
    }
}

/// Writes `bytes` as lower-case hex.
pub(crate) fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// Reads exactly `N` bytes of lower-case hex.
pub(crate) fn parse_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = (digit(*high)? << 4) | digit(*low)?;
    }
    Some(bytes)
}

fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::ToString};

    use deedbox_cbor::{Limits, Order};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn constants_are_all_zero() {
        assert_eq!(DatasetId::META.as_bytes(), &[0; 16]);
        assert_eq!(ObjectId::KEYRING.as_bytes(), &[0; 16]);
        assert_eq!(MailboxId::NOTICES.as_bytes(), &[0; 16]);
    }

    #[test]
    fn debug_names_the_type() {
        assert_eq!(format!("{:?}", BlobId::from_bytes([0xab; 16])), "BlobId(abababababababababababababababab)");
    }

    #[test]
    fn generated_ids_differ() {
        let mut rng = deedbox_testkit::rng::SeededRng::new(1);
        assert_ne!(ObjectId::generate(&mut rng), ObjectId::generate(&mut rng));
    }

    #[test]
    fn other_lengths_and_digits_are_refused() {
        let text = "00112233445566778899aabbccddeeff";
        assert!(StoreId::parse_hex(text).is_some());
        for end in 0..text.len() {
            assert_eq!(StoreId::parse_hex(text.get(..end).unwrap()), None);
        }
        assert_eq!(StoreId::parse_hex(&format!("{text}0")), None);
        assert_eq!(StoreId::parse_hex(&text.to_uppercase()), None);
        for length in (0..=200).filter(|length| *length != 16) {
            let mut writer = Writer::new();
            writer.bytes(&alloc::vec![7; length]);
            let item = deedbox_cbor::read(writer.as_slice(), Order::Canonical, &Limits::new(1024)).unwrap();
            assert_eq!(StoreId::decode(item), None);
        }
    }

    proptest! {
        #[test]
        fn round_trip(bytes: [u8; 16]) {
            let id = ObjectId::from_bytes(bytes);
            prop_assert_eq!(ObjectId::parse_hex(&id.to_string()), Some(id));
            let mut writer = Writer::new();
            id.encode(&mut writer);
            let item = deedbox_cbor::read(writer.as_slice(), Order::Canonical, &Limits::new(64)).unwrap();
            prop_assert_eq!(ObjectId::decode(item), Some(id));
        }

        #[test]
        fn parsing_never_panics(text: alloc::string::String) {
            let _ = ObjectId::parse_hex(&text);
        }
    }
}
