use deedbox_model::{BlobId, DatasetId, ObjectId, Seq, StoreId, StoreName};

/// The place of an object. An object opens only where it was sealed: its key is derived from the place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// The store, as the dataset's readers know it.
    pub store: StoreName,
    /// The dataset.
    pub dataset: DatasetId,
    /// The object's id.
    pub object: ObjectId,
    /// The sequence number of the head that writes it.
    pub seq: Seq,
}

/// A place as it enters key derivation; objects outside the state tree have number 0.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) store: [u8; 16],
    pub(crate) dataset: [u8; 16],
    pub(crate) object: [u8; 16],
    pub(crate) seq: u64,
}

impl Place {
    /// Where a blob is sealed.
    pub(crate) fn blob(store: &StoreName, dataset: &DatasetId, blob: &BlobId) -> Self {
        Self { store: *store.as_bytes(), dataset: *dataset.as_bytes(), object: *blob.as_bytes(), seq: 0 }
    }

    /// Where a slot's wrapped root secret is sealed.
    pub(crate) fn slot(store: &StoreId, slot: &[u8; 16]) -> Self {
        Self { store: *store.as_bytes(), dataset: [0; 16], object: *slot, seq: 0 }
    }
}

impl From<&Address> for Place {
    fn from(at: &Address) -> Self {
        Self {
            store: *at.store.as_bytes(),
            dataset: *at.dataset.as_bytes(),
            object: *at.object.as_bytes(),
            seq: at.seq.get(),
        }
    }
}
