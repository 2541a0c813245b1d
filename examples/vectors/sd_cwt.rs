//! Suite `sd-cwt`: issued credentials as a holder accepts them, presentations as a verifier checks them up to the status.

use deedbox_credential::{
    AcceptPolicy, Audience, Challenge, HeldCredential, KeyState, StatusPolicy, StatusReference, TrustStore, Vct,
    VctPolicy, Verifier,
    test_util::{self, Listed},
};
use deedbox_model::Timestamp;
use serde::Deserialize;

use crate::{
    hex,
    manifest::{self, Expect, verify_key},
    unhex,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    name: String,
    kind: Kind,
    token: String,
    trust: Vec<Trust>,
    now: u64,
    expect: Expect,
    #[serde(rename = "comment")]
    _comment: String,
    #[serde(default)]
    leeway: u64,
    audience: Option<String>,
    nonce: Option<String>,
    max_age: Option<u64>,
    vct: Option<Vec<Type>>,
    holder_key: Option<String>,
    #[serde(default)]
    deterministic: bool,
    stage: Option<String>,
    claims: Option<String>,
    status: Option<Status>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Issued,
    Presentation,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Type {
    Number(u16),
    Text(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Status {
    idx: u64,
    uri: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Trust {
    iss: String,
    kid: String,
    key: String,
    state: Option<State>,
    not_before: Option<i64>,
    not_after: Option<i64>,
    vct: Option<Vec<Type>>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Active,
    Compromised,
    Retired,
}

impl manifest::Case for Case {
    const SCHEMA: &'static str = "deedbox-sd-cwt/1";

    fn name(&self) -> &str {
        &self.name
    }

    fn judge(&self) -> Result<(String, String), &'static str> {
        let trust = trust(&self.trust)?;
        let token = unhex(&self.token).ok_or("token is not hex")?;
        let now = Timestamp::from_secs(self.now);
        let got = match self.kind {
            Kind::Issued => {
                let policy = match &self.holder_key {
                    None => test_util::any_holder(),
                    Some(key) => AcceptPolicy::new(verify_key(key).ok_or("holder_key is no key")?),
                };
                let policy = if self.deterministic { policy } else { policy.allow_unsorted() }.with_leeway(self.leeway);
                HeldCredential::accept(&token, &trust, &policy, now)
                    .map(|held| accepted(held.claims().as_bytes(), held.status()))
            }
            Kind::Presentation => {
                let audience =
                    self.audience.as_deref().and_then(|name| Audience::parse(name).ok()).ok_or("audience")?;
                let nonce = self.nonce.as_deref().and_then(unhex).ok_or("nonce is not hex")?;
                let max_age = self.max_age.unwrap_or(Challenge::MAX_AGE_SECS);
                let challenge = Challenge::try_new(&nonce, max_age).map_err(|_| "nonce is too short or too long")?;
                let types = match &self.vct {
                    None => VctPolicy::any_or_none(),
                    Some(types) => VctPolicy::any_of(types.iter().map(vct)),
                };
                // Steps 1 to 17: the status is exposed, not looked at.
                Verifier::new(&trust, audience, types, StatusPolicy::Required)
                    .with_leeway(self.leeway)
                    .verify(&token, challenge, now)
                    .map(|shown| accepted(test_util::claims(&shown).as_bytes(), shown.status().as_ref()))
            }
        };
        let wanted = || {
            let claims = self.claims.as_deref().and_then(unhex).ok_or("claims are not hex")?;
            let status = self.status.as_ref().map(|status| StatusReference::new(status.idx, status.uri.as_str()));
            Ok(accepted(&claims, status.as_ref()))
        };
        self.expect.compare(got, wanted, self.stage.as_deref())
    }
}

fn accepted(claims: &[u8], status: Option<&StatusReference>) -> String {
    let status = status.map_or_else(|| "no status".into(), |status| format!("{} {}", status.idx(), status.uri()));
    format!("accept {} {status}", hex(claims))
}

fn trust(entries: &[Trust]) -> Result<TrustStore, &'static str> {
    let mut store = TrustStore::new();
    for entry in entries {
        let listed = Listed {
            iss: entry.iss.clone(),
            kid: unhex(&entry.kid).ok_or("kid is not hex")?,
            key: verify_key(&entry.key).ok_or("a trusted key is no key")?,
            state: match entry.state {
                None | Some(State::Active) => KeyState::Active,
                Some(State::Compromised) => KeyState::Compromised,
                Some(State::Retired) => KeyState::Retired,
            },
            not_before: entry.not_before,
            not_after: entry.not_after,
            types: entry.vct.as_ref().map(|types| types.iter().map(vct).collect()),
        };
        test_util::add_listed(&mut store, listed);
    }
    Ok(store)
}

fn vct(given: &Type) -> Vct {
    match given {
        Type::Number(number) => Vct::number(*number),
        Type::Text(text) => Vct::from(text.as_str()),
    }
}
