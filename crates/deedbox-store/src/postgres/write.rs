//! What changes a store. Each operation is one transaction in two parts: the first locks the store's row and reads what has
//! to be decided on, the second writes, leaves the attempt's stamp in that row, and commits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use deedbox_model::{BlobId, DatasetId, MailboxId, ObjectId, StoreId, StoreName, Timestamp};
use tokio_postgres::Row;

use super::connect::{
    Answers, Attempt, Conn, Ended, Fail, Outcome, Step, Value, array, column, from_int, number, step, to_int,
};
use super::read::{HEAD, head};
use super::schema::OF_STORE;
use crate::error::StorageError;
use crate::rules::{check_mailbox, check_quota, check_step, len};
use crate::types::{
    BLOB_PART, Class, Commit, CommitOutcome, HeadHash, KEPT_HEADS, MAX_SEQ, Mail, MeterRow, Mode, NewStore, Part,
    Purge, Put, Quota, RowKey, Swap, Table, Total, Usage,
};

const NOTE: &str = "INSERT INTO deedbox.noted (one, time) VALUES (0, $1) ON CONFLICT (one) DO UPDATE
    SET time = CASE WHEN noted.time < excluded.time THEN excluded.time ELSE noted.time END RETURNING time";
const CHARGE: &str = "INSERT INTO deedbox.meter (meter, day, class, count, bytes) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (meter, day, class) DO UPDATE SET
    count = CASE WHEN meter.count > 9223372036854775807 - excluded.count THEN 9223372036854775807
        ELSE meter.count + excluded.count END,
    bytes = CASE WHEN meter.bytes > 9223372036854775807 - excluded.bytes THEN 9223372036854775807
        ELSE meter.bytes + excluded.bytes END";
const DROP_METERS: &str = "DELETE FROM deedbox.meter WHERE day < $1 RETURNING day";
const LOCK: &str = "SELECT stamp, header_count, header_bytes, dataset_count, dataset_bytes, object_count, object_bytes,
    mail_count, mail_bytes, blob_count, blob_bytes, row_count, row_bytes FROM deedbox.store WHERE store = $1 FOR UPDATE";
const TOTALS: &str = "UPDATE deedbox.store SET stamp = $2, header_count = $3, header_bytes = $4, dataset_count = $5,
    dataset_bytes = $6, object_count = $7, object_bytes = $8, mail_count = $9, mail_bytes = $10, blob_count = $11,
    blob_bytes = $12, row_count = $13, row_bytes = $14 WHERE store = $1";
pub(super) const NEW_NAME: &str =
    "INSERT INTO deedbox.name (name, store) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING RETURNING store";
const NAMED: &str = "SELECT n.store, s.stamp FROM deedbox.name n LEFT JOIN deedbox.store s ON s.store = n.name
    WHERE n.name = $1";
const DROP_NAME: &str = "DELETE FROM deedbox.name WHERE name = $1 AND store = $2";
const DROP_NAMES: &str = "DELETE FROM deedbox.name WHERE store = $1";
pub(super) const NEW_STORE: &str = "INSERT INTO deedbox.store (store, stamp, header_count, header_bytes, dataset_count,
    dataset_bytes, object_count, object_bytes, mail_count, mail_bytes, blob_count, blob_bytes, row_count, row_bytes)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
pub(super) const NEW_HEADER: &str = "INSERT INTO deedbox.header (store, version, body) VALUES ($1, $2, $3)";
const SET_HEADER: &str = "UPDATE deedbox.header SET version = $2, body = $3 WHERE store = $1";
const HEADER_VERSION: &str = "SELECT version FROM deedbox.header WHERE store = $1";
const CURRENT: &str = "SELECT ds, seq, hash, compacted FROM deedbox.head WHERE store = $1 AND ds = $2";
const HASH_AT: &str = "SELECT hash FROM deedbox.heads WHERE store = $1 AND ds = $2 AND seq = $3";
const MEASURE_ALL: &str = "SELECT count(*), coalesce(sum(octet_length(body)), 0) FROM deedbox.object
    WHERE store = $1 AND ds = $2";
// One look by the key for each id, whatever the planner believes of the dataset's size: an array held against every object
// of a dataset takes minutes.
const MEASURE: &str =
    "SELECT count(found.bytes), coalesce(sum(found.bytes), 0) FROM unnest(CAST($3 AS bytea[])) AS asked(id)
    CROSS JOIN LATERAL (SELECT octet_length(o.body) AS bytes FROM deedbox.object o
        WHERE o.store = $1 AND o.ds = $2 AND o.id = asked.id LIMIT 1) AS found";
const MEASURE_HEADS: &str = "SELECT count(*), coalesce(sum(octet_length(body)), 0) FROM deedbox.heads
    WHERE store = $1 AND ds = $2 AND seq <= $3";
