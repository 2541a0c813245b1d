//! A policy, a request and what the host knows, as the format page lays out their bytes.

use std::collections::{BTreeMap, BTreeSet};

use ciborium::Value;

/// A graph: each name with its parents.
pub type Dag = BTreeMap<String, Vec<String>>;

/// A policy with its vocabulary.
#[derive(Debug, Default)]
pub struct World {
    pub regime: u64,
    pub purposes: Dag,
    pub categories: Dag,
    pub fields: BTreeMap<String, Field>,
    pub parties: BTreeMap<String, u64>,
    pub clusters: BTreeMap<String, Cluster>,
    pub mandates: Vec<Rule>,
    pub permissions: Vec<Rule>,
    pub prohibitions: Vec<Rule>,
}

/// What a field lies in, 0 ordinary, 1 special or 2 criminal, and whose word it is.
#[derive(Debug, Clone)]
pub struct Field {
    pub categories: Vec<String>,
    pub sensitivity: u64,
    pub issuer: Option<String>,
}

/// Numbered lists of parties.
#[derive(Debug, Clone)]
pub struct Cluster {
    pub current: u64,
    pub rosters: BTreeMap<u64, Vec<String>>,
}

/// A mandate, a permission or a prohibition; what its kind does not have stays as it is by default.
#[derive(Debug, Default, Clone)]
pub struct Rule {
    pub id: String,
    pub rank: u64,
    pub to: To,
    /// None is any.
    pub purposes: Option<Vec<String>>,
    /// As bits; none is any.
    pub actions: Option<u64>,
    /// Included, excluded; none is any.
    pub fields: Option<(Vec<String>, Vec<String>)>,
    pub basis: u64,
    pub ground: Option<u64>,
    pub bounds: Bounds,
    pub retention: u64,
    pub assurance: u64,
    pub conditions: Vec<String>,
    pub recipients: Vec<String>,
    /// Times, per.
    pub limit: Option<(u64, Option<u64>)>,
    pub records: Bounds,
    pub obligations: u64,
    pub mandate: Option<String>,
    pub status: u64,
}

/// Whom a rule names.
#[derive(Debug, Default, Clone, PartialEq)]
pub enum To {
    #[default]
    Anyone,
    Cluster(String),
    Party(String),
    /// The cluster and the roster, 0 for the current one.
    Roster(String, u64),
}

/// From, until.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct Bounds(pub Option<u64>, pub Option<u64>);

/// A request.
#[derive(Debug, Default)]
pub struct Asked {
    pub purpose: Option<String>,
    pub action: Option<u64>,
    pub basis: Option<u64>,
    pub ground: Option<u64>,
    /// The inner none is all.
    pub fields: Option<Option<Vec<String>>>,
    pub recipient: Option<String>,
}

/// What the host knows.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    pub party: String,
    pub now: u64,
    pub assurance: u64,
    pub conditions: Vec<String>,
    pub uses: BTreeMap<String, Vec<u64>>,
}

impl World {
    /// Reads a policy.
    ///
    /// # Panics
    /// On anything that is no policy: it was just written.
    #[must_use]
    pub fn read(policy: &[u8]) -> Self {
        let policy = array(parse(policy));
        let [format, vocabulary, mandates, permissions, prohibitions, statuses] =
            <[Value; 6]>::try_from(policy).expect("six parts");
        assert_eq!(uint(&format), 1);
        let mut world = Self::words(vocabulary);
        let rules = |list: Value, read: fn(Map) -> Rule| array(list).into_iter().map(Map::of).map(read).collect();
        world.mandates = rules(mandates, mandate);
        world.permissions = rules(permissions, permission);
        world.prohibitions = rules(prohibitions, prohibition);
        for (id, status) in pairs(statuses) {
            let mut rules = world.mandates.iter_mut().chain(&mut world.permissions);
            rules.find(|rule| rule.id == text(&id)).expect("a rule").status = uint(&status);
        }
        world
    }

