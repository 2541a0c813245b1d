//! Record, its body, stored session: accepted bodies are written the same again; an altered record is refused.
#![cfg_attr(fuzzing, no_main)]
deedbox_fuzz::target!(deedbox_fuzz::connect::connect_record);
