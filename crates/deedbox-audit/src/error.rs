use deedbox_merkle::ProofError;

/// Why an entry, a checkpoint or an export was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// Two checkpoints of one log have the same size and other roots: proof, for anyone, that the log was forked. Keep
    /// both and alert the person.
    #[error("the log was forked at size {size}")]
    Fork {
        /// The size at which both stand.
        size: u64,
    },
    /// An entry is missing, or stands at another place than its number says.
    #[error("the log has a gap at entry {seq}")]
    Gap {
        /// The entry that was expected.
        seq: u64,
    },
    /// The proof does not lead from the older checkpoint to the newer one, or there is none.
    #[error("the checkpoints are inconsistent")]
    Inconsistent,
    /// Not the bytes of an entry, checkpoint or export of this version.
    #[error("malformed")]
    Malformed,
    /// The entry is not in the log that the checkpoint names.
    #[error("the entry is not included")]
    NotIncluded,
    /// Wrong signature, wrong key, or another log; which of them is not told.
    #[error("rejected")]
    Rejected,
    /// The checkpoint is older than one already seen.
    #[error("the log was rolled back from size {seen} to {got}")]
    Rollback {
        /// The size seen before.
        seen: u64,
        /// The size now.
        got: u64,
    },
}

impl AuditError {
    /// The variant's name, stable once released.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Fork { .. } => "Fork",
            Self::Gap { .. } => "Gap",
            Self::Inconsistent => "Inconsistent",
            Self::Malformed => "Malformed",
            Self::NotIncluded => "NotIncluded",
            Self::Rejected => "Rejected",
            Self::Rollback { .. } => "Rollback",
        }
    }

    pub(crate) fn not_included(_: ProofError) -> Self {
        Self::NotIncluded
    }
}
