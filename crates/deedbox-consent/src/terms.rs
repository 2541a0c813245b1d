use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use deedbox_model::{Digest, Name};

use crate::{
    Change, DecodeError, Limit, Permission, Vocabulary,
    codec::{read, to_vec},
};

/// The offered permissions of an agreement; their SHA-256 is what both sides sign.
///
/// ```cddl
/// terms = { 1: 1, 2: party, 3: [+ permission], 4: notice digest, 5: vocabulary digest }   ; permissions by id
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    party: Name,
    permissions: BTreeMap<Name, Permission>,
    notice: Digest,
    vocabulary: Digest,
}

/// What new terms ask compared with the old ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "callers must notice a new one")]
pub enum TermsDiff {
    /// The same.
    Same,
    /// Less, or the same under more duties: no new signature is needed.
    Narrowing,
    /// Perhaps more: a new signature is needed, and the old terms hold meanwhile.
    Widening,
}

impl Terms {
    /// The most bytes of encoded terms.
    pub const MAX_LEN: usize = 4 << 20;

    /// Terms for `party`; `None` without a permission or with two of one id.
    #[must_use]
    pub fn new(
        party: Name,
        permissions: impl IntoIterator<Item = Permission>,
        notice: Digest,
        vocabulary: Digest,
    ) -> Option<Self> {
        let mut by_id = BTreeMap::new();
        for permission in permissions {
            if by_id.insert(permission.id.clone(), permission).is_some() {
                return None;
            }
        }
        (!by_id.is_empty()).then_some(Self { party, permissions: by_id, notice, vocabulary })
    }

    /// Whom they are offered by and would permit.
    #[must_use]
    pub const fn party(&self) -> &Name {
        &self.party
    }

    /// The permissions, by id.
    #[must_use]
    pub fn permissions(&self) -> impl ExactSizeIterator<Item = &Permission> {
        self.permissions.values()
    }

    /// Digest of the notice.
    #[must_use]
    pub const fn notice(&self) -> &Digest {
        &self.notice
    }

    /// Digest of the vocabulary.
    #[must_use]
    pub const fn vocabulary(&self) -> &Digest {
        &self.vocabulary
    }

    /// The canonical bytes; whoever calls hashes them.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        to_vec(|writer| {
            writer.map(|map| {
                map.int(1, |writer| {
                    writer.uint(1);
                });
                map.int(2, |writer| self.party.encode(writer));
                map.int(3, |writer| {
                    writer.array(self.permissions.len());
                    for permission in self.permissions.values() {
                        permission.encode(writer);
                    }
                });
                map.int(4, |writer| self.notice.encode(writer));
                map.int(5, |writer| self.vocabulary.encode(writer));
            });
        })
    }

    /// Reads the canonical bytes, at most [`Terms::MAX_LEN`].
    ///
    /// # Errors
    /// [`DecodeError::Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::decode(bytes).ok_or(DecodeError::Malformed)
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut map = read(bytes, Self::MAX_LEN)?.as_map()?.fields();
        if map.required(1)?.as_u64() != Some(1) {
            return None;
        }
        let party = Name::decode(map.required(2)?)?;
        let mut permissions = Vec::new();
        for item in map.required(3)?.as_array()?.iter() {
            if item.bytes().len() > Permission::MAX_LEN {
                return None;
            }
            let permission = Permission::decode(item)?;
            if permissions.last().is_some_and(|last: &Permission| last.id >= permission.id) {
                return None;
            }
            permissions.push(permission);
        }
        let (notice, vocabulary) = (Digest::decode(map.required(4)?)?, Digest::decode(map.required(5)?)?);
        map.finish()?;
        Self::new(party, permissions, notice, vocabulary)
    }
}

