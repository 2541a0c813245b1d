//! Memory that is wiped.

use alloc::vec::Vec;
use core::{
    mem,
    ops::{Deref, DerefMut},
};

use zeroize::{Zeroize as _, Zeroizing};

/// Bytes that are wiped when dropped, all at once: `Zeroizing<Vec<u8>>` writes one byte after the other, which for a large
/// content takes a seventh of the time of its encryption.
#[derive(Default)]
pub(crate) struct Wiped(Vec<u8>);

impl Wiped {
    pub(crate) const fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub(crate) fn into_zeroizing(mut self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(mem::take(&mut self.0))
    }
}

impl Drop for Wiped {
    fn drop(&mut self) {
        // Elements are wiped one by one, but the room behind them, which then is all there is, in one go.
        self.0.clear();
        self.0.zeroize();
    }
}

impl Deref for Wiped {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for Wiped {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}
