use alloc::vec::Vec;
use core::fmt;

use deedbox_crypto::{hash, label};
use deedbox_model::Epoch;
use rand_core::CryptoRng;
use zeroize::{Zeroize as _, Zeroizing};

use crate::{
    Address, ObjectKey, OpenError, SealError,
    address::Place,
    chunk::{CHUNK, Chunks, HEAD, SEALED_CHUNK, TAG, object_len},
    pad,
    wipe::Wiped,
};

/// What an object is; its third byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a seventh kind is another version of the format")]
pub enum Kind {
    /// 1: a record.
    Record,
    /// 2: says that a record was removed.
    Tombstone,
    /// 3: a large value beside its record.
    Blob,
    /// 4: the store's keyring.
    Keyring,
    /// 5: a wrapped root secret in the store header.
    Slot,
    /// 6: what a client cached, to be made again at any time.
    Index,
}

impl Kind {
    /// The kind of number `number`, 1 to 6.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Record),
            2 => Some(Self::Tombstone),
            3 => Some(Self::Blob),
            4 => Some(Self::Keyring),
            5 => Some(Self::Slot),
            6 => Some(Self::Index),
            _ => None,
        }
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Record => 1,
            Self::Tombstone => 2,
            Self::Blob => 3,
            Self::Keyring => 4,
            Self::Slot => 5,
            Self::Index => 6,
        }
    }

    /// The most bytes of payload.
    #[must_use]
    pub const fn limit(self) -> usize {
        match self {
            Self::Blob => MAX_BLOB,
            Self::Index | Self::Record | Self::Tombstone => 256 << 10,
            Self::Keyring => 1 << 20,
            Self::Slot => 32,
        }
    }

    const fn is_padded(self) -> bool {
        !matches!(self, Self::Blob | Self::Slot)
    }

    /// Whether objects of this kind are sealed and opened by [`seal`] and [`open`].
    const fn is_addressed(self) -> bool {
        !matches!(self, Self::Blob | Self::Slot)
    }
}

/// What an object says of itself, unauthenticated.
///
/// ```text
/// off len
///  0   1  version 01        1  1  suite 01        2  1  kind 1..6        3  1  reserved 00
///  4   4  epoch, big-endian
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    kind: Kind,
    epoch: u32,
}

impl Prefix {
    /// The kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The epoch: the dataset's, of a keyring that of the keyring, of a slot that of the root; a blob has none.
    #[must_use]
    pub const fn epoch(&self) -> Option<Epoch> {
        Epoch::new(self.epoch)
    }

    pub(crate) const fn of(kind: Kind, epoch: u32) -> Self {
        Self { kind, epoch }
    }

    pub(crate) const fn to_bytes(self) -> [u8; 8] {
        let [a, b, c, d] = self.epoch.to_be_bytes();
        [VERSION, SUITE, self.kind.number(), 0, a, b, c, d]
    }
}

/// The payload of an object that opened; wiped when dropped.
///
/// Holding one means that somebody who had the key sealed these bytes at this place, at some time.
pub struct Opened {
    body: Wiped,
    len: usize,
}

impl Opened {
    /// The payload, without padding.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.body.get(..self.len).unwrap_or_default()
    }

    pub(crate) fn into_payload(mut self) -> Zeroizing<Vec<u8>> {
        self.body.truncate(self.len);
        self.body.into_zeroizing()
    }

    /// The first `len` bytes of a blob's body, if nothing but zeros stands behind them.
    pub(crate) fn of_blob(body: Wiped, len: usize) -> Option<Self> {
        body.get(len..)?.iter().all(|byte| *byte == 0).then_some(Self { body, len })
    }
}

impl AsRef<[u8]> for Opened {
    fn as_ref(&self) -> &[u8] {
        self.payload()
    }
}

/// Prints the length.
impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("len", &self.len).finish_non_exhaustive()
    }
}

