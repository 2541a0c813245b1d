//! What a change takes and gives, against asking every request.
#![cfg_attr(fuzzing, no_main)]
deedbox_fuzz::target!(deedbox_fuzz::consent::consent_impact);
