use alloc::{format, string::String, vec};

use deedbox_cbor::{ItemBuf, Limits};
use deedbox_model::{StoreId, Timestamp};
use deedbox_testkit::rng::SeededRng;
use proptest::{prelude::*, test_runner::TestRunner};

use super::*;
use crate::{Granularity, HostShare, Keyring, PayloadError, Record, Reseal, Root, SealError, Tombstone, head::Claims};

pub(crate) fn id(n: u8) -> ObjectId {
    ObjectId::from_bytes([n; 16])
}

pub(crate) fn record(text: &str) -> Record {
    let value = [&[0x78, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    let value = if text.len() < 24 { [&[0x60 | value[1]], text.as_bytes()].concat() } else { value };
    Record::new("text", 1, "a.name", ItemBuf::parse(&value, &Limits::new(500)).unwrap()).unwrap()
}

pub(crate) fn text_of(opened: &Opened) -> String {
    Record::decode(opened.payload()).unwrap().value().as_item().as_str().unwrap().into()
}

pub(crate) fn keyring() -> Keyring {
    let rng = &mut SeededRng::new(1);
    let mut keyring = Keyring::generate(rng);
    for n in [1, 2] {
        let (store, dataset) = (StoreName::from_bytes([n; 16]), DatasetId::from_bytes([n; 16]));
        keyring.add_dataset(store, dataset, "", Granularity::Field, rng).unwrap();
    }
    keyring
}

pub(crate) type Content = BTreeMap<ObjectId, (Seq, u8, Vec<u8>)>;

/// A host as it should be, with every state it ever had.
#[derive(Default)]
pub(crate) struct Host {
    pub(crate) heads: Vec<Vec<u8>>,
    /// After each head: objects with number, kind and bytes.
    pub(crate) states: Vec<Content>,
}

impl Host {
    pub(crate) fn commit(&mut self, part: &SignedPart) {
        let mut state = self.states.last().cloned().unwrap_or_default();
        for put in part.puts() {
            let entry = put.entry();
            state.insert(*entry.object(), (entry.seq(), entry.kind(), put.bytes().to_vec()));
        }
        for object in part.removes() {
            state.remove(object);
        }
        self.heads.push(part.head_bytes().to_vec());
        self.states.push(state);
    }

    /// Heads `from..`, at least the newest, and the whole content.
    pub(crate) fn answer(&self, from: usize) -> (Vec<&[u8]>, Vec<ChangedObject<'_>>) {
        let from = from.min(self.heads.len() - 1);
        let heads = self.heads[from..].iter().map(Vec::as_slice).collect();
        let puts = self.states.last().unwrap().iter();
        (
            heads,
            puts.map(|(object, (seq, kind, bytes))| ChangedObject::Put {
                object: *object,
                seq: *seq,
                kind: *kind,
                bytes,
            })
            .collect(),
        )
    }
}

/// A person who wrote five states: two records, one changed, one removed, one purged, one added.
fn written(dataset: u8) -> (Keyring, Replica, Host) {
    let keyring = keyring();
    let entry = keyring.dataset(&DatasetId::from_bytes([dataset; 16])).unwrap();
    let mut replica = Replica::create(*entry.store(), *entry.id());
    let mut host = Host::default();
    let rng = &mut SeededRng::new(dataset.into());
    for step in 0..5 {
        let mut draft = replica.draft();
        match step {
            0 => draft.put(id(1), &record("one")).unwrap().put(id(2), &record("two")).unwrap(),
            1 => draft.put(id(1), &record("one again")).unwrap(),
            2 => draft.remove(id(2)).unwrap(),
            3 => draft.purge(id(2)).put(id(4), &record("four")).unwrap(),
            _ => draft.put(id(3), &record("three")).unwrap(),
        };
        let part = draft.sign(entry.keys(), Timestamp::from_secs(step), rng).unwrap();
        host.commit(&part);
        let _ = replica.committed(part).unwrap();
    }
    (keyring, replica, host)
}

/// So many objects that the work on them is shared among cores: nothing is lost or changes its place, and what is wrong among
/// them is found.
#[test]
fn a_large_dataset_is_written_read_and_sealed_anew_whole() {
    let mut keyring = keyring();
    let entry = &keyring.datasets()[0];
    let (dataset, mut replica) = (*entry.id(), Replica::create(*entry.store(), *entry.id()));
    let (mut host, rng) = (Host::default(), &mut SeededRng::new(6));
    let mut draft = replica.draft();
    let objects: Vec<ObjectId> = (0..500).map(|_| ObjectId::generate(rng)).collect();
    for (n, object) in objects.iter().enumerate() {
        draft.put(*object, &record(&format!("value {n}"))).unwrap();
    }
    let part = draft.sign(entry.keys(), Timestamp::from_secs(1), rng).unwrap();
    let salts: std::collections::BTreeSet<_> = part.puts().iter().map(|put| put.bytes()[8..32].to_vec()).collect();
    assert_eq!(salts.len(), objects.len(), "each seal has a salt of its own");
    host.commit(&part);
    let _ = replica.committed(part).unwrap();

    keyring.rotate(&dataset, rng).unwrap();
    let keys = keyring.dataset(&dataset).unwrap().keys();
    let former = host.states[0].clone();
    let bytes = |object: &ObjectId| former.get(object).map(|(_, _, bytes)| bytes.as_slice());
    let mut draft = replica.draft();
    let other = |object: &ObjectId| bytes(if *object == objects[400] { &objects[401] } else { object });
    assert_eq!(draft.reseal(Reseal::Eager, keys.current().unwrap(), keys, other), Err(OpenError::Rejected));
    assert_eq!(draft.reseal(Reseal::Eager, keys.current().unwrap(), keys, bytes), Ok(objects.len()));
    let part = draft.sign(keys, Timestamp::from_secs(2), rng).unwrap();
    host.commit(&part);
    let _ = replica.committed(part).unwrap();

    let mut reader = fresh(&replica);
    let (heads, rows) = host.answer(usize::MAX);
    let _ = reader.resync(&heads, &rows, keys).unwrap();
    assert!(reader.entries().is_sorted_by_key(Entry::object) && reader.entries().len() == objects.len());
    for (n, object) in objects.iter().enumerate() {
        let opened = reader.open(object, &host.states[1][object].2, keys).unwrap();
        assert_eq!(text_of(&opened), format!("value {n}"));
    }
    let mut altered = host.answer(usize::MAX).1;
    let ChangedObject::Put { bytes, .. } = &mut altered[444] else { unreachable!() };
    *bytes = &former[&objects[0]].2;
    assert_eq!(fresh(&replica).resync(&heads, &altered, keys), Err(HeadError::RootMismatch));
}

fn fresh(replica: &Replica) -> Replica {
    Replica::new(replica.store, replica.dataset)
}

#[test]
fn a_new_device_gets_the_same_state() {
    let (keyring, writer, host) = written(1);
    let keys = keyring.datasets()[0].keys();
    let mut reader = fresh(&writer);
    let (heads, objects) = host.answer(usize::MAX);
    let applied = reader.resync(&heads, &objects, keys).unwrap();
    assert_eq!((applied.seq().get(), applied.freshness()), (5, Freshness::Unknown));
    assert_eq!(reader.entries(), writer.entries());
    let texts: Vec<_> = [1, 3, 4]
        .map(|n| {
            let (_, _, bytes) = &host.states[4][&id(n)];
            text_of(&reader.open(&id(n), bytes, keys).unwrap())
        })
        .to_vec();
    assert_eq!(texts, ["one again", "three", "four"]);
}

#[test]
fn unknown_freshness_must_be_accepted_before_writing_or_pinning() {
    let (keyring, writer, host) = written(1);
    let keys = keyring.datasets()[0].keys();
    let mut reader = fresh(&writer);
    let sign = |replica: &Replica| {
        let mut draft = replica.draft();
        draft.put(id(9), &record("nine")).unwrap();
        draft.sign(keys, Timestamp::from_secs(9), &mut SeededRng::new(3)).map(|part| part.head().seq().get())
    };
    assert_eq!(sign(&reader), Err(SealError::NotAccepted));
    let (heads, objects) = host.answer(usize::MAX);
    let _ = reader.resync(&heads, &objects, keys).unwrap();
    assert_eq!((reader.pin(), sign(&reader)), (None, Err(SealError::NotAccepted)));
    reader.accept_unknown();
    assert_eq!((reader.pin(), sign(&reader)), (writer.pin(), Ok(6)));

    let mut paired = fresh(&writer);
    let _ = paired.resync(&heads, &objects, keys).unwrap();
    assert_eq!(paired.accept_paired(writer.pin().unwrap()), Ok(Freshness::Paired));
    assert_eq!(sign(&paired), Ok(6));

    let mut named = fresh(&writer);
    let _ = named.resync(&heads, &objects, keys).unwrap();
    let other = Pin::new(writer.pin().unwrap().seq(), Digest::from_bytes([0; 32]));
    assert_eq!(named.accept_receipt(&other), Err(HeadError::Fork { seq: other.seq() }));
    assert_eq!(named.freshness(), Freshness::Unknown);
    assert_eq!(named.accept_receipt(writer.pin().unwrap()), Ok(Freshness::Receipt));
    assert_eq!(sign(&named), Ok(6));
}

#[test]
fn changes_since_the_pin_are_enough() {
    let (keyring, writer, host) = written(1);
    let keys = keyring.datasets()[0].keys();
    // As of head 3.
    let mut reader = fresh(&writer);
    let objects = |state: usize| -> Vec<_> {
        let puts = host.states[state].iter();
        puts.map(|(object, (seq, kind, bytes))| ChangedObject::Put { object: *object, seq: *seq, kind: *kind, bytes })
            .collect()
    };
    let _ = reader.resync(&[&host.heads[2]], &objects(2), keys).unwrap();
    reader.accept_unknown();
    let changed: Vec<_> = objects(4)
        .into_iter()
        .filter(|object| matches!(object, ChangedObject::Put { seq, .. } if seq.get() > 3))
        .chain([ChangedObject::Removed(id(2))])
        .collect();
    let applied = reader.apply(&[&host.heads[3], &host.heads[4]], &changed, keys).unwrap();
    assert_eq!((applied.seq().get(), applied.freshness()), (5, Freshness::Pinned));
    assert_eq!((reader.entries(), reader.pin()), (writer.entries(), writer.pin()));
    // Nothing new: the same state again, and no change is slipped in.
    assert_eq!(reader.apply(&[], &[], keys).map(|applied| applied.seq().get()), Ok(5));
    assert_eq!(reader.apply(&[], &[ChangedObject::Removed(id(1))], keys), Err(HeadError::CountMismatch));
    // Told by its pin only, as after a restart.
    let mut restarted = Replica::pinned(writer.store, writer.dataset, *writer.pin().unwrap());
    let applied = restarted.resync(&[&host.heads[4]], &objects(4), keys).unwrap();
    assert_eq!(applied.freshness(), Freshness::Pinned);
}

#[test]
fn each_lie_has_its_error() {
    let (keyring, writer, host) = written(1);
    let (_, _, other_host) = written(2);
    let keys = keyring.datasets()[0].keys();
    let other_keys = keyring.datasets()[1].keys();
    let seq = |seq| Seq::new(seq).unwrap();
    let objects = |host: &'static Host, state: usize| -> Vec<ChangedObject<'static>> {
        let puts = host.states[state].iter();
        puts.map(|(object, (seq, kind, bytes))| ChangedObject::Put { object: *object, seq: *seq, kind: *kind, bytes })
            .collect()
    };
    let (host, other_host): (&'static Host, &'static Host) = (
        alloc::boxed::Box::leak(alloc::boxed::Box::new(host)),
        alloc::boxed::Box::leak(alloc::boxed::Box::new(other_host)),
    );
    let try_it = |heads: &[&[u8]], objects: &[ChangedObject<'_>], keys: &EpochKeys| {
        let mut replica = Replica::pinned(writer.store, writer.dataset, *writer.pin().unwrap());
        let result = replica.resync(heads, objects, keys).map(|applied| applied.freshness());
        assert!(result.is_ok() || (replica.head.is_none() && replica.entries.is_empty()));
        result
    };
    let newest: &[&[u8]] = &[&host.heads[4]];
    let all = objects(host, 4);
    assert_eq!(try_it(newest, &all, keys), Ok(Freshness::Pinned));
    assert_eq!(
        try_it(&[&host.heads[3]], &objects(host, 3), keys),
        Err(HeadError::Rollback { pinned: seq(5), got: seq(4) })
    );
    assert_eq!(try_it(&[&other_host.heads[4]], &objects(other_host, 4), keys), Err(HeadError::UnknownKey));
    assert_eq!(try_it(&[&other_host.heads[4]], &objects(other_host, 4), other_keys), Err(HeadError::WrongDataset));
    assert_eq!(try_it(newest, &all[1..], keys), Err(HeadError::CountMismatch));
    assert_eq!(try_it(newest, &[&all[..], &all[..1]].concat(), keys), Err(HeadError::Malformed));
    let mut swapped = all.clone();
    let (ChangedObject::Put { bytes: one, .. }, ChangedObject::Put { bytes: two, .. }) = (all[0], all[1]) else {
        panic!()
    };
    swapped[0] = ChangedObject::Put { object: id(1), seq: seq(2), kind: 1, bytes: two };
    assert_eq!(try_it(newest, &swapped, keys), Err(HeadError::RootMismatch));
    swapped[0] = ChangedObject::Put { object: id(1), seq: seq(1), kind: 1, bytes: one };
    assert_eq!(try_it(newest, &swapped, keys), Err(HeadError::RootMismatch));
    swapped[0] = ChangedObject::Put { object: id(1), seq: seq(2), kind: 2, bytes: one };
    assert_eq!(try_it(newest, &swapped, keys), Err(HeadError::Malformed));
    swapped[0] = ChangedObject::Put { object: id(1), seq: seq(2), kind: 1, bytes: &[] };
    assert_eq!(try_it(newest, &swapped, keys), Err(HeadError::Malformed));
    let weaker = [&[1, 0], &one[2..]].concat();
    swapped[0] = ChangedObject::Put { object: id(1), seq: seq(2), kind: 1, bytes: &weaker };
    assert_eq!(try_it(newest, &swapped, keys), Err(HeadError::SuiteTooLow));
    assert_eq!(try_it(&[], &all, keys), Err(HeadError::Malformed));
    // The same number twice, signed by the same key: only a pin tells.
    let mut twin = Replica::create(writer.store, writer.dataset);
    let mut draft = twin.draft();
    draft.put(id(1), &record("another past")).unwrap();
    let part = draft.sign(keys, Timestamp::from_secs(0), &mut SeededRng::new(77)).unwrap();
    let mut first = Replica::pinned(writer.store, writer.dataset, part.head().pin());
    assert_eq!(first.resync(&[&host.heads[0]], &objects(host, 0), keys), Err(HeadError::Fork { seq: seq(1) }));
    assert_eq!(first.resync(&[&host.heads[1]], &objects(host, 1), keys), Err(HeadError::Fork { seq: seq(2) }));
    assert_eq!(first.resync(&[&host.heads[2]], &objects(host, 2), keys), Err(HeadError::Fork { seq: seq(3) }));
    let _ = twin.committed(part).unwrap();
    // What the person accepts after a restore is on the record.
    let mut restored = Replica::pinned(writer.store, writer.dataset, *writer.pin().unwrap());
    let evidence = restored.accept_rollback(&[&host.heads[2]], &objects(host, 2), keys).unwrap();
    assert_eq!((evidence.before(), evidence.after().seq()), (writer.pin(), seq(3)));
    assert_eq!(restored.pin(), Some(evidence.after()));
    // Numbers go on above what was seen, and the chain from what is left.
    let mut draft = restored.draft();
    draft.put(id(1), &record("after the loss")).unwrap();
    let part = draft.sign_above(seq(5), keys, Timestamp::from_secs(0), &mut SeededRng::new(78)).unwrap();
    assert_eq!((part.head().seq(), part.puts()[0].entry().seq()), (seq(6), seq(6)));
    assert_eq!(part.head().follows(evidence.after()), Ok(Freshness::Pinned));
    assert_eq!(part.head().follows(writer.pin().unwrap()), Err(HeadError::Fork { seq: seq(6) }));
    let _ = restored.committed(part).unwrap();
    // A floor that is passed already changes nothing.
    let part = restored.draft().sign_above(seq(2), keys, Timestamp::from_secs(0), &mut SeededRng::new(79)).unwrap();
    assert_eq!(part.head().seq(), seq(7));
}

#[test]
fn what_lies_under_a_wrong_head_is_salvaged_and_the_next_head_takes_its_place() {
    let (keyring, writer, host) = written(1);
    let (keys, seq) = (keyring.datasets()[0].keys(), |n| Seq::new(n).unwrap());
    // Whoever may write signs a head, and sends other objects: one is left out, one is of another place.
    let mut lies = Content::new();
    lies.insert(id(1), host.states[4][&id(1)].clone());
    lies.insert(id(9), host.states[4][&id(3)].clone());
    let objects: Vec<_> = lies
        .iter()
        .map(|(object, (seq, kind, bytes))| ChangedObject::Put { object: *object, seq: *seq, kind: *kind, bytes })
        .collect();
    let newest = host.heads[4].as_slice();
    let mut replica = Replica::pinned(writer.store, writer.dataset, *writer.pin().unwrap());
    assert_eq!(replica.resync(&[newest], &objects, keys).unwrap_err(), HeadError::CountMismatch);
    assert_eq!(replica.salvage(b"no head", &objects), Err(HeadError::Malformed));
    assert_eq!(replica.salvage(newest, &[objects[0], objects[0]]), Err(HeadError::Malformed));
    assert_eq!(replica.pin(), writer.pin());

    assert_eq!(replica.salvage(newest, &objects), Ok(seq(5)));
    let bytes = |object| lies[&object].2.as_slice();
    assert_eq!(text_of(&replica.open(&id(1), bytes(id(1)), keys).unwrap()), "one again");
    assert_eq!(replica.open(&id(9), bytes(id(9)), keys).unwrap_err(), OpenError::Rejected);
    let mut draft = replica.draft();
    draft.purge(id(9));
    let part = draft.sign_above(seq(7), keys, Timestamp::from_secs(9), &mut SeededRng::new(80)).unwrap();
    assert_eq!(
        (part.expect(), part.head().seq(), part.head().count()),
        (Some(writer.head().unwrap().hash()), seq(8), 1)
    );
    let head = part.head_bytes().to_vec();
    let _ = replica.committed(part).unwrap();
    // From then on it is a state as any other.
    let mut fresh = Replica::new(writer.store, writer.dataset);
    assert_eq!(fresh.resync(&[&head], &objects[..1], keys).unwrap().seq(), seq(8));
    let part = replica.draft().sign(keys, Timestamp::from_secs(9), &mut SeededRng::new(81)).unwrap();
    assert_eq!((part.expect(), part.head().seq()), (Some(replica.head().unwrap().hash()), seq(9)));
    // Without a floor the number is that of the head whose place it takes, and one.
    let mut replica = Replica::new(writer.store, writer.dataset);
    let _ = replica.salvage(newest, &objects).unwrap();
    let part = replica.draft().sign(keys, Timestamp::from_secs(9), &mut SeededRng::new(82)).unwrap();
    assert_eq!(part.head().seq(), seq(6));
}

#[test]
fn a_head_of_another_key_or_an_earlier_epoch_is_refused() {
    let (keyring, writer, host) = written(1);
    let keys = keyring.datasets()[0].keys();
    let head = Head::verify(&host.heads[4], &keys.head_key(Epoch::FIRST).unwrap()).unwrap();
    let sign = |epoch, commitment| {
        let claims = Claims {
            store: writer.store,
            dataset: writer.dataset,
            seq: head.seq().next().unwrap(),
            prev: Some(*head.hash()),
            root: *head.root(),
            count: head.count(),
            epoch,
            commitment,
            time: head.time(),
            min_suite: 1,
        };
        claims.sign(&keys.head_seed(Epoch::FIRST).unwrap().signer()).unwrap().0
    };
    let commitment = |epoch: Epoch| {
        let key = keys.key(epoch).unwrap().commitment(&writer.store, &writer.dataset);
        Digest::from_bytes(*key.as_bytes())
    };
    let mut reader = fresh(&writer);
    let (heads, objects) = host.answer(usize::MAX);
    let _ = reader.resync(&heads, &objects, keys).unwrap();
    let good = sign(Epoch::FIRST, commitment(Epoch::FIRST));
    let other_key = sign(Epoch::FIRST, Digest::from_bytes([7; 32]));
    let other_epoch = sign(Epoch::new(2).unwrap(), commitment(Epoch::FIRST));
    assert_eq!(reader.apply(&[&other_key], &[], keys), Err(HeadError::KeyMismatch));
    assert_eq!(reader.apply(&[&other_epoch], &[], keys), Err(HeadError::KeyMismatch));
    assert_eq!(reader.apply(&[&good], &[], keys).map(|applied| applied.seq().get()), Ok(6));
}

#[test]
fn an_object_opens_as_the_state_has_it_and_not_otherwise() {
    let (keyring, replica, host) = written(1);
    let keys = keyring.datasets()[0].keys();
    let (_, _, newest) = &host.states[4][&id(1)];
    let (_, _, older) = &host.states[0][&id(1)];
    assert!(replica.open(&id(1), newest, keys).is_ok());
    assert_eq!(replica.open(&id(1), older, keys).err(), Some(OpenError::Rejected));
    assert_eq!(replica.open(&id(3), newest, keys).err(), Some(OpenError::Rejected));
    assert_eq!(replica.open(&id(9), newest, keys).err(), Some(OpenError::Rejected));
    assert_eq!(replica.open(&id(1), newest, keyring.datasets()[1].keys()).err(), Some(OpenError::Rejected));
}

#[test]
fn a_removed_record_leaves_a_tombstone_that_names_it() {
    let (keyring, _, host) = written(1);
    let keys = keyring.datasets()[0].keys();
    let (seq, kind, bytes) = &host.states[2][&id(2)];
    assert_eq!((seq.get(), *kind), (3, 2));
    let at = Address {
        store: StoreName::from_bytes([1; 16]),
        dataset: DatasetId::from_bytes([1; 16]),
        object: id(2),
        seq: *seq,
    };
    let opened =
        container::open(&keys.key(Epoch::FIRST).unwrap().object_key(&id(2)), &at, Kind::Tombstone, bytes).unwrap();
    let removed = sha256(&host.states[1][&id(2)].2);
    assert_eq!(Tombstone::decode(opened.payload()).unwrap().parents(), [Digest::from_bytes(removed)]);
}

#[test]
fn the_keyring_has_its_place_and_nothing_else_goes_there() {
    let rng = &mut SeededRng::new(5);
    let store = StoreId::from_bytes([1; 16]);
    let root = Root::generate(store, rng);
    let (keyring, share) = (keyring(), HostShare::generate(rng));
    let meta = root.meta_keys(&share, Epoch::FIRST);
    let mut replica = Replica::create(store.into(), DatasetId::META);
    let mut draft = replica.draft();
    assert_eq!(draft.put(ObjectId::KEYRING, &record("no")).err(), Some(PayloadError::Limit));
    draft.put_keyring(&keyring).unwrap();
    let part = draft.sign(&meta, Timestamp::from_secs(1), rng).unwrap();
    let bytes = part.puts()[0].bytes().to_vec();
    let _ = replica.committed(part).unwrap();
    // A new device: root and share give the same keys.
    let meta = root.meta_keys(&share, container::peek(&bytes).unwrap().epoch().unwrap());
    let opened = replica.open(&ObjectId::KEYRING, &bytes, &meta).unwrap();
    assert_eq!(Keyring::decode(opened.payload()).unwrap().datasets().len(), 2);
    let without_share = root.meta_keys(&HostShare::none(), Epoch::FIRST);
    assert_eq!(replica.open(&ObjectId::KEYRING, &bytes, &without_share).err(), Some(OpenError::Rejected));
    let elsewhere = Replica::create(store.into(), DatasetId::from_bytes([1; 16]));
    assert_eq!(elsewhere.draft().put_keyring(&keyring).err(), Some(PayloadError::Limit));
}

#[test]
fn a_part_that_was_overtaken_is_not_taken_over() {
    let (keyring, mut replica, _) = written(1);
    let keys = keyring.datasets()[0].keys();
    let part = |text| {
        let mut draft = replica.draft();
        draft.put(id(9), &record(text)).unwrap();
        draft.sign(keys, Timestamp::from_secs(9), &mut SeededRng::new(3)).unwrap()
    };
    let (mine, theirs) = (part("mine"), part("theirs"));
    assert_eq!(mine.expect(), replica.head().map(Head::hash));
    let _ = replica.committed(theirs).unwrap();
    assert_eq!(replica.committed(mine), Err(HeadError::Fork { seq: Seq::new(6).unwrap() }));
    assert_eq!(format!("{:?}", replica.draft()), "Draft { changes: 0, .. }");
}

/// One way to lie.
#[derive(Debug, Clone)]
enum Lie {
    /// Answers as of an earlier state.
    Old(usize),
    DropHead(usize),
    RepeatHead(usize),
    SwapHeads(usize, usize),
    ForeignHead(usize),
    FlipHead(usize, usize),
    DropObject(usize),
    RepeatObject(usize),
    FlipObject(usize, usize),
    OldObject(usize, usize),
    ForeignObject(usize),
    Renumber(usize, u64),
    Rekind(usize, u8),
    Rename(usize, u8),
    SwapBytes(usize, usize),
    CutHead(usize, usize),
    CutObject(usize, usize),
}

fn lie() -> impl Strategy<Value = Lie> {
    let n = 0_usize..8;
    prop_oneof![
        (0_usize..5).prop_map(Lie::Old),
        n.clone().prop_map(Lie::DropHead),
        n.clone().prop_map(Lie::RepeatHead),
        (n.clone(), n.clone()).prop_map(|(a, b)| Lie::SwapHeads(a, b)),
        n.clone().prop_map(Lie::ForeignHead),
        (n.clone(), any::<usize>()).prop_map(|(a, b)| Lie::FlipHead(a, b)),
        n.clone().prop_map(Lie::DropObject),
        n.clone().prop_map(Lie::RepeatObject),
        (n.clone(), any::<usize>()).prop_map(|(a, b)| Lie::FlipObject(a, b)),
        (n.clone(), 0_usize..5).prop_map(|(a, b)| Lie::OldObject(a, b)),
        n.clone().prop_map(Lie::ForeignObject),
        (n.clone(), 1_u64..7).prop_map(|(a, b)| Lie::Renumber(a, b)),
        (n.clone(), 0_u8..7).prop_map(|(a, b)| Lie::Rekind(a, b)),
        (n.clone(), 0_u8..9).prop_map(|(a, b)| Lie::Rename(a, b)),
        (n.clone(), n.clone()).prop_map(|(a, b)| Lie::SwapBytes(a, b)),
        (n.clone(), any::<usize>()).prop_map(|(a, b)| Lie::CutHead(a, b)),
        (n, any::<usize>()).prop_map(|(a, b)| Lie::CutObject(a, b)),
    ]
}

type Object = (ObjectId, Seq, u8, Vec<u8>);

fn tell(lies: &[Lie], host: &Host, foreign: &Host, since: usize) -> (Vec<Vec<u8>>, Vec<Object>) {
    let at = lies.iter().find_map(|lie| if let Lie::Old(at) = lie { Some(*at) } else { None }).unwrap_or(4);
    let mut heads = host.heads[since.min(at)..=at].to_vec();
    let flat = |state: &Content| -> Vec<Object> {
        state.iter().map(|(object, (seq, kind, bytes))| (*object, *seq, *kind, bytes.clone())).collect()
    };
    let mut objects = flat(&host.states[at]);
    for lie in lies {
        let (heads_len, len) = (heads.len().max(1), objects.len().max(1));
        match *lie {
            Lie::Old(_) => {}
            Lie::DropHead(n) if !heads.is_empty() => drop(heads.remove(n % heads_len)),
            Lie::RepeatHead(n) if !heads.is_empty() => heads.insert(n % heads_len, heads[n % heads_len].clone()),
            Lie::SwapHeads(a, b) if !heads.is_empty() => heads.swap(a % heads_len, b % heads_len),
            Lie::ForeignHead(n) => heads.push(foreign.heads[n % 5].clone()),
            Lie::FlipHead(n, bit) if !heads.is_empty() => {
                let head = &mut heads[n % heads_len];
                let bit = bit % (head.len().max(1) * 8);
                head.get_mut(bit / 8).into_iter().for_each(|byte| *byte ^= 1 << (bit % 8));
            }
            Lie::DropObject(n) if !objects.is_empty() => drop(objects.remove(n % len)),
            Lie::RepeatObject(n) if !objects.is_empty() => objects.push(objects[n % len].clone()),
            Lie::FlipObject(n, bit) if !objects.is_empty() => {
                let (_, _, _, bytes) = &mut objects[n % len];
                let bit = bit % (bytes.len().max(1) * 8);
                bytes.get_mut(bit / 8).into_iter().for_each(|byte| *byte ^= 1 << (bit % 8));
            }
            Lie::OldObject(n, state) if !objects.is_empty() => {
                let old = flat(&host.states[state]);
                objects[n % len] = old[n % old.len()].clone();
            }
            Lie::ForeignObject(n) => {
                let foreign = flat(&foreign.states[4]);
                objects.push(foreign[n % foreign.len()].clone());
            }
            Lie::Renumber(n, seq) if !objects.is_empty() => objects[n % len].1 = Seq::new(seq).unwrap(),
            Lie::Rekind(n, kind) if !objects.is_empty() => objects[n % len].2 = kind,
            Lie::Rename(n, name) if !objects.is_empty() => objects[n % len].0 = id(name),
            Lie::SwapBytes(a, b) if !objects.is_empty() => {
                let bytes = objects[a % len].3.clone();
                objects[b % len].3 = bytes;
            }
            Lie::CutHead(n, to) if !heads.is_empty() => {
                let head = &mut heads[n % heads_len];
                head.truncate(to % head.len().max(1));
            }
            Lie::CutObject(n, to) if !objects.is_empty() => {
                let (_, _, _, bytes) = &mut objects[n % len];
                bytes.truncate(to % bytes.len().max(1));
            }
            _ => {}
        }
    }
    (heads, objects)
}

std::thread_local! {
    static WRITTEN: ((Keyring, Replica, Host), (Keyring, Replica, Host)) = (written(1), written(2));
}

/// Whatever a host tells, the replica holds a state that the person signed, not older than its own, or is as before; and
/// whatever object it is told opens to what the person wrote there, or not at all.
#[test]
fn an_evil_host_gets_a_signed_state_or_a_typed_error() {
    // The macro would let PROPTEST_CASES lower the number.
    let config = ProptestConfig::default();
    let cases = config.cases.max(10_000);
    let mut runner = TestRunner::new(ProptestConfig { cases, source_file: Some(file!()), ..config });
    let told = (proptest::collection::vec(lie(), 0..4), proptest::option::of(0_usize..5), any::<bool>(), 0_usize..5);
    let run = runner.run(&told, |(lies, pinned, holds, since)| tell_a_replica(&lies, pinned, holds, since));
    run.unwrap_or_else(|failed| panic!("{failed}"));
}

fn tell_a_replica(lies: &[Lie], pinned: Option<usize>, holds: bool, since: usize) -> Result<(), TestCaseError> {
    WRITTEN.with(|((keyring, writer, host), (_, _, foreign))| -> Result<(), TestCaseError> {
        let keys = keyring.datasets()[0].keys();
        let mut replica = fresh(writer);
        let mut is_held = false;
        if let Some(pinned) = pinned {
            let head = Head::verify(&host.heads[pinned], &keys.head_key(Epoch::FIRST).unwrap()).unwrap();
            replica = Replica::pinned(writer.store, writer.dataset, head.pin());
            if holds && pinned < 4 {
                // A client that has the objects of its pin, and asks for what changed since.
                let (_, objects) = tell(&[Lie::Old(pinned)], host, foreign, pinned);
                let _ = replica.resync(&[&host.heads[pinned]], &puts(&objects), keys).unwrap();
                is_held = true;
            }
        }
        let (before, entries) = (replica.pin, replica.entries.clone());
        let from = pinned.map_or(since, |pinned| pinned + usize::from(is_held));
        let (heads, objects) = tell(lies, host, foreign, from);
        let heads: Vec<&[u8]> = heads.iter().map(Vec::as_slice).collect();
        let mut changes = puts(&objects);
        let answer = if is_held {
            changes.retain(|change| !entries.iter().any(|entry| is_same(entry, change)));
            let gone = entries.iter().filter(|entry| !objects.iter().any(|(object, ..)| object == entry.object()));
            changes.extend(gone.map(|entry| ChangedObject::Removed(*entry.object())));
            replica.apply(&heads, &changes, keys)
        } else {
            replica.resync(&heads, &changes, keys)
        };
        match answer {
            Ok(applied) => {
                let state = usize::try_from(applied.seq().get()).unwrap() - 1;
                prop_assert!(pinned.is_none_or(|pinned| state >= pinned));
                prop_assert_eq!(applied.freshness() == Freshness::Pinned, pinned.is_some());
                prop_assert_eq!(replica.head().unwrap().hash().as_bytes(), &sha256(&host.heads[state]));
                let want: Vec<_> = host.states[state]
                    .iter()
                    .map(|(object, (seq, kind, bytes))| {
                        Entry::new(*object, *seq, *kind, Digest::from_bytes(sha256(bytes)))
                    })
                    .collect();
                prop_assert_eq!(replica.entries(), want);
            }
            Err(error) => {
                prop_assert!(!lies.is_empty(), "{}", error.code());
                prop_assert!(replica.pin == before && replica.entries == entries);
                prop_assert_eq!(replica.head.is_none(), !is_held);
            }
        }
        for (object, _, _, bytes) in &objects {
            if let Ok(opened) = replica.open(object, bytes, keys) {
                let state = usize::try_from(replica.head().unwrap().seq().get()).unwrap() - 1;
                let (_, _, written) = &host.states[state][object];
                prop_assert!(written == bytes);
                prop_assert!(!opened.payload().is_empty());
            }
        }
        Ok(())
    })
}

fn puts(objects: &[Object]) -> Vec<ChangedObject<'_>> {
    objects
        .iter()
        .map(|(object, seq, kind, bytes)| ChangedObject::Put { object: *object, seq: *seq, kind: *kind, bytes })
        .collect()
}

fn is_same(entry: &Entry, change: &ChangedObject<'_>) -> bool {
    match change {
        ChangedObject::Put { object, seq, kind, bytes } => {
            *entry == Entry::new(*object, *seq, *kind, Digest::from_bytes(sha256(bytes)))
        }
        ChangedObject::Removed(_) => false,
    }
}

proptest! {
    /// Changes merged into a state are what a map makes of them.
    #[test]
    fn merging_agrees_with_a_map(
        old in proptest::collection::btree_set(0_u8..30, 0..20),
        changes in proptest::collection::btree_map(0_u8..30, proptest::option::of(0_u8..9), 0..20),
    ) {
        let entry = |n: u8, kind| Entry::new(id(n), Seq::FIRST, kind, Digest::from_bytes([n; 32]));
        let entries: Vec<_> = old.iter().map(|n| entry(*n, 0)).collect();
        let list: Vec<Change> = changes.iter().rev().map(|(n, kind)| (id(*n), kind.map(|kind| entry(*n, kind)))).collect();
        let mut map: BTreeMap<u8, u8> = old.iter().map(|n| (*n, 0)).collect();
        for (n, kind) in &changes {
            match kind {
                Some(kind) => map.insert(*n, *kind),
                None => map.remove(n),
            };
        }
        let want: Vec<_> = map.into_iter().map(|(n, kind)| entry(n, kind)).collect();
        prop_assert_eq!(merge_entries(&entries, list.clone()), Some(want));
        if let Some(first) = list.first() {
            prop_assert_eq!(merge_entries(&entries, vec![*first, *first]), None);
        }
    }
}
