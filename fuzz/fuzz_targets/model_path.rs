//! Field paths and escaped names.
#![cfg_attr(fuzzing, no_main)]
deedbox_fuzz::target!(deedbox_fuzz::model::model_path);
