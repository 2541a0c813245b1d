//! Decisions in the shapes of the OpenID AuthZEN Authorization API 1.0: evaluation, evaluations, and the three searches.
//!
//! A subject is `{type: "party", id}`, a resource `{type: "field", id}`, an action has one of our names; the context says
//! `purpose`, `basis`, and where needed `ground` and `recipient`. Whatever else a request says, such as a time or how the
//! subject was authenticated, is not read: that the agent knows itself ([`HostFacts`]).
//!
//! An answer to an evaluation goes to the asker, so it says no more than [`RequesterView`]: a field that is not there, one
//! that is sealed and one without permission look alike. Searches are for the person.
//!
//! ```
//! # use deedbox_consent::{Action, Basis, HostFacts, Maker, PartyKind, Permission, Policy, Regime, Selector, To, Vocabulary};
//! # use deedbox_interop::authzen::{self, EvaluationRequest};
//! # use deedbox_model::{Name, Timestamp};
//! # let name = |text| Name::parse(text).unwrap();
//! # let vocabulary = Vocabulary::builder("health", 1, Regime::EU).purpose("care", &[]).category("contact", &[])
//! #     .field("phone", &["contact"]).party("hospital", PartyKind::PUBLIC).build()?;
//! # let mut policy = Policy::new(vocabulary);
//! # let (from, until) = (Timestamp::from_secs(1_000), Timestamp::from_secs(2_000));
//! # policy.apply(Permission::new(name("p1"), To::Party(name("hospital")), name("care"), Basis::PUBLIC_TASK)
//! #     .actions(Action::Read).fields(Selector::of([name("phone")])).between(from, until).retention(60), &Maker::Person)?;
//! let request: EvaluationRequest = serde_json::from_str(r#"{
//!     "subject": {"type": "party", "id": "hospital"}, "action": {"name": "read"},
//!     "resource": {"type": "field", "id": "phone"}, "context": {"purpose": "care", "basis": "public_task"}
//! }"#)?;
//! let host = HostFacts::new(name("hospital"), from);
//! let answer = authzen::evaluate(&policy.compile()?, &request, &host);
//! assert_eq!(serde_json::to_string(&answer)?, r#"{"decision":true,"context":{"obligations":[],"retention":60}}"#);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`RequesterView`]: deedbox_consent::RequesterView

use std::collections::BTreeSet;

use deedbox_consent::{Action, Ask, AskedFields, At, Basis, Evaluator, Ground, HostFacts, Outcome};
use deedbox_model::Name;
use serde::{Deserialize, Serialize};

/// Who or what: a subject or a resource. Its properties are not read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "the shape of the standard")]
pub struct Entity {
    /// `party` or `field`.
    pub r#type: String,
    /// Its name; absent where it is searched for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// What is to be done. Its properties are not read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "the shape of the standard")]
pub struct ActionName {
    /// Such as `read`.
    pub name: String,
}

/// What a request says beside subject, action and resource. Members of other names are not read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Context {
    /// What for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    /// On what basis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis: Option<String>,
    /// On what ground, for sensitive fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ground: Option<String>,
    /// Whom to pass it on to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
}

/// May this subject do this with this resource?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "the shape of the standard")]
pub struct EvaluationRequest {
    /// Who.
    pub subject: Entity,
    /// What.
    pub action: ActionName,
    /// With which field.
    pub resource: Entity,
    /// The rest.
    #[serde(default)]
    pub context: Context,
}

/// The same for several resources in one go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "the shape of the standard")]
pub struct EvaluationsRequest {
    /// Who.
    pub subject: Entity,
    /// What.
    pub action: ActionName,
    /// The rest.
    #[serde(default)]
    pub context: Context,
    /// With which fields.
    pub evaluations: Vec<ResourceOnly>,
}

/// One of several evaluations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "the shape of the standard")]
pub struct ResourceOnly {
    /// Which field.
    pub resource: Entity,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "the shape of the standard")]
pub struct EvaluationResponse {
    /// Whether.
    pub decision: bool,
    /// Under which duties; only with a yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Duties>,
}

/// What the asker owes in return.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "all an asker is told")]
pub struct Duties {
    /// By name.
    pub obligations: Vec<String>,
    /// Seconds it may be kept.
    pub retention: u64,
}

/// The answers, in the order of the evaluations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "the shape of the standard")]
pub struct EvaluationsResponse {
    /// One each.
    pub evaluations: Vec<EvaluationResponse>,
}

/// Which subjects, which resources, or which actions? What is searched for has no id, and an action search no action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "the shape of the standard")]
pub struct SearchRequest {
    /// Who.
    pub subject: Entity,
    /// What.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<ActionName>,
    /// With which field.
    pub resource: Entity,
    /// The rest; only the purpose narrows a search.
    #[serde(default)]
    pub context: Context,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "the shape of the standard")]
pub struct SearchResponse<T> {
    /// Each once, sorted by name.
    pub results: Vec<T>,
}

