use alloc::{format, vec};

use deedbox_testkit::rng::SeededRng;
use proptest::prelude::*;

use super::*;

fn split(k: u8, n: u8, seed: u64) -> (ThresholdSecret, Vec<Share>) {
    ThresholdSecret::split(k, n, &mut SeededRng::new(seed)).unwrap()
}

fn again(share: &Share) -> Share {
    Share::decode(&share.encode()).unwrap()
}

fn picked(shares: &[Share], which: impl Fn(usize) -> bool) -> Vec<Share> {
    shares.iter().enumerate().filter(|(n, _)| which(*n)).map(|(_, share)| again(share)).collect()
}

fn join(threshold: &Threshold, shares: &[Share]) -> Result<[u8; 32], ShareError> {
    ThresholdSecret::join(threshold, shares).map(|joined| *joined.expose())
}

/// draft-mcgrew-tss-03 §9, in the same field: the secret "test" and a zero, of two shares of two.
#[test]
fn the_published_figure() {
    let share = |index, bytes: [u8; 5]| {
        let mut value = Zeroizing::new([0; 32]);
        value[..5].copy_from_slice(&bytes);
        Share { set: [0; 16], k: 2, index, value }
    };
    let shares = [share(1, [0xb9, 0xfa, 0x07, 0xe1, 0x85]), share(2, [0xf5, 0x40, 0x9b, 0x45, 0x11])];
    let joined = join(&Threshold { set: [0; 16], k: 2, n: 2 }, &shares).unwrap();
    assert_eq!((&joined[..5], &joined[5..]), (&b"test\0"[..], &[0; 27][..]));
}

#[test]
fn the_field_is_that_of_fips_197() {
    // §4.2 and §4.2.1.
    assert_eq!((mul(0x57, 0x83), mul(0x57, 0x13)), (0xc1, 0xfe));
    for a in 0..=255 {
        for b in 0..=255 {
            assert_eq!(mul(a, b), slow::product(a, b));
        }
        assert_eq!(mul(a, invert(a)), u8::from(a != 0));
    }
}

#[test]
fn every_choice_of_enough_shares_joins_and_no_smaller_one() {
    for n in 2..=6 {
        for k in 2..=n {
            let (secret, shares) = split(k, n, u64::from(n) << 8 | u64::from(k));
            for choice in 0_u32..1 << n {
                let chosen = picked(&shares, |share| choice >> share & 1 == 1);
                let missing = usize::from(k).saturating_sub(chosen.len());
                let want = if missing == 0 { Ok(*secret.expose()) } else { Err(ShareError::TooFew { missing }) };
                assert_eq!(join(secret.threshold(), &chosen), want, "{k} of {n}, {choice:b}");
            }
        }
    }
}

#[test]
fn as_many_shares_as_there_can_be() {
    let (secret, mut shares) = split(255, 255, 1);
    shares.reverse();
    assert_eq!(shares[0].encode().len(), MAX_SHARE);
    assert_eq!(join(secret.threshold(), &shares), Ok(*secret.expose()));
    for (k, n) in [(0, 0), (0, 3), (1, 1), (1, 3), (3, 2), (255, 254)] {
        assert_eq!(ThresholdSecret::split(k, n, &mut SeededRng::new(1)).err(), Some(ShareError::Limit), "{k} of {n}");
    }
}

/// Whoever holds k - 1 shares can rule out no secret: for each there is one polynomial, and only one, that gives theirs.
#[test]
fn one_share_too_few_fits_every_secret_equally() {
    // Two of n: one share, of every index and value. The 32 bytes of a secret are 32 tries at once.
    for (index, value) in [(1, 0), (1, 0x53), (2, 0xff), (255, 1)] {
        for secret in 0..=255 {
            let coefficients = all_bytes().into_iter();
            let values =
                coefficients.flat_map(|tries| *value_at(index, &[secret; 32], &[SecretBytes::from_bytes(tries)]));
            assert_eq!(values.filter(|y| *y == value).count(), 1, "share {index} is {value}, secret {secret}");
        }
    }
    // Three of n: two shares, all 2^24 polynomials. A secret is added to what the coefficients give.
    for [(one, y1), (two, y2)] in [[(1, 0), (2, 0)], [(3, 0x1d), (200, 0xe4)]] {
        let mut fitting = [0; 256];
        for linear in 0..=255 {
            for tries in all_bytes() {
                let rows = [SecretBytes::from_bytes([linear; 32]), SecretBytes::from_bytes(tries)];
                let values = [one, two].map(|index| value_at(index, &[0; 32], &rows));
                for (rest1, rest2) in values[0].iter().zip(&*values[1]) {
                    for secret in 0..=255 {
                        fitting[usize::from(secret)] += u32::from(secret ^ rest1 == y1 && secret ^ rest2 == y2);
                    }
                }
            }
        }
        assert_eq!(fitting, [1; 256]);
    }
}

