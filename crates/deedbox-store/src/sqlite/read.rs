//! What reads a store's file, inside one read transaction.

use std::ops::Range;

use deedbox_model::{BlobId, DatasetId, MailboxId, ObjectId, Seq, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::open::{Outcome, from_int, query_row, to_int};
use super::transfer::counted;
use super::write::{blob, head, usage};
use crate::error::StorageError;
use crate::rules::len;
use crate::types::{
    BLOB_PART, BlobRow, Cursor, HeadHash, HeadRow, Index, IndexRow, Limit, MAX_SEQ, MailRow, ObjectRow, Page, RowKey,
    Snapshot, Table, Versioned,
};

pub(super) fn seq(value: i64) -> Outcome<Seq> {
    Ok(Seq::new(from_int(value)?).ok_or(StorageError::Corrupt)?)
}

/// An object of a row that begins with its id.
fn object(row: &Row<'_>) -> Outcome<ObjectRow> {
    object_of(ObjectId::from_bytes(row.get(0)?), row, 1)
}

/// The object of this id; what else there is of it begins at column `at`.
fn object_of(object: ObjectId, row: &Row<'_>, at: usize) -> Outcome<ObjectRow> {
    Ok(ObjectRow {
        object,
        seq: seq(row.get(at)?)?,
        kind: row.get(at.saturating_add(1))?,
        body_hash: row.get(at.saturating_add(2))?,
        body: row.get(at.saturating_add(3))?,
    })
}

fn versioned(version: i64, value: Vec<u8>) -> Outcome<Versioned<Vec<u8>>> {
    Ok(Versioned { version: from_int(version)?, value })
}

pub(super) fn header(db: &Connection) -> Outcome<Versioned<Vec<u8>>> {
    let (version, body) = query_row(db, "SELECT version, body FROM header", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    versioned(version, body)
}

fn head_in_force(db: &Connection, d: DatasetId) -> Outcome<HeadRow> {
    Ok(head(db, d)?.ok_or(StorageError::NotFound)?)
}

pub(super) fn heads(db: &Connection, d: DatasetId, after: Option<Seq>, limit: u32) -> Outcome<Vec<HeadRow>> {
    head_in_force(db, d)?;
    let mut find =
        db.prepare_cached("SELECT seq, hash, body FROM heads WHERE ds = ? AND seq > ? ORDER BY seq LIMIT ?")?;
    let after = to_int(after.map_or(0, Seq::get).min(MAX_SEQ))?;
    let mut rows = find.query(params![d.as_bytes(), after, limit.max(1)])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        out.push(HeadRow { seq: seq(row.get(0)?)?, hash: HeadHash(row.get(1)?), body: row.get(2)? });
    }
    Ok(out)
}

pub(super) fn get(db: &Connection, d: DatasetId, ids: &[ObjectId]) -> Outcome<Snapshot> {
    let head = head_in_force(db, d)?;
    let mut find = db.prepare_cached("SELECT seq, kind, hash, body FROM object WHERE ds = ? AND id = ?")?;
    let mut rows = Vec::with_capacity(ids.len());
    for id in ids {
        let mut found = find.query(params![d.as_bytes(), id.as_bytes()])?;
        rows.push(found.next()?.map(|row| object_of(*id, row, 0)).transpose()?);
    }
    Ok(Snapshot { head, rows })
}

pub(super) fn changes(db: &Connection, d: DatasetId, after: Cursor, limit: Limit) -> Outcome<Page> {
    let head = head_in_force(db, d)?;
    let compacted: i64 = query_row(db, "SELECT compacted FROM head WHERE ds = ?", [d.as_bytes()], |row| row.get(0))?;
    let compacted = from_int(compacted)?;
    let floor = if after.is_start() { compacted } else { after.floor };
    if floor < compacted {
        return Ok(Page::Resync { head });
    }
    let mut find = db.prepare_cached(
        "SELECT id, seq, kind, hash, body FROM object INDEXED BY object_by_seq
         WHERE ds = ? AND (seq, id) > (?, ?) ORDER BY seq, id",
    )?;
    let mut found = find.query(params![d.as_bytes(), to_int(after.seq.min(MAX_SEQ))?, after.object])?;
    let most = usize::try_from(limit.rows.max(1)).unwrap_or(usize::MAX);
    let mut rows: Vec<ObjectRow> = Vec::new();
    let mut bytes = 0_u64;
    while let Some(row) = found.next()? {
        let row = object(row)?;
        bytes = bytes.saturating_add(len(&row.body));
        if let Some(last) = rows.last()
            && (rows.len() >= most || bytes > limit.bytes)
        {
            let next = Cursor { seq: last.seq.get(), object: *last.object.as_bytes(), floor };
            return Ok(Page::Rows { head, rows, next: Some(next) });
        }
        rows.push(row);
    }
    Ok(Page::Rows { head, rows, next: None })
}

pub(super) fn index(db: &Connection, d: DatasetId) -> Outcome<Index> {
    let head = head_in_force(db, d)?;
    let mut find = db.prepare_cached("SELECT id, seq, kind, hash FROM object WHERE ds = ? ORDER BY id")?;
    let mut found = find.query([d.as_bytes()])?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        rows.push(IndexRow {
            object: ObjectId::from_bytes(row.get(0)?),
            seq: seq(row.get(1)?)?,
            kind: row.get(2)?,
            body_hash: row.get(3)?,
        });
    }
    Ok(Index { head, rows })
}

