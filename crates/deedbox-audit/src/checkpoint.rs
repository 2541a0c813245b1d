use deedbox_cbor::{Limits, Order, Writer, read};
use deedbox_cose::{Signer, Thumbprint, VerifyKey, sign1};
use deedbox_crypto::label::CHECKPOINT;
use deedbox_merkle::{verify_inclusion, verify_subtree_consistency};
use deedbox_model::{Digest, Timestamp};

use crate::{AuditError, LogId, LogState, SaltedEntry, Vouched};

/// A signed state of a log whose signature was checked; made only by [`Checkpoint::verify`].
///
/// ```cddl
/// checkpoint = COSE_Sign1, payload [log: bytes16, size: uint, root: bytes32, time], external_aad "deedbox/1 checkpoint" 00
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    log: LogId,
    state: LogState,
    time: Timestamp,
    signer: Thumbprint,
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
                state: LogState { size: size.as_u64()?, root: Digest::from_bytes(root.as_byte_array()?) },
                time: Timestamp::from_secs(time.as_u64()?),
                signer: key.thumbprint(),
            })
        };
        claims().ok_or(AuditError::Malformed)
    }

    pub(crate) fn sign(
        log: LogId,
        LogState { size, root }: LogState,
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
        self.state.size
    }

    /// The Merkle root over them.
    #[must_use]
    pub const fn root(&self) -> Digest {
        self.state.root
    }

    /// What the log was, and who says so.
    #[must_use]
    pub const fn vouched(&self) -> Vouched {
        Vouched { signer: self.signer, log: Some(self.log), state: self.state }
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
        let LogState { size, root } = &self.state;
        verify_inclusion(leaf.as_bytes(), seq, *size, path, root.as_bytes()).map_err(AuditError::not_included)
    }

    /// Verifies that the entries `start..end`, whose leaves make the root `part`, are in this log.
    pub(crate) fn includes_part(
        &self,
        start: u64,
        end: u64,
        part: &Digest,
        path: &[[u8; 32]],
    ) -> Result<(), AuditError> {
        let LogState { size, root } = &self.state;
        verify_subtree_consistency(start, end, *size, part.as_bytes(), root.as_bytes(), path)
            .map_err(AuditError::not_included)
    }
}

const MAX_CHECKPOINT: usize = 1024;
