use alloc::vec::Vec;

use deedbox_crypto::hash::{Sha256, sha256, sha256_parts};

use crate::ProofError;

/// A hash of the tree: SHA-256.
pub type Hash = [u8; 32];

/// The hash of a leaf's data: SHA-256(00 ‖ data), RFC 9162 §2.1.1.
#[must_use]
pub fn leaf_hash(data: &[u8]) -> Hash {
    leaf_hash_of(&[data])
}

/// The hash of a leaf whose data are these parts, one after another; lengths are the caller's to fix.
#[must_use]
pub fn leaf_hash_of(parts: &[&[u8]]) -> Hash {
    let mut hash = Sha256::new();
    hash.update(&[0]);
    for part in parts {
        hash.update(part);
    }
    hash.finish()
}

/// The hash of an inner node: SHA-256(01 ‖ left ‖ right).
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    sha256_parts(&[&[1], left, right])
}

/// The root of the empty tree: SHA-256 of nothing.
#[must_use]
pub fn empty_root() -> Hash {
    sha256(&[])
}

/// A tree that only grows and gives its root: at most 64 hashes, whatever its size.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    // INVARIANT (one hash a set bit of `size`, the largest subtree first).
    peaks: Vec<Hash>,
}

impl Frontier {
    /// The empty tree.
    #[must_use]
    pub const fn new() -> Self {
        Self { size: 0, peaks: Vec::new() }
    }

    /// How many leaves were appended.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf's hash.
    ///
    /// # Errors
    /// [`ProofError::OutOfRange`] at 2^64 - 1 leaves.
    pub fn push(&mut self, leaf: Hash) -> Result<(), ProofError> {
        let size = self.size.checked_add(1).ok_or(ProofError::OutOfRange)?;
        let mut node = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                node = node_hash(&left, &node);
            }
        }
        self.peaks.push(node);
        self.size = size;
        Ok(())
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        let Some(mut root) = peaks.next().copied() else { return empty_root() };
        for left in peaks {
            root = node_hash(left, &root);
        }
        root
    }
}

/// A tree that keeps what it needs to prove: twice its leaves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    // INVARIANT (level k holds the hashes of all complete subtrees of 2^k leaves that start at a multiple of 2^k).
    levels: Vec<Vec<Hash>>,
}

impl Tree {
    /// The empty tree.
    #[must_use]
    pub const fn new() -> Self {
        Self { levels: Vec::new() }
    }

