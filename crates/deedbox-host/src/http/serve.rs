//! A server for the router that bears slow, half-sent and too many requests, and goes down without losing any.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// What a server bears of its clients.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct ServeLimits {
    /// Connections at a time; those that come while there are as many wait to be accepted.
    pub connections: usize,
    /// Seconds within which a request's head has to be complete, counted from the connection's start or the answer before.
    pub head_secs: u64,
    /// Bytes of a request's head, at least 8,192.
    pub head_len: usize,
    /// Header fields of a request.
    pub headers: usize,
    /// Seconds that requests under way have to be answered once the server goes down.
    pub closing_secs: u64,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self { connections: 4_096, head_secs: 30, head_len: 16 << 10, headers: 64, closing_secs: 30 }
    }
}

/// Serves HTTP/1.1 until `stop` is done, then accepts nothing more, answers what is under way, and returns. `closing` is
/// called in between: have it end the feeds ([`Host::close`](crate::Host::close)).
///
/// Needs a tokio runtime with I/O and time.
///
/// # Errors
/// When the listener fails for good; a connection that fails ends alone.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ServeLimits,
    stop: impl Future<Output = ()>,
    closing: impl FnOnce(),
) -> io::Result<()> {
    let room = Arc::new(Semaphore::new(limits.connections.clamp(1, Semaphore::MAX_PERMITS)));
    let (close, closed) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        let accepted = async {
            // the semaphore is never closed
            let place = Arc::clone(&room).acquire_owned().await.ok();
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            () = &mut stop => break,
            accepted = accepted => accepted,
            // what has ended is forgotten
            Some(_) = connections.join_next() => continue,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) if is_passing(&error) => {
                // out of descriptors, say: those who are here go on
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        let (router, closed) = (router.clone(), closed.clone());
        connections.spawn(async move {
            connection(stream, router, limits, closed).await;
            drop(place);
        });
    }
    drop(listener);
    // nobody waits for it once every connection has ended
    let _ = close.send(true);
    closing();
    let ended = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(Duration::from_secs(limits.closing_secs), ended).await;
    Ok(())
}

/// One connection until its end, which comes after the request under way once the server goes down.
async fn connection(stream: TcpStream, router: Router, limits: ServeLimits, mut closed: watch::Receiver<bool>) {
    // answers are small and complete: waiting to fill a packet only delays them
    let _ = stream.set_nodelay(true);
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(limits.head_secs))
        .max_buf_size(limits.head_len.max(8_192))
        .max_headers(limits.headers)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut served = pin!(served);
    let closing = async { closed.wait_for(|closed| *closed).await.is_ok() };
    tokio::select! {
        // how a connection ends is its client's business
        _ = &mut served => return,
        _ = closing => served.as_mut().graceful_shutdown(),
    }
    let _ = served.await;
}

/// Whether accepting failed for one connection, or for a while.
fn is_passing(error: &io::Error) -> bool {
    // EMFILE and ENFILE have no kind of their own
    matches!(error.raw_os_error(), Some(23 | 24))
        || matches!(
            error.kind(),
            io::ErrorKind::ConnectionRefused
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::Interrupted
                | io::ErrorKind::WouldBlock
                | io::ErrorKind::OutOfMemory
        )
}
