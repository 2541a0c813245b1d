//! Runs each comparison of deedbox-crypto, and the splitting and joining of deedbox-record, on secrets that memcheck takes
//! for undefined: a branch or an index that depends on one is an error, and memcheck exits 9. `constant-time bad` compares with a loop that stops early, and must exit 9 too,
//! or this probe proves nothing.

use std::{convert::Infallible, ffi::c_void, hint::black_box, process::ExitCode};

use deedbox_crypto::{
    ct,
    kdf::{self, hmac_sha256},
    label,
    secret::SecretBytes,
};
use deedbox_record::{Share, ThresholdSecret};
use deedbox_testkit::rng::SeededRng;
use rand_core::{TryCryptoRng, TryRng};

unsafe extern "C" {
    fn deedbox_mark(bytes: *mut c_void, length: usize, undefined: i32) -> i32;
}

/// Marks `bytes`; says whether memcheck heard it.
fn mark(bytes: &mut [u8], undefined: bool) -> bool {
    // SAFETY: the function reads and writes no memory; it tells memcheck about the bytes of a live slice. The slice is
    // mutable so that the compiler reads it again afterwards.
    unsafe { deedbox_mark(bytes.as_mut_ptr().cast(), bytes.len(), i32::from(undefined)) != 0 }
}

/// `length` equal bytes that memcheck takes for undefined.
fn undefined(length: usize) -> Vec<u8> {
    let mut bytes = vec![7; length];
    if !mark(&mut bytes, true) {
        eprintln!("constant-time: run me under valgrind");
        std::process::exit(2);
    }
    bytes
}

/// What a comparison told, as a value one may branch on.
fn told(result: bool) -> bool {
    let mut byte = [u8::from(result)];
    mark(&mut byte, false);
    byte[0] != 0
}

/// The known bad one: it stops at the first difference.
#[inline(never)]
fn early_exit(left: &[u8], right: &[u8]) -> bool {
    for (one, other) in left.iter().zip(right) {
        if black_box(one) != black_box(other) {
            return false;
        }
    }
    true
}

/// Randomness that memcheck takes for undefined wherever 32 bytes, a secret, are drawn at once.
struct Undefined(SeededRng);

impl TryRng for Undefined {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.0.try_next_u32()
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0.try_next_u64()
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        self.0.try_fill_bytes(out)?;
        if out.len() == 32 {
            mark(out, true);
        }
        Ok(())
    }
}

impl TryCryptoRng for Undefined {}

fn main() -> ExitCode {
    let equal = if std::env::args().nth(1).as_deref() == Some("bad") { early_exit } else { ct::eq };
    for length in [16, 24, 32, 64, 1000] {
        let secret = undefined(length);
        let same = vec![7; length];
        let mut other = same.clone();
        other[length / 2] ^= 1;
        assert!(told(equal(&secret, &same)), "equal bytes must be equal");
        assert!(!told(equal(&secret, &other)), "different bytes must differ");
        assert!(!told(ct::eq(&secret, &same[1..])), "another length must differ");
    }

    let Some(secret) = SecretBytes::<32>::try_from_slice(&undefined(32)) else {
        return ExitCode::FAILURE;
    };
    assert!(told(secret.matches(&[7; 32])));
    assert!(!told(secret.matches(&[8; 32])));

    // A MAC and a commitment as callers check them: derived from the secret, compared.
    let mac = hmac_sha256(secret.expose(), &[b"header"]);
    assert!(told(ct::eq(&mac, &hmac_sha256(&[7; 32], &[b"header"]))));
    assert!(!told(ct::eq(&mac, &hmac_sha256(&[7; 32], &[b"another"]))));
    let derived = kdf::derive(&secret, label::DATASET_COMMIT, &[b"store"]);
    let known = kdf::derive(&SecretBytes::from_bytes([7; 32]), label::DATASET_COMMIT, &[b"store"]);
    assert!(told(derived.matches(known.expose())));

    // A secret shared among contacts: split, sent, sent back, joined.
    for (k, n) in [(2, 3), (5, 9), (40, 255)] {
        let Ok((secret, shares)) = ThresholdSecret::split(k, n, &mut Undefined(SeededRng::new(1))) else {
            return ExitCode::FAILURE;
        };
        let back: Vec<_> = shares.iter().rev().filter_map(|share| Share::decode(&share.encode()).ok()).collect();
        assert!(ThresholdSecret::join(secret.threshold(), &back).is_ok(), "shares must join");
    }
    ExitCode::SUCCESS
}
