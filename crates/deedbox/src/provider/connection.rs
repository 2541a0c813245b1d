//! An organisation's side of a connection after first contact. It is kept by the organisation as bytes, wherever it likes.

use std::fmt;

use deedbox_cbor::{Limits, Order, Writer, read};
use deedbox_connect::{
    Agreement, Changes, ConnectError, EndReason, Event, PartyKeys, Proposal, Renewal, Role, Stage, Termination,
    Tombstone,
};
use deedbox_cose::LocalSigner;
use deedbox_model::{ConnectionId, Timestamp};
use zeroize::Zeroizing;

use super::{Provider, ProviderError, Session};
use crate::{
    client::{Access, HostClient},
    connection::{Deposit, Kept, Keys, Mail, Out, Source},
    system,
};

/// A connection as the organisation keeps it.
///
/// Each step changes it here and gives messages for the person. Store [`Connected::to_bytes`] first, then send them
/// ([`Provider::deposit`]): so nothing is sealed twice, and nothing is taken twice, whatever is interrupted.
pub struct Connected {
    kept: Kept,
}

/// Something that lay in the organisation's mailbox, sealed.
#[derive(Clone, PartialEq, Eq)]
pub struct Parcel {
    /// Its number there: [`Provider::clear`] takes away all up to one.
    pub number: u64,
    /// For [`Connected::take`].
    pub body: Vec<u8>,
}

/// A session that a person opens: message_2 was sent.
pub struct Receiving {
    receiving: deedbox_connect::Receiving,
}

/// A session that a person opened.
#[non_exhaustive]
pub struct Opened {
    /// The session.
    pub session: Session,
    /// The answer to the second message.
    pub reply: Vec<u8>,
    /// Messages to be deposited for the person.
    pub messages: Vec<Vec<u8>>,
}

impl Session {
    /// The connection that a first contact made, once: to be stored before anything else is done with it.
    ///
    /// # Errors
    /// [`ProviderError::Unexpected`] the second time, and for a later session.
    pub fn connection(&mut self) -> Result<Connected, ProviderError> {
        let (address, contact) = self.first.take().ok_or(ProviderError::Unexpected)?;
        let (mut rng, now) = (system::rng(), system::now());
        let (agreement, epoch) = (self.agreement.clone(), self.session.take_epoch());
        Ok(Connected { kept: Kept::new(Role::Responder, agreement, address, contact, epoch, now, &mut rng) })
    }
}

