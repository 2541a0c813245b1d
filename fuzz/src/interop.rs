//! Import of documents, the portability export, and views for integrators.
#![expect(clippy::unwrap_used, reason = "a fuzz body fails by panicking")]

use std::collections::BTreeMap;

use deedbox_consent::{Action, Ask, Basis, Change, HostFacts, Maker, PartyKind, Policy, Regime, Selector, Vocabulary};
use deedbox_interop::{
    ImportError,
    dpv::Dpv,
    fhir::consent::{Mapping, map},
    portable::Portable,
};
use deedbox_model::{Name, Timestamp};

/// No panic; what is imported has paths of its own and values that are deterministic CBOR.
pub fn interop_import(data: &[u8]) {
    let Ok(import) = deedbox_interop::import(data) else { return };
    let mut paths: Vec<String> = import.fields().iter().map(|field| field.path().to_string()).collect();
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), import.fields().len());
}

/// An accepted portability export is written the same again, and as JSON that is JSON.
pub fn interop_portable(data: &[u8]) {
    if let Ok(portable) = Portable::parse(data) {
        assert_eq!(portable.to_cbor(), data);
        let json = deedbox_interop::import(portable.to_json().as_bytes());
        assert!(!matches!(json, Err(ImportError::NotJson { .. } | ImportError::DuplicateKey { .. })));
    }
}

/// No panic; of any document no more is permitted than permissions to the parties that the caller named, for its purposes and
/// on consent, and a prohibition among the rules never adds.
pub fn interop_consent(data: &[u8]) {
    let name = |text: &str| Name::parse(text).unwrap();
    let mapping = Mapping {
        parties: BTreeMap::from([("o/1".to_owned(), name("hospital"))]),
        purposes: BTreeMap::from([("TREAT".to_owned(), name("care"))]),
        default_purpose: None,
        data: BTreeMap::from([("x".to_owned(), Selector::of([name("phone")]))]),
        all: Selector::of([name("contact")]),
        until: Timestamp::from_secs(4_000_000_000),
        retention: 60,
    };
    let Ok(mapped) = map(data, &mapping) else { return };
    let vocabulary = Vocabulary::builder("fuzz", 1, Regime::EU)
        .purpose("care", &[])
        .category("contact", &[])
        .field("phone", &["contact"])
        .field("address", &["contact"])
        .party("hospital", PartyKind::PUBLIC)
        .party("charity", PartyKind::PRIVATE)
        .build()
        .unwrap();
    for rules in mapped.into_iter().filter_map(|mapped| mapped.rules.ok()) {
        assert!(!rules.is_empty());
        let (mut all, mut permitting) = (Policy::new(vocabulary.clone()), Policy::new(vocabulary.clone()));
        for rule in rules {
            if let Change::AddPermission(permission) = &rule {
                assert_eq!((&permission.purpose, permission.basis), (&name("care"), Basis::CONSENT));
                permitting.apply(rule.clone(), &Maker::Person).unwrap();
            }
            all.apply(rule, &Maker::Person).unwrap();
        }
        for action in [Action::Read, Action::Write] {
            let ask = Ask::read_all(name("care"), Basis::CONSENT).action(action);
            let fields = |policy: &Policy, party| {
                let host = HostFacts::new(name(party), Timestamp::from_secs(1_500_000_000));
                policy.decide(&ask, &host).permit().map_or(0, |permit| permit.fields().len())
            };
            assert_eq!(fields(&all, "charity"), 0);
            assert!(fields(&all, "hospital") <= fields(&permitting, "hospital"));
        }
    }
}

/// No panic; what is read makes a vocabulary, or one with a cycle or too deep, and every name has its IRI.
pub fn interop_dpv(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (purposes, categories) = text.split_once('\0').unwrap_or((text, text));
    let Ok(dpv) = Dpv::read(purposes, &[categories]) else { return };
    if let Ok(vocabulary) = dpv.builder("fuzz", 1, Regime::EU).build() {
        assert!(vocabulary.purposes().chain(vocabulary.categories()).all(|name| dpv.iri(name).is_some()));
    }
}
