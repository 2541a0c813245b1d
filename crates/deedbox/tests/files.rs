//! Files beside the fields: stored and read as streams, whole or not at all, gone with their field.

#[path = "shared/local.rs"]
mod local;

use std::{
    collections::BTreeMap,
    io::{self, Read},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use deedbox::{
    HostClient, PersonError,
    host::{HostError, MemoryStorage, Method, Reply, Request, SqliteStorage},
    parts::{
        cose::sha256,
        host::wire::PurgeBody,
        model::FieldPath,
        record::{NewSlot, RecoveryPhrase, SlotType},
        store::Storage,
    },
    person::{Keepsake, NewFile, Open, Person, Secret},
};
use local::{Local, serve};
use pollster::block_on;

const DOCUMENT: &[u8] = br#"{"documents": {"note": "see the scan"}, "person": {"name": "Maren Holloway"}}"#;

type Memory = Local<MemoryStorage>;

fn path(text: &str) -> FieldPath {
    FieldPath::parse(text).unwrap()
}

/// By the phrase: it needs no hashing, which is not what is tested here.
async fn reopened<H: HostClient>(client: H, keepsake: &Keepsake) -> Result<Person<Open<H>>, PersonError> {
    let locked = Person::locate(client, keepsake.store).await?;
    locked.unlock(&Secret::RecoveryPhrase(&keepsake.recovery_phrase), None).await
}

async fn filled<H: HostClient>(client: H) -> (Person<Open<H>>, Keepsake) {
    let (mut person, keepsake) = Person::create(client, "a passphrase").await.unwrap();
    person.import(DOCUMENT, "myself").await.unwrap();
    (person, keepsake)
}

/// Content that is nowhere in memory as a whole, and that no two places of are equal.
struct Content {
    at: u64,
    len: u64,
    /// Where reading fails.
    fails_at: u64,
}

impl Content {
    const fn of(len: u64) -> Self {
        Self { at: 0, len, fails_at: u64::MAX }
    }

    fn byte(at: u64) -> u8 {
        let mixed = (at ^ (at >> 7)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed.to_be_bytes()[0]
    }

    fn bytes(len: u64) -> Vec<u8> {
        (0..len).map(Self::byte).collect()
    }
}

impl Read for Content {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.fails_at {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        // Odd pieces, as a network gives them.
        let len = usize::try_from(self.len - self.at).unwrap().min(buf.len()).min(100_003);
        for byte in &mut buf[..len] {
            *byte = Self::byte(self.at);
            self.at += 1;
        }
        Ok(len)
    }
}

/// What went to a host and came from it, and the chance to change it.
struct Way<S: Storage> {
    honest: Local<S>,
    seen: Arc<Mutex<Seen>>,
    calls: Arc<AtomicUsize>,
    /// The call from which on nothing gets through.
    broken_at: Arc<AtomicUsize>,
    /// Whether the host still hears of that one.
    heard: bool,
    evil: Arc<Mutex<Option<Evil>>>,
}

impl<S: Storage> Clone for Way<S> {
    fn clone(&self) -> Self {
        Self {
            honest: self.honest.clone(),
            seen: Arc::clone(&self.seen),
            calls: Arc::clone(&self.calls),
            broken_at: Arc::clone(&self.broken_at),
            heard: self.heard,
            evil: Arc::clone(&self.evil),
        }
    }
}

#[derive(Default)]
struct Seen {
    /// Blobs that were written: by target, the bytes.
    blobs: BTreeMap<String, Vec<u8>>,
    purged: usize,
    longest: usize,
    /// Bytes of blobs that were read.
    read: usize,
}

#[derive(Clone)]
enum Evil {
    /// Answers with another blob.
    Swap(Vec<u8>),
    /// Says that the blob is so much shorter, or longer, and gives what is there.
    Length(i64),
    /// Gives less than was asked for.
    Short,
    /// Alters this byte of the blob.
    Alter(u64),
    /// Says that it has no such blob.
    Lose,
}

impl<S: Storage> Way<S> {
    fn to(honest: Local<S>) -> Self {
        let broken_at = Arc::new(AtomicUsize::new(usize::MAX));
        Self { honest, seen: Arc::default(), calls: Arc::default(), broken_at, heard: false, evil: Arc::default() }
    }

    fn blobs(&self) -> Vec<String> {
        self.seen.lock().unwrap().blobs.keys().cloned().collect()
    }
}

impl<S: Storage> HostClient for Way<S> {
    fn origin(&self) -> &str {
        self.honest.origin()
    }

    async fn send(&self, request: Request<'_>) -> Result<Reply, HostError> {
        let (call, broken_at) = (self.calls.fetch_add(1, Ordering::Relaxed), self.broken_at.load(Ordering::Relaxed));
        if call >= broken_at {
            if call == broken_at && self.heard {
                let _ = self.honest.send(request).await;
            }
            return Err(HostError::Unreachable);
        }
        let is_blob = request.target.contains("/blobs/");
        let evil = self.evil.lock().unwrap().clone().filter(|_| is_blob && request.method == Method::Get);
        let reply = self.honest.send(request).await;
        {
            let mut seen = self.seen.lock().unwrap();
            if is_blob && request.method == Method::Put {
                let target = request.target.split('?').next().unwrap().to_owned();
                seen.blobs.entry(target).or_default().extend_from_slice(request.body);
            }
            if request.target.ends_with("/purge")
                && matches!(PurgeBody::from_bytes(request.body, 999), Some(PurgeBody::Blob(_)))
            {
                seen.purged += 1;
            }
            let len = reply.as_ref().map_or(0, |reply| reply.body.len());
            seen.longest = seen.longest.max(request.body.len()).max(len);
            seen.read += if is_blob { len } else { 0 };
        }
        let mut reply = reply?;
        match (evil, &mut reply.blob) {
            (Some(Evil::Lose), _) => return Err(HostError::NotFound),
            (Some(Evil::Length(more)), Some(place)) => {
                place.len = place.len.saturating_add_signed(more);
                let here = usize::try_from(place.len.saturating_sub(place.first)).unwrap_or(usize::MAX);
                reply.body.truncate(here);
            }
            (Some(Evil::Short), _) => {
                let half = reply.body.len() / 2;
                reply.body.truncate(half);
            }
            (Some(Evil::Alter(at)), Some(place)) => {
                let at = at.checked_sub(place.first).and_then(|at| usize::try_from(at).ok());
                if let Some(byte) = at.and_then(|at| reply.body.get_mut(at)) {
                    *byte ^= 1;
                }
            }
            (Some(Evil::Swap(other)), Some(place)) => {
                place.len = u64::try_from(other.len()).unwrap();
                let from = usize::try_from(place.first).unwrap().min(other.len());
                reply.body = other[from..other.len().min(from + reply.body.len())].to_vec();
            }
            (None, _) | (_, None) => {}
        }
        Ok(reply)
    }
}

const LEN: u64 = (8 << 20) + 12_345;

fn scan(path: &FieldPath) -> NewFile<'_> {
    NewFile { path, title: "scan.pdf", media: Some("application/pdf"), source: "myself" }
}

async fn read<H: HostClient>(person: &Person<Open<H>>, path: &FieldPath) -> Result<Vec<u8>, PersonError> {
    let mut content = Vec::new();
    person.file(path).await?.copy_to(&mut content).await?;
    Ok(content)
}

#[test]
fn a_file_of_eight_mebibytes_is_stored_and_read_part_by_part() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let storage = SqliteStorage::open(folder.path().join("root"), folder.path().join("shares")).unwrap();
        let way = Way::to(serve(storage));
        let (mut person, keepsake) = filled(way.clone()).await;
        let at = path("documents.scan");
        person.store_file(&scan(&at), &mut Content::of(LEN)).await.unwrap();
        assert!(way.seen.lock().unwrap().longest <= (1 << 20) + 1_000);

        // Another day.
        let person = reopened(way.clone(), &keepsake).await.unwrap();
        let content = Content::bytes(LEN);
        let mut file = person.file(&at).await.unwrap();
        assert_eq!((file.title(), file.media(), file.length()), ("scan.pdf", Some("application/pdf"), LEN));
        assert_eq!(file.sha256().as_bytes(), &sha256(&content));
        for (from, len) in
            [(0, 1), (0, 70_000), (16_383, 2), (5_000_000, 3_000_000), (LEN - 9, 100), (LEN, 5), (LEN + 7, 1)]
        {
            let mut part = vec![0; len];
            let before = way.seen.lock().unwrap().read;
            let read = file.read_at(from, &mut part).await.unwrap();
            let start = usize::try_from(from.min(LEN)).unwrap();
            assert_eq!(part[..read], content[start..content.len().min(start + len)], "{from} {len}");
            // What is not asked for is not fetched.
            assert!(way.seen.lock().unwrap().read - before <= len + len / 8 + 50_000, "{from} {len}");
        }
        let mut whole = Vec::new();
        file.copy_to(&mut whole).await.unwrap();
        assert!(whole == content);
        assert!(way.seen.lock().unwrap().longest <= (1 << 20) + 1_000);

        // Its title is the field's value; the other fields are where they were.
        let (value, provenance) = person.value(&at).unwrap();
        assert_eq!((value.as_item().as_str(), provenance.unwrap().source()), (Some("scan.pdf"), &b"myself"[..]));
        assert_eq!(person.values().unwrap().len(), 3);
        assert_eq!(person.file(&path("person.name")).await.unwrap_err().code(), "NotFound");
        assert_eq!(person.file(&path("documents.other")).await.unwrap_err().code(), "NotFound");
    });
}

