//! Why a host did not answer.

use deedbox_model::Timestamp;
use deedbox_store::{Class, StorageError};

/// Why a host did not answer a request. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// The proof's time is too far from the host's clock: sign again with the time given here.
    #[error("the proof's time is too far from the host's clock")]
    ClockSkew {
        /// The host's time.
        now: Timestamp,
    },
    /// Something stands in the way that the caller did not expect. Read what is there, and decide again.
    #[error("in conflict with what is there")]
    Conflict,
    /// The capability's time is over. Ask the owner for another.
    #[error("the capability has expired")]
    Expired,
    /// A head or header is not of this store, or does not agree with the request. An error of the client.
    #[error("the head does not agree with the request")]
    HeadMismatch,
    /// The request cannot be read. An error of the client.
    #[error("the request is malformed")]
    Malformed,
    /// No such thing, said only to callers who may know.
    #[error("not found")]
    NotFound,
    /// No right of the capability covers the request.
    #[error("not permitted")]
    NotPermitted,
    /// The capability's time has not come.
    #[error("the capability is not valid yet")]
    NotYet,
    /// The quota of the store would be exceeded.
    #[error("the quota would be exceeded")]
    OverQuota(Class),
    /// The owner has paused the capability; it may be resumed.
    #[error("the capability is paused")]
    Paused,
    /// The owner has revoked the capability, for good.
    #[error("the capability is revoked")]
    Revoked,
    /// The storage failed.
    #[error("the storage failed")]
    Storage(#[source] StorageError),
    /// Larger than this host takes.
    #[error("larger than the limit of {limit}")]
    TooLarge {
        /// The limit, in bytes or items.
        limit: u64,
    },
    /// Too many requests: wait.
    #[error("too many requests")]
    TooMany {
        /// Seconds to wait.
        retry_after: u32,
    },
    /// Unknown store, unknown capability, bad proof: which of them is not told.
    #[error("not authenticated")]
    Unauthenticated,
    /// The host cannot be reached, or answers as none does. Said by clients only: try again later.
    #[error("the host cannot be reached")]
    Unreachable,
    /// The blob has another length than the caller thinks.
    #[error("the blob has {have} bytes")]
    WrongOffset {
        /// Bytes held at present.
        have: u64,
    },
}

/// Every code, in the order of variants.
#[cfg(any(feature = "http", all(test, feature = "problem")))]
pub(crate) const CODES: &[&str] = &[
    "ClockSkew",
    "Conflict",
    "Expired",
    "HeadMismatch",
    "Malformed",
    "NotFound",
    "NotPermitted",
    "NotYet",
    "OverQuota",
    "Paused",
    "Revoked",
    "Storage",
    "TooLarge",
    "TooMany",
    "Unauthenticated",
    "Unreachable",
    "WrongOffset",
];

impl HostError {
    /// The variant's name: stable, and all a host tells a stranger.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::ClockSkew { .. } => "ClockSkew",
            Self::Conflict => "Conflict",
            Self::Expired => "Expired",
            Self::HeadMismatch => "HeadMismatch",
            Self::Malformed => "Malformed",
            Self::NotFound => "NotFound",
            Self::NotPermitted => "NotPermitted",
            Self::NotYet => "NotYet",
            Self::OverQuota(_) => "OverQuota",
            Self::Paused => "Paused",
            Self::Revoked => "Revoked",
            Self::Storage(_) => "Storage",
            Self::TooLarge { .. } => "TooLarge",
            Self::TooMany { .. } => "TooMany",
            Self::Unauthenticated => "Unauthenticated",
            Self::Unreachable => "Unreachable",
            Self::WrongOffset { .. } => "WrongOffset",
        }
    }

    /// The HTTP status that goes with it.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::ClockSkew { .. } | Self::Unauthenticated => 401,
            Self::Conflict | Self::WrongOffset { .. } => 409,
            Self::Expired | Self::NotPermitted | Self::NotYet | Self::Paused | Self::Revoked => 403,
            Self::HeadMismatch | Self::Malformed => 400,
            Self::NotFound => 404,
            Self::OverQuota(_) => 507,
            Self::Storage(_) | Self::Unreachable => 503,
            Self::TooLarge { .. } => 413,
            Self::TooMany { .. } => 429,
        }
    }

    /// Whether the same request may work later without anybody deciding anything.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::TooMany { .. } | Self::Unreachable => true,
            Self::Storage(error) => error.is_retryable(),
            _ => false,
        }
    }

    /// What a failure of the storage means to a caller who may know.
    pub(crate) fn of_storage(error: StorageError) -> Self {
        match error {
            StorageError::AlreadyExists => Self::Conflict,
            StorageError::Invalid(_) => Self::Malformed,
            StorageError::NotFound => Self::NotFound,
            StorageError::OverQuota(class) => Self::OverQuota(class),
            StorageError::WrongOffset { have } => Self::WrongOffset { have },
            error => Self::Storage(error),
        }
    }
}