const DROP_ALL: &str = "DELETE FROM deedbox.object WHERE store = $1 AND ds = $2";
const DROP: &str = "DELETE FROM deedbox.object WHERE store = $1 AND ds = $2 AND id = $3";
const DROP_HEADS: &str = "DELETE FROM deedbox.heads WHERE store = $1 AND ds = $2 AND seq <= $3";
const DROP_HEAD: &str = "DELETE FROM deedbox.head WHERE store = $1 AND ds = $2 RETURNING seq";
pub(super) const SET_HEAD: &str =
    "INSERT INTO deedbox.head (store, ds, seq, hash, compacted) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (store, ds) DO UPDATE SET seq = excluded.seq, hash = excluded.hash, compacted = excluded.compacted";
const COMPACT: &str = "UPDATE deedbox.head SET compacted = seq WHERE store = $1 AND ds = $2";
pub(super) const NEW_HEAD: &str = "INSERT INTO deedbox.heads (store, ds, seq, hash, body) VALUES ($1, $2, $3, $4, $5)";
const MAILBOX: &str = "SELECT box, last, count, bytes FROM deedbox.mailbox WHERE store = $1 AND box = $2";
const KNOWN: &str = "SELECT dedupe FROM deedbox.mail WHERE store = $1 AND box = $2 AND dedupe = $3";
pub(super) const NEW_MAIL: &str = "INSERT INTO deedbox.mail (store, box, n, dedupe, at, expires, body)
    VALUES ($1, $2, $3, $4, $5, $6, $7)";
pub(super) const SET_MAILBOX: &str =
    "INSERT INTO deedbox.mailbox (store, box, last, count, bytes) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (store, box) DO UPDATE SET last = excluded.last, count = excluded.count, bytes = excluded.bytes";
const LESS_MAIL: &str =
    "UPDATE deedbox.mailbox SET count = count - $3, bytes = bytes - $4 WHERE store = $1 AND box = $2";
const ACK: &str = "DELETE FROM deedbox.mail WHERE store = $1 AND box = $2 AND n <= $3 RETURNING octet_length(body)";
const LAPSE: &str = "DELETE FROM deedbox.mail WHERE store = $1 AND expires <= $2 RETURNING box, octet_length(body)";
const DROP_MAIL: &str = "DELETE FROM deedbox.mail WHERE store = $1 AND box = $2";
const DROP_MAILBOX: &str = "DELETE FROM deedbox.mailbox WHERE store = $1 AND box = $2";
const BLOB: &str = "SELECT len, sealed FROM deedbox.blob WHERE store = $1 AND id = $2";
const SET_BLOB: &str = "INSERT INTO deedbox.blob (store, id, len, sealed) VALUES ($1, $2, $3, 0)
    ON CONFLICT (store, id) DO UPDATE SET len = excluded.len";
const SEAL: &str = "UPDATE deedbox.blob SET sealed = 1 WHERE store = $1 AND id = $2";
const LONGER_PART: &str = "UPDATE deedbox.blob_part SET body = body || $4 WHERE store = $1 AND id = $2 AND n = $3";
pub(super) const NEW_PART: &str = "INSERT INTO deedbox.blob_part (store, id, n, body) VALUES ($1, $2, $3, $4)";
const DROP_PARTS: &str = "DELETE FROM deedbox.blob_part WHERE store = $1 AND id = $2";
const DROP_BLOB: &str = "DELETE FROM deedbox.blob WHERE store = $1 AND id = $2";
const SMALL: &str = "SELECT version, octet_length(body) FROM deedbox.small WHERE store = $1 AND tbl = $2 AND key = $3";
pub(super) const SET_SMALL: &str =
    "INSERT INTO deedbox.small (store, tbl, key, version, body) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (store, tbl, key) DO UPDATE SET version = excluded.version, body = excluded.body";
const DROP_SMALL: &str = "DELETE FROM deedbox.small WHERE store = $1 AND tbl = $2 AND key = $3";
const SHARES: &str = "SELECT epoch, share FROM deedbox.share WHERE store = $1";
const NEW_SHARE: &str =
    "INSERT INTO deedbox.share (store, epoch, share) VALUES ($1, $2, $3) ON CONFLICT (store, epoch) DO NOTHING";
const DROP_SHARE: &str = "DELETE FROM deedbox.share WHERE store = $1 AND epoch = $2";
const DROP_SHARES: &str = "DELETE FROM deedbox.share WHERE store = $1";

/// How many objects one statement writes; each size is prepared once a connection.
const BATCHES: [usize; 3] = [128, 16, 1];

