//! Why an operation on a store did not happen.

use std::error::Error;

use crate::types::Class;

/// Why an operation on a store did not happen. Nothing was changed when one of these is returned, but for
/// [`StorageError::Unavailable`] of a backend in another process: it says that nobody knows.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The store, alias or share exists already, with other content. The caller decides which of the two it meant.
    #[error("already exists")]
    AlreadyExists,
    /// The backend failed for a reason of its own: read the source, and tell the operator.
    #[error("the backend failed")]
    Backend(#[source] Box<dyn Error + Send + Sync>),
    /// What is stored cannot be read as this version writes it: damaged, or written by a newer version. Restore it from
    /// a back-up, or update; never write to it.
    #[error("the stored data is damaged, or was written by a newer version")]
    Corrupt,
    /// The disk is full. Works again once there is room.
    #[error("no room left on the device")]
    Full,
    /// The request breaks a rule of the trait; the text names the rule. An error of the caller.
    #[error("invalid request: {0}")]
    Invalid(&'static str),
    /// No such store, dataset, blob, mailbox or row.
    #[error("not found")]
    NotFound,
    /// The quota that came with the request would be exceeded.
    #[error("the quota would be exceeded")]
    OverQuota(Class),
    /// Somebody else holds the store, it is being removed, or the server behind it does not answer. With `retry` the same
    /// request may work a little later. Where a connection was lost it may also have been done: the same again then meets
    /// its own work by the rules (a conflict with the caller's own head, a known dedupe id, the new length of a blob).
    #[error("the store is not available")]
    Unavailable {
        /// Whether the same request may work later.
        retry: bool,
    },
    /// The blob has another length than the caller thinks: go on from `have`.
    #[error("the blob has {have} bytes")]
    WrongOffset {
        /// Bytes held at present.
        have: u64,
    },
}

impl StorageError {
    /// The variant's name: stable, for logs and for the host's answers.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::AlreadyExists => "AlreadyExists",
            Self::Backend(_) => "Backend",
            Self::Corrupt => "Corrupt",
            Self::Full => "Full",
            Self::Invalid(_) => "Invalid",
            Self::NotFound => "NotFound",
            Self::OverQuota(_) => "OverQuota",
            Self::Unavailable { .. } => "Unavailable",
            Self::WrongOffset { .. } => "WrongOffset",
        }
    }

    /// Whether the same request may work later without anybody doing anything.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { retry: true })
    }

    /// A failure of the backend, with its cause.
    pub fn backend(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Backend(source.into())
    }
}
