use alloc::{format, vec};

use deedbox_cose::RecipientSecret;
use deedbox_testkit::rng::SeededRng;
use proptest::prelude::*;

use super::*;
use crate::{AccountSecret, Passphrase, PassphraseCost, RecoveryPhrase, SlotType, ThresholdSecret, test_util};

fn root() -> Root {
    Root::generate(StoreId::from_bytes([1; 16]), &mut SeededRng::new(1))
}

fn phrase(seed: u64) -> RecoveryPhrase {
    RecoveryPhrase::generate(&mut SeededRng::new(seed))
}

fn two_phrases() -> Header {
    let (one, two) = (phrase(2), phrase(3));
    Header::create(&root(), &[NewSlot::Phrase(&one), NewSlot::Phrase(&two)], &mut SeededRng::new(4)).unwrap()
}

fn code(result: Result<Root, UnlockError>) -> &'static str {
    result.map_or_else(|error| error.code(), |_| "ok")
}

const PASSPHRASE: Passphrase<'static> = Passphrase::new("correct horse battery staple");

#[test]
fn each_slot_opens_with_its_own_secret_and_no_other() {
    let header = two_phrases();
    let header = Header::parse(header.bytes()).unwrap();
    let ids: Vec<_> = header.slots().iter().map(|slot| *slot.id()).collect();
    let opened = header.unlock(&ids[0], &Unlock::Phrase(&phrase(2))).unwrap();
    assert_eq!(opened.secret().expose(), root().secret().expose());
    assert_eq!(code(header.unlock(&ids[1], &Unlock::Phrase(&phrase(3)))), "ok");
    assert_eq!(code(header.unlock(&ids[0], &Unlock::Phrase(&phrase(3)))), "Rejected");
    assert_eq!(code(header.unlock(&ids[0], &Unlock::PassphraseOnly(&PASSPHRASE))), "WrongMethod");
    assert_eq!(code(header.unlock(&SlotId::from_bytes([0; 16]), &Unlock::Phrase(&phrase(2)))), "NoSuchSlot");
}

#[test]
fn a_header_under_another_number_is_authentic_and_opens_alike() {
    let header = two_phrases();
    let id = *header.slots()[0].id();
    for version in [1, 2, u64::MAX] {
        let other = Header::parse(header.numbered(&root(), version).unwrap().bytes()).unwrap();
        assert_eq!((other.version(), other.slots()), (version, header.slots()));
        assert_eq!(code(other.unlock(&id, &Unlock::Phrase(&phrase(2)))), "ok");
    }
    assert_eq!(header.numbered(&root(), 1).unwrap(), header);
    assert_eq!(header.numbered(&root(), 0), Err(UnlockError::Limit));
    let stranger = Root::generate(*root().store(), &mut SeededRng::new(9));
    assert_eq!(header.numbered(&stranger, 2), Err(UnlockError::HeaderTampered));
}

#[test]
fn a_passphrase_needs_the_account_secret() {
    let account = AccountSecret::generate(&mut SeededRng::new(5));
    let (other, other_words) = (AccountSecret::from_bytes([0; 16]), Passphrase::new("another"));
    let new = NewSlot::Passphrase { passphrase: &PASSPHRASE, account_secret: &account, cost: PassphraseCost::FLOOR };
    let header = Header::create(&root(), &[new], &mut SeededRng::new(4)).unwrap();
    let id = *header.slots()[0].id();
    let unlock =
        |passphrase, account_secret| code(header.unlock(&id, &Unlock::Passphrase { passphrase, account_secret }));
    assert_eq!(unlock(&PASSPHRASE, &account), "ok");
    assert_eq!(unlock(&other_words, &account), "Rejected");
    assert_eq!(unlock(&PASSPHRASE, &other), "Rejected");
    assert_eq!(code(header.unlock(&id, &Unlock::PassphraseOnly(&PASSPHRASE))), "WrongMethod");
}

