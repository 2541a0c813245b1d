use alloc::vec::Vec;
use core::fmt;

use deedbox_cbor::{CborError, Item, Limits, Order, read_first};
use deedbox_cose::sign1;
use deedbox_crypto::{ct, hash::Sha256, label};
use deedbox_model::{BlobId, CapabilityId, DatasetId, Epoch, MailboxId, ObjectId, Seq, StoreId, Timestamp};

use super::{BLOB_PART, NAME, trailer_claims};
use crate::{BundleError, ChangedObject, EpochKeys, Header, HostShare, Keyring, Replica, Root};

/// Reads a bundle as it comes, in pieces of any length, and keeps everything but what is in its blobs. Nothing of it is trusted
/// before [`Bundle::verify`].
///
/// ```
/// # use deedbox_record::{BundleError, BundleReader};
/// # fn read(mut file: impl std::io::Read) -> Result<deedbox_record::Bundle, Box<dyn std::error::Error>> {
/// let (mut reader, mut piece) = (BundleReader::new(), [0; 4096]);
/// loop {
///     match file.read(&mut piece)? {
///         0 => return Ok(reader.finish()?),
///         len => reader.push(&piece[..len])?,
///     }
/// }
/// # }
/// # assert!(read(&b"\x80"[..]).is_err());
/// ```
#[derive(Default)]
pub struct BundleReader {
    items: Items,
    parts: Parts,
    hash: Sha256,
    read: u64,
}

/// What was read so far.
#[derive(Default)]
struct Parts {
    stage: Stage,
    store: Option<(StoreId, Timestamp)>,
    header: Option<Header>,
    share: Option<(Epoch, HostShare)>,
    capabilities: Vec<BundleCapability>,
    datasets: Vec<BundleDataset>,
    blobs: Vec<BundleBlob>,
    mail: Vec<BundleMail>,
    trailer: Vec<u8>,
}

/// What was read last.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Nothing,
    Name,
    Header,
    /// The share, or a capability.
    Share,
    Dataset,
    /// A blob of which so many bytes are still to come.
    Blob {
        offset: u64,
        left: u64,
    },
    Mail,
    Trailer,
}

impl BundleReader {
    /// Nothing was read yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`BundleError::Malformed`].
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), BundleError> {
        self.items.push(bytes);
        while let Some(bytes) = self.items.next()? {
            let item = Items::item(bytes).ok_or(BundleError::Malformed)?;
            self.parts.take(item).ok_or(BundleError::Malformed)?;
            if self.parts.stage != Stage::Trailer {
                self.hash.update(bytes);
                self.read = self.read.checked_add(1).ok_or(BundleError::Malformed)?;
            }
        }
        Ok(())
    }

    /// The bundle, once all of it was taken.
    ///
    /// # Errors
    /// [`BundleError::Malformed`], [`BundleError::WrongStore`].
    pub fn finish(self) -> Result<Bundle, BundleError> {
        let Parts { stage, store, header, share, capabilities, datasets, blobs, mail, trailer } = self.parts;
        let (Some((store, created)), Some(header), Some((epoch, share))) = (store, header, share) else {
            return Err(BundleError::Malformed);
        };
        if stage != Stage::Trailer || !self.items.is_empty() {
            return Err(BundleError::Malformed);
        }
        if *header.store() != store {
            return Err(BundleError::WrongStore);
        }
        let (items, hash) = (self.read, self.hash.finish());
        Ok(Bundle { store, created, header, epoch, share, capabilities, datasets, blobs, mail, trailer, items, hash })
    }

    #[cfg(test)]
    pub(super) const fn items_held(&self) -> usize {
        self.items.buffer.len()
    }
}

/// Prints how many items were read.
impl fmt::Debug for BundleReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BundleReader").field("read", &self.read).finish_non_exhaustive()
    }
}

