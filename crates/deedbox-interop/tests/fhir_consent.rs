//! FHIR `Consent` resources as rules: the nine of HL7's examples, as they lie in `../shared/data`, and one resource for each
//! word that is mapped or refused.

use std::{collections::BTreeMap, fs, path::PathBuf};

use deedbox_consent::{
    Action, Any, Ask, Basis, Bounds, Change, Decision, HostFacts, Maker, PartyKind, Permission, Policy, Prohibition,
    Regime, Selector, To, Vocabulary,
};
use deedbox_interop::fhir::consent::{ConsentRefusal, Mapping, map};
use deedbox_model::{Name, Timestamp};
use serde_json::{Value, json};

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn mapping() -> Mapping {
    let parties = [("Organization/f001", "hospital"), ("Practitioner/f204", "nurse"), ("Patient/example", "cousin")];
    Mapping {
        parties: parties.into_iter().map(|(reference, party)| (reference.to_owned(), name(party))).collect(),
        purposes: BTreeMap::from([("ETREAT".to_owned(), name("emergency")), ("TREAT".to_owned(), name("care"))]),
        default_purpose: Some(name("care")),
        data: BTreeMap::from([
            ("Observation".to_owned(), Selector::of([name("health")])),
            ("Patient/f001".to_owned(), Selector::of([name("contact")])),
            ("59284-0".to_owned(), Selector::of([name("all")]).except([name("contact")])),
        ]),
        all: Selector::of([name("all")]),
        until: at(4_000_000_000),
        retention: 86_400,
    }
}

fn vocabulary() -> Vocabulary {
    Vocabulary::builder("fhir", 1, Regime::EU)
        .purpose("care", &[])
        .purpose("emergency", &["care"])
        .category("all", &[])
        .category("contact", &["all"])
        .category("health", &["all"])
        .field("phone", &["contact"])
        .field("weight", &["health"])
        .party("hospital", PartyKind::PUBLIC)
        .party("nurse", PartyKind::PRIVATE)
        .party("cousin", PartyKind::PRIVATE)
        .build()
        .unwrap()
}

/// The rules of one resource.
fn rules(consent: &Value) -> Result<Vec<Change>, ConsentRefusal> {
    let mut mapped = map(consent.to_string().as_bytes(), &mapping()).unwrap();
    assert_eq!(mapped.len(), 1);
    mapped.remove(0).rules
}

/// A consent with a base and a root provision.
fn consent(policy: &str, provision: Value) -> Value {
    json!({
        "resourceType": "Consent", "id": "c1", "status": "active", "dateTime": "2015-11-18",
        "scope": {"coding": [{"code": "patient-privacy"}]}, "policyRule": {"coding": [{"code": policy}]},
        "provision": provision
    })
}

fn actor(role: &str, reference: &str) -> Value {
    json!([{"role": {"coding": [{"code": role}]}, "reference": {"reference": reference}}])
}

fn prohibition(rules: Result<Vec<Change>, ConsentRefusal>) -> Prohibition {
    match rules.unwrap().as_slice() {
        [Change::AddProhibition(prohibition)] => (**prohibition).clone(),
        other => panic!("{other:?}"),
    }
}

