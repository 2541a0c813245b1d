//! Small figures typed from the standards, each with its section.
#![cfg(feature = "seal")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use deedbox_crypto::{
    aead::Cipher,
    hash::{self, Sha256},
    kdf, kex,
    secret::SecretBytes,
    sign::SigningKey,
};

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit.try_into().unwrap()).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn array<const N: usize>(hex: &str) -> [u8; N] {
    bytes(hex).try_into().unwrap()
}

fn secret(hex: &str) -> SecretBytes<32> {
    SecretBytes::try_from_slice(&bytes(hex)).unwrap()
}

/// FIPS 180-4, examples "abc" and the empty message.
#[test]
fn sha_256() {
    let abc = array("ba7816bf 8f01cfea 414140de 5dae2223 b00361a3 96177a9c b410ff61 f20015ad");
    assert_eq!(hash::sha256(b"abc"), abc);
    assert_eq!(hash::sha256_parts(&[b"a", b"", b"bc"]), abc);
    let mut pieces = Sha256::new();
    pieces.update(b"ab");
    pieces.update(b"c");
    assert_eq!(pieces.finish(), abc);
    assert_eq!(hash::sha256(b""), array("e3b0c442 98fc1c14 9afbf4c8 996fb924 27ae41e4 649b934c a495991b 7852b855"));
}

/// RFC 4231 §4.3 and §4.7.
#[test]
fn hmac_sha_256() {
    assert_eq!(
        kdf::hmac_sha256(b"Jefe", &[b"what do ya want ", b"for nothing?"]),
        array("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
    );
    // §4.7: a key longer than a block.
    assert_eq!(
        kdf::hmac_sha256(&[0xaa; 131], &[b"Test Using Larger Than Block-Size Key - Hash Key First"]),
        array("60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54")
    );
}

/// RFC 5869 A.1 and A.3.
#[test]
fn hkdf_sha_256() {
    let prk = kdf::extract(&bytes("000102030405060708090a0b0c"), &[0x0b; 22]);
    assert_eq!(*prk.expose(), array("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5"));
    let mut okm = [0; 42];
    kdf::expand(prk.expose(), &[&bytes("f0f1f2f3f4"), &bytes("f5f6f7f8f9")], &mut okm).unwrap();
    assert_eq!(okm, array("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"));

    let prk = kdf::extract(b"", &[0x0b; 22]);
    kdf::expand(prk.expose(), &[], &mut okm).unwrap();
    assert_eq!(okm, array("8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"));
}

/// RFC 7748 §6.1.
#[test]
fn x25519() {
    let alice = kex::SecretKey::from_bytes(&secret("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"));
    let bob = kex::SecretKey::from_bytes(&secret("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"));
    assert_eq!(alice.public(), array("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"));
    assert_eq!(bob.public(), array("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"));
    let shared = array("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
    assert_eq!(*alice.agree(&bob.public()).unwrap().expose(), shared);
    assert_eq!(*bob.agree(&alice.public()).unwrap().expose(), shared);
}

/// RFC 8032 §7.1, tests 1 and 2.
#[test]
fn ed25519() {
    let key = SigningKey::from_seed(&secret("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"));
    assert_eq!(*key.public().as_bytes(), array("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"));
    assert_eq!(
        key.sign(b""),
        array(
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155
             5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        )
    );
    let key = SigningKey::from_seed(&secret("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"));
    assert_eq!(
        key.sign(&[0x72]),
        array(
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da
             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        )
    );
}

/// RFC 8439 §2.8.2.
#[test]
fn chacha20_poly1305() {
    let cipher = Cipher::new(&array("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"));
    let nonce = array("070000004041424344454647");
    let aad = bytes("50515253c0c1c2c3c4c5c6c7");
    let mut buffer =
        *b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen \
        would be it.";
    let plain = buffer;
    let tag = cipher.seal_in_place(&nonce, &aad, &mut buffer).unwrap();
    assert_eq!(tag, array("1ae10b594f09e26a7e902ecbd0600691"));
    assert_eq!(buffer[..16], bytes("d31a8d34648e60db7b86afbc53ef7ec2"));
    cipher.open_in_place(&nonce, &aad, &mut buffer, &tag).unwrap();
    assert_eq!(buffer, plain);
}

/// RFC 9106's own figures use a secret and associated data, which this crate doesn't offer; this one is OpenSSL's.
#[cfg(feature = "password")]
#[test]
fn argon2id() {
    use deedbox_crypto::password::{Argon2Params, argon2id};

    let key =
        argon2id(b"correct horse", &array("000102030405060708090a0b0c0d0e0f"), &Argon2Params { m_kib: 64, t: 2, p: 1 });
    assert_eq!(*key.unwrap().expose(), array("9c87c06898bc18516669b54a8b95d36e622946494d7a55c26f391a0406068c19"));
}
