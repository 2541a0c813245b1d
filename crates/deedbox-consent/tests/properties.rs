//! What holds of every policy: the order of rules does not matter, a refusal never opens, a decision lasts as long as it
//! says. Checked on random rules, and against a second, set-wise reading of the format page.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use deedbox_consent::{
    Action, Agreed, Ask, AskedFields, At, Basis, Bounds, Change, Decision, Ground, HostFacts, Limit, Maker,
    MandateStatus, Outcome, Permission, PermissionStatus, Policy, Prohibition, Rank, Reason, Roster, Selector,
    Sensitivity, Terms, TermsDiff, To, terms_diff,
    test_util::{CHOICES, Draw, FIELDS, PARENTS, PARTIES, PURPOSES, WITHIN, at, name, reach, roster, vocabulary},
};
use deedbox_model::{Assurance, Digest, Name, ObjectId};
use proptest::{collection::vec, prelude::*};

/// A policy of a mandate, up to four permissions, up to three prohibitions.
fn changes(bytes: &[Vec<u8>]) -> Vec<Change> {
    let mut changes = vec![Draw::new(bytes.first().map_or(&[], Vec::as_slice)).mandate().into()];
    for (index, bytes) in bytes.iter().enumerate() {
        let mut draw = Draw::new(bytes);
        changes.push(match draw.below(3) {
            0 | 1 => draw.permission(&format!("p{index}")).into(),
            _ => draw.prohibition(&format!("d{index}")).into(),
        });
    }
    changes
}

fn policy(changes: impl IntoIterator<Item = Change>) -> Policy {
    let mut policy = Policy::new(vocabulary());
    for change in changes {
        policy.apply(change, &Maker::Person).unwrap();
    }
    policy
}

fn rules() -> impl Strategy<Value = Vec<Vec<u8>>> {
    vec(vec(any::<u8>(), 40), 0..6)
}

fn question() -> impl Strategy<Value = (Ask, HostFacts)> {
    vec(any::<u8>(), 40).prop_map(|bytes| {
        let mut draw = Draw::new(&bytes);
        draw.question()
    })
}

/// What a decision lets go: fields with the record times, in steps that meet every bound of the world.
fn released(decision: &Decision) -> BTreeSet<(String, u64)> {
    let mut released = BTreeSet::new();
    if let Decision::Permit(permit) = decision {
        for field in permit.fields() {
            released.extend(
                (0..40)
                    .map(|step| step * 5)
                    .filter(|time| permit.admits(field, at(*time)))
                    .map(|time| (field.to_string(), time)),
            );
        }
    }
    released
}

fn determining(decision: &Decision) -> Vec<Name> {
    decision.for_person().determining.into_iter().cloned().collect()
}

