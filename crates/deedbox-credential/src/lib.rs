//! SD-CWT credentials: issue, hold, present with key binding, verify
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod claims;
mod disclosure;
mod envelope;
mod error;
mod hold;
mod issue;
mod profile;
mod redact;
#[cfg(any(test, feature = "test-util"))]
pub mod test_util;
#[cfg(test)]
mod tests;
mod trust;
mod verify;

pub use claims::{Assured, Claim, ClaimPath, Claims, Segment, StatusReference, Vct};
pub use error::{
    BindingError, ClaimError, ClaimSetError, ClaimsError, DisclosureError, ForPeer, HeaderError, HolderError,
    IssueError, Limit, PolicyError, PresentError, SignedBy, StatusError, TimeError, TrustError, VerifyError,
};
pub use hold::{AcceptPolicy, HeldCredential, PreparedPresentation, Selection};
pub use issue::{CredentialTemplate, IssuedCredential, Issuer, PreparedCredential, Rounding};
pub use redact::{ClaimArray, ClaimKey, ClaimMap, ClaimSet, ClaimSetBuilder, ClaimValue};
pub use trust::{IssuerKey, TrustStore};
pub use verify::{
    Accepted, Audience, Challenge, Nonce, Presentation, StatusPolicy, UnverifiedHint, VctPolicy, Verifier,
};
