use alloc::sync::Arc;
use core::fmt;

use deedbox_cbor::{Item, Writer};

/// Where a field stands: segments joined by dots, such as `Patient.name.0.family`.
///
/// At most 1,024 bytes of UTF-8; no segment is empty; no control characters. A segment may hold any other character;
/// a producer whose names hold dots escapes them. CBOR: text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldPath(Arc<str>);

/// Why a text is no [`FieldPath`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// A control character; escape or refuse the input.
    #[error("control character at byte {offset}")]
    Control {
        /// Where.
        offset: usize,
    },
    /// No segment, or an empty one; refuse the input.
    #[error("empty segment at byte {offset}")]
    EmptySegment {
        /// Where.
        offset: usize,
    },
    /// More than 1,024 bytes; refuse the input.
    #[error("path is longer than 1024 bytes")]
    TooLong,
}

impl PathError {
    /// The variant's name.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Control { .. } => "Control",
            Self::EmptySegment { .. } => "EmptySegment",
            Self::TooLong => "TooLong",
        }
    }
}

impl FieldPath {
    /// The most bytes a path has.
    pub const MAX_LEN: usize = 1024;

    /// Checks `text`.
    ///
    /// # Errors
    /// [`PathError::TooLong`] first, then the first fault from the left.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        if text.len() > Self::MAX_LEN {
            return Err(PathError::TooLong);
        }
        let mut segment_is_empty = true;
        for (offset, character) in text.char_indices() {
            match character {
                '.' if segment_is_empty => return Err(PathError::EmptySegment { offset }),
                '.' => segment_is_empty = true,
                control if control.is_control() => return Err(PathError::Control { offset }),
                _ => segment_is_empty = false,
            }
        }
        if segment_is_empty { Err(PathError::EmptySegment { offset: text.len() }) } else { Ok(Self(text.into())) }
    }

    /// The whole path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segments, outermost first; at least one.
    #[must_use]
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('.')
    }

    /// The path with `segment` below it.
    ///
    /// # Errors
    /// As [`FieldPath::parse`] of the whole; `segment` may itself hold dots.
    pub fn join(&self, segment: &str) -> Result<Self, PathError> {
        Self::parse(&alloc::format!("{self}.{segment}"))
    }

    /// The path one level up, unless this is the top.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('.').map(|(parent, _)| Self(parent.into()))
    }

    /// Whether this is `other` or lies below it.
    #[must_use]
    pub fn starts_with(&self, other: &Self) -> bool {
        self.0.strip_prefix(other.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }

    /// Reads text.
    #[must_use]
    pub fn decode(item: Item<'_>) -> Option<Self> {
        Self::parse(item.as_str()?).ok()
    }

    /// Writes text.
    pub fn encode(&self, writer: &mut Writer) {
        writer.text(&self.0);
    }
}

impl fmt::Debug for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FieldPath({:?})", &*self.0)
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::str::FromStr for FieldPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use alloc::{string::String, vec::Vec};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn faults_are_named() {
        let cases = [
            ("", Err(PathError::EmptySegment { offset: 0 })),
            (".a", Err(PathError::EmptySegment { offset: 0 })),
            ("a..b", Err(PathError::EmptySegment { offset: 2 })),
            ("a.", Err(PathError::EmptySegment { offset: 2 })),
            ("a\nb", Err(PathError::Control { offset: 1 })),
            ("a\u{85}", Err(PathError::Control { offset: 1 })),
        ];
        for (text, want) in cases {
            assert_eq!(FieldPath::parse(text), want, "{text:?}");
        }
        assert!(FieldPath::parse("Größe.0.x y").is_ok());
    }

    #[test]
    fn length_ends_at_1024() {
        assert!(FieldPath::parse(&"a".repeat(1024)).is_ok());
        assert_eq!(FieldPath::parse(&"a".repeat(1025)), Err(PathError::TooLong));
    }

    #[test]
    fn a_prefix_of_letters_is_no_parent() {
        let path = |text| FieldPath::parse(text).unwrap();
        assert!(path("a.bc").starts_with(&path("a")));
        assert!(path("a").starts_with(&path("a")));
        assert!(!path("a.bc").starts_with(&path("a.b")));
        assert_eq!(path("a.bc").parent(), Some(path("a")));
        assert_eq!(path("a").parent(), None);
        assert_eq!(path("a").join("0.b"), Ok(path("a.0.b")));
    }

    proptest! {
        #[test]
        fn segments_join_to_the_path(text: String) {
            if let Ok(path) = FieldPath::parse(&text) {
                prop_assert_eq!(path.segments().collect::<Vec<_>>().join("."), text);
                prop_assert!(path.segments().all(|segment| !segment.is_empty()));
            }
        }
    }
}
