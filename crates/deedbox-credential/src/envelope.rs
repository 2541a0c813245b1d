//! The COSE_Sign1 around every kind of token.

use deedbox_cbor::Item;
use deedbox_cose::{Algorithm, CoseError, Headers, Sign1, Sign1Rules, Unverified, Verifier as _, VerifyKey};

use crate::{
    error::{HeaderError, VerifyError},
    profile,
};

/// A signed object as received. It stays unverified; [`Envelope::signed_by`] may try several keys.
pub(crate) struct Envelope<'a> {
    sign1: Unverified<Sign1<'a>>,
    protected: Found<'a>,
    unprotected: Found<'a>,
}

/// The values of one header under the labels of the profile, found in one pass: some of them are long.
struct Found<'a>([Option<Item<'a>>; profile::LABELS.len()]);

impl<'a> Found<'a> {
    fn within(headers: Headers<'a>) -> Self {
        let mut found = Self([None; profile::LABELS.len()]);
        for (label, value) in headers.iter() {
            if let Some(place) = label.as_i64().and_then(place).and_then(|at| found.0.get_mut(at)) {
                *place = Some(value);
            }
        }
        found
    }

    fn get(&self, label: i64) -> Option<Item<'a>> {
        *self.0.get(place(label)?)?
    }
}

fn place(label: i64) -> Option<usize> {
    profile::LABELS.iter().position(|known| *known == label)
}

impl<'a> Envelope<'a> {
    /// Reads one of at most `max_len` bytes.
    pub(crate) fn parse(bytes: &'a [u8], understood: &'static [i64], max_len: usize) -> Result<Self, VerifyError> {
        let rules = Sign1Rules::STRICT.max_len(max_len).understood(understood);
        let sign1 = Sign1::parse(bytes, &rules)?;
        let (protected, unprotected) = (sign1.peek().protected(), sign1.peek().unprotected());
        Ok(Self { protected: Found::within(protected), unprotected: Found::within(unprotected), sign1 })
    }

    pub(crate) fn algorithm(&self) -> Result<Algorithm, HeaderError> {
        self.sign1.peek().algorithm().map_err(|_| HeaderError::Alg)
    }

    pub(crate) fn protected(&self, label: i64) -> Option<Item<'a>> {
        self.protected.get(label)
    }

    pub(crate) fn unprotected(&self, label: i64) -> Option<Item<'a>> {
        self.unprotected.get(label)
    }

    /// The protected value, else the unprotected one.
    pub(crate) fn either(&self, label: i64) -> Option<Item<'a>> {
        self.protected(label).or_else(|| self.unprotected(label))
    }

    /// The key id, protected or not, which is a byte string where it is there.
    pub(crate) fn kid(&self) -> Result<Option<&'a [u8]>, HeaderError> {
        self.either(profile::KID).map(|kid| kid.as_bytes().ok_or(HeaderError::Kid)).transpose()
    }

    pub(crate) fn payload(&self) -> &'a [u8] {
        self.sign1.peek().payload()
    }

    pub(crate) fn signature(&self) -> &'a [u8] {
        self.sign1.peek().signature()
    }

    /// The one of `keys` that signed it. Their algorithm must already be known to be that of the header.
    pub(crate) fn signed_by<'k>(&self, keys: impl IntoIterator<Item = &'k VerifyKey>) -> Option<&'k VerifyKey> {
        let to_be_signed = self.sign1.peek().to_be_signed(&[]);
        keys.into_iter().find(|key| key.verify(&to_be_signed, self.signature()).is_ok())
    }
}

impl From<CoseError> for VerifyError {
    fn from(error: CoseError) -> Self {
        match error {
            CoseError::Alg => HeaderError::Alg.into(),
            CoseError::AlgNotOfKey => HeaderError::AlgNotOfKey.into(),
            CoseError::Cbor(error) => error.into(),
            error => Self::Cose(error),
        }
    }
}
