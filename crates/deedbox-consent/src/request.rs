use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use deedbox_cbor::Writer;
use deedbox_model::{Assurance, Name, Timestamp};

use crate::{
    Action, Basis, DecodeError, Ground,
    codec::{read, read_absent, read_names, to_vec, write_names},
    setters::setters,
};

/// What the asker says. Nothing of it is believed beyond what it is: a wish.
///
/// [`Ask::read`] starts one; what is left out makes the request be refused, never widened.
///
/// ```cddl
/// ask = { ? 1: purpose, ? 2: action, ? 3: basis, ? 4: ground, ? 5: [+ field] / null, ? 6: recipient }   ; null: all
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ask {
    /// What for.
    pub purpose: Option<Name>,
    /// What to do.
    pub action: Option<Action>,
    /// On what basis.
    pub basis: Option<Basis>,
    /// On what ground, for sensitive fields.
    pub ground: Option<Ground>,
    /// Which fields.
    pub fields: Option<AskedFields>,
    /// Whom to pass them on to.
    pub recipient: Option<Name>,
}

/// Which fields are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no third")]
pub enum AskedFields {
    /// All that are permitted.
    All,
    /// These.
    These(BTreeSet<Name>),
}

/// What the person's agent knows about a request, from its own connection, clock and log; never from the message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostFacts {
    /// Who asks.
    pub party: Name,
    /// When.
    pub now: Timestamp,
    /// How strongly they are authenticated.
    pub assurance: Assurance,
    /// Which conditions hold.
    pub conditions: BTreeSet<Name>,
    /// Times of earlier releases under each permission, from the log.
    pub uses: BTreeMap<Name, Vec<Timestamp>>,
}

impl Ask {
    /// Asks to read `fields` for `purpose`.
    #[must_use]
    pub fn read(purpose: Name, basis: Basis, fields: impl IntoIterator<Item = Name>) -> Self {
        Self {
            purpose: Some(purpose),
            action: Some(Action::Read),
            basis: Some(basis),
            fields: Some(AskedFields::These(fields.into_iter().collect())),
            ..Self::default()
        }
    }

    /// Asks to read all that is permitted for `purpose`.
    #[must_use]
    pub fn read_all(purpose: Name, basis: Basis) -> Self {
        Self {
            purpose: Some(purpose),
            action: Some(Action::Read),
            basis: Some(basis),
            fields: Some(AskedFields::All),
            ..Self::default()
        }
    }

    setters! {
        /// Sets the action.
        action(action: Action) action = Some(action);
        /// Sets the ground.
        ground(ground: Ground) ground = Some(ground);
        /// Sets the recipient.
        recipient(recipient: Name) recipient = Some(recipient);
    }

    /// The canonical bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        to_vec(|writer| self.encode(writer))
    }

    /// Reads the canonical bytes, at most [`Ask::MAX_LEN`].
    ///
    /// # Errors
    /// [`DecodeError::Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::decode(bytes).ok_or(DecodeError::Malformed)
    }

    /// The most bytes of an encoded request.
    pub const MAX_LEN: usize = 1 << 20;

    fn encode(&self, writer: &mut Writer) {
        writer.map(|map| {
            if let Some(purpose) = &self.purpose {
                map.int(1, |writer| purpose.encode(writer));
            }
            if let Some(action) = self.action {
                map.int(2, |writer| {
                    writer.uint(u64::from(action.bit()));
                });
            }
            if let Some(basis) = self.basis {
                map.int(3, |writer| {
                    writer.uint(u64::from(basis.code()));
                });
            }
            if let Some(ground) = self.ground {
                map.int(4, |writer| {
                    writer.uint(u64::from(ground.code()));
                });
            }
            match &self.fields {
                None => {}
                Some(AskedFields::All) => {
                    map.int(5, |writer| {
                        writer.null();
                    });
                }
                Some(AskedFields::These(fields)) => {
                    map.int(5, |writer| write_names(writer, fields));
                }
            }
            if let Some(recipient) = &self.recipient {
                map.int(6, |writer| recipient.encode(writer));
            }
        });
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut map = read(bytes, Self::MAX_LEN)?.as_map()?.fields();
        let ask = Self {
            purpose: read_absent(map.optional(1)?, Name::decode)?,
            action: read_absent(map.optional(2)?, |item| Action::from_bit(item.as_u8()?))?,
            basis: read_absent(map.optional(3)?, |item| item.as_u8().map(Basis::from_code))?,
            ground: read_absent(map.optional(4)?, |item| item.as_u8().map(Ground::from_code))?,
            fields: read_absent(map.optional(5)?, |item| {
                if item.is_null() { Some(AskedFields::All) } else { read_names(item).map(AskedFields::These) }
            })?,
            recipient: read_absent(map.optional(6)?, Name::decode)?,
        };
        map.finish()?;
        Some(ask)
    }
}

impl HostFacts {
    /// `party` asks at `now`; nothing more is known.
    #[must_use]
    pub fn new(party: Name, now: Timestamp) -> Self {
        Self { party, now, assurance: Assurance::Unknown, conditions: BTreeSet::new(), uses: BTreeMap::new() }
    }

    setters! {
        /// Sets how strongly the asker is authenticated.
        assurance(assurance: Assurance) assurance = assurance;
        /// Sets the conditions that hold.
        conditions(conditions: impl IntoIterator<Item = Name>) conditions = conditions.into_iter().collect();
    }

    /// Adds the earlier releases under `permission`.
    #[must_use]
    pub fn uses(mut self, permission: Name, times: impl IntoIterator<Item = Timestamp>) -> Self {
        self.uses.entry(permission).or_default().extend(times);
        self
    }
}
