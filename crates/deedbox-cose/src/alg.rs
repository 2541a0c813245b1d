/// A signature algorithm. The set is closed: a key of another kind is not read, a header naming another is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "closed on purpose: a caller must notice a new algorithm")]
pub enum Algorithm {
    /// Ed25519 (RFC 8032), strict verification. The only one that deedbox itself signs with.
    Ed25519,
    /// ECDSA with P-256 and SHA-256; verified with the feature `es256`, signed elsewhere.
    Es256,
    /// ECDSA with P-384 and SHA-384; verified with the feature `es384`, signed elsewhere.
    Es384,
}

impl Algorithm {
    /// The algorithm that the COSE identifier `id` names: the fully specified ones of RFC 9864 and, for what others have
    /// written, their predecessors.
    #[must_use]
    pub const fn from_id(id: i64) -> Option<Self> {
        match id {
            -19 | -8 => Some(Self::Ed25519),
            -9 | -7 => Some(Self::Es256),
            -51 | -35 => Some(Self::Es384),
            _ => None,
        }
    }

    /// The identifier that is written.
    #[must_use]
    pub const fn id(self) -> i64 {
        match self {
            Self::Ed25519 => -19,
            Self::Es256 => -9,
            Self::Es384 => -51,
        }
    }

    /// The length of its signatures in bytes.
    #[must_use]
    pub const fn signature_len(self) -> usize {
        match self {
            Self::Ed25519 | Self::Es256 => 64,
            Self::Es384 => 96,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for algorithm in [Algorithm::Ed25519, Algorithm::Es256, Algorithm::Es384] {
            assert_eq!(Algorithm::from_id(algorithm.id()), Some(algorithm));
        }
    }

    #[test]
    fn nothing_else_is_read() {
        let known = (-100_000..=100_000).filter(|id| Algorithm::from_id(*id).is_some());
        assert!(known.eq([-51, -35, -19, -9, -8, -7]));
    }
}