#[test]
fn a_passphrase_alone_opens_its_slot() {
    let new = NewSlot::PassphraseOnly { passphrase: &PASSPHRASE, cost: PassphraseCost::FLOOR_ALONE };
    let header = Header::create(&root(), &[new], &mut SeededRng::new(4)).unwrap();
    assert_eq!(code(header.unlock(header.slots()[0].id(), &Unlock::PassphraseOnly(&PASSPHRASE))), "ok");
}

#[test]
fn costs_out_of_bounds_are_refused_before_anything_is_hashed() {
    let account = AccountSecret::generate(&mut SeededRng::new(5));
    let slot = |cost| NewSlot::Passphrase { passphrase: &PASSPHRASE, account_secret: &account, cost };
    let alone = |cost| NewSlot::PassphraseOnly { passphrase: &PASSPHRASE, cost };
    let before = test_util::derivations();
    let make = |new: NewSlot<'_>| Header::create(&root(), &[new], &mut SeededRng::new(4)).unwrap_err().code();
    let other = PassphraseCost::new(70_000, 5, 2);
    assert_eq!((other.m_kib(), other.t(), other.p()), (70_000, 5, 2));
    let (floor, alone_floor) = (PassphraseCost::FLOOR, PassphraseCost::FLOOR_ALONE);
    for cost in [(floor.m_kib() - 1, 2, 1), (floor.m_kib(), 1, 1), (floor.m_kib(), 2, 0)] {
        assert_eq!(make(slot(PassphraseCost::new(cost.0, cost.1, cost.2))), "WeakParameters");
    }
    for cost in [(alone_floor.m_kib() - 1, 3, 1), (alone_floor.m_kib(), 2, 1)] {
        assert_eq!(make(alone(PassphraseCost::new(cost.0, cost.1, cost.2))), "WeakParameters");
    }
    for cost in [((1 << 20) + 1, 3, 1), (1 << 20, 11, 1), (1 << 20, 3, 5), (u32::MAX, u32::MAX, u32::MAX)] {
        assert_eq!(make(slot(PassphraseCost::new(cost.0, cost.1, cost.2))), "ParametersTooCostly");
    }
    assert_eq!(test_util::derivations(), before);

    // The same when a host alters what stands in the header.
    let header = Header::create(&root(), &[slot(floor)], &mut SeededRng::new(4)).unwrap();
    let before = test_util::derivations();
    for (to, want) in [([0x19, 0x10, 0x00], "WeakParameters"), ([0x19, 0x4b, 0xff], "WeakParameters")] {
        let altered = replace(header.bytes(), &[0xa4, 0x01, 0x19, 0x4c, 0x00], &[&[0xa4, 0x01], &to[..]].concat());
        let header = Header::parse(&altered).unwrap();
        let with = Unlock::Passphrase { passphrase: &PASSPHRASE, account_secret: &account };
        assert_eq!(code(header.unlock(header.slots()[0].id(), &with)), want);
    }
    for (from, to) in [
        (&[0x01, 0x19, 0x4c, 0x00][..], &[0x01, 0x1a, 0xff, 0xff, 0xff, 0xff][..]),
        (&[0x02, 0x02, 0x03, 0x01, 0x04], &[0x02, 0x0b, 0x03, 0x01, 0x04]),
        (&[0x02, 0x02, 0x03, 0x01, 0x04], &[0x02, 0x02, 0x03, 0x05, 0x04]),
    ] {
        let header = Header::parse(&replace(header.bytes(), from, to)).unwrap();
        let with = Unlock::Passphrase { passphrase: &PASSPHRASE, account_secret: &account };
        assert_eq!(code(header.unlock(header.slots()[0].id(), &with)), "ParametersTooCostly");
    }
    assert_eq!(test_util::derivations(), before);
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

#[test]
fn every_bit_of_a_header_counts() {
    let header = two_phrases();
    let id = *header.slots()[0].id();
    let unlock = |bytes: &[u8]| Header::parse(bytes).and_then(|header| header.unlock(&id, &Unlock::Phrase(&phrase(2))));
    assert_eq!(code(unlock(header.bytes())), "ok");
    for bit in 0..header.bytes().len() * 8 {
        let mut altered = header.bytes().to_vec();
        altered[bit / 8] ^= 1 << (bit % 8);
        assert_ne!(code(unlock(&altered)), "ok", "bit {bit}");
    }
    for len in 0..header.bytes().len() {
        assert_eq!(Header::parse(&header.bytes()[..len]).err(), Some(UnlockError::Malformed));
    }
}

#[test]
fn a_slot_of_another_place_is_refused() {
    let header = two_phrases();
    let mut slots = header.slots().to_vec();
    // The host puts the second slot's wrapped secret under the first one's id.
    let mut writer = Writer::new();
    slots[1].encode(&mut writer);
    let swapped = replace(writer.as_slice(), slots[1].id().as_bytes(), slots[0].id().as_bytes());
    let item = read(&swapped, Order::Canonical, &Limits::new(1_000)).unwrap();
    slots[0] = Slot::from_item(item).unwrap();
    slots.truncate(1);
    let altered = Header::write(&root(), 2, slots, vec![]).unwrap();
    let id = *altered.slots()[0].id();
    assert_eq!(code(altered.unlock(&id, &Unlock::Phrase(&phrase(3)))), "Rejected");
}

#[test]
fn an_opened_slot_in_an_altered_header_is_told() {
    let header = two_phrases();
    let id = *header.slots()[0].id();
    // Version 1 becomes 7: every slot still opens.
    let mut altered = header.bytes().to_vec();
    let version = altered.windows(3).position(|window| window == [0x01, 0x01, 0x82]).unwrap() + 1;
    altered[version] = 7;
    let altered = Header::parse(&altered).unwrap();
    assert_eq!(code(altered.unlock(&id, &Unlock::Phrase(&phrase(2)))), "HeaderTampered");
    assert_eq!(
        altered.add_slot(&root(), &NewSlot::Phrase(&phrase(9)), &mut SeededRng::new(1)).err(),
        Some(UnlockError::HeaderTampered)
    );
}

#[test]
fn slots_come_and_go_by_version() {
    let first = two_phrases();
    let second = first.add_slot(&root(), &NewSlot::Phrase(&phrase(6)), &mut SeededRng::new(7)).unwrap();
    assert_eq!((second.version(), second.slots().len()), (2, 3));
    let third = second.remove_slot(&root(), first.slots()[0].id()).unwrap();
    assert_eq!((third.version(), third.slots().len()), (3, 2));
    assert_eq!(code(third.unlock(first.slots()[0].id(), &Unlock::Phrase(&phrase(2)))), "NoSuchSlot");
    assert_eq!(code(third.unlock(second.slots()[2].id(), &Unlock::Phrase(&phrase(6)))), "ok");
    assert_eq!(third.remove_slot(&root(), first.slots()[0].id()).err(), Some(UnlockError::NoSuchSlot));
    let last = third.remove_slot(&root(), third.slots()[0].id()).unwrap();
    assert_eq!(last.remove_slot(&root(), last.slots()[0].id()).err(), Some(UnlockError::Limit));
    assert_eq!(first.check_version(2), Err(UnlockError::HeaderRolledBack));
    assert_eq!(second.check_version(2), Ok(()));
}

/// A newer client's slot has parameters that this version does not know.
#[test]
fn slots_that_cannot_be_read_are_kept_as_they_are() {
    let header = two_phrases();
    let mut writer = Writer::new();
    writer.array(4).uint(5).bytes(&[9; 16]).map(|map| {
        map.int(9, |w| {
            w.bytes(&[1; 32]);
        });
    });
    writer.bytes(&[3; 112]);
    let item = read(writer.as_slice(), Order::Canonical, &Limits::new(4_096)).unwrap();
    let mut slots = header.slots().to_vec();
    slots.push(Slot::from_item(item).unwrap());
    let header = Header::write(&root(), 1, slots, vec![]).unwrap();
    let header = Header::parse(header.bytes()).unwrap();
    let (id, device) = (SlotId::from_bytes([9; 16]), device(1));
    assert_eq!(header.slots()[2].slot_type(), SlotType::Recipient);
    assert_eq!(code(header.unlock(&id, &Unlock::Phrase(&phrase(2)))), "WrongMethod");
    assert_eq!(code(header.unlock(&id, &Unlock::Recipient(&device))), "Malformed");
    let next = header.add_slot(&root(), &NewSlot::Phrase(&phrase(8)), &mut SeededRng::new(7)).unwrap();
    assert!(next.bytes().windows(writer.as_slice().len()).any(|window| window == writer.as_slice()));
    // For a new root there is nothing to make it of.
    let (with, rng) = ([(*header.slots()[0].id(), NewSlot::Phrase(&phrase(2)))], &mut SeededRng::new(5));
    let (_, dropped) = header.rotate_root(&root(), &root().next(rng).unwrap(), &[], &with, rng).unwrap();
    assert_eq!(dropped, [*header.slots()[1].id(), id]);
}

#[test]
fn a_passphrase_is_changed_in_one_slot_and_nothing_else() {
    let account = AccountSecret::generate(&mut SeededRng::new(5));
    let slot = |passphrase| NewSlot::Passphrase { passphrase, account_secret: &account, cost: PassphraseCost::FLOOR };
    let (new, third) = (Passphrase::new("a new passphrase"), phrase(3));
    let slots = [NewSlot::Phrase(&third), slot(&PASSPHRASE), NewSlot::Phrase(&third)];
    let old_header = Header::create(&root(), &slots, &mut SeededRng::new(4)).unwrap();
    let id = *old_header.slots()[1].id();
    let header = old_header.replace_slot(&root(), &id, &slot(&new), &mut SeededRng::new(6)).unwrap();
    let header = Header::parse(header.bytes()).unwrap();
    assert_eq!((header.version(), header.root_epoch()), (2, Epoch::FIRST));

    let unlock = |header: &Header, passphrase| {
        code(header.unlock(&id, &Unlock::Passphrase { passphrase, account_secret: &account }))
    };
    assert_eq!((unlock(&header, &new), unlock(&header, &PASSPHRASE)), ("ok", "Rejected"));
    assert_eq!((unlock(&old_header, &new), unlock(&old_header, &PASSPHRASE)), ("Rejected", "ok"));

    // The others are as they were; of the old slot only its id and place remain, neither its salt nor what it wrapped.
    for other in [0, 2] {
        assert_eq!(header.slots()[other], old_header.slots()[other]);
    }
    assert_eq!(header.slots()[1].id(), &id);
    let written = encoded(&old_header.slots()[1]);
    for old in written[19..].chunks_exact(16) {
        assert!(!header.bytes().windows(16).any(|window| window == old));
    }

    // A host that puts the old slot back into the new header is told of, whichever passphrase is tried.
    let mixed = replace(header.bytes(), &encoded(&header.slots()[1]), &written);
    let mixed = Header::parse(&mixed).unwrap();
    assert_eq!((unlock(&mixed, &new), unlock(&mixed, &PASSPHRASE)), ("Rejected", "HeaderTampered"));

    // Another type in its place.
    let header = header.replace_slot(&root(), &id, &NewSlot::Phrase(&third), &mut SeededRng::new(7)).unwrap();
    assert_eq!(code(header.unlock(&id, &Unlock::Phrase(&third))), "ok");
    assert_eq!(unlock(&header, &new), "WrongMethod");
    let unknown = header.replace_slot(&root(), &SlotId::from_bytes([0; 16]), &slot(&new), &mut SeededRng::new(7));
    assert_eq!(unknown.err(), Some(UnlockError::NoSuchSlot));
}

fn encoded(slot: &Slot) -> Vec<u8> {
    let mut writer = Writer::new();
    slot.encode(&mut writer);
    writer.into_vec()
}

fn device(seed: u64) -> RecipientSecret {
    RecipientSecret::generate(&mut SeededRng::new(seed)).unwrap()
}

#[test]
fn a_new_root_takes_along_recipients_and_the_secrets_at_hand() {
    let rng = &mut SeededRng::new(20);
    let (phone, tablet, phrase) = (device(21), device(22), phrase(23));
    let account = AccountSecret::generate(rng);
    let (contacts, shares) = ThresholdSecret::split(2, 3, rng).unwrap();
    let slots = [
        NewSlot::Recipient(phone.public()),
        NewSlot::Passphrase { passphrase: &PASSPHRASE, account_secret: &account, cost: PassphraseCost::FLOOR },
        NewSlot::Phrase(&phrase),
        NewSlot::Threshold(&contacts),
        NewSlot::Recipient(tablet.public()),
    ];
    let old_header = Header::create(&root(), &slots, rng).unwrap();
    let [phone_id, passphrase_id, phrase_id, contacts_id, tablet_id] =
        [0, 1, 2, 3, 4].map(|n| *old_header.slots()[n].id());
    let new = root().next(rng).unwrap();

    // The phone is lost; the passphrase is changed on the way; the phrase is in a safe; two contacts were asked.
    let next_words = Passphrase::new("a new passphrase");
    let joined = ThresholdSecret::join(contacts.threshold(), &shares[1..]).unwrap();
    let with = [
        (contacts_id, NewSlot::Threshold(&joined)),
        (
            passphrase_id,
            NewSlot::Passphrase { passphrase: &next_words, account_secret: &account, cost: PassphraseCost::FLOOR },
        ),
    ];
    let (header, dropped) = old_header.rotate_root(&root(), &new, &[phone_id], &with, rng).unwrap();
    let header = Header::parse(header.bytes()).unwrap();
    assert_eq!(dropped, [phone_id, phrase_id]);
    assert_eq!((header.version(), header.root_epoch().get()), (2, 2));
    assert_eq!(
        header.slots().iter().map(|slot| *slot.id()).collect::<Vec<_>>(),
        [passphrase_id, contacts_id, tablet_id]
    );

    let opens = |id: &SlotId, with: &Unlock<'_>| {
        header.unlock(id, with).map(|root| assert_eq!(root.secret().expose(), new.secret().expose()))
    };
    assert_eq!(opens(&tablet_id, &Unlock::Recipient(&tablet)), Ok(()));
    for pair in [&shares[..2], &shares[1..]] {
        let joined = ThresholdSecret::join(&header.slots()[1].threshold().unwrap(), pair).unwrap();
        assert_eq!(opens(&contacts_id, &Unlock::Threshold(&joined)), Ok(()));
    }
    let words = |passphrase| Unlock::Passphrase { passphrase, account_secret: &account };
    assert_eq!(opens(&passphrase_id, &words(&next_words)), Ok(()));
    assert_eq!(opens(&passphrase_id, &words(&PASSPHRASE)), Err(UnlockError::Rejected));

    // Whoever holds the old root, the phone or the phrase is out: of this header, and of one that mixes in an old slot.
    assert_ne!(new.secret().expose(), root().secret().expose());
    assert_eq!(header.authenticate(&root()), Err(UnlockError::HeaderTampered));
    for (id, secret) in [(phone_id, Unlock::Recipient(&phone)), (phrase_id, Unlock::Phrase(&phrase))] {
        assert_eq!(opens(&id, &secret), Err(UnlockError::NoSuchSlot));
        let old = old_header.slots().iter().find(|slot| slot.id() == &id).unwrap().clone();
        let mixed = Header::write(&new, 2, [header.slots(), &[old]].concat(), vec![]).unwrap();
        assert_eq!(code(mixed.unlock(&id, &secret)), "Rejected");
    }
    assert_eq!(opens(&tablet_id, &Unlock::Recipient(&phone)), Err(UnlockError::Rejected));

    // What is wrapped is made anew, and so are salts and what was sealed to keys; the contacts' set stays.
    for slot in header.slots() {
        let old = old_header.slots().iter().find(|old| old.id() == slot.id()).unwrap();
        let [(params, wrapped), (old_params, old_wrapped)] = [slot, old]
            .map(|slot| encoded(slot)[19..].split_last_chunk::<112>().map(|(a, b)| (a.to_vec(), *b)).unwrap());
        assert_ne!(wrapped, old_wrapped);
        assert_eq!(params == old_params, slot.slot_type() == SlotType::Threshold);
    }
}

