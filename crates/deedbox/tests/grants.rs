//! What a person grants, an organisation reads at the person's host: that, as of a signed state, until it is taken back.

#[path = "shared/granted.rs"]
mod granted;
#[path = "shared/meet.rs"]
mod meet;

use std::{collections::BTreeSet, io::Cursor, sync::Arc};

use deedbox::{
    LocalHost,
    exchange::Handover,
    host::{Admission, Config, Host, MemoryStorage, system_clock},
    parts::{
        cbor::{ItemBuf, Limits, Writer},
        connect::Agreement,
        model::{FieldPath, Timestamp},
        record::{GrantScope, Migrations, NewSlot, Record, RecoveryPhrase, SlotType},
    },
    person::{Keepsake, NewFile, Open, Person, Secret, Shared},
    provider::Provider,
    reader::Reader,
};
use granted::{care, granted, permit_all};
use meet::connect;
use pollster::block_on;

const DOCUMENT: &[u8] =
    br#"{"person": {"name": "Maren Holloway", "born": "1971-03-09"}, "health": {"diagnosis": "C50.9", "ward": "7b"}}"#;

type Client = LocalHost<MemoryStorage, fn() -> Timestamp>;
type Box = Person<Open<Client>>;

fn host() -> Client {
    host_at("https://host.example")
}

fn host_at(origin: &str) -> Client {
    let mut config = Config::default();
    config.admission = Admission::Open;
    config.rate.per_second = 1_000_000;
    config.rate.burst = 1_000_000;
    let clock: fn() -> Timestamp = system_clock;
    LocalHost::new(Arc::new(Host::new(MemoryStorage::new(), clock, config)), origin)
}

async fn filled(client: Client) -> (Box, Keepsake) {
    let (mut person, keepsake) = Person::create(client, "a passphrase").await.unwrap();
    person.import(DOCUMENT, "myself").await.unwrap();
    permit_all(&mut person, &["clinic", "charity"]).await;
    (person, keepsake)
}

fn names(records: &[Record]) -> Vec<(&str, &str)> {
    records.iter().map(|record| (record.name(), record.value().as_item().as_str().unwrap())).collect()
}

fn reader<'a>(provider: &'a Provider, agreement: &Agreement, handover: &Handover, host: &Client) -> Reader<'a, Client> {
    provider.reader(agreement, handover, host.clone()).unwrap()
}

fn path(text: &str) -> FieldPath {
    FieldPath::parse(text).unwrap()
}

