use std::{
    fmt,
    io::{self, Read, Seek, SeekFrom, Write},
};

use deedbox_host::{HostError, wire};
use deedbox_interop::portable::{Portable, PortableField};
use deedbox_model::{DatasetId, FieldPath, StoreName, Timestamp};
use deedbox_record::{
    BundleError, BundleReader, BundleWriter, ChangedObject, Dataset, Granularity, Record, Root, VerifiedBundle,
};
use deedbox_store::Mode;

use super::{CREDENTIALS, Open, Person, Secret, unlock};
use crate::{
    client::{HostClient, Owner, header},
    error::PersonError,
    file::{File, FileError},
    system,
};

/// What an export wrote.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exported {
    /// Bytes of the bundle.
    pub bytes: u64,
    /// Files that are not in it: the host has lost them, or keeps something else in their place.
    pub lost: Vec<FieldPath>,
}

/// Prints counts, no path.
impl fmt::Debug for Exported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exported").field("bytes", &self.bytes).field("lost", &self.lost.len()).finish()
    }
}

impl<H: HostClient> Person<Open<H>> {
    /// Writes the whole box, files included, as one bundle, which verifies alone and opens with any of its secrets. It is
    /// written part by part: files take the memory of a few parts.
    ///
    /// # Errors
    /// [`PersonError::Bundle`]: `Io` when `out` fails; [`PersonError::Host`]; [`PersonError::File`] when a file turns out not to
    /// be what was stored. What was written then is no bundle.
    pub async fn export(&self, out: &mut impl Write) -> Result<Exported, PersonError> {
        let open = &self.state;
        let mut bundle = BundleWriter::new(&open.header, open.epoch, &open.share, system::now());
        let mut sink = Sink { out, bytes: 0 };
        let shelves = [(&DatasetId::META, &open.meta)].into_iter().chain(&open.shelves);
        for (dataset, shelf) in shelves {
            bundle.dataset(dataset, shelf.head())?;
            for (entry, bytes) in shelf.sealed() {
                bundle.object(entry.object(), entry.seq(), entry.kind(), bytes)?;
                sink.write(&bundle.take())?;
            }
        }
        let mut lost = Vec::new();
        for (dataset, record) in open.filed()? {
            let Some(reference) = record.blobs().first() else { continue };
            let mut file = match File::open(&open.owner, dataset.store(), dataset.id(), &record).await {
                Some(Ok(file)) => file,
                Some(Err(FileError::Blob(_) | FileError::Host(HostError::NotFound))) | None => {
                    lost.push(FieldPath::parse(record.name()).map_err(|_| PersonError::Damaged)?);
                    continue;
                }
                Some(Err(error)) => return Err(error.into()),
            };
            bundle.blob(reference.blob(), reference.sealed_len())?;
            file.sealed_parts(|part| {
                bundle.blob_part(part)?;
                sink.write(&bundle.take())
            })
            .await?;
        }
        sink.write(&bundle.finish(&open.root.meta_keys(&open.share, open.epoch))?)?;
        sink.out.flush().map_err(|error| BundleError::Io(error.kind()))?;
        Ok(Exported { bytes: sink.bytes, lost })
    }

    /// What the box holds, in the clear and with whose word each value is: for any other system to read, as CBOR or JSON. It
    /// opens without a secret, so it is as private as its content; to move a box see [`Person::export`].
    ///
    /// # Errors
    /// [`PersonError::Open`] when an object is not what was signed.
    pub fn export_portable(&self) -> Result<Portable, PersonError> {
        let open = &self.state;
        let mut fields = Vec::new();
        for dataset in open.keyring.datasets() {
            let (title, is_own) = (dataset.title(), dataset.granularity() == Granularity::Record);
            if is_own && title != CREDENTIALS {
                continue;
            }
            let shelf = open.shelves.get(dataset.id()).ok_or(PersonError::Damaged)?;
            for record in shelf.records(dataset)? {
                let provenance = record.provenance().cloned();
                fields.push(PortableField::new(
                    title,
                    record.name(),
                    record.schema(),
                    record.value().clone(),
                    provenance,
                ));
            }
        }
        fields.sort_by(|one, next| (one.dataset(), one.path()).cmp(&(next.dataset(), next.path())));
        Ok(Portable::new(*open.root.store(), system::now(), fields))
    }

