use core::fmt;

/// Defines a fixed list as an enum and the set of its members as bits.
macro_rules! bit_list {
    ($(#[$doc:meta])* $item:ident, $(#[$set_doc:meta])* $set:ident {
        $($(#[$variant_doc:meta])* $variant:ident = $bit:literal $name:literal),+ $(,)?
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum $item {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $item {
            /// The list, in bit order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its name in JSON and in texts.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// Its number: the bit in a set.
            #[must_use]
            pub const fn bit(self) -> u8 {
                match self {
                    $(Self::$variant => $bit,)+
                }
            }

            /// The member of that number.
            #[must_use]
            pub fn from_bit(bit: u8) -> Option<Self> {
                Self::ALL.iter().copied().find(|item| item.bit() == bit)
            }

            /// The member of that name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|item| item.name() == name)
            }
        }

        $(#[$set_doc])*
        ///
        /// Bits that no list has are kept: a rule that holds one is refused, not trimmed.
        #[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
        pub struct $set(u32);

        impl $set {
            /// Nothing.
            pub const EMPTY: Self = Self(0);
            /// Every member of the list.
            pub const ALL: Self = Self(0 $(| 1 << $bit)+);

            /// Takes any bits, also unknown ones.
            #[must_use]
            pub const fn from_bits(bits: u32) -> Self {
                Self(bits)
            }

            /// The bits.
            #[must_use]
            pub const fn bits(self) -> u32 {
                self.0
            }

            /// Whether there is nothing in it.
            #[must_use]
            pub const fn is_empty(self) -> bool {
                self.0 == 0
            }

            /// Whether every bit stands for a member of the list.
            #[must_use]
            pub const fn is_known(self) -> bool {
                self.0 & !Self::ALL.0 == 0
            }

            /// Whether `item` is in it.
            #[must_use]
            pub const fn contains(self, item: $item) -> bool {
                self.0 >> item.bit() & 1 == 1
            }

            /// Whether all of `other` is in it.
            #[must_use]
            pub const fn contains_all(self, other: Self) -> bool {
                other.0 & !self.0 == 0
            }

            /// What is in either.
            #[must_use]
            pub const fn union(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// The known members, in bit order.
            pub fn iter(self) -> impl Iterator<Item = $item> {
                $item::ALL.iter().copied().filter(move |item| self.contains(*item))
            }
        }

        impl From<$item> for $set {
            fn from(item: $item) -> Self {
                Self(1 << item.bit())
            }
        }

        impl<const N: usize> From<[$item; N]> for $set {
            fn from(items: [$item; N]) -> Self {
                items.into_iter().collect()
            }
        }

        impl FromIterator<$item> for $set {
            fn from_iter<I: IntoIterator<Item = $item>>(items: I) -> Self {
                items.into_iter().fold(Self::EMPTY, |set, item| set.union(item.into()))
            }
        }

        impl fmt::Debug for $set {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_set().entries(self.iter().map($item::name)).finish()
            }
        }
    };
}

bit_list! {
    /// What somebody wants to do with fields. One never implies another.
    Action,
    /// A set of actions.
    Actions {
        /// See the values.
        Read = 0 "read",
        /// Change values.
        Write = 1 "write",
        /// Add values, leaving those there are.
        Append = 2 "append",
        /// Remove values.
        Erase = 3 "erase",
        /// Contact the person.
        Notify = 4 "notify",
        /// Pass values on to a recipient.
        Share = 5 "share",
        /// Decide about the person by machine.
        Profile = 6 "profile",
        /// Ask a question; only the answer leaves.
        Query = 7 "query",
    }
}

bit_list! {
    /// What the receiver owes in return.
    Obligation,
    /// A set of obligations.
    Obligations {
        /// Tell the person.
        NotifyPerson = 0 "notify_person",
        /// Say why.
        Justify = 1 "justify",
        /// Sign a receipt.
        Acknowledge = 2 "acknowledge",
        /// Delete when the permission is withdrawn.
        DeleteOnWithdrawal = 3 "delete_on_withdrawal",
        /// Keep it apart from the person's identity.
        Pseudonymise = 4 "pseudonymise",
        /// Do not decide by machine.
        NoProfiling = 5 "no_profiling",
    }
}

/// Defines a table of numbered words; numbers that are not in it are kept, so that acceptance can refuse them.
macro_rules! code_list {
    ($(#[$doc:meta])* $name:ident { $($(#[$const_doc:meta])* $constant:ident = $code:literal $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        ///
        /// A number outside the table can be held and is refused where it is used.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u8);

        impl $name {
            $($(#[$const_doc])* pub const $constant: Self = Self($code);)+

            /// The table, by number.
            pub const ALL: &'static [Self] = &[$(Self($code)),+];

            /// The word of number `code`, in the table or not.
            #[must_use]
            pub const fn from_code(code: u8) -> Self {
                Self(code)
            }

            /// The word of that name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($word => Some(Self($code)),)+
                    _ => None,
                }
            }

            /// Its number.
            #[must_use]
            pub const fn code(self) -> u8 {
                self.0
            }

            /// Its name in JSON and in texts, if it is in the table.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($code => Some($word),)+
                    _ => None,
                }
            }

            /// Whether it is in the table.
            #[must_use]
            pub const fn is_known(self) -> bool {
                self.name().is_some()
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                match self.name() {
                    Some(name) => write!(f, concat!(stringify!($name), "({})"), name),
                    None => write!(f, concat!(stringify!($name), "({})"), self.0),
                }
            }
        }
    };
}
pub(crate) use code_list;

code_list! {
    /// How much weight a rule has: deny wins among equals, and a higher permission beats a lower prohibition.
    Rank {
        /// Adopted as part of a set.
        TEMPLATE = 0 "template",
        /// Made by somebody who helps, such as a carer.
        DELEGATE = 1 "delegate",
        /// Made by the person, or by somebody who stands in for them.
        PERSON = 2 "person",
        /// A permission for emergencies; beats the person's prohibitions.
        EMERGENCY = 3 "emergency",
        /// A prohibition that nothing beats.
        SEAL = 4 "seal",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_and_names_are_unique() {
        for (index, action) in Action::ALL.iter().enumerate() {
            assert_eq!(usize::from(action.bit()), index);
            assert_eq!(Action::from_name(action.name()), Some(*action));
            assert_eq!(Action::from_bit(action.bit()), Some(*action));
        }
        assert_eq!(Actions::ALL.bits(), 0xff);
        assert_eq!(Obligations::ALL.bits(), 0x3f);
        assert_eq!(Action::from_name("look"), None);
    }

    #[test]
    fn unknown_bits_are_kept_and_told() {
        let set = Actions::from_bits(0x101);
        assert!(!set.is_known());
        assert_eq!(set.bits(), 0x101);
        assert!(Actions::from([Action::Read, Action::Query]).is_known());
    }

    #[test]
    fn ranks_are_ordered() {
        assert!(Rank::ALL.is_sorted());
        assert!(!Rank::from_code(5).is_known());
    }
}
