//! §4 of the format page in Cedar: rules are policies, words are entities, and each rank is a policy set of its own: its
//! permissions, and the prohibitions of its rank and above, since in Cedar every `forbid` beats every `permit`.

use std::collections::BTreeSet;

use cedar_policy::{
    Authorizer, Context, Decision, Entities, EntityId, EntityTypeName, EntityUid, Policy, PolicyId, PolicySet, Request,
    RestrictedExpression,
};
use serde_json::{Value, json};

use crate::{
    Asked, Facts, To, World,
    world::{Bounds, Rule},
};

/// A policy in Cedar.
pub struct Cedar {
    entities: Entities,
    /// By rank, where there are permissions.
    ranks: Vec<PolicySet>,
}

/// What leaves, by record time, and the permissions that let it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Released {
    pub fields: BTreeSet<(String, u64)>,
    pub determining: BTreeSet<String>,
}

impl Cedar {
    /// Translates a policy.
    ///
    /// # Panics
    /// When Cedar doesn't take what was written for it.
    #[must_use]
    pub fn new(world: &World) -> Self {
        let ranks: BTreeSet<u64> = world.permissions.iter().map(|rule| rule.rank).collect();
        let set = |rank: &u64| {
            let permissions = world.permissions.iter().filter(|rule| rule.rank == *rank);
            policy_set(world, permissions, world.prohibitions.iter().filter(|rule| rule.rank >= *rank))
        };
        Self { entities: entities(world), ranks: ranks.iter().map(set).collect() }
    }

    /// Decides a request for each asked field and each of `times` of its records.
    ///
    /// # Panics
    /// When a policy errs: one that errs is skipped, and a prohibition must not be.
    #[must_use]
    pub fn decide(&self, world: &World, asked: &Asked, facts: &Facts, times: &BTreeSet<u64>) -> Released {
        let mut released = Released::default();
        let Some(fields) = &asked.fields else { return released };
        let fields: Vec<&String> =
            fields.as_ref().map_or_else(|| world.fields.keys().collect(), |list| list.iter().collect());
        for time in times {
            let Some(context) = context(world, asked, facts, *time) else { return released };
            for field in &fields {
                let request = request(asked, facts, field, context.clone());
                for set in &self.ranks {
                    let response = Authorizer::new().is_authorized(&request, set, &self.entities);
                    assert_eq!(response.diagnostics().errors().count(), 0, "{response:?}");
                    if response.decision() == Decision::Allow {
                        released.fields.insert(((*field).clone(), *time));
                        released.determining.extend(response.diagnostics().reason().map(ToString::to_string));
                    }
                }
            }
        }
        released
    }
}

/// Some permissions of one rank and what may overrule them.
///
/// # Panics
/// When Cedar doesn't take what was written for it.
#[must_use]
pub fn policy_set<'a>(
    world: &World,
    permissions: impl Iterator<Item = &'a Rule>,
    prohibitions: impl Iterator<Item = &'a Rule>,
) -> PolicySet {
    let mut texts = vec![("basis".to_owned(), basis(world)), ("issuer".to_owned(), ISSUER.to_owned())];
    texts.extend(permissions.filter(|rule| rule.status == 0).map(|rule| (rule.id.clone(), permit(rule))));
    texts.extend(prohibitions.map(|rule| (rule.id.clone(), forbid(rule))));
    let policy = |(id, text): (String, String)| match Policy::parse(Some(PolicyId::new(id)), &text) {
        Ok(policy) => policy,
        Err(error) => panic!("{error:?} in {text}"),
    };
    PolicySet::from_policies(texts.into_iter().map(policy)).expect("ids are unique")
}

/// A request for one field.
///
/// # Panics
/// Never: there is no schema that it could offend.
#[must_use]
pub fn request(asked: &Asked, facts: &Facts, field: &str, context: Context) -> Request {
    let action = asked.action.map(|action| action.to_string()).unwrap_or_default();
    let (party, action, field) = (uid("Party", &facts.party), uid("Action", &action), uid("Data", field));
    Request::new(party, action, field, context, None).expect("no schema")
}

