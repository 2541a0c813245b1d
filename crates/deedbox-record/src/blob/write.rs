use alloc::vec::Vec;
use core::{fmt, mem};
use std::io::{self, Write};

use deedbox_crypto::hash::Sha256;
use deedbox_model::{BlobId, DatasetId, StoreName};
use rand_core::CryptoRng;

use super::{
    NewBlob, checked_media, padded,
    worker::{Batch, Sealing},
};
use crate::{
    BlobError, BlobRef,
    chunk::{CHUNK, SEALED_CHUNK, TAG},
    payload::MAX_BLOB,
    wipe::Wiped,
};

/// Seals what is written to it as one blob and passes it on, in constant memory: five buffers of 64 KiB. After the first
/// 16 KiB a thread on another core, if one is free, seals while more is written and hashed; it ends with this. So what was
/// written, and an error of the writer below, may come out some buffers later, and with [`Write::flush`] or
/// [`BlobSealer::finish`] at the latest.
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
    /// Chunks from number `index` on, with room for their tags; less than a batch of them are full.
    batch: Wiped,
    index: u64,
    sealing: Sealing,
    failed: Option<BlobError>,
    /// Zeros to come, once the content has ended.
    padding: Option<u64>,
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
        let (new, chunks, head) = NewBlob::draw(store, dataset, rng)?;
        inner.write_all(&head).map_err(|error| BlobError::Io(error.kind()))?;
        // A small blob needs no large buffer.
        let batch = Wiped::new(Vec::with_capacity(SEALED_CHUNK));
        let (hash, sealing) = (Sha256::new(), Sealing::new(chunks));
        Ok(Self { inner, new, hash, length: 0, batch, index: 0, sealing, failed: None, padding: None })
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

    /// Ends the content and writes some of the padding, at most 16 KiB of it; whether there is more to write. Nothing is
    /// taken after it. [`BlobSealer::finish`] does it all at once: this is for whoever empties the writer below in between.
    ///
    /// # Errors
    /// [`BlobError::Io`]; the error of an earlier write.
    pub fn pad(&mut self) -> Result<bool, BlobError> {
        let padded = self.failed.map_or_else(|| self.pad_some(), Err);
        self.failed = padded.err();
        padded
    }

    fn pad_some(&mut self) -> Result<bool, BlobError> {
        let zeros = match self.padding {
            Some(zeros) => zeros,
            None => padded(self.length)?.saturating_sub(self.length),
        };
        let now = zeros.min(PADDING.len() as u64);
        self.fill(usize::try_from(now).ok().and_then(|now| PADDING.get(..now)).ok_or(BlobError::Limit)?)?;
        let zeros = zeros.saturating_sub(now);
        self.padding = Some(zeros);
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
        self.sealing.end_soon()?;
        // The last chunk is short, if need be empty: nothing else tells that the blob ends.
        self.batch.extend_from_slice(&[0; TAG]);
        self.pass_on()?;
        self.write_out(0)?;
        self.inner.flush().map_err(|error| BlobError::Io(error.kind()))?;
        Ok((self.new.into_reference(self.length, self.hash.finish(), media), self.inner))
    }

    fn take(&mut self, content: &[u8]) -> Result<(), BlobError> {
        let more = u64::try_from(content.len()).map_err(|_| BlobError::Limit)?;
        let length = self.length.checked_add(more).filter(|length| *length <= MAX_BLOB && self.padding.is_none());
        self.length = length.ok_or(BlobError::Limit)?;
        // Batch by batch, while it is at hand, and while the worker seals the one before.
        content.chunks(BATCH * CHUNK).try_for_each(|piece| {
            self.hash.update(piece);
            self.fill(piece)
        })
    }

    /// Puts a part of the body into the batch, and passes on what is full.
    fn fill(&mut self, mut part: &[u8]) -> Result<(), BlobError> {
        while !part.is_empty() {
            let room = CHUNK.saturating_sub(self.batch.len() % SEALED_CHUNK);
            let (now, later) = part.split_at_checked(room).unwrap_or((part, &[]));
            self.batch.extend_from_slice(now);
            part = later;
            if now.len() == room {
                self.batch.extend_from_slice(&[0; TAG]);
                if self.batch.len() >= self.batch_len() {
                    self.pass_on()?;
                }
            }
        }
        Ok(())
    }

    /// Has the full batch sealed, and begins another.
    fn pass_on(&mut self) -> Result<(), BlobError> {
        let (index, chunks) = (self.index, mem::take(&mut self.batch));
        self.index = index.checked_add((chunks.len() / SEALED_CHUNK) as u64).ok_or(BlobError::Limit)?;
        self.sealing.give(Batch { index, chunks })?;
        let empty = self.write_out(MOST_PENDING)?.filter(|empty| empty.capacity() >= BATCH * SEALED_CHUNK);
        self.batch = empty.unwrap_or_else(|| Wiped::new(Vec::with_capacity(self.batch_len())));
        Ok(())
    }

    /// The length of the batch that begins with chunk `index`: a small blob needs no large buffer.
    fn batch_len(&self) -> usize {
        usize::try_from(self.index).map_or(BATCH, |index| index.saturating_add(1).min(BATCH)) * SEALED_CHUNK
    }

    /// Writes out what is sealed, and in any case so much that no more than `most` batches are left; gives one back, empty.
    fn write_out(&mut self, most: usize) -> Result<Option<Wiped>, BlobError> {
        let mut empty = None;
        while let Some(mut sealed) = self.sealing.next(most)? {
            self.inner.write_all(&sealed).map_err(|error| BlobError::Io(error.kind()))?;
            sealed.clear();
            empty = Some(sealed);
        }
        Ok(empty)
    }

    #[cfg(test)]
    pub(super) fn buffered(&self) -> usize {
        self.batch.capacity() + self.sealing.pending() * BATCH * SEALED_CHUNK
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

/// Takes all of what it is given, or fails for good; [`Write::flush`] keeps what does not fill a buffer.
impl<W: Write> Write for BlobSealer<W> {
    fn write(&mut self, content: &[u8]) -> io::Result<usize> {
        match self.failed.map_or_else(|| self.take(content), Err) {
            Ok(()) => Ok(content.len()),
            Err(error) => Err(self.fail(error)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.failed.map_or_else(|| self.write_out(0), Err) {
            Ok(_) => self.inner.flush(),
            Err(error) => Err(self.fail(error)),
        }
    }
}

/// Prints the length so far.
impl<W> fmt::Debug for BlobSealer<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobSealer").field("length", &self.length).finish_non_exhaustive()
    }
}

/// So many chunks that handing them over costs little beside sealing them, and few enough that they stay at hand for it.
const BATCH: usize = 4;
/// How many batches may be in memory beside the one that is written to.
const MOST_PENDING: usize = 4;
static PADDING: [u8; CHUNK] = [0; CHUNK];
