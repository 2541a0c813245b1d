//! Host: what HTTP carries: events, problems, ranges and proofs: no panic; what is read is written the same again.
#![cfg_attr(fuzzing, no_main)]
deedbox_fuzz::target!(deedbox_fuzz::host::host_http);
