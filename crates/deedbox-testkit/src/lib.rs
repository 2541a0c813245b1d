//! For tests only: vector files, seeded randomness, tampering. It uses no other deedbox crate, so that a crate's own unit
//! tests can use it.
#![forbid(unsafe_code)]

pub mod rng;
