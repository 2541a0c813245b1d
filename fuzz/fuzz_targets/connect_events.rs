//! Life cycle: ended stays ended; a side moves only to what both have signed; altered documents move nothing.
#![cfg_attr(fuzzing, no_main)]
deedbox_fuzz::target!(deedbox_fuzz::connect::connect_events);
