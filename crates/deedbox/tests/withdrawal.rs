//! What the rules take away is taken back at the host, whoever made the rule; and what may be asked once is answered once.

#[path = "shared/local.rs"]
mod local;
#[path = "shared/meet.rs"]
mod meet;

use deedbox::{
    exchange::{Answer, Handover},
    host::{MemoryStorage, system_clock},
    parts::{
        audit::{Checkpoint, EntryKind, Log, Row},
        consent::{
            Action, Actions, Ask, Basis, Change, Decision, Ground, Mandate, Obligation, PartyKind, Permission,
            Prohibition, Rank, Reason, ReceiptKind, Regime, Selector, Sensitivity, To, Vocabulary, VocabularyBuilder,
        },
        cose::sha256,
        model::{Digest, FieldPath, Name, Timestamp},
        record::{GrantId, Record},
    },
    person::{Channel, Keepsake, Open, Person, Secret, Shared, category_of},
    provider::{Provider, Session},
    reader::{ReadError, Reader},
};
use local::{Local, serve};
use meet::connect;
use pollster::block_on;

const DOCUMENT: &[u8] =
    br#"{"person": {"name": "Maren Holloway", "born": "1971-03-09"}, "health": {"diagnosis": "C50.9", "ward": "7b"}}"#;

type Client = Local<MemoryStorage>;
type Box = Person<Open<Client>>;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn path(text: &str) -> FieldPath {
    FieldPath::parse(text).unwrap()
}

fn later() -> Timestamp {
    system_clock().saturating_add_secs(3_600)
}

/// A box with two datasets, whose rules know two parties and two purposes.
async fn filled() -> (Box, Keepsake, Client) {
    let client = serve(MemoryStorage::new());
    let (mut person, keepsake) = Person::create(client.clone(), "a passphrase").await.unwrap();
    person.import(DOCUMENT, "myself").await.unwrap();
    person.adopt(words(), |_| Sensitivity::ORDINARY).await.unwrap();
    (person, keepsake, client)
}

fn words() -> VocabularyBuilder {
    Vocabulary::builder("rules", 1, Regime::EU)
        .purpose("care", &[])
        .purpose("research", &[])
        .party("clinic", PartyKind::PUBLIC)
        .party("charity", PartyKind::PRIVATE)
}

/// A permission on the dataset `health`.
fn permission(id: &str, party: &str, purpose: &str, actions: &[Action]) -> Permission {
    Permission::new(name(id), To::Party(name(party)), name(purpose), Basis::CONTRACT)
        .actions(actions.iter().copied().collect::<Actions>())
        .fields(Selector::of([category_of("health").unwrap()]))
        .between(Timestamp::from_secs(0), later())
        .retention(60)
}

async fn granted(person: &mut Box, channel: &Channel, what: Shared<'_>) -> (GrantId, Handover) {
    let ask = Ask::read_all(name("care"), Basis::CONTRACT);
    person.grant(channel, what, &ask, later()).await.unwrap().handovers.pop().unwrap()
}

fn field(person: &Box, at: &str) -> Name {
    person.values().unwrap().into_iter().find(|value| value.path == path(at)).unwrap().field
}

fn reader<'a>(provider: &'a Provider, side: &Session, handover: &Handover, host: &Client) -> Reader<'a, Client> {
    provider.reader(side.agreement(), handover, host.clone()).unwrap()
}

async fn read(reader: &mut Reader<'_, Client>) -> Result<usize, String> {
    reader.read().await.map(|records: Vec<Record>| records.len()).map_err(|error: ReadError| error.code())
}