#[test]
fn a_new_root_is_refused_where_it_would_lock_the_person_out() {
    let (header, rng) = (two_phrases(), &mut SeededRng::new(20));
    let [one, two] = [0, 1].map(|n| *header.slots()[n].id());
    let (next, phrase) = (root().next(rng).unwrap(), phrase(2));
    let mut rotate = |old: &Root, new: &Root, lost: &[SlotId], given: &[SlotId]| {
        let with: Vec<_> = given.iter().map(|id| (*id, NewSlot::Phrase(&phrase))).collect();
        header.rotate_root(old, new, lost, &with, rng).map(|(header, dropped)| (header.slots().len(), dropped))
    };
    let unknown = SlotId::from_bytes([0; 16]);
    assert_eq!(rotate(&root(), &next, &[], &[one, two]), Ok((2, vec![])));
    assert_eq!(rotate(&root(), &next, &[], &[one]), Ok((1, vec![two])));
    assert_eq!(rotate(&root(), &next, &[two], &[one]), Ok((1, vec![two])));
    assert_eq!(rotate(&root(), &next, &[], &[]), Err(UnlockError::Limit));
    assert_eq!(rotate(&root(), &next, &[one, two], &[]), Err(UnlockError::Limit));
    assert_eq!(rotate(&root(), &next, &[], &[one, one]), Err(UnlockError::Limit));
    assert_eq!(rotate(&root(), &next, &[one], &[one, two]), Err(UnlockError::Limit));
    assert_eq!(rotate(&root(), &next, &[], &[one, unknown]), Err(UnlockError::NoSuchSlot));
    assert_eq!(rotate(&root(), &next, &[unknown], &[one]), Err(UnlockError::NoSuchSlot));
    assert_eq!(rotate(&next, &next, &[], &[one]), Err(UnlockError::HeaderTampered));
    // Not the root after this one: the same epoch, one too many, another store.
    let other = |store: u8, epoch| {
        let secret = deedbox_crypto::secret::SecretBytes::from_bytes([7; 32]);
        Root::of(secret, StoreId::from_bytes([store; 16]), Epoch::new(epoch).unwrap())
    };
    for new in [root(), other(1, 1), other(1, 3), other(9, 2)] {
        assert_eq!(rotate(&root(), &new, &[], &[one]), Err(UnlockError::Limit));
    }
    assert_eq!(rotate(&root(), &other(1, 2), &[], &[one]), Ok((1, vec![two])));
    assert_eq!(other(1, u32::MAX).next(&mut SeededRng::new(1)).err(), Some(crate::SealError::Exhausted));
}

