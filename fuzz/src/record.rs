//! The record format: containers, blobs, header, keyring, payloads, heads, bundles, a dataset at a lying host.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a fuzz body fails by panicking")]

use std::{collections::BTreeMap, io::Write as _, sync::LazyLock};

use deedbox_cbor::{ItemBuf, Limits};
use deedbox_cose::{LocalSigner, RecipientKey, RecipientSecret, Signer as _, VerifyKey, encrypt0, sign1};
use deedbox_crypto::label;
use deedbox_model::{DatasetId, Digest, Epoch, ObjectId, Seq, StoreId, StoreName, Timestamp};
use deedbox_record::{
    Address, BlobReader, BlobSealer, Bundle, BundleReader, BundleWriter, ChangedObject, DatasetKey, ErasureReceipt,
    GrantDraft, GrantId, GrantScope, Grantee, Granularity, Head, HeadKey, Header, HostShare, Keyring, Kind, NewSlot,
    OutsideSecret, OwnerKey, Record, RecoveryPhrase, Replica, Reseal, Root, SealedGrant, Share, Succession,
    ThresholdSecret, Tombstone, Unlock, VerifiedAgreement, open, open_blob, open_in_place, peek, seal, test_util,
};
use deedbox_testkit::rng::SeededRng;

use crate::altered;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn place() -> (DatasetKey, Address) {
    let at = Address {
        store: StoreName::from_bytes([1; 16]),
        dataset: DatasetId::from_bytes([2; 16]),
        object: ObjectId::from_bytes([3; 16]),
        seq: Seq::FIRST,
    };
    (DatasetKey::generate(Epoch::FIRST, &mut SeededRng::new(1)), at)
}

/// Bytes of anybody's don't open, and both ways to open agree on why.
pub fn record_open(data: &[u8]) {
    let (key, at) = place();
    let key = key.object_key(&at.object);
    let _ = peek(data);
    for kind in [Kind::Record, Kind::Tombstone, Kind::Blob, Kind::Keyring, Kind::Slot, Kind::Index] {
        let copied = open(&key, &at, kind, data).map(|_| ()).unwrap_err();
        let mut buffer = data.to_vec();
        assert_eq!(open_in_place(&key, &at, kind, &mut buffer), Err(copied));
        assert!(buffer == data || buffer.iter().all(|byte| *byte == 0));
    }
}

/// What was sealed and then altered doesn't open. The first bytes: the payload's length, and how much to cut off.
pub fn record_tamper(data: &[u8]) {
    let (key, at) = place();
    let key = key.object_key(&at.object);
    let (&[a, b, cut], data) = data.split_first_chunk::<3>().unwrap_or((&[0, 0, 0], &[]));
    let payload = vec![a; usize::from(u16::from_be_bytes([a, b]))];
    let object = seal(&key, &at, Kind::Record, &payload, &mut SeededRng::new(2)).unwrap();
    let mut other = altered(&object, data);
    other.truncate(other.len().saturating_sub(cut.into()));
    match open(&key, &at, Kind::Record, &other) {
        Ok(opened) => assert!(other == object && opened.payload() == payload),
        Err(_) => assert!(other != object),
    }
}

/// A blob written in pieces of any size and read in ranges of any size is the one-shot blob's content; an altered one gives
/// no other bytes. First how long the content and each written piece are, and where and how the object is altered (by zero:
/// not at all); then ranges: three bytes of offset, two of length.
pub fn record_stream(data: &[u8]) {
    let (&[len @ .., piece, at0, at1, at2, change], data) = data.split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
    let number = |[a, b, c]: [u8; 3]| usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap();
    let rng = &mut SeededRng::new(1);
    let (store, dataset) = (StoreName::from_bytes([1; 16]), DatasetId::from_bytes([2; 16]));
    let content: Vec<u8> = (0..number(len) % 100_000).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
    let mut sealer = BlobSealer::start(&store, &dataset, rng, Vec::new()).unwrap();
    for piece in content.chunks(usize::from(piece) * 257 + 1) {
        sealer.write_all(piece).unwrap();
    }
    let (reference, mut object) = sealer.finish(None).unwrap();
    let at = number([at0, at1, at2]) % object.len();
    *object.get_mut(at).unwrap() ^= change;
    let whole = change == 0;
    match open_blob(&store, &dataset, &reference, &object) {
        Ok(opened) => assert!(whole && opened.payload() == content),
        Err(_) => assert!(!whole),
    }
    let Ok(mut reader) = BlobReader::open(&store, &dataset, &reference, object.as_slice()) else {
        assert!(!whole);
        return;
    };
    let (ranges, _) = data.as_chunks::<5>();
    for &[offset @ .., a, b] in ranges {
        let (offset, mut buf) = (number(offset), vec![0xa5; u16::from_be_bytes([a, b]).into()]);
        let slice = content.get(offset..).unwrap_or_default();
        match reader.read_at(u64::try_from(offset).unwrap(), &mut buf) {
            Ok(read) => {
                assert!(buf.get(..read) == slice.get(..buf.len().min(slice.len())));
                assert!(buf.iter().skip(read).all(|byte| *byte == 0xa5));
            }
            Err(_) => assert!(!whole && buf.iter().all(|byte| *byte == 0)),
        }
    }
    assert!(reader.verify_len().is_ok() || !whole);
    assert_eq!(reader.read_all().is_ok_and(|opened| opened.payload() == content), whole);
    assert_eq!(reader.copy_to(&mut std::io::sink()).is_ok(), whole);
}

