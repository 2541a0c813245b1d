//! Heads: anybody's bytes, and claims that the right key signed.
#![cfg_attr(fuzzing, no_main)]
deedbox_fuzz::target!(deedbox_fuzz::record::record_head);
