//! What only the person's own agent does: shares, capabilities, aliases, purge, totals.

use deedbox_cbor::{Limits, Order, Writer, read};
use deedbox_cose::VerifyKey;
use deedbox_model::{CapabilityId, StoreName};
use deedbox_store::{Class, Purge, RowKey, Storage, StorageError, Swap, Table};

use super::{Caller, Host};
use crate::capability::{Capability, MAX_ROW, Row, State};
use crate::clock::Clock;
use crate::error::HostError;
use crate::proof::ed25519_key;
use crate::request::{Method, Reply, Request, Resource};
use crate::wire::{self, PurgeBody, PurgeReceipt};

impl<S: Storage, C: Clock> Host<S, C> {
    pub(super) async fn manage(
        &self,
        caller: &Caller,
        request: &Request<'_>,
        resource: Resource,
    ) -> Result<Reply, HostError> {
        match (resource, request.method) {
            (Resource::Share(epoch), method) => self.share(caller, epoch, method, request.body).await,
            (Resource::Alias(alias), method) => self.alias(caller, alias, method == Method::Put).await,
            (Resource::Capabilities, _) => self.capabilities(caller).await,
            (Resource::Capability(id), Method::Get) => {
                let row = self.row(caller.store, id).await?.ok_or(HostError::NotFound)?;
                Ok(Reply::ok(row.to_bytes()))
            }
            (Resource::Capability(id), Method::Put) => self.put_capability(caller, id, request.body).await,
            (Resource::Capability(id), _) => {
                let state = wire::uint_from_bytes(request.body).and_then(State::from_number);
                self.set_state(caller, id, state.ok_or(HostError::Malformed)?).await
            }
            (Resource::Purge, _) => self.purge(caller, request.body).await,
            _ => {
                let usage = self.storage.usage(caller.store).await.map_err(HostError::of_storage)?;
                Ok(Reply::ok(wire::usage_to_bytes(&usage)))
            }
        }
    }

    async fn share(&self, caller: &Caller, epoch: u32, method: Method, body: &[u8]) -> Result<Reply, HostError> {
        let storage = &self.storage;
        match method {
            Method::Get => {
                let share = storage.share(caller.store, epoch).await.map_err(HostError::of_storage)?;
                Ok(Reply::ok(wire::bytes_to_bytes(&share.ok_or(HostError::NotFound)?)))
            }
            Method::Put => {
                let share = wire::bytes_from_bytes(body).and_then(|share| <&[u8; 32]>::try_from(share).ok());
                let share = share.ok_or(HostError::Malformed)?;
                storage.share_put(caller.store, epoch, share).await.map_err(|error| match error {
                    // a third epoch: drop one first
                    StorageError::Invalid(_) => HostError::Conflict,
                    error => HostError::of_storage(error),
                })?;
                Ok(Reply::done())
            }
            _ => {
                storage.share_drop(caller.store, epoch).await.map_err(HostError::of_storage)?;
                Ok(Reply::done())
            }
        }
    }

    async fn alias(&self, caller: &Caller, alias: StoreName, on: bool) -> Result<Reply, HostError> {
        self.storage.set_alias(caller.store, alias, on).await.map_err(HostError::of_storage)?;
        Ok(Reply::done())
    }

    async fn capabilities(&self, caller: &Caller) -> Result<Reply, HostError> {
        let rows = self.storage.rows(caller.store, Table::Capabilities).await.map_err(HostError::of_storage)?;
        let mut writer = Writer::new();
        writer.array(rows.len());
        for (_, row) in &rows {
            let item = read(&row.value, Order::Canonical, &Limits::new(MAX_ROW));
            writer.item(item.map_err(|_| HostError::Storage(StorageError::Corrupt))?);
        }
        Ok(Reply::ok(writer.into_vec()))
    }

