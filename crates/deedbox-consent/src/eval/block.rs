//! The rules of one addressee as rows that are quick to test.
use alloc::{sync::Arc, vec::Vec};
use core::ops::Range;

use deedbox_model::Name;

use crate::{
    Action, Actions, Any, Basis, Bounds, Ground, Mandate, MandateStatus, Permission, PermissionStatus, Policy,
    Prohibition, Rank, Sensitivity, To,
    bits::{Bits, Part},
    vocab::Words,
};

/// All rules with the same `to`.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) to: To,
    /// Those that may work first, of these the highest rank first.
    pub(crate) permits: Vec<PermitRow>,
    /// The highest rank first.
    pub(crate) denies: Vec<DenyRow>,
    /// Which of `permits` may work, by rank.
    working: [Range<usize>; RANKS],
    /// Which of `denies`, by rank.
    ranked: [Range<usize>; RANKS],
    /// The fields that some permission chooses.
    pub(crate) permitted: Bits,
    /// The fields that some prohibition is about.
    pub(crate) denied: Bits,
    /// The sets of all rows, one behind the other.
    sets: Vec<u64>,
}

/// A permission.
#[derive(Debug)]
pub(crate) struct PermitRow {
    /// The first and last second of its own and its mandate's bounds; none if first is after last.
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) conditions: u64,
    /// The outline of the fields it chooses.
    pub(crate) outline: u64,
    /// The fields it chooses.
    all: Place,
    /// Those of them that need no ground, or not the asked one.
    plain: Place,
    /// Those that its ground opens too.
    grounded: Place,
    pub(crate) purpose: u16,
    pub(crate) actions: u8,
    pub(crate) basis: u8,
    pub(crate) ground: u8,
    pub(crate) assurance: u8,
    pub(crate) rank: Rank,
    pub(crate) status: PermissionStatus,
    /// Whether it has a limit or bounds on records, which stand in the permission only.
    pub(crate) is_particular: bool,
    pub(crate) mandate: Option<(Arc<Mandate>, MandateStatus)>,
    pub(crate) permission: Arc<Permission>,
}

/// A prohibition.
#[derive(Debug)]
pub(crate) struct DenyRow {
    /// The first and last second, not before its mandate's start.
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// The purposes that overlap with its own; none if it is about any.
    purposes: Option<Place>,
    fields: Place,
    pub(crate) actions: u8,
    pub(crate) rank: Rank,
    /// Whether it has bounds on records.
    pub(crate) is_particular: bool,
    pub(crate) prohibition: Arc<Prohibition>,
}

/// Where a set's words stand among those of its block, and which word of the whole set the first one is.
#[derive(Debug, Clone, Copy)]
struct Place {
    start: u32,
    len: u16,
    at: u16,
}

/// How many ranks there are.
pub(crate) const RANKS: usize = 5;

impl Block {
    /// Compiles the rules `to` somebody.
    pub(crate) fn new(
        policy: &Policy,
        to: To,
        permissions: &[&(Arc<Permission>, PermissionStatus)],
        prohibitions: &[&Arc<Prohibition>],
    ) -> Self {
        let words = policy.vocabulary.words();
        let mut sets = Sets(Vec::new());
        let mut permits: Vec<_> = permissions.iter().map(|rule| permit_row(policy, words, &mut sets, rule)).collect();
        let mut denies: Vec<_> = prohibitions.iter().map(|rule| deny_row(policy, words, &mut sets, rule)).collect();
        permits.sort_by_key(|row| core::cmp::Reverse((row.may_work(), row.rank)));
        denies.sort_by_key(|row| core::cmp::Reverse(row.rank));
        let working = permits.iter().filter(|row| row.may_work()).map(|row| row.rank);
        let (working, ranked) = (ranges(working), ranges(denies.iter().map(|row| row.rank)));
        let (mut permitted, mut denied) = (Bits::new(words.fields().len()), Bits::new(words.fields().len()));
        permits.iter().for_each(|row| permitted.add_part(row.all.part(&sets.0)));
        denies.iter().for_each(|row| denied.add_part(row.fields.part(&sets.0)));
        Self { to, permits, denies, working, ranked, permitted, denied, sets: sets.0 }
    }

    /// Compiles them again from what `policy` says of them now, and of the rule `also`.
    pub(crate) fn renew(&self, policy: &Policy, also: Option<&Name>) -> Self {
        let ids = self.permits.iter().map(|row| &row.permission.id).chain(also);
        let permissions: Vec<_> = ids.filter_map(|id| policy.permissions.get(id)).collect();
        let ids = self.denies.iter().map(|row| &row.prohibition.id).chain(also);
        let prohibitions: Vec<_> = ids.filter_map(|id| policy.prohibitions.get(id)).collect();
        Self::new(policy, self.to.clone(), &permissions, &prohibitions)
    }

    /// The permissions of a rank that may work.
    pub(crate) fn working(&self, rank: usize) -> &[PermitRow] {
        self.working.get(rank).and_then(|range| self.permits.get(range.clone())).unwrap_or_default()
    }

    /// The prohibitions of a rank.
    pub(crate) fn ranked(&self, rank: usize) -> &[DenyRow] {
        self.ranked.get(rank).and_then(|range| self.denies.get(range.clone())).unwrap_or_default()
    }

    /// The fields a permission chooses.
    pub(crate) fn chosen(&self, row: &PermitRow) -> Part<'_> {
        row.all.part(&self.sets)
    }

    /// The fields it opens when one of `grounds` (bits) is asserted.
    pub(crate) fn opened(&self, row: &PermitRow, grounds: u16) -> Part<'_> {
        let place = if grounds >> row.ground & 1 == 1 { row.grounded } else { row.plain };
        place.part(&self.sets)
    }

    /// The fields a prohibition is about.
    pub(crate) fn closed(&self, row: &DenyRow) -> Part<'_> {
        row.fields.part(&self.sets)
    }

    /// The purposes a prohibition meets; none if it is about any.
    pub(crate) fn met(&self, row: &DenyRow) -> Option<Part<'_>> {
        row.purposes.map(|purposes| purposes.part(&self.sets))
    }
}

