//! A JSON document as a tree that remembers where each value stood, repeats no key and keeps each number's digits.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::{ImportError, MAX_DOCUMENT};

/// One value, and the byte of the document it starts at.
pub(crate) struct Tree<'a> {
    pub(crate) offset: usize,
    pub(crate) node: Node<'a>,
}

/// What a value is.
pub(crate) enum Node<'a> {
    Null,
    Bool(bool),
    /// The digits as they were written.
    Number(&'a str),
    Text(String),
    Array(Vec<Tree<'a>>),
    /// In the order of the document; no key twice.
    Object(Vec<(String, Tree<'a>)>),
}

impl<'a> Tree<'a> {
    /// A member of an object, by name.
    pub(crate) fn member(&self, name: &str) -> Option<&Tree<'a>> {
        match &self.node {
            Node::Object(members) => members.iter().find(|(key, _)| key == name).map(|(_, value)| value),
            _ => None,
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match &self.node {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Reads a whole document.
pub(crate) fn parse(document: &[u8]) -> Result<Tree<'_>, ImportError> {
    if document.len() > MAX_DOCUMENT {
        return Err(ImportError::TooLarge { limit: MAX_DOCUMENT });
    }
    if document.iter().all(u8::is_ascii_whitespace) {
        return Err(ImportError::Empty);
    }
    let raw: &RawValue = serde_json::from_slice(document)
        .map_err(|error| ImportError::NotJson { line: error.line(), column: error.column() })?;
    build(raw.get(), document, 0)
}

/// Builds the tree of `text`, a span of `document` that is known to be JSON.
///
/// Each level is read once more than the one above it; with at most [`MAX_DEPTH`] levels that stays linear.
fn build<'a>(text: &'a str, document: &[u8], depth: usize) -> Result<Tree<'a>, ImportError> {
    // INVARIANT: `text` lies inside `document`, so the difference of the addresses is its offset.
    let offset = (text.as_ptr().addr()).saturating_sub(document.as_ptr().addr());
    if depth > MAX_DEPTH {
        return Err(ImportError::TooDeep { offset });
    }
    let not_json = |_| ImportError::NotJson { line: 0, column: 0 };
    let node = match text.as_bytes().first() {
        Some(b'{') => {
            let Spans::<'a>(members) = serde_json::from_str(text).map_err(not_json)?;
            let mut keys: Vec<&str> = members.iter().map(|(key, _)| key.as_str()).collect();
            keys.sort_unstable();
            if keys.windows(2).any(|pair| pair.first() == pair.last()) {
                return Err(ImportError::DuplicateKey { offset });
            }
            let members = members.into_iter().map(|(key, raw)| Ok((key, build(raw.get(), document, depth + 1)?)));
            Node::Object(members.collect::<Result<_, _>>()?)
        }
        Some(b'[') => {
            let elements: Vec<&RawValue> = serde_json::from_str(text).map_err(not_json)?;
            let elements = elements.into_iter().map(|raw| build(raw.get(), document, depth + 1));
            Node::Array(elements.collect::<Result<_, _>>()?)
        }
        Some(b'"') => Node::Text(serde_json::from_str(text).map_err(not_json)?),
        Some(b't') => Node::Bool(true),
        Some(b'f') => Node::Bool(false),
        Some(b'n') => Node::Null,
        _ => Node::Number(text),
    };
    Ok(Tree { offset, node })
}

/// The members of one object in their order, repetitions included, each value as its span.
struct Spans<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Spans<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Spans<'de>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry::<String, &'de RawValue>()? {
                    members.push(member);
                }
                Ok(Spans(members))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
                Err(serde::de::Error::custom("not an object"))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// The document itself is level 0.
const MAX_DEPTH: usize = 24;
