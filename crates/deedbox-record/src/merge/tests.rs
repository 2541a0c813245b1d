use alloc::{collections::BTreeMap, collections::BTreeSet, string::String, vec, vec::Vec};

use deedbox_model::{DatasetId, Epoch, ObjectId, Seq, Timestamp};
use deedbox_testkit::rng::SeededRng;
use proptest::prelude::*;

use super::*;
use crate::{
    ChangedObject, Freshness, HeadError, HostShare, Keyring, Reseal, Root, SealError, Tombstone,
    replica::tests::{Host, id, keyring, record, text_of},
};

/// What one device does to one object before it meets the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edit {
    Write(u8),
    Remove,
    Purge,
    Nothing,
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        4 => (0_u8..4).prop_map(Edit::Write),
        1 => Just(Edit::Remove),
        1 => Just(Edit::Purge),
        2 => Just(Edit::Nothing),
    ]
}

const OBJECTS: u8 = 3;
const NOW: Timestamp = Timestamp::from_secs(9);

fn text(n: u8) -> String {
    alloc::format!("value {n}")
}

/// A dataset of two objects, the third is not there yet.
fn base(keyring: &Keyring) -> (Replica, Host) {
    let entry = &keyring.datasets()[0];
    let mut replica = Replica::create(*entry.store(), *entry.id());
    let mut draft = replica.draft();
    draft.put(id(0), &record("first")).unwrap().put(id(1), &record("second")).unwrap();
    let part = draft.sign(entry.keys(), NOW, &mut SeededRng::new(7)).unwrap();
    let mut host = Host::default();
    host.commit(&part);
    let _ = replica.committed(part).unwrap();
    (replica, host)
}

/// A device that has the host's present state.
fn device(replica: &Replica, host: &Host, keyring: &Keyring) -> Replica {
    let mut device = Replica::new(*replica.store(), *replica.dataset());
    let (heads, objects) = host.answer(0);
    let _ = device.resync(&heads, &objects, keyring.datasets()[0].keys()).unwrap();
    device.accept_unknown();
    device
}

fn apply(draft: &mut Draft<'_>, edits: &[Edit]) {
    for (n, edit) in (0..).zip(edits) {
        match edit {
            Edit::Write(value) => draft.put(id(n), &record(&text(*value))).unwrap(),
            Edit::Remove => draft.remove(id(n)).unwrap(),
            Edit::Purge => draft.purge(id(n)),
            Edit::Nothing => draft,
        };
    }
}

/// The bytes of an entry, out of any state the host ever had, as a client that keeps what it fetched.
fn bytes_of<'a>(host: &'a Host, entry: &Entry) -> Option<&'a [u8]> {
    let all = host.states.iter().filter_map(|state| state.get(entry.object()));
    all.map(|(_, _, bytes)| bytes.as_slice()).find(|bytes| sha256(bytes) == *entry.sha256().as_bytes())
}

/// What a dataset says: text, or nothing for a tombstone, and how many objects a value replaced.
fn content(replica: &Replica, host: &Host, keyring: &Keyring) -> BTreeMap<ObjectId, (Option<String>, usize)> {
    let keys = keyring.datasets()[0].keys();
    let read = |entry: &Entry| {
        let opened = replica.open(entry.object(), bytes_of(host, entry).unwrap(), keys).unwrap();
        if entry.kind() == Kind::Tombstone.number() {
            (None, Tombstone::decode(opened.payload()).unwrap().parents().len())
        } else {
            (Some(text_of(&opened)), Record::decode(opened.payload()).unwrap().parents().len())
        }
    };
    replica.entries().iter().map(|entry| (*entry.object(), read(entry))).collect()
}

type Outcome = (BTreeMap<ObjectId, (Option<String>, usize)>, usize);

/// All devices edit the same state, and reach the host in that order.
fn run(edits: &[Vec<Edit>], order: &[usize]) -> Outcome {
    let keyring = keyring();
    let keys = keyring.datasets()[0].keys();
    let (replica, mut host) = base(&keyring);
    let rng = &mut SeededRng::new(11);
    let mut told = 0;
    let mut devices: Vec<_> = edits
        .iter()
        .map(|edits| {
            let device = device(&replica, &host, &keyring);
            let mut draft = device.draft();
            apply(&mut draft, edits);
            let part = draft.sign(keys, NOW, rng).unwrap();
            Some((device, part))
        })
        .collect();
    for at in order {
        let (mut device, mut part) = devices[*at].take().unwrap();
        if part.expect().map(|hash| *hash.as_bytes()) != host.heads.last().map(|head| sha256(head)) {
            let (heads, objects) = host.answer(1);
            let _ = device.resync(&heads, &objects, keys).unwrap();
            assert_eq!(device.freshness(), Freshness::Pinned);
            let (draft, conflicts) = device.rebase(part.into_pending(), keys, |entry| bytes_of(&host, entry)).unwrap();
            told += conflicts.len();
            part = draft.sign(keys, NOW, rng).unwrap();
        }
        host.commit(&part);
        let _ = device.committed(part).unwrap();
    }
    let last = self::device(&replica, &host, &keyring);
    (content(&last, &host, &keyring), told)
}

