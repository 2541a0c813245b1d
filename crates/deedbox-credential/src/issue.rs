//! Issuing: a template, claims and a holder's key become one signed SD-CWT with all its disclosures.

use alloc::{borrow::ToOwned, string::String, vec::Vec};
use core::fmt;

use deedbox_cbor::{MapWriter, Writer};
use deedbox_cose::{Signer, VerifyKey, sign1};
use deedbox_model::Timestamp;
use rand_core::CryptoRng;

use crate::{
    claims::{StatusReference, Vct},
    error::IssueError,
    profile,
    redact::{ClaimSet, Minter},
};

/// What all credentials of one kind have in common: type, lifetime, and how coarse their times are.
#[derive(Debug, Clone)]
pub struct CredentialTemplate {
    vct: Option<Vct>,
    audience: Option<String>,
    lifetime_secs: u64,
    rounding: Rounding,
}

impl CredentialTemplate {
    /// Credentials of type `vct` that live at least `lifetime_secs`; times are rounded to the hour.
    #[must_use]
    pub fn new(vct: Vct, lifetime_secs: u64) -> Self {
        Self { vct: Some(vct), audience: None, lifetime_secs, rounding: Rounding::Hour }
    }

    /// The same without a type, for verifiers that ask for none.
    #[must_use]
    pub fn without_type(self) -> Self {
        Self { vct: None, ..self }
    }

    /// Only this verifier may accept them.
    #[must_use]
    pub fn only_for(self, audience: &str) -> Self {
        Self { audience: Some(audience.to_owned()), ..self }
    }

    /// How coarse the times are: the coarser, the more credentials share them.
    #[must_use]
    pub fn rounded_to(self, rounding: Rounding) -> Self {
        Self { rounding, ..self }
    }

    /// Issued at the begin of the present hour or day; expires at the first full one after the lifetime.
    fn times(&self, now: Timestamp) -> Option<(i64, i64)> {
        let unit = self.rounding.secs();
        let begin = now.secs() - now.secs() % unit;
        let end = now.secs().checked_add(self.lifetime_secs)?.checked_next_multiple_of(unit)?;
        // An end of no time at all would be a contradiction of times.
        let end = if end > begin { end } else { begin.checked_add(unit)? };
        Some((i64::try_from(begin).ok()?, i64::try_from(end).ok()?))
    }
}

/// How coarse the times of a credential are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rounding {
    /// Full days (86,400 seconds since the epoch's begin).
    Day,
    /// Full hours.
    Hour,
}

impl Rounding {
    const fn secs(self) -> u64 {
        match self {
            Self::Day => 86_400,
            Self::Hour => 3_600,
        }
    }
}

/// Issues credentials in one name with one key.
///
/// `signer` must be a key that verifiers trust for `iss`, and one used for nothing but credentials.
#[derive(Debug)]
pub struct Issuer<'s, S> {
    iss: String,
    signer: &'s S,
}

impl<'s, S: Signer> Issuer<'s, S> {
    /// An issuer that names itself `iss`, usually a URI.
    #[must_use]
    pub fn new(iss: &str, signer: &'s S) -> Self {
        Self { iss: iss.to_owned(), signer }
    }

