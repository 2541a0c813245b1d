use alloc::{format, string::String, vec::Vec};
use core::num::NonZeroU32;

use deedbox_model::{Assurance, Name};

use super::{at, name, roster};
use crate::{
    Action, Ask, Basis, Bounds, Change, Evidence, EvidenceKind, Ground, HostFacts, Maker, Mandate, Obligation,
    PartyKind, Permission, Policy, Prohibition, Rank, Regime, Roster, Selector, Sensitivity, To, Vocabulary,
};

/// How large a workload is.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_structs, reason = "written out by benches")]
pub struct Size {
    /// Fields; they lie in 72 categories.
    pub fields: usize,
    /// Parties.
    pub parties: usize,
    /// Rules: of a hundred 84 permissions, 14 prohibitions, two mandates.
    pub rules: usize,
}

impl Size {
    /// A person with over a hundred connections.
    pub const FULL: Self = Self { fields: 4_500, parties: 120, rules: 4_000 };
    /// A hundredth of it, for debug builds.
    pub const SMALL: Self = Self { fields: 90, parties: 12, rules: 60 };
}

/// The day on which the workload's requests are made: half of its life has passed.
pub const TODAY: u64 = 600 * DAY;

/// What every engine is measured on: a policy of 90 purposes and of `size`, and requests that a party with permissions would
/// make, for all fields. The same at every call.
#[must_use]
pub fn workload(size: Size) -> (Policy, Vec<(Ask, HostFacts)>) {
    let mut dice = Dice(1);
    let mut policy = Policy::new(words(size));
    let mut apply = |change: Change| policy.apply(change, &Maker::Person).unwrap();
    let mandates = size.rules / 50;
    for number in 0..mandates {
        let agent = party_name(dice.below(size.parties));
        let mandate = Mandate::new(name(&format!("m{number}")), agent, Rank::DELEGATE).between(at(0), at(1_200 * DAY));
        apply(mandate.into());
    }
    let mut withdrawn = Vec::new();
    for number in mandates..size.rules {
        if dice.below(98) < 84 {
            apply(permission(&mut dice, size, &format!("p{number}")).into());
            if dice.below(10) == 0 {
                withdrawn.push(name(&format!("p{number}")));
            }
        } else {
            apply(prohibition(&mut dice, size, &format!("d{number}")).into());
        }
    }
    withdrawn.into_iter().for_each(|id| apply(Change::Withdraw(id)));
    let requests = requests(&policy);
    (policy, requests)
}

fn words(size: Size) -> Vocabulary {
    let mut dice = Dice(2);
    let mut builder = Vocabulary::builder("workload", 1, Regime::UK);
    for number in 0..90 {
        let parents: Vec<String> =
            if number < 10 { Vec::new() } else { [purpose(number % 10 + number / 40 * 10)].into() };
        let parents: Vec<&str> = parents.iter().map(String::as_str).collect();
        builder = builder.purpose(&purpose(number), &parents);
    }
    for number in 0..72 {
        let parents: Vec<String> = if number < 12 { Vec::new() } else { [category(number % 12)].into() };
        let parents: Vec<&str> = parents.iter().map(String::as_str).collect();
        builder = builder.category(&category(number), &parents);
    }
    for number in 0..size.fields {
        let (sensitivity, issuer) = match dice.below(100) {
            0..5 => (Sensitivity::SPECIAL, None),
            5 => (Sensitivity::CRIMINAL, None),
            6 | 7 => (Sensitivity::ORDINARY, Some("party-0")),
            _ => (Sensitivity::ORDINARY, None),
        };
        builder = builder.field_with(&field(size, number), &[&category(home(size, number))], sensitivity, issuer);
    }
    for number in 0..size.parties {
        let kind = [PartyKind::PUBLIC, PartyKind::PRIVATE, PartyKind::PRIVATE][number % 3];
        builder = builder.party(&party(number), kind);
    }
    for number in 0..6 {
        let members: Vec<String> = (0..size.parties).filter(|party| party % 6 == number).map(party).collect();
        let members: Vec<&str> = members.iter().map(String::as_str).collect();
        let (most, few) = (members.len() * 3 / 4, members.len() / 2);
        let cluster = format!("cluster-{number}");
        builder =
            builder.cluster(&cluster, roster(2), &members[..most]).roster(&cluster, NonZeroU32::MIN, &members[few..]);
    }
    builder.condition("break_glass").condition("on_duty").build().unwrap()
}

