//! Holding: a person accepts a credential, looks at it, and presents what they chose of it.

use alloc::{borrow::ToOwned, string::String, vec, vec::Vec};
use core::fmt;

use deedbox_cbor::{Array, Item, Limits, Map, MapWriter, Order, Writer};
use deedbox_cose::{CoseError, Signer, VerifyKey, sign1};
use deedbox_crypto::hash;
use deedbox_model::{Digest, Timestamp};

use crate::{
    claims::{ClaimPath, Claims, Date, StatusReference, Vct},
    disclosure::{Assembled, Paths},
    error::{ClaimsError, HolderError, PresentError, VerifyError},
    issue::{thumbprint_uri, write_sd_claims},
    profile,
    status::StatusSource,
    trust::TrustStore,
    verify::{Audience, Clock, Nonce, SdCwt, assemble},
};

/// What a holder wants of a credential before taking it.
#[derive(Debug, Clone)]
pub struct AcceptPolicy {
    key: Option<VerifyKey>,
    deterministic: bool,
    leeway_secs: u64,
}

impl AcceptPolicy {
    /// It is bound to `my_key` and deterministically encoded; clocks may differ by 60 seconds.
    #[must_use]
    pub fn new(my_key: VerifyKey) -> Self {
        Self { key: Some(my_key), deterministic: true, leeway_secs: profile::LEEWAY_SECS }
    }

    /// Takes unsorted maps too.
    ///
    /// # Security
    /// An issuer can then mark each copy by the order of its maps and know it again wherever it is shown.
    #[must_use]
    pub fn allow_unsorted(self) -> Self {
        Self { deterministic: false, ..self }
    }

    /// Another difference of clocks.
    #[must_use]
    pub fn with_leeway(self, leeway_secs: u64) -> Self {
        Self { leeway_secs, ..self }
    }

    #[cfg(any(test, feature = "test-util"))]
    pub(crate) fn any_key_for_testing_only() -> Self {
        Self { key: None, deterministic: true, leeway_secs: profile::LEEWAY_SECS }
    }
}

/// A credential that its holder accepted: issued by somebody trusted, bound to the holder's key, and hiding nothing from
/// them.
///
/// The received bytes are kept verbatim. `Debug` prints their length only.
pub struct HeldCredential {
    // INVARIANT (accepted): these bytes passed all checks of `accept`, or of `reopen`.
    bytes: Vec<u8>,
    digest: [u8; 32],
    parts: Parts,
    claims: Claims,
    holder_key: VerifyKey,
    iss: String,
    vct: Option<Vct>,
    exp: Option<Timestamp>,
    status: Option<StatusReference>,
}

/// What goes into a presentation, as received.
struct Parts {
    protected: Vec<u8>,
    /// The key id, where it stands in the unprotected bucket.
    unprotected_kid: Option<Vec<u8>>,
    payload: Vec<u8>,
    signature: Vec<u8>,
    /// Contents of the byte strings of header 17.
    disclosures: Vec<Vec<u8>>,
}

impl HeldCredential {
    /// Checks a credential that was issued to us, with all its disclosures, and takes it.
    ///
    /// Takes at most 262,144 bytes.
    ///
    /// # Errors
    /// [`VerifyError`]; those of stage `holder` say that it is valid but not in the holder's interest.
    pub fn accept(
        bytes: &[u8],
        trust: &TrustStore,
        policy: &AcceptPolicy,
        now: Timestamp,
    ) -> Result<Self, VerifyError> {
        Self::check(bytes, policy, |token, holder_key| {
            let clock = Clock::new(now, policy.leeway_secs);
            token.verify_issuer(trust, &clock)?;
            let holder_key = holder_key()?;
            clock.check_credential(&token.registered)?;
            Ok(holder_key)
        })
    }

    /// Reads back a credential that [`accept`](Self::accept) took before.
    ///
    /// # Security
    /// Neither signature nor times are looked at: only for bytes from a store that is itself authentic.
    ///
    /// # Errors
    /// [`VerifyError`], of every stage but `trust`, `signature`, `time`.
    pub fn reopen(bytes: &[u8], policy: &AcceptPolicy) -> Result<Self, VerifyError> {
        Self::check(bytes, policy, |_, holder_key| holder_key())
    }

