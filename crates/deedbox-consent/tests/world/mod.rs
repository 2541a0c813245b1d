//! A small world for tests: one vocabulary, and rules drawn from bytes.

use std::{collections::BTreeSet, num::NonZeroU32};

use deedbox_consent::{
    Action, Actions, Ask, AskedFields, Basis, Bounds, Evidence, EvidenceKind, Ground, HostFacts, Mandate, Obligation,
    Obligations, PartyKind, Permission, Prohibition, Rank, Regime, Roster, Selector, Sensitivity, To, Vocabulary,
};
use deedbox_model::{Assurance, Name, Timestamp};

pub(crate) const PURPOSES: [&str; 5] = ["care", "direct", "social", "urgent", "research"];
pub(crate) const PARENTS: [&[&str]; 5] = [&[], &["care"], &["care"], &["direct", "social"], &[]];
pub(crate) const FIELDS: [&str; 4] = ["phone", "address", "notes", "award"];
pub(crate) const WITHIN: [&[&str]; 4] = [&["post"], &["contact"], &["health"], &["post", "health"]];
pub(crate) const PARTIES: [&str; 3] = ["hospital", "charity", "daughter"];
pub(crate) const CHOICES: [&str; 7] = ["contact", "post", "health", "phone", "address", "notes", "award"];

pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

pub(crate) fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(secs)
}

pub(crate) fn roster(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

/// `post` lies below `contact`; `award` in two categories, and it is the hospital's word.
pub(crate) fn vocabulary() -> Vocabulary {
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
pub(crate) struct Draw<'a>(pub(crate) std::slice::Iter<'a, u8>);

impl<'a> Draw<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes.iter())
    }

    pub(crate) fn below(&mut self, count: usize) -> usize {
        usize::from(*self.0.next().unwrap_or(&0)) % count
    }

    pub(crate) fn one<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }

    fn some<T: Clone>(&mut self, choices: &[T]) -> Vec<T> {
        let bits = self.below(256);
        choices.iter().enumerate().filter(|(index, _)| bits >> index & 1 == 1).map(|(_, item)| item.clone()).collect()
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
        Bounds::between(at(from), at(from + 10 + self.below(8) as u64 * 15))
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
    pub(crate) fn permission(&mut self, id: &str) -> Permission {
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
            .retention(self.below(200) as u64)
            .evidence(Evidence::of(EvidenceKind::EXPLICIT));
        permission.bounds = self.bounds();
        permission.ground =
            self.one(&[None, Some(Ground::CARE), Some(Ground::CRIMINAL), Some(Ground::EXPLICIT_CONSENT)]);
        permission.assurance = self.one(&[0, 0, 0, 0, 2, 4]);
        permission.recipients = self.names(&PARTIES);
        if self.below(5) == 0 {
            permission = permission.limit(self.below(3) as u64 + 1, self.one(&[None, Some(15), Some(40)]));
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
    pub(crate) fn prohibition(&mut self, id: &str) -> Prohibition {
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

    pub(crate) fn mandate(&mut self) -> Mandate {
        let mut mandate = Mandate::new(name("m1"), name("daughter"), Rank::PERSON);
        mandate.bounds = self.bounds();
        mandate
    }

    pub(crate) fn ask(&mut self) -> Ask {
        let mut ask = Ask::read_all(self.purpose(), self.basis());
        ask.action = Some(self.one(&[Action::Read, Action::Read, Action::Read, Action::Share, Action::Write]));
        ask.ground = self.one(&[None, Some(Ground::CARE), Some(Ground::CRIMINAL)]);
        if self.below(2) == 0 {
            ask.fields = Some(AskedFields::These(FIELDS.map(name).into()));
        }
        ask.recipient = self.one(&[None, Some(name("charity")), Some(name("hospital"))]);
        ask
    }

    pub(crate) fn host(&mut self) -> HostFacts {
        let mut host = HostFacts::new(self.party(), at(self.below(16) as u64 * 4));
        host.assurance = self.one(&[Assurance::High, Assurance::High, Assurance::Substantial, Assurance::Unknown]);
        let conditions: [&[&str]; 3] = [&["break_glass", "on_duty"], &["on_duty"], &[]];
        host.conditions = self.one(&conditions).iter().map(|condition| name(condition)).collect();
        for id in 0..4 {
            let count = self.one(&[0, 0, 0, 1, 2]);
            host = host.uses(name(&format!("p{id}")), (0..count).map(|_| at(self.below(16) as u64 * 5)));
        }
        host
    }

    /// A request whose basis the party may assert.
    pub(crate) fn question(&mut self) -> (Ask, HostFacts) {
        let (mut ask, host) = (self.ask(), self.host());
        let kind = vocabulary().parties()[&host.party];
        if !ask.basis.is_some_and(|basis| Regime::UK.allows(kind, basis)) {
            ask.basis = Some(if kind == PartyKind::INDIVIDUAL { Basis::HOUSEHOLD } else { Basis::PUBLIC_TASK });
        }
        (ask, host)
    }
}
