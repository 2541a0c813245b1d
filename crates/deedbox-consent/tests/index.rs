//! The compiled index says what the reference says: on random policies, on every policy of a few rules in a tiny world, after
//! every change; and filter, explanation and analyses say what decisions say.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};

use deedbox_consent::{
    Access, Action, Ask, AskedFields, At, Basis, Change, Decision, Evaluator, HostFacts, Maker, PartyKind, Permission,
    Policy, Prohibition, Rank, Reason, Regime, Selector, To, Vocabulary, reference,
    test_util::{Draw, FIELDS, PARTIES, Size, alone, at, name, reach, workload},
};
use deedbox_model::Name;
use deedbox_testkit::rng::SeededRng;
use proptest::{collection::vec, prelude::*};

fn policies() -> impl Strategy<Value = Policy> {
    vec(any::<u8>(), 0..360).prop_map(|bytes| Draw::new(&bytes).policy())
}

fn questions() -> impl Strategy<Value = (Ask, HostFacts)> {
    vec(any::<u8>(), 48).prop_map(|bytes| {
        let mut draw = Draw::new(&bytes);
        if draw.below(8) == 0 { (draw.ask(), draw.host()) } else { draw.question() }
    })
}

fn asking(ask: &Ask, fields: AskedFields) -> Ask {
    let mut ask = ask.clone();
    ask.fields = Some(fields);
    ask
}

proptest! {
    #[test]
    fn it_decides_as_the_reference(policy in policies(), (ask, host) in questions()) {
        let expected = reference::decide(&policy, &ask, &host);
        prop_assert_eq!(&policy.compile().unwrap().decide(&ask, &host), &expected);
        prop_assert_eq!(&policy.decide(&ask, &host), &expected);
    }

    #[test]
    fn filter_gives_what_a_decision_releases(policy in policies(), questions in vec(questions(), 1..4)) {
        let evaluator = policy.compile().unwrap();
        let mut fields = evaluator.field_set();
        for (ask, host) in questions {
            evaluator.filter(&ask, &host, &mut fields);
            match reference::decide(&policy, &asking(&ask, AskedFields::All), &host) {
                Decision::Permit(permit) => prop_assert!(permit.fields().eq(fields.iter())),
                Decision::Denial(_) => prop_assert!(fields.is_empty()),
            }
            for field in policy.vocabulary().fields().keys() {
                prop_assert_eq!(evaluator.permits(&ask, field, &host), fields.contains(field), "{}", field);
            }
            prop_assert!(!evaluator.permits(&ask, &name("shoe_size"), &host));
        }
    }

    #[test]
    fn explanations_tell_each_rules_part(policy in policies(), (ask, host) in questions(), field in 0usize..5) {
        let field = name([FIELDS[0], FIELDS[1], FIELDS[2], FIELDS[3], "shoe_size"][field]);
        let one = asking(&ask, AskedFields::These([field.clone()].into()));
        let explained = policy.compile().unwrap().explain(&ask, &field, &host);
        match reference::decide(&policy, &one, &host) {
            Decision::Permit(permit) => prop_assert_eq!(&explained.outcome, &Ok(permit.records(&field))),
            Decision::Denial(denial) => {
                let reason = denial.refusal().unwrap_or_else(|| denial.withheld()[&field]);
                prop_assert_eq!(&explained.outcome, &Err(reason));
                let is_whole = denial.refusal().is_some() || matches!(reason, Reason::UnknownField | Reason::IssuerOwned);
                if is_whole {
                    return Ok(());
                }
            }
        }
        // Each permission falls where it would fall if it were the only rule.
        for (permission, _) in policy.permissions() {
            let decision = reference::decide(&alone(&policy, &permission.id), &one, &host);
            let expected = match decision.withheld().get(&field) {
                None => Some((permission.rank, None)),
                Some(Reason::NoPermission) => None,
                Some(reason) => Some((permission.rank, Some(*reason))),
            };
            prop_assert_eq!(explained.permissions.get(&permission.id).copied(), expected);
        }
    }

    #[test]
    fn changed_it_is_as_if_compiled_anew(
        policy in policies(),
        changes in vec(vec(any::<u8>(), 40), 1..6),
        questions in vec(questions(), 8),
    ) {
        let mut evaluator = policy.compile().unwrap();
        for (number, bytes) in changes.iter().enumerate() {
            let change = Draw::new(bytes).change(evaluator.policy(), &format!("x{number}"));
            let mut expected = evaluator.policy().clone();
            match expected.apply(change.clone(), &Maker::Person) {
                Ok(()) => evaluator = evaluator.with(change).unwrap(),
                Err(error) => prop_assert_eq!(evaluator.with(change).err(), Some(error)),
            }
            if evaluator.policy() != &expected {
                prop_assert_eq!(evaluator.policy().to_bytes(), expected.to_bytes());
            }
            for (ask, host) in &questions {
                prop_assert_eq!(evaluator.decide(ask, host), reference::decide(evaluator.policy(), ask, host));
            }
        }
    }

    #[test]
    fn analyses_are_what_requests_would_get(
        policy in policies(),
        changes in vec(vec(any::<u8>(), 40), 3),
        (now, emergency, action) in (0u64..80, any::<bool>(), 0usize..3),
    ) {
        let when = At { action: [Action::Read, Action::Share, Action::Write][action], now: at(now), emergency };
        let evaluator = policy.compile().unwrap();
        let before = reach(&policy, when);
        let who: Vec<Access> = FIELDS.iter().flat_map(|field| evaluator.who_can_see(&name(field), when)).collect();
        let what: Vec<Access> = PARTIES.iter().flat_map(|party| evaluator.what_can_see(&name(party), when)).collect();
        prop_assert_eq!(&triples(&who), &before);
        prop_assert_eq!(&triples(&what), &before);
        prop_assert_eq!((who.len(), what.len()), (before.len(), before.len()), "no triple twice");
        for bytes in changes {
            let change = Draw::new(&bytes).change(&policy, "x");
            let Ok(impact) = evaluator.impact(change.clone(), when) else { continue };
            let mut changed = policy.clone();
            changed.apply(change, &Maker::Person).unwrap();
            let after = reach(&changed, when);
            prop_assert_eq!(triples(&impact.lost), before.difference(&after).cloned().collect());
            prop_assert_eq!(triples(&impact.gained), after.difference(&before).cloned().collect());
            let (had, has) = (pairs(&before), pairs(&after));
            let erase: BTreeSet<_> = had.difference(&has).cloned().collect();
            let rotate: BTreeSet<&Name> = erase.iter().map(|(_, field)| field).collect();
            let regrant = has.iter().filter(|(_, field)| rotate.contains(field)).cloned().collect::<BTreeSet<_>>();
            prop_assert_eq!(flat(&impact.erase), erase.clone());
            prop_assert_eq!(impact.rotate(), rotate);
            prop_assert_eq!(flat(&impact.regrant), regrant);
            let told = before.symmetric_difference(&after).map(|[party, ..]| party);
            prop_assert_eq!(impact.tell(), told.collect());
            let between = evaluator.impact_of(&changed.compile().unwrap(), when);
            prop_assert_eq!(triples(&between.lost), triples(&impact.lost));
            prop_assert_eq!(triples(&between.gained), triples(&impact.gained));
            prop_assert_eq!((&between.erase, &between.regrant), (&impact.erase, &impact.regrant));
        }
    }
}

