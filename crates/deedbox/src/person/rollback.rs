//! After a host came back with an older state: the newer one is brought back, or the person accepts what is lost. So with what
//! somebody damaged who was let in to write.

use std::{
    collections::BTreeMap,
    fmt,
    io::{Read, Seek},
};

use deedbox_audit::{Entry, EntryKind};
use deedbox_cose::sha256;
use deedbox_host::{HostError, wire};
use deedbox_model::{DatasetId, Digest, FieldPath, Seq, StoreName, Timestamp};
use deedbox_record::{
    BundleDataset, ChangedObject, Dataset, GrantScope, Header, HostShare, Replica, Root, UnlockError, VerifiedBundle,
};
use deedbox_store::HeadHash;

use super::{
    Granted, Keys, LOG, Locked, Open, Person, Pins, Secret, bundle,
    shelf::{Found, Older, Shelf},
    unlock,
};
use crate::{
    client::{Download, HostClient, Owner, Row, header},
    error::PersonError,
    file::{File, FileError},
    system,
};

/// What [`Person::restore_host`] brought back.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restored {
    /// Datasets that the host had an older state of, or none.
    pub datasets: usize,
    /// Files that the host has lost: their records are there, their bytes are not.
    pub lost: Vec<FieldPath>,
}

/// Prints counts, no path.
impl fmt::Debug for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Restored").field("datasets", &self.datasets).field("lost", &self.lost.len()).finish()
    }
}

/// A box of which the host has an older or another state than the device has seen, or a damaged one: read, and not accepted yet.
pub struct RolledBack<H> {
    open: Open<H>,
    pins: Option<Pins>,
    older: Vec<Older>,
    loss: Loss,
}

/// What is lost with a state that the host does not have any more.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Loss {
    /// The datasets that are older than what the device has seen, or other, or damaged; none when nothing is lost.
    pub datasets: Vec<LostDataset>,
    /// Whether ways to open the box were added, changed or taken away since. Those of before are in force again.
    pub slots: bool,
}

/// What is lost of one dataset.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LostDataset {
    /// Its title; none for a dataset that is lost as a whole. `deedbox:policy` are the rules, `deedbox:log` is the log,
    /// `deedbox:connections`, `deedbox:grants`, `deedbox:credentials` and `deedbox:files` are what they say.
    pub title: Option<String>,
    /// The number of the newest state that the device has seen; none without pins.
    pub seen: Option<u64>,
    /// The number of the host's state; none for a dataset that is lost as a whole. Where it is not lower than `seen`, another
    /// device went on from an older state, or it is damaged.
    pub held: Option<u64>,
    /// When the host's state was signed: what was written later is lost. None for a damaged one.
    pub since: Option<Timestamp>,
    /// Where what the host has is not what its head stands for, as whoever was granted to write can make it: how many objects
    /// open for nobody, and go. All others are kept as they are; what was taken out does not show.
    pub damaged: Option<usize>,
}

/// Prints counts.
impl fmt::Debug for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loss").field("datasets", &self.datasets.len()).field("slots", &self.slots).finish()
    }
}

/// Prints no title.
impl fmt::Debug for LostDataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seen, held, since, damaged, .. } = self;
        let mut out = f.debug_struct("LostDataset");
        out.field("seen", seen).field("held", held).field("since", since);
        out.field("damaged", damaged).finish_non_exhaustive()
    }
}

