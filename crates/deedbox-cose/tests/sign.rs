//! COSE_Sign: documents of two parties, and lists that several keys vouch for.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use deedbox_cbor::Writer;
use deedbox_cose::{
    CoseError, LocalSigner, Sign1Rules, SignError, Signer as _,
    sign::{Document, Sign, add_signature, document},
};
use deedbox_testkit::rng::SeededRng;

const LABEL: &[u8] = b"label\0";

fn signers() -> [LocalSigner; 3] {
    [1, 2, 3].map(|seed| LocalSigner::generate(&mut SeededRng::new(seed)))
}

fn signed() -> Vec<u8> {
    let [first, second, _] = signers();
    let bytes = document(&first, LABEL, b"terms").unwrap();
    add_signature(&second, &bytes, LABEL).unwrap()
}

#[test]
fn both_parties_sign_the_same_payload_in_their_order() {
    let ([first, second, third], bytes) = (signers(), signed());
    let read = || Document::parse(&bytes).unwrap();
    assert_eq!(read().peek().kids(), [first.public().thumbprint(), second.public().thumbprint()]);
    let document = read().verify(&[first.public(), second.public()], LABEL).unwrap();
    assert_eq!(document.payload(), b"terms");
    let refused = |keys: &[&deedbox_cose::VerifyKey]| read().verify(keys, LABEL).unwrap_err();
    assert_eq!(refused(&[second.public(), first.public()]), CoseError::Kid);
    assert_eq!(refused(&[first.public(), third.public()]), CoseError::Kid);
    assert_eq!(refused(&[first.public()]), CoseError::Signers);
    assert_eq!(refused(&[]), CoseError::Signers);
    assert_eq!(read().verify(&[first.public(), second.public()], b"other\0").unwrap_err(), CoseError::BadSignature);
}

#[test]
fn every_altered_bit_and_length_is_refused() {
    let ([first, second, _], bytes) = (signers(), signed());
    let verify = |bytes: &[u8]| {
        Document::parse(bytes).and_then(|read| read.verify(&[first.public(), second.public()], LABEL).map(|_| ()))
    };
    assert_eq!(verify(&bytes), Ok(()));
    for bit in 0..bytes.len() * 8 {
        let mut altered = bytes.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        assert!(verify(&altered).is_err(), "bit {bit}");
    }
    for len in 0..bytes.len() {
        assert!(verify(&bytes[..len]).is_err());
    }
}

#[test]
fn a_document_has_these_bytes() {
    let ([first, ..], bytes) = (signers(), document(&signers()[0], LABEL, b"terms").unwrap());
    let mut want = vec![0xd8, 0x62, 0x84, 0x40, 0xa0, 0x45, b't', b'e', b'r', b'm', b's', 0x81];
    want.extend([0x83, 0x58, 0x26, 0xa2, 0x01, 0x32, 0x04, 0x58, 0x20]);
    want.extend(first.public().thumbprint().as_bytes());
    want.extend([0xa0, 0x58, 0x40]);
    assert_eq!(bytes[..want.len()], want);
    assert_eq!(bytes.len(), want.len() + 64);
}

#[test]
fn nobody_signs_twice_nor_what_is_no_document() {
    let [first, second, _] = signers();
    let bytes = signed();
    assert_eq!(add_signature(&first, &bytes, LABEL), Err(SignError::Document));
    assert_eq!(add_signature(&second, &bytes, LABEL), Err(SignError::Document));
    assert_eq!(add_signature(&first, b"", LABEL), Err(SignError::Document));
}

#[test]
fn a_threshold_counts_each_key_once() {
    let ([first, second, third], bytes) = (signers(), signed());
    let read = || Sign::parse(&bytes, &Sign1Rules::STRICT).unwrap();
    let keys = [first.public().clone(), second.public().clone(), third.public().clone()];
    assert_eq!(read().verify_threshold(&keys, 2, LABEL).unwrap().payload(), b"terms");
    assert_eq!(read().verify_threshold(&keys, 3, LABEL).unwrap_err(), CoseError::Signers);
    assert_eq!(read().verify_threshold(&keys, 0, LABEL).unwrap_err(), CoseError::Signers);
    assert_eq!(read().verify_threshold(&keys[2..], 1, LABEL).unwrap_err(), CoseError::Signers);
    assert_eq!(read().verify_threshold(&keys, 1, b"other\0").unwrap_err(), CoseError::Signers);
    // The same signature twice is one signer.
    let signatures = [0, 0].map(|at| {
        let read = read();
        let signature = &read.peek().signatures()[at];
        let mut writer = Writer::new();
        let mut protected = vec![0xa2, 0x01, 0x32, 0x04, 0x58, 0x20];
        protected.extend(signature.protected().kid().unwrap());
        writer.array(3).bytes(&protected).map(|_| ()).bytes(signature.signature());
        writer.into_vec()
    });
    let mut writer = Writer::new();
    writer.tag(98).array(4).bytes(&[]).map(|_| ()).bytes(b"terms").array(2);
    let twice = [writer.into_vec(), signatures.concat()].concat();
    let twice = || Sign::parse(&twice, &Sign1Rules::STRICT).unwrap();
    assert!(twice().verify_threshold(&keys, 1, LABEL).is_ok());
    assert_eq!(twice().verify_threshold(&keys, 2, LABEL).unwrap_err(), CoseError::Signers);
}

#[test]
fn a_signature_needs_a_protected_header_and_the_whole_needs_none() {
    let parse = |bytes: &[u8]| Sign::parse(bytes, &Sign1Rules::STRICT).map(|_| ());
    let with = |protected: &[u8], signatures: usize| {
        let mut writer = Writer::new();
        writer.tag(98).array(4).bytes(&[]).map(|_| ()).bytes(b"").array(signatures);
        for _ in 0..signatures {
            writer.array(3).bytes(protected).map(|_| ()).bytes(&[0; 64]);
        }
        writer.into_vec()
    };
    assert_eq!(parse(&with(&[0xa1, 0x01, 0x32], 1)), Ok(()));
    assert_eq!(parse(&with(&[0xa1, 0x01, 0x32], 64)), Ok(()));
    assert_eq!(parse(&with(&[0xa1, 0x01, 0x32], 65)), Err(CoseError::Shape));
    assert_eq!(parse(&with(&[0xa1, 0x01, 0x32], 0)), Err(CoseError::Shape));
    assert_eq!(parse(&with(&[], 1)), Err(CoseError::EmptyProtected));
}

#[test]
fn a_document_of_one_is_no_document_of_several() {
    let [first, ..] = signers();
    let one = deedbox_cose::sign1::document(&first, LABEL, b"terms").unwrap();
    assert_eq!(Document::parse(&one).unwrap_err(), CoseError::Tag);
    assert_eq!(deedbox_cose::sign1::open_document(&signed(), first.public(), LABEL), Err(CoseError::Tag));
}
