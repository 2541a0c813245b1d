//! FHIR Consent resources: nobody gets anything whom the caller did not name.
#![cfg_attr(fuzzing, no_main)]
deedbox_fuzz::target!(deedbox_fuzz::interop::interop_consent);
