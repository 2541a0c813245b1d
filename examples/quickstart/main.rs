//! The main job, end to end: `cargo run --release --example quickstart [-- FILE.json] [--store DIR] [--host URL]`.
//!
//! A person's data goes into an encrypted box on a host that can't read it; a hospital adds a verified attribute; a charity
//! is given exactly what the person permits; the person sees it in the log, withdraws, and takes everything to another host.
//! Each property is checked by looking, and the exit status is 1 if one does not hold; 2 when the input is no good.
//!
//! Without FILE it uses `examples/data/sample.json`. With `--store` the box stays, and a second run opens what the first left. With
//! `--host` the first host is the one at URL (`cargo run --release --example host`); its files can't be searched from here.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that tells a story")]

#[path = "../client.rs"]
mod client;
mod device;
mod look;

use std::{
    fmt, fs,
    io::Cursor,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Instant,
};

use client::Client;
use deedbox::{
    HttpHost, LocalHost, PersonError,
    host::{Admission, Config, Host, SqliteStorage, system_clock},
    parts::{
        audit::Checkpoint,
        cbor::ItemBuf,
        connect::{Invitation, Offer, Wish},
        consent::{
            Action, Ask, Basis, Change, Evidence, EvidenceKind, Ground, PartyKind, Permission, Prohibition, Reason,
            Regime, Selector, Sensitivity, Terms, To, Vocabulary,
        },
        credential::{
            Audience, Challenge, ClaimPath, ClaimSet, CredentialTemplate, Nonce, Segment, StatusPolicy, TrustStore,
            Vct, VctPolicy, Verifier, claim_path,
        },
        interop::Import,
        model::{Digest, FieldPath, Name, Timestamp},
        record::UnlockError,
    },
    person::{Channel, Open, Person, Secret, category_of, claim_field},
    provider::{Provider, Session},
};
use device::Device;

type Bx = Person<Open<Client>>;

/// Why the story stops.
pub(crate) enum Stop {
    /// The input or the store is no good: exit status 2.
    Input(String),
    /// A property does not hold: exit status 1.
    Broken(String),
}

impl<E: fmt::Display> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Broken(error.to_string())
    }
}

/// Fails the story where a property does not hold.
fn check(holds: bool, property: &str) -> Result<(), Stop> {
    if holds { Ok(()) } else { Err(Stop::Broken(format!("this did not hold: {property}"))) }
}

fn input(what: &str, error: impl fmt::Display) -> Stop {
    Stop::Input(format!("{what}: {error}"))
}

/// Seconds of each step, for the table at the end.
struct Clock {
    rows: Vec<(&'static str, String, f64)>,
    started: Instant,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "this program shows how long it took")]
    fn start() -> Self {
        Self { rows: Vec::new(), started: Instant::now() }
    }

    #[expect(clippy::disallowed_methods, reason = "this program shows how long it took")]
    fn step(&mut self, what: &'static str, count: impl fmt::Display) {
        self.rows.push((what, count.to_string(), self.started.elapsed().as_secs_f64()));
        self.started = Instant::now();
    }

    fn print(&self) {
        println!("\n{:<34} {:>22} {:>9}", "step", "count", "seconds");
        for (what, count, seconds) in &self.rows {
            println!("{what:<34} {count:>22} {seconds:>9.3}");
        }
    }
}

fn main() -> ExitCode {
    match arguments(std::env::args().skip(1)).and_then(|arguments| pollster::block_on(run(arguments))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Stop::Input(line)) => {
            eprintln!("quickstart: {line}");
            ExitCode::from(2)
        }
        Err(Stop::Broken(line)) => {
            eprintln!("quickstart: {line}");
            ExitCode::FAILURE
        }
    }
}

#[derive(Default)]
struct Arguments {
    file: Option<PathBuf>,
    store: Option<PathBuf>,
    host: Option<String>,
}

fn arguments(words: impl Iterator<Item = String>) -> Result<Arguments, Stop> {
    let (mut file, mut store, mut host) = (None, None, None);
    let mut words = words;
    while let Some(word) = words.next() {
        let place = match word.as_str() {
            "--store" => (&mut store, words.next()),
            "--host" => (&mut host, words.next()),
            // what the test harness passes
            option if option.starts_with("--") => return Err(Stop::Input(format!("unknown option {option}"))),
            _ => (&mut file, Some(word)),
        };
        let (slot, value) = place;
        let value = value.ok_or_else(|| Stop::Input("--store wants a folder, --host a URL".to_owned()))?;
        if slot.replace(value).is_some() {
            return Err(Stop::Input("one file, one folder and one host at most".to_owned()));
        }
    }
    let host = host.map(|host| host.trim_end_matches('/').to_owned());
    Ok(Arguments { file: file.map(PathBuf::from), store: store.map(PathBuf::from), host })
}

