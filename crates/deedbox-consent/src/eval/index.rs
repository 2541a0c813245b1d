//! The compiled rules: one block for each addressee, and for each party where the rules about it stand.
use alloc::{collections::BTreeMap, sync::Arc, vec, vec::Vec};

use deedbox_model::Name;

use super::block::Block;
use crate::{
    Change, FieldSet, Permission, PermissionStatus, Policy, Prohibition, Roster, To, Vocabulary, bits::Bits,
    vocab::Words,
};

/// A policy's rules, compiled. Clones share their blocks.
#[derive(Debug, Clone)]
pub(crate) struct Index {
    pub(super) words: Arc<Words>,
    /// By `to`.
    blocks: Vec<Arc<Block>>,
    /// By party.
    seats: Arc<Vec<Seat>>,
    /// The block of the prohibitions for anyone.
    anyone: Option<usize>,
}

/// Which blocks are about a party.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seat {
    /// Blocks with permissions, and whether they name the party; if not, it is on one of two rosters only.
    permits: Vec<(usize, bool)>,
    /// Blocks with prohibitions, but for those for anyone.
    denies: Vec<usize>,
}

/// The rules with one `to`.
type Rules<'a> = (Vec<&'a (Arc<Permission>, PermissionStatus)>, Vec<&'a Arc<Prohibition>>);

impl Index {
    /// Compiles all rules.
    pub(crate) fn new(policy: &Policy) -> Self {
        Self::build(policy, |_| true)
    }

