//! What reads a store, each in one statement or one snapshot.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use deedbox_model::{BlobId, DatasetId, MailboxId, ObjectId, Seq, StoreId, StoreName, Timestamp};
use tokio_postgres::Row;

use super::connect::{Conn, Outcome, Value, array, column, number, step};
use super::write::usage_of;
use crate::error::StorageError;
use crate::rules::len;
use crate::types::{
    BLOB_PART, BlobRow, Cursor, HeadHash, HeadRow, Index, IndexRow, Limit, MAX_SEQ, MailRow, MeterRow, ObjectRow, Page,
    RowKey, Snapshot, Table, Total, Usage, Versioned,
};

/// The head in force, and up to which number objects were removed.
pub(super) const HEAD: &str = "SELECT h.seq, h.hash, h.compacted, b.hash, b.body FROM deedbox.head h
    JOIN deedbox.store s ON s.store = h.store
    LEFT JOIN deedbox.heads b ON b.store = h.store AND b.ds = h.ds AND b.seq = h.seq WHERE h.store = $1 AND h.ds = $2";

// a store that is being taken in has a name already, and is none yet
const RESOLVE: &str = "SELECT n.store FROM deedbox.name n LEFT JOIN deedbox.store s ON s.store = n.name
    WHERE n.name = $1 AND (n.name <> n.store OR s.store IS NOT NULL)";
const STORES: &str = "SELECT store FROM deedbox.store WHERE store > $1 ORDER BY store LIMIT $2";
const EXISTS: &str = "SELECT store FROM deedbox.store WHERE store = $1";
const HEADER: &str = "SELECT h.version, h.body FROM deedbox.store s JOIN deedbox.header h ON h.store = s.store
    WHERE s.store = $1";
const HEADS: &str =
    "SELECT seq, hash, body FROM deedbox.heads WHERE store = $1 AND ds = $2 AND seq > $3 ORDER BY seq LIMIT $4";
const DATASETS: &str = "SELECT h.ds FROM deedbox.store s LEFT JOIN deedbox.head h ON h.store = s.store
    WHERE s.store = $1 ORDER BY h.ds";
/// The head in force and the objects of these ids, in one statement: it reads at one moment without a transaction around it.
macro_rules! head_and {
    ($objects:literal) => {
        concat!(
            "SELECT true, h.seq, h.compacted, h.hash, b.hash, b.body FROM deedbox.head h
             JOIN deedbox.store s ON s.store = h.store
             LEFT JOIN deedbox.heads b ON b.store = h.store AND b.ds = h.ds AND b.seq = h.seq
             WHERE h.store = $1 AND h.ds = $2
             UNION ALL SELECT false, o.seq, o.kind, o.hash, o.id, o.body FROM ",
            $objects
        )
    };
}
// Planned once: of an array, the server finds each time anew that few ids cost less than it takes an array to have.
const OBJECT: &str = head_and!("deedbox.object o WHERE o.store = $1 AND o.ds = $2 AND o.id = $3");
// one look by the key for each id, as the measure of a commit does
const OBJECTS: &str = head_and!(
    "unnest(CAST($3 AS bytea[])) AS asked(id) CROSS JOIN LATERAL (SELECT o.id, o.seq, o.kind, o.hash, o.body
        FROM deedbox.object o WHERE o.store = $1 AND o.ds = $2 AND o.id = asked.id LIMIT 1) AS o"
);
// The running sum lets the server stop at the page's bytes. One row more than fits tells that there is more; where the first
// row alone is too long, that is the second.
const CHANGES: &str = "SELECT id, seq, kind, hash, body FROM (
        SELECT id, seq, kind, hash, body, row_number() OVER (ORDER BY seq, id) AS place,
            sum(octet_length(body)) OVER (ORDER BY seq, id ROWS UNBOUNDED PRECEDING) - octet_length(body) AS before
        FROM (SELECT id, seq, kind, hash, body FROM deedbox.object
              WHERE store = $1 AND ds = $2 AND (seq, id) > ($3, $4) ORDER BY seq, id LIMIT $5) AS next
    ) AS page WHERE before <= $6 OR place = 2 ORDER BY seq, id";
