//! Grants: anybody's bytes, claims that the right key signed, and an altered grant.
#![cfg_attr(fuzzing, no_main)]
deedbox_fuzz::target!(deedbox_fuzz::record::record_grant);
