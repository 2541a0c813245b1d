//! A file beside its record: read from the host by ranges, verified before any of it is given out.

use std::{
    borrow::Borrow,
    fmt,
    io::{self, Write},
};

use deedbox_cose::LocalSigner;
use deedbox_host::HostError;
use deedbox_model::{BlobId, DatasetId, Digest, StoreName};
use deedbox_record::{BlobError, BlobReader, BlobRef, ReadAt, Record};
use deedbox_store::BLOB_PART;

use crate::{
    client::{Access, HostClient},
    system,
};

/// A file in a person's box. It is read from the host as it is asked for, in the memory of one part of 1 MiB, however large it
/// is.
pub struct File<'a, H, S = LocalSigner> {
    access: &'a Access<H, S>,
    blob: BlobId,
    title: String,
    media: Option<String>,
    sha256: Digest,
    reader: BlobReader<Ahead>,
}

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The file is not the one that was stored, or could not be written to where it goes. `Truncated`, `Extended`, `Rejected`:
    /// the host keeps something else in its place; alert the person if it repeats.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The host refused, or can't be reached. `NotFound`: it lost the file, or withholds it.
    #[error(transparent)]
    Host(#[from] HostError),
}

impl FileError {
    /// The variant's name, and an inner error's after a dot; stable once released.
    #[must_use]
    pub fn code(&self) -> String {
        match self {
            Self::Blob(inner) => format!("Blob.{}", inner.code()),
            Self::Host(inner) => format!("Host.{}", inner.code()),
        }
    }
}

impl<'a, H: HostClient, S: Borrow<LocalSigner> + Sync> File<'a, H, S> {
    /// Begins to read the file that a record is about; `None` when it is about none.
    pub(crate) async fn open(
        access: &'a Access<H, S>,
        store: &StoreName,
        dataset: &DatasetId,
        record: &Record,
    ) -> Option<Result<Self, FileError>> {
        let reference = record.blobs().first()?;
        let title = record.value().as_item().as_str().unwrap_or_default().to_owned();
        Some(Self::begin(access, store, dataset, reference, title).await)
    }

    async fn begin(
        access: &'a Access<H, S>,
        store: &StoreName,
        dataset: &DatasetId,
        reference: &BlobRef,
        title: String,
    ) -> Result<Self, FileError> {
        let blob = *reference.blob();
        let mut ahead = Ahead { size: reference.sealed_len(), start: 0, bytes: Vec::new(), asked: None };
        ahead.fetch(access, blob, FIRST).await?;
        let reader = BlobReader::open(store, dataset, reference, ahead)?;
        let (media, sha256) = (reference.media().map(str::to_owned), *reference.sha256());
        Ok(Self { access, blob, title, media, sha256, reader })
    }

    /// What the person calls it, such as `passport.pdf`.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Its media type, as whoever stored it said.
    #[must_use]
    pub fn media(&self) -> Option<&str> {
        self.media.as_deref()
    }

