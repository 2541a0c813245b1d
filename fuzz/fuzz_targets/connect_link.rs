//! Link, QR code, web address: accepted links are written the same again.
#![cfg_attr(fuzzing, no_main)]
deedbox_fuzz::target!(deedbox_fuzz::connect::connect_link);
