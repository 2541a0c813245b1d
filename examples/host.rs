//! A ready host: `cargo run --release --example host [-- --listen 127.0.0.1:8480] [--origin URL] [--data DIR] [--closed]`.
//!
//! One SQLite file a store under DIR (else a temporary folder), HTTP at the address, until Ctrl-C. Whoever may reach it from
//! outside comes through a proxy that ends TLS; `--origin` is then the address that clients use. Without `--closed` anybody
//! may make a box.
//!
//! `--postgres URL --shares URL` keeps the stores in one PostgreSQL database and the shares in another instead; with `--data DIR`
//! and `--move` besides, every store under DIR is moved there, and nothing is served.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that says what it does")]

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use deedbox::{
    host::{
        Admission, Config, Host, Meters, PostgresOptions, PostgresStorage, ServeLimits, SqliteStorage, Storage,
        move_store,
        postgres::{self, NoTls},
        router, system_clock,
    },
    parts::model::Timestamp,
};

struct Options {
    listen: SocketAddr,
    origin: Option<String>,
    data: Option<PathBuf>,
    postgres: Option<postgres::Config>,
    shares: Option<postgres::Config>,
    moves: bool,
    admission: Admission,
}

fn options(mut words: impl Iterator<Item = String>) -> Result<Options, String> {
    let listen = SocketAddr::from(([127, 0, 0, 1], 8480));
    let (origin, data, postgres, shares) = (None, None, None, None);
    let mut options = Options { listen, origin, data, postgres, shares, moves: false, admission: Admission::Open };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} wants a value"));
        match word.as_str() {
            "--listen" => options.listen = value()?.parse().map_err(|_| "--listen wants an address and a port")?,
            "--origin" => options.origin = Some(value()?.trim_end_matches('/').to_owned()),
            "--data" => options.data = Some(value()?.into()),
            "--postgres" => options.postgres = Some(database(&value()?)?),
            "--shares" => options.shares = Some(database(&value()?)?),
            "--move" => options.moves = true,
            "--closed" => options.admission = Admission::Closed,
            other => return Err(format!("unknown option {other}")),
        }
    }
    if options.postgres.is_some() != options.shares.is_some() {
        return Err("--postgres and --shares go together: two databases".to_owned());
    }
    if options.moves && (options.postgres.is_none() || options.data.is_none()) {
        return Err("--move wants --data, --postgres and --shares".to_owned());
    }
    Ok(options)
}

fn database(url: &str) -> Result<postgres::Config, String> {
    // what it says holds the password
    url.parse().map_err(|_| "a database is postgresql://user:password@server/name".to_owned())
}

/// The two databases. Without TLS: for a server on this machine or behind a tunnel; a service passes its own connector.
async fn databases(options: &mut Options) -> Result<Option<PostgresStorage>, Box<dyn std::error::Error>> {
    let (Some(stores), Some(shares)) = (options.postgres.take(), options.shares.take()) else { return Ok(None) };
    Ok(Some(PostgresStorage::open(PostgresOptions::new(stores, shares), NoTls).await?))
}

/// Every store from files to databases, one after the other; made again it goes on where it was interrupted.
async fn move_all(from: &SqliteStorage, to: &PostgresStorage) -> Result<u64, Box<dyn std::error::Error>> {
    let mut moved = 0;
    while let Some(s) = from.stores(None, 1).await?.pop() {
        move_store(from, to, s).await?;
        moved += 1;
    }
    Ok(moved)
}

