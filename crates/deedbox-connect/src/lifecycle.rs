//! The life of a connection as data: what happens goes in, what is to be done comes out. No keys, no sessions.

mod stored;

use alloc::{boxed::Box, vec, vec::Vec};

use deedbox_edhoc::Role;
use deedbox_model::{Digest, Timestamp};

use crate::{
    active::Tombstone,
    agreement::{Agreement, Changes, EndReason, Proposal, Termination},
    body::Body,
    contact::GRACE_SECS,
    error::ConnectError,
    invitation::{Invitation, InvitationId},
};

/// A connection, seen from one side: where it stands and under which agreement.
///
/// It is data, to be kept and shown. Handshakes, sessions and mailboxes are beside it; what they learn is an [`Event`],
/// and what has to be done with them an [`Effect`].
///
/// ```
/// # use deedbox_connect::*;
/// # fn step(connection: Connection, body: Body, now: deedbox_model::Timestamp) -> Result<Connection, ConnectError> {
/// let (connection, effects) = connection.apply(Event::Received(body), now).map_err(|(_, error)| error)?;
/// for effect in effects { /* send, ask, wipe */ }
/// # Ok(connection)
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    role: Role,
    state: State,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Invited { inv: InvitationId, until: Timestamp },
    Accepting { inv: InvitationId, agreement: Digest, until: Timestamp },
    Confirming { agreement: Agreement, until: Timestamp },
    Held(Held),
    Ended(Tombstone),
}

/// What an agreement in force comes with.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Held {
    agreement: Agreement,
    // The one before, until the peer shows that it has the new one too.
    prior: Option<Agreement>,
    proposal: Option<Proposal>,
    suspended: Suspended,
}

/// On whose account nothing flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Suspended {
    own: bool,
    peer: bool,
    // The peer did not know the agreement; a forged error can say so too, and the next session shows that it does.
    unknown: bool,
}

impl Suspended {
    const fn any(self) -> bool {
        self.own || self.peer || self.unknown
    }
}

/// Where a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whoever shows them must notice a new one")]
pub enum Stage {
    /// The inviter waits for somebody to accept.
    Invited,
    /// The invitee accepted, and waits for the Confirm.
    Accepting,
    /// The inviter waits for the check code.
    Confirming,
    /// The agreement is in force.
    Active,
    /// It is in force, and one side proposed the next one.
    Renewing,
    /// It is in force, and nothing flows.
    Suspended,
    /// It is over, for good.
    Ended,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// First contact: the agreement has both signatures, and the inviter confirmed.
    Agreed(Agreement),
    /// First contact: the agreement has both signatures, and the check code is to come until then.
    CodeAwaited(Agreement, Timestamp),
    /// First contact: one side refused, or the check code was wrong three times.
    Refused,
    /// The peer said this, in a session or a sealed message of this connection.
    Received(Body),
    /// This side proposes a renewal.
    Propose(Proposal),
    /// This side agrees to the peer's proposal, see [`Proposal::agree`].
    Agree(Agreement),
    /// This side does not agree to the peer's proposal.
    Decline,
    /// This side wants nothing to flow until further notice; the reason is the application's.
    Suspend(u8),
    /// This side takes its suspension back.
    Resume(u8),
    /// This side ends the connection.
    Terminate(Termination),
    /// A handshake under the agreement of this hash succeeded.
    Opened(Digest),
    /// The peer answered a handshake with EDHOC error 3: it does not know the agreement.
    Unknown,
    /// Time went by.
    Tick,
}

/// What is to be done, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// Send this to the peer, in the session or as a sealed message.
    Send(Body),
    /// Show the person what the peer proposes to change; if [`Changes::must_ask`] is false, it may be agreed to unasked.
    Ask(Changes),
    /// Open a session, or ask for one with a Knock when this is the side that invited.
    OpenSession,
    /// Wipe the sessions under this agreement; for a mailbox see [`crate::Mailbox::renew`].
    EndSessions(Digest),
    /// Sign a [`Termination`] of the agreement as this side, and send it as [`Body::Terminated`]: the peer's receipt. Who
    /// ended the connection verifies it before it wipes its session, or goes without.
    Acknowledge(Box<Agreement>),
    /// Wipe the connection's keys, epochs and sessions.
    Wipe,
    /// Have the host close the mailbox.
    RevokeMailbox,
}

/// The state after an event, with what is to be done; or the state as it was, with the reason.
type Applied = Result<(Connection, Vec<Effect>), (Connection, ConnectError)>;

impl Connection {
    /// The inviter's side. For an invitation of several uses a copy stays for those to come.
    #[must_use]
    pub fn invited(invitation: &Invitation) -> Self {
        let state = State::Invited { inv: invitation.inv(), until: invitation.offer().not_after };
        Self { role: Role::Responder, state }
    }

