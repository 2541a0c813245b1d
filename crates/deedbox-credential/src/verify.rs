//! Verifying: from received bytes and one challenge to a [`Presentation`], and from there, by status, to [`Accepted`].

use alloc::{borrow::ToOwned, string::String, vec::Vec};
use core::{cmp::Ordering, fmt};

use deedbox_cbor::{Item, Limits, Map, Order};
use deedbox_cose::{Thumbprint, VerifyKey};
use deedbox_crypto::{ct, hash};
use deedbox_model::{Digest, Timestamp};
use rand_core::CryptoRng;

use crate::{
    claims::{ClaimPath, Claims, Date, Registered, StatusReference, Vct, VctKind},
    disclosure::{Assembled, Joined, Markers, Paths, Tree, check_tree},
    envelope::Envelope,
    error::{
        BindingError, ClaimsError, HeaderError, PolicyError, PresentError, SignedBy, StatusError, TimeError,
        VerifyError,
    },
    profile,
    status::{FetchedStatusList, StatusList, StatusSource},
    trust::{KeyUse, TrustStore, Wanted},
};

/// Who a presentation is for: the name that a verifier goes by, usually a URI. Compared byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Audience(String);

impl Audience {
    /// Takes a name that is not empty.
    ///
    /// # Errors
    /// [`PresentError::Audience`] for an empty one.
    pub fn parse(name: &str) -> Result<Self, PresentError> {
        if name.is_empty() { Err(PresentError::Audience) } else { Ok(Self(name.to_owned())) }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What makes a presentation answer one challenge: 16 to 64 bytes that nobody could guess.
#[derive(Clone, PartialEq, Eq)]
pub struct Nonce(Vec<u8>);

impl Nonce {
    /// Takes 16 to 64 bytes.
    ///
    /// # Errors
    /// [`PresentError::Nonce`] for fewer or more.
    pub fn try_new(bytes: &[u8]) -> Result<Self, PresentError> {
        if (16..=64).contains(&bytes.len()) { Ok(Self(bytes.to_vec())) } else { Err(PresentError::Nonce) }
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nonce").field("len", &self.0.len()).finish_non_exhaustive()
    }
}

/// One try to present: made by the verifier, answered once, used up by [`Verifier::verify`] whatever comes out.
///
/// ```compile_fail
/// fn copy(challenge: &deedbox_credential::Challenge) -> deedbox_credential::Challenge { challenge.clone() }
/// ```
///
/// ```compile_fail
/// # use deedbox_credential::*;
/// # fn twice(verifier: &Verifier<'_>, kbt: &[u8], challenge: Challenge, now: deedbox_model::Timestamp) {
/// let first = verifier.verify(kbt, challenge, now);
/// let again = verifier.verify(kbt, challenge, now);
/// # }
/// ```
#[derive(Debug)]
pub struct Challenge {
    nonce: Nonce,
    max_age_secs: u64,
}

impl Challenge {
    /// Seconds that an answer may be old, unless said otherwise.
    pub const MAX_AGE_SECS: u64 = profile::MAX_AGE_SECS;

    /// A challenge of a nonce that was never used before; its answer may be `max_age_secs` old.
    ///
    /// # Errors
    /// [`PresentError::Nonce`] for fewer than 16 or more than 64 bytes.
    pub fn try_new(nonce: &[u8], max_age_secs: u64) -> Result<Self, PresentError> {
        Ok(Self { nonce: Nonce::try_new(nonce)?, max_age_secs })
    }

    /// A challenge of 32 fresh bytes, with the default age.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut nonce = [0; 32];
        rng.fill_bytes(&mut nonce);
        Self { nonce: Nonce(nonce.to_vec()), max_age_secs: Self::MAX_AGE_SECS }
    }

    /// What is sent to the holder.
    #[must_use]
    pub fn nonce(&self) -> &Nonce {
        &self.nonce
    }
}

/// Which types of credential a verifier takes.
#[derive(Debug, Clone)]
pub struct VctPolicy(Option<Vec<Vct>>);

impl VctPolicy {
    /// This type alone.
    #[must_use]
    pub fn one(vct: Vct) -> Self {
        Self(Some(Vec::from([vct])))
    }

    /// Any of these.
    #[must_use]
    pub fn any_of(types: impl IntoIterator<Item = Vct>) -> Self {
        Self(Some(types.into_iter().collect()))
    }

