//! Signed trust lists: k of n anchors say which keys speak for which issuers, and no list goes back behind another.

use alloc::{borrow::ToOwned, string::String, vec::Vec};
use core::fmt;

use deedbox_cbor::{Item, Limits, MapWriter, Order, Writer};
use deedbox_cose::{KeyError, Sign1Rules, Signer, Thumbprint, Verifier as _, VerifyKey, sign};
use deedbox_crypto::{hash, label};
use deedbox_model::{Digest, Seq, Timestamp};

use super::{Issuer, IssuerKey, KeyState, KeyUse};
use crate::{
    claims::{Date, Vct},
    error::{ClaimsError, Limit, SignedBy, TrustError, TrustListError, VerifyError},
    profile,
    verify::Clock,
};

/// Who signs a trust list: the keys of its anchors, and how many of them must agree.
#[derive(Debug, Clone)]
pub struct TrustAnchors {
    list_id: String,
    keys: Vec<VerifyKey>,
    threshold: usize,
}

impl TrustAnchors {
    /// At least `threshold` of `keys` sign the list named `list_id`.
    ///
    /// # Errors
    /// [`TrustListError::Anchors`] when the threshold is 0 or more than there are different keys, or there are more than 64.
    pub fn try_new(list_id: &str, keys: Vec<VerifyKey>, threshold: usize) -> Result<Self, TrustListError> {
        let mut names: Vec<Thumbprint> = keys.iter().map(VerifyKey::thumbprint).collect();
        names.sort_unstable();
        names.dedup();
        let distinct = names.len() == keys.len();
        if !distinct || threshold == 0 || threshold > keys.len() || keys.len() > profile::MAX_ANCHORS {
            return Err(TrustListError::Anchors);
        }
        Ok(Self { list_id: list_id.to_owned(), keys, threshold })
    }

    /// The list's name.
    #[must_use]
    pub fn list_id(&self) -> &str {
        &self.list_id
    }
}

/// What a store remembers of the newest list it took: its name, number and digest, and every key that any list ever called
/// compromised. Kept by the caller across restarts, where nobody else can write.
///
/// ```cddl
/// trust-pin = { 1: 1, 2: list-id: tstr, 3: seq: uint, 4: digest: bstr .size 32, 5: [* thumbprint: bstr .size 32] }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct TrustPin {
    list_id: String,
    seq: Seq,
    digest: Digest,
    // INVARIANT (sorted): ascending, none twice.
    compromised: Vec<Thumbprint>,
}

impl TrustPin {
    pub(super) fn new(newest: &Newest, compromised: &[Thumbprint]) -> Self {
        let Newest { list_id, seq, digest } = newest;
        Self { list_id: list_id.clone(), seq: *seq, digest: *digest, compromised: compromised.to_vec() }
    }

    pub(super) fn into_parts(self) -> (Newest, Vec<Thumbprint>) {
        (Newest { list_id: self.list_id, seq: self.seq, digest: self.digest }, self.compromised)
    }

    /// The list's name.
    #[must_use]
    pub fn list_id(&self) -> &str {
        &self.list_id
    }

    /// The number of the newest list.
    #[must_use]
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// SHA-256 of the newest list's payload.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Reads what [`to_bytes`](Self::to_bytes) gave, at most 4 MiB.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let item = deedbox_cbor::read(bytes, Order::Canonical, &Limits::new(profile::MAX_TRUST_LIST)).ok()?;
        let mut fields = item.as_map()?.fields();
        fields.required(1)?.as_u64().filter(|version| *version == 1)?;
        let list_id = fields.required(2)?.as_str()?.to_owned();
        let seq = Seq::decode(fields.required(3)?)?;
        let digest = Digest::decode(fields.required(4)?)?;
        let names = fields.required(5)?.as_array()?.iter();
        let compromised: Option<Vec<_>> = names.map(|name| name.as_byte_array().map(Thumbprint::from_bytes)).collect();
        let compromised = compromised.filter(|names| names.is_sorted_by(|left, right| left < right))?;
        fields.finish()?;
        Some(Self { list_id, seq, digest, compromised })
    }

    /// Writes it as one item of canonical CBOR.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.map(|to| {
            uint(to, 1, 1);
            text(to, 2, &self.list_id);
            to.int(3, |w| self.seq.encode(w));
            to.int(4, |w| self.digest.encode(w));
            to.int(5, |w| {
                w.array(self.compromised.len());
                for name in &self.compromised {
                    w.bytes(name.as_bytes());
                }
            });
        });
        writer.into_vec()
    }
}

