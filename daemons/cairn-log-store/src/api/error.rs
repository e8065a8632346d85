//! Which HTTP status and text a failure has. The only place in this crate that chooses statuses.

use axum::response::{IntoResponse, Response};
use cairn_http::{Refusal, RefusalBody, RefusalText};
use http::{HeaderValue, StatusCode, header};

/// A refusal, as the client sees it.
///
/// Texts are Loki's where Loki has one. On reads the body is the bare text; on writes a newline follows, which
/// [`ApiError::on_write`] adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// Why, which decides the status.
    pub kind: ErrorKind,
    /// What the client reads.
    pub text: String,
    is_write: bool,
}

/// Kinds of refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request is wrong, or asks for more than a limit allows: 400.
    BadRequest,
    /// No tenant was named: 401.
    NoTenant,
    /// Nothing under this name: 404.
    NotFound,
    /// The path is fine, its method is not: 405, no text.
    MethodNotAllowed,
    /// The body is larger than allowed: 413.
    TooLarge,
    /// A push without any stream: 422.
    Empty,
    /// A rate or a queue is full; the client should come back: 429.
    TooMany,
    /// The client went away: 499, as nginx and Loki count it.
    Cancelled,
    /// A fault of ours or of the disk: 500.
    Internal,
    /// Not now, try again: starting, stopping, disk full: 503.
    Unavailable,
    /// The query ran out of time: 504.
    Timeout,
}

impl ErrorKind {
    /// The HTTP status.
    pub fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::NoTenant => StatusCode::UNAUTHORIZED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Empty => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::Cancelled => StatusCode::from_u16(499).expect("499 lies between 100 and 999"),
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }
}

impl ApiError {
    /// A refusal with this text.
    pub fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), is_write: false }
    }

    /// 400 with this text.
    pub fn bad_request(text: impl Into<String>) -> Self {
        Self::new(ErrorKind::BadRequest, text)
    }

    /// 500; the text is for the client, details belong into the log.
    pub fn internal(text: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, text)
    }

    /// 504 in Loki's words.
    pub fn timeout() -> Self {
        Self::new(
            ErrorKind::Timeout,
            "request timed out, decrease the duration of the request or add more label matchers (prefer exact match \
             over regex match) to reduce the amount of data processed",
        )
    }

    /// 499 in Loki's words.
    pub fn cancelled() -> Self {
        Self::new(ErrorKind::Cancelled, "the request was cancelled by the client")
    }

    /// 429 in Loki's words: the queue of queries is full.
    pub fn too_many_requests() -> Self {
        Self::new(ErrorKind::TooMany, "too many outstanding requests")
    }

    /// Ends the text with a newline, as Loki does on its writing endpoints.
    #[must_use]
    pub fn on_write(mut self) -> Self {
        self.is_write = true;
        self
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if self.kind == ErrorKind::MethodNotAllowed {
            return self.kind.status().into_response();
        }
        let mut text = self.text;
        if self.is_write {
            text.push('\n');
        }
        (
            self.kind.status(),
            [
                (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
                (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            ],
            text,
        )
            .into_response()
    }
}

/// The answer to an unknown path.
pub(super) async fn path_not_found() -> ApiError {
    ApiError::new(ErrorKind::NotFound, "404 page not found").on_write()
}

/// The answer to a known path with another method.
pub(super) async fn method_not_allowed() -> ApiError {
    ApiError::new(ErrorKind::MethodNotAllowed, "")
}

/// Words for what the serving layer refuses before a handler sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ServingRefusals;

impl RefusalText for ServingRefusals {
    fn body(&self, refusal: Refusal) -> RefusalBody {
        let text = match refusal {
            Refusal::MethodNotAllowed => return RefusalBody { content_type: "", text: String::new() },
            Refusal::Timeout { .. } => ApiError::timeout().text,
            other => format!("{other}\n"),
        };
        RefusalBody { content_type: "text/plain; charset=utf-8", text }
    }
}
