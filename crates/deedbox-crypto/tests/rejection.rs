//! What must be refused: each bit, each length, each other place. Every test first shows that the untouched twin is accepted.
#![cfg(all(feature = "seal", feature = "password"))]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::string_slice, reason = "a test fails by panicking")]

use deedbox_crypto::{
    Rejected, TooLong,
    aead::{Cipher, TAG_LEN},
    kdf,
    kem::{self, Psk},
    kex, label,
    password::{Argon2Params, argon2id},
    secret::SecretBytes,
    sign::{PublicKey, SigningKey},
};
use deedbox_testkit::rng::SeededRng;
use proptest::prelude::*;

/// Each copy of `bytes` with one bit flipped.
fn flips(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    (0..bytes.len() * 8).map(|bit| {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        flipped
    })
}

#[test]
fn every_flipped_bit_of_a_sealed_buffer_is_rejected_and_the_buffer_wiped() {
    let cipher = Cipher::new(&[1; 32]);
    let mut sealed = *b"twenty-five bytes of text";
    let tag = cipher.seal_in_place(&[2; 12], b"place", &mut sealed).unwrap();
    let mut separate = [0xff; 25];
    assert_eq!(cipher.seal_to(&[2; 12], b"place", b"twenty-five bytes of text", &mut separate), Ok(tag));
    assert_eq!(separate, sealed);
    // The three ways to open agree.
    let open = |nonce: &[u8], aad: &[u8], body: &[u8], tag: &[u8]| {
        let (nonce, tag) = (nonce.try_into().unwrap(), tag.try_into().unwrap());
        let mut buffer = body.to_vec();
        let opened = cipher.open_in_place(nonce, aad, &mut buffer, tag);
        let mut other = vec![0xff; body.len()];
        assert_eq!(cipher.open_to(nonce, aad, body, tag, &mut other), opened);
        let mut joined = [body, tag].concat();
        assert_eq!(
            cipher.open_joined(nonce, aad, &mut joined).map(|text| text.to_vec()),
            opened.map(|()| buffer.clone())
        );
        if opened.is_err() {
            assert!(
                buffer.iter().chain(&other).chain(&joined).all(|byte| *byte == 0),
                "nothing of a rejected buffer stays"
            );
        } else {
            assert_eq!(other, buffer);
        }
        opened.map(|()| buffer)
    };
    assert_eq!(open(&[2; 12], b"place", &sealed, &tag).unwrap(), b"twenty-five bytes of text");
    for nonce in flips(&[2; 12]) {
        assert_eq!(open(&nonce, b"place", &sealed, &tag), Err(Rejected));
    }
    for aad in flips(b"place") {
        assert_eq!(open(&[2; 12], &aad, &sealed, &tag), Err(Rejected));
    }
    for body in flips(&sealed) {
        assert_eq!(open(&[2; 12], b"place", &body, &tag), Err(Rejected));
    }
    for tag in flips(&tag) {
        assert_eq!(open(&[2; 12], b"place", &sealed, &tag), Err(Rejected));
    }
    for length in 0..sealed.len() {
        assert_eq!(open(&[2; 12], b"place", &sealed[..length], &tag), Err(Rejected));
    }
    let mut other = [0xff; 24];
    assert_eq!(cipher.open_to(&[2; 12], b"place", &sealed, &tag, &mut other), Err(Rejected), "no room");
    assert_eq!(other, [0; 24]);
    assert_eq!(cipher.seal_to(&[2; 12], b"place", &sealed, &mut other), Err(Rejected), "no room");
    assert_eq!(cipher.open_joined(&[2; 12], b"place", &mut [7; 15]), Err(Rejected), "no tag");
    for key in flips(&[1; 32]) {
        let mut buffer = sealed;
        let opened = Cipher::new(key[..].try_into().unwrap()).open_in_place(&[2; 12], b"place", &mut buffer, &tag);
        assert_eq!(opened, Err(Rejected));
    }
}

