//! Which copy of a batch is shown to whom, so that verifiers who compare notes don't meet the same one twice.

use alloc::vec::Vec;
use core::fmt;

use deedbox_cbor::{Item, Limits, Order, Writer};
use deedbox_cose::Thumbprint;
use deedbox_crypto::hash;
use deedbox_model::{Digest, Timestamp};

use crate::{error::PoolError, hold::HeldCredential, profile, verify::Audience};

/// How often one copy is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PoolPolicy {
    /// One copy for everybody until it expires: those who compare notes within that time can link what they saw.
    LimitedTime,
    /// Each copy once. The default.
    OnceOnly,
    /// Each verifier sees one copy again and again, and knows the person again; two verifiers never see the same.
    PerVerifier,
}

/// What whoever allows reuse takes into the bargain: an empty pool then shows a copy again, and the verifiers who see it can
/// link the two.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_structs, reason = "written out by whoever takes it into the bargain")]
pub struct LinkableByVerifiers;

/// The copies of one batch, and which of them were shown to whom. Pure: it holds digests, the caller holds the credentials.
///
/// ```cddl
/// pool = { 1: 1, 2: policy, 3: reuse: bool, 4: [* copy] }        ; policy 0 once only, 1 per verifier, 2 limited time
/// copy = [digest: bstr .size 32, key: bstr .size 32, expires: uint / null, uses: uint, verifier: bstr .size 32 / null]
/// ```
///
/// # Security
/// The caller stores the pool after [`take`](Self::take) and before the presentation leaves: a pool restored from an older
/// state shows copies again. It says which verifiers the person met, so it belongs into a store that is sealed.
#[derive(Clone, PartialEq, Eq)]
pub struct CredentialPool {
    policy: PoolPolicy,
    reuse: bool,
    // INVARIANT (distinct): no credential and no holder key twice.
    copies: Vec<Pooled>,
}

#[derive(Clone, PartialEq, Eq)]
struct Pooled {
    digest: Digest,
    key: Thumbprint,
    expires: Option<Timestamp>,
    uses: u64,
    verifier: Option<Digest>,
}

impl Pooled {
    fn of(held: &HeldCredential) -> Self {
        Self {
            digest: held.digest(),
            key: held.holder_key().thumbprint(),
            expires: held.expires_at(),
            uses: 0,
            verifier: None,
        }
    }

    fn is_good(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }

    fn is_unused(&self, now: Timestamp) -> bool {
        self.uses == 0 && self.is_good(now)
    }
}

impl CredentialPool {
    /// A pool of copies that were never shown.
    ///
    /// # Errors
    /// [`PoolError::Linkable`] when two copies are bound to one key or are the same; [`PoolError::TooMany`].
    pub fn new(batch: &[HeldCredential], policy: PoolPolicy) -> Result<Self, PoolError> {
        let mut pool = Self { policy, reuse: false, copies: Vec::new() };
        pool.refill(batch)?;
        Ok(pool)
    }

    /// Shows a copy again when none is left, rather than nothing.
    #[must_use]
    pub fn allow_reuse(self, _: LinkableByVerifiers) -> Self {
        Self { reuse: true, ..self }
    }

    /// Adds the copies of another batch. What was shown to whom stays known.
    ///
    /// # Errors
    /// Those of [`new`](Self::new); the pool is as it was then.
    pub fn refill(&mut self, batch: &[HeldCredential]) -> Result<(), PoolError> {
        let mut copies = self.copies.clone();
        copies.extend(batch.iter().map(Pooled::of));
        if copies.len() > profile::MAX_POOL {
            return Err(PoolError::TooMany);
        }
        if !is_distinct(&copies) {
            return Err(PoolError::Linkable);
        }
        self.copies = copies;
        Ok(())
    }

    /// Chooses the copy for `to`, and marks it: the digest of a credential ([`HeldCredential::digest`]).
    ///
    /// # Errors
    /// [`PoolError::Empty`] when no copy is left that may be shown.
    pub fn take(&mut self, to: &Audience, now: Timestamp) -> Result<Digest, PoolError> {
        let verifier = Digest::from_bytes(hash::sha256(to.as_str().as_bytes()));
        let good = |copy: &&mut Pooled| copy.is_good(now);
        let policy = self.policy;
        let again = |copy: &&mut Pooled| match policy {
            PoolPolicy::LimitedTime => copy.uses > 0,
            PoolPolicy::OnceOnly => false,
            PoolPolicy::PerVerifier => copy.verifier == Some(verifier),
        };
        let known = self.copies.iter_mut().filter(good).find(again);
        let copy = match known {
            Some(copy) => copy,
            None => {
                // The first to expire; of equals, the first.
                let expires = |copy: &&mut Pooled| copy.expires.map_or(u64::MAX, Timestamp::secs);
                let unused = self.copies.iter().any(|copy| copy.is_unused(now));
                let left = self.copies.iter_mut().filter(good);
                let next = if unused {
                    left.filter(|copy| copy.uses == 0).min_by_key(expires)
                } else if self.reuse {
                    left.min_by_key(|copy| copy.uses)
                } else {
                    None
                };
                let next = next.ok_or(PoolError::Empty)?;
                if policy == PoolPolicy::PerVerifier && next.verifier.is_none() {
                    next.verifier = Some(verifier);
                }
                next
            }
        };
        copy.uses = copy.uses.saturating_add(1);
        Ok(copy.digest)
    }

