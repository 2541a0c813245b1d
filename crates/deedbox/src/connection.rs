//! A connection as each side keeps it: where it stands, its agreements, and the mailbox for messages while the other side is
//! away. Persons keep it in their box, organisations as bytes wherever they like.

use std::fmt;

use deedbox_cbor::{Item, Limits, Order, Writer, read};
#[cfg(feature = "person")]
use deedbox_connect::ConnectionsRoot;
#[cfg(feature = "provider")]
use deedbox_connect::PartyKeys;
use deedbox_connect::{
    Agreement, Arrival, Body, Changes, ConnectError, Connection, Contact, Effect, Epoch, Event, Frame, FrameKind,
    Mailbox, Missing, Role, Stage, Termination, Tombstone,
};
#[cfg(feature = "provider")]
use deedbox_cose::Signer as _;
use deedbox_model::{CapabilityId, MailboxId, StoreName, Timestamp};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

/// What came through a mailbox.
#[derive(Clone, PartialEq, Eq)]
pub struct Mail {
    /// How it follows what the same device sent before: anything but [`Arrival::InOrder`] is for the log. `None` for what
    /// did not open.
    pub arrival: Option<Arrival>,
    /// What it is.
    pub content: Content,
}

/// What a message says, or what became of it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Content {
    /// The other side proposes a renewal that changes this: agree, or decline.
    Asked(Changes),
    /// The other side asks for a session.
    Called,
    /// Data.
    Data {
        /// Its media type.
        media: String,
        /// Its bytes.
        content: Vec<u8>,
    },
    /// The other side says how it is reached; these messages of its devices have not come.
    Reached(Vec<Missing>),
    /// The connection stands elsewhere now.
    Moved(Stage),
    /// The other side's receipt for an end.
    Receipt,
    /// It was not taken: a replay, a forgery, data on a connection that is suspended. [`ConnectError::EpochUnknown`] stays in
    /// the mailbox, for after the next session.
    Refused(ConnectError),
}

/// One side of a connection.
pub(crate) struct Kept {
    // INVARIANT (chain): from the first agreement on, each verified by the one before; the last is in force, or was.
    chain: Vec<Agreement>,
    connection: Connection,
    // After this side ended the connection it is kept for the receipt alone; else an end takes it away.
    mailbox: Option<Mailbox>,
    contact: Contact,
    /// What ended it, and the other side's receipt.
    termination: Option<Vec<u8>>,
    receipt: Option<Vec<u8>>,
}

/// The keys of one side.
pub(crate) enum Keys<'a> {
    /// A person's are derived, for each agreement.
    #[cfg(feature = "person")]
    Root(&'a ConnectionsRoot),
    /// An organisation has one set.
    #[cfg(feature = "provider")]
    One(&'a PartyKeys),
}

impl Keys<'_> {
    pub(crate) fn with<T>(
        &self,
        agreement: &Agreement,
        role: Role,
        f: impl FnOnce(&deedbox_connect::PartyKeys) -> Result<T, ConnectError>,
    ) -> Result<T, ConnectError> {
        match self {
            #[cfg(feature = "person")]
            Keys::Root(root) => f(&root.keys_for(agreement, role)?),
            #[cfg(feature = "provider")]
            Keys::One(keys) if keys.sign().public() == agreement.party(role).sign() => f(keys),
            #[cfg(feature = "provider")]
            Keys::One(_) => Err(ConnectError::Rejected),
        }
    }
}

/// What a step leads to besides the new state: to be done once that is stored.
#[derive(Default)]
pub(crate) struct Out {
    /// For the peer's mailbox.
    pub(crate) messages: Vec<Vec<u8>>,
    /// The person is to be asked.
    pub(crate) asked: Option<Changes>,
    /// A session is to be opened, by the Initiator.
    pub(crate) call: bool,
}

