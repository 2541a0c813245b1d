//! EDHOC message_2: no message_2 but the true one is taken.
#![cfg_attr(fuzzing, no_main)]
deedbox_fuzz::target!(deedbox_fuzz::edhoc::edhoc_message_2);