/// One secret of each type of slot that takes no hashing, a header that they open, and the contacts' shares.
struct Ways {
    header: Header,
    phrase: RecoveryPhrase,
    outside: OutsideSecret,
    recipient: RecipientSecret,
    threshold: ThresholdSecret,
    shares: Vec<Share>,
}

impl Ways {
    fn unlocks(&self) -> [Unlock<'_>; 4] {
        [
            Unlock::Phrase(&self.phrase),
            Unlock::Outside(&self.outside),
            Unlock::Recipient(&self.recipient),
            Unlock::Threshold(&self.threshold),
        ]
    }
}

static WAYS: LazyLock<Ways> = LazyLock::new(|| {
    let rng = &mut SeededRng::new(1);
    let root = Root::generate(StoreId::from_bytes([1; 16]), rng);
    let (phrase, outside) = (RecoveryPhrase::generate(rng), OutsideSecret::generate(rng));
    let recipient = RecipientSecret::generate(rng).unwrap();
    let (threshold, shares) = ThresholdSecret::split(2, 3, rng).unwrap();
    let slots = [
        NewSlot::Phrase(&phrase),
        NewSlot::Outside { secret: &outside, credential_id: Some(b"id") },
        NewSlot::Recipient(recipient.public()),
        NewSlot::Threshold(&threshold),
    ];
    let header = Header::create(&root, &slots, rng).unwrap();
    Ways { header, phrase, outside, recipient, threshold, shares }
});

/// An accepted header keeps its bytes, and anybody's opens with no secret of ours; ours, altered anywhere, doesn't unlock.
pub fn record_header(data: &[u8]) {
    let ways = &*WAYS;
    if let Ok(header) = Header::parse(data) {
        assert_eq!(header.bytes(), data);
        for slot in header.slots() {
            let told = [slot.credential_id().is_some(), slot.recipient().is_some(), slot.threshold().is_some()];
            assert!(told.iter().filter(|told| **told).count() < 2);
            assert!(ways.unlocks().iter().all(|with| header.unlock(slot.id(), with).is_err()));
        }
    }
    let other = altered(ways.header.bytes(), data);
    let header = Header::parse(&other);
    for (slot, with) in ways.header.slots().iter().zip(ways.unlocks()) {
        let unlocked = header.as_ref().is_ok_and(|header| header.unlock(slot.id(), &with).is_ok());
        assert_eq!(unlocked, other == ways.header.bytes());
    }
}

/// Nobody's bytes are the owner's word for who comes next but the owner's; what is accepted is kept as it was.
pub fn record_succession(data: &[u8]) {
    static LINE: LazyLock<(OwnerKey, OwnerKey, Vec<u8>)> = LazyLock::new(|| {
        let rng = &mut SeededRng::new(1);
        let old = Root::generate(StoreId::from_bytes([1; 16]), rng);
        let (new, phrase) = (old.next(rng).unwrap(), RecoveryPhrase::generate(rng));
        let header = Header::create(&old, &[NewSlot::Phrase(&phrase)], rng).unwrap();
        let with = [(*header.slots()[0].id(), NewSlot::Phrase(&phrase))];
        let (header, _) = header.rotate_root(&old, &new, &[], &with, rng).unwrap();
        (old.owner(), new.owner(), header.successions()[0].bytes().to_vec())
    });
    let (old, new, step) = &*LINE;
    let store = StoreId::from_bytes([1; 16]);
    if let Ok(read) = Succession::parse(data) {
        assert_eq!(read.bytes(), data);
        assert_eq!(read.verify(&store, old).is_ok(), data == step);
    }
    let other = altered(step, data);
    let accepted = Succession::parse(&other).and_then(|read| read.verify(&store, old));
    assert_eq!(accepted.ok(), (other == *step).then_some(*new));
}

