//! Connections: links, invitations, agreements, frames, records.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a fuzz body fails by panicking")]

use std::sync::LazyLock;

use deedbox_cbor::{Limits, Order, Writer, read};
use deedbox_connect::{
    Accepting, Agreement, Answered, Body, ConnectionsRoot, Contact, Epoch, Established, Frame, Invitation, Invited,
    Link, LiveSession, Mailbox, Offer, Party, PartyKeys, Reply, Role, Wish,
};
use deedbox_cose::{encrypt0, sign, sign1};
use deedbox_crypto::{label, secret::SecretBytes};
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

/// A council's mailbox as stored, a message to it, and what opens and seals such messages.
struct Sealed {
    agreement: Agreement,
    keys: PartyKeys,
    message: Vec<u8>,
    mailbox: Vec<u8>,
    epoch: Vec<u8>,
}

static SEALED: LazyLock<Sealed> = LazyLock::new(|| {
    let mut rng = SeededRng::new(4);
    let (mut ours, mut theirs, keys) = met(&[]).unwrap();
    let (one, two) = (MailboxId::from_bytes([1; 16]), MailboxId::from_bytes([2; 16]));
    let mut person = Mailbox::new(&ours.agreement, Role::Initiator, one, two, &mut rng);
    let mut council = Mailbox::new(&ours.agreement, Role::Responder, two, one, &mut rng);
    person.add(ours.session.take_epoch().unwrap(), NOW);
    council.add(theirs.session.take_epoch().unwrap(), NOW);
    let body = Body::Data { media: "text/plain".into(), content: vec![7; 40] };
    let message = person.seal(&body, NOW, NOW.saturating_add_secs(60), &mut rng).unwrap();
    let epoch = council.epochs().next().unwrap().to_stored().to_vec();
    Sealed { agreement: ours.agreement, keys, message, mailbox: council.to_stored().to_vec(), epoch }
});

/// A message altered, or made of the input under the true keys, is refused or taken once; a stored mailbox is taken or
/// refused, and written the same again.
pub fn connect_sealed(data: &[u8]) {
    let Sealed { agreement, keys, message, mailbox, epoch } = &*SEALED;
    let fresh = || Mailbox::load(mailbox, agreement, [0; 8]).unwrap();
    let mut council = fresh();
    let other = altered(message, data);
    assert_eq!(council.open(&other, keys, NOW).is_ok(), other == *message);
    let _ = council.open(data, keys, NOW);

    // Behind the tag: the input as plaintext, padded or not.
    let item = read(epoch, Order::Canonical, &Limits::new(epoch.len())).unwrap();
    let parts = item.as_array().unwrap();
    let secret = SecretBytes::try_from_slice(parts.get(4).unwrap().as_bytes().unwrap()).unwrap();
    let shared = encrypt0::PreShared::new(&secret, parts.get(0).unwrap().as_bytes().unwrap());
    let info = [label::SEALED.as_bytes(), &[2; 16], &[0], agreement.hash().as_bytes()].concat();
    // With a head of the true shape, so that bodies are reached too.
    let mut head = Writer::new();
    head.array(6).bytes(&[5; 8]).uint(0).bytes(&[0; 32]).uint(NOW.secs()).uint(NOW.secs() + 60);
    for start in [&[][..], head.as_slice()] {
        let mut padded = [start, data, &[0x80]].concat();
        if padded.len() < 256 {
            padded.resize(256, 0);
        }
        let made = encrypt0::seal_psk(keys.seal().public(), &shared, &info, &padded, &mut SeededRng::new(5)).unwrap();
        let mut council = fresh();
        if council.open(&made, keys, NOW).is_ok() {
            assert_eq!(council.open(&made, keys, NOW).unwrap_err().code(), "Replay");
        } else {
            assert_eq!(*council.to_stored(), *mailbox);
        }
    }

    let _ = Epoch::from_stored(&altered(epoch, data));
    for stored in [altered(mailbox, data), data.to_vec()] {
        if let Ok(mailbox) = Mailbox::load(&stored, agreement, [0; 8]) {
            assert_eq!(*mailbox.to_stored(), stored);
        }
    }
}