#[test]
fn every_flipped_bit_of_a_signature_or_message_is_rejected() {
    let key = SigningKey::from_seed(&SecretBytes::from_bytes([3; 32]));
    let signature = key.sign(b"message");
    let public = key.public();
    assert_eq!(public.verify(b"message", &signature), Ok(()));
    for flipped in flips(&signature) {
        assert_eq!(public.verify(b"message", flipped[..].try_into().unwrap()), Err(Rejected));
    }
    for flipped in flips(b"message") {
        assert_eq!(public.verify(&flipped, &signature), Err(Rejected));
    }
    for flipped in flips(public.as_bytes()) {
        let other = PublicKey::from_bytes(flipped[..].try_into().unwrap());
        assert!(other.is_err() || other.is_ok_and(|other| other.verify(b"message", &signature).is_err()));
    }
}

/// The eight points of small order in their canonical encoding, then the non-canonical ones of y = 0 and y = 1.
const SMALL_ORDER: [&str; 14] = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
];

fn unhex(hex: &str) -> [u8; 32] {
    core::array::from_fn(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).unwrap())
}

#[test]
fn keys_of_small_order_are_rejected() {
    for point in SMALL_ORDER {
        assert_eq!(PublicKey::from_bytes(&unhex(point)), Err(Rejected), "{point}");
    }
}

/// y = 3 is on the curve; p + 3 is another encoding of it (p ends in ed, so f0). The twin is a key.
#[test]
fn a_key_in_another_encoding_is_rejected() {
    // All nineteen values of y from p on, with either sign: none is taken.
    for low in 0xed..=0xff {
        for high in [0x7f, 0xff] {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (low, high);
            assert_eq!(PublicKey::from_bytes(&bytes), Err(Rejected), "{low:x}");
        }
    }
    let mut canonical = [0; 32];
    canonical[0] = 3;
    let mut other = [0xff; 32];
    (other[0], other[31]) = (0xf0, 0x7f);
    assert!(PublicKey::from_bytes(&canonical).is_ok());
    assert_eq!(PublicKey::from_bytes(&other), Err(Rejected));
}

/// S + L verifies under RFC 8032's equation but not its range check.
#[test]
fn a_signature_with_s_plus_l_is_rejected() {
    const L: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let key = SigningKey::from_seed(&SecretBytes::from_bytes([4; 32]));
    let mut signature = key.sign(b"message");
    assert_eq!(key.public().verify(b"message", &signature), Ok(()));
    let mut carry = 0;
    for (byte, add) in signature[32..].iter_mut().zip(L) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = (sum & 0xff) as u8;
        carry = sum >> 8;
    }
    assert_eq!(key.public().verify(b"message", &signature), Err(Rejected));
}

#[test]
fn peers_of_low_order_agree_on_nothing() {
    let secret = kex::SecretKey::from_bytes(&SecretBytes::from_bytes([5; 32]));
    let mut nine = [0; 32];
    nine[0] = 9;
    assert_eq!(*secret.agree(&nine).unwrap().expose(), secret.public());
    let low = [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];
    for point in low {
        assert_eq!(secret.agree(&unhex(point)).err(), Some(Rejected), "{point}");
    }
}

struct Sealed {
    secret: kem::SecretKey,
    enc: Vec<u8>,
    ct: Vec<u8>,
}

fn sealed(psk: Option<&Psk<'_>>) -> Sealed {
    let secret = kem::SecretKey::from_seed(&SecretBytes::from_bytes([6; 32])).unwrap();
    let (enc, ct) = secret.public().seal(b"info", b"aad", b"text", psk, &mut SeededRng::new(6)).unwrap();
    assert_eq!((enc.len(), ct.len()), (kem::ENC_LEN, 4 + TAG_LEN));
    Sealed { secret, enc, ct }
}

