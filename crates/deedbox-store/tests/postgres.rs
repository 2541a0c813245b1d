//! What is particular to a server: connections are lost at the worst moment, transactions meet, other hands touch the tables.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::time::Duration;

use deedbox_model::{BlobId, DatasetId, MailboxId, ObjectId, Seq, StoreId, StoreName, Timestamp};
use deedbox_store::postgres::{Config, NoTls, PostgresOptions, PostgresStorage};
use deedbox_store::{
    Commit, CommitOutcome, HeadHash, HeaderSwap, Limit, Mail, Mode, NewStore, Part, Purge, Put, Quota, RowKey, Storage,
    StorageError, Swap, Table,
};
use pollster::block_on;

#[path = "postgres/proxy.rs"]
mod proxy;
#[path = "postgres/server.rs"]
mod server;

const S: StoreId = StoreId::from_bytes([0x51; 16]);
const D: DatasetId = DatasetId::from_bytes([0xd1; 16]);
const M: MailboxId = MailboxId::from_bytes([0x31; 16]);
const B: BlobId = BlobId::from_bytes([0xb1; 16]);

fn object(n: u8) -> ObjectId {
    ObjectId::from_bytes([n; 16])
}

fn create(storage: &PostgresStorage) -> Result<(), StorageError> {
    let quota = Quota::default();
    let owner = Some((RowKey([1; 16]), b"owner".as_slice()));
    block_on(storage.create(S, &NewStore { header: b"header", header_version: 1, owner, quota: &quota }))
}

fn commit(storage: &PostgresStorage, seq: u8) -> Result<CommitOutcome, StorageError> {
    let hash = |seq: u8| HeadHash([seq; 32]);
    let at = Seq::new(u64::from(seq)).unwrap();
    let puts = [Put { object: object(seq), seq: at, kind: 1, body_hash: [7; 32], body: &[seq; 900] }];
    let part = Part {
        dataset: D,
        expect: (seq > 1).then(|| hash(seq - 1)),
        seq: at,
        hash: hash(seq),
        head: b"head",
        mode: Mode::Next,
        puts: &puts,
        removes: &[],
    };
    let quota = Quota::default();
    let header = (seq == 2).then_some(HeaderSwap { expect: 1, body: b"new header" });
    block_on(storage.commit(S, &Commit { parts: &[part], mail: &[mail(seq)], header, quota: &quota }))
}

fn mail(n: u8) -> Mail<'static> {
    let (at, expires) = (Timestamp::from_secs(1), Timestamp::from_secs(u64::from(n)));
    Mail { mailbox: M, dedupe: [n; 16], at, expires, body: b"item" }
}

/// Every operation that commits, once, with what it has to answer.
fn everything(storage: &PostgresStorage, before: impl Fn(), after: impl Fn(&str)) {
    let quota = Quota::default();
    macro_rules! once {
        ($what:literal, $operation:expr, $expected:pat) => {
            before();
            let answer = $operation;
            assert!(matches!(answer, $expected), "{}: {answer:?}", $what);
            after($what);
        };
    }
    once!("create", create(storage), Ok(()));
    once!("commit", commit(storage, 1), Ok(CommitOutcome::Done));
    once!("commit with a header", commit(storage, 2), Ok(CommitOutcome::Done));
    let push = Commit { parts: &[], mail: &[mail(9)], header: None, quota: &quota };
    once!("push", block_on(storage.commit(S, &push)), Ok(CommitOutcome::Done));
    let (table, key) = (Table::Settings, RowKey([2; 16]));
    once!("swap", block_on(storage.swap_row(S, table, key, None, Some(b"x"))), Ok(Swap::Done(Some(1))));
    once!("swap away", block_on(storage.swap_row(S, table, key, Some(1), None)), Ok(Swap::Done(None)));
    once!("append", block_on(storage.blob_append(S, B, 0, b"1234", &quota)), Ok(4));
    once!("append more", block_on(storage.blob_append(S, B, 4, b"56", &quota)), Ok(6));
    once!("seal", block_on(storage.blob_seal(S, B, 6)), Ok(()));
    let lapsed = block_on(storage.mail_list(S, M, 0, Limit::default())).unwrap();
    assert_eq!(lapsed.iter().map(|row| row.n).collect::<Vec<_>>(), [1, 2, 3]);
    once!("lapse", block_on(storage.mail_lapse(S, Timestamp::from_secs(1))).map(|gone| gone.len()), Ok(1));
    once!("ack", block_on(storage.mail_ack(S, M, 9)), Ok(2));
    let objects = [object(1)];
    once!("purge objects", block_on(storage.purge(S, Purge::Objects(D, &objects))).map(|gone| gone.rows), Ok(1));
    once!("purge blob", block_on(storage.purge(S, Purge::Blob(B))).map(|gone| gone.rows), Ok(1));
    block_on(storage.check(S)).unwrap();
    let header = block_on(storage.header(S)).unwrap();
    assert_eq!((header.version, header.value.as_slice()), (2, b"new header".as_slice()));
    once!("purge dataset", block_on(storage.purge(S, Purge::Dataset(D))).map(|gone| gone.rows), Ok(2));
    // header, owner's row
    once!("purge store", block_on(storage.purge(S, Purge::Store)).map(|gone| gone.rows), Ok(2));
    assert!(block_on(storage.stores(None, 9)).unwrap().is_empty());
}

