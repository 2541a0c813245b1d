//! Every claim about speed, re-measured: `cargo run --release --example ratios [-- AREA]`.
//!
//! Each claim is a ratio of two pieces of work in this process, measured in paired rounds so that whatever else the machine
//! does falls on both; the median of the rounds' ratios is compared with the goal. Equality of results is asserted before
//! anything is timed. One line a claim, `name  median-ratio  goal  holds|short`; exit 1 when one is short.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line program")]

use std::{process::ExitCode, time::Instant};

mod connect;
mod consent;
mod credential;
mod foundation;
mod host;
mod record;

/// A goal: ours divided by the other's time.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    /// At most this ratio.
    AtMost(f64),
    /// At least this many times faster: the other's time divided by ours.
    Faster(f64),
}

/// Measures claims and remembers whether all held.
pub(crate) struct Claims {
    rounds: usize,
    short: usize,
}

impl Claims {
    /// Measures `ours` against `other` and prints the claim's line.
    pub(crate) fn claim(&mut self, name: &str, goal: Goal, mut ours: impl FnMut(), mut other: impl FnMut()) {
        let (ours_loops, other_loops) = (loops(&mut ours), loops(&mut other));
        let mut ratios: Vec<f64> = (0..self.rounds)
            .map(|round| {
                // Which goes first alternates, so that neither always finds a warm cache.
                let (a, b) = if round % 2 == 0 {
                    let a = time(&mut ours, ours_loops);
                    (a, time(&mut other, other_loops))
                } else {
                    let b = time(&mut other, other_loops);
                    (time(&mut ours, ours_loops), b)
                };
                a / b
            })
            .collect();
        ratios.sort_by(f64::total_cmp);
        let ratio = ratios.get(ratios.len() / 2).copied().unwrap_or(f64::NAN);
        let (shown, goal, holds) = match goal {
            Goal::AtMost(most) => (ratio, format!("<= {most}"), ratio <= most),
            Goal::Faster(least) => (1.0 / ratio, format!(">= {least} x"), 1.0 / ratio >= least),
        };
        self.short += usize::from(!holds);
        println!("{name:<44} {shown:>7.3}  {goal:<9}  {}", if holds { "holds" } else { "short" });
    }
}

/// How many times `work` runs in about two milliseconds, by the quickest of some tries: on a busy machine a single one may have
/// waited for longer than it worked.
fn loops(work: &mut impl FnMut()) -> u32 {
    let mut loops = 1;
    while (0..5).any(|_| time(work, loops) * f64::from(loops) < 0.002) && loops < 1 << 20 {
        loops *= 2;
    }
    loops
}

/// Seconds that one run of `work` takes.
#[expect(clippy::disallowed_methods, reason = "this program measures")]
fn time(work: &mut impl FnMut(), loops: u32) -> f64 {
    let started = Instant::now();
    for _ in 0..loops {
        work();
    }
    started.elapsed().as_secs_f64() / f64::from(loops)
}

/// Measures the claims of one area.
type Measure = fn(&mut Claims);

/// The areas, each filled by the work that built it.
const AREAS: &[(&str, Measure)] = &[
    ("foundation", foundation::measure),
    ("record", record::measure),
    ("credential", credential::measure),
    ("consent", consent::measure),
    ("connect", connect::measure),
    ("host", host::measure),
];

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = wanted.iter().find(|name| !AREAS.iter().any(|(area, _)| area == name)) {
        let areas: Vec<&str> = AREAS.iter().map(|(area, _)| *area).collect();
        eprintln!("ratios: no area {unknown:?}; there are: {}", areas.join(", "));
        return ExitCode::from(2);
    }
    // A debug build shows that every claim can be measured; only a release build measures it.
    let rounds = if cfg!(debug_assertions) { 1 } else { 101 };
    let mut claims = Claims { rounds, short: 0 };
    for (area, measure) in AREAS {
        if wanted.is_empty() || wanted.iter().any(|name| name == area) {
            measure(&mut claims);
        }
    }
    if claims.short == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[test]
fn every_claim_can_be_measured() {
    for (_, measure) in AREAS {
        measure(&mut Claims { rounds: 1, short: 0 });
    }
}
