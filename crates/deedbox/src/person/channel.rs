use std::fmt;

use deedbox_audit::Entry;
use deedbox_cbor::{ItemBuf, Limits};
use deedbox_connect::{
    Accepted, Accepting, Agreement, AwaitingConfirm, Body, Contact, Invitation, Link, LiveSession, Reply, Wish,
};
use deedbox_consent::{Action, Ask, Decision, HostFacts};
use deedbox_interop::replay::decision_entry;
use deedbox_model::{Assurance, Name, Timestamp};

use super::{Open, Person, connection::Own, connections_root};
use crate::{
    client::HostClient,
    error::PersonError,
    exchange::{ANSWER, ASK, Answer, CREDENTIAL, GRANT, HOLDER_KEY, Handover},
    system,
};

/// A connection in use: who it is to, under which agreement, and the open session.
pub struct Channel {
    pub(super) party: Name,
    pub(super) agreement: Agreement,
    pub(super) session: LiveSession,
}

/// An invitation that the person accepted; the first message was sent.
pub struct Connecting {
    party: Name,
    own: Own,
    contact: Contact,
    step: Step,
}

enum Step {
    First(Box<Accepting>),
    Second(Box<Accepted>),
    Third(Box<AwaitingConfirm>),
}

/// What became of an ask: the decision for the person to see, and the reply to send. The log has it already.
pub struct Answered {
    /// The decision, whole.
    pub decision: Decision,
    /// The sealed reply for the session's other side.
    pub reply: Vec<u8>,
    /// The number of its entry in the log.
    pub entry: u64,
}

impl Connecting {
    /// Reads the inviter's first answer and gives the second message.
    ///
    /// # Errors
    /// [`PersonError::Connect`]; [`PersonError::Unexpected`] when it was called already.
    pub fn answer(self, body: &[u8]) -> Result<(Self, Vec<u8>), PersonError> {
        let Step::First(accepting) = self.step else { return Err(PersonError::Unexpected) };
        let (accepted, message) = accepting
            .answer(body, &self.contact, system::now(), &mut system::rng())
            .map_err(|failed| PersonError::Connect(failed.error))?;
        Ok((Self { step: Step::Second(Box::new(accepted)), ..self }, message))
    }
}

impl Connecting {
    /// Reads the inviter's second answer, when it wants a check code before it confirms: show the person [`Connecting::code`].
    ///
    /// # Errors
    /// [`PersonError::Connect`]; [`PersonError::Unexpected`] when the inviter asked for no code, or a step was left out.
    pub fn wait(self, body: &[u8]) -> Result<Self, PersonError> {
        let Step::Second(accepted) = self.step else { return Err(PersonError::Unexpected) };
        match accepted.read(body, system::now()).map_err(|failed| PersonError::Connect(failed.error))? {
            Reply::Waiting(waiting) => Ok(Self { step: Step::Third(Box::new(waiting)), ..self }),
            Reply::Confirmed(_) => Err(PersonError::Unexpected),
        }
    }

    /// The six digits that the person types into the page that showed the link, and nowhere else.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match &self.step {
            Step::Third(waiting) => waiting.code(),
            Step::First(_) | Step::Second(_) => None,
        }
    }
}

impl Channel {
    /// Who is on the other side, as the person's rules call them.
    #[must_use]
    pub const fn party(&self) -> &Name {
        &self.party
    }

    /// The agreement with both signatures.
    #[must_use]
    pub const fn agreement(&self) -> &Agreement {
        &self.agreement
    }

    /// What both ends of this session know and nobody else: binds a presentation to it.
    #[must_use]
    pub const fn binding(&self) -> &[u8; 32] {
        self.session.channel_binding()
    }

    /// Seals data for the other side.
    ///
    /// # Errors
    /// [`PersonError::Connect`].
    pub fn send(&mut self, media: &str, content: &[u8]) -> Result<Vec<u8>, PersonError> {
        let body = Body::data(media, content);
        Ok(self.session.seal(&body, system::now())?)
    }

    /// Seals a grant for the other side.
    ///
    /// # Errors
    /// [`PersonError::Connect`].
    pub fn hand_over(&mut self, handover: &Handover) -> Result<Vec<u8>, PersonError> {
        self.send(GRANT, &handover.to_bytes())
    }

