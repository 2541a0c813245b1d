use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::num::NonZeroU32;

use deedbox_cbor::{Item, Writer};
use deedbox_model::Name;

use crate::{
    Cluster, PartyKind, Regime, Roster, RuleError, Selector, Sensitivity, To, VocabularyError,
    codec::{read, read_names, read_opt, to_vec, write_names, write_opt},
};

/// The words that rules and requests may use.
///
/// Purposes and categories form graphs: what is allowed for a purpose is allowed for those below it. Fields lie in
/// categories. Made by [`Vocabulary::builder`] or [`Vocabulary::from_bytes`], and consistent in itself.
///
/// ```cddl
/// vocabulary = { 1: 1, 2: name, 3: version, 4: [regime, table version], 5: {purpose => [* parent]},
///                6: {category => [* parent]}, 7: {field => [[+ category], sensitive 0..2, issuer / null]},
///                8: {party => kind 0..2}, 9: {cluster => [current, {roster => [* party]}]}, 10: [* condition] }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vocabulary {
    name: Name,
    version: u64,
    regime: Regime,
    purposes: Dag,
    categories: Dag,
    fields: BTreeMap<Name, Field>,
    parties: BTreeMap<Name, PartyKind>,
    clusters: BTreeMap<Name, Cluster>,
    conditions: Vec<Name>,
}

/// What a vocabulary says about a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    categories: BTreeSet<Name>,
    sensitivity: Sensitivity,
    issuer: Option<Name>,
}

impl Field {
    /// The categories it lies in directly; at least one.
    #[must_use]
    pub const fn categories(&self) -> &BTreeSet<Name> {
        &self.categories
    }

    /// What the law says about it.
    #[must_use]
    pub const fn sensitivity(&self) -> Sensitivity {
        self.sensitivity
    }

    /// The party whose word it is; only they may change or erase it.
    #[must_use]
    pub const fn issuer(&self) -> Option<&Name> {
        self.issuer.as_ref()
    }
}

impl Vocabulary {
    /// The most bytes of an encoded vocabulary.
    pub const MAX_LEN: usize = 16 << 20;

