//! Handover of a grant: no panic, accepted bytes are written the same again.
#![cfg_attr(fuzzing, no_main)]
deedbox_fuzz::target!(deedbox_fuzz::facade::facade_handover);
