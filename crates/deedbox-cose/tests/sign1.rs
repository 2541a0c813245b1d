//! COSE_Sign1: what is signed verifies; what is altered, misplaced or misnamed is refused by name.

use deedbox_cbor::{MapWriter, Writer};
use deedbox_cose::{
    AlgPlace, Algorithm, Buckets, CoseError, LocalSigner, Sign1, Sign1Rules, SignError, SignatureBytes, Signer,
    TagRule, Verifier, VerifyKey, sign1,
};
use deedbox_testkit::rng::SeededRng;
use proptest::prelude::*;

fn signer() -> LocalSigner {
    LocalSigner::generate(&mut SeededRng::new(3))
}

fn int(label: i64, value: i64) -> impl FnOnce(&mut MapWriter) {
    move |map| {
        map.int(label, |w| {
            w.int(value);
        });
    }
}

/// An object of any headers, signed or not.
fn object(protected: &[u8], unprotected: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.tag(18).array(4).bytes(protected);
    let mut bytes = writer.into_vec();
    bytes.extend_from_slice(unprotected);
    bytes.extend_from_slice(payload);
    bytes.extend_from_slice(&[0x58, 0x40]);
    bytes.extend_from_slice(&[0; 64]);
    bytes
}

fn parse(bytes: &[u8], rules: &Sign1Rules) -> Result<(), CoseError> {
    Sign1::parse(bytes, rules).map(|_| ())
}

#[test]
fn every_altered_bit_and_length_is_refused() {
    let signer = signer();
    let bytes = sign1::document(&signer, b"label\0", b"payload").unwrap();
    assert_eq!(sign1::open_document(&bytes, signer.public(), b"label\0"), Ok(&b"payload"[..]));
    for bit in 0..bytes.len() * 8 {
        let mut altered = bytes.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        assert!(sign1::open_document(&altered, signer.public(), b"label\0").is_err(), "bit {bit}");
    }
    for len in 0..bytes.len() {
        assert!(sign1::open_document(&bytes[..len], signer.public(), b"label\0").is_err());
    }
    let long = [&bytes[..], &[0]].concat();
    assert_eq!(sign1::open_document(&long, signer.public(), b"label\0").unwrap_err().code(), "Cbor.Trailing");
}

#[test]
fn a_document_has_these_bytes() {
    let signer = signer();
    let bytes = sign1::document(&signer, b"label\0", b"payload").unwrap();
    let mut want = vec![0xd2, 0x84, 0x58, 0x26, 0xa2, 0x01, 0x32, 0x04, 0x58, 0x20];
    want.extend(signer.public().thumbprint().as_bytes());
    want.push(0xa0);
    want.extend([0x47, b'p', b'a', b'y', b'l', b'o', b'a', b'd', 0x58, 0x40]);
    assert_eq!(bytes[..want.len()], want);
    assert_eq!(bytes.len(), want.len() + 64);
    assert_eq!(sign1::peek_kid(&bytes), Ok(signer.public().thumbprint()));
}

#[test]
fn a_document_is_bound_to_its_key_and_its_use() {
    let (signer, other) = (signer(), LocalSigner::generate(&mut SeededRng::new(4)));
    let bytes = sign1::document(&signer, b"label\0", b"payload").unwrap();
    assert_eq!(sign1::open_document(&bytes, other.public(), b"label\0"), Err(CoseError::Kid));
    assert_eq!(sign1::open_document(&bytes, signer.public(), b"other\0"), Err(CoseError::BadSignature));
    assert_eq!(sign1::open_document(&bytes, signer.public(), b""), Err(CoseError::BadSignature));
    let read = Sign1::parse(&bytes, &Sign1Rules::STRICT).unwrap();
    assert_eq!(read.verify(other.public(), b"label\0").unwrap_err(), CoseError::BadSignature);
}