    /// Starts an empty vocabulary.
    pub fn builder(name: &str, version: u64, regime: Regime) -> VocabularyBuilder {
        VocabularyBuilder {
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

    /// Reads the canonical bytes, at most [`Vocabulary::MAX_LEN`].
    ///
    /// # Errors
    /// Any [`VocabularyError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, VocabularyError> {
        if bytes.len() > Self::MAX_LEN {
            return Err(VocabularyError::TooLarge);
        }
        Self::decode(read(bytes, Self::MAX_LEN).ok_or(VocabularyError::Malformed)?)
    }

    /// The canonical bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        to_vec(|writer| self.encode(writer))
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// Its version.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Which law's table holds.
    #[must_use]
    pub const fn regime(&self) -> Regime {
        self.regime
    }

    /// All fields by name.
    #[must_use]
    pub const fn fields(&self) -> &BTreeMap<Name, Field> {
        &self.fields
    }

    /// All parties by name.
    #[must_use]
    pub const fn parties(&self) -> &BTreeMap<Name, PartyKind> {
        &self.parties
    }

    /// All clusters by name.
    #[must_use]
    pub const fn clusters(&self) -> &BTreeMap<Name, Cluster> {
        &self.clusters
    }

    /// All purposes.
    pub fn purposes(&self) -> impl Iterator<Item = &Name> {
        self.purposes.nodes.keys()
    }

    /// All categories.
    pub fn categories(&self) -> impl Iterator<Item = &Name> {
        self.categories.nodes.keys()
    }

    /// All conditions, in bit order.
    #[must_use]
    pub fn conditions(&self) -> &[Name] {
        &self.conditions
    }

    /// Whether there is such a purpose.
    #[must_use]
    pub fn has_purpose(&self, purpose: &Name) -> bool {
        self.purposes.nodes.contains_key(purpose)
    }

    /// Whether `purpose` is `of` or lies below it.
    #[must_use]
    pub fn is_purpose_within(&self, purpose: &Name, of: &Name) -> bool {
        self.purposes.is_within(purpose, of)
    }

    /// Whether some purpose lies within both.
    #[must_use]
    pub fn purposes_overlap(&self, one: &Name, other: &Name) -> bool {
        self.purposes.nodes.values().any(|node| node.up.contains(one) && node.up.contains(other))
    }

    /// Whether `selector` chooses `field`; no selector chooses a field that is not there.
    #[must_use]
    pub fn covers(&self, selector: &Selector, field: &Name) -> bool {
        let Some(entry) = self.fields.get(field) else { return false };
        let within = |names: &BTreeSet<Name>| {
            names.contains(field)
                || entry
                    .categories
                    .iter()
                    .filter_map(|category| self.categories.nodes.get(category))
                    .any(|node| !node.up.is_disjoint(names))
        };
        within(&selector.include) && !within(&selector.exclude)
    }

    /// Whether a permission `to` names `party` now.
    pub(crate) fn permits(&self, to: &To, party: &Name) -> bool {
        match to {
            To::Party(named) => named == party,
            To::Roster(cluster, roster) => self.clusters.get(cluster).is_some_and(|cluster| {
                cluster.is_on_current(party)
                    && match roster {
                        Roster::Current => true,
                        Roster::Pinned(number) => cluster.is_on(*number, party),
                    }
            }),
            To::Anyone | To::Cluster(_) => false,
        }
    }

    /// Whether `party` stands on one of the two rosters a pinned permission asks for.
    pub(crate) fn permits_in_part(&self, to: &To, party: &Name) -> bool {
        match to {
            To::Roster(cluster, Roster::Pinned(number)) => self
                .clusters
                .get(cluster)
                .is_some_and(|cluster| cluster.is_on_current(party) || cluster.is_on(*number, party)),
            _ => false,
        }
    }

    /// Whether a prohibition `to` names `party`.
    pub(crate) fn prohibits(&self, to: &To, party: &Name) -> bool {
        match to {
            To::Anyone => true,
            To::Cluster(cluster) => self.clusters.get(cluster).is_some_and(|cluster| cluster.is_on_any(party)),
            To::Party(named) => named == party,
            To::Roster(..) => false,
        }
    }

    /// Whether every name in `selector` is a category or a field.
    pub(crate) fn knows_selector(&self, selector: &Selector) -> bool {
        selector.names().all(|name| self.fields.contains_key(name) || self.categories.nodes.contains_key(name))
    }

    /// Whether the party, cluster and roster of `to` are there.
    pub(crate) fn knows_to(&self, to: &To) -> bool {
        match to {
            To::Anyone => true,
            To::Cluster(cluster) | To::Roster(cluster, Roster::Current) => self.clusters.contains_key(cluster),
            To::Party(party) => self.parties.contains_key(party),
            To::Roster(cluster, Roster::Pinned(number)) => {
                self.clusters.get(cluster).is_some_and(|cluster| cluster.rosters.contains_key(number))
            }
        }
    }

    /// Adds a roster, which becomes the current one.
    pub(crate) fn add_roster(
        &mut self,
        cluster: &Name,
        version: NonZeroU32,
        members: BTreeSet<Name>,
    ) -> Result<(), RuleError> {
        if !members.iter().all(|member| self.parties.contains_key(member)) {
            return Err(RuleError::UnknownId);
        }
        let cluster = self.clusters.get_mut(cluster).ok_or(RuleError::UnknownId)?;
        if cluster.rosters.contains_key(&version) {
            return Err(RuleError::DuplicateId);
        }
        if cluster.rosters.len() >= MAX_ROSTERS {
            return Err(RuleError::TooLong);
        }
        cluster.rosters.insert(version, members);
        cluster.current = version;
        Ok(())
    }

    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer.map(|map| {
            map.int(1, |writer| {
                writer.uint(1);
            });
            map.int(2, |writer| self.name.encode(writer));
            map.int(3, |writer| {
                writer.uint(self.version);
            });
            map.int(4, |writer| {
                writer.array(2).uint(u64::from(self.regime.code())).uint(Regime::TABLE_VERSION);
            });
            map.int(5, |writer| self.purposes.encode(writer));
            map.int(6, |writer| self.categories.encode(writer));
            map.int(7, |writer| {
                write_map(writer, &self.fields, |writer, field| {
                    writer.array(3);
                    write_names(writer, &field.categories);
                    writer.uint(u64::from(field.sensitivity.code()));
                    write_opt(writer, field.issuer.as_ref(), |writer, issuer| issuer.encode(writer));
                });
            });
            map.int(8, |writer| {
                write_map(writer, &self.parties, |writer, kind| {
                    writer.uint(u64::from(kind.code()));
                });
            });
            map.int(9, |writer| {
                write_map(writer, &self.clusters, |writer, cluster| {
                    writer.array(2).uint(u64::from(cluster.current.get()));
                    writer.map(|map| {
                        for (number, members) in &cluster.rosters {
                            map.int(i64::from(number.get()), |writer| write_names(writer, members));
                        }
                    });
                });
            });
            map.int(10, |writer| {
                writer.array(self.conditions.len());
                for condition in &self.conditions {
                    condition.encode(writer);
                }
            });
        });
    }

