//! COSE_Sign1 (RFC 9052 §4.2): one payload, one signature.
//!
//! [`Sign1`] reads what others write, by [`Sign1Rules`]; [`prepare`] and [`sign`] write. deedbox's own documents
//! have one narrow form, read by [`open_document`] and written by [`document`].

use alloc::vec::Vec;
use core::fmt;

use deedbox_cbor::{Item, MapWriter, Order, Writer, read};
use zeroize::Zeroizing;

use crate::{
    Algorithm, CoseError, Headers, Sign1Rules, SignError, Signer, Thumbprint, Unverified, Verifier, VerifyKey,
    header::{self, ALG, KID},
    rules::{AlgPlace, Buckets, Presence},
    structure::{self, structure},
};

/// A signed object. Whoever owns one, outside of [`Unverified`], has verified it.
///
/// ```cddl
/// COSE_Sign1 = #6.18([ bstr .cbor header / bstr .size 0, header, bstr, bstr ])      ; RFC 9052 §4.2
/// header = { * label => any }                         label = int / tstr .size (0..255)
/// ```
/// Everything is a span of the bytes received, and the signature is over them as they were received.
pub struct Sign1<'a> {
    envelope: Envelope<'a>,
    payload: &'a [u8],
}

impl<'a> Sign1<'a> {
    /// Reads a COSE_Sign1 with its payload inside.
    ///
    /// # Errors
    /// Every fault of structure; see [`CoseError`]. No signature is looked at.
    pub fn parse(bytes: &'a [u8], rules: &Sign1Rules) -> Result<Unverified<Self>, CoseError> {
        let (envelope, payload) = Envelope::parse(bytes, rules)?;
        let payload = payload.as_bytes().ok_or(CoseError::Shape)?;
        Ok(Unverified(Self { envelope, payload }))
    }

    /// The protected header, which the signature covers.
    #[must_use]
    pub const fn protected(&self) -> Headers<'a> {
        self.envelope.protected
    }

    /// The unprotected header, which anybody may have altered.
    #[must_use]
    pub const fn unprotected(&self) -> Headers<'a> {
        self.envelope.unprotected
    }

    /// The algorithm that the header names.
    ///
    /// # Errors
    /// [`CoseError::Alg`] when it names none that is known, or not where the rules look.
    pub fn algorithm(&self) -> Result<Algorithm, CoseError> {
        self.envelope.algorithm()
    }

    /// The payload.
    #[must_use]
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// The signature's bytes.
    #[must_use]
    pub const fn signature(&self) -> &'a [u8] {
        self.envelope.signature
    }

    /// The Sig_structure (RFC 9052 §4.4): what was signed.
    #[must_use]
    pub fn to_be_signed(&self, external_aad: &[u8]) -> Vec<u8> {
        self.envelope.to_be_signed(self.payload, external_aad)
    }
}

impl<'a> Unverified<Sign1<'a>> {
    /// Verifies the signature by `key` over the object and `external_aad`.
    ///
    /// # Errors
    /// [`CoseError::Alg`], [`CoseError::AlgNotOfKey`], then [`CoseError::BadSignature`].
    pub fn verify(self, key: &impl Verifier, external_aad: &[u8]) -> Result<Sign1<'a>, CoseError> {
        self.0.envelope.verify(self.0.payload, key, external_aad)?;
        Ok(self.0)
    }
}

impl fmt::Debug for Sign1<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sign1").field("payload_len", &self.payload.len()).finish_non_exhaustive()
    }
}

/// A signed object whose payload travels apart, or isn't sent at all since the receiver computes it.
pub struct DetachedSign1<'a> {
    envelope: Envelope<'a>,
}

impl<'a> DetachedSign1<'a> {
    /// Reads a COSE_Sign1 with `null` in place of the payload.
    ///
    /// # Errors
    /// Every fault of structure; see [`CoseError`]. No signature is looked at.
    pub fn parse(bytes: &'a [u8], rules: &Sign1Rules) -> Result<Unverified<Self>, CoseError> {
        let (envelope, payload) = Envelope::parse(bytes, rules)?;
        if payload.is_null() { Ok(Unverified(Self { envelope })) } else { Err(CoseError::Shape) }
    }

    /// The protected header, which the signature covers.
    #[must_use]
    pub const fn protected(&self) -> Headers<'a> {
        self.envelope.protected
    }

    /// The unprotected header, which anybody may have altered.
    #[must_use]
    pub const fn unprotected(&self) -> Headers<'a> {
        self.envelope.unprotected
    }
}