    fn check(
        bytes: &[u8],
        policy: &AcceptPolicy,
        verify: impl FnOnce(&SdCwt<'_>, &dyn Fn() -> Result<VerifyKey, VerifyError>) -> Result<VerifyKey, VerifyError>,
    ) -> Result<Self, VerifyError> {
        let token = SdCwt::parse(bytes)?;
        let holder_key = verify(&token, &|| token.holder_key())?;
        let SdCwt { envelope, registered, tree, sd_claims, .. } = token;
        let joined = tree.join(sd_claims)?;
        let Assembled { claims, .. } = assemble(&joined)?;
        let claims = Claims::new(claims);
        if !joined.is_complete() {
            return Err(HolderError::UnmatchedDigest.into());
        }
        if claims.as_item().as_map().and_then(|map| map.get_int(profile::SUB)).is_none() {
            return Err(ClaimsError::Missing(profile::SUB).into());
        }
        if policy.key.as_ref().is_some_and(|key| *key != holder_key) {
            return Err(HolderError::WrongKey.into());
        }
        let protected = received_protected(bytes)?;
        let contents = || joined.disclosures().iter().map(|disclosure| disclosure.content());
        if policy.deterministic {
            let mut signed = [protected, envelope.payload()].into_iter().chain(contents());
            if !signed.all(is_sorted) {
                return Err(HolderError::NotDeterministic.into());
            }
        }
        let kid = envelope.unprotected(profile::KID).and_then(|kid| kid.as_bytes());
        Ok(Self {
            bytes: bytes.to_vec(),
            digest: hash::sha256(bytes),
            parts: Parts {
                protected: protected.to_vec(),
                unprotected_kid: kid.map(<[u8]>::to_vec),
                payload: envelope.payload().to_vec(),
                signature: envelope.signature().to_vec(),
                disclosures: contents().map(<[u8]>::to_vec).collect(),
            },
            claims,
            holder_key,
            iss: registered.iss.to_owned(),
            vct: registered.vct.as_ref().map(Vct::from_kind),
            exp: registered.exp.map(Date::to_timestamp),
            status: registered.status_reference(),
        })
    }

    /// The credential as received, with all disclosures: for the holder's own store.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// All claims, those that can be withheld included.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The top claims that say something of the person, with their keys: all but those that say something of the credential (its
    /// issuer, audience, times, id, key, type, challenge and status), and but a subject that only names the key it is bound to.
    pub fn personal_claims(&self) -> impl Iterator<Item = (Item<'_>, Item<'_>)> {
        self.personal(&self.claims)
    }

    /// Those of [`personal_claims`](Self::personal_claims) of which a verifier learns something by `selection`, with what it
    /// learns. An array or map of which nothing is left but that it is there is not among them.
    ///
    /// # Errors
    /// [`PresentError::OtherCredential`] for a selection of another one.
    pub fn shown<'a>(
        &'a self,
        selection: &'a Selection,
    ) -> Result<impl Iterator<Item = (Item<'a>, Item<'a>)>, PresentError> {
        if selection.of != self.digest {
            return Err(PresentError::OtherCredential);
        }
        let all = self.claims.as_item().as_map();
        let is_bare = move |key: Item<'_>, left: Item<'_>| {
            let whole = || all.and_then(|all| all.iter().find(|(other, _)| *other == key));
            is_empty(left) && whole().is_some_and(|(_, whole)| !is_empty(whole))
        };
        Ok(self.personal(&selection.revealed).filter(move |(key, left)| !is_bare(*key, *left)))
    }

    fn personal<'a>(&'a self, claims: &'a Claims) -> impl Iterator<Item = (Item<'a>, Item<'a>)> {
        let is_key = |value: Item<'_>| value.as_str() == Some(thumbprint_uri(&self.holder_key).as_str());
        let all = claims.as_item().as_map().into_iter().flat_map(|map| map.iter());
        all.filter(move |(key, value)| {
            !key.as_i64().is_some_and(|key| profile::is_never_redacted(key) || (key == profile::SUB && is_key(*value)))
        })
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