#[test]
fn what_a_withdrawal_takes_away_can_be_read_no_more() {
    block_on(async {
        let (mut person, _, host) = filled().await;
        let (clinic, charity) = (
            Provider::generate("https://clinic.example").unwrap(),
            Provider::generate("https://charity.example").unwrap(),
        );
        let rules = [
            permission("care", "clinic", "care", &[Action::Read]),
            permission("study", "clinic", "research", &[Action::Read]),
            permission("help", "charity", "care", &[Action::Read]),
        ];
        for rule in rules {
            let given = person.apply(rule).await.unwrap();
            assert_eq!((given.impact.gained.len(), given.revoked.len(), given.handovers.len()), (2, 0, 0));
        }
        let (mut at_clinic, mut clinic_side) = connect(&mut person, &clinic, "clinic").await;
        let (at_charity, mut charity_side) = connect(&mut person, &charity, "charity").await;
        let health = Shared::Dataset { title: "health", write: false };
        let (of_clinic, handover) = granted(&mut person, &at_clinic, health).await;
        let (of_charity, for_charity) = granted(&mut person, &at_charity, health).await;
        let mut clinic_reads = reader(&clinic, &clinic_side, &handover, &host);
        let mut charity_reads = reader(&charity, &charity_side, &for_charity, &host);
        assert_eq!(read(&mut clinic_reads).await, Ok(2));
        assert_eq!(read(&mut charity_reads).await, Ok(2));

        // One purpose less, and one that still needs the fields: nothing is taken back.
        let entries = person.log().len();
        let less = person.apply(Change::Withdraw(name("study"))).await.unwrap();
        assert_eq!((less.impact.lost.len(), less.impact.erase.len(), less.revoked.len()), (2, 0, 0));
        assert_eq!(read(&mut clinic_reads).await, Ok(2));
        assert_eq!(person.log().len(), entries + 1);

        // The last purpose: out, and whoever stays has new keys.
        let gone = person.apply(Change::Withdraw(name("care"))).await.unwrap();
        assert_eq!(gone.impact.erase[&name("clinic")].len(), 2);
        assert_eq!(gone.impact.regrant[&name("charity")].len(), 2);
        assert_eq!(gone.impact.tell().into_iter().collect::<Vec<_>>(), [&name("clinic")]);
        assert_eq!(gone.revoked, [of_clinic]);
        assert_eq!(gone.handovers.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [of_charity]);
        assert_eq!(read(&mut clinic_reads).await, Err("Host.Revoked".to_owned()));
        assert_eq!(read(&mut charity_reads).await, Err("Head.UnknownKey".to_owned()));
        let mut charity_reads = reader(&charity, &charity_side, &gone.handovers[0].1, &host);
        assert_eq!(read(&mut charity_reads).await, Ok(2));
        // The rule and the grant that went with it stand in the log under the same policy.
        assert_eq!(person.log().len(), entries + 3);
        let kept: Vec<_> = entries_of(person.log()).into_iter().rev().take(2).collect();
        assert!(kept.iter().all(|(kind, _)| *kind == EntryKind::Rule) && kept[0].1 == kept[1].1);

        // The clinic is told what it must erase, and signs that it knows; until then the person sees that it is overdue.
        let fields = gone.impact.erase[&name("clinic")].clone();
        let state = person.log().state();
        let withdrawn = ReceiptKind::Withdrawn;
        let message = person.receipt(&mut at_clinic, withdrawn, &name("care"), fields.clone()).await.unwrap();
        let kept = person.receipts().unwrap().pop().unwrap();
        assert_eq!((kept.party.as_str(), kept.signed.is_acknowledged()), ("clinic", false));
        // It is about the entry that withdrew the permission.
        assert_eq!(kept.entry, Some(entries + 1));
        assert!(kept.signed.is_overdue(later(), 600) && !kept.signed.is_overdue(system_clock(), 600));
        assert!(charity_side.acknowledge(&charity, &message).is_err());
        let foreign = clinic_side.acknowledge(&charity, &message).unwrap_err();
        assert_eq!(foreign.code(), "Unexpected");
        let again = person.receipt(&mut at_clinic, withdrawn, &name("care"), fields.clone()).await.unwrap();
        let (receipt, both, reply) = clinic_side.acknowledge(&clinic, &again).unwrap();
        assert_eq!((receipt.kind, receipt.fields), (withdrawn, Some(fields)));
        assert_eq!(receipt.checkpoint, Some((state.size + 1, receipt.checkpoint.unwrap().1)));
        let kept = person.acknowledged(&mut at_clinic, &reply).await.unwrap();
        assert!(kept.signed.is_acknowledged() && !kept.signed.is_overdue(later(), 600));
        assert_eq!(person.log().len(), entries + 6);
        let row = person.log().rows().last().unwrap();
        assert!(matches!(row, Row::Kept(entry) if entry.entry().receipt == Some(Digest::from_bytes(sha256(&both)))));
        assert_eq!(person.receipts().unwrap().iter().filter(|kept| kept.signed.is_acknowledged()).count(), 1);
        assert_eq!(person.connections().unwrap().len(), 2);
        let nothing = person.receipt(&mut at_clinic, withdrawn, &name("no-such-rule"), []).await.unwrap_err();
        assert_eq!(nothing.code(), "NotFound");

        // Another device has the same rules and grants, and a refused change leaves all as it was.
        assert_eq!(person.apply(Change::Withdraw(name("care"))).await.unwrap_err().code(), "Rule.WrongStatus");
        let person = person.refresh().await.unwrap();
        assert_eq!(person.grants().unwrap().len(), 1);
        assert_eq!((person.log().len(), person.receipts().unwrap().len()), (entries + 6, 2));
    });
}

