//! Work shared among cores.

use alloc::vec::Vec;
#[cfg(feature = "std")]
use std::{
    sync::{LazyLock, Mutex, OnceLock},
    thread,
};

/// Does `work` on every piece, and `then` with the results in the order of the pieces; `None` if a piece fails.
///
/// With the feature `std`, and where there are enough pieces and a second core, helpers work on pieces while this thread first
/// does something else and then joins in. So the hash of a blob's content costs no time beside the encryption, though it
/// takes more than half as long and can't be divided.
pub(crate) fn share<T: Send, D: Copy + Send + Sync>(
    pieces: impl ExactSizeIterator<Item = T> + Send,
    work: impl Fn(T) -> Option<D> + Sync,
    meanwhile: impl FnOnce(),
    mut then: impl FnMut(D),
) -> Option<()> {
    #[cfg(feature = "std")]
    if pieces.len() >= WORTH && *HELPERS > 0 {
        let results: Vec<OnceLock<D>> = (0..pieces.len()).map(|_| OnceLock::new()).collect();
        let pieces = Mutex::new(pieces.zip(&results));
        // Whether there was a piece; `None` if it failed.
        let next = || {
            let piece = pieces.lock().ok()?.next();
            let Some((piece, result)) = piece else { return Some(false) };
            result.set(work(piece)?).ok()?;
            Some(true)
        };
        let help = || loop {
            if !next()? {
                return Some(());
            }
        };
        let mut ready = results.iter().peekable();
        thread::scope(|scope| {
            // A helper that can't be started leaves more to the others.
            let start = |n| if n < *HELPERS { thread::Builder::new().spawn_scoped(scope, help).ok() } else { None };
            let helpers: [_; MOST_HELPERS] = core::array::from_fn(start);
            meanwhile();
            while next()? {
                while let Some(result) = ready.next_if(|result| result.get().is_some()) {
                    result.get().copied().map(&mut then)?;
                }
            }
            helpers.into_iter().flatten().try_for_each(|helper| helper.join().ok()?)
        })?;
        return ready.try_for_each(|result| result.get().copied().map(&mut then));
    }
    meanwhile();
    for piece in pieces {
        then(work(piece)?);
    }
    Some(())
}

/// Does `work` on every item, shared among cores where there are many, and gives the results in the order of the items.
///
/// `None` only if a thread that helped has failed, which `work` gives no reason for.
pub(crate) fn map<T: Sync, D: Send>(items: &[T], work: impl Fn(&T) -> D + Sync) -> Option<Vec<D>> {
    let mut results: Vec<Option<D>> = items.iter().map(|_| None).collect();
    let batch = |(items, results): (&[T], &mut [Option<D>])| {
        items.iter().zip(results).for_each(|(item, result)| *result = Some(work(item)));
        Some(())
    };
    share(items.chunks(BATCH).zip(results.chunks_mut(BATCH)), batch, || (), |()| ())?;
    results.into_iter().collect()
}

/// So many items that taking them costs little beside the work on them, which is some microseconds each.
const BATCH: usize = 32;
/// How many threads may help beside this one.
#[cfg(feature = "std")]
pub(crate) fn helpers() -> usize {
    *HELPERS
}

/// How many cores there are beside this one.
#[cfg(feature = "std")]
static HELPERS: LazyLock<usize> = LazyLock::new(|| {
    thread::available_parallelism().map_or(0, |cores| cores.get().saturating_sub(1).min(MOST_HELPERS))
});
/// With more of them it is the hash that takes longest.
#[cfg(feature = "std")]
const MOST_HELPERS: usize = 3;
/// The least number of pieces that save more time than helpers take to start.
#[cfg(feature = "std")]
const WORTH: usize = 8;