    /// Any type, and none: what a claim means is then up to the issuer alone.
    #[must_use]
    pub fn any_or_none() -> Self {
        Self(None)
    }

    fn allows(&self, vct: Option<&VctKind<'_>>) -> bool {
        let Some(types) = &self.0 else { return true };
        vct.is_some_and(|vct| types.iter().any(|asked| asked.is(vct)))
    }
}

/// Which credentials a verifier takes without a status. A status that is present is always checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StatusPolicy {
    /// None.
    Required,
    /// Those that were issued for a short time only.
    ShortLived {
        /// The most seconds between issue and expiry.
        max_secs: u64,
    },
}

/// Checks presentations for one audience, against one trust store.
#[derive(Debug)]
pub struct Verifier<'t> {
    trust: &'t TrustStore,
    audience: Audience,
    types: VctPolicy,
    status: StatusPolicy,
    leeway_secs: u64,
}

impl<'t> Verifier<'t> {
    /// A verifier that goes by `audience`. Clocks may differ by 60 seconds.
    #[must_use]
    pub fn new(trust: &'t TrustStore, audience: Audience, types: VctPolicy, status: StatusPolicy) -> Self {
        Self { trust, audience, types, status, leeway_secs: profile::LEEWAY_SECS }
    }

    /// Another difference of clocks.
    #[must_use]
    pub fn with_leeway(self, leeway_secs: u64) -> Self {
        Self { leeway_secs, ..self }
    }

    /// Reads from a presentation what is needed to fetch keys and status lists. Nothing of it is verified.
    ///
    /// # Errors
    /// Stages `limit`, `cbor`, `cose`, `header`, `claims` of [`VerifyError`].
    pub fn peek(kbt: &[u8]) -> Result<UnverifiedHint, VerifyError> {
        let binding = KeyBinding::parse(kbt)?;
        let token = SdCwt::parse(binding.kcwt)?;
        Ok(UnverifiedHint {
            iss: token.registered.iss.to_owned(),
            kid: token.kid.map(<[u8]>::to_vec),
            vct: token.registered.vct.as_ref().map(Vct::from_kind),
            status: token.registered.status_reference(),
        })
    }

    /// Verifies a presentation: both signatures, all headers and times, every disclosure, and that it answers `challenge`.
    ///
    /// Takes at most 262,144 bytes. The order of the checks is that of the format; the first that fails is told. The claims are
    /// read only after the status: see [`Presentation`].
    ///
    /// # Errors
    /// [`VerifyError`], of which the presenter is told [`VerifyError::for_peer`] only. The challenge is used up.
    pub fn verify(&self, kbt: &[u8], challenge: Challenge, now: Timestamp) -> Result<Presentation, VerifyError> {
        let binding = KeyBinding::parse(kbt)?;
        let token = SdCwt::parse(binding.kcwt)?;
        let clock = Clock::new(now, self.leeway_secs);
        let issuer_key = token.verify_issuer(self.trust, &clock)?;
        let holder_key = token.holder_key()?;
        binding.verify_signature(&holder_key)?;
        let bound = binding.check(&self.audience, &challenge.nonce)?;
        clock.check_bound(&token.registered, &bound, challenge.max_age_secs)?;
        let SdCwt { registered, tree, sd_claims, .. } = token;
        let Assembled { claims, paths } = assemble(&tree.join(sd_claims)?)?;
        if !registered.is_for(self.audience.as_str()) {
            return Err(BindingError::CredentialAudience.into());
        }
        if !self.types.allows(registered.vct.as_ref()) {
            return Err(PolicyError::Vct.into());
        }
        Ok(Presentation {
            status: registered.status_reference(),
            short_lived: match (self.status, registered.exp, registered.iat) {
                (StatusPolicy::ShortLived { max_secs }, Some(exp), Some(iat)) => exp.exceeds_by_at_most(iat, max_secs),
                _ => false,
            },
            leeway_secs: self.leeway_secs,
            accepted: Accepted {
                claims: Claims::new(claims),
                paths,
                iss: registered.iss.to_owned(),
                issuer_key,
                vct: registered.vct.as_ref().map(Vct::from_kind),
                presentation: kbt.to_vec(),
                issued: registered.iat.map(Date::to_timestamp),
                expires: registered.exp.map(Date::to_timestamp),
                presented: bound.iat.to_timestamp(),
            },
        })
    }

