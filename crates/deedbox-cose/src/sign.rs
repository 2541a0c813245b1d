//! COSE_Sign (RFC 9052 §4.1): one payload, several signatures. For documents of two parties, and lists that several
//! keys vouch for.

use alloc::vec::Vec;
use core::fmt;

use deedbox_cbor::{Item, MapWriter, Writer, read};

use crate::{
    Algorithm, CoseError, Headers, Sign1Rules, SignError, Signer, Thumbprint, Unverified, Verifier, VerifyKey,
    rules::{AlgPlace, Presence},
    sign1::{self, buckets, document_kid, protected_header, stated_algorithm, write_kid},
    structure::{self, structure},
};

/// A payload with several signatures. Whoever owns one, outside of [`Unverified`], has verified those it asked for.
///
/// ```cddl
/// COSE_Sign = #6.98([ protected, header, payload: bstr, [1*64 signature] ])           ; RFC 9052 §4.1
/// signature = [ protected, header, bstr ]              protected = bstr .cbor header / bstr .size 0
/// ```
pub struct Sign<'a> {
    protected_bytes: &'a [u8],
    protected: Headers<'a>,
    unprotected: Headers<'a>,
    payload: &'a [u8],
    signatures: Vec<Signature<'a>>,
}

/// One signature of a [`Sign`].
pub struct Signature<'a> {
    protected_bytes: &'a [u8],
    protected: Headers<'a>,
    unprotected: Headers<'a>,
    signature: &'a [u8],
    alg: AlgPlace,
}

impl<'a> Sign<'a> {
    /// Reads a COSE_Sign with its payload inside and at most 64 signatures. The rules hold for each signature; the
    /// header of the whole may be empty.
    ///
    /// # Errors
    /// Every fault of structure; see [`CoseError`]. No signature is looked at.
    pub fn parse(bytes: &'a [u8], rules: &Sign1Rules) -> Result<Unverified<Self>, CoseError> {
        let item = read(bytes, rules.order, &rules.limits).map_err(CoseError::Cbor)?;
        let parts = rules.untag(item, SIGN)?.as_array().ok_or(CoseError::Shape)?;
        let [protected, unprotected, payload, signatures] = parts.exactly().ok_or(CoseError::Shape)?;
        let (protected_bytes, protected, unprotected) = buckets(protected, unprotected, rules)?;
        let payload = payload.as_bytes().ok_or(CoseError::Shape)?;
        let signatures = signatures.as_array().ok_or(CoseError::Shape)?;
        if signatures.is_empty() || signatures.len() > MAX_SIGNATURES {
            return Err(CoseError::Shape);
        }
        let signatures = signatures.iter().map(|item| Signature::parse(item, rules)).collect::<Result<_, _>>()?;
        Ok(Unverified(Self { protected_bytes, protected, unprotected, payload, signatures }))
    }

    /// The protected header of the whole, which every signature covers.
    #[must_use]
    pub const fn protected(&self) -> Headers<'a> {
        self.protected
    }

    /// The unprotected header of the whole.
    #[must_use]
    pub const fn unprotected(&self) -> Headers<'a> {
        self.unprotected
    }

    /// The payload.
    #[must_use]
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// The signatures, in the order received.
    #[must_use]
    pub fn signatures(&self) -> &[Signature<'a>] {
        &self.signatures
    }

    /// The Sig_structure (RFC 9052 §4.4) of one signature.
    #[must_use]
    pub fn to_be_signed(&self, signature: &Signature<'_>, external_aad: &[u8]) -> Vec<u8> {
        sig_structure(self.protected_bytes, signature.protected_bytes, external_aad, self.payload)
    }

    fn verify_one(&self, signature: &Signature<'_>, key: &impl Verifier, aad: &[u8]) -> Result<(), CoseError> {
        if signature.algorithm()? != key.algorithm() {
            return Err(CoseError::AlgNotOfKey);
        }
        key.verify(&self.to_be_signed(signature, aad), signature.signature)
    }
}

