//! The words.
#![expect(clippy::missing_panics_doc, reason = "a fuzz body fails by panicking")]

use deedbox_model::{FieldPath, Name};

/// No panic; a path's segments join to it again; an escaped name goes back to its text.
pub fn model_path(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(path) = FieldPath::parse(text) {
        assert_eq!(path.segments().collect::<Vec<_>>().join("."), text);
        assert!(text.len() <= FieldPath::MAX_LEN);
        if let Some(parent) = path.parent() {
            assert!(path.starts_with(&parent) && !parent.starts_with(&path));
        }
    }
    if let Ok(name) = Name::escape(text) {
        assert_eq!(name.unescape().as_deref(), Some(text));
    }
    if let Ok(name) = Name::parse(text)
        && let Some(source) = name.unescape()
    {
        assert_eq!(Name::escape(&source).as_ref(), Ok(&name));
    }
}
