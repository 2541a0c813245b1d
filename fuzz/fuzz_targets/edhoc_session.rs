//! EDHOC, both sides: two sessions of one handshake are equal.
#![cfg_attr(fuzzing, no_main)]
deedbox_fuzz::target!(deedbox_fuzz::edhoc::edhoc_session);
