//! Sealed messages: an altered one is refused, one under the true keys is taken once at most; what is refused moves nothing.
#![cfg_attr(fuzzing, no_main)]
deedbox_fuzz::target!(deedbox_fuzz::connect::connect_sealed);
