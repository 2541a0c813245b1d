//! See `deedbox_fuzz::audit::audit_entry`.
#![cfg_attr(fuzzing, no_main)]
deedbox_fuzz::target!(deedbox_fuzz::audit::audit_entry);
