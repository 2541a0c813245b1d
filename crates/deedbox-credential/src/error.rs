//! What can go wrong, by stage; no error holds a claim, a name or a key.

use alloc::vec::Vec;

use deedbox_cbor::CborError;
use deedbox_cose::CoseError;

use crate::claims::ClaimPath;

/// Why a credential or a presentation was refused.
///
/// [`stage`](Self::stage) names the step of the verification, [`code`](Self::code) the exact fault. Both are for the
/// verifier's own log; the presenter is told [`for_peer`](Self::for_peer) only.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The presentation is not for us, not for this challenge, or the credential binds no usable key.
    #[error("binding: {0}")]
    Binding(BindingError),
    /// Not strict CBOR.
    #[error("cbor: {0}")]
    Cbor(CborError),
    /// The claims are not of the profile.
    #[error("claims: {0}")]
    Claims(ClaimsError),
    /// Not a COSE_Sign1 as the profile wants it.
    #[error("cose: {0}")]
    Cose(CoseError),
    /// The disclosures don't fit the signed digests.
    #[error("disclosure: {0}")]
    Disclosure(DisclosureError),
    /// A header is missing, misplaced or has another value.
    #[error("header: {0}")]
    Header(HeaderError),
    /// The holder does not take this credential.
    #[error("holder: {0}")]
    Holder(HolderError),
    /// More than this reader takes.
    #[error("limit: more than {max} {}", what.unit())]
    Limit {
        /// What there is too much of.
        what: Limit,
        /// How much is taken.
        max: usize,
    },
    /// Valid, but not what was asked for.
    #[error("policy: {0}")]
    Policy(PolicyError),
    /// A signature does not hold.
    #[error("signature: {0}")]
    Signature(SignedBy),
    /// The status of the credential forbids it, or could not be checked.
    #[error("status: {0}")]
    Status(StatusError),
    /// Too early, too late, or times that contradict each other.
    #[error("time: {0}")]
    Time(TimeError),
    /// No key that we trust for this issuer.
    #[error("trust: {0}")]
    Trust(TrustError),
}

impl VerifyError {
    /// Names the step that failed: the variant in lower case.
    #[must_use]
    pub fn stage(&self) -> &'static str {
        match self {
            Self::Binding(_) => "binding",
            Self::Cbor(_) => "cbor",
            Self::Claims(_) => "claims",
            Self::Cose(_) => "cose",
            Self::Disclosure(_) => "disclosure",
            Self::Header(_) => "header",
            Self::Holder(_) => "holder",
            Self::Limit { .. } => "limit",
            Self::Policy(_) => "policy",
            Self::Signature(_) => "signature",
            Self::Status(_) => "status",
            Self::Time(_) => "time",
            Self::Trust(_) => "trust",
        }
    }

    /// Names the fault, stable once released, such as `Time.Expired`. Faults of CBOR and COSE keep their crate's code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Binding(error) => error.code(),
            Self::Cbor(error) => error.code(),
            Self::Claims(error) => error.code(),
            Self::Cose(error) => error.code(),
            Self::Disclosure(error) => error.code(),
            Self::Header(error) => error.code(),
            Self::Holder(error) => error.code(),
            Self::Limit { what, .. } => what.code(),
            Self::Policy(error) => error.code(),
            Self::Signature(error) => error.code(),
            Self::Status(error) => error.code(),
            Self::Time(error) => error.code(),
            Self::Trust(error) => error.code(),
        }
    }

    /// What the presenter may be told; nothing else leaves the verifier.
    #[must_use]
    pub fn for_peer(&self) -> ForPeer {
        match self {
            Self::Binding(BindingError::Nonce) | Self::Time(_) => ForPeer::Retry,
            _ => ForPeer::Refused,
        }
    }
}

/// All that a presenter learns of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a peer learns one of two things; a third would be a change of format")]
pub enum ForPeer {
    /// Refused; trying again changes nothing.
    Refused,
    /// The nonce or a time did not fit; a fresh challenge may.
    Retry,
}

impl ForPeer {
    /// The word on the wire: `refused` or `retry`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Retry => "retry",
        }
    }
}

