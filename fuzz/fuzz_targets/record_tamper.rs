//! Containers that were sealed and then altered.
#![cfg_attr(fuzzing, no_main)]
deedbox_fuzz::target!(deedbox_fuzz::record::record_tamper);
