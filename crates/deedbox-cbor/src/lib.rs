//! Strict, deterministic CBOR (RFC 8949).
//!
//! [`read()`] checks a document once, in one pass; after that every [`Item`] is a span of the received bytes and reading it
//! can't fail. [`Writer`] makes the deterministic form (RFC 8949 §4.2.1), and with the feature `serde` the module `bridge` carries
//! typed application values.
//!
//! ```
//! use deedbox_cbor::{CborError, Limits, Order, Writer, read};
//!
//! let mut writer = Writer::new();
//! writer.map(|map| {
//!     map.int(1, |w| { w.text("deed box"); });
//!     map.int(2, |w| { w.array(2).uint(7).bytes(&[0xde, 0xed]); });
//! });
//! let bytes = writer.into_vec();
//!
//! let item = read(&bytes, Order::Canonical, &Limits::new(1024))?;
//! let mut fields = item.as_map().ok_or("a map")?.fields();
//! assert_eq!(fields.required(1).and_then(|item| item.as_str()), Some("deed box"));
//! let list = fields.required(2).ok_or("a list")?;
//! assert_eq!(list.bytes(), [0x82, 0x07, 0x42, 0xde, 0xed]); // as received: to be hashed or verified
//! fields.finish().ok_or("nothing else")?;
//!
//! // The long form of 7 is refused, so one value has one encoding.
//! assert!(matches!(read(&[0x18, 0x07], Order::Any, &Limits::new(1024)), Err(CborError::NonPreferred { offset: 0 })));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Roles, and the life of an item
//!
//! - [`Order::Canonical`] reads deedbox's own formats: map keys must stand in bytewise order, and one value has one encoding.
//! - [`Order::Any`] reads other people's objects, most of which are unsorted; two equal keys are refused all the same.
//! - Received bytes become an [`Item`] by [`read()`] and in no other way. [`Fields`] walks a map of which nothing may be left over,
//!   [`Cursor`] is the fast way into typed values, and [`Item::bytes`] gives back what was received: to be hashed or verified,
//!   never to be written anew.
//! - [`ItemBuf`] keeps a value whose meaning is somebody else's.
//!
//! # What must not be reused
//!
//! Nothing here is secret or used up. But what was checked is these bytes, up to this length and depth, in this order: an item
//! read in any order is no canonical one, and [`ItemBuf::from_item`] checks again.
//!
//! # What must never be reused
//!
//! Nothing here is secret or used once. But a span is what was received: hash and verify [`Item::bytes`], never a value that
//! was written again.
//!
//! # What it does not protect
//!
//! Strictness is about bytes, not meaning: whether a member must be there is for the caller to say, with [`Fields`]. Tags
//! and `undefined` are kept, bignums are not interpreted. Who wrote the bytes is a question for signatures. Reading takes time
//! that depends on what is read, and buffers are not wiped: secrets travel in byte strings that are opened elsewhere.
//!
//! # Features
//!
//! `std` (default); `serde`: the module `bridge`. Without `std` the crate needs `alloc`.
//!
//! What is refused, and how it is named, is specified in `docs/format/cbor.md`.
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

#[cfg(feature = "serde")]
pub mod bridge;

mod cursor;
mod error;
mod float;
mod head;
mod item;
mod limits;
mod read;
mod write;

pub use cursor::Cursor;
pub use error::CborError;
pub use item::{Array, Entry, Fields, Item, ItemBuf, Items, Kind, Map, Pairs};
pub use limits::{Limits, Order};
pub use read::{Sequence, read, read_first, read_sequence};
pub use write::{MapWriter, Writer};
