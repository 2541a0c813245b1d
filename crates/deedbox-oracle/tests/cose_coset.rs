//! COSE beside the crate `coset`: signed objects, encrypted objects and keys of either are read by the other, altered ones get one
//! verdict, and where they don't, `docs/format/cose.md` says why.

use ciborium::Value;
use coset::{
    CborSerializable as _, CoseEncrypt0, CoseEncrypt0Builder, CoseKey, CoseKeyBuilder, CoseSign1, CoseSign1Builder,
    Header, KeyOperation, Label, ProtectedHeader, RegisteredLabelWithPrivate, TaggedCborSerializable as _, iana,
};
use deedbox_cbor::{Item, Kind, Limits, MapWriter, Order, read};
use deedbox_cose::{
    CoseError, Headers, LocalSigner, RecipientSecret, Sign1, Sign1Rules, Signer as _, Verifier as _, VerifyKey,
    encrypt0::{self, Encrypt0, Record, StreamKey},
    sign1,
};
use deedbox_crypto::{aead::Cipher, kdf, label, secret::SecretBytes};
use deedbox_testkit::rng::SeededRng;
use proptest::prelude::*;

use deedbox_oracle::value::{altered, places, value, write};

type Pairs = Vec<(Label, Value)>;

fn signer() -> LocalSigner {
    LocalSigner::from_seed(&SecretBytes::from_bytes([1; 32]))
}

/// Labels of a header with their values: those that every reader knows, others, some of them odd.
fn pairs() -> impl Strategy<Value = Pairs> {
    let label = prop_oneof![
        4 => (2..30_i64).prop_map(Label::Int),
        2 => any::<i64>().prop_filter("the algorithm is given apart", |label| *label != 1).prop_map(Label::Int),
        1 => "[a-z]{1,8}".prop_map(Label::Text),
        1 => (254..258_usize).prop_map(|len| Label::Text("k".repeat(len))),
    ];
    let known = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..12).prop_map(Value::Bytes),
        prop::sample::select(vec!["application/cwt", "text", " a/b"]).prop_map(Value::from),
        (0..70_i64).prop_map(Value::from),
        prop::collection::vec((1..20_i64).prop_map(Value::from), 0..3).prop_map(Value::Array),
    ];
    prop::collection::vec((label, prop_oneof![known, value()]), 0..5).prop_map(|pairs| {
        let mut distinct: Pairs = Vec::new();
        for (label, value) in pairs {
            if distinct.iter().all(|(known, _)| *known != label) {
                distinct.push((label, value));
            }
        }
        distinct
    })
}

fn put(map: &mut MapWriter, pairs: &Pairs) {
    for (label, content) in pairs {
        match label {
            Label::Int(label) => map.int(*label, |w| write(content, w)),
            Label::Text(label) => map.text(label, |w| write(content, w)),
        };
    }
}

/// As ours reads it with nothing understood beyond the standard, and verifies it.
fn ours(bytes: &[u8], aad: &[u8]) -> Result<Vec<u8>, CoseError> {
    let signed = Sign1::parse(bytes, &Sign1Rules::STRICT)?.verify(signer().public(), aad)?;
    Ok(signed.payload().to_vec())
}

/// As coset reads it, verified by the same key.
fn theirs(bytes: &[u8], aad: &[u8]) -> Option<CoseSign1> {
    let signed = CoseSign1::from_tagged_slice(bytes).ok()?;
    signed.verify_signature(aad, |signature, data| signer().public().verify(data, signature)).ok()?;
    Some(signed)
}

/// What ours refuses and coset, which looks at none of it, reads.
const STRICTER: [&str; 12] = [
    "Alg",
    "AlgNotOfKey",
    "Cbor.DuplicateKey",
    "Cbor.Indefinite",
    "Cbor.NonPreferred",
    "Cbor.TooDeep",
    "CritUnknown",
    "CritUnprotected",
    "EmptyProtected",
    "LabelInBoth",
    "LabelType",
    "Shape",
];

/// What coset refuses and ours reads: fixed types of labels that ours leaves to whoever uses them, and what is no value to ciborium.
fn odd_to_coset(headers: &Headers<'_>) -> bool {
    headers.iter().any(|(label, content)| {
        let beyond = matches!(label.kind(), Kind::Uint | Kind::Nint) && label.as_i64().is_none();
        let typed = label.as_i64().is_some_and(|label| (1..=7).contains(&label));
        beyond || typed || odd_to_ciborium(content)
    })
}

