//! Suites `edhoc` and `edhoc-negative`: RFC 9529's traces and deedbox's own, both sides run with given secrets.

use std::{collections::BTreeMap, convert::Infallible, path::Path};

use deedbox_cose::LocalSigner;
use deedbox_crypto::{secret::SecretBytes, sign::PublicKey};
use deedbox_edhoc::{
    ConnectionId, Credential, CredentialError, Ead, EdhocError, Failed, Form, IdCred, Initiator, Profile, Responder,
    Session, StaticKey, initiator, responder,
};
use deedbox_testkit::rng::SeededRng;
use rand_core::{TryCryptoRng, TryRng};
use serde::Deserialize;

use crate::{Report, hex};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    method: i32,
    suite: i32,
    #[serde(rename = "SUITES_I")]
    suites_i: Vec<i32>,
    #[serde(rename = "C_I")]
    c_i: String,
    #[serde(rename = "C_R")]
    c_r: String,
    #[serde(rename = "X")]
    x: String,
    #[serde(rename = "Y")]
    y: String,
    #[serde(rename = "SK_I")]
    sk_i: String,
    #[serde(rename = "SK_R")]
    sk_r: String,
    #[serde(rename = "PK_I")]
    pk_i: String,
    #[serde(rename = "PK_R")]
    pk_r: String,
    #[serde(rename = "CRED_I")]
    cred_i: String,
    #[serde(rename = "CRED_R")]
    cred_r: String,
    #[serde(rename = "ID_CRED_I")]
    id_cred_i: String,
    #[serde(rename = "ID_CRED_R")]
    id_cred_r: String,
    #[serde(rename = "EAD")]
    ead: [String; 4],
    #[serde(rename = "EAD_items")]
    ead_items: [Vec<(i32, Option<String>)>; 4],
    out: BTreeMap<String, String>,
    exports: Vec<Export>,
    key_update_context: String,
    #[serde(rename = "PRK_out_updated")]
    prk_out_updated: String,
    #[serde(rename = "PRK_exporter_updated")]
    prk_exporter_updated: String,
    exports_updated: Vec<Export>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Export {
    label: u16,
    context: String,
    length: usize,
    value: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Negative {
    schema: String,
    base: Case,
    methods: Vec<i32>,
    suites: Vec<i32>,
    cases: Vec<Step>,
    negotiation: Vec<Negotiation>,
    retry: Vec<RetryCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    name: String,
    step: String,
    input: String,
    expect: String,
    error: Option<String>,
    wire: Option<String>,
    #[serde(rename = "why")]
    _why: String,
    #[serde(default)]
    known_ead: Vec<i32>,
    #[serde(default)]
    extra_credentials: Vec<Extra>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Extra {
    #[serde(rename = "ID_CRED")]
    id_cred: String,
    #[serde(rename = "CRED")]
    cred: String,
    #[serde(rename = "PK")]
    pk: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Negotiation {
    name: String,
    supported: Vec<i32>,
    #[serde(rename = "SUITES_I")]
    _suites_i: Vec<i32>,
    input: String,
    expect: String,
    error: Option<String>,
    wire: Option<String>,
    /// Features; the runner is built with all of them.
    #[serde(rename = "requires")]
    _requires: Vec<String>,
    #[serde(rename = "why")]
    _why: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RetryCase {
    name: String,
    supported: Vec<i32>,
    sent: Vec<i32>,
    attempt: u8,
    input: String,
    next: Option<Vec<i32>>,
    error: Option<String>,
    /// Features; the runner is built with all of them.
    #[serde(rename = "requires")]
    _requires: Vec<String>,
    #[serde(rename = "why")]
    _why: String,
}

/// Judges a file of suite `edhoc`.
pub(crate) fn run(file: &Path, report: &mut Report) {
    let Some(cases) = report.load::<Vec<Case>>(file) else { return };
    for case in cases {
        match need(case.method, &[case.suite]) {
            Some(need) => report.unsupported(&case.name, need),
            None => report.case(&case.name, || judge(&case)),
        }
    }
}

/// Judges a file of suite `edhoc-negative`.
pub(crate) fn run_negative(file: &Path, report: &mut Report) {
    let Some(suite) = report.load::<Negative>(file) else { return };
    if suite.schema != "deedbox-edhoc-negative/1" {
        report.fail(&file.display().to_string(), &suite.schema, "deedbox-edhoc-negative/1");
        return;
    }
    let base_need = suite
        .methods
        .iter()
        .find_map(|method| need(*method, &suite.suites))
        .or_else(|| need(suite.base.method, &[suite.base.suite]));
    for case in &suite.cases {
        match base_need {
            Some(need) => report.unsupported(&case.name, need),
            None => report.case(&case.name, || judge_step(&suite, case)),
        }
    }
    for case in &suite.negotiation {
        match base_need {
            Some(need) => report.unsupported(&case.name, need),
            None => report.case(&case.name, || {
                let result = profile(&suite.methods, &case.supported, &[])
                    .and_then(|profile| Responder::new(&profile).read_message_1(&bytes(&case.input)).map_err(told));
                verdict(result.map(|_| ()), &case.expect, case.error.as_ref(), case.wire.as_ref())
            }),
        }
    }
    for case in &suite.retry {
        match base_need {
            Some(need) => report.unsupported(&case.name, need),
            None => report.case(&case.name, || judge_retry(&suite.methods, case)),
        }
    }
}

/// What these need and this version does not have.
fn need(method: i32, suites: &[i32]) -> Option<&'static str> {
    let fits = |suite: &i32| match suite {
        0 | 4 => (0..=3).contains(&method),
        2 | 3 => method == 3,
        -21 => method == 0,
        _ => false,
    };
    (!suites.iter().all(fits)).then_some("another suite, or another method of the suite")
}

/// What went wrong: the code, and what the peer is told.
type Told = (String, Option<String>);

fn told(failed: Failed) -> Told {
    (failed.error.code().to_owned(), failed.reply.map(|reply| hex(&reply)))
}

fn told_error(error: EdhocError) -> Told {
    (error.code().to_owned(), None)
}

fn broken(what: &str) -> Told {
    (format!("broken: {what}"), None)
}

fn bytes(text: &str) -> Vec<u8> {
    crate::unhex(text).unwrap_or_default()
}

fn secret(text: &str) -> Result<SecretBytes<32>, Told> {
    SecretBytes::try_from_slice(&bytes(text)).ok_or_else(|| broken("secret"))
}

fn profile(methods: &[i32], suites: &[i32], known_ead: &[i32]) -> Result<Profile, Told> {
    let profile = Profile::production().with_methods(methods).with_known_ead(known_ead);
    profile.with_suites(suites).map_err(|error| (error.code().to_owned(), None))
}

fn connection_id(text: &str) -> Result<ConnectionId, Told> {
    ConnectionId::new(&bytes(text)).ok_or_else(|| broken("connection id"))
}

/// The credential of a peer that signs, or of one with a static key.
fn credential(signs: bool, cred: &str, pk: &str, id: &str) -> Result<Credential, Told> {
    let no_key = || ("Authentication".to_owned(), Some("016872656a6563746564".to_owned()));
    let (cred, pk) = (bytes(cred), bytes(pk));
    let credential = if signs {
        let key = pk.as_slice().try_into().ok().and_then(|key| PublicKey::from_bytes(&key).ok());
        Credential::with_key(&cred, key.ok_or_else(no_key)?)
    } else {
        Credential::with_static_key(&cred, &pk)
    };
    credential.and_then(|credential| credential.with_id(&bytes(id))).map_err(|error| match error {
        CredentialError::Key => no_key(),
        error => (error.code().to_owned(), None),
    })
}

/// Short form iff the identifier is a kid.
fn form(id: &str) -> Form {
    if id.starts_with("a104") { Form::Kid } else { Form::Value }
}

fn ead(items: &[(i32, Option<String>)]) -> Vec<Ead> {
    items.iter().map(|(label, value)| Ead::new(*label, value.as_deref().map(bytes))).collect()
}

/// A case's ephemeral secret as randomness: its bytes, once.
struct Given(Vec<u8>);

impl TryRng for Given {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes).map(|()| u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes).map(|()| u64::from_le_bytes(bytes))
    }

    /// More than the case gives is zero: the messages then differ.
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        let given = self.0.drain(..out.len().min(self.0.len()));
        out.fill(0);
        out.iter_mut().zip(given).for_each(|(to, from)| *to = from);
        Ok(())
    }
}

