//! The only deedbox crate that names a primitive: typed keys, secrets that wipe themselves, one table of all labels
