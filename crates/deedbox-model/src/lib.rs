//! The words deedbox is spoken in, without cryptography: ids, time, field paths, names, assurance, provenance, digests.
//! Every crate above speaks them; each knows its CBOR form, and every decoder is strict.
//!
//! ```
//! use deedbox_cbor::{Limits, Order, Writer};
//! use deedbox_model::{Assurance, FieldPath, Provenance, Timestamp};
//!
//! let path = FieldPath::parse("address.city")?;
//! assert_eq!(path.segments().collect::<Vec<_>>(), ["address", "city"]);
//! let provenance = Provenance::new(*b"hospital", Assurance::High, Timestamp::from_secs(1_893_456_000));
//! let mut writer = Writer::new();
//! provenance.encode(&mut writer);
//! let item = deedbox_cbor::read(writer.as_slice(), Order::Canonical, &Limits::new(1024))?;
//! assert_eq!(Provenance::decode(item), Some(provenance));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Roles
//!
//! Ids are drawn by whoever makes the thing: [`StoreId`], [`DatasetId`], [`ObjectId`], [`BlobId`] by the person's agent,
//! [`MailboxId`] and [`CapabilityId`] by the side that opens them, [`ConnectionId`] comes out of a handshake. A
//! [`Timestamp`] is given by the caller's clock: nothing here reads one.
//!
//! # What must never be reused
//!
//! A random id: two things of one id would share keys derived from it. [`Seq`] and [`Epoch`] only rise; at their end
//! there is no next one, and they never wrap.
//!
//! # What it does not protect
//!
//! Ids, names and paths are plain values and no secrets; equality is not of constant time. A [`Digest`] holds 32 bytes
//! and proves nothing until somebody computes it. An [`Assurance`] is somebody's word: who vouches for it is told beside.
//!
//! # Features
//!
//! `std` (default); `serde`: ids as hex text. Without `std` the crate needs `alloc` only.
//!
//! The format is specified in `docs/format/model.md`.
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod assurance;
mod digest;
mod id;
mod name;
mod path;
mod provenance;
mod time;

pub use assurance::Assurance;
pub use digest::Digest;
pub use id::{BlobId, CapabilityId, ConnectionId, DatasetId, GrantId, MailboxId, ObjectId, SlotId, StoreId, StoreName};
pub use name::{Name, NameError};
pub use path::{FieldPath, PathError};
pub use provenance::Provenance;
pub use time::{Epoch, Seq, Timestamp, Validity};