    /// How many leaves it has.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.levels.first().map_or(0, |leaves| u64::try_from(leaves.len()).unwrap_or(u64::MAX))
    }

    /// Appends a leaf's hash.
    pub fn push(&mut self, leaf: Hash) {
        let mut node = leaf;
        for level in 0.. {
            if self.levels.len() <= level {
                self.levels.push(Vec::new());
            }
            let Some(hashes) = self.levels.get_mut(level) else { return };
            hashes.push(node);
            if hashes.len() % 2 == 1 {
                return;
            }
            if let [.., left, right] = hashes.as_slice() {
                node = node_hash(left, right);
            }
        }
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.range(0, self.size())
    }

    /// The root of the subtree over the leaves `start..end`.
    ///
    /// # Errors
    /// [`ProofError::NotASubtree`], [`ProofError::OutOfRange`].
    pub fn subtree_root(&self, start: u64, end: u64) -> Result<Hash, ProofError> {
        check_subtree(start, end)?;
        if end > self.size() { Err(ProofError::OutOfRange) } else { Ok(self.range(start, end)) }
    }

    /// The path that proves leaf `index` to be in the tree, RFC 9162 §2.1.3.1.
    ///
    /// # Errors
    /// [`ProofError::OutOfRange`] when there is no such leaf.
    pub fn inclusion(&self, index: u64) -> Result<Vec<Hash>, ProofError> {
        self.subtree_inclusion(index, 0, self.size())
    }

    /// The path that proves leaf `index` to be in the subtree over `start..end`.
    ///
    /// # Errors
    /// [`ProofError::NotASubtree`], [`ProofError::OutOfRange`].
    pub fn subtree_inclusion(&self, index: u64, start: u64, end: u64) -> Result<Vec<Hash>, ProofError> {
        check_subtree(start, end)?;
        if end > self.size() || index < start || index >= end {
            return Err(ProofError::OutOfRange);
        }
        let mut path = Vec::new();
        let (mut start, mut end) = (start, end);
        while end - start > 1 {
            let middle = start + split(end - start);
            if index < middle {
                path.push(self.range(middle, end));
                end = middle;
            } else {
                path.push(self.range(start, middle));
                start = middle;
            }
        }
        path.reverse();
        Ok(path)
    }

    /// The path that proves this tree to continue the one of its first `size` leaves, RFC 9162 §2.1.4.1.
    ///
    /// # Errors
    /// [`ProofError::EmptyTree`] for size 0, [`ProofError::OutOfRange`] for one above this tree's.
    pub fn consistency(&self, size: u64) -> Result<Vec<Hash>, ProofError> {
        if size == 0 { Err(ProofError::EmptyTree) } else { self.subtree_consistency(0, size) }
    }

    /// The path that proves the subtree over `start..end` to be part of this tree.
    ///
    /// # Errors
    /// [`ProofError::NotASubtree`], [`ProofError::OutOfRange`].
    pub fn subtree_consistency(&self, start: u64, end: u64) -> Result<Vec<Hash>, ProofError> {
        check_subtree(start, end)?;
        if end > self.size() {
            return Err(ProofError::OutOfRange);
        }
        let mut path = Vec::new();
        if start == end {
            return Ok(path);
        }
        let (mut low, mut high) = (0, self.size());
        // Where the part of the subtree begins that lies in this range, and whether that is all of it.
        let (mut start, mut whole) = (start, true);
        while (start, end) != (low, high) {
            let middle = low + split(high - low);
            if end <= middle {
                path.push(self.range(middle, high));
                high = middle;
            } else {
                path.push(self.range(low, middle));
                if start < middle {
                    (start, whole) = (middle, false);
                }
                low = middle;
            }
        }
        if !whole {
            path.push(self.range(low, high));
        }
        path.reverse();
        Ok(path)
    }

    /// The hash over `start..end`, which is an aligned range within the tree.
    fn range(&self, start: u64, end: u64) -> Hash {
        let len = end.saturating_sub(start);
        if len == 0 {
            return empty_root();
        }
        if len.is_power_of_two() && start.is_multiple_of(len) {
            let level = usize::try_from(len.trailing_zeros()).ok().and_then(|level| self.levels.get(level));
            let hash = level.zip(usize::try_from(start / len).ok()).and_then(|(level, index)| level.get(index));
            return hash.copied().unwrap_or_default();
        }
        let middle = start + split(len);
        node_hash(&self.range(start, middle), &self.range(middle, end))
    }
}

impl FromIterator<Hash> for Tree {
    fn from_iter<I: IntoIterator<Item = Hash>>(leaves: I) -> Self {
        let mut tree = Self::new();
        leaves.into_iter().for_each(|leaf| tree.push(leaf));
        tree
    }
}

/// The largest power of two below `len`, which is at least 2.
fn split(len: u64) -> u64 {
    1 << (63 - len.saturating_sub(1).leading_zeros().min(63))
}

/// Whether `start..end` is a subtree: its start is 0, or its end, or a multiple of the least power of two that holds it.
pub(crate) fn check_subtree(start: u64, end: u64) -> Result<(), ProofError> {
    if start > end {
        return Err(ProofError::OutOfRange);
    }
    let mask = match end - start {
        0 | 1 => 0,
        len => u64::MAX >> (len - 1).leading_zeros(),
    };
    if start == 0 || start == end || start & mask == 0 { Ok(()) } else { Err(ProofError::NotASubtree) }
}
