//! What holds of every policy: the order of rules does not matter, a refusal never opens, a decision lasts as long as it
//! says. Checked on random rules, and against a second, set-wise reading of the format page.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use deedbox_consent::test_util::{Draw, FIELDS, PARENTS, PARTIES, PURPOSES, WITHIN, at, name, roster, vocabulary};
use deedbox_consent::{
    Action, Ask, AskedFields, At, Basis, Bounds, Change, Decision, Evaluator, Ground, HostFacts, Maker, MandateStatus,
    Outcome, PermissionStatus, Policy, Reason, Roster, Sensitivity, Terms, TermsDiff, To, terms_diff,
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
}

proptest! {
    // each case asks hundreds of requests
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.div_ceil(8)))]

    #[test]
    fn narrowed_terms_reach_no_further(rules in vec(any::<[u8; 32]>(), 1..4), tweak: [u8; 8], now in 0u64..80) {
        let old: Vec<_> = rules.iter().enumerate().map(|(index, bytes)| {
            let mut permission = Draw::new(bytes).permission(&format!("p{index}"));
            if permission.mandate.take().is_some() {
                permission.rank = deedbox_consent::Rank::PERSON;
            }
            permission
        }).collect();
        let mut new = old.clone();
        for (permission, tweak) in new.iter_mut().zip(tweak.chunks(2)) {
            match tweak[0] % 6 {
                0 => permission.purpose = name(PURPOSES[usize::from(tweak[1]) % PURPOSES.len()]),
                1 => permission.fields = permission.fields.clone().except([name(FIELDS[usize::from(tweak[1]) % 4])]),
                2 => permission.retention = Some(u64::from(tweak[1])),
                3 => permission.limit = Some(deedbox_consent::Limit { times: u64::from(tweak[1] % 4) + 1, per: Some(20) }),
                4 => permission.actions = Action::Read.into(),
                _ => permission.recipients.clear(),
            }
        }
        let digest = Digest::from_bytes([0; 32]);
        let terms = |rules: &[deedbox_consent::Permission]| Terms::new(name("t"), rules.to_vec(), digest, digest).unwrap();
        let (old_terms, new_terms) = (terms(&old), terms(&new));
        prop_assert_eq!(terms_diff(&vocabulary(), &old_terms, &old_terms), TermsDiff::Same);
        prop_assert_eq!(Terms::from_bytes(&new_terms.to_bytes()), Ok(new_terms.clone()));
        if terms_diff(&vocabulary(), &old_terms, &new_terms) != TermsDiff::Widening {
            let reach = |rules: Vec<deedbox_consent::Permission>| {
                let policy = policy(rules.into_iter().map(Change::from)).compile().unwrap();
                [Action::Read, Action::Share].map(|action| reach(&policy, At { action, now: at(now), emergency: true }))
            };
            let (old, new) = (reach(old), reach(new));
            prop_assert!(new[0].is_subset(&old[0]) && new[1].is_subset(&old[1]));
        }
    }
}

/// Everything any request gets, by asking every one.
fn reach(evaluator: &Evaluator, at: At) -> BTreeSet<[Name; 3]> {
    let mut reached = BTreeSet::new();
    let conditions = if at.emergency { vec!["break_glass", "on_duty"] } else { vec!["on_duty"] };
    let recipients: &[Option<&str>] = match at.action {
        Action::Share => &[Some("hospital"), Some("charity"), Some("daughter")],
        _ => &[None],
    };
    for party in PARTIES {
        let host = HostFacts::new(name(party), at.now)
            .assurance(Assurance::High)
            .conditions(conditions.iter().map(|condition| name(condition)));
        for purpose in PURPOSES {
            for basis in [Basis::PUBLIC_TASK, Basis::CONSENT, Basis::HOUSEHOLD, Basis::LEGITIMATE_INTERESTS] {
                for ground in [None, Some(Ground::CARE), Some(Ground::CRIMINAL), Some(Ground::EXPLICIT_CONSENT)] {
                    for recipient in recipients {
                        let mut ask = Ask::read_all(name(purpose), basis).action(at.action);
                        ask.ground = ground;
                        ask.recipient = recipient.map(name);
                        if let Decision::Permit(permit) = evaluator.decide(&ask, &host) {
                            reached.extend(permit.fields().map(|field| [name(party), name(purpose), field.clone()]));
                        }
                    }
                }
            }
        }
    }
    reached
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