    fn words(vocabulary: Value) -> Self {
        let mut map = Map::of(vocabulary);
        let field = |value: Value| {
            let [categories, sensitivity, issuer] = <[Value; 3]>::try_from(array(value)).expect("a field");
            let issuer = (!issuer.is_null()).then(|| text(&issuer));
            Field { categories: texts(categories), sensitivity: uint(&sensitivity), issuer }
        };
        let cluster = |value: Value| {
            let [current, rosters] = <[Value; 2]>::try_from(array(value)).expect("a cluster");
            let rosters = pairs(rosters).map(|(number, members)| (uint(&number), texts(members))).collect();
            Cluster { current: uint(&current), rosters }
        };
        Self {
            regime: uint(&array(map.need(4))[0]),
            purposes: named(map.need(5), texts),
            categories: named(map.need(6), texts),
            fields: named(map.need(7), field),
            parties: named(map.need(8), |kind| uint(&kind)),
            clusters: named(map.need(9), cluster),
            ..Self::default()
        }
    }

    /// What matters when `party` asks for `field`: the best slice there is without deciding.
    #[must_use]
    pub fn slice(&self, party: &str, field: &str) -> Self {
        let above = self.above_field(field);
        let chooses = |rule: &&Rule| {
            let Some((include, exclude)) = &rule.fields else { return true };
            include.iter().any(|name| above.contains(name)) && !exclude.iter().any(|name| above.contains(name))
        };
        let names = |rule: &&Rule| match &rule.to {
            To::Anyone => true,
            To::Party(named) => named == party,
            To::Cluster(cluster) | To::Roster(cluster, _) => {
                self.clusters[cluster].rosters.values().flatten().any(|member| member == party)
            }
        };
        let rules = |rules: &[Rule]| rules.iter().filter(names).filter(chooses).cloned().collect();
        let fields = self.fields.iter().filter(|(name, _)| *name == field);
        Self {
            regime: self.regime,
            purposes: self.purposes.clone(),
            categories: self.categories.clone(),
            fields: fields.map(|(name, field)| (name.clone(), field.clone())).collect(),
            parties: self.parties.clone(),
            clusters: self.clusters.clone(),
            mandates: self.mandates.clone(),
            permissions: rules(&self.permissions),
            prohibitions: rules(&self.prohibitions),
        }
    }

    /// A field and everything it lies in.
    #[must_use]
    pub fn above_field(&self, field: &str) -> BTreeSet<String> {
        let mut above = BTreeSet::from([field.to_owned()]);
        let mut next = self.fields.get(field).map(|field| field.categories.clone()).unwrap_or_default();
        while let Some(category) = next.pop() {
            next.extend(self.categories[&category].iter().cloned());
            above.insert(category);
        }
        above
    }

    /// A purpose and everything below it.
    #[must_use]
    pub fn below_purpose(&self, purpose: &str) -> BTreeSet<String> {
        let mut below = BTreeSet::from([purpose.to_owned()]);
        loop {
            let is_new = |(name, parents): &(&String, &Vec<String>)| {
                !below.contains(*name) && parents.iter().any(|p| below.contains(p))
            };
            let more: Vec<String> = self.purposes.iter().filter(is_new).map(|(name, _)| name.clone()).collect();
            if more.is_empty() {
                return below;
            }
            below.extend(more);
        }
    }

    /// Record times of which one lies in every stretch between the rules' bounds: each bound, the second before it, and 0.
    #[must_use]
    pub fn record_times(&self) -> BTreeSet<u64> {
        let rules = self.permissions.iter().chain(&self.prohibitions);
        let bounds = rules.flat_map(|rule| [rule.records.0, rule.records.1]).flatten();
        bounds.flat_map(|bound| [bound.saturating_sub(1), bound]).chain([0]).collect()
    }
}

impl Asked {
    /// Reads a request.
    #[must_use]
    pub fn read(ask: &[u8]) -> Self {
        let mut map = Map::of(parse(ask));
        Self {
            purpose: map.take(1).map(|value| text(&value)),
            action: map.take(2).map(|value| uint(&value)),
            basis: map.take(3).map(|value| uint(&value)),
            ground: map.take(4).map(|value| uint(&value)),
            fields: map.take(5).map(|value| (!value.is_null()).then(|| texts(value))),
            recipient: map.take(6).map(|value| text(&value)),
        }
    }

    /// Whether it asks to share.
    #[must_use]
    pub fn shares(&self) -> bool {
        self.action == Some(5)
    }
}

impl Facts {
    /// How many uses of a permission count against its limit.
    #[must_use]
    pub fn counted(&self, rule: &Rule) -> u64 {
        let per = rule.limit.and_then(|(_, per)| per);
        let uses = self.uses.get(&rule.id).map(Vec::as_slice).unwrap_or_default();
        // 13: u with now − u < per; a u ahead of now counts.
        let counts = |used: &&u64| per.is_none_or(|per| self.now < per.saturating_add(**used));
        uses.iter().filter(counts).count() as u64
    }
}

