use alloc::{collections::BTreeSet, vec::Vec};

use deedbox_cbor::{Item, Writer};
use deedbox_model::{Name, Timestamp};

use crate::{
    Actions, Any, Bounds, Rank, RuleError, Selector, To,
    codec::{
        read, read_absent, read_actions, read_any, read_bounds, read_names, read_selector, to_vec, write_any,
        write_bounds, write_names, write_selector,
    },
    setters::setters,
};

/// What never leaves, whatever a permission of the same or a lower rank says.
///
/// It has no basis, conditions or assurance: claiming less never escapes one. [`Prohibition::new`] starts one of
/// everything; the methods narrow it.
///
/// ```cddl
/// prohibition = { 1: id, 2: rank, 3: to, 4: [+ purpose] / null, 5: actions / null, 6: selector / null, ? 7: bounds,
///                 ? 8: bounds, ? 9: mandate }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Prohibition {
    /// Unique among all rules.
    pub id: Name,
    /// Its weight.
    pub rank: Rank,
    /// Whom it is about, as asker or as recipient.
    pub to: To,
    /// For these purposes and all that overlap with them.
    pub purposes: Any<BTreeSet<Name>>,
    /// What must not be done.
    pub actions: Any<Actions>,
    /// With which fields.
    pub fields: Any<Selector>,
    /// When it holds.
    pub bounds: Bounds,
    /// Records of which times.
    pub records: Bounds,
    /// The mandate it was made under.
    pub mandate: Option<Name>,
}

impl Prohibition {
    /// Starts a prohibition of rank [`Rank::PERSON`], of any purpose, action and field, at all times.
    #[must_use]
    pub fn new(id: Name, to: To) -> Self {
        Self {
            id,
            rank: Rank::PERSON,
            to,
            purposes: Any::Any,
            actions: Any::Any,
            fields: Any::Any,
            bounds: Bounds::OPEN,
            records: Bounds::OPEN,
            mandate: None,
        }
    }

    setters! {
        /// Sets the rank.
        rank(rank: Rank) rank = rank;
        /// Narrows it to these purposes.
        purposes(purposes: impl IntoIterator<Item = Name>) purposes = Any::Only(purposes.into_iter().collect());
        /// Narrows it to these actions.
        actions(actions: impl Into<Actions>) actions = Any::Only(actions.into());
        /// Narrows it to these fields.
        fields(fields: Selector) fields = Any::Only(fields);
        /// Narrows it to a time: `from ≤ now < until`.
        between(from: Timestamp, until: Timestamp) bounds = Bounds::between(from, until);
        /// Sets when it holds.
        bounds(bounds: Bounds) bounds = bounds;
        /// Narrows it to records of these times.
        records(records: Bounds) records = records;
        /// Sets the mandate it is made under.
        mandate(mandate: Name) mandate = Some(mandate);
    }

    /// The canonical bytes: what its maker signs.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        to_vec(|writer| self.encode(writer))
    }

    /// Reads the canonical bytes, at most 16 KiB. Whether it is acceptable is another question.
    ///
    /// # Errors
    /// [`RuleError::TooLong`], [`RuleError::Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RuleError> {
        if bytes.len() > crate::Permission::MAX_LEN {
            return Err(RuleError::TooLong);
        }
        read(bytes, crate::Permission::MAX_LEN).and_then(Self::decode).ok_or(RuleError::Malformed)
    }

    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer.map(|map| {
            map.int(1, |writer| self.id.encode(writer));
            map.int(2, |writer| {
                writer.uint(u64::from(self.rank.code()));
            });
            map.int(3, |writer| self.to.encode(writer));
            map.int(4, |writer| write_any(writer, &self.purposes, write_names));
            map.int(5, |writer| {
                write_any(writer, &self.actions, |writer, actions| {
                    writer.uint(u64::from(actions.bits()));
                });
            });
            map.int(6, |writer| write_any(writer, &self.fields, write_selector));
            if self.bounds != Bounds::OPEN {
                map.int(7, |writer| write_bounds(writer, &self.bounds));
            }
            if self.records != Bounds::OPEN {
                map.int(8, |writer| write_bounds(writer, &self.records));
            }
            if let Some(mandate) = &self.mandate {
                map.int(9, |writer| mandate.encode(writer));
            }
        });
    }

    pub(crate) fn decode(item: Item<'_>) -> Option<Self> {
        let mut map = item.as_map()?.fields();
        let prohibition = Self {
            id: Name::decode(map.required(1)?)?,
            rank: Rank::from_code(map.required(2)?.as_u8()?),
            to: To::decode(map.required(3)?)?,
            purposes: read_any(map.required(4)?, read_names)?,
            actions: read_any(map.required(5)?, read_actions)?,
            fields: read_any(map.required(6)?, read_selector)?,
            bounds: read_bounds(map.optional(7)?)?,
            records: read_bounds(map.optional(8)?)?,
            mandate: read_absent(map.optional(9)?, Name::decode)?,
        };
        map.finish()?;
        Some(prohibition)
    }
}