async fn run(Arguments { file, store, host }: Arguments) -> Result<(), Stop> {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/sample.json");
    let file = file.unwrap_or(sample);
    // The document is read and understood before anything is touched.
    let document = fs::read(&file).map_err(|error| input(&file.display().to_string(), error))?;
    let import =
        deedbox::parts::interop::import(&document).map_err(|error| input(&file.display().to_string(), error))?;
    let temporary = tempfile::tempdir()?;
    let folder = store.unwrap_or_else(|| temporary.path().join("store"));
    fs::create_dir_all(&folder).map_err(|error| input(&folder.display().to_string(), error))?;
    match Device::load(&folder).map_err(|error| input(&folder.display().to_string(), error))? {
        Some(device) => return_visit(&folder, host.as_deref(), &device).await,
        None => first_visit(&folder, host.as_deref(), &document, &import).await,
    }
}

/// A host over one folder: SQLite files, one a store.
fn host(folder: &Path, name: &str) -> Result<Client, Stop> {
    let storage = SqliteStorage::open(folder.join(name).join("data"), folder.join(name).join("shares"))
        .map_err(|error| input(&folder.join(name).display().to_string(), error))?;
    let mut config = Config::default();
    config.admission = Admission::Open;
    let clock: fn() -> Timestamp = system_clock;
    let host = LocalHost::new(Arc::new(Host::new(storage, clock, config)), &format!("https://{name}.example"));
    Ok(Client::Here(host))
}

/// The first host: the one at the URL, or one over a folder.
fn first_host(folder: &Path, url: Option<&str>) -> Result<Client, Stop> {
    url.map_or_else(|| host(folder, "host-a"), |url| Ok(Client::There(HttpHost::new(url))))
}

/// Opens what an earlier run left, on both hosts.
async fn return_visit(folder: &Path, url: Option<&str>, device: &Device) -> Result<(), Stop> {
    let mut clock = Clock::start();
    println!("There is a box here already. Opening it with the passphrase and this device's account secret.");
    let secret = Secret::Passphrase { passphrase: device::PASSPHRASE, account_secret: &device.account_secret };
    let at = |name: &str| input(&folder.join(name).display().to_string(), "the box there does not open");
    let mut counts = Vec::new();
    for name in ["host-a", "host-b"] {
        let client = if name == "host-a" { first_host(folder, url)? } else { host(folder, name)? };
        let locked = Person::locate(client, device.store).await;
        let locked = locked.map_err(|error| damaged(folder, name, &error))?;
        let open = locked.unlock(&secret, None).await.map_err(|error| damaged(folder, name, &error))?;
        let values = open.values().map_err(|error| damaged(folder, name, &error))?;
        println!("  {name}: {} fields, {} log entries, all verified", values.len(), open.log().len());
        counts.push(values);
        clock.step("opened and verified", name);
    }
    check(counts.first() == counts.last() && !counts.is_empty(), "both hosts hold the same values")
        .map_err(|_| at("host-b"))?;
    check(counts.first().map(Vec::len) == Some(device.fields), "every field of the first run is still there")?;
    clock.print();
    Ok(())
}

/// One line that says what is wrong with a store, and where.
fn damaged(folder: &Path, name: &str, error: &PersonError) -> Stop {
    let mut line = format!("{}: {error}", folder.join(name).display());
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        line.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    Stop::Input(format!("{line} ({})", error.code()))
}

