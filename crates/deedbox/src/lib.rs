#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

#[cfg(any(feature = "person", feature = "provider"))]
mod client;
#[cfg(any(feature = "person", feature = "provider"))]
mod connection;
#[cfg(feature = "person")]
mod error;
#[cfg(any(feature = "person", feature = "provider"))]
pub mod exchange;
#[cfg(any(feature = "person", feature = "provider"))]
mod file;
#[cfg(feature = "host")]
pub mod host;
#[cfg(feature = "http-client")]
mod http;
#[cfg(feature = "person")]
pub mod person;
#[cfg(feature = "provider")]
pub mod provider;
#[cfg(feature = "provider")]
pub mod reader;
#[cfg(any(feature = "person", feature = "provider"))]
mod side;
#[cfg(any(feature = "person", feature = "provider", feature = "host"))]
mod system;

#[cfg(any(feature = "person", feature = "provider"))]
pub use client::{EventSource, HostClient, LocalHost, Watch};
#[cfg(any(feature = "person", feature = "provider"))]
pub use connection::{Content, Deposit, Mail};
#[cfg(feature = "person")]
pub use error::PersonError;
#[cfg(any(feature = "person", feature = "provider"))]
pub use file::{File, FileError};
#[cfg(feature = "http-client")]
pub use http::HttpHost;

/// The parts, for whoever needs more of them than the facade shows.
pub mod parts {
    #[cfg(any(feature = "person", feature = "provider"))]
    pub use deedbox_audit as audit;
    pub use deedbox_cbor as cbor;
    #[cfg(any(feature = "person", feature = "provider"))]
    pub use deedbox_connect as connect;
    #[cfg(any(feature = "person", feature = "provider"))]
    pub use deedbox_consent as consent;
    pub use deedbox_cose as cose;
    #[cfg(any(feature = "person", feature = "provider"))]
    pub use deedbox_credential as credential;
    #[cfg(feature = "host")]
    pub use deedbox_host as host;
    #[cfg(any(feature = "person", feature = "provider"))]
    pub use deedbox_interop as interop;
    pub use deedbox_model as model;
    #[cfg(any(feature = "person", feature = "provider"))]
    pub use deedbox_record as record;
    #[cfg(feature = "host")]
    pub use deedbox_store as store;
}
