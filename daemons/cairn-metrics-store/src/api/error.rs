//! Errors of the API: the one place where HTTP statuses are chosen.

use axum::response::{IntoResponse, Response};
use cairn_promql::EvalError;
use http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, HeaderValue, StatusCode};

use super::PLAIN_TEXT;
use super::answer::{ENVELOPE_TYPE, push_json_string};
use crate::engine::QueryError;

/// Prometheus's kinds of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request is wrong.
    BadData,
    /// The query cannot be computed.
    Execution,
    /// The query took too long.
    Timeout,
    /// The client went away.
    Canceled,
    /// The store failed.
    Internal,
    /// The feature is off.
    Unavailable,
}

impl ErrorKind {
    /// `errorType` of the envelope.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadData => "bad_data",
            Self::Execution => "execution",
            Self::Timeout => "timeout",
            Self::Canceled => "canceled",
            Self::Internal => "internal",
            Self::Unavailable => "unavailable",
        }
    }

    /// The HTTP status.
    pub fn status(self) -> StatusCode {
        match self {
            Self::BadData => StatusCode::BAD_REQUEST,
            Self::Execution => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Timeout => StatusCode::SERVICE_UNAVAILABLE,
            // "Client closed request", which has no name in the registry.
            Self::Canceled => StatusCode::from_u16(499).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            Self::Internal | Self::Unavailable => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// An error as the client gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// Its kind.
    pub kind: ErrorKind,
    /// Its text, in Prometheus's words.
    pub message: String,
}

impl ApiError {
    /// The request is wrong.
    pub fn bad_data(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::BadData, message: message.into() }
    }

    /// One parameter is wrong: `invalid parameter "start": ...`.
    pub fn param(name: &str, reason: impl std::fmt::Display) -> Self {
        Self::bad_data(format!("invalid parameter \"{name}\": {reason}"))
    }

    /// The store failed; the log has the details.
    pub fn internal(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Internal, message: message.into() }
    }
}

/// Sends the client to another path. As the peer does it, `is_permanent` makes clients ask there by GET; otherwise
/// they keep their method and body.
pub(super) fn redirect(path: &str, query: Option<&str>, is_permanent: bool) -> Response {
    let query = query.map_or(String::new(), |query| format!("?{query}"));
    let status = if is_permanent { StatusCode::MOVED_PERMANENTLY } else { StatusCode::TEMPORARY_REDIRECT };
    match HeaderValue::try_from(format!("{path}{query}")) {
        Ok(place) => (status, [(LOCATION, place)]).into_response(),
        // A request's own path fits into a header again.
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Whether no route took the request.
pub(super) fn is_unknown_path(response: &Response) -> bool {
    response.status() == StatusCode::NOT_FOUND
        && response.headers().get(CONTENT_TYPE).is_none_or(|kind| kind != ENVELOPE_TYPE)
}

/// Status of whatever needs the database while it is not open.
pub(crate) const NOT_OPEN: StatusCode = StatusCode::SERVICE_UNAVAILABLE;

/// There is no database to ask: its log is being replayed, or the daemon stops.
pub(super) fn not_running(is_stopping: bool) -> Response {
    let is_stopping = HeaderValue::from_static(if is_stopping { "true" } else { "false" });
    let headers =
        [(HeaderName::from_static("x-prometheus-stopping"), is_stopping), (CONTENT_TYPE, PLAIN_TEXT)];
    (NOT_OPEN, headers, "Service Unavailable").into_response()
}

/// HEAD, which a path that takes GET would otherwise answer.
pub(super) fn method_not_allowed() -> Response {
    (StatusCode::METHOD_NOT_ALLOWED, [(CONTENT_TYPE, PLAIN_TEXT)], "Method Not Allowed\n").into_response()
}

/// What a handler answers that has no data, not even empty data.
pub(super) fn no_data() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        let message = error.to_string();
        let kind = match error {
            QueryError::Parse(_) | QueryError::RangeType(_) => return Self::param("query", message),
            QueryError::QueueTimeout => ErrorKind::Timeout,
            QueryError::Broken => ErrorKind::Internal,
            QueryError::Eval(error) => match error {
                EvalError::BadData(_) => ErrorKind::BadData,
                EvalError::Execution(_) | EvalError::TooManySamples => ErrorKind::Execution,
                EvalError::TimedOut => ErrorKind::Timeout,
                EvalError::Canceled => ErrorKind::Canceled,
                EvalError::Source(source) => {
                    tracing::error!(error = &*source as &dyn std::error::Error, "query failed while reading");
                    ErrorKind::Internal
                }
            },
        };
        Self { kind, message }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut body = format!("{{\"status\":\"error\",\"errorType\":\"{}\",\"error\":", self.kind.as_str());
        push_json_string(&mut body, &self.message, true);
        body.push('}');
        let mut response = (self.kind.status(), body).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(ENVELOPE_TYPE));
        response
    }
}

/// Why a request of remote write was refused. Senders send again on 5xx and drop the samples on 4xx.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WriteRefusal {
    /// The receiver is off.
    Disabled,
    /// A message or compression that is not understood.
    Media(String),
    /// The body, or what it holds, is over a limit.
    TooLarge(String),
    /// It cannot be read, or a part of it was refused.
    Bad(String),
    /// Other bodies take all the memory that there is for them.
    Busy,
    /// The store failed.
    Failed(String),
}

/// Plain text with a newline, as Go's `http.Error` writes it.
impl IntoResponse for WriteRefusal {
    fn into_response(self) -> Response {
        let (status, text) = match self {
            Self::Disabled => (
                StatusCode::NOT_FOUND,
                "remote write receiver needs to be enabled with --web.enable-remote-write-receiver"
                    .to_owned(),
            ),
            Self::Media(text) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, text),
            Self::TooLarge(text) => (StatusCode::PAYLOAD_TOO_LARGE, text),
            Self::Bad(text) => (StatusCode::BAD_REQUEST, text),
            Self::Busy => (
                StatusCode::SERVICE_UNAVAILABLE,
                "too many write requests under way, send this one again later".to_owned(),
            ),
            Self::Failed(text) => (StatusCode::INTERNAL_SERVER_ERROR, text),
        };
        let mut response = (status, text + "\n").into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, PLAIN_TEXT);
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
