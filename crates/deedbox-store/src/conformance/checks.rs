//! The checks. Each gets a fresh backend; `Err` says what did not hold, `Ok(Some)` why it was skipped.

use std::sync::Arc;

use deedbox_model::{BlobId, DatasetId, MailboxId, ObjectId, Seq, StoreId, StoreName, Timestamp};

use super::{Checked, Options, block_on, files_with, is_physical};
use crate::{
    BLOB_PART, Class, Commit, CommitOutcome, Cursor, HeadHash, HeaderSwap, KEPT_HEADS, Limit, MAX_SEQ, Mail,
    MemoryStorage, MeterRow, Mode, NewStore, Page, Part, Purge, Put, Quota, RowKey, Stamp, Storage, StorageError, Swap,
    Table, Total,
};

pub(super) type Outcome = Result<Option<&'static str>, String>;

macro_rules! ensure {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err(format!($($text)+));
        }
    };
}

pub(super) use ensure;

/// The value, or a line that says which operation failed how.
pub(super) trait Told<T> {
    fn told(self, what: &str) -> Result<T, String>;
}

impl<T> Told<T> for Result<T, StorageError> {
    fn told(self, what: &str) -> Result<T, String> {
        self.map_err(|error| format!("{what}: {}", error.code()))
    }
}

impl<T> Told<T> for Option<T> {
    fn told(self, what: &str) -> Result<T, String> {
        self.ok_or_else(|| what.to_owned())
    }
}

/// Whether an operation failed with the error of this code.
fn fails<T>(result: Result<T, StorageError>, code: &str, what: &str) -> Checked {
    match result {
        Ok(_) => Err(format!("{what}: done, not {code}")),
        Err(error) if error.code() == code => Ok(()),
        Err(error) => Err(format!("{what}: {}, not {code}", error.code())),
    }
}

pub(super) const S: StoreId = StoreId::from_bytes([0x51; 16]);
const T: StoreId = StoreId::from_bytes([0x52; 16]);
pub(super) const D: DatasetId = DatasetId::from_bytes([0xd1; 16]);
const E: DatasetId = DatasetId::from_bytes([0xd2; 16]);
pub(super) const M: MailboxId = MailboxId::from_bytes([0x31; 16]);
pub(super) const B: BlobId = BlobId::from_bytes([0xb1; 16]);
pub(super) const WHOLE: Limit = Limit { rows: u32::MAX, bytes: u64::MAX };

pub(super) fn object(n: u64) -> ObjectId {
    let mut id = [0x0b; 16];
    for (to, from) in id.iter_mut().zip(n.to_be_bytes()) {
        *to = from;
    }
    ObjectId::from_bytes(id)
}

fn seq(n: u64) -> Seq {
    Seq::new(n).unwrap_or(Seq::FIRST)
}

/// A hash for the head `n`; backends compare hashes and never compute them.
pub(super) fn hash(n: u64) -> HeadHash {
    let mut out = [0x4a; 32];
    for (to, from) in out.iter_mut().zip(n.to_be_bytes()) {
        *to = from;
    }
    HeadHash(out)
}

pub(super) fn put(n: u64, at: u64, body: &[u8]) -> Put<'_> {
    Put { object: object(n), seq: seq(at), kind: 1, body_hash: hash(n).0, body }
}

pub(super) fn next<'a>(dataset: DatasetId, at: u64, puts: &'a [Put<'a>], removes: &'a [ObjectId]) -> Part<'a> {
    let expect = at.checked_sub(1).filter(|before| *before > 0).map(hash);
    Part { dataset, expect, seq: seq(at), hash: hash(at), head: b"head", mode: Mode::Next, puts, removes }
}

pub(super) fn mail(dedupe: u8, body: &[u8]) -> Mail<'_> {
    let (at, expires) = (Timestamp::from_secs(1), Timestamp::from_secs(2));
    Mail { mailbox: M, dedupe: [dedupe; 16], at, expires, body }
}

pub(super) async fn create<S_: Storage>(storage: &S_, s: StoreId) -> Checked {
    let quota = Quota::default();
    let new = NewStore { header: b"header", header_version: 1, owner: None, quota: &quota };
    storage.create(s, &new).await.told("create")
}

pub(super) async fn commit<S_: Storage>(storage: &S_, s: StoreId, parts: &[Part<'_>], items: &[Mail<'_>]) -> Checked {
    let quota = Quota::default();
    let commit = Commit { parts, mail: items, header: None, quota: &quota };
    match storage.commit(s, &commit).await.told("commit")? {
        CommitOutcome::Done => Ok(()),
        CommitOutcome::Conflict { .. } => Err("commit: conflict".to_owned()),
        CommitOutcome::HeaderConflict { .. } => Err("commit: header conflict".to_owned()),
    }
}

/// Follows `changes` to its end.
async fn walk<S_: Storage>(storage: &S_, from: Cursor, limit: Limit) -> Result<Vec<(u64, ObjectId)>, String> {
    let mut at = from;
    let mut out = Vec::new();
    loop {
        match storage.changes(S, D, at, limit).await.told("changes")? {
            Page::Resync { .. } => return Err("resync within a walk without removals".to_owned()),
            Page::Rows { rows, next, .. } => {
                ensure!(!rows.is_empty() || next.is_none(), "an empty page that goes on");
                out.extend(rows.iter().map(|row| (row.seq.get(), row.object)));
                match next {
                    Some(next) => at = next,
                    None => return Ok(out),
                }
            }
        }
    }
}

pub(super) async fn r01_one_of_racing_writers_is_done<S_: Storage>(storage: Arc<S_>, _: &Options) -> Outcome {
    create(&*storage, S).await?;
    for round in 1..=8_u64 {
        let race = |writer: u64| {
            let storage = Arc::clone(&storage);
            move || {
                let body = writer.to_be_bytes();
                let puts = [put(writer, round, &body)];
                let won = HeadHash([u8::try_from(writer).unwrap_or(0); 32]);
                let part = Part { hash: if round == 8 { won } else { hash(round) }, ..next(D, round, &puts, &[]) };
                let quota = Quota::default();
                let commit = Commit { parts: &[part], mail: &[], header: None, quota: &quota };
                block_on(storage.commit(S, &commit))
            }
        };
        let threads: Vec<_> = (0..6).map(|writer| std::thread::spawn(race(writer))).collect();
        let mut done = 0;
        for thread in threads {
            match thread.join().map_err(|_| "a writer panicked".to_owned())?.told("commit")? {
                CommitOutcome::Done => done += 1,
                CommitOutcome::Conflict { head: Some(head), .. } => {
                    ensure!(head.seq.get() == round, "the conflict shows another head");
                }
                _ => return Err("a conflict without a head".to_owned()),
            }
        }
        ensure!(done == 1, "round {round}: {done} writers were done");
        let rows = storage.index(S, D).await.told("index")?.rows.len();
        ensure!(u64::try_from(rows).is_ok_and(|rows| rows <= round), "a loser's object was written");
    }
    Ok(None)
}

