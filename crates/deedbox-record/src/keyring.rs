//! The keyring: every key that is random rather than derived, in one object of the meta dataset.

use alloc::{borrow::ToOwned, collections::BTreeSet, string::String, vec::Vec};
use core::fmt;

use deedbox_cbor::{Item, Limits, Order, read};
use deedbox_cose::Thumbprint;
use deedbox_crypto::secret::SecretBytes;
use deedbox_model::{CapabilityId, DatasetId, Epoch, StoreName, Timestamp};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::{DatasetKey, HeadKey, Kind, NameKey, PayloadError, SlotId, key::HeadSeed};

/// All random keys of a store.
///
/// ```cddl
/// keyring = { 1: 1, 2: b32,
///             3: [* [slot: b16, capability: b16, label: tstr, added: uint]],
///             4: [* [store: b16, dataset: b16, name-key: b32, title: tstr, granularity: 0..1, [1* epoch]]] }
/// epoch   = [n: u32, state: 0..2, dk: b32 / null, head-seed: b32 / null, head-key: b32]
/// ```
/// At most 1 MiB, 64 devices, 4,096 datasets, each with at most 64 readable epochs. Lists keep their order.
///
/// ```compile_fail
/// fn copy(keyring: &deedbox_record::Keyring) -> deedbox_record::Keyring { keyring.clone() }
/// ```
pub struct Keyring {
    pairwise: SecretBytes<32>,
    devices: Vec<Device>,
    datasets: Vec<Dataset>,
}

/// A device that has a slot.
#[derive(Clone, PartialEq, Eq)]
pub struct Device {
    slot: SlotId,
    capability: CapabilityId,
    label: String,
    added: Timestamp,
}

/// How much one object of a dataset holds; fixed for the dataset's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the format has these two")]
pub enum Granularity {
    /// 0: one object per record.
    Record,
    /// 1: one object per field, so that a field can be shared without its siblings.
    Field,
}

/// A dataset's entry: its name among readers, and its keys.
pub struct Dataset {
    store: StoreName,
    dataset: DatasetId,
    name_key: NameKey,
    title: String,
    granularity: Granularity,
    keys: EpochKeys,
}

/// The keys of one dataset, epoch by epoch.
pub struct EpochKeys {
    // INVARIANT (ascending epochs; exactly one is current: the last).
    epochs: Vec<EpochEntry>,
}

struct EpochEntry {
    epoch: Epoch,
    state: State,
    key: Option<DatasetKey>,
    seed: Option<HeadSeed>,
    head_key: [u8; 32],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Current,
    Readable,
    Destroyed,
}

