//! Strict, deterministic CBOR (RFC 8949): zero-copy reader with spans, writer, serde at the edges