/// What a request and its host say, for records of one time; none when purpose, action or basis is missing.
///
/// # Panics
/// Never: each key stands once.
#[must_use]
pub fn context(world: &World, asked: &Asked, facts: &Facts, record: u64) -> Option<Context> {
    asked.action?;
    let name = |name: &String| RestrictedExpression::new_string(name.clone());
    let limited = world.permissions.iter().filter(|rule| rule.limit.is_some());
    let used = limited.map(|rule| (rule.id.clone(), long(facts.counted(rule))));
    let mut pairs = vec![
        ("purpose".to_owned(), RestrictedExpression::new_entity_uid(uid("Purpose", asked.purpose.as_ref()?))),
        ("basis".to_owned(), long(asked.basis?)),
        ("now".to_owned(), long(facts.now)),
        ("record".to_owned(), long(record)),
        ("assurance".to_owned(), long(facts.assurance)),
        ("conditions".to_owned(), RestrictedExpression::new_set(facts.conditions.iter().map(name))),
        ("used".to_owned(), RestrictedExpression::new_record(used).expect("ids are unique")),
    ];
    pairs.extend(asked.ground.map(|ground| ("ground".to_owned(), long(ground))));
    let recipient = asked.recipient.as_ref().map(|party| RestrictedExpression::new_entity_uid(uid("Party", party)));
    pairs.extend(recipient.map(|recipient| ("recipient".to_owned(), recipient)));
    Some(Context::from_pairs(pairs).expect("keys are unique"))
}

/// The vocabulary: parties below their rosters, fields below their categories, purposes below their parents.
///
/// # Panics
/// When Cedar doesn't take what was written for it.
#[must_use]
pub fn entities(world: &World) -> Entities {
    let mut all = Vec::new();
    for (party, kind) in &world.parties {
        let mut parents = Vec::new();
        for (name, cluster) in &world.clusters {
            let on: Vec<u64> = cluster
                .rosters
                .iter()
                .filter(|(_, members)| members.contains(party))
                .map(|(number, _)| *number)
                .collect();
            parents.extend(on.iter().map(|number| reference("Roster", &format!("{name}/{number}"))));
            parents.extend(on.contains(&cluster.current).then(|| reference("Current", name)));
            parents.extend((!on.is_empty()).then(|| reference("Cluster", name)));
        }
        all.push(entity("Party", party, &json!({ "kind": kind }), &parents));
    }
    for (field, entry) in &world.fields {
        let mut attributes = json!({ "sensitivity": entry.sensitivity });
        if let Some(issuer) = &entry.issuer {
            attributes["issuer"] = json!({ "__entity": reference("Party", issuer) });
        }
        let parents: Vec<Value> = entry.categories.iter().map(|name| reference("Data", name)).collect();
        all.push(entity("Data", field, &attributes, &parents));
    }
    for (category, parents) in &world.categories {
        let parents: Vec<Value> = parents.iter().map(|name| reference("Data", name)).collect();
        all.push(entity("Data", category, &json!({}), &parents));
    }
    for (purpose, parents) in &world.purposes {
        let below = world.below_purpose(purpose);
        let below: Vec<Value> = below.iter().map(|name| json!({ "__entity": reference("Purpose", name) })).collect();
        let parents: Vec<Value> = parents.iter().map(|name| reference("Purpose", name)).collect();
        all.push(entity("Purpose", purpose, &json!({ "below": below }), &parents));
    }
    for mandate in &world.mandates {
        let Bounds(Some(from), Some(until)) = mandate.bounds else { panic!("a mandate has both bounds") };
        let attributes = json!({ "active": mandate.status == 0, "from": from, "until": until });
        all.push(entity("Mandate", &mandate.id, &attributes, &[]));
    }
    Entities::from_json_value(Value::Array(all), None).expect("entities")
}

fn entity(kind: &str, name: &str, attributes: &Value, parents: &[Value]) -> Value {
    json!({ "uid": reference(kind, name), "attrs": attributes, "parents": parents })
}

fn reference(kind: &str, name: &str) -> Value {
    json!({ "type": kind, "id": name })
}

fn uid(kind: &str, name: &str) -> EntityUid {
    let kind: EntityTypeName = kind.parse().expect("a type");
    EntityUid::from_type_name_and_id(kind, EntityId::new(name))
}

fn long(number: u64) -> RestrictedExpression {
    RestrictedExpression::new_long(number.try_into().expect("below 2^63"))
}