#[test]
fn a_document_has_no_other_headers() {
    let signer = signer();
    let kid = signer.public().thumbprint();
    let with_kid = |map: &mut MapWriter| {
        map.int(4, |w| {
            w.bytes(kid.as_bytes());
        });
    };
    let open = |bytes: &[u8]| sign1::open_document(bytes, signer.public(), b"").map(<[u8]>::len);
    let plain = sign1::sign(&signer, with_kid, |_| (), b"", b"").unwrap();
    assert_eq!(open(&plain), Ok(0));
    let more = |map: &mut MapWriter| {
        with_kid(map);
        int(3, 0)(map);
    };
    assert_eq!(open(&sign1::sign(&signer, more, |_| (), b"", b"").unwrap()), Err(CoseError::Shape));
    assert_eq!(open(&sign1::sign(&signer, with_kid, int(3, 0), b"", b"").unwrap()), Err(CoseError::Shape));
    assert_eq!(open(&sign1::sign(&signer, |_| (), |_| (), b"", b"").unwrap()), Err(CoseError::Shape));
}

#[test]
fn headers_are_signed_where_they_are_protected() {
    let signer = signer();
    let bytes = sign1::sign(&signer, int(16, 293), int(-70_000, 5), b"payload", b"aad").unwrap();
    let read = Sign1::parse(&bytes, &Sign1Rules::STRICT).unwrap();
    assert_eq!(read.peek().algorithm(), Ok(Algorithm::Ed25519));
    let signed = read.verify(signer.public(), b"aad").unwrap();
    assert_eq!(signed.protected().get(16).unwrap().as_u64(), Some(293));
    assert_eq!(signed.unprotected().get(-70_000).unwrap().as_u64(), Some(5));
    assert_eq!(signed.payload(), b"payload");
    // The writer's own `alg` can't be overridden.
    let bytes = sign1::sign(&signer, int(1, -7), |_| (), b"payload", b"").unwrap();
    assert!(Sign1::parse(&bytes, &Sign1Rules::STRICT).unwrap().verify(signer.public(), b"").is_ok());
}

#[test]
fn structure_is_refused_by_name() {
    let strict = Sign1Rules::STRICT;
    let (alg, payload) = (&[0xa1, 0x01, 0x32][..], &[0x40][..]);
    assert_eq!(parse(&object(alg, &[0xa0], payload), &strict), Ok(()));
    assert_eq!(parse(&object(&[], &[0xa0], payload), &strict), Err(CoseError::EmptyProtected));
    assert_eq!(parse(&object(&[0xa0], &[0xa0], payload), &strict), Err(CoseError::EmptyProtected));
    assert_eq!(parse(&object(alg, &[0xa0], &[0xf6]), &strict), Err(CoseError::Shape));
    assert_eq!(parse(&object(alg, &[0x80], payload), &strict), Err(CoseError::Shape));
    assert_eq!(parse(&object(&[0x80], &[0xa0], payload), &strict), Err(CoseError::Shape));
    assert_eq!(parse(&object(alg, &[0xa1, 0x01, 0x32], payload), &strict), Err(CoseError::LabelInBoth));
    assert_eq!(parse(&object(alg, &[0xa1, 0x40, 0x00], payload), &strict), Err(CoseError::LabelType));
    // a byte string as label, three levels inside a value
    let nested = [0xa1, 0x18, 0x20, 0x81, 0xc1, 0xa1, 0x40, 0x00];
    assert_eq!(parse(&object(alg, &nested, payload), &strict), Err(CoseError::LabelType));
    let text = |len: usize| {
        let mut writer = Writer::new();
        writer.map(|map| {
            map.text(&"x".repeat(len), |w| {
                w.uint(0);
            });
        });
        writer.into_vec()
    };
    assert_eq!(parse(&object(alg, &text(255), payload), &strict), Ok(()));
    assert_eq!(parse(&object(alg, &text(256), payload), &strict), Err(CoseError::LabelType));
    let trailing = &[0xa1, 0x01, 0x32, 0x00];
    assert_eq!(parse(&object(trailing, &[0xa0], payload), &strict).unwrap_err().code(), "Cbor.Trailing");
    assert_eq!(parse(&[0x83, 0x40, 0xa0, 0x40], &strict.tag(TagRule::Optional)), Err(CoseError::Shape));
}

