//! The export: a CBOR sequence `[1, log, size]`, per entry `[seq, salt, entry]` or, erased, `[seq, leaf hash]`, last the
//! checkpoint as a byte string.

use deedbox_cbor::{Item, Limits, Order, Writer, read_sequence};
use deedbox_cose::VerifyKey;
use deedbox_model::Digest;

use crate::{
    AuditError, Checkpoint, LogId, Row, SaltedEntry,
    log::{Log, SALT_LEN},
};

pub(crate) fn write(log: &Log, checkpoint: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.array(3).uint(1).bytes(log.id().as_bytes()).uint(log.len());
    for (seq, row) in (0_u64..).zip(log.rows()) {
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
    writer.bytes(checkpoint);
    writer.into_vec()
}

pub(crate) fn read(bytes: &[u8], key: &VerifyKey) -> Result<(Log, Checkpoint), AuditError> {
    let limits = Limits::new(MAX_EXPORT);
    let mut items: Vec<Item<'_>> =
        read_sequence(bytes, Order::Canonical, &limits).map_err(|_| AuditError::Malformed)?.collect();
    let checkpoint = items.pop().and_then(Item::as_bytes).ok_or(AuditError::Malformed)?;
    let mut items = items.into_iter();
    let (id, size) = items.next().and_then(first).ok_or(AuditError::Malformed)?;
    let checkpoint = Checkpoint::verify(checkpoint, key)?;
    let mut rows = Vec::new();
    for (seq, item) in (0_u64..).zip(items) {
        let (at, row) = row(item)?;
        if at != seq {
            return Err(AuditError::Gap { seq });
        }
        rows.push(row);
    }
    let log = Log::from_rows(id, rows)?;
    if size != log.len() {
        return Err(AuditError::Gap { seq: log.len() });
    }
    log.matches(&checkpoint)?;
    Ok((log, checkpoint))
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