fn odd_to_ciborium(item: Item<'_>) -> bool {
    item.kind() == Kind::Simple
        || item.as_tag().is_some_and(|(tag, content)| matches!(tag, 2 | 3) || odd_to_ciborium(content))
        || item.as_array().into_iter().flatten().any(odd_to_ciborium)
        || item.as_map().into_iter().flatten().any(|(key, value)| odd_to_ciborium(key) || odd_to_ciborium(value))
}

/// One verdict, or one of the listed disagreements. What both accept says the same, and coset writes it so that ours reads it again.
fn compare(bytes: &[u8], aad: &[u8]) -> Result<(), TestCaseError> {
    match (ours(bytes, aad), theirs(bytes, aad)) {
        (Ok(payload), Some(signed)) => {
            prop_assert_eq!(Some(&payload), signed.payload.as_ref());
            let read = Sign1::parse(bytes, &Sign1Rules::STRICT).unwrap();
            prop_assert_eq!(read.peek().to_be_signed(aad), signed.tbs_data(aad));
            let again = signed.to_tagged_vec().unwrap();
            prop_assert_eq!(ours(&again, aad), Ok(payload));
            let again = Sign1::parse(&again, &Sign1Rules::STRICT).unwrap();
            let entries = |headers: Headers<'_>| {
                let mut entries: Vec<_> =
                    headers.iter().map(|(key, value)| [key.bytes(), value.bytes()].concat()).collect();
                entries.sort();
                entries
            };
            prop_assert_eq!(entries(again.peek().protected()), entries(read.peek().protected()));
            if !read.peek().unprotected().iter().any(|(_, value)| holds_odd_or_undefined(value)) {
                prop_assert_eq!(entries(again.peek().unprotected()), entries(read.peek().unprotected()));
            }
        }
        (Ok(_), None) => {
            let read = Sign1::parse(bytes, &Sign1Rules::STRICT).unwrap();
            prop_assert!(odd_to_coset(&read.peek().protected()) || odd_to_coset(&read.peek().unprotected()));
        }
        (Err(error), Some(_)) => prop_assert!(STRICTER.contains(&error.code()), "{}", error.code()),
        (Err(_), None) => {}
    }
    Ok(())
}

fn holds_odd_or_undefined(item: Item<'_>) -> bool {
    odd_to_ciborium(item)
        || item.is_undefined()
        || item.as_array().into_iter().flatten().any(holds_odd_or_undefined)
        || item.as_map().into_iter().flatten().any(|(k, v)| holds_odd_or_undefined(k) || holds_odd_or_undefined(v))
        || item.as_tag().is_some_and(|(_, content)| holds_odd_or_undefined(content))
}

/// What coset builds of these labels.
fn build(
    alg: Option<iana::Algorithm>,
    protected: Pairs,
    unprotected: Pairs,
    payload: &[u8],
    aad: &[u8],
) -> Option<Vec<u8>> {
    let header = |alg: Option<iana::Algorithm>, rest: Pairs| Header {
        alg: alg.map(RegisteredLabelWithPrivate::Assigned),
        rest,
        ..Header::default()
    };
    // Its builder panics at what can't be encoded.
    let protected = ProtectedHeader { original_data: None, header: header(alg, protected) };
    protected.clone().cbor_bstr().ok()?;
    let signed = CoseSign1 {
        protected,
        unprotected: header(None, unprotected),
        payload: Some(payload.to_vec()),
        signature: Vec::new(),
    };
    let signature = signer().sign(&signed.tbs_data(aad)).unwrap();
    CoseSign1 { signature: signature.as_bytes().to_vec(), ..signed }.to_tagged_vec().ok()
}