    pub(crate) fn decode(item: Item<'_>) -> Result<Self, VocabularyError> {
        parts(item).ok_or(VocabularyError::Malformed)?.build()
    }
}

/// Collects the parts of a [`Vocabulary`]; faults are told by [`VocabularyBuilder::build`].
#[derive(Debug, Clone)]
#[must_use]
pub struct VocabularyBuilder {
    name: Option<Name>,
    version: u64,
    regime: Regime,
    purposes: BTreeMap<Name, BTreeSet<Name>>,
    categories: BTreeMap<Name, BTreeSet<Name>>,
    fields: BTreeMap<Name, Field>,
    parties: BTreeMap<Name, PartyKind>,
    clusters: BTreeMap<Name, Cluster>,
    conditions: Vec<Name>,
    fault: Option<VocabularyError>,
}

impl VocabularyBuilder {
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
        Ok(Vocabulary {
            name,
            version: self.version,
            regime: self.regime,
            purposes: Dag::new(self.purposes)?,
            categories: Dag::new(self.categories)?,
            fields: self.fields,
            parties: self.parties,
            clusters: self.clusters,
            conditions: self.conditions,
        })
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

/// Nodes with their parents, and for each everything at or above it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Dag {
    nodes: BTreeMap<Name, Node>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Node {
    parents: BTreeSet<Name>,
    /// The node itself and all its ancestors.
    up: BTreeSet<Name>,
}

impl Dag {
    fn new(mut open: BTreeMap<Name, BTreeSet<Name>>) -> Result<Self, VocabularyError> {
        if open.values().flatten().any(|parent| !open.contains_key(parent)) {
            return Err(VocabularyError::UnknownParent);
        }
        let mut nodes: BTreeMap<Name, Node> = BTreeMap::new();
        // INVARIANT: after round k every node of depth up to k is in `nodes`.
        for _ in 0..MAX_DEPTH {
            let ready: Vec<Name> = open
                .iter()
                .filter(|(_, parents)| parents.iter().all(|parent| nodes.contains_key(parent)))
                .map(|(name, _)| name.clone())
                .collect();
            if ready.is_empty() {
                break;
            }
            let mut level = Vec::with_capacity(ready.len());
            for name in ready {
                let parents = open.remove(&name).unwrap_or_default();
                let mut up = BTreeSet::from([name.clone()]);
                for parent in parents.iter().filter_map(|parent| nodes.get(parent)) {
                    up.extend(parent.up.iter().cloned());
                }
                level.push((name, Node { parents, up }));
            }
            nodes.extend(level);
        }
        if open.is_empty() {
            return Ok(Self { nodes });
        }
        let stuck = !open.values().any(|parents| parents.iter().all(|parent| nodes.contains_key(parent)));
        Err(if stuck { VocabularyError::Cycle } else { VocabularyError::TooLarge })
    }

