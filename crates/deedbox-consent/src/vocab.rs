use alloc::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    vec::Vec,
};
use core::num::NonZeroU32;

use deedbox_cbor::{Item, Writer};
use deedbox_model::Name;

use crate::{
    Cluster, PartyKind, Regime, Roster, RuleError, Selector, Sensitivity, To, VocabularyError,
    bits::Bits,
    codec::{read, read_names, read_opt, to_vec, write_names, write_opt},
};

mod builder;
mod dag;
mod names;

pub use builder::VocabularyBuilder;
pub(crate) use dag::Dag;
pub(crate) use names::Names;

/// The words that rules and requests may use.
///
/// Purposes and categories form graphs: what is allowed for a purpose is allowed for those below it. Fields lie in
/// categories. Made by [`Vocabulary::builder`] or [`Vocabulary::from_bytes`], and consistent in itself. Clones share
/// their words.
///
/// ```cddl
/// vocabulary = { 1: 1, 2: name, 3: version, 4: [regime, table version], 5: {purpose => [* parent]},
///                6: {category => [* parent]}, 7: {field => [[+ category], sensitive 0..2, issuer / null]},
///                8: {party => kind 0..2}, 9: {cluster => [current, {roster => [* party]}]}, 10: [* condition] }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vocabulary {
    words: Arc<Words>,
    clusters: Arc<BTreeMap<Name, Cluster>>,
}

/// What a vocabulary says about a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    categories: BTreeSet<Name>,
    sensitivity: Sensitivity,
    issuer: Option<Name>,
}

/// All of a vocabulary but its clusters: what no change of a policy touches.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Words {
    name: Name,
    version: u64,
    regime: Regime,
    purposes: Dag,
    categories: Dag,
    fields: BTreeMap<Name, Field>,
    parties: BTreeMap<Name, PartyKind>,
    conditions: Vec<Name>,
    field_names: Names,
    party_names: Names,
    /// For each category the fields at or below it.
    within: Vec<Bits>,
    every_field: Bits,
    special: Bits,
    criminal: Bits,
    /// Fields with their issuers, by number.
    issued: Vec<(usize, usize)>,
    /// By party.
    kinds: Vec<PartyKind>,
    /// For each purpose those that share a purpose below with it.
    overlaps: Vec<Bits>,
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
        VocabularyBuilder::new(name, version, regime)
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
    pub fn name(&self) -> &Name {
        &self.words.name
    }

    /// Its version.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.words.version
    }

    /// Which law's table holds.
    #[must_use]
    pub fn regime(&self) -> Regime {
        self.words.regime
    }

    /// All fields by name.
    #[must_use]
    pub fn fields(&self) -> &BTreeMap<Name, Field> {
        &self.words.fields
    }

    /// All parties by name.
    #[must_use]
    pub fn parties(&self) -> &BTreeMap<Name, PartyKind> {
        &self.words.parties
    }

    /// All clusters by name.
    #[must_use]
    pub fn clusters(&self) -> &BTreeMap<Name, Cluster> {
        &self.clusters
    }

    /// All purposes.
    pub fn purposes(&self) -> impl Iterator<Item = &Name> {
        self.words.purposes.names().iter()
    }

    /// All categories.
    pub fn categories(&self) -> impl Iterator<Item = &Name> {
        self.words.categories.names().iter()
    }

    /// All conditions, in bit order.
    #[must_use]
    pub fn conditions(&self) -> &[Name] {
        &self.words.conditions
    }

    /// Whether there is such a purpose.
    #[must_use]
    pub fn has_purpose(&self, purpose: &Name) -> bool {
        self.words.purposes.has(purpose)
    }

    /// Whether `purpose` is `of` or lies below it.
    #[must_use]
    pub fn is_purpose_within(&self, purpose: &Name, of: &Name) -> bool {
        self.words.purposes.is_within(purpose, of)
    }

    /// Whether some purpose lies within both.
    #[must_use]
    pub fn purposes_overlap(&self, one: &Name, other: &Name) -> bool {
        self.purposes().any(|purpose| self.is_purpose_within(purpose, one) && self.is_purpose_within(purpose, other))
    }

    /// Whether `selector` chooses `field`; no selector chooses a field that is not there.
    #[must_use]
    pub fn covers(&self, selector: &Selector, field: &Name) -> bool {
        let Some(entry) = self.fields().get(field) else { return false };
        let categories = &self.words.categories;
        let within = |names: &BTreeSet<Name>| {
            names.contains(field)
                || names.iter().any(|name| entry.categories.iter().any(|category| categories.is_within(category, name)))
        };
        within(&selector.include) && !within(&selector.exclude)
    }

    pub(crate) const fn words(&self) -> &Arc<Words> {
        &self.words
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
        selector.names().all(|name| self.fields().contains_key(name) || self.words.categories.has(name))
    }

    /// Whether the party, cluster and roster of `to` are there.
    pub(crate) fn knows_to(&self, to: &To) -> bool {
        match to {
            To::Anyone => true,
            To::Cluster(cluster) | To::Roster(cluster, Roster::Current) => self.clusters.contains_key(cluster),
            To::Party(party) => self.parties().contains_key(party),
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
        if !members.iter().all(|member| self.parties().contains_key(member)) {
            return Err(RuleError::UnknownId);
        }
        let rosters = &self.clusters.get(cluster).ok_or(RuleError::UnknownId)?.rosters;
        if rosters.contains_key(&version) {
            return Err(RuleError::DuplicateId);
        }
        if rosters.len() >= MAX_ROSTERS {
            return Err(RuleError::TooLong);
        }
        if let Some(cluster) = Arc::make_mut(&mut self.clusters).get_mut(cluster) {
            cluster.rosters.insert(version, members);
            cluster.current = version;
        }
        Ok(())
    }

    pub(crate) fn encode(&self, writer: &mut Writer) {
        let words = &*self.words;
        writer.map(|map| {
            map.int(1, |writer| {
                writer.uint(1);
            });
            map.int(2, |writer| words.name.encode(writer));
            map.int(3, |writer| {
                writer.uint(words.version);
            });
            map.int(4, |writer| {
                writer.array(2).uint(u64::from(words.regime.code())).uint(Regime::TABLE_VERSION);
            });
            map.int(5, |writer| write_map(writer, words.purposes.parents(), write_names));
            map.int(6, |writer| write_map(writer, words.categories.parents(), write_names));
            map.int(7, |writer| {
                write_map(writer, words.fields.iter(), |writer, field| {
                    writer.array(3);
                    write_names(writer, &field.categories);
                    writer.uint(u64::from(field.sensitivity.code()));
                    write_opt(writer, field.issuer.as_ref(), |writer, issuer| issuer.encode(writer));
                });
            });
            map.int(8, |writer| {
                write_map(writer, words.parties.iter(), |writer, kind| {
                    writer.uint(u64::from(kind.code()));
                });
            });
            map.int(9, |writer| {
                write_map(writer, self.clusters.iter(), |writer, cluster| {
                    writer.array(2).uint(u64::from(cluster.current.get()));
                    writer.map(|map| {
                        for (number, members) in &cluster.rosters {
                            map.int(i64::from(number.get()), |writer| write_names(writer, members));
                        }
                    });
                });
            });
            map.int(10, |writer| {
                writer.array(words.conditions.len());
                for condition in &words.conditions {
                    condition.encode(writer);
                }
            });
        });
    }

    pub(crate) fn decode(item: Item<'_>) -> Result<Self, VocabularyError> {
        parts(item).ok_or(VocabularyError::Malformed)?.build()
    }
}