impl TryCryptoRng for Given {}

/// What a party authenticates with.
enum Key {
    Signs(Box<LocalSigner>),
    Static(StaticKey),
}

fn key(signs: bool, sk: &str, pk: &str) -> Result<Key, Told> {
    let secret = secret(sk)?;
    Ok(match (signs, pk.len()) {
        (true, _) => Key::Signs(Box::new(LocalSigner::from_seed(&secret))),
        (false, 64) => Key::Static(StaticKey::x25519(&secret)),
        (false, _) => Key::Static(StaticKey::p256(&secret).ok_or_else(|| broken("scalar"))?),
    })
}

/// Both parties of a case.
struct Parties {
    profile: Profile,
    i: Credential,
    r: Credential,
    key_i: Key,
    key_r: Key,
}

/// Whether Initiator and Responder sign.
const fn signs(method: i32) -> (bool, bool) {
    (method < 2, method % 2 == 0)
}

fn parties(case: &Case, methods: &[i32], suites: &[i32], known_ead: &[i32]) -> Result<Parties, Told> {
    let (i, r) = signs(case.method);
    Ok(Parties {
        profile: profile(methods, suites, known_ead)?,
        i: credential(i, &case.cred_i, &case.pk_i, &case.id_cred_i)?,
        r: credential(r, &case.cred_r, &case.pk_r, &case.id_cred_r)?,
        key_i: key(i, &case.sk_i, &case.pk_i)?,
        key_r: key(r, &case.sk_r, &case.pk_r)?,
    })
}

