//! Documents, scans and other files beside the fields: stored and read as streams, erased with their field.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read, Write as _},
};

use deedbox_audit::{Entry, EntryKind};
use deedbox_cbor::{ItemBuf, Limits, Writer};
use deedbox_model::{Assurance, BlobId, DatasetId, FieldPath, Name, ObjectId, Provenance, Timestamp};
use deedbox_record::{BlobError, BlobSealer, Dataset, Granularity, Kind, Record};
use deedbox_store::BLOB_PART;
use zeroize::Zeroizing;

use super::{
    Change, FILES, Open, Person, dataset_of,
    import::{may_replace, provide, title},
    sibling::Placed,
};
use crate::{
    client::{HostClient, Owner},
    error::PersonError,
    file::{File, FileError},
    system,
};

/// A file to be stored.
#[derive(Clone, Copy)]
#[expect(clippy::exhaustive_structs, reason = "callers build it")]
pub struct NewFile<'a> {
    /// Where it belongs among the person's fields: `documents.passport`. The first segment is the dataset.
    pub path: &'a FieldPath,
    /// What the person calls it: `passport.pdf`.
    pub title: &'a str,
    /// Its media type, 1 to 1,024 bytes.
    pub media: Option<&'a str>,
    /// Whose word it is, as with [`Person::import`].
    pub source: &'a str,
}

impl<H: HostClient> Person<Open<H>> {
    /// Stores a file of up to 4 TiB as a field: the title is the field's value, the content lies beside it. It is read and sent
    /// part by part, in the memory of a few parts. A field or file that was at the path is replaced; what another device put
    /// there at the same time stays beside it ([`Person::siblings`]).
    ///
    /// The file is there once this returns, whole, and until then not at all. What was sent of one that was not finished opens
    /// for nobody, and the host removes it after a while; if the way broke between the last part and the commit, the host keeps
    /// it, which costs room and nothing else.
    ///
    /// ```
    /// # #[cfg(feature = "host")] {
    /// # use std::sync::Arc;
    /// # use deedbox::{LocalHost, host::{Admission, Config, Host, MemoryStorage, system_clock}};
    /// use deedbox::{parts::model::FieldPath, person::{NewFile, Person}};
    ///
    /// # let mut config = Config::default();
    /// # config.admission = Admission::Open;
    /// # let client = LocalHost::new(Arc::new(Host::new(MemoryStorage::new(), system_clock, config)), "https://host.example");
    /// # pollster::block_on(async {
    /// let (mut person, _keepsake) = Person::create(client, "correct horse battery staple").await?;
    /// let path = FieldPath::parse("documents.passport")?;
    /// let scan = NewFile { path: &path, title: "passport.pdf", media: Some("application/pdf"), source: "myself" };
    /// person.store_file(&scan, &mut &b"a scan of any size, from whatever is `Read`"[..]).await?;
    ///
    /// let mut file = person.file(&path).await?;
    /// let mut word = [0; 4];
    /// file.read_at(2, &mut word).await?; // fetches and verifies what it touches
    /// assert_eq!((&word, file.title()), (b"scan", "passport.pdf"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`PersonError::File`]: `Blob.Io` when `content` can't be read; [`PersonError::Host`], [`PersonError::FieldName`],
    /// [`PersonError::Payload`]; [`PersonError::IssuerOwned`] where somebody else's signed value stands;
    /// [`PersonError::Conflict`] when another device wrote meanwhile.
    pub async fn store_file(&mut self, file: &NewFile<'_>, content: &mut impl Read) -> Result<(), PersonError> {
        let now = system::now();
        let open = &mut self.state;
        let group = group(file.path);
        Name::escape(&group).map_err(|_| PersonError::FieldName)?;
        let title = title(file.path.segments().next().unwrap_or_default());
        let base = open.base(&title, file.path.as_str())?;
        if dataset_of(&open.keyring, &title).is_err() {
            // The content is sealed for its dataset, whoever makes it.
            let make = |open: &Open<H>| {
                let (mut change, mut keyring) = (open.change(), open.keyring.working_copy()?);
                provide(&title, &mut keyring, &mut change)?;
                change.with_datasets(keyring);
                Ok((change, ()))
            };
            open.write_with(now, make).await?;
        }
        let dataset = open.dataset(&title)?;
        if dataset.granularity() != Granularity::Field {
            return Err(PersonError::NotFound);
        }
        let mut value = Writer::new();
        value.text(file.title);
        let value = ItemBuf::parse(value.as_slice(), &Limits::new(MAX_TITLE)).map_err(|_| PersonError::FieldName)?;
        let provenance = Provenance::new(file.source.as_bytes(), Assurance::Declared, now);
        let may_stand = |open: &Open<H>, dataset: &Dataset| -> Result<(), PersonError> {
            let shelf = open.shelves.get(dataset.id()).ok_or(PersonError::Damaged)?;
            match shelf.record(dataset, file.path.as_str())? {
                Some(there) if !may_replace(&there, &provenance) => Err(PersonError::IssuerOwned),
                _ => Ok(()),
            }
        };
        may_stand(open, dataset)?;
        let record = Record::new(&group, 1, file.path.as_str(), value)?.with_provenance(provenance.clone());
        let id = *dataset.id();

        let sealer = BlobSealer::start(dataset.store(), dataset.id(), &mut system::rng(), Vec::new());
        let upload = Upload { sealer: sealer.map_err(FileError::Blob)?, sent: 0 };
        let blob = *upload.sealer.blob();
        let sent = upload.send(&open.owner, content, file.media).await;
        let sent = match sent {
            Ok(reference) => record.with_blob(reference).encode().map_err(PersonError::from),
            Err(error) => Err(error.into()),
        };
        let stored = match sent {
            Ok(record) => {
                let make = |open: &Open<H>| {
                    let dataset = open.keyring.dataset(&id).ok_or(PersonError::Conflict)?;
                    may_stand(open, dataset)?;
                    let mut change = open.change();
                    let placed = open.put(&mut change, dataset, Record::decode(&record)?, &base)?;
                    change.log(Entry::new(now, EntryKind::Receipt, None, open.policy_digest()));
                    Ok((change, placed))
                };
                open.write_with(system::now(), make).await
            }
            Err(error) => Err(error),
        };
        let is_idle = match &stored {
            Ok(placed) => *placed == Placed::There,
            Err(error) => matches!(
                error,
                PersonError::Conflict | PersonError::IssuerOwned | PersonError::File(_) | PersonError::Payload(_)
            ),
        };
        if is_idle {
            // Nothing names it, and nothing will. If the host does not hear of it, that costs room and nothing else.
            let _ = open.owner.purge_blob(blob, now).await;
        }
        stored.map(|_| ())
    }

