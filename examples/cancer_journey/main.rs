//! A person with cancer: `cargo run --release --example cancer_journey [-- --host URL]`.
//!
//! The hospital puts her records into her box in its own signed words: she can't alter them, she makes notes. A charity learns
//! that she is in treatment, the council one derived fact, and neither the diagnosis. A carer and a daughter with power of
//! attorney make rules for her, each within a mandate. A doctor at night sees what her emergency rule says, and she is told.
//! Then she withdraws from the charity. Who sees what is shown before and after. Everything goes through the facade: a host with
//! SQLite files, handshakes, decisions, grants, receipts, the log. Exit status 1 if a promise does not hold.
#![expect(clippy::print_stdout, reason = "a program that tells a story")]

mod rules;
#[path = "../story.rs"]
mod story;

use deedbox::{
    exchange::Handover,
    parts::{
        consent::{Ask, Basis, Change, Ground, Reason, ReceiptKind, Terms},
        model::{Digest, FieldPath},
    },
    person::{Applied, Person},
};
use story::{Bx, Client, DAY, End, Failure, WhoSeesWhat, check, name, names};

const ME: &[u8] = br#"{
  "me": {"name": "Maren Holloway", "phone": "+44 7700 900123", "address": "4 Quay Lane, Whitby"},
  "money": {"income": "GBP 1,240 a month", "council_tax_number": "CT-8814-2207"}
}"#;
const DIAGNOSIS: &str = "malignant neoplasm of breast, stage II";
const COUNSELLING: &str = "afraid to tell her sister";
const FIELDS: [&str; 13] = [
    "hospital.allergies",
    "hospital.appointment",
    "hospital.counselling",
    "hospital.diagnosis",
    "hospital.diagnosis.note",
    "hospital.in_treatment",
    "hospital.medicines",
    "hospital.walks_under_50_m",
    "me.address",
    "me.name",
    "me.phone",
    "money.council_tax_number",
    "money.income",
];
const PARTIES: [&str; 7] = ["hospital", "charity", "council", "carer", "driver", "daughter", "night_gp"];

fn main() -> Result<(), Failure> {
    pollster::block_on(story(story::url(std::env::args().skip(1))?.as_deref()))
}