proptest! {
    #[test]
    fn what_ours_signs_is_read_by_coset(
        protected in pairs(), unprotected in pairs(), payload: Vec<u8>, aad: Vec<u8>, places in places(),
    ) {
        let bytes = sign1::sign(&signer(), |map| put(map, &protected), |map| put(map, &unprotected), &payload, &aad).unwrap();
        compare(&bytes, &aad)?;
        compare(&altered(bytes, &places), &aad)?;
    }

    #[test]
    fn what_coset_signs_is_read_by_ours_or_refused_as_listed(
        alg in prop::sample::select(vec![
            Some(iana::Algorithm::Ed25519), Some(iana::Algorithm::EdDSA), Some(iana::Algorithm::ES256),
            Some(iana::Algorithm::PS256), None,
        ]),
        protected in pairs(), unprotected in pairs(), payload: Vec<u8>, aad: Vec<u8>, places in places(),
    ) {
        if let Some(bytes) = build(alg, protected, unprotected, &payload, &aad) {
            compare(&bytes, &aad)?;
            compare(&altered(bytes, &places), &aad)?;
        }
    }

    #[test]
    fn what_coset_encrypts_opens_here(
        unprotected in pairs(), key: [u8; 32], iv: [u8; 12], plaintext: Vec<u8>, aad: Vec<u8>, protect_iv: bool,
    ) {
        let chacha = Header {
            alg: Some(RegisteredLabelWithPrivate::Assigned(iana::Algorithm::ChaCha20Poly1305)),
            iv: if protect_iv { iv.to_vec() } else { Vec::new() },
            ..Header::default()
        };
        let mut rest = unprotected;
        rest.retain(|(label, _)| !matches!(label, Label::Int(1..=7)));
        let unprotected = Header { iv: if protect_iv { Vec::new() } else { iv.to_vec() }, rest, ..Header::default() };
        let encrypted = CoseEncrypt0Builder::new().protected(chacha).unprotected(unprotected);
        let bytes = encrypted.create_ciphertext(&plaintext, &aad, |plaintext, aad| seal(&key, &iv, aad, plaintext)).build();
        let theirs = bytes.clone();
        let Ok(bytes) = bytes.to_tagged_vec() else { return Ok(()) };
        match Encrypt0::parse(&bytes, &Sign1Rules::STRICT) {
            Ok(read) => {
                let key = SecretBytes::from_bytes(key);
                prop_assert_eq!(&*read.open(&key, &aad).unwrap(), &plaintext);
                prop_assert!(read.open(&key, &[&aad[..], &[0]].concat()).is_err());
                let opened = decrypt(&theirs, &aad, key.expose(), &iv);
                prop_assert_eq!(opened, Some(plaintext));
            }
            Err(error) => {
                let listed = ["Cbor.DuplicateKey", "Cbor.NonPreferred", "Shape"];
                prop_assert!(listed.contains(&error.code()), "{}", error.code());
            }
        }
    }

    #[test]
    fn what_ours_encrypts_coset_reads_and_opens(base: [u8; 32], stream: [u8; 16], number: u32, plaintext: Vec<u8>) {
        let bytes = StreamKey::derive(&SecretBytes::from_bytes(base), stream).seal(number, &plaintext).unwrap();
        let read = CoseEncrypt0::from_slice(&bytes).unwrap();
        let piv = number.to_be_bytes();
        let piv = &piv[usize::try_from(number.leading_zeros() / 8).unwrap().min(3)..];
        prop_assert_eq!(&read.protected.header.partial_iv, piv);
        prop_assert_eq!(&read.protected.header.rest, &vec![(Label::Int(10), Value::Bytes(stream.to_vec()))]);
        let mut okm = [0; 44];
        kdf::expand(&base, &[label::RECORD.as_bytes(), &stream], &mut okm).unwrap();
        let (key, mut iv) = (okm[..32].try_into().unwrap(), <[u8; 12]>::try_from(&okm[32..]).unwrap());
        iv.iter_mut().rev().zip(number.to_le_bytes()).for_each(|(place, byte)| *place ^= byte);
        let opened = decrypt(&read, &[], &key, &iv);
        prop_assert_eq!(opened, Some(plaintext));
        let again = read.to_vec().unwrap();
        prop_assert!(Record::parse(&again).is_ok() && again == bytes);
    }

    #[test]
    fn keys_go_both_ways(seed: [u8; 32], extra in pairs(), places in places()) {
        let key = LocalSigner::from_seed(&SecretBytes::from_bytes(seed)).public().clone();
        let read = CoseKey::from_slice(&key.to_cose_key()).unwrap();
        prop_assert_eq!(&read.clone().to_vec().unwrap(), &key.to_cose_key());
        // With members that coset takes in any number, and others'.
        let mut more = read;
        more.key_id = vec![7];
        more.alg = Some(RegisteredLabelWithPrivate::Assigned(iana::Algorithm::EdDSA));
        more.key_ops.insert(KeyOperation::Assigned(iana::KeyOperation::Verify));
        more.params.extend(extra.into_iter().filter(|(label, _)| !matches!(label, Label::Int(-4..=5))));
        let Ok(bytes) = more.to_vec() else { return Ok(()) };
        match VerifyKey::parse(&bytes) {
            Ok(read) => prop_assert_eq!(read.to_cose_key(), key.to_cose_key()),
            Err(error) => prop_assert!(["Cbor.DuplicateKey", "Cbor.NonPreferred"].contains(&error.code()), "{}", error.code()),
        }
        let bytes = altered(bytes, &places);
        if VerifyKey::parse(&bytes).is_ok() && CoseKey::from_slice(&bytes).is_err() {
            let item = read_any(&bytes);
            let typed = |label: Item<'_>| label.as_i64().is_none_or(|label| (2..=5).contains(&label));
            let odd = item.as_map().unwrap().iter().any(|(label, content)| typed(label) || odd_to_ciborium(content));
            prop_assert!(odd);
        }
    }
}

