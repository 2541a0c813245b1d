//! First contact: from an invitation to an agreement signed by both and a session, in two round trips.

mod waiting;

use alloc::{string::String, vec::Vec};

use deedbox_cbor::{Item, Limits, Order, Writer, read};
use deedbox_cose::{Signer, VerifyKey};
use deedbox_crypto::{ct, secret::SecretBytes};
use deedbox_edhoc::{
    ConnectionId as Cid, Credential, EdhocError, Form, Initiator, Profile, Responder, Role, Session, initiator,
    responder,
};
use deedbox_model::{ConnectionId, Digest, Timestamp};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::{
    agreement::{Agreement, Body as AgreementBody, MAX_PERMISSIONS},
    body::{Body, Contact},
    error::{ConnectError, Failed},
    frame::{Expected, Frame, FrameKind, expect},
    invitation::{Invitation, InvitationId, InviterKind, Offer},
    link::Link,
    padding,
    pairwise::{ConnectionsRoot, INVITING, PartyKeys},
    party::{self, Party},
    session::{CHECK_CODE, LiveSession, check_code},
};

/// What both sides have in the end: the agreement with both signatures, an open session bound to it, and how to reach the
/// peer.
#[non_exhaustive]
#[expect(missing_debug_implementations, reason = "holds a session's keys")]
pub struct Established {
    /// The agreement.
    pub agreement: Agreement,
    /// The session.
    pub session: LiveSession,
    /// The peer's contact.
    pub contact: Contact,
}

/// What a person puts into the agreement besides the invitation's terms.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wish {
    /// Digests of the permissions given: at most 16.
    pub permissions: Vec<Digest>,
    /// The end of the agreement, if it has one.
    pub not_after: Option<Timestamp>,
}

/// Who accepts: decided, and message_1 was sent.
///
/// ```compile_fail
/// # use deedbox_connect::*;
/// # let mut rng = deedbox_testkit::rng::SeededRng::new(1);
/// fn twice(state: Accepted, now: deedbox_model::Timestamp) {
///     let _ = state.read(b"", now);
///     let _ = state.read(b"", now);
/// }
/// ```
#[expect(missing_debug_implementations, reason = "holds secrets; nothing of it is to be printed")]
pub struct Accepting {
    edhoc: Initiator<initiator::WaitM2>,
    keys: PartyKeys,
    draft: Agreement,
    me: Credential,
    peer: Credential,
    own: [u8; 8],
    check: bool,
}

impl Accepting {
    /// Accepts `invitation`: draws a connection, signs its first agreement, and gives the transport body with message_1
    /// for the link's endpoint. Call it after the person has decided.
    ///
    /// # Errors
    /// [`ConnectError::InvitationMismatch`] when the link is another's, [`ConnectError::Expired`],
    /// [`ConnectError::LimitExceeded`] above 16 permissions, [`ConnectError::Malformed`] for an end in the past;
    /// [`ConnectError::Edhoc`] with `NoCommonSuite`.
    pub fn start(
        root: &ConnectionsRoot,
        link: &Link,
        invitation: &Invitation,
        wish: Wish,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, Vec<u8>), ConnectError> {
        check_link(link, invitation)?;
        if now >= invitation.offer().not_after {
            return Err(ConnectError::Expired);
        }
        if wish.permissions.len() > MAX_PERMISSIONS {
            return Err(ConnectError::LimitExceeded);
        }
        if wish.not_after.is_some_and(|at| at <= now) {
            return Err(ConnectError::Malformed);
        }
        let conn = ConnectionId::generate(rng);
        let keys = root.keys(conn.as_bytes(), FIRST)?;
        let body = AgreementBody {
            conn,
            serial: FIRST,
            prior: None,
            initiator: Party::accepting(conn, &keys),
            responder: invitation.responder().clone(),
            terms: *invitation.terms(),
            not_before: now,
            not_after: wish.not_after,
            permissions: wish.permissions,
            inv: Some(invitation.inv()),
        };
        let draft = Agreement::draft(body, keys.sign())?;
        Self::begin(keys, draft, link, invitation, rng)
    }

