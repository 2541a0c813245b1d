//! Verification of proofs. Sizes are full u64: nothing here computes size + 1.

use crate::{
    ProofError,
    tree::{Hash, check_subtree, node_hash},
};

/// Verifies that `leaf` is leaf `index` of the tree of `size` leaves with this root, RFC 9162 §2.1.3.2.
///
/// # Errors
/// See [`ProofError`].
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, path: &[Hash], root: &Hash) -> Result<(), ProofError> {
    if inclusion_root(leaf, index, size, path)? == *root { Ok(()) } else { Err(ProofError::Mismatch) }
}

/// The root that a path gives for a leaf: to be compared with, or verified as, the tree's.
///
/// # Errors
/// See [`ProofError`].
pub fn inclusion_root(leaf: &Hash, index: u64, size: u64, path: &[Hash]) -> Result<Hash, ProofError> {
    if index >= size {
        return Err(ProofError::OutOfRange);
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in path {
        if last == 0 {
            return Err(ProofError::PathTooLong);
        }
        if node % 2 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node % 2 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last == 0 { Ok(hash) } else { Err(ProofError::PathTooShort) }
}

/// Verifies that the tree of `size2` leaves with `root2` continues the one of `size1` with `root1`, RFC 9162 §2.1.4.2.
///
/// # Errors
/// See [`ProofError`]; [`ProofError::EmptyTree`] when `size1` is 0.
pub fn verify_consistency(size1: u64, size2: u64, root1: &Hash, root2: &Hash, path: &[Hash]) -> Result<(), ProofError> {
    if size1 == 0 {
        return Err(ProofError::EmptyTree);
    }
    verify_subtree_consistency(0, size1, size2, root1, root2, path)
}

/// Verifies that `leaf` is leaf `index` of the subtree over `start..end` with this root.
///
/// # Errors
/// See [`ProofError`].
pub fn verify_subtree_inclusion(
    leaf: &Hash,
    index: u64,
    start: u64,
    end: u64,
    path: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    check_subtree(start, end)?;
    if index < start || index >= end {
        return Err(ProofError::OutOfRange);
    }
    verify_inclusion(leaf, index - start, end - start, path, root)
}

/// Verifies that the subtree over `start..end` with `root1` is part of the tree of `size` leaves with `root2`.
///
/// # Errors
/// See [`ProofError`].
pub fn verify_subtree_consistency(
    start: u64,
    end: u64,
    size: u64,
    root1: &Hash,
    root2: &Hash,
    path: &[Hash],
) -> Result<(), ProofError> {
    check_subtree(start, end)?;
    if end > size {
        return Err(ProofError::OutOfRange);
    }
    if start == end {
        return if !path.is_empty() {
            Err(ProofError::PathTooLong)
        } else if *root1 == crate::empty_root() {
            Ok(())
        } else {
            Err(ProofError::Mismatch)
        };
    }
    if subtree_roots(start, end, size, root1, path)? == (*root1, *root2) { Ok(()) } else { Err(ProofError::Mismatch) }
}

/// The root of the tree of `size2` leaves that a path gives for one of `size1` with `root1`: to be compared with, or
/// verified as, the tree's.
///
/// # Errors
/// See [`ProofError`]; [`ProofError::Mismatch`] when the path is not one of a tree with `root1`.
pub fn consistency_root(size1: u64, size2: u64, root1: &Hash, path: &[Hash]) -> Result<Hash, ProofError> {
    if size1 == 0 {
        return Err(ProofError::EmptyTree);
    }
    if size1 > size2 {
        return Err(ProofError::OutOfRange);
    }
    let (first, second) = subtree_roots(0, size1, size2, root1, path)?;
    if first == *root1 { Ok(second) } else { Err(ProofError::Mismatch) }
}

/// What a path gives for both roots. The range is a subtree that isn't empty, and `end` is at most `size`.
fn subtree_roots(start: u64, end: u64, size: u64, root1: &Hash, path: &[Hash]) -> Result<(Hash, Hash), ProofError> {
    if start == 0 && end == size {
        return if path.is_empty() { Ok((*root1, *root1)) } else { Err(ProofError::PathTooLong) };
    }
    // first, second and third node: where the subtree begins, where it ends, where the tree ends
    let (mut first, mut second, mut third) = (start, end - 1, size - 1);
    while if second == third { first != second } else { first != second && second % 2 == 1 } {
        first >>= 1;
        second >>= 1;
        third >>= 1;
    }
    let mut path = path.iter();
    let seed = if first == second { root1 } else { path.next().ok_or(ProofError::PathTooShort)? };
    let (mut of_first, mut of_second) = (*seed, *seed);
    for hash in path {
        if third == 0 {
            return Err(ProofError::PathTooLong);
        }
        if second % 2 == 1 || second == third {
            if first < second {
                of_first = node_hash(hash, &of_first);
            }
            of_second = node_hash(hash, &of_second);
            while second % 2 == 0 && second != 0 {
                first >>= 1;
                second >>= 1;
                third >>= 1;
            }
        } else {
            of_second = node_hash(&of_second, hash);
        }
        first >>= 1;
        second >>= 1;
        third >>= 1;
    }
    if third != 0 {
        return Err(ProofError::PathTooShort);
    }
    Ok((of_first, of_second))
}
