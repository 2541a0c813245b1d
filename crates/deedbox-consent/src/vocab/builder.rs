use alloc::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    vec,
    vec::Vec,
};
use core::num::NonZeroU32;

use deedbox_model::Name;

use super::{BREAK_GLASS, Dag, Field, MAX_CONDITIONS, MAX_ROSTERS, Names, Words};
use crate::{Cluster, PartyKind, Regime, Sensitivity, Vocabulary, VocabularyError, bits::Bits};

/// Collects the parts of a [`Vocabulary`]; faults are told by [`VocabularyBuilder::build`].
#[derive(Debug, Clone)]
#[must_use]
pub struct VocabularyBuilder {
    pub(super) name: Option<Name>,
    pub(super) version: u64,
    pub(super) regime: Regime,
    pub(super) purposes: BTreeMap<Name, BTreeSet<Name>>,
    pub(super) categories: BTreeMap<Name, BTreeSet<Name>>,
    pub(super) fields: BTreeMap<Name, Field>,
    pub(super) parties: BTreeMap<Name, PartyKind>,
    pub(super) clusters: BTreeMap<Name, Cluster>,
    pub(super) conditions: Vec<Name>,
    pub(super) fault: Option<VocabularyError>,
}

impl VocabularyBuilder {
    pub(super) fn new(name: &str, version: u64, regime: Regime) -> Self {
        Self {
            name: Name::parse(name).ok(),
            version,
            regime,
            purposes: BTreeMap::new(),
            categories: BTreeMap::new(),
            fields: BTreeMap::new(),
            parties: BTreeMap::new(),
            clusters: BTreeMap::new(),
            conditions: Vec::new(),
            fault: None,
        }
    }

    /// Adds a purpose below `parents`.
    pub fn purpose(mut self, name: &str, parents: &[&str]) -> Self {
        if let (Some(name), Some(parents)) = (self.name_of(name), self.names_of(parents)) {
            let previous = self.purposes.insert(name, parents);
            self.once(previous.is_some());
        }
        self
    }

    /// Adds a category below `parents`.
    pub fn category(mut self, name: &str, parents: &[&str]) -> Self {
        if let (Some(name), Some(parents)) = (self.name_of(name), self.names_of(parents)) {
            let previous = self.categories.insert(name, parents);
            self.once(previous.is_some());
        }
        self
    }

    /// Adds an ordinary field that lies in `categories`.
    pub fn field(self, name: &str, categories: &[&str]) -> Self {
        self.field_with(name, categories, Sensitivity::ORDINARY, None)
    }

    /// Adds a field with all the law and its issuer say.
    pub fn field_with(
        mut self,
        name: &str,
        categories: &[&str],
        sensitivity: Sensitivity,
        issuer: Option<&str>,
    ) -> Self {
        let issuer = issuer.map(|issuer| self.name_of(issuer));
        if let (Some(name), Some(categories)) = (self.name_of(name), self.names_of(categories)) {
            let previous = self.fields.insert(name, Field { categories, sensitivity, issuer: issuer.flatten() });
            self.once(previous.is_some());
        }
        self
    }

    /// Adds a party.
    pub fn party(mut self, name: &str, kind: PartyKind) -> Self {
        if let Some(name) = self.name_of(name) {
            let previous = self.parties.insert(name, kind);
            self.once(previous.is_some());
        }
        self
    }

    /// Whether there is a party of that name so far.
    #[must_use]
    pub fn has_party(&self, name: &Name) -> bool {
        self.parties.contains_key(name)
    }

    /// Adds a cluster with one roster, the current one.
    pub fn cluster(mut self, name: &str, number: NonZeroU32, members: &[&str]) -> Self {
        if let (Some(name), Some(members)) = (self.name_of(name), self.names_of(members)) {
            let cluster = Cluster { current: number, rosters: BTreeMap::from([(number, members)]) };
            let previous = self.clusters.insert(name, cluster);
            self.once(previous.is_some());
        }
        self
    }

    /// Adds a roster to a cluster added before, without making it current.
    pub fn roster(mut self, cluster: &str, number: NonZeroU32, members: &[&str]) -> Self {
        if let (Some(cluster), Some(members)) = (self.name_of(cluster), self.names_of(members)) {
            match self.clusters.get_mut(&cluster) {
                Some(cluster) => {
                    let previous = cluster.rosters.insert(number, members);
                    self.once(previous.is_some());
                }
                None => self.fail(VocabularyError::UnknownParent),
            }
        }
        self
    }

    /// Adds a condition; `break_glass` takes the first place.
    pub fn condition(mut self, name: &str) -> Self {
        if let Some(name) = self.name_of(name) {
            self.once(self.conditions.contains(&name));
            let place = if name.as_str() == BREAK_GLASS { 0 } else { self.conditions.len() };
            self.conditions.insert(place, name);
        }
        self
    }