#[test]
fn files_of_every_odd_length_come_back() {
    block_on(async {
        let (mut person, _) = filled(serve(MemoryStorage::new())).await;
        for len in [0, 1, 16_383, 16_384, 16_385, 262_144, (1 << 20) - 1, 1 << 20] {
            let at = path(&format!("new.{len}.file"));
            person.store_file(&scan(&at), &mut Content::of(len)).await.unwrap();
            assert!(read(&person, &at).await.unwrap() == Content::bytes(len), "{len}");
        }
    });
}

#[test]
fn an_upload_that_breaks_leaves_nothing_to_be_seen() {
    block_on(async {
        let way = Way::to(serve(MemoryStorage::new()));
        let (mut person, keepsake) = filled(way.clone()).await;
        let at = path("documents.scan");
        let (values, log) = (person.values().unwrap(), person.log().len());
        for fails_at in [0, 1 << 20, 3 << 20] {
            let mut content = Content { fails_at, ..Content::of(4 << 20) };
            let error = person.store_file(&scan(&at), &mut content).await.unwrap_err();
            assert_eq!(error.code(), "File.Blob.Io");
            assert_eq!((person.values().unwrap(), person.log().len()), (values.clone(), log));
            assert_eq!(person.file(&at).await.unwrap_err().code(), "NotFound");
        }
        // The host was told at once to drop what it had.
        assert_eq!(way.seen.lock().unwrap().purged, 3);
        person.store_file(&scan(&at), &mut Content::of(5)).await.unwrap();
        assert_eq!(reopened(way, &keepsake).await.unwrap().values().unwrap().len(), 3);
    });
}

