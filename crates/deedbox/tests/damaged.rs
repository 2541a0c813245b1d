//! Somebody who was granted to write a dataset leaves there what no head of it stands for: the person is told, keeps what opens,
//! and is locked out of nothing.

#[path = "shared/granted.rs"]
mod granted;
#[path = "shared/local.rs"]
mod local;
#[path = "shared/meet.rs"]
mod meet;

use std::sync::Arc;

use deedbox::{
    host::{MemoryStorage, Storage as _},
    parts::{
        audit::{EntryKind, Row},
        cbor::{Limits, Order, Writer, read},
        cose::{LocalSigner, sha256, sign1},
        model::{DatasetId, FieldPath, ObjectId, StoreId},
        store::{Commit, Cursor, HeadHash, Limit, Mode, Page, Part, Put, Quota},
    },
    person::{Keepsake, NewFile, Open, Person, Pins, Secret, Shared},
    provider::Provider,
};
use deedbox_testkit::rng::SeededRng;
use granted::{granted, permit_all};
use local::{Local, serve};
use meet::connect;
use pollster::block_on;

type Client = Local<Arc<MemoryStorage>>;
type Box = Person<Open<Client>>;

const DOCUMENT: &[u8] =
    br#"{"person": {"name": "Maren Holloway"}, "health": {"diagnosis": "C50.9", "ward": "7b", "bed": "2"}}"#;

fn path(text: &str) -> FieldPath {
    FieldPath::parse(text).unwrap()
}

/// What a host takes from whoever may write: a head with the right number, by a key of their own, over bytes that are no object.
async fn damage(storage: &MemoryStorage, store: StoreId, dataset: DatasetId, objects: &[ObjectId]) {
    let before = storage.get(store, dataset, objects).await.unwrap();
    let old = sign1::Document::parse(&before.head.body).unwrap();
    let claims = read(old.peek().payload(), Order::Canonical, &Limits::new(1_024)).unwrap();
    let seq = before.head.seq.next().unwrap();
    let mut payload = Writer::new();
    payload.map(|map| {
        for (key, value) in claims.as_map().unwrap().iter() {
            let key = i64::try_from(key.as_u64().unwrap()).unwrap();
            map.int(key, |w| match key {
                3 => {
                    w.uint(seq.get());
                }
                4 => {
                    w.bytes(&before.head.hash.0);
                }
                _ => {
                    w.item(value);
                }
            });
        }
    });
    let signer = LocalSigner::generate(&mut SeededRng::new(6));
    let head = sign1::document(&signer, b"deedbox/1 head\0", payload.as_slice()).unwrap();
    let junk = [1_u8; 80];
    let put = |object: &ObjectId| Put { object: *object, seq, kind: 1, body_hash: sha256(&junk), body: &junk };
    let puts: Vec<Put<'_>> = objects.iter().map(put).collect();
    let (expect, hash) = (Some(before.head.hash), HeadHash(sha256(&head)));
    let part = Part { dataset, expect, seq, hash, head: &head, mode: Mode::Next, puts: &puts, removes: &[] };
    let commit = Commit { parts: &[part], mail: &[], header: None, quota: &Quota::default() };
    let _ = storage.commit(store, &commit).await.unwrap();
    assert_eq!(storage.get(store, dataset, &[]).await.unwrap().head.seq, seq);
}

fn alarms(person: &Box) -> usize {
    let is_alarm = |row: &&Row| matches!(row, Row::Kept(kept) if kept.entry().kind == EntryKind::Alarm);
    person.log().rows().iter().filter(is_alarm).count()
}

async fn open(client: &Client, keepsake: &Keepsake, pins: Option<&Pins>) -> Result<Box, String> {
    let locked = Person::locate(client.clone(), keepsake.store).await.unwrap();
    let secret = Secret::RecoveryPhrase(&keepsake.recovery_phrase);
    locked.unlock(&secret, pins).await.map_err(|error| error.code())
}

