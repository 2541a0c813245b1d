//! What a host embeds: capabilities, commit rules and quotas over Storage; links no code that could open anything.

#![forbid(unsafe_code)]

pub mod capability;
pub mod proof;
pub mod wire;

mod clock;
mod config;
mod error;
mod quota;
mod request;
mod service;
mod structure;

pub use clock::Clock;
pub use config::{Admission, Config, Rate};
pub use error::HostError;
pub use request::{Method, Reply, Request, cursor_to_hex};
pub use service::{Admitted, Host, Notice};
