use deedbox_cbor::{Item, Limits, Order};

use crate::CoseError;

/// What a reader of signed objects insists on. The same rules serve COSE_Sign1 and COSE_Sign.
#[derive(Debug, Clone, Copy)]
pub struct Sign1Rules {
    pub(crate) alg: AlgPlace,
    pub(crate) buckets: Buckets,
    pub(crate) limits: Limits,
    pub(crate) order: Order,
    pub(crate) protected: Presence,
    pub(crate) tag: TagRule,
    pub(crate) understood: &'static [i64],
}

/// Where `alg` is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there are two headers")]
pub enum AlgPlace {
    /// In the protected header, else in the unprotected one.
    Either,
    /// In the protected header only.
    Protected,
}

/// Whether a label may stand in both headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "it may or it may not")]
pub enum Buckets {
    /// It may not (RFC 9052 §3).
    Exclusive,
    /// It may, and only the protected one counts. For readers of objects that break the rule.
    ProtectedWins,
}

/// Whether the tag must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "these are the forms in use")]
pub enum TagRule {
    /// The object may lack its tag.
    Optional,
    /// The object may lack its tag; if it has it, tag 61 (CWT) may stand around it.
    OptionalWithCwt,
    /// The object has its tag.
    Required,
}

/// Whether the protected header must say something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    Optional,
    Required,
}

impl Sign1Rules {
    /// Tagged, with a protected header that is not empty and names the algorithm, no label twice, at most 262,144 bytes.
    pub const STRICT: Self = Self {
        alg: AlgPlace::Protected,
        buckets: Buckets::Exclusive,
        limits: Limits::new(262_144),
        order: Order::Any,
        protected: Presence::Required,
        tag: TagRule::Required,
        understood: &[],
    };

    /// Where `alg` is looked for.
    ///
    /// With [`AlgPlace::Either`] the protected header may be empty.
    #[must_use]
    pub const fn alg(self, alg: AlgPlace) -> Self {
        let protected = match alg {
            AlgPlace::Either => Presence::Optional,
            AlgPlace::Protected => Presence::Required,
        };
        Self { alg, protected, ..self }
    }

    /// Whether a label may stand in both headers.
    #[must_use]
    pub const fn buckets(self, buckets: Buckets) -> Self {
        Self { buckets, ..self }
    }

    /// Wants maps in canonical order, as in deedbox's own formats.
    #[must_use]
    pub const fn canonical(self) -> Self {
        Self { order: Order::Canonical, ..self }
    }

    /// The largest object accepted, in bytes, its payload included.
    #[must_use]
    pub const fn max_len(self, max_len: usize) -> Self {
        Self { limits: Limits::new(max_len), ..self }
    }

    /// Whether the tag must be there.
    #[must_use]
    pub const fn tag(self, tag: TagRule) -> Self {
        Self { tag, ..self }
    }

    /// The labels that the caller understands, so that `crit` may name them.
    #[must_use]
    pub const fn understood(self, labels: &'static [i64]) -> Self {
        Self { understood: labels, ..self }
    }

    /// What is left of `item` without the tags that these rules expect.
    pub(crate) fn untag<'a>(&self, item: Item<'a>, number: u64) -> Result<Item<'a>, CoseError> {
        match (item.as_tag(), self.tag) {
            (Some((found, content)), _) if found == number => Ok(content),
            (Some((CWT, content)), TagRule::OptionalWithCwt) => match content.as_tag() {
                Some((found, content)) if found == number => Ok(content),
                _ => Err(CoseError::Tag),
            },
            (None, TagRule::Optional | TagRule::OptionalWithCwt) => Ok(item),
            _ => Err(CoseError::Tag),
        }
    }
}

/// Tag of a CWT, RFC 8392 §6.
const CWT: u64 = 61;
