use alloc::{string::String, sync::Arc, vec::Vec};
use core::{borrow::Borrow, fmt};

use deedbox_cbor::{Item, Writer};

/// A word of a vocabulary: `[a-z0-9][a-z0-9_.:/-]{0,95}`.
///
/// Names what rules speak about: purposes, categories, fields, parties, clusters, conditions, rules. CBOR: text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// Why a text is no [`Name`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// A character that names do not have, at this byte; escape with [`Name::escape`], or refuse.
    #[error("no name has the character at byte {offset}")]
    Character {
        /// Where.
        offset: usize,
    },
    /// No character at all; refuse.
    #[error("name is empty")]
    Empty,
    /// More than 96 bytes, after escaping if that was asked; shorten, or name it by a digest.
    #[error("name is longer than 96 bytes")]
    TooLong,
}

impl NameError {
    /// The variant's name.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Character { .. } => "Character",
            Self::Empty => "Empty",
            Self::TooLong => "TooLong",
        }
    }
}

impl Name {
    /// The most bytes a name has.
    pub const MAX_LEN: usize = 96;

    /// Checks `text`.
    ///
    /// # Errors
    /// [`NameError::Empty`], [`NameError::TooLong`], then [`NameError::Character`] of the first fault.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > Self::MAX_LEN {
            return Err(NameError::TooLong);
        }
        match text.bytes().enumerate().position(|(index, byte)| !(is_plain(byte) || index > 0 && is_sign(byte))) {
            Some(offset) => Err(NameError::Character { offset }),
            None => Ok(Self(text.into())),
        }
    }

    /// Maps any text to a name, different texts to different names: for names that come from elsewhere, such as the
    /// paths of a JSON document.
    ///
    /// `a`–`z`, digits, `_`, `.` and `-` stay. A capital becomes `:` and its small letter; every other byte becomes `/`
    /// and two hex digits. If the first character then is no letter or digit, `f/` goes before it (an escape never
    /// follows `/` with a sign, so this is unmistakable). [`Name::unescape`] goes back.
    ///
    /// # Errors
    /// [`NameError::Empty`], or [`NameError::TooLong`] of the result.
    ///
    /// # Examples
    /// ```
    /// use deedbox_model::Name;
    ///
    /// let name = Name::escape("Patient.birthDate")?;
    /// assert_eq!(name.as_str(), "f/:patient.birth:date");
    /// assert_eq!(name.unescape().as_deref(), Some("Patient.birthDate"));
    /// assert_eq!(Name::escape("address.city")?.as_str(), "address.city");
    /// # Ok::<(), deedbox_model::NameError>(())
    /// ```
    pub fn escape(text: &str) -> Result<Self, NameError> {
        let mut name = String::with_capacity(text.len().min(Self::MAX_LEN));
        for byte in text.bytes() {
            if name.len() > Self::MAX_LEN {
                return Err(NameError::TooLong);
            }
            match byte {
                b'_' | b'.' | b'-' => name.push(char::from(byte)),
                byte if is_plain(byte) => name.push(char::from(byte)),
                b'A'..=b'Z' => name.extend([':', char::from(byte.to_ascii_lowercase())]),
                other => name.push_str(&alloc::format!("/{other:02x}")),
            }
        }
        if name.bytes().next().is_some_and(is_sign) {
            name.insert_str(0, "f/");
        }
        Self::parse(&name)
    }

    /// The text [`Name::escape`] made this name from; `None` if it makes no such name.
    #[must_use]
    pub fn unescape(&self) -> Option<String> {
        let mut text = Vec::with_capacity(self.0.len());
        let marked = self.0.strip_prefix("f/").filter(|rest| rest.bytes().next().is_some_and(is_sign));
        let mut bytes = marked.unwrap_or(&self.0).bytes();
        while let Some(byte) = bytes.next() {
            text.push(match byte {
                b':' => bytes.next().filter(u8::is_ascii_lowercase)?.to_ascii_uppercase(),
                b'/' => hex_digit(bytes.next()?)? << 4 | hex_digit(bytes.next()?)?,
                plain => plain,
            });
        }
        let text = String::from_utf8(text).ok()?;
        (Self::escape(&text).as_ref() == Ok(self)).then_some(text)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
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

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({:?})", &*self.0)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::str::FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::parse(text)
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

fn is_sign(byte: u8) -> bool {
    matches!(byte, b'_' | b'.' | b':' | b'/' | b'-')
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn faults_are_named() {
        assert_eq!(Name::parse(""), Err(NameError::Empty));
        assert_eq!(Name::parse(&"a".repeat(97)), Err(NameError::TooLong));
        assert!(Name::parse(&"a".repeat(96)).is_ok());
        for (text, offset) in [("A", 0), ("_a", 0), ("a b", 1), ("ä", 0), ("a\0", 1)] {
            assert_eq!(Name::parse(text), Err(NameError::Character { offset }), "{text:?}");
        }
        assert!(Name::parse("0a_.:/-").is_ok());
    }

    #[test]
    fn escapes_do_not_meet() {
        let cases = [
            ("X", "f/:x"),
            ("fX", "f:x"),
            ("f/:x", "f/2f/3ax"),
            ("_x", "f/_x"),
            ("/x", "f//2fx"),
            ("f/x", "f/2fx"),
            ("ä", "f//c3/a4"),
        ];
        for (text, name) in cases {
            assert_eq!(Name::escape(text).unwrap().to_string(), name);
        }
        assert_eq!(Name::escape(&"A".repeat(1000)), Err(NameError::TooLong));
        assert_eq!(Name::parse("a/61").unwrap().unescape(), None, "a letter needs no escape");
    }

    proptest! {
        #[test]
        fn escape_goes_back(text in ".{1,40}") {
            if let Ok(name) = Name::escape(&text) {
                prop_assert_eq!(name.unescape(), Some(text));
            }
        }

        #[test]
        fn unescape_goes_back(text in "[a-f0-9][a-f0-9_.:/-]{0,12}") {
            let name = Name::parse(&text).unwrap();
            if let Some(text) = name.unescape() {
                prop_assert_eq!(Name::escape(&text), Ok(name));
            }
        }
    }
}
