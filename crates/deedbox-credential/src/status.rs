//! Status lists (draft-ietf-oauth-status-list, CWT form): an issuer publishes one signed list of many entries, a verifier
//! reads the one entry that a credential names.

use alloc::{borrow::ToOwned, string::String, vec, vec::Vec};
use core::fmt;

use deedbox_cbor::{Item, Limits, Map, MapWriter, Order, Writer};
use deedbox_cose::{Signer, VerifyKey, sign1};
use deedbox_model::Timestamp;
use rand_core::CryptoRng;

use crate::{
    claims::{Date, StatusReference},
    disclosure::{Markers, check_tree},
    envelope::Envelope,
    error::{ClaimsError, HeaderError, IssueError, SignedBy, StatusError, StatusListError, TimeError, VerifyError},
    inflate::{deflate, inflate},
    profile,
    trust::{KeyUse, TrustStore, Wanted},
    verify::Clock,
};

/// What an issuer says of one credential now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// Something of the application's own (3 to 255). No verifier here accepts it.
    Other(u8),
    /// Revoked for good (1).
    Revoked,
    /// Not to be accepted for now (2).
    Suspended,
    /// Valid (0).
    Valid,
}

impl Status {
    /// The value of an entry.
    #[must_use]
    pub const fn value(self) -> u8 {
        match self {
            Self::Other(value) => value,
            Self::Revoked => 1,
            Self::Suspended => 2,
            Self::Valid => 0,
        }
    }
}

impl From<u8> for Status {
    fn from(value: u8) -> Self {
        match value {
            0 => Self::Valid,
            1 => Self::Revoked,
            2 => Self::Suspended,
            other => Self::Other(other),
        }
    }
}

/// How many bits an entry has, and so how many kinds of status there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the draft has these four")]
pub enum StatusBits {
    /// Eight: 0 to 255.
    Eight,
    /// Four: 0 to 15.
    Four,
    /// One: valid or revoked.
    One,
    /// Two: also suspended, and one of the application's own.
    Two,
}

impl StatusBits {
    const fn bits(self) -> u8 {
        match self {
            Self::Eight => 8,
            Self::Four => 4,
            Self::One => 1,
            Self::Two => 2,
        }
    }

    const fn from_bits(bits: u64) -> Option<Self> {
        match bits {
            1 => Some(Self::One),
            2 => Some(Self::Two),
            4 => Some(Self::Four),
            8 => Some(Self::Eight),
            _ => None,
        }
    }

    const fn mask(self) -> u8 {
        0xff >> (8 - self.bits())
    }
}

/// Entries of 1, 2, 4 or 8 bits: entry i is in byte ⌊i·bits/8⌋, least significant bits first.
#[derive(Clone, PartialEq, Eq)]
struct Entries {
    bits: StatusBits,
    bytes: Vec<u8>,
}

impl Entries {
    fn len(&self) -> u64 {
        let bytes = u64::try_from(self.bytes.len()).unwrap_or(u64::MAX);
        bytes.saturating_mul(u64::from(8 / self.bits.bits()))
    }

    /// The byte of entry `idx`, which may be beyond the list, and by how much it is shifted there.
    fn place(&self, idx: u64) -> Option<(usize, u8)> {
        let per_byte = 8 / self.bits.bits();
        let byte = usize::try_from(idx / u64::from(per_byte)).ok()?;
        let within = u8::try_from(idx % u64::from(per_byte)).ok()?;
        Some((byte, within * self.bits.bits()))
    }

    fn get(&self, idx: u64) -> Option<Status> {
        let (byte, shift) = self.place(idx)?;
        Some(Status::from((self.bytes.get(byte)? >> shift) & self.bits.mask()))
    }

    fn set(&mut self, idx: u64, status: Status) -> Option<()> {
        let (byte, shift) = self.place(idx)?;
        let mask = self.bits.mask();
        let byte = self.bytes.get_mut(byte)?;
        *byte = (*byte & !(mask << shift)) | ((status.value() & mask) << shift);
        Some(())
    }

