//! Heads: what a dataset is, signed.

use alloc::vec::Vec;
use core::fmt;

use deedbox_cbor::{Item, Limits, Order, Writer, read};
use deedbox_cose::{
    CoseError, Signer, Thumbprint,
    sign1::{self, Document},
};
use deedbox_crypto::{hash::sha256, label};
use deedbox_merkle::Frontier;
use deedbox_model::{DatasetId, Digest, Epoch, ObjectId, Seq, StoreName, Timestamp};

use crate::{HeadError, HeadKey, KeyCommitment, SealError};

/// A head that the dataset's key signed, or that such a head names as the one before it; made only by verifying. Its age is
/// another question: [`Head::follows`].
///
/// ```cddl
/// head = 18([ bstr .cbor {1: -19, 4: kid: b32}, {}, bstr .cbor head-claims, bstr .size 64 ])
/// head-claims = { 1: store: b16, 2: dataset: b16, 3: seq: uint, 4: prev: b32 / null, 5: root: b32, 6: count: uint,
///                 7: epoch: u32, 8: dk-commit: b32, 9: time: uint, 10: min-suite: uint }
/// ```
/// At most 1,024 bytes; external_aad is `deedbox/1 head` 00. `prev` is null exactly at seq 1.
///
/// ```compile_fail
/// let head = deedbox_record::Head { claims: todo!(), hash: todo!() };
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Head {
    // INVARIANT (verified): the claims stood under a signature of the dataset's head key, or their hash did.
    claims: Claims,
    hash: Digest,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claims {
    pub(crate) store: StoreName,
    pub(crate) dataset: DatasetId,
    pub(crate) seq: Seq,
    pub(crate) prev: Option<Digest>,
    pub(crate) root: Digest,
    pub(crate) count: u64,
    pub(crate) epoch: Epoch,
    pub(crate) commitment: Digest,
    pub(crate) time: Timestamp,
    pub(crate) min_suite: u64,
}

/// What a client remembers of a dataset between sessions: the newest head it accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin {
    seq: Seq,
    hash: Digest,
}

/// How it is known that a head is not an old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Freshness {
    /// It is the pinned head, or follows it without a gap.
    Pinned,
    /// Another device of the person's pinned it.
    Paired,
    /// A connection's receipt names it.
    Receipt,
    /// It is authentic, and nothing says how old. The caller must accept that explicitly.
    Unknown,
}

impl Head {
    /// Verifies that the head's key signed `bytes` as a head.
    ///
    /// # Errors
    /// [`HeadError::Malformed`], [`HeadError::UnknownKey`] when another key signed, [`HeadError::BadSignature`].
    pub fn verify(bytes: &[u8], key: &HeadKey) -> Result<Self, HeadError> {
        if bytes.len() > MAX_LEN {
            return Err(HeadError::Malformed);
        }
        let document = Document::parse(bytes).map_err(|_| HeadError::Malformed)?;
        let document = document.verify(key.verify_key(), label::HEAD.as_bytes()).map_err(|error| match error {
            CoseError::Kid => HeadError::UnknownKey,
            _ => HeadError::BadSignature,
        })?;
        let item = read(document.payload(), Order::Canonical, &Limits::new(MAX_LEN)).ok();
        let claims = item.and_then(Claims::from_item).ok_or(HeadError::Malformed)?;
        Ok(Self { claims, hash: Digest::from_bytes(sha256(bytes)) })
    }

    /// Reads the head that `next` names as the one before it. Its signature is not checked: that of `next` covers it.
    pub(crate) fn vouched_for(bytes: &[u8], next: &Self) -> Option<Self> {
        let hash = Digest::from_bytes(sha256(bytes));
        if next.prev() != Some(&hash) {
            return None;
        }
        let document = Document::parse(bytes).ok()?;
        let item = read(document.peek().payload(), Order::Canonical, &Limits::new(MAX_LEN)).ok()?;
        let claims = Claims::from_item(item)?;
        Some(Self { claims, hash })
    }

    /// The key that a head claims to be signed with: to find it, and for nothing else.
    ///
    /// # Errors
    /// [`HeadError::Malformed`].
    pub fn peek_key(bytes: &[u8]) -> Result<Thumbprint, HeadError> {
        if bytes.len() > MAX_LEN {
            return Err(HeadError::Malformed);
        }
        sign1::peek_kid(bytes).map_err(|_| HeadError::Malformed)
    }

