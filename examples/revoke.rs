//! Taking a credential back: `cargo run --release --example revoke`.
//!
//! An issuer publishes one signed list for a million credentials. A verifier reads the one entry it needs: valid, suspended,
//! revoked for good. Lists that are stale, forged, another's or a bomb are refused. Exit status 1 if a property does not
//! hold.
#![expect(clippy::print_stdout, reason = "a program that tells a story")]

use std::error::Error;

use deedbox_cose::{LocalSigner, Signer as _};
use deedbox_credential::{
    AcceptPolicy, Accepted, Audience, Challenge, ClaimSet, CredentialTemplate, FetchedStatusList, HeldCredential,
    Issuer, Status, StatusAllocator, StatusBits, StatusList, StatusListBuilder, StatusListError, StatusPolicy,
    StatusReference, TrustStore, Vct, VctPolicy, Verifier, VerifyError, claim_path,
};
use deedbox_model::Timestamp;
use deedbox_testkit::rng::SeededRng;

const OFFICE: &str = "https://office.example";
const LISTS: &str = "https://office.example/status/1";
const PERMIT: Vct = Vct::text("https://vct.example/permit");

/// What the verifier asks, again and again.
struct Door<'s> {
    trust: TrustStore,
    held: HeldCredential,
    key: &'s LocalSigner,
    rng: SeededRng,
}

impl Door<'_> {
    fn open(&mut self, list: &StatusList, now: Timestamp) -> Result<Result<Accepted, VerifyError>, Box<dyn Error>> {
        let audience = Audience::parse("https://door.example")?;
        let challenge = Challenge::generate(&mut self.rng);
        let selection = self.held.select(&[claim_path!["room"]])?;
        let shown = self.held.present(&selection, &audience, challenge.nonce(), self.key, now)?;
        let verifier = Verifier::new(&self.trust, audience, VctPolicy::one(PERMIT), StatusPolicy::Required);
        let shown = verifier.verify(&shown, challenge, now)?;
        Ok(shown.accept_listed(list, now))
    }

    fn read(&self, token: &[u8], received_at: Timestamp, now: Timestamp) -> Result<StatusList, VerifyError> {
        let source = self.held.status_source().ok_or(deedbox_credential::StatusError::Absent)?;
        StatusList::verify(FetchedStatusList::new(token, received_at), &source, &self.trust, now)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let now = Timestamp::from_secs(1_800_000_000); // an application asks its clock
    let later = |secs: u64| Timestamp::from_secs(now.secs() + secs);
    let mut rng = SeededRng::new(1); // and its system for randomness
    let (office, lists, person) =
        (LocalSigner::generate(&mut rng), LocalSigner::generate(&mut rng), LocalSigner::generate(&mut rng));
    let mut trust = TrustStore::new();
    trust.pin_issuer(OFFICE, office.public().clone()).pin_status_key(OFFICE, lists.public().clone());

    println!("1. The office gives out an index at random, and a permit that names it");
    let mut indices = StatusAllocator::new(LISTS, 1 << 20);
    let reference = indices.allocate(&mut rng)?;
    let mut list = StatusListBuilder::new(LISTS, StatusBits::Two);
    let claims = ClaimSet::builder().redactable("room", "archive").redactable("name", "Ada").build()?;
    let template = CredentialTemplate::new(PERMIT, 365 * 86_400);
    let issuer = Issuer::new(OFFICE, &office);
    let issued = issuer.issue(&template, claims, person.public(), Some(&reference), now, &mut rng)?;
    let policy = AcceptPolicy::new(person.public().clone());
    let held = HeldCredential::accept(issued.as_bytes(), &trust, &policy, now)?;
    let mut door = Door { trust, held, key: &person, rng };
    let token = list.publish(&lists, now)?;
    println!("   {} entries in a token of {} bytes", list.len(), token.len());

    println!("2. Valid, suspended, valid again, revoked for good");
    for (status, want) in [
        (Status::Valid, "ok"),
        (Status::Suspended, "Status.Suspended"),
        (Status::Valid, "ok"),
        (Status::Revoked, "Status.Revoked"),
    ] {
        list.set(reference.idx(), status)?;
        let token = list.publish(&lists, now)?;
        let got = code(door.open(&door.read(&token, now, now)?, now)?);
        println!("   {status:?}: {got}");
        check(got == want, "the door opens for a valid permit, and for no other")?;
    }
    check(list.set(reference.idx(), Status::Valid) == Err(StatusListError::Final), "what is revoked stays so")?;

    println!("3. A list is looked at again whenever it is used");
    let fresh = StatusListBuilder::new(LISTS, StatusBits::Two).publish(&lists, now)?;
    let kept = door.read(&fresh, now, now)?;
    check(code(door.open(&kept, later(43_200))?) == "ok", "it may be kept for twelve hours")?;
    check(code(door.open(&kept, later(43_201))?) == "Time.Stale", "and no second longer")?;
    check(code(door.read(&fresh, later(86_460), later(86_460))) == "Time.Expired", "nor fetched after a day")?;

    println!("4. Lists that say nothing about this permit");
    let forged = StatusListBuilder::new(LISTS, StatusBits::Two).publish(&person, now)?;
    check(code(door.read(&forged, now, now)) == "Trust.UnknownKey", "one that somebody else signed")?;
    let misused = StatusListBuilder::new(LISTS, StatusBits::Two).publish(&office, now)?;
    check(code(door.read(&misused, now, now)) == "Trust.UnknownKey", "one by a key that issues credentials")?;
    let elsewhere = StatusListBuilder::new("https://office.example/status/2", StatusBits::Two).publish(&lists, now)?;
    check(code(door.read(&elsewhere, now, now)) == "Status.Uri", "the list of another URI")?;
    let short = StatusListBuilder::with_entries(LISTS, StatusBits::Two, 4).publish(&lists, now)?;
    let got = code(door.open(&door.read(&short, now, now)?, now)?);
    check(got == "Status.OutOfRange", "one that does not reach as far")?;
    let mut altered = 0;
    for at in 0..short.len() {
        let mut bad = short.clone();
        if let Some(byte) = bad.get_mut(at) {
            *byte ^= 1;
        }
        check(door.read(&bad, now, now).is_err(), "one of which a byte was altered")?;
        altered += 1;
    }
    println!("   another signer, another URI, too short, each of {altered} bytes altered: refused");

    println!("5. A status is never skipped");
    let audience = Audience::parse("https://door.example")?;
    let challenge = Challenge::generate(&mut door.rng);
    let selection = door.held.select(&[])?;
    let shown = door.held.present(&selection, &audience, challenge.nonce(), door.key, now)?;
    let lax = StatusPolicy::ShortLived { max_secs: u64::MAX };
    let verifier = Verifier::new(&door.trust, audience, VctPolicy::one(PERMIT), lax);
    let skipped = verifier.verify(&shown, challenge, now)?.accept_unlisted();
    check(code(skipped) == "Status.Uri", "whatever the policy, a permit with a status needs its list")?;
    let other = StatusReference::new(reference.idx(), LISTS);
    check(door.held.status() == Some(&other), "and the person sees where that is")?;
    Ok(())
}

/// Stage and fault of a refusal, or `ok`.
fn code<T>(result: Result<T, VerifyError>) -> String {
    result.map_or_else(|error| error.code().into(), |_| "ok".into())
}

/// Fails the story where a property does not hold.
fn check(holds: bool, property: &str) -> Result<(), Box<dyn Error>> {
    if holds { Ok(()) } else { Err(format!("this did not hold: {property}").into()) }
}

#[test]
fn the_story_holds() {
    main().unwrap();
}
