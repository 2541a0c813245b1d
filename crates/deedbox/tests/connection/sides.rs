//! A person and a council that have met.

use std::sync::Arc;

use deedbox::{
    Content, HostClient, LocalHost, Mail, PersonError,
    host::{Admission, Config, Host, MemoryStorage, system_clock},
    parts::{
        connect::{Arrival, Invitation, Link, Offer, Wish},
        model::{ConnectionId, Digest, Name, Timestamp},
    },
    person::{Channel, Keepsake, Open, Person},
    provider::{Connected, Opened, Provider, ProviderError, Session},
};

pub(crate) type Client = LocalHost<MemoryStorage, fn() -> Timestamp>;

pub(crate) fn config() -> Config {
    let mut config = Config::default();
    config.admission = Admission::Open;
    config.rate.per_second = 1_000_000;
    config.rate.burst = 1_000_000;
    config
}

pub(crate) fn host() -> Client {
    let clock: fn() -> Timestamp = system_clock;
    LocalHost::new(Arc::new(Host::new(MemoryStorage::new(), clock, config())), "https://host.example")
}

pub(crate) fn later() -> Timestamp {
    system_clock().saturating_add_secs(3_600)
}

/// Both sides after first contact: the council keeps its as bytes.
pub(crate) struct Sides<H> {
    pub(crate) client: H,
    pub(crate) person: Person<Open<H>>,
    pub(crate) keepsake: Keepsake,
    pub(crate) channel: Channel,
    pub(crate) provider: Provider,
    pub(crate) session: Session,
    pub(crate) bytes: Vec<u8>,
    pub(crate) id: ConnectionId,
}

impl<H: HostClient + Clone> Sides<H> {
    pub(crate) async fn meet(client: H) -> Self {
        let (mut person, keepsake) = Person::create(client.clone(), "a passphrase").await.unwrap();
        let provider = Provider::generate("https://council.example").unwrap();
        let offer = Offer {
            endpoint: "https://council.example/deedbox".to_owned(),
            not_after: later(),
            uses: 1,
            terms: Digest::from_bytes([0; 32]),
            terms_body: None,
            name: "City council".to_owned(),
            check: false,
            evidence: None,
        };
        let mut inviting = provider.invite(offer).unwrap();
        let link = Link::parse_qr(&inviting.link().to_qr()).unwrap();
        let invitation = Invitation::open(&link, inviting.bytes(), system_clock()).unwrap();
        let party = Name::parse("council").unwrap();
        let (connecting, one) = person.accept(&link, &invitation, party, Wish::default()).unwrap();
        let (meeting, two) = provider.meet(&inviting, &one).unwrap();
        let (connecting, three) = connecting.answer(&two).unwrap();
        let (mut session, four) = provider.agree(&mut inviting, meeting, &three).unwrap();
        let channel = person.connected(connecting, &four).await.unwrap();
        let bytes = session.connection().unwrap().to_bytes().to_vec();
        let id = channel.agreement().connection_id();
        Self { client, person, keepsake, channel, provider, session, bytes, id }
    }

    /// The council's connection as it was stored last.
    pub(crate) fn council(&self) -> Connected {
        Connected::load(&self.bytes).unwrap()
    }

    /// The council stores its connection, and then deposits.
    pub(crate) async fn deposit(&mut self, connected: &Connected, messages: &[Vec<u8>]) -> Result<(), ProviderError> {
        self.bytes = connected.to_bytes().to_vec();
        for message in messages {
            self.provider.deposit(self.client.clone(), connected, message).await?;
        }
        Ok(())
    }

    /// The council does something, stores, and deposits.
    pub(crate) async fn council_does(
        &mut self,
        f: impl FnOnce(&mut Connected, &Provider) -> Result<Vec<Vec<u8>>, ProviderError>,
    ) -> Result<(), ProviderError> {
        let mut connected = self.council();
        let messages = f(&mut connected, &self.provider)?;
        self.deposit(&connected, &messages).await
    }

    pub(crate) async fn council_leaves(&mut self, text: &str) -> Result<(), ProviderError> {
        self.council_does(|connected, _| Ok(vec![connected.leave("text/plain", text.as_bytes(), later())?])).await
    }

    /// The council fetches, opens, stores, answers, and clears its mailbox.
    pub(crate) async fn council_collects(&mut self) -> Result<Vec<Mail>, ProviderError> {
        let mut connected = self.council();
        let parcels = self.provider.collect(self.client.clone(), &connected).await?;
        let (mut all, mut messages) = (Vec::new(), Vec::new());
        for parcel in &parcels {
            let (mail, replies) = connected.take(&self.provider, &parcel.body);
            all.push(mail);
            messages.extend(replies);
        }
        self.deposit(&connected, &messages).await?;
        if let Some(last) = parcels.last() {
            self.provider.clear(self.client.clone(), &connected, last.number).await?;
        }
        Ok(all)
    }

    pub(crate) async fn person_leaves(&mut self, text: &str) -> Result<(), PersonError> {
        self.person.leave(&self.id, "text/plain", text.as_bytes(), later()).await
    }

    pub(crate) async fn person_collects(&mut self) -> Result<Vec<Mail>, PersonError> {
        self.person.collect(&self.id).await
    }

    /// The person opens a session, and the council finds the connection by the key.
    pub(crate) async fn reopen(&mut self) -> Result<(), PersonError> {
        let (calling, one) = self.person.call(&self.id)?;
        let (receiving, two) = self.provider.called(&one).unwrap();
        let (calling, three) = calling.answer(&two)?;
        let mut connected = self.council();
        let found = |kid: &[u8], connected: &Connected| connected.kids().iter().any(|known| known == kid);
        let opened = self.provider.opened(receiving, &three, |kid| {
            let is = found(kid, &connected);
            is.then_some(&mut connected)
        });
        let Opened { session, reply: four, messages, .. } = opened.map_err(|error| match error {
            ProviderError::Connect(error) => PersonError::Connect(error),
            other => panic!("{other}"),
        })?;
        self.deposit(&connected, &messages).await.unwrap();
        self.channel = self.person.called(calling, &four).await?;
        self.session = session;
        Ok(())
    }
}

pub(crate) fn code<T, E>(result: Result<T, E>, code: impl FnOnce(&E) -> String) -> String {
    result.err().as_ref().map_or_else(|| "taken".to_owned(), code)
}

pub(crate) fn person_code<T>(result: Result<T, PersonError>) -> String {
    code(result, PersonError::code)
}

pub(crate) fn council_code<T>(result: Result<T, ProviderError>) -> String {
    code(result, ProviderError::code)
}

/// Texts that came, with how they arrived.
pub(crate) fn texts(mail: &[Mail]) -> Vec<(String, Arrival)> {
    let text = |mail: &Mail| match &mail.content {
        Content::Data { content, .. } => Some((String::from_utf8(content.clone()).unwrap(), mail.arrival.unwrap())),
        _ => None,
    };
    mail.iter().filter_map(text).collect()
}

pub(crate) fn contents(mail: &[Mail]) -> Vec<&Content> {
    mail.iter().map(|mail| &mail.content).collect()
}
