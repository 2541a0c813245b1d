//! Decisions from the compiled rules: the same that the reference gives.
use alloc::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    vec,
    vec::Vec,
};
use deedbox_model::{Name, Timestamp};

use super::{
    EMERGENCY_SECS,
    block::PermitRow,
    index::Index,
    question::{Axis as _, ByField, One, Question},
};
use crate::{
    Ask, AskedFields, Decision, Denial, Explanation, FieldSet, HostFacts, MandateStatus, PermissionStatus, Rank,
    Reason,
    bits::{Bits, Part},
    decision::Decided,
    fields::Released,
};

/// What leaves at one time, and by which permissions.
struct Answer<'a> {
    released: Released,
    determining: Vec<&'a PermitRow>,
}

impl Answer<'_> {
    fn is_like(&self, other: &Self) -> bool {
        let ids =
            |answer: &Self| answer.determining.iter().map(|row| row.permission.id.clone()).collect::<BTreeSet<_>>();
        self.released == other.released && ids(self) == ids(other)
    }
}

impl Index {
    /// Decides a request; total.
    pub(crate) fn decide(&self, ask: &Ask, host: &HostFacts) -> Decision {
        let refuse = |reason| Denial::whole(reason).into();
        let (question, axis) = match Question::read(self, ask, host) {
            Ok(read) => read,
            Err(reason) => return refuse(reason),
        };
        let Some(purpose) = &ask.purpose else { return refuse(Reason::PurposeMissing) };
        let count = self.words.fields().len();
        let (mut asked, list) = match &ask.fields {
            None => return refuse(Reason::FieldsMissing),
            Some(AskedFields::These(fields)) if fields.is_empty() => return refuse(Reason::FieldsMissing),
            Some(AskedFields::All) => (Cow::Borrowed(self.words.every_field()), Vec::new()),
            Some(AskedFields::These(fields)) => {
                let list: Vec<_> = fields.iter().map(|field| (field, self.words.fields().number(field))).collect();
                let mut asked = Bits::new(count);
                list.iter().filter_map(|(_, field)| *field).for_each(|field| asked.insert(field));
                (Cow::Owned(asked), list)
            }
        };
        if question.changes() {
            question.drop_foreign(asked.to_mut());
        }
        let mut closed = Bits::new(count);
        let answer = question.answer(&axis, &asked, question.now, &mut closed);
        let stable_until = question.stable_until(&axis, &asked, &answer, &mut closed);
        let withheld = question.withheld(&axis, &asked, list, answer.released.fields());
        let decided = Decided {
            party: &host.party,
            purpose,
            action: question.action,
            released: answer.released,
            determining: answer.determining.into_iter().map(|row| &*row.permission).collect(),
            withheld,
            all: matches!(ask.fields, Some(AskedFields::All)),
            stable_until,
        };
        decided.into()
    }

    /// Writes to `out` which fields would be released if all were asked for.
    pub(crate) fn filter(&self, ask: &Ask, host: &HostFacts, out: &mut FieldSet) {
        if !Arc::ptr_eq(&out.words, &self.words) {
            out.words = Arc::clone(&self.words);
        }
        let count = self.words.fields().len();
        let FieldSet { bits, scratch, .. } = out;
        bits.reset(count);
        scratch.reset(count);
        let Ok((question, axis)) = Question::read(self, ask, host) else { return };
        question.walk_all(&axis, question.now, scratch, |_, _, part, closed| bits.add_open(part, closed));
        if question.changes() {
            question.drop_foreign(bits);
        }
    }

    /// Whether one field would be released if it were asked for.
    pub(crate) fn permits(&self, ask: &Ask, field: &Name, host: &HostFacts) -> bool {
        let Ok((question, axis)) = Question::read(self, ask, host) else { return false };
        let Some(field) = self.words.fields().number(field) else { return false };
        let (mut closed, mut is_open) = (false, false);
        question.walk_all(&One { field, axis }, question.now, &mut closed, |_, _, _, closed| is_open |= !closed);
        is_open && !question.is_foreign(field)
    }

    /// Says of one field what [`Index::decide`] says, and how it came to that.
    pub(crate) fn explain(&self, ask: &Ask, field: &Name, host: &HostFacts) -> Explanation {
        let asked = Ask { fields: Some(AskedFields::These([field.clone()].into())), ..ask.clone() };
        let outcome = match self.decide(&asked, host) {
            Decision::Permit(permit) => Ok(permit.records(field)),
            Decision::Denial(denial) => {
                let reason = denial.refusal().or_else(|| denial.withheld().get(field).copied());
                Err(reason.unwrap_or(Reason::NoPermission))
            }
        };
        let mut explanation = Explanation::new(field.clone(), outcome);
        if let (Ok((question, axis)), Some(field)) =
            (Question::read(self, ask, host), self.words.fields().number(field))
        {
            for (block, named) in question.permitting() {
                for row in block.permits.iter().filter(|row| block.chosen(row).has(field)) {
                    let fate = question.fate(&axis, row, named).or_else(|| {
                        let is_open = block.opened(row, question.grounds).has(field);
                        if is_open { question.later_fate(row) } else { Some(Reason::GroundMissing) }
                    });
                    explanation.permissions.insert(row.permission.id.clone(), (row.rank, fate));
                }
            }
            for block in question.denying() {
                for row in block.denies.iter().filter(|row| question.is_met(row, question.now)) {
                    if axis.closed(block, row).is_some_and(|part| part.has(field)) {
                        explanation.prohibitions.insert(row.prohibition.id.clone(), row.rank);
                    }
                }
            }
        }
        explanation
    }
}

