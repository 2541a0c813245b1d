//! Deciding: the compiled index, and beside it the executable specification.
use alloc::{sync::Arc, vec::Vec};

use deedbox_model::Name;

use crate::{
    Access, Ask, At, Change, CompileError, Decision, Explanation, FieldSet, HostFacts, Impact, Maker, Policy,
    RuleError, analyse,
};

mod block;
mod decide;
mod index;
mod question;
mod reach;
#[cfg(feature = "reference")]
pub(crate) mod reference;

pub(crate) use index::Index;

/// A policy ready to decide: immutable, cheap to clone, shareable between threads.
///
/// Every answer is the one that the format page gives for the policy; asking costs little, changing it recompiles only the
/// rules about those it touches.
///
/// ```
/// # use deedbox_consent::{Action, Ask, At, Basis, Change, HostFacts, Maker, PartyKind, Permission, Policy};
/// # use deedbox_consent::{Regime, Selector, To, Vocabulary};
/// # use deedbox_model::{Name, Timestamp};
/// # let name = |text| Name::parse(text).unwrap();
/// # let vocabulary = Vocabulary::builder("health", 1, Regime::EU).purpose("care", &[]).category("contact", &[])
/// #     .field("phone", &["contact"]).party("hospital", PartyKind::PUBLIC).build()?;
/// # let (from, until) = (Timestamp::from_secs(1_000), Timestamp::from_secs(2_000));
/// # let mut policy = Policy::new(vocabulary);
/// # policy.apply(Permission::new(name("p1"), To::Party(name("hospital")), name("care"), Basis::PUBLIC_TASK)
/// #     .actions(Action::Read).fields(Selector::of([name("contact")])).between(from, until).retention(0), &Maker::Person)?;
/// let evaluator = policy.compile()?;
/// let who = evaluator.who_can_see(&name("phone"), At::reading(from));
/// assert_eq!(who.iter().map(|access| access.party.as_str()).collect::<Vec<_>>(), ["hospital"]);
///
/// let impact = evaluator.impact(Change::Withdraw(name("p1")), At::reading(from))?;
/// assert!(impact.erase[&name("hospital")].contains(&name("phone")));
///
/// let mut fields = evaluator.field_set();
/// evaluator.filter(&Ask::read_all(name("care"), Basis::PUBLIC_TASK), &HostFacts::new(name("hospital"), from), &mut fields);
/// assert_eq!(fields.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Evaluator {
    policy: Arc<Policy>,
    index: Index,
}

impl Evaluator {
    pub(crate) fn new(policy: Policy) -> Result<Self, CompileError> {
        let rules = policy.mandates.len() + policy.permissions.len() + policy.prohibitions.len();
        if rules > Policy::MAX_RULES {
            return Err(CompileError::TooLarge { limit: Policy::MAX_RULES });
        }
        let index = Index::new(&policy);
        Ok(Self { policy: Arc::new(policy), index })
    }

    /// The policy it decides by.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Decides a request; total.
    pub fn decide(&self, ask: &Ask, host: &HostFacts) -> Decision {
        self.index.decide(ask, host)
    }

    /// A set for [`Evaluator::filter`] to write to, again and again.
    #[must_use]
    pub fn field_set(&self) -> FieldSet {
        self.index.field_set()
    }

    /// Writes to `out` the fields that would be released if all were asked for; none if the request is refused whole.
    ///
    /// What the request says of fields is not looked at. Nothing is allocated if `out` is of this evaluator.
    pub fn filter(&self, ask: &Ask, host: &HostFacts, out: &mut FieldSet) {
        self.index.filter(ask, host, out);
    }

    /// Whether `field` would be released if it were asked for, for some record at least: for a gate that one field passes at a
    /// time. Whoever wants several asks once, with [`Evaluator::filter`]; whoever releases needs the duties of
    /// [`Evaluator::decide`].
    ///
    /// What the request says of fields is not looked at. Nothing is allocated.
    #[must_use]
    pub fn permits(&self, ask: &Ask, field: &Name, host: &HostFacts) -> bool {
        self.index.permits(ask, field, host)
    }

    /// Says of one field what a decision says, and how it came to that: for the person.
    #[must_use]
    pub fn explain(&self, ask: &Ask, field: &Name, host: &HostFacts) -> Explanation {
        self.index.explain(ask, field, host)
    }

    /// Every (party, purpose) that could be allowed `field`.
    #[must_use]
    pub fn who_can_see(&self, field: &Name, at: At) -> Vec<Access> {
        analyse::who_can_see(&self.index, field, at)
    }

    /// Every (purpose, field) that could be allowed to `party`.
    #[must_use]
    pub fn what_can_see(&self, party: &Name, at: At) -> Vec<Access> {
        analyse::what_can_see(&self.index, party, at)
    }

    /// What `change`, made by the person, would take away and give.
    ///
    /// # Errors
    /// What [`Policy::apply`] answers.
    pub fn impact(&self, change: impl Into<Change>, at: At) -> Result<Impact, RuleError> {
        let change = change.into();
        let after = self.with(change.clone())?;
        Ok(analyse::impact(&self.policy, (&self.index, &after.index), &change, at))
    }

    /// What it would take away and give to decide by `after` instead, whose vocabulary may be another. Dearer than
    /// [`Evaluator::impact`], which knows what a change touches.
    #[must_use]
    pub fn impact_of(&self, after: &Self, at: At) -> Impact {
        analyse::between(&self.index, &after.index, at)
    }

    /// An evaluator with `change` made by the person.
    ///
    /// # Errors
    /// What [`Policy::apply`] answers.
    pub fn with(&self, change: impl Into<Change>) -> Result<Self, RuleError> {
        self.with_by(change, &Maker::Person)
    }

    /// An evaluator with `change` made by `maker`.
    ///
    /// # Errors
    /// What [`Policy::apply`] answers.
    pub fn with_by(&self, change: impl Into<Change>, maker: &Maker) -> Result<Self, RuleError> {
        let change = change.into();
        let mut policy = (*self.policy).clone();
        policy.apply(change.clone(), maker)?;
        let index = self.index.with(&self.policy, &policy, &change);
        Ok(Self { policy: Arc::new(policy), index })
    }
}

/// How long an emergency may count as unchanged.
const EMERGENCY_SECS: u64 = 14_400;
