use alloc::vec::Vec;
use core::fmt;
use std::io::{self, Write};

use deedbox_crypto::hash::Sha256;
use deedbox_model::{BlobId, DatasetId, StoreName};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{NewBlob, checked_media, padded};
use crate::{
    BlobError, BlobRef,
    chunk::{CHUNK, SEALED_CHUNK},
    payload::MAX_BLOB,
};

/// Seals what is written to it as one blob, in the memory of one chunk, and passes it on.
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
    // INVARIANT (constant memory): at most one sealed chunk, which is its capacity.
    chunk: Zeroizing<Vec<u8>>,
    failed: Option<BlobError>,
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
        let chunk = Zeroizing::new(Vec::with_capacity(SEALED_CHUNK));
        Ok(Self { inner, new, hash: Sha256::new(), length: 0, index: 0, chunk, failed: None })
    }

    /// The blob's id, under which the host keeps it.
    #[must_use]
    pub const fn blob(&self) -> &BlobId {
        &self.new.blob
    }

    /// Pads and ends the blob; gives the reference for the record, and the writer, flushed.
    ///
    /// # Errors
    /// [`BlobError::Limit`] for a media type that is empty or longer than 1,024 bytes; [`BlobError::Io`]; the error of an
    /// earlier write.
    pub fn finish(mut self, media: Option<&str>) -> Result<(BlobRef, W), BlobError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let media = checked_media(media)?;
        let mut zeros = padded(self.length)?.saturating_sub(self.length);
        while zeros > 0 {
            let filled = self.chunk.len();
            let more = usize::try_from(zeros).unwrap_or(CHUNK).min(CHUNK.saturating_sub(filled));
            self.chunk.resize(filled.saturating_add(more), 0);
            zeros = zeros.saturating_sub(more as u64);
            self.pass_on_if_full()?;
        }
        // The last chunk is short, if need be empty: nothing else tells that the blob ends.
        self.pass_on()?;
        self.inner.flush().map_err(|error| BlobError::Io(error.kind()))?;
        Ok((self.new.into_reference(self.length, self.hash.finish(), media), self.inner))
    }

    #[cfg(test)]
    pub(super) fn buffer(&self) -> &Vec<u8> {
        &self.chunk
    }

    #[cfg(test)]
    pub(super) const fn set_length_for_testing_only(&mut self, length: u64) {
        self.length = length;
    }

    fn take(&mut self, mut content: &[u8]) -> Result<(), BlobError> {
        let more = u64::try_from(content.len()).map_err(|_| BlobError::Limit)?;
        let length = self.length.checked_add(more).filter(|length| *length <= MAX_BLOB).ok_or(BlobError::Limit)?;
        while !content.is_empty() {
            let room = CHUNK.saturating_sub(self.chunk.len());
            let (piece, rest) = content.split_at_checked(room).unwrap_or((content, &[]));
            self.hash.update(piece);
            self.chunk.extend_from_slice(piece);
            content = rest;
            self.pass_on_if_full()?;
        }
        self.length = length;
        Ok(())
    }

    fn pass_on_if_full(&mut self) -> Result<(), BlobError> {
        if self.chunk.len() < CHUNK { Ok(()) } else { self.pass_on() }
    }

    fn pass_on(&mut self) -> Result<(), BlobError> {
        let tag = self.new.chunks.seal(self.index, &mut self.chunk).ok_or(BlobError::Limit)?;
        self.chunk.extend_from_slice(&tag);
        self.inner.write_all(&self.chunk).map_err(|error| BlobError::Io(error.kind()))?;
        self.chunk.clear();
        self.index = self.index.checked_add(1).ok_or(BlobError::Limit)?;
        Ok(())
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
