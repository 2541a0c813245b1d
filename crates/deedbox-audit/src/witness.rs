use deedbox_cose::Thumbprint;
use deedbox_merkle::verify_consistency;
use deedbox_model::Digest;

use crate::{AuditError, Checkpoint, LogId, SignedReceipt};

/// So many entries under this root: what a log is at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the two say all")]
pub struct LogState {
    /// How many entries were ever appended.
    pub size: u64,
    /// The Merkle root over them.
    pub root: Digest,
}

/// A state of a log that somebody vouched for with a signature that was checked: by a checkpoint, or within a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vouched {
    pub(crate) signer: Thumbprint,
    /// A receipt names no log: its signer has one for the connection.
    pub(crate) log: Option<LogId>,
    pub(crate) state: LogState,
}

impl Vouched {
    /// Who vouched for it.
    #[must_use]
    pub const fn signer(&self) -> &Thumbprint {
        &self.signer
    }

    /// What the log was said to be.
    #[must_use]
    pub const fn state(&self) -> LogState {
        self.state
    }

    /// Whether one signer vouched for two histories: the two signed objects together prove that to anyone.
    #[must_use]
    pub fn contradicts(&self, other: &Self) -> bool {
        let is_same_log = self.log.zip(other.log).is_none_or(|(log, other)| log == other);
        self.signer == other.signer
            && is_same_log
            && self.state.size == other.state.size
            && self.state.root != other.state.root
    }
}

impl From<&Checkpoint> for Vouched {
    fn from(checkpoint: &Checkpoint) -> Self {
        checkpoint.vouched()
    }
}

impl From<Checkpoint> for Vouched {
    fn from(checkpoint: Checkpoint) -> Self {
        checkpoint.vouched()
    }
}

/// The newest state of a log that somebody was shown: what notices that a log was rolled back or forked.
///
/// An organisation keeps one for each connection, from the receipts it is sent, and asks for a consistency proof with each
/// new one; whoever is shown checkpoints does the same with these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witnessed {
    newest: Vouched,
}

impl Witnessed {
    /// Starts with the first checkpoint seen.
    #[must_use]
    pub fn new(first: impl Into<Vouched>) -> Self {
        Self { newest: first.into() }
    }

    /// Starts with the first receipt seen, if it says what the log was.
    #[must_use]
    pub fn from_receipt(first: &SignedReceipt) -> Option<Self> {
        first.vouched().map(Self::new)
    }

    /// The newest state seen.
    #[must_use]
    pub const fn newest(&self) -> &Vouched {
        &self.newest
    }

    /// Takes a later state, which `path` must prove to continue the newest one seen; the path is empty at equal size, and
    /// after an empty log.
    ///
    /// # Errors
    /// [`AuditError::Rejected`] for another log, or for two of different signers that name no log,
    /// [`AuditError::Rollback`], [`AuditError::Fork`], [`AuditError::Inconsistent`]. What was seen before stays.
    pub fn observe(&mut self, later: impl Into<Vouched>, path: &[[u8; 32]]) -> Result<(), AuditError> {
        let later = later.into();
        let is_same = match self.newest.log.zip(later.log) {
            Some((log, other)) => log == other,
            None => self.newest.signer == later.signer,
        };
        if !is_same {
            return Err(AuditError::Rejected);
        }
        let (old, new) = (self.newest.state, later.state);
        if new.size < old.size {
            return Err(AuditError::Rollback { seen: old.size, got: new.size });
        }
        if new.size == old.size && new.root != old.root {
            return Err(AuditError::Fork { size: new.size });
        }
        if new.size == old.size || old.size == 0 {
            // Every log continues itself and the empty one; RFC 9162 has no proof for these.
            if !path.is_empty() {
                return Err(AuditError::Inconsistent);
            }
        } else {
            verify_consistency(old.size, new.size, old.root.as_bytes(), new.root.as_bytes(), path)
                .map_err(|_| AuditError::Inconsistent)?;
        }
        self.newest = later;
        Ok(())
    }
}