impl Parts {
    /// The next item, if it may stand here.
    fn take(&mut self, item: Item<'_>) -> Option<()> {
        let array = item.as_array()?;
        let number = array.get(0)?.as_u64().unwrap_or_default();
        self.stage = match (self.stage, number) {
            (Stage::Nothing, _) => {
                let [name, format, store, created] = array.exactly()?;
                if name.as_str() != Some(NAME) || format.as_u64() != Some(1) {
                    return None;
                }
                self.store = Some((StoreId::decode(store)?, Timestamp::decode(created)?));
                Stage::Name
            }
            (Stage::Name, 1) => {
                let [_, header] = array.exactly()?;
                self.header = Some(Header::parse(header.as_bytes()?).ok()?);
                Stage::Header
            }
            (Stage::Header, 2) => {
                let [_, epoch, share] = array.exactly()?;
                self.share = Some((Epoch::decode(epoch)?, HostShare::try_from_slice(share.as_bytes()?)?));
                Stage::Share
            }
            (Stage::Share, 3) => {
                let [_, id, body, state] = array.exactly()?;
                let (id, body) = (CapabilityId::decode(id)?, body.as_bytes()?.to_vec());
                self.capabilities.push(BundleCapability { id, body, state: state.as_u64()? });
                Stage::Share
            }
            (Stage::Share | Stage::Dataset, 4) => {
                let [_, dataset, head] = array.exactly()?;
                let (dataset, head) = (DatasetId::decode(dataset)?, head.as_bytes()?.to_vec());
                let in_order = match self.datasets.last() {
                    Some(before) => before.dataset < dataset,
                    None => dataset == DatasetId::META,
                };
                self.datasets.push(BundleDataset { dataset, head, objects: Vec::new() });
                in_order.then_some(Stage::Dataset)?
            }
            (Stage::Dataset, 5) => {
                let [_, object, seq, kind, bytes] = array.exactly()?;
                let (object, seq) = (ObjectId::decode(object)?, Seq::decode(seq)?);
                let objects = &mut self.datasets.last_mut()?.objects;
                let in_order = objects.last().is_none_or(|before| before.object < object);
                objects.push(BundleObject { object, seq, kind: kind.as_u8()?, bytes: bytes.as_bytes()?.to_vec() });
                in_order.then_some(Stage::Dataset)?
            }
            (Stage::Dataset | Stage::Blob { left: 0, .. }, 6) => {
                let [_, blob, length] = array.exactly()?;
                let (blob, length) = (BlobId::decode(blob)?, length.as_u64()?);
                let in_order = self.blobs.last().is_none_or(|before| before.blob < blob);
                self.blobs.push(BundleBlob { blob, length });
                in_order.then_some(Stage::Blob { offset: 0, left: length })?
            }
            (Stage::Blob { offset, left }, 7) => {
                let part = BlobPart::of(item)?;
                let len = u64::try_from(part.bytes.len()).ok()?;
                if part.blob != self.blobs.last()?.blob
                    || part.offset != offset
                    || len != BLOB_PART.min(left)
                    || len == 0
                {
                    return None;
                }
                Stage::Blob { offset: offset.checked_add(len)?, left: left.checked_sub(len)? }
            }
            (Stage::Dataset | Stage::Blob { left: 0, .. } | Stage::Mail, 8) => {
                let [_, mailbox, n, dedupe, bytes] = array.exactly()?;
                let (mailbox, dedupe) = (MailboxId::decode(mailbox)?, dedupe.as_byte_array()?);
                self.mail.push(BundleMail { mailbox, n: n.as_u64()?, dedupe, bytes: bytes.as_bytes()?.to_vec() });
                Stage::Mail
            }
            (Stage::Dataset | Stage::Blob { left: 0, .. } | Stage::Mail, 9) => {
                let [_, trailer] = array.exactly()?;
                self.trailer = trailer.as_bytes()?.to_vec();
                Stage::Trailer
            }
            _ => return None,
        };
        Some(())
    }
}

/// Finds the items of a sequence that comes in pieces. It holds less than an item and a piece.
#[derive(Default)]
struct Items {
    buffer: Vec<u8>,
    /// Bytes of the buffer that were given out.
    given: usize,
}

impl Items {
    fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.given);
        self.given = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The bytes of the next item, once all of them are here.
    fn next(&mut self) -> Result<Option<&[u8]>, BundleError> {
        let rest = self.buffer.get(self.given..).unwrap_or_default();
        let first = rest.get(..MAX_ITEM).unwrap_or(rest);
        match read_first(first, Order::Canonical, &LIMITS) {
            Ok((item, _)) => {
                let from = self.given;
                self.given = from.checked_add(item.bytes().len()).ok_or(BundleError::Malformed)?;
                Ok(self.buffer.get(from..self.given))
            }
            // No item is that long.
            Err(CborError::Eof { .. }) if first.len() < MAX_ITEM => Ok(None),
            Err(_) => Err(BundleError::Malformed),
        }
    }

    /// What [`Items::next`] gave, read.
    fn item(bytes: &[u8]) -> Option<Item<'_>> {
        read_first(bytes, Order::Canonical, &LIMITS).ok().map(|(item, _)| item)
    }

    fn is_empty(&self) -> bool {
        self.given == self.buffer.len()
    }
}

