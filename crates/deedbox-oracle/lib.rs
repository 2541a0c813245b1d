//! Other engines as twins of ours; a workspace of its own, so that nothing of them stands in the lock file of what is shipped.
#![forbid(unsafe_code)]

pub mod value;
