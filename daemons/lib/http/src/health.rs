//! `/-/healthy` and `/-/ready`.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;

/// Whether the daemon can do its work, shared by everything that knows or asks. Starts as not ready.
#[derive(Clone, Debug)]
pub struct Health(Arc<Mutex<Result<(), String>>>);

impl Health {
    /// Not ready yet, because of `reason` ("replaying the write-ahead log").
    pub fn starting(reason: impl Into<String>) -> Self {
        Self(Arc::new(Mutex::new(Err(reason.into()))))
    }

    /// From now on ready.
    pub fn set_ready(&self) {
        self.set(Ok(()));
    }

    /// From now on not ready, because of `reason` ("stopping").
    pub fn set_not_ready(&self, reason: impl Into<String>) {
        self.set(Err(reason.into()));
    }

    /// `Ok`, or the reason why not.
    ///
    /// # Errors
    /// The reason, for people.
    pub fn check(&self) -> Result<(), String> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    fn set(&self, state: Result<(), String>) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = state;
    }
}

/// The bodies of the health answers: a peer's probes may look for the peer's words.
#[derive(Clone, Debug)]
pub struct HealthTexts {
    /// Body of `/-/healthy`, with its line end.
    pub healthy: &'static str,
    /// Body of `/-/ready` when ready, with its line end.
    pub ready: &'static str,
    /// Further paths that answer as `/-/ready` does, such as Loki's `/ready`.
    pub ready_paths: &'static [&'static str],
}

impl Default for HealthTexts {
    fn default() -> Self {
        Self { healthy: "healthy\n", ready: "ready\n", ready_paths: &[] }
    }
}

/// Routes for `/-/healthy` (200 while the process answers) and `/-/ready` (200, or 503 with the reason), GET and HEAD.
/// Merge it into the daemon's router.
pub fn router(health: Health, texts: HealthTexts) -> Router {
    let HealthTexts { healthy, ready, ready_paths } = texts;
    let readiness = get(move |State(health): State<Health>| async move { readiness(&health, ready) });
    let mut router = Router::new()
        .route("/-/healthy", get(move || async move { healthy }))
        .route("/-/ready", readiness.clone());
    for path in ready_paths {
        router = router.route(path, readiness.clone());
    }
    router.with_state(health)
}

/// The answer of `/-/ready`, for handlers that are not routers.
pub fn readiness(health: &Health, ready: &'static str) -> Response {
    match health.check() {
        Ok(()) => ready.into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}\n")).into_response(),
    }
}
