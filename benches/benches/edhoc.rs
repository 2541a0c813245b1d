//! EDHOC: both sides of a handshake in each suite, and a message_1 that is refused. The ratios to the primitives are claims of
//! `examples/ratios`.
#![expect(clippy::unwrap_used, reason = "a bench")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use deedbox_cbor::Writer;
use deedbox_cose::LocalSigner;
use deedbox_crypto::{kex, secret::SecretBytes, sign::SigningKey};
use deedbox_edhoc::{ConnectionId, Credential, Form, Initiator, Profile, Responder, Session};
use deedbox_testkit::rng::SeededRng;

fn side(seed: u8) -> (Credential, LocalSigner) {
    let seed = SecretBytes::from_bytes([seed; 32]);
    let public = SigningKey::from_seed(&seed).public();
    let mut item = Writer::new();
    item.bytes(public.as_bytes());
    (Credential::with_key(item.as_slice(), public).unwrap(), LocalSigner::from_seed(&seed))
}

fn handshake(profile: &Profile, i: &(Credential, LocalSigner), r: &(Credential, LocalSigner)) -> (Session, Session) {
    let mut rng = SeededRng::new(1);
    let c = |byte| ConnectionId::new(&[byte; 8]).unwrap();
    let (initiator, message) = Initiator::new(profile, None).unwrap().message_1(c(1), &[], &mut rng).unwrap();
    let got = Responder::new(profile).read_message_1(&message).unwrap();
    let (responder, message) = got.message_2(c(2), &r.0, Form::Kid, &[], &r.1, &mut rng).unwrap();
    let initiator = initiator.read_message_2(&message).unwrap().authenticate(&r.0, &i.0).unwrap();
    let (initiator, message) = initiator.message_3(Form::Kid, &[], &i.1).unwrap();
    let responder = responder.read_message_3(&message).unwrap().authenticate(&i.0, &r.0).unwrap();
    let (theirs, message) = responder.message_4(&[]).unwrap();
    (initiator.read_message_4(&message).unwrap().0, theirs)
}

fn handshakes(criterion: &mut Criterion) {
    let (i, r) = (side(1), side(2));
    let mut group = criterion.benchmark_group("edhoc both sides");
    for suite in [4, -21] {
        let profile = Profile::production().with_suites(&[suite]).unwrap();
        group.bench_function(format!("suite {suite}"), |bencher| bencher.iter(|| handshake(&profile, &i, &r)));
    }
    group.finish();
}

fn refused(criterion: &mut Criterion) {
    let profile = Profile::production().with_suites(&[4]).unwrap();
    let mut message = vec![0, 4, 0x58, 32];
    message.extend([9; 32]);
    message.extend([0x0d, 0x26]);
    assert!(Responder::new(&profile).read_message_1(&message).is_err());
    let secret = kex::SecretKey::from_bytes(&SecretBytes::from_bytes([3; 32]));
    let peer = kex::SecretKey::from_bytes(&SecretBytes::from_bytes([4; 32])).public();
    let mut group = criterion.benchmark_group("edhoc message_1");
    group.bench_function("refused", |bencher| {
        bencher.iter(|| Responder::new(&profile).read_message_1(black_box(&message)).is_err());
    });
    group.bench_function("one X25519", |bencher| bencher.iter(|| secret.agree(black_box(&peer))));
    group.finish();
}

criterion_group!(benches, handshakes, refused);
criterion_main!(benches);