proptest! {
    /// Whoever comes first, every device ends with the same values at the same places, and no value is lost.
    #[test]
    fn the_order_of_devices_makes_no_difference(
        edits in proptest::collection::vec(proptest::collection::vec(edit(), usize::from(OBJECTS)), 3),
    ) {
        let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
        let (first, _) = run(&edits, &orders[0]);
        for order in &orders[1..] {
            prop_assert_eq!(&run(&edits, order).0, &first, "{:?}", order);
        }
        let held: BTreeSet<&str> = first.values().filter_map(|(text, _)| text.as_deref()).collect();
        for edit in edits.iter().flatten() {
            if let Edit::Write(value) = edit {
                prop_assert!(held.contains(text(*value).as_str()));
            }
        }
        // One object a distinct value: nothing was written twice either.
        for n in 0..OBJECTS {
            let values: BTreeSet<_> = edits.iter().filter_map(|edits| match edits[usize::from(n)] {
                Edit::Write(value) => Some(value),
                _ => None,
            }).collect();
            let is_there = first.contains_key(&id(n));
            let removed = edits.iter().any(|edits| matches!(edits[usize::from(n)], Edit::Remove | Edit::Purge));
            prop_assert!(is_there || values.is_empty() && (removed || n == 2));
        }
        let distinct: usize = (0..OBJECTS).map(|n| {
            let values: BTreeSet<_> = edits.iter().filter_map(|edits| match edits[usize::from(n)] {
                Edit::Write(value) => Some(value),
                _ => None,
            }).collect();
            values.len().max(usize::from(first.contains_key(&id(n))))
        }).sum();
        prop_assert_eq!(first.len(), distinct);
    }
}

#[test]
fn two_values_stay_and_name_what_they_replaced() {
    let two = [vec![Edit::Write(1)], vec![Edit::Write(2)]];
    let (content, told) = run(&two, &[0, 1]);
    assert_eq!((content.len(), told), (3, 1));
    let mut values: Vec<_> = content.iter().filter(|(object, _)| **object != id(1)).map(|(_, value)| value).collect();
    values.sort();
    assert_eq!(values, [&(Some(text(1)), 1), &(Some(text(2)), 1)]);
    // The same written twice is written once, and nothing is told.
    let (content, told) = run(&[vec![Edit::Write(1)], vec![Edit::Write(1)]], &[0, 1]);
    assert_eq!((content[&id(0)].clone(), content.len(), told), ((Some(text(1)), 0), 2, 0));
    // A removal loses against a value, and says so.
    for removal in [Edit::Remove, Edit::Purge] {
        for order in [[0, 1], [1, 0]] {
            let (content, told) = run(&[vec![Edit::Write(1)], vec![removal]], &order);
            assert_eq!((content[&id(0)].0.clone(), told), (Some(text(1)), 1));
        }
    }
}

/// A client that keeps its changes as records puts them upon the present state as one that signed them did.
#[test]
fn changes_kept_as_records_are_merged_as_those_that_were_signed() {
    let keyring = keyring();
    let (keys, rng) = (keyring.datasets()[0].keys(), &mut SeededRng::new(3));
    let (before, mut host) = base(&keyring);
    let mut draft = before.draft();
    draft.put(id(0), &record("ours")).unwrap().put(id(2), &record("new")).unwrap();
    let signed = draft.sign(keys, NOW, rng).unwrap();
    let mut kept = Pending::new(*before.dataset());
    kept.put(id(0), before.entry(&id(0)).copied(), &record("ours")).unwrap().put(id(2), None, &record("new")).unwrap();

    let mut other = device(&before, &host, &keyring);
    let mut draft = other.draft();
    draft.put(id(0), &record("theirs")).unwrap().put(id(2), &record("new too")).unwrap();
    let part = draft.sign(keys, NOW, rng).unwrap();
    host.commit(&part);
    let _ = other.committed(part).unwrap();
    let merged = |pending| {
        let (draft, conflicts) = other.rebase(pending, keys, |entry| bytes_of(&host, entry)).unwrap();
        let part = draft.sign(keys, NOW, &mut SeededRng::new(4)).unwrap();
        (part.head_bytes().to_vec(), part.puts().to_vec(), conflicts)
    };
    let (head, puts, conflicts) = merged(kept);
    assert_eq!(conflicts.len(), 2);
    assert_eq!(merged(signed.into_pending()), (head, puts, conflicts));
}