/// The statements that write so many objects.
static PUT: LazyLock<[String; 3]> = LazyLock::new(|| {
    BATCHES.map(|count| {
        let rows: Vec<_> = (0..count)
            .map(|n| {
                let at = |column: usize| n.saturating_mul(5).saturating_add(column);
                format!("($1, $2, ${}, ${}, ${}, ${}, ${})", at(3), at(4), at(5), at(6), at(7))
            })
            .collect();
        format!(
            "INSERT INTO deedbox.object (store, ds, id, seq, kind, hash, body) VALUES {} ON CONFLICT (store, ds, id)
             DO UPDATE SET seq = excluded.seq, kind = excluded.kind, hash = excluded.hash, body = excluded.body",
            rows.join(", ")
        )
    })
});

/// The totals, in the order of their columns.
fn classes(usage: &mut Usage) -> [&mut Total; 6] {
    [&mut usage.header, &mut usage.datasets, &mut usage.objects, &mut usage.mail, &mut usage.blobs, &mut usage.rows]
}

/// Totals from a row that has them after its first column.
pub(super) fn usage_of(row: &Row) -> Outcome<Usage> {
    let mut usage = Usage::default();
    for (at, total) in (1..).step_by(2).zip(classes(&mut usage)) {
        *total = Total { count: number(row, at)?, bytes: number(row, at.saturating_add(1))? };
    }
    Ok(usage)
}

/// The parameters of [`TOTALS`] and [`NEW_STORE`].
pub(super) fn totals<'a>(sql: &'static str, s: &'a StoreId, stamp: i64, mut usage: Usage) -> Outcome<Step<'a>> {
    let mut step = step!(sql, s.as_bytes(), stamp);
    for total in classes(&mut usage) {
        step.values.push(to_int(total.count)?.into());
        step.values.push(to_int(total.bytes)?.into());
    }
    Ok(step)
}

/// What a write of one store goes through.
struct Write<'a> {
    conn: &'a Conn,
    store: &'a StoreId,
    attempt: Attempt,
    old: Usage,
    new: Usage,
}

impl<'a> Write<'a> {
    /// Locks the store's row, then runs `first`, which sees what was committed before.
    async fn begin(
        conn: &'a Conn,
        store: &'a StoreId,
        attempt: Attempt,
        first: Vec<Step<'_>>,
    ) -> Outcome<(Self, Answers)> {
        let mut steps = vec![step!(LOCK, store.as_bytes())];
        steps.extend(first);
        let mut found = conn.begin(&steps).await?;
        let row = found.row().ok_or(StorageError::NotFound)?;
        if column::<i64>(&row, 0)? == attempt.stamp {
            return Err(Fail::Done);
        }
        let old = usage_of(&row)?;
        Ok((Self { conn, store, attempt, old, new: old }, found))
    }

    /// Writes the rest and commits.
    async fn end<T>(&self, mut steps: Vec<Step<'_>>, value: T) -> Outcome<Ended<T>> {
        steps.push(totals(TOTALS, self.store, self.attempt.stamp, self.new)?);
        self.conn.end(&steps, value).await
    }

    fn id(&self) -> &'a [u8; 16] {
        self.store.as_bytes()
    }
}

pub(super) async fn create(conn: Arc<Conn>, s: StoreId, new: &NewStore<'_>, attempt: Attempt) -> Outcome<Ended<()>> {
    let (store, version) = (s.as_bytes(), to_int(new.header_version)?);
    if conn.begin(&[step!(NEW_NAME, store, store)]).await?.row().is_none() {
        let held = conn.more(&[step!(NAMED, store)]).await?.row();
        let stamp = held.map(|row| column::<Option<i64>>(&row, 1)).transpose()?.flatten();
        return Err(if stamp == Some(attempt.stamp) { Fail::Done } else { StorageError::AlreadyExists.into() });
    }
    let mut usage = Usage { header: Total { count: 1, bytes: len(new.header) }, ..Usage::default() };
    if let Some((_, value)) = new.owner {
        usage.rows.add(1, len(value));
    }
    check_quota(&Usage::default(), &usage, new.quota)?;
    let mut steps = vec![totals(NEW_STORE, &s, attempt.stamp, usage)?, step!(NEW_HEADER, store, version, new.header)];
    if let Some((key, value)) = &new.owner {
        steps.push(step!(SET_SMALL, store, i64::from(Table::Capabilities.number()), &key.0, 1, *value));
    }
    conn.end(&steps, ()).await
}

/// Takes the store's row, so that the store is there until `settle` lets it go, and so that what depends on it elsewhere is
/// done by one at a time.
pub(super) async fn hold(conn: &Conn, s: StoreId) -> Outcome<()> {
    let row = conn.begin(&[step!(LOCK, s.as_bytes())]).await?.row();
    Ok(row.map(drop).ok_or(StorageError::NotFound)?)
}