impl<'a> Unverified<DetachedSign1<'a>> {
    /// Verifies the signature by `key` over the object, `payload` and `external_aad`.
    ///
    /// # Errors
    /// [`CoseError::Alg`], [`CoseError::AlgNotOfKey`], then [`CoseError::BadSignature`].
    pub fn verify(
        self,
        payload: &[u8],
        key: &impl Verifier,
        external_aad: &[u8],
    ) -> Result<DetachedSign1<'a>, CoseError> {
        self.0.envelope.verify(payload, key, external_aad)?;
        Ok(self.0)
    }
}

impl fmt::Debug for DetachedSign1<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DetachedSign1").finish_non_exhaustive()
    }
}

/// A document of deedbox's own, signed by one key. Whoever owns one, outside of [`Unverified`], has verified it.
///
/// ```cddl
/// document = #6.18([ bstr .cbor { 1: -19, 4: thumbprint }, {}, payload: bstr, bstr .size 64 ])
/// thumbprint = bstr .size 32
/// ```
pub struct Document<'a> {
    signed: Sign1<'a>,
    kid: Thumbprint,
}

impl<'a> Document<'a> {
    /// Reads a document: nothing but the two protected labels, Ed25519, canonical order, at most 1 MiB.
    ///
    /// # Errors
    /// [`CoseError::Shape`] for whatever is too much or too little; see [`CoseError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Unverified<Self>, CoseError> {
        let Unverified(signed) = Sign1::parse(bytes, &DOCUMENT)?;
        let kid = document_kid(&signed.protected(), &signed.unprotected())?;
        Ok(Unverified(Self { signed, kid }))
    }

    /// The name of the key that signed it.
    #[must_use]
    pub const fn kid(&self) -> Thumbprint {
        self.kid
    }

    /// What was signed.
    #[must_use]
    pub const fn payload(&self) -> &'a [u8] {
        self.signed.payload
    }
}

impl<'a> Unverified<Document<'a>> {
    /// Verifies that `key` signed it for the use that `label` names.
    ///
    /// # Errors
    /// [`CoseError::Kid`] when another key signed it, then [`CoseError::BadSignature`].
    pub fn verify(self, key: &VerifyKey, label: &[u8]) -> Result<Document<'a>, CoseError> {
        // looked at in any case: how long it takes does not tell which keys are known here
        let verdict = self.0.signed.envelope.verify(self.0.signed.payload, key, label);
        if self.0.kid != key.thumbprint() {
            return Err(CoseError::Kid);
        }
        verdict?;
        Ok(self.0)
    }
}

impl fmt::Debug for Document<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").field("payload_len", &self.payload().len()).finish_non_exhaustive()
    }
}

/// An object that waits for its signature, which a device or service elsewhere makes.
pub struct Prepared {
    public: VerifyKey,
    protected: Vec<u8>,
    unprotected: Vec<u8>,
    // What is signed may hold keys, as a grant does: every copy of ours is wiped.
    payload: Payload,
    to_be_signed: Zeroizing<Vec<u8>>,
}

enum Payload {
    Detached,
    Inside(Zeroizing<Vec<u8>>),
}

impl Prepared {
    /// What is to be signed (RFC 9052 §4.4).
    #[must_use]
    pub fn to_be_signed(&self) -> &[u8] {
        &self.to_be_signed
    }

    /// Puts the signature in and gives the object's bytes.
    ///
    /// # Errors
    /// [`SignError::Rejected`] when it isn't the key's signature over [`Prepared::to_be_signed`].
    pub fn finish(self, signature: &[u8]) -> Result<Vec<u8>, SignError> {
        self.public.verify(&self.to_be_signed, signature).map_err(|_| SignError::Rejected)?;
        Ok(self.assemble(signature))
    }

    fn sign_with(self, signer: &(impl Signer + ?Sized)) -> Result<Vec<u8>, SignError> {
        let signature = signer.sign(&self.to_be_signed)?;
        Ok(self.assemble(signature.as_bytes()))
    }

    fn assemble(&self, signature: &[u8]) -> Vec<u8> {
        let payload: &[u8] = match &self.payload {
            Payload::Detached => &[],
            Payload::Inside(payload) => payload,
        };
        let len = self.protected.len() + self.unprotected.len() + payload.len() + signature.len() + 50;
        let mut writer = Writer::with_capacity(len);
        writer.tag(SIGN1).array(4).bytes(&self.protected);
        // Long enough from the start: a vector that grows leaves what it held behind.
        let mut bytes = writer.into_vec();
        bytes.extend_from_slice(&self.unprotected);
        let mut writer = Writer::with_capacity(payload.len() + signature.len() + 18);
        match &self.payload {
            Payload::Detached => writer.null(),
            Payload::Inside(payload) => writer.bytes(payload),
        };
        writer.bytes(signature);
        bytes.extend_from_slice(&Zeroizing::new(writer.into_vec()));
        bytes
    }
}

