use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use deedbox_model::{Name, Timestamp};

use crate::{Action, Change, Policy, bits::Bits, eval::Index};

/// When and for what an analysis is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the three say all")]
pub struct At {
    /// The action.
    pub action: Action,
    /// The instant.
    pub now: Timestamp,
    /// Whether glass was broken.
    pub emergency: bool,
}

/// A party that some request would be allowed a field, for a purpose.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Access {
    /// Who.
    pub party: Name,
    /// What for.
    pub purpose: Name,
    /// Which field.
    pub field: Name,
}

/// What a change would do, and what is to be done when it is made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Impact {
    /// Allowed before, not after.
    pub lost: Vec<Access>,
    /// Allowed after, not before.
    pub gained: Vec<Access>,
    /// For each party the fields it had for some purpose and then has for none: what it must erase.
    pub erase: BTreeMap<Name, BTreeSet<Name>>,
    /// For each party the fields it keeps that another must erase: their keys change, and it is to get the new ones.
    pub regrant: BTreeMap<Name, BTreeSet<Name>>,
}

impl At {
    /// Reading at `now`, in no emergency.
    #[must_use]
    pub const fn reading(now: Timestamp) -> Self {
        Self { action: Action::Read, now, emergency: false }
    }
}

impl Impact {
    /// The fields whose keys must change, because somebody who had them may have them no more.
    #[must_use]
    pub fn rotate(&self) -> BTreeSet<&Name> {
        self.erase.values().flatten().collect()
    }

    /// The parties to tell: those that lose or gain something.
    #[must_use]
    pub fn tell(&self) -> BTreeSet<&Name> {
        self.lost.iter().chain(&self.gained).map(|access| &access.party).collect()
    }
}

/// Every (party, purpose) that could be allowed `field`.
pub(crate) fn who_can_see(index: &Index, field: &Name, at: At) -> Vec<Access> {
    let words = index.words();
    let mut rows = Vec::new();
    let Some(number) = words.fields().number(field) else { return rows };
    index.each_purposes_of(number, at, |party, purposes| {
        let purposes = purposes.iter().filter_map(|purpose| words.purposes().names().get(purpose));
        let party = words.parties().get(party);
        rows.extend(purposes.filter_map(|purpose| Some(access(party?, purpose, field))));
    });
    rows
}

/// Every (purpose, field) that could be allowed to `party`.
pub(crate) fn what_can_see(index: &Index, party: &Name, at: At) -> Vec<Access> {
    let words = index.words();
    let mut rows = Vec::new();
    let Some(number) = words.parties().number(party) else { return rows };
    for purpose in 0..words.purposes().names().len() {
        rows.extend(rows_of(index, party, purpose, &index.fields_of(number, purpose, at)));
    }
    rows
}

/// What `change` to `policy` did, which turned `before` into `after`.
pub(crate) fn impact(policy: &Policy, (before, after): (&Index, &Index), change: &Change, at: At) -> Impact {
    let words = before.words();
    let purposes = touched(policy, change);
    let mut impact = Impact::default();
    let mut rotate = Bits::new(words.fields().len());
    for party in before.differing(after, at.action) {
        let Some(name) = words.parties().get(party) else { continue };
        let mut lost_for_some = Bits::new(words.fields().len());
        for purpose in purposes.iter() {
            let (had, has) = (before.fields_of(party, purpose, at), after.fields_of(party, purpose, at));
            let (mut lost, mut gained) = (had.clone(), has.clone());
            lost.subtract(&has);
            gained.subtract(&had);
            impact.lost.extend(rows_of(before, name, purpose, &lost));
            impact.gained.extend(rows_of(before, name, purpose, &gained));
            lost_for_some.add(&lost);
        }
        if !lost_for_some.is_empty() {
            lost_for_some.subtract(&after.kept(party, &lost_for_some, at));
            let fields: BTreeSet<Name> = names_of(before, &lost_for_some).cloned().collect();
            if !fields.is_empty() {
                impact.erase.insert(name.clone(), fields);
            }
            rotate.add(&lost_for_some);
        }
    }
    if !rotate.is_empty() {
        for (party, name) in words.parties().iter().enumerate() {
            let kept: BTreeSet<Name> = names_of(after, &after.kept(party, &rotate, at)).cloned().collect();
            if !kept.is_empty() {
                impact.regrant.insert(name.clone(), kept);
            }
        }
    }
    impact
}

/// What separates `after` from `before`, whose vocabularies may differ: by name.
pub(crate) fn between(before: &Index, after: &Index, at: At) -> Impact {
    let parties: BTreeSet<&Name> =
        [before, after].into_iter().flat_map(|index| index.words().parties().iter()).collect();
    let rows = |index, party| what_can_see(index, party, at).into_iter().collect::<BTreeSet<Access>>();
    let mut impact = Impact::default();
    for party in &parties {
        let (had, has) = (rows(before, party), rows(after, party));
        let kept: BTreeSet<&Name> = has.iter().map(|access| &access.field).collect();
        let erase: BTreeSet<Name> =
            had.iter().map(|access| &access.field).filter(|field| !kept.contains(field)).cloned().collect();
        if !erase.is_empty() {
            impact.erase.insert((*party).clone(), erase);
        }
        impact.lost.extend(had.difference(&has).cloned());
        impact.gained.extend(has.difference(&had).cloned());
    }
    let rotate: BTreeSet<Name> = impact.rotate().into_iter().cloned().collect();
    for party in parties.into_iter().filter(|_| !rotate.is_empty()) {
        let has = rows(after, party).into_iter().map(|access| access.field);
        let kept: BTreeSet<Name> = has.filter(|field| rotate.contains(field)).collect();
        if !kept.is_empty() {
            impact.regrant.insert(party.clone(), kept);
        }
    }
    impact
}

/// The purposes for which a change can matter.
fn touched(policy: &Policy, change: &Change) -> Bits {
    let dag = policy.vocabulary.words().purposes();
    let permission = match change {
        Change::AddPermission(permission) => Some(&**permission),
        Change::Suspend(id) | Change::Resume(id) | Change::Withdraw(id) => policy.permission(id).map(|(rule, _)| rule),
        _ => None,
    };
    let purpose = permission.and_then(|permission| dag.names().number(&permission.purpose));
    let purposes = purpose.and_then(|purpose| dag.down(purpose));
    purposes.cloned().unwrap_or_else(|| Bits::full(dag.names().len()))
}

fn names_of<'a>(index: &'a Index, fields: &Bits) -> impl Iterator<Item = &'a Name> {
    fields.iter().filter_map(|field| index.words().fields().get(field))
}

fn rows_of(index: &Index, party: &Name, purpose: usize, fields: &Bits) -> Vec<Access> {
    let Some(purpose) = index.words().purposes().names().get(purpose) else { return Vec::new() };
    names_of(index, fields).map(|field| access(party, purpose, field)).collect()
}

fn access(party: &Name, purpose: &Name, field: &Name) -> Access {
    Access { party: party.clone(), purpose: purpose.clone(), field: field.clone() }
}