    /// Comes again with the agreement that [`Self::draft`] gave, after the Confirm was lost: possible until 30 days after
    /// the invitation's end.
    ///
    /// # Errors
    /// As [`Accepting::start`]; [`ConnectError::Malformed`], [`ConnectError::Rejected`] and
    /// [`ConnectError::AgreementMismatch`] for a draft that is not of this root and invitation.
    pub fn again(
        root: &ConnectionsRoot,
        link: &Link,
        invitation: &Invitation,
        draft: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, Vec<u8>), ConnectError> {
        check_link(link, invitation)?;
        let draft = Agreement::verify_half(draft)?;
        let conn = draft.connection_id();
        let keys = root.keys(conn.as_bytes(), FIRST)?;
        let fits = *draft.initiator() == Party::accepting(conn, &keys)
            && draft.responder() == invitation.responder()
            && draft.inv() == Some(invitation.inv());
        if !fits {
            return Err(ConnectError::AgreementMismatch);
        }
        Self::begin(keys, draft, link, invitation, rng)
    }

    fn begin(
        keys: PartyKeys,
        draft: Agreement,
        link: &Link,
        invitation: &Invitation,
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, Vec<u8>), ConnectError> {
        let profile = Profile::production();
        let suite = profile.suites().iter().find(|suite| invitation.suites().contains(suite));
        let start = Initiator::new(&profile, Some(*suite.ok_or(EdhocError::NoCommonSuite)?))
            .map_err(|_| EdhocError::NoCommonSuite)?;
        let inv = invitation.inv();
        let me = credential(&party::cred_i(draft.connection_id(), keys.auth().public(), &draft.hash()))?;
        let claim = party::claim(&link.secret, inv, invitation.bytes());
        let peer = inviter_credential(invitation.responder(), claim.expose())?;
        let own = draw(rng);
        let (edhoc, message_1) = start.message_1(cid(&own)?, &[], rng)?;
        let body = Frame::write_all(&[Frame::new(FrameKind::Message1, inv.as_bytes(), &message_1)]);
        let check = invitation.offer().check;
        Ok((Self { edhoc, keys, draft, me, peer, own, check }, body))
    }

    /// The hash of the agreement that is to come about.
    #[must_use]
    pub const fn agreement(&self) -> Digest {
        self.draft.hash()
    }

    /// The agreement with one's own signature, to be stored for [`Accepting::again`].
    #[must_use]
    pub fn draft(&self) -> &[u8] {
        self.draft.bytes()
    }

    /// What frames to this side are addressed with.
    #[must_use]
    pub const fn own_id(&self) -> &[u8; 8] {
        &self.own
    }

    /// The state's bytes, to be sealed and stored while message_2 is awaited. They hold secrets and are for one use: delete
    /// them before [`Accepting::answer`].
    #[must_use]
    pub fn into_stored(self) -> Zeroizing<Vec<u8>> {
        let edhoc = self.edhoc.into_stored();
        let (draft, peer) = (self.draft.bytes(), self.peer.bytes());
        // Large enough, so that no copy is left behind by growing.
        let capacity = edhoc.len().saturating_add(draft.len()).saturating_add(peer.len()).saturating_add(64);
        let mut writer = Writer::with_capacity(capacity);
        writer.array(6).uint(STORED).bytes(&edhoc).bytes(draft).bytes(peer).bytes(&self.own).bool(self.check);
        Zeroizing::new(writer.into_vec())
    }

    /// Takes up a stored state, with the root that made it.
    ///
    /// # Errors
    /// [`ConnectError::Malformed`]; [`ConnectError::Rejected`] for another root.
    pub fn load(stored: &[u8], root: &ConnectionsRoot) -> Result<Self, ConnectError> {
        let parts = || -> Option<_> {
            let item = read(stored, Order::Canonical, &Limits::new(MAX_STORED)).ok()?;
            let [version, edhoc, draft, peer, own, check] = item.as_array()?.exactly()?;
            version.as_u64().filter(|version| *version == STORED)?;
            let edhoc = Initiator::from_stored(&Profile::production(), edhoc.as_bytes()?).ok()?;
            Some((edhoc, draft.as_bytes()?, peer.as_bytes()?, own.as_byte_array()?, check.as_bool()?))
        };
        let (edhoc, draft, peer, own, check) = parts().ok_or(ConnectError::Malformed)?;
        let draft = Agreement::verify_half(draft)?;
        let keys = root.keys_for(&draft, Role::Initiator)?;
        let me = credential(&party::cred_i(draft.connection_id(), keys.auth().public(), &draft.hash()))?;
        Ok(Self { edhoc, keys, me, peer: credential(peer)?, draft, own, check })
    }

