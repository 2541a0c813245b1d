//! The invitation: who invites, where, on which terms; signed, and named by its hash in the link.

use alloc::{string::String, vec::Vec};
use core::fmt;

use deedbox_cbor::{Item, Limits, Order, Writer, read};
use deedbox_cose::sign1;
use deedbox_crypto::{hash::sha256, label};
use deedbox_model::{Digest, Timestamp};
use rand_core::CryptoRng;

use crate::{
    error::ConnectError,
    link::{Link, check_endpoint},
    pairwise::PartyKeys,
    party::Party,
};

/// Names an invitation: 16 random bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InvitationId([u8; 16]);

impl InvitationId {
    /// Takes the bytes as they are.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Draws a fresh id.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// 32 lower-case hex digits.
impl fmt::Display for InvitationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for InvitationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InvitationId({self})")
    }
}

/// Who invites.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the format has two; another is another version")]
pub enum InviterKind {
    /// An organisation, named by a URI.
    Organisation,
    /// A person, named by the invitation's id.
    Person,
}

/// What an invitation says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Where to send messages: a URI of at most 256 bytes, without fragment.
    pub endpoint: String,
    /// From then on it can't be accepted.
    pub not_after: Timestamp,
    /// How many may accept it: 1 to 1,000,000.
    pub uses: u32,
    /// The digest of the terms. What terms are is not for this crate.
    pub terms: Digest,
    /// The terms themselves, if they travel along.
    pub terms_body: Option<Vec<u8>>,
    /// The name to show: at most 128 bytes. A claim of the inviter.
    pub name: String,
    /// Whether the person types a check code before anything flows: for links shown on another screen.
    pub check: bool,
    /// What proves who the inviter is, for those who can judge it.
    pub evidence: Option<Vec<u8>>,
}

/// An invitation whose signature, and hash if it came by a link, were checked.
///
/// ```cddl
/// invitation = #6.18 COSE_Sign1, protected { 1: -19, 4: thumbprint of responder's sign key },
///              external_aad "deedbox/1 invitation" 00, at most 65,536 bytes, payload
/// { 1: 1, 2: inv: bytes16, 3: responder: party, 4: endpoint: tstr, 5: not-after: uint, 6: uses: uint, 7: terms: bytes32,
///   8: suites: [1*8 int], 9: name: tstr, 10: kind: 0..1, 11: check: bool, ? 12: terms-body: bstr, ? 13: evidence: bstr }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    bytes: Vec<u8>,
    inv: InvitationId,
    responder: Party,
    kind: InviterKind,
    suites: Vec<i32>,
    offer: Offer,
}

impl Invitation {
    /// Opens the invitation that `link` names. Nothing was sent to the inviter yet; show [`Self::name`] and the terms,
    /// and let the person decide.
    ///
    /// # Errors
    /// [`ConnectError::LimitExceeded`] above 64 KiB, [`ConnectError::InvitationMismatch`] when hash, id or endpoint are not
    /// the link's, [`ConnectError::Malformed`], [`ConnectError::Rejected`] for its signature, [`ConnectError::Expired`].
    pub fn open(link: &Link, bytes: &[u8], now: Timestamp) -> Result<Self, ConnectError> {
        if bytes.len() > MAX_INVITATION {
            return Err(ConnectError::LimitExceeded);
        }
        if sha256(bytes) != *link.digest.as_bytes() {
            return Err(ConnectError::InvitationMismatch);
        }
        let invitation = Self::verify(bytes)?;
        if invitation.inv != link.inv || invitation.offer.endpoint != link.endpoint {
            return Err(ConnectError::InvitationMismatch);
        }
        if now >= invitation.offer.not_after {
            return Err(ConnectError::Expired);
        }
        Ok(invitation)
    }

    /// Verifies an invitation by the key it carries. Without a link that says nothing about who made it.
    ///
    /// # Errors
    /// As [`Invitation::open`].
    pub fn verify(bytes: &[u8]) -> Result<Self, ConnectError> {
        if bytes.len() > MAX_INVITATION {
            return Err(ConnectError::LimitExceeded);
        }
        let document = sign1::Document::parse(bytes).map_err(|_| ConnectError::Malformed)?;
        let invitation = Self::decode(bytes, document.peek().payload()).ok_or(ConnectError::Malformed)?;
        check_offer(&invitation.offer)?;
        document
            .verify(invitation.responder.sign(), label::INVITATION.as_bytes())
            .map_err(|_| ConnectError::Rejected)?;
        Ok(invitation)
    }

    pub(crate) fn issue(
        inv: InvitationId,
        responder: Party,
        kind: InviterKind,
        suites: &[i32],
        offer: Offer,
        keys: &PartyKeys,
    ) -> Result<Self, ConnectError> {
        check_offer(&offer)?;
        let mut invitation = Self { bytes: Vec::new(), inv, responder, kind, suites: suites.to_vec(), offer };
        invitation.bytes = sign1::document(keys.sign(), label::INVITATION.as_bytes(), &invitation.encode())
            .map_err(|_| ConnectError::Signer)?;
        if invitation.bytes.len() > MAX_INVITATION {
            return Err(ConnectError::LimitExceeded);
        }
        Ok(invitation)
    }

