//! A person's agent: it holds the keys of one store at one host.
//!
//! A box is [`Person<Locked<H>>`] until it is unlocked, and then [`Person<Open<H>>`], which wipes its secrets when dropped.
//! Whatever it writes is one commit: a release and its log entry, a rule and its log entry, an import and its log entry.

mod bundle;
mod by_grant;
mod channel;
mod connection;
mod consent;
mod credential;
mod delivery;
mod erase;
mod file;
mod grant;
mod import;
mod lock;
mod pins;
mod policy;
mod receipt;
mod renewal;
mod rollback;
mod shelf;
mod sibling;
mod terms;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, mem,
    sync::Arc,
};

use deedbox_audit::{Entry, EntryKind, Log, LogId, Row, SaltedEntry, Uses};
use deedbox_cbor::{ItemBuf, Limits, Writer};
use deedbox_connect::ConnectionsRoot;
use deedbox_consent::{Evaluator, Policy, Regime, Vocabulary};
use deedbox_cose::LocalSigner;
use deedbox_crypto::secret::SecretBytes;
use deedbox_host::wire;
use deedbox_model::{
    BlobId, ConnectionId, DatasetId, Digest, Epoch, MailboxId, ObjectId, Seq, StoreId, StoreName, Timestamp,
};
use deedbox_record::{
    AccountSecret, Dataset, Draft, EpochKeys, Granularity, Header, HostShare, Keyring, Migrations, NewSlot, Passphrase,
    PassphraseCost, PayloadError, Pending, Record, RecoveryPhrase, Reseal, Root, SignedPart, SlotId, SlotType, Unlock,
    UnlockError,
};
use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

pub use bundle::Exported;
pub use by_grant::GrantedAnswer;
pub use channel::{Answered, Channel, Connecting};
pub use connection::{Calling, Standing};
pub use consent::{Applied, category_of};
pub use credential::{Refused, category_of_credential, claim_field};
pub use delivery::Note;
pub use file::NewFile;
pub use grant::{Granted, Shared};
pub use import::Imported;
pub use pins::Pins;
pub use receipt::KeptReceipt;
pub use rollback::{Loss, LostDataset, Restored, RolledBack};
pub use sibling::Sibling;
pub use terms::Offered;

use crate::{
    client::{HostClient, Owner, commit_part, header},
    error::PersonError,
    system,
};
use file::Leftovers;
use policy::Rules;
use shelf::{Older, Shelf};

/// A person's box. `S` says whether it is [`Locked`], [`Open`], or [`RolledBack`].
pub struct Person<S> {
    state: S,
}

/// A box whose header was fetched and nothing else.
pub struct Locked<H> {
    client: H,
    header: Header,
}

/// An unlocked box: keys, verified state, rules and log.
pub struct Open<H> {
    owner: Owner<H>,
    root: Root,
    header: Header,
    share: HostShare,
    epoch: Epoch,
    keyring: Keyring,
    meta: Shelf,
    shelves: BTreeMap<DatasetId, Shelf>,
    rules: Rules,
    log: Log,
    log_signer: LocalSigner,
    /// When permissions were used, from the log.
    uses: Uses,
    leftovers: Leftovers,
    /// Whether pins say that the state is the newest: else the box may be an old copy.
    pinned: bool,
    /// Connections that were written since the box was opened, so that their state is the newest even if the box was an old copy.
    written: BTreeSet<ConnectionId>,
    migrations: Arc<Migrations>,
}

/// What a person keeps outside the box, shown once when it is made.
pub struct Keepsake {
    /// The box's address at its host.
    pub store: StoreId,
    /// What the person's devices hold beside the passphrase: 16 bytes in hex.
    pub account_secret: Zeroizing<String>,
    /// The 24 words that open the box when all else is lost.
    pub recovery_phrase: Zeroizing<String>,
}

