//! For tests only: a small world in which everything the language has can happen, and rules, policies, changes and requests
//! drawn from bytes; and a large one that speed is measured on.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::missing_panics_doc, reason = "for tests")]

use alloc::{collections::BTreeSet, format, vec::Vec};
use core::num::NonZeroU32;

use deedbox_model::{Assurance, Name, Timestamp};

use crate::{
    Action, Actions, Ask, AskedFields, At, Basis, Bounds, Change, Decision, Evidence, EvidenceKind, Ground, HostFacts,
    Maker, Mandate, MandateStatus, Obligation, Obligations, PartyKind, Permission, PermissionStatus, Policy,
    Prohibition, Rank, Regime, Roster, Selector, Sensitivity, To, Vocabulary, reference, vocab::BREAK_GLASS,
};

mod workload;

pub use workload::{Size, TODAY, workload};

/// The purposes.
pub const PURPOSES: [&str; 5] = ["care", "direct", "social", "urgent", "research"];
/// The parents of each: `urgent` has two.
pub const PARENTS: [&[&str]; 5] = [&[], &["care"], &["care"], &["direct", "social"], &[]];
/// The fields.
pub const FIELDS: [&str; 4] = ["phone", "address", "notes", "award"];
/// The categories of each; `post` lies below `contact`.
pub const WITHIN: [&[&str]; 4] = [&["post"], &["contact"], &["health"], &["post", "health"]];
/// The parties.
pub const PARTIES: [&str; 3] = ["hospital", "charity", "daughter"];
/// What selectors choose from.
pub const CHOICES: [&str; 7] = ["contact", "post", "health", "phone", "address", "notes", "award"];

/// A name.
#[must_use]
pub fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// A time.
#[must_use]
pub const fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(secs)
}

/// A roster's number.
#[must_use]
pub fn roster(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

/// The world's words. `notes` is special, `award` criminal and the hospital's word; `team` has two rosters.
#[must_use]
pub fn vocabulary() -> Vocabulary {
    let mut builder = Vocabulary::builder("world", 1, Regime::UK);
    for (purpose, parents) in PURPOSES.iter().zip(PARENTS) {
        builder = builder.purpose(purpose, parents);
    }
    builder = builder.category("contact", &[]).category("post", &["contact"]).category("health", &[]);
    builder
        .field("phone", WITHIN[0])
        .field("address", WITHIN[1])
        .field_with("notes", WITHIN[2], Sensitivity::SPECIAL, None)
        .field_with("award", WITHIN[3], Sensitivity::CRIMINAL, Some("hospital"))
        .party("hospital", PartyKind::PUBLIC)
        .party("charity", PartyKind::PRIVATE)
        .party("daughter", PartyKind::INDIVIDUAL)
        .cluster("team", roster(2), &["hospital", "daughter"])
        .roster("team", roster(1), &["hospital", "charity"])
        .condition("break_glass")
        .condition("on_duty")
        .build()
        .unwrap()
}

/// Draws choices from bytes; after their end everything is the first choice.
#[derive(Debug, Clone)]
pub struct Draw<'a>(core::slice::Iter<'a, u8>);

