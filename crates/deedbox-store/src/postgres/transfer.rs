//! Giving a store away, and taking one in. Until its end a store that arrives has a name and rows, but no row in table `store`:
//! whatever looks for it finds nothing.

use std::sync::Arc;

use deedbox_model::{BlobId, DatasetId, MailboxId, StoreId, StoreName};
use tokio_postgres::Row;

use super::connect::{Attempt, Conn, Ended, Fail, Outcome, Step, array, column, number, step, to_int};
use super::read::{COUNTED, seq};
use super::schema::OF_STORE;
use super::write::{
    NEW_HEAD, NEW_HEADER, NEW_MAIL, NEW_NAME, NEW_PART, NEW_STORE, SET_HEAD, SET_MAILBOX, SET_SMALL, put, totals,
    usage_of,
};
use crate::error::StorageError;
use crate::rules::len;
use crate::transfer::{Arrival, DatasetRow, Inventory};
use crate::types::{BlobRow, HeadHash, Put};

const DATASETS: &str = "SELECT ds, seq, hash, compacted FROM deedbox.head WHERE store = $1 ORDER BY ds";
const MAILBOXES: &str = "SELECT box, last FROM deedbox.mailbox WHERE store = $1 ORDER BY box";
const BLOBS: &str = "SELECT id, len, sealed FROM deedbox.blob WHERE store = $1 ORDER BY id";
const ALIASES: &str = "SELECT name FROM deedbox.name WHERE store = $1 AND name <> $1 ORDER BY name";
const SHARES: &str = "SELECT epoch, share FROM deedbox.share WHERE store = $1 ORDER BY epoch";
const EXISTS: &str = "SELECT store FROM deedbox.store WHERE store = $1";
// the row that every step of one arrival takes
const ARRIVING: &str = "SELECT n.store FROM deedbox.name n WHERE n.name = $1 FOR UPDATE";
const ARRIVED: &str = "SELECT h.version FROM deedbox.header h WHERE h.store = $1";
const DROP_NAME: &str = "DELETE FROM deedbox.name WHERE name = $1 AND store = $1";
const NEW_BLOB: &str = "INSERT INTO deedbox.blob (store, id, len, sealed) VALUES ($1, $2, $3, $4)";
const MORE_MAIL: &str =
    "UPDATE deedbox.mailbox SET count = count + $3, bytes = bytes + $4 WHERE store = $1 AND box = $2";

/// What the store's own database knows of the inventory.
pub(super) async fn inventory(conn: Arc<Conn>, s: StoreId) -> Outcome<Inventory> {
    let s = s.as_bytes();
    let mut found =
        conn.snapshot(&[step!(EXISTS, s), step!(DATASETS, s), step!(MAILBOXES, s), step!(BLOBS, s)]).await?;
    found.row().ok_or(StorageError::NotFound)?;
    let dataset = |row: &Row| {
        Ok(DatasetRow {
            dataset: DatasetId::from_bytes(array(row, 0)?),
            seq: seq(row, 1)?,
            hash: HeadHash(array(row, 2)?),
            compacted: number(row, 3)?,
        })
    };
    let blob = |row: &Row| {
        let held = BlobRow { len: number(row, 1)?, sealed: column::<i64>(row, 2)? != 0 };
        Ok((BlobId::from_bytes(array(row, 0)?), held))
    };
    Ok(Inventory {
        datasets: found.rows().iter().map(dataset).collect::<Outcome<_>>()?,
        mailboxes: found
            .rows()
            .iter()
            .map(|row| Ok((MailboxId::from_bytes(array(row, 0)?), number(row, 1)?)))
            .collect::<Outcome<_>>()?,
        blobs: found.rows().iter().map(blob).collect::<Outcome<_>>()?,
        ..Inventory::default()
    })
}

/// The aliases that one database has.
pub(super) async fn aliases(conn: Arc<Conn>, s: StoreId) -> Outcome<Vec<StoreName>> {
    let rows = conn.one(step!(ALIASES, s.as_bytes())).await?.rows();
    rows.iter().map(|row| Ok(StoreName::from_bytes(array(row, 0)?))).collect()
}

pub(super) async fn shares(conn: Arc<Conn>, s: StoreId) -> Outcome<Vec<(u32, [u8; 32])>> {
    let rows = conn.one(step!(SHARES, s.as_bytes())).await?.rows();
    let epoch = |row: &Row| u32::try_from(column::<i64>(row, 0)?).map_err(|_| Fail::from(StorageError::Corrupt));
    rows.iter().map(|row| Ok((epoch(row)?, array(row, 1)?))).collect()
}

