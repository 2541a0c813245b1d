//! The compiled rules against the reference.
#![cfg_attr(fuzzing, no_main)]
deedbox_fuzz::target!(deedbox_fuzz::consent::consent_index);
