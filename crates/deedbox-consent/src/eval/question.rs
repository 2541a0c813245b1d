//! A request whose words are numbers, and the one walk over the rules that answers it.
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use deedbox_model::{Assurance, Name, Timestamp};

use super::{
    block::{Block, DenyRow, PermitRow, RANKS},
    index::{Index, Seat},
};
use crate::{
    Action, Ask, At, Basis, Bounds, HostFacts, Limit, Reason,
    bits::{Bits, Part},
    vocab::Dag,
};

/// A request without purpose and fields.
#[derive(Clone, Copy)]
pub(crate) struct Question<'a> {
    pub(super) index: &'a Index,
    seat: &'a Seat,
    /// Of the recipient, if fields are to be shared.
    recipient_seat: Option<&'a Seat>,
    party: usize,
    pub(super) action: Action,
    recipient: Option<&'a Name>,
    /// The asked basis, or all that the party may assert, as bits.
    bases: u16,
    /// The asked ground, or all, as bits.
    pub(super) grounds: u16,
    assurance: u8,
    conditions: u64,
    uses: Option<&'a BTreeMap<Name, Vec<Timestamp>>>,
    pub(super) now: u64,
}

/// What is prohibited so far on a walk: a set, or whether the one field asked for is.
pub(super) trait Closed {
    fn clear(&mut self);
    fn add_part(&mut self, part: Part<'_>);
}

impl Closed for Bits {
    fn clear(&mut self) {
        Self::clear(self);
    }

    fn add_part(&mut self, part: Part<'_>) {
        Self::add_part(self, part);
    }
}

impl Closed for bool {
    fn clear(&mut self) {
        *self = false;
    }

    fn add_part(&mut self, _: Part<'_>) {
        *self = true;
    }
}

/// What the walk collects: fields for one purpose, purposes for one field, or that field for that purpose.
pub(super) trait Axis<'a> {
    /// Whether some permission of a block may open anything.
    fn opens(&self, _: &Block) -> bool {
        true
    }
    /// Whether some prohibition of a block may close anything.
    fn closes(&self, _: &Block) -> bool {
        true
    }
    /// What a permission opens.
    fn opened(&self, block: &'a Block, row: &'a PermitRow, grounds: u16) -> Option<Part<'a>>;
    /// What a prohibition closes.
    fn closed(&self, block: &'a Block, row: &'a DenyRow) -> Option<Part<'a>>;
}

/// Fields for one purpose.
pub(super) struct ByField<'a> {
    pub(super) purpose: usize,
    /// The purpose and those above it.
    pub(super) up: &'a Bits,
}

/// Purposes for one field.
pub(super) struct ByPurpose<'a> {
    pub(super) field: usize,
    pub(super) purposes: &'a Dag,
    pub(super) every: &'a Bits,
}

/// One field for one purpose: whatever a rule opens or closes is that.
pub(super) struct One<'a> {
    pub(super) field: usize,
    pub(super) axis: ByField<'a>,
}

impl<'a> Axis<'a> for One<'a> {
    fn opens(&self, block: &Block) -> bool {
        block.permitted.has(self.field)
    }

    fn closes(&self, block: &Block) -> bool {
        block.denied.has(self.field)
    }

    fn opened(&self, block: &'a Block, row: &'a PermitRow, grounds: u16) -> Option<Part<'a>> {
        self.axis.opened(block, row, grounds).filter(|part| part.has(self.field))
    }

    fn closed(&self, block: &'a Block, row: &'a DenyRow) -> Option<Part<'a>> {
        self.axis.closed(block, row).filter(|part| part.has(self.field))
    }
}

impl<'a> Axis<'a> for ByField<'a> {
    fn opened(&self, block: &'a Block, row: &'a PermitRow, grounds: u16) -> Option<Part<'a>> {
        self.permits(row).then(|| block.opened(row, grounds))
    }

    fn closed(&self, block: &'a Block, row: &'a DenyRow) -> Option<Part<'a>> {
        block.met(row).is_none_or(|met| met.has(self.purpose)).then(|| block.closed(row))
    }
}

impl ByField<'_> {
    /// Whether a permission's purpose holds the asked one.
    pub(super) fn permits(&self, row: &PermitRow) -> bool {
        self.up.has(usize::from(row.purpose))
    }
}

impl<'a> Axis<'a> for ByPurpose<'a> {
    fn opens(&self, block: &Block) -> bool {
        block.permitted.has(self.field)
    }

    fn closes(&self, block: &Block) -> bool {
        block.denied.has(self.field)
    }

    fn opened(&self, block: &'a Block, row: &'a PermitRow, grounds: u16) -> Option<Part<'a>> {
        let is_open = block.opened(row, grounds).has(self.field);
        self.purposes.down(usize::from(row.purpose)).filter(|_| is_open).map(Bits::part)
    }

    fn closed(&self, block: &'a Block, row: &'a DenyRow) -> Option<Part<'a>> {
        block.closed(row).has(self.field).then(|| block.met(row).unwrap_or(self.every.part()))
    }
}

