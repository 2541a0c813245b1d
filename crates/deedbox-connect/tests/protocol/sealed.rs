//! Two who have met leave each other sealed messages, with a host in between that drops, repeats and reorders.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use deedbox_connect::{
    Agreement, Arrival, Body, Calling, ConnectionsRoot, Epoch, Established, LiveSession, Mailbox, PartyKeys, Receiving,
    Role, Wish,
};
use deedbox_model::{Digest, MailboxId, Timestamp};
use deedbox_testkit::rng::SeededRng;
use proptest::prelude::*;

use super::met::{Council, NOW, contact, data, later, met};

const DAY: u64 = 86_400;

/// A person and a council after first contact, each with a mailbox.
struct Pair {
    rng: SeededRng,
    agreement: Agreement,
    person: Mailbox,
    person_keys: PartyKeys,
    council: Mailbox,
    council_keys: PartyKeys,
}

impl Pair {
    fn new(seed: u64) -> Self {
        let mut rng = SeededRng::new(seed);
        let root = ConnectionsRoot::generate(&mut rng);
        let (Council { keys: council_keys, .. }, person, council) = met(&root, Wish::default(), &mut rng);
        let agreement = person.agreement.clone();
        let person_keys = root.keys(agreement.connection_id().as_bytes(), 1).unwrap();
        let mut mailbox = |role, mut established: Established, own: u8, peer: u8| {
            let address = |byte| MailboxId::from_bytes([byte; 16]);
            let mut mailbox = Mailbox::new(&agreement, role, address(own), address(peer), &mut rng);
            mailbox.add(established.session.take_epoch().unwrap(), NOW);
            mailbox
        };
        let person = mailbox(Role::Initiator, person, 1, 2);
        let council = mailbox(Role::Responder, council, 2, 1);
        Self { rng, agreement, person, person_keys, council, council_keys }
    }

    /// A message of the person's.
    fn ask(&mut self, text: &str, now: Timestamp) -> Vec<u8> {
        self.person.seal(&data(text), now, now.saturating_add_secs(DAY), &mut self.rng).unwrap()
    }

    /// What the council finds in it.
    fn arrival(&mut self, message: &[u8], now: Timestamp) -> Result<Arrival, &'static str> {
        self.council.open(message, &self.council_keys, now).map(|opened| opened.arrival).map_err(|error| error.code())
    }

    /// A later session.
    fn reopen(&mut self, now: Timestamp) -> (LiveSession, LiveSession) {
        let (agreement, rng) = (&self.agreement, &mut self.rng);
        let (calling, body) = Calling::start(agreement, &self.person_keys, rng).unwrap();
        let (receiving, body) = Receiving::start(agreement.responder(), &self.council_keys, &body, rng).unwrap();
        let (called, body) = calling.answer(&body, &self.person_keys, now, rng).unwrap();
        let (_, theirs, body) = receiving.finish(&body, |_| Some(agreement.clone()), now, rng).unwrap();
        (called.read(&body).unwrap(), theirs)
    }

    /// Another device of the person's, with the state that the first one stored.
    fn second_device(&mut self) -> Mailbox {
        Mailbox::restored(&self.person.to_stored(), &self.agreement, &mut self.rng).unwrap()
    }
}

#[test]
fn messages_go_both_ways_while_nobody_is_online() {
    let mut pair = Pair::new(1);
    for number in 0..3 {
        let message = pair.ask("from the person", NOW);
        let opened = pair.council.open(&message, &pair.council_keys, later(5)).unwrap();
        assert_eq!((&opened.body, opened.number, opened.arrival), (&data("from the person"), number, Arrival::InOrder));
        assert_eq!((opened.device, opened.created, opened.expires), (*pair.person.device(), NOW, later(DAY)));
        let message = pair.council.seal(&Body::Knock, NOW, later(DAY), &mut pair.rng).unwrap();
        assert_eq!(pair.person.open(&message, &pair.person_keys, NOW).unwrap().body, Body::Knock);
    }
}

#[test]
fn the_host_sees_a_class_of_lengths() {
    let mut pair = Pair::new(2);
    let least = pair.person.seal(&Body::Knock, NOW, later(1), &mut pair.rng).unwrap().len();
    assert_eq!(pair.ask("a", NOW).len(), least);
    assert_eq!(pair.ask(&"a".repeat(100), NOW).len(), least);
    assert_ne!(pair.ask(&"a".repeat(300), NOW).len(), least);
    let huge = data(&"a".repeat(1 << 20));
    assert_eq!(pair.person.seal(&huge, NOW, later(1), &mut pair.rng).unwrap_err().code(), "LimitExceeded");
}

