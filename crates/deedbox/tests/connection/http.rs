//! The same life with a host behind HTTP, and the same codes.

use std::sync::Arc;

use deedbox::{
    HttpHost,
    host::{Host, MemoryStorage, router, system_clock},
    parts::model::Timestamp,
};
use pollster::block_on;

use super::{
    life::whole,
    sides::{config, host},
};

#[test]
fn a_whole_life_over_http() {
    let inner = Arc::new(Host::new(MemoryStorage::new(), system_clock as fn() -> Timestamp, config()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let routes = router(inner, &origin);
    runtime.spawn(async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        axum::serve(listener, routes).await.unwrap();
    });
    assert_eq!(block_on(whole(HttpHost::new(&origin))), block_on(whole(host())));
}
