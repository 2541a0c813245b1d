//! Documents as they come: good ones become fields without loss, bad ones are refused whole and named.

use deedbox_interop::{ImportError, fhir, import, json};
use proptest::prelude::*;
use serde_json::Value;

fn code(document: &str) -> &'static str {
    import(document.as_bytes()).expect_err("a bad document").code()
}

#[test]
fn bad_documents_are_named_and_refused_whole() {
    assert_eq!(code(""), "Empty");
    assert_eq!(code(" \n"), "Empty");
    assert_eq!(code("{}"), "Empty");
    assert_eq!(code("not json"), "NotJson");
    assert_eq!(code("{\"a\": 1} trailing"), "NotJson");
    assert_eq!(code("{\"a\": 1, \"b\": {\"x\": 1, \"x\": 2}}"), "DuplicateKey");
    assert_eq!(code("{\"a\": 1, \"\\u0061\": 2}"), "DuplicateKey");
    assert_eq!(code("{\"a\": 1e999999999999999999999}"), "NumberOutOfRange");
    assert_eq!(code("{\"a\": 99999999999999999999}"), "NumberOutOfRange");
    assert_eq!(code(&format!("{}1{}", "[".repeat(26), "]".repeat(26))), "TooDeep");
    assert_eq!(code(&format!("{{\"{}\": 1}}", "k".repeat(1_100))), "PathTooLong");
    assert_eq!(code(&format!("{{\"a\": \"{}\"}}", "v".repeat(128 * 1024))), "ValueTooLarge");
    assert_eq!(code("{\"resourceType\": \"Bundle\", \"entry\": [{\"resource\": {\"id\": \"x\"}}]}"), "NotFhir");
    assert!(matches!(json::import(&[0xff, 0xfe]), Err(ImportError::NotJson { .. })));
}

#[test]
fn an_error_says_where_and_never_what() {
    let error = import(b"{\"ok\": 1, \"secret\": {\"diagnosis\": 1, \"diagnosis\": 2}}").unwrap_err();
    assert_eq!(error.to_string(), "an object repeats a key, near byte 20");
    assert!(!format!("{error:?}").contains("diagnosis"));
}

#[test]
fn numbers_keep_their_digits() {
    let value = |digits: &str| {
        let import = import(format!("{{\"n\": {digits}}}").as_bytes()).unwrap();
        import.fields()[0].value().bytes().to_vec()
    };
    assert_eq!(value("0"), [0x00]);
    assert_eq!(value("-5"), [0x24]);
    assert_eq!(value("7.20"), [0xc4, 0x82, 0x21, 0x19, 0x02, 0xd0]);
    assert_ne!(value("7.2"), value("7.20"));
    assert_eq!(value("1e3"), [0xc4, 0x82, 0x03, 0x01]);
    assert_eq!(value("-0.0"), [0xf9, 0x80, 0x00]);
    assert_eq!(value("-0"), [0xf9, 0x80, 0x00]);
}

#[test]
fn keys_that_look_like_paths_do_not_collide() {
    let import = import(br#"{"a.b": 1, "a": {"b": 2, "": 3}, "a~1b": 4}"#).unwrap();
    let mut paths: Vec<String> = import.fields().iter().map(|field| field.path().to_string()).collect();
    paths.sort();
    paths.dedup();
    assert_eq!(paths, ["a.b", "a.~e", "a~01b", "a~1b"]);
}

#[test]
fn debug_shows_no_content() {
    let import = import(br#"{"diagnosis": "melanoma"}"#).unwrap();
    let shown = format!("{import:?} {:?}", import.fields());
    assert!(!shown.contains("melanoma") && !shown.contains("diagnosis"), "{shown}");
}

#[test]
fn resources_with_one_id_stay_apart() {
    let bundle = br#"{"resourceType": "Bundle", "entry": [
        {"resource": {"resourceType": "Patient", "id": "p", "active": true}},
        {"resource": {"resourceType": "Patient", "id": "p", "active": false}},
        {"resource": {"resourceType": "Patient", "active": false}}]}"#;
    let import = fhir::import(bundle).unwrap();
    let mut paths: Vec<String> = import.fields().iter().map(|field| field.path().to_string()).collect();
    let all = paths.len();
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), all);
    assert!(paths.contains(&"Patient/p~1.active".to_owned()), "{paths:?}");
}

/// The real patient: every leaf that serde_json counts is a field, and no other.
#[test]
fn a_whole_patient_record_is_imported_without_loss() {
    let folder = std::env::var("DEEDBOX_VECTORS").unwrap_or_else(|_| "../../../shared/vectors".into());
    let file = std::path::Path::new(&folder).join("../data/fhir-patient-f001.json");
    let Ok(document) = std::fs::read(&file) else {
        assert!(std::env::var_os("DEEDBOX_VECTORS").is_none(), "no file {}", file.display());
        eprintln!("skipped: no file {}", file.display());
        return;
    };
    let import = fhir::import(&document).unwrap();
    let value: Value = serde_json::from_slice(&document).unwrap();
    assert_eq!(import.fields().len(), leaves(&value));
    assert_eq!(import.datasets().len(), 10);
}

fn leaves(value: &Value) -> usize {
    match value {
        Value::Object(members) if !members.is_empty() => members.values().map(leaves).sum(),
        Value::Array(elements) if !elements.is_empty() => elements.iter().map(leaves).sum(),
        _ => 1,
    }
}

fn documents() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from)
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(".{0,4}", inner, 0..4).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn every_leaf_is_one_field_with_a_path_of_its_own(document in documents()) {
        let bytes = serde_json::to_vec(&document).unwrap();
        match json::import(&bytes) {
            Ok(import) => {
                prop_assert_eq!(import.fields().len(), leaves(&document));
                let mut paths: Vec<String> = import.fields().iter().map(|field| field.path().to_string()).collect();
                paths.sort();
                paths.dedup();
                prop_assert_eq!(paths.len(), import.fields().len());
            }
            Err(error) => prop_assert_eq!(error.code(), "Empty"),
        }
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = import(&bytes);
    }
}