    /// Brings an exported box to a host and opens it there. All of it is verified before the first byte reaches the host, and it
    /// is there at once or not at all; the box keeps its identity, keys, rules, connections and log. The bundle is read twice,
    /// in the memory of everything but its files.
    ///
    /// Whoever has a grant is let in at the new host, and has to be told its address: see [`Person::outdated_grants`].
    ///
    /// If it was interrupted, calling it again goes on.
    ///
    /// # Errors
    /// [`PersonError::Bundle`], [`PersonError::Unlock`]; [`PersonError::Host`] when the host does not take it: `Conflict` when it
    /// has another state of the box; [`PersonError::Conflict`] when it has the box already.
    pub async fn import_bundle(
        client: H,
        bundle: &mut (impl Read + Seek),
        secret: &Secret<'_>,
    ) -> Result<Self, PersonError> {
        let (start, root, verified) = read(bundle, secret)?;
        let owner = Owner::new(client, &root);
        settle(&owner, &root, &verified, system::now()).await?;
        send_blobs(&owner, bundle, start, &verified).await?;
        let mut commit = Vec::new();
        for (dataset, replica) in verified.datasets().iter().zip(verified.replicas()) {
            let seq = replica.head().ok_or(PersonError::Damaged)?.seq();
            let mut part = wire::PartBody::new(*dataset.dataset(), None, seq, dataset.head(), Mode::Replace);
            for object in dataset.objects() {
                if let ChangedObject::Put { object, seq, kind, bytes } = object {
                    part.puts.push(wire::Object::new(object, seq, kind, bytes));
                }
            }
            commit.push(part);
        }
        if owner.commit(&wire::CommitBody::new(commit), system::now()).await?.status == 409 {
            return Err(PersonError::Conflict);
        }
        let header = verified.header().clone();
        // Read back from the new host: what it keeps is what was verified, or it does not open.
        let moved = Self { state: Open::load(owner, root, header, None).await? };
        moved.admit_grantees(system::now()).await?;
        Ok(moved)
    }
}

impl<H: HostClient> Open<H> {
    /// Records with files, in the order of the files' ids.
    pub(super) fn filed(&self) -> Result<Vec<(&Dataset, Record)>, PersonError> {
        let mut filed = Vec::new();
        for (dataset, shelf) in self.fields() {
            let records = shelf.records(dataset)?.into_iter().filter(|record| !record.blobs().is_empty());
            filed.extend(records.map(|record| (dataset, record)));
        }
        filed.sort_by_key(|(_, record)| record.blobs().first().map(|reference| *reference.blob()));
        Ok(filed)
    }
}

/// Reads and verifies a bundle, and tells where it begins.
pub(super) fn read(
    bundle: &mut (impl Read + Seek),
    secret: &Secret<'_>,
) -> Result<(u64, Root, VerifiedBundle), PersonError> {
    let start = bundle.stream_position().map_err(|error| BundleError::Io(error.kind()))?;
    let mut reader = BundleReader::new();
    let mut piece = vec![0; PIECE];
    while let Some(bytes) = next(bundle, &mut piece)? {
        reader.push(bytes)?;
    }
    let parsed = reader.finish()?;
    let root = unlock(parsed.header(), secret)?;
    let verified = parsed.verify(&root)?;
    Ok((start, root, verified))
}

/// Sends the files of a bundle that begins at `start`, those that the host has not.
pub(super) async fn send_blobs<H: HostClient>(
    owner: &Owner<H>,
    bundle: &mut (impl Read + Seek),
    start: u64,
    verified: &VerifiedBundle,
) -> Result<(), PersonError> {
    if verified.blobs().is_empty() {
        return Ok(());
    }
    bundle.seek(SeekFrom::Start(start)).map_err(|error| BundleError::Io(error.kind()))?;
    let mut piece = vec![0; PIECE];
    let mut parts = verified.blob_parts();
    while let Some(bytes) = next(bundle, &mut piece)? {
        parts.push(bytes);
        while let Some((part, is_last)) = parts.next()? {
            let (blob, now) = (*part.blob(), system::now());
            owner.blob_resume(blob, part.offset(), part.bytes(), is_last, now).await?;
        }
    }
    parts.finish()?;
    Ok(())
}

/// Makes the store at a host, with its share and names, or finds what an attempt before made. It holds nothing yet.
async fn settle<H: HostClient>(
    owner: &Owner<H>,
    root: &Root,
    bundle: &VerifiedBundle,
    now: Timestamp,
) -> Result<(), PersonError> {
    let (store, own) = (*root.store(), bundle.header().bytes());
    match owner.create(store, own, *root.access_key().public().as_bytes()).await {
        Err(HostError::Conflict) => {
            let held = header(owner.client(), store).await?;
            if wire::versioned_from_bytes(&held).map_or(held.as_slice(), |(_, header)| header) != own {
                return Err(HostError::Conflict.into());
            }
        }
        done => done?,
    }
    let share = bundle.share().expose();
    if owner.share_or_put(bundle.keyring_epoch().get(), share, now).await? != *share {
        return Err(HostError::Conflict.into());
    }
    let names = bundle.replicas().iter().map(|replica| *replica.store());
    for name in names.filter(|name| *name != StoreName::from(store)) {
        owner.put_alias(name, now).await?;
    }
    Ok(())
}

struct Sink<'a, W> {
    out: &'a mut W,
    bytes: u64,
}

impl<W: Write> Sink<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), PersonError> {
        self.out.write_all(bytes).map_err(|error| BundleError::Io(error.kind()))?;
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        Ok(())
    }
}

/// The next bytes of a file; `None` at its end.
fn next<'a>(file: &mut impl Read, piece: &'a mut [u8]) -> Result<Option<&'a [u8]>, BundleError> {
    loop {
        match file.read(piece) {
            Ok(0) => return Ok(None),
            Ok(len) => return Ok(piece.get(..len)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(BundleError::Io(error.kind())),
        }
    }
}

/// Bytes of a bundle that are read at once.
const PIECE: usize = 256 << 10;
