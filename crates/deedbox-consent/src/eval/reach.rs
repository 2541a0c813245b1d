//! What any request could get.
use alloc::vec::Vec;

use super::{
    index::Index,
    question::{Axis as _, ByField, ByPurpose, Question},
};
use crate::{Action, At, bits::Bits, vocab::Words};

impl Index {
    pub(crate) fn words(&self) -> &Words {
        &self.words
    }

    /// The fields that `party` could be allowed for `purpose`.
    pub(crate) fn fields_of(&self, party: usize, purpose: usize, at: At) -> Bits {
        let count = self.words.fields().len();
        let (mut open, mut closed) = (Bits::new(count), Bits::new(count));
        let conditions = self.words.every_condition(at.emergency);
        let question = Question::anything(self, party, at, conditions);
        if let Some((question, up)) = question.zip(self.words.purposes().up(purpose)) {
            let axis = ByField { purpose, up };
            for recipient in question.recipients() {
                let question = question.to_recipient(recipient);
                question.walk_all(&axis, question.now, &mut closed, |_, _, part, closed| open.add_open(part, closed));
            }
            if question.changes() {
                question.drop_foreign(&mut open);
            }
        }
        open
    }

    /// Tells `found` of each party, and the purposes for which it could be allowed `field`.
    pub(crate) fn each_purposes_of(&self, field: usize, at: At, mut found: impl FnMut(usize, &Bits)) {
        let purposes = self.words.purposes();
        let every = Bits::full(purposes.names().len());
        let (mut open, mut closed) = (every.clone(), every.clone());
        let axis = ByPurpose { field, purposes, every: &every };
        let conditions = self.words.every_condition(at.emergency);
        for party in 0..self.words.parties().len() {
            let blocks = self.seat_of(party).into_iter().flat_map(|seat| self.permitting(seat));
            if !blocks.filter(|(_, named)| *named).any(|(block, _)| axis.opens(block)) {
                continue;
            }
            let Some(question) = Question::anything(self, party, at, conditions) else { continue };
            if question.is_foreign(field) {
                continue;
            }
            open.clear();
            for recipient in question.recipients() {
                let question = question.to_recipient(recipient);
                question.walk_all(&axis, question.now, &mut closed, |_, _, part, closed| open.add_open(part, closed));
            }
            found(party, &open);
        }
    }

    /// Those of `fields` that `party` could be allowed for some purpose.
    pub(crate) fn kept(&self, party: usize, fields: &Bits, at: At) -> Bits {
        let dag = self.words.purposes();
        let mut purposes = Bits::new(dag.names().len());
        let blocks = self.seat_of(party).into_iter().flat_map(|seat| self.permitting(seat)).filter(|(_, named)| *named);
        for (block, _) in blocks {
            for row in block.permits.iter().filter(|row| row.may_work() && fields.meets(block.chosen(row))) {
                dag.down(usize::from(row.purpose)).into_iter().for_each(|down| purposes.add(down));
            }
        }
        let mut kept = Bits::new(self.words.fields().len());
        for purpose in purposes.iter() {
            kept.add(&self.fields_of(party, purpose, at));
            if fields.is_subset(&kept) {
                break;
            }
        }
        kept.keep(fields);
        kept
    }

    /// The parties for which not the same blocks stand in both.
    pub(crate) fn differing(&self, other: &Self, action: Action) -> Vec<usize> {
        let parties = || 0..self.words.parties().len();
        // Whoever shares meets the recipient's prohibitions too.
        if action == Action::Share {
            return parties().collect();
        }
        let is_same = |party: &usize| {
            let seats = self.seat_of(*party).zip(other.seat_of(*party));
            seats.is_some_and(|(mine, theirs)| {
                let (permits, denies) = (self.permitting(mine), self.denying([mine].into_iter()));
                let permits = permits.map(|(block, named)| (core::ptr::from_ref(block), named));
                let others = other.permitting(theirs).map(|(block, named)| (core::ptr::from_ref(block), named));
                let denies = denies.map(core::ptr::from_ref);
                permits.eq(others) && denies.eq(other.denying([theirs].into_iter()).map(core::ptr::from_ref))
            })
        };
        parties().filter(|party| !is_same(party)).collect()
    }
}
