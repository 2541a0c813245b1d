use alloc::vec::Vec;
use core::{fmt, mem};
use std::io::{self, Write};

use deedbox_crypto::hash::Sha256;
use deedbox_model::{BlobId, DatasetId, StoreName};
use rand_core::CryptoRng;

use super::{NewBlob, checked_media, padded, seal_chunks};
use crate::{
    BlobError, BlobRef,
    chunk::{CHUNK, SEALED_CHUNK, TAG},
    payload::MAX_BLOB,
    wipe::Wiped,
};

/// Seals what is written to it as one blob and passes it on, in constant memory: two buffers of 256 KiB. Full buffers are
/// shared among cores as [`seal_blob`](crate::seal_blob) does it.
///
/// Only [`BlobSealer::finish`] gives the reference, so what was not finished can be opened by nobody. After an error it takes
/// nothing more and does not finish.
///
/// ```
/// # use deedbox_model::{DatasetId, StoreName};
/// # use deedbox_record::{BlobReader, BlobSealer};
/// # let mut rng = deedbox_testkit::rng::SeededRng::new(1);
/// # let (store, dataset) = (StoreName::generate(&mut rng), DatasetId::generate(&mut rng));
/// use std::io::Write as _;
///
/// let mut sealer = BlobSealer::start(&store, &dataset, &mut rng, Vec::new())?; // a file, or a host's upload
/// sealer.write_all(b"page after page")?;
/// let (reference, object) = sealer.finish(Some("application/pdf"))?;
///
/// let mut reader = BlobReader::open(&store, &dataset, &reference, object.as_slice())?;
/// let mut word = [0; 5];
/// assert_eq!(reader.read_at(5, &mut word)?, 5);
/// assert_eq!(&word, b"after");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a blob that is not finished has no reference"]
pub struct BlobSealer<W> {
    inner: W,
    new: NewBlob,
    hash: Sha256,
    length: u64,
    index: u64,
    // INVARIANT (constant memory, no copy left behind): holds less than `room` bytes, which are its capacity.
    content: Wiped,
    room: usize,
    sealed: Vec<u8>,
    failed: Option<BlobError>,
    /// Once the content has ended: zeros to come, and how much of the buffer is content.
    padding: Option<(u64, usize)>,
}

impl<W: Write> BlobSealer<W> {
    /// Begins a blob of `dataset` and writes its first 64 bytes to `inner`.
    ///
    /// # Errors
    /// [`BlobError::Io`].
    pub fn start(
        store: &StoreName,
        dataset: &DatasetId,
        rng: &mut impl CryptoRng,
        mut inner: W,
    ) -> Result<Self, BlobError> {
        let (new, head) = NewBlob::draw(store, dataset, rng)?;
        inner.write_all(&head).map_err(|error| BlobError::Io(error.kind()))?;
        // A small blob needs no large buffer.
        let (content, room) = (Wiped::new(Vec::with_capacity(CHUNK)), CHUNK);
        let (hash, sealed) = (Sha256::new(), Vec::new());
        Ok(Self { inner, new, hash, length: 0, index: 0, content, room, sealed, failed: None, padding: None })
    }

    /// The blob's id, under which the host keeps it.
    #[must_use]
    pub const fn blob(&self) -> &BlobId {
        &self.new.blob
    }

    /// The writer below: to take out what was written.
    pub const fn get_mut(&mut self) -> &mut W {
        &mut self.inner
    }

    /// Ends the content and writes some of the padding, at most 256 KiB of it; whether there is more to write. Nothing is
    /// taken after it. [`BlobSealer::finish`] does it all at once: this is for whoever empties the writer below in between.
    ///
    /// # Errors
    /// [`BlobError::Io`]; the error of an earlier write.
    pub fn pad(&mut self) -> Result<bool, BlobError> {
        let padded = self.failed.map_or_else(|| self.pad_buffer(), Err);
        self.failed = padded.err();
        padded
    }

    fn pad_buffer(&mut self) -> Result<bool, BlobError> {
        let (zeros, content_len) = match self.padding {
            Some(begun) => begun,
            None => (padded(self.length)?.saturating_sub(self.length), self.content.len()),
        };
        let filled = self.content.len();
        let more = usize::try_from(zeros).unwrap_or(self.room).min(self.room.saturating_sub(filled));
        self.content.resize(filled.saturating_add(more), 0);
        let zeros = zeros.saturating_sub(more as u64);
        self.padding = Some((zeros, content_len));
        if self.content.len() >= self.room {
            self.pass_on_buffer(content_len)?;
            self.padding = Some((zeros, 0));
        }
        Ok(zeros > 0)
    }

