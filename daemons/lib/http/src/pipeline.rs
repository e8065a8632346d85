//! The steps that every request passes, in this order:
//!
//! 1. admission: at most so many requests at once;
//! 2. (authentication: goes here, before any byte of the body is read; an `Option<Response>` from the headers);
//! 3. the body's limit;
//! 4. the handler, under the time limit and behind the panic guard;
//! 5. compression;
//! 6. observation, and the permit of step 1, both ending with the answer's last byte.

use std::any::Any;
use std::future::Future;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use http::header::{CONNECTION, CONTENT_LENGTH};
use http::{HeaderValue, Request, Response};
use http_body_util::Limited;
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::observe::{Watch, WatchedBody, client_gone};
use crate::refusal::{self, Refusal};
use crate::serve::{Handler, ServeOptions};
use crate::{Body, RouteSlot, compress};

/// The client's address, in a request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct PeerAddr(pub SocketAddr);

/// What the requests of one listener share.
pub(crate) struct Shared {
    pub(crate) options: ServeOptions,
    running: Arc<Semaphore>,
}

impl Shared {
    pub(crate) fn new(options: ServeOptions) -> Self {
        let running = Arc::new(Semaphore::new(options.limits.concurrent_requests));
        Self { options, running }
    }

    /// Takes one request through all steps.
    pub(crate) async fn answer<H: Handler>(
        &self,
        handler: &H,
        peer: SocketAddr,
        request: Request<Incoming>,
    ) -> Response<Body> {
        let start = Instant::now();
        let coding = self.options.compress.then(|| compress::negotiate(request.headers())).flatten();
        // From here on the observer hears of the request's end, even if this future is dropped with its connection.
        let mut watch = self.options.observer.as_ref().map(|observer| {
            observer.started();
            Watch {
                observer: Arc::clone(observer),
                route: RouteSlot::default(),
                uri: request.uri().clone(),
                method: request.method().clone(),
                status: client_gone(),
                start,
                response_bytes: 0,
            }
        });
        let route = watch.as_ref().map(|watch| watch.route.clone());
        let (response, permit) = match self.admit(request.uri().path()) {
            Ok(permit) => (self.run(handler, peer, request, route).await, permit),
            Err(refusal) => (self.refuse(refusal), None),
        };
        let response = compress::apply(coding, response);
        if let Some(watch) = &mut watch {
            watch.status = response.status();
        }
        if watch.is_none() && permit.is_none() {
            return response;
        }
        response.map(|body| Body::new(WatchedBody::new(body, watch, permit)))
    }

    fn admit(&self, path: &str) -> Result<Option<OwnedSemaphorePermit>, Refusal> {
        match Arc::clone(&self.running).try_acquire_owned() {
            Ok(permit) => Ok(Some(permit)),
            Err(_) if self.options.limits.always_admitted.iter().any(|one| one == path) => Ok(None),
            Err(_) => Err(Refusal::Busy { limit: self.options.limits.concurrent_requests }),
        }
    }

    async fn run<H: Handler>(
        &self,
        handler: &H,
        peer: SocketAddr,
        request: Request<Incoming>,
        route: Option<RouteSlot>,
    ) -> Response<Body> {
        let limits = &self.options.limits;
        let announced =
            request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        if announced.is_some_and(|bytes: u64| bytes > limits.body_bytes as u64) {
            let mut response = self.refuse(Refusal::BodyTooLarge { limit: limits.body_bytes });
            // The body is not read, so nothing can follow on this connection.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            return response;
        }
        let mut request = request.map(|body| Body::new(Limited::new(body, limits.body_bytes)));
        request.extensions_mut().insert(PeerAddr(peer));
        if let Some(route) = route {
            request.extensions_mut().insert(route);
        }
        let path = tracing::enabled!(tracing::Level::DEBUG).then(|| request.uri().path().to_owned());
        let handled = guard_panics(handler.handle(request));
        match tokio::time::timeout(limits.request_time, handled).await {
            Ok(Ok(response)) => response,
            Ok(Err(_payload)) => {
                // The panic itself was logged where it happened.
                tracing::error!(path, "handler panicked, answered 500");
                self.refuse(Refusal::Panicked)
            }
            Err(_) => {
                tracing::debug!(path, "request took too long");
                self.refuse(Refusal::Timeout { seconds: limits.request_time.as_secs() })
            }
        }
    }

    fn refuse(&self, refusal: Refusal) -> Response<Body> {
        refusal::respond(refusal, &*self.options.refusals, self.options.limits.timeout_status)
    }
}

/// Awaits a future, and returns its panic instead of passing it on.
async fn guard_panics<F: Future>(future: F) -> Result<F::Output, Box<dyn Any + Send>> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| {
        // The future is dropped after a panic and never polled again, so no broken state is seen.
        match std::panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(payload) => Poll::Ready(Err(payload)),
        }
    })
    .await
}
