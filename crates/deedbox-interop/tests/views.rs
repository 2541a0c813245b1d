//! The views for integrators: AuthZEN answers are the evaluator's, and say no more than an asker may know; receipts in JSON
//! say what the permission says.

use deedbox_consent::{
    Action, Ask, AskedFields, At, Basis, Decision, Evidence, EvidenceKind, HostFacts, Limit, Maker, Obligation,
    PartyKind, Permission, Policy, Receipt, ReceiptDigests, ReceiptKind, Regime, Selector, Sensitivity, To, Vocabulary,
    test_util::{Draw, FIELDS, PARTIES, reach},
};
use deedbox_interop::{
    authzen::{self, ActionName, Context, Entity, EvaluationRequest, EvaluationsRequest, ResourceOnly, SearchRequest},
    dpv::Dpv,
    receipt::{ConsentReceipt, ReceiptViewError},
};
use deedbox_model::{Digest, Name, Timestamp};
use proptest::{collection::vec, prelude::*};
use serde_json::{Value, json};

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn entity(kind: &str, id: Option<&str>) -> Entity {
    Entity { r#type: kind.to_owned(), id: id.map(str::to_owned) }
}

fn context(ask: &Ask) -> Context {
    let mut context = Context::default();
    context.purpose = ask.purpose.as_ref().map(Name::to_string);
    context.basis = ask.basis.and_then(Basis::name).map(str::to_owned);
    context.ground = ask.ground.and_then(|ground| ground.name()).map(str::to_owned);
    context.recipient = ask.recipient.as_ref().map(Name::to_string);
    context
}

fn evaluation(ask: &Ask, host: &HostFacts, field: &str) -> EvaluationRequest {
    EvaluationRequest {
        subject: entity("party", Some(host.party.as_str())),
        action: ActionName { name: ask.action.unwrap().name().to_owned() },
        resource: entity("field", Some(field)),
        context: context(ask),
    }
}

proptest! {
    #[test]
    fn an_evaluation_is_the_decision(policy in vec(any::<u8>(), 0..360), question in vec(any::<u8>(), 48)) {
        let evaluator = Draw::new(&policy).policy().compile().unwrap();
        let (ask, host) = Draw::new(&question).question();
        let no = serde_json::to_string(&authzen::evaluate(&evaluator, &evaluation(&ask, &host, "no_such_field"), &host));
        for field in FIELDS {
            let mut one = ask.clone();
            one.fields = Some(AskedFields::These([name(field)].into()));
            let answer = authzen::evaluate(&evaluator, &evaluation(&ask, &host, field), &host);
            match evaluator.decide(&one, &host) {
                Decision::Permit(permit) => {
                    prop_assert_eq!(answer.context.as_ref().map(|duties| duties.retention), Some(permit.retention()));
                    prop_assert!(answer.decision);
                }
                // Why not, not even that there is such a field, is told.
                Decision::Denial(_) => prop_assert_eq!(serde_json::to_string(&answer).unwrap(), no.as_ref().unwrap().clone()),
            }
        }
        let several = EvaluationsRequest {
            subject: entity("party", Some(host.party.as_str())),
            action: ActionName { name: ask.action.unwrap().name().to_owned() },
            context: context(&ask),
            evaluations: FIELDS.map(|field| ResourceOnly { resource: entity("field", Some(field)) }).into(),
        };
        let answers = authzen::evaluate_all(&evaluator, &several, &host).evaluations;
        let single = FIELDS.map(|field| authzen::evaluate(&evaluator, &evaluation(&ask, &host, field), &host));
        prop_assert_eq!(answers, single);
        // Whom the agent does not talk to gets nothing through one it does.
        let mut other = host.clone();
        other.party = name(if host.party.as_str() == "charity" { "hospital" } else { "charity" });
        for field in FIELDS {
            prop_assert!(!authzen::evaluate(&evaluator, &evaluation(&ask, &host, field), &other).decision);
        }
    }

    #[test]
    fn searches_find_what_requests_would_get(policy in vec(any::<u8>(), 0..360), now in 0u64..80, purpose in 0usize..6) {
        let policy = Draw::new(&policy).policy();
        let evaluator = policy.compile().unwrap();
        let at = At::reading(Timestamp::from_secs(now));
        let purpose = ["care", "direct", "social", "urgent", "research", ""][purpose];
        let reached = reach(&policy, at);
        let is_meant = |row: &[Name; 3]| purpose.is_empty() || row[1].as_str() == purpose;
        let search = |subject: Option<&str>, action: Option<&str>, resource: Option<&str>| {
            let mut context = Context::default();
            context.purpose = Some(purpose.to_owned()).filter(|purpose| !purpose.is_empty());
            let action = action.map(|name| ActionName { name: name.to_owned() });
            SearchRequest { subject: entity("party", subject), action, resource: entity("field", resource), context }
        };
        for field in FIELDS {
            let found = authzen::search_subjects(&evaluator, &search(None, Some("read"), Some(field)), at).results;
            let expected = PARTIES.iter().filter(|party| {
                reached.iter().any(|row| is_meant(row) && row[0].as_str() == **party && row[2].as_str() == field)
            });
            let mut expected: Vec<Entity> = expected.map(|party| entity("party", Some(party))).collect();
            expected.sort_by(|one, other| one.id.cmp(&other.id));
            prop_assert_eq!(found, expected);
        }
        for party in PARTIES {
            let found = authzen::search_resources(&evaluator, &search(Some(party), Some("read"), None), at).results;
            let mut expected: Vec<Entity> = FIELDS
                .iter()
                .filter(|field| {
                    reached.iter().any(|row| is_meant(row) && row[0].as_str() == party && row[2].as_str() == **field)
                })
                .map(|field| entity("field", Some(field)))
                .collect();
            expected.sort_by(|one, other| one.id.cmp(&other.id));
            prop_assert_eq!(found, expected);
            let actions = authzen::search_actions(&evaluator, &search(Some(party), None, Some("phone")), at).results;
            let may_read = reached.iter().any(|row| is_meant(row) && row[0].as_str() == party && row[2].as_str() == "phone");
            prop_assert_eq!(actions.iter().any(|action| action.name == "read"), may_read);
        }
    }
}

#[test]
fn what_a_message_claims_is_not_read() {
    let (policy, _) = given();
    let evaluator = policy.compile().unwrap();
    let request = |extra: Value| {
        let mut request = json!({
            "subject": {"type": "party", "id": "charity"}, "action": {"name": "read"},
            "resource": {"type": "field", "id": "phone"}, "context": {"purpose": "dpv:marketing", "basis": "consent"}
        });
        request["context"]["time"] = json!("2000-01-01T00:00:00Z");
        request["context"]["assurance"] = json!(4);
        request["subject"]["properties"] = extra;
        serde_json::from_value::<EvaluationRequest>(request).unwrap()
    };
    let at = |secs| HostFacts::new(name("charity"), Timestamp::from_secs(secs));
    assert!(authzen::evaluate(&evaluator, &request(json!({})), &at(1_500)).decision);
    assert!(
        !authzen::evaluate(&evaluator, &request(json!({"assurance": 4})), &at(2_000)).decision,
        "over by our clock"
    );
}

/// A consent of two fields, one of them special.
fn given() -> (Policy, Permission) {
    let vocabulary = Vocabulary::builder("views", 1, Regime::EU)
        .purpose("dpv:marketing", &[])
        .category("pd:contact", &[])
        .category("pd:health", &[])
        .category("mine", &["pd:contact", "pd:health"])
        .field("phone", &["pd:contact"])
        .field_with("weight", &["pd:health", "mine"], Sensitivity::SPECIAL, None)
        .field("other", &["pd:contact"])
        .party("charity", PartyKind::PRIVATE)
        .party("council", PartyKind::PUBLIC)
        .build()
        .unwrap();
    let mut permission = Permission::new(name("p1"), To::Party(name("charity")), name("dpv:marketing"), Basis::CONSENT)
        .actions([Action::Read, Action::Share])
        .fields(Selector::of([name("phone"), name("weight")]))
        .between(Timestamp::from_secs(1_000), Timestamp::from_secs(2_000))
        .retention(3_600)
        .recipients([name("council")])
        .obligations(Obligation::DeleteOnWithdrawal)
        .evidence(Evidence::of(EvidenceKind::EXPLICIT).notice(Digest::from_bytes([5; 32])).language("en-GB"));
    permission.limit = Some(Limit { times: 3, per: None });
    let mut policy = Policy::new(vocabulary);
    policy.apply(permission.clone(), &Maker::Person).unwrap();
    (policy, permission)
}

fn dpv() -> Dpv {
    let purposes = "term,iri,hasbroader\nMarketing,https://w3id.org/dpv#Marketing,\n";
    let categories =
        "term,iri,hasbroader\nContact,https://w3id.org/dpv/pd#Contact,\nHealth,https://w3id.org/dpv/pd#Health,\n";
    Dpv::read(purposes, &[categories]).unwrap()
}

fn receipt(kind: ReceiptKind) -> Receipt {
    let digest = |byte| Digest::from_bytes([byte; 32]);
    let digests = ReceiptDigests { subject: digest(1), policy: digest(2), vocabulary: digest(3) };
    Receipt::new(kind, Timestamp::from_secs(951_782_400), name("charity"), digests, Regime::EU)
}

#[test]
fn a_receipt_in_json() {
    let (policy, permission) = given();
    let view = |kind| {
        ConsentReceipt::new(Digest::from_bytes([0xab; 32]), &receipt(kind), &permission, policy.vocabulary(), &dpv())
    };
    let json = serde_json::to_value(view(ReceiptKind::Given).unwrap()).unwrap();
    let gdpr = "https://w3id.org/dpv/legal/eu/gdpr#";
    let rights = ["A13", "A14", "A15", "A16", "A17", "A18", "A20", "A22", "A7-3", "A77"];
    let expected = json!({
        "schema_version": "ISO/IEC TS 27560:2023",
        "receipt_id": "ab".repeat(32),
        "record_id": "p1",
        "pii_processing": {
            "privacy_notice": "05".repeat(32),
            "language": "en-GB",
            "purposes": [{
                "purpose": "https://w3id.org/dpv#Marketing",
                "lawful_basis": format!("{gdpr}A6-1-a"),
                "processing": ["read", "share"],
                "pii_information": [
                    {"pii_type": "phone", "pii_categories": ["https://w3id.org/dpv/pd#Contact"], "sensitive_pii_category": false},
                    {"pii_type": "weight", "pii_categories": ["mine", "https://w3id.org/dpv/pd#Health"], "sensitive_pii_category": true}
                ],
                "pii_controllers": ["charity"],
                "retention_period": "PT3600S",
                "recipient_third_parties": ["council"],
                "privacy_rights": rights.map(|right| format!("{gdpr}{right}")),
                "obligations": ["delete_on_withdrawal"],
                "jurisdiction": "EU"
            }]
        },
        "party_identification": [
            {"party_id": "charity", "party_role": "pii_controller", "party_type": "private"},
            {"party_id": "council", "party_role": "recipient_third_party", "party_type": "public"}
        ],
        "event": {
            "event_time": "2000-02-29T00:00:00Z",
            "valid_until": "1970-01-01T00:33:20Z",
            "event_state": "https://w3id.org/dpv#ConsentGiven",
            "event_type": "given"
        }
    });
    assert_eq!(json, expected);
    let back: ConsentReceipt = serde_json::from_value(json).unwrap();
    assert_eq!(back, view(ReceiptKind::Given).unwrap());
    let withdrawn = view(ReceiptKind::Withdrawn).unwrap();
    assert_eq!(withdrawn.event.event_state.as_deref(), Some("https://w3id.org/dpv#ConsentWithdrawn"));
    assert_eq!(view(ReceiptKind::Disclosed), Err(ReceiptViewError::Disclosure));
}

#[test]
fn a_receipt_names_its_fields_and_only_consent_has_a_state() {
    let (policy, mut permission) = given();
    let mut receipt = receipt(ReceiptKind::Given);
    receipt.fields = Some([name("phone")].into());
    permission.basis = Basis::PUBLIC_TASK;
    let view = |receipt: &Receipt, permission: &Permission| {
        ConsentReceipt::new(Digest::from_bytes([0; 32]), receipt, permission, policy.vocabulary(), &dpv())
    };
    let shown = view(&receipt, &permission).unwrap();
    let purpose = &shown.pii_processing.purposes[0];
    assert_eq!(purpose.pii_information.len(), 1);
    assert_eq!(purpose.lawful_basis, "https://w3id.org/dpv/legal/eu/gdpr#A6-1-e");
    assert!(!purpose.privacy_rights.iter().any(|right| right.ends_with("A7-3")));
    assert_eq!(shown.event.event_state, None);
    permission.bounds.until = None;
    assert_eq!(view(&receipt, &permission), Err(ReceiptViewError::Unbounded));
}
