//! `/-/reload`, `/-/quit`, `/metrics`, `notifications`, and the paths of features that are off.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use cairn_http::exposition::{self, Format};
use http::{HeaderMap, StatusCode};

use super::App;
use super::answer::Answered;
use super::error::{ApiError, ErrorKind};

/// Prometheus's words for a GET of these two.
pub(super) fn post_or_put(routes: MethodRouter<App>) -> MethodRouter<App> {
    routes.get(async || (StatusCode::METHOD_NOT_ALLOWED, "Only POST or PUT requests allowed"))
}

/// The refusal, unless the flag allows both.
fn refusal(app: &App) -> Option<Response> {
    let text = "Lifecycle API is not enabled.";
    (!app.settings().has_lifecycle).then(|| (StatusCode::FORBIDDEN, text).into_response())
}

/// `/-/reload`
pub(super) async fn reload(State(app): State<App>) -> Response {
    if let Some(refusal) = refusal(&app) {
        return refusal;
    }
    match app.reload().await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("failed to reload config: {error}\n")).into_response()
        }
    }
}

/// `/-/quit`
pub(super) async fn quit(State(app): State<App>) -> Response {
    if let Some(refusal) = refusal(&app) {
        return refusal;
    }
    app.stop.cancel();
    "Requesting termination... Goodbye!".into_response()
}

/// `/api/v1/notifications`: there is nothing that waits for an operator's click.
pub(super) async fn notifications() -> Answered {
    Answered::new("[]")
}

/// `/api/v1/notifications/live`: the status that makes a browser stop asking for a stream that never says anything.
pub(super) async fn notifications_live() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// `/api/v1/search/*`: behind a switch with the peer, and not here.
pub(super) async fn search() -> ApiError {
    ApiError { kind: ErrorKind::Unavailable, message: "search API disabled".to_owned() }
}

/// `/metrics`: text 0.0.4, or OpenMetrics when it is asked for.
pub(super) async fn metrics(State(app): State<App>, headers: HeaderMap) -> Response {
    let format = Format::negotiate(&headers);
    match tokio::task::spawn_blocking(move || app.metrics.encode(format)).await {
        Ok(text) => exposition::respond_with(text, format),
        Err(_panic) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
