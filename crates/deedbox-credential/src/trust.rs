//! Which keys are trusted for which issuer: pinned by the caller, or by a signed list. Nothing is fetched here.

mod list;

use alloc::{borrow::ToOwned, string::String, vec::Vec};
use core::fmt;

use deedbox_cose::{Algorithm, Thumbprint, VerifyKey};
use deedbox_model::Timestamp;

use crate::{
    claims::{Date, Vct, VctKind},
    error::{HeaderError, TrustError, VerifyError},
    profile,
    verify::Clock,
};
use list::{Newest, TrustList};
pub use list::{SigningTrustList, TrustAnchors, TrustListDraft, TrustPin};

/// The issuers that a holder or verifier trusts, and their keys: pinned one by one, by a trust list, or both.
///
/// A store that took a list once, or was resumed from a pin, gives no key at all while it has no fresh list: a stale list may
/// hide that a key was compromised.
#[derive(Clone, Default)]
pub struct TrustStore {
    // INVARIANT (sorted): by name, none twice.
    pinned: Vec<Issuer>,
    newest: Option<Newest>,
    list: Option<TrustList>,
    // INVARIANT (sorted): ascending, none twice. Only grows.
    compromised: Vec<Thumbprint>,
}

#[derive(Clone)]
struct Issuer {
    iss: String,
    keys: Vec<IssuerKey>,
}

impl TrustStore {
    /// A store that trusts nobody.
    #[must_use]
    pub const fn new() -> Self {
        Self { pinned: Vec::new(), newest: None, list: None, compromised: Vec::new() }
    }

    /// A store that goes on where another stood: it takes no list older than the pinned one, and knows the keys that were ever
    /// called compromised. It gives no key before [`update`](Self::update).
    #[must_use]
    pub fn resume(pin: TrustPin) -> Self {
        let (newest, compromised) = pin.into_parts();
        Self { newest: Some(newest), compromised, ..Self::new() }
    }

    /// Takes a trust list of at most 4 MiB and 4,096 issuers, in place of the one before.
    ///
    /// The caller then stores [`pin`](Self::pin). Clocks may differ by 60 seconds.
    ///
    /// # Errors
    /// Stages `limit`, `cbor`, `cose`, `claims`; [`SignedBy::TrustList`](crate::SignedBy::TrustList) when too few anchors signed;
    /// [`TrustError::OtherList`], [`TrustError::ListStale`], [`TimeError::NotYetValid`](crate::TimeError::NotYetValid);
    /// [`TrustError::Rollback`] and [`TrustError::Fork`], which call for an alert: somebody shows an old list, or the anchors
    /// signed two. The store is as it was then.
    pub fn update(&mut self, bytes: &[u8], anchors: &TrustAnchors, now: Timestamp) -> Result<(), VerifyError> {
        let list = TrustList::verify(bytes, anchors, &Clock::new(now, profile::LEEWAY_SECS))?;
        if let Some(newest) = &self.newest {
            newest.precedes(&list.newest)?;
        }
        let keys = list.issuers.iter().flat_map(|issuer| &issuer.keys);
        for key in keys.filter(|key| key.state == KeyState::Compromised) {
            remember(&mut self.compromised, key.key.thumbprint());
        }
        self.newest = Some(list.newest.clone());
        self.list = Some(list);
        Ok(())
    }

    /// What is to be kept across restarts, once a list was taken.
    #[must_use]
    pub fn pin(&self) -> Option<TrustPin> {
        Some(TrustPin::new(self.newest.as_ref()?, &self.compromised))
    }

    /// When the list is stale, if there is one: a newer one should be fetched before.
    #[must_use]
    pub fn next_update(&self) -> Option<Timestamp> {
        Some(Timestamp::from_secs(u64::try_from(self.list.as_ref()?.next_update).unwrap_or(0)))
    }

