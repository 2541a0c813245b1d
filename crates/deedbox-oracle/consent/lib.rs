//! Twins of the consent evaluator. They share nothing with it: [`World`] reads a policy's bytes with another CBOR library, as
//! `docs/format/consent.md` lays them out; [`cedar`] and [`rego`] say §4 of that page again in the languages of two engines.
#![forbid(unsafe_code)]

pub mod cedar;
pub mod rego;
pub mod world;

pub use world::{Asked, Facts, To, World};