    /// Verifies a status list token as [`StatusList::verify`] does, with this verifier's trust and leeway.
    ///
    /// # Errors
    /// [`VerifyError`].
    pub fn verify_status_list(
        &self,
        fetched: FetchedStatusList<'_>,
        source: &StatusSource,
        now: Timestamp,
    ) -> Result<StatusList, VerifyError> {
        StatusList::check(fetched, source, self.trust, &Clock::new(now, self.leeway_secs), profile::MAX_INFLATED)
    }
}

/// What a presentation says of itself, before anything is verified: good for fetching, never for deciding.
pub struct UnverifiedHint {
    iss: String,
    kid: Option<Vec<u8>>,
    vct: Option<Vct>,
    status: Option<StatusReference>,
}

impl UnverifiedHint {
    /// Who claims to have issued it.
    #[must_use]
    pub fn unverified_issuer(&self) -> &str {
        &self.iss
    }

    /// The id of the key that it claims to be signed with.
    #[must_use]
    pub fn unverified_kid(&self) -> Option<&[u8]> {
        self.kid.as_deref()
    }

    /// The type that it claims to be of.
    #[must_use]
    pub fn unverified_vct(&self) -> Option<&Vct> {
        self.vct.as_ref()
    }

    /// Where it claims that its status is found.
    #[must_use]
    pub fn unverified_status(&self) -> Option<&StatusReference> {
        self.status.as_ref()
    }

    /// Whose list that would be: to fetch it, if this is an issuer and a place that one would ask anyway.
    #[must_use]
    pub fn unverified_source(&self) -> Option<StatusSource> {
        Some(StatusSource::new(&self.iss, self.status.as_ref()?))
    }
}

impl fmt::Debug for UnverifiedHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnverifiedHint").finish_non_exhaustive()
    }
}

/// A presentation that holds: signed by a trusted issuer, shown by the holder, to us, now. Its status is still to be
/// looked at; only then its claims can be read.
///
/// Made by [`Verifier::verify`] alone:
///
/// ```compile_fail
/// let forged = deedbox_credential::Presentation { status: None, short_lived: true, leeway_secs: 0, accepted: todo!() };
/// ```
///
/// It can't be copied, and its claims can't be read before it is accepted:
///
/// ```compile_fail
/// fn copy(shown: &deedbox_credential::Presentation) -> deedbox_credential::Presentation { shown.clone() }
/// ```
///
/// ```compile_fail
/// fn early(shown: &deedbox_credential::Presentation) { let _ = shown.claims(); }
/// ```
#[must_use = "a presentation is accepted only after its status was looked at"]
pub struct Presentation {
    // INVARIANT (verified): made by `Verifier::verify` only; holding this value is the proof.
    accepted: Accepted,
    status: Option<StatusReference>,
    short_lived: bool,
    leeway_secs: u64,
}

impl Presentation {
    /// Where the status of the credential is found, if it has one.
    #[must_use]
    pub fn status(&self) -> Option<StatusReference> {
        self.status.clone()
    }

    /// Whose status list is to be asked, if it has a status.
    #[must_use]
    pub fn status_source(&self) -> Option<StatusSource> {
        Some(StatusSource::new(&self.accepted.iss, self.status.as_ref()?))
    }

    /// Accepts a credential with a status, if `list` is that of its issuer and URI, fresh, and says that it is valid.
    ///
    /// # Errors
    /// [`StatusError::Revoked`], [`StatusError::Suspended`], [`StatusError::Other`]; [`StatusError::OutOfRange`];
    /// [`StatusError::Uri`] for another list; [`StatusError::Absent`] for a credential without status; [`TimeError`] for a list
    /// that is too old by now.
    pub fn accept_listed(self, list: &StatusList, now: Timestamp) -> Result<Accepted, VerifyError> {
        let reference = self.status.as_ref().ok_or(StatusError::Absent)?;
        list.allows(&self.accepted.iss, reference, &Clock::new(now, self.leeway_secs))?;
        Ok(self.accepted)
    }

    /// Accepts a credential without status, where the policy allows it.
    ///
    /// # Errors
    /// [`StatusError::Uri`]: it has a status, which must be checked; [`StatusError::Absent`]: the policy wants one.
    pub fn accept_unlisted(self) -> Result<Accepted, VerifyError> {
        if self.status.is_some() {
            return Err(StatusError::Uri.into());
        }
        if !self.short_lived {
            return Err(StatusError::Absent.into());
        }
        Ok(self.accepted)
    }

