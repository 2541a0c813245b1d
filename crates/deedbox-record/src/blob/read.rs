use alloc::{vec, vec::Vec};
use core::fmt;
use std::{
    fs::File,
    io::{self, Read, Seek as _, SeekFrom, Write},
};

use deedbox_crypto::{
    ct,
    hash::{Sha256, sha256},
};
use deedbox_model::{DatasetId, Digest, StoreName};
use zeroize::{Zeroize as _, Zeroizing};

use super::{check_length, check_size, finished};
use crate::{
    BlobError, BlobRef, Kind, Opened,
    address::Place,
    chunk::{CHUNK, Chunks, HEAD, SEALED_CHUNK, TAG},
    container,
    wipe::Wiped,
};

/// Bytes that can be read from any offset: a slice, a file, a host's answers to range requests.
///
/// Nothing read is trusted, so an implementation need not check anything. A [`BlobReader`] asks for 64 bytes once, then for
/// one sealed chunk of at most 16,400 bytes at a time, in ascending order within one call: whoever pays per request fetches
/// more at once and answers the next ones from that.
///
/// ```
/// use std::io;
///
/// use deedbox_record::ReadAt;
///
/// /// An object at a host that answers range requests.
/// struct Remote<F> {
///     size: u64,
///     fetch: F,
///     ahead: (u64, Vec<u8>),
/// }
///
/// impl<F: FnMut(std::ops::Range<u64>) -> io::Result<Vec<u8>>> ReadAt for Remote<F> {
///     fn size(&mut self) -> io::Result<u64> {
///         Ok(self.size)
///     }
///
///     fn read_exact_at(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
///         let held = |ahead: &(u64, Vec<u8>)| {
///             let from = usize::try_from(offset.checked_sub(ahead.0)?).ok()?;
///             ahead.1.get(from..from.checked_add(buf.len())?).map(<[u8]>::to_vec)
///         };
///         let bytes = match held(&self.ahead) {
///             Some(bytes) => bytes,
///             None => {
///                 let end = self.size.min(offset + (1 << 20));
///                 self.ahead = (offset, (self.fetch)(offset..end)?);
///                 held(&self.ahead).ok_or(io::ErrorKind::UnexpectedEof)?
///             }
///         };
///         buf.copy_from_slice(&bytes);
///         Ok(())
///     }
/// }
/// # let mut rng = deedbox_testkit::rng::SeededRng::new(1);
/// # let (store, dataset) = (deedbox_model::StoreName::generate(&mut rng), deedbox_model::DatasetId::generate(&mut rng));
/// # let (object, reference) = deedbox_record::seal_blob(&store, &dataset, &[7; 100_000], None, &mut rng)?;
/// # let mut requests = 0;
/// # let fetch = |range: std::ops::Range<u64>| { requests += 1; Ok(object[range.start as usize..range.end as usize].to_vec()) };
/// # let remote = Remote { size: object.len() as u64, fetch, ahead: (0, Vec::new()) };
/// # let mut reader = deedbox_record::BlobReader::open(&store, &dataset, &reference, remote)?;
/// # assert_eq!(reader.read_all()?.payload(), [7; 100_000]);
/// # drop(reader);
/// # assert_eq!(requests, 1);
/// # Ok::<(), deedbox_record::BlobError>(())
/// ```
pub trait ReadAt {
    /// How many bytes there are.
    ///
    /// # Errors
    /// Its own.
    fn size(&mut self) -> io::Result<u64>;

    /// Fills `buf` with the bytes from `offset` on.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] when there are fewer; otherwise its own.
    fn read_exact_at(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<()>;
}

impl ReadAt for &[u8] {
    fn size(&mut self) -> io::Result<u64> {
        u64::try_from(self.len()).map_err(io::Error::other)
    }

