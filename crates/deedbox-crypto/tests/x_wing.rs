//! X-Wing as other implementations do it: the draft's vectors, and Wycheproof's attacks on the ML-KEM-768 inside.
#![cfg(feature = "seal")]

use core::convert::Infallible;

use deedbox_crypto::{kem, kex, secret::SecretBytes};
use deedbox_testkit::vectors::unhex;
use rand_core::{TryCryptoRng, TryRng};
use wycheproof::{TestResult, mlkem};

/// A generator that gives the bytes of a vector, and no more.
struct Given(Vec<u8>);

impl TryRng for Given {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        unreachable!("X-Wing draws bytes")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        unreachable!("X-Wing draws bytes")
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        out.copy_from_slice(&self.0.drain(..out.len()).collect::<Vec<u8>>());
        Ok(())
    }
}

impl TryCryptoRng for Given {}

#[test]
fn vectors_of_the_draft() {
    let lines = include_str!("vectors/x-wing.txt").lines().filter_map(|line| line.split_once(" = "));
    let values: Vec<(&str, Vec<u8>)> = lines.map(|(name, hex)| (name, unhex(hex))).collect();
    let (cases, rest) = values.as_chunks::<5>();
    assert_eq!((cases.len(), rest.len()), (3, 0));
    for case in cases {
        let [("seed", seed), ("eseed", eseed), ("pk", pk), ("ct", ct), ("ss", ss)] = case else { panic!("a case") };
        let secret = kem::SecretKey::from_seed(&SecretBytes::try_from_slice(seed).unwrap()).unwrap();
        assert_eq!(secret.public().to_bytes(), *pk);
        let mut rng = Given(eseed.clone());
        let (enc, shared) = kem::PublicKey::from_bytes(pk).unwrap().encapsulate(&mut rng).unwrap();
        assert_eq!((&enc, &shared.expose()[..], rng.0.len()), (ct, &ss[..], 0));
        assert_eq!(secret.decapsulate(ct).unwrap().expose()[..], ss[..]);
    }
}

/// Of ML-KEM the wrapper shows keys and ciphertexts, each as the first part of X-Wing's; its shared secret and its own decapsulation
/// keys stay inside.
#[test]
fn ml_kem_768_keys_and_encapsulation() {
    let set = mlkem::TestSet::load(mlkem::TestName::MlKem768Encaps).unwrap();
    let x25519 = kex::SecretKey::generate(&mut Given(vec![7; 32])).public();
    let (mut valid, mut invalid) = (0, 0);
    for test in set.test_groups.into_iter().flat_map(|group| group.tests) {
        let (Some(ek), Some(m)) = (test.encaps_key, test.msg) else { panic!("{}", test.tc_id) };
        let key = kem::PublicKey::from_bytes(&[&ek[..], &x25519].concat());
        if test.result == TestResult::Invalid {
            assert!(key.is_err(), "{} {}", test.tc_id, test.comment);
            invalid += 1;
        } else {
            let (enc, _) = key.unwrap().encapsulate(&mut Given([&m[..], &[9; 32]].concat())).unwrap();
            assert_eq!(enc[..1_088], test.ct.unwrap()[..], "{} {}", test.tc_id, test.comment);
            valid += 1;
        }
    }
    assert!(valid > 100 && invalid > 100, "{valid} {invalid}");
}