impl<H: HostClient> Person<Locked<H>> {
    /// Reads a box that [`Person::unlock`] refused with `Rollback` or `Fork`, or with `HeaderRolledBack`: to see what is lost, and to
    /// accept it where no device and no bundle has the newer state. Or one that it refused with any other [`PersonError::Head`],
    /// because somebody who was granted to write a dataset has damaged it: to keep what opens. Nothing is written before
    /// [`Person::accept`].
    ///
    /// # Errors
    /// As [`Person::unlock`], but for the age of what the host has, and heads of the person's fields. The box's own things are as
    /// they were signed, or nothing is read: nobody else was let in to write them. [`PersonError::Unlock`]: `HeaderRolledBack`
    /// when the root was replaced since: who was to be shut out by that would be let in again. [`PersonError::Host`]: `NotFound`
    /// when the host's share for the older keyring is gone, as it is after an erasure; then nobody opens it.
    pub async fn rolled_back(
        self,
        secret: &Secret<'_>,
        pins: Option<&Pins>,
    ) -> Result<Person<RolledBack<H>>, PersonError> {
        let Locked { client, header } = self.state;
        let root = unlock(&header, secret)?;
        if let Some(pinned) = pins.and_then(|pins| pins.owner.as_ref()) {
            header.check_owner(&root, pinned)?;
        }
        let (owner, mut older) = (Owner::new(client, &root), Vec::new());
        let open = Open::read(owner, root, header, pins, Some(&mut older)).await?;
        let lost = |older: &Older| LostDataset {
            title: open.keyring.dataset(&older.dataset).map(|dataset| dataset.title().to_owned()),
            seen: older.pinned.map(Seq::get),
            held: Some(older.held.get()),
            since: match older.found {
                Found::State(time) => Some(time),
                Found::Damaged(_) => None,
            },
            damaged: match older.found {
                Found::State(_) => None,
                Found::Damaged(unopened) => Some(unopened),
            },
        };
        // The meta dataset holds the keyring, which is the sum of the others.
        let mut datasets: Vec<LostDataset> =
            older.iter().filter(|older| older.dataset != DatasetId::META).map(lost).collect();
        let pinned = pins.iter().flat_map(|pins| &pins.heads);
        let gone = pinned.filter(|(id, _)| **id != DatasetId::META && !open.shelves.contains_key(id));
        datasets.extend(gone.map(|(_, pin)| LostDataset {
            title: None,
            seen: Some(pin.seq().get()),
            held: None,
            since: None,
            damaged: None,
        }));
        let loss = Loss { datasets, slots: pins.is_some_and(|pins| open.header.version() < pins.header) };
        Ok(Person { state: RolledBack { open, pins: pins.cloned(), older, loss } })
    }
}

impl<H: HostClient> Person<RolledBack<H>> {
    /// What is lost if this state is accepted.
    #[must_use]
    pub const fn loss(&self) -> &Loss {
        &self.state.loss
    }

    /// Accepts the loss: the person's decision, which nothing in this library takes for them. Rules, grants and withdrawals of
    /// since are undone with the rest: look at the rules and at [`Person::grants`] first, then at what else has to be done again.
    ///
    /// A damaged dataset gets new keys, and grants to write it are taken back, whoever it was; who may read it needs the new keys:
    /// see [`Person::outdated_grants`].
    ///
    /// The next heads have numbers above all that the device has seen, and the log says, with the digest of the pins that were
    /// given up, that it happened. Another device that saw what is lost gets `Fork`, and accepts likewise. Connections go on as
    /// after a restored back-up, with numbers that were never used.
    ///
    /// # Errors
    /// [`PersonError::Conflict`] when another device wrote meanwhile; [`PersonError::Host`]. Nothing is accepted then, and asking again
    /// goes on.
    pub async fn accept(self) -> Result<Person<Open<H>>, PersonError> {
        let RolledBack { mut open, pins, older, .. } = self.state;
        let now = system::now();
        let seen = pins.as_ref().map_or(0, |pins| pins.header);
        if open.header.version() < seen {
            let above = seen.checked_add(1).ok_or(UnlockError::Limit)?;
            let header = open.header.numbered(&open.root, above)?;
            open.lead_header(open.header.version(), &header, now).await?;
            open.header = header;
        }
        let mut change = open.change();
        let damaged: Vec<DatasetId> =
            older.iter().filter(|of| matches!(of.found, Found::Damaged(_))).map(|of| of.dataset).collect();
        for of in &older {
            match of.pinned.filter(|pinned| of.held <= *pinned) {
                Some(pinned) => change.above.insert(of.dataset, pinned),
                None if damaged.contains(&of.dataset) => change.above.insert(of.dataset, of.held),
                None => None,
            };
        }
        if !damaged.is_empty() {
            let is_let_in =
                |granted: &Granted| granted.scope == GrantScope::Write && damaged.contains(&granted.dataset);
            let writers: Vec<Granted> = open.grants()?.into_iter().filter(is_let_in).collect();
            open.shut_out(&mut change, &writers, now).await?;
            let mut keyring = open.keyring.working_copy()?;
            open.begin_epochs(&damaged, &mut keyring, &mut change)?;
            change.keys = Some(Keys::of(keyring));
        }
        change.log(open.alarm(pins.as_ref(), now));
        // An old copy: each connection goes on as another device from its next change on, and pins say so until then.
        open.pinned = false;
        open.commit(change, now).await?;
        open.tidy(now).await?;
        Ok(Person { state: open })
    }
}