/// On a connection to the alias's own database, which need not be the store's.
pub(super) async fn set_alias(conn: Arc<Conn>, s: StoreId, alias: StoreName) -> Outcome<()> {
    let (store, name) = (s.as_bytes(), alias.as_bytes());
    conn.one(step!(NEW_NAME, name, store)).await?;
    let row =
        conn.one(step!(NAMED, name)).await?.row().ok_or(Fail::Again(StorageError::Unavailable { retry: true }))?;
    if array(&row, 0)? == *store && name != store { Ok(()) } else { Err(StorageError::AlreadyExists.into()) }
}

pub(super) async fn drop_alias(conn: Arc<Conn>, s: StoreId, alias: StoreName) -> Outcome<()> {
    // a store's own name is no alias of it
    if s.as_bytes() != alias.as_bytes() {
        conn.one(step!(DROP_NAME, alias.as_bytes(), s.as_bytes())).await?;
    }
    Ok(())
}

pub(super) async fn drop_aliases(conn: Arc<Conn>, s: StoreId) -> Outcome<()> {
    conn.one(step!(DROP_NAMES, s.as_bytes())).await.map(drop)
}

/// What a commit reads of a part before it writes.
#[derive(Clone, Copy)]
enum Read {
    /// Objects overwritten.
    Put,
    /// Objects removed, or all of them for a replacement.
    Removed,
    /// Heads beyond the newest.
    Trimmed,
}

pub(super) async fn commit(
    conn: Arc<Conn>,
    s: StoreId,
    c: &Commit<'_>,
    attempt: Attempt,
) -> Outcome<Ended<CommitOutcome>> {
    let store = s.as_bytes();
    let mut steps = Vec::new();
    for part in c.parts {
        steps.push(step!(CURRENT, store, part.dataset.as_bytes()));
    }
    if c.header.is_some() {
        steps.push(step!(HEADER_VERSION, store));
    }
    let mut reads = Vec::new();
    for part in c.parts {
        for (read, step) in part_reads(store, part)? {
            reads.push(read);
            steps.push(step);
        }
    }
    let mut pushed: BTreeMap<MailboxId, Vec<&Mail<'_>>> = BTreeMap::new();
    for mail in c.mail {
        pushed.entry(mail.mailbox).or_default().push(mail);
    }
    for (mailbox, mail) in &pushed {
        steps.push(step!(MAILBOX, store, mailbox.as_bytes()));
        for mail in mail {
            steps.push(step!(KNOWN, store, mailbox.as_bytes(), &mail.dedupe));
        }
    }
    let (mut write, mut found) = Write::begin(&conn, &s, attempt, steps).await?;

    let rows: Vec<_> = c.parts.iter().filter_map(|_| found.row()).collect();
    let held = currents(&rows)?;
    for part in c.parts {
        let current = held.get(&part.dataset);
        if current.map(|current| current.hash) != part.expect {
            return conflict(&write, part).await;
        }
        check_step(current.map_or(0, |current| current.seq), part)?;
    }
    if let Some(swap) = c.header {
        let version = number(&found.row().ok_or(StorageError::Corrupt)?, 0)?;
        if version != swap.expect {
            return Ok(Ended::Done(CommitOutcome::HeaderConflict { version }));
        }
    }

    let mut steps = Vec::new();
    for part in c.parts {
        let mut removed = false;
        for (read, _) in part_reads(store, part)? {
            let row = found.row().ok_or(StorageError::Corrupt)?;
            let gone = Total { count: number(&row, 0)?, bytes: number(&row, 1)? };
            match read {
                Read::Put => write.new.objects.sub(gone.count, gone.bytes),
                Read::Removed => {
                    removed = gone.count > 0;
                    write.new.objects.sub(gone.count, gone.bytes);
                }
                Read::Trimmed => write.new.datasets.sub(0, gone.bytes),
            }
        }
        apply(&mut write, part, held.get(&part.dataset), removed, &mut steps)?;
    }
    if !pushed.is_empty() {
        push(&mut write, &pushed, &mut found, c.quota, &mut steps)?;
    }
    if let Some(swap) = &c.header {
        write.new.header = Total { count: 1, bytes: len(swap.body) };
        steps.push(step!(SET_HEADER, store, to_int(swap.expect.saturating_add(1))?, swap.body));
    }
    check_quota(&write.old, &write.new, c.quota)?;
    if steps.is_empty() {
        return Ok(Ended::Done(CommitOutcome::Done));
    }
    write.end(steps, CommitOutcome::Done).await
}

fn slice(id: &[u8; 16]) -> &[u8] {
    id.as_slice()
}

fn objects<'a>(ids: impl Iterator<Item = &'a ObjectId>) -> Value<'a> {
    Value::Ids(ids.map(|id| slice(id.as_bytes())).collect())
}

