//! Credentials against the signatures that they can't do without, over the same bytes; growth; batches.
//!
//! Verifying is compared with two strict verifications of the same messages, the holder's key read from its bytes, because it
//! arrives with them. The lines that end in `200 bytes` compare with signatures of short messages by keys at hand instead: what
//! hashing the larger ones and reading the key takes then counts as ours.

use std::hint::black_box;

use deedbox_cbor::{Limits, Order, read};
use deedbox_cose::{LocalSigner, Sign1, Sign1Rules, Signer as _, VerifyKey};
use deedbox_credential::{
    AcceptPolicy, Audience, BatchCopy, Challenge, ClaimPath, ClaimSet, CredentialTemplate, HeldCredential, Issuer,
    Nonce, PreparedCredential, Segment, Selection, StatusPolicy, TrustStore, Vct, VctPolicy, Verifier,
};
use deedbox_crypto::secret::SecretBytes;
use deedbox_model::Timestamp;
use deedbox_testkit::rng::SeededRng;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

use crate::{Claims, Goal};

const ISS: &str = "https://issuer.example";
const AUD: &str = "https://verifier.example";
const NONCE: [u8; 32] = [7; 32];
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const LICENCE: Vct = Vct::text("https://vct.example/licence");

pub(crate) fn measure(claims: &mut Claims) {
    // Every step of the set-up is one that must succeed; a `None` would show as missing lines.
    let measured = verify(claims).and_then(|()| write(claims));
    assert!(measured.is_some(), "the credentials of the claims are sound");
}

/// A credential of `count` claims, all of them redactable, and a presentation that shows them all.
struct Case {
    issuer: LocalSigner,
    holder: LocalSigner,
    trust: TrustStore,
    held: HeldCredential,
    selection: Selection,
    presented: Vec<u8>,
}

fn signer(seed: u8) -> LocalSigner {
    LocalSigner::from_seed(&SecretBytes::from_bytes([seed; 32]))
}

impl Case {
    fn new(count: i64) -> Option<Self> {
        let (issuer, holder) = (signer(1), signer(2));
        let mut trust = TrustStore::new();
        trust.pin_issuer(ISS, issuer.public().clone());
        let (template, mut rng) = (CredentialTemplate::new(LICENCE, 86_400), SeededRng::new(1));
        let issued =
            Issuer::new(ISS, &issuer).issue(&template, claims_of(count)?, holder.public(), None, NOW, &mut rng).ok()?;
        let policy = AcceptPolicy::new(holder.public().clone());
        let held = HeldCredential::accept(issued.as_bytes(), &trust, &policy, NOW).ok()?;
        let paths: Vec<_> = (0..count).map(|key| ClaimPath::new(vec![Segment::Int(500 + key)])).collect();
        let selection = held.select(&paths).ok()?;
        let audience = Audience::parse(AUD).ok()?;
        let presented = held.present(&selection, &audience, &nonce()?, &holder, NOW).ok()?;
        Some(Self { issuer, holder, trust, held, selection, presented })
    }

    fn verifier(&self) -> Option<Verifier<'_>> {
        let status = StatusPolicy::ShortLived { max_secs: 1 << 40 };
        Some(Verifier::new(&self.trust, Audience::parse(AUD).ok()?, VctPolicy::one(LICENCE), status))
    }

    /// How many bytes of claims come out.
    fn verify(&self, verifier: &Verifier<'_>) -> Option<usize> {
        let challenge = Challenge::try_new(&NONCE, 300).ok()?;
        let accepted = verifier.verify(black_box(&self.presented), challenge, NOW).ok()?.accept_unlisted().ok()?;
        Some(accepted.claims().as_bytes().len())
    }

    /// The two messages with their signatures and keys, as they stand in the presentation.
    fn signatures(&self) -> Option<[Bare; 2]> {
        let binding = Sign1::parse(&self.presented, &Sign1Rules::STRICT).ok()?;
        let token = binding.peek().protected().get(13)?.bytes();
        let token = Sign1::parse(token, &Sign1Rules::STRICT).ok()?;
        Some([Bare::new(token.peek(), self.issuer.public())?, Bare::new(binding.peek(), self.holder.public())?])
    }
}

/// One signature without anything around it.
struct Bare {
    message: Vec<u8>,
    signature: Signature,
    key: VerifyingKey,
}

impl Bare {
    fn new(signed: &Sign1<'_>, key: &VerifyKey) -> Option<Self> {
        Some(Self {
            message: signed.to_be_signed(&[]),
            signature: Signature::from_slice(signed.signature()).ok()?,
            key: VerifyingKey::from_bytes(key.as_ed25519()?.as_bytes()).ok()?,
        })
    }

    fn verify(&self) {
        assert!(self.key.verify_strict(black_box(&self.message), &self.signature).is_ok());
    }
}

