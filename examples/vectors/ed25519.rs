//! Suite `ed25519`: CCTV's array of `{number, key, sig, msg, flags}`, msg as UTF-8, flags may be null.
//!
//! Accepted exactly when no flag is one of [`REFUSED`]; the others, such as low_order_component_A, do not count.

use std::path::Path;

use deedbox_crypto::sign::PublicKey;
use serde::Deserialize;

use crate::{Report, unhex};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    number: u64,
    key: String,
    sig: String,
    msg: String,
    flags: Option<Vec<String>>,
}

/// What strict verification refuses.
const REFUSED: [&str; 6] =
    ["low_order_A", "low_order_R", "low_order_residue", "non_canonical_A", "non_canonical_R", "reencoded_k"];

/// Judges every case of `file`.
pub(crate) fn run(file: &Path, report: &mut Report) {
    let Some(cases) = report.load::<Vec<Case>>(file) else { return };
    for case in cases {
        report.case(&format!("ed25519-{}", case.number), || {
            let refused = case.flags.iter().flatten().any(|flag| REFUSED.contains(&flag.as_str()));
            let want = if refused { "Rejected" } else { "ok" };
            let got = match verify(&case) {
                Some(true) => "ok",
                Some(false) => "Rejected",
                None => "no hex of 32 and 64 bytes",
            };
            (got.into(), want.into())
        });
    }
}

fn verify(case: &Case) -> Option<bool> {
    let key = unhex(&case.key)?.try_into().ok()?;
    let signature = unhex(&case.sig)?.try_into().ok()?;
    Some(PublicKey::from_bytes(&key).is_ok_and(|key| key.verify(case.msg.as_bytes(), &signature).is_ok()))
}