pub(super) async fn r01_a_commit_is_whole_or_nothing<S_: Storage>(storage: Arc<S_>, _: &Options) -> Outcome {
    create(&*storage, S).await?;
    let first = [put(1, 1, b"one")];
    commit(&*storage, S, &[next(D, 1, &first, &[]), next(E, 1, &first, &[])], &[]).await?;
    let usage = storage.usage(S).await.told("usage")?;
    let quota = Quota::default();
    let puts = [put(2, 2, b"two")];
    let good = next(D, 2, &puts, &[]);
    let stale = Part { expect: Some(hash(7)), ..next(E, 2, &puts, &[]) };
    let header = Some(HeaderSwap { expect: 1, body: b"new header" });
    let items = [mail(1, b"item")];
    let outcome = storage.commit(S, &Commit { parts: &[good, stale], mail: &items, header, quota: &quota }).await;
    ensure!(
        matches!(outcome.told("commit")?, CommitOutcome::Conflict { dataset, head: Some(_) } if dataset == E),
        "the stale part is not reported"
    );
    let other = Some(HeaderSwap { expect: 9, body: b"new header" });
    let outcome = storage.commit(S, &Commit { parts: &[good], mail: &items, header: other, quota: &quota }).await;
    ensure!(
        outcome.told("commit")? == CommitOutcome::HeaderConflict { version: 1 },
        "the stale header is not reported"
    );
    let small = Quota { mailbox_items: 0, ..quota };
    let outcome = storage.commit(S, &Commit { parts: &[good], mail: &items, header, quota: &small }).await;
    fails(outcome, "OverQuota", "mail beyond the quota")?;
    let snapshot = storage.get(S, D, &[object(2)]).await.told("get")?;
    ensure!(snapshot.head.seq.get() == 1 && snapshot.rows == [None], "a part was written");
    ensure!(storage.mail_list(S, M, 0, WHOLE).await.told("mail_list")?.is_empty(), "mail was pushed");
    ensure!(storage.header(S).await.told("header")?.value == b"header", "the header was written");
    ensure!(storage.usage(S).await.told("usage")? == usage, "the totals moved");
    Ok(None)
}

