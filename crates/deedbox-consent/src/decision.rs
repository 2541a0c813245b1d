use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use deedbox_model::{Name, Timestamp};

use crate::{Action, Bounds, FieldSet, Obligations, Permission, ReleasePlan, fields::Released};

/// Defines the numbered reasons.
macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $code:literal),+ $(,)?) => {
        /// Why a request or a field was refused. The numbers are stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(clippy::exhaustive_enums, reason = "callers must notice a new one")]
        pub enum Reason {
            $($(#[$doc])* $variant,)+
        }

        impl Reason {
            /// Every reason, by number.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The variant's name.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($variant),)+
                }
            }

            /// The number, as in the log.
            #[must_use]
            pub const fn number(self) -> u8 {
                match self {
                    $(Self::$variant => $code,)+
                }
            }

            /// The reason of that number.
            #[must_use]
            pub const fn from_number(number: u8) -> Option<Self> {
                match number {
                    $($code => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

reasons! {
    /// Whole request: the asker is no known party.
    UnknownParty = 1,
    /// Whole request: no purpose is named.
    PurposeMissing = 2,
    /// Whole request: no such purpose.
    UnknownPurpose = 3,
    /// Whole request: no such action, or none.
    UnknownAction = 4,
    /// Whole request: no basis is asserted.
    BasisMissing = 5,
    /// Whole request: no such basis, or not for this regime and kind of party.
    BasisNotAvailable = 6,
    /// Whole request: no field is asked for.
    FieldsMissing = 7,
    /// There is no such field.
    UnknownField = 16,
    /// Only the issuer may change or erase it.
    IssuerOwned = 17,
    /// Nothing permits this party this field.
    NoPermission = 18,
    /// The party is not on both rosters.
    RosterChanged = 19,
    /// The purpose is wider than what is permitted.
    PurposeTooBroad = 20,
    /// The purpose is another than what is permitted.
    PurposeNotCovered = 21,
    /// The action is not permitted.
    ActionNotCovered = 22,
    /// It is permitted on another basis.
    BasisMismatch = 23,
    /// The permission is suspended.
    Suspended = 24,
    /// The permission was withdrawn.
    Withdrawn = 25,
    /// The permission's mandate does not hold.
    MandateInvalid = 26,
    /// The permission is yet to begin.
    NotYetValid = 27,
    /// The permission has ended.
    Expired = 28,
    /// The field is sensitive, and the ground is missing or another.
    GroundMissing = 29,
    /// The asker is not authenticated well enough.
    AssuranceTooLow = 30,
    /// A condition does not hold.
    ConditionUnmet = 31,
    /// It may not be passed on to this recipient.
    RecipientNotNamed = 32,
    /// It was used as often as allowed.
    UsageExhausted = 33,
    /// A prohibition stands against it.
    Prohibited = 34,
    /// A seal stands against it.
    Sealed = 35,
}

impl core::fmt::Display for Reason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::UnknownParty => "the asker is not known",
            Self::PurposeMissing => "no purpose was named",
            Self::UnknownPurpose => "the purpose is not known",
            Self::UnknownAction => "the action is not known",
            Self::BasisMissing => "no legal basis was named",
            Self::BasisNotAvailable => "this asker cannot rely on that legal basis",
            Self::FieldsMissing => "no field was asked for",
            Self::UnknownField => "there is no such field",
            Self::IssuerOwned => "only its issuer may change it",
            Self::NoPermission => "no permission covers it",
            Self::RosterChanged => "the asker is not in the group the permission names",
            Self::PurposeTooBroad => "the purpose is wider than permitted",
            Self::PurposeNotCovered => "the purpose is not permitted",
            Self::ActionNotCovered => "the action is not permitted",
            Self::BasisMismatch => "it is permitted on another legal basis",
            Self::Suspended => "the permission is suspended",
            Self::Withdrawn => "the permission was withdrawn",
            Self::MandateInvalid => "the mandate behind the permission does not hold",
            Self::NotYetValid => "the permission has not begun",
            Self::Expired => "the permission has ended",
            Self::GroundMissing => "it is sensitive and the ground for it is missing",
            Self::AssuranceTooLow => "the asker is not authenticated well enough",
            Self::ConditionUnmet => "a condition is not met",
            Self::RecipientNotNamed => "it may not be passed on to this recipient",
            Self::UsageExhausted => "the permission was used as often as allowed",
            Self::Prohibited => "a prohibition stands against it",
            Self::Sealed => "it is sealed",
        })
    }
}

/// What came of a request.
#[derive(Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "callers must notice a new one")]
#[must_use]
pub enum Decision {
    /// At least one field may leave.
    Permit(Permit),
    /// Nothing may leave.
    Denial(Denial),
}

/// The proof that the evaluator let at least one field leave; made by nothing else, and used once.
///
/// ```compile_fail
/// fn twice(permit: deedbox_consent::Permit) -> [deedbox_consent::Permit; 2] {
///     [permit.clone(), permit]
/// }
/// ```
///
/// ```compile_fail
/// let forged = deedbox_consent::Permit { ..unimplemented!() };
/// ```
#[derive(Debug, PartialEq, Eq)]
pub struct Permit {
    // INVARIANT: only an evaluator fills these, through `Decided`.
    party: Name,
    purpose: Name,
    action: Action,
    released: Released,
    determining: BTreeSet<Name>,
    consume: BTreeSet<Name>,
    obligations: Obligations,
    retention: u64,
    withheld: BTreeMap<Name, Reason>,
    all: bool,
    stable_until: Option<Timestamp>,
}

/// Why nothing may leave.
#[derive(Debug, PartialEq, Eq)]
pub struct Denial {
    refusal: Option<Reason>,
    withheld: BTreeMap<Name, Reason>,
    stable_until: Option<Timestamp>,
}

/// What a person may see of a decision: everything.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PersonView<'a> {
    /// Why the whole request was refused.
    pub refusal: Option<Reason>,
    /// The fields that may leave, each with the times its records may be of.
    pub fields: Vec<(&'a Name, Vec<Bounds>)>,
    /// The fields that stay, and why; empty when all permitted fields were asked for.
    pub withheld: &'a BTreeMap<Name, Reason>,
    /// The permissions that let something leave.
    pub determining: Vec<&'a Name>,
    /// What the receiver owes.
    pub obligations: Obligations,
    /// Seconds the receiver may keep it.
    pub retention: Option<u64>,
    /// Until when the same request has the same answer; `None` is for ever.
    pub stable_until: Option<Timestamp>,
}

/// How a request ended, as the asker is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "callers must notice a new one")]
pub enum Outcome {
    /// 0: nothing is released.
    Refused,
    /// 1: some of what was asked is released.
    Partial,
    /// 2: all that was asked is released.
    Granted,
    /// 3: the request said too little or used unknown words.
    Malformed,
}

/// What the asker may see of a decision. A field that is not there, one that is sealed and one without permission look
/// alike.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequesterView {
    /// How it ended.
    pub outcome: Outcome,
    /// The fields that are released.
    pub fields: Vec<Name>,
    /// What the receiver owes.
    pub obligations: Obligations,
    /// Seconds the receiver may keep it.
    pub retention: Option<u64>,
}

