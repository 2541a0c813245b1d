//! An organisation's side of a connection: invite, ask, issue, verify; leave messages, renew, suspend, end.

mod connection;

use std::fmt;

use deedbox_audit::{AuditError, SignedReceipt, acknowledge_receipt};
use deedbox_connect::{
    Agreement, Answered, Answering, Body, Confirming, ConnectError, Contact, Established, Invited, Link, LiveSession,
    Offer, Party, PartyKeys, Typed,
};
use deedbox_consent::{Ask, Change, Receipt, ReceiptKind, Terms};
use deedbox_cose::{LocalSigner, Signer as _, VerifyKey};
use deedbox_credential::{
    Accepted, Challenge, ClaimSet, CredentialTemplate, IssueError, Issuer, Presentation, Verifier, VerifyError,
};
use deedbox_host::HostError;
use deedbox_interop::ImportError;
use deedbox_model::MailboxId;
use deedbox_record::VerifiedAgreement as _;

pub use connection::{Connected, Opened, Parcel, Receiving};

use crate::{
    exchange::{
        ANSWER, ASK, Answer, CREDENTIAL, DELIVERY, GRANT, HOLDER_KEY, Handover, JUSTIFICATION, Justification,
        PRESENTATION, RECEIPT, RULE, SignedRule, SignedTerms, TERMS, write_delivery,
    },
    side::Side,
    system,
};