pub(super) async fn r02_sequence_numbers_follow<S_: Storage>(storage: Arc<S_>, _: &Options) -> Outcome {
    create(&*storage, S).await?;
    let quota = Quota::default();
    let try_parts =
        async |parts: &[Part<'_>]| storage.commit(S, &Commit { parts, mail: &[], header: None, quota: &quota }).await;
    let first = Part { expect: None, ..next(D, 2, &[], &[]) };
    fails(try_parts(&[first]).await, "Invalid", "a first head with number 2")?;
    commit(&*storage, S, &[next(D, 1, &[], &[])], &[]).await?;
    let skipping = Part { expect: Some(hash(1)), ..next(D, 3, &[], &[]) };
    fails(try_parts(&[skipping]).await, "Invalid", "a number left out")?;
    let puts = [put(1, 1, b"")];
    fails(try_parts(&[next(D, 2, &puts, &[])]).await, "Invalid", "an object with an old number")?;
    let puts = [put(1, 2, b""), put(1, 2, b"")];
    fails(try_parts(&[next(D, 2, &puts, &[])]).await, "Invalid", "an object put twice")?;
    let puts = [put(1, 2, b"")];
    fails(try_parts(&[next(D, 2, &puts, &[object(1)])]).await, "Invalid", "an object put and removed")?;
    fails(try_parts(&[next(D, 2, &[], &[]), next(D, 2, &[], &[])]).await, "Invalid", "a dataset in two parts")?;
    let same = Part { mode: Mode::Replace, expect: Some(hash(1)), ..next(D, 1, &[], &[]) };
    fails(try_parts(&[same]).await, "Invalid", "a replacement with the same number")?;
    commit(&*storage, S, &[next(D, 2, &[put(1, 2, b"")], &[])], &[]).await?;
    Ok(None)
}

pub(super) async fn r02_replace_exchanges_everything<S_: Storage>(storage: Arc<S_>, _: &Options) -> Outcome {
    create(&*storage, S).await?;
    commit(&*storage, S, &[next(D, 1, &[put(1, 1, b"one"), put(2, 1, b"two")], &[])], &[]).await?;
    let puts = [put(3, 4, b"three"), put(1, 2, b"newer")];
    let part = Part { mode: Mode::Replace, expect: Some(hash(1)), ..next(D, 9, &puts, &[]) };
    commit(&*storage, S, &[part], &[]).await?;
    let index = storage.index(S, D).await.told("index")?;
    let held: Vec<_> = index.rows.iter().map(|row| (row.object, row.seq.get())).collect();
    ensure!(index.head.seq.get() == 9 && held == [(object(1), 2), (object(3), 4)], "the content is not the new one");
    let old = Cursor::after(seq(1));
    let page = storage.changes(S, D, old, WHOLE).await.told("changes")?;
    ensure!(matches!(page, Page::Resync { .. }), "a cursor from before goes on");
    // a dataset may begin with a replacement: a store that moved in
    let part = Part { mode: Mode::Replace, expect: None, ..next(E, 12, &[], &[]) };
    commit(&*storage, S, &[part], &[]).await?;
    Ok(None)
}

pub(super) async fn r04_pages_skip_nothing_while_others_write<S_: Storage>(storage: Arc<S_>, _: &Options) -> Outcome {
    create(&*storage, S).await?;
    let body = [7_u8; 40];
    let many: Vec<_> = (0..60).map(|n| put(n, 1, &body)).collect();
    commit(&*storage, S, &[next(D, 1, &many, &[])], &[]).await?;
    let limit = Limit { rows: 7, bytes: u64::MAX };
    let mut at = Cursor::START;
    let mut seen = std::collections::BTreeMap::new();
    let mut writes = 1;
    loop {
        let Page::Rows { rows, next: following, head } = storage.changes(S, D, at, limit).await.told("changes")? else {
            return Err("resync without a removal".to_owned());
        };
        ensure!(head.seq.get() == writes, "the page names another head");
        for row in rows {
            let newer = seen.insert(row.object, row.seq).is_none_or(|before| before < row.seq);
            ensure!(newer, "an object came twice with the same number");
        }
        match following {
            Some(following) => at = following,
            None => break,
        }
        if writes < 12 {
            writes += 1;
            // one that was seen, one that was not, one that is new
            let puts = [put(0, writes, &body), put(59, writes, &body), put(100 + writes, writes, &body)];
            commit(&*storage, S, &[next(D, writes, &puts, &[])], &[]).await?;
        }
    }
    let index = storage.index(S, D).await.told("index")?;
    let all = index.rows.iter().all(|row| seen.get(&row.object) == Some(&row.seq));
    ensure!(all && seen.len() == index.rows.len(), "the walk missed an object");
    let later = storage.changes(S, D, Cursor::after(index.head.seq), limit).await.told("changes")?;
    ensure!(matches!(later, Page::Rows { rows, next: None, .. } if rows.is_empty()), "something is left after the end");
    Ok(None)
}

pub(super) async fn r04_removal_means_resync<S_: Storage>(storage: Arc<S_>, _: &Options) -> Outcome {
    create(&*storage, S).await?;
    let many: Vec<_> = (0..6).map(|n| put(n, 1, b"body")).collect();
    commit(&*storage, S, &[next(D, 1, &many, &[])], &[]).await?;
    let two = Limit { rows: 2, bytes: u64::MAX };
    let Page::Rows { next: Some(inside), .. } = storage.changes(S, D, Cursor::START, two).await.told("changes")? else {
        return Err("no second page".to_owned());
    };
    commit(&*storage, S, &[next(D, 2, &[], &[object(5), object(77)])], &[]).await?;
    for cursor in [inside, Cursor::after(seq(1))] {
        let page = storage.changes(S, D, cursor, two).await.told("changes")?;
        ensure!(matches!(page, Page::Resync { head } if head.seq.get() == 2), "a removal left a hole");
    }
    ensure!(walk(&*storage, Cursor::START, two).await?.len() == 5, "a walk from the start does not end");
    ensure!(walk(&*storage, Cursor::after(seq(2)), two).await?.is_empty(), "a cursor behind the removal");
    // removing what is not there is no removal
    commit(&*storage, S, &[next(D, 3, &[put(8, 3, b"")], &[object(77)])], &[]).await?;
    ensure!(walk(&*storage, Cursor::after(seq(2)), two).await? == [(3, object(8))], "an empty removal counts");
    Ok(None)
}

pub(super) async fn r05_pages_keep_their_limits<S_: Storage>(storage: Arc<S_>, _: &Options) -> Outcome {
    create(&*storage, S).await?;
    let body = [1_u8; 100];
    let many: Vec<_> = (0..20).map(|n| put(n, 1, &body)).collect();
    let items: Vec<_> = (0..20).map(|n| mail(n, &body)).collect();
    commit(&*storage, S, &[next(D, 1, &many, &[])], &items).await?;
    for (limit, most) in [
        (Limit { rows: 3, bytes: 10_000 }, 3),
        (Limit { rows: 100, bytes: 250 }, 2),
        (Limit { rows: 100, bytes: 1 }, 1),
        (Limit { rows: 0, bytes: 0 }, 1),
        (WHOLE, 20),
    ] {
        let Page::Rows { rows, .. } = storage.changes(S, D, Cursor::START, limit).await.told("changes")? else {
            return Err("resync at the start".to_owned());
        };
        ensure!(rows.len() == most, "changes: {} rows, not {most}", rows.len());
        let rows = storage.mail_list(S, M, 0, limit).await.told("mail_list")?;
        ensure!(rows.len() == most, "mail: {} rows, not {most}", rows.len());
        ensure!(walk(&*storage, Cursor::START, limit).await?.len() == 20, "a walk loses rows");
    }
    Ok(None)
}

pub(super) async fn r05_the_last_page_of_100000<S_: Storage>(storage: Arc<S_>, _: &Options) -> Outcome {
    create(&*storage, S).await?;
    for at in 1..=10_u64 {
        let many: Vec<_> = (0..10_000).map(|n| put(at * 10_000 + n, at, b"body")).collect();
        commit(&*storage, S, &[next(D, at, &many, &[])], &[]).await?;
    }
    let found = walk(&*storage, Cursor::START, Limit::default()).await?.len();
    ensure!(found == 100_000, "{found} objects");
    Ok(None)
}

pub(super) async fn r06_mail_is_numbered_without_gaps<S_: Storage>(storage: Arc<S_>, _: &Options) -> Outcome {
    create(&*storage, S).await?;
    commit(&*storage, S, &[], &[mail(1, b"a"), mail(2, b"bb")]).await?;
    ensure!(storage.mail_ack(S, M, 2).await.told("mail_ack")? == 2, "ack does not count");
    ensure!(storage.mail_ack(S, M, 2).await.told("mail_ack")? == 0, "ack counts twice");
    commit(&*storage, S, &[], &[mail(3, b"ccc"), mail(4, b"")]).await?;
    let rows = storage.mail_list(S, M, 0, WHOLE).await.told("mail_list")?;
    let held: Vec<_> = rows.iter().map(|row| (row.n, row.dedupe, row.body.len(), row.expires.secs())).collect();
    ensure!(held == [(3, [3; 16], 3, 2), (4, [4; 16], 0, 2)], "numbers do not go on after an ack");
    ensure!(storage.mail_list(S, M, 3, WHOLE).await.told("mail_list")?.len() == 1, "`after` is inclusive");
    ensure!(storage.mail_ack(S, M, u64::MAX).await.told("mail_ack")? == 2, "ack of everything");
    ensure!(storage.usage(S).await.told("usage")?.mail.count == 0, "the totals keep acknowledged mail");
    Ok(None)
}

pub(super) async fn r06_mail_is_deduplicated<S_: Storage>(storage: Arc<S_>, _: &Options) -> Outcome {
    create(&*storage, S).await?;
    commit(&*storage, S, &[], &[mail(1, b"first"), mail(1, b"second"), mail(2, b"other")]).await?;
    commit(&*storage, S, &[], &[mail(2, b"again"), mail(1, b"third"), mail(3, b"new")]).await?;
    let rows = storage.mail_list(S, M, 0, WHOLE).await.told("mail_list")?;
    let held: Vec<_> = rows.iter().map(|row| (row.n, row.body.as_slice())).collect();
    ensure!(held == [(1, b"first".as_slice()), (2, b"other"), (3, b"new")], "a repeated item changed something");
    let usage = storage.usage(S).await.told("usage")?.mail;
    ensure!(usage.count == 3 && usage.bytes == 13, "a repeated item was counted");
    Ok(None)
}

pub(super) async fn r07_stores_do_not_touch<S_: Storage>(storage: Arc<S_>, _: &Options) -> Outcome {
    create(&*storage, S).await?;
    create(&*storage, T).await?;
    commit(&*storage, S, &[next(D, 1, &[put(1, 1, b"of s")], &[])], &[mail(1, b"of s")]).await?;
    commit(&*storage, T, &[next(D, 1, &[put(1, 1, b"of t")], &[])], &[mail(1, b"of t")]).await?;
    storage.share_put(S, 1, &[1; 32]).await.told("share_put")?;
    let before = storage.usage(S).await.told("usage")?;
    fails(
        storage.create(T, &NewStore { header: b"", header_version: 1, owner: None, quota: &Quota::default() }).await,
        "AlreadyExists",
        "a store made twice",
    )?;
    commit(&*storage, T, &[next(D, 2, &[put(2, 2, b"more")], &[object(1)])], &[mail(2, b"more")]).await?;
    ensure!(storage.share(T, 1).await.told("share")?.is_none(), "a share of another store");
    let gone = storage.purge(T, Purge::Store).await.told("purge")?;
    ensure!(gone.rows > 0, "the purge counts nothing");
    ensure!(storage.usage(S).await.told("usage")? == before, "the totals moved");
    let snapshot = storage.get(S, D, &[object(1), object(2)]).await.told("get")?;
    let bodies: Vec<_> = snapshot.rows.iter().map(|row| row.as_ref().map(|row| row.body.as_slice())).collect();
    ensure!(bodies == [Some(b"of s".as_slice()), None], "the objects of another store");
    ensure!(storage.share(S, 1).await.told("share")? == Some([1; 32]), "the share of another store");
    fails(storage.usage(T).await, "NotFound", "a purged store")?;
    create(&*storage, T).await?;
    fails(storage.index(T, D).await, "NotFound", "a dataset of a store made anew")?;
    Ok(None)
}

pub(super) async fn r07_unknown_is_not_found<S_: Storage>(storage: Arc<S_>, _: &Options) -> Outcome {
    let quota = Quota::default();
    let commit = Commit { parts: &[], mail: &[], header: None, quota: &quota };
    fails(storage.header(S).await, "NotFound", "header")?;
    fails(storage.commit(S, &commit).await, "NotFound", "commit")?;
    fails(storage.rows(S, Table::Settings).await, "NotFound", "rows")?;
    fails(storage.share(S, 0).await, "NotFound", "share")?;
    fails(storage.share_put(S, 0, &[0; 32]).await, "NotFound", "share_put")?;
    fails(storage.share_drop(S, 0).await, "NotFound", "share_drop")?;
    fails(storage.set_alias(S, StoreName::from_bytes([1; 16]), true).await, "NotFound", "set_alias")?;
    fails(storage.purge(S, Purge::Store).await, "NotFound", "purge")?;
    fails(storage.usage(S).await, "NotFound", "usage")?;
    ensure!(storage.resolve(S.into()).await.told("resolve")?.is_none(), "an unknown name resolves");
    create(&*storage, S).await?;
    fails(storage.get(S, D, &[]).await, "NotFound", "get")?;
    fails(storage.heads(S, D, None, 1).await, "NotFound", "heads")?;
    fails(storage.changes(S, D, Cursor::START, WHOLE).await, "NotFound", "changes")?;
    fails(storage.index(S, D).await, "NotFound", "index")?;
    fails(storage.blob_seal(S, B, 0).await, "NotFound", "blob_seal")?;
    fails(storage.blob_read(S, B, 0..1).await, "NotFound", "blob_read")?;
    ensure!(storage.mail_list(S, M, 0, WHOLE).await.told("mail_list")?.is_empty(), "an unknown mailbox holds mail");
    ensure!(storage.mail_ack(S, M, 9).await.told("mail_ack")? == 0, "an unknown mailbox is acknowledged");
    ensure!(storage.row(S, Table::Settings, RowKey([0; 16])).await.told("row")?.is_none(), "an unknown row");
    for what in [Purge::Objects(D, &[object(1)]), Purge::Dataset(D), Purge::Blob(B), Purge::Mailbox(M)] {
        ensure!(storage.purge(S, what).await.told("purge")?.rows == 0, "an absent thing was removed");
    }
    Ok(None)
}

pub(super) async fn r08_totals_are_exact<S_: Storage>(storage: Arc<S_>, _: &Options) -> Outcome {
    create(&*storage, S).await?;
    commit(&*storage, S, &[next(D, 1, &[put(1, 1, b"12345"), put(2, 1, b"123")], &[])], &[mail(1, b"1234")]).await?;
    commit(&*storage, S, &[next(D, 2, &[put(1, 2, b"1")], &[object(2)])], &[]).await?;
    storage.blob_append(S, B, 0, b"123456", &Quota::default()).await.told("blob_append")?;
    let made = storage.swap_row(S, Table::Settings, RowKey([1; 16]), None, Some(b"12")).await.told("swap_row")?;
    ensure!(made == Swap::Done(Some(1)), "the row is not made");
    let usage = storage.usage(S).await.told("usage")?;
    let held = [usage.header, usage.datasets, usage.objects, usage.mail, usage.blobs, usage.rows];
    let held = held.map(|total| (total.count, total.bytes));
    ensure!(held == [(1, 6), (1, 8), (1, 1), (1, 4), (1, 6), (1, 2)], "totals {held:?}");
    ensure!(usage.bytes() == 27, "the sum of the totals");
    storage.check(S).await.told("check")?;
    for what in [Purge::Objects(D, &[object(1)]), Purge::Dataset(D), Purge::Blob(B), Purge::Mailbox(M)] {
        storage.purge(S, what).await.told("purge")?;
    }
    let usage = storage.usage(S).await.told("usage")?;
    ensure!(usage.bytes() == 8 && usage.datasets.count == 0, "the totals after a purge");
    storage.check(S).await.told("check")?;
    fails(storage.check(T).await, "NotFound", "a check of no store")?;
    Ok(None)
}

pub(super) async fn r08_quota_is_kept_in_a_race<S_: Storage>(storage: Arc<S_>, _: &Options) -> Outcome {
    create(&*storage, S).await?;
    let quota = Quota { objects: 5, ..Quota::default() };
    let race = |n: u64| {
        let storage = Arc::clone(&storage);
        move || {
            let dataset = DatasetId::from_bytes([u8::try_from(n).unwrap_or(0); 16]);
            let puts = [put(n, 1, b"body")];
            let parts = [next(dataset, 1, &puts, &[])];
            block_on(storage.commit(S, &Commit { parts: &parts, mail: &[], header: None, quota: &quota }))
        }
    };
    let threads: Vec<_> = (1..=9).map(|n| std::thread::spawn(race(n))).collect();
    let mut done = 0;
    for thread in threads {
        match thread.join().map_err(|_| "a writer panicked".to_owned())? {
            Ok(CommitOutcome::Done) => done += 1,
            Err(StorageError::OverQuota(Class::Objects)) => {}
            other => return Err(format!("neither done nor over quota: {other:?}")),
        }
    }
    let held = storage.usage(S).await.told("usage")?.objects.count;
    ensure!(done == 5 && held == 5, "{done} commits, {held} objects, quota 5");
    // what is over may shrink
    let none = Quota { objects: 0, bytes: 0, ..quota };
    let dataset = (1..=9).map(|n| DatasetId::from_bytes([n; 16]));
    for dataset in dataset {
        let Ok(index) = storage.index(S, dataset).await else { continue };
        let gone: Vec<_> = index.rows.iter().map(|row| row.object).collect();
        let part = Part { head: b"", ..next(dataset, 2, &[], &gone) };
        let outcome = storage.commit(S, &Commit { parts: &[part], mail: &[], header: None, quota: &none }).await;
        ensure!(outcome.told("commit")? == CommitOutcome::Done, "a full store cannot shrink");
    }
    Ok(None)
}

pub(super) async fn r09_no_removed_byte_is_left<S_: Storage>(storage: Arc<S_>, options: &Options) -> Outcome {
    let Some(folder) = &options.folder else { return Ok(Some("no folder to search")) };
    create(&*storage, S).await?;
    // what is removed is told from what stays; sizes from one cell to many pages
    let body = |mark: u8, n: u64| {
        let length = usize::try_from(n * n * 7 % 9_000).unwrap_or(0);
        let mut body = vec![mark; 24 + length];
        for (to, from) in body.iter_mut().zip(n.to_be_bytes()) {
            *to = from;
        }
        body
    };
    let gone = [0xa7_u8; 16];
    let bodies: Vec<_> = (0..400).map(|n| body(if n % 3 == 0 { 0x4b } else { 0xa7 }, n)).collect();
    let puts: Vec<_> = (0..).zip(&bodies).map(|(n, body)| put(n, 1, body)).collect();
    let items: Vec<_> = (0..40).map(|n| mail(n, &gone)).collect();
    commit(&*storage, S, &[next(D, 1, &puts, &[])], &items).await?;
    let dataset: Vec<_> = (0..50).map(|n| put(n, 1, &gone)).collect();
    commit(&*storage, S, &[next(E, 1, &dataset, &[])], &[]).await?;
    storage.blob_append(S, B, 0, &[0xa7; 70_000], &Quota::default()).await.told("blob_append")?;
    ensure!(
        !files_with(folder, &gone).map_err(|_| "a file cannot be read")?.is_empty(),
        "the search finds nothing at all"
    );
    let removes: Vec<_> = (0..400).filter(|n| n % 3 == 1).map(object).collect();
    let overwritten: Vec<_> = (0..400).filter(|n| n % 9 == 2).map(|n| put(n, 2, b"other")).collect();
    commit(&*storage, S, &[next(D, 2, &overwritten, &removes)], &[]).await?;
    let rest: Vec<_> = (0..400).filter(|n| n % 3 == 2 && n % 9 != 2).map(object).collect();
    for what in [Purge::Objects(D, &rest), Purge::Dataset(E), Purge::Blob(B)] {
        storage.purge(S, what).await.told("purge")?;
    }
    storage.mail_ack(S, M, u64::MAX).await.told("mail_ack")?;
    let purged = storage.purge(S, Purge::Traces).await.told("purge")?;
    if !is_physical(purged.erasure) {
        return Ok(Some("the backend declares logical erasure"));
    }
    let found = files_with(folder, &gone).map_err(|_| "a file cannot be read")?;
    ensure!(found.is_empty(), "removed bytes are left in {} files", found.len());
    ensure!(!files_with(folder, &[0x4b; 16]).map_err(|_| "a file cannot be read")?.is_empty(), "kept bytes are gone");
    storage.purge(S, Purge::Store).await.told("purge")?;
    ensure!(files_with(folder, &[0x4b; 16]).map_err(|_| "a file cannot be read")?.is_empty(), "a purged store is left");
    Ok(None)
}

pub(super) async fn r10_two_shares_at_most<S_: Storage>(storage: Arc<S_>, _: &Options) -> Outcome {
    create(&*storage, S).await?;
    storage.share_put(S, 1, &[1; 32]).await.told("share_put")?;
    storage.share_put(S, 1, &[1; 32]).await.told("the same share again")?;
    fails(storage.share_put(S, 1, &[2; 32]).await, "AlreadyExists", "another share of the epoch")?;
    storage.share_put(S, u32::MAX, &[2; 32]).await.told("share_put")?;
    fails(storage.share_put(S, 3, &[3; 32]).await, "Invalid", "a third epoch")?;
    storage.share_drop(S, 1).await.told("share_drop")?;
    storage.share_drop(S, 1).await.told("dropping twice")?;
    storage.share_put(S, 3, &[3; 32]).await.told("share_put")?;
    let held = [storage.share(S, 1).await, storage.share(S, 3).await, storage.share(S, u32::MAX).await];
    let held: Vec<_> = held.into_iter().collect::<Result<_, _>>().told("share")?;
    ensure!(held == [None, Some([3; 32]), Some([2; 32])], "the shares are others");
    Ok(None)
}

pub(super) async fn r11_time_and_meters_are_kept<S_: Storage>(storage: Arc<S_>, _: &Options) -> Outcome {
    let at = Timestamp::from_secs;
    let row = |day, class, count, bytes| MeterRow { meter: [7; 16], day, class, total: Total { count, bytes } };
    ensure!(storage.note(at(0), &[]).await.told("note")? == at(0), "a time before any was noted");
    let usage = [row(3, 2, 1, 10), row(3, 1, 1, 5), row(3, 2, 1, 1), row(2, 1, 4, 0)];
    ensure!(storage.note(at(500), &usage).await.told("note")? == at(500), "the time noted");
    ensure!(storage.note(at(400), &[row(3, 2, 2, 2)]).await.told("note")? == at(500), "time went back");
    ensure!(storage.note(at(0), &[]).await.told("note")? == at(500), "the time that is read");
    let sums = storage.meter([7; 16]).await.told("meter")?;
    ensure!(sums == [row(2, 1, 4, 0), row(3, 1, 1, 5), row(3, 2, 4, 13)], "sums {sums:?}");
    ensure!(storage.meter([8; 16]).await.told("meter")?.is_empty(), "another meter's sums");
    ensure!(storage.meters_drop(3).await.told("meters_drop")? == 1, "how many days went");
    ensure!(storage.meters_drop(3).await.told("meters_drop")? == 0, "days that went twice");
    storage.note(at(u64::MAX), &[row(u64::MAX, u8::MAX, u64::MAX, u64::MAX)]).await.told("note")?;
    storage.note(at(1), &[row(u64::MAX, u8::MAX, 1, 1)]).await.told("note")?;
    let sums = storage.meter([7; 16]).await.told("meter")?;
    ensure!(sums.last() == Some(&row(MAX_SEQ, u8::MAX, MAX_SEQ, MAX_SEQ)), "sums end at 2^63 - 1");
    ensure!(storage.note(at(0), &[]).await.told("note")? == at(MAX_SEQ), "times end at 2^63 - 1");
    Ok(None)
}

pub(super) async fn r12_a_stamp_changes_with_the_store<S_: Storage>(storage: Arc<S_>, _: &Options) -> Outcome {
    let quota = Quota::default();
    let mut seen = Vec::new();
    macro_rules! changes {
        ($what:literal, $change:expr) => {
            seen.extend(storage.stamp(S).await.told("stamp")?);
            let _ = $change.await.told($what)?;
            let stamp = storage.stamp(S).await.told("stamp")?;
            ensure!(stamp.is_none_or(|stamp| !seen.contains(&stamp)), "{}: a stamp from before", $what);
        };
    }
    let new = NewStore { header: b"header", header_version: 1, owner: None, quota: &quota };
    changes!("create", storage.create(S, &new));
    let (first, second) = ([put(1, 1, b"one")], [put(2, 2, b"two")]);
    let (first, second) = ([next(D, 1, &first, &[])], [next(D, 2, &second, &[])]);
    let commit = Commit { parts: &first, mail: &[mail(1, b"item"), mail(2, b"item")], header: None, quota: &quota };
    changes!("commit", storage.commit(S, &commit));
    changes!("commit", storage.commit(S, &Commit { parts: &second, mail: &[], header: None, quota: &quota }));
    let header = Some(HeaderSwap { expect: 1, body: b"new header" });
    changes!("a new header", storage.commit(S, &Commit { parts: &[], mail: &[], header, quota: &quota }));
    changes!("mail_ack", storage.mail_ack(S, M, 1));
    changes!("mail_lapse", storage.mail_lapse(S, Timestamp::from_secs(9)));
    changes!("blob_append", storage.blob_append(S, B, 0, b"bytes", &quota));
    changes!("blob_seal", storage.blob_seal(S, B, 5));
    let key = RowKey([1; 16]);
    changes!("a row", storage.swap_row(S, Table::Capabilities, key, None, Some(b"row")));
    changes!("a row changed", storage.swap_row(S, Table::Capabilities, key, Some(1), Some(b"other")));
    changes!("a row deleted", storage.swap_row(S, Table::Capabilities, key, Some(2), None));
    changes!("objects purged", storage.purge(S, Purge::Objects(D, &[object(1)])));
    changes!("a blob purged", storage.purge(S, Purge::Blob(B)));
    changes!("a dataset purged", storage.purge(S, Purge::Dataset(D)));
    changes!("the store purged", storage.purge(S, Purge::Store));
    ensure!(storage.stamp(S).await.told("stamp")?.is_none(), "a store that is gone has a stamp");
    changes!("create again", storage.create(S, &new));

    // what is read between two equal stamps is the same whenever they are
    let writes = 60;
    let writer = {
        let storage = Arc::clone(&storage);
        std::thread::spawn(move || {
            (1..=writes).try_for_each(|at| block_on(self::commit(&*storage, S, &[next(D, at, &[], &[])], &[])))
        })
    };
    let mut read: Vec<(Stamp, u64)> = Vec::new();
    let mut newest = 0;
    while newest < writes && !(writer.is_finished() && newest == 0) {
        let before = storage.stamp(S).await.told("stamp")?;
        newest = match storage.get(S, D, &[]).await {
            Ok(snapshot) => snapshot.head.seq.get(),
            Err(StorageError::NotFound) => 0,
            Err(error) => return Err(format!("get: {}", error.code())),
        };
        if let Some(stamp) = before
            && storage.stamp(S).await.told("stamp")? == before
        {
            let held = read.iter().find(|(held, _)| *held == stamp).map_or(newest, |(_, newest)| *newest);
            ensure!(held == newest, "heads {held} and {newest} under one stamp");
            read.push((stamp, newest));
        }
    }
    writer.join().map_err(|_| "a writer panicked".to_owned())??;
    Ok((seen.is_empty() && read.is_empty()).then_some("the backend has no stamps"))
}

pub(super) async fn aliases_resolve<S_: Storage>(storage: Arc<S_>, _: &Options) -> Outcome {
    create(&*storage, S).await?;
    create(&*storage, T).await?;
    let alias = StoreName::from_bytes([0xaa; 16]);
    storage.set_alias(S, alias, true).await.told("set_alias")?;
    storage.set_alias(S, alias, true).await.told("the same alias again")?;
    ensure!(storage.resolve(alias).await.told("resolve")? == Some(S), "the alias does not resolve");
    ensure!(storage.resolve(T.into()).await.told("resolve")? == Some(T), "the true id does not resolve");
    fails(storage.set_alias(T, alias, true).await, "AlreadyExists", "an alias of another store")?;
    fails(storage.set_alias(S, T.into(), true).await, "AlreadyExists", "a true id as alias")?;
    storage.set_alias(T, alias, false).await.told("an alias of another store taken away")?;
    ensure!(storage.resolve(alias).await.told("resolve")? == Some(S), "another store took the alias away");
    let taken = StoreId::from_bytes([0xaa; 16]);
    fails(
        storage
            .create(taken, &NewStore { header: b"", header_version: 1, owner: None, quota: &Quota::default() })
            .await,
        "AlreadyExists",
        "a store under an alias",
    )?;
    storage.set_alias(S, alias, false).await.told("set_alias")?;
    ensure!(storage.resolve(alias).await.told("resolve")?.is_none(), "the alias is left");
    storage.set_alias(T, alias, true).await.told("set_alias")?;
    storage.purge(T, Purge::Store).await.told("purge")?;
    ensure!(storage.resolve(alias).await.told("resolve")?.is_none(), "the alias of a purged store is left");
    Ok(None)
}

pub(super) async fn blobs_append_seal_and_read<S_: Storage>(storage: Arc<S_>, _: &Options) -> Outcome {
    create(&*storage, S).await?;
    let quota = Quota { blob_len: 3 * BLOB_PART, ..Quota::default() };
    let length = usize::try_from(2 * BLOB_PART + 77).unwrap_or(0);
    let whole: Vec<u8> = (0..length).map(|n| u8::try_from(n % 251).unwrap_or(0)).collect();
    let (first, rest) = whole.split_at_checked(999).told("a long body")?;
    ensure!(storage.blob_append(S, B, 0, first, &quota).await.told("blob_append")? == 999, "the new length");
    let wrong = storage.blob_append(S, B, 5, rest, &quota).await;
    ensure!(matches!(wrong, Err(StorageError::WrongOffset { have: 999 })), "an append elsewhere");
    storage.blob_append(S, B, 999, rest, &quota).await.told("blob_append")?;
    let end = 2 * BLOB_PART + 77;
    let too_long = vec![0; usize::try_from(BLOB_PART).unwrap_or(0)];
    fails(storage.blob_append(S, B, end, &too_long, &quota).await, "OverQuota", "a blob too long")?;
    fails(storage.blob_seal(S, B, 5).await, "WrongOffset", "sealed at another length")?;
    storage.blob_seal(S, B, end).await.told("blob_seal")?;
    storage.blob_seal(S, B, end).await.told("sealed twice")?;
    fails(storage.blob_append(S, B, end, b"x", &quota).await, "Invalid", "an append to a sealed blob")?;
    for range in [0..end, 0..1, 998..1_000, BLOB_PART - 1..BLOB_PART + 1, BLOB_PART..2 * BLOB_PART, end - 1..u64::MAX] {
        let at = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(length);
        let expected = whole.get(at(range.start)..at(range.end));
        let read = storage.blob_read(S, B, range).await.told("blob_read")?;
        ensure!(expected == Some(&*read), "a range reads otherwise");
    }
    ensure!(storage.blob_read(S, B, end..end + 9).await.told("blob_read")?.is_empty(), "bytes behind the end");
    Ok(None)
}

pub(super) async fn headers_swap_by_version<S_: Storage>(storage: Arc<S_>, _: &Options) -> Outcome {
    let quota = Quota::default();
    let owner = Some((RowKey([7; 16]), b"capability".as_slice()));
    let new = NewStore { header: b"moved in", header_version: 41, owner, quota: &quota };
    storage.create(S, &new).await.told("create")?;
    let row = storage.row(S, Table::Capabilities, RowKey([7; 16])).await.told("row")?.told("the owner's row")?;
    ensure!(row.version == 1 && row.value == b"capability", "the owner's row is another");
    let swap = Some(HeaderSwap { expect: 41, body: b"next" });
    let commit = Commit { parts: &[], mail: &[], header: swap, quota: &quota };
    ensure!(storage.commit(S, &commit).await.told("commit")? == CommitOutcome::Done, "the swap");
    let again = storage.commit(S, &commit).await.told("commit")?;
    ensure!(again == CommitOutcome::HeaderConflict { version: 42 }, "the same swap again");
    let header = storage.header(S).await.told("header")?;
    ensure!(header.version == 42 && header.value == b"next", "the header is another");
    Ok(None)
}

pub(super) async fn heads_are_kept_to_4096<S_: Storage>(storage: Arc<S_>, _: &Options) -> Outcome {
    create(&*storage, S).await?;
    commit(&*storage, S, &[next(D, 1, &[], &[])], &[]).await?;
    commit(&*storage, S, &[next(D, 2, &[], &[])], &[]).await?;
    let jump = Part { mode: Mode::Replace, expect: Some(hash(2)), ..next(D, KEPT_HEADS + 1, &[], &[]) };
    commit(&*storage, S, &[jump], &[]).await?;
    let kept = storage.heads(S, D, None, u32::MAX).await.told("heads")?;
    let kept: Vec<_> = kept.iter().map(|head| head.seq.get()).collect();
    ensure!(kept == [2, KEPT_HEADS + 1], "the heads kept are others");
    ensure!(storage.heads(S, D, Some(seq(2)), 9).await.told("heads")?.len() == 1, "`after` is inclusive");
    ensure!(storage.heads(S, D, None, 1).await.told("heads")?.len() == 1, "the limit is not kept");
    ensure!(storage.usage(S).await.told("usage")?.datasets.bytes == 8, "the totals keep dropped heads");
    Ok(None)
}

pub(super) async fn rows_swap_by_version<S_: Storage>(storage: Arc<S_>, _: &Options) -> Outcome {
    create(&*storage, S).await?;
    let (table, key) = (Table::Settings, RowKey([3; 16]));
    let swap = async |expect, new| storage.swap_row(S, table, key, expect, new).await.told("swap_row");
    ensure!(swap(Some(1), Some(b"x".as_slice())).await? == Swap::Conflict(None), "a row that is not there");
    ensure!(swap(None, Some(b"one".as_slice())).await? == Swap::Done(Some(1)), "a first version");
    ensure!(swap(None, Some(b"x".as_slice())).await? == Swap::Conflict(Some(1)), "made twice");
    ensure!(swap(Some(1), Some(b"two".as_slice())).await? == Swap::Done(Some(2)), "a second version");
    let rows = storage.rows(S, table).await.told("rows")?;
    let [(held, row)] = rows.as_slice() else { return Err("not one row".to_owned()) };
    ensure!(*held == key && row.version == 2 && row.value == b"two", "the row is another");
    ensure!(storage.rows(S, Table::Capabilities).await.told("rows")?.is_empty(), "a row of another table");
    ensure!(swap(Some(2), None).await? == Swap::Done(None), "the row is not deleted");
    ensure!(storage.row(S, table, key).await.told("row")?.is_none(), "the row is left");
    Ok(None)
}

pub(super) async fn boundaries<S_: Storage>(storage: Arc<S_>, _: &Options) -> Outcome {
    for (s, d) in [([0; 16], [0xff; 16]), ([0xff; 16], [0; 16])] {
        let (s, d) = (StoreId::from_bytes(s), DatasetId::from_bytes(d));
        create(&*storage, s).await?;
        let ids = [ObjectId::from_bytes([0; 16]), ObjectId::from_bytes([0xff; 16])];
        let puts = ids.map(|object| Put { object, seq: seq(1), kind: 255, body_hash: [0xff; 32], body: b"" });
        commit(&*storage, s, &[next(d, 1, &puts, &[])], &[]).await?;
        let rows = storage.get(s, d, &ids).await.told("get")?.rows;
        ensure!(rows.iter().flatten().filter(|row| row.kind == 255).count() == 2, "ids at the edges");
        ensure!(storage.get(s, d, &[]).await.told("get")?.rows.is_empty(), "rows nobody asked for");
    }
    create(&*storage, S).await?;
    let many: Vec<_> = (0..10_000).map(|n| put(n, 1, b"")).collect();
    commit(&*storage, S, &[next(D, 1, &many, &[])], &[]).await?;
    ensure!(storage.usage(S).await.told("usage")?.objects.count == 10_000, "10,000 puts");
    let last = Part { mode: Mode::Replace, expect: Some(hash(1)), ..next(D, MAX_SEQ, &[], &[]) };
    commit(&*storage, S, &[last], &[]).await?;
    let beyond = Part { expect: Some(hash(MAX_SEQ)), ..next(D, MAX_SEQ + 1, &[], &[]) };
    let quota = Quota::default();
    let outcome = storage.commit(S, &Commit { parts: &[beyond], mail: &[], header: None, quota: &quota }).await;
    fails(outcome, "Invalid", "a number beyond 2^63 - 1")?;
    ensure!(storage.heads(S, D, Some(seq(u64::MAX)), 9).await.told("heads")?.is_empty(), "heads after the last");
    let page = storage.changes(S, D, Cursor::after(seq(u64::MAX)), WHOLE).await.told("changes")?;
    ensure!(matches!(page, Page::Rows { rows, .. } if rows.is_empty()), "changes after the last");
    ensure!(storage.mail_list(S, M, u64::MAX, WHOLE).await.told("mail_list")?.is_empty(), "mail after the last");
    let exact = Quota { bytes: storage.usage(S).await.told("usage")?.bytes() + 10, ..quota };
    for (length, done) in [(7, false), (6, true)] {
        let body = vec![1; length];
        let puts = [put(1, 1, &body)];
        let commit = Commit { parts: &[next(E, 1, &puts, &[])], mail: &[], header: None, quota: &exact };
        let outcome = storage.commit(S, &commit).await;
        ensure!(outcome.is_ok() == done, "{length} bytes where the quota leaves 6");
    }
    Ok(None)
}

pub(super) async fn hostile_values_come_back<S_: Storage>(storage: Arc<S_>, _: &Options) -> Outcome {
    create(&*storage, S).await?;
    let bodies: [&[u8]; 8] = [
        b"'; DROP TABLE object; --",
        b"SQLite format 3\0\x10\0\x02\x02",
        b"\0",
        b"\xff\xfe\xfd",
        b"\xbf\x9f\xff",
        b"\xa1\x00\x00",
        b"%s%n${}\\",
        &[0; 70_000],
    ];
    let puts: Vec<_> = (0..).zip(bodies).map(|(n, body)| put(n, 1, body)).collect();
    let items: Vec<_> = (0..).zip(bodies).map(|(n, body)| mail(n, body)).collect();
    for body in bodies {
        let part = Part { head: body, ..next(D, 1, &puts, &[]) };
        commit(&*storage, S, &[part], &items).await?;
        let ids: Vec<_> = puts.iter().map(|put| put.object).collect();
        let snapshot = storage.get(S, D, &ids).await.told("get")?;
        ensure!(snapshot.head.body == body, "a head came back otherwise");
        let same = snapshot.rows.iter().zip(bodies).all(|(row, body)| row.as_ref().is_some_and(|row| row.body == body));
        ensure!(same, "a body came back otherwise");
        storage.purge(S, Purge::Dataset(D)).await.told("purge")?;
    }
    let listed = storage.mail_list(S, M, 0, WHOLE).await.told("mail_list")?;
    ensure!(listed.iter().zip(bodies).all(|(row, body)| row.body == body), "mail came back otherwise");
    Ok(None)
}

pub(super) async fn readers_in_parallel<S_: Storage>(storage: Arc<S_>, _: &Options) -> Outcome {
    create(&*storage, S).await?;
    let many: Vec<_> = (0..100).map(|n| put(n, 1, b"body")).collect();
    commit(&*storage, S, &[next(D, 1, &many, &[])], &[]).await?;
    let read = || {
        let storage = Arc::clone(&storage);
        move || block_on(walk(&*storage, Cursor::START, Limit { rows: 9, bytes: u64::MAX }))
    };
    let threads: Vec<_> = (0..128).map(|_| std::thread::spawn(read())).collect();
    for at in 2..=6 {
        commit(&*storage, S, &[next(D, at, &[put(0, at, b"newer")], &[])], &[]).await?;
    }
    for thread in threads {
        let seen = thread.join().map_err(|_| "a reader panicked".to_owned())??;
        ensure!(seen.len() >= 100, "a reader saw {} rows", seen.len());
    }
    Ok(None)
}

pub(super) async fn like_memory<S_: Storage>(storage: Arc<S_>, _: &Options) -> Outcome {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let bytes: Vec<u8> = (0..3_000)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_be_bytes().first().copied().unwrap_or(0)
        })
        .collect();
    super::compare(&bytes, &MemoryStorage::new(), &*storage).await.map(|()| None)
}

