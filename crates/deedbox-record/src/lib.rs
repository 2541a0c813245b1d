//! The encrypted record format: how a value becomes bytes that a host may keep, which key opens them, and how a moved,
//! replaced, withheld or old byte is noticed.
//!
//! ```
//! use deedbox_cbor::{ItemBuf, Limits};
//! use deedbox_model::{DatasetId, Epoch, ObjectId, StoreId, Timestamp};
//! use deedbox_record::{Granularity, Header, HostShare, Keyring, NewSlot, Record, RecoveryPhrase, Replica, Root, Unlock};
//! # let mut rng = deedbox_testkit::rng::SeededRng::new(1);
//! # let now = Timestamp::from_secs(1_800_000_000);
//! // A new store: root secret, one way to open it, and one dataset.
//! let (phrase, share) = (RecoveryPhrase::generate(&mut rng), HostShare::generate(&mut rng));
//! let root = Root::generate(StoreId::generate(&mut rng), &mut rng);
//! let header = Header::create(&root, &[NewSlot::Phrase(&phrase)], &mut rng)?;
//! let mut keyring = Keyring::generate(&mut rng);
//! let (store, id) = ((*root.store()).into(), DatasetId::generate(&mut rng));
//! let dataset = keyring.add_dataset(store, id, "address", Granularity::Field, &mut rng)?;
//!
//! // Two records, one commit. The host gets `part`: a signed head, sealed objects.
//! let mut replica = Replica::create(store, id);
//! let (city, value) = (dataset.name_key().object_id("address.city"), ItemBuf::parse(b"\x64Bern", &Limits::new(64))?);
//! let mut draft = replica.draft();
//! draft.put(city, &Record::new("text", 1, "address.city", value.clone())?)?;
//! draft.put(ObjectId::generate(&mut rng), &Record::new("text", 1, "born.in", value)?)?;
//! let part = draft.sign(dataset.keys(), now, &mut rng)?;
//! let sealed = part.puts().iter().find(|put| *put.entry().object() == city).ok_or("sent")?.bytes().to_vec();
//! replica.committed(part)?;
//!
//! // Later: the phrase opens the store, and what the host gives back opens where it was sealed, and only there.
//! let root = Header::parse(header.bytes())?.unlock(header.slots()[0].id(), &Unlock::Phrase(&phrase))?;
//! let _meta = root.meta_keys(&share, Epoch::FIRST); // opens the keyring
//! let opened = replica.open(&city, &sealed, dataset.keys())?;
//! assert_eq!(Record::decode(opened.payload())?.value().as_item().as_str(), Some("Bern"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Roles and life
//!
//! - [`Root`] is the secret of a store. A [`Header`] wraps it once per [`Slot`], and each slot opens with one secret: a
//!   [`Passphrase`] with an [`AccountSecret`] or alone, a [`RecoveryPhrase`], an [`OutsideSecret`] such as a security key's,
//!   the key of another device or a trusted contact, or a [`ThresholdSecret`] joined of contacts' [`Share`]s.
//! - Root and [`HostShare`] give the keys of the meta dataset, where the [`Keyring`] lies: for every [`Dataset`] a
//!   [`NameKey`] and its [`EpochKeys`]. A [`DatasetKey`] gives one [`ObjectKey`] per object.
//! - [`seal`] and [`open`] turn a payload ([`Record`], [`Tombstone`]) into an object and back, at one [`Address`].
//! - A [`Replica`] is one dataset as this client verified it. It takes a host's answers ([`Replica::apply`]), and a
//!   [`Draft`] on it becomes a [`SignedPart`] for the host. A [`Pin`] is what to remember between sessions.
//! - A [`GrantDraft`] hands the keys of a dataset, or of single objects, to the [`Grantee`] of a verified agreement, as a
//!   [`SealedGrant`]. The other side makes a [`VerifiedGrant`] of it, and of that a [`Replica`] or a [`PartialReplica`].
//! - [`Migrations`] bring a [`Record`] of an older schema up to date when it is read.
//! - [`seal_blob`] and `BlobSealer` seal what is too large for a record, [`open_blob`] and `BlobReader` open it; the [`BlobRef`]
//!   in the record is all that names it and opens it.
//! - A [`BundleWriter`] puts a store into one file, a [`BundleReader`] reads it; a [`Bundle`] becomes a [`VerifiedBundle`] before
//!   anything is imported.
//!
//! First unlock on a new device: header, one slot, root, MAC; log in at the host with [`Root::access_key`]; share, meta
//! head, keyring, other heads. Nothing is used before the step that authenticates it.
//!
//! # What must never be reused
//!
//! A salt within one key: it is made inside, and no function takes one. An object id for two things. A sequence number: a
//! replica counts, and the host's compare-and-swap decides who was first. A pin of one dataset for another.
//!
//! # What it does not protect
//!
//! The host sees how many objects there are, their padded lengths, kinds, epochs, and when which is read or written. It
//! can delete and withhold: that is noticed, not prevented. A state without a pin is authentic and may be old
//! ([`Freshness::Unknown`]). A grant can't be taken back: what was read is known, and a key opens what it opened. An
//! unlocked, compromised device has everything. A removed slot's secret still opens copies of old headers. A slot for a key
//! ([`Unlock::Recipient`]) doesn't tell who sealed it, and a host could make up a store for that key: compare
//! [`Root::access_key`] with another device's. To forget a derived key is no erasure. Keys and opened payloads are wiped
//! from memory; a decoded [`Record`] is the caller's, and is not.
//!
//! # Features
//!
//! `std` (default): blobs as streams, large ones shared among cores. `test-util`: given salts and raw keys, for vectors only. Without `std` the crate needs `alloc`.
//!
//! The format is specified in `docs/format/record.md`.
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