/// An accepted share is written the same again; one that was altered anywhere doesn't open its slot with another's.
pub fn record_share(data: &[u8]) {
    if let Ok(share) = Share::decode(data) {
        assert_eq!(**share.encode(), *data);
    }
    let ways = &*WAYS;
    let [one, two] = [0, 1].map(|n| ways.shares.get(n).unwrap().encode());
    let other = altered(&one, data);
    let slot = ways.header.slots().last().unwrap();
    let opened = Share::decode(&other).is_ok_and(|share| {
        let shares = [share, Share::decode(&two).unwrap()];
        let joined = ThresholdSecret::join(&slot.threshold().unwrap(), &shares);
        joined.is_ok_and(|joined| ways.header.unlock(slot.id(), &Unlock::Threshold(&joined)).is_ok())
    });
    assert_eq!(opened, other == **one);
}

/// An accepted keyring is written the same again.
pub fn record_keyring(data: &[u8]) {
    if let Ok(keyring) = Keyring::decode(data) {
        assert_eq!(**keyring.encode().unwrap(), *data);
        for dataset in keyring.datasets() {
            let epoch = dataset.keys().current().unwrap();
            let _ = (dataset.keys().key(epoch).unwrap(), dataset.keys().head_key(epoch));
        }
    }
}

/// Accepted records and tombstones are written the same again.
pub fn record_payload(data: &[u8]) {
    if let Ok(record) = Record::decode(data) {
        assert_eq!(**record.encode().unwrap(), *data);
    }
    if let Ok(tombstone) = Tombstone::decode(data) {
        assert_eq!(tombstone.encode().unwrap(), data);
    }
}

/// Anybody's bytes are no head; claims that the right key signed are read or refused; an altered head is refused.
pub fn record_head(data: &[u8]) {
    let signer = LocalSigner::generate(&mut SeededRng::new(1));
    let key = HeadKey::from_bytes(signer.public().as_ed25519().unwrap().as_bytes()).unwrap();
    assert!(Head::verify(data, &key).is_err());
    let mut replica = Replica::new(StoreName::from_bytes([1; 16]), DatasetId::from_bytes([2; 16]));
    let _ = replica.salvage(data, &[]);
    let signed = sign1::document(&signer, label::HEAD.as_bytes(), data).unwrap();
    let salvaged = replica.salvage(&signed, &[]);
    if let Ok(head) = Head::verify(&signed, &key) {
        assert_eq!(salvaged, Ok(head.seq()));
        assert_eq!(head.prev().is_none(), head.seq() == Seq::FIRST);
        assert!(head.follows(&head.pin()).is_ok());
        let other = altered(&signed, &[0, 0, 0, 1]);
        assert!(Head::verify(&other, &key).is_err());
    }
}

/// Both sides of an agreement that always holds, as the side sees it whose peer this is.
struct Agreed {
    hash: Digest,
    own: VerifyKey,
    peer: VerifyKey,
    peer_seal: RecipientKey,
}

impl VerifiedAgreement for Agreed {
    fn hash(&self) -> Digest {
        self.hash
    }

    fn holds(&self, _: Timestamp) -> bool {
        true
    }

    fn own_sign_key(&self) -> &VerifyKey {
        &self.own
    }

    fn peer_sign_key(&self) -> &VerifyKey {
        &self.peer
    }

    fn peer_seal_key(&self) -> &RecipientKey {
        &self.peer_seal
    }
}

/// Anybody's bytes are no grant; claims that the right key signed are written the same again if they are accepted; a grant opens
/// exactly when it is unaltered.
pub fn record_grant(data: &[u8]) {
    let rng = &mut SeededRng::new(1);
    let signer = LocalSigner::generate(rng);
    let secret = RecipientSecret::generate(rng).unwrap();
    let agreed = Agreed {
        hash: Digest::from_bytes([7; 32]),
        own: signer.public().clone(),
        peer: signer.public().clone(),
        peer_seal: secret.public().clone(),
    };
    let open = |bytes: &[u8]| {
        SealedGrant::parse(bytes).and_then(|grant| {
            let known = |hash: &Digest| (*hash == agreed.hash).then_some(&agreed);
            grant.open(&secret, known, NOW)
        })
    };
    assert!(open(data).is_err());
    let seal = |document: &[u8]| {
        let rng = &mut SeededRng::new(2);
        encrypt0::seal(secret.public(), label::GRANT_SEAL.as_bytes(), document, rng).unwrap()
    };
    let signed = sign1::document(&signer, label::GRANT.as_bytes(), data).unwrap();
    if let Ok(grant) = open(&seal(&signed)) {
        assert_eq!(**test_util::grant_claims(&grant), *data);
        assert!(grant.accept(data).is_err());
    }
    assert!(open(&seal(data)).is_err());

    let mut keyring = Keyring::generate(rng);
    let (store, id) = (StoreName::from_bytes([1; 16]), DatasetId::from_bytes([2; 16]));
    let dataset = keyring.add_dataset(store, id, "", Granularity::Field, rng).unwrap();
    let part = Replica::create(store, id).draft().sign(dataset.keys(), NOW, rng).unwrap();
    let scope = GrantScope::Objects(vec![ObjectId::from_bytes([3; 16])]);
    let until = Timestamp::from_secs(NOW.secs() + 1);
    let draft = GrantDraft::new(GrantId::from_bytes([9; 16]), dataset, part.head(), scope, until);
    let grant = draft.issue(&Grantee::of(&agreed, NOW).unwrap(), &signer, NOW, rng).unwrap();
    let other = altered(grant.bytes(), data);
    assert_eq!(open(&other).is_ok(), other == grant.bytes());
}

