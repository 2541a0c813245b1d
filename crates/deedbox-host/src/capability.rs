//! Capabilities: decisions that a person took, carried to the place where bytes are served.

use deedbox_cbor::{Item, Limits, Order, Writer, read};
use deedbox_model::{CapabilityId, DatasetId, MailboxId, ObjectId, StoreName, Timestamp};

/// Most bytes of a capability row.
pub const MAX_ROW: usize = 64 << 10;

/// What may be done, one bit each.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ops(u8);

impl Ops {
    /// Read a dataset.
    pub const READ: Self = Self(1);
    /// Commit to a dataset.
    pub const COMMIT: Self = Self(2);
    /// Push mail.
    pub const PUSH: Self = Self(4);
    /// List and acknowledge mail.
    pub const TAKE: Self = Self(8);
    /// Read blobs.
    pub const READ_BLOBS: Self = Self(16);
    /// Write blobs.
    pub const WRITE_BLOBS: Self = Self(32);
    /// Manage the store: shares, header, capabilities, aliases, replacement, purge.
    pub const MANAGE: Self = Self(64);
    /// All of them.
    pub const ALL: Self = Self(127);

    /// The operations of these bits; `None` for none, or for a bit that has no meaning.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        if bits == 0 || bits > Self::ALL.0 { None } else { Some(Self(bits)) }
    }

    /// The bits.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether all of `other` are among these.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl std::ops::BitOr for Ops {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl std::fmt::Debug for Ops {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ops({})", self.0)
    }
}

/// What a right is about. Exhaustive: whoever judges a right has to know each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whoever judges a right has to know each target")]
pub enum Target {
    /// One dataset.
    Dataset(DatasetId),
    /// One mailbox.
    Mailbox(MailboxId),
    /// The whole store.
    Store,
}

/// Some operations on one target, or on some objects of a dataset.
///
/// ```cddl
/// right = [target: 0 / [1, dataset: b16] / [2, mailbox: b16], ops: uint, ? [1*256 object: b16]]
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    target: Target,
    ops: Ops,
    objects: Option<Vec<ObjectId>>,
}

impl Right {
    /// A right without a list of objects.
    #[must_use]
    pub const fn new(target: Target, ops: Ops) -> Self {
        Self { target, ops, objects: None }
    }

    /// A right to some objects of a dataset; `None` unless there are 1 to 256.
    #[must_use]
    pub fn to_objects(dataset: DatasetId, ops: Ops, objects: Vec<ObjectId>) -> Option<Self> {
        let fits = (1..=256).contains(&objects.len());
        fits.then_some(Self { target: Target::Dataset(dataset), ops, objects: Some(objects) })
    }

    fn covers(&self, target: Target, ops: Ops) -> bool {
        self.ops.contains(ops) && (self.target == Target::Store || self.target == target)
    }

    fn encode(&self, writer: &mut Writer) {
        writer.array(2 + usize::from(self.objects.is_some()));
        match self.target {
            Target::Store => writer.uint(0),
            Target::Dataset(id) => writer.array(2).uint(1).bytes(id.as_bytes()),
            Target::Mailbox(id) => writer.array(2).uint(2).bytes(id.as_bytes()),
        };
        writer.uint(u64::from(self.ops.0));
        if let Some(objects) = &self.objects {
            writer.array(objects.len());
            for object in objects {
                object.encode(writer);
            }
        }
    }

    fn decode(item: Item<'_>) -> Option<Self> {
        let parts = item.as_array()?;
        let mut parts = parts.iter();
        let (target, ops, objects) = (parts.next()?, parts.next()?, parts.next());
        if parts.next().is_some() {
            return None;
        }
        let ops = Ops::from_bits(ops.as_u8()?)?;
        let target = match (target.as_u64(), target.as_array()) {
            (Some(0), _) => Target::Store,
            (_, Some(parts)) => {
                let [kind, id] = parts.exactly()?;
                match kind.as_u64()? {
                    1 => Target::Dataset(DatasetId::decode(id)?),
                    2 => Target::Mailbox(MailboxId::decode(id)?),
                    _ => return None,
                }
            }
            _ => return None,
        };
        match (target, objects) {
            (_, None) => Some(Self::new(target, ops)),
            (Target::Dataset(dataset), Some(objects)) => {
                let objects = objects.as_array()?.iter().map(ObjectId::decode).collect::<Option<_>>()?;
                Self::to_objects(dataset, ops, objects)
            }
            _ => None,
        }
    }
}

/// Who may do what in a store, and until when.
///
/// ```cddl
/// capability = { 1: id: b16, 2: holder: b32, 3: name: b16, 4: [+ right], 5: not-before: uint, 6: not-after: uint,
///                ? 7: meter: b16 }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capability {
    /// Its id at this host.
    pub id: CapabilityId,
    /// The Ed25519 key that proves are signed with.
    pub holder: [u8; 32],
    /// The name under which the holder knows the store: the true id or an alias.
    pub name: StoreName,
    /// What may be done; any of them suffices.
    pub rights: Vec<Right>,
    /// Valid from this time on.
    pub not_before: Timestamp,
    /// Valid before this time.
    pub not_after: Timestamp,
    /// What its use is charged to.
    pub meter: Option<[u8; 16]>,
}

