//! A credential from end to end: `cargo run --release --example issue_present_verify`.
//!
//! A hospital checks a blood group once and gives the person a signed credential. The person shows that one value to a
//! charity, bound to its challenge. Whoever alters, borrows or repeats it is refused, each at its own stage. Exit status 1
//! if a property does not hold.
#![expect(clippy::print_stdout, reason = "a program that tells a story")]

use std::error::Error;

use deedbox_cose::{LocalSigner, Signer as _};
use deedbox_credential::{
    AcceptPolicy, Audience, Challenge, ClaimMap, ClaimSet, ClaimValue, CredentialTemplate, HeldCredential, Issuer,
    PreparedCredential, StatusPolicy, TrustStore, Vct, VctPolicy, Verifier, VerifyError, claim_path,
};
use deedbox_model::{Assurance, Timestamp};
use deedbox_testkit::rng::SeededRng;

const HOSPITAL: &str = "https://hospital.example";
const CHARITY: &str = "https://charity.example";
const BLOOD: Vct = Vct::text("https://vct.example/blood");

fn main() -> Result<(), Box<dyn Error>> {
    // An example repeats itself: clock and randomness are arguments, and an application takes them from its system.
    let now = Timestamp::from_secs(1_800_000_000);
    let mut rng = SeededRng::new(1);
    let (hospital, person, thief) =
        (LocalSigner::generate(&mut rng), LocalSigner::generate(&mut rng), LocalSigner::generate(&mut rng));
    let mut trust = TrustStore::new();
    trust.pin_issuer(HOSPITAL, hospital.public().clone());

    println!("1. The hospital issues what it checked; each claim can be shown or withheld");
    let blood = ClaimValue::assured("AB negative", Assurance::High, "two samples", now, Some("laboratory"));
    let address = ClaimMap::new().redactable("street", "Canary Row 1").redactable("city", "Bern");
    let claims = ClaimSet::builder()
        .redactable("blood_group", blood)
        .redactable("name", "Ada Lovelace")
        .redactable("address", address)
        .decoys(3)
        .build()?;
    let template = CredentialTemplate::new(BLOOD, 30 * 86_400);
    let issued = Issuer::new(HOSPITAL, &hospital).issue(&template, claims, person.public(), None, now, &mut rng)?;
    println!("   {} bytes, with all disclosures, for the person alone", issued.as_bytes().len());

    println!("2. The same with a key that never leaves its security module");
    let claims = ClaimSet::builder().redactable("blood_group", "AB negative").build()?;
    let key = hospital.public();
    let prepared = PreparedCredential::prepare(HOSPITAL, key, &template, claims, person.public(), None, now, &mut rng)?;
    let signature = hospital.sign(prepared.to_be_signed())?; // what the module does
    let remote = prepared.finish(signature.as_bytes())?;
    println!("   {} bytes; the signature was verified before anything left", remote.as_bytes().len());

    println!("3. The person looks at all of it, and takes it");
    let policy = AcceptPolicy::new(person.public().clone());
    let held = HeldCredential::accept(issued.as_bytes(), &trust, &policy, now)?;
    let stolen = HeldCredential::accept(issued.as_bytes(), &trust, &AcceptPolicy::new(thief.public().clone()), now);
    check(code(stolen) == "Holder.WrongKey", "nobody else takes a credential that is bound to the person")?;

    println!("4. The charity asks with a fresh challenge; the person shows one claim");
    let audience = Audience::parse(CHARITY)?;
    let challenge = Challenge::generate(&mut rng);
    let nonce = challenge.nonce().clone();
    let selection = held.select(&[claim_path!["blood_group"]])?;
    println!("   disclosed: {:?}", selection.disclosed_paths());
    let shown = held.present(&selection, &audience, &nonce, &person, now)?;
    for hidden in ["Ada Lovelace", "Canary Row", "Bern"] {
        check(!holds(&shown, hidden), "what is withheld stands nowhere in what is sent")?;
    }
    check(holds(&shown, "AB negative"), "what is shown does")?;

    println!("5. The charity verifies, without calling the hospital");
    let lived = StatusPolicy::ShortLived { max_secs: 31 * 86_400 };
    let verifier = Verifier::new(&trust, audience.clone(), VctPolicy::one(BLOOD), lived);
    let accepted = verifier.verify(&shown, challenge, now)?.accept_unlisted()?;
    let group = accepted.claims().assured(&claim_path!["blood_group"])?;
    let (value, method) = (group.value().as_text()?, group.method());
    println!("   {value}, assurance {:?}, by {method}", group.assurance());
    check(value == "AB negative", "what was issued arrives")?;
    check(accepted.claims().at(&claim_path!["name"]).is_err(), "what was withheld does not")?;
    println!("   for the log: {}, {:?}", accepted.digest(), accepted.disclosed_paths());

    println!("6. Whatever is not that presentation, to that verifier, now, is refused");
    let again = |kbt: &[u8], nonce: &[u8], at: Timestamp| -> Result<String, Box<dyn Error>> {
        Ok(code(verifier.verify(kbt, Challenge::try_new(nonce, 300)?, at)))
    };
    check(again(&shown, &[9; 32], now)? == "Binding.Nonce", "an answer to another challenge")?;
    let late = Timestamp::from_secs(now.secs() + 361);
    check(again(&shown, nonce.as_bytes(), late)? == "Time.Stale", "an answer that is too old")?;
    let elsewhere = Verifier::new(&trust, Audience::parse("https://other.example")?, VctPolicy::any_or_none(), lived);
    let relayed = elsewhere.verify(&shown, Challenge::try_new(nonce.as_bytes(), 300)?, now);
    check(code(relayed) == "Binding.Audience", "an answer that is carried to somebody else")?;
    check(held.present(&selection, &audience, &nonce, &thief, now).is_err(), "a credential shown with another key")?;
    let mut altered = 0;
    for at in 0..shown.len() {
        let mut bad = shown.clone();
        if let Some(byte) = bad.get_mut(at) {
            *byte ^= 1;
        }
        check(again(&bad, nonce.as_bytes(), now)? != "ok", "an altered byte")?;
        altered += 1;
    }
    println!("   another challenge, too late, another verifier, another key, each of {altered} bytes altered");
    Ok(())
}

/// Fails the story where a property does not hold.
fn check(holds: bool, property: &str) -> Result<(), Box<dyn Error>> {
    if holds { Ok(()) } else { Err(format!("this did not hold: {property}").into()) }
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Stage and fault of a refusal, or `ok`.
fn code<T>(result: Result<T, VerifyError>) -> String {
    result.map_or_else(|error| error.code().into(), |_| "ok".into())
}

#[test]
fn the_story_holds() {
    main().unwrap();
}