impl Keyring {
    /// The keyring of a new store: no device, no dataset.
    #[must_use]
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self { pairwise: SecretBytes::generate(rng), devices: Vec::new(), datasets: Vec::new() }
    }

    /// Reads a keyring, as [`Keyring::encode`] writes it.
    ///
    /// # Errors
    /// [`PayloadError::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, PayloadError> {
        let item = read(bytes, Order::Canonical, &Limits::new(Kind::Keyring.limit())).ok();
        item.and_then(Self::from_item).ok_or(PayloadError::Malformed)
    }

    fn from_item(item: Item<'_>) -> Option<Self> {
        let mut fields = item.as_map()?.fields();
        if fields.required(1)?.as_u64()? != 1 {
            return None;
        }
        let pairwise = secret(fields.required(2)?)?;
        let list = fields.required(3)?.as_array()?;
        if list.len() > MAX_DEVICES {
            return None;
        }
        let devices = list.iter().map(Device::from_item).collect::<Option<Vec<_>>>()?;
        let list = fields.required(4)?.as_array()?;
        if list.len() > MAX_DATASETS {
            return None;
        }
        let datasets = list.iter().map(Dataset::from_item).collect::<Option<Vec<_>>>()?;
        fields.finish()?;
        let slots: BTreeSet<_> = devices.iter().map(|device| device.slot).collect();
        let ids: BTreeSet<_> = datasets.iter().map(|entry| entry.dataset).collect();
        if slots.len() != devices.len() || ids.len() != datasets.len() || ids.contains(&DatasetId::META) {
            return None;
        }
        Some(Self { pairwise, devices, datasets })
    }

    /// Writes the keyring, to be sealed right after.
    ///
    /// # Errors
    /// [`PayloadError::Limit`] beyond 1 MiB.
    pub fn encode(&self) -> Result<Zeroizing<Vec<u8>>, PayloadError> {
        // Sized before anything is written: a vector that grows leaves copies of secrets behind.
        let devices: usize = self.devices.iter().map(|device| device.label.len().saturating_add(64)).sum();
        let datasets: usize = self
            .datasets
            .iter()
            .map(|entry| {
                entry.title.len().saturating_add(100).saturating_add(entry.keys.epochs.len().saturating_mul(112))
            })
            .sum();
        let mut w =
            SecretWriter(Zeroizing::new(Vec::with_capacity(devices.saturating_add(datasets).saturating_add(80))));
        w.head(5, 4).uint(1).uint(1).uint(2).bytes(self.pairwise.expose());
        w.uint(3).head(4, self.devices.len());
        for device in &self.devices {
            w.head(4, 4).bytes(device.slot.as_bytes()).bytes(device.capability.as_bytes());
            w.text(&device.label).uint(device.added.secs());
        }
        w.uint(4).head(4, self.datasets.len());
        for entry in &self.datasets {
            w.head(4, 6).bytes(entry.store.as_bytes()).bytes(entry.dataset.as_bytes());
            w.bytes(entry.name_key.secret().expose()).text(&entry.title).uint(entry.granularity.number());
            w.head(4, entry.keys.epochs.len());
            for epoch in &entry.keys.epochs {
                w.head(4, 5).uint(epoch.epoch.get().into()).uint(epoch.state.number());
                w.secret(epoch.key.as_ref().map(DatasetKey::secret));
                w.secret(epoch.seed.as_ref().map(HeadSeed::secret)).bytes(&epoch.head_key);
            }
        }
        if w.0.len() > Kind::Keyring.limit() { Err(PayloadError::Limit) } else { Ok(w.0) }
    }

    /// The root of the keys that connections use.
    #[must_use]
    pub const fn pairwise_root(&self) -> &SecretBytes<32> {
        &self.pairwise
    }

    /// The devices.
    #[must_use]
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// The datasets, in the order they were added.
    #[must_use]
    pub fn datasets(&self) -> &[Dataset] {
        &self.datasets
    }

    /// The dataset of that id.
    #[must_use]
    pub fn dataset(&self, dataset: &DatasetId) -> Option<&Dataset> {
        self.datasets.iter().find(|entry| entry.dataset == *dataset)
    }

    /// Adds a dataset with fresh keys, under the name `store` that its readers will know the store by.
    ///
    /// # Errors
    /// [`PayloadError::Duplicate`]; [`PayloadError::Limit`] beyond 4,096 datasets or 1,024 bytes of title.
    pub fn add_dataset(
        &mut self,
        store: StoreName,
        dataset: DatasetId,
        title: &str,
        granularity: Granularity,
        rng: &mut impl CryptoRng,
    ) -> Result<&Dataset, PayloadError> {
        if dataset == DatasetId::META || self.dataset(&dataset).is_some() {
            return Err(PayloadError::Duplicate);
        }
        if self.datasets.len() >= MAX_DATASETS || title.len() > MAX_TEXT {
            return Err(PayloadError::Limit);
        }
        let name_key = NameKey::generate(rng);
        let key = DatasetKey::generate(Epoch::FIRST, rng);
        let keys = EpochKeys::of_one(key, HeadSeed::of(SecretBytes::generate(rng)));
        self.datasets.push(Dataset { store, dataset, name_key, title: title.to_owned(), granularity, keys });
        self.datasets.last().ok_or(PayloadError::Limit)
    }

    /// Begins the next epoch of a dataset: a fresh key and head key. The epoch before stays readable, and can't write any more.
    ///
    /// Objects are sealed anew by [`crate::Draft::reseal`]; until then they open by the older key.
    ///
    /// # Errors
    /// [`PayloadError::Limit`] for a dataset that is not listed, beyond 64 readable epochs, or when no number is left.
    pub fn rotate(&mut self, dataset: &DatasetId, rng: &mut impl CryptoRng) -> Result<Epoch, PayloadError> {
        let entry = self.datasets.iter_mut().find(|entry| entry.dataset == *dataset).ok_or(PayloadError::Limit)?;
        entry.keys.rotate(rng)
    }

    /// Forgets the keys of all epochs of a dataset but the current one, and gives how many: what they sealed can't be opened
    /// any more once no older keyring can be read. Head keys stay, so that old heads verify.
    pub fn destroy_epochs(&mut self, dataset: &DatasetId) -> usize {
        let entry = self.datasets.iter_mut().find(|entry| entry.dataset == *dataset);
        entry.map_or(0, |entry| entry.keys.destroy())
    }

    /// The same keyring again, to be changed: the one that loses is dropped.
    ///
    /// # Errors
    /// [`PayloadError::Limit`] when it could not be written either.
    pub fn working_copy(&self) -> Result<Self, PayloadError> {
        Self::decode(&self.encode()?)
    }

    /// Takes a dataset off the keyring: what it sealed can't be opened any more once no older keyring can be read.
    pub fn forget_dataset(&mut self, dataset: &DatasetId) -> bool {
        let before = self.datasets.len();
        self.datasets.retain(|entry| entry.dataset != *dataset);
        self.datasets.len() < before
    }

    /// Adds a device.
    ///
    /// # Errors
    /// [`PayloadError::Duplicate`] when its slot is listed; [`PayloadError::Limit`] beyond 64 devices or 1,024 bytes of
    /// label.
    pub fn add_device(&mut self, device: Device) -> Result<(), PayloadError> {
        if self.devices.iter().any(|other| other.slot == device.slot) {
            return Err(PayloadError::Duplicate);
        }
        if self.devices.len() >= MAX_DEVICES || device.label.len() > MAX_TEXT {
            return Err(PayloadError::Limit);
        }
        self.devices.push(device);
        Ok(())
    }

    /// Takes a device off the list. It still holds every key it ever had, until the root is rotated.
    pub fn remove_device(&mut self, slot: &SlotId) -> bool {
        let before = self.devices.len();
        self.devices.retain(|device| device.slot != *slot);
        self.devices.len() < before
    }
}

