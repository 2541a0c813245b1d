//! EDHOC message_3: data arrives as it was sent; an altered message is refused.
#![cfg_attr(fuzzing, no_main)]
deedbox_fuzz::target!(deedbox_fuzz::edhoc::edhoc_message_3);