/// Prints the number, never a name.
impl fmt::Debug for TrustPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustPin").field("seq", &self.seq).finish_non_exhaustive()
    }
}

/// The newest list that was taken.
#[derive(Clone)]
pub(super) struct Newest {
    pub(super) list_id: String,
    pub(super) seq: Seq,
    pub(super) digest: Digest,
}

impl Newest {
    /// Whether `next` may come after this list.
    pub(super) fn precedes(&self, next: &Self) -> Result<(), TrustError> {
        if self.list_id != next.list_id {
            return Err(TrustError::OtherList);
        }
        if next.seq < self.seq {
            return Err(TrustError::Rollback);
        }
        if next.seq == self.seq && next.digest != self.digest { Err(TrustError::Fork) } else { Ok(()) }
    }
}

/// What a list says.
#[derive(Clone)]
pub(super) struct TrustList {
    pub(super) newest: Newest,
    pub(super) next_update: i64,
    // INVARIANT (sorted): by name, none twice.
    pub(super) issuers: Vec<Issuer>,
}

impl TrustList {
    /// Reads a list that enough of the anchors signed.
    ///
    /// ```cddl
    /// trust-list = COSE_Sign (tag 98), external_aad "deedbox/1 trust-list", payload
    ///              { 1: 1, 2: list-id: tstr, 3: seq: uint, 4: iat: int, 5: next-update: int,
    ///                6: [* { 1: iss: tstr, 2: [1*16 listed] }] }
    /// ```
    pub(super) fn verify(bytes: &[u8], anchors: &TrustAnchors, clock: &Clock) -> Result<Self, VerifyError> {
        let signed = sign::Sign::parse(bytes, &RULES)?;
        // Before any of thousands of keys is looked at.
        let signed = signed
            .verify_threshold(&anchors.keys, anchors.threshold, label::TRUST_LIST.as_bytes())
            .map_err(|_| SignedBy::TrustList)?;
        let (list, iat) = Self::read(signed.payload())?;
        if list.newest.list_id != anchors.list_id {
            return Err(TrustError::OtherList.into());
        }
        clock.check_begun([Some(Date::from_secs(iat))])?;
        if list.is_stale(clock) {
            return Err(TrustError::ListStale.into());
        }
        Ok(list)
    }

    pub(super) fn is_stale(&self, clock: &Clock) -> bool {
        clock.now >= i128::from(self.next_update)
    }

    fn read(payload: &[u8]) -> Result<(Self, i64), VerifyError> {
        let payload_item = deedbox_cbor::read(payload, Order::Canonical, &Limits::new(profile::MAX_TRUST_LIST))?;
        let shape = ClaimsError::TrustList;
        let issuers = payload_item.as_map().and_then(|map| map.get_int(6)).and_then(Item::as_array).ok_or(shape)?;
        if issuers.len() > profile::MAX_ISSUERS {
            return Err(VerifyError::Limit { what: Limit::Issuers, max: profile::MAX_ISSUERS });
        }
        let digest = Digest::from_bytes(hash::sha256(payload));
        Ok(Self::read_fields(payload_item, digest).ok_or(shape)?)
    }

    fn read_fields(payload: Item<'_>, digest: Digest) -> Option<(Self, i64)> {
        let mut fields = payload.as_map()?.fields();
        fields.required(1)?.as_u64().filter(|version| *version == 1)?;
        let list_id = fields.required(2)?.as_str()?.to_owned();
        let seq = Seq::decode(fields.required(3)?)?;
        let iat = fields.required(4)?.as_i64()?;
        let next_update = fields.required(5)?.as_i64()?;
        let issuers: Option<Vec<Issuer>> = fields.required(6)?.as_array()?.iter().map(read_issuer).collect();
        fields.finish()?;
        let mut issuers = issuers?;
        issuers.sort_unstable_by(|left, right| left.iss.cmp(&right.iss));
        let distinct = issuers.is_sorted_by(|left, right| left.iss < right.iss);
        distinct.then_some((Self { newest: Newest { list_id, seq, digest }, next_update, issuers }, iat))
    }
}

