//! How often a caller may ask.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use deedbox_model::Timestamp;

use crate::config::Rate;

/// How many callers are remembered before any is forgotten.
const REMEMBERED: usize = 10_000;

/// Buckets that fill with time, one for each caller.
///
/// Callers whose bucket is full are forgotten: a full bucket says no more than none. That is done when there are twice as many
/// callers as were left the last time, so that a call costs the same on average however many there are, and memory is at
/// most twice that of those whose buckets were not full.
#[derive(Debug)]
pub(crate) struct Buckets<K> {
    held: Mutex<Held<K>>,
}

#[derive(Debug)]
struct Held<K> {
    buckets: HashMap<K, Bucket>,
    /// How many there are when full ones are forgotten.
    most: usize,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: u64,
    filled: Timestamp,
}

impl<K: Eq + Hash> Buckets<K> {
    pub(crate) fn new() -> Self {
        Self { held: Mutex::new(Held { buckets: HashMap::new(), most: REMEMBERED }) }
    }

    /// Takes one; otherwise seconds to wait. `secs` is what one costs to fill again, over `rate.per_second`.
    pub(crate) fn take(&self, key: K, rate: Rate, secs: u32, now: Timestamp) -> Result<(), u32> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let Held { buckets, most } = &mut *held;
        let burst = u64::from(rate.burst).saturating_mul(u64::from(secs));
        let fill = |bucket: Bucket| {
            let more = now.saturating_sub(bucket.filled).saturating_mul(u64::from(rate.per_second));
            bucket.left.saturating_add(more).min(burst)
        };
        if buckets.len() >= *most && !buckets.contains_key(&key) {
            buckets.retain(|_, bucket| fill(*bucket) < burst);
            *most = buckets.len().saturating_mul(2).max(REMEMBERED);
            buckets.shrink_to(*most);
        }
        let left = buckets.get(&key).map_or(burst, |bucket| fill(*bucket));
        let left = left.checked_sub(u64::from(secs)).ok_or_else(|| {
            let missing = u64::from(secs).saturating_sub(left);
            u32::try_from(missing.div_ceil(u64::from(rate.per_second.max(1)))).unwrap_or(u32::MAX)
        })?;
        buckets.insert(key, Bucket { left, filled: now });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let buckets = Buckets::new();
        let rate = Rate { per_second: 2, burst: 3 };
        let at = |secs| Timestamp::from_secs(secs);
        for _ in 0..3 {
            assert_eq!(buckets.take("a", rate, 1, at(10)), Ok(()));
        }
        assert_eq!(buckets.take("a", rate, 1, at(10)), Err(1));
        assert_eq!(buckets.take("b", rate, 1, at(10)), Ok(()));
        assert_eq!(buckets.take("a", rate, 1, at(11)), Ok(()));
        assert_eq!(buckets.take("a", rate, 1, at(11)), Ok(()));
        assert_eq!(buckets.take("a", rate, 1, at(11)), Err(1));
        assert_eq!(buckets.take("a", rate, 1, at(1_000)), Ok(()));
    }

    #[test]
    fn slow_rates_count_in_hours() {
        // 20 an hour: one costs 180 seconds
        let buckets = Buckets::new();
        let rate = Rate { per_second: 1, burst: 20 };
        for _ in 0..20 {
            assert_eq!(buckets.take((), rate, 180, Timestamp::from_secs(0)), Ok(()));
        }
        assert_eq!(buckets.take((), rate, 180, Timestamp::from_secs(10)), Err(170));
        assert_eq!(buckets.take((), rate, 180, Timestamp::from_secs(180)), Ok(()));
    }

    /// A caller who asks at every moment, among a hundred thousand others who come once, gets the rate and not one more:
    /// whether others are forgotten meanwhile, or it is itself.
    #[test]
    fn forgetting_gives_nobody_more_and_bounds_memory() {
        let buckets = Buckets::new();
        let rate = Rate { per_second: 2, burst: 30 };
        let at = |secs| Timestamp::from_secs(secs);
        let (mut given, mut most) = (0, 0);
        for second in 0..100_u32 {
            for n in 1..=1_000 {
                assert_eq!(buckets.take(1_000 * second + n, rate, 1, at(second.into())), Ok(()));
            }
            while buckets.take(0, rate, 1, at(second.into())).is_ok() {
                given += 1;
            }
            most = most.max(buckets.held.lock().unwrap().buckets.len());
        }
        assert_eq!(given, 30 + 99 * 2);
        // those of one second are not full
        assert!((1_001..=REMEMBERED + 1).contains(&most), "{most} remembered");
    }

    /// Nobody can be forgotten, and the work stays the same for each.
    #[test]
    fn buckets_that_are_not_full_are_looked_over_at_doubled_numbers() {
        let buckets = Buckets::new();
        let rate = Rate { per_second: 0, burst: 1 };
        let mut rounds = 0;
        let mut before = REMEMBERED;
        for n in 0..200_000 {
            assert_eq!(buckets.take(n, rate, 1, Timestamp::from_secs(0)), Ok(()));
            let most = buckets.held.lock().unwrap().most;
            rounds += u32::from(most != before);
            before = most;
        }
        assert_eq!(rounds, 5, "10,000 to 160,000");
        assert!((0..200_000).all(|n| buckets.take(n, rate, 1, Timestamp::from_secs(0)).is_err()), "one was forgotten");
        // once they are full all are forgotten, and the room is given back
        let rate = Rate { per_second: 1, burst: 1 };
        for n in 200_000..330_000 {
            assert_eq!(buckets.take(n, rate, 1, Timestamp::from_secs(9)), Ok(()));
        }
        let held = buckets.held.lock().unwrap();
        assert!(held.buckets.capacity() < 2 * 330_000, "room for {}", held.buckets.capacity());
    }
}
