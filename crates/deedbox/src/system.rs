//! The clock and the randomness of this system: the facade fetches them, nothing below does.

use std::time::{SystemTime, UNIX_EPOCH};

use deedbox_model::Timestamp;

/// The system's time.
#[expect(clippy::disallowed_methods, reason = "the one place where deedbox reads a clock")]
pub(crate) fn now() -> Timestamp {
    // Before 1970 nothing is valid yet.
    Timestamp::from_secs(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

/// The system's randomness. It panics when the system has none: the one condition under which the facade does.
#[cfg(any(feature = "person", feature = "provider"))]
pub(crate) fn rng() -> rand_core::UnwrapErr<getrandom::SysRng> {
    rand_core::UnwrapErr(getrandom::SysRng)
}
