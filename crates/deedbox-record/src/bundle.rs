//! The export bundle: a whole store in one file, verified offline.

use alloc::vec::Vec;
use core::fmt;

use deedbox_cbor::{Item, Limits, Order, Writer, read_sequence};
use deedbox_cose::sign1;
use deedbox_crypto::{
    hash::{Sha256, sha256},
    label,
};
use deedbox_model::{BlobId, CapabilityId, DatasetId, Epoch, MailboxId, ObjectId, Seq, StoreId, Timestamp};

use crate::{BundleError, ChangedObject, EpochKeys, Header, HostShare, Keyring, Replica, Root};

/// Writes a bundle, part after part in the order of the format.
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
        Self { out, store: *header.store(), items: 3, stage: Stage::Capabilities }
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

    /// Signs the trailer with the meta dataset's keys and gives the bundle.
    ///
    /// # Errors
    /// [`BundleError::Malformed`] while something is missing; [`BundleError::Rejected`] when `meta` can't sign.
    pub fn finish(self, meta: &EpochKeys) -> Result<Vec<u8>, BundleError> {
        if !self.is_complete() {
            return Err(BundleError::Malformed);
        }
        let mut hash = Sha256::new();
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

/// A bundle as it was read: of its form, and nothing more. [`Bundle::header`] tells how to unlock; [`Bundle::verify`]
/// does the rest.
pub struct Bundle<'a> {
    store: StoreId,
    created: Timestamp,
    header: Header,
    epoch: Epoch,
    share: HostShare,
    capabilities: Vec<BundleCapability<'a>>,
    datasets: Vec<BundleDataset<'a>>,
    blobs: Vec<BundleBlob<'a>>,
    mail: Vec<BundleMail<'a>>,
    trailer: &'a [u8],
    claims: Vec<u8>,
}

/// A capability in a bundle.
#[derive(Clone, Copy)]
pub struct BundleCapability<'a> {
    id: CapabilityId,
    body: &'a [u8],
    state: u64,
}

/// A dataset in a bundle.
#[derive(Clone)]
pub struct BundleDataset<'a> {
    dataset: DatasetId,
    head: &'a [u8],
    objects: Vec<ChangedObject<'a>>,
}

/// A blob in a bundle.
#[derive(Clone)]
pub struct BundleBlob<'a> {
    blob: BlobId,
    length: u64,
    parts: Vec<&'a [u8]>,
}

/// An item of a mailbox in a bundle.
#[derive(Clone, Copy)]
pub struct BundleMail<'a> {
    mailbox: MailboxId,
    n: u64,
    dedupe: [u8; 16],
    bytes: &'a [u8],
}

