use alloc::format;

use deedbox_cbor::{ItemBuf, Limits};
use deedbox_crypto::secret::SecretBytes;
use deedbox_model::{Seq, Timestamp};
use deedbox_testkit::rng::SeededRng;
use proptest::prelude::*;

use super::*;
use crate::{DatasetKey, EpochKeys, Record, Replica, SignedPart, head::Claims, key::HeadSeed, state_root};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn id(n: u8) -> ObjectId {
    ObjectId::from_bytes([n; 16])
}

fn keys(epoch: Epoch) -> EpochKeys {
    let rng = &mut SeededRng::new(epoch.get().into());
    EpochKeys::of_one(DatasetKey::generate(epoch, rng), HeadSeed::of(SecretBytes::generate(rng)))
}

/// The person's side: a replica, every head, and the objects as they are now.
struct Owner {
    replica: Replica,
    keys: EpochKeys,
    rng: SeededRng,
    heads: Vec<Vec<u8>>,
    objects: BTreeMap<ObjectId, (Entry, Vec<u8>)>,
}

impl Owner {
    /// Objects 1, 2 and 3, with their numbers as values.
    fn new() -> Self {
        let replica = Replica::create(StoreName::from_bytes([1; 16]), DatasetId::from_bytes([1; 16]));
        let mut owner = Self {
            replica,
            keys: keys(Epoch::FIRST),
            rng: SeededRng::new(1),
            heads: Vec::new(),
            objects: BTreeMap::new(),
        };
        owner.write(&[(1, 1), (2, 2), (3, 3)]);
        owner
    }

    fn sign(&mut self, changes: &[(u8, u8)], keys: &EpochKeys) -> SignedPart {
        let mut draft = self.replica.draft();
        for (object, value) in changes {
            let value = ItemBuf::parse(&[*value], &Limits::new(9)).unwrap();
            draft.put(id(*object), &Record::new("number", 1, "a.number", value).unwrap()).unwrap();
        }
        draft.sign(keys, NOW, &mut self.rng).unwrap()
    }

    fn write(&mut self, changes: &[(u8, u8)]) {
        let keys = keys(Epoch::FIRST);
        let part = self.sign(changes, &keys);
        for put in part.puts() {
            self.objects.insert(*put.entry().object(), (*put.entry(), put.bytes().to_vec()));
        }
        self.heads.push(part.head_bytes().to_vec());
        let _ = self.replica.committed(part).unwrap();
    }

    /// The next head, with the same objects and whatever `edit` makes of it, signed by the dataset's key.
    fn forged(&self, leaves: &[Digest], edit: impl FnOnce(&mut Claims)) -> Vec<u8> {
        let head = self.replica.head().unwrap();
        let mut claims = Claims {
            store: *head.store(),
            dataset: *head.dataset(),
            seq: head.seq().next().unwrap(),
            prev: Some(*head.hash()),
            root: root_of_leaves(leaves),
            count: leaves.len() as u64,
            epoch: head.epoch(),
            commitment: Digest::from_bytes([0; 32]),
            time: NOW,
            min_suite: 1,
        };
        edit(&mut claims);
        claims.sign(&self.keys.head_seed(Epoch::FIRST).unwrap().signer()).unwrap().0
    }

    fn heads(&self, from: usize) -> Vec<&[u8]> {
        self.heads[from..].iter().map(Vec::as_slice).collect()
    }

    fn leaves(&self) -> Vec<Digest> {
        self.replica.entries().iter().map(Entry::leaf_hash).collect()
    }

    fn put(&self, n: u8) -> ChangedObject<'_> {
        let (entry, bytes) = &self.objects[&id(n)];
        ChangedObject::Put { object: id(n), seq: entry.seq(), kind: entry.kind(), bytes }
    }

    fn bytes(&self, n: u8) -> &[u8] {
        &self.objects[&id(n)].1
    }

    /// What a grant of these objects made at head 1 gives.
    fn reader(&self, objects: &[u8]) -> PartialReplica {
        let key = self.keys.key(Epoch::FIRST).unwrap();
        let head_key = self.keys.head_key(Epoch::FIRST).unwrap();
        let head = Head::verify(&self.heads[0], &head_key).unwrap();
        let keys = objects.iter().map(|n| (id(*n), key.object_key(&id(*n)))).collect();
        PartialReplica::new(head_key, keys, &head)
    }
}

