use core::{fmt, ops::Range};
use std::sync::Arc;

use deedbox_cose::{Signer, VerifyKey};
use deedbox_crypto::hash::sha256_parts;
use deedbox_merkle::Tree;
use deedbox_model::{Digest, Timestamp};
use rand_core::CryptoRng;

use crate::{AuditError, Checkpoint, Entry, LogState, entry::MAX_ENTRY};

/// Names a log: 16 random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId([u8; 16]);

impl LogId {
    /// Takes the 16 bytes of an id.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Draws a new id.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// Its 16 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// An entry with the salt that hides it: the data of a leaf, `salt ‖ entry`, sealed together as one record. Clones share
/// it.
#[derive(Clone, PartialEq, Eq)]
pub struct SaltedEntry(Arc<Salted>);

#[derive(PartialEq, Eq)]
struct Salted {
    bytes: Box<[u8]>,
    entry: Entry,
}

impl SaltedEntry {
    /// The most bytes of `salt ‖ entry`: one that is longer can't be read again.
    pub const MAX_LEN: usize = SALT_LEN + MAX_ENTRY;

    fn seal(entry: Entry, salt: &[u8; SALT_LEN]) -> Self {
        let mut bytes = Vec::with_capacity(288);
        bytes.extend_from_slice(salt);
        let bytes = entry.append_to(bytes).into_boxed_slice();
        Self(Arc::new(Salted { bytes, entry }))
    }

    /// Reads `salt ‖ entry`.
    ///
    /// # Errors
    /// [`AuditError::Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, AuditError> {
        let (_, entry) = bytes.split_at_checked(SALT_LEN).ok_or(AuditError::Malformed)?;
        if bytes.len() > Self::MAX_LEN {
            return Err(AuditError::Malformed);
        }
        Ok(Self(Arc::new(Salted { bytes: bytes.into(), entry: Entry::parse(entry)? })))
    }

    /// `salt ‖ entry`, as it is stored and hashed.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// The entry.
    #[must_use]
    pub fn entry(&self) -> &Entry {
        &self.0.entry
    }

    /// Its leaf in the tree: SHA-256(00 ‖ salt ‖ entry), RFC 9162 §2.1.1.
    #[must_use]
    pub fn leaf(&self) -> Digest {
        Digest::from_bytes(sha256_parts(&[&[0], &self.0.bytes]))
    }
}

/// Prints its number only: a log tells who knows what of a person.
impl fmt::Debug for SaltedEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SaltedEntry").field("seq", &self.0.entry.seq).finish_non_exhaustive()
    }
}

/// One row of a log: an entry, or what is left of an erased one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no third: an entry is there or erased")]
pub enum Row {
    /// The entry is erased; its leaf keeps the log verifiable.
    Erased(Digest),
    /// The entry and its salt.
    Kept(SaltedEntry),
}

impl Row {
    /// The row's leaf.
    #[must_use]
    pub fn leaf(&self) -> Digest {
        match self {
            Self::Erased(leaf) => *leaf,
            Self::Kept(entry) => entry.leaf(),
        }
    }
}

/// A person's log: append-only, one a store, kept by the person's agent.
#[derive(Clone)]
pub struct Log {
    id: LogId,
    rows: Vec<Row>,
    tree: Tree,
}

impl Log {
    /// An empty log.
    #[must_use]
    pub fn new(id: LogId) -> Self {
        Self { id, rows: Vec::new(), tree: Tree::new() }
    }

    /// The log that `rows` make; each kept entry must say the number of its place.
    ///
    /// The result is as good as the rows: compare [`Log::root`] with a verified checkpoint ([`Log::matches`]).
    ///
    /// # Errors
    /// [`AuditError::Gap`] where an entry stands at another place than its number says.
    pub fn from_rows(id: LogId, rows: Vec<Row>) -> Result<Self, AuditError> {
        let mut log = Self::new(id);
        for row in rows {
            let seq = log.len();
            if matches!(&row, Row::Kept(entry) if entry.entry().seq != seq) {
                return Err(AuditError::Gap { seq });
            }
            log.push(row);
        }
        Ok(log)
    }

    /// The log's id.
    #[must_use]
    pub const fn id(&self) -> LogId {
        self.id
    }

