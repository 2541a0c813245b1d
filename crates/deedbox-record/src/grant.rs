//! Grants: the keys of a dataset, or of single objects, handed to the other side of an agreement.

use alloc::{collections::BTreeSet, vec::Vec};
use core::fmt;

use deedbox_cbor::{Item, Limits, Order, Writer, read};
use deedbox_cose::{
    RecipientKey, RecipientSecret, Signer, Thumbprint, VerifyKey, encrypt0,
    sign1::{self, Document},
};
use deedbox_crypto::{hash::sha256, label, secret::SecretBytes};
use deedbox_model::{DatasetId, Digest, Epoch, GrantId, ObjectId, StoreName, Timestamp};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::{
    Dataset, DatasetKey, EpochKeys, GrantError, Head, HeadKey, ObjectKey, PartialReplica, Replica, key::HeadSeed,
};

/// What a grant opens to its grantee, in one epoch of one dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the format has these three")]
pub enum GrantScope {
    /// 1: every object.
    Read,
    /// 2: every object, and to sign heads. To reach the host it takes a capability besides.
    Write,
    /// 3: these objects and none of their neighbours, 1 to 256 of them.
    Objects(
        /// Their ids.
        Vec<ObjectId>,
    ),
}

/// What grants need of an agreement that both sides signed and that was verified, seen from one side.
///
/// This crate knows no connections, and no function of it seals a grant to a bare public key: the only way to a
/// [`Grantee`] leads through this trait. Implement it for a type that can't exist without verified evidence (the facade does
/// so for an `Agreement` of `deedbox-connect`), never for a pair of keys.
pub trait VerifiedAgreement {
    /// SHA-256 of what both sides signed.
    fn hash(&self) -> Digest;

    /// Whether it is in force at `now`.
    fn holds(&self, now: Timestamp) -> bool;

    /// The key by which this side signs documents.
    fn own_sign_key(&self) -> &VerifyKey;

    /// The key by which the other side signs documents.
    fn peer_sign_key(&self) -> &VerifyKey;

    /// The key to which things are sealed for the other side. X-Wing is the only kind there is, so that no grant is sealed to
    /// a weaker key besides.
    fn peer_seal_key(&self) -> &RecipientKey;
}

impl<T: VerifiedAgreement + ?Sized> VerifiedAgreement for &T {
    fn hash(&self) -> Digest {
        (**self).hash()
    }

    fn holds(&self, now: Timestamp) -> bool {
        (**self).holds(now)
    }

    fn own_sign_key(&self) -> &VerifyKey {
        (**self).own_sign_key()
    }

    fn peer_sign_key(&self) -> &VerifyKey {
        (**self).peer_sign_key()
    }

    fn peer_seal_key(&self) -> &RecipientKey {
        (**self).peer_seal_key()
    }
}

/// Who may be granted something: the other side of a verified agreement that holds.
///
/// ```compile_fail
/// fn anybody(key: deedbox_cose::RecipientKey) -> deedbox_record::Grantee {
///     deedbox_record::Grantee { seal: key, ..todo!() } // a key alone is nobody
/// }
/// ```
#[derive(Clone)]
pub struct Grantee {
    agreement: Digest,
    // The key that signs grants under the agreement.
    signer: Thumbprint,
    seal: RecipientKey,
}

impl Grantee {
    /// The other side of `agreement`.
    ///
    /// # Errors
    /// [`GrantError::Expired`] when the agreement doesn't hold at `now`.
    pub fn of(agreement: &impl VerifiedAgreement, now: Timestamp) -> Result<Self, GrantError> {
        if !agreement.holds(now) {
            return Err(GrantError::Expired);
        }
        Ok(Self {
            agreement: agreement.hash(),
            signer: agreement.own_sign_key().thumbprint(),
            seal: agreement.peer_seal_key().clone(),
        })
    }

    /// The agreement's hash.
    #[must_use]
    pub const fn agreement(&self) -> &Digest {
        &self.agreement
    }
}

/// Prints nothing: agreement and key link those who hold them.
impl fmt::Debug for Grantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grantee").finish_non_exhaustive()
    }
}

/// A grant to be made: what, for how long, as of which head. It is sealed to each grantee separately.
pub struct GrantDraft<'a> {
    id: GrantId,
    dataset: &'a Dataset,
    head: &'a Head,
    scope: GrantScope,
    not_after: Timestamp,
}