    /// Pads and ends the blob; gives the reference for the record, and the writer, flushed.
    ///
    /// # Errors
    /// [`BlobError::Limit`] for a media type that is empty or longer than 1,024 bytes; [`BlobError::Io`]; the error of an
    /// earlier write.
    pub fn finish(mut self, media: Option<&str>) -> Result<(BlobRef, W), BlobError> {
        let media = checked_media(media)?;
        while self.pad()? {}
        let content_len = self.padding.map_or(0, |(_, content_len)| content_len);
        // The last chunk is short, if need be empty: nothing else tells that the blob ends.
        let sealed_len = self.content.len() / CHUNK * TAG + self.content.len() + TAG;
        let content = mem::take(&mut self.content);
        self.pass_on(&content, sealed_len, content_len)?;
        self.inner.flush().map_err(|error| BlobError::Io(error.kind()))?;
        Ok((self.new.into_reference(self.length, self.hash.finish(), media), self.inner))
    }

    fn take(&mut self, mut content: &[u8]) -> Result<(), BlobError> {
        let more = u64::try_from(content.len()).map_err(|_| BlobError::Limit)?;
        let length = self.length.checked_add(more).filter(|length| *length <= MAX_BLOB && self.padding.is_none());
        let length = length.ok_or(BlobError::Limit)?;
        while !content.is_empty() {
            let room = self.room.saturating_sub(self.content.len());
            let (now, later) = content.split_at_checked(room).unwrap_or((content, &[]));
            self.content.extend_from_slice(now);
            content = later;
            if self.content.len() >= self.room {
                self.pass_on_buffer(self.room)?;
            }
        }
        self.length = length;
        Ok(())
    }

    /// Seals the full buffer; what stands behind `content_len` is padding.
    fn pass_on_buffer(&mut self, content_len: usize) -> Result<(), BlobError> {
        let mut content = mem::take(&mut self.content);
        self.pass_on(&content, self.room / CHUNK * SEALED_CHUNK, content_len)?;
        content.clear();
        if self.room < BATCH {
            self.room = BATCH;
            content = Wiped::new(Vec::with_capacity(BATCH));
        }
        self.content = content;
        Ok(())
    }

    /// Seals a part of the body, which begins with `content_len` bytes of content, to `sealed_len` bytes.
    fn pass_on(&mut self, part: &[u8], sealed_len: usize, content_len: usize) -> Result<(), BlobError> {
        self.sealed.resize(sealed_len, 0);
        let hash = &mut self.hash;
        let meanwhile = || hash.update(part.get(..content_len).unwrap_or_default());
        seal_chunks(&self.new.chunks, self.index, part, &mut self.sealed, meanwhile).ok_or(BlobError::Limit)?;
        self.index = self.index.checked_add((part.len() / CHUNK) as u64).ok_or(BlobError::Limit)?;
        self.inner.write_all(&self.sealed).map_err(|error| BlobError::Io(error.kind()))
    }

    #[cfg(test)]
    pub(super) fn buffered(&self) -> usize {
        self.content.capacity().saturating_add(self.sealed.capacity())
    }

    #[cfg(test)]
    pub(super) const fn set_length_for_testing_only(&mut self, length: u64) {
        self.length = length;
    }

    /// Remembers an error, and gives it to who writes.
    fn fail(&mut self, error: BlobError) -> io::Error {
        self.failed = Some(error);
        error.into()
    }
}

/// Takes all of what it is given, or fails for good; [`Write::flush`] passes on whole chunks only.
impl<W: Write> Write for BlobSealer<W> {
    fn write(&mut self, content: &[u8]) -> io::Result<usize> {
        match self.failed.map_or_else(|| self.take(content), Err) {
            Ok(()) => Ok(content.len()),
            Err(error) => Err(self.fail(error)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.failed {
            None => self.inner.flush(),
            Some(error) => Err(error.into()),
        }
    }
}

/// Prints the length so far.
impl<W> fmt::Debug for BlobSealer<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobSealer").field("length", &self.length).finish_non_exhaustive()
    }
}

/// What is sealed at once: little memory, and enough work to share.
const BATCH: usize = 16 * CHUNK;