    /// Reads the body with message_2 and gives the one with message_3 and the Accept. From now on the inviter knows who
    /// accepts.
    ///
    /// # Errors
    /// [`Failed`]: [`ConnectError::Edhoc`], with `UnknownCredential` when the inviter presents another key than the
    /// invitation's, and `Authentication` when it does not know the link's secret; [`ConnectError::NotNow`].
    pub fn answer(
        self,
        body: &[u8],
        contact: &Contact,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<(Accepted, Vec<u8>), Failed> {
        let Self { edhoc, keys, draft, me, peer, own, check } = self;
        let message_2 = match expect(body, [FrameKind::Message2], &own)? {
            Expected::Frames([frame]) => frame.body,
            Expected::Error(error) => error,
        };
        let presented = edhoc.read_message_2(message_2).map_err(|failed| unheard(&failed))?;
        let to: [u8; 8] = presented.c_r().peek().as_bytes().try_into().map_err(|_| ConnectError::Malformed)?;
        // Only the credential that the invitation and the link's secret make is taken.
        if presented.id_cred().peek().kid() != Some(peer.kid()) {
            return Err(stopped(presented.unknown(), &to));
        }
        let authenticated = presented.authenticate(&peer, &me).map_err(|failed| stopped(failed, &to))?;
        let length = authenticated.plaintext_3_len(Form::Value).map_err(ConnectError::from)?;
        let ead = padding::ead(length, padding::STEP_3);
        let (wait, message_3) =
            authenticated.message_3(Form::Value, &ead, keys.auth()).map_err(|failed| stopped(failed, &to))?;
        let export = |label: u16, context: &[u8], out: &mut [u8]| wait.export_early(label, context, out);
        let mut session = LiveSession::new(Role::Initiator, draft.hash(), (own, to), export, now, rng)?;
        let record = session.seal(&Body::Accept(draft.bytes().to_vec(), contact.clone()), now)?;
        let body = Frame::write_all(&[
            Frame::new(FrameKind::Message3, &to, &message_3),
            Frame::new(FrameKind::Record, &to, &record),
        ]);
        Ok((Accepted { edhoc: wait, session, draft, check }, body))
    }
}

/// Who accepts: message_3 and the Accept were sent.
#[expect(missing_debug_implementations, reason = "holds secrets; nothing of it is to be printed")]
pub struct Accepted {
    edhoc: Initiator<initiator::WaitM4>,
    session: LiveSession,
    draft: Agreement,
    check: bool,
}

/// What the inviter's answer to an Accept leads to.
#[expect(missing_debug_implementations, clippy::exhaustive_enums, reason = "holds keys; there is no third way")]
pub enum Reply {
    /// The inviter confirmed.
    Confirmed(Established),
    /// The inviter wants to see the check code first.
    Waiting(AwaitingConfirm),
}

impl Accepted {
    /// Reads the body with message_4, and the Confirm if the inviter confirms at once.
    ///
    /// # Errors
    /// [`Failed`]: [`ConnectError::Edhoc`], [`ConnectError::Refused`], [`ConnectError::AgreementMismatch`],
    /// [`ConnectError::Rejected`], [`ConnectError::NotNow`].
    pub fn read(self, body: &[u8], now: Timestamp) -> Result<Reply, Failed> {
        let Self { edhoc, session, draft, check } = self;
        let to = *session.peer_id();
        let frames = Frame::parse_all(body)?;
        if frames.iter().any(|frame| frame.kind != FrameKind::Error && frame.to != session.own_id()) {
            return Err(ConnectError::NotNow.into());
        }
        let (message_4, record) = match frames.as_slice() {
            [Frame { kind: FrameKind::Error | FrameKind::Message4, body, .. }] => (*body, None),
            [Frame { kind: FrameKind::Message4, body, .. }, Frame { kind: FrameKind::Record, body: record, .. }] => {
                (*body, Some(*record))
            }
            _ => return Err(ConnectError::NotNow.into()),
        };
        let (edhoc, _) = edhoc.read_message_4(message_4).map_err(|failed| stopped(failed, &to))?;
        let code = if check { Some(export_code(&edhoc, &draft)?) } else { None };
        let waiting = AwaitingConfirm { session, draft, code };
        match record {
            None => Ok(Reply::Waiting(waiting)),
            Some(record) => waiting.take(record, now).map(Reply::Confirmed),
        }
    }
}

/// Who accepts: the handshake is finished, the inviter has not confirmed yet. No data flows.
#[expect(missing_debug_implementations, reason = "holds secrets; nothing of it is to be printed")]
pub struct AwaitingConfirm {
    session: LiveSession,
    draft: Agreement,
    code: Option<String>,
}

impl AwaitingConfirm {
    /// The six digits that the person types into the page that showed the link.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// Reads the body with the Confirm.
    ///
    /// # Errors
    /// [`Failed`]: [`ConnectError::Refused`], [`ConnectError::AgreementMismatch`], [`ConnectError::Rejected`],
    /// [`ConnectError::NotNow`].
    pub fn confirm(self, body: &[u8], now: Timestamp) -> Result<Established, Failed> {
        match expect(body, [FrameKind::Record], self.session.own_id())? {
            Expected::Frames([frame]) => self.take(frame.body, now),
            Expected::Error(_) => Err(ConnectError::NotNow.into()),
        }
    }

