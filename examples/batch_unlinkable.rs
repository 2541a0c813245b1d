//! Two verifiers compare notes: `cargo run --release --example batch_unlinkable`.
//!
//! A person is issued twenty copies of one credential, and shows a fresh one each time. Two bars put together all the bytes
//! they got and look for anything that is the same in both and not in a stranger's. Exit status 1 if a property does not
//! hold.
#![expect(clippy::print_stdout, reason = "a program that tells a story")]

use std::{collections::BTreeSet, error::Error};

use deedbox_cose::{LocalSigner, Signer as _};
use deedbox_credential::{
    AcceptPolicy, Audience, BatchCopy, Challenge, ClaimSet, CredentialPool, CredentialTemplate, HeldCredential, Issuer,
    LinkableByVerifiers, PoolError, PoolPolicy, Query, StatusAllocator, TrustStore, Vct,
};
use deedbox_model::{Digest, Timestamp};
use deedbox_testkit::rng::SeededRng;

const TOWN: &str = "https://town.example";
const AGE: Vct = Vct::text("https://vct.example/age");
const COPIES: usize = 20;
const STRANGERS: usize = 5;

/// One holder: keys, credentials, and which of them was shown.
struct Holder {
    keys: Vec<LocalSigner>,
    held: Vec<HeldCredential>,
    pool: CredentialPool,
}

impl Holder {
    fn show(&mut self, to: &str, rng: &mut SeededRng, now: Timestamp) -> Result<Vec<u8>, Box<dyn Error>> {
        let audience = Audience::parse(to)?;
        let copy = self.pool.take(&audience, now)?;
        // Stored before anything leaves, or a crash would show this copy twice.
        self.pool = CredentialPool::parse(&self.pool.to_bytes()).ok_or("a pool that can be stored")?;
        let (held, key) = self.find(copy).ok_or("a copy of the batch")?;
        let selection = Query::new(AGE, "to serve you").ask_age(18).select(held)?;
        let challenge = Challenge::generate(rng);
        Ok(held.present(&selection, &audience, challenge.nonce(), key, now)?)
    }

    fn find(&self, copy: Digest) -> Option<(&HeldCredential, &LocalSigner)> {
        self.held.iter().zip(&self.keys).find(|(held, _)| held.digest() == copy)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let now = Timestamp::from_secs(1_800_000_000); // an application asks its clock
    let mut rng = SeededRng::new(1); // and its system for randomness
    let town = LocalSigner::generate(&mut rng);
    let mut trust = TrustStore::new();
    trust.pin_issuer(TOWN, town.public().clone());
    let mut indices = StatusAllocator::new("https://town.example/status/1", 1 << 20);
    let mut person = |name: &str, rng: &mut SeededRng| -> Result<Holder, Box<dyn Error>> {
        let keys: Vec<LocalSigner> = (0..COPIES).map(|_| LocalSigner::generate(rng)).collect();
        let mut copies = Vec::new();
        for key in &keys {
            copies.push(BatchCopy::new(key.public().clone()).with_status(indices.allocate(rng)?));
        }
        let claims = ClaimSet::builder().redactable("name", name).redactable("age_over_18", true).decoys(3).build()?;
        let template = CredentialTemplate::new(AGE, 30 * 86_400);
        let issued = Issuer::new(TOWN, &town).issue_batch(&template, claims, &copies, now, rng)?;
        let mut held = Vec::new();
        for (issued, key) in issued.iter().zip(&keys) {
            let policy = AcceptPolicy::new(key.public().clone());
            held.push(HeldCredential::accept(issued.as_bytes(), &trust, &policy, now)?);
        }
        let pool = CredentialPool::new(&held, PoolPolicy::OnceOnly)?;
        Ok(Holder { keys, held, pool })
    };

    println!("1. The town issues {COPIES} copies to each of {} persons", 1 + STRANGERS);
    let mut ada = person("Ada Lovelace", &mut rng)?;
    let lengths: BTreeSet<usize> = ada.held.iter().map(|held| held.as_bytes().len()).collect();
    println!("   of {lengths:?} bytes, each with its own key, salts, subject and status");

    println!("2. Ada shows that she is 18, in two bars; so do the others");
    let at_first = ada.show("https://first.example", &mut rng, now)?;
    let at_second = ada.show("https://second.example", &mut rng, now)?;
    let mut crowd = Vec::new();
    for number in 0..STRANGERS {
        let mut stranger = person(&format!("Stranger {number}"), &mut rng)?;
        for copy in 0..COPIES {
            let bar = if copy % 2 == 0 { "https://first.example" } else { "https://second.example" };
            crowd.push(stranger.show(bar, &mut rng, now)?);
        }
    }
    let linked = common(&at_first, &at_second, &crowd);
    println!(
        "   {} and {} bytes; runs of eight bytes in both and in nobody else's: {linked}",
        at_first.len(),
        at_second.len()
    );
    check(linked == 0, "the two bars can't tell that it was one person")?;

    println!("3. Had she shown one copy twice, they could");
    let spent = ada.pool.clone();
    let mut careless = CredentialPool::new(ada.held.get(..1).unwrap_or_default(), PoolPolicy::OnceOnly)?
        .allow_reuse(LinkableByVerifiers);
    std::mem::swap(&mut ada.pool, &mut careless);
    let (once, twice) =
        (ada.show("https://first.example", &mut rng, now)?, ada.show("https://second.example", &mut rng, now)?);
    let linked = common(&once, &twice, &crowd);
    println!("   runs in both: {linked} (signature, digests, key, subject, status)");
    check(linked > 100, "the measure finds what links")?;
    ada.pool = spent;

    println!("4. The pool says when to fetch more, and never shows a copy twice by itself");
    let mut due = None;
    while ada.pool.left(now) > 0 {
        if ada.pool.refill_due(now) && due.is_none() {
            due = Some(ada.pool.left(now));
        }
        ada.show("https://third.example", &mut rng, now)?;
    }
    println!("   more were due with {} left", due.unwrap_or_default());
    check(due == Some(COPIES / 4), "a quarter left calls for more")?;
    let empty = ada.pool.take(&Audience::parse("https://first.example")?, now);
    check(empty == Err(PoolError::Empty), "an empty pool shows nothing")?;
    Ok(())
}

/// Runs of eight bytes that both have and nobody in the crowd: long enough that none is in both by chance, short enough to
/// hold a value with what stands around it.
fn common(left: &[u8], right: &[u8], crowd: &[Vec<u8>]) -> usize {
    let runs = |bytes: &[u8]| -> BTreeSet<[u8; 8]> { bytes.array_windows().copied().collect() };
    let known: BTreeSet<[u8; 8]> = crowd.iter().flat_map(|bytes| runs(bytes)).collect();
    runs(left).intersection(&runs(right)).filter(|run| !known.contains(*run)).count()
}

/// Fails the story where a property does not hold.
fn check(holds: bool, property: &str) -> Result<(), Box<dyn Error>> {
    if holds { Ok(()) } else { Err(format!("this did not hold: {property}").into()) }
}

#[test]
fn the_story_holds() {
    main().unwrap();
}