    pub(super) fn receive(&mut self, record: &[u8], wanted: &str) -> Result<Vec<u8>, PersonError> {
        match self.session.open(record, system::now())? {
            Body::Data(data) if data.media() == wanted => Ok(data.into_content()),
            _ => Err(PersonError::Unexpected),
        }
    }
}

impl<H: HostClient> Person<Open<H>> {
    /// Accepts an invitation, after the person has seen its name and terms and decided. `party` is what the person's rules
    /// call the other side. Gives the first message for the link's endpoint.
    ///
    /// # Errors
    /// [`PersonError::Connect`].
    pub fn accept(
        &self,
        link: &Link,
        invitation: &Invitation,
        party: Name,
        wish: Wish,
    ) -> Result<(Connecting, Vec<u8>), PersonError> {
        let (mut rng, now) = (system::rng(), system::now());
        let root = connections_root(&self.state.keyring);
        let (accepting, message) = Accepting::start(&root, link, invitation, wish, now, &mut rng)?;
        let own = Own::generate();
        let contact = own.contact(self.state.owner.origin());
        Ok((Connecting { party, own, contact, step: Step::First(Box::new(accepting)) }, message))
    }

    /// Reads the inviter's confirmation and notes the connection, with the agreement both signed, in the box. When the inviter
    /// wants a check code, that comes after [`Connecting::wait`], once the person has typed it.
    ///
    /// # Errors
    /// [`PersonError::Connect`], with `Refused` when the code was wrong three times or came too late;
    /// [`PersonError::Unexpected`] when the inviter first wants a check code, or a step was left out.
    pub async fn connected(&mut self, connecting: Connecting, body: &[u8]) -> Result<Channel, PersonError> {
        let now = system::now();
        let Connecting { party, own, step, .. } = connecting;
        let reply = match step {
            Step::First(_) => return Err(PersonError::Unexpected),
            Step::Second(accepted) => accepted.read(body, now),
            Step::Third(waiting) => waiting.confirm(body, now).map(Reply::Confirmed),
        };
        let Reply::Confirmed(established) = reply.map_err(|failed| PersonError::Connect(failed.error))? else {
            return Err(PersonError::Unexpected);
        };
        self.state.connect(party, own, established).await
    }

    /// Answers an ask that came through a channel: decides it by the rules in force, and releases what they permit.
    ///
    /// The decision and the use of limited permissions are in the log, and the log at the host, before this gives the reply:
    /// there is no way to one without the other. The other side learns what it gets and nothing of what it does not. A claim of a
    /// credential is no value: it leaves by [`Person::present`]. Values leave for an ask to read alone: whoever may write, pass on or
    /// query a field gets to know that they may.
    ///
    /// # Errors
    /// [`PersonError::Connect`], with `LimitExceeded` for values of more than 1 MiB, which [`Person::answer_by_grant`] has room for;
    /// [`PersonError::Payload`] for an ask that names more than the log can say something of; [`PersonError::Unexpected`],
    /// [`PersonError::Host`]. Nothing leaves then, and no permission is used.
    pub async fn answer(&mut self, channel: &mut Channel, record: &[u8]) -> Result<Answered, PersonError> {
        self.answer_when(channel, record, &[]).await
    }

    /// Answers as [`Person::answer`] does, while `conditions` hold: conditions of the vocabulary that the person's agent has seen
    /// for itself, such as `break_glass` in an emergency. The log has them, so that the person is told afterwards what left
    /// because of them.
    ///
    /// # Errors
    /// As [`Person::answer`].
    ///
    /// # Security
    /// Nothing that the asker says is a condition. Whoever calls answers to the person for each.
    pub async fn answer_when(
        &mut self,
        channel: &mut Channel,
        record: &[u8],
        conditions: &[Name],
    ) -> Result<Answered, PersonError> {
        let now = system::now();
        self.state.permits(channel)?;
        let ask = channel.receive(record, ASK)?;
        let ask = Ask::from_bytes(&ask).map_err(|_| PersonError::Unexpected)?;
        // Where another device has withdrawn a permission meanwhile, say, it is decided anew.
        let make = |open: &Open<H>| {
            open.permits(channel)?;
            let (facts, decision) = open.decide(channel, &ask, conditions, now);
            let answer = open.release(&decision)?;
            let body = Body::data(ANSWER, &answer.to_bytes());
            // A claim of a credential has no value here, nor has a field that was erased since its words were adopted.
            let leaves = (ask.action != Some(Action::Read) || !answer.values.is_empty()) && body.fits();
            let mut change = open.change();
            change.log(open.decided(&ask, &facts, &decision, leaves));
            let number = change.log.len().saturating_sub(1);
            Ok((change, (decision, body, number)))
        };
        let (decision, body, entry) = self.state.write_with(now, make).await?;
        let reply = channel.session.seal(&body, system::now())?;
        Ok(Answered { decision, reply, entry })
    }

