//! The strongroom: what a service embeds to keep people's boxes. It holds ciphertext, signed heads and capabilities, and links
//! no code that could open anything.
//!
//! ```
//! use std::sync::Arc;
//! use deedbox::host::{Admission, Config, Host, MemoryStorage, system_clock};
//!
//! let mut config = Config::default();
//! config.admission = Admission::Open; // anybody may make a box; else the embedder calls Host::create
//! let host = Arc::new(Host::new(MemoryStorage::new(), system_clock, config));
//! # let _ = host;
//! ```

pub use deedbox_host::{
    Admission, Admitted, ByteRange, Clock, Config, End, Event, Fault, Feed, Host, HostError, Meters, Method, Rate,
    Reply, Report, Request, Swept, UsageClass, UsageEvent, UsageSink,
};
#[cfg(feature = "http")]
pub use deedbox_host::{ServeLimits, openapi, router, serve};
#[cfg(feature = "sqlite")]
pub use deedbox_store::SqliteStorage;
pub use deedbox_store::{
    MemoryStorage, MoveError, Moved, Storage, StorageError, Transfer, copy_store, move_store, same_store,
};
#[cfg(feature = "postgres")]
pub use deedbox_store::{PostgresOptions, PostgresStorage, postgres};

/// The system's clock, by which a host judges every validity.
#[must_use]
pub fn system_clock() -> deedbox_model::Timestamp {
    crate::system::now()
}