impl<'a> Question<'a> {
    /// Reads a request; gives its purpose too.
    pub(super) fn read(index: &'a Index, ask: &'a Ask, host: &'a HostFacts) -> Result<(Self, ByField<'a>), Reason> {
        let words = &*index.words;
        let party = words.parties().number(&host.party).ok_or(Reason::UnknownParty)?;
        let purpose = ask.purpose.as_ref().ok_or(Reason::PurposeMissing)?;
        let purpose = words.purposes().names().number(purpose).ok_or(Reason::UnknownPurpose)?;
        let action = ask.action.ok_or(Reason::UnknownAction)?;
        let basis = ask.basis.ok_or(Reason::BasisMissing)?;
        if !words.regime().allows(words.kind(party), basis) {
            return Err(Reason::BasisNotAvailable);
        }
        let (seat, up) = index.seat_of(party).zip(words.purposes().up(purpose)).ok_or(Reason::UnknownParty)?;
        let question = Self {
            index,
            seat,
            recipient_seat: None,
            party,
            action,
            recipient: None,
            bases: bit(basis.code()),
            grounds: ask.ground.map_or(0, |ground| bit(ground.code())),
            assurance: host.assurance.level(),
            conditions: words.condition_bits(&host.conditions),
            uses: Some(&host.uses),
            now: host.now.secs(),
        };
        Ok((question.to_recipient(ask.recipient.as_ref()), ByField { purpose, up }))
    }

    /// Anything a party may do under `conditions`, asked as each permission wants to be asked.
    pub(super) fn anything(index: &'a Index, party: usize, at: At, conditions: u64) -> Option<Self> {
        let words = &*index.words;
        let (regime, kind) = (words.regime(), words.kind(party));
        let bases = Basis::ALL.iter().filter(|basis| regime.allows(kind, **basis));
        Some(Self {
            index,
            seat: index.seat_of(party)?,
            recipient_seat: None,
            party,
            action: at.action,
            recipient: None,
            bases: bases.fold(0, |bases, basis| bases | bit(basis.code())),
            grounds: u16::MAX,
            assurance: Assurance::High.level(),
            conditions,
            uses: None,
            now: at.now.secs(),
        })
    }

    /// The same, to share with `recipient`.
    pub(super) fn to_recipient(mut self, recipient: Option<&'a Name>) -> Self {
        self.recipient = recipient.filter(|_| self.action == Action::Share);
        let number = self.recipient.and_then(|recipient| self.index.words.parties().number(recipient));
        self.recipient_seat = number.and_then(|recipient| self.index.seat_of(recipient));
        self
    }

