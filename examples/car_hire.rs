//! Renting a car: `cargo run --release --example car_hire`.
//!
//! The hirer must know three things: which categories the licence covers, until when, and whether the driver is 23. It
//! learns these, and neither birth date nor address nor name. It trusts the road authority by a list that two of three
//! anchors signed. Exit status 1 if a property does not hold.
#![expect(clippy::print_stdout, reason = "a program that tells a story")]

use std::error::Error;

use deedbox_cose::{LocalSigner, Signer as _};
use deedbox_credential::{
    AcceptPolicy, Audience, Challenge, ClaimArray, ClaimMap, ClaimSet, CredentialTemplate, HeldCredential, Issuer,
    IssuerKey, KeyState, Query, QueryError, StatusPolicy, TrustAnchors, TrustListDraft, TrustPin, TrustStore, Vct,
    VctPolicy, Verifier, claim_path, derive_age_over,
};
use deedbox_model::{Seq, Timestamp};
use deedbox_testkit::rng::SeededRng;

const AUTHORITY: &str = "https://roads.example";
const LICENCE: Vct = Vct::text("https://vct.example/licence");
const DAY: u64 = 86_400;

fn main() -> Result<(), Box<dyn Error>> {
    let now = Timestamp::from_secs(1_800_000_000); // 15 January 2027; an application asks its clock
    let mut rng = SeededRng::new(1); // and its system for randomness
    let mut signer = || LocalSigner::generate(&mut rng);
    let (authority, person, anchors) = (signer(), signer(), [signer(), signer(), signer()]);

    println!("1. Three anchors publish whom to trust; two of them suffice");
    let keys = anchors.iter().map(|anchor| anchor.public().clone()).collect();
    let trusted = TrustAnchors::try_new("roads", keys, 2)?;
    let list = |seq: Seq, state: KeyState| -> Result<Vec<u8>, Box<dyn Error>> {
        let key = IssuerKey::new(authority.public().clone()).with_types([LICENCE]).in_state(state);
        let mut list = TrustListDraft::new("roads", seq).issuer(AUTHORITY, [key]).write(now, DAY)?;
        anchors.iter().take(2).try_for_each(|anchor| list.sign(anchor))?;
        Ok(list.to_bytes())
    };
    let second = Seq::FIRST.next().ok_or("a second number")?;
    let (first, current) = (list(Seq::FIRST, KeyState::Active)?, list(second, KeyState::Active)?);
    let mut trust = TrustStore::new();
    trust.update(&current, &trusted, now)?;
    let pin = trust.pin().ok_or("a pin")?.to_bytes();
    // The hirer's program ends and starts again; all it kept is the pin.
    let mut trust = TrustStore::resume(TrustPin::parse(&pin).ok_or("a pin")?);
    let refused = trust.update(&first, &trusted, now);
    check(refused.is_err_and(|error| error.code() == "Trust.Rollback"), "an older list is noticed after a restart")?;
    trust.update(&current, &trusted, now)?;
    println!("   list {} of {} bytes; the older one was refused", second.get(), current.len());

    println!("2. The road authority issues a licence, and derives ages of the birth date");
    let address = ClaimMap::new().redactable("street", "Canary Row 1").redactable("city", "Bern");
    let claims = ClaimSet::builder()
        .redactable("name", "Ada Lovelace")
        .redactable("birth_date", "1998-12-10")
        .redactable("address", address)
        .redactable("number", "LIC-4711-0815")
        .redactable("categories", ClaimArray::new().redactable("A").redactable("B").redactable("C1"))
        .redactable("valid_until", "2040-12-10");
    let ages = derive_age_over("1998-12-10", now, &[16, 18, 21, 23, 25, 65])?;
    let claims = ages.into_iter().fold(claims, |claims, (key, over)| claims.redactable(key, over)).decoys(4);
    let template = CredentialTemplate::new(LICENCE, 30 * DAY);
    let issued =
        Issuer::new(AUTHORITY, &authority).issue(&template, claims.build()?, person.public(), None, now, &mut rng)?;
    let held = HeldCredential::accept(issued.as_bytes(), &trust, &AcceptPolicy::new(person.public().clone()), now)?;

    println!("3. A hirer that asks for too much is told what would do");
    let greedy = Query::new(LICENCE, "to rent you a car").ask(claim_path!["birth_date"]);
    match greedy.select(&held) {
        Err(QueryError::OverAsked { instead }) => {
            check(instead.contains(&claim_path!["age_over_23"]), "an age is offered instead of the birth date")?;
            println!("   birth_date: rather one of {} derived claims", instead.len());
        }
        _ => return Err("this did not hold: a birth date is not given where an age will do".into()),
    }

    println!("4. One that asks for what it needs gets it, after the person saw it");
    let query = Query::new(LICENCE, "to rent you a car")
        .ask(claim_path!["categories", ()])
        .ask(claim_path!["valid_until"])
        .ask_age(23);
    let query = Query::parse(&query.to_bytes())?; // as it came over the wire
    let (chosen, selection) = query.choose([&held], &[])?;
    println!("   {}: {} claims", query.purpose(), selection.disclosed());
    for path in selection.disclosed_paths() {
        println!("     {path:?}");
    }
    let revealed = selection.revealed();
    check(revealed.at(&claim_path!["age_over_23"])?.as_bool()?, "the person is shown the answer")?;
    for hidden in ["birth_date", "address", "name", "number", "age_over_25"] {
        check(revealed.at(&claim_path![hidden]).is_err(), "and that nothing else would be revealed")?;
    }

    println!("5. The hirer verifies");
    let audience = Audience::parse("https://cars.example")?;
    let challenge = Challenge::generate(&mut rng);
    let shown = chosen.present(&selection, &audience, challenge.nonce(), &person, now)?;
    for hidden in ["Ada Lovelace", "1998-12-10", "Canary Row", "Bern", "LIC-4711"] {
        let found = shown.windows(hidden.len()).any(|window| window == hidden.as_bytes());
        check(!found, "no hidden value stands in any byte that is sent")?;
    }
    let lived = StatusPolicy::ShortLived { max_secs: 31 * DAY };
    let verifier = Verifier::new(&trust, audience, VctPolicy::one(LICENCE), lived);
    let accepted = verifier.verify(&shown, challenge, now)?.accept_unlisted()?;
    accepted.answers(&query)?;
    let claims = accepted.claims();
    check(claims.is_at_least(23)?, "the driver is 23")?;
    check(claims.is_at_least(25).is_err(), "whether 25, the hirer does not know")?;
    check(claims.at(&claim_path!["categories", 1])?.as_text()? == "B", "the licence covers cars")?;
    println!("   category B, until {}, 23 or older", claims.at(&claim_path!["valid_until"])?.as_text()?);

    println!("6. The authority's key is lost; the next list says so");
    let third = list(second.next().ok_or("a third number")?, KeyState::Compromised)?;
    trust.update(&third, &trusted, now)?;
    let verifier = Verifier::new(&trust, Audience::parse("https://cars.example")?, VctPolicy::one(LICENCE), lived);
    let refused = verifier.verify(&shown, Challenge::generate(&mut rng), now);
    check(refused.is_err_and(|error| error.code() == "Trust.KeyNotUsable"), "nothing of that key is accepted")?;
    println!("   refused");
    Ok(())
}

/// Fails the story where a property does not hold.
fn check(holds: bool, property: &str) -> Result<(), Box<dyn Error>> {
    if holds { Ok(()) } else { Err(format!("this did not hold: {property}").into()) }
}

#[test]
fn the_story_holds() {
    main().unwrap();
}
