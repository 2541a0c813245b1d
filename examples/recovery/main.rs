//! Ways back into a box: `cargo run --release --example recovery`.
//!
//! A person loses their phone and opens the box with 24 words on paper; loses the paper too, and opens it with what two of
//! three contacts kept; changes the passphrase; and when the phone turns up in somebody's hands, shuts it out. Each property
//! is checked by looking, and the exit status is 1 if one does not hold.
//!
//! It stands on `deedbox-record` and `deedbox-store` alone: what an app does by a call of the facade is seen here in parts.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that tells a story")]

mod strongroom;

use std::process::ExitCode;

use deedbox::parts::{
    cbor::{Item, ItemBuf, Limits, Writer},
    cose::RecipientSecret,
    model::{DatasetId, Epoch, ObjectId, StoreId, StoreName, Timestamp},
    record::{
        AccountSecret, EpochKeys, Granularity, Header, HostShare, Keyring, NewSlot, Passphrase, PassphraseCost, Record,
        RecoveryPhrase, Replica, Root, Share, ShareError, SlotId, SlotType, ThresholdSecret, Unlock, UnlockError, peek,
    },
};
use strongroom::Strongroom;

/// Why the story stops.
#[derive(Debug)]
pub(crate) struct Stop(String);

impl<E: std::fmt::Display> From<E> for Stop {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// Fails the story where a property does not hold.
fn check(holds: bool, property: &str) -> Result<(), Stop> {
    if holds { Ok(()) } else { Err(Stop(format!("this did not hold: {property}"))) }
}

type Rng = rand_core::UnwrapErr<getrandom::SysRng>;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const WORDS: Passphrase<'static> = Passphrase::new("the blue boat by the mill");
const NEW_WORDS: Passphrase<'static> = Passphrase::new("nine geese over the ridge");
/// What the person keeps in the box.
const PAPERS: [(&str, &str); 2] = [("insurance.number", "KX-40417-88"), ("deed.place", "parcel 7, Uferweg, Bern")];

fn main() -> ExitCode {
    match pollster::block_on(run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Stop(line)) => {
            eprintln!("recovery: {line}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Stop> {
    let mut rng: Rng = rand_core::UnwrapErr(getrandom::SysRng);
    let rng = &mut rng;

    println!("1. A box with four ways in");
    let (phone, account) = (RecipientSecret::generate(rng)?, AccountSecret::generate(rng));
    let paper = RecoveryPhrase::generate(rng);
    let (contacts, shares) = ThresholdSecret::split(2, 3, rng)?;
    let cost = PassphraseCost::DEFAULT;
    let slots = [
        NewSlot::Passphrase { passphrase: &WORDS, account_secret: &account, cost },
        NewSlot::Recipient(phone.public()),
        NewSlot::Phrase(&paper),
        NewSlot::Threshold(&contacts),
    ];
    let host = create(&slots, rng).await?;
    println!("   a passphrase, with a secret that the person's devices hold; the phone's own key;");
    println!("   24 words on paper; and a share for each of three contacts, two of whom are needed");
    let header = host.header().await?;
    for slot in header.slots() {
        println!("   the host sees a slot of type {}: {:?}", slot.slot_type().number(), slot.slot_type());
    }
    let (seen, written) = (host.everything().await?, paper.words());
    let secrets: [&[u8]; 5] =
        [PAPERS[0].1.as_bytes(), PAPERS[1].1.as_bytes(), b"blue boat", account.expose(), written.as_bytes()];
    let found = secrets.iter().any(|secret| seen.windows(secret.len()).any(|window| window == *secret));
    check(!found, "nothing that opens the box, and nothing in it, is at the host")?;
    println!("   {} bytes at the host, searched: no paper, no passphrase, no secret", seen.len());

    println!("2. The phone is gone: a new one, and the 24 words");
    println!("   {} …", written.split(' ').take(3).collect::<Vec<_>>().join(" "));
    let typed = RecoveryPhrase::parse(&written.to_uppercase())?;
    let root = header.unlock(&slot(&header, SlotType::Phrase)?, &Unlock::Phrase(&typed))?;
    check(read(&host, &root).await? == papers(), "the words open everything")?;
    println!("   everything is there, and verified before it was used");
    let mistyped = written.replacen(' ', " zoo ", 1);
    check(RecoveryPhrase::parse(&mistyped).is_err(), "a word too many is noticed before anything is tried")?;
    let others = RecoveryPhrase::generate(rng);
    let refused = header.unlock(&slot(&header, SlotType::Phrase)?, &Unlock::Phrase(&others)).err();
    check(refused == Some(UnlockError::Rejected), "24 other words are refused")?;
    println!("   24 other words: refused");

    println!("3. The paper is gone too: two of the three contacts");
    let [one, two, three] = shares.as_slice() else { return Err("three shares".into()) };
    let [one, two, three] = [one, two, three].map(Share::encode);
    let slot_id = slot(&header, SlotType::Threshold)?;
    let threshold = header.slots().iter().find_map(|slot| slot.threshold()).ok_or("a threshold slot")?;
    for (who, first, second) in [("1 and 2", &one, &two), ("2 and 3", &two, &three), ("3 and 1", &three, &one)] {
        let joined = ThresholdSecret::join(&threshold, &[Share::decode(first)?, Share::decode(second)?])?;
        let root = header.unlock(&slot_id, &Unlock::Threshold(&joined))?;
        check(read(&host, &root).await? == papers(), "two contacts open everything")?;
        println!("   contacts {who}: open");
    }
    let alone = ThresholdSecret::join(&threshold, &[Share::decode(&one)?]).err();
    check(alone == Some(ShareError::TooFew { missing: 1 }), "one contact is not enough")?;
    let mut wrong = two.to_vec();
    wrong.iter_mut().last().into_iter().for_each(|byte| *byte ^= 1);
    let joined = ThresholdSecret::join(&threshold, &[Share::decode(&one)?, Share::decode(&wrong)?])?;
    let refused = header.unlock(&slot_id, &Unlock::Threshold(&joined)).err();
    check(refused == Some(UnlockError::Rejected), "a wrong share is refused")?;
    println!("   one alone: one more is needed; one with a wrong share: refused");

    println!("4. The passphrase is changed");
    let passphrase_id = slot(&header, SlotType::Passphrase)?;
    let by = |passphrase| Unlock::Passphrase { passphrase, account_secret: &account };
    let root = header.unlock(&passphrase_id, &by(&WORDS))?;
    let before = host.objects().await?;
    let new = NewSlot::Passphrase { passphrase: &NEW_WORDS, account_secret: &account, cost };
    host.exchange(&header, &header.replace_slot(&root, &passphrase_id, &new, rng)?, &[]).await?;
    let old_header = header;
    let header = host.header().await?;
    check(host.objects().await? == before, "no record was touched")?;
    check(header.unlock(&passphrase_id, &by(&WORDS)).err() == Some(UnlockError::Rejected), "the old one is refused")?;
    check(read(&host, &header.unlock(&passphrase_id, &by(&NEW_WORDS))?).await? == papers(), "the new one opens")?;
    println!("   one slot of the header was written anew, and nothing else: {} objects as they were", before.len());
    println!("   the new passphrase: opens; the old one: refused");
    check(old_header.unlock(&passphrase_id, &by(&WORDS)).is_ok(), "an old header is what it was")?;
    println!("   whoever kept the old header and the old passphrase has the root secret still; so:");

    println!("5. The phone turns up in somebody's hands: a new root secret");
    let (tablet, new_root) = (RecipientSecret::generate(rng)?, root.next(rng)?);
    let header = {
        let next = header.add_slot(&root, &NewSlot::Recipient(tablet.public()), rng)?;
        host.exchange(&header, &next, &[]).await?;
        host.header().await?
    };
    let [phone_id, tablet_id] = [&phone, &tablet].map(|device| {
        let found = header.slots().iter().find(|slot| slot.recipient() == Some(device.public().thumbprint()));
        found.map(|slot| *slot.id())
    });
    let (phone_id, tablet_id) = (phone_id.ok_or("the phone's slot")?, tablet_id.ok_or("the tablet's slot")?);
    let with = [(passphrase_id, NewSlot::Passphrase { passphrase: &NEW_WORDS, account_secret: &account, cost })];
    let (next, dropped) = header.rotate_root(&root, &new_root, &[phone_id], &with, rng)?;
    rotate(&host, &header, &next, &root, &new_root, rng).await?;
    let (old_header, header) = (header, host.header().await?);
    println!("   {} slots were dropped: the phone's, and two whose secrets were not at hand", dropped.len());
    for (id, secret) in [(passphrase_id, by(&NEW_WORDS)), (tablet_id, Unlock::Recipient(&tablet))] {
        check(read(&host, &header.unlock(&id, &secret)?).await? == papers(), "who stays opens everything")?;
    }
    println!("   the passphrase opens; the tablet opens, though it was not even on");
    let refused = header.unlock(&phone_id, &Unlock::Recipient(&phone)).err();
    check(refused == Some(UnlockError::NoSuchSlot), "the phone has no slot any more")?;
    let kept = old_header.unlock(&phone_id, &Unlock::Recipient(&phone))?;
    check(read(&host, &kept).await.is_err(), "what the phone kept opens nothing that the host has now")?;
    println!("   the phone, with a header that it kept: a root secret that opens nothing at the host any more;");
    println!("   what it had opened before, it may have kept: datasets get new keys by a rotation of their own");
    Ok(())
}

/// Makes the box: its header, its keyring, and one dataset with the papers.
async fn create(slots: &[NewSlot<'_>], rng: &mut Rng) -> Result<Strongroom, Stop> {
    let root = Root::generate(StoreId::generate(rng), rng);
    let (name, id) = (StoreName::from(*root.store()), DatasetId::generate(rng));
    let host = Strongroom::open(&Header::create(&root, slots, rng)?, [DatasetId::META, id]).await?;
    let share = HostShare::generate(rng);
    host.keep_share(Epoch::FIRST, &share).await?;
    let mut keyring = Keyring::generate(rng);
    let dataset = keyring.add_dataset(name, id, "papers", Granularity::Field, rng)?;
    let replica = Replica::create(name, id);
    let mut draft = replica.draft();
    for (path, text) in PAPERS {
        let mut writer = Writer::new();
        writer.text(text);
        let value = ItemBuf::parse(writer.as_slice(), &Limits::new(1_000))?;
        draft.put(dataset.name_key().object_id(path), &Record::new("text", 1, path, value)?)?;
    }
    let papers = draft.sign(dataset.keys(), NOW, rng)?;
    let meta = Replica::create(name, DatasetId::META);
    let mut draft = meta.draft();
    draft.put_keyring(&keyring)?;
    let ring = draft.sign(&root.meta_keys(&share, Epoch::FIRST), NOW, rng)?;
    host.commit(&[&papers, &ring], None).await?;
    Ok(host)
}

/// Reads the box with a root secret and nothing else that is remembered: share, keyring, datasets, each verified.
async fn read(host: &Strongroom, root: &Root) -> Result<Vec<(String, String)>, Stop> {
    let (keyring, _, _) = keyring(host, root).await?;
    let mut papers = Vec::new();
    for dataset in keyring.datasets() {
        let (replica, objects) = fetch(host, *dataset.store(), *dataset.id(), dataset.keys()).await?;
        for (object, bytes) in &objects {
            let record = Record::decode(replica.open(object, bytes, dataset.keys())?.payload())?;
            let value = record.value().as_item();
            papers.push((record.name().to_owned(), Item::as_str(value).ok_or("a text")?.to_owned()));
        }
    }
    papers.sort();
    Ok(papers)
}

/// The keyring, where it lies, and the epoch it is sealed in.
async fn keyring(host: &Strongroom, root: &Root) -> Result<(Keyring, Replica, Epoch), Stop> {
    let (_, rows) = host.dataset(DatasetId::META).await?;
    let (_, _, _, bytes) = rows.first().ok_or("a keyring")?;
    let epoch = peek(bytes)?.epoch().ok_or("an epoch")?;
    let keys = root.meta_keys(&host.share(epoch).await?, epoch);
    let (replica, objects) = fetch(host, StoreName::from(*root.store()), DatasetId::META, &keys).await?;
    let (_, bytes) = objects.first().ok_or("a keyring")?;
    let keyring = Keyring::decode(replica.open(&ObjectId::KEYRING, bytes, &keys)?.payload())?;
    Ok((keyring, replica, epoch))
}

/// A dataset as the host gives it, verified against its signed head.
async fn fetch(
    host: &Strongroom,
    store: StoreName,
    dataset: DatasetId,
    keys: &EpochKeys,
) -> Result<(Replica, Vec<(ObjectId, Vec<u8>)>), Stop> {
    let (heads, rows) = host.dataset(dataset).await?;
    let mut replica = Replica::new(store, dataset);
    let heads: Vec<_> = heads.iter().map(Vec::as_slice).collect();
    let _ = replica.apply(&heads, &strongroom::changed(&rows), keys)?;
    // A device that remembers nothing can't tell how old this is.
    replica.accept_unknown();
    Ok((replica, rows.into_iter().map(|(object, _, _, bytes)| (object, bytes)).collect()))
}

/// Header and keyring in one commit: the keyring under the new root, a new share and a new epoch. Then the old share goes.
async fn rotate(
    host: &Strongroom,
    header: &Header,
    next: &Header,
    root: &Root,
    new_root: &Root,
    rng: &mut Rng,
) -> Result<(), Stop> {
    let (keyring, meta, epoch) = keyring(host, root).await?;
    let (share, next_epoch) = (HostShare::generate(rng), epoch.next().ok_or("an epoch")?);
    host.keep_share(next_epoch, &share).await?;
    let mut draft = meta.draft();
    draft.put_keyring(&keyring)?;
    let part = draft.sign(&new_root.meta_keys(&share, next_epoch), NOW, rng)?;
    host.exchange(header, next, &[&part]).await?;
    host.drop_share(epoch).await
}

fn papers() -> Vec<(String, String)> {
    let mut papers = PAPERS.map(|(path, text)| (path.to_owned(), text.to_owned())).to_vec();
    papers.sort();
    papers
}

/// The slot of that type.
fn slot(header: &Header, kind: SlotType) -> Result<SlotId, Stop> {
    let found = header.slots().iter().find(|slot| slot.slot_type() == kind);
    Ok(*found.ok_or("no slot of that type")?.id())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_story_ends_well() {
        pollster::block_on(super::run()).unwrap();
    }
}
