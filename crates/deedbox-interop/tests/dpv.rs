//! The published tables of the Data Privacy Vocabulary, as they lie in `../shared/data/dpv-2.2`: all of them are read, and
//! what this crate says about bases, grounds, rights and states is what they say.

use std::{collections::BTreeSet, fs, path::PathBuf};

use deedbox_consent::{Basis, Ground, PartyKind, ReceiptKind, Regime, Sensitivity};
use deedbox_interop::dpv::{Dpv, GDPR, basis_term, consent_status, ground_term, rights};
use deedbox_model::Name;

/// A table, or none where the folder is not there; a folder without the table is a failure.
fn table(file: &str) -> Option<String> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/dpv-2.2");
    if !folder.is_dir() {
        eprintln!("skipped: no ../shared/data/dpv-2.2, the tables of https://w3id.org/dpv");
        return None;
    }
    Some(fs::read_to_string(folder.join(file)).unwrap())
}

fn dpv() -> Option<Dpv> {
    let categories = [table("pd-core.csv")?, table("pd-extended.csv")?];
    Some(Dpv::read(&table("dpv-purposes.csv")?, &categories.each_ref().map(String::as_str)).unwrap())
}

/// The first column of each row.
fn terms(table: &str) -> BTreeSet<&str> {
    table.lines().filter_map(|line| line.strip_prefix('"')?.split('"').next()).collect()
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

#[test]
fn all_purposes_and_categories_make_a_vocabulary() {
    let Some(dpv) = dpv() else { return };
    let builder = dpv.builder("dpv-2.2", 1, Regime::EU).party("hospital", PartyKind::PUBLIC);
    let vocabulary = builder
        .field_with("blood", &["pd:blood-type"], Sensitivity::SPECIAL, None)
        .field("street", &["pd:physical-address"])
        .build()
        .unwrap();
    assert_eq!(vocabulary.purposes().count(), 122);
    assert_eq!(vocabulary.categories().count(), 221);
    assert!(vocabulary.is_purpose_within(&name("dpv:direct-marketing"), &name("dpv:marketing")));
    assert!(vocabulary.is_purpose_within(&name("dpv:commercial-research"), &name("dpv:research-and-development")));
    assert!(vocabulary.is_purpose_within(&name("dpv:commercial-research"), &name("dpv:commercial-purpose")));
    assert_eq!(dpv.iri(&name("dpv:direct-marketing")), Some("https://w3id.org/dpv#DirectMarketing"));
    let all = || vocabulary.purposes().chain(vocabulary.categories());
    assert_eq!(all().filter_map(|name| dpv.iri(name)).collect::<BTreeSet<_>>().len(), 343);
    assert!(dpv.is_special(&name("pd:blood-type")) && dpv.is_special(&name("pd:health")));
    assert!(!dpv.is_special(&name("pd:physical-address")));
}

#[test]
fn rights_are_those_of_the_mapping() {
    let Some(mapping) = table("gdpr-legal_basis_rights_mapping.csv") else { return };
    for basis in Basis::ALL {
        let Some(term) = basis_term(*basis) else {
            assert!(rights(*basis).is_empty());
            continue;
        };
        let basis_iri = format!("\"{GDPR}{term}\"");
        let rows = mapping.lines().filter_map(|line| line.split_once(','));
        let expected: BTreeSet<&str> = rows
            .filter(|(of, _)| *of == basis_iri)
            .filter_map(|(_, right)| right.trim_matches('"').strip_prefix(GDPR))
            .collect();
        assert!(!expected.is_empty());
        assert_eq!(rights(*basis).iter().copied().collect::<BTreeSet<_>>(), expected, "{term}");
    }
}

#[test]
fn every_term_is_one_of_the_tables() {
    let (Some(bases), Some(special)) = (table("gdpr-legal_basis.csv"), table("gdpr-legal_basis_special.csv")) else {
        return;
    };
    let (bases, special) = (terms(&bases), terms(&special));
    assert!(Basis::ALL.iter().filter_map(|basis| basis_term(*basis)).all(|term| bases.contains(term)));
    let grounds: Vec<String> = Ground::ALL.iter().filter_map(|ground| ground_term(*ground)).collect();
    assert_eq!(grounds.len(), 10);
    assert!(grounds.iter().all(|term| special.contains(term.as_str())));
    assert_eq!(ground_term(Ground::CRIMINAL), None);
    let states = table("dpv-consent_status.csv").unwrap();
    let kinds = [ReceiptKind::Given, ReceiptKind::Refused, ReceiptKind::Withdrawn];
    assert!(kinds.into_iter().all(|kind| consent_status(kind).is_some_and(|term| terms(&states).contains(term))));
    let rights_table = table("gdpr-legal_basis_rights_mapping.csv").unwrap();
    assert!(rights(Basis::CONSENT).iter().all(|right| rights_table.contains(&format!("{GDPR}{right}\""))));
}