#[test]
fn a_message_is_for_one_side_of_one_connection() {
    let (mut pair, mut stranger) = (Pair::new(3), Pair::new(4));
    let message = pair.ask("hello", NOW);
    // Sent back to who sealed it; to somebody else; with the right keys and the wrong address.
    assert_eq!(pair.person.open(&message, &pair.person_keys, NOW).unwrap_err().code(), "Rejected");
    assert_eq!(stranger.arrival(&message, NOW), Err("EpochUnknown"));
    assert_eq!(pair.council.open(&message, &stranger.council_keys, NOW).unwrap_err().code(), "Rejected");
    pair.person.set_peer_address(MailboxId::from_bytes([9; 16]));
    let astray = pair.ask("hello", NOW);
    assert_eq!(pair.arrival(&astray, NOW), Err("Rejected"));
    assert_eq!(pair.arrival(&message, NOW), Ok(Arrival::InOrder));
}

proptest! {
    #[test]
    fn one_bit_in_a_message_is_refused_and_moves_nothing(at in any::<prop::sample::Index>(), bit in 0..8_u32) {
        static GIVEN: LazyLock<(Vec<u8>, Vec<u8>, Agreement)> = LazyLock::new(|| {
            let mut pair = Pair::new(5);
            (pair.ask("hello", NOW), pair.council.to_stored().to_vec(), pair.agreement)
        });
        let (message, stored, agreement) = &*GIVEN;
        let keys = Pair::new(5).council_keys;
        let mut council = Mailbox::load(stored, agreement, [0; 8]).unwrap();
        let mut other = message.clone();
        let at = at.index(other.len());
        other[at] ^= 1 << bit;
        prop_assert!(council.open(&other, &keys, NOW).is_err());
        prop_assert_eq!(&*council.to_stored(), stored);
        prop_assert_eq!(council.open(message, &keys, NOW).unwrap().arrival, Arrival::InOrder);
    }

    /// Two devices seal; the host delivers what and in what order it likes. A set of numbers is the model.
    #[test]
    fn a_host_that_drops_repeats_and_reorders_is_seen(deliveries in prop::collection::vec((0..2_usize, 0..8_usize), 0..40)) {
        let mut pair = Pair::new(6);
        let mut devices = [pair.second_device(), pair.second_device()];
        let sealed: Vec<Vec<Vec<u8>>> = devices
            .iter_mut()
            .map(|device| (0..8).map(|n| device.seal(&data(&format!("{n}")), NOW, later(9), &mut pair.rng).unwrap()).collect())
            .collect();
        let mut came: [BTreeSet<usize>; 2] = Default::default();
        for (device, number) in deliveries {
            let highest = came[device].last().copied();
            let next = highest.map_or(0, |highest| highest + 1);
            let expected = if came[device].contains(&number) {
                Err("Replay")
            } else if number < next {
                Ok(Arrival::Late)
            } else if number == next {
                Ok(Arrival::InOrder)
            } else {
                Ok(Arrival::Gap { from: next as u64, to: number as u64 - 1 })
            };
            prop_assert_eq!(pair.arrival(&sealed[device][number], NOW), expected);
            came[device].insert(number);
            // Storing changes nothing.
            pair.council = Mailbox::load(&pair.council.to_stored(), &pair.agreement, *pair.council.device()).unwrap();
        }
        // What the devices say of themselves shows what never came, but for the gaps that were told already.
        let heads: Vec<_> = devices.iter().flat_map(Mailbox::heads).collect();
        let missing: BTreeMap<_, _> = pair.council.missing(&heads).into_iter().map(|m| (m.device, m.finding)).collect();
        for (device, came) in devices.iter().zip(&came) {
            let next = came.last().map_or(0, |highest| highest + 1);
            let expected = (next < 8).then_some(Arrival::Gap { from: next as u64, to: 7 });
            prop_assert_eq!(missing.get(device.device()).copied(), expected);
        }
    }
}

#[test]
fn what_is_too_old_to_tell_is_a_replay() {
    let mut pair = Pair::new(7);
    let sealed: Vec<_> = (0..1_030).map(|_| pair.ask("n", NOW)).collect();
    assert_eq!(pair.arrival(&sealed[1_029], NOW), Ok(Arrival::Gap { from: 0, to: 1_028 }));
    assert_eq!(pair.arrival(&sealed[5], NOW), Err("Replay"));
    assert_eq!(pair.arrival(&sealed[6], NOW), Ok(Arrival::Late));
    assert_eq!(pair.arrival(&sealed[6], NOW), Err("Replay"));
}

