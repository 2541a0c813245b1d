use alloc::{format, string::String, vec};

use deedbox_cbor::{ItemBuf, Limits};
use deedbox_crypto::aead::Cipher;
use deedbox_model::{DatasetId, Digest, ObjectId, Seq, StoreName};
use deedbox_testkit::rng::SeededRng;
use proptest::prelude::*;

use super::*;
use crate::{
    DatasetKey, Entry, Record, state_root,
    test_util::{self, two_key},
};

fn address() -> Address {
    Address {
        store: StoreName::from_bytes([1; 16]),
        dataset: DatasetId::from_bytes([2; 16]),
        object: ObjectId::from_bytes([3; 16]),
        seq: Seq::new(4).unwrap(),
    }
}

fn dataset_key(seed: u64) -> DatasetKey {
    DatasetKey::generate(Epoch::new(7).unwrap(), &mut SeededRng::new(seed))
}

fn key() -> ObjectKey {
    dataset_key(1).object_key(&address().object)
}

fn sealed(kind: Kind, payload: &[u8]) -> Vec<u8> {
    seal(&key(), &address(), kind, payload, &mut SeededRng::new(2)).unwrap()
}

/// The result of both ways to open, which must be the same.
fn open_both(key: &ObjectKey, at: &Address, kind: Kind, object: &[u8]) -> Result<Vec<u8>, OpenError> {
    let copied = open(key, at, kind, object).map(|opened| {
        assert_eq!(opened.as_ref(), opened.payload());
        opened.payload().to_vec()
    });
    let mut buffer = object.to_vec();
    let in_place = open_in_place(key, at, kind, &mut buffer).map(<[u8]>::to_vec);
    assert_eq!(copied, in_place);
    copied
}

