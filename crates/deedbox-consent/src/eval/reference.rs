//! The executable specification: §4 of the format page step by step, with no thought of speed.
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use deedbox_model::{Name, Timestamp};

use crate::{
    Action, Ask, AskedFields, Basis, Bounds, Decision, Denial, HostFacts, Mandate, MandateStatus, Permission,
    PermissionStatus, Policy, Prohibition, Rank, Reason, Sensitivity, decision::Decided, eval::EMERGENCY_SECS,
    fields::Released,
};

/// Decides a request; total.
pub(crate) fn decide(policy: &Policy, ask: &Ask, host: &HostFacts) -> Decision {
    let (query, asked) = match admit(policy, ask, host) {
        Ok(admitted) => admitted,
        Err(refusal) => return Denial::whole(refusal).into(),
    };
    let now = query.sweep(&asked, host.now);
    let changes = |instant: &Timestamp| {
        let then = query.sweep(&asked, *instant);
        then.released != now.released || then.determining != now.determining
    };
    let change = query.instants().into_iter().filter(|instant| *instant > host.now).find(changes);
    let emergency = now.determining.values().any(|permission| permission.rank == Rank::EMERGENCY);
    let at_most = emergency.then(|| host.now.saturating_add_secs(EMERGENCY_SECS));
    let all = matches!(ask.fields, Some(AskedFields::All));
    let decided = Decided {
        party: &host.party,
        purpose: query.purpose,
        action: query.action,
        released: now.released,
        determining: now.determining.into_values().collect(),
        withheld: if all { BTreeMap::new() } else { now.withheld },
        all,
        stable_until: change.into_iter().chain(at_most).min(),
    };
    decided.into()
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
    Ok((Query { policy, ask, host, purpose, action, basis }, asked))
}

/// A request that is well formed.
struct Query<'a> {
    policy: &'a Policy,
    ask: &'a Ask,
    host: &'a HostFacts,
    purpose: &'a Name,
    action: Action,
    basis: Basis,
}

/// What holds of the asked fields at one instant.
struct Swept<'a> {
    released: Released,
    withheld: BTreeMap<Name, Reason>,
    determining: BTreeMap<&'a Name, &'a Permission>,
}

type Rule<'a> = (&'a Permission, PermissionStatus);

