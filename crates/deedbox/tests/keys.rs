//! Keys that change: erasure, a new root, a new passphrase, a second device; and all of it interrupted at every call.

#[path = "shared/local.rs"]
mod local;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use deedbox::{
    HostClient, PersonError,
    host::{HostError, MemoryStorage, Reply, Request, SqliteStorage},
    parts::{
        cose::RecipientSecret,
        model::{DatasetId, FieldPath, ObjectId},
        record::{
            Bundle, ChangedObject, ErasureLevel, ErasureReceipt, Header, NewSlot, RecoveryPhrase, Root, SlotType,
            Unlock, peek,
        },
    },
    person::{Keepsake, Open, Person, Pins, Secret},
};
use deedbox_testkit::rng::SeededRng;
use local::{Local, serve};
use pollster::block_on;

const DOCUMENT: &[u8] =
    br#"{"person": {"name": "Maren Holloway", "born": "1971-03-09"}, "health": {"diagnosis": "C50.9", "ward": "7b"}}"#;

type Honest = Local<MemoryStorage>;

fn honest() -> Honest {
    serve(MemoryStorage::new())
}

/// The way to a host, which breaks at one call and stays broken: before the host heard of it, or before its answer came.
#[derive(Clone)]
struct Broken {
    honest: Honest,
    calls: Arc<AtomicUsize>,
    at: Arc<AtomicUsize>,
    heard: bool,
}

impl Broken {
    /// Whole until the box is open, then broken from the call on that is counted from there.
    async fn after_opening(honest: &Honest, keepsake: &Keepsake, at: usize, heard: bool) -> Person<Open<Self>> {
        let way = Self { honest: honest.clone(), calls: Arc::default(), at: Arc::new(usize::MAX.into()), heard };
        let person = reopened(way.clone(), keepsake).await.unwrap();
        way.at.store(way.calls.load(Ordering::Relaxed) + at, Ordering::Relaxed);
        person
    }
}

impl HostClient for Broken {
    fn origin(&self) -> &str {
        self.honest.origin()
    }

    async fn send(&self, request: Request<'_>) -> Result<Reply, HostError> {
        let (call, at) = (self.calls.fetch_add(1, Ordering::Relaxed), self.at.load(Ordering::Relaxed));
        if call < at {
            return self.honest.send(request).await;
        }
        if call == at && self.heard {
            let _ = self.honest.send(request).await;
        }
        Err(HostError::TooMany { retry_after: 1 })
    }
}

async fn filled<H: HostClient>(client: H) -> (Person<Open<H>>, Keepsake) {
    let (mut person, keepsake) = Person::create(client, "a passphrase").await.unwrap();
    person.import(DOCUMENT, "myself").await.unwrap();
    (person, keepsake)
}

/// By the phrase: it needs no hashing, which is not what is tested here.
async fn reopened<H: HostClient>(client: H, keepsake: &Keepsake) -> Result<Person<Open<H>>, PersonError> {
    let locked = Person::locate(client, keepsake.store).await?;
    locked.unlock(&Secret::RecoveryPhrase(&keepsake.recovery_phrase), None).await
}

/// Tells `story` of a box whose host breaks at the first call, then of one whose host breaks at the second, and so on, until
/// all was done before it broke; that takes `least` calls.
fn wherever_it_breaks(least: usize, story: impl AsyncFn(Honest, Keepsake, Person<Open<Broken>>, usize) -> bool) {
    block_on(async {
        for heard in [false, true] {
            let mut at = 0;
            loop {
                let honest = honest();
                let (_, keepsake) = filled(honest.clone()).await;
                let broken = Broken::after_opening(&honest, &keepsake, at, heard).await;
                if story(honest, keepsake, broken, at).await {
                    break;
                }
                at += 1;
            }
            assert!(at >= least, "{at}");
        }
    });
}

fn paths<H: HostClient>(person: &Person<Open<H>>) -> BTreeSet<String> {
    person.values().unwrap().iter().map(|value| value.path.as_str().to_owned()).collect()
}

fn path(text: &str) -> FieldPath {
    FieldPath::parse(text).unwrap()
}

const ALL: [&str; 4] = ["health.diagnosis", "health.ward", "person.born", "person.name"];
const LEFT: [&str; 3] = ["health.ward", "person.born", "person.name"];

fn set(paths: &[&str]) -> BTreeSet<String> {
    paths.iter().map(|path| (*path).to_owned()).collect()
}

