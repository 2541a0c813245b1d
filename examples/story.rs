//! What the stories about consent share: the two ends of a connection, the table of who sees what, and the log told as sentences.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    fs,
    path::Path,
    sync::Arc,
};

use deedbox::{
    HttpHost, LocalHost,
    exchange::Answer,
    host::{Admission, Config, Host, SqliteStorage, system_clock},
    parts::{
        audit::{Entry, EntryKind, Row},
        connect::{Invitation, Link, Offer, Wish},
        consent::{Ask, At, Decision, Evaluator, Obligations, Reason, ReceiptKind, Terms},
        cose::sha256,
        model::{Digest, Name, Timestamp},
    },
    person::{Answered, Applied, Channel, Open, Person},
    provider::{Provider, Session},
};

pub(crate) use client::Client;

#[path = "client.rs"]
pub(crate) mod client;

pub(crate) type Failure = Box<dyn Error>;
pub(crate) type Bx = Person<Open<Client>>;

pub(crate) const DAY: u64 = 86_400;

/// Fails the story where a property does not hold.
pub(crate) fn check(holds: bool, property: &str) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(format!("this did not hold: {property}").into()) }
}

pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).expect("a name that is written down in the story")
}

pub(crate) fn names(texts: &[&str]) -> Vec<Name> {
    texts.iter().map(|text| name(text)).collect()
}

/// What stands behind `--host`, if it does.
pub(crate) fn url(mut words: impl Iterator<Item = String>) -> Result<Option<String>, Failure> {
    match (words.next().as_deref(), words.next(), words.next()) {
        (None, ..) => Ok(None),
        (Some("--host"), Some(url), None) => Ok(Some(url)),
        _ => Err("there is one option: --host URL".into()),
    }
}

/// The host at the URL, or one over a folder: SQLite files, one a store.
pub(crate) fn host(folder: &Path, url: Option<&str>) -> Result<Client, Failure> {
    if let Some(url) = url {
        return Ok(Client::There(HttpHost::new(url)));
    }
    let storage = SqliteStorage::open(folder.join("data"), folder.join("shares"))?;
    let mut config = Config::default();
    config.admission = Admission::Open;
    let clock: fn() -> Timestamp = system_clock;
    Ok(Client::Here(LocalHost::new(Arc::new(Host::new(storage, clock, config)), "https://host.example")))
}

/// One connection, with both its ends in this process, and every byte that the organisation's end ever had.
pub(crate) struct End {
    pub(crate) party: Name,
    pub(crate) provider: Provider,
    pub(crate) channel: Channel,
    pub(crate) session: Session,
    pub(crate) heard: Vec<u8>,
}

impl End {
    /// From invitation to an agreement that both have signed: the terms are what the organisation offers.
    pub(crate) async fn meet(person: &mut Bx, party: &str, terms: Option<&Terms>) -> Result<Self, Failure> {
        let provider = Provider::generate(&format!("https://{party}.example"))?;
        let (channel, session) = agree(person, &provider, party, terms).await?;
        Ok(Self { party: name(party), provider, channel, session, heard: Vec::new() })
    }

    /// The organisation delivers, and the person takes it.
    pub(crate) async fn deliver(&mut self, person: &mut Bx, document: &str) -> Result<usize, Failure> {
        let delivery = self.provider.deliver(&mut self.session, document.as_bytes())?;
        Ok(person.receive(&mut self.channel, &delivery).await?.fields)
    }

    /// The organisation asks, the person's agent decides, the organisation reads the answer.
    pub(crate) async fn ask(&mut self, person: &mut Bx, ask: &Ask) -> Result<(Answer, Answered), Failure> {
        self.ask_when(person, ask, &[]).await
    }

    pub(crate) async fn ask_when(
        &mut self,
        person: &mut Bx,
        ask: &Ask,
        conditions: &[Name],
    ) -> Result<(Answer, Answered), Failure> {
        let record = self.session.ask(ask)?;
        let answered = person.answer_when(&mut self.channel, &record, conditions).await?;
        self.heard.extend(&answered.reply);
        let answer = self.session.answer(&answered.reply)?;
        self.heard.extend(answer.to_bytes());
        Ok((answer, answered))
    }

    /// The person signs a receipt, the organisation signs it too, the person keeps both signatures.
    pub(crate) async fn receipt(
        &mut self,
        person: &mut Bx,
        kind: ReceiptKind,
        rule: &str,
        fields: BTreeSet<Name>,
    ) -> Result<BTreeSet<Name>, Failure> {
        let record = person.receipt(&mut self.channel, kind, &name(rule), fields).await?;
        self.sign_too(person, &record).await
    }