    /// Writes a capability. A new one is active; one that is there keeps its state, and a revoked one stays as it is.
    async fn put_capability(&self, caller: &Caller, id: CapabilityId, body: &[u8]) -> Result<Reply, HostError> {
        let capability = Capability::from_bytes(body).ok_or(HostError::Malformed)?;
        let usable = VerifyKey::parse(&ed25519_key(&capability.holder)).is_ok();
        if capability.id != id || !usable {
            return Err(HostError::Malformed);
        }
        if self.storage.resolve(capability.name).await.map_err(HostError::of_storage)? != Some(caller.store) {
            return Err(HostError::Malformed);
        }
        let key = RowKey(*id.as_bytes());
        let held = self.storage.row(caller.store, Table::Capabilities, key).await.map_err(HostError::of_storage)?;
        let Some(held) = held else {
            let rows = self.storage.rows(caller.store, Table::Capabilities).await.map_err(HostError::of_storage)?;
            if u64::try_from(rows.len()).map_or(true, |len| len >= self.config.capabilities) {
                return Err(HostError::OverQuota(Class::Rows));
            }
            let row = Row::new(State::Active, caller.now, capability);
            self.swap(caller, key, None, &row).await?;
            return Ok(Reply::new(201, Vec::new()));
        };
        let row = Row::from_bytes(&held.value).ok_or(HostError::Storage(StorageError::Corrupt))?;
        if row.state == State::Revoked {
            return Err(HostError::Conflict);
        }
        self.swap(caller, key, Some(held.version), &Row { capability, ..row }).await?;
        Ok(Reply::done())
    }

    /// Pauses, resumes, revokes; durable when it returns. The same state again changes nothing.
    async fn set_state(&self, caller: &Caller, id: CapabilityId, state: State) -> Result<Reply, HostError> {
        let key = RowKey(*id.as_bytes());
        let held = self.storage.row(caller.store, Table::Capabilities, key).await.map_err(HostError::of_storage)?;
        let held = held.ok_or(HostError::NotFound)?;
        let row = Row::from_bytes(&held.value).ok_or(HostError::Storage(StorageError::Corrupt))?;
        if row.state == state {
            return Ok(Reply::done());
        }
        if row.state == State::Revoked {
            return Err(HostError::Conflict);
        }
        self.swap(caller, key, Some(held.version), &Row { state, since: caller.now, ..row }).await?;
        Ok(Reply::done())
    }

    async fn swap(&self, caller: &Caller, key: RowKey, expect: Option<u64>, row: &Row) -> Result<(), HostError> {
        let bytes = row.to_bytes();
        if bytes.len() > MAX_ROW {
            return Err(HostError::TooLarge { limit: u64::try_from(MAX_ROW).unwrap_or(u64::MAX) });
        }
        let swap = self.storage.swap_row(caller.store, Table::Capabilities, key, expect, Some(&bytes)).await;
        match swap.map_err(HostError::of_storage)? {
            Swap::Done(_) => {
                self.signals.wake(caller.store);
                Ok(())
            }
            Swap::Conflict(_) => Err(HostError::Conflict),
        }
    }

    async fn purge(&self, caller: &Caller, body: &[u8]) -> Result<Reply, HostError> {
        let purge = PurgeBody::from_bytes(body, body.len()).ok_or(HostError::Malformed)?;
        let what = match &purge {
            PurgeBody::Blob(id) => Purge::Blob(*id),
            PurgeBody::Dataset(id) => Purge::Dataset(*id),
            PurgeBody::Mailbox(id) => Purge::Mailbox(*id),
            PurgeBody::Objects(id, objects) => Purge::Objects(*id, objects),
            PurgeBody::Store => Purge::Store,
            PurgeBody::Traces => Purge::Traces,
        };
        let purged = self.storage.purge(caller.store, what).await.map_err(HostError::of_storage)?;
        self.signals.wake(caller.store);
        let receipt = PurgeReceipt::new(caller.now, purge, purged, self.config.share_backup_days);
        Ok(Reply::ok(receipt.to_bytes()))
    }
}