/// The statements that measure what a part takes away, in their order.
fn part_reads<'a>(store: &'a [u8; 16], part: &'a Part<'a>) -> Outcome<Vec<(Read, Step<'a>)>> {
    let ds = part.dataset.as_bytes();
    let mut reads = Vec::new();
    match part.mode {
        Mode::Next => {
            if !part.puts.is_empty() {
                let ids = objects(part.puts.iter().map(|put| &put.object));
                reads.push((Read::Put, step!(MEASURE, store, ds, ids)));
            }
            if !part.removes.is_empty() {
                reads.push((Read::Removed, step!(MEASURE, store, ds, objects(part.removes.iter()))));
            }
        }
        Mode::Replace => reads.push((Read::Removed, step!(MEASURE_ALL, store, ds))),
    }
    if part.seq.get() > KEPT_HEADS {
        reads.push((Read::Trimmed, step!(MEASURE_HEADS, store, ds, oldest(part)?)));
    }
    Ok(reads)
}

/// The newest head that a part's own pushes out.
fn oldest(part: &Part<'_>) -> Outcome<i64> {
    to_int(part.seq.get().saturating_sub(KEPT_HEADS))
}

/// The head in force, without its bytes.
struct Current {
    seq: u64,
    hash: HeadHash,
    compacted: u64,
}

fn currents(rows: &[Row]) -> Outcome<BTreeMap<DatasetId, Current>> {
    let read = |row: &Row| {
        let current = Current { seq: number(row, 1)?, hash: HeadHash(array(row, 2)?), compacted: number(row, 3)? };
        Ok((DatasetId::from_bytes(array(row, 0)?), current))
    };
    rows.iter().map(read).collect()
}

/// Another head is in force; unless an earlier try put it there, or one before it.
async fn conflict(write: &Write<'_>, part: &Part<'_>) -> Outcome<Ended<CommitOutcome>> {
    let (store, ds) = (write.id(), part.dataset.as_bytes());
    let seq = to_int(part.seq.get())?;
    let mut found = write.conn.more(&[step!(HEAD, store, ds), step!(HASH_AT, store, ds, seq)]).await?;
    let head = head(found.row())?.map(|(head, _)| head);
    if write.attempt.unknown
        && let Some(row) = found.row()
        && array(&row, 0)? == part.hash.0
    {
        return Err(Fail::Done);
    }
    Ok(Ended::Done(CommitOutcome::Conflict { dataset: part.dataset, head }))
}

fn apply<'a>(
    write: &mut Write<'a>,
    part: &'a Part<'a>,
    current: Option<&Current>,
    removed: bool,
    steps: &mut Vec<Step<'a>>,
) -> Outcome<()> {
    let (store, ds) = (write.id(), part.dataset.as_bytes());
    let seq = to_int(part.seq.get())?;
    match part.mode {
        Mode::Replace if removed => steps.push(step!(DROP_ALL, store, ds)),
        Mode::Next if removed => {
            steps.extend(part.removes.iter().map(|object| step!(DROP, store, ds, object.as_bytes())));
        }
        Mode::Next | Mode::Replace => {}
    }
    put(store, ds, part.puts, steps)?;
    for object in part.puts {
        write.new.objects.add(1, len(object.body));
    }
    let compacted = if removed && current.is_some() { seq } else { to_int(current.map_or(0, |head| head.compacted))? };
    steps.push(step!(SET_HEAD, store, ds, seq, &part.hash.0, compacted));
    steps.push(step!(NEW_HEAD, store, ds, seq, &part.hash.0, part.head));
    write.new.datasets.add(u64::from(current.is_none()), len(part.head));
    if part.seq.get() > KEPT_HEADS {
        steps.push(step!(DROP_HEADS, store, ds, oldest(part)?));
    }
    Ok(())
}

/// Writes objects, many in a statement.
pub(super) fn put<'a>(
    store: &'a [u8; 16],
    ds: &'a [u8; 16],
    puts: &'a [Put<'a>],
    steps: &mut Vec<Step<'a>>,
) -> Outcome<()> {
    let mut rest = puts;
    for (count, sql) in BATCHES.into_iter().zip(PUT.iter()) {
        while let Some((now, later)) = rest.split_at_checked(count) {
            if now.is_empty() {
                break;
            }
            let mut step = step!(sql.as_str(), store, ds);
            for put in now {
                step.values.extend([
                    put.object.as_bytes().into(),
                    to_int(put.seq.get())?.into(),
                    i64::from(put.kind).into(),
                    (&put.body_hash).into(),
                    put.body.into(),
                ]);
            }
            steps.push(step);
            rest = later;
        }
    }
    Ok(())
}

