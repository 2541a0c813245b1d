//! HMAC-SHA-256 (RFC 2104) and HKDF-SHA-256 (RFC 5869).

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::{TooLong, hash::sha256, label::Label, secret::SecretBytes};

/// HMAC-SHA-256 over the parts, one after another; the key may have any length.
#[must_use]
pub fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    keyed(key, parts).finalize().into_bytes().into()
}

/// HKDF-Extract.
#[must_use]
pub fn extract(salt: &[u8], ikm: &[u8]) -> SecretBytes<32> {
    SecretBytes::build(|out| out.copy_from_slice(&keyed(salt, &[ikm]).finalize().into_bytes()))
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
    let mut mac = keyed(prk.expose(), &[label.as_bytes()]);
    for part in rest {
        mac.update(part);
    }
    mac.update(&[1]);
    SecretBytes::build(|out| out.copy_from_slice(&mac.finalize().into_bytes()))
}

/// HMAC with its key and first parts. The key is brought to one block here (RFC 2104 §2), which cannot fail.
fn keyed(key: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut block = Zeroizing::new([0_u8; 64]);
    match block.split_at_mut_checked(key.len()) {
        Some((start, _)) => start.copy_from_slice(key),
        None => block.iter_mut().zip(sha256(key)).for_each(|(to, from)| *to = from),
    }
    let mut mac = Hmac::new((&*block).into());
    for part in parts {
        mac.update(part);
    }
    mac
}
