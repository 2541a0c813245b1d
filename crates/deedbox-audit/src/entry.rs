use deedbox_cbor::{Array, Item, Limits, Order, Writer, read};
use deedbox_model::{Digest, Timestamp};

use crate::AuditError;

/// What happened. Holds names of fields, never a value.
///
/// ```cddl
/// entry = { 1: 1, 2: seq: uint, 3: time, 4: kind, 5: party: tstr / null, ? 6: purpose: tstr, ? 7: action: uint, ? 8: basis: uint,
///           ? 9: ground: uint, ? 10: released: [* tstr], ? 11: withheld: [* [tstr, reason: uint]], ? 12: determining: [* tstr],
///           ? 13: obligations: uint, 14: policy: bytes32, ? 15: receipt: bytes32, ? 16: refusal: uint, ? 17: host-notice: bytes32,
///           ? 18: recipient: tstr, ? 19: assurance: uint, ? 20: conditions: [* tstr], ? 21: all: true, ? 22: stopped: true,
///           ? 23: replaces: [* [tstr, [+ tstr]]] }
/// ```
///
/// [`Entry::new`] sets what every entry has; the rest is public and optional, and an empty list is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the log, from 0; [`crate::Log::append`] sets it.
    pub seq: u64,
    /// When it happened, by the agent's clock.
    pub time: Timestamp,
    /// What kind of thing happened.
    pub kind: EntryKind,
    /// Who asked, was told or acted; none when the person acted alone.
    pub party: Option<String>,
    /// The stated purpose.
    pub purpose: Option<String>,
    /// The action asked for, by its number in the consent format.
    pub action: Option<u64>,
    /// The basis asserted, by its code.
    pub basis: Option<u64>,
    /// The ground asserted for sensitive fields, by its code.
    pub ground: Option<u64>,
    /// The fields that left, or, of a decision that was stopped, might have.
    pub released: Vec<String>,
    /// The fields that did not, each with the reason's code.
    pub withheld: Vec<(String, u64)>,
    /// The permissions that decided.
    pub determining: Vec<String>,
    /// Duties of the recipient, as bits.
    pub obligations: Option<u64>,
    /// The policy in force, by its digest.
    pub policy: Digest,
    /// The receipt or presentation that belongs to it, by its digest.
    pub receipt: Option<Digest>,
    /// Why the whole request was refused, by its code.
    pub refusal: Option<u64>,
    /// The host's notice it was made from, by its digest.
    pub host_notice: Option<Digest>,
    /// Whom the fields were to be passed on to.
    pub recipient: Option<String>,
    /// How strongly the asker was authenticated; none is 0.
    pub assurance: Option<u64>,
    /// Which conditions the agent vouched for.
    pub conditions: Vec<String>,
    /// Whether all permitted fields were asked for, not a list.
    pub all: bool,
    /// Whether nothing left although something was permitted: what was wanted needed more. No permission is used then.
    pub stopped: bool,
    /// Permissions that took the place of others that a limit counts, each with those: their uses until then are uses of it too.
    pub replaces: Vec<(String, Vec<String>)>,
}

/// What kind of thing an entry tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "callers who show the log must notice a new kind")]
pub enum EntryKind {
    /// Somebody asked, and the policy was evaluated.
    Decision = 1,
    /// Fields or claims left.
    Disclosure = 2,
    /// A permission, prohibition or mandate was made, changed or withdrawn.
    Rule = 3,
    /// A receipt was given or taken.
    Receipt = 4,
    /// Something was erased.
    Erasure = 5,
    /// The host reported a read while the person was away.
    HostNotice = 6,
    /// Something that must not happen was noticed.
    Alarm = 7,
}

impl Entry {
    /// An entry with what every entry has.
    #[must_use]
    pub fn new(time: Timestamp, kind: EntryKind, party: Option<&str>, policy: Digest) -> Self {
        Self {
            seq: 0,
            time,
            kind,
            party: party.map(str::to_owned),
            purpose: None,
            action: None,
            basis: None,
            ground: None,
            released: Vec::new(),
            withheld: Vec::new(),
            determining: Vec::new(),
            obligations: None,
            policy,
            receipt: None,
            refusal: None,
            host_notice: None,
            recipient: None,
            assurance: None,
            conditions: Vec::new(),
            all: false,
            stopped: false,
            replaces: Vec::new(),
        }
    }