impl<'a> Question<'a> {
    /// Which of the asked fields leave at `now`.
    fn answer(&self, axis: &ByField<'a>, asked: &Bits, now: u64, closed: &mut Bits) -> Answer<'a> {
        let mut steps: Vec<(Timestamp, Bits)> = Vec::with_capacity(1);
        let mut determining: Vec<&'a PermitRow> = Vec::new();
        let (count, outline) = (self.index.words.fields().len(), asked.outline());
        let mut next = Some(0);
        while let Some(record) = next {
            let mut open = Bits::new(count);
            next = self.walk(axis, (now, record), closed, |row, part, closed| {
                let is_asked = row.outline & outline != 0 && open.add_asked(part, closed, asked);
                if is_asked && !determining.iter().any(|other| core::ptr::eq(*other, row)) {
                    determining.push(row);
                }
            });
            steps.push((Timestamp::from_secs(record), open));
        }
        Answer { released: Released::new(&self.index.words, steps), determining }
    }

    /// The first instant after now at which the answer is another.
    fn stable_until(
        &self,
        axis: &ByField<'a>,
        asked: &Bits,
        answer: &Answer<'a>,
        closed: &mut Bits,
    ) -> Option<Timestamp> {
        // The end of what determines now is a change; the end of another permission is none.
        let ends = answer.determining.iter().filter_map(|row| row.last.checked_add(1));
        let emergency = answer.determining.iter().any(|row| row.rank == Rank::EMERGENCY);
        let mut end = ends.chain(emergency.then(|| self.now.saturating_add(EMERGENCY_SECS))).min();
        let mut last = self.now;
        while let Some(instant) = self.turn(axis, asked, last).filter(|turn| end.is_none_or(|end| *turn < end)) {
            let then = self.answer(axis, asked, instant, closed);
            if !then.is_like(answer) {
                end = Some(instant);
                break;
            }
            last = instant;
        }
        end.map(Timestamp::from_secs)
    }

    /// The first instant after `now` at which a permission about the asked fields begins, or a prohibition begins or ends.
    fn turn(&self, axis: &ByField<'a>, asked: &Bits, now: u64) -> Option<u64> {
        let mut next: Option<u64> = None;
        let mut take = |turn: Option<u64>| {
            let turn = turn.filter(|turn| *turn > now);
            next = next.map_or(turn, |next| Some(turn.map_or(next, |turn| turn.min(next))));
        };
        for (block, _) in self.permitting().filter(|(_, named)| *named) {
            for row in block.permits.iter().filter(|row| axis.permits(row) && row.last > now) {
                let is_new = row.first > now || row.is_particular && row.permission.limit.is_some();
                let is_possible = is_new && row.first <= row.last && row.may_work() && self.could_be_left(row);
                if is_possible && asked.meets(block.opened(row, self.grounds)) {
                    take(Some(row.first));
                    take(self.uses_return(row, now));
                }
            }
        }
        for block in self.denying() {
            for row in
                block.denies.iter().filter(|row| row.first <= row.last && (row.first > now || row.last < u64::MAX))
            {
                let part = axis.closed(block, row).filter(|_| row.last >= now && self.acts_against(row));
                if part.is_some_and(|part| asked.meets(part)) {
                    take(Some(row.first));
                    take(row.last.checked_add(1));
                }
            }
        }
        next
    }

    /// Of each field on the list that does not leave, why.
    fn withheld(
        &self,
        axis: &ByField<'a>,
        asked: &Bits,
        list: Vec<(&Name, Option<usize>)>,
        released: &FieldSet,
    ) -> BTreeMap<Name, Reason> {
        if list.is_empty() {
            return BTreeMap::new();
        }
        let mut left = asked.clone();
        left.subtract(&released.bits);
        let depths = if left.is_empty() { Vec::new() } else { self.depths(axis, &left) };
        let mut sealed: Option<Bits> = None;
        let mut reason = |field: Option<usize>| {
            let Some(field) = field else { return Some(Reason::UnknownField) };
            if !left.has(field) {
                return (!released.bits.has(field)).then_some(Reason::IssuerOwned);
            }
            match reason_at(depths.get(field).copied().unwrap_or_default()) {
                Reason::Prohibited if sealed.get_or_insert_with(|| self.sealed(axis)).has(field) => {
                    Some(Reason::Sealed)
                }
                reason => Some(reason),
            }
        };
        list.into_iter().filter_map(|(name, field)| Some((name.clone(), reason(field)?))).collect()
    }

    /// For each of the fields `left`, how deep the sieves the last permission fell.
    fn depths(&self, axis: &ByField<'a>, left: &Bits) -> Vec<u8> {
        let mut depths = vec![depth(Some(Reason::NoPermission)); self.index.words.fields().len()];
        let mut fell = |part: Part<'_>, depth: u8| {
            for field in left.both(part) {
                if let Some(known) = depths.get_mut(field) {
                    *known = depth.max(*known);
                }
            }
        };
        let outline = left.outline();
        for (block, named) in self.permitting() {
            for row in block.permits.iter().filter(|row| row.outline & outline != 0) {
                let chosen = block.chosen(row);
                if !left.meets(chosen) {
                    continue;
                }
                if let Some(reason) = self.fate(axis, row, named) {
                    fell(chosen, depth(Some(reason)));
                } else {
                    fell(chosen, depth(Some(Reason::GroundMissing)));
                    fell(block.opened(row, self.grounds), depth(self.later_fate(row)));
                }
            }
        }
        depths
    }

