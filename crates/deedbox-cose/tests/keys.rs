//! Keys: what is read, what is refused and by which name.

use deedbox_cbor::{MapWriter, Writer};
use deedbox_cose::{Algorithm, KeyError, LocalSigner, Signer as _, VerifyKey};
#[cfg(feature = "seal")]
use deedbox_cose::{RecipientKey, RecipientSecret};
use deedbox_crypto::hash::sha256;
#[cfg(feature = "seal")]
use deedbox_crypto::secret::SecretBytes;
use deedbox_testkit::rng::SeededRng;

// RFC 8032 §7.1, test 1
const X: [u8; 32] = [
    0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a, 0x0e, 0xe1, 0x72,
    0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a,
];

fn key(more: impl FnOnce(&mut MapWriter)) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.map(|map| {
        int(map, 1, 1);
        int(map, -1, 6);
        map.int(-2, |w| {
            w.bytes(&X);
        });
        more(map);
    });
    writer.into_vec()
}

fn int(map: &mut MapWriter, label: i64, value: i64) {
    map.int(label, |w| {
        w.int(value);
    });
}

fn bytes(map: &mut MapWriter, label: i64, value: &[u8]) {
    map.int(label, |w| {
        w.bytes(value);
    });
}

#[test]
fn a_key_is_written_with_its_required_members_and_named_by_their_hash() {
    let read = VerifyKey::parse(&key(|map| {
        bytes(map, 2, b"a name");
        int(map, 3, -8);
        map.int(4, |w| {
            w.array(2).int(1).int(2);
        });
        map.text("note", |w| {
            w.text("others may add what they like");
        });
    }))
    .unwrap();
    let mut want = vec![0xa3, 0x01, 0x01, 0x20, 0x06, 0x21, 0x58, 0x20];
    want.extend(X);
    assert_eq!(read.to_cose_key(), want);
    assert_eq!(read.thumbprint().as_bytes(), &sha256(&want));
    assert_eq!(read.algorithm(), Algorithm::Ed25519);
    assert_eq!(VerifyKey::parse(&want).unwrap(), read);
}

// RFC 9679 §6, figure 4: {1: 2, -1: 1, -2: x, -3: y}
#[cfg(feature = "es256")]
#[test]
fn the_thumbprint_of_rfc_9679_comes_out() {
    let hex = |text: &str| -> Vec<u8> {
        let pair = |pair: &[u8]| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap();
        text.as_bytes().chunks(2).map(pair).collect()
    };
    let mut writer = Writer::new();
    writer.map(|map| {
        int(map, 1, 2);
        int(map, -1, 1);
        bytes(map, -2, &hex("65eda5a12577c2bae829437fe338701a10aaa375e1bb5b5de108de439c08551d"));
        bytes(map, -3, &hex("1e52ed75701163f7f9e40ddf9f341b3dc9ba860af7e0ca7ca7e9eecd0084d19c"));
        bytes(map, 2, b"meriadoc.brandybuck@buckland.example");
    });
    let key = VerifyKey::parse(writer.as_slice()).unwrap();
    assert_eq!(
        key.thumbprint().as_bytes()[..],
        hex("496bd8afadf307e5b08c64b0421bf9dc01528a344a43bda88fadd1669da253ec")
    );
    assert_eq!(key.algorithm(), Algorithm::Es256);
}

#[test]
fn what_is_no_key_is_refused_by_name() {
    let refused = |cose_key: Vec<u8>| VerifyKey::parse(&cose_key).unwrap_err();
    assert!(VerifyKey::parse(&key(|_| ())).is_ok());
    assert_eq!(refused(key(|map| bytes(map, -4, &[1; 32]))), KeyError::Private);
    assert_eq!(refused(key(|map| int(map, 1, 3))), KeyError::Kty);
    assert_eq!(refused(key(|map| int(map, 1, 2))), KeyError::Curve);
    assert_eq!(refused(key(|map| int(map, -1, 4))), KeyError::Curve);
    assert_eq!(refused(key(|map| int(map, 3, -7))), KeyError::Alg);
    assert_eq!(refused(key(|map| int(map, 2, 1))), KeyError::Shape);
    assert_eq!(refused(key(|map| bytes(map, -2, &X[..31]))), KeyError::Shape);
    assert_eq!(refused(key(|map| bytes(map, 4, &[]))), KeyError::Shape);
    let ops = |op| {
        key(|map| {
            map.int(4, |w| {
                w.array(1).int(op);
            });
        })
    };
    assert!(VerifyKey::parse(&ops(2)).is_ok());
    assert_eq!(refused(ops(1)), KeyError::KeyOps);
    assert_eq!(refused(vec![0x80]), KeyError::Shape);
    assert_eq!(refused(vec![0xa0]), KeyError::Shape);
    assert_eq!(refused(vec![]).code(), "Cbor.Eof");
    assert_eq!(refused(vec![0; 5000]).code(), "Cbor.TooLong");
}

