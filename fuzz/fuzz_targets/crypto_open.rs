//! Altered ciphertexts of a real key.
#![cfg_attr(fuzzing, no_main)]
deedbox_fuzz::target!(deedbox_fuzz::crypto::crypto_open);
