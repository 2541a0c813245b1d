//! SD-CWT beside the crate `sd-cwt`: what it issues is verified here to the same claims, what ours issues is verified there, altered
//! tokens get one verdict, and where they don't, `docs/format/credential.md` says why.

use std::collections::BTreeMap;

use cbor2::Value;
use cose2::{Error, Label};
use deedbox_cbor::{Limits, MapWriter, Order, Writer, read};
use deedbox_cose::{LocalSigner, Signer as _, Verifier as _, VerifyKey, sha256};
use deedbox_credential::{
    AcceptPolicy, Audience, Challenge, ClaimArray, ClaimMap, ClaimSet, ClaimValue, CredentialTemplate, HeldCredential,
    Issuer, StatusPolicy, TrustStore, Vct, VctPolicy, Verifier, VerifyError,
    test_util::{claims, raw_sign1},
};
use deedbox_crypto::secret::SecretBytes;
use deedbox_model::Timestamp;
use deedbox_oracle::value::{altered, places};
use deedbox_testkit::rng::SeededRng;
use proptest::prelude::*;
use sd_cwt::{
    RestoreMode, SdCwtValidationOptions, Sha256RedactionHasher, TO_BE_DECOY_TAG, TO_BE_REDACTED_TAG,
    issue_from_preissuance, verify_validate_and_restore_sd_cwt,
};

const ISS: &str = "https://issuer.test";
const AUD: &str = "https://verifier.test";
const NONCE: [u8; 32] = [7; 32];
const NOW: u64 = 1_800_000_000;

/// Claims and which of them are redacted.
#[derive(Debug, Clone)]
enum Node {
    Array(Vec<(Node, bool)>, usize),
    Int(i64),
    Map(BTreeMap<i64, (Node, bool)>, usize),
    Tag(Box<Node>),
    Text(String),
}

fn node() -> BoxedStrategy<Node> {
    let leaf = prop_oneof![any::<i64>().prop_map(Node::Int), "[a-z]{0,9}".prop_map(Node::Text)];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let some = (inner.clone(), any::<bool>());
        prop_oneof![
            (prop::collection::vec(some.clone(), 0..4), 0..2_usize).prop_map(|(of, decoys)| Node::Array(of, decoys)),
            (prop::collection::btree_map(-20..1_i64, some, 0..4), 0..2_usize)
                .prop_map(|(of, decoys)| Node::Map(of, decoys)),
            inner.prop_map(|of| Node::Tag(Box::new(of))),
        ]
    })
    .boxed()
}

/// Entries of the claims map from 600 on, and decoys beside them.
fn plan() -> impl Strategy<Value = (BTreeMap<i64, (Node, bool)>, usize)> {
    (prop::collection::btree_map(600..640_i64, (node(), any::<bool>()), 0..5), 0..3_usize)
}

impl Node {
    /// With the tags that `sd-cwt` issues from.
    fn theirs(&self, decoy: &mut i64) -> Value {
        match self {
            Self::Int(int) => Value::from(*int),
            Self::Text(text) => Value::from(text.as_str()),
            Self::Tag(inner) => Value::Tag(1000, Box::new(inner.theirs(decoy))),
            Self::Array(elements, decoys) => {
                let mut array = Vec::new();
                for (element, redacted) in elements {
                    let element = element.theirs(decoy);
                    array.push(if *redacted { tagged(TO_BE_REDACTED_TAG, element) } else { element });
                }
                array.extend((0..*decoys).map(|_| to_be_decoy(decoy)));
                Value::Array(array)
            }
            Self::Map(entries, decoys) => Value::Map(their_entries(entries, *decoys, decoy)),
        }
    }

    fn ours(&self) -> ClaimValue {
        match self {
            Self::Int(int) => (*int).into(),
            Self::Text(text) => text.as_str().into(),
            // A value from CBOR has nothing redacted in it.
            Self::Tag(inner) => {
                let tagged = Value::Tag(1000, Box::new(inner.open()));
                ClaimValue::from_cbor(&cbor2::to_canonical_vec(&tagged).unwrap()).unwrap()
            }
            Self::Array(elements, decoys) => {
                let array = elements.iter().fold(ClaimArray::new(), |array, (element, redacted)| match redacted {
                    true => array.redactable(element.ours()),
                    false => array.element(element.ours()),
                });
                array.decoys(*decoys).into()
            }
            Self::Map(entries, decoys) => {
                let map = entries.iter().fold(ClaimMap::new(), |map, (key, (value, redacted))| match redacted {
                    true => map.redactable(*key, value.ours()),
                    false => map.claim(*key, value.ours()),
                });
                map.decoys(*decoys).into()
            }
        }
    }

