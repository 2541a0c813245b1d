use core::fmt;

use deedbox_cbor::{Item, Writer};

/// A moment: whole seconds since 1970-01-01T00:00:00Z, as the agent's or host's clock tells, never a message's.
///
/// CBOR: an unsigned integer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

/// A stretch of time: `not_before ≤ now < not_after`; without an end it is open.
///
/// CBOR: `[uint, uint / null]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Validity {
    not_before: Timestamp,
    not_after: Option<Timestamp>,
}

/// The number of a write to one place, 1 for the first; it never falls and never repeats.
///
/// CBOR: an unsigned integer, not 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(u64);

/// The number of a key's generation, 1 for the first.
///
/// CBOR: an unsigned integer below 2³², not 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(u32);

impl Timestamp {
    /// The moment `secs` seconds after the start of 1970.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs)
    }

    /// Seconds since the start of 1970.
    #[must_use]
    pub const fn secs(self) -> u64 {
        self.0
    }

    /// The moment `secs` later, unless there is none.
    #[must_use]
    pub const fn checked_add_secs(self, secs: u64) -> Option<Self> {
        match self.0.checked_add(secs) {
            Some(secs) => Some(Self(secs)),
            None => None,
        }
    }

    /// The moment `secs` later, or the last there is.
    #[must_use]
    pub const fn saturating_add_secs(self, secs: u64) -> Self {
        Self(self.0.saturating_add(secs))
    }

    /// The moment `secs` earlier, or the first there is.
    #[must_use]
    pub const fn saturating_sub_secs(self, secs: u64) -> Self {
        Self(self.0.saturating_sub(secs))
    }

    /// Seconds from `earlier` to this moment; 0 when `earlier` is later.
    #[must_use]
    pub const fn saturating_sub(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Reads an unsigned integer.
    #[must_use]
    pub fn decode(item: Item<'_>) -> Option<Self> {
        item.as_u64().map(Self)
    }

    /// Writes an unsigned integer.
    pub fn encode(&self, writer: &mut Writer) {
        writer.uint(self.0);
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timestamp({})", self.0)
    }
}

/// The number of seconds.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Validity {
    /// From `not_before` on, up to but not including `not_after`; `None` when it would hold no moment.
    #[must_use]
    pub fn new(not_before: Timestamp, not_after: Option<Timestamp>) -> Option<Self> {
        not_after.is_none_or(|end| not_before < end).then_some(Self { not_before, not_after })
    }

    /// From `not_before` on, without end.
    #[must_use]
    pub const fn starting(not_before: Timestamp) -> Self {
        Self { not_before, not_after: None }
    }

    /// The first moment inside.
    #[must_use]
    pub const fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// The first moment outside again.
    #[must_use]
    pub const fn not_after(&self) -> Option<Timestamp> {
        self.not_after
    }

    /// Whether `now` lies inside.
    #[must_use]
    pub fn contains(&self, now: Timestamp) -> bool {
        self.not_before <= now && self.not_after.is_none_or(|end| now < end)
    }

    /// Reads `[uint, uint / null]` that holds a moment.
    #[must_use]
    pub fn decode(item: Item<'_>) -> Option<Self> {
        let [start, end] = item.as_array()?.exactly()?;
        let end = if end.is_null() { None } else { Some(Timestamp::decode(end)?) };
        Self::new(Timestamp::decode(start)?, end)
    }

    /// Writes `[uint, uint / null]`.
    pub fn encode(&self, writer: &mut Writer) {
        writer.array(2).uint(self.not_before.0);
        match self.not_after {
            Some(end) => writer.uint(end.0),
            None => writer.null(),
        };
    }
}

impl Seq {
    /// The first number.
    pub const FIRST: Self = Self(1);

    /// The number `seq`, unless 0.
    #[must_use]
    pub const fn new(seq: u64) -> Option<Self> {
        if seq == 0 { None } else { Some(Self(seq)) }
    }

    /// The bare number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number after this one, unless it was the last.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        match self.0.checked_add(1) {
            Some(next) => Some(Self(next)),
            None => None,
        }
    }

    /// Reads an unsigned integer that is not 0.
    #[must_use]
    pub fn decode(item: Item<'_>) -> Option<Self> {
        Self::new(item.as_u64()?)
    }

    /// Writes an unsigned integer.
    pub fn encode(&self, writer: &mut Writer) {
        writer.uint(self.0);
    }
}

impl Epoch {
    /// The first generation.
    pub const FIRST: Self = Self(1);

    /// The generation `epoch`, unless 0.
    #[must_use]
    pub const fn new(epoch: u32) -> Option<Self> {
        if epoch == 0 { None } else { Some(Self(epoch)) }
    }

    /// The bare number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The generation after this one, unless it was the last.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        match self.0.checked_add(1) {
            Some(next) => Some(Self(next)),
            None => None,
        }
    }

    /// Reads an unsigned integer below 2³² that is not 0.
    #[must_use]
    pub fn decode(item: Item<'_>) -> Option<Self> {
        Self::new(item.as_u32()?)
    }

    /// Writes an unsigned integer.
    pub fn encode(&self, writer: &mut Writer) {
        writer.uint(u64::from(self.0));
    }
}

#[cfg(test)]
mod tests {
    use deedbox_cbor::{Limits, Order};
    use proptest::prelude::*;

    use super::*;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn the_end_is_not_inside() {
        let validity = Validity::new(at(10), Some(at(20))).unwrap();
        assert_eq!([9, 10, 19, 20].map(|now| validity.contains(at(now))), [false, true, true, false]);
        assert_eq!(Validity::new(at(10), Some(at(10))), None);
        assert!(Validity::starting(at(10)).contains(at(u64::MAX)));
    }

    #[test]
    fn numbers_end_without_wrapping() {
        assert_eq!(Seq::new(u64::MAX).unwrap().next(), None);
        assert_eq!(Epoch::new(u32::MAX).unwrap().next(), None);
        assert_eq!(Seq::FIRST.next(), Seq::new(2));
        assert_eq!((Seq::new(0), Epoch::new(0)), (None, None));
        assert_eq!(at(u64::MAX).checked_add_secs(1), None);
        assert_eq!(at(5).saturating_sub(at(7)), 0);
    }

    proptest! {
        #[test]
        fn round_trip(start: u64, length in proptest::option::of(1..=u64::MAX)) {
            let end = length.and_then(|length| start.checked_add(length)).map(at);
            let validity = Validity::new(at(start), end).unwrap();
            let mut writer = Writer::new();
            validity.encode(&mut writer);
            let item = deedbox_cbor::read(writer.as_slice(), Order::Canonical, &Limits::new(64)).unwrap();
            prop_assert_eq!(Validity::decode(item), Some(validity));
        }

        #[test]
        fn numbers_round_trip(seq: u64, epoch: u32) {
            for (bytes, want) in [(seq, Seq::new(seq).map(Seq::get)), (u64::from(epoch), Epoch::new(epoch).map(|epoch| epoch.get().into()))] {
                let mut writer = Writer::new();
                writer.uint(bytes);
                let item = deedbox_cbor::read(writer.as_slice(), Order::Canonical, &Limits::new(64)).unwrap();
                prop_assert_eq!(Seq::decode(item).map(Seq::get), want);
            }
        }
    }
}
