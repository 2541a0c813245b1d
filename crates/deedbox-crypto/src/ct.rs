//! Comparison in constant time.

use subtle::ConstantTimeEq as _;

/// Whether two byte strings are equal, in time that depends on their lengths only.
#[must_use]
pub fn eq(left: &[u8], right: &[u8]) -> bool {
    left.ct_eq(right).into()
}