#[test]
fn a_dataset_is_read_as_it_is_now_until_it_is_taken_back() {
    block_on(async {
        let host = host();
        let (mut person, keepsake) = filled(host.clone()).await;
        let (clinic, charity) = (
            Provider::generate("https://clinic.example").unwrap(),
            Provider::generate("https://charity.example").unwrap(),
        );
        let (mut at_clinic, mut clinic_side) = connect(&mut person, &clinic, "clinic").await;
        let (at_charity, charity_side) = connect(&mut person, &charity, "charity").await;
        let health = Shared::Dataset { title: "health", write: false };
        let (id, handover) = granted(&mut person, &at_clinic, health).await.unwrap();
        let (other, for_charity) = granted(&mut person, &at_charity, health).await.unwrap();

        // It goes through the channel, and only the side it was made for opens it, under its own agreement only.
        let message = at_clinic.hand_over(&handover).unwrap();
        let handover = clinic_side.granted(&message).unwrap();
        assert!(!handover.to_bytes().windows(16).any(|window| window == keepsake.store.as_bytes()));
        let foreign = charity.reader(charity_side.agreement(), &handover, host.clone()).unwrap_err();
        assert_eq!(foreign.code(), "Grant.Rejected");
        let foreign = clinic.reader(charity_side.agreement(), &handover, host.clone()).unwrap_err();
        assert_eq!(foreign.code(), "Grant.UnknownAgreement");

        let mut clinic_reads = reader(&clinic, clinic_side.agreement(), &handover, &host);
        let mut charity_reads = reader(&charity, charity_side.agreement(), &for_charity, &host);
        let first = [("health.diagnosis", "C50.9"), ("health.ward", "7b")];
        assert_eq!(names(&clinic_reads.read().await.unwrap()), first);
        assert_eq!(names(&charity_reads.read().await.unwrap()), first);
        person.import(br#"{"health": {"ward": "9a"}}"#, "myself").await.unwrap();
        assert_eq!(names(&clinic_reads.read().await.unwrap())[1], ("health.ward", "9a"));
        let unwritten = clinic_reads.write(&[]).await.unwrap_err();
        assert_eq!(unwritten.code(), "Seal.NoKey");

        // Taken back from one: the host refuses it, what it holds opens nothing new, the other goes on with new keys.
        let stay = person.revoke(&id).await.unwrap();
        assert_eq!((stay.len(), stay[0].0, person.grants().unwrap().len()), (1, other, 1));
        assert_eq!(clinic_reads.read().await.unwrap_err().code(), "Host.Revoked");
        assert_eq!(charity_reads.read().await.unwrap_err().code(), "Head.UnknownKey");
        let mut charity_reads = reader(&charity, charity_side.agreement(), &stay[0].1, &host);
        assert_eq!(names(&charity_reads.read().await.unwrap())[1], ("health.ward", "9a"));
        // The revoked keys at the charity's door: the new state is not theirs.
        let stolen = Handover { capability: stay[0].1.capability, ..handover };
        assert_eq!(
            clinic.reader(clinic_side.agreement(), &stolen, host.clone()).unwrap().read().await.unwrap_err().code(),
            "Host.Unauthenticated"
        );
        assert_eq!(person.revoke(&id).await.unwrap_err().code(), "NotFound");
        // Made, filled, three times ruled, connected twice, twice decided and granted, filled, taken back.
        assert_eq!(person.log().len(), 1 + 1 + 3 + 2 + 2 * 2 + 1 + 1);
    });
}

#[test]
fn single_fields_are_read_without_their_neighbours() {
    block_on(async {
        let host = host();
        let (mut person, _) = filled(host.clone()).await;
        let clinic = Provider::generate("https://clinic.example").unwrap();
        let (channel, session) = connect(&mut person, &clinic, "clinic").await;
        let ward = [path("health.ward")];
        let (id, handover) = granted(&mut person, &channel, Shared::Fields(&ward)).await.unwrap();
        assert!(matches!(&person.grants().unwrap()[0].scope, GrantScope::Objects(objects) if objects.len() == 1));
        let mut reads = reader(&clinic, session.agreement(), &handover, &host);
        assert_eq!(names(&reads.read().await.unwrap()), [("health.ward", "7b")]);
        // A neighbour changes, then the field itself.
        person.import(br#"{"health": {"diagnosis": "C50.4"}}"#, "myself").await.unwrap();
        assert_eq!(names(&reads.read().await.unwrap()), [("health.ward", "7b")]);
        person.import(br#"{"health": {"ward": "9a"}}"#, "myself").await.unwrap();
        assert_eq!(names(&reads.read().await.unwrap()), [("health.ward", "9a")]);
        assert_eq!(reads.write(&[]).await.unwrap_err().code(), "Seal.NoKey");
        assert!(person.revoke(&id).await.unwrap().is_empty());
        assert_eq!(reads.read().await.unwrap_err().code(), "Host.Revoked");

        let of_two = [path("health.ward"), path("person.name")];
        assert_eq!(granted(&mut person, &channel, Shared::Fields(&of_two)).await.unwrap_err().code(), "NotFound");
        let own = Shared::Dataset { title: "deedbox:log", write: false };
        assert_eq!(granted(&mut person, &channel, own).await.unwrap_err().code(), "NotFound");
        let over = person.grant(&channel, Shared::Fields(&ward), &care(), Timestamp::from_secs(1)).await.unwrap_err();
        assert_eq!(over.code(), "Grant.Expired");
        assert!(person.grants().unwrap().is_empty());
    });
}

#[test]
fn new_keys_name_those_who_need_them_until_they_were_sent() {
    block_on(async {
        let host = host();
        let (mut person, keepsake) = filled(host.clone()).await;
        let clinic = Provider::generate("https://clinic.example").unwrap();
        let (channel, session) = connect(&mut person, &clinic, "clinic").await;
        let health = Shared::Dataset { title: "health", write: false };
        let (id, first) = granted(&mut person, &channel, health).await.unwrap();
        let name = [path("person.name")];
        let (other, _) = granted(&mut person, &channel, Shared::Fields(&name)).await.unwrap();
        let outdated = |person: &Box| person.outdated_grants().unwrap().iter().map(|one| one.id).collect::<Vec<_>>();
        assert!(outdated(&person).is_empty());

        // An erasure concerns one of them.
        person.erase(&[path("health.diagnosis")]).await.unwrap();
        assert_eq!(outdated(&person), [id]);
        assert_eq!(person.outdated_grants().unwrap()[0].party.as_str(), "clinic");
        let mut reads = reader(&clinic, session.agreement(), &first, &host);
        assert_eq!(reads.read().await.unwrap_err().code(), "Head.UnknownKey");
        // The device breaks here: another one knows as well.
        let secret = Secret::RecoveryPhrase(&keepsake.recovery_phrase);
        let locked = Person::locate(host.clone(), keepsake.store).await.unwrap();
        let mut person = locked.unlock(&secret, None).await.unwrap();
        assert_eq!(outdated(&person), [id]);
        let again = person.handover(&id).await.unwrap();
        let mut reads = reader(&clinic, session.agreement(), &again, &host);
        assert_eq!(names(&reads.read().await.unwrap()), [("health.ward", "7b")]);
        person.handed_over(&[id, other]).await.unwrap();
        assert!(outdated(&person).is_empty());

        // A new root concerns all.
        let phrase = RecoveryPhrase::parse(&keepsake.recovery_phrase).unwrap();
        let slot = *person.slots().iter().find(|slot| slot.slot_type() == SlotType::Phrase).unwrap().id();
        person.rotate_root(&[], &[(slot, NewSlot::Phrase(&phrase))]).await.unwrap();
        let mut all = outdated(&person);
        all.sort();
        let mut both = vec![id, other];
        both.sort();
        assert_eq!(all, both);
        for id in all {
            let handover = person.handover(&id).await.unwrap();
            let mut reads = reader(&clinic, session.agreement(), &handover, &host);
            assert_eq!(reads.read().await.unwrap().len(), 1);
            person.handed_over(&[id]).await.unwrap();
        }
        assert!(outdated(&person).is_empty());
    });
}

#[test]
fn a_granted_record_is_read_with_its_file() {
    block_on(async {
        let host = host();
        let (mut person, _) = filled(host.clone()).await;
        let clinic = Provider::generate("https://clinic.example").unwrap();
        let (channel, session) = connect(&mut person, &clinic, "clinic").await;
        let (scan, content) = (path("health.scan"), vec![7; 1_300_000]);
        let file = |path| NewFile { path, title: "scan.png", media: Some("image/png"), source: "myself" };
        person.store_file(&file(&scan), &mut content.as_slice()).await.unwrap();
        person.store_file(&file(&path("other.scan")), &mut content.as_slice()).await.unwrap();
        permit_all(&mut person, &["clinic", "charity"]).await;
        let fields = [scan.clone()];
        for what in [Shared::Fields(&fields), Shared::Dataset { title: "health", write: false }] {
            let (id, handover) = granted(&mut person, &channel, what).await.unwrap();
            let mut reads = reader(&clinic, session.agreement(), &handover, &host);
            let records = reads.read().await.unwrap();
            let record = records.iter().find(|record| record.name() == "health.scan").unwrap();
            let mut file = reads.file(record).await.unwrap().unwrap();
            let mut read = Vec::new();
            file.copy_to(&mut read).await.unwrap();
            assert!(read == content && file.media() == Some("image/png"));
            if let Some(other) = records.iter().find(|record| record.name() == "health.ward") {
                assert!(reads.file(other).await.unwrap().is_none());
            }
            person.revoke(&id).await.unwrap();
            assert_eq!(reads.file(record).await.unwrap_err().code(), "File.Host.Revoked");
        }
    });
}

#[test]
fn what_a_connection_writes_the_person_finds_and_both_can_be_moved() {
    block_on(async {
        let host = host();
        let (mut person, keepsake) = filled(host.clone()).await;
        let clinic = Provider::generate("https://clinic.example").unwrap();
        let (channel, session) = connect(&mut person, &clinic, "clinic").await;
        let health = Shared::Dataset { title: "health", write: true };
        let (id, handover) = granted(&mut person, &channel, health).await.unwrap();
        let mut writes = reader(&clinic, session.agreement(), &handover, &host);
        let record = |name, text: &str| {
            let value = [&[0x60 | u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
            Record::new(name, 1, name, ItemBuf::parse(&value, &Limits::new(64)).unwrap()).unwrap()
        };
        assert_eq!(writes.write(&[record("health.ward", "9a")]).await.unwrap_err().code(), "Seal.NotAccepted");
        let _ = writes.read().await.unwrap();
        writes.write(&[record("health.ward", "9a"), record("health.next", "Monday")]).await.unwrap();

        // The person, who has another state, takes that over, and what both wrote stands side by side until the person chooses.
        let imported = person.import(br#"{"health": {"ward": "1"}}"#, "myself").await.unwrap();
        assert_eq!(imported.conflicts, [path("health.ward")]);
        assert!(person.values().unwrap().iter().any(|value| value.path == path("health.next")));
        let (_, both) = person.siblings().unwrap().pop().unwrap();
        let said: BTreeSet<&str> = both.iter().filter_map(|one| one.value.as_item().as_str()).collect();
        assert_eq!(said, BTreeSet::from(["1", "9a"]));
        person.keep(both.iter().find(|one| one.value.as_item().as_str() == Some("1")).unwrap()).await.unwrap();
        let (value, _) = person.value(&path("health.ward")).unwrap();
        assert_eq!((value.as_item().as_str(), person.siblings().unwrap().len()), (Some("1"), 0));
        let late = writes.write(&[record("health.ward", "2")]).await.unwrap_err();
        assert_eq!(late.code(), "Host.Conflict");

        // What it writes that is no field disturbs nobody: it is passed over, named, and taken out when the person says so. A
        // field of its own is found by its path.
        let _ = writes.read().await.unwrap();
        writes.write(&[record("no..path", "?")]).await.unwrap();
        let mut person = person.refresh().await.unwrap();
        assert_eq!(person.value(&path("health.next")).unwrap().0.as_item().as_str(), Some("Monday"));
        let before = person.values().unwrap().len();
        let junk: Vec<&str> = person.unreadable().iter().map(|(title, _)| *title).collect();
        assert_eq!(junk, ["health"]);
        assert_eq!(person.discard_unreadable().await.unwrap(), 1);
        person.purge(&[path("health.next")]).await.unwrap();
        assert_eq!((person.unreadable().len(), person.values().unwrap().len()), (0, before - 1));

        // At another host the grant is handed over again, and means the same.
        let elsewhere = host_at("https://other.example");
        let mut bundle = Vec::new();
        person.export(&mut bundle).await.unwrap();
        let secret = Secret::RecoveryPhrase(&keepsake.recovery_phrase);
        let mut person = Person::import_bundle(elsewhere.clone(), &mut Cursor::new(&bundle), &secret).await.unwrap();
        // Its holder is let in there, but the heads it has seen did not come along: it needs the handover.
        let mut knows_where = reader(&clinic, session.agreement(), &handover, &elsewhere);
        assert_eq!(knows_where.read().await.unwrap_err().code(), "Head.Fork");
        assert_eq!(person.outdated_grants().unwrap().iter().map(|granted| granted.id).collect::<Vec<_>>(), [id]);
        let handover = person.handover(&id).await.unwrap();
        person.handed_over(&[id]).await.unwrap();
        assert!(person.outdated_grants().unwrap().is_empty());
        let mut reads = reader(&clinic, session.agreement(), &handover, &elsewhere);
        assert_eq!(names(&reads.read().await.unwrap())[1], ("health.ward", "1"));
        person.revoke(&id).await.unwrap();
        assert_eq!(reads.read().await.unwrap_err().code(), "Host.Revoked");
    });
}

#[test]
fn a_reader_migrates_what_it_reads_and_sees_what_the_person_migrated() {
    fn to_list(value: &ItemBuf) -> Option<ItemBuf> {
        let mut list = Writer::new();
        list.array(1).text(value.as_item().as_str()?);
        ItemBuf::parse(list.as_slice(), &Limits::new(2_000)).ok()
    }
    block_on(async {
        let host = host();
        let (mut person, _) = filled(host.clone()).await;
        let clinic = Provider::generate("https://clinic.example").unwrap();
        let (at_clinic, side) = connect(&mut person, &clinic, "clinic").await;
        let health = Shared::Dataset { title: "health", write: false };
        let (_, whole) = granted(&mut person, &at_clinic, health).await.unwrap();
        let ward = path("health.ward");
        let fields = Shared::Fields(std::slice::from_ref(&ward));
        let (_, part) = granted(&mut person, &at_clinic, fields).await.unwrap();
        let mut migrations = Migrations::new();
        migrations.register("health.ward", 1, &[to_list]).unwrap();
        let migrations = Arc::new(migrations);
        let read = async |handover: &Handover, knows: bool| {
            let mut reads = reader(&clinic, side.agreement(), handover, &host);
            if knows {
                reads = reads.with_migrations(Arc::clone(&migrations));
            }
            let records = reads.read().await.unwrap();
            let ward = records.iter().find(|record| record.name() == "health.ward").unwrap();
            (ward.schema().1, ward.value().as_item().as_array().is_some())
        };
        for handover in [&whole, &part] {
            assert_eq!((read(handover, false).await, read(handover, true).await), ((1, false), (2, true)));
        }
        let mut person = person.with_migrations(Arc::clone(&migrations));
        assert_eq!(person.migrate().await.unwrap(), 1);
        for handover in [&whole, &part] {
            assert_eq!((read(handover, false).await, read(handover, true).await), ((2, true), (2, true)));
        }
    });
}