/// The terms in force with a party, and wider ones that wait for a new signature.
///
/// ```
/// # use deedbox_consent::{Action, Agreed, Basis, PartyKind, Permission, Regime, Selector, Terms, TermsDiff, To, Vocabulary};
/// # use deedbox_model::{Digest, Name, Timestamp};
/// # let name = |text| Name::parse(text).unwrap();
/// # let vocabulary = Vocabulary::builder("health", 1, Regime::EU).purpose("care", &[]).category("contact", &[])
/// #     .field("phone", &["contact"]).party("hospital", PartyKind::PUBLIC).build()?;
/// # let (from, until) = (Timestamp::from_secs(1_000), Timestamp::from_secs(2_000));
/// # let terms = |id, days: u64| Terms::new(name("hospital"), [Permission::new(name(id), To::Party(name("hospital")),
/// #     name("care"), Basis::PUBLIC_TASK).actions(Action::Read).fields(Selector::of([name("phone")])).between(from, until)
/// #     .retention(days * 86_400)], Digest::from_bytes([1; 32]), Digest::from_bytes([2; 32])).unwrap();
/// let mut agreed = Agreed::new(terms("p1", 30));
/// assert_eq!(agreed.offer(&vocabulary, terms("p2", 10)), TermsDiff::Narrowing);
/// assert_eq!(agreed.in_force(), &terms("p2", 10));
/// assert_eq!(agreed.offer(&vocabulary, terms("p3", 90)), TermsDiff::Widening);
/// assert_eq!(agreed.in_force(), &terms("p2", 10));
/// assert!(agreed.signed(&terms("p3", 90).to_bytes()));
/// assert_eq!(agreed.in_force(), &terms("p3", 90));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreed {
    in_force: Terms,
    waiting: Option<Terms>,
}

impl Agreed {
    /// Starts with terms that both have signed.
    #[must_use]
    pub const fn new(signed: Terms) -> Self {
        Self { in_force: signed, waiting: None }
    }

    /// The terms in force.
    #[must_use]
    pub const fn in_force(&self) -> &Terms {
        &self.in_force
    }

    /// The terms that wait for a signature.
    #[must_use]
    pub const fn waiting(&self) -> Option<&Terms> {
        self.waiting.as_ref()
    }

    /// Takes new terms: at once if they are no wider; wider ones, and those of another party, wait, and the old ones hold
    /// meanwhile. What waited before is dropped.
    pub fn offer(&mut self, vocabulary: &Vocabulary, new: Terms) -> TermsDiff {
        let is_same_party = new.party == self.in_force.party;
        let diff = if is_same_party { terms_diff(vocabulary, &self.in_force, &new) } else { TermsDiff::Widening };
        match diff {
            TermsDiff::Same | TermsDiff::Narrowing => {
                self.waiting = None;
                self.in_force = new;
            }
            TermsDiff::Widening => self.waiting = Some(new),
        }
        diff
    }

    /// Puts the waiting terms in force if theirs are the bytes that both have signed; whoever calls has verified it.
    #[must_use]
    pub fn signed(&mut self, bytes: &[u8]) -> bool {
        let is_waiting = self.waiting.as_ref().is_some_and(|waiting| waiting.to_bytes() == bytes);
        if let Some(waiting) = self.waiting.take_if(|_| is_waiting) {
            self.in_force = waiting;
        }
        is_waiting
    }
}

impl Terms {
    /// The changes to a policy that put these terms in the place of `old`: what is not in them as it was is withdrawn, what
    /// is new is given.
    ///
    /// # Security
    /// A new id has no uses yet. Whoever keeps them carries those of [`Terms::predecessors`] over, or a permission to ask once
    /// could be used again after each narrowing.
    #[must_use]
    pub fn changes_from(&self, old: &Self) -> Vec<Change> {
        let gone = old.permissions().filter(|permission| self.permissions.get(&permission.id) != Some(permission));
        let new = self.permissions().filter(|permission| old.permissions.get(&permission.id) != Some(permission));
        gone.map(|permission| Change::Withdraw(permission.id.clone())).chain(new.cloned().map(Change::from)).collect()
    }