fn value(replica: &PartialReplica, owner: &Owner, n: u8) -> Result<u64, OpenError> {
    let opened = replica.open(&id(n), owner.bytes(n))?;
    Ok(Record::decode(opened.payload()).unwrap().value().as_item().as_u64().unwrap())
}

#[test]
fn it_follows_the_dataset_by_leaves_and_its_own_objects() {
    let mut owner = Owner::new();
    let mut reader = owner.reader(&[1, 2]);
    let puts = [owner.put(1), owner.put(2)];
    assert_eq!(reader.apply(&owner.heads(0), &owner.leaves(), &puts), Ok(Freshness::Pinned));
    assert_eq!((value(&reader, &owner, 1), value(&reader, &owner, 2)), (Ok(1), Ok(2)));
    owner.write(&[(2, 20), (3, 21), (4, 22)]);
    owner.write(&[(3, 22)]);
    assert_eq!(reader.apply(&owner.heads(1), &owner.leaves(), &[owner.put(2)]), Ok(Freshness::Pinned));
    assert_eq!((value(&reader, &owner, 1), value(&reader, &owner, 2)), (Ok(1), Ok(20)), "1 was not sent again");
    assert_eq!(value(&reader, &owner, 3), Err(OpenError::Rejected));
    assert_eq!(reader.head().map(Head::seq), Some(owner.replica.head().unwrap().seq()));
    assert_eq!(reader.pin().hash(), owner.replica.head().unwrap().hash());
    assert_eq!((reader.missing().count(), reader.entries().count(), reader.granted().count()), (0, 2, 2));
    // Nothing new.
    assert_eq!(reader.apply(&[], &owner.leaves(), &[]), Ok(Freshness::Pinned));
}

#[test]
fn what_is_not_given_is_missing_and_an_old_version_is_not_kept() {
    let mut owner = Owner::new();
    let mut reader = owner.reader(&[1, 2]);
    reader.apply(&owner.heads(0), &owner.leaves(), &[owner.put(1)]).unwrap();
    assert_eq!(reader.missing().collect::<Vec<_>>(), [&id(2)]);
    let old = owner.bytes(1).to_vec();
    owner.write(&[(1, 10)]);
    reader.apply(&owner.heads(1), &owner.leaves(), &[]).unwrap();
    assert_eq!(reader.missing().collect::<Vec<_>>(), [&id(1), &id(2)]);
    assert_eq!(reader.open(&id(1), &old).err(), Some(OpenError::Rejected));
}

