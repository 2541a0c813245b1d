//! Portability export: accepted bytes are written the same again; its JSON is JSON.
#![cfg_attr(fuzzing, no_main)]
deedbox_fuzz::target!(deedbox_fuzz::interop::interop_portable);