/// Seals `payload` under `key` at `at`.
///
/// # Errors
/// [`SealError::TooLong`] beyond [`Kind::limit`]; [`SealError::WrongKind`] for blobs and slots, which have their own way.
///
/// # Security
/// The host learns kind, epoch, place and the padded length.
pub fn seal(
    key: &ObjectKey,
    at: &Address,
    kind: Kind,
    payload: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>, SealError> {
    let mut out = Vec::new();
    seal_into(key, at, kind, payload, rng, &mut out)?;
    Ok(out)
}

/// Seals `payload` as [`seal`] does and appends the object to `out`; allocates nothing when the capacity suffices.
///
/// # Errors
/// As [`seal`]; `out` is then as it was.
pub fn seal_into(
    key: &ObjectKey,
    at: &Address,
    kind: Kind,
    payload: &[u8],
    rng: &mut impl CryptoRng,
    out: &mut Vec<u8>,
) -> Result<(), SealError> {
    if !kind.is_addressed() {
        return Err(SealError::WrongKind);
    }
    seal_at(key, &at.into(), kind, payload, rng, out)
}

/// How long the object of a payload of `len` will be.
///
/// # Errors
/// [`SealError::TooLong`].
pub fn sealed_length(kind: Kind, len: usize) -> Result<usize, SealError> {
    let too_long = SealError::TooLong { limit: kind.limit() };
    if len > kind.limit() {
        return Err(too_long);
    }
    let body = body_len(kind, len).and_then(|body| u64::try_from(body).ok()).ok_or(too_long)?;
    object_len(body).and_then(|len| usize::try_from(len).ok()).ok_or(too_long)
}

/// Opens `object`, which must be of `kind` and sealed at `at`.
///
/// # Errors
/// [`OpenError::Truncated`], [`OpenError::Unsupported`], [`OpenError::Malformed`], [`OpenError::WrongKind`] and
/// [`OpenError::UnknownEpoch`] before any key is used, then only [`OpenError::Rejected`].
///
/// # Security
/// An object that opens was written by someone who had this key. It may be old: compare it with a verified head.
pub fn open(key: &ObjectKey, at: &Address, kind: Kind, object: &[u8]) -> Result<Opened, OpenError> {
    if !kind.is_addressed() {
        peek(object)?;
        return Err(OpenError::WrongKind);
    }
    open_at(key, &at.into(), kind, object)
}

/// Opens `object` in place, as [`open`] does, and gives the part of it that holds the payload.
///
/// # Errors
/// As [`open`]. The buffer is untouched unless a chunk or the padding is wrong; then it is wiped.
pub fn open_in_place<'a>(
    key: &ObjectKey,
    at: &Address,
    kind: Kind,
    object: &'a mut [u8],
) -> Result<&'a [u8], OpenError> {
    if !kind.is_addressed() {
        peek(object)?;
        return Err(OpenError::WrongKind);
    }
    open_in_place_at(key, &at.into(), kind, object)
}

/// Reads kind and epoch of an object whose form could be right; nothing of it is authenticated.
///
/// # Errors
/// [`OpenError::Truncated`], [`OpenError::Unsupported`], [`OpenError::Malformed`].
pub fn peek(object: &[u8]) -> Result<Prefix, OpenError> {
    peek_of(object, object.len().try_into().unwrap_or(u64::MAX))
}

/// Steps 1 to 4 of opening, of an object of `len` that begins with `head`.
pub(crate) fn peek_of(head: &[u8], len: u64) -> Result<Prefix, OpenError> {
    let &[version, suite, kind, reserved, a, b, c, d] = head.first_chunk::<8>().ok_or(OpenError::Truncated)?;
    if version != VERSION || suite != SUITE {
        return Err(OpenError::Unsupported { version, suite });
    }
    let chunks = len.checked_sub(HEAD as u64).ok_or(OpenError::Truncated)?;
    if chunks < TAG as u64 || chunks % (SEALED_CHUNK as u64) < TAG as u64 {
        return Err(OpenError::Truncated);
    }
    let kind = Kind::from_number(kind).filter(|_| reserved == 0).ok_or(OpenError::Malformed)?;
    Ok(Prefix { kind, epoch: u32::from_be_bytes([a, b, c, d]) })
}