impl<'a> Bundle<'a> {
    /// Reads a bundle, all of it.
    ///
    /// # Errors
    /// [`BundleError::Malformed`], [`BundleError::WrongStore`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BundleError> {
        let items = read_sequence(bytes, Order::Canonical, &Limits::new(usize::MAX).with_depth(4));
        let mut parser = Parser { items: items.map_err(|_| BundleError::Malformed)?, next: None, read: 0, end: 0 };
        parser.advance();
        let bundle = parser.bundle(bytes).ok_or(BundleError::Malformed)?;
        if *bundle.header.store() == bundle.store { Ok(bundle) } else { Err(BundleError::WrongStore) }
    }

    /// The store's true id.
    #[must_use]
    pub const fn store(&self) -> &StoreId {
        &self.store
    }

    /// The header, to be unlocked.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Verifies all of it: header, trailer, keyring, and for every dataset head and state root.
    ///
    /// # Errors
    /// [`BundleError::WrongStore`], [`BundleError::Rejected`], [`BundleError::Head`], [`BundleError::Open`].
    pub fn verify(self, root: &Root) -> Result<VerifiedBundle<'a>, BundleError> {
        if root.store() != &self.store {
            return Err(BundleError::WrongStore);
        }
        self.header.authenticate(root).map_err(|_| BundleError::Rejected)?;
        let meta = root.meta_keys(&self.share, self.epoch);
        let key = meta.head_key(self.epoch).ok_or(BundleError::Rejected)?;
        let signed = sign1::open_document(self.trailer, key.verify_key(), label::BUNDLE.as_bytes());
        if signed != Ok(self.claims.as_slice()) {
            return Err(BundleError::Rejected);
        }
        let mut replicas = Vec::with_capacity(self.datasets.len());
        let (first, others) = self.datasets.split_first().ok_or(BundleError::Malformed)?;
        let replica = first.replica(Replica::new(self.store.into(), first.dataset), &meta)?;
        let keyring = first.bytes_of(&ObjectId::KEYRING).ok_or(BundleError::Malformed)?;
        let keyring = replica.open(&ObjectId::KEYRING, keyring, &meta).map_err(BundleError::Open)?;
        let keyring = Keyring::decode(keyring.payload()).map_err(|_| BundleError::Malformed)?;
        replicas.push(replica);
        for dataset in others {
            let unknown = BundleError::Head(crate::HeadError::UnknownKey);
            let entry = keyring.dataset(&dataset.dataset).ok_or(unknown)?;
            replicas.push(dataset.replica(Replica::new(*entry.store(), dataset.dataset), entry.keys())?);
        }
        Ok(VerifiedBundle { bundle: self, keyring, meta, replicas })
    }
}

impl fmt::Debug for Bundle<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bundle")
            .field("created", &self.created)
            .field("datasets", &self.datasets.len())
            .finish_non_exhaustive()
    }
}

/// A bundle that is the person's, whole, and as it was written; made only by [`Bundle::verify`]. How old it is nobody
/// can tell: its replicas are of unknown freshness.
///
/// ```compile_fail
/// fn import(bundle: deedbox_record::Bundle<'_>) -> deedbox_record::VerifiedBundle<'_> {
///     bundle.into() // there is no way around `verify`
/// }
/// ```
pub struct VerifiedBundle<'a> {
    bundle: Bundle<'a>,
    keyring: Keyring,
    meta: EpochKeys,
    replicas: Vec<Replica>,
}

impl<'a> VerifiedBundle<'a> {
    /// The store's true id.
    #[must_use]
    pub const fn store(&self) -> &StoreId {
        &self.bundle.store
    }

    /// When it was written, by the writer's clock.
    #[must_use]
    pub const fn created(&self) -> Timestamp {
        self.bundle.created
    }

    /// The store header.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.bundle.header
    }

    /// The keyring's epoch.
    #[must_use]
    pub const fn keyring_epoch(&self) -> Epoch {
        self.bundle.epoch
    }

    /// The host's share of that epoch, for the new host.
    #[must_use]
    pub const fn share(&self) -> &HostShare {
        &self.bundle.share
    }

    /// The keys of the meta dataset.
    #[must_use]
    pub const fn meta_keys(&self) -> &EpochKeys {
        &self.meta
    }

    /// The keyring.
    #[must_use]
    pub const fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// Capabilities.
    #[must_use]
    pub fn capabilities(&self) -> &[BundleCapability<'a>] {
        &self.bundle.capabilities
    }

    /// Datasets, the meta dataset first.
    #[must_use]
    pub fn datasets(&self) -> &[BundleDataset<'a>] {
        &self.bundle.datasets
    }

    /// Blobs.
    #[must_use]
    pub fn blobs(&self) -> &[BundleBlob<'a>] {
        &self.bundle.blobs
    }

    /// What lay in mailboxes.
    #[must_use]
    pub fn mail(&self) -> &[BundleMail<'a>] {
        &self.bundle.mail
    }

    /// The datasets' verified states, in the order of [`VerifiedBundle::datasets`].
    #[must_use]
    pub fn replicas(&self) -> &[Replica] {
        &self.replicas
    }

    /// Keyring, keys of the meta dataset and states, given away.
    #[must_use]
    pub fn into_parts(self) -> (Keyring, EpochKeys, Vec<Replica>) {
        (self.keyring, self.meta, self.replicas)
    }
}