    /// `{ "bits": 1 / 2 / 4 / 8, "lst": bstr, ? "aggregation_uri": tstr, * }`, still deflated.
    fn read(list: Item<'_>) -> Result<(StatusBits, &[u8]), ClaimsError> {
        let shape = ClaimsError::StatusList;
        let list = list.as_map().ok_or(shape)?;
        let bits = list.get_text(profile::LIST_BITS).and_then(Item::as_u64).and_then(StatusBits::from_bits);
        let lst = list.get_text(profile::LIST_LST).and_then(Item::as_bytes);
        if list.get_text(profile::LIST_AGGREGATION_URI).is_some_and(|uri| uri.as_str().is_none()) {
            return Err(shape);
        }
        bits.zip(lst).ok_or(shape)
    }

    fn inflate((bits, lst): (StatusBits, &[u8]), max: usize) -> Result<Self, VerifyError> {
        Ok(Self { bits, bytes: inflate(lst, max)? })
    }
}

/// Whose status list, and where it is: the key of a cache.
///
/// `Debug` prints neither.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatusSource {
    iss: String,
    uri: String,
}

impl StatusSource {
    /// The list of `issuer` that `reference` names.
    #[must_use]
    pub fn new(issuer: &str, reference: &StatusReference) -> Self {
        Self { iss: issuer.to_owned(), uri: reference.uri().to_owned() }
    }

    /// The issuer of the credentials, whose status keys sign the list.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.iss
    }

    /// Where the list is fetched from.
    #[must_use]
    pub fn uri(&self) -> &str {
        &self.uri
    }
}

impl fmt::Debug for StatusSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatusSource").finish_non_exhaustive()
    }
}

/// A status list token as it was fetched, and when.
#[derive(Debug, Clone, Copy)]
pub struct FetchedStatusList<'a> {
    token: &'a [u8],
    received_at: Timestamp,
}

impl<'a> FetchedStatusList<'a> {
    /// A token, and the moment at which it was fetched: from there on its `ttl` counts.
    #[must_use]
    pub const fn new(token: &'a [u8], received_at: Timestamp) -> Self {
        Self { token, received_at }
    }
}

/// A status list whose signature holds, of one issuer and one URI.
///
/// ```cddl
/// status-token = #6.18([ bstr .cbor { 1: int, ? 4: bstr, 16: "application/statuslist+cwt" }, {},
///                bstr .cbor { 2: tstr, 6: date, ? 4: date, ? 65534: uint, 65533: list, * }, bstr ])
/// list         = { "bits": 1 / 2 / 4 / 8, "lst": bstr, ? "aggregation_uri": tstr, * }
/// ```
///
/// It may be kept and asked for many credentials; how old it is, is looked at each time.
///
/// Made by [`StatusList::verify`] and [`Verifier::verify_status_list`](crate::Verifier::verify_status_list) alone:
///
/// ```compile_fail
/// fn forge(list: deedbox_credential::StatusList, source: deedbox_credential::StatusSource) {
///     let forged = deedbox_credential::StatusList { source, ..list };
/// }
/// ```
#[derive(Clone)]
pub struct StatusList {
    // INVARIANT (verified): made by `check` only.
    source: StatusSource,
    entries: Entries,
    times: Times,
}

#[derive(Clone, Copy)]
struct Times {
    iat: Date,
    exp: Option<Date>,
    ttl: Option<u64>,
    received_at: Timestamp,
}

impl StatusList {
    /// Verifies a status list token of at most 4 MiB: its signature by one of the status keys that `trust` has for the issuer,
    /// its times, that it is the list of that URI. Clocks may differ by 60 seconds.
    ///
    /// # Errors
    /// [`VerifyError`]; nothing is inflated before the signature holds, and then at most to 16 MiB.
    ///
    /// # Security
    /// Whoever answers at the URI can give an older list for as long as its `exp` allows: issuers set one.
    pub fn verify(
        fetched: FetchedStatusList<'_>,
        source: &StatusSource,
        trust: &TrustStore,
        now: Timestamp,
    ) -> Result<Self, VerifyError> {
        Self::check(fetched, source, trust, &Clock::new(now, profile::LEEWAY_SECS), profile::MAX_INFLATED)
    }

