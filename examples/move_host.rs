//! A person moves to another host: `cargo run --release --example move_host`.
//!
//! Two hosts over HTTP. A clinic is connected and reads one dataset at the first. The person takes the box to the second: values,
//! rules, connections, grants and log come along, verified before the second host sees a byte. The grant is handed over again
//! and means the same there; the first host forgets.
#![expect(clippy::print_stdout, reason = "a program that tells a story")]

use std::{error::Error, io::Cursor, net::TcpListener, sync::Arc};

use deedbox::{
    HttpHost,
    host::{Admission, Config, Host, MemoryStorage, Storage, router, system_clock},
    parts::{
        connect::{Invitation, Link, Offer, Wish},
        consent::{Action, Ask, Basis, PartyKind, Permission, Regime, Selector, Sensitivity, To, Vocabulary},
        model::{Digest, Name, Timestamp},
        store::Purge,
    },
    person::{Channel, Open, Person, Secret, Shared, category_of},
    provider::{Provider, Session},
};

const DOCUMENT: &[u8] = br#"{"person": {"name": "Maren Holloway"}, "health": {"allergy": "nuts", "ward": "7b"}}"#;

type Operator = Arc<Host<MemoryStorage, fn() -> Timestamp>>;

/// A host on loopback: its operator's side, and how clients reach it.
fn start(runtime: &tokio::runtime::Runtime) -> Result<(Operator, HttpHost), Box<dyn Error>> {
    let mut config = Config::default();
    config.admission = Admission::Open;
    let host = Arc::new(Host::new(MemoryStorage::new(), system_clock as fn() -> Timestamp, config));
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let origin = format!("http://{}", listener.local_addr()?);
    let routes = router(Arc::clone(&host), &origin);
    runtime.spawn(async move {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        axum::serve(listener, routes).await
    });
    Ok((host, HttpHost::new(&origin)))
}

/// From invitation to agreement.
async fn connect(
    person: &mut Person<Open<HttpHost>>,
    provider: &Provider,
    party: &str,
) -> Result<(Channel, Session), Box<dyn Error>> {
    let offer = Offer {
        endpoint: format!("{}/deedbox", provider.uri()),
        not_after: later(),
        uses: 1,
        terms: Digest::from_bytes([0; 32]),
        terms_body: None,
        name: party.to_owned(),
        check: false,
        evidence: None,
    };
    let mut inviting = provider.invite(offer)?;
    let link = Link::parse_qr(&inviting.link().to_qr())?;
    let invitation = Invitation::open(&link, inviting.bytes(), system_clock())?;
    let wish = Wish { permissions: Vec::new(), not_after: None };
    let (connecting, one) = person.accept(&link, &invitation, Name::parse(party)?, wish)?;
    let (meeting, two) = provider.meet(&inviting, &one)?;
    let (connecting, three) = connecting.answer(&two)?;
    let (session, four) = provider.agree(&mut inviting, meeting, &three)?;
    Ok((person.connected(connecting, &four).await?, session))
}

fn later() -> Timestamp {
    system_clock().saturating_add_secs(3_600)
}

/// The clinic may read the dataset `health` for care.
fn permission() -> Result<Permission, Box<dyn Error>> {
    let name = Name::parse;
    Ok(Permission::new(name("clinic")?, To::Party(name("clinic")?), name("care")?, Basis::CONTRACT)
        .actions(Action::Read)
        .fields(Selector::of([category_of("health")?]))
        .between(Timestamp::from_secs(0), later())
        .retention(60))
}

async fn story((operator_a, host_a): (Operator, HttpHost), host_b: HttpHost) -> Result<(), Box<dyn Error>> {
    let (mut person, keepsake) = Person::create(host_a.clone(), "a passphrase").await?;
    person.import(DOCUMENT, "myself").await?;
    let words = Vocabulary::builder("rules", 1, Regime::EU).purpose("care", &[]).party("clinic", PartyKind::PUBLIC);
    person.adopt(words, |_| Sensitivity::ORDINARY).await?;
    let clinic = Provider::generate("https://clinic.example")?;
    let (mut channel, mut session) = connect(&mut person, &clinic, "clinic").await?;
    let health = Shared::Dataset { title: "health", write: false };
    person.apply(permission()?).await?;
    let ask = Ask::read_all(Name::parse("care")?, Basis::CONTRACT);
    let granted = person.grant(&channel, health, &ask, later()).await?;
    let [(grant, handover)] = &granted.handovers[..] else { return Err("the rules permit it".into()) };
    let grant = *grant;
    let handover = session.granted(&channel.hand_over(handover)?)?;
    let mut reader = clinic.reader(session.agreement(), &handover, host_a.clone())?;
    let read = reader.read().await?;
    println!(
        "at the first host: {} values in the box, the clinic reads {} of them",
        person.values()?.len(),
        read.len()
    );

    let mut bundle = Vec::new();
    person.export(&mut bundle).await?;
    let phrase = Secret::RecoveryPhrase(&keepsake.recovery_phrase);
    let mut moved = Person::import_bundle(host_b.clone(), &mut Cursor::new(&bundle), &phrase).await?;
    assert_eq!(moved.values()?, person.values()?);
    assert_eq!(moved.log().root(), person.log().root());
    assert_eq!(moved.connections()?.len(), 1);
    println!("moved: {} bytes, verified before the second host saw one of them", bundle.len());

    // The second host lets the clinic in by what the person signed; the clinic is told where, through the same channel.
    assert_eq!(moved.outdated_grants()?.iter().map(|granted| granted.id).collect::<Vec<_>>(), [grant]);
    let again = moved.handover(&grant).await?;
    let again = session.granted(&channel.hand_over(&again)?)?;
    moved.handed_over(&[grant]).await?;
    let mut reader_b = clinic.reader(session.agreement(), &again, host_b)?;
    assert_eq!(reader_b.read().await?.len(), read.len());
    moved.import(br#"{"health": {"ward": "9a"}}"#, "myself").await?;
    let ward = |records: &[deedbox::parts::record::Record]| {
        let ward = records.iter().find(|record| record.name() == "health.ward");
        ward.and_then(|record| record.value().as_item().as_str().map(str::to_owned))
    };
    assert_eq!(ward(&reader_b.read().await?).as_deref(), Some("9a"));
    println!("at the second host: the clinic reads on, and what has changed since");

    // The first operator is told to forget.
    operator_a.storage().purge(keepsake.store, Purge::Store).await?;
    let gone = Person::locate(host_a, keepsake.store).await.err().map(|error| error.code());
    assert_eq!(gone.as_deref(), Some("Host.Unauthenticated"));
    assert!(reader.read().await.is_err());
    println!("the first host holds nothing any more, and says so to nobody");

    moved.revoke(&grant).await?;
    let refused = reader_b.read().await.err().map(|error| error.code());
    assert_eq!(refused.as_deref(), Some("Host.Revoked"));
    println!("taken back: the clinic is refused at once");
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Runtime::new()?;
    let (a, (_, b)) = (start(&runtime)?, start(&runtime)?);
    pollster::block_on(story(a, b))
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_runs() {
        super::main().unwrap();
    }
}