fn wait_m2(case: &Case, parties: &Parties) -> Result<(Initiator<initiator::WaitM2>, Vec<u8>), Told> {
    let start = Initiator::fixed(&parties.profile, &case.suites_i);
    start.message_1(connection_id(&case.c_i)?, &ead(&case.ead_items[0]), &mut Given(bytes(&case.x))).map_err(told_error)
}

fn got_m1(parties: &Parties, input: &[u8]) -> Result<Responder<responder::GotM1>, Told> {
    Responder::new(&parties.profile).read_message_1(input).map_err(told)
}

fn wait_m3(
    case: &Case,
    parties: &Parties,
    state: Responder<responder::GotM1>,
) -> Result<(Responder<responder::WaitM3>, Vec<u8>), Told> {
    let ead = ead(&case.ead_items[1]);
    let c_r = connection_id(&case.c_r)?;
    let (me, form, rng) = (&parties.r, form(&case.id_cred_r), &mut Given(bytes(&case.y)));
    let made = match &parties.key_r {
        Key::Signs(signer) => state.message_2(c_r, me, form, &ead, &**signer, rng),
        Key::Static(key) => state.message_2_static(c_r, me, form, &ead, key, rng),
    };
    made.map_err(told)
}

fn message_3(
    case: &Case,
    parties: &Parties,
    state: Initiator<initiator::Authenticated>,
    ead: &[Ead],
) -> Result<(Initiator<initiator::WaitM4>, Vec<u8>), Told> {
    let form = form(&case.id_cred_i);
    let made = match &parties.key_i {
        Key::Signs(signer) => state.message_3(form, ead, &**signer),
        Key::Static(key) => state.message_3_static(form, ead, key),
    };
    made.map_err(told)
}

fn message<'a>(case: &'a Case, name: &str) -> &'a str {
    case.out.get(name).map_or("", String::as_str)
}

/// The whole case on both sides; got and wanted.
fn judge(case: &Case) -> (String, String) {
    match run_both(case) {
        Ok(differences) => (differences, String::new()),
        Err((code, _)) => (code, "a session".to_owned()),
    }
}

