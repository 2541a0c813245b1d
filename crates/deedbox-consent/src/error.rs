/// Defines a plain error enum with its texts and codes.
macro_rules! plain_error {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident: $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$doc])* #[error($text)] $variant,)+
        }

        impl $name {
            /// Every variant.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The variant's name.
            #[must_use]
            pub const fn code(&self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($variant),)+
                }
            }
        }
    };
}

plain_error! {
    /// Why a rule or a change was refused; nothing of it took effect. Tell its maker.
    RuleError {
        /// Bounds are missing, empty or out of range. Correct the rule.
        BadBounds: "bounds, retention, assurance or limit out of range",
        /// The regime has no such basis. Choose another.
        BasisNotInRegime: "basis is not in the regime",
        /// Consent that a service was made to depend on. Ask again without the condition.
        Conditional: "consent was made a condition",
        /// The id was seen before. Choose another.
        DuplicateId: "id was seen before",
        /// An emergency rule without the condition `break_glass`. Add it.
        EmergencyCondition: "emergency rule lacks `break_glass`",
        /// An emergency rule without `notify_person` and `justify`. Add them.
        EmergencyDuties: "emergency rule lacks its duties",
        /// A list that must not be empty is. Correct the rule.
        Empty: "empty list of actions, purposes or fields",
        /// Ground 9a needs explicit evidence. Ask the person.
        ExplicitNeeded: "ground needs explicit evidence",
        /// Not the bytes of a rule. Refuse the sender.
        Malformed: "not a rule",
        /// The mandate is not active. Activate it first.
        MandateDormant: "mandate is not active",
        /// Rank `delegate` without a mandate. Name it.
        MandateMissing: "mandate is missing",
        /// The rank is above the mandate's. Ask the person.
        MandateRank: "rank is above the mandate's",
        /// The rule reaches beyond its mandate. Ask the person.
        MandateScope: "rule reaches beyond its mandate",
        /// Basis `consent` without evidence. Ask the person.
        NoEvidence: "consent lacks evidence",
        /// The maker may not do this. Refuse, and tell the person.
        NotYours: "maker may not do this",
        /// A rule of this kind never has this rank. Correct the rule.
        RankNotAllowed: "rank is not allowed for this kind of rule",
        /// Consent to whoever is in a cluster. Name a roster.
        RosterUnpinned: "consent to an unpinned roster",
        /// The rule is over 16 KiB, or there are too many. Split or tidy up.
        TooLong: "rule is too long, or too many",
        /// A name that is in no list. Correct it, or take a newer vocabulary.
        UnknownId: "a name is unknown",
        /// Its status does not allow the change. Nothing to do.
        WrongStatus: "status does not allow the change",
    }
}

plain_error! {
    /// Why a vocabulary was refused.
    VocabularyError {
        /// Not a name. Correct it.
        BadName: "not a name",
        /// Something is above itself. Correct it.
        Cycle: "cycle among parents",
        /// A name stands twice, perhaps as a category and a field. Correct it.
        DuplicateName: "name stands twice",
        /// Not the bytes of a vocabulary. Refuse the sender.
        Malformed: "not a vocabulary",
        /// More than the limits allow. Split it.
        TooLarge: "vocabulary is too large",
        /// A parent, category, issuer or member that is not there. Correct it.
        UnknownParent: "a parent, category, issuer or member is unknown",
    }
}

plain_error! {
    /// Why bytes are no receipt, request or terms: refuse the sender.
    DecodeError {
        /// Not the bytes of such a thing.
        Malformed: "malformed",
    }
}

/// Why a policy did not compile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// More rules than an evaluator takes. Tidy up.
    #[error("more than {limit} rules")]
    TooLarge {
        /// The most there may be.
        limit: usize,
    },
}

impl CompileError {
    /// The variant's name.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "TooLarge",
        }
    }
}
