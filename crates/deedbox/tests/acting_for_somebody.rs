//! Others make rules for the person, within a mandate; and an emergency opens what an emergency rule says, to be told of later.

#[path = "shared/local.rs"]
mod local;
#[path = "shared/meet.rs"]
mod meet;

use deedbox::{
    exchange::SignedRule,
    host::{MemoryStorage, system_clock},
    parts::{
        audit::{Entry, EntryKind, Row},
        connect::EndReason,
        consent::{
            Action, Ask, Basis, Change, Ground, Mandate, MandateStatus, Obligation, PartyKind, Permission, Prohibition,
            Rank, Reason, Regime, Selector, Sensitivity, To, Vocabulary, VocabularyBuilder,
        },
        cose::sha256,
        model::{Digest, Name, Timestamp},
    },
    person::{Open, Person, Secret, category_of},
    provider::Provider,
};
use local::{Local, serve};
use meet::connect;
use pollster::block_on;

const DOCUMENT: &[u8] = br#"{"money": {"account": "4711"}, "health": {"allergy": "penicillin"}}"#;

type Client = Local<MemoryStorage>;
type Box = Person<Open<Client>>;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn later() -> Timestamp {
    system_clock().saturating_add_secs(3_600)
}

fn words() -> VocabularyBuilder {
    Vocabulary::builder("rules", 1, Regime::UK)
        .purpose("support", &[])
        .purpose("care", &[])
        .party("daughter", PartyKind::INDIVIDUAL)
        .party("council", PartyKind::PUBLIC)
        .party("gp", PartyKind::PUBLIC)
        .condition("break_glass")
}

fn sensitivity(title: &str) -> Sensitivity {
    if title == "health" { Sensitivity::SPECIAL } else { Sensitivity::ORDINARY }
}

async fn filled() -> (Box, Client, String) {
    let client = serve(MemoryStorage::new());
    let (mut person, keepsake) = Person::create(client.clone(), "a passphrase").await.unwrap();
    person.import(DOCUMENT, "myself").await.unwrap();
    person.adopt(words(), sensitivity).await.unwrap();
    (person, client, keepsake.recovery_phrase.to_string())
}

fn of(dataset: &str) -> Selector {
    Selector::of([category_of(dataset).unwrap()])
}

/// A permission for the council, made under the mandate `lpa`.
fn for_council(id: &str, dataset: &str, purpose: &str) -> Permission {
    Permission::new(name(id), To::Party(name("council")), name(purpose), Basis::PUBLIC_TASK)
        .actions(Action::Read)
        .fields(of(dataset))
        .between(Timestamp::from_secs(0), later())
        .retention(60)
        .mandate(name("lpa"))
}

fn last_entry(person: &Box) -> Entry {
    match person.log().rows().last().unwrap() {
        Row::Kept(entry) => entry.entry().clone(),
        Row::Erased(_) => panic!("erased"),
    }
}

