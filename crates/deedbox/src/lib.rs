//! A personal data store for any Rust service: the person holds the keys, the host sees nothing, providers connect under signed terms