impl<'a> Draw<'a> {
    /// Starts with the first of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes.iter())
    }

    /// A number below `count`.
    pub fn below(&mut self, count: usize) -> usize {
        usize::from(*self.0.next().unwrap_or(&0)) % count
    }

    /// One of `choices`.
    pub fn one<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }

    fn some<T: Clone>(&mut self, choices: &[T]) -> Vec<T> {
        let bits = self.below(256);
        choices.iter().enumerate().filter(|(index, _)| bits >> index & 1 == 1).map(|(_, item)| item.clone()).collect()
    }

    fn secs(&mut self, steps: usize, step: u64) -> u64 {
        u64::try_from(self.below(steps)).unwrap() * step
    }

    fn names(&mut self, choices: &[&str]) -> BTreeSet<Name> {
        self.some(choices).into_iter().map(name).collect()
    }

    fn selector(&mut self) -> Selector {
        let mut include = self.names(&CHOICES);
        include.insert(name(self.one(&CHOICES)));
        let exclude = if self.below(2) == 0 { BTreeSet::new() } else { [name(self.one(&CHOICES))].into() };
        Selector::of(include).except(exclude)
    }

    fn party(&mut self) -> Name {
        name(self.one(&["hospital", "hospital", "hospital", "charity", "daughter"]))
    }

    fn purpose(&mut self) -> Name {
        name(self.one(&["care", "direct", "direct", "urgent", "social", "research"]))
    }

    fn basis(&mut self) -> Basis {
        let task = Basis::PUBLIC_TASK;
        self.one(&[task, task, task, Basis::CONSENT, Basis::HOUSEHOLD, Basis::LEGITIMATE_INTERESTS])
    }

    fn actions(&mut self) -> Actions {
        self.one(&[
            Action::Read.into(),
            [Action::Read, Action::Share].into(),
            [Action::Write, Action::Read].into(),
            Actions::ALL,
        ])
    }

    fn bounds(&mut self) -> Bounds {
        let from = self.one(&[0, 0, 0, 10, 20, 40]);
        Bounds::between(at(from), at(from + 10 + self.secs(8, 15)))
    }

    fn open_bounds(&mut self) -> Bounds {
        let mut bounds = self.bounds();
        match self.below(4) {
            0 => bounds.from = None,
            1 => bounds.until = None,
            2 => bounds = Bounds::OPEN,
            _ => {}
        }
        bounds
    }

    /// An acceptable permission, if the mandate `m1` is there.
    pub fn permission(&mut self, id: &str) -> Permission {
        let to = match self.below(6) {
            0 => To::Roster(name("team"), Roster::Pinned(roster(1))),
            1 => To::Roster(name("team"), Roster::Pinned(roster(2))),
            2 => To::Roster(name("team"), Roster::Current),
            _ => To::Party(self.party()),
        };
        let mut basis = self.basis();
        if to == To::Roster(name("team"), Roster::Current) && basis == Basis::CONSENT {
            basis = Basis::PUBLIC_TASK;
        }
        let mut permission = Permission::new(name(id), to, self.purpose(), basis)
            .actions(self.actions())
            .fields(self.selector())
            .retention(self.secs(200, 1))
            .evidence(Evidence::of(EvidenceKind::EXPLICIT));
        permission.bounds = self.bounds();
        permission.ground =
            self.one(&[None, Some(Ground::CARE), Some(Ground::CRIMINAL), Some(Ground::EXPLICIT_CONSENT)]);
        permission.assurance = self.one(&[0, 0, 0, 0, 2, 4]);
        permission.recipients = self.names(&PARTIES);
        if self.below(5) == 0 {
            permission = permission.limit(self.secs(3, 1) + 1, self.one(&[None, Some(15), Some(40)]));
        }
        if self.below(3) == 0 {
            permission.records = self.open_bounds();
        }
        permission.obligations = self.some(Obligation::ALL).into_iter().collect();
        match self.below(12) {
            0 => {
                permission.rank = Rank::EMERGENCY;
                permission.conditions = [name("break_glass")].into();
                permission.obligations = Obligations::ALL;
            }
            1 => permission.rank = Rank::TEMPLATE,
            2 => {
                permission.rank = Rank::DELEGATE;
                permission.mandate = Some(name("m1"));
            }
            3 => permission.conditions = [name("on_duty")].into(),
            _ => {}
        }
        permission
    }

    /// An acceptable prohibition, if the mandate `m1` is there.
    pub fn prohibition(&mut self, id: &str) -> Prohibition {
        let to = match self.below(8) {
            0 => To::Anyone,
            1 => To::Cluster(name("team")),
            _ => To::Party(self.party()),
        };
        let mut prohibition = Prohibition::new(name(id), to);
        if self.below(2) == 0 {
            prohibition = prohibition.purposes([self.purpose()]);
        }
        if self.below(2) == 0 {
            prohibition = prohibition.actions(self.actions());
        }
        if self.below(8) > 0 {
            prohibition = prohibition.fields(Selector::of([name(self.one(&CHOICES))]));
        }
        if self.below(2) == 0 {
            prohibition.bounds = self.open_bounds();
        }
        if self.below(3) == 0 {
            prohibition.records = self.open_bounds();
        }
        match self.below(6) {
            0 => prohibition.rank = Rank::SEAL,
            1 => prohibition.rank = Rank::TEMPLATE,
            2 => {
                prohibition.rank = Rank::DELEGATE;
                prohibition.mandate = Some(name("m1"));
            }
            _ => {}
        }
        prohibition
    }

    /// The mandate `m1`.
    pub fn mandate(&mut self) -> Mandate {
        let mut mandate = Mandate::new(name("m1"), name("daughter"), Rank::PERSON);
        mandate.bounds = self.bounds();
        mandate
    }

    /// A policy of the mandate, permissions `p0` … and prohibitions `d0` …, seven together at most, with any statuses.
    pub fn policy(&mut self) -> Policy {
        let mut policy = Policy::new(vocabulary());
        let mut apply = |change: Change| policy.apply(change, &Maker::Person).unwrap();
        apply(self.mandate().into());
        for index in 0..self.below(8) {
            match self.below(3) {
                0 | 1 => apply(self.permission(&format!("p{index}")).into()),
                _ => apply(self.prohibition(&format!("d{index}")).into()),
            }
        }
        for _ in 0..self.below(3) {
            let id = name(&format!("p{}", self.below(4)));
            let change = if self.below(2) == 0 { Change::Suspend(id) } else { Change::Withdraw(id) };
            // Refused where there is no such permission.
            let _ = policy.apply(change, &Maker::Person);
        }
        if self.below(8) == 7 {
            policy.apply(Change::EndMandate(name("m1")), &Maker::Person).unwrap();
        }
        policy
    }

    /// A change that `policy` takes, or refuses; a new rule is called `id`.
    pub fn change(&mut self, policy: &Policy, id: &str) -> Change {
        let permissions: Vec<Name> = policy.permissions().map(|(permission, _)| permission.id.clone()).collect();
        let prohibitions: Vec<Name> = policy.prohibitions().map(|prohibition| prohibition.id.clone()).collect();
        let (permissions, prohibitions) = if permissions.is_empty() || prohibitions.is_empty() {
            (Vec::from([name("p0")]), Vec::from([name("d0")]))
        } else {
            (permissions, prohibitions)
        };
        match self.below(12) {
            0 => Change::Suspend(self.one(&permissions)),
            1 => Change::Resume(self.one(&permissions)),
            2 | 3 => Change::Withdraw(self.one(&permissions)),
            4 => Change::Lift(self.one(&prohibitions)),
            5 => Change::EndMandate(name("m1")),
            6 | 7 => {
                let (version, members) = (roster(3 + u32::try_from(self.below(3)).unwrap()), self.names(&PARTIES));
                Change::Roster { cluster: name("team"), version, members }
            }
            8 => self.prohibition(id).into(),
            9 => {
                let mut mandate = self.mandate();
                mandate.id = name(id);
                Change::AddMandate(mandate.into(), MandateStatus::Dormant)
            }
            _ => self.permission(id).into(),
        }
    }

    /// A request, perhaps on a basis that the party may not assert.
    pub fn ask(&mut self) -> Ask {
        let mut ask = Ask::read_all(self.purpose(), self.basis());
        ask.action = Some(self.one(&[Action::Read, Action::Read, Action::Read, Action::Share, Action::Write]));
        ask.ground = self.one(&[None, Some(Ground::CARE), Some(Ground::CRIMINAL)]);
        match self.below(8) {
            0..4 => ask.fields = Some(AskedFields::These(FIELDS.map(name).into())),
            4 => {
                ask.fields = Some(AskedFields::These(self.names(&["phone", "address", "notes", "award", "shoe_size"])))
            }
            _ => {}
        }
        ask.recipient = self.one(&[None, Some(name("charity")), Some(name("hospital"))]);
        ask
    }

    /// What the agent knows.
    pub fn host(&mut self) -> HostFacts {
        let mut host = HostFacts::new(self.party(), at(self.secs(16, 4)));
        host.assurance = self.one(&[Assurance::High, Assurance::High, Assurance::Substantial, Assurance::Unknown]);
        let conditions: [&[&str]; 3] = [&["break_glass", "on_duty"], &["on_duty"], &[]];
        host.conditions = self.one(&conditions).iter().map(|condition| name(condition)).collect();
        for id in 0..4 {
            let count = self.one(&[0, 0, 0, 1, 2]);
            host = host.uses(name(&format!("p{id}")), (0..count).map(|_| at(self.secs(16, 5))));
        }
        host
    }

    /// A request whose basis the party may assert.
    pub fn question(&mut self) -> (Ask, HostFacts) {
        let (mut ask, host) = (self.ask(), self.host());
        let kind = vocabulary().parties()[&host.party];
        if !ask.basis.is_some_and(|basis| Regime::UK.allows(kind, basis)) {
            ask.basis = Some(if kind == PartyKind::INDIVIDUAL { Basis::HOUSEHOLD } else { Basis::PUBLIC_TASK });
        }
        (ask, host)
    }
}

