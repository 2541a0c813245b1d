//! Sealing and opening a record of 64 bytes against the sum of the primitives in it: the object's key, 76 bytes of HKDF,
//! the hedged salt, the AEAD. Every way to seal and open a blob of 1 MiB against the AEAD and the hash in it. The claims are in
//! `examples/ratios`.
#![expect(clippy::unwrap_used, reason = "a bench")]

use std::{hint::black_box, io::Write as _};

use criterion::{Criterion, criterion_group, criterion_main};
use deedbox_cbor::{ItemBuf, Limits, Writer};
use deedbox_crypto::{aead::Cipher, hash::sha256, kdf, label, secret::SecretBytes};
use deedbox_model::{DatasetId, Epoch, ObjectId, Seq, StoreName, Timestamp};
use deedbox_record::{
    Address, BlobReader, BlobSealer, ChangedObject, DatasetKey, Entry, Granularity, Keyring, Kind, Record, Replica,
    open, open_blob, open_in_place, seal_blob, seal_into, sealed_length, state_root,
};
use deedbox_testkit::rng::SeededRng;
use rand_core::Rng as _;

const PAYLOAD: [u8; 64] = [7; 64];
/// 64 bytes with their marker, padded.
const BODY: usize = 72;

/// The primitives of one seal or open, called one after another.
struct Primitives {
    dataset_key: SecretBytes<32>,
}

impl Primitives {
    fn okm(&self) -> (SecretBytes<32>, [u8; 76]) {
        let object_key = kdf::derive(&self.dataset_key, label::OBJECT, &[black_box(&[3; 16])]);
        let mut okm = [0; 76];
        // salt, context: 24 and 74 bytes behind the label.
        let info: [&[u8]; 2] = [label::CHUNKED.as_bytes(), black_box(&[1; 98])];
        kdf::expand(object_key.expose(), &info, &mut okm).unwrap();
        (object_key, okm)
    }

    fn seal(&self, rng: &mut SeededRng, body: &mut [u8; BODY]) -> [u8; 16] {
        let (object_key, okm) = self.okm();
        let mut random = [0; 32];
        rng.fill_bytes(&mut random);
        black_box(kdf::derive(&object_key, label::SALT, &[&random, &sha256(black_box(&PAYLOAD))]));
        Cipher::new(okm[..32].try_into().unwrap()).seal_in_place(okm[32..44].try_into().unwrap(), &[], body).unwrap()
    }

    fn open(&self, body: &mut [u8; BODY], tag: &[u8; 16]) {
        let (_, okm) = self.okm();
        let cipher = Cipher::new(okm[..32].try_into().unwrap());
        cipher.open_in_place(okm[32..44].try_into().unwrap(), &[], body, tag).unwrap();
    }
}

fn small_record(criterion: &mut Criterion) {
    let key = DatasetKey::generate(Epoch::FIRST, &mut SeededRng::new(1));
    let at = Address {
        store: StoreName::from_bytes([1; 16]),
        dataset: DatasetId::from_bytes([2; 16]),
        object: ObjectId::from_bytes([3; 16]),
        seq: Seq::FIRST,
    };
    let mut rng = SeededRng::new(2);
    let mut out = Vec::with_capacity(sealed_length(Kind::Record, PAYLOAD.len()).unwrap());
    let mut seal = || {
        out.clear();
        let key = key.object_key(black_box(&at.object));
        seal_into(&key, &at, Kind::Record, black_box(&PAYLOAD), &mut rng, &mut out).unwrap();
        out.len()
    };
    assert_eq!(seal(), 64 + BODY + 16);
    let primitives = Primitives { dataset_key: SecretBytes::from_bytes([5; 32]) };
    let mut bare_rng = SeededRng::new(2);
    let mut bare_seal = || primitives.seal(&mut bare_rng, &mut [0; BODY]);

    let mut group = criterion.benchmark_group("seal 64");
    group.bench_function("deedbox-record", |bencher| bencher.iter(&mut seal));
    group.bench_function("primitives", |bencher| bencher.iter(&mut bare_seal));
    group.finish();

    let object = out.clone();
    let mut buffer = out;
    let mut open = || {
        buffer.copy_from_slice(black_box(&object));
        let key = key.object_key(black_box(&at.object));
        open_in_place(&key, &at, Kind::Record, &mut buffer).unwrap().len()
    };
    assert_eq!(open(), PAYLOAD.len());
    let (_, okm) = primitives.okm();
    let mut sealed = [0; BODY];
    let cipher = Cipher::new(okm[..32].try_into().unwrap());
    let tag = cipher.seal_in_place(okm[32..44].try_into().unwrap(), &[], &mut sealed).unwrap();
    let mut bare_open = || primitives.open(&mut black_box(sealed), &tag);
    bare_open();

    let mut group = criterion.benchmark_group("open 64");
    group.bench_function("deedbox-record", |bencher| bencher.iter(&mut open));
    group.bench_function("primitives", |bencher| bencher.iter(&mut bare_open));
    group.finish();
}

