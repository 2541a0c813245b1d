//! Judges vector files: `cargo run --release --example vectors -- SUITE FILE...` (or `-- --list`).
//!
//! One module a suite. A case that goes wrong is one line, `FAIL name: got X, want Y`; the last line is
//! `N passed, M failed, K unsupported`; the exit status is 0 exactly when M is 0, and 2 for a wrong command line. What
//! is unsupported is decided from a case's declared needs before anything runs, never because something failed.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line program")]

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    process::ExitCode,
};

mod cbor;
mod connect;
mod consent;
mod cose;
mod ed25519;
mod edhoc;
mod hcert;
mod hpke;
mod manifest;
mod merkle;
mod record_objects;
mod sd_cwt;
mod status_list;

/// What a suite's module does with one file.
type Run = fn(&Path, &mut Report);

/// All suites, by name.
const SUITES: &[(&str, Run)] = &[
    // keep sorted by name
    ("cbor", cbor::run),
    ("connect", connect::run),
    ("consent", consent::run),
    ("cose", cose::run),
    ("ed25519", ed25519::run),
    ("edhoc", edhoc::run),
    ("edhoc-negative", edhoc::run_negative),
    ("hcert", hcert::run),
    ("hpke", hpke::run),
    ("merkle", merkle::run),
    ("record-objects", record_objects::run),
    ("sd-cwt", manifest::run::<sd_cwt::Case>),
    ("status-list", manifest::run::<status_list::Case>),
];

/// Counts verdicts and prints those that went wrong.
#[derive(Debug, Default)]
pub(crate) struct Report {
    passed: u64,
    failed: u64,
    unsupported: u64,
    verbose: bool,
}

impl Report {
    /// Judges one case: `judge` returns what was got and what was wanted; equal passes. A panic is a failure.
    pub(crate) fn case(&mut self, name: &str, judge: impl FnOnce() -> (String, String)) {
        match catch_unwind(AssertUnwindSafe(judge)) {
            Ok((got, want)) if got == want => self.passed += 1,
            Ok((got, want)) => self.fail(name, &got, &want),
            Err(_) => self.fail(name, "panic", "no panic"),
        }
    }

    /// Notes a case that needs what this build or version doesn't have.
    pub(crate) fn unsupported(&mut self, name: &str, need: &str) {
        self.unsupported += 1;
        if self.verbose {
            println!("SKIP {name}: {need}");
        }
    }

    /// Notes a failure that is no case's own: a file that can't be read or doesn't fit its schema.
    pub(crate) fn fail(&mut self, name: &str, got: &str, want: &str) {
        self.failed += 1;
        println!("FAIL {name}: got {got}, want {want}");
    }

    /// Reads `file` as the JSON of type `T`; on failure notes it under the file's name.
    pub(crate) fn load<T: serde::de::DeserializeOwned>(&mut self, file: &Path) -> Option<T> {
        let name = file.display().to_string();
        match std::fs::read(file) {
            Err(error) => self.fail(&name, &error.kind().to_string(), "a readable file"),
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(value) => return Some(value),
                Err(error) => self.fail(&name, &error.to_string(), "the suite's schema"),
            },
        }
        None
    }

    fn total(&self) -> u64 {
        self.passed + self.failed + self.unsupported
    }
}

/// Lower-case hex of `bytes`.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of lower-case hex.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.bytes().map(|byte| (byte as char).to_digit(16)?.try_into().ok()).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(digits.chunks_exact(2).filter_map(|pair| Some(pair.first()? << 4 | pair.last()?)).collect())
}

/// Runs `suite` over `files`.
fn judge(suite: &str, files: &[PathBuf], verbose: bool) -> Option<Report> {
    let (_, run) = SUITES.iter().find(|(name, _)| *name == suite)?;
    let mut report = Report { verbose, ..Report::default() };
    for file in files {
        let before = report.total();
        run(file, &mut report);
        if report.total() == before {
            report.fail(&file.display().to_string(), "no case", "at least one");
        }
    }
    Some(report)
}

fn main() -> ExitCode {
    let (options, words): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|word| word.starts_with("--"));
    if options.iter().any(|option| option == "--list") {
        for (name, _) in SUITES {
            println!("{name}");
        }
        return ExitCode::SUCCESS;
    }
    let verbose = options.iter().any(|option| option == "--verbose");
    if options.iter().any(|option| option != "--verbose") {
        eprintln!("vectors: unknown option; usage: vectors [--verbose] SUITE FILE... | --list");
        return ExitCode::from(2);
    }
    let Some((suite, files)) = words.split_first().filter(|(_, files)| !files.is_empty()) else {
        eprintln!("usage: vectors [--verbose] SUITE FILE... | --list");
        return ExitCode::from(2);
    };
    let files: Vec<PathBuf> = files.iter().map(PathBuf::from).collect();
    let Some(report) = judge(suite, &files, verbose) else {
        eprintln!("vectors: no such suite; --list names them");
        return ExitCode::from(2);
    };
    println!("{} passed, {} failed, {} unsupported", report.passed, report.failed, report.unsupported);
    if report.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests;
