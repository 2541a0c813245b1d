//! The only deedbox crate that names a primitive: typed keys, secrets that wipe themselves, and the one table of labels.
//!
//! Everything here is a thin, typed hold on a vetted implementation; nothing is a primitive of our own. One module a use:
//! [`sign`] (Ed25519), [`kex`] (X25519), [`aead`] (ChaCha20-Poly1305), [`kdf`] (HKDF, HMAC), [`kem`] (HPKE with X-Wing),
//! [`password`] (Argon2id), [`hash`] (SHA-256), `ecdsa` (verification only), [`ct`] and [`secret`].
//!
//! ```
//! use deedbox_crypto::{aead::Cipher, kdf, label, secret::SecretBytes, sign::SigningKey};
//! # let mut rng = deedbox_testkit::rng::SeededRng::new(1);
//!
//! let root = SecretBytes::generate(&mut rng);
//! let signer = SigningKey::from_seed(&kdf::derive(&root, label::ACCESS, &[b"store"]));
//! signer.public().verify(b"hello", &signer.sign(b"hello"))?;
//!
//! let cipher = Cipher::new(kdf::derive(&root, label::OBJECT, &[b"one object"]).expose());
//! let mut buffer = *b"papers";
//! let tag = cipher.seal_in_place(&[0; 12], b"", &mut buffer)?;
//! cipher.open_in_place(&[0; 12], b"", &mut buffer, &tag)?;
//! assert_eq!(&buffer, b"papers");
//! # Ok::<(), deedbox_crypto::Rejected>(())
//! ```
//!
//! # Who uses it, and the life of a secret
//!
//! Whoever holds keys: the person's agent, providers, issuers. A host verifies signatures and hashes, and is built without
//! the features `seal` and `password`. A secret is drawn from the caller's randomness or derived under a label, lives in a
//! type that is neither `Clone` nor printable, leaves it only by [`secret::SecretBytes::expose`] or a function that ends in
//! `_hazmat`, and is wiped when dropped. Clock and randomness are never fetched here.
//!
//! # What must never be reused
//!
//! A nonce with a key: two texts under one nonce give away both, and forgeries with them. Callers derive both from one fresh
//! salt, or count within one fresh stream. A label for a second use: each use has a row of its own in [`label`], a test keeps
//! them free of prefixes, and so a signature or key made for one use is worth nothing in another. A seed for a second
//! algorithm.
//!
//! # What it does not protect
//!
//! Secrets are wiped when dropped, but the stack, a swap partition or a core dump may have kept a copy. Time is constant in
//! the content of what [`ct::eq`] compares, not in its length; that of the primitives is their authors' claim. ChaCha20-Poly1305
//! commits to no key: a container that must open under one key only carries a commitment of its own. Ed25519 and ECDSA do not
//! resist a quantum computer; X-Wing does. Failure is one opaque [`Rejected`]: what failed is not told. `unsafe` is forbidden
//! here; the primitives have some.
//!
//! # Features
//!
//! `std`; `seal` (AEAD, HKDF, HMAC, X25519, HPKE) and `password` (Argon2id) are on by default. `aws-lc` takes the AEAD from
//! AWS-LC, with the same bytes. `es256`, `es384` verify ECDSA signatures of others. `test-suites` adds AES-CCM and ECDH on
//! P-256 for outside vectors, and nothing uses it under the facade. Without `std` the crate is `no_std` with `alloc`.
//!
//! Algorithms, labels, limits and errors are specified in `docs/format/crypto.md`.
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

#[cfg(feature = "seal")]
pub mod aead;
pub mod ct;
#[cfg(any(feature = "es256", feature = "es384"))]
pub mod ecdsa;
pub mod hash;
#[cfg(feature = "seal")]
pub mod kdf;
#[cfg(feature = "seal")]
pub mod kem;
#[cfg(feature = "seal")]
pub mod kex;
pub mod label;
#[cfg(feature = "test-suites")]
pub mod outside;
#[cfg(feature = "password")]
pub mod password;
pub mod secret;
pub mod sign;

mod error;

pub use error::{Rejected, TooLong};