/// What there can be too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// Bytes of a token.
    Bytes,
    /// Nested containers in what was received.
    Depth,
    /// Disclosures of one token.
    Disclosures,
    /// Bytes of a status list after inflating.
    Inflated,
    /// Issuers of a trust list.
    Issuers,
    /// Levels of the assembled claims.
    Levels,
}

impl Limit {
    fn unit(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Depth => "nested containers",
            Self::Disclosures => "disclosures",
            Self::Inflated => "inflated bytes",
            Self::Issuers => "issuers",
            Self::Levels => "levels of claims",
        }
    }
}

/// Writes one sub-enum: variants with their doc and text, and the code `Stage.Variant`.
macro_rules! faults {
    ($(#[$doc:meta])* $name:ident, $stage:literal { $($(#[$vdoc:meta])* $variant:ident $(($field:ty))? = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$vdoc])* #[error($text)] $variant $(($field))?,)+
        }

        impl $name {
            /// Stage and variant, stable once released.
            #[must_use]
            pub fn code(&self) -> &'static str {
                match self {
                    $(Self::$variant { .. } => concat!($stage, ".", stringify!($variant)),)+
                }
            }
        }
    };
}

impl Limit {
    /// Stage and variant, stable once released.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Bytes => "Limit.Bytes",
            Self::Depth => "Limit.Depth",
            Self::Disclosures => "Limit.Disclosures",
            Self::Inflated => "Limit.Inflated",
            Self::Issuers => "Limit.Issuers",
            Self::Levels => "Limit.Levels",
        }
    }
}

faults! {
    /// Why a presentation is not bound to us, to now, or to its holder.
    BindingError, "Binding" {
        /// `aud` of the key binding is absent or names somebody else.
        Audience = "the key binding is for another audience",
        /// `cnf` is absent or not exactly one COSE key.
        Cnf = "`cnf` is not exactly one COSE key",
        /// The key in `cnf` is none that we use.
        CnfKey = "the key in `cnf` is not usable",
        /// `aud` of the credential does not name us.
        CredentialAudience = "the credential is for another audience",
        /// A key binding must not speak of issuer or subject.
        IssOrSub = "the key binding holds `iss` or `sub`",
        /// `cnonce` is absent or another; make a fresh challenge.
        Nonce = "the key binding answers another nonce",
    }
}

faults! {
    /// Why claims are not of the profile.
    ClaimsError, "Claims" {
        /// A date is neither an int within 64 bits nor a finite float within 2^53.
        Date = "a date is out of range or of another type",
        /// A map key is neither an int nor a text of up to 255 bytes.
        KeyType = "a map key is neither an int nor a short text",
        /// A redaction marker stands where none may, or is malformed.
        Marker = "a redaction marker is misplaced or malformed",
        /// A claim that every credential has is absent.
        Missing(i64) = "claim {0} is missing",
        /// The claims are not a map.
        NotAMap = "the claims are not a map",
        /// Tag 58 or 62, which belong before issuance.
        ReservedTag = "a tag that is reserved for the time before issuance",
        /// `status` is not a reference to a status list.
        Status = "`status` is not a status list reference",
        /// The status list of a status list token has another shape.
        StatusList = "not a status list",
        /// The payload of a trust list has another shape.
        TrustList = "not a trust list",
        /// A registered claim has another type.
        Type(i64) = "claim {0} has another type",
    }
}

faults! {
    /// Why disclosures don't fit.
    DisclosureError, "Disclosure" {
        /// An inserted key is there already.
        DuplicateClaim = "a disclosed key is already in its map",
        /// One digest stands twice.
        DuplicateDigest = "a digest stands twice",
        /// One salt stands twice.
        DuplicateSalt = "a salt stands twice",
        /// A disclosed key is neither an int nor a short text.
        Key = "a disclosed key is neither an int nor a short text",
        /// A claim that is never redacted was disclosed.
        NeverRedacted = "a claim that is never redacted was disclosed",
        /// No digest, or no reachable one, asks for this disclosure.
        Orphan = "a disclosure that no reachable digest asks for",
        /// A salt is not 16 bytes.
        Salt = "a salt is not 16 bytes",
        /// Not an array of byte strings with one to three parts each.
        Shape = "the disclosures are not of the profile's shape",
        /// A claim's disclosure stands for an array element, or the reverse.
        WrongPosition = "a disclosure stands in the wrong kind of container",
    }
}

