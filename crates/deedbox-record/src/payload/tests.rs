use alloc::{format, vec};

use deedbox_model::{Assurance, DatasetId, StoreName};
use deedbox_testkit::rng::SeededRng;
use proptest::prelude::*;

use super::*;
use crate::{Granularity, Keyring, OpenError, Replica};

fn value(bytes: &[u8]) -> ItemBuf {
    ItemBuf::parse(bytes, &Limits::new(1 << 20)).unwrap()
}

fn full() -> Record {
    let key = ObjectKey::of(SecretBytes::from_bytes([2; 32]), 0);
    let (blob, sha256) = (BlobId::from_bytes([1; 16]), Digest::from_bytes([3; 32]));
    let blob = BlobRef::of(blob, key, 1_000, sha256, Some("image/png".to_owned()));
    let issued = Provenance::new(*b"issuer", Assurance::High, Timestamp::from_secs(5)).with_signed(*b"signed");
    let issued = Record::new("s", 1, "n", value(&[0xf6])).unwrap().with_provenance(issued);
    Record::new("fhir/Patient", 4, "Patient.name.0.family", value(b"\x63Joe"))
        .unwrap()
        .with_provenance(Provenance::new(*b"hospital", Assurance::High, Timestamp::from_secs(5)))
        .with_blob(blob)
        .with_parents(vec![Digest::from_bytes([4; 32])])
        .with_expires(Timestamp::from_secs(9))
        .note_on(ObjectId::from_bytes([5; 16]), &issued)
        .unwrap()
}

#[test]
fn the_least_record_byte_for_byte() {
    let record = Record::new("s", 1, "n", value(&[0xf6])).unwrap();
    // {1: ["s", 1], 2: "n", 3: null}
    assert_eq!(**record.encode().unwrap(), [0xa3, 1, 0x82, 0x61, b's', 1, 2, 0x61, b'n', 3, 0xf6]);
}

#[test]
fn all_members_round_trip() {
    let bytes = full().encode().unwrap();
    let again = Record::decode(&bytes).unwrap();
    assert_eq!(**again.encode().unwrap(), **bytes);
    assert_eq!(again.schema(), ("fhir/Patient", 4));
    assert_eq!(again.name(), "Patient.name.0.family");
    assert_eq!(again.value().as_item().as_str(), Some("Joe"));
    assert_eq!(again.provenance(), full().provenance());
    assert_eq!((again.blobs()[0].length(), again.blobs()[0].media()), (1_000, Some("image/png")));
    assert_eq!(again.parents(), full().parents());
    assert_eq!(again.expires(), Some(Timestamp::from_secs(9)));
    assert_eq!(again.about(), full().about());
    assert_eq!(format!("{again:?}"), "Record { value: Item { kind: Text, len: 4, .. }, .. }");
}

#[test]
fn every_length_but_its_own_is_refused() {
    let bytes = full().encode().unwrap();
    for len in 0..bytes.len() {
        assert_eq!(Record::decode(&bytes[..len]).err(), Some(PayloadError::Malformed));
    }
}

#[test]
fn shapes_that_are_not_a_record_are_refused() {
    let head = b"\xa3\x01\x82\x61s\x01\x02\x61n\x03\xf6";
    assert!(Record::decode(head).is_ok());
    let bad: &[&[u8]] = &[
        b"\xa2\x01\x82\x61s\x01\x02\x61n",                 // no value
        b"\xa3\x01\x81\x61s\x02\x61n\x03\xf6",             // schema without version
        b"\xa3\x01\x82\x61s\x01\x02\x60\x03\xf6",          // empty name
        b"\xa4\x01\x82\x61s\x01\x02\x61n\x03\xf6\x05\x80", // empty list of blobs
        b"\xa4\x01\x82\x61s\x01\x02\x61n\x03\xf6\x06\x80", // empty list of parents
        b"\xa4\x01\x82\x61s\x01\x02\x61n\x03\xf6\x09\x00", // unknown key
        b"\xa4\x00\x00\x01\x82\x61s\x01\x02\x61n\x03\xf6", // unknown key before
        b"\xa4\x01\x82\x61s\x01\x02\x61n\x03\xf6\x07\x20", // negative time
        b"\xa3\x01\x82\x61s\x01\x03\xf6\x02\x61n",         // unsorted
    ];
    for (n, bytes) in bad.iter().enumerate() {
        assert_eq!(Record::decode(bytes).err(), Some(PayloadError::Malformed), "{n}");
    }
}

