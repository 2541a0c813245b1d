//! What the vector suite `connect` needs and nobody else: keys and credentials of given secrets.

use alloc::{string::String, vec::Vec};

use deedbox_cbor::Writer;
use deedbox_cose::VerifyKey;
use deedbox_crypto::{secret::SecretBytes, sign::PublicKey};
use deedbox_model::{ConnectionId, Digest};

use crate::{
    InvitationId, padding,
    pairwise::{ConnectionsRoot, Purpose},
    party, session,
};

/// The seeds of the keys auth, sign and seal.
#[must_use]
pub fn pairwise_seeds(root: SecretBytes<32>, id: &[u8; 16], serial: u32) -> [SecretBytes<32>; 3] {
    let root = ConnectionsRoot::from_secret(root);
    [Purpose::Auth, Purpose::Sign, Purpose::Seal].map(|purpose| root.seed(purpose, id, serial))
}

/// CRED_I.
#[must_use]
pub fn cred_i(conn: ConnectionId, auth: PublicKey, agreement: &Digest) -> Vec<u8> {
    party::cred_i(conn, &VerifyKey::from_ed25519(auth), agreement)
}

/// CRED_R at first contact, and later.
#[must_use]
pub fn cred_r(
    subject: &str,
    auth: PublicKey,
    secret: &SecretBytes<16>,
    inv: InvitationId,
    invitation: &[u8],
) -> [Vec<u8>; 2] {
    let auth = VerifyKey::from_ed25519(auth);
    let claim = party::claim(secret, inv, invitation);
    [party::cred_r(subject, &auth, Some(claim.expose())), party::cred_r(subject, &auth, None)]
}

/// The check code of exported bytes.
#[must_use]
pub fn check_code(exported: &[u8; 8]) -> String {
    session::check_code(exported)
}

/// What is sealed of `plaintext`, if the padding also comes off again.
#[must_use]
pub fn padded(plaintext: &[u8]) -> Option<Vec<u8>> {
    let padded = padding::pad(plaintext)?;
    (padding::unpad(&padded)? == plaintext).then(|| padded.to_vec())
}

/// The encoded padding for a plaintext of `length` bytes.
#[must_use]
pub fn ead_padding(length: usize, step: usize) -> Vec<u8> {
    let mut writer = Writer::new();
    for item in padding::ead(length, step) {
        writer.int(i64::from(item.label()));
        if let Some(value) = item.value() {
            writer.bytes(value);
        }
    }
    writer.into_vec()
}