/// One way to open a box.
#[non_exhaustive]
pub enum Secret<'a> {
    /// The passphrase, and the account secret in hex.
    Passphrase {
        /// What the person knows.
        passphrase: &'a str,
        /// What their device holds.
        account_secret: &'a str,
    },
    /// The 24 words.
    RecoveryPhrase(&'a str),
    /// Whatever opens this slot: a device's key, shares of contacts, a security key, one of several passphrases.
    Slot(SlotId, Unlock<'a>),
}

impl<H: HostClient> Person<Locked<H>> {
    /// Fetches the header of a box. Nothing of it is trusted before it unlocks.
    ///
    /// # Errors
    /// [`PersonError::Host`], [`PersonError::Unlock`] for bytes that are no header.
    pub async fn locate(client: H, store: StoreId) -> Result<Self, PersonError> {
        let bytes = header(&client, store).await?;
        let bytes = wire::versioned_from_bytes(&bytes).map_or(bytes.as_slice(), |(_, header)| header);
        let header = Header::parse(bytes)?;
        if *header.store() != store {
            return Err(PersonError::Damaged);
        }
        Ok(Self { state: Locked { client, header } })
    }

    /// Opens the box: one slot, one hashing, then everything is verified before it is used. `pins` are those of this device's
    /// last session; without them nobody can say how old the state is, and calling says that the person accepts that.
    ///
    /// # Errors
    /// [`PersonError::Unlock`]: `Rejected` for a wrong secret; `HeaderTampered` or `UnknownOwner` when neither the owner of `pins`
    /// wrote the header nor one that they named for their successor. [`PersonError::Head`]: `Rollback` or `Fork` when the host gives an
    /// older or another state than `pins` name: see [`Person::restore_host`] and [`Person::rolled_back`]. The box stays locked and can
    /// be tried again.
    pub async fn unlock(self, secret: &Secret<'_>, pins: Option<&Pins>) -> Result<Person<Open<H>>, PersonError> {
        let Locked { client, header } = self.state;
        if let Some(pins) = pins {
            header.check_version(pins.header)?;
        }
        let root = unlock(&header, secret)?;
        // Whoever knows a device's key could make up a header for it, with a root of their own; not one of this owner's.
        if let Some(pinned) = pins.and_then(|pins| pins.owner) {
            header.check_owner(&root, &pinned)?;
        }
        let owner = Owner::new(client, &root);
        Open::load(owner, root, header, pins).await.map(|state| Person { state })
    }
}

impl<H: HostClient> Person<Open<H>> {
    /// Makes a box at a host, locked by a passphrase with an account secret and by a recovery phrase.
    ///
    /// # Errors
    /// [`PersonError::Host`] when the host does not take it.
    pub async fn create(client: H, passphrase: &str) -> Result<(Self, Keepsake), PersonError> {
        let (mut rng, now) = (system::rng(), system::now());
        let store = StoreId::generate(&mut rng);
        let root = Root::generate(store, &mut rng);
        let (account_secret, phrase) = (AccountSecret::generate(&mut rng), RecoveryPhrase::generate(&mut rng));
        let normal = normalised(passphrase);
        let passphrase = Passphrase::new(&normal);
        let cost = PassphraseCost::DEFAULT;
        let slots = [
            NewSlot::Passphrase { passphrase: &passphrase, account_secret: &account_secret, cost },
            NewSlot::Phrase(&phrase),
        ];
        let header = Header::create(&root, &slots, &mut rng)?;
        let holder = *root.access_key().public().as_bytes();
        let owner = Owner::new(client, &root);
        owner.create(*root.store(), header.bytes(), holder).await?;
        let (share, epoch) = (HostShare::generate(&mut rng), Epoch::FIRST);
        owner.put_share(epoch.get(), share.expose(), now).await?;

        let mut keyring = Keyring::generate(&mut rng);
        let name = StoreName::from(store);
        let mut shelves = Vec::new();
        for title in [POLICY, LOG, CONNECTIONS, CREDENTIALS, GRANTS, FILES] {
            let id = DatasetId::generate(&mut rng);
            keyring.add_dataset(name, id, title, Granularity::Record, &mut rng)?;
            shelves.push(Shelf::create(name, id));
        }
        let log_id = LogId::generate(&mut rng);
        let log_signer = log_signer(&keyring, log_id);
        let vocabulary = Vocabulary::builder("empty", 1, Regime::EU).build()?;
        let mut open = Open {
            owner,
            root,
            header,
            share,
            epoch,
            keyring: keyring.working_copy()?,
            meta: Shelf::create(name, DatasetId::META),
            shelves: BTreeMap::new(),
            rules: Rules::of(Policy::new(vocabulary).compile()?),
            log: Log::new(log_id),
            log_signer,
            uses: Uses::default(),
            leftovers: Leftovers::default(),
            pinned: true,
            written: BTreeSet::new(),
            migrations: Arc::default(),
        };
        let mut change = open.change();
        change.keys = Some(Keys::of(keyring));
        change.shelves = shelves;
        change.log(Entry::new(now, EntryKind::Rule, None, open.policy_digest()));
        change.rules = Some(open.rules.clone());
        open.commit(change, now).await?;
        let keepsake =
            Keepsake { store, account_secret: hex(account_secret.expose()), recovery_phrase: phrase.words() };
        Ok((Self { state: open }, keepsake))
    }

    /// The box's address.
    #[must_use]
    pub const fn store(&self) -> &StoreId {
        self.state.root.store()
    }

    /// What this device should remember until the next session.
    #[must_use]
    pub fn pins(&self) -> Pins {
        self.state.pins()
    }

    /// The same, reading what older versions of a schema wrote as its newest version has it: values, decisions and exports see
    /// only that. What is stored stays as it is, an issuer's signed bytes included, until the field is written again or
    /// [`Person::migrate`] writes them all. A field's schema is the name it is decided by; an import writes version 1.
    ///
    /// A value that a migration refuses, or that a newer version wrote, is [`PersonError::Payload`] wherever it is read.
    ///
    /// ```
    /// # #[cfg(feature = "host")] {
    /// # use std::sync::Arc;
    /// # use deedbox::{LocalHost, host::{Admission, Config, Host, MemoryStorage, system_clock}, person::Person};
    /// use deedbox::parts::{
    ///     cbor::{ItemBuf, Limits, Writer},
    ///     model::FieldPath,
    ///     record::Migrations,
    /// };
    ///
    /// // Version 1 held one telephone number, version 2 holds a list of them.
    /// fn to_list(value: &ItemBuf) -> Option<ItemBuf> {
    ///     let mut list = Writer::new();
    ///     list.array(1).text(value.as_item().as_str()?);
    ///     ItemBuf::parse(list.as_slice(), &Limits::new(2_000)).ok()
    /// }
    /// let mut migrations = Migrations::new();
    /// migrations.register("me.telephone", 1, &[to_list])?;
    ///
    /// # let mut config = Config::default();
    /// # config.admission = Admission::Open;
    /// # let client = LocalHost::new(Arc::new(Host::new(MemoryStorage::new(), system_clock, config)), "https://host.example");
    /// # pollster::block_on(async {
    /// # let (person, _keepsake) = Person::create(client, "correct horse battery staple").await?;
    /// let mut person = person.with_migrations(Arc::new(migrations));
    /// person.import(br#"{"me": {"telephone": "117"}}"#, "myself").await?;
    /// let (value, _) = person.value(&FieldPath::parse("me.telephone")?)?;
    /// assert_eq!(value.as_item().as_array().map(|list| list.len()), Some(1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_migrations(mut self, migrations: Arc<Migrations>) -> Self {
        for shelf in self.state.shelves.values_mut() {
            shelf.migrations = Arc::clone(&migrations);
        }
        self.state.migrations = migrations;
        self
    }

    /// The rules in force.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        self.evaluator().policy()
    }

    /// The rules in force, compiled: decides, and says who can see what and what a change would do.
    #[must_use]
    pub const fn evaluator(&self) -> &Evaluator {
        &self.state.rules.evaluator
    }

    /// The log of who saw what and why.
    #[must_use]
    pub const fn log(&self) -> &Log {
        &self.state.log
    }

    /// The key that signs the log's checkpoints.
    #[must_use]
    pub fn log_key(&self) -> &deedbox_cose::VerifyKey {
        deedbox_cose::Signer::public(&self.state.log_signer)
    }

    /// The log as one file that verifies alone.
    ///
    /// # Errors
    /// [`PersonError::Audit`].
    pub fn export_log(&self) -> Result<Vec<u8>, PersonError> {
        Ok(self.state.log.export(&self.state.log_signer, system::now())?)
    }

    /// A signed statement of the log's present state, to be given to whoever should notice a later change.
    ///
    /// # Errors
    /// [`PersonError::Audit`].
    pub fn checkpoint(&self) -> Result<Vec<u8>, PersonError> {
        Ok(self.state.log.checkpoint(&self.state.log_signer, system::now())?)
    }
}