impl Kept {
    /// After first contact. `own` is this side's mailbox.
    pub(crate) fn new(
        role: Role,
        agreement: Agreement,
        own: MailboxId,
        contact: Contact,
        epoch: Option<Epoch>,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Self {
        let mut mailbox = Mailbox::new(&agreement, role, own, contact.address, rng);
        if let Some(epoch) = epoch {
            mailbox.add(epoch, now);
        }
        let connection = Connection::active(role, agreement.clone());
        let chain = vec![agreement];
        Self { chain, connection, mailbox: Some(mailbox), contact, termination: None, receipt: None }
    }

    /// Its bytes without the agreements. They hold keys.
    ///
    /// ```cddl
    /// kept = [1, stored-connection: bstr, contact: bstr .cbor body, termination: bstr / null, receipt: bstr / null,
    ///         ([device: b8, stored-mailbox: bstr] / null)]
    /// ```
    pub(crate) fn to_stored(&self) -> Zeroizing<Vec<u8>> {
        let (connection, contact) = (self.connection.to_stored(), Body::Contact(self.contact.clone()).to_bytes());
        let mailbox = self.mailbox.as_ref().map(|mailbox| (*mailbox.device(), mailbox.to_stored()));
        let documents = [&self.termination, &self.receipt];
        let long = mailbox.as_ref().map_or(0, |(_, mailbox)| mailbox.len());
        // Large enough, so that no copy of a key is left behind by growing.
        let capacity = connection.len().saturating_add(contact.len()).saturating_add(long).saturating_add(4_096);
        let mut writer = Writer::with_capacity(capacity);
        writer.array(6).uint(STORED).bytes(&connection).bytes(&contact);
        for document in documents {
            match document {
                Some(document) => writer.bytes(document),
                None => writer.null(),
            };
        }
        match &mailbox {
            Some((device, mailbox)) => writer.array(2).bytes(device).bytes(mailbox),
            None => writer.null(),
        };
        Zeroizing::new(writer.into_vec())
    }

    /// Takes up what [`Kept::to_stored`] wrote, with all agreements. From a back-up it is another device.
    pub(crate) fn load(
        stored: &[u8],
        chain: Vec<Agreement>,
        source: Source,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, ConnectError> {
        let item = read(stored, Order::Canonical, &Limits::new(MAX_STORED)).map_err(|_| ConnectError::Malformed)?;
        let parts = || -> Option<_> {
            let [version, connection, contact, termination, receipt, mailbox] = item.as_array()?.exactly()?;
            version.as_u64().filter(|version| *version == STORED)?;
            let Ok(Body::Contact(contact)) = Body::parse(contact.as_bytes()?) else { return None };
            let mailbox = optional(mailbox, |item| {
                let [device, mailbox] = item.as_array()?.exactly()?;
                Some((device.as_byte_array::<8>()?, mailbox.as_bytes()?))
            })?;
            let document = |item: Item<'_>| item.as_bytes().map(<[u8]>::to_vec);
            let documents = (optional(termination, document)?, optional(receipt, document)?);
            Some((connection.as_bytes()?, contact, documents, mailbox))
        };
        let (connection, contact, (termination, receipt), mailbox) = parts().ok_or(ConnectError::Malformed)?;
        let connection = Connection::load(connection, &chain)?;
        let mailbox = match mailbox {
            Some((device, stored)) => Some(load_mailbox(stored, &chain, device, source, rng)?),
            None => None,
        };
        Ok(Self { chain, connection, mailbox, contact, termination, receipt })
    }

    pub(crate) const fn role(&self) -> Role {
        self.connection.role()
    }

    pub(crate) const fn stage(&self) -> Stage {
        self.connection.stage()
    }

    pub(crate) fn chain(&self) -> &[Agreement] {
        &self.chain
    }

    /// The agreement in force, or the last one that was.
    pub(crate) fn agreement(&self) -> Result<&Agreement, ConnectError> {
        self.chain.last().ok_or(ConnectError::AgreementMismatch)
    }

    pub(crate) const fn connection(&self) -> &Connection {
        &self.connection
    }

    #[cfg(feature = "provider")]
    pub(crate) const fn contact(&self) -> &Contact {
        &self.contact
    }

    pub(crate) fn termination(&self) -> Option<&[u8]> {
        self.termination.as_deref()
    }

    pub(crate) fn receipt(&self) -> Option<&[u8]> {
        self.receipt.as_deref()
    }

    pub(crate) const fn tombstone(&self) -> Option<&Tombstone> {
        self.connection.tombstone()
    }

    /// Whether messages may still come: the connection lives, or the receipt of its end is awaited.
    #[cfg(feature = "person")]
    pub(crate) const fn listens(&self) -> bool {
        self.mailbox.is_some()
    }

    /// Whether no message can be left before a session was opened.
    pub(crate) fn needs_session(&self) -> bool {
        let force = self.connection.agreement().map(Agreement::hash);
        let has = |mailbox: &Mailbox| mailbox.epochs().any(|epoch| Some(epoch.agreement()) == force);
        force.is_some() && !self.mailbox.as_ref().is_some_and(has)
    }

    /// An agreement under which handshakes are answered: that in force, and the one before as long as the peer may not have
    /// the new one.
    pub(crate) fn current(&self, fits: impl Fn(&Agreement) -> bool) -> Option<&Agreement> {
        [self.connection.agreement(), self.connection.prior()].into_iter().flatten().find(|agreement| fits(agreement))
    }

    /// Refuses what came in a session, when the connection no longer stands for it.
    pub(crate) fn permits(&self, session: &Agreement) -> Result<(), ConnectError> {
        match self.stage() {
            Stage::Active | Stage::Renewing => {
                let found = self.current(|agreement| agreement.hash() == session.hash());
                found.map(|_| ()).ok_or(ConnectError::AgreementMismatch)
            }
            Stage::Ended => Err(ConnectError::Ended),
            _ => Err(ConnectError::NotNow),
        }
    }

    /// Lets time end it.
    pub(crate) fn tick(&mut self, keys: &Keys<'_>, now: Timestamp, rng: &mut impl CryptoRng) {
        if self.stage() != Stage::Ended {
            // It changes nothing but what time ends.
            let _ = self.apply(Event::Tick, keys, now, rng);
        }
    }

    /// Takes what happened. On an error the connection is as it was.
    pub(crate) fn apply(
        &mut self,
        event: Event,
        keys: &Keys<'_>,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Out, ConnectError> {
        let ends = matches!(event, Event::Terminate(_));
        let termination = match &event {
            Event::Terminate(termination) => Some(termination.bytes().to_vec()),
            Event::Received(Body::Terminate(bytes)) => Some(bytes.clone()),
            _ => None,
        };
        let (next, effects) = self.connection.clone().apply(event, now).map_err(|(_, error)| error)?;
        let mut out = Out::default();
        for effect in effects {
            match effect {
                Effect::Send(body) => match self.seal(&body, now, now.saturating_add_secs(CONTROL_SECS), rng) {
                    Ok(message) => out.messages.push(message),
                    // Nobody is held in a connection because the other side can't be told.
                    Err(_) if ends => {}
                    Err(error) => return Err(error),
                },
                Effect::Ask(changes) => out.asked = Some(changes),
                Effect::OpenSession => out.call = true,
                Effect::EndSessions(_) => {
                    if let (Some(mailbox), Some(agreement)) = (&mut self.mailbox, next.agreement()) {
                        mailbox.renew(agreement)?;
                    }
                }
                Effect::Acknowledge(agreement) => {
                    out.messages.extend(self.acknowledge(&agreement, keys, now, rng));
                }
                Effect::Wipe if !ends => self.mailbox = None,
                // The host's part is done by who has one.
                _ => {}
            }
        }
        if let Some(agreement) = next.agreement().filter(|agreement| self.chain.last() != Some(*agreement)) {
            self.chain.push(agreement.clone());
        }
        if next.stage() == Stage::Ended {
            self.termination = self.termination.take().or(termination);
        }
        self.connection = next;
        Ok(out)
    }

    /// The receipt for the peer's end, as far as the peer can still be told.
    fn acknowledge(
        &mut self,
        agreement: &Agreement,
        keys: &Keys<'_>,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Option<Vec<u8>> {
        let role = self.role();
        let reason = deedbox_connect::EndReason::NotGiven;
        let receipt = keys.with(agreement, role, |keys| Termination::sign(agreement, role, reason, now, keys.sign()));
        let receipt = receipt.ok()?.bytes().to_vec();
        let expires = now.saturating_add_secs(CONTROL_SECS);
        let message = self.seal(&Body::Terminated(receipt.clone()), now, expires, rng).ok();
        self.receipt = Some(receipt);
        message
    }

    /// A handshake succeeded: its keys are the mailbox's.
    pub(crate) fn opened(
        &mut self,
        agreement: &Agreement,
        epoch: Option<Epoch>,
        keys: &Keys<'_>,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Out, ConnectError> {
        if let (Some(mailbox), Some(epoch)) = (&mut self.mailbox, epoch) {
            mailbox.add(epoch, now);
        }
        self.apply(Event::Opened(agreement.hash()), keys, now, rng)
    }

    /// Seals data for the peer's mailbox.
    pub(crate) fn leave(
        &mut self,
        media: &str,
        content: &[u8],
        now: Timestamp,
        expires: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, ConnectError> {
        match self.stage() {
            Stage::Active | Stage::Renewing => self.seal(&Body::data(media, content), now, expires, rng),
            Stage::Ended => Err(ConnectError::Ended),
            _ => Err(ConnectError::NotNow),
        }
    }

    /// Tells the peer how this side is reached, and what its devices have sealed.
    #[cfg(feature = "person")]
    pub(crate) fn tell(
        &mut self,
        endpoint: &str,
        deposit: Vec<u8>,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, ConnectError> {
        let mailbox = self.mailbox.as_ref().ok_or(ConnectError::Ended)?;
        let (address, devices) = (mailbox.address(), mailbox.heads());
        let body = Body::Contact(Contact { address, endpoint: endpoint.to_owned(), deposit, devices });
        self.seal(&body, now, now.saturating_add_secs(CONTROL_SECS), rng)
    }

    /// Asks the Initiator for a session.
    #[cfg(feature = "provider")]
    pub(crate) fn knock(&mut self, now: Timestamp, rng: &mut impl CryptoRng) -> Result<Vec<u8>, ConnectError> {
        self.seal(&Body::Knock, now, now.saturating_add_secs(CONTROL_SECS), rng)
    }

    fn seal(
        &mut self,
        body: &Body,
        now: Timestamp,
        expires: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, ConnectError> {
        let mailbox = self.mailbox.as_mut().ok_or(ConnectError::Ended)?;
        let message = mailbox.seal(body, now, expires, rng)?;
        Ok(Frame::write_all(&[Frame::new(FrameKind::Sealed, mailbox.peer_address().as_bytes(), &message)]))
    }

    /// Opens a message that lay in this side's mailbox, and does what it says.
    pub(crate) fn take(
        &mut self,
        body: &[u8],
        keys: &Keys<'_>,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> (Mail, Out) {
        match self.try_take(body, keys, now, rng) {
            Ok(taken) => taken,
            Err(error) => (Mail { arrival: None, content: Content::Refused(error) }, Out::default()),
        }
    }

    fn try_take(
        &mut self,
        body: &[u8],
        keys: &Keys<'_>,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<(Mail, Out), ConnectError> {
        self.tick(keys, now, rng);
        let role = self.role();
        let mailbox = self.mailbox.as_mut().ok_or(ConnectError::Ended)?;
        let frames = Frame::parse_all(body)?;
        let [frame] = frames.as_slice() else { return Err(ConnectError::Malformed) };
        if frame.kind != FrameKind::Sealed || frame.to != mailbox.address().as_bytes() {
            return Err(ConnectError::NotNow);
        }
        let hash = mailbox.agreement_of(frame.body)?;
        let sealed_under = self.chain.iter().find(|agreement| agreement.hash() == hash);
        let sealed_under = sealed_under.ok_or(ConnectError::AgreementMismatch)?;
        let opened = keys.with(sealed_under, role, |keys| mailbox.open(frame.body, keys, now))?;
        let arrival = Some(opened.arrival);
        if self.stage() == Stage::Ended {
            let content = match self.acknowledged(&opened.body) {
                Ok(()) => Content::Receipt,
                Err(error) => Content::Refused(error),
            };
            return Ok((Mail { arrival, content }, Out::default()));
        }
        let out = match self.apply(Event::Received(opened.body.clone()), keys, now, rng) {
            Ok(out) => out,
            Err(error) => return Ok((Mail { arrival, content: Content::Refused(error) }, Out::default())),
        };
        let content = match opened.body {
            Body::Data(data) => Content::Data { media: data.media().to_owned(), content: data.into_content() },
            Body::Contact(contact) => Content::Reached(self.reached(contact)),
            Body::Knock => Content::Called,
            _ => match out.asked {
                Some(changes) => Content::Asked(changes),
                None => Content::Moved(self.stage()),
            },
        };
        Ok((Mail { arrival, content }, out))
    }

    fn reached(&mut self, contact: Contact) -> Vec<Missing> {
        let Some(mailbox) = &mut self.mailbox else { return Vec::new() };
        mailbox.set_peer_address(contact.address);
        let missing = mailbox.missing(&contact.devices);
        self.contact = contact;
        missing
    }

    /// The peer's receipt for this side's end, or its own end at the same time: then nothing more is awaited.
    fn acknowledged(&mut self, body: &Body) -> Result<(), ConnectError> {
        let (Body::Terminated(receipt) | Body::Terminate(receipt)) = body else { return Err(ConnectError::Ended) };
        let own = self.role();
        let by_peer = |agreement: &Agreement| {
            Termination::verify(agreement, receipt).is_ok_and(|termination| termination.by() != own)
        };
        if !self.chain.iter().any(by_peer) {
            return Err(ConnectError::Rejected);
        }
        (self.receipt, self.mailbox) = (Some(receipt.clone()), None);
        Ok(())
    }
}

/// Where stored bytes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// They are the newest there are.
    Newest,
    /// There may be newer ones: numbers may have been used since, so this is another device from now on.
    BackUp,
}

fn load_mailbox(
    stored: &[u8],
    chain: &[Agreement],
    device: [u8; 8],
    source: Source,
    rng: &mut impl CryptoRng,
) -> Result<Mailbox, ConnectError> {
    // Under the agreement in force, or still under the one before.
    let mut result = Err(ConnectError::AgreementMismatch);
    for agreement in chain.iter().rev() {
        result = match source {
            Source::Newest => Mailbox::load(stored, agreement, device),
            Source::BackUp => Mailbox::restored(stored, agreement, rng),
        };
        if !matches!(result, Err(ConnectError::AgreementMismatch)) {
            break;
        }
    }
    let mut mailbox = result?;
    if source == Source::BackUp {
        // Devices share one state, and each change of it is one: who has it now is the only one.
        mailbox.forget(&device);
    }
    Ok(mailbox)
}

/// What lets the other side of a connection reach a person's mailboxes at the host, for the key that signs under the
/// agreement: to push into the person's, and to take from its own.
///
/// ```cddl
/// deposit = [store: b16, capability: b16, take: b16]
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deposit {
    /// The name by which this connection alone knows the store.
    pub store: StoreName,
    /// The capability.
    pub capability: CapabilityId,
    /// The mailbox from which the other side takes.
    pub take: MailboxId,
}

impl Deposit {
    /// Its deterministic CBOR.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        self.store.encode(writer.array(3));
        self.capability.encode(&mut writer);
        self.take.encode(&mut writer);
        writer.into_vec()
    }

    /// Reads what [`Deposit::to_bytes`] wrote; `None` for anything else.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let item = read(bytes, Order::Canonical, &Limits::new(64)).ok()?;
        let [store, capability, take] = item.as_array()?.exactly()?;
        Some(Self {
            store: StoreName::decode(store)?,
            capability: CapabilityId::decode(capability)?,
            take: MailboxId::decode(take)?,
        })
    }
}

/// Prints the kind of content, never the content.
impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked(_) => f.write_str("Asked"),
            Self::Called => f.write_str("Called"),
            Self::Data { content, .. } => f.debug_struct("Data").field("len", &content.len()).finish_non_exhaustive(),
            Self::Reached(missing) => f.debug_tuple("Reached").field(&missing.len()).finish(),
            Self::Moved(stage) => f.debug_tuple("Moved").field(stage).finish(),
            Self::Receipt => f.write_str("Receipt"),
            Self::Refused(error) => f.debug_tuple("Refused").field(error).finish(),
        }
    }
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mail").field("arrival", &self.arrival).field("content", &self.content).finish()
    }
}

fn optional<'a, T>(item: Item<'a>, decode: impl FnOnce(Item<'a>) -> Option<T>) -> Option<Option<T>> {
    if item.is_null() { Some(None) } else { decode(item).map(Some) }
}

const STORED: u64 = 1;
const MAX_STORED: usize = 2 << 20;
/// How long what changes a connection may wait for the other side: as long as keys are kept.
const CONTROL_SECS: u64 = 30 * 86_400;