    /// For each of these permissions that has a limit, the `old` ones with a limit that it lies inside: their uses are uses
    /// of it too.
    #[must_use]
    pub fn predecessors(&self, vocabulary: &Vocabulary, old: &Self) -> BTreeMap<Name, BTreeSet<Name>> {
        let inside = |this: &Permission| {
            let old = old.permissions().filter(|that| that.limit.is_some() && is_inside(vocabulary, this, that));
            old.map(|that| that.id.clone()).collect()
        };
        let limited = self.permissions().filter(|this| this.limit.is_some());
        limited.map(|this| (this.id.clone(), inside(this))).collect()
    }

    /// Whether a policy in which `works` says which of the `old` permissions work may follow these instead, without a new
    /// signature: each that is not in `old` as it was lies inside one that works, with its evidence and under its mandate. One
    /// with a limit is then withdrawn, and a single one takes its place, since two could be used where one was.
    ///
    /// Stricter than [`terms_diff`], which compares what was signed, whatever the person made of it since.
    #[must_use]
    pub fn need_no_signature(&self, vocabulary: &Vocabulary, old: &Self, works: impl Fn(&Name) -> bool) -> bool {
        let is_in = |these: &Self, this: &Permission| these.permissions.get(&this.id) == Some(this);
        let working: Vec<&Permission> = old.permissions().filter(|that| works(&that.id)).collect();
        let mut replaced = BTreeSet::new();
        self.permissions().filter(|this| !is_in(old, this)).all(|this| {
            let may_follow = |that: &&&Permission| {
                this.mandate == that.mandate && this.evidence == that.evidence && is_inside(vocabulary, this, that)
            };
            let mut inside = working.iter().filter(may_follow);
            inside.any(|that| that.limit.is_none() || (!is_in(self, that) && replaced.insert(&that.id)))
        })
    }
}

/// Compares terms. Sound, not complete: two permissions that only together cover a third count as widening.
///
/// New terms are no wider if each of their permissions lies inside one of the old. Id, evidence and mandate do not count.
#[must_use]
pub fn terms_diff(vocabulary: &Vocabulary, old: &Terms, new: &Terms) -> TermsDiff {
    let (old, new): (Vec<_>, Vec<_>) = (old.permissions().collect(), new.permissions().collect());
    let lie_inside = |these: &[&Permission], those: &[&Permission]| {
        these.iter().all(|this| those.iter().any(|that| is_inside(vocabulary, this, that)))
    };
    match (lie_inside(&new, &old), lie_inside(&old, &new)) {
        (false, _) => TermsDiff::Widening,
        (true, true) => TermsDiff::Same,
        (true, false) => TermsDiff::Narrowing,
    }
}

fn is_inside(vocabulary: &Vocabulary, this: &Permission, that: &Permission) -> bool {
    this.to == that.to
        && this.basis == that.basis
        && this.ground == that.ground
        && this.rank <= that.rank
        && (this.purpose == that.purpose || vocabulary.is_purpose_within(&this.purpose, &that.purpose))
        && that.actions.contains_all(this.actions)
        && vocabulary.words().select(&this.fields).is_subset(&vocabulary.words().select(&that.fields))
        && this.recipients.is_subset(&that.recipients)
        && this.bounds.is_within(&that.bounds)
        && this.records.is_within(&that.records)
        && this.assurance >= that.assurance
        && this.conditions.is_superset(&that.conditions)
        && this.obligations.contains_all(that.obligations)
        && that.retention.is_none_or(|most| this.retention.is_some_and(|retention| retention <= most))
        && is_tighter(this.limit, that.limit)
}

/// Whether uses allowed by `this` are always allowed by `that`: n'·⌈per/per'⌉ ≤ n.
fn is_tighter(this: Option<Limit>, that: Option<Limit>) -> bool {
    let Some(that) = that else { return true };
    let Some(this) = this else { return false };
    let windows = match (that.per, this.per) {
        (_, None) => Some(1),
        (None, Some(_)) => None,
        (Some(outer), Some(inner)) => outer.checked_add(inner.saturating_sub(1)).and_then(|sum| sum.checked_div(inner)),
    };
    windows.and_then(|windows| this.times.checked_mul(windows)).is_some_and(|most| most <= that.times)
}