/// What one commit writes. Nothing of it is in force before the host has it.
struct Change {
    records: Vec<(DatasetId, ObjectId, Record)>,
    /// Objects to take out.
    purges: Vec<(DatasetId, ObjectId)>,
    /// Records for places where another device wrote meanwhile: put beside what stands there, if that says something else.
    overtaken: BTreeMap<DatasetId, Pending>,
    /// Datasets that are made now.
    shelves: Vec<Shelf>,
    /// Datasets of which every object is to be sealed in the present epoch, and those of which as many as fit.
    reseal: BTreeMap<DatasetId, Reseal>,
    /// A keyring to be written, and what opens it.
    keys: Option<Keys>,
    rules: Option<Rules>,
    /// Sealed messages for the other sides of connections.
    mail: Vec<(MailboxId, [u8; 16], Vec<u8>)>,
    log: Log,
    entries: Vec<SaltedEntry>,
    /// Blobs that no record names any more.
    freed: BTreeSet<BlobId>,
    /// Datasets that are replaced at the host, by a head above that number.
    above: BTreeMap<DatasetId, Seq>,
}

/// A keyring that is to take the place of the present one.
struct Keys {
    keyring: Keyring,
    /// Another keyring epoch, with its share.
    epoch: Option<(Epoch, HostShare)>,
    /// Another root, with the header that wraps it.
    root: Option<(Root, Header)>,
}

