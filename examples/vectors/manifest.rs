//! What the manifests of credentials and of status lists have in common: their frame, and how a verdict is compared.

use std::{collections::BTreeMap, path::Path};

use deedbox_cose::VerifyKey;
use deedbox_credential::VerifyError;
use serde::{Deserialize, de::DeserializeOwned};

use crate::{Report, unhex};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest<C> {
    schema: String,
    #[serde(rename = "comment")]
    _comment: String,
    #[serde(rename = "test_keys", default)]
    _test_keys: BTreeMap<String, String>,
    cases: Vec<C>,
}

/// One case of a manifest.
pub(crate) trait Case: DeserializeOwned {
    /// Of the whole manifest.
    const SCHEMA: &'static str;

    fn name(&self) -> &str;

    /// What was got and what was wanted. `Err` is a fault of the file, not of what it is about.
    fn judge(&self) -> Result<(String, String), &'static str>;
}

/// Judges one manifest.
pub(crate) fn run<C: Case>(file: &Path, report: &mut Report) {
    let Some(manifest) = report.load::<Manifest<C>>(file) else { return };
    if manifest.schema != C::SCHEMA {
        report.fail(&file.display().to_string(), "another schema", C::SCHEMA);
        return;
    }
    for case in &manifest.cases {
        report.case(case.name(), || {
            case.judge().unwrap_or_else(|fault| (fault.to_owned(), "a case of the schema".into()))
        });
    }
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Expect {
    Accept,
    Reject,
}

impl Expect {
    /// Compares what was made of a token or list, in words, with what its case wants: `accepted`, or a refusal at `stage`, at any
    /// where the case names none.
    pub(crate) fn compare(
        self,
        got: Result<String, VerifyError>,
        accepted: impl FnOnce() -> Result<String, &'static str>,
        stage: Option<&str>,
    ) -> Result<(String, String), &'static str> {
        let want = match (self, stage) {
            (Self::Accept, _) => accepted()?,
            (Self::Reject, Some(stage)) => format!("reject/{stage}"),
            (Self::Reject, None) if got.is_err() => return Ok(("reject".into(), "reject".into())),
            (Self::Reject, None) => "reject".into(),
        };
        Ok((got.unwrap_or_else(|error| format!("reject/{}", error.stage())), want))
    }
}

/// A COSE_Key in hex.
pub(crate) fn verify_key(cose_key: &str) -> Option<VerifyKey> {
    VerifyKey::parse(&unhex(cose_key)?).ok()
}