/// Anybody's bytes are no bundle, and one that was altered anywhere isn't imported.
pub fn record_bundle(data: &[u8]) {
    let rng = &mut SeededRng::new(1);
    let root = Root::generate(StoreId::from_bytes([1; 16]), rng);
    let (phrase, share) = (RecoveryPhrase::generate(rng), HostShare::generate(rng));
    if let Ok(bundle) = Bundle::parse(data) {
        assert!(bundle.verify(&root).is_err());
    }
    let header = Header::create(&root, &[NewSlot::Phrase(&phrase)], rng).unwrap();
    let meta = root.meta_keys(&share, Epoch::FIRST);
    let mut keyring = Keyring::generate(rng);
    let (store, id) = ((*root.store()).into(), DatasetId::from_bytes([7; 16]));
    keyring.add_dataset(store, id, "a", Granularity::Field, rng).unwrap();
    let mut writer = BundleWriter::new(&header, Epoch::FIRST, &share, NOW);
    for (dataset, keys) in [(DatasetId::META, &meta), (id, keyring.dataset(&id).unwrap().keys())] {
        let replica = Replica::create(store, dataset);
        let mut draft = replica.draft();
        if dataset == DatasetId::META {
            draft.put_keyring(&keyring).unwrap();
        } else {
            let value = ItemBuf::parse(&[1], &Limits::new(9)).unwrap();
            draft.put(ObjectId::from_bytes([1; 16]), &Record::new("n", 1, "n", value).unwrap()).unwrap();
        }
        let part = draft.sign(keys, NOW, rng).unwrap();
        writer.dataset(&dataset, part.head_bytes()).unwrap();
        for put in part.puts() {
            let entry = put.entry();
            writer.object(entry.object(), entry.seq(), entry.kind(), put.bytes()).unwrap();
        }
    }
    let bundle = writer.finish(&meta).unwrap();
    let other = altered(&bundle, data);
    assert_eq!(Bundle::parse(&other).and_then(|bundle| bundle.verify(&root)).is_ok(), other == bundle);
    // In pieces, whatever they are, it is the same.
    let mut reader = BundleReader::new();
    let len = usize::from(data.first().copied().unwrap_or_default()) + 1;
    let pieces = other.chunks(len).try_for_each(|piece| reader.push(piece)).and_then(|()| reader.finish());
    assert_eq!(pieces.map(|_| ()), Bundle::parse(&other).map(|_| ()));
}

/// An accepted receipt of an erasure is written the same again.
pub fn record_erasure(data: &[u8]) {
    if let Ok(receipt) = ErasureReceipt::parse(data) {
        assert_eq!(receipt.to_bytes(), data);
    }
}

/// Objects of a dataset with number, kind and bytes.
type Content = BTreeMap<ObjectId, (Seq, u8, Vec<u8>)>;

