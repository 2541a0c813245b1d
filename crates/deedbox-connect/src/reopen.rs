//! A new session on an agreement that holds already: after 24 hours, after a restart, on another device.

use alloc::vec::Vec;

use deedbox_cbor::{Limits, Order, Writer, read};
use deedbox_edhoc::{Credential, Form, Initiator, Profile, Responder, Role, initiator, responder};
use deedbox_model::Timestamp;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::{
    agreement::Agreement,
    contact::{MAX_STORED, STORED, cid, credential, draw, load_answer, stopped, store_answer},
    error::{ConnectError, Failed},
    frame::{Expected, Frame, FrameKind, expect},
    padding,
    pairwise::PartyKeys,
    party::{self, Party},
    session::LiveSession,
};

/// Who once accepted opens a session: message_1 was sent.
#[expect(missing_debug_implementations, reason = "holds secrets; nothing of it is to be printed")]
pub struct Calling {
    edhoc: Initiator<initiator::WaitM2>,
    agreement: Agreement,
    me: Credential,
    peer: Credential,
    own: [u8; 8],
}

impl Calling {
    /// Opens a session under `agreement` and gives the transport body with message_1. Only the agreement's Initiator can;
    /// the other side asks for it with a Knock.
    ///
    /// # Errors
    /// [`ConnectError::Rejected`] when `keys` are not the Initiator's; [`ConnectError::Edhoc`].
    pub fn start(
        agreement: &Agreement,
        keys: &PartyKeys,
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, Vec<u8>), ConnectError> {
        let me = initiator_credential(agreement)?;
        if *agreement.initiator() != Party::accepting(agreement.connection_id(), keys) {
            return Err(ConnectError::Rejected);
        }
        let peer = responder_credential(agreement.responder())?;
        let own = draw(rng);
        let start = Initiator::new(&Profile::production(), None).map_err(|_| ConnectError::NotNow)?;
        let (edhoc, message_1) = start.message_1(cid(&own)?, &[], rng)?;
        let body = Frame::write_all(&[Frame::new(FrameKind::Message1, &[], &message_1)]);
        Ok((Self { edhoc, agreement: agreement.clone(), me, peer, own }, body))
    }

    /// What frames to this side are addressed with.
    #[must_use]
    pub const fn own_id(&self) -> &[u8; 8] {
        &self.own
    }

    /// The state's bytes, to be sealed and stored while message_2 is awaited. They hold secrets and are for one use: delete
    /// them before [`Calling::answer`].
    #[must_use]
    pub fn into_stored(self) -> Zeroizing<Vec<u8>> {
        let edhoc = self.edhoc.into_stored();
        // Large enough, so that no copy is left behind by growing.
        let mut writer = Writer::with_capacity(edhoc.len().saturating_add(32));
        writer.array(3).uint(STORED).bytes(&edhoc).bytes(&self.own);
        Zeroizing::new(writer.into_vec())
    }

    /// Takes up a stored state, of a session under `agreement`.
    ///
    /// # Errors
    /// [`ConnectError::Malformed`].
    pub fn load(stored: &[u8], agreement: &Agreement) -> Result<Self, ConnectError> {
        let parts = || {
            let item = read(stored, Order::Canonical, &Limits::new(MAX_STORED)).ok()?;
            let [version, edhoc, own] = item.as_array()?.exactly()?;
            version.as_u64().filter(|version| *version == STORED)?;
            let edhoc = Initiator::from_stored(&Profile::production(), edhoc.as_bytes()?).ok()?;
            Some((edhoc, own.as_byte_array()?))
        };
        let (edhoc, own) = parts().ok_or(ConnectError::Malformed)?;
        let (me, peer) = (initiator_credential(agreement)?, responder_credential(agreement.responder())?);
        Ok(Self { edhoc, agreement: agreement.clone(), me, peer, own })
    }