    /// Without redaction.
    fn open(&self) -> Value {
        match self {
            Self::Int(int) => Value::from(*int),
            Self::Text(text) => Value::from(text.as_str()),
            Self::Tag(inner) => Value::Tag(1000, Box::new(inner.open())),
            Self::Array(elements, _) => Value::Array(elements.iter().map(|(element, _)| element.open()).collect()),
            Self::Map(entries, _) => {
                Value::Map(entries.iter().map(|(key, (value, _))| (Value::from(*key), value.open())).collect())
            }
        }
    }
}

fn tagged(tag: u64, value: Value) -> Value {
    Value::Tag(tag, Box::new(value))
}

fn to_be_decoy(decoy: &mut i64) -> Value {
    *decoy += 1;
    tagged(TO_BE_DECOY_TAG, Value::from(*decoy))
}

fn their_entries(entries: &BTreeMap<i64, (Node, bool)>, decoys: usize, decoy: &mut i64) -> Vec<(Value, Value)> {
    let mut map: Vec<(Value, Value)> = Vec::new();
    for (key, (value, redacted)) in entries {
        let key = Value::from(*key);
        map.push((if *redacted { tagged(TO_BE_REDACTED_TAG, key) } else { key }, value.theirs(decoy)));
    }
    map.extend((0..decoys).map(|_| (to_be_decoy(decoy), Value::Null)));
    map
}

fn signer(seed: u8) -> LocalSigner {
    LocalSigner::from_seed(&SecretBytes::from_bytes([seed; 32]))
}

/// A key of ours for `cose2`.
struct Theirs(VerifyKey);

impl cose2::Verifier for Theirs {
    fn alg(&self) -> Option<Label> {
        Some(cose2::iana::AlgorithmEd25519.into())
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), Error> {
        self.0.verify(data, signature).map_err(|_| Error::verify("signature"))
    }
}

fn cbor(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::new();
    write(&mut writer);
    writer.into_vec()
}

fn map(entries: impl FnOnce(&mut MapWriter)) -> Vec<u8> {
    cbor(|w| unit(w.map(entries)))
}

/// Lets a closure end in a call whose result is of no use.
fn unit<T>(_: T) {}

/// Signed by the issuer, with these disclosures.
fn token(payload: &[u8], disclosures: &[Vec<u8>]) -> Vec<u8> {
    let header = map(|map| unit(map.int(1, |w| unit(w.int(-19))).int(16, |w| unit(w.uint(293)))));
    let unprotected = map(|map| {
        if !disclosures.is_empty() {
            map.int(17, |w| {
                w.array(disclosures.len());
                disclosures.iter().for_each(|disclosure| unit(w.bytes(disclosure)));
            });
        }
    });
    raw_sign1(&signer(1), &header, &unprotected, payload)
}

fn trust() -> TrustStore {
    let mut trust = TrustStore::new();
    trust.pin_issuer(ISS, signer(1).public().clone());
    trust
}

/// Bound by the holder and verified here: the claims, or the refusal.
fn ours(token: &[u8]) -> Result<Vec<u8>, VerifyError> {
    let limits = Limits::new(1 << 20);
    let item = read(token, Order::Any, &limits).unwrap();
    let header = map(|map| {
        map.int(1, |w| unit(w.int(-19))).int(13, |w| unit(w.item(item))).int(16, |w| unit(w.uint(294)));
    });
    let payload = map(|map| {
        map.int(3, |w| unit(w.text(AUD))).int(6, |w| unit(w.uint(NOW))).int(39, |w| unit(w.bytes(&NONCE)));
    });
    let kbt = raw_sign1(&signer(2), &header, &[0xa0], &payload);
    let (trust, status) = (trust(), StatusPolicy::Required);
    let verifier = Verifier::new(&trust, Audience::parse(AUD).unwrap(), VctPolicy::any_or_none(), status);
    let shown = verifier.verify(&kbt, Challenge::try_new(&NONCE, 300).unwrap(), Timestamp::from_secs(NOW))?;
    Ok(claims(&shown).as_bytes().to_vec())
}

