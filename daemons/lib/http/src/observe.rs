//! What is known about a request once it is over, for metrics.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, StatusCode, Uri};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

use crate::Body;

/// Told about every request of a listener. Called on the async threads: must be quick and must not block.
pub trait Observer: Send + Sync {
    /// A request's headers have arrived. [`Observer::finished`] follows, however the request ends.
    fn started(&self) {}

    /// A request is over: its answer was sent whole, or the client went away.
    fn finished(&self, observation: &Observation<'_>);
}

/// One finished request.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// The route's template (`/api/v1/label/{name}/values`), or [`UNMATCHED`]: bounded, unlike the path.
    pub route: &'a str,
    /// The path as asked, without the query. A client may invent any number of them: for logs, not for labels.
    pub path: &'a str,
    /// The method.
    pub method: &'a Method,
    /// The answer's status; [`client_gone`] where the client went away before there was one.
    pub status: StatusCode,
    /// From the request's headers to the answer's last byte.
    pub duration: Duration,
    /// Bytes of the answer's body as sent (compressed, where it was).
    pub response_bytes: u64,
}

/// Status under which a request is reported whose client went away before the answer began: 499, as nginx has it.
pub fn client_gone() -> StatusCode {
    StatusCode::from_u16(499).expect("three digits")
}

/// Route of requests that no route took.
pub const UNMATCHED: &str = "unmatched";

/// Where a router or handler puts the route's template; found in a request's extensions when it is observed.
///
/// It is filled before the handler runs, so that a request that times out or panics is counted under its route.
#[derive(Clone, Debug, Default)]
pub struct RouteSlot(Arc<OnceLock<Box<str>>>);

impl RouteSlot {
    /// Sets the template; the first one stays.
    pub fn set(&self, template: &str) {
        let _ = self.0.set(template.into());
    }

    fn get(&self) -> &str {
        self.0.get().map_or(UNMATCHED, AsRef::as_ref)
    }
}

/// Reports one request to an observer when dropped.
pub(crate) struct Watch {
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) route: RouteSlot,
    /// Holds the path; a copy of it costs a reference count.
    pub(crate) uri: Uri,
    pub(crate) method: Method,
    pub(crate) status: StatusCode,
    pub(crate) start: Instant,
    pub(crate) response_bytes: u64,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.observer.finished(&Observation {
            route: self.route.get(),
            path: self.uri.path(),
            method: &self.method,
            status: self.status,
            duration: self.start.elapsed(),
            response_bytes: self.response_bytes,
        });
    }
}

/// An answer's body that counts what is sent and gives the request's permit back at its end.
pub(crate) struct WatchedBody {
    inner: Body,
    watch: Option<Watch>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl WatchedBody {
    pub(crate) fn new(inner: Body, watch: Option<Watch>, permit: Option<OwnedSemaphorePermit>) -> Self {
        Self { inner, watch, _permit: permit }
    }
}

impl HttpBody for WatchedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let (Some(data), Some(watch)) = (frame.data_ref(), &mut self.watch)
        {
            watch.response_bytes += data.len() as u64;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