/// The new root is sealed to the keys that the header names. A host that puts its own there must get nothing.
#[test]
fn a_new_root_is_not_sealed_to_a_key_that_the_host_put_there() {
    let (mine, hosts) = (device(30), device(31));
    let rng = &mut SeededRng::new(32);
    let header = Header::create(&root(), &[NewSlot::Recipient(mine.public())], rng).unwrap();
    let next = root().next(rng).unwrap();
    assert!(header.rotate_root(&root(), &next, &[], &[], rng).is_ok());
    let mut altered = header.bytes().to_vec();
    for (from, to) in [
        (mine.public().thumbprint().as_bytes().to_vec(), hosts.public().thumbprint().as_bytes().to_vec()),
        (mine.public().as_xwing().to_bytes(), hosts.public().as_xwing().to_bytes()),
    ] {
        altered = replace(&altered, &from, &to);
    }
    let altered = Header::parse(&altered).unwrap();
    assert_eq!(altered.slots()[0].recipient(), Some(hosts.public().thumbprint()));
    assert_eq!(altered.rotate_root(&root(), &next, &[], &[], rng).err(), Some(UnlockError::HeaderTampered));
}

#[test]
fn sixty_four_of_the_largest_slots_fit() {
    let (devices, rng) = ([0, 1, 2, 3].map(|n| device(40 + n)), &mut SeededRng::new(44));
    let slots: Vec<_> = (0..64).map(|n| NewSlot::Recipient(devices[n % 4].public())).collect();
    let header = Header::parse(Header::create(&root(), &slots, rng).unwrap().bytes()).unwrap();
    assert_eq!(header.bytes().len(), 164_167);
    let last = *header.slots()[63].id();
    assert_eq!(code(header.unlock(&last, &Unlock::Recipient(&devices[3]))), "ok");
    let one_more = NewSlot::Phrase(&phrase(2));
    assert_eq!(header.add_slot(&root(), &one_more, rng).err(), Some(UnlockError::Limit));
    assert!(header.replace_slot(&root(), &last, &one_more, rng).is_ok());
    let (rotated, dropped) = header.rotate_root(&root(), &root().next(rng).unwrap(), &[], &[], rng).unwrap();
    assert_eq!((rotated.slots().len(), dropped.len()), (64, 0));
}

