//! Blobs, written and read in pieces, whole and altered.
#![cfg_attr(fuzzing, no_main)]
deedbox_fuzz::target!(deedbox_fuzz::record::record_stream);
