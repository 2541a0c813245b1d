//! A connection after first contact: messages while the other side is away, suspension, renewal, end and receipt, with a host
//! that does as it likes and back-ups that come back.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

#[path = "../shared/granted.rs"]
mod granted;
mod hostile;
#[cfg(all(feature = "http", feature = "http-client"))]
mod http;
mod life;
#[path = "../shared/local.rs"]
mod local;
#[path = "../shared/restorable.rs"]
#[expect(dead_code, reason = "what other tests need of it")]
mod restorable;
mod restored;
mod sides;
mod terms;