    fn take(mut self, record: &[u8], now: Timestamp) -> Result<Established, Failed> {
        match self.session.open(record, now)? {
            Body::Confirm(bytes, contact) => {
                let agreement = Agreement::verify(&bytes)?;
                if agreement.hash() != self.draft.hash() {
                    return Err(ConnectError::AgreementMismatch.into());
                }
                Ok(Established { agreement, session: self.session, contact })
            }
            Body::Refuse(reason) => Err(ConnectError::Refused(reason).into()),
            _ => Err(ConnectError::NotNow.into()),
        }
    }
}

/// Who invites: an invitation that is out, with its secret and what became of it.
#[expect(missing_debug_implementations, reason = "holds the link's secret")]
pub struct Invited {
    invitation: Invitation,
    digest: Digest,
    secret: SecretBytes<16>,
    left: u32,
    accepted: Vec<Acceptance>,
}

/// Who used an invitation, so that the same may come again after a lost Confirm.
#[derive(Clone, PartialEq, Eq)]
struct Acceptance {
    conn: ConnectionId,
    agreement: Digest,
    auth: VerifyKey,
}

impl Invited {
    /// Issues an organisation's invitation, named by the URI of `party`.
    ///
    /// # Errors
    /// [`ConnectError::Malformed`], [`ConnectError::LimitExceeded`], [`ConnectError::Signer`].
    pub fn issue(party: Party, offer: Offer, keys: &PartyKeys, rng: &mut impl CryptoRng) -> Result<Self, ConnectError> {
        if !party.is_organisation() {
            return Err(ConnectError::Malformed);
        }
        Self::make(InvitationId::generate(rng), party, InviterKind::Organisation, offer, keys, rng)
    }

    /// Issues a person's invitation, and gives its keys, derived from `root`.
    ///
    /// # Errors
    /// As [`Invited::issue`].
    pub fn issue_as_person(
        root: &ConnectionsRoot,
        offer: Offer,
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, PartyKeys), ConnectError> {
        let inv = InvitationId::generate(rng);
        let keys = root.keys(inv.as_bytes(), INVITING)?;
        let party = Party::inviting(inv, &keys);
        Ok((Self::make(inv, party, InviterKind::Person, offer, &keys, rng)?, keys))
    }

