//! Opaque bytes in order: one trait, three backends, one conformance kit. Whoever keeps a store can neither read nor open
//! what is in it; every operation names one store, and nothing spans stores.
//!
//! ```
//! use deedbox_model::{DatasetId, ObjectId, Seq, StoreId};
//! use deedbox_store::{
//!     Commit, CommitOutcome, HeadHash, MemoryStorage, Mode, NewStore, Part, Put, Quota, Storage as _,
//! };
//!
//! # pollster::block_on(async {
//! let storage = MemoryStorage::new(); // or SqliteStorage::open(stores, shares)?, or PostgresStorage::open(options, tls).await?
//! let (s, d, id) = (StoreId::from_bytes([1; 16]), DatasetId::from_bytes([2; 16]), ObjectId::from_bytes([3; 16]));
//! let quota = Quota::default();
//! storage.create(s, &NewStore { header: b"header", header_version: 1, owner: None, quota: &quota }).await?;
//!
//! let put = Put { object: id, seq: Seq::FIRST, kind: 1, body_hash: [7; 32], body: b"sealed" };
//! let part = Part {
//!     dataset: d, expect: None, seq: Seq::FIRST, hash: HeadHash([9; 32]), head: b"signed head", mode: Mode::Next,
//!     puts: &[put], removes: &[],
//! };
//! let commit = Commit { parts: &[part], mail: &[], header: None, quota: &quota };
//! assert_eq!(storage.commit(s, &commit).await?, CommitOutcome::Done); // durable now
//! assert!(matches!(storage.commit(s, &commit).await?, CommitOutcome::Conflict { .. }));
//!
//! let snapshot = storage.get(s, d, &[id]).await?;
//! assert_eq!(snapshot.rows[0].as_ref().map(|row| row.body.as_slice()), Some(b"sealed".as_slice()));
//! # Ok::<(), deedbox_store::StorageError>(())
//! # }).unwrap();
//! ```
//!
//! # Roles and life
//!
//! - A host calls [`Storage`]; [`DynStorage`] is the same behind a pointer. Hashes come from the caller: they are
//!   compared here and never computed, so that no cryptography is linked.
//! - [`MemoryStorage`] is the model. `SqliteStorage` keeps a file for each store: erasing is an unlink, moving a copy,
//!   damage personal, writers of different stores parallel. `PostgresStorage` keeps them in any number of PostgreSQL
//!   databases, each store's rows under its id.
//! - The trait's futures need no runtime of the caller's. Memory and SQLite block the thread they are awaited on, and are
//!   ready when first polled; PostgreSQL waits without blocking, on threads of its own.
//! - [`move_store`] takes a store from one backend to another, and holds the copy against the source before that goes.
//! - A store begins with [`Storage::create`], changes by [`Storage::commit`] (compare-and-swap on the head's hash), and
//!   ends with [`Storage::purge`].
//!
//! # Rules every backend keeps
//!
//! The conformance kit's checks bear these numbers.
//!
//! 1. A commit is linearisable per store: of several writers with one `expect`, exactly one gets `Done`. Parts, mail and
//!    header are exchanged together or not at all.
//! 2. [`Mode::Next`]: the sequence number is the current one + 1, 1 for the first, and every put has it.
//!    [`Mode::Replace`]: it is greater than the current one, and the dataset's whole content is exchanged.
//! 3. `Done` means durable: it survives the death of the process, and loss of power.
//! 4. A page of changes is read at one moment and names the head in force. Following `next` while others write skips
//!    nothing; an object seen twice has a newer number. Where objects were removed since a cursor, it gets
//!    [`Page::Resync`], not a hole.
//! 5. Objects by id, changes and mail cost what the page costs, not what the store costs.
//! 6. Mail is numbered per mailbox without gaps. The same dedupe id again changes nothing and counts as pushed, as long as
//!    the item is held.
//! 7. No operation on one store changes, locks for long, or reveals a byte of another. What is unknown is `NotFound` or
//!    `None`, never a panic.
//! 8. Totals and quota are checked inside the transaction that changes them.
//! 9. After [`Purge::Traces`] a backend that declares [`Erasure::Physical`] holds no removed byte in any of its files.
//! 10. Shares lie apart from everything else, so that they can have back-ups of their own. Two epochs at most have one.
//! 11. Of the times noted the greatest is kept, and meters are summed. Both belong to the host, and to no store.
//! 12. While a store's stamp is the same, nothing of the store changes, whoever writes. A backend may have no stamps.
//!
//! # What must never be reused
//!
//! A store id, an object id, a sequence number for another head: clients notice, and the store refuses the last.
//!
//! # What it does not protect
//!
//! Bodies are opaque: a flipped bit inside one is noticed by whoever knows its hash, not here. Ids, sizes, numbers and
//! times are in the clear. A back-up holds what was removed later. Blocks of the disk are out of scope: encrypt the disk.
//! PostgreSQL erases logically: removed bytes stay in its files and logs until it uses the room again.
//!
//! # Features
//!
//! `sqlite` (default): the SQLite backend, compiled in. `postgres`: the PostgreSQL backend, `postgres-tls`: TLS to it. `conformance`: the kit that every backend runs, ours and others'.
//!
//! The file layout and the rules are specified in `docs/format/store.md`.

#![forbid(unsafe_code)]

#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
mod memory;
#[cfg(feature = "postgres")]
pub mod postgres;
mod rules;
#[cfg(feature = "sqlite")]
mod sqlite;
mod storage;
mod transfer;
mod types;

pub use error::StorageError;
pub use memory::MemoryStorage;
#[cfg(feature = "postgres")]
pub use postgres::{PostgresOptions, PostgresStorage};
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStorage;
pub use storage::{DynStorage, Storage};
pub use transfer::{Arrival, DatasetRow, Inventory, MoveError, Moved, Transfer, copy_store, move_store, same_store};
pub use types::{
    BLOB_PART, BlobRow, Class, Commit, CommitOutcome, Cursor, Erasure, HeadHash, HeadRow, HeaderSwap, Index, IndexRow,
    KEPT_HEADS, Limit, MAX_SEQ, Mail, MailRow, MeterRow, Mode, NewStore, ObjectRow, Page, Part, Purge, Purged, Put,
    Quota, RowKey, Snapshot, Stamp, Swap, Table, Total, Usage, Versioned,
};
