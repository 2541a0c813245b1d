//! Messages for somebody who is offline: `cargo run --release --example mailbox`.
//!
//! A person and a council that have met leave each other sealed messages at a host that drops, repeats and reorders them.
//! It learns address, size class and time of each; whatever it does is noticed. Exit status 1 if a property does not hold.
#![expect(clippy::print_stdout, reason = "a program that tells a story")]

use std::error::Error;

use deedbox_connect::{
    Accepting, Answered, Arrival, Body, ConnectError, ConnectionsRoot, Contact, Established, Frame, FrameKind, Invited,
    Link, Mailbox, Offer, Opened, Party, PartyKeys, Reply, Role, Wish,
};
use deedbox_model::{Digest, MailboxId, Timestamp};
use deedbox_testkit::rng::SeededRng;

const DAY: u64 = 86_400;

/// One side: its mailbox and its keys.
struct Side {
    mailbox: Mailbox,
    keys: PartyKeys,
    rng: SeededRng,
}

impl Side {
    /// Seals a text into a frame for the peer's mailbox.
    fn leave(&mut self, text: &str, now: Timestamp) -> Result<Vec<u8>, ConnectError> {
        let body = Body::data("text/plain", text.as_bytes());
        let message = self.mailbox.seal(&body, now, now.saturating_add_secs(7 * DAY), &mut self.rng)?;
        let to = self.mailbox.peer_address();
        Ok(Frame::write_all(&[Frame::new(FrameKind::Sealed, to.as_bytes(), &message)]))
    }

    fn fetch(&mut self, body: &[u8], now: Timestamp) -> Result<Opened, ConnectError> {
        let frames = Frame::parse_all(body)?;
        let frame = frames.first().filter(|frame| frame.kind == FrameKind::Sealed).ok_or(ConnectError::NotNow)?;
        self.mailbox.open(frame.body, &self.keys, now)
    }

