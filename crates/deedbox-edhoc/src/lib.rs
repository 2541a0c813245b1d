//! EDHOC (RFC 9528), method 0 with message_4, and nothing else: two sides with Ed25519 credentials agree on a secret, each
//! sure of the other, over any transport that carries bytes. No I/O, clock or randomness inside; keys may sit in an
//! enclave behind [`deedbox_cose::Signer`].
//!
//! ```
//! use deedbox_cose::{LocalSigner, Signer};
//! use deedbox_edhoc::{ConnectionId, Credential, Form, Initiator, Profile, Responder};
//! # use deedbox_crypto::{secret::SecretBytes, sign::SigningKey};
//! # fn ccs(name: &str, seed: u8) -> (Credential, LocalSigner) {
//! #     let seed = SecretBytes::from_bytes([seed; 32]);
//! #     let mut writer = deedbox_cbor::Writer::new();
//! #     writer.map(|m| { m.int(2, |w| { w.text(name); }); m.int(8, |w| { w.map(|m| { m.int(1, |w| { w.map(|m| {
//! #         m.int(1, |w| { w.uint(1); }); m.int(-1, |w| { w.uint(6); });
//! #         m.int(-2, |w| { w.bytes(SigningKey::from_seed(&seed).public().as_bytes()); }); }); }); }); }); });
//! #     (Credential::from_ccs(&writer.into_vec()).unwrap(), LocalSigner::from_seed(&seed))
//! # }
//! # let mut rng = deedbox_testkit::rng::SeededRng::new(1);
//! # let ((ann, ann_key), (council, council_key)) = (ccs("ann", 1), ccs("council", 2));
//! # let (c_i, c_r) = (ConnectionId::new(b"i").unwrap(), ConnectionId::new(b"r").unwrap());
//! let profile = Profile::production();
//! let (initiator, message_1) = Initiator::new(&profile, None)?.message_1(c_i, &[], &mut rng)?;
//!
//! let responder = Responder::new(&profile).read_message_1(&message_1)?;
//! let (responder, message_2) = responder.message_2(c_r, &council, Form::Kid, &[], &council_key, &mut rng)?;
//!
//! let initiator = initiator.read_message_2(&message_2)?;
//! assert_eq!(initiator.id_cred().peek().kid(), Some(council.kid())); // look the credential up, then
//! let (initiator, message_3) = initiator.authenticate(&council, &ann)?.message_3(Form::Kid, &[], &ann_key)?;
//!
//! let responder = responder.read_message_3(&message_3)?.authenticate(&ann, &council)?;
//! let (theirs, message_4) = responder.message_4(&[])?;
//! let (ours, _ead_4) = initiator.read_message_4(&message_4)?;
//!
//! let (mut a, mut b) = ([0; 32], [0; 32]);
//! ours.export(32_768, b"context", &mut a)?;
//! theirs.export(32_768, b"context", &mut b)?;
//! assert_eq!(a, b);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Roles
//!
//! The [`Initiator`] starts, and its identity stays hidden from active attackers; the [`Responder`] answers, and its
//! identity an active attacker can learn. Every step consumes the state and gives the next; a [`Failed`] ends the
//! handshake and carries the error message for the peer. Only after message_4 is there a [`Session`].
//!
//! # What must never be reused
//!
//! A state: its ephemeral secret is for one handshake. No state can be cloned or printed, and a stored one
//! (`into_stored`) is to be erased when it is taken up.
//!
//! # What it does not protect
//!
//! EAD_1 and the suites are readable by anyone, message_2 by an active attacker. Lengths show, unless padded with EAD
//! label 0. Whether a credential is still trusted is the application's to know. An error message proves nothing: anyone
//! can forge it. Suite 4 does not withstand a quantum computer. Suite -21 keeps what was said secret from one that is built
//! later; its signatures are Ed25519 and do not withstand one that exists during the handshake.
//!
//! # Features
//!
//! `std` and `pq` (suite -21, preferred) are on by default. `test-suites` is for vectors and live peers
//! only: methods 1 to 3, suites 0, 2 and 3, all intermediate values.
//!
//! Profile, reading order, limits and errors are specified in `docs/format/edhoc.md`.
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod initiator;
pub mod responder;

mod credential;
mod error;
mod profile;
mod session;
mod suite;
mod trace;
mod transcript;
mod wire;

pub use credential::{Credential, Form, IdCred};
pub use error::{CredentialError, EdhocError, ExportError, Failed, ProfileError, Retry, StoredError};
pub use initiator::Initiator;
pub use profile::Profile;
pub use responder::Responder;
pub use session::{Role, Session};
#[cfg(feature = "test-suites")]
pub use suite::StaticKey;
pub use wire::{ConnectionId, Ead, MAX_MESSAGE};