impl<H: HostClient> Person<Open<H>> {
    /// Brings a host that came back with an older state, after it restored a back-up, to the state that this device holds: what
    /// it lacks of the header, the keyring's share, datasets and whom to let in. Everything is sent as it was signed and sealed,
    /// so the host needs no trust, and a host that only pretended to have lost it gains nothing. The log says that it happened.
    ///
    /// Files whose bytes the host has lost are named in the answer; messages that lay in mailboxes are gone without a trace here.
    /// It may be interrupted, and asking again goes on.
    ///
    /// # Errors
    /// [`PersonError::Conflict`] when somebody wrote to the box at the host that this device has not seen: then one of both states is
    /// to be given up, see [`Person::rolled_back`]. [`PersonError::Unlock`]: `HeaderRolledBack` when the host's state is of before a
    /// new root, whose key it does not know: the operator removes the store, and this call makes it anew.
    pub async fn restore_host(&mut self) -> Result<Restored, PersonError> {
        let held = self.state.compare(system::now()).await?;
        self.bring_back(held).await
    }

    /// Brings a host to the state that an exported bundle holds, as [`Person::restore_host`] does to an open box's, files included,
    /// and opens it: for a person whose device remembers no more than `pins`. To bring a box to another host see
    /// [`Person::import_bundle`].
    ///
    /// # Errors
    /// [`PersonError::Bundle`], [`PersonError::Unlock`]. [`PersonError::Head`]: `Rollback` or `Fork` when the bundle is of before the
    /// state that `pins` name: without pins it is taken, and what was written later is lost. Those of [`Person::restore_host`].
    pub async fn restore_bundle(
        client: H,
        bundle: &mut (impl Read + Seek),
        secret: &Secret<'_>,
        pins: Option<&Pins>,
    ) -> Result<(Self, Restored), PersonError> {
        let (start, root, verified) = bundle::read(bundle, secret)?;
        let mut person = Self { state: Open::of_bundle(Owner::new(client, &root), root, &verified, pins)? };
        let mut held = person.state.compare(system::now()).await?;
        person.state.make(&mut held, system::now()).await?;
        bundle::send_blobs(&person.state.owner, bundle, start, &verified).await?;
        let restored = person.bring_back(held).await?;
        Ok((person, restored))
    }

    async fn bring_back(&mut self, mut held: Held) -> Result<Restored, PersonError> {
        let open = &mut self.state;
        let is_behind = !held.heads.is_empty() || held.version != Some(open.header.version());
        open.put_back(&mut held).await?;
        let known = open.admit_connections(system::now()).await?;
        self.admit_grantees(system::now()).await?;
        let (grants, open) = (self.grants()?, &mut self.state);
        let known: Vec<_> = known.into_iter().chain(grants.iter().map(super::Granted::capability)).collect();
        // What was revoked since the back-up is in force again at the host.
        open.owner.revoke_unknown(&known, system::now()).await?;
        let lost = open.lost_files().await?;
        if is_behind {
            let now = system::now();
            let mut change = open.change();
            change.log(open.alarm(None, now));
            open.commit(change, now).await?;
        }
        Ok(Restored { datasets: held.heads.len(), lost })
    }
}

