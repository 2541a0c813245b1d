//! The agreement both parties sign, and its end.

use alloc::{boxed::Box, vec::Vec};

use deedbox_cbor::{Item, Limits, Order, Writer, read};
use deedbox_cose::{Signer, VerifyKey, sign};
use deedbox_crypto::{hash::sha256, label};
use deedbox_edhoc::Role;
use deedbox_model::{ConnectionId, Digest, Timestamp};

use crate::{error::ConnectError, invitation::InvitationId, pairwise::PartyKeys, party::Party};

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
    // Two keys for sealing make it large, and it is moved often.
    body: Box<Body>,
}

impl Agreement {
    /// Verifies a connection's first agreement, with both signatures. For a later one see [`Agreement::verify_renewal`].
    ///
    /// # Errors
    /// [`ConnectError::LimitExceeded`], [`ConnectError::Malformed`], [`ConnectError::Rejected`].
    ///
    /// # Security
    /// The keys are the agreement's own: it says what two keys agreed on, not whose keys these are.
    pub fn verify(bytes: &[u8]) -> Result<Self, ConnectError> {
        Self::check(bytes, true)
    }

    /// Verifies the agreement that follows `prior`, with both signatures by the keys that `prior` names.
    ///
    /// # Errors
    /// [`ConnectError::LimitExceeded`], [`ConnectError::Malformed`], [`ConnectError::AgreementMismatch`] when it does not
    /// follow, [`ConnectError::Rejected`].
    pub fn verify_renewal(prior: &Self, bytes: &[u8]) -> Result<Self, ConnectError> {
        prior.following(bytes, &[prior.body.initiator.sign(), prior.body.responder.sign()])
    }

    /// Verifies all agreements of a connection, oldest first: the first one, and each renewal by the one before.
    ///
    /// # Errors
    /// As [`Agreement::verify`] and [`Agreement::verify_renewal`]; [`ConnectError::AgreementMismatch`] for none, and when the
    /// first is itself a renewal.
    pub fn verify_chain<'a>(documents: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Self>, ConnectError> {
        let mut chain: Vec<Self> = Vec::new();
        for document in documents {
            chain.push(match chain.last() {
                Some(prior) => Self::verify_renewal(prior, document)?,
                None => Self::verify(document)?,
            });
        }
        if chain.first().is_some_and(|first| first.prior().is_none()) {
            Ok(chain)
        } else {
            Err(ConnectError::AgreementMismatch)
        }
    }

    /// Reads what follows this agreement, signed by exactly `keys`.
    fn following(&self, bytes: &[u8], keys: &[&VerifyKey]) -> Result<Self, ConnectError> {
        if bytes.len() > MAX_AGREEMENT {
            return Err(ConnectError::LimitExceeded);
        }
        let document = sign::Document::parse(bytes).map_err(|_| ConnectError::Malformed)?;
        let payload = document.peek().payload();
        let body = Body::decode(payload).ok_or(ConnectError::Malformed)?;
        let follows = body.conn == self.body.conn
            && Some(body.serial) == self.body.serial.checked_add(1)
            && body.prior == Some(self.hash)
            && body.inv == self.body.inv
            && body.not_before >= self.body.not_before
            && body.initiator.subject() == self.body.initiator.subject()
            && body.responder.subject() == self.body.responder.subject();
        if !follows {
            return Err(ConnectError::AgreementMismatch);
        }
        document.verify(keys, label::AGREEMENT.as_bytes()).map_err(|_| ConnectError::Rejected)?;
        Ok(Self { bytes: bytes.to_vec(), hash: Digest::from_bytes(sha256(payload)), body: Box::new(body) })
    }

    /// What is different from `prior`.
    #[must_use]
    pub fn changes(&self, prior: &Self) -> Changes {
        let (new, old) = (&self.body, &prior.body);
        Changes {
            terms: new.terms != old.terms,
            permissions: new.permissions != old.permissions,
            time: new.not_before > old.not_after.unwrap_or(new.not_before) || new.not_after != old.not_after,
            initiator_keys: new.initiator != old.initiator,
            responder_keys: new.responder != old.responder,
        }
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
        Ok(Self { bytes: bytes.to_vec(), hash: Digest::from_bytes(sha256(payload)), body: Box::new(body) })
    }

    /// Signs first, as Initiator.
    pub(crate) fn draft(body: Body, signer: &impl Signer) -> Result<Self, ConnectError> {
        let payload = body.encode();
        let bytes = sign::document(signer, label::AGREEMENT.as_bytes(), &payload).map_err(|_| ConnectError::Signer)?;
        Ok(Self { bytes, hash: Digest::from_bytes(sha256(&payload)), body: Box::new(body) })
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

/// What a renewal says anew. Keys are those of who proposes it; the other side's stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewal {
    /// The digest of the terms.
    pub terms: Digest,
    /// Digests of the permissions given: at most 16.
    pub permissions: Vec<Digest>,
    /// The end, if it has one.
    pub not_after: Option<Timestamp>,
}

