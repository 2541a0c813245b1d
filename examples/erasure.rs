//! Three ways to erase, and what each may claim: `cargo run --release --example erasure`.
//!
//! A person keeps three papers at a host that archives everything it ever had. One is deleted, one is erased, and then a
//! device is lost and the root is replaced. After each step the host's files, its archive and the person's own keys are
//! looked at, and the exit status is 1 if a property does not hold.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that tells a story")]

use std::{collections::HashSet, fs, path::Path, process::ExitCode, sync::Arc};

use deedbox::{
    LocalHost,
    host::{Admission, Config, Host, SqliteStorage, system_clock},
    parts::{
        model::{FieldPath, ObjectId, Timestamp},
        record::{ErasureReceipt, NewSlot, OUT_OF_REACH, RecoveryPhrase, SlotType},
    },
    person::{Keepsake, Open, Person, Secret},
};

const PAPERS: &[u8] =
    br#"{"papers": {"receipt": "paid, 14 March", "diagnosis": "C50.9, left", "deed": "parcel 7, Bern"}}"#;
const PASSPHRASE: &str = "the blue boat by the mill";

type Client = LocalHost<SqliteStorage, fn() -> Timestamp>;
type Stop = Box<dyn std::error::Error>;

/// Fails the story where a property does not hold.
fn check(holds: bool, property: &str) -> Result<(), Stop> {
    if holds { Ok(()) } else { Err(format!("this did not hold: {property}").into()) }
}