/// Why something that a provider wanted was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProviderError {
    /// A connection was not made, or a message in it not accepted.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The person's host refused, or can't be reached.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A document to be delivered could not be read.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// A credential was not issued.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// A receipt was not signed by the other side, or not acknowledged.
    #[error(transparent)]
    Receipt(#[from] AuditError),
    /// The other side said something that does not belong here.
    #[error("unexpected message")]
    Unexpected,
    /// A presentation was not accepted.
    #[error(transparent)]
    Verify(#[from] VerifyError),
}

impl ProviderError {
    /// The variant's name, an inner error's after a dot; stable once released.
    #[must_use]
    pub fn code(&self) -> String {
        match self {
            Self::Connect(inner) => format!("Connect.{}", inner.code()),
            Self::Host(inner) => format!("Host.{}", inner.code()),
            Self::Import(inner) => format!("Import.{}", inner.code()),
            Self::Issue(inner) => format!("Issue.{}", inner.code()),
            Self::Receipt(inner) => format!("Receipt.{}", inner.code()),
            Self::Unexpected => "Unexpected".to_owned(),
            Self::Verify(inner) => format!("Verify.{}", inner.code()),
        }
    }
}

/// An organisation with its keys: one published set for all its connections.
pub struct Provider {
    uri: String,
    keys: PartyKeys,
    issuing: LocalSigner,
}

/// An invitation that is out.
pub struct Inviting {
    invited: Invited,
}

/// The other side of a first contact: message_2 was sent.
pub struct Meeting {
    answering: Answering,
}

/// A first contact that waits for the check code. No data flows.
pub struct Checking {
    confirming: Confirming,
    address: MailboxId,
}

/// What a typed check code leads to.
#[expect(clippy::exhaustive_enums, reason = "there is no fourth way, and it is matched at once")]
pub enum Checked {
    /// Right: connected; send the confirmation.
    Right(Session, Vec<u8>),
    /// Wrong, and there are tries left.
    Wrong(Checking),
    /// Wrong for the third time, or too late: there is no connection; send the refusal.
    Ended(ProviderError, Vec<u8>),
}

/// A connection in use, as the organisation holds it.
pub struct Session {
    agreement: Agreement,
    session: LiveSession,
    /// After first contact: the organisation's mailbox, and how the person is reached.
    first: Option<(MailboxId, Contact)>,
}

impl Provider {
    /// An organisation named by a URI, with fresh keys.
    ///
    /// # Errors
    /// [`ProviderError::Connect`] for a URI that no organisation can have.
    pub fn generate(uri: &str) -> Result<Self, ProviderError> {
        let mut rng = system::rng();
        let keys = PartyKeys::generate(&mut rng)?;
        Party::organisation(uri, &keys)?;
        Ok(Self { uri: uri.to_owned(), keys, issuing: LocalSigner::generate(&mut rng) })
    }

    fn party(&self) -> Result<Party, ProviderError> {
        Ok(Party::organisation(&self.uri, &self.keys)?)
    }

    pub(crate) const fn keys(&self) -> &PartyKeys {
        &self.keys
    }

    /// Its URI.
    #[must_use]
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// The key that its credentials verify under: to be published, and pinned by whoever trusts it.
    #[must_use]
    pub fn issuing_key(&self) -> &VerifyKey {
        self.issuing.public()
    }

    /// Issues an invitation.
    ///
    /// # Errors
    /// [`ProviderError::Connect`].
    pub fn invite(&self, offer: Offer) -> Result<Inviting, ProviderError> {
        Ok(Inviting { invited: Invited::issue(self.party()?, offer, &self.keys, &mut system::rng())? })
    }

    /// Reads the first message of somebody who accepts, and gives the answer.
    ///
    /// # Errors
    /// [`ProviderError::Connect`].
    pub fn meet(&self, inviting: &Inviting, body: &[u8]) -> Result<(Meeting, Vec<u8>), ProviderError> {
        let answered = inviting.invited.answer(body, &self.keys, system::now(), &mut system::rng());
        let (answering, reply) = answered.map_err(|failed| ProviderError::Connect(failed.error))?;
        Ok((Meeting { answering }, reply))
    }

    /// Reads the second message, signs the agreement, and gives the confirmation.
    ///
    /// # Errors
    /// [`ProviderError::Connect`]; [`ProviderError::Unexpected`] for an invitation with a check code, see
    /// [`Provider::agree_by_code`].
    pub fn agree(
        &self,
        inviting: &mut Inviting,
        meeting: Meeting,
        body: &[u8],
    ) -> Result<(Session, Vec<u8>), ProviderError> {
        if inviting.checks() {
            return Err(ProviderError::Unexpected);
        }
        let address = MailboxId::generate(&mut system::rng());
        match self.finish(inviting, meeting, address, body)? {
            Answered::Active(established, reply) => Ok((Session::new(established, address), reply)),
            Answered::Confirming(..) => Err(ProviderError::Unexpected),
        }
    }

    /// Reads the second message of somebody whose link was shown on another screen, and signs the agreement. It holds once
    /// the person has typed the six digits of their device into the page that showed the link.
    ///
    /// # Errors
    /// [`ProviderError::Connect`]; [`ProviderError::Unexpected`] for an invitation without a check code.
    pub fn agree_by_code(
        &self,
        inviting: &mut Inviting,
        meeting: Meeting,
        body: &[u8],
    ) -> Result<(Checking, Vec<u8>), ProviderError> {
        if !inviting.checks() {
            return Err(ProviderError::Unexpected);
        }
        let address = MailboxId::generate(&mut system::rng());
        match self.finish(inviting, meeting, address, body)? {
            Answered::Confirming(confirming, reply) => Ok((Checking { confirming, address }, reply)),
            Answered::Active(..) => Err(ProviderError::Unexpected),
        }
    }

    fn finish(
        &self,
        inviting: &mut Inviting,
        meeting: Meeting,
        address: MailboxId,
        body: &[u8],
    ) -> Result<Answered, ProviderError> {
        let (mut rng, now) = (system::rng(), system::now());
        let contact = Contact {
            address,
            endpoint: inviting.invited.invitation().offer().endpoint.clone(),
            deposit: Vec::new(),
            devices: Vec::new(),
        };
        let finished = meeting.answering.finish(&mut inviting.invited, body, &self.keys, &contact, now, &mut rng);
        finished.map_err(|failed| ProviderError::Connect(failed.error))
    }

    /// Issues a credential for the holder's key that came through a session, and seals it for the person.
    ///
    /// # Errors
    /// [`ProviderError::Issue`], [`ProviderError::Connect`], [`ProviderError::Unexpected`].
    pub fn issue(
        &self,
        session: &mut Session,
        request: &[u8],
        template: &CredentialTemplate,
        claims: ClaimSet,
    ) -> Result<Vec<u8>, ProviderError> {
        let key = session.receive(request, HOLDER_KEY)?;
        let key = VerifyKey::parse(&key).map_err(|_| ProviderError::Unexpected)?;
        let issuer = Issuer::new(&self.uri, &self.issuing);
        let issued = issuer.issue(template, claims, &key, None, system::now(), &mut system::rng())?;
        session.send(CREDENTIAL, issued.as_bytes())
    }

    /// Delivers a JSON document or FHIR bundle into the person's box: every field signed on its own, under the session's
    /// agreement.
    ///
    /// # Errors
    /// [`ProviderError::Import`], [`ProviderError::Connect`] with `LimitExceeded` above 1 MiB; then deliver it in parts.
    pub fn deliver(&self, session: &mut Session, document: &[u8]) -> Result<Vec<u8>, ProviderError> {
        let import = deedbox_interop::import(document)?;
        let delivery = write_delivery(&import, &session.agreement.hash(), system::now(), self.keys.sign());
        session.send(DELIVERY, &delivery.ok_or(ProviderError::Unexpected)?)
    }

    /// Makes a rule for the person, or changes one, under a mandate of theirs that names this party.
    ///
    /// # Errors
    /// [`ProviderError::Unexpected`] for what nobody does under a mandate; [`ProviderError::Connect`].
    pub fn rule(&self, session: &mut Session, change: impl Into<Change>) -> Result<Vec<u8>, ProviderError> {
        let rule = SignedRule::sign(&change.into(), &session.agreement.hash(), self.keys.sign());
        session.send(RULE, &rule.ok_or(ProviderError::Unexpected)?)
    }

    /// Offers terms in the place of those in force under the session's agreement. The person's box puts them in force if they are
    /// no wider; wider ones wait for a renewal with their digest, [`Connected::renew`]. A permission that is not in those in force
    /// as it is here has an id that none had before. An offer is refused that was not signed in a later second than the one taken
    /// before it, so that a clock that was ahead holds up offers until a renewal.
    ///
    /// # Errors
    /// [`ProviderError::Unexpected`] for more than 255 KiB; [`ProviderError::Connect`].
    pub fn offer_terms(&self, session: &mut Session, terms: &Terms) -> Result<Vec<u8>, ProviderError> {
        let signed = SignedTerms::sign(terms, &session.agreement.hash(), system::now(), self.keys.sign());
        session.send(TERMS, &signed.ok_or(ProviderError::Unexpected)?)
    }

    /// Justifies, in 1 to 4,096 bytes of text, a release under the duty to do so: the one that `receipt` is of.
    ///
    /// # Errors
    /// [`ProviderError::Unexpected`] for a text of another length, or a receipt of anything else; [`ProviderError::Connect`].
    pub fn justify(&self, session: &mut Session, receipt: &Receipt, text: &str) -> Result<Vec<u8>, ProviderError> {
        if receipt.kind != ReceiptKind::Disclosed {
            return Err(ProviderError::Unexpected);
        }
        let (agreement, now) = (session.agreement.hash(), system::now());
        let justification = Justification::sign(text, &receipt.subject, &agreement, now, self.keys.sign());
        session.send(JUSTIFICATION, &justification.ok_or(ProviderError::Unexpected)?)
    }
}

impl Inviting {
    /// The link, to be shown as a QR code or sent over a channel that is trusted.
    #[must_use]
    pub fn link(&self) -> Link {
        self.invited.link()
    }

    fn checks(&self) -> bool {
        self.invited.invitation().offer().check
    }

    /// The invitation's bytes, to be fetched by anyone who knows where.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.invited.invitation().bytes()
    }
}

