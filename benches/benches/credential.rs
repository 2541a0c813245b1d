//! Credentials against the bare signatures that they can't do without: verifying against two strict verifications, issuing
//! and presenting against one signature. The claims about them are measured by `ratios -- credential`.
#![expect(clippy::unwrap_used, reason = "a bench")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use deedbox_cose::{LocalSigner, Signer as _};
use deedbox_credential::{
    AcceptPolicy, Audience, BatchCopy, Challenge, ClaimPath, ClaimSet, CredentialTemplate, FetchedStatusList,
    HeldCredential, Issuer, Nonce, Segment, Selection, StatusBits, StatusList, StatusListBuilder, StatusPolicy,
    StatusReference, StatusSource, TrustStore, Vct, VctPolicy, Verifier,
};
use deedbox_crypto::secret::SecretBytes;
use deedbox_model::Timestamp;
use deedbox_testkit::rng::SeededRng;
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};

const ISS: &str = "https://issuer.example";
const AUD: &str = "https://verifier.example";
const NONCE: [u8; 32] = [7; 32];
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const LICENCE: Vct = Vct::text("https://vct.example/licence");

/// A credential of `count` claims, all of them redactable, and a presentation that shows them all.
struct Case {
    issuer: LocalSigner,
    holder: LocalSigner,
    trust: TrustStore,
    held: HeldCredential,
    selection: Selection,
    presented: Vec<u8>,
}

impl Case {
    fn new(count: i64) -> Self {
        let signer = |seed| LocalSigner::from_seed(&SecretBytes::from_bytes([seed; 32]));
        let (issuer, holder) = (signer(1), signer(2));
        let mut trust = TrustStore::new();
        trust.pin_issuer(ISS, issuer.public().clone());
        let issued = issue(&issuer, &holder, count, &mut SeededRng::new(1));
        let policy = AcceptPolicy::new(holder.public().clone());
        let held = HeldCredential::accept(&issued, &trust, &policy, NOW).unwrap();
        let paths: Vec<_> = (0..count).map(|key| ClaimPath::new(vec![Segment::Int(500 + key)])).collect();
        let selection = held.select(&paths).unwrap();
        let audience = Audience::parse(AUD).unwrap();
        let presented = held.present(&selection, &audience, &nonce(), &holder, NOW).unwrap();
        Self { issuer, holder, trust, held, selection, presented }
    }

    fn verifier(&self) -> Verifier<'_> {
        let status = StatusPolicy::ShortLived { max_secs: 1 << 40 };
        Verifier::new(&self.trust, Audience::parse(AUD).unwrap(), VctPolicy::one(LICENCE), status)
    }
}

fn nonce() -> Nonce {
    Nonce::try_new(&NONCE).unwrap()
}

fn claims(count: i64) -> ClaimSet {
    let set = (0..count).fold(ClaimSet::builder(), |set, key| set.redactable(500 + key, format!("value {key:06}")));
    set.build().unwrap()
}

fn issue(issuer: &LocalSigner, holder: &LocalSigner, count: i64, rng: &mut SeededRng) -> Vec<u8> {
    let template = CredentialTemplate::new(LICENCE, 86_400);
    let issuer = Issuer::new(ISS, issuer);
    issuer.issue(&template, claims(count), holder.public(), None, NOW, rng).unwrap().into_vec()
}

fn verify(case: &Case, verifier: &Verifier<'_>) -> usize {
    let challenge = Challenge::try_new(&NONCE, 300).unwrap();
    let shown = verifier.verify(black_box(&case.presented), challenge, NOW).unwrap();
    shown.accept_unlisted().unwrap().claims().as_bytes().len()
}

fn credential(criterion: &mut Criterion) {
    let key = SigningKey::from_bytes(&[3; 32]);
    let (message, public) = ([0xa5; 200], VerifyingKey::from(&key));
    let signature = key.sign(&message);
    let two = || {
        public.verify_strict(black_box(&message), &signature).unwrap();
        public.verify_strict(black_box(&message), &signature).unwrap();
    };
    let one = || key.sign(black_box(&message));

    let mut group = criterion.benchmark_group("credential verify");
    group.bench_function("two bare verify_strict", |bencher| bencher.iter(two));
    for count in [20, 100, 300, 900] {
        let case = Case::new(count);
        let verifier = case.verifier();
        let ours = || verify(&case, &verifier);
        // What arrives is what was selected.
        assert_eq!(ours(), case.selection.revealed().as_bytes().len());
        group.bench_function(format!("{count} disclosures"), |bencher| bencher.iter(ours));
    }
    group.finish();

    let mut group = criterion.benchmark_group("credential write");
    group.bench_function("one bare signature", |bencher| bencher.iter(one));
    let case = Case::new(20);
    let (mut rng, template) = (SeededRng::new(2), CredentialTemplate::new(LICENCE, 86_400));
    let issuer = Issuer::new(ISS, &case.issuer);
    group.bench_function("issue 20", |bencher| {
        let issue = |set| issuer.issue(&template, set, case.holder.public(), None, NOW, &mut rng).unwrap();
        bencher.iter_batched(|| claims(20), issue, BatchSize::SmallInput);
    });
    let audience = Audience::parse(AUD).unwrap();
    let present = || case.held.present(&case.selection, &audience, &nonce(), &case.holder, NOW).unwrap();
    group.bench_function("present 20", |bencher| bencher.iter(present));
    let copies: Vec<BatchCopy> =
        (0..50).map(|_| BatchCopy::new(LocalSigner::generate(&mut rng).public().clone())).collect();
    group.bench_function("batch of 50 x 20", |bencher| {
        let issue = |set| issuer.issue_batch(&template, set, &copies, NOW, &mut rng).unwrap();
        bencher.iter_batched(|| claims(20), issue, BatchSize::SmallInput);
    });
    group.finish();

    status(criterion);
}

/// Reading a list of a million entries, and one entry of it.
fn status(criterion: &mut Criterion) {
    let signer = LocalSigner::from_seed(&SecretBytes::from_bytes([4; 32]));
    let mut trust = TrustStore::new();
    trust.pin_status_key(ISS, signer.public().clone());
    let reference = StatusReference::new(412, "https://issuer.example/status");
    let source = StatusSource::new(ISS, &reference);
    let mut list = StatusListBuilder::new(reference.uri(), StatusBits::One);
    (0..10_000).for_each(|n| list.set(n * 104_729 % (1 << 20), 1.into()).unwrap());
    let token = list.publish(&signer, NOW).unwrap();
    let read = || StatusList::verify(FetchedStatusList::new(black_box(&token), NOW), &source, &trust, NOW).unwrap();
    let kept = read();
    assert_eq!(kept.status(104_729), Some(1.into()));
    let mut group = criterion.benchmark_group("status list");
    group.bench_function(format!("verify a million entries, {} bytes", token.len()), |bencher| bencher.iter(read));
    group.bench_function("look up one", |bencher| bencher.iter(|| kept.status(black_box(104_729))));
    group.finish();
}

criterion_group!(benches, credential);
criterion_main!(benches);
