//! See `deedbox_fuzz::cbor::cbor_strict`.
#![cfg_attr(fuzzing, no_main)]
deedbox_fuzz::target!(deedbox_fuzz::cbor::cbor_strict);
