//! What an axum router needs on top to be served here: templates for the observer, a daemon's 404 and 405.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request};
use axum::middleware::{self, Next};
use axum::response::Response;
use http::StatusCode;

use crate::refusal::{Refusal, RefusalText, respond};
use crate::{Handler, RouteSlot};

/// Answers unknown paths with 404 and known paths with another method with 405 (and `Allow`), in the daemon's words.
///
/// Call it once all routes are on the router: axum applies the 405 to those that are there.
pub fn with_refusals(router: Router, text: Arc<dyn RefusalText>) -> Router {
    let for_methods = Arc::clone(&text);
    router
        .method_not_allowed_fallback(move || {
            let text = Arc::clone(&for_methods);
            async move { respond(Refusal::MethodNotAllowed, &*text, StatusCode::SERVICE_UNAVAILABLE) }
        })
        .fallback(move || {
            let text = Arc::clone(&text);
            async move { respond(Refusal::NotFound, &*text, StatusCode::SERVICE_UNAVAILABLE) }
        })
}

/// A router as a [`Handler`].
#[derive(Clone)]
pub(crate) struct RouterHandler(Router);

impl RouterHandler {
    pub(crate) fn new(router: Router) -> Self {
        // The listener's own limit is around every body already; axum's of 2 MB would only surprise.
        // A route that wants less puts `DefaultBodyLimit::max` on itself, which comes later and wins.
        Self(router.layer(middleware::from_fn(note_route)).layer(DefaultBodyLimit::disable()))
    }
}

impl Handler for RouterHandler {
    async fn handle(&self, request: Request) -> Response {
        use tower::ServiceExt;
        let Ok(response) = self.0.clone().oneshot(request).await;
        response
    }
}

async fn note_route(request: Request, next: Next) -> Response {
    let extensions = request.extensions();
    if let (Some(slot), Some(route)) = (extensions.get::<RouteSlot>(), extensions.get::<MatchedPath>()) {
        slot.set(route.as_str());
    }
    next.run(request).await
}
