//! What changes a store's file, inside a transaction that somebody else commits.

use std::collections::BTreeMap;

use deedbox_model::{BlobId, DatasetId, MailboxId, ObjectId, Seq, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use super::open::{Outcome, execute, from_int, query_row, to_int};
use crate::error::StorageError;
use crate::rules::{check_mailbox, check_quota, check_step, len};
use crate::types::{
    BLOB_PART, Class, Commit, CommitOutcome, HeadHash, HeadRow, KEPT_HEADS, MAX_SEQ, Mail, Mode, Part, Quota, RowKey,
    Swap, Table, Total, Usage,
};

/// The classes of table `total`, in the order of their numbers, which begin at 1.
fn classes(usage: &mut Usage) -> [&mut Total; 6] {
    [&mut usage.header, &mut usage.datasets, &mut usage.objects, &mut usage.mail, &mut usage.blobs, &mut usage.rows]
}

pub(super) fn usage(db: &Connection) -> Outcome<Usage> {
    let mut usage = Usage::default();
    let mut read = db.prepare_cached("SELECT class, count, bytes FROM total ORDER BY class")?;
    let mut rows = read.query([])?;
    for (class, total) in (1_i64..).zip(classes(&mut usage)) {
        let row = rows.next()?.filter(|row| row.get(0) == Ok(class)).ok_or(StorageError::Corrupt)?;
        *total = Total { count: from_int(row.get(1)?)?, bytes: from_int(row.get(2)?)? };
    }
    Ok(usage)
}

pub(super) fn set_usage(db: &Connection, mut old: Usage, mut new: Usage) -> Outcome<()> {
    let mut write = db.prepare_cached("UPDATE total SET count = ?, bytes = ? WHERE class = ?")?;
    for ((class, old), new) in (1_i64..).zip(classes(&mut old)).zip(classes(&mut new)) {
        if old != new {
            write.execute(params![to_int(new.count)?, to_int(new.bytes)?, class])?;
        }
    }
    Ok(())
}

/// The head in force: its seq and hash.
fn current(db: &Connection, d: DatasetId) -> Outcome<Option<(u64, HeadHash)>> {
    let row = query_row(db, "SELECT seq, hash FROM head WHERE ds = ?", [d.as_bytes()], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, [u8; 32]>(1)?))
    })
    .optional()?;
    row.map(|(seq, hash)| Ok((from_int(seq)?, HeadHash(hash)))).transpose()
}