impl<'a> Unverified<Sign<'a>> {
    /// Verifies that the signatures are by `keys`, one each, in their order.
    ///
    /// # Errors
    /// [`CoseError::Signers`] when there are more or fewer signatures than keys; [`CoseError::Alg`],
    /// [`CoseError::AlgNotOfKey`], [`CoseError::BadSignature`].
    pub fn verify_all(self, keys: &[&VerifyKey], external_aad: &[u8]) -> Result<Sign<'a>, CoseError> {
        if self.0.signatures.len() != keys.len() {
            return Err(CoseError::Signers);
        }
        for (signature, key) in self.0.signatures.iter().zip(keys) {
            self.0.verify_one(signature, key, external_aad)?;
        }
        Ok(self.0)
    }

    /// Verifies that at least `threshold` different keys of `keys` have signed. A signature names its key by thumbprint;
    /// signatures by other keys are passed over.
    ///
    /// # Errors
    /// [`CoseError::Signers`] when they are fewer, or `threshold` is 0.
    pub fn verify_threshold(
        self,
        keys: &[VerifyKey],
        threshold: usize,
        external_aad: &[u8],
    ) -> Result<Sign<'a>, CoseError> {
        let mut signed: Vec<Thumbprint> = Vec::new();
        for signature in &self.0.signatures {
            let Some(kid) = signature.protected.kid().and_then(Thumbprint::try_from_slice) else { continue };
            let Some(key) = keys.iter().find(|key| key.thumbprint() == kid) else { continue };
            if !signed.contains(&kid) && self.0.verify_one(signature, key, external_aad).is_ok() {
                signed.push(kid);
            }
        }
        if threshold > 0 && signed.len() >= threshold { Ok(self.0) } else { Err(CoseError::Signers) }
    }
}

impl fmt::Debug for Sign<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sign").field("signatures", &self.signatures.len()).finish_non_exhaustive()
    }
}

impl<'a> Signature<'a> {
    fn parse(item: Item<'a>, rules: &Sign1Rules) -> Result<Self, CoseError> {
        let parts = item.as_array().and_then(|array| array.exactly());
        let [protected, unprotected, signature] = parts.ok_or(CoseError::Shape)?;
        let (protected_bytes, protected, unprotected) = buckets(protected, unprotected, rules)?;
        if protected.is_empty() && rules.protected == Presence::Required {
            return Err(CoseError::EmptyProtected);
        }
        let signature = signature.as_bytes().ok_or(CoseError::Shape)?;
        Ok(Self { protected_bytes, protected, unprotected, signature, alg: rules.alg })
    }

    /// The signature's own protected header.
    #[must_use]
    pub const fn protected(&self) -> Headers<'a> {
        self.protected
    }

    /// The signature's own unprotected header.
    #[must_use]
    pub const fn unprotected(&self) -> Headers<'a> {
        self.unprotected
    }

    /// The algorithm that its header names.
    ///
    /// # Errors
    /// [`CoseError::Alg`].
    pub fn algorithm(&self) -> Result<Algorithm, CoseError> {
        stated_algorithm(&self.protected, &self.unprotected, self.alg)
    }

    /// The signature's bytes.
    #[must_use]
    pub const fn signature(&self) -> &'a [u8] {
        self.signature
    }
}

impl fmt::Debug for Signature<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signature").field("len", &self.signature.len()).finish_non_exhaustive()
    }
}

/// A document of deedbox's own that several parties sign, one after another.
///
/// ```cddl
/// document = #6.98([ bstr .size 0, {}, payload: bstr, [1*64 signature] ])
/// signature = [ bstr .cbor { 1: -19, 4: thumbprint }, {}, bstr .size 64 ]
/// ```
pub struct Document<'a> {
    signed: Sign<'a>,
    kids: Vec<Thumbprint>,
}

impl<'a> Document<'a> {
    /// Reads a document: empty headers of the whole, the two protected labels of each signature and nothing else,
    /// canonical order, at most 1 MiB. No key may sign twice.
    ///
    /// # Errors
    /// [`CoseError::Shape`] for whatever is too much or too little; see [`CoseError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Unverified<Self>, CoseError> {
        let Unverified(signed) = Sign::parse(bytes, &sign1::DOCUMENT)?;
        if !signed.protected_bytes.is_empty() || !signed.unprotected.is_empty() {
            return Err(CoseError::Shape);
        }
        let mut kids = Vec::with_capacity(signed.signatures.len());
        for signature in &signed.signatures {
            let kid = document_kid(&signature.protected, &signature.unprotected)?;
            if kids.contains(&kid) {
                return Err(CoseError::Shape);
            }
            kids.push(kid);
        }
        Ok(Unverified(Self { signed, kids }))
    }

    /// The names of the keys that signed it, in their order.
    #[must_use]
    pub fn kids(&self) -> &[Thumbprint] {
        &self.kids
    }

    /// What was signed.
    #[must_use]
    pub const fn payload(&self) -> &'a [u8] {
        self.signed.payload
    }
}

