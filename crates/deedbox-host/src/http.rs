//! The host over HTTP: an axum router, problem details, server-sent events, an OpenAPI 3.1 description.
//!
//! Proofs come in the header `Authorization: Deedbox <hex>`; no key, proof or phrase ever stands in a URL. Requests are
//! answered on tokio's blocking threads, since storages may block.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{BodyDataStream, Bytes, HttpBody as _};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, get, on};
use deedbox_model::Seq;
use deedbox_store::{Storage, StorageError};
use futures_core::Stream;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::clock::Clock;
use crate::error::HostError;
use crate::feed::{End, Event, Feed, Look};
use crate::problem::{BLOB_LENGTH, BLOB_SEALED, PROBLEM, proof_of};
use crate::request::{BlobPlace, ByteRange, Method, Reply, Request};
use crate::service::Host;
use crate::wire;

mod openapi;
mod serve;

pub use openapi::openapi;
use openapi::{Entry, TABLE};
pub use serve::{ServeLimits, serve};

/// Bytes of a body that are read before it is known who asks.
const STRANGERS_LEN: u64 = 64 << 10;

/// How long it takes until every feed was rechecked for what other processes did; the rest of five seconds is for its look.
const RECHECK: Duration = Duration::from_secs(4);

/// Feeds that look at the storage at a time: requests find threads left, whatever wakes thousands of feeds.
const LOOKS: usize = 16;

struct Served<S, C> {
    host: Arc<Host<S, C>>,
    origin: String,
    looks: Arc<Semaphore>,
    watching: Mutex<Option<JoinHandle<()>>>,
}

/// Routes to `host`, which clients address as `origin`: `https://host.example`, without a slash at its end. A proof for
/// another origin is refused. Nested under a path, the origin has that path at its end.
///
/// Needs a tokio runtime with time. Before it goes down, call [`Host::close`]; otherwise open feeds hold up a graceful
/// shutdown.
pub fn router<S: Storage, C: Clock>(host: Arc<Host<S, C>>, origin: &str) -> Router {
    let looks = Arc::new(Semaphore::new(LOOKS));
    let served = Arc::new(Served { host, origin: origin.to_owned(), looks, watching: Mutex::default() });
    let mut router = Router::new();
    for path in paths() {
        let mut methods = MethodRouter::new();
        for entry in TABLE.iter().filter(|entry| entry.path == path) {
            let served = Arc::clone(&served);
            let answer = move |request: axum::extract::Request| answer(Arc::clone(&served), entry, request);
            methods = methods.merge(on(filter(entry.method), answer));
        }
        router = router.route(path, methods);
    }
    let document: Bytes = openapi().to_string().into();
    let json = [(header::CONTENT_TYPE, "application/json")];
    router
        .route("/v1/openapi.json", get(async move || (json, document)))
        .route("/v1/health", get(async || StatusCode::NO_CONTENT))
        .fallback(async || problem(&HostError::NotFound))
        .method_not_allowed_fallback(async || problem(&HostError::NotFound))
}

/// Every path once, in the order of the table.
fn paths() -> Vec<&'static str> {
    let mut paths: Vec<&'static str> = TABLE.iter().map(|entry| entry.path).collect();
    paths.dedup();
    paths
}

const fn filter(method: Method) -> MethodFilter {
    match method {
        Method::Delete => MethodFilter::DELETE,
        Method::Get => MethodFilter::GET,
        Method::Head => MethodFilter::HEAD,
        Method::Patch => MethodFilter::PATCH,
        Method::Post => MethodFilter::POST,
        Method::Put => MethodFilter::PUT,
    }
}

/// What of a request is kept while it is answered.
struct Held {
    method: Method,
    target: String,
    body: Vec<u8>,
    range: Option<ByteRange>,
    proof: Option<Vec<u8>>,
}

impl Held {
    fn without_body(&self) -> Self {
        let (target, proof) = (self.target.clone(), self.proof.clone());
        Self { method: self.method, target, body: Vec::new(), range: self.range, proof }
    }

    fn as_request<'a>(&'a self, origin: &'a str) -> Request<'a> {
        let (target, body, proof) = (&self.target, &self.body, self.proof.as_deref());
        Request { method: self.method, origin, target, body, range: self.range, proof }
    }
}