    /// The same for what was disclosed by an entry of the log.
    pub(crate) async fn receipt_of(&mut self, person: &mut Bx, entry: u64) -> Result<BTreeSet<Name>, Failure> {
        let record = person.receipt_of(&mut self.channel, entry).await?;
        let fields = self.sign_too(person, &record).await?;
        check(person.receipts()?.iter().any(|kept| kept.entry == Some(entry)), "the receipt finds its entry")?;
        Ok(fields)
    }

    async fn sign_too(&mut self, person: &mut Bx, record: &[u8]) -> Result<BTreeSet<Name>, Failure> {
        let (receipt, _, reply) = self.session.acknowledge(&self.provider, record)?;
        let kept = person.acknowledged(&mut self.channel, &reply).await?;
        check(kept.signed.is_acknowledged(), "both have signed the receipt")?;
        Ok(receipt.fields.unwrap_or_default())
    }

    /// Whether the organisation ever had these bytes.
    pub(crate) fn heard(&self, text: &str) -> bool {
        contains(&self.heard, text)
    }
}

/// A handshake that ends in an agreement on `terms`.
pub(crate) async fn agree(
    person: &mut Bx,
    provider: &Provider,
    party: &str,
    terms: Option<&Terms>,
) -> Result<(Channel, Session), Failure> {
    let now = system_clock();
    let body = terms.map(Terms::to_bytes);
    let digest = Digest::from_bytes(body.as_deref().map_or([0; 32], sha256));
    let offer = Offer {
        endpoint: format!("{}/deedbox", provider.uri()),
        not_after: now.saturating_add_secs(3_600),
        uses: 1,
        terms: digest,
        terms_body: body,
        name: party.to_owned(),
        check: false,
        evidence: None,
    };
    let mut inviting = provider.invite(offer)?;
    let link = Link::parse_qr(&inviting.link().to_qr())?;
    let invitation = Invitation::open(&link, inviting.bytes(), now)?;
    let permissions = terms.into_iter().flat_map(Terms::permissions);
    let permissions = permissions.map(|permission| Digest::from_bytes(sha256(&permission.to_bytes()))).collect();
    let wish = Wish { permissions, not_after: None };
    let (connecting, one) = person.accept(&link, &invitation, name(party), wish)?;
    let (meeting, two) = provider.meet(&inviting, &one)?;
    let (connecting, three) = connecting.answer(&two)?;
    let (session, four) = provider.agree(&mut inviting, meeting, &three)?;
    let channel = person.connected(connecting, &four).await?;
    check(channel.agreement() == session.agreement(), "both hold the same signed agreement")?;
    check(channel.agreement().terms() == digest, "and it is about these terms")?;
    Ok((channel, session))
}

/// Who could read which of `fields` for which purposes, at this moment: `who_can_see` for each field, `what_can_see` for each
/// party, which must agree. A purpose with `!` is open in an emergency only; purposes below a shown one go without saying.
pub(crate) struct WhoSeesWhat {
    fields: Vec<Name>,
    parties: Vec<Name>,
    cells: BTreeMap<(Name, Name), String>,
}

impl WhoSeesWhat {
    pub(crate) fn now(rules: &Evaluator, fields: &[&str], parties: &[&str]) -> Result<Self, Failure> {
        let (fields, parties) = (names(fields), names(parties));
        let calm = At::reading(system_clock());
        let emergency = At { emergency: true, ..calm };
        let vocabulary = rules.policy().vocabulary();
        let mut cells = BTreeMap::new();
        for field in &fields {
            for party in &parties {
                let purposes = |at: At| -> BTreeSet<Name> {
                    let open = rules.who_can_see(field, at).into_iter().filter(|access| access.party == *party);
                    open.map(|access| access.purpose).collect()
                };
                let (always, urgent) = (purposes(calm), purposes(emergency));
                let seen = rules.what_can_see(party, calm).into_iter().filter(|access| access.field == *field);
                check(always == seen.map(|access| access.purpose).collect(), "both questions have one answer")?;
                let is_top = |purpose: &&Name, of: &BTreeSet<Name>| {
                    !of.iter().any(|other| other != *purpose && vocabulary.is_purpose_within(purpose, other))
                };
                let shown = always.iter().filter(|purpose| is_top(purpose, &always)).map(Name::to_string);
                let only = urgent.iter().filter(|purpose| !always.contains(*purpose) && is_top(purpose, &urgent));
                let cell: Vec<String> = shown.chain(only.map(|purpose| format!("{purpose}!"))).collect();
                if !cell.is_empty() {
                    cells.insert((field.clone(), party.clone()), cell.join(" "));
                }
            }
        }
        Ok(Self { fields, parties, cells })
    }

    /// What a party sees of a field; empty for nothing.
    pub(crate) fn cell(&self, field: &str, party: &str) -> &str {
        self.cells.get(&(name(field), name(party))).map_or("", String::as_str)
    }