/// All 256 bytes, 32 at a time.
fn all_bytes() -> [[u8; 32]; 8] {
    let mut bytes = 0..=255;
    [(); 8].map(|()| [(); 32].map(|()| bytes.next().unwrap()))
}

/// Of every coefficient, all 256 values are equally likely: zero too, or shares would tell what a secret is not.
#[test]
fn coefficients_are_uniform() {
    let mut counts = [[0_u32; 256]; 3];
    for seed in 0..4_096 {
        let (secret, shares) = split(3, 3, seed);
        let [y1, y2, y3] = [0, 1, 2].map(|n| &shares[n].value);
        for byte in 0..32 {
            // Divided differences at 1, 2 and 3.
            let (first, second) = (y1[byte] ^ y2[byte], y2[byte] ^ y3[byte]);
            let (first, second) = (mul(first, invert(1 ^ 2)), mul(second, invert(2 ^ 3)));
            let top = mul(first ^ second, invert(1 ^ 3));
            let linear = first ^ mul(top, 1 ^ 2);
            let constant = y1[byte] ^ linear ^ top;
            assert_eq!(constant, secret.expose()[byte]);
            for (counts, coefficient) in counts.iter_mut().zip([constant, linear, top]) {
                counts[usize::from(coefficient)] += 1;
            }
        }
    }
    let expected = 4_096.0 * 32.0 / 256.0;
    for counts in counts {
        let chi_square: f64 = counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
        // 255 degrees of freedom: outside of this once in a thousand.
        assert!((184.0..331.0).contains(&chi_square), "{chi_square}");
    }
}

#[test]
fn shares_that_do_not_belong_together_are_named() {
    let (secret, shares) = split(2, 3, 1);
    let threshold = secret.threshold();
    let joined = |shares: &[Share]| join(threshold, shares).unwrap_err().code();
    assert!(join(threshold, &picked(&shares, |n| n < 2)).is_ok());
    assert_eq!(joined(&[]), "TooFew");
    assert_eq!(joined(&[again(&shares[1]), again(&shares[1])]), "Duplicate");
    assert_eq!(joined(&[again(&shares[0]), again(&shares[1]), again(&shares[0])]), "Duplicate");
    assert_eq!(joined(&[again(&shares[0]), again(&split(2, 3, 2).1[1])]), "OtherSet");
    assert_eq!(joined(&[again(&shares[0]), Share { k: 3, ..again(&shares[1]) }]), "OtherThreshold");
    assert_eq!(joined(&[again(&shares[0]), Share { index: 4, ..again(&shares[1]) }]), "OtherThreshold");
    // A value or number that is not the contact's gives another secret, which no slot opens with.
    let mut value = Zeroizing::new(*shares[1].value);
    value[31] ^= 1;
    for wrong in [Share { value, ..again(&shares[1]) }, Share { index: 3, ..again(&shares[1]) }] {
        assert_ne!(join(threshold, &[again(&shares[0]), wrong]), Ok(*secret.expose()));
    }
}

#[test]
fn a_share_names_its_set_and_what_else_is_needed() {
    let (secret, shares) = split(3, 5, 1);
    let threshold = secret.threshold();
    assert_eq!((threshold.k(), threshold.n()), (3, 5));
    for (index, share) in (1..).zip(&shares) {
        assert_eq!((share.set(), share.k(), share.index()), (threshold.set(), 3, index));
    }
    assert_ne!(threshold.set(), split(3, 5, 2).0.threshold().set());
}

