//! Change feeds: a hint that there is something new at the host, whatever the way to it.

use std::{borrow::Borrow, future::Future, pin::Pin};

use deedbox_cose::LocalSigner;
use deedbox_host::{End, Event, Feed, HostError, Method, Request, proof};
use deedbox_model::{DatasetId, Seq};

use super::{Access, HostClient};
use crate::system;

/// Events of one feed, from wherever a [`HostClient`] gets them.
pub trait EventSource: Send {
    /// The next event; `None` once the feed is over or was cut off.
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Option<Event>> + Send + '_>>;
}

impl EventSource for Feed {
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Option<Event>> + Send + '_>> {
        Box::pin(Self::next(self))
    }
}

/// Waits for what others write to one dataset. It opens its feed anew when it was cut off, with what it has seen already.
pub struct Watch<'a, H, S> {
    access: &'a Access<H, S>,
    dataset: DatasetId,
    seen: Option<Seq>,
    feed: Option<Box<dyn EventSource>>,
}

impl<H, S> std::fmt::Debug for Watch<'_, H, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

impl<'a, H: HostClient, S: Borrow<LocalSigner> + Sync> Watch<'a, H, S> {
    pub(crate) const fn new(access: &'a Access<H, S>, dataset: DatasetId, seen: Option<Seq>) -> Self {
        Self { access, dataset, seen, feed: None }
    }

    /// Waits until the dataset's head is newer than what was seen, and gives its number: a hint, to be verified by
    /// reading.
    ///
    /// # Errors
    /// `Revoked`, `Paused`, `Expired` when the capability is no longer in force; `Unreachable` when the host goes down or
    /// cannot be reached anew: try again later. Otherwise as the host says.
    pub async fn next(&mut self) -> Result<Seq, HostError> {
        loop {
            let feed = match &mut self.feed {
                Some(feed) => feed,
                none => none.insert(self.access.feed(self.dataset, self.seen).await?),
            };
            match feed.next().await {
                Some(Event::Head(seq)) if self.seen.is_none_or(|seen| seq > seen) => {
                    self.seen = Some(seq);
                    return Ok(seq);
                }
                Some(Event::Head(_)) => {}
                Some(Event::End(End::Expired)) => return Err(HostError::Expired),
                Some(Event::End(End::Paused)) => return Err(HostError::Paused),
                Some(Event::End(End::Revoked)) => return Err(HostError::Revoked),
                Some(Event::End(End::Closing)) => {
                    self.feed = None;
                    return Err(HostError::Unreachable);
                }
                None => self.feed = None,
            }
        }
    }
}

impl<H: HostClient, S: Borrow<LocalSigner> + Sync> Access<H, S> {
    async fn feed(&self, dataset: DatasetId, after: Option<Seq>) -> Result<Box<dyn EventSource>, HostError> {
        let target = format!("/v1/stores/{}/datasets/{dataset}/feed", self.store);
        let (method, origin) = (Method::Get, self.client.origin());
        let hash = proof::request_hash(method, origin, &target, &[]);
        let claims = proof::Claims::new(self.capability, hash, system::now());
        let proof = claims.sign(self.signer.borrow()).map_err(|_| HostError::Unauthenticated)?;
        let request = Request { method, origin, target: &target, body: &[], range: None, proof: Some(&proof) };
        self.client.feed(request, after).await
    }
}
