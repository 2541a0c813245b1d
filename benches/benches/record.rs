//! Sealing and opening a record of 64 bytes against the sum of the primitives in it: the object's key, 76 bytes of HKDF,
//! the hedged salt, the AEAD. Prints the ratios; never fails on a clock.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, reason = "a bench")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use deedbox_crypto::{aead::Cipher, hash::sha256, kdf, label, secret::SecretBytes};
use deedbox_model::{DatasetId, Epoch, ObjectId, Seq, StoreName};
use deedbox_record::{Address, DatasetKey, Kind, open_in_place, seal_into, sealed_length};
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
    println!("seal of 64 bytes / primitives: {:.3} (goal 1.25)", ratio(&mut seal, &mut bare_seal));

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
    println!("open of 64 bytes / primitives: {:.3} (goal 1.25)", ratio(&mut open, &mut bare_open));
}

/// The median ratio of paired rounds, each of which times both.
fn ratio<A, B>(ours: &mut impl FnMut() -> A, rival: &mut impl FnMut() -> B) -> f64 {
    let mut ratios: Vec<f64> = (0..201)
        .map(|_| {
            let (ours, rival) = (time(ours), time(rival));
            ours / rival
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    ratios[ratios.len() / 2]
}

#[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
fn time<T>(work: &mut impl FnMut() -> T) -> f64 {
    let start = std::time::Instant::now();
    for _ in 0..200 {
        black_box(work());
    }
    start.elapsed().as_secs_f64()
}

criterion_group!(benches, small_record);
criterion_main!(benches);