impl Words {
    pub(crate) const fn fields(&self) -> &Names {
        &self.field_names
    }

    pub(crate) const fn parties(&self) -> &Names {
        &self.party_names
    }

    pub(crate) const fn purposes(&self) -> &Dag {
        &self.purposes
    }

    /// The purposes that share a purpose below with this one.
    pub(crate) fn overlaps(&self, purpose: usize) -> Option<&Bits> {
        self.overlaps.get(purpose)
    }

    pub(crate) const fn every_field(&self) -> &Bits {
        &self.every_field
    }

    /// The fields of a sensitivity that needs a ground.
    pub(crate) const fn sensitive(&self, sensitivity: Sensitivity) -> Option<&Bits> {
        match sensitivity {
            Sensitivity::SPECIAL => Some(&self.special),
            Sensitivity::CRIMINAL => Some(&self.criminal),
            _ => None,
        }
    }

    pub(crate) const fn regime(&self) -> Regime {
        self.regime
    }

    /// What the party of that number is.
    pub(crate) fn kind(&self, party: usize) -> PartyKind {
        self.kinds.get(party).copied().unwrap_or(PartyKind::INDIVIDUAL)
    }

    /// The fields that have an issuer, ascending, with its number as a party.
    pub(crate) fn issued(&self) -> &[(usize, usize)] {
        &self.issued
    }

    /// The fields that `selector` chooses.
    pub(crate) fn select(&self, selector: &Selector) -> Bits {
        let within = |names: &BTreeSet<Name>| {
            let mut fields = Bits::new(self.field_names.len());
            for name in names {
                if let Some(field) = self.field_names.number(name) {
                    fields.insert(field);
                } else if let Some(category) = self.categories.names().number(name) {
                    self.within.get(category).into_iter().for_each(|more| fields.add(more));
                }
            }
            fields
        };
        let mut chosen = within(&selector.include);
        if !selector.exclude.is_empty() {
            chosen.subtract(&within(&selector.exclude));
        }
        chosen
    }

    /// All conditions as bits; `break_glass` only in an emergency.
    pub(crate) fn every_condition(&self, emergency: bool) -> u64 {
        let conditions = self.conditions.iter().filter(|condition| emergency || condition.as_str() != BREAK_GLASS);
        self.condition_bits(conditions)
    }

    /// Conditions as bits; unknown ones are none.
    pub(crate) fn condition_bits<'a>(&self, conditions: impl IntoIterator<Item = &'a Name>) -> u64 {
        let bit = |condition: &Name| {
            self.conditions.iter().zip(0..).find(|(known, _)| *known == condition).map_or(0, |(_, bit)| 1 << bit)
        };
        conditions.into_iter().map(bit).fold(0, |all, bit| all | bit)
    }
}

fn write_map<'a, T: 'a>(
    writer: &mut Writer,
    map: impl Iterator<Item = (&'a Name, &'a T)>,
    write: impl Fn(&mut Writer, &T),
) {
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

const MAX_ROSTERS: usize = 64;
const MAX_CONDITIONS: usize = 64;