    /// The invitee's side, with the hash of the agreement it signed. It waits as long as it may come again.
    #[must_use]
    pub fn accepting(invitation: &Invitation, agreement: Digest) -> Self {
        let until = invitation.offer().not_after.saturating_add_secs(GRACE_SECS);
        Self { role: Role::Initiator, state: State::Accepting { inv: invitation.inv(), agreement, until } }
    }

    /// The side `role` of an agreement that is in force.
    #[must_use]
    pub fn active(role: Role, agreement: Agreement) -> Self {
        Self { role, state: State::Held(Held::new(agreement)) }
    }

    /// Which side this is.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Where it stands.
    #[must_use]
    pub const fn stage(&self) -> Stage {
        match &self.state {
            State::Invited { .. } => Stage::Invited,
            State::Accepting { .. } => Stage::Accepting,
            State::Confirming { .. } => Stage::Confirming,
            State::Held(held) if held.suspended.any() => Stage::Suspended,
            State::Held(held) if held.proposal.is_some() => Stage::Renewing,
            State::Held(_) => Stage::Active,
            State::Ended(_) => Stage::Ended,
        }
    }

    /// The agreement in force.
    #[must_use]
    pub const fn agreement(&self) -> Option<&Agreement> {
        match &self.state {
            State::Held(held) => Some(&held.agreement),
            _ => None,
        }
    }

    /// The one before, as long as the peer may not have the new one: handshakes under it are still to be answered.
    #[must_use]
    pub const fn prior(&self) -> Option<&Agreement> {
        match &self.state {
            State::Held(held) => held.prior.as_ref(),
            _ => None,
        }
    }

    /// The renewal that is proposed.
    #[must_use]
    pub const fn proposal(&self) -> Option<&Proposal> {
        match &self.state {
            State::Held(held) => held.proposal.as_ref(),
            _ => None,
        }
    }

    /// What is left of it.
    #[must_use]
    pub const fn tombstone(&self) -> Option<&Tombstone> {
        match &self.state {
            State::Ended(tombstone) => Some(tombstone),
            _ => None,
        }
    }

    /// Takes what happened. When the connection's time is over, that comes first: it ends, whatever the event.
    ///
    /// # Errors
    /// The connection as it was, and why the event does not count: [`ConnectError::Ended`] for each one after the end,
    /// [`ConnectError::NotNow`], [`ConnectError::AgreementMismatch`]; of a document that came, also
    /// [`ConnectError::LimitExceeded`], [`ConnectError::Malformed`], [`ConnectError::Rejected`].
    #[expect(clippy::result_large_err, reason = "the error gives the connection back")]
    pub fn apply(self, event: Event, now: Timestamp) -> Applied {
        if let Some(at) = self.until().filter(|at| now >= *at) {
            let tombstone = self.tombstone_of(at, EndReason::Expired, None);
            return Ok(self.end(tombstone, Vec::new()));
        }
        match self.next(&event) {
            Ok(Next::Same(effects)) => Ok((self, effects)),
            Ok(Next::Held(held, effects)) => Ok((Self { state: State::Held(held), ..self }, effects)),
            Ok(Next::Confirming(agreement, until)) => {
                Ok((Self { state: State::Confirming { agreement, until }, ..self }, Vec::new()))
            }
            Ok(Next::Ended(reason, by, at, effects)) => {
                let tombstone = self.tombstone_of(at.unwrap_or(now), reason, by);
                Ok(self.end(tombstone, effects))
            }
            Err(error) => Err((self, error)),
        }
    }