/// One step, one transaction. After a lost connection nobody knows whether a step was done, and it can't be told from its rows:
/// the error ends the arrival, and the next one begins anew.
pub(super) async fn arrive(conn: Arc<Conn>, s: StoreId, arrival: Arrival<'_>, attempt: Attempt) -> Outcome<Ended<()>> {
    if attempt.unknown {
        return Err(StorageError::Unavailable { retry: true }.into());
    }
    let store = s.as_bytes();
    let begins = matches!(arrival, Arrival::Begin(_));
    let mut first = if begins { vec![step!(NEW_NAME, store, store)] } else { Vec::new() };
    first.extend([step!(ARRIVING, store), step!(EXISTS, store), step!(ARRIVED, store)]);
    let mut found = conn.begin(&first).await?;
    if begins {
        found.row();
    }
    let named = found.row();
    let own = named.as_ref().map(|row| array(row, 0)).transpose()?.is_none_or(|named: [u8; 16]| named == *store);
    if found.row().is_some() || !own {
        return Err(StorageError::AlreadyExists.into());
    }
    let arriving = named.is_some() && found.row().is_some();
    if !arriving && !matches!(arrival, Arrival::Abandon | Arrival::Begin(_)) {
        return Err(StorageError::NotFound.into());
    }
    let puts: Vec<Put<'_>>;
    let mut steps = Vec::new();
    match &arrival {
        Arrival::Abandon => {
            steps.extend(OF_STORE.into_iter().map(|sql| step!(sql, store)));
            steps.push(step!(DROP_NAME, store));
        }
        Arrival::Begin(header) => {
            steps.extend(OF_STORE.into_iter().map(|sql| step!(sql, store)));
            steps.push(step!(NEW_HEADER, store, to_int(header.version)?, header.value.as_slice()));
        }
        Arrival::Rows(table, rows) => {
            for (key, row) in *rows {
                let (table, version) = (i64::from(table.number()), to_int(row.version)?);
                steps.push(step!(SET_SMALL, store, table, &key.0, version, row.value.as_slice()));
            }
        }
        Arrival::Dataset(row) => {
            let (seq, compacted) = (to_int(row.seq.get())?, to_int(row.compacted)?);
            steps.push(step!(SET_HEAD, store, row.dataset.as_bytes(), seq, &row.hash.0, compacted));
        }
        Arrival::Heads(d, heads) => {
            for head in *heads {
                let seq = to_int(head.seq.get())?;
                steps.push(step!(NEW_HEAD, store, d.as_bytes(), seq, &head.hash.0, head.body.as_slice()));
            }
        }
        Arrival::Objects(d, objects) => {
            puts = objects
                .iter()
                .map(|row| Put {
                    object: row.object,
                    seq: row.seq,
                    kind: row.kind,
                    body_hash: row.body_hash,
                    body: &row.body,
                })
                .collect();
            put(store, d.as_bytes(), &puts, &mut steps)?;
        }
        Arrival::Mailbox(m, last) => steps.push(step!(SET_MAILBOX, store, m.as_bytes(), to_int(*last)?, 0, 0)),
        Arrival::Mail(m, items) => {
            let mut bytes = 0_u64;
            for row in *items {
                let (n, at, expires) = (to_int(row.n)?, to_int(row.at.secs())?, to_int(row.expires.secs())?);
                steps.push(step!(NEW_MAIL, store, m.as_bytes(), n, &row.dedupe, at, expires, row.body.as_slice()));
                bytes = bytes.saturating_add(len(&row.body));
            }
            let count = i64::try_from(items.len()).unwrap_or(i64::MAX);
            steps.push(step!(MORE_MAIL, store, m.as_bytes(), count, to_int(bytes)?));
        }
        Arrival::Blob(b, row) => {
            steps.push(step!(NEW_BLOB, store, b.as_bytes(), to_int(row.len)?, i64::from(row.sealed)));
        }
        Arrival::BlobPart(b, n, bytes) => steps.push(step!(NEW_PART, store, b.as_bytes(), to_int(*n)?, *bytes)),
        Arrival::End => {
            let row = conn.more(&[step!(COUNTED, store)]).await?.row().ok_or(StorageError::Corrupt)?;
            steps.push(totals(NEW_STORE, &s, attempt.stamp, usage_of(&row)?)?);
        }
    }
    let steps: Vec<Step<'_>> = steps;
    conn.end(&steps, ()).await
}
