//! Lists of operations out of any bytes, run against two backends that have to answer alike.

use std::fmt::Debug;

use deedbox_model::{BlobId, DatasetId, MailboxId, ObjectId, Seq, StoreId, StoreName, Timestamp};

use crate::{
    Commit, CommitOutcome, Cursor, HeadHash, HeaderSwap, Limit, MAX_SEQ, Mail, Mode, NewStore, Page, Part, Purge,
    Purged, Put, Quota, RowKey, Storage, StorageError, Table,
};

/// Reads operations out of bytes; an end reads as zeros.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// One of `0..n`.
    fn below(&mut self, n: u8) -> u8 {
        self.byte().checked_rem(n).unwrap_or(0)
    }

    fn id(&mut self, n: u8) -> [u8; 16] {
        [self.below(n); 16]
    }

    fn body(&mut self) -> Vec<u8> {
        let length = usize::from(self.byte());
        let filler = self.byte();
        vec![filler; if length > 250 { length * 40 } else { length }]
    }

    fn seq(&mut self, current: u64) -> Seq {
        let seq = match self.below(12) {
            0 => current,
            1 => current.saturating_add(2),
            2 => MAX_SEQ,
            3 => u64::MAX,
            _ => current.saturating_add(1),
        };
        Seq::new(seq).unwrap_or(Seq::FIRST)
    }

    fn quota(&mut self) -> Quota {
        match self.below(8) {
            0 => Quota { bytes: 2_000, objects: 3, datasets: 2, blob_len: 500, mailbox_items: 2, mailbox_bytes: 300 },
            _ => Quota::default(),
        }
    }
}

/// Whether both backends said the same.
fn same<T: Debug>(what: &str, a: Result<T, StorageError>, b: Result<T, StorageError>) -> Result<Option<T>, String> {
    let (left, right) = (format!("{a:?}"), format!("{b:?}"));
    if left == right { Ok(a.ok()) } else { Err(format!("{what}: {left} and {right}")) }
}

/// The stores and aliases that a list of operations may touch.
fn store(n: u8) -> StoreId {
    StoreId::from_bytes([n; 16])
}

/// Purges both; what erasure means is each backend's own to declare.
async fn purge<A: Storage, B: Storage>(a: &A, b: &B, s: StoreId, what: Purge<'_>) -> Result<(), String> {
    let removed = |purged: Purged| (purged.rows, purged.bytes);
    same("purge", a.purge(s, what).await.map(removed), b.purge(s, what).await.map(removed)).map(drop)
}

