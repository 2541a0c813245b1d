//! `cargo run --release` in this folder: deedbox-credential beside the crates `sd-cwt` and `sd-jwt-rs`.
//!
//! The same twenty claims, all redactable and all shown, Ed25519 for issuer and holder, with key binding. Each is checked to
//! give the claims back before it is timed; what it takes is printed as a multiple of ours, in paired rounds. `sd-cwt` has no
//! key binding of its own, so here it is put together with `cose2`, which it is made for. Then what each reads of the other.
//! Exit status 1 when a rival is ahead, or a reading is not as expected.

use std::{hint::black_box, process::ExitCode, time::Instant};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use cbor2::Value;
use cose2::{Error, Label, Sign1Message};
use deedbox_cose::{LocalSigner, Signer as _};
use deedbox_credential::{
    AcceptPolicy, Audience, Challenge, ClaimPath, ClaimSet, CredentialTemplate, HeldCredential, Issuer, Nonce, Segment,
    StatusPolicy, TrustStore, Vct, VctPolicy, Verifier,
};
use deedbox_crypto::secret::SecretBytes;
use deedbox_model::Timestamp;
use deedbox_testkit::rng::SeededRng;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use jsonwebtoken::{DecodingKey, EncodingKey, jwk::Jwk};
use sd_cwt::{
    RedactionHasher as _, RestoreMode, SdCwtValidationOptions, Sha256RedactionHasher, TO_BE_REDACTED_TAG,
    issue_from_preissuance, set_disclosures, set_kb_cwt_typ, set_sd_alg, set_sd_cwt_typ,
    verify_validate_and_restore_sd_cwt,
};
use sd_jwt_rs::{
    ClaimsForSelectiveDisclosureStrategy, SDJWTHolder, SDJWTIssuer, SDJWTSerializationFormat, SDJWTVerifier,
};
use serde_json::json;

const ISS: &str = "https://issuer.example";
const AUD: &str = "https://verifier.example";
const NONCE: [u8; 32] = [7; 32];
const NOW: u64 = 1_800_000_000;
const COUNT: i64 = 20;
const VALUE: &str = "value 000000";

/// A signer and a verifier for both sides.
struct Keys {
    issuer: [u8; 32],
    holder: [u8; 32],
}

const KEYS: Keys = Keys { issuer: [1; 32], holder: [2; 32] };

fn local(seed: [u8; 32]) -> LocalSigner {
    LocalSigner::from_seed(&SecretBytes::from_bytes(seed))
}

struct Ours {
    issuer: LocalSigner,
    holder: LocalSigner,
    trust: TrustStore,
    held: HeldCredential,
    presented: Vec<u8>,
}

impl Ours {
    fn new() -> Self {
        let (issuer, holder) = (local(KEYS.issuer), local(KEYS.holder));
        let mut trust = TrustStore::new();
        trust.pin_issuer(ISS, issuer.public().clone());
        let issued = Self::issue(&issuer, &holder, &mut SeededRng::new(1));
        let held = Self::accept(&issued, &trust, &holder).expect("accepted");
        let mut ours = Self { issuer, holder, trust, held, presented: Vec::new() };
        ours.presented = ours.present();
        ours
    }

    fn issue(issuer: &LocalSigner, holder: &LocalSigner, rng: &mut SeededRng) -> Vec<u8> {
        let set = (0..COUNT).fold(ClaimSet::builder(), |set, key| set.redactable(500 + key, VALUE));
        let template = CredentialTemplate::new(Vct::text("licence"), 86_400);
        let now = Timestamp::from_secs(NOW);
        let set = set.build().expect("claims");
        Issuer::new(ISS, issuer).issue(&template, set, holder.public(), None, now, rng).expect("issued").into_vec()
    }

    fn accept(bytes: &[u8], trust: &TrustStore, holder: &LocalSigner) -> Result<HeldCredential, String> {
        let policy = AcceptPolicy::new(holder.public().clone()).allow_unsorted();
        HeldCredential::accept(bytes, trust, &policy, Timestamp::from_secs(NOW)).map_err(|error| error.code().into())
    }