/// Wherever the way to the host breaks, the file is there whole, or the former one is, and storing it again works.
#[test]
fn storing_that_breaks_at_any_call_leaves_the_new_file_or_the_former() {
    block_on(async {
        for heard in [false, true] {
            let mut at_call = 0;
            loop {
                let honest: Memory = serve(MemoryStorage::new());
                let (mut person, keepsake) = filled(honest.clone()).await;
                let at = path("documents.scan");
                person.store_file(&scan(&at), &mut Content::of(7)).await.unwrap();
                let way = Way { heard, ..Way::to(honest.clone()) };
                let mut broken = reopened(way.clone(), &keepsake).await.unwrap();
                way.broken_at.store(way.calls.load(Ordering::Relaxed) + at_call, Ordering::Relaxed);
                let done = broken.store_file(&scan(&at), &mut Content::of(1_200_000)).await.is_ok();
                let mut person = reopened(honest.clone(), &keepsake).await.unwrap();
                let content = read(&person, &at).await.unwrap();
                assert!(content == Content::bytes(7) || content == Content::bytes(1_200_000), "{at_call}");
                assert!(!done || content.len() > 7);
                person.store_file(&scan(&at), &mut Content::of(9)).await.unwrap();
                assert!(read(&person, &at).await.unwrap() == Content::bytes(9));
                if done && way.calls.load(Ordering::Relaxed) <= way.broken_at.load(Ordering::Relaxed) {
                    break;
                }
                at_call += 1;
            }
            assert!(at_call >= 4, "{at_call}");
        }
    });
}

