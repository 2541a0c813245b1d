//! Blobs: large values beside their record, sealed under a key of their own that the record holds.
//!
//! A blob is an object of kind 3, epoch 0 and seq 0. Its body is the content and zeros up to PADMÉ of the content's length;
//! the length itself stands in the reference. A changed blob is a new one, with a new id and a new key.

#[cfg(feature = "std")]
pub(crate) mod read;
#[cfg(feature = "std")]
pub(crate) mod write;

use alloc::{string::String, vec::Vec};
use core::cmp::Ordering;

use deedbox_crypto::{ct, hash::sha256, secret::SecretBytes};
use deedbox_model::{BlobId, DatasetId, Digest, StoreName};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::{
    BlobError, BlobRef, Kind, ObjectKey, Opened,
    address::Place,
    chunk::{Chunks, HEAD, object_len},
    container::{self, Prefix},
    pad,
    payload::{MAX_BLOB, media_type},
};

/// Seals `content` as a blob of `dataset`, in one go. Gives the object for the host, under the id that the reference names,
/// and the reference for the record. Whatever does not fit in memory goes through a `BlobSealer`.
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
    let total = usize::try_from(object_len(body).ok_or(BlobError::Limit)?).map_err(|_| BlobError::Limit)?;
    let (new, head) = NewBlob::draw(store, dataset, rng)?;
    let mut object = Vec::new();
    object.try_reserve_exact(total).map_err(|_| BlobError::Limit)?;
    object.extend_from_slice(&head);
    let body = usize::try_from(body).map_err(|_| BlobError::Limit)?;
    container::seal_body(&new.chunks, content, false, body, &mut object).ok_or(BlobError::Limit)?;
    Ok((object, new.into_reference(length, sha256(content), media)))
}

/// Opens the whole blob that `reference` names. What comes out is all of it and exactly its content: every chunk, the
/// padding, the length and the SHA-256 are right.
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
    let at = Place::blob(store, dataset, reference.blob());
    check_length(reference, object, object.len().try_into().unwrap_or(u64::MAX))?;
    let body = container::open_body(reference.key(), &at, Kind::Blob, object)?;
    finished(body, reference.length(), reference.sha256())
}

/// A blob that is being written.
struct NewBlob {
    blob: BlobId,
    key: ObjectKey,
    chunks: Chunks,
}

impl NewBlob {
    /// Draws id, key and salt, and gives the object's head. The key is used for this one object, so its salt needs no
    /// hedging.
    fn draw(store: &StoreName, dataset: &DatasetId, rng: &mut impl CryptoRng) -> Result<(Self, [u8; HEAD]), BlobError> {
        let (blob, key) = (BlobId::generate(rng), ObjectKey::of(SecretBytes::generate(rng), 0));
        let mut salt = [0; 24];
        rng.fill_bytes(&mut salt);
        let prefix = Prefix::of(Kind::Blob, 0).to_bytes();
        let place = Place::blob(store, dataset, &blob);
        let chunks = Chunks::derive(key.secret(), &prefix, &salt, &place).ok_or(BlobError::Limit)?;
        let mut head = [0; HEAD];
        let parts = prefix.iter().chain(&salt).chain(chunks.commitment());
        head.iter_mut().zip(parts).for_each(|(to, from)| *to = *from);
        Ok((Self { blob, key, chunks }, head))
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

/// The content of a body whose chunks are all authentic.
fn finished(body: Zeroizing<Vec<u8>>, length: u64, digest: &Digest) -> Result<Opened, BlobError> {
    let length = usize::try_from(length).map_err(|_| BlobError::Limit)?;
    let opened = Opened::of_blob(body, length).ok_or(BlobError::Rejected)?;
    if ct::eq(&sha256(opened.payload()), digest.as_bytes()) { Ok(opened) } else { Err(BlobError::Rejected) }
}

#[cfg(all(test, feature = "std"))]
mod tests;
