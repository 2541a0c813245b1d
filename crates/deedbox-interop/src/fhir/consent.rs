//! FHIR R4 `Consent` resources as rules. The mapping never permits more than the resource says; what it has no word for is
//! refused by name, and nothing of that resource is taken.
//!
//! - The base is `policyRule`: `OPTOUT` alone prohibits everything to everyone. `OPTIN` gives nothing, since it names neither
//!   recipient nor purpose; a person permits that by a permission of their own.
//! - The root `provision` is an exception to the base (permit under `OPTOUT`, deny under `OPTIN`), unless its `type` says
//!   otherwise. Under `OPTIN` some read an untyped provision as a limit; both readings leave no more than this one.
//! - A denying provision becomes a prohibition for each recipient, or for anyone; what it leaves out means any.
//! - A permitting one becomes a permission by consent for each recipient and purpose; one without recipient is refused, one
//!   without purpose is for the purpose that the caller set, or refused; without action it is to read.
//! - Actors of role `CST` keep the data and say nothing about who gets it. Nested provisions that deny become prohibitions
//!   of their own; nested ones that permit are refused.
//!
//! Rules come as [`Change`]s that a policy may still refuse, under ids made of the resource's: `fhir:` id `.` number.

use std::collections::{BTreeMap, BTreeSet};

use deedbox_consent::{
    Action, Actions, Any, Basis, Bounds, Change, Evidence, EvidenceKind, Permission, Prohibition, Selector, To,
};
use deedbox_model::{Name, Timestamp};

use crate::{
    ImportError, time,
    tree::{self, Node, Tree},
};

/// What the words of a resource mean here.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "written out by callers")]
pub struct Mapping {
    /// Parties by reference, such as `Organization/f001`.
    pub parties: BTreeMap<String, Name>,
    /// Purposes by code of v3-ActReason, such as `ETREAT`.
    pub purposes: BTreeMap<String, Name>,
    /// The purpose of a permitting provision that names none.
    pub default_purpose: Option<Name>,
    /// Fields by the reference of `data`, or by the code of `class` or `code`.
    pub data: BTreeMap<String, Selector>,
    /// The fields of a permitting provision that names none.
    pub all: Selector,
    /// When permissions end that say no end.
    pub until: Timestamp,
    /// How many seconds a receiver may keep what it gets.
    pub retention: u64,
}

/// A resource, and what it became.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mapped {
    /// The resource's id; empty where it has none.
    pub id: String,
    /// The rules, or why there are none.
    pub rules: Result<Vec<Change>, ConsentRefusal>,
}

/// Why a resource became no rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConsentRefusal {
    /// Its id makes no rule's id.
    #[error("the id makes no name")]
    Id,
    /// A nested provision permits.
    #[error("a nested provision permits")]
    NestedPermit,
    /// A permitting provision without `dateTime` or a start.
    #[error("the consent has no date")]
    NoDate,
    /// A permitting provision for a purpose that is not told, and the caller set none.
    #[error("a permission has no purpose")]
    NoPurpose,
    /// A permitting provision to nobody in particular.
    #[error("a permission has no recipient")]
    NoRecipient,
    /// Its status is not `active`.
    #[error("the consent is not active")]
    NotActive,
    /// An opt-in without exception: nothing to take.
    #[error("an opt-in gives nothing by itself")]
    OptInAlone,
    /// A period is no period, or ends before 1970.
    #[error("a period is empty or no period")]
    Period,
    /// Its scope is not `patient-privacy`.
    #[error("the consent is not about privacy")]
    Scope,
    /// An action other than access, collect, correct, disclose.
    #[error("an action is unknown")]
    UnknownAction,
    /// Data that the caller did not map.
    #[error("data is unknown")]
    UnknownData,
    /// A recipient that the caller did not map.
    #[error("a recipient is unknown")]
    UnknownParty,
    /// A base other than `OPTIN` and `OPTOUT`.
    #[error("the policy is unknown")]
    UnknownPolicy,
    /// A purpose that the caller did not map.
    #[error("a purpose is unknown")]
    UnknownPurpose,
    /// An actor that is neither custodian nor recipient.
    #[error("the role of an actor is unknown")]
    UnknownRole,
    /// Something else that narrows a provision, or a shape that FHIR does not have.
    #[error("a provision says what has no meaning here")]
    Unsupported,
}

