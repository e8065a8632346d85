//! The HTTP interface: Loki's paths, parameters, answers and words.
//!
//! | module | answers |
//! |---|---|
//! | [`error`] | which status and text has a failure |
//! | [`params`] | how are parameters read |
//! | `request` | who asks, and in which form is the answer wanted |
//! | `answer` | how does an answer look |
//! | `query`, `labels`, `index`, `detected`, `fields`, `legacy` | reading |
//! | `push` | writing |
//! | `status` | the daemon itself |

mod answer;
mod detected;
pub mod error;
mod fields;
mod index;
mod labels;
mod legacy;
pub mod params;
mod push;
mod query;
mod request;
mod selector;
mod status;

pub(crate) use self::status::LOKI_VERSION;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodRouter, get, post};
use cairn_http::ServeOptions;
use cairn_http::health::HealthTexts;

use crate::app::App;

/// All routes. A path that is not here is a 404, another method on one that is, a 405 without a text.
pub fn router(app: Arc<App>) -> Router {
    let texts = HealthTexts { ready_paths: &["/ready"], ..HealthTexts::default() };
    Router::new()
        .merge(loki_api())
        .merge(legacy_api())
        .merge(about())
        .with_state(Arc::clone(&app))
        .merge(cairn_http::health::router(app.health.clone(), texts))
        .fallback(error::path_not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
}

/// Limits of the listener, and this API's words for what is refused before a handler sees it.
pub fn serve_options(app: &App) -> ServeOptions {
    let limits = cairn_http::Limits {
        body_bytes: push::MAX_PUSH_BYTES,
        // Queries have their own limit; this one only catches what is stuck.
        request_time: app.config().limits.query_timeout.to_std() + REQUEST_TIME_BEYOND_QUERY,
        timeout_status: error::ErrorKind::Timeout.status(),
        ..cairn_http::Limits::default()
    };
    let observer: Arc<dyn cairn_http::Observer> = Arc::clone(&app.metrics) as _;
    ServeOptions {
        limits,
        observer: Some(observer),
        refusals: Arc::new(error::ServingRefusals),
        ..ServeOptions::default()
    }
}

/// How much longer than a query a request may take: a large push over a slow line.
const REQUEST_TIME_BEYOND_QUERY: Duration = Duration::from_secs(60);

/// Query endpoints take their parameters from the URL or from a form.
fn get_or_post<H: Handler<T, Arc<App>>, T: 'static>(handler: H) -> MethodRouter<Arc<App>> {
    get(handler.clone()).post(handler)
}

fn loki_api() -> Router<Arc<App>> {
    Router::new()
        .route("/loki/api/v1/push", post(push::push))
        .route("/loki/api/v1/query_range", get_or_post(query::query_range))
        .route("/loki/api/v1/query", get_or_post(query::query))
        .route("/loki/api/v1/labels", get_or_post(labels::names))
        .route("/loki/api/v1/label", get_or_post(labels::names))
        .route("/loki/api/v1/label/{name}/values", get_or_post(labels::values))
        .route("/loki/api/v1/series", get_or_post(labels::series))
        .route("/loki/api/v1/index/stats", get_or_post(index::stats))
        .route("/loki/api/v1/index/volume", get_or_post(index::volume))
        .route("/loki/api/v1/index/volume_range", get_or_post(index::volume_range))
        .route("/loki/api/v1/detected_labels", get_or_post(detected::labels))
        .route("/loki/api/v1/detected_fields", get_or_post(fields::fields))
        .route("/loki/api/v1/detected_field/{name}/values", get_or_post(fields::values))
        .route("/loki/api/v1/format_query", get_or_post(status::format_query))
        .route("/loki/api/v1/status/buildinfo", get(status::buildinfo))
        .route("/loki/api/v1/drilldown-limits", get(status::drilldown_limits))
        .route("/loki/api/v1/rules", get(status::no_rule_groups))
        .route("/loki/api/v1/rules/{namespace}", get(status::no_rule_groups))
        .route("/loki/api/v1/rules/{namespace}/{group}", get(status::no_rule_groups))
        .route("/prometheus/api/v1/rules", get(status::rules))
        .route("/prometheus/api/v1/alerts", get(status::alerts))
}

fn legacy_api() -> Router<Arc<App>> {
    Router::new()
        .route("/api/prom/push", post(push::legacy))
        .route("/api/prom/query", get_or_post(legacy::query))
        .route("/api/prom/label", get_or_post(labels::names))
        .route("/api/prom/label/{name}/values", get_or_post(labels::values))
        .route("/api/prom/series", get_or_post(labels::series))
        .route("/api/prom/rules", get(status::no_rule_groups))
        .route("/api/prom/rules/{namespace}", get(status::no_rule_groups))
        .route("/api/prom/rules/{namespace}/{group}", get(status::no_rule_groups))
}

fn about() -> Router<Arc<App>> {
    Router::new()
        .route("/-/reload", post(status::reload).put(status::reload))
        .route("/metrics", get(crate::metrics::scrape))
        .route("/config", get(status::config))
        .route("/services", get(status::services))
        .route("/log_level", get(status::log_level))
        .route("/flush", get_or_post(status::flush))
}
