//! Giving a store's file away, and building one from what another backend gives.

use deedbox_model::{BlobId, DatasetId, MailboxId};
use rusqlite::{Connection, Row, params};

use super::open::{Outcome, from_int, to_int};
use super::{read, write};
use crate::error::StorageError;
use crate::transfer::{Arrival, DatasetRow, Inventory};
use crate::types::{BlobRow, HeadHash, Total, Usage};

fn all<T>(db: &Connection, sql: &str, read: impl Fn(&Row<'_>) -> Outcome<T>) -> Outcome<Vec<T>> {
    let mut find = db.prepare(sql)?;
    let mut found = find.query([])?;
    let mut out = Vec::new();
    while let Some(row) = found.next()? {
        out.push(read(row)?);
    }
    Ok(out)
}

/// What a store's own file knows of the inventory.
pub(super) fn inventory(db: &Connection) -> Outcome<Inventory> {
    let dataset = |row: &Row<'_>| {
        Ok(DatasetRow {
            dataset: DatasetId::from_bytes(row.get(0)?),
            seq: read::seq(row.get(1)?)?,
            hash: HeadHash(row.get(2)?),
            compacted: from_int(row.get(3)?)?,
        })
    };
    let blob = |row: &Row<'_>| {
        Ok((BlobId::from_bytes(row.get(0)?), BlobRow { len: from_int(row.get(1)?)?, sealed: row.get(2)? }))
    };
    Ok(Inventory {
        datasets: all(db, "SELECT ds, seq, hash, compacted FROM head ORDER BY ds", dataset)?,
        mailboxes: all(db, "SELECT box, last FROM mailbox ORDER BY box", |row| {
            Ok((MailboxId::from_bytes(row.get(0)?), from_int(row.get(1)?)?))
        })?,
        blobs: all(db, "SELECT id, len, sealed FROM blob ORDER BY id", blob)?,
        ..Inventory::default()
    })
}

/// Writes one step into a file that is being built.
pub(super) fn take_in(db: &Connection, step: Arrival<'_>) -> Outcome<()> {
    match step {
        Arrival::Begin(header) => {
            let sql = "INSERT INTO header (version, body) VALUES (?, ?)";
            db.execute(sql, params![to_int(header.version)?, header.value])?;
        }
        Arrival::Rows(table, rows) => {
            let mut put = db.prepare("INSERT INTO row (tbl, key, version, body) VALUES (?, ?, ?, ?)")?;
            for (key, row) in rows {
                put.execute(params![table.number(), key.0, to_int(row.version)?, row.value])?;
            }
        }
        Arrival::Dataset(row) => {
            let (seq, compacted) = (to_int(row.seq.get())?, to_int(row.compacted)?);
            let sql = "INSERT INTO head (ds, seq, hash, compacted) VALUES (?, ?, ?, ?)";
            db.execute(sql, params![row.dataset.as_bytes(), seq, row.hash.0, compacted])?;
        }
        Arrival::Heads(d, heads) => {
            let mut put = db.prepare("INSERT INTO heads (ds, seq, hash, body) VALUES (?, ?, ?, ?)")?;
            for head in heads {
                put.execute(params![d.as_bytes(), to_int(head.seq.get())?, head.hash.0, head.body])?;
            }
        }
        Arrival::Objects(d, objects) => {
            let mut put = db.prepare("INSERT INTO object (ds, id, seq, kind, hash, body) VALUES (?, ?, ?, ?, ?, ?)")?;
            for row in objects {
                let (id, seq) = (row.object.as_bytes(), to_int(row.seq.get())?);
                put.execute(params![d.as_bytes(), id, seq, row.kind, row.body_hash, row.body])?;
            }
        }
        Arrival::Mailbox(m, last) => write::set_mailbox(db, m, last, Total::default())?,
        Arrival::Mail(m, items) => {
            let (last, mut held) = write::mailbox(db, m)?;
            let mut put =
                db.prepare("INSERT INTO mail (box, n, dedupe, at, expires, body) VALUES (?, ?, ?, ?, ?, ?)")?;
            for row in items {
                let (n, at, expires) = (to_int(row.n)?, to_int(row.at.secs())?, to_int(row.expires.secs())?);
                put.execute(params![m.as_bytes(), n, row.dedupe, at, expires, row.body])?;
                held.add(1, crate::rules::len(&row.body));
            }
            write::set_mailbox(db, m, last, held)?;
        }
        Arrival::Blob(b, row) => {
            let sql = "INSERT INTO blob (id, len, sealed) VALUES (?, ?, ?)";
            db.execute(sql, params![b.as_bytes(), to_int(row.len)?, row.sealed])?;
        }
        Arrival::BlobPart(b, n, bytes) => {
            let sql = "INSERT INTO blob_part (id, n, body) VALUES (?, ?, ?)";
            db.execute(sql, params![b.as_bytes(), to_int(n)?, bytes])?;
        }
        Arrival::End => write::set_usage(db, Usage::default(), counted(db)?)?,
        Arrival::Abandon => {}
    }
    Ok(())
}

/// The totals, counted anew.
pub(super) fn counted(db: &Connection) -> Outcome<Usage> {
    let total = |count: &str, bytes: &str| {
        let sql =
            format!("SELECT (SELECT count(*) FROM {count}), (SELECT coalesce(sum(length(body)), 0) FROM {bytes})");
        let (count, bytes): (i64, i64) = db.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok::<_, super::open::Fail>(Total { count: from_int(count)?, bytes: from_int(bytes)? })
    };
    // table 0 of the small rows is the backend's own
    let rows = "row WHERE tbl > 0";
    let usage = Usage {
        header: total("header", "header")?,
        datasets: total("head", "heads")?,
        objects: total("object", "object")?,
        mail: total("mail", "mail")?,
        blobs: total("blob", "blob_part")?,
        rows: total(rows, rows)?,
    };
    if usage.header.count == 1 { Ok(usage) } else { Err(StorageError::NotFound.into()) }
}
