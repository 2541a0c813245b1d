//! Terms that a party offers: no panic on what was signed; an altered one is refused.
#![cfg_attr(fuzzing, no_main)]
deedbox_fuzz::target!(deedbox_fuzz::facade::facade_terms);
