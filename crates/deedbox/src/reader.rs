//! An organisation reads what a person granted it, at the person's host.

use std::{collections::BTreeMap, fmt, sync::Arc};

use deedbox_connect::Agreement;
use deedbox_cose::LocalSigner;
use deedbox_host::{HostError, wire};
use deedbox_model::{DatasetId, ObjectId, Seq, Timestamp};
use deedbox_record::{
    ChangedObject, EpochKeys, GrantError, GrantId, Granted, HeadError, Kind, Migrations, OpenError, Opened,
    PartialReplica, PayloadError, Record, Replica, SealError, SealedGrant,
};

use crate::{
    client::{Access, HostClient, Row, Watch, commit_part},
    exchange::Handover,
    file::{File, FileError},
    provider::Provider,
    side::Side,
    system,
};

/// Why granted data was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// A file beside a record was not read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The grant was not accepted: another agreement's, over, or not for this organisation.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// The state is not one that the person signed, or is older than one seen before. `UnknownKey` after the person changed the
    /// keys: wait for the grant of the new ones.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// The host refused, or can't be reached. `Revoked`, `Expired`: the grant is over.
    #[error(transparent)]
    Host(#[from] HostError),
    /// An object did not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// What opened is no record of this version, or what was to be written is too large.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// Nothing was written: the grant is to read, or nothing was read yet.
    #[error(transparent)]
    Seal(#[from] SealError),
}

impl ReadError {
    /// The variant's name, an inner error's after a dot; stable once released.
    #[must_use]
    pub fn code(&self) -> String {
        match self {
            Self::File(inner) => format!("File.{}", inner.code()),
            Self::Grant(inner) => format!("Grant.{}", inner.code()),
            Self::Head(inner) => format!("Head.{}", inner.code()),
            Self::Host(inner) => format!("Host.{}", inner.code()),
            Self::Open(inner) => format!("Open.{}", inner.code()),
            Self::Payload(inner) => format!("Payload.{}", inner.code()),
            Self::Seal(inner) => format!("Seal.{}", inner.code()),
        }
    }
}

/// A granted dataset, or single objects of one, as the organisation has verified it.
pub struct Reader<'a, H> {
    access: Access<H, &'a LocalSigner>,
    id: GrantId,
    dataset: DatasetId,
    not_after: Timestamp,
    state: State,
    objects: BTreeMap<ObjectId, Vec<u8>>,
    /// How records of older versions are read.
    migrations: Arc<Migrations>,
}

enum State {
    Whole(Box<Replica>, Box<EpochKeys>),
    Part(Box<PartialReplica>),
}

impl Provider {
    /// Opens a grant that came under an agreement of this organisation's. `client` reaches the handover's host.
    ///
    /// # Errors
    /// [`ReadError::Grant`].
    pub fn reader<'a, H: HostClient>(
        &'a self,
        agreement: &Agreement,
        handover: &Handover,
        client: H,
    ) -> Result<Reader<'a, H>, ReadError> {
        let now = system::now();
        let known = |hash: &deedbox_model::Digest| {
            Side::of(agreement, self.keys()).filter(|side| deedbox_record::VerifiedAgreement::hash(side) == *hash)
        };
        let grant = SealedGrant::parse(&handover.grant)?.open(self.keys().seal(), known, now)?;
        let (id, dataset, not_after, store) = (*grant.id(), *grant.dataset(), grant.not_after(), *grant.store());
        let state = match grant.accept(&handover.head)? {
            Granted::Dataset { replica, keys } => State::Whole(Box::new(replica), Box::new(keys)),
            Granted::Objects(part) => State::Part(Box::new(part)),
        };
        let access = Access::of(client, store, handover.capability, self.keys().sign());
        Ok(Reader { access, id, dataset, not_after, state, objects: BTreeMap::new(), migrations: Arc::default() })
    }
}