const INDEX: &str = "SELECT id, seq, kind, hash FROM deedbox.object WHERE store = $1 AND ds = $2 ORDER BY id";
const MAIL: &str = "SELECT n, dedupe, at, expires, body FROM (
        SELECT n, dedupe, at, expires, body,
            sum(octet_length(body)) OVER (ORDER BY n ROWS UNBOUNDED PRECEDING) - octet_length(body) AS before
        FROM (SELECT n, dedupe, at, expires, body FROM deedbox.mail
              WHERE store = $1 AND box = $2 AND n > $3 ORDER BY n LIMIT $4) AS next
    ) AS page WHERE before <= $5 ORDER BY n";
const BLOB: &str = "SELECT b.len, b.sealed FROM deedbox.store s
    LEFT JOIN deedbox.blob b ON b.store = s.store AND b.id = $2 WHERE s.store = $1";
const PARTS: &str = "SELECT n, substring(body FROM CASE WHEN n = $3 THEN CAST(CAST($5 AS bigint) AS int) ELSE 1 END
        FOR CAST(CAST($6 AS bigint) AS int))
    FROM deedbox.blob_part WHERE store = $1 AND id = $2 AND n >= $3 AND n <= $4 ORDER BY n";
const ROW: &str = "SELECT r.version, r.body FROM deedbox.store s
    LEFT JOIN deedbox.small r ON r.store = s.store AND r.tbl = $2 AND r.key = $3 WHERE s.store = $1";
const ROWS: &str = "SELECT r.key, r.version, r.body FROM deedbox.store s
    LEFT JOIN deedbox.small r ON r.store = s.store AND r.tbl = $2 WHERE s.store = $1 ORDER BY r.key";
const SHARE: &str = "SELECT share FROM deedbox.share WHERE store = $1 AND epoch = $2";
const USAGE: &str =
    "SELECT stamp, header_count, header_bytes, dataset_count, dataset_bytes, object_count, object_bytes,
    mail_count, mail_bytes, blob_count, blob_bytes, row_count, row_bytes FROM deedbox.store WHERE store = $1";
const NOTED: &str = "SELECT time FROM deedbox.noted WHERE one = 0";
const METER: &str = "SELECT day, class, count, bytes FROM deedbox.meter WHERE meter = $1 ORDER BY day, class";
pub(super) const COUNTED: &str = "SELECT CAST(0 AS bigint),
    (SELECT count(*) FROM deedbox.header WHERE store = $1),
    (SELECT CAST(coalesce(sum(octet_length(body)), 0) AS bigint) FROM deedbox.header WHERE store = $1),
    (SELECT count(*) FROM deedbox.head WHERE store = $1),
    (SELECT CAST(coalesce(sum(octet_length(body)), 0) AS bigint) FROM deedbox.heads WHERE store = $1),
    (SELECT count(*) FROM deedbox.object WHERE store = $1),
    (SELECT CAST(coalesce(sum(octet_length(body)), 0) AS bigint) FROM deedbox.object WHERE store = $1),
    (SELECT count(*) FROM deedbox.mail WHERE store = $1),
    (SELECT CAST(coalesce(sum(octet_length(body)), 0) AS bigint) FROM deedbox.mail WHERE store = $1),
    (SELECT count(*) FROM deedbox.blob WHERE store = $1),
    (SELECT CAST(coalesce(sum(octet_length(body)), 0) AS bigint) FROM deedbox.blob_part WHERE store = $1),
    (SELECT count(*) FROM deedbox.small WHERE store = $1),
    (SELECT CAST(coalesce(sum(octet_length(body)), 0) AS bigint) FROM deedbox.small WHERE store = $1)";

pub(super) fn seq(row: &Row, at: usize) -> Outcome<Seq> {
    Ok(Seq::new(number(row, at)?).ok_or(StorageError::Corrupt)?)
}

fn kind(row: &Row, at: usize) -> Outcome<u8> {
    Ok(u8::try_from(column::<i64>(row, at)?).map_err(|_| StorageError::Corrupt)?)
}

fn object(row: &Row) -> Outcome<ObjectRow> {
    Ok(ObjectRow {
        object: ObjectId::from_bytes(array(row, 0)?),
        seq: seq(row, 1)?,
        kind: kind(row, 2)?,
        body_hash: array(row, 3)?,
        body: column(row, 4)?,
    })
}

/// A limit of rows as SQL has it; at least one.
fn most(rows: u32) -> i64 {
    i64::from(rows.max(1))
}

