//! How an agent reaches its host: one trait, and the client that calls a host in the same process.

mod blob;
mod feed;
mod mail;
#[cfg(feature = "person")]
mod owner;

use std::{borrow::Borrow, future::Future, sync::Arc};

use deedbox_cose::LocalSigner;
use deedbox_host::{ByteRange, Clock, Host, HostError, Method, Reply, Request, proof, wire};
#[cfg(feature = "provider")]
use deedbox_model::Digest;
use deedbox_model::{CapabilityId, DatasetId, Seq, StoreName, Timestamp};
use deedbox_record::SignedPart;
use deedbox_store::{Cursor, HeadHash, Mode, Storage};

pub use feed::{EventSource, Watch};
#[cfg(feature = "person")]
pub(crate) use mail::dedupe;
#[cfg(feature = "person")]
pub(crate) use owner::{Owner, header};

/// A way to a host. It names no runtime and no transport.
pub trait HostClient: Send + Sync {
    /// The host's origin, which is signed into each request: `https://host.example`.
    fn origin(&self) -> &str;

    /// Sends one request and gives the answer.
    ///
    /// # Errors
    /// What the host said, or that it can't be reached.
    fn send(&self, request: Request<'_>) -> impl Future<Output = Result<Reply, HostError>> + Send;

    /// Opens a change feed, which begins with what is newer than `after`. A way without feeds says `NotFound`.
    ///
    /// # Errors
    /// What the host said, or that it can't be reached.
    fn feed(
        &self,
        request: Request<'_>,
        after: Option<Seq>,
    ) -> impl Future<Output = Result<Box<dyn EventSource>, HostError>> + Send {
        let _ = (request, after);
        std::future::ready(Err(HostError::NotFound))
    }
}

impl<H: HostClient> HostClient for &H {
    fn origin(&self) -> &str {
        (**self).origin()
    }

    fn send(&self, request: Request<'_>) -> impl Future<Output = Result<Reply, HostError>> + Send {
        (**self).send(request)
    }

    fn feed(
        &self,
        request: Request<'_>,
        after: Option<Seq>,
    ) -> impl Future<Output = Result<Box<dyn EventSource>, HostError>> + Send {
        (**self).feed(request, after)
    }
}

/// The client of a host in the same process.
#[derive(Debug)]
pub struct LocalHost<S: Storage, C: Clock> {
    host: Arc<Host<S, C>>,
    origin: String,
}

impl<S: Storage, C: Clock> LocalHost<S, C> {
    /// A client of `host`, which both sides call `origin`.
    #[must_use]
    pub fn new(host: Arc<Host<S, C>>, origin: &str) -> Self {
        Self { host, origin: origin.to_owned() }
    }
}

impl<S: Storage, C: Clock> Clone for LocalHost<S, C> {
    fn clone(&self) -> Self {
        Self { host: Arc::clone(&self.host), origin: self.origin.clone() }
    }
}

impl<S: Storage, C: Clock> HostClient for LocalHost<S, C> {
    fn origin(&self) -> &str {
        &self.origin
    }

    async fn send(&self, request: Request<'_>) -> Result<Reply, HostError> {
        self.host.call(request).await
    }

    /// What other processes write to the same storage is not noticed here: whoever has such looks now and then.
    async fn feed(&self, request: Request<'_>, after: Option<Seq>) -> Result<Box<dyn EventSource>, HostError> {
        Ok(Box::new(self.host.feed(request, after).await?))
    }
}

/// One store at a host, as the holder of a capability reaches it: every request is signed by the holder's key.
pub(crate) struct Access<H, S> {
    client: H,
    store: StoreName,
    capability: CapabilityId,
    signer: S,
}

/// What a host gave of a dataset: its heads and rows, all unverified.
#[derive(Default)]
pub(crate) struct Download {
    pub(crate) heads: Vec<Vec<u8>>,
    pub(crate) rows: Vec<Row>,
}

/// An object as the host gave it.
pub(crate) struct Row {
    pub(crate) object: deedbox_model::ObjectId,
    pub(crate) seq: deedbox_model::Seq,
    pub(crate) kind: u8,
    pub(crate) body: Vec<u8>,
}

impl<H: HostClient, S: Borrow<LocalSigner> + Sync> Access<H, S> {
    /// With a capability of somebody else's store, held by `signer`.
    #[cfg(feature = "provider")]
    pub(crate) const fn of(client: H, store: StoreName, capability: CapabilityId, signer: S) -> Self {
        Self { client, store, capability, signer }
    }

    /// The name by which this holder knows the store.
    #[cfg(feature = "provider")]
    pub(crate) const fn store(&self) -> &StoreName {
        &self.store
    }

    pub(crate) async fn commit(&self, body: &wire::CommitBody<'_>, now: Timestamp) -> Result<Reply, HostError> {
        self.call(Method::Post, "commit", &body.to_bytes(), now).await
    }