fn entries_of(log: &Log) -> Vec<(EntryKind, Digest)> {
    log.rows()
        .iter()
        .filter_map(|row| match row {
            Row::Kept(entry) => Some((entry.entry().kind, entry.entry().policy)),
            _ => None,
        })
        .collect()
}

#[test]
fn a_refusal_takes_back_what_it_is_about_and_nothing_beside_it() {
    block_on(async {
        let (mut person, ..) = filled().await;
        let clinic = Provider::generate("https://clinic.example").unwrap();
        let both = [Action::Read, Action::Write];
        person.apply(permission("care", "clinic", "care", &both)).await.unwrap();
        let (channel, _) = connect(&mut person, &clinic, "clinic").await;
        let (ward, diagnosis) = ([path("health.ward")], [path("health.diagnosis")]);
        let (of_ward, _) = granted(&mut person, &channel, Shared::Fields(&ward)).await;
        let (of_diagnosis, _) = granted(&mut person, &channel, Shared::Fields(&diagnosis)).await;
        let health = Shared::Dataset { title: "health", write: true };
        let (written, _) = granted(&mut person, &channel, health).await;

        // No more writing: who may only read goes on, with new keys.
        let no_writing = Prohibition::new(name("no-writing"), To::Anyone).actions(Action::Write);
        let applied = person.apply(no_writing).await.unwrap();
        assert_eq!((applied.impact.lost.len(), applied.revoked), (0, vec![written]));
        let mut stay: Vec<_> = applied.handovers.into_iter().map(|(id, _)| id).collect();
        let mut expected = vec![of_ward, of_diagnosis];
        stay.sort_unstable_by_key(|id| *id.as_bytes());
        expected.sort_unstable_by_key(|id| *id.as_bytes());
        assert_eq!(stay, expected);

        // A seal on one field.
        let sealed = Selector::of([field(&person, "health.ward")]);
        let seal = Prohibition::new(name("seal"), To::Anyone).rank(Rank::SEAL).fields(sealed);
        let applied = person.apply(seal).await.unwrap();
        assert_eq!(applied.revoked, [of_ward]);
        assert_eq!(person.grants().unwrap().iter().map(|granted| granted.id).collect::<Vec<_>>(), [of_diagnosis]);

        // Lifted, nothing comes back by itself.
        let applied = person.apply(Change::Lift(name("seal"))).await.unwrap();
        assert_eq!((applied.impact.gained.len(), applied.revoked.len()), (1, 0));
        assert_eq!(person.grants().unwrap().len(), 1);
    });
}