/// `{ 1: iss: tstr, 2: [1*16 listed] }`; no key twice.
fn read_issuer(item: Item<'_>) -> Option<Issuer> {
    let mut fields = item.as_map()?.fields();
    let iss = fields.required(1)?.as_str()?.to_owned();
    let listed = fields.required(2)?.as_array()?;
    fields.finish()?;
    if listed.is_empty() || listed.len() > profile::MAX_LISTED_KEYS {
        return None;
    }
    let mut keys: Vec<IssuerKey> = Vec::with_capacity(listed.len());
    for item in listed {
        let Some(key) = read_listed(item)? else { continue };
        if keys.iter().any(|known| known.key == key.key) {
            return None;
        }
        keys.push(key);
    }
    Some(Issuer { iss, keys })
}

/// ```cddl
/// listed = { 1: COSE_Key, 2: use, 3: state, ? 4: kid: bstr, ? 5: not-before: int, ? 6: not-after: int, ? 7: [+ tstr / uint] }
/// ```
/// The inner `None` is a key of a kind that this build doesn't verify with.
fn read_listed(item: Item<'_>) -> Option<Option<IssuerKey>> {
    let mut fields = item.as_map()?.fields();
    let key = match VerifyKey::from_item(fields.required(1)?) {
        Err(KeyError::Unsupported) => None,
        key => Some(key.ok()?),
    };
    let usage = match fields.required(2)?.as_u64()? {
        1 => KeyUse::Credentials,
        2 => KeyUse::StatusLists,
        _ => return None,
    };
    let state = match fields.required(3)?.as_u64()? {
        0 => KeyState::Active,
        1 => KeyState::Retired,
        2 => KeyState::Compromised,
        _ => return None,
    };
    let kid = match fields.optional(4)? {
        Some(kid) => Some(kid.as_bytes()?.to_vec()),
        None => None,
    };
    let mut int = |label: i64| {
        Some(match fields.optional(label)? {
            Some(int) => Some(int.as_i64()?),
            None => None,
        })
    };
    let (not_before, not_after) = (int(5)?, int(6)?);
    let types = match fields.optional(7)? {
        Some(types) => Some(read_types(types)?),
        None => None,
    };
    fields.finish()?;
    // Lists are of no type.
    if usage == KeyUse::StatusLists && types.is_some() {
        return None;
    }
    Some(key.map(|key| {
        let listed = IssuerKey::new(key);
        let kid = kid.unwrap_or_else(|| listed.kid.clone());
        IssuerKey { kid, usage, state, not_before, not_after, types, ..listed }
    }))
}

fn read_types(item: Item<'_>) -> Option<Vec<Vct>> {
    let types = item.as_array().filter(|types| !types.is_empty())?;
    types.iter().map(Vct::read).collect()
}

/// The next trust list, as its publisher writes it.
#[derive(Clone)]
pub struct TrustListDraft {
    list_id: String,
    seq: Seq,
    issuers: Vec<Issuer>,
}

impl TrustListDraft {
    /// List number `seq` of `list_id`, without issuers. Every list holds all that is to be trusted from then on.
    #[must_use]
    pub fn new(list_id: &str, seq: Seq) -> Self {
        Self { list_id: list_id.to_owned(), seq, issuers: Vec::new() }
    }

    /// Adds an issuer with 1 to 16 keys. Keys that are retired or compromised stay listed for as long as anybody could show
    /// something that they signed.
    #[must_use]
    pub fn issuer(mut self, iss: &str, keys: impl IntoIterator<Item = IssuerKey>) -> Self {
        self.issuers.push(Issuer { iss: iss.to_owned(), keys: keys.into_iter().collect() });
        self
    }