impl fmt::Debug for VerifiedBundle<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedBundle").field("bundle", &self.bundle).finish_non_exhaustive()
    }
}

impl<'a> BundleCapability<'a> {
    /// Its id.
    #[must_use]
    pub const fn id(&self) -> &CapabilityId {
        &self.id
    }

    /// Its bytes.
    #[must_use]
    pub const fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The host's word for its state.
    #[must_use]
    pub const fn state(&self) -> u64 {
        self.state
    }
}

impl<'a> BundleDataset<'a> {
    /// The dataset.
    #[must_use]
    pub const fn dataset(&self) -> &DatasetId {
        &self.dataset
    }

    /// The head's bytes.
    #[must_use]
    pub const fn head(&self) -> &'a [u8] {
        self.head
    }

    /// The objects, each a [`ChangedObject::Put`], in the order of ids.
    #[must_use]
    pub fn objects(&self) -> &[ChangedObject<'a>] {
        &self.objects
    }

    /// The bytes of an object.
    #[must_use]
    pub fn bytes_of(&self, object: &ObjectId) -> Option<&'a [u8]> {
        let at = self.objects.binary_search_by(|found| found.object().cmp(object)).ok()?;
        match self.objects.get(at)? {
            ChangedObject::Put { bytes, .. } => Some(bytes),
            ChangedObject::Removed(_) => None,
        }
    }

    fn replica(&self, mut replica: Replica, keys: &EpochKeys) -> Result<Replica, BundleError> {
        let _ = replica.resync(&[self.head], &self.objects, keys).map_err(BundleError::Head)?;
        Ok(replica)
    }
}

impl<'a> BundleBlob<'a> {
    /// Its id.
    #[must_use]
    pub const fn blob(&self) -> &BlobId {
        &self.blob
    }

    /// The length of its sealed bytes.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// Its sealed bytes, in parts of 1 MiB.
    #[must_use]
    pub fn parts(&self) -> &[&'a [u8]] {
        &self.parts
    }
}

impl<'a> BundleMail<'a> {
    /// The mailbox.
    #[must_use]
    pub const fn mailbox(&self) -> &MailboxId {
        &self.mailbox
    }

    /// Its number there.
    #[must_use]
    pub const fn n(&self) -> u64 {
        self.n
    }

    /// The sender's id for it.
    #[must_use]
    pub const fn dedupe(&self) -> &[u8; 16] {
        &self.dedupe
    }

    /// Its bytes.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

macro_rules! debug_nothing {
    ($($name:ident),+) => {$(
        impl fmt::Debug for $name<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    )+};
}

debug_nothing!(BundleBlob, BundleCapability, BundleDataset, BundleMail);

struct Parser<'a, I: Iterator<Item = Item<'a>>> {
    items: I,
    next: Option<Item<'a>>,
    /// Items taken, and bytes of them.
    read: u64,
    end: usize,
}

impl<'a, I: Iterator<Item = Item<'a>>> Parser<'a, I> {
    fn advance(&mut self) {
        self.next = self.items.next();
    }