#[test]
fn another_blob_in_the_place_of_the_stored_one_is_noticed() {
    block_on(async {
        let way = Way::to(serve(MemoryStorage::new()));
        let (mut person, _) = filled(way.clone()).await;
        let at = path("documents.scan");
        person.store_file(&scan(&path("other.scan")), &mut Content::of(2_200_000)).await.unwrap();
        let other = way.seen.lock().unwrap().blobs.values().next().unwrap().clone();
        person.store_file(&scan(&at), &mut Content::of(2_200_000)).await.unwrap();
        assert_eq!(read(&person, &at).await.unwrap().len(), 2_200_000);
        for (evil, code) in [
            (Evil::Length(-1), "File.Blob.Truncated"),
            (Evil::Length(-1_500_000), "File.Blob.Truncated"),
            (Evil::Length(1), "File.Blob.Extended"),
            (Evil::Length(1 << 40), "File.Blob.Extended"),
            (Evil::Short, "File.Blob.Truncated"),
            (Evil::Alter(0), "File.Blob.Unsupported"),
            (Evil::Alter(2), "File.Blob.WrongKind"),
            (Evil::Alter(40), "File.Blob.Rejected"),
            (Evil::Alter(70), "File.Blob.Rejected"),
            (Evil::Alter(1_700_000), "File.Blob.Rejected"),
            (Evil::Swap(other[..1_000_000].to_vec()), "File.Blob.Truncated"),
            (Evil::Swap(other), "File.Blob.Rejected"),
            (Evil::Lose, "File.Host.NotFound"),
        ] {
            *way.evil.lock().unwrap() = Some(evil);
            assert_eq!(read(&person, &at).await.unwrap_err().code(), code);
        }
        // What an alteration does not touch is read; what it touches is not.
        *way.evil.lock().unwrap() = Some(Evil::Alter(1_700_000));
        let mut file = person.file(&at).await.unwrap();
        let mut part = [0; 1_000];
        assert_eq!(file.read_at(1_000_000, &mut part).await.unwrap(), 1_000);
        assert_eq!(file.read_at(1_690_000, &mut [0; 20_000]).await.unwrap_err().code(), "Blob.Rejected");
    });
}

#[test]
fn a_file_goes_with_its_field_and_out_of_the_hosts_files() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let storage = SqliteStorage::open(folder.path().join("root"), folder.path().join("shares")).unwrap();
        let way = Way::to(serve(storage));
        let (mut person, keepsake) = filled(way.clone()).await;
        let at = path("documents.scan");
        person.store_file(&scan(&at), &mut Content::of(300_000)).await.unwrap();
        let is_held = || {
            let sealed = way.seen.lock().unwrap().blobs.values().next().unwrap()[1_000..1_064].to_vec();
            files(folder.path()).iter().any(|file| file.windows(64).any(|window| window == sealed))
        };
        assert!(is_held());
        let receipt = person.erase(std::slice::from_ref(&at)).await.unwrap();
        assert!(!is_held());
        let blob = way.blobs()[0].rsplit('/').next().unwrap().to_owned();
        assert_eq!(receipt.datasets[0].objects.len(), 2);
        assert!(receipt.datasets[0].objects.iter().any(|object| object.to_string() == blob));
        assert_eq!(person.file(&at).await.unwrap_err().code(), "NotFound");
        assert_eq!(person.values().unwrap().len(), 2);

        // A field that takes a file's place, and a file another's: what was there goes.
        person.store_file(&scan(&at), &mut Content::of(10)).await.unwrap();
        person.store_file(&scan(&at), &mut Content::of(20)).await.unwrap();
        person.import(br#"{"documents": {"scan": "none any more"}}"#, "myself").await.unwrap();
        assert_eq!((way.blobs().len(), way.seen.lock().unwrap().purged), (3, 3));
        person.store_file(&scan(&at), &mut Content::of(30)).await.unwrap();
        person.erase_dataset("documents").await.unwrap();
        assert_eq!(way.seen.lock().unwrap().purged, 4);
        let person = reopened(way.clone(), &keepsake).await.unwrap();
        assert_eq!((person.values().unwrap().len(), way.seen.lock().unwrap().purged), (1, 4));
    });
}

