//! Targets of deedbox-crypto.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a fuzz body fails by panicking")]

use std::sync::LazyLock;

use deedbox_crypto::{
    aead::Cipher,
    kem,
    secret::SecretBytes,
    sign::{PublicKey, SigningKey},
};
use deedbox_testkit::rng::SeededRng;

/// Public keys and signatures of any bytes: no panic; an accepted key is written as it was read, and random bytes verify
/// under none.
pub fn crypto_keys(data: &[u8]) {
    if let Some((key, rest)) = data.split_first_chunk::<32>()
        && let Ok(read) = PublicKey::from_bytes(key)
    {
        assert_eq!(read.as_bytes(), key);
        if let Some((signature, message)) = rest.split_first_chunk::<64>() {
            let _ = read.verify(message, signature);
        }
        // A signature by another key never verifies.
        let signer = SigningKey::from_seed(&SecretBytes::from_bytes([1; 32]));
        assert!(read == signer.public() || read.verify(rest, &signer.sign(rest)).is_err());
    }
    if let Ok(read) = kem::PublicKey::from_bytes(data) {
        assert_eq!(read.to_bytes(), data);
        assert!(read.seal(b"info", b"aad", b"text", None, &mut SeededRng::new(1)).is_ok());
    }
}

/// Alters a sealed buffer and an HPKE message of a real key: three bytes say where and how, the rest is the text. What is
/// altered is refused, what is not opens.
pub fn crypto_open(data: &[u8]) {
    static SECRET: LazyLock<kem::SecretKey> =
        LazyLock::new(|| kem::SecretKey::from_seed(&SecretBytes::from_bytes([2; 32])).unwrap());
    let Some(([high, low, flip], text)) = data.split_first_chunk::<3>() else { return };
    let place = usize::from(u16::from_be_bytes([*high, *low]));
    let alter = |bytes: &mut [u8]| {
        let length = bytes.len().max(1);
        if let Some(byte) = bytes.get_mut(place % length) {
            *byte ^= flip;
        }
        *flip == 0 || bytes.is_empty()
    };

    let cipher = Cipher::new(&[3; 32]);
    let mut buffer = text.to_vec();
    let tag = cipher.seal_in_place(&[4; 12], b"aad", &mut buffer).unwrap();
    let untouched = alter(&mut buffer);
    let opened = cipher.open_in_place(&[4; 12], b"aad", &mut buffer, &tag);
    assert_eq!(opened.is_ok(), untouched);
    assert!(if untouched { buffer == text } else { buffer.iter().all(|byte| *byte == 0) });

    let (enc, ct) = SECRET.public().seal(b"info", b"aad", text, None, &mut SeededRng::new(place as u64)).unwrap();
    let mut message = [enc, ct].concat();
    let untouched = alter(&mut message);
    let Some((enc, ct)) = message.split_at_checked(kem::ENC_LEN) else {
        panic!("an encapsulated key has a fixed length")
    };
    match SECRET.open(enc, b"info", b"aad", ct, None) {
        Ok(opened) => assert!(untouched && *opened == text),
        Err(_) => assert!(!untouched),
    }
}