/// Runs the operations that `bytes` describe against two backends without stores, and says where they differ first.
/// At the end both have removed what was made.
///
/// # Errors
/// A line that names the operation and both answers.
pub async fn compare<A: Storage, B: Storage>(bytes: &[u8], a: &A, b: &B) -> Result<(), String> {
    let mut bytes = Bytes(bytes);
    let mut cursor = Cursor::START;
    let mut heads: u64 = 0;
    let mut steps = 0;
    macro_rules! both {
        ($name:ident($($arg:expr),*)) => {
            same(stringify!($name), a.$name($($arg),*).await, b.$name($($arg),*).await)?
        };
    }
    while !bytes.0.is_empty() && steps < 2_000 {
        steps += 1;
        let s = store(if bytes.below(6) == 0 { 1 } else { 0 });
        let d = DatasetId::from_bytes(bytes.id(3));
        let m = MailboxId::from_bytes(bytes.id(2));
        let blob = BlobId::from_bytes(bytes.id(2));
        let limit = Limit { rows: u32::from(bytes.below(5)), bytes: u64::from(bytes.byte()) };
        match bytes.below(28) {
            0 => {
                let (header, quota, owner) = (bytes.body(), bytes.quota(), bytes.body());
                let owner = Some((RowKey(bytes.id(3)), owner.as_slice()));
                let new = NewStore { header: &header, header_version: u64::from(bytes.byte()), owner, quota: &quota };
                both!(create(s, &new));
            }
            1 => {
                let name = StoreName::from_bytes(*store(bytes.below(4)).as_bytes());
                both!(resolve(name));
            }
            2 => {
                let alias = StoreName::from_bytes(*store(bytes.below(4)).as_bytes());
                let on = bytes.below(2) == 0;
                both!(set_alias(s, alias, on));
            }
            3 => {
                both!(header(s));
            }
            4 => {
                let after = Seq::new(u64::from(bytes.below(6)));
                both!(heads(s, d, after, limit.rows));
            }
            5 => {
                let ids: Vec<_> = (0..bytes.below(5)).map(|_| ObjectId::from_bytes(bytes.id(6))).collect();
                both!(get(s, d, &ids));
            }
            6 => {
                let at = match bytes.below(3) {
                    0 => Cursor::START,
                    1 => Cursor::after(Seq::new(u64::from(bytes.below(9))).unwrap_or(Seq::FIRST)),
                    _ => cursor,
                };
                if let Some(Page::Rows { next, .. }) = both!(changes(s, d, at, limit)) {
                    cursor = next.unwrap_or(Cursor::START);
                }
            }
            7 => {
                both!(index(s, d));
            }
            8 => {
                let at = if bytes.below(2) == 0 { 0 } else { u64::from(bytes.byte()) };
                let (body, quota) = (bytes.body(), bytes.quota());
                if let Err(StorageError::WrongOffset { have }) = a.blob_append(s, blob, at, &body, &quota).await {
                    same(
                        "blob_append",
                        Err::<u64, _>(StorageError::WrongOffset { have }),
                        b.blob_append(s, blob, at, &body, &quota).await,
                    )?;
                    both!(blob_append(s, blob, have, &body, &quota));
                } else {
                    // done or refused: the other has to follow
                    let _ = b.blob_append(s, blob, at, &body, &quota).await;
                    both!(blob_read(s, blob, 0..u64::MAX));
                }
            }
            9 => {
                let len = u64::from(bytes.byte());
                both!(blob_seal(s, blob, len));
            }
            10 => {
                let (start, end) = (u64::from(bytes.byte()), u64::from(bytes.byte()));
                both!(blob_read(s, blob, start..end));
            }
            11 => {
                let after = u64::from(bytes.below(8));
                both!(mail_list(s, m, after, limit));
            }
            12 => {
                let upto = u64::from(bytes.below(8));
                both!(mail_ack(s, m, upto));
            }
            13 => {
                let table = if bytes.below(2) == 0 { Table::Capabilities } else { Table::Settings };
                both!(rows(s, table));
            }
            14 => {
                let key = RowKey(bytes.id(3));
                let expect = Some(u64::from(bytes.below(4))).filter(|version| *version > 0);
                let body = bytes.body();
                let new = Some(body.as_slice()).filter(|_| bytes.below(4) > 0);
                both!(swap_row(s, Table::Capabilities, key, expect, new));
                both!(row(s, Table::Capabilities, key));
            }
            15 => {
                let (epoch, share) = (u32::from(bytes.below(4)), [bytes.below(2); 32]);
                both!(share_put(s, epoch, &share));
            }
            16 => {
                let epoch = u32::from(bytes.below(4));
                both!(share_drop(s, epoch));
                both!(share(s, epoch));
            }
            17 => {
                let objects = [ObjectId::from_bytes(bytes.id(6)), ObjectId::from_bytes(bytes.id(6))];
                let what = match bytes.below(12) {
                    0 => Purge::Store,
                    1 => Purge::Blob(blob),
                    2 => Purge::Dataset(d),
                    3 => Purge::Mailbox(m),
                    4 => Purge::Traces,
                    _ => Purge::Objects(d, &objects),
                };
                purge(a, b, s, what).await?;
            }
            18 => {
                both!(blob(s, blob));
            }
            19 => {
                both!(datasets(s));
            }
            20 => {
                let now = Timestamp::from_secs(u64::from(bytes.byte()));
                both!(mail_lapse(s, now));
                both!(mail_list(s, m, 0, limit));
            }
            21 => {
                let after = Some(store(bytes.below(3))).filter(|_| bytes.below(2) == 0);
                both!(stores(after, limit.rows));
            }
            _ => {
                let head = a.get(s, d, &[]).await.ok().map(|snapshot| snapshot.head);
                let current = head.as_ref().map_or(0, |head| head.seq.get());
                let seq = bytes.seq(current);
                let mode = if bytes.below(6) == 0 { Mode::Replace } else { Mode::Next };
                let expect = if bytes.below(10) == 0 { Some(HeadHash([9; 32])) } else { head.map(|head| head.hash) };
                heads = heads.saturating_add(1);
                let mut hash = [1; 32];
                for (to, from) in hash.iter_mut().zip(heads.to_be_bytes()) {
                    *to = from;
                }
                let count = bytes.below(5);
                let bodies: Vec<_> = (0..count).map(|_| (ObjectId::from_bytes(bytes.id(6)), bytes.body())).collect();
                let wrong = bytes.below(12) == 0;
                let puts: Vec<_> = bodies
                    .iter()
                    .map(|(object, body)| Put {
                        object: *object,
                        seq: if wrong { Seq::FIRST } else { seq },
                        kind: count,
                        body_hash: hash,
                        body,
                    })
                    .collect();
                let removes: Vec<_> = (0..bytes.below(3)).map(|_| ObjectId::from_bytes(bytes.id(6))).collect();
                let head = bytes.body();
                let part = Part {
                    dataset: d,
                    expect,
                    seq,
                    hash: HeadHash(hash),
                    head: &head,
                    mode,
                    puts: &puts,
                    removes: &removes,
                };
                let items: Vec<_> = (0..bytes.below(3)).map(|_| (bytes.id(5), bytes.body())).collect();
                let mail: Vec<_> = items
                    .iter()
                    .map(|(dedupe, body)| Mail {
                        mailbox: m,
                        dedupe: *dedupe,
                        at: Timestamp::from_secs(heads),
                        expires: Timestamp::from_secs(heads),
                        body,
                    })
                    .collect();
                let swap = bytes.body();
                let header =
                    Some(HeaderSwap { expect: u64::from(bytes.below(4)), body: &swap }).filter(|_| bytes.below(5) == 0);
                let quota = bytes.quota();
                let parts = [part];
                let parts = if bytes.below(8) == 0 { &[] } else { parts.as_slice() };
                let commit = Commit { parts, mail: &mail, header, quota: &quota };
                let outcome = both!(commit(s, &commit));
                if outcome == Some(CommitOutcome::Done) {
                    both!(index(s, d));
                }
            }
        }
        both!(usage(s));
    }
    for n in 0..2 {
        both!(check(store(n)));
        purge(a, b, store(n), Purge::Store).await?;
    }
    Ok(())
}