pub(super) async fn blobs_tell_their_length<S_: Storage>(storage: Arc<S_>, _: &Options) -> Outcome {
    fails(storage.blob(S, B).await, "NotFound", "a blob of an unknown store")?;
    create(&*storage, S).await?;
    create(&*storage, T).await?;
    let quota = Quota::default();
    ensure!(storage.blob(S, B).await.told("blob")?.is_none(), "a blob that nobody wrote");
    // it begins to exist with its first bytes, be they none
    for (bytes, len) in [(b"".as_slice(), 0), (b"12345", 5), (b"", 5), (b"678", 8)] {
        let at = storage.blob(S, B).await.told("blob")?.map_or(0, |blob| blob.len);
        ensure!(storage.blob_append(S, B, at, bytes, &quota).await.told("blob_append")? == len, "the new length");
        let held = storage.blob(S, B).await.told("blob")?;
        ensure!(held.is_some_and(|blob| blob.len == len && !blob.sealed), "the blob tells another length");
    }
    storage.blob_seal(S, B, 8).await.told("blob_seal")?;
    ensure!(storage.blob(S, B).await.told("blob")?.is_some_and(|blob| blob.sealed), "the blob is not sealed");
    ensure!(storage.blob(T, B).await.told("blob")?.is_none(), "a blob of another store");
    storage.purge(S, Purge::Blob(B)).await.told("purge")?;
    ensure!(storage.blob(S, B).await.told("blob")?.is_none(), "a purged blob is left");
    // the same id again begins at nothing, unsealed
    ensure!(storage.blob_append(S, B, 0, b"x", &quota).await.told("blob_append")? == 1, "a blob after its purge");
    Ok(None)
}

