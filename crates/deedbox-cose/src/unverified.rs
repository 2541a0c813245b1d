use core::fmt;

/// Something that was read but not verified: it may be looked at, to find the key, and then verified.
///
/// It can't be copied, so what was peeked at can't be kept as if it had been verified:
///
/// ```compile_fail
/// fn keep<'a>(read: &deedbox_cose::Unverified<deedbox_cose::Sign1<'a>>) -> deedbox_cose::Sign1<'a> {
///     read.peek().clone()
/// }
/// ```
pub struct Unverified<T>(pub(crate) T);

impl<T> Unverified<T> {
    /// Marks `value` as read but not verified.
    #[must_use]
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// What was read. Nothing of it is true until it is verified.
    #[must_use]
    pub const fn peek(&self) -> &T {
        &self.0
    }
}

/// Prints nothing of what was read.
impl<T> fmt::Debug for Unverified<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unverified").finish_non_exhaustive()
    }
}
