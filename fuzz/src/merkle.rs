//! Merkle proofs and receipts.
#![expect(clippy::unwrap_used, reason = "a fuzz body fails by panicking")]

use std::sync::LazyLock;

use deedbox_cose::{LocalSigner, Signer as _, VerifyKey};
use deedbox_merkle::{
    Hash, Receipt, Tree, consistency_receipt, consistency_root, inclusion_receipt, leaf_hash, verify_consistency,
    verify_inclusion, verify_subtree_consistency, verify_subtree_inclusion,
};
use deedbox_testkit::rng::SeededRng;

use crate::altered;

/// A true path over which the input is XORed is accepted exactly when it is unaltered; no size and no path panics.
/// Input: three sizes of 8 bytes, then the path.
pub fn merkle_proof(data: &[u8]) {
    let mut rest = data;
    let mut size = || {
        let (number, tail) = rest.split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
        rest = tail;
        u64::from_be_bytes(*number)
    };
    let [first, second, third] = [size(), size(), size()];
    let (root, leaf) = ([1; 32], [2; 32]);
    let path: Vec<Hash> = rest.chunks_exact(32).filter_map(|hash| hash.try_into().ok()).collect();
    let _ = verify_inclusion(&leaf, first, second, &path, &root);
    let _ = verify_consistency(first, second, &root, &leaf, &path);
    let _ = consistency_root(first, second, &root, &path);
    let _ = verify_subtree_inclusion(&leaf, first, second, third, &path, &root);
    let _ = verify_subtree_consistency(first, second, third, &root, &leaf, &path);

    let tree: Tree = (0..=second % 130).map(|n| leaf_hash(&n.to_be_bytes())).collect();
    let index = first % tree.size();
    let leaf = leaf_hash(&index.to_be_bytes());
    let path = tree.inclusion(index).unwrap();
    let other = xor(&path, rest);
    assert_eq!(verify_inclusion(&leaf, index, tree.size(), &other, &tree.root()).is_ok(), other == path);
    let (size, path) = (index + 1, tree.consistency(index + 1).unwrap());
    let root = tree.subtree_root(0, size).unwrap();
    let other = xor(&path, rest);
    assert_eq!(verify_consistency(size, tree.size(), &root, &tree.root(), &other).is_ok(), other == path);
}

/// A true receipt over which the input is XORed verifies for the signed root only, and is then altered in its claimed
/// sizes at most.
pub fn merkle_receipt(data: &[u8]) {
    let Receipts { key, root, earlier, inclusion, consistency } = &*RECEIPTS;
    let included = |bytes: &[u8]| Receipt::parse(bytes)?.verify_inclusion(&leaf_hash(&[4]), key);
    let continued = |bytes: &[u8]| Receipt::parse(bytes)?.verify_consistency(6, earlier, key);
    let bytes = altered(inclusion, data);
    match included(&bytes) {
        Ok(included) => {
            assert_eq!(included.root(), root);
            assert!(included.claimed_size() != 11 || included.claimed_index() != 4 || &bytes == inclusion);
        }
        Err(_) => assert_ne!(&bytes, inclusion),
    }
    let bytes = altered(consistency, data);
    match continued(&bytes) {
        Ok(continued) => {
            assert_eq!(continued.root(), root);
            assert!(continued.claimed_size() != 11 || &bytes == consistency);
        }
        Err(_) => assert_ne!(&bytes, consistency),
    }
    let _ = (included(data).is_ok(), continued(data).is_ok());
}

/// Receipts of a tree of eleven leaves, made once: of leaf 4, and of the tree of six.
struct Receipts {
    key: VerifyKey,
    root: Hash,
    earlier: Hash,
    inclusion: Vec<u8>,
    consistency: Vec<u8>,
}

static RECEIPTS: LazyLock<Receipts> = LazyLock::new(|| {
    let signer = LocalSigner::generate(&mut SeededRng::new(1));
    let tree: Tree = (0..11_u8).map(|n| leaf_hash(&[n])).collect();
    Receipts {
        key: signer.public().clone(),
        root: tree.root(),
        earlier: tree.subtree_root(0, 6).unwrap(),
        inclusion: inclusion_receipt(&signer, &tree, 4).unwrap(),
        consistency: consistency_receipt(&signer, &tree, 6).unwrap(),
    }
});

fn xor(path: &[Hash], data: &[u8]) -> Vec<Hash> {
    altered(path.as_flattened(), data).chunks_exact(32).filter_map(|hash| hash.try_into().ok()).collect()
}