    /// The fields that a seal is about.
    fn sealed(&self, axis: &ByField<'a>) -> Bits {
        let mut sealed = Bits::new(self.index.words.fields().len());
        for block in self.denying() {
            for row in block.ranked(usize::from(Rank::SEAL.code())).iter().filter(|row| self.is_met(row, self.now)) {
                axis.closed(block, row).into_iter().for_each(|part| sealed.add_part(part));
            }
        }
        sealed
    }

    /// At which sieve before the ground a permission falls, if at any.
    fn fate(&self, axis: &ByField<'a>, row: &PermitRow, named: bool) -> Option<Reason> {
        if !named {
            return Some(Reason::RosterChanged);
        }
        if !axis.permits(row) {
            let is_broad = self.index.words.purposes().is_above(axis.purpose, usize::from(row.purpose));
            return Some(if is_broad { Reason::PurposeTooBroad } else { Reason::PurposeNotCovered });
        }
        if !self.acts(row) {
            return Some(Reason::ActionNotCovered);
        }
        if !self.has_basis(row) {
            return Some(Reason::BasisMismatch);
        }
        match row.status {
            PermissionStatus::Given => {}
            PermissionStatus::Suspended => return Some(Reason::Suspended),
            PermissionStatus::Withdrawn => return Some(Reason::Withdrawn),
        }
        let now = Timestamp::from_secs(self.now);
        let holds = row
            .mandate
            .as_ref()
            .is_none_or(|(mandate, status)| *status == MandateStatus::Active && mandate.bounds.contains(now));
        if !holds {
            return Some(Reason::MandateInvalid);
        }
        let bounds = &row.permission.bounds;
        match (bounds.has_begun(now), bounds.contains(now)) {
            (false, _) => Some(Reason::NotYetValid),
            (true, false) => Some(Reason::Expired),
            (true, true) => None,
        }
    }

    /// At which sieve after the ground it falls, if at any.
    fn later_fate(&self, row: &PermitRow) -> Option<Reason> {
        let sieves = [
            (self.is_assured(row), Reason::AssuranceTooLow),
            (self.meets(row), Reason::ConditionUnmet),
            (self.may_pass(row), Reason::RecipientNotNamed),
            (self.has_uses(row, self.now), Reason::UsageExhausted),
        ];
        sieves.into_iter().find(|(stays, _)| !stays).map(|(_, reason)| reason)
    }
}

/// How far a permission came that fell for `reason`, or did not fall: the permission that came farthest gives a field's
/// reason. Of two reasons of one sieve the one that counts is deeper.
const fn depth(reason: Option<Reason>) -> u8 {
    match reason {
        Some(Reason::PurposeTooBroad) => Reason::PurposeNotCovered.number(),
        Some(Reason::PurposeNotCovered) => Reason::PurposeTooBroad.number(),
        Some(Reason::Suspended) => Reason::Withdrawn.number(),
        Some(Reason::Withdrawn) => Reason::Suspended.number(),
        Some(Reason::NotYetValid) => Reason::Expired.number(),
        Some(Reason::Expired) => Reason::NotYetValid.number(),
        Some(reason) => reason.number(),
        None => Reason::Prohibited.number(),
    }
}

/// The reason of a depth: the same exchange goes back.
fn reason_at(place: u8) -> Reason {
    let swapped = Reason::from_number(place).map(|reason| depth(Some(reason)));
    swapped.and_then(Reason::from_number).unwrap_or(Reason::NoPermission)
}
