//! Requests that are answered before, or instead of, a daemon's handler.

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};

use crate::Body;

/// Why a request was refused by the serving layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 404: no route has this path.
    NotFound,
    /// 405: the route exists, for other methods. The `Allow` header names them.
    MethodNotAllowed,
    /// 413: the body is larger than the limit, in bytes.
    BodyTooLarge {
        /// The limit.
        limit: usize,
    },
    /// 503: too many requests run already. The answer carries `Retry-After`.
    Busy {
        /// How many may run.
        limit: usize,
    },
    /// 503 or 504: the handler took too long.
    Timeout {
        /// How long it may take, in seconds.
        seconds: u64,
    },
    /// 500: the handler panicked. The daemon stays up.
    Panicked,
}

/// A refusal's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusalBody {
    /// Value of `Content-Type`; empty: none is sent.
    pub content_type: &'static str,
    /// The body.
    pub text: String,
}

/// A daemon's words for refusals, so that a peer's client reads the body it expects.
pub trait RefusalText: Send + Sync {
    /// The body for one refusal. The status is fixed by its kind.
    fn body(&self, refusal: Refusal) -> RefusalBody;
}

/// The default words: one line of plain text.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainText;

impl RefusalText for PlainText {
    fn body(&self, refusal: Refusal) -> RefusalBody {
        RefusalBody { content_type: "text/plain; charset=utf-8", text: format!("{refusal}\n") }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refusal::NotFound => f.write_str("404 page not found"),
            Refusal::MethodNotAllowed => f.write_str("method not allowed"),
            Refusal::BodyTooLarge { limit } => write!(f, "request body too large: at most {limit} bytes"),
            Refusal::Busy { limit } => write!(f, "too many requests at once: at most {limit}, try again"),
            Refusal::Timeout { seconds } => write!(f, "request took longer than {seconds} s"),
            Refusal::Panicked => f.write_str("internal server error"),
        }
    }
}

/// Seconds after which a client that was turned away may come back.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// Builds the answer. `timeout_status` is used for [`Refusal::Timeout`].
pub(crate) fn respond(
    refusal: Refusal,
    text: &dyn RefusalText,
    timeout_status: StatusCode,
) -> Response<Body> {
    let status = match refusal {
        Refusal::NotFound => StatusCode::NOT_FOUND,
        Refusal::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Refusal::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        Refusal::Busy { .. } => StatusCode::SERVICE_UNAVAILABLE,
        Refusal::Timeout { .. } => timeout_status,
        Refusal::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let RefusalBody { content_type, text } = text.body(refusal);
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    if !content_type.is_empty() {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    if matches!(refusal, Refusal::Busy { .. }) {
        response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
    }
    response
}
