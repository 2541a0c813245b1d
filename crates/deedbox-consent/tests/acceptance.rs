//! Each way a rule or a change is refused, beside the twin that is accepted.
#![expect(clippy::unwrap_used, reason = "tests")]

use deedbox_consent::test_util::{at, name, roster, vocabulary};
use deedbox_consent::{
    Action, Actions, Basis, Bounds, Change, Evidence, EvidenceKind, Ground, Limit, Maker, Mandate, MandateStatus,
    Obligation, Obligations, Permission, Policy, Prohibition, Rank, Roster, RuleError, Selector, To,
};
use deedbox_model::Name;

/// What is done to a good rule, and the refusal that follows.
type Case<T> = (fn(&mut T), RuleError);

fn permission() -> Permission {
    Permission::new(name("p"), To::Party(name("hospital")), name("care"), Basis::CONSENT)
        .actions(Action::Read)
        .fields(Selector::of([name("contact")]))
        .between(at(10), at(20))
        .retention(0)
        .evidence(Evidence::of(EvidenceKind::PLAIN))
}

fn emergency() -> Permission {
    permission()
        .rank(Rank::EMERGENCY)
        .conditions([name("break_glass")])
        .obligations([Obligation::NotifyPerson, Obligation::Justify])
}

fn prohibition() -> Prohibition {
    Prohibition::new(name("d"), To::Anyone)
}

fn mandate() -> Mandate {
    Mandate::new(name("m"), name("daughter"), Rank::DELEGATE)
        .purposes([name("care")])
        .actions([Action::Read, Action::Share])
        .fields(Selector::of([name("contact")]))
        .between(at(0), at(100))
}

fn person(policy: &mut Policy, change: impl Into<Change>) -> Result<(), RuleError> {
    policy.apply(change, &Maker::Person)
}

fn offer(change: impl Into<Change>) -> Result<(), RuleError> {
    let mut policy = Policy::new(vocabulary());
    person(&mut policy, mandate()).unwrap();
    person(&mut policy, change)
}

#[test]
fn permissions() {
    let cases: &[Case<Permission>] = &[
        (|p| p.id = name("m"), RuleError::DuplicateId),
        (|p| p.to = To::Anyone, RuleError::UnknownId),
        (|p| p.to = To::Cluster(name("team")), RuleError::UnknownId),
        (|p| p.to = To::Party(name("stranger")), RuleError::UnknownId),
        (|p| p.to = To::Roster(name("team"), Roster::Pinned(roster(3))), RuleError::UnknownId),
        (|p| p.rank = Rank::from_code(5), RuleError::UnknownId),
        (|p| p.purpose = name("contact"), RuleError::UnknownId),
        (|p| p.actions = Actions::from_bits(0x101), RuleError::UnknownId),
        (|p| p.fields = Selector::of([name("care")]), RuleError::UnknownId),
        (|p| p.fields = p.fields.clone().except([name("shoe_size")]), RuleError::UnknownId),
        (|p| p.basis = Basis::from_code(0), RuleError::UnknownId),
        (|p| p.ground = Some(Ground::from_code(12)), RuleError::UnknownId),
        (|p| p.conditions = [name("sunshine")].into(), RuleError::UnknownId),
        (|p| p.recipients = [name("stranger")].into(), RuleError::UnknownId),
        (|p| p.obligations = Obligations::from_bits(0x40), RuleError::UnknownId),
        (|p| p.evidence = Evidence::of(EvidenceKind::from_code(4)), RuleError::UnknownId),
        (|p| p.mandate = Some(name("m2")), RuleError::UnknownId),
        (|p| p.actions = Actions::EMPTY, RuleError::Empty),
        (|p| p.fields.include.clear(), RuleError::Empty),
        (|p| p.bounds.from = None, RuleError::BadBounds),
        (|p| p.bounds.until = None, RuleError::BadBounds),
        (|p| p.bounds = Bounds::between(at(20), at(20)), RuleError::BadBounds),
        (|p| p.records = Bounds::between(at(20), at(10)), RuleError::BadBounds),
        (|p| p.retention = None, RuleError::BadBounds),
        (|p| p.assurance = 5, RuleError::BadBounds),
        (|p| p.limit = Some(Limit { times: 0, per: None }), RuleError::BadBounds),
        (|p| p.limit = Some(Limit { times: 1, per: Some(0) }), RuleError::BadBounds),
        (|p| p.rank = Rank::SEAL, RuleError::RankNotAllowed),
        (|p| p.evidence = Evidence::NONE, RuleError::NoEvidence),
        (|p| p.evidence.kind = EvidenceKind::CONDITIONAL, RuleError::Conditional),
        (|p| p.ground = Some(Ground::EXPLICIT_CONSENT), RuleError::ExplicitNeeded),
        (|p| p.to = To::Roster(name("team"), Roster::Current), RuleError::RosterUnpinned),
        (|p| p.rank = Rank::EMERGENCY, RuleError::EmergencyCondition),
        (|p| p.rank = Rank::DELEGATE, RuleError::MandateMissing),
        (|p| p.mandate = Some(name("m")), RuleError::MandateRank),
    ];
    assert_eq!(offer(permission()), Ok(()));
    for (index, (change, error)) in cases.iter().enumerate() {
        let mut changed = permission();
        change(&mut changed);
        assert_eq!(offer(changed), Err(*error), "case {index}");
    }
    assert_eq!(offer(emergency()), Ok(()));
    assert_eq!(offer(emergency().obligations(Obligation::Justify)), Err(RuleError::EmergencyDuties));
}