async fn answer<S: Storage, C: Clock>(
    served: Arc<Served<S, C>>,
    entry: &'static Entry,
    request: axum::extract::Request,
) -> Response {
    let began = tokio::time::Instant::now();
    let len = content_length(request.headers());
    let answered = respond(Arc::clone(&served), entry, request).await;
    let code = answered.as_ref().map_or_else(HostError::code, |_| "Done");
    let response = answered.unwrap_or_else(|error| problem(&error));
    let reply_len = response.body().size_hint().exact().unwrap_or(0);
    let lengths = (len.unwrap_or(0), reply_len);
    served.host.metrics.count((entry.method.as_str(), entry.path), code, began.elapsed(), lengths);
    // the route's pattern, never its ids
    tracing::info!(
        method = entry.method.as_str(),
        route = entry.path,
        status = response.status().as_u16(),
        code,
        request_len = len
    );
    response
}

async fn respond<S: Storage, C: Clock>(
    served: Arc<Served<S, C>>,
    entry: &'static Entry,
    request: axum::extract::Request,
) -> Result<Response, HostError> {
    let (head, body) = request.into_parts();
    if head.method.as_str() != entry.method.as_str() {
        // the HEAD that axum answers wherever there is a GET
        return Err(HostError::NotFound);
    }
    let target =
        head.uri.path_and_query().map_or_else(|| head.uri.path().to_owned(), |target| target.as_str().to_owned());
    let proof = match single(&head.headers, header::AUTHORIZATION)? {
        Some(value) => Some(proof_of(value).ok_or(HostError::Unauthenticated)?),
        None => None,
    };
    let range = range(entry.method, &head.headers)?;
    let mut held = Held { method: entry.method, target, body: Vec::new(), range, proof };
    let mut body = body.into_data_stream();
    let patience = Duration::from_secs(served.host.body_secs());
    let arrives = read_body(&served, &mut held, content_length(&head.headers), &mut body);
    match tokio::time::timeout(patience, arrives).await {
        Err(_) => return Err(HostError::Malformed),
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            // a client that is still sending would not see the answer: what comes is read and dropped, as far as a body may
            // reach
            let rest = drain(&mut body, served.host.body_limit());
            let _ = tokio::time::timeout(patience, rest).await;
            return Err(error);
        }
    }
    if entry.is_feed() {
        return feed(served, held, &head.headers).await;
    }
    let reply = blocking(async move { served.host.call(held.as_request(&served.origin)).await }).await?;
    let wants_json = || single(&head.headers, header::ACCEPT).ok().flatten() == Some("application/json");
    if entry.is_usage() && wants_json() {
        return usage(&reply.body);
    }
    Ok(write(entry.method, reply))
}

/// Runs on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl Future<Output = Result<T, HostError>> + Send + 'static,
) -> Result<T, HostError> {
    let handle = tokio::runtime::Handle::current();
    let done = tokio::task::spawn_blocking(move || handle.block_on(work)).await;
    done.unwrap_or(Err(HostError::Storage(StorageError::Unavailable { retry: false })))
}

/// The value of a header that stands there once.
fn single(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, HostError> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().map(|value| value.to_str().map_err(|_| HostError::Malformed)).transpose()?;
    if values.next().is_some() { Err(HostError::Malformed) } else { Ok(value) }
}

fn range(method: Method, headers: &HeaderMap) -> Result<Option<ByteRange>, HostError> {
    let parsed = if method == Method::Put {
        let Some(value) = single(headers, header::CONTENT_RANGE)? else { return Ok(None) };
        value.strip_prefix("bytes ").and_then(|value| value.strip_suffix("/*")).and_then(ByteRange::parse)
    } else {
        let Some(value) = single(headers, header::RANGE)? else { return Ok(None) };
        value.strip_prefix("bytes=").and_then(ByteRange::parse)
    };
    parsed.map(Some).ok_or(HostError::Malformed)
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH).and_then(|len| len.to_str().ok()?.parse().ok())
}

async fn next(body: &mut BodyDataStream) -> Result<Option<Bytes>, HostError> {
    poll_fn(|cx| Pin::new(&mut *body).poll_next(cx)).await.transpose().map_err(|_| HostError::Malformed)
}

/// Reads the body; more than a stranger's share of it only once it is known who asks.
async fn read_body<S: Storage, C: Clock>(
    served: &Arc<Served<S, C>>,
    held: &mut Held,
    told: Option<u64>,
    body: &mut BodyDataStream,
) -> Result<(), HostError> {
    let limit = served.host.body_limit();
    let mut known = false;
    let mut len = told.unwrap_or(0);
    loop {
        if len > limit {
            return Err(HostError::TooLarge { limit });
        }
        if len > STRANGERS_LEN && !known {
            let (served, asks) = (Arc::clone(served), held.without_body());
            blocking(async move { served.host.recognise(&asks.as_request(&served.origin), len).await }).await?;
            known = true;
        }
        let Some(more) = next(body).await? else { return Ok(()) };
        held.body.extend_from_slice(&more);
        len = len.max(u64::try_from(held.body.len()).unwrap_or(u64::MAX));
    }
}

