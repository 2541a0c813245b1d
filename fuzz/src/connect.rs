//! Connections: links, invitations, agreements, frames, records.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a fuzz body fails by panicking")]

use deedbox_connect::{
    Accepting, Agreement, Answered, Body, ConnectionsRoot, Contact, Established, Frame, Invitation, Invited, Link,
    LiveSession, Offer, Party, PartyKeys, Reply, Wish,
};
use deedbox_cose::{sign, sign1};
use deedbox_crypto::label;
use deedbox_model::{Digest, MailboxId, Timestamp};
use deedbox_testkit::rng::SeededRng;

use crate::altered;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn invited() -> (PartyKeys, Invited) {
    let mut rng = SeededRng::new(1);
    let keys = PartyKeys::generate(&mut rng).unwrap();
    let offer = Offer {
        endpoint: "https://council.example/d".into(),
        not_after: NOW.saturating_add_secs(60),
        uses: 1,
        terms: Digest::from_bytes([7; 32]),
        terms_body: None,
        name: "City council".into(),
        check: false,
        evidence: None,
    };
    let party = Party::organisation("https://council.example", &keys).unwrap();
    let invited = Invited::issue(party, offer, &keys, &mut rng).unwrap();
    (keys, invited)
}

/// Both sides, the third body altered by `data`.
fn met(data: &[u8]) -> Option<(Established, Established, PartyKeys)> {
    let mut rng = SeededRng::new(2);
    let contact = Contact {
        address: MailboxId::from_bytes([1; 16]),
        endpoint: "https://host.example".into(),
        deposit: vec![],
        devices: vec![],
    };
    let (keys, mut invited) = invited();
    let root = ConnectionsRoot::generate(&mut rng);
    let (link, invitation) = (invited.link(), invited.invitation().clone());
    let (person, body) = Accepting::start(&root, &link, &invitation, Wish::default(), NOW, &mut rng).unwrap();
    let (answering, body) = invited.answer(&body, &keys, NOW, &mut rng).unwrap();
    let (person, body) = person.answer(&body, &contact, NOW, &mut rng).unwrap();
    let other = altered(&body, data);
    let answered = answering.finish(&mut invited, &other, &keys, &contact, NOW, &mut rng);
    assert_eq!(answered.is_ok(), other == body);
    let Ok(Answered::Active(theirs, body)) = answered else { return None };
    let Ok(Reply::Confirmed(ours)) = person.read(&body, NOW) else { panic!("a true Confirm is taken") };
    Some((ours, theirs, keys))
}

/// Accepted links write the same bytes and texts again.
pub fn connect_link(data: &[u8]) {
    if let Ok(link) = Link::parse(data) {
        assert_eq!(link.to_bytes(), data);
    }
    let Ok(text) = core::str::from_utf8(data) else { return };
    if let Ok(link) = Link::parse_qr(text) {
        assert_eq!(link.to_qr(), text);
    }
    if let Ok(link) = Link::parse_url(text) {
        assert_eq!(link.to_url(), text);
    }
}

/// An altered invitation is refused; one that was altered and then signed does no harm.
pub fn connect_invitation(data: &[u8]) {
    let _ = Invitation::verify(data);
    let (keys, invited) = invited();
    let bytes = invited.invitation().bytes();
    let other = altered(bytes, data);
    assert_eq!(Invitation::verify(&other).is_ok(), other == bytes);
    let payload = sign1::Document::parse(bytes).unwrap().peek().payload().to_vec();
    for payload in [altered(&payload, data), data.to_vec()] {
        let signed = sign1::document(keys.sign(), label::INVITATION.as_bytes(), &payload).unwrap();
        if let Ok(invitation) = Invitation::verify(&signed) {
            assert!(invitation.name().len() <= 128);
        }
    }
}

/// An altered agreement is refused; the terms that a party signs alone are no agreement.
pub fn connect_agreement(data: &[u8]) {
    let _ = Agreement::verify(data);
    let Some((ours, _, keys)) = met(&[]) else { return };
    let bytes = ours.agreement.bytes();
    let other = altered(bytes, data);
    assert_eq!(Agreement::verify(&other).is_ok(), other == bytes);
    let payload = sign::Document::parse(bytes).unwrap().peek().payload().to_vec();
    for payload in [altered(&payload, data), data.to_vec()] {
        let signed = sign::document(keys.sign(), label::AGREEMENT.as_bytes(), &payload).unwrap();
        assert!(Agreement::verify(&signed).is_err());
    }
    let _ = met(data);
}

/// Accepted transport bodies write the same bytes again.
pub fn connect_frame(data: &[u8]) {
    if let Ok(frames) = Frame::parse_all(data) {
        assert_eq!(Frame::write_all(&frames), data);
    }
}

/// Accepted bodies write the same bytes again; an altered record is refused; a stored session is taken or refused.
pub fn connect_record(data: &[u8]) {
    if let Ok(body) = Body::parse(data) {
        assert_eq!(body.to_bytes(), data);
    }
    let Some((mut ours, mut theirs, _)) = met(&[]) else { return };
    let sent = Body::Data { media: "text/plain".into(), content: data.to_vec() };
    let record = ours.session.seal(&sent, NOW).unwrap();
    let other = altered(&record, data);
    assert_eq!(theirs.session.open(&other, NOW).is_ok(), other == record);
    let _ = theirs.session.open(data, NOW);
    let stored = altered(&ours.session.into_stored(), data);
    let _ = LiveSession::load(&stored, NOW, &mut SeededRng::new(3));
}
