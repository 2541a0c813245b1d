//! Money trouble: `cargo run --release --example debt_advice [-- --host URL]`.
//!
//! Two banks, an energy supplier and a landlord each put what they hold about Tom into his box, in their own signed words. One
//! adviser gets one view of it all: for ninety days, once a month, to be deleted when he says so. The adviser's partners are a
//! group whose members change. Then the adviser offers new terms: narrower ones hold at once, wider ones when Tom has signed.
//! Then Tom withdraws. Who sees what is shown before and after. Exit status 1 if a promise does not hold.
#![expect(clippy::print_stdout, reason = "a program that tells a story")]

#[path = "../story.rs"]
mod story;

use std::num::NonZeroU32;

use deedbox::{
    host::system_clock,
    parts::{
        connect::Renewal,
        consent::{
            Action, Ask, Basis, Change, Evidence, EvidenceKind, Obligation, PartyKind, Permission, Reason, ReceiptKind,
            Regime, Roster, Selector, Sensitivity, Terms, To, Vocabulary, VocabularyBuilder,
        },
        cose::sha256,
        model::{Assurance, Digest, FieldPath},
    },
    person::{Offered, Person, category_of},
};
use story::{Bx, Client, DAY, End, Failure, WhoSeesWhat, check, name, names};

const ME: &[u8] = br#"{"me": {"name": "Tom Ashworth", "phone": "+44 7700 900456", "income": "GBP 1,610 a month"}}"#;
const PROVIDERS: [(&str, &str); 4] = [
    ("northbank", r#"{"northbank": {"balance": "GBP -412.80", "overdraft": "GBP 500", "card_debt": "GBP 3,904.17"}}"#),
    ("southbank", r#"{"southbank": {"loan": "GBP 6,250.00", "instalment": "GBP 214.50"}}"#),
    ("energy", r#"{"energy": {"arrears": "GBP 731.09", "meter": "prepaid"}}"#),
    ("landlord", r#"{"landlord": {"arrears": "GBP 1,180.00", "reference": "pays late and plays the drums"}}"#),
];
const FIELDS: [&str; 12] = [
    "energy.arrears",
    "energy.meter",
    "landlord.arrears",
    "landlord.reference",
    "me.income",
    "me.name",
    "me.phone",
    "northbank.balance",
    "northbank.card_debt",
    "northbank.overdraft",
    "southbank.instalment",
    "southbank.loan",
];
const PARTIES: [&str; 5] = ["adviser", "insolvency_desk", "benefits_desk", "claims_firm", "northbank"];
const DEBTS: [&str; 4] = ["energy.arrears", "landlord.arrears", "northbank.card_debt", "southbank.loan"];

fn main() -> Result<(), Failure> {
    pollster::block_on(story(story::url(std::env::args().skip(1))?.as_deref()))
}

async fn story(url: Option<&str>) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let host = story::host(folder.path(), url)?;

    println!("1. Tom makes a box; four providers put in what they hold about him");
    let (mut tom, _) = Person::create(host.clone(), "three buses and a long walk").await?;
    tom.import(ME, "myself").await?;
    let mut providers = Vec::new();
    for (party, document) in PROVIDERS {
        let mut end = End::meet(&mut tom, party, None).await?;
        let fields = end.deliver(&mut tom, document).await?;
        println!("   {party}: {fields} fields");
        providers.push(end);
    }
    provenance(&mut tom, &mut providers).await?;
    tom.adopt(vocabulary(), |_| Sensitivity::ORDINARY).await?;

    println!("2. The adviser's terms, signed by both in the handshake");
    let first = offer([review()?, negotiate(), reach("reach-1", 180)])?;
    let mut adviser = End::meet(&mut tom, "adviser", Some(&first)).await?;
    let connection = adviser.channel.agreement().connection_id();
    let mut partners = Vec::new();
    for party in ["insolvency_desk", "benefits_desk", "claims_firm"] {
        partners.push(End::meet(&mut tom, party, None).await?);
    }
    tom.put_in_force(&connection, &first.to_bytes()).await?;
    for permission in first.permissions() {
        println!("   {}", terms_of(permission));
    }

    println!("3. The adviser looks, once a month");
    once_a_month(&mut tom, &mut adviser).await?;

    println!("4. The adviser's partners: the group as it was when he agreed");
    let unpinned = partner_rule("partners-whoever", Roster::Current);
    let refused = tom.apply(unpinned).await;
    check(refused.is_err_and(|error| error.code() == "Rule.RosterUnpinned"), "consent names its receivers")?;
    tom.apply(partner_rule("partners", Roster::Pinned(NonZeroU32::MIN))).await?;
    let members = names(&["claims_firm", "insolvency_desk"]).into_iter().collect();
    let second = NonZeroU32::new(2).ok_or("two")?;
    tom.apply(Change::Roster { cluster: name("advice_partners"), version: second, members }).await?;
    let contact = Ask::read(name("debt_advice"), Basis::CONSENT, names(&["me.name", "me.phone"]));
    for (end, gets) in partners.iter_mut().zip([true, false, false]) {
        let (got, answered) = end.ask(&mut tom, &contact).await?;
        check(
            got.values.is_empty() != gets,
            "who stayed gets it; who joined gets nothing; who left gets nothing more",
        )?;
        let why = story::withheld(&answered.decision, "me.name");
        check(gets || why == Some(Reason::RosterChanged), "and Tom sees why")?;
        println!("   {}: {}", end.party, why.map_or_else(|| "name and phone".to_owned(), |why| why.to_string()));
    }

    println!("5. New terms: less takes no signature, more takes one");
    let narrower = offer([review()?, negotiate(), reach("reach-2", 60)])?;
    let record = adviser.provider.offer_terms(&mut adviser.session, &narrower)?;
    let offered = tom.offered(&mut adviser.channel, &record).await?;
    check(matches!(offered, Offered::InForce(_)), "keeping it for 60 days instead of 180 is less")?;
    check(tom.terms(&connection)? == narrower, "and what holds now")?;
    println!("   60 days instead of 180: in force at once");
    let wider = offer([review()?, negotiate(), reach("reach-2", 60), statistics()])?;
    // Of two offers in one second nobody could tell which is the newer one.
    std::thread::sleep(std::time::Duration::from_secs(1));
    let record = adviser.provider.offer_terms(&mut adviser.session, &wider)?;
    let offered = tom.offered(&mut adviser.channel, &record).await?;
    check(matches!(offered, Offered::Waiting(_)), "statistics is more")?;
    let for_statistics = Ask::read_all(name("statistics"), Basis::CONSENT);
    let (got, _) = adviser.ask(&mut tom, &for_statistics).await?;
    check(got.values.is_empty(), "the old terms hold meanwhile: nothing for statistics")?;
    println!("   statistics too: waits for a signature, and meanwhile nothing for statistics");
    renew(&mut tom, &mut adviser, &host, &wider).await?;
    check(
        adviser.channel.agreement().terms() == Digest::from_bytes(sha256(&wider.to_bytes())),
        "both have signed them",
    )?;
    tom.put_in_force(&connection, &wider.to_bytes()).await?;
    let (got, _) = adviser.ask(&mut tom, &for_statistics).await?;
    check(story::fields(&got) == DEBTS, "signed, it holds")?;
    println!(
        "   signed by both in a renewal: {}; it owes: {}",
        story::fields(&got).join(", "),
        got.obligations.join(", ")
    );

    println!("6. Who sees what");
    let before = WhoSeesWhat::now(tom.evaluator(), &FIELDS, &PARTIES)?;
    before.print();
    check(before.cell("energy.meter", "adviser") == "debt_advice", "one view of what four providers hold")?;
    check(before.cell("landlord.reference", "adviser").is_empty(), "but not what was taken out")?;
    check(before.of("claims_firm").is_empty(), "a member who joined sees nothing")?;

    println!("7. Tom withdraws the monthly look; statistics he leaves");
    let applied = tom.apply(Change::Withdraw(name("review"))).await?;
    story::print_applied(&applied);
    let erase = applied.impact.erase.get(&name("adviser")).cloned().unwrap_or_default();
    let kept = |field: &str| !erase.contains(&name(field));
    check(DEBTS.into_iter().all(kept), "what statistics still needs is not erased")?;
    check(!kept("northbank.balance") && !kept("energy.meter"), "what nothing needs any more is")?;
    let told = adviser.receipt(&mut tom, ReceiptKind::Withdrawn, "review", erase.clone()).await?;
    check(told == erase, "the receipt that both have signed says so")?;
    let (got, answered) = adviser.ask(&mut tom, &look()).await?;
    check(got.values.is_empty(), "asked again, the adviser gets nothing")?;
    let why = story::withheld(&answered.decision, "energy.meter");
    check(why == Some(Reason::Withdrawn), "and Tom sees why")?;

    println!("8. Who sees what now");
    let after = WhoSeesWhat::now(tom.evaluator(), &FIELDS, &PARTIES)?;
    after.print();
    check(
        after.of("adviser")
            == ["energy.arrears", "landlord.arrears", "me.name", "me.phone", "northbank.card_debt", "southbank.loan"],
        "what is left",
    )?;
    check(before.of("insolvency_desk") == after.of("insolvency_desk"), "the partner sees what it saw")?;

    println!("9. Who saw what and why, from the log");
    story::print_who_saw_what(&tom);
    for end in partners.iter().chain([&adviser]).chain(&providers) {
        check(!end.heard("plays the drums"), "the landlord's opinion of him reached nobody")?;
    }
    check(adviser.heard("GBP 3,904.17"), "what the adviser had is what was searched")?;
    println!("   the landlord's opinion reached nobody");
    // those of a host elsewhere can't be searched from here
    if url.is_none() {
        story::check_blind(folder.path(), &["GBP 3,904.17", "plays the drums", "Tom Ashworth"])?;
        println!("   the host's files hold no value");
    }
    Ok(())
}

/// Each field is somebody's word, and stays theirs.
async fn provenance(tom: &mut Bx, providers: &mut [End]) -> Result<(), Failure> {
    for field in DEBTS {
        let path = FieldPath::parse(field)?;
        let (issuer, statement) = tom.issued(&path)?;
        let (_, from) = tom.value(&path)?;
        check(field.starts_with(issuer.as_str()), "it is its provider's word")?;
        let assurance = from.ok_or("a provenance")?.assurance();
        check(assurance == Assurance::Substantial, "as sure as the connection")?;
        check(statement.path() == &path, "signed for this field")?;
    }
    let [northbank, southbank, ..] = providers else { return Err("two banks".into()) };
    let foreign = southbank.deliver(tom, r#"{"northbank": {"card_debt": "GBP 0"}}"#).await;
    check(foreign.is_err(), "one bank does not speak for another")?;
    northbank.deliver(tom, r#"{"northbank": {"balance": "GBP -377.20"}}"#).await?;
    println!("   each field has its provider's signature; a bank that speaks for another is refused");
    Ok(())
}

/// The whole view once; a second look within thirty days is one too many; what does not exist and what is kept back look alike.
async fn once_a_month(tom: &mut Bx, adviser: &mut End) -> Result<(), Failure> {
    let (got, answered) = adviser.ask(tom, &look()).await?;
    check(got.field(&name("southbank.loan")).count() == 1, "the view has what every provider sent")?;
    check(story::withheld(&answered.decision, "landlord.reference") == Some(Reason::NoPermission), "Tom sees why not")?;
    check(got.outcome == 1, "the adviser is told that it is not all")?;
    // It owes an acknowledgment, and signs for the fields that it got.
    let signed = adviser.receipt_of(tom, answered.entry).await?;
    check(signed.len() == story::fields(&got).len(), "the receipt says what left")?;
    println!(
        "   {} fields of four providers, signed for; it may keep them {} days",
        story::fields(&got).len(),
        got.retention.unwrap_or_default() / DAY
    );
    let (again, answered) = adviser.ask(tom, &look()).await?;
    let why = story::withheld(&answered.decision, "southbank.loan");
    check(again.values.is_empty() && why == Some(Reason::UsageExhausted), "a second look in a month is refused")?;
    let until = answered.decision.stable_until().ok_or("an end")?.saturating_sub(system_clock()) / DAY;
    check(until == 29 || until == 30, "and would be answered in thirty days")?;
    println!("   a second look: refused, for {until} days");
    let ask = |field: &str| Ask::read(name("debt_advice"), Basis::CONSENT, names(&["me.name", field]));
    let (kept_back, _) = adviser.ask(tom, &ask("landlord.reference")).await?;
    let (not_there, _) = adviser.ask(tom, &ask("landlord.no_such_field")).await?;
    check(kept_back == not_there, "the adviser can't tell what is kept back from what does not exist")?;

    let share = |to: &str| {
        Ask::read(name("negotiation"), Basis::CONSENT, names(&["northbank.card_debt"]))
            .action(Action::Share)
            .recipient(name(to))
    };
    let (_, answered) = adviser.ask(tom, &share("claims_firm")).await?;
    let why = story::withheld(&answered.decision, "northbank.card_debt");
    check(why == Some(Reason::RecipientNotNamed), "it may be passed on to whom the terms name only")?;
    let (got, _) = adviser.ask(tom, &share("northbank")).await?;
    check(got.outcome == 2, "to the bank, once")?;
    let (_, answered) = adviser.ask(tom, &share("northbank")).await?;
    let why = story::withheld(&answered.decision, "northbank.card_debt");
    check(why == Some(Reason::UsageExhausted), "and not twice")?;
    println!("   the list of debts goes to the bank it is owed to, one single time");
    Ok(())
}

/// The adviser proposes an agreement on these terms through the mailboxes, Tom agrees, and they open a session under it.
async fn renew(tom: &mut Bx, adviser: &mut End, host: &Client, terms: &Terms) -> Result<(), Failure> {
    let End { provider, session, .. } = adviser;
    let mut connected = session.connection()?;
    let id = connected.id()?;
    let terms = Digest::from_bytes(sha256(&terms.to_bytes()));
    let renewal = Renewal { terms, permissions: Vec::new(), not_after: None };
    for message in connected.renew(provider, renewal)? {
        provider.deposit(host.clone(), &connected, &message).await?;
    }
    tom.collect(&id).await?;
    tom.agree(&id).await?;
    for parcel in provider.collect(host.clone(), &connected).await? {
        connected.take(provider, &parcel.body);
    }
    let (calling, one) = tom.call(&id)?;
    let (receiving, two) = provider.called(&one)?;
    let (calling, three) = calling.answer(&two)?;
    let kids = connected.kids();
    let opened = provider.opened(receiving, &three, |kid| {
        let is_toms = kids.iter().any(|known| known == kid);
        is_toms.then_some(&mut connected)
    })?;
    adviser.channel = tom.called(calling, &opened.reply).await?;
    adviser.session = opened.session;
    Ok(())
}

fn vocabulary() -> VocabularyBuilder {
    let mut words = Vocabulary::builder("debt-advice", 1, Regime::UK)
        .purpose("debt_advice", &[])
        .purpose("negotiation", &["debt_advice"])
        .purpose("statistics", &[])
        .party("adviser", PartyKind::PRIVATE);
    for party in ["insolvency_desk", "benefits_desk", "claims_firm", "northbank", "southbank", "energy", "landlord"] {
        words = words.party(party, PartyKind::PRIVATE);
    }
    words.cluster("advice_partners", NonZeroU32::MIN, &["insolvency_desk", "benefits_desk"])
}

fn offer(permissions: impl IntoIterator<Item = Permission>) -> Result<Terms, Failure> {
    let digest = |text: &[u8]| Digest::from_bytes(sha256(text));
    Ok(Terms::new(name("adviser"), permissions, digest(b"notice"), digest(b"vocabulary")).ok_or("terms")?)
}

/// By consent (Art. 6(1)(a)), for ninety days from the day the terms were drawn up.
fn by_consent(id: &str, purpose: &str) -> Permission {
    let today = deedbox::parts::model::Timestamp::from_secs(system_clock().secs() / DAY * DAY);
    Permission::new(name(id), To::Party(name("adviser")), name(purpose), Basis::CONSENT)
        .actions(Action::Read)
        .between(today, today.saturating_add_secs(90 * DAY))
        .evidence(Evidence::of(EvidenceKind::PLAIN).language("en-GB"))
}

/// Everything of the four providers but the landlord's opinion: once in thirty days.
fn review() -> Result<Permission, Failure> {
    let mut all = vec![name("me.income")];
    for (party, _) in PROVIDERS {
        all.push(category_of(party)?);
    }
    Ok(by_consent("review", "debt_advice")
        .fields(Selector::of(all).except([name("landlord.reference")]))
        .retention(180 * DAY)
        .limit(1, Some(30 * DAY))
        .obligations([Obligation::Acknowledge, Obligation::DeleteOnWithdrawal, Obligation::NoProfiling]))
}

/// The list of debts may be passed on to the two banks, one single time.
fn negotiate() -> Permission {
    by_consent("negotiate", "negotiation")
        .actions(Action::Share)
        .fields(Selector::of(names(&DEBTS)))
        .recipients(names(&["northbank", "southbank"]))
        .retention(0)
        .limit(1, None)
}

fn reach(id: &str, days: u64) -> Permission {
    by_consent(id, "debt_advice")
        .actions([Action::Read, Action::Notify])
        .fields(Selector::of(names(&["me.name", "me.phone"])))
        .retention(days * DAY)
}

/// The wider use: how much people owe, apart from who they are.
fn statistics() -> Permission {
    by_consent("statistics", "statistics")
        .fields(Selector::of(names(&DEBTS)))
        .retention(365 * DAY)
        .obligations([Obligation::Pseudonymise, Obligation::DeleteOnWithdrawal])
}

fn partner_rule(id: &str, roster: Roster) -> Permission {
    let mut rule =
        by_consent(id, "debt_advice").fields(Selector::of(names(&["me.name", "me.phone"]))).retention(30 * DAY);
    rule.to = To::Roster(name("advice_partners"), roster);
    rule
}

/// What the adviser asks for.
fn look() -> Ask {
    let wanted = FIELDS.iter().filter(|field| !["me.name", "me.phone"].contains(field));
    Ask::read(name("debt_advice"), Basis::CONSENT, wanted.map(|field| name(field)))
}

/// A permission in one line.
fn terms_of(permission: &Permission) -> String {
    let actions: Vec<&str> = permission.actions.iter().map(Action::name).collect();
    let often = match permission.limit {
        Some(limit) => limit.per.map_or("once".to_owned(), |per| format!("{} in {} days", limit.times, per / DAY)),
        None => "as often as needed".to_owned(),
    };
    let duties: Vec<&str> = permission.obligations.iter().map(Obligation::name).collect();
    format!(
        "{} for {}: {}; 90 days; {often}; kept {} days; {}",
        permission.id,
        permission.purpose,
        actions.join(" and "),
        permission.retention.unwrap_or_default() / DAY,
        if duties.is_empty() { "no further duties".to_owned() } else { duties.join(", ") }
    )
}

#[test]
fn the_story_holds_here_and_at_a_host_elsewhere() {
    pollster::block_on(story(None)).unwrap();
    story::client::served(|url| pollster::block_on(story(Some(url)))).unwrap();
}