async fn story(url: Option<&str>) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let host = story::host(folder.path(), url)?;

    println!("1. Maren makes a box; her hospital, a charity, the council and three people connect");
    let (mut maren, _) = Person::create(host.clone(), "the tide is out at Whitby").await?;
    maren.import(ME, "myself").await?;
    let mut hospital = End::meet(&mut maren, "hospital", None).await?;
    let none = Digest::from_bytes([0; 32]);
    let terms = Terms::new(name("charity"), [rules::charity()], rules::notice(), none).ok_or("terms")?;
    let mut charity = End::meet(&mut maren, "charity", Some(&terms)).await?;
    let mut council = End::meet(&mut maren, "council", None).await?;
    let mut carer = End::meet(&mut maren, "carer", None).await?;
    let mut driver = End::meet(&mut maren, "driver", None).await?;
    let mut daughter = End::meet(&mut maren, "daughter", None).await?;
    let mut night_gp = End::meet(&mut maren, "night_gp", None).await?;

    println!("2. The hospital delivers its records: signed field by field, nobody else's to alter");
    records(&mut maren, &mut hospital).await?;
    maren.adopt(rules::vocabulary(), rules::sensitivity).await?;

    println!("3. She permits and refuses; carer and daughter add rules within their mandates");
    for rule in [rules::hospital(), terms.permissions().next().ok_or("a permission")?.clone(), rules::blue_badge()] {
        maren.apply(rule).await?;
    }
    maren.apply(rules::carer()).await?;
    maren.apply(rules::emergency()).await?;
    for refusal in rules::refusals() {
        maren.apply(refusal).await?;
    }
    maren.apply(rules::carers_mandate()).await?;
    maren.apply(rules::attorney()).await?;
    mandates(&mut maren, &mut carer, &mut daughter).await?;

    println!("4. Who sees what (a purpose with ! in an emergency only)");
    let before = WhoSeesWhat::now(maren.evaluator(), &FIELDS, &PARTIES)?;
    before.print();
    check(before.of("charity") == ["hospital.in_treatment", "me.name", "me.phone"], "the charity: that, and contact")?;
    check(before.cell("hospital.diagnosis", "council").is_empty(), "the council: no diagnosis")?;
    check(before.cell("hospital.diagnosis", "night_gp") == "care!", "the doctor at night: in an emergency")?;
    check(before.cell("hospital.counselling", "night_gp").is_empty(), "what is sealed: nobody, ever")?;

    println!("5. They ask");
    let support = |fields: &[&str]| {
        Ask::read(name("counselling"), Basis::CONSENT, names(fields)).ground(Ground::EXPLICIT_CONSENT)
    };
    let wanted = ["hospital.diagnosis", "hospital.in_treatment", "me.name", "me.phone"];
    let (got, answered) = charity.ask(&mut maren, &support(&wanted)).await?;
    check(story::fields(&got) == before.of("charity"), "the charity gets what the table says")?;
    check(story::withheld(&answered.decision, wanted[0]) == Some(Reason::NoPermission), "and no diagnosis")?;
    let told = got.obligations.join(", ");
    println!(
        "   charity: {}; it owes: {told}; it may keep it {} days",
        story::fields(&got).join(", "),
        got.retention.unwrap_or_default() / DAY
    );
    let badge = ["hospital.diagnosis", "hospital.walks_under_50_m", "me.address", "me.name"];
    let badge = Ask::read(name("blue_badge"), Basis::PUBLIC_TASK, names(&badge)).ground(Ground::PUBLIC_INTEREST);
    let (got, _) = council.ask(&mut maren, &badge).await?;
    check(
        story::fields(&got) == ["hospital.walks_under_50_m", "me.address", "me.name"],
        "the council: a derived fact",
    )?;
    println!("   council, blue badge: {}", story::fields(&got).join(", "));
    let tax = Ask::read_all(name("council_tax"), Basis::PUBLIC_TASK);
    let (got, _) = council.ask(&mut maren, &tax).await?;
    check(story::fields(&got).contains(&"money.income"), "what the daughter arranged is in force")?;
    println!("   council, council tax: {}", story::fields(&got).join(", "));
    let (got, _) = driver.ask(&mut maren, &Ask::read_all(name("help_at_home"), Basis::HOUSEHOLD)).await?;
    check(story::fields(&got) == ["hospital.appointment", "me.address"], "what the carer arranged is in force")?;
    println!("   driver: {}", story::fields(&got).join(", "));
    let (got, _) = charity.ask(&mut maren, &Ask::read_all(name("fundraising"), Basis::CONSENT)).await?;
    check(got.values.is_empty(), "nobody gets anything for fundraising")?;
    println!("   charity, fundraising: nothing");

    println!("6. A night in hospital: the doctor's case is an emergency, and her box says what that opens");
    emergency(&mut maren, &mut night_gp).await?;

    println!(
        "7. Charity and carer may also read at the host while she is away: the same rules, for as long as they hold"
    );
    let for_charity = charity.granted(&mut maren, &support(&wanted)).await?;
    let for_carer = carer.granted(&mut maren, &Ask::read_all(name("help_at_home"), Basis::HOUSEHOLD)).await?;
    check(
        charity.read_all(&for_charity, &host).await? == before.of("charity"),
        "the charity reads what the table says",
    )?;
    check(carer.read_all(&for_carer, &host).await? == before.of("carer"), "and so does the carer")?;
    println!("   {} grants to the charity, {} to the carer", for_charity.len(), for_carer.len());

    println!("8. She withdraws from the charity: one call, as giving was");
    let applied = maren.apply(Change::Withdraw(name("charity-support"))).await?;
    story::print_applied(&applied);
    check(applied.revoked.len() == for_charity.len(), "every grant of the charity is taken back")?;
    check(applied.handovers.len() == for_carer.len(), "the carer gets the new keys")?;
    let refused = charity.read_all(&for_charity, &host).await;
    check(refused == Err("Host.Revoked".to_owned()), "the host lets the charity in no more")?;
    let refused = carer.read_all(&for_carer, &host).await;
    check(refused == Err("Head.UnknownKey".to_owned()), "the old keys open nothing new, whoever has them")?;
    let renewed: Vec<Handover> = applied.handovers.iter().map(|(_, handover)| handover.clone()).collect();
    check(carer.read_all(&renewed, &host).await? == before.of("carer"), "with the new ones the carer goes on")?;
    let erase = applied.impact.erase.get(&name("charity")).cloned().unwrap_or_default();
    let told = charity.receipt(&mut maren, ReceiptKind::Withdrawn, "charity-support", erase).await?;
    check(told.len() == 3, "the receipt tells the charity what to erase, and the charity has signed it")?;
    println!("   receipt, signed by both: the charity erases {} fields", told.len());
    let (got, answered) = charity.ask(&mut maren, &support(&wanted)).await?;
    check(got.values.is_empty() && got.obligations.is_empty(), "asked again, the charity gets nothing")?;
    check(story::withheld(&answered.decision, "me.name") == Some(Reason::Withdrawn), "and the person sees why")?;

    println!("9. Who sees what now");
    let after = WhoSeesWhat::now(maren.evaluator(), &FIELDS, &PARTIES)?;
    after.print();
    check(after.of("charity").is_empty(), "the charity sees nothing")?;
    for party in PARTIES.into_iter().filter(|party| *party != "charity") {
        check(before.of(party) == after.of(party), "nobody else sees more or less")?;
    }

    println!("10. Who saw what and why, from the log");
    story::print_who_saw_what(&maren);
    proofs(
        &maren,
        &[&hospital, &charity, &council, &carer, &driver, &daughter, &night_gp],
        url.is_none().then(|| folder.path()),
    )
}