    fn next(&self, event: &Event) -> Result<Next, ConnectError> {
        let held = match &self.state {
            State::Ended(_) => return Err(ConnectError::Ended),
            State::Held(held) => held,
            first => return first_contact(first, event),
        };
        if *event == Event::Tick {
            return Ok(Next::Same(Vec::new()));
        }
        let peer = other(self.role);
        match event {
            Event::Received(body) => held.received(body, self.role),
            Event::Propose(proposal) => {
                // A new proposal replaces one's own, and the Initiator's any: of two for one serial the Initiator's stands.
                let free = self.role == Role::Initiator || held.proposal_by(peer).is_none();
                let fits = proposal.by() == self.role && proposal.content().prior() == Some(held.agreement.hash());
                if held.suspended.any() || !free || !fits {
                    return Err(ConnectError::NotNow);
                }
                let effects = vec![Effect::Send(Body::Propose(proposal.bytes().to_vec()))];
                Ok(Next::Held(Held { proposal: Some(proposal.clone()), ..held.clone() }, effects))
            }
            Event::Agree(agreement) => {
                let proposal = held.proposal_by(peer).filter(|_| !held.suspended.any()).ok_or(ConnectError::NotNow)?;
                let agreement = Agreement::verify_renewal(&held.agreement, agreement.bytes())?;
                if agreement.hash() != proposal.content().hash() {
                    return Err(ConnectError::AgreementMismatch);
                }
                let effects = vec![Effect::Send(Body::Agree(agreement.bytes().to_vec())), Effect::OpenSession];
                let prior = Some(held.agreement.clone());
                Ok(Next::Held(Held { prior, ..Held::new(agreement) }, effects))
            }
            // What this side proposed itself it has signed: the peer may have agreed already.
            Event::Decline => {
                held.proposal_by(peer).ok_or(ConnectError::NotNow)?;
                Ok(Next::Held(Held { proposal: None, ..held.clone() }, Vec::new()))
            }
            Event::Suspend(reason) if !held.suspended.own => {
                let suspended = Suspended { own: true, ..held.suspended };
                Ok(Next::Held(Held { suspended, ..held.clone() }, vec![Effect::Send(Body::Suspend(*reason))]))
            }
            Event::Resume(reason) if held.suspended.own => {
                let suspended = Suspended { own: false, ..held.suspended };
                Ok(Next::Held(Held { suspended, ..held.clone() }, vec![Effect::Send(Body::Resume(*reason))]))
            }
            Event::Terminate(termination) => {
                let termination = Termination::verify(&held.agreement, termination.bytes())?;
                if termination.by() != self.role {
                    return Err(ConnectError::NotNow);
                }
                // The peer may not have the agreement that is ended.
                let mut effects: Vec<_> = held.prior.iter().map(|_| held.say_agreed()).collect();
                effects.push(Effect::Send(Body::Terminate(termination.bytes().to_vec())));
                Ok(Next::Ended(termination.reason(), Some(self.role), Some(termination.at()), effects))
            }
            Event::Opened(hash) => held.opened(*hash, self.role),
            Event::Unknown => {
                let suspended = Suspended { unknown: true, ..held.suspended };
                Ok(Next::Held(Held { suspended, ..held.clone() }, Vec::new()))
            }
            _ => Err(ConnectError::NotNow),
        }
    }

    /// From when on it is over.
    const fn until(&self) -> Option<Timestamp> {
        match &self.state {
            State::Invited { until, .. } | State::Accepting { until, .. } | State::Confirming { until, .. } => {
                Some(*until)
            }
            State::Held(held) => held.agreement.not_after(),
            State::Ended(_) => None,
        }
    }

    fn tombstone_of(&self, at: Timestamp, reason: EndReason, by: Option<Role>) -> Tombstone {
        match &self.state {
            State::Invited { inv, .. } => {
                Tombstone { conn: None, agreements: Vec::new(), inv: Some(*inv), at, reason, by }
            }
            State::Accepting { inv, agreement, .. } => {
                Tombstone { conn: None, agreements: vec![*agreement], inv: Some(*inv), at, reason, by }
            }
            State::Confirming { agreement, .. } | State::Held(Held { agreement, .. }) => {
                Tombstone::of(agreement, at, reason, by)
            }
            State::Ended(tombstone) => tombstone.clone(),
        }
    }

    fn end(self, tombstone: Tombstone, mut effects: Vec<Effect>) -> (Self, Vec<Effect>) {
        effects.push(Effect::Wipe);
        if matches!(self.state, State::Held(_)) {
            effects.push(Effect::RevokeMailbox);
        }
        (Self { state: State::Ended(tombstone), ..self }, effects)
    }
}

/// What an event leads to.
enum Next {
    Same(Vec<Effect>),
    Confirming(Agreement, Timestamp),
    Held(Held, Vec<Effect>),
    Ended(EndReason, Option<Role>, Option<Timestamp>, Vec<Effect>),
}

fn first_contact(state: &State, event: &Event) -> Result<Next, ConnectError> {
    let fits = |agreement: &Agreement| match state {
        State::Invited { inv, .. } => agreement.inv() == Some(*inv),
        State::Accepting { agreement: hash, .. } => agreement.hash() == *hash,
        State::Confirming { agreement: awaited, .. } => agreement == awaited,
        State::Held(_) | State::Ended(_) => false,
    };
    match event {
        Event::Tick => Ok(Next::Same(Vec::new())),
        Event::Agreed(agreement) | Event::CodeAwaited(agreement, _) if !fits(agreement) => {
            Err(ConnectError::AgreementMismatch)
        }
        Event::Agreed(agreement) => Ok(Next::Held(Held::new(agreement.clone()), Vec::new())),
        Event::CodeAwaited(agreement, until) if matches!(state, State::Invited { .. }) => {
            Ok(Next::Confirming(agreement.clone(), *until))
        }
        Event::Refused => Ok(Next::Ended(EndReason::Refused, None, None, Vec::new())),
        _ => Err(ConnectError::NotNow),
    }
}

