//! Keys: the public ones others hand over, the secret one for what is sealed to us, and what names a key.

mod public;
#[cfg(feature = "seal")]
mod recipient;
#[cfg(feature = "seal")]
mod secret;
mod thumbprint;

pub use public::VerifyKey;
#[cfg(feature = "seal")]
pub use recipient::RecipientKey;
#[cfg(feature = "seal")]
pub use secret::RecipientSecret;
pub use thumbprint::Thumbprint;

use deedbox_cbor::{Item, Kind, Limits, Map, Order, read};

use crate::KeyError;

/// Reads a COSE_Key: a map of labels, of at most 4,096 bytes.
fn read_key(bytes: &[u8]) -> Result<Item<'_>, KeyError> {
    read(bytes, Order::Any, &Limits::new(MAX_KEY)).map_err(KeyError::Cbor)
}

/// The map of a key and its type, labels checked.
fn typed(item: Item<'_>) -> Result<(Map<'_>, i64), KeyError> {
    let map = item.as_map().ok_or(KeyError::Shape)?;
    if map.iter().any(|(label, _)| !matches!(label.kind(), Kind::Uint | Kind::Nint | Kind::Text)) {
        return Err(KeyError::Shape);
    }
    let kty = map.get_int(KTY).ok_or(KeyError::Shape)?;
    Ok((map, kty.as_i64().ok_or(KeyError::Kty)?))
}

/// No private part, and a kid that is one. Which label is private depends on the key's type.
fn public_only(map: Map<'_>, private: i64) -> Result<(), KeyError> {
    if map.get_int(private).is_some() {
        return Err(KeyError::Private);
    }
    if map.get_int(KID).is_some_and(|kid| kid.as_bytes().is_none()) { Err(KeyError::Shape) } else { Ok(()) }
}

const KTY: i64 = 1;
const KID: i64 = 2;
const ALG: i64 = 3;
const KEY_OPS: i64 = 4;
const MAX_KEY: usize = 4_096;
