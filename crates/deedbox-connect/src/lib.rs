//! How a person and an organisation, or two people, meet, agree, talk and part, with a hostile host between them:
//! invitation, agreement signed by both, sessions bound to that agreement. No I/O, clock or randomness inside.
//!
//! ```
//! use deedbox_connect::*;
//! use deedbox_model::{Digest, MailboxId, Timestamp};
//! # let mut rng = deedbox_testkit::rng::SeededRng::new(1);
//! # let now = Timestamp::from_secs(1_800_000_000);
//! # let contact = |host: &str| Contact { address: MailboxId::from_bytes([7; 16]), endpoint: host.into(), deposit: vec![], devices: vec![] };
//! # let offer = Offer { endpoint: "https://council.example/d".into(), not_after: Timestamp::from_secs(1_800_086_400), uses: 1,
//! #     terms: Digest::from_bytes([1; 32]), terms_body: None, name: "City council".into(), check: false, evidence: None };
//! // The council invites.
//! let keys = PartyKeys::generate(&mut rng)?;
//! let mut invited = Invited::issue(Party::organisation("https://council.example", &keys)?, offer, &keys, &mut rng)?;
//! let qr = invited.link().to_qr();
//!
//! // The person reads the code, fetches the invitation, sees name and terms, and decides.
//! let root = ConnectionsRoot::generate(&mut rng);
//! let link = Link::parse_qr(&qr)?;
//! let invitation = Invitation::open(&link, invited.invitation().bytes(), now)?;
//! assert_eq!(invitation.name(), "City council");
//! let (person, one) = Accepting::start(&root, &link, &invitation, Wish::default(), now, &mut rng)?;
//!
//! // Two round trips.
//! let (council, two) = invited.answer(&one, &keys, now, &mut rng)?;
//! let (person, three) = person.answer(&two, &contact("https://host.example"), now, &mut rng)?;
//! let Answered::Active(mut council, four) =
//!     council.finish(&mut invited, &three, &keys, &contact("https://council.example/d"), now, &mut rng)?
//! else { unreachable!() };
//! let Reply::Confirmed(mut person) = person.read(&four, now)? else { unreachable!() };
//!
//! // Both hold one agreement, and a channel that exists between these two alone.
//! assert_eq!(person.agreement, council.agreement);
//! assert_eq!(person.session.channel_binding(), council.session.channel_binding());
//! let data = Body::data("text/plain", b"hello");
//! let record = person.session.seal(&data, now)?;
//! assert_eq!(council.session.open(&record, now)?, data);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Roles, and the life of a connection
//!
//! Who invites is the EDHOC Responder, who accepts the Initiator, for good: towards an organisation that is the person,
//! whose identity active attackers can't learn. [`Invited`] gives a [`Link`]; [`Accepting`] uses it; both end in
//! [`Established`] and then [`Active`], until a [`Termination`], signed by either, leaves a [`Tombstone`]. Where a
//! connection stands is a [`Connection`]: data, which takes an [`Event`] and says what is to be done, renewals and
//! suspensions too. Who is offline finds sealed messages in a [`Mailbox`], under keys that the last handshakes made.
//!
//! # What must never be reused
//!
//! A state of the handshake, a stored session, a stream of records: no state can be cloned, and loading a session draws a
//! fresh stream. A person's keys are derived anew for each connection, so that two connections can't be linked.
//!
//! # What it does not protect
//!
//! Whoever has a link can use its invitation: hand it over on a trusted way, and ask for the check code when it was shown
//! on another screen. The invitation's name is the inviter's claim. The transport sees lengths, times and the identifiers
//! of frames. A stolen session key reads a session until its end, at most 24 hours; a stolen mailbox what was left in it
//! within 30 days. What others have proved of the handshake, and what not, is in `docs/security/handshake.md`.
//!
//! # Features
//!
//! `std` and `pq` (suite -21, X-Wing) by default. `test-util`: given roots and secrets, for vectors only.
//!
//! Forms, steps, limits and errors are specified in `docs/format/connect.md`.
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

#[cfg(feature = "test-util")]
pub mod vectors;

mod active;
mod agreement;
mod base45;
mod body;
mod contact;
mod error;
mod frame;
mod invitation;
mod lifecycle;
mod link;
mod padding;
mod pairwise;
mod party;
mod reopen;
mod sealed;
mod session;

pub use active::{Active, Tombstone};
pub use agreement::{Agreement, Changes, EndReason, Proposal, Renewal, Termination};
pub use body::{Body, Contact, Data, DeviceHead};
pub use contact::{
    Accepted, Accepting, Answered, Answering, AwaitingConfirm, Confirming, Established, Invited, Reply, Typed, Wish,
};
pub use deedbox_edhoc::Role;
pub use error::{ConnectError, Failed};
pub use frame::{Frame, FrameKind};
pub use invitation::{Invitation, InvitationId, InviterKind, Offer};
pub use lifecycle::{Connection, Effect, Event, Stage};
pub use link::Link;
pub use pairwise::{ConnectionsRoot, PartyKeys};
pub use party::Party;
pub use reopen::{Called, Calling, Receiving};
pub use sealed::{Arrival, Epoch, Mailbox, Missing, Opened};
pub use session::{LIFETIME_SECS, LiveSession};
