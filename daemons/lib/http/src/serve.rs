//! Serving a listener until told to stop, then finishing what runs.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http::{Request, Response};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::guarded_stream::GuardedStream;
use crate::pipeline::Shared;
use crate::refusal::{PlainText, RefusalText};
use crate::router::RouterHandler;
use crate::{Body, Limits, Listener, Observer, accept};

/// Most bytes of a request held in a connection's read buffer, unless headers may be longer. It grows as bodies come.
const READ_BUFFER_BYTES: usize = 256 * 1024;
/// Pause after the system refused to hand out a connection (no file descriptors left): others may close theirs.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
/// What a connection above the limit is told before it is closed.
const TOO_MANY_CONNECTIONS: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\n\
    content-type: text/plain; charset=utf-8\r\ncontent-length: 21\r\n\r\ntoo many connections\n";

/// Answers requests. For hot paths; everything else is an axum router.
pub trait Handler: Clone + Send + Sync + 'static {
    /// Answers one request. A panic in here becomes a 500.
    fn handle(&self, request: Request<Body>) -> impl Future<Output = Response<Body>> + Send;
}

/// How a listener is served.
#[derive(Clone)]
pub struct ServeOptions {
    /// The limits.
    pub limits: Limits,
    /// Told about every request.
    pub observer: Option<Arc<dyn Observer>>,
    /// The daemon's words for what is refused here.
    pub refusals: Arc<dyn RefusalText>,
    /// Whether answers are compressed for clients that take it.
    pub compress: bool,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self { limits: Limits::default(), observer: None, refusals: Arc::new(PlainText), compress: true }
    }
}

impl std::fmt::Debug for ServeOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServeOptions")
            .field("limits", &self.limits)
            .field("observed", &self.observer.is_some())
            .field("compress", &self.compress)
            .finish_non_exhaustive()
    }
}

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServeReport {
    /// Connections that were cut because their requests did not finish within the drain limit.
    pub cut: usize,
}

/// Serves `router` on `listener` until `stop` is cancelled; then stops accepting, lets running requests finish within
/// `limits.drain`, and returns. Put the daemon's 404 and 405 on the router with [`crate::router::with_refusals`].
pub async fn serve(
    listener: Listener,
    router: Router,
    options: ServeOptions,
    stop: CancellationToken,
) -> ServeReport {
    serve_handler(listener, RouterHandler::new(router), options, stop).await
}

/// [`serve`] for a plain handler.
pub async fn serve_handler<H: Handler>(
    listener: Listener,
    handler: H,
    options: ServeOptions,
    stop: CancellationToken,
) -> ServeReport {
    let addr = listener.local_addr();
    let drain = options.limits.drain;
    let slots = Arc::new(Semaphore::new(options.limits.connections));
    let shared = Arc::new(Shared::new(options));
    let connections = TaskTracker::new();
    let cut = CancellationToken::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                tracing::warn!(%addr, %error, "cannot accept connections, trying again");
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(ACCEPT_PAUSE) => continue,
                }
            }
        };
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            // The socket's buffer is empty, so this goes out whole or the client is gone.
            let _ = stream.try_write(TOO_MANY_CONNECTIONS);
            continue;
        };
        let connection =
            serve_connection(stream, peer, Arc::clone(&shared), handler.clone(), stop.clone(), cut.clone());
        connections.spawn(async move {
            connection.await;
            drop(slot);
        });
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(drain, connections.wait()).await.is_ok() {
        return ServeReport { cut: 0 };
    }
    let n_cut = connections.len();
    tracing::warn!(%addr, connections = n_cut, "requests did not finish in time, cutting them");
    cut.cancel();
    connections.wait().await;
    ServeReport { cut: n_cut }
}

async fn serve_connection<H: Handler>(
    stream: TcpStream,
    peer: SocketAddr,
    shared: Arc<Shared>,
    handler: H,
    stop: CancellationToken,
    cut: CancellationToken,
) {
    let stream = match accept::accept(stream).await {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(%peer, %error, "connection not set up");
            return;
        }
    };
    let limits = shared.options.limits.clone();
    let service = service_fn(move |request| {
        let (shared, handler) = (Arc::clone(&shared), handler.clone());
        async move { Ok::<_, Infallible>(shared.answer(&handler, peer, request).await) }
    });
    // `pipeline_flush` stays off: with it, hyper 1.12 keeps back its 431 while the refused headers are still buffered.
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_time)
        .max_header_size(limits.header_bytes)
        .max_buf_size(limits.header_bytes.max(READ_BUFFER_BYTES))
        .max_headers(limits.headers)
        .serve_connection(TokioIo::new(GuardedStream::new(stream, limits.write_stall)), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            // An idle connection closes now, a busy one after its answer.
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection.as_mut() => ended,
                () = cut.cancelled() => return,
            }
        }
    };
    if let Err(error) = ended {
        // Clients come and go; whatever went wrong here concerns that one only.
        tracing::debug!(%peer, error = &error as &dyn std::error::Error, "connection ended");
    }
}

/// Errors of accept(2) that are about the one connection and not about the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
