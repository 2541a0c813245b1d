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

/// The members that every kind of key has alike: labels, kid, no private part, and what it may be used for.
fn common<'a>(item: Item<'a>, private: i64) -> Result<Map<'a>, KeyError> {
    let map = item.as_map().ok_or(KeyError::Shape)?;
    if map.iter().any(|(label, _)| !matches!(label.kind(), Kind::Uint | Kind::Nint | Kind::Text)) {
        return Err(KeyError::Shape);
    }
    if map.get_int(private).is_some() {
        return Err(KeyError::Private);
    }
    if map.get_int(KID).is_some_and(|kid| kid.as_bytes().is_none()) {
        return Err(KeyError::Shape);
    }
    Ok(map)
}

const KTY: i64 = 1;
const KID: i64 = 2;
const ALG: i64 = 3;
const KEY_OPS: i64 = 4;
const MAX_KEY: usize = 4_096;