/// What a host has that came back with an older state.
struct Held {
    /// The version of its header; none when it has no such store.
    version: Option<u64>,
    /// The datasets that it has an older state of, or none, by the hash of its head.
    heads: Vec<(DatasetId, Option<HeadHash>)>,
}

impl<H: HostClient> Open<H> {
    /// The box as a bundle has it. Nothing is asked of a host.
    fn of_bundle(
        owner: Owner<H>,
        root: Root,
        verified: &VerifiedBundle,
        pins: Option<&Pins>,
    ) -> Result<Self, PersonError> {
        let (header, keyring) = (verified.header().clone(), verified.keyring().working_copy()?);
        if let Some(pins) = pins {
            header.check_version(pins.header)?;
            pins.owner.as_ref().map_or(Ok(()), |pinned| header.check_owner(&root, pinned))?;
        }
        let shelf = |of: &BundleDataset, replica: &Replica| {
            let id = *of.dataset();
            let keys = keyring.dataset(&id).map_or_else(|| verified.meta_keys(), Dataset::keys);
            // A bundle has no heads between: a later state than the pinned one is taken from the person's own hand.
            let seq = replica.head().map(deedbox_record::Head::seq);
            let pin = pins.and_then(|pins| pins.heads.get(&id).copied()).filter(|pin| seq <= Some(pin.seq()));
            let row = |object| match object {
                ChangedObject::Put { object, seq, kind, bytes } => {
                    Some(Row { object, seq, kind, body: bytes.to_vec() })
                }
                ChangedObject::Removed(_) => None,
            };
            let rows = of.objects().filter_map(row).collect();
            let download = Download { heads: vec![of.head().to_vec()], rows };
            Ok::<_, PersonError>((id, Shelf::verified(*replica.store(), id, false, pin, keys, download, None)?))
        };
        let shelves = verified.datasets().iter().zip(verified.replicas()).map(|(of, replica)| shelf(of, replica));
        let mut shelves = shelves.collect::<Result<BTreeMap<_, _>, _>>()?;
        let meta = shelves.remove(&DatasetId::META).ok_or(PersonError::Damaged)?;
        // COPY: wiped with the box.
        let share = HostShare::from_bytes(*verified.share().expose());
        Self::assemble(owner, root, header, share, verified.keyring_epoch(), keyring, meta, shelves)
    }

    /// What the host lacks of this state. Nothing that somebody wrote since may be among what is replaced.
    async fn compare(&self, now: Timestamp) -> Result<Held, PersonError> {
        let version = match header(self.owner.client(), *self.root.store()).await {
            Ok(bytes) => {
                let bytes = wire::versioned_from_bytes(&bytes).map_or(bytes.as_slice(), |(_, header)| header);
                let held = Header::parse(bytes)?;
                if held.root_epoch() < self.root.epoch() {
                    return Err(UnlockError::HeaderRolledBack.into());
                }
                if held.version() >= self.header.version() && held != self.header {
                    return Err(PersonError::Conflict);
                }
                Some(held.version())
            }
            // No such store: it is made again.
            Err(HostError::Unauthenticated) => None,
            Err(error) => return Err(error.into()),
        };
        let mut heads = Vec::new();
        for (id, shelf) in [(&DatasetId::META, &self.meta)].into_iter().chain(&self.shelves) {
            let before = shelf.replica.head().ok_or(PersonError::Damaged)?.seq().get().saturating_sub(1);
            if version.is_none() {
                heads.push((*id, None));
                continue;
            }
            let since = match self.owner.heads(*id, before, now).await {
                Err(HostError::NotFound) => Vec::new(),
                heads => heads?,
            };
            match since.as_slice() {
                [] => heads.push((*id, self.owner.newest(*id, now).await?.map(|head| HeadHash(sha256(&head))))),
                [same] if same == shelf.head() => {}
                _ => return Err(PersonError::Conflict),
            }
        }
        let log = self.dataset(LOG)?;
        if version.is_some() && heads.iter().any(|(id, held)| id == log.id() && held.is_some()) {
            self.has_logged(log, &self.owner.download(*log.id(), now).await?)?;
        }
        Ok(Held { version, heads })
    }