impl<'a> Query<'a> {
    fn sweep(&self, asked: &BTreeSet<&'a Name>, now: Timestamp) -> Swept<'a> {
        let (mut fields, mut withheld, mut determining) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for field in asked.iter().copied() {
            match self.judge(field, now) {
                Ok((bounds, by)) => {
                    fields.insert(field, bounds);
                    determining.extend(by.into_iter().map(|permission| (&permission.id, permission)));
                }
                Err(reason) => {
                    withheld.insert(field.clone(), reason);
                }
            }
        }
        Swept { released: Released::collect(self.policy.vocabulary.words(), &fields), withheld, determining }
    }

    /// The instants at which anything may change.
    fn instants(&self) -> BTreeSet<Timestamp> {
        let mut instants: BTreeSet<Timestamp> = BTreeSet::new();
        for (permission, _) in self.policy.permissions() {
            instants.extend(permission.bounds.ends());
            if let Some(per) = permission.limit.and_then(|limit| limit.per) {
                let uses = self.host.uses.get(&permission.id).into_iter().flatten();
                instants.extend(uses.filter_map(|used| used.checked_add_secs(per)));
            }
        }
        instants.extend(self.policy.prohibitions().flat_map(|prohibition| prohibition.bounds.ends()));
        instants.extend(self.policy.mandates().flat_map(|(mandate, _)| mandate.bounds.ends()));
        instants
    }

    /// One field: the record times at which it is released and the permissions that did it, or why it is not.
    fn judge(&self, field: &Name, now: Timestamp) -> Result<(Vec<Bounds>, Vec<&'a Permission>), Reason> {
        let left = self.sieve(field, now)?;
        let against: Vec<&Prohibition> =
            self.policy.prohibitions().filter(|prohibition| self.is_met(prohibition, field, now)).collect();
        let mut edges: BTreeSet<Timestamp> = BTreeSet::from([Timestamp::from_secs(0)]);
        edges.extend(left.iter().flat_map(|permission| permission.records.ends()));
        edges.extend(against.iter().flat_map(|prohibition| prohibition.records.ends()));
        let (mut stretches, mut determining): (Vec<Bounds>, Vec<&Permission>) = (Vec::new(), Vec::new());
        let untils = edges.iter().copied().skip(1).map(Some).chain([None]);
        // Between two edges all records fare alike.
        for (start, until) in edges.iter().copied().zip(untils) {
            let overruled = |permission: &Permission| {
                against.iter().any(|other| other.rank >= permission.rank && other.records.contains(start))
            };
            let before = determining.len();
            determining.extend(left.iter().filter(|one| one.records.contains(start) && !overruled(one)));
            if determining.len() > before {
                stretches.push(Bounds { from: Some(start), until });
            }
        }
        let is_sealed = against.iter().any(|prohibition| prohibition.rank == Rank::SEAL);
        let reason = if is_sealed { Reason::Sealed } else { Reason::Prohibited };
        if stretches.is_empty() { Err(reason) } else { Ok((stretches, determining)) }
    }

    /// The permissions that are left for a field; the first sieve that leaves none gives the reason.
    fn sieve(&self, field: &Name, now: Timestamp) -> Result<Vec<&'a Permission>, Reason> {
        let (policy, vocabulary, host) = (self.policy, &self.policy.vocabulary, self.host);
        let entry = vocabulary.fields().get(field).ok_or(Reason::UnknownField)?;
        let changes = matches!(self.action, Action::Write | Action::Erase);
        if changes && entry.issuer().is_some_and(|issuer| *issuer != host.party) {
            return Err(Reason::IssuerOwned);
        }
        let named = |rule: &Permission| vocabulary.permits(&rule.to, &host.party);
        let in_part = |rule: &Permission| vocabulary.permits_in_part(&rule.to, &host.party);
        let is_active = |(mandate, status): &(&Mandate, MandateStatus)| {
            *status == MandateStatus::Active && mandate.bounds.contains(now)
        };
        let mandate_holds = |id: &Name| policy.mandates().filter(is_active).any(|(mandate, _)| mandate.id == *id);
        let used = |rule: &Permission, per: Option<u64>| {
            let uses = host.uses.get(&rule.id).into_iter().flatten();
            // A use ahead of now counts: its age is 0.
            let counted = uses.filter(|used| per.is_none_or(|per| now.saturating_sub(**used) < per)).count();
            u64::try_from(counted).unwrap_or(u64::MAX)
        };
        let grounded = |rule: &Permission| {
            let asked = self.ask.ground.filter(|ground| rule.ground == Some(*ground));
            asked.is_some_and(|ground| ground.suits(entry.sensitivity()))
        };
        let mut left: Vec<Rule<'_>> = policy.permissions().collect();
        let is_about = |rule: &Permission| (named(rule) || in_part(rule)) && vocabulary.covers(&rule.fields, field);
        keep(&mut left, |(rule, _)| is_about(rule), |_| Reason::NoPermission)?;
        keep(&mut left, |(rule, _)| named(rule), |_| Reason::RosterChanged)?;
        let is_broad = |(rule, _): &Rule<'_>| vocabulary.is_purpose_within(&rule.purpose, self.purpose);
        let broad = either(is_broad, Reason::PurposeTooBroad, Reason::PurposeNotCovered);
        keep(&mut left, |(rule, _)| vocabulary.is_purpose_within(self.purpose, &rule.purpose), broad)?;
        keep(&mut left, |(rule, _)| rule.actions.contains(self.action), |_| Reason::ActionNotCovered)?;
        keep(&mut left, |(rule, _)| rule.basis == self.basis, |_| Reason::BasisMismatch)?;
        let is_suspended = |(_, status): &Rule<'_>| *status == PermissionStatus::Suspended;
        let suspended = either(is_suspended, Reason::Suspended, Reason::Withdrawn);
        keep(&mut left, |(_, status)| *status == PermissionStatus::Given, suspended)?;
        keep(&mut left, |(rule, _)| rule.mandate.as_ref().is_none_or(mandate_holds), |_| Reason::MandateInvalid)?;
        let early = either(|(rule, _)| !rule.bounds.has_begun(now), Reason::NotYetValid, Reason::Expired);
        keep(&mut left, |(rule, _)| rule.bounds.contains(now), early)?;
        let needs_ground = entry.sensitivity() != Sensitivity::ORDINARY && self.basis != Basis::HOUSEHOLD;
        keep(&mut left, |(rule, _)| !needs_ground || grounded(rule), |_| Reason::GroundMissing)?;
        keep(&mut left, |(rule, _)| host.assurance.level() >= rule.assurance, |_| Reason::AssuranceTooLow)?;
        keep(&mut left, |(rule, _)| rule.conditions.is_subset(&host.conditions), |_| Reason::ConditionUnmet)?;
        let lists = |rule: &Permission| self.recipient().is_some_and(|recipient| rule.recipients.contains(recipient));
        keep(&mut left, |(rule, _)| self.action != Action::Share || lists(rule), |_| Reason::RecipientNotNamed)?;
        let has_uses = |rule: &Permission| rule.limit.is_none_or(|limit| used(rule, limit.per) < limit.times);
        keep(&mut left, |(rule, _)| has_uses(rule), |_| Reason::UsageExhausted)?;
        Ok(left.into_iter().map(|(rule, _)| rule).collect())
    }

    /// Whether a prohibition applies to a field.
    fn is_met(&self, rule: &Prohibition, field: &Name, now: Timestamp) -> bool {
        let (policy, vocabulary) = (self.policy, &self.policy.vocabulary);
        let names = |party: &Name| vocabulary.prohibits(&rule.to, party);
        let overlaps = |purpose: &Name| vocabulary.purposes_overlap(purpose, self.purpose);
        let mandate = policy.mandates().find(|(mandate, _)| rule.mandate.as_ref() == Some(&mandate.id));
        (names(&self.host.party) || self.recipient().is_some_and(names))
            && rule.purposes.only().is_none_or(|purposes| purposes.iter().any(overlaps))
            && rule.actions.only().is_none_or(|actions| actions.contains(self.action))
            && rule.fields.only().is_none_or(|fields| vocabulary.covers(fields, field))
            && rule.bounds.contains(now)
            && mandate.is_none_or(|(mandate, _)| mandate.bounds.has_begun(now))
    }

    /// Whom to share with.
    fn recipient(&self) -> Option<&'a Name> {
        self.ask.recipient.as_ref().filter(|_| self.action == Action::Share)
    }
}

/// One reason if some rule of those before is like that, the other if none is.
fn either<'a>(is_so: impl Fn(&Rule<'a>) -> bool, so: Reason, not: Reason) -> impl FnOnce(&[Rule<'a>]) -> Reason {
    move |before| if before.iter().any(is_so) { so } else { not }
}

/// Keeps what stays; if nothing does, gives the reason from what there was.
fn keep<'a>(
    left: &mut Vec<Rule<'a>>,
    stays: impl FnMut(&Rule<'a>) -> bool,
    reason: impl FnOnce(&[Rule<'a>]) -> Reason,
) -> Result<(), Reason> {
    let before = left.clone();
    left.retain(stays);
    if left.is_empty() { Err(reason(&before)) } else { Ok(()) }
}
