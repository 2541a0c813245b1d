//! The log of who saw what, and why: append-only, tamper-evident, without a single value.
//!
//! A person's agent keeps one [`Log`] a store. Each decision, disclosure, change of a rule and alarm becomes an
//! [`Entry`]; entries are leaves of an RFC 9162 tree, whose root is signed as a [`Checkpoint`] with every commit.
//!
//! ```
//! use deedbox_audit::{Checkpoint, Entry, EntryKind, Log, LogId};
//! use deedbox_cose::{LocalSigner, Signer as _};
//! use deedbox_model::{Digest, Timestamp};
//! # let mut rng = deedbox_testkit::rng::SeededRng::new(1);
//!
//! let (signer, now) = (LocalSigner::generate(&mut rng), Timestamp::from_secs(1_800_000_000));
//! let mut log = Log::new(LogId::generate(&mut rng));
//! let mut entry = Entry::new(now, EntryKind::Decision, Some("charity"), Digest::from_bytes([7; 32]));
//! entry.purpose = Some("counselling".into());
//! entry.released = vec!["patient.name".into()];
//! let stored = log.append(entry, &mut rng);
//!
//! let checkpoint = Checkpoint::verify(&log.checkpoint(&signer, now)?, signer.public())?;
//! checkpoint.includes(&stored, &log.prove(0)?)?;
//! # Ok::<(), deedbox_audit::AuditError>(())
//! ```
//!
//! # Roles, and the life of a log
//!
//! The agent appends and signs; the host keeps each [`SaltedEntry`] sealed as a record. An entry can be erased: its salted
//! leaf stays, so the log remains verifiable and says nothing of what was erased. [`Log::export`] makes one file that
//! verifies alone, [`Log::excerpt`] one of some entries.
//!
//! Both sides sign receipts ([`sign_receipt`], [`acknowledge_receipt`]), and each tells the other what its log was. Whoever
//! was shown a checkpoint or a receipt keeps that in a [`Witnessed`] and notices a later log that doesn't continue it; two
//! that contradict each other ([`Vouched::contradicts`]) prove to anyone that the log was forked.
//!
//! # What must never be reused
//!
//! A salt: it is drawn anew for each entry, or an erased entry could be guessed from its leaf. A log id: one a store.
//!
//! # What it does not protect
//!
//! The agent writes its own log and can leave things out before they are appended. The host sees how many entries there
//! are and when they come. An entry names fields and parties; treat it as personal data.
//!
//! The format is specified in `docs/format/audit.md`.
#![forbid(unsafe_code)]

mod checkpoint;
mod entry;
mod error;
mod export;
mod log;
mod receipt;
mod uses;
mod witness;

pub use checkpoint::Checkpoint;
pub use entry::{Entry, EntryKind};
pub use error::AuditError;
pub use export::Excerpt;
pub use log::{Log, LogId, Row, SaltedEntry};
pub use receipt::{SignedReceipt, acknowledge_receipt, sign_receipt};
pub use uses::Uses;
pub use witness::{LogState, Vouched, Witnessed};