/// Moves or serves, as the options say.
async fn run(
    mut options: Options,
    ready: impl FnOnce(&str),
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Box<dyn std::error::Error>> {
    let temporary = tempfile::tempdir()?;
    let data = options.data.clone().unwrap_or_else(|| temporary.path().to_owned());
    // the shares in a folder of their own, so that they can have back-ups of their own
    let files = || SqliteStorage::open(data.join("stores"), data.join("shares"));
    match databases(&mut options).await? {
        Some(databases) if options.moves => {
            println!("{} stores moved", move_all(&files()?, &databases).await?);
            Ok(())
        }
        Some(databases) => serve(databases, options, ready, stop).await,
        None => serve(files()?, options, ready, stop).await,
    }
}

/// Serves until `stop` is done; `ready` learns the origin.
async fn serve<S: Storage>(
    storage: S,
    options: Options,
    ready: impl FnOnce(&str),
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut config = Config::default();
    config.admission = options.admission;
    let meters = Arc::new(Meters::new());
    let clock: fn() -> Timestamp = system_clock;
    let host = Arc::new(Host::new(storage, clock, config).with_sink(Arc::clone(&meters) as _));

    let listener = tokio::net::TcpListener::bind(options.listen).await?;
    let origin = options.origin.map_or_else(|| listener.local_addr().map(|at| format!("http://{at}")), Ok)?;
    let rounds = tokio::spawn(rounds(Arc::clone(&host), meters));
    ready(&origin);
    let routes = router(Arc::clone(&host), &origin);
    // open feeds would hold up the end
    deedbox::host::serve(listener, routes, ServeLimits::default(), stop, || host.close()).await?;
    rounds.abort();
    Ok(())
}

/// Once an hour: what has lapsed is removed, what is to be billed is written down. Here it is only counted.
async fn rounds<S: Storage>(host: Arc<Host<S, fn() -> Timestamp>>, meters: Arc<Meters>) {
    let mut hour = tokio::time::interval(Duration::from_secs(3_600));
    loop {
        hour.tick().await;
        let (host, handle) = (Arc::clone(&host), tokio::runtime::Handle::current());
        let swept = tokio::task::spawn_blocking(move || handle.block_on(host.sweep())).await;
        if let Ok(Ok(swept)) = swept {
            println!("round: {} stores, {} mail lapsed, {} blobs lapsed", swept.stores, swept.mail, swept.blobs);
        }
        println!("to bill: {} sums", meters.take().len());
    }
}

fn main() -> ExitCode {
    let options = match options(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(line) => {
            eprintln!("host: {line}");
            return ExitCode::from(2);
        }
    };
    let stop = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    let ready = |origin: &str| println!("a host at {origin}; Ctrl-C ends it");
    let run = tokio::runtime::Runtime::new().map_err(Into::into).and_then(|rt| rt.block_on(run(options, ready, stop)));
    match run {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("host: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use deedbox::{
        HttpHost,
        person::{Person, Secret},
    };

    use super::*;

    /// Serves on a thread of its own while `visit` runs with the origin.
    fn served<T>(words: &[&str], visit: impl FnOnce(&str) -> T) -> T {
        let words = ["--listen", "127.0.0.1:0"].iter().chain(words).map(|word| (*word).to_owned());
        let options = options(words).ok().unwrap();
        let (tell, told) = tokio::sync::oneshot::channel();
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let server = std::thread::spawn(move || {
            let stop = async {
                let _ = ended.await;
            };
            let ready = |origin: &str| tell.send(origin.to_owned()).unwrap();
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(run(options, ready, stop)).map_err(|error| error.to_string())
        });
        let visited = visit(&told.blocking_recv().unwrap());
        end.send(()).unwrap();
        server.join().unwrap().unwrap();
        visited
    }

    #[test]
    fn it_serves_a_box_and_stops_when_told() {
        let folder = tempfile::tempdir().unwrap();
        let keepsake = served(&["--data", folder.path().to_str().unwrap()], |origin| {
            let made = pollster::block_on(Person::create(HttpHost::new(origin), "a passphrase"));
            let (person, keepsake) = made.unwrap();
            assert!(person.values().unwrap().is_empty());
            keepsake
        });
        let id = keepsake.store.to_string();
        assert!(folder.path().join("stores/stores").join(&id[..2]).join(&id).join("store.sqlite").exists());
    }

    /// Runs statements on the server that `DEEDBOX_POSTGRES` names.
    fn execute(server: &postgres::Config, statements: &[String]) {
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let (client, connection) = server.connect(NoTls).await.unwrap();
            tokio::spawn(connection);
            for sql in statements {
                client.batch_execute(sql).await.unwrap();
            }
        });
    }

    #[test]
    fn boxes_move_from_files_to_postgres_and_open_there() {
        let Ok(server) = std::env::var("DEEDBOX_POSTGRES") else {
            eprintln!("skipped: DEEDBOX_POSTGRES names no server");
            return;
        };
        let admin: postgres::Config = server.parse().unwrap();
        let names = ["stores", "shares"].map(|what| format!("deedbox_host_{}_{what}", std::process::id()));
        execute(&admin, &names.each_ref().map(|name| format!("CREATE DATABASE {name}")));
        // a later dbname takes the place of an earlier one
        let urls = names.each_ref().map(|name| {
            let url = server.rsplit_once('/').filter(|_| server.contains("://"));
            url.map_or_else(|| format!("{server} dbname={name}"), |(front, _)| format!("{front}/{name}"))
        });
        let folder = tempfile::tempdir().unwrap();
        let data = ["--data", folder.path().to_str().unwrap()];
        let databases = ["--postgres", &urls[0], "--shares", &urls[1]];
        let keepsake = served(&data, |origin| {
            pollster::block_on(Person::create(HttpHost::new(origin), "a passphrase")).unwrap().1
        });
        let words = data.iter().chain(&databases).chain(&["--move"]).map(|word| (*word).to_owned());
        let options = options(words).ok().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(run(options, |_| {}, std::future::pending())).unwrap();
        assert!(
            std::fs::read_dir(folder.path().join("stores/stores"))
                .unwrap()
                .all(|first| { std::fs::read_dir(first.unwrap().path()).unwrap().next().is_none() })
        );
        served(&databases, |origin| {
            let opened = pollster::block_on(async {
                let locked = Person::locate(HttpHost::new(origin), keepsake.store).await?;
                locked.unlock(&Secret::RecoveryPhrase(&keepsake.recovery_phrase), None).await
            });
            assert!(opened.unwrap().values().unwrap().is_empty());
        });
        execute(&admin, &names.each_ref().map(|name| format!("DROP DATABASE {name} WITH (FORCE)")));
    }

    #[test]
    fn bad_options_are_one_line() {
        for words in [
            vec!["--listen"],
            vec!["--listen", "here"],
            vec!["--other"],
            vec!["--postgres", "postgresql://server/stores"],
            vec!["--postgres", "no url", "--shares", "postgresql://server/shares"],
            vec!["--move", "--data", "folder"],
        ] {
            assert!(options(words.into_iter().map(str::to_owned)).is_err());
        }
    }
}