/// Verified there, without binding, which `sd-cwt` leaves to its user.
fn theirs(token: &[u8], mode: RestoreMode) -> Result<Vec<u8>, String> {
    let verifier = Theirs(signer(1).public().clone());
    let options = SdCwtValidationOptions::default();
    let (_, report) =
        verify_validate_and_restore_sd_cwt(&verifier, token, None, mode, options).map_err(|error| error.to_string())?;
    Ok(cbor2::to_canonical_vec(&report.value).unwrap())
}

/// What `sd-cwt` issues of a plan: payload and disclosures.
fn issued_there((entries, decoys): &(BTreeMap<i64, (Node, bool)>, usize)) -> (Vec<u8>, Vec<Vec<u8>>) {
    let x = signer(2).public().as_ed25519().unwrap().as_bytes().to_vec();
    let key = vec![(1.into(), 1.into()), (Value::from(-1), 6.into()), (Value::from(-2), Value::Bytes(x))];
    let mut claims = vec![
        (Value::from(1), Value::from(ISS)),
        (Value::from(2), Value::from("somebody")),
        (Value::from(4), Value::from(NOW as i64 + 86_400)),
        (Value::from(6), Value::from(NOW as i64)),
        (Value::from(8), Value::Map(vec![(Value::from(1), Value::Map(key))])),
    ];
    claims.extend(their_entries(entries, *decoys, &mut 0));
    let mut salt = 0_u128;
    let mut salts = || {
        salt += 1;
        salt.to_be_bytes()
    };
    let issued = issue_from_preissuance(Value::Map(claims), &mut salts, &Sha256RedactionHasher).unwrap();
    let disclosures = issued.disclosures.as_slice().iter().map(|disclosure| disclosure.encoded().to_vec()).collect();
    (cbor2::to_canonical_vec(&issued.value).unwrap(), disclosures)
}

/// What ours issues of a plan: the token with all disclosures.
fn issued_here((entries, decoys): &(BTreeMap<i64, (Node, bool)>, usize)) -> Vec<u8> {
    let set = entries.iter().fold(ClaimSet::builder(), |set, (key, (value, redacted))| match redacted {
        true => set.redactable(*key, value.ours()),
        false => set.claim(*key, value.ours()),
    });
    let (template, issuer, holder) = (CredentialTemplate::new(Vct::number(5), 86_400), signer(1), signer(2));
    let now = Timestamp::from_secs(NOW);
    Issuer::new(ISS, &issuer)
        .issue(&template, set.decoys(*decoys).build().unwrap(), holder.public(), None, now, &mut SeededRng::new(3))
        .unwrap()
        .into_vec()
}

/// Payload and disclosures of a token.
fn take_apart(token: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let item = read(token, Order::Any, &Limits::new(1 << 20)).unwrap();
    let [_, unprotected, payload, _] = item.as_tag().unwrap().1.as_array().unwrap().exactly().unwrap();
    let disclosures = unprotected.as_map().unwrap().get_int(17).and_then(|list| list.as_array());
    let disclosures = disclosures.into_iter().flatten().map(|one| one.as_bytes().unwrap().to_vec()).collect();
    (payload.as_bytes().unwrap().to_vec(), disclosures)
}

/// The same claims with the digests of the other form: of each disclosure's content, without its head.
struct Bare {
    known: BTreeMap<Vec<u8>, Value>,
    disclosures: Vec<Vec<u8>>,
}

impl Bare {
    fn of(token: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
        let (payload, disclosures) = take_apart(token);
        let known = disclosures
            .iter()
            .map(|one| (sha256(&cbor(|w| unit(w.bytes(one)))).to_vec(), cbor2::from_slice(one).unwrap()))
            .collect();
        let mut bare = Self { known, disclosures: Vec::new() };
        let payload = bare.value(cbor2::from_slice(&payload).unwrap());
        (cbor2::to_canonical_vec(&payload).unwrap(), bare.disclosures)
    }