    /// Walks over the rules from the highest rank to the lowest, as they are at `now`, for records of time `record`.
    ///
    /// `closed` becomes what is prohibited so far; `hit` is told of each permission that is left, what it opens, and
    /// `closed`. Returns the next record time at which something may differ.
    pub(super) fn walk<A: Axis<'a>, C: Closed>(
        &self,
        axis: &A,
        (now, record): (u64, u64),
        closed: &mut C,
        mut hit: impl FnMut(&'a PermitRow, Part<'a>, &C),
    ) -> Option<u64> {
        let mut edge = None;
        closed.clear();
        for rank in (0..RANKS).rev() {
            for block in self.denying().filter(|block| axis.closes(block)) {
                for row in block.ranked(rank) {
                    if let Some(part) = axis.closed(block, row)
                        && self.is_met(row, now)
                        && (!row.is_particular || covers(&row.prohibition.records, record, &mut edge))
                    {
                        closed.add_part(part);
                    }
                }
            }
            for (block, _) in self.permitting().filter(|(block, named)| *named && axis.opens(block)) {
                for row in block.working(rank) {
                    if let Some(part) = axis.opened(block, row, self.grounds)
                        && self.is_left(row, now)
                        && (!row.is_particular || covers(&row.permission.records, record, &mut edge))
                    {
                        hit(row, part, closed);
                    }
                }
            }
        }
        edge
    }

    /// Walks once for each stretch of record times in which all records fare alike; `hit` is told its start too.
    pub(super) fn walk_all<A: Axis<'a>, C: Closed>(
        &self,
        axis: &A,
        now: u64,
        closed: &mut C,
        mut hit: impl FnMut(u64, &'a PermitRow, Part<'a>, &C),
    ) {
        let mut next = Some(0);
        while let Some(record) = next {
            next = self.walk(axis, (now, record), closed, |row, part, closed| hit(record, row, part, closed));
        }
    }

    /// The blocks of prohibitions that name the party, or the recipient.
    pub(super) fn denying(&self) -> impl Iterator<Item = &'a Block> {
        self.index.denying([self.seat].into_iter().chain(self.recipient_seat))
    }

    /// The blocks of permissions, and whether they name the party.
    pub(super) fn permitting(&self) -> impl Iterator<Item = (&'a Block, bool)> {
        self.index.permitting(self.seat)
    }

    /// Whether a prohibition is about the action, and in force.
    pub(super) fn is_met(&self, row: &DenyRow, now: u64) -> bool {
        self.acts_against(row) && row.first <= now && now <= row.last
    }

    /// Whether a permission that may work lets the party do this, whatever the purpose and fields.
    fn is_left(&self, row: &PermitRow, now: u64) -> bool {
        self.could_be_left(row)
            && row.first <= now
            && now <= row.last
            && (!row.is_particular || self.has_uses(row, now))
    }

    /// The same at some time.
    pub(super) fn could_be_left(&self, row: &PermitRow) -> bool {
        self.acts(row) && self.has_basis(row) && self.is_assured(row) && self.meets(row) && self.may_pass(row)
    }

    /// Whether a prohibition is about the action.
    pub(super) fn acts_against(&self, row: &DenyRow) -> bool {
        row.actions >> self.action.bit() & 1 == 1
    }

    pub(super) fn acts(&self, row: &PermitRow) -> bool {
        row.actions >> self.action.bit() & 1 == 1
    }

    pub(super) fn has_basis(&self, row: &PermitRow) -> bool {
        self.bases >> row.basis & 1 == 1
    }

    pub(super) fn is_assured(&self, row: &PermitRow) -> bool {
        row.assurance <= self.assurance
    }

    pub(super) fn meets(&self, row: &PermitRow) -> bool {
        row.conditions & !self.conditions == 0
    }

    pub(super) fn may_pass(&self, row: &PermitRow) -> bool {
        self.action != Action::Share
            || self.recipient.is_some_and(|recipient| row.permission.recipients.contains(recipient))
    }

    /// Whether uses are left.
    pub(super) fn has_uses(&self, row: &PermitRow, now: u64) -> bool {
        let Some(limit) = row.permission.limit else { return true };
        let counted = self.uses_of(row).iter().filter(|used| counts(limit, **used, now)).count();
        u64::try_from(counted).is_ok_and(|counted| counted < limit.times)
    }

    fn uses_of(&self, row: &PermitRow) -> &'a [Timestamp] {
        self.uses.and_then(|uses| uses.get(&row.permission.id)).map_or(&[], Vec::as_slice)
    }

    /// The next time after `now` at which the limit of a permission leaves uses again; none if it does, or never will.
    pub(super) fn uses_return(&self, row: &PermitRow, now: u64) -> Option<u64> {
        let limit = row.permission.limit?;
        let counted: Vec<Timestamp> =
            self.uses_of(row).iter().copied().filter(|used| counts(limit, *used, now)).collect();
        let surplus = u64::try_from(counted.len()).ok()?.checked_sub(limit.times)?;
        let per = limit.per?;
        let mut ends: Vec<u64> = counted.into_iter().filter_map(|used| used.secs().checked_add(per)).collect();
        ends.sort_unstable();
        ends.get(usize::try_from(surplus).ok()?).copied()
    }

    /// Whether `field` is another's word, which the party may not change.
    pub(super) fn is_foreign(&self, field: usize) -> bool {
        let issued = self.index.words.issued();
        let issuer = issued.binary_search_by_key(&field, |(field, _)| *field).ok().and_then(|place| issued.get(place));
        self.changes() && issuer.is_some_and(|(_, issuer)| *issuer != self.party)
    }

    /// Whom the party could share with; for other actions, nobody once.
    pub(super) fn recipients(&self) -> Vec<Option<&'a Name>> {
        if self.action != Action::Share {
            return Vec::from([None]);
        }
        let rows = self.permitting().filter(|(_, named)| *named).flat_map(|(block, _)| &block.permits);
        let recipients: BTreeSet<&Name> = rows.flat_map(|row| &row.permission.recipients).collect();
        recipients.into_iter().map(Some).collect()
    }

    /// Whether the action changes values, which others' words withstand.
    pub(super) const fn changes(&self) -> bool {
        matches!(self.action, Action::Write | Action::Erase)
    }

    /// Takes out the fields that are another's word.
    pub(super) fn drop_foreign(&self, fields: &mut Bits) {
        let issued = self.index.words.issued().iter().filter(|(_, issuer)| *issuer != self.party);
        issued.for_each(|(field, _)| fields.remove(*field));
    }
}

/// Whether a use counts at `now`; one ahead of now does.
fn counts(limit: Limit, used: Timestamp, now: u64) -> bool {
    limit.per.is_none_or(|per| now.saturating_sub(used.secs()) < per)
}

/// Whether records of time `record` are covered; `edge` becomes the next time at which that changes, if it is earlier.
fn covers(records: &Bounds, record: u64, edge: &mut Option<u64>) -> bool {
    let ends = records.ends().map(Timestamp::secs).filter(|end| *end > record);
    *edge = ends.chain(*edge).min();
    records.contains(Timestamp::from_secs(record))
}

fn bit(code: u8) -> u16 {
    1_u16.checked_shl(u32::from(code)).unwrap_or_default()
}
