//! The protocol by its public API: whole handshakes, and each refusal by name.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod handshake;
mod messages;
mod methods;
mod negotiation;
mod sides;
