//! COSE: signed objects, keys, encrypted objects.
#![expect(clippy::unwrap_used, reason = "a fuzz body fails by panicking")]

use std::sync::LazyLock;

use deedbox_cose::{
    AlgPlace, Buckets, LocalSigner, RecipientKey, RecipientSecret, Sign1, Sign1Rules, Signer as _, TagRule, VerifyKey,
    encrypt0::{self, Encrypt0, Record, StreamKey},
    sign::{self, Sign},
    sign1,
};
use deedbox_crypto::secret::SecretBytes;
use deedbox_testkit::rng::SeededRng;

use crate::altered;

const LABEL: &[u8] = b"label\0";

/// Whatever is read has a Sig_structure; a document opens exactly when it is unaltered: the input is XORed over a true
/// one of each kind.
pub fn cose_sign1(data: &[u8]) {
    let lax = Sign1Rules::STRICT.tag(TagRule::OptionalWithCwt).alg(AlgPlace::Either).buckets(Buckets::ProtectedWins);
    for rules in [Sign1Rules::STRICT, lax, Sign1Rules::STRICT.canonical().understood(&[1, 4, 16])] {
        if let Ok(read) = Sign1::parse(data, &rules) {
            let signed = read.peek();
            assert!(!signed.to_be_signed(LABEL).is_empty());
            assert!(signed.payload().len() < data.len());
        }
        if let Ok(read) = Sign::parse(data, &rules) {
            assert!(read.peek().signatures().iter().all(|one| !read.peek().to_be_signed(one, LABEL).is_empty()));
        }
    }
    let [first, second] = &SIGNED.keys;
    let bytes = altered(&SIGNED.by_one, data);
    assert_eq!(sign1::open_document(&bytes, first, LABEL).is_ok(), bytes == SIGNED.by_one);
    let bytes = altered(&SIGNED.by_two, data);
    let opened = sign::Document::parse(&bytes).and_then(|read| read.verify(&[first, second], LABEL));
    assert_eq!(opened.is_ok(), bytes == SIGNED.by_two);
}

/// A key that is accepted has one deterministic form, which reads as the same key of the same name.
pub fn cose_key(data: &[u8]) {
    if let Ok(key) = VerifyKey::parse(data) {
        let again = VerifyKey::parse(&key.to_cose_key()).unwrap();
        assert_eq!((again.thumbprint(), again.to_cose_key()), (key.thumbprint(), key.to_cose_key()));
    }
    if let Ok(key) = RecipientKey::parse(data) {
        let again = RecipientKey::parse(&key.to_cose_key()).unwrap();
        assert_eq!((again.thumbprint(), again.to_cose_key()), (key.thumbprint(), key.to_cose_key()));
    }
}

/// A record and a sealed object open exactly when they are unaltered: the input is XORed over true ones.
pub fn cose_encrypt0(data: &[u8]) {
    let _ = Encrypt0::parse(data, &Sign1Rules::STRICT.alg(AlgPlace::Either).tag(TagRule::Optional));
    let _ = encrypt0::peek_psk_id(data);
    let stream = StreamKey::derive(&SecretBytes::from_bytes([1; 32]), [2; 16]);
    if let Ok(record) = Record::parse(data) {
        let _ = stream.open(&record);
    }
    let record = stream.seal(300, b"content").unwrap();
    let bytes = altered(&record, data);
    let opened = Record::parse(&bytes).and_then(|record| stream.open(&record));
    assert_eq!(opened.is_ok(), bytes == record);

    let (secret, sealed) = &*SEALED;
    let bytes = altered(sealed, data);
    assert_eq!(encrypt0::open(secret, LABEL, &bytes).is_ok(), &bytes == sealed);
}

/// Documents by one and by two keys, made once.
struct Signed {
    keys: [VerifyKey; 2],
    by_one: Vec<u8>,
    by_two: Vec<u8>,
}

static SIGNED: LazyLock<Signed> = LazyLock::new(|| {
    let [first, second] = [1, 2].map(|seed| LocalSigner::generate(&mut SeededRng::new(seed)));
    let by_first = sign::document(&first, LABEL, b"payload").unwrap();
    Signed {
        by_one: sign1::document(&first, LABEL, b"payload").unwrap(),
        by_two: sign::add_signature(&second, &by_first, LABEL).unwrap(),
        keys: [first.public().clone(), second.public().clone()],
    }
});

/// A sealed object and its key, made once.
static SEALED: LazyLock<(RecipientSecret, Vec<u8>)> = LazyLock::new(|| {
    let secret = RecipientSecret::from_seed(&SecretBytes::from_bytes([3; 32])).unwrap();
    let sealed = encrypt0::seal(secret.public(), LABEL, b"content", &mut SeededRng::new(4)).unwrap();
    (secret, sealed)
});