#[test]
fn crit_must_be_protected_present_and_understood() {
    let strict = Sign1Rules::STRICT;
    let of = |protected: &[u8], unprotected: &[u8], rules: &Sign1Rules| {
        parse(&object(protected, unprotected, &[0x40]), rules)
    };
    let understood = strict.understood(&[16, 17]);
    // {1: -19, 2: [16], 16: 0}
    let crit = [0xa3, 0x01, 0x32, 0x02, 0x81, 0x10, 0x10, 0x00];
    assert_eq!(of(&crit, &[0xa0], &understood), Ok(()));
    assert_eq!(of(&crit, &[0xa0], &strict), Err(CoseError::CritUnknown));
    assert_eq!(of(&crit, &[0xa0], &strict.understood(&[17])), Err(CoseError::CritUnknown));
    // absent, or in the other header
    assert_eq!(of(&[0xa2, 0x01, 0x32, 0x02, 0x81, 0x10], &[0xa0], &understood), Err(CoseError::CritUnknown));
    assert_eq!(
        of(&[0xa2, 0x01, 0x32, 0x02, 0x81, 0x10], &[0xa1, 0x10, 0x00], &understood),
        Err(CoseError::CritUnknown)
    );
    assert_eq!(of(&[0xa2, 0x01, 0x32, 0x02, 0x80], &[0xa0], &understood), Err(CoseError::CritEmpty));
    assert_eq!(of(&[0xa2, 0x01, 0x32, 0x02, 0x10], &[0xa0], &understood), Err(CoseError::Shape));
    assert_eq!(of(&[0xa1, 0x01, 0x32], &[0xa1, 0x02, 0x81, 0x01], &understood), Err(CoseError::CritUnprotected));
}

#[test]
fn tags_are_as_the_rules_want_them() {
    let bytes = object(&[0xa1, 0x01, 0x32], &[0xa0], &[0x40]);
    let (bare, cwt) = (&bytes[1..], [&[0xd8, 0x3d], &bytes[..]].concat());
    let accepted = |rule| {
        let rules = Sign1Rules::STRICT.tag(rule);
        [parse(bare, &rules), parse(&bytes, &rules), parse(&cwt, &rules)].map(|read| read.is_ok())
    };
    assert_eq!(accepted(TagRule::Required), [false, true, false]);
    assert_eq!(accepted(TagRule::Optional), [true, true, false]);
    assert_eq!(accepted(TagRule::OptionalWithCwt), [true, true, true]);
    assert_eq!(parse(bare, &Sign1Rules::STRICT), Err(CoseError::Tag));
    let other = [&[0xd8, 0x62], &bytes[1..]].concat();
    assert_eq!(parse(&other, &Sign1Rules::STRICT), Err(CoseError::Tag));
}

#[test]
fn the_algorithm_is_the_keys_or_nothing_is_verified() {
    let signer = signer();
    let strict = Sign1Rules::STRICT;
    let verify = |protected: &[u8], unprotected: &[u8], rules: &Sign1Rules| {
        let bytes = object(protected, unprotected, &[0x40]);
        Sign1::parse(&bytes, rules).unwrap().verify(signer.public(), b"").unwrap_err()
    };
    // the zeros that stand for a signature are looked at with the key's algorithm only
    for alg in [0x32, 0x27] {
        assert_eq!(verify(&[0xa1, 0x01, alg], &[0xa0], &strict), CoseError::BadSignature);
    }
    for alg in [0x26, 0x28] {
        assert_eq!(verify(&[0xa1, 0x01, alg], &[0xa0], &strict), CoseError::AlgNotOfKey);
    }
    assert_eq!(verify(&[0xa1, 0x01, 0x05], &[0xa0], &strict), CoseError::Alg);
    assert_eq!(verify(&[0xa1, 0x03, 0x00], &[0xa1, 0x01, 0x32], &strict), CoseError::Alg);
    let either = strict.alg(AlgPlace::Either);
    assert_eq!(verify(&[], &[0xa1, 0x01, 0x32], &either), CoseError::BadSignature);
    // An unknown protected algorithm isn't replaced by a known unprotected one.
    let both = either.buckets(Buckets::ProtectedWins);
    assert_eq!(verify(&[0xa1, 0x01, 0x05], &[0xa1, 0x01, 0x32], &both), CoseError::Alg);
}

#[test]
fn an_empty_protected_map_is_signed_as_nothing() {
    let rules = Sign1Rules::STRICT.alg(AlgPlace::Either);
    let of = |protected: &[u8]| {
        let bytes = object(protected, &[0xa1, 0x01, 0x32], &[0x40]);
        Sign1::parse(&bytes, &rules).unwrap().peek().to_be_signed(b"")
    };
    assert_eq!(of(&[0xa0]), of(&[]));
}

