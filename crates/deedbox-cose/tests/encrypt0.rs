//! COSE_Encrypt0: what is sealed opens with its key for its use, and nothing else does.
#![cfg(feature = "seal")]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use deedbox_cose::{
    RecipientSecret, Sign1Rules,
    encrypt0::{self, Encrypt0, OpenError, PreShared, Record, SealError, StreamKey},
};
use deedbox_crypto::secret::SecretBytes;
use deedbox_testkit::rng::SeededRng;
use proptest::prelude::*;

const INFO: &[u8] = b"info\0";

fn secret(seed: u8) -> RecipientSecret {
    RecipientSecret::from_seed(&SecretBytes::from_bytes([seed; 32])).unwrap()
}

fn psk(byte: u8) -> SecretBytes<32> {
    SecretBytes::from_bytes([byte; 32])
}

fn opened(result: Result<zeroize::Zeroizing<Vec<u8>>, OpenError>) -> Result<Vec<u8>, OpenError> {
    result.map(|plaintext| plaintext.to_vec())
}

#[test]
fn what_is_sealed_opens_with_its_key_for_its_use() {
    let secret = secret(1);
    let bytes = encrypt0::seal(secret.public(), INFO, b"content", &mut SeededRng::new(1)).unwrap();
    assert_eq!(opened(encrypt0::open(&secret, INFO, &bytes)), Ok(b"content".to_vec()));
    assert_eq!(opened(encrypt0::open(&self::secret(2), INFO, &bytes)), Err(OpenError::Rejected));
    assert_eq!(opened(encrypt0::open(&secret, b"other\0", &bytes)), Err(OpenError::Rejected));
    // d0 83 46 {1: -91258} {-4: 1120 bytes} 23 bytes
    assert_eq!(bytes[..10], [0xd0, 0x83, 0x47, 0xa1, 0x01, 0x3a, 0x00, 0x01, 0x64, 0x79]);
    assert_eq!(bytes[10..15], [0xa1, 0x23, 0x59, 0x04, 0x60]);
    assert_eq!(bytes.len(), 15 + 1120 + 1 + 7 + 16);
}

#[test]
fn a_shared_secret_is_needed_where_one_was_used_and_only_there() {
    let (secret, key, other) = (secret(1), psk(5), psk(6));
    let shared = PreShared::new(&key, b"epoch-01");
    let bytes = encrypt0::seal_psk(secret.public(), &shared, INFO, b"content", &mut SeededRng::new(1)).unwrap();
    assert_eq!(encrypt0::peek_psk_id(&bytes), Ok(&b"epoch-01"[..]));
    assert_eq!(opened(encrypt0::open_psk(&secret, &shared, INFO, &bytes)), Ok(b"content".to_vec()));
    let wrong = PreShared::new(&other, b"epoch-01");
    assert_eq!(opened(encrypt0::open_psk(&secret, &wrong, INFO, &bytes)), Err(OpenError::Rejected));
    let renamed = PreShared::new(&key, b"epoch-02");
    assert_eq!(opened(encrypt0::open_psk(&secret, &renamed, INFO, &bytes)), Err(OpenError::Rejected));
    assert_eq!(opened(encrypt0::open(&secret, INFO, &bytes)), Err(OpenError::Shape));
    let base = encrypt0::seal(secret.public(), INFO, b"content", &mut SeededRng::new(1)).unwrap();
    assert_eq!(opened(encrypt0::open_psk(&secret, &shared, INFO, &base)), Err(OpenError::Shape));
    let nameless = PreShared::new(&key, b"");
    assert_eq!(
        encrypt0::seal_psk(secret.public(), &nameless, INFO, b"", &mut SeededRng::new(1)),
        Err(SealError::Rejected)
    );
}

