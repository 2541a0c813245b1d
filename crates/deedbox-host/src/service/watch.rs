//! Feeds: opened like any read, and looked at again for every event.

use std::ops::RangeInclusive;
use std::sync::Arc;

use deedbox_model::{DatasetId, Seq, StoreId};
use deedbox_store::{Storage, StorageError};

use super::read::given;
use super::{Host, in_force};
use crate::capability::{Capability, Ops, Scope};
use crate::clock::Clock;
use crate::error::HostError;
use crate::feed::{End, Event, Feed, Look};
use crate::meter::UsageClass;
use crate::request::{Request, Resource, Route};

impl<S: Storage, C: Clock> Host<S, C> {
    /// Opens the change feed of a dataset: `GET /v1/stores/{s}/datasets/{d}/feed`. `after` is the sequence number that the
    /// caller has; the feed begins with what is newer.
    ///
    /// Somebody has to call [`Host::recheck`], as the router does.
    ///
    /// # Errors
    /// As for [`Host::call`]; `TooMany` when the capability or the store has its number of feeds.
    pub async fn feed(self: &Arc<Self>, request: Request<'_>, after: Option<Seq>) -> Result<Feed, HostError> {
        self.feed_on(request, after, |look| look).await
    }

    /// The same; `run` says where the storage is looked at, which may block.
    pub(crate) async fn feed_on(
        self: &Arc<Self>,
        request: Request<'_>,
        after: Option<Seq>,
        run: impl Fn(Look) -> Look + Send + 'static,
    ) -> Result<Feed, HostError> {
        let route = Route::parse(request.method, request.target);
        let Some(Route::Of(name, Resource::Feed(d))) = route else { return Err(HostError::NotFound) };
        let caller = self.authenticate(&request, name).await?;
        if request.range.is_some() || !request.body.is_empty() {
            return Err(HostError::Malformed);
        }
        let permitted = caller.capability.scope(d, Ops::READ) != Scope::Nothing;
        self.admit(&caller, Ops::READ, Some(d), permitted).await?;
        let (s, id) = (caller.store, (caller.capability.id, caller.capability.not_after));
        let most = (self.config.feeds_per_capability, self.config.feeds_per_store);
        let stamp = self.storage.stamp(s).await.unwrap_or_default();
        let Some(place) = self.signals.enter(s, stamp, id, most) else {
            return Err(self.refuse(&caller, Some(Ops::READ), Some(d), HostError::TooMany { retry_after: 5 }).await);
        };
        self.deliver(&caller, Vec::new(), &given(Ops::READ, Some(d), 0, 0)).await?;
        self.charge(&caller.capability, UsageClass::Feed, caller.now, 0);
        let (host, number, own) = (Arc::clone(self), place.number(), Arc::new(caller.capability));
        let look = move |last| {
            let (host, own) = (Arc::clone(&host), Arc::clone(&own));
            run(Box::pin(async move { host.look(s, d, &own, number, last).await }))
        };
        Ok(Feed::new(place, after, Box::new(look)))
    }

    /// Ends every feed with [`End::Closing`]: call it first when the server goes down. Requests are still answered.
    pub fn close(&self) {
        self.signals.close();
    }

    /// Has those feeds look again whose store another process may have changed ([`Storage::stamp`]), and whose capability's
    /// time is over: call it at least every five seconds. It waits for the storage's stamps, and for no look.
    pub async fn recheck(&self) {
        self.recheck_of(0..=u8::MAX).await;
    }

    /// The same for the stores whose id's first byte is one of these.
    pub(crate) async fn recheck_of(&self, first: RangeInclusive<u8>) {
        for s in self.signals.stores(first) {
            let stamp = self.storage.stamp(s).await.unwrap_or_default();
            self.signals.stamped(s, stamp, self.clock.now());
        }
    }

    async fn look(&self, s: StoreId, d: DatasetId, own: &Capability, number: u64, last: Option<Seq>) -> Option<Event> {
        // the data first, then the capability: no event of a commit that was made after it was revoked
        let head = match self.storage.get(s, d, &[]).await {
            Ok(snapshot) => Some(snapshot.head.seq),
            Err(StorageError::NotFound) => None,
            Err(_) => return Some(Event::End(End::Closing)),
        };
        let verdict = match self.row(s, own.id).await {
            // somebody else's now: its new holder opens a feed of its own
            Ok(Some(row)) if (row.capability.holder, row.capability.name) != (own.holder, own.name) => {
                Err(HostError::Revoked)
            }
            Ok(Some(row)) if row.capability.scope(d, Ops::READ) == Scope::Nothing => Err(HostError::Revoked),
            Ok(Some(row)) => {
                self.signals.read(s, number, row.capability.not_after);
                in_force(&row, self.clock.now())
            }
            Ok(None) => Err(HostError::Revoked),
            Err(error) => Err(error),
        };
        match verdict {
            Ok(()) => head.filter(|head| last.is_none_or(|last| *head > last)).map(Event::Head),
            Err(HostError::Expired | HostError::NotYet) => Some(Event::End(End::Expired)),
            Err(HostError::Paused) => Some(Event::End(End::Paused)),
            Err(HostError::Revoked) => Some(Event::End(End::Revoked)),
            Err(_) => Some(Event::End(End::Closing)),
        }
    }
}
