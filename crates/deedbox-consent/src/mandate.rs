use alloc::{collections::BTreeSet, vec::Vec};

use deedbox_cbor::{Item, Writer};
use deedbox_model::{Digest, Name, Timestamp};

use crate::{
    Actions, Any, Bounds, Rank, RuleError, Selector,
    codec::{
        read, read_absent, read_actions, read_any, read_bounds, read_names, read_selector, to_vec, write_any,
        write_bounds, write_names, write_selector,
    },
    setters::setters,
};

/// Lets somebody else make rules for the person, within bounds.
///
/// ```cddl
/// mandate = { 1: id, 2: agent, 3: rank, 4: [+ purpose] / null, 5: actions / null, 6: selector / null, 7: bounds,
///             ? 8: deed: bytes32 }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mandate {
    /// Unique among all rules.
    pub id: Name,
    /// The party who may make rules.
    pub agent: Name,
    /// The highest rank they may use: `delegate` or `person`.
    pub rank: Rank,
    /// For these purposes and those below them.
    pub purposes: Any<BTreeSet<Name>>,
    /// With these actions.
    pub actions: Any<Actions>,
    /// About these fields.
    pub fields: Any<Selector>,
    /// When it holds; both ends are needed.
    pub bounds: Bounds,
    /// Digest of the deed.
    pub deed: Option<Digest>,
}

impl Mandate {
    /// Starts a mandate over any purpose, action and field; [`Mandate::between`] must follow.
    #[must_use]
    pub fn new(id: Name, agent: Name, rank: Rank) -> Self {
        Self {
            id,
            agent,
            rank,
            purposes: Any::Any,
            actions: Any::Any,
            fields: Any::Any,
            bounds: Bounds::OPEN,
            deed: None,
        }
    }

    setters! {
        /// Narrows it to these purposes.
        purposes(purposes: impl IntoIterator<Item = Name>) purposes = Any::Only(purposes.into_iter().collect());
        /// Narrows it to these actions.
        actions(actions: impl Into<Actions>) actions = Any::Only(actions.into());
        /// Narrows it to these fields.
        fields(fields: Selector) fields = Any::Only(fields);
        /// Sets when it holds: `from ≤ now < until`.
        between(from: Timestamp, until: Timestamp) bounds = Bounds::between(from, until);
        /// Sets the digest of the deed.
        deed(deed: Digest) deed = Some(deed);
    }

    /// The canonical bytes: what the person signs.
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
            map.int(2, |writer| self.agent.encode(writer));
            map.int(3, |writer| {
                writer.uint(u64::from(self.rank.code()));
            });
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
            if let Some(deed) = self.deed {
                map.int(8, |writer| deed.encode(writer));
            }
        });
    }

    pub(crate) fn decode(item: Item<'_>) -> Option<Self> {
        let mut map = item.as_map()?.fields();
        let mandate = Self {
            id: Name::decode(map.required(1)?)?,
            agent: Name::decode(map.required(2)?)?,
            rank: Rank::from_code(map.required(3)?.as_u8()?),
            purposes: read_any(map.required(4)?, read_names)?,
            actions: read_any(map.required(5)?, read_actions)?,
            fields: read_any(map.required(6)?, read_selector)?,
            bounds: read_bounds(map.optional(7)?)?,
            deed: read_absent(map.optional(8)?, Digest::decode)?,
        };
        map.finish()?;
        Some(mandate)
    }
}
