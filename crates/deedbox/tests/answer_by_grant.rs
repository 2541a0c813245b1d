//! An ask answered with grants: what the rules permit can be read at the host, and not a field more or a moment longer.

#[path = "shared/local.rs"]
mod local;
#[path = "shared/meet.rs"]
mod meet;

use deedbox::{
    exchange::Handover,
    host::{MemoryStorage, system_clock},
    parts::{
        audit::{Entry, EntryKind, Row},
        consent::{
            Action, Ask, Basis, Bounds, Change, PartyKind, Permission, Reason, Regime, Selector, Sensitivity, To,
            Vocabulary,
        },
        model::{FieldPath, Name, Timestamp},
    },
    person::{Open, Person, Shared, category_of},
    provider::{Provider, Session},
};
use local::{Local, serve};
use meet::connect;
use pollster::block_on;

const DOCUMENT: &[u8] = br#"{"me": {"name": "Maren", "phone": "+44"}, "health": {"ward": "7b", "diagnosis": "C50.9"}}"#;

type Client = Local<MemoryStorage>;
type Box = Person<Open<Client>>;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn names(texts: &[&str]) -> Vec<Name> {
    texts.iter().map(|text| name(text)).collect()
}

fn in_secs(secs: u64) -> Timestamp {
    system_clock().saturating_add_secs(secs)
}

async fn filled() -> (Box, Client) {
    let client = serve(MemoryStorage::new());
    let (mut person, _) = Person::create(client.clone(), "a passphrase").await.unwrap();
    person.import(DOCUMENT, "myself").await.unwrap();
    let words = Vocabulary::builder("rules", 1, Regime::EU).purpose("care", &[]).party("clinic", PartyKind::PUBLIC);
    person.adopt(words, |_| Sensitivity::ORDINARY).await.unwrap();
    (person, client)
}

fn permission(id: &str, fields: &[&str], secs: u64) -> Permission {
    Permission::new(name(id), To::Party(name("clinic")), name("care"), Basis::PUBLIC_TASK)
        .actions(Action::Read)
        .fields(Selector::of(names(fields)))
        .between(Timestamp::from_secs(0), in_secs(secs))
        .retention(60)
}

fn ask(fields: &[&str]) -> Ask {
    Ask::read(name("care"), Basis::PUBLIC_TASK, names(fields))
}

async fn read(
    provider: &Provider,
    session: &Session,
    handover: &Handover,
    host: &Client,
) -> Result<Vec<String>, String> {
    let mut reader = provider.reader(session.agreement(), handover, host.clone()).map_err(|error| error.code())?;
    let records = reader.read().await.map_err(|error| error.code())?;
    Ok(records.iter().map(|record| record.name().to_owned()).collect())
}

fn entries(person: &Box) -> Vec<Entry> {
    let kept = |row: &Row| match row {
        Row::Kept(entry) => Some(entry.entry().clone()),
        Row::Erased(_) => None,
    };
    person.log().rows().iter().filter_map(kept).collect()
}

#[test]
fn what_is_permitted_can_be_read_at_the_host_until_it_is_not() {
    block_on(async {
        let (mut person, host) = filled().await;
        let clinic = Provider::generate("https://clinic.example").unwrap();
        let (mut channel, mut session) = connect(&mut person, &clinic, "clinic").await;
        person.apply(permission("care", &["me.name", "health.ward"], 500)).await.unwrap();
        let wanted = ask(&["health.diagnosis", "health.ward", "me.name"]);
        let record = session.ask(&wanted).unwrap();
        let log = person.log().len();
        let standing = person.answer_by_grant(&mut channel, &record, in_secs(3_600)).await.unwrap();
        // Two datasets, one grant each, no neighbour, and no longer than the permission.
        assert_eq!((standing.handovers.len(), person.grants().unwrap().len()), (2, 2));
        assert_eq!(standing.decision.withheld()[&name("health.diagnosis")], Reason::NoPermission);
        assert!(standing.until <= in_secs(500));
        let mut got = Vec::new();
        for (_, handover) in &standing.handovers {
            got.extend(read(&clinic, &session, handover, &host).await.unwrap());
        }
        got.sort();
        assert_eq!(got, ["health.ward", "me.name"]);
        let new = &entries(&person)[usize::try_from(log).unwrap()..];
        assert_eq!(
            new.iter().map(|entry| entry.kind).collect::<Vec<_>>(),
            [EntryKind::Decision, EntryKind::Rule, EntryKind::Rule]
        );
        assert_eq!((new[0].seq, new[0].released.len()), (standing.entry, 2));

        // Withdrawn, it is over.
        let applied = person.apply(Change::Withdraw(name("care"))).await.unwrap();
        assert_eq!(applied.revoked.len(), 2);
        for (_, handover) in &standing.handovers {
            assert_eq!(read(&clinic, &session, handover, &host).await, Err("Host.Revoked".to_owned()));
        }
        // And asked again there is nothing, which the log has.
        let record = session.ask(&wanted).unwrap();
        let standing = person.answer_by_grant(&mut channel, &record, in_secs(3_600)).await.unwrap();
        assert!(standing.handovers.is_empty() && person.grants().unwrap().is_empty());
        assert_eq!(standing.decision.withheld()[&name("me.name")], Reason::Withdrawn);
        assert_eq!(entries(&person).last().unwrap().seq, standing.entry);
    });
}

