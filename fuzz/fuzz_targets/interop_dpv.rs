//! Tables of the Data Privacy Vocabulary.
#![cfg_attr(fuzzing, no_main)]
deedbox_fuzz::target!(deedbox_fuzz::interop::interop_dpv);
