use deedbox_cbor::{Limits, Order, Writer, read};
use deedbox_cose::{Signer, VerifyKey, sign1};
use deedbox_crypto::label::CHECKPOINT;
use deedbox_merkle::{verify_consistency, verify_inclusion};
use deedbox_model::{Digest, Timestamp};

use crate::{AuditError, LogId, SaltedEntry};

/// A signed state of a log whose signature was checked; made only by [`Checkpoint::verify`].
///
/// ```cddl
/// checkpoint = COSE_Sign1, payload [log: bytes16, size: uint, root: bytes32, time], external_aad "deedbox/1 checkpoint" 00
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    log: LogId,
    size: u64,
    root: Digest,
    time: Timestamp,
}

impl Checkpoint {
    /// Verifies a checkpoint of at most 1 KiB.
    ///
    /// # Errors
    /// [`AuditError::Malformed`] before the signature is looked at, then [`AuditError::Rejected`].
    pub fn verify(bytes: &[u8], key: &VerifyKey) -> Result<Self, AuditError> {
        if bytes.len() > MAX_CHECKPOINT {
            return Err(AuditError::Malformed);
        }
        let payload = sign1::open_document(bytes, key, CHECKPOINT.as_bytes()).map_err(|_| AuditError::Rejected)?;
        let claims =
            read(payload, Order::Canonical, &Limits::new(MAX_CHECKPOINT)).map_err(|_| AuditError::Malformed)?;
        let claims = || -> Option<Self> {
            let [log, size, root, time] = claims.as_array()?.exactly()?;
            Some(Self {
                log: LogId::from_bytes(log.as_byte_array()?),
                size: size.as_u64()?,
                root: Digest::from_bytes(root.as_byte_array()?),
                time: Timestamp::from_secs(time.as_u64()?),
            })
        };
        claims().ok_or(AuditError::Malformed)
    }

    pub(crate) fn sign(
        log: LogId,
        size: u64,
        root: Digest,
        now: Timestamp,
        signer: &impl Signer,
    ) -> Result<Vec<u8>, AuditError> {
        let mut payload = Writer::new();
        payload.array(4).bytes(log.as_bytes()).uint(size).bytes(root.as_bytes()).uint(now.secs());
        sign1::document(signer, CHECKPOINT.as_bytes(), payload.as_slice()).map_err(|_| AuditError::Rejected)
    }

    /// The log it is about.
    #[must_use]
    pub const fn log(&self) -> LogId {
        self.log
    }

    /// How many entries the log has.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The Merkle root over them.
    #[must_use]
    pub const fn root(&self) -> Digest {
        self.root
    }

    /// When it was signed, by the agent's clock.
    #[must_use]
    pub const fn time(&self) -> Timestamp {
        self.time
    }

    /// Verifies that `entry` is in this log, at the place its number says.
    ///
    /// # Errors
    /// [`AuditError::NotIncluded`].
    pub fn includes(&self, entry: &SaltedEntry, path: &[[u8; 32]]) -> Result<(), AuditError> {
        let (leaf, seq) = (entry.leaf(), entry.entry().seq);
        verify_inclusion(leaf.as_bytes(), seq, self.size, path, self.root.as_bytes()).map_err(AuditError::not_included)
    }
}

/// The newest checkpoint of a log that somebody has seen: what notices that a log was rolled back or forked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witnessed {
    newest: Checkpoint,
}

impl Witnessed {
    /// Starts with the first checkpoint seen.
    #[must_use]
    pub const fn new(first: Checkpoint) -> Self {
        Self { newest: first }
    }

    /// The newest checkpoint seen.
    #[must_use]
    pub const fn newest(&self) -> &Checkpoint {
        &self.newest
    }

    /// Takes a later checkpoint, which `path` must prove to continue the newest one seen; the path is empty at equal
    /// size, and after an empty log.
    ///
    /// # Errors
    /// [`AuditError::Rejected`] for another log, [`AuditError::Rollback`], [`AuditError::Fork`],
    /// [`AuditError::Inconsistent`]. What was seen before stays.
    pub fn observe(&mut self, checkpoint: Checkpoint, path: &[[u8; 32]]) -> Result<(), AuditError> {
        let (old, new) = (&self.newest, &checkpoint);
        if new.log != old.log {
            return Err(AuditError::Rejected);
        }
        if new.size < old.size {
            return Err(AuditError::Rollback { seen: old.size, got: new.size });
        }
        if new.size == old.size {
            if new.root != old.root {
                return Err(AuditError::Fork { size: new.size });
            }
        } else if old.size == 0 {
            // Every log continues the empty one; RFC 9162 has no proof for it.
            if !path.is_empty() {
                return Err(AuditError::Inconsistent);
            }
        } else {
            verify_consistency(old.size, new.size, old.root.as_bytes(), new.root.as_bytes(), path)
                .map_err(|_| AuditError::Inconsistent)?;
        }
        self.newest = checkpoint;
        Ok(())
    }
}

const MAX_CHECKPOINT: usize = 1024;