/// Everything under a folder.
fn files(folder: &std::path::Path) -> Vec<Vec<u8>> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(std::fs::read(path).unwrap()) }
        }
    }
    files
}

#[test]
fn an_erased_field_is_in_no_file_of_the_host_and_its_keys_are_gone() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let storage = SqliteStorage::open(folder.path().join("root"), folder.path().join("shares")).unwrap();
        let client = serve(storage);
        let (mut person, keepsake) = filled(client.clone()).await;
        // What an archive of the host holds: the bundle has the objects as the host has them.
        let mut archive = Vec::new();
        person.export(&mut archive).await.unwrap();
        let before = files(folder.path());
        let rejected = person.erase(&[path("health.nothing")]).await.unwrap_err();
        assert_eq!((rejected.code().as_str(), paths(&person)), ("NotFound", set(&ALL)));

        let receipt = person.erase(&[path("health.diagnosis")]).await.unwrap();
        assert_eq!((receipt.level, receipt.datasets.len(), receipt.host.physical), (ErasureLevel::Rekeyed, 1, true));
        assert_eq!((receipt.keyring_epoch.unwrap().get(), receipt.datasets[0].destroyed_below.unwrap().get()), (2, 2));
        assert_eq!(ErasureReceipt::parse(&receipt.to_bytes()), Ok(receipt.clone()));
        assert_eq!(paths(&person), set(&LEFT));
        let again = reopened(client, &keepsake).await.unwrap();
        assert_eq!((paths(&again), again.log().len()), (set(&LEFT), person.log().len()));

        // The former object's bytes were in the host's files, and are in none of them now.
        let erased = receipt.datasets[0].objects[0];
        let at = archive.windows(16).position(|window| window == erased.as_bytes()).unwrap();
        let former = &archive[at + 16 + 8..][..160];
        let is_held = |files: &[Vec<u8>]| {
            let held: BTreeSet<&[u8]> = files.iter().flat_map(|file| file.windows(32)).collect();
            former.windows(32).any(|window| held.contains(window))
        };
        assert!(is_held(&before) && !is_held(&files(folder.path())));
    });
}

#[test]
fn level_one_deletes_and_claims_no_more_than_that() {
    block_on(async {
        let (mut person, _) = filled(honest()).await;
        let receipt = person.purge(&[path("health.diagnosis"), path("person.born")]).await.unwrap();
        assert_eq!((receipt.level, receipt.keyring_epoch), (ErasureLevel::Purged, None));
        assert_eq!((receipt.datasets.len(), paths(&person)), (2, set(&["health.ward", "person.name"])));
        let receipt = person.erase_dataset("health").await.unwrap();
        assert_eq!((receipt.datasets[0].objects.len(), paths(&person)), (1, set(&["person.name"])));
        assert_eq!(person.erase_dataset("deedbox:log").await.unwrap_err().code(), "NotFound");
    });
}

/// Wherever it breaks, the box opens with everything in it or with the field gone, and asking again ends it.
#[test]
fn an_erasure_that_breaks_anywhere_leaves_a_box_that_opens() {
    wherever_it_breaks(5, async |honest, keepsake, mut broken, at| {
        let done = broken.erase(&[path("health.diagnosis")]).await.is_ok();
        let mut person = reopened(honest.clone(), &keepsake).await.unwrap();
        let found = paths(&person);
        assert!(found == set(&ALL) || found == set(&LEFT), "{at}");
        if found == set(&ALL) {
            person.erase(&[path("health.diagnosis")]).await.unwrap();
        }
        assert_eq!(paths(&reopened(honest, &keepsake).await.unwrap()), set(&LEFT), "{at}");
        done
    });
}

