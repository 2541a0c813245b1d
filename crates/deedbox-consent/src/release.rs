use alloc::{collections::BTreeSet, vec::Vec};

use deedbox_model::{Name, Timestamp};

use crate::{Action, Bounds, Obligations, fields::Released};

/// What a release has to do; made from a [`Permit`](crate::Permit) only.
///
/// Whoever carries it out writes a use of each permission in [`ReleasePlan::consume`] in the same commit as the log
/// entry: two releases in a race then count as two.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct ReleasePlan {
    pub(crate) party: Name,
    pub(crate) purpose: Name,
    pub(crate) action: Action,
    pub(crate) released: Released,
    pub(crate) obligations: Obligations,
    pub(crate) retention: u64,
    pub(crate) determining: BTreeSet<Name>,
    pub(crate) consume: BTreeSet<Name>,
}

impl ReleasePlan {
    /// Who gets it.
    #[must_use]
    pub const fn party(&self) -> &Name {
        &self.party
    }

    /// What for.
    #[must_use]
    pub const fn purpose(&self) -> &Name {
        &self.purpose
    }

    /// What they may do.
    #[must_use]
    pub const fn action(&self) -> Action {
        self.action
    }

    /// The fields, each with the times its records may be of.
    #[must_use]
    pub fn fields(&self) -> impl ExactSizeIterator<Item = (&Name, Vec<Bounds>)> {
        self.released.fields().iter().map(|field| (field, self.released.bounds(field)))
    }

    /// Whether the record of `field` made at `record_time` is part of it.
    #[must_use]
    pub fn admits(&self, field: &Name, record_time: Timestamp) -> bool {
        self.released.admits(field, record_time)
    }

    /// What the receiver owes.
    #[must_use]
    pub const fn obligations(&self) -> Obligations {
        self.obligations
    }

    /// Seconds the receiver may keep it.
    #[must_use]
    pub const fn retention(&self) -> u64 {
        self.retention
    }

    /// The permissions that let it leave.
    #[must_use]
    pub const fn determining(&self) -> &BTreeSet<Name> {
        &self.determining
    }

    /// Those of them whose uses are counted.
    #[must_use]
    pub const fn consume(&self) -> &BTreeSet<Name> {
        &self.consume
    }
}