impl ConsentRefusal {
    /// The variant's name, stable once released.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Id => "Id",
            Self::NestedPermit => "NestedPermit",
            Self::NoDate => "NoDate",
            Self::NoPurpose => "NoPurpose",
            Self::NoRecipient => "NoRecipient",
            Self::NotActive => "NotActive",
            Self::OptInAlone => "OptInAlone",
            Self::Period => "Period",
            Self::Scope => "Scope",
            Self::UnknownAction => "UnknownAction",
            Self::UnknownData => "UnknownData",
            Self::UnknownParty => "UnknownParty",
            Self::UnknownPolicy => "UnknownPolicy",
            Self::UnknownPurpose => "UnknownPurpose",
            Self::UnknownRole => "UnknownRole",
            Self::Unsupported => "Unsupported",
        }
    }
}

/// Maps the `Consent` resources of a document: a bundle's, or the one it is.
///
/// # Errors
/// [`ImportError`] where the document is no JSON.
pub fn map(document: &[u8], mapping: &Mapping) -> Result<Vec<Mapped>, ImportError> {
    let tree = tree::parse(document)?;
    let resources: Vec<&Tree<'_>> = match text(&tree, "resourceType") {
        Some("Bundle") => list(&tree, "entry").into_iter().filter_map(|entry| entry.member("resource")).collect(),
        _ => vec![&tree],
    };
    let consents = resources.into_iter().filter(|resource| text(resource, "resourceType") == Some("Consent"));
    let mapped = consents.map(|consent| Mapped {
        id: text(consent, "id").unwrap_or_default().to_owned(),
        rules: rules(consent, mapping),
    });
    Ok(mapped.collect())
}

