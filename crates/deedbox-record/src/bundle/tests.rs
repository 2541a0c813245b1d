use alloc::vec;

use deedbox_cbor::{ItemBuf, Limits};
use deedbox_testkit::rng::SeededRng;
use proptest::prelude::*;

use super::*;
use crate::{Granularity, HeadError, Keyring, NewSlot, Record, RecoveryPhrase, Replica, Root, Unlock};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

type Object = (ObjectId, Seq, u8, Vec<u8>);

struct Store {
    phrase: RecoveryPhrase,
    root: Root,
    header: Header,
    share: HostShare,
    meta: EpochKeys,
    /// Meta dataset, then the other: id, head, objects.
    parts: Vec<(DatasetId, Vec<u8>, Vec<Object>)>,
}

fn store(seed: u64) -> Store {
    let rng = &mut SeededRng::new(seed);
    let root = Root::generate(StoreId::generate(rng), rng);
    let (phrase, share) = (RecoveryPhrase::generate(rng), HostShare::generate(rng));
    let header = Header::create(&root, &[NewSlot::Phrase(&phrase)], rng).unwrap();
    let meta = root.meta_keys(&share, Epoch::FIRST);
    let mut keyring = Keyring::generate(rng);
    let (name, id) = ((*root.store()).into(), DatasetId::from_bytes([7; 16]));
    keyring.add_dataset(name, id, "a", Granularity::Field, rng).unwrap();
    let mut parts = Vec::new();
    for (dataset, keys) in [(DatasetId::META, &meta), (id, keyring.datasets()[0].keys())] {
        let replica = Replica::create(name, dataset);
        let mut draft = replica.draft();
        if dataset == DatasetId::META {
            draft.put_keyring(&keyring).unwrap();
        } else {
            for n in 1..4 {
                let value = ItemBuf::parse(&[n], &Limits::new(9)).unwrap();
                draft.put(ObjectId::from_bytes([n; 16]), &Record::new("n", 1, "n", value).unwrap()).unwrap();
            }
        }
        let part = draft.sign(keys, NOW, rng).unwrap();
        let object = |put: &crate::SealedObject| {
            (*put.entry().object(), put.entry().seq(), put.entry().kind(), put.bytes().to_vec())
        };
        parts.push((dataset, part.head_bytes().to_vec(), part.puts().iter().map(object).collect()));
    }
    Store { phrase, root, header, share, meta, parts }
}

fn export(store: &Store, more: bool) -> Vec<u8> {
    let mut writer = BundleWriter::new(&store.header, Epoch::FIRST, &store.share, NOW);
    if more {
        writer.capability(&CapabilityId::from_bytes([1; 16]), b"body", 1).unwrap();
    }
    for (dataset, head, objects) in &store.parts {
        writer.dataset(dataset, head).unwrap();
        for (object, seq, kind, bytes) in objects {
            writer.object(object, *seq, *kind, bytes).unwrap();
        }
    }
    if more {
        writer.blob(&BlobId::from_bytes([1; 16]), (1 << 20) + 5).unwrap();
        writer.blob_part(&vec![1; 1 << 20]).unwrap();
        writer.blob_part(&[2; 5]).unwrap();
        writer.mail(&MailboxId::from_bytes([1; 16]), 1, &[2; 16], b"mail").unwrap();
    }
    writer.finish(&store.meta).unwrap()
}

/// Offset, length and first byte of each part of a blob, and whether it is the last.
fn blob_parts(bundle: &VerifiedBundle, bytes: &[u8]) -> Result<Vec<(u64, usize, u8, bool)>, BundleError> {
    let (mut reading, mut parts) = (bundle.blob_parts(), Vec::new());
    for piece in bytes.chunks(70_001) {
        reading.push(piece);
        while let Some((part, is_last)) = reading.next()? {
            assert_eq!(*part.blob(), BlobId::from_bytes([1; 16]));
            parts.push((part.offset(), part.bytes().len(), part.bytes()[0], is_last));
        }
    }
    reading.finish().map(|()| parts)
}

fn import(bytes: &[u8], root: &Root) -> Result<usize, BundleError> {
    Ok(Bundle::parse(bytes)?.verify(root)?.replicas().len())
}