    fn is_within(&self, name: &Name, of: &Name) -> bool {
        self.nodes.get(name).is_some_and(|node| node.up.contains(of))
    }

    fn encode(&self, writer: &mut Writer) {
        write_map(writer, &self.nodes, |writer, node| write_names(writer, &node.parents));
    }
}

fn write_map<T>(writer: &mut Writer, map: &BTreeMap<Name, T>, write: impl Fn(&mut Writer, &T)) {
    writer.map(|entries| {
        for (name, value) in map {
            entries.text(name.as_str(), |writer| write(writer, value));
        }
    });
}

fn read_map<T>(item: Item<'_>, read: impl Fn(Item<'_>) -> Option<T>) -> Option<BTreeMap<Name, T>> {
    item.as_map()?.iter().map(|(name, value)| Some((Name::decode(name)?, read(value)?))).collect()
}

/// The parts as they stand in the bytes; the builder checks that they fit together.
fn parts(item: Item<'_>) -> Option<VocabularyBuilder> {
    let mut map = item.as_map()?.fields();
    if map.required(1)?.as_u64() != Some(1) {
        return None;
    }
    let name = Name::decode(map.required(2)?)?;
    let version = map.required(3)?.as_u64()?;
    let [regime, table] = map.required(4)?.as_array()?.exactly()?;
    if table.as_u64() != Some(Regime::TABLE_VERSION) {
        return None;
    }
    let regime = Regime::from_code(regime.as_u8()?);
    let purposes = read_map(map.required(5)?, read_names)?;
    let categories = read_map(map.required(6)?, read_names)?;
    let fields = read_map(map.required(7)?, |item| {
        let [categories, sensitivity, issuer] = item.as_array()?.exactly()?;
        Some(Field {
            categories: read_names(categories)?,
            sensitivity: Sensitivity::from_code(sensitivity.as_u8()?),
            issuer: read_opt(issuer, Name::decode)?,
        })
    })?;
    let parties = read_map(map.required(8)?, |item| item.as_u8().map(PartyKind::from_code))?;
    let clusters = read_map(map.required(9)?, |item| {
        let [current, rosters] = item.as_array()?.exactly()?;
        let current = NonZeroU32::new(current.as_u32()?)?;
        let rosters = rosters
            .as_map()?
            .iter()
            .map(|(number, members)| Some((NonZeroU32::new(number.as_u32()?)?, read_names(members)?)))
            .collect::<Option<_>>()?;
        Some(Cluster { current, rosters })
    })?;
    let mut conditions = Vec::new();
    for item in map.required(10)?.as_array()?.iter() {
        let condition = Name::decode(item)?;
        if conditions.contains(&condition) || condition.as_str() == BREAK_GLASS && !conditions.is_empty() {
            return None;
        }
        if conditions.len() > MAX_CONDITIONS {
            return None;
        }
        conditions.push(condition);
    }
    map.finish()?;
    let name = Some(name);
    Some(VocabularyBuilder {
        name,
        version,
        regime,
        purposes,
        categories,
        fields,
        parties,
        clusters,
        conditions,
        fault: None,
    })
}

/// The condition of emergencies; the agent vouches for it when glass was broken.
pub(crate) const BREAK_GLASS: &str = "break_glass";

const MAX_NODES: usize = 1024;
const MAX_FIELDS: usize = 65_535;
const MAX_PARTIES: usize = 4096;
const MAX_CLUSTERS: usize = 256;
const MAX_ROSTERS: usize = 64;
const MAX_CONDITIONS: usize = 64;
const MAX_DEPTH: usize = 32;