fn permission(rules: Result<Vec<Change>, ConsentRefusal>) -> Permission {
    match rules.unwrap().as_slice() {
        [Change::AddPermission(permission)] => (**permission).clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_nine_examples() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/fhir-patient-f001.json");
    let Ok(bundle) = fs::read(&file) else {
        assert!(!file.parent().is_some_and(|folder| folder.is_dir()), "{} is missing", file.display());
        eprintln!("skipped: no ../shared/data, HL7's examples of FHIR R4");
        return;
    };
    let mapped = map(&bundle, &mapping()).unwrap();
    let outcome = |id: &str| {
        let found = mapped.iter().find(|mapped| mapped.id == format!("consent-example-{id}"));
        found.unwrap_or_else(|| panic!("no {id}")).rules.clone()
    };
    assert_eq!(mapped.len(), 9);
    // Opt-out, but for emergency treatment: the exception says who keeps the data and not who gets it.
    assert_eq!(outcome("Emergency"), Err(ConsentRefusal::NoRecipient));
    // Opt-in but for what an organisation wrote: of whoever only keeps the data nothing follows, and an opt-in gives nothing.
    assert_eq!(outcome("notAuthor"), Err(ConsentRefusal::OptInAlone));
    // Opt-in but for a task that is in none of our fields.
    assert_eq!(outcome("notThis"), Err(ConsentRefusal::UnknownData));
    let out = prohibition(outcome("Out"));
    assert_eq!((out.to, out.purposes, out.actions, out.fields), (To::Anyone, Any::Any, Any::Any, Any::Any));
    assert_eq!(prohibition(outcome("basic")).bounds, Bounds { from: Some(at(0)), until: Some(at(1_451_692_800)) });
    let not_time = prohibition(outcome("notTime"));
    assert_eq!((not_time.to, not_time.bounds), (To::Anyone, Bounds::between(at(1_420_070_400), at(1_422_835_200))));
    let not_org = prohibition(outcome("notOrg"));
    assert_eq!(not_org.to, To::Party(name("hospital")));
    assert_eq!(not_org.actions, Any::Only([Action::Read, Action::Write].into()));
    assert_eq!(prohibition(outcome("notThem")).to, To::Party(name("nurse")));
    let grantor = permission(outcome("grantor"));
    assert_eq!((grantor.to, grantor.purpose), (To::Party(name("cousin")), name("care")));
    assert_eq!((grantor.actions, grantor.basis), (Action::Read.into(), Basis::CONSENT));
    assert_eq!(grantor.bounds, Bounds::between(at(1_447_804_800), at(4_000_000_000)));
}

#[test]
fn what_was_mapped_is_acceptable_and_opens_nothing_more() {
    let all = [
        consent("OPTOUT", json!({"actor": actor("PRCP", "Organization/f001"), "purpose": [{"code": "ETREAT"}]})),
        consent("OPTIN", json!({"type": "deny", "actor": actor("PRCP", "Practitioner/f204")})),
        consent("OPTOUT", json!({})),
    ];
    let decide = |policy: &Policy, party: &str, purpose: &str| {
        let ask = Ask::read_all(name(purpose), Basis::CONSENT);
        policy
            .decide(&ask, &HostFacts::new(name(party), at(1_500_000_000)))
            .permit()
            .map(|permit| permit.fields().len())
    };
    let mut policy = Policy::new(vocabulary());
    for consent in &all[..2] {
        rules(consent).unwrap().into_iter().for_each(|mut change| {
            if let Change::AddProhibition(prohibition) = &mut change {
                prohibition.id = name("other");
            }
            policy.apply(change, &Maker::Person).unwrap();
        });
    }
    assert_eq!(decide(&policy, "hospital", "emergency"), Some(2));
    // Not for the wider purpose, and nobody else.
    assert_eq!(decide(&policy, "hospital", "care"), None);
    assert_eq!(decide(&policy, "cousin", "emergency"), None);
    let mut out = prohibition(rules(&all[2]));
    out.id = name("out");
    policy.apply(out, &Maker::Person).unwrap();
    assert_eq!(decide(&policy, "hospital", "emergency"), None);
}

#[test]
fn conditions_of_a_permitting_provision() {
    let provision = json!({
        "actor": actor("IRCP", "Organization/f001"), "purpose": [{"code": "TREAT"}],
        "action": [{"coding": [{"code": "access"}, {"code": "collect"}]}], "class": [{"code": "Observation"}],
        "period": {"start": "2020", "end": "2020-06"}, "dataPeriod": {"start": "2019-01-01"}
    });
    let permission = permission(rules(&consent("OPTOUT", provision)));
    assert_eq!(permission.id, name("fhir:c1.0"));
    assert_eq!(permission.actions, [Action::Read, Action::Append].into());
    assert_eq!(permission.fields, Selector::of([name("health")]));
    assert_eq!(permission.bounds, Bounds::between(at(1_577_836_800), at(1_593_561_600)));
    assert_eq!(permission.records, Bounds { from: Some(at(1_546_300_800)), until: None });
    assert_eq!((permission.retention, permission.evidence.time), (Some(86_400), Some(at(1_447_804_800))));
}

#[test]
fn nested_denials_become_prohibitions_of_their_own() {
    let provision = json!({
        "actor": actor("PRCP", "Organization/f001"),
        "provision": [{"type": "deny", "data": [{"meaning": "instance", "reference": {"reference": "Patient/f001"}}]}]
    });
    let rules = rules(&consent("OPTOUT", provision)).unwrap();
    let [Change::AddPermission(_), Change::AddProhibition(prohibition)] = rules.as_slice() else { panic!("{rules:?}") };
    assert_eq!((&prohibition.id, &prohibition.to), (&name("fhir:c1.1"), &To::Anyone));
    assert_eq!(prohibition.fields, Any::Only(Selector::of([name("contact")])));
    let mut policy = Policy::new(vocabulary());
    rules.iter().for_each(|rule| policy.apply(rule.clone(), &Maker::Person).unwrap());
    let ask = Ask::read_all(name("care"), Basis::CONSENT);
    let decision = policy.decide(&ask, &HostFacts::new(name("hospital"), at(1_500_000_000)));
    let Decision::Permit(permit) = decision else { panic!("{decision:?}") };
    assert!(permit.fields().eq([&name("weight")]));
}

#[test]
fn each_refusal_beside_what_is_taken() {
    let permits = json!({"actor": actor("PRCP", "Organization/f001")});
    let good = consent("OPTOUT", permits.clone());
    assert!(rules(&good).is_ok());
    let with = |key: &str, value: Value| {
        let mut consent = good.clone();
        consent[key] = value;
        consent
    };
    let provision = |key: &str, value: Value| {
        let mut provision = permits.clone();
        provision[key] = value;
        consent("OPTOUT", provision)
    };
    let nested = json!([{"type": "permit", "actor": actor("PRCP", "Organization/f001")}]);
    let cases = [
        (with("status", json!("draft")), ConsentRefusal::NotActive),
        (with("scope", json!({"coding": [{"code": "research"}]})), ConsentRefusal::Scope),
        (with("policyRule", json!({"coding": [{"code": "OPTOUTE"}]})), ConsentRefusal::UnknownPolicy),
        (with("policyRule", json!({})), ConsentRefusal::UnknownPolicy),
        (with("id", json!("x".repeat(200))), ConsentRefusal::Id),
        (with("dateTime", json!("soon")), ConsentRefusal::NoDate),
        (consent("OPTIN", json!({})), ConsentRefusal::OptInAlone),
        (consent("OPTIN", json!({"type": "permit", "purpose": [{"code": "TREAT"}]})), ConsentRefusal::NoRecipient),
        (provision("purpose", json!([{"code": "HMARKT"}])), ConsentRefusal::UnknownPurpose),
        (provision("actor", actor("PRCP", "Organization/f002")), ConsentRefusal::UnknownParty),
        (provision("actor", actor("DELEGATEE", "Organization/f001")), ConsentRefusal::UnknownRole),
        (provision("action", json!([{"coding": [{"code": "use"}]}])), ConsentRefusal::UnknownAction),
        (provision("action", json!([{}])), ConsentRefusal::UnknownAction),
        (provision("class", json!([{"code": "Goal"}])), ConsentRefusal::UnknownData),
        (provision("class", json!([])), ConsentRefusal::UnknownData),
        (provision("period", json!({"start": "2020", "end": "2019"})), ConsentRefusal::Period),
        (provision("period", json!({"end": "1964"})), ConsentRefusal::Period),
        (provision("period", json!({})), ConsentRefusal::Period),
        (provision("securityLabel", json!([{"code": "R"}])), ConsentRefusal::Unsupported),
        (provision("type", json!("maybe")), ConsentRefusal::Unsupported),
        (provision("provision", nested), ConsentRefusal::NestedPermit),
        (provision("provision", json!([{}])), ConsentRefusal::Unsupported),
    ];
    for (consent, refusal) in cases {
        assert_eq!(rules(&consent).unwrap_err(), refusal, "{consent}");
    }
    let mut both = permits.clone();
    both["class"] = json!([{"code": "Observation"}]);
    both["data"] = json!([{"reference": {"reference": "Patient/f001"}}]);
    assert_eq!(rules(&consent("OPTOUT", both)), Err(ConsentRefusal::Unsupported));
    let mut without = mapping();
    without.default_purpose = None;
    let mapped = map(good.to_string().as_bytes(), &without).unwrap();
    assert_eq!(mapped[0].rules, Err(ConsentRefusal::NoPurpose));
}
