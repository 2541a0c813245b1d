//! Rules, vocabularies, requests.
#![expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a fuzz body fails by panicking")]

use std::{collections::BTreeSet, num::NonZeroU32};

use deedbox_consent::{
    Access, Action, Ask, AskedFields, At, Basis, Change, Decision, Evidence, EvidenceKind, HostFacts, Maker, Mandate,
    PartyKind, Permission, Policy, Prohibition, Receipt, Regime, Selector, Terms, To, Vocabulary, reference,
    test_util::{Draw, reach},
};
use deedbox_model::{Assurance, Name, Timestamp};

/// No panic; what is accepted encodes to the same bytes, as permission, prohibition, mandate, terms, receipt or policy;
/// offering it to a policy is refused or leaves a policy that survives its own bytes.
pub fn consent_rule(data: &[u8]) {
    if let Ok(terms) = Terms::from_bytes(data) {
        assert_eq!(terms.to_bytes(), data);
    }
    if let Ok(receipt) = Receipt::from_bytes(data) {
        assert_eq!(receipt.to_bytes(), data);
    }
    if let Ok(policy) = Policy::from_bytes(data) {
        assert_eq!(policy.to_bytes(), data);
    }
    let mut changes: Vec<Change> = Vec::new();
    if let Ok(permission) = Permission::from_bytes(data) {
        assert_eq!(permission.to_bytes(), data);
        changes.push(permission.into());
    }
    if let Ok(prohibition) = Prohibition::from_bytes(data) {
        assert_eq!(prohibition.to_bytes(), data);
        changes.push(prohibition.into());
    }
    if let Ok(mandate) = Mandate::from_bytes(data) {
        assert_eq!(mandate.to_bytes(), data);
        changes.push(mandate.into());
    }
    for change in changes {
        let mut policy = policy();
        if policy.apply(change, &Maker::Person).is_ok() {
            let bytes = policy.to_bytes();
            assert_eq!(Policy::from_bytes(&bytes).unwrap().to_bytes(), bytes);
            answer(&policy, &Ask::read_all(name("care"), Basis::PUBLIC_TASK));
        }
    }
}

/// No panic; what is accepted encodes to the same bytes.
pub fn consent_vocabulary(data: &[u8]) {
    if let Ok(vocabulary) = Vocabulary::from_bytes(data) {
        assert_eq!(vocabulary.to_bytes(), data);
    }
}

/// No panic; what is accepted encodes to the same bytes and is answered; nothing unasked and nothing twice is in the
/// answer, and an empty policy denies.
pub fn consent_request(data: &[u8]) {
    let Ok(ask) = Ask::from_bytes(data) else { return };
    assert_eq!(ask.to_bytes(), data);
    let policy = policy();
    answer(&policy, &ask);
    let empty = Policy::new(policy.vocabulary().clone());
    assert!(matches!(empty.decide(&ask, &host(1_500)), Decision::Denial(_)));
}

/// The compiled evaluator decides as the reference does, before and after changes; its filter and its answer
/// on one field give what is released, its explanation the same outcome.
pub fn consent_index(data: &[u8]) {
    let mut draw = Draw::new(data);
    let mut evaluator = draw.policy().compile().unwrap();
    for number in 0..3 {
        let (ask, host) = if number == 0 { (draw.ask(), draw.host()) } else { draw.question() };
        let expected = reference::decide(evaluator.policy(), &ask, &host);
        assert_eq!(evaluator.decide(&ask, &host), expected);
        let mut fields = evaluator.field_set();
        evaluator.filter(&ask, &host, &mut fields);
        for field in evaluator.policy().vocabulary().fields().keys() {
            let mut one = ask.clone();
            one.fields = Some(AskedFields::These([field.clone()].into()));
            let decision = reference::decide(evaluator.policy(), &one, &host);
            assert_eq!(
                fields.contains(field),
                decision.for_person().refusal.is_none() && decision.withheld().is_empty()
            );
            assert_eq!(evaluator.explain(&ask, field, &host).outcome.is_ok(), fields.contains(field));
            assert_eq!(evaluator.permits(&ask, field, &host), fields.contains(field));
        }
        let change = draw.change(evaluator.policy(), &format!("x{number}"));
        if let Ok(changed) = evaluator.with(change) {
            evaluator = changed;
        }
    }
}