fn nonce() -> Option<Nonce> {
    Nonce::try_new(&NONCE).ok()
}

fn claims_of(count: i64) -> Option<ClaimSet> {
    (0..count).fold(ClaimSet::builder(), |set, key| set.redactable(500 + key, "value 000000")).build().ok()
}

fn verify(claims: &mut Claims) -> Option<()> {
    let key = SigningKey::from_bytes(&[3; 32]);
    let message = vec![0xa5; 200];
    let short = Bare { signature: key.sign(&message), key: VerifyingKey::from(&key), message };
    for (count, goal, short_goal) in [(20, 1.15, 1.3), (100, 1.6, 1.75), (900, 5.5, 6.0)] {
        let case = Case::new(count)?;
        let verifier = case.verifier()?;
        let [token, binding] = case.signatures()?;
        assert_eq!(case.verify(&verifier)?, case.selection.revealed().as_bytes().len());
        let ours = || assert!(case.verify(&verifier).is_some());
        claims.claim(&format!("credential: verify {count} / its two strict"), Goal::AtMost(goal), ours, || {
            token.verify();
            let key = VerifyingKey::from_bytes(black_box(binding.key.as_bytes()));
            let verified = key.and_then(|key| key.verify_strict(black_box(&binding.message), &binding.signature));
            assert!(verified.is_ok());
        });
        claims.claim(&format!("credential: verify {count} / two, 200 bytes"), Goal::AtMost(short_goal), ours, || {
            short.verify();
            short.verify();
        });
    }
    let (small, large) = (Case::new(300)?, Case::new(900)?);
    let (with_small, with_large) = (small.verifier()?, large.verifier()?);
    claims.claim(
        "credential: verify 900 / verify 300",
        Goal::AtMost(3.3),
        || assert!(large.verify(&with_large).is_some()),
        || assert!(small.verify(&with_small).is_some()),
    );
    Some(())
}

fn write(claims: &mut Claims) -> Option<()> {
    let case = Case::new(20)?;
    let template = CredentialTemplate::new(LICENCE, 86_400);
    let issuer = Issuer::new(ISS, &case.issuer);
    let mut rng = SeededRng::new(2);
    // What is signed has this length whatever the salts are.
    let prepared = PreparedCredential::prepare(
        ISS,
        case.issuer.public(),
        &template,
        claims_of(20)?,
        case.holder.public(),
        None,
        NOW,
        &mut rng,
    );
    let message = prepared.ok()?.to_be_signed().to_vec();
    let key = SigningKey::from_bytes(&[1; 32]);
    let bare = |message: &[u8]| {
        black_box(key.sign(black_box(message)));
    };
    let sign = || bare(&message);
    let mut issue = || {
        let issued = issuer.issue(&template, claims_of(20)?, case.holder.public(), None, NOW, &mut rng);
        issued.ok().map(|issued| issued.as_bytes().len())
    };
    assert_eq!(issue()?, case.held.as_bytes().len());
    claims.claim(
        "credential: build and issue 20 / its signature",
        Goal::AtMost(1.5),
        || assert!(issue().is_some()),
        sign,
    );

    let (audience, nonce) = (Audience::parse(AUD).ok()?, nonce()?);
    let [_, binding] = case.signatures()?;
    let present = || case.held.present(&case.selection, &audience, &nonce, &case.holder, NOW).ok();
    assert_eq!(present()?, case.presented);
    claims.claim(
        "credential: present 20 / its signature",
        Goal::AtMost(1.5),
        || assert!(present().is_some()),
        || bare(&binding.message),
    );

    let mut rng = SeededRng::new(3);
    let copies: Vec<BatchCopy> =
        (0..50).map(|_| BatchCopy::new(LocalSigner::generate(&mut rng).public().clone())).collect();
    let mut batch = || issuer.issue_batch(&template, claims_of(20)?, &copies, NOW, &mut rng).ok();
    assert_eq!(batch()?.len(), 50);
    claims.claim(
        "credential: batch of 50 x 20 / 50 signatures",
        Goal::AtMost(1.5),
        || assert!(batch().is_some()),
        || (0..50).for_each(|_| sign()),
    );

    let token = case.held.as_bytes();
    let scan = || read(black_box(token), Order::Any, &Limits::new(1 << 18)).is_ok();
    // ciborium's reader takes the token whole, without a look at what its byte strings hold; so does ours here.
    let theirs = || ciborium::from_reader::<ciborium::Value, _>(black_box(token)).is_ok();
    assert!(scan() && theirs());
    claims.claim(
        "credential: strict scan of a token / ciborium",
        Goal::AtMost(0.5),
        || assert!(scan()),
        || assert!(theirs()),
    );
    Some(())
}