    /// The permissions that something left by: those that a limit counts.
    pub fn used(&self) -> impl Iterator<Item = &str> {
        let is_use = self.kind == EntryKind::Decision && !self.stopped;
        self.determining.iter().filter(move |_| is_use).map(String::as_str)
    }

    /// Its deterministic CBOR.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.append_to(Vec::with_capacity(256))
    }

    /// `bytes`, and behind them the entry's deterministic CBOR.
    pub(crate) fn append_to(&self, bytes: Vec<u8>) -> Vec<u8> {
        let mut writer = Writer::from_vec(bytes);
        writer.map(|map| {
            map.int(1, |w| {
                w.uint(1);
            });
            map.int(2, |w| {
                w.uint(self.seq);
            });
            map.int(3, |w| {
                w.uint(self.time.secs());
            });
            map.int(4, |w| {
                w.uint(self.kind.number());
            });
            map.int(5, |w| match &self.party {
                Some(party) => {
                    w.text(party);
                }
                None => {
                    w.null();
                }
            });
            if let Some(purpose) = &self.purpose {
                map.int(6, |w| {
                    w.text(purpose);
                });
            }
            for (key, number) in [(7, self.action), (8, self.basis), (9, self.ground)] {
                if let Some(number) = number {
                    map.int(key, |w| {
                        w.uint(number);
                    });
                }
            }
            if !self.released.is_empty() {
                map.int(10, |w| names(w, &self.released));
            }
            if !self.withheld.is_empty() {
                map.int(11, |w| {
                    w.array(self.withheld.len());
                    for (field, reason) in &self.withheld {
                        w.array(2).text(field).uint(*reason);
                    }
                });
            }
            if !self.determining.is_empty() {
                map.int(12, |w| names(w, &self.determining));
            }
            if let Some(obligations) = self.obligations {
                map.int(13, |w| {
                    w.uint(obligations);
                });
            }
            map.int(14, |w| {
                w.bytes(self.policy.as_bytes());
            });
            if let Some(receipt) = &self.receipt {
                map.int(15, |w| {
                    w.bytes(receipt.as_bytes());
                });
            }
            if let Some(refusal) = self.refusal {
                map.int(16, |w| {
                    w.uint(refusal);
                });
            }
            if let Some(notice) = &self.host_notice {
                map.int(17, |w| {
                    w.bytes(notice.as_bytes());
                });
            }
            if let Some(recipient) = &self.recipient {
                map.int(18, |w| {
                    w.text(recipient);
                });
            }
            if let Some(assurance) = self.assurance {
                map.int(19, |w| {
                    w.uint(assurance);
                });
            }
            if !self.conditions.is_empty() {
                map.int(20, |w| names(w, &self.conditions));
            }
            for (key, is_so) in [(21, self.all), (22, self.stopped)] {
                if is_so {
                    map.int(key, |w| {
                        w.bool(true);
                    });
                }
            }
            if !self.replaces.is_empty() {
                map.int(23, |w| {
                    w.array(self.replaces.len());
                    for (permission, replaced) in &self.replaces {
                        names(w.array(2).text(permission), replaced);
                    }
                });
            }
        });
        writer.into_vec()
    }

    /// Reads what [`Entry::to_bytes`] wrote, at most 1 MiB.
    ///
    /// # Errors
    /// [`AuditError::Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, AuditError> {
        let item = read(bytes, Order::Canonical, &Limits::new(MAX_ENTRY)).map_err(|_| AuditError::Malformed)?;
        Self::decode(item).ok_or(AuditError::Malformed)
    }

    fn decode(item: Item<'_>) -> Option<Self> {
        let mut fields = item.as_map()?.fields();
        if fields.required(1)?.as_u64()? != 1 {
            return None;
        }
        let seq = fields.required(2)?.as_u64()?;
        let time = Timestamp::from_secs(fields.required(3)?.as_u64()?);
        let kind = EntryKind::from_number(fields.required(4)?.as_u64()?)?;
        let party = fields.required(5)?;
        let party = if party.is_null() { None } else { Some(party.as_str()?.to_owned()) };
        let entry = Self {
            seq,
            time,
            kind,
            party,
            purpose: text(fields.optional(6)?)?,
            action: number(fields.optional(7)?)?,
            basis: number(fields.optional(8)?)?,
            ground: number(fields.optional(9)?)?,
            released: list(fields.optional(10)?, |item| item.as_str().map(str::to_owned))?,
            withheld: list(fields.optional(11)?, |item| {
                let [field, reason] = item.as_array()?.exactly()?;
                Some((field.as_str()?.to_owned(), reason.as_u64()?))
            })?,
            determining: list(fields.optional(12)?, |item| item.as_str().map(str::to_owned))?,
            obligations: number(fields.optional(13)?)?,
            policy: Digest::from_bytes(fields.required(14)?.as_byte_array()?),
            receipt: digest(fields.optional(15)?)?,
            refusal: number(fields.optional(16)?)?,
            host_notice: digest(fields.optional(17)?)?,
            recipient: text(fields.optional(18)?)?,
            assurance: number(fields.optional(19)?)?,
            conditions: list(fields.optional(20)?, |item| item.as_str().map(str::to_owned))?,
            all: flag(fields.optional(21)?)?,
            stopped: flag(fields.optional(22)?)?,
            replaces: list(fields.optional(23)?, |item| {
                let [permission, replaced] = item.as_array()?.exactly()?;
                let replaced = list(Some(replaced), |item| item.as_str().map(str::to_owned))?;
                Some((permission.as_str()?.to_owned(), replaced))
            })?,
        };
        fields.finish()?;
        Some(entry)
    }
}

