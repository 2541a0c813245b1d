//! HMAC-SHA-256 (RFC 2104) and HKDF-SHA-256 (RFC 5869).

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::{TooLong, label::Label, secret::SecretBytes};

/// HMAC-SHA-256 over the parts, one after another.
#[must_use]
pub fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        // HMAC takes a key of any length; the interface allows others to refuse some.
        return [0; 32];
    };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// HKDF-Extract.
#[must_use]
pub fn extract(salt: &[u8], ikm: &[u8]) -> SecretBytes<32> {
    SecretBytes::from_bytes(hmac_sha256(salt, &[ikm]))
}

/// HKDF-Expand with the parts of `info`, one after another, into `out`.
///
/// # Errors
/// [`TooLong`] above 8,160 bytes; `out` is then untouched.
pub fn expand(prk: &[u8; 32], info: &[&[u8]], out: &mut [u8]) -> Result<(), TooLong> {
    let hkdf = hkdf::Hkdf::<Sha256>::from_prk(prk).map_err(|_| TooLong)?;
    hkdf.expand_multi_info(info, out).map_err(|_| TooLong)
}

/// The key that `prk` gives for `label` and what follows it: HKDF-Expand(prk, label ‖ rest, 32).
#[must_use]
pub fn derive(prk: &SecretBytes<32>, label: Label, rest: &[&[u8]]) -> SecretBytes<32> {
    // Expand of one block is HMAC(prk, info ‖ 01), RFC 5869 §2.3.
    SecretBytes::build(|out| {
        if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(prk.expose()) {
            mac.update(label.as_bytes());
            for part in rest {
                mac.update(part);
            }
            mac.update(&[1]);
            out.copy_from_slice(&mac.finalize().into_bytes());
        }
    })
}
