//! The protocol by its public API: whole handshakes, and each refusal by name.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod handshake;
mod messages;
mod sides;