impl Outcome {
    /// The number the asker is told.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Refused => 0,
            Self::Partial => 1,
            Self::Granted => 2,
            Self::Malformed => 3,
        }
    }
}

impl Decision {
    /// The permit, if anything may leave.
    #[must_use]
    pub fn permit(self) -> Option<Permit> {
        match self {
            Self::Permit(permit) => Some(permit),
            Self::Denial(_) => None,
        }
    }

    /// The fields that stay, and why; empty when all permitted fields were asked for.
    #[must_use]
    pub const fn withheld(&self) -> &BTreeMap<Name, Reason> {
        match self {
            Self::Permit(permit) => &permit.withheld,
            Self::Denial(denial) => &denial.withheld,
        }
    }

    /// Why the whole request was refused, if it was.
    #[must_use]
    pub const fn refusal(&self) -> Option<Reason> {
        match self {
            Self::Permit(_) => None,
            Self::Denial(denial) => denial.refusal,
        }
    }

    /// Until when the same request has the same answer; `None` is for ever.
    #[must_use]
    pub const fn stable_until(&self) -> Option<Timestamp> {
        match self {
            Self::Permit(permit) => permit.stable_until,
            Self::Denial(denial) => denial.stable_until,
        }
    }

    /// Everything, for the person.
    #[must_use]
    pub fn for_person(&self) -> PersonView<'_> {
        let (fields, determining, obligations, retention) = match self {
            Self::Permit(permit) => (
                permit.fields().map(|field| (field, permit.records(field))).collect(),
                permit.determining.iter().collect(),
                permit.obligations,
                Some(permit.retention),
            ),
            Self::Denial(_) => (Vec::new(), Vec::new(), Obligations::EMPTY, None),
        };
        PersonView {
            refusal: self.refusal(),
            fields,
            withheld: self.withheld(),
            determining,
            obligations,
            retention,
            stable_until: self.stable_until(),
        }
    }

    /// What the asker is told: a function of the request, what is permitted and the duties, and of nothing else.
    #[must_use]
    pub fn for_requester(&self) -> RequesterView {
        match self {
            Self::Permit(permit) => RequesterView {
                outcome: if permit.withheld.is_empty() { Outcome::Granted } else { Outcome::Partial },
                fields: permit.fields().cloned().collect(),
                obligations: permit.obligations,
                retention: Some(permit.retention),
            },
            Self::Denial(denial) => RequesterView {
                outcome: match denial.refusal {
                    None | Some(Reason::UnknownParty) => Outcome::Refused,
                    Some(_) => Outcome::Malformed,
                },
                fields: Vec::new(),
                obligations: Obligations::EMPTY,
                retention: None,
            },
        }
    }
}