proptest! {
    #[test]
    fn the_order_of_rules_does_not_matter(rules in rules(), (ask, host) in question()) {
        let forwards = changes(&rules);
        let mut backwards = forwards.clone();
        backwards[1..].reverse();
        let (forwards, backwards) = (policy(forwards), policy(backwards));
        prop_assert_eq!(forwards.to_bytes(), backwards.to_bytes());
        prop_assert_eq!(forwards.decide(&ask, &host), backwards.decide(&ask, &host));
    }

    #[test]
    fn a_prohibition_never_adds(rules in rules(), extra: [u8; 32], (ask, host) in question()) {
        let before = policy(changes(&rules));
        let mut after = before.clone();
        after.apply(Draw::new(&extra).prohibition("extra"), &Maker::Person).unwrap();
        prop_assert!(released(&after.decide(&ask, &host)).is_subset(&released(&before.decide(&ask, &host))));
    }

    #[test]
    fn a_permission_never_removes(rules in rules(), extra: [u8; 32], (ask, host) in question()) {
        let before = policy(changes(&rules));
        let mut after = before.clone();
        after.apply(Draw::new(&extra).permission("extra"), &Maker::Person).unwrap();
        prop_assert!(released(&after.decide(&ask, &host)).is_superset(&released(&before.decide(&ask, &host))));
    }

    #[test]
    fn weaker_facts_never_add(rules in rules(), (ask, host) in question(), used in 0u64..100) {
        let policy = policy(changes(&rules));
        let before = released(&policy.decide(&ask, &host));
        let mut weaker = vec![host.clone().assurance(Assurance::Unknown), host.clone().conditions([])];
        weaker.extend(policy.permissions().map(|(permission, _)| host.clone().uses(permission.id.clone(), [at(used)])));
        for host in weaker {
            prop_assert!(released(&policy.decide(&ask, &host)).is_subset(&before));
        }
    }

    #[test]
    fn claiming_less_never_adds(rules in rules(), (ask, host) in question()) {
        let policy = policy(changes(&rules));
        let before = released(&policy.decide(&ask, &host));
        let less: [fn(&mut Ask); 5] = [
            |ask| ask.ground = None,
            |ask| ask.recipient = None,
            |ask| ask.basis = None,
            |ask| ask.action = None,
            |ask| ask.purpose = None,
        ];
        for leave_out in less {
            let mut ask = ask.clone();
            leave_out(&mut ask);
            prop_assert!(released(&policy.decide(&ask, &host)).is_subset(&before));
        }
    }

    #[test]
    fn nothing_opens_a_seal(rules in rules(), choice in 0usize..CHOICES.len(), (ask, host) in question()) {
        let mut sealed = policy(changes(&rules));
        let closed = Selector::of([name(CHOICES[choice])]);
        let seal = Prohibition::new(name("seal"), To::Anyone).rank(Rank::SEAL).fields(closed.clone());
        sealed.apply(seal, &Maker::Person).unwrap();
        if let Decision::Permit(permit) = sealed.decide(&ask, &host) {
            prop_assert!(!permit.fields().any(|field| sealed.vocabulary().covers(&closed, field)));
        }
    }

    #[test]
    fn nothing_is_passed_on_to_whom_it_is_refused(
        rules in rules(),
        recipient in 0usize..PARTIES.len(),
        (ask, host) in question(),
    ) {
        let recipient = name(PARTIES[recipient]);
        let ask = ask.action(Action::Share).recipient(recipient.clone());
        let mut refusing = policy(changes(&rules));
        refusing.apply(Prohibition::new(name("refused"), To::Party(recipient)), &Maker::Person).unwrap();
        if let Decision::Permit(permit) = refusing.decide(&ask, &host) {
            // Only an emergency rule is above the person's refusal.
            let ranks = permit.determining().iter().filter_map(|id| refusing.permission(id));
            prop_assert!(ranks.map(|(permission, _)| permission.rank).all(|rank| rank == Rank::EMERGENCY));
        }
    }

    #[test]
    fn ending_a_mandate_never_adds(rules in rules(), (ask, host) in question()) {
        let before = policy(changes(&rules));
        let mut after = before.clone();
        after.apply(Change::EndMandate(name("m1")), &Maker::Agent(name("daughter"))).unwrap();
        prop_assert!(released(&after.decide(&ask, &host)).is_subset(&released(&before.decide(&ask, &host))));
    }

    #[test]
    fn whoever_joins_a_pinned_roster_gets_nothing(rules in rules(), (ask, host) in question()) {
        let mut changes = changes(&rules);
        let current = To::Roster(name("team"), Roster::Current);
        changes.retain(|change| !matches!(change, Change::AddPermission(permission) if permission.to == current));
        let before = policy(changes);
        let mut after = before.clone();
        let members = ["hospital", "daughter", "charity"].map(name).into();
        // The charity was on roster 1, so only what pins roster 2 is asked about.
        prop_assume!(before.permissions().all(|(permission, _)| {
            permission.to != To::Roster(name("team"), Roster::Pinned(roster(1)))
        }));
        let change = Change::Roster { cluster: name("team"), version: roster(3), members };
        after.apply(change, &Maker::Person).unwrap();
        prop_assert!(released(&after.decide(&ask, &host)).is_subset(&released(&before.decide(&ask, &host))));
    }

    #[test]
    fn an_empty_policy_denies((ask, host) in question()) {
        prop_assert!(matches!(policy([]).decide(&ask, &host), Decision::Denial(_)));
    }

    #[test]
    fn a_decision_lasts_as_long_as_it_says(rules in rules(), (ask, host) in question()) {
        let policy = policy(changes(&rules));
        let decision = policy.decide(&ask, &host);
        let end = decision.stable_until().map_or(1_000, |end| end.secs());
        prop_assert!(end > host.now.secs());
        for now in host.now.secs()..end.min(host.now.secs() + 60) {
            let mut later = host.clone();
            later.now = at(now);
            let later = policy.decide(&ask, &later);
            prop_assert_eq!(released(&later), released(&decision));
            prop_assert_eq!(determining(&later), determining(&decision));
        }
    }

    #[test]
    fn withdrawn_is_as_never_given(rules in rules(), extra: [u8; 32], (ask, host) in question()) {
        let before = policy(changes(&rules));
        let mut after = before.clone();
        after.apply(Draw::new(&extra).permission("extra"), &Maker::Person).unwrap();
        after.apply(Change::Withdraw(name("extra")), &Maker::Person).unwrap();
        let (before, after) = (before.decide(&ask, &host), after.decide(&ask, &host));
        prop_assert_eq!(released(&before), released(&after));
        prop_assert_eq!(determining(&before), determining(&after));
        prop_assert_eq!(before.for_requester(), after.for_requester());
    }

    #[test]
    fn the_asker_can_not_tell_unknown_from_withheld(rules in rules(), (ask, host) in question()) {
        let policy = policy(changes(&rules));
        let asked = |fields: Vec<Name>| {
            let mut ask = ask.clone();
            ask.fields = Some(AskedFields::These(fields.into_iter().collect()));
            policy.decide(&ask, &host)
        };
        let all = asked(FIELDS.map(name).to_vec());
        let released: Vec<Name> = FIELDS.map(name).into_iter().filter(|field| !all.withheld().contains_key(field)).collect();
        if all.refusal().is_none() {
            for withheld in all.withheld().keys().cloned().chain([name("shoe_size")]) {
                let one = asked([released.clone(), vec![withheld]].concat());
                let other = asked([released.clone(), vec![name("no_such_field")]].concat());
                prop_assert_eq!(one.for_requester(), other.for_requester());
            }
        }
    }

    #[test]
    fn decisions_are_what_the_sets_say(rules in rules(), (ask, host) in question()) {
        let policy = policy(changes(&rules));
        let decision = policy.decide(&ask, &host);
        let expected = model(&policy, &ask, &host);
        let (expected_released, expected_determining) = expected.unwrap_or_default();
        prop_assert_eq!(released(&decision), expected_released);
        prop_assert_eq!(determining(&decision), expected_determining.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn policies_survive_their_bytes(rules in rules(), statuses in 0u8..4) {
        let mut policy = policy(changes(&rules));
        let ids: Vec<_> = policy.permissions().map(|(permission, _)| permission.id.clone()).collect();
        if statuses & 1 == 1 {
            policy.apply(Change::EndMandate(name("m1")), &Maker::Person).unwrap();
        }
        for id in ids.iter().skip(usize::from(statuses >> 1)) {
            policy.apply(Change::Suspend(id.clone()), &Maker::Person).unwrap();
        }
        let again = Policy::from_bytes(&policy.to_bytes()).unwrap();
        prop_assert_eq!(again.to_bytes(), policy.to_bytes());
        prop_assert_eq!(again, policy);
    }

    #[test]
    fn narrowed_terms_reach_no_further(rules in vec(any::<[u8; 32]>(), 1..4), tweak: [u8; 8], now in 0u64..80) {
        let (old, new) = offers(&rules, tweak);
        let (old_terms, new_terms) = (terms(&old), terms(&new));
        prop_assert_eq!(terms_diff(&vocabulary(), &old_terms, &old_terms), TermsDiff::Same);
        prop_assert_eq!(Terms::from_bytes(&new_terms.to_bytes()), Ok(new_terms.clone()));
        let is_no_wider = terms_diff(&vocabulary(), &old_terms, &new_terms) != TermsDiff::Widening;
        // Whatever became of the old ones, and wherever uses of one could be those of two, it takes no more to need a signature.
        prop_assert!(is_no_wider || !new_terms.need_no_signature(&vocabulary(), &old_terms, |_| true));
        prop_assert!(old_terms.need_no_signature(&vocabulary(), &old_terms, |_| false));
        // Offered, they are in force at once exactly if they are no wider, and a policy that follows them gives no more.
        let mut agreed = Agreed::new(old_terms.clone());
        agreed.offer(&vocabulary(), new_terms.clone());
        prop_assert_eq!(agreed.in_force(), if is_no_wider { &new_terms } else { &old_terms });
        let before = policy(old.into_iter().map(Change::from));
        let mut after = before.clone();
        for change in agreed.in_force().changes_from(&old_terms) {
            after.apply(change, &Maker::Person).unwrap();
        }
        for action in [Action::Read, Action::Share] {
            let at = At { action, now: at(now), emergency: true };
            prop_assert!(reach(&after, at).is_subset(&reach(&before, at)));
        }
        // What was used under a limit counts under the one that takes its place.
        for (id, before) in new_terms.predecessors(&vocabulary(), &old_terms) {
            let was_limited = old_terms.permissions().all(|permission| permission.limit.is_some());
            prop_assert!(!is_no_wider || !was_limited || !before.is_empty(), "{id} was in none");
        }
        // Signed, the wider ones replace them; anything else signed does not.
        prop_assert!(!agreed.signed(&old_terms.to_bytes()));
        prop_assert_eq!(agreed.signed(&new_terms.to_bytes()), !is_no_wider);
        prop_assert_eq!(agreed.in_force(), &new_terms);
        prop_assert_eq!(agreed.waiting(), None);
    }
}

/// Permissions, and the same with one thing about some of them changed.
fn offers(rules: &[[u8; 32]], tweak: [u8; 8]) -> (Vec<Permission>, Vec<Permission>) {
    let draw = |(index, bytes): (usize, &[u8; 32])| {
        let mut permission = Draw::new(bytes).permission(&format!("p{index}"));
        if permission.mandate.take().is_some() {
            permission.rank = Rank::PERSON;
        }
        permission
    };
    let old: Vec<Permission> = rules.iter().enumerate().map(draw).collect();
    let mut new = old.clone();
    for (permission, tweak) in new.iter_mut().zip(tweak.chunks(2)) {
        let before = permission.clone();
        match tweak[0] % 6 {
            0 => permission.purpose = name(PURPOSES[usize::from(tweak[1]) % PURPOSES.len()]),
            1 => permission.fields = permission.fields.clone().except([name(FIELDS[usize::from(tweak[1]) % 4])]),
            2 => permission.retention = Some(u64::from(tweak[1])),
            3 => permission.limit = Some(Limit { times: u64::from(tweak[1] % 4) + 1, per: Some(20) }),
            4 => permission.actions = Action::Read.into(),
            _ => permission.recipients.clear(),
        }
        if *permission != before {
            permission.id = name(&format!("new-{}", before.id));
        }
    }
    (old, new)
}

fn terms(rules: &[Permission]) -> Terms {
    let digest = Digest::from_bytes([0; 32]);
    Terms::new(name("t"), rules.to_vec(), digest, digest).unwrap()
}

/// The second reading: explicit sets below each name, and one look at each (field, record time).
#[expect(clippy::type_complexity, reason = "a pair of sets")]
fn model(policy: &Policy, ask: &Ask, host: &HostFacts) -> Option<(BTreeSet<(String, u64)>, BTreeSet<Name>)> {
    fn below_purpose(purpose: &str) -> BTreeSet<String> {
        let mut below = BTreeSet::from([purpose.to_owned()]);
        for (child, parents) in PURPOSES.iter().zip(PARENTS) {
            if parents.contains(&purpose) {
                below.extend(below_purpose(child));
            }
        }
        below
    }
    fn below_choice(choice: &str) -> BTreeSet<String> {
        let mut below: BTreeSet<String> = if FIELDS.contains(&choice) { [choice.to_owned()].into() } else { [].into() };
        if choice == "contact" {
            below.extend(below_choice("post"));
        }
        below.extend(
            FIELDS
                .iter()
                .zip(WITHIN)
                .filter(|(_, within)| within.contains(&choice))
                .map(|(field, _)| (*field).to_owned()),
        );
        below
    }
    let chosen = |selector: &deedbox_consent::Selector| -> BTreeSet<String> {
        let union = |names: &BTreeSet<Name>| -> BTreeSet<String> {
            names.iter().flat_map(|choice| below_choice(choice.as_str())).collect()
        };
        union(&selector.include).difference(&union(&selector.exclude)).cloned().collect()
    };
    let on = |number: u32, party: &Name| match number {
        1 => ["hospital", "charity"].contains(&party.as_str()),
        _ => ["hospital", "daughter"].contains(&party.as_str()),
    };
    let (action, basis) = (ask.action?, ask.basis?);
    let purpose = ask.purpose.as_ref()?.as_str();
    let kind = policy.vocabulary().parties()[&host.party];
    if !policy.vocabulary().regime().allows(kind, basis) {
        return None;
    }
    let inside = |bounds: &Bounds, time: u64| {
        bounds.from.is_none_or(|from| from.secs() <= time) && bounds.until.is_none_or(|until| time < until.secs())
    };
    let now = host.now.secs();
    let (mut released, mut determining) = (BTreeSet::new(), BTreeSet::new());
    let is_asked =
        |field: &&str| !matches!(&ask.fields, Some(AskedFields::These(fields)) if !fields.contains(&name(field)));
    for field in FIELDS.into_iter().filter(is_asked) {
        let sensitivity = policy.vocabulary().fields()[&name(field)].sensitivity();
        if field == "award" && action == Action::Write && host.party != name("hospital") {
            continue;
        }
        for time in (0..40).map(|step| step * 5) {
            let allows: Vec<_> = policy
                .permissions()
                .filter(|(permission, status)| {
                    let named = match &permission.to {
                        To::Party(party) => *party == host.party,
                        To::Roster(_, Roster::Pinned(number)) => on(number.get(), &host.party) && on(2, &host.party),
                        To::Roster(_, Roster::Current) => on(2, &host.party),
                        _ => false,
                    };
                    let mandated = permission.mandate.is_none()
                        || policy
                            .mandates()
                            .any(|(mandate, status)| status == MandateStatus::Active && inside(&mandate.bounds, now));
                    let grounded = match sensitivity {
                        _ if basis == Basis::HOUSEHOLD => true,
                        Sensitivity::ORDINARY => true,
                        Sensitivity::SPECIAL => {
                            ask.ground == permission.ground && ask.ground.is_some_and(|ground| ground.code() <= 10)
                        }
                        _ => ask.ground == permission.ground && ask.ground == Some(Ground::CRIMINAL),
                    };
                    let fresh = permission.limit.is_none_or(|limit| {
                        let used = host.uses.get(&permission.id).map_or(0, |uses| {
                            uses.iter().filter(|used| limit.per.is_none_or(|per| now < used.secs() + per)).count()
                        });
                        (used as u64) < limit.times
                    });
                    let passed = action != Action::Share
                        || ask.recipient.as_ref().is_some_and(|recipient| permission.recipients.contains(recipient));
                    named
                        && mandated
                        && grounded
                        && fresh
                        && passed
                        && *status == PermissionStatus::Given
                        && chosen(&permission.fields).contains(field)
                        && below_purpose(permission.purpose.as_str()).contains(purpose)
                        && permission.actions.contains(action)
                        && permission.basis == basis
                        && inside(&permission.bounds, now)
                        && host.assurance.level() >= permission.assurance
                        && permission.conditions.iter().all(|condition| host.conditions.contains(condition))
                        && inside(&permission.records, time)
                })
                .map(|(permission, _)| permission)
                .collect();
            let highest = policy
                .prohibitions()
                .filter(|prohibition| {
                    let names = |party: &Name| match &prohibition.to {
                        To::Anyone => true,
                        To::Cluster(_) => on(1, party) || on(2, party),
                        To::Party(named) => named == party,
                        To::Roster(..) => false,
                    };
                    let reaches =
                        names(&host.party) || action == Action::Share && ask.recipient.as_ref().is_some_and(names);
                    let overlaps = prohibition.purposes.only().is_none_or(|purposes| {
                        purposes
                            .iter()
                            .any(|theirs| !below_purpose(theirs.as_str()).is_disjoint(&below_purpose(purpose)))
                    });
                    let begun = prohibition.mandate.is_none()
                        || policy.mandates().any(|(mandate, _)| mandate.bounds.from.unwrap().secs() <= now);
                    reaches
                        && overlaps
                        && begun
                        && prohibition.actions.only().is_none_or(|actions| actions.contains(action))
                        && prohibition.fields.only().is_none_or(|fields| chosen(fields).contains(field))
                        && inside(&prohibition.bounds, now)
                        && inside(&prohibition.records, time)
                })
                .map(|prohibition| prohibition.rank)
                .max();
            let winners: Vec<_> = allows
                .into_iter()
                .filter(|permission| highest.is_none_or(|highest| permission.rank > highest))
                .collect();
            if !winners.is_empty() {
                released.insert((field.to_owned(), time));
                determining.extend(winners.into_iter().map(|permission| permission.id.clone()));
            }
        }
    }
    Some((released, determining))
}

#[test]
fn the_world_has_permits_refusals_and_partial_answers() {
    let mut outcomes = [0; 4];
    let mut rng = deedbox_testkit::rng::SeededRng::new(7);
    let mut bytes = || {
        let ids = [(); 3].map(|()| *ObjectId::generate(&mut rng).as_bytes());
        ids.concat()
    };
    for _ in 0..2_000 {
        let policy = policy(changes(&[bytes(), bytes(), bytes(), bytes(), bytes()]));
        let question = bytes();
        let mut draw = Draw::new(&question);
        let (ask, host) = draw.question();
        outcomes[usize::from(policy.decide(&ask, &host).for_requester().outcome.number())] += 1;
    }
    assert!(outcomes[0] > 100 && outcomes[1] > 50 && outcomes[2] > 50, "{outcomes:?}");
}

#[test]
fn malformed_requests_are_told_apart() {
    let policy = policy([]);
    let host = HostFacts::new(name("hospital"), at(0));
    let full = Ask::read(name("care"), Basis::PUBLIC_TASK, [name("phone")]);
    let with = |change: fn(&mut Ask)| {
        let mut ask = full.clone();
        change(&mut ask);
        ask
    };
    let cases: [(Ask, Reason); 7] = [
        (with(|ask| ask.purpose = None), Reason::PurposeMissing),
        (with(|ask| ask.purpose = Some(name("marketing"))), Reason::UnknownPurpose),
        (with(|ask| ask.action = None), Reason::UnknownAction),
        (with(|ask| ask.basis = None), Reason::BasisMissing),
        (with(|ask| ask.basis = Some(Basis::from_code(99))), Reason::BasisNotAvailable),
        (with(|ask| ask.basis = Some(Basis::HOUSEHOLD)), Reason::BasisNotAvailable),
        (with(|ask| ask.fields = None), Reason::FieldsMissing),
    ];
    for (ask, reason) in cases {
        let decision = policy.decide(&ask, &host);
        assert_eq!(decision.refusal(), Some(reason));
        assert_eq!(decision.for_requester().outcome, Outcome::Malformed);
    }
    let stranger = policy.decide(&full, &HostFacts::new(name("stranger"), at(0)));
    assert_eq!(stranger.refusal(), Some(Reason::UnknownParty));
    assert_eq!(stranger.for_requester(), policy.decide(&full, &host).for_requester());
}