#[test]
fn other_words_take_back_what_the_rules_then_permit_no_more() {
    block_on(async {
        let (mut person, _, host) = filled().await;
        let (clinic, charity) = (
            Provider::generate("https://clinic.example").unwrap(),
            Provider::generate("https://charity.example").unwrap(),
        );
        person.apply(permission("care", "clinic", "care", &[Action::Read])).await.unwrap();
        let grounded = permission("help", "charity", "care", &[Action::Read]).ground(Ground::from_code(8));
        person.apply(grounded).await.unwrap();
        let (at_clinic, clinic_side) = connect(&mut person, &clinic, "clinic").await;
        let (at_charity, charity_side) = connect(&mut person, &charity, "charity").await;
        let health = Shared::Dataset { title: "health", write: false };
        let (of_clinic, handover) = granted(&mut person, &at_clinic, health).await;
        let (of_charity, _) = granted(&mut person, &at_charity, health).await;
        let mut clinic_reads = reader(&clinic, &clinic_side, &handover, &host);

        // The same words: nothing changes.
        let applied = person.adopt(words(), |_| Sensitivity::ORDINARY).await.unwrap();
        assert_eq!((applied.impact.lost.len(), applied.revoked.len(), applied.handovers.len()), (0, 0, 0));
        assert_eq!(read(&mut clinic_reads).await, Ok(2));

        // The dataset is special, and one of both has a ground for that.
        let special = |title: &str| if title == "health" { Sensitivity::SPECIAL } else { Sensitivity::ORDINARY };
        let applied = person.adopt(words(), special).await.unwrap();
        assert_eq!(applied.revoked, [of_clinic]);
        assert_eq!(applied.impact.erase.keys().collect::<Vec<_>>(), [&name("clinic")]);
        assert_eq!(read(&mut clinic_reads).await, Err("Host.Revoked".to_owned()));
        let [(id, handover)] = &applied.handovers[..] else { panic!("one stays") };
        assert_eq!(*id, of_charity);
        assert_eq!(read(&mut reader(&charity, &charity_side, handover, &host)).await, Ok(2));
    });
}

#[test]
fn an_agent_rules_under_its_mandate_and_not_beside_it() {
    block_on(async {
        let (mut person, ..) = filled().await;
        let (clinic, charity) = (
            Provider::generate("https://clinic.example").unwrap(),
            Provider::generate("https://charity.example").unwrap(),
        );
        let (at_clinic, _) = connect(&mut person, &clinic, "clinic").await;
        let (mut at_charity, mut charity_side) = connect(&mut person, &charity, "charity").await;
        person.apply(permission("care", "clinic", "care", &[Action::Read])).await.unwrap();
        let health = Shared::Dataset { title: "health", write: false };
        let (granted, _) = granted(&mut person, &at_clinic, health).await;
        let refusal = Prohibition::new(name("refusal"), To::Party(name("clinic"))).mandate(name("advice"));

        // Without a mandate, and under one of somebody else: nothing changes.
        let message = charity.rule(&mut charity_side, refusal.clone()).unwrap();
        assert_eq!(person.ruled(&mut at_charity, &message).await.unwrap_err().code(), "Rule.UnknownId");
        let mandate = |id: &str, agent: &str| {
            Mandate::new(name(id), name(agent), Rank::PERSON).between(Timestamp::from_secs(0), later())
        };
        person.apply(mandate("other", "clinic")).await.unwrap();
        person.apply(mandate("advice", "charity")).await.unwrap();
        let foreign = Prohibition::new(name("foreign"), To::Party(name("clinic"))).mandate(name("other"));
        let message = charity.rule(&mut charity_side, foreign).unwrap();
        assert_eq!(person.ruled(&mut at_charity, &message).await.unwrap_err().code(), "Rule.NotYours");
        let message = charity.rule(&mut charity_side, Change::Withdraw(name("care"))).unwrap();
        assert_eq!(person.ruled(&mut at_charity, &message).await.unwrap_err().code(), "Rule.NotYours");
        assert_eq!(person.grants().unwrap().len(), 1);

        // Under its own: what it refuses is taken back, and the log says who did it.
        let message = charity.rule(&mut charity_side, refusal).unwrap();
        let applied = person.ruled(&mut at_charity, &message).await.unwrap();
        assert_eq!((applied.revoked, applied.impact.erase.len()), (vec![granted], 1));
        let made = person.log().rows().iter().rev().find_map(|row| match row {
            Row::Kept(entry) if entry.entry().party.as_deref() == Some("charity") => Some(entry.entry()),
            _ => None,
        });
        assert_eq!(made.unwrap().determining, ["refusal"]);
        assert!(made.unwrap().receipt.is_some());
        // The mandate ends, the refusal stays.
        let message = charity.rule(&mut charity_side, Change::EndMandate(name("advice"))).unwrap();
        assert_eq!(person.ruled(&mut at_charity, &message).await.unwrap().impact.gained.len(), 0);
        let again = charity.rule(&mut charity_side, Change::EndMandate(name("advice"))).unwrap();
        assert_eq!(person.ruled(&mut at_charity, &again).await.unwrap_err().code(), "Rule.WrongStatus");
    });
}

