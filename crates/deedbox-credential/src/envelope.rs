//! The COSE_Sign1 around every kind of token.

use deedbox_cbor::Item;
use deedbox_cose::{Algorithm, CoseError, Sign1, Sign1Rules, Unverified, Verifier as _, VerifyKey};

use crate::{
    error::{HeaderError, VerifyError},
    profile,
};

/// A signed object as received. It stays unverified; [`Envelope::is_signed_by`] may try several keys.
pub(crate) struct Envelope<'a> {
    sign1: Unverified<Sign1<'a>>,
}

impl<'a> Envelope<'a> {
    /// Reads one of at most `max_len` bytes.
    pub(crate) fn parse(bytes: &'a [u8], understood: &'static [i64], max_len: usize) -> Result<Self, VerifyError> {
        let rules = Sign1Rules::STRICT.max_len(max_len).understood(understood);
        Ok(Self { sign1: Sign1::parse(bytes, &rules)? })
    }

    pub(crate) fn algorithm(&self) -> Result<Algorithm, HeaderError> {
        self.sign1.peek().algorithm().map_err(|_| HeaderError::Alg)
    }

    pub(crate) fn protected(&self, label: i64) -> Option<Item<'a>> {
        self.sign1.peek().protected().get(label)
    }

    pub(crate) fn unprotected(&self, label: i64) -> Option<Item<'a>> {
        self.sign1.peek().unprotected().get(label)
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

    /// Whether one of `keys` signed it. Their algorithm must already be known to be that of the header.
    pub(crate) fn is_signed_by<'k>(&self, keys: impl IntoIterator<Item = &'k VerifyKey>) -> bool {
        let to_be_signed = self.sign1.peek().to_be_signed(&[]);
        keys.into_iter().any(|key| key.verify(&to_be_signed, self.signature()).is_ok())
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