#[test]
fn limits_hold() {
    let new = |schema: &str, name: &str| Record::new(schema, 1, name, value(&[0])).err();
    let long = "x".repeat(1_025);
    assert_eq!(new("", "n"), Some(PayloadError::Limit));
    assert_eq!(new("s", ""), Some(PayloadError::Limit));
    assert_eq!(new("s", &long), Some(PayloadError::Limit));
    assert_eq!(new("s", &"x".repeat(1_024)), None);
    let mut text = vec![0x7a, 0x00, 0x04, 0x00, 0x00];
    text.resize(5 + (256 << 10), b'x');
    assert_eq!(Record::new("s", 1, "n", value(&text)).unwrap().encode().err(), Some(PayloadError::Limit));
    // A value nested as deep as a reader goes could not be read again inside a record.
    let deep = [&[0x81; 31][..], &[0]].concat();
    assert!(Record::new("s", 1, "n", value(&deep)).unwrap().encode().is_ok());
    let deeper = [&[0x81; 32][..], &[0]].concat();
    assert_eq!(Record::new("s", 1, "n", value(&deeper)).unwrap().encode().err(), Some(PayloadError::Limit));
}

/// A record of what an issuer signed, as it is kept for a credential.
fn issued(signed: &[u8]) -> Record {
    let provenance = Provenance::new(*b"issuer", Assurance::High, Timestamp::from_secs(5)).with_signed(signed);
    Record::new("credential", 1, "credential/1", value(&[0xf6])).unwrap().with_provenance(provenance)
}

#[test]
fn a_note_is_bound_to_one_object_and_one_wording() {
    let (object, other) = (ObjectId::from_bytes([1; 16]), ObjectId::from_bytes([2; 16]));
    let credential = issued(b"the issuer's words");
    let note = Record::new("note", 1, "a.note", value(b"\x64mine")).unwrap();
    let note = note.note_on(object, &credential).unwrap();
    assert!(note.is_note_on(&object, &credential));
    assert!(!note.is_note_on(&other, &credential), "the same words elsewhere");
    assert!(!credential.is_note_on(&object, &credential));
    let unsigned = Record::new("s", 1, "n", value(&[0xf6])).unwrap();
    assert!(!note.is_note_on(&object, &unsigned));
    assert!(!unsigned.is_note_on(&object, &unsigned), "nothing is no note on nothing");
    let again = Record::new("note", 1, "a.note", value(&[0xf6])).unwrap().note_on(object, &unsigned);
    assert_eq!(again.err(), Some(PayloadError::NotSigned));
    // Every bit of the issuer's document, every length of it.
    let signed = b"the issuer's words";
    for at in 0..signed.len() {
        for bit in 0..8 {
            let mut altered = signed.to_vec();
            altered[at] ^= 1 << bit;
            assert!(!note.is_note_on(&object, &issued(&altered)), "bit {bit} of byte {at}");
        }
        assert!(!note.is_note_on(&object, &issued(&signed[..at])));
    }
    // Both survive storage, each alone.
    let read = |record: &Record| Record::decode(&record.encode().unwrap()).unwrap();
    assert!(read(&note).is_note_on(&object, &read(&credential)));
    assert_eq!(read(&credential).provenance().and_then(Provenance::signed), Some(&signed[..]));
    assert_eq!(read(&credential).signed_sha256(), Some(Digest::from_bytes(sha256(signed))));
}