/// What a change is said to take and give is what requests lose and gain.
pub fn consent_impact(data: &[u8]) {
    let mut draw = Draw::new(data);
    let (action, emergency) = (draw.one(&[Action::Read, Action::Share, Action::Write]), draw.below(2) == 0);
    let at = At { action, now: Timestamp::from_secs(u64::from(draw.one(&[0_u8, 5, 15, 30, 60, 90]))), emergency };
    let policy = draw.policy();
    let change = draw.change(&policy, "x");
    let mut changed = policy.clone();
    let applied = changed.apply(change.clone(), &Maker::Person);
    let impact = policy.compile().unwrap().impact(change, at);
    assert_eq!(impact.as_ref().err(), applied.as_ref().err());
    let Ok(impact) = impact else { return };
    let (before, after) = (reach(&policy, at), reach(&changed, at));
    let rows = |rows: &[Access]| -> BTreeSet<[Name; 3]> {
        rows.iter().map(|row| [row.party.clone(), row.purpose.clone(), row.field.clone()]).collect()
    };
    assert_eq!(rows(&impact.lost), before.difference(&after).cloned().collect());
    assert_eq!(rows(&impact.gained), after.difference(&before).cloned().collect());
    let pairs = |reach: &BTreeSet<[Name; 3]>| -> BTreeSet<(Name, Name)> {
        reach.iter().map(|[party, _, field]| (party.clone(), field.clone())).collect()
    };
    let erase =
        impact.erase.iter().flat_map(|(party, fields)| fields.iter().map(|field| (party.clone(), field.clone())));
    assert_eq!(erase.collect::<BTreeSet<_>>(), pairs(&before).difference(&pairs(&after)).cloned().collect());
}

/// Decides, and checks what holds of every decision.
fn answer(policy: &Policy, ask: &Ask) {
    let decision = policy.decide(ask, &host(1_500));
    assert_eq!(policy.compile().unwrap().decide(ask, &host(1_500)), decision);
    if let Some(stable) = decision.stable_until() {
        assert!(stable.secs() > 1_500);
        let before = policy.decide(ask, &host(stable.secs() - 1));
        assert_eq!(before.for_person().fields, decision.for_person().fields);
        assert_eq!(before.for_person().determining, decision.for_person().determining);
    }
    if let Decision::Permit(permit) = decision {
        assert!(permit.fields().len() > 0);
        assert!(permit.fields().all(|field| !permit.withheld().contains_key(field)));
        assert!(permit.determining().iter().all(|id| policy.permission(id).is_some()));
    }
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn host(now: u64) -> HostFacts {
    HostFacts::new(name("hospital"), Timestamp::from_secs(now))
        .assurance(Assurance::Substantial)
        .conditions([name("break_glass")])
}

/// A small policy of each kind of rule.
fn policy() -> Policy {
    let vocabulary = Vocabulary::builder("fuzz", 1, Regime::UK)
        .purpose("care", &[])
        .purpose("direct_care", &["care"])
        .category("contact", &[])
        .category("health", &[])
        .field("phone", &["contact"])
        .field("address", &["contact"])
        .field("notes", &["health"])
        .party("hospital", PartyKind::PUBLIC)
        .party("charity", PartyKind::PRIVATE)
        .cluster("team", NonZeroU32::MIN, &["charity", "hospital"])
        .condition("break_glass")
        .build()
        .unwrap();
    let mut policy = Policy::new(vocabulary);
    let (from, until) = (Timestamp::from_secs(1_000), Timestamp::from_secs(2_000));
    let mandate = Mandate::new(name("m1"), name("charity"), deedbox_consent::Rank::DELEGATE).between(from, until);
    policy.apply(mandate, &Maker::Person).unwrap();
    let permission = |id, to, purpose, basis| {
        Permission::new(name(id), to, name(purpose), basis)
            .actions([Action::Read, Action::Query])
            .between(from, until)
            .retention(60)
    };
    let given = permission("p1", To::Party(name("hospital")), "care", Basis::PUBLIC_TASK)
        .fields(Selector::of([name("contact"), name("notes")]).except([name("address")]));
    policy.apply(given, &Maker::Person).unwrap();
    let given = permission("p2", To::Party(name("charity")), "direct_care", Basis::CONSENT)
        .fields(Selector::of([name("phone")]))
        .limit(2, Some(100))
        .evidence(Evidence::of(EvidenceKind::EXPLICIT));
    policy.apply(given, &Maker::Person).unwrap();
    let refused = Prohibition::new(name("d1"), To::Cluster(name("team"))).fields(Selector::of([name("address")]));
    policy.apply(refused, &Maker::Person).unwrap();
    policy
}