/// Prints counts.
impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring")
            .field("devices", &self.devices.len())
            .field("datasets", &self.datasets.len())
            .finish_non_exhaustive()
    }
}

impl Device {
    /// A device that unlocks by `slot` and reaches the host by `capability`.
    #[must_use]
    pub fn new(slot: SlotId, capability: CapabilityId, label: &str, added: Timestamp) -> Self {
        Self { slot, capability, label: label.to_owned(), added }
    }

    /// Its slot.
    #[must_use]
    pub const fn slot(&self) -> &SlotId {
        &self.slot
    }

    /// Its capability at the host.
    #[must_use]
    pub const fn capability(&self) -> &CapabilityId {
        &self.capability
    }

    /// What the person calls it.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Since when.
    #[must_use]
    pub const fn added(&self) -> Timestamp {
        self.added
    }

    fn from_item(item: Item<'_>) -> Option<Self> {
        let [slot, capability, label, added] = item.as_array()?.exactly()?;
        Some(Self {
            slot: SlotId::from_bytes(slot.as_byte_array()?),
            capability: CapabilityId::decode(capability)?,
            label: text(label)?,
            added: Timestamp::decode(added)?,
        })
    }
}

/// Prints no label.
impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device").field("added", &self.added).finish_non_exhaustive()
    }
}

impl Granularity {
    const fn number(self) -> u64 {
        match self {
            Self::Record => 0,
            Self::Field => 1,
        }
    }
}

impl Dataset {
    /// The store, as the dataset's readers know it.
    #[must_use]
    pub const fn store(&self) -> &StoreName {
        &self.store
    }

    /// The dataset's id.
    #[must_use]
    pub const fn id(&self) -> &DatasetId {
        &self.dataset
    }

    /// What makes object ids of names.
    #[must_use]
    pub const fn name_key(&self) -> &NameKey {
        &self.name_key
    }

    /// What the person calls it.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.title
    }

    /// How much one object holds.
    #[must_use]
    pub const fn granularity(&self) -> Granularity {
        self.granularity
    }

    /// Its keys.
    #[must_use]
    pub const fn keys(&self) -> &EpochKeys {
        &self.keys
    }

    fn from_item(item: Item<'_>) -> Option<Self> {
        let [store, dataset, name_key, title, granularity, epochs] = item.as_array()?.exactly()?;
        Some(Self {
            store: StoreName::decode(store)?,
            dataset: DatasetId::decode(dataset)?,
            name_key: NameKey::of(secret(name_key)?),
            title: text(title)?,
            granularity: match granularity.as_u64()? {
                0 => Granularity::Record,
                1 => Granularity::Field,
                _ => return None,
            },
            keys: EpochKeys::from_item(epochs)?,
        })
    }
}