impl<'a> GrantDraft<'a> {
    /// A grant on the state of `dataset` that `head` signs, the newest committed one.
    #[must_use]
    pub const fn new(
        id: GrantId,
        dataset: &'a Dataset,
        head: &'a Head,
        scope: GrantScope,
        not_after: Timestamp,
    ) -> Self {
        Self { id, dataset, head, scope, not_after }
    }

    /// Signs the grant with the own key of the grantee's agreement and seals it to the other side.
    ///
    /// To issue it again, to the same grantee or another, is safe: it hands over the same keys.
    ///
    /// # Errors
    /// [`GrantError::Expired`] when the grant would be over at `now`; [`GrantError::Limit`] for no object or more than 256;
    /// [`GrantError::KeyMismatch`] when the head is not one of the dataset's current keys, or the signer not the
    /// agreement's; [`GrantError::Signer`].
    ///
    /// # Security
    /// What the grantee read, and a key it got, it can keep: revoking means new keys for what is written from then on.
    pub fn issue(
        &self,
        grantee: &Grantee,
        signer: &impl Signer,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<SealedGrant, GrantError> {
        if now >= self.not_after {
            return Err(GrantError::Expired);
        }
        let (store, dataset, keys) = (*self.dataset.store(), *self.dataset.id(), self.dataset.keys());
        let epoch = keys.current().ok_or(GrantError::KeyMismatch)?;
        let key = keys.key(epoch).ok_or(GrantError::KeyMismatch)?;
        let head_key = keys.head_key(epoch).and_then(|key| Some(*key.verify_key().as_ed25519()?.as_bytes()));
        let terms = Terms {
            id: self.id,
            store,
            dataset,
            epoch,
            head_key: head_key.ok_or(GrantError::KeyMismatch)?,
            grantee: grantee.seal.thumbprint(),
            agreement: grantee.agreement,
            not_after: self.not_after,
            head: *self.head.hash(),
        };
        let is_of_keys = terms.is_place_of(self.head) && self.head.commits_to(&key.commitment(&store, &dataset));
        if !is_of_keys || signer.public().thumbprint() != grantee.signer {
            return Err(GrantError::KeyMismatch);
        }
        let claims = match &self.scope {
            GrantScope::Read => terms.encode(0, |w| write_dataset(key, None, w)),
            GrantScope::Write => {
                let seed = keys.head_seed(epoch).ok_or(GrantError::KeyMismatch)?;
                terms.encode(0, |w| write_dataset(key, Some(seed), w))
            }
            GrantScope::Objects(objects) => {
                // In the order of ids, each once: one set of objects has one encoding.
                let objects: BTreeSet<&ObjectId> = objects.iter().collect();
                if objects.is_empty() || objects.len() > MAX_OBJECTS {
                    return Err(GrantError::Limit);
                }
                let keys: Vec<_> = objects.into_iter().map(|object| (*object, key.object_key(object))).collect();
                terms.encode(keys.len(), |w| write_objects(&keys, w))
            }
        };
        let document = sign1::document(signer, label::GRANT.as_bytes(), &claims).map_err(|_| GrantError::Signer)?;
        let document = Zeroizing::new(document);
        let bytes = encrypt0::seal(&grantee.seal, label::GRANT_SEAL.as_bytes(), &document, rng);
        Ok(SealedGrant { bytes: bytes.map_err(|_| GrantError::Limit)? })
    }
}

/// Prints the scope's kind.
impl fmt::Debug for GrantDraft<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrantDraft").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A grant as it travels: a document signed by the granting side, sealed to the receiving side.
///
/// ```cddl
/// grant        = COSE_Encrypt0 by HPKE, X-Wing in base mode, info "deedbox/1 grant-seal" 00, around
///                18([ bstr .cbor {1: -19, 4: kid: b32}, {}, bstr .cbor grant-claims, bstr .size 64 ])
/// grant-claims = { 1: grant: b16, 2: store: b16, 3: dataset: b16, 4: epoch: u32, 5: scope, 6: head-key: b32,
///                  7: grantee: b32, 8: agreement: b32, 9: not-after: uint, 10: head: b32 }
/// scope        = [1, dk: b32] / [2, dk: b32, head-seed: b32] / [3, [1*256 [object: b16, key: b32]]]
/// ```
/// At most 16,384 bytes; external_aad of the signature is `deedbox/1 grant` 00. Its length tells how many objects it names:
/// send it in a sealed message, which pads.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedGrant {
    bytes: Vec<u8>,
}

