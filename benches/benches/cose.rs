//! Verifying a COSE_Sign1 against a bare Ed25519 verification of the same bytes: what reading and checking the object
//! adds. The claim is in `examples/ratios`.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use deedbox_cose::{LocalSigner, Sign1, Sign1Rules, Signer as _, sign1};
use deedbox_testkit::rng::SeededRng;
use ed25519_dalek::{Signature, VerifyingKey};

const LABEL: &[u8] = b"deedbox/1 bench\0";

fn sign1_verify(criterion: &mut Criterion) {
    for len in [64, 1024] {
        let signer = LocalSigner::generate(&mut SeededRng::new(1));
        let key = signer.public();
        let payload = vec![7; len];
        let bytes = sign1::document(&signer, LABEL, &payload).unwrap();
        let read = Sign1::parse(&bytes, &Sign1Rules::STRICT).unwrap();
        let to_be_signed = read.peek().to_be_signed(LABEL);
        let signature = Signature::from_slice(read.peek().signature()).unwrap();
        let bare = VerifyingKey::from_bytes(key.as_ed25519().unwrap().as_bytes()).unwrap();

        let cose = || sign1::open_document(black_box(&bytes), black_box(key), LABEL).map(<[u8]>::len);
        let dalek = || bare.verify_strict(black_box(&to_be_signed), black_box(&signature));
        // Both accept the same and refuse the same, before anything is timed.
        assert_eq!(cose(), Ok(len));
        assert!(dalek().is_ok());
        assert!(sign1::open_document(&bytes, key, b"other\0").is_err());
        assert!(bare.verify_strict(&to_be_signed[1..], &signature).is_err());

        let mut group = criterion.benchmark_group(format!("sign1 verify {len}"));
        group.bench_function("deedbox-cose", |bencher| bencher.iter(cose));
        group.bench_function("ed25519-dalek", |bencher| bencher.iter(dalek));
        group.finish();
    }
}

criterion_group!(benches, sign1_verify);
criterion_main!(benches);
