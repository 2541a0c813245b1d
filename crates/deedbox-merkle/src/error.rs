/// Why a proof does not hold, or can't be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The empty tree includes nothing and is continued without proof.
    #[error("the tree is empty")]
    EmptyTree,
    /// The path is right in length and leads elsewhere: this leaf, tree or root is another one.
    #[error("the proof leads to another root")]
    Mismatch,
    /// The range is no subtree: its start is not a multiple of the least power of two that holds it.
    #[error("the range is no subtree")]
    NotASubtree,
    /// An index or size beyond the tree.
    #[error("out of range")]
    OutOfRange,
    /// More hashes than the proof needs.
    #[error("the path is too long")]
    PathTooLong,
    /// Fewer hashes than the proof needs.
    #[error("the path is too short")]
    PathTooShort,
}

impl ProofError {
    /// The variant's name, stable once released.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::EmptyTree => "EmptyTree",
            Self::Mismatch => "Mismatch",
            Self::NotASubtree => "NotASubtree",
            Self::OutOfRange => "OutOfRange",
            Self::PathTooLong => "PathTooLong",
            Self::PathTooShort => "PathTooShort",
        }
    }
}
