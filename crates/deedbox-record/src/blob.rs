//! Blobs: large values beside their record, sealed under a key of their own that the record holds.
//!
//! A blob is an object of kind 3, epoch 0 and seq 0. Its body is the content and zeros up to PADMÉ of the content's length;
//! the length itself stands in the reference. A changed blob is a new one, with a new id and a new key.

#[cfg(feature = "std")]
pub(crate) mod read;
#[cfg(feature = "std")]
mod worker;
#[cfg(feature = "std")]
pub(crate) mod write;

use alloc::{string::String, vec, vec::Vec};
use core::cmp::Ordering;

use deedbox_crypto::{ct, hash::Sha256, secret::SecretBytes};
use deedbox_model::{BlobId, DatasetId, Digest, StoreName};
use rand_core::CryptoRng;

use crate::{
    BlobError, BlobRef, Kind, ObjectKey, Opened,
    address::Place,
    chunk::{CHUNK, Chunks, HEAD, SEALED_CHUNK, TAG, object_len},
    container::{self, Prefix},
    pad,
    payload::{MAX_BLOB, media_type},
    share::share,
    wipe::Wiped,
};

/// Seals `content` as a blob of `dataset`, in one go. Gives the object for the host, under the id that the reference names,
/// and the reference for the record. Whatever does not fit in memory goes through a `BlobSealer`.
///
/// With the feature `std`, a content from 128 KiB on is shared with threads on other cores, which end before this returns.
///
/// Equal contents become unequal objects: a host that could tell that two people keep the same file would know the file.
/// For the same reason nothing is compressed, since a length after compression tells of the content.
///
/// ```
/// # use deedbox_model::{DatasetId, StoreName};
/// # use deedbox_record::{open_blob, seal_blob};
/// # let mut rng = deedbox_testkit::rng::SeededRng::new(1);
/// # let (store, dataset) = (StoreName::generate(&mut rng), DatasetId::generate(&mut rng));
/// let (object, reference) = seal_blob(&store, &dataset, b"a scan", Some("image/png"), &mut rng)?;
/// assert_eq!(open_blob(&store, &dataset, &reference, &object)?.payload(), b"a scan");
/// # Ok::<(), deedbox_record::BlobError>(())
/// ```
///
/// # Errors
/// [`BlobError::Limit`].
///
/// # Security
/// The host learns the padded length: at most 12 % above the true one, and less the larger the blob.
pub fn seal_blob(
    store: &StoreName,
    dataset: &DatasetId,
    content: &[u8],
    media: Option<&str>,
    rng: &mut impl CryptoRng,
) -> Result<(Vec<u8>, BlobRef), BlobError> {
    let media = checked_media(media)?;
    let length = u64::try_from(content.len()).map_err(|_| BlobError::Limit)?;
    let body = padded(length)?;
    let mut object = zeros(object_len(body).ok_or(BlobError::Limit)?)?;
    let (new, chunks, head) = NewBlob::draw(store, dataset, rng)?;
    let (start, sealed) = object.split_first_chunk_mut::<HEAD>().ok_or(BlobError::Limit)?;
    *start = head;
    let mut hash = Sha256::new();
    seal_chunks(&chunks, content, sealed, || hash.update(content)).ok_or(BlobError::Limit)?;
    Ok((object, new.into_reference(length, hash.finish(), media)))
}

/// Opens the whole blob that `reference` names. What comes out is all of it and exactly its content: every chunk, the
/// padding, the length and the SHA-256 are right. Shared among cores as [`seal_blob`] is.
///
/// # Errors
/// [`BlobError::Truncated`], [`BlobError::Unsupported`], [`BlobError::Malformed`], [`BlobError::WrongKind`] and
/// [`BlobError::Extended`] before the key is used, then only [`BlobError::Rejected`].
pub fn open_blob(
    store: &StoreName,
    dataset: &DatasetId,
    reference: &BlobRef,
    object: &[u8],
) -> Result<Opened, BlobError> {
    let size = object.len().try_into().unwrap_or(u64::MAX);
    let body = check_length(reference, object, size)?;
    let at = Place::blob(store, dataset, reference.blob());
    let chunks = container::check_head(reference.key(), &at, Kind::Blob, object, size)?;
    let sealed = object.get(HEAD..).unwrap_or_default();
    let length = usize::try_from(reference.length()).map_err(|_| BlobError::Limit)?;
    let mut body = Wiped::new(zeros(body)?);
    let pieces = body.chunks_mut(CHUNK).zip(sealed.chunks(SEALED_CHUNK)).enumerate();
    let (mut hash, mut left) = (Sha256::new(), length);
    let mut take = |text: &[u8]| {
        let content = text.get(..left).unwrap_or(text);
        hash.update(content);
        left = left.saturating_sub(content.len());
    };
    let open_one = |(index, (text, sealed))| open_chunk(&chunks, index, text, sealed);
    let opened = share(pieces, open_one, || (), &mut take);
    // Behind a body of full chunks stands an empty one.
    let last = body.len() / CHUNK;
    let end = sealed.chunks(SEALED_CHUNK).nth(last).filter(|end| end.len() == TAG);
    let ended = end.map_or(Some(&[][..]), |end| open_chunk(&chunks, last, &mut [], end));
    opened.zip(ended).ok_or(BlobError::Rejected)?;
    finished(body, length, &hash.finish(), reference.sha256())
}

