//! Suite `status-list`: status lists by themselves, and status list tokens as a verifier checks them, with or without one entry.

use deedbox_credential::{
    FetchedStatusList, KeyState, StatusList, StatusReference, StatusSource, TrustStore, VerifyError,
    test_util::{self, Listed},
};
use deedbox_model::Timestamp;
use serde::Deserialize;

use crate::{
    manifest::{self, Expect, verify_key},
    unhex,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    kid: String,
    key: String,
}

/// The issuer of every case: the status keys given are its own.
const ISS: &str = "https://issuer.test";

impl manifest::Case for Case {
    const SCHEMA: &'static str = "deedbox-status-list/1";

    fn name(&self) -> &str {
        &self.name
    }

    fn judge(&self) -> Result<(String, String), &'static str> {
        let list = match self.kind {
            Kind::List => {
                let list = self.list.as_deref().and_then(unhex).ok_or("list is not hex")?;
                test_util::unsigned_status_list(&list, self.max_bytes.unwrap_or(MAX_BYTES))
            }
            Kind::Token => token(self)?,
        };
        let list = match (list, self.idx) {
            (Ok(list), Some(idx)) => test_util::require_valid(&list, idx).map(|()| list),
            (list, _) => list,
        };
        let got = list.map(|list| accepted(self, &list));
        self.expect.compare(got, || Ok(accepted_as_listed(self)), self.stage.as_deref())
    }
}

fn token(case: &Case) -> Result<Result<StatusList, VerifyError>, &'static str> {
    let mut trust = TrustStore::new();
    for key in &case.keys {
        let listed = Listed {
            iss: ISS.into(),
            kid: unhex(&key.kid).ok_or("kid is not hex")?,
            key: verify_key(&key.key).ok_or("a status key is no key")?,
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
