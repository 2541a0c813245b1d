//! Requests: no panic, an answer, and they encode to the same bytes.
#![cfg_attr(fuzzing, no_main)]
deedbox_fuzz::target!(deedbox_fuzz::consent::consent_request);