/// Numbers mail and drops what is held already, as the memory backend does.
fn push<'a>(
    write: &mut Write<'a>,
    pushed: &'a BTreeMap<MailboxId, Vec<&'a Mail<'a>>>,
    found: &mut Answers,
    quota: &Quota,
    steps: &mut Vec<Step<'a>>,
) -> Outcome<()> {
    let store = write.id();
    for (mailbox, mail) in pushed {
        let (mut last, mut total) = match found.row() {
            Some(row) => (number(&row, 1)?, Total { count: number(&row, 2)?, bytes: number(&row, 3)? }),
            None => (0, Total::default()),
        };
        let mut known: BTreeSet<[u8; 16]> = BTreeSet::new();
        for row in mail.iter().filter_map(|_| found.row()) {
            known.insert(array(&row, 0)?);
        }
        let before = last;
        for mail in mail {
            if !known.insert(mail.dedupe) {
                continue;
            }
            last = last.saturating_add(1);
            total.add(1, len(mail.body));
            check_mailbox(total, quota)?;
            write.new.mail.add(1, len(mail.body));
            let (at, expires) = (to_int(mail.at.secs())?, to_int(mail.expires.secs())?);
            steps.push(step!(NEW_MAIL, store, mailbox.as_bytes(), to_int(last)?, &mail.dedupe, at, expires, mail.body));
        }
        if last > before {
            let (last, count, bytes) = (to_int(last)?, to_int(total.count)?, to_int(total.bytes)?);
            steps.push(step!(SET_MAILBOX, store, mailbox.as_bytes(), last, count, bytes));
        }
    }
    Ok(())
}

pub(super) async fn mail_ack(
    conn: Arc<Conn>,
    s: StoreId,
    m: MailboxId,
    upto: u64,
    attempt: Attempt,
) -> Outcome<Ended<u64>> {
    let upto = to_int(upto.min(MAX_SEQ))?;
    let ack = step!(ACK, s.as_bytes(), m.as_bytes(), upto);
    let (mut write, mut found) = Write::begin(&conn, &s, attempt, vec![ack]).await?;
    let mut gone = Total::default();
    for row in found.rows() {
        gone.add(1, length(&row, 0)?);
    }
    if gone.count == 0 {
        return Ok(Ended::Done(0));
    }
    write.new.mail.sub(gone.count, gone.bytes);
    let less = step!(LESS_MAIL, write.id(), m.as_bytes(), to_int(gone.count)?, to_int(gone.bytes)?);
    write.end(vec![less], gone.count).await
}

/// A column with the length of a body, which SQL gives as a shorter integer.
fn length(row: &Row, at: usize) -> Outcome<u64> {
    from_int(i64::from(column::<i32>(row, at)?))
}

pub(super) async fn mail_lapse(
    conn: Arc<Conn>,
    s: StoreId,
    now: Timestamp,
    attempt: Attempt,
) -> Outcome<Ended<Vec<(MailboxId, Total)>>> {
    let lapse = step!(LAPSE, s.as_bytes(), to_int(now.secs().min(MAX_SEQ))?);
    let (mut write, mut found) = Write::begin(&conn, &s, attempt, vec![lapse]).await?;
    let mut boxes: BTreeMap<MailboxId, Total> = BTreeMap::new();
    for row in found.rows() {
        boxes.entry(MailboxId::from_bytes(array(&row, 0)?)).or_default().add(1, length(&row, 1)?);
    }
    let mut steps = Vec::new();
    for (m, gone) in &boxes {
        write.new.mail.sub(gone.count, gone.bytes);
        steps.push(step!(LESS_MAIL, write.id(), m.as_bytes(), to_int(gone.count)?, to_int(gone.bytes)?));
    }
    let lapsed = boxes.iter().map(|(m, gone)| (*m, *gone)).collect();
    if steps.is_empty() { Ok(Ended::Done(lapsed)) } else { write.end(steps, lapsed).await }
}

/// The length of a blob and whether it is sealed.
fn blob(row: Option<Row>) -> Outcome<Option<(u64, bool)>> {
    row.map(|row| Ok((number(&row, 0)?, column::<i64>(&row, 1)? != 0))).transpose()
}

pub(super) async fn blob_append(
    conn: Arc<Conn>,
    s: StoreId,
    b: BlobId,
    at: u64,
    bytes: &[u8],
    q: &Quota,
    attempt: Attempt,
) -> Outcome<Ended<u64>> {
    let id = b.as_bytes();
    let (mut write, mut found) = Write::begin(&conn, &s, attempt, vec![step!(BLOB, s.as_bytes(), id)]).await?;
    let held = blob(found.row())?;
    let have = held.map_or(0, |(len, _)| len);
    if at != have {
        return Err(StorageError::WrongOffset { have }.into());
    }
    if held.is_some_and(|(_, sealed)| sealed) {
        return Err(StorageError::Invalid("the blob is sealed").into());
    }
    let new = have.saturating_add(len(bytes));
    if new > q.blob_len {
        return Err(StorageError::OverQuota(Class::Blobs).into());
    }
    write.new.blobs.add(u64::from(held.is_none()), len(bytes));
    check_quota(&write.old, &write.new, q)?;
    let store = write.id();
    let mut steps = vec![step!(SET_BLOB, store, id, to_int(new)?)];
    let (mut rest, mut at) = (bytes, have);
    while !rest.is_empty() {
        let inside = at % BLOB_PART;
        let room = usize::try_from(BLOB_PART.saturating_sub(inside)).unwrap_or(usize::MAX);
        let (now, later) = rest.split_at_checked(room).unwrap_or((rest, &[]));
        let sql = if inside == 0 { NEW_PART } else { LONGER_PART };
        steps.push(step!(sql, store, id, to_int(at / BLOB_PART)?, now));
        at = at.saturating_add(len(now));
        rest = later;
    }
    write.end(steps, new).await
}