#[test]
fn a_store_moves_in_one_file() {
    let store = store(1);
    let bytes = export(&store, true);
    let bundle = Bundle::parse(&bytes).unwrap();
    let slot = *bundle.header().slots()[0].id();
    let root = bundle.header().unlock(&slot, &Unlock::Phrase(&store.phrase)).unwrap();
    let verified = bundle.verify(&root).unwrap();
    assert_eq!((verified.store(), verified.created()), (store.root.store(), NOW));
    assert_eq!(verified.share().expose(), store.share.expose());
    assert_eq!((verified.capabilities()[0].body(), verified.capabilities()[0].state()), (&b"body"[..], 1));
    assert_eq!((verified.mail()[0].n(), verified.mail()[0].bytes()), (1, &b"mail"[..]));
    assert_eq!(
        (verified.blobs()[0].blob(), verified.blobs()[0].length()),
        (&BlobId::from_bytes([1; 16]), (1 << 20) + 5)
    );
    assert_eq!(blob_parts(&verified, &bytes), Ok(vec![(0, 1 << 20, 1, false), (1 << 20, 5, 2, true)]));
    // What is inside opens.
    let (dataset, replica) = (&verified.datasets()[1], &verified.replicas()[1]);
    let keys = verified.keyring().datasets()[0].keys();
    for n in 1..4 {
        let object = ObjectId::from_bytes([n; 16]);
        let opened = replica.open(&object, dataset.bytes_of(&object).unwrap(), keys).unwrap();
        assert_eq!(Record::decode(opened.payload()).unwrap().value().as_item().as_u64(), Some(n.into()));
    }
    assert_eq!(dataset.bytes_of(&ObjectId::from_bytes([9; 16])), None);
}

#[test]
fn every_byte_of_a_bundle_counts() {
    let store = store(1);
    let bytes = export(&store, false);
    assert_eq!(import(&bytes, &store.root), Ok(2));
    for at in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[at] ^= 1 << (at % 8);
        assert!(import(&altered, &store.root).is_err(), "byte {at}");
    }
}

#[test]
fn a_bundle_cut_short_or_longer_is_malformed() {
    let store = store(1);
    let bytes = export(&store, false);
    for len in 0..bytes.len() {
        assert_eq!(import(&bytes[..len], &store.root), Err(BundleError::Malformed), "{len}");
    }
    assert_eq!(import(&[&bytes[..], &[0]].concat(), &store.root), Err(BundleError::Malformed));
}

#[test]
fn a_bundle_is_the_same_in_pieces_of_any_length() {
    let store = store(1);
    let bytes = export(&store, true);
    // Written in pieces.
    let mut writer = BundleWriter::new(&store.header, Epoch::FIRST, &store.share, NOW);
    let mut pieces = writer.take();
    for (dataset, head, objects) in &store.parts {
        writer.dataset(dataset, head).unwrap();
        for (object, seq, kind, bytes) in objects {
            writer.object(object, *seq, *kind, bytes).unwrap();
            pieces.append(&mut writer.take());
        }
    }
    assert!(writer.take().is_empty());
    pieces.append(&mut writer.finish(&store.meta).unwrap());
    assert_eq!(pieces, export(&store, false));
    // Read in pieces.
    for len in [1, 7, 1_000, bytes.len()] {
        let bytes = if len == 1 { &pieces } else { &bytes };
        let mut reader = BundleReader::new();
        bytes.chunks(len).for_each(|piece| reader.push(piece).unwrap());
        assert_eq!(reader.finish().unwrap().verify(&store.root).unwrap().replicas().len(), 2, "{len}");
    }
}

#[test]
fn little_is_held_while_a_bundle_is_read() {
    let store = store(1);
    let mut writer = BundleWriter::new(&store.header, Epoch::FIRST, &store.share, NOW);
    for (dataset, head, objects) in &store.parts {
        writer.dataset(dataset, head).unwrap();
        objects.iter().for_each(|(object, seq, kind, bytes)| writer.object(object, *seq, *kind, bytes).unwrap());
    }
    let (parts, part) = (12, vec![3; 1 << 20]);
    writer.blob(&BlobId::from_bytes([1; 16]), parts << 20).unwrap();
    let mut reader = BundleReader::new();
    for _ in 0..parts {
        writer.blob_part(&part).unwrap();
        let piece = writer.take();
        assert!(piece.len() < (1 << 20) + (1 << 18) && writer.out.as_slice().is_empty());
        for piece in piece.chunks(100_000) {
            reader.push(piece).unwrap();
            assert!(reader.items_held() < (1 << 20) + 200_000);
        }
    }
    reader.push(&writer.finish(&store.meta).unwrap()).unwrap();
    let bundle = reader.finish().unwrap().verify(&store.root).unwrap();
    assert_eq!(bundle.blobs()[0].length(), parts << 20);

    // An item that says to be longer than any is refused once that is certain.
    let mut endless = BundleReader::new();
    endless.push(&[0x84, 0x5b, 0, 0, 0, 1, 0, 0, 0, 0]).unwrap();
    assert_eq!(endless.push(&vec![0; 2 << 20]), Err(BundleError::Malformed));
}