fn run_both(case: &Case) -> Result<String, Told> {
    let labels: Vec<i32> = case.ead_items.iter().flatten().map(|(label, _)| *label).collect();
    let parties = parties(case, &[case.method], &[case.suite], &labels)?;
    let mut wrong = Vec::new();
    let mut equal = |what: &str, got: &[u8], want: &str| {
        if hex(got) != want {
            wrong.push(format!("{what} {}", hex(got)));
        }
    };

    let (i, message_1) = wait_m2(case, &parties)?;
    equal("message_1", &message_1, message(case, "message_1"));
    let r = got_m1(&parties, &bytes(message(case, "message_1")))?;
    let mut eads = vec![r.ead().peek().to_vec()];
    let (r, message_2) = wait_m3(case, &parties, r)?;
    equal("message_2", &message_2, message(case, "message_2"));
    let i = i.read_message_2(&bytes(message(case, "message_2"))).map_err(told)?;
    equal("ID_CRED_R", i.id_cred().peek().bytes(), &case.id_cred_r);
    eads.push(i.ead().peek().to_vec());
    let i = i.authenticate(&parties.r, &parties.i).map_err(told)?;
    let (i, message_3) = message_3(case, &parties, i, &ead(&case.ead_items[2]))?;
    equal("message_3", &message_3, message(case, "message_3"));
    let r = r.read_message_3(&bytes(message(case, "message_3"))).map_err(told)?;
    equal("ID_CRED_I", r.id_cred().peek().bytes(), &case.id_cred_i);
    eads.push(r.ead().peek().to_vec());
    let (mut r, message_4) =
        r.authenticate(&parties.i, &parties.r).and_then(|r| r.message_4(&ead(&case.ead_items[3]))).map_err(told)?;
    equal("message_4", &message_4, message(case, "message_4"));
    let (mut i, ead_4) = i.read_message_4(&bytes(message(case, "message_4"))).map_err(told)?;
    eads.push(ead_4);

    for (session, side) in [(&i, "Initiator"), (&r, "Responder")] {
        let values = session.values();
        for (name, want) in &case.out {
            match values.get(name.as_str()) {
                Some(got) => equal(&format!("{side} {name}"), got, want),
                None => equal(&format!("{side} {name} missing"), &[], want),
            }
        }
        exports(session, &case.exports, &mut equal);
    }
    for session in [&mut i, &mut r] {
        session.key_update(&bytes(&case.key_update_context));
        exports(session, &case.exports_updated, &mut equal);
        for (name, want) in
            [("PRK_out_updated", &case.prk_out_updated), ("PRK_exporter_updated", &case.prk_exporter_updated)]
        {
            equal(name, session.values().get(name).map_or(&[], Vec::as_slice), want);
        }
    }
    for (n, (got, want)) in eads.iter().zip(&case.ead_items).enumerate() {
        if *got != ead(want) {
            wrong.push(format!("EAD_{}", n + 1));
        }
    }
    // The encoded fields are covered by the messages; the file must be at one with itself.
    for (n, (encoded, items)) in case.ead.iter().zip(&case.ead_items).enumerate() {
        if encoded.is_empty() != items.is_empty() {
            wrong.push(format!("EAD_{} of the file", n + 1));
        }
    }
    Ok(wrong.join(", "))
}

fn exports(session: &Session, exports: &[Export], equal: &mut impl FnMut(&str, &[u8], &str)) {
    for export in exports {
        let mut out = vec![0; export.length];
        match session.export(export.label, &bytes(&export.context), &mut out) {
            Ok(()) => equal(&format!("export {}", export.label), &out, &export.value),
            Err(error) => equal(error.code(), &[], &export.value),
        }
    }
}

fn verdict(result: Result<(), Told>, expect: &str, error: Option<&String>, wire: Option<&String>) -> (String, String) {
    let show = |expect: &str, error: Option<&String>, wire: Option<&String>| format!("{expect} {error:?} {wire:?}");
    let got = match &result {
        Ok(()) => show("accept", None, None),
        Err((code, reply)) => show("reject", Some(code), reply.as_ref()),
    };
    (got, show(expect, error, wire))
}

fn judge_step(suite: &Negative, case: &Step) -> (String, String) {
    verdict(step(suite, case), &case.expect, case.error.as_ref(), case.wire.as_ref())
}