impl<H: HostClient> Reader<'_, H> {
    /// The same, reading records that older versions of a schema wrote as its newest version has them, as
    /// [`Person::with_migrations`](crate::person::Person::with_migrations) does. Nothing is written by it.
    #[must_use]
    pub fn with_migrations(mut self, migrations: Arc<Migrations>) -> Self {
        self.migrations = migrations;
        self
    }

    /// The grant's id; a later handover of the same id replaces this reader.
    #[must_use]
    pub const fn id(&self) -> &GrantId {
        &self.id
    }

    /// Waits for what the person, or another reader with a right to, writes to the dataset. What the host then tells is a
    /// hint; reading verifies. `after` is the number seen last.
    #[must_use]
    pub fn watch(&self, after: Option<Seq>) -> Watch<'_, H, &LocalSigner> {
        Watch::new(&self.access, self.dataset, after)
    }

    /// Until when the grant may be used.
    #[must_use]
    pub const fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Fetches the present state from the host, verifies it and gives its records, in the order of their names. The person finds a
    /// notice of it.
    ///
    /// # Errors
    /// [`ReadError`]; what was read before stays as it was.
    pub async fn read(&mut self) -> Result<Vec<Record>, ReadError> {
        let now = system::now();
        if now >= self.not_after {
            return Err(GrantError::Expired.into());
        }
        let migrations = &self.migrations;
        let newest = |opened: Opened| Ok(migrations.read(opened.payload())?.into_record());
        let mut records: Vec<Record> = match &mut self.state {
            State::Whole(replica, keys) => {
                let mut download = self.access.download(self.dataset, now).await?;
                if let Some(pin) = replica.pin() {
                    let since = self.access.heads(self.dataset, pin.seq().get(), now).await?;
                    if !since.is_empty() {
                        download.heads = since;
                    }
                }
                let heads: Vec<&[u8]> = download.heads.iter().map(Vec::as_slice).collect();
                let _ = replica.resync(&heads, &changes(&download.rows), keys)?;
                self.objects = download.rows.into_iter().map(|row| (row.object, row.body)).collect();
                let entries = replica.entries().iter().filter(|entry| entry.kind() == Kind::Record.number());
                let open = |object| replica.open(object, self.objects.get(object).ok_or(OpenError::Rejected)?, keys);
                entries.map(|entry| newest(open(entry.object())?)).collect::<Result<Vec<_>, ReadError>>()?
            }
            State::Part(part) => {
                let mut heads = self.access.heads(self.dataset, part.pin().seq().get(), now).await?;
                let (head, leaves) = self.access.leaves(self.dataset, now).await?;
                if heads.is_empty() {
                    // Nothing since the pin: the newest is the pinned one.
                    heads.push(head);
                }
                let ids: Vec<ObjectId> = part.granted().copied().collect();
                let rows = self.access.objects(self.dataset, &ids, now).await?;
                let heads: Vec<&[u8]> = heads.iter().map(Vec::as_slice).collect();
                let _ = part.apply(&heads, &leaves, &changes(&rows))?;
                self.objects = rows.into_iter().map(|row| (row.object, row.body)).collect();
                let entries = part.entries().filter(|entry| entry.kind() == Kind::Record.number());
                let open = |object| part.open(object, self.objects.get(object).ok_or(OpenError::Rejected)?);
                entries.map(|entry| newest(open(entry.object())?)).collect::<Result<Vec<_>, ReadError>>()?
            }
        };
        records.sort_by(|one, next| one.name().cmp(next.name()));
        Ok(records)
    }
}

impl<'a, H: HostClient> Reader<'a, H> {
    /// The file of a record that was read here; `None` when it has none.
    ///
    /// # Errors
    /// [`ReadError::File`]: `Host.NotFound` when the host has lost it, or the person has removed or replaced it meanwhile.
    pub async fn file(&self, record: &Record) -> Result<Option<File<'_, H, &'a LocalSigner>>, ReadError> {
        let file = File::open(&self.access, self.access.store(), &self.dataset, record).await;
        Ok(file.transpose()?)
    }
}

impl<H: HostClient> Reader<'_, H> {
    /// Writes records, where the grant allows it, upon the state that was read last: one takes the place of the record of the
    /// same name, or is added. All of them are written, or none.
    ///
    /// # Errors
    /// [`ReadError::Seal`]: `NoKey` for a grant to read, `NotAccepted` before anything was read; [`ReadError::Host`] with
    /// `Conflict` when somebody else wrote meanwhile: read, and write again.
    pub async fn write(&mut self, records: &[Record]) -> Result<(), ReadError> {
        let (mut rng, now) = (system::rng(), system::now());
        if now >= self.not_after {
            return Err(GrantError::Expired.into());
        }
        let State::Whole(replica, keys) = &mut self.state else { return Err(SealError::NoKey.into()) };
        if replica.head().is_none() {
            return Err(SealError::NotAccepted.into());
        }
        let mut names = BTreeMap::new();
        for (object, bytes) in &self.objects {
            if replica.entry(object).is_some_and(|entry| entry.kind() == Kind::Record.number()) {
                names.insert(record(replica.open(object, bytes, keys))?.name().to_owned(), *object);
            }
        }
        let mut draft = replica.draft();
        for record in records {
            let object = names.get(record.name()).copied().unwrap_or_else(|| ObjectId::generate(&mut rng));
            draft.put(object, record)?;
        }
        let part = draft.sign(keys, now, &mut rng)?;
        let body = wire::CommitBody::new(vec![commit_part(&part)]);
        if self.access.commit(&body, now).await?.status == 409 {
            return Err(HostError::Conflict.into());
        }
        for put in part.puts() {
            self.objects.insert(*put.entry().object(), put.bytes().to_vec());
        }
        let _ = replica.committed(part)?;
        Ok(())
    }
}

/// Prints nothing: which grant it is links those who hold it.
impl<H> fmt::Debug for Reader<'_, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

fn record(opened: Result<Opened, OpenError>) -> Result<Record, ReadError> {
    Ok(Record::decode(opened?.payload())?)
}

fn changes(rows: &[Row]) -> Vec<ChangedObject<'_>> {
    rows.iter()
        .map(|row| ChangedObject::Put { object: row.object, seq: row.seq, kind: row.kind, bytes: &row.body })
        .collect()
}
