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

/// Suites whose outside files are not everywhere: whatever JSON lies in the folder of that name is judged.
const OPTIONAL: &[&str] = &["ed25519"];

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
    for suite in OPTIONAL {
        let entries = std::fs::read_dir(folder.join(suite)).into_iter().flatten().flatten();
        let files: Vec<PathBuf> =
            entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|is| is == "json")).collect();
        if files.is_empty() {
            eprintln!("{suite}: no outside file in {}", folder.join(suite).display());
        }
        assert_eq!(judge(suite, &files, false).expect("a known suite").failed, 0, "{suite}");
    }
}

#[test]
fn every_suite_has_an_outside_file_or_is_named_as_optional() {
    for (suite, _) in SUITES {
        assert!(FILES.iter().any(|(named, _)| named == suite) != OPTIONAL.contains(suite), "{suite}");
    }
}

/// RFC 8032 §7.1, test 2, and the point of order one, which signs anything.
#[test]
fn the_ed25519_suite_goes_by_the_flags() {
    const KEY: &str = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
    const SIG: &str = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
    let one = format!("01{}", "00".repeat(31));
    let weak = format!("{one}{}", "00".repeat(32));
    let file = tempfile::tempdir().unwrap();
    let file = file.path().join("cases.json");
    let counts = |key: &str, sig: &str, msg: &str, flags: &str| {
        let case = format!(r#"[{{"number": 1, "key": "{key}", "sig": "{sig}", "msg": "{msg}", "flags": {flags}}}]"#);
        std::fs::write(&file, case).unwrap();
        let report = judge("ed25519", std::slice::from_ref(&file), false).unwrap();
        (report.passed, report.failed)
    };
    let (passed, failed) = ((1, 0), (0, 1));
    assert_eq!(counts(KEY, SIG, "r", "null"), passed);
    assert_eq!(counts(KEY, SIG, "r", r#"["low_order_component_A", "low_order_component_R"]"#), passed);
    assert_eq!(counts(KEY, SIG, "s", "null"), failed);
    for flag in ["low_order_A", "low_order_R", "low_order_residue", "non_canonical_A", "non_canonical_R", "reencoded_k"]
    {
        assert_eq!(counts(KEY, SIG, "r", &format!(r#"["{flag}"]"#)), failed, "{flag}");
        assert_eq!(counts(&one, &weak, "r", &format!(r#"["{flag}"]"#)), passed, "{flag}");
    }
    assert_eq!(counts(&one, &weak, "r", "null"), failed);
    assert_eq!(counts("3d", SIG, "r", "null"), failed);
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
