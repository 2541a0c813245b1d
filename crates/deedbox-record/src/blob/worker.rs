//! Chunks of a blob that is being written, sealed by whoever has time.

use alloc::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Condvar, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

use crate::{
    BlobError,
    chunk::{Chunks, SEALED_CHUNK, TAG},
    share::helpers,
    wipe::Wiped,
};

/// Chunks one after the other, each with room for its tag, and the number of the first.
pub(super) struct Batch {
    pub(super) index: u64,
    pub(super) chunks: Wiped,
}

/// Takes batches and gives them back sealed, in order. A thread on another core seals while the next ones are written and
/// hashed; whoever writes helps when that has too much to do. It has ended, and its memory is wiped, once this is dropped.
pub(super) struct Sealing {
    queue: Arc<Queue>,
    worker: Option<JoinHandle<()>>,
    /// How many were given and not taken back.
    pending: usize,
    /// The number of the chunk that the next batch to be given back begins with.
    next: u64,
}

/// Leave to be one of the workers of this process. Who seals many blobs at once, such as a service that is slow to be given
/// them, has no thread for each.
struct Permit;

static WORKERS: AtomicUsize = AtomicUsize::new(0);

impl Permit {
    fn take() -> Option<Self> {
        let more = |count: usize| count.checked_add(1).filter(|count| *count <= helpers());
        WORKERS.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok().map(|_| Self)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        WORKERS.fetch_sub(1, Ordering::AcqRel);
    }
}

struct Queue {
    chunks: Chunks,
    batches: Mutex<Batches>,
    changed: Condvar,
}

#[derive(Default)]
struct Batches {
    waiting: VecDeque<Batch>,
    /// By their numbers; `None` for one that could not be sealed.
    sealed: BTreeMap<u64, Option<Wiped>>,
    is_last: bool,
    is_over: bool,
}

impl Sealing {
    pub(super) fn new(chunks: Chunks) -> Self {
        let queue = Queue { chunks, batches: Mutex::default(), changed: Condvar::new() };
        Self { queue: Arc::new(queue), worker: None, pending: 0, next: 0 }
    }

    /// Takes a batch; no thread is started for a first one, which may be all there is.
    pub(super) fn give(&mut self, batch: Batch) -> Result<(), BlobError> {
        let mut batches = self.queue.lock()?;
        if batch.index > 0 && self.worker.is_none() && !batches.is_last {
            self.worker = self.start_worker();
        }
        self.pending = self.pending.saturating_add(1);
        batches.waiting.push_back(batch);
        self.queue.changed.notify_one();
        Ok(())
    }

    /// Has the thread end when it has nothing to do, because no more than one batch is to come.
    pub(super) fn end_soon(&self) -> Result<(), BlobError> {
        self.queue.lock()?.is_last = true;
        self.queue.changed.notify_one();
        Ok(())
    }

    /// Nothing when there is no thread to be had, or as many as there are cores work for other blobs.
    fn start_worker(&self) -> Option<JoinHandle<()>> {
        let permit = Permit::take()?;
        let queue = Arc::clone(&self.queue);
        let work = move || {
            let worked = catch_unwind(AssertUnwindSafe(|| queue.work()));
            // Whoever writes must not wait for what nobody seals.
            worked.unwrap_or_else(|_| queue.end());
            drop(permit);
        };
        thread::Builder::new().spawn(work).ok()
    }

    /// The next batch, if it is sealed; with more than `most` of them here, once it is.
    pub(super) fn next(&mut self, most: usize) -> Result<Option<Wiped>, BlobError> {
        let most = if self.worker.is_some() { most } else { 0 };
        let mut batches = self.queue.lock()?;
        loop {
            if let Some(sealed) = batches.sealed.remove(&self.next) {
                let sealed = sealed.ok_or(BlobError::Limit)?;
                self.next = self.next.saturating_add((sealed.len() / SEALED_CHUNK) as u64);
                self.pending = self.pending.saturating_sub(1);
                return Ok(Some(sealed));
            }
            if self.pending <= most {
                return Ok(None);
            }
            if batches.is_over {
                return Err(BlobError::Limit);
            }
            batches = match batches.waiting.pop_front() {
                Some(batch) => {
                    drop(batches);
                    self.queue.seal(batch)?
                }
                None => self.queue.changed.wait(batches).map_err(|_| BlobError::Limit)?,
            };
        }
    }

    #[cfg(test)]
    pub(super) const fn pending(&self) -> usize {
        self.pending
    }
}

impl Drop for Sealing {
    fn drop(&mut self) {
        self.queue.end();
        // It panics at nothing that could be told here.
        let _ = self.worker.take().map(JoinHandle::join);
    }
}

impl Queue {
    /// What only fails when a thread broke off while it had this, for which it has no reason.
    fn lock(&self) -> Result<MutexGuard<'_, Batches>, BlobError> {
        self.batches.lock().map_err(|_| BlobError::Limit)
    }

    fn seal(&self, Batch { index, mut chunks }: Batch) -> Result<MutexGuard<'_, Batches>, BlobError> {
        let sealed = (index..).zip(chunks.chunks_mut(SEALED_CHUNK)).try_for_each(|(index, chunk)| {
            let (text, tag) = chunk.split_last_chunk_mut::<TAG>()?;
            *tag = self.chunks.seal(index, text)?;
            Some(())
        });
        let mut batches = self.lock()?;
        batches.sealed.insert(index, sealed.map(|()| chunks));
        Ok(batches)
    }

    fn work(&self) {
        let Ok(mut batches) = self.lock() else { return };
        while !batches.is_over {
            let sealed = match batches.waiting.pop_front() {
                Some(batch) => {
                    drop(batches);
                    self.seal(batch).inspect(|_| self.changed.notify_one())
                }
                None if batches.is_last => return,
                None => self.changed.wait(batches).map_err(|_| BlobError::Limit),
            };
            batches = match sealed {
                Ok(batches) => batches,
                Err(_) => return,
            };
        }
    }

    fn end(&self) {
        if let Ok(mut batches) = self.lock() {
            batches.is_over = true;
            batches.waiting.clear();
        }
        self.changed.notify_all();
    }
}

#[cfg(test)]
pub(super) fn count() -> usize {
    WORKERS.load(Ordering::Acquire)
}
