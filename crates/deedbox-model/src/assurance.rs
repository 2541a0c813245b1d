use deedbox_cbor::{Item, Writer};

/// How well something is known to be true: who is asking, or what a value says.
///
/// The upper three follow the levels of Regulation (EU) 910/2014, Art. 8. CBOR: an unsigned integer up to 4.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Assurance {
    /// 0: nothing is known.
    #[default]
    Unknown,
    /// 1: somebody said so of themselves.
    Declared,
    /// 2: checked with little effort, such as an address that answers.
    Low,
    /// 3: checked against evidence, with two factors.
    Substantial,
    /// 4: checked in presence or by an official register, with protection against copying.
    High,
}

impl Assurance {
    /// All levels, weakest first.
    pub const ALL: [Self; 5] = [Self::Unknown, Self::Declared, Self::Low, Self::Substantial, Self::High];

    /// The level of number `level`, at most 4.
    #[must_use]
    pub const fn from_level(level: u8) -> Option<Self> {
        match level {
            0 => Some(Self::Unknown),
            1 => Some(Self::Declared),
            2 => Some(Self::Low),
            3 => Some(Self::Substantial),
            4 => Some(Self::High),
            _ => None,
        }
    }

    /// The level's number.
    #[must_use]
    pub const fn level(self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::Declared => 1,
            Self::Low => 2,
            Self::Substantial => 3,
            Self::High => 4,
        }
    }

    /// Reads an unsigned integer up to 4.
    #[must_use]
    pub fn decode(item: Item<'_>) -> Option<Self> {
        Self::from_level(item.as_u8()?)
    }

    /// Writes an unsigned integer.
    pub fn encode(&self, writer: &mut Writer) {
        writer.uint(u64::from(self.level()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_levels_agree() {
        for level in 0..=u8::MAX {
            assert_eq!(Assurance::from_level(level).map(Assurance::level), (level <= 4).then_some(level));
        }
        assert!(Assurance::ALL.is_sorted());
    }
}