#[test]
fn share_bytes_are_strict() {
    let (_, shares) = split(2, 3, 1);
    let bytes = shares[0].encode();
    assert_eq!(bytes.len(), 54);
    assert_eq!(*again(&shares[0]).value, *shares[0].value);
    for bit in 0..bytes.len() * 8 {
        let mut other = bytes.to_vec();
        other[bit / 8] ^= 1 << (bit % 8);
        // Another share, written the same again, or none.
        if let Ok(share) = Share::decode(&other) {
            assert_eq!(*share.encode(), other);
            assert!((2..20).contains(&(bit / 8)) || bit / 8 >= 22, "bit {bit}");
        }
    }
    for len in 0..bytes.len() {
        assert_eq!(Share::decode(&bytes[..len]).err(), Some(ShareError::Malformed));
    }
    let written = |k: u64, index: u64, len: usize| {
        let mut writer = Writer::new();
        writer.array(4).bytes(&[1; 16]).uint(k).uint(index).bytes(&vec![3; len]);
        Share::decode(writer.as_slice()).map(|_| ()).map_err(|error| error.code())
    };
    assert_eq!(written(2, 1, 32), Ok(()));
    assert_eq!(written(255, 255, 32), Ok(()));
    for (k, index, len) in [(0, 1, 32), (1, 1, 32), (256, 1, 32), (2, 0, 32), (2, 256, 32), (2, 1, 31), (2, 1, 33)] {
        assert_eq!(written(k, index, len), Err("Malformed"), "{k} {index} {len}");
    }
    assert!(Share::decode(&[&bytes[..], &[0]].concat()).is_err());
}

#[test]
fn secrets_print_nothing() {
    let (secret, shares) = split(2, 3, 1);
    assert_eq!(format!("{secret:?} {:?}", shares[0]), "ThresholdSecret { .. } Share { .. }");
    assert_eq!(format!("{:?}", secret.threshold()), "Threshold { k: 2, n: 3, .. }");
}

proptest! {
    /// Joined in any order, of any shares, as another implementation does it.
    #[test]
    fn joining_agrees_with_elimination(k in 2_u8..12, more in 0_u8..12, seed: u64, order: u64) {
        let (secret, mut shares) = split(k, k + more, seed);
        shares.sort_by_key(|share| order.wrapping_mul(u64::from(share.index) | 1).rotate_left(31));
        let joined = join(secret.threshold(), &shares).unwrap();
        prop_assert_eq!(&joined, secret.expose());
        for byte in [0, 31] {
            let points = shares.iter().take(k.into()).map(|share| (share.index, share.value[byte])).collect();
            prop_assert_eq!(slow::constant(points), joined[byte]);
        }
    }

    #[test]
    fn decoding_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        prop_assert!(Share::decode(&bytes).is_err());
    }
}

/// Another way to the same field and polynomial: long division, search, elimination.
mod slow {
    use super::*;

    /// The product as polynomials over GF(2), then the remainder by 0x11b.
    pub(super) fn product(a: u8, b: u8) -> u8 {
        let mut long = (0..8).filter(|bit| b >> bit & 1 == 1).fold(0_u16, |sum, bit| sum ^ u16::from(a) << bit);
        for degree in (8..15).rev() {
            if long >> degree & 1 == 1 {
                long ^= 0x11b << (degree - 8);
            }
        }
        u8::try_from(long).unwrap()
    }

    fn quotient(a: u8, b: u8) -> u8 {
        (0..=255).find(|c| product(*c, b) == a).unwrap()
    }

    /// Solves for the constant: in turn each point's equation removes the highest power from the others.
    pub(super) fn constant(points: Vec<(u8, u8)>) -> u8 {
        let terms = points.len();
        let powers = |x| core::iter::successors(Some(1), move |power| Some(product(*power, x))).take(terms);
        let mut rows: Vec<Vec<u8>> = points.into_iter().map(|(x, y)| powers(x).chain([y]).collect()).collect();
        for power in (1..terms).rev() {
            let at = rows.iter().position(|row| row[power] != 0).unwrap();
            let pivot = rows.swap_remove(at);
            for row in &mut rows {
                let factor = quotient(row[power], pivot[power]);
                row.iter_mut().zip(&pivot).for_each(|(cell, other)| *cell ^= product(factor, *other));
            }
        }
        let [row] = rows.try_into().unwrap();
        quotient(row[terms], row[0])
    }
}
