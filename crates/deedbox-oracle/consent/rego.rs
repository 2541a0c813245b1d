//! §4 of the format page in Rego, `consent.rego`, over a policy and a request as JSON.

use std::collections::{BTreeMap, BTreeSet};

use regorus::{Engine, Value};
use serde_json::{Map, json};

use crate::{
    Asked, Facts, To, World,
    world::{Bounds, Rule},
};

/// A policy in Rego.
pub struct Rego(Engine);

/// A decision: what leaves, by record time; by which permissions; why the rest stays; and what the receiver owes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Decided {
    pub refusal: u64,
    pub released: BTreeSet<(String, u64)>,
    pub determining: BTreeSet<String>,
    pub withheld: BTreeMap<String, u64>,
    pub obligations: BTreeSet<u64>,
    pub retention: Option<u64>,
}

impl Rego {
    /// Takes a policy.
    ///
    /// # Panics
    /// When the engine doesn't take the program.
    #[must_use]
    pub fn new(world: &World) -> Self {
        let mut engine = Engine::new();
        engine.add_policy("consent.rego".to_owned(), PROGRAM.to_owned()).expect("a program");
        engine.add_data(json!({ "world": data(world) }).into()).expect("data");
        Self(engine)
    }

    /// Decides a request, for records of `times`.
    ///
    /// # Panics
    /// When the program errs.
    #[must_use]
    pub fn decide(&mut self, asked: &Asked, facts: &Facts, times: &BTreeSet<u64>) -> Decided {
        self.0.set_input(input(asked, facts, times));
        let decision = self.0.eval_rule("data.consent.decision".to_owned()).expect("a total program");
        let decision = &decision;
        let texts = |value: &Value| value.as_set().expect("a set").iter().map(text).collect();
        let pair = |value: &Value| {
            let pair = value.as_array().expect("a pair");
            (text(&pair[0]), uint(&pair[1]))
        };
        let withheld = decision["withheld"].as_object().expect("an object").iter();
        Decided {
            refusal: uint(&decision["refusal"]),
            released: decision["released"].as_set().expect("a set").iter().map(pair).collect(),
            determining: texts(&decision["determining"]),
            withheld: withheld.map(|(field, reason)| (text(field), uint(reason))).collect(),
            obligations: decision["obligations"].as_set().expect("a set").iter().map(uint).collect(),
            retention: (decision["retention"] != Value::Null).then(|| uint(&decision["retention"])),
        }
    }
}

/// The program.
pub const PROGRAM: &str = include_str!("consent.rego");

/// A policy as the program reads it.
#[must_use]
pub fn data(world: &World) -> serde_json::Value {
    let below: Map<_, _> = world.purposes.keys().map(|name| (name.clone(), json!(world.below_purpose(name)))).collect();
    let field = |(name, field): (&String, &crate::world::Field)| {
        let entry =
            json!({ "above": world.above_field(name), "sensitivity": field.sensitivity, "issuer": field.issuer });
        (name.clone(), entry)
    };
    let cluster = |(name, cluster): (&String, &crate::world::Cluster)| {
        let rosters: Map<_, _> =
            cluster.rosters.iter().map(|(number, members)| (number.to_string(), json!(members))).collect();
        (name.clone(), json!({ "current": cluster.current.to_string(), "rosters": rosters }))
    };
    json!({
        "regime": world.regime,
        "parties": world.parties,
        "below": below,
        "fields": world.fields.iter().map(field).collect::<Map<_, _>>(),
        "clusters": world.clusters.iter().map(cluster).collect::<Map<_, _>>(),
        "mandates": rules(&world.mandates),
        "permissions": rules(&world.permissions),
        "prohibitions": rules(&world.prohibitions),
    })
}

/// A request as the program reads it.
#[must_use]
pub fn input(asked: &Asked, facts: &Facts, times: &BTreeSet<u64>) -> Value {
    let mut ask = Map::new();
    let mut put = |key: &str, value: Option<serde_json::Value>| {
        value.into_iter().for_each(|value| {
            ask.insert(key.to_owned(), value);
        });
    };
    put("purpose", asked.purpose.as_ref().map(|purpose| json!(purpose)));
    put("action", asked.action.map(|action| json!(action)));
    put("basis", asked.basis.map(|basis| json!(basis)));
    put("ground", asked.ground.map(|ground| json!(ground)));
    put("recipient", asked.recipient.as_ref().map(|recipient| json!(recipient)));
    match &asked.fields {
        None => {}
        Some(None) => put("all", Some(json!(true))),
        Some(Some(fields)) => put("fields", Some(json!(fields))),
    }
    let host = json!({
        "party": facts.party,
        "now": facts.now,
        "assurance": facts.assurance,
        "conditions": facts.conditions,
        "uses": facts.uses,
    });
    json!({ "ask": ask, "host": host, "times": times }).into()
}

fn rules(rules: &[Rule]) -> serde_json::Value {
    rules.iter().map(|rule| (rule.id.clone(), document(rule))).collect::<Map<_, _>>().into()
}

fn document(rule: &Rule) -> serde_json::Value {
    let bits = |bits: u64| (0..8).filter(|bit| bits >> bit & 1 == 1).collect::<Vec<u64>>();
    let ends = |Bounds(from, until): Bounds| json!([from, until]);
    let to = match &rule.to {
        To::Anyone => json!({ "anyone": true }),
        To::Cluster(cluster) => json!({ "cluster": cluster }),
        To::Party(party) => json!({ "party": party }),
        To::Roster(cluster, roster) => json!({ "cluster": cluster, "roster": roster.to_string() }),
    };
    json!({
        "rank": rule.rank,
        "to": to,
        "purposes": rule.purposes,
        "actions": rule.actions.map(bits),
        "fields": rule.fields.as_ref().map(|(include, exclude)| json!({ "include": include, "exclude": exclude })),
        "basis": rule.basis,
        "ground": rule.ground,
        "bounds": ends(rule.bounds),
        "retention": rule.retention,
        "assurance": rule.assurance,
        "conditions": rule.conditions,
        "recipients": rule.recipients,
        "limit": rule.limit.map(|(times, per)| json!([times, per])),
        "records": ends(rule.records),
        "obligations": bits(rule.obligations),
        "mandate": rule.mandate,
        "status": rule.status,
    })
}

fn text(value: &Value) -> String {
    value.as_string().expect("text").to_string()
}

fn uint(value: &Value) -> u64 {
    value.as_u64().expect("an unsigned number")
}