#[test]
fn a_dataset_that_its_writer_damaged_locks_nobody_out_and_what_opens_is_kept() {
    block_on(async {
        let storage = Arc::new(MemoryStorage::new());
        let host = serve(Arc::clone(&storage));
        let (mut person, keepsake) = Person::create(host.clone(), "a passphrase").await.unwrap();
        person.import(DOCUMENT, "myself").await.unwrap();
        let scan = path("health.scan");
        let file = NewFile { path: &scan, title: "scan.pdf", media: None, source: "myself" };
        person.store_file(&file, &mut &[7_u8; 40_000][..]).await.unwrap();
        permit_all(&mut person, &["clinic", "charity"]).await;
        let (clinic, charity) = (
            Provider::generate("https://clinic.example").unwrap(),
            Provider::generate("https://charity.example").unwrap(),
        );
        let (at_clinic, clinic_side) = connect(&mut person, &clinic, "clinic").await;
        let (at_charity, _) = connect(&mut person, &charity, "charity").await;
        let shared = |write| Shared::Dataset { title: "health", write };
        let (writes, handover) = granted(&mut person, &at_clinic, shared(true)).await.unwrap();
        let (reads, _) = granted(&mut person, &at_charity, shared(false)).await.unwrap();
        let mut writer = clinic.reader(clinic_side.agreement(), &handover, host.clone()).unwrap();
        assert_eq!(writer.read().await.unwrap().len(), 4);
        let dataset = person.grants().unwrap()[0].dataset;
        let (before, pins) = (person.values().unwrap(), person.pins());
        let second = open(&host, &keepsake, Some(&pins)).await.unwrap();

        // A field that was imported before the file was stored.
        let limit = Limit { rows: 1, bytes: 1 << 20 };
        let page = storage.changes(keepsake.store, dataset, Cursor::START, limit).await.unwrap();
        let Page::Rows { rows, .. } = page else { panic!() };
        damage(&storage, keepsake.store, dataset, &[rows[0].object, ObjectId::from_bytes([9; 16])]).await;

        // It is refused as long as nobody says otherwise, with pins and without.
        let secret = Secret::RecoveryPhrase(&keepsake.recovery_phrase);
        for pins in [None, Some(&pins)] {
            assert_eq!(open(&host, &keepsake, pins).await.unwrap_err(), "Head.UnknownKey");
            let locked = Person::locate(host.clone(), keepsake.store).await.unwrap();
            let person = locked.rolled_back(&secret, pins).await.unwrap();
            let [lost] = person.loss().datasets.as_slice() else { panic!("{:?}", person.loss()) };
            assert_eq!((lost.title.as_deref(), lost.damaged, lost.since), (Some("health"), Some(2), None));
            assert!(!person.loss().slots && lost.held > lost.seen);
        }
        assert_eq!(person.refresh().await.unwrap_err().code(), "Head.UnknownKey");

        let locked = Person::locate(host.clone(), keepsake.store).await.unwrap();
        let mut person = locked.rolled_back(&secret, Some(&pins)).await.unwrap().accept().await.unwrap();
        let kept = person.values().unwrap();
        assert!(kept.iter().all(|value| before.contains(value)) && kept.len() == before.len() - 1);
        assert_eq!((person.unreadable().len(), alarms(&person)), (0, 1));
        let mut content = Vec::new();
        person.file(&scan).await.unwrap().copy_to(&mut content).await.unwrap();
        assert_eq!(content, [7; 40_000]);

        // Who could have done it is let in no more; who may read gets the new keys.
        assert_eq!(writer.read().await.unwrap_err().code(), "Host.Revoked");
        assert!(person.grants().unwrap().iter().all(|granted| granted.id != writes));
        assert_eq!(person.outdated_grants().unwrap().iter().map(|granted| granted.id).collect::<Vec<_>>(), [reads]);

        // From then on it is a box as any other: for this device, for a new one, and for one that saw what is gone.
        let gone = before.iter().find(|value| !kept.contains(value)).unwrap();
        let (_, field) = gone.path.as_str().split_once('.').unwrap();
        person.import(format!(r#"{{"health": {{"{field}": "3"}}}}"#).as_bytes(), "myself").await.unwrap();
        let fresh = open(&host, &keepsake, None).await.unwrap();
        assert_eq!(fresh.values().unwrap(), person.values().unwrap());
        let again = open(&host, &keepsake, Some(&person.pins())).await.unwrap();
        assert_eq!(again.values().unwrap().len(), before.len());
        drop(second);
        let old = Person::locate(host.clone(), keepsake.store).await.unwrap();
        let other = old.rolled_back(&secret, Some(&pins)).await.unwrap();
        assert!(other.loss().datasets.iter().all(|lost| lost.damaged.is_none()));
        assert_eq!(other.accept().await.unwrap().values().unwrap(), person.values().unwrap());
    });
}