/// A number as SQL has it; what is greater than any is the greatest.
fn capped(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A row of [`HEAD`].
pub(super) fn head(row: Option<Row>) -> Outcome<Option<(HeadRow, u64)>> {
    let Some(row) = row else { return Ok(None) };
    let hash = HeadHash(array(&row, 1)?);
    if array(&row, 3)? != hash.0 {
        return Err(StorageError::Corrupt.into());
    }
    let head = HeadRow { seq: seq(&row, 0)?, hash, body: column(&row, 4)? };
    Ok(Some((head, number(&row, 2)?)))
}

fn in_force(row: Option<Row>) -> Outcome<(HeadRow, u64)> {
    Ok(head(row)?.ok_or(StorageError::NotFound)?)
}

pub(super) async fn resolve(conn: Arc<Conn>, name: StoreName) -> Outcome<Option<StoreId>> {
    let row = conn.one(step!(RESOLVE, name.as_bytes())).await?.row();
    row.map(|row| Ok(StoreId::from_bytes(array(&row, 0)?))).transpose()
}

pub(super) async fn stores(conn: Arc<Conn>, after: Option<StoreId>, limit: i64) -> Outcome<Vec<StoreId>> {
    // nothing sorts before the empty key
    let after: &[u8] = after.as_ref().map_or(&[], |id| id.as_bytes());
    let rows = conn.one(step!(STORES, after, limit)).await?.rows();
    rows.iter().map(|row| Ok(StoreId::from_bytes(array(row, 0)?))).collect()
}

pub(super) async fn exists(conn: Arc<Conn>, s: StoreId) -> Outcome<()> {
    let row = conn.one(step!(EXISTS, s.as_bytes())).await?.row();
    Ok(row.map(drop).ok_or(StorageError::NotFound)?)
}

pub(super) async fn header(conn: Arc<Conn>, s: StoreId) -> Outcome<Versioned<Vec<u8>>> {
    let row = conn.one(step!(HEADER, s.as_bytes())).await?.row().ok_or(StorageError::NotFound)?;
    Ok(Versioned { version: number(&row, 0)?, value: column(&row, 1)? })
}

pub(super) async fn heads(
    conn: Arc<Conn>,
    s: StoreId,
    d: DatasetId,
    after: Option<Seq>,
    limit: u32,
) -> Outcome<Vec<HeadRow>> {
    let (s, d) = (s.as_bytes(), d.as_bytes());
    let after = capped(after.map_or(0, Seq::get));
    let mut found = conn.snapshot(&[step!(HEAD, s, d), step!(HEADS, s, d, after, most(limit))]).await?;
    in_force(found.row())?;
    let row = |row: &Row| Ok(HeadRow { seq: seq(row, 0)?, hash: HeadHash(array(row, 1)?), body: column(row, 2)? });
    found.rows().iter().map(row).collect()
}

pub(super) async fn datasets(conn: Arc<Conn>, s: StoreId) -> Outcome<Vec<DatasetId>> {
    let rows = conn.one(step!(DATASETS, s.as_bytes())).await?.rows();
    absent(&rows)?;
    let ids = rows.iter().filter(|row| !is_null(row));
    ids.map(|row| Ok(DatasetId::from_bytes(array(row, 0)?))).collect()
}

/// What is joined to a store gives at least one row when there is a store.
fn absent(rows: &[Row]) -> Outcome<()> {
    if rows.is_empty() { Err(StorageError::NotFound.into()) } else { Ok(()) }
}

/// The one row of a store without what was joined to it.
fn is_null(row: &Row) -> bool {
    row.try_get::<_, Option<&[u8]>>(0).is_ok_and(|value| value.is_none())
}

pub(super) async fn get(conn: Arc<Conn>, s: StoreId, d: DatasetId, ids: &[ObjectId]) -> Outcome<Snapshot> {
    let (s, d) = (s.as_bytes(), d.as_bytes());
    let step = match ids {
        [id] => step!(OBJECT, s, d, id.as_bytes()),
        _ => step!(OBJECTS, s, d, Value::Ids(ids.iter().map(|id| id.as_bytes().as_slice()).collect())),
    };
    let (mut head, mut held) = (None, HashMap::new());
    for row in conn.one(step).await?.rows() {
        if column(&row, 0)? {
            head = Some(HeadRow { seq: seq(&row, 1)?, hash: HeadHash(array(&row, 3)?), body: column(&row, 5)? });
            if array(&row, 4)? != array::<32>(&row, 3)? {
                return Err(StorageError::Corrupt.into());
            }
        } else {
            let object = ObjectId::from_bytes(array(&row, 4)?);
            let (seq, kind, body_hash) = (seq(&row, 1)?, kind(&row, 2)?, array(&row, 3)?);
            held.insert(object, ObjectRow { object, seq, kind, body_hash, body: column(&row, 5)? });
        }
    }
    let head = head.ok_or(StorageError::NotFound)?;
    let rows = ids.iter().map(|id| held.get(id).cloned()).collect();
    Ok(Snapshot { head, rows })
}

pub(super) async fn changes(conn: Arc<Conn>, s: StoreId, d: DatasetId, after: Cursor, limit: Limit) -> Outcome<Page> {
    let (s, d) = (s.as_bytes(), d.as_bytes());
    let most = most(limit.rows);
    let (seq, fetched) = (capped(after.seq.min(MAX_SEQ)), most.saturating_add(1));
    let page = step!(CHANGES, s, d, seq, &after.object, fetched, capped(limit.bytes));
    let mut found = conn.snapshot(&[step!(HEAD, s, d), page]).await?;
    let (head, compacted) = in_force(found.row())?;
    let floor = if after.is_start() { compacted } else { after.floor };
    if floor < compacted {
        return Ok(Page::Resync { head });
    }
    let mut rows: Vec<ObjectRow> = Vec::new();
    let mut bytes = 0_u64;
    for row in found.rows() {
        let row = object(&row)?;
        bytes = bytes.saturating_add(len(&row.body));
        if let Some(last) = rows.last()
            && (i64::try_from(rows.len()).is_ok_and(|rows| rows >= most) || bytes > limit.bytes)
        {
            let next = Cursor { seq: last.seq.get(), object: *last.object.as_bytes(), floor };
            return Ok(Page::Rows { head, rows, next: Some(next) });
        }
        rows.push(row);
    }
    Ok(Page::Rows { head, rows, next: None })
}

pub(super) async fn index(conn: Arc<Conn>, s: StoreId, d: DatasetId) -> Outcome<Index> {
    let (s, d) = (s.as_bytes(), d.as_bytes());
    let mut found = conn.snapshot(&[step!(HEAD, s, d), step!(INDEX, s, d)]).await?;
    let (head, _) = in_force(found.row())?;
    let row = |row: &Row| {
        Ok(IndexRow {
            object: ObjectId::from_bytes(array(row, 0)?),
            seq: seq(row, 1)?,
            kind: kind(row, 2)?,
            body_hash: array(row, 3)?,
        })
    };
    Ok(Index { head, rows: found.rows().iter().map(row).collect::<Outcome<_>>()? })
}

/// A row of [`BLOB`].
fn blob_row(row: Option<Row>) -> Outcome<Option<BlobRow>> {
    let row = row.ok_or(StorageError::NotFound)?;
    let Some(len) = column::<Option<i64>>(&row, 0)? else { return Ok(None) };
    let len = super::connect::from_int(len)?;
    Ok(Some(BlobRow { len, sealed: column::<i64>(&row, 1)? != 0 }))
}

pub(super) async fn blob(conn: Arc<Conn>, s: StoreId, b: BlobId) -> Outcome<Option<BlobRow>> {
    blob_row(conn.one(step!(BLOB, s.as_bytes(), b.as_bytes())).await?.row())
}

pub(super) async fn blob_read(conn: Arc<Conn>, s: StoreId, b: BlobId, range: Range<u64>) -> Outcome<Vec<u8>> {
    let (s, b) = (s.as_bytes(), b.as_bytes());
    let wanted = range.end.saturating_sub(range.start);
    let (first, last) = (range.start / BLOB_PART, range.end.saturating_sub(1) / BLOB_PART);
    let skip = range.start % BLOB_PART;
    // no more of a part than the range has; what is too much of the last one is cut off here
    let parts = step!(
        PARTS,
        s,
        b,
        capped(first),
        capped(if wanted == 0 { 0 } else { last }),
        capped(skip.saturating_add(1)),
        capped(wanted.min(BLOB_PART))
    );
    let mut found = conn.snapshot(&[step!(BLOB, s, b), parts]).await?;
    let row = blob_row(found.row())?.ok_or(StorageError::NotFound)?;
    let end = range.end.min(row.len);
    let expected = end.saturating_sub(range.start);
    let mut out = Vec::new();
    if expected > 0 {
        for part in found.rows() {
            out.extend_from_slice(column(&part, 1)?);
        }
        out.truncate(usize::try_from(expected).unwrap_or(usize::MAX));
    }
    if len(&out) == expected { Ok(out) } else { Err(StorageError::Corrupt.into()) }
}

pub(super) async fn mail_list(
    conn: Arc<Conn>,
    s: StoreId,
    m: MailboxId,
    after: u64,
    limit: Limit,
) -> Outcome<Vec<MailRow>> {
    let most = most(limit.rows);
    let mail = step!(MAIL, s.as_bytes(), m.as_bytes(), capped(after), most, capped(limit.bytes));
    let mut found = conn.snapshot(&[step!(EXISTS, s.as_bytes()), mail]).await?;
    found.row().ok_or(StorageError::NotFound)?;
    let mut rows: Vec<MailRow> = Vec::new();
    let mut bytes = 0_u64;
    for row in found.rows() {
        let row = mail_row(&row)?;
        bytes = bytes.saturating_add(len(&row.body));
        if !rows.is_empty() && bytes > limit.bytes {
            break;
        }
        rows.push(row);
    }
    Ok(rows)
}

fn mail_row(row: &Row) -> Outcome<MailRow> {
    Ok(MailRow {
        n: number(row, 0)?,
        dedupe: array(row, 1)?,
        at: Timestamp::from_secs(number(row, 2)?),
        expires: Timestamp::from_secs(number(row, 3)?),
        body: column(row, 4)?,
    })
}

pub(super) async fn row(conn: Arc<Conn>, s: StoreId, t: Table, key: RowKey) -> Outcome<Option<Versioned<Vec<u8>>>> {
    let found = conn.one(step!(ROW, s.as_bytes(), i64::from(t.number()), &key.0)).await?.row();
    let row = found.ok_or(StorageError::NotFound)?;
    let Some(version) = column::<Option<i64>>(&row, 0)? else { return Ok(None) };
    Ok(Some(Versioned { version: super::connect::from_int(version)?, value: column(&row, 1)? }))
}

pub(super) async fn rows(conn: Arc<Conn>, s: StoreId, t: Table) -> Outcome<Vec<(RowKey, Versioned<Vec<u8>>)>> {
    let rows = conn.one(step!(ROWS, s.as_bytes(), i64::from(t.number()))).await?.rows();
    absent(&rows)?;
    let held = rows.iter().filter(|row| !is_null(row));
    held.map(|row| Ok((RowKey(array(row, 0)?), Versioned { version: number(row, 1)?, value: column(row, 2)? })))
        .collect()
}

pub(super) async fn share(conn: Arc<Conn>, s: StoreId, epoch: u32) -> Outcome<Option<[u8; 32]>> {
    let row = conn.one(step!(SHARE, s.as_bytes(), i64::from(epoch))).await?.row();
    row.map(|row| array(&row, 0)).transpose()
}

pub(super) async fn usage(conn: Arc<Conn>, s: StoreId) -> Outcome<Usage> {
    let row = conn.one(step!(USAGE, s.as_bytes())).await?.row().ok_or(StorageError::NotFound)?;
    usage_of(&row)
}

/// The totals held against a fresh count.
pub(super) async fn integrity(conn: Arc<Conn>, s: StoreId) -> Outcome<()> {
    let s = s.as_bytes();
    let mut found = conn.snapshot(&[step!(USAGE, s), step!(COUNTED, s)]).await?;
    let held = usage_of(&found.row().ok_or(StorageError::NotFound)?)?;
    let fresh = usage_of(&found.row().ok_or(StorageError::Corrupt)?)?;
    if held == fresh { Ok(()) } else { Err(StorageError::Corrupt.into()) }
}

/// The greatest time noted.
pub(super) async fn noted(conn: Arc<Conn>) -> Outcome<Timestamp> {
    let row = conn.one(step!(NOTED)).await?.row();
    Ok(Timestamp::from_secs(row.map_or(Ok(0), |row| number(&row, 0))?))
}

/// The sums of one meter.
pub(super) async fn meter(conn: Arc<Conn>, meter: [u8; 16]) -> Outcome<Vec<MeterRow>> {
    let rows = conn.one(step!(METER, &meter)).await?.rows();
    let sum = |row: &Row| {
        let total = Total { count: number(row, 2)?, bytes: number(row, 3)? };
        Ok(MeterRow { meter, day: number(row, 0)?, class: kind(row, 1)?, total })
    };
    rows.iter().map(sum).collect()
}