/// Prints lengths, never content.
impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared").field("len", &self.to_be_signed.len()).finish_non_exhaustive()
    }
}

/// Prepares a COSE_Sign1 for a signature by the key of `public`, whose algorithm enters the protected header.
///
/// `protected` and `unprotected` write the other labels; a label belongs into one of them only.
pub fn prepare(
    public: &VerifyKey,
    protected: impl FnOnce(&mut MapWriter),
    unprotected: impl FnOnce(&mut MapWriter),
    payload: &[u8],
    external_aad: &[u8],
) -> Prepared {
    let protected = protected_header(public, protected);
    Prepared {
        to_be_signed: Zeroizing::new(sig_structure(&protected, external_aad, payload)),
        public: public.clone(),
        protected,
        unprotected: map_of(unprotected),
        payload: Payload::Inside(Zeroizing::new(payload.to_vec())),
    }
}

/// Prepares a COSE_Sign1 as [`prepare`] does, with `null` in place of the payload.
pub fn prepare_detached(
    public: &VerifyKey,
    protected: impl FnOnce(&mut MapWriter),
    unprotected: impl FnOnce(&mut MapWriter),
    payload: &[u8],
    external_aad: &[u8],
) -> Prepared {
    Prepared { payload: Payload::Detached, ..prepare(public, protected, unprotected, payload, external_aad) }
}

/// Signs a COSE_Sign1; see [`prepare`].
///
/// # Errors
/// Those of the signer.
pub fn sign(
    signer: &(impl Signer + ?Sized),
    protected: impl FnOnce(&mut MapWriter),
    unprotected: impl FnOnce(&mut MapWriter),
    payload: &[u8],
    external_aad: &[u8],
) -> Result<Vec<u8>, SignError> {
    prepare(signer.public(), protected, unprotected, payload, external_aad).sign_with(signer)
}

/// Signs a COSE_Sign1 with a detached payload; see [`prepare_detached`].
///
/// # Errors
/// Those of the signer.
pub fn sign_detached(
    signer: &(impl Signer + ?Sized),
    protected: impl FnOnce(&mut MapWriter),
    unprotected: impl FnOnce(&mut MapWriter),
    payload: &[u8],
    external_aad: &[u8],
) -> Result<Vec<u8>, SignError> {
    prepare_detached(signer.public(), protected, unprotected, payload, external_aad).sign_with(signer)
}

/// Signs a document of deedbox's own, for the use that `label` names.
///
/// # Errors
/// Those of the signer.
///
/// # Security
/// `label` keeps a document of one kind from passing as another of the same key: one kind, one label of
/// `deedbox_crypto::label`.
pub fn document(signer: &(impl Signer + ?Sized), label: &[u8], payload: &[u8]) -> Result<Vec<u8>, SignError> {
    prepare_document(signer.public(), label, payload).sign_with(signer)
}

/// Prepares a document of deedbox's own for a signature that is made elsewhere; see [`document`].
#[must_use]
pub fn prepare_document(public: &VerifyKey, label: &[u8], payload: &[u8]) -> Prepared {
    let kid = public.thumbprint();
    let protected = |map: &mut MapWriter| write_kid(map, &kid);
    prepare(public, protected, |_| (), payload, label)
}

/// Verifies a document that `key` must have signed for the use that `label` names, and gives its payload.
///
/// # Errors
/// See [`Document::parse`], then [`CoseError::Kid`], then [`CoseError::BadSignature`].
pub fn open_document<'a>(bytes: &'a [u8], key: &VerifyKey, label: &[u8]) -> Result<&'a [u8], CoseError> {
    Ok(Document::parse(bytes)?.verify(key, label)?.payload())
}

/// The name of the key that a document claims to be signed with: to find that key, and for nothing else.
///
/// # Errors
/// See [`Document::parse`].
pub fn peek_kid(bytes: &[u8]) -> Result<Thumbprint, CoseError> {
    Ok(Document::parse(bytes)?.0.kid)
}

/// The Sig_structure (RFC 9052 §4.4) of a COSE_Sign1 of these parts: the content of the protected byte string as received,
/// the external data, the payload. For objects that [`Sign1::parse`] refuses to read.
#[must_use]
pub fn sig_structure(protected: &[u8], external_aad: &[u8], payload: &[u8]) -> Vec<u8> {
    structure("Signature1", &[structure::protected(protected), external_aad, payload])
}