impl Capability {
    /// A capability without a meter.
    #[must_use]
    pub const fn new(
        id: CapabilityId,
        holder: [u8; 32],
        name: StoreName,
        rights: Vec<Right>,
        not_before: Timestamp,
        not_after: Timestamp,
    ) -> Self {
        Self { id, holder, name, rights, not_before, not_after, meter: None }
    }

    /// Whether a right covers this operation on this target as a whole.
    #[must_use]
    pub fn permits(&self, target: Target, ops: Ops) -> bool {
        self.rights.iter().any(|right| right.objects.is_none() && right.covers(target, ops))
    }

    /// Whether rights cover this operation on each of these objects of a dataset.
    #[must_use]
    pub fn permits_objects(&self, dataset: DatasetId, ops: Ops, objects: impl IntoIterator<Item = ObjectId>) -> bool {
        match self.scope(dataset, ops) {
            Scope::Everything => true,
            Scope::Nothing => false,
            Scope::Objects(permitted) => objects.into_iter().all(|object| permitted.contains(&object)),
        }
    }

    /// How much of a dataset rights cover for this operation.
    #[must_use]
    pub fn scope(&self, dataset: DatasetId, ops: Ops) -> Scope {
        let mut objects = std::collections::BTreeSet::new();
        for right in self.rights.iter().filter(|right| right.covers(Target::Dataset(dataset), ops)) {
            match &right.objects {
                None => return Scope::Everything,
                Some(some) => objects.extend(some.iter().copied()),
            }
        }
        if objects.is_empty() { Scope::Nothing } else { Scope::Objects(objects) }
    }

    /// The capability's bytes: deterministic CBOR.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        self.encode(&mut writer);
        writer.into_vec()
    }

    /// Writes the capability as one item.
    pub fn encode(&self, writer: &mut Writer) {
        writer.map(|map| {
            map.int(1, |w| self.id.encode(w))
                .int(2, |w| {
                    w.bytes(&self.holder);
                })
                .int(3, |w| self.name.encode(w))
                .int(4, |w| {
                    w.array(self.rights.len());
                    self.rights.iter().for_each(|right| right.encode(w));
                })
                .int(5, |w| self.not_before.encode(w))
                .int(6, |w| self.not_after.encode(w));
            if let Some(meter) = &self.meter {
                map.int(7, |w| {
                    w.bytes(meter);
                });
            }
        });
    }

    /// Reads a capability: canonical, at most 64 KiB, nothing unknown, at least one right.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Self::decode(read(bytes, Order::Canonical, &Limits::new(MAX_ROW)).ok()?)
    }

    /// Reads a capability from one item.
    #[must_use]
    pub fn decode(item: Item<'_>) -> Option<Self> {
        let mut fields = item.as_map()?.fields();
        let id = CapabilityId::decode(fields.required(1)?)?;
        let holder = fields.required(2)?.as_byte_array()?;
        let name = StoreName::decode(fields.required(3)?)?;
        let rights: Vec<_> = fields.required(4)?.as_array()?.iter().map(Right::decode).collect::<Option<_>>()?;
        let not_before = Timestamp::decode(fields.required(5)?)?;
        let not_after = Timestamp::decode(fields.required(6)?)?;
        let meter = match fields.optional(7)? {
            Some(meter) => Some(meter.as_byte_array()?),
            None => None,
        };
        fields.finish()?;
        (!rights.is_empty()).then_some(Self { id, holder, name, rights, not_before, not_after, meter })
    }
}

/// How much of a dataset a capability covers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whoever filters has to know each")]
pub enum Scope {
    /// All of it.
    Everything,
    /// None of it.
    Nothing,
    /// These objects.
    Objects(std::collections::BTreeSet<ObjectId>),
}

/// Whether a capability is in force. The owner's decision; time is judged apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whoever serves has to know each state")]
pub enum State {
    /// In force.
    Active,
    /// Not in force, until it is active again.
    Paused,
    /// Not in force, for good.
    Revoked,
}

impl State {
    /// The state's number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Active => 0,
            Self::Paused => 1,
            Self::Revoked => 2,
        }
    }

    /// The state of a number.
    #[must_use]
    pub const fn from_number(number: u64) -> Option<Self> {
        match number {
            0 => Some(Self::Active),
            1 => Some(Self::Paused),
            2 => Some(Self::Revoked),
            _ => None,
        }
    }
}

/// A capability as a host keeps it.
///
/// ```cddl
/// row = [state: 0..2, since: uint, capability]
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Row {
    /// Whether it is in force.
    pub state: State,
    /// Since when, by the host's clock.
    pub since: Timestamp,
    /// What it allows.
    pub capability: Capability,
}

impl Row {
    /// A row.
    #[must_use]
    pub const fn new(state: State, since: Timestamp, capability: Capability) -> Self {
        Self { state, since, capability }
    }

    /// The row's bytes: deterministic CBOR.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.array(3).uint(u64::from(self.state.number()));
        self.since.encode(&mut writer);
        self.capability.encode(&mut writer);
        writer.into_vec()
    }

    /// Reads a row: canonical, at most 64 KiB, nothing unknown.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Self::decode(read(bytes, Order::Canonical, &Limits::new(MAX_ROW)).ok()?)
    }

    /// Reads a row from one item.
    #[must_use]
    pub fn decode(item: Item<'_>) -> Option<Self> {
        let [state, since, capability] = item.as_array()?.exactly()?;
        Some(Self {
            state: State::from_number(state.as_u64()?)?,
            since: Timestamp::decode(since)?,
            capability: Capability::decode(capability)?,
        })
    }
}
