//! The client of a host over HTTP.

use std::{future::Future, io::BufReader, pin::Pin, time::Duration};

use deedbox_host::{
    BLOB_LENGTH, BLOB_SEALED, BlobPlace, Event, HostError, Method, PROBLEM, Reply, Request, authorization,
};
use deedbox_model::Seq;
use ureq::{
    Agent, BodyReader,
    http::{HeaderMap, Request as HttpRequest, header},
};

use crate::client::{EventSource, HostClient};

/// The client of a host at an origin: `https://host.example`.
///
/// It needs no async runtime: a request blocks the thread that polls it, as the stores of a host in the same process do.
/// Inside a runtime, poll it on a thread that may block. An origin with `https` needs the feature `https`.
#[derive(Debug, Clone)]
pub struct HttpHost {
    agent: Agent,
    origin: String,
}

impl HttpHost {
    /// A client of the host that calls itself `origin`, scheme and authority, without a slash at its end. A request may
    /// take two minutes.
    #[must_use]
    pub fn new(origin: &str) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // a proof is for one origin and one target: following elsewhere would only hand it on
            .max_redirects(0)
            .timeout_global(Some(Duration::from_secs(120)));
        Self { agent: config.build().into(), origin: origin.to_owned() }
    }

    fn exchange(&self, request: Request<'_>) -> Result<Reply, HostError> {
        let url = format!("{}{}", self.origin, request.target);
        let mut builder = HttpRequest::builder().method(request.method.as_str()).uri(url);
        if let Some(proof) = request.proof {
            builder = builder.header(header::AUTHORIZATION, authorization(proof));
        }
        if let Some(range) = request.range {
            builder = match request.method {
                Method::Put => builder.header(header::CONTENT_RANGE, format!("bytes {range}/*")),
                _ => builder.header(header::RANGE, format!("bytes={range}")),
            };
        }
        let response = match request.method {
            Method::Delete | Method::Get | Method::Head => {
                let built = builder.body(()).map_err(|_| HostError::Malformed)?;
                self.agent.run(built)
            }
            Method::Patch | Method::Post | Method::Put => {
                let built = builder.header(header::CONTENT_TYPE, media(request.target)).body(request.body);
                self.agent.run(built.map_err(|_| HostError::Malformed)?)
            }
        };
        let mut response = response.map_err(|_| HostError::Unreachable)?;
        let limit = u64::try_from(deedbox_host::wire::MAX_REPLY).unwrap_or(u64::MAX);
        let body = response.body_mut().with_config().limit(limit).read_to_vec().map_err(|_| HostError::Unreachable)?;
        let (status, headers) = (response.status().as_u16(), response.headers());
        if text(headers, header::CONTENT_TYPE.as_str()) == Some(PROBLEM) {
            return Err(HostError::from_problem(&body));
        }
        if !matches!(status, 200 | 201 | 204 | 206 | 409) {
            return Err(HostError::Unreachable);
        }
        let mut reply = Reply::new(status, body);
        reply.blob = blob(headers)?;
        Ok(reply)
    }
}

/// Events as they come over a connection. It blocks the thread that polls it until there is one.
struct HttpFeed(Option<BufReader<BodyReader<'static>>>);

impl EventSource for HttpFeed {
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Option<Event>> + Send + '_>> {
        Box::pin(async move {
            // the connection's end, or its time is over, or no events: the feed is over
            let event = Event::read(self.0.as_mut()?).ok().flatten();
            if matches!(event, None | Some(Event::End(_))) {
                self.0 = None;
            }
            event
        })
    }
}

impl HostClient for HttpHost {
    fn origin(&self) -> &str {
        &self.origin
    }

    async fn send(&self, request: Request<'_>) -> Result<Reply, HostError> {
        self.exchange(request)
    }

    /// A feed is over when the connection is, and after ten minutes in any case, so that one whose other end
    /// is gone is not waited for without end.
    async fn feed(&self, request: Request<'_>, after: Option<Seq>) -> Result<Box<dyn EventSource>, HostError> {
        let mut builder = HttpRequest::get(format!("{}{}", self.origin, request.target));
        if let Some(proof) = request.proof {
            builder = builder.header(header::AUTHORIZATION, authorization(proof));
        }
        if let Some(after) = after {
            builder = builder.header("last-event-id", after.get().to_string());
        }
        let built = builder.header(header::ACCEPT, "text/event-stream").body(()).map_err(|_| HostError::Malformed)?;
        let built = self.agent.configure_request(built).timeout_global(Some(FEED)).build();
        let mut response = self.agent.run(built).map_err(|_| HostError::Unreachable)?;
        match text(response.headers(), header::CONTENT_TYPE.as_str()) {
            Some("text/event-stream") if response.status() == 200 => {
                Ok(Box::new(HttpFeed(Some(BufReader::new(response.into_body().into_reader())))))
            }
            Some(PROBLEM) => {
                let body = response.body_mut().read_to_vec().map_err(|_| HostError::Unreachable)?;
                Err(HostError::from_problem(&body))
            }
            _ => Err(HostError::Unreachable),
        }
    }
}

/// The longest that one connection of a feed is kept.
const FEED: Duration = Duration::from_secs(600);

fn media(target: &str) -> &'static str {
    if target.contains("/blobs/") { "application/octet-stream" } else { "application/cbor" }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Where the bytes stand in a blob; `None` where it is no blob.
fn blob(headers: &HeaderMap) -> Result<Option<BlobPlace>, HostError> {
    let Some(len) = text(headers, BLOB_LENGTH) else { return Ok(None) };
    let read = || {
        let len = len.parse().ok()?;
        let sealed = text(headers, BLOB_SEALED)? == "?1";
        let first = match text(headers, header::CONTENT_RANGE.as_str()) {
            Some(range) => range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()?,
            None => 0,
        };
        Some(BlobPlace { first, len, sealed })
    };
    read().map(Some).ok_or(HostError::Unreachable)
}
