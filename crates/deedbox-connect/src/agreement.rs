//! The agreement both parties sign, and its end.

use alloc::vec::Vec;

use deedbox_cbor::{Item, Limits, Order, Writer, read};
use deedbox_cose::{Signer, sign};
use deedbox_crypto::{hash::sha256, label};
use deedbox_edhoc::Role;
use deedbox_model::{ConnectionId, Digest, Timestamp};

use crate::{error::ConnectError, invitation::InvitationId, party::Party};

/// What two parties agree on.
///
/// ```cddl
/// { 1: 1, 2: conn: bytes16, 3: serial: uint, 4: prior: bytes32 / null, 5: initiator: party, 6: responder: party,
///   7: terms: bytes32, 8: not-before: uint, 9: not-after: uint / null, ? 10: permissions: [1*16 bytes32], ? 11: inv: bytes16 }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Body {
    pub(crate) conn: ConnectionId,
    pub(crate) serial: u32,
    pub(crate) prior: Option<Digest>,
    pub(crate) initiator: Party,
    pub(crate) responder: Party,
    pub(crate) terms: Digest,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Option<Timestamp>,
    pub(crate) permissions: Vec<Digest>,
    pub(crate) inv: Option<InvitationId>,
}

impl Body {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.map(|map| {
            map.int(1, |w| {
                w.uint(1);
            });
            map.int(2, |w| self.conn.encode(w));
            map.int(3, |w| {
                w.uint(u64::from(self.serial));
            });
            map.int(4, |w| match &self.prior {
                None => {
                    w.null();
                }
                Some(prior) => prior.encode(w),
            });
            map.int(5, |w| self.initiator.encode(w));
            map.int(6, |w| self.responder.encode(w));
            map.int(7, |w| self.terms.encode(w));
            map.int(8, |w| self.not_before.encode(w));
            map.int(9, |w| match self.not_after {
                None => {
                    w.null();
                }
                Some(at) => at.encode(w),
            });
            if !self.permissions.is_empty() {
                map.int(10, |w| {
                    w.array(self.permissions.len());
                    for permission in &self.permissions {
                        permission.encode(w);
                    }
                });
            }
            if let Some(inv) = self.inv {
                map.int(11, |w| {
                    w.bytes(inv.as_bytes());
                });
            }
        });
        writer.into_vec()
    }

    fn decode(payload: &[u8]) -> Option<Self> {
        let item = read(payload, Order::Canonical, &Limits::new(MAX_AGREEMENT)).ok()?;
        let mut fields = item.as_map()?.fields();
        fields.required(1)?.as_u64().filter(|version| *version == 1)?;
        let conn = ConnectionId::decode(fields.required(2)?)?;
        let serial = fields.required(3)?.as_u32().filter(|serial| *serial > 0)?;
        let prior = nullable(fields.required(4)?, Digest::decode)?;
        let initiator = Party::decode(fields.required(5)?)?;
        let responder = Party::decode(fields.required(6)?)?;
        let terms = Digest::decode(fields.required(7)?)?;
        let not_before = Timestamp::decode(fields.required(8)?)?;
        let not_after = nullable(fields.required(9)?, Timestamp::decode)?;
        let permissions = match fields.optional(10)? {
            None => Vec::new(),
            Some(item) => {
                let list = item.as_array().filter(|list| (1..=MAX_PERMISSIONS).contains(&list.len()))?;
                list.iter().map(Digest::decode).collect::<Option<_>>()?
            }
        };
        let inv = match fields.optional(11)? {
            None => None,
            Some(item) => Some(InvitationId::from_bytes(item.as_byte_array()?)),
        };
        fields.finish()?;
        let whole = initiator.connection_id() == Some(conn)
            && prior.is_some() == (serial > 1)
            && not_after.is_none_or(|at| at > not_before)
            && initiator.sign() != responder.sign();
        let body = Self { conn, serial, prior, initiator, responder, terms, not_before, not_after, permissions, inv };
        whole.then_some(body)
    }
}

/// An agreement whose signatures, by both parties' keys, were verified.
///
/// COSE_Sign, the Initiator's signature first; external_aad "deedbox/1 agreement" 00; at most 65,536 bytes. Received bytes
/// are kept. Its hash is the SHA-256 of the payload, so that both signatures and each party's copy have one hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreement {
    bytes: Vec<u8>,
    hash: Digest,
    body: Body,
}

