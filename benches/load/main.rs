//! A host under load: many stores, many writers, many feeds.
//!
//! ```sh
//! .ci/run load                                              # everything, with a PostgreSQL of its own; long
//! cargo bench -p deedbox-benches --bench load -- sqlite     # one part: sqlite, postgres, feeds
//! ```
//!
//! `--stores N` (10,000) are made in SQLite files, `--headers N` (1,000,000) in PostgreSQL, `--feeds N` (10,000) are opened;
//! `--folder DIR` is where the files go, else the system's temporary folder. PostgreSQL is the server of `DEEDBOX_POSTGRES`, where
//! databases `deedbox_load_*` are made anew; without it that part is skipped. Without cargo's `--bench`, as in `cargo test`, or
//! with `--test`, everything is tiny and nothing is judged: it shows that the program still runs.
//!
//! Ours and bare SQL that does the same row work take turns, so that whatever else the machine does falls on both. A ratio is
//! the median of those turns: of times bare / ours, of rates ours / bare, so that 1 is as fast, and more is faster. Times in
//! microseconds are this machine's, of that hour; no claim rests on them. Exit 1 when a goal is missed.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line program")]
#![expect(clippy::disallowed_methods, reason = "this program measures")]

use std::{
    error::Error,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

mod feeds;
mod people;
mod postgres;
mod sqlite;

pub(crate) type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// How much there is of everything.
#[derive(Debug, Clone)]
pub(crate) struct Sizes {
    pub(crate) stores: usize,
    pub(crate) headers: u64,
    pub(crate) feeds: usize,
    /// Turns of single operations.
    pub(crate) rounds: usize,
    /// Seconds that something idle is looked at.
    pub(crate) idle: Duration,
    pub(crate) folder: Option<PathBuf>,
}

/// Prints lines and remembers whether every goal was reached.
pub(crate) struct Report {
    judges: bool,
    pub(crate) short: usize,
}

/// Times of the same work, done by ours and bare in turn.
#[derive(Default)]
pub(crate) struct Turns {
    ours: Vec<f64>,
    bare: Vec<f64>,
}

impl Turns {
    /// Each of `rounds` times both are run; which goes first alternates.
    pub(crate) fn take(
        rounds: usize,
        mut ours: impl FnMut(usize) -> Outcome<()>,
        mut bare: impl FnMut(usize) -> Outcome<()>,
    ) -> Outcome<Self> {
        let mut turns = Self::default();
        for round in 0..rounds {
            if round % 2 == 0 {
                turns.ours.push(time(|| ours(round))?);
                turns.bare.push(time(|| bare(round))?);
            } else {
                turns.bare.push(time(|| bare(round))?);
                turns.ours.push(time(|| ours(round))?);
            }
        }
        Ok(turns)
    }

    /// How many times the second of two is slower: the median of the turns.
    pub(crate) fn ratio(&self) -> f64 {
        percentile(self.bare.iter().zip(&self.ours).map(|(bare, ours)| bare / ours).collect(), 0.5)
    }
}

pub(crate) fn time(work: impl FnOnce() -> Outcome<()>) -> Outcome<f64> {
    let began = Instant::now();
    work()?;
    Ok(began.elapsed().as_secs_f64())
}

/// The smallest value that a share of `at` of all values does not exceed.
pub(crate) fn percentile(mut values: Vec<f64>, at: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get(((last as f64) * at).round() as usize).copied().unwrap_or(f64::NAN)
}

fn micros(seconds: f64) -> String {
    format!("{:.0}", seconds * 1e6)
}

impl Report {
    pub(crate) fn part(&self, name: &str) {
        println!("\n{name}");
        println!("{:<58} {:>9} {:>9} {:>9} {:>9} {:>7}", "", "ours p50", "p99", "bare p50", "p99", "ratio");
    }

    /// A line of turns; the goal is the least ratio.
    pub(crate) fn turns(&mut self, name: &str, turns: &Turns, goal: Option<f64>) {
        let column = |values: &[f64], at| micros(percentile(values.to_vec(), at));
        let (ours, bare) = (&turns.ours, &turns.bare);
        let columns = [column(ours, 0.5), column(ours, 0.99), column(bare, 0.5), column(bare, 0.99)];
        self.line(name, &columns, turns.ratio(), goal);
    }

    /// A line of rates, each of as many turns.
    pub(crate) fn rates(&mut self, name: &str, ours: &[f64], bare: &[f64], goal: f64) {
        let ratio = percentile(ours.iter().zip(bare).map(|(ours, bare)| ours / bare).collect(), 0.5);
        let rate = |rates: &[f64]| format!("{:.0}/s", percentile(rates.to_vec(), 0.5));
        self.line(name, &[rate(ours), String::new(), rate(bare), String::new()], ratio, Some(goal));
    }

    fn line(&mut self, name: &str, columns: &[String; 4], ratio: f64, goal: Option<f64>) {
        let [a, b, c, d] = columns;
        let verdict = goal.map_or(String::new(), |goal| {
            let holds = ratio >= goal;
            self.short += usize::from(self.judges && !holds);
            format!("  >= {goal}  {}", if holds { "holds" } else { "short" })
        });
        println!("{name:<58} {a:>9} {b:>9} {c:>9} {d:>9} {ratio:>7.2}{verdict}");
    }

    /// A figure that is compared with nothing.
    pub(crate) fn figure(&self, name: &str, figure: &str) {
        println!("{name:<58} {figure}");
    }
}

/// A line of `/proc/self/status` in bytes, where there is such a file.
pub(crate) fn memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1_024)
}

