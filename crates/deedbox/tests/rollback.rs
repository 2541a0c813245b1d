//! A host that comes back with an older state after it restored a back-up: who is ahead notices, and either brings the newer
//! state back or accepts, by name, what is lost.

#[path = "shared/local.rs"]
mod local;
#[path = "shared/restorable.rs"]
mod restorable;

use std::{
    io::Cursor,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use deedbox::{
    HostClient, PersonError,
    host::{HostError, Reply, Request},
    parts::{
        audit::{EntryKind, Row},
        model::FieldPath,
        record::{HeadError, NewSlot, RecoveryPhrase, UnlockError},
    },
    person::{Keepsake, NewFile, Open, Person, Pins, Secret},
};
use deedbox_testkit::rng::SeededRng;
use pollster::block_on;
use restorable::Restorable;

const DOCUMENT: &[u8] =
    br#"{"person": {"name": "Maren Holloway", "born": "1971-03-09"}, "health": {"diagnosis": "C50.9"}}"#;

type Box<H = Restorable> = Person<Open<H>>;

async fn filled(client: &Restorable) -> (Box, Keepsake) {
    let (mut person, keepsake) = Person::create(client.clone(), "a passphrase").await.unwrap();
    person.import(DOCUMENT, "myself").await.unwrap();
    (person, keepsake)
}

async fn open<H: HostClient>(client: H, keepsake: &Keepsake, pins: Option<&Pins>) -> Result<Box<H>, PersonError> {
    let locked = Person::locate(client, keepsake.store).await?;
    locked.unlock(&Secret::RecoveryPhrase(&keepsake.recovery_phrase), pins).await
}

async fn store(person: &mut Box, path: &str, content: &[u8]) {
    let path = FieldPath::parse(path).unwrap();
    let file = NewFile { path: &path, title: "scan.pdf", media: None, source: "myself" };
    person.store_file(&file, &mut &*content).await.unwrap();
}

async fn content(person: &Box, path: &str) -> Vec<u8> {
    let mut out = Vec::new();
    person.file(&FieldPath::parse(path).unwrap()).await.unwrap().copy_to(&mut out).await.unwrap();
    out
}

fn phrase(seed: u64) -> RecoveryPhrase {
    RecoveryPhrase::generate(&mut SeededRng::new(seed))
}

fn refused<T>(result: Result<T, PersonError>) -> String {
    result.err().map_or_else(|| "taken".to_owned(), |error| error.code())
}

/// How often the log says that something was amiss.
fn alarms(person: &Box) -> usize {
    let is_alarm = |row: &&Row| matches!(row, Row::Kept(entry) if entry.entry().kind == EntryKind::Alarm);
    person.log().rows().iter().filter(is_alarm).count()
}

/// Everything that a person changes of a box: values, a new dataset, files, ways to open it, an erasure.
async fn move_on(person: &mut Box) {
    person.import(br#"{"person": {"name": "Maren H."}, "debts": {"bank": 120}}"#, "myself").await.unwrap();
    store(person, "health.scan", b"what is new").await;
    for seed in 1..4 {
        person.add_slot(&NewSlot::Phrase(&phrase(seed))).await.unwrap();
    }
    person.erase(&[FieldPath::parse("health.diagnosis").unwrap()]).await.unwrap();
}

#[test]
fn a_device_that_is_ahead_brings_the_newer_state_back() {
    block_on(async {
        let host = Restorable::new();
        let (mut person, keepsake) = filled(&host).await;
        store(&mut person, "health.letter", b"what is old").await;
        let back_up = host.back_up();
        move_on(&mut person).await;
        let (values, pins) = (person.values().unwrap(), person.pins());
        host.restore(&back_up);
        let error = open(host.clone(), &keepsake, Some(&pins)).await.unwrap_err();
        assert!(matches!(error, PersonError::Unlock(UnlockError::HeaderRolledBack)), "{error:?}");

        let restored = person.restore_host().await.unwrap();
        assert!(restored.datasets > 3);
        // Its bytes are with nobody any more.
        assert_eq!(restored.lost, [FieldPath::parse("health.scan").unwrap()]);
        let mut other = open(host.clone(), &keepsake, Some(&pins)).await.unwrap();
        assert_eq!((other.values().unwrap(), other.slots().len()), (values, 5));
        assert_eq!(content(&other, "health.letter").await, b"what is old");
        assert_eq!(alarms(&other), 1);
        // What was erased since is erased again: the old share is gone, so that no keyring of before opens.
        host.restore_stores(&back_up);
        assert_eq!(refused(open(host.clone(), &keepsake, None).await), "Host.NotFound");
        person.restore_host().await.unwrap();
        // And life goes on, here and there.
        other = open(host.clone(), &keepsake, Some(&person.pins())).await.unwrap();
        other.import(br#"{"person": {"name": "Maren"}}"#, "myself").await.unwrap();
        other.add_slot(&NewSlot::Phrase(&phrase(9))).await.unwrap();
        let mut person = person.refresh().await.unwrap();
        // Asked of a host that is not behind, it does nothing.
        let before = person.log().len();
        let restored = person.restore_host().await.unwrap();
        assert_eq!((restored.datasets, person.log().len()), (0, before));
    });
}

#[test]
fn a_box_that_the_back_up_does_not_have_is_made_again() {
    block_on(async {
        let host = Restorable::new();
        let back_up = host.back_up();
        let (mut person, keepsake) = filled(&host).await;
        host.restore(&back_up);
        person.restore_host().await.unwrap();
        let other = open(host.clone(), &keepsake, Some(&person.pins())).await.unwrap();
        assert_eq!(other.values().unwrap(), person.values().unwrap());
    });
}

#[test]
fn a_bundle_brings_the_newer_state_back_files_included() {
    block_on(async {
        let host = Restorable::new();
        let (mut person, keepsake) = filled(&host).await;
        let back_up = host.back_up();
        let (mut old, mut new) = (Cursor::new(Vec::new()), Cursor::new(Vec::new()));
        person.export(&mut old).await.unwrap();
        move_on(&mut person).await;
        person.export(&mut new).await.unwrap();
        let (values, pins) = (person.values().unwrap(), person.pins());
        drop(person);
        host.restore(&back_up);
        let secret = Secret::RecoveryPhrase(&keepsake.recovery_phrase);
        let restore = async |bundle: &mut Cursor<Vec<u8>>| {
            bundle.set_position(0);
            Person::restore_bundle(host.clone(), bundle, &secret, Some(&pins)).await
        };
        // One of before what the device has seen would lose something, and is not what was asked for.
        assert_eq!(refused(restore(&mut old).await), "Unlock.HeaderRolledBack");
        let (person, restored) = restore(&mut new).await.unwrap();
        assert!(restored.lost.is_empty());
        assert_eq!(person.values().unwrap(), values);
        assert_eq!(content(&person, "health.scan").await, b"what is new");
        let other = open(host.clone(), &keepsake, Some(&pins)).await.unwrap();
        assert_eq!((other.values().unwrap(), alarms(&other)), (values, 1));
        // And from then on the bundle is the older one.
        assert_eq!(refused(restore(&mut new).await), "Conflict");
        // A host that has nothing of it takes it as well.
        let there = Restorable::new();
        new.set_position(0);
        let (person, _) = Person::restore_bundle(there, &mut new, &secret, Some(&pins)).await.unwrap();
        assert_eq!(content(&person, "health.scan").await, b"what is new");
    });
}

#[test]
fn what_another_device_wrote_on_the_older_state_is_not_overwritten() {
    block_on(async {
        let host = Restorable::new();
        let (mut person, keepsake) = filled(&host).await;
        let back_up = host.back_up();
        for name in ["one", "two", "three"] {
            person.import(format!(r#"{{"person": {{"name": "{name}"}}}}"#).as_bytes(), "myself").await.unwrap();
        }
        host.restore(&back_up);
        let mut new_phone = open(host.clone(), &keepsake, None).await.unwrap();
        new_phone.import(br#"{"person": {"name": "from the new phone"}}"#, "myself").await.unwrap();
        assert_eq!(refused(person.restore_host().await), "Conflict");
        let other = open(host.clone(), &keepsake, Some(&new_phone.pins())).await.unwrap();
        assert_eq!(other.values().unwrap(), new_phone.values().unwrap());
    });
}

#[test]
fn a_loss_is_named_and_accepted_or_nothing_changes() {
    block_on(async {
        let host = Restorable::new();
        let (mut person, keepsake) = filled(&host).await;
        let (kept, back_up) = (person.values().unwrap(), host.back_up());
        person.import(br#"{"person": {"name": "Maren H."}, "debts": {"bank": 120}}"#, "myself").await.unwrap();
        person.add_slot(&NewSlot::Phrase(&phrase(1))).await.unwrap();
        person.add_slot(&NewSlot::Phrase(&phrase(2))).await.unwrap();
        let pins = person.pins();
        let other = open(host.clone(), &keepsake, Some(&pins)).await.unwrap();
        drop(person);
        host.restore(&back_up);
        let secret = Secret::RecoveryPhrase(&keepsake.recovery_phrase);
        let rolled_back = async |pins: &Pins| {
            Person::locate(host.clone(), keepsake.store).await.unwrap().rolled_back(&secret, Some(pins)).await
        };
        let person = rolled_back(&pins).await.unwrap();
        let loss = person.loss();
        let titles: Vec<_> = loss.datasets.iter().map(|lost| lost.title.as_deref()).collect();
        for title in [Some("deedbox:log"), Some("person"), None] {
            assert!(titles.contains(&title), "{title:?}: {titles:?}");
        }
        assert!(!titles.contains(&Some("health")) && loss.slots);
        for lost in &loss.datasets {
            assert!(lost.held.is_none_or(|held| Some(held) < lost.seen) && lost.held.is_some() == lost.since.is_some());
        }
        // Looked at and left alone, nothing has changed: it is refused as before.
        drop(person);
        assert_eq!(refused(open(host.clone(), &keepsake, Some(&pins)).await), "Unlock.HeaderRolledBack");

        let person = rolled_back(&pins).await.unwrap().accept().await.unwrap();
        assert_eq!((person.values().unwrap(), person.slots().len(), alarms(&person)), (kept.clone(), 2, 1));
        // Numbers go on above all that were seen; who saw what is lost notices, and accepts likewise.
        let after = person.pins();
        let code = refused(open(host.clone(), &keepsake, Some(&pins)).await);
        assert_eq!(code, "Head.Fork");
        let error = other.refresh().await.unwrap_err();
        assert!(matches!(error, PersonError::Head(HeadError::Fork { .. })), "{error:?}");
        let mut second = rolled_back(&pins).await.unwrap().accept().await.unwrap();
        second.import(br#"{"person": {"name": "Maren once more"}}"#, "myself").await.unwrap();
        second.add_slot(&NewSlot::Phrase(&phrase(3))).await.unwrap();
        // The first one follows without another word.
        let person = open(host.clone(), &keepsake, Some(&after)).await.unwrap();
        assert_eq!((person.values().unwrap(), person.slots().len()), (second.values().unwrap(), 3));
        // Where nothing is lost there is nothing to accept.
        assert!(rolled_back(&second.pins()).await.unwrap().loss().datasets.is_empty());
    });
}

#[test]
fn a_root_of_before_is_accepted_by_nobody() {
    block_on(async {
        let host = Restorable::new();
        let (mut person, keepsake) = filled(&host).await;
        let back_up = host.back_up();
        let words = RecoveryPhrase::parse(&keepsake.recovery_phrase).unwrap();
        let slot = *person.slots().last().unwrap().id();
        person.rotate_root(&[], &[(slot, NewSlot::Phrase(&words))]).await.unwrap();
        let pins = person.pins();
        host.restore(&back_up);
        let secret = Secret::RecoveryPhrase(&keepsake.recovery_phrase);
        let locked = Person::locate(host.clone(), keepsake.store).await.unwrap();
        assert_eq!(refused(locked.rolled_back(&secret, Some(&pins)).await), "Unlock.HeaderRolledBack");
        assert_eq!(refused(person.restore_host().await), "Unlock.HeaderRolledBack");
    });
}

/// Gives what a back-up had of one kind, whatever it is asked, and takes what it is sent.
#[derive(Clone)]
struct Pretender {
    now: Restorable,
    before: Restorable,
    target: &'static str,
    pretends: Arc<AtomicBool>,
}

impl HostClient for Pretender {
    fn origin(&self) -> &str {
        self.now.origin()
    }

    async fn send(&self, request: Request<'_>) -> Result<Reply, HostError> {
        if self.pretends.load(Ordering::Relaxed) && request.body.is_empty() && request.target.contains(self.target) {
            return self.before.send(request).await;
        }
        self.now.send(request).await
    }
}

#[test]
fn a_host_that_pretends_to_be_behind_gains_nothing() {
    block_on(async {
        let host = Restorable::new();
        let (mut person, keepsake) = filled(&host).await;
        let before = host.copy();
        person.import(br#"{"person": {"name": "Maren H."}}"#, "myself").await.unwrap();
        person.add_slot(&NewSlot::Phrase(&phrase(1))).await.unwrap();
        let (values, pins) = (person.values().unwrap(), person.pins());
        for target in ["/header", "/changes", "/heads", "/datasets", "/v1/"] {
            let pretends = Arc::new(AtomicBool::new(true));
            let evil = Pretender { now: host.clone(), before: before.clone(), target, pretends: Arc::clone(&pretends) };
            // Unasked nobody takes it: what is not refused is the newest state.
            if let Ok(opened) = open(evil.clone(), &keepsake, Some(&pins)).await {
                assert_eq!(opened.values().unwrap(), values, "{target}");
            }
            // Asked to be restored it is sent what it has, or something is amiss: nothing older is taken from it, ever.
            pretends.store(false, Ordering::Relaxed);
            let mut ahead = open(evil, &keepsake, Some(&pins)).await.unwrap();
            pretends.store(true, Ordering::Relaxed);
            let _ = ahead.restore_host().await;
            assert_eq!(ahead.values().unwrap(), values, "{target}");
        }
        let opened = open(host.clone(), &keepsake, Some(&pins)).await.unwrap();
        assert_eq!(opened.values().unwrap(), values);
    });
}