impl Agreement {
    /// Verifies an agreement with both signatures.
    ///
    /// # Errors
    /// [`ConnectError::LimitExceeded`], [`ConnectError::Malformed`], [`ConnectError::Rejected`].
    ///
    /// # Security
    /// The keys are the agreement's own: it says what two keys agreed on, not whose keys these are.
    pub fn verify(bytes: &[u8]) -> Result<Self, ConnectError> {
        Self::check(bytes, true)
    }

    /// The Initiator's signature alone.
    pub(crate) fn verify_half(bytes: &[u8]) -> Result<Self, ConnectError> {
        Self::check(bytes, false)
    }

    fn check(bytes: &[u8], both: bool) -> Result<Self, ConnectError> {
        if bytes.len() > MAX_AGREEMENT {
            return Err(ConnectError::LimitExceeded);
        }
        let document = sign::Document::parse(bytes).map_err(|_| ConnectError::Malformed)?;
        let payload = document.peek().payload();
        let body = Body::decode(payload).ok_or(ConnectError::Malformed)?;
        let keys = [body.initiator.sign(), body.responder.sign()];
        let keys = keys.get(..if both { 2 } else { 1 }).unwrap_or_default();
        document.verify(keys, label::AGREEMENT.as_bytes()).map_err(|_| ConnectError::Rejected)?;
        Ok(Self { bytes: bytes.to_vec(), hash: Digest::from_bytes(sha256(payload)), body })
    }

    /// Signs first, as Initiator.
    pub(crate) fn draft(body: Body, signer: &impl Signer) -> Result<Self, ConnectError> {
        let payload = body.encode();
        let bytes = sign::document(signer, label::AGREEMENT.as_bytes(), &payload).map_err(|_| ConnectError::Signer)?;
        Ok(Self { bytes, hash: Digest::from_bytes(sha256(&payload)), body })
    }

    /// Signs second, as Responder.
    pub(crate) fn countersign(mut self, signer: &impl Signer) -> Result<Self, ConnectError> {
        self.bytes =
            sign::add_signature(signer, &self.bytes, label::AGREEMENT.as_bytes()).map_err(|_| ConnectError::Signer)?;
        Ok(self)
    }

    /// The document, with its signatures.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The SHA-256 of what was signed.
    #[must_use]
    pub const fn hash(&self) -> Digest {
        self.hash
    }

    /// The connection.
    #[must_use]
    pub const fn connection_id(&self) -> ConnectionId {
        self.body.conn
    }

    /// 1 for the first agreement of a connection.
    #[must_use]
    pub const fn serial(&self) -> u32 {
        self.body.serial
    }

    /// The hash of the agreement it replaces.
    #[must_use]
    pub const fn prior(&self) -> Option<Digest> {
        self.body.prior
    }

    /// Who accepted the invitation.
    #[must_use]
    pub const fn initiator(&self) -> &Party {
        &self.body.initiator
    }

    /// Who invited.
    #[must_use]
    pub const fn responder(&self) -> &Party {
        &self.body.responder
    }

    /// The digest of the terms.
    #[must_use]
    pub const fn terms(&self) -> Digest {
        self.body.terms
    }

    /// From then on it holds.
    #[must_use]
    pub const fn not_before(&self) -> Timestamp {
        self.body.not_before
    }

    /// From then on it holds no more.
    #[must_use]
    pub const fn not_after(&self) -> Option<Timestamp> {
        self.body.not_after
    }

    /// Digests of the permissions agreed on. What they are is not for this crate.
    #[must_use]
    pub fn permissions(&self) -> &[Digest] {
        &self.body.permissions
    }

    /// The invitation it came from.
    #[must_use]
    pub const fn inv(&self) -> Option<InvitationId> {
        self.body.inv
    }

    /// A party by its role.
    #[must_use]
    pub const fn party(&self, role: Role) -> &Party {
        match role {
            Role::Initiator => &self.body.initiator,
            Role::Responder => &self.body.responder,
        }
    }

    /// Whether it holds at `now`.
    #[must_use]
    pub fn holds(&self, now: Timestamp) -> bool {
        now >= self.body.not_before && self.body.not_after.is_none_or(|at| now < at)
    }
}

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndReason {
    /// Not given.
    NotGiven,
    /// Consent was withdrawn.
    Withdrawn,
    /// The purpose is met.
    PurposeMet,
    /// A key or device was lost.
    Security,
    /// The agreement's time was over; never in a termination.
    Expired,
}

impl EndReason {
    const fn number(self) -> Option<u64> {
        match self {
            Self::NotGiven => Some(0),
            Self::Withdrawn => Some(1),
            Self::PurposeMet => Some(2),
            Self::Security => Some(3),
            Self::Expired => None,
        }
    }

