//! Which keys are trusted for which issuer. Nothing is fetched here: keys are pinned by the caller.

use alloc::{borrow::ToOwned, string::String, vec::Vec};
use core::fmt;

use deedbox_cose::{Algorithm, VerifyKey};
use deedbox_model::Timestamp;

use crate::{
    claims::{Date, Vct, VctKind},
    error::{HeaderError, TrustError, VerifyError},
};

/// The issuers that a holder or verifier trusts, and their keys.
#[derive(Clone, Default)]
pub struct TrustStore {
    issuers: Vec<Issuer>,
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
        Self { issuers: Vec::new() }
    }

    /// Trusts `key` for credentials of `iss`, beside the keys pinned before. A key that is pinned again replaces what was said of
    /// it, unless it was compromised: that stays.
    ///
    /// # Security
    /// Whoever holds the private key can say anything in this issuer's name. Take keys from a trusted place only, never from
    /// a token.
    pub fn pin_issuer(&mut self, iss: &str, key: impl Into<IssuerKey>) -> &mut Self {
        let key = key.into();
        let entry = self.entry(iss);
        let same = |known: &&mut IssuerKey| known.kid == key.kid && known.key == key.key && known.usage == key.usage;
        match entry.keys.iter_mut().find(same) {
            Some(known) if known.state == KeyState::Compromised => {}
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
        self.pin_issuer(iss, IssuerKey { usage: KeyUse::StatusLists, ..key.into() })
    }

    /// Adds a key as a list would, with any state and beside any other.
    #[cfg(any(test, feature = "test-util"))]
    pub(crate) fn add_listed(&mut self, iss: &str, key: IssuerKey) {
        self.entry(iss).keys.push(key);
    }

    fn entry(&mut self, iss: &str) -> &mut Issuer {
        let at = match self.issuers.binary_search_by(|known| known.iss.as_str().cmp(iss)) {
            Ok(at) => at,
            Err(at) => {
                self.issuers.insert(at, Issuer { iss: iss.to_owned(), keys: Vec::new() });
                at
            }
        };
        #[expect(clippy::indexing_slicing, reason = "the search found it there, or it was just put there")]
        &mut self.issuers[at]
    }

    /// The keys that the signature of a token of `iss` may be checked with, of which there is at least one.
    pub(crate) fn candidates<'s>(
        &'s self,
        iss: &str,
        wanted: &Wanted<'_>,
    ) -> Result<impl Iterator<Item = &'s VerifyKey> + use<'s>, VerifyError> {
        let at = self
            .issuers
            .binary_search_by(|known| known.iss.as_str().cmp(iss))
            .map_err(|_| TrustError::UnknownIssuer)?;
        let issuer = self.issuers.get(at).ok_or(TrustError::UnknownIssuer)?;
        let mut keys: Vec<&IssuerKey> = issuer.keys.iter().collect();
        keys.retain(|key| key.usage == wanted.usage && wanted.kid.is_none_or(|kid| key.kid == kid));
        if keys.is_empty() {
            return Err(TrustError::UnknownKey.into());
        }
        keys.retain(|key| key.key.algorithm() == wanted.algorithm);
        if keys.is_empty() {
            return Err(HeaderError::AlgNotOfKey.into());
        }
        keys.retain(|key| key.is_usable(wanted.vct, wanted.iat));
        if keys.is_empty() {
            return Err(TrustError::KeyNotUsable.into());
        }
        Ok(keys.into_iter().map(|key| &key.key))
    }
}

/// Prints how many issuers there are, never who.
impl fmt::Debug for TrustStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustStore").field("issuers", &self.issuers.len()).finish_non_exhaustive()
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

    #[cfg(any(test, feature = "test-util"))]
    pub(crate) fn for_status_lists(self) -> Self {
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
