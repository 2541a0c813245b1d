use alloc::{format, vec};

use deedbox_cose::LocalSigner;
use deedbox_crypto::secret::SecretBytes;
use proptest::prelude::*;

use super::*;

fn signer(seed: u8) -> LocalSigner {
    LocalSigner::from_seed(&SecretBytes::from_bytes([seed; 32]))
}

fn key(seed: u8) -> HeadKey {
    HeadKey::from_bytes(signer(seed).public().as_ed25519().unwrap().as_bytes()).unwrap()
}

fn claims(seq: u64, prev: Option<[u8; 32]>) -> Claims {
    Claims {
        store: StoreName::from_bytes([1; 16]),
        dataset: DatasetId::from_bytes([2; 16]),
        seq: Seq::new(seq).unwrap(),
        prev: prev.map(Digest::from_bytes),
        root: Digest::from_bytes([3; 32]),
        count: 4,
        epoch: Epoch::FIRST,
        commitment: Digest::from_bytes([5; 32]),
        time: Timestamp::from_secs(6),
        min_suite: 1,
    }
}

#[test]
fn what_was_signed_is_verified() {
    let (bytes, signed) = claims(2, Some([9; 32])).sign(&signer(1)).unwrap();
    let head = Head::verify(&bytes, &key(1)).unwrap();
    assert_eq!(head, signed);
    assert_eq!(head.claims, claims(2, Some([9; 32])));
    assert_eq!(Head::peek_key(&bytes), Ok(key(1).thumbprint()));
    assert_eq!(head.hash().as_bytes(), &sha256(&bytes));
}

#[test]
fn another_key_is_told_from_a_bad_signature() {
    let (mut bytes, _) = claims(1, None).sign(&signer(1)).unwrap();
    assert_eq!(Head::verify(&bytes, &key(2)), Err(HeadError::UnknownKey));
    *bytes.last_mut().unwrap() ^= 1;
    assert_eq!(Head::verify(&bytes, &key(1)), Err(HeadError::BadSignature));
}

#[test]
fn a_document_of_another_kind_is_no_head() {
    let (bytes, _) = claims(1, None).sign(&signer(1)).unwrap();
    let document = Document::parse(&bytes).unwrap().verify(key(1).verify_key(), label::HEAD.as_bytes()).unwrap();
    for other in label::ALL {
        let bytes = sign1::document(&signer(1), other.as_bytes(), document.payload()).unwrap();
        let want = if *other == label::HEAD { Ok(()) } else { Err(HeadError::BadSignature) };
        assert_eq!(Head::verify(&bytes, &key(1)).map(|_| ()), want);
    }
}

#[test]
fn every_bit_and_every_length_count() {
    let (bytes, _) = claims(2, Some([9; 32])).sign(&signer(1)).unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut altered = bytes.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        assert!(Head::verify(&altered, &key(1)).is_err(), "bit {bit}");
    }
    for len in 0..bytes.len() {
        assert_eq!(Head::verify(&bytes[..len], &key(1)), Err(HeadError::Malformed));
    }
    assert_eq!(Head::verify(&vec![0; 2_000], &key(1)), Err(HeadError::Malformed));
}

/// Beyond 1,024 bytes nothing is looked at, neither whose it is nor what it says.
#[test]
fn what_is_longer_than_a_head_is_not_read() {
    let of_length = |len: usize| {
        let document = |payload| sign1::document(&signer(1), label::HEAD.as_bytes(), &vec![0; payload]).unwrap();
        let bytes = document(len - (document(800).len() - 800));
        assert_eq!(bytes.len(), len);
        bytes
    };
    let (longest, longer) = (of_length(1_024), of_length(1_025));
    assert_eq!(Head::peek_key(&longest), Ok(key(1).thumbprint()));
    assert_eq!(Head::peek_key(&longer), Err(HeadError::Malformed));
    assert_eq!(Head::verify(&longest, &key(2)), Err(HeadError::UnknownKey));
    assert_eq!(Head::verify(&longer, &key(2)), Err(HeadError::Malformed));
}

