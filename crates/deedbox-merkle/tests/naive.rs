//! Every tree of up to 130 leaves against the definition of RFC 9162 §2.1, written down as it stands there; every altered
//! bit of a proof is refused.
#![expect(clippy::cast_possible_truncation, reason = "sizes here are small")]

use deedbox_merkle::{
    Frontier, Hash, ProofError, Tree, empty_root, leaf_hash, node_hash, verify_consistency, verify_inclusion,
    verify_subtree_consistency, verify_subtree_inclusion,
};

/// MTH of RFC 9162 §2.1.1.
fn naive(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            node_hash(&naive(left), &naive(right))
        }
    }
}

fn leaves(size: usize) -> Vec<Hash> {
    (0..size).map(|n| leaf_hash(&n.to_be_bytes())).collect()
}

#[test]
fn roots_are_those_of_the_definition() {
    let (mut tree, mut frontier) = (Tree::new(), Frontier::new());
    for size in 0..=130 {
        assert_eq!(tree.root(), naive(&leaves(size)));
        assert_eq!(frontier.root(), tree.root());
        assert_eq!((tree.size(), frontier.size()), (size as u64, size as u64));
        tree.push(leaf_hash(&size.to_be_bytes()));
        frontier.push(leaf_hash(&size.to_be_bytes())).unwrap();
    }
}

#[test]
fn every_leaf_of_every_tree_is_proved_at_its_place_only() {
    for size in 1..=130_u64 {
        let tree: Tree = leaves(size as usize).into_iter().collect();
        for index in 0..size {
            let (leaf, path) = (leaf_hash(&(index as usize).to_be_bytes()), tree.inclusion(index).unwrap());
            verify_inclusion(&leaf, index, size, &path, &tree.root()).unwrap();
            let elsewhere = (index + 1) % size;
            assert!(size == 1 || verify_inclusion(&leaf, elsewhere, size, &path, &tree.root()).is_err());
        }
        assert_eq!(tree.inclusion(size), Err(ProofError::OutOfRange));
    }
}

#[test]
fn every_tree_continues_every_smaller_one() {
    for size2 in 1..=130_u64 {
        let all = leaves(size2 as usize);
        let tree: Tree = all.iter().copied().collect();
        for size1 in 1..=size2 {
            let (root1, path) = (naive(&all[..size1 as usize]), tree.consistency(size1).unwrap());
            verify_consistency(size1, size2, &root1, &tree.root(), &path).unwrap();
            let mut other = root1;
            other[0] ^= 1;
            assert_eq!(verify_consistency(size1, size2, &other, &tree.root(), &path), Err(ProofError::Mismatch));
        }
        assert_eq!(tree.consistency(0), Err(ProofError::EmptyTree));
        assert_eq!(tree.consistency(size2 + 1), Err(ProofError::OutOfRange));
    }
}

#[test]
fn every_subtree_is_proved_whole_and_leaf_by_leaf() {
    for size in 1..=40_u64 {
        let all = leaves(size as usize);
        let tree: Tree = all.iter().copied().collect();
        for start in 0..=size {
            for end in start..=size {
                let Ok(root) = tree.subtree_root(start, end) else { continue };
                assert_eq!(root, naive(&all[start as usize..end as usize]));
                let path = tree.subtree_consistency(start, end).unwrap();
                verify_subtree_consistency(start, end, size, &root, &tree.root(), &path).unwrap();
                for index in start..end {
                    let path = tree.subtree_inclusion(index, start, end).unwrap();
                    verify_subtree_inclusion(&all[index as usize], index, start, end, &path, &root).unwrap();
                }
            }
        }
    }
    let tree: Tree = leaves(8).into_iter().collect();
    assert_eq!(tree.subtree_root(1, 3), Err(ProofError::NotASubtree));
    assert_eq!(tree.subtree_root(3, 2), Err(ProofError::OutOfRange));
}

#[test]
fn every_flipped_bit_and_every_other_length_of_a_path_is_refused() {
    let tree: Tree = leaves(13).into_iter().collect();
    for index in 0..13 {
        let (leaf, path) = (leaf_hash(&(index as usize).to_be_bytes()), tree.inclusion(index).unwrap());
        for bit in 0..path.len() * 256 {
            let mut altered = path.clone();
            altered[bit / 256][bit % 256 / 8] ^= 1 << (bit % 8);
            assert_eq!(verify_inclusion(&leaf, index, 13, &altered, &tree.root()), Err(ProofError::Mismatch));
        }
        let short = &path[..path.len() - 1];
        assert_eq!(verify_inclusion(&leaf, index, 13, short, &tree.root()), Err(ProofError::PathTooShort));
        let long = [&path[..], &[[0; 32]]].concat();
        assert_eq!(verify_inclusion(&leaf, index, 13, &long, &tree.root()), Err(ProofError::PathTooLong));
    }
    for size in 1..13 {
        let (root, path) = (naive(&leaves(size as usize)), tree.consistency(size).unwrap());
        for bit in 0..path.len() * 256 {
            let mut altered = path.clone();
            altered[bit / 256][bit % 256 / 8] ^= 1 << (bit % 8);
            assert_eq!(verify_consistency(size, 13, &root, &tree.root(), &altered), Err(ProofError::Mismatch));
        }
        let long = [&path[..], &[[0; 32]]].concat();
        assert_eq!(verify_consistency(size, 13, &root, &tree.root(), &long), Err(ProofError::PathTooLong));
        let short = &path[..path.len() - 1];
        assert_eq!(verify_consistency(size, 13, &root, &tree.root(), short), Err(ProofError::PathTooShort));
    }
}

#[test]
fn sizes_at_the_end_of_u64_do_not_overflow() {
    let (leaf, root) = ([1; 32], [2; 32]);
    for path in [&[][..], &[[0; 32]; 64][..], &[[0; 32]; 65][..]] {
        assert!(verify_inclusion(&leaf, u64::MAX - 1, u64::MAX, path, &root).is_err());
        assert!(verify_inclusion(&leaf, u64::MAX, u64::MAX, path, &root).is_err());
        assert!(verify_consistency(1 << 63, u64::MAX, &leaf, &root, path).is_err());
        assert!(verify_subtree_consistency(1 << 63, u64::MAX, u64::MAX, &leaf, &root, path).is_err());
        assert!(verify_subtree_inclusion(&leaf, u64::MAX - 1, 1 << 63, u64::MAX, path, &root).is_err());
    }
}
