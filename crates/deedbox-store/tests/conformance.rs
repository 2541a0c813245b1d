//! Every backend runs the kit, and answers random operations alike. `DEEDBOX_FULL=1` for 100,000 objects in one dataset too,
//! `DEEDBOX_FAULT_ROUNDS` for how often a server is killed or cut off.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use deedbox_model::{DatasetId, MailboxId, ObjectId, Seq, StoreId, Timestamp};
use deedbox_store::conformance::{Options, Verdict, compare, run};
use deedbox_store::{
    Commit, CommitOutcome, HeadHash, HeaderSwap, Mail, MemoryStorage, Mode, NewStore, Part, PostgresStorage, Put,
    Quota, SqliteStorage, Storage as _,
};
use proptest::prelude::*;

#[path = "postgres/cluster.rs"]
#[expect(dead_code, reason = "what the test of TLS needs of it")]
mod cluster;
#[path = "postgres/server.rs"]
mod server;

const FULL: &str = "r03_a_full_disk_changes_nothing";
const CUT: [&str; 2] = ["r03_cut_connections_lose_nothing_and_do_nothing_twice", "r03_reads_survive_cut_connections"];
const ERASED: &str = "r09_no_removed_byte_is_left";
const STAMPS: &str = "r12_a_stamp_changes_with_the_store";
const LARGE: &str = "r05_the_last_page_of_100000";

fn options() -> Options {
    let mut options = Options::default();
    options.large = std::env::var_os("DEEDBOX_FULL").is_some();
    options
}

fn assert_held(report: &deedbox_store::conformance::Report, skipped: &[&str]) {
    assert_eq!(report.failed(), Vec::<String>::new());
    let names: Vec<_> = report
        .verdicts()
        .iter()
        .filter_map(|(name, verdict)| matches!(verdict, Verdict::Skipped(_)).then_some(*name))
        .filter(|name| *name != LARGE)
        .collect();
    assert_eq!(names, skipped);
    assert_eq!(report.verdicts().len(), 34);
}

#[test]
fn memory_conforms() {
    let report = pollster::block_on(run(async || MemoryStorage::new(), &options()));
    assert_held(&report, &[FULL, CUT[0], CUT[1], ERASED]);
}

#[test]
fn sqlite_conforms() {
    // on a device that can be filled up, where one can be mounted
    let device = cluster::Device::new().map(Arc::new);
    let folder = tempfile::tempdir().unwrap();
    let folder = device.as_ref().map_or(folder.path(), |device| device.0.path());
    let count = AtomicU32::new(0);
    let make = async || {
        let root = folder.join(count.fetch_add(1, Ordering::Relaxed).to_string());
        SqliteStorage::open(root.join("stores"), root.join("shares")).unwrap()
    };
    let mut options = options();
    options.folder = Some(folder.to_owned());
    options.faults = device.clone().map(|device| device as _);
    let report = pollster::block_on(run(make, &options));
    let full = device.is_none().then_some(FULL);
    assert_held(&report, &full.into_iter().chain([CUT[0], CUT[1]]).collect::<Vec<_>>());
}

const TABLES: [&str; 13] = [
    "name",
    "store",
    "header",
    "head",
    "heads",
    "object",
    "mailbox",
    "mail",
    "blob",
    "blob_part",
    "small",
    "noted",
    "meter",
];

/// Removes every row of every store.
fn clear(databases: &server::Databases) {
    let options = databases.options();
    let stores = options.stores.iter().map(|config| (config, TABLES.as_slice()));
    for (config, tables) in stores.chain([(&options.shares, ["share"].as_slice())]) {
        if server::ask(config, "SELECT count(*) FROM pg_namespace WHERE nspname = 'deedbox'") > 0 {
            server::execute(
                config,
                &tables.iter().map(|name| format!("DELETE FROM deedbox.{name}")).collect::<Vec<_>>(),
            );
        }
    }
}

fn postgres_report(databases: &server::Databases, options: &Options) -> deedbox_store::conformance::Report {
    let make = async || {
        clear(databases);
        databases.open()
    };
    pollster::block_on(run(make, options))
}

/// A server of the test's own is killed, cut off and filled up.
#[test]
fn postgres_conforms() {
    let Some(cluster) = cluster::Cluster::new().map(Arc::new) else { return };
    let databases = server::Databases::with(&cluster.config(), 1, cluster.tablespace());
    let mut options = options();
    options.folder = Some(cluster.folder().to_owned());
    options.faults = Some(Arc::clone(&cluster) as _);
    if let Some(rounds) = std::env::var("DEEDBOX_FAULT_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()) {
        options.rounds = rounds;
    }
    let report = postgres_report(&databases, &options);
    let full = cluster.tablespace().is_empty().then_some(FULL);
    assert_held(&report, &full.into_iter().chain([ERASED, STAMPS]).collect::<Vec<_>>());
}

/// A commit is durable by one flush of the log, with everything that belongs to it.
#[test]
fn a_commit_to_postgres_is_one_flush() {
    let Some(cluster) = cluster::Cluster::new() else { return };
    let databases = server::Databases::new(&cluster.config(), 1);
    let (s, quota) = (StoreId::from_bytes([1; 16]), Quota::default());
    // what a connection counted is seen when it has ended
    let counted = |storage: PostgresStorage| {
        drop(storage);
        while server::ask(&cluster.config(), "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'deedbox'")
            > 0
        {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        server::ask(&cluster.config(), "SELECT wal_sync FROM pg_stat_wal")
    };
    let storage = databases.open();
    let new = NewStore { header: b"header", header_version: 1, owner: None, quota: &quota };
    pollster::block_on(storage.create(s, &new)).unwrap();
    let before = counted(storage);
    let storage = databases.open();
    for n in 1..=100_u8 {
        let (object, seq) = (ObjectId::from_bytes([n; 16]), Seq::new(u64::from(n)).unwrap());
        let expect = (n > 1).then(|| HeadHash([n - 1; 32]));
        let puts = [Put { object, seq, kind: 1, body_hash: [7; 32], body: &[n; 900] }];
        let (dataset, hash, mode) = (DatasetId::from_bytes([2; 16]), HeadHash([n; 32]), Mode::Next);
        let part = Part { dataset, expect, seq, hash, head: b"head", mode, puts: &puts, removes: &[] };
        let (at, expires) = (Timestamp::from_secs(1), Timestamp::from_secs(2));
        let mail = [Mail { mailbox: MailboxId::from_bytes([3; 16]), dedupe: [n; 16], at, expires, body: b"item" }];
        let header = Some(HeaderSwap { expect: u64::from(n), body: b"header" });
        let commit = Commit { parts: &[part], mail: &mail, header, quota: &quota };
        assert_eq!(pollster::block_on(storage.commit(s, &commit)).unwrap(), CommitOutcome::Done);
    }
    let flushes = counted(storage) - before;
    // the server itself flushes now and then
    assert!((100..=120).contains(&flushes), "{flushes} flushes for 100 commits");
}

/// The same rules, when the stores lie in several databases.
#[test]
fn postgres_conforms_in_several_databases() {
    let Some(admin) = server::server() else { return };
    let databases = server::Databases::new(&admin, 3);
    let report = postgres_report(&databases, &options());
    assert_held(&report, &[FULL, CUT[0], CUT[1], ERASED, STAMPS]);
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
