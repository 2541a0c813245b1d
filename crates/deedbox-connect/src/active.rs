//! A connection in use, with its session, and what is left of an ended one.

use alloc::vec::Vec;

use deedbox_cose::Signer;
use deedbox_edhoc::Role;
use deedbox_model::{ConnectionId, Digest, Timestamp};

use crate::{
    agreement::{Agreement, EndReason, Termination},
    body::{Body, Contact},
    contact::Established,
    error::ConnectError,
    invitation::InvitationId,
    session::LiveSession,
};

/// A connection on which data flows.
#[expect(missing_debug_implementations, reason = "holds secrets; nothing of it is to be printed")]
pub struct Active {
    role: Role,
    agreement: Agreement,
    contact: Contact,
    session: Option<LiveSession>,
}

/// What is left of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tombstone {
    /// The connection; none for an invitation that nobody accepted.
    pub conn: Option<ConnectionId>,
    /// The hashes of its agreements.
    pub agreements: Vec<Digest>,
    /// The invitation it came from.
    pub inv: Option<InvitationId>,
    /// When it ended, by the clock of who ended it.
    pub at: Timestamp,
    /// Why.
    pub reason: EndReason,
    /// By whom; `None` when time ended it.
    pub by: Option<Role>,
}

impl Active {
    /// The connection after first contact.
    #[must_use]
    pub fn new(established: Established) -> Self {
        let Established { agreement, session, contact } = established;
        Self { role: session.role(), agreement, contact, session: Some(session) }
    }

    /// The connection after a restart, without a session.
    #[must_use]
    pub const fn restored(role: Role, agreement: Agreement, contact: Contact) -> Self {
        Self { role, agreement, contact, session: None }
    }

    /// Which side this is.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// The agreement that holds.
    #[must_use]
    pub const fn agreement(&self) -> &Agreement {
        &self.agreement
    }

    /// How to reach the peer.
    #[must_use]
    pub const fn contact(&self) -> &Contact {
        &self.contact
    }

    /// The open session, if there is one.
    pub const fn session(&mut self) -> Option<&mut LiveSession> {
        self.session.as_mut()
    }

    /// Takes a new session, opened by [`crate::Calling`] or [`crate::Receiving`].
    ///
    /// # Errors
    /// [`ConnectError::AgreementMismatch`] when it rests on another agreement or is the other side's.
    pub fn renew_session(&mut self, session: LiveSession) -> Result<(), ConnectError> {
        if session.agreement() != self.agreement.hash() || session.role() != self.role {
            return Err(ConnectError::AgreementMismatch);
        }
        self.session = Some(session);
        Ok(())
    }

    /// Gives the open session away, to be stored.
    pub const fn take_session(&mut self) -> Option<LiveSession> {
        self.session.take()
    }

    /// Ends the connection: the termination is for the peer, in a record `Terminate` or by any other way. Keys are wiped.
    ///
    /// # Errors
    /// The connection as it was, and [`ConnectError::Signer`] or [`ConnectError::NotNow`].
    #[expect(clippy::result_large_err, reason = "the error gives the connection back")]
    pub fn terminate(
        self,
        reason: EndReason,
        now: Timestamp,
        signer: &impl Signer,
    ) -> Result<(Tombstone, Termination), (Self, ConnectError)> {
        match Termination::sign(&self.agreement, self.role, reason, now, signer) {
            Ok(termination) => Ok((self.bury(termination.at(), reason, Some(self.role)), termination)),
            Err(error) => Err((self, error)),
        }
    }

    /// Ends the connection by the peer's termination: one signature is enough.
    ///
    /// # Errors
    /// The connection as it was, and why the termination is none: see [`Termination::verify`].
    #[expect(clippy::result_large_err, reason = "the error gives the connection back")]
    pub fn terminated(self, termination: &[u8]) -> Result<Tombstone, (Self, ConnectError)> {
        match Termination::verify(&self.agreement, termination) {
            Ok(termination) => Ok(self.bury(termination.at(), termination.reason(), Some(termination.by()))),
            Err(error) => Err((self, error)),
        }
    }

    /// Opens a record in the session. A new contact is kept.
    ///
    /// # Errors
    /// As [`LiveSession::open`]; [`ConnectError::SessionOver`] without one; [`ConnectError::Expired`] when the agreement
    /// holds no more; [`ConnectError::NotNow`] for what belongs to first contact.
    pub fn open(&mut self, record: &[u8], now: Timestamp) -> Result<Body, ConnectError> {
        if !self.holds(now) {
            return Err(ConnectError::Expired);
        }
        let body = self.session.as_mut().ok_or(ConnectError::SessionOver)?.open(record, now)?;
        match &body {
            Body::Accept(..) | Body::Confirm(..) | Body::Refuse(_) => return Err(ConnectError::NotNow),
            Body::Contact(contact) => self.contact = contact.clone(),
            _ => {}
        }
        Ok(body)
    }

    /// Seals a record in the session.
    ///
    /// # Errors
    /// As [`LiveSession::seal`]; [`ConnectError::SessionOver`] without one; [`ConnectError::Expired`].
    pub fn seal(&mut self, body: &Body, now: Timestamp) -> Result<Vec<u8>, ConnectError> {
        if !self.holds(now) {
            return Err(ConnectError::Expired);
        }
        self.session.as_mut().ok_or(ConnectError::SessionOver)?.seal(body, now)
    }

    /// Ends the connection if its agreement's time is over.
    ///
    /// # Errors
    /// The connection, when it is not.
    #[expect(clippy::result_large_err, reason = "the error is the connection, unchanged")]
    pub fn expire(self, now: Timestamp) -> Result<Tombstone, Self> {
        match self.agreement.not_after().filter(|at| now >= *at) {
            Some(at) => Ok(self.bury(at, EndReason::Expired, None)),
            None => Err(self),
        }
    }

    fn holds(&self, now: Timestamp) -> bool {
        self.agreement.not_after().is_none_or(|at| now < at)
    }

    fn bury(&self, at: Timestamp, reason: EndReason, by: Option<Role>) -> Tombstone {
        Tombstone::of(&self.agreement, at, reason, by)
    }
}

impl Tombstone {
    pub(crate) fn of(agreement: &Agreement, at: Timestamp, reason: EndReason, by: Option<Role>) -> Self {
        let agreements = agreement.prior().into_iter().chain([agreement.hash()]).collect();
        Self { conn: Some(agreement.connection_id()), agreements, inv: agreement.inv(), at, reason, by }
    }
}
