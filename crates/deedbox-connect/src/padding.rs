//! Padding: what hides whether a handshake is a first or a later one.

use alloc::vec;

use alloc::vec::Vec;
use deedbox_edhoc::Ead;

/// PLAINTEXT_2 is padded to a multiple of this.
pub(crate) const STEP_2: usize = 128;
/// PLAINTEXT_3 is padded to a multiple of this.
pub(crate) const STEP_3: usize = 256;

/// The EAD items, label 0, that fill `length` up to a multiple of `step`, which is at most 256. Filler is zero.
pub(crate) fn ead(length: usize, step: usize) -> Vec<Ead> {
    let missing = match length.checked_rem(step) {
        None | Some(0) => 0,
        Some(over) => step.saturating_sub(over),
    };
    let filler = |len: usize| Ead::new(0, Some(vec![0; len]));
    match missing {
        0 => Vec::new(),
        1 => vec![Ead::new(0, None)],
        // A byte string of up to 23 bytes has a head of one byte, a longer one of two.
        2..=25 => vec![filler(missing.saturating_sub(2))],
        26 => vec![Ead::new(0, None), filler(23)],
        _ => vec![filler(missing.saturating_sub(3))],
    }
}