    pub(crate) fn check(
        fetched: FetchedStatusList<'_>,
        source: &StatusSource,
        trust: &TrustStore,
        clock: &Clock,
        max: usize,
    ) -> Result<Self, VerifyError> {
        let envelope = Envelope::parse(fetched.token, profile::UNDERSTOOD_STATUS_LIST, profile::MAX_STATUS_TOKEN)?;
        let algorithm = envelope.algorithm()?;
        if envelope.protected(profile::TYP).and_then(Item::as_str) != Some(profile::TYP_STATUS_LIST) {
            return Err(HeaderError::Typ.into());
        }
        let kid = envelope.kid()?;
        if [profile::ALG, profile::TYP].iter().any(|label| envelope.unprotected(*label).is_some()) {
            return Err(HeaderError::Misplaced.into());
        }
        let limits = Limits::new(profile::MAX_STATUS_TOKEN).with_depth(profile::MAX_DEPTH);
        let payload = deedbox_cbor::read(envelope.payload(), Order::Any, &limits)?;
        let map = payload.as_map().ok_or(ClaimsError::NotAMap)?;
        check_tree(payload, Markers::Forbidden, &mut Vec::new())?;
        let (sub, list, times) = read_claims(map, fetched.received_at)?;
        let wanted = Wanted { kid, algorithm, usage: KeyUse::StatusLists, vct: None, iat: Some(times.iat) };
        envelope.signed_by(trust.candidates(&source.iss, &wanted, clock)?).ok_or(SignedBy::StatusToken)?;
        times.check(clock)?;
        if sub != source.uri {
            return Err(StatusError::Uri.into());
        }
        Ok(Self { source: source.clone(), entries: Entries::inflate(list, max)?, times })
    }

    /// Whose list it is, and where it is.
    #[must_use]
    pub fn source(&self) -> &StatusSource {
        &self.source
    }

    /// The entry at `idx`, or `None` beyond the list.
    #[must_use]
    pub fn status(&self, idx: u64) -> Option<Status> {
        self.entries.get(idx)
    }

    /// Whether it is too old to be asked at `now`: then it is to be fetched again. Clocks may differ by 60 seconds.
    #[must_use]
    pub fn is_stale(&self, now: Timestamp) -> bool {
        self.times.check(&Clock::new(now, profile::LEEWAY_SECS)).is_err()
    }

    /// Steps 4 to 6 for one credential of `iss`.
    pub(crate) fn allows(&self, iss: &str, reference: &StatusReference, clock: &Clock) -> Result<(), VerifyError> {
        self.times.check(clock)?;
        if self.source.iss != iss || self.source.uri != reference.uri() {
            return Err(StatusError::Uri.into());
        }
        Ok(self.require_valid(reference.idx())?)
    }

    /// Step 6.
    pub(crate) fn require_valid(&self, idx: u64) -> Result<(), StatusError> {
        match self.status(idx).ok_or(StatusError::OutOfRange)? {
            Status::Valid => Ok(()),
            Status::Revoked => Err(StatusError::Revoked),
            Status::Suspended => Err(StatusError::Suspended),
            Status::Other(value) => Err(StatusError::Other(value)),
        }
    }

    /// A list that was never signed, for vectors.
    #[cfg(any(test, feature = "test-util"))]
    pub(crate) fn unsigned_for_testing_only(list: &[u8], max: usize) -> Result<Self, VerifyError> {
        let limits = Limits::new(profile::MAX_STATUS_TOKEN).with_depth(profile::MAX_DEPTH);
        let list = deedbox_cbor::read(list, Order::Any, &limits)?;
        check_tree(list, Markers::Forbidden, &mut Vec::new())?;
        let times =
            Times { iat: Date::from_secs(0), exp: None, ttl: Some(u64::MAX), received_at: Timestamp::from_secs(0) };
        let source = StatusSource { iss: String::new(), uri: String::new() };
        Ok(Self { source, entries: Entries::inflate(Entries::read(list)?, max)?, times })
    }
}