async fn first_visit(folder: &Path, url: Option<&str>, document: &[u8], import: &Import) -> Result<(), Stop> {
    let mut clock = Clock::start();

    println!("1. A box is made and the document goes in");
    let (mut person, keepsake) = Person::create(first_host(folder, url)?, device::PASSPHRASE).await?;
    clock.step("made a box", "64 MiB hashing");
    let imported = person.import(document, "the person's own document").await?;
    check(imported.fields == import.fields().len(), "every field of the document is imported")?;
    println!(
        "   imported {} fields into {} datasets, sealed to {} bytes",
        imported.fields,
        imported.datasets.len(),
        imported.sealed
    );
    clock.step("imported and sealed", format!("{} fields", imported.fields));

    println!("2. What the host holds");
    if url.is_some() {
        println!("   it is not here to be searched");
    } else {
        let seen = look::search(&folder.join("host-a"), import, &keepsake)?;
        println!(
            "   {} files, {} bytes: opaque ids, sizes and times; {} values, names and secrets searched for, none found",
            seen.files, seen.bytes, seen.searched
        );
        clock.step("searched the host's files", format!("{} bytes", seen.bytes));
    }

    println!("3. A hospital and a charity connect");
    let story = Story::of(import, &imported.datasets)?;
    person.adopt(story.vocabulary(), |title| story.sensitivity(title)).await?;
    let hospital = Provider::generate("https://hospital.example")?;
    let charity = Provider::generate("https://charity.example")?;
    let permission = story.permission()?;
    let (mut at_hospital, mut hospital_side) = connect(&mut person, &hospital, "hospital", None).await?;
    let (mut at_charity, mut charity_side) = connect(&mut person, &charity, "charity", Some(&permission)).await?;
    check(at_hospital.binding() != at_charity.binding(), "each connection has a channel of its own")?;
    println!("   two invitations, two handshakes, two agreements signed by both sides and bound to their channels");
    clock.step("connected", "2 agreements");

    println!("4. The hospital issues a verified attribute");
    let mut trust = TrustStore::new();
    trust.pin_issuer(hospital.uri(), hospital.issuing_key().clone());
    let credential = issue(&mut person, &mut at_hospital, &hospital, &mut hospital_side, &trust).await?;
    // What it says can be spoken of in rules from now on, each claim by itself.
    person.adopt(story.vocabulary(), |title| story.sensitivity(title)).await?;
    println!("   a credential, verified, bound to the person's key and kept word for word");
    clock.step("issued and kept", "1 credential");

    println!("5. The charity asks");
    person.apply(permission.clone()).await?;
    person.apply(story.prohibition()?).await?;
    person.apply(is_a_patient()?).await?;
    ask(&mut person, &mut at_charity, &mut charity_side, &story).await?;
    clock.step("decided and released", format!("{} fields asked", story.asked.len()));

    println!("6. The charity checks the attribute");
    present(&mut person, &mut at_charity, &mut charity_side, &credential, &trust).await?;
    clock.step("presented and verified", "1 claim of 2");

    println!("7. The log");
    log(&person)?;
    clock.step("proved", format!("{} entries", person.log().len()));

    println!("8. The person withdraws");
    person.apply(Change::Withdraw(permission.id.clone())).await?;
    refused_after_withdrawal(&mut person, &mut at_charity, &mut charity_side, &story).await?;
    clock.step("withdrawn, asked again", "refused");

    println!("9. Everything moves to another host");
    let mut bundle = Vec::new();
    person.export(&mut bundle).await?;
    let account_secret = keepsake.account_secret.as_str();
    let by_passphrase = Secret::Passphrase { passphrase: device::PASSPHRASE, account_secret };
    let moved = Person::import_bundle(host(folder, "host-b")?, &mut Cursor::new(&bundle), &by_passphrase).await?;
    check(moved.values()? == person.values()?, "every value arrives as it was")?;
    check(moved.log().root() == person.log().root(), "the log arrives whole")?;
    check(moved.connections()?.len() == 2, "the connections arrive")?;
    check(moved.credentials()? == person.credentials()?, "the credential arrives")?;
    println!("   {} bytes, verified before the new host saw one of them", bundle.len());
    let searched = look::search(&folder.join("host-b"), import, &keepsake)?;
    println!("   the new host sees as little: {} bytes searched", searched.bytes);
    clock.step("exported, imported, verified", format!("{} bytes", bundle.len()));

    println!("10. Locks");
    let wrong = Secret::Passphrase { passphrase: "not the passphrase", account_secret };
    let locked = Person::locate(host(folder, "host-b")?, keepsake.store).await?;
    let refused = locked.unlock(&wrong, None).await.err();
    check(matches!(refused, Some(PersonError::Unlock(UnlockError::Rejected))), "a wrong passphrase is refused")?;
    println!("   a wrong passphrase: refused");
    let locked = Person::locate(host(folder, "host-b")?, keepsake.store).await?;
    let recovered = locked.unlock(&Secret::RecoveryPhrase(&keepsake.recovery_phrase), Some(&moved.pins())).await?;
    check(recovered.values()? == person.values()?, "the recovery phrase opens everything")?;
    println!("   the 24 words of the recovery phrase: open");
    clock.step("wrong and right secrets", "2");

    Device::save(folder, &keepsake, imported.fields)?;
    clock.print();
    Ok(())
}