#[test]
fn a_signature_from_elsewhere_is_checked_before_it_is_used() {
    let signer = signer();
    let prepare = || sign1::prepare(signer.public(), int(16, 1), |_| (), b"payload", b"aad");
    let signature = signer.sign(prepare().to_be_signed()).unwrap();
    let bytes = prepare().finish(signature.as_bytes()).unwrap();
    assert_eq!(bytes, sign1::sign(&signer, int(16, 1), |_| (), b"payload", b"aad").unwrap());
    assert_eq!(prepare().finish(&[0; 64]), Err(SignError::Rejected));
    assert_eq!(prepare().finish(&signature.as_bytes()[..63]), Err(SignError::Rejected));
}

#[test]
fn a_signer_that_refuses_leaves_nothing() {
    struct Refuses(VerifyKey);
    impl Signer for Refuses {
        fn public(&self) -> &VerifyKey {
            &self.0
        }
        fn sign(&self, _: &[u8]) -> Result<SignatureBytes, SignError> {
            Err(SignError::Unavailable)
        }
    }
    let refuses = Refuses(signer().public().clone());
    let error = sign1::document(&refuses, b"label\0", b"").unwrap_err();
    assert!(error.is_retryable());
    assert_eq!(error.code(), "Unavailable");
}

#[test]
fn a_detached_payload_is_signed_all_the_same() {
    let signer = signer();
    let bytes = sign1::sign_detached(&signer, int(395, 1), |_| (), b"payload", b"").unwrap();
    let read = || sign1::DetachedSign1::parse(&bytes, &Sign1Rules::STRICT).unwrap();
    assert!(read().verify(b"payload", signer.public(), b"").is_ok());
    assert_eq!(read().verify(b"other", signer.public(), b"").unwrap_err(), CoseError::BadSignature);
    assert_eq!(parse(&bytes, &Sign1Rules::STRICT), Err(CoseError::Shape));
    let inside = sign1::document(&signer, b"", b"payload").unwrap();
    assert_eq!(sign1::DetachedSign1::parse(&inside, &Sign1Rules::STRICT).unwrap_err(), CoseError::Shape);
}

#[test]
fn thousands_of_labels_cost_no_square() {
    let map = |odd: i64| {
        let mut writer = Writer::new();
        writer.map(|map| {
            int(1, -19)(map);
            for label in 0..10_000 {
                int(1000 + 2 * label + odd, 0)(map);
            }
        });
        writer.into_vec()
    };
    let unprotected = map(1);
    assert_eq!(parse(&object(&map(0), &unprotected, &[0x40]), &Sign1Rules::STRICT), Err(CoseError::LabelInBoth));
}

#[test]
fn debug_shows_no_content() {
    let signer = signer();
    let bytes = sign1::document(&signer, b"label\0", b"payload").unwrap();
    let read = Sign1::parse(&bytes, &Sign1Rules::STRICT).unwrap();
    assert_eq!(format!("{read:?}"), "Unverified { .. }");
    let signed = read.verify(signer.public(), b"label\0").unwrap();
    assert_eq!(format!("{signed:?}"), "Sign1 { payload_len: 7, .. }");
    assert_eq!(format!("{:?}", signed.protected()), "Headers { len: 2, .. }");
}

proptest! {
    #[test]
    fn what_is_signed_is_read(payload: Vec<u8>, aad: Vec<u8>, seed: u64, label in 100_i64..100_000, value: i64) {
        let signer = LocalSigner::generate(&mut SeededRng::new(seed));
        let bytes = sign1::sign(&signer, int(label, value), |_| (), &payload, &aad).unwrap();
        let signed = Sign1::parse(&bytes, &Sign1Rules::STRICT.canonical()).unwrap().verify(signer.public(), &aad).unwrap();
        prop_assert_eq!(signed.payload(), &payload[..]);
        prop_assert_eq!(signed.protected().get(label).unwrap().as_i64(), Some(value));
        prop_assert!(signer.public().verify(&signed.to_be_signed(&aad), signed.signature()).is_ok());
    }

    #[test]
    fn no_input_panics(bytes: Vec<u8>) {
        let _ = Sign1::parse(&bytes, &Sign1Rules::STRICT.tag(TagRule::OptionalWithCwt).alg(AlgPlace::Either));
        let _ = VerifyKey::parse(&bytes);
    }
}