faults! {
    /// Why a header is refused.
    HeaderError, "Header" {
        /// The algorithm is absent or unknown.
        Alg = "the algorithm is absent or unknown",
        /// The algorithm is not that of the key.
        AlgNotOfKey = "the algorithm is not that of the key",
        /// A CWT Claims header, which this profile never reads.
        CwtClaims = "a CWT Claims header",
        /// Encrypted disclosures, which this profile never reads.
        Encrypted = "encrypted disclosures",
        /// A key binding token without its SD-CWT.
        KcwtMissing = "no SD-CWT in the key binding token",
        /// The key id is not a byte string.
        Kid = "the key id is not a byte string",
        /// A header in the wrong bucket.
        Misplaced = "a header stands in the wrong bucket",
        /// Digests by another hash than SHA-256.
        SdAlg = "digests by an unknown hash",
        /// Another type of token.
        Typ = "another type of token",
    }
}

faults! {
    /// Why a holder does not take a credential.
    HolderError, "Holder" {
        /// A map is not sorted, so the issuer could have marked this copy.
        NotDeterministic = "the encoding is not deterministic",
        /// A digest came without its disclosure, so something would be hidden from the person.
        UnmatchedDigest = "a digest without its disclosure",
        /// The credential is bound to another key.
        WrongKey = "the credential is bound to another key",
    }
}

faults! {
    /// Why a valid presentation is not enough.
    PolicyError, "Policy" {
        /// A claim that was asked for is not there.
        MissingClaim = "a claim that was asked for is not disclosed",
        /// Another type of credential than asked for.
        Vct = "another type of credential",
    }
}

faults! {
    /// Whose signature does not hold.
    SignedBy, "Signature" {
        /// The issuer's, over the credential.
        Issuer = "the issuer's signature does not hold",
        /// The holder's, over the key binding.
        KeyBinding = "the holder's signature does not hold",
        /// The status issuer's, over a status list token.
        StatusToken = "the signature of the status list does not hold",
        /// The anchors', over a trust list.
        TrustList = "the signatures of the trust list do not hold",
    }
}

faults! {
    /// Why the status forbids acceptance.
    StatusError, "Status" {
        /// The policy wants a status, and there is none.
        Absent = "the credential has no status",
        /// The list does not inflate.
        Inflate = "the status list does not inflate",
        /// The index is beyond the list. Whoever issued the credential or the list made a mistake; it is not accepted.
        OutOfRange = "the index is beyond the status list",
        /// A status of the application's own.
        Other(u8) = "status {0}",
        /// Revoked for good.
        Revoked = "revoked",
        /// Suspended; ask again later.
        Suspended = "suspended",
        /// No verified list of the URI that the credential names; fetch it, and check again.
        Uri = "no verified status list of the credential's URI",
    }
}

faults! {
    /// Why a time does not fit.
    TimeError, "Time" {
        /// After its end.
        Expired = "expired",
        /// Times that contradict each other; the number is that of the rule, T1 to T11.
        Inconsistent(u8) = "times contradict each other, rule T{0}",
        /// Before its begin, or from the future.
        NotYetValid = "not yet valid",
        /// The key binding is older than the challenge allows.
        Stale = "the key binding is too old",
    }
}

faults! {
    /// Why no key is trusted for a token.
    TrustError, "Trust" {
        /// Two lists with one number; alert: the anchors, or some of them, are not to be trusted.
        Fork = "two trust lists with one sequence number",
        /// The key is compromised, retired, or not for this type or time.
        KeyNotUsable = "the issuer's key is not usable for this credential",
        /// The list is too old to rely on, or there is none yet; fetch the newest.
        ListStale = "the trust list is stale",
        /// A list of another name than the one followed.
        OtherList = "another trust list",
        /// An older list than the one held; alert, and ask another source.
        Rollback = "an older trust list than the one held",
        /// No entry of this issuer.
        UnknownIssuer = "unknown issuer",
        /// The issuer is known, the key is not.
        UnknownKey = "unknown key of a known issuer",
    }
}

