//! Whoever watches a log takes exactly what continues what was seen last.
#![cfg_attr(fuzzing, no_main)]
deedbox_fuzz::target!(deedbox_fuzz::audit::audit_observe);