/// A blob that is being written.
struct NewBlob {
    blob: BlobId,
    key: ObjectKey,
}

impl NewBlob {
    /// Draws id, key and salt, and gives the object's head. The key is used for this one object, so its salt needs no
    /// hedging.
    fn draw(
        store: &StoreName,
        dataset: &DatasetId,
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, Chunks, [u8; HEAD]), BlobError> {
        let (blob, key) = (BlobId::generate(rng), ObjectKey::of(SecretBytes::generate(rng), 0));
        let mut salt = [0; 24];
        rng.fill_bytes(&mut salt);
        let prefix = Prefix::of(Kind::Blob, 0).to_bytes();
        let place = Place::blob(store, dataset, &blob);
        let chunks = Chunks::derive(&key, &prefix, &salt, &place).ok_or(BlobError::Limit)?;
        let mut head = [0; HEAD];
        let parts = prefix.iter().chain(&salt).chain(chunks.commitment());
        head.iter_mut().zip(parts).for_each(|(to, from)| *to = *from);
        Ok((Self { blob, key }, chunks, head))
    }

    fn into_reference(self, length: u64, sha256: [u8; 32], media: Option<String>) -> BlobRef {
        BlobRef::of(self.blob, self.key, length, Digest::from_bytes(sha256), media)
    }
}

/// The length of a blob's body.
fn padded(length: u64) -> Result<u64, BlobError> {
    pad::padme(length).filter(|_| length <= MAX_BLOB).ok_or(BlobError::Limit)
}

fn checked_media(media: Option<&str>) -> Result<Option<String>, BlobError> {
    media.map(|media| media_type(media).ok_or(BlobError::Limit)).transpose()
}

/// Steps 1 to 5 of opening, and that an object of `len` that begins with `head` is as long as its reference says. Gives the
/// length of the body.
fn check_length(reference: &BlobRef, head: &[u8], len: u64) -> Result<u64, BlobError> {
    if container::peek_of(head, len)?.kind() != Kind::Blob {
        return Err(BlobError::WrongKind);
    }
    let body = padded(reference.length())?;
    check_size(body, len)?;
    Ok(body)
}

/// Whether an object of `size` has exactly that body.
fn check_size(body: u64, size: u64) -> Result<(), BlobError> {
    match size.cmp(&object_len(body).ok_or(BlobError::Limit)?) {
        Ordering::Less => Err(BlobError::Truncated),
        Ordering::Equal => Ok(()),
        Ordering::Greater => Err(BlobError::Extended),
    }
}

/// Opens a chunk beside its sealed bytes.
fn open_chunk<'a>(chunks: &Chunks, index: usize, text: &'a mut [u8], sealed: &[u8]) -> Option<&'a [u8]> {
    chunks.open_to(index as u64, sealed, text)?;
    Some(text)
}

/// Seals the body content ‖ zeros as the chunks from number `first` on, which `sealed` has room for, and does something else
/// with the content meanwhile.
fn seal_chunks(chunks: &Chunks, content: &[u8], sealed: &mut [u8], meanwhile: impl FnOnce()) -> Option<()> {
    let seal_one = |(n, sealed): (usize, &mut [u8])| {
        let (text, tag) = sealed.split_last_chunk_mut::<TAG>()?;
        let piece = content.get(n.checked_mul(CHUNK)?..).unwrap_or_default();
        let index = n as u64;
        *tag = match piece.get(..text.len()) {
            Some(piece) => chunks.seal_to(index, piece, text)?,
            // The last of the content, and padding.
            None => {
                let (text_of_content, zeros) = text.split_at_mut_checked(piece.len())?;
                text_of_content.copy_from_slice(piece);
                zeros.fill(0);
                chunks.seal(index, text)?
            }
        };
        Some(())
    };
    share(sealed.chunks_mut(SEALED_CHUNK).enumerate(), seal_one, meanwhile, |()| ())
}

/// The content of a body whose chunks are all authentic.
fn finished(body: Wiped, length: usize, hash: &[u8; 32], expected: &Digest) -> Result<Opened, BlobError> {
    let opened = Opened::of_blob(body, length).ok_or(BlobError::Rejected)?;
    if ct::eq(hash, expected.as_bytes()) { Ok(opened) } else { Err(BlobError::Rejected) }
}

/// Memory that the system zeroes page by page where it is touched, so by whichever thread does.
fn zeros(len: u64) -> Result<Vec<u8>, BlobError> {
    let len = isize::try_from(len).ok().and_then(|len| usize::try_from(len).ok());
    Ok(vec![0; len.ok_or(BlobError::Limit)?])
}

#[cfg(all(test, feature = "std"))]
mod tests;
