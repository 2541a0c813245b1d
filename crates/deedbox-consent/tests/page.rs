//! `docs/consent.md` is right: its tables of rules are made into a policy, its questions asked, its answers compared, and the codes
//! and tests that it names are there.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
    path::Path,
};

use deedbox_consent::{
    Action, Ask, AskedFields, At, Basis, Change, Decision, Evaluator, Evidence, EvidenceKind, Ground, HostFacts, Maker,
    Mandate, Obligation, PartyKind, Permission, Policy, Prohibition, Rank, Reason, Regime, Roster, RuleError, Selector,
    Sensitivity, To, Vocabulary,
};
use deedbox_model::{Assurance, Name, Timestamp};

const PAGE: &str = include_str!("../../../docs/consent.md");
const DAY: u64 = 86_400;
/// How the head of the table of who sees what begins.
const ACCESS: &str = "| field | `charity` |";
/// The day on which the page's changes are made.
const CHANGES: u64 = 50;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn day(day: u64) -> Timestamp {
    Timestamp::from_secs(day * DAY)
}

/// The words in backticks.
fn ticked(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

fn number(text: &str) -> u64 {
    text.trim().parse().unwrap_or_else(|_| panic!("a number: {text}"))
}

/// The rows of the table whose head begins with `head`, cell by cell.
fn table(head: &str) -> Vec<Vec<&'static str>> {
    let mut lines = PAGE.lines().skip_while(|line| !line.starts_with(head));
    assert!(lines.next().is_some(), "the page has a table {head}");
    let rows = lines.skip(1).take_while(|line| line.starts_with('|'));
    let cells = |line: &'static str| line.trim_matches('|').split('|').map(str::trim).collect();
    let rows: Vec<Vec<&str>> = rows.map(cells).collect();
    assert!(!rows.is_empty());
    rows
}

fn vocabulary() -> Vocabulary {
    let mut words = Vocabulary::builder("page", 1, Regime::UK).condition("break_glass");
    let mut categories = BTreeSet::new();
    let mut rosters: BTreeMap<&str, Vec<(u32, Vec<&str>)>> = BTreeMap::new();
    for row in table("| word | names |") {
        let (names, more) = (ticked(row[1]), ticked(row[2]));
        match row[0].split_whitespace().collect::<Vec<_>>()[..] {
            ["purpose"] => words = names.iter().fold(words, |words, name| words.purpose(name, &more)),
            ["party"] => {
                let kind = PartyKind::from_name(more[0]).unwrap();
                words = names.iter().fold(words, |words, name| words.party(name, kind));
            }
            ["field"] => {
                if categories.insert(more[0]) {
                    words = words.category(more[0], &[]);
                }
                let sensitivity =
                    more.get(1).map_or(Sensitivity::ORDINARY, |word| Sensitivity::from_name(word).unwrap());
                let issuer = more.get(2).copied();
                words = names.iter().fold(words, |words, name| words.field_with(name, &more[..1], sensitivity, issuer));
            }
            ["roster", number] => rosters.entry(names[0]).or_default().push((number.parse().unwrap(), more)),
            _ => panic!("a word: {row:?}"),
        }
    }
    for (cluster, rosters) in rosters {
        // The last is the current one.
        let (current, members) = rosters.last().unwrap();
        words = words.cluster(cluster, NonZeroU32::new(*current).unwrap(), members);
        for (number, members) in &rosters[..rosters.len() - 1] {
            words = words.roster(cluster, NonZeroU32::new(*number).unwrap(), members);
        }
    }
    words.build().unwrap()
}

/// Whom a rule is about: a party, a group with the number of a roster, or a group as it is.
fn to(vocabulary: &Vocabulary, cell: &str, is_refusal: bool) -> To {
    let Some(who) = ticked(cell).first().map(|who| name(who)) else { return To::Anyone };
    if !vocabulary.clusters().contains_key(&who) {
        return To::Party(who);
    }
    if is_refusal {
        return To::Cluster(who);
    }
    let pinned = cell.rsplit(' ').next().and_then(|number| number.parse().ok());
    To::Roster(who, pinned.map_or(Roster::Current, Roster::Pinned))
}

