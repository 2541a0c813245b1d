//! A host in the test's own process, which turns nobody away and limits nobody.

use std::sync::Arc;

use deedbox::{
    LocalHost,
    host::{Admission, Config, Host, system_clock},
    parts::{model::Timestamp, store::Storage},
};

pub(crate) type Local<S> = LocalHost<S, fn() -> Timestamp>;

pub(crate) fn serve<S: Storage>(storage: S) -> Local<S> {
    let mut config = Config::default();
    config.admission = Admission::Open;
    config.rate.per_second = 1_000_000;
    config.rate.burst = 1_000_000;
    config.header_reads = 1_000_000;
    let clock: fn() -> Timestamp = system_clock;
    LocalHost::new(Arc::new(Host::new(storage, clock, config)), "https://host.example")
}
