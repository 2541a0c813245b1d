//! The conformance kit: what every backend, ours or anybody's, has to keep. One named check a rule, numbered as on the
//! front page.
//!
//! ```
//! use deedbox_store::{MemoryStorage, conformance};
//!
//! let report = conformance::block_on(conformance::run(async || MemoryStorage::new(), &conformance::Options::default()));
//! assert_eq!(report.failed(), Vec::<String>::new());
//! ```
//!
//! A team that writes a backend of its own runs the same: `make` gives an empty backend each time, and the options say what the
//! kit can't find out: the folder of the backend's files, searched for removed bytes, and [`Faults`], which cut its connections
//! and fill its disk. What was skipped, and why, is in [`Report::verdicts`]; a report without skipped checks is the aim.
//!
//! ```
//! # use deedbox_store::{MemoryStorage, conformance};
//! # let report = conformance::block_on(conformance::run(async || MemoryStorage::new(), &conformance::Options::default()));
//! for (check, verdict) in report.verdicts() {
//!     if let conformance::Verdict::Skipped(reason) = verdict {
//!         println!("{check} was skipped: {reason}");
//!     }
//! }
//! ```
//!
//! [`compare`] runs a list of operations that any bytes describe against two backends: with random bytes, or a fuzzer's, and
//! memory as the model. What the kit can't show: that `Done` survives loss of power (cut it), that the backend keeps its rules
//! after an upgrade of what lies under it (run the kit again).

use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use crate::{Erasure, Storage};

mod checks;
mod faults;
mod ops;

pub use ops::compare;

/// What can go wrong around a backend, made by whoever runs the kit: none of it can be made from inside.
pub trait Faults: Send + Sync {
    /// Cuts every connection to where the bytes lie, or kills and restarts the server behind it; `false`: there is none.
    fn cut(&self) -> bool;
    /// Makes the device full that the bytes lie on; `false`: that can't be done.
    fn fill(&self) -> bool;
    /// The reverse of [`Faults::fill`].
    fn free(&self);
}

/// What a kit needs to know of a backend.
#[derive(Clone)]
#[non_exhaustive]
pub struct Options {
    /// What may be made to go wrong; without it the checks that need it are skipped.
    pub faults: Option<Arc<dyn Faults>>,
    /// The folder under which every file of every backend made lies; without it no file is searched.
    pub folder: Option<PathBuf>,
    /// Also 100,000 objects in one dataset.
    pub large: bool,
    /// How often connections are cut under load.
    pub rounds: u32,
}

impl Default for Options {
    /// No faults, no folder, not large, 6 rounds.
    fn default() -> Self {
        Self { faults: None, folder: None, large: false, rounds: 6 }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { faults, folder, large, rounds } = self;
        f.debug_struct("Options")
            .field("faults", &faults.is_some())
            .field("folder", folder)
            .field("large", large)
            .field("rounds", rounds)
            .finish()
    }
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

/// A backend and somebody who is told of each operation by its name, before it is begun; an error from there is the
/// operation's. For tests of what is built on a backend: which operations it makes, and what it does when one fails.
pub struct Watched<S, F> {
    pub(crate) storage: S,
    pub(crate) watch: F,
}

impl<S, F> Watched<S, F> {
    /// Has `watch` told of each operation of `storage`.
    #[must_use]
    pub const fn new(storage: S, watch: F) -> Self {
        Self { storage, watch }
    }
}

impl<S, F> std::fmt::Debug for Watched<S, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watched").finish_non_exhaustive()
    }
}

pub(crate) type Checked = Result<(), String>;

/// Runs every check, each on a backend of its own from `make`.
pub async fn run<B: Storage, M: AsyncFn() -> B>(make: M, options: &Options) -> Report {
    let mut report = Report::default();
    macro_rules! check {
        ($($module:ident::$name:ident)+) => {$(
            // boxed, so that a test thread's stack holds a backend whose futures are large
            let checked = Box::pin($module::$name(Arc::new(make().await), options)).await;
            report.note(stringify!($name), checked);
        )+};
    }
    check! {
        checks::r01_one_of_racing_writers_is_done
        checks::r01_a_commit_is_whole_or_nothing
        checks::r02_sequence_numbers_follow
        checks::r02_replace_exchanges_everything
        faults::r03_a_full_disk_changes_nothing
        faults::r03_cut_connections_lose_nothing_and_do_nothing_twice
        faults::r03_reads_survive_cut_connections
        checks::r04_pages_skip_nothing_while_others_write
        checks::r04_removal_means_resync
        checks::r05_pages_keep_their_limits
        checks::r06_mail_is_numbered_without_gaps
        checks::r06_mail_is_deduplicated
        checks::r06_mail_lapses_by_its_time
        checks::r07_stores_do_not_touch
        checks::r07_unknown_is_not_found
        checks::r08_totals_are_exact
        checks::r08_quota_is_kept_in_a_race
        checks::r09_no_removed_byte_is_left
        checks::r10_two_shares_at_most
        checks::r11_time_and_meters_are_kept
        checks::r12_a_stamp_changes_with_the_store
        checks::aliases_resolve
        checks::blobs_append_seal_and_read
        checks::blobs_tell_their_length
        checks::datasets_are_listed_in_order
        checks::headers_swap_by_version
        checks::heads_are_kept_to_4096
        checks::rows_swap_by_version
        checks::stores_are_listed_in_order
        checks::boundaries
        checks::hostile_values_come_back
        checks::readers_in_parallel
        checks::like_memory
    }
    if options.large {
        check! { checks::r05_the_last_page_of_100000 }
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

/// Every file under `folder` that holds `needle`. A server's own folder has sockets too, and files that come and go.
fn files_with(folder: &std::path::Path, needle: &[u8]) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.is_file() {
                match std::fs::read(&path) {
                    Ok(bytes) if bytes.windows(needle.len()).any(|window| window == needle) => found.push(path),
                    Ok(_) => {}
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
    Ok(found)
}

fn is_physical(erasure: Erasure) -> bool {
    erasure == Erasure::Physical
}