#[test]
fn an_altered_hpke_message_is_rejected() {
    let Sealed { secret, enc, ct } = sealed(None);
    assert_eq!(secret.open(&enc, b"info", b"aad", &ct, None).unwrap()[..], *b"text");
    assert!(secret.open(&enc, b"inf0", b"aad", &ct, None).is_err());
    assert!(secret.open(&enc, b"info", b"aae", &ct, None).is_err());
    for ct in flips(&ct) {
        assert_eq!(secret.open(&enc, b"info", b"aad", &ct, None).err(), Some(Rejected));
    }
    for length in (0..ct.len()).chain([ct.len() + 1]) {
        let mut other = ct.clone();
        other.resize(length, 0);
        assert_eq!(secret.open(&enc, b"info", b"aad", &other, None).err(), Some(Rejected));
    }
    // Every byte of the encapsulated key, one bit each.
    for n in 0..enc.len() {
        let mut other = enc.clone();
        other[n] ^= 1 << (n % 8);
        assert_eq!(secret.open(&other, b"info", b"aad", &ct, None).err(), Some(Rejected), "{n}");
    }
    for length in [0, 1, 32, 1088, kem::ENC_LEN - 1, kem::ENC_LEN + 1] {
        let mut other = enc.clone();
        other.resize(length, 0);
        assert_eq!(secret.open(&other, b"info", b"aad", &ct, None).err(), Some(Rejected));
    }
    let another = kem::SecretKey::from_seed(&SecretBytes::from_bytes([7; 32])).unwrap();
    assert_eq!(another.open(&enc, b"info", b"aad", &ct, None).err(), Some(Rejected));
}

#[test]
fn an_altered_encapsulation_gives_another_secret() {
    let secret = kem::SecretKey::from_seed(&SecretBytes::from_bytes([6; 32])).unwrap();
    let (enc, shared) = secret.public().encapsulate(&mut SeededRng::new(7)).unwrap();
    assert!(secret.decapsulate(&enc).unwrap().matches(shared.expose()));
    for n in (0..enc.len()).step_by(7) {
        let mut other = enc.clone();
        other[n] ^= 1 << (n % 8);
        assert!(!secret.decapsulate(&other).unwrap().matches(shared.expose()), "{n}");
    }
    for length in (0..200).chain([kem::ENC_LEN - 1, kem::ENC_LEN + 1]) {
        let mut other = enc.clone();
        other.resize(length, 0);
        assert_eq!(secret.decapsulate(&other).err(), Some(Rejected));
    }
}

#[test]
fn a_psk_is_needed_exactly_as_it_was() {
    let psk = Psk { psk: &[8; 32], id: b"epoch" };
    let Sealed { secret, enc, ct } = sealed(Some(&psk));
    let open = |psk: Option<&Psk<'_>>| secret.open(&enc, b"info", b"aad", &ct, psk).map(|text| text.to_vec());
    assert_eq!(open(Some(&psk)).unwrap(), b"text");
    assert_eq!(open(None), Err(Rejected));
    assert_eq!(open(Some(&Psk { psk: &[9; 32], id: b"epoch" })), Err(Rejected));
    assert_eq!(open(Some(&Psk { psk: &[8; 33], id: b"epoch" })), Err(Rejected));
    assert_eq!(open(Some(&Psk { psk: &[8; 32], id: b"epoci" })), Err(Rejected));
    let base = sealed(None);
    assert!(base.secret.open(&base.enc, b"info", b"aad", &base.ct, Some(&psk)).is_err());
}

#[test]
fn an_unfit_psk_is_refused_before_sealing() {
    let public = sealed(None).secret.public();
    let seal = |psk: &Psk<'_>| public.seal(b"", b"", b"", Some(psk), &mut SeededRng::new(1)).map(|_| ());
    assert_eq!(seal(&Psk { psk: &[1; 32], id: b"id" }), Ok(()));
    assert_eq!(seal(&Psk { psk: &[1; 31], id: b"id" }), Err(Rejected));
    assert_eq!(seal(&Psk { psk: &[], id: b"id" }), Err(Rejected));
    assert_eq!(seal(&Psk { psk: &[1; 32], id: b"" }), Err(Rejected));
}

