//! Public keys and signatures of any bytes.
#![cfg_attr(fuzzing, no_main)]
deedbox_fuzz::target!(deedbox_fuzz::crypto::crypto_keys);