    /// Number and hash of a head that nobody may have signed.
    pub(crate) fn peek_pin(bytes: &[u8]) -> Option<Pin> {
        if bytes.len() > MAX_LEN {
            return None;
        }
        let document = Document::parse(bytes).ok()?;
        let claims = read(document.peek().payload(), Order::Canonical, &Limits::new(MAX_LEN)).ok()?;
        let mut fields = claims.as_map()?.fields();
        let (_store, _dataset) = (fields.required(1)?, fields.required(2)?);
        let seq = Seq::decode(fields.required(3)?)?;
        Some(Pin { seq, hash: Digest::from_bytes(sha256(bytes)) })
    }

    /// Whether this head is the pinned one or comes after it.
    ///
    /// A later head that is not the very next is [`Freshness::Unknown`] by itself: the heads between would tell.
    ///
    /// # Errors
    /// [`HeadError::Rollback`], [`HeadError::Fork`].
    pub fn follows(&self, pin: &Pin) -> Result<Freshness, HeadError> {
        let got = self.claims.seq;
        if got < pin.seq {
            return Err(HeadError::Rollback { pinned: pin.seq, got });
        }
        if got == pin.seq {
            return if self.hash == pin.hash { Ok(Freshness::Pinned) } else { Err(HeadError::Fork { seq: got }) };
        }
        if self.claims.prev == Some(pin.hash) {
            return Ok(Freshness::Pinned);
        }
        if Some(got) == pin.seq.next() { Err(HeadError::Fork { seq: got }) } else { Ok(Freshness::Unknown) }
    }

    /// What to remember of it.
    #[must_use]
    pub const fn pin(&self) -> Pin {
        Pin { seq: self.claims.seq, hash: self.hash }
    }

    /// SHA-256 of the head's bytes.
    #[must_use]
    pub const fn hash(&self) -> &Digest {
        &self.hash
    }

    /// The store, as the dataset's readers know it.
    #[must_use]
    pub const fn store(&self) -> &StoreName {
        &self.claims.store
    }

    /// The dataset.
    #[must_use]
    pub const fn dataset(&self) -> &DatasetId {
        &self.claims.dataset
    }

    /// Its number.
    #[must_use]
    pub const fn seq(&self) -> Seq {
        self.claims.seq
    }

    /// SHA-256 of the head before it.
    #[must_use]
    pub const fn prev(&self) -> Option<&Digest> {
        self.claims.prev.as_ref()
    }

    /// The root of the state tree.
    #[must_use]
    pub const fn root(&self) -> &Digest {
        &self.claims.root
    }

    /// How many objects there are, tombstones too.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.claims.count
    }

    /// The dataset's epoch.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.claims.epoch
    }

    /// When it was signed, by the signer's clock.
    #[must_use]
    pub const fn time(&self) -> Timestamp {
        self.claims.time
    }

    /// The least suite that objects may have.
    #[must_use]
    pub const fn min_suite(&self) -> u64 {
        self.claims.min_suite
    }

    /// Whether it commits to this key.
    #[must_use]
    pub fn commits_to(&self, commitment: &KeyCommitment) -> bool {
        self.claims.commitment.as_bytes() == commitment.as_bytes()
    }
}

/// Prints number and count.
impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Head").field("seq", &self.claims.seq).field("count", &self.claims.count).finish_non_exhaustive()
    }
}

impl Pin {
    /// A pin as it was kept.
    #[must_use]
    pub const fn new(seq: Seq, hash: Digest) -> Self {
        Self { seq, hash }
    }

    /// The head's number.
    #[must_use]
    pub const fn seq(&self) -> Seq {
        self.seq
    }

    /// SHA-256 of the head's bytes.
    #[must_use]
    pub const fn hash(&self) -> &Digest {
        &self.hash
    }
}