fn policy() -> Policy {
    let words = vocabulary();
    let mut policy = Policy::new(words.clone());
    for row in table("| rule | kind |") {
        let id = name(ticked(row[0])[0]);
        let (purposes, fields) = (ticked(row[3]), ticked(row[4]));
        let select = || Selector::of(fields.iter().map(|field| name(field)));
        let bounds = row[6].split_once('–').map(|(from, until)| (day(number(from)), day(number(until))));
        let change: Change = match row[1] {
            "refusal" | "seal" => {
                let mut rule = Prohibition::new(id, to(&words, row[2], true));
                if row[1] == "seal" {
                    rule = rule.rank(Rank::SEAL);
                }
                if !purposes.is_empty() {
                    rule = rule.purposes(purposes.iter().map(|purpose| name(purpose)));
                }
                if fields.is_empty() { rule.into() } else { rule.fields(select()).into() }
            }
            "mandate" => {
                let (from, until) = bounds.unwrap();
                let agent = name(ticked(row[2])[0]);
                let mandate =
                    Mandate::new(id, agent, Rank::PERSON).purposes(purposes.iter().map(|purpose| name(purpose)));
                mandate.fields(select()).between(from, until).into()
            }
            kind => {
                let (from, until) = bounds.unwrap();
                let law = ticked(row[5]);
                let basis = Basis::from_name(law[0]).unwrap();
                let mut rule = Permission::new(id, to(&words, row[2], false), name(purposes[0]), basis)
                    .actions(Action::Read)
                    .fields(select())
                    .between(from, until);
                rule.ground = law.get(1).map(|ground| Ground::from_name(ground).unwrap());
                if kind == "emergency" {
                    rule = rule.rank(Rank::EMERGENCY);
                }
                for clause in row[7].split(';') {
                    rule = with(rule, clause.trim());
                }
                rule.into()
            }
        };
        policy.apply(change, &Maker::Person).unwrap_or_else(|error| panic!("{}: {error}", row[0]));
    }
    policy
}

/// A permission with one more clause of the last column.
fn with(rule: Permission, clause: &str) -> Permission {
    let (word, rest) = clause.split_once(' ').unwrap_or((clause, ""));
    let ticked = ticked(rest);
    match word {
        "keep" => rule.retention(number(rest) * DAY),
        "evidence" => rule.evidence(Evidence::of(EvidenceKind::from_name(ticked[0]).unwrap())),
        "duty" => {
            let duties = ticked.iter().map(|duty| Obligation::from_name(duty).unwrap());
            rule.obligations(duties.collect::<deedbox_consent::Obligations>())
        }
        "under" => rule.mandate(name(ticked[0])),
        "limit" => {
            let (times, days) = rest.split_once(" in ").unwrap();
            rule.limit(number(times), Some(number(days) * DAY))
        }
        "action" => rule.actions(Action::from_name(ticked[0]).unwrap()),
        "recipient" => rule.recipients(ticked.iter().map(|recipient| name(recipient))),
        "condition" => rule.conditions(ticked.iter().map(|condition| name(condition))),
        "assurance" => rule.assurance(u8::try_from(number(rest)).unwrap()),
        _ => panic!("a clause: {clause}"),
    }
}

fn who_sees(rules: &Evaluator, field: &str, party: &str, at: At) -> BTreeSet<Name> {
    let accesses = rules.who_can_see(&name(field), at).into_iter().filter(|access| access.party.as_str() == party);
    accesses.map(|access| access.purpose).collect()
}

#[test]
fn who_sees_what_is_what_the_rules_come_to() {
    let policy = policy();
    let rules = policy.compile().unwrap();
    let head = PAGE.lines().find(|line| line.starts_with(ACCESS)).unwrap();
    let parties = ticked(head);
    let calm = At::reading(day(10));
    let shown = table(ACCESS);
    assert_eq!(shown.len(), policy.vocabulary().fields().len(), "every field has a row");
    for row in shown {
        let field = ticked(row[0])[0];
        for (party, cell) in parties.iter().zip(&row[1..]) {
            let (always, urgent) =
                (who_sees(&rules, field, party, calm), who_sees(&rules, field, party, At { emergency: true, ..calm }));
            let top = |of: &BTreeSet<Name>| -> BTreeSet<Name> {
                let below = |purpose: &Name| {
                    of.iter().any(|other| other != purpose && policy.vocabulary().is_purpose_within(purpose, other))
                };
                of.iter().filter(|purpose| !below(purpose)).cloned().collect()
            };
            let only: BTreeSet<Name> = urgent.difference(&always).cloned().collect();
            let mut want: Vec<String> = top(&always).iter().map(Name::to_string).collect();
            want.extend(top(&only).iter().map(|purpose| format!("{purpose}!")));
            assert_eq!(ticked(cell), want, "{field}, {party}");
        }
    }
}