    /// Reads the body with message_2 and gives the one with message_3.
    ///
    /// # Errors
    /// [`Failed`]: [`ConnectError::Edhoc`], [`ConnectError::NotNow`].
    pub fn answer(
        self,
        body: &[u8],
        keys: &PartyKeys,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<(Called, Vec<u8>), Failed> {
        let Self { edhoc, agreement, me, peer, own } = self;
        let message_2 = match expect(body, [FrameKind::Message2], &own)? {
            Expected::Frames([frame]) => frame.body,
            Expected::Error(error) => error,
        };
        let presented = edhoc.read_message_2(message_2).map_err(|failed| ConnectError::from(failed.error))?;
        let to: [u8; 8] = presented.c_r().peek().as_bytes().try_into().map_err(|_| ConnectError::Malformed)?;
        if presented.id_cred().peek().kid() != Some(peer.kid()) {
            return Err(stopped(presented.unknown(), &to));
        }
        let authenticated = presented.authenticate(&peer, &me).map_err(|failed| stopped(failed, &to))?;
        let length = authenticated.plaintext_3_len(Form::Kid).map_err(ConnectError::from)?;
        let ead = padding::ead(length, padding::STEP_3);
        let (edhoc, message_3) =
            authenticated.message_3(Form::Kid, &ead, keys.auth()).map_err(|failed| stopped(failed, &to))?;
        let export = |label: u16, context: &[u8], out: &mut [u8]| edhoc.export_early(label, context, out);
        let session = LiveSession::new(Role::Initiator, agreement.hash(), (own, to), export, now, rng)?;
        let body = Frame::write_all(&[Frame::new(FrameKind::Message3, &to, &message_3)]);
        Ok((Called { edhoc, session }, body))
    }
}

/// Who once accepted opens a session: message_3 was sent.
#[expect(missing_debug_implementations, reason = "holds secrets; nothing of it is to be printed")]
pub struct Called {
    edhoc: Initiator<initiator::WaitM4>,
    session: LiveSession,
}

impl Called {
    /// Reads the body with message_4: the session is open.
    ///
    /// # Errors
    /// [`Failed`]: [`ConnectError::Edhoc`], with `PeerError` and code 3 when the peer does not know the agreement (any
    /// more); [`ConnectError::NotNow`].
    pub fn read(self, body: &[u8]) -> Result<LiveSession, Failed> {
        let Self { edhoc, session } = self;
        let message_4 = match expect(body, [FrameKind::Message4], session.own_id())? {
            Expected::Frames([frame]) => frame.body,
            Expected::Error(error) => error,
        };
        edhoc.read_message_4(message_4).map_err(|failed| stopped(failed, session.peer_id()))?;
        Ok(session)
    }
}

/// Who once invited is asked for a session: message_2 was sent. With whom it speaks shows in message_3.
#[expect(missing_debug_implementations, reason = "holds secrets; nothing of it is to be printed")]
pub struct Receiving {
    edhoc: Responder<responder::WaitM3>,
    me: Credential,
    own: [u8; 8],
    peer: [u8; 8],
}

impl Receiving {
    /// Reads a body with message_1 that names no invitation, and gives the one with message_2. `party` is the side that
    /// invited, as its agreements name it.
    ///
    /// # Errors
    /// [`Failed`]: [`ConnectError::Edhoc`], [`ConnectError::NotNow`].
    pub fn start(
        party: &Party,
        keys: &PartyKeys,
        body: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, Vec<u8>), Failed> {
        let Expected::Frames([frame]) = expect(body, [FrameKind::Message1], &[])? else {
            return Err(ConnectError::NotNow.into());
        };
        let got =
            Responder::new(&Profile::production()).read_message_1(frame.body).map_err(|failed| stopped(failed, &[]))?;
        let peer: [u8; 8] = got.c_i().as_bytes().try_into().map_err(|_| ConnectError::Malformed)?;
        let me = responder_credential(party)?;
        let own: [u8; 8] = draw(rng);
        let c_r = cid(&own)?;
        let length = got.plaintext_2_len(&c_r, &me, Form::Kid).map_err(ConnectError::from)?;
        let ead = padding::ead(length, padding::STEP_2);
        let (edhoc, message_2) =
            got.message_2(c_r, &me, Form::Kid, &ead, keys.auth(), rng).map_err(|failed| stopped(failed, &peer))?;
        let body = Frame::write_all(&[Frame::new(FrameKind::Message2, &peer, &message_2)]);
        Ok((Self { edhoc, me, own, peer }, body))
    }

    /// What frames to this side are addressed with.
    #[must_use]
    pub const fn own_id(&self) -> &[u8; 8] {
        &self.own
    }

    /// The state's bytes, to be sealed and stored while message_3 is awaited. They hold secrets and are for one use: delete
    /// them before [`Receiving::finish`].
    #[must_use]
    pub fn into_stored(self) -> Zeroizing<Vec<u8>> {
        store_answer(self.edhoc, &self.own, &self.peer)
    }

    /// Takes up a stored state, of the side that invited, as its agreements name it.
    ///
    /// # Errors
    /// [`ConnectError::Malformed`].
    pub fn load(stored: &[u8], party: &Party) -> Result<Self, ConnectError> {
        let (edhoc, own, peer) = load_answer(stored)?;
        Ok(Self { edhoc, me: responder_credential(party)?, own, peer })
    }

    /// Reads the body with message_3, finds the agreement by the thumbprint of the Initiator's auth key, and gives the
    /// session and the body with message_4. An agreement that holds no more is not known.
    ///
    /// # Errors
    /// [`Failed`]: [`ConnectError::Edhoc`], with `UnknownCredential` when there is no such agreement;
    /// [`ConnectError::NotNow`].
    pub fn finish(
        self,
        body: &[u8],
        find: impl FnOnce(&[u8]) -> Option<Agreement>,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<(Agreement, LiveSession, Vec<u8>), Failed> {
        let Self { edhoc, me, own, peer: to } = self;
        let message_3 = match expect(body, [FrameKind::Message3], &own)? {
            Expected::Frames([frame]) => frame.body,
            Expected::Error(error) => error,
        };
        let presented = edhoc.read_message_3(message_3).map_err(|failed| stopped(failed, &to))?;
        let Some(agreement) = presented.id_cred().peek().kid().and_then(find).filter(|found| found.holds(now)) else {
            return Err(stopped(presented.unknown(), &to));
        };
        let peer = initiator_credential(&agreement)?;
        let authenticated = presented.authenticate(&peer, &me).map_err(|failed| stopped(failed, &to))?;
        let (edhoc, message_4) = authenticated.message_4(&[]).map_err(|failed| stopped(failed, &to))?;
        let export = |label: u16, context: &[u8], out: &mut [u8]| edhoc.export(label, context, out);
        let session = LiveSession::new(Role::Responder, agreement.hash(), (own, to), export, now, rng)?;
        let body = Frame::write_all(&[Frame::new(FrameKind::Message4, &to, &message_4)]);
        Ok((agreement, session, body))
    }
}

fn initiator_credential(agreement: &Agreement) -> Result<Credential, ConnectError> {
    let auth = agreement.initiator().auth();
    credential(&party::cred_i(agreement.connection_id(), auth, &agreement.hash()))
}

fn responder_credential(party: &Party) -> Result<Credential, ConnectError> {
    credential(&party::cred_r(party.subject(), party.auth(), None))
}
