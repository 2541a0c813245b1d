//! Host: change feed: commits, states, reads and polls in any order: the newest head and no other, nothing after a revocation, the end once.
#![cfg_attr(fuzzing, no_main)]
deedbox_fuzz::target!(deedbox_fuzz::host::host_feed);
