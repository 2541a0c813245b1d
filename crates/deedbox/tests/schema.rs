//! What an older version of a schema wrote, read today; and the bytes it wrote, left as they are.

#[path = "shared/local.rs"]
mod local;

use std::sync::Arc;

use deedbox::{
    host::MemoryStorage,
    parts::{
        cbor::{ItemBuf, Limits, Writer},
        model::FieldPath,
        record::{Bundle, Migrations, RecoveryPhrase, Unlock},
    },
    person::{Keepsake, Open, Person, Secret},
};
use local::{Local, serve};
use pollster::block_on;

type Client = Local<MemoryStorage>;

fn host() -> Client {
    serve(MemoryStorage::new())
}

/// Version 1 held a text, version 2 holds a list of texts.
fn to_list(value: &ItemBuf) -> Option<ItemBuf> {
    let mut list = Writer::new();
    list.array(1).text(value.as_item().as_str()?);
    ItemBuf::parse(list.as_slice(), &Limits::new(2_000)).ok()
}

fn lists(schema: &str) -> Arc<Migrations> {
    let mut migrations = Migrations::new();
    migrations.register(schema, 1, &[to_list]).unwrap();
    Arc::new(migrations)
}

fn path(text: &str) -> FieldPath {
    FieldPath::parse(text).unwrap()
}

/// The heads of all datasets: as long as they are the same, not a byte of an object has changed.
async fn heads(person: &Person<Open<Client>>, keepsake: &Keepsake) -> Vec<Vec<u8>> {
    let mut bundle = Vec::new();
    person.export(&mut bundle).await.unwrap();
    let bundle = Bundle::parse(&bundle).unwrap();
    let phrase = RecoveryPhrase::parse(&keepsake.recovery_phrase).unwrap();
    let root = bundle.header().unlock(bundle.header().slots()[1].id(), &Unlock::Phrase(&phrase)).unwrap();
    bundle.verify(&root).unwrap().datasets().iter().map(|dataset| dataset.head().to_vec()).collect()
}

