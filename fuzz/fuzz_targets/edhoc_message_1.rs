//! EDHOC message_1: accepted identifiers and data are written the same again.
#![cfg_attr(fuzzing, no_main)]
deedbox_fuzz::target!(deedbox_fuzz::edhoc::edhoc_message_1);