fn permission(dice: &mut Dice, size: Size, id: &str) -> Permission {
    let to = match dice.below(10) {
        0 => {
            let roster = [Roster::Current, Roster::Pinned(roster(2)), Roster::Pinned(roster(1))][dice.below(3)];
            To::Roster(name(&format!("cluster-{}", dice.below(6))), roster)
        }
        _ => To::Party(party_name(dice.below(size.parties))),
    };
    let basis = if matches!(to, To::Roster(_, Roster::Current)) {
        Basis::PUBLIC_TASK
    } else {
        [Basis::CONSENT, Basis::CONSENT, Basis::CONTRACT, Basis::PUBLIC_TASK][dice.below(4)]
    };
    let start = u64::try_from(dice.below(20)).unwrap() * 30 * DAY;
    let mut permission = Permission::new(name(id), to, name(&purpose(dice.below(90))), basis)
        .actions([Action::Read])
        .fields(selector(dice, size))
        .between(at(start), at(start + 360 * DAY))
        .retention(90 * DAY)
        .evidence(Evidence::of(EvidenceKind::EXPLICIT));
    if dice.below(3) == 0 {
        permission.actions = [Action::Read, Action::Share].into();
        permission.recipients = [party_name(dice.below(size.parties))].into();
    }
    match dice.below(40) {
        0 => permission.records = Bounds { from: Some(at(300 * DAY)), until: None },
        1 | 2 => permission = permission.limit(10, Some(30 * DAY)),
        3 | 4 => permission.conditions = [name("on_duty")].into(),
        5 => {
            permission.rank = Rank::EMERGENCY;
            permission.conditions = [name("break_glass")].into();
            permission.obligations = [Obligation::NotifyPerson, Obligation::Justify].into();
        }
        6..10 => permission.ground = Some(Ground::EXPLICIT_CONSENT),
        10..14 => permission.assurance = 3,
        14 => {
            permission.rank = Rank::DELEGATE;
            permission.mandate = Some(name("m0"));
        }
        _ => {}
    }
    permission
}

fn prohibition(dice: &mut Dice, size: Size, id: &str) -> Prohibition {
    let to = match dice.below(20) {
        0 => To::Anyone,
        1..4 => To::Cluster(name(&format!("cluster-{}", dice.below(6)))),
        _ => To::Party(party_name(dice.below(size.parties))),
    };
    let mut prohibition =
        Prohibition::new(name(id), to).fields(Selector::of([name(&field(size, dice.below(size.fields)))]));
    if dice.below(3) > 0 {
        prohibition = prohibition.purposes([name(&purpose(dice.below(90)))]);
    }
    if dice.below(20) == 0 {
        prohibition.rank = Rank::SEAL;
    }
    prohibition
}

/// A category with its subcategories, a small category, or a few fields.
fn selector(dice: &mut Dice, size: Size) -> Selector {
    match dice.below(10) {
        0 => Selector::of([name(&category(dice.below(12)))]).except([name(&field(size, dice.below(size.fields)))]),
        1..6 => Selector::of([name(&category(12 + dice.below(60)))]),
        _ => Selector::of((0..1 + dice.below(6)).map(|_| name(&field(size, dice.below(size.fields))))),
    }
}

/// For each permission in force that names a party by itself, the request that it answers; 256 of them at most.
fn requests(policy: &Policy) -> Vec<(Ask, HostFacts)> {
    let vocabulary = policy.vocabulary();
    let mut requests = Vec::new();
    for (permission, _) in policy.permissions().filter(|(permission, _)| permission.bounds.contains(at(TODAY))) {
        let To::Party(party) = &permission.to else { continue };
        if vocabulary.regime().allows(vocabulary.parties()[party], permission.basis) {
            let mut ask = Ask::read_all(permission.purpose.clone(), permission.basis);
            ask.ground = permission.ground;
            requests.push((ask, HostFacts::new(party.clone(), at(TODAY)).assurance(Assurance::High)));
        }
    }
    let step = requests.len().div_ceil(256).max(1);
    requests.into_iter().step_by(step).collect()
}

fn purpose(number: usize) -> String {
    format!("purpose-{number}")
}

fn category(number: usize) -> String {
    format!("category-{number}")
}

/// The category of a field.
fn home(size: Size, field: usize) -> usize {
    12 + field * 60 / size.fields
}

/// Like the path of a value in a document: what belongs together begins alike.
fn field(size: Size, number: usize) -> String {
    format!("document-{}.part.{number:04}", home(size, number))
}

fn party(number: usize) -> String {
    format!("party-{number}")
}

fn party_name(number: usize) -> Name {
    name(&party(number))
}

/// SplitMix64: the same numbers everywhere.
struct Dice(u64);

impl Dice {
    fn below(&mut self, count: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((bits >> 33) % u64::try_from(count).unwrap()).unwrap()
    }
}

const DAY: u64 = 86_400;