/// Prints the number of entries, never one of them.
impl fmt::Debug for StatusList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatusList").field("entries", &self.entries.len()).finish_non_exhaustive()
    }
}

type Claimed<'a> = (&'a str, (StatusBits, &'a [u8]), Times);

/// Step 2, without the tree rules.
fn read_claims(map: Map<'_>, received_at: Timestamp) -> Result<Claimed<'_>, ClaimsError> {
    let member = |label: i64| map.get_int(label).ok_or(ClaimsError::Missing(label));
    let sub = member(profile::SUB)?.as_str().ok_or(ClaimsError::Type(profile::SUB))?;
    let iat = Date::read(member(profile::IAT)?)?;
    let exp = map.get_int(profile::EXP).map(Date::read).transpose()?;
    let ttl = match map.get_int(profile::TTL) {
        None => None,
        Some(ttl) => Some(ttl.as_u64().filter(|ttl| *ttl > 0).ok_or(ClaimsError::Type(profile::TTL))?),
    };
    let list = Entries::read(member(profile::STATUS_LIST_CLAIM)?)?;
    Ok((sub, list, Times { iat, exp, ttl, received_at }))
}

impl Times {
    /// Step 4.
    fn check(&self, clock: &Clock) -> Result<(), TimeError> {
        clock.check_begun([Some(self.iat)])?;
        clock.check_not_ended([self.exp])?;
        let kept = match (self.ttl, self.exp) {
            (Some(ttl), _) => ttl,
            (None, Some(_)) => return Ok(()),
            (None, None) => profile::STATUS_KEPT_SECS,
        };
        // What is kept is judged by one clock alone, so no leeway.
        if clock.now > i128::from(self.received_at.secs()) + i128::from(kept) {
            return Err(TimeError::Stale);
        }
        Ok(())
    }
}

/// The entries of one list as its issuer keeps them: all valid at first.
///
/// The issuer stores [`as_bytes`](Self::as_bytes) and [`restore`](Self::restore)s them; entries are given out by a
/// [`StatusAllocator`].
#[derive(Clone)]
pub struct StatusListBuilder {
    uri: String,
    entries: Entries,
    lifetime_secs: u64,
    ttl_secs: u64,
}

impl StatusListBuilder {
    /// 2^20 entries, all valid, to be published at `uri`. A published list lives for a day and may be kept for twelve hours.
    ///
    /// The more credentials share a list, the less it tells whose status was looked up.
    #[must_use]
    pub fn new(uri: &str, bits: StatusBits) -> Self {
        Self::with_entries(uri, bits, profile::STATUS_ENTRIES)
    }

    /// The same with `entries` entries, rounded up to whole bytes and down to what verifiers inflate (16 MiB).
    #[must_use]
    pub fn with_entries(uri: &str, bits: StatusBits, entries: u64) -> Self {
        let bytes = usize::try_from(entries.div_ceil(u64::from(8 / bits.bits()))).unwrap_or(usize::MAX);
        Self::of(uri, bits, vec![0; bytes.min(profile::MAX_INFLATED)])
    }

    /// The entries as they were stored.
    ///
    /// # Errors
    /// [`StatusListError::State`] for more than 16 MiB.
    pub fn restore(uri: &str, bits: StatusBits, bytes: &[u8]) -> Result<Self, StatusListError> {
        if bytes.len() > profile::MAX_INFLATED {
            return Err(StatusListError::State);
        }
        Ok(Self::of(uri, bits, bytes.to_vec()))
    }

    fn of(uri: &str, bits: StatusBits, bytes: Vec<u8>) -> Self {
        Self { uri: uri.to_owned(), entries: Entries { bits, bytes }, lifetime_secs: 86_400, ttl_secs: 43_200 }
    }

    /// Another time from publishing to expiry: how long an old list may pass for the newest.
    #[must_use]
    pub fn lifetime(self, lifetime_secs: u64) -> Self {
        Self { lifetime_secs, ..self }
    }

    /// Another time for which verifiers may keep it, at least one second.
    #[must_use]
    pub fn ttl(self, ttl_secs: u64) -> Self {
        Self { ttl_secs: ttl_secs.max(1), ..self }
    }

    /// The entries, to be stored.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.entries.bytes
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.bytes.is_empty()
    }

    /// The entry at `idx`.
    #[must_use]
    pub fn status(&self, idx: u64) -> Option<Status> {
        self.entries.get(idx)
    }

    /// Sets one entry. A revoked one stays so.
    ///
    /// # Errors
    /// [`StatusListError::OutOfRange`], [`StatusListError::TooWide`], [`StatusListError::Final`].
    pub fn set(&mut self, idx: u64, status: Status) -> Result<(), StatusListError> {
        let now = self.status(idx).ok_or(StatusListError::OutOfRange)?;
        if status.value() > self.entries.bits.mask() {
            return Err(StatusListError::TooWide);
        }
        if now == Status::Revoked && status.value() != now.value() {
            return Err(StatusListError::Final);
        }
        self.entries.set(idx, status).ok_or(StatusListError::OutOfRange)
    }

    /// Signs the list as it is now. `signer` is a status key: one that issues no credentials.
    ///
    /// # Errors
    /// [`IssueError`].
    pub fn publish(&self, signer: &impl Signer, now: Timestamp) -> Result<Vec<u8>, IssueError> {
        let payload = self.payload(now)?;
        let kid = signer.public().thumbprint();
        let headers = |to: &mut MapWriter| write_headers(to, kid.as_bytes());
        let token = sign1::sign(signer, headers, |_| {}, &payload, &[]).map_err(|_| IssueError::Signer)?;
        check_length(token)
    }

    /// Prepares what [`publish`](Self::publish) would sign with the private part of `status_key`, kept elsewhere.
    ///
    /// # Errors
    /// [`IssueError`].
    pub fn prepare(&self, status_key: &VerifyKey, now: Timestamp) -> Result<PreparedStatusList, IssueError> {
        let payload = self.payload(now)?;
        let kid = status_key.thumbprint();
        let headers = |to: &mut MapWriter| write_headers(to, kid.as_bytes());
        Ok(PreparedStatusList { sign1: sign1::prepare(status_key, headers, |_| {}, &payload, &[]) })
    }

    fn payload(&self, now: Timestamp) -> Result<Vec<u8>, IssueError> {
        let exp = now.checked_add_secs(self.lifetime_secs).ok_or(IssueError::Times)?;
        let secs = |time: Timestamp| i64::try_from(time.secs()).map_err(|_| IssueError::Times);
        let (iat, exp) = (secs(now)?, secs(exp)?);
        let mut writer = Writer::new();
        writer.map(|to| {
            to.int(profile::SUB, |w| {
                w.text(&self.uri);
            });
            to.int(profile::EXP, |w| {
                w.int(exp);
            });
            to.int(profile::IAT, |w| {
                w.int(iat);
            });
            to.int(profile::STATUS_LIST_CLAIM, |w| self.write_list(w));
            to.int(profile::TTL, |w| {
                w.uint(self.ttl_secs);
            });
        });
        Ok(writer.into_vec())
    }

    fn write_list(&self, writer: &mut Writer) {
        writer.map(|to| {
            to.text(profile::LIST_BITS, |w| {
                w.uint(self.entries.bits.bits().into());
            });
            to.text(profile::LIST_LST, |w| {
                w.bytes(&deflate(&self.entries.bytes));
            });
        });
    }
}

/// Prints the number of entries, never one of them.
impl fmt::Debug for StatusListBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatusListBuilder").field("entries", &self.len()).finish_non_exhaustive()
    }
}