#[cfg(any(test, feature = "test-util"))]
pub mod test_util;

mod address;
mod blob;
mod bundle;
mod chunk;
mod container;
mod draft;
mod erase;
mod error;
mod grant;
mod head;
mod header;
mod key;
mod keyring;
mod merge;
mod pad;
mod partial;
mod payload;
mod replica;
mod root;
mod schema;
mod share;
mod slot;
mod succession;
mod wipe;

pub use address::Address;
pub use blob::{open_blob, seal_blob};
#[cfg(feature = "std")]
pub use blob::{
    read::{BlobContent, BlobReader, ReadAt},
    write::BlobSealer,
};
pub use bundle::{
    BlobPart, BlobParts, Bundle, BundleBlob, BundleCapability, BundleDataset, BundleMail, BundleReader, BundleWriter,
    VerifiedBundle,
};
pub use container::{Kind, Opened, Prefix, open, open_in_place, peek, seal, seal_into, sealed_length};
pub use deedbox_model::{GrantId, SlotId};
pub use draft::{Draft, Pending, Reseal, SealedObject, SignedPart};
pub use erase::{ErasedDataset, ErasureLevel, ErasureReceipt, HostErasure, OUT_OF_REACH};
pub use error::{
    BlobError, BundleError, GrantError, HeadError, MergeError, OpenError, PayloadError, PhraseError, SealError,
    ShareError, UnlockError,
};
pub use grant::{GrantDraft, GrantScope, Granted, Grantee, SealedGrant, VerifiedAgreement, VerifiedGrant};
pub use head::{Entry, Freshness, Head, Pin, state_root};
pub use header::Header;
pub use key::{DatasetKey, HeadKey, KeyCommitment, NameKey, ObjectKey};
pub use keyring::{Dataset, Device, EpochKeys, Granularity, Keyring};
pub use merge::Conflict;
pub use partial::PartialReplica;
pub use payload::{BlobRef, Record, Tombstone};
pub use replica::{Applied, ChangedObject, Replica, RollbackEvidence};
pub use root::{HostShare, Root};
pub use schema::{Migrated, Migrations};
pub use slot::{
    NewSlot, Passphrase, Slot, SlotType, Unlock,
    passphrase::{AccountSecret, PassphraseCost},
    phrase::RecoveryPhrase,
    prf::OutsideSecret,
    shamir::{Share, Threshold, ThresholdSecret},
};
pub use succession::{OwnerKey, Succession};
