//! See `deedbox_fuzz::cose::cose_sign1`.
#![cfg_attr(fuzzing, no_main)]
deedbox_fuzz::target!(deedbox_fuzz::cose::cose_sign1);
