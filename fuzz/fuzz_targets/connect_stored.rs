//! Stored connections, and the states that wait for a person: what is taken is written the same again.
#![cfg_attr(fuzzing, no_main)]
deedbox_fuzz::target!(deedbox_fuzz::connect::connect_stored);
