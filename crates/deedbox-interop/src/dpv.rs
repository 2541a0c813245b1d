//! The W3C Data Privacy Vocabulary (DPV) 2.2: its purposes and categories of personal data as a vocabulary for rules, its
//! terms for bases and states of consent, and the rights that go with a basis.
//!
//! The tables are read as the group publishes them, CSV with the columns `term`, `iri` and `hasbroader`; this crate holds
//! no copy.
//!
//! ```
//! use deedbox_consent::Regime;
//! use deedbox_interop::dpv::Dpv;
//! use deedbox_model::Name;
//!
//! let purposes = "term,iri,hasbroader\n\
//!     Marketing,https://w3id.org/dpv#Marketing,\n\
//!     DirectMarketing,https://w3id.org/dpv#DirectMarketing,https://w3id.org/dpv#Marketing\n";
//! let categories = "term,iri,hasbroader\nHealth,https://w3id.org/dpv/pd#Health,https://w3id.org/dpv#SpecialCategoryPersonalData\n";
//! let dpv = Dpv::read(purposes, &[categories])?;
//! let vocabulary = dpv.builder("dpv", 1, Regime::EU).build()?;
//! let (direct, marketing) = (Name::parse("dpv:direct-marketing")?, Name::parse("dpv:marketing")?);
//! assert!(vocabulary.is_purpose_within(&direct, &marketing));
//! assert_eq!(dpv.iri(&direct), Some("https://w3id.org/dpv#DirectMarketing"));
//! assert!(dpv.is_special(&Name::parse("pd:health")?));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::{BTreeMap, BTreeSet};

use deedbox_consent::{Basis, Ground, ReceiptKind, Regime, Vocabulary, VocabularyBuilder};
use deedbox_model::Name;

/// Why tables were not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DpvError {
    /// Two terms would get one name.
    #[error("row {row} repeats a name")]
    DuplicateName {
        /// Which row, from 1, the header being 0.
        row: usize,
    },
    /// Not CSV with these columns (RFC 4180).
    #[error("row {row} is not of the table's shape")]
    Malformed {
        /// Which row, from 1, the header being 0.
        row: usize,
    },
    /// A term that no name can be made of.
    #[error("row {row} has a term that is no name")]
    Term {
        /// Which row, from 1, the header being 0.
        row: usize,
    },
}

impl DpvError {
    /// The variant's name, stable once released.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::DuplicateName { .. } => "DuplicateName",
            Self::Malformed { .. } => "Malformed",
            Self::Term { .. } => "Term",
        }
    }
}

/// Purposes and categories of the DPV, by the names they get in rules: `dpv:` or `pd:` and the term in small letters with
/// hyphens, so `DirectMarketing` is `dpv:direct-marketing`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dpv {
    purposes: BTreeMap<Name, Term>,
    categories: BTreeMap<Name, Term>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    iri: String,
    broader: BTreeSet<Name>,
    is_special: bool,
}

impl Dpv {
    /// Reads the table of purposes, and those of categories.
    ///
    /// What is broader than a term but in none of the tables, such as `dpv#PersonalData`, is left out.
    ///
    /// # Errors
    /// See [`DpvError`].
    pub fn read(purposes: &str, categories: &[&str]) -> Result<Self, DpvError> {
        let mut categories = terms("pd:", categories)?;
        // What lies below a special category is special too; the tables mark the highest only.
        loop {
            let is_special = |name: &Name| categories.get(name).is_some_and(|term: &Term| term.is_special);
            let more = categories.iter().filter(|(_, term)| !term.is_special && term.broader.iter().any(is_special));
            let more: Vec<Name> = more.map(|(name, _)| name.clone()).collect();
            if more.is_empty() {
                break;
            }
            for name in more {
                categories.entry(name).and_modify(|term| term.is_special = true);
            }
        }
        Ok(Self { purposes: terms("dpv:", &[purposes])?, categories })
    }

    /// Starts a vocabulary of its purposes and categories.
    pub fn builder(&self, name: &str, version: u64, regime: Regime) -> VocabularyBuilder {
        let mut builder = Vocabulary::builder(name, version, regime);
        for (name, term) in &self.purposes {
            builder = builder.purpose(name.as_str(), &broader(term));
        }
        for (name, term) in &self.categories {
            builder = builder.category(name.as_str(), &broader(term));
        }
        builder
    }

    /// The IRI of a purpose or category.
    #[must_use]
    pub fn iri(&self, name: &Name) -> Option<&str> {
        self.purposes.get(name).or_else(|| self.categories.get(name)).map(|term| term.iri.as_str())
    }