    /// When it expires, if ever.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.exp
    }

    /// SHA-256 of the credential with all disclosures: its name in a [`CredentialPool`](crate::CredentialPool) and in the holder's
    /// store.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::from_bytes(self.digest)
    }

    /// Where its status is found, if it has one.
    #[must_use]
    pub fn status(&self) -> Option<&StatusReference> {
        self.status.as_ref()
    }

    /// Whose status list says whether it is still valid, if it has a status.
    #[must_use]
    pub fn status_source(&self) -> Option<StatusSource> {
        Some(StatusSource::new(&self.iss, self.status.as_ref()?))
    }

    /// The key that it is bound to.
    #[must_use]
    pub fn holder_key(&self) -> &VerifyKey {
        &self.holder_key
    }

    /// Chooses the claims at `paths` and the redacted ones above them, and nothing else. What stands redacted within a
    /// chosen claim is shown only if a path names it. Without any path, only what every verifier sees is shown.
    ///
    /// # Errors
    /// [`PresentError::NoSuchClaim`] when there is nothing at one of the paths.
    pub fn select(&self, paths: &[ClaimPath]) -> Result<Selection, PresentError> {
        let token = SdCwt::parse(&self.bytes).map_err(|_| PresentError::OtherCredential)?;
        let joined = token.tree.join(token.sd_claims).map_err(|_| PresentError::OtherCredential)?;
        let mut chosen = vec![false; joined.disclosures().len()];
        for path in paths {
            if !joined.select(path, &mut chosen) {
                return Err(PresentError::NoSuchClaim);
            }
        }
        let shown = joined
            .assemble_some(&|index| chosen.get(index) == Some(&true))
            .map_err(|_| PresentError::OtherCredential)?;
        Ok(Selection { of: self.digest, chosen, revealed: Claims::new(shown.claims), paths: shown.paths })
    }

    /// Whether the claim at `path`, or one above it, is the person's to show or withhold.
    pub(crate) fn is_redacted(&self, path: &ClaimPath) -> bool {
        self.select(core::slice::from_ref(path)).is_ok_and(|selection| selection.disclosed() > 0)
    }

    /// Presents the selection to `audience`, bound to its `nonce`, with the key that the credential is bound to.
    ///
    /// # Errors
    /// [`PresentError`]; nothing left the person then.
    ///
    /// # Security
    /// Two presentations of one credential can be linked by those who compare notes, whatever is selected.
    pub fn present(
        &self,
        selection: &Selection,
        audience: &Audience,
        nonce: &Nonce,
        signer: &impl Signer,
        now: Timestamp,
    ) -> Result<Vec<u8>, PresentError> {
        if *signer.public() != self.holder_key {
            return Err(PresentError::WrongKey);
        }
        let plan = self.plan(selection, audience, nonce, now)?;
        let token = plan.token()?;
        let bytes = sign1::sign(signer, |entries| write_headers(entries, token), |_| {}, &plan.payload, &[])
            .map_err(|_| PresentError::Signer)?;
        check_presentation(bytes)
    }

    /// Prepares what [`present`](Self::present) would sign, for a key that is kept elsewhere.
    ///
    /// # Errors
    /// [`PresentError`].
    pub fn prepare(
        &self,
        selection: &Selection,
        audience: &Audience,
        nonce: &Nonce,
        now: Timestamp,
    ) -> Result<PreparedPresentation, PresentError> {
        let plan = self.plan(selection, audience, nonce, now)?;
        let token = plan.token()?;
        let headers = |entries: &mut MapWriter| write_headers(entries, token);
        Ok(PreparedPresentation { sign1: sign1::prepare(&self.holder_key, headers, |_| {}, &plan.payload, &[]) })
    }

    fn plan(
        &self,
        selection: &Selection,
        audience: &Audience,
        nonce: &Nonce,
        now: Timestamp,
    ) -> Result<Plan, PresentError> {
        if selection.of != self.digest {
            return Err(PresentError::OtherCredential);
        }
        let now = i64::try_from(now.secs()).map_err(|_| PresentError::Time)?;
        let mut payload = Writer::new();
        payload.map(|entries| {
            entries.int(profile::AUD, |writer| {
                writer.text(audience.as_str());
            });
            entries.int(profile::IAT, |writer| {
                writer.int(now);
            });
            entries.int(profile::CNONCE, |writer| {
                writer.bytes(nonce.as_bytes());
            });
        });
        Ok(Plan { token: self.write_token(selection), payload: payload.into_vec() })
    }

    /// The SD-CWT with the chosen disclosures only, sorted.
    fn write_token(&self, selection: &Selection) -> Vec<u8> {
        let Parts { protected, unprotected_kid, payload, signature, disclosures } = &self.parts;
        let chosen = disclosures.iter().zip(&selection.chosen).filter(|(_, chosen)| **chosen);
        let mut chosen: Vec<&[u8]> = chosen.map(|(disclosure, _)| disclosure.as_slice()).collect();
        // Bytewise with their heads: shorter byte strings have lower heads.
        chosen.sort_unstable_by_key(|disclosure| (disclosure.len(), *disclosure));
        let mut writer = Writer::with_capacity(self.bytes.len());
        writer.tag(profile::TAG_SIGN1).array(4).bytes(protected);
        writer.map(|entries| {
            if let Some(kid) = unprotected_kid {
                entries.int(profile::KID, |writer| {
                    writer.bytes(kid);
                });
            }
            write_sd_claims(entries, chosen.into_iter());
        });
        writer.bytes(payload).bytes(signature);
        writer.into_vec()
    }
}