    /// Selects all and presents it, as the rivals do in one call.
    fn present(&self) -> Vec<u8> {
        let paths: Vec<_> = (0..COUNT).map(|key| ClaimPath::new(vec![Segment::Int(500 + key)])).collect();
        let selection = self.held.select(&paths).expect("selected");
        let (audience, nonce) = (Audience::parse(AUD).expect("name"), Nonce::try_new(&NONCE).expect("nonce"));
        self.held.present(&selection, &audience, &nonce, &self.holder, Timestamp::from_secs(NOW)).expect("presented")
    }

    fn verify(&self, kbt: &[u8]) -> Result<usize, String> {
        let status = StatusPolicy::ShortLived { max_secs: 1 << 40 };
        let verifier =
            Verifier::new(&self.trust, Audience::parse(AUD).expect("name"), VctPolicy::any_or_none(), status);
        let challenge = Challenge::try_new(&NONCE, 300).expect("nonce");
        let shown =
            verifier.verify(kbt, challenge, Timestamp::from_secs(NOW)).map_err(|error| error.code().to_owned())?;
        let accepted = shown.accept_unlisted().map_err(|error| error.code().to_owned())?;
        let claims = accepted.claims();
        let good = |key: &i64| {
            claims.at(&ClaimPath::new(vec![Segment::Int(500 + key)])).and_then(|c| c.as_text()) == Ok(VALUE)
        };
        Ok((0..COUNT).filter(good).count())
    }
}

/// Ed25519 for `cose2`.
struct Ed(SigningKey);

impl cose2::Signer for Ed {
    fn alg(&self) -> Option<Label> {
        Some(cose2::iana::AlgorithmEd25519.into())
    }
    fn sign(&self, data: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(self.0.sign(data).to_bytes().to_vec())
    }
}

struct EdPublic(VerifyingKey);

impl cose2::Verifier for EdPublic {
    fn alg(&self) -> Option<Label> {
        Some(cose2::iana::AlgorithmEd25519.into())
    }
    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), Error> {
        let signature = Signature::from_slice(signature).map_err(|_| Error::verify("length"))?;
        self.0.verify_strict(data, &signature).map_err(|_| Error::verify("signature"))
    }
}

fn ed(seed: [u8; 32]) -> (Ed, EdPublic) {
    let key = SigningKey::from_bytes(&seed);
    let public = key.verifying_key();
    (Ed(key), EdPublic(public))
}

fn sd_cwt_issue(salt: &mut u64) -> Vec<u8> {
    let (issuer, _) = ed(KEYS.issuer);
    let (_, holder) = ed(KEYS.holder);
    let key = Value::Map(vec![
        (Value::from(1), Value::from(1)),
        (Value::from(-1), Value::from(6)),
        (Value::from(-2), Value::Bytes(holder.0.to_bytes().to_vec())),
    ]);
    let mut claims = vec![
        (Value::from(1), Value::from(ISS)),
        (Value::from(2), Value::from("somebody")),
        (Value::from(4), Value::from(NOW as i64 + 86_400)),
        (Value::from(5), Value::from(NOW as i64)),
        (Value::from(6), Value::from(NOW as i64)),
        (Value::from(8), Value::Map(vec![(Value::from(1), key)])),
        (Value::from(11), Value::from("licence")),
    ];
    claims.extend(
        (0..COUNT).map(|key| (Value::Tag(TO_BE_REDACTED_TAG, Box::new(Value::from(500 + key))), Value::from(VALUE))),
    );
    let mut salts = || {
        *salt += 1;
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&salt.to_be_bytes());
        bytes
    };
    let issued = issue_from_preissuance(Value::Map(claims), &mut salts, &Sha256RedactionHasher).expect("issued");
    let mut message = Sign1Message::new(Some(cbor2::to_canonical_vec(&issued.value).expect("cbor")));
    set_sd_cwt_typ(&mut message.protected);
    set_sd_alg(&mut message.protected, Sha256RedactionHasher.algorithm());
    set_disclosures(&mut message.unprotected, issued.disclosures.as_slice());
    message.sign_and_encode(&issuer, None).expect("signed")
}