/// A bundle as it was read: of its form, and nothing more. [`Bundle::header`] tells how to unlock; [`Bundle::verify`]
/// does the rest.
pub struct Bundle {
    store: StoreId,
    created: Timestamp,
    header: Header,
    epoch: Epoch,
    share: HostShare,
    capabilities: Vec<BundleCapability>,
    datasets: Vec<BundleDataset>,
    blobs: Vec<BundleBlob>,
    mail: Vec<BundleMail>,
    trailer: Vec<u8>,
    /// Items before the trailer, and SHA-256 of their bytes.
    items: u64,
    hash: [u8; 32],
}

/// A capability in a bundle.
#[derive(Clone)]
pub struct BundleCapability {
    id: CapabilityId,
    body: Vec<u8>,
    state: u64,
}

/// A dataset in a bundle.
#[derive(Clone)]
pub struct BundleDataset {
    dataset: DatasetId,
    head: Vec<u8>,
    objects: Vec<BundleObject>,
}

#[derive(Clone)]
struct BundleObject {
    object: ObjectId,
    seq: Seq,
    kind: u8,
    bytes: Vec<u8>,
}

/// A blob in a bundle.
#[derive(Clone, Copy)]
pub struct BundleBlob {
    blob: BlobId,
    length: u64,
}

/// An item of a mailbox in a bundle.
#[derive(Clone)]
pub struct BundleMail {
    mailbox: MailboxId,
    n: u64,
    dedupe: [u8; 16],
    bytes: Vec<u8>,
}

impl Bundle {
    /// Reads a bundle that is in memory, all of it; one that is not is read by a [`BundleReader`].
    ///
    /// # Errors
    /// [`BundleError::Malformed`], [`BundleError::WrongStore`].
    pub fn parse(bytes: &[u8]) -> Result<Self, BundleError> {
        let mut reader = BundleReader::new();
        bytes.chunks(PIECE).try_for_each(|piece| reader.push(piece))?;
        reader.finish()
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
    pub fn verify(self, root: &Root) -> Result<VerifiedBundle, BundleError> {
        if root.store() != &self.store {
            return Err(BundleError::WrongStore);
        }
        self.header.authenticate(root).map_err(|_| BundleError::Rejected)?;
        let meta = root.meta_keys(&self.share, self.epoch);
        let key = meta.head_key(self.epoch).ok_or(BundleError::Rejected)?;
        let claims = trailer_claims(&self.store, self.items, &self.hash);
        let signed = sign1::open_document(&self.trailer, key.verify_key(), label::BUNDLE.as_bytes());
        if signed != Ok(claims.as_slice()) {
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

impl fmt::Debug for Bundle {
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
/// fn import(bundle: deedbox_record::Bundle) -> deedbox_record::VerifiedBundle {
///     bundle.into() // there is no way around `verify`
/// }
/// ```
pub struct VerifiedBundle {
    bundle: Bundle,
    keyring: Keyring,
    meta: EpochKeys,
    replicas: Vec<Replica>,
}

impl VerifiedBundle {
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
    pub fn capabilities(&self) -> &[BundleCapability] {
        &self.bundle.capabilities
    }

    /// Datasets, the meta dataset first.
    #[must_use]
    pub fn datasets(&self) -> &[BundleDataset] {
        &self.bundle.datasets
    }

    /// Blobs.
    #[must_use]
    pub fn blobs(&self) -> &[BundleBlob] {
        &self.bundle.blobs
    }

    /// What is in the blobs, for which the bundle is read once more.
    #[must_use]
    pub fn blob_parts(&self) -> BlobParts<'_> {
        BlobParts { bundle: &self.bundle, items: Items::default(), hash: Sha256::new(), read: 0 }
    }

    /// What lay in mailboxes.
    #[must_use]
    pub fn mail(&self) -> &[BundleMail] {
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

impl fmt::Debug for VerifiedBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedBundle").field("bundle", &self.bundle).finish_non_exhaustive()
    }
}

impl BundleCapability {
    /// Its id.
    #[must_use]
    pub const fn id(&self) -> &CapabilityId {
        &self.id
    }

    /// Its bytes.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The host's word for its state.
    #[must_use]
    pub const fn state(&self) -> u64 {
        self.state
    }
}

impl BundleDataset {
    /// The dataset.
    #[must_use]
    pub const fn dataset(&self) -> &DatasetId {
        &self.dataset
    }

    /// The head's bytes.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// The objects, each a [`ChangedObject::Put`], in the order of ids.
    #[must_use]
    pub fn objects(&self) -> impl ExactSizeIterator<Item = ChangedObject<'_>> {
        self.objects.iter().map(|of| {
            let BundleObject { object, seq, kind, bytes } = of;
            ChangedObject::Put { object: *object, seq: *seq, kind: *kind, bytes }
        })
    }

    /// The bytes of an object.
    #[must_use]
    pub fn bytes_of(&self, object: &ObjectId) -> Option<&[u8]> {
        let at = self.objects.binary_search_by(|found| found.object.cmp(object)).ok()?;
        self.objects.get(at).map(|found| found.bytes.as_slice())
    }

    fn replica(&self, mut replica: Replica, keys: &EpochKeys) -> Result<Replica, BundleError> {
        let objects: Vec<ChangedObject<'_>> = self.objects().collect();
        let _ = replica.resync(&[&self.head], &objects, keys).map_err(BundleError::Head)?;
        Ok(replica)
    }
}

impl BundleBlob {
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
}

/// Gives the content of a verified bundle's blobs, part by part, while the bundle is read a second time; made by
/// [`VerifiedBundle::blob_parts`].
///
/// # Security
/// That it is the same bundle is known only when [`BlobParts::finish`] returns without an error: until then let nothing that was
/// made of the parts be seen.
pub struct BlobParts<'a> {
    bundle: &'a Bundle,
    items: Items,
    hash: Sha256,
    read: u64,
}

/// Sealed bytes of a blob in a bundle.
#[derive(Clone, Copy)]
pub struct BlobPart<'a> {
    blob: BlobId,
    offset: u64,
    bytes: &'a [u8],
}

impl BlobParts<'_> {
    /// Takes the next bytes of the bundle. Everything that [`BlobParts::next`] gives should be taken before.
    pub fn push(&mut self, bytes: &[u8]) {
        self.items.push(bytes);
    }

