//! What the forms with a buffer of the caller's promise: no heap allocation. A binary of its own, since the counter replaces
//! the allocator of the whole program.

use allocation_counter::measure;
use deedbox_model::{DatasetId, Epoch, ObjectId, Seq, StoreName};
use deedbox_record::{
    Address, BlobReader, DatasetKey, Kind, OpenError, open, open_in_place, seal, seal_blob, seal_into, sealed_length,
};
use deedbox_testkit::rng::SeededRng;

/// A record, one whose padding reaches a full chunk, and one of several chunks.
const LENGTHS: [usize; 5] = [0, 64, 1_000, 16_383, 100_000];

fn at() -> Address {
    Address {
        store: StoreName::from_bytes([1; 16]),
        dataset: DatasetId::from_bytes([2; 16]),
        object: ObjectId::from_bytes([3; 16]),
        seq: Seq::FIRST,
    }
}

fn key() -> DatasetKey {
    DatasetKey::generate(Epoch::FIRST, &mut SeededRng::new(1))
}

/// How often the heap was asked for memory.
fn allocations(work: impl FnOnce()) -> u64 {
    measure(work).count_total
}

#[test]
fn sealing_into_room_enough_allocates_nothing() {
    let (key, at, mut rng) = (key(), at(), SeededRng::new(2));
    for len in LENGTHS {
        let payload = vec![0xa5; len];
        let mut out = Vec::with_capacity(sealed_length(Kind::Record, len).unwrap());
        let count = allocations(|| {
            let key = key.object_key(&at.object);
            seal_into(&key, &at, Kind::Record, &payload, &mut rng, &mut out).unwrap();
        });
        assert_eq!(count, 0, "{len} bytes");
        assert_eq!(open(&key.object_key(&at.object), &at, Kind::Record, &out).unwrap().payload(), payload);
    }
}

#[test]
fn what_is_too_long_is_refused_without_allocating() {
    let (key, at, mut rng) = (key().object_key(&at().object), at(), SeededRng::new(2));
    let (payload, mut out) = (vec![0; Kind::Record.limit() + 1], Vec::new());
    assert_eq!(allocations(|| assert!(seal_into(&key, &at, Kind::Record, &payload, &mut rng, &mut out).is_err())), 0);
}

#[test]
fn sealing_allocates_the_object_and_nothing_else() {
    let (key, at, mut rng) = (key().object_key(&at().object), at(), SeededRng::new(2));
    for len in LENGTHS {
        let payload = vec![0xa5; len];
        let counted = measure(|| drop(seal(&key, &at, Kind::Record, &payload, &mut rng).unwrap()));
        let length = sealed_length(Kind::Record, len).unwrap();
        assert_eq!((counted.count_total, counted.bytes_total), (1, length as u64), "{len} bytes");
    }
}

#[test]
fn opening_in_place_allocates_nothing() {
    let (key, at, mut rng) = (key(), at(), SeededRng::new(2));
    for len in LENGTHS {
        let payload = vec![0xa5; len];
        let sealed = seal(&key.object_key(&at.object), &at, Kind::Record, &payload, &mut rng).unwrap();
        let mut object = sealed.clone();
        let count = allocations(|| {
            let key = key.object_key(&at.object);
            assert_eq!(open_in_place(&key, &at, Kind::Record, &mut object), Ok(payload.as_slice()));
        });
        assert_eq!(count, 0, "{len} bytes");

        let mut object = sealed;
        *object.last_mut().unwrap() ^= 1;
        let count = allocations(|| {
            let key = key.object_key(&at.object);
            assert_eq!(open_in_place(&key, &at, Kind::Record, &mut object), Err(OpenError::Rejected));
        });
        assert_eq!(count, 0, "{len} bytes, rejected");
    }
}

#[test]
fn reading_a_range_of_a_blob_allocates_nothing() {
    let (at, mut rng) = (at(), SeededRng::new(2));
    let content: Vec<u8> = (0..200_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let (object, reference) = seal_blob(&at.store, &at.dataset, &content, None, &mut rng).unwrap();
    let mut reader = BlobReader::open(&at.store, &at.dataset, &reference, object.as_slice()).unwrap();
    let mut out = vec![0; 100_000];
    for from in [0, 16_384, 50_001, 99_999] {
        assert_eq!(allocations(|| assert_eq!(reader.read_at(from, &mut out), Ok(out.len()))), 0, "from {from}");
        assert_eq!(out, content[usize::try_from(from).unwrap()..][..100_000]);
    }
}