impl Keys {
    const fn of(keyring: Keyring) -> Self {
        Self { keyring, epoch: None, root: None }
    }
}

impl Change {
    /// Adds an entry to the log.
    fn log(&mut self, entry: Entry) {
        self.entries.push(self.log.append(entry, &mut system::rng()));
    }

    /// With this keyring, if it lists datasets that are made now.
    fn with_datasets(&mut self, keyring: Keyring) {
        if !self.shelves.is_empty() {
            self.keys = Some(Keys::of(keyring));
        }
    }
}

impl<H: HostClient> Open<H> {
    fn change(&self) -> Change {
        Change {
            records: Vec::new(),
            purges: Vec::new(),
            overtaken: BTreeMap::new(),
            shelves: Vec::new(),
            reseal: BTreeMap::new(),
            keys: None,
            rules: None,
            mail: Vec::new(),
            log: self.log.clone(),
            entries: Vec::new(),
            freed: BTreeSet::new(),
            above: BTreeMap::new(),
        }
    }

    fn pins(&self) -> Pins {
        let all = self.shelves.values().chain([&self.meta]);
        let heads = all.filter_map(|shelf| Some((*shelf.replica.dataset(), *shelf.replica.pin()?))).collect();
        Pins { header: self.header.version(), owner: Some(self.root.owner()), heads, newest: self.is_newest() }
    }

    const fn policy_digest(&self) -> Digest {
        self.rules.digest
    }

    /// The datasets that hold the person's fields.
    fn fields(&self) -> impl Iterator<Item = (&Dataset, &Shelf)> {
        let datasets = self.keyring.datasets().iter().filter(|dataset| dataset.granularity() == Granularity::Field);
        datasets.filter_map(|dataset| Some((dataset, self.shelves.get(dataset.id())?)))
    }

    /// The dataset of a title.
    fn dataset(&self, title: &str) -> Result<&Dataset, PersonError> {
        dataset_of(&self.keyring, title)
    }

