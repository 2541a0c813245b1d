//! Every backend runs the kit, and answers random operations alike.

use std::sync::atomic::{AtomicU32, Ordering};

use deedbox_store::conformance::{Options, Verdict, compare, run};
use deedbox_store::{MemoryStorage, SqliteStorage};
use proptest::prelude::*;

#[path = "postgres/server.rs"]
mod server;

fn assert_held(report: &deedbox_store::conformance::Report, skipped: &[&str]) {
    assert_eq!(report.failed(), Vec::<String>::new());
    let names: Vec<_> = report
        .verdicts()
        .iter()
        .filter_map(|(name, verdict)| matches!(verdict, Verdict::Skipped(_)).then_some(*name))
        .collect();
    assert_eq!(names, skipped);
    assert_eq!(report.verdicts().len(), 25);
}

#[test]
fn memory_conforms() {
    let report = pollster::block_on(run(async || MemoryStorage::new(), &Options::default()));
    assert_held(&report, &["r09_no_removed_byte_is_left", "r05_the_last_page_of_100000"]);
}

#[test]
fn sqlite_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let count = AtomicU32::new(0);
    let make = async || {
        let root = folder.path().join(count.fetch_add(1, Ordering::Relaxed).to_string());
        SqliteStorage::open(root.join("stores"), root.join("shares")).unwrap()
    };
    let mut options = Options::default();
    options.folder = Some(folder.path().to_owned());
    let report = pollster::block_on(run(make, &options));
    assert_held(&report, &["r05_the_last_page_of_100000"]);
}

/// The same rules, whether the stores lie in one database or in several.
#[test]
fn postgres_conforms() {
    let Some(admin) = server::server() else { return };
    for stores in [1, 3] {
        let databases = server::Databases::new(&admin, stores);
        let make = async || {
            databases.clear();
            databases.open()
        };
        let mut options = Options::default();
        options.folder = std::env::var_os("DEEDBOX_POSTGRES_DATA").map(Into::into);
        let report = pollster::block_on(run(make, &options));
        assert_held(&report, &["r09_no_removed_byte_is_left", "r05_the_last_page_of_100000"]);
    }
}

#[test]
fn postgres_answers_random_operations_like_memory() {
    let Some(admin) = server::server() else { return };
    let databases = server::Databases::new(&admin, 2);
    let storage = databases.open();
    let cases = ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(cases, |(bytes in proptest::collection::vec(any::<u8>(), 0..600))| {
        pollster::block_on(compare(&bytes, &MemoryStorage::new(), &storage)).unwrap();
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn random_operations_answer_alike(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let folder = tempfile::tempdir().unwrap();
        let sqlite = SqliteStorage::open(folder.path().join("stores"), folder.path().join("shares")).unwrap();
        pollster::block_on(compare(&bytes, &MemoryStorage::new(), &sqlite)).unwrap();
    }
}