    #[cfg(any(test, feature = "test-util"))]
    pub(crate) fn claims_for_testing_only(&self) -> &Claims {
        &self.accepted.claims
    }
}

impl fmt::Debug for Presentation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presentation").field("claims", &self.accepted.claims).finish_non_exhaustive()
    }
}

/// A credential that was verified, shown to us, and whose status allows it: its claims can be relied on as far as its
/// issuer can.
///
/// ```compile_fail
/// fn forge(claims: deedbox_credential::Claims) -> deedbox_credential::Accepted {
///     deedbox_credential::Accepted { claims, ..todo!() }
/// }
/// ```
pub struct Accepted {
    claims: Claims,
    paths: Paths,
    iss: String,
    issuer_key: Thumbprint,
    vct: Option<Vct>,
    presentation: Vec<u8>,
    issued: Option<Timestamp>,
    expires: Option<Timestamp>,
    presented: Timestamp,
}

impl Accepted {
    /// What was disclosed.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Who issued it.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.iss
    }

    /// Its type, if it has one.
    #[must_use]
    pub fn vct(&self) -> Option<&Vct> {
        self.vct.as_ref()
    }

    /// SHA-256 of the presentation as received: for the log, which holds no values.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::from_bytes(hash::sha256(&self.presentation))
    }

    /// Where the claims stand that the person chose to show, without those that every verifier sees: for the log too.
    #[must_use]
    pub fn disclosed_paths(&self) -> Vec<ClaimPath> {
        self.paths.to_vec()
    }

    /// The name of the issuer's key that signed it.
    #[must_use]
    pub fn issuer_key(&self) -> Thumbprint {
        self.issuer_key
    }

    /// When it was issued, in whole seconds, if it says so.
    #[must_use]
    pub fn issued_at(&self) -> Option<Timestamp> {
        self.issued
    }

    /// When it expires, in whole seconds, if ever.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.expires
    }

    /// When it was presented, by the holder's clock.
    #[must_use]
    pub fn presented_at(&self) -> Timestamp {
        self.presented
    }
}

impl fmt::Debug for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accepted").field("claims", &self.claims).finish_non_exhaustive()
    }
}

/// The key binding token, parsed: steps 1 to 3.
struct KeyBinding<'a> {
    envelope: Envelope<'a>,
    kcwt: &'a [u8],
}

/// The times of a key binding.
struct Bound {
    iat: Date,
    exp: Option<Date>,
    nbf: Option<Date>,
}

impl<'a> KeyBinding<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, VerifyError> {
        let envelope = Envelope::parse(bytes, profile::UNDERSTOOD_KBT, profile::MAX_TOKEN)?;
        envelope.algorithm()?;
        let typ = envelope.protected(profile::TYP).ok_or(HeaderError::Typ)?;
        if typ.as_u64() != Some(profile::TYP_KBT) && typ.as_str() != Some(profile::TYP_KBT_TEXT) {
            return Err(HeaderError::Typ.into());
        }
        let kcwt = envelope.protected(profile::KCWT).ok_or(HeaderError::KcwtMissing)?;
        if envelope.either(profile::CWT_CLAIMS).is_some() {
            return Err(HeaderError::CwtClaims.into());
        }
        if [profile::ALG, profile::KCWT, profile::TYP].iter().any(|label| envelope.unprotected(*label).is_some()) {
            return Err(HeaderError::Misplaced.into());
        }
        Ok(Self { kcwt: kcwt.bytes(), envelope })
    }

    /// Step 10: the holder's key and no other, whatever the token says of it.
    fn verify_signature(&self, key: &VerifyKey) -> Result<(), VerifyError> {
        if self.envelope.algorithm()? != key.algorithm() {
            return Err(HeaderError::AlgNotOfKey.into());
        }
        self.envelope.signed_by([key]).ok_or(SignedBy::KeyBinding)?;
        Ok(())
    }

    /// Steps 11 to 13.
    fn check(&self, audience: &Audience, nonce: &Nonce) -> Result<Bound, VerifyError> {
        let payload = read_payload(self.envelope.payload())?;
        let map = payload.as_map().ok_or(ClaimsError::NotAMap)?;
        check_tree(payload, Markers::Forbidden, &mut Vec::new())?;
        if map.get_int(profile::ISS).is_some() || map.get_int(profile::SUB).is_some() {
            return Err(BindingError::IssOrSub.into());
        }
        if map.get_int(profile::AUD).and_then(Item::as_str) != Some(audience.as_str()) {
            return Err(BindingError::Audience.into());
        }
        let cnonce = map.get_int(profile::CNONCE).and_then(Item::as_bytes).ok_or(BindingError::Nonce)?;
        if !ct::eq(cnonce, nonce.as_bytes()) {
            return Err(BindingError::Nonce.into());
        }
        let iat = map.get_int(profile::IAT).ok_or(ClaimsError::Missing(profile::IAT))?;
        let date = |label: i64| map.get_int(label).map(Date::read).transpose();
        Ok(Bound { iat: Date::read(iat)?, exp: date(profile::EXP)?, nbf: date(profile::NBF)? })
    }
}

