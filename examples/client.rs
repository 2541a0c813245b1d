//! A host in this process, or the one behind `--host`.

use deedbox::{
    HostClient, HttpHost, LocalHost,
    host::{HostError, Reply, Request, SqliteStorage},
    parts::model::Timestamp,
};

#[derive(Clone)]
pub(crate) enum Client {
    Here(LocalHost<SqliteStorage, fn() -> Timestamp>),
    There(HttpHost),
}

impl HostClient for Client {
    fn origin(&self) -> &str {
        match self {
            Self::Here(host) => host.origin(),
            Self::There(host) => host.origin(),
        }
    }

    async fn send(&self, request: Request<'_>) -> Result<Reply, HostError> {
        match self {
            Self::Here(host) => host.send(request).await,
            Self::There(host) => host.send(request).await,
        }
    }
}

/// Serves over HTTP while `visit` runs with the URL.
#[cfg(test)]
pub(crate) fn served<T>(visit: impl FnOnce(&str) -> T) -> T {
    use deedbox::host::{Admission, Config, Host, MemoryStorage, router, system_clock};

    let mut config = Config::default();
    config.admission = Admission::Open;
    let clock: fn() -> Timestamp = system_clock;
    let there = std::sync::Arc::new(Host::new(MemoryStorage::new(), clock, config));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let routes = router(there, &url);
    runtime.spawn(async move { axum::serve(listener, routes).await });
    visit(&url)
}
