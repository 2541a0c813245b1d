//! The tables, as `docs/format/store.md` lists them. One entry a version; an entry never changes once released.

/// A store's own file.
pub(super) const STORE: &[&str] = &["
CREATE TABLE header (version INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE total (class INTEGER PRIMARY KEY, count INTEGER NOT NULL, bytes INTEGER NOT NULL);
CREATE TABLE head (ds BLOB PRIMARY KEY, seq INTEGER NOT NULL, hash BLOB NOT NULL, compacted INTEGER NOT NULL)
  WITHOUT ROWID;
CREATE TABLE heads (ds BLOB NOT NULL, seq INTEGER NOT NULL, hash BLOB NOT NULL, body BLOB NOT NULL,
  PRIMARY KEY (ds, seq)) WITHOUT ROWID;
CREATE TABLE object (ds BLOB NOT NULL, id BLOB NOT NULL, seq INTEGER NOT NULL, kind INTEGER NOT NULL,
  hash BLOB NOT NULL, body BLOB NOT NULL, PRIMARY KEY (ds, id)) WITHOUT ROWID;
CREATE INDEX object_by_seq ON object (ds, seq, id);
CREATE TABLE mailbox (box BLOB PRIMARY KEY, last INTEGER NOT NULL, count INTEGER NOT NULL, bytes INTEGER NOT NULL)
  WITHOUT ROWID;
CREATE TABLE mail (box BLOB NOT NULL, n INTEGER NOT NULL, dedupe BLOB NOT NULL, at INTEGER NOT NULL,
  expires INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (box, n), UNIQUE (box, dedupe)) WITHOUT ROWID;
CREATE TABLE blob (id BLOB PRIMARY KEY, len INTEGER NOT NULL, sealed INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE blob_part (id BLOB NOT NULL, n INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (id, n));
CREATE TABLE row (tbl INTEGER NOT NULL, key BLOB NOT NULL, version INTEGER NOT NULL, body BLOB NOT NULL,
  PRIMARY KEY (tbl, key)) WITHOUT ROWID;
INSERT INTO total (class, count, bytes) VALUES (1, 0, 0), (2, 0, 0), (3, 0, 0), (4, 0, 0), (5, 0, 0), (6, 0, 0);
"];

/// The host's own file.
pub(super) const HOST: &[&str] = &[
    "
CREATE TABLE alias (name BLOB PRIMARY KEY, store BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX alias_by_store ON alias (store);
CREATE TABLE meter (meter BLOB NOT NULL, day INTEGER NOT NULL, class INTEGER NOT NULL, count INTEGER NOT NULL,
  bytes INTEGER NOT NULL, PRIMARY KEY (meter, day, class)) WITHOUT ROWID;
",
    "
CREATE TABLE noted (time INTEGER NOT NULL);
INSERT INTO noted (time) VALUES (0);
CREATE INDEX meter_by_day ON meter (day);
",
];

/// The shares, in a directory of their own.
pub(super) const SHARES: &[&str] = &["
CREATE TABLE share (store BLOB NOT NULL, epoch INTEGER NOT NULL, share BLOB NOT NULL, PRIMARY KEY (store, epoch))
  WITHOUT ROWID;
"];
