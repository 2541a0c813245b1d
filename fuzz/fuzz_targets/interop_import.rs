//! See `deedbox_fuzz::interop::interop_import`.
#![cfg_attr(fuzzing, no_main)]
deedbox_fuzz::target!(deedbox_fuzz::interop::interop_import);
