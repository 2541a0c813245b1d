use alloc::{collections::BTreeSet, vec::Vec};

use deedbox_model::{Digest, Name, Timestamp};

use crate::{
    DecodeError, Obligations, Regime,
    codec::{read, read_absent, read_names, read_obligations, to_vec, write_names},
};

/// What happened, for both sides to sign: the payload of a COSE_Sign.
///
/// ```cddl
/// receipt = { 1: 1, 2: kind, 3: time, 4: party: tstr, 5: subject: bytes32, 6: policy: bytes32, 7: vocabulary: bytes32,
///             8: regime: uint, ? 9: checkpoint, ? 10: fields: [* tstr], ? 11: obligations: uint, ? 12: keep-until: time,
///             ? 13: notice: bytes32, ? 14: emergency: true }
/// kind = 1 given / 2 refused / 3 withdrawn / 4 disclosed       checkpoint = [size: uint, root: bytes32]
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// What happened.
    pub kind: ReceiptKind,
    /// When.
    pub time: Timestamp,
    /// With whom.
    pub party: Name,
    /// Digest of the permission, the terms or the log entry it is about.
    pub subject: Digest,
    /// Digest of the policy.
    pub policy: Digest,
    /// Digest of the vocabulary.
    pub vocabulary: Digest,
    /// Which law's table held.
    pub regime: Regime,
    /// Size and root of the log.
    pub checkpoint: Option<(u64, Digest)>,
    /// The fields it is about.
    pub fields: Option<BTreeSet<Name>>,
    /// What the receiver owes.
    pub obligations: Obligations,
    /// Until when the receiver may keep it.
    pub keep_until: Option<Timestamp>,
    /// Digest of the notice that was shown.
    pub notice: Option<Digest>,
    /// Whether an emergency rule let it leave.
    pub emergency: bool,
}

/// What a receipt is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "callers must notice a new one")]
pub enum ReceiptKind {
    /// 1: a permission was given.
    Given,
    /// 2: it was refused.
    Refused,
    /// 3: it was withdrawn.
    Withdrawn,
    /// 4: fields were disclosed.
    Disclosed,
}

impl ReceiptKind {
    /// Its number.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Given => 1,
            Self::Refused => 2,
            Self::Withdrawn => 3,
            Self::Disclosed => 4,
        }
    }

    const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Given),
            2 => Some(Self::Refused),
            3 => Some(Self::Withdrawn),
            4 => Some(Self::Disclosed),
            _ => None,
        }
    }
}

/// The digests a receipt rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "three digests that must not be mixed up")]
pub struct ReceiptDigests {
    /// Of the permission, the terms or the log entry.
    pub subject: Digest,
    /// Of the policy.
    pub policy: Digest,
    /// Of the vocabulary.
    pub vocabulary: Digest,
}

impl Receipt {
    /// The most bytes of an encoded receipt.
    pub const MAX_LEN: usize = 1 << 20;

    /// A receipt with what every receipt has; the rest are public fields.
    #[must_use]
    pub const fn new(kind: ReceiptKind, time: Timestamp, party: Name, digests: ReceiptDigests, regime: Regime) -> Self {
        let ReceiptDigests { subject, policy, vocabulary } = digests;
        Self {
            kind,
            time,
            party,
            subject,
            policy,
            vocabulary,
            regime,
            checkpoint: None,
            fields: None,
            obligations: Obligations::EMPTY,
            keep_until: None,
            notice: None,
            emergency: false,
        }
    }

    /// The canonical bytes: what both sides sign.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        to_vec(|writer| {
            writer.map(|map| {
                map.int(1, |writer| {
                    writer.uint(1);
                });
                map.int(2, |writer| {
                    writer.uint(u64::from(self.kind.number()));
                });
                map.int(3, |writer| self.time.encode(writer));
                map.int(4, |writer| self.party.encode(writer));
                map.int(5, |writer| self.subject.encode(writer));
                map.int(6, |writer| self.policy.encode(writer));
                map.int(7, |writer| self.vocabulary.encode(writer));
                map.int(8, |writer| {
                    writer.uint(u64::from(self.regime.code()));
                });
                if let Some((size, root)) = &self.checkpoint {
                    map.int(9, |writer| {
                        writer.array(2).uint(*size);
                        root.encode(writer);
                    });
                }
                if let Some(fields) = &self.fields {
                    map.int(10, |writer| write_names(writer, fields));
                }
                if !self.obligations.is_empty() {
                    map.int(11, |writer| {
                        writer.uint(u64::from(self.obligations.bits()));
                    });
                }
                if let Some(keep_until) = self.keep_until {
                    map.int(12, |writer| keep_until.encode(writer));
                }
                if let Some(notice) = &self.notice {
                    map.int(13, |writer| notice.encode(writer));
                }
                if self.emergency {
                    map.int(14, |writer| {
                        writer.bool(true);
                    });
                }
            });
        })
    }

    /// Reads the canonical bytes, at most [`Receipt::MAX_LEN`].
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
        let receipt = Self {
            kind: ReceiptKind::from_number(map.required(2)?.as_u8()?)?,
            time: Timestamp::decode(map.required(3)?)?,
            party: Name::decode(map.required(4)?)?,
            subject: Digest::decode(map.required(5)?)?,
            policy: Digest::decode(map.required(6)?)?,
            vocabulary: Digest::decode(map.required(7)?)?,
            regime: Some(Regime::from_code(map.required(8)?.as_u8()?)).filter(|regime| regime.is_known())?,
            checkpoint: read_absent(map.optional(9)?, |item| {
                let [size, root] = item.as_array()?.exactly()?;
                Some((size.as_u64()?, Digest::decode(root)?))
            })?,
            fields: read_absent(map.optional(10)?, read_names)?,
            obligations: read_absent(map.optional(11)?, read_obligations)?.unwrap_or_default(),
            keep_until: read_absent(map.optional(12)?, Timestamp::decode)?,
            notice: read_absent(map.optional(13)?, Digest::decode)?,
            emergency: read_absent(map.optional(14)?, |item| item.as_bool().filter(|emergency| *emergency))?
                .unwrap_or_default(),
        };
        map.finish()?;
        Some(receipt)
    }
}