    fn make(
        inv: InvitationId,
        party: Party,
        kind: InviterKind,
        offer: Offer,
        keys: &PartyKeys,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, ConnectError> {
        if party.sign() != keys.sign().public() || party.auth() != keys.auth().public() {
            return Err(ConnectError::Signer);
        }
        let left = offer.uses;
        let suites = Profile::production();
        let invitation = Invitation::issue(inv, party, kind, suites.suites(), offer, keys)?;
        let digest = Digest::from_bytes(deedbox_crypto::hash::sha256(invitation.bytes()));
        Ok(Self { invitation, digest, secret: SecretBytes::generate(rng), left, accepted: Vec::new() })
    }

    /// The link: to be shown as a QR code or sent over a channel that is trusted.
    #[must_use]
    pub fn link(&self) -> Link {
        Link {
            inv: self.invitation.inv(),
            digest: self.digest,
            endpoint: self.invitation.offer().endpoint.clone(),
            // COPY: wiped with the link.
            secret: SecretBytes::from_bytes(*self.secret.expose()),
        }
    }

    /// The invitation, to be fetched by anyone who knows where.
    #[must_use]
    pub const fn invitation(&self) -> &Invitation {
        &self.invitation
    }

    /// The invitation's bytes, with secret and uses, to be sealed and stored: again after each use, before the Confirm
    /// leaves.
    #[must_use]
    pub fn to_stored(&self) -> Zeroizing<Vec<u8>> {
        let invitation = self.invitation.bytes();
        // Large enough, so that no copy of the secret is left behind by growing.
        let capacity = invitation.len().saturating_add(64).saturating_add(self.accepted.len().saturating_mul(128));
        let mut writer = Writer::with_capacity(capacity);
        writer.array(5).uint(STORED).bytes(invitation).bytes(self.secret.expose()).uint(u64::from(self.left));
        writer.array(self.accepted.len());
        for who in &self.accepted {
            writer.array(3);
            who.conn.encode(&mut writer);
            who.agreement.encode(&mut writer);
            who.auth.encode(&mut writer);
        }
        Zeroizing::new(writer.into_vec())
    }

    /// Takes up a stored invitation.
    ///
    /// # Errors
    /// [`ConnectError::Malformed`], [`ConnectError::Rejected`].
    pub fn load(stored: &[u8]) -> Result<Self, ConnectError> {
        let limits = Limits::new(MAX_STORED_INVITED);
        let parts = || -> Option<_> {
            let item = read(stored, Order::Canonical, &limits).ok()?;
            let [version, invitation, secret, left, accepted] = item.as_array()?.exactly()?;
            version.as_u64().filter(|version| *version == STORED)?;
            let who = |item: Item<'_>| {
                let [conn, agreement, auth] = item.as_array()?.exactly()?;
                let (conn, agreement) = (ConnectionId::decode(conn)?, Digest::decode(agreement)?);
                Some(Acceptance { conn, agreement, auth: party::signing_key(auth)? })
            };
            let accepted = accepted.as_array()?.iter().map(who).collect::<Option<Vec<_>>>()?;
            let secret = SecretBytes::try_from_slice(secret.as_bytes()?)?;
            Some((invitation.as_bytes()?, secret, left.as_u32()?, accepted))
        };
        let (invitation, secret, left, accepted) = parts().ok_or(ConnectError::Malformed)?;
        let invitation = Invitation::verify(invitation)?;
        let used = u32::try_from(accepted.len()).ok().and_then(|used| used.checked_add(left));
        if used != Some(invitation.offer().uses) {
            return Err(ConnectError::Malformed);
        }
        let digest = Digest::from_bytes(deedbox_crypto::hash::sha256(invitation.bytes()));
        Ok(Self { invitation, digest, secret, left, accepted })
    }

    /// The credential of first contact: it holds what only who has the link can compute.
    fn credential(&self) -> Result<Credential, ConnectError> {
        let claim = party::claim(&self.secret, self.invitation.inv(), self.invitation.bytes());
        inviter_credential(self.invitation.responder(), claim.expose())
    }

    /// How many may still accept it.
    #[must_use]
    pub const fn uses_left(&self) -> u32 {
        self.left
    }