    /// The fields of which a party sees something.
    pub(crate) fn of(&self, party: &str) -> Vec<&str> {
        let seen = self.cells.keys().filter(|(_, other)| other.as_str() == party);
        seen.map(|(field, _)| field.as_str()).collect()
    }

    pub(crate) fn print(&self) {
        let width = |party: &Name| {
            let cells = self.fields.iter().filter_map(|field| self.cells.get(&(field.clone(), party.clone())));
            cells.map(String::len).chain([party.as_str().len()]).max().unwrap_or_default()
        };
        let first = self.fields.iter().map(|field| field.as_str().len()).max().unwrap_or_default();
        let line = |title: &str, cell: &dyn Fn(&Name) -> String| {
            let cells = self.parties.iter().map(|party| format!("{:<1$}", cell(party), width(party)));
            println!("   {title:<first$}  {}", cells.collect::<Vec<_>>().join("  ").trim_end());
        };
        line("", &|party| party.to_string());
        for field in &self.fields {
            line(field.as_str(), &|party| {
                self.cells.get(&(field.clone(), party.clone())).cloned().unwrap_or_else(|| "-".to_owned())
            });
        }
    }
}

/// Says what a change did, of what `apply` returned.
pub(crate) fn print_applied(applied: &Applied) {
    let shown = |names: &BTreeSet<Name>| names.iter().map(Name::as_str).collect::<Vec<_>>().join(", ");
    for (party, fields) in &applied.impact.erase {
        println!("   {party} must erase: {}", shown(fields));
    }
    for party in applied.impact.tell() {
        println!("   to tell: {party}");
    }
    println!("   grants taken back at the host: {}", applied.revoked.len());
    println!("   grants of others that got the new keys: {}", applied.handovers.len());
}

/// The log's entries that tell of somebody who asked or was told.
pub(crate) fn entries(person: &Bx) -> impl Iterator<Item = &Entry> {
    person.log().rows().iter().filter_map(|row| match row {
        Row::Kept(entry) => Some(entry.entry()),
        Row::Erased(_) => None,
    })
}

/// Who saw what and why, for the person: each decision of the log, with the rules that let it happen, or the reason why not.
pub(crate) fn print_who_saw_what(person: &Bx) {
    for entry in entries(person).filter(|entry| entry.kind == EntryKind::Decision) {
        let party = entry.party.as_deref().unwrap_or_default();
        let purpose = entry.purpose.as_deref().unwrap_or("no purpose");
        let emergency = if entry.conditions.is_empty() { "" } else { " IN AN EMERGENCY" };
        if entry.released.is_empty() {
            println!("   {party} asked for {purpose}{emergency} and got nothing: {}", reasons(entry));
        } else {
            let (fields, rules) = (entry.released.join(", "), entry.determining.join(", "));
            println!("   {party} saw for {purpose}{emergency}: {fields}");
            println!("      because of: {rules}; it owes: {}", duties(entry));
            if !entry.withheld.is_empty() {
                println!("      and not: {}", reasons(entry));
            }
        }
    }
}

fn reasons(entry: &Entry) -> String {
    let text = |code: u64| u8::try_from(code).ok().and_then(Reason::from_number).map(|reason| reason.to_string());
    let whole = entry.refusal.and_then(text);
    let each = entry.withheld.iter().map(|(field, code)| format!("{field}: {}", text(*code).unwrap_or_default()));
    let reasons: Vec<String> = whole.into_iter().chain(each).collect();
    if reasons.is_empty() { "nothing is permitted".to_owned() } else { reasons.join("; ") }
}

fn duties(entry: &Entry) -> String {
    let bits = entry.obligations.and_then(|bits| u32::try_from(bits).ok()).unwrap_or_default();
    let duties: Vec<&str> = Obligations::from_bits(bits).iter().map(|duty| duty.name()).collect();
    if duties.is_empty() { "nothing more".to_owned() } else { duties.join(", ") }
}

/// The fields of an answer, each once.
pub(crate) fn fields(answer: &Answer) -> Vec<&str> {
    let mut fields: Vec<&str> = answer.values.iter().map(|value| value.field.as_str()).collect();
    fields.dedup();
    fields
}

/// Why a field stayed.
pub(crate) fn withheld(decision: &Decision, field: &str) -> Option<Reason> {
    decision.withheld().get(&name(field)).copied()
}

/// The host's files below `folder` hold none of these texts.
pub(crate) fn check_blind(folder: &Path, texts: &[&str]) -> Result<usize, Failure> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            bytes += check_blind(&path, texts)?;
        } else {
            let content = fs::read(path)?;
            bytes += content.len();
            check(!texts.iter().any(|text| contains(&content, text)), "the host's files hold nothing of it")?;
        }
    }
    Ok(bytes)
}

fn contains(content: &[u8], text: &str) -> bool {
    content.windows(text.len()).any(|window| window == text.as_bytes())
}