#[test]
fn the_worked_example_is_what_the_rules_come_to() {
    let mut policy = policy();
    let changes = table("| change |");
    let mut is_changed = false;
    let mut uses: BTreeMap<Name, Vec<Timestamp>> = BTreeMap::new();
    let mut last = 0;
    for row in table("| | day |") {
        let at = number(row[1].split(',').next().unwrap());
        assert!(at >= last, "questions are in their order");
        last = at;
        if at > CHANGES && !is_changed {
            is_changed = true;
            for change in &changes {
                apply(&mut policy, change);
            }
        }
        let (aim, law) = (ticked(row[3]), ticked(row[4]));
        let mut ask = Ask::default();
        ask.purpose = Some(name(aim[0]));
        ask.action = Some(aim.get(1).map_or(Action::Read, |action| Action::from_name(action).unwrap()));
        ask.recipient = aim.get(2).map(|recipient| name(recipient));
        ask.basis = Some(Basis::from_name(law[0]).unwrap());
        ask.ground = law.get(1).map(|ground| Ground::from_name(ground).unwrap());
        ask.fields = Some(AskedFields::These(ticked(row[5]).into_iter().map(name).collect()));
        let known = if row[1].contains("known weakly") { Assurance::Low } else { Assurance::Substantial };
        let mut host = HostFacts::new(name(ticked(row[2])[0]), day(at)).assurance(known);
        if row[1].contains("glass broken") {
            host = host.conditions([name("break_glass")]);
        }
        for (permission, times) in &uses {
            host = host.uses(permission.clone(), times.iter().copied());
        }
        let decision = policy.decide(&ask, &host);
        let released: Vec<&str> = match &decision {
            Decision::Permit(permit) => permit.fields().map(Name::as_str).collect(),
            Decision::Denial(_) => Vec::new(),
        };
        let mut stays: Vec<&str> = decision.refusal().map(Reason::code).into_iter().collect();
        stays.extend(decision.withheld().iter().flat_map(|(field, reason)| [field.as_str(), reason.code()]));
        assert_eq!((released, stays), (ticked(row[6]), ticked(row[7])), "row {}", row[0]);
        if let Some(permit) = decision.permit() {
            for permission in permit.into_plan().consume() {
                uses.entry(permission.clone()).or_default().push(day(at));
            }
        }
    }
    assert!(is_changed);
}

/// Makes a change of the page, whose impact must be what the page says.
fn apply(policy: &mut Policy, row: &[&str]) {
    let id = name(ticked(row[1])[0]);
    let change = match row[0] {
        "withdraw" => Change::Withdraw(id),
        "suspend" => Change::Suspend(id),
        "end mandate" => Change::EndMandate(id),
        other => panic!("a change: {other}"),
    };
    let impact = policy.compile().unwrap().impact(change.clone(), At::reading(day(CHANGES))).unwrap();
    let erase = impact.erase.iter().flat_map(|(party, fields)| [party].into_iter().chain(fields)).map(Name::as_str);
    assert_eq!(erase.collect::<Vec<_>>(), ticked(row[2]), "{row:?}");
    assert_eq!(impact.tell().into_iter().map(Name::as_str).collect::<Vec<_>>(), ticked(row[3]), "{row:?}");
    policy.apply(change, &Maker::Person).unwrap();
}

#[test]
fn recognised_legitimate_interests_are_british() {
    let basis = Basis::RECOGNISED_LEGITIMATE_INTEREST;
    assert!(Regime::UK.allows(PartyKind::PRIVATE, basis) && !Regime::UK.allows(PartyKind::PUBLIC, basis));
    let offer = |regime| {
        let words = Vocabulary::builder("page", 1, regime).purpose("safety", &[]).category("contact", &[]);
        let words = words.field("phone", &["contact"]).party("carer", PartyKind::PRIVATE).build().unwrap();
        let rule = Permission::new(name("p"), To::Party(name("carer")), name("safety"), basis).actions(Action::Read);
        let rule = rule.fields(Selector::of([name("contact")])).between(day(0), day(1)).retention(0);
        Policy::new(words).apply(rule, &Maker::Person)
    };
    assert_eq!(offer(Regime::UK), Ok(()));
    assert_eq!(offer(Regime::EU), Err(RuleError::BasisNotInRegime));
}

#[test]
fn every_code_has_its_provision_and_every_test_that_is_named_exists() {
    let questions: BTreeSet<&str> = table("| | day |").iter().map(|row| row[0]).collect();
    let mut named = BTreeSet::new();
    for row in table("| rule | from |") {
        named.extend(ticked(row[2]));
        assert!(!row[1].is_empty() && !row[3].is_empty(), "{row:?}");
        let tests = ticked(row[3]);
        assert!(tests.len().is_multiple_of(2), "file and name: {row:?}");
        for test in tests.chunks(2) {
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(test[0]);
            let code = std::fs::read_to_string(&file).unwrap_or_else(|_| panic!("{}", test[0]));
            assert!(code.contains(&format!("fn {}(", test[1])), "{test:?}");
        }
        let rows = row[3].split(',').map(str::trim).filter(|part| !part.starts_with('`'));
        for question in rows {
            assert!(questions.contains(question), "{question} in {row:?}");
        }
    }
    let reasons = Reason::ALL.iter().map(|reason| reason.code());
    let codes: BTreeSet<&str> = reasons.chain(RuleError::ALL.iter().map(RuleError::code)).collect();
    assert_eq!(named, codes);
}