/// What the charity asks and what the person permits, made of whatever the document holds.
struct Story {
    datasets: Vec<String>,
    /// The dataset that the charity may read, and the one field of it that it may not.
    main: String,
    kept_back: Option<Name>,
    asked: Vec<Name>,
}

impl Story {
    fn of(import: &Import, datasets: &[String]) -> Result<Self, Stop> {
        let preferred = ["Patient", "person"].into_iter().find(|title| datasets.iter().any(|other| other == title));
        let main = preferred.or(datasets.first().map(String::as_str)).unwrap_or_default().to_owned();
        let mut inside = Vec::new();
        let mut outside = Vec::new();
        for field in import.fields() {
            let name = Name::escape(field.group())?;
            let list = if field.dataset().replace(':', "_") == main { &mut inside } else { &mut outside };
            if !list.contains(&name) {
                list.push(name);
            }
        }
        let kept_back = if inside.len() > 1 { inside.last().cloned() } else { None };
        let mut asked: Vec<Name> = inside.iter().take(4).cloned().collect();
        asked.extend(kept_back.clone());
        asked.extend(outside.first().cloned());
        asked.push(Name::parse("no-such-field")?);
        asked.sort();
        asked.dedup();
        Ok(Self { datasets: datasets.to_vec(), main, kept_back, asked })
    }

    fn vocabulary(&self) -> deedbox::parts::consent::VocabularyBuilder {
        Vocabulary::builder("quickstart", 1, Regime::UK)
            .purpose("care", &[])
            .purpose("support", &[])
            .purpose("counselling", &["support"])
            .purpose("marketing", &[])
            .party("hospital", PartyKind::PUBLIC)
            .party("charity", PartyKind::PRIVATE)
    }

    /// Health data is of a special category (Art. 9); in a FHIR record that is everything but who the person is.
    fn sensitivity(&self, title: &str) -> Sensitivity {
        let fhir = self.datasets.iter().any(|other| other == "Patient");
        let plain = ["Bundle", "Consent", "Patient", "RelatedPerson", "Task"].contains(&title);
        if title == "health" || title.starts_with("credential/") || (fhir && !plain) {
            Sensitivity::SPECIAL
        } else {
            Sensitivity::ORDINARY
        }
    }

    fn permission(&self) -> Result<Permission, Stop> {
        let now = system_clock();
        let main = Selector::of([category_of(&self.main)?]);
        let fields = if let Some(kept_back) = &self.kept_back { main.except([kept_back.clone()]) } else { main };
        let to = To::Party(Name::parse("charity")?);
        let permission =
            Permission::new(Name::parse("support-by-charity")?, to, Name::parse("support")?, Basis::CONSENT);
        let mut permission = permission
            .actions([Action::Read])
            .fields(fields)
            .between(now, now.saturating_add_secs(90 * 86_400))
            .retention(30 * 86_400)
            .evidence(Evidence::of(EvidenceKind::EXPLICIT));
        if self.sensitivity(&self.main) == Sensitivity::SPECIAL {
            permission = permission.ground(Ground::EXPLICIT_CONSENT);
        }
        Ok(permission)
    }

    /// Nobody gets anything for marketing.
    fn prohibition(&self) -> Result<Prohibition, Stop> {
        Ok(Prohibition::new(Name::parse("no-marketing")?, To::Anyone).purposes([Name::parse("marketing")?]))
    }

    fn ask(&self, purpose: &str) -> Result<Ask, Stop> {
        let ask = Ask::read(Name::parse(purpose)?, Basis::CONSENT, self.asked.iter().cloned());
        let special = self.sensitivity(&self.main) == Sensitivity::SPECIAL;
        Ok(if special { ask.ground(Ground::EXPLICIT_CONSENT) } else { ask })
    }
}

