//! Suite `consent`: requests and analyses worked by hand, over vocabularies and rules in JSON.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
    path::Path,
};

use deedbox_consent::{
    Access, Action, Actions, Any, Ask, AskedFields, At, Basis, Bounds, Change, Decision, Evaluator, Evidence,
    EvidenceKind, Ground, HostFacts, Impact, Limit, Maker, Mandate, MandateStatus, Obligation, Obligations, PartyKind,
    Permission, Policy, Prohibition, Rank, Regime, Roster, Selector, Sensitivity, Terms, TermsDiff, To, Vocabulary,
    reference, terms_diff,
};
use deedbox_model::{Assurance, Digest, Name, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use crate::Report;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    suite: String,
    version: u64,
    vocabularies: BTreeMap<String, JsonVocabulary>,
    scenarios: Vec<Scenario>,
}

type Dag = BTreeMap<String, Vec<String>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonVocabulary {
    regime: String,
    purposes: Dag,
    categories: Dag,
    fields: BTreeMap<String, JsonField>,
    parties: BTreeMap<String, String>,
    clusters: BTreeMap<String, JsonCluster>,
    conditions: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonField {
    r#in: Vec<String>,
    sensitive: Option<String>,
    issuer: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonCluster {
    rosters: BTreeMap<String, Vec<String>>,
    current: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    name: String,
    #[serde(rename = "note")]
    _note: Option<String>,
    vocabulary: String,
    #[serde(default)]
    mandates: Vec<Rule>,
    #[serde(default)]
    permissions: Vec<Rule>,
    #[serde(default)]
    prohibitions: Vec<Rule>,
    #[serde(default)]
    refused: BTreeMap<String, String>,
    #[serde(default)]
    requests: Vec<Request>,
    #[serde(default)]
    analyses: Vec<Analysis>,
}

/// A rule of any kind; each kind reads its own keys.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    id: String,
    agent: Option<String>,
    rank: Option<String>,
    to: Option<JsonTo>,
    purpose: Option<String>,
    purposes: Option<AnyOr<Vec<String>>>,
    actions: Option<AnyOr<Vec<String>>>,
    fields: Option<AnyOr<JsonSelector>>,
    basis: Option<String>,
    ground: Option<String>,
    from: Option<i128>,
    until: Option<i128>,
    retention: Option<i128>,
    assurance: Option<i128>,
    #[serde(default)]
    conditions: Vec<String>,
    #[serde(default)]
    recipients: Vec<String>,
    limit: Option<JsonLimit>,
    records: Option<JsonBounds>,
    #[serde(default)]
    obligations: Vec<String>,
    evidence: Option<String>,
    mandate: Option<String>,
    status: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum AnyOr<T> {
    Some(T),
    Word(String),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum JsonTo {
    Word(String),
    Named(JsonNamed),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonNamed {
    party: Option<String>,
    cluster: Option<String>,
    #[serde(default)]
    roster: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonSelector {
    include: Vec<String>,
    #[serde(default)]
    exclude: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonLimit {
    times: Option<i128>,
    per: Option<i128>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonBounds {
    from: Option<i128>,
    until: Option<i128>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    name: String,
    host: JsonHost,
    ask: JsonAsk,
    expect: JsonExpect,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonHost {
    party: String,
    now: i128,
    assurance: Option<i128>,
    #[serde(default)]
    conditions: Vec<String>,
    #[serde(default)]
    uses: BTreeMap<String, Vec<i128>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonAsk {
    purpose: Option<String>,
    action: Option<String>,
    basis: Option<String>,
    ground: Option<String>,
    fields: Option<AnyOr<Vec<String>>>,
    recipient: Option<String>,
    /// Anything the asker claims; never read.
    #[serde(rename = "claims")]
    _claims: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonExpect {
    refuse: Option<String>,
    fields: Option<BTreeSet<String>>,
    denied: Option<BTreeMap<String, String>>,
    obligations: Option<BTreeSet<String>>,
    #[serde(default, deserialize_with = "present")]
    retention: Option<Option<u64>>,
    determining: Option<BTreeSet<String>>,
    #[serde(default, deserialize_with = "present")]
    stable_until: Option<Option<u64>>,
    records: Option<Vec<(String, u64, bool)>>,
}

/// Tells null from absent.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<u64>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Analysis {
    name: String,
    kind: String,
    field: Option<String>,
    party: Option<String>,
    action: Option<String>,
    now: Option<u64>,
    #[serde(default)]
    emergency: bool,
    change: Option<BTreeMap<String, Value>>,
    old: Option<Vec<Rule>>,
    new: Option<Vec<Rule>>,
    expect: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonRoster {
    cluster: String,
    version: u32,
    members: Vec<String>,
}

/// Judges one file.
pub(crate) fn run(file: &Path, report: &mut Report) {
    let Some(File { suite, version, vocabularies, scenarios }) = report.load::<File>(file) else { return };
    if suite != "consent" || version != 1 {
        report.fail(&file.display().to_string(), &format!("{suite} {version}"), "consent 1");
        return;
    }
    for scenario in &scenarios {
        let vocabulary = vocabularies.get(&scenario.vocabulary).ok_or("no such vocabulary".to_owned());
        match vocabulary.and_then(|vocabulary| build(&scenario.vocabulary, vocabulary)) {
            Ok(vocabulary) => judge(scenario, &vocabulary, report),
            Err(error) => report.fail(&format!("{}/refused", scenario.name), &error, "a vocabulary"),
        }
    }
}

fn judge(scenario: &Scenario, vocabulary: &Vocabulary, report: &mut Report) {
    let (policy, refused) = load(scenario, vocabulary);
    report.case(&format!("{}/refused", scenario.name), || {
        // what was accepted also survives its bytes
        let bytes = policy.to_bytes();
        let again = Policy::from_bytes(&bytes).map(|policy| policy.to_bytes() == bytes);
        let got = if again == Ok(true) { show(&refused) } else { format!("policy bytes: {again:?}") };
        (got, show(&scenario.refused))
    });
    for request in &scenario.requests {
        report.case(&format!("{}/{}", scenario.name, request.name), || decide(&policy, request));
    }
    for analysis in &scenario.analyses {
        report.case(&format!("{}/{}", scenario.name, analysis.name), || match policy.compile() {
            Ok(evaluator) => analyse(&evaluator, analysis),
            Err(error) => (error.code().to_owned(), "an evaluator".to_owned()),
        });
    }
}

/// The policy of a scenario, and the codes of the rules it refused.
fn load(scenario: &Scenario, vocabulary: &Vocabulary) -> (Policy, BTreeMap<String, String>) {
    let mut policy = Policy::new(vocabulary.clone());
    let mut refused = BTreeMap::new();
    let mut offer = |rule: &Rule, changes: Vec<Change>| {
        let result = changes.into_iter().try_for_each(|change| policy.apply(change, &Maker::Person));
        match result {
            Ok(()) => refused.remove(&rule.id),
            Err(error) => refused.insert(rule.id.clone(), snake(error.code())),
        };
    };
    for rule in &scenario.mandates {
        let status = match rule.status.as_deref() {
            Some("dormant") => MandateStatus::Dormant,
            Some("ended") => MandateStatus::Ended,
            _ => MandateStatus::Active,
        };
        offer(rule, vec![Change::AddMandate(Box::new(mandate(rule)), status)]);
    }
    for rule in &scenario.permissions {
        let mut changes = vec![permission(rule).into()];
        match rule.status.as_deref() {
            Some("suspended") => changes.push(Change::Suspend(name(&rule.id))),
            Some("withdrawn") => changes.push(Change::Withdraw(name(&rule.id))),
            _ => {}
        }
        offer(rule, changes);
    }
    for rule in &scenario.prohibitions {
        offer(rule, vec![prohibition(rule).into()]);
    }
    (policy, refused)
}

fn decide(policy: &Policy, request: &Request) -> (String, String) {
    let (ask, host) = (ask(&request.ask), host(&request.host));
    let decision = policy.decide(&ask, &host);
    if decision != reference::decide(policy, &ask, &host) {
        return ("two answers".to_owned(), "one".to_owned());
    }
    let expect = &request.expect;
    if let Some(refuse) = &expect.refuse {
        return (decision.refusal().map_or("a decision".to_owned(), |reason| snake(reason.code())), refuse.clone());
    }
    if let Some(refusal) = decision.refusal() {
        return (snake(refusal.code()), "a decision".to_owned());
    }
    let view = decision.for_person();
    let texts = |names: Vec<&Name>| names.into_iter().map(Name::to_string).collect::<BTreeSet<_>>();
    let mut got = Vec::new();
    let mut want = Vec::new();
    if let Some(fields) = &expect.fields {
        got.push(format!("fields {:?}", texts(view.fields.iter().map(|(name, _)| *name).collect())));
        want.push(format!("fields {fields:?}"));
    }
    if let Some(denied) = &expect.denied {
        let withheld = view.withheld.iter().map(|(name, reason)| (name.to_string(), snake(reason.code())));
        got.push(format!("denied {}", show(&withheld.collect())));
        want.push(format!("denied {}", show(denied)));
    }
    if let Some(obligations) = &expect.obligations {
        let names: BTreeSet<_> = view.obligations.iter().map(|obligation| obligation.name().to_owned()).collect();
        got.push(format!("obligations {names:?}"));
        want.push(format!("obligations {obligations:?}"));
    }
    if let Some(retention) = expect.retention {
        got.push(format!("retention {:?}", view.retention));
        want.push(format!("retention {retention:?}"));
    }
    if let Some(determining) = &expect.determining {
        got.push(format!("determining {:?}", texts(view.determining.clone())));
        want.push(format!("determining {determining:?}"));
    }
    if let Some(wanted) = expect.stable_until {
        let stable = view.stable_until.map(Timestamp::secs);
        let is_later = stable.is_none_or(|stable| stable > host.now.secs());
        let is_early_enough = wanted.is_none_or(|wanted| stable.is_some_and(|stable| stable <= wanted));
        got.push(if is_later && is_early_enough { "stable".to_owned() } else { format!("stable until {stable:?}") });
        want.push(if is_later && is_early_enough { "stable".to_owned() } else { format!("stable until {wanted:?}") });
    }
    for (field, time, admitted) in expect.records.iter().flatten() {
        let admits = match &decision {
            Decision::Permit(permit) => permit.admits(&name(field), Timestamp::from_secs(*time)),
            Decision::Denial(_) => false,
        };
        got.push(format!("{field} at {time}: {admits}"));
        want.push(format!("{field} at {time}: {admitted}"));
    }
    (got.join("; "), want.join("; "))
}

fn analyse(evaluator: &Evaluator, analysis: &Analysis) -> (String, String) {
    let at = At {
        action: analysis.action.as_deref().and_then(Action::from_name).unwrap_or(Action::Read),
        now: Timestamp::from_secs(analysis.now.unwrap_or_default()),
        emergency: analysis.emergency,
    };
    let expect = &analysis.expect;
    match analysis.kind.as_str() {
        "who_can_see" => {
            let field = name(analysis.field.as_deref().unwrap_or_default());
            let rows = evaluator.who_can_see(&field, at);
            (group(rows.iter().map(|row| (&row.party, &row.purpose))), sets(expect))
        }
        "what_can_see" => {
            let party = name(analysis.party.as_deref().unwrap_or_default());
            let rows = evaluator.what_can_see(&party, at);
            (group(rows.iter().map(|row| (&row.field, &row.purpose))), sets(expect))
        }
        "impact" => {
            let Some(change) = analysis.change.as_ref().and_then(change) else {
                return ("no change".to_owned(), "a change".to_owned());
            };
            let refused = expect.get("refused").and_then(Value::as_str);
            match (evaluator.impact(change, at), refused) {
                (Err(error), refused) => (snake(error.code()), refused.unwrap_or("an impact").to_owned()),
                (Ok(_), Some(refused)) => ("an impact".to_owned(), refused.to_owned()),
                (Ok(impact), None) => impacts(&impact, expect),
            }
        }
        "diff" => {
            let vocabulary = evaluator.policy().vocabulary();
            let diff = match (terms(analysis.old.as_deref()), terms(analysis.new.as_deref())) {
                (Some(old), Some(new)) => match terms_diff(vocabulary, &old, &new) {
                    TermsDiff::Same => "same",
                    TermsDiff::Narrowing => "narrowing",
                    TermsDiff::Widening => "widening",
                },
                _ => "no terms",
            };
            (diff.to_owned(), expect.as_str().unwrap_or("a word").to_owned())
        }
        other => (format!("kind {other}"), "a known kind".to_owned()),
    }
}

fn impacts(impact: &Impact, expect: &Value) -> (String, String) {
    let triples = |rows: &[Access]| {
        rows.iter()
            .map(|row| [&row.party, &row.purpose, &row.field].map(Name::to_string))
            .collect::<BTreeSet<[String; 3]>>()
    };
    let wanted = |key: &str| {
        let rows = expect.get(key).cloned().unwrap_or_default();
        serde_json::from_value::<BTreeSet<[String; 3]>>(rows)
    };
    let erase = impact.erase.iter().flat_map(|(party, fields)| fields.iter().map(move |field| (party, field)));
    let got = (triples(&impact.lost), triples(&impact.gained), group(erase));
    let (Ok(lost), Ok(gained)) = (wanted("lost"), wanted("gained")) else {
        return ("unreadable".to_owned(), "triples".to_owned());
    };
    let want = (lost, gained, sets(expect.get("erase").unwrap_or(&Value::Null)));
    (format!("{got:?}"), format!("{want:?}"))
}

/// Pairs as a map of sets.
fn group<'a>(pairs: impl Iterator<Item = (&'a Name, &'a Name)>) -> String {
    let mut map: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (key, value) in pairs {
        map.entry(key.to_string()).or_default().insert(value.to_string());
    }
    format!("{map:?}")
}

/// An expected map of sets, without empty entries.
fn sets(value: &Value) -> String {
    match serde_json::from_value::<BTreeMap<String, BTreeSet<String>>>(value.clone()) {
        Ok(mut map) => {
            map.retain(|_, set| !set.is_empty());
            format!("{map:?}")
        }
        Err(error) => error.to_string(),
    }
}

fn show(map: &BTreeMap<String, String>) -> String {
    format!("{map:?}")
}

fn snake(code: &str) -> String {
    let mut text = String::new();
    for (index, letter) in code.chars().enumerate() {
        if letter.is_ascii_uppercase() && index > 0 {
            text.push('_');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

/// A name; what is none becomes one that no vocabulary has.
fn name(text: &str) -> Name {
    let parsed = Name::parse(text).or_else(|_| Name::escape(text));
    parsed.unwrap_or_else(|_| Name::parse("no/such/name").unwrap_or_else(|_| name("x")))
}

fn names(texts: &[String]) -> BTreeSet<Name> {
    texts.iter().map(|text| name(text)).collect()
}

/// Seconds; what no clock shows is no bound.
fn time(secs: Option<i128>) -> Option<Timestamp> {
    secs.and_then(|secs| u64::try_from(secs).ok()).map(Timestamp::from_secs)
}

/// A code that stands in no table.
const NO_CODE: u8 = u8::MAX;

fn build(title: &str, json: &JsonVocabulary) -> Result<Vocabulary, String> {
    let regime = Regime::from_name(&json.regime).ok_or("no such regime")?;
    let mut builder = Vocabulary::builder(title, 1, regime);
    for (purpose, parents) in &json.purposes {
        builder = builder.purpose(purpose, &strs(parents));
    }
    for (category, parents) in &json.categories {
        builder = builder.category(category, &strs(parents));
    }
    for (field, JsonField { r#in, sensitive, issuer }) in &json.fields {
        let sensitivity = match sensitive.as_deref() {
            None => Sensitivity::ORDINARY,
            Some(word) => Sensitivity::from_name(word).unwrap_or(Sensitivity::from_code(NO_CODE)),
        };
        builder = builder.field_with(field, &strs(r#in), sensitivity, issuer.as_deref());
    }
    for (party, kind) in &json.parties {
        builder = builder.party(party, PartyKind::from_name(kind).unwrap_or(PartyKind::from_code(NO_CODE)));
    }
    for (cluster, JsonCluster { rosters, current }) in &json.clusters {
        let current = NonZeroU32::new(*current).ok_or("roster 0")?;
        let members = rosters.get(&current.to_string()).ok_or("no current roster")?;
        builder = builder.cluster(cluster, current, &strs(members));
        for (number, members) in rosters {
            let number: NonZeroU32 = number.parse().map_err(|_| "not a roster number")?;
            if number != current {
                builder = builder.roster(cluster, number, &strs(members));
            }
        }
    }
    for condition in &json.conditions {
        builder = builder.condition(condition);
    }
    builder.build().map_err(|error| error.code().to_owned())
}

fn strs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

fn rank(rule: &Rule) -> Rank {
    rule.rank.as_deref().and_then(Rank::from_name).unwrap_or(Rank::from_code(NO_CODE))
}

fn to(rule: &Rule) -> To {
    match &rule.to {
        Some(JsonTo::Named(JsonNamed { party: Some(party), cluster: None, roster: Value::Null })) => {
            To::Party(name(party))
        }
        Some(JsonTo::Named(JsonNamed { party: None, cluster: Some(cluster), roster })) => match roster {
            Value::Null => To::Cluster(name(cluster)),
            Value::String(word) if word == "current" => To::Roster(name(cluster), Roster::Current),
            number => {
                let number = number.as_u64().and_then(|number| u32::try_from(number).ok()).and_then(NonZeroU32::new);
                To::Roster(name(cluster), Roster::Pinned(number.unwrap_or(NonZeroU32::MAX)))
            }
        },
        Some(JsonTo::Word(word)) if word == "anyone" => To::Anyone,
        _ => To::Party(name("no/such/party")),
    }
}

fn actions(words: &[String]) -> Actions {
    let unknown = Actions::from_bits(1 << 31);
    words.iter().fold(Actions::EMPTY, |all, word| all.union(Action::from_name(word).map_or(unknown, Actions::from)))
}

fn any_actions(rule: &Rule) -> Any<Actions> {
    match &rule.actions {
        Some(AnyOr::Some(words)) => Any::Only(actions(words)),
        Some(AnyOr::Word(word)) if word == "any" => Any::Any,
        _ => Any::Only(Actions::from_bits(1 << 31)),
    }
}

fn selector(json: &JsonSelector) -> Selector {
    Selector::of(names(&json.include)).except(names(&json.exclude))
}

fn any_fields(rule: &Rule) -> Any<Selector> {
    match &rule.fields {
        Some(AnyOr::Some(json)) => Any::Only(selector(json)),
        Some(AnyOr::Word(word)) if word == "any" => Any::Any,
        _ => Any::Only(Selector::of([name("no/such/field")])),
    }
}

fn any_purposes(rule: &Rule) -> Any<BTreeSet<Name>> {
    match &rule.purposes {
        Some(AnyOr::Some(words)) => Any::Only(names(words)),
        Some(AnyOr::Word(word)) if word == "any" => Any::Any,
        _ => Any::Only([name("no/such/purpose")].into()),
    }
}

fn bounds(rule: &Rule) -> Bounds {
    let mut bounds = Bounds::OPEN;
    (bounds.from, bounds.until) = (time(rule.from), time(rule.until));
    bounds
}

fn records(rule: &Rule) -> Bounds {
    let mut bounds = Bounds::OPEN;
    if let Some(JsonBounds { from, until }) = rule.records {
        (bounds.from, bounds.until) = (time(from), time(until));
    }
    bounds
}

fn permission(rule: &Rule) -> Permission {
    let basis = rule.basis.as_deref().and_then(Basis::from_name).unwrap_or(Basis::from_code(NO_CODE));
    let purpose = name(rule.purpose.as_deref().unwrap_or("no/such/purpose"));
    let mut permission = Permission::new(name(&rule.id), to(rule), purpose, basis).rank(rank(rule));
    permission.actions = any_actions(rule).only().copied().unwrap_or(Actions::from_bits(1 << 31));
    permission.fields = any_fields(rule).only().cloned().unwrap_or(Selector::of([name("no/such/field")]));
    permission.ground =
        rule.ground.as_deref().map(|word| Ground::from_name(word).unwrap_or(Ground::from_code(NO_CODE)));
    permission.bounds = bounds(rule);
    permission.retention = rule.retention.and_then(|secs| u64::try_from(secs).ok());
    permission.assurance = u8::try_from(rule.assurance.unwrap_or(0)).unwrap_or(NO_CODE);
    permission.conditions = names(&rule.conditions);
    permission.recipients = names(&rule.recipients);
    permission.limit = rule.limit.as_ref().map(|limit| Limit {
        times: limit.times.and_then(|times| u64::try_from(times).ok()).unwrap_or(0),
        per: limit.per.map(|per| u64::try_from(per).unwrap_or(0)),
    });
    permission.records = records(rule);
    permission.obligations = obligations(&rule.obligations);
    let kind = rule.evidence.as_deref().map(|word| EvidenceKind::from_name(word).unwrap_or(EvidenceKind::from_code(9)));
    permission.evidence = Evidence::of(kind.unwrap_or(EvidenceKind::NONE));
    permission.mandate = rule.mandate.as_deref().map(name);
    permission
}

fn obligations(words: &[String]) -> Obligations {
    let unknown = Obligations::from_bits(1 << 31);
    words
        .iter()
        .fold(Obligations::EMPTY, |all, word| all.union(Obligation::from_name(word).map_or(unknown, Obligations::from)))
}

fn prohibition(rule: &Rule) -> Prohibition {
    let mut prohibition = Prohibition::new(name(&rule.id), to(rule)).rank(rank(rule)).bounds(bounds(rule));
    prohibition.purposes = any_purposes(rule);
    prohibition.actions = any_actions(rule);
    prohibition.fields = any_fields(rule);
    prohibition.records = records(rule);
    prohibition.mandate = rule.mandate.as_deref().map(name);
    prohibition
}

fn mandate(rule: &Rule) -> Mandate {
    let agent = name(rule.agent.as_deref().unwrap_or("no/such/party"));
    let mut mandate = Mandate::new(name(&rule.id), agent, rank(rule));
    mandate.purposes = any_purposes(rule);
    mandate.actions = any_actions(rule);
    mandate.fields = any_fields(rule);
    mandate.bounds = bounds(rule);
    mandate
}

fn terms(rules: Option<&[Rule]>) -> Option<Terms> {
    let digest = Digest::from_bytes([0; 32]);
    Terms::new(name("terms"), rules?.iter().map(permission), digest, digest)
}

fn change(json: &BTreeMap<String, Value>) -> Option<Change> {
    let (kind, value) = json.iter().next().filter(|_| json.len() == 1)?;
    let id = || value.as_str().map(name);
    let rule = || serde_json::from_value::<Rule>(value.clone()).ok();
    Some(match kind.as_str() {
        "withdraw" => Change::Withdraw(id()?),
        "suspend" => Change::Suspend(id()?),
        "resume" => Change::Resume(id()?),
        "end_mandate" => Change::EndMandate(id()?),
        "lift" => Change::Lift(id()?),
        "add_permission" => permission(&rule()?).into(),
        "add_prohibition" => prohibition(&rule()?).into(),
        "roster" => {
            let roster: JsonRoster = serde_json::from_value(value.clone()).ok()?;
            let version = NonZeroU32::new(roster.version)?;
            Change::Roster { cluster: name(&roster.cluster), version, members: names(&roster.members) }
        }
        _ => return None,
    })
}

fn ask(json: &JsonAsk) -> Ask {
    let mut ask = Ask::default();
    ask.purpose = json.purpose.as_deref().map(name);
    ask.action = json.action.as_deref().and_then(Action::from_name);
    ask.basis = json.basis.as_deref().map(|word| Basis::from_name(word).unwrap_or(Basis::from_code(NO_CODE)));
    ask.ground = json.ground.as_deref().map(|word| Ground::from_name(word).unwrap_or(Ground::from_code(NO_CODE)));
    ask.fields = match &json.fields {
        Some(AnyOr::Some(fields)) => Some(AskedFields::These(names(fields))),
        Some(AnyOr::Word(word)) if word == "all" => Some(AskedFields::All),
        _ => None,
    };
    ask.recipient = json.recipient.as_deref().map(name);
    ask
}

fn host(json: &JsonHost) -> HostFacts {
    let now = time(Some(json.now)).unwrap_or(Timestamp::from_secs(0));
    let level = u8::try_from(json.assurance.unwrap_or(0).clamp(0, 4)).unwrap_or(0);
    let mut host = HostFacts::new(name(&json.party), now)
        .assurance(Assurance::from_level(level).unwrap_or_default())
        .conditions(names(&json.conditions));
    for (permission, times) in &json.uses {
        host = host.uses(name(permission), times.iter().filter_map(|secs| time(Some(*secs))));
    }
    host
}
