//! The server that `DEEDBOX_POSTGRES` names, and databases of a test's own on it.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of tests fail by panicking, and say what they skip"
)]

use std::sync::atomic::{AtomicU32, Ordering};

use deedbox_store::postgres::{Config, NoTls, PostgresOptions, PostgresStorage, tokio_postgres};

static COUNT: AtomicU32 = AtomicU32::new(0);

/// What runs futures that need sockets.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// The server's address; `None`, and a line, when there is none.
pub(crate) fn server() -> Option<Config> {
    let url = std::env::var("DEEDBOX_POSTGRES").ok();
    if url.is_none() {
        eprintln!("skipped: DEEDBOX_POSTGRES names no server");
    }
    url.map(|url| url.parse().unwrap())
}

/// Runs statements on a database.
pub(crate) fn execute(config: &Config, statements: &[String]) {
    runtime().block_on(async {
        let (client, connection) = config.connect(NoTls).await.unwrap();
        let task = tokio::spawn(connection);
        for sql in statements {
            client.batch_execute(sql).await.unwrap();
        }
        drop(client);
        let _ = task.await;
    });
}

/// One number that a statement gives.
pub(crate) fn ask(config: &Config, sql: &str) -> i64 {
    runtime().block_on(async {
        let (client, connection): (tokio_postgres::Client, _) = config.connect(NoTls).await.unwrap();
        let task = tokio::spawn(connection);
        let answer = client.query_one(sql, &[]).await.unwrap().get(0);
        drop(client);
        let _ = task.await;
        answer
    })
}

/// Empty databases, dropped with this.
pub(crate) struct Databases {
    admin: Config,
    names: Vec<String>,
}

impl Databases {
    /// So many databases for stores, and one for shares.
    pub(crate) fn new(admin: &Config, stores: usize) -> Self {
        Self::with(admin, stores, "")
    }

    /// The same, with more words for each `CREATE DATABASE`.
    pub(crate) fn with(admin: &Config, stores: usize, words: &str) -> Self {
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = |which: usize| format!("deedbox_test_{}_{n}_{which}", std::process::id());
        let names: Vec<_> = (0..=stores).map(name).collect();
        let statements: Vec<_> = names.iter().map(|name| format!("CREATE DATABASE {name}{words}")).collect();
        execute(admin, &statements);
        Self { admin: admin.clone(), names }
    }

    /// The configuration of one of them; the last is the shares'.
    pub(crate) fn config(&self, which: usize) -> Config {
        let mut config = self.admin.clone();
        config.dbname(self.names[which].clone());
        config
    }

    pub(crate) fn options(&self) -> PostgresOptions {
        let last = self.names.len() - 1;
        let mut options = PostgresOptions::new(self.config(0), self.config(last));
        options.stores = (0..last).map(|which| self.config(which)).collect();
        options
    }

    pub(crate) fn open(&self) -> PostgresStorage {
        pollster::block_on(PostgresStorage::open(self.options(), NoTls)).unwrap()
    }
}

impl Drop for Databases {
    fn drop(&mut self) {
        let drop = |name: &String| format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
        execute(&self.admin, &self.names.iter().map(drop).collect::<Vec<_>>());
    }
}