pub(super) async fn datasets_are_listed_in_order<S_: Storage>(storage: Arc<S_>, _: &Options) -> Outcome {
    fails(storage.datasets(S).await, "NotFound", "datasets of an unknown store")?;
    create(&*storage, S).await?;
    create(&*storage, T).await?;
    ensure!(storage.datasets(S).await.told("datasets")?.is_empty(), "a dataset that nobody wrote");
    let ids = [0xff, 0x00, 0x80, 0x7f].map(|byte| DatasetId::from_bytes([byte; 16]));
    for d in ids {
        commit(&*storage, S, &[next(d, 1, &[], &[])], &[]).await?;
    }
    commit(&*storage, T, &[next(D, 1, &[], &[])], &[]).await?;
    let [last, first, high, low] = ids;
    ensure!(storage.datasets(S).await.told("datasets")? == [first, low, high, last], "not in the order of ids");
    storage.purge(S, Purge::Dataset(low)).await.told("purge")?;
    ensure!(storage.datasets(S).await.told("datasets")? == [first, high, last], "a purged dataset is left");
    ensure!(storage.usage(S).await.told("usage")?.datasets.count == 3, "the totals count otherwise");
    Ok(None)
}

pub(super) async fn r06_mail_lapses_by_its_time<S_: Storage>(storage: Arc<S_>, _: &Options) -> Outcome {
    fails(storage.mail_lapse(S, Timestamp::from_secs(9)).await, "NotFound", "mail of an unknown store")?;
    create(&*storage, S).await?;
    create(&*storage, T).await?;
    let other = MailboxId::from_bytes([0x30; 16]);
    let item = |mailbox, dedupe: u8, expires, body| Mail {
        mailbox,
        dedupe: [dedupe; 16],
        at: Timestamp::from_secs(1),
        expires: Timestamp::from_secs(expires),
        body,
    };
    let items = [
        item(M, 1, 10, b"a".as_slice()),
        item(M, 2, 11, b"bb"),
        item(M, 3, 10, b"ccc"),
        item(other, 1, 5, b"dddd"),
        item(other, 2, MAX_SEQ, b"for ever"),
    ];
    commit(&*storage, S, &[], &items).await?;
    commit(&*storage, T, &[], &items).await?;
    let lapse = async |now| storage.mail_lapse(S, Timestamp::from_secs(now)).await.told("mail_lapse");
    ensure!(lapse(4).await?.is_empty(), "mail lapses before its time");
    let gone = lapse(10).await?;
    let gone: Vec<_> = gone.iter().map(|(m, total)| (*m, total.count, total.bytes)).collect();
    ensure!(gone == [(other, 1, 4), (M, 2, 4)], "other mail lapsed: {gone:?}");
    ensure!(lapse(10).await?.is_empty(), "mail lapses twice");
    let left = storage.mail_list(S, M, 0, WHOLE).await.told("mail_list")?;
    ensure!(left.len() == 1 && left.first().is_some_and(|row| row.n == 2), "other mail is left");
    let usage = storage.usage(S).await.told("usage")?.mail;
    ensure!(usage.count == 2 && usage.bytes == 10, "the totals keep lapsed mail");
    // what lapsed frees its dedupe id and its place, and numbers go on
    let small = Quota { mailbox_items: 2, ..Quota::default() };
    let again = [item(M, 1, 20, b"again")];
    let outcome = storage.commit(S, &Commit { parts: &[], mail: &again, header: None, quota: &small }).await;
    ensure!(outcome.told("commit")? == CommitOutcome::Done, "a place is not free");
    let numbers: Vec<_> = storage.mail_list(S, M, 0, WHOLE).await.told("mail_list")?.iter().map(|row| row.n).collect();
    ensure!(numbers == [2, 4], "numbers do not go on after a lapse");
    ensure!(lapse(u64::MAX).await?.len() == 2, "mail outlives every time");
    ensure!(storage.usage(T).await.told("usage")?.mail.count == 5, "the mail of another store lapsed");
    Ok(None)
}