    /// How many copies were never shown and are still valid.
    #[must_use]
    pub fn left(&self, now: Timestamp) -> usize {
        self.copies.iter().filter(|copy| copy.is_unused(now)).count()
    }

    /// Whether another batch should be fetched: a quarter or less is left of the copies that are still valid.
    #[must_use]
    pub fn refill_due(&self, now: Timestamp) -> bool {
        let valid = self.copies.iter().filter(|copy| copy.is_good(now)).count();
        self.left(now).saturating_mul(4) <= valid
    }

    /// Forgets copies that expired, and gives their digests, so that the caller can delete them.
    pub fn drop_expired(&mut self, now: Timestamp) -> Vec<Digest> {
        let expired = self.copies.iter().filter(|copy| !copy.is_good(now)).map(|copy| copy.digest).collect();
        self.copies.retain(|copy| copy.is_good(now));
        expired
    }

    /// Reads what [`to_bytes`](Self::to_bytes) gave, at most 1 MiB.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let item = deedbox_cbor::read(bytes, Order::Canonical, &Limits::new(1 << 20)).ok()?;
        let mut fields = item.as_map()?.fields();
        fields.required(1)?.as_u64().filter(|version| *version == 1)?;
        let policy = match fields.required(2)?.as_u64()? {
            0 => PoolPolicy::OnceOnly,
            1 => PoolPolicy::PerVerifier,
            2 => PoolPolicy::LimitedTime,
            _ => return None,
        };
        let reuse = fields.required(3)?.as_bool()?;
        let copies: Option<Vec<_>> = fields.required(4)?.as_array()?.iter().map(read_copy).collect();
        fields.finish()?;
        let copies = copies.filter(|copies| copies.len() <= profile::MAX_POOL && is_distinct(copies))?;
        // A verifier is remembered of copies that were shown, under the one policy that asks for it.
        let stray = |copy: &Pooled| copy.verifier.is_some() && (copy.uses == 0 || policy != PoolPolicy::PerVerifier);
        if copies.iter().any(stray) { None } else { Some(Self { policy, reuse, copies }) }
    }

    /// Writes it as one item of canonical CBOR.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let policy = match self.policy {
            PoolPolicy::OnceOnly => 0,
            PoolPolicy::PerVerifier => 1,
            PoolPolicy::LimitedTime => 2,
        };
        let mut writer = Writer::new();
        writer.map(|to| {
            to.int(1, |w| {
                w.uint(1);
            });
            to.int(2, |w| {
                w.uint(policy);
            });
            to.int(3, |w| {
                w.bool(self.reuse);
            });
            to.int(4, |w| {
                w.array(self.copies.len());
                for copy in &self.copies {
                    write_copy(w, copy);
                }
            });
        });
        writer.into_vec()
    }
}

/// Prints numbers only.
impl fmt::Debug for CredentialPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialPool").field("copies", &self.copies.len()).finish_non_exhaustive()
    }
}

fn read_copy(item: Item<'_>) -> Option<Pooled> {
    let [digest, key, expires, uses, verifier] = item.as_array()?.exactly()?;
    let expires = if expires.is_null() { None } else { Some(Timestamp::decode(expires)?) };
    let verifier = if verifier.is_null() { None } else { Some(Digest::decode(verifier)?) };
    let key = Thumbprint::from_bytes(key.as_byte_array()?);
    Some(Pooled { digest: Digest::decode(digest)?, key, expires, uses: uses.as_u64()?, verifier })
}

fn write_copy(writer: &mut Writer, copy: &Pooled) {
    writer.array(5);
    copy.digest.encode(writer);
    writer.bytes(copy.key.as_bytes());
    match copy.expires {
        Some(expires) => expires.encode(writer),
        None => {
            writer.null();
        }
    }
    writer.uint(copy.uses);
    match copy.verifier {
        Some(verifier) => verifier.encode(writer),
        None => {
            writer.null();
        }
    }
}

fn is_distinct(copies: &[Pooled]) -> bool {
    let mut names: Vec<&[u8; 32]> = copies.iter().map(|copy| copy.digest.as_bytes()).collect();
    let mut keys: Vec<&[u8; 32]> = copies.iter().map(|copy| copy.key.as_bytes()).collect();
    names.sort_unstable();
    keys.sort_unstable();
    [names, keys].iter().all(|list| list.is_sorted_by(|left, right| left < right))
}