/// What a renewal changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a part of the agreement, changed or not")]
#[non_exhaustive]
pub struct Changes {
    /// The terms.
    pub terms: bool,
    /// The permissions.
    pub permissions: bool,
    /// Its end, or it begins after the old one's end.
    pub time: bool,
    /// The keys of who accepted.
    pub initiator_keys: bool,
    /// The keys of who invited.
    pub responder_keys: bool,
}

impl Changes {
    /// Whether the person must be asked: not for new keys alone.
    #[must_use]
    pub const fn must_ask(self) -> bool {
        self.terms || self.permissions || self.time
    }
}

/// A renewal that one party signed, by the key that the agreement in force names for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    by: Role,
    agreement: Agreement,
}

impl Proposal {
    /// Proposes to renew `prior` as the party `by`: with `keys` from then on, signed by `signer`, its sign key so far.
    ///
    /// # Errors
    /// [`ConnectError::LimitExceeded`] above 16 permissions or 2^32 agreements, [`ConnectError::Malformed`] for an end in
    /// the past, [`ConnectError::Signer`].
    pub fn sign(
        prior: &Agreement,
        by: Role,
        renewal: Renewal,
        keys: &PartyKeys,
        now: Timestamp,
        signer: &impl Signer,
    ) -> Result<Self, ConnectError> {
        if signer.public() != prior.party(by).sign() {
            return Err(ConnectError::Signer);
        }
        if renewal.permissions.len() > MAX_PERMISSIONS {
            return Err(ConnectError::LimitExceeded);
        }
        let not_before = now.max(prior.body.not_before);
        if renewal.not_after.is_some_and(|at| at <= not_before) {
            return Err(ConnectError::Malformed);
        }
        let mut body = Body {
            serial: prior.body.serial.checked_add(1).ok_or(ConnectError::LimitExceeded)?,
            prior: Some(prior.hash),
            terms: renewal.terms,
            not_before,
            not_after: renewal.not_after,
            permissions: renewal.permissions,
            ..(*prior.body).clone()
        };
        let party = match by {
            Role::Initiator => &mut body.initiator,
            Role::Responder => &mut body.responder,
        };
        *party = party.with_keys(keys);
        Ok(Self { by, agreement: Agreement::draft(body, signer)? })
    }

    /// Verifies what the party `by` proposes as the renewal of `prior`.
    ///
    /// # Errors
    /// As [`Agreement::verify_renewal`].
    pub fn verify(prior: &Agreement, by: Role, bytes: &[u8]) -> Result<Self, ConnectError> {
        Ok(Self { by, agreement: prior.following(bytes, &[prior.party(by).sign()])? })
    }

    /// Agrees, as the other party, whose sign key in `prior` `signer` holds.
    ///
    /// # Errors
    /// [`ConnectError::AgreementMismatch`] when it renews another, [`ConnectError::Signer`].
    pub fn agree(&self, prior: &Agreement, signer: &impl Signer) -> Result<Agreement, ConnectError> {
        if self.agreement.prior() != Some(prior.hash) {
            return Err(ConnectError::AgreementMismatch);
        }
        let other = match self.by {
            Role::Initiator => Role::Responder,
            Role::Responder => Role::Initiator,
        };
        if signer.public() != prior.party(other).sign() {
            return Err(ConnectError::Signer);
        }
        let agreement = self.agreement.clone().countersign(signer)?;
        match self.by {
            Role::Initiator => Ok(agreement),
            // The Initiator's signature comes first, whoever signed first.
            Role::Responder => agreement.swapped().ok_or(ConnectError::Malformed),
        }
    }

    /// Who proposes it.
    #[must_use]
    pub const fn by(&self) -> Role {
        self.by
    }

    /// What is proposed. It holds when both have signed, and not before.
    #[must_use]
    pub const fn content(&self) -> &Agreement {
        &self.agreement
    }

    /// The document, with one signature.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.agreement.bytes
    }
}

impl Agreement {
    /// The same with its two signatures in the other order.
    fn swapped(self) -> Option<Self> {
        let item = read(&self.bytes, Order::Canonical, &Limits::new(MAX_AGREEMENT)).ok()?;
        let (tag, item) = item.as_tag()?;
        let [protected, unprotected, payload, signatures] = item.as_array()?.exactly()?;
        let [first, second] = signatures.as_array()?.exactly()?;
        let mut writer = Writer::new();
        writer.tag(tag).array(4).item(protected).item(unprotected).item(payload).array(2).item(second).item(first);
        Some(Self { bytes: writer.into_vec(), ..self })
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
    /// No agreement came about: one side refused; never in a termination.
    Refused,
}

impl EndReason {
    const fn number(self) -> Option<u64> {
        match self {
            Self::NotGiven => Some(0),
            Self::Withdrawn => Some(1),
            Self::PurposeMet => Some(2),
            Self::Security => Some(3),
            Self::Expired | Self::Refused => None,
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
    /// [`ConnectError::NotNow`] for [`EndReason::Expired`] and [`EndReason::Refused`], which nobody signs;
    /// [`ConnectError::Signer`].
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
