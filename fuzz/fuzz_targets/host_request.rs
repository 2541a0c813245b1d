//! See `deedbox_fuzz::host::host_request`.
#![cfg_attr(fuzzing, no_main)]
deedbox_fuzz::target!(deedbox_fuzz::host::host_request);