    /// Writes the list, to be signed by its anchors. It is stale `valid_for_secs` after `now`.
    ///
    /// # Errors
    /// [`TrustListError::Shape`] for an issuer or key given twice, no keys or too many, types on a status key, more than 4,096
    /// issuers or 4 MiB; [`TrustListError::Times`].
    pub fn write(&self, now: Timestamp, valid_for_secs: u64) -> Result<SigningTrustList, TrustListError> {
        let end = now.checked_add_secs(valid_for_secs).ok_or(TrustListError::Times)?;
        let secs = |time: Timestamp| i64::try_from(time.secs()).map_err(|_| TrustListError::Times);
        let (iat, next_update) = (secs(now)?, secs(end)?);
        let mut writer = Writer::new();
        writer.map(|to| {
            uint(to, 1, 1);
            text(to, 2, &self.list_id);
            to.int(3, |w| self.seq.encode(w));
            int(to, 4, iat);
            int(to, 5, next_update);
            to.int(6, |w| {
                w.array(self.issuers.len());
                for issuer in &self.issuers {
                    write_issuer(w, issuer);
                }
            });
        });
        let payload = writer.into_vec();
        // What readers would refuse is not signed.
        TrustList::read(&payload).map_err(|_| TrustListError::Shape)?;
        Ok(SigningTrustList { payload, signatures: Vec::new() })
    }
}

/// Prints numbers only.
impl fmt::Debug for TrustListDraft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustListDraft").field("issuers", &self.issuers.len()).finish_non_exhaustive()
    }
}

fn write_issuer(writer: &mut Writer, issuer: &Issuer) {
    writer.map(|to| {
        text(to, 1, &issuer.iss);
        to.int(2, |w| {
            w.array(issuer.keys.len());
            for key in &issuer.keys {
                w.map(|to| write_listed(to, key));
            }
        });
    });
}

fn write_listed(to: &mut MapWriter, listed: &IssuerKey) {
    let usage = match listed.usage {
        KeyUse::Credentials => 1,
        KeyUse::StatusLists => 2,
    };
    let state = match listed.state {
        KeyState::Active => 0,
        KeyState::Retired => 1,
        KeyState::Compromised => 2,
    };
    to.int(1, |w| listed.key.encode(w));
    uint(to, 2, usage);
    uint(to, 3, state);
    if listed.kid != listed.key.thumbprint().as_bytes() {
        to.int(4, |w| {
            w.bytes(&listed.kid);
        });
    }
    for (label, limit) in [(5, listed.not_before), (6, listed.not_after)] {
        if let Some(limit) = limit {
            int(to, label, limit);
        }
    }
    if let Some(types) = &listed.types {
        to.int(7, |w| {
            w.array(types.len());
            for vct in types {
                vct.write(w);
            }
        });
    }
}

/// A trust list that its anchors sign, one after another, here or elsewhere.
#[derive(Clone)]
pub struct SigningTrustList {
    // INVARIANT (readable): a list that readers take once enough anchors signed it.
    payload: Vec<u8>,
    signatures: Vec<(Thumbprint, Vec<u8>)>,
}

impl SigningTrustList {
    /// Takes up a list that others wrote and maybe signed, as [`to_bytes`](Self::to_bytes) gave it. Their signatures are not
    /// verified, and stay as they are: an anchor looks at what the list says before it signs.
    ///
    /// # Errors
    /// [`TrustListError::Shape`].
    pub fn parse(bytes: &[u8]) -> Result<Self, TrustListError> {
        let shape = TrustListError::Shape;
        let limits = Limits::new(profile::MAX_TRUST_LIST);
        let item = deedbox_cbor::read(bytes, Order::Canonical, &limits).map_err(|_| shape)?;
        let (tag, content) = item.as_tag().ok_or(shape)?;
        let [protected, unprotected, payload, signatures] =
            content.as_array().and_then(|parts| parts.exactly()).filter(|_| tag == TAG_SIGN).ok_or(shape)?;
        if protected.as_bytes() != Some(&[]) || unprotected.as_map().is_none_or(|map| !map.is_empty()) {
            return Err(shape);
        }
        let payload = payload.as_bytes().ok_or(shape)?;
        TrustList::read(payload).map_err(|_| shape)?;
        let signatures: Option<Vec<_>> = signatures.as_array().ok_or(shape)?.iter().map(signature_of).collect();
        let signatures = signatures.filter(|list| list.len() <= profile::MAX_ANCHORS).ok_or(shape)?;
        Ok(Self { payload: payload.to_vec(), signatures })
    }

