//! A proxy before the server that breaks connections at a chosen moment.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use deedbox_store::postgres::Config;
use deedbox_store::postgres::tokio_postgres::config::Host;

/// What the proxy does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Mode {
    /// Everything goes through.
    Pass,
    /// The next COMMIT does not reach the server, and the connection ends.
    CutBefore,
    /// The next COMMIT is done, its answer is lost, and so is the connection.
    CutAfter,
    /// Nobody gets through.
    Refuse,
    /// Nothing more is answered.
    Stall,
}

pub(crate) struct Proxy {
    port: u16,
    mode: Arc<AtomicU8>,
}

impl Proxy {
    pub(crate) fn new(server: &Config) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mode = Arc::new(AtomicU8::new(Mode::Pass as u8));
        let (server, shared) = (server.clone(), Arc::clone(&mode));
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                if shared.load(Ordering::SeqCst) != Mode::Refuse as u8 {
                    serve(client, &server, &shared);
                }
            }
        });
        Self { port, mode }
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.store(mode as u8, Ordering::SeqCst);
    }

    /// Whether the last mode waits for its COMMIT no longer.
    pub(crate) fn passes(&self) -> bool {
        self.mode.load(Ordering::SeqCst) == Mode::Pass as u8
    }

    /// The way to a database of the server through the proxy.
    pub(crate) fn config(&self, database: &Config) -> Config {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.port).dbname(database.get_dbname().unwrap());
        config.user(database.get_user().unwrap());
        if let Some(password) = database.get_password() {
            config.password(password);
        }
        config
    }
}

/// One side's socket, whatever it is made of.
trait Side: Read + Write + Send {
    fn twin(&self) -> Box<dyn Side>;
    fn end(&self);
}

impl Side for TcpStream {
    fn twin(&self) -> Box<dyn Side> {
        Box::new(self.try_clone().unwrap())
    }
    fn end(&self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

impl Side for UnixStream {
    fn twin(&self) -> Box<dyn Side> {
        Box::new(self.try_clone().unwrap())
    }
    fn end(&self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

fn connect(server: &Config) -> Box<dyn Side> {
    let port = server.get_ports().first().copied().unwrap_or(5432);
    match &server.get_hosts()[0] {
        Host::Tcp(host) => Box::new(TcpStream::connect((host.as_str(), port)).unwrap()),
        Host::Unix(folder) => Box::new(UnixStream::connect(folder.join(format!(".s.PGSQL.{port}"))).unwrap()),
    }
}

fn holds(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

fn serve(client: TcpStream, server: &Config, mode: &Arc<AtomicU8>) {
    let server = connect(server);
    let swallow = Arc::new(AtomicBool::new(false));
    let stalls = |mode: &AtomicU8| {
        while mode.load(Ordering::SeqCst) == Mode::Stall as u8 {
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let (mut from, mut to) = (client.twin(), server.twin());
    let (shared, swallows) = (Arc::clone(mode), Arc::clone(&swallow));
    std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let bytes = &buffer[..length];
            stalls(&shared);
            let due = |mode: Mode| {
                // the statement, not READ COMMITTED
                holds(bytes, b"COMMIT\0")
                    && shared.compare_exchange(mode as u8, Mode::Pass as u8, Ordering::SeqCst, Ordering::SeqCst).is_ok()
            };
            if due(Mode::CutBefore) {
                break;
            }
            if due(Mode::CutAfter) {
                swallows.store(true, Ordering::SeqCst);
            }
            if to.write_all(bytes).is_err() {
                break;
            }
        }
        if !swallows.load(Ordering::SeqCst) {
            from.end();
            to.end();
        }
    });
    let (mut from, mut to, shared) = (server, client, Arc::clone(mode));
    std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let bytes = &buffer[..length];
            stalls(&shared);
            if swallow.load(Ordering::SeqCst) {
                if holds(bytes, b"COMMIT\0") {
                    break;
                }
            } else if to.write_all(bytes).is_err() {
                break;
            }
        }
        from.end();
        to.end();
    });
}
