//! Credentials (SD-CWT): somebody checks a fact once and gives the person a signed credential; the person shows the parts
//! that were asked for, bound to one asker and one challenge; the asker checks it without calling the issuer.
//!
//! ```
//! use deedbox_cose::{LocalSigner, Signer as _};
//! use deedbox_credential::*;
//! use deedbox_model::Timestamp;
//! # let mut rng = deedbox_testkit::rng::SeededRng::new(1);
//!
//! const LICENCE: Vct = Vct::text("https://vct.example/licence");
//! let now = Timestamp::from_secs(1_800_000_000);
//! let (authority, me) = (LocalSigner::generate(&mut rng), LocalSigner::generate(&mut rng));
//! let mut trust = TrustStore::new();
//! trust.pin_issuer("https://authority.example", authority.public().clone());
//!
//! // The issuer, once:
//! let claims = ClaimSet::builder().claim(500, true).redactable(501, "ABCD-123456").redactable("name", "Ada").decoys(2);
//! let template = CredentialTemplate::new(LICENCE, 7 * 86_400);
//! let issued = Issuer::new("https://authority.example", &authority)
//!     .issue(&template, claims.build()?, me.public(), None, now, &mut rng)?;
//!
//! // The person takes it, after looking at all of it:
//! let held = HeldCredential::accept(issued.as_bytes(), &trust, &AcceptPolicy::new(me.public().clone()), now)?;
//!
//! // The verifier asks; the person shows one claim; the verifier checks:
//! let audience = Audience::parse("https://charity.example")?;
//! let challenge = Challenge::generate(&mut rng);
//! let selection = held.select(&[claim_path![501]])?;
//! let shown = held.present(&selection, &audience, challenge.nonce(), &me, now)?;
//!
//! let policy = StatusPolicy::ShortLived { max_secs: 8 * 86_400 };
//! let verifier = Verifier::new(&trust, audience, VctPolicy::one(LICENCE), policy);
//! let accepted = verifier.verify(&shown, challenge, now)?.accept_unlisted()?;
//! assert_eq!(accepted.claims().at(&claim_path![501])?.as_text()?, "ABCD-123456");
//! assert_eq!(accepted.claims().at(&claim_path!["name"]).unwrap_err(), ClaimError::Missing);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Roles and life
//!
//! - An **issuer** builds a [`ClaimSet`], in which each claim is open or redactable, and signs it with [`Issuer`], or by
//!   [`PreparedCredential`] with a key kept elsewhere.
//! - A **holder** takes it with [`HeldCredential::accept`], which refuses whatever hides something from the person or could
//!   mark the copy. [`HeldCredential::select`] shows what a choice would reveal, [`Query::select`] the least that answers a
//!   verifier's query; [`HeldCredential::present`] signs it.
//! - A **verifier** makes one [`Challenge`] a try. [`Verifier::verify`] uses it up and gives a [`Presentation`]; its claims
//!   are read only after its status was dealt with, from [`Accepted`].
//! - An issuer takes a credential back by a status list: [`StatusAllocator`], [`StatusListBuilder`]. A verifier reads it as a
//!   [`StatusList`] and accepts by [`Presentation::accept_listed`].
//! - [`TrustStore`] says which keys speak for which issuer, pinned one by one or by a list that several [`TrustAnchors`] sign.
//!   Nothing is fetched; [`TrustPin`] is kept across restarts, so that no list goes back.
//!
//! # What must never be reused
//!
//! - A nonce: whoever saw the first answer could give it again.
//! - A holder key for two credentials that must not be linked: every verifier sees it.
//! - An issuer's credential key for anything else, status lists included.
//!
//! # What it does not protect
//!
//! - Two presentations of one credential can be linked by those who compare notes: signature, digests and holder key are the
//!   same. Copies of a batch ([`Issuer::issue_batch`], [`CredentialPool`]) can't, but for what their claims say. Issuer and verifier who compare notes know the person.
//! - Claims are as true as the issuer is; a person can lend their key.
//! - A status list is as old as its issuer lets it be; whoever fetches it from the issuer shows that a credential of this
//!   list was used, and when.
//! - Enough anchors of a trust list together can name any key for any issuer.
//!
//! # Features
//!
//! `std` (default); `es256`, `es384`: verify issuers and holders that sign so; `test-util`: for tests and vectors only.
//!
//! Bytes, checks and errors are specified in `docs/format/credential.md`.
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod claims;
mod disclosure;
mod envelope;
mod error;
mod hold;
mod inflate;
mod issue;
mod pool;
mod profile;
mod query;
mod redact;
mod status;
#[cfg(any(test, feature = "test-util"))]
pub mod test_util;
#[cfg(test)]
mod tests;
mod trust;
mod verify;

pub use claims::{Assured, Claim, ClaimPath, Claims, Segment, StatusReference, Vct};
pub use error::{
    BindingError, ClaimError, ClaimSetError, ClaimsError, DisclosureError, ForPeer, HeaderError, HolderError,
    IssueError, Limit, PolicyError, PoolError, PresentError, QueryError, SignedBy, StatusError, StatusListError,
    TimeError, TrustError, TrustListError, VerifyError,
};
pub use hold::{AcceptPolicy, HeldCredential, PreparedPresentation, Selection};
pub use issue::{BatchCopy, CredentialTemplate, IssuedCredential, Issuer, PreparedCredential, Rounding};
pub use pool::{CredentialPool, LinkableByVerifiers, PoolPolicy};
pub use query::{Ask, Query, Want, derive_age_over};
pub use redact::{ClaimArray, ClaimKey, ClaimMap, ClaimSet, ClaimSetBuilder, ClaimValue};
pub use status::{
    FetchedStatusList, PreparedStatusList, Status, StatusAllocator, StatusBits, StatusList, StatusListBuilder,
    StatusSource,
};
pub use trust::{IssuerKey, KeyState, SigningTrustList, TrustAnchors, TrustListDraft, TrustPin, TrustStore};
pub use verify::{
    Accepted, Audience, Challenge, Nonce, Presentation, StatusPolicy, UnverifiedHint, VctPolicy, Verifier,
};