    /// The file at a path.
    ///
    /// # Errors
    /// [`PersonError::NotFound`] when there is no field, or no file with it; [`PersonError::Open`]; [`PersonError::File`] when
    /// the host has lost the file, or keeps another in its place.
    pub async fn file(&self, path: &FieldPath) -> Result<File<'_, H>, PersonError> {
        let (dataset, _, record) = self.state.at(path)?;
        let file = File::open(&self.state.owner, dataset.store(), dataset.id(), &record).await;
        Ok(file.ok_or(PersonError::NotFound)??)
    }
}

/// Prints no path and no title.
impl std::fmt::Debug for NewFile<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewFile").field("media", &self.media).finish_non_exhaustive()
    }
}

/// A file on its way to the host.
struct Upload {
    sealer: BlobSealer<Vec<u8>>,
    sent: u64,
}

impl Upload {
    async fn send<H: HostClient>(
        mut self,
        owner: &Owner<H>,
        content: &mut impl Read,
        media: Option<&str>,
    ) -> Result<deedbox_record::BlobRef, FileError> {
        let mut buffer = Zeroizing::new(vec![0; READ]);
        loop {
            let len = match content.read(&mut buffer) {
                Ok(0) => break,
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(BlobError::Io(error.kind()).into()),
            };
            let read = buffer.get(..len).ok_or(BlobError::Limit)?;
            self.sealer.write_all(read).map_err(|_| BlobError::Limit)?;
            self.pass_on(owner).await?;
        }
        while self.sealer.pad()? {
            self.pass_on(owner).await?;
        }
        let Self { sealer, sent } = self;
        let blob = *sealer.blob();
        let (reference, rest) = sealer.finish(media)?;
        let (mut sent, mut rest) = (sent, rest.as_slice());
        loop {
            let (part, later) = rest.split_at(rest.len().min(PART));
            owner.blob_append(blob, sent, part, later.is_empty(), system::now()).await?;
            sent = sent.saturating_add(part.len() as u64);
            rest = later;
            if rest.is_empty() {
                return Ok(reference);
            }
        }
    }

    /// Sends whole parts, and leaves what is less.
    async fn pass_on<H: HostClient>(&mut self, owner: &Owner<H>) -> Result<(), FileError> {
        let blob = *self.sealer.blob();
        let sealed = self.sealer.get_mut();
        let mut taken = 0_usize;
        while let Some(part) = sealed.get(taken..taken.saturating_add(PART)) {
            owner.blob_append(blob, self.sent, part, false, system::now()).await?;
            self.sent = self.sent.saturating_add(BLOB_PART);
            taken = taken.saturating_add(PART);
        }
        sealed.drain(..taken);
        Ok(())
    }
}