    /// Writes all of a change in one commit, or nothing.
    async fn commit(&mut self, mut change: Change, now: Timestamp) -> Result<(), PersonError> {
        self.write_rules(&mut change)?;
        if !change.entries.is_empty() {
            let dataset = self.dataset(LOG)?;
            for entry in &change.entries {
                if entry.bytes().len() > SaltedEntry::MAX_LEN {
                    return Err(PayloadError::Limit.into());
                }
                let name = format!("entry/{}", entry.entry().seq);
                let first = put_rest(&mut change.records, dataset, &name, entry.bytes())?;
                let record = Record::new(LOG, 1, &name, bytes_item(first)?)?;
                change.records.push((*dataset.id(), dataset.name_key().object_id(&name), record));
            }
            let checkpoint = change.log.checkpoint(&self.log_signer, now)?;
            let record = Record::new(LOG, 1, "checkpoint", bytes_item(&checkpoint)?)?;
            change.records.push((*dataset.id(), dataset.name_key().object_id("checkpoint"), record));
        }
        self.free_blobs(&mut change)?;
        let own = StoreName::from(*self.root.store());
        for shelf in change.shelves.iter().filter(|shelf| *shelf.replica.store() != own) {
            self.owner.put_alias(*shelf.replica.store(), now).await?;
        }
        let overtaken = mem::take(&mut change.overtaken);
        let parts = self.sign(&change, overtaken, now)?;
        let part = |part| match self.shelf(part).filter(|_| change.above.contains_key(part.dataset())) {
            Some(shelf) => shelf.replaced(part),
            None => commit_part(part),
        };
        let mut body = wire::CommitBody::new(parts.iter().map(part).collect());
        body.mail = change.mail.iter().map(|(mailbox, dedupe, body)| (*mailbox, *dedupe, body.as_slice())).collect();
        let root = change.keys.as_ref().and_then(|keys| keys.root.as_ref());
        body.header = root.map(|(_, header)| (self.header.version(), header.bytes()));
        if body.parts.is_empty() && body.mail.is_empty() && body.header.is_none() {
            return Ok(());
        }
        if self.owner.commit(&body, now).await?.status == 409 {
            return Err(PersonError::Conflict);
        }
        self.take_over(change, parts)?;
        // What is not done now is done when the box is opened next.
        let _ = self.purge_leftovers(now).await;
        Ok(())
    }

    fn shelf(&self, part: &SignedPart) -> Option<&Shelf> {
        if *part.dataset() == DatasetId::META { Some(&self.meta) } else { self.shelves.get(part.dataset()) }
    }