    fn read_exact_at(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let from = usize::try_from(offset).ok().and_then(|offset| self.get(offset..)?.get(..buf.len()));
        buf.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// Moves the file's cursor.
impl ReadAt for File {
    fn size(&mut self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_exact_at(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.seek(SeekFrom::Start(offset))?;
        self.read_exact(buf)
    }
}

impl<R: ReadAt + ?Sized> ReadAt for &mut R {
    fn size(&mut self) -> io::Result<u64> {
        (**self).size()
    }

    fn read_exact_at(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        (**self).read_exact_at(offset, buf)
    }
}

/// Reads a blob from any offset, in the memory of one chunk; verifies what it touches and nothing else.
///
/// Every byte that it gives out is authentic and at its place, and none stands beyond the length that the reference names.
/// That the rest of the blob is there and right is known only once it was read: [`BlobReader::verify_len`] looks at the end,
/// [`BlobReader::read_all`] and [`BlobReader::copy_to`] at everything.
///
/// It is a [`Read`] too, from the beginning on.
///
/// # Security
/// A chunk is authentic against whoever never had the record. Somebody whom it was shown has the blob's key, and could,
/// with the host's help, put other bytes in the same blob's place. Against those only the content's SHA-256 protects, which
/// is compared when all of it is read.
pub struct BlobReader<R> {
    source: R,
    chunks: Chunks,
    length: u64,
    body: u64,
    sha256: Digest,
    /// Of the implementation of [`Read`].
    position: u64,
    chunk: Zeroizing<Vec<u8>>,
    /// Which chunk stands opened in `chunk`.
    held: Option<u64>,
}

impl<R: ReadAt> BlobReader<R> {
    /// Begins to read the blob that `reference` names: checks its size, its first 64 bytes and that they commit to the key.
    ///
    /// # Errors
    /// As [`open_blob`](crate::open_blob); [`BlobError::Io`].
    pub fn open(store: &StoreName, dataset: &DatasetId, reference: &BlobRef, mut source: R) -> Result<Self, BlobError> {
        let size = source.size().map_err(source_error)?;
        let mut head = [0; HEAD];
        let there = usize::try_from(size).unwrap_or(HEAD).min(HEAD);
        let head = head.get_mut(..there).ok_or(BlobError::Truncated)?;
        source.read_exact_at(0, head).map_err(source_error)?;
        let body = check_length(reference, head, size)?;
        let at = Place::blob(store, dataset, reference.blob());
        let chunks = container::check_head(reference.key(), &at, Kind::Blob, head, size)?;
        let chunk = Zeroizing::new(vec![0; SEALED_CHUNK]);
        let (length, sha256) = (reference.length(), *reference.sha256());
        Ok(Self { source, chunks, length, body, sha256, position: 0, chunk, held: None })
    }

    /// The length of the content.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// Fills `buf` with the content from `offset` on, as far as there is any, and gives the number of bytes. Reads only the
    /// chunks that hold them; whole ones are decrypted in `buf`.
    ///
    /// # Errors
    /// [`BlobError::Truncated`], [`BlobError::Rejected`], [`BlobError::Io`]; `buf` is then all zero.
    pub fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize, BlobError> {
        let left = self.length.saturating_sub(offset);
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        let wanted = buf.get_mut(..len).unwrap_or_default();
        match self.fill(offset, wanted) {
            Ok(()) => Ok(len),
            Err(error) => {
                buf.zeroize();
                Err(error)
            }
        }
    }

    /// Checks that the blob ends where its reference says: that its size is the padded length's, and its last chunk is
    /// authentic. Whoever reads parts of a blob learns by this that no end was cut off.
    ///
    /// # Errors
    /// [`BlobError::Truncated`], [`BlobError::Extended`], [`BlobError::Rejected`], [`BlobError::Io`].
    pub fn verify_len(&mut self) -> Result<(), BlobError> {
        check_size(self.body, self.source.size().map_err(source_error)?)?;
        self.held = None;
        self.hold_last()
    }

    /// Reads the whole blob into memory. What comes out is all of it and exactly its content, as with
    /// [`open_blob`](crate::open_blob).
    ///
    /// # Errors
    /// [`BlobError::Truncated`], [`BlobError::Rejected`], [`BlobError::Io`]; [`BlobError::Limit`] when it doesn't fit.
    pub fn read_all(&mut self) -> Result<Opened, BlobError> {
        let length = usize::try_from(self.length).map_err(|_| BlobError::Limit)?;
        let body_len = usize::try_from(self.body).map_err(|_| BlobError::Limit)?;
        let mut body = Wiped::new(Vec::new());
        body.try_reserve_exact(body_len).map_err(|_| BlobError::Limit)?;
        body.resize(body_len, 0);
        self.held = None;
        self.fill(0, &mut body)?;
        self.hold_last()?;
        let hash = sha256(body.get(..length).unwrap_or_default());
        finished(body, length, &hash, &self.sha256)
    }

    /// Writes the whole content to `out`, chunk by chunk.
    ///
    /// # Errors
    /// [`BlobError::Truncated`], [`BlobError::Rejected`], [`BlobError::Io`].
    ///
    /// # Security
    /// What is written is authentic chunk by chunk. That it is all, and the content that the reference names by its SHA-256,
    /// is known only when this returns without an error: until then, treat what came out as a part.
    pub fn copy_to(&mut self, out: &mut impl Write) -> Result<(), BlobError> {
        let mut content = self.content();
        while let Some(piece) = content.next()? {
            out.write_all(piece).map_err(|error| BlobError::Io(error.kind()))?;
        }
        out.flush().map_err(|error| BlobError::Io(error.kind()))
    }

    /// The whole content, chunk by chunk from the beginning on: what [`BlobReader::copy_to`] writes, for whoever waits
    /// between the chunks.
    pub fn content(&mut self) -> BlobContent<'_, R> {
        self.held = None;
        let left = self.length;
        BlobContent { reader: self, hash: Sha256::new(), index: 0, left }
    }

    /// What it reads from: to have ready what is asked for next.
    pub const fn source_mut(&mut self) -> &mut R {
        &mut self.source
    }

    /// Fills `buf` with the body from `from` on. On an error it may hold anything.
    fn fill(&mut self, mut from: u64, mut buf: &mut [u8]) -> Result<(), BlobError> {
        while !buf.is_empty() {
            let (index, skip) = (from / CHUNK as u64, from % CHUNK as u64);
            let taken = if skip == 0 && buf.len() >= SEALED_CHUNK {
                // A whole chunk, and room for its tag, which the next chunk overwrites.
                let sealed = buf.get_mut(..SEALED_CHUNK).ok_or(BlobError::Limit)?;
                load(&mut self.source, &self.chunks, index, sealed)?;
                CHUNK
            } else {
                let skip = usize::try_from(skip).map_err(|_| BlobError::Limit)?;
                let mut held = self.hold(index)?.get(skip..).unwrap_or_default();
                held.read(buf).ok().filter(|len| *len > 0).ok_or(BlobError::Limit)?
            };
            from = from.saturating_add(taken as u64);
            buf = buf.get_mut(taken..).unwrap_or_default();
        }
        Ok(())
    }

    fn hold_last(&mut self) -> Result<(), BlobError> {
        self.hold(self.body / CHUNK as u64).map(|_| ())
    }

    /// The body's chunk `index`, opened.
    fn hold(&mut self, index: u64) -> Result<&[u8], BlobError> {
        let start = index.saturating_mul(CHUNK as u64);
        let len = usize::try_from(self.body.saturating_sub(start)).unwrap_or(CHUNK).min(CHUNK);
        if self.held != Some(index) {
            self.held = None;
            let sealed = self.chunk.get_mut(..len.saturating_add(TAG)).ok_or(BlobError::Limit)?;
            load(&mut self.source, &self.chunks, index, sealed)?;
            self.held = Some(index);
        }
        self.chunk.get(..len).ok_or(BlobError::Limit)
    }
}

/// The content of a blob on its way out, made by [`BlobReader::content`].
///
/// # Security
/// A chunk that was given is authentic. That it was all, and the content that the reference names by its SHA-256, is known
/// only when [`BlobContent::next`] gives `None`: until then, treat what came out as a part.
pub struct BlobContent<'a, R> {
    reader: &'a mut BlobReader<R>,
    hash: Sha256,
    index: u64,
    left: u64,
}

impl<R: ReadAt> BlobContent<'_, R> {
    /// The next chunk's content, at most 16 KiB and in the last one or two none; `None` once everything was verified. After
    /// an error of the source it may be called again, and goes on at the same chunk.
    ///
    /// # Errors
    /// [`BlobError::Truncated`], [`BlobError::Rejected`], [`BlobError::Io`].
    #[expect(clippy::should_implement_trait, reason = "it lends what it gives")]
    pub fn next(&mut self) -> Result<Option<&[u8]>, BlobError> {
        if self.index > self.reader.body / CHUNK as u64 {
            let is_whole = ct::eq(&self.hash.clone().finish(), self.reader.sha256.as_bytes());
            return if is_whole { Ok(None) } else { Err(BlobError::Rejected) };
        }
        let body = self.reader.hold(self.index)?;
        let len = usize::try_from(self.left).unwrap_or(CHUNK).min(body.len());
        let (content, padding) = body.split_at_checked(len).ok_or(BlobError::Rejected)?;
        if padding.iter().any(|byte| *byte != 0) {
            return Err(BlobError::Rejected);
        }
        self.hash.update(content);
        self.left = self.left.saturating_sub(len as u64);
        self.index = self.index.saturating_add(1);
        Ok(Some(content))
    }