impl SealedGrant {
    /// Takes bytes that may be a grant; no key is used.
    ///
    /// # Errors
    /// [`GrantError::Malformed`] beyond 16,384 bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, GrantError> {
        if bytes.len() > MAX_LEN { Err(GrantError::Malformed) } else { Ok(Self { bytes: bytes.to_vec() }) }
    }

    /// The bytes, to be sent or kept.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Opens the grant and checks who made it, for whom and until when. `known` gives the agreement of that hash, unless it
    /// has ended.
    ///
    /// Checked in this order: form, seal, form of what was sealed, grantee, agreement, signature, time.
    ///
    /// # Errors
    /// In that order: [`GrantError::Malformed`], [`GrantError::Rejected`], [`GrantError::Malformed`],
    /// [`GrantError::NotForUs`], [`GrantError::UnknownAgreement`], [`GrantError::Rejected`], [`GrantError::Expired`];
    /// [`GrantError::KeyMismatch`] when the key that signs heads is not the one that verifies them.
    pub fn open<A: VerifiedAgreement>(
        &self,
        secret: &RecipientSecret,
        known: impl FnOnce(&Digest) -> Option<A>,
        now: Timestamp,
    ) -> Result<VerifiedGrant, GrantError> {
        let opened = encrypt0::open(secret, label::GRANT_SEAL.as_bytes(), &self.bytes);
        let opened = opened.map_err(|error| match error {
            encrypt0::OpenError::Rejected => GrantError::Rejected,
            _ => GrantError::Malformed,
        })?;
        let document = Document::parse(&opened).map_err(|_| GrantError::Malformed)?;
        let item = read(document.peek().payload(), Order::Canonical, &Limits::new(MAX_LEN)).ok();
        let claims = item.and_then(Claims::from_item).ok_or(GrantError::Malformed)?;
        let Claims { terms, keys } = &claims;
        if terms.grantee != secret.public().thumbprint() {
            return Err(GrantError::NotForUs);
        }
        let agreement = known(&terms.agreement).filter(|agreement| agreement.hash() == terms.agreement);
        let agreement = agreement.ok_or(GrantError::UnknownAgreement)?;
        let key = agreement.peer_sign_key();
        document.verify(key, label::GRANT.as_bytes()).map_err(|_| GrantError::Rejected)?;
        if now >= terms.not_after || !agreement.holds(now) {
            return Err(GrantError::Expired);
        }
        match keys {
            Keys::Write(_, seed) if seed.public_bytes() != terms.head_key => Err(GrantError::KeyMismatch),
            _ => Ok(VerifiedGrant { claims }),
        }
    }
}

/// Prints the length.
impl fmt::Debug for SealedGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedGrant").field("len", &self.bytes.len()).finish_non_exhaustive()
    }
}

/// A grant of the other side's, for us, in time; made only by [`SealedGrant::open`]. Its keys come out against the head it
/// names: [`VerifiedGrant::accept`].
///
/// ```compile_fail
/// fn twice(grant: deedbox_record::VerifiedGrant) {
///     let _ = grant.accept(b"");
///     let _ = grant.accept(b""); // it was used up
/// }
/// ```
/// ```compile_fail
/// fn copy(grant: &deedbox_record::VerifiedGrant) -> deedbox_record::VerifiedGrant { grant.clone() }
/// ```
pub struct VerifiedGrant {
    // INVARIANT (verified): signed by the peer of a known agreement that held, for our key, before its end.
    claims: Claims,
}

/// What came of a grant: a state to be filled from the host, and what opens it.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "a grant is on a dataset or on objects of it")]
pub enum Granted {
    /// Read or write.
    Dataset {
        /// The dataset, pinned at the head that the grant names.
        replica: Replica,
        /// What opens its objects, verifies its heads and, to write, signs them.
        keys: EpochKeys,
    },
    /// Single objects.
    Objects(
        /// What is known of the dataset, pinned at the head that the grant names.
        PartialReplica,
    ),
}

impl VerifiedGrant {
    /// Its id.
    #[must_use]
    pub const fn id(&self) -> &GrantId {
        &self.claims.terms.id
    }

    /// The store, as the dataset's readers know it.
    #[must_use]
    pub const fn store(&self) -> &StoreName {
        &self.claims.terms.store
    }