    /// Signs a head for every dataset that the change touches.
    fn sign(
        &self,
        change: &Change,
        mut overtaken: BTreeMap<DatasetId, Pending>,
        now: Timestamp,
    ) -> Result<Vec<SignedPart>, PersonError> {
        let mut rng = system::rng();
        let mut sign = |draft: Draft<'_>, keys: &EpochKeys| match change.above.get(draft.dataset()) {
            Some(floor) => draft.sign_above(*floor, keys, now, &mut rng),
            None => draft.sign(keys, now, &mut rng),
        };
        let mut parts = Vec::new();
        let mut keyring = &self.keyring;
        if let Some(keys) = &change.keys {
            keyring = &keys.keyring;
            let root = keys.root.as_ref().map_or(&self.root, |(root, _)| root);
            let (epoch, share) =
                keys.epoch.as_ref().map_or((self.epoch, &self.share), |(epoch, share)| (*epoch, share));
            let mut draft = self.meta.replica.draft();
            draft.put_keyring(keyring)?;
            parts.push(sign(draft, &root.meta_keys(share, epoch))?);
        } else if change.above.contains_key(&DatasetId::META) {
            parts.push(sign(self.meta.replica.draft(), &self.root.meta_keys(&self.share, self.epoch))?);
        }
        let shelves = self.shelves.values().chain(&change.shelves);
        for shelf in shelves {
            let id = *shelf.replica.dataset();
            let dataset = keyring.dataset(&id).ok_or(PersonError::NotFound)?;
            let (keys, is_field) = (dataset.keys(), dataset.granularity() == Granularity::Field);
            let mut draft = match overtaken.remove(&id) {
                Some(pending) => shelf.rebase(pending, keys)?,
                None => shelf.replica.draft(),
            };
            for (_, object, record) in change.records.iter().filter(|(dataset, ..)| *dataset == id) {
                draft.put(*object, record)?;
            }
            for (_, object) in change.purges.iter().filter(|(dataset, _)| *dataset == id) {
                draft.purge(*object);
            }
            let reseal = change.reseal.get(&id).copied();
            // Every dataset on the keyring has a head from its first commit on: a host can't pretend that one was never
            // written. One with a new epoch has a head of that epoch at once: no former key can write the next.
            let is_replaced = change.above.contains_key(&id);
            if draft.is_empty() && shelf.replica.head().is_some() && reseal.is_none() && !is_replaced {
                continue;
            }
            let (former, epoch) = (self.keyring.dataset(&id).map(Dataset::keys), keys.current());
            if let (Some(former), Some(epoch)) = (former, epoch)
                && (former.has_readable() || former.current() != Some(epoch))
            {
                // The present keyring opens whatever is there, the coming one may not.
                let (how, bytes) = (reseal.unwrap_or(BATCH), |object: &ObjectId| shelf.bytes(object));
                if draft.reseal(how, epoch, former, bytes).is_err() && is_field {
                    // Whoever was let in to write may put there what opens for nobody. It must not hold up a change of keys.
                    for object in shelf.unopened(former) {
                        draft.purge(object);
                    }
                    draft.reseal(how, epoch, former, bytes)?;
                }
            }
            parts.push(sign(draft, keys)?);
        }
        Ok(parts)
    }

    /// What the host committed is in force.
    fn take_over(&mut self, change: Change, parts: Vec<SignedPart>) -> Result<(), PersonError> {
        for mut shelf in change.shelves {
            shelf.migrations = Arc::clone(&self.migrations);
            self.shelves.insert(*shelf.replica.dataset(), shelf);
        }
        for part in parts {
            let shelf = match *part.dataset() {
                DatasetId::META => &mut self.meta,
                id => self.shelves.get_mut(&id).ok_or(PersonError::NotFound)?,
            };
            shelf.committed(part)?;
        }
        if let Some(Keys { keyring, epoch, root }) = change.keys {
            self.keyring = keyring;
            if let Some((epoch, share)) = epoch {
                (self.epoch, self.share) = (epoch, share);
            }
            if let Some((root, header)) = root {
                self.owner.change(&root);
                (self.root, self.header) = (root, header);
            }
        }
        if let Some(rules) = change.rules {
            self.rules = rules;
        }
        self.leftovers.committed(change.freed);
        for entry in &change.entries {
            self.uses.count(entry.entry());
        }
        self.log = change.log;
        Ok(())
    }

    /// Loads and verifies everything, and finishes what was interrupted.
    async fn load(owner: Owner<H>, root: Root, header: Header, pins: Option<&Pins>) -> Result<Self, PersonError> {
        let mut open = Self::read(owner, root, header, pins, None).await?;
        open.tidy(system::now()).await?;
        Ok(open)
    }

    /// Reads and verifies everything, and writes nothing; older states than those of the pins only where there is `older` to
    /// note them.
    async fn read(
        owner: Owner<H>,
        root: Root,
        header: Header,
        pins: Option<&Pins>,
        mut older: Option<&mut Vec<Older>>,
    ) -> Result<Self, PersonError> {
        let now = system::now();
        let name = StoreName::from(*root.store());
        let pin = |id: DatasetId| pins.and_then(|pins| pins.heads.get(&id).copied());
        let download = Shelf::fetch(&owner, DatasetId::META, pin(DatasetId::META), now).await?;
        // Which share opens the keyring stands before it; a wrong word for it opens nothing.
        let keyring = download.rows.iter().find(|row| row.object == ObjectId::KEYRING).ok_or(PersonError::Damaged)?;
        let epoch = deedbox_record::peek(&keyring.body)?.epoch().ok_or(PersonError::Damaged)?;
        let share = HostShare::from_bytes(owner.share(epoch.get(), now).await?);
        let keys = root.meta_keys(&share, epoch);
        let pinned = pin(DatasetId::META);
        let meta = Shelf::verified(name, DatasetId::META, false, pinned, &keys, download, older.as_deref_mut())?;
        let keyring = meta.open(&ObjectId::KEYRING, &keys)?.ok_or(PersonError::Damaged)?;
        let keyring = Keyring::decode(keyring.payload())?;
        let mut shelves = BTreeMap::new();
        for dataset in keyring.datasets() {
            let (id, pin) = (*dataset.id(), pin(*dataset.id()));
            let download = Shelf::fetch(&owner, id, pin, now).await?;
            let (older, is_field) = (older.as_deref_mut(), dataset.granularity() == Granularity::Field);
            let shelf = Shelf::verified(*dataset.store(), id, is_field, pin, dataset.keys(), download, older)?;
            shelves.insert(id, shelf);
        }
        let open = Self::assemble(owner, root, header, share, epoch, keyring, meta, shelves)?;
        // Whoever knows the owner only knows of no state.
        Ok(Self { pinned: pins.is_some_and(|pins| pins.newest), ..open })
    }

    /// What an erasure left to do when it was interrupted: each step is safe to repeat.
    async fn tidy(&mut self, now: Timestamp) -> Result<(), PersonError> {
        if let Some(former) = self.epoch.get().checked_sub(1).filter(|former| *former > 0) {
            self.owner.drop_share(former, now).await?;
        }
        if self.root.epoch() != Epoch::FIRST {
            self.owner.revoke_former(now).await?;
        }
        let _ = self.purge_leftovers(now).await;
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one whole, put together in one place")]
    fn assemble(
        owner: Owner<H>,
        root: Root,
        header: Header,
        share: HostShare,
        epoch: Epoch,
        keyring: Keyring,
        meta: Shelf,
        shelves: BTreeMap<DatasetId, Shelf>,
    ) -> Result<Self, PersonError> {
        let shelf = |title: &str| {
            let dataset = keyring.datasets().iter().find(|dataset| dataset.title() == title);
            dataset.and_then(|dataset| Some((dataset, shelves.get(dataset.id())?))).ok_or(PersonError::Damaged)
        };
        let (dataset, rows) = shelf(POLICY)?;
        let rules = Rules::read(dataset, rows)?;

        let (dataset, rows) = shelf(LOG)?;
        let checkpoint = rows.record(dataset, "checkpoint")?.ok_or(PersonError::Damaged)?;
        let checkpoint = checkpoint.value().as_item().as_bytes().ok_or(PersonError::Damaged)?;
        let mut entries = Vec::new();
        let mut uses = Uses::default();
        loop {
            let name = format!("entry/{}", entries.len());
            let Some(record) = rows.record(dataset, &name)? else { break };
            // That no part of it is missing, the log's root shows.
            let first = record.value().as_item().as_bytes().ok_or(PersonError::Damaged)?;
            let entry = SaltedEntry::parse(&rows.with_rest(dataset, &name, first)?)?;
            uses.count(entry.entry());
            entries.push(Row::Kept(entry));
        }
        // The log's id is in its checkpoint; its key is the person's, so nobody else can have signed it.
        let id = log_id(checkpoint).ok_or(PersonError::Damaged)?;
        let log_signer = log_signer(&keyring, id);
        let checkpoint = deedbox_audit::Checkpoint::verify(checkpoint, deedbox_cose::Signer::public(&log_signer))?;
        let log = Log::from_rows(id, entries)?;
        log.matches(&checkpoint)?;
        let (dataset, rows) = shelf(FILES)?;
        let leftovers = Leftovers::read(&rows.records(dataset)?)?;
        let migrations = Arc::default();
        let (pinned, written) = (false, BTreeSet::new());
        Ok(Self {
            owner,
            root,
            header,
            share,
            epoch,
            keyring,
            meta,
            shelves,
            rules,
            log,
            log_signer,
            uses,
            pinned,
            leftovers,
            written,
            migrations,
        })
    }
}

