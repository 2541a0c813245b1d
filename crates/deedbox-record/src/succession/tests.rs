use alloc::{vec, vec::Vec};

use deedbox_model::StoreId;
use deedbox_testkit::{rng::SeededRng, tamper};

use super::*;
use crate::{Header, NewSlot, RecoveryPhrase, Slot, SlotId};

fn phrase() -> RecoveryPhrase {
    RecoveryPhrase::generate(&mut SeededRng::new(2))
}

fn root(seed: u64) -> Root {
    Root::generate(StoreId::from_bytes([1; 16]), &mut SeededRng::new(seed))
}

/// Roots and headers of a store whose root was replaced so many times.
fn line(times: usize) -> Vec<(Root, Header)> {
    let (rng, phrase) = (&mut SeededRng::new(3), phrase());
    let first = root(1);
    let mut line = vec![(Header::create(&first, &[NewSlot::Phrase(&phrase)], rng).unwrap(), first)];
    for _ in 0..times {
        let (header, old) = line.last().unwrap();
        let new = old.next(rng).unwrap();
        let slot = *header.slots()[0].id();
        let (header, _) = header.rotate_root(old, &new, &[], &[(slot, NewSlot::Phrase(&phrase))], rng).unwrap();
        line.push((header, new));
    }
    line.into_iter().map(|(header, root)| (root, header)).collect()
}

fn made_up(root: &Root, phrase: &RecoveryPhrase, steps: &[Succession], rng: &mut SeededRng) -> Header {
    let slot = Slot::make(SlotId::generate(rng), &NewSlot::Phrase(phrase), root, rng).unwrap();
    Header::write(root, 1, vec![slot], steps.to_vec()).unwrap()
}

#[test]
fn every_owner_before_leads_to_the_present_one() {
    let line = line(3);
    let (root, header) = line.last().unwrap();
    let header = Header::parse(header.bytes()).unwrap();
    for (before, _) in &line {
        assert_eq!(header.check_owner(root, &before.owner()), Ok(()));
    }
    // Nobody is led back, or to somebody else.
    for (n, (before, header)) in line.iter().enumerate().take(3) {
        assert_eq!(header.check_owner(before, &root.owner()), Err(UnlockError::HeaderRolledBack), "{n}");
    }
    let stranger = OwnerKey::new(Epoch::FIRST, *self::root(9).owner().as_bytes());
    assert_eq!(header.check_owner(root, &stranger), Err(UnlockError::UnknownOwner));
    let same_epoch = OwnerKey::new(root.epoch(), *stranger.as_bytes());
    assert_eq!(header.check_owner(root, &same_epoch), Err(UnlockError::HeaderTampered));
    // The key of one epoch does not pass for that of another.
    let moved = OwnerKey::new(line[1].0.epoch(), *line[0].0.owner().as_bytes());
    assert_eq!(header.check_owner(root, &moved), Err(UnlockError::UnknownOwner));
}

/// A header of the first version after two rotations, whose steps another implementation verified: `tests/golden/README.md`.
#[test]
fn the_golden_header_leads_from_each_of_its_owners() {
    let golden = include_bytes!("../../tests/golden/v1/succession.cbor");
    let header = Header::parse(golden).unwrap();
    let root = header.unlock(header.slots()[0].id(), &crate::Unlock::Phrase(&phrase())).unwrap();
    let owners = [
        "4803348f72ff4c008468a87c27b38aea8971a72455c34b4a7d30d63439e15da2",
        "b807ae434559de6c3eba33609c8e77fda27ca720b8c4558304eb76923be8de45",
        "ec1c0881d52dae4a6878fbce942324834a1fee83f83b0c07ccdabfc5ba349d9f",
    ];
    for (epoch, key) in (1..).zip(owners) {
        let key = deedbox_model::Digest::parse_hex(key).unwrap();
        let owner = OwnerKey::new(Epoch::new(epoch).unwrap(), *key.as_bytes());
        assert_eq!(header.check_owner(&root, &owner), Ok(()));
    }
    assert_eq!(header.bytes(), line(2)[2].1.bytes());
}