/// A storage whose way to the server leads through a proxy.
fn proxied(databases: &server::Databases, timeout: Duration) -> (proxy::Proxy, PostgresStorage) {
    let proxy = proxy::Proxy::new(&databases.config(0));
    let mut options = PostgresOptions::new(proxy.config(&databases.config(0)), proxy.config(&databases.config(1)));
    options.timeout = timeout;
    let storage = block_on(PostgresStorage::open(options, NoTls)).unwrap();
    (proxy, storage)
}

#[test]
fn what_was_done_unanswered_is_done_once_and_answered() {
    let Some(admin) = server::server() else { return };
    let databases = server::Databases::new(&admin, 1);
    let (proxy, storage) = proxied(&databases, Duration::from_secs(20));
    for mode in [proxy::Mode::Pass, proxy::Mode::CutAfter, proxy::Mode::CutBefore] {
        everything(&storage, || proxy.set(mode), |what| assert!(proxy.passes(), "{what} was not cut by {mode:?}"));
    }
}

#[test]
fn a_server_that_cannot_be_reached_or_does_not_answer_is_a_retryable_error() {
    let Some(admin) = server::server() else { return };
    let databases = server::Databases::new(&admin, 1);
    let (proxy, storage) = proxied(&databases, Duration::from_millis(1_500));
    create(&storage).unwrap();
    assert_eq!(commit(&storage, 1).unwrap(), CommitOutcome::Done);
    proxy.set(proxy::Mode::Stall);
    for answer in [commit(&storage, 2).map(drop), block_on(storage.header(S)).map(drop)] {
        assert!(answer.is_err_and(|error| error.is_retryable()));
    }
    // what stalled goes on, and may have been done meanwhile: the retry finds out which
    proxy.set(proxy::Mode::Pass);
    match commit(&storage, 2).unwrap() {
        CommitOutcome::Done => {}
        CommitOutcome::Conflict { head: Some(head), .. } => assert_eq!(head.hash, HeadHash([2; 32])),
        other => panic!("{other:?}"),
    }
    assert_eq!(block_on(storage.heads(S, D, None, 9)).unwrap().len(), 2);

    let refused = proxy::Proxy::new(&databases.config(0));
    refused.set(proxy::Mode::Refuse);
    let way = |database: usize| refused.config(&databases.config(database));
    let mut options = PostgresOptions::new(way(0), way(1));
    options.timeout = Duration::from_millis(1_500);
    let error = block_on(PostgresStorage::open(options, NoTls)).unwrap_err();
    assert!(error.is_retryable(), "{error:?}");
}

/// Lets writes of heads fail with a SQLSTATE, so many times.
fn fail(databases: &server::Databases, state: &str, times: u32) {
    let sql = [
        "CREATE SEQUENCE IF NOT EXISTS deedbox.tries".to_owned(),
        "ALTER SEQUENCE deedbox.tries RESTART".to_owned(),
        format!(
            "CREATE OR REPLACE FUNCTION deedbox.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF nextval('deedbox.tries') <= {times} THEN
               RAISE EXCEPTION 'no. 4711 Elm Street' USING ERRCODE = '{state}', DETAIL = 'Key (name)=(Jane)';
             END IF; RETURN NEW; END $$"
        ),
        "CREATE OR REPLACE TRIGGER fail BEFORE INSERT ON deedbox.heads FOR EACH ROW EXECUTE FUNCTION deedbox.fail()"
            .to_owned(),
    ];
    server::execute(&databases.config(0), &sql);
}