    fn encode(&self) -> Vec<u8> {
        let offer = &self.offer;
        let mut writer = Writer::new();
        writer.map(|map| {
            map.int(1, |w| {
                w.uint(1);
            });
            map.int(2, |w| {
                w.bytes(self.inv.as_bytes());
            });
            map.int(3, |w| self.responder.encode(w));
            map.int(4, |w| {
                w.text(&offer.endpoint);
            });
            map.int(5, |w| offer.not_after.encode(w));
            map.int(6, |w| {
                w.uint(u64::from(offer.uses));
            });
            map.int(7, |w| offer.terms.encode(w));
            map.int(8, |w| {
                w.array(self.suites.len());
                for suite in &self.suites {
                    w.int(i64::from(*suite));
                }
            });
            map.int(9, |w| {
                w.text(&offer.name);
            });
            map.int(10, |w| {
                w.uint(match self.kind {
                    InviterKind::Organisation => 0,
                    InviterKind::Person => 1,
                });
            });
            map.int(11, |w| {
                w.bool(offer.check);
            });
            for (key, value) in [(12, &offer.terms_body), (13, &offer.evidence)] {
                if let Some(value) = value {
                    map.int(key, |w| {
                        w.bytes(value);
                    });
                }
            }
        });
        writer.into_vec()
    }

    fn decode(bytes: &[u8], payload: &[u8]) -> Option<Self> {
        let item = read(payload, Order::Canonical, &Limits::new(MAX_INVITATION)).ok()?;
        let mut fields = item.as_map()?.fields();
        fields.required(1)?.as_u64().filter(|version| *version == 1)?;
        let inv = InvitationId(fields.required(2)?.as_byte_array()?);
        let responder = Party::decode(fields.required(3)?)?;
        let endpoint = fields.required(4)?.as_str()?.into();
        let not_after = Timestamp::decode(fields.required(5)?)?;
        let uses = fields.required(6)?.as_u32()?;
        let terms = Digest::decode(fields.required(7)?)?;
        let suites = fields.required(8)?.as_array().filter(|suites| (1..=8).contains(&suites.len()))?;
        let suites = suites.iter().map(|suite| suite.as_i64()?.try_into().ok()).collect::<Option<_>>()?;
        let name = fields.required(9)?.as_str()?.into();
        let kind = match fields.required(10)?.as_u64()? {
            0 if responder.is_organisation() => InviterKind::Organisation,
            1 if responder.is_invitation(inv) => InviterKind::Person,
            _ => return None,
        };
        let check = fields.required(11)?.as_bool()?;
        let terms_body = bytes_or_none(fields.optional(12)?)?;
        let evidence = bytes_or_none(fields.optional(13)?)?;
        fields.finish()?;
        let offer = Offer { endpoint, not_after, uses, terms, terms_body, name, check, evidence };
        Some(Self { bytes: bytes.to_vec(), inv, responder, kind, suites, offer })
    }

    /// Its id.
    #[must_use]
    pub const fn inv(&self) -> InvitationId {
        self.inv
    }

    /// Who invites.
    #[must_use]
    pub const fn responder(&self) -> &Party {
        &self.responder
    }

    /// Whether an organisation or a person invites.
    #[must_use]
    pub const fn kind(&self) -> InviterKind {
        self.kind
    }

    /// What it says.
    #[must_use]
    pub const fn offer(&self) -> &Offer {
        &self.offer
    }

    /// The name to show. It is the inviter's claim.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.offer.name
    }

    /// The digest of the terms.
    #[must_use]
    pub const fn terms(&self) -> &Digest {
        &self.offer.terms
    }

    /// The EDHOC suites the inviter supports.
    #[must_use]
    pub fn suites(&self) -> &[i32] {
        &self.suites
    }

    /// Its bytes, as received or issued.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

fn bytes_or_none(item: Option<Item<'_>>) -> Option<Option<Vec<u8>>> {
    match item {
        None => Some(None),
        Some(item) => item.as_bytes().map(|bytes| Some(bytes.to_vec())),
    }
}

fn check_offer(offer: &Offer) -> Result<(), ConnectError> {
    check_endpoint(&offer.endpoint)?;
    let name = !offer.name.is_empty() && !offer.name.chars().any(char::is_control);
    if !name || !(1..=MAX_USES).contains(&offer.uses) {
        return Err(ConnectError::Malformed);
    }
    if offer.name.len() > MAX_NAME { Err(ConnectError::LimitExceeded) } else { Ok(()) }
}

const MAX_INVITATION: usize = 65_536;
const MAX_NAME: usize = 128;
const MAX_USES: u32 = 1_000_000;