impl Permit {
    /// Who may have it.
    #[must_use]
    pub const fn party(&self) -> &Name {
        &self.party
    }

    /// What for.
    #[must_use]
    pub const fn purpose(&self) -> &Name {
        &self.purpose
    }

    /// What they may do.
    #[must_use]
    pub const fn action(&self) -> Action {
        self.action
    }

    /// The fields that may leave; at least one.
    #[must_use]
    pub fn fields(&self) -> impl ExactSizeIterator<Item = &Name> {
        self.released.fields().iter()
    }

    /// The same as a set.
    #[must_use]
    pub const fn field_set(&self) -> &FieldSet {
        self.released.fields()
    }

    /// Whether `field` may leave, for some record at least.
    #[must_use]
    pub fn has(&self, field: &Name) -> bool {
        self.released.fields().contains(field)
    }

    /// The times of which the records of `field` may leave: ascending, apart from each other, none if it stays.
    #[must_use]
    pub fn records(&self, field: &Name) -> Vec<Bounds> {
        self.released.bounds(field)
    }

    /// Whether the record of `field` made at `record_time` may leave.
    #[must_use]
    pub fn admits(&self, field: &Name, record_time: Timestamp) -> bool {
        self.released.admits(field, record_time)
    }

    /// The permissions that let something leave.
    #[must_use]
    pub const fn determining(&self) -> &BTreeSet<Name> {
        &self.determining
    }

    /// Their obligations, united.
    #[must_use]
    pub const fn obligations(&self) -> Obligations {
        self.obligations
    }

    /// The least of their retentions, in seconds.
    #[must_use]
    pub const fn retention(&self) -> u64 {
        self.retention
    }

    /// The fields that stay, and why.
    #[must_use]
    pub const fn withheld(&self) -> &BTreeMap<Name, Reason> {
        &self.withheld
    }

    /// Whether all permitted fields were asked for, not a list.
    #[must_use]
    pub const fn asked_for_all(&self) -> bool {
        self.all
    }

    /// Until when the same request has the same answer; `None` is for ever.
    #[must_use]
    pub const fn stable_until(&self) -> Option<Timestamp> {
        self.stable_until
    }

    /// Turns the permit into what the release has to do.
    pub fn into_plan(self) -> ReleasePlan {
        ReleasePlan {
            party: self.party,
            purpose: self.purpose,
            action: self.action,
            released: self.released,
            obligations: self.obligations,
            retention: self.retention,
            determining: self.determining,
            consume: self.consume,
        }
    }
}

impl Denial {
    /// A request that is refused whole.
    pub(crate) const fn whole(refusal: Reason) -> Self {
        Self { refusal: Some(refusal), withheld: BTreeMap::new(), stable_until: None }
    }

    /// Why the whole request was refused, if it was.
    #[must_use]
    pub const fn refusal(&self) -> Option<Reason> {
        self.refusal
    }

    /// The fields that stay, and why; empty when all permitted fields were asked for.
    #[must_use]
    pub const fn withheld(&self) -> &BTreeMap<Name, Reason> {
        &self.withheld
    }

    /// Until when the same request has the same answer; `None` is for ever.
    #[must_use]
    pub const fn stable_until(&self) -> Option<Timestamp> {
        self.stable_until
    }
}

impl From<Denial> for Decision {
    fn from(denial: Denial) -> Self {
        Self::Denial(denial)
    }
}

/// What an evaluator found; becomes a [`Permit`] if anything is released.
pub(crate) struct Decided<'a> {
    pub(crate) party: &'a Name,
    pub(crate) purpose: &'a Name,
    pub(crate) action: Action,
    pub(crate) released: Released,
    /// The permissions that released something.
    pub(crate) determining: Vec<&'a Permission>,
    pub(crate) withheld: BTreeMap<Name, Reason>,
    pub(crate) all: bool,
    pub(crate) stable_until: Option<Timestamp>,
}

impl From<Decided<'_>> for Decision {
    fn from(decided: Decided<'_>) -> Self {
        let Decided { party, purpose, action, released, determining, withheld, all, stable_until } = decided;
        if released.fields().is_empty() {
            return Self::Denial(Denial { refusal: None, withheld, stable_until });
        }
        let limited = determining.iter().filter(|permission| permission.limit.is_some());
        Self::Permit(Permit {
            party: party.clone(),
            purpose: purpose.clone(),
            action,
            released,
            consume: limited.map(|permission| permission.id.clone()).collect(),
            obligations: determining.iter().fold(Obligations::EMPTY, |all, one| all.union(one.obligations)),
            retention: determining.iter().filter_map(|permission| permission.retention).min().unwrap_or(0),
            determining: determining.into_iter().map(|permission| permission.id.clone()).collect(),
            withheld,
            all,
            stable_until,
        })
    }
}