    /// Reads a body with message_1 and gives the one with message_2.
    ///
    /// # Errors
    /// [`Failed`]: [`ConnectError::Expired`], [`ConnectError::InvitationUsed`] when nobody could come again,
    /// [`ConnectError::NotNow`] for another invitation's, [`ConnectError::Edhoc`].
    pub fn answer(
        &self,
        body: &[u8],
        keys: &PartyKeys,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<(Answering, Vec<u8>), Failed> {
        let inv = self.invitation.inv();
        let Expected::Frames([frame]) = expect(body, [FrameKind::Message1], inv.as_bytes())? else {
            return Err(ConnectError::NotNow.into());
        };
        let got =
            Responder::new(&Profile::production()).read_message_1(frame.body).map_err(|failed| stopped(failed, &[]))?;
        let to: [u8; 8] = got.c_i().as_bytes().try_into().map_err(|_| ConnectError::Malformed)?;
        let until = self.invitation.offer().not_after;
        let grace = until.saturating_add_secs(GRACE_SECS);
        if now >= grace || (now >= until && self.accepted.is_empty()) {
            return Err(refused(ConnectError::Expired, &to));
        }
        let me = self.credential()?;
        let own: [u8; 8] = draw(rng);
        let c_r = cid(&own)?;
        let length = got.plaintext_2_len(&c_r, &me, Form::Kid).map_err(ConnectError::from)?;
        let ead = padding::ead(length, padding::STEP_2);
        let (edhoc, message_2) =
            got.message_2(c_r, &me, Form::Kid, &ead, keys.auth(), rng).map_err(|failed| stopped(failed, &to))?;
        let body = Frame::write_all(&[Frame::new(FrameKind::Message2, &to, &message_2)]);
        Ok((Answering { edhoc, me, own, peer: to }, body))
    }

    /// Notes that `who` used the invitation.
    fn spend(&mut self, who: Acceptance, now: Timestamp) -> Result<(), ConnectError> {
        if self.accepted.contains(&who) {
            return Ok(());
        }
        if now >= self.invitation.offer().not_after {
            return Err(ConnectError::Expired);
        }
        self.left = self.left.checked_sub(1).ok_or(ConnectError::InvitationUsed)?;
        self.accepted.push(who);
        Ok(())
    }
}

/// Who invites: message_2 was sent.
#[expect(missing_debug_implementations, reason = "holds secrets; nothing of it is to be printed")]
pub struct Answering {
    edhoc: Responder<responder::WaitM3>,
    me: Credential,
    own: [u8; 8],
    peer: [u8; 8],
}

/// What an Accept leads to.
#[expect(missing_debug_implementations, clippy::exhaustive_enums, reason = "holds keys; there is no third way")]
pub enum Answered {
    /// Active; the body has message_4 and the Confirm.
    Active(Established, Vec<u8>),
    /// The check code is to come first; the body has message_4.
    Confirming(Confirming, Vec<u8>),
}

impl Answering {
    /// What frames to this side are addressed with.
    #[must_use]
    pub const fn own_id(&self) -> &[u8; 8] {
        &self.own
    }

    /// The state's bytes, to be sealed and stored while message_3 is awaited. They hold secrets and are for one use: delete
    /// them before [`Answering::finish`].
    #[must_use]
    pub fn into_stored(self) -> Zeroizing<Vec<u8>> {
        store_answer(self.edhoc, &self.own, &self.peer)
    }

    /// Takes up a stored state of `invited`'s.
    ///
    /// # Errors
    /// [`ConnectError::Malformed`].
    pub fn load(stored: &[u8], invited: &Invited) -> Result<Self, ConnectError> {
        let (edhoc, own, peer) = load_answer(stored)?;
        Ok(Self { edhoc, me: invited.credential()?, own, peer })
    }

