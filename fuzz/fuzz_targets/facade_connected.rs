//! A provider's connection, and the way to its mailboxes, are refused or written the same again.
#![cfg_attr(fuzzing, no_main)]
deedbox_fuzz::target!(deedbox_fuzz::facade::facade_connected);