async fn answered(
    person: &mut Box,
    channel: &mut Channel,
    session: &mut Session,
    ask: &Ask,
) -> Result<(Decision, Answer), String> {
    let record = session.ask(ask).unwrap();
    let answered = person.answer(channel, &record).await.map_err(|error| error.code())?;
    Ok((answered.decision, session.answer(&answered.reply).unwrap()))
}

#[test]
fn a_disclosure_and_its_receipt_name_each_other() {
    block_on(async {
        let (mut person, ..) = filled().await;
        let (clinic, charity) = (
            Provider::generate("https://clinic.example").unwrap(),
            Provider::generate("https://charity.example").unwrap(),
        );
        let (mut at_clinic, mut clinic_side) = connect(&mut person, &clinic, "clinic").await;
        let (mut at_charity, _) = connect(&mut person, &charity, "charity").await;
        let rule = permission("care", "clinic", "care", &[Action::Read]).obligations([Obligation::Acknowledge]);
        person.apply(rule).await.unwrap();
        let ward = field(&person, "health.ward");
        let ask = Ask::read(name("care"), Basis::CONTRACT, [ward.clone(), name("no-such-field")]);
        let record = clinic_side.ask(&ask).unwrap();
        let answered = person.answer(&mut at_clinic, &record).await.unwrap();
        let research = Ask::read(name("research"), Basis::CONTRACT, [ward.clone()]);
        let refused = person.answer(&mut at_clinic, &clinic_side.ask(&research).unwrap()).await.unwrap();
        // Other rules hold when the receipt is made.
        person.apply(Change::Withdraw(name("care"))).await.unwrap();

        let message = person.receipt_of(&mut at_clinic, answered.entry).await.unwrap();
        let row = person.log().rows()[usize::try_from(answered.entry).unwrap()].clone();
        let Row::Kept(entry) = &row else { panic!("erased") };
        let kept = person.receipts().unwrap().pop().unwrap();
        assert_eq!((kept.entry, kept.receipt.kind), (Some(answered.entry), ReceiptKind::Disclosed));
        assert_eq!((kept.receipt.subject, kept.receipt.policy), (row.leaf(), entry.entry().policy));
        assert_eq!(kept.receipt.fields, Some([ward].into()));
        assert_eq!(kept.receipt.obligations, [Obligation::Acknowledge].into());
        assert_eq!(kept.receipt.keep_until, Some(entry.entry().time.saturating_add_secs(60)));
        let (receipt, _, reply) = clinic_side.acknowledge(&clinic, &message).unwrap();
        assert_eq!(receipt, kept.receipt);
        let kept = person.acknowledged(&mut at_clinic, &reply).await.unwrap();
        assert_eq!((kept.entry, kept.signed.is_acknowledged()), (Some(answered.entry), true));

        // What the clinic holds is in the log, for whoever is shown the leaf.
        let checkpoint = Checkpoint::verify(&person.checkpoint().unwrap(), person.log_key()).unwrap();
        checkpoint.includes(entry, &person.log().prove(answered.entry).unwrap()).unwrap();
        assert_eq!(entry.leaf(), receipt.subject);

        // There is none of what did not leave, nor for somebody else, nor of a permission.
        for number in [refused.entry, refused.entry + 1, person.log().len()] {
            assert_eq!(person.receipt_of(&mut at_clinic, number).await.unwrap_err().code(), "NotFound", "{number}");
        }
        assert_eq!(person.receipt_of(&mut at_charity, answered.entry).await.unwrap_err().code(), "NotFound");
        let of_rule = person.receipt(&mut at_clinic, ReceiptKind::Disclosed, &name("care"), []).await;
        assert_eq!(of_rule.unwrap_err().code(), "NotFound");
    });
}