#[test]
fn serialization_failures_are_tried_again_and_come_to_an_end() {
    let Some(admin) = server::server() else { return };
    let databases = server::Databases::new(&admin, 1);
    let storage = databases.open();
    create(&storage).unwrap();
    for (seq, state) in [(1, "40001"), (2, "40P01")] {
        fail(&databases, state, 4);
        assert_eq!(commit(&storage, seq).unwrap(), CommitOutcome::Done, "{state}");
        assert_eq!(server::ask(&databases.config(0), "SELECT last_value FROM deedbox.tries"), 5);
    }
    fail(&databases, "40001", 1_000);
    assert!(commit(&storage, 3).unwrap_err().is_retryable());
    assert_eq!(block_on(storage.get(S, D, &[])).unwrap().head.seq.get(), 2);
    fail(&databases, "40001", 0);
    assert_eq!(commit(&storage, 3).unwrap(), CommitOutcome::Done);
    block_on(storage.check(S)).unwrap();
}

#[test]
fn what_the_server_says_becomes_our_error_without_its_words() {
    let Some(admin) = server::server() else { return };
    let databases = server::Databases::new(&admin, 1);
    let storage = databases.open();
    create(&storage).unwrap();
    for (state, code, retry) in [
        ("53100", "Full", false),
        ("53200", "Unavailable", true),
        ("55P03", "Unavailable", true),
        ("57014", "Unavailable", true),
        ("25006", "Unavailable", true),
        ("XX001", "Corrupt", false),
        ("XX002", "Corrupt", false),
        ("23505", "Corrupt", false),
        ("42P01", "Corrupt", false),
        ("P0001", "Backend", false),
    ] {
        fail(&databases, state, 1);
        let error = commit(&storage, 1).unwrap_err();
        assert_eq!((error.code(), error.is_retryable()), (code, retry), "{state}");
        let said = format!("{error:?} {error} {:?}", std::error::Error::source(&error).map(ToString::to_string));
        assert!(!said.contains("Elm") && !said.contains("Jane"), "{said}");
    }
    assert_eq!(block_on(storage.get(S, D, &[])).unwrap_err().code(), "NotFound");
    assert_eq!(commit(&storage, 1).unwrap(), CommitOutcome::Done);
}

#[test]
fn a_commit_in_a_deadlock_with_other_hands_is_done_in_the_end() {
    let Some(admin) = server::server() else { return };
    let databases = server::Databases::new(&admin, 1);
    let storage = databases.open();
    create(&storage).unwrap();
    assert_eq!(commit(&storage, 1).unwrap(), CommitOutcome::Done);
    let config = databases.config(0);
    std::thread::scope(|scope| {
        let (locked, lock) = std::sync::mpsc::channel();
        let config = &config;
        scope.spawn(move || {
            server::runtime().block_on(async {
                let (client, connection) = config.connect(NoTls).await.unwrap();
                tokio::spawn(connection);
                client.batch_execute("BEGIN; UPDATE deedbox.head SET seq = seq").await.unwrap();
                locked.send(()).unwrap();
                let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted";
                while client.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 0 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                // one of the two is the deadlock's victim
                let _ = client.batch_execute("UPDATE deedbox.store SET stamp = stamp; COMMIT").await;
            });
        });
        lock.recv().unwrap();
        assert_eq!(commit(&storage, 2).unwrap(), CommitOutcome::Done);
    });
    block_on(storage.check(S)).unwrap();
}