impl Held {
    const fn new(agreement: Agreement) -> Self {
        let suspended = Suspended { own: false, peer: false, unknown: false };
        Self { agreement, prior: None, proposal: None, suspended }
    }

    fn proposal_by(&self, role: Role) -> Option<&Proposal> {
        self.proposal.as_ref().filter(|proposal| proposal.by() == role)
    }

    fn received(&self, body: &Body, role: Role) -> Result<Next, ConnectError> {
        let peer = other(role);
        match body {
            Body::Propose(bytes) => {
                // The peer did not get our Agree.
                if let Some(prior) = &self.prior
                    && Proposal::verify(prior, peer, bytes)
                        .is_ok_and(|proposal| proposal.content().hash() == self.agreement.hash())
                {
                    return Ok(Next::Same(vec![self.say_agreed()]));
                }
                let proposal = Proposal::verify(&self.agreement, peer, bytes)?;
                // The Initiator never agrees to what would compete with its own.
                let own = role == Role::Initiator && self.proposal_by(role).is_some();
                if self.suspended.any() || own {
                    return Err(ConnectError::NotNow);
                }
                let changes = proposal.content().changes(&self.agreement);
                Ok(Next::Held(Self { proposal: Some(proposal), ..self.clone() }, vec![Effect::Ask(changes)]))
            }
            Body::Agree(bytes) => {
                // Whatever both have signed holds, a proposal that was replaced since too.
                let agreement = Agreement::verify_renewal(&self.agreement, bytes)?;
                let effects = vec![Effect::EndSessions(self.agreement.hash()), Effect::OpenSession];
                Ok(Next::Held(Self { suspended: self.suspended, ..Self::new(agreement) }, effects))
            }
            Body::Suspend(_) => {
                let suspended = Suspended { peer: true, ..self.suspended };
                Ok(Next::Held(Self { suspended, ..self.clone() }, Vec::new()))
            }
            Body::Resume(_) => {
                let suspended = Suspended { peer: false, ..self.suspended };
                Ok(Next::Held(Self { suspended, ..self.clone() }, Vec::new()))
            }
            Body::Terminate(bytes) => {
                let (agreement, termination) = self.terminated(bytes)?;
                if termination.by() != peer {
                    return Err(ConnectError::NotNow);
                }
                let effects = vec![Effect::Acknowledge(Box::new(agreement))];
                Ok(Next::Ended(termination.reason(), Some(peer), Some(termination.at()), effects))
            }
            Body::Knock if role == Role::Initiator => Ok(Next::Same(vec![Effect::OpenSession])),
            Body::Contact(_) => Ok(Next::Same(Vec::new())),
            Body::Data(_) if !self.suspended.any() => Ok(Next::Same(Vec::new())),
            _ => Err(ConnectError::NotNow),
        }
    }

    /// A termination names what its author holds in force: that may be the agreement before, or the proposed one.
    fn terminated(&self, bytes: &[u8]) -> Result<(Agreement, Termination), ConnectError> {
        let proposed = self.proposal.as_ref().map(Proposal::content);
        let mut result = Err(ConnectError::AgreementMismatch);
        for agreement in [Some(&self.agreement), self.prior.as_ref(), proposed].into_iter().flatten() {
            result = Termination::verify(agreement, bytes).map(|termination| (agreement.clone(), termination));
            if !matches!(result, Err(ConnectError::AgreementMismatch)) {
                break;
            }
        }
        result
    }

    fn opened(&self, hash: Digest, role: Role) -> Result<Next, ConnectError> {
        let suspended = Suspended { unknown: false, ..self.suspended };
        if hash == self.agreement.hash() {
            // Both have it: what was under the one before ends.
            let mut effects: Vec<_> = self.prior.iter().map(|prior| Effect::EndSessions(prior.hash())).collect();
            let own = self.proposal_by(role);
            effects.extend(own.map(|proposal| Effect::Send(Body::Propose(proposal.bytes().to_vec()))));
            return Ok(Next::Held(Self { prior: None, suspended, ..self.clone() }, effects));
        }
        if self.prior.as_ref().is_some_and(|prior| prior.hash() == hash) {
            return Ok(Next::Held(Self { suspended, ..self.clone() }, vec![self.say_agreed()]));
        }
        Err(ConnectError::AgreementMismatch)
    }

    fn say_agreed(&self) -> Effect {
        Effect::Send(Body::Agree(self.agreement.bytes().to_vec()))
    }
}

const fn other(role: Role) -> Role {
    match role {
        Role::Initiator => Role::Responder,
        Role::Responder => Role::Initiator,
    }
}