fn triples(rows: &[Access]) -> BTreeSet<[Name; 3]> {
    rows.iter().map(|row| [row.party.clone(), row.purpose.clone(), row.field.clone()]).collect()
}

fn pairs(reach: &BTreeSet<[Name; 3]>) -> BTreeSet<(Name, Name)> {
    reach.iter().map(|[party, _, field]| (party.clone(), field.clone())).collect()
}

fn flat(map: &BTreeMap<Name, BTreeSet<Name>>) -> BTreeSet<(Name, Name)> {
    map.iter().flat_map(|(party, fields)| fields.iter().map(|field| (party.clone(), field.clone()))).collect()
}

/// As many requests as `DEEDBOX_REQUESTS` says, 2,000 if it says nothing, 20 of each policy.
#[test]
fn many_requests_are_decided_as_the_reference_decides_them() {
    let count = std::env::var("DEEDBOX_REQUESTS").map_or(2_000, |count| count.parse().unwrap());
    let mut rng = SeededRng::new(11);
    let (mut bytes, mut permits) = ([0; 360 + 20 * 48], 0);
    for _ in 0..usize::div_ceil(count, 20) {
        rng.fill_bytes(&mut bytes);
        let (rules, questions) = bytes.split_at(360);
        let policy = Draw::new(rules).policy();
        let evaluator = policy.compile().unwrap();
        for question in questions.chunks(48) {
            let mut draw = Draw::new(question);
            let (ask, host) = if draw.below(8) == 0 { (draw.ask(), draw.host()) } else { draw.question() };
            let decision = evaluator.decide(&ask, &host);
            assert_eq!(decision, reference::decide(&policy, &ask, &host), "{policy:?} {ask:?} {host:?}");
            permits += usize::from(matches!(decision, Decision::Permit(_)));
        }
    }
    assert!(permits * 50 > count, "{permits} permits of {count}");
}