#[test]
fn a_header_that_somebody_else_made_up_leads_from_nobody() {
    // The host knows the device's public key and makes a header of its own around it, of the next root epoch.
    let ours = line(1);
    let (rng, phrase) = (&mut SeededRng::new(7), phrase());
    let theirs = root(8).next(rng).unwrap();
    let header = made_up(&theirs, &phrase, ours[1].1.successions(), rng);
    let header = Header::parse(header.bytes()).unwrap();
    header.authenticate(&theirs).unwrap();
    let pinned = ours[0].0.owner();
    assert_eq!(header.check_owner(&theirs, &pinned), Err(UnlockError::UnknownOwner));
    assert_eq!(ours[1].1.check_owner(&ours[1].0, &pinned), Ok(()));
    // Without any step, and with a step that they signed.
    for steps in [Vec::new(), vec![Succession::sign(&root(8), &theirs).unwrap()]] {
        let header = made_up(&theirs, &phrase, &steps, rng);
        assert_eq!(header.check_owner(&theirs, &pinned), Err(UnlockError::UnknownOwner));
    }
}

#[test]
fn every_altered_bit_of_a_step_is_refused() {
    let line = line(1);
    let (old, new) = (&line[0].0, &line[1].0);
    let step = Succession::sign(old, new).unwrap();
    assert_eq!(Succession::parse(step.bytes()), Ok(step.clone()));
    assert_eq!(step.verify(old.store(), &old.owner()), Ok(new.owner()));
    for altered in tamper::flips(step.bytes()) {
        let outcome = Succession::parse(&altered).and_then(|step| step.verify(old.store(), &old.owner()));
        assert!(matches!(outcome, Err(UnlockError::Malformed | UnlockError::UnknownOwner)));
    }
    for len in 0..step.bytes().len() {
        assert_eq!(Succession::parse(&step.bytes()[..len]), Err(UnlockError::Malformed));
    }
    assert_eq!(Succession::parse(&[step.bytes(), &[0]].concat()), Err(UnlockError::Malformed));
    // Another store's owner with the same key would say nothing of this one.
    let other = StoreId::from_bytes([2; 16]);
    assert_eq!(step.verify(&other, &old.owner()), Err(UnlockError::UnknownOwner));
    // Nor does a head, or anything else that the key signs: the label is another.
    let claims = sign1::Document::parse(step.bytes()).unwrap().peek().payload().to_vec();
    let head = sign1::document(&old.access_signer(), label::HEAD.as_bytes(), &claims).unwrap();
    let as_step = Succession::parse(&head).unwrap();
    assert_eq!(as_step.verify(old.store(), &old.owner()), Err(UnlockError::UnknownOwner));
}

#[test]
fn a_header_keeps_the_newest_steps_in_order() {
    let line = line(66);
    let (root, header) = line.last().unwrap();
    assert_eq!(header.successions().len(), 64);
    assert!(Header::parse(header.bytes()).is_ok());
    assert_eq!(header.check_owner(root, &line[2].0.owner()), Ok(()));
    assert_eq!(header.check_owner(root, &line[1].0.owner()), Err(UnlockError::UnknownOwner));
    // Changes of slots leave them as they are.
    let phrase = phrase();
    let more = header.add_slot(root, &NewSlot::Phrase(&phrase), &mut SeededRng::new(5)).unwrap();
    assert_eq!(more.successions(), header.successions());

    // Steps that do not lead one to the next, or not to this root, or too many, are no header.
    let steps = header.successions();
    let rng = &mut SeededRng::new(6);
    let mut write = |steps: &[Succession]| Header::parse(made_up(root, &phrase, steps, rng).bytes()).map(|_| ());
    assert_eq!(write(steps), Ok(()));
    assert_eq!(write(&[steps[0].clone(), steps[63].clone()]), Err(UnlockError::Malformed));
    assert_eq!(write(&steps[..63]), Err(UnlockError::Malformed));
    assert_eq!(write(&[steps[63].clone(), steps[63].clone()]), Err(UnlockError::Malformed));
    let of_first = line[65].1.successions();
    assert_eq!(write(&[&of_first[..1], steps].concat()), Err(UnlockError::Malformed));
    let elsewhere = Root::generate(StoreId::from_bytes([3; 16]), &mut SeededRng::new(3));
    let foreign = Succession::sign(&elsewhere, &elsewhere.next(&mut SeededRng::new(4)).unwrap()).unwrap();
    assert_eq!(write(&[foreign]), Err(UnlockError::Malformed));
}
