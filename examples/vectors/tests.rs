//! The runner judges every outside file of every suite; without their folder it says so.

use super::*;

/// Where each suite's outside files lie under `$DEEDBOX_VECTORS`.
const FILES: &[(&str, &str)] = &[
    ("cbor", "cbor/appendix_a.json"),
    ("connect", "connect/kat.json"),
    ("consent", "consent/scenarios.json"),
    ("cose", "cose/chacha-poly-examples/chacha-poly-enc-01.json"),
    ("cose", "cose/eddsa-examples/eddsa-sig-01.json"),
    ("cose", "cose/hkdf-hmac-sha-examples/hmac-sha-256-01.json"),
    ("cose", "cose/sign1-tests/sign-pass-01.json"),
    ("cose", "cose/sign1-tests/sign-pass-02.json"),
    ("cose", "cose/sign1-tests/sign-pass-03.json"),
    ("edhoc", "edhoc/rfc9529_traces.json"),
    ("edhoc", "edhoc/suite4_method0_and_method3.json"),
    ("edhoc", "edhoc/suite_m21_method0.json"),
    ("edhoc-negative", "edhoc/negative_sample.json"),
    ("edhoc-negative", "edhoc/rfc9529_invalid.json"),
    ("hcert", "hcert/CO18.json"),
    ("hcert", "hcert/CO3.json"),
    ("hcert", "hcert/DGC1.json"),
    ("hpke", "hpke/hpke_pq_xwing_647a.json"),
    ("hpke", "hpke/rfc9180_x25519_chacha20poly1305_base.json"),
    ("merkle", "merkle/consistency"),
    ("merkle", "merkle/inclusion"),
    ("record-objects", "record/objects.json"),
    ("sd-cwt", "sd-cwt/manifest.json"),
    ("status-list", "token-status-list/manifest.json"),
];

#[test]
fn every_outside_file_passes() {
    let told = std::env::var_os("DEEDBOX_VECTORS").map(PathBuf::from);
    let folder = told.clone().unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors"));
    if told.is_none() && !folder.is_dir() {
        eprintln!("skipped: no vectors at {}; set DEEDBOX_VECTORS to the folder that holds them", folder.display());
        return;
    }
    for (suite, file) in FILES {
        let report = judge(suite, &[folder.join(file)], false).expect("a known suite");
        assert_eq!(report.failed, 0, "{suite} {file}: {report:?}");
        assert!(report.passed + report.unsupported > 0);
    }
}

#[test]
fn a_missing_file_a_wrong_schema_and_an_empty_list_are_failures() {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in [("absent", None), ("wrong", Some("{\"unknown\": 1}")), ("empty", Some("[]"))] {
        let file = folder.path().join(name);
        if let Some(content) = content {
            std::fs::write(&file, content).unwrap();
        }
        let report = judge("hpke", &[file], false).unwrap();
        assert_eq!((report.passed, report.failed), (0, 1), "{name}");
    }
}

#[test]
fn a_panic_is_a_failure_and_unsupported_is_counted_apart() {
    let mut report = Report::default();
    report.case("panics", || panic!("as a broken case would"));
    report.case("passes", || ("ok".into(), "ok".into()));
    report.case("differs", || ("ok".into(), "Rejected".into()));
    report.unsupported("foreign", "suite 2");
    assert_eq!((report.passed, report.failed, report.unsupported), (1, 2, 1));
}