/// Seals at any place.
pub(crate) fn seal_at(
    key: &ObjectKey,
    at: &Place,
    kind: Kind,
    payload: &[u8],
    rng: &mut impl CryptoRng,
    out: &mut Vec<u8>,
) -> Result<(), SealError> {
    let mut random = [0; 32];
    rng.fill_bytes(&mut random);
    seal_with_random(key, at, kind, payload, &random, out)
}

/// Seals with random bytes drawn for this seal, by whoever draws for many at once.
pub(crate) fn seal_with_random(
    key: &ObjectKey,
    at: &Place,
    kind: Kind,
    payload: &[u8],
    random: &[u8; 32],
    out: &mut Vec<u8>,
) -> Result<(), SealError> {
    seal_with_salt(key, at, kind, payload, &hedged_salt(key, random, payload), out)
}

/// The salt of a one-shot seal: unpredictable as long as either the generator works or the key is secret and the
/// payload new.
pub(crate) fn hedged_salt(key: &ObjectKey, random: &[u8; 32], payload: &[u8]) -> [u8; 24] {
    let derived = key.prk().derive(label::SALT, &[random, &hash::sha256(payload)]);
    let [salt @ .., _, _, _, _, _, _, _, _] = *derived.expose();
    salt
}

/// Seals with a given salt. INVARIANT (a salt is used once with a key): callers make it by `hedged_salt`; only vectors
/// give one.
pub(crate) fn seal_with_salt(
    key: &ObjectKey,
    at: &Place,
    kind: Kind,
    payload: &[u8],
    salt: &[u8; 24],
    out: &mut Vec<u8>,
) -> Result<(), SealError> {
    let too_long = SealError::TooLong { limit: kind.limit() };
    let total = sealed_length(kind, payload.len())?;
    let body_len = body_len(kind, payload.len()).ok_or(too_long)?;
    let prefix = Prefix { kind, epoch: key.epoch() }.to_bytes();
    let chunks = Chunks::derive(key, &prefix, salt, at).ok_or(too_long)?;
    let start = out.len();
    out.reserve(total);
    out.extend_from_slice(&prefix);
    out.extend_from_slice(salt);
    out.extend_from_slice(chunks.commitment());
    // The body is payload ‖ marker ‖ zeros; it is laid into place chunk by chunk.
    let mut rest = payload;
    let mut marker = kind.is_padded();
    let mut left = body_len;
    let mut index = 0;
    loop {
        let chunk_start = out.len();
        let len = left.min(CHUNK);
        let (piece, after) = rest.split_at_checked(len).unwrap_or((rest, &[]));
        rest = after;
        out.extend_from_slice(piece);
        if marker && piece.len() < len {
            out.push(pad::MARKER);
            marker = false;
        }
        let chunk_end = chunk_start.saturating_add(len);
        out.resize(chunk_end, 0);
        let tag = out.get_mut(chunk_start..).and_then(|chunk| chunks.seal(index, chunk));
        let Some(tag) = tag else {
            if let Some(made) = out.get_mut(start..) {
                made.zeroize();
            }
            out.truncate(start);
            return Err(too_long);
        };
        out.extend_from_slice(&tag);
        left = left.saturating_sub(len);
        index += 1;
        if len < CHUNK {
            return Ok(());
        }
    }
}

/// Opens at any place.
pub(crate) fn open_at(key: &ObjectKey, at: &Place, kind: Kind, object: &[u8]) -> Result<Opened, OpenError> {
    let chunks = check(key, at, kind, object)?;
    let sealed = object.get(HEAD..).ok_or(OpenError::Truncated)?;
    let mut body = Wiped::new(Vec::with_capacity(sealed.len()));
    for (index, sealed) in (0..).zip(sealed.chunks(SEALED_CHUNK)) {
        let start = body.len();
        let end = sealed.len().checked_sub(TAG).and_then(|len| len.checked_add(start)).ok_or(OpenError::Rejected)?;
        body.resize(end, 0);
        let chunk = body.get_mut(start..).ok_or(OpenError::Rejected)?;
        chunks.open_to(index, sealed, chunk).ok_or(OpenError::Rejected)?;
    }
    let len = payload_len(kind, &body)?;
    Ok(Opened { body, len })
}

