//! An invitation as a QR code: `cargo run --release --example invite_qr [FILE.svg]`.
//!
//! A council invites, the code is drawn, a person's device reads it and opens the invitation it names. Nothing is sent by
//! that. What is altered on the way, or late, is refused. Exit status 1 if a property does not hold.
#![expect(clippy::print_stdout, reason = "a program that tells a story")]

use std::error::Error;

use deedbox_connect::{Invitation, Invited, Link, Offer, Party, PartyKeys};
use deedbox_crypto::hash::sha256;
use deedbox_model::{Digest, Timestamp};
use deedbox_testkit::rng::SeededRng;
use qrcode::{QrCode, render::svg};

fn main() -> Result<(), Box<dyn Error>> {
    let now = Timestamp::from_secs(1_800_000_000); // an application asks its clock
    let mut rng = SeededRng::new(1); // and its system for randomness
    let terms = b"We ask for your address, to send you parking permits. We keep it for a year.";
    let offer = Offer {
        endpoint: "https://council.example/deedbox".to_owned(),
        not_after: now.saturating_add_secs(3_600),
        uses: 1,
        terms: Digest::from_bytes(sha256(terms)),
        terms_body: Some(terms.to_vec()),
        name: "City council, parking".to_owned(),
        check: false,
        evidence: None,
    };
    let keys = PartyKeys::generate(&mut rng)?;
    let invited = Invited::issue(Party::organisation("https://council.example", &keys)?, offer, &keys, &mut rng)?;
    let (qr, url) = (invited.link().to_qr(), invited.link().to_url());
    println!("the invitation has {} bytes, its link {} characters", invited.invitation().bytes().len(), qr.len());

    // Base45 keeps to the alphanumeric mode of QR codes, which is why the code stays small.
    let code = QrCode::new(&qr)?;
    let picture = code.render::<svg::Color<'_>>().min_dimensions(240, 240).build();
    println!("drawn: {:?}, {} modules wide, {} bytes of SVG", code.version(), code.width(), picture.len());
    check(picture.contains("<svg"), "the picture is SVG")?;
    check(code.width() <= 61, "a code of at most version 11")?;
    if let Some(file) = std::env::args().nth(1).filter(|name| name.ends_with(".svg")) {
        std::fs::write(file, &picture)?;
    }

    // The secret stands behind #, which no browser sends.
    let sent = url.split('#').next().unwrap_or_default();
    check(sent == "https://council.example/deedbox", "only the endpoint is sent")?;

    let link = Link::parse_qr(&qr)?;
    let invitation = Invitation::open(&link, invited.invitation().bytes(), now)?;
    println!("the person reads: \u{201c}{}\u{201d}, until {}", invitation.name(), invitation.offer().not_after.secs());
    check(invitation.offer().terms_body.as_deref() == Some(terms), "the terms are there to be read")?;

    println!("refused: another invitation, altered terms, an hour later");
    let other = Invited::issue(invitation.responder().clone(), invitation.offer().clone(), &keys, &mut rng)?;
    let code = |bytes: &[u8], now| Invitation::open(&link, bytes, now).map_or_else(|error| error.code(), |_| "ok");
    check(code(other.invitation().bytes(), now) == "InvitationMismatch", "a code names one invitation")?;
    let mut altered = invitation.bytes().to_vec();
    if let Some(byte) = altered.iter_mut().rev().nth(100) {
        *byte ^= 1;
    }
    check(code(&altered, now) == "InvitationMismatch", "a code names each bit of it")?;
    check(code(invitation.bytes(), now.saturating_add_secs(3_600)) == "Expired", "an invitation expires")
}

/// Fails the story where a property does not hold.
fn check(holds: bool, property: &str) -> Result<(), Box<dyn Error>> {
    if holds { Ok(()) } else { Err(format!("this did not hold: {property}").into()) }
}

#[test]
fn the_story_holds() {
    main().unwrap();
}
