//! Blobs at a host: appended to in parts, read by ranges.

use std::borrow::Borrow;

use deedbox_cose::LocalSigner;
use deedbox_host::{ByteRange, HostError, Method};
use deedbox_model::{BlobId, Timestamp};
use deedbox_store::BLOB_PART;

use super::{Access, HostClient};

impl<H: HostClient, S: Borrow<LocalSigner> + Sync> Access<H, S> {
    /// Bytes of a whole blob from `first` on, as many as `len` and the host's limit allow, and how many it has. All of it is
    /// the host's word.
    pub(crate) async fn blob_read(
        &self,
        blob: BlobId,
        first: u64,
        len: u64,
        now: Timestamp,
    ) -> Result<(Vec<u8>, u64), HostError> {
        let last = first.checked_add(len.min(BLOB_PART)).and_then(|end| end.checked_sub(1));
        let range = ByteRange { first, last: Some(last.ok_or(HostError::Malformed)?) };
        let reply = self.ranged(Method::Get, &format!("blobs/{blob}"), &[], Some(range), now).await?;
        let place = reply.blob.filter(|place| place.first == first).ok_or(HostError::Malformed)?;
        if !place.sealed {
            return Err(HostError::NotFound);
        }
        Ok((reply.body, place.len))
    }
}

#[cfg(feature = "person")]
impl<H: HostClient> Access<H, LocalSigner> {
    /// Appends to a blob at `first`, and says at once that it is whole if `is_last`.
    pub(crate) async fn blob_append(
        &self,
        blob: BlobId,
        first: u64,
        bytes: &[u8],
        is_last: bool,
        now: Timestamp,
    ) -> Result<(), HostError> {
        let end = u64::try_from(bytes.len()).ok().and_then(|len| first.checked_add(len)).ok_or(HostError::Malformed)?;
        let range = (end > first).then(|| ByteRange { first, last: end.checked_sub(1) });
        let seal = if is_last { format!("?seal={end}") } else { String::new() };
        let reply = self.ranged(Method::Put, &format!("blobs/{blob}{seal}"), bytes, range, now).await?;
        if reply.status == 409 { Err(HostError::Conflict) } else { Ok(()) }
    }

    /// The same, where an attempt before may have come so far or farther.
    pub(crate) async fn blob_resume(
        &self,
        blob: BlobId,
        first: u64,
        bytes: &[u8],
        is_last: bool,
        now: Timestamp,
    ) -> Result<(), HostError> {
        match self.blob_append(blob, first, bytes, is_last, now).await {
            Err(HostError::WrongOffset { have }) if have > first => {
                let held = usize::try_from(have.saturating_sub(first)).unwrap_or(usize::MAX).min(bytes.len());
                let rest = bytes.get(held..).unwrap_or_default();
                if rest.is_empty() && !is_last {
                    return Ok(());
                }
                let first = first.saturating_add(u64::try_from(held).unwrap_or(u64::MAX));
                self.blob_append(blob, first, rest, is_last, now).await
            }
            // It was whole then. Whether it is right shows when it is read.
            Err(HostError::Conflict) => Ok(()),
            done => done,
        }
    }

    /// Has the host remove a blob; one that is not there is none.
    pub(crate) async fn purge_blob(&self, blob: BlobId, now: Timestamp) -> Result<(), HostError> {
        let body = deedbox_host::wire::PurgeBody::Blob(blob).to_bytes();
        match self.call(Method::Post, "purge", &body, now).await {
            Ok(_) | Err(HostError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