fn rules(consent: &Tree<'_>, mapping: &Mapping) -> Result<Vec<Change>, ConsentRefusal> {
    if text(consent, "status") != Some("active") {
        return Err(ConsentRefusal::NotActive);
    }
    if !codes(consent.member("scope")).contains(&"patient-privacy") {
        return Err(ConsentRefusal::Scope);
    }
    let base = match codes(consent.member("policyRule")).as_slice() {
        ["OPTIN"] => Effect::Permit,
        ["OPTOUT"] => Effect::Deny,
        _ => return Err(ConsentRefusal::UnknownPolicy),
    };
    let mut rules = Rules { id: text(consent, "id").unwrap_or_default(), changes: Vec::new() };
    let root = consent.member("provision");
    if let Some(root) = root {
        let provision = Provision::read(root, mapping)?;
        let effect = provision.effect.unwrap_or(if base == Effect::Permit { Effect::Deny } else { Effect::Permit });
        if provision.says_anything() || provision.effect.is_some() {
            match effect {
                Effect::Deny => rules.prohibit(&provision)?,
                Effect::Permit => rules.permit(&provision, text(consent, "dateTime"), mapping)?,
            }
        }
        for nested in list(root, "provision") {
            let nested = Provision::read(nested, mapping)?;
            match nested.effect {
                Some(Effect::Deny) => rules.prohibit(&nested)?,
                Some(Effect::Permit) => return Err(ConsentRefusal::NestedPermit),
                None => return Err(ConsentRefusal::Unsupported),
            }
        }
    }
    match (rules.changes.is_empty(), base) {
        (false, _) => Ok(rules.changes),
        (true, Effect::Permit) => Err(ConsentRefusal::OptInAlone),
        (true, Effect::Deny) => {
            rules.prohibit(&Provision::default())?;
            Ok(rules.changes)
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Deny,
    Permit,
}

/// The conditions of a provision; what is empty or open was not said.
#[derive(Debug, Default)]
struct Provision {
    effect: Option<Effect>,
    recipients: BTreeSet<Name>,
    purposes: BTreeSet<Name>,
    actions: Actions,
    fields: Option<Selector>,
    period: Bounds,
    data_period: Bounds,
}

impl Provision {
    fn read(tree: &Tree<'_>, mapping: &Mapping) -> Result<Self, ConsentRefusal> {
        let Node::Object(members) = &tree.node else { return Err(ConsentRefusal::Unsupported) };
        let mut provision = Self::default();
        for (key, value) in members {
            match key.as_str() {
                "id" | "provision" => {}
                "type" => {
                    provision.effect = Some(match value.text() {
                        Some("deny") => Effect::Deny,
                        Some("permit") => Effect::Permit,
                        _ => return Err(ConsentRefusal::Unsupported),
                    });
                }
                "period" => provision.period = bounds(value)?,
                "dataPeriod" => provision.data_period = bounds(value)?,
                "actor" => {
                    for actor in elements(value)? {
                        provision.recipients.extend(recipient(actor, mapping)?);
                    }
                }
                "action" => {
                    for action in elements(value)? {
                        provision.actions = provision.actions.union(actions(action)?);
                    }
                }
                "purpose" => {
                    for purpose in elements(value)? {
                        let purpose = text(purpose, "code").and_then(|code| mapping.purposes.get(code));
                        provision.purposes.insert(purpose.ok_or(ConsentRefusal::UnknownPurpose)?.clone());
                    }
                }
                "class" | "code" | "data" => {
                    // Two kinds of data together mean what is of both; a selector has no word for that.
                    if provision.fields.replace(data(value, mapping)?).is_some() {
                        return Err(ConsentRefusal::Unsupported);
                    }
                }
                _ => return Err(ConsentRefusal::Unsupported),
            }
        }
        Ok(provision)
    }

    fn says_anything(&self) -> bool {
        let is_bounded = self.period != Bounds::OPEN || self.data_period != Bounds::OPEN;
        let names_anybody = !self.recipients.is_empty() || !self.purposes.is_empty();
        is_bounded || names_anybody || !self.actions.is_empty() || self.fields.is_some()
    }
}

/// The rules of one resource so far.
struct Rules<'a> {
    id: &'a str,
    changes: Vec<Change>,
}

impl Rules<'_> {
    fn next_id(&self) -> Result<Name, ConsentRefusal> {
        let id = Name::escape(self.id).map_err(|_| ConsentRefusal::Id)?;
        Name::parse(&format!("fhir:{id}.{}", self.changes.len())).map_err(|_| ConsentRefusal::Id)
    }

    fn prohibit(&mut self, provision: &Provision) -> Result<(), ConsentRefusal> {
        let to: Vec<To> = match provision.recipients.is_empty() {
            true => vec![To::Anyone],
            false => provision.recipients.iter().cloned().map(To::Party).collect(),
        };
        for to in to {
            let mut prohibition =
                Prohibition::new(self.next_id()?, to).bounds(provision.period).records(provision.data_period);
            if !provision.purposes.is_empty() {
                prohibition.purposes = Any::Only(provision.purposes.clone());
            }
            if !provision.actions.is_empty() {
                prohibition.actions = Any::Only(provision.actions);
            }
            prohibition.fields = provision.fields.clone().map_or(Any::Any, Any::Only);
            self.changes.push(prohibition.into());
        }
        Ok(())
    }

    fn permit(&mut self, provision: &Provision, date: Option<&str>, mapping: &Mapping) -> Result<(), ConsentRefusal> {
        if provision.recipients.is_empty() {
            return Err(ConsentRefusal::NoRecipient);
        }
        let mut purposes = provision.purposes.clone();
        if purposes.is_empty() {
            purposes.insert(mapping.default_purpose.clone().ok_or(ConsentRefusal::NoPurpose)?);
        }
        let given = date.and_then(time::fhir).map(|(first, _)| first);
        let from = provision.period.from.or(given).ok_or(ConsentRefusal::NoDate)?;
        let bounds = Bounds::between(from, provision.period.until.unwrap_or(mapping.until));
        if bounds.is_empty() {
            return Err(ConsentRefusal::Period);
        }
        let mut evidence = Evidence::of(EvidenceKind::PLAIN);
        evidence.time = given;
        for recipient in &provision.recipients {
            for purpose in &purposes {
                let to = To::Party(recipient.clone());
                let mut permission = Permission::new(self.next_id()?, to, purpose.clone(), Basis::CONSENT)
                    .actions(if provision.actions.is_empty() { Action::Read.into() } else { provision.actions })
                    .fields(provision.fields.clone().unwrap_or_else(|| mapping.all.clone()))
                    .retention(mapping.retention)
                    .records(provision.data_period)
                    .evidence(evidence.clone());
                permission.bounds = bounds;
                self.changes.push(permission.into());
            }
        }
        Ok(())
    }
}