fn dataset_of<'a>(keyring: &'a Keyring, title: &str) -> Result<&'a Dataset, PersonError> {
    keyring.datasets().iter().find(|dataset| dataset.title() == title).ok_or(PersonError::NotFound)
}

/// The root secret, by one slot and one secret.
fn unlock(header: &Header, secret: &Secret<'_>) -> Result<Root, PersonError> {
    let slot = |kind| {
        let found = header.slots().iter().find(|slot| slot.slot_type() == kind).map(|slot| *slot.id());
        found.ok_or(UnlockError::NoSuchSlot)
    };
    match secret {
        Secret::Passphrase { passphrase, account_secret } => {
            let slot = slot(SlotType::Passphrase)?;
            let account_secret = unhex(account_secret).ok_or(UnlockError::Rejected)?;
            let (normal, account_secret) = (normalised(passphrase), AccountSecret::from_bytes(account_secret));
            let passphrase = Passphrase::new(&normal);
            let unlock = Unlock::Passphrase { passphrase: &passphrase, account_secret: &account_secret };
            Ok(header.unlock(&slot, &unlock)?)
        }
        Secret::RecoveryPhrase(words) => {
            let slot = slot(SlotType::Phrase)?;
            Ok(header.unlock(&slot, &Unlock::Phrase(&RecoveryPhrase::parse(words)?))?)
        }
        Secret::Slot(slot, unlock) => Ok(header.unlock(slot, unlock)?),
    }
}