pub(super) async fn stores_are_listed_in_order<S_: Storage>(storage: Arc<S_>, _: &Options) -> Outcome {
    ensure!(storage.stores(None, 10).await.told("stores")?.is_empty(), "a store that nobody made");
    let ids = [0xff, 0x00, 0x55, 0x56, 0xab, 0x80].map(|byte| StoreId::from_bytes([byte; 16]));
    for s in ids {
        create(&*storage, s).await?;
    }
    storage.set_alias(S_LOW, StoreName::from_bytes([0x60; 16]), true).await.told("set_alias")?;
    let mut sorted = ids.to_vec();
    sorted.sort_unstable();
    ensure!(storage.stores(None, u32::MAX).await.told("stores")? == sorted, "not every store, in the order of ids");
    for limit in [0, 1, 2, 4] {
        let mut walked: Vec<StoreId> = Vec::new();
        loop {
            let page = storage.stores(walked.last().copied(), limit).await.told("stores")?;
            ensure!(page.len() <= usize::try_from(limit.max(1)).unwrap_or(usize::MAX), "the limit is not kept");
            if page.is_empty() {
                break;
            }
            walked.extend(page);
        }
        ensure!(walked == sorted, "pages of {limit} give other stores");
    }
    // an id that is none of them is a place to go on from
    let between = StoreId::from_bytes([0x60; 16]);
    let after = storage.stores(Some(between), 1).await.told("stores")?;
    ensure!(after == [StoreId::from_bytes([0x80; 16])], "`after` has to be a store");
    storage.purge(StoreId::from_bytes([0x80; 16]), Purge::Store).await.told("purge")?;
    let after = storage.stores(Some(between), 1).await.told("stores")?;
    ensure!(after == [StoreId::from_bytes([0xab; 16])], "a purged store is listed");
    Ok(None)
}

const S_LOW: StoreId = StoreId::from_bytes([0x00; 16]);