pub(super) fn datasets(db: &Connection) -> Outcome<Vec<DatasetId>> {
    let mut find = db.prepare_cached("SELECT ds FROM head ORDER BY ds")?;
    let mut found = find.query([])?;
    let mut out = Vec::new();
    while let Some(row) = found.next()? {
        out.push(DatasetId::from_bytes(row.get(0)?));
    }
    Ok(out)
}

pub(super) fn blob_row(db: &Connection, b: BlobId) -> Outcome<Option<BlobRow>> {
    Ok(blob(db, b)?.map(|(len, sealed)| BlobRow { len, sealed }))
}

pub(super) fn blob_read(db: &Connection, b: BlobId, range: Range<u64>) -> Outcome<Vec<u8>> {
    let (have, _) = blob(db, b)?.ok_or(StorageError::NotFound)?;
    let end = range.end.min(have);
    let mut at = range.start.min(end);
    let mut out = Vec::new();
    let mut find = db.prepare_cached("SELECT body FROM blob_part WHERE id = ? AND n = ?")?;
    while at < end {
        let n = at / BLOB_PART;
        let part: Vec<u8> = find.query_row(params![b.as_bytes(), to_int(n)?], |row| row.get(0))?;
        let base = n.saturating_mul(BLOB_PART);
        let stop = end.min(base.saturating_add(BLOB_PART));
        let inside = |offset: u64| usize::try_from(offset.saturating_sub(base)).unwrap_or(usize::MAX);
        out.extend_from_slice(part.get(inside(at)..inside(stop)).ok_or(StorageError::Corrupt)?);
        at = stop;
    }
    Ok(out)
}

pub(super) fn mail_list(db: &Connection, m: MailboxId, after: u64, limit: Limit) -> Outcome<Vec<MailRow>> {
    let mut find =
        db.prepare_cached("SELECT n, dedupe, at, expires, body FROM mail WHERE box = ? AND n > ? ORDER BY n")?;
    let mut found = find.query(params![m.as_bytes(), to_int(after.min(MAX_SEQ))?])?;
    let most = usize::try_from(limit.rows.max(1)).unwrap_or(usize::MAX);
    let mut rows: Vec<MailRow> = Vec::new();
    let mut bytes = 0_u64;
    while let Some(row) = found.next()? {
        let row = MailRow {
            n: from_int(row.get(0)?)?,
            dedupe: row.get(1)?,
            at: Timestamp::from_secs(from_int(row.get(2)?)?),
            expires: Timestamp::from_secs(from_int(row.get(3)?)?),
            body: row.get(4)?,
        };
        bytes = bytes.saturating_add(len(&row.body));
        if !rows.is_empty() && (rows.len() >= most || bytes > limit.bytes) {
            break;
        }
        rows.push(row);
    }
    Ok(rows)
}

pub(super) fn row(db: &Connection, t: Table, key: RowKey) -> Outcome<Option<Versioned<Vec<u8>>>> {
    let found =
        query_row(db, "SELECT version, body FROM row WHERE tbl = ? AND key = ?", params![t.number(), key.0], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    found.map(|(version, body)| versioned(version, body)).transpose()
}

pub(super) fn rows(db: &Connection, t: Table) -> Outcome<Vec<(RowKey, Versioned<Vec<u8>>)>> {
    let mut find = db.prepare_cached("SELECT key, version, body FROM row WHERE tbl = ? ORDER BY key")?;
    let mut found = find.query([t.number()])?;
    let mut out = Vec::new();
    while let Some(row) = found.next()? {
        out.push((RowKey(row.get(0)?), versioned(row.get(1)?, row.get(2)?)?));
    }
    Ok(out)
}

/// SQLite's own check of the file, and the totals against a fresh count.
pub(super) fn check(db: &Connection) -> Outcome<()> {
    let verdict: String = db.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if verdict == "ok" && counted(db)? == usage(db)? { Ok(()) } else { Err(StorageError::Corrupt.into()) }
}
