//! Connections: links, invitations, agreements, frames, records.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a fuzz body fails by panicking"
)]

use std::sync::LazyLock;

use deedbox_cbor::{Limits, Order, Writer, read};
use deedbox_connect::{
    Accepting, Agreement, Answered, Answering, AwaitingConfirm, Body, Confirming, Connection, ConnectionsRoot, Contact,
    Effect, EndReason, Epoch, Established, Event, Frame, Invitation, Invited, Link, LiveSession, Mailbox, Offer, Party,
    PartyKeys, Proposal, Renewal, Reply, Role, Stage, Termination, Wish,
};
use deedbox_cose::{encrypt0, sign, sign1};
use deedbox_crypto::{label, secret::SecretBytes};
use deedbox_model::{Digest, MailboxId, Timestamp};
use deedbox_testkit::rng::SeededRng;

use crate::altered;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn contact() -> Contact {
    Contact {
        address: MailboxId::from_bytes([1; 16]),
        endpoint: "https://host.example".into(),
        deposit: vec![],
        devices: vec![],
    }
}

fn invited() -> (PartyKeys, Invited) {
    inviting(false)
}

/// A council's invitation, with a check code or without.
fn inviting(check: bool) -> (PartyKeys, Invited) {
    let mut rng = SeededRng::new(1);
    let keys = PartyKeys::generate(&mut rng).unwrap();
    let offer = Offer {
        endpoint: "https://council.example/d".into(),
        not_after: NOW.saturating_add_secs(60),
        uses: 1,
        terms: Digest::from_bytes([7; 32]),
        terms_body: None,
        name: "City council".into(),
        check,
        evidence: None,
    };
    let party = Party::organisation("https://council.example", &keys).unwrap();
    let invited = Invited::issue(party, offer, &keys, &mut rng).unwrap();
    (keys, invited)
}

