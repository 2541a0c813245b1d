//! Persons and councils meet, agree, talk, leave each other messages, renew and part, with a host in between that does as it
//! likes.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod exhaustive;
mod first_contact;
mod host;
mod lifecycle;
mod memory;
mod met;
mod sealed;
mod stored;