#[test]
fn what_a_mandate_lacks() {
    let under = || permission().rank(Rank::DELEGATE).mandate(name("m"));
    assert_eq!(offer(under()), Ok(()));
    let cases: &[fn(&mut Permission)] = &[
        |p| p.purpose = name("research"),
        |p| p.actions = [Action::Read, Action::Write].into(),
        |p| p.fields = Selector::of([name("health")]),
        |p| p.fields = Selector::of([name("contact"), name("notes")]),
    ];
    for (index, change) in cases.iter().enumerate() {
        let mut changed = under();
        change(&mut changed);
        assert_eq!(offer(changed), Err(RuleError::MandateScope), "case {index}");
    }
    let refusal = || {
        prohibition()
            .rank(Rank::DELEGATE)
            .mandate(name("m"))
            .purposes([name("direct")])
            .actions(Action::Read)
            .fields(Selector::of([name("phone")]))
    };
    assert_eq!(offer(refusal()), Ok(()));
    let cases: &[fn(&mut Prohibition)] = &[
        |d| d.purposes = deedbox_consent::Any::Any,
        |d| d.actions = deedbox_consent::Any::Any,
        |d| d.fields = deedbox_consent::Any::Any,
        |d| d.actions = Actions::from(Action::Erase).into(),
    ];
    for (index, change) in cases.iter().enumerate() {
        let mut changed = refusal();
        change(&mut changed);
        assert_eq!(offer(changed), Err(RuleError::MandateScope), "case {index}");
    }
}

#[test]
fn prohibitions() {
    let cases: &[Case<Prohibition>] = &[
        (|d| d.id = name("m"), RuleError::DuplicateId),
        (|d| d.to = To::Party(name("stranger")), RuleError::UnknownId),
        (|d| d.to = To::Roster(name("team"), Roster::Current), RuleError::UnknownId),
        (
            |d| d.purposes = [name("phone")].into_iter().collect::<std::collections::BTreeSet<_>>().into(),
            RuleError::UnknownId,
        ),
        (|d| d.purposes = std::collections::BTreeSet::<Name>::new().into(), RuleError::Empty),
        (|d| d.actions = Actions::EMPTY.into(), RuleError::Empty),
        (|d| d.fields = Selector::default().into(), RuleError::Empty),
        (|d| d.bounds = Bounds::between(at(2), at(1)), RuleError::BadBounds),
        (|d| d.records = Bounds::between(at(2), at(1)), RuleError::BadBounds),
        (|d| d.rank = Rank::EMERGENCY, RuleError::RankNotAllowed),
        (|d| d.rank = Rank::DELEGATE, RuleError::MandateMissing),
        (|d| d.mandate = Some(name("m")), RuleError::MandateRank),
    ];
    assert_eq!(offer(prohibition()), Ok(()));
    assert_eq!(offer(prohibition().rank(Rank::SEAL)), Ok(()));
    for (index, (change, error)) in cases.iter().enumerate() {
        let mut changed = prohibition();
        change(&mut changed);
        assert_eq!(offer(changed), Err(*error), "case {index}");
    }
}