/// Seconds of processor time that this process has taken, by the usual hundredths.
pub(crate) fn processor() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // after the name, which may hold anything, come the fields from the third on; these are the 14th and 15th
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<f64>().ok();
    Some((next()? + next()?) / 100.0)
}

/// What `count` more of something cost of memory.
pub(crate) fn each(before: Option<u64>, after: Option<u64>, count: usize) -> String {
    match (before, after) {
        (Some(before), Some(after)) => {
            format!("{:.1} KiB", after.saturating_sub(before) as f64 / 1_024.0 / count.max(1) as f64)
        }
        _ => "not known on this system".to_owned(),
    }
}

struct Wanted {
    sizes: Sizes,
    parts: Vec<String>,
    judges: bool,
}

const PARTS: [&str; 3] = ["sqlite", "postgres", "feeds"];

fn wanted(words: &[String]) -> Outcome<Wanted> {
    let tiny = !words.iter().any(|word| word == "--bench") || words.iter().any(|word| word == "--test");
    let idle = Duration::from_secs(if tiny { 0 } else { 15 });
    let mut sizes = if tiny {
        Sizes { stores: 40, headers: 400, feeds: 40, rounds: 8, idle, folder: None }
    } else {
        Sizes { stores: 10_000, headers: 1_000_000, feeds: 10_000, rounds: 1_000, idle, folder: None }
    };
    let mut parts = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} wants a value"));
        match word.as_str() {
            // cargo's own
            "--bench" | "--test" => {}
            "--stores" => sizes.stores = value()?.parse()?,
            "--headers" => sizes.headers = value()?.parse()?,
            "--feeds" => sizes.feeds = value()?.parse()?,
            "--rounds" => sizes.rounds = value()?.parse()?,
            "--folder" => sizes.folder = Some(value()?.into()),
            part if PARTS.contains(&part) => parts.push(part.to_owned()),
            other => return Err(format!("no part or option {other}; parts are {}", PARTS.join(", ")).into()),
        }
    }
    Ok(Wanted { sizes, parts, judges: !tiny })
}

fn run(words: &[String]) -> Outcome<usize> {
    match words {
        [part, rest @ ..] if part == feeds::SERVER => return feeds::server(rest).map(|()| 0),
        [part, rest @ ..] if part == feeds::CLIENT => return feeds::client(rest).map(|()| 0),
        _ => {}
    }
    let Wanted { sizes, parts, judges } = wanted(words)?;
    let wants = |part: &str| parts.is_empty() || parts.iter().any(|wanted| wanted == part);
    let mut report = Report { judges, short: 0 };
    let folder = match &sizes.folder {
        Some(folder) => tempfile::tempdir_in(folder)?,
        None => tempfile::tempdir()?,
    };
    if wants("sqlite") {
        sqlite::measure(&mut report, &sizes, &folder.path().join("sqlite"))?;
    }
    if wants("feeds") {
        feeds::measure(&report, &sizes, &folder.path().join("feeds"))?;
    }
    if wants("postgres") {
        postgres::measure(&mut report, &sizes)?;
    }
    Ok(report.short)
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match run(&words) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::from(2)
        }
    }
}