    /// Whether a category is, or lies below, a special one (GDPR Art. 9).
    #[must_use]
    pub fn is_special(&self, category: &Name) -> bool {
        self.categories.get(category).is_some_and(|term| term.is_special)
    }
}

/// The DPV's term for a basis under the GDPR, without its namespace; none for `household`, which is outside the regulation,
/// and for the United Kingdom's own.
#[must_use]
pub const fn basis_term(basis: Basis) -> Option<&'static str> {
    Some(match basis {
        Basis::CONSENT => "A6-1-a",
        Basis::CONTRACT => "A6-1-b",
        Basis::LEGAL_OBLIGATION => "A6-1-c",
        Basis::VITAL_INTERESTS => "A6-1-d",
        Basis::PUBLIC_TASK => "A6-1-e",
        Basis::LEGITIMATE_INTERESTS => "A6-1-f",
        _ => return None,
    })
}

/// The DPV's term for a ground of Art. 9(2), without its namespace.
#[must_use]
pub fn ground_term(ground: Ground) -> Option<String> {
    let letter = ground.name()?.strip_prefix('9')?;
    Some(format!("A9-2-{letter}"))
}

/// The DPV's term for the state of consent that a receipt brings about; a disclosure brings none about.
#[must_use]
pub const fn consent_status(kind: ReceiptKind) -> Option<&'static str> {
    match kind {
        ReceiptKind::Given => Some("ConsentGiven"),
        ReceiptKind::Refused => Some("ConsentRefused"),
        ReceiptKind::Withdrawn => Some("ConsentWithdrawn"),
        ReceiptKind::Disclosed => None,
    }
}

/// The person's rights where processing rests on a basis, as articles of the GDPR, `A7-3` being the right to withdraw. The
/// same as the DPV's mapping.
#[must_use]
pub const fn rights(basis: Basis) -> &'static [&'static str] {
    match basis {
        Basis::CONSENT => &["A13", "A14", "A15", "A16", "A17", "A18", "A20", "A22", "A7-3", "A77"],
        Basis::CONTRACT => &["A13", "A14", "A15", "A16", "A17", "A18", "A20", "A22", "A77"],
        Basis::LEGAL_OBLIGATION => &["A13", "A15", "A16", "A18", "A77"],
        Basis::VITAL_INTERESTS => &["A13", "A14", "A15", "A16", "A17", "A18", "A22", "A77"],
        Basis::PUBLIC_TASK => &["A13", "A14", "A15", "A16", "A18", "A21", "A22", "A77"],
        Basis::LEGITIMATE_INTERESTS => &["A13", "A14", "A15", "A16", "A17", "A18", "A21", "A22", "A77"],
        _ => &[],
    }
}

/// The namespace of the DPV's terms.
pub const DPV: &str = "https://w3id.org/dpv#";
/// The namespace of its terms for the GDPR.
pub const GDPR: &str = "https://w3id.org/dpv/legal/eu/gdpr#";

fn broader(term: &Term) -> Vec<&str> {
    term.broader.iter().map(Name::as_str).collect()
}

/// The terms of tables that belong together, their broader ones among themselves.
fn terms(prefix: &str, tables: &[&str]) -> Result<BTreeMap<Name, Term>, DpvError> {
    let mut terms = BTreeMap::new();
    let mut names: BTreeMap<String, Name> = BTreeMap::new();
    let mut broader: Vec<(Name, Vec<String>)> = Vec::new();
    for table in tables {
        for (row, [term, iri, above]) in columns(table, ["term", "iri", "hasbroader"])?.into_iter().enumerate() {
            let row = row + 1;
            let name = name_of(prefix, &term).ok_or(DpvError::Term { row })?;
            let above: Vec<String> = above.split(';').filter(|iri| !iri.is_empty()).map(str::to_owned).collect();
            let is_special = above.iter().any(|iri| iri.ends_with(SPECIAL));
            names.insert(iri.clone(), name.clone());
            broader.push((name.clone(), above));
            if terms.insert(name, Term { iri, broader: BTreeSet::new(), is_special }).is_some() {
                return Err(DpvError::DuplicateName { row });
            }
        }
    }
    for (name, above) in broader {
        let above = above.iter().filter_map(|iri| names.get(iri).cloned());
        terms.entry(name).and_modify(|term: &mut Term| term.broader = above.collect());
    }
    Ok(terms)
}

