//! Metering without looking: what is charged to whom, and nothing of whose store it was.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use deedbox_store::Total;

/// What a request was, for a bill. Exhaustive: a price list has to know each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a price list has to know each")]
pub enum UsageClass {
    /// Blobs, either way.
    Blob,
    /// Commits.
    Commit,
    /// Feeds opened.
    Feed,
    /// Mail, either way.
    Mail,
    /// Objects, heads, leaves.
    Read,
}

/// One answered request of a capability that has a meter. There is no store, dataset or object in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct UsageEvent {
    /// The meter of the capability.
    pub meter: [u8; 16],
    /// Days since 1970-01-01, UTC, by the host's clock.
    pub day: u64,
    /// What it was.
    pub class: UsageClass,
    /// Bytes of the request's and the answer's body: padded sizes.
    pub bytes: u64,
}

impl UsageClass {
    const ALL: [Self; 5] = [Self::Blob, Self::Commit, Self::Feed, Self::Mail, Self::Read];

    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Blob => 1,
            Self::Commit => 2,
            Self::Feed => 3,
            Self::Mail => 4,
            Self::Read => 5,
        }
    }

    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.number() == number)
    }
}

impl UsageEvent {
    pub(crate) const fn new(meter: [u8; 16], day: u64, class: UsageClass, bytes: u64) -> Self {
        Self { meter, day, class, bytes }
    }
}

/// Takes usage events. It is called while a request is answered, so it has to be quick.
pub trait UsageSink: Send + Sync + 'static {
    /// Takes one event.
    fn record(&self, event: UsageEvent);
}

/// Sums of usage in memory, until they are taken: a crash loses what was not taken, in the payer's favour.
/// [`Host::write_meters`](crate::Host::write_meters) moves them into the storage.
#[derive(Debug, Default)]
pub struct Meters {
    sums: Mutex<Sums>,
}

/// Counts and bytes by meter, day and class.
pub type Sums = BTreeMap<([u8; 16], u64, UsageClass), Total>;

impl Meters {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What was summed since it was taken last.
    #[must_use]
    pub fn take(&self) -> Sums {
        std::mem::take(&mut *self.sums.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sums that could not be written after all.
    pub(crate) fn put_back(&self, sums: Sums) {
        let mut held = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, more) in sums {
            let total = held.entry(key).or_default();
            total.count = total.count.saturating_add(more.count);
            total.bytes = total.bytes.saturating_add(more.bytes);
        }
    }
}

impl UsageSink for Meters {
    fn record(&self, event: UsageEvent) {
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        let total = sums.entry((event.meter, event.day, event.class)).or_default();
        total.count = total.count.saturating_add(1);
        total.bytes = total.bytes.saturating_add(event.bytes);
    }
}
