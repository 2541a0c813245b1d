//! What person and provider say to each other inside a session: an ask, and its answer.

mod justification;
mod rule;
mod statement;
mod terms;

use core::fmt;

use deedbox_cbor::{ItemBuf, Limits, Order, Writer, read};
use deedbox_model::{CapabilityId, FieldPath, Name};

pub use justification::Justification;
pub use rule::SignedRule;
pub use statement::Statement;
#[cfg(feature = "person")]
pub(crate) use statement::read_delivery;
#[cfg(feature = "provider")]
pub(crate) use statement::write_delivery;
pub use terms::SignedTerms;

/// Media type of an ask (`docs/format/consent.md`).
pub const ASK: &str = "application/deedbox-ask+cbor";
/// Media type of an [`Answer`].
pub const ANSWER: &str = "application/deedbox-answer+cbor";
/// Media type of a holder's key, by which the person asks for a credential.
pub const HOLDER_KEY: &str = "application/deedbox-holder-key+cbor";
/// Media type of an issued credential (SD-CWT).
pub const CREDENTIAL: &str = "application/sd-cwt";
/// Media type of a presentation (SD-CWT with key binding).
pub const PRESENTATION: &str = "application/kb+cwt";
/// Media type of a delivery: [`Statement`]s.
pub const DELIVERY: &str = "application/deedbox-delivery+cbor";
/// Media type of a [`Handover`].
pub const GRANT: &str = "application/deedbox-grant+cbor";
/// Media type of a [`Justification`].
pub const JUSTIFICATION: &str = "application/deedbox-justification+cose";
/// Media type of a receipt that one side or both have signed (`docs/format/audit.md`).
pub const RECEIPT: &str = "application/deedbox-receipt+cose";
/// Media type of a [`SignedRule`].
pub const RULE: &str = "application/deedbox-rule+cose";
/// Media type of [`SignedTerms`].
pub const TERMS: &str = "application/deedbox-terms+cose";

/// A grant on its way to the other side: where its data lies, what opens the host, and what opens the data.
///
/// ```cddl
/// handover = [host: tstr, capability: b16, head: bstr, grant: bstr]      ; head and grant as docs/format/record.md has them
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Handover {
    /// The host's origin.
    pub host: String,
    /// The capability at the host, for the key that signs under the agreement.
    pub capability: CapabilityId,
    /// The head that the grant names.
    pub head: Vec<u8>,
    /// The sealed grant.
    pub grant: Vec<u8>,
}

impl Handover {
    /// Its deterministic CBOR.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        self.capability.encode(writer.array(4).text(&self.host));
        writer.bytes(&self.head).bytes(&self.grant);
        writer.into_vec()
    }

    /// Reads a handover of at most 32 KiB: canonical, nothing unknown.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let item = read(bytes, Order::Canonical, &Limits::new(32 << 10)).ok()?;
        let [host, capability, head, grant] = item.as_array()?.exactly()?;
        Some(Self {
            host: host.as_str()?.to_owned(),
            capability: CapabilityId::decode(capability)?,
            head: head.as_bytes()?.to_vec(),
            grant: grant.as_bytes()?.to_vec(),
        })
    }
}

/// Prints lengths.
impl fmt::Debug for Handover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handover").field("grant", &self.grant.len()).finish_non_exhaustive()
    }
}

/// What a provider gets for an ask: the values that were released, and nothing that tells why others were not.
///
/// ```cddl
/// answer  = { 1: outcome: 0..3, ? 2: [+ value], ? 3: obligations: [+ tstr], ? 4: retention: uint }
/// value   = [field: tstr, path: tstr, value: any]       ; in the order of field and path
/// ```
///
/// A field that does not exist, one that is sealed and one without a permission look alike: they are not there.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// 0 refused, 1 partial, 2 granted, 3 malformed.
    pub outcome: u8,
    /// The values that left.
    pub values: Vec<Value>,
    /// What the receiver must do or leave.
    pub obligations: Vec<String>,
    /// Seconds that it may be kept.
    pub retention: Option<u64>,
}

/// One released value.
#[derive(Clone, PartialEq, Eq)]
pub struct Value {
    /// The field that was decided about.
    pub field: Name,
    /// Where the value stands in the person's records.
    pub path: FieldPath,
    /// The value, deterministic CBOR.
    pub value: ItemBuf,
}

impl Answer {
    /// The values of one field.
    pub fn field<'a>(&'a self, field: &'a Name) -> impl Iterator<Item = &'a Value> {
        self.values.iter().filter(move |value| value.field == *field)
    }

    /// Its deterministic CBOR.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.map(|map| {
            map.int(1, |w| {
                w.uint(self.outcome.into());
            });
            if !self.values.is_empty() {
                map.int(2, |w| {
                    w.array(self.values.len());
                    for value in &self.values {
                        w.array(3).text(value.field.as_str()).text(value.path.as_str()).item(value.value.as_item());
                    }
                });
            }
            if !self.obligations.is_empty() {
                map.int(3, |w| {
                    w.array(self.obligations.len());
                    for obligation in &self.obligations {
                        w.text(obligation);
                    }
                });
            }
            if let Some(retention) = self.retention {
                map.int(4, |w| {
                    w.uint(retention);
                });
            }
        });
        writer.into_vec()
    }

    /// Reads what [`Answer::to_bytes`] wrote, at most 32 MiB; `None` for anything else.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let item = read(bytes, Order::Canonical, &Limits::new(MAX_ANSWER)).ok()?;
        let mut fields = item.as_map()?.fields();
        let outcome = fields.required(1)?.as_u8().filter(|outcome| *outcome <= 3)?;
        let mut values = Vec::new();
        if let Some(items) = fields.optional(2)? {
            for item in items.as_array().filter(|items| !items.is_empty())? {
                let [field, path, value] = item.as_array()?.exactly()?;
                values.push(Value {
                    field: Name::decode(field)?,
                    path: FieldPath::decode(path)?,
                    value: ItemBuf::from_item(value).ok()?,
                });
            }
        }
        let mut obligations = Vec::new();
        if let Some(items) = fields.optional(3)? {
            for item in items.as_array().filter(|items| !items.is_empty())? {
                obligations.push(item.as_str()?.to_owned());
            }
        }
        let retention = match fields.optional(4)? {
            Some(item) => Some(item.as_u64()?),
            None => None,
        };
        fields.finish()?;
        Some(Self { outcome, values, obligations, retention })
    }
}

/// Prints counts, never a value.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("outcome", &self.outcome)
            .field("values", &self.values.len())
            .finish_non_exhaustive()
    }
}

/// Prints the length, never the value.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Value").field("len", &self.value.bytes().len()).finish_non_exhaustive()
    }
}

/// A release of a whole store of values fits.
const MAX_ANSWER: usize = 32 << 20;