    /// The next part, and whether it is its blob's last; `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`BundleError::Malformed`], [`BundleError::Rejected`]: it is another bundle now.
    #[expect(clippy::should_implement_trait, reason = "it lends what it gives")]
    pub fn next(&mut self) -> Result<Option<(BlobPart<'_>, bool)>, BundleError> {
        while self.read < self.bundle.items {
            // Two steps, since what is lent can't be given out of a loop.
            let Some(len) = self.items.next()?.map(<[u8]>::len) else { return Ok(None) };
            self.read = self.read.saturating_add(1);
            let end = self.items.given;
            let start = end.saturating_sub(len);
            let bytes = self.items.buffer.get(start..end).unwrap_or_default();
            self.hash.update(bytes);
            let is_part = Items::item(bytes).and_then(BlobPart::of).is_some();
            if is_part {
                let bytes = self.items.buffer.get(start..end).unwrap_or_default();
                let part = Items::item(bytes).and_then(BlobPart::of).ok_or(BundleError::Malformed)?;
                let blobs = &self.bundle.blobs;
                let at =
                    blobs.binary_search_by(|known| known.blob.cmp(&part.blob)).map_err(|_| BundleError::Rejected)?;
                let length = blobs.get(at).map(|blob| blob.length);
                let end = u64::try_from(part.bytes.len()).ok().and_then(|len| part.offset.checked_add(len));
                return Ok(Some((part, end == length)));
            }
        }
        Ok(None)
    }

    /// Whether that was the bundle that was verified, all of it.
    ///
    /// # Errors
    /// [`BundleError::Rejected`].
    pub fn finish(self) -> Result<(), BundleError> {
        let is_same = self.read == self.bundle.items && ct::eq(&self.hash.finish(), &self.bundle.hash);
        if is_same { Ok(()) } else { Err(BundleError::Rejected) }
    }
}

/// Prints how many items were read.
impl fmt::Debug for BlobParts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobParts").field("read", &self.read).finish_non_exhaustive()
    }
}

impl<'a> BlobPart<'a> {
    fn of(item: Item<'a>) -> Option<Self> {
        let [number, blob, offset, bytes] = item.as_array()?.exactly()?;
        let (blob, offset, bytes) = (BlobId::decode(blob)?, offset.as_u64()?, bytes.as_bytes()?);
        (number.as_u64() == Some(7)).then_some(Self { blob, offset, bytes })
    }

    /// The blob.
    #[must_use]
    pub const fn blob(&self) -> &BlobId {
        &self.blob
    }

    /// Where they begin.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// The bytes, at most 1 MiB.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

impl BundleMail {
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
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

macro_rules! debug_nothing {
    ($($name:ident),+) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    )+};
}

debug_nothing!(BundleBlob, BundleCapability, BundleDataset, BundleMail);

impl fmt::Debug for BlobPart<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobPart").finish_non_exhaustive()
    }
}

/// More than any item of a bundle has: the longest is a keyring of 1 MiB, padded and sealed.
const MAX_ITEM: usize = 2 << 20;
const LIMITS: Limits = Limits::new(MAX_ITEM).with_depth(4);
/// How much of a bundle in memory is looked at at once.
const PIECE: usize = 1 << 20;