    /// How many entries were ever appended.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.tree.size()
    }

    /// Whether nothing was appended yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The Merkle root over all leaves (RFC 9162 §2.1.1).
    #[must_use]
    pub fn root(&self) -> Digest {
        Digest::from_bytes(self.tree.root())
    }

    /// What a checkpoint or a receipt says of it now.
    #[must_use]
    pub fn state(&self) -> LogState {
        LogState { size: self.len(), root: self.root() }
    }

    /// All rows, oldest first.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Appends `entry`, giving it the next number and a salt of its own, and returns what is to be stored.
    pub fn append(&mut self, mut entry: Entry, rng: &mut impl CryptoRng) -> SaltedEntry {
        let mut salt = [0; SALT_LEN];
        rng.fill_bytes(&mut salt);
        entry.seq = self.len();
        let entry = SaltedEntry::seal(entry, &salt);
        self.push(Row::Kept(entry.clone()));
        entry
    }

    /// Forgets the content of entry `seq`; its leaf stays, so that the log remains verifiable. Erasing twice is
    /// harmless. Returns false when there is no such entry.
    pub fn erase(&mut self, seq: u64) -> bool {
        let Some(row) = usize::try_from(seq).ok().and_then(|index| self.rows.get_mut(index)) else { return false };
        *row = Row::Erased(row.leaf());
        true
    }

    /// Signs the state of the log.
    ///
    /// # Errors
    /// [`AuditError::Rejected`] when the signer can't sign.
    pub fn checkpoint(&self, signer: &impl Signer, now: Timestamp) -> Result<Vec<u8>, AuditError> {
        Checkpoint::sign(self.id, self.state(), now, signer)
    }

    /// Whether `checkpoint` describes exactly this log.
    ///
    /// # Errors
    /// [`AuditError::Rejected`] for another log, [`AuditError::Rollback`] when this log is shorter than the checkpoint or
    /// the reverse, [`AuditError::Fork`] when the roots differ at equal size.
    pub fn matches(&self, checkpoint: &Checkpoint) -> Result<(), AuditError> {
        if checkpoint.log() != self.id {
            return Err(AuditError::Rejected);
        }
        if checkpoint.size() != self.len() {
            return Err(AuditError::Rollback { seen: checkpoint.size(), got: self.len() });
        }
        if checkpoint.root() != self.root() {
            return Err(AuditError::Fork { size: self.len() });
        }
        Ok(())
    }

    /// The path that proves entry `seq` to be in the log of this size.
    ///
    /// # Errors
    /// [`AuditError::NotIncluded`] when there is no such entry.
    pub fn prove(&self, seq: u64) -> Result<Vec<[u8; 32]>, AuditError> {
        self.tree.inclusion(seq).map_err(AuditError::not_included)
    }

    /// The path that proves this log to continue the one of `size` entries.
    ///
    /// # Errors
    /// [`AuditError::Inconsistent`] when that size is 0 or above this one.
    pub fn prove_consistency(&self, size: u64) -> Result<Vec<[u8; 32]>, AuditError> {
        self.tree.consistency(size).map_err(|_| AuditError::Inconsistent)
    }

    /// The whole log as one file that verifies alone.
    ///
    /// # Errors
    /// [`AuditError::Rejected`] when the signer can't sign.
    pub fn export(&self, signer: &impl Signer, now: Timestamp) -> Result<Vec<u8>, AuditError> {
        let checkpoint = self.checkpoint(signer, now)?;
        Ok(crate::export::write(self, &checkpoint))
    }

    /// Reads and verifies an export: its numbers, its root, its signature by `key`.
    ///
    /// # Errors
    /// [`AuditError::Malformed`], [`AuditError::Gap`], [`AuditError::Rejected`], [`AuditError::Rollback`] when rows are
    /// missing at the end, [`AuditError::Fork`] when the rows are not those that were signed.
    pub fn import(bytes: &[u8], key: &VerifyKey) -> Result<(Self, Checkpoint), AuditError> {
        crate::export::read(bytes, key)
    }

    /// The entries `range` as one file that verifies alone: those that `is_shown` as they are, of the others only the leaf.
    ///
    /// The range must be a subtree: its start is 0, or a multiple of the least power of two that is not below its length.
    ///
    /// # Errors
    /// [`AuditError::NotIncluded`] for another range or an empty one, [`AuditError::Rejected`] when the signer can't sign.
    pub fn excerpt(
        &self,
        range: Range<u64>,
        is_shown: impl Fn(&Entry) -> bool,
        signer: &impl Signer,
        now: Timestamp,
    ) -> Result<Vec<u8>, AuditError> {
        if range.is_empty() {
            return Err(AuditError::NotIncluded);
        }
        let path = self.tree.subtree_consistency(range.start, range.end).map_err(AuditError::not_included)?;
        let checkpoint = self.checkpoint(signer, now)?;
        let places = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
        let rows = places.and_then(|(start, end)| self.rows.get(start..end)).ok_or(AuditError::NotIncluded)?;
        let rows: Vec<Row> = rows
            .iter()
            .map(|row| match row {
                Row::Kept(entry) if !is_shown(entry.entry()) => Row::Erased(entry.leaf()),
                row => row.clone(),
            })
            .collect();
        Ok(crate::export::write_excerpt(self.id, range, &path, &rows, &checkpoint))
    }

    fn push(&mut self, row: Row) {
        self.tree.push(*row.leaf().as_bytes());
        self.rows.push(row);
    }
}

/// Prints id and size.
impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("len", &self.len()).finish_non_exhaustive()
    }
}

pub(crate) const SALT_LEN: usize = 32;