fn permit(rule: &Rule) -> String {
    let (principal, also) = match &rule.to {
        To::Party(party) => (format!("principal == Party::{party:?}"), None),
        To::Roster(cluster, 0) => (format!("principal in Current::{cluster:?}"), None),
        To::Roster(cluster, number) => {
            let pinned = format!("{cluster}/{number}");
            (format!("principal in Roster::{pinned:?}"), Some(format!("principal in Current::{cluster:?}")))
        }
        To::Anyone | To::Cluster(_) => panic!("no permission is for them"),
    };
    let mut when: Vec<String> = also.into_iter().collect();
    // Where one category or field says it, the scope does.
    let (include, exclude) = rule.fields.as_ref().expect("a permission has fields");
    let resource = match include.as_slice() {
        [one] => format!("resource in {}", format_args!("Data::{one:?}")),
        many => {
            when.push(within(many));
            "resource".to_owned()
        }
    };
    if !exclude.is_empty() {
        when.push(format!("!({})", within(exclude)));
    }
    let purposes = rule.purposes.iter().flatten();
    when.extend(purposes.map(|purpose| format!("context.purpose in Purpose::{purpose:?}")));
    when.push(format!("context.basis == {}", rule.basis));
    when.extend(inside("context.now", rule.bounds));
    if let Some(mandate) = &rule.mandate {
        let mandate = format!("Mandate::{mandate:?}");
        when.push(format!("{mandate}.active && {mandate}.from <= context.now && context.now < {mandate}.until"));
    }
    let ground = match rule.ground {
        Some(11) => " || resource.sensitivity == 2 && context has ground && context.ground == 11".to_owned(),
        Some(ground) => {
            format!(" || resource.sensitivity == 1 && context has ground && context.ground == {ground}")
        }
        None => String::new(),
    };
    when.push(format!("(resource.sensitivity == 0 || context.basis == 8{ground})"));
    when.push(format!("context.assurance >= {}", rule.assurance));
    when.push(format!("context.conditions.containsAll({:?})", rule.conditions));
    let recipients: Vec<String> = rule.recipients.iter().map(|party| format!("Party::{party:?}")).collect();
    let listed = format!("context has recipient && [{}].contains(context.recipient)", recipients.join(", "));
    when.push(format!("(action != Action::\"5\" || {listed})"));
    if let Some((times, _)) = rule.limit {
        when.push(format!("context.used[{:?}] < {times}", rule.id));
    }
    when.extend(inside("context.record", rule.records));
    format!("permit({principal}, {}, {resource}) when {{ {} }};", actions(rule), when.join(" && "))
}

fn forbid(rule: &Rule) -> String {
    let mut when = Vec::new();
    let named = match &rule.to {
        To::Anyone => None,
        To::Party(party) => Some(format!("Party::{party:?}")),
        To::Cluster(cluster) => Some(format!("Cluster::{cluster:?}")),
        To::Roster(..) => panic!("no prohibition is for one roster"),
    };
    when.extend(named.map(|named| {
        let recipient = format!("action == Action::\"5\" && context has recipient && context.recipient in {named}");
        format!("(principal in {named} || {recipient})")
    }));
    if let Some((include, exclude)) = &rule.fields {
        when.push(within(include));
        when.push(format!("!({})", within(exclude)));
    }
    if let Some(purposes) = &rule.purposes {
        let overlaps = |purpose| format!("context.purpose.below.containsAny(Purpose::{purpose:?}.below)");
        let overlaps: Vec<String> = purposes.iter().map(overlaps).collect();
        when.push(format!("context.purpose has below && ({})", overlaps.join(" || ")));
    }
    when.extend(inside("context.now", rule.bounds));
    when.extend(rule.mandate.iter().map(|mandate| format!("Mandate::{mandate:?}.from <= context.now")));
    when.extend(inside("context.record", rule.records));
    when.push("true".to_owned());
    format!("forbid(principal, {}, resource) when {{ {} }};", actions(rule), when.join(" && "))
}

/// The table of bases: who may assert which, under which law.
fn basis(world: &World) -> String {
    let recognised = if world.regime == 2 { " || context.basis == 7 && principal.kind == 1" } else { "" };
    format!(
        "forbid(principal, action, resource) unless {{ principal has kind && (\
         context.basis >= 1 && context.basis <= 5 && principal.kind <= 1 || context.basis == 6 && principal.kind == 1 || \
         context.basis == 8 && principal.kind == 2{recognised}) }};"
    )
}

/// Nobody changes or erases another's word.
const ISSUER: &str = r#"forbid(principal, action in [Action::"1", Action::"3"], resource)
    when { resource has issuer && resource.issuer != principal };"#;

fn actions(rule: &Rule) -> String {
    let Some(bits) = rule.actions else { return "action".to_owned() };
    let actions: Vec<String> =
        (0..8).filter(|bit| bits >> bit & 1 == 1).map(|bit| format!("Action::\"{bit}\"")).collect();
    match actions.as_slice() {
        [one] => format!("action == {one}"),
        many => format!("action in [{}]", many.join(", ")),
    }
}

/// Categories and fields share one name space, so they are entities of one type.
fn within(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("Data::{name:?}")).collect();
    format!("resource in [{}]", names.join(", "))
}

fn inside(time: &str, bounds: Bounds) -> Vec<String> {
    let from = bounds.0.map(|from| format!("{from} <= {time}"));
    from.into_iter().chain(bounds.1.map(|until| format!("{time} < {until}"))).collect()
}
