use alloc::collections::{BTreeMap, BTreeSet};
use core::num::NonZeroU32;

use deedbox_cbor::{Item, Writer};
use deedbox_model::Name;

/// A named group of parties whose members change: numbered rosters, one of them current.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    pub(crate) current: NonZeroU32,
    pub(crate) rosters: BTreeMap<NonZeroU32, BTreeSet<Name>>,
}

/// Which roster of a cluster a permission means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::exhaustive_enums, reason = "there is no third")]
pub enum Roster {
    /// Whoever is a member at the time: follows the cluster.
    Current,
    /// The members of this roster, as long as they also stay on the current one.
    Pinned(NonZeroU32),
}

/// Whom a rule is about. CBOR: `[0, party]`, `[1, cluster, roster]` (0: current), `[1, cluster]`, or null for anyone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::exhaustive_enums, reason = "the language of rules is closed")]
pub enum To {
    /// Everybody; prohibitions only.
    Anyone,
    /// Everybody on any roster; prohibitions only.
    Cluster(Name),
    /// One party.
    Party(Name),
    /// The members of a roster; permissions only.
    Roster(Name, Roster),
}

impl Cluster {
    /// The number of the current roster.
    #[must_use]
    pub const fn current(&self) -> NonZeroU32 {
        self.current
    }

    /// The rosters by number.
    #[must_use]
    pub const fn rosters(&self) -> &BTreeMap<NonZeroU32, BTreeSet<Name>> {
        &self.rosters
    }

    /// Whether `party` is on that roster.
    #[must_use]
    pub fn is_on(&self, roster: NonZeroU32, party: &Name) -> bool {
        self.rosters.get(&roster).is_some_and(|members| members.contains(party))
    }

    /// Whether `party` is on the current roster.
    #[must_use]
    pub fn is_on_current(&self, party: &Name) -> bool {
        self.is_on(self.current, party)
    }

    /// Whether `party` is on any roster.
    #[must_use]
    pub fn is_on_any(&self, party: &Name) -> bool {
        self.rosters.values().any(|members| members.contains(party))
    }
}

impl To {
    pub(crate) fn encode(&self, writer: &mut Writer) {
        match self {
            Self::Anyone => {
                writer.null();
            }
            Self::Cluster(cluster) => {
                writer.array(2).uint(1).text(cluster.as_str());
            }
            Self::Party(party) => {
                writer.array(2).uint(0).text(party.as_str());
            }
            Self::Roster(cluster, roster) => {
                let number = match roster {
                    Roster::Current => 0,
                    Roster::Pinned(number) => number.get(),
                };
                writer.array(3).uint(1).text(cluster.as_str()).uint(u64::from(number));
            }
        }
    }

    pub(crate) fn decode(item: Item<'_>) -> Option<Self> {
        if item.is_null() {
            return Some(Self::Anyone);
        }
        let array = item.as_array()?;
        if let Some([form, cluster, roster]) = array.exactly() {
            let roster = NonZeroU32::new(roster.as_u32()?).map_or(Roster::Current, Roster::Pinned);
            return (form.as_u64() == Some(1)).then_some(Self::Roster(Name::decode(cluster)?, roster));
        }
        let [form, name] = array.exactly()?;
        match form.as_u64()? {
            0 => Some(Self::Party(Name::decode(name)?)),
            1 => Some(Self::Cluster(Name::decode(name)?)),
            _ => None,
        }
    }
}