/// The charity may learn, to give support, that somebody is a patient, and not on which ward.
fn is_a_patient() -> Result<Permission, Stop> {
    let now = system_clock();
    let to = To::Party(Name::parse("charity")?);
    let permission = Permission::new(Name::parse("is-a-patient")?, to, Name::parse("support")?, Basis::CONSENT)
        .actions(Action::Query)
        .fields(Selector::of([claim_field(Some(&PATIENT), &Segment::from(500))?]))
        .between(now, now.saturating_add_secs(90 * 86_400))
        .retention(30 * 86_400)
        .ground(Ground::EXPLICIT_CONSENT)
        .evidence(Evidence::of(EvidenceKind::EXPLICIT));
    Ok(permission)
}

/// A connection from invitation to agreement: the person's end and the provider's.
async fn connect(
    person: &mut Bx,
    provider: &Provider,
    party: &str,
    permission: Option<&Permission>,
) -> Result<(Channel, Session), Stop> {
    let now = system_clock();
    let party = Name::parse(party)?;
    let none = Digest::from_bytes([0; 32]);
    let terms = permission.and_then(|permission| Terms::new(party.clone(), [permission.clone()], none, none));
    let body = terms.map(|terms| terms.to_bytes());
    let digest = body.as_deref().map_or(none, |body| Digest::from_bytes(deedbox::parts::cose::sha256(body)));
    let offer = Offer {
        endpoint: format!("{}/deedbox", provider.uri()),
        not_after: now.saturating_add_secs(3_600),
        uses: 1,
        terms: digest,
        terms_body: body,
        name: party.as_str().to_owned(),
        check: false,
        evidence: None,
    };
    let mut inviting = provider.invite(offer)?;
    // The link reaches the person as a QR code; the invitation is fetched, and its hash is in the link.
    let link = deedbox::parts::connect::Link::parse_qr(&inviting.link().to_qr())?;
    let invitation = Invitation::open(&link, inviting.bytes(), now)?;
    let permissions =
        permission.iter().map(|permission| Digest::from_bytes(deedbox::parts::cose::sha256(&permission.to_bytes())));
    let wish = Wish { permissions: permissions.collect(), not_after: None };
    let (connecting, one) = person.accept(&link, &invitation, party, wish)?;
    let (meeting, two) = provider.meet(&inviting, &one)?;
    let (connecting, three) = connecting.answer(&two)?;
    let (session, four) = provider.agree(&mut inviting, meeting, &three)?;
    let channel = person.connected(connecting, &four).await?;
    check(channel.agreement() == session.agreement(), "both hold the same signed agreement")?;
    check(channel.binding() == session.binding(), "both hold the same channel")?;
    Ok((channel, session))
}

/// The type of the credential in this story.
const PATIENT: Vct = Vct::text("https://hospital.example/credentials/patient");

async fn issue(
    person: &mut Bx,
    channel: &mut Channel,
    hospital: &Provider,
    session: &mut Session,
    trust: &TrustStore,
) -> Result<String, Stop> {
    let request = person.ask_for_credential(channel)?;
    let claims = ClaimSet::builder().redactable(500, true).redactable(501, "ward 7").decoys(2).build()?;
    let template = CredentialTemplate::new(PATIENT, 30 * 86_400);
    let issued = hospital.issue(session, &request, &template, claims)?;
    Ok(person.receive_credential(channel, &issued, trust).await?)
}

async fn ask(person: &mut Bx, channel: &mut Channel, charity: &mut Session, story: &Story) -> Result<(), Stop> {
    let record = charity.ask(&story.ask("counselling")?)?;
    let answered = person.answer(channel, &record).await?;
    let got = charity.answer(&answered.reply)?;
    let mut released: Vec<&Name> = got.values.iter().map(|value| &value.field).collect();
    released.dedup();
    for field in &story.asked {
        match answered.decision.withheld().get(field) {
            None => println!("   released  {}", shown(field)),
            Some(reason) => println!("   withheld  {}: {reason}", shown(field)),
        }
    }
    // By looking at what arrived: exactly the fields that were not withheld, with the values that are in the box.
    let permitted: Vec<&Name> =
        story.asked.iter().filter(|field| !answered.decision.withheld().contains_key(*field)).collect();
    check(!released.is_empty() && released == permitted, "exactly the permitted fields arrived")?;
    let inside: Vec<(FieldPath, ItemBuf)> =
        person.values()?.into_iter().map(|value| (value.path, value.value)).collect();
    let equal =
        got.values.iter().all(|value| inside.iter().any(|(path, own)| *path == value.path && *own == value.value));
    check(equal, "the values that arrived are those in the box")?;
    if let Some(kept_back) = &story.kept_back {
        check(got.field(kept_back).next().is_none(), "the field that was kept back did not leave")?;
    }
    let marketing = charity.ask(&story.ask("marketing")?)?;
    let answered = person.answer(channel, &marketing).await?;
    check(charity.answer(&answered.reply)?.values.is_empty(), "nothing leaves for marketing")?;
    println!("   asked again for marketing: nothing");
    Ok(())
}

