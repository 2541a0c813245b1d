use crate::lists::code_list;

code_list! {
    /// Which law's table of bases holds.
    Regime {
        /// Regulation (EU) 2016/679.
        EU = 1 "eu",
        /// The UK GDPR as amended in 2025.
        UK = 2 "uk",
    }
}

code_list! {
    /// The ground an organisation asserts (GDPR Art. 6). It is checked and recorded, and opens nothing by itself.
    Basis {
        /// Art. 6(1)(a).
        CONSENT = 1 "consent",
        /// Art. 6(1)(b).
        CONTRACT = 2 "contract",
        /// Art. 6(1)(c).
        LEGAL_OBLIGATION = 3 "legal_obligation",
        /// Art. 6(1)(d).
        VITAL_INTERESTS = 4 "vital_interests",
        /// Art. 6(1)(e).
        PUBLIC_TASK = 5 "public_task",
        /// Art. 6(1)(f); not for authorities.
        LEGITIMATE_INTERESTS = 6 "legitimate_interests",
        /// UK Art. 6(1)(ea).
        RECOGNISED_LEGITIMATE_INTEREST = 7 "recognised_legitimate_interest",
        /// Art. 2(2)(c): between individuals, outside the regulation.
        HOUSEHOLD = 8 "household",
    }
}

code_list! {
    /// The ground for sensitive fields: a letter of Art. 9(2) for special ones, Art. 10 for criminal ones.
    Ground {
        /// Explicit consent.
        EXPLICIT_CONSENT = 1 "9a",
        /// Employment and social protection.
        EMPLOYMENT = 2 "9b",
        /// Vital interests.
        VITAL = 3 "9c",
        /// Not-for-profit bodies.
        MEMBERS = 4 "9d",
        /// Made public by the person.
        MADE_PUBLIC = 5 "9e",
        /// Legal claims.
        CLAIMS = 6 "9f",
        /// Substantial public interest.
        PUBLIC_INTEREST = 7 "9g",
        /// Health or social care.
        CARE = 8 "9h",
        /// Public health.
        PUBLIC_HEALTH = 9 "9i",
        /// Archives, research, statistics.
        RESEARCH = 10 "9j",
        /// Criminal convictions and offences.
        CRIMINAL = 11 "10",
    }
}

code_list! {
    /// What a party is.
    PartyKind {
        /// An authority.
        PUBLIC = 0 "public",
        /// Any other organisation.
        PRIVATE = 1 "private",
        /// A human being.
        INDIVIDUAL = 2 "individual",
    }
}

code_list! {
    /// What the law says about a field.
    Sensitivity {
        /// Nothing particular.
        ORDINARY = 0 "ordinary",
        /// Art. 9.
        SPECIAL = 1 "special",
        /// Art. 10.
        CRIMINAL = 2 "criminal",
    }
}

impl Regime {
    /// Version of the table of bases.
    pub const TABLE_VERSION: u64 = 1;

    /// Whether the regime has `basis` at all.
    #[must_use]
    pub fn has(self, basis: Basis) -> bool {
        self.is_known() && basis.is_known() && (self == Self::UK || basis != Basis::RECOGNISED_LEGITIMATE_INTEREST)
    }

    /// Whether a party of `kind` may assert `basis`.
    #[must_use]
    pub fn allows(self, kind: PartyKind, basis: Basis) -> bool {
        self.has(basis)
            && match basis {
                Basis::HOUSEHOLD => kind == PartyKind::INDIVIDUAL,
                Basis::LEGITIMATE_INTERESTS | Basis::RECOGNISED_LEGITIMATE_INTEREST => kind == PartyKind::PRIVATE,
                _ => kind == PartyKind::PUBLIC || kind == PartyKind::PRIVATE,
            }
    }
}

impl Ground {
    /// Whether it is a ground for fields of `sensitivity`.
    #[must_use]
    pub fn suits(self, sensitivity: Sensitivity) -> bool {
        match sensitivity {
            Sensitivity::ORDINARY => true,
            Sensitivity::SPECIAL => self.is_known() && self != Self::CRIMINAL,
            Sensitivity::CRIMINAL => self == Self::CRIMINAL,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_as_the_law_has_it() {
        let (public, private, individual) = (PartyKind::PUBLIC, PartyKind::PRIVATE, PartyKind::INDIVIDUAL);
        for code in 1..=5 {
            let basis = Basis::from_code(code);
            for regime in [Regime::EU, Regime::UK] {
                assert!(regime.allows(public, basis) && regime.allows(private, basis));
                assert!(!regime.allows(individual, basis));
            }
        }
        assert!(!Regime::EU.allows(public, Basis::LEGITIMATE_INTERESTS));
        assert!(Regime::EU.allows(private, Basis::LEGITIMATE_INTERESTS));
        assert!(!Regime::EU.has(Basis::RECOGNISED_LEGITIMATE_INTEREST));
        assert!(Regime::UK.allows(private, Basis::RECOGNISED_LEGITIMATE_INTEREST));
        assert!(Regime::EU.allows(individual, Basis::HOUSEHOLD) && !Regime::EU.allows(public, Basis::HOUSEHOLD));
        for code in (0..=0).chain(9..=u8::MAX) {
            assert!(!Regime::UK.has(Basis::from_code(code)));
        }
    }

    #[test]
    fn grounds_suit_their_article() {
        for ground in Ground::ALL {
            assert_eq!(ground.suits(Sensitivity::SPECIAL), *ground != Ground::CRIMINAL);
            assert_eq!(ground.suits(Sensitivity::CRIMINAL), *ground == Ground::CRIMINAL);
        }
        assert!(!Ground::from_code(12).suits(Sensitivity::SPECIAL));
    }
}