impl Place {
    fn part(self, sets: &[u64]) -> Part<'_> {
        let words = usize::try_from(self.start).ok().and_then(|start| sets.get(start..));
        let words = words.and_then(|words| words.get(..usize::from(self.len))).unwrap_or_default();
        Part { at: usize::from(self.at), words }
    }
}

impl PermitRow {
    /// Whether it is given, and its mandate active.
    pub(crate) fn may_work(&self) -> bool {
        self.status == PermissionStatus::Given
            && self.mandate.as_ref().is_none_or(|(_, status)| *status == MandateStatus::Active)
    }
}

fn permit_row(
    policy: &Policy,
    words: &Words,
    sets: &mut Sets,
    (permission, status): &(Arc<Permission>, PermissionStatus),
) -> PermitRow {
    let (mut first, mut last) = span(&permission.bounds);
    let mandate = permission.mandate.as_ref().and_then(|mandate| policy.mandates.get(mandate)).cloned();
    if let Some((mandate, _)) = &mandate {
        let (start, end) = span(&mandate.bounds);
        (first, last) = (first.max(start), last.min(end));
    }
    let chosen = words.select(&permission.fields);
    let all = sets.put(&chosen);
    let without = |ground: Option<Ground>| {
        let mut opened = chosen.clone();
        let closed = [Sensitivity::SPECIAL, Sensitivity::CRIMINAL];
        for sensitivity in closed.into_iter().filter(|class| !ground.is_some_and(|ground| ground.suits(*class))) {
            words.sensitive(sensitivity).into_iter().for_each(|fields| opened.subtract(fields));
        }
        opened
    };
    let mut part = |opened: Bits| if opened == chosen { all } else { sets.put(&opened) };
    let (plain, grounded) = if permission.basis == Basis::HOUSEHOLD {
        (all, all)
    } else {
        let plain = part(without(None));
        (plain, if permission.ground.is_some() { part(without(permission.ground)) } else { plain })
    };
    PermitRow {
        first,
        last,
        conditions: words.condition_bits(&permission.conditions),
        outline: chosen.outline(),
        all,
        plain,
        grounded,
        purpose: purpose_number(words, &permission.purpose),
        actions: action_bits(permission.actions),
        basis: permission.basis.code(),
        ground: permission.ground.map_or(0, Ground::code),
        assurance: permission.assurance,
        rank: permission.rank,
        status: *status,
        is_particular: permission.limit.is_some() || permission.records != Bounds::OPEN,
        mandate,
        permission: Arc::clone(permission),
    }
}

fn deny_row(policy: &Policy, words: &Words, sets: &mut Sets, prohibition: &Arc<Prohibition>) -> DenyRow {
    let (mut first, last) = span(&prohibition.bounds);
    if let Some((mandate, _)) = prohibition.mandate.as_ref().and_then(|mandate| policy.mandates.get(mandate)) {
        first = first.max(span(&mandate.bounds).0);
    }
    let purposes = prohibition.purposes.only().map(|purposes| {
        let names = words.purposes().names();
        let mut met = Bits::new(names.len());
        let numbers = purposes.iter().filter_map(|purpose| names.number(purpose));
        numbers.filter_map(|purpose| words.overlaps(purpose)).for_each(|more| met.add(more));
        sets.put(&met)
    });
    let fields = match &prohibition.fields {
        Any::Any => Bits::full(words.fields().len()),
        Any::Only(fields) => words.select(fields),
    };
    DenyRow {
        first,
        last,
        purposes,
        fields: sets.put(&fields),
        actions: prohibition.actions.only().map_or(u8::MAX, |actions| action_bits(*actions)),
        rank: prohibition.rank,
        is_particular: prohibition.records != Bounds::OPEN,
        prohibition: Arc::clone(prohibition),
    }
}

/// Collects the words of sets.
struct Sets(Vec<u64>);

impl Sets {
    fn put(&mut self, bits: &Bits) -> Place {
        let part = bits.part();
        // INVARIANT: 20,000 rules with four sets of 1,024 words each stay below 2³².
        let start = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        self.0.extend_from_slice(part.words);
        let small = |number| u16::try_from(number).unwrap_or(u16::MAX);
        Place { start, len: small(part.words.len()), at: small(part.at) }
    }
}

/// Where each rank's rows stand; `ranks` descend.
fn ranges(ranks: impl Iterator<Item = Rank> + Clone) -> [Range<usize>; RANKS] {
    core::array::from_fn(|rank| {
        let above = ranks.clone().filter(|other| usize::from(other.code()) > rank).count();
        let own = ranks.clone().filter(|other| usize::from(other.code()) == rank).count();
        above..above + own
    })
}

/// The first and the last second inside; first after last if there is none.
pub(crate) fn span(bounds: &Bounds) -> (u64, u64) {
    let first = bounds.from.map_or(0, |from| from.secs());
    match bounds.until {
        None => (first, u64::MAX),
        Some(until) => until.secs().checked_sub(1).map_or((1, 0), |last| (first, last)),
    }
}

fn purpose_number(words: &Words, purpose: &Name) -> u16 {
    words.purposes().names().number(purpose).and_then(|number| u16::try_from(number).ok()).unwrap_or(u16::MAX)
}

fn action_bits(actions: Actions) -> u8 {
    Action::ALL.iter().filter(|action| actions.contains(**action)).fold(0, |bits, action| bits | 1 << action.bit())
}
