use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec,
    vec::Vec,
};

use deedbox_model::Name;

use super::Names;
use crate::{VocabularyError, bits::Bits};

/// Nodes with their parents, and for each everything above and below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dag {
    names: Names,
    parents: Vec<BTreeSet<Name>>,
    /// For each node, itself and all its ancestors.
    up: Vec<Bits>,
    /// For each node, itself and all its descendants.
    down: Vec<Bits>,
}

impl Dag {
    pub(super) fn new(nodes: BTreeMap<Name, BTreeSet<Name>>) -> Result<Self, VocabularyError> {
        let names = Names::new(nodes.keys());
        let count = names.len();
        let parents: Vec<BTreeSet<Name>> = nodes.into_values().collect();
        let mut above: Vec<Vec<usize>> = Vec::with_capacity(count);
        for parents in &parents {
            let numbers: Option<_> = parents.iter().map(|parent| names.number(parent)).collect();
            above.push(numbers.ok_or(VocabularyError::UnknownParent)?);
        }
        let mut up = vec![Bits::new(count); count];
        let mut down = up.clone();
        let mut done = Bits::new(count);
        // INVARIANT: after round k every node of depth up to k is done.
        for _ in 0..=MAX_DEPTH {
            let is_ready = |(node, parents): &(usize, &Vec<usize>)| {
                !done.has(*node) && parents.iter().all(|parent| done.has(*parent))
            };
            let ready: Vec<(usize, &Vec<usize>)> = above.iter().enumerate().filter(is_ready).collect();
            if ready.is_empty() {
                let all = done.len() == count;
                return if all { Ok(Self { names, parents, up, down }) } else { Err(VocabularyError::Cycle) };
            }
            for (node, parents) in ready {
                let mut ancestors = Bits::new(count);
                ancestors.insert(node);
                parents.iter().filter_map(|parent| up.get(*parent)).for_each(|more| ancestors.add(more));
                for ancestor in ancestors.iter() {
                    if let Some(below) = down.get_mut(ancestor) {
                        below.insert(node);
                    }
                }
                if let Some(up) = up.get_mut(node) {
                    *up = ancestors;
                }
                done.insert(node);
            }
        }
        Err(VocabularyError::TooLarge)
    }

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    pub(crate) fn has(&self, name: &Name) -> bool {
        self.names.number(name).is_some()
    }

    /// Each node's parents, by number.
    pub(super) fn parents(&self) -> impl ExactSizeIterator<Item = (&Name, &BTreeSet<Name>)> {
        self.names.iter().zip(&self.parents)
    }

    /// A node and all its ancestors.
    pub(crate) fn up(&self, node: usize) -> Option<&Bits> {
        self.up.get(node)
    }

    /// A node and all its descendants.
    pub(crate) fn down(&self, node: usize) -> Option<&Bits> {
        self.down.get(node)
    }

    /// Whether `node` is `lower` or an ancestor of it.
    pub(crate) fn is_above(&self, node: usize, lower: usize) -> bool {
        self.down(node).is_some_and(|down| down.has(lower))
    }

    pub(crate) fn is_within(&self, name: &Name, of: &Name) -> bool {
        let numbers = self.names.number(name).zip(self.names.number(of));
        numbers.is_some_and(|(name, of)| self.up(name).is_some_and(|up| up.has(of)))
    }
}

const MAX_DEPTH: usize = 32;
