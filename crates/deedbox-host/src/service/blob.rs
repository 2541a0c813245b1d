//! Blobs: appended to until they are sealed, read in parts of at most 1 MiB, each delivered by itself.

use std::ops::Range;

use deedbox_model::{BlobId, Timestamp};
use deedbox_store::{BLOB_PART, BlobRow, RowKey, Storage, StorageError, Swap, Table};

use super::read::given;
use super::{Caller, Host};
use crate::capability::{Ops, Target};
use crate::clock::Clock;
use crate::error::HostError;
use crate::request::{BlobPlace, ByteRange, Method, Reply, Request};

impl<S: Storage, C: Clock> Host<S, C> {
    pub(super) async fn blob(
        &self,
        caller: &Caller,
        request: &Request<'_>,
        b: BlobId,
        seal: Option<u64>,
    ) -> Result<Reply, HostError> {
        let writes = caller.capability.permits(Target::Store, Ops::WRITE_BLOBS);
        let reads = caller.capability.permits(Target::Store, Ops::READ_BLOBS);
        let (op, permitted) = match request.method {
            Method::Put => (Ops::WRITE_BLOBS, writes),
            Method::Head => (Ops::READ_BLOBS, reads || writes),
            _ => (Ops::READ_BLOBS, reads),
        };
        self.admit(caller, op, None, permitted).await?;
        if request.method == Method::Put {
            return self.blob_write(caller, b, request.range, request.body, seal).await;
        }
        let held = self.storage.blob(caller.store, b).await.map_err(HostError::of_storage)?;
        // what is not whole yet exists for its writers only
        let blob = held.filter(|blob| blob.sealed || writes).ok_or(HostError::NotFound)?;
        if request.method == Method::Head {
            let reply = self.deliver(caller, Vec::new(), &given(Ops::READ_BLOBS, None, 0, 0)).await?;
            return Ok(Reply { blob: Some(place(0, blob)), ..reply });
        }
        let Range { start, end } = part(request.range, blob.len)?;
        let bytes = self.storage.blob_read(caller.store, b, start..end).await.map_err(HostError::of_storage)?;
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let reply = self.deliver(caller, bytes, &given(Ops::READ_BLOBS, None, 1, len)).await?;
        let status = if request.range.is_some() { 206 } else { 200 };
        Ok(Reply { status, blob: Some(place(start, blob)), ..reply })
    }

    /// Appends, seals, or both. The same once more is refused with what is held, except that a sealed blob may be sealed
    /// again.
    async fn blob_write(
        &self,
        caller: &Caller,
        b: BlobId,
        range: Option<ByteRange>,
        body: &[u8],
        seal: Option<u64>,
    ) -> Result<Reply, HostError> {
        let (s, storage) = (caller.store, &self.storage);
        let len = u64::try_from(body.len()).unwrap_or(u64::MAX);
        let first = range.map_or(0, |range| range.first);
        let end = first.checked_add(len).ok_or(HostError::Malformed)?;
        let agrees = range.is_none_or(|range| range.last.and_then(|last| last.checked_add(1)) == Some(end));
        if !agrees || (range.is_none() && body.is_empty() && seal.is_none()) {
            return Err(HostError::Malformed);
        }
        let held = storage.blob(s, b).await.map_err(HostError::of_storage)?;
        if !body.is_empty() || (held.is_none() && seal == Some(0)) {
            if held.is_some_and(|blob| blob.sealed) {
                return Err(HostError::Conflict);
            }
            if held.is_none() && first == 0 {
                self.begin_blob(caller, b).await?;
            }
            storage.blob_append(s, b, first, body, &self.config.quota).await.map_err(|error| match error {
                // sealed by somebody in between
                StorageError::Invalid(_) => HostError::Conflict,
                error => HostError::of_storage(error),
            })?;
        }
        if let Some(len) = seal {
            storage.blob_seal(s, b, len).await.map_err(HostError::of_storage)?;
            self.end_blob(caller, b).await?;
        }
        let blob = storage.blob(s, b).await.map_err(HostError::of_storage)?.ok_or(HostError::NotFound)?;
        Ok(Reply { blob: Some(place(0, blob)), ..Reply::done() })
    }

    /// Notes when a blob began, so that it can lapse; durable before its first byte is.
    async fn begin_blob(&self, caller: &Caller, b: BlobId) -> Result<(), HostError> {
        let (key, now) = (RowKey(*b.as_bytes()), caller.now.secs().to_be_bytes());
        let swap = self.storage.swap_row(caller.store, Table::Settings, key, None, Some(&now)).await;
        // a conflict: an attempt before noted it
        match swap.map_err(HostError::of_storage)? {
            Swap::Done(_) | Swap::Conflict(_) => Ok(()),
        }
    }

    async fn end_blob(&self, caller: &Caller, b: BlobId) -> Result<(), HostError> {
        let key = RowKey(*b.as_bytes());
        let row = self.storage.row(caller.store, Table::Settings, key).await.map_err(HostError::of_storage)?;
        if let Some(row) = row {
            let gone = self.storage.swap_row(caller.store, Table::Settings, key, Some(row.version), None).await;
            match gone.map_err(HostError::of_storage)? {
                Swap::Done(_) | Swap::Conflict(_) => {}
            }
        }
        Ok(())
    }
}

/// When an unsealed blob began.
pub(super) fn began(row: &[u8]) -> Option<Timestamp> {
    Some(Timestamp::from_secs(u64::from_be_bytes(row.try_into().ok()?)))
}

/// The bytes of an answer: what was asked for, at most 1 MiB of it. A whole blob that is longer is asked for by ranges.
fn part(range: Option<ByteRange>, len: u64) -> Result<Range<u64>, HostError> {
    let Some(range) = range else {
        return if len <= BLOB_PART { Ok(0..len) } else { Err(HostError::TooLarge { limit: BLOB_PART }) };
    };
    if range.first >= len {
        return Err(HostError::WrongOffset { have: len });
    }
    let asked = range.last.map_or(len, |last| last.saturating_add(1)).min(len);
    Ok(range.first..asked.min(range.first.saturating_add(BLOB_PART)))
}

fn place(first: u64, blob: BlobRow) -> BlobPlace {
    BlobPlace { first, len: blob.len, sealed: blob.sealed }
}