/// 90 fields take two words of a set, and permissions choose stretches of them.
#[test]
fn a_world_of_more_than_one_word_of_fields() {
    let (policy, requests) = workload(Size::SMALL);
    let evaluator = policy.compile().unwrap();
    let fields: BTreeSet<Name> = policy.vocabulary().fields().keys().cloned().collect();
    let (mut released, mut reasons) = (0, BTreeSet::new());
    for (ask, host) in &requests {
        for fields in [AskedFields::All, AskedFields::These(fields.clone())] {
            let ask = asking(ask, fields);
            let decision = evaluator.decide(&ask, host);
            assert_eq!(decision, reference::decide(&policy, &ask, host));
            released += decision.for_requester().fields.len();
            reasons.extend(decision.withheld().values().copied());
        }
    }
    assert!(released > 50 && reasons.len() > 3, "{released} {reasons:?}");
}

/// Two of everything: parties, purposes one below the other, fields one below a category, actions, ranks.
fn tiny() -> Vocabulary {
    Vocabulary::builder("tiny", 1, Regime::EU)
        .purpose("care", &[])
        .purpose("direct", &["care"])
        .category("contact", &[])
        .category("all", &[])
        .field("phone", &["contact"])
        .field("notes", &["all"])
        .party("charity", PartyKind::PRIVATE)
        .party("hospital", PartyKind::PUBLIC)
        .build()
        .unwrap()
}

/// Every rule there is in the tiny world, without its id.
fn tiny_rules() -> Vec<Change> {
    let mut rules = Vec::new();
    for party in ["charity", "hospital"] {
        for purpose in ["care", "direct"] {
            for field in ["contact", "notes"] {
                for action in [Action::Read, Action::Write] {
                    for rank in [Rank::TEMPLATE, Rank::PERSON] {
                        let to = To::Party(name(party));
                        let (purpose, fields) = (name(purpose), Selector::of([name(field)]));
                        let permission = Permission::new(name("x"), to.clone(), purpose.clone(), Basis::CONTRACT)
                            .actions(action)
                            .fields(fields.clone())
                            .between(at(0), at(9))
                            .retention(0)
                            .rank(rank);
                        rules.push(permission.into());
                        let prohibition = Prohibition::new(name("x"), to);
                        rules.push(prohibition.purposes([purpose]).fields(fields).actions(action).rank(rank).into());
                    }
                }
            }
        }
    }
    rules
}

fn named(rule: &Change, id: &str) -> Change {
    let mut rule = rule.clone();
    match &mut rule {
        Change::AddPermission(permission) => permission.id = name(id),
        Change::AddProhibition(prohibition) => prohibition.id = name(id),
        _ => {}
    }
    rule
}

/// Every request: as many as there are triples of party, purpose and action, each for both fields.
fn tiny_questions() -> Vec<(Ask, HostFacts)> {
    let mut questions = Vec::new();
    for party in ["charity", "hospital"] {
        for purpose in ["care", "direct"] {
            for action in [Action::Read, Action::Write] {
                let ask = Ask::read(name(purpose), Basis::CONTRACT, [name("notes"), name("phone")]).action(action);
                questions.push((ask, HostFacts::new(name(party), at(1))));
            }
        }
    }
    questions
}

fn check_all(evaluator: &Evaluator, questions: &[(Ask, HostFacts)]) {
    for (ask, host) in questions {
        assert_eq!(evaluator.decide(ask, host), reference::decide(evaluator.policy(), ask, host));
    }
}

/// All policies of at most `most` of `rules`, each made by changes of an evaluator of fewer.
fn every_policy(evaluator: &Evaluator, rules: &[Change], most: usize, questions: &[(Ask, HostFacts)]) -> usize {
    check_all(evaluator, questions);
    let mut count = 1;
    for (index, rule) in rules.iter().enumerate().filter(|_| most > 0) {
        let more = evaluator.with(named(rule, &format!("r{most}"))).unwrap();
        count += every_policy(&more, &rules[index + 1..], most - 1, questions);
    }
    count
}

#[test]
fn every_policy_of_two_rules_in_a_tiny_world() {
    let evaluator = Policy::new(tiny()).compile().unwrap();
    let rules = tiny_rules();
    assert_eq!(every_policy(&evaluator, &rules, 2, &tiny_questions()), 1 + 64 + 64 * 63 / 2);
}

/// The 41,664 policies of three rules, half a minute in a debug build: `cargo test -p deedbox-consent -- --ignored`.
#[test]
#[ignore = "long; part of the nightly run"]
fn every_policy_of_three_rules_in_a_tiny_world() {
    let evaluator = Policy::new(tiny()).compile().unwrap();
    let rules = tiny_rules();
    let count = 1 + 64 + 64 * 63 / 2 + 64 * 63 * 62 / 6;
    assert_eq!(every_policy(&evaluator, &rules, 3, &tiny_questions()), count);
}
