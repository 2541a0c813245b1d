//! See `deedbox_fuzz::facade::facade_answer`.
#![cfg_attr(fuzzing, no_main)]
deedbox_fuzz::target!(deedbox_fuzz::facade::facade_answer);
