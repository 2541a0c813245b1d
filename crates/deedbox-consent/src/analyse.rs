use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use deedbox_model::{Assurance, Name, Timestamp};

use crate::{Action, HostFacts, Policy, eval::reference::Query, vocab::BREAK_GLASS};

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

/// What a change would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Impact {
    /// Allowed before, not after.
    pub lost: Vec<Access>,
    /// Allowed after, not before.
    pub gained: Vec<Access>,
    /// For each party the fields it had for some purpose and then has for none: what it must erase.
    pub erase: BTreeMap<Name, BTreeSet<Name>>,
}

impl At {
    /// Reading at `now`, in no emergency.
    #[must_use]
    pub const fn reading(now: Timestamp) -> Self {
        Self { action: Action::Read, now, emergency: false }
    }
}

impl Impact {
    pub(crate) fn between(before: &BTreeSet<Access>, after: &BTreeSet<Access>) -> Self {
        let kept: BTreeSet<(&Name, &Name)> = after.iter().map(|access| (&access.party, &access.field)).collect();
        let mut erase: BTreeMap<Name, BTreeSet<Name>> = BTreeMap::new();
        for access in before.iter().filter(|access| !kept.contains(&(&access.party, &access.field))) {
            erase.entry(access.party.clone()).or_default().insert(access.field.clone());
        }
        Self {
            lost: before.difference(after).cloned().collect(),
            gained: after.difference(before).cloned().collect(),
            erase,
        }
    }
}

/// Everything that some request would be allowed, at the highest assurance, with all conditions and no uses, whatever its
/// basis, ground and recipient.
///
/// What is allowed is allowed by some permission, so it is enough to ask as each permission wants to be asked.
pub(crate) fn reach(policy: &Policy, at: At, party: Option<&Name>, field: Option<&Name>) -> BTreeSet<Access> {
    let vocabulary = &policy.vocabulary;
    let mut reached = BTreeSet::new();
    let conditions =
        vocabulary.conditions().iter().filter(|condition| at.emergency || condition.as_str() != BREAK_GLASS).cloned();
    let conditions: BTreeSet<Name> = conditions.collect();
    for (permission, _) in policy.permissions.values().filter(|(permission, _)| permission.actions.contains(at.action))
    {
        let recipients: Vec<Option<&Name>> = match at.action {
            Action::Share => permission.recipients.iter().map(Some).collect(),
            _ => Vec::from([None]),
        };
        let fields: Vec<&Name> = vocabulary
            .fields()
            .keys()
            .filter(|name| field.is_none_or(|field| field == *name) && vocabulary.covers(&permission.fields, name))
            .collect();
        let parties = vocabulary.parties().iter().filter(|(name, kind)| {
            party.is_none_or(|party| party == *name)
                && vocabulary.permits(&permission.to, name)
                && vocabulary.regime().allows(**kind, permission.basis)
        });
        for (party, _) in parties {
            let host =
                HostFacts::new(party.clone(), at.now).assurance(Assurance::High).conditions(conditions.iter().cloned());
            for purpose in
                vocabulary.purposes().filter(|purpose| vocabulary.is_purpose_within(purpose, &permission.purpose))
            {
                for recipient in &recipients {
                    let query = Query {
                        policy,
                        host: &host,
                        purpose,
                        action: at.action,
                        basis: permission.basis,
                        ground: permission.ground,
                        recipient: *recipient,
                    };
                    for field in fields.iter().filter(|field| query.judge(field, at.now).is_ok()) {
                        let field = (*field).clone();
                        reached.insert(Access { party: party.clone(), purpose: purpose.clone(), field });
                    }
                }
            }
        }
    }
    reached
}
