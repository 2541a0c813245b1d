//! Typed application values through serde: read strictly, written deterministically.
//!
//! deedbox's own formats are read and written by hand; this is for values whose shape belongs to the application.
//!
//! ```
//! use deedbox_cbor::{Limits, Order, bridge};
//!
//! #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
//! struct Pet { name: String, kilos: f64 }
//!
//! let rex = Pet { name: "Rex".into(), kilos: 7.5 };
//! let bytes = bridge::to_vec(&rex)?;
//! assert_eq!(bridge::from_slice::<Pet>(&bytes, Order::Canonical, &Limits::new(1024))?, rex);
//! # Ok::<(), bridge::BridgeError>(())
//! ```

use alloc::vec::Vec;

use ciborium::Value;
use serde::{Serialize, de::DeserializeOwned};

use crate::{CborError, Limits, Order, Writer, read};

/// Why a typed value was not read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BridgeError {
    /// Not strict CBOR; nothing was decoded.
    #[error(transparent)]
    Cbor(#[from] CborError),
    /// The value has two equal keys in one map.
    #[error("duplicate map key")]
    DuplicateKey,
    /// Strict CBOR, but not of the type asked for; or a type that serde can't write.
    #[error("not of the type asked for")]
    Shape,
}

impl BridgeError {
    /// The variant's name, stable once released.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Cbor(error) => error.code(),
            Self::DuplicateKey => "DuplicateKey",
            Self::Shape => "Shape",
        }
    }
}

/// Writes `value` deterministically (RFC 8949 §4.2.1).
///
/// # Errors
/// [`BridgeError::DuplicateKey`], [`BridgeError::Shape`].
pub fn to_vec(value: &impl Serialize) -> Result<Vec<u8>, BridgeError> {
    let value = Value::serialized(value).map_err(|_| BridgeError::Shape)?;
    let mut writer = Writer::new();
    write(&value, &mut writer)?;
    Ok(writer.into_vec())
}

/// Reads a `T` from bytes that are first checked strictly.
///
/// # Errors
/// [`BridgeError::Cbor`], then [`BridgeError::Shape`].
pub fn from_slice<T: DeserializeOwned>(bytes: &[u8], order: Order, limits: &Limits) -> Result<T, BridgeError> {
    let item = read(bytes, order, limits)?;
    ciborium::from_reader(item.bytes()).map_err(|_| BridgeError::Shape)
}

fn write(value: &Value, writer: &mut Writer) -> Result<(), BridgeError> {
    match value {
        Value::Integer(integer) => {
            let integer = i128::from(*integer);
            match u64::try_from(integer) {
                Ok(integer) => drop_ref(writer.uint(integer)),
                // -1 - n, down to -2^64, which is beyond i64.
                Err(_) => drop_ref(writer.nint(u64::try_from(-1 - integer).map_err(|_| BridgeError::Shape)?)),
            }
        }
        Value::Bytes(bytes) => drop_ref(writer.bytes(bytes)),
        Value::Float(float) => drop_ref(writer.float(*float)),
        Value::Text(text) => drop_ref(writer.text(text)),
        Value::Bool(bool) => drop_ref(writer.bool(*bool)),
        Value::Null => drop_ref(writer.null()),
        Value::Tag(tag, content) => {
            writer.tag(*tag);
            write(content, writer)?;
        }
        Value::Array(elements) => {
            writer.array(elements.len());
            elements.iter().try_for_each(|element| write(element, writer))?;
        }
        Value::Map(entries) => {
            let mut result = Ok(());
            let mut keys = Vec::new();
            writer.map(|map| {
                for (key, value) in entries {
                    let mut encoded = Writer::new();
                    result = result.and(write(key, &mut encoded));
                    keys.push(encoded.as_slice().to_vec());
                    map.entry(
                        |writer| writer.append(encoded.as_slice()),
                        |writer| result = result.and(write(value, writer)),
                    );
                }
            });
            result?;
            keys.sort_unstable();
            if keys.windows(2).any(|pair| pair.first() == pair.last()) {
                return Err(BridgeError::DuplicateKey);
            }
        }
        _ => return Err(BridgeError::Shape),
    }
    Ok(())
}

fn drop_ref(_: &mut Writer) {}