    /// Reads the body with message_3 and the Accept, checks the agreement in it, and countersigns.
    ///
    /// # Errors
    /// [`Failed`]: [`ConnectError::Edhoc`]; [`ConnectError::AgreementMismatch`] when the agreement is not the one bound
    /// into the credential, or not on this invitation's terms and keys; [`ConnectError::InvitationUsed`],
    /// [`ConnectError::Expired`], [`ConnectError::Rejected`], [`ConnectError::NotNow`]. The session is dropped unread.
    pub fn finish(
        self,
        invited: &mut Invited,
        body: &[u8],
        keys: &PartyKeys,
        contact: &Contact,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Answered, Failed> {
        let Self { edhoc, me, own, peer: to } = self;
        let (message_3, record) = match expect(body, [FrameKind::Message3, FrameKind::Record], &own)? {
            Expected::Frames([message_3, record]) => (message_3.body, record.body),
            Expected::Error(error) => (error, &[][..]),
        };
        let presented = edhoc.read_message_3(message_3).map_err(|failed| stopped(failed, &to))?;
        let Some((conn, hash, peer)) = presented.id_cred().peek().ccs().and_then(party::read_cred_i) else {
            return Err(stopped(presented.unknown(), &to));
        };
        let authenticated = presented.authenticate(&peer, &me).map_err(|failed| stopped(failed, &to))?;
        let export = |label: u16, context: &[u8], out: &mut [u8]| authenticated.export_early(label, context, out);
        let mut session = LiveSession::new(Role::Responder, hash, (own, to), export, now, rng)?;
        let Body::Accept(bytes, theirs) = session.open(record, now)? else {
            return Err(refused(ConnectError::NotNow, &to));
        };
        let draft = Agreement::verify_half(&bytes).map_err(|error| refused(error, &to))?;
        let auth = peer.key().ok_or_else(|| refused(ConnectError::AgreementMismatch, &to))?;
        let auth = VerifyKey::from_ed25519(*auth);
        if !fits(&draft, &invited.invitation, conn, hash, &auth, now) {
            return Err(refused(ConnectError::AgreementMismatch, &to));
        }
        invited.spend(Acceptance { conn, agreement: hash, auth }, now).map_err(|error| refused(error, &to))?;
        let agreement = draft.countersign(keys.sign())?;
        let (edhoc, message_4) = authenticated.message_4(&[]).map_err(|failed| stopped(failed, &to))?;
        let message_4 = Frame::new(FrameKind::Message4, &to, &message_4);
        if invited.invitation.offer().check {
            let code = export_code(&edhoc, &agreement)?;
            let until = now.saturating_add_secs(CODE_SECS);
            let established = Established { agreement, session, contact: theirs };
            let confirming = Confirming { established, ours: contact.clone(), code, until, tries: CODE_TRIES };
            return Ok(Answered::Confirming(confirming, Frame::write_all(&[message_4])));
        }
        let confirm = Body::Confirm(agreement.bytes().to_vec(), contact.clone());
        let record = session.seal(&confirm, now)?;
        let body = Frame::write_all(&[message_4, Frame::new(FrameKind::Record, &to, &record)]);
        Ok(Answered::Active(Established { agreement, session, contact: theirs }, body))
    }
}

/// Who invites: everything fits but the check code, which the person still has to type.
#[expect(missing_debug_implementations, reason = "holds secrets; nothing of it is to be printed")]
pub struct Confirming {
    established: Established,
    ours: Contact,
    code: String,
    until: Timestamp,
    tries: u8,
}

/// What a typed code leads to.
#[expect(missing_debug_implementations, clippy::exhaustive_enums, reason = "holds keys; there is no fourth way")]
pub enum Typed {
    /// Right: active; the body has the Confirm.
    Right(Established, Vec<u8>),
    /// Wrong, and there are tries left.
    Wrong(Confirming),
    /// Wrong for the third time, or too late: ended; the body has the Refuse.
    Ended(ConnectError, Vec<u8>),
}

impl Confirming {
    /// What frames to this side are addressed with.
    #[must_use]
    pub const fn own_id(&self) -> &[u8; 8] {
        self.established.session.own_id()
    }

