//! The export: a CBOR sequence `[1, log, size]`, per entry `[seq, salt, entry]` or, erased, `[seq, leaf hash]`, last the
//! checkpoint as a byte string. An excerpt begins with `[1, log, start, end, path]` instead.

use core::ops::Range;

use deedbox_cbor::{Item, Limits, Order, Writer, read_sequence};
use deedbox_cose::VerifyKey;
use deedbox_merkle::Tree;
use deedbox_model::Digest;

use crate::{
    AuditError, Checkpoint, LogId, Row, SaltedEntry,
    log::{Log, SALT_LEN},
};

/// A part of a log that was verified alone; made only by [`Excerpt::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    start: u64,
    rows: Vec<Row>,
    checkpoint: Checkpoint,
}

impl Excerpt {
    /// Reads and verifies what [`Log::excerpt`] wrote, at most 1 GiB: its numbers, its place in the log, the signature by
    /// `key`.
    ///
    /// # Errors
    /// [`AuditError::Malformed`], [`AuditError::Rejected`], [`AuditError::Gap`], [`AuditError::NotIncluded`] when the entries
    /// are not those of the log.
    pub fn verify(bytes: &[u8], key: &VerifyKey) -> Result<Self, AuditError> {
        let (head, items, checkpoint) = split(bytes)?;
        let (id, range, path) = excerpt_head(head).ok_or(AuditError::Malformed)?;
        let checkpoint = Checkpoint::verify(checkpoint, key)?;
        if checkpoint.log() != id {
            return Err(AuditError::Rejected);
        }
        let rows = rows(range.start, &items)?;
        if u64::try_from(rows.len()) != Ok(range.end.saturating_sub(range.start)) || rows.is_empty() {
            return Err(AuditError::Gap { seq: range.end });
        }
        let tree: Tree = rows.iter().map(|row| *row.leaf().as_bytes()).collect();
        checkpoint.includes_part(range.start, range.end, &Digest::from_bytes(tree.root()), &path)?;
        Ok(Self { start: range.start, rows, checkpoint })
    }

    /// The number of the first row.
    #[must_use]
    pub const fn start(&self) -> u64 {
        self.start
    }

    /// The rows in their order; an entry that is not shown looks like an erased one.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The state of the log it is part of.
    #[must_use]
    pub const fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }
}

pub(crate) fn write(log: &Log, checkpoint: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.array(3).uint(1).bytes(log.id().as_bytes()).uint(log.len());
    write_rows(&mut writer, 0, log.rows());
    writer.bytes(checkpoint);
    writer.into_vec()
}

pub(crate) fn write_excerpt(
    id: LogId,
    range: Range<u64>,
    path: &[[u8; 32]],
    rows: &[Row],
    checkpoint: &[u8],
) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.array(5).uint(1).bytes(id.as_bytes()).uint(range.start).uint(range.end).array(path.len());
    for hash in path {
        writer.bytes(hash);
    }
    write_rows(&mut writer, range.start, rows);
    writer.bytes(checkpoint);
    writer.into_vec()
}

fn write_rows(writer: &mut Writer, first: u64, rows: &[Row]) {
    for (seq, row) in (first..).zip(rows) {
        match row {
            Row::Erased(leaf) => {
                writer.array(2).uint(seq).bytes(leaf.as_bytes());
            }
            Row::Kept(entry) => {
                let (salt, entry) = entry.bytes().split_at_checked(SALT_LEN).unwrap_or_default();
                writer.array(3).uint(seq).bytes(salt).bytes(entry);
            }
        }
    }
}

pub(crate) fn read(bytes: &[u8], key: &VerifyKey) -> Result<(Log, Checkpoint), AuditError> {
    let (head, items, checkpoint) = split(bytes)?;
    let (id, size) = first(head).ok_or(AuditError::Malformed)?;
    let checkpoint = Checkpoint::verify(checkpoint, key)?;
    let log = Log::from_rows(id, rows(0, &items)?)?;
    if size != log.len() {
        return Err(AuditError::Gap { seq: log.len() });
    }
    log.matches(&checkpoint)?;
    Ok((log, checkpoint))
}

/// The first item of a file, the rows, and the checkpoint's bytes.
fn split(bytes: &[u8]) -> Result<(Item<'_>, Vec<Item<'_>>, &[u8]), AuditError> {
    let items = read_sequence(bytes, Order::Canonical, &Limits::new(MAX_EXPORT)).map_err(|_| AuditError::Malformed)?;
    let mut items = items.collect::<Vec<_>>().into_iter();
    let checkpoint = items.next_back().and_then(Item::as_bytes).ok_or(AuditError::Malformed)?;
    let head = items.next().ok_or(AuditError::Malformed)?;
    Ok((head, items.collect(), checkpoint))
}

/// Rows that must be numbered from `first` on.
fn rows(first: u64, items: &[Item<'_>]) -> Result<Vec<Row>, AuditError> {
    let row = |(seq, item): (u64, &Item<'_>)| {
        let (at, row) = row(*item)?;
        let is_at_place = at == seq && !matches!(&row, Row::Kept(entry) if entry.entry().seq != seq);
        if is_at_place { Ok(row) } else { Err(AuditError::Gap { seq }) }
    };
    (first..).zip(items).map(row).collect()
}

fn excerpt_head(item: Item<'_>) -> Option<(LogId, Range<u64>, Vec<[u8; 32]>)> {
    let [version, log, start, end, path] = item.as_array()?.exactly()?;
    if version.as_u64()? != 1 {
        return None;
    }
    let path = path.as_array()?.iter().map(Item::as_byte_array).collect::<Option<_>>()?;
    Some((LogId::from_bytes(log.as_byte_array()?), start.as_u64()?..end.as_u64()?, path))
}

fn first(item: Item<'_>) -> Option<(LogId, u64)> {
    let [version, log, size] = item.as_array()?.exactly()?;
    if version.as_u64()? != 1 {
        return None;
    }
    Some((LogId::from_bytes(log.as_byte_array()?), size.as_u64()?))
}

fn row(item: Item<'_>) -> Result<(u64, Row), AuditError> {
    let array = item.as_array().ok_or(AuditError::Malformed)?;
    if let Some([seq, leaf]) = array.exactly() {
        let parts = || Some((seq.as_u64()?, Row::Erased(Digest::from_bytes(leaf.as_byte_array()?))));
        return parts().ok_or(AuditError::Malformed);
    }
    let parts = || {
        let [seq, salt, entry] = array.exactly()?;
        let mut bytes = salt.as_byte_array::<SALT_LEN>()?.to_vec();
        bytes.extend_from_slice(entry.as_bytes()?);
        Some((seq.as_u64()?, bytes))
    };
    let (seq, bytes) = parts().ok_or(AuditError::Malformed)?;
    Ok((seq, Row::Kept(SaltedEntry::parse(&bytes)?)))
}

/// A log of a lifetime: a million entries.
const MAX_EXPORT: usize = 1024 * 1024 * 1024;