#[test]
fn an_answer_that_does_not_fit_the_head_changes_nothing() {
    let mut owner = Owner::new();
    let mut reader = owner.reader(&[1, 2]);
    reader.apply(&owner.heads(0), &owner.leaves(), &[owner.put(1), owner.put(2)]).unwrap();
    let (old_entry, old_bytes) = owner.objects[&id(2)].clone();
    owner.write(&[(2, 20)]);
    let (heads, leaves) = (owner.heads(1), owner.leaves());
    let mut refused = |leaves: &[Digest], objects: &[ChangedObject<'_>], error: HeadError| {
        assert_eq!(reader.apply(&heads, leaves, objects), Err(error));
        assert_eq!(reader.pin().seq(), Seq::FIRST);
        assert!(reader.open(&id(2), &old_bytes).is_ok());
    };
    for at in 0..leaves.len() {
        let mut other = leaves.clone();
        other[at] = Digest::from_bytes([9; 32]);
        refused(&other, &[], HeadError::RootMismatch);
        other.remove(at);
        refused(&other, &[], HeadError::CountMismatch);
    }
    let mut swapped = leaves.clone();
    swapped.swap(0, 1);
    refused(&swapped, &[], HeadError::RootMismatch);
    refused(&[&leaves[..], &leaves[..1]].concat(), &[], HeadError::CountMismatch);
    let put = |seq, kind, bytes| ChangedObject::Put { object: id(2), seq, kind, bytes };
    let now = owner.bytes(2);
    let seq = owner.objects[&id(2)].0.seq();
    refused(&leaves, &[put(old_entry.seq(), 1, &old_bytes)], HeadError::RootMismatch);
    refused(&leaves, &[put(old_entry.seq(), 1, now)], HeadError::RootMismatch);
    refused(&leaves, &[put(seq, 2, now)], HeadError::Malformed);
    refused(&leaves, &[put(seq, 1, &now[..7])], HeadError::Malformed);
    refused(&leaves, &[put(seq, 1, now), put(seq, 1, now)], HeadError::Malformed);
    refused(&leaves, &[owner.put(3)], HeadError::Malformed);
    assert_eq!(reader.apply(&heads, &leaves, &[owner.put(2)]), Ok(Freshness::Pinned), "the untouched twin");
}

#[test]
fn older_and_other_histories_are_refused() {
    let mut owner = Owner::new();
    let mut reader = owner.reader(&[1]);
    assert_eq!(reader.apply(&[], &owner.leaves(), &[]), Err(HeadError::Malformed), "nothing is known yet");
    owner.write(&[(1, 10)]);
    let mut fork = Owner::new();
    fork.write(&[(1, 11)]);
    assert_eq!(
        reader.apply(&[&owner.heads[0], &fork.heads[1]], &fork.leaves(), &[]),
        Ok(Freshness::Pinned),
        "so far there is one history"
    );
    let seq = Seq::FIRST.next().unwrap();
    assert_eq!(reader.apply(&owner.heads(1), &owner.leaves(), &[]), Err(HeadError::Fork { seq }));
    let rollback = HeadError::Rollback { pinned: seq, got: Seq::FIRST };
    assert_eq!(reader.apply(&owner.heads(0), &owner.leaves(), &[]), Err(rollback));
    owner.write(&[]);
    let next = seq.next().unwrap();
    assert_eq!(reader.apply(&owner.heads(2), &owner.leaves(), &[]), Err(HeadError::Fork { seq: next }));
    fork.write(&[]);
    fork.write(&[]);
    let gap = HeadError::Fork { seq: next.next().unwrap() };
    assert_eq!(reader.apply(&fork.heads(3), &fork.leaves(), &[]), Err(gap), "a head between is withheld");
    assert_eq!(reader.apply(&fork.heads(2), &fork.leaves(), &[]), Ok(Freshness::Pinned));
}

#[test]
fn heads_of_other_datasets_and_epochs_are_refused() {
    let mut owner = Owner::new();
    let mut reader = owner.reader(&[1]);
    let next = keys(Epoch::FIRST.next().unwrap());
    let rotated = owner.sign(&[(1, 10)], &next);
    assert_eq!(reader.apply(&[rotated.head_bytes()], &owner.leaves(), &[]), Err(HeadError::UnknownKey));
    for (store, dataset) in [(2, 1), (1, 2)] {
        let elsewhere = Replica::create(StoreName::from_bytes([store; 16]), DatasetId::from_bytes([dataset; 16]));
        let part = elsewhere.draft().sign(&owner.keys, NOW, &mut SeededRng::new(3)).unwrap();
        assert_eq!(reader.apply(&[part.head_bytes()], &[], &[]), Err(HeadError::WrongDataset));
    }
    // The right key's, for an epoch that isn't the key's.
    let relabelled = owner.forged(&owner.leaves(), |claims| claims.epoch = Epoch::FIRST.next().unwrap());
    assert_eq!(reader.apply(&[&relabelled], &owner.leaves(), &[]), Err(HeadError::KeyMismatch));
    let mut altered = owner.heads[0].clone();
    *altered.last_mut().unwrap() ^= 1;
    assert_eq!(reader.apply(&[&altered], &owner.leaves(), &[]), Err(HeadError::BadSignature));
    assert_eq!(reader.apply(&owner.heads(0), &owner.leaves(), &[]), Ok(Freshness::Pinned));
}

