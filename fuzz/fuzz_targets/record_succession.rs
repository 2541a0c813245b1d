//! Succession of owners: nobody's word but the owner's is accepted.
#![cfg_attr(fuzzing, no_main)]
deedbox_fuzz::target!(deedbox_fuzz::record::record_succession);
