use deedbox_cbor::CborError;

/// Why a signed object was refused. Structure comes first; once a signature was looked at, only
/// [`CoseError::BadSignature`] is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CoseError {
    /// The header names no algorithm that is known here, or names it where the rules don't look.
    #[error("no known algorithm in the header")]
    Alg,
    /// The header names another algorithm than the key's. No signature was looked at.
    #[error("the algorithm is not that of the key")]
    AlgNotOfKey,
    /// The signature isn't the key's over these bytes. Stop; the object is not to be used.
    #[error("signature rejected")]
    BadSignature,
    /// Not strict CBOR, or beyond the limits of the rules.
    #[error("cbor: {0}")]
    Cbor(CborError),
    /// `crit` is an empty array.
    #[error("`crit` is empty")]
    CritEmpty,
    /// `crit` names a label that is absent from the protected header, or that the caller doesn't understand.
    #[error("`crit` names a header that is absent or not understood")]
    CritUnknown,
    /// `crit` stands in the unprotected header.
    #[error("`crit` is not protected")]
    CritUnprotected,
    /// The protected header is empty although the rules want it to say something.
    #[error("the protected header is empty")]
    EmptyProtected,
    /// The header names another key than the one at hand.
    #[error("signed with another key")]
    Kid,
    /// A label stands in both headers.
    #[error("a label stands in both headers")]
    LabelInBoth,
    /// A label is neither an integer nor a text of at most 255 bytes.
    #[error("a label is neither an integer nor a short text")]
    LabelType,
    /// Not the parts that the object consists of.
    #[error("not of the object's shape")]
    Shape,
    /// Fewer signers, or others, than were asked for.
    #[error("signers are missing")]
    Signers,
    /// The tag is absent, or is another object's.
    #[error("wrong or missing tag")]
    Tag,
}

impl CoseError {
    /// The variant's name, stable once released; that of a fault of CBOR follows after a dot.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Alg => "Alg",
            Self::AlgNotOfKey => "AlgNotOfKey",
            Self::BadSignature => "BadSignature",
            Self::Cbor(error) => cbor_code(error),
            Self::CritEmpty => "CritEmpty",
            Self::CritUnknown => "CritUnknown",
            Self::CritUnprotected => "CritUnprotected",
            Self::EmptyProtected => "EmptyProtected",
            Self::Kid => "Kid",
            Self::LabelInBoth => "LabelInBoth",
            Self::LabelType => "LabelType",
            Self::Shape => "Shape",
            Self::Signers => "Signers",
            Self::Tag => "Tag",
        }
    }
}

/// Why bytes are not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// `alg` is not the algorithm of this kind of key.
    #[error("`alg` is not the algorithm of such a key")]
    Alg,
    /// Not strict CBOR, or longer than 4,096 bytes.
    #[error("cbor: {0}")]
    Cbor(CborError),
    /// The curve is none of those used here.
    #[error("unknown curve")]
    Curve,
    /// `key_ops` doesn't allow what the key is wanted for.
    #[error("`key_ops` does not allow this use")]
    KeyOps,
    /// The key type is none of those used here.
    #[error("unknown key type")]
    Kty,
    /// Not a point of the curve, not its canonical encoding, or of small order: such a key proves nothing.
    #[error("not a sound public key")]
    Point,
    /// The private part is there. Whoever sent it should replace the key.
    #[error("a private part is included")]
    Private,
    /// Not a map of labels, or a member is missing or of the wrong type or length.
    #[error("not of a key's shape")]
    Shape,
    /// The kind of key is known, but this build doesn't verify with it.
    #[error("this build does not support such keys")]
    Unsupported,
}

impl KeyError {
    /// The variant's name, stable once released; that of a fault of CBOR follows after a dot.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Alg => "Alg",
            Self::Cbor(error) => cbor_code(error),
            Self::Curve => "Curve",
            Self::KeyOps => "KeyOps",
            Self::Kty => "Kty",
            Self::Point => "Point",
            Self::Private => "Private",
            Self::Shape => "Shape",
            Self::Unsupported => "Unsupported",
        }
    }
}

/// Why nothing was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The document to which a signature was to be added is not one.
    #[error("not a document to be signed")]
    Document,
    /// The signature that came back is not the key's over what was to be signed. Nothing was made; check the signer.
    #[error("signature rejected")]
    Rejected,
    /// The signer can't sign now, or refuses to. Ask again, or ask the person.
    #[error("the signer did not sign")]
    Unavailable,
}

impl SignError {
    /// The variant's name, stable once released.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Document => "Document",
            Self::Rejected => "Rejected",
            Self::Unavailable => "Unavailable",
        }
    }

    /// Whether asking again may help.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable)
    }
}

pub(crate) const fn cbor_code(error: &CborError) -> &'static str {
    match error {
        CborError::DuplicateKey { .. } => "Cbor.DuplicateKey",
        CborError::Eof { .. } => "Cbor.Eof",
        CborError::Indefinite { .. } => "Cbor.Indefinite",
        CborError::NonPreferred { .. } => "Cbor.NonPreferred",
        CborError::NotCanonical { .. } => "Cbor.NotCanonical",
        CborError::Reserved { .. } => "Cbor.Reserved",
        CborError::Simple { .. } => "Cbor.Simple",
        CborError::TooDeep { .. } => "Cbor.TooDeep",
        CborError::TooLong { .. } => "Cbor.TooLong",
        CborError::Trailing { .. } => "Cbor.Trailing",
        CborError::Utf8 { .. } => "Cbor.Utf8",
        _ => "Cbor",
    }
}