/// A status list that waits for a signature made elsewhere. Dropped, nothing was published.
pub struct PreparedStatusList {
    sign1: sign1::Prepared,
}

impl PreparedStatusList {
    /// What the status key signs.
    #[must_use]
    pub fn to_be_signed(&self) -> &[u8] {
        self.sign1.to_be_signed()
    }

    /// Takes the signature, which must hold.
    ///
    /// # Errors
    /// [`IssueError::Signer`] where it doesn't; [`IssueError::TooLong`].
    pub fn finish(self, signature: &[u8]) -> Result<Vec<u8>, IssueError> {
        check_length(self.sign1.finish(signature).map_err(|_| IssueError::Signer)?)
    }
}

impl fmt::Debug for PreparedStatusList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreparedStatusList").finish_non_exhaustive()
    }
}

fn write_headers(to: &mut MapWriter, kid: &[u8]) {
    to.int(profile::KID, |w| {
        w.bytes(kid);
    });
    to.int(profile::TYP, |w| {
        w.text(profile::TYP_STATUS_LIST);
    });
}

fn check_length(token: Vec<u8>) -> Result<Vec<u8>, IssueError> {
    if token.len() > profile::MAX_STATUS_TOKEN { Err(IssueError::TooLong) } else { Ok(token) }
}