#[test]
fn an_attorney_makes_rules_within_the_mandate_and_nobody_beyond() {
    block_on(async {
        let (mut person, host, phrase) = filled().await;
        let provider = |name: &str| Provider::generate(&format!("https://{name}.example")).unwrap();
        let (daughter, council) = (provider("daughter"), provider("council"));
        let (mut at_daughter, mut daughter_side) = connect(&mut person, &daughter, "daughter").await;
        let (mut at_council, mut council_side) = connect(&mut person, &council, "council").await;
        let deed = Digest::from_bytes(sha256(b"the registered instrument"));
        let lpa = Mandate::new(name("lpa"), name("daughter"), Rank::PERSON)
            .purposes([name("support")])
            .actions(Action::Read)
            .fields(of("money"))
            .between(Timestamp::from_secs(0), later())
            .deed(deed);
        person.apply(lpa).await.unwrap();
        assert_eq!(last_entry(&person).determining, ["lpa"]);

        // Within: it is in force, and the log says whose it is and by which signed bytes.
        let rule = daughter.rule(&mut daughter_side, for_council("d1", "money", "support")).unwrap();
        let applied = person.ruled(&mut at_daughter, &rule).await.unwrap();
        assert_eq!(applied.impact.gained.len(), 1);
        let entry = last_entry(&person);
        assert_eq!(
            (entry.kind, entry.party.as_deref(), entry.determining),
            (EntryKind::Rule, Some("daughter"), vec!["d1".into()])
        );
        let signed = person.signed_rule(&entry.receipt.unwrap()).unwrap();
        let agreement = daughter_side.agreement();
        let keys = [agreement.initiator().sign(), agreement.responder().sign()];
        assert!(keys.iter().any(|key| SignedRule::verify(&signed, key).is_ok()));
        let account = name("money.account");
        let ask = Ask::read(name("support"), Basis::PUBLIC_TASK, [account.clone()]);
        let record = council_side.ask(&ask).unwrap();
        let answered = person.answer(&mut at_council, &record).await.unwrap();
        assert_eq!(council_side.answer(&answered.reply).unwrap().values.len(), 1);

        // Beyond: another field, purpose, seal or mandate; a party without one; nothing changes and nothing is logged.
        let before = (person.policy().to_bytes(), person.log().len());
        let beyond: [(Change, &str); 5] = [
            (for_council("d2", "health", "support").into(), "Rule.MandateScope"),
            (for_council("d3", "money", "care").into(), "Rule.MandateScope"),
            (for_council("d4", "money", "support").mandate(name("other")).into(), "Rule.UnknownId"),
            (Prohibition::new(name("d5"), To::Anyone).rank(Rank::SEAL).mandate(name("lpa")).into(), "Rule.NotYours"),
            (Change::Withdraw(name("d9")), "Rule.UnknownId"),
        ];
        for (change, code) in beyond {
            let rule = daughter.rule(&mut daughter_side, change).unwrap();
            assert_eq!(person.ruled(&mut at_daughter, &rule).await.unwrap_err().code(), code);
        }
        let rule = council.rule(&mut council_side, for_council("c1", "money", "support")).unwrap();
        assert_eq!(person.ruled(&mut at_council, &rule).await.unwrap_err().code(), "Rule.NotYours");
        let asked = daughter_side.ask(&ask).unwrap();
        assert_eq!(person.ruled(&mut at_daughter, &asked).await.unwrap_err().code(), "Unexpected");
        assert_eq!((person.policy().to_bytes(), person.log().len()), before);
        assert_eq!(daughter.rule(&mut daughter_side, Change::Lift(name("x"))).unwrap_err().code(), "Unexpected");

        // Her own rule she withdraws; when she gives the mandate back, what is left of her permissions ends with it.
        let rule = daughter.rule(&mut daughter_side, for_council("d6", "money", "support")).unwrap();
        person.ruled(&mut at_daughter, &rule).await.unwrap();
        let rule = daughter.rule(&mut daughter_side, Change::Withdraw(name("d1"))).unwrap();
        assert_eq!(person.ruled(&mut at_daughter, &rule).await.unwrap().impact.lost.len(), 0);
        let rule = daughter.rule(&mut daughter_side, Change::EndMandate(name("lpa"))).unwrap();
        let ended = person.ruled(&mut at_daughter, &rule).await.unwrap();
        assert_eq!(ended.impact.erase[&name("council")].len(), 1);
        let record = council_side.ask(&ask).unwrap();
        let answered = person.answer(&mut at_council, &record).await.unwrap();
        assert_eq!(answered.decision.withheld()[&account], Reason::MandateInvalid);

        // Over an ended connection nothing comes any more, though its session is still open.
        let rule = daughter.rule(&mut daughter_side, Change::EndMandate(name("lpa"))).unwrap();
        person.end(&at_daughter.agreement().connection_id(), EndReason::Withdrawn).await.unwrap();
        assert_eq!(person.ruled(&mut at_daughter, &rule).await.unwrap_err().code(), "Connect.Ended");

        // A new vocabulary keeps rules made under a mandate that has ended since; so does a restart.
        person.adopt(words().purpose("more", &[]), sensitivity).await.unwrap();
        let person = Person::locate(host, *person.store()).await.unwrap();
        let person = person.unlock(&Secret::RecoveryPhrase(&phrase), None).await.unwrap();
        assert_eq!(person.policy().mandates().next().unwrap().1, MandateStatus::Ended);
        assert_eq!(person.policy().permissions().count(), 2);
        assert_eq!(person.signed_rule(&Digest::from_bytes([0; 32])).unwrap_err().code(), "NotFound");
    });
}