    /// The next item if it is an array of `N` that begins with `number`.
    fn part<const N: usize>(&mut self, number: u64) -> Option<[Item<'a>; N]> {
        let item = self.next?;
        let parts: [Item<'a>; N] = item.as_array()?.exactly()?;
        if parts.first()?.as_u64() != Some(number) {
            return None;
        }
        self.taken(item)?;
        Some(parts)
    }

    fn taken(&mut self, item: Item<'a>) -> Option<()> {
        self.read = self.read.checked_add(1)?;
        self.end = self.end.checked_add(item.bytes().len())?;
        self.advance();
        Some(())
    }

    fn bundle(&mut self, bytes: &'a [u8]) -> Option<Bundle<'a>> {
        let first = self.next?;
        let [name, format, store, created] = first.as_array()?.exactly()?;
        if name.as_str() != Some(NAME) || format.as_u64() != Some(1) {
            return None;
        }
        let (store, created) = (StoreId::decode(store)?, Timestamp::decode(created)?);
        self.taken(first)?;
        let [_, header] = self.part(1)?;
        let header = Header::parse(header.as_bytes()?).ok()?;
        let [_, epoch, share] = self.part(2)?;
        let epoch = Epoch::decode(epoch)?;
        let share = HostShare::try_from_slice(share.as_bytes()?)?;
        let mut capabilities = Vec::new();
        while let Some([_, id, body, state]) = self.part(3) {
            let id = CapabilityId::decode(id)?;
            capabilities.push(BundleCapability { id, body: body.as_bytes()?, state: state.as_u64()? });
        }
        let datasets = self.datasets()?;
        let blobs = self.blobs()?;
        let mut mail = Vec::new();
        while let Some([_, mailbox, n, dedupe, bytes]) = self.part(8) {
            let (mailbox, dedupe) = (MailboxId::decode(mailbox)?, dedupe.as_byte_array()?);
            mail.push(BundleMail { mailbox, n: n.as_u64()?, dedupe, bytes: bytes.as_bytes()? });
        }
        let claims = trailer_claims(&store, self.read, &sha256(bytes.get(..self.end)?));
        let [_, trailer] = self.part(9)?;
        let trailer = trailer.as_bytes()?;
        if self.next.is_some() {
            return None;
        }
        Some(Bundle { store, created, header, epoch, share, capabilities, datasets, blobs, mail, trailer, claims })
    }

    fn datasets(&mut self) -> Option<Vec<BundleDataset<'a>>> {
        let mut datasets: Vec<BundleDataset<'a>> = Vec::new();
        while let Some([_, dataset, head]) = self.part(4) {
            let (dataset, head) = (DatasetId::decode(dataset)?, head.as_bytes()?);
            let in_order = match datasets.last() {
                Some(before) => before.dataset < dataset,
                None => dataset == DatasetId::META,
            };
            let mut objects = Vec::new();
            while let Some([_, object, seq, kind, bytes]) = self.part(5) {
                let (object, seq) = (ObjectId::decode(object)?, Seq::decode(seq)?);
                objects.push(ChangedObject::Put { object, seq, kind: kind.as_u8()?, bytes: bytes.as_bytes()? });
            }
            if !in_order || !objects.is_sorted_by(|one, next| one.object() < next.object()) {
                return None;
            }
            datasets.push(BundleDataset { dataset, head, objects });
        }
        (!datasets.is_empty()).then_some(datasets)
    }

    fn blobs(&mut self) -> Option<Vec<BundleBlob<'a>>> {
        let mut blobs: Vec<BundleBlob<'a>> = Vec::new();
        while let Some([_, blob, length]) = self.part(6) {
            let (blob, length) = (BlobId::decode(blob)?, length.as_u64()?);
            let (mut offset, mut parts) = (0_u64, Vec::new());
            while let Some([_, of, at, bytes]) = self.part(7) {
                let bytes = bytes.as_bytes()?;
                let want = BLOB_PART.min(length.checked_sub(offset)?);
                let len = u64::try_from(bytes.len()).ok()?;
                if BlobId::decode(of)? != blob || at.as_u64()? != offset || len != want || len == 0 {
                    return None;
                }
                offset = offset.checked_add(len)?;
                parts.push(bytes);
            }
            if offset != length || blobs.last().is_some_and(|before| before.blob >= blob) {
                return None;
            }
            blobs.push(BundleBlob { blob, length, parts });
        }
        Some(blobs)
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
