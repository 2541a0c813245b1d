use alloc::{sync::Arc, vec, vec::Vec};

use deedbox_model::Name;

/// A map by name whose clones share what neither changed: cloning one of thousands and changing an entry touches a few
/// dozen.
#[derive(Debug, Clone)]
pub(crate) struct SharedMap<V> {
    /// INVARIANT: no chunk is empty; names ascend within chunks and from one to the next.
    chunks: Vec<Arc<Vec<(Name, V)>>>,
}

impl<V: Clone> SharedMap<V> {
    pub(crate) const fn new() -> Self {
        Self { chunks: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.len()).sum()
    }

    pub(crate) fn get(&self, name: &Name) -> Option<&V> {
        let chunk = self.chunks.get(self.chunk_of(name))?;
        let place = chunk.binary_search_by(|(other, _)| other.cmp(name)).ok()?;
        chunk.get(place).map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, name: &Name) -> Option<&mut V> {
        let place = self.chunk_of(name);
        let chunk = self.chunks.get_mut(place)?;
        let place = chunk.binary_search_by(|(other, _)| other.cmp(name)).ok()?;
        Arc::make_mut(chunk).get_mut(place).map(|(_, value)| value)
    }

    pub(crate) fn contains(&self, name: &Name) -> bool {
        self.get(name).is_some()
    }

    /// Adds an entry, or puts `value` in the place of what was there; tells whether the name is new.
    pub(crate) fn insert(&mut self, name: Name, value: V) -> bool {
        let index = self.chunk_of(&name).min(self.chunks.len().saturating_sub(1));
        let Some(chunk) = self.chunks.get_mut(index).map(Arc::make_mut) else {
            self.chunks.push(Arc::new(vec![(name, value)]));
            return true;
        };
        match chunk.binary_search_by(|(other, _)| other.cmp(&name)) {
            Ok(place) => {
                if let Some((_, old)) = chunk.get_mut(place) {
                    *old = value;
                }
                false
            }
            Err(place) => {
                chunk.insert(place, (name, value));
                if chunk.len() > MAX_CHUNK {
                    let upper = chunk.split_off(MAX_CHUNK / 2);
                    self.chunks.insert(index + 1, Arc::new(upper));
                }
                true
            }
        }
    }

    pub(crate) fn remove(&mut self, name: &Name) -> Option<V> {
        let index = self.chunk_of(name);
        let chunk = self.chunks.get_mut(index)?;
        let place = chunk.binary_search_by(|(other, _)| other.cmp(name)).ok()?;
        let chunk = Arc::make_mut(chunk);
        let (_, value) = chunk.remove(place);
        if chunk.is_empty() {
            self.chunks.remove(index);
        }
        Some(value)
    }

    /// The entries by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Name, &V)> {
        self.chunks.iter().flat_map(|chunk| chunk.iter()).map(|(name, value)| (name, value))
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// The chunk that holds `name` if any does.
    fn chunk_of(&self, name: &Name) -> usize {
        self.chunks.partition_point(|chunk| chunk.last().is_some_and(|(last, _)| last < name))
    }
}

impl<V: Clone + PartialEq> PartialEq for SharedMap<V> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

const MAX_CHUNK: usize = 64;

#[cfg(test)]
mod tests {
    use alloc::{collections::BTreeMap, format};

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_map_and_clones_do_not_change(steps in prop::collection::vec((0_u8..3, 0_u16..300), 0..600)) {
            let (mut map, mut model) = (SharedMap::new(), BTreeMap::new());
            let mut before = None;
            for (index, (step, number)) in steps.into_iter().enumerate() {
                let name = Name::parse(&format!("n{number}")).unwrap();
                match step {
                    0 => prop_assert_eq!(map.remove(&name), model.remove(&name)),
                    1 => if let Some(value) = map.get_mut(&name) {
                        *value = index;
                        model.insert(name.clone(), index);
                    },
                    _ => prop_assert_eq!(map.insert(name.clone(), index), model.insert(name.clone(), index).is_none()),
                }
                prop_assert_eq!(map.get(&name), model.get(&name));
                prop_assert_eq!(map.len(), model.len());
                if index == 250 {
                    before = Some((map.clone(), model.clone()));
                }
            }
            prop_assert!(map.iter().eq(model.iter()));
            if let Some((map, model)) = before {
                prop_assert!(map.iter().eq(model.iter()));
            }
        }
    }
}
