//! What only the owner of a store asks of its host.

use deedbox_cose::{LocalSigner, Signer as _, VerifyKey};
use deedbox_host::{
    HostError, Method, Request,
    capability::{Capability, Ops, Right, Row, State, Target},
    wire,
};
use deedbox_model::{CapabilityId, StoreId, StoreName, Timestamp};
use deedbox_record::Root;

use super::{Access, HostClient};

/// As its owner reaches it: the holder's key is the root's access key.
pub(crate) type Owner<H> = Access<H, LocalSigner>;

impl<H: HostClient> Access<H, LocalSigner> {
    pub(crate) fn new(client: H, root: &Root) -> Self {
        let signer = root.access_signer();
        Self { client, store: (*root.store()).into(), capability: capability_of(signer.public()), signer }
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

    pub(crate) async fn create(&self, store: StoreId, header: &[u8], holder: [u8; 32]) -> Result<(), HostError> {
        let body = wire::CreateBody::new(store, header, self.capability, holder).to_bytes();
        let target = "/v1/stores";
        let request = Request {
            method: Method::Post,
            origin: self.client.origin(),
            target,
            body: &body,
            range: None,
            proof: None,
        };
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
        let capability = Capability::new(id, holder, self.store, rights, Timestamp::from_secs(0), forever);
        self.put_capability(&capability, now).await
    }

    /// Writes a capability.
    pub(crate) async fn put_capability(&self, capability: &Capability, now: Timestamp) -> Result<(), HostError> {
        let id = capability.id;
        self.call(Method::Put, &format!("capabilities/{id}"), &capability.to_bytes(), now).await.map(|_| ())
    }

    /// Revokes a capability; one that is not there, or is revoked already, is none.
    pub(crate) async fn revoke(&self, id: CapabilityId, now: Timestamp) -> Result<(), HostError> {
        let body = wire::uint_to_bytes(State::Revoked.number().into());
        match self.call(Method::Patch, &format!("capabilities/{id}"), &body, now).await {
            Ok(_) | Err(HostError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Another name by which readers of a dataset know the store.
    pub(crate) async fn put_alias(&self, alias: StoreName, now: Timestamp) -> Result<(), HostError> {
        self.call(Method::Put, &format!("aliases/{alias}"), &[], now).await.map(|_| ())
    }

    async fn capabilities(&self, now: Timestamp) -> Result<Vec<Row>, HostError> {
        let reply = self.call(Method::Get, "capabilities", &[], now).await?;
        let limits = deedbox_cbor::Limits::new(wire::MAX_REPLY);
        let rows = deedbox_cbor::read(&reply.body, deedbox_cbor::Order::Canonical, &limits).ok();
        let rows = rows.and_then(|rows| rows.as_array()?.iter().map(Row::decode).collect::<Option<Vec<_>>>());
        rows.ok_or(HostError::Malformed)
    }

    /// Revokes every capability but the owner's and those known.
    pub(crate) async fn revoke_unknown(&self, known: &[CapabilityId], now: Timestamp) -> Result<(), HostError> {
        for row in self.capabilities(now).await? {
            let id = row.capability.id;
            if id != self.capability && row.state != State::Revoked && !known.contains(&id) {
                self.revoke(id, now).await?;
            }
        }
        Ok(())
    }

    /// Revokes every other capability that manages the store: there is one root, and one access key of it.
    pub(crate) async fn revoke_former(&self, now: Timestamp) -> Result<(), HostError> {
        for row in self.capabilities(now).await? {
            let (id, is_owner) = (row.capability.id, row.capability.permits(Target::Store, Ops::MANAGE));
            if is_owner && id != self.capability && row.state != State::Revoked {
                self.revoke(id, now).await?;
            }
        }
        Ok(())
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
    let request =
        Request { method: Method::Get, origin: client.origin(), target: &target, body: &[], range: None, proof: None };
    Ok(client.send(request).await?.body)
}