/// Gives out the indices of one list, each once and at random, so that an index tells nothing of when it was given.
///
/// The issuer stores [`used`](Self::used) before a credential with a new index leaves, and [`restore`](Self::restore)s it:
/// an index given out twice revokes two credentials at once, and links them.
pub struct StatusAllocator {
    uri: String,
    // INVARIANT (tail): bits beyond `entries` are set.
    used: Vec<u8>,
    free: u64,
}

impl StatusAllocator {
    /// All of `entries` indices of the list at `uri` are free; at most as many as a list can have.
    #[must_use]
    pub fn new(uri: &str, entries: u64) -> Self {
        let bytes = usize::try_from(entries.div_ceil(8)).unwrap_or(usize::MAX).min(profile::MAX_INFLATED);
        Self::of(uri, entries, vec![0; bytes])
    }

    /// The state that [`used`](Self::used) gave.
    ///
    /// # Errors
    /// [`StatusListError::State`] for bytes that are not one bit an entry.
    pub fn restore(uri: &str, entries: u64, used: &[u8]) -> Result<Self, StatusListError> {
        if usize::try_from(entries.div_ceil(8)) != Ok(used.len()) || used.len() > profile::MAX_INFLATED {
            return Err(StatusListError::State);
        }
        Ok(Self::of(uri, entries, used.to_vec()))
    }

    fn of(uri: &str, entries: u64, mut used: Vec<u8>) -> Self {
        if let (Some(last), beyond @ 1..8) = (used.last_mut(), entries % 8) {
            *last |= 0xff << beyond;
        }
        let free = used.iter().map(|byte| u64::from(byte.count_zeros())).sum();
        Self { uri: uri.to_owned(), used, free }
    }

    /// One bit an entry, least significant first, set where it was given out.
    #[must_use]
    pub fn used(&self) -> &[u8] {
        &self.used
    }

    /// How many are left.
    #[must_use]
    pub fn free(&self) -> u64 {
        self.free
    }

    /// Gives out an index that was never given out, each of them equally likely.
    ///
    /// # Errors
    /// [`StatusListError::Full`].
    pub fn allocate(&mut self, rng: &mut impl CryptoRng) -> Result<StatusReference, StatusListError> {
        let mut skip = below(self.free, rng).ok_or(StatusListError::Full)?;
        for (byte, at) in self.used.iter_mut().zip(0_u64..) {
            let here = u64::from(byte.count_zeros());
            if skip >= here {
                skip -= here;
                continue;
            }
            for bit in 0..8_u8 {
                if (*byte >> bit) & 1 == 1 {
                    continue;
                }
                if skip == 0 {
                    *byte |= 1 << bit;
                    self.free -= 1;
                    return Ok(StatusReference::new(at * 8 + u64::from(bit), self.uri.as_str()));
                }
                skip -= 1;
            }
        }
        Err(StatusListError::Full)
    }
}

/// Prints how many are left.
impl fmt::Debug for StatusAllocator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatusAllocator").field("free", &self.free).finish_non_exhaustive()
    }
}

/// A number below `end`, each equally likely.
fn below(end: u64, rng: &mut impl CryptoRng) -> Option<u64> {
    let fair = u64::MAX - u64::MAX.checked_rem(end)?;
    loop {
        let drawn = rng.next_u64();
        if drawn < fair {
            return Some(drawn % end);
        }
    }
}
