/// Why a document was not imported. Nothing of it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The document holds no field at all.
    #[error("the document is empty")]
    Empty,
    /// One object names a member twice; which of the two is meant can't be known. Mend the document.
    #[error("an object repeats a key, near byte {offset}")]
    DuplicateKey {
        /// Where the object starts that repeats a key.
        offset: usize,
    },
    /// Not JSON (RFC 8259) in UTF-8.
    #[error("not JSON, at line {line}, column {column}")]
    NotJson {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// A resource of the bundle has no `resourceType`, or the bundle's entries are not what FHIR R4 defines.
    #[error("not a FHIR bundle: entry {entry} is no resource")]
    NotFhir {
        /// Which entry, from 0.
        entry: usize,
    },
    /// A number with more digits or a larger exponent than 64 bits hold.
    #[error("a number is out of range, near byte {offset}")]
    NumberOutOfRange {
        /// Where the number starts.
        offset: usize,
    },
    /// A field's path is longer than 1,024 bytes.
    #[error("a path is too long, near byte {offset}")]
    PathTooLong {
        /// Where the value starts.
        offset: usize,
    },
    /// Nested deeper than 24 levels.
    #[error("nested too deep, near byte {offset}")]
    TooDeep {
        /// Where the level too much starts.
        offset: usize,
    },
    /// The document is larger than 64 MiB.
    #[error("the document is larger than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// One value is larger than a record may hold.
    #[error("a value is larger than {limit} bytes, near byte {offset}")]
    ValueTooLarge {
        /// Where the value starts.
        offset: usize,
        /// The limit, in bytes.
        limit: usize,
    },
}

impl ImportError {
    /// The variant's name, stable once released.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::DuplicateKey { .. } => "DuplicateKey",
            Self::Empty => "Empty",
            Self::NotFhir { .. } => "NotFhir",
            Self::NotJson { .. } => "NotJson",
            Self::NumberOutOfRange { .. } => "NumberOutOfRange",
            Self::PathTooLong { .. } => "PathTooLong",
            Self::TooDeep { .. } => "TooDeep",
            Self::TooLarge { .. } => "TooLarge",
            Self::ValueTooLarge { .. } => "ValueTooLarge",
        }
    }
}
