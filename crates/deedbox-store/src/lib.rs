//! Trait Storage over opaque bytes; memory and SQLite backends, one file per store
