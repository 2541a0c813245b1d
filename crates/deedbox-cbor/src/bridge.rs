//! Typed application values through serde: read strictly, written deterministically.