#[test]
fn a_public_key_of_another_length_or_out_of_range_is_refused() {
    let bytes = sealed(None).secret.public().to_bytes();
    assert_eq!(kem::PublicKey::from_bytes(&bytes).unwrap().to_bytes(), bytes);
    for length in (0..=200).chain([kem::PUBLIC_LEN - 1, kem::PUBLIC_LEN + 1]) {
        let mut other = bytes.clone();
        other.resize(length, 0);
        assert_eq!(kem::PublicKey::from_bytes(&other).err(), Some(Rejected), "{length}");
    }
    // A coefficient of 4095 is no residue mod 3329 (FIPS 203 §7.2).
    let mut other = bytes;
    (other[0], other[1]) = (0xff, 0xff);
    assert_eq!(kem::PublicKey::from_bytes(&other).err(), Some(Rejected));
}

#[test]
fn labels_and_what_follows_them_give_different_keys() {
    let root = SecretBytes::from_bytes([9; 32]);
    let mut keys: Vec<[u8; 32]> =
        label::ALL.iter().map(|label| *kdf::derive(&root, *label, &[b"x"]).expose()).collect();
    keys.push(*kdf::derive(&root, label::OBJECT, &[b"y"]).expose());
    keys.push(*kdf::derive(&root, label::OBJECT, &[]).expose());
    let count = keys.len();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), count);
}

#[test]
fn hkdf_stops_at_8160_bytes() {
    let mut out = vec![7; 8161];
    assert_eq!(kdf::expand(&[1; 32], &[b"info"], &mut out), Err(TooLong));
    assert!(out.iter().all(|byte| *byte == 7), "untouched");
    assert_eq!(kdf::expand(&[1; 32], &[b"info"], &mut out[..8160]), Ok(()));
}

#[test]
fn impossible_argon2_parameters_are_refused() {
    let with = |m_kib, t, p| argon2id(b"pw", &[0; 16], &Argon2Params { m_kib, t, p }).map(|_| ());
    assert_eq!(with(8, 1, 1), Ok(()));
    assert_eq!(with(7, 1, 1), Err(Rejected));
    assert_eq!(with(8, 0, 1), Err(Rejected));
    assert_eq!(with(8, 1, 0), Err(Rejected));
    assert_eq!(with(8, 1, 2), Err(Rejected));
}

#[test]
fn another_password_salt_or_cost_gives_another_key() {
    let key = |pw: &[u8], salt, t| *argon2id(pw, &[salt; 16], &Argon2Params { m_kib: 8, t, p: 1 }).unwrap().expose();
    assert_eq!(key(b"pw", 0, 1), key(b"pw", 0, 1));
    assert_ne!(key(b"pw", 0, 1), key(b"pW", 0, 1));
    assert_ne!(key(b"pw", 0, 1), key(b"pw", 1, 1));
    assert_ne!(key(b"pw", 0, 1), key(b"pw", 0, 2));
}