    /// Issues one credential, bound to `holder_key`. The subject is the key's thumbprint URI, unless `claims` names another.
    ///
    /// # Errors
    /// [`IssueError`]; nothing left the issuer then.
    ///
    /// # Security
    /// Never issue two credentials that must not be linked to one holder key: the key is seen by every verifier.
    pub fn issue(
        &self,
        template: &CredentialTemplate,
        claims: ClaimSet,
        holder_key: &VerifyKey,
        status: Option<&StatusReference>,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<IssuedCredential, IssueError> {
        let copy = BatchCopy { holder_key: holder_key.clone(), status: status.cloned() };
        self.issue_one(template, &claims, &copy, now, rng)
    }

    fn issue_one(
        &self,
        template: &CredentialTemplate,
        claims: &ClaimSet,
        copy: &BatchCopy,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<IssuedCredential, IssueError> {
        let BatchCopy { holder_key, status } = copy;
        let issuer_key = self.signer.public();
        let plan = Plan::new(&self.iss, issuer_key, template, claims, holder_key, status.as_ref(), now, rng)?;
        let bytes = sign1::sign(self.signer, |to| plan.protected(to), |to| plan.unprotected(to), &plan.payload, &[])
            .map_err(|_| IssueError::Signer)?;
        IssuedCredential::checked(bytes)
    }

    /// Issues copies of one credential that verifiers can't link: each has its own holder key, salts, subject and status, and
    /// all have the same times and numbers of decoys.
    ///
    /// # Errors
    /// [`IssueError::Linkable`] for a key or status given twice, statuses for some copies only, and claims with a subject or id
    /// that every verifier sees; else as [`issue`](Self::issue). Nothing left the issuer then.
    ///
    /// # Security
    /// Claims that every verifier sees are equal in all copies: what names the person belongs behind a redaction.
    pub fn issue_batch(
        &self,
        template: &CredentialTemplate,
        claims: ClaimSet,
        copies: &[BatchCopy],
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<IssuedCredential>, IssueError> {
        check_batch(&claims, copies)?;
        copies.iter().map(|copy| self.issue_one(template, &claims, copy, now, rng)).collect()
    }
}

/// One copy of a batch: the holder's key that it is bound to, and where its status is to be found.
#[derive(Debug, Clone)]
pub struct BatchCopy {
    holder_key: VerifyKey,
    status: Option<StatusReference>,
}

impl BatchCopy {
    /// A copy for this key, which is no other copy's.
    #[must_use]
    pub fn new(holder_key: VerifyKey) -> Self {
        Self { holder_key, status: None }
    }

    /// The same with a status, which is no other copy's.
    #[must_use]
    pub fn with_status(self, status: StatusReference) -> Self {
        Self { status: Some(status), ..self }
    }
}

/// Refuses what would let verifiers link two copies.
fn check_batch(claims: &ClaimSet, copies: &[BatchCopy]) -> Result<(), IssueError> {
    let mut keys: Vec<[u8; 32]> = copies.iter().map(|copy| *copy.holder_key.thumbprint().as_bytes()).collect();
    let mut statuses: Vec<(&str, u64)> =
        copies.iter().filter_map(|copy| copy.status.as_ref()).map(|status| (status.uri(), status.idx())).collect();
    keys.sort_unstable();
    let with_status = statuses.len();
    statuses.sort_unstable();
    let distinct = keys.is_sorted_by(|left, right| left < right) && statuses.is_sorted_by(|left, right| left < right);
    let all_or_none = with_status == 0 || with_status == copies.len();
    if distinct && all_or_none && !claims.names_everywhere() { Ok(()) } else { Err(IssueError::Linkable) }
}

/// A credential that waits for a signature made elsewhere, in a security module or by another algorithm than Ed25519.
///
/// Dropped, nothing was issued.
///
/// ```compile_fail
/// fn copy(it: &deedbox_credential::PreparedCredential) -> deedbox_credential::PreparedCredential { it.clone() }
/// ```
pub struct PreparedCredential {
    sign1: sign1::Prepared,
}

impl PreparedCredential {
    /// Prepares what [`Issuer::issue`] would sign with the private part of `issuer_key`.
    ///
    /// # Errors
    /// [`IssueError`].
    #[expect(clippy::too_many_arguments, reason = "each of them is a different thing, and none is optional in meaning")]
    pub fn prepare(
        iss: &str,
        issuer_key: &VerifyKey,
        template: &CredentialTemplate,
        claims: ClaimSet,
        holder_key: &VerifyKey,
        status: Option<&StatusReference>,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, IssueError> {
        let plan = Plan::new(iss, issuer_key, template, &claims, holder_key, status, now, rng)?;
        Ok(Self::of(&plan, issuer_key))
    }

    /// Prepares what [`Issuer::issue_batch`] would sign, copy by copy.
    ///
    /// # Errors
    /// [`IssueError`].
    pub fn prepare_batch(
        iss: &str,
        issuer_key: &VerifyKey,
        template: &CredentialTemplate,
        claims: ClaimSet,
        copies: &[BatchCopy],
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<Self>, IssueError> {
        check_batch(&claims, copies)?;
        let prepare = |BatchCopy { holder_key, status }: &BatchCopy| {
            let plan = Plan::new(iss, issuer_key, template, &claims, holder_key, status.as_ref(), now, rng)?;
            Ok(Self::of(&plan, issuer_key))
        };
        copies.iter().map(prepare).collect()
    }

    fn of(plan: &Plan, issuer_key: &VerifyKey) -> Self {
        let sign1 = sign1::prepare(issuer_key, |to| plan.protected(to), |to| plan.unprotected(to), &plan.payload, &[]);
        Self { sign1 }
    }

    /// What the issuer's key signs.
    #[must_use]
    pub fn to_be_signed(&self) -> &[u8] {
        self.sign1.to_be_signed()
    }

    /// Takes the signature, which must hold.
    ///
    /// # Errors
    /// [`IssueError::Signer`] where it doesn't; [`IssueError::TooLong`].
    pub fn finish(self, signature: &[u8]) -> Result<IssuedCredential, IssueError> {
        IssuedCredential::checked(self.sign1.finish(signature).map_err(|_| IssueError::Signer)?)
    }
}

impl fmt::Debug for PreparedCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreparedCredential").finish_non_exhaustive()
    }
}

/// A credential with all its disclosures, for the holder and for nobody else: whoever reads it learns every claim.
///
/// `Debug` prints its length only.
pub struct IssuedCredential {
    bytes: Vec<u8>,
}

impl IssuedCredential {
    fn checked(bytes: Vec<u8>) -> Result<Self, IssueError> {
        if bytes.len() > profile::MAX_TOKEN { Err(IssueError::TooLong) } else { Ok(Self { bytes }) }
    }

    /// The SD-CWT.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The SD-CWT, given away.
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        self.bytes
    }
}

impl fmt::Debug for IssuedCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedCredential").field("len", &self.bytes.len()).finish_non_exhaustive()
    }
}