#[test]
fn glass_is_broken_by_the_agent_alone_and_the_log_tells() {
    block_on(async {
        let (mut person, ..) = filled().await;
        let gp = Provider::generate("https://gp.example").unwrap();
        let (mut channel, mut session) = connect(&mut person, &gp, "gp").await;
        let rule = Permission::new(name("emergency"), To::Party(name("gp")), name("care"), Basis::VITAL_INTERESTS)
            .rank(Rank::EMERGENCY)
            .ground(Ground::VITAL)
            .actions(Action::Read)
            .fields(of("health"))
            .between(Timestamp::from_secs(0), later())
            .retention(60)
            .conditions([name("break_glass")])
            .obligations([Obligation::NotifyPerson, Obligation::Justify]);
        person.apply(rule).await.unwrap();
        person.apply(Prohibition::new(name("nobody"), To::Anyone).fields(of("health"))).await.unwrap();
        let allergy = name("health.allergy");
        let ask = Ask::read(name("care"), Basis::VITAL_INTERESTS, [allergy.clone()]).ground(Ground::VITAL);

        let record = session.ask(&ask).unwrap();
        let answered = person.answer(&mut channel, &record).await.unwrap();
        assert_eq!(answered.decision.withheld()[&allergy], Reason::ConditionUnmet);
        assert!(session.answer(&answered.reply).unwrap().values.is_empty());

        let record = session.ask(&ask).unwrap();
        let answered = person.answer_when(&mut channel, &record, &[name("break_glass")]).await.unwrap();
        let got = session.answer(&answered.reply).unwrap();
        assert_eq!((got.values.len(), got.obligations), (1, vec!["notify_person".to_owned(), "justify".to_owned()]));
        let stable = answered.decision.stable_until().unwrap();
        assert!(stable <= system_clock().saturating_add_secs(14_400));
        let entry = last_entry(&person);
        assert_eq!(
            (entry.conditions, entry.determining),
            (vec!["break_glass".to_owned()], vec!["emergency".to_owned()])
        );

        // The doctor owes the reasons, and signs them on the release that the receipt names.
        assert_eq!(person.unjustified(later(), 600).unwrap(), [answered.entry]);
        assert!(person.unjustified(system_clock(), 600).unwrap().is_empty());
        let message = person.receipt_of(&mut channel, answered.entry).await.unwrap();
        let (mut receipt, ..) = session.acknowledge(&gp, &message).unwrap();
        let (log, reasons) = (person.log().len(), "unconscious, no next of kin");
        let record = gp.justify(&mut session, &receipt, reasons).unwrap();
        let other = Provider::generate("https://gp.example").unwrap();
        let foreign = other.justify(&mut session, &receipt, reasons).unwrap();
        assert_eq!(person.justified(&mut channel, &record).await.unwrap(), answered.entry);
        assert_eq!((person.log().len(), last_entry(&person).party.as_deref()), (log + 1, Some("gp")));
        let [(entry, kept)] = &person.justifications().unwrap()[..] else { panic!("one") };
        assert_eq!((*entry, kept.text(), *kept.subject()), (Some(answered.entry), reasons, receipt.subject));
        assert!(person.unjustified(later(), 600).unwrap().is_empty());
        // Not with another's signature, not on what was no release, not by somebody else, not without words.
        assert_eq!(person.justified(&mut channel, &foreign).await.unwrap_err().code(), "Unexpected");
        let (mut elsewhere, mut aside) = connect(&mut person, &other, "council").await;
        let theirs = other.justify(&mut aside, &receipt, reasons).unwrap();
        assert_eq!(person.justified(&mut elsewhere, &theirs).await.unwrap_err().code(), "Unexpected");
        receipt.subject = Digest::from_bytes([7; 32]);
        let record = gp.justify(&mut session, &receipt, reasons).unwrap();
        assert_eq!(person.justified(&mut channel, &record).await.unwrap_err().code(), "Unexpected");
        assert_eq!(gp.justify(&mut session, &receipt, "").unwrap_err().code(), "Unexpected");
        assert_eq!(person.justifications().unwrap().len(), 1);

        // A seal is beaten by nothing.
        person.apply(Prohibition::new(name("sealed"), To::Anyone).rank(Rank::SEAL).fields(of("health"))).await.unwrap();
        let record = session.ask(&ask).unwrap();
        let answered = person.answer_when(&mut channel, &record, &[name("break_glass")]).await.unwrap();
        assert_eq!(answered.decision.withheld()[&allergy], Reason::Sealed);
    });
}
