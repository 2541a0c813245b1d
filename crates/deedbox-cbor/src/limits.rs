/// How much a reader takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub(crate) max_len: usize,
    pub(crate) max_depth: usize,
}

impl Limits {
    /// At most `max_len` bytes and 32 nested containers (arrays, maps and tags).
    #[must_use]
    pub const fn new(max_len: usize) -> Self {
        Self { max_len, max_depth: 32 }
    }

    /// Another depth, at most 64.
    #[must_use]
    pub const fn with_depth(self, max_depth: usize) -> Self {
        let max_depth = if max_depth < DEEPEST { max_depth } else { DEEPEST };
        Self { max_depth, ..self }
    }
}

/// In which order the keys of a map must stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "RFC 8949 knows no third")]
pub enum Order {
    /// Any; equal keys are refused.
    Any,
    /// Bytewise ascending by their encoding, RFC 8949 §4.2.1.
    Canonical,
}

/// However deep a caller allows: the reader's stack stays small.
pub(crate) const DEEPEST: usize = 64;