/// Whatever a host tells of a dataset, a reader holds a state that its owner signed, not before its own, or an error and
/// the state of before. Each four bytes are a step: the owner writes, removes, rotates; the reader asks, and the host tells
/// the truth or one lie.
pub fn record_replica(data: &[u8]) {
    let mut rng = SeededRng::new(1);
    let (store, id) = (StoreName::from_bytes([1; 16]), DatasetId::from_bytes([2; 16]));
    let mut keyring = Keyring::generate(&mut rng);
    keyring.add_dataset(store, id, "papers", Granularity::Field, &mut rng).unwrap();
    let (mut owner, mut reader) = (Replica::create(store, id), Replica::new(store, id));
    let (mut heads, mut states): (Vec<Vec<u8>>, Vec<Content>) = (Vec::new(), Vec::new());
    for step in data.chunks_exact(4).take(32) {
        let &[op, a, b, c] = step else { continue };
        if op % 8 < 4 || heads.is_empty() {
            if op % 8 == 3 {
                keyring.destroy_epochs(&id);
                keyring.rotate(&id, &mut rng).unwrap();
            }
            let keys = keyring.dataset(&id).unwrap().keys();
            let mut state = states.last().cloned().unwrap_or_default();
            let mut draft = owner.draft();
            let object = ObjectId::from_bytes([a % 4; 16]);
            match op % 8 {
                0 | 1 => {
                    let value = ItemBuf::parse(&[0x18, b.max(24)], &Limits::new(8)).unwrap();
                    draft.put(object, &Record::new("json", 1, "a", value).unwrap()).unwrap();
                }
                2 if c % 2 == 0 => {
                    draft.remove(object).unwrap();
                }
                2 => {
                    draft.purge(object);
                }
                // The owner destroys what is left of the epoch before at each rotation: all of it moves now.
                _ => {
                    let former = keyring.working_copy().unwrap();
                    let bytes = |object: &ObjectId| state.get(object).map(|(_, _, bytes)| bytes.as_slice());
                    let keys = former.dataset(&id).unwrap().keys();
                    draft.reseal(Reseal::Eager, keys.current().unwrap(), keys, bytes).unwrap();
                }
            }
            let part = draft.sign(keys, NOW, &mut rng).unwrap();
            for put in part.puts() {
                let entry = put.entry();
                state.insert(*entry.object(), (entry.seq(), entry.kind(), put.bytes().to_vec()));
            }
            part.removes().iter().for_each(|object| {
                state.remove(object);
            });
            heads.push(part.head_bytes().to_vec());
            let _ = owner.committed(part).unwrap();
            states.push(state);
            continue;
        }
        let keys = keyring.dataset(&id).unwrap().keys();
        let before = reader.head().map(|head| (head.seq(), *head.hash()));
        let since = before.map_or(heads.len() - 1, |(seq, _)| usize::try_from(seq.get()).unwrap());
        let mut told: Vec<Vec<u8>> = heads[since.min(heads.len())..].to_vec();
        let mut content = states.last().unwrap().clone();
        let mut is_true = true;
        match op % 8 {
            4 => {}
            5 => {
                // An older state, whole.
                let then = usize::from(a) % states.len();
                is_true = then + 1 == states.len();
                content = states[then].clone();
                told = heads[since.min(then)..=then].to_vec();
            }
            6 => {
                let (head, bit) = (usize::from(a) % told.len().max(1), usize::from(b) << 3 | usize::from(c) & 7);
                if let Some(byte) = told.get_mut(head).and_then(|head| head.get_mut(bit / 8)) {
                    *byte ^= 1 << (bit % 8);
                    is_true = false;
                }
            }
            _ => {
                let object = ObjectId::from_bytes([a % 4; 16]);
                let other = states[usize::from(b) % states.len()].get(&object).cloned();
                let now = content.remove(&object);
                is_true = other == now;
                content.extend(other.map(|other| (object, other)));
            }
        }
        let told: Vec<&[u8]> = told.iter().map(Vec::as_slice).collect();
        let rows: Vec<ChangedObject<'_>> = content
            .iter()
            .map(|(object, (seq, kind, bytes))| ChangedObject::Put { object: *object, seq: *seq, kind: *kind, bytes })
            .collect();
        let is_news = !told.is_empty() || before.is_some();
        match reader.resync(&told, &rows, keys) {
            Ok(applied) => {
                let state = usize::try_from(applied.seq().get()).unwrap() - 1;
                assert!(before.is_none_or(|(seq, _)| applied.seq() >= seq));
                let state = &states[state];
                assert_eq!(reader.entries().len(), state.len());
                for (entry, (object, (seq, kind, bytes))) in reader.entries().iter().zip(state) {
                    assert!(entry.object() == object && entry.seq() == *seq && entry.kind() == *kind);
                    // What the owner's keys still open opens to something; the rest is of a destroyed epoch.
                    if applied.seq() == owner.head().unwrap().seq() {
                        assert!(reader.open(object, bytes, keys).is_ok());
                    }
                }
                reader.accept_unknown();
            }
            Err(_) => {
                // A head signed under a destroyed key is history: a state as old as that has no key to compare with.
                assert!(!is_true || !is_news);
                assert_eq!(reader.head().map(|head| (head.seq(), *head.hash())), before);
            }
        }
    }
}
