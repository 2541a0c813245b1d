//! How an agent reaches its host: one trait, and the client that calls a host in the same process.

use std::{future::Future, sync::Arc};

use deedbox_cose::{LocalSigner, Signer as _, VerifyKey};
use deedbox_host::{
    Clock, Host, HostError, Method, Reply, Request,
    capability::{Capability, Ops, Right, Row as CapabilityRow, State, Target},
    proof, wire,
};
use deedbox_model::{CapabilityId, DatasetId, StoreId, Timestamp};
use deedbox_record::Root;
use deedbox_store::{Cursor, Storage};

/// A way to a host. It names no runtime and no transport.
pub trait HostClient: Send + Sync {
    /// The host's origin, which is signed into each request: `https://host.example`.
    fn origin(&self) -> &str;

    /// Sends one request and gives the answer.
    ///
    /// # Errors
    /// What the host said, or that it can't be reached.
    fn send(&self, request: Request<'_>) -> impl Future<Output = Result<Reply, HostError>> + Send;
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
}

/// One store at a host, as its owner reaches it: every request is signed by the root's access key.
pub(crate) struct Owner<H> {
    client: H,
    store: StoreId,
    capability: CapabilityId,
    signer: LocalSigner,
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

impl<H: HostClient> Owner<H> {
    pub(crate) fn new(client: H, root: &Root) -> Self {
        let signer = root.access_signer();
        Self { client, store: *root.store(), capability: capability_of(signer.public()), signer }
    }

    /// From here on with the access key of another root.
    pub(crate) fn change(&mut self, root: &Root) {
        self.signer = root.access_signer();
        self.capability = capability_of(self.signer.public());
    }

    pub(crate) const fn client(&self) -> &H {
        &self.client
    }

    pub(crate) fn origin(&self) -> &str {
        self.client.origin()
    }

    pub(crate) async fn create(&self, header: &[u8], holder: [u8; 32]) -> Result<(), HostError> {
        let body = wire::CreateBody::new(self.store, header, self.capability, holder).to_bytes();
        let target = "/v1/stores";
        let request = Request { method: Method::Post, origin: self.client.origin(), target, body: &body, proof: None };
        self.client.send(request).await.map(|_| ())
    }

    pub(crate) async fn share(&self, epoch: u32, now: Timestamp) -> Result<[u8; 32], HostError> {
        let reply = self.call(Method::Get, &format!("shares/{epoch}"), &[], now).await?;
        wire::bytes_from_bytes(&reply.body).and_then(|share| share.try_into().ok()).ok_or(HostError::Malformed)
    }

    pub(crate) async fn put_share(&self, epoch: u32, share: &[u8; 32], now: Timestamp) -> Result<(), HostError> {
        let body = wire::bytes_to_bytes(share);
        self.call(Method::Put, &format!("shares/{epoch}"), &body, now).await.map(|_| ())
    }

    /// The share of an epoch that has none yet: `fresh`, or what an attempt before left there.
    pub(crate) async fn share_or_put(
        &self,
        epoch: u32,
        fresh: &[u8; 32],
        now: Timestamp,
    ) -> Result<[u8; 32], HostError> {
        match self.share(epoch, now).await {
            Err(HostError::NotFound) => {
                self.put_share(epoch, fresh, now).await?;
                Ok(*fresh)
            }
            held => held,
        }
    }

    pub(crate) async fn drop_share(&self, epoch: u32, now: Timestamp) -> Result<(), HostError> {
        self.call(Method::Delete, &format!("shares/{epoch}"), &[], now).await.map(|_| ())
    }

    /// Has the host remove what is left of bytes that were removed before.
    pub(crate) async fn purge_traces(&self, now: Timestamp) -> Result<wire::PurgeReceipt, HostError> {
        let reply = self.call(Method::Post, "purge", &wire::PurgeBody::Traces.to_bytes(), now).await?;
        wire::PurgeReceipt::from_bytes(&reply.body).ok_or(HostError::Malformed)
    }

    /// Gives the access key of `root` every right to the store.
    pub(crate) async fn admit(&self, root: &Root, now: Timestamp) -> Result<(), HostError> {
        let key = root.access_signer();
        let id = capability_of(key.public());
        let holder = *root.access_key().public().as_bytes();
        let forever = Timestamp::from_secs(deedbox_store::MAX_SEQ);
        let rights = vec![Right::new(Target::Store, Ops::ALL)];
        let capability = Capability::new(id, holder, self.store.into(), rights, Timestamp::from_secs(0), forever);
        self.call(Method::Put, &format!("capabilities/{id}"), &capability.to_bytes(), now).await.map(|_| ())
    }

    /// Revokes every other capability that manages the store: there is one root, and one access key of it.
    pub(crate) async fn revoke_former(&self, now: Timestamp) -> Result<(), HostError> {
        let reply = self.call(Method::Get, "capabilities", &[], now).await?;
        let limits = deedbox_cbor::Limits::new(wire::MAX_REPLY);
        let rows = deedbox_cbor::read(&reply.body, deedbox_cbor::Order::Canonical, &limits).ok();
        let rows = rows.and_then(|rows| rows.as_array()?.iter().map(CapabilityRow::decode).collect::<Option<Vec<_>>>());
        for row in rows.ok_or(HostError::Malformed)? {
            let (id, is_owner) = (row.capability.id, row.capability.permits(Target::Store, Ops::MANAGE));
            if is_owner && id != self.capability && row.state != State::Revoked {
                let body = wire::uint_to_bytes(State::Revoked.number().into());
                self.call(Method::Patch, &format!("capabilities/{id}"), &body, now).await?;
            }
        }
        Ok(())
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
        let target = format!("/v1/stores/{}/{what}", self.store);
        let hash = proof::request_hash(method, self.client.origin(), &target, body);
        let claims = proof::Claims::new(self.capability, hash, now);
        let proof = claims.sign(&self.signer).map_err(|_| HostError::Unauthenticated)?;
        let origin = self.client.origin();
        self.client.send(Request { method, origin, target: &target, body, proof: Some(&proof) }).await
    }
}

/// The owner's capability: named after the access key, so that each root has one of its own.
fn capability_of(key: &VerifyKey) -> CapabilityId {
    let thumbprint = key.thumbprint();
    let [id @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = *thumbprint.as_bytes();
    CapabilityId::from_bytes(id)
}

/// The store's header, which anybody may fetch who knows the store's id: nothing of it is trusted before its MAC holds.
pub(crate) async fn header(client: &impl HostClient, store: StoreId) -> Result<Vec<u8>, HostError> {
    let target = format!("/v1/stores/{store}/header");
    let request = Request { method: Method::Get, origin: client.origin(), target: &target, body: &[], proof: None };
    Ok(client.send(request).await?.body)
}
