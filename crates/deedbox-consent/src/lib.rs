//! What a person lets leave the store, and the evaluator that decides it. Permissions, prohibitions and mandates in a
//! finite language; a decision names each field that may leave and says of each other one why not. Pure: no keys, clock,
//! hashing or I/O.
//!
//! ```
//! use deedbox_consent::{Action, Ask, Basis, Decision, HostFacts, Maker, PartyKind, Permission, Policy, Reason};
//! use deedbox_consent::{Regime, Selector, To, Vocabulary};
//! use deedbox_model::{Name, Timestamp};
//!
//! let name = |text| Name::parse(text);
//! let vocabulary = Vocabulary::builder("health", 1, Regime::EU)
//!     .purpose("care", &[])
//!     .category("contact", &[])
//!     .field("phone", &["contact"])
//!     .field("address", &["contact"])
//!     .party("hospital", PartyKind::PUBLIC)
//!     .build()?;
//! let mut policy = Policy::new(vocabulary);
//! let (from, until) = (Timestamp::from_secs(1_000), Timestamp::from_secs(2_000));
//! let permission = Permission::new(name("p1")?, To::Party(name("hospital")?), name("care")?, Basis::PUBLIC_TASK)
//!     .actions(Action::Read)
//!     .fields(Selector::of([name("contact")?]).except([name("address")?]))
//!     .between(from, until)
//!     .retention(86_400);
//! policy.apply(permission, &Maker::Person)?;
//!
//! let ask = Ask::read(name("care")?, Basis::PUBLIC_TASK, [name("phone")?, name("address")?]);
//! let Decision::Permit(permit) = policy.decide(&ask, &HostFacts::new(name("hospital")?, from)) else { panic!() };
//! assert!(permit.has(&name("phone")?));
//! assert_eq!(permit.withheld().get("address"), Some(&Reason::NoPermission));
//! assert_eq!(permit.stable_until(), Some(until));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Roles
//!
//! The **person** makes rules, or an agent does under a **mandate**; each is signed by its maker, which whoever calls has
//! verified before [`Policy::apply`]. A **party** asks ([`Ask`]); the person's agent adds what it knows itself
//! ([`HostFacts`]) and decides. A [`Permit`] is made by the evaluator only and turns into a [`ReleasePlan`] once. The life
//! of a permission: given, perhaps suspended and resumed, withdrawn, which is for good.
//!
//! # What must never be reused
//!
//! A rule's id, not even a refused rule's: the log names rules by id. A decision after its `stable_until`, or after any
//! change of the policy.
//!
//! # What it does not protect
//!
//! A decision is a value; it protects only where it selects the keys and copies that leave. Withdrawal cannot make unread
//! what was read. Rules say nothing about what a receiver does beyond the duties it signed. Policies are personal data:
//! store them sealed. A basis is asserted by the asker and not proved.
//!
//! # Features
//!
//! `std` (default); `reference`: the evaluator that is the executable specification, as a function; `test-util`: rules and
//! requests for tests. Without `std` the crate needs `alloc` only.
//!
//! The format is specified in `docs/format/consent.md`.
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod analyse;
mod bits;
mod cluster;
mod codec;
mod decision;
mod error;
mod eval;
mod explanation;
mod fields;
mod lists;
mod mandate;
mod permission;
mod policy;
mod prohibition;
mod receipt;
mod regime;
mod release;
mod request;
mod selector;
mod setters;
mod shared;
mod terms;
#[cfg(feature = "test-util")]
pub mod test_util;
mod vocab;

/// The naive evaluator: the format page as a program, for whoever checks another against it.
#[cfg(feature = "reference")]
pub mod reference {
    use crate::{Ask, Decision, HostFacts, Policy};

    /// Decides a request as the format page says, step by step; total.
    pub fn decide(policy: &Policy, ask: &Ask, host: &HostFacts) -> Decision {
        crate::eval::reference::decide(policy, ask, host)
    }
}

pub use analyse::{Access, At, Impact};
pub use cluster::{Cluster, Roster, To};
pub use decision::{Decision, Denial, Outcome, Permit, PersonView, Reason, RequesterView};
pub use error::{CompileError, DecodeError, RuleError, VocabularyError};
pub use eval::Evaluator;
pub use explanation::Explanation;
pub use fields::FieldSet;
pub use lists::{Action, Actions, Obligation, Obligations, Rank};
pub use mandate::Mandate;
pub use permission::{Evidence, EvidenceKind, Limit, Permission};
pub use policy::{Change, Maker, MandateStatus, PermissionStatus, Policy};
pub use prohibition::Prohibition;
pub use receipt::{Receipt, ReceiptDigests, ReceiptKind};
pub use regime::{Basis, Ground, PartyKind, Regime, Sensitivity};
pub use release::ReleasePlan;
pub use request::{Ask, AskedFields, HostFacts};
pub use selector::{Any, Bounds, Selector};
pub use terms::{Agreed, Terms, TermsDiff, terms_diff};
pub use vocab::{Field, Vocabulary, VocabularyBuilder};
