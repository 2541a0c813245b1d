//! A person and a council that have met.

use deedbox_connect::{
    Accepting, Answered, Answering, Body, ConnectionsRoot, Contact, Established, Failed, Invitation, Invited, Link,
    Offer, Party, PartyKeys, Reply, Wish,
};
use deedbox_model::{Digest, MailboxId, Timestamp};
use deedbox_testkit::rng::SeededRng;

pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

pub(crate) fn later(secs: u64) -> Timestamp {
    NOW.saturating_add_secs(secs)
}

pub(crate) fn contact(byte: u8) -> Contact {
    Contact {
        address: MailboxId::from_bytes([byte; 16]),
        endpoint: "https://host.example".into(),
        deposit: vec![byte],
        devices: vec![],
    }
}

pub(crate) fn data(text: &str) -> Body {
    Body::data("text/plain", text.as_bytes())
}

pub(crate) fn offer() -> Offer {
    Offer {
        endpoint: "https://council.example/d".into(),
        not_after: later(3600),
        uses: 1,
        terms: Digest::from_bytes([7; 32]),
        terms_body: Some(b"terms".to_vec()),
        name: "City council".into(),
        check: false,
        evidence: None,
    }
}

pub(crate) struct Council {
    pub(crate) keys: PartyKeys,
    pub(crate) invited: Invited,
}

pub(crate) fn council(offer: Offer, rng: &mut SeededRng) -> Council {
    let keys = PartyKeys::generate(rng).unwrap();
    let party = Party::organisation("https://council.example", &keys).unwrap();
    let invited = Invited::issue(party, offer, &keys, rng).unwrap();
    Council { keys, invited }
}

pub(crate) fn opened(council: &Council) -> (Link, Invitation) {
    let link = Link::parse_url(&council.invited.link().to_url()).unwrap();
    let invitation = Invitation::open(&link, council.invited.invitation().bytes(), NOW).unwrap();
    (link, invitation)
}

/// Both sides, active: a new person, who wishes nothing.
pub(crate) fn meet(
    council: &mut Council,
    link: &Link,
    invitation: &Invitation,
    rng: &mut SeededRng,
    tamper: impl FnMut(usize, &mut Vec<u8>),
) -> Result<(Established, Established), Failed> {
    let root = ConnectionsRoot::generate(rng);
    meet_as(council, &root, (link, invitation), Wish::default(), rng, tamper)
}

fn meet_as(
    council: &mut Council,
    root: &ConnectionsRoot,
    (link, invitation): (&Link, &Invitation),
    wish: Wish,
    rng: &mut SeededRng,
    mut tamper: impl FnMut(usize, &mut Vec<u8>),
) -> Result<(Established, Established), Failed> {
    let (person, mut body) = Accepting::start(root, link, invitation, wish, NOW, rng)?;
    tamper(0, &mut body);
    let (answering, mut body): (Answering, _) = council.invited.answer(&body, &council.keys, NOW, rng)?;
    tamper(1, &mut body);
    let (person, mut body) = person.answer(&body, &contact(1), NOW, rng)?;
    tamper(2, &mut body);
    let answered = answering.finish(&mut council.invited, &body, &council.keys, &contact(2), NOW, rng)?;
    let Answered::Active(theirs, mut body) = answered else { panic!("no check code was asked for") };
    tamper(3, &mut body);
    let Reply::Confirmed(ours) = person.read(&body, NOW)? else { panic!("confirmed at once") };
    Ok((ours, theirs))
}

/// The person of `root` and a new council, after first contact.
pub(crate) fn met(root: &ConnectionsRoot, wish: Wish, rng: &mut SeededRng) -> (Council, Established, Established) {
    let mut council = council(offer(), rng);
    let (link, invitation) = opened(&council);
    let (ours, theirs) = meet_as(&mut council, root, (&link, &invitation), wish, rng, |_, _| {}).unwrap();
    (council, ours, theirs)
}
