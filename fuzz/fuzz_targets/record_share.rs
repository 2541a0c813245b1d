//! Shares of threshold slots: anybody's, and a true one altered.
#![cfg_attr(fuzzing, no_main)]
deedbox_fuzz::target!(deedbox_fuzz::record::record_share);