fn read_any(bytes: &[u8]) -> Item<'_> {
    read(bytes, Order::Any, &Limits::new(1 << 20)).unwrap()
}

fn seal(key: &[u8; 32], iv: &[u8; 12], aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let mut buffer = plaintext.to_vec();
    let tag = Cipher::new(key).seal_in_place(iv, aad, &mut buffer).unwrap();
    [&buffer[..], &tag].concat()
}

fn open(key: &[u8; 32], iv: &[u8; 12], aad: &[u8], ciphertext: &[u8]) -> Option<Vec<u8>> {
    let (content, tag) = ciphertext.split_last_chunk()?;
    let mut buffer = content.to_vec();
    Cipher::new(key).open_in_place(iv, aad, &mut buffer, tag).ok()?;
    Some(buffer)
}

/// As coset has it decrypted.
fn decrypt(encrypted: &CoseEncrypt0, aad: &[u8], key: &[u8; 32], iv: &[u8; 12]) -> Option<Vec<u8>> {
    encrypted.decrypt_ciphertext(aad, || (), |ciphertext, aad| open(key, iv, aad, ciphertext).ok_or(())).ok()
}

/// Lets a closure end in a call whose result is of no use.
fn unit<T>(_: T) {}

#[test]
fn what_ours_seals_coset_reads_and_writes_again() {
    let secret = RecipientSecret::from_seed(&SecretBytes::from_bytes([3; 32])).unwrap();
    let bytes = encrypt0::seal(secret.public(), b"info\0", b"content", &mut SeededRng::new(1)).unwrap();
    let read = CoseEncrypt0::from_tagged_slice(&bytes).unwrap();
    assert_eq!(read.protected.header.alg, Some(RegisteredLabelWithPrivate::PrivateUse(-91_258)));
    assert_eq!(read.to_tagged_vec().unwrap(), bytes);
    // A key of private use too.
    let key = secret.public().to_cose_key();
    assert_eq!(CoseKey::from_slice(&key).unwrap().to_vec().unwrap(), key);
}

/// The generator of P-256: any point of the curve is a key.
const X: &str = "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296";
const Y: &str = "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn keys_of_p256_go_both_ways() {
    let theirs = CoseKeyBuilder::new_ec2_pub_key(iana::EllipticCurve::P_256, hex(X), hex(Y)).build();
    let bytes = theirs.to_vec().unwrap();
    let ours = VerifyKey::parse(&bytes).unwrap();
    assert_eq!(ours.to_cose_key(), bytes);
    let refused = |key: CoseKey| VerifyKey::parse(&key.to_vec().unwrap()).unwrap_err().code();
    let (curve, x, y) = (iana::EllipticCurve::P_256, hex(X), hex(Y));
    // Compressed points are for the caller to open; private parts don't belong into a public key; points are on their curve.
    assert_eq!(refused(CoseKeyBuilder::new_ec2_pub_key_y_sign(curve, x.clone(), true).build()), "Shape");
    assert_eq!(refused(CoseKeyBuilder::new_ec2_priv_key(curve, x.clone(), y.clone(), vec![1; 32]).build()), "Private");
    assert_eq!(refused(CoseKeyBuilder::new_ec2_pub_key(curve, y, x.clone()).build()), "Point");
    assert_eq!(refused(CoseKeyBuilder::new_ec2_pub_key(curve, x.clone(), x).build()), "Point");
    assert_eq!(refused(CoseKeyBuilder::new_okp_key().build()), "Shape");
    assert_eq!(refused(CoseKeyBuilder::new_symmetric_key(vec![1; 32]).build()), "Kty");
    let ed = |x: [u8; 32]| {
        let mut key =
            CoseKeyBuilder::new_okp_key().param(-1, Value::from(6)).param(-2, Value::Bytes(x.to_vec())).build();
        key.key_ops.insert(KeyOperation::Assigned(iana::KeyOperation::Verify));
        key
    };
    let sound = *signer().public().as_ed25519().unwrap().as_bytes();
    assert!(VerifyKey::parse(&ed(sound).to_vec().unwrap()).is_ok());
    let mut one = [0; 32];
    one[0] = 1;
    assert_eq!(refused(ed(one)), "Point");
    let mut signs = ed(sound);
    signs.key_ops = [KeyOperation::Assigned(iana::KeyOperation::Sign)].into();
    assert_eq!(refused(signs), "KeyOps");
    let mut other = ed(sound);
    other.alg = Some(RegisteredLabelWithPrivate::Assigned(iana::Algorithm::ES256));
    assert_eq!(refused(other), "Alg");
}

