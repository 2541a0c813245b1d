//! Argon2id, RFC 9106.

use argon2::{Algorithm, Argon2, Params, Version};

use crate::{Rejected, secret::SecretBytes};

/// What one hashing costs. Floor and ceiling are the caller's to check, before it calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Argon2Params {
    /// Memory in KiB.
    pub m_kib: u32,
    /// Passes.
    pub t: u32,
    /// Lanes.
    pub p: u32,
}

/// Argon2id version 0x13 of a password, 32 bytes.
///
/// # Errors
/// [`Rejected`] for parameters that RFC 9106 doesn't allow.
pub fn argon2id(password: &[u8], salt: &[u8; 16], params: &Argon2Params) -> Result<SecretBytes<32>, Rejected> {
    let params = Params::new(params.m_kib, params.t, params.p, Some(32)).map_err(|_| Rejected)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut result = Ok(());
    let out = SecretBytes::build(|out| result = argon2.hash_password_into(password, salt, out));
    result.map(|()| out).map_err(|_| Rejected)
}