impl fmt::Debug for HeldCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldCredential").field("len", &self.bytes.len()).finish_non_exhaustive()
    }
}

/// What of one credential is to be shown. Made by [`HeldCredential::select`].
pub struct Selection {
    of: [u8; 32],
    // INVARIANT (closed): with each disclosure all those that hold its digest.
    chosen: Vec<bool>,
    revealed: Claims,
    paths: Paths,
}

impl Selection {
    /// All that the verifier will learn, the claims that every verifier sees included: to be shown to the person first.
    #[must_use]
    pub fn revealed(&self) -> &Claims {
        &self.revealed
    }

    /// Where the claims stand that are disclosed beyond those that every verifier sees: what the person decides on.
    #[must_use]
    pub fn disclosed_paths(&self) -> Vec<ClaimPath> {
        self.paths.to_vec()
    }

    /// How many claims are disclosed beyond those that every verifier sees.
    #[must_use]
    pub fn disclosed(&self) -> usize {
        self.chosen.iter().filter(|chosen| **chosen).count()
    }
}

impl fmt::Debug for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Selection").field("disclosed", &self.disclosed()).finish_non_exhaustive()
    }
}

/// A presentation that waits for a signature made elsewhere. Dropped, nothing was presented.
///
/// ```compile_fail
/// fn copy(it: &deedbox_credential::PreparedPresentation) -> deedbox_credential::PreparedPresentation { it.clone() }
/// ```
pub struct PreparedPresentation {
    sign1: sign1::Prepared,
}

impl PreparedPresentation {
    /// What the holder's key signs.
    #[must_use]
    pub fn to_be_signed(&self) -> &[u8] {
        self.sign1.to_be_signed()
    }

    /// Takes the signature, which must hold under the key that the credential is bound to.
    ///
    /// # Errors
    /// [`PresentError::Signer`] where it doesn't; [`PresentError::TooLong`].
    pub fn finish(self, signature: &[u8]) -> Result<Vec<u8>, PresentError> {
        check_presentation(self.sign1.finish(signature).map_err(|_| PresentError::Signer)?)
    }
}

impl fmt::Debug for PreparedPresentation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreparedPresentation").finish_non_exhaustive()
    }
}

/// What a key binding token is made of.
struct Plan {
    token: Vec<u8>,
    payload: Vec<u8>,
}

impl Plan {
    fn token(&self) -> Result<Item<'_>, PresentError> {
        let limits = Limits::new(profile::MAX_TOKEN).with_depth(profile::MAX_DEPTH);
        deedbox_cbor::read(&self.token, Order::Any, &limits).map_err(|_| PresentError::TooLong)
    }
}

fn write_headers(entries: &mut MapWriter, token: Item<'_>) {
    entries.int(profile::KCWT, |writer| {
        writer.item(token);
    });
    entries.int(profile::TYP, |writer| {
        writer.uint(profile::TYP_KBT);
    });
}

fn check_presentation(bytes: Vec<u8>) -> Result<Vec<u8>, PresentError> {
    if bytes.len() > profile::MAX_TOKEN { Err(PresentError::TooLong) } else { Ok(bytes) }
}

/// The protected header's bytes, which a presentation carries on as they are.
fn received_protected(bytes: &[u8]) -> Result<&[u8], VerifyError> {
    let limits = Limits::new(profile::MAX_TOKEN).with_depth(profile::MAX_DEPTH);
    let parts = deedbox_cbor::read(bytes, Order::Any, &limits)?.as_tag().and_then(|(_, content)| content.as_array());
    Ok(parts.and_then(|parts| parts.get(0)?.as_bytes()).ok_or(CoseError::Shape)?)
}

fn is_empty(item: Item<'_>) -> bool {
    item.as_map().is_some_and(Map::is_empty) || item.as_array().is_some_and(Array::is_empty)
}

fn is_sorted(bytes: &[u8]) -> bool {
    let limits = Limits::new(profile::MAX_TOKEN).with_depth(profile::MAX_DEPTH);
    deedbox_cbor::read(bytes, Order::Canonical, &limits).is_ok()
}
