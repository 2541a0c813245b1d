/// Why bytes are not the strict CBOR that was asked for. `offset` is the byte at which the faulty item, key or length begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CborError {
    /// A map has two keys with equal bytes.
    #[error("duplicate map key at byte {offset}")]
    DuplicateKey {
        /// Where the second key begins.
        offset: usize,
    },
    /// The input ends inside an item, or a length reaches beyond the end.
    #[error("the input ends inside the item at byte {offset}")]
    Eof {
        /// Where the item begins.
        offset: usize,
    },
    /// An indefinite length, or a break without one.
    #[error("indefinite length at byte {offset}")]
    Indefinite {
        /// Where it stands.
        offset: usize,
    },
    /// A head, float or NaN that a shorter form holds exactly.
    #[error("not the shortest form at byte {offset}")]
    NonPreferred {
        /// Where it stands.
        offset: usize,
    },
    /// A map key that does not come after the one before it, bytewise. Only with [`crate::Order::Canonical`].
    #[error("map key out of order at byte {offset}")]
    NotCanonical {
        /// Where the key begins.
        offset: usize,
    },
    /// Additional information 28 to 30, or 31 where no indefinite length exists.
    #[error("reserved head at byte {offset}")]
    Reserved {
        /// Where it stands.
        offset: usize,
    },
    /// A two-byte simple value below 32.
    #[error("malformed simple value at byte {offset}")]
    Simple {
        /// Where it stands.
        offset: usize,
    },
    /// More nested arrays, maps and tags than allowed.
    #[error("nested deeper than {limit} levels at byte {offset}")]
    TooDeep {
        /// Where the level too much begins.
        offset: usize,
        /// The limit.
        limit: usize,
    },
    /// More bytes than the caller allows.
    #[error("longer than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// Bytes after the item.
    #[error("trailing bytes at byte {offset}")]
    Trailing {
        /// Where they begin.
        offset: usize,
    },
    /// Text that is not UTF-8.
    #[error("text is not UTF-8 at byte {offset}")]
    Utf8 {
        /// Where the text begins.
        offset: usize,
    },
}

impl CborError {
    /// The variant's name, stable once released.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::DuplicateKey { .. } => "DuplicateKey",
            Self::Eof { .. } => "Eof",
            Self::Indefinite { .. } => "Indefinite",
            Self::NonPreferred { .. } => "NonPreferred",
            Self::NotCanonical { .. } => "NotCanonical",
            Self::Reserved { .. } => "Reserved",
            Self::Simple { .. } => "Simple",
            Self::TooDeep { .. } => "TooDeep",
            Self::TooLong { .. } => "TooLong",
            Self::Trailing { .. } => "Trailing",
            Self::Utf8 { .. } => "Utf8",
        }
    }
}