/// Blobs that no record names any more, and that the host is to remove: in the box from the commit that freed them on, so
/// that none is forgotten when something breaks in between.
#[derive(Default)]
pub(super) struct Leftovers {
    /// Whether the host has removed it.
    blobs: BTreeMap<BlobId, bool>,
}

impl Leftovers {
    pub(super) fn read(records: &[Record]) -> Result<Self, PersonError> {
        let blob = |record: &Record| {
            let id = record.value().as_item().as_byte_array().ok_or(PersonError::Damaged)?;
            Ok((BlobId::from_bytes(id), false))
        };
        Ok(Self { blobs: records.iter().map(blob).collect::<Result<_, PersonError>>()? })
    }

    /// A commit that took those out that were removed, and put these in.
    pub(super) fn committed(&mut self, freed: BTreeSet<BlobId>) {
        self.blobs.retain(|_, is_removed| !*is_removed);
        self.blobs.extend(freed.into_iter().map(|blob| (blob, false)));
    }
}

impl<H: HostClient> Open<H> {
    /// The blobs that an object of the person's names.
    pub(super) fn blobs_of(&self, dataset: &DatasetId, object: &ObjectId) -> Result<Vec<BlobId>, PersonError> {
        let entry = self.keyring.dataset(dataset).filter(|dataset| dataset.granularity() == Granularity::Field);
        let (Some(entry), Some(shelf)) = (entry, self.shelves.get(dataset)) else { return Ok(Vec::new()) };
        let is_record = shelf.replica.entry(object).is_some_and(|entry| entry.kind() == Kind::Record.number());
        // What does not open names no blob, and must not hold up whoever takes it out.
        let opened = shelf.open(object, entry.keys()).ok().flatten().filter(|_| is_record);
        let record = opened.and_then(|opened| Record::decode(opened.payload()).ok());
        Ok(record.map_or_else(Vec::new, |record| record.blobs().iter().map(|blob| *blob.blob()).collect()))
    }

    /// Notes in a change which blobs it frees, and takes the notes out that are done with.
    pub(super) fn free_blobs(&self, change: &mut Change) -> Result<(), PersonError> {
        let written = change.records.iter().map(|(dataset, object, _)| (dataset, object));
        let gone = change.purges.iter().map(|(dataset, object)| (dataset, object));
        let mut freed = BTreeSet::new();
        for (dataset, object) in written.chain(gone) {
            freed.extend(self.blobs_of(dataset, object)?);
        }
        let still = change.records.iter().flat_map(|(_, _, record)| record.blobs());
        still.for_each(|blob| {
            freed.remove(blob.blob());
        });
        let done = self.leftovers.blobs.iter().filter(|(_, is_removed)| **is_removed);
        let done: Vec<&BlobId> = done.map(|(blob, _)| blob).collect();
        if freed.is_empty() && done.is_empty() {
            return Ok(());
        }
        let dataset = self.dataset(FILES)?;
        for blob in done {
            change.purges.push((*dataset.id(), dataset.name_key().object_id(&blob.to_string())));
        }
        for blob in &freed {
            let mut value = Writer::new();
            blob.encode(&mut value);
            let value = ItemBuf::parse(value.as_slice(), &Limits::new(32)).map_err(|_| PersonError::Damaged)?;
            let name = blob.to_string();
            change.records.push((
                *dataset.id(),
                dataset.name_key().object_id(&name),
                Record::new(FILES, 1, &name, value)?,
            ));
        }
        change.freed = freed;
        Ok(())
    }

    /// Has the host remove what no record names any more.
    pub(super) async fn purge_leftovers(&mut self, now: Timestamp) -> Result<(), PersonError> {
        for (blob, is_removed) in self.leftovers.blobs.iter_mut().filter(|(_, is_removed)| !**is_removed) {
            self.owner.purge_blob(*blob, now).await?;
            *is_removed = true;
        }
        Ok(())
    }
}

/// The path without positions, as an import groups fields: what a person decides about.
fn group(path: &FieldPath) -> String {
    let is_position = |segment: &&str| segment.bytes().all(|byte| byte.is_ascii_digit());
    path.segments().filter(|segment| !is_position(segment)).collect::<Vec<_>>().join(".")
}

/// Content that is read at once.
const READ: usize = 256 << 10;
/// Sealed bytes that are sent at once.
const PART: usize = 1 << 20;
/// A title of 1,024 bytes.
const MAX_TITLE: usize = 1_024 + 3;
