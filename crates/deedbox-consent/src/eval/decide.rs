//! Decisions from the compiled rules: the same that the reference gives.
use alloc::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    vec,
    vec::Vec,
};
use core::cmp::Reverse;

use deedbox_model::{Name, Timestamp};

use super::{
    EMERGENCY_SECS,
    block::PermitRow,
    index::Index,
    question::{Axis as _, ByField, Question},
};
use crate::{
    Ask, AskedFields, Decision, Denial, Explanation, FieldSet, HostFacts, MandateStatus, PermissionStatus, Rank,
    Reason,
    bits::{Bits, Part, ones},
    decision::Decided,
    fields::Released,
};

/// What leaves at one time, and by which permissions.
struct Answer<'a> {
    released: Released,
    determining: Vec<&'a PermitRow>,
}

impl Index {
    /// Decides a request; total.
    pub(crate) fn decide(&self, ask: &Ask, host: &HostFacts) -> Decision {
        let refuse = |reason| Denial::whole(reason).into();
        let (question, axis) = match Question::read(self, ask, host) {
            Ok(read) => read,
            Err(reason) => return refuse(reason),
        };
        let count = self.words.fields().len();
        let (mut asked, list) = match &ask.fields {
            None => return refuse(Reason::FieldsMissing),
            Some(AskedFields::These(fields)) if fields.is_empty() => return refuse(Reason::FieldsMissing),
            Some(AskedFields::All) => (Bits::full(count), Vec::new()),
            Some(AskedFields::These(fields)) => {
                let list: Vec<_> = fields.iter().map(|field| (field, self.words.fields().number(field))).collect();
                let mut asked = Bits::new(count);
                list.iter().filter_map(|(_, field)| *field).for_each(|field| asked.insert(field));
                (asked, list)
            }
        };
        let Some(purpose) = &ask.purpose else { return refuse(Reason::PurposeMissing) };
        question.drop_foreign(&mut asked);
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
        question.drop_foreign(bits);
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
        let count = self.index.words.fields().len();
        let mut next = Some(0);
        while let Some(record) = next {
            let mut open = Bits::new(count);
            next = self.walk(axis, (now, record), closed, |row, part, closed| {
                if open.add_asked(part, closed, asked) && !determining.iter().any(|other| core::ptr::eq(*other, row)) {
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
        let emergency = answer.determining.iter().any(|row| row.rank == Rank::EMERGENCY);
        let mut end = emergency.then(|| self.now.saturating_add(EMERGENCY_SECS));
        let ids = |answer: &Answer<'a>| -> BTreeSet<&'a Name> {
            answer.determining.iter().map(|row| &row.permission.id).collect()
        };
        let mut last = self.now;
        while let Some(instant) = self.turn(axis, last).filter(|turn| end.is_none_or(|end| *turn < end)) {
            // What determines now and then is over needs no second look.
            let is_over = answer.determining.iter().any(|row| row.last < instant);
            let mut is_other = || {
                let then = self.answer(axis, asked, instant, closed);
                then.released != answer.released || ids(&then) != ids(answer)
            };
            if is_over || is_other() {
                end = Some(instant);
                break;
            }
            last = instant;
        }
        end.map(Timestamp::from_secs)
    }

    /// The first instant after `now` at which a rule that could matter begins or ends.
    fn turn(&self, axis: &ByField<'a>, now: u64) -> Option<u64> {
        let turns = |first: u64, last: u64| {
            let is_ever = first <= last;
            [Some(first), last.checked_add(1)].into_iter().flatten().filter(move |turn| is_ever && *turn > now)
        };
        let mut next: Option<u64> = None;
        let mut take = |turn: u64| next = Some(next.map_or(turn, |next| next.min(turn)));
        for (block, _) in self.permitting().filter(|(_, named)| *named) {
            for row in block.permits.iter().filter(|row| row.may_work() && row.last >= now && axis.permits(row)) {
                if self.could_be_left(row) {
                    turns(row.first, row.last).for_each(&mut take);
                    self.uses_return(row, now).into_iter().for_each(&mut take);
                }
            }
        }
        for block in self.denying() {
            for row in &block.denies {
                if row.last >= now && self.acts_against(row) && axis.closed(block, row).is_some() {
                    turns(row.first, row.last).for_each(&mut take);
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
        let mut left = asked.clone();
        left.subtract(&released.bits);
        let mut depths = Vec::new();
        if !list.is_empty() && !left.is_empty() {
            depths = self.depths(axis, left);
        }
        let reason = |field: Option<usize>| {
            let Some(field) = field else { return Some(Reason::UnknownField) };
            if released.bits.has(field) {
                return None;
            }
            if !asked.has(field) {
                return Some(Reason::IssuerOwned);
            }
            Some(reason_at(depths.get(field).copied().unwrap_or_default()))
        };
        list.into_iter().filter_map(|(name, field)| Some((name.clone(), reason(field)?))).collect()
    }

    /// For each of the fields `left`, how deep the sieves the last permission fell.
    fn depths(&self, axis: &ByField<'a>, mut left: Bits) -> Vec<u8> {
        let mut fallen: Vec<(u8, Part<'a>)> = Vec::new();
        for (block, named) in self.permitting() {
            for row in &block.permits {
                let all = block.chosen(row);
                if let Some(reason) = self.fate(axis, row, named) {
                    fallen.push((depth(Some(reason)), all));
                } else {
                    fallen.push((depth(Some(Reason::GroundMissing)), all));
                    fallen.push((depth(self.later_fate(row)), block.opened(row, self.grounds)));
                }
            }
        }
        fallen.sort_unstable_by_key(|(depth, _)| Reverse(*depth));
        let mut depths = vec![depth(Some(Reason::NoPermission)); self.index.words.fields().len()];
        for (depth, part) in fallen {
            for (place, word) in left.words_mut().iter_mut().enumerate().skip(part.at).take(part.words.len()) {
                let met = *word & part.word(place);
                *word &= !met;
                for field in ones(met).map(|bit| place * 64 + bit) {
                    depths.get_mut(field).into_iter().for_each(|known| *known = depth);
                }
            }
        }
        self.seal(axis, &mut depths);
        depths
    }

    /// Marks what survived every sieve and met a seal.
    fn seal(&self, axis: &ByField<'a>, depths: &mut [u8]) {
        for block in self.denying() {
            for row in block.ranked(usize::from(Rank::SEAL.code())).iter().filter(|row| self.is_met(row, self.now)) {
                let Some(part) = axis.closed(block, row) else { continue };
                let survived = depths.iter_mut().enumerate().filter(|(_, known)| **known == depth(None));
                survived.filter(|(field, _)| part.has(*field)).for_each(|(_, known)| *known = SEALED);
            }
        }
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

/// The depth of what survived every sieve and met a seal.
const SEALED: u8 = Reason::Sealed.number();