    /// The dataset.
    #[must_use]
    pub const fn dataset(&self) -> &DatasetId {
        &self.claims.terms.dataset
    }

    /// The epoch whose keys it hands over. Of two grants of one id the one of the later epoch replaces the other.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.claims.terms.epoch
    }

    /// What it opens.
    #[must_use]
    pub fn scope(&self) -> GrantScope {
        match &self.claims.keys {
            Keys::Read(_) => GrantScope::Read,
            Keys::Write(..) => GrantScope::Write,
            Keys::Objects(keys) => GrantScope::Objects(keys.iter().map(|(object, _)| *object).collect()),
        }
    }

    /// The agreement under which it was made.
    #[must_use]
    pub const fn agreement(&self) -> &Digest {
        &self.claims.terms.agreement
    }

    /// From then on it must not be used. Keys know no time: this binds who keeps to it.
    #[must_use]
    pub const fn not_after(&self) -> Timestamp {
        self.claims.terms.not_after
    }

    /// SHA-256 of the head to fetch and accept the grant with: the newest one when it was made.
    #[must_use]
    pub const fn head(&self) -> &Digest {
        &self.claims.terms.head
    }

    /// Checks the keys against the head that the grant names and gives them away.
    ///
    /// A head commits to one dataset key, so two grantees of one head hold the same.
    ///
    /// # Errors
    /// [`GrantError::KeyMismatch`] when `head` is another one, or not of the grant's dataset, epoch and keys.
    pub fn accept(self, head: &[u8]) -> Result<Granted, GrantError> {
        let Claims { terms, keys } = self.claims;
        if sha256(head) != *terms.head.as_bytes() {
            return Err(GrantError::KeyMismatch);
        }
        let head_key = HeadKey::from_bytes(&terms.head_key).ok_or(GrantError::KeyMismatch)?;
        let head = Head::verify(head, &head_key).map_err(|_| GrantError::KeyMismatch)?;
        if !terms.is_place_of(&head) {
            return Err(GrantError::KeyMismatch);
        }
        let (key, seed) = match keys {
            Keys::Read(key) => (key, None),
            Keys::Write(key, seed) => (key, Some(seed)),
            Keys::Objects(keys) => return Ok(Granted::Objects(PartialReplica::new(head_key, keys, &head))),
        };
        if !head.commits_to(&key.commitment(&terms.store, &terms.dataset)) {
            return Err(GrantError::KeyMismatch);
        }
        let replica = Replica::pinned(terms.store, terms.dataset, head.pin());
        Ok(Granted::Dataset { replica, keys: EpochKeys::granted(key, seed, terms.head_key) })
    }

    /// The claims as they were signed, keys and all.
    #[cfg(any(test, feature = "test-util"))]
    pub(crate) fn encode_claims(&self) -> Zeroizing<Vec<u8>> {
        self.claims.encode()
    }
}

/// Prints id and epoch.
impl fmt::Debug for VerifiedGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedGrant").field("id", self.id()).field("epoch", &self.epoch()).finish_non_exhaustive()
    }
}

struct Claims {
    terms: Terms,
    keys: Keys,
}

/// Everything in a grant that is no secret.
struct Terms {
    id: GrantId,
    store: StoreName,
    dataset: DatasetId,
    epoch: Epoch,
    head_key: [u8; 32],
    grantee: Thumbprint,
    agreement: Digest,
    not_after: Timestamp,
    head: Digest,
}

enum Keys {
    Read(DatasetKey),
    Write(DatasetKey, HeadSeed),
    // INVARIANT (ascending object ids).
    Objects(Vec<(ObjectId, ObjectKey)>),
}

impl Claims {
    fn from_item(item: Item<'_>) -> Option<Self> {
        let mut fields = item.as_map()?.fields();
        let id = GrantId::decode(fields.required(1)?)?;
        let store = StoreName::decode(fields.required(2)?)?;
        let dataset = DatasetId::decode(fields.required(3)?)?;
        let epoch = Epoch::decode(fields.required(4)?)?;
        let keys = Keys::from_item(fields.required(5)?, epoch)?;
        let terms = Terms {
            id,
            store,
            dataset,
            epoch,
            head_key: fields.required(6)?.as_byte_array()?,
            grantee: Thumbprint::from_bytes(fields.required(7)?.as_byte_array()?),
            agreement: Digest::decode(fields.required(8)?)?,
            not_after: Timestamp::decode(fields.required(9)?)?,
            head: Digest::decode(fields.required(10)?)?,
        };
        fields.finish()?;
        HeadKey::from_bytes(&terms.head_key)?;
        Some(Self { terms, keys })
    }