impl Connected {
    /// Its bytes, to be sealed and stored. They hold keys.
    ///
    /// ```cddl
    /// connected = [kept: bstr, [+ agreement: bstr]]
    /// ```
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let kept = self.kept.to_stored();
        let long: usize = self.kept.chain().iter().map(|agreement| agreement.bytes().len().saturating_add(8)).sum();
        // Large enough, so that no copy of a key is left behind by growing.
        let mut writer = Writer::with_capacity(kept.len().saturating_add(long).saturating_add(32));
        writer.array(2).bytes(&kept).array(self.kept.chain().len());
        for agreement in self.kept.chain() {
            writer.bytes(agreement.bytes());
        }
        Zeroizing::new(writer.into_vec())
    }

    /// Takes up the newest bytes there are. Its agreements are verified from the first one on.
    ///
    /// # Errors
    /// [`ProviderError::Connect`].
    pub fn load(bytes: &[u8]) -> Result<Self, ProviderError> {
        Self::decode(bytes, Source::Newest)
    }

    /// Takes up bytes of a back-up: from now on it is another device, so that no number is used twice. Ask for a session
    /// ([`Connected::knock`]).
    ///
    /// # Errors
    /// [`ProviderError::Connect`].
    pub fn restored(bytes: &[u8]) -> Result<Self, ProviderError> {
        Self::decode(bytes, Source::BackUp)
    }

    fn decode(bytes: &[u8], source: Source) -> Result<Self, ProviderError> {
        let parts = || -> Option<_> {
            let item = read(bytes, Order::Canonical, &Limits::new(MAX_BYTES)).ok()?;
            let [kept, chain] = item.as_array()?.exactly()?;
            let chain = chain.as_array()?.iter().map(deedbox_cbor::Item::as_bytes).collect::<Option<Vec<_>>>()?;
            Some((kept.as_bytes()?, chain))
        };
        let (kept, chain) = parts().ok_or(ConnectError::Malformed)?;
        let chain = Agreement::verify_chain(chain)?;
        Ok(Self { kept: Kept::load(kept, chain, source, &mut system::rng())? })
    }

    /// Where it stands; time may have ended it.
    #[must_use]
    pub const fn stage(&self) -> Stage {
        self.kept.stage()
    }

    /// Its agreements, the first one first, each verified by the one before.
    #[must_use]
    pub fn agreements(&self) -> &[Agreement] {
        self.kept.chain()
    }

    /// The connection's id.
    ///
    /// # Errors
    /// [`ProviderError::Connect`] never happens: there is always an agreement.
    pub fn id(&self) -> Result<ConnectionId, ProviderError> {
        Ok(self.kept.agreement()?.connection_id())
    }

    /// Thumbprints of the keys by which the person opens sessions now, to find this connection by.
    #[must_use]
    pub fn kids(&self) -> Vec<[u8; 32]> {
        let both = [self.kept.connection().agreement(), self.kept.connection().prior()];
        both.into_iter().flatten().map(kid).collect()
    }

    /// What the person proposes to change.
    #[must_use]
    pub fn asked(&self) -> Option<Changes> {
        let connection = self.kept.connection();
        let proposal = connection.proposal().filter(|proposal| proposal.by() == Role::Initiator)?;
        Some(proposal.content().changes(connection.agreement()?))
    }

    /// What is left of it.
    #[must_use]
    pub const fn tombstone(&self) -> Option<&Tombstone> {
        self.kept.tombstone()
    }

    /// The signed document that ended it.
    #[must_use]
    pub fn termination(&self) -> Option<&[u8]> {
        self.kept.termination()
    }

    /// The person's signed receipt for an end of this side's, or this side's for the person's.
    #[must_use]
    pub fn receipt(&self) -> Option<&[u8]> {
        self.kept.receipt()
    }

    /// The origin of the person's host, where the mailboxes are.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.kept.contact().endpoint
    }

    /// Whether no message can be left before the person opened a session.
    #[must_use]
    pub fn needs_session(&self) -> bool {
        self.kept.needs_session()
    }

    /// Refuses a session whose connection no longer stands for it: to be asked before what came in one is used.
    ///
    /// # Errors
    /// [`ProviderError::Connect`]: `Ended`, `NotNow` while it is suspended, `AgreementMismatch` after a renewal.
    pub fn permits(&self, session: &Session) -> Result<(), ProviderError> {
        Ok(self.kept.permits(&session.agreement)?)
    }

    /// Leaves the person a message, which they may fetch until `expires`, within 30 days.
    ///
    /// # Errors
    /// [`ProviderError::Connect`]: `NoEpoch` when a session is to be opened first, `NotNow` while it is suspended, `Ended`,
    /// `Expired`, `LimitExceeded`.
    pub fn leave(&mut self, media: &str, content: &[u8], expires: Timestamp) -> Result<Vec<u8>, ProviderError> {
        Ok(self.kept.leave(media, content, system::now(), expires, &mut system::rng())?)
    }

    /// Asks the person for a session.
    ///
    /// # Errors
    /// As [`Connected::leave`].
    pub fn knock(&mut self) -> Result<Vec<u8>, ProviderError> {
        Ok(self.kept.knock(system::now(), &mut system::rng())?)
    }

    /// Lets nothing flow until [`Connected::resume`].
    ///
    /// # Errors
    /// [`ProviderError::Connect`]: `NotNow`, `NoEpoch`, `Ended`. The connection is as it was.
    pub fn suspend(&mut self, provider: &Provider, reason: u8) -> Result<Vec<Vec<u8>>, ProviderError> {
        self.apply(provider, Event::Suspend(reason))
    }

    /// Takes this side's suspension back.
    ///
    /// # Errors
    /// As [`Connected::suspend`].
    pub fn resume(&mut self, provider: &Provider, reason: u8) -> Result<Vec<Vec<u8>>, ProviderError> {
        self.apply(provider, Event::Resume(reason))
    }

    /// Proposes the next agreement, with the organisation's keys of now. The one in force holds until the person has signed.
    ///
    /// # Errors
    /// As [`Connected::suspend`]; as [`Proposal::sign`].
    pub fn renew(&mut self, provider: &Provider, renewal: Renewal) -> Result<Vec<Vec<u8>>, ProviderError> {
        let keys = provider.keys();
        let prior = self.in_force()?;
        let proposal = Proposal::sign(prior, Role::Responder, renewal, keys, system::now(), keys.sign())?;
        self.apply(provider, Event::Propose(proposal))
    }

    /// Agrees to what the person proposed: [`Connected::asked`].
    ///
    /// # Errors
    /// As [`Connected::suspend`]; `NotNow` when nothing is proposed.
    pub fn agree(&mut self, provider: &Provider) -> Result<Vec<Vec<u8>>, ProviderError> {
        let prior = self.in_force()?;
        let proposal = self.kept.connection().proposal().ok_or(ConnectError::NotNow)?;
        let agreement = proposal.agree(prior, provider.keys().sign())?;
        self.apply(provider, Event::Agree(agreement))
    }

    /// Does not agree to what the person proposed.
    ///
    /// # Errors
    /// As [`Connected::agree`].
    pub fn decline(&mut self, provider: &Provider) -> Result<(), ProviderError> {
        self.apply(provider, Event::Decline).map(|_| ())
    }

    /// Ends the connection for good. From now on nothing of the person is accepted but the receipt. Drop its sessions.
    ///
    /// # Errors
    /// [`ProviderError::Connect`]: `Ended`, `NotNow` for a reason that nobody signs.
    pub fn end(&mut self, provider: &Provider, reason: EndReason) -> Result<Vec<Vec<u8>>, ProviderError> {
        let agreement = self.in_force()?;
        let signer = provider.keys().sign();
        let termination = Termination::sign(agreement, Role::Responder, reason, system::now(), signer)?;
        self.apply(provider, Event::Terminate(termination))
    }

    /// Opens a message that lay in the mailbox and does what it says. Store the connection before acting on it.
    pub fn take(&mut self, provider: &Provider, body: &[u8]) -> (Mail, Vec<Vec<u8>>) {
        let (mail, Out { messages, .. }) =
            self.kept.take(body, &Keys::One(provider.keys()), system::now(), &mut system::rng());
        (mail, messages)
    }

    fn in_force(&self) -> Result<&Agreement, ConnectError> {
        self.kept.connection().agreement().ok_or(ConnectError::Ended)
    }

    fn apply(&mut self, provider: &Provider, event: Event) -> Result<Vec<Vec<u8>>, ProviderError> {
        let (keys, now) = (Keys::One(provider.keys()), system::now());
        self.kept.tick(&keys, now, &mut system::rng());
        Ok(self.kept.apply(event, &keys, now, &mut system::rng())?.messages)
    }
}