    /// All of a dataset: its newest head and every object, page by page.
    pub(crate) async fn download(&self, dataset: DatasetId, now: Timestamp) -> Result<Download, HostError> {
        let mut all = Download::default();
        let mut cursor = None;
        loop {
            let query =
                cursor.map_or_else(String::new, |at: Cursor| format!("?after={}", deedbox_host::cursor_to_hex(at)));
            let reply = self.call(Method::Get, &format!("datasets/{dataset}/changes{query}"), &[], now).await?;
            let page = wire::PageBody::from_bytes(&reply.body).ok_or(HostError::Malformed)?;
            all.heads = page.heads.iter().map(|head| head.to_vec()).collect();
            for row in &page.rows {
                all.rows.push(Row { object: row.object, seq: row.seq, kind: row.kind, body: row.body.to_vec() });
            }
            match page.next {
                // A host that says there is more and moves nowhere would hold us for ever.
                Some(next) if cursor != Some(next) && !page.rows.is_empty() => cursor = Some(next),
                _ => return Ok(all),
            }
        }
    }

    /// The newest head of a dataset; `None` when the host has no such dataset.
    #[cfg(feature = "person")]
    pub(crate) async fn newest(&self, dataset: DatasetId, now: Timestamp) -> Result<Option<Vec<u8>>, HostError> {
        match self.call(Method::Get, &format!("datasets/{dataset}/changes?limit=1"), &[], now).await {
            Ok(reply) => {
                let page = wire::PageBody::from_bytes(&reply.body).ok_or(HostError::Malformed)?;
                Ok(page.heads.last().map(|head| head.to_vec()))
            }
            Err(HostError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The heads of a dataset after number `after`, oldest first.
    pub(crate) async fn heads(
        &self,
        dataset: DatasetId,
        after: u64,
        now: Timestamp,
    ) -> Result<Vec<Vec<u8>>, HostError> {
        let reply = self.call(Method::Get, &format!("datasets/{dataset}/heads?after={after}"), &[], now).await?;
        let heads = wire::list_from_bytes(&reply.body).ok_or(HostError::Malformed)?;
        Ok(heads.into_iter().map(<[u8]>::to_vec).collect())
    }

    async fn call(&self, method: Method, what: &str, body: &[u8], now: Timestamp) -> Result<Reply, HostError> {
        self.ranged(method, what, body, None, now).await
    }

    async fn ranged(
        &self,
        method: Method,
        what: &str,
        body: &[u8],
        range: Option<ByteRange>,
        now: Timestamp,
    ) -> Result<Reply, HostError> {
        let target = format!("/v1/stores/{}/{what}", self.store);
        let request = Request { method, origin: self.client.origin(), target: &target, body, range, proof: None };
        let claims = proof::Claims::new(self.capability, request.hash(), now);
        let proof = claims.sign(self.signer.borrow()).map_err(|_| HostError::Unauthenticated)?;
        self.client.send(Request { proof: Some(&proof), ..request }).await
    }

    /// The newest head, and the leaf hashes of all objects in the order of ids.
    #[cfg(feature = "provider")]
    pub(crate) async fn leaves(&self, dataset: DatasetId, now: Timestamp) -> Result<(Vec<u8>, Vec<Digest>), HostError> {
        let reply = self.call(Method::Get, &format!("datasets/{dataset}/leaves"), &[], now).await?;
        let (head, leaves) = wire::pair_from_bytes(&reply.body, wire::MAX_REPLY).ok_or(HostError::Malformed)?;
        let (leaves, rest) = leaves.as_chunks::<32>();
        if !rest.is_empty() {
            return Err(HostError::Malformed);
        }
        Ok((head.to_vec(), leaves.iter().map(|leaf| Digest::from_bytes(*leaf)).collect()))
    }

    /// Those of these objects that are there.
    #[cfg(feature = "provider")]
    pub(crate) async fn objects(
        &self,
        dataset: DatasetId,
        ids: &[deedbox_model::ObjectId],
        now: Timestamp,
    ) -> Result<Vec<Row>, HostError> {
        let body = wire::ids_to_bytes(ids);
        let reply = self.call(Method::Post, &format!("datasets/{dataset}/objects"), &body, now).await?;
        let body = wire::ObjectsBody::from_bytes(&reply.body).ok_or(HostError::Malformed)?;
        let row =
            |row: &wire::Object<'_>| Row { object: row.object, seq: row.seq, kind: row.kind, body: row.body.to_vec() };
        Ok(body.rows.iter().flatten().map(row).collect())
    }
}

/// A part of a commit, as the host takes it.
pub(crate) fn commit_part(part: &SignedPart) -> wire::PartBody<'_> {
    let expect = part.expect().map(|hash| HeadHash(*hash.as_bytes()));
    let mut body = wire::PartBody::new(*part.dataset(), expect, part.head().seq(), part.head_bytes(), Mode::Next);
    for put in part.puts() {
        let entry = put.entry();
        body.puts.push(wire::Object::new(*entry.object(), entry.seq(), entry.kind(), put.bytes()));
    }
    body.removes.extend_from_slice(part.removes());
    body
}