#[test]
fn more_objects_than_one_grant_names_take_several() {
    block_on(async {
        let (mut person, host) = filled().await;
        let values: Vec<String> = (0..300).map(|n| format!("\"value {n}\"")).collect();
        let document = format!("{{\"me\": {{\"papers\": [{}]}}}}", values.join(", "));
        person.import(document.as_bytes(), "myself").await.unwrap();
        let words = Vocabulary::builder("rules", 2, Regime::EU).purpose("care", &[]).party("clinic", PartyKind::PUBLIC);
        person.adopt(words, |_| Sensitivity::ORDINARY).await.unwrap();
        let clinic = Provider::generate("https://clinic.example").unwrap();
        let (mut channel, mut session) = connect(&mut person, &clinic, "clinic").await;
        person.apply(permission("care", &["me.papers"], 500)).await.unwrap();
        let record = session.ask(&ask(&["me.papers"])).unwrap();
        let answered = person.answer_by_grant(&mut channel, &record, in_secs(3_600)).await.unwrap();
        assert_eq!(answered.handovers.len(), 2);
        let mut got = 0;
        for (_, handover) in &answered.handovers {
            got += read(&clinic, &session, handover, &host).await.unwrap().len();
        }
        assert_eq!(got, 300);
    });
}

#[test]
fn what_is_counted_or_bounded_is_not_granted() {
    block_on(async {
        let (mut person, _) = filled().await;
        let clinic = Provider::generate("https://clinic.example").unwrap();
        let (mut channel, mut session) = connect(&mut person, &clinic, "clinic").await;
        let recent = Bounds { from: Some(Timestamp::from_secs(1)), until: None };
        person.apply(permission("once", &["me.name"], 500).limit(1, None)).await.unwrap();
        person.apply(permission("recent", &["me.phone"], 500).records(recent)).await.unwrap();
        person.apply(permission("care", &["health.ward"], 500)).await.unwrap();
        for field in ["me.name", "me.phone"] {
            let (log, grants) = (person.log().len(), person.grants().unwrap().len());
            let record = session.ask(&ask(&["health.ward", field])).unwrap();
            let refused = person.answer_by_grant(&mut channel, &record, in_secs(3_600)).await;
            assert_eq!(refused.unwrap_err().code(), "Limited", "{field}");
            let path = [FieldPath::parse(field).unwrap()];
            let refused = person.grant(&channel, Shared::Fields(&path), &ask(&[]), in_secs(3_600)).await;
            assert_eq!(refused.unwrap_err().code(), "Limited", "{field}");
            // The log has both, and that nothing came of them.
            assert_eq!((person.log().len(), person.grants().unwrap().len()), (log + 2, grants));
            let new = &entries(&person)[usize::try_from(log).unwrap()..];
            assert!(new.iter().all(|entry| entry.stopped && entry.released.contains(&field.to_owned())));
        }
        let before = (person.log().len(), person.grants().unwrap().len());
        let record = session.ask(&ask(&["health.ward"]).action(Action::Write)).unwrap();
        let refused = person.answer_by_grant(&mut channel, &record, in_secs(3_600)).await;
        assert_eq!(refused.unwrap_err().code(), "Unexpected");
        let record = session.ask(&ask(&["health.ward"])).unwrap();
        let refused = person.answer_by_grant(&mut channel, &record, system_clock()).await;
        assert_eq!(refused.unwrap_err().code(), "Grant.Expired");
        assert_eq!((person.log().len(), person.grants().unwrap().len()), before);
        // The one that is neither goes, and the use of the other was not spent.
        let record = session.ask(&ask(&["health.ward"])).unwrap();
        let standing = person.answer_by_grant(&mut channel, &record, in_secs(3_600)).await.unwrap();
        assert_eq!(standing.handovers.len(), 1);
        let record = session.ask(&ask(&["me.name"])).unwrap();
        let answered = person.answer(&mut channel, &record).await.unwrap();
        assert_eq!(session.answer(&answered.reply).unwrap().values.len(), 1);
    });
}

