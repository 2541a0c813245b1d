//! A ready host: `cargo run --release --example host [-- --listen 127.0.0.1:8480] [--origin URL] [--data DIR] [--closed]`.
//!
//! One SQLite file a store under DIR (else a temporary folder), HTTP at the address, until Ctrl-C. Whoever may reach it from
//! outside comes through a proxy that ends TLS; `--origin` is then the address that clients use. Without `--closed` anybody
//! may make a box.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that says what it does")]

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use deedbox::{
    host::{Admission, Config, Host, Meters, SqliteStorage, router, system_clock},
    parts::model::Timestamp,
};

struct Options {
    listen: SocketAddr,
    origin: Option<String>,
    data: Option<PathBuf>,
    admission: Admission,
}

fn options(mut words: impl Iterator<Item = String>) -> Result<Options, String> {
    let listen = SocketAddr::from(([127, 0, 0, 1], 8480));
    let mut options = Options { listen, origin: None, data: None, admission: Admission::Open };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} wants a value"));
        match word.as_str() {
            "--listen" => options.listen = value()?.parse().map_err(|_| "--listen wants an address and a port")?,
            "--origin" => options.origin = Some(value()?.trim_end_matches('/').to_owned()),
            "--data" => options.data = Some(value()?.into()),
            "--closed" => options.admission = Admission::Closed,
            other => return Err(format!("unknown option {other}")),
        }
    }
    Ok(options)
}

/// Serves until `stop` is done; `ready` learns the origin.
async fn serve(
    options: Options,
    ready: impl FnOnce(&str),
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Box<dyn std::error::Error>> {
    let temporary = tempfile::tempdir()?;
    let data = options.data.unwrap_or_else(|| temporary.path().to_owned());
    // the shares in a folder of their own, so that they can have back-ups of their own
    let storage = SqliteStorage::open(data.join("stores"), data.join("shares"))?;
    let mut config = Config::default();
    config.admission = options.admission;
    let meters = Arc::new(Meters::new());
    let clock: fn() -> Timestamp = system_clock;
    let host = Arc::new(Host::new(storage, clock, config).with_sink(Arc::clone(&meters) as _));

    let listener = tokio::net::TcpListener::bind(options.listen).await?;
    let origin = options.origin.map_or_else(|| listener.local_addr().map(|at| format!("http://{at}")), Ok)?;
    let rounds = tokio::spawn(rounds(Arc::clone(&host), meters));
    ready(&origin);
    let closing = Arc::clone(&host);
    let stop = async move {
        stop.await;
        // open feeds would hold up the shutdown
        closing.close();
    };
    axum::serve(listener, router(host, &origin)).with_graceful_shutdown(stop).await?;
    rounds.abort();
    Ok(())
}

/// Once an hour: what has lapsed is removed, what is to be billed is written down. Here it is only counted.
async fn rounds(host: Arc<Host<SqliteStorage, fn() -> Timestamp>>, meters: Arc<Meters>) {
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
    let run =
        tokio::runtime::Runtime::new().map_err(Into::into).and_then(|rt| rt.block_on(serve(options, ready, stop)));
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
    use deedbox::{HttpHost, person::Person};

    use super::*;

    #[test]
    fn it_serves_a_box_and_stops_when_told() {
        let folder = tempfile::tempdir().unwrap();
        let words = ["--listen", "127.0.0.1:0", "--data", folder.path().to_str().unwrap()].map(str::to_owned);
        let options = options(words.into_iter()).ok().unwrap();
        let (tell, told) = tokio::sync::oneshot::channel();
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let server = std::thread::spawn(move || {
            let stop = async {
                let _ = ended.await;
            };
            let ready = |origin: &str| tell.send(origin.to_owned()).unwrap();
            tokio::runtime::Runtime::new()
                .unwrap()
                .block_on(serve(options, ready, stop))
                .map_err(|error| error.to_string())
        });
        let origin = told.blocking_recv().unwrap();
        let (person, keepsake) = pollster::block_on(Person::create(HttpHost::new(&origin), "a passphrase")).unwrap();
        assert!(person.values().unwrap().is_empty());
        end.send(()).unwrap();
        server.join().unwrap().unwrap();
        let id = keepsake.store.to_string();
        assert!(folder.path().join("stores/stores").join(&id[..2]).join(&id).join("store.sqlite").exists());
    }

    #[test]
    fn bad_options_are_one_line() {
        for words in [vec!["--listen"], vec!["--listen", "here"], vec!["--other"]] {
            assert!(options(words.into_iter().map(str::to_owned)).is_err());
        }
    }
}