    /// What the anchor with this key signs.
    #[must_use]
    pub fn to_be_signed(&self, key: &VerifyKey) -> Vec<u8> {
        sign::sig_structure(&[], &protected(key), label::TRUST_LIST.as_bytes(), &self.payload)
    }

    /// Adds an anchor's signature that was made elsewhere, over [`to_be_signed`](Self::to_be_signed). It replaces an earlier one
    /// of the same key.
    ///
    /// # Errors
    /// [`TrustListError::Signer`] when it doesn't hold; [`TrustListError::Anchors`] beyond 64 signatures.
    pub fn add_signature(&mut self, key: &VerifyKey, signature: &[u8]) -> Result<(), TrustListError> {
        key.verify(&self.to_be_signed(key), signature).map_err(|_| TrustListError::Signer)?;
        let name = key.thumbprint();
        self.signatures.retain(|(known, _)| *known != name);
        if self.signatures.len() >= profile::MAX_ANCHORS {
            return Err(TrustListError::Anchors);
        }
        let mut writer = Writer::new();
        writer.array(3).bytes(&protected(key)).map(|_| ()).bytes(signature);
        self.signatures.push((name, writer.into_vec()));
        Ok(())
    }

    /// Signs as one of the anchors.
    ///
    /// # Errors
    /// [`TrustListError::Signer`], [`TrustListError::Anchors`].
    pub fn sign(&mut self, signer: &impl Signer) -> Result<(), TrustListError> {
        let signature = signer.sign(&self.to_be_signed(signer.public())).map_err(|_| TrustListError::Signer)?;
        self.add_signature(signer.public(), signature.as_bytes())
    }

    /// The list with the signatures that it has so far.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(self.payload.len().saturating_add(200));
        writer.tag(TAG_SIGN).array(4).bytes(&[]).map(|_| ()).bytes(&self.payload).array(self.signatures.len());
        let mut bytes = writer.into_vec();
        for (_, signature) in &self.signatures {
            bytes.extend_from_slice(signature);
        }
        bytes
    }
}

/// Prints numbers only.
impl fmt::Debug for SigningTrustList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningTrustList").field("signatures", &self.signatures.len()).finish_non_exhaustive()
    }
}

/// The name of the key, and the signature as received.
fn signature_of(item: Item<'_>) -> Option<(Thumbprint, Vec<u8>)> {
    let [protected, unprotected, signature] = item.as_array()?.exactly()?;
    unprotected.as_map().filter(|map| map.is_empty())?;
    signature.as_bytes()?;
    let limits = Limits::new(profile::MAX_TRUST_LIST);
    let header = deedbox_cbor::read(protected.as_bytes()?, Order::Canonical, &limits).ok()?.as_map()?;
    let kid = header.get_int(profile::KID)?.as_bytes().and_then(Thumbprint::try_from_slice)?;
    Some((kid, item.bytes().to_vec()))
}

fn protected(key: &VerifyKey) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.map(|to| {
        int(to, profile::ALG, key.algorithm().id());
        to.int(profile::KID, |w| {
            w.bytes(key.thumbprint().as_bytes());
        });
    });
    writer.into_vec()
}

fn text(to: &mut MapWriter, label: i64, value: &str) {
    to.int(label, |w| {
        w.text(value);
    });
}

fn uint(to: &mut MapWriter, label: i64, value: u64) {
    to.int(label, |w| {
        w.uint(value);
    });
}

fn int(to: &mut MapWriter, label: i64, value: i64) {
    to.int(label, |w| {
        w.int(value);
    });
}

/// A trust list is deedbox's own: canonical, tagged.
const RULES: Sign1Rules = Sign1Rules::STRICT.canonical().max_len(profile::MAX_TRUST_LIST);
/// Tag of a COSE_Sign.
const TAG_SIGN: u64 = 98;