/// Prints no title and no key.
impl fmt::Debug for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dataset").field("granularity", &self.granularity).finish_non_exhaustive()
    }
}

impl EpochKeys {
    /// The epoch that is written in.
    #[must_use]
    pub fn current(&self) -> Option<Epoch> {
        self.epochs.last().map(|entry| entry.epoch)
    }

    /// Whether there is an older epoch whose objects can still be read.
    #[must_use]
    pub fn has_readable(&self) -> bool {
        self.epochs.iter().any(|entry| entry.state == State::Readable)
    }

    /// The key of `epoch`, unless it is unknown or destroyed.
    #[must_use]
    pub fn key(&self, epoch: Epoch) -> Option<&DatasetKey> {
        self.entry(epoch)?.key.as_ref()
    }

    /// The key that verifies the heads of `epoch`; it stays when the epoch's other keys are destroyed.
    #[must_use]
    pub fn head_key(&self, epoch: Epoch) -> Option<HeadKey> {
        HeadKey::from_bytes(&self.entry(epoch)?.head_key)
    }

    /// The epoch whose head key has that name.
    #[must_use]
    pub fn epoch_of(&self, kid: &Thumbprint) -> Option<Epoch> {
        let of = |entry: &&EpochEntry| HeadKey::from_bytes(&entry.head_key).is_some_and(|key| key.thumbprint() == *kid);
        self.epochs.iter().rev().find(of).map(|entry| entry.epoch)
    }

    /// The earliest epoch that is listed.
    pub(crate) fn first(&self) -> Option<Epoch> {
        self.epochs.first().map(|entry| entry.epoch)
    }

    fn rotate(&mut self, rng: &mut impl CryptoRng) -> Result<Epoch, PayloadError> {
        let readable = self.epochs.iter().filter(|entry| entry.state == State::Readable).count();
        let last = self.epochs.last_mut().ok_or(PayloadError::Limit)?;
        let next = last.epoch.next().filter(|_| readable < MAX_READABLE).ok_or(PayloadError::Limit)?;
        last.state = State::Readable;
        last.seed = None;
        let fresh = Self::of_one(DatasetKey::generate(next, rng), HeadSeed::of(SecretBytes::generate(rng)));
        self.epochs.extend(fresh.epochs);
        Ok(next)
    }

    fn destroy(&mut self) -> usize {
        let mut destroyed = 0_usize;
        for entry in self.epochs.iter_mut().filter(|entry| entry.state == State::Readable) {
            entry.state = State::Destroyed;
            entry.key = None;
            entry.seed = None;
            destroyed = destroyed.saturating_add(1);
        }
        destroyed
    }

    pub(crate) fn head_seed(&self, epoch: Epoch) -> Option<&HeadSeed> {
        self.entry(epoch)?.seed.as_ref()
    }

    /// The keys of a dataset with one epoch.
    pub(crate) fn of_one(key: DatasetKey, seed: HeadSeed) -> Self {
        let head_key = seed.public_bytes();
        let entry =
            EpochEntry { epoch: key.epoch(), state: State::Current, key: Some(key), seed: Some(seed), head_key };
        Self { epochs: alloc::vec![entry] }
    }

    /// The same with the keys of the epochs before it, to read on across a rotation: of a grant, and the one that it replaces.
    #[must_use]
    pub fn with_earlier(mut self, earlier: Self) -> Self {
        let first = self.first();
        let mut epochs: Vec<_> = earlier.epochs.into_iter().filter(|entry| Some(entry.epoch) < first).collect();
        for entry in &mut epochs {
            entry.seed = None;
            entry.state = if entry.key.is_some() { State::Readable } else { State::Destroyed };
        }
        epochs.append(&mut self.epochs);
        Self { epochs }
    }

    /// The keys of one epoch as another's store hands them over, with or without the seed that signs heads.
    pub(crate) fn granted(key: DatasetKey, seed: Option<HeadSeed>, head_key: [u8; 32]) -> Self {
        let entry = EpochEntry { epoch: key.epoch(), state: State::Current, key: Some(key), seed, head_key };
        Self { epochs: alloc::vec![entry] }
    }