/// Why a set of claims can't be issued. Nothing was signed; mend the claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimSetError {
    /// A value that is not one item of canonical CBOR.
    #[error("a value is not canonical CBOR")]
    Cbor,
    /// One key given twice in one map.
    #[error("a key stands twice in one map")]
    DuplicateKey,
    /// A text key beyond 255 bytes, or an int key beyond 64 bits.
    #[error("a key is not usable")]
    Key,
    /// More than 16 levels.
    #[error("more than {} levels of claims", crate::profile::MAX_LEVELS)]
    Levels,
    /// A redaction marker within a given value.
    #[error("a value holds a redaction marker")]
    Marker,
    /// A claim that is never redacted.
    #[error("a claim that is never redacted")]
    NeverRedacted,
    /// A claim that the issuer's template sets.
    #[error("a claim that the template sets")]
    Reserved,
    /// A tag that is reserved for the time before issuance.
    #[error("a reserved tag")]
    ReservedTag,
    /// More disclosures and decoys than one token may hold.
    #[error("more than {} disclosures", crate::profile::MAX_DISCLOSURES)]
    TooMany,
    /// A registered claim has another type.
    #[error("a registered claim has another type")]
    Type,
}

impl ClaimSetError {
    /// The variant's name, stable once released.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Cbor => "Cbor",
            Self::DuplicateKey => "DuplicateKey",
            Self::Key => "Key",
            Self::Levels => "Levels",
            Self::Marker => "Marker",
            Self::NeverRedacted => "NeverRedacted",
            Self::Reserved => "Reserved",
            Self::ReservedTag => "ReservedTag",
            Self::TooMany => "TooMany",
            Self::Type => "Type",
        }
    }
}

/// Why no copy was taken from a pool, or none put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// No copy is left that may be shown. Fetch another batch, or ask the person whether to be recognised.
    #[error("no copy is left")]
    Empty,
    /// Two copies are the same or bound to one key. Refuse the batch.
    #[error("two copies can be linked")]
    Linkable,
    /// More copies than a pool holds. Drop those that expired.
    #[error("more than {} copies", crate::profile::MAX_POOL)]
    TooMany,
}

impl PoolError {
    /// The variant's name, stable once released.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Linkable => "Linkable",
            Self::TooMany => "TooMany",
        }
    }
}

/// Why a query was not answered. Nothing was chosen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// Not a query. Refuse it.
    #[error("not a query")]
    Malformed,
    /// A claim is asked for of which the credential has lesser ones. Offer those, or ask the person.
    #[error("more is asked for than needed: there are {} lesser claims", instead.len())]
    OverAsked {
        /// The lesser claims.
        instead: Vec<ClaimPath>,
    },
    /// A credential of another type.
    #[error("a credential of another type")]
    Type,
    /// The credential lacks something that is asked for.
    #[error("the credential lacks what is asked for")]
    Unmet,
}

impl QueryError {
    /// The variant's name, stable once released.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "Malformed",
            Self::OverAsked { .. } => "OverAsked",
            Self::Type => "Type",
            Self::Unmet => "Unmet",
        }
    }
}

/// Why a credential was not issued. Nothing left the issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// A batch whose copies could be linked: one holder key or status twice, statuses for some only, or a claim that every
    /// verifier sees and that names the person. Mend the batch.
    #[error("the copies of the batch could be linked")]
    Linkable,
    /// A salt came twice, so the randomness is broken. Stop issuing.
    #[error("the randomness repeats itself")]
    Randomness,
    /// The signer did not sign, or its signature does not hold. Retry, or look at the signer.
    #[error("the signer failed")]
    Signer,
    /// The times leave the range of the clock.
    #[error("the validity leaves the range of the clock")]
    Times,
    /// The credential would be beyond what any reader takes.
    #[error("the credential would be longer than {} bytes", crate::profile::MAX_TOKEN)]
    TooLong,
}

impl IssueError {
    /// The variant's name, stable once released.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Linkable => "Linkable",
            Self::Randomness => "Randomness",
            Self::Signer => "Signer",
            Self::Times => "Times",
            Self::TooLong => "TooLong",
        }
    }
}

