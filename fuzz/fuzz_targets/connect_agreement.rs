//! Agreement, first contact: an altered agreement, or third message, is refused.
#![cfg_attr(fuzzing, no_main)]
deedbox_fuzz::target!(deedbox_fuzz::connect::connect_agreement);