/// Each disagreement of `docs/format/cose.md` about signed objects: what differs, ours, whether coset reads it.
#[test]
fn the_disagreements_are_those_listed() {
    let sign = |protected: &dyn Fn(&mut MapWriter), unprotected: &dyn Fn(&mut MapWriter)| {
        sign1::sign(&signer(), |map| protected(map), |map| unprotected(map), b"payload", &[]).unwrap()
    };
    let none = |_: &mut MapWriter| {};
    let with = |label: i64, content: Value| move |map: &mut MapWriter| unit(map.int(label, |w| write(&content, w)));
    let bytes = |bytes: &[u8]| Value::Bytes(bytes.to_vec());
    let check = |signed: &[u8], want: &str, read: bool| {
        let ours = ours(signed, &[]).map_or_else(|error| error.code(), |_| "ok");
        assert_eq!((ours, theirs(signed, &[]).is_some()), (want, read), "{signed:02x?}");
    };
    check(&sign(&none, &none), "ok", true);
    check(&sign(&with(99, Value::Null), &with(99, Value::Null)), "LabelInBoth", true);
    check(&sign(&with(2, Value::Array(vec![Value::from(3)])), &none), "CritUnknown", true);
    check(&sign(&none, &with(2, Value::Array(vec![Value::from(3)]))), "CritUnprotected", true);
    check(&sign(&none, &with(2, Value::Array(vec![]))), "CritUnprotected", false);
    check(&sign(&with(2, Value::Array(vec![])), &none), "CritEmpty", false);
    let nested = Value::Map(vec![(Value::Null, Value::Null)]);
    check(&sign(&with(99, nested), &none), "LabelType", true);
    check(&sign(&|map| unit(map.text(&"k".repeat(256), |w| unit(w.null()))), &none), "LabelType", true);
    // Values of known labels: whoever uses the label judges it, here.
    check(&sign(&with(3, Value::from("text")), &none), "ok", false);
    check(&sign(&with(4, bytes(&[])), &none), "ok", false);
    check(&sign(&with(4, Value::from(1)), &none), "ok", false);
    check(&sign(&with(5, bytes(&[1])), &with(6, bytes(&[1]))), "ok", true);
    check(&sign(&|map| unit(map.int(5, |w| unit(w.bytes(&[1]))).int(6, |w| unit(w.bytes(&[1])))), &none), "ok", false);
    check(&sign(&|map| unit(map.entry(|w| unit(w.uint(u64::MAX)), |w| unit(w.null()))), &none), "ok", false);
    check(&sign(&none, &|map| unit(map.int(99, |w| unit(w.simple(59))))), "ok", false);

    // What coset writes as it is told to.
    let coset =
        |alg, protected: Pairs, unprotected: Pairs| build(alg, protected, unprotected, b"payload", &[]).unwrap();
    check(&coset(Some(iana::Algorithm::Ed25519), vec![], vec![]), "ok", true);
    check(&coset(Some(iana::Algorithm::EdDSA), vec![], vec![]), "ok", true);
    check(&coset(Some(iana::Algorithm::ES256), vec![], vec![]), "AlgNotOfKey", true);
    check(&coset(Some(iana::Algorithm::PS256), vec![], vec![]), "Alg", true);
    check(&coset(None, vec![(Label::Int(99), Value::Null)], vec![]), "Alg", true);
    check(&coset(None, vec![], vec![(Label::Int(1), Value::from(-19))]), "EmptyProtected", true);
    let detached = CoseSign1Builder::new().unprotected(Header::default());
    let alg = Header { alg: Some(RegisteredLabelWithPrivate::Assigned(iana::Algorithm::Ed25519)), ..Header::default() };
    let detached =
        detached.protected(alg).create_signature(&[], |data| signer().sign(data).unwrap().as_bytes().to_vec());
    check(&detached.build().to_tagged_vec().unwrap(), "Shape", true);
}
