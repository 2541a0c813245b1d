use alloc::{boxed::Box, collections::BTreeSet, vec::Vec};

use deedbox_cbor::{Item, Writer};
use deedbox_model::{Digest, Name, Timestamp};

use crate::{
    Actions, Basis, Bounds, Ground, Obligations, Rank, RuleError, Selector, To,
    codec::{
        read, read_absent, read_actions, read_bounds, read_obligations, read_opt, read_selector, read_some_names,
        to_vec, write_bounds, write_names, write_opt, write_selector,
    },
    lists::code_list,
    setters::setters,
};

/// What a person lets leave the store: to whom, for what, which fields, how long.
///
/// [`Permission::new`] starts one that allows nothing; the methods fill it in, and [`Policy::apply`](crate::Policy)
/// refuses what is incomplete.
///
/// ```cddl
/// permission = { 1: id, 2: rank, 3: to, 4: purpose, 5: actions, 6: selector, 7: basis, ? 8: ground, 9: bounds,
///                10: retention, ? 11: assurance, ? 12: [+ condition], ? 13: [+ recipient], ? 14: [times, per / null],
///                ? 15: bounds, ? 16: obligations, ? 17: evidence, ? 18: mandate }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Permission {
    /// Unique among all rules.
    pub id: Name,
    /// Its weight.
    pub rank: Rank,
    /// Who may use it.
    pub to: To,
    /// For this purpose and those below it.
    pub purpose: Name,
    /// What may be done.
    pub actions: Actions,
    /// With which fields.
    pub fields: Selector,
    /// The basis that must be asserted.
    pub basis: Basis,
    /// The ground for sensitive fields.
    pub ground: Option<Ground>,
    /// When it holds; both ends are needed.
    pub bounds: Bounds,
    /// Seconds the receiver may keep it; 0 is look only.
    pub retention: Option<u64>,
    /// Least strength of the asker's authentication, 0 to 4.
    pub assurance: u8,
    /// Conditions that must all hold.
    pub conditions: BTreeSet<Name>,
    /// Parties it may be passed on to.
    pub recipients: BTreeSet<Name>,
    /// How often it may be used.
    pub limit: Option<Limit>,
    /// The times records may be of.
    pub records: Bounds,
    /// What the receiver owes.
    pub obligations: Obligations,
    /// How the person agreed.
    pub evidence: Evidence,
    /// The mandate it was made under.
    pub mandate: Option<Name>,
}

/// How often a permission may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the language of rules is closed")]
pub struct Limit {
    /// At most so many uses …
    pub times: u64,
    /// … in any so many seconds; `None`: ever.
    pub per: Option<u64>,
}

code_list! {
    /// How clearly somebody agreed.
    EvidenceKind {
        /// Not at all, or not needed.
        NONE = 0 "none",
        /// By a clear act.
        PLAIN = 1 "plain",
        /// In express words.
        EXPLICIT = 2 "explicit",
        /// Because a service was made to depend on it; no consent.
        CONDITIONAL = 3 "conditional",
    }
}

/// How the person agreed. CBOR: `[kind, notice digest / null, language / null, time / null]`; absent for none.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Evidence {
    /// How clearly.
    pub kind: EvidenceKind,
    /// Digest of the notice that was shown.
    pub notice: Option<Digest>,
    /// The notice's language, a tag such as `en-GB`: at most 35 letters, digits, hyphens.
    pub language: Option<Box<str>>,
    /// When.
    pub time: Option<Timestamp>,
}

impl Permission {
    /// The most bytes of an encoded rule.
    pub const MAX_LEN: usize = 16 << 10;

    /// Starts a permission of rank [`Rank::PERSON`] that allows nothing yet.
    #[must_use]
    pub fn new(id: Name, to: To, purpose: Name, basis: Basis) -> Self {
        Self {
            id,
            rank: Rank::PERSON,
            to,
            purpose,
            actions: Actions::EMPTY,
            fields: Selector::default(),
            basis,
            ground: None,
            bounds: Bounds::OPEN,
            retention: None,
            assurance: 0,
            conditions: BTreeSet::new(),
            recipients: BTreeSet::new(),
            limit: None,
            records: Bounds::OPEN,
            obligations: Obligations::EMPTY,
            evidence: Evidence::NONE,
            mandate: None,
        }
    }