impl Checking {
    /// Compares what the person typed: three tries, five minutes.
    ///
    /// # Errors
    /// [`ProviderError::Connect`] when the answer could not be sealed.
    pub fn typed(self, code: &str) -> Result<Checked, ProviderError> {
        let address = self.address;
        Ok(match self.confirming.typed(code, system::now())? {
            Typed::Right(established, reply) => Checked::Right(Session::new(established, address), reply),
            Typed::Wrong(confirming) => Checked::Wrong(Self { confirming, address }),
            Typed::Ended(error, reply) => Checked::Ended(ProviderError::Connect(error), reply),
        })
    }
}

impl Session {
    fn new(Established { agreement, session, contact, .. }: Established, address: MailboxId) -> Self {
        Self { agreement, session, first: Some((address, contact)) }
    }

    /// The agreement with both signatures.
    #[must_use]
    pub const fn agreement(&self) -> &Agreement {
        &self.agreement
    }

    /// What both ends of this session know and nobody else: the nonce of a presentation bound to it.
    #[must_use]
    pub const fn binding(&self) -> &[u8; 32] {
        self.session.channel_binding()
    }

    /// Asks for fields.
    ///
    /// # Errors
    /// [`ProviderError::Connect`].
    pub fn ask(&mut self, ask: &Ask) -> Result<Vec<u8>, ProviderError> {
        self.send(ASK, &ask.to_bytes())
    }