pub(super) async fn blob_seal(
    conn: Arc<Conn>,
    s: StoreId,
    b: BlobId,
    len: u64,
    attempt: Attempt,
) -> Outcome<Ended<()>> {
    let id = b.as_bytes();
    let (write, mut found) = Write::begin(&conn, &s, attempt, vec![step!(BLOB, s.as_bytes(), id)]).await?;
    let (have, sealed) = blob(found.row())?.ok_or(StorageError::NotFound)?;
    if have != len {
        return Err(StorageError::WrongOffset { have }.into());
    }
    if sealed {
        return Ok(Ended::Done(()));
    }
    write.end(vec![step!(SEAL, write.id(), id)], ()).await
}

/// A small row: its place.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) table: Table,
    pub(super) key: RowKey,
}

pub(super) async fn swap_row(
    conn: Arc<Conn>,
    s: StoreId,
    place: Place,
    expect: Option<u64>,
    new: Option<&[u8]>,
    attempt: Attempt,
) -> Outcome<Ended<Swap>> {
    let (table, key) = (i64::from(place.table.number()), &place.key.0);
    let small = step!(SMALL, s.as_bytes(), table, key);
    let (mut write, mut found) = Write::begin(&conn, &s, attempt, vec![small]).await?;
    let held = found.row().map(|row| Ok::<_, Fail>((number(&row, 0)?, length(&row, 1)?))).transpose()?;
    let version = held.map(|(version, _)| version);
    if version != expect {
        return Ok(Ended::Done(Swap::Conflict(version)));
    }
    if let Some((_, bytes)) = held {
        write.new.rows.sub(1, bytes);
    }
    let Some(body) = new else {
        return match held {
            None => Ok(Ended::Done(Swap::Done(None))),
            Some(_) => write.end(vec![step!(DROP_SMALL, write.id(), table, key)], Swap::Done(None)).await,
        };
    };
    let version = expect.unwrap_or(0).saturating_add(1);
    write.new.rows.add(1, len(body));
    let set = step!(SET_SMALL, write.id(), table, key, to_int(version)?, body);
    write.end(vec![set], Swap::Done(Some(version))).await
}

/// On a connection of the shares, while the store is held.
pub(super) async fn share_put(conn: &Conn, s: StoreId, epoch: u32, share: &[u8; 32]) -> Outcome<()> {
    let store = s.as_bytes();
    let rows = conn.one(step!(SHARES, store)).await?.rows();
    for row in &rows {
        if column::<i64>(row, 0)? == i64::from(epoch) {
            return if array(row, 1)? == *share { Ok(()) } else { Err(StorageError::AlreadyExists.into()) };
        }
    }
    if rows.len() >= 2 {
        return Err(StorageError::Invalid("two epochs have a share already").into());
    }
    conn.one(step!(NEW_SHARE, store, i64::from(epoch), share)).await.map(drop)
}

pub(super) async fn share_drop(conn: &Conn, s: StoreId, epoch: u32) -> Outcome<()> {
    conn.one(step!(DROP_SHARE, s.as_bytes(), i64::from(epoch))).await.map(drop)
}