fn main() -> ExitCode {
    match pollster::block_on(run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("erasure: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Stop> {
    let folder = tempfile::tempdir()?;
    let client = host(&folder.path().join("live"))?;
    let (mut person, keepsake) = Person::create(client.clone(), PASSPHRASE).await?;
    person.import(PAPERS, "myself").await?;
    println!("Three papers are in the box: {}", paths(&person)?.join(", "));

    // The host keeps an archive of each day. It is a copy of its files, shares and all.
    archive(folder.path(), "monday")?;
    let [receipt, diagnosis] = ["papers.receipt", "papers.diagnosis"].map(FieldPath::parse);

    println!("\n1. The receipt is deleted");
    let done = person.purge(&[receipt?]).await?;
    tell(&done);
    check(paths(&person)? == ["papers.deed", "papers.diagnosis"], "the receipt is gone")?;
    check(opens(folder.path(), "monday", &keepsake).await?.len() == 3, "the archive still opens")?;
    println!("   Monday's archive, brought back: the receipt is in it, and opens");

    println!("\n2. The diagnosis is erased");
    let mut export = Vec::new();
    person.export(&mut export).await?;
    let live = folder.path().join("live");
    let done = person.erase(&[diagnosis?]).await?;
    tell(&done);
    check(paths(&person)? == ["papers.deed"], "the diagnosis is gone")?;
    let erased = done.datasets.first().and_then(|erased| erased.objects.first()).ok_or("one object")?;
    let former = ciphertext(&export, erased)?;
    check(holds(&folder.path().join("monday"), former)?, "the archive has the ciphertext")?;
    check(!holds(&live, former)?, "the host's live files have not 32 bytes of it")?;
    println!("   {} bytes of ciphertext: in Monday's archive, and in none of the host's live files", former.len());
    // The archive of the shares lapses, as the host's policy says it does: what is left is Monday's ciphertext.
    fs::remove_dir_all(folder.path().join("monday/shares"))?;
    check(opens(folder.path(), "monday", &keepsake).await.is_err(), "without its share the archive does not open")?;
    println!("   Monday's archive without its share, whose back-ups have lapsed: opens by no secret of the person's");

    println!("\n3. A phone with the keys in it is lost");
    let slot = person.slots().iter().find(|slot| slot.slot_type() == SlotType::Phrase).map(|slot| *slot.id());
    let words = RecoveryPhrase::parse(&keepsake.recovery_phrase)?;
    let mut phone = unlock(client.clone(), &keepsake).await?;
    let (done, dropped) = person.rotate_root(&[], &[(slot.ok_or("a phrase")?, NewSlot::Phrase(&words))]).await?;
    tell(&done);
    check(dropped.len() == 1, "the passphrase's slot was not at hand")?;
    person.import(br#"{"papers": {"will": "to Ada"}}"#, "myself").await?;
    let refused = phone.import(PAPERS, "thief").await.err().ok_or("the phone is refused")?;
    println!("   the phone asks the host: {refused}");
    check(phone.refresh().await.is_err(), "the phone reads nothing that is new")?;
    let again = unlock(client, &keepsake).await?;
    check(paths(&again)? == ["papers.deed", "papers.will"], "the person goes on with the 24 words")?;
    println!("   the 24 words open the box: {}", paths(&again)?.join(", "));

    println!("\nOut of reach of any of it:");
    OUT_OF_REACH.iter().for_each(|what| println!("   - {what}"));
    Ok(())
}

/// What a receipt of the host's and the person's agent together may claim.
fn tell(receipt: &ErasureReceipt) {
    let objects: usize = receipt.datasets.iter().map(|erased| erased.objects.len()).sum();
    let what = if objects == 1 { ", one object" } else { "" };
    println!("   level {}{what}: {}", receipt.level.number(), receipt.level.guarantee());
    if let Some(epoch) = receipt.keyring_epoch {
        println!("   keyrings before epoch {} open no more after {} days", epoch.get(), receipt.host.share_backup_days);
    }
}

fn host(folder: &Path) -> Result<Client, Stop> {
    let mut config = Config::default();
    config.admission = Admission::Open;
    let clock: fn() -> Timestamp = system_clock;
    let storage = SqliteStorage::open(folder.join("root"), folder.join("shares"))?;
    Ok(LocalHost::new(Arc::new(Host::new(storage, clock, config)), "https://host.example"))
}

async fn unlock(client: Client, keepsake: &Keepsake) -> Result<Person<Open<Client>>, Stop> {
    let locked = Person::locate(client, keepsake.store).await?;
    Ok(locked.unlock(&Secret::RecoveryPhrase(&keepsake.recovery_phrase), None).await?)
}

fn paths(person: &Person<Open<Client>>) -> Result<Vec<String>, Stop> {
    Ok(person.values()?.iter().map(|value| value.path.as_str().to_owned()).collect())
}

/// Copies the host's files.
fn archive(folder: &Path, name: &str) -> Result<(), Stop> {
    let mut folders = vec![folder.join("live")];
    while let Some(from) = folders.pop() {
        let to = folder.join(name).join(from.strip_prefix(folder.join("live"))?);
        fs::create_dir_all(&to)?;
        for entry in fs::read_dir(&from)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Some(file) = path.file_name() {
                fs::copy(&path, to.join(file))?;
            }
        }
    }
    Ok(())
}

/// What the person's secrets open in an archive, run as a host of its own.
async fn opens(folder: &Path, name: &str, keepsake: &Keepsake) -> Result<Vec<String>, Stop> {
    paths(&unlock(host(&folder.join(name))?, keepsake).await?)
}

/// The sealed bytes of an object: an export holds them behind its id, number and kind, as the host has them.
fn ciphertext<'a>(export: &'a [u8], object: &ObjectId) -> Result<&'a [u8], Stop> {
    let at = export.windows(16).position(|window| window == object.as_bytes()).ok_or("no such object")?;
    Ok(export.get(at + 32..at + 160).ok_or("an object has more")?)
}

/// Whether any 32 bytes of `wanted` are in any file of a folder.
fn holds(folder: &Path, wanted: &[u8]) -> Result<bool, Stop> {
    let wanted: HashSet<&[u8]> = wanted.windows(32).collect();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if fs::read(path)?.windows(32).any(|window| wanted.contains(window)) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

#[test]
fn the_story_holds() {
    pollster::block_on(run()).expect("every property");
}
