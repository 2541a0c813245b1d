//! A party to an agreement, and the credentials that handshakes use for it.

use alloc::{format, string::String, vec::Vec};

use deedbox_cbor::{Item, Limits, Order, Writer, read};
use deedbox_cose::{Algorithm, RecipientKey, Signer as _, VerifyKey};
use deedbox_crypto::{hash::sha256, kdf, label, secret::SecretBytes};
use deedbox_edhoc::Credential;
use deedbox_model::{ConnectionId, Digest};

use crate::{error::ConnectError, invitation::InvitationId, pairwise::PartyKeys};

/// Who is party to an agreement, with its three public keys.
///
/// ```cddl
/// party = { 1: subject: tstr, 2: auth: cose-key, 3: sign: cose-key, 4: seal: cose-key }
/// ```
/// `subject` is a URI (an organisation), "deedbox:c:" and the connection id in hex (who accepts), or "deedbox:i:" and the
/// invitation id in hex (a person who invites). Keys have their required members only, in deterministic order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    subject: String,
    auth: VerifyKey,
    sign: VerifyKey,
    seal: RecipientKey,
}

impl Party {
    /// An organisation, named by a URI of at most 256 bytes.
    ///
    /// # Errors
    /// [`ConnectError::Malformed`] when `uri` is none, or of deedbox's own scheme.
    pub fn organisation(uri: &str, keys: &PartyKeys) -> Result<Self, ConnectError> {
        if !is_uri(uri) || uri.starts_with(OWN_SCHEME) {
            return Err(ConnectError::Malformed);
        }
        Ok(Self::new(uri.into(), keys))
    }

    /// Who accepts an invitation.
    #[must_use]
    pub fn accepting(conn: ConnectionId, keys: &PartyKeys) -> Self {
        Self::new(format!("{CONNECTION}{conn}"), keys)
    }

    /// A person who invites.
    #[must_use]
    pub fn inviting(inv: InvitationId, keys: &PartyKeys) -> Self {
        Self::new(format!("{INVITATION}{inv}"), keys)
    }

    fn new(subject: String, keys: &PartyKeys) -> Self {
        Self {
            subject,
            auth: keys.auth().public().clone(),
            sign: keys.sign().public().clone(),
            seal: keys.seal().public().clone(),
        }
    }

    /// The same party with other keys.
    pub(crate) fn with_keys(&self, keys: &PartyKeys) -> Self {
        Self::new(self.subject.clone(), keys)
    }

    /// How the party is named.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The key that authenticates it in handshakes.
    #[must_use]
    pub const fn auth(&self) -> &VerifyKey {
        &self.auth
    }

    /// The key that verifies what it signs.
    #[must_use]
    pub const fn sign(&self) -> &VerifyKey {
        &self.sign
    }

    /// The key to seal things to it.
    #[must_use]
    pub const fn seal(&self) -> &RecipientKey {
        &self.seal
    }

    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer.map(|map| {
            map.int(1, |w| {
                w.text(&self.subject);
            });
            map.int(2, |w| self.auth.encode(w));
            map.int(3, |w| self.sign.encode(w));
            map.int(4, |w| self.seal.encode(w));
        });
    }

    pub(crate) fn decode(item: Item<'_>) -> Option<Self> {
        let mut fields = item.as_map()?.fields();
        let subject = fields.required(1)?.as_str().filter(|subject| is_uri(subject))?.into();
        let auth = signing_key(fields.required(2)?)?;
        let sign = signing_key(fields.required(3)?)?;
        let seal_item = fields.required(4)?;
        let seal = RecipientKey::from_item(seal_item).ok().filter(|key| key.to_cose_key() == seal_item.bytes())?;
        fields.finish()?;
        Some(Self { subject, auth, sign, seal })
    }

    /// The connection id in the subject of one who accepts.
    pub(crate) fn connection_id(&self) -> Option<ConnectionId> {
        connection_subject(&self.subject)
    }

    pub(crate) fn is_invitation(&self, inv: InvitationId) -> bool {
        self.subject.strip_prefix(INVITATION).is_some_and(|hex| hex == format!("{inv}"))
    }

    pub(crate) fn is_organisation(&self) -> bool {
        !self.subject.starts_with(OWN_SCHEME)
    }
}