/// `policy` with only the rule `id`, and the mandates: what that rule does by itself.
#[must_use]
pub fn alone(policy: &Policy, id: &Name) -> Policy {
    let mut one = Policy::new(policy.vocabulary().clone());
    let mut apply = |change: Change| one.apply(change, &Maker::Person).unwrap();
    for (mandate, _) in policy.mandates() {
        apply(mandate.clone().into());
    }
    for (permission, status) in policy.permissions().filter(|(permission, _)| permission.id == *id) {
        apply(permission.clone().into());
        match status {
            PermissionStatus::Given => {}
            PermissionStatus::Suspended => apply(Change::Suspend(id.clone())),
            PermissionStatus::Withdrawn => apply(Change::Withdraw(id.clone())),
        }
    }
    for prohibition in policy.prohibitions().filter(|prohibition| prohibition.id == *id) {
        apply(prohibition.clone().into());
    }
    for (mandate, status) in policy.mandates() {
        if status == MandateStatus::Ended {
            apply(Change::EndMandate(mandate.id.clone()));
        }
    }
    one
}

/// Every (party, purpose, field) that any request gets of the reference, by asking every one.
#[must_use]
pub fn reach(policy: &Policy, when: At) -> BTreeSet<[Name; 3]> {
    let vocabulary = policy.vocabulary();
    let mut reached = BTreeSet::new();
    let conditions =
        vocabulary.conditions().iter().filter(|condition| when.emergency || condition.as_str() != BREAK_GLASS);
    let conditions: Vec<Name> = conditions.cloned().collect();
    let bases: BTreeSet<Basis> = policy.permissions().map(|(permission, _)| permission.basis).collect();
    let grounds: BTreeSet<_> = policy.permissions().map(|(permission, _)| permission.ground).collect();
    let recipients: Vec<Option<&Name>> = match when.action {
        Action::Share => vocabulary.parties().keys().map(Some).collect(),
        _ => Vec::from([None]),
    };
    for party in vocabulary.parties().keys() {
        let host =
            HostFacts::new(party.clone(), when.now).assurance(Assurance::High).conditions(conditions.iter().cloned());
        for purpose in vocabulary.purposes() {
            for basis in &bases {
                for ground in &grounds {
                    for recipient in &recipients {
                        let mut ask = Ask::read_all(purpose.clone(), *basis).action(when.action);
                        ask.ground = *ground;
                        ask.recipient = recipient.cloned();
                        if let Decision::Permit(permit) = reference::decide(policy, &ask, &host) {
                            let fields = permit.fields().map(|field| [party.clone(), purpose.clone(), field.clone()]);
                            reached.extend(fields);
                        }
                    }
                }
            }
        }
    }
    reached
}
