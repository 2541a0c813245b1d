//! The conformance kit: what every backend, ours or anybody's, has to keep. One named check a rule, numbered as on the
//! front page.
//!
//! ```
//! use deedbox_store::{MemoryStorage, conformance};
//!
//! let report = conformance::block_on(conformance::run(async || MemoryStorage::new(), &conformance::Options::default()));
//! assert_eq!(report.failed(), Vec::<String>::new());
//! ```

use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use crate::{Erasure, Storage};

mod checks;
mod ops;

pub use ops::compare;

/// What a kit needs to know of a backend.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Options {
    /// The folder under which every file of every backend made lies; without it no file is searched.
    pub folder: Option<PathBuf>,
    /// Also 100,000 objects in one dataset.
    pub large: bool,
}

/// What became of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The rule is broken; how.
    Failed(String),
    /// The rule is kept, as far as the check sees.
    Held,
    /// Not tried, for this reason.
    Skipped(&'static str),
}

/// Every check and what became of it.
#[derive(Debug, Clone, Default)]
pub struct Report {
    verdicts: Vec<(&'static str, Verdict)>,
}

impl Report {
    /// Checks in the order they ran.
    #[must_use]
    pub fn verdicts(&self) -> &[(&'static str, Verdict)] {
        &self.verdicts
    }

    /// One line for each check that failed.
    #[must_use]
    pub fn failed(&self) -> Vec<String> {
        let lines = self.verdicts.iter().filter_map(|(name, verdict)| match verdict {
            Verdict::Failed(how) => Some(format!("{name}: {how}")),
            Verdict::Held | Verdict::Skipped(_) => None,
        });
        lines.collect()
    }
}

pub(crate) type Checked = Result<(), String>;

/// Runs every check, each on a backend of its own from `make`.
pub async fn run<B: Storage, M: AsyncFn() -> B>(make: M, options: &Options) -> Report {
    let mut report = Report::default();
    macro_rules! check {
        ($($name:ident)+) => {$(
            // boxed, so that a test thread's stack holds a backend whose futures are large
            let checked = Box::pin(checks::$name(Arc::new(make().await), options)).await;
            report.note(stringify!($name), checked);
        )+};
    }
    check! {
        r01_one_of_racing_writers_is_done
        r01_a_commit_is_whole_or_nothing
        r02_sequence_numbers_follow
        r02_replace_exchanges_everything
        r04_pages_skip_nothing_while_others_write
        r04_removal_means_resync
        r05_pages_keep_their_limits
        r06_mail_is_numbered_without_gaps
        r06_mail_is_deduplicated
        r07_stores_do_not_touch
        r07_unknown_is_not_found
        r08_totals_are_exact
        r08_quota_is_kept_in_a_race
        r09_no_removed_byte_is_left
        r10_two_shares_at_most
        aliases_resolve
        blobs_append_seal_and_read
        headers_swap_by_version
        heads_are_kept_to_4096
        rows_swap_by_version
        boundaries
        hostile_values_come_back
        readers_in_parallel
        like_memory
    }
    if options.large {
        check! { r05_the_last_page_of_100000 }
    } else {
        let reason = "option `large` is off";
        report.verdicts.push(("r05_the_last_page_of_100000", Verdict::Skipped(reason)));
    }
    report
}

impl Report {
    fn note(&mut self, name: &'static str, checked: Result<Option<&'static str>, String>) {
        let verdict = match checked {
            Ok(None) => Verdict::Held,
            Ok(Some(reason)) => Verdict::Skipped(reason),
            Err(how) => Verdict::Failed(how),
        };
        self.verdicts.push((name, verdict));
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on this thread; enough for backends that need no runtime.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// Every file under `folder` that holds `needle`.
fn files_with(folder: &std::path::Path, needle: &[u8]) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if std::fs::read(&path)?.windows(needle.len()).any(|window| window == needle) {
                found.push(path);
            }
        }
    }
    Ok(found)
}

fn is_physical(erasure: Erasure) -> bool {
    erasure == Erasure::Physical
}
