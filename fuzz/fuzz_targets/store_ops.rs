//! See `deedbox_fuzz::store::store_ops`.
#![cfg_attr(fuzzing, no_main)]
deedbox_fuzz::target!(deedbox_fuzz::store::store_ops);
