//! Deciding. The one evaluator so far is the executable specification.
use alloc::{sync::Arc, vec::Vec};

use deedbox_model::Name;

use crate::{Access, Ask, At, Change, CompileError, Decision, HostFacts, Impact, Maker, Policy, RuleError, analyse};

pub(crate) mod reference;

pub(crate) use reference::decide;

/// A policy ready to decide: immutable, cheap to clone, shareable between threads.
#[derive(Debug, Clone)]
pub struct Evaluator {
    policy: Arc<Policy>,
}

impl Evaluator {
    pub(crate) fn new(policy: Policy) -> Result<Self, CompileError> {
        let rules = policy.mandates.len() + policy.permissions.len() + policy.prohibitions.len();
        if rules > Policy::MAX_RULES {
            return Err(CompileError::TooLarge { limit: Policy::MAX_RULES });
        }
        Ok(Self { policy: Arc::new(policy) })
    }

    /// The policy it decides by.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Decides a request; total.
    pub fn decide(&self, ask: &Ask, host: &HostFacts) -> Decision {
        decide(&self.policy, ask, host)
    }

    /// Every (party, purpose) that could be allowed `field`.
    #[must_use]
    pub fn who_can_see(&self, field: &Name, at: At) -> Vec<Access> {
        analyse::reach(&self.policy, at, None, Some(field)).into_iter().collect()
    }

    /// Every (purpose, field) that could be allowed to `party`.
    #[must_use]
    pub fn what_can_see(&self, party: &Name, at: At) -> Vec<Access> {
        analyse::reach(&self.policy, at, Some(party), None).into_iter().collect()
    }

    /// What `change`, made by the person, would take away and give.
    ///
    /// # Errors
    /// What [`Policy::apply`] answers.
    pub fn impact(&self, change: impl Into<Change>, at: At) -> Result<Impact, RuleError> {
        let after = self.with(change)?;
        Ok(Impact::between(
            &analyse::reach(&self.policy, at, None, None),
            &analyse::reach(&after.policy, at, None, None),
        ))
    }

    /// An evaluator with `change` made by the person.
    ///
    /// # Errors
    /// What [`Policy::apply`] answers.
    pub fn with(&self, change: impl Into<Change>) -> Result<Self, RuleError> {
        let mut policy = (*self.policy).clone();
        policy.apply(change, &Maker::Person)?;
        Ok(Self { policy: Arc::new(policy) })
    }
}