#[test]
fn mandates() {
    let cases: &[Case<Mandate>] = &[
        (|m| m.agent = name("stranger"), RuleError::UnknownId),
        (|m| m.rank = Rank::from_code(9), RuleError::UnknownId),
        (|m| m.actions = Actions::EMPTY.into(), RuleError::Empty),
        (|m| m.bounds = Bounds::OPEN, RuleError::BadBounds),
        (|m| m.rank = Rank::TEMPLATE, RuleError::RankNotAllowed),
        (|m| m.rank = Rank::SEAL, RuleError::RankNotAllowed),
    ];
    for (index, (change, error)) in cases.iter().enumerate() {
        let mut changed = mandate();
        changed.id = name("m2");
        assert_eq!(offer(changed.clone()), Ok(()));
        change(&mut changed);
        assert_eq!(offer(changed), Err(*error), "case {index}");
    }
}

#[test]
fn a_refused_rules_id_is_burnt() {
    let mut policy = Policy::new(vocabulary());
    assert_eq!(person(&mut policy, permission().actions(Actions::EMPTY)), Err(RuleError::Empty));
    assert_eq!(person(&mut policy, permission()), Err(RuleError::DuplicateId));
}

#[test]
fn statuses_go_one_way() {
    let mut policy = Policy::new(vocabulary());
    let id = || name("p");
    assert_eq!(person(&mut policy, Change::Withdraw(id())), Err(RuleError::UnknownId));
    person(&mut policy, permission()).unwrap();
    assert_eq!(person(&mut policy, Change::Resume(id())), Err(RuleError::WrongStatus));
    person(&mut policy, Change::Suspend(id())).unwrap();
    assert_eq!(person(&mut policy, Change::Suspend(id())), Err(RuleError::WrongStatus));
    person(&mut policy, Change::Resume(id())).unwrap();
    person(&mut policy, Change::Suspend(id())).unwrap();
    person(&mut policy, Change::Withdraw(id())).unwrap();
    for change in [Change::Withdraw(id()), Change::Resume(id()), Change::Suspend(id())] {
        assert_eq!(person(&mut policy, change), Err(RuleError::WrongStatus));
    }
    assert_eq!(person(&mut policy, Change::Lift(id())), Err(RuleError::UnknownId));
    person(&mut policy, prohibition()).unwrap();
    person(&mut policy, Change::Lift(name("d"))).unwrap();
    assert_eq!(person(&mut policy, prohibition()), Err(RuleError::DuplicateId));
}

#[test]
fn a_dormant_mandate_makes_no_rules() {
    let mut policy = Policy::new(vocabulary());
    let id = || name("m");
    person(&mut policy, Change::AddMandate(Box::new(mandate()), MandateStatus::Dormant)).unwrap();
    let under = |id: &str| {
        let mut permission = permission().rank(Rank::DELEGATE).mandate(name("m"));
        permission.id = name(id);
        permission
    };
    assert_eq!(person(&mut policy, under("p1")), Err(RuleError::MandateDormant));
    person(&mut policy, Change::ActivateMandate(id())).unwrap();
    assert_eq!(person(&mut policy, Change::ActivateMandate(id())), Err(RuleError::WrongStatus));
    person(&mut policy, under("p2")).unwrap();
    person(&mut policy, Change::EndMandate(id())).unwrap();
    assert_eq!(person(&mut policy, under("p3")), Err(RuleError::MandateDormant));
    assert_eq!(person(&mut policy, Change::EndMandate(id())), Err(RuleError::WrongStatus));
}