impl End {
    /// Makes or changes a rule for the person, under a mandate.
    pub(crate) async fn rule(&mut self, person: &mut Bx, change: impl Into<Change>) -> Result<Applied, Failure> {
        let rule = self.provider.rule(&mut self.session, change)?;
        Ok(person.ruled(&mut self.channel, &rule).await?)
    }

    /// Asks to read at the host, for a month at most.
    async fn granted(&mut self, person: &mut Bx, ask: &Ask) -> Result<Vec<Handover>, Failure> {
        let record = self.session.ask(ask)?;
        let answered = person.answer_by_grant(&mut self.channel, &record, rules::next_month()).await?;
        Ok(answered.handovers.into_iter().map(|(_, handover)| handover).collect())
    }

    /// Reads at the host what was granted: the fields, or the code of the refusal.
    async fn read_all(&mut self, handovers: &[Handover], host: &Client) -> Result<Vec<String>, String> {
        let mut fields = Vec::new();
        for handover in handovers {
            let reader = self.provider.reader(self.session.agreement(), handover, host.clone());
            let records = reader.map_err(|error| error.code())?.read().await.map_err(|error| error.code())?;
            for record in &records {
                self.heard.extend(record.value().bytes());
                self.heard.extend(record.provenance().and_then(|from| from.signed()).unwrap_or_default());
                fields.push(record.name().to_owned());
            }
        }
        fields.sort();
        Ok(fields)
    }
}

/// Records come in, stay the hospital's, and are annotated.
async fn records(maren: &mut Bx, hospital: &mut End) -> Result<(), Failure> {
    let document = format!(
        r#"{{"hospital": {{"diagnosis": "{DIAGNOSIS}", "counselling": "{COUNSELLING}", "in_treatment": true,
        "allergies": "penicillin", "medicines": "tamoxifen 20 mg", "appointment": "3 March, 09:40",
        "walks_under_50_m": true}}}}"#
    );
    let taken = hospital.deliver(maren, &document).await?;
    let diagnosis = FieldPath::parse("hospital.diagnosis")?;
    let altered = maren.import(br#"{"hospital": {"diagnosis": "none"}}"#, "myself").await;
    check(altered.is_err_and(|error| error.code() == "IssuerOwned"), "she can't alter the hospital's word")?;
    maren.annotate(&diagnosis, "I asked for a second opinion in Leeds").await?;
    let (issuer, statement) = maren.issued(&diagnosis)?;
    check(issuer.as_str() == "hospital", "it is the hospital's word")?;
    check(statement.value().as_item().as_str() == Some(DIAGNOSIS), "with the hospital's signature, to the letter")?;
    check(maren.note(&diagnosis)?.is_some_and(|note| note.is_current), "and her note is on that wording")?;
    println!("   {taken} fields; the diagnosis can't be altered, her note stands beside it");
    Ok(())
}

