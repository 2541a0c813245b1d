//! How often a caller may ask.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use deedbox_model::Timestamp;

use crate::config::Rate;

/// How many callers are remembered at a time.
const REMEMBERED: usize = 10_000;

/// Buckets that fill with time, one for each caller.
#[derive(Debug)]
pub(crate) struct Buckets<K> {
    held: Mutex<HashMap<K, Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: u64,
    filled: Timestamp,
}

impl<K: Eq + Hash> Buckets<K> {
    pub(crate) fn new() -> Self {
        Self { held: Mutex::new(HashMap::new()) }
    }

    /// Takes one; otherwise seconds to wait. `secs` is what one costs to fill again, over `rate.per_second`.
    pub(crate) fn take(&self, key: K, rate: Rate, secs: u32, now: Timestamp) -> Result<(), u32> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let burst = u64::from(rate.burst).saturating_mul(u64::from(secs));
        let fill = |bucket: Bucket| {
            let more = now.saturating_sub(bucket.filled).saturating_mul(u64::from(rate.per_second));
            bucket.left.saturating_add(more).min(burst)
        };
        if held.len() >= REMEMBERED && !held.contains_key(&key) {
            // a full bucket says no more than none
            held.retain(|_, bucket| fill(*bucket) < burst);
        }
        let left = held.get(&key).map_or(burst, |bucket| fill(*bucket));
        let left = left.checked_sub(u64::from(secs)).ok_or_else(|| {
            let missing = u64::from(secs).saturating_sub(left);
            u32::try_from(missing.div_ceil(u64::from(rate.per_second.max(1)))).unwrap_or(u32::MAX)
        })?;
        held.insert(key, Bucket { left, filled: now });
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
}