/// Reads on and keeps nothing.
async fn drain(body: &mut BodyDataStream, limit: u64) {
    let mut len: u64 = 0;
    while let Ok(Some(more)) = next(body).await {
        len = len.saturating_add(u64::try_from(more.len()).unwrap_or(u64::MAX));
        if len > limit {
            return;
        }
    }
}

fn write(method: Method, reply: Reply) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let media = if reply.blob.is_some() { "application/octet-stream" } else { "application/cbor" };
    if !reply.body.is_empty() || (reply.blob.is_some() && method == Method::Get) {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    }
    if let Some(BlobPlace { first, len, sealed }) = reply.blob {
        headers.insert(BLOB_LENGTH, HeaderValue::from(len));
        headers.insert(BLOB_SEALED, HeaderValue::from_static(if sealed { "?1" } else { "?0" }));
        let count = u64::try_from(reply.body.len()).unwrap_or(u64::MAX);
        let last = first.saturating_add(count).checked_sub(1);
        if let (206, Some(last)) = (reply.status, last)
            && let Ok(value) = HeaderValue::try_from(format!("bytes {first}-{last}/{len}"))
        {
            headers.insert(header::CONTENT_RANGE, value);
        }
    }
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, headers, reply.body).into_response()
}

fn problem(error: &HostError) -> Response {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Deedbox"));
    }
    if let HostError::TooMany { retry_after } = error {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(*retry_after));
    }
    (status, headers, error.to_problem()).into_response()
}

fn usage(body: &[u8]) -> Result<Response, HostError> {
    let usage = wire::usage_from_bytes(body).ok_or(HostError::Storage(StorageError::Corrupt))?;
    let total = |total: deedbox_store::Total| serde_json::json!({ "count": total.count, "bytes": total.bytes });
    let json = serde_json::json!({
        "header": total(usage.header), "datasets": total(usage.datasets), "objects": total(usage.objects),
        "mail": total(usage.mail), "blobs": total(usage.blobs), "rows": total(usage.rows),
    });
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, json.to_string()).into_response())
}

async fn feed<S: Storage, C: Clock>(
    served: Arc<Served<S, C>>,
    held: Held,
    headers: &HeaderMap,
) -> Result<Response, HostError> {
    let after = single(headers, HeaderName::from_static("last-event-id"))?;
    let after = after.map(|id| id.parse().map_err(|_| HostError::Malformed)).transpose()?.and_then(Seq::new);
    served.watch();
    let looks = Arc::clone(&served.looks);
    let run = move |look: Look| {
        let looks = Arc::clone(&looks);
        Box::pin(async move {
            // the semaphore is never closed
            let _place = looks.acquire().await;
            blocking(async { Ok(look.await) }).await.unwrap_or(Some(Event::End(End::Closing)))
        }) as Look
    };
    let opening = async move { served.host.feed_on(held.as_request(&served.origin), after, run).await };
    let feed = blocking(opening).await?;
    let headers = [(header::CACHE_CONTROL, "no-store")];
    Ok((headers, Sse::new(Told(feed)).keep_alive(KeepAlive::default())).into_response())
}

impl<S: Storage, C: Clock> Served<S, C> {
    /// Sees to it that feeds are rechecked for as long as there is a host.
    fn watch(self: &Arc<Self>) {
        let mut watching = self.watching.lock().unwrap_or_else(PoisonError::into_inner);
        // a task ends with its runtime, too
        if watching.as_ref().is_none_or(JoinHandle::is_finished) {
            *watching = Some(tokio::spawn(watch(Arc::downgrade(self))));
        }
    }
}

/// Rechecks a sixteenth of all stores at a time, so that looks are spread over the seconds.
async fn watch<S: Storage, C: Clock>(served: Weak<Served<S, C>>) {
    let mut tick = tokio::time::interval(RECHECK / 16);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for first in (0..=u8::MAX).step_by(16).cycle() {
        tick.tick().await;
        let Some(served) = served.upgrade() else { return };
        let checked = async move {
            served.host.recheck_of(first..=first.saturating_add(15)).await;
            Ok(())
        };
        // a storage that panics is asked again
        let _ = blocking(checked).await;
    }
}

/// A feed as server-sent events.
struct Told(Feed);

impl Stream for Told {
    type Item = Result<axum::response::sse::Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let event = axum::response::sse::Event::default();
        Pin::new(&mut self.0).poll_next(cx).map(|told| {
            told.map(|told| {
                Ok(match told {
                    Event::Head(seq) => event.event("head").id(seq.get().to_string()).data(seq.get().to_string()),
                    Event::End(end) => event.event("end").data(end.code()),
                })
            })
        })
    }
}