    /// Every commit of the person's has an entry in the log: if another device wrote on the older state, it shows here.
    fn has_logged(&self, log: &Dataset, held: &Download) -> Result<(), PersonError> {
        let shelf = self.shelves.get(log.id()).ok_or(PersonError::Damaged)?;
        let checkpoint = log.name_key().object_id("checkpoint");
        let is_known = |row: &Row| {
            // Sealed anew since, it has other bytes and a later number.
            let entry = shelf.replica.entry(&row.object);
            let is_later = entry.is_some_and(|entry| entry.seq() > row.seq);
            row.object == checkpoint || is_later || shelf.bytes(&row.object) == Some(&row.body)
        };
        if held.rows.iter().all(is_known) { Ok(()) } else { Err(PersonError::Conflict) }
    }

    /// Makes the store again, where the host has none.
    async fn make(&self, held: &mut Held, now: Timestamp) -> Result<(), PersonError> {
        if held.version.is_none() {
            let holder = *self.root.access_key().public().as_bytes();
            self.owner.create(*self.root.store(), self.header.bytes(), holder).await?;
            held.version = Some(self.header.version());
        }
        let share = self.share.expose();
        if self.owner.share_or_put(self.epoch.get(), share, now).await? != *share {
            return Err(PersonError::Conflict);
        }
        Ok(())
    }

    async fn put_back(&mut self, held: &mut Held) -> Result<(), PersonError> {
        self.make(held, system::now()).await?;
        if let Some(version) = held.version {
            self.lead_header(version, &self.header, system::now()).await?;
        }
        let store = StoreName::from(*self.root.store());
        for name in self.shelves.values().map(|shelf| *shelf.replica.store()).filter(|name| *name != store) {
            self.owner.put_alias(name, system::now()).await?;
        }
        let replacement = |(id, expect): &(DatasetId, Option<HeadHash>)| {
            let shelf = if *id == DatasetId::META { Some(&self.meta) } else { self.shelves.get(id) };
            shelf.ok_or(PersonError::Damaged)?.replacement(*expect)
        };
        let parts = held.heads.iter().map(replacement).collect::<Result<Vec<_>, _>>()?;
        if !parts.is_empty() && self.owner.commit(&wire::CommitBody::new(parts), system::now()).await?.status == 409 {
            return Err(PersonError::Conflict);
        }
        // Shares of keyrings that an erasure had made unreadable.
        for former in 1..self.epoch.get() {
            self.owner.drop_share(former, system::now()).await?;
        }
        self.tidy(system::now()).await
    }

    /// Leads the host's header from its version to that of `header`: a host takes the next number only.
    async fn lead_header(&self, held: u64, header: &Header, now: Timestamp) -> Result<(), PersonError> {
        for version in held..header.version() {
            let mut body = wire::CommitBody::new(Vec::new());
            let next = header.numbered(&self.root, version.saturating_add(1))?;
            body.header = Some((version, next.bytes()));
            if self.owner.commit(&body, now).await?.status == 409 {
                return Err(PersonError::Conflict);
            }
        }
        Ok(())
    }

    /// What the log says: that the host came back with an older state, and which pins were given up for it.
    fn alarm(&self, given_up: Option<&Pins>, now: Timestamp) -> Entry {
        let mut entry = Entry::new(now, EntryKind::Alarm, None, self.policy_digest());
        entry.receipt = given_up.map(|pins| Digest::from_bytes(sha256(&pins.to_bytes())));
        entry
    }

    async fn lost_files(&self) -> Result<Vec<FieldPath>, PersonError> {
        let mut lost = Vec::new();
        for (dataset, record) in self.filed()? {
            match File::open(&self.owner, dataset.store(), dataset.id(), &record).await {
                Some(Err(FileError::Blob(_) | FileError::Host(HostError::NotFound))) => {
                    lost.push(FieldPath::parse(record.name()).map_err(|_| PersonError::Damaged)?);
                }
                Some(Err(error)) => return Err(error.into()),
                Some(Ok(_)) | None => {}
            }
        }
        Ok(lost)
    }
}
