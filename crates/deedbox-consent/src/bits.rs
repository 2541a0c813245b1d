//! Sets of small numbers: one bit each, in words of 64.
use alloc::{vec, vec::Vec};

/// A set of numbers below a limit that was fixed when it was made; larger ones are never in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Bits(Vec<u64>);

/// A stretch of a set: these words, from word `at` on. What lies outside is not in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part<'a> {
    pub(crate) at: usize,
    pub(crate) words: &'a [u64],
}

impl Bits {
    /// The empty set of numbers below `limit`.
    pub(crate) fn new(limit: usize) -> Self {
        Self(vec![0; limit.div_ceil(64)])
    }

    /// All numbers below `limit`.
    pub(crate) fn full(limit: usize) -> Self {
        let mut bits = Self(vec![u64::MAX; limit.div_ceil(64)]);
        if let (Some(last), rest @ 1..) = (bits.0.last_mut(), limit % 64) {
            *last = (1 << rest) - 1;
        }
        bits
    }

    /// Empties the set and fits it to numbers below `limit`; allocates only if it was never that large.
    pub(crate) fn reset(&mut self, limit: usize) {
        self.0.clear();
        self.0.resize(limit.div_ceil(64), 0);
    }

    pub(crate) fn clear(&mut self) {
        self.0.fill(0);
    }

    pub(crate) fn insert(&mut self, number: usize) {
        if let Some(word) = self.0.get_mut(number / 64) {
            *word |= 1 << (number % 64);
        }
    }

    pub(crate) fn remove(&mut self, number: usize) {
        if let Some(word) = self.0.get_mut(number / 64) {
            *word &= !(1 << (number % 64));
        }
    }

    pub(crate) fn has(&self, number: usize) -> bool {
        self.0.get(number / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(|word| usize::try_from(word.count_ones()).unwrap_or_default()).sum()
    }

    pub(crate) fn is_subset(&self, of: &Self) -> bool {
        self.0.iter().zip(&of.0).all(|(these, those)| these & !those == 0)
    }

    /// Which of its words hold anything, those that are 64 apart taken together: sets whose outlines do not meet do not meet.
    pub(crate) fn outline(&self) -> u64 {
        self.0
            .chunks(64)
            .flat_map(|words| words.iter().zip(0..))
            .fold(0, |all, (word, place)| all | u64::from(*word != 0) << place)
    }

    /// Whether some number is in both.
    pub(crate) fn meets(&self, part: Part<'_>) -> bool {
        // No early end: without one it takes several words at a time.
        part.of(&self.0).zip(part.words).fold(0, |both, (these, those)| both | these & those) != 0
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(word, more)| *word |= more);
    }

    pub(crate) fn add_part(&mut self, part: Part<'_>) {
        part.of_mut(&mut self.0).zip(part.words).for_each(|(word, more)| *word |= more);
    }

    /// Adds of `part` what is not in `closed`.
    pub(crate) fn add_open(&mut self, part: Part<'_>, closed: &Self) {
        let places = part.of_mut(&mut self.0).zip(part.of(&closed.0)).zip(part.words);
        places.for_each(|((word, closed), more)| *word |= more & !closed);
    }

    /// Adds of `part` what is in `asked` and not in `closed`; tells whether there was any.
    pub(crate) fn add_asked(&mut self, part: Part<'_>, closed: &Self, asked: &Self) -> bool {
        let places = part.of_mut(&mut self.0).zip(part.of(&closed.0)).zip(part.of(&asked.0)).zip(part.words);
        let any = places.fold(0, |any, (((word, closed), asked), more)| {
            let added = more & !closed & asked;
            *word |= added;
            any | added
        });
        any != 0
    }

    pub(crate) fn subtract(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(word, less)| *word &= !less);
    }

    pub(crate) fn keep(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(word, kept)| *word &= kept);
    }

    /// The numbers in it, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().flat_map(|(index, word)| ones(*word).map(move |bit| index * 64 + bit))
    }

    /// The numbers in it that are also in `part`, ascending.
    pub(crate) fn both(&self, part: Part<'_>) -> impl Iterator<Item = usize> {
        let words = part.of(&self.0).zip(part.words).map(|(these, those)| these & those);
        (part.at..).zip(words).flat_map(|(index, word)| ones(word).map(move |bit| index * 64 + bit))
    }

    /// The stretch from the first word that holds anything to the last.
    pub(crate) fn part(&self) -> Part<'_> {
        let at = self.0.iter().position(|word| *word != 0).unwrap_or_default();
        let end = self.0.iter().rposition(|word| *word != 0).map_or(at, |last| last + 1);
        Part { at, words: self.0.get(at..end).unwrap_or_default() }
    }
}

impl Part<'_> {
    /// The words of a whole set that stand at its places.
    fn of<'s>(&self, set: &'s [u64]) -> core::slice::Iter<'s, u64> {
        set.get(self.at..self.at + self.words.len()).unwrap_or_default().iter()
    }

    fn of_mut<'s>(&self, set: &'s mut [u64]) -> core::slice::IterMut<'s, u64> {
        set.get_mut(self.at..self.at + self.words.len()).unwrap_or_default().iter_mut()
    }

    pub(crate) fn has(self, number: usize) -> bool {
        self.word(number / 64) >> (number % 64) & 1 == 1
    }

    /// The word at a place of the whole set.
    pub(crate) fn word(self, place: usize) -> u64 {
        place.checked_sub(self.at).and_then(|index| self.words.get(index)).copied().unwrap_or_default()
    }
}

/// The places of the ones in a word, ascending.
fn ones(mut word: u64) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let bit = usize::try_from(word.trailing_zeros()).ok().filter(|_| word != 0)?;
        word &= word - 1;
        Some(bit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_ends_at_the_limit() {
        for limit in [0, 1, 63, 64, 65, 128, 130] {
            let full = Bits::full(limit);
            assert_eq!(full.len(), limit);
            assert!(full.iter().eq(0..limit));
            assert!(!full.has(limit) && !full.has(limit + 64));
        }
    }

    #[test]
    fn parts_hold_what_their_sets_hold() {
        let mut bits = Bits::new(300);
        for number in [70, 75, 200] {
            bits.insert(number);
        }
        let part = bits.part();
        assert_eq!((part.at, part.words.len()), (1, 3));
        assert!((0..400).all(|number| part.has(number) == bits.has(number)));
        let mut copy = Bits::new(300);
        copy.add_part(part);
        assert_eq!(copy, bits);
        assert!(Bits::new(300).part().words.is_empty());
        assert_eq!(bits.outline(), 0b1010);
        assert!(Bits::full(300).both(part).eq([70, 75, 200]) && Bits::new(300).both(part).next().is_none());
    }

    #[test]
    fn what_was_removed_is_gone() {
        let mut bits = Bits::full(70);
        let mut some = Bits::new(70);
        some.insert(69);
        assert!(some.is_subset(&bits) && !bits.is_subset(&some));
        bits.subtract(&some);
        bits.remove(3);
        assert_eq!(bits.len(), 68);
        let mut open = Bits::new(70);
        open.add_open(bits.part(), &some);
        assert_eq!(open, bits);
        assert!(open.add_asked(some.part(), &Bits::new(70), &some) && !open.add_asked(some.part(), &some, &some));
        assert_eq!(open.len(), 69);
    }
}
