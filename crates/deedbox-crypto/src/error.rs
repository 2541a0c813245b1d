/// A cryptographic check failed. Which one is not told, so that nobody learns from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("rejected")]
pub struct Rejected;

/// More output was asked for than HKDF can give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more than 8160 bytes of derived output")]
pub struct TooLong;