#[test]
fn an_operation_given_up_half_way_leaves_its_connection_to_nobody() {
    let Some(admin) = server::server() else { return };
    let databases = server::Databases::new(&admin, 1);
    let mut options = databases.options();
    options.connections = 1;
    let storage = block_on(PostgresStorage::open(options, NoTls)).unwrap();
    create(&storage).unwrap();
    assert_eq!(commit(&storage, 1).unwrap(), CommitOutcome::Done);
    let quota = Quota::default();
    let push = Commit { parts: &[], mail: &[mail(9)], header: None, quota: &quota };
    for polls in 1..12 {
        let mut future = Box::pin(storage.commit(S, &push));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        for _ in 0..polls {
            if future.as_mut().poll(&mut context).is_ready() {
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        drop(future);
        assert_eq!(block_on(storage.header(S)).unwrap().version, 1);
    }
    assert!(block_on(storage.mail_list(S, M, 0, Limit::default())).unwrap().len() <= 2);
    block_on(storage.check(S)).unwrap();
}

#[test]
fn databases_of_newer_or_other_kinds_are_refused() {
    let Some(admin) = server::server() else { return };
    let databases = server::Databases::new(&admin, 1);
    drop(databases.open());
    let (stores, shares) = (databases.config(0), databases.config(1));
    let open = |stores: &Config, shares: &Config| {
        block_on(PostgresStorage::open(PostgresOptions::new(stores.clone(), shares.clone()), NoTls))
            .map_or_else(|error| error.code(), |_| "opened")
    };
    assert_eq!(open(&stores, &shares), "opened");
    assert_eq!(open(&stores, &stores), "Invalid");
    assert_eq!(open(&shares, &stores), "Invalid");
    server::execute(&stores, &["UPDATE deedbox.version SET version = version + 1".to_owned()]);
    assert_eq!(open(&stores, &shares), "Corrupt");
    let mut none = PostgresOptions::new(stores.clone(), shares.clone());
    none.stores.clear();
    assert_eq!(block_on(PostgresStorage::open(none, NoTls)).unwrap_err().code(), "Invalid");
    let mut nowhere = stores;
    nowhere.dbname("deedbox_nowhere");
    assert_eq!(open(&nowhere, &shares), "Backend");
}

#[test]
fn many_processes_may_make_the_tables_at_once() {
    let Some(admin) = server::server() else { return };
    let databases = server::Databases::new(&admin, 1);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6).map(|_| scope.spawn(|| databases.open())).collect();
        let storages: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        create(&storages[0]).unwrap();
        assert_eq!(commit(&storages[5], 1).unwrap(), CommitOutcome::Done);
    });
}

#[test]
fn aliases_and_listings_span_the_databases() {
    let Some(admin) = server::server() else { return };
    let databases = server::Databases::new(&admin, 3);
    let storage = databases.open();
    let quota = Quota::default();
    let new = NewStore { header: b"", header_version: 1, owner: None, quota: &quota };
    let ids: Vec<_> = (0..=255_u8).step_by(51).map(|byte| StoreId::from_bytes([byte; 16])).collect();
    for s in &ids {
        block_on(storage.create(*s, &new)).unwrap();
    }
    for (which, expected) in [(0, 2), (1, 2), (2, 2)] {
        assert_eq!(server::ask(&databases.config(which), "SELECT count(*) FROM deedbox.store"), expected);
    }
    let aliases: Vec<_> = [1, 100, 200].map(|byte: u8| StoreName::from_bytes([byte; 16])).into();
    for alias in &aliases {
        block_on(storage.set_alias(ids[0], *alias, true)).unwrap();
        assert_eq!(block_on(storage.resolve(*alias)).unwrap(), Some(ids[0]));
    }
    assert_eq!(block_on(storage.stores(None, 100)).unwrap(), ids);
    block_on(storage.purge(ids[0], Purge::Store)).unwrap();
    for alias in &aliases {
        assert_eq!(block_on(storage.resolve(*alias)).unwrap(), None);
    }
    assert_eq!(block_on(storage.set_alias(ids[0], aliases[0], true)).unwrap_err().code(), "NotFound");
}

#[test]
fn it_needs_no_runtime_and_may_be_dropped_in_one() {
    let Some(admin) = server::server() else { return };
    let databases = server::Databases::new(&admin, 1);
    let storage = databases.open();
    create(&storage).unwrap();
    let single = tokio::runtime::Builder::new_current_thread().build().unwrap();
    single.block_on(async move {
        assert_eq!(storage.header(S).await.unwrap().version, 1);
        drop(storage);
    });
}