impl Claims {
    fn from_item(item: Item<'_>) -> Option<Self> {
        let mut fields = item.as_map()?.fields();
        let store = StoreName::decode(fields.required(1)?)?;
        let dataset = DatasetId::decode(fields.required(2)?)?;
        let seq = Seq::decode(fields.required(3)?)?;
        let prev = fields.required(4)?;
        let prev = if prev.is_null() { None } else { Some(Digest::decode(prev)?) };
        let claims = Self {
            store,
            dataset,
            seq,
            prev,
            root: Digest::decode(fields.required(5)?)?,
            count: fields.required(6)?.as_u64()?,
            epoch: Epoch::decode(fields.required(7)?)?,
            commitment: Digest::decode(fields.required(8)?)?,
            time: Timestamp::decode(fields.required(9)?)?,
            min_suite: fields.required(10)?.as_u64()?,
        };
        fields.finish()?;
        (claims.prev.is_none() == (claims.seq == Seq::FIRST)).then_some(claims)
    }

    /// Signs the head and gives its bytes with what a verifier would make of them.
    pub(crate) fn sign(self, signer: &impl Signer) -> Result<(Vec<u8>, Head), SealError> {
        let mut writer = Writer::with_capacity(256);
        writer.map(|map| {
            map.int(1, |w| self.store.encode(w));
            map.int(2, |w| self.dataset.encode(w));
            map.int(3, |w| self.seq.encode(w));
            map.int(4, |w| match &self.prev {
                Some(prev) => prev.encode(w),
                None => {
                    w.null();
                }
            });
            map.int(5, |w| self.root.encode(w));
            map.int(6, |w| {
                w.uint(self.count);
            });
            map.int(7, |w| self.epoch.encode(w));
            map.int(8, |w| self.commitment.encode(w));
            map.int(9, |w| self.time.encode(w));
            map.int(10, |w| {
                w.uint(self.min_suite);
            });
        });
        let bytes = sign1::document(signer, label::HEAD.as_bytes(), writer.as_slice()).map_err(|_| SealError::NoKey)?;
        let hash = Digest::from_bytes(sha256(&bytes));
        Ok((bytes, Head { claims: self, hash }))
    }
}

/// An object as the state tree sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    object: ObjectId,
    seq: Seq,
    kind: u8,
    sha256: Digest,
}

impl Entry {
    /// An object of that kind, written by head `seq`, whose bytes have that SHA-256.
    #[must_use]
    pub const fn new(object: ObjectId, seq: Seq, kind: u8, sha256: Digest) -> Self {
        Self { object, seq, kind, sha256 }
    }

    /// The object's id.
    #[must_use]
    pub const fn object(&self) -> &ObjectId {
        &self.object
    }

    /// The number of the head that wrote it.
    #[must_use]
    pub const fn seq(&self) -> Seq {
        self.seq
    }

    /// The number of its kind.
    #[must_use]
    pub const fn kind(&self) -> u8 {
        self.kind
    }

    /// SHA-256 of its bytes.
    #[must_use]
    pub const fn sha256(&self) -> &Digest {
        &self.sha256
    }

    /// Its leaf hash, SHA-256(00 ‖ object ‖ seq ‖ kind ‖ SHA-256 of the bytes): all that others see of it who hold only
    /// other objects' keys.
    #[must_use]
    pub fn leaf_hash(&self) -> Digest {
        Digest::from_bytes(self.leaf())
    }

    fn leaf(&self) -> [u8; 32] {
        let seq = self.seq.get().to_be_bytes();
        deedbox_merkle::leaf_hash_of(&[self.object.as_bytes(), &seq, &[self.kind], self.sha256.as_bytes()])
    }
}

/// The state root of entries: the RFC 9162 tree over their leaves, in the order of object ids.
#[must_use]
pub fn state_root(entries: &[Entry]) -> Digest {
    if entries.is_sorted_by(|one, next| one.object < next.object) {
        return root_of_sorted(entries);
    }
    let mut sorted = entries.to_vec();
    sorted.sort_unstable_by_key(|entry| entry.object);
    root_of_sorted(&sorted)
}

pub(crate) fn root_of_sorted(entries: &[Entry]) -> Digest {
    let mut tree = Frontier::new();
    for entry in entries {
        // A tree of 2^64 leaves is beyond any memory.
        let _ = tree.push(entry.leaf());
    }
    Digest::from_bytes(tree.root())
}

/// A head's own length is about 330 bytes.
const MAX_LEN: usize = 1_024;

#[cfg(test)]
mod tests;