impl<'a> Unverified<Document<'a>> {
    /// Verifies that exactly `keys` signed it, in this order, for the use that `label` names.
    ///
    /// # Errors
    /// [`CoseError::Signers`] when they are more or fewer, [`CoseError::Kid`] when a signature is by another key, then
    /// [`CoseError::BadSignature`].
    pub fn verify(self, keys: &[&VerifyKey], label: &[u8]) -> Result<Document<'a>, CoseError> {
        let Document { signed, kids } = self.0;
        if kids.len() != keys.len() {
            return Err(CoseError::Signers);
        }
        if kids.iter().zip(keys).any(|(kid, key)| *kid != key.thumbprint()) {
            return Err(CoseError::Kid);
        }
        let signed = Unverified(signed).verify_all(keys, label)?;
        Ok(Document { signed, kids })
    }
}

impl fmt::Debug for Document<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").field("signatures", &self.kids.len()).finish_non_exhaustive()
    }
}

/// Signs `payload` as the first party, for the use that `label` names.
///
/// # Errors
/// Those of the signer.
pub fn document(signer: &(impl Signer + ?Sized), label: &[u8], payload: &[u8]) -> Result<Vec<u8>, SignError> {
    let signature = one_signature(signer, &[], payload, label)?;
    Ok(assemble(payload, &[signature]))
}

/// Adds a further party's signature to a document. The signatures already there stay as they are; they are not verified
/// here, since the party should have verified them before it decided to sign.
///
/// # Errors
/// [`SignError::Document`] when `bytes` are no document, have 64 signatures, or carry this signer's already; those of the
/// signer.
pub fn add_signature(signer: &(impl Signer + ?Sized), bytes: &[u8], label: &[u8]) -> Result<Vec<u8>, SignError> {
    let Unverified(document) = Document::parse(bytes).map_err(|_| SignError::Document)?;
    if document.kids.len() >= MAX_SIGNATURES || document.kids.contains(&signer.public().thumbprint()) {
        return Err(SignError::Document);
    }
    let payload = document.payload();
    let mut signatures: Vec<Vec<u8>> = document
        .signed
        .signatures
        .iter()
        .map(|signature| encode_signature(signature.protected_bytes, signature.signature))
        .collect();
    signatures.push(one_signature(signer, &[], payload, label)?);
    Ok(assemble(payload, &signatures))
}

/// The Sig_structure (RFC 9052 §4.4) of one signature of a COSE_Sign of these parts: the contents of both protected byte
/// strings as received, the external data, the payload. For objects that [`Sign::parse`] refuses to read.
#[must_use]
pub fn sig_structure(body: &[u8], signer: &[u8], external_aad: &[u8], payload: &[u8]) -> Vec<u8> {
    let (body, signer) = (structure::protected(body), structure::protected(signer));
    structure("Signature", &[body, signer, external_aad, payload])
}

fn one_signature(
    signer: &(impl Signer + ?Sized),
    body: &[u8],
    payload: &[u8],
    label: &[u8],
) -> Result<Vec<u8>, SignError> {
    let kid = signer.public().thumbprint();
    let protected = protected_header(signer.public(), |map: &mut MapWriter| write_kid(map, &kid));
    let signature = signer.sign(&sig_structure(body, &protected, label, payload))?;
    Ok(encode_signature(&protected, signature.as_bytes()))
}

fn encode_signature(protected: &[u8], signature: &[u8]) -> Vec<u8> {
    let mut writer = Writer::with_capacity(protected.len() + signature.len() + 8);
    writer.array(3).bytes(protected).map(|_| ()).bytes(signature);
    writer.into_vec()
}

fn assemble(payload: &[u8], signatures: &[Vec<u8>]) -> Vec<u8> {
    let mut writer = Writer::with_capacity(payload.len() + 24);
    writer.tag(SIGN).array(4).bytes(&[]).map(|_| ()).bytes(payload).array(signatures.len());
    let mut bytes = writer.into_vec();
    for signature in signatures {
        bytes.extend_from_slice(signature);
    }
    bytes
}

const MAX_SIGNATURES: usize = 64;
/// Tag of a COSE_Sign.
const SIGN: u64 = 98;
