use std::collections::BTreeMap;

use deedbox_model::{Name, Timestamp};

use crate::Entry;

/// When permissions were used, as the entries of a log tell it, counted one after the other.
///
/// What takes the place of a permission with a limit has the uses of that one from before: nobody gets more uses by narrowing.
#[derive(Debug, Clone, Default)]
pub struct Uses {
    /// By the number of the entry: what came by two permissions that one replaces was one use of that.
    by_permission: BTreeMap<Name, BTreeMap<u64, Timestamp>>,
}

impl Uses {
    /// Counts what the next entry tells.
    pub fn count(&mut self, entry: &Entry) {
        for id in entry.used().filter_map(|id| Name::parse(id).ok()) {
            self.by_permission.entry(id).or_default().insert(entry.seq, entry.time);
        }
        for (id, replaced) in &entry.replaces {
            let Ok(id) = Name::parse(id) else { continue };
            let of = |id: &String| self.by_permission.get(&Name::parse(id).ok()?);
            let before: Vec<(u64, Timestamp)> =
                replaced.iter().filter_map(of).flatten().map(|(seq, time)| (*seq, *time)).collect();
            self.by_permission.entry(id).or_default().extend(before);
        }
    }

    /// The permissions that were used, each with the times.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, impl Iterator<Item = Timestamp>)> {
        self.by_permission.iter().map(|(id, times)| (id, times.values().copied()))
    }

    /// Whether a permission was used.
    #[must_use]
    pub fn has(&self, id: &Name) -> bool {
        self.by_permission.contains_key(id)
    }
}

#[cfg(test)]
mod tests {
    use deedbox_model::Digest;

    use super::*;
    use crate::EntryKind;

    fn entry(seq: u64, kind: EntryKind) -> Entry {
        let mut entry = Entry::new(Timestamp::from_secs(10 + seq), kind, None, Digest::from_bytes([0; 32]));
        entry.seq = seq;
        entry
    }

    fn used(seq: u64, by: &[&str]) -> Entry {
        let mut entry = entry(seq, EntryKind::Decision);
        entry.determining = by.iter().map(|id| (*id).to_owned()).collect();
        entry
    }

    fn times(uses: &Uses, id: &str) -> Vec<u64> {
        let found = uses.iter().filter(|(used, _)| used.as_str() == id);
        found.flat_map(|(_, times)| times.map(Timestamp::secs)).collect()
    }

    #[test]
    fn what_replaces_a_permission_has_its_uses_from_before_each_once() {
        let mut uses = Uses::default();
        let mut stopped = used(2, &["a"]);
        stopped.stopped = true;
        let mut terms = entry(3, EntryKind::Rule);
        terms.determining = vec!["a".to_owned(), "c".to_owned()];
        terms.replaces = vec![("c".to_owned(), vec!["a".to_owned(), "b".to_owned()])];
        let mut next = entry(6, EntryKind::Rule);
        next.replaces = vec![("d".to_owned(), vec!["c".to_owned()]), ("e".to_owned(), vec!["unused".to_owned()])];
        for entry in [used(0, &["a", "b"]), used(1, &["b"]), stopped, terms, used(4, &["c"]), used(5, &["a"]), next] {
            uses.count(&entry);
        }
        assert_eq!(times(&uses, "a"), [10, 15]);
        assert_eq!(times(&uses, "c"), [10, 11, 14]);
        assert_eq!(times(&uses, "d"), [10, 11, 14]);
        assert_eq!(times(&uses, "e"), [0_u64; 0]);
        assert!(uses.has(&Name::parse("d").unwrap()) && !uses.has(&Name::parse("unused").unwrap()));
    }
}