pub(super) async fn purge(conn: Arc<Conn>, s: StoreId, what: Purge<'_>, attempt: Attempt) -> Outcome<Ended<Total>> {
    let store = s.as_bytes();
    let first = match &what {
        Purge::Blob(b) => vec![step!(BLOB, store, b.as_bytes())],
        Purge::Dataset(d) => vec![
            step!(MEASURE_ALL, store, d.as_bytes()),
            step!(MEASURE_HEADS, store, d.as_bytes(), i64::MAX),
            step!(DROP_HEAD, store, d.as_bytes()),
        ],
        Purge::Mailbox(m) => vec![step!(MAILBOX, store, m.as_bytes())],
        Purge::Objects(d, asked) => {
            // an id asked for twice is one object
            let once: BTreeSet<_> = asked.iter().collect();
            vec![step!(MEASURE, store, d.as_bytes(), objects(once.into_iter()))]
        }
        Purge::Store | Purge::Traces => Vec::new(),
    };
    let (mut write, mut found) = Write::begin(&conn, &s, attempt, first).await?;
    let measured = |row: Option<Row>| {
        let row = row.ok_or(StorageError::Corrupt)?;
        Ok::<_, Fail>(Total { count: number(&row, 0)?, bytes: number(&row, 1)? })
    };
    let mut gone = Total::default();
    let steps = match &what {
        Purge::Blob(b) => {
            if let Some((len, _)) = blob(found.row())? {
                gone.add(1, len);
            }
            write.new.blobs.sub(gone.count, gone.bytes);
            vec![step!(DROP_PARTS, store, b.as_bytes()), step!(DROP_BLOB, store, b.as_bytes())]
        }
        Purge::Dataset(d) => {
            let (held, heads) = (measured(found.row())?, measured(found.row())?);
            let was = u64::from(found.row().is_some());
            write.new.objects.sub(held.count, held.bytes);
            write.new.datasets.sub(was, heads.bytes);
            gone = held;
            gone.add(was, heads.bytes);
            vec![step!(DROP_ALL, store, d.as_bytes()), step!(DROP_HEADS, store, d.as_bytes(), i64::MAX)]
        }
        Purge::Mailbox(m) => {
            if let Some(row) = found.row() {
                gone = Total { count: number(&row, 2)?, bytes: number(&row, 3)? };
            }
            write.new.mail.sub(gone.count, gone.bytes);
            vec![step!(DROP_MAIL, store, m.as_bytes()), step!(DROP_MAILBOX, store, m.as_bytes())]
        }
        Purge::Objects(d, asked) => {
            gone = measured(found.row())?;
            write.new.objects.sub(gone.count, gone.bytes);
            if gone.count == 0 {
                return Ok(Ended::Done(gone));
            }
            let mut steps: Vec<_> =
                asked.iter().map(|object| step!(DROP, store, d.as_bytes(), object.as_bytes())).collect();
            steps.push(step!(COMPACT, store, d.as_bytes()));
            steps
        }
        // freed pages are used again when the server likes; `purge_store` is the other one's
        Purge::Store | Purge::Traces => return Ok(Ended::Done(gone)),
    };
    write.end(steps, gone).await
}

/// Removes a store, and the aliases in its own database. The shares go first: what is left after an interruption opens
/// nothing.
pub(super) async fn purge_store(
    conn: Arc<Conn>,
    shares: Arc<Conn>,
    s: StoreId,
    attempt: Attempt,
) -> Outcome<Ended<Total>> {
    let store = s.as_bytes();
    let (write, _) = Write::begin(&conn, &s, attempt, Vec::new()).await.map_err(|fail| match fail {
        // gone, by an earlier try as far as anybody can tell
        Fail::Storage(StorageError::NotFound) if attempt.unknown => Fail::Done,
        other => other,
    })?;
    shares.one(step!(DROP_SHARES, store)).await?;
    let held = write.old;
    let classes = [held.blobs, held.datasets, held.header, held.mail, held.objects, held.rows];
    let gone = Total { count: classes.iter().map(|total| total.count).sum(), bytes: held.bytes() };
    let mut steps: Vec<_> = OF_STORE.into_iter().map(|sql| step!(sql, store)).collect();
    steps.push(step!(DROP_NAMES, store));
    conn.end(&steps, gone).await
}

/// Notes a time and adds to meters. An attempt whose outcome is not known is not repeated: nothing is charged twice.
pub(super) async fn note(
    conn: Arc<Conn>,
    now: Timestamp,
    usage: &[MeterRow],
    attempt: Attempt,
) -> Outcome<Ended<Timestamp>> {
    if attempt.unknown {
        return Err(StorageError::backend("the connection was lost while meters were written").into());
    }
    let capped = |value: u64| to_int(value.min(MAX_SEQ));
    let mut steps = vec![step!(NOTE, capped(now.secs())?)];
    for row in usage {
        let (day, count, bytes) = (capped(row.day)?, capped(row.total.count)?, capped(row.total.bytes)?);
        steps.push(step!(CHARGE, &row.meter, day, i64::from(row.class), count, bytes));
    }
    let noted = conn.begin(&steps).await?.row().ok_or(StorageError::Corrupt)?;
    conn.end(&[], Timestamp::from_secs(number(&noted, 0)?)).await
}

/// Deletes the sums of days before `day`.
pub(super) async fn meters_drop(conn: Arc<Conn>, day: u64) -> Outcome<u64> {
    let gone = conn.one(step!(DROP_METERS, to_int(day.min(MAX_SEQ))?)).await?.rows();
    Ok(u64::try_from(gone.len()).unwrap_or(u64::MAX))
}
