//! Merkle trees as RFC 9162 defines them: append-only, with proofs that a leaf is in a tree and that one tree continues
//! another.
//!
//! [`Tree`] makes proofs, [`Frontier`] only roots; [`verify_inclusion`], [`verify_consistency`] and their twins for subtrees
//! check them, and need neither. A [`Receipt`] (RFC 9942) is such a proof with the root's signature, in one file.
//!
//! ```
//! use deedbox_merkle::{Tree, leaf_hash, verify_consistency, verify_inclusion};
//!
//! let mut tree: Tree = [b"one", b"two"].map(|data| leaf_hash(data)).into_iter().collect();
//! let before = tree.root();
//! tree.push(leaf_hash(b"three"));
//! verify_inclusion(&leaf_hash(b"two"), 1, 3, &tree.inclusion(1)?, &tree.root())?;
//! verify_consistency(2, 3, &before, &tree.root(), &tree.consistency(2)?)?;
//! # Ok::<(), deedbox_merkle::ProofError>(())
//! ```
//!
//! # Roles, and the life of a tree
//!
//! Who keeps a log appends and proves; who was shown a root keeps it, and asks for consistency with the next one. The record
//! format uses the same tree over a dataset's objects.
//!
//! # What must never be reused
//!
//! Nothing here is secret. A leaf whose data can be guessed is not hidden by its hash: salt it.
//!
//! # What it does not protect
//!
//! A proof says that a leaf is under a root. Whose root it is, and how old, is for a signature to say; and since a root
//! doesn't fix its number of leaves, what signs a root should sign the size with it. A [`Receipt`] doesn't (RFC 9942), so the
//! size and the index in it are claims.
//!
//! # Features
//!
//! `std` (default). Without it the crate needs `alloc`.
//!
//! The algorithms are specified in `docs/format/merkle.md`.
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod error;
mod proof;
mod receipt;
mod tree;

pub use error::ProofError;
pub use proof::{
    consistency_root, inclusion_root, verify_consistency, verify_inclusion, verify_subtree_consistency,
    verify_subtree_inclusion,
};
pub use receipt::{Continued, Included, Receipt, ReceiptError, consistency_receipt, inclusion_receipt};
pub use tree::{Frontier, Hash, Tree, empty_root, leaf_hash, leaf_hash_of, node_hash};