impl Provider {
    /// Reads the first message of a person who opens a session on a connection, and gives the answer.
    ///
    /// # Errors
    /// [`ProviderError::Connect`].
    pub fn called(&self, body: &[u8]) -> Result<(Receiving, Vec<u8>), ProviderError> {
        let party = self.party()?;
        let started = deedbox_connect::Receiving::start(&party, self.keys(), body, &mut system::rng());
        let (receiving, reply) = started.map_err(|failed| ProviderError::Connect(failed.error))?;
        Ok((Receiving { receiving }, reply))
    }

    /// Reads the second message, finds the connection by one of its [`Connected::kids`], and opens the session. Store the
    /// connection before sending anything.
    ///
    /// # Errors
    /// [`ProviderError::Connect`], with `Edhoc` and `UnknownCredential` when there is no such connection or it ended.
    pub fn opened<'a>(
        &self,
        receiving: Receiving,
        body: &[u8],
        find: impl FnOnce(&[u8]) -> Option<&'a mut Connected>,
    ) -> Result<Opened, ProviderError> {
        let (mut rng, now, keys) = (system::rng(), system::now(), Keys::One(self.keys()));
        let mut found = None;
        let agreement = |wanted: &[u8]| {
            let connected = find(wanted)?;
            connected.kept.tick(&Keys::One(self.keys()), now, &mut system::rng());
            let agreement = connected.kept.current(|agreement| kid(agreement) == wanted)?.clone();
            found = Some(connected);
            Some(agreement)
        };
        let finished = receiving.receiving.finish(body, agreement, now, &mut rng);
        let (agreement, mut session, reply) = finished.map_err(|failed| ProviderError::Connect(failed.error))?;
        let connected = found.ok_or(ProviderError::Unexpected)?;
        let epoch = session.take_epoch();
        let Out { messages, .. } = connected.kept.opened(&agreement, epoch, &keys, now, &mut rng)?;
        Ok(Opened { session: Session { agreement, session, first: None }, reply, messages })
    }

    /// Puts a sealed message into the person's mailbox at their host. The same message twice is one.
    ///
    /// # Errors
    /// [`ProviderError::Host`]; [`ProviderError::Unexpected`] when the person gave no way to deposit.
    pub async fn deposit<H: HostClient>(
        &self,
        client: H,
        connected: &Connected,
        message: &[u8],
    ) -> Result<(), ProviderError> {
        let (access, _) = self.access(client, connected)?;
        Ok(access.push_mail(connected.kept.contact().address, message, system::now()).await?)
    }

    /// Fetches what lies in the organisation's mailbox for a connection, as much as the host gives at once.
    ///
    /// # Errors
    /// As [`Provider::deposit`].
    pub async fn collect<H: HostClient>(&self, client: H, connected: &Connected) -> Result<Vec<Parcel>, ProviderError> {
        let (access, deposit) = self.access(client, connected)?;
        let items = access.mail(deposit.take, 0, system::now()).await?;
        Ok(items.into_iter().map(|item| Parcel { number: item.number, body: item.body }).collect())
    }

    /// Takes away what lies in the organisation's mailbox, up to a number: after the connection was stored.
    ///
    /// # Errors
    /// As [`Provider::deposit`].
    pub async fn clear<H: HostClient>(&self, client: H, connected: &Connected, upto: u64) -> Result<(), ProviderError> {
        let (access, deposit) = self.access(client, connected)?;
        Ok(access.clear_mail(deposit.take, upto, system::now()).await?)
    }

    fn access<H: HostClient>(
        &self,
        client: H,
        connected: &Connected,
    ) -> Result<(Access<H, &LocalSigner>, Deposit), ProviderError> {
        let deposit = Deposit::parse(&connected.kept.contact().deposit).ok_or(ProviderError::Unexpected)?;
        let keys: &PartyKeys = self.keys();
        Ok((Access::of(client, deposit.store, deposit.capability, keys.sign()), deposit))
    }
}

fn kid(agreement: &Agreement) -> [u8; 32] {
    *agreement.initiator().auth().thumbprint().as_bytes()
}

impl fmt::Debug for Connected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connected").field("stage", &self.stage()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Parcel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parcel").field("len", &self.body.len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").finish_non_exhaustive()
    }
}

impl fmt::Debug for Receiving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiving").finish_non_exhaustive()
    }
}

/// State, and some thousand agreements.
const MAX_BYTES: usize = 16 << 20;
