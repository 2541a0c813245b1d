//! Suite `status-list`: status lists by themselves, and status list tokens as a verifier checks them, with or without one entry.

use std::{collections::BTreeMap, path::Path};

use deedbox_cose::VerifyKey;
use deedbox_credential::{
    FetchedStatusList, KeyState, StatusList, StatusReference, StatusSource, TrustStore, VerifyError,
    test_util::{self, Listed},
};
use deedbox_model::Timestamp;
use serde::Deserialize;

use crate::{Report, unhex};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    schema: String,
    #[serde(rename = "comment")]
    _comment: String,
    #[serde(rename = "test_keys", default)]
    _test_keys: BTreeMap<String, String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    kind: Kind,
    expect: Expect,
    #[serde(rename = "comment")]
    _comment: String,
    stage: Option<String>,
    max_bytes: Option<usize>,
    #[serde(default)]
    entries: Vec<(u64, Option<u8>)>,
    list: Option<String>,
    token: Option<String>,
    #[serde(default)]
    keys: Vec<Key>,
    uri: Option<String>,
    now: Option<u64>,
    received_at: Option<u64>,
    #[serde(default)]
    leeway: u64,
    idx: Option<u64>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    List,
    Token,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Expect {
    Accept,
    Reject,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    kid: String,
    key: String,
}

/// The issuer of every case: the status keys given are its own.
const ISS: &str = "https://issuer.test";

/// Judges one manifest.
pub(crate) fn run(file: &Path, report: &mut Report) {
    let Some(manifest) = report.load::<File>(file) else { return };
    if manifest.schema != "deedbox-status-list/1" {
        report.fail(&file.display().to_string(), "another schema", "deedbox-status-list/1");
        return;
    }
    for case in &manifest.cases {
        report
            .case(&case.name, || judge(case).unwrap_or_else(|fault| (fault.to_owned(), "a case of the schema".into())));
    }
}

/// What was got and what was wanted. `Err` is a fault of the file, not of the list.
fn judge(case: &Case) -> Result<(String, String), &'static str> {
    let list = match case.kind {
        Kind::List => {
            let list = case.list.as_deref().and_then(unhex).ok_or("list is not hex")?;
            test_util::unsigned_status_list(&list, case.max_bytes.unwrap_or(MAX_BYTES))
        }
        Kind::Token => token(case)?,
    };
    let list = match (list, case.idx) {
        (Ok(list), Some(idx)) => test_util::require_valid(&list, idx).map(|()| list),
        (list, _) => list,
    };
    Ok(match (list, case.expect) {
        (Ok(list), Expect::Accept) => (accepted(case, &list), accepted_as_listed(case)),
        (Ok(_), Expect::Reject) => ("accept".into(), rejected(case)),
        (Err(error), Expect::Accept) => (format!("reject/{}", error.stage()), "accept".into()),
        (Err(error), Expect::Reject) => match &case.stage {
            Some(_) => (format!("reject/{}", error.stage()), rejected(case)),
            None => ("reject".into(), "reject".into()),
        },
    })
}

fn token(case: &Case) -> Result<Result<StatusList, VerifyError>, &'static str> {
    let mut trust = TrustStore::new();
    for key in &case.keys {
        let listed = Listed {
            iss: ISS.into(),
            kid: unhex(&key.kid).ok_or("kid is not hex")?,
            key: unhex(&key.key).and_then(|key| VerifyKey::parse(&key).ok()).ok_or("a status key is no key")?,
            state: KeyState::Active,
            not_before: None,
            not_after: None,
            types: None,
        };
        test_util::add_status_key(&mut trust, listed);
    }
    let token = case.token.as_deref().and_then(unhex).ok_or("token is not hex")?;
    let now = Timestamp::from_secs(case.now.ok_or("a token needs now")?);
    let received_at = case.received_at.map_or(now, Timestamp::from_secs);
    let reference = StatusReference::new(0, case.uri.as_deref().ok_or("a token needs uri")?);
    let source = StatusSource::new(ISS, &reference);
    let fetched = FetchedStatusList::new(&token, received_at);
    let max = case.max_bytes.unwrap_or(MAX_BYTES);
    Ok(test_util::status_list(fetched, &source, &trust, now, case.leeway, max))
}

fn rejected(case: &Case) -> String {
    case.stage.as_ref().map_or_else(|| "reject".into(), |stage| format!("reject/{stage}"))
}

/// The verdict, and the entries that the case lists, as they are.
fn accepted(case: &Case, list: &StatusList) -> String {
    entries(case.entries.iter().map(|(idx, _)| (*idx, list.status(*idx).map(deedbox_credential::Status::value))))
}

/// The same, as the case lists them.
fn accepted_as_listed(case: &Case) -> String {
    entries(case.entries.iter().copied())
}

fn entries(entries: impl Iterator<Item = (u64, Option<u8>)>) -> String {
    let entries: Vec<String> = entries
        .map(|(idx, value)| format!("{idx}={}", value.map_or("none".into(), |value| value.to_string())))
        .collect();
    format!("accept {}", entries.join(" "))
}

/// The limit where a case gives none.
const MAX_BYTES: usize = 16 << 20;
