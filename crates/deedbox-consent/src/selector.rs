use alloc::collections::BTreeSet;

use deedbox_model::{Name, Timestamp};

/// A choice of fields: everything at or below a name of `include`, without what is at or below one of `exclude`.
///
/// Names are categories or fields. CBOR: `[[+ include], [* exclude]]`, each sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector {
    /// What is chosen; must not be empty.
    pub include: BTreeSet<Name>,
    /// What is taken out again.
    pub exclude: BTreeSet<Name>,
}

impl Selector {
    /// Everything at or below these names.
    #[must_use]
    pub fn of(include: impl IntoIterator<Item = Name>) -> Self {
        Self { include: include.into_iter().collect(), exclude: BTreeSet::new() }
    }

    /// The same without what is at or below these names.
    #[must_use]
    pub fn except(mut self, exclude: impl IntoIterator<Item = Name>) -> Self {
        self.exclude.extend(exclude);
        self
    }

    /// Every name in it.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.include.iter().chain(&self.exclude)
    }
}

/// Everything, or only what is named. CBOR: null for everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no third")]
pub enum Any<T> {
    /// Everything.
    Any,
    /// Only this.
    Only(T),
}

impl<T> Any<T> {
    /// What is named, if not everything is meant.
    pub const fn only(&self) -> Option<&T> {
        match self {
            Self::Any => None,
            Self::Only(value) => Some(value),
        }
    }
}

impl<T> From<T> for Any<T> {
    fn from(value: T) -> Self {
        Self::Only(value)
    }
}

/// A stretch of time that may be open: `from ≤ t < until`. CBOR: `[from / null, until / null]`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bounds {
    /// The first instant inside; `None` is open.
    pub from: Option<Timestamp>,
    /// The first instant outside again; `None` is open.
    pub until: Option<Timestamp>,
}

impl Bounds {
    /// All of time.
    pub const OPEN: Self = Self { from: None, until: None };

    /// From `from` on, up to but not including `until`.
    #[must_use]
    pub const fn between(from: Timestamp, until: Timestamp) -> Self {
        Self { from: Some(from), until: Some(until) }
    }

    /// Whether `time` lies inside.
    #[must_use]
    pub fn contains(&self, time: Timestamp) -> bool {
        self.has_begun(time) && self.until.is_none_or(|until| time < until)
    }

    /// Whether the first instant inside is not after `time`.
    #[must_use]
    pub fn has_begun(&self, time: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= time)
    }

    /// Whether every instant inside lies inside `other` too.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        let starts = other.from.is_none_or(|theirs| self.from.is_some_and(|ours| ours >= theirs));
        let ends = other.until.is_none_or(|theirs| self.until.is_some_and(|ours| ours <= theirs));
        starts && ends
    }

    /// Whether no instant could be inside.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!((self.from, self.until), (Some(from), Some(until)) if from >= until)
    }

    /// Both ends that are closed.
    pub(crate) fn ends(&self) -> impl Iterator<Item = Timestamp> {
        self.from.into_iter().chain(self.until)
    }
}
