//! The naive evaluator: what the format page says, step by step, with no thought of speed.
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use deedbox_model::{Name, Timestamp};

use crate::{
    Action, Ask, AskedFields, Basis, Bounds, Decision, Denial, Ground, HostFacts, MandateStatus, Obligations,
    Permission, PermissionStatus, Permit, Policy, Prohibition, Rank, Reason, Sensitivity, decision::Decided,
};

/// Decides a request; total.
pub(crate) fn decide(policy: &Policy, ask: &Ask, host: &HostFacts) -> Decision {
    let (query, asked) = match admit(policy, ask, host) {
        Ok(admitted) => admitted,
        Err(refusal) => return Decision::Denial(Denial::new(Some(refusal), BTreeMap::new(), None)),
    };
    let now = query.sweep(&asked, host.now);
    let emergency = now.determining.iter().any(|permission| permission.rank == Rank::EMERGENCY);
    let stable_until = query
        .instants(host.now)
        .into_iter()
        .find(|later| {
            let then = query.sweep(&asked, *later);
            then.fields != now.fields || then.ids() != now.ids()
        })
        .into_iter()
        .chain(emergency.then(|| host.now.saturating_add_secs(EMERGENCY_SECS)))
        .min();
    let all = matches!(ask.fields, Some(AskedFields::All));
    let withheld = if all { BTreeMap::new() } else { now.withheld.clone() };
    if now.fields.is_empty() {
        return Decision::Denial(Denial::new(None, withheld, stable_until));
    }
    let consume = now.determining.iter().filter(|permission| permission.limit.is_some());
    Decision::Permit(Permit::new(Decided {
        party: host.party.clone(),
        purpose: query.purpose.clone(),
        action: query.action,
        consume: consume.map(|permission| permission.id.clone()).collect(),
        obligations: now.determining.iter().fold(Obligations::EMPTY, |all, one| all.union(one.obligations)),
        retention: now.determining.iter().filter_map(|permission| permission.retention).min().unwrap_or(0),
        determining: now.ids().into_iter().cloned().collect(),
        fields: now.fields,
        withheld,
        all,
        stable_until,
    }))
}

/// The checks that refuse a request whole.
fn admit<'a>(policy: &'a Policy, ask: &'a Ask, host: &'a HostFacts) -> Result<(Query<'a>, BTreeSet<&'a Name>), Reason> {
    let vocabulary = &policy.vocabulary;
    let kind = *vocabulary.parties().get(&host.party).ok_or(Reason::UnknownParty)?;
    let purpose = ask.purpose.as_ref().ok_or(Reason::PurposeMissing)?;
    if !vocabulary.has_purpose(purpose) {
        return Err(Reason::UnknownPurpose);
    }
    let action = ask.action.ok_or(Reason::UnknownAction)?;
    let basis = ask.basis.ok_or(Reason::BasisMissing)?;
    if !vocabulary.regime().allows(kind, basis) {
        return Err(Reason::BasisNotAvailable);
    }
    let asked: BTreeSet<&Name> = match ask.fields.as_ref().ok_or(Reason::FieldsMissing)? {
        AskedFields::All => vocabulary.fields().keys().collect(),
        AskedFields::These(fields) if fields.is_empty() => return Err(Reason::FieldsMissing),
        AskedFields::These(fields) => fields.iter().collect(),
    };
    let (ground, recipient) = (ask.ground, ask.recipient.as_ref());
    Ok((Query { policy, host, purpose, action, basis, ground, recipient }, asked))
}

/// A request that is well formed.
pub(crate) struct Query<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) host: &'a HostFacts,
    pub(crate) purpose: &'a Name,
    pub(crate) action: Action,
    pub(crate) basis: Basis,
    pub(crate) ground: Option<Ground>,
    pub(crate) recipient: Option<&'a Name>,
}

/// What holds of the asked fields at one instant.
#[derive(Default)]
struct Swept<'a> {
    fields: BTreeMap<Name, Vec<Bounds>>,
    withheld: BTreeMap<Name, Reason>,
    determining: Vec<&'a Permission>,
}

impl Swept<'_> {
    fn ids(&self) -> BTreeSet<&Name> {
        self.determining.iter().map(|permission| &permission.id).collect()
    }
}