/// Who an identifier stands for: `None` is unknown.
fn resolve(suite: &Negative, case: &Step, id: &IdCred) -> Option<Result<Credential, Told>> {
    let base = &suite.base;
    let (signs_i, signs_r) = signs(base.method);
    // Who presents it: the Responder in message_2.
    let signs = if case.step == "message_2" { signs_r } else { signs_i };
    let by_value = |cred: &str| format!("a10e{cred}");
    let mut known = vec![
        (base.id_cred_i.clone(), &base.cred_i, &base.pk_i),
        (base.id_cred_r.clone(), &base.cred_r, &base.pk_r),
        (by_value(&base.cred_i), &base.cred_i, &base.pk_i),
        (by_value(&base.cred_r), &base.cred_r, &base.pk_r),
    ];
    known.extend(case.extra_credentials.iter().map(|extra| (extra.id_cred.clone(), &extra.cred, &extra.pk)));
    let id = hex(id.bytes());
    // What a case brings along goes before what is always known.
    known.iter().rev().find(|(known, ..)| *known == id).map(|(id, cred, pk)| credential(signs, cred, pk, id))
}

fn step(suite: &Negative, case: &Step) -> Result<(), Told> {
    let base = &suite.base;
    let parties = parties(base, &suite.methods, &suite.suites, &case.known_ead)?;
    let input = bytes(&case.input);
    if case.step == "message_1" {
        let r = got_m1(&parties, &input)?;
        return wait_m3(base, &parties, r).map(|_| ());
    }
    let (i, _) = wait_m2(base, &parties)?;
    if case.step == "message_2" {
        let i = i.read_message_2(&input).map_err(told)?;
        let Some(peer) = resolve(suite, case, i.id_cred().peek()) else { return Err(told(i.unknown())) };
        let i = i.authenticate(&peer?, &parties.i).map_err(told)?;
        return message_3(base, &parties, i, &[]).map(|_| ());
    }
    let r = got_m1(&parties, &bytes(message(base, "message_1")))?;
    let (r, _) = wait_m3(base, &parties, r)?;
    if case.step == "message_3" {
        let r = r.read_message_3(&input).map_err(told)?;
        let Some(peer) = resolve(suite, case, r.id_cred().peek()) else { return Err(told(r.unknown())) };
        let r = r.authenticate(&peer?, &parties.r).map_err(told)?;
        return r.message_4(&[]).map(|_| ()).map_err(told);
    }
    if case.step != "message_4" {
        return Err(broken("step"));
    }
    let i = i.read_message_2(&bytes(message(base, "message_2"))).map_err(told)?;
    let i = i.authenticate(&parties.r, &parties.i).map_err(told)?;
    let (i, _) = message_3(base, &parties, i, &ead(&base.ead_items[2]))?;
    i.read_message_4(&input).map(|_| ()).map_err(told)
}

fn judge_retry(methods: &[i32], case: &RetryCase) -> (String, String) {
    let show = |next: Option<&[i32]>, error: Option<&str>| format!("{next:?} {error:?}");
    let got = match retry(methods, case) {
        Ok(next) => show(Some(&next), None),
        Err((code, _)) => show(None, Some(&code)),
    };
    (got, show(case.next.as_deref(), case.error.as_deref()))
}

fn retry(methods: &[i32], case: &RetryCase) -> Result<Vec<i32>, Told> {
    let profile = profile(methods, &case.supported, &[])?;
    let mut rng = SeededRng::new(0);
    let c_i = connection_id("2d")?;
    let last = case.sent.last().copied();
    let start = if case.attempt == 2 {
        // The first message_1 chose the preferred suite; the answer names the last of `sent`.
        let first = Initiator::new(&profile, None).map_err(|error| broken(error.code()))?;
        let (first, _) = first.message_1(c_i.clone(), &[], &mut rng).map_err(told_error)?;
        let mut answer = deedbox_cbor::Writer::new();
        answer.uint(2).int(i64::from(last.unwrap_or_default()));
        match first.read_message_2(answer.as_slice()) {
            Err(Failed { retry: Some(retry), .. }) => Initiator::retry(&profile, retry),
            _ => return Err(broken("no first retry")),
        }
    } else {
        Initiator::new(&profile, last).map_err(|error| broken(error.code()))?
    };
    if start.suites() != case.sent {
        return Err(broken("SUITES_I"));
    }
    let (wait, _) = start.message_1(c_i, &[], &mut rng).map_err(told_error)?;
    match wait.read_message_2(&bytes(&case.input)) {
        Ok(_) => Err(broken("taken")),
        Err(Failed { retry: Some(retry), .. }) => Ok(Initiator::retry(&profile, retry).suites().to_vec()),
        Err(failed) => Err(told(failed)),
    }
}