/// Who gets the data, if the actor is about that.
fn recipient(actor: &Tree<'_>, mapping: &Mapping) -> Result<Option<Name>, ConsentRefusal> {
    match codes(actor.member("role")).as_slice() {
        ["CST"] => Ok(None),
        ["PRCP" | "IRCP"] => {
            let reference = actor.member("reference").and_then(|reference| text(reference, "reference"));
            let party = reference.and_then(|reference| mapping.parties.get(reference));
            party.cloned().map(Some).ok_or(ConsentRefusal::UnknownParty)
        }
        _ => Err(ConsentRefusal::UnknownRole),
    }
}

fn actions(action: &Tree<'_>) -> Result<Actions, ConsentRefusal> {
    let mut actions = Actions::EMPTY;
    for code in codes(Some(action)) {
        actions = actions.union(match code {
            "access" => Action::Read.into(),
            "collect" => Action::Append.into(),
            "correct" => Action::Write.into(),
            "disclose" => Action::Share.into(),
            _ => return Err(ConsentRefusal::UnknownAction),
        });
    }
    if actions.is_empty() { Err(ConsentRefusal::UnknownAction) } else { Ok(actions) }
}

/// The fields that `class`, `code` or `data` mean together.
fn data(value: &Tree<'_>, mapping: &Mapping) -> Result<Selector, ConsentRefusal> {
    let mut fields = Selector::default();
    for element in elements(value)? {
        let reference = element.member("reference").and_then(|reference| text(reference, "reference"));
        let words: Vec<&str> = match (reference, text(element, "code")) {
            (Some(word), _) | (None, Some(word)) => vec![word],
            (None, None) => codes(Some(element)),
        };
        if words.is_empty() {
            return Err(ConsentRefusal::UnknownData);
        }
        for word in words {
            let selector = mapping.data.get(word).ok_or(ConsentRefusal::UnknownData)?;
            // What one takes out another may choose, so only selectors that take nothing out can be joined.
            if !selector.exclude.is_empty() && !fields.include.is_empty() || !fields.exclude.is_empty() {
                return Err(ConsentRefusal::Unsupported);
            }
            fields.include.extend(selector.include.iter().cloned());
            fields.exclude.extend(selector.exclude.iter().cloned());
        }
    }
    if fields.include.is_empty() { Err(ConsentRefusal::UnknownData) } else { Ok(fields) }
}

/// A `Period`; its end is inside, to the precision it is written with.
fn bounds(period: &Tree<'_>) -> Result<Bounds, ConsentRefusal> {
    let time = |key| match period.member(key) {
        None => Ok(None),
        Some(time) => time.text().and_then(time::fhir).map(Some).ok_or(ConsentRefusal::Period),
    };
    let (start, end) = (time("start")?, time("end")?);
    let bounds = Bounds { from: start.map(|(first, _)| first), until: end.map(|(_, after)| after) };
    let is_over = bounds.until.is_some_and(|until| until.secs() == 0);
    if bounds == Bounds::OPEN || bounds.is_empty() || is_over { Err(ConsentRefusal::Period) } else { Ok(bounds) }
}

/// The codes of a `CodeableConcept`.
fn codes<'t>(concept: Option<&'t Tree<'_>>) -> Vec<&'t str> {
    concept.map_or_else(Vec::new, |concept| {
        list(concept, "coding").into_iter().filter_map(|coding| text(coding, "code")).collect()
    })
}

fn text<'t>(tree: &'t Tree<'_>, key: &str) -> Option<&'t str> {
    tree.member(key)?.text()
}

fn elements<'t, 'd>(tree: &'t Tree<'d>) -> Result<&'t [Tree<'d>], ConsentRefusal> {
    match &tree.node {
        Node::Array(elements) => Ok(elements),
        _ => Err(ConsentRefusal::Unsupported),
    }
}

fn list<'t, 'd>(tree: &'t Tree<'d>, key: &str) -> Vec<&'t Tree<'d>> {
    match tree.member(key).map(|member| &member.node) {
        Some(Node::Array(elements)) => elements.iter().collect(),
        _ => Vec::new(),
    }
}