    /// Trusts `key` for credentials of `iss`, beside the keys pinned before and those of the list. A key that is pinned again
    /// replaces what was said of it, unless it was compromised: that stays, for every issuer.
    ///
    /// # Security
    /// Whoever holds the private key can say anything in this issuer's name. Take keys from a trusted place only, never from
    /// a token.
    pub fn pin_issuer(&mut self, iss: &str, key: impl Into<IssuerKey>) -> &mut Self {
        let key = key.into();
        if key.state == KeyState::Compromised {
            remember(&mut self.compromised, key.key.thumbprint());
        }
        let entry = self.entry(iss);
        let same = |known: &&mut IssuerKey| known.kid == key.kid && known.key == key.key && known.usage == key.usage;
        match entry.keys.iter_mut().find(same) {
            Some(known) => *known = key,
            None => entry.keys.push(key),
        }
        self
    }

    /// Trusts `key` for status lists of `iss`, as [`pin_issuer`](Self::pin_issuer) does for credentials.
    ///
    /// # Security
    /// Whoever holds the private key can call every credential of this issuer valid.
    pub fn pin_status_key(&mut self, iss: &str, key: impl Into<IssuerKey>) -> &mut Self {
        self.pin_issuer(iss, key.into().for_status_lists())
    }

    /// Adds a key as a list would, with any state and beside any other.
    #[cfg(any(test, feature = "test-util"))]
    pub(crate) fn add_listed(&mut self, iss: &str, key: IssuerKey) {
        self.entry(iss).keys.push(key);
    }

    fn entry(&mut self, iss: &str) -> &mut Issuer {
        let at = match self.pinned.binary_search_by(|known| known.iss.as_str().cmp(iss)) {
            Ok(at) => at,
            Err(at) => {
                self.pinned.insert(at, Issuer { iss: iss.to_owned(), keys: Vec::new() });
                at
            }
        };
        #[expect(clippy::indexing_slicing, reason = "the search found it there, or it was just put there")]
        &mut self.pinned[at]
    }

    /// The keys that the signature of a token of `iss` may be checked with, of which there is at least one.
    pub(crate) fn candidates<'s>(
        &'s self,
        iss: &str,
        wanted: &Wanted<'_>,
        clock: &Clock,
    ) -> Result<impl Iterator<Item = &'s VerifyKey>, VerifyError> {
        let listed = match (&self.newest, &self.list) {
            (None, _) => &[],
            (Some(_), Some(list)) if !list.is_stale(clock) => list.issuers.as_slice(),
            _ => return Err(TrustError::ListStale.into()),
        };
        let (pinned, listed) = (find(&self.pinned, iss), find(listed, iss));
        if pinned.is_none() && listed.is_none() {
            return Err(TrustError::UnknownIssuer.into());
        }
        let keys = move || pinned.into_iter().chain(listed).flat_map(|issuer| &issuer.keys);
        let named = move |key: &&IssuerKey| key.usage == wanted.usage && wanted.kid.is_none_or(|kid| key.kid == kid);
        let of_algorithm = move |key: &&IssuerKey| key.key.algorithm() == wanted.algorithm;
        let usable = move |key: &&IssuerKey| {
            key.is_usable(wanted.vct, wanted.iat) && self.compromised.binary_search(&key.key.thumbprint()).is_err()
        };
        if !keys().any(|key| named(&key)) {
            return Err(TrustError::UnknownKey.into());
        }
        if !keys().any(|key| named(&key) && of_algorithm(&key)) {
            return Err(HeaderError::AlgNotOfKey.into());
        }
        let mut candidates = keys().filter(named).filter(of_algorithm).filter(usable).map(|key| &key.key).peekable();
        if candidates.peek().is_none() {
            return Err(TrustError::KeyNotUsable.into());
        }
        Ok(candidates)
    }
}

/// Prints how many issuers there are, never who.
impl fmt::Debug for TrustStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listed = self.list.as_ref().map_or(0, |list| list.issuers.len());
        f.debug_struct("TrustStore")
            .field("pinned", &self.pinned.len())
            .field("listed", &listed)
            .finish_non_exhaustive()
    }
}

fn find<'s>(issuers: &'s [Issuer], iss: &str) -> Option<&'s Issuer> {
    let at = issuers.binary_search_by(|known| known.iss.as_str().cmp(iss)).ok()?;
    issuers.get(at)
}