fn permission(mut map: Map) -> Rule {
    let mut rule = Rule {
        id: text(&map.need(1)),
        rank: uint(&map.need(2)),
        to: to(map.need(3)),
        purposes: Some(vec![text(&map.need(4))]),
        actions: Some(uint(&map.need(5))),
        fields: Some(selector(map.need(6))),
        basis: uint(&map.need(7)),
        ground: map.take(8).map(|value| uint(&value)),
        bounds: bounds(map.take(9)),
        retention: map.take(10).map(|value| uint(&value)).expect("an accepted permission has one"),
        assurance: map.take(11).map_or(0, |value| uint(&value)),
        conditions: map.take(12).map(texts).unwrap_or_default(),
        recipients: map.take(13).map(texts).unwrap_or_default(),
        ..Rule::default()
    };
    rule.limit = map.take(14).map(|limit| {
        let limit = array(limit);
        (uint(&limit[0]), (!limit[1].is_null()).then(|| uint(&limit[1])))
    });
    rule.records = bounds(map.take(15));
    rule.obligations = map.take(16).map_or(0, |value| uint(&value));
    rule.mandate = map.take(18).map(|value| text(&value));
    rule
}

fn prohibition(mut map: Map) -> Rule {
    let any = |value: Value| (!value.is_null()).then_some(value);
    Rule {
        id: text(&map.need(1)),
        rank: uint(&map.need(2)),
        to: to(map.need(3)),
        purposes: any(map.need(4)).map(texts),
        actions: any(map.need(5)).map(|value| uint(&value)),
        fields: any(map.need(6)).map(selector),
        bounds: bounds(map.take(7)),
        records: bounds(map.take(8)),
        mandate: map.take(9).map(|value| text(&value)),
        ..Rule::default()
    }
}

/// What decisions depend on: the rest of a mandate was looked at when rules were made under it.
fn mandate(mut map: Map) -> Rule {
    Rule { id: text(&map.need(1)), bounds: bounds(map.take(7)), ..Rule::default() }
}

fn to(value: Value) -> To {
    if value.is_null() {
        return To::Anyone;
    }
    let parts = array(value);
    match (uint(&parts[0]), parts.len()) {
        (0, 2) => To::Party(text(&parts[1])),
        (1, 2) => To::Cluster(text(&parts[1])),
        (1, 3) => To::Roster(text(&parts[1]), uint(&parts[2])),
        _ => panic!("no addressee"),
    }
}

fn bounds(value: Option<Value>) -> Bounds {
    let Some(value) = value else { return Bounds(None, None) };
    let ends: Vec<Option<u64>> = array(value).iter().map(|end| (!end.is_null()).then(|| uint(end))).collect();
    Bounds(ends[0], ends[1])
}

fn selector(value: Value) -> (Vec<String>, Vec<String>) {
    let [include, exclude] = <[Value; 2]>::try_from(array(value)).expect("a selector");
    (texts(include), texts(exclude))
}

/// A map with integer keys.
struct Map(BTreeMap<u64, Value>);

impl Map {
    fn of(value: Value) -> Self {
        Self(pairs(value).map(|(key, value)| (uint(&key), value)).collect())
    }

    fn take(&mut self, key: u64) -> Option<Value> {
        self.0.remove(&key)
    }

    fn need(&mut self, key: u64) -> Value {
        self.take(key).expect("a key that is always there")
    }
}

fn parse(bytes: &[u8]) -> Value {
    ciborium::from_reader(bytes).expect("CBOR")
}

fn array(value: Value) -> Vec<Value> {
    value.into_array().expect("an array")
}

fn pairs(value: Value) -> impl Iterator<Item = (Value, Value)> {
    value.into_map().expect("a map").into_iter()
}

fn named<T>(value: Value, read: impl Fn(Value) -> T) -> BTreeMap<String, T> {
    pairs(value).map(|(name, value)| (text(&name), read(value))).collect()
}

fn texts(value: Value) -> Vec<String> {
    array(value).iter().map(text).collect()
}

fn text(value: &Value) -> String {
    value.as_text().expect("text").to_owned()
}

fn uint(value: &Value) -> u64 {
    value.as_integer().and_then(|number| number.try_into().ok()).expect("an unsigned number")
}
