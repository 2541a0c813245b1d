//! Reading: data first, then the notice, then the capability again, then the answer.

use deedbox_cose::sha256;
use deedbox_model::{DatasetId, MailboxId, Seq};
use deedbox_store::{Cursor, IndexRow, Limit, Page, Storage};

use super::{Caller, Host, Yield, object_ids, sum_len};
use crate::capability::{Ops, Scope, Target};
use crate::clock::Clock;
use crate::error::HostError;
use crate::request::Reply;
use crate::wire::{self, MailBody, Object, ObjectsBody, PageBody};

impl<S: Storage, C: Clock> Host<S, C> {
    pub(super) async fn heads(&self, caller: &Caller, d: DatasetId, after: Option<Seq>) -> Result<Reply, HostError> {
        let permitted = caller.capability.scope(d, Ops::READ) != Scope::Nothing;
        self.admit(caller, Ops::READ, Some(d), permitted).await?;
        let limit = self.config.page.rows;
        let heads = self.storage.heads(caller.store, d, after, limit).await.map_err(HostError::of_storage)?;
        let body = wire::list_to_bytes(heads.iter().map(|head| head.body.as_slice()));
        self.deliver(caller, body, &given(Ops::READ, Some(d), heads.len(), 0)).await
    }

    pub(super) async fn objects(&self, caller: &Caller, d: DatasetId, body: &[u8]) -> Result<Reply, HostError> {
        let ids = wire::ids_from_bytes(body, body.len()).ok_or(HostError::Malformed)?;
        let most = u64::from(self.config.page.rows);
        if u64::try_from(ids.len()).map_or(true, |len| len > most) {
            return Err(HostError::TooLarge { limit: most });
        }
        let permitted = caller.capability.permits_objects(d, Ops::READ, ids.iter().copied());
        self.admit(caller, Ops::READ, Some(d), permitted).await?;
        let snapshot = self.storage.get(caller.store, d, &ids).await.map_err(HostError::of_storage)?;
        let rows: Vec<_> = snapshot.rows.iter().map(|row| row.as_ref().map(Object::from)).collect();
        let bytes = sum_len(rows.iter().flatten().map(|row| row.body));
        if bytes > self.config.page.bytes && rows.len() > 1 {
            return Err(HostError::TooLarge { limit: self.config.page.bytes });
        }
        let objects = object_ids(rows.iter().flatten());
        let what = Yield { objects: &objects, ..given(Ops::READ, Some(d), 0, bytes) };
        let body = ObjectsBody::new(&snapshot.head.body, rows).to_bytes();
        self.deliver(caller, body, &what).await
    }

    pub(super) async fn changes(
        &self,
        caller: &Caller,
        d: DatasetId,
        after: Cursor,
        limit: Option<u32>,
    ) -> Result<Reply, HostError> {
        let scope = caller.capability.scope(d, Ops::READ);
        self.admit(caller, Ops::READ, Some(d), scope != Scope::Nothing).await?;
        let most = self.config.page;
        let limit = Limit { rows: limit.unwrap_or(most.rows).min(most.rows), bytes: most.bytes };
        match self.storage.changes(caller.store, d, after, limit).await.map_err(HostError::of_storage)? {
            Page::Resync { head } => {
                let body = PageBody::new(vec![&head.body], Vec::new(), None, true).to_bytes();
                self.deliver(caller, body, &given(Ops::READ, Some(d), 0, 0)).await
            }
            Page::Rows { head, rows, next } => {
                let rows: Vec<_> = rows
                    .iter()
                    .filter(|row| match &scope {
                        Scope::Everything => true,
                        Scope::Objects(permitted) => permitted.contains(&row.object),
                        Scope::Nothing => false,
                    })
                    .map(Object::from)
                    .collect();
                let objects = object_ids(rows.iter());
                let bytes = sum_len(rows.iter().map(|row| row.body));
                let what = Yield { objects: &objects, ..given(Ops::READ, Some(d), 0, bytes) };
                let body = PageBody::new(vec![&head.body], rows, next, false).to_bytes();
                self.deliver(caller, body, &what).await
            }
        }
    }

    /// All leaf hashes, without ids: partial readers find theirs and compute the root.
    pub(super) async fn leaves(&self, caller: &Caller, d: DatasetId) -> Result<Reply, HostError> {
        let permitted = caller.capability.scope(d, Ops::READ) != Scope::Nothing;
        self.admit(caller, Ops::READ, Some(d), permitted).await?;
        let index = self.storage.index(caller.store, d).await.map_err(HostError::of_storage)?;
        let leaves: Vec<u8> = index.rows.iter().flat_map(leaf).collect();
        let body = wire::pair_to_bytes(&index.head.body, &leaves);
        self.deliver(caller, body, &given(Ops::READ, Some(d), index.rows.len(), 0)).await
    }

    pub(super) async fn mail_list(&self, caller: &Caller, m: MailboxId, after: u64) -> Result<Reply, HostError> {
        let permitted = caller.capability.permits(Target::Mailbox(m), Ops::TAKE);
        self.admit(caller, Ops::TAKE, None, permitted).await?;
        let limit = self.config.page;
        let rows = self.storage.mail_list(caller.store, m, after, limit).await.map_err(HostError::of_storage)?;
        let items: Vec<_> = rows.iter().map(|row| MailBody::new(row.n, row.dedupe, row.at, &row.body)).collect();
        let bytes = sum_len(items.iter().map(|item| item.body));
        let body = MailBody::list_to_bytes(&items);
        self.deliver(caller, body, &given(Ops::TAKE, None, rows.len(), bytes)).await
    }
}

/// leaf = SHA-256(00 ‖ object ‖ seq u64 BE ‖ kind u8 ‖ SHA-256(object bytes))
fn leaf(row: &IndexRow) -> [u8; 32] {
    let mut bytes = Vec::with_capacity(58);
    bytes.push(0);
    bytes.extend_from_slice(row.object.as_bytes());
    bytes.extend_from_slice(&row.seq.get().to_be_bytes());
    bytes.push(row.kind);
    bytes.extend_from_slice(&row.body_hash);
    sha256(&bytes)
}

pub(super) fn given(op: Ops, dataset: Option<DatasetId>, count: usize, bytes: u64) -> Yield<'static> {
    let count = u64::try_from(count).unwrap_or(u64::MAX);
    Yield { op: Some(op), dataset, objects: &[], count, bytes, refused: None }
}