/// NFC: the same passphrase on every keyboard (UAX 15).
fn normalised(passphrase: &str) -> Zeroizing<String> {
    let mut normal = Zeroizing::new(String::with_capacity(passphrase.len().saturating_mul(4)));
    normal.extend(passphrase.nfc());
    normal
}

/// Into one string that was sized before: one that grows leaves copies behind.
fn hex(bytes: &[u8; 16]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(32));
    for byte in bytes {
        text.extend([byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16).unwrap_or_default()));
    }
    text
}

fn unhex(text: &str) -> Option<[u8; 16]> {
    StoreId::parse_hex(text).map(|bytes| *bytes.as_bytes())
}

/// The log's key: derived, so that the recovery phrase alone restores it.
fn log_signer(keyring: &Keyring, id: LogId) -> LocalSigner {
    let seed =
        deedbox_crypto::kdf::derive(keyring.pairwise_root(), deedbox_crypto::label::CHECKPOINT, &[id.as_bytes()]);
    LocalSigner::from_seed(&seed)
}

fn connections_root(keyring: &Keyring) -> ConnectionsRoot {
    // COPY: wiped with the root.
    ConnectionsRoot::from_secret(SecretBytes::from_bytes(*keyring.pairwise_root().expose()))
}

/// The log's id as an unverified checkpoint names it.
fn log_id(checkpoint: &[u8]) -> Option<LogId> {
    let document = deedbox_cose::sign1::Document::parse(checkpoint).ok()?;
    let limits = Limits::new(1024);
    let item = deedbox_cbor::read(document.peek().payload(), deedbox_cbor::Order::Canonical, &limits).ok()?;
    Some(LogId::from_bytes(item.as_array()?.get(0)?.as_byte_array()?))
}

/// Writes what of `bytes` one record has no room for to others behind that of `name`, and gives what is left for it.
fn put_rest<'a>(
    records: &mut Vec<(DatasetId, ObjectId, Record)>,
    dataset: &Dataset,
    name: &str,
    bytes: &'a [u8],
) -> Result<&'a [u8], PersonError> {
    let mut parts = bytes.chunks(PART);
    let first = parts.next().unwrap_or_default();
    for (part, number) in parts.zip(1_u64..) {
        let name = format!("{name}/{number}");
        let record = Record::new(REST, 1, &name, bytes_item(part)?)?;
        records.push((*dataset.id(), dataset.name_key().object_id(&name), record));
    }
    Ok(first)
}

/// A byte string as the value of a record.
fn bytes_item(bytes: &[u8]) -> Result<ItemBuf, PersonError> {
    let mut writer = Writer::with_capacity(bytes.len().saturating_add(9));
    writer.bytes(bytes);
    ItemBuf::parse(writer.as_slice(), &Limits::new(usize::MAX)).map_err(|_| PersonError::Damaged)
}

macro_rules! opaque {
    ($($name:ident),*) => {$(
        impl<T> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    )*};
}
opaque!(Person, Locked, Open, RolledBack);

impl fmt::Debug for Keepsake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keepsake").finish_non_exhaustive()
    }
}

impl fmt::Debug for Secret<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").finish_non_exhaustive()
    }
}

/// What a commit seals anew along with its own, while objects of an older epoch are left.
const BATCH: Reseal = Reseal::Lazy { objects: 5_000, bytes: 8 << 20 };
/// What of a byte string goes into one record: an entry of the log, or a receipt, that names thousands of fields takes several.
const PART: usize = 128 << 10;
/// What records of the other parts are.
const REST: &str = "deedbox:rest";
/// Titles of the datasets that hold the box's own things. No imported dataset may have one of these: their titles never
/// hold a colon.
const POLICY: &str = "deedbox:policy";
const LOG: &str = "deedbox:log";
const CONNECTIONS: &str = "deedbox:connections";
const CREDENTIALS: &str = "deedbox:credentials";
const GRANTS: &str = "deedbox:grants";
const FILES: &str = "deedbox:files";
