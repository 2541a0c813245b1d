//! Rules, vocabularies, requests.
#![expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a fuzz body fails by panicking")]

use std::num::NonZeroU32;

use deedbox_consent::{
    Action, Ask, Basis, Change, Decision, Evidence, EvidenceKind, HostFacts, Maker, Mandate, PartyKind, Permission,
    Policy, Prohibition, Receipt, Regime, Selector, Terms, To, Vocabulary,
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