#[test]
fn objects_of_a_suite_below_the_least_are_refused() {
    let owner = Owner::new();
    let mut reader = owner.reader(&[1]);
    let apply = |reader: &mut PartialReplica, min_suite| {
        let head = owner.forged(&owner.leaves(), |claims| claims.min_suite = min_suite);
        reader.apply(&[&head], &owner.leaves(), &[owner.put(1)])
    };
    assert_eq!(apply(&mut reader, 2), Err(HeadError::SuiteTooLow));
    assert_eq!(apply(&mut reader, 1), Ok(Freshness::Pinned));
}

#[test]
fn another_object_sealed_at_the_same_place_is_refused() {
    let owner = Owner::new();
    let mut reader = owner.reader(&[1]);
    reader.apply(&owner.heads(0), &owner.leaves(), &[owner.put(1)]).unwrap();
    let key = owner.keys.key(Epoch::FIRST).unwrap().object_key(&id(1));
    let at = Address { store: reader.store, dataset: reader.dataset, object: id(1), seq: Seq::FIRST };
    let other = container::seal(&key, &at, Kind::Record, b"\xa0", &mut SeededRng::new(5)).unwrap();
    assert!(container::open(&key, &at, Kind::Record, &other).is_ok());
    assert_eq!(reader.open(&id(1), &other).err(), Some(OpenError::Rejected));
}

#[test]
fn after_too_long_an_absence_the_caller_decides() {
    let mut owner = Owner::new();
    let mut reader = owner.reader(&[1]);
    for _ in 0..=KEPT_HEADS {
        owner.write(&[]);
    }
    let (heads, leaves) = (owner.heads(2), owner.leaves());
    assert_eq!(heads.len(), KEPT_HEADS);
    let torn: Vec<&[u8]> = heads.iter().copied().enumerate().filter(|(at, _)| *at != 9).map(|(_, head)| head).collect();
    let torn = [&owner.heads(1)[..1], &torn].concat();
    assert!(
        matches!(reader.apply(&torn, &leaves, &[]), Err(HeadError::Fork { .. })),
        "a gap further on is none of age"
    );
    assert_eq!(reader.apply(&heads, &leaves, &[owner.put(1)]), Ok(Freshness::Unknown));
    assert_eq!((reader.pin().seq(), reader.freshness()), (Seq::FIRST, Freshness::Unknown));
    reader.accept_unknown();
    owner.write(&[]);
    assert_eq!(reader.apply(&owner.heads(owner.heads.len() - 1), &owner.leaves(), &[]), Ok(Freshness::Pinned));
    assert_eq!(value(&reader, &owner, 1), Ok(1));
}

#[test]
fn it_prints_counts() {
    let owner = Owner::new();
    assert_eq!(format!("{:?}", owner.reader(&[1, 2])), "PartialReplica { head: None, granted: 2, missing: 2, .. }");
}

proptest! {
    /// The tree that a partial reader makes of leaves is the one that the person makes of entries.
    #[test]
    fn leaves_and_entries_have_one_root(objects in prop::collection::btree_map(any::<[u8; 16]>(), (1..u64::MAX, 1..7_u8, any::<[u8; 32]>()), 0..40)) {
        let entries: Vec<Entry> = objects
            .into_iter()
            .map(|(object, (seq, kind, hash))| {
                Entry::new(ObjectId::from_bytes(object), Seq::new(seq).unwrap(), kind, Digest::from_bytes(hash))
            })
            .collect();
        let leaves: Vec<Digest> = entries.iter().map(Entry::leaf_hash).collect();
        prop_assert_eq!(root_of_leaves(&leaves), state_root(&entries));
    }
}