/// What an SD-CWT is made of.
struct Plan {
    kid: [u8; 32],
    payload: Vec<u8>,
    disclosures: Vec<Vec<u8>>,
}

impl Plan {
    #[expect(clippy::too_many_arguments, reason = "as its two callers")]
    fn new(
        iss: &str,
        issuer_key: &VerifyKey,
        template: &CredentialTemplate,
        claims: &ClaimSet,
        holder_key: &VerifyKey,
        status: Option<&StatusReference>,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, IssueError> {
        let (begin, end) = template.times(now).ok_or(IssueError::Times)?;
        let mut minter = Minter::new(rng, claims.disclosures());
        let mut payload = Writer::with_capacity(claims.size().saturating_add(REGISTERED));
        payload.map(|entries| {
            text(entries, profile::ISS, iss);
            if !claims.has_subject() {
                text(entries, profile::SUB, &thumbprint_uri(holder_key));
            }
            if let Some(audience) = &template.audience {
                text(entries, profile::AUD, audience);
            }
            int(entries, profile::EXP, end);
            int(entries, profile::NBF, begin);
            int(entries, profile::IAT, begin);
            entries.int(profile::CNF, |writer| write_cnf(writer, holder_key));
            if let Some(vct) = &template.vct {
                entries.int(profile::VCT, |writer| vct.write(writer));
            }
            if let Some(status) = status {
                entries.int(profile::STATUS, |writer| write_status(writer, status));
            }
            claims.write(entries, &mut minter);
        });
        let disclosures = minter.finish()?;
        Ok(Self { kid: *issuer_key.thumbprint().as_bytes(), payload: payload.into_vec(), disclosures })
    }

    fn protected(&self, entries: &mut MapWriter) {
        entries.int(profile::KID, |writer| {
            writer.bytes(&self.kid);
        });
        entries.int(profile::TYP, |writer| {
            writer.uint(profile::TYP_SD_CWT);
        });
        int(entries, profile::SD_ALG, profile::SD_ALG_SHA256);
    }

    fn unprotected(&self, entries: &mut MapWriter) {
        write_sd_claims(entries, self.disclosures.iter().map(Vec::as_slice));
    }
}

/// Header 17, left out where there is nothing to disclose.
pub(crate) fn write_sd_claims<'d>(entries: &mut MapWriter, disclosures: impl ExactSizeIterator<Item = &'d [u8]>) {
    if disclosures.len() == 0 {
        return;
    }
    entries.int(profile::SD_CLAIMS, |writer| {
        writer.array(disclosures.len());
        for disclosure in disclosures {
            writer.bytes(disclosure);
        }
    });
}

fn text(entries: &mut MapWriter, key: i64, value: &str) {
    entries.int(key, |writer| {
        writer.text(value);
    });
}

fn int(entries: &mut MapWriter, key: i64, value: i64) {
    entries.int(key, |writer| {
        writer.int(value);
    });
}

fn write_cnf(writer: &mut Writer, key: &VerifyKey) {
    writer.map(|entries| {
        entries.int(1, |writer| key.encode(writer));
    });
}

fn write_status(writer: &mut Writer, status: &StatusReference) {
    writer.map(|entries| {
        entries.text(profile::STATUS_LIST, |writer| {
            writer.map(|entries| {
                entries.text(profile::STATUS_IDX, |writer| {
                    writer.uint(status.idx());
                });
                entries.text(profile::STATUS_URI, |writer| {
                    writer.text(status.uri());
                });
            });
        });
    });
}

/// Bytes that the registered claims take, most often.
const REGISTERED: usize = 512;

/// `urn:ietf:params:oauth:ckt:sha-256:` and the thumbprint in base64url without padding (RFC 9679, section 5.4).
pub(crate) fn thumbprint_uri(key: &VerifyKey) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut uri = String::with_capacity(profile::THUMBPRINT_URI.len().saturating_add(43));
    uri.push_str(profile::THUMBPRINT_URI);
    for chunk in key.thumbprint().as_bytes().chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, byte| (bits << 8) | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            let six = usize::try_from((bits >> (18 - 6 * place)) & 63).unwrap_or(0);
            uri.push(char::from(ALPHABET.get(six).copied().unwrap_or(b'A')));
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_outwards() {
        let template = CredentialTemplate::new(Vct::number(1), 1000);
        assert_eq!(template.times(Timestamp::from_secs(7_205)), Some((7_200, 10_800)));
        assert_eq!(
            template.clone().rounded_to(Rounding::Day).times(Timestamp::from_secs(86_400)),
            Some((86_400, 172_800))
        );
        assert_eq!(CredentialTemplate::new(Vct::number(1), 0).times(Timestamp::from_secs(3_600)), Some((3_600, 7_200)));
        assert_eq!(template.times(Timestamp::from_secs(u64::MAX)), None);
    }
}