    /// How it arrived, or why not.
    fn finds(&mut self, body: &[u8], now: Timestamp) -> String {
        let found = self.fetch(body, now).map(|opened| format!("{:?}", opened.arrival));
        found.unwrap_or_else(|error| error.code().to_owned())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let met = Timestamp::from_secs(1_800_000_000); // an application asks its clock
    let (mut person, mut council, agreement) = meet(met)?;
    let tomorrow = met.saturating_add_secs(DAY);

    println!("1. Both are offline in turn");
    let asked = person.leave("May I park in Mill Lane?", met)?;
    let opened = council.fetch(&asked, tomorrow)?;
    check(opened.arrival == Arrival::InOrder && opened.created == met, "it arrives in order")?;
    let answer = council.leave("You may, until May.", tomorrow)?;
    check(person.fetch(&answer, tomorrow)?.arrival == Arrival::InOrder, "and so does the answer")?;

    println!("2. What the host sees of short and long words has one length");
    let (no, yes) = (person.leave("No.", met)?, person.leave("Yes, and I need a permit for my sister too.", met)?);
    check(no.len() == yes.len(), "the lengths are equal")?;
    check(asked.len() == no.len(), "all of them")?;

    println!("3. The host drops, repeats and reorders");
    let [three, four, five] = ["three", "four", "five"].map(|text| person.leave(text, met));
    let (three, four, five) = (three?, four?, five?);
    for (body, expected) in [
        (&yes, "Gap { from: 1, to: 1 }"), // "No." is withheld
        (&yes, "Replay"),
        (&no, "Late"),                     // and comes after all
        (&four, "Gap { from: 3, to: 3 }"), // swapped
        (&three, "Late"),
        (&three, "Replay"),
    ] {
        let found = council.finds(body, tomorrow);
        println!("   {found}");
        check(found == expected, expected)?;
    }
    // The last one never comes. In the next session each side says how far its devices are.
    let missing = council.mailbox.missing(&person.mailbox.heads());
    check(missing.iter().map(|missing| missing.finding).eq([Arrival::Gap { from: 5, to: 5 }]), "a dropped tail shows")?;
    check(council.finds(&five, tomorrow.saturating_add_secs(7 * DAY)) == "Expired", "what is too late is not taken")?;

    println!("4. It alters, reflects and misdelivers");
    let mut altered = person.leave("six", met)?;
    if let Some(byte) = altered.last_mut() {
        *byte ^= 1;
    }
    check(council.finds(&altered, tomorrow) == "Rejected", "an altered one is refused")?;
    let own = person.leave("seven", met)?;
    check(person.finds(&own, tomorrow) == "Rejected", "one's own, sent back, is refused")?;
    let (mut stranger, ..) = meet(tomorrow)?;
    check(stranger.finds(&answer, tomorrow) == "EpochUnknown", "another's is not even tried")?;

    println!("5. The person's telephone is lost, and a back-up restored");
    let backup = person.mailbox.to_stored();
    person.leave("eight, from the lost telephone", met)?;
    person.mailbox = Mailbox::restored(&backup, &agreement, &mut person.rng)?;
    let fresh = person.leave("from the new one", met)?;
    check(council.finds(&fresh, tomorrow) == "InOrder", "it counts anew, under a new name")?;

    println!("6. After 30 days without a session the keys are gone");
    let month = met.saturating_add_secs(30 * DAY);
    check(council.finds(&own, month) == "EpochUnknown", "nobody opens what was left unread")?;
    check(person.leave("late", month).is_err_and(|error| error == ConnectError::NoEpoch), "a session comes first")
}

/// First contact; each side gets a mailbox with the keys that it made.
fn meet(now: Timestamp) -> Result<(Side, Side, deedbox_connect::Agreement), Box<dyn Error>> {
    let mut rng = SeededRng::new(now.secs()); // an application asks its system for randomness
    let (home, office) = (MailboxId::generate(&mut rng), MailboxId::generate(&mut rng));
    let contact = |address| Contact {
        address,
        endpoint: "https://host.example".to_owned(),
        deposit: Vec::new(),
        devices: Vec::new(),
    };
    let keys = PartyKeys::generate(&mut rng)?;
    let offer = Offer {
        endpoint: "https://council.example/deedbox".to_owned(),
        not_after: now.saturating_add_secs(60),
        uses: 1,
        terms: Digest::from_bytes([1; 32]),
        terms_body: None,
        name: "City council".to_owned(),
        check: false,
        evidence: None,
    };
    let mut invited = Invited::issue(Party::organisation("https://council.example", &keys)?, offer, &keys, &mut rng)?;
    let link = Link::parse_url(&invited.link().to_url())?;
    let invitation = invited.invitation().clone();
    let root = ConnectionsRoot::generate(&mut rng);
    let (person, one) = Accepting::start(&root, &link, &invitation, Wish::default(), now, &mut rng)?;
    let (council, two) = invited.answer(&one, &keys, now, &mut rng)?;
    let (person, three) = person.answer(&two, &contact(home), now, &mut rng)?;
    let Answered::Active(council, four) =
        council.finish(&mut invited, &three, &keys, &contact(office), now, &mut rng)?
    else {
        return Err("no check code was asked for".into());
    };
    let Reply::Confirmed(person) = person.read(&four, now)? else { return Err("it is confirmed at once".into()) };
    let agreement = person.agreement.clone();
    let mut side = |mut met: Established, role, own, keys| {
        let mut mailbox = Mailbox::new(&met.agreement, role, own, met.contact.address, &mut rng);
        if let Some(epoch) = met.session.take_epoch() {
            mailbox.add(epoch, now);
        }
        Side { mailbox, keys, rng: SeededRng::new(now.secs() + u64::from(role == Role::Initiator)) }
    };
    let own = root.keys_for(&agreement, Role::Initiator)?;
    let person = side(person, Role::Initiator, home, own);
    Ok((person, side(council, Role::Responder, office, keys), agreement))
}

/// Fails the story where a property does not hold.
fn check(holds: bool, property: &str) -> Result<(), Box<dyn Error>> {
    if holds { Ok(()) } else { Err(format!("this did not hold: {property}").into()) }
}

#[test]
fn the_story_holds() {
    main().unwrap();
}