#[test]
fn sealing_anew_is_no_change_and_an_old_epoch_can_be_destroyed_after_it() {
    let mut keyring = keyring();
    let (dataset, rng) = (*keyring.datasets()[0].id(), &mut SeededRng::new(3));
    let (replica, mut host) = base(&keyring);
    // One device edits; another one rotates and is first.
    let mut editor = device(&replica, &host, &keyring);
    let mut draft = editor.draft();
    draft.put(id(1), &record("edited")).unwrap();
    let edited = draft.sign(keyring.datasets()[0].keys(), NOW, rng).unwrap();

    let mut rotator = device(&replica, &host, &keyring);
    assert_eq!(keyring.rotate(&dataset, rng).unwrap().get(), 2);
    let keys = keyring.datasets()[0].keys();
    let mut draft = rotator.draft();
    assert_eq!(
        draft
            .reseal(Reseal::Eager, keys.current().unwrap(), keys, |object| bytes_of(&host, replica.entry(object)?))
            .unwrap(),
        2
    );
    let part = draft.sign(keys, NOW, rng).unwrap();
    assert_eq!(part.head().epoch().get(), 2);
    host.commit(&part);
    let _ = rotator.committed(part).unwrap();

    let (heads, objects) = host.answer(1);
    let _ = editor.resync(&heads, &objects, keys).unwrap();
    let pending = edited.into_pending();
    let (draft, conflicts) = editor.rebase(pending, keys, |entry| bytes_of(&host, entry)).unwrap();
    assert!(conflicts.is_empty());
    let part = draft.sign(keys, NOW, rng).unwrap();
    host.commit(&part);
    let _ = editor.committed(part).unwrap();

    // Without the old key everything of now opens, nothing of then, and the old head still verifies.
    assert_eq!(keyring.destroy_epochs(&dataset), 1);
    assert_eq!(keyring.destroy_epochs(&dataset), 0);
    let keyring = keyring.working_copy().unwrap();
    let keys = keyring.datasets()[0].keys();
    let texts = content(&editor, &host, &keyring);
    assert_eq!(texts.values().map(|(text, _)| text.as_deref()).collect::<Vec<_>>(), [Some("first"), Some("edited")]);
    let old = *replica.entry(&id(0)).unwrap();
    let opened = replica.open_entry(&old, bytes_of(&host, &old).unwrap(), keys);
    assert_eq!(opened.err(), Some(OpenError::UnknownEpoch(1)));
    assert!(crate::Head::verify(&host.heads[0], &keys.head_key(Epoch::FIRST).unwrap()).is_ok());
}

#[test]
fn a_lazy_reseal_goes_some_objects_at_a_time() {
    let mut keyring = keyring();
    let (dataset, rng) = (*keyring.datasets()[0].id(), &mut SeededRng::new(4));
    let (mut replica, mut host) = base(&keyring);
    keyring.rotate(&dataset, rng).unwrap();
    let keys = keyring.datasets()[0].keys();
    let now = keys.current().unwrap();
    for left in [1, 1, 0] {
        let mut draft = replica.draft();
        let bytes = |object: &ObjectId| bytes_of(&host, replica.entry(object)?);
        let by_bytes = draft.reseal(Reseal::Lazy { objects: usize::MAX, bytes: 1 }, now, keys, bytes).unwrap();
        let by_count = draft.reseal(Reseal::Lazy { objects: 1, bytes: usize::MAX }, now, keys, bytes).unwrap();
        assert_eq!((by_bytes, by_count), (left, left));
        let part = draft.sign(keys, NOW, rng).unwrap();
        host.commit(&part);
        let _ = replica.committed(part).unwrap();
        assert_eq!(content(&replica, &host, &keyring).len(), 2);
    }
    // Bytes that are not the state's are not sealed anew.
    keyring.rotate(&dataset, rng).unwrap();
    let keys = keyring.datasets()[0].keys();
    let now = keys.current().unwrap();
    let mut draft = replica.draft();
    assert_eq!(draft.reseal(Reseal::Eager, now, keys, |_| None), Err(OpenError::Rejected));
    let old = &host.states[0][&id(0)].2;
    assert_eq!(draft.reseal(Reseal::Eager, now, keys, |_| Some(old)), Err(OpenError::Rejected));
    assert!(draft.is_empty());
}