#[test]
fn another_bundle_the_second_time_is_noticed() {
    let store = store(1);
    let bytes = export(&store, true);
    let verified = Bundle::parse(&bytes).unwrap().verify(&store.root).unwrap();
    assert!(blob_parts(&verified, &bytes).is_ok());
    for at in [40, bytes.len() / 2, bytes.len() - 400] {
        let mut altered = bytes.clone();
        altered[at] ^= 1;
        assert!(blob_parts(&verified, &altered).is_err(), "{at}");
    }
    assert_eq!(blob_parts(&verified, &bytes[..bytes.len() / 2]), Err(BundleError::Rejected));
}

#[test]
fn stores_are_not_mixed() {
    let (one, two) = (store(1), store(2));
    assert_eq!(import(&export(&one, false), &two.root), Err(BundleError::WrongStore));
    // The other's header, in the own bundle.
    let mut mixed = store(1);
    mixed.header = store(2).header;
    let bytes = export(&mixed, false);
    assert_eq!(import(&bytes, &two.root), Err(BundleError::Rejected));
    // The other's dataset, signed by the own trailer.
    let mut mixed = store(1);
    mixed.parts[1] = store(2).parts.remove(1);
    assert_eq!(import(&export(&mixed, false), &mixed.root), Err(BundleError::Head(HeadError::UnknownKey)));
}

#[test]
fn a_head_that_lacks_an_object_is_refused_though_the_trailer_is_right() {
    let mut less = store(1);
    less.parts[1].2.pop();
    assert_eq!(import(&export(&less, false), &less.root), Err(BundleError::Head(HeadError::CountMismatch)));
    let mut other = store(1);
    other.parts[1].2[0].3[100] ^= 1;
    assert_eq!(import(&export(&other, false), &other.root), Err(BundleError::Head(HeadError::RootMismatch)));
    let mut unknown = store(1);
    unknown.parts[1].0 = DatasetId::from_bytes([8; 16]);
    assert_eq!(import(&export(&unknown, false), &unknown.root), Err(BundleError::Head(HeadError::UnknownKey)));
    let mut no_keyring = store(1);
    no_keyring.share = HostShare::none();
    assert_eq!(import(&export(&no_keyring, false), &no_keyring.root), Err(BundleError::Rejected));
}

#[test]
fn parts_out_of_order_are_not_written() {
    let store = store(1);
    let mut writer = BundleWriter::new(&store.header, Epoch::FIRST, &store.share, NOW);
    let malformed = Err(BundleError::Malformed);
    let (id, blob, mailbox) =
        (ObjectId::from_bytes([1; 16]), BlobId::from_bytes([1; 16]), MailboxId::from_bytes([1; 16]));
    let capability = CapabilityId::from_bytes([1; 16]);
    assert_eq!(writer.object(&id, Seq::FIRST, 1, &[]), malformed);
    assert_eq!(writer.dataset(&DatasetId::from_bytes([1; 16]), &[]), malformed);
    assert_eq!(writer.blob(&blob, 1), malformed);
    assert_eq!(writer.mail(&mailbox, 1, &[0; 16], &[]), malformed);
    writer.dataset(&DatasetId::META, &[]).unwrap();
    assert_eq!(writer.dataset(&DatasetId::META, &[]), malformed);
    assert_eq!(writer.capability(&capability, &[], 0), malformed);
    writer.object(&id, Seq::FIRST, 1, &[]).unwrap();
    assert_eq!(writer.object(&id, Seq::FIRST, 1, &[]), malformed);
    assert_eq!(writer.blob_part(&[1]), malformed);
    writer.blob(&blob, 2).unwrap();
    assert_eq!(writer.blob_part(&[1]), malformed);
    assert_eq!(writer.mail(&mailbox, 1, &[0; 16], &[]), malformed);
    writer.blob_part(&[1, 2]).unwrap();
    assert_eq!(writer.blob_part(&[]), malformed);
    assert_eq!(writer.blob(&blob, 2), malformed);
    writer.mail(&mailbox, 1, &[0; 16], &[]).unwrap();
    assert_eq!(writer.blob(&BlobId::from_bytes([2; 16]), 2), malformed);
}

proptest! {
    #[test]
    fn parsing_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Bundle::parse(&bytes).is_err());
    }
}