#[test]
fn a_value_of_version_one_is_read_as_version_two_everywhere() {
    block_on(async {
        let host = host();
        let (mut person, keepsake) = Person::create(host.clone(), "a passphrase").await.unwrap();
        person.import(br#"{"me": {"telephone": "117", "name": "Maren"}}"#, "myself").await.unwrap();
        let before = heads(&person, &keepsake).await;
        let first = person.value(&path("me.telephone")).unwrap().0;
        assert_eq!(first.as_item().as_str(), Some("117"));

        let locked = Person::locate(host, keepsake.store).await.unwrap();
        let unlocked = locked.unlock(&Secret::RecoveryPhrase(&keepsake.recovery_phrase), None).await.unwrap();
        let mut newer = unlocked.with_migrations(lists("me.telephone"));
        let expected = to_list(&first).unwrap();
        let (value, provenance) = newer.value(&path("me.telephone")).unwrap();
        assert_eq!((&value, provenance.unwrap().source()), (&expected, &b"myself"[..]));
        let values = newer.values().unwrap();
        let found = values.iter().find(|value| value.path == path("me.telephone")).unwrap();
        assert_eq!(found.value, expected);
        let portable = newer.export_portable().unwrap();
        let field = portable.fields().iter().find(|field| field.path() == "me.telephone").unwrap();
        assert_eq!(field.value(), &expected);
        assert_eq!(newer.value(&path("me.name")).unwrap().0.as_item().as_str(), Some("Maren"));
        // Nothing was written by reading it.
        assert_eq!(heads(&newer, &keepsake).await, before);

        // It stays so after a refresh, and in a dataset that is made now.
        newer.import(br#"{"work": {"telephone": "118"}}"#, "myself").await.unwrap();
        let newer = newer.refresh().await.unwrap();
        assert_eq!(newer.value(&path("me.telephone")).unwrap().0, expected);
        let mut newer = newer.with_migrations(lists("work.telephone"));
        assert_eq!(newer.value(&path("work.telephone")).unwrap().0.as_item().as_array().unwrap().len(), 1);
        newer.import(br#"{"home": {"telephone": "119"}}"#, "myself").await.unwrap();
        assert_eq!(newer.with_migrations(lists("home.telephone")).values().unwrap().len(), 4);
    });
}

#[test]
fn what_can_not_be_read_as_the_newest_version_is_said_so_and_not_replaced() {
    block_on(async {
        let (mut person, keepsake) = Person::create(host(), "a passphrase").await.unwrap();
        person.import(br#"{"me": {"telephone": 117}}"#, "myself").await.unwrap();
        let before = heads(&person, &keepsake).await;
        let code = |person: &Person<Open<Client>>| person.value(&path("me.telephone")).unwrap_err().code();
        let person = person.with_migrations(lists("me.telephone"));
        assert_eq!(code(&person), "Payload.Migration");
        let known = |oldest, steps: &[fn(&ItemBuf) -> Option<ItemBuf>]| {
            let mut migrations = Migrations::new();
            migrations.register("me.telephone", oldest, steps).unwrap();
            Arc::new(migrations)
        };
        let person = person.with_migrations(known(2, &[]));
        assert_eq!(code(&person), "Payload.OlderSchema");
        let mut person = person.with_migrations(known(0, &[]));
        assert_eq!(code(&person), "Payload.NewerSchema");
        let written = person.import(br#"{"me": {"telephone": 118}}"#, "myself").await.unwrap_err();
        assert_eq!(written.code(), "Payload.NewerSchema");
        let mut person = person.with_migrations(Arc::default());
        assert_eq!(heads(&person, &keepsake).await, before);
        assert_eq!(person.value(&path("me.telephone")).unwrap().0.as_item().as_u64(), Some(117));
        person.import(br#"{"me": {"telephone": 118}}"#, "myself").await.unwrap();
    });
}

#[test]
fn what_was_migrated_is_written_once_and_read_so_by_whoever_knows_no_migration() {
    block_on(async {
        let host = host();
        let (mut person, keepsake) = Person::create(host.clone(), "a passphrase").await.unwrap();
        person.import(br#"{"me": {"telephone": "117", "name": "Maren"}}"#, "myself").await.unwrap();
        let (first, provenance) = person.value(&path("me.telephone")).unwrap();
        let mut person = person.with_migrations(lists("me.telephone"));
        assert_eq!(person.migrate().await.unwrap(), 1);
        let written = heads(&person, &keepsake).await;
        assert_eq!((person.migrate().await.unwrap(), heads(&person, &keepsake).await), (0, written));

        let locked = Person::locate(host, keepsake.store).await.unwrap();
        let unlocked = locked.unlock(&Secret::RecoveryPhrase(&keepsake.recovery_phrase), None).await.unwrap();
        assert_eq!(unlocked.value(&path("me.telephone")).unwrap(), (to_list(&first).unwrap(), provenance));
        assert_eq!(unlocked.value(&path("me.name")).unwrap().0.as_item().as_str(), Some("Maren"));
        // It is of the newest version: nobody migrates it twice.
        let again = unlocked.with_migrations(lists("me.telephone"));
        assert_eq!(again.value(&path("me.telephone")).unwrap().0, to_list(&first).unwrap());
    });
}

#[test]
fn nothing_is_migrated_while_one_value_refuses() {
    block_on(async {
        let (mut person, keepsake) = Person::create(host(), "a passphrase").await.unwrap();
        person.import(br#"{"a": {"telephone": "116"}, "me": {"telephone": 117}}"#, "myself").await.unwrap();
        let before = heads(&person, &keepsake).await;
        let mut both = Migrations::new();
        both.register("a.telephone", 1, &[to_list]).unwrap().register("me.telephone", 1, &[to_list]).unwrap();
        let mut person = person.with_migrations(Arc::new(both));
        assert_eq!(person.migrate().await.unwrap_err().code(), "Payload.Migration");
        let person = person.with_migrations(Arc::default());
        assert_eq!(heads(&person, &keepsake).await, before);
    });
}