/// An SD-CWT, parsed: steps 4 to 6. Its signature is looked at by [`SdCwt::verify_issuer`].
pub(crate) struct SdCwt<'a> {
    pub(crate) envelope: Envelope<'a>,
    pub(crate) registered: Registered<'a>,
    pub(crate) tree: Tree<'a>,
    pub(crate) sd_claims: Option<Item<'a>>,
    pub(crate) kid: Option<&'a [u8]>,
}

impl<'a> SdCwt<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, VerifyError> {
        let envelope = Envelope::parse(bytes, profile::UNDERSTOOD_SD_CWT, profile::MAX_TOKEN)?;
        let kid = Self::check_headers(&envelope)?;
        let payload = read_payload(envelope.payload())?;
        let map = payload.as_map().ok_or(ClaimsError::NotAMap)?;
        let tree = Tree::check(payload)?;
        let registered = Registered::read(map)?;
        let sd_claims = envelope.unprotected(profile::SD_CLAIMS);
        Ok(Self { envelope, registered, tree, sd_claims, kid })
    }

    /// Step 5.
    fn check_headers(envelope: &Envelope<'a>) -> Result<Option<&'a [u8]>, HeaderError> {
        envelope.algorithm()?;
        let typ = envelope.protected(profile::TYP).ok_or(HeaderError::Typ)?;
        if typ.as_u64() != Some(profile::TYP_SD_CWT) && !typ.as_str().is_some_and(is_sd_cwt) {
            return Err(HeaderError::Typ);
        }
        if envelope.protected(profile::SD_ALG).is_some_and(|alg| alg.as_i64() != Some(profile::SD_ALG_SHA256)) {
            return Err(HeaderError::SdAlg);
        }
        let kid = envelope.kid()?;
        if envelope.either(profile::CWT_CLAIMS).is_some() {
            return Err(HeaderError::CwtClaims);
        }
        if envelope.either(profile::SD_AEAD_CLAIMS).is_some() {
            return Err(HeaderError::Encrypted);
        }
        let never_unprotected = [profile::ALG, profile::TYP, profile::SD_ALG, profile::SD_AEAD];
        if envelope.protected(profile::SD_CLAIMS).is_some()
            || never_unprotected.iter().any(|label| envelope.unprotected(*label).is_some())
        {
            return Err(HeaderError::Misplaced);
        }
        Ok(kid)
    }

    /// Steps 7 and 8.
    pub(crate) fn verify_issuer(&self, trust: &TrustStore, clock: &Clock) -> Result<Thumbprint, VerifyError> {
        let Registered { iss, ref vct, iat, .. } = self.registered;
        let algorithm = self.envelope.algorithm()?;
        let wanted = Wanted { kid: self.kid, algorithm, usage: KeyUse::Credentials, vct: vct.as_ref(), iat };
        let key = self.envelope.signed_by(trust.candidates(iss, &wanted, clock)?).ok_or(SignedBy::Issuer)?;
        Ok(key.thumbprint())
    }

    /// Step 9: the one key that the credential is bound to.
    pub(crate) fn holder_key(&self) -> Result<VerifyKey, VerifyError> {
        let cnf = self.registered.cnf.and_then(Item::as_map).filter(|cnf| cnf.len() == 1).ok_or(BindingError::Cnf)?;
        let key = cnf.get_int(1).ok_or(BindingError::Cnf)?;
        check_tree(key, Markers::Forbidden, &mut Vec::new()).map_err(|_| BindingError::CnfKey)?;
        Ok(VerifyKey::parse(key.bytes()).map_err(|_| BindingError::CnfKey)?)
    }
}