    /// What the blob is read from.
    pub const fn source_mut(&mut self) -> &mut R {
        self.reader.source_mut()
    }
}

/// Prints how much is left.
impl<R> fmt::Debug for BlobContent<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobContent").field("left", &self.left).finish_non_exhaustive()
    }
}

/// Reads a sealed chunk and opens it in place.
fn load(source: &mut impl ReadAt, chunks: &Chunks, index: u64, sealed: &mut [u8]) -> Result<(), BlobError> {
    let offset = index.checked_mul(SEALED_CHUNK as u64).and_then(|offset| offset.checked_add(HEAD as u64));
    source.read_exact_at(offset.ok_or(BlobError::Limit)?, sealed).map_err(source_error)?;
    chunks.open(index, sealed).map(|_| ()).ok_or(BlobError::Rejected)
}

/// What is missing at the end was cut off.
fn source_error(error: io::Error) -> BlobError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => BlobError::Truncated,
        kind => BlobError::Io(kind),
    }
}

/// Reads on from where the last read ended. The content's hash is not compared: see [`BlobReader::copy_to`].
impl<R: ReadAt> Read for BlobReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.read_at(self.position, buf)?;
        self.position = self.position.saturating_add(read as u64);
        Ok(read)
    }
}

/// Prints the length.
impl<R> fmt::Debug for BlobReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobReader").field("length", &self.length).finish_non_exhaustive()
    }
}