#[test]
fn every_altered_byte_and_length_of_a_sealed_object_is_refused() {
    let secret = secret(1);
    let bytes = encrypt0::seal(secret.public(), INFO, b"content", &mut SeededRng::new(1)).unwrap();
    let head = 15..bytes.len() - 24;
    for bit in 0..bytes.len() * 8 {
        // Of the encapsulated key a sample: each try is a decapsulation.
        if head.contains(&(bit / 8)) && bit % 61 != 0 {
            continue;
        }
        let mut altered = bytes.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        assert!(encrypt0::open(&secret, INFO, &altered).is_err(), "bit {bit}");
    }
    for len in 0..bytes.len() {
        assert!(encrypt0::open(&secret, INFO, &bytes[..len]).is_err());
    }
}

#[test]
fn too_much_is_not_sealed() {
    let secret = secret(1);
    let much = vec![0; (1 << 20) + (1 << 16) + 1];
    let limit = much.len() - 1;
    let error = encrypt0::seal(secret.public(), INFO, &much, &mut SeededRng::new(1)).unwrap_err();
    assert_eq!(error, SealError::TooLong { limit });
    let most = encrypt0::seal(secret.public(), INFO, &much[..limit], &mut SeededRng::new(1)).unwrap();
    assert_eq!(encrypt0::open(&secret, INFO, &most).unwrap().len(), limit);
    assert_eq!(StreamKey::derive(&psk(1), [0; 16]).seal(0, &much), Err(SealError::TooLong { limit }));
}

#[test]
fn a_record_opens_in_its_stream_at_its_number() {
    let (base, stream) = (psk(1), [9; 16]);
    let key = StreamKey::derive(&base, stream);
    for number in [0, 1, 255, 256, 65_535, 65_536, u32::MAX] {
        let bytes = key.seal(number, b"content").unwrap();
        let record = Record::parse(&bytes).unwrap();
        assert_eq!((record.stream(), record.number()), (&stream, number));
        assert_eq!(opened(key.open(&record)), Ok(b"content".to_vec()));
        assert_eq!(opened(StreamKey::derive(&base, [8; 16]).open(&record)), Err(OpenError::Rejected));
        assert_eq!(opened(StreamKey::derive(&psk(2), stream).open(&record)), Err(OpenError::Rejected));
    }
}

#[test]
fn a_record_has_these_bytes() {
    let bytes = StreamKey::derive(&psk(1), [9; 16]).seal(0x0102, b"content").unwrap();
    // [<<{6: h'0102', 10: 16 bytes}>>, {}, 23 bytes]
    assert_eq!(bytes[..9], [0x83, 0x57, 0xa2, 0x06, 0x42, 0x01, 0x02, 0x0a, 0x50]);
    assert_eq!(bytes[9..25], [9; 16]);
    assert_eq!(bytes[25..27], [0xa0, 0x57]);
    assert_eq!(bytes.len(), 27 + 23);
}

// Case `record_9` of deedbox's connect vectors, which were made apart from this code.
#[test]
fn a_record_is_sealed_in_place_and_only_as_long_as_announced() {
    let key = StreamKey::derive(&psk(1), [9; 16]);
    for number in [0, 23, 255, 256, 0xff_ffff, 0x0100_0000, u32::MAX] {
        let sealed = |len| {
            key.seal_with(number, len, |writer| {
                writer.array(1).text("content");
            })
        };
        assert_eq!(sealed(9), key.seal(number, b"\x81\x67content"));
        for wrong in [0, 8, 10, 100] {
            assert_eq!(sealed(wrong), Err(SealError::Rejected));
        }
    }
}

#[test]
fn a_record_from_outside_opens_and_is_written_the_same() {
    let hex = |text: &str| -> Vec<u8> {
        let pair = |pair: &[u8]| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap();
        text.as_bytes().chunks(2).map(pair).collect()
    };
    let base = hex("d9953b422d9d2d5d3f722f7864607aade51e42a04f0b622c89642574ae8bd604");
    let stream = hex("84dcad751f3865f1c4b474ff24e04ee4").try_into().unwrap();
    let want = hex("8357a2064201000a5084dcad751f3865f1c4b474ff24e04ee4a050adf4b74941347657180abda63ca3be8f");
    let key = StreamKey::derive(&SecretBytes::try_from_slice(&base).unwrap(), stream);
    assert_eq!(key.seal(256, b""), Ok(want.clone()));
    assert_eq!(opened(key.open(&Record::parse(&want).unwrap())), Ok(Vec::new()));
}