/// Opens in place at any place.
pub(crate) fn open_in_place_at<'a>(
    key: &ObjectKey,
    at: &Place,
    kind: Kind,
    object: &'a mut [u8],
) -> Result<&'a [u8], OpenError> {
    let chunks = check(key, at, kind, object)?;
    match open_chunks(&chunks, kind, object) {
        Some(len) => object.get(64..len.saturating_add(64)).ok_or(OpenError::Rejected),
        None => {
            object.zeroize();
            Err(OpenError::Rejected)
        }
    }
}

/// Opens the chunks, moves them together behind the first 64 bytes and gives the payload's length.
fn open_chunks(chunks: &Chunks, kind: Kind, object: &mut [u8]) -> Option<usize> {
    let sealed = object.get_mut(64..)?;
    let mut body = 0_usize;
    for (index, chunk) in (0..).zip(sealed.chunks_mut(SEALED_CHUNK)) {
        body = body.checked_add(chunks.open(index, chunk)?.len())?;
    }
    // The first chunk stands where it belongs.
    let mut from = SEALED_CHUNK;
    let mut to = CHUNK;
    while to < body {
        let len = CHUNK.min(body - to);
        sealed.copy_within(from..from.checked_add(len)?, to);
        from = from.checked_add(SEALED_CHUNK)?;
        to = to.checked_add(CHUNK)?;
    }
    let (body, rest) = sealed.split_at_mut_checked(body)?;
    rest.zeroize();
    payload_len(kind, body).ok()
}

/// Steps 1 to 7 of opening.
fn check(key: &ObjectKey, at: &Place, kind: Kind, object: &[u8]) -> Result<Chunks, OpenError> {
    check_head(key, at, kind, object, object.len().try_into().unwrap_or(u64::MAX))
}

/// The same of an object of `len`, of which at least the head is at hand.
pub(crate) fn check_head(key: &ObjectKey, at: &Place, kind: Kind, head: &[u8], len: u64) -> Result<Chunks, OpenError> {
    let prefix = peek_of(head, len)?;
    if prefix.kind != kind {
        return Err(OpenError::WrongKind);
    }
    if prefix.epoch != key.epoch() {
        return Err(OpenError::UnknownEpoch(prefix.epoch));
    }
    let (_, rest) = head.split_at_checked(8).ok_or(OpenError::Truncated)?;
    let (salt, rest) = rest.split_first_chunk::<24>().ok_or(OpenError::Truncated)?;
    let commitment = rest.first_chunk::<32>().ok_or(OpenError::Truncated)?;
    let chunks = Chunks::derive(key, &prefix.to_bytes(), salt, at).ok_or(OpenError::Rejected)?;
    if chunks.is_committed(commitment) { Ok(chunks) } else { Err(OpenError::Rejected) }
}

/// Step 9 of opening.
fn payload_len(kind: Kind, body: &[u8]) -> Result<usize, OpenError> {
    let len = if kind.is_padded() { pad::unpad(body).ok_or(OpenError::Rejected)? } else { body.len() };
    if kind == Kind::Slot && len != Kind::Slot.limit() { Err(OpenError::Rejected) } else { Ok(len) }
}

/// The length of what is encrypted.
fn body_len(kind: Kind, len: usize) -> Option<usize> {
    if kind.is_padded() { pad::padded(len) } else { Some(len) }
}

const VERSION: u8 = 1;
const SUITE: u8 = 1;
/// 4 TiB, or what the machine can address.
#[cfg(target_pointer_width = "64")]
const MAX_BLOB: usize = 4 << 40;
#[cfg(not(target_pointer_width = "64"))]
const MAX_BLOB: usize = usize::MAX;

#[cfg(test)]
mod tests;
