//! Alterations of bytes, each of which must be noticed. All are made lazily, one copy at a time.

/// Each copy with one bit flipped, eight for each byte.
pub fn flips(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    (0..bytes.len()).flat_map(move |at| {
        (0..8).map(move |bit| {
            let mut copy = bytes.to_vec();
            if let Some(byte) = copy.get_mut(at) {
                *byte ^= 1 << bit;
            }
            copy
        })
    })
}

/// Each copy that is cut short, the empty one first.
pub fn truncations(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    (0..bytes.len()).map(move |len| bytes.get(..len).unwrap_or_default().to_vec())
}

/// Copies with something after or before them: a zero, a byte of ones, sixteen zeros, the last byte again, the whole again.
pub fn extensions(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let last = bytes.last().copied().unwrap_or_default();
    let more = [vec![0], vec![0xff], vec![0; 16], vec![last], if bytes.is_empty() { vec![1] } else { bytes.to_vec() }];
    let after = more.clone().into_iter().map(move |more| [bytes, &more].concat());
    let before = more.into_iter().map(move |more| [&more, bytes].concat());
    after.chain(before).filter(move |copy| copy != bytes)
}

/// Each copy in which two spans of `len` bytes, one right after the other, have changed places; where the two are equal there
/// is no such copy. At every offset.
pub fn swaps(bytes: &[u8], len: usize) -> impl Iterator<Item = Vec<u8>> + '_ {
    let last = bytes.len().saturating_sub(len.saturating_mul(2));
    (0..=last).filter_map(move |at| {
        let mut copy = bytes.to_vec();
        let (left, right) = copy.get_mut(at..)?.split_at_mut_checked(len)?;
        left.swap_with_slice(right.get_mut(..len)?);
        (copy != bytes).then_some(copy)
    })
}

/// All of the above, with spans of 1, 16 and 32 bytes.
pub fn all(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let swaps = [1, 16, 32].into_iter().flat_map(move |len| swaps(bytes, len));
    flips(bytes).chain(truncations(bytes)).chain(extensions(bytes)).chain(swaps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alteration_alters_and_none_is_forgotten() {
        let bytes: Vec<u8> = (0..80).collect();
        assert_eq!(flips(&bytes).count(), 640);
        assert_eq!(truncations(&bytes).count(), 80);
        assert_eq!(extensions(&bytes).count(), 10);
        assert_eq!((swaps(&bytes, 1).count(), swaps(&bytes, 16).count(), swaps(&bytes, 32).count()), (79, 49, 17));
        assert!(all(&bytes).all(|copy| copy != bytes));
        assert_eq!(all(&[]).count(), 10);
        assert_eq!(swaps(&[1, 1, 2], 1).collect::<Vec<_>>(), [[1, 2, 1]]);
    }
}
