//! What the typed hold on a primitive costs: sealing and opening against the same implementation called directly, and what
//! HPKE with X-Wing takes.
#![expect(clippy::unwrap_used, reason = "a bench")]

use std::hint::black_box;

use chacha20poly1305::{AeadInOut as _, ChaCha20Poly1305, KeyInit as _};
use criterion::{Criterion, criterion_group, criterion_main};
use deedbox_crypto::{aead::Cipher, kem, secret::SecretBytes};
use deedbox_testkit::rng::SeededRng;

fn aead(criterion: &mut Criterion) {
    for len in [64, 16384] {
        // Both seal, then open in place: the buffer is the plaintext again.
        let (mut one, mut other) = (vec![7; len], vec![7; len]);
        let mut ours = || {
            let cipher = Cipher::new(black_box(&[1; 32]));
            let tag = cipher.seal_in_place(&[2; 12], b"", &mut one).unwrap();
            cipher.open_in_place(&[2; 12], b"", &mut one, &tag).unwrap();
            tag
        };
        let mut bare = || -> [u8; 16] {
            let cipher = ChaCha20Poly1305::new(black_box(&[1; 32]).into());
            let nonce = [2; 12].into();
            let tag = cipher.encrypt_inout_detached(&nonce, b"", other.as_mut_slice().into()).unwrap();
            cipher.decrypt_inout_detached(&nonce, b"", other.as_mut_slice().into(), &tag).unwrap();
            tag.into()
        };
        assert_eq!(ours(), bare());
        let mut group = criterion.benchmark_group(format!("seal and open {len}"));
        group.bench_function("deedbox-crypto", |bencher| bencher.iter(&mut ours));
        group.bench_function("chacha20poly1305", |bencher| bencher.iter(&mut bare));
        group.finish();
    }
}

fn hpke(criterion: &mut Criterion) {
    let secret = kem::SecretKey::from_seed(&SecretBytes::from_bytes([3; 32])).unwrap();
    let public = secret.public();
    let mut rng = SeededRng::new(1);
    let (enc, ct) = public.seal(b"info", b"", &[7; 64], None, &mut rng).unwrap();
    assert_eq!(secret.open(&enc, b"info", b"", &ct, None).unwrap()[..], [7; 64]);
    let mut group = criterion.benchmark_group("hpke x-wing 64");
    group.bench_function("seal", |bencher| bencher.iter(|| public.seal(b"info", b"", &[7; 64], None, &mut rng)));
    group.bench_function("open", |bencher| bencher.iter(|| secret.open(&enc, b"info", b"", &ct, None)));
    group.finish();
}

criterion_group!(benches, aead, hpke);
criterion_main!(benches);