proptest! {
    #[test]
    fn sealed_buffers_open(key: [u8; 32], nonce: [u8; 12], aad: Vec<u8>, text: Vec<u8>) {
        let mut buffer = text.clone();
        let tag = Cipher::new(&key).seal_in_place(&nonce, &aad, &mut buffer).unwrap();
        prop_assert_eq!(Cipher::new(&key).open_in_place(&nonce, &aad, &mut buffer, &tag), Ok(()));
        prop_assert_eq!(buffer, text);
    }

    #[test]
    fn signatures_verify_under_their_own_key_only(seed: [u8; 32], other: [u8; 32], message: Vec<u8>) {
        let key = SigningKey::from_seed(&SecretBytes::from_bytes(seed));
        let signature = key.sign(&message);
        prop_assert_eq!(key.public().verify(&message, &signature), Ok(()));
        let again = PublicKey::from_bytes(key.public().as_bytes());
        prop_assert_eq!(again, Ok(key.public()));
        prop_assert!(key.export_secret_bytes_hazmat().matches(&seed));
        if seed != other {
            let other = SigningKey::from_seed(&SecretBytes::from_bytes(other)).public();
            prop_assert_eq!(other.verify(&message, &signature), Err(Rejected));
        }
    }

    #[test]
    fn both_sides_agree(one: [u8; 32], other: [u8; 32]) {
        let one = kex::SecretKey::from_bytes(&SecretBytes::from_bytes(one));
        let other = kex::SecretKey::from_bytes(&SecretBytes::from_bytes(other));
        let ours = one.agree(&other.public()).unwrap();
        let theirs = other.agree(&one.public()).unwrap();
        prop_assert!(ours.matches(theirs.expose()));
    }

    #[test]
    fn random_bytes_are_no_panic(bytes: [u8; 32], signature: [u8; 32], message: Vec<u8>) {
        let mut whole = [0; 64];
        whole[..32].copy_from_slice(&bytes);
        whole[32..].copy_from_slice(&signature);
        if let Ok(key) = PublicKey::from_bytes(&bytes) {
            prop_assert_eq!(key.verify(&message, &whole), Err(Rejected));
        }
        let _ = kex::SecretKey::from_bytes(&SecretBytes::from_bytes(signature)).agree(&bytes);
    }

    #[test]
    fn a_derived_key_is_the_first_block_of_expand(prk: [u8; 32], rest: Vec<u8>) {
        let mut out = [0; 32];
        kdf::expand(&prk, &[label::OBJECT.as_bytes(), &rest], &mut out).unwrap();
        let derived = kdf::derive(&SecretBytes::from_bytes(prk), label::OBJECT, &[&rest]);
        prop_assert_eq!(derived.expose(), &out);
    }

    #[test]
    fn parts_are_hashed_as_one(one: Vec<u8>, other: Vec<u8>) {
        let whole = [&one[..], &other[..]].concat();
        prop_assert_eq!(deedbox_crypto::hash::sha256_parts(&[&one, &other]), deedbox_crypto::hash::sha256(&whole));
        prop_assert_eq!(kdf::hmac_sha256(&one, &[&one, &other]), kdf::hmac_sha256(&one, &[&whole]));
    }

    #[test]
    fn equality_is_equality(one: Vec<u8>, other: Vec<u8>) {
        prop_assert_eq!(deedbox_crypto::ct::eq(&one, &other), one == other);
        prop_assert!(deedbox_crypto::ct::eq(&one, &one.clone()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    #[test]
    fn hpke_messages_open(seed: [u8; 32], random: u64, info: Vec<u8>, aad: Vec<u8>, text: Vec<u8>, psk: Option<[u8; 32]>) {
        let psk = psk.as_ref().map(|psk| Psk { psk, id: b"id" });
        let secret = kem::SecretKey::from_seed(&SecretBytes::from_bytes(seed)).unwrap();
        let (enc, ct) = secret.public().seal(&info, &aad, &text, psk.as_ref(), &mut SeededRng::new(random)).unwrap();
        prop_assert_eq!(&secret.open(&enc, &info, &aad, &ct, psk.as_ref()).unwrap()[..], &text[..]);

        let secret = SecretBytes::from_bytes(seed);
        let public = kem::x25519::public(&secret).unwrap();
        let (enc, ct) = kem::x25519::seal(&public, &info, &aad, &text, psk.as_ref(), &mut SeededRng::new(random)).unwrap();
        prop_assert_eq!(&kem::x25519::open(&secret, &enc, &info, &aad, &ct, psk.as_ref()).unwrap()[..], &text[..]);
    }
}