    /// Checks the whole.
    ///
    /// # Errors
    /// The first fault met while adding, else [`VocabularyError::TooLarge`], `DuplicateName`, `UnknownParent`, `Cycle`,
    /// `Malformed` for a number outside its table or a field in no category.
    pub fn build(self) -> Result<Vocabulary, VocabularyError> {
        let name = self.name.ok_or(VocabularyError::BadName)?;
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let sizes = [
            (self.purposes.len(), MAX_NODES),
            (self.categories.len(), MAX_NODES),
            (self.fields.len(), MAX_FIELDS),
            (self.parties.len(), MAX_PARTIES),
            (self.clusters.len(), MAX_CLUSTERS),
            (self.conditions.len(), MAX_CONDITIONS),
        ];
        let rosters = self.clusters.values().map(|cluster| (cluster.rosters.len(), MAX_ROSTERS));
        if sizes.into_iter().chain(rosters).any(|(size, limit)| size > limit) {
            return Err(VocabularyError::TooLarge);
        }
        if self.fields.keys().any(|field| self.categories.contains_key(field)) {
            return Err(VocabularyError::DuplicateName);
        }
        let known = |names: &BTreeSet<Name>| names.iter().all(|name| self.parties.contains_key(name));
        for field in self.fields.values() {
            if field.categories.is_empty() || !field.sensitivity.is_known() {
                return Err(VocabularyError::Malformed);
            }
            if !field.categories.iter().all(|category| self.categories.contains_key(category))
                || field.issuer.as_ref().is_some_and(|issuer| !self.parties.contains_key(issuer))
            {
                return Err(VocabularyError::UnknownParent);
            }
        }
        for cluster in self.clusters.values() {
            if !cluster.rosters.contains_key(&cluster.current) || !cluster.rosters.values().all(known) {
                return Err(VocabularyError::UnknownParent);
            }
        }
        if !self.regime.is_known() || !self.parties.values().all(|kind| kind.is_known()) {
            return Err(VocabularyError::Malformed);
        }
        let (purposes, categories) = (Dag::new(self.purposes)?, Dag::new(self.categories)?);
        let party_names = Names::new(self.parties.keys());
        let words = Words {
            name,
            version: self.version,
            regime: self.regime,
            field_names: Names::new(self.fields.keys()),
            issued: issued(&party_names, &self.fields),
            kinds: self.parties.values().copied().collect(),
            party_names,
            within: within(&categories, &self.fields),
            every_field: Bits::full(self.fields.len()),
            special: sensitive(&self.fields, Sensitivity::SPECIAL),
            criminal: sensitive(&self.fields, Sensitivity::CRIMINAL),
            overlaps: overlaps(&purposes),
            purposes,
            categories,
            fields: self.fields,
            parties: self.parties,
            conditions: self.conditions,
        };
        Ok(Vocabulary { words: Arc::new(words), clusters: Arc::new(self.clusters) })
    }

    fn name_of(&mut self, name: &str) -> Option<Name> {
        let name = Name::parse(name).ok();
        if name.is_none() {
            self.fail(VocabularyError::BadName);
        }
        name
    }

    fn names_of(&mut self, names: &[&str]) -> Option<BTreeSet<Name>> {
        names.iter().map(|name| self.name_of(name)).collect()
    }

    fn once(&mut self, again: bool) {
        if again {
            self.fail(VocabularyError::DuplicateName);
        }
    }

    fn fail(&mut self, fault: VocabularyError) {
        self.fault.get_or_insert(fault);
    }
}

/// For each category the fields at or below it.
fn within(categories: &Dag, fields: &BTreeMap<Name, Field>) -> Vec<Bits> {
    let count = categories.names().len();
    let mut direct = vec![Bits::new(fields.len()); count];
    for (field, entry) in fields.values().enumerate() {
        for category in entry.categories.iter().filter_map(|category| categories.names().number(category)) {
            if let Some(fields) = direct.get_mut(category) {
                fields.insert(field);
            }
        }
    }
    let below = |category| {
        let mut fields = Bits::new(fields.len());
        let down = categories.down(category).into_iter().flat_map(Bits::iter);
        down.filter_map(|lower| direct.get(lower)).for_each(|more| fields.add(more));
        fields
    };
    (0..count).map(below).collect()
}

/// The fields of a sensitivity.
fn sensitive(fields: &BTreeMap<Name, Field>, sensitivity: Sensitivity) -> Bits {
    let mut bits = Bits::new(fields.len());
    let fields = fields.values().enumerate().filter(|(_, entry)| entry.sensitivity == sensitivity);
    fields.for_each(|(field, _)| bits.insert(field));
    bits
}

/// The fields that have an issuer.
fn issued(parties: &Names, fields: &BTreeMap<Name, Field>) -> Vec<(usize, usize)> {
    let issuers = fields.values().map(|entry| entry.issuer.as_ref().and_then(|issuer| parties.number(issuer)));
    issuers.enumerate().filter_map(|(field, issuer)| Some((field, issuer?))).collect()
}

/// For each purpose those that share a purpose below with it.
fn overlaps(purposes: &Dag) -> Vec<Bits> {
    let count = purposes.names().len();
    let overlapping = |purpose| {
        let mut overlapping = Bits::new(count);
        let down = purposes.down(purpose).into_iter().flat_map(Bits::iter);
        down.filter_map(|lower| purposes.up(lower)).for_each(|more| overlapping.add(more));
        overlapping
    };
    (0..count).map(overlapping).collect()
}

const MAX_NODES: usize = 1024;
const MAX_FIELDS: usize = 65_535;
const MAX_PARTIES: usize = 4096;
const MAX_CLUSTERS: usize = 256;