impl<'a> Query<'a> {
    fn sweep(&self, asked: &BTreeSet<&Name>, now: Timestamp) -> Swept<'a> {
        let mut swept = Swept::default();
        for field in asked {
            match self.judge(field, now) {
                Ok((bounds, determining)) => {
                    swept.fields.insert((*field).clone(), bounds);
                    swept.determining.extend(determining);
                }
                Err(reason) => {
                    swept.withheld.insert((*field).clone(), reason);
                }
            }
        }
        swept
    }

    /// The instants after `now` at which anything may change.
    fn instants(&self, now: Timestamp) -> BTreeSet<Timestamp> {
        let policy = self.policy;
        let mut instants: BTreeSet<Timestamp> = BTreeSet::new();
        for (permission, _) in policy.permissions.values() {
            instants.extend(permission.bounds.ends());
            if let Some(per) = permission.limit.and_then(|limit| limit.per) {
                let uses = self.host.uses.get(&permission.id).into_iter().flatten();
                instants.extend(uses.filter_map(|used| used.checked_add_secs(per)));
            }
        }
        instants.extend(policy.prohibitions.values().flat_map(|prohibition| prohibition.bounds.ends()));
        instants.extend(policy.mandates.values().flat_map(|(mandate, _)| mandate.bounds.ends()));
        instants.retain(|instant| *instant > now);
        instants
    }

    /// One field: the record times at which it is released and the permissions that did it, or why it is not.
    pub(crate) fn judge(&self, field: &Name, now: Timestamp) -> Result<(Vec<Bounds>, Vec<&'a Permission>), Reason> {
        let left = self.sieve(field, now)?;
        let against: Vec<&Prohibition> = self.prohibitions(field, now).collect();
        let mut edges: BTreeSet<Timestamp> = BTreeSet::from([Timestamp::from_secs(0)]);
        edges.extend(left.iter().flat_map(|permission| permission.records.ends()));
        edges.extend(against.iter().flat_map(|prohibition| prohibition.records.ends()));
        let mut stretches: Vec<Bounds> = Vec::new();
        let mut determining: Vec<&Permission> = Vec::new();
        let mut ends = edges.iter().copied().skip(1);
        for start in edges.iter().copied() {
            // Between two edges all records fare alike.
            let released = left.iter().filter(|permission| {
                permission.records.contains(start)
                    && !against
                        .iter()
                        .any(|prohibition| prohibition.rank >= permission.rank && prohibition.records.contains(start))
            });
            let before = determining.len();
            determining.extend(released);
            let until = ends.next();
            if determining.len() > before {
                match stretches.last_mut().filter(|last| last.until == Some(start)) {
                    Some(last) => last.until = until,
                    None => stretches.push(Bounds { from: (start.secs() > 0).then_some(start), until }),
                }
            }
        }
        if !stretches.is_empty() {
            return Ok((stretches, determining));
        }
        let is_sealed = against.iter().any(|prohibition| prohibition.rank == Rank::SEAL);
        Err(if is_sealed { Reason::Sealed } else { Reason::Prohibited })
    }

    /// The permissions that are left for a field; the first sieve that leaves none gives the reason.
    fn sieve(&self, field: &Name, now: Timestamp) -> Result<Vec<&'a Permission>, Reason> {
        let (policy, vocabulary) = (self.policy, &self.policy.vocabulary);
        let (host, purpose) = (self.host, self.purpose);
        let entry = vocabulary.fields().get(field).ok_or(Reason::UnknownField)?;
        let changes = matches!(self.action, Action::Write | Action::Erase);
        if changes && entry.issuer().is_some_and(|issuer| *issuer != host.party) {
            return Err(Reason::IssuerOwned);
        }
        let mut left: Vec<(&Permission, PermissionStatus)> = policy.permissions().collect();
        keep(&mut left, |(permission, _)| {
            vocabulary.covers(&permission.fields, field)
                && (vocabulary.permits(&permission.to, &host.party)
                    || vocabulary.permits_in_part(&permission.to, &host.party))
        })
        .map_err(|_| Reason::NoPermission)?;
        keep(&mut left, |(permission, _)| vocabulary.permits(&permission.to, &host.party))
            .map_err(|_| Reason::RosterChanged)?;
        keep(&mut left, |(permission, _)| vocabulary.is_purpose_within(purpose, &permission.purpose)).map_err(
            |before| {
                let is_broad =
                    before.iter().any(|(permission, _)| vocabulary.is_purpose_within(&permission.purpose, purpose));
                if is_broad { Reason::PurposeTooBroad } else { Reason::PurposeNotCovered }
            },
        )?;
        keep(&mut left, |(permission, _)| permission.actions.contains(self.action))
            .map_err(|_| Reason::ActionNotCovered)?;
        keep(&mut left, |(permission, _)| permission.basis == self.basis).map_err(|_| Reason::BasisMismatch)?;
        keep(&mut left, |(_, status)| *status == PermissionStatus::Given).map_err(|before| {
            let is_suspended = before.iter().any(|(_, status)| *status == PermissionStatus::Suspended);
            if is_suspended { Reason::Suspended } else { Reason::Withdrawn }
        })?;
        keep(&mut left, |(permission, _)| {
            permission.mandate.as_ref().is_none_or(|mandate| {
                policy
                    .mandates
                    .get(mandate)
                    .is_some_and(|(mandate, status)| *status == MandateStatus::Active && mandate.bounds.contains(now))
            })
        })
        .map_err(|_| Reason::MandateInvalid)?;
        keep(&mut left, |(permission, _)| permission.bounds.contains(now)).map_err(|before| {
            let is_early = before.iter().any(|(permission, _)| !permission.bounds.has_begun(now));
            if is_early { Reason::NotYetValid } else { Reason::Expired }
        })?;
        keep(&mut left, |(permission, _)| {
            entry.sensitivity() == Sensitivity::ORDINARY
                || permission.basis == Basis::HOUSEHOLD
                || self
                    .ground
                    .is_some_and(|ground| permission.ground == Some(ground) && ground.suits(entry.sensitivity()))
        })
        .map_err(|_| Reason::GroundMissing)?;
        keep(&mut left, |(permission, _)| host.assurance.level() >= permission.assurance)
            .map_err(|_| Reason::AssuranceTooLow)?;
        keep(&mut left, |(permission, _)| permission.conditions.is_subset(&host.conditions))
            .map_err(|_| Reason::ConditionUnmet)?;
        keep(&mut left, |(permission, _)| {
            self.action != Action::Share
                || self.recipient.is_some_and(|recipient| permission.recipients.contains(recipient))
        })
        .map_err(|_| Reason::RecipientNotNamed)?;
        keep(&mut left, |(permission, _)| {
            permission.limit.is_none_or(|limit| {
                let uses = host.uses.get(&permission.id).into_iter().flatten();
                // A use ahead of now counts: its age is 0.
                let counted = uses.filter(|used| limit.per.is_none_or(|per| now.saturating_sub(**used) < per));
                u64::try_from(counted.count()).is_ok_and(|count| count < limit.times)
            })
        })
        .map_err(|_| Reason::UsageExhausted)?;
        Ok(left.into_iter().map(|(permission, _)| permission).collect())
    }

    /// The prohibitions that apply to a field.
    fn prohibitions(&self, field: &Name, now: Timestamp) -> impl Iterator<Item = &'a Prohibition> {
        let (policy, vocabulary) = (self.policy, &self.policy.vocabulary);
        let recipient = self.recipient.filter(|_| self.action == Action::Share);
        policy.prohibitions.values().filter(move |prohibition| {
            let names = |party: &Name| vocabulary.prohibits(&prohibition.to, party);
            (names(&self.host.party) || recipient.is_some_and(names))
                && prohibition.purposes.only().is_none_or(|purposes| {
                    purposes.iter().any(|purpose| vocabulary.purposes_overlap(purpose, self.purpose))
                })
                && prohibition.actions.only().is_none_or(|actions| actions.contains(self.action))
                && prohibition.fields.only().is_none_or(|fields| vocabulary.covers(fields, field))
                && prohibition.bounds.contains(now)
                && prohibition.mandate.as_ref().is_none_or(|mandate| {
                    policy.mandates.get(mandate).is_none_or(|(mandate, _)| mandate.bounds.has_begun(now))
                })
        })
    }
}

/// Keeps what stays; if nothing does, gives back what there was.
fn keep<T: Copy>(left: &mut Vec<T>, stays: impl FnMut(&T) -> bool) -> Result<(), Vec<T>> {
    let before = left.clone();
    left.retain(stays);
    if left.is_empty() { Err(before) } else { Ok(()) }
}

/// How long an emergency may count as unchanged.
const EMERGENCY_SECS: u64 = 14_400;