/// Wherever erasing breaks, the file is there whole or gone; and what the host was not told to remove, it is told later.
#[test]
fn an_erasure_that_breaks_forgets_no_blob() {
    block_on(async {
        let mut at_call = 0;
        loop {
            let honest: Memory = serve(MemoryStorage::new());
            let (mut person, keepsake) = filled(honest.clone()).await;
            let at = path("documents.scan");
            person.store_file(&scan(&at), &mut Content::of(100_000)).await.unwrap();
            let way = Way::to(honest.clone());
            let mut broken = reopened(way.clone(), &keepsake).await.unwrap();
            way.broken_at.store(way.calls.load(Ordering::Relaxed) + at_call, Ordering::Relaxed);
            let done = broken.erase(std::slice::from_ref(&at)).await.is_ok();
            let later = Way::to(honest.clone());
            let mut person = reopened(later.clone(), &keepsake).await.unwrap();
            match read(&person, &at).await {
                Ok(content) => {
                    assert!(content == Content::bytes(100_000) && !done, "{at_call}");
                    person.erase(std::slice::from_ref(&at)).await.unwrap();
                }
                Err(error) => assert_eq!(error.code(), "NotFound"),
            }
            let purged = way.seen.lock().unwrap().purged + later.seen.lock().unwrap().purged;
            assert!(purged >= 1, "{at_call}");
            // And once done, it is not asked for again and again.
            person.import(DOCUMENT, "myself").await.unwrap();
            let last = Way::to(honest);
            drop(reopened(last.clone(), &keepsake).await.unwrap());
            assert_eq!(last.seen.lock().unwrap().purged, 0, "{at_call}");
            if done {
                break;
            }
            at_call += 1;
        }
        assert!(at_call >= 5, "{at_call}");
    });
}

#[test]
fn a_file_outlasts_new_keys() {
    block_on(async {
        let honest: Memory = serve(MemoryStorage::new());
        let (mut person, keepsake) = filled(honest.clone()).await;
        let at = path("documents.scan");
        person.store_file(&scan(&at), &mut Content::of(1_200_000)).await.unwrap();
        // Everything in the dataset is sealed anew, the blob is not.
        person.erase(&[path("documents.note")]).await.unwrap();
        assert!(read(&person, &at).await.unwrap() == Content::bytes(1_200_000));
        let phrase = RecoveryPhrase::parse(&keepsake.recovery_phrase).unwrap();
        let slot = *person.slots().iter().find(|slot| slot.slot_type() == SlotType::Phrase).unwrap().id();
        person.rotate_root(&[], &[(slot, NewSlot::Phrase(&phrase))]).await.unwrap();
        assert!(read(&person, &at).await.unwrap() == Content::bytes(1_200_000));
        let person = reopened(honest, &keepsake).await.unwrap();
        assert!(read(&person, &at).await.unwrap() == Content::bytes(1_200_000));
    });
}

