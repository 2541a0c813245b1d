//! The words deedbox is spoken in, without cryptography: ids, time, field paths, assurance, provenance
