//! RFC 9162 Merkle tree, inclusion and consistency proofs, COSE Receipts (RFC 9942)
