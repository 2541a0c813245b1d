//! For tests only: vector files, seeded randomness, tampering. It uses no other deedbox crate, so that a crate's own unit
//! tests can use it.
//!
//! ```
//! use deedbox_testkit::{rng::SeededRng, tamper, vectors::unhex};
//! use rand_core::Rng as _;
//!
//! assert_eq!(SeededRng::new(7).next_u64(), SeededRng::new(7).next_u64());
//!
//! let document = unhex("83010203");
//! assert!(tamper::all(&document).all(|tampered| tampered != document));
//! ```
//!
//! Everything here fails by panicking, with a text that names the file or digit at fault. Nothing here is fit for use
//! outside of tests: [`rng::SeededRng`] least of all.
#![forbid(unsafe_code)]

pub mod rng;
pub mod tamper;
pub mod vectors;
