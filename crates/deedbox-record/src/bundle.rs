//! The export bundle: a whole store in one file, verified offline. It is written and read as a stream: what is held of it is
//! all but the blobs when it is read, and nothing when it is written.

mod read;

use alloc::vec::Vec;
use core::{fmt, mem};

use deedbox_cbor::Writer;
use deedbox_cose::sign1;
use deedbox_crypto::{hash::Sha256, label};
use deedbox_model::{BlobId, CapabilityId, DatasetId, Epoch, MailboxId, ObjectId, Seq, StoreId, Timestamp};

use crate::{BundleError, EpochKeys, Header, HostShare};

pub use read::{
    BlobPart, BlobParts, Bundle, BundleBlob, BundleCapability, BundleDataset, BundleMail, BundleReader, VerifiedBundle,
};

/// Writes a bundle, part after part in the order of the format. Whoever takes out what was written in between
/// ([`BundleWriter::take`]) needs the memory of one part.
///
/// ```cddl
/// bundle  = ["deedbox-bundle", 1, store: b16, created: uint]
///           [1, header: bstr] [2, keyring-epoch: u32, share: b32] *[3, capability: b16, body: bstr, state: uint]
///           1*([4, dataset: b16, head: bstr] *[5, object: b16, seq: uint, kind: uint, bytes: bstr])
///           *([6, blob: b16, length: uint] *[7, blob: b16, offset: uint, bytes: bstr])
///           *[8, mailbox: b16, n: uint, dedupe: b16, bytes: bstr]
///           [9, trailer: bstr .cbor COSE_Sign1]                                       ; a CBOR sequence
/// trailer = { 1: store: b16, 2: items: uint, 3: sha256: b32 }                         ; of all before it
/// ```
pub struct BundleWriter {
    out: Writer,
    store: StoreId,
    items: u64,
    /// Of what was taken out.
    hash: Sha256,
    // What was written last, by number; parts come in ascending order.
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Capabilities,
    Dataset { dataset: DatasetId, object: Option<ObjectId> },
    Blob { blob: BlobId, offset: u64, length: u64 },
    Mail,
}

impl BundleWriter {
    /// Begins the bundle of a store: its header, and the share that the host holds for the present keyring.
    #[must_use]
    pub fn new(header: &Header, epoch: Epoch, share: &HostShare, created: Timestamp) -> Self {
        let mut out = Writer::new();
        out.array(4).text(NAME).uint(1);
        header.store().encode(&mut out);
        created.encode(&mut out);
        out.array(2).uint(1).bytes(header.bytes());
        epoch.encode(out.array(3).uint(2));
        out.bytes(share.expose());
        Self { out, store: *header.store(), items: 3, hash: Sha256::new(), stage: Stage::Capabilities }
    }

    /// What was written since this was called last.
    #[must_use = "it is gone from the writer"]
    pub fn take(&mut self) -> Vec<u8> {
        self.hash.update(self.out.as_slice());
        mem::take(&mut self.out).into_vec()
    }

    /// A capability as the host holds it: its body, and the host's word for its state.
    ///
    /// # Errors
    /// [`BundleError::Malformed`] after the first dataset.
    pub fn capability(&mut self, id: &CapabilityId, body: &[u8], state: u64) -> Result<(), BundleError> {
        if self.stage != Stage::Capabilities {
            return Err(BundleError::Malformed);
        }
        id.encode(self.out.array(4).uint(3));
        self.out.bytes(body).uint(state);
        self.count()
    }

    /// A dataset by its head, in the order of ids: the meta dataset comes first.
    ///
    /// # Errors
    /// [`BundleError::Malformed`] out of order.
    pub fn dataset(&mut self, dataset: &DatasetId, head: &[u8]) -> Result<(), BundleError> {
        let in_order = match self.stage {
            Stage::Capabilities => *dataset == DatasetId::META,
            Stage::Dataset { dataset: before, .. } => before < *dataset,
            _ => false,
        };
        if !in_order {
            return Err(BundleError::Malformed);
        }
        dataset.encode(self.out.array(3).uint(4));
        self.out.bytes(head);
        self.stage = Stage::Dataset { dataset: *dataset, object: None };
        self.count()
    }