#[test]
fn what_was_signed_and_the_note_on_it_each_verify_alone() {
    let rng = &mut SeededRng::new(1);
    let mut keyring = Keyring::generate(rng);
    let (store, id) = (StoreName::from_bytes([1; 16]), DatasetId::from_bytes([1; 16]));
    let keys = keyring.add_dataset(store, id, "", Granularity::Record, rng).unwrap().keys();
    let (document, on_it) = (ObjectId::from_bytes([1; 16]), ObjectId::from_bytes([2; 16]));
    let note = Record::new("note", 1, "a.note", value(b"\x64mine")).unwrap();
    let note = note.note_on(document, &issued(b"signed")).unwrap();
    let mut replica = Replica::create(store, id);
    let mut draft = replica.draft();
    draft.put(document, &issued(b"signed")).unwrap().put(on_it, &note).unwrap();
    let part = draft.sign(keys, Timestamp::from_secs(9), rng).unwrap();
    let bytes: Vec<Vec<u8>> = part.puts().iter().map(|put| put.bytes().to_vec()).collect();
    let _ = replica.committed(part).unwrap();
    let read = |replica: &Replica, object, bytes: &[u8]| {
        replica.open(object, bytes, keys).map(|opened| Record::decode(opened.payload()).unwrap())
    };
    assert!(
        read(&replica, &on_it, &bytes[1])
            .unwrap()
            .is_note_on(&document, &read(&replica, &document, &bytes[0]).unwrap())
    );
    // The host alters the document's object: its hash is not the state's. The note opens as before.
    for at in 0..bytes[0].len() {
        let mut altered = bytes[0].clone();
        altered[at] ^= 1;
        assert_eq!(read(&replica, &document, &altered).err(), Some(OpenError::Rejected));
    }
    // Somebody who may write puts another document in its place: authentic, and not what the note is on.
    let mut draft = replica.draft();
    draft.put(document, &issued(b"Signed")).unwrap();
    let part = draft.sign(keys, Timestamp::from_secs(9), rng).unwrap();
    let replaced = part.puts()[0].bytes().to_vec();
    let _ = replica.committed(part).unwrap();
    let replaced = read(&replica, &document, &replaced).unwrap();
    let note = read(&replica, &on_it, &bytes[1]).unwrap();
    assert!(!note.is_note_on(&document, &replaced));
    assert_eq!(note.value().as_item().as_str(), Some("mine"));
}

#[test]
fn tombstones_round_trip() {
    for parents in [vec![], vec![Digest::from_bytes([1; 32]), Digest::from_bytes([2; 32])]] {
        let tombstone = Tombstone::new(parents);
        assert_eq!(Tombstone::decode(&tombstone.encode().unwrap()), Ok(tombstone));
    }
    assert_eq!(Tombstone::default().encode().unwrap(), [0xa0]);
    assert_eq!(Tombstone::decode(b"\xa1\x06\x80"), Err(PayloadError::Malformed));
    assert_eq!(Tombstone::decode(b"\xa1\x01\x00"), Err(PayloadError::Malformed));
}

proptest! {
    #[test]
    fn accepted_bytes_are_written_again(at: prop::sample::Index, bit in 0..8) {
        let mut bytes = full().encode().unwrap().to_vec();
        *at.get_mut(&mut bytes) ^= 1_u8 << bit;
        if let Ok(record) = Record::decode(&bytes) {
            prop_assert_eq!(&**record.encode().unwrap(), &*bytes);
        }
    }

    #[test]
    fn round_trip(name in "[^\\x00]{1,40}", version: u64, expires: Option<u64>) {
        let mut record = Record::new("s", version, &name, value(&[0x01])).unwrap();
        if let Some(expires) = expires {
            record = record.with_expires(Timestamp::from_secs(expires));
        }
        let again = Record::decode(&record.encode().unwrap()).unwrap();
        prop_assert_eq!((again.name(), again.schema().1), (name.as_str(), version));
        prop_assert_eq!(again.expires(), expires.map(Timestamp::from_secs));
    }
}