#[test]
fn a_new_root_shuts_out_whoever_has_the_former_one() {
    block_on(async {
        let honest = honest();
        let (mut person, keepsake) = filled(honest.clone()).await;
        let mut lost = reopened(honest.clone(), &keepsake).await.unwrap();
        let phrase = RecoveryPhrase::generate(&mut SeededRng::new(9));
        let slots: Vec<_> = person.slots().iter().map(|slot| (slot.slot_type(), *slot.id())).collect();
        let id = |kind| slots.iter().find(|(slot, _)| *slot == kind).unwrap().1;
        let phrase_slot = id(SlotType::Phrase);
        let (receipt, dropped) = person.rotate_root(&[], &[(phrase_slot, NewSlot::Phrase(&phrase))]).await.unwrap();
        assert_eq!((receipt.level, dropped), (ErasureLevel::NewRoot, vec![id(SlotType::Passphrase)]));

        // The former root neither writes nor reads, at once; its secrets open no header any more.
        assert_eq!(lost.import(DOCUMENT, "thief").await.unwrap_err().code(), "Host.Revoked");
        assert!(lost.refresh().await.is_err());
        assert_eq!(reopened(honest.clone(), &keepsake).await.unwrap_err().code(), "Unlock.Rejected");

        // The person goes on, and everything is there.
        person.import(br#"{"person": {"name": "Maren H."}}"#, "myself").await.unwrap();
        let words = phrase.words();
        let locked = Person::locate(honest, keepsake.store).await.unwrap();
        let again = locked.unlock(&Secret::RecoveryPhrase(&words), Some(&person.pins())).await.unwrap();
        assert_eq!(paths(&again), set(&ALL));
        let none = again.refresh().await.unwrap();
        assert_eq!(none.log().len(), person.log().len());
    });
}

#[test]
fn a_new_root_that_breaks_anywhere_leaves_a_box_that_opens() {
    wherever_it_breaks(6, async |honest, keepsake, mut broken, at| {
        // The words stay, so that the same secret opens whichever root is in force.
        let phrase = RecoveryPhrase::parse(&keepsake.recovery_phrase).unwrap();
        let slot = |kind| move |slot: &&deedbox::parts::record::Slot| slot.slot_type() == kind;
        let slot = *broken.slots().iter().find(slot(SlotType::Phrase)).unwrap().id();
        let done = broken.rotate_root(&[], &[(slot, NewSlot::Phrase(&phrase))]).await.is_ok();
        let mut person = reopened(honest.clone(), &keepsake).await.unwrap();
        assert_eq!(paths(&person), set(&ALL), "{at}");
        person.import(br#"{"person": {"name": "M"}}"#, "myself").await.unwrap();
        person.rotate_root(&[], &[(slot, NewSlot::Phrase(&phrase))]).await.unwrap();
        assert_eq!(paths(&reopened(honest, &keepsake).await.unwrap()), set(&ALL), "{at}");
        done
    });
}

#[test]
fn a_new_passphrase_opens_and_the_former_does_not() {
    block_on(async {
        let honest = honest();
        let (mut person, keepsake) = filled(honest.clone()).await;
        let before = person.pins();
        person.change_passphrase("another passphrase", &keepsake.account_secret).await.unwrap();
        let open = async |passphrase: &str, pins| {
            let locked = Person::locate(honest.clone(), keepsake.store).await.unwrap();
            let secret = Secret::Passphrase { passphrase, account_secret: &keepsake.account_secret };
            locked.unlock(&secret, Some(pins)).await
        };
        // Not one record was touched: the pins of before are those of the heads now.
        assert!(open("another passphrase", &before).await.is_ok());
        assert_eq!(open("a passphrase", &before).await.unwrap_err().code(), "Unlock.Rejected");
        let slot = *person.slots().last().unwrap().id();
        person.remove_slot(&slot).await.unwrap();
        let last = *person.slots().last().unwrap().id();
        assert_eq!(person.remove_slot(&last).await.unwrap_err().code(), "Unlock.Limit");
        let phrase = RecoveryPhrase::generate(&mut SeededRng::new(4));
        let id = person.add_slot(&NewSlot::Phrase(&phrase)).await.unwrap();
        assert_eq!(person.slots().last().map(|slot| *slot.id()), Some(id));
    });
}

/// A host that answers with a header of its own making.
struct Forger(Honest, Vec<u8>);

impl HostClient for Forger {
    fn origin(&self) -> &str {
        self.0.origin()
    }

    async fn send(&self, request: Request<'_>) -> Result<Reply, HostError> {
        let mut reply = self.0.send(request).await?;
        if request.target.ends_with("/header") {
            reply.body.clone_from(&self.1);
        }
        Ok(reply)
    }
}

#[test]
fn a_device_opens_by_its_key_and_takes_no_owner_for_another() {
    block_on(async {
        let (honest, rng) = (honest(), &mut SeededRng::new(5));
        let (mut person, keepsake) = filled(honest.clone()).await;
        let device = RecipientSecret::generate(rng).unwrap();
        let slot = person.add_slot(&NewSlot::Recipient(device.public())).await.unwrap();
        let secret = Secret::Slot(slot, Unlock::Recipient(&device));
        let locked = Person::locate(honest.clone(), keepsake.store).await.unwrap();
        let pins = locked.unlock(&secret, None).await.unwrap().pins();

        // The host knows the device's public key: it makes up a root and a header for it, of a version that fits.
        let root = Root::generate(keepsake.store, rng);
        let mut header = Header::create(&root, &[NewSlot::Recipient(device.public())], rng).unwrap();
        for _ in 0..3 {
            header = header.add_slot(&root, &NewSlot::Recipient(device.public()), rng).unwrap();
        }
        let secret = Secret::Slot(*header.slots()[0].id(), Unlock::Recipient(&device));
        let forged = async |header: &Header, secret: &Secret<'_>, pins: &Pins| {
            let locked = Person::locate(Forger(honest.clone(), header.bytes().to_vec()), keepsake.store).await.unwrap();
            locked.unlock(secret, Some(pins)).await.err().map(|error| error.code())
        };
        assert_eq!(forged(&header, &secret, &pins).await.as_deref(), Some("Unlock.HeaderTampered"));
        // Its next root leads from its own, not from the person's.
        let next = root.next(rng).unwrap();
        let (header, _) = header.rotate_root(&root, &next, &[], &[], rng).unwrap();
        assert_eq!(forged(&header, &secret, &pins).await.as_deref(), Some("Unlock.UnknownOwner"));

        // The person's next root, and the one after it: the device follows, by the signature of each owner for the next.
        let kept = Pins::parse(&pins.to_bytes()).unwrap();
        for _ in 0..2 {
            person.rotate_root(&[], &[]).await.unwrap();
        }
        let secret = Secret::Slot(slot, Unlock::Recipient(&device));
        let locked = Person::locate(honest.clone(), keepsake.store).await.unwrap();
        let opened = locked.unlock(&secret, Some(&kept)).await.unwrap();
        assert_eq!((paths(&opened), opened.pins().owner()), (set(&ALL), person.pins().owner()));
        // A new device knows nothing but the owner, whom another device showed it.
        let shown = Pins::of_owner(*person.pins().owner().unwrap());
        let locked = Person::locate(honest.clone(), keepsake.store).await.unwrap();
        assert!(locked.unlock(&secret, Some(&shown)).await.is_ok());
        let other = Secret::Slot(*header.slots()[0].id(), Unlock::Recipient(&device));
        assert_eq!(forged(&header, &other, &shown).await.as_deref(), Some("Unlock.HeaderRolledBack"));
    });
}

#[test]
fn what_the_box_holds_goes_out_in_the_clear_when_the_person_says_so() {
    block_on(async {
        let (person, _) = filled(honest()).await;
        let portable = person.export_portable().unwrap();
        let found: Vec<&str> = portable.fields().iter().map(|field| field.path()).collect();
        assert_eq!(found, ALL);
        assert!(portable.fields().iter().all(|field| field.provenance().unwrap().source() == b"myself"));
        let json = portable.to_json();
        assert!(json.contains("\"C50.9\"") && !json.contains("deedbox:"));
    });
}

/// More objects than one commit seals anew: keys change first, then batch after batch, then the old ones go.
#[test]
fn a_large_dataset_is_erased_in_steps() {
    block_on(async {
        let fields: Vec<String> = (0..5_200).map(|n| format!("\"f{n}\":{n}")).collect();
        let document = format!("{{\"papers\":{{{}}}}}", fields.join(","));
        let honest = honest();
        let (mut person, keepsake) = Person::create(honest.clone(), "a passphrase").await.unwrap();
        person.import(document.as_bytes(), "myself").await.unwrap();
        let receipt = person.erase(&[path("papers.f17")]).await.unwrap();
        assert_eq!(receipt.datasets[0].destroyed_below.unwrap().get(), 2);
        let again = reopened(honest, &keepsake).await.unwrap();
        let found = paths(&again);
        assert_eq!((found.len(), found.contains("papers.f17")), (5_199, false));
    });
}

type Sealed = BTreeMap<(DatasetId, ObjectId), (u32, Vec<u8>)>;

/// Every object of the box with its epoch, the keyring's among them.
async fn sealed<H: HostClient>(person: &Person<Open<H>>, keepsake: &Keepsake) -> Sealed {
    let mut bundle = Vec::new();
    person.export(&mut bundle).await.unwrap();
    let bundle = Bundle::parse(&bundle).unwrap();
    let phrase = RecoveryPhrase::parse(&keepsake.recovery_phrase).unwrap();
    let slot = bundle.header().slots().iter().find(|slot| slot.slot_type() == SlotType::Phrase).unwrap();
    let root = bundle.header().unlock(slot.id(), &Unlock::Phrase(&phrase)).unwrap();
    let mut sealed = Sealed::new();
    for dataset in bundle.verify(&root).unwrap().datasets() {
        for object in dataset.objects() {
            let ChangedObject::Put { object, bytes, .. } = object else { panic!("a bundle removes nothing") };
            let epoch = peek(bytes).unwrap().epoch().unwrap().get();
            sealed.insert((*dataset.dataset(), object), (epoch, bytes.to_vec()));
        }
    }
    sealed
}

#[test]
fn a_box_is_sealed_anew_to_the_last_object() {
    block_on(async {
        let honest = honest();
        let (mut person, keepsake) = filled(honest.clone()).await;
        let mut other = reopened(honest.clone(), &keepsake).await.unwrap();
        let before = sealed(&person, &keepsake).await;
        person.reseal_all().await.unwrap();
        let after = sealed(&person, &keepsake).await;
        assert!(before.len() > ALL.len() && before.keys().eq(after.keys()));
        for (place, (epoch, bytes)) in &after {
            let (former, was) = &before[place];
            assert!(*epoch == former + 1 && bytes != was, "{place:?}");
        }
        assert_eq!(paths(&reopened(honest, &keepsake).await.unwrap()), set(&ALL));
        // Another device goes on with the new keys, and may seal anew in its turn. What was only sealed anew nobody has changed.
        assert!(other.import(DOCUMENT, "myself").await.unwrap().conflicts.is_empty());
        other.import(br#"{"person": {"name": "M"}}"#, "myself").await.unwrap();
        other.reseal_all().await.unwrap();
        assert_eq!(paths(&other), set(&ALL));
    });
}

#[test]
fn sealing_anew_that_breaks_anywhere_is_finished_by_calling_again() {
    wherever_it_breaks(3, async |honest, keepsake, mut broken, at| {
        let before = sealed(&reopened(honest.clone(), &keepsake).await.unwrap(), &keepsake).await;
        let done = broken.reseal_all().await.is_ok();
        let mut person = reopened(honest.clone(), &keepsake).await.unwrap();
        assert_eq!(paths(&person), set(&ALL), "{at}");
        person.import(br#"{"person": {"name": "M"}}"#, "myself").await.unwrap();
        if !done {
            person.reseal_all().await.unwrap();
        }
        let again = reopened(honest, &keepsake).await.unwrap();
        assert_eq!(paths(&again), set(&ALL), "{at}");
        let after = sealed(&again, &keepsake).await;
        assert!(before.iter().all(|(place, (epoch, _))| after[place].0 > *epoch), "{at}");
        done
    });
}

/// More objects than one commit seals anew. What was sealed before it broke is not sealed a second time: each round, broken
/// once and called again, is one epoch.
#[test]
fn sealing_anew_goes_on_where_it_broke() {
    block_on(async {
        let fields: Vec<String> = (0..5_200).map(|n| format!("\"f{n}\":{n}")).collect();
        let honest = honest();
        let (mut person, keepsake) = Person::create(honest.clone(), "a passphrase").await.unwrap();
        person.import(format!("{{\"papers\":{{{}}}}}", fields.join(",")).as_bytes(), "myself").await.unwrap();
        let (mut at, mut was_mixed) = (0, false);
        loop {
            let done = Broken::after_opening(&honest, &keepsake, at, false).await.reseal_all().await.is_ok();
            let mut person = reopened(honest.clone(), &keepsake).await.unwrap();
            if !done {
                let epochs: BTreeSet<u32> =
                    sealed(&person, &keepsake).await.values().map(|(epoch, _)| *epoch).collect();
                was_mixed |= epochs.len() > 1;
                person.reseal_all().await.unwrap();
            }
            let again = reopened(honest.clone(), &keepsake).await.unwrap();
            let epochs: BTreeSet<u32> = sealed(&again, &keepsake).await.values().map(|(epoch, _)| *epoch).collect();
            assert_eq!((epochs, paths(&again).len()), ([at as u32 + 2].into(), 5_200));
            if done {
                break;
            }
            at += 1;
        }
        assert!(at >= 4 && was_mixed, "{at}");
    });
}