/// `DirectMarketing` as `direct-marketing`; a row of capitals is one word.
fn name_of(prefix: &str, term: &str) -> Option<Name> {
    let mut name = prefix.to_owned();
    let mut previous = None;
    for (index, letter) in term.char_indices() {
        let next = term.get(index + letter.len_utf8()..)?.chars().next();
        let begins_word = letter.is_ascii_uppercase()
            && previous.is_some_and(|before: char| {
                !before.is_ascii_uppercase() || next.is_some_and(|next| next.is_ascii_lowercase())
            });
        if begins_word {
            name.push('-');
        }
        name.push(letter.to_ascii_lowercase());
        previous = Some(letter);
    }
    Name::parse(&name).ok()
}

/// The named columns of a table, RFC 4180: fields may stand in quotes, and quotes in these are doubled.
fn columns<const N: usize>(table: &str, wanted: [&str; N]) -> Result<Vec<[String; N]>, DpvError> {
    let mut rows = Vec::new();
    let mut places: Option<[usize; N]> = None;
    let mut rest = table;
    let mut row = 0;
    while !rest.is_empty() {
        let (fields, after) = record(rest).ok_or(DpvError::Malformed { row })?;
        rest = after;
        match places {
            None => {
                let place = |name: &str| fields.iter().position(|field| field == name);
                let found: Vec<usize> = wanted.iter().filter_map(|name| place(name)).collect();
                places = Some(found.try_into().map_err(|_| DpvError::Malformed { row })?);
            }
            Some(places) => {
                let field = |place: usize| fields.get(place).cloned();
                let picked: Vec<String> = places.into_iter().filter_map(field).collect();
                rows.push(picked.try_into().map_err(|_| DpvError::Malformed { row })?);
            }
        }
        row += 1;
    }
    Ok(rows)
}

/// The fields of the first record, and what follows it.
fn record(text: &str) -> Option<(Vec<String>, &str)> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => {
                let end = rest.find([',', '\n', '\r', '"']).unwrap_or(rest.len());
                let (field, after) = rest.split_at_checked(end)?;
                (field.to_owned(), after)
            }
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None if after.is_empty() => return Some((fields, after)),
            None => {
                let after = after.strip_prefix('\r').unwrap_or(after).strip_prefix('\n')?;
                return Some((fields, after));
            }
        }
    }
}

/// A field behind its opening quote, and what follows its closing one.
fn quoted_field(text: &str) -> Option<(String, &str)> {
    let (mut field, mut rest) = (String::new(), text);
    loop {
        let (part, after) = rest.split_once('"')?;
        field.push_str(part);
        match after.strip_prefix('"') {
            Some(after) => {
                field.push('"');
                rest = after;
            }
            None => return Some((field, after)),
        }
    }
}

const SPECIAL: &str = "#SpecialCategoryPersonalData";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_become_names() {
        for (term, name) in [
            ("Marketing", "dpv:marketing"),
            ("DirectMarketing", "dpv:direct-marketing"),
            ("ImproveInternalCRMProcesses", "dpv:improve-internal-crm-processes"),
            ("DNA", "dpv:dna"),
        ] {
            assert_eq!(name_of("dpv:", term).unwrap().as_str(), name);
        }
        assert_eq!(name_of("dpv:", "Straße"), None);
    }

    #[test]
    fn tables_are_read_as_rfc_4180_has_them() {
        let table = "a,\"b\",c\r\n\"1, 2\",\"say \"\"x\"\"\",\"two\nlines\"\n,,\n";
        let rows = columns(table, ["c", "a", "b"]).unwrap();
        assert_eq!(rows[0], ["two\nlines", "1, 2", "say \"x\""]);
        assert_eq!(rows[1], ["", "", ""]);
        for (table, row) in [("a,b\n", 0), ("a,b,c\n1,2\n", 1), ("a,b,c\n\"1,2,3\n", 1), ("a,b,c\n1\"2,3,4\n", 1)] {
            assert_eq!(columns(table, ["a", "b", "c"]), Err(DpvError::Malformed { row }), "{table:?}");
        }
    }

    #[test]
    fn two_terms_of_one_name_are_refused() {
        let table = "term,iri,hasbroader\nDirectMarketing,x#1,\nDirectMarketing,x#2,\n";
        assert_eq!(Dpv::read(table, &[]), Err(DpvError::DuplicateName { row: 2 }));
        assert_eq!(Dpv::read("term,iri,hasbroader\nä,x#1,\n", &[]), Err(DpvError::Term { row: 1 }));
    }
}