/// Why a trust list was not written or signed, or its anchors are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustListError {
    /// No such number of different anchors.
    #[error("the anchors can't reach their threshold, or are too many")]
    Anchors,
    /// Not a list that readers would take.
    #[error("not a trust list that readers would take")]
    Shape,
    /// The signer did not sign, or its signature does not hold.
    #[error("the signer failed")]
    Signer,
    /// The times leave the range of the clock.
    #[error("the validity leaves the range of the clock")]
    Times,
}

impl TrustListError {
    /// The variant's name, stable once released.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Anchors => "Anchors",
            Self::Shape => "Shape",
            Self::Signer => "Signer",
            Self::Times => "Times",
        }
    }
}

/// Why a status was not given, set or restored. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StatusListError {
    /// A revoked entry stays so. Issue a new credential instead.
    #[error("a revoked entry stays revoked")]
    Final,
    /// Every index was given out. Start a list at another URI.
    #[error("every index is used")]
    Full,
    /// No such index.
    #[error("the index is beyond the list")]
    OutOfRange,
    /// What was stored does not fit the number of entries.
    #[error("the stored state has another length")]
    State,
    /// The status needs more bits than an entry of this list has.
    #[error("the status needs more bits")]
    TooWide,
}

impl StatusListError {
    /// The variant's name, stable once released.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Final => "Final",
            Self::Full => "Full",
            Self::OutOfRange => "OutOfRange",
            Self::State => "State",
            Self::TooWide => "TooWide",
        }
    }
}

/// Why nothing was presented. Nothing left the person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PresentError {
    /// The audience is empty.
    #[error("the audience is empty")]
    Audience,
    /// The nonce is shorter than 16 or longer than 64 bytes. Refuse the verifier.
    #[error("the nonce is not 16 to 64 bytes")]
    Nonce,
    /// The credential has no such claim. Ask for less, or use another credential.
    #[error("no claim at a path that was asked for")]
    NoSuchClaim,
    /// The selection was made for another credential.
    #[error("the selection is of another credential")]
    OtherCredential,
    /// The signer did not sign, or its signature does not hold.
    #[error("the signer failed")]
    Signer,
    /// The time leaves the range of the clock.
    #[error("the time leaves the range of the clock")]
    Time,
    /// The presentation would be beyond what any reader takes.
    #[error("the presentation would be longer than {} bytes", crate::profile::MAX_TOKEN)]
    TooLong,
    /// The signer's key is not the one that the credential is bound to.
    #[error("the credential is bound to another key")]
    WrongKey,
}

impl PresentError {
    /// The variant's name, stable once released.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Audience => "Audience",
            Self::NoSuchClaim => "NoSuchClaim",
            Self::Nonce => "Nonce",
            Self::OtherCredential => "OtherCredential",
            Self::Signer => "Signer",
            Self::Time => "Time",
            Self::TooLong => "TooLong",
            Self::WrongKey => "WrongKey",
        }
    }
}

/// Why a claim could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimError {
    /// The claim has another type. Whoever issues this kind of credential changed it, or the reader is wrong.
    #[error("the claim has another type")]
    Kind,
    /// There is no such claim, or it was not disclosed. A verifier that needs it must ask for it.
    #[error("no such claim, or not disclosed")]
    Missing,
}

impl ClaimError {
    /// The variant's name, stable once released.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Kind => "Kind",
            Self::Missing => "Missing",
        }
    }
}

impl From<CborError> for VerifyError {
    fn from(error: CborError) -> Self {
        match error {
            CborError::TooDeep { limit, .. } => Self::Limit { what: Limit::Depth, max: limit },
            CborError::TooLong { limit } => Self::Limit { what: Limit::Bytes, max: limit },
            error => Self::Cbor(error),
        }
    }
}

/// Lets `?` lift a fault to its stage.
macro_rules! lift {
    ($($variant:ident($error:ty),)+) => {
        $(impl From<$error> for VerifyError {
            fn from(error: $error) -> Self {
                Self::$variant(error)
            }
        })+
    };
}

lift! {
    Binding(BindingError), Claims(ClaimsError), Disclosure(DisclosureError), Header(HeaderError),
    Holder(HolderError), Policy(PolicyError), Signature(SignedBy), Status(StatusError), Time(TimeError), Trust(TrustError),
}
