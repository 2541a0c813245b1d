//! A host that lies: whatever it alters, the box opens to what its owner signed, or not at all.

#[path = "shared/local.rs"]
mod local;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use deedbox::{
    HostClient, PersonError,
    host::{HostError, MemoryStorage, Reply, Request, SqliteStorage},
    parts::{
        model::StoreId,
        record::{HeadError, UnlockError},
    },
    person::{Keepsake, Open, Person, Pins, Secret},
};
use deedbox_testkit::rng::SeededRng;
use local::{Local, serve};
use pollster::block_on;
use rand_core::Rng as _;

const DOCUMENT: &[u8] =
    br#"{"person": {"name": "Maren Holloway", "born": "1971-03-09"}, "health": {"diagnosis": "C50.9"}}"#;

type Honest = Local<MemoryStorage>;

fn honest() -> Honest {
    serve(MemoryStorage::new())
}

fn filled<H: HostClient>(client: H) -> (Person<Open<H>>, Keepsake) {
    block_on(async {
        let (mut person, keepsake) = Person::create(client, "a passphrase").await.unwrap();
        person.import(DOCUMENT, "myself").await.unwrap();
        (person, keepsake)
    })
}

fn open<H: HostClient>(client: H, keepsake: &Keepsake, pins: Option<&Pins>) -> Result<Person<Open<H>>, PersonError> {
    // The phrase needs no hashing, which is not what is tested here.
    block_on(async {
        let locked = Person::locate(client, keepsake.store).await?;
        locked.unlock(&Secret::RecoveryPhrase(&keepsake.recovery_phrase), pins).await
    })
}

/// Alters one byte of one kind of answer.
struct Evil {
    honest: Honest,
    /// Part of the target whose answer is altered.
    target: &'static str,
    at: usize,
    mask: u8,
    /// The longest such answer seen.
    longest: Arc<AtomicUsize>,
}

impl HostClient for Evil {
    fn origin(&self) -> &str {
        self.honest.origin()
    }

    async fn send(&self, request: Request<'_>) -> Result<Reply, HostError> {
        let mut reply = self.honest.send(request).await?;
        if request.target.contains(self.target) {
            self.longest.fetch_max(reply.body.len(), Ordering::Relaxed);
            if let Some(byte) = reply.body.get_mut(self.at) {
                *byte ^= self.mask;
            }
        }
        Ok(reply)
    }
}

#[test]
fn every_altered_byte_of_header_share_heads_and_objects_is_noticed() {
    let honest = honest();
    let (person, keepsake) = filled(honest.clone());
    let longest = Arc::new(AtomicUsize::new(0));
    for (target, step) in [("/header", 3), ("/shares/", 1), ("/changes", 17)] {
        longest.store(0, Ordering::Relaxed);
        let evil = |at, mask| Evil { honest: honest.clone(), target, at, mask, longest: Arc::clone(&longest) };
        // The untampered twin opens, and shows how long the answers are.
        assert_eq!(open(evil(0, 0), &keepsake, None).unwrap().values().unwrap(), person.values().unwrap());
        let length = longest.load(Ordering::Relaxed);
        assert!(length > 30, "{target}");
        for at in (0..length).step_by(step) {
            for mask in [0x01, 0x80] {
                let outcome = open(evil(at, mask), &keepsake, None);
                let code = outcome.err().unwrap_or_else(|| panic!("{target}: byte {at} went unnoticed")).code();
                let kind = code.split('.').next().unwrap_or_default();
                assert!(
                    ["Unlock", "Head", "Open", "Host", "Damaged", "Payload"].contains(&kind),
                    "{target} {at}: {code}"
                );
            }
        }
    }
}