/// What both forms have in common: everything but the payload.
struct Envelope<'a> {
    protected_bytes: &'a [u8],
    protected: Headers<'a>,
    unprotected: Headers<'a>,
    signature: &'a [u8],
    alg: AlgPlace,
}

impl<'a> Envelope<'a> {
    fn parse(bytes: &'a [u8], rules: &Sign1Rules) -> Result<(Self, Item<'a>), CoseError> {
        let item = read(bytes, rules.order, &rules.limits).map_err(CoseError::Cbor)?;
        let parts = rules.untag(item, SIGN1)?.as_array().ok_or(CoseError::Shape)?;
        let [protected, unprotected, payload, signature] = parts.exactly().ok_or(CoseError::Shape)?;
        let (protected_bytes, protected, unprotected) = buckets(protected, unprotected, rules)?;
        if protected.is_empty() && rules.protected == Presence::Required {
            return Err(CoseError::EmptyProtected);
        }
        let signature = signature.as_bytes().ok_or(CoseError::Shape)?;
        Ok((Self { protected_bytes, protected, unprotected, signature, alg: rules.alg }, payload))
    }

    fn algorithm(&self) -> Result<Algorithm, CoseError> {
        stated_algorithm(&self.protected, &self.unprotected, self.alg)
    }

    fn to_be_signed(&self, payload: &[u8], external_aad: &[u8]) -> Vec<u8> {
        sig_structure(self.protected_bytes, external_aad, payload)
    }

    fn verify(&self, payload: &[u8], key: &impl Verifier, external_aad: &[u8]) -> Result<(), CoseError> {
        if self.algorithm()? != key.algorithm() {
            return Err(CoseError::AlgNotOfKey);
        }
        key.verify(&Zeroizing::new(self.to_be_signed(payload, external_aad)), self.signature)
    }
}

/// Reads and checks the two headers.
pub(crate) fn buckets<'a>(
    protected: Item<'a>,
    unprotected: Item<'a>,
    rules: &Sign1Rules,
) -> Result<(&'a [u8], Headers<'a>, Headers<'a>), CoseError> {
    let bytes = protected.as_bytes().ok_or(CoseError::Shape)?;
    let unprotected = Headers::of(unprotected.as_map().ok_or(CoseError::Shape)?);
    let protected = Headers::protected(bytes, rules.order, &rules.limits)?;
    header::check(&protected, &unprotected, rules.buckets == Buckets::Exclusive, rules.understood)?;
    Ok((bytes, protected, unprotected))
}

pub(crate) fn stated_algorithm(
    protected: &Headers<'_>,
    unprotected: &Headers<'_>,
    place: AlgPlace,
) -> Result<Algorithm, CoseError> {
    // A protected algorithm that is unknown isn't replaced by an unprotected one.
    let headers = match place {
        AlgPlace::Either if protected.get(ALG).is_none() => unprotected,
        _ => protected,
    };
    headers.algorithm().ok_or(CoseError::Alg)
}

/// The kid of a document: exactly {1: -19, 4: thumbprint}, and nothing unprotected.
pub(crate) fn document_kid(protected: &Headers<'_>, unprotected: &Headers<'_>) -> Result<Thumbprint, CoseError> {
    if protected.get(ALG).and_then(Item::as_i64) != Some(Algorithm::Ed25519.id()) {
        return Err(CoseError::Alg);
    }
    let kid = protected.kid().and_then(Thumbprint::try_from_slice).ok_or(CoseError::Shape)?;
    if protected.len() == 2 && unprotected.is_empty() { Ok(kid) } else { Err(CoseError::Shape) }
}

pub(crate) fn write_kid(map: &mut MapWriter, kid: &Thumbprint) {
    map.int(KID, |w| {
        w.bytes(kid.as_bytes());
    });
}

pub(crate) fn protected_header(public: &VerifyKey, more: impl FnOnce(&mut MapWriter)) -> Vec<u8> {
    map_of(|map| {
        more(map);
        // Last, so that it stays whatever `more` wrote.
        map.int(ALG, |w| {
            w.int(public.algorithm().id());
        });
    })
}

pub(crate) fn map_of(entries: impl FnOnce(&mut MapWriter)) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.map(entries);
    writer.into_vec()
}

/// Rules of deedbox's own documents.
pub(crate) const DOCUMENT: Sign1Rules = Sign1Rules { order: Order::Canonical, ..Sign1Rules::STRICT.max_len(1 << 20) };
/// Tag of a COSE_Sign1.
const SIGN1: u64 = 18;
