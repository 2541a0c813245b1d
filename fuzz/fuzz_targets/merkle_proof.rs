//! See `deedbox_fuzz::merkle::merkle_proof`.
#![cfg_attr(fuzzing, no_main)]
deedbox_fuzz::target!(deedbox_fuzz::merkle::merkle_proof);