/// Step 15: assembles, and looks at the one registered claim that may have been redacted.
pub(crate) fn assemble(joined: &Joined<'_>) -> Result<Assembled, VerifyError> {
    let assembled = joined.assemble()?;
    let sub = assembled.claims.as_item().as_map().and_then(|map: Map<'_>| map.get_int(profile::SUB));
    if sub.is_some_and(|sub| sub.as_str().is_none()) {
        return Err(ClaimsError::Type(profile::SUB).into());
    }
    Ok(assembled)
}

/// Now, and how much clocks may differ.
pub(crate) struct Clock {
    pub(crate) now: i128,
    pub(crate) leeway: i128,
}

impl Clock {
    pub(crate) fn new(now: Timestamp, leeway_secs: u64) -> Self {
        Self { now: i128::from(now.secs()), leeway: i128::from(leeway_secs) }
    }

    /// Rules T1 to T3, and the credential's own times.
    pub(crate) fn check_credential(&self, token: &Registered<'_>) -> Result<(), TimeError> {
        check_rules(&own_rules(token))?;
        self.check_begun([token.nbf, token.iat])?;
        self.check_not_ended([token.exp])
    }

    /// Step 14.
    fn check_bound(&self, token: &Registered<'_>, bound: &Bound, max_age_secs: u64) -> Result<(), TimeError> {
        check_rules(&own_rules(token))?;
        let iat = Some(bound.iat);
        check_rules(&[
            (4, bound.nbf, Allowed::UpTo, iat),
            (5, iat, Allowed::Before, bound.exp),
            (6, bound.exp, Allowed::UpTo, token.exp),
            (7, token.nbf, Allowed::UpTo, bound.nbf),
            (8, token.iat, Allowed::UpTo, iat),
            (9, bound.nbf, Allowed::Before, token.exp),
            (10, iat, Allowed::Before, token.exp),
            (11, token.nbf, Allowed::UpTo, iat),
        ])?;
        self.check_begun([token.nbf, token.iat, bound.nbf, iat])?;
        self.check_not_ended([token.exp, bound.exp])?;
        if bound.iat.compare(self.now - self.leeway - i128::from(max_age_secs)).is_lt() {
            return Err(TimeError::Stale);
        }
        Ok(())
    }

    pub(crate) fn check_begun<const N: usize>(&self, begins: [Option<Date>; N]) -> Result<(), TimeError> {
        let late = self.now + self.leeway;
        if begins.into_iter().flatten().any(|begin| begin.compare(late).is_gt()) {
            return Err(TimeError::NotYetValid);
        }
        Ok(())
    }

    pub(crate) fn check_not_ended<const N: usize>(&self, ends: [Option<Date>; N]) -> Result<(), TimeError> {
        let early = self.now - self.leeway;
        if ends.into_iter().flatten().any(|end| end.compare(early).is_le()) {
            return Err(TimeError::Expired);
        }
        Ok(())
    }
}

/// How two times must stand to each other.
#[derive(Clone, Copy)]
enum Allowed {
    Before,
    UpTo,
}

/// A rule's number, and two times that must stand so, where both are there.
type Rule = (u8, Option<Date>, Allowed, Option<Date>);

fn own_rules(token: &Registered<'_>) -> [Rule; 3] {
    [
        (1, token.nbf, Allowed::UpTo, token.iat),
        (2, token.nbf, Allowed::Before, token.exp),
        (3, token.iat, Allowed::Before, token.exp),
    ]
}

fn check_rules(rules: &[Rule]) -> Result<(), TimeError> {
    for (number, left, allowed, right) in rules {
        let (Some(left), Some(right)) = (left, right) else { continue };
        let good = match left.partial_cmp(right) {
            Some(Ordering::Less) => true,
            Some(Ordering::Equal) => matches!(allowed, Allowed::UpTo),
            Some(Ordering::Greater) | None => false,
        };
        if !good {
            return Err(TimeError::Inconsistent(*number));
        }
    }
    Ok(())
}

fn read_payload(payload: &[u8]) -> Result<Item<'_>, VerifyError> {
    let limits = Limits::new(profile::MAX_TOKEN).with_depth(profile::MAX_DEPTH);
    Ok(deedbox_cbor::read(payload, Order::Any, &limits)?)
}

fn is_sd_cwt(typ: &str) -> bool {
    typ == profile::TYP_SD_CWT_TEXT
        || typ
            .strip_prefix(profile::TYP_PREFIX)
            .and_then(|rest| rest.strip_suffix(profile::TYP_SD_CWT_SUFFIX))
            .is_some_and(|name| !name.is_empty())
}
