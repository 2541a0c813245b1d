//! Views for other ecosystems: what arrives as JSON becomes fields of a person's store.
//!
//! [`json::import`] takes any JSON document, [`fhir::import`] a FHIR R4 `Bundle` or single resource. Both give an
//! [`Import`]: datasets of fields, each with its path, its value as deterministic CBOR and the provenance that the
//! caller vouches for. [`import()`] looks at the document and picks the right one.
//!
//! ```
//! use deedbox_interop::import;
//!
//! let import = import(br#"{"name": "Ada", "pets": [{"name": "Rex", "kg": 7.20}]}"#)?;
//! assert_eq!(import.fields().len(), 3);
//! let weight = &import.fields()[2];
//! assert_eq!((weight.dataset(), weight.path().to_string().as_str()), ("pets", "pets.0.kg"));
//! // 7.20 stays 7.20: a decimal fraction (RFC 8949 §3.4.4), not a binary float.
//! assert_eq!(weight.value().bytes(), [0xc4, 0x82, 0x21, 0x19, 0x02, 0xd0]);
//! # Ok::<(), deedbox_interop::ImportError>(())
//! ```
//!
//! [`portable`] goes the other way: what a store holds, in the clear, for any system to read.
//!
//! Of consent: [`fhir::consent`] makes rules of FHIR `Consent` resources, [`dpv`] a vocabulary of the Data Privacy
//! Vocabulary; [`receipt`] shows a receipt as ISO/IEC TS 27560 has it, [`authzen`] answers in the shapes of AuthZEN. And
//! [`replay`] decides again what a log says was decided.
//!
//! # What is kept, what is refused
//!
//! Every leaf of the document becomes one field; empty objects and arrays are leaves too, so nothing is lost. Numbers
//! keep every digit that was written. Duplicate keys, documents nested deeper than 24 levels, values above 128 KiB,
//! paths above 1,024 bytes and documents above 64 MiB are refused, naming the place and never the value: an import is
//! whole, or none.
//!
//! # What must never be reused
//!
//! An import belongs to the document it was made of. Importing a changed document is a new import, whose fields replace those
//! of the same paths.
//!
//! # What it does not protect
//!
//! An import says what a document said. Who vouches for it is the caller's claim, in the provenance; a document is not
//! a credential.
//!
//! The mapping is specified in `docs/format/interop.md`.
#![forbid(unsafe_code)]

pub mod authzen;
pub mod dpv;
pub mod fhir;
pub mod json;
pub mod portable;
pub mod receipt;
pub mod replay;

mod error;
mod field;
mod time;
mod tree;

pub use error::ImportError;
pub use field::{Import, ImportedField};

/// The longest document that is read, in bytes.
pub const MAX_DOCUMENT: usize = 64 * 1024 * 1024;

/// Imports `document`: as FHIR where it is an object with a member `resourceType`, as plain JSON otherwise.
///
/// # Errors
/// Those of [`json::import`] and [`fhir::import`].
pub fn import(document: &[u8]) -> Result<Import, ImportError> {
    let tree = tree::parse(document)?;
    if tree.member("resourceType").is_some() { fhir::from_tree(&tree) } else { json::from_tree(&tree) }
}