/// Answers one evaluation.
///
/// A request about another subject than the one the agent is talking to, of other types or with unknown words is answered
/// with no.
#[must_use]
pub fn evaluate(evaluator: &Evaluator, request: &EvaluationRequest, host: &HostFacts) -> EvaluationResponse {
    let EvaluationRequest { subject, action, resource, context } = request;
    let no = EvaluationResponse { decision: false, context: None };
    let Some((mut ask, field)) = ask(subject, action, context, host).zip(named(resource, FIELD)) else { return no };
    ask.fields = Some(AskedFields::These([field].into()));
    let view = evaluator.decide(&ask, host).for_requester();
    if view.outcome != Outcome::Granted {
        return no;
    }
    let obligations = view.obligations.iter().map(|duty| duty.name().to_owned()).collect();
    let duties = Duties { obligations, retention: view.retention.unwrap_or_default() };
    EvaluationResponse { decision: true, context: Some(duties) }
}

/// Answers several evaluations, each by itself: its duties are those of that field.
#[must_use]
pub fn evaluate_all(evaluator: &Evaluator, request: &EvaluationsRequest, host: &HostFacts) -> EvaluationsResponse {
    let EvaluationsRequest { subject, action, context, evaluations } = request;
    let one = |resource: &ResourceOnly| EvaluationRequest {
        subject: subject.clone(),
        action: action.clone(),
        resource: resource.resource.clone(),
        context: context.clone(),
    };
    let evaluations = evaluations.iter().map(|resource| evaluate(evaluator, &one(resource), host)).collect();
    EvaluationsResponse { evaluations }
}

/// Finds the parties that could do this with the field: for the person.
#[must_use]
pub fn search_subjects(evaluator: &Evaluator, request: &SearchRequest, at: At) -> SearchResponse<Entity> {
    let found = (|| {
        let (action, field) = (action(request.action.as_ref()?)?, named(&request.resource, FIELD)?);
        let rows = evaluator.who_can_see(&field, At { action, ..at });
        Some(rows.into_iter().filter(|row| is_for(request, &row.purpose)).map(|row| row.party).collect())
    })();
    entities(PARTY, found.filter(|_| request.subject.r#type == PARTY))
}

/// Finds the fields with which the party could do this: for the person.
#[must_use]
pub fn search_resources(evaluator: &Evaluator, request: &SearchRequest, at: At) -> SearchResponse<Entity> {
    let found = (|| {
        let (action, party) = (action(request.action.as_ref()?)?, named(&request.subject, PARTY)?);
        let rows = evaluator.what_can_see(&party, At { action, ..at });
        Some(rows.into_iter().filter(|row| is_for(request, &row.purpose)).map(|row| row.field).collect())
    })();
    entities(FIELD, found.filter(|_| request.resource.r#type == FIELD))
}

/// Finds what the party could do with the field: for the person.
#[must_use]
pub fn search_actions(evaluator: &Evaluator, request: &SearchRequest, at: At) -> SearchResponse<ActionName> {
    let (party, field) = (named(&request.subject, PARTY), named(&request.resource, FIELD));
    let is_possible = |action: &Action| {
        let rows = field.as_ref().map(|field| evaluator.who_can_see(field, At { action: *action, ..at }));
        rows.into_iter().flatten().any(|row| Some(&row.party) == party.as_ref() && is_for(request, &row.purpose))
    };
    let actions = Action::ALL.iter().copied().filter(is_possible);
    let mut results: Vec<ActionName> = actions.map(|action| ActionName { name: action.name().to_owned() }).collect();
    results.sort_by(|one, other| one.name.cmp(&other.name));
    SearchResponse { results }
}

/// The request as we know it; none where the subject is not the one the agent talks to.
fn ask(subject: &Entity, action_name: &ActionName, context: &Context, host: &HostFacts) -> Option<Ask> {
    if named(subject, PARTY)? != host.party {
        return None;
    }
    let mut ask = Ask::default();
    ask.action = Some(action(action_name)?);
    ask.purpose = Some(Name::parse(context.purpose.as_deref()?).ok()?);
    ask.basis = Some(Basis::from_name(context.basis.as_deref()?)?);
    ask.ground = match &context.ground {
        Some(ground) => Some(Ground::from_name(ground)?),
        None => None,
    };
    ask.recipient = match &context.recipient {
        Some(recipient) => Some(Name::parse(recipient).ok()?),
        None => None,
    };
    Some(ask)
}

fn action(action: &ActionName) -> Option<Action> {
    Action::from_name(&action.name)
}

fn named(entity: &Entity, kind: &str) -> Option<Name> {
    Name::parse(entity.id.as_deref().filter(|_| entity.r#type == kind)?).ok()
}

fn is_for(request: &SearchRequest, purpose: &Name) -> bool {
    request.context.purpose.as_ref().is_none_or(|wanted| wanted == purpose.as_str())
}

fn entities(kind: &str, names: Option<BTreeSet<Name>>) -> SearchResponse<Entity> {
    let entity = |name: Name| Entity { r#type: kind.to_owned(), id: Some(name.to_string()) };
    SearchResponse { results: names.into_iter().flatten().map(entity).collect() }
}

const PARTY: &str = "party";
const FIELD: &str = "field";
