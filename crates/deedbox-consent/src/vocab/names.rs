use alloc::vec::Vec;

use deedbox_model::Name;

/// Names in their order, numbered from 0, and found by their hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    sorted: Vec<Name>,
    /// INVARIANT: sorted by hash, names of one hash by number, which is the order of names.
    by_hash: Vec<(u64, Name, u32)>,
    /// Where in `by_hash` the hashes with these upper bits begin; one more than there are such bits.
    begins: Vec<u32>,
    /// How far a hash is shifted to leave the upper bits.
    shift: u32,
}

impl Names {
    /// Numbers `names`, which must be sorted.
    pub(crate) fn new<'a>(names: impl ExactSizeIterator<Item = &'a Name>) -> Self {
        let sorted: Vec<Name> = names.cloned().collect();
        let mut by_hash: Vec<(u64, Name, u32)> =
            (0..).zip(&sorted).map(|(number, name)| (hash(name), name.clone(), number)).collect();
        by_hash.sort_unstable();
        let bits = usize::BITS - sorted.len().leading_zeros();
        let shift = 64 - bits.max(1);
        let begin = |upper| by_hash.partition_point(|(hash, ..)| hash >> shift < upper);
        let begins = (0..=1_u64 << bits.max(1)).map(|upper| u32::try_from(begin(upper)).unwrap_or(u32::MAX)).collect();
        Self { sorted, by_hash, begins, shift }
    }

    pub(crate) fn len(&self) -> usize {
        self.sorted.len()
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Name> {
        self.sorted.iter()
    }

    pub(crate) fn get(&self, number: usize) -> Option<&Name> {
        self.sorted.get(number)
    }

    /// The number of `name`.
    pub(crate) fn number(&self, name: &Name) -> Option<usize> {
        let hash = hash(name);
        let upper = usize::try_from(hash >> self.shift).ok()?;
        let begin = |upper: usize| self.begins.get(upper).and_then(|begin| usize::try_from(*begin).ok());
        let bucket = self.by_hash.get(begin(upper)?..begin(upper + 1)?)?;
        // Whoever chooses names of one hash gains nothing: they are told apart by a binary search too.
        let found = bucket.binary_search_by(|(other, theirs, _)| other.cmp(&hash).then_with(|| theirs.cmp(name)));
        let (.., number) = bucket.get(found.ok()?)?;
        usize::try_from(*number).ok()
    }
}

/// Spreads names; nothing rests on it but speed.
fn hash(name: &Name) -> u64 {
    let (chunks, rest) = name.as_str().as_bytes().as_chunks::<8>();
    let mut last = [0; 8];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    let words = chunks.iter().chain([&last]).map(|chunk| u64::from_le_bytes(*chunk));
    let mixed = words.fold(0, |hash: u64, word| (hash ^ word).wrapping_mul(SPREAD).rotate_left(29));
    (mixed ^ mixed >> 32).wrapping_mul(SPREAD)
}

/// 2⁶⁴ divided by the golden ratio, odd.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use alloc::{collections::BTreeSet, format};

    use super::*;

    #[test]
    fn each_name_has_its_number_and_others_have_none() {
        for count in [0, 1, 2, 3, 64, 1000] {
            let sorted: BTreeSet<Name> =
                (0..count).map(|n| Name::parse(&format!("patient.name-{n}")).unwrap()).collect();
            let names = Names::new(sorted.iter());
            assert_eq!(names.len(), count);
            for (number, name) in sorted.iter().enumerate() {
                assert_eq!(names.number(name), Some(number));
                assert_eq!(names.get(number), Some(name));
            }
            for other in ["patient.name-", "patient.name-1000", "x"] {
                assert_eq!(names.number(&Name::parse(other).unwrap()), None);
            }
        }
    }
}