    /// Bytes of its content.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.reader.length()
    }

    /// SHA-256 of its content.
    #[must_use]
    pub const fn sha256(&self) -> &Digest {
        &self.sha256
    }

    /// Fills `buf` with the content from `offset` on, as far as there is any, and gives the number of bytes. Only what holds
    /// them is fetched, and every byte given is authentic and at its place; nothing is said of the rest of the file.
    ///
    /// # Errors
    /// [`FileError`]; `buf` may then hold some of the content.
    pub async fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize, FileError> {
        let mut read = 0_usize;
        // A piece is always found in one part with the chunks around it.
        for piece in buf.chunks_mut(PIECE) {
            let at = u64::try_from(read).ok().and_then(|read| offset.checked_add(read)).ok_or(BlobError::Limit)?;
            let sealed = u64::try_from(piece.len()).unwrap_or(BLOB_PART).saturating_add(AROUND);
            self.reader.source_mut().asked = None;
            let len = loop {
                match self.reader.read_at(at, piece) {
                    Err(BlobError::Io(io::ErrorKind::WouldBlock)) => {
                        self.reader.source_mut().fetch(self.access, self.blob, sealed).await?;
                    }
                    done => break done?,
                }
            };
            read = read.saturating_add(len);
            if len < piece.len() {
                break;
            }
        }
        Ok(read)
    }

    /// Writes the whole content to `out`, part by part.
    ///
    /// # Errors
    /// [`FileError`].
    ///
    /// # Security
    /// What is written is authentic part by part. That it is all, and what was stored, is known only when this returns without
    /// an error: until then treat what came out as a part, and remove it if there is an error.
    pub async fn copy_to(&mut self, out: &mut impl Write) -> Result<(), FileError> {
        let mut content = self.reader.content();
        content.source_mut().asked = None;
        loop {
            match content.next() {
                Ok(Some(piece)) => {
                    out.write_all(piece).map_err(|error| BlobError::Io(error.kind()))?;
                    content.source_mut().asked = None;
                }
                Ok(None) => break,
                Err(BlobError::Io(io::ErrorKind::WouldBlock)) => {
                    content.source_mut().fetch(self.access, self.blob, BLOB_PART).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(out.flush().map_err(|error| BlobError::Io(error.kind()))?)
    }
}

#[cfg(feature = "person")]
impl<H: HostClient, S: Borrow<LocalSigner> + Sync> File<'_, H, S> {
    /// Gives the sealed bytes in parts of 1 MiB, each once the content in it is verified. Nothing was read of the file before.
    pub(crate) async fn sealed_parts<E: From<FileError>>(
        &mut self,
        mut give: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let part = usize::try_from(BLOB_PART).unwrap_or(usize::MAX);
        let mut sealed = self.reader.source_mut().bytes.clone();
        let mut content = self.reader.content();
        loop {
            content.source_mut().asked = None;
            match content.next() {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(BlobError::Io(io::ErrorKind::WouldBlock)) => {
                    while let Some(whole) = sealed.get(..part) {
                        give(whole)?;
                        sealed.drain(..part);
                    }
                    let ahead = content.source_mut();
                    let new = ahead.fetch(self.access, self.blob, BLOB_PART).await?;
                    sealed.extend_from_slice(ahead.bytes.get(new..).unwrap_or_default());
                }
                Err(error) => return Err(FileError::from(error).into()),
            }
        }
        sealed.chunks(part).try_for_each(give)
    }
}

/// Prints the length.
impl<H, S> fmt::Debug for File<'_, H, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").field("reader", &self.reader).finish_non_exhaustive()
    }
}

/// What was fetched of a blob and not yet used up.
pub(crate) struct Ahead {
    size: u64,
    start: u64,
    bytes: Vec<u8>,
    /// The first byte that the read under way asked for.
    asked: Option<u64>,
}

impl Ahead {
    /// Fetches about `len` bytes more from what is asked for on. It keeps what it holds of that, and nothing before; gives
    /// how much that is.
    async fn fetch<H: HostClient, S: Borrow<LocalSigner> + Sync>(
        &mut self,
        access: &Access<H, S>,
        blob: BlobId,
        len: u64,
    ) -> Result<usize, FileError> {
        let asked = self.asked.unwrap_or_default();
        let used = asked.checked_sub(self.start).and_then(|used| usize::try_from(used).ok());
        match used.filter(|used| *used <= self.bytes.len()) {
            Some(used) => self.bytes.drain(..used),
            None => self.bytes.drain(..),
        };
        self.start = asked;
        let first = u64::try_from(self.bytes.len()).ok().and_then(|held| self.start.checked_add(held));
        let first = first.ok_or(BlobError::Limit)?;
        let len = len.min(BLOB_PART).min(self.size.saturating_sub(first));
        if len == 0 {
            return Err(BlobError::Truncated.into());
        }
        let answer = access.blob_read(blob, first, len, system::now()).await;
        let (bytes, size) = match answer {
            Err(HostError::WrongOffset { .. }) => return Err(BlobError::Truncated.into()),
            answer => answer?,
        };
        self.size = size;
        // A host that gives less than there is would hold us for long.
        if u64::try_from(bytes.len()).ok() != Some(len.min(size.saturating_sub(first))) {
            return Err(BlobError::Truncated.into());
        }
        let held = self.bytes.len();
        self.bytes.extend_from_slice(&bytes);
        Ok(held)
    }
}

impl ReadAt for Ahead {
    fn size(&mut self) -> io::Result<u64> {
        Ok(self.size)
    }

    fn read_exact_at(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.asked = Some(self.asked.map_or(offset, |asked| asked.min(offset)));
        let from = offset.checked_sub(self.start).and_then(|from| usize::try_from(from).ok());
        let held = from.and_then(|from| self.bytes.get(from..)?.get(..buf.len()));
        buf.copy_from_slice(held.ok_or(io::ErrorKind::WouldBlock)?);
        Ok(())
    }
}

/// What is fetched first of a file: its head and two chunks, and so all of a small one.
const FIRST: u64 = 64 + AROUND;
/// Sealed bytes of the chunks in which a piece begins and ends.
const AROUND: u64 = 2 * 16_400;
/// Content that is read at once: with its tags and the chunks around it less than a part.
const PIECE: usize = 960 << 10;