    setters! {
        /// Sets the rank.
        rank(rank: Rank) rank = rank;
        /// Sets what may be done.
        actions(actions: impl Into<Actions>) actions = actions.into();
        /// Sets the fields.
        fields(fields: Selector) fields = fields;
        /// Sets the ground for sensitive fields.
        ground(ground: Ground) ground = Some(ground);
        /// Sets when it holds: `from ≤ now < until`.
        between(from: Timestamp, until: Timestamp) bounds = Bounds::between(from, until);
        /// Sets how many seconds the receiver may keep what is released.
        retention(secs: u64) retention = Some(secs);
        /// Sets the least assurance of the asker, 0 to 4.
        assurance(level: u8) assurance = level;
        /// Sets the conditions.
        conditions(conditions: impl IntoIterator<Item = Name>) conditions = conditions.into_iter().collect();
        /// Sets the parties it may be passed on to.
        recipients(recipients: impl IntoIterator<Item = Name>) recipients = recipients.into_iter().collect();
        /// Sets how often it may be used: `times` in any `per` seconds, or ever.
        limit(times: u64, per: Option<u64>) limit = Some(Limit { times, per });
        /// Sets the times records may be of.
        records(records: Bounds) records = records;
        /// Sets what the receiver owes.
        obligations(obligations: impl Into<Obligations>) obligations = obligations.into();
        /// Sets how the person agreed.
        evidence(evidence: Evidence) evidence = evidence;
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
        if bytes.len() > Self::MAX_LEN {
            return Err(RuleError::TooLong);
        }
        read(bytes, Self::MAX_LEN).and_then(Self::decode).ok_or(RuleError::Malformed)
    }

    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer.map(|map| {
            map.int(1, |writer| self.id.encode(writer));
            map.int(2, |writer| {
                writer.uint(u64::from(self.rank.code()));
            });
            map.int(3, |writer| self.to.encode(writer));
            map.int(4, |writer| self.purpose.encode(writer));
            map.int(5, |writer| {
                writer.uint(u64::from(self.actions.bits()));
            });
            map.int(6, |writer| write_selector(writer, &self.fields));
            map.int(7, |writer| {
                writer.uint(u64::from(self.basis.code()));
            });
            if let Some(ground) = self.ground {
                map.int(8, |writer| {
                    writer.uint(u64::from(ground.code()));
                });
            }
            if self.bounds != Bounds::OPEN {
                map.int(9, |writer| write_bounds(writer, &self.bounds));
            }
            if let Some(retention) = self.retention {
                map.int(10, |writer| {
                    writer.uint(retention);
                });
            }
            if self.assurance != 0 {
                map.int(11, |writer| {
                    writer.uint(u64::from(self.assurance));
                });
            }
            if !self.conditions.is_empty() {
                map.int(12, |writer| write_names(writer, &self.conditions));
            }
            if !self.recipients.is_empty() {
                map.int(13, |writer| write_names(writer, &self.recipients));
            }
            if let Some(limit) = self.limit {
                map.int(14, |writer| {
                    writer.array(2).uint(limit.times);
                    write_opt(writer, limit.per, |writer, per| {
                        writer.uint(per);
                    });
                });
            }
            if self.records != Bounds::OPEN {
                map.int(15, |writer| write_bounds(writer, &self.records));
            }
            if !self.obligations.is_empty() {
                map.int(16, |writer| {
                    writer.uint(u64::from(self.obligations.bits()));
                });
            }
            if self.evidence != Evidence::NONE {
                map.int(17, |writer| self.evidence.encode(writer));
            }
            if let Some(mandate) = &self.mandate {
                map.int(18, |writer| mandate.encode(writer));
            }
        });
    }

    pub(crate) fn decode(item: Item<'_>) -> Option<Self> {
        let mut map = item.as_map()?.fields();
        let permission = Self {
            id: Name::decode(map.required(1)?)?,
            rank: Rank::from_code(map.required(2)?.as_u8()?),
            to: To::decode(map.required(3)?)?,
            purpose: Name::decode(map.required(4)?)?,
            actions: read_actions(map.required(5)?)?,
            fields: read_selector(map.required(6)?)?,
            basis: Basis::from_code(map.required(7)?.as_u8()?),
            ground: read_absent(map.optional(8)?, |item| item.as_u8().map(Ground::from_code))?,
            bounds: read_bounds(map.optional(9)?)?,
            retention: read_absent(map.optional(10)?, Item::as_u64)?,
            assurance: read_absent(map.optional(11)?, |item| item.as_u8().filter(|level| *level != 0))?
                .unwrap_or_default(),
            conditions: read_some_names(map.optional(12)?)?,
            recipients: read_some_names(map.optional(13)?)?,
            limit: read_absent(map.optional(14)?, |item| {
                let [times, per] = item.as_array()?.exactly()?;
                Some(Limit { times: times.as_u64()?, per: read_opt(per, Item::as_u64)? })
            })?,
            records: read_bounds(map.optional(15)?)?,
            obligations: read_absent(map.optional(16)?, read_obligations)?.unwrap_or_default(),
            evidence: read_absent(map.optional(17)?, Evidence::decode)?.unwrap_or(Evidence::NONE),
            mandate: read_absent(map.optional(18)?, Name::decode)?,
        };
        map.finish()?;
        Some(permission)
    }
}

impl Evidence {
    /// None at all.
    pub const NONE: Self = Self { kind: EvidenceKind::NONE, notice: None, language: None, time: None };

    /// Evidence of that kind, without more.
    #[must_use]
    pub const fn of(kind: EvidenceKind) -> Self {
        Self { kind, notice: None, language: None, time: None }
    }

    setters! {
        /// Adds the digest of the notice that was shown.
        notice(notice: Digest) notice = Some(notice);
        /// Adds when the person agreed.
        time(time: Timestamp) time = Some(time);
        /// Adds the notice's language; a text that is no language tag is left out.
        language(tag: &str) language = is_tag(tag).then(|| tag.into());
    }

    fn encode(&self, writer: &mut Writer) {
        writer.array(4).uint(u64::from(self.kind.code()));
        write_opt(writer, self.notice, |writer, notice| notice.encode(writer));
        write_opt(writer, self.language.as_deref(), |writer, language| {
            writer.text(language);
        });
        write_opt(writer, self.time, |writer, time| time.encode(writer));
    }

    fn decode(item: Item<'_>) -> Option<Self> {
        let [kind, notice, language, time] = item.as_array()?.exactly()?;
        let evidence = Self {
            kind: EvidenceKind::from_code(kind.as_u8()?),
            notice: read_opt(notice, Digest::decode)?,
            language: read_opt(language, |item| item.as_str().filter(|tag| is_tag(tag)).map(Into::into))?,
            time: read_opt(time, Timestamp::decode)?,
        };
        (evidence != Self::NONE).then_some(evidence)
    }
}

fn is_tag(text: &str) -> bool {
    (1..=35).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}
