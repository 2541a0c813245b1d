//! Suite `hcert`: the EU's test data of digital Covid certificates, step by step from the QR text.

use std::path::Path;

use serde::Deserialize;

#[expect(dead_code, reason = "the example reads more of a certificate than the suite")]
#[path = "../hcert_reader/certificate.rs"]
mod certificate;

use certificate::{Health, Issuer, base45, base64, inflate, seconds, unprefix};

use crate::Report;

#[derive(Deserialize)]
#[serde(untagged)]
enum File {
    Many(Vec<Case>),
    One(Box<Case>),
}

/// One test object; what is not judged is ignored.
#[derive(Deserialize)]
struct Case {
    name: Option<String>,
    #[serde(rename = "PREFIX")]
    prefix: Option<String>,
    #[serde(rename = "TESTCTX")]
    context: Context,
    #[serde(rename = "EXPECTEDRESULTS")]
    expected: Expected,
}

#[derive(Deserialize)]
struct Context {
    #[serde(rename = "CERTIFICATE")]
    certificate: Option<String>,
    #[serde(rename = "VALIDATIONCLOCK")]
    clock: Option<String>,
}

#[derive(Deserialize)]
struct Expected {
    #[serde(rename = "EXPECTEDUNPREFIX")]
    unprefix: Option<bool>,
    #[serde(rename = "EXPECTEDB45DECODE")]
    base45: Option<bool>,
    #[serde(rename = "EXPECTEDCOMPRESSION")]
    compression: Option<bool>,
    #[serde(rename = "EXPECTEDDECODE")]
    decode: Option<bool>,
    #[serde(rename = "EXPECTEDVERIFY")]
    verify: Option<bool>,
    #[serde(rename = "EXPECTEDEXPIRATIONCHECK")]
    expiration: Option<bool>,
}

impl Expected {
    /// The steps in their order, by name.
    fn steps(&self) -> [(&'static str, Option<bool>); 6] {
        [
            ("UNPREFIX", self.unprefix),
            ("B45DECODE", self.base45),
            ("COMPRESSION", self.compression),
            ("DECODE", self.decode),
            ("VERIFY", self.verify),
            ("EXPIRATIONCHECK", self.expiration),
        ]
    }
}

/// Judges one file.
pub(crate) fn run(file: &Path, report: &mut Report) {
    let cases = match report.load::<File>(file) {
        None => return,
        Some(File::Many(cases)) => cases,
        Some(File::One(case)) => vec![*case],
    };
    let stem = file.file_stem().map_or_else(|| "case".into(), |stem| stem.to_string_lossy());
    for case in &cases {
        let name = case.name.clone().unwrap_or_else(|| stem.to_string());
        let issuer = case.context.certificate.as_deref().and_then(base64).and_then(|der| Issuer::from_der(&der));
        if case.expected.steps().iter().all(|(_, expected)| expected.is_none()) {
            report.unsupported(&name, "none of the judged results");
        } else if case.expected.verify.is_some() && issuer.is_none() {
            report.unsupported(&name, "a certificate without a P-256 key");
        } else {
            report.case(&name, || judge(case, issuer.as_ref()));
        }
    }
}

/// What came of each judged step, and what was to come of it.
fn judge(case: &Case, issuer: Option<&Issuer>) -> (String, String) {
    let text = case.prefix.as_deref().and_then(unprefix);
    let compressed = text.and_then(base45);
    let cose = compressed.as_deref().and_then(inflate);
    let health = cose.as_deref().and_then(Health::decode);
    let decoded = health.is_some();
    let now = case.context.clock.as_deref().and_then(seconds);
    let in_time = health.as_ref().zip(now).is_some_and(|(health, now)| health.is_in_time(now));
    let verified = health.zip(issuer).and_then(|(health, issuer)| health.verify(issuer));
    let got = [text.is_some(), compressed.is_some(), cose.is_some(), decoded, verified.is_some(), in_time];
    let steps = case.expected.steps();
    let judged = steps.iter().zip(got).filter_map(|((name, want), got)| Some((name, (*want)?, got)));
    let line = |verdicts: Vec<(&&str, bool)>| {
        verdicts.iter().map(|(name, verdict)| format!("{name}={verdict}")).collect::<Vec<_>>().join(" ")
    };
    let (wanted, got) = judged.map(|(name, want, got)| ((name, want), (name, got))).unzip();
    (line(got), line(wanted))
}
