//! A ready host: `cargo run --release --example host [-- --listen 127.0.0.1:8480] [--origin URL] [--data DIR]
//! [--metrics 127.0.0.1:9480] [--closed]`.
//!
//! One SQLite file a store under DIR (else a temporary folder), HTTP at the address, until Ctrl-C. Whoever may reach it from
//! outside comes through a proxy that ends TLS; `--origin` is then the address that clients use. `--metrics` serves
//! counts for Prometheus under `/metrics` at an address of its own. Without `--closed` anybody may make a box.
//!
//! `--postgres URL --shares URL` keeps the stores in one PostgreSQL database and the shares in another instead, over TLS with
//! `--postgres-ca FILE`: certificates of the authorities, PEM, that vouch for the servers by name. With `--data DIR` and `--move` besides, every store under DIR is moved there, and nothing is served.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that says what it does")]

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use deedbox::{
    host::{
        Admission, Config, Host, HostError, Meters, PostgresOptions, PostgresStorage, ServeLimits, SqliteStorage,
        Storage, move_store,
        postgres::{self, NoTls, Tls},
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
    authorities: Option<PathBuf>,
    moves: bool,
    metrics: Option<SocketAddr>,
    admission: Admission,
}

fn options(mut words: impl Iterator<Item = String>) -> Result<Options, String> {
    let listen = SocketAddr::from(([127, 0, 0, 1], 8480));
    let (origin, data, postgres, shares, authorities, metrics) = (None, None, None, None, None, None);
    let admission = Admission::Open;
    let mut options = Options { listen, origin, data, postgres, shares, authorities, moves: false, metrics, admission };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} wants a value"));
        match word.as_str() {
            "--listen" => options.listen = value()?.parse().map_err(|_| "--listen wants an address and a port")?,
            "--origin" => options.origin = Some(value()?.trim_end_matches('/').to_owned()),
            "--data" => options.data = Some(value()?.into()),
            "--postgres" => options.postgres = Some(database(&value()?)?),
            "--shares" => options.shares = Some(database(&value()?)?),
            "--postgres-ca" => options.authorities = Some(value()?.into()),
            "--metrics" => {
                options.metrics = Some(value()?.parse().map_err(|_| "--metrics wants an address and a port")?);
            }
            "--move" => options.moves = true,
            "--closed" => options.admission = Admission::Closed,
            other => return Err(format!("unknown option {other}")),
        }
    }
    if options.postgres.is_some() != options.shares.is_some() {
        return Err("--postgres and --shares go together: two databases".to_owned());
    }
    if options.authorities.is_some() && options.postgres.is_none() {
        return Err("--postgres-ca goes with --postgres".to_owned());
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

/// The two databases; without authorities for a server on this machine or behind a tunnel.
async fn databases(options: &mut Options) -> Result<Option<PostgresStorage>, Box<dyn std::error::Error>> {
    let (Some(stores), Some(shares)) = (options.postgres.take(), options.shares.take()) else { return Ok(None) };
    let databases = PostgresOptions::new(stores, shares);
    Ok(Some(match &options.authorities {
        Some(file) => PostgresStorage::open_tls(databases, Tls::trusting(&std::fs::read(file)?)?).await?,
        None => PostgresStorage::open(databases, NoTls).await?,
    }))
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
    ready: impl FnOnce(&str, Option<SocketAddr>),
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

/// Serves until `stop` is done; `ready` learns the origin, and where the counts are.
async fn serve<S: Storage>(
    storage: S,
    options: Options,
    ready: impl FnOnce(&str, Option<SocketAddr>),
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut config = Config::default();
    config.admission = options.admission;
    let meters = Arc::new(Meters::new());
    let clock: fn() -> Timestamp = system_clock;
    let host = Arc::new(Host::new(storage, clock, config).with_sink(Arc::clone(&meters) as _));

    let listener = tokio::net::TcpListener::bind(options.listen).await?;
    let origin = options.origin.map_or_else(|| listener.local_addr().map(|at| format!("http://{at}")), Ok)?;
    let mut counts_at = None;
    if let Some(address) = options.metrics {
        let listener = tokio::net::TcpListener::bind(address).await?;
        counts_at = Some(listener.local_addr()?);
        let counted = Arc::clone(&host);
        let counts = axum::Router::new().route("/metrics", axum::routing::get(async move || counted.metrics()));
        tokio::spawn(deedbox::host::serve(listener, counts, ServeLimits::default(), std::future::pending(), || {}));
    }
    let rounds = tokio::spawn(rounds(Arc::clone(&host), Arc::clone(&meters)));
    ready(&origin, counts_at);
    let routes = router(Arc::clone(&host), &origin);
    // open feeds would hold up the end
    deedbox::host::serve(listener, routes, ServeLimits::default(), stop, || host.close()).await?;
    rounds.abort();
    Ok(blocking(&host, async move |host| host.write_meters(&meters).await).await?)
}

/// Every ten seconds what is to be billed is written down, every hour what has lapsed is removed.
async fn rounds<S: Storage>(host: Arc<ReadyHost<S>>, meters: Arc<Meters>) {
    let mut ten_seconds = tokio::time::interval(Duration::from_secs(10));
    for round in 0_u64.. {
        ten_seconds.tick().await;
        let meters = Arc::clone(&meters);
        if let Err(error) = blocking(&host, async move |host| host.write_meters(&meters).await).await {
            eprintln!("meters are not written: {error}");
        }
        if round % 360 == 0
            && let Ok(swept) = blocking(&host, async |host| host.sweep().await).await
        {
            println!("round: {} stores, {} mail lapsed, {} blobs lapsed", swept.stores, swept.mail, swept.blobs);
        }
    }
}

type ReadyHost<S> = Host<S, fn() -> Timestamp>;

/// Runs on a thread that may block, as files do.
async fn blocking<S: Storage, T: Send + 'static>(
    host: &Arc<ReadyHost<S>>,
    work: impl AsyncFnOnce(&ReadyHost<S>) -> Result<T, HostError> + Send + 'static,
) -> Result<T, HostError> {
    let (host, handle) = (Arc::clone(host), tokio::runtime::Handle::current());
    match tokio::task::spawn_blocking(move || handle.block_on(work(&host))).await {
        Ok(done) => done,
        Err(stopped) => std::panic::resume_unwind(stopped.into_panic()),
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
    let ready = |origin: &str, counts: Option<SocketAddr>| {
        println!("a host at {origin}; Ctrl-C ends it");
        if let Some(at) = counts {
            println!("counts at http://{at}/metrics");
        }
    };
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
    use std::{
        fs,
        io::{Read as _, Write as _},
        net::TcpStream,
        path::Path,
    };

    use deedbox::{
        HttpHost, PersonError,
        parts::{model::StoreId, record::HeadError},
        person::{Keepsake, Open, Person, Pins, Secret},
    };
    use pollster::block_on;

    use super::*;

    /// Serves on a thread of its own while `visit` runs with the origin.
    fn served<T>(words: &[&str], visit: impl FnOnce(&str) -> T) -> T {
        counted(words, |origin, _| visit(origin))
    }

    /// The same, for who wants the counts too.
    fn counted<T>(words: &[&str], visit: impl FnOnce(&str, Option<SocketAddr>) -> T) -> T {
        let words = ["--listen", "127.0.0.1:0"].iter().chain(words).map(|word| (*word).to_owned());
        let options = options(words).ok().unwrap();
        let (tell, told) = tokio::sync::oneshot::channel();
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let server = std::thread::spawn(move || {
            let stop = async {
                let _ = ended.await;
            };
            let ready = |origin: &str, counts: Option<SocketAddr>| tell.send((origin.to_owned(), counts)).unwrap();
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(run(options, ready, stop)).map_err(|error| error.to_string())
        });
        let (origin, counts) = told.blocking_recv().unwrap();
        let visited = visit(&origin, counts);
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

    #[test]
    fn counts_are_served_at_an_address_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().to_str().unwrap();
        let get = |at: SocketAddr, path: &str| {
            let mut stream = TcpStream::connect(at).unwrap();
            write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        };
        counted(&["--data", data, "--metrics", "127.0.0.1:0"], |origin, counts| {
            block_on(Person::create(HttpHost::new(origin), "a passphrase")).unwrap();
            let counts = get(counts.unwrap(), "/metrics");
            assert!(counts.starts_with("HTTP/1.1 200") && counts.contains("deedbox_feeds_open 0"), "{counts}");
            // and not where strangers ask
            let public = get(origin.trim_start_matches("http://").parse().unwrap(), "/metrics");
            assert!(public.starts_with("HTTP/1.1 404"), "{public}");
        });
        // written down at the end, besides every ten seconds
        let file = rusqlite::Connection::open(folder.path().join("stores/host.sqlite")).unwrap();
        let noted: i64 = file.query_row("SELECT time FROM noted", [], |row| row.get(0)).unwrap();
        assert!(noted > 0);
    }

    fn unlock(origin: &str, keepsake: &Keepsake, pins: Option<&Pins>) -> Result<Person<Open<HttpHost>>, PersonError> {
        block_on(async {
            let locked = Person::locate(HttpHost::new(origin), keepsake.store).await?;
            locked.unlock(&Secret::RecoveryPhrase(&keepsake.recovery_phrase), pins).await
        })
    }

    /// Copies a file that may be in use.
    fn back_up(data: &Path, copy: &Path, file: &str) {
        fs::create_dir_all(copy.join(file).parent().unwrap()).unwrap();
        let from = rusqlite::Connection::open(data.join(file)).unwrap();
        from.backup("main", copy.join(file), None::<fn(rusqlite::backup::Progress)>).unwrap();
    }

    fn verified(data: &Path, s: StoreId) -> Result<(), String> {
        let storage = SqliteStorage::open(data.join("stores"), data.join("shares")).map_err(|e| e.to_string())?;
        let clock: fn() -> Timestamp = system_clock;
        let report =
            block_on(Host::new(storage, clock, Config::default()).verify_store(s)).map_err(|e| e.to_string())?;
        if report.faults.is_empty() { Ok(()) } else { Err(format!("{:?}", report.faults)) }
    }

    /// The drill of docs/hosting.md: backed up while it serves, restored to an empty folder, verified, served again. Who was
    /// ahead of the back-up notices.
    #[test]
    fn a_back_up_is_restored_and_who_was_ahead_notices() {
        let folder = tempfile::tempdir().unwrap();
        let (data, copy) = (folder.path().join("data"), folder.path().join("copy"));
        let (keepsake, before, pins) = served(&["--data", data.to_str().unwrap()], |origin| {
            let (mut person, keepsake) = block_on(Person::create(HttpHost::new(origin), "a passphrase")).unwrap();
            block_on(person.import(br#"{"person": {"name": "Maren Holloway"}}"#, "myself")).unwrap();
            let id = keepsake.store.to_string();
            let store = format!("stores/stores/{}/{id}/store.sqlite", &id[..2]);
            for file in [store.as_str(), "stores/host.sqlite", "shares/shares.sqlite"] {
                back_up(&data, &copy, file);
            }
            let before = person.values().unwrap();
            block_on(person.import(br#"{"person": {"name": "Maren H."}}"#, "myself")).unwrap();
            assert_ne!(person.values().unwrap(), before);
            (keepsake, before, person.pins())
        });
        verified(&copy, keepsake.store).unwrap();
        served(&["--data", copy.to_str().unwrap()], |origin| {
            let error = unlock(origin, &keepsake, Some(&pins)).unwrap_err();
            assert!(matches!(error, PersonError::Head(HeadError::Rollback { .. })), "{error:?}");
            // without a memory nobody can know
            assert_eq!(unlock(origin, &keepsake, None).unwrap().values().unwrap(), before);
        });
        // a back-up that is damaged where SQLite sees nothing
        let id = keepsake.store.to_string();
        let store = copy.join("stores/stores").join(&id[..2]).join(&id).join("store.sqlite");
        let sql = "UPDATE object SET body = zeroblob(length(body)) WHERE id = (SELECT min(id) FROM object)";
        rusqlite::Connection::open(store).unwrap().execute(sql, []).unwrap();
        assert_eq!(verified(&copy, keepsake.store), Err("[Body]".to_owned()));
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
        runtime.block_on(run(options, |_, _| {}, std::future::pending())).unwrap();
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
            vec!["--other"],
            vec!["--metrics", "9480"],
            vec!["--other"],
            vec!["--postgres", "postgresql://server/stores"],
            vec!["--postgres", "no url", "--shares", "postgresql://server/shares"],
            vec!["--move", "--data", "folder"],
            vec!["--postgres-ca", "ca.pem"],
        ] {
            assert!(options(words.into_iter().map(str::to_owned)).is_err());
        }
    }
}