/// The head in force, whole.
pub(super) fn head(db: &Connection, d: DatasetId) -> Outcome<Option<HeadRow>> {
    let Some((seq, hash)) = current(db, d)? else { return Ok(None) };
    let (kept, body): ([u8; 32], Vec<u8>) = query_row(
        db,
        "SELECT hash, body FROM heads WHERE ds = ? AND seq = ?",
        params![d.as_bytes(), to_int(seq)?],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    if kept != hash.0 {
        return Err(StorageError::Corrupt.into());
    }
    Ok(Some(HeadRow { seq: Seq::new(seq).ok_or(StorageError::Corrupt)?, hash, body }))
}

pub(super) fn header_version(db: &Connection) -> Outcome<u64> {
    from_int(query_row(db, "SELECT version FROM header", [], |row| row.get(0))?)
}

/// Applies a commit, or says which head or header is in the way; then nothing was written.
pub(super) fn commit(db: &Connection, c: &Commit<'_>) -> Outcome<CommitOutcome> {
    for part in c.parts {
        let held = current(db, part.dataset)?;
        if held.map(|(_, hash)| hash) != part.expect {
            return Ok(CommitOutcome::Conflict { dataset: part.dataset, head: head(db, part.dataset)? });
        }
        check_step(held.map_or(0, |(seq, _)| seq), part)?;
    }
    if let Some(swap) = c.header {
        let version = header_version(db)?;
        if version != swap.expect {
            return Ok(CommitOutcome::HeaderConflict { version });
        }
    }
    let old = usage(db)?;
    let mut new = old;
    for part in c.parts {
        apply(db, part, &mut new)?;
    }
    push(db, c.mail, c.quota, &mut new)?;
    if let Some(swap) = c.header {
        new.header = Total { count: 1, bytes: len(swap.body) };
        let version = to_int(swap.expect.saturating_add(1))?;
        execute(db, "UPDATE header SET version = ?, body = ?", params![version, swap.body])?;
    }
    check_quota(&old, &new, c.quota)?;
    set_usage(db, old, new)?;
    Ok(CommitOutcome::Done)
}

fn apply(db: &Connection, part: &Part<'_>, usage: &mut Usage) -> Outcome<()> {
    let ds = part.dataset.as_bytes();
    let seq = to_int(part.seq.get())?;
    let mut removed = false;
    if part.mode == Mode::Replace {
        let gone = measure(db, "SELECT count(*), coalesce(sum(length(body)), 0) FROM object WHERE ds = ?", ds)?;
        execute(db, "DELETE FROM object WHERE ds = ?", [ds])?;
        usage.objects.sub(gone.count, gone.bytes);
        removed = gone.count > 0;
    }
    removed |= remove(db, part.dataset, part.removes, &mut usage.objects)?.count > 0;
    {
        let mut find = db.prepare_cached("SELECT length(body) FROM object WHERE ds = ? AND id = ?")?;
        let mut put = db.prepare_cached(
            "INSERT INTO object (ds, id, seq, kind, hash, body) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (ds, id)
             DO UPDATE SET seq = excluded.seq, kind = excluded.kind, hash = excluded.hash, body = excluded.body",
        )?;
        for object in part.puts {
            let id = object.object.as_bytes();
            if let Some(bytes) = find.query_row(params![ds, id], |row| row.get::<_, i64>(0)).optional()? {
                usage.objects.sub(1, from_int(bytes)?);
            }
            put.execute(params![ds, id, to_int(object.seq.get())?, object.kind, object.body_hash, object.body])?;
            usage.objects.add(1, len(object.body));
        }
    }
    let fresh = execute(
        db,
        "UPDATE head SET seq = ?2, hash = ?3, compacted = CASE WHEN ?4 THEN ?2 ELSE compacted END WHERE ds = ?1",
        params![ds, seq, part.hash.0, removed],
    )? == 0;
    if fresh {
        execute(db, "INSERT INTO head (ds, seq, hash, compacted) VALUES (?, ?, ?, 0)", params![ds, seq, part.hash.0])?;
    }
    execute(
        db,
        "INSERT INTO heads (ds, seq, hash, body) VALUES (?, ?, ?, ?)",
        params![ds, seq, part.hash.0, part.head],
    )?;
    usage.datasets.add(u64::from(fresh), len(part.head));
    let oldest = to_int(part.seq.get().saturating_sub(KEPT_HEADS))?;
    let mut drop_old = db.prepare_cached("DELETE FROM heads WHERE ds = ? AND seq <= ? RETURNING length(body)")?;
    let mut dropped = drop_old.query(params![ds, oldest])?;
    while let Some(row) = dropped.next()? {
        usage.datasets.sub(0, from_int(row.get(0)?)?);
    }
    Ok(())
}

fn measure(db: &Connection, sql: &str, key: &[u8; 16]) -> Outcome<Total> {
    let (count, bytes): (i64, i64) = query_row(db, sql, [key], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(Total { count: from_int(count)?, bytes: from_int(bytes)? })
}

fn remove(db: &Connection, d: DatasetId, objects: &[ObjectId], held: &mut Total) -> Outcome<Total> {
    let mut gone = Total::default();
    let mut delete = db.prepare_cached("DELETE FROM object WHERE ds = ? AND id = ? RETURNING length(body)")?;
    for object in objects {
        let bytes =
            delete.query_row(params![d.as_bytes(), object.as_bytes()], |row| row.get::<_, i64>(0)).optional()?;
        if let Some(bytes) = bytes {
            gone.add(1, from_int(bytes)?);
        }
    }
    held.sub(gone.count, gone.bytes);
    Ok(gone)
}

pub(super) fn mailbox(db: &Connection, m: MailboxId) -> Outcome<(u64, Total)> {
    let row: Option<(i64, i64, i64)> =
        query_row(db, "SELECT last, count, bytes FROM mailbox WHERE box = ?", [m.as_bytes()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let (last, count, bytes) = row.unwrap_or_default();
    Ok((from_int(last)?, Total { count: from_int(count)?, bytes: from_int(bytes)? }))
}

pub(super) fn set_mailbox(db: &Connection, m: MailboxId, last: u64, held: Total) -> Outcome<()> {
    execute(
        db,
        "INSERT INTO mailbox (box, last, count, bytes) VALUES (?, ?, ?, ?) ON CONFLICT (box)
         DO UPDATE SET last = excluded.last, count = excluded.count, bytes = excluded.bytes",
        params![m.as_bytes(), to_int(last)?, to_int(held.count)?, to_int(held.bytes)?],
    )?;
    Ok(())
}

fn push(db: &Connection, items: &[Mail<'_>], quota: &Quota, usage: &mut Usage) -> Outcome<()> {
    for item in items {
        let known = query_row(
            db,
            "SELECT 1 FROM mail WHERE box = ? AND dedupe = ?",
            params![item.mailbox.as_bytes(), item.dedupe],
            |_| Ok(()),
        )
        .optional()?
        .is_some();
        if known {
            continue;
        }
        let (last, mut held) = mailbox(db, item.mailbox)?;
        let n = last.saturating_add(1);
        held.add(1, len(item.body));
        check_mailbox(held, quota)?;
        execute(
            db,
            "INSERT INTO mail (box, n, dedupe, at, expires, body) VALUES (?, ?, ?, ?, ?, ?)",
            params![
                item.mailbox.as_bytes(),
                to_int(n)?,
                item.dedupe,
                to_int(item.at.secs())?,
                to_int(item.expires.secs())?,
                item.body
            ],
        )?;
        set_mailbox(db, item.mailbox, n, held)?;
        usage.mail.add(1, len(item.body));
    }
    Ok(())
}

pub(super) fn mail_ack(db: &Connection, m: MailboxId, upto: u64) -> Outcome<u64> {
    let (last, mut held) = mailbox(db, m)?;
    let upto = to_int(upto.min(last))?;
    let mut gone = Total::default();
    {
        let mut delete = db.prepare_cached("DELETE FROM mail WHERE box = ? AND n <= ? RETURNING length(body)")?;
        let mut rows = delete.query(params![m.as_bytes(), upto])?;
        while let Some(row) = rows.next()? {
            gone.add(1, from_int(row.get(0)?)?);
        }
    }
    if gone.count > 0 {
        held.sub(gone.count, gone.bytes);
        set_mailbox(db, m, last, held)?;
        let old = usage(db)?;
        let mut new = old;
        new.mail.sub(gone.count, gone.bytes);
        set_usage(db, old, new)?;
    }
    Ok(gone.count)
}

pub(super) fn mail_lapse(db: &Connection, now: Timestamp) -> Outcome<Vec<(MailboxId, Total)>> {
    let now = to_int(now.secs().min(MAX_SEQ))?;
    let mut boxes: BTreeMap<MailboxId, Total> = BTreeMap::new();
    {
        let mut delete = db.prepare_cached("DELETE FROM mail WHERE expires <= ? RETURNING box, length(body)")?;
        let mut rows = delete.query([now])?;
        while let Some(row) = rows.next()? {
            boxes.entry(MailboxId::from_bytes(row.get(0)?)).or_default().add(1, from_int(row.get(1)?)?);
        }
    }
    let old = usage(db)?;
    let mut new = old;
    for (m, gone) in &boxes {
        let (last, mut held) = mailbox(db, *m)?;
        held.sub(gone.count, gone.bytes);
        set_mailbox(db, *m, last, held)?;
        new.mail.sub(gone.count, gone.bytes);
    }
    set_usage(db, old, new)?;
    Ok(boxes.into_iter().collect())
}

/// The length of a blob and whether it is sealed.
pub(super) fn blob(db: &Connection, b: BlobId) -> Outcome<Option<(u64, bool)>> {
    let row: Option<(i64, bool)> = query_row(db, "SELECT len, sealed FROM blob WHERE id = ?", [b.as_bytes()], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })
    .optional()?;
    row.map(|(len, sealed)| Ok((from_int(len)?, sealed))).transpose()
}

pub(super) fn blob_append(db: &Connection, b: BlobId, at: u64, bytes: &[u8], q: &Quota) -> Outcome<u64> {
    let blob = blob(db, b)?;
    let have = blob.map_or(0, |(len, _)| len);
    if at != have {
        return Err(StorageError::WrongOffset { have }.into());
    }
    if blob.is_some_and(|(_, sealed)| sealed) {
        return Err(StorageError::Invalid("the blob is sealed").into());
    }
    let new_len = have.saturating_add(len(bytes));
    if new_len > q.blob_len {
        return Err(StorageError::OverQuota(Class::Blobs).into());
    }
    let old = usage(db)?;
    let mut new = old;
    new.blobs.add(u64::from(blob.is_none()), len(bytes));
    check_quota(&old, &new, q)?;
    let mut rest = bytes;
    let mut n = have / BLOB_PART;
    let mut part: Vec<u8> = if have % BLOB_PART == 0 {
        Vec::new()
    } else {
        query_row(db, "SELECT body FROM blob_part WHERE id = ? AND n = ?", params![b.as_bytes(), to_int(n)?], |row| {
            row.get(0)
        })?
    };
    while !rest.is_empty() {
        let room = usize::try_from(BLOB_PART.saturating_sub(len(&part))).unwrap_or(usize::MAX);
        let (now, later) = rest.split_at_checked(room).unwrap_or((rest, &[]));
        part.extend_from_slice(now);
        execute(
            db,
            "INSERT INTO blob_part (id, n, body) VALUES (?, ?, ?) ON CONFLICT (id, n) DO UPDATE SET body = excluded.body",
            params![b.as_bytes(), to_int(n)?, part],
        )?;
        part.clear();
        n = n.saturating_add(1);
        rest = later;
    }
    execute(
        db,
        "INSERT INTO blob (id, len, sealed) VALUES (?, ?, 0) ON CONFLICT (id) DO UPDATE SET len = excluded.len",
        params![b.as_bytes(), to_int(new_len)?],
    )?;
    set_usage(db, old, new)?;
    Ok(new_len)
}

pub(super) fn blob_seal(db: &Connection, b: BlobId, len: u64) -> Outcome<()> {
    let (have, _) = blob(db, b)?.ok_or(StorageError::NotFound)?;
    if have != len {
        return Err(StorageError::WrongOffset { have }.into());
    }
    execute(db, "UPDATE blob SET sealed = 1 WHERE id = ?", [b.as_bytes()])?;
    Ok(())
}

pub(super) fn swap_row(
    db: &Connection,
    t: Table,
    key: RowKey,
    expect: Option<u64>,
    new: Option<&[u8]>,
) -> Outcome<Swap> {
    let held: Option<(i64, i64)> = query_row(
        db,
        "SELECT version, length(body) FROM row WHERE tbl = ? AND key = ?",
        params![t.number(), key.0],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )
    .optional()?;
    let held =
        held.map(|(version, bytes)| Ok::<_, super::open::Fail>((from_int(version)?, from_int(bytes)?))).transpose()?;
    let version = held.map(|(version, _)| version);
    if version != expect {
        return Ok(Swap::Conflict(version));
    }
    let old = usage(db)?;
    let mut total = old;
    if let Some((_, bytes)) = held {
        total.rows.sub(1, bytes);
    }
    let version = match new {
        None => {
            execute(db, "DELETE FROM row WHERE tbl = ? AND key = ?", params![t.number(), key.0])?;
            None
        }
        Some(body) => {
            let version = expect.unwrap_or(0).saturating_add(1);
            total.rows.add(1, len(body));
            execute(
                db,
                "INSERT INTO row (tbl, key, version, body) VALUES (?, ?, ?, ?) ON CONFLICT (tbl, key)
                 DO UPDATE SET version = excluded.version, body = excluded.body",
                params![t.number(), key.0, to_int(version)?, body],
            )?;
            Some(version)
        }
    };
    set_usage(db, old, total)?;
    Ok(Swap::Done(version))
}

/// Removes rows; the totals follow, and the traces are marked as pending.
pub(super) fn purge_objects(db: &Connection, d: DatasetId, objects: &[ObjectId]) -> Outcome<Total> {
    let old = usage(db)?;
    let mut new = old;
    let gone = remove(db, d, objects, &mut new.objects)?;
    if gone.count > 0 {
        execute(db, "UPDATE head SET compacted = seq WHERE ds = ?", [d.as_bytes()])?;
    }
    set_usage(db, old, new)?;
    Ok(gone)
}

pub(super) fn purge_dataset(db: &Connection, d: DatasetId) -> Outcome<Total> {
    let old = usage(db)?;
    let mut new = old;
    let ds = d.as_bytes();
    let objects = measure(db, "SELECT count(*), coalesce(sum(length(body)), 0) FROM object WHERE ds = ?", ds)?;
    let heads = measure(db, "SELECT count(*), coalesce(sum(length(body)), 0) FROM heads WHERE ds = ?", ds)?;
    execute(db, "DELETE FROM object WHERE ds = ?", [ds])?;
    execute(db, "DELETE FROM heads WHERE ds = ?", [ds])?;
    let was = u64::try_from(execute(db, "DELETE FROM head WHERE ds = ?", [ds])?).unwrap_or(u64::MAX);
    new.objects.sub(objects.count, objects.bytes);
    new.datasets.sub(was, heads.bytes);
    set_usage(db, old, new)?;
    let mut gone = objects;
    gone.add(was, heads.bytes);
    Ok(gone)
}

pub(super) fn purge_blob(db: &Connection, b: BlobId) -> Outcome<Total> {
    let old = usage(db)?;
    let mut new = old;
    let gone = blob(db, b)?.map_or_else(Total::default, |(len, _)| Total { count: 1, bytes: len });
    execute(db, "DELETE FROM blob_part WHERE id = ?", [b.as_bytes()])?;
    execute(db, "DELETE FROM blob WHERE id = ?", [b.as_bytes()])?;
    new.blobs.sub(gone.count, gone.bytes);
    set_usage(db, old, new)?;
    Ok(gone)
}

pub(super) fn purge_mailbox(db: &Connection, m: MailboxId) -> Outcome<Total> {
    let old = usage(db)?;
    let mut new = old;
    let (_, gone) = mailbox(db, m)?;
    execute(db, "DELETE FROM mail WHERE box = ?", [m.as_bytes()])?;
    execute(db, "DELETE FROM mailbox WHERE box = ?", [m.as_bytes()])?;
    new.mail.sub(gone.count, gone.bytes);
    set_usage(db, old, new)?;
    Ok(gone)
}