/// Both sides, the third body altered by `data`.
fn met(data: &[u8]) -> Option<(Established, Established, PartyKeys)> {
    let mut rng = SeededRng::new(2);
    let contact = contact();
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
    let sent = Body::data("text/plain", data);
    let record = ours.session.seal(&sent, NOW).unwrap();
    let other = altered(&record, data);
    assert_eq!(theirs.session.open(&other, NOW).is_ok(), other == record);
    let _ = theirs.session.open(data, NOW);
    let stored = altered(&ours.session.into_stored(), data);
    let _ = LiveSession::load(&stored, NOW, &mut SeededRng::new(3));
    // Half-open handshakes and invitations, as stored.
    let mut rng = SeededRng::new(6);
    let root = ConnectionsRoot::generate(&mut rng);
    let (keys, invited) = invited();
    let (link, invitation) = (invited.link(), invited.invitation().clone());
    let (person, body) = Accepting::start(&root, &link, &invitation, Wish::default(), NOW, &mut rng).unwrap();
    let (council, _) = invited.answer(&body, &keys, NOW, &mut rng).unwrap();
    let _ = Accepting::load(&altered(&person.into_stored(), data), &root);
    let _ = Answering::load(&altered(&council.into_stored(), data), &invited);
    let stored = altered(&invited.to_stored(), data);
    if let Ok(invited) = Invited::load(&stored) {
        assert_eq!(*invited.to_stored(), stored);
    }
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
    let body = Body::data("text/plain", &[7; 40]);
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

/// Ended stays ended; a side moves only to what both have signed; altered documents move nothing.
pub fn connect_events(data: &[u8]) {
    static FIRST: LazyLock<(Agreement, ConnectionsRoot, PartyKeys)> = LazyLock::new(|| {
        let (ours, _, keys) = met(&[]).unwrap();
        (ours.agreement, ConnectionsRoot::generate(&mut SeededRng::new(2)), keys)
    });
    let (first, root, council) = &*FIRST;
    let keys = |agreement: &Agreement| root.keys_for(agreement, Role::Initiator).unwrap();
    let mut sides = [Role::Initiator, Role::Responder].map(|role| Connection::active(role, first.clone()));
    let mut said: [Vec<Body>; 2] = Default::default();
    for step in data.chunks_exact(3).take(64) {
        let (side, number) = (usize::from(step[0] & 1), usize::from(step[1]));
        let (before, role) = (sides[side].clone(), sides[side].role());
        let current = before.agreement().unwrap_or(first).clone();
        let own = |sign: &dyn Fn(&PartyKeys) -> Event| match role {
            Role::Initiator => sign(&keys(&current)),
            Role::Responder => sign(council),
        };
        let heard = said[1 - side].get(number % said[1 - side].len().max(1)).cloned();
        let event = match step[0] >> 1 {
            0 => own(&|keys| {
                let terms = Digest::from_bytes([step[2]; 32]);
                let renewal = Renewal { terms, permissions: vec![], not_after: None };
                Event::Propose(Proposal::sign(&current, role, renewal, keys, NOW, keys.sign()).unwrap())
            }),
            1 => match before.proposal().filter(|proposal| proposal.by() != role) {
                Some(proposal) => own(&|keys| Event::Agree(proposal.agree(&current, keys.sign()).unwrap())),
                None => Event::Decline,
            },
            2 => Event::Decline,
            3 => Event::Suspend(step[2]),
            4 => Event::Resume(step[2]),
            5 => own(&|keys| {
                let reason = EndReason::Withdrawn;
                Event::Terminate(Termination::sign(&current, role, reason, NOW, keys.sign()).unwrap())
            }),
            6 => Event::Opened(first.hash()),
            7 => Event::Opened(current.hash()),
            8 => Event::Unknown,
            9 => Event::Refused,
            10 => Event::Agreed(current.clone()),
            11 => match heard {
                // One bit of a document is altered.
                Some(Body::Propose(bytes) | Body::Agree(bytes) | Body::Terminate(bytes)) => {
                    let mut other = bytes;
                    let at = usize::from(step[2]) * 7 % other.len();
                    other[at] ^= 1;
                    for body in [Body::Propose(other.clone()), Body::Agree(other.clone()), Body::Terminate(other)] {
                        assert!(before.clone().apply(Event::Received(body), NOW).is_err());
                    }
                    continue;
                }
                _ => Event::Tick,
            },
            _ => heard.map_or(Event::Tick, Event::Received),
        };
        let (after, effects) = match before.clone().apply(event, NOW) {
            Ok(done) => done,
            Err((after, _)) => {
                assert_eq!(after, before);
                (after, vec![])
            }
        };
        assert!(before.stage() != Stage::Ended || (after == before && effects.is_empty()));
        if let Some(agreement) = after.agreement().filter(|agreement| agreement.hash() != current.hash()) {
            Agreement::verify_renewal(&current, agreement.bytes()).expect("signed by both, after the one before");
        }
        said[side].extend(effects.into_iter().filter_map(|effect| match effect {
            Effect::Send(body) => Some(body),
            _ => None,
        }));
        sides[side] = after;
    }
}

/// Stored connections, and the states that wait for a person, are refused or written the same again.
pub fn connect_stored(data: &[u8]) {
    struct Given {
        chain: Vec<Agreement>,
        connections: Vec<Connection>,
        waiting: Vec<u8>,
        confirming: Vec<u8>,
    }
    static GIVEN: LazyLock<Given> = LazyLock::new(|| {
        let mut rng = SeededRng::new(7);
        let (root, contact) = (ConnectionsRoot::generate(&mut rng), contact());
        let (keys, mut invited) = inviting(true);
        let (link, invitation) = (invited.link(), invited.invitation().clone());
        let (person, body) = Accepting::start(&root, &link, &invitation, Wish::default(), NOW, &mut rng).unwrap();
        let first = person.agreement();
        let (council, body) = invited.answer(&body, &keys, NOW, &mut rng).unwrap();
        let (person, body) = person.answer(&body, &contact, NOW, &mut rng).unwrap();
        let answered = council.finish(&mut invited, &body, &keys, &contact, NOW, &mut rng).unwrap();
        let Answered::Confirming(confirming, body) = answered else { panic!("a check code is asked for") };
        let Ok(Reply::Waiting(waiting)) = person.read(&body, NOW) else { panic!("not confirmed yet") };
        let (waiting, confirming) = (waiting.into_stored().to_vec(), confirming.into_stored());
        let item = read(&confirming, Order::Canonical, &Limits::new(confirming.len())).unwrap();
        let agreement = item.as_array().unwrap().get(3).unwrap().as_bytes().unwrap();
        let chain = Agreement::verify_chain([agreement]).unwrap();
        let active = Connection::active(Role::Responder, chain[0].clone());
        let renewal = Renewal { terms: Digest::from_bytes([8; 32]), permissions: vec![], not_after: None };
        let proposal = Proposal::sign(&chain[0], Role::Responder, renewal, &keys, NOW, keys.sign()).unwrap();
        let go = |from: &Connection, event| from.clone().apply(event, NOW).unwrap().0;
        let renewing = go(&active, Event::Propose(proposal));
        let suspended = go(&renewing, Event::Suspend(0));
        let accepting = Connection::accepting(&invitation, first);
        let refused = go(&accepting, Event::Refused);
        let invited = Connection::invited(&invitation);
        let waits = go(&invited, Event::CodeAwaited(chain[0].clone(), NOW.saturating_add_secs(300)));
        let connections = vec![invited, accepting, waits, active, renewing, suspended, refused];
        Given { chain, connections, waiting, confirming: confirming.to_vec() }
    });
    let Given { chain, connections, waiting, confirming } = &*GIVEN;
    let check = |stored: &[u8]| {
        if let Ok(connection) = Connection::load(stored, chain) {
            assert_eq!(connection.to_stored(), stored);
        }
    };
    check(data);
    let number = usize::from(data.first().copied().unwrap_or_default());
    let stored = connections[number % connections.len()].to_stored();
    assert!(Connection::load(&stored, chain).is_ok());
    check(&altered(&stored, data.get(1..).unwrap_or_default()));
    let mut rng = SeededRng::new(8);
    let other = altered(waiting, data);
    if let Ok(state) = AwaitingConfirm::load(&other, NOW, &mut rng) {
        assert_eq!(*state.into_stored(), other);
    }
    let other = altered(confirming, data);
    if let Ok(state) = Confirming::load(&other, NOW, &mut rng) {
        assert_eq!(*state.into_stored(), other);
    }
}
