//! The shipper's HTTP face: health, metrics, reload, and one page.

mod page;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use cairn_http::health::{self, HealthTexts};
use cairn_http::{Health, exposition};
use http::{HeaderMap, StatusCode};
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, oneshot};

use crate::daemon::{ReloadRequest, SharedShipper, locked};
use crate::metrics::Metrics;

/// What the handlers need.
#[derive(Clone, Debug)]
pub struct ApiState {
    /// The shipper.
    pub shipper: SharedShipper,
    /// Its metrics.
    pub metrics: Arc<Metrics>,
    /// What they are registered in.
    pub registry: Arc<Registry>,
    /// Asks the main loop for a reload.
    pub reload: mpsc::Sender<ReloadRequest>,
}

/// All routes. `/ready` and `/reload` are Promtail's spellings, the others Alloy's.
pub fn router(state: ApiState, health: Health) -> Router {
    let texts = HealthTexts { ready: "Ready\n", ready_paths: &["/ready"], ..HealthTexts::default() };
    Router::new()
        .route("/", get(page))
        .route("/targets", get(page))
        .route("/metrics", get(metrics))
        .route("/-/reload", post(reload).get(reload))
        .route("/reload", post(reload).get(reload))
        .with_state(state)
        .merge(health::router(health, texts))
}

async fn page(State(state): State<ApiState>) -> Response {
    let html = locked(&state.shipper).as_ref().map(|shipper| {
        page::render(&shipper.positions().entries(), &shipper.destinations(), shipper.queue())
    });
    match html {
        Some(html) => Html(html).into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response(),
    }
}

async fn metrics(State(state): State<ApiState>, headers: HeaderMap) -> Response {
    if let Some(shipper) = locked(&state.shipper).as_ref() {
        state.metrics.refresh(shipper.positions(), shipper.queue());
    }
    exposition::respond(&state.registry, &headers)
}

/// 200 once the new file is in use; 400 with the complaint about it, as Alloy says it.
async fn reload(State(state): State<ApiState>) -> Response {
    let (answer, answered) = oneshot::channel();
    if state.reload.send(answer).await.is_err() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response();
    }
    match answered.await {
        Ok(Ok(())) => (StatusCode::OK, "config reloaded\n").into_response(),
        Ok(Err(complaint)) => (StatusCode::BAD_REQUEST, format!("{complaint}\n")).into_response(),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response(),
    }
}
