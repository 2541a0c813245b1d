//! The change feed: a hint that there is something new, until the capability is no longer in force.

use std::collections::{BTreeMap, HashMap};
use std::future::{Future, poll_fn};
use std::io::{self, BufRead};
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use deedbox_model::{CapabilityId, Seq, StoreId, Timestamp};
use deedbox_store::Stamp;
use futures_core::Stream;

/// What a feed says. Exhaustive: a reader must notice a new kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a reader must notice a new kind")]
pub enum Event {
    /// The dataset's head is this one now: read the changes. Heads in between are not told.
    Head(Seq),
    /// The feed is over; nothing follows.
    End(End),
}

impl Event {
    /// Reads the next event of a feed as the router sends it, `text/event-stream`; `None` where the stream ends. Comments,
    /// other fields and events of other kinds are passed over.
    ///
    /// # Errors
    /// `InvalidData` for a line beyond 1 KiB and for an event of a known kind that does not read; else the reader's own.
    pub fn read(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        let wrong = || io::Error::from(io::ErrorKind::InvalidData);
        let (mut kind, mut data) = (String::new(), String::new());
        loop {
            let mut line = Vec::new();
            let mut limited = io::Read::take(&mut *from, MAX_LINE);
            limited.read_until(b'\n', &mut line)?;
            let Some(line) = line.strip_suffix(b"\n") else {
                // whatever stands before the end without a line's end is half an event
                return if limited.limit() > 0 { Ok(None) } else { Err(wrong()) };
            };
            let line = std::str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line)).map_err(|_| wrong())?;
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match (field, kind.as_str()) {
                ("", "head") if line.is_empty() => {
                    return data.parse().ok().and_then(Seq::new).map(|seq| Some(Self::Head(seq))).ok_or_else(wrong);
                }
                ("", "end") if line.is_empty() => {
                    return End::from_code(&data).map(|end| Some(Self::End(end))).ok_or_else(wrong);
                }
                ("", _) if line.is_empty() => (kind, data) = (String::new(), String::new()),
                ("event", _) => kind = value.to_owned(),
                ("data", _) => data = value.to_owned(),
                _ => {}
            }
        }
    }
}

/// Most bytes of a line of a feed.
const MAX_LINE: u64 = 1_024;

/// Why a feed is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a reader must notice a new reason")]
pub enum End {
    /// The host is going down, or its storage failed: come again.
    Closing,
    /// The capability has expired.
    Expired,
    /// The owner has paused the capability.
    Paused,
    /// The owner has revoked the capability, or the store is gone.
    Revoked,
}

impl End {
    /// The reason's name.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Closing => "Closing",
            Self::Expired => "Expired",
            Self::Paused => "Paused",
            Self::Revoked => "Revoked",
        }
    }

    /// The reverse of [`End::code`].
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        [Self::Closing, Self::Expired, Self::Paused, Self::Revoked].into_iter().find(|end| end.code() == code)
    }
}

/// A look at the dataset and the capability; `None`: there is nothing to tell.
pub(crate) type Look = Pin<Box<dyn Future<Output = Option<Event>> + Send>>;

/// The events of one dataset for one capability.
///
/// An event is made when the feed is polled, so that at most one waits: the head is read first, then the capability's row,
/// and only then the event is given. What happens in this process wakes it at once; for what other processes do, and for
/// the time that passes, it looks again whenever [`Host::recheck`](crate::Host::recheck) says so.
pub struct Feed {
    place: Place,
    last: Option<Seq>,
    look: Box<dyn Fn(Option<Seq>) -> Look + Send>,
    looking: Option<Look>,
    over: bool,
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feed").field("over", &self.over).finish_non_exhaustive()
    }
}

impl Feed {
    pub(crate) fn new(place: Place, last: Option<Seq>, look: Box<dyn Fn(Option<Seq>) -> Look + Send>) -> Self {
        Self { place, last, look, looking: None, over: false }
    }

    /// The next event; `None` once the feed is over.
    pub async fn next(&mut self) -> Option<Event> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for Feed {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let this = &mut *self;
        while !this.over {
            if this.looking.is_none() {
                match this.place.poll_marked(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Mark::Closing) => {
                        this.over = true;
                        return Poll::Ready(Some(Event::End(End::Closing)));
                    }
                    Poll::Ready(Mark::Look) => {}
                }
            }
            let looking = this.looking.get_or_insert_with(|| (this.look)(this.last));
            let Poll::Ready(seen) = looking.as_mut().poll(cx) else { return Poll::Pending };
            this.looking = None;
            match seen {
                None => continue,
                Some(Event::Head(seq)) => this.last = Some(seq),
                Some(Event::End(_)) => this.over = true,
            }
            return Poll::Ready(seen);
        }
        Poll::Ready(None)
    }
}

/// Who is to be woken when a store changes.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    closing: bool,
    next: u64,
    stores: HashMap<StoreId, Followed>,
}

/// A store with feeds.
#[derive(Debug, Default)]
struct Followed {
    // INVARIANT (stamps): a feed that is not marked began its last look after this stamp was taken. So while the store has
    // this stamp, none of them misses anything.
    stamp: Option<Stamp>,
    slots: BTreeMap<u64, Slot>,
}

#[derive(Debug)]
struct Slot {
    capability: CapabilityId,
    /// When the capability ends, as its row said at the last look.
    until: Timestamp,
    marked: bool,
    waker: Option<Waker>,
}

/// What a marked feed is to do.
pub(crate) enum Mark {
    Closing,
    Look,
}

/// A feed's place among the signals; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    signals: Arc<Signals>,
    store: StoreId,
    number: u64,
}