#[test]
fn a_box_moves_with_its_files() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let way = Way::to(serve(MemoryStorage::new()));
        let (mut person, keepsake) = filled(way.clone()).await;
        let sizes = [("documents.scan", 5_000_000), ("documents.note", 0), ("new.photo", 1 << 20)];
        for (at, len) in sizes {
            person.store_file(&scan(&path(at)), &mut Content::of(len)).await.unwrap();
        }
        let at = folder.path().join("box.deedbox");
        let exported = person.export(&mut std::fs::File::create(&at).unwrap()).await.unwrap();
        assert_eq!((exported.bytes, exported.lost.len()), (std::fs::metadata(&at).unwrap().len(), 0));

        let phrase = Secret::RecoveryPhrase(&keepsake.recovery_phrase);
        let elsewhere = Way::to(serve(MemoryStorage::new()));
        let mut bundle = std::fs::File::open(&at).unwrap();
        let moved = Person::import_bundle(elsewhere.clone(), &mut bundle, &phrase).await.unwrap();
        assert_eq!(moved.values().unwrap(), person.values().unwrap());
        for (at, len) in sizes {
            assert!(read(&moved, &path(at)).await.unwrap() == Content::bytes(len), "{at}");
        }
        assert!(elsewhere.seen.lock().unwrap().longest <= (1 << 20) + 1_000);
        // It is there, and is not overwritten.
        bundle = std::fs::File::open(&at).unwrap();
        let again = Person::import_bundle(elsewhere, &mut bundle, &phrase).await.unwrap_err();
        assert_eq!(again.code(), "Conflict");

        // Another person's secret, a byte that was altered, a file that is cut short: nothing reaches the host.
        let bytes = std::fs::read(&at).unwrap();
        let untouched = Way::to(serve(MemoryStorage::new()));
        let mut altered = bytes.clone();
        altered[3_000_000] ^= 1;
        for (bytes, code) in [(&altered[..], "Bundle.Rejected"), (&bytes[..4_000_000], "Bundle.Malformed")] {
            let refused = Person::import_bundle(untouched.clone(), &mut io::Cursor::new(bytes), &phrase).await;
            assert_eq!(refused.unwrap_err().code(), code);
        }
        let (_, other) = filled(serve(MemoryStorage::new())).await;
        let secret = Secret::RecoveryPhrase(&other.recovery_phrase);
        let refused = Person::import_bundle(untouched.clone(), &mut io::Cursor::new(&bytes), &secret).await;
        assert_eq!(refused.unwrap_err().code(), "Unlock.Rejected");
        assert_eq!(untouched.calls.load(Ordering::Relaxed), 0);

        // What the host has lost is named, and the rest leaves.
        *way.evil.lock().unwrap() = Some(Evil::Lose);
        let mut out = Vec::new();
        let mut lost: Vec<String> =
            person.export(&mut out).await.unwrap().lost.iter().map(|path| path.as_str().to_owned()).collect();
        lost.sort();
        assert_eq!(lost, ["documents.note", "documents.scan", "new.photo"]);
        *way.evil.lock().unwrap() = Some(Evil::Alter(900_000));
        assert_eq!(person.export(&mut Vec::new()).await.unwrap_err().code(), "File.Blob.Rejected");
    });
}

/// Wherever a move breaks, nothing is to be seen at the new host before all of it is there, and asking again ends it.
#[test]
fn a_move_that_breaks_at_any_call_is_gone_on_with() {
    block_on(async {
        let (mut person, keepsake) = filled(serve(MemoryStorage::new())).await;
        let at = path("documents.scan");
        person.store_file(&scan(&at), &mut Content::of(1_200_000)).await.unwrap();
        let mut bundle = Vec::new();
        person.export(&mut bundle).await.unwrap();
        let phrase = Secret::RecoveryPhrase(&keepsake.recovery_phrase);
        for heard in [false, true] {
            let mut at_call = 0;
            loop {
                let honest: Memory = serve(MemoryStorage::new());
                let way = Way { heard, ..Way::to(honest.clone()) };
                way.broken_at.store(at_call, Ordering::Relaxed);
                let moved = Person::import_bundle(way.clone(), &mut io::Cursor::new(&bundle), &phrase).await;
                let done = moved.is_ok();
                let seen = reopened(honest.clone(), &keepsake).await;
                if let Ok(seen) = &seen {
                    assert!(read(seen, &at).await.unwrap() == Content::bytes(1_200_000), "{at_call}");
                } else {
                    assert!(!done);
                    let again = Person::import_bundle(honest, &mut io::Cursor::new(&bundle), &phrase).await;
                    let moved = again.unwrap_or_else(|error| panic!("{at_call}: {}", error.code()));
                    assert!(read(&moved, &at).await.unwrap() == Content::bytes(1_200_000), "{at_call}");
                    assert_eq!(moved.values().unwrap(), person.values().unwrap());
                }
                if done {
                    break;
                }
                at_call += 1;
            }
            assert!(at_call >= 8, "{at_call}");
        }
    });
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