    #[cfg(any(test, feature = "test-util"))]
    fn encode(&self) -> Zeroizing<Vec<u8>> {
        match &self.keys {
            Keys::Read(key) => self.terms.encode(0, |w| write_dataset(key, None, w)),
            Keys::Write(key, seed) => self.terms.encode(0, |w| write_dataset(key, Some(seed), w)),
            Keys::Objects(keys) => self.terms.encode(keys.len(), |w| write_objects(keys, w)),
        }
    }
}

impl Terms {
    /// Whether `head` is one of the grant's dataset and epoch.
    fn is_place_of(&self, head: &Head) -> bool {
        (head.store(), head.dataset(), head.epoch()) == (&self.store, &self.dataset, self.epoch)
    }

    /// Writes the claims, with `scope` as the one item under key 5.
    fn encode(&self, objects: usize, scope: impl FnOnce(&mut Writer)) -> Zeroizing<Vec<u8>> {
        // Sized before anything is written: a vector that grows leaves copies of secrets behind.
        let capacity = objects.saturating_mul(OBJECT_LEN).saturating_add(TERMS_LEN);
        let mut writer = Writer::with_capacity(capacity);
        writer.map(|map| {
            map.int(1, |w| self.id.encode(w));
            map.int(2, |w| self.store.encode(w));
            map.int(3, |w| self.dataset.encode(w));
            map.int(4, |w| self.epoch.encode(w));
            map.int(5, scope);
            map.int(6, |w| {
                w.bytes(&self.head_key);
            });
            map.int(7, |w| {
                w.bytes(self.grantee.as_bytes());
            });
            map.int(8, |w| self.agreement.encode(w));
            map.int(9, |w| self.not_after.encode(w));
            map.int(10, |w| self.head.encode(w));
        });
        Zeroizing::new(writer.into_vec())
    }
}

impl Keys {
    fn from_item(item: Item<'_>, epoch: Epoch) -> Option<Self> {
        let array = item.as_array()?;
        match (array.get(0)?.as_u64()?, array.exactly(), array.exactly()) {
            (1, Some([_, key]), _) => Some(Self::Read(DatasetKey::of(secret(key)?, epoch))),
            (2, _, Some([_, key, seed])) => {
                Some(Self::Write(DatasetKey::of(secret(key)?, epoch), HeadSeed::of(secret(seed)?)))
            }
            (3, Some([_, list]), _) => {
                let list = list.as_array().filter(|list| (1..=MAX_OBJECTS).contains(&list.len()))?;
                let key = |item: Item<'_>| {
                    let [object, key] = item.as_array()?.exactly()?;
                    Some((ObjectId::decode(object)?, ObjectKey::of(secret(key)?, epoch.get())))
                };
                let keys = list.iter().map(key).collect::<Option<Vec<_>>>()?;
                keys.is_sorted_by(|(one, _), (next, _)| one < next).then_some(Self::Objects(keys))
            }
            _ => None,
        }
    }
}

fn write_dataset(key: &DatasetKey, seed: Option<&HeadSeed>, writer: &mut Writer) {
    match seed {
        None => writer.array(2).uint(1).bytes(key.secret().expose()),
        Some(seed) => writer.array(3).uint(2).bytes(key.secret().expose()).bytes(seed.secret().expose()),
    };
}

fn write_objects(keys: &[(ObjectId, ObjectKey)], writer: &mut Writer) {
    writer.array(2).uint(3).array(keys.len());
    for (object, key) in keys {
        object.encode(writer.array(2));
        writer.bytes(key.secret().expose());
    }
}

fn secret(item: Item<'_>) -> Option<SecretBytes<32>> {
    SecretBytes::try_from_slice(item.as_bytes()?)
}

const MAX_OBJECTS: usize = 256;
/// A sealed grant of 256 objects has some 14,800 bytes.
const MAX_LEN: usize = 16_384;
/// Bytes of an object with its key, and of everything else in the claims, at most.
const OBJECT_LEN: usize = 52;
const TERMS_LEN: usize = 320;

#[cfg(test)]
mod tests;
