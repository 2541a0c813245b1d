use alloc::{format, vec};

use deedbox_testkit::rng::SeededRng;
use proptest::prelude::*;

use super::*;
use crate::{AccountSecret, Passphrase, PassphraseCost, RecoveryPhrase, SlotType, test_util};

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
    let altered = Header::write(&root(), 2, slots).unwrap();
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

#[test]
fn slots_of_types_not_opened_here_are_kept_as_they_are() {
    let header = two_phrases();
    let mut writer = Writer::new();
    writer.array(4).uint(5).bytes(&[9; 16]).map(|map| {
        map.int(1, |w| {
            w.bytes(&[1; 32]);
        });
        map.int(2, |w| {
            w.bytes(&[2; 1120]);
        });
    });
    writer.bytes(&[3; 112]);
    let item = read(writer.as_slice(), Order::Canonical, &Limits::new(4_096)).unwrap();
    let mut slots = header.slots().to_vec();
    slots.push(Slot::from_item(item).unwrap());
    let header = Header::write(&root(), 1, slots).unwrap();
    let header = Header::parse(header.bytes()).unwrap();
    let id = SlotId::from_bytes([9; 16]);
    assert_eq!(header.slots()[2].slot_type(), SlotType::Recipient);
    assert_eq!(code(header.unlock(&id, &Unlock::Phrase(&phrase(2)))), "WrongMethod");
    let next = header.add_slot(&root(), &NewSlot::Phrase(&phrase(8)), &mut SeededRng::new(7)).unwrap();
    assert!(next.bytes().windows(writer.as_slice().len()).any(|window| window == writer.as_slice()));
}

#[test]
fn shapes_that_are_not_a_header_are_refused() {
    let good = two_phrases();
    let slot = good.slots()[0].clone();
    assert_eq!(Header::create(&root(), &[], &mut SeededRng::new(1)).err(), Some(UnlockError::Limit));
    for slots in [vec![], vec![slot.clone(), slot.clone()], vec![slot; 65]] {
        let written = Header::write(&root(), 1, slots).unwrap();
        assert_eq!(Header::parse(written.bytes()).err(), Some(UnlockError::Malformed));
    }
    let zero = Header::write(&root(), 0, good.slots().to_vec()).unwrap();
    assert_eq!(Header::parse(zero.bytes()).err(), Some(UnlockError::Malformed));
    let mut trailing = good.bytes().to_vec();
    trailing.push(0);
    assert_eq!(Header::parse(&trailing).err(), Some(UnlockError::Malformed));
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
