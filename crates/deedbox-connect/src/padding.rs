//! Padding: what hides whether a handshake is a first or a later one, and all of a sealed message's length but its class.

use alloc::{vec, vec::Vec};

use deedbox_edhoc::Ead;
use zeroize::Zeroizing;

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

/// Ends `plaintext` with a marker and zeros, up to the class of its length: PADMÉ, and at least 256 bytes. `None` when the
/// length is beyond any class.
pub(crate) fn pad(plaintext: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let length = class(plaintext.len())?;
    let mut padded = Zeroizing::new(Vec::with_capacity(length));
    padded.extend_from_slice(plaintext);
    padded.push(MARKER);
    padded.resize(length, 0);
    Some(padded)
}

/// What stands before the marker, if the padding is the one that [`pad`] makes.
pub(crate) fn unpad(padded: &[u8]) -> Option<&[u8]> {
    let end = padded.iter().rposition(|byte| *byte != 0)?;
    let (plaintext, rest) = padded.split_at_checked(end)?;
    (rest.first() == Some(&MARKER) && class(end) == Some(padded.len())).then_some(plaintext)
}

/// The padded length of `length` bytes.
pub(crate) fn class(length: usize) -> Option<usize> {
    let length = u64::try_from(length.checked_add(1)?).ok()?.max(LEAST);
    // PADMÉ: with e = ⌊log2 length⌋ only the ⌊log2 e⌋ + 1 bits after the leading one are free. e is at least 8 here.
    let e = length.ilog2();
    let mask = 1_u64.checked_shl(e.checked_sub(e.ilog2().checked_add(1)?)?)?.checked_sub(1)?;
    usize::try_from(length.checked_add(mask)? & !mask).ok()
}

const MARKER: u8 = 0x80;
const LEAST: u64 = 256;

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    /// PADMÉ in words: of the length's binary digits after the first keep as many as the exponent's own length, and round up
    /// to the next number that has zeros behind those.
    fn oracle(length: usize) -> usize {
        let length = (length + 1).max(256);
        let exponent = format!("{length:b}").len() - 1;
        let kept = format!("{exponent:b}").len();
        let step = 1 << (exponent - kept);
        length.div_ceil(step) * step
    }

    #[test]
    fn classes_are_those_of_the_paper() {
        for length in 0..70_000 {
            assert_eq!(class(length), Some(oracle(length)), "{length}");
        }
        assert_eq!(class(usize::MAX), None);
    }

    #[test]
    fn only_the_padding_that_is_made_is_taken() {
        for length in [0, 1, 254, 255, 256, 257, 3230] {
            let plaintext = vec![0x80; length];
            let mut padded = pad(&plaintext).unwrap();
            assert_eq!(unpad(&padded), Some(&*plaintext));
            let mut longer = padded.clone();
            longer.push(0);
            assert_eq!(unpad(&longer), None);
            *padded.last_mut().unwrap() |= 1;
            assert_eq!(unpad(&padded), None);
        }
        assert_eq!((unpad(&[]), unpad(&[0; 256])), (None, None));
    }
}
