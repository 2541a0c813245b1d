//! Trait Storage over opaque bytes; memory and SQLite backends, one file per store.

#![forbid(unsafe_code)]

#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
mod memory;
mod rules;
#[cfg(feature = "sqlite")]
mod sqlite;
mod storage;
mod types;

pub use error::StorageError;
pub use memory::MemoryStorage;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStorage;
pub use storage::{DynStorage, Storage};
pub use types::{
    BLOB_PART, Class, Commit, CommitOutcome, Cursor, Erasure, HeadHash, HeadRow, HeaderSwap, Index, IndexRow,
    KEPT_HEADS, Limit, MAX_SEQ, Mail, MailRow, Mode, NewStore, ObjectRow, Page, Part, Purge, Purged, Put, Quota,
    RowKey, Snapshot, Swap, Table, Total, Usage, Versioned,
};
