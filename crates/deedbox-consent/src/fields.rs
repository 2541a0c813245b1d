#[cfg(feature = "reference")]
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::{sync::Arc, vec::Vec};
use core::fmt;

use deedbox_model::{Name, Timestamp};

use crate::{
    Bounds,
    bits::Bits,
    vocab::{Names, Words},
};

/// A set of fields of one vocabulary; what [`Evaluator::filter`](crate::Evaluator::filter) writes.
#[derive(Clone)]
pub struct FieldSet {
    pub(crate) words: Arc<Words>,
    pub(crate) bits: Bits,
    /// What a filter needs beside its result; empty in other sets.
    pub(crate) scratch: Bits,
}

impl FieldSet {
    pub(crate) fn of(words: &Arc<Words>, bits: Bits) -> Self {
        Self { words: Arc::clone(words), bits, scratch: Bits::default() }
    }

    /// Whether `field` is in it.
    #[must_use]
    pub fn contains(&self, field: &Name) -> bool {
        self.words.fields().number(field).is_some_and(|field| self.bits.has(field))
    }

    /// How many fields are in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bits.len()
    }

    /// Whether no field is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bits.is_empty()
    }

    /// The fields, by name.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Name> {
        Members { names: self.words.fields(), left: self.len(), bits: self.bits.iter() }
    }
}

/// Sets are equal when their fields have the same names.
impl PartialEq for FieldSet {
    fn eq(&self, other: &Self) -> bool {
        if Arc::ptr_eq(&self.words, &other.words) { self.bits == other.bits } else { self.iter().eq(other.iter()) }
    }
}

impl Eq for FieldSet {}

impl fmt::Debug for FieldSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// The names of a set's numbers, and how many are left.
struct Members<'a, I> {
    names: &'a Names,
    left: usize,
    bits: I,
}

impl<'a, I: Iterator<Item = usize>> Iterator for Members<'a, I> {
    type Item = &'a Name;

    fn next(&mut self) -> Option<&'a Name> {
        let name = self.names.get(self.bits.next()?)?;
        self.left = self.left.saturating_sub(1);
        Some(name)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<I: Iterator<Item = usize>> ExactSizeIterator for Members<'_, I> {}

/// Which fields leave, by the time a record is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Released {
    /// Those that leave for some record at least.
    fields: FieldSet,
    /// Which leave for records from this time on, up to the next step; none if the time does not matter.
    ///
    /// INVARIANT: the first step begins at 0, and two that follow each other differ.
    steps: Vec<(Timestamp, Bits)>,
}

impl Released {
    /// Takes what leaves from each of `steps` on, which ascend from 0.
    pub(crate) fn new(words: &Arc<Words>, mut steps: Vec<(Timestamp, Bits)>) -> Self {
        steps.dedup_by(|next, before| next.1 == before.1);
        let fields = match steps.as_slice() {
            [_] => steps.pop().map(|(_, bits)| bits).unwrap_or_default(),
            _ => {
                let mut fields = Bits::new(words.fields().len());
                steps.iter().for_each(|(_, bits)| fields.add(bits));
                fields
            }
        };
        Self { fields: FieldSet::of(words, fields), steps }
    }

    /// Takes for each field the times of the records that leave.
    #[cfg(feature = "reference")]
    pub(crate) fn collect(words: &Arc<Words>, fields: &BTreeMap<&Name, Vec<Bounds>>) -> Self {
        let mut begins = BTreeSet::from([Timestamp::from_secs(0)]);
        begins.extend(fields.values().flatten().flat_map(Bounds::ends));
        let step = |begin: Timestamp| {
            let mut bits = Bits::new(words.fields().len());
            for (field, _) in fields.iter().filter(|(_, bounds)| bounds.iter().any(|bounds| bounds.contains(begin))) {
                words.fields().number(field).into_iter().for_each(|field| bits.insert(field));
            }
            (begin, bits)
        };
        Self::new(words, begins.into_iter().map(step).collect())
    }

    pub(crate) const fn fields(&self) -> &FieldSet {
        &self.fields
    }

    pub(crate) fn admits(&self, field: &Name, record_time: Timestamp) -> bool {
        let step = self.steps.iter().rfind(|(begin, _)| *begin <= record_time);
        let bits = step.map_or(&self.fields.bits, |(_, bits)| bits);
        self.fields.words.fields().number(field).is_some_and(|field| bits.has(field))
    }

    /// The record times at which `field` leaves.
    pub(crate) fn bounds(&self, field: &Name) -> Vec<Bounds> {
        let mut bounds: Vec<Bounds> = Vec::new();
        let Some(field) = self.fields.words.fields().number(field) else { return bounds };
        if self.steps.is_empty() && self.fields.bits.has(field) {
            bounds.push(Bounds::OPEN);
        }
        let ends = self.steps.iter().skip(1).map(|(begin, _)| Some(*begin)).chain([None]);
        for ((begin, bits), until) in self.steps.iter().zip(ends) {
            if bits.has(field) {
                match bounds.last_mut().filter(|last| last.until == Some(*begin)) {
                    Some(last) => last.until = until,
                    None => bounds.push(Bounds { from: Some(*begin).filter(|begin| begin.secs() > 0), until }),
                }
            }
        }
        bounds
    }
}