/// CRED_I: who accepts, bound to one agreement.
///
/// ```cddl
/// cred-i = { 2: tstr, 8: { 1: cose-key }, -70001: agreement-hash: bytes32 }
/// ```
pub(crate) fn cred_i(conn: ConnectionId, auth: &VerifyKey, agreement: &Digest) -> Vec<u8> {
    ccs(&format!("{CONNECTION}{conn}"), auth, Some((AGREEMENT, agreement.as_bytes())))
}

/// CRED_R: who invites; at first contact with the claim that only a holder of the link can compute.
///
/// ```cddl
/// cred-r = { 2: tstr, 8: { 1: cose-key }, ? -70002: claim: bytes32 }
/// ```
pub(crate) fn cred_r(subject: &str, auth: &VerifyKey, claim: Option<&[u8; 32]>) -> Vec<u8> {
    ccs(subject, auth, claim.map(|claim| (CLAIM, claim)))
}

/// What the secret of a link makes of an invitation.
pub(crate) fn claim(secret: &SecretBytes<16>, inv: InvitationId, invitation: &[u8]) -> SecretBytes<32> {
    let prk = kdf::extract(label::INVITE.as_bytes(), secret.expose());
    let mut out = [0; 32];
    // 32 bytes never exceed what HKDF gives.
    let _ = kdf::expand(prk.expose(), &[inv.as_bytes(), &sha256(invitation)], &mut out);
    SecretBytes::from_bytes(out)
}

/// Reads a CRED_I that came by value, which must have exactly that shape.
pub(crate) fn read_cred_i(bytes: &[u8]) -> Option<(ConnectionId, Digest, Credential)> {
    let item = read(bytes, Order::Canonical, &Limits::new(512)).ok()?;
    let claims = item.as_map()?;
    let conn = connection_subject(claims.get_int(2)?.as_str()?)?;
    let hash = Digest::decode(claims.get_int(AGREEMENT)?)?;
    let credential = Credential::from_ccs(bytes).ok()?;
    let rebuilt = cred_i(conn, &VerifyKey::from_ed25519(*credential.key()?), &hash);
    (rebuilt == bytes).then_some((conn, hash, credential))
}

fn ccs(subject: &str, auth: &VerifyKey, claim: Option<(i64, &[u8; 32])>) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.map(|map| {
        map.int(2, |w| {
            w.text(subject);
        });
        map.int(8, |w| {
            w.map(|map| {
                map.int(1, |w| auth.encode(w));
            });
        });
        if let Some((label, value)) = claim {
            map.int(label, |w| {
                w.bytes(value);
            });
        }
    });
    writer.into_vec()
}

fn connection_subject(subject: &str) -> Option<ConnectionId> {
    ConnectionId::parse_hex(subject.strip_prefix(CONNECTION)?)
}

pub(crate) fn signing_key(item: Item<'_>) -> Option<VerifyKey> {
    let key = VerifyKey::from_item(item).ok()?;
    (key.algorithm() == Algorithm::Ed25519 && key.to_cose_key() == item.bytes()).then_some(key)
}

/// A scheme, a colon, something, and no blanks or control characters.
pub(crate) fn is_uri(text: &str) -> bool {
    let scheme = text.split_once(':').filter(|(scheme, rest)| {
        !rest.is_empty()
            && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    });
    text.len() <= MAX_URI && scheme.is_some() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

pub(crate) const MAX_URI: usize = 256;
const OWN_SCHEME: &str = "deedbox:";
const CONNECTION: &str = "deedbox:c:";
const INVITATION: &str = "deedbox:i:";
/// Private-use claim keys of CWT.
const AGREEMENT: i64 = -70_001;
const CLAIM: i64 = -70_002;
