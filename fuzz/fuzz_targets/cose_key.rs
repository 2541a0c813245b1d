//! See `deedbox_fuzz::cose::cose_key`.
#![cfg_attr(fuzzing, no_main)]
deedbox_fuzz::target!(deedbox_fuzz::cose::cose_key);