#[test]
fn what_the_person_grants_unasked_the_rules_must_permit_too() {
    block_on(async {
        let (mut person, host) = filled().await;
        let clinic = Provider::generate("https://clinic.example").unwrap();
        let (channel, session) = connect(&mut person, &clinic, "clinic").await;
        let [ward, diagnosis] = ["health.ward", "health.diagnosis"].map(|path| FieldPath::parse(path).unwrap());
        let (one, both) = ([ward.clone()], [ward, diagnosis]);
        let (one, both) = (Shared::Fields(&one), Shared::Fields(&both));
        let whole = |write| Shared::Dataset { title: "health", write };
        let care = ask(&[]);

        // No permission: nothing is granted, and the log says that it was tried.
        let log = person.log().len();
        let refused = person.grant(&channel, one, &care, in_secs(3_600)).await.unwrap();
        assert_eq!(refused.decision.withheld()[&name("health.ward")], Reason::NoPermission);
        assert!(refused.handovers.is_empty() && person.grants().unwrap().is_empty());
        assert_eq!((person.log().len(), refused.entry), (log + 1, log));

        // One field: it for as long, not with its neighbour, not for another purpose or on another basis.
        person.apply(permission("ward", &["health.ward"], 500)).await.unwrap();
        let granted = person.grant(&channel, one, &care, in_secs(3_600)).await.unwrap();
        assert!(granted.until <= in_secs(500));
        assert_eq!(read(&clinic, &session, &granted.handovers[0].1, &host).await.unwrap(), ["health.ward"]);
        let other_basis = Ask::read_all(name("care"), Basis::CONTRACT);
        let other_purpose = Ask::read_all(name("research"), Basis::PUBLIC_TASK);
        for (what, ask) in [(both, &care), (whole(false), &care), (one, &other_basis), (one, &other_purpose)] {
            let refused = person.grant(&channel, what, ask, in_secs(3_600)).await.unwrap();
            assert!(refused.handovers.is_empty());
        }
        // Every field there is, which is not yet every field that may come; and then those too, but not to write them.
        person.apply(permission("both", &["health.ward", "health.diagnosis"], 500)).await.unwrap();
        assert_eq!(person.grant(&channel, both, &care, in_secs(3_600)).await.unwrap().handovers.len(), 1);
        assert!(person.grant(&channel, whole(false), &care, in_secs(3_600)).await.unwrap().handovers.is_empty());
        let category = category_of("health").unwrap();
        person.apply(permission("whole", &[category.as_str()], 500)).await.unwrap();
        assert_eq!(person.grant(&channel, whole(false), &care, in_secs(3_600)).await.unwrap().handovers.len(), 1);
        let refused = person.grant(&channel, whole(true), &care, in_secs(3_600)).await.unwrap();
        assert!(refused.handovers.is_empty());
        assert_eq!(refused.decision.withheld()[&name("health.ward")], Reason::ActionNotCovered);
        // Reading alone was permitted, and nothing came of that either.
        let [.., reading, writing] = &entries(&person)[..] else { panic!("two decisions") };
        assert_eq!((reading.stopped, reading.released.len(), writing.released.len()), (true, 2, 0));
        assert_eq!(person.grants().unwrap().len(), 3);
    });
}