#[test]
fn points_that_prove_nothing_are_refused() {
    let refused = |x: [u8; 32]| VerifyKey::parse(&key(|map| bytes(map, -2, &x)));
    let mut one = [0; 32];
    one[0] = 1;
    // y = p - 1: order 2; y = 0: order 4; y = 1: the neutral element
    let mut minus_one = [0xff; 32];
    (minus_one[0], minus_one[31]) = (0xec, 0x7f);
    // y = p + 1: not canonical
    let mut p_plus_one = [0xff; 32];
    (p_plus_one[0], p_plus_one[31]) = (0xee, 0x7f);
    // y = 2: not on the curve
    let mut two = [0; 32];
    two[0] = 2;
    for x in [one, minus_one, p_plus_one, two, [0; 32]] {
        assert_eq!(refused(x), Err(KeyError::Point));
    }
}

#[test]
fn every_length_of_a_key_but_its_own_is_refused() {
    let key = key(|_| ());
    for len in 0..key.len() {
        assert!(VerifyKey::parse(&key[..len]).is_err());
    }
    assert_eq!(VerifyKey::parse(&[&key[..], &[0]].concat()).unwrap_err().code(), "Cbor.Trailing");
}

#[cfg(not(feature = "es256"))]
#[test]
fn a_key_that_this_build_cant_use_is_not_mistaken_for_a_bad_one() {
    let cose_key = key(|map| {
        int(map, 1, 2);
        int(map, -1, 1);
    });
    assert_eq!(VerifyKey::parse(&cose_key), Err(KeyError::Unsupported));
}

#[cfg(feature = "seal")]
#[test]
fn a_recipient_key_is_read_as_it_is_written() {
    let secret = RecipientSecret::from_seed(&SecretBytes::from_bytes([7; 32])).unwrap();
    let bytes = secret.public().to_cose_key();
    // {1: 7, 3: -91258, -1: 1216 bytes}
    assert_eq!(bytes[..13], [0xa3, 0x01, 0x07, 0x03, 0x3a, 0x00, 0x01, 0x64, 0x79, 0x20, 0x59, 0x04, 0xc0]);
    let read = RecipientKey::parse(&bytes).unwrap();
    assert_eq!(&read, secret.public());
    assert_eq!(read.thumbprint().as_bytes(), &sha256(&bytes));
    assert_eq!(VerifyKey::parse(&bytes), Err(KeyError::Kty));
    assert_eq!(RecipientKey::parse(&key(|_| ())).unwrap_err(), KeyError::Kty);
    for len in 0..bytes.len() {
        assert!(RecipientKey::parse(&bytes[..len]).is_err());
    }
}

#[cfg(feature = "seal")]
#[test]
fn a_private_part_of_a_recipient_key_is_refused() {
    let secret = RecipientSecret::from_seed(&SecretBytes::from_bytes([7; 32])).unwrap();
    let bytes = secret.public().to_cose_key();
    let item = deedbox_cbor::read(&bytes, deedbox_cbor::Order::Any, &deedbox_cbor::Limits::new(4096)).unwrap();
    let with = |label: i64| {
        let mut writer = Writer::new();
        writer.map(|map| {
            for (key, value) in item.as_map().unwrap().iter() {
                map.entry(
                    |w| {
                        w.item(key);
                    },
                    |w| {
                        w.item(value);
                    },
                );
            }
            map.int(label, |w| {
                w.bytes(&[1; 32]);
            });
        });
        writer.into_vec()
    };
    assert!(RecipientKey::parse(&with(-70_000)).is_ok());
    assert_eq!(RecipientKey::parse(&with(-2)).unwrap_err(), KeyError::Private);
}

#[test]
fn no_debug_shows_a_key() {
    let signer = LocalSigner::generate(&mut SeededRng::new(1));
    assert_eq!(format!("{signer:?}"), "LocalSigner { .. }");
    assert_eq!(format!("{:?}", signer.public()), "VerifyKey { algorithm: Ed25519, .. }");
    assert_eq!(format!("{:?}", signer.public().thumbprint()), "Thumbprint { .. }");
}

#[cfg(feature = "seal")]
#[test]
fn no_debug_shows_a_recipients_key() {
    let secret = RecipientSecret::from_seed(&SecretBytes::from_bytes([7; 32])).unwrap();
    assert_eq!(format!("{secret:?} {:?}", secret.public()), "RecipientSecret { .. } RecipientKey { .. }");
}