    const fn from_number(number: u64) -> Option<Self> {
        match number {
            0 => Some(Self::NotGiven),
            1 => Some(Self::Withdrawn),
            2 => Some(Self::PurposeMet),
            3 => Some(Self::Security),
            _ => None,
        }
    }
}

/// A termination whose signature, by one party's key, was verified: that is enough.
///
/// ```cddl
/// { 1: 1, 2: conn: bytes16, 3: agreement: bytes32, 4: at: uint, 5: reason: uint, 6: by: 0..1 }
/// ```
/// COSE_Sign with one signature; external_aad "deedbox/1 termination" 00; at most 1,024 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Termination {
    bytes: Vec<u8>,
    at: Timestamp,
    reason: EndReason,
    by: Role,
}

impl Termination {
    /// Ends `agreement` as the party `by`, whose sign key `signer` holds.
    ///
    /// # Errors
    /// [`ConnectError::NotNow`] for [`EndReason::Expired`], which nobody signs; [`ConnectError::Signer`].
    pub fn sign(
        agreement: &Agreement,
        by: Role,
        reason: EndReason,
        at: Timestamp,
        signer: &impl Signer,
    ) -> Result<Self, ConnectError> {
        let number = reason.number().ok_or(ConnectError::NotNow)?;
        if signer.public() != agreement.party(by).sign() {
            return Err(ConnectError::Signer);
        }
        let mut writer = Writer::new();
        writer.map(|map| {
            map.int(1, |w| {
                w.uint(1);
            });
            map.int(2, |w| agreement.connection_id().encode(w));
            map.int(3, |w| agreement.hash().encode(w));
            map.int(4, |w| at.encode(w));
            map.int(5, |w| {
                w.uint(number);
            });
            map.int(6, |w| {
                w.uint(match by {
                    Role::Initiator => 0,
                    Role::Responder => 1,
                });
            });
        });
        let bytes = sign::document(signer, label::TERMINATION.as_bytes(), writer.as_slice())
            .map_err(|_| ConnectError::Signer)?;
        Ok(Self { bytes, at, reason, by })
    }

    /// Verifies the termination of `agreement`.
    ///
    /// # Errors
    /// [`ConnectError::LimitExceeded`], [`ConnectError::Malformed`], [`ConnectError::AgreementMismatch`] when it ends
    /// another, [`ConnectError::Rejected`].
    pub fn verify(agreement: &Agreement, bytes: &[u8]) -> Result<Self, ConnectError> {
        if bytes.len() > MAX_TERMINATION {
            return Err(ConnectError::LimitExceeded);
        }
        let document = sign::Document::parse(bytes).map_err(|_| ConnectError::Malformed)?;
        let (conn, hash, mut termination) = Self::decode(document.peek().payload()).ok_or(ConnectError::Malformed)?;
        if conn != agreement.connection_id() || hash != agreement.hash() {
            return Err(ConnectError::AgreementMismatch);
        }
        let key = agreement.party(termination.by).sign();
        document.verify(&[key], label::TERMINATION.as_bytes()).map_err(|_| ConnectError::Rejected)?;
        termination.bytes = bytes.to_vec();
        Ok(termination)
    }

    fn decode(payload: &[u8]) -> Option<(ConnectionId, Digest, Self)> {
        let item = read(payload, Order::Canonical, &Limits::new(MAX_TERMINATION)).ok()?;
        let mut fields = item.as_map()?.fields();
        fields.required(1)?.as_u64().filter(|version| *version == 1)?;
        let conn = ConnectionId::decode(fields.required(2)?)?;
        let hash = Digest::decode(fields.required(3)?)?;
        let at = Timestamp::decode(fields.required(4)?)?;
        let reason = EndReason::from_number(fields.required(5)?.as_u64()?)?;
        let by = match fields.required(6)?.as_u64()? {
            0 => Role::Initiator,
            1 => Role::Responder,
            _ => return None,
        };
        fields.finish()?;
        Some((conn, hash, Self { bytes: Vec::new(), at, reason, by }))
    }

    /// The document.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// When, by the clock of who ended it.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// Why.
    #[must_use]
    pub const fn reason(&self) -> EndReason {
        self.reason
    }

    /// By whom.
    #[must_use]
    pub const fn by(&self) -> Role {
        self.by
    }
}

fn nullable<T>(item: Item<'_>, decode: impl FnOnce(Item<'_>) -> Option<T>) -> Option<Option<T>> {
    if item.is_null() { Some(None) } else { decode(item).map(Some) }
}

pub(crate) const MAX_PERMISSIONS: usize = 16;
const MAX_AGREEMENT: usize = 65_536;
const MAX_TERMINATION: usize = 1_024;