#[test]
fn an_older_state_is_noticed_by_whoever_remembers_the_newer_one() {
    let folder = tempfile::tempdir().unwrap();
    let (data, shares) = (folder.path().join("data"), folder.path().join("shares"));
    let (person, keepsake) = filled(sqlite(&data, &shares));
    drop(person);
    let saved = folder.path().join("saved");
    copy(&data, &saved);
    let mut person = open(sqlite(&data, &shares), &keepsake, None).unwrap();
    block_on(person.import(br#"{"person": {"name": "Maren H."}}"#, "myself")).unwrap();
    let (pins, values) = (person.pins(), person.values().unwrap());
    drop(person);
    // The host brings back yesterday's files.
    fs::remove_dir_all(&data).unwrap();
    copy(&saved, &data);
    let error = open(sqlite(&data, &shares), &keepsake, Some(&pins)).unwrap_err();
    assert!(matches!(error, PersonError::Head(HeadError::Rollback { .. })), "{error:?}");
    // Without a memory nobody can know: the old state opens, whole.
    assert_ne!(open(sqlite(&data, &shares), &keepsake, None).unwrap().values().unwrap(), values);
}

#[test]
fn a_wrong_secret_and_another_persons_box_stay_closed() {
    let honest = honest();
    let (_, mine) = filled(honest.clone());
    let (_, theirs) = filled(honest.clone());
    let mixed = Keepsake {
        store: mine.store,
        account_secret: theirs.account_secret.clone(),
        recovery_phrase: theirs.recovery_phrase.clone(),
    };
    let error = open(honest.clone(), &mixed, None).unwrap_err();
    assert!(matches!(error, PersonError::Unlock(UnlockError::Rejected)), "{error:?}");
    let unknown = Keepsake { store: StoreId::from_bytes([7; 16]), ..mixed };
    assert!(matches!(open(honest.clone(), &unknown, None).unwrap_err(), PersonError::Host(_)));
    assert!(open(honest, &mine, None).is_ok());
}

#[test]
fn a_refused_import_leaves_the_box_as_it_was() {
    let honest = honest();
    let (mut person, keepsake) = filled(honest.clone());
    let (values, log) = (person.values().unwrap(), person.log().len());
    for bad in [&b"not json"[..], b"", b"{\"a\": 1, \"a\": 2}", br#"{"new": {"x": 1}, "y": {"z": 1, "z": 2}}"#] {
        let error = block_on(person.import(bad, "myself")).unwrap_err();
        assert!(matches!(error, PersonError::Import(_)), "{error:?}");
    }
    assert_eq!((person.values().unwrap(), person.log().len()), (values.clone(), log));
    assert_eq!(open(honest, &keepsake, None).unwrap().values().unwrap(), values);
}

/// Any byte of any file may be altered: the box then opens to the true values or not at all, and nothing panics.
#[test]
fn random_damage_to_the_files_never_yields_a_wrong_value() {
    let folder = tempfile::tempdir().unwrap();
    let (data, shares, work) = (folder.path().join("data"), folder.path().join("shares"), folder.path().join("work"));
    let (person, keepsake) = filled(sqlite(&data, &shares));
    let values = person.values().unwrap();
    drop(person);
    let mut rng = SeededRng::new(7);
    let mut noticed = 0;
    for _ in 0..60 {
        let _ = fs::remove_dir_all(&work);
        copy(&data, &work.join("data"));
        copy(&shares, &work.join("shares"));
        let files = files(&work);
        let file = &files[usize::try_from(rng.next_u64()).unwrap() % files.len()];
        let mut bytes = fs::read(file).unwrap();
        if bytes.is_empty() {
            continue;
        }
        for _ in 0..40 {
            let at = usize::try_from(rng.next_u64()).unwrap() % bytes.len();
            bytes[at] ^= u8::try_from(rng.next_u64() % 255).unwrap() + 1;
        }
        fs::write(file, bytes).unwrap();
        let Ok(storage) = SqliteStorage::open(work.join("data"), work.join("shares")) else {
            noticed += 1;
            continue;
        };
        let client = serve(storage);
        match open(client, &keepsake, None).and_then(|person| person.values()) {
            Ok(read) => assert_eq!(read, values),
            Err(_) => noticed += 1,
        }
    }
    assert!(noticed > 5, "the damage did not reach anything: {noticed}");
}

type Sqlite = Local<SqliteStorage>;

fn sqlite(data: &Path, shares: &Path) -> Sqlite {
    let storage = SqliteStorage::open(data, shares).unwrap();
    serve(storage)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &target) } else { assert!(fs::copy(&path, &target).is_ok()) }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}