fn remember(compromised: &mut Vec<Thumbprint>, name: Thumbprint) {
    if let Err(at) = compromised.binary_search(&name) {
        compromised.insert(at, name);
    }
}

/// What a token asks of the key that signed it.
pub(crate) struct Wanted<'a> {
    pub(crate) kid: Option<&'a [u8]>,
    pub(crate) algorithm: Algorithm,
    pub(crate) usage: KeyUse,
    pub(crate) vct: Option<&'a VctKind<'a>>,
    pub(crate) iat: Option<Date>,
}

/// What a key signs; none signs both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyUse {
    Credentials,
    StatusLists,
}

/// A key of an issuer, and what it may be used for.
#[derive(Debug, Clone)]
pub struct IssuerKey {
    key: VerifyKey,
    kid: Vec<u8>,
    usage: KeyUse,
    state: KeyState,
    not_before: Option<i64>,
    not_after: Option<i64>,
    types: Option<Vec<Vct>>,
}

/// Where a key is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a fourth state would be a change of format")]
pub enum KeyState {
    /// In use.
    Active,
    /// No longer trusted for anything.
    Compromised,
    /// No longer used; what it signed before its end stays valid.
    Retired,
}

impl IssuerKey {
    /// An active key for every type of credential and all times; its id is its thumbprint.
    #[must_use]
    pub fn new(key: VerifyKey) -> Self {
        let kid = key.thumbprint().as_bytes().to_vec();
        Self {
            key,
            kid,
            usage: KeyUse::Credentials,
            state: KeyState::Active,
            not_before: None,
            not_after: None,
            types: None,
        }
    }

    /// Another key id than the thumbprint.
    #[must_use]
    pub fn with_kid(self, kid: impl Into<Vec<u8>>) -> Self {
        Self { kid: kid.into(), ..self }
    }

    /// Only for credentials issued from this moment on.
    #[must_use]
    pub fn not_before(self, from: Timestamp) -> Self {
        Self { not_before: Some(i64::try_from(from.secs()).unwrap_or(i64::MAX)), ..self }
    }

    /// Only for credentials issued before this moment.
    #[must_use]
    pub fn not_after(self, until: Timestamp) -> Self {
        Self { not_after: Some(i64::try_from(until.secs()).unwrap_or(i64::MAX)), ..self }
    }

    /// Only for credentials of these types.
    #[must_use]
    pub fn with_types(self, types: impl IntoIterator<Item = Vct>) -> Self {
        Self { types: Some(types.into_iter().collect()), ..self }
    }

    /// Another state than active. To say that a key was compromised, pin it so.
    #[must_use]
    pub fn in_state(self, state: KeyState) -> Self {
        Self { state, ..self }
    }

    /// For status lists instead of credentials.
    #[must_use]
    pub fn for_status_lists(self) -> Self {
        Self { usage: KeyUse::StatusLists, ..self }
    }

    #[cfg(any(test, feature = "test-util"))]
    pub(crate) fn listed(self, not_before: Option<i64>, not_after: Option<i64>) -> Self {
        Self { not_before, not_after, ..self }
    }

    fn is_usable(&self, vct: Option<&VctKind<'_>>, iat: Option<Date>) -> bool {
        let in_time = match (self.not_before, self.not_after) {
            (None, None) => true,
            (from, until) => iat.is_some_and(|iat| {
                from.is_none_or(|from| iat.compare(from.into()).is_ge())
                    && until.is_none_or(|until| iat.compare(until.into()).is_lt())
            }),
        };
        let in_state = match self.state {
            KeyState::Active => true,
            KeyState::Retired => self.not_after.is_some(),
            KeyState::Compromised => false,
        };
        let of_type = match &self.types {
            None => true,
            Some(types) => vct.is_some_and(|vct| types.iter().any(|listed| listed.is(vct))),
        };
        in_time && in_state && of_type
    }
}

impl From<VerifyKey> for IssuerKey {
    fn from(key: VerifyKey) -> Self {
        Self::new(key)
    }
}