    fn value(&mut self, value: Value) -> Value {
        match value {
            Value::Array(elements) => Value::Array(elements.into_iter().map(|element| self.value(element)).collect()),
            Value::Map(entries) => {
                Value::Map(entries.into_iter().map(|(key, value)| (key, self.value(value))).collect())
            }
            Value::Tag(tag, content) => tagged(tag, self.value(*content)),
            Value::Bytes(bytes) => match self.known.remove(&bytes) {
                Some(disclosure) => {
                    let disclosure = self.value(disclosure);
                    let content = cbor2::to_canonical_vec(&disclosure).unwrap();
                    let digest = sha256(&content).to_vec();
                    self.disclosures.push(content);
                    Value::Bytes(digest)
                }
                None => Value::Bytes(bytes),
            },
            other => other,
        }
    }
}

fn chosen(disclosures: &[Vec<u8>], which: u64) -> Vec<Vec<u8>> {
    let chosen = disclosures.iter().enumerate().filter(|(at, _)| which >> (at % 64) & 1 == 1);
    chosen.map(|(_, one)| one.clone()).collect()
}

/// What ours refuses and `sd-cwt` takes: bounds and types that only this profile has, what belongs to other steps than its own (trust,
/// binding, the clock), and CBOR of more than one reading.
const STRICTER: &[&str] = &[
    "Binding.Cnf",
    "Binding.CnfKey",
    "Claims.Marker",
    "Claims.Status",
    "Disclosure.DuplicateDigest",
    "Disclosure.NeverRedacted",
    "DuplicateKey",
    "NonPreferred",
    "Signature.KeyBinding",
    "Time.Expired",
    "Time.Inconsistent",
    "Time.NotYetValid",
    "Trust.UnknownIssuer",
];

/// What `sd-cwt` refuses and ours takes.
const THEIR_STRICTER: &[&str] = &[
    // An audience of several, which RFC 8392 allows.
    "aud must be a text string",
    // Keys that are never redacted are so at the top only, here.
    "must not be redacted",
    // A credential without subject is of no use to a holder, who refuses it here; a verifier need not.
    "required disclosed or redacted sub",
    // Keys of no letters; ints beyond 64 bits with sign.
    "1 to 255 octets",
    "must be integers or text",
];

fn compare(token: &[u8]) -> Result<(), TestCaseError> {
    match (ours(token), theirs(token, RestoreMode::Verifier)) {
        (Ok(ours), Ok(theirs)) => prop_assert_eq!(ours, theirs),
        (Ok(_), Err(error)) => prop_assert!(THEIR_STRICTER.iter().any(|known| error.contains(known)), "{}", error),
        (Err(error), Ok(_)) => prop_assert!(STRICTER.contains(&error.code()), "{}", error.code()),
        (Err(_), Err(_)) => {}
    }
    Ok(())
}

proptest! {
    #[test]
    fn what_sd_cwt_issues_is_verified_and_accepted_here(plan in plan(), which: u64) {
        let (payload, disclosures) = issued_there(&plan);
        let whole = token(&payload, &disclosures);
        let held = HeldCredential::accept(
            &whole, &trust(), &AcceptPolicy::new(signer(2).public().clone()), Timestamp::from_secs(NOW),
        );
        let held = held.unwrap();
        prop_assert_eq!(held.claims().as_bytes(), theirs(&whole, RestoreMode::Holder).unwrap());
        compare(&token(&payload, &chosen(&disclosures, which)))?;
    }

    #[test]
    fn what_ours_issues_is_verified_there(plan in plan(), which: u64) {
        let whole = issued_here(&plan);
        let (payload, disclosures) = take_apart(&whole);
        let none = token(&payload, &[]);
        prop_assert_eq!(ours(&none).unwrap(), theirs(&none, RestoreMode::Verifier).unwrap());
        // The form of digests that is written here is not theirs.
        if !disclosures.is_empty() {
            prop_assert!(ours(&whole).is_ok());
            prop_assert!(theirs(&whole, RestoreMode::Verifier).unwrap_err().contains("without a matching redacted claim"));
        }
        // The other form is read by both.
        let (payload, bare) = Bare::of(&whole);
        prop_assert_eq!(bare.len(), disclosures.len());
        prop_assert_eq!(ours(&token(&payload, &bare)), ours(&whole));
        compare(&token(&payload, &bare))?;
        compare(&token(&payload, &chosen(&bare, which)))?;
    }

    #[test]
    fn altered_tokens_get_one_verdict_but_for_what_is_listed(
        plan in plan(), which: u64, at in any::<prop::sample::Index>(), places in places(), twice: bool,
    ) {
        let (payload, disclosures) = issued_there(&plan);
        compare(&token(&altered(payload.clone(), &places), &disclosures))?;
        let mut some = chosen(&disclosures, which);
        if !some.is_empty() {
            let one = at.index(some.len());
            if twice {
                some.push(some[one].clone());
            } else {
                some[one] = altered(some[one].clone(), &places);
            }
            compare(&token(&payload, &some))?;
        }
    }
}

