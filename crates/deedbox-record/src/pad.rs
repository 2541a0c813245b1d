//! Padding: PADMÉ hides all of a length but its leading bits, at most 12 % more.

/// PADMÉ: `len` rounded up so that with e = ⌊log2 len⌋ only the leading ⌊log2 e⌋ + 1 bits after the first are free.
pub(crate) fn padme(len: u64) -> Option<u64> {
    if len < 2 {
        return Some(len);
    }
    let e = len.ilog2();
    // e is at least 1.
    let s = e.ilog2() + 1;
    let mask = 1_u64.checked_shl(e.checked_sub(s)?)?.checked_sub(1)?;
    Some(len.checked_add(mask)? & !mask)
}

/// The length of a payload of `len` with its marker and zeros.
pub(crate) fn padded(len: usize) -> Option<usize> {
    let padded = padme(u64::try_from(len.checked_add(1)?).ok()?)?;
    Some(usize::try_from(padded).ok()?.max(LEAST))
}

/// The payload's length within a padded body: what stands before the marker. `None` when there is no marker.
pub(crate) fn unpad(body: &[u8]) -> Option<usize> {
    let end = body.iter().rposition(|byte| *byte != 0)?;
    (body.get(end) == Some(&MARKER)).then_some(end)
}

/// Ends the payload.
pub(crate) const MARKER: u8 = 0x80;
/// The least length of a padded body.
const LEAST: usize = 64;

#[cfg(test)]
mod tests {
    use alloc::format;

    use proptest::prelude::*;

    use super::*;

    /// PADMÉ in words: write the length in binary; of its digits after the first keep as many as the exponent's own length,
    /// and round up to the next number that has zeros behind those.
    fn oracle(len: u64) -> u64 {
        if len < 2 {
            return len;
        }
        let exponent = format!("{len:b}").len() - 1;
        let kept = format!("{exponent:b}").len();
        let step = 2_u64.pow(u32::try_from(exponent - kept).unwrap());
        len.div_ceil(step) * step
    }

    #[test]
    fn small_lengths_agree_with_the_paper() {
        for len in 0..100_000 {
            assert_eq!(padme(len), Some(oracle(len)), "{len}");
        }
    }

    #[test]
    fn at_most_twelve_percent_more_and_it_stays_put() {
        for len in 65..300_000_u64 {
            let padded = padme(len).unwrap();
            assert!(padded >= len && padded * 100 <= len * 112, "{len}");
            assert_eq!(padme(padded), Some(padded));
        }
        assert_eq!(padded(usize::MAX), None);
    }

    #[test]
    fn without_a_marker_there_is_no_payload() {
        assert_eq!(unpad(&[]), None);
        assert_eq!(unpad(&[0; 64]), None);
        assert_eq!(unpad(&[1, 2, 3]), None);
        assert_eq!(unpad(&[0x80]), Some(0));
        assert_eq!(unpad(&[0x80, 0x80, 0]), Some(1));
    }

    proptest! {
        #[test]
        fn round_trip(payload in proptest::collection::vec(any::<u8>(), 0..600), more in 0..200_usize) {
            let mut body = payload.clone();
            body.push(MARKER);
            body.resize(padded(payload.len()).unwrap() + more, 0);
            prop_assert_eq!(unpad(&body), Some(payload.len()));
        }
    }
}