    fn entry(&self, epoch: Epoch) -> Option<&EpochEntry> {
        self.epochs.iter().rev().find(|entry| entry.epoch == epoch)
    }

    fn from_item(item: Item<'_>) -> Option<Self> {
        let epochs = item.as_array()?.iter().map(EpochEntry::from_item).collect::<Option<Vec<_>>>()?;
        let (last, before) = epochs.split_last()?;
        let is_old = |entry: &EpochEntry| entry.state != State::Current;
        let readable = before.iter().filter(|entry| entry.state == State::Readable).count();
        let sound = last.state == State::Current
            && before.iter().all(is_old)
            && readable <= MAX_READABLE
            && epochs.is_sorted_by(|one, next| one.epoch < next.epoch);
        sound.then_some(Self { epochs })
    }
}

/// Prints the number of epochs.
impl fmt::Debug for EpochKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EpochKeys").field("epochs", &self.epochs.len()).finish_non_exhaustive()
    }
}

impl EpochEntry {
    fn from_item(item: Item<'_>) -> Option<Self> {
        let [epoch, state, key, seed, head_key] = item.as_array()?.exactly()?;
        let epoch = Epoch::decode(epoch)?;
        let (key, seed) = (secret_or_null(key)?, secret_or_null(seed)?);
        let state = match (state.as_u64()?, &key, &seed) {
            (0, Some(_), Some(_)) => State::Current,
            (1, Some(_), _) => State::Readable,
            (2, None, None) => State::Destroyed,
            _ => return None,
        };
        Some(Self {
            epoch,
            state,
            key: key.map(|key| DatasetKey::of(key, epoch)),
            seed: seed.map(HeadSeed::of),
            head_key: head_key.as_byte_array()?,
        })
    }
}

impl State {
    const fn number(self) -> u64 {
        match self {
            Self::Current => 0,
            Self::Readable => 1,
            Self::Destroyed => 2,
        }
    }
}

/// Writes deterministic CBOR into memory that was reserved before and is wiped after.
struct SecretWriter(Zeroizing<Vec<u8>>);

impl SecretWriter {
    fn head(&mut self, major: u8, argument: usize) -> &mut Self {
        self.number(major, u64::try_from(argument).unwrap_or(u64::MAX))
    }

    fn uint(&mut self, value: u64) -> &mut Self {
        self.number(0, value)
    }

    fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.head(2, value.len()).0.extend_from_slice(value);
        self
    }

    fn text(&mut self, value: &str) -> &mut Self {
        self.head(3, value.len()).0.extend_from_slice(value.as_bytes());
        self
    }

    fn secret(&mut self, value: Option<&SecretBytes<32>>) -> &mut Self {
        match value {
            Some(value) => self.bytes(value.expose()),
            None => {
                self.0.push(0xf6);
                self
            }
        }
    }

    fn number(&mut self, major: u8, argument: u64) -> &mut Self {
        let major = major << 5;
        match (u8::try_from(argument), u16::try_from(argument), u32::try_from(argument)) {
            (Ok(small @ ..24), ..) => self.0.push(major | small),
            (Ok(byte), ..) => self.0.extend_from_slice(&[major | 24, byte]),
            (_, Ok(short), _) => {
                self.0.push(major | 25);
                self.0.extend_from_slice(&short.to_be_bytes());
            }
            (_, _, Ok(word)) => {
                self.0.push(major | 26);
                self.0.extend_from_slice(&word.to_be_bytes());
            }
            _ => {
                self.0.push(major | 27);
                self.0.extend_from_slice(&argument.to_be_bytes());
            }
        }
        self
    }
}

fn secret(item: Item<'_>) -> Option<SecretBytes<32>> {
    SecretBytes::try_from_slice(item.as_bytes()?)
}

fn secret_or_null(item: Item<'_>) -> Option<Option<SecretBytes<32>>> {
    if item.is_null() { Some(None) } else { secret(item).map(Some) }
}

fn text(item: Item<'_>) -> Option<String> {
    item.as_str().filter(|text| text.len() <= MAX_TEXT).map(ToOwned::to_owned)
}

const MAX_DEVICES: usize = 64;
const MAX_DATASETS: usize = 4_096;
const MAX_READABLE: usize = 64;
/// Bytes of a label or title.
const MAX_TEXT: usize = 1_024;

#[cfg(test)]
mod tests;