    /// The key that a credential from this channel's other side is to be bound to, sealed for sending.
    ///
    /// # Errors
    /// [`PersonError::Connect`].
    pub fn ask_for_credential(&self, channel: &mut Channel) -> Result<Vec<u8>, PersonError> {
        self.state.permits(channel)?;
        let key = super::credential::holder(&self.state.keyring, channel)?;
        channel.send(HOLDER_KEY, &deedbox_cose::Signer::public(&key).to_cose_key())
    }

    pub(super) fn received_credential(&self, channel: &mut Channel, record: &[u8]) -> Result<Vec<u8>, PersonError> {
        self.state.permits(channel)?;
        channel.receive(record, CREDENTIAL)
    }
}

impl<H: HostClient> Open<H> {
    /// Decides an ask by the rules in force and what the agent knows.
    pub(super) fn decide(
        &self,
        channel: &Channel,
        ask: &Ask,
        conditions: &[Name],
        now: Timestamp,
    ) -> (HostFacts, Decision) {
        let mut facts = HostFacts::new(channel.party.clone(), now).assurance(Assurance::Substantial);
        facts.conditions.extend(conditions.iter().cloned());
        let evaluator = &self.rules.evaluator;
        let is_limited = |id: &Name| evaluator.policy().permission(id).is_some_and(|(rule, _)| rule.limit.is_some());
        let uses = self.uses.iter().filter(|(id, _)| is_limited(id));
        facts.uses.extend(uses.map(|(id, uses)| (id.clone(), uses.collect())));
        let decision = evaluator.decide(ask, &facts);
        (facts, decision)
    }

    /// What the log says of a decision; `leaves` says whether all went ahead that it was made for.
    pub(super) fn decided(&self, ask: &Ask, facts: &HostFacts, decision: &Decision, leaves: bool) -> Entry {
        let mut entry = decision_entry(ask, facts, decision, self.policy_digest());
        entry.stopped = !leaves && matches!(decision, Decision::Permit(_));
        entry
    }

    /// The values that a decision lets go: none for a denial, nor for anything but reading.
    fn release(&self, decision: &Decision) -> Result<Answer, PersonError> {
        let view = decision.for_requester();
        let mut answer = Answer {
            outcome: view.outcome.number(),
            values: Vec::new(),
            obligations: view.obligations.iter().map(|duty| duty.name().to_owned()).collect(),
            retention: view.retention,
        };
        let Decision::Permit(permit) = decision else { return Ok(answer) };
        if permit.action() != Action::Read {
            return Ok(answer);
        }
        for (dataset, shelf) in self.fields() {
            for record in shelf.records(dataset)? {
                let value = super::import::value(&record)?;
                let observed = record.provenance().map_or(Timestamp::from_secs(0), |provenance| provenance.observed());
                if permit.admits(&value.field, observed) {
                    answer.values.push(value);
                }
            }
        }
        answer.values.sort_by(|one, next| (&one.field, one.path.as_str()).cmp(&(&next.field, next.path.as_str())));
        Ok(answer)
    }
}

pub(super) fn item(bytes: &[u8]) -> Result<ItemBuf, PersonError> {
    ItemBuf::parse(bytes, &Limits::new(usize::MAX)).map_err(|_| PersonError::Damaged)
}

macro_rules! opaque {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    )*};
}
opaque!(Answered, Channel, Connecting);
