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

/// A clock that never goes back: set back, it stands still, so that nothing expired comes to life. The greatest time seen
/// is noted in the storage now and then, so that this holds across restarts.
#[derive(Debug)]
pub(crate) struct Steady<C> {
    clock: C,
    last: AtomicU64,
    /// The time noted last; `UNREAD` until what was noted by others was read.
    noted: AtomicU64,
}

/// Seconds after which the time is noted again.
const NOTE_SECS: u64 = 10;

const UNREAD: u64 = u64::MAX;

impl<C: Clock> Steady<C> {
    pub(crate) const fn new(clock: C) -> Self {
        Self { clock, last: AtomicU64::new(0), noted: AtomicU64::new(UNREAD) }
    }

    pub(crate) fn now(&self) -> Timestamp {
        let now = self.clock.now().secs();
        Timestamp::from_secs(self.last.fetch_max(now, Ordering::AcqRel).max(now))
    }

    /// Whether what was noted before is still to be read.
    pub(crate) fn is_unread(&self) -> bool {
        self.noted.load(Ordering::Acquire) == UNREAD
    }

    /// Whether `now` is so much later than what was noted that it is to be noted.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        now.secs().saturating_sub(self.noted.load(Ordering::Acquire)) >= NOTE_SECS
    }

    /// Whether a time was noted, here or by others.
    pub(crate) fn has_noted(&self, at: Timestamp) -> bool {
        let noted = self.noted.load(Ordering::Acquire);
        noted != UNREAD && noted >= at.secs()
    }

    /// The storage's answer to a note.
    pub(crate) fn noted(&self, at: Timestamp) {
        self.seen(at);
        self.noted.store(at.secs(), Ordering::Release);
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