#[test]
fn every_altered_bit_and_length_of_a_record_is_refused() {
    let key = StreamKey::derive(&psk(1), [9; 16]);
    let bytes = key.seal(300, b"content").unwrap();
    let open = |bytes: &[u8]| key.open(&Record::parse(bytes)?);
    assert_eq!(opened(open(&bytes)), Ok(b"content".to_vec()));
    for bit in 0..bytes.len() * 8 {
        let mut altered = bytes.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        assert!(open(&altered).is_err(), "bit {bit}");
    }
    for len in 0..bytes.len() {
        assert!(open(&bytes[..len]).is_err());
    }
}

#[test]
fn a_number_has_one_form() {
    let with = |piv: &[u8]| {
        let mut header = vec![0xa2, 0x06, 0x40 | u8::try_from(piv.len()).unwrap()];
        header.extend(piv);
        header.extend([0x0a, 0x50]);
        header.extend([9; 16]);
        let mut bytes = vec![0x83, 0x40 | u8::try_from(header.len()).unwrap()];
        if header.len() > 23 {
            bytes = vec![0x83, 0x58, u8::try_from(header.len()).unwrap()];
        }
        bytes.extend(header);
        bytes.extend([0xa0, 0x50]);
        bytes.extend([0; 16]);
        Record::parse(&bytes).map(|record| record.number())
    };
    assert_eq!(with(&[0]), Ok(0));
    assert_eq!(with(&[1, 0, 0, 0]), Ok(1 << 24));
    for piv in [&[][..], &[0, 0], &[0, 1], &[1, 0, 0, 0, 0]] {
        assert_eq!(with(piv), Err(OpenError::Shape));
    }
}

#[test]
fn what_is_no_encrypted_object_is_refused_by_name() {
    let strict = Sign1Rules::STRICT;
    let code = |bytes: &[u8]| Encrypt0::parse(bytes, &strict).map(|_| ()).unwrap_err().code();
    assert!(Encrypt0::parse(&[0xd0, 0x83, 0x43, 0xa1, 0x01, 0x0a, 0xa0, 0x40], &strict).is_ok());
    assert_eq!(code(&[0x83, 0x43, 0xa1, 0x01, 0x0a, 0xa0, 0x40]), "Tag");
    assert_eq!(code(&[0xd0, 0x83, 0x40, 0xa0, 0x40]), "Shape");
    assert_eq!(code(&[0xd0, 0x82, 0x40, 0xa0]), "Shape");
    assert_eq!(code(&[0xd0, 0x83]), "Cbor.Eof");
    let other = Encrypt0::parse(&[0xd0, 0x83, 0x43, 0xa1, 0x01, 0x0a, 0xa0, 0x40], &strict).unwrap();
    assert_eq!(opened(other.open(&psk(1), b"")), Err(OpenError::Alg));
}

#[test]
fn debug_shows_no_secret() {
    let (key, stream) = (psk(1), StreamKey::derive(&psk(1), [9; 16]));
    let record = stream.seal(0, b"content").unwrap();
    let shown = format!("{:?} {stream:?} {:?}", PreShared::new(&key, b"id"), Record::parse(&record).unwrap());
    assert_eq!(shown, "PreShared { .. } StreamKey { .. } Record { len: 23, .. }");
}

proptest! {
    #[test]
    fn records_round_trip(base: [u8; 32], stream: [u8; 16], number: u32, plaintext: Vec<u8>) {
        let key = StreamKey::derive(&SecretBytes::from_bytes(base), stream);
        let bytes = key.seal(number, &plaintext).unwrap();
        prop_assert_eq!(opened(key.open(&Record::parse(&bytes).unwrap())), Ok(plaintext));
    }

    #[test]
    fn no_input_panics(bytes: Vec<u8>) {
        let _ = Record::parse(&bytes);
        let _ = encrypt0::peek_psk_id(&bytes);
    }
}