#[test]
fn a_head_vouches_for_the_one_it_names_and_no_other() {
    let (first, head) = claims(1, None).sign(&signer(1)).unwrap();
    let (_, next) = claims(2, Some(sha256(&first))).sign(&signer(1)).unwrap();
    assert_eq!(Head::vouched_for(&first, &next), Some(head.clone()));
    let (other, _) = Claims { count: 5, ..claims(1, None) }.sign(&signer(1)).unwrap();
    assert_eq!(Head::vouched_for(&other, &next), None);
    assert_eq!(Head::vouched_for(&first, &head), None);
}

#[test]
fn a_head_prints_its_number_and_count() {
    let (_, head) = claims(2, Some([9; 32])).sign(&signer(1)).unwrap();
    assert_eq!(format!("{head:?}"), "Head { seq: Seq(2), count: 4, .. }");
}

#[test]
fn signed_claims_of_another_shape_are_malformed() {
    // A first head with a predecessor, and a later one without.
    for claims in [claims(1, Some([9; 32])), claims(2, None)] {
        let (bytes, _) = claims.sign(&signer(1)).unwrap();
        assert_eq!(Head::verify(&bytes, &key(1)), Err(HeadError::Malformed));
    }
    for payload in [&[0xa0][..], &[0x80], &[]] {
        let bytes = sign1::document(&signer(1), label::HEAD.as_bytes(), payload).unwrap();
        assert_eq!(Head::verify(&bytes, &key(1)), Err(HeadError::Malformed));
    }
}

#[test]
fn a_head_is_held_against_the_pin() {
    let head = |seq, prev| claims(seq, prev).sign(&signer(1)).unwrap().1;
    let pin = |seq, hash| Pin::new(Seq::new(seq).unwrap(), hash);
    let five = head(5, Some([9; 32]));
    let other = Digest::from_bytes([8; 32]);
    let nine = Digest::from_bytes([9; 32]);
    let seq = |seq| Seq::new(seq).unwrap();
    assert_eq!(five.follows(&five.pin()), Ok(Freshness::Pinned));
    assert_eq!(five.follows(&pin(4, nine)), Ok(Freshness::Pinned));
    assert_eq!(five.follows(&pin(4, other)), Err(HeadError::Fork { seq: seq(5) }));
    assert_eq!(five.follows(&pin(5, other)), Err(HeadError::Fork { seq: seq(5) }));
    assert_eq!(five.follows(&pin(6, other)), Err(HeadError::Rollback { pinned: seq(6), got: seq(5) }));
    assert_eq!(five.follows(&pin(3, nine)), Ok(Freshness::Pinned));
    assert_eq!(five.follows(&pin(3, other)), Ok(Freshness::Unknown));
}

#[test]
fn the_root_is_that_of_the_naive_tree() {
    fn naive(leaves: &[[u8; 32]]) -> [u8; 32] {
        match leaves {
            [] => sha256(&[]),
            [leaf] => *leaf,
            _ => {
                let split = leaves.len().next_power_of_two() / 2;
                let (left, right) = leaves.split_at(split);
                let (left, right) = (naive(left), naive(right));
                sha256(&[&[1][..], &left, &right].concat())
            }
        }
    }
    let entry = |n: u8| Entry::new(ObjectId::from_bytes([n; 16]), Seq::FIRST, 1, Digest::from_bytes([n; 32]));
    for count in 0..40 {
        let entries: Vec<_> = (0..count).map(entry).collect();
        let leaf = |n: u8| sha256(&[&[0][..], &[n; 16], &1_u64.to_be_bytes(), &[1], &[n; 32]].concat());
        let want = naive(&(0..count).map(leaf).collect::<Vec<_>>());
        assert_eq!(state_root(&entries).as_bytes(), &want);
        let reversed: Vec<_> = entries.into_iter().rev().collect();
        assert_eq!(state_root(&reversed).as_bytes(), &want);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Head::verify(&bytes, &key(1)).is_err());
    }
}