    /// Compiles the rules about `parties` only; of others nothing may be asked.
    pub(crate) fn about<'a>(policy: &Policy, parties: impl Iterator<Item = &'a Name> + Clone) -> Self {
        let vocabulary = &policy.vocabulary;
        Self::build(policy, |to| {
            parties.clone().any(|party| {
                vocabulary.permits(to, party)
                    || vocabulary.permits_in_part(to, party)
                    || vocabulary.prohibits(to, party)
            })
        })
    }

    fn build(policy: &Policy, is_wanted: impl Fn(&To) -> bool) -> Self {
        let mut rules: BTreeMap<&To, Option<Rules<'_>>> = BTreeMap::new();
        for rule in policy.permissions.values() {
            let to = &rule.0.to;
            let rules = rules.entry(to).or_insert_with(|| is_wanted(to).then(Rules::default));
            rules.iter_mut().for_each(|(permissions, _)| permissions.push(rule));
        }
        for rule in policy.prohibitions.values() {
            let rules = rules.entry(&rule.to).or_insert_with(|| is_wanted(&rule.to).then(Rules::default));
            rules.iter_mut().for_each(|(_, prohibitions)| prohibitions.push(rule));
        }
        let block = |(to, rules): (&To, Option<Rules<'_>>)| {
            let (permissions, prohibitions) = rules?;
            Some(Arc::new(Block::new(policy, to.clone(), &permissions, &prohibitions)))
        };
        let blocks = rules.into_iter().filter_map(block).collect();
        let mut index =
            Self { words: Arc::clone(policy.vocabulary.words()), blocks, seats: Arc::default(), anyone: None };
        index.seat(&policy.vocabulary);
        index
    }

    /// Compiles again what `change` touched, which turned `before` into `after`.
    pub(crate) fn with(&self, before: &Policy, after: &Policy, change: &Change) -> Self {
        let mut index = self.clone();
        let permission = |id: &Name| after.permissions.get(id).map(|(permission, _)| &permission.to);
        match change {
            Change::AddMandate(..) => {}
            Change::AddPermission(rule) => index.renew(after, &rule.to, Some(&rule.id)),
            Change::AddProhibition(rule) => index.renew(after, &rule.to, Some(&rule.id)),
            Change::Lift(id) => {
                let to = before.prohibitions.get(id).map(|rule| &rule.to);
                to.into_iter().for_each(|to| index.renew(after, to, None));
            }
            Change::Suspend(id) | Change::Resume(id) | Change::Withdraw(id) => {
                permission(id).into_iter().for_each(|to| index.renew(after, to, None));
            }
            Change::ActivateMandate(id) | Change::EndMandate(id) => {
                // Only permissions depend on a mandate's status.
                for block in &mut index.blocks {
                    if block.permits.iter().any(|row| row.permission.mandate.as_ref() == Some(id)) {
                        *block = Arc::new(block.renew(after, None));
                    }
                }
            }
            Change::Roster { .. } => index.seat(&after.vocabulary),
        }
        index
    }

    /// Compiles the block `to` again, with the rule `also`.
    fn renew(&mut self, policy: &Policy, to: &To, also: Option<&Name>) {
        let found = self.blocks.binary_search_by(|block| block.to.cmp(to));
        let has = |block: &Block| (block.permits.is_empty(), block.denies.is_empty());
        let had = match found {
            Ok(place) => self.blocks.get_mut(place).map(|block| {
                let had = has(block);
                *block = Arc::new(block.renew(policy, also));
                (had, has(block))
            }),
            Err(place) => {
                let block = Block::new(policy, to.clone(), &[], &[]).renew(policy, also);
                self.blocks.insert(place, Arc::new(block));
                None
            }
        };
        if had.is_none_or(|(before, after)| before != after) {
            self.seat(&policy.vocabulary);
        }
    }

    /// Finds for each party the blocks about it.
    fn seat(&mut self, vocabulary: &Vocabulary) {
        let mut seats = vec![Seat::default(); self.words.parties().len()];
        self.anyone = None;
        for (place, block) in self.blocks.iter().enumerate() {
            let mut deny = |party: &Name| {
                let seat = self.words.parties().number(party).and_then(|party| seats.get_mut(party));
                seat.into_iter().filter(|_| !block.denies.is_empty()).for_each(|seat| seat.denies.push(place));
            };
            match &block.to {
                To::Anyone => self.anyone = Some(place),
                To::Party(party) => deny(party),
                To::Cluster(cluster) => {
                    let members =
                        vocabulary.clusters().get(cluster).into_iter().flat_map(|cluster| cluster.rosters().values());
                    members.flatten().collect::<alloc::collections::BTreeSet<_>>().into_iter().for_each(deny);
                }
                To::Roster(..) => {}
            }
            if block.permits.is_empty() {
                continue;
            }
            let mut permit = |party: &Name, named: bool| {
                let seat = self.words.parties().number(party).and_then(|party| seats.get_mut(party));
                seat.into_iter().for_each(|seat| seat.permits.push((place, named)));
            };
            match &block.to {
                To::Party(party) => permit(party, true),
                To::Roster(cluster, roster) => {
                    let Some(cluster) = vocabulary.clusters().get(cluster) else { continue };
                    let roster = match roster {
                        Roster::Current => cluster.current(),
                        Roster::Pinned(number) => *number,
                    };
                    let rosters = [cluster.rosters().get(&cluster.current()), cluster.rosters().get(&roster)];
                    let members: alloc::collections::BTreeSet<&Name> =
                        rosters.into_iter().flatten().flatten().collect();
                    for party in members {
                        permit(party, cluster.is_on_current(party) && cluster.is_on(roster, party));
                    }
                }
                To::Anyone | To::Cluster(_) => {}
            }
        }
        self.seats = Arc::new(seats);
    }

    /// The seat of the party of that number.
    pub(super) fn seat_of(&self, party: usize) -> Option<&Seat> {
        self.seats.get(party)
    }

    /// The blocks with permissions that are about a party, and whether they name it.
    pub(super) fn permitting<'a>(&'a self, seat: &'a Seat) -> impl Iterator<Item = (&'a Block, bool)> {
        seat.permits.iter().filter_map(|(place, named)| Some((&**self.blocks.get(*place)?, *named)))
    }

    /// The blocks with prohibitions that are about a party.
    pub(super) fn denying<'a>(&'a self, seats: impl Iterator<Item = &'a Seat>) -> impl Iterator<Item = &'a Block> {
        let places = seats.flat_map(|seat| &seat.denies).chain(&self.anyone);
        places.filter_map(|place| self.blocks.get(*place)).map(|block| &**block)
    }

    /// A set of no field.
    pub(crate) fn field_set(&self) -> FieldSet {
        let count = self.words.fields().len();
        FieldSet { words: Arc::clone(&self.words), bits: Bits::new(count), scratch: Bits::new(count) }
    }
}
