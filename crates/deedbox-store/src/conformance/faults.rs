//! Checks that need something to go wrong: a full disk, connections that are cut.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deedbox_model::{BlobId, DatasetId, StoreId};

use super::checks::{B, D, M, Outcome, S, Told, WHOLE, commit, create, ensure, hash, mail, next, object, put};
use super::{Checked, Options, block_on};
use crate::{Commit, CommitOutcome, Cursor, Limit, Mail, Page, Put, Quota, RowKey, Storage, StorageError, Swap, Table};

/// How many stores are written while connections are cut.
const WRITERS: u8 = 4;

pub(super) async fn r03_a_full_disk_changes_nothing<S_: Storage>(storage: Arc<S_>, options: &Options) -> Outcome {
    let Some(faults) = &options.faults else { return Ok(Some("no faults to make")) };
    create(&*storage, S).await?;
    commit(&*storage, S, &[next(D, 1, &[put(1, 1, b"before")], &[])], &[]).await?;
    if !faults.fill() {
        return Ok(Some("the device cannot be filled"));
    }
    let quota = Quota::default();
    // what a server still has room for inside its own files comes to an end
    let body = vec![0x66; 1 << 20];
    let mut done = 1;
    let refused = loop {
        let at = done + 1;
        ensure!(at < 200, "200 MiB on a full device");
        let puts = [put(at, at, &body)];
        let parts = [next(D, at, &puts, &[])];
        match storage.commit(S, &Commit { parts: &parts, mail: &[], header: None, quota: &quota }).await {
            Ok(CommitOutcome::Done) => done = at,
            Ok(_) => return Err("a conflict on a full device".to_owned()),
            Err(error) => break error,
        }
    };
    let held = async {
        ensure!(refused.code() == "Full", "a full device: {}, not Full", refused.code());
        let snapshot = storage.get(S, D, &[object(1), object(done + 1)]).await.told("get on a full device")?;
        ensure!(snapshot.head.seq.get() == done, "the head moved");
        let bodies: Vec<_> = snapshot.rows.iter().map(|row| row.as_ref().map(|row| row.body.as_slice())).collect();
        ensure!(bodies == [Some(b"before".as_slice()), None], "the objects moved");
        let objects = storage.usage(S).await.told("usage on a full device")?.objects.count;
        ensure!(objects == done, "the totals moved");
        Ok(())
    }
    .await;
    faults.free();
    held?;
    let at = done + 1;
    commit(&*storage, S, &[next(D, at, &[put(at, at, &body)], &[])], &[]).await?;
    Ok(None)
}

/// What one writer was told is done.
#[derive(Default)]
struct Acknowledged {
    commits: u64,
    blob: u64,
    row: Option<u64>,
    /// Errors on the way, each of which was retryable.
    errors: u64,
}

