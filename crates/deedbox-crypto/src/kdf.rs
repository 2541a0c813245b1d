//! HMAC-SHA-256 (RFC 2104) and HKDF-SHA-256 (RFC 5869).

use core::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::{TooLong, hash::sha256, label::Label, secret::SecretBytes};

/// A key that others are derived from, ready for use: what HMAC makes of the key alone is computed once, which is two of the
/// four blocks that a short derivation hashes. Wiped when dropped.
///
/// ```compile_fail
/// fn copy(key: &deedbox_crypto::kdf::Prk) -> deedbox_crypto::kdf::Prk { key.clone() }
/// ```
pub struct Prk(Hmac<Sha256>);

impl Prk {
    /// Makes `key` ready.
    #[must_use]
    pub fn new(key: &SecretBytes<32>) -> Self {
        Self(keyed(key.expose()))
    }

    /// The key for `label` and what follows it: HKDF-Expand(key, label ‖ rest, 32).
    #[must_use]
    pub fn derive(&self, label: Label, rest: &[&[u8]]) -> SecretBytes<32> {
        // Expand of one block is HMAC(key, info ‖ 01), RFC 5869 §2.3.
        let mut mac = self.0.clone();
        mac.update(label.as_bytes());
        for part in rest {
            mac.update(part);
        }
        mac.update(&[1]);
        SecretBytes::build(|out| *out = mac.finalize().into_bytes().into())
    }

    /// HKDF-Expand with the parts of `info`, one after another, into `out`.
    ///
    /// # Errors
    /// [`TooLong`] above 8,160 bytes; `out` is then untouched.
    pub fn expand(&self, info: &[&[u8]], out: &mut [u8]) -> Result<(), TooLong> {
        if out.len() > 255 * BLOCK {
            return Err(TooLong);
        }
        // T(n) = HMAC(key, T(n-1) ‖ info ‖ n), RFC 5869 §2.3. Each may be a key, so no copy stays behind.
        let mut block = Zeroizing::new([0; BLOCK]);
        for (number, to) in (1_u8..=255).zip(out.chunks_mut(BLOCK)) {
            let mut mac = self.0.clone();
            if number > 1 {
                mac.update(&*block);
            }
            for part in info {
                mac.update(part);
            }
            mac.update(&[number]);
            *block = mac.finalize().into_bytes().into();
            if let Some(block) = block.get(..to.len()) {
                to.copy_from_slice(block);
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Prk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prk").finish_non_exhaustive()
    }
}

/// HMAC-SHA-256 over the parts, one after another; the key may have any length.
#[must_use]
pub fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = keyed(key);
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// HKDF-Extract.
#[must_use]
pub fn extract(salt: &[u8], ikm: &[u8]) -> SecretBytes<32> {
    SecretBytes::build(|out| *out = hmac_sha256(salt, &[ikm]))
}

/// [`Prk::expand`] of a key that is used once.
///
/// # Errors
/// [`TooLong`] above 8,160 bytes; `out` is then untouched.
pub fn expand(prk: &[u8; 32], info: &[&[u8]], out: &mut [u8]) -> Result<(), TooLong> {
    Prk(keyed(prk)).expand(info, out)
}

/// [`Prk::derive`] of a key that is used once.
#[must_use]
pub fn derive(prk: &SecretBytes<32>, label: Label, rest: &[&[u8]]) -> SecretBytes<32> {
    Prk::new(prk).derive(label, rest)
}

/// HMAC with its key, which is brought to one block here (RFC 2104 §2); that cannot fail.
fn keyed(key: &[u8]) -> Hmac<Sha256> {
    let mut block = Zeroizing::new([0_u8; 64]);
    match block.split_at_mut_checked(key.len()) {
        Some((start, _)) => start.copy_from_slice(key),
        None => block.iter_mut().zip(sha256(key)).for_each(|(to, from)| *to = from),
    }
    Hmac::new((&*block).into())
}

/// Bytes of one output of HMAC-SHA-256.
const BLOCK: usize = 32;
