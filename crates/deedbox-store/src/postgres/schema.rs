//! The tables, as `docs/format/store.md` lists them. One entry a version; an entry never changes once released.
//!
//! Every table of a store has its id first in its key, so that rows can be spread by it. The SQL is a subset that other
//! servers of PostgreSQL's protocol have too: `bytea` and `bigint`, keys, no sequences, triggers or functions of our own.
//!
//! The key of `object` is made after its index: before the first ANALYZE both look alike to the planner for one object by its
//! id, and of two alike it takes the newer. The index would be read through the whole dataset.

/// A database that holds stores.
pub(super) const STORES: Kind = Kind { number: 1, migrations: &["
CREATE TABLE deedbox.name (name bytea PRIMARY KEY, store bytea NOT NULL);
CREATE INDEX name_by_store ON deedbox.name (store);
CREATE TABLE deedbox.store (store bytea PRIMARY KEY, stamp bigint NOT NULL,
  header_count bigint NOT NULL, header_bytes bigint NOT NULL, dataset_count bigint NOT NULL, dataset_bytes bigint NOT NULL,
  object_count bigint NOT NULL, object_bytes bigint NOT NULL, mail_count bigint NOT NULL, mail_bytes bigint NOT NULL,
  blob_count bigint NOT NULL, blob_bytes bigint NOT NULL, row_count bigint NOT NULL, row_bytes bigint NOT NULL);
CREATE TABLE deedbox.header (store bytea PRIMARY KEY, version bigint NOT NULL, body bytea NOT NULL);
CREATE TABLE deedbox.head (store bytea NOT NULL, ds bytea NOT NULL, seq bigint NOT NULL, hash bytea NOT NULL,
  compacted bigint NOT NULL, PRIMARY KEY (store, ds));
CREATE TABLE deedbox.heads (store bytea NOT NULL, ds bytea NOT NULL, seq bigint NOT NULL, hash bytea NOT NULL,
  body bytea NOT NULL, PRIMARY KEY (store, ds, seq));
CREATE TABLE deedbox.object (store bytea NOT NULL, ds bytea NOT NULL, id bytea NOT NULL, seq bigint NOT NULL,
  kind bigint NOT NULL, hash bytea NOT NULL, body bytea NOT NULL);
CREATE INDEX object_by_seq ON deedbox.object (store, ds, seq, id);
ALTER TABLE deedbox.object ADD PRIMARY KEY (store, ds, id);
CREATE TABLE deedbox.mailbox (store bytea NOT NULL, box bytea NOT NULL, last bigint NOT NULL, count bigint NOT NULL,
  bytes bigint NOT NULL, PRIMARY KEY (store, box));
CREATE TABLE deedbox.mail (store bytea NOT NULL, box bytea NOT NULL, n bigint NOT NULL, dedupe bytea NOT NULL,
  at bigint NOT NULL, expires bigint NOT NULL, body bytea NOT NULL, PRIMARY KEY (store, box, n));
CREATE UNIQUE INDEX mail_by_dedupe ON deedbox.mail (store, box, dedupe);
CREATE TABLE deedbox.blob (store bytea NOT NULL, id bytea NOT NULL, len bigint NOT NULL, sealed bigint NOT NULL,
  PRIMARY KEY (store, id));
CREATE TABLE deedbox.blob_part (store bytea NOT NULL, id bytea NOT NULL, n bigint NOT NULL, body bytea NOT NULL,
  PRIMARY KEY (store, id, n));
CREATE TABLE deedbox.small (store bytea NOT NULL, tbl bigint NOT NULL, key bytea NOT NULL, version bigint NOT NULL,
  body bytea NOT NULL, PRIMARY KEY (store, tbl, key));
", "
CREATE TABLE deedbox.noted (one bigint PRIMARY KEY, time bigint NOT NULL);
CREATE TABLE deedbox.meter (meter bytea NOT NULL, day bigint NOT NULL, class bigint NOT NULL, count bigint NOT NULL,
  bytes bigint NOT NULL, PRIMARY KEY (meter, day, class));
CREATE INDEX meter_by_day ON deedbox.meter (day);
"] };

/// The database of the shares.
pub(super) const SHARES: Kind = Kind { number: 2, migrations: &["
CREATE TABLE deedbox.share (store bytea NOT NULL, epoch bigint NOT NULL, share bytea NOT NULL, PRIMARY KEY (store, epoch));
"] };

/// What a database is for, and the way to its present version.
pub(super) struct Kind {
    /// Its key in `deedbox.version`: a database is of one kind.
    pub(super) number: i64,
    pub(super) migrations: &'static [&'static str],
}

pub(super) const VERSIONS: &str = "SELECT kind, version FROM deedbox.version ORDER BY kind";

/// Makes the table of versions.
pub(super) const FOUND: &str = "CREATE SCHEMA IF NOT EXISTS deedbox;
CREATE TABLE IF NOT EXISTS deedbox.version (kind bigint PRIMARY KEY, version bigint NOT NULL)";

pub(super) const BEGIN_VERSION: &str =
    "INSERT INTO deedbox.version (kind, version) VALUES ($1, 0) ON CONFLICT (kind) DO NOTHING";

/// Takes the row, so that of several processes one migrates.
pub(super) const NEXT_VERSION: &str =
    "UPDATE deedbox.version SET version = version + 1 WHERE kind = $1 AND version = $2 RETURNING version";

/// Every table that holds rows of a store, but for its names.
pub(super) const OF_STORE: [&str; 10] = [
    "DELETE FROM deedbox.object WHERE store = $1",
    "DELETE FROM deedbox.heads WHERE store = $1",
    "DELETE FROM deedbox.head WHERE store = $1",
    "DELETE FROM deedbox.mail WHERE store = $1",
    "DELETE FROM deedbox.mailbox WHERE store = $1",
    "DELETE FROM deedbox.blob_part WHERE store = $1",
    "DELETE FROM deedbox.blob WHERE store = $1",
    "DELETE FROM deedbox.small WHERE store = $1",
    "DELETE FROM deedbox.header WHERE store = $1",
    "DELETE FROM deedbox.store WHERE store = $1",
];