#[test]
fn an_agent_does_what_its_mandate_says() {
    let mut policy = Policy::new(vocabulary());
    let (daughter, charity) = (Maker::Agent(name("daughter")), Maker::Agent(name("charity")));
    let mut whole = mandate();
    whole.rank = Rank::PERSON;
    assert_eq!(policy.apply(whole.clone(), &daughter), Err(RuleError::NotYours));
    person(&mut policy, whole).unwrap();
    person(&mut policy, permission()).unwrap();
    let mut under = permission().mandate(name("m"));
    under.id = name("p1");
    assert_eq!(policy.apply(under.clone(), &charity), Err(RuleError::NotYours));
    policy.apply(under, &daughter).unwrap();
    policy.apply(Change::Suspend(name("p1")), &daughter).unwrap();
    assert_eq!(policy.apply(Change::Suspend(name("p")), &daughter), Err(RuleError::NotYours));
    assert_eq!(policy.apply(Change::Withdraw(name("p1")), &charity), Err(RuleError::NotYours));
    let seal = prohibition().rank(Rank::SEAL).mandate(name("m"));
    let roster = Change::Roster { cluster: name("team"), version: roster(3), members: [].into() };
    for change in
        [seal.into(), Change::Lift(name("d")), roster, Change::ActivateMandate(name("m")), permission().into()]
    {
        assert_eq!(policy.apply(change, &daughter), Err(RuleError::NotYours));
    }
    policy.apply(Change::EndMandate(name("m")), &daughter).unwrap();
}

#[test]
fn rosters() {
    let mut policy = Policy::new(vocabulary());
    let change = |cluster: &str, version: u32, members: &[&str]| Change::Roster {
        cluster: name(cluster),
        version: roster(version),
        members: members.iter().map(|member| name(member)).collect(),
    };
    assert_eq!(person(&mut policy, change("crew", 3, &[])), Err(RuleError::UnknownId));
    assert_eq!(person(&mut policy, change("team", 3, &["stranger"])), Err(RuleError::UnknownId));
    assert_eq!(person(&mut policy, change("team", 2, &["charity"])), Err(RuleError::DuplicateId));
    person(&mut policy, change("team", 3, &["charity"])).unwrap();
    assert_eq!(policy.vocabulary().clusters()["team"].current(), roster(3));
    for version in 4..=64 {
        person(&mut policy, change("team", version, &[])).unwrap();
    }
    assert_eq!(person(&mut policy, change("team", 65, &[])), Err(RuleError::TooLong));
}

#[test]
fn a_rule_of_16_kib_is_the_longest() {
    let mut vocabulary = deedbox_consent::Vocabulary::builder("many", 1, deedbox_consent::Regime::EU)
        .purpose("care", &[])
        .category("all", &[])
        .party("hospital", deedbox_consent::PartyKind::PUBLIC);
    let fields: Vec<String> = (0..200).map(|index| format!("{index:0>90}")).collect();
    for field in &fields {
        vocabulary = vocabulary.field(field, &["all"]);
    }
    let vocabulary = vocabulary.build().unwrap();
    let with = |count: usize| permission().fields(Selector::of(fields[..count].iter().map(|field| name(field))));
    let mut policy = Policy::new(vocabulary);
    assert!(with(200).to_bytes().len() > Permission::MAX_LEN);
    assert_eq!(Permission::from_bytes(&with(200).to_bytes()), Err(RuleError::TooLong));
    assert_eq!(person(&mut policy, with(200)), Err(RuleError::TooLong));
    assert_eq!(person(&mut policy, with(170)), Ok(()));
}