impl EntryKind {
    const fn number(self) -> u64 {
        match self {
            Self::Decision => 1,
            Self::Disclosure => 2,
            Self::Rule => 3,
            Self::Receipt => 4,
            Self::Erasure => 5,
            Self::HostNotice => 6,
            Self::Alarm => 7,
        }
    }

    const fn from_number(number: u64) -> Option<Self> {
        Some(match number {
            1 => Self::Decision,
            2 => Self::Disclosure,
            3 => Self::Rule,
            4 => Self::Receipt,
            5 => Self::Erasure,
            6 => Self::HostNotice,
            7 => Self::Alarm,
            _ => return None,
        })
    }
}

fn names(writer: &mut Writer, names: &[String]) {
    writer.array(names.len());
    for name in names {
        writer.text(name);
    }
}

fn text(item: Option<Item<'_>>) -> Option<Option<String>> {
    match item {
        None => Some(None),
        Some(item) => Some(Some(item.as_str()?.to_owned())),
    }
}

fn number(item: Option<Item<'_>>) -> Option<Option<u64>> {
    match item {
        None => Some(None),
        Some(item) => Some(Some(item.as_u64()?)),
    }
}

/// A flag that is left out when it is down.
fn flag(item: Option<Item<'_>>) -> Option<bool> {
    match item {
        None => Some(false),
        Some(item) => item.as_bool().filter(|is_so| *is_so),
    }
}

fn digest(item: Option<Item<'_>>) -> Option<Option<Digest>> {
    match item {
        None => Some(None),
        Some(item) => Some(Some(Digest::from_bytes(item.as_byte_array()?))),
    }
}

/// A list that is left out when it is empty, so an empty one is a second way to say the same and refused.
fn list<'a, T>(item: Option<Item<'a>>, read: impl Fn(Item<'a>) -> Option<T>) -> Option<Vec<T>> {
    let Some(item) = item else { return Some(Vec::new()) };
    let array: Array<'a> = item.as_array().filter(|array| !array.is_empty())?;
    array.iter().map(read).collect()
}

/// The largest entry, in bytes: it may name every field of a store.
pub(crate) const MAX_ENTRY: usize = 1024 * 1024;
