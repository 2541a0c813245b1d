//! Both backends run the kit, and answer random operations alike.

use std::sync::atomic::{AtomicU32, Ordering};

use deedbox_store::conformance::{Options, Verdict, compare, run};
use deedbox_store::{MemoryStorage, SqliteStorage};
use proptest::prelude::*;

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

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn random_operations_answer_alike(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let folder = tempfile::tempdir().unwrap();
        let sqlite = SqliteStorage::open(folder.path().join("stores"), folder.path().join("shares")).unwrap();
        pollster::block_on(compare(&bytes, &MemoryStorage::new(), &sqlite)).unwrap();
    }
}