/// A field's name as the document has it.
fn shown(field: &Name) -> String {
    field.unescape().unwrap_or_else(|| field.to_string())
}

async fn present(
    person: &mut Bx,
    channel: &mut Channel,
    charity: &mut Session,
    credential: &str,
    trust: &TrustStore,
) -> Result<(), Stop> {
    let audience = Audience::parse("https://charity.example")?;
    // The nonce is the channel: a presentation that is passed on to another channel is worthless there.
    let nonce = Nonce::try_new(channel.binding())?;
    let ask =
        Ask::read_all(Name::parse("support")?, Basis::CONSENT).action(Action::Query).ground(Ground::EXPLICIT_CONSENT);
    let entries = person.log().len();
    let ward: [ClaimPath; 1] = [claim_path![501]];
    let refused =
        person.present(channel, credential, &ward, &ask.clone().action(Action::Read), &audience, &nonce).await;
    let Err(PersonError::Refused(refused)) = refused else { return check(false, "nobody permitted the ward") };
    check(refused.entry == entries && person.log().len() == entries + 1, "the refusal is in the log")?;
    let shown = person.present(channel, credential, &[claim_path![500]], &ask, &audience, &nonce).await?;
    check(shown.decision.withheld().is_empty(), "the claim was permitted")?;
    let short = StatusPolicy::ShortLived { max_secs: 31 * 86_400 };
    let verifier = Verifier::new(trust, audience, VctPolicy::one(PATIENT), short);
    let challenge = Challenge::try_new(charity.binding(), Challenge::MAX_AGE_SECS)?;
    let accepted = charity.verify(&shown.reply, &verifier, challenge)?;
    check(accepted.claims().at(&claim_path![500])?.as_bool()?, "the verifier sees the claim")?;
    check(accepted.claims().at(&claim_path![501]).is_err(), "the verifier does not see the other claim")?;
    println!("   verified without asking the hospital: patient = yes; the ward was refused");
    Ok(())
}

fn log(person: &Bx) -> Result<(), Stop> {
    let log = person.log();
    let checkpoint = Checkpoint::verify(&person.checkpoint()?, person.log_key())?;
    for row in log.rows() {
        let deedbox::parts::audit::Row::Kept(entry) = row else { continue };
        let path = log.prove(entry.entry().seq)?;
        checkpoint.includes(entry, &path)?;
        let Some(party) = &entry.entry().party else { continue };
        let (kind, released, withheld) =
            (entry.entry().kind, entry.entry().released.len(), entry.entry().withheld.len());
        println!("   {:>3}  {kind:?} · {party} · {released} released · {withheld} withheld", entry.entry().seq);
    }
    let exported = person.export_log()?;
    let (alone, _) = deedbox::parts::audit::Log::import(&exported, person.log_key())?;
    check(alone.root() == log.root(), "the exported log verifies alone")?;
    // No entry holds a value.
    let values = person.values()?;
    for text in values.iter().filter_map(|value| value.value.as_item().as_str()).filter(|text| text.len() >= 8) {
        let found = exported.windows(text.len()).any(|window| window == text.as_bytes());
        let is_name = || values.iter().any(|other| other.path.as_str().contains(text));
        check(!found || is_name(), "no log entry holds a value")?;
    }
    println!("   {} entries, each proved to be in the signed log; no value in any of them", log.len());
    Ok(())
}

async fn refused_after_withdrawal(
    person: &mut Bx,
    channel: &mut Channel,
    charity: &mut Session,
    story: &Story,
) -> Result<(), Stop> {
    let record = charity.ask(&story.ask("counselling")?)?;
    let answered = person.answer(channel, &record).await?;
    let withdrawn = answered.decision.withheld().values().any(|reason| *reason == Reason::Withdrawn);
    check(withdrawn, "the reason is the withdrawal")?;
    let got = charity.answer(&answered.reply)?;
    check(got.values.is_empty() && got.outcome == 0, "after the withdrawal nothing leaves")?;
    println!("   the same question: refused, and the log says why");
    Ok(())
}

#[cfg(test)]
mod tests;