/// Carer and daughter make rules for her: within their mandates, and not beyond.
async fn mandates(maren: &mut Bx, carer: &mut End, daughter: &mut End) -> Result<(), Failure> {
    carer.rule(maren, rules::driver(&["hospital.appointment", "me.address"])).await?;
    daughter
        .rule(maren, rules::council_tax(&["me.address", "me.name", "money.council_tax_number", "money.income"]))
        .await?;
    let beyond = carer.rule(maren, rules::driver(&["hospital.diagnosis"])).await;
    check(beyond.is_err(), "the carer can't show the diagnosis to the driver")?;
    let beyond = daughter.rule(maren, rules::council_tax(&["hospital.diagnosis"])).await;
    check(
        beyond.is_err_and(|error| error.to_string().contains("mandate")),
        "the daughter's mandate is not for health",
    )?;
    let foreign = carer.rule(maren, rules::council_tax(&["me.name", "money.income"])).await;
    check(foreign.is_err(), "and the carer can't use the daughter's")?;
    println!("   two rules made under mandates; three beyond them refused");
    Ok(())
}

/// Refused by day, answered while glass is broken, except for what is sealed; signed for, and in the log to be told.
async fn emergency(maren: &mut Bx, night_gp: &mut End) -> Result<(), Failure> {
    let wanted = ["hospital.allergies", "hospital.counselling", "hospital.diagnosis", "hospital.medicines"];
    let ask = Ask::read(name("care"), Basis::VITAL_INTERESTS, names(&wanted)).ground(Ground::VITAL);
    let (got, answered) = night_gp.ask(maren, &ask).await?;
    check(got.values.is_empty(), "without an emergency there is nothing")?;
    let why = story::withheld(&answered.decision, "hospital.allergies");
    check(why == Some(Reason::ConditionUnmet), "and the person sees why")?;
    // Her own agent says that glass is broken, for reasons of its own: here, that it is the hospital's admission at night.
    let (got, answered) = night_gp.ask_when(maren, &ask, &[name("break_glass")]).await?;
    check(
        story::fields(&got) == [wanted[0], wanted[2], wanted[3]],
        "the emergency rule beats her refusal, not her seal",
    )?;
    check(story::withheld(&answered.decision, wanted[1]) == Some(Reason::Sealed), "the seal holds")?;
    let until = answered.decision.stable_until().ok_or("an end")?;
    let hours = until.saturating_sub(deedbox::host::system_clock()) / 3_600;
    check(hours < 5, "an emergency counts for four hours, then it is decided anew")?;
    let fields = got.values.iter().map(|value| value.field.clone()).collect();
    check(night_gp.receipt_of(maren, answered.entry).await? == fields, "the receipt says what left")?;
    println!(
        "   {}; it owes: {}; the receipt is signed by both",
        story::fields(&got).join(", "),
        got.obligations.join(", ")
    );
    let to_tell: Vec<_> = story::entries(maren).filter(|entry| !entry.conditions.is_empty()).collect();
    check(
        to_tell.len() == 1 && to_tell.iter().all(|entry| entry.party.as_deref() == Some("night_gp")),
        "she is told of it afterwards",
    )?;
    Ok(())
}

/// By looking at the bytes: what everybody had, what the host has, and whether the log proves it.
fn proofs(maren: &Bx, ends: &[&End], folder: Option<&std::path::Path>) -> Result<(), Failure> {
    println!("11. By looking at the bytes");
    for end in ends {
        let is_doctor = end.party.as_str() == "night_gp";
        check(end.heard(DIAGNOSIS) == is_doctor, "the diagnosis reached the doctor at night and nobody else")?;
        check(!end.heard(COUNSELLING), "what was said in counselling reached nobody")?;
    }
    println!(
        "   the diagnosis is in what the doctor had, and in no byte that charity, council, carer or driver ever had"
    );
    // those of a host elsewhere can't be searched from here
    if let Some(folder) = folder {
        let bytes =
            story::check_blind(folder, &[DIAGNOSIS, COUNSELLING, "Maren Holloway", "tamoxifen", "CT-8814-2207"])?;
        println!("   the host's files, {bytes} bytes, hold no value");
    }
    let exported = maren.export_log()?;
    let (log, _) = deedbox::parts::audit::Log::import(&exported, maren.log_key())?;
    check(log.root() == maren.log().root(), "the log verifies alone")?;
    let receipts = maren.receipts()?;
    check(receipts.iter().all(|kept| kept.signed.is_acknowledged()), "every receipt is signed by both")?;
    println!("   the log, {} entries, verifies alone; {} receipts are signed by both", log.len(), receipts.len());
    Ok(())
}

#[test]
fn the_story_holds_here_and_at_a_host_elsewhere() {
    pollster::block_on(story(None)).unwrap();
    story::client::served(|url| pollster::block_on(story(Some(url)))).unwrap();
}