pub(super) async fn r03_cut_connections_lose_nothing_and_do_nothing_twice<S_: Storage>(
    storage: Arc<S_>,
    options: &Options,
) -> Outcome {
    let Some(faults) = &options.faults else { return Ok(Some("no faults to make")) };
    let stores: Vec<_> = (0..WRITERS).map(|n| StoreId::from_bytes([n.wrapping_mul(61); 16])).collect();
    for s in &stores {
        create(&*storage, *s).await?;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let write = |s: StoreId| {
        let (storage, stop) = (Arc::clone(&storage), Arc::clone(&stop));
        move || block_on(write(&*storage, s, &stop))
    };
    let threads: Vec<_> = stores.iter().map(|s| std::thread::spawn(write(*s))).collect();
    let mut cut = true;
    for _ in 0..options.rounds {
        std::thread::sleep(Duration::from_millis(150));
        cut = cut && faults.cut();
    }
    std::thread::sleep(Duration::from_millis(150));
    stop.store(true, Ordering::Release);
    let mut total = 0;
    for (s, thread) in stores.iter().zip(threads) {
        let told = thread.join().map_err(|_| "a writer panicked".to_owned())??;
        total += told.commits;
        verify(&*storage, *s, &told).await?;
    }
    if !cut {
        return Ok(Some("connections cannot be cut"));
    }
    ensure!(total > 0, "nothing was written");
    Ok(None)
}

/// Tells what a retry does when its first try may have been done.
fn retryable(error: &StorageError, told: &mut Acknowledged) -> Checked {
    ensure!(error.is_retryable(), "a lost connection: {}, which is not retryable", error.code());
    told.errors += 1;
    std::thread::sleep(Duration::from_millis(20));
    Ok(())
}

/// Commits, appends and swaps until told to stop; repeats what ended in a retryable error, as a client does.
async fn write<S_: Storage>(storage: &S_, s: StoreId, stop: &AtomicBool) -> Result<Acknowledged, String> {
    let quota = Quota { mailbox_items: u64::MAX, mailbox_bytes: u64::MAX, ..Quota::default() };
    let key = RowKey([7; 16]);
    let mut told = Acknowledged::default();
    while !stop.load(Ordering::Acquire) || told.commits == 0 {
        let at = told.commits + 1;
        let body = at.to_be_bytes();
        let puts: [Put<'_>; 2] = [put(0, at, &body), put(at, at, &body)];
        let parts = [next(D, at, &puts, &[])];
        let mut dedupe = [0; 16];
        for (to, from) in dedupe.iter_mut().zip(body) {
            *to = from;
        }
        let items = [Mail { dedupe, ..mail(0, &body) }];
        let request = Commit { parts: &parts, mail: &items, header: None, quota: &quota };
        let mut tries = 0;
        loop {
            match storage.commit(s, &request).await {
                Ok(CommitOutcome::Done) => break,
                // the caller's own head: an earlier try was done
                Ok(CommitOutcome::Conflict { head: Some(head), .. }) if tries > 0 && head.hash == hash(at) => break,
                Ok(_) => return Err(format!("a conflict that nobody made, after {tries} errors")),
                Err(error) => retryable(&error, &mut told)?,
            }
            tries += 1;
            ensure!(tries < 2_000, "the backend does not come back");
        }
        told.commits = at;

        loop {
            let from = told.blob;
            match storage.blob_append(s, B, from, &body, &quota).await {
                Ok(len) => {
                    ensure!(len == from + 8, "a blob of {len} bytes after one of {from}");
                    break;
                }
                Err(StorageError::WrongOffset { have }) if have == from + 8 => break,
                Err(error) => retryable(&error, &mut told)?,
            }
        }
        told.blob += 8;

        loop {
            let next = told.row.unwrap_or(0) + 1;
            match storage.swap_row(s, Table::Settings, key, told.row, Some(&body)).await {
                Ok(Swap::Done(Some(version))) if version == next => break,
                Ok(Swap::Conflict(Some(version))) if version == next => break,
                Ok(_) => return Err("a row at a version that nobody made".to_owned()),
                Err(error) => retryable(&error, &mut told)?,
            }
        }
        told.row = Some(told.row.unwrap_or(0) + 1);
    }
    Ok(told)
}

/// Everything that was acknowledged is there, and once.
async fn verify<S_: Storage>(storage: &S_, s: StoreId, told: &Acknowledged) -> Checked {
    let count = told.commits;
    let mut heads = Vec::new();
    loop {
        let page = storage.heads(s, D, heads.last().copied(), 1_000).await.told("heads")?;
        if page.is_empty() {
            break;
        }
        for head in page {
            ensure!(head.hash == hash(head.seq.get()), "a head with another hash");
            heads.push(head.seq);
        }
    }
    let numbers = heads.iter().map(|seq| seq.get());
    ensure!(numbers.eq(count.saturating_sub(crate::KEPT_HEADS) + 1..=count), "heads are missing or too many");
    let mut objects = 0;
    let mut cursor = Cursor::START;
    loop {
        let Page::Rows { rows, next, .. } = storage.changes(s, D, cursor, Limit::default()).await.told("changes")?
        else {
            return Err("a removal that nobody made".to_owned());
        };
        objects += u64::try_from(rows.len()).unwrap_or(u64::MAX);
        match next {
            Some(next) => cursor = next,
            None => break,
        }
    }
    ensure!(objects == count + 1, "{objects} objects after {count} commits");
    let mut after = 0;
    loop {
        let page = storage.mail_list(s, M, after, Limit { rows: 1_000, ..WHOLE }).await.told("mail_list")?;
        if page.is_empty() {
            break;
        }
        for row in page {
            ensure!(row.n == after + 1 && row.body == row.n.to_be_bytes(), "mail is missing or there twice");
            after = row.n;
        }
    }
    ensure!(after == count, "{after} items of mail after {count} commits");
    let blob = storage.blob_read(s, B, 0..u64::MAX).await.told("blob_read")?;
    let expected: Vec<u8> = (1..=count).flat_map(u64::to_be_bytes).collect();
    ensure!(blob == expected, "the blob has other bytes");
    let row = storage.row(s, Table::Settings, RowKey([7; 16])).await.told("row")?;
    ensure!(row.map(|row| row.version) == told.row, "the row has another version");
    let usage = storage.usage(s).await.told("usage")?;
    let held = [usage.objects.count, usage.mail.count, usage.blobs.bytes];
    ensure!(held == [count + 1, count, count * 8], "the totals are others: {held:?}");
    Ok(())
}

/// A store that was not written stays what it was, however often connections are cut: reads go on by themselves.
pub(super) async fn r03_reads_survive_cut_connections<S_: Storage>(storage: Arc<S_>, options: &Options) -> Outcome {
    let Some(faults) = &options.faults else { return Ok(Some("no faults to make")) };
    create(&*storage, S).await?;
    commit(&*storage, S, &[next(D, 1, &[put(1, 1, b"body")], &[])], &[]).await?;
    for _ in 0..options.rounds.min(3) {
        if !faults.cut() {
            return Ok(Some("connections cannot be cut"));
        }
        let mut tries = 0;
        let snapshot = loop {
            match storage.get(S, D, &[object(1)]).await {
                Ok(snapshot) => break snapshot,
                Err(error) => ensure!(error.is_retryable() && tries < 2_000, "get: {}", error.code()),
            }
            tries += 1;
            std::thread::sleep(Duration::from_millis(20));
        };
        ensure!(snapshot.rows.iter().flatten().any(|row| row.body == b"body"), "the object is gone");
        let unknown = DatasetId::from_bytes([0xee; 16]);
        let absent = storage.blob(S, BlobId::from_bytes(*unknown.as_bytes())).await.told("blob")?;
        ensure!(absent.is_none(), "a blob that nobody wrote");
    }
    Ok(None)
}