impl Signals {
    /// Takes a place that is to be looked at once; `None` when the capability or the store has enough of them. `stamp` is the
    /// store's, taken before.
    pub(crate) fn enter(
        self: &Arc<Self>,
        store: StoreId,
        stamp: Option<Stamp>,
        (capability, until): (CapabilityId, Timestamp),
        most: (usize, usize),
    ) -> Option<Place> {
        let mut held = self.held();
        let own = |slots: &BTreeMap<u64, Slot>| slots.values().filter(|slot| slot.capability == capability).count();
        let taken = held.stores.get(&store).map_or((0, 0), |Followed { slots, .. }| (own(slots), slots.len()));
        if taken.0 >= most.0 || taken.1 >= most.1 {
            return None;
        }
        let number = held.next;
        let followed = held.stores.entry(store).or_insert_with(|| Followed { stamp, ..Followed::default() });
        followed.slots.insert(number, Slot { capability, until, marked: true, waker: None });
        held.next = number.wrapping_add(1);
        Some(Place { signals: Arc::clone(self), store, number })
    }

    pub(crate) fn wake(&self, store: StoreId) {
        let wakers = self.held().stores.get_mut(&store).map(|followed| followed.mark(|_| true)).unwrap_or_default();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Marks the feeds of a store that now has this stamp: all of them when it is another one, or not known, else those
    /// whose time is over.
    pub(crate) fn stamped(&self, store: StoreId, stamp: Option<Stamp>, now: Timestamp) {
        let wakers = {
            let mut held = self.held();
            let Some(followed) = held.stores.get_mut(&store) else { return };
            let is_same = stamp.is_some() && stamp == followed.stamp;
            followed.stamp = stamp;
            followed.mark(|slot| !is_same || slot.until <= now)
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    /// A feed has read its capability's row.
    pub(crate) fn read(&self, store: StoreId, number: u64, until: Timestamp) {
        let mut held = self.held();
        if let Some(slot) = held.stores.get_mut(&store).and_then(|followed| followed.slots.get_mut(&number)) {
            slot.until = until;
        }
    }

    /// The stores with feeds whose id's first byte is one of these.
    pub(crate) fn stores(&self, first: RangeInclusive<u8>) -> Vec<StoreId> {
        let held = self.held();
        let is_in = |store: &&StoreId| store.as_bytes().first().is_some_and(|byte| first.contains(byte));
        held.stores.keys().filter(is_in).copied().collect()
    }

    /// Ends every feed, those to come too.
    pub(crate) fn close(&self) {
        let wakers: Vec<Waker> = {
            let mut held = self.held();
            held.closing = true;
            held.stores.values_mut().flat_map(|followed| followed.mark(|_| true)).collect()
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    /// How many feeds are open.
    #[cfg(feature = "http")]
    pub(crate) fn count(&self) -> usize {
        self.held().stores.values().map(|followed| followed.slots.len()).sum()
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Followed {
    fn mark(&mut self, which: impl Fn(&Slot) -> bool) -> Vec<Waker> {
        let mark = |slot: &mut Slot| {
            slot.marked = true;
            slot.waker.take()
        };
        self.slots.values_mut().filter(|slot| which(slot)).filter_map(mark).collect()
    }
}

impl Place {
    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    /// Waits until the place is to be looked at. What changes from here on marks it again, so that nothing is missed.
    fn poll_marked(&self, cx: &Context<'_>) -> Poll<Mark> {
        let mut held = self.signals.held();
        if held.closing {
            return Poll::Ready(Mark::Closing);
        }
        let slot = held.stores.get_mut(&self.store).and_then(|followed| followed.slots.get_mut(&self.number));
        // a place has its slot for as long as it is
        let Some(slot) = slot else { return Poll::Pending };
        if std::mem::take(&mut slot.marked) {
            return Poll::Ready(Mark::Look);
        }
        slot.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.signals.held();
        if let Some(followed) = held.stores.get_mut(&self.store) {
            followed.slots.remove(&self.number);
            if followed.slots.is_empty() {
                held.stores.remove(&self.store);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut bytes: &[u8]) -> Vec<Result<Event, io::ErrorKind>> {
        let mut events = Vec::new();
        loop {
            match Event::read(&mut bytes) {
                Ok(Some(event)) => events.push(Ok(event)),
                Ok(None) => return events,
                Err(error) => {
                    events.push(Err(error.kind()));
                    return events;
                }
            }
        }
    }

    #[test]
    fn events_read_as_they_are_sent() {
        let head = |seq| Ok(Event::Head(Seq::new(seq).unwrap()));
        let sent = b": \n\nevent: head\nid: 7\ndata: 7\n\nevent:head\r\ndata:8\r\n\r\nevent: other\ndata: x\n\n\
            event: end\ndata: Revoked\n\n";
        assert_eq!(all(sent), [head(7), head(8), Ok(Event::End(End::Revoked))]);
        for length in 0..sent.len() {
            assert!(all(&sent[..length]).iter().all(Result::is_ok), "cut off after {length} bytes");
        }
    }

    #[test]
    fn what_is_no_event_is_refused() {
        let wrong = [Err(io::ErrorKind::InvalidData)];
        for sent in
            ["event: head\ndata: x\n\n", "event: head\ndata: 0\n\n", "event: head\n\n", "event: end\ndata: Other\n\n"]
        {
            assert_eq!(all(sent.as_bytes()), wrong, "{sent}");
        }
        assert_eq!(all(&[b'x'; 2_000]), wrong);
        assert_eq!(all(b"event: head\ndata: \xff\n\n"), wrong);
        assert_eq!(all(&[&[b'x'; 1_022][..], b"\n\n"].concat()), [], "a long line that is no event");
    }
}