/// A header with an id twice could not be read again: the store would be locked for good.
#[test]
fn a_generator_that_repeats_itself_makes_no_second_slot_of_one_id() {
    let (one, two) = (phrase(2), phrase(3));
    let header = Header::create(&root(), &[NewSlot::Phrase(&one)], &mut SeededRng::new(4)).unwrap();
    let added = header.add_slot(&root(), &NewSlot::Phrase(&two), &mut SeededRng::new(4));
    assert_eq!(added.err(), Some(UnlockError::Limit));
    let created = Header::create(&root(), &[NewSlot::Phrase(&one), NewSlot::Phrase(&two)], &mut Stuck);
    assert_eq!(created.err(), Some(UnlockError::Limit));
}

struct Stuck;

impl rand_core::TryRng for Stuck {
    type Error = core::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(7)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(7)
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        out.fill(7);
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Stuck {}

#[test]
fn shapes_that_are_not_a_header_are_refused() {
    let good = two_phrases();
    let slot = good.slots()[0].clone();
    assert_eq!(Header::create(&root(), &[], &mut SeededRng::new(1)).err(), Some(UnlockError::Limit));
    for slots in [vec![], vec![slot.clone(), slot.clone()], vec![slot; 65]] {
        let written = Header::write(&root(), 1, slots, vec![]).unwrap();
        assert_eq!(Header::parse(written.bytes()).err(), Some(UnlockError::Malformed));
    }
    let zero = Header::write(&root(), 0, good.slots().to_vec(), vec![]).unwrap();
    assert_eq!(Header::parse(zero.bytes()).err(), Some(UnlockError::Malformed));
    for (from, to) in [
        (&b"deedbox-store"[..], &b"deedbox-stove"[..]),
        (b"store\x01", b"store\x02"),
        (&good.bytes()[good.bytes().len() - 34..], &[&[0x58, 0x1f][..], &[7; 31]].concat()),
    ] {
        let other = replace(good.bytes(), from, to);
        assert_eq!(Header::parse(&other).err(), Some(UnlockError::Malformed));
    }
    let mut trailing = good.bytes().to_vec();
    trailing.push(0);
    assert_eq!(Header::parse(&trailing).err(), Some(UnlockError::Malformed));
}

/// What could not be read again is not written: of a newer client's slots, two may be too long for one header.
#[test]
fn a_header_is_as_long_as_it_may_be_read() {
    let write = |len: usize| {
        let mut writer = Writer::new();
        writer.array(4).uint(5).bytes(&[9; 16]).map(|map| {
            map.int(9, |w| {
                w.bytes(&vec![1; len]);
            });
        });
        writer.bytes(&[3; 112]);
        let slot = Slot::from_item(read(writer.as_slice(), Order::Canonical, &Limits::new(1 << 20)).unwrap()).unwrap();
        Header::write(&root(), 1, vec![slot], vec![])
    };
    let rest = write(100_000).unwrap().bytes().len() - 100_000;
    let longest = write((256 << 10) - rest).unwrap();
    assert_eq!(longest.bytes().len(), 256 << 10);
    assert_eq!(Header::parse(longest.bytes()), Ok(longest.clone()));
    assert_eq!(write((256 << 10) - rest + 1).err(), Some(UnlockError::Limit));
    let one_more = longest.add_slot(&root(), &NewSlot::Phrase(&phrase(2)), &mut SeededRng::new(1));
    assert_eq!(one_more.err(), Some(UnlockError::Limit));
}

/// A MAC is right for the store and epoch that the header names only.
#[test]
fn a_root_authenticates_no_header_of_another_store_or_epoch() {
    let named = |store: u8, epoch: u8| [&[0x50][..], &[store; 16], &[epoch]].concat();
    for (store, epoch, want) in
        [(1, 1, Ok(())), (9, 1, Err(UnlockError::HeaderTampered)), (1, 2, Err(UnlockError::HeaderTampered))]
    {
        let altered = replace(two_phrases().bytes(), &named(1, 1), &named(store, epoch));
        let (covered, _) = altered.split_at(altered.len() - 34);
        let sealed = [covered, &MAC_HEAD, &mac_of(&root(), covered)].concat();
        assert_eq!(Header::parse(&sealed).unwrap().authenticate(&root()), want);
    }
}

#[test]
fn a_root_of_another_store_is_not_this_ones() {
    let other = Root::of(
        deedbox_crypto::secret::SecretBytes::from_bytes(*root().secret().expose()),
        StoreId::from_bytes([9; 16]),
        Epoch::FIRST,
    );
    assert_eq!(two_phrases().authenticate(&other), Err(UnlockError::HeaderTampered));
    assert_eq!(format!("{:?} {:?}", root(), two_phrases()), "Root { .. } Header { version: 1, slots: 2, .. }");
}

#[test]
fn secrets_print_nothing() {
    let rng = &mut SeededRng::new(1);
    let (account, share) = (AccountSecret::generate(rng), crate::HostShare::generate(rng));
    let name_key = crate::NameKey::generate(rng);
    let text = format!("{account:?} {share:?} {name_key:?} {:?} {PASSPHRASE:?}", phrase(1));
    assert_eq!(text, "AccountSecret { .. } HostShare { .. } NameKey { .. } RecoveryPhrase { .. } Passphrase { .. }");
    let unlock = Unlock::Passphrase { passphrase: &PASSPHRASE, account_secret: &account };
    assert_eq!(
        format!("{unlock:?}"),
        "Passphrase { passphrase: Passphrase { .. }, account_secret: AccountSecret { .. } }"
    );
}

proptest! {
    #[test]
    fn parsing_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Header::parse(&bytes).is_err());
    }
}
