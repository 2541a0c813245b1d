//! Credentials against the signatures that they can't do without, over the same bytes; growth; batches.
//!
//! Verifying is compared with two strict verifications of the same messages, the holder's key read from its bytes, because it
//! arrives with them. The lines that end in `200 bytes` compare with signatures of short messages by keys at hand instead: what
//! hashing the larger ones and reading the key takes then counts as ours.

use std::hint::black_box;

use deedbox_cbor::{Limits, MapWriter, Order, Writer, read};
use deedbox_cose::{LocalSigner, Sign1, Sign1Rules, Signer as _, VerifyKey, sha256, sign1};
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
    let measured = verify(claims).and_then(|()| hostile(claims)).and_then(|()| write(claims));
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

/// What is made to be costly grows with its length too: four times as much takes about four times as long.
fn hostile(claims: &mut Claims) -> Option<()> {
    let shapes = [
        ("a chain of 2,048 disclosures / 512", "Limit.Levels", chain(512)?, chain(2_048)?),
        ("6,400 digests, one twice / 1,600", "Disclosure.DuplicateDigest", digests(1_600)?, digests(6_400)?),
        ("200 KiB of deep arrays / 50 KiB", "Limit.Levels", deep(51_200)?, deep(204_800)?),
        ("32,000 unsorted keys / 8,000", "Policy.Vct", unsorted(8_000)?, unsorted(32_000)?),
    ];
    for (name, want, small, large) in shapes {
        let case = Case::new(1)?;
        let verifier = case.verifier()?;
        let refused = |kbt: &[u8]| {
            let challenge = Challenge::try_new(&NONCE, 300).ok()?;
            verifier.verify(black_box(kbt), challenge, NOW).err().map(|error| error.code())
        };
        assert_eq!((refused(&small), refused(&large)), (Some(want), Some(want)), "{name}");
        let goal = Goal::AtMost(5.0);
        let (large, small) = (|| assert!(refused(&large).is_some()), || assert!(refused(&small).is_some()));
        claims.claim(&format!("credential: {name}"), goal, large, small);
    }
    Some(())
}

/// A presentation of these digests, disclosures and one claim more, signed by issuer and holder.
fn presentation(digests: &[[u8; 32]], disclosures: &[Vec<u8>], claim: impl Fn(&mut Writer)) -> Option<Vec<u8>> {
    let (issuer, holder) = (signer(1), signer(2));
    let now = NOW.secs();
    let payload = map(|map| {
        map.int(1, |w| unit(w.text(ISS)));
        map.int(8, |w| unit(w.map(|map| unit(map.int(1, |w| holder.public().encode(w))))));
        map.int(500, claim);
        map.entry(
            |w| unit(w.simple(59)),
            |w| {
                w.array(digests.len());
                digests.iter().for_each(|digest| unit(w.bytes(digest)));
            },
        );
    });
    let shown = |map: &mut MapWriter| {
        if !disclosures.is_empty() {
            map.int(17, |w| {
                w.array(disclosures.len());
                disclosures.iter().for_each(|disclosure| unit(w.bytes(disclosure)));
            });
        }
    };
    let token = sign1::sign(&issuer, |map| unit(map.int(16, |w| unit(w.uint(293)))), shown, &payload, &[]).ok()?;
    let item = read(&token, Order::Any, &Limits::new(1 << 18)).ok()?;
    let header = |map: &mut MapWriter| unit(map.int(13, |w| unit(w.item(item))).int(16, |w| unit(w.uint(294))));
    let binding = map(|map| {
        map.int(3, |w| unit(w.text(AUD))).int(6, |w| unit(w.uint(now))).int(39, |w| unit(w.bytes(&NONCE)));
    });
    sign1::sign(&holder, header, |_| {}, &binding, &[]).ok()
}

fn null(writer: &mut Writer) {
    writer.null();
}

/// Each disclosure is the one claim of the next.
fn chain(len: usize) -> Option<Vec<u8>> {
    let mut disclosures: Vec<Vec<u8>> = Vec::new();
    let mut digest: Option<[u8; 32]> = None;
    for link in 0..u128::try_from(len).ok()? {
        let mut writer = Writer::new();
        writer.array(3).bytes(&link.to_be_bytes());
        match digest {
            None => null(&mut writer),
            Some(digest) => unit(writer.map(|map| {
                map.entry(|w| unit(w.simple(59)), |w| unit(w.array(1).bytes(&digest)));
            })),
        }
        writer.uint(600);
        let mut wrapped = Writer::new();
        wrapped.bytes(writer.as_slice());
        digest = Some(sha256(wrapped.as_slice()));
        disclosures.push(writer.into_vec());
    }
    presentation(&[digest?], &disclosures, null)
}

fn digests(len: usize) -> Option<Vec<u8>> {
    let mut digests: Vec<[u8; 32]> = (1..len).map(|at| sha256(&at.to_be_bytes())).collect();
    digests.push(*digests.first()?);
    presentation(&digests, &[], null)
}

fn deep(len: usize) -> Option<Vec<u8>> {
    presentation(&[], &[], |w| {
        w.array(len / 24);
        for _ in 0..len / 24 {
            (0..23).for_each(|_| unit(w.array(1)));
            w.uint(0);
        }
    })
}

fn unsorted(len: usize) -> Option<Vec<u8>> {
    presentation(&[], &[], |w| {
        w.sorted_map(len);
        for key in (0..len).rev() {
            w.uint(u64::try_from(key).unwrap_or(0)).uint(0);
        }
    })
}

fn map(entries: impl FnOnce(&mut MapWriter)) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.map(entries);
    writer.into_vec()
}

/// Lets a closure end in a call whose result is of no use.
fn unit<T>(_: T) {}

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