#[test]
fn lengths_around_chunks_round_trip() {
    for len in [0, 1, 63, 64, 16_382, 16_383, 16_384, 16_385, 32_767, 32_768, 40_000, 100_000, 256 << 10] {
        let payload: Vec<u8> = (0..len).map(|n: usize| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
        let object = sealed(Kind::Record, &payload);
        assert_eq!(object.len(), sealed_length(Kind::Record, len).unwrap(), "{len}");
        assert_eq!(open_both(&key(), &address(), Kind::Record, &object), Ok(payload), "{len}");
    }
}

#[test]
fn beyond_the_limit_nothing_is_sealed() {
    let rng = &mut SeededRng::new(2);
    for (kind, limit) in [(Kind::Record, 256 << 10), (Kind::Index, 256 << 10), (Kind::Keyring, 1 << 20)] {
        let mut out = vec![9];
        let error = seal_into(&key(), &address(), kind, &vec![0; limit + 1], rng, &mut out);
        assert_eq!((error, out.as_slice()), (Err(SealError::TooLong { limit }), &[9][..]));
        let largest = vec![5; limit];
        let object = seal(&key(), &address(), kind, &largest, rng).unwrap();
        // What a keyring is padded with has a chunk of its own.
        assert!(open_both(&key(), &address(), kind, &object) == Ok(largest), "{kind:?}");
    }
    // Nobody holds a payload of these lengths in a test; what they come to is told all the same.
    for (kind, limit) in [(Kind::Slot, 32), (Kind::Tombstone, 256 << 10), (Kind::Blob, 4 << 40)] {
        assert!(sealed_length(kind, limit).is_ok());
        assert_eq!(sealed_length(kind, limit + 1), Err(SealError::TooLong { limit }));
    }
}

#[test]
fn slots_and_blobs_have_their_own_way() {
    for kind in [Kind::Slot, Kind::Blob] {
        assert_eq!(seal(&key(), &address(), kind, &[0; 32], &mut SeededRng::new(2)), Err(SealError::WrongKind));
        let mut object = sealed(Kind::Record, &[]);
        object[2] = kind.number();
        assert_eq!(open_both(&key(), &address(), kind, &object), Err(OpenError::WrongKind));
    }
}

#[test]
fn every_bit_of_three_objects_counts() {
    for (kind, payload) in [(Kind::Record, vec![]), (Kind::Tombstone, vec![0xa0]), (Kind::Index, vec![0x80; 64])] {
        let object = sealed(kind, &payload);
        assert_eq!(open_both(&key(), &address(), kind, &object), Ok(payload));
        for bit in 0..object.len() * 8 {
            let mut altered = object.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            let got = open_both(&key(), &address(), kind, &altered).unwrap_err().code();
            let want = match bit / 8 {
                0 | 1 => "Unsupported",
                2 if Kind::from_number(altered[2]).is_some() => "WrongKind",
                2 | 3 => "Malformed",
                4..8 => "UnknownEpoch",
                _ => "Rejected",
            };
            assert_eq!(got, want, "bit {bit}");
        }
    }
}

#[test]
fn every_other_length_is_refused() {
    let object = sealed(Kind::Record, b"some payload");
    assert_eq!(object.len(), 144);
    for len in (0..=200).filter(|len| *len != 144) {
        let mut other = object.clone();
        other.resize(len, 0);
        let want = if len < 80 { OpenError::Truncated } else { OpenError::Rejected };
        assert_eq!(open_both(&key(), &address(), Kind::Record, &other), Err(want), "{len}");
    }
}

#[test]
fn every_change_of_place_is_refused() {
    let object = sealed(Kind::Record, b"here");
    let at = address();
    assert!(open_both(&key(), &at, Kind::Record, &object).is_ok());
    let places = [
        Address { store: StoreName::from_bytes([9; 16]), ..at },
        Address { dataset: DatasetId::from_bytes([9; 16]), ..at },
        Address { object: ObjectId::from_bytes([9; 16]), ..at },
        Address { seq: Seq::new(5).unwrap(), ..at },
    ];
    for place in places {
        assert_eq!(open_both(&key(), &place, Kind::Record, &object), Err(OpenError::Rejected));
    }
    let other_object = dataset_key(1).object_key(&ObjectId::from_bytes([9; 16]));
    let other_dataset = dataset_key(9).object_key(&at.object);
    for other in [other_object, other_dataset] {
        assert_eq!(open_both(&other, &at, Kind::Record, &object), Err(OpenError::Rejected));
    }
    assert_eq!(open_both(&key(), &at, Kind::Index, &object), Err(OpenError::WrongKind));
    let mut relabelled = object;
    relabelled[2] = Kind::Index.number();
    assert_eq!(open_both(&key(), &at, Kind::Index, &relabelled), Err(OpenError::Rejected));
}

#[test]
fn one_key_is_tried_once_per_object() {
    let object = sealed(Kind::Record, b"once");
    let count = |key: &ObjectKey, object: &[u8]| {
        let before = test_util::derivations();
        let result = open(key, &address(), Kind::Record, object).map(|_| ());
        (result, test_util::derivations() - before)
    };
    assert_eq!(count(&key(), &object), (Ok(()), 1));
    let other = dataset_key(9).object_key(&address().object);
    assert_eq!(count(&other, &object), (Err(OpenError::Rejected), 1));
    assert_eq!(count(&key(), &object[..79]), (Err(OpenError::Truncated), 0));
}

#[test]
fn a_buffer_is_untouched_before_the_tags_and_wiped_after() {
    let object = sealed(Kind::Record, b"buffer");
    let mut wrong_commitment = object.clone();
    wrong_commitment[40] ^= 1;
    let before = wrong_commitment.clone();
    assert_eq!(open_in_place(&key(), &address(), Kind::Record, &mut wrong_commitment), Err(OpenError::Rejected));
    assert_eq!(wrong_commitment, before);
    let mut wrong_tag = object;
    *wrong_tag.last_mut().unwrap() ^= 1;
    assert_eq!(open_in_place(&key(), &address(), Kind::Record, &mut wrong_tag), Err(OpenError::Rejected));
    assert!(wrong_tag.iter().all(|byte| *byte == 0));
}

#[test]
fn chunks_keep_their_order_and_number() {
    let object = sealed(Kind::Record, &[7; 40_000]);
    let (head, chunks) = object.split_at(64);
    let chunks: Vec<&[u8]> = chunks.chunks(SEALED_CHUNK).collect();
    let build = |order: &[usize]| {
        order.iter().fold(head.to_vec(), |mut bytes, index| {
            bytes.extend_from_slice(chunks[*index]);
            bytes
        })
    };
    let open =
        |bytes: &[u8]| open_both(&key(), &address(), Kind::Record, bytes).map(|_| ()).map_err(|error| error.code());
    assert_eq!(open(&build(&[0, 1, 2])), Ok(()));
    assert_eq!(open(&build(&[1, 0, 2])), Err("Rejected"));
    assert_eq!(open(&build(&[0, 2])), Err("Rejected"));
    assert_eq!(open(&build(&[0, 1])), Err("Truncated"));
    assert_eq!(open(&build(&[0, 0, 1, 2])), Err("Rejected"));
}

#[test]
fn sealing_into_reserved_memory_does_not_move_it() {
    let mut out = Vec::with_capacity(sealed_length(Kind::Record, 64).unwrap());
    let before = (out.as_ptr(), out.capacity());
    seal_into(&key(), &address(), Kind::Record, &[1; 64], &mut SeededRng::new(2), &mut out).unwrap();
    assert_eq!((out.as_ptr(), out.capacity()), before);
}

#[test]
fn a_stuck_generator_does_not_repeat_a_salt() {
    let salt = |payload: &[u8]| sealed(Kind::Record, payload)[8..32].to_vec();
    assert_eq!(salt(b"one"), salt(b"one"));
    assert_ne!(salt(b"one"), salt(b"two"));
}

#[test]
fn secrets_print_nothing() {
    let opened = open(&key(), &address(), Kind::Record, &sealed(Kind::Record, b"secret")).unwrap();
    assert_eq!(format!("{opened:?}"), "Opened { len: 6, .. }");
    assert_eq!(format!("{:?} {:?}", key(), dataset_key(1)), "ObjectKey { .. } DatasetKey { .. }");
}

/// The figures of the format page were computed by another implementation.
#[test]
fn the_worked_example_of_the_format_page() {
    let page: String = include_str!("../../../../docs/format/record.md").split_whitespace().collect();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut dataset_key = [0; 32];
    (0..).zip(&mut dataset_key).for_each(|(n, byte)| *byte = n);
    let object = test_util::object_id([0x30; 32], "address.city");
    let key = test_util::object_key(dataset_key, &object);
    let value = ItemBuf::parse(b"\x64Bern", &Limits::new(9)).unwrap();
    let payload = Record::new("text", 1, "address.city", value).unwrap().encode().unwrap();
    let salt = test_util::hedged_salt(key, &[0x40; 32], &payload);
    let (store, dataset) = (StoreName::from_bytes([0x10; 16]), DatasetId::from_bytes([0x20; 16]));
    let place = test_util::RawPlace {
        kind: Kind::Record,
        epoch: 1,
        store: *store.as_bytes(),
        dataset: *dataset.as_bytes(),
        object: *object.as_bytes(),
        seq: 1,
        key,
    };
    let sealed = test_util::seal_with_salt(&place, &payload, &salt).unwrap();
    let commitment = test_util::dataset_commitment(dataset_key, &store, &dataset, Epoch::FIRST);
    let root = state_root(&[Entry::new(object, Seq::FIRST, 1, Digest::from_bytes(hash::sha256(&sealed)))]);
    let figures: [(&str, &[u8]); 7] = [
        ("objectid", object.as_bytes()),
        ("objectkey", &key),
        ("payload", &payload),
        ("salt", &salt),
        ("object", &sealed),
        ("dk-commit", &commitment),
        ("stateroot", root.as_bytes()),
    ];
    for (name, bytes) in figures {
        assert!(page.contains(&format!("{name}{}", hex(bytes))), "{name}");
    }
}

/// The body of one object that decrypts under two keys: without the commitment it would be two values at one place.
#[test]
fn a_body_made_for_two_keys_is_refused_with_either_commitment() {
    let keys = [dataset_key(1), dataset_key(2)].map(|key| key.object_key(&address().object));
    let salt = [5; 24];
    let prefix = Prefix { kind: Kind::Record, epoch: 7 }.to_bytes();
    let okms = keys.each_ref().map(|key| two_key::okm(key, &prefix, &salt, &(&address()).into()));
    let body = two_key::body::<4>(&okms);
    for okm in &okms {
        // The body truly opens under both.
        let (text, tag) = body.split_last_chunk::<16>().unwrap();
        let mut text = text.to_vec();
        let (key, nonce) = (okm.first_chunk().unwrap(), okm[32..].first_chunk().unwrap());
        Cipher::new(key).open_in_place(nonce, &[], &mut text, tag).unwrap();
    }
    for okm in &okms {
        let mut object = prefix.to_vec();
        object.extend_from_slice(&salt);
        object.extend_from_slice(&okm[44..]);
        object.extend_from_slice(&body);
        // The key that the commitment is for opens the body; only its padding is wrong. The other stops before.
        let outcomes = keys.each_ref().map(|key| {
            let mut buffer = object.clone();
            let refused = open_in_place(key, &address(), Kind::Record, &mut buffer);
            assert_eq!(refused, Err(OpenError::Rejected));
            buffer == object
        });
        assert!(outcomes.contains(&true), "a key whose commitment it is not must not touch the body");
    }
}

proptest! {
    #[test]
    fn round_trip(payload in proptest::collection::vec(any::<u8>(), 0..2_000), seed: u64) {
        let rng = &mut SeededRng::new(seed);
        let object = seal(&key(), &address(), Kind::Record, &payload, rng).unwrap();
        prop_assert_eq!(open_both(&key(), &address(), Kind::Record, &object), Ok(payload));
        prop_assert_eq!(peek(&object).unwrap().epoch(), Epoch::new(7));
    }

    #[test]
    fn any_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut bytes = bytes;
        prop_assert!(open_both(&key(), &address(), Kind::Record, &bytes).is_err());
        // And behind a prefix that is right.
        for (place, byte) in bytes.iter_mut().zip([1, 1, 1, 0, 0, 0, 0, 7]) {
            *place = byte;
        }
        prop_assert!(open_both(&key(), &address(), Kind::Record, &bytes).is_err());
    }
}
