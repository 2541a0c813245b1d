//! COSE (RFC 9052): signed objects, sealed objects, and the keys for both, with exactly one algorithm per key.
//!
//! What was read and what was verified are two types: [`Unverified`] gives its content away only when a key verified it.
//!
//! ```
//! use deedbox_cose::{CoseError, LocalSigner, Sign1, Sign1Rules, Signer as _, VerifyKey, sign1};
//! # let mut rng = deedbox_testkit::rng::SeededRng::new(1);
//!
//! let signer = LocalSigner::generate(&mut rng);
//! let bytes = sign1::document(&signer, b"example/1 note\0", b"what is signed")?;
//!
//! let key = VerifyKey::parse(&signer.public().to_cose_key())?;        // as it came from the other side
//! assert_eq!(sign1::open_document(&bytes, &key, b"example/1 note\0")?, b"what is signed");
//! assert_eq!(sign1::open_document(&bytes, &key, b"example/1 bill\0"), Err(CoseError::BadSignature));
//!
//! let read = Sign1::parse(&bytes, &Sign1Rules::STRICT)?;               // any COSE_Sign1
//! assert_eq!(read.peek().protected().kid(), Some(&key.thumbprint().as_bytes()[..]));
//! let signed: Sign1<'_> = read.verify(&key, b"example/1 note\0")?;
//! assert_eq!(signed.payload(), b"what is signed");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Roles and life
//!
//! - A [`Signer`] signs: [`LocalSigner`] in memory, others by [`sign1::prepare`] and [`sign1::Prepared::finish`].
//! - A [`VerifyKey`] verifies; it has one algorithm, and a header that names another is refused before the signature is
//!   looked at. [`Thumbprint`] names it.
//! - [`Sign1`] and [`sign::Sign`] read what anybody wrote, by [`Sign1Rules`]; [`sign1::Document`] and [`sign::Document`]
//!   are deedbox's own narrow form.
//! - With `seal`: `RecipientKey` is sealed to, `RecipientSecret` opens, `encrypt0::StreamKey` carries a session's records.
//!
//! # What must never be reused
//!
//! A label (external aad) for documents of another kind: it is what keeps one kind from passing as another. The number of
//! a record within a stream. A signing key for anything but signing: sealing has keys of its own.
//!
//! # What it does not protect
//!
//! A signature says which key signed, not who holds the key, nor whether it is still trusted, nor when it was made.
//! Unprotected headers are anybody's. Sealed content tells its length, and without a pre-shared key not who sealed it.
//!
//! # Features
//!
//! `std`, `seal` (`encrypt0`, HPKE) are on by default; a host goes without `seal` and then links no cipher. `es256` and
//! `es384` verify other people's ECDSA signatures.
//!
//! Forms, limits and errors are specified in `docs/format/cose.md`.
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

#[cfg(feature = "seal")]
pub mod encrypt0;
pub mod sign;
pub mod sign1;

mod alg;
mod error;
mod header;
mod key;
mod rules;
mod signer;
mod structure;
mod unverified;

pub use alg::Algorithm;
/// What crates above need without linking any other primitive.
pub use deedbox_crypto::{hash::sha256, label};
pub use error::{CoseError, KeyError, SignError};
pub use header::Headers;
#[cfg(feature = "seal")]
pub use key::{RecipientKey, RecipientSecret};
pub use key::{Thumbprint, VerifyKey};
pub use rules::{AlgPlace, Buckets, Sign1Rules, TagRule};
pub use sign1::Sign1;
pub use signer::{LocalSigner, SignatureBytes, Signer, Verifier};
pub use unverified::Unverified;
