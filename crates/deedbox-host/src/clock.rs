//! The host's clock: the only time that decides anything.

use std::sync::atomic::{AtomicU64, Ordering};

use deedbox_model::Timestamp;

/// Tells the time. No time in a request, an object or a head ever takes its place.
pub trait Clock: Send + Sync + 'static {
    /// The time.
    fn now(&self) -> Timestamp;
}

impl<F: Fn() -> Timestamp + Send + Sync + 'static> Clock for F {
    fn now(&self) -> Timestamp {
        self()
    }
}

/// A clock that never goes back: set back, it stands still, so that nothing expired comes to life.
#[derive(Debug)]
pub(crate) struct Steady<C> {
    clock: C,
    last: AtomicU64,
}

impl<C: Clock> Steady<C> {
    pub(crate) const fn new(clock: C) -> Self {
        Self { clock, last: AtomicU64::new(0) }
    }

    pub(crate) fn now(&self) -> Timestamp {
        let now = self.clock.now().secs();
        Timestamp::from_secs(self.last.fetch_max(now, Ordering::AcqRel).max(now))
    }

    /// A time that was seen elsewhere: stored rows carry it from one process to the next.
    pub(crate) fn seen(&self, at: Timestamp) {
        self.last.fetch_max(at.secs(), Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_back_it_stands_still() {
        let time = std::sync::Arc::new(AtomicU64::new(100));
        let shown = std::sync::Arc::clone(&time);
        let clock = Steady::new(move || Timestamp::from_secs(shown.load(Ordering::Relaxed)));
        assert_eq!(clock.now().secs(), 100);
        time.store(7, Ordering::Relaxed);
        assert_eq!(clock.now().secs(), 100);
        clock.seen(Timestamp::from_secs(150));
        assert_eq!(clock.now().secs(), 150);
        time.store(200, Ordering::Relaxed);
        assert_eq!(clock.now().secs(), 200);
    }
}
