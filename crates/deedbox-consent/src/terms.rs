use alloc::{collections::BTreeMap, vec::Vec};

use deedbox_model::{Digest, Name};

use crate::{
    DecodeError, Limit, Permission, Vocabulary,
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