    /// Reads the answer to an ask.
    ///
    /// # Errors
    /// [`ProviderError::Connect`], [`ProviderError::Unexpected`].
    pub fn answer(&mut self, record: &[u8]) -> Result<Answer, ProviderError> {
        let content = self.receive(record, ANSWER)?;
        Answer::parse(&content).ok_or(ProviderError::Unexpected)
    }

    /// Verifies a presentation that came through this session: what is left is its status. See
    /// [`Presentation::status_source`] for the list to fetch, [`Presentation::accept_listed`] and
    /// [`Presentation::accept_unlisted`].
    ///
    /// # Errors
    /// [`ProviderError::Verify`], [`ProviderError::Connect`], [`ProviderError::Unexpected`].
    pub fn presented(
        &mut self,
        record: &[u8],
        verifier: &Verifier<'_>,
        challenge: Challenge,
    ) -> Result<Presentation, ProviderError> {
        let presentation = self.receive(record, PRESENTATION)?;
        Ok(verifier.verify(&presentation, challenge, system::now())?)
    }

    /// Verifies a presentation of a credential without a status; one that has a status is refused, since it must be looked up:
    /// [`Session::presented`].
    ///
    /// # Errors
    /// [`ProviderError::Verify`], [`ProviderError::Connect`], [`ProviderError::Unexpected`].
    pub fn verify(
        &mut self,
        record: &[u8],
        verifier: &Verifier<'_>,
        challenge: Challenge,
    ) -> Result<Accepted, ProviderError> {
        Ok(self.presented(record, verifier, challenge)?.accept_unlisted()?)
    }

    /// Reads a grant that the person handed over; [`Provider::reader`] opens it.
    ///
    /// # Errors
    /// [`ProviderError::Connect`], [`ProviderError::Unexpected`].
    pub fn granted(&mut self, record: &[u8]) -> Result<Handover, ProviderError> {
        let content = self.receive(record, GRANT)?;
        Handover::parse(&content).ok_or(ProviderError::Unexpected)
    }

    /// Reads a receipt that the person signed, and acknowledges it with the key of this agreement. Gives what it says, the
    /// receipt with both signatures to be kept, and the acknowledgment to be sent. Of a withdrawal, `fields` are to be erased.
    ///
    /// # Errors
    /// [`ProviderError::Receipt`]: `Rejected` when it is not the person's or was acknowledged before; [`ProviderError::Connect`],
    /// [`ProviderError::Unexpected`].
    pub fn acknowledge(
        &mut self,
        provider: &Provider,
        record: &[u8],
    ) -> Result<(Receipt, Vec<u8>, Vec<u8>), ProviderError> {
        let bytes = self.receive(record, RECEIPT)?;
        let side = Side::of(&self.agreement, provider.keys()).ok_or(ProviderError::Unexpected)?;
        let acting = side.peer_sign_key().clone();
        let signed = SignedReceipt::verify(&bytes, &acting, None)?;
        let receipt = Receipt::from_bytes(signed.payload()).map_err(|_| ProviderError::Unexpected)?;
        let both = acknowledge_receipt(&bytes, &acting, provider.keys().sign())?;
        let reply = self.send(RECEIPT, &both)?;
        Ok((receipt, both, reply))
    }

    fn send(&mut self, media: &str, content: &[u8]) -> Result<Vec<u8>, ProviderError> {
        let body = Body::data(media, content);
        Ok(self.session.seal(&body, system::now())?)
    }

    fn receive(&mut self, record: &[u8], wanted: &str) -> Result<Vec<u8>, ProviderError> {
        match self.session.open(record, system::now())? {
            Body::Data(data) if data.media() == wanted => Ok(data.into_content()),
            _ => Err(ProviderError::Unexpected),
        }
    }
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
opaque!(Checked, Checking, Provider, Inviting, Meeting, Session);
