//! A host inside a service of one's own: `cargo run --release --example embed_host`.
//!
//! The service has accounts and decides who gets a box; beside its own routes it mounts the host's. It says what it holds, and
//! holds nothing it could read.
#![expect(clippy::print_stdout, reason = "a program that says what it does")]

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::{get, post},
};
use deedbox::{
    HostClient, HttpHost,
    host::{Admission, Admitted, Config, Host, HostError, MemoryStorage, Method, Reply, Request, router, system_clock},
    parts::{host::wire::CreateBody, model::Timestamp},
    person::{Person, Secret},
};

type TheHost = Host<MemoryStorage, fn() -> Timestamp>;

/// The service's own state: its accounts, and the host beside them.
struct Service {
    accounts: BTreeSet<&'static str>,
    host: Arc<TheHost>,
}

/// The service's own route: an account may make a box. What it is called there, and what is in it, the service never learns.
async fn make_box(State(service): State<Arc<Service>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let account = headers.get("x-account").and_then(|account| account.to_str().ok());
    if !account.is_some_and(|account| service.accounts.contains(account)) {
        return StatusCode::FORBIDDEN;
    }
    let Some(new) = CreateBody::from_bytes(&body, 1 << 20) else { return StatusCode::BAD_REQUEST };
    match service.host.create(Admitted::by_embedder(), &new).await {
        Ok(()) => StatusCode::CREATED,
        Err(error) => StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// The service: its front page, its way to a box, and all of the host's routes under `/boxes`.
fn service(origin: &str) -> Router {
    let mut config = Config::default();
    config.admission = Admission::Closed; // by request nobody: the service's own route decides
    let host = Arc::new(Host::new(MemoryStorage::new(), system_clock as fn() -> Timestamp, config));
    let service = Arc::new(Service { accounts: BTreeSet::from(["maren"]), host: Arc::clone(&host) });
    Router::new()
        .route("/", get(async || "A service with boxes"))
        .route("/make-box", post(make_box))
        .with_state(service)
        .nest("/boxes", router(host, &format!("{origin}/boxes")))
}

/// The client's side: requests that make a box go to the service, the others to the host under `/boxes`.
#[derive(Clone)]
struct Account {
    name: &'static str,
    service: String,
    host: HttpHost,
}

impl HostClient for Account {
    fn origin(&self) -> &str {
        self.host.origin()
    }

    async fn send(&self, request: Request<'_>) -> Result<Reply, HostError> {
        if (request.method, request.target) != (Method::Post, "/v1/stores") {
            return self.host.send(request).await;
        }
        let made = post_as(&self.service, self.name, request.body).map_err(|_| HostError::Unreachable)?;
        if made == 201 { Ok(Reply::new(201, Vec::new())) } else { Err(HostError::NotPermitted) }
    }
}

/// One request of the service's own; any HTTP client will do.
fn post_as(service: &str, account: &str, body: &[u8]) -> std::io::Result<u16> {
    use std::io::{Read as _, Write as _};
    let address = service.strip_prefix("http://").unwrap_or(service);
    let mut stream = std::net::TcpStream::connect(address)?;
    let head = format!("POST /make-box HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\nx-account: {account}\r\n");
    let head = format!("{head}content-length: {}\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), body].concat())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Runtime::new()?;
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
    let origin = format!("http://{}", listener.local_addr()?);
    let routes = service(&origin);
    runtime.spawn(async move { axum::serve(listener, routes).await });
    println!("a service at {origin}, with boxes under /boxes");

    let account = |name| Account { name, service: origin.clone(), host: HttpHost::new(&format!("{origin}/boxes")) };
    pollster::block_on(async {
        let (mut person, keepsake) = Person::create(account("maren"), "a passphrase").await?;
        person.import(br#"{"person": {"name": "Maren Holloway"}}"#, "myself").await?;
        let locked = Person::locate(account("maren"), keepsake.store).await?;
        let phrase = Secret::RecoveryPhrase(&keepsake.recovery_phrase);
        let again = locked.unlock(&phrase, Some(&person.pins())).await?;
        println!("an account made a box, filled it, and opened it again: {} field", again.values()?.len());
        assert_eq!(again.values()?, person.values()?);

        let refused = Person::create(account("somebody else"), "a passphrase").await.err();
        let code = refused.map(|error| error.code());
        assert_eq!(code.as_deref(), Some("Host.NotPermitted"));
        println!("whoever has no account gets none: {}", code.unwrap_or_default());
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_runs() {
        super::main().unwrap();
    }
}