#[test]
fn the_keyring_is_not_merged_and_datasets_are_not_mixed() {
    let rng = &mut SeededRng::new(5);
    let root = Root::generate(deedbox_model::StoreId::from_bytes([1; 16]), rng);
    let meta = root.meta_keys(&HostShare::none(), Epoch::FIRST);
    let mut replica = Replica::create((*root.store()).into(), DatasetId::META);
    let mut host = Host::default();
    let write = |replica: &Replica, rng: &mut SeededRng| {
        let mut draft = replica.draft();
        draft.put_keyring(&keyring()).unwrap();
        draft.sign(&meta, NOW, rng).unwrap()
    };
    let first = write(&replica, rng);
    host.commit(&first);
    let _ = replica.committed(first).unwrap();
    let (mine, theirs) = (write(&replica, rng), write(&replica, rng));
    host.commit(&theirs);
    let _ = replica.committed(theirs).unwrap();
    let refused = |pending| replica.rebase(pending, &meta, |entry| bytes_of(&host, entry)).err();
    // Two keyrings that say the same are one change; here the keys differ.
    assert_eq!(refused(mine.into_pending()), None);
    let mut other = keyring();
    other.rotate(&DatasetId::from_bytes([1; 16]), rng).unwrap();
    let older = Replica::create((*root.store()).into(), DatasetId::META);
    let mut draft = older.draft();
    draft.put_keyring(&other).unwrap();
    assert_eq!(refused(draft.sign(&meta, NOW, rng).unwrap().into_pending()), Some(MergeError::Keyring));

    let keyring = keyring();
    let (elsewhere, _) = base(&keyring);
    let part = elsewhere.draft().sign(keyring.datasets()[0].keys(), NOW, rng).unwrap();
    assert_eq!(refused(part.into_pending()), Some(MergeError::WrongDataset));
}

/// A client that pinned a head of an older keyring epoch, whose key is gone, follows the chain to the present one.
#[test]
fn the_meta_dataset_is_followed_across_keyring_epochs() {
    let rng = &mut SeededRng::new(6);
    let root = Root::generate(deedbox_model::StoreId::from_bytes([1; 16]), rng);
    let keys: Vec<_> = (1..=3).map(|n| root.meta_keys(&HostShare::generate(rng), Epoch::new(n).unwrap())).collect();
    let mut replica = Replica::create((*root.store()).into(), DatasetId::META);
    let mut host = Host::default();
    let mut pins = Vec::new();
    for epoch in [0, 0, 1, 2] {
        let mut draft = replica.draft();
        draft.put_keyring(&keyring()).unwrap();
        let part = draft.sign(&keys[epoch], NOW, rng).unwrap();
        host.commit(&part);
        pins.push(part.head().pin());
        let _ = replica.committed(part).unwrap();
    }
    let follow = |pin: usize, heads: &[Vec<u8>], keys| {
        let (_, objects) = host.answer(0);
        let mut device = Replica::pinned((*root.store()).into(), DatasetId::META, pins[pin]);
        let heads: Vec<_> = heads.iter().map(Vec::as_slice).collect();
        device.resync(&heads, &objects, keys).map(|applied| (applied.seq(), applied.freshness()))
    };
    let newest = Ok((Seq::new(4).unwrap(), Freshness::Pinned));
    for pin in 0..4 {
        assert_eq!(
            follow(pin, &host.heads[pin + 1..], &keys[2]),
            if pin < 3 { newest } else { Err(HeadError::Malformed) }
        );
    }
    // The newest head itself must be signed by a key that is known, and nothing in between may be exchanged.
    assert_eq!(follow(0, &host.heads[1..3], &keys[2]), Err(HeadError::UnknownKey));
    assert_eq!(follow(0, &host.heads[2..], &keys[2]), Err(HeadError::Fork { seq: Seq::new(3).unwrap() }));
    for (at, bit) in [(1, 40), (1, 200), (2, 120), (2, 250)] {
        let mut heads = host.heads[1..].to_vec();
        heads[at - 1][bit] ^= 1;
        assert!(follow(0, &heads, &keys[2]).is_err());
    }
    // An older keyring epoch does not open a newer one, nor does a head of a later epoch pass as an older one.
    assert_eq!(follow(0, &host.heads[1..], &keys[1]), Err(HeadError::UnknownKey));
}

#[test]
fn an_old_epoch_writes_no_more() {
    let mut keyring = keyring();
    let (replica, _) = base(&keyring);
    let (dataset, rng) = (*keyring.datasets()[0].id(), &mut SeededRng::new(8));
    let before = keyring.working_copy().unwrap();
    keyring.rotate(&dataset, rng).unwrap();
    let mut rotated = Replica::create(*replica.store(), dataset);
    let part = rotated.draft().sign(keyring.datasets()[0].keys(), NOW, rng).unwrap();
    let head = part.head_bytes().to_vec();
    let _ = rotated.committed(part).unwrap();
    assert_eq!(rotated.draft().sign(before.datasets()[0].keys(), NOW, rng).err(), Some(SealError::NoKey));
    let mut reader = Replica::new(*replica.store(), dataset);
    let none: &[ChangedObject<'_>] = &[];
    assert_eq!(reader.resync(&[&head], none, before.datasets()[0].keys()), Err(HeadError::UnknownKey));
}