fn sd_cwt_present(token: &[u8]) -> Vec<u8> {
    let (holder, _) = ed(KEYS.holder);
    let token: Value = cbor2::from_slice(token).expect("cbor");
    let payload = Value::Map(vec![
        (Value::from(3), Value::from(AUD)),
        (Value::from(6), Value::from(NOW as i64)),
        (Value::from(39), Value::Bytes(NONCE.to_vec())),
    ]);
    let mut message = Sign1Message::new(Some(cbor2::to_canonical_vec(&payload).expect("cbor")));
    set_kb_cwt_typ(&mut message.protected);
    message.protected.insert(sd_cwt::HEADER_KCWT, token);
    message.sign_and_encode(&holder, None).expect("signed")
}

fn sd_cwt_verify(kbt: &[u8]) -> Result<usize, Error> {
    let ((_, issuer), (_, holder)) = (ed(KEYS.issuer), ed(KEYS.holder));
    let binding = Sign1Message::verify_and_decode(&holder, kbt, None)?;
    let token = binding.protected.get(sd_cwt::HEADER_KCWT).ok_or_else(|| Error::verify("no kcwt"))?;
    let token = cbor2::to_canonical_vec(token).map_err(|_| Error::verify("cbor"))?;
    let options = SdCwtValidationOptions::default();
    let (_, report) = verify_validate_and_restore_sd_cwt(&issuer, &token, None, RestoreMode::Verifier, options)?;
    Ok(report.disclosed)
}

fn jwt_encoding(seed: [u8; 32]) -> EncodingKey {
    // PKCS #8 of an Ed25519 seed (RFC 8410 §7).
    let prefix = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    EncodingKey::from_ed_der(&[&prefix[..], &seed].concat())
}