    /// Compares what the person typed: three tries, five minutes.
    ///
    /// # Errors
    /// [`ConnectError::SessionOver`], [`ConnectError::LimitExceeded`] when no record could be sealed.
    pub fn typed(mut self, code: &str, now: Timestamp) -> Result<Typed, ConnectError> {
        let late = now >= self.until;
        if !late && ct::eq(code.as_bytes(), self.code.as_bytes()) {
            let body = self.established.record(&self.confirm(), now)?;
            return Ok(Typed::Right(self.established, body));
        }
        self.tries = self.tries.saturating_sub(1);
        if late || self.tries == 0 {
            let error = if late { ConnectError::Expired } else { ConnectError::CheckCodeWrong };
            let body = self.established.record(&Body::Refuse(REFUSED_CODE), now)?;
            return Ok(Typed::Ended(error, body));
        }
        Ok(Typed::Wrong(self))
    }
}

impl Established {
    /// Seals `body` and wraps it into a transport body.
    pub(crate) fn record(&mut self, body: &Body, now: Timestamp) -> Result<Vec<u8>, ConnectError> {
        let record = self.session.seal(body, now)?;
        Ok(Frame::write_all(&[Frame::new(FrameKind::Record, self.session.peer_id(), &record)]))
    }
}

/// A Responder's half-open handshake as stored.
pub(crate) fn store_answer(edhoc: Responder<responder::WaitM3>, own: &[u8; 8], peer: &[u8; 8]) -> Zeroizing<Vec<u8>> {
    let edhoc = edhoc.into_stored();
    // Large enough, so that no copy is left behind by growing.
    let mut writer = Writer::with_capacity(edhoc.len().saturating_add(32));
    writer.array(4).uint(STORED).bytes(&edhoc).bytes(own).bytes(peer);
    Zeroizing::new(writer.into_vec())
}

#[expect(clippy::type_complexity, reason = "the parts of two states")]
pub(crate) fn load_answer(stored: &[u8]) -> Result<(Responder<responder::WaitM3>, [u8; 8], [u8; 8]), ConnectError> {
    let parts = || {
        let item = read(stored, Order::Canonical, &Limits::new(MAX_STORED)).ok()?;
        let [version, edhoc, own, peer] = item.as_array()?.exactly()?;
        version.as_u64().filter(|version| *version == STORED)?;
        let edhoc = Responder::from_stored(&Profile::production(), edhoc.as_bytes()?).ok()?;
        Some((edhoc, own.as_byte_array()?, peer.as_byte_array()?))
    };
    parts().ok_or(ConnectError::Malformed)
}

fn check_link(link: &Link, invitation: &Invitation) -> Result<(), ConnectError> {
    let named =
        invitation.inv() == link.inv && deedbox_crypto::hash::sha256(invitation.bytes()) == *link.digest.as_bytes();
    if named { Ok(()) } else { Err(ConnectError::InvitationMismatch) }
}

/// Whether an Accept's agreement is the one that the handshake and the invitation ask for.
fn fits(
    draft: &Agreement,
    invitation: &Invitation,
    conn: ConnectionId,
    hash: Digest,
    auth: &VerifyKey,
    now: Timestamp,
) -> bool {
    draft.hash() == hash
        && draft.connection_id() == conn
        && draft.serial() == FIRST
        && draft.initiator().auth() == auth
        && draft.responder() == invitation.responder()
        && draft.terms() == *invitation.terms()
        && draft.inv() == Some(invitation.inv())
        && draft.not_after().is_none_or(|at| at > now)
}

/// A handshake's failure, with the error message for the peer as a frame.
pub(crate) fn stopped(failed: deedbox_edhoc::Failed, to: &[u8]) -> Failed {
    let reply = failed.reply.map(|reply| Frame::write_all(&[Frame::new(FrameKind::Error, to, &reply)]));
    Failed { error: failed.error.into(), reply }
}

/// The same where the peer's address is not known yet.
fn unheard(failed: &deedbox_edhoc::Failed) -> Failed {
    Failed { error: failed.error.into(), reply: None }
}

/// A refusal that the peer sees as EDHOC error 1.
fn refused(error: ConnectError, to: &[u8]) -> Failed {
    Failed { error, reply: Some(Frame::write_all(&[Frame::new(FrameKind::Error, to, REJECTED)])) }
}

fn inviter_credential(party: &Party, claim: &[u8; 32]) -> Result<Credential, ConnectError> {
    credential(&party::cred_r(party.subject(), party.auth(), Some(claim)))
}

pub(crate) fn credential(bytes: &[u8]) -> Result<Credential, ConnectError> {
    Credential::from_ccs(bytes).map_err(|_| ConnectError::Malformed)
}

fn export_code(session: &Session, agreement: &Agreement) -> Result<String, ConnectError> {
    let mut out = [0; 8];
    session.export(CHECK_CODE, agreement.hash().as_bytes(), &mut out).map_err(|_| ConnectError::LimitExceeded)?;
    Ok(check_code(&out))
}

pub(crate) fn cid(bytes: &[u8; 8]) -> Result<Cid, ConnectError> {
    Cid::new(bytes).ok_or(ConnectError::LimitExceeded)
}

pub(crate) fn draw(rng: &mut impl CryptoRng) -> [u8; 8] {
    let mut bytes = [0; 8];
    rng.fill_bytes(&mut bytes);
    bytes
}

/// Serial of a connection's first agreement.
const FIRST: u32 = 1;
/// How long the same Accept may come again after the invitation's end.
pub(crate) const GRACE_SECS: u64 = 30 * 86_400;
const CODE_SECS: u64 = 300;
pub(crate) const STORED: u64 = 1;
pub(crate) const MAX_STORED: usize = 131_072;
/// An invitation, and a million who used it.
const MAX_STORED_INVITED: usize = 128 << 20;
const CODE_TRIES: u8 = 3;
const REFUSED_CODE: u8 = 2;
/// The EDHOC error message (1, "rejected").
const REJECTED: &[u8] = b"\x01\x68rejected";
