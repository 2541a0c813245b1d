//! What `{:?}` shows of each type that holds a secret: its name, and nothing more.
#![cfg(feature = "seal")]

use deedbox_crypto::{Rejected, TooLong, aead::Cipher, kdf, kem, kex, secret::SecretBytes, sign::SigningKey};

#[test]
fn secrets_print_their_type_only() {
    let seed = SecretBytes::from_bytes([0x5a; 32]);
    assert_eq!(format!("{seed:?}"), "SecretBytes { .. }");
    assert_eq!(format!("{:#?}", SecretBytes::from_bytes([0x5a; 3])), "SecretBytes { .. }");
    assert_eq!(format!("{:?}", SigningKey::from_seed(&seed)), "SigningKey { .. }");
    assert_eq!(format!("{:?}", kex::SecretKey::from_bytes(&seed)), "SecretKey { .. }");
    assert_eq!(format!("{:?}", kem::SecretKey::from_seed(&seed).unwrap()), "SecretKey { .. }");
    assert_eq!(format!("{:?}", kem::Psk { psk: seed.expose(), id: b"id" }), "Psk { .. }");
    assert_eq!(format!("{:?}", Cipher::new(seed.expose())), "Cipher { .. }");
    assert_eq!(format!("{:?}", kdf::Prk::new(&seed)), "Prk { .. }");
}

/// A key names whoever holds it; a log shall not.
#[test]
fn public_keys_print_their_type_only() {
    let seed = SecretBytes::from_bytes([0x5a; 32]);
    assert_eq!(format!("{:?}", SigningKey::from_seed(&seed).public()), "PublicKey { .. }");
    assert_eq!(format!("{:?}", kem::SecretKey::from_seed(&seed).unwrap().public()), "PublicKey { .. }");
}

#[test]
fn errors_say_nothing_about_their_cause() {
    assert_eq!(Rejected.to_string(), "rejected");
    assert_eq!(TooLong.to_string(), "more than 8160 bytes of derived output");
}