#[test]
fn whoever_may_do_something_else_reads_nothing_by_it() {
    block_on(async {
        let (mut person, ..) = filled().await;
        let clinic = Provider::generate("https://clinic.example").unwrap();
        let (mut channel, mut session) = connect(&mut person, &clinic, "clinic").await;
        let rest = [Action::Write, Action::Append, Action::Erase, Action::Notify, Action::Profile, Action::Query];
        person.apply(permission("rest", "clinic", "care", &rest)).await.unwrap();
        let ask = Ask::read(name("care"), Basis::CONTRACT, [field(&person, "health.ward")]);
        for action in rest {
            let ask = ask.clone().action(action);
            let (decision, answer) = answered(&mut person, &mut channel, &mut session, &ask).await.unwrap();
            assert!(matches!(decision, Decision::Permit(_)));
            assert_eq!((answer.outcome, answer.values.len()), (2, 0));
        }
    });
}

#[test]
fn what_may_be_asked_once_is_answered_once() {
    block_on(async {
        let (mut person, keepsake, host) = filled().await;
        let provider = Provider::generate("https://clinic.example").unwrap();
        let (mut one, mut one_side) = connect(&mut person, &provider, "clinic").await;
        let (mut two, mut two_side) = connect(&mut person, &provider, "clinic").await;
        person.apply(permission("once", "clinic", "care", &[Action::Read]).limit(1, None)).await.unwrap();
        let secret = Secret::RecoveryPhrase(&keepsake.recovery_phrase);
        let device = Person::locate(host, *person.store()).await.unwrap();
        let mut device = device.unlock(&secret, None).await.unwrap();

        let ward = field(&person, "health.ward");
        let ask = Ask::read(name("care"), Basis::CONTRACT, [ward.clone()]);
        let (decision, answer) = answered(&mut person, &mut one, &mut one_side, &ask).await.unwrap();
        assert!(matches!(decision, Decision::Permit(_)));
        assert_eq!((answer.outcome, answer.values.len()), (2, 1));
        // Another device does not know of it yet: the host tells it, and it decides anew. Asked again here, too.
        let (decision, answer) = answered(&mut device, &mut two, &mut two_side, &ask).await.unwrap();
        assert_eq!(decision.withheld().get(&ward), Some(&Reason::UsageExhausted));
        assert_eq!((answer.outcome, answer.values.len()), (0, 0));
        let (decision, _) = answered(&mut person, &mut one, &mut one_side, &ask).await.unwrap();
        assert_eq!(decision.withheld().get(&ward), Some(&Reason::UsageExhausted));
        let mut device = device.refresh().await.unwrap();

        // Withdrawn and given anew under another id, it is a use of the new one.
        device.apply(Change::Withdraw(name("once"))).await.unwrap();
        device.apply(permission("again", "clinic", "care", &[Action::Read]).limit(1, Some(3_600))).await.unwrap();
        let (decision, _) = answered(&mut device, &mut two, &mut two_side, &ask).await.unwrap();
        assert!(matches!(decision, Decision::Permit(_)));
        let (decision, _) = answered(&mut device, &mut two, &mut two_side, &ask).await.unwrap();
        assert_eq!(decision.withheld().get(&ward), Some(&Reason::UsageExhausted));
    });
}