/// Each disagreement of `docs/format/credential.md`: more members of the claims, a disclosure, ours, theirs.
#[test]
fn the_disagreements_are_those_listed() {
    let (payload, _) = issued_there(&(BTreeMap::new(), 0));
    let check = |more: Vec<(Value, Value)>, disclosures: &[Vec<u8>], want: &str, refused: Option<&str>| {
        let Value::Map(mut entries) = cbor2::from_slice(&payload).unwrap() else { unreachable!() };
        entries.retain(|(key, _)| more.iter().all(|(new, _)| key != new));
        entries.extend(more.into_iter().filter(|(_, value)| *value != Value::Null));
        let token = token(&cbor2::to_canonical_vec(&Value::Map(entries)).unwrap(), disclosures);
        assert_eq!(ours(&token).map_or_else(|error| error.code(), |_| "ok"), want);
        match (refused, theirs(&token, RestoreMode::Verifier)) {
            (None, got) => assert!(got.is_ok(), "{got:?}"),
            (Some(reason), got) => assert!(got.as_ref().is_err_and(|error| error.contains(reason)), "{got:?}"),
        }
    };
    let redacting = |disclosures: &[Vec<u8>]| {
        let digests = disclosures.iter().map(|one| Value::Bytes(sha256(one).to_vec())).collect();
        (sd_cwt::redacted_claim_keys_label(), Value::Array(digests))
    };
    let entry = |key: Value, value: Value| {
        vec![cbor2::to_canonical_vec(&Value::Array(vec![Value::Bytes(vec![9; 16]), value, key])).unwrap()]
    };
    check(vec![], &[], "ok", None);
    // Here narrower.
    let short = Value::Array(vec![Value::Bytes(vec![1; 31])]);
    check(vec![(sd_cwt::redacted_claim_keys_label(), short)], &[], "Claims.Marker", None);
    let twice = Value::Array(vec![Value::Bytes(vec![1; 32]), Value::Bytes(vec![1; 32])]);
    check(vec![(sd_cwt::redacted_claim_keys_label(), twice)], &[], "Disclosure.DuplicateDigest", None);
    for key in [11, 65_535] {
        let one = entry(Value::from(key), Value::from("v"));
        check(vec![redacting(&one)], &one, "Disclosure.NeverRedacted", None);
    }
    check(vec![(Value::from(65_535), Value::from(1))], &[], "Claims.Status", None);
    check(vec![(Value::from(8), Value::Map(vec![]))], &[], "Binding.Cnf", None);
    let named = Value::Map(vec![(Value::from(3), Value::Bytes(vec![1]))]);
    check(vec![(Value::from(8), named)], &[], "Binding.Cnf", None);
    check(vec![(Value::from(1), Value::from("https://nobody.test"))], &[], "Trust.UnknownIssuer", None);
    check(vec![(Value::from(6), Value::from(1)), (Value::from(4), Value::from(2))], &[], "Time.Inconsistent", None);
    check(vec![(Value::from(4), Value::from(NOW as i64 - 59))], &[], "Time.Inconsistent", Some("iat < exp"));
    check(vec![(Value::from(6), Value::from(NOW as i64 + 61))], &[], "Time.Inconsistent", None);
    // There narrower.
    let both = Value::Array(vec![Value::from(AUD), Value::from("x")]);
    check(vec![(Value::from(3), both)], &[], "ok", Some("aud must be a text string"));
    check(vec![(Value::from(2), Value::Null)], &[], "ok", Some("required disclosed or redacted sub"));
    let inner = entry(Value::from(1), Value::from("v"));
    let below = Value::Map(vec![redacting(&inner)]);
    check(vec![(Value::from(600), below)], &inner, "ok", Some("must not be redacted"));
    let nameless = entry(Value::from(""), Value::from("v"));
    check(vec![redacting(&nameless)], &nameless, "ok", Some("1 to 255 octets"));
}