#[test]
fn a_copied_device_shows_and_a_restored_one_does_not() {
    let mut pair = Pair::new(8);
    let backup = pair.person.to_stored();
    let one = pair.ask("one", NOW);
    assert_eq!(pair.arrival(&one, NOW), Ok(Arrival::InOrder));
    // A copy under the same id goes on where the back-up stood.
    let mut copy = Mailbox::load(&backup, &pair.agreement, *pair.person.device()).unwrap();
    let same = copy.seal(&data("other one"), NOW, later(9), &mut pair.rng).unwrap();
    assert_eq!(pair.arrival(&same, NOW), Err("Replay"));
    let forked = copy.seal(&data("other two"), NOW, later(9), &mut pair.rng).unwrap();
    assert_eq!(pair.arrival(&forked, NOW), Ok(Arrival::Fork));
    // Restored, it is another device, and keeps the keys.
    let mut restored = Mailbox::restored(&backup, &pair.agreement, &mut pair.rng).unwrap();
    assert_ne!(restored.device(), pair.person.device());
    let fresh = restored.seal(&data("restored"), NOW, later(9), &mut pair.rng).unwrap();
    assert_eq!(pair.arrival(&fresh, NOW), Ok(Arrival::InOrder));
    // A last message that is another than the peer says shows too.
    let mut heads = copy.heads();
    heads[0].last = Digest::from_bytes([1; 32]);
    assert_eq!(pair.council.missing(&heads)[0].finding, Arrival::Fork);
}

#[test]
fn messages_expire() {
    let mut pair = Pair::new(9);
    let seal = |pair: &mut Pair, expires| pair.person.seal(&Body::Knock, NOW, expires, &mut pair.rng);
    for (expires, good) in [(NOW, false), (later(1), true), (later(30 * DAY), true), (later(30 * DAY + 1), false)] {
        assert_eq!(seal(&mut pair, expires).map_err(|error| error.code()).is_ok(), good);
    }
    let message = seal(&mut pair, later(60)).unwrap();
    assert_eq!(pair.arrival(&message, later(60)), Err("Expired"));
    // It was not taken, so that it is missed.
    assert_eq!(pair.arrival(&message, later(59)), Ok(Arrival::Gap { from: 0, to: 1 }));
}

#[test]
fn keys_go_after_thirty_days_and_when_four_newer_came() {
    let mut pair = Pair::new(10);
    let old = pair.ask("old", NOW);
    for day in 1..=4 {
        let now = later(day * DAY);
        let (mut ours, mut theirs) = pair.reopen(now);
        pair.person.add(ours.take_epoch().unwrap(), now);
        pair.council.add(theirs.take_epoch().unwrap(), now);
        assert!(ours.take_epoch().is_none());
    }
    assert_eq!(pair.person.epochs().count(), 4);
    assert_eq!(pair.arrival(&old, later(10)), Err("EpochUnknown"));
    let last = later(33 * DAY);
    let message = pair.ask("newest", last);
    assert_eq!(pair.arrival(&message, last), Ok(Arrival::Gap { from: 0, to: 0 }));
    let over = later(34 * DAY);
    assert_eq!(pair.arrival(&message, over), Err("EpochUnknown"));
    assert_eq!(pair.person.seal(&Body::Knock, over, later(35 * DAY), &mut pair.rng).unwrap_err().code(), "NoEpoch");
    assert_eq!(pair.person.epochs().count(), 0);
}

#[test]
fn a_device_without_the_keys_keeps_the_message_until_another_hands_them_over() {
    let mut pair = Pair::new(11);
    let address = |byte| MailboxId::from_bytes([byte; 16]);
    let mut other = Mailbox::new(&pair.agreement, Role::Responder, address(2), address(1), &mut pair.rng);
    let message = pair.ask("hello", NOW);
    assert_eq!(other.open(&message, &pair.council_keys, NOW).unwrap_err().code(), "EpochUnknown");
    let epoch = pair.council.epochs().next().unwrap().to_stored();
    for len in 0..epoch.len() {
        assert!(Epoch::from_stored(&epoch[..len]).is_err());
    }
    other.add(Epoch::from_stored(&epoch).unwrap(), NOW);
    assert_eq!(other.agreement_of(&message).unwrap(), pair.agreement.hash());
    assert_eq!(other.open(&message, &pair.council_keys, NOW).unwrap().arrival, Arrival::InOrder);
}