fn jwt_issue() -> String {
    let public = |seed| BASE64_URL_SAFE_NO_PAD.encode(SigningKey::from_bytes(&seed).verifying_key().to_bytes());
    let jwk: Jwk =
        serde_json::from_value(json!({"kty": "OKP", "crv": "Ed25519", "x": public(KEYS.holder)})).expect("jwk");
    let mut claims =
        json!({"iss": ISS, "exp": NOW + 86_400, "nbf": 1_700_000_000, "iat": 1_700_000_000, "vct": "licence"});
    let mut names = Vec::new();
    for key in 0..COUNT {
        let name = format!("claim{}", 500 + key);
        claims[&name] = VALUE.into();
        names.push(format!("$.{name}"));
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let strategy = ClaimsForSelectiveDisclosureStrategy::Custom(names);
    SDJWTIssuer::new(jwt_encoding(KEYS.issuer), Some("EdDSA".into()))
        .issue_sd_jwt(claims, strategy, Some(jwk), false, SDJWTSerializationFormat::Compact)
        .expect("issued")
}

fn jwt_present(token: &str) -> String {
    let mut holder = SDJWTHolder::new(token.to_owned(), SDJWTSerializationFormat::Compact).expect("held");
    let shown = (0..COUNT).map(|key| (format!("claim{}", 500 + key), true.into())).collect();
    let (nonce, aud) = (Some("07".repeat(32)), Some(AUD.to_owned()));
    holder
        .create_presentation(shown, nonce, aud, Some(jwt_encoding(KEYS.holder)), Some("EdDSA".into()))
        .expect("presented")
}

fn jwt_verify(presentation: &str) -> usize {
    let public = SigningKey::from_bytes(&KEYS.issuer).verifying_key().to_bytes();
    let resolve = Box::new(move |_: &str, _: &_| DecodingKey::from_ed_der(&public));
    let (nonce, aud) = (Some("07".repeat(32)), Some(AUD.to_owned()));
    let format = SDJWTSerializationFormat::Compact;
    let verified = SDJWTVerifier::new(presentation.to_owned(), resolve, aud, nonce, format).expect("verified");
    let claims = verified.verified_claims;
    (0..COUNT).filter(|key| claims[&format!("claim{}", 500 + key)] == VALUE).count()
}

/// The median of paired rounds: theirs divided by ours.
fn ratio(mut theirs: impl FnMut(), mut ours: impl FnMut()) -> f64 {
    let time = |work: &mut dyn FnMut()| {
        let started = Instant::now();
        (0..8).for_each(|_| work());
        started.elapsed().as_secs_f64()
    };
    let mut ratios: Vec<f64> = (0..101).map(|_| time(&mut theirs) / time(&mut ours)).collect();
    ratios.sort_by(f64::total_cmp);
    ratios[50]
}

fn main() -> ExitCode {
    let ours = Ours::new();
    let mut salt = 0;
    let (cwt, jwt) = (sd_cwt_issue(&mut salt), jwt_issue());
    let (cwt_shown, jwt_shown) = (sd_cwt_present(&cwt), jwt_present(&jwt));
    let count = usize::try_from(COUNT).expect("small");
    assert_eq!(ours.verify(&ours.presented), Ok(count));
    assert_eq!(sd_cwt_verify(&cwt_shown).expect("verified"), count);
    assert_eq!(jwt_verify(&jwt_shown), count);

    let mut good = true;
    println!("{COUNT} claims, Ed25519, with key binding: how much longer each takes than deedbox-credential");
    println!("{:<10} {:>13} {:>13} {:>13} {:>13}", "", "issue", "present", "verify", "bytes shown");
    println!("{:<10} {:>13} {:>13} {:>13} {:>13}", "deedbox", 1, 1, 1, ours.presented.len());
    let mut rng = SeededRng::new(2);
    let mut issue = || drop(black_box(Ours::issue(&ours.issuer, &ours.holder, &mut rng)));
    let present = || drop(black_box(ours.present()));
    let verify = || assert!(ours.verify(black_box(&ours.presented)).is_ok());
    let rows = [
        (
            "sd-cwt",
            ratio(|| drop(black_box(sd_cwt_issue(&mut salt))), &mut issue),
            ratio(|| drop(black_box(sd_cwt_present(&cwt))), present),
            ratio(|| assert!(sd_cwt_verify(black_box(&cwt_shown)).is_ok()), verify),
            cwt_shown.len(),
        ),
        (
            "sd-jwt-rs",
            ratio(|| drop(black_box(jwt_issue())), &mut issue),
            ratio(|| drop(black_box(jwt_present(&jwt))), present),
            ratio(|| assert_eq!(jwt_verify(black_box(&jwt_shown)), count), verify),
            jwt_shown.len(),
        ),
    ];
    for (name, issue, present, verify, bytes) in rows {
        println!("{name:<10} {issue:>13.2} {present:>13.2} {verify:>13.2} {bytes:>13}");
        good &= issue > 1.0 && present > 1.0 && verify > 1.0;
    }

    println!("what each reads of the other");
    // `sd-cwt` hashes the content of a disclosure, deedbox the byte string: read here, not there.
    let mut expect = |what: &str, got: String, want: &str| {
        println!("  {what:<52} {got}");
        good &= got == want;
    };
    let verdict = |result: Result<usize, String>| result.map_or_else(|code| code, |claims| format!("{claims} claims"));
    let accepted = Ours::accept(&cwt, &ours.trust, &ours.holder).map(|held| held.claims().as_bytes().len().min(1));
    expect("deedbox accepts a credential of sd-cwt", verdict(accepted), "1 claims");
    expect("deedbox verifies a presentation of sd-cwt", verdict(ours.verify(&cwt_shown)), "20 claims");
    let theirs = sd_cwt_verify(&ours.presented).map_err(|_| "refused: no digest of the content".to_owned());
    expect("sd-cwt verifies a presentation of deedbox", verdict(theirs), "refused: no digest of the content");
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
