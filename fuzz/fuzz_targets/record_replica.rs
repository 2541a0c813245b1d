//! A dataset and a lying host: the signed state or a typed error.
#![cfg_attr(fuzzing, no_main)]
deedbox_fuzz::target!(deedbox_fuzz::record::record_replica);
