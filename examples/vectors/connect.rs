//! Suite `connect`: pairwise keys, credentials, records, check codes, padding and links.

use std::path::Path;

use deedbox_connect::{InvitationId, Link, vectors};
use deedbox_cose::{
    VerifyKey,
    encrypt0::{Record, StreamKey},
};
use deedbox_crypto::{
    secret::SecretBytes,
    sign::{PublicKey, SigningKey},
};
use deedbox_model::{ConnectionId, Digest};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{Report, hex};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    kind: String,
    r#in: Map<String, Value>,
    out: Value,
}

/// Judges a file of suite `connect`.
pub(crate) fn run(file: &Path, report: &mut Report) {
    let Some(cases) = report.load::<Vec<Case>>(file) else { return };
    for case in &cases {
        let make: fn(&In<'_>) -> Option<Value> = match case.kind.as_str() {
            "pairwise" => pairwise,
            "cred_i" => cred_i,
            "cred_r" => cred_r,
            "record" => record,
            "check_code" => check_code,
            "ead_pad" => ead_pad,
            "link" => link,
            "pad" => pad,
            _ => {
                report.fail(&case.name, &case.kind, "a kind of the suite");
                continue;
            }
        };
        report.case(&case.name, || {
            let got = make(&In(&case.r#in)).unwrap_or_else(|| json!("an input of the wrong shape, or a refusal"));
            (got.to_string(), case.out.to_string())
        });
    }
}

/// The inputs of a case.
struct In<'a>(&'a Map<String, Value>);

impl In<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        crate::unhex(self.text(name)?)
    }

    fn array<const N: usize>(&self, name: &str) -> Option<[u8; N]> {
        self.bytes(name)?.try_into().ok()
    }

    fn number<T: TryFrom<u64>>(&self, name: &str) -> Option<T> {
        self.0.get(name)?.as_u64()?.try_into().ok()
    }

    fn secret<const N: usize>(&self, name: &str) -> Option<SecretBytes<N>> {
        self.array(name).map(SecretBytes::from_bytes)
    }
}

fn pairwise(input: &In<'_>) -> Option<Value> {
    let [auth, sign, seal] =
        vectors::pairwise_seeds(input.secret("root")?, &input.array("id")?, input.number("serial")?);
    let auth_pk = SigningKey::from_seed(&auth).public();
    Some(json!({
        "auth": hex(auth.expose()),
        "sign": hex(sign.expose()),
        "seal": hex(seal.expose()),
        "auth_pk": hex(auth_pk.as_bytes()),
        "sign_pk": hex(SigningKey::from_seed(&sign).public().as_bytes()),
        "auth_kid": hex(VerifyKey::from_ed25519(auth_pk).thumbprint().as_bytes()),
    }))
}

fn cred_i(input: &In<'_>) -> Option<Value> {
    let conn = ConnectionId::from_bytes(input.array("conn_id")?);
    let auth = PublicKey::from_bytes(&input.array("auth_pk")?).ok()?;
    let agreement = Digest::from_bytes(input.array("agreement")?);
    Some(json!({ "cred": hex(&vectors::cred_i(conn, auth, &agreement)) }))
}

fn cred_r(input: &In<'_>) -> Option<Value> {
    let auth = PublicKey::from_bytes(&input.array("auth_pk")?).ok()?;
    let inv = InvitationId::from_bytes(input.array("inv_id")?);
    let [first, later] =
        vectors::cred_r(input.text("sub")?, auth, &input.secret("secret")?, inv, &input.bytes("invitation")?);
    Some(json!({ "first": hex(&first), "later": hex(&later) }))
}

fn record(input: &In<'_>) -> Option<Value> {
    let key = StreamKey::derive(&input.secret("base")?, input.array("stream")?);
    let plaintext = input.bytes("plaintext")?;
    let record = key.seal(input.number("seq")?, &plaintext).ok()?;
    let opened = key.open(&Record::parse(&record).ok()?).ok()?;
    (*opened == plaintext).then(|| json!({ "record": hex(&record) }))
}

fn check_code(input: &In<'_>) -> Option<Value> {
    Some(json!({ "code": vectors::check_code(&input.array("exported")?) }))
}

fn ead_pad(input: &In<'_>) -> Option<Value> {
    Some(json!({ "ead": hex(&vectors::ead_padding(input.number("length")?, input.number("step")?)) }))
}

fn pad(input: &In<'_>) -> Option<Value> {
    Some(json!({ "padded": hex(&vectors::padded(&input.bytes("plaintext")?)?) }))
}

fn link(input: &In<'_>) -> Option<Value> {
    let inv = InvitationId::from_bytes(input.array("inv_id")?);
    let digest = Digest::from_bytes(input.array("digest")?);
    let link = Link::new(inv, digest, input.text("endpoint")?, input.secret("secret")?).ok()?;
    let (payload, qr, url) = (link.to_bytes(), link.to_qr(), link.to_url());
    for parsed in [Link::parse(&payload), Link::parse_qr(&qr), Link::parse_url(&url)] {
        if parsed.ok()?.to_bytes() != payload {
            return None;
        }
    }
    Some(json!({ "payload": hex(&payload), "qr": qr, "url": url }))
}