    /// An object of the dataset begun last, in the order of ids.
    ///
    /// # Errors
    /// [`BundleError::Malformed`] out of order.
    pub fn object(&mut self, object: &ObjectId, seq: Seq, kind: u8, bytes: &[u8]) -> Result<(), BundleError> {
        let Stage::Dataset { object: before, .. } = &mut self.stage else { return Err(BundleError::Malformed) };
        if before.is_some_and(|before| before >= *object) {
            return Err(BundleError::Malformed);
        }
        *before = Some(*object);
        object.encode(self.out.array(5).uint(5));
        seq.encode(&mut self.out);
        self.out.uint(kind.into()).bytes(bytes);
        self.count()
    }

    /// A blob, by the length of its sealed bytes, in the order of ids.
    ///
    /// # Errors
    /// [`BundleError::Malformed`] out of order, or while the blob before is not complete.
    pub fn blob(&mut self, blob: &BlobId, length: u64) -> Result<(), BundleError> {
        let in_order = match self.stage {
            Stage::Dataset { .. } => true,
            Stage::Blob { blob: before, offset, length } => before < *blob && offset == length,
            _ => false,
        };
        if !in_order {
            return Err(BundleError::Malformed);
        }
        blob.encode(self.out.array(3).uint(6));
        self.out.uint(length);
        self.stage = Stage::Blob { blob: *blob, offset: 0, length };
        self.count()
    }

    /// The next bytes of the blob begun last: 1 MiB, or what is left.
    ///
    /// # Errors
    /// [`BundleError::Malformed`] for another length.
    pub fn blob_part(&mut self, bytes: &[u8]) -> Result<(), BundleError> {
        let Stage::Blob { blob, offset, length } = &mut self.stage else { return Err(BundleError::Malformed) };
        if u64::try_from(bytes.len()) != Ok(BLOB_PART.min(*length - *offset)) || bytes.is_empty() {
            return Err(BundleError::Malformed);
        }
        blob.encode(self.out.array(4).uint(7));
        self.out.uint(*offset).bytes(bytes);
        *offset = BLOB_PART.saturating_add(*offset).min(*length);
        self.count()
    }

    /// An item of a mailbox.
    ///
    /// # Errors
    /// [`BundleError::Malformed`] before the datasets, or while a blob is not complete.
    pub fn mail(&mut self, mailbox: &MailboxId, n: u64, dedupe: &[u8; 16], bytes: &[u8]) -> Result<(), BundleError> {
        if !self.is_complete() {
            return Err(BundleError::Malformed);
        }
        self.stage = Stage::Mail;
        mailbox.encode(self.out.array(5).uint(8));
        self.out.uint(n).bytes(dedupe).bytes(bytes);
        self.count()
    }

    /// Signs the trailer with the meta dataset's keys and gives the bundle, or what was not taken out of it.
    ///
    /// # Errors
    /// [`BundleError::Malformed`] while something is missing; [`BundleError::Rejected`] when `meta` can't sign.
    pub fn finish(self, meta: &EpochKeys) -> Result<Vec<u8>, BundleError> {
        if !self.is_complete() {
            return Err(BundleError::Malformed);
        }
        let mut hash = self.hash;
        hash.update(self.out.as_slice());
        let claims = trailer_claims(&self.store, self.items, &hash.finish());
        let seed = meta.current().and_then(|epoch| meta.head_seed(epoch)).ok_or(BundleError::Rejected)?;
        let trailer = sign1::document(&seed.signer(), label::BUNDLE.as_bytes(), &claims);
        let mut out = self.out;
        out.array(2).uint(9).bytes(&trailer.map_err(|_| BundleError::Rejected)?);
        Ok(out.into_vec())
    }

    const fn is_complete(&self) -> bool {
        match self.stage {
            Stage::Capabilities => false,
            Stage::Blob { offset, length, .. } => offset == length,
            Stage::Dataset { .. } | Stage::Mail => true,
        }
    }

    fn count(&mut self) -> Result<(), BundleError> {
        self.items = self.items.checked_add(1).ok_or(BundleError::Malformed)?;
        Ok(())
    }
}

impl fmt::Debug for BundleWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BundleWriter").field("items", &self.items).finish_non_exhaustive()
    }
}

fn trailer_claims(store: &StoreId, items: u64, hash: &[u8; 32]) -> Vec<u8> {
    let mut writer = Writer::with_capacity(64);
    writer.map(|map| {
        map.int(1, |w| store.encode(w));
        map.int(2, |w| {
            w.uint(items);
        });
        map.int(3, |w| {
            w.bytes(hash);
        });
    });
    writer.into_vec()
}

const NAME: &str = "deedbox-bundle";
const BLOB_PART: u64 = 1 << 20;

#[cfg(test)]
mod tests;
