//! The encrypted record format: container, keys, slots, signed heads, bundle