#[test]
fn keys_that_the_peer_may_not_have_are_used_last() {
    let mut pair = Pair::new(12);
    let hello = pair.ask("hello", NOW);
    pair.arrival(&hello, NOW).unwrap();
    // A session whose message_4 is lost: only the council has its keys.
    let (_lost, mut theirs) = pair.reopen(later(5));
    let epoch = theirs.take_epoch().unwrap();
    let id = *epoch.id();
    pair.council.add(epoch, later(5));
    let message = pair.council.seal(&data("reply"), later(6), later(9), &mut pair.rng).unwrap();
    assert_eq!(pair.person.open(&message, &pair.person_keys, later(6)).unwrap().body, data("reply"));
    // Once a record came through that session, they are.
    pair.council.confirm(&id);
    let message = pair.council.seal(&data("reply"), later(6), later(9), &mut pair.rng).unwrap();
    assert_eq!(pair.person.open(&message, &pair.person_keys, later(6)).unwrap_err().code(), "EpochUnknown");
}

#[test]
fn a_peer_has_64_devices_until_the_keys_of_one_are_gone() {
    let mut pair = Pair::new(13);
    for _ in 0..64 {
        let mut device = pair.second_device();
        let message = device.seal(&Body::Knock, NOW, later(DAY), &mut pair.rng).unwrap();
        assert_eq!(pair.arrival(&message, NOW), Ok(Arrival::InOrder));
    }
    let mut device = pair.second_device();
    let message = device.seal(&Body::Knock, NOW, later(DAY), &mut pair.rng).unwrap();
    assert_eq!(pair.arrival(&message, NOW), Err("LimitExceeded"));
    let day = later(30 * DAY);
    let (mut ours, mut theirs) = pair.reopen(later(29 * DAY));
    device.add(ours.take_epoch().unwrap(), day);
    pair.council.add(theirs.take_epoch().unwrap(), day);
    let message = device.seal(&Body::Knock, day, later(31 * DAY), &mut pair.rng).unwrap();
    assert_eq!(pair.arrival(&message, day), Ok(Arrival::Gap { from: 0, to: 0 }));
}

#[test]
fn agreements_are_not_made_in_mailboxes() {
    let mut pair = Pair::new(14);
    for body in [Body::Accept(vec![], contact(1)), Body::Confirm(vec![], contact(1)), Body::Refuse(0)] {
        assert_eq!(pair.person.seal(&body, NOW, later(9), &mut pair.rng).unwrap_err().code(), "NotNow");
    }
}

#[test]
fn a_stored_mailbox_is_whole_and_of_its_agreement() {
    let mut pair = Pair::new(15);
    for number in 0..4 {
        let message = pair.ask("n", NOW);
        if number % 2 == 1 {
            pair.arrival(&message, NOW).unwrap();
        }
    }
    let stored = pair.council.to_stored();
    let device = *pair.council.device();
    assert_eq!(*Mailbox::load(&stored, &pair.agreement, device).unwrap().to_stored(), *stored);
    let stranger = Pair::new(16).agreement;
    assert_eq!(Mailbox::load(&stored, &stranger, device).err().unwrap().code(), "AgreementMismatch");
    for len in 0..stored.len() {
        assert_eq!(Mailbox::load(&stored[..len], &pair.agreement, device).err().unwrap().code(), "Malformed");
    }
}

#[test]
fn a_stored_mailbox_has_one_form() {
    let mut pair = Pair::new(14);
    let _ = pair.ask("one", NOW);
    let other = pair.second_device();
    pair.person = other;
    let _ = pair.ask("two", NOW);
    let stored = pair.person.to_stored();
    let device = *pair.person.device();
    assert!(Mailbox::load(&stored, &pair.agreement, device).is_ok());
    // [device, next, last], each of 45 bytes: two of them, in the other order.
    let own = stored.windows(10).position(|part| part[..2] == [0x83, 0x48] && part[2..] == device).unwrap();
    let at = [own - 45, own + 45].into_iter().find(|at| stored[*at..][..2] == [0x83, 0x48]).unwrap();
    let first = own.min(at);
    let mut swapped = stored.to_vec();
    swapped[first..first + 90].rotate_left(45);
    assert_eq!(Mailbox::load(&swapped, &pair.agreement, device).err().unwrap().code(), "Malformed");
}