/// A box's dataset as a client takes it from a host: head verified, root computed, every record opened; against the openings
/// and the root alone.
fn whole_dataset(criterion: &mut Criterion) {
    let mut rng = SeededRng::new(3);
    let (store, id) = (StoreName::from_bytes([1; 16]), DatasetId::from_bytes([2; 16]));
    let mut keyring = Keyring::generate(&mut rng);
    let dataset = keyring.add_dataset(store, id, "papers", Granularity::Field, &mut rng).unwrap();
    let empty = Replica::create(store, id);
    let mut draft = empty.draft();
    for n in 0..900_u32 {
        let mut value = Writer::new();
        value.text("a value of some twenty bytes");
        let value = ItemBuf::parse(value.as_slice(), &Limits::new(64)).unwrap();
        let record = Record::new("json", 1, &format!("field.{n}"), value).unwrap();
        draft.put(dataset.name_key().object_id(record.name()), &record).unwrap();
    }
    let part = draft.sign(dataset.keys(), Timestamp::from_secs(1_800_000_000), &mut rng).unwrap();
    let rows: Vec<ChangedObject<'_>> = part
        .puts()
        .iter()
        .map(|put| {
            let (entry, bytes) = (put.entry(), put.bytes());
            ChangedObject::Put { object: *entry.object(), seq: entry.seq(), kind: entry.kind(), bytes }
        })
        .collect();
    let mut ours = || {
        let mut replica = Replica::new(store, id);
        assert!(replica.resync(&[part.head_bytes()], &rows, dataset.keys()).is_ok());
        for put in part.puts() {
            black_box(replica.open(put.entry().object(), put.bytes(), dataset.keys()).unwrap());
        }
    };
    let key = dataset.keys().key(Epoch::FIRST).unwrap();
    let entries: Vec<Entry> = part.puts().iter().map(|put| *put.entry()).collect();
    let mut parts = || {
        for put in part.puts() {
            let (object, seq) = (*put.entry().object(), put.entry().seq());
            let at = Address { store, dataset: id, object, seq };
            black_box(open(&key.object_key(&object), &at, Kind::Record, put.bytes()).unwrap());
        }
        assert_eq!(state_root(&entries), *part.head().root());
    };
    let mut group = criterion.benchmark_group("dataset of 900");
    group.bench_function("verified and opened", |bencher| bencher.iter(&mut ours));
    group.bench_function("opened", |bencher| bencher.iter(&mut parts));
    group.finish();
}

fn blob(criterion: &mut Criterion) {
    let mut rng = SeededRng::new(4);
    let (store, dataset) = (StoreName::generate(&mut rng), DatasetId::generate(&mut rng));
    let mut content = vec![0; 1 << 20];
    rng.fill_bytes(&mut content);
    let (object, reference) = seal_blob(&store, &dataset, &content, None, &mut rng).unwrap();
    let mut reader = BlobReader::open(&store, &dataset, &reference, object.as_slice()).unwrap();
    let (mut out, mut written) = (vec![0; 1 << 20], Vec::with_capacity(object.len()));
    assert!(reader.read_at(0, &mut out) == Ok(1 << 20) && out == content);
    let cipher = Cipher::new(&[7; 32]);
    let mut buffer = content.clone();

    let mut group = criterion.benchmark_group("blob of 1 MiB");
    group.bench_function("seal", |bencher| {
        bencher.iter(|| seal_blob(&store, &dataset, black_box(&content), None, &mut rng).unwrap());
    });
    group.bench_function("open", |bencher| {
        bencher.iter(|| open_blob(&store, &dataset, &reference, black_box(&object)).unwrap());
    });
    group.bench_function("read_at", |bencher| bencher.iter(|| reader.read_at(0, black_box(&mut out)).unwrap()));
    group.bench_function("copy_to", |bencher| bencher.iter(|| reader.copy_to(&mut std::io::sink()).unwrap()));
    let mut rng = SeededRng::new(5);
    group.bench_function("Write", |bencher| {
        bencher.iter(|| {
            written.clear();
            let mut sealer = BlobSealer::start(&store, &dataset, &mut rng, &mut written).unwrap();
            content.chunks(64 << 10).for_each(|piece| sealer.write_all(black_box(piece)).unwrap());
            sealer.finish(None).unwrap().0
        });
    });
    group.bench_function("AEAD", |bencher| {
        bencher.iter(|| {
            for chunk in buffer.chunks_mut(16_384) {
                black_box(cipher.seal_in_place(&[0; 12], &[], black_box(chunk)).unwrap());
            }
        });
    });
    group.bench_function("SHA-256", |bencher| bencher.iter(|| sha256(black_box(&content))));
    group.finish();
}

criterion_group!(benches, small_record, whole_dataset, blob);
criterion_main!(benches);
