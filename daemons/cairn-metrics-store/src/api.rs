//! Prometheus's HTTP API.
//!
//! | file | serves |
//! |---|---|
//! | `api.rs` | which path takes which method; what surrounds every answer |
//! | [`error`] | which error has which status and kind |
//! | `answer.rs` | the envelope, times and values as text |
//! | `clean_path.rs` | where to send whoever asks with a slash too many |
//! | `params.rs` | parameters from query string and form |
//! | `query.rs` | `query`, `query_range`, `format_query` |
//! | `parse_tree.rs` | `parse_query` |
//! | `exemplars.rs` | `query_exemplars` |
//! | `labels.rs` | `labels`, `label/<name>/values`, `series` |
//! | `targets.rs` | `targets`, `metadata`, `scrape_pools` and their keys, `alertmanagers`, `rules`, `alerts` |
//! | `write.rs`, `read.rs` | remote `write` and `read` |
//! | `otlp.rs` | `otlp/v1/metrics` |
//! | `federate.rs` | `/federate` |
//! | `features.rs` | `features` |
//! | `status.rs` | `status/*`, `/version` |
//! | `admin.rs` | `admin/tsdb/*` |
//! | `../pages.rs` | the pages for a browser: `/`, `/query` and the like |
//! | `lifecycle.rs` | `/-/reload`, `/-/quit`, `/metrics`, `notifications`, `search/*` |

mod admin;
mod answer;
mod clean_path;
pub mod error;
mod exemplars;
mod features;
mod federate;
mod labels;
mod lifecycle;
mod otlp;
mod params;
mod parse_tree;
mod query;
mod read;
mod status;
mod targets;
mod write;

pub(crate) use params::parse_time;
pub use read::ReadPlaces;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use cairn_http::health::{self, HealthTexts};
use cairn_http::router::with_refusals;
use cairn_http::{Limits, Observation, Observer, Refusal, RefusalBody, RefusalText, ServeOptions};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, LOCATION, ORIGIN, VARY,
};
use http::{HeaderValue, Method, StatusCode};

pub(crate) use crate::app::{App, Running};
use crate::pages;

/// A query may take its time-out; the listener's own limit lies above it.
const ABOVE_QUERY_TIMEOUT: Duration = Duration::from_secs(10);

const PLAIN_TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// The daemon's router.
pub fn router(app: App) -> Router {
    let texts = HealthTexts {
        healthy: "Prometheus Server is Healthy.\n",
        ready: "Prometheus Server is Ready.\n",
        ready_paths: &[],
    };
    let api = Router::new()
        .route("/query", get(query::instant).post(query::instant))
        .route("/query_range", get(query::range).post(query::range))
        .route("/query_exemplars", get(exemplars::exemplars).post(exemplars::exemplars))
        .route("/format_query", get(query::format).post(query::format))
        .route("/parse_query", get(parse_tree::parse).post(parse_tree::parse))
        .route("/labels", get(labels::names).post(labels::names))
        .route("/series", get(labels::series).post(labels::series))
        .route("/label/{name}/values", get(labels::values))
        .route("/metadata", get(targets::metadata))
        .route("/targets", get(targets::targets))
        .route("/targets/metadata", get(targets::target_metadata))
        .route("/targets/relabel_steps", get(targets::relabel_steps).post(targets::relabel_steps))
        .route("/scrape_pools", get(targets::scrape_pools))
        .route("/scrape_pools/config", get(targets::scrape_pool_config))
        .route("/alertmanagers", get(targets::alertmanagers))
        .route("/rules", get(targets::rules))
        .route("/alerts", get(targets::alerts))
        .route("/status/buildinfo", get(status::buildinfo))
        .route("/status/runtimeinfo", get(status::runtimeinfo))
        .route("/status/config", get(status::config))
        .route("/status/active_queries", get(status::active_queries))
        .route("/status/flags", get(status::flags))
        .route("/status/tsdb", get(status::tsdb))
        .route("/status/tsdb/blocks", get(status::blocks))
        .route("/status/walreplay", get(status::walreplay))
        .route("/features", get(features::features))
        .route("/notifications", get(lifecycle::notifications))
        .route("/notifications/live", get(lifecycle::notifications_live))
        .route("/search/metric_names", get(lifecycle::search).post(lifecycle::search))
        .route("/search/label_names", get(lifecycle::search).post(lifecycle::search))
        .route("/search/label_values", get(lifecycle::search).post(lifecycle::search))
        .route("/write", post(write::write))
        .route("/read", post(read::read))
        .route("/otlp/v1/metrics", post(otlp::push))
        .route("/admin/tsdb/snapshot", post(admin::snapshot).put(admin::snapshot))
        .route("/admin/tsdb/delete_series", post(admin::delete_series).put(admin::delete_series))
        .route("/admin/tsdb/clean_tombstones", post(admin::clean_tombstones).put(admin::clean_tombstones))
        .layer(middleware::from_fn_with_state(app.clone(), guard));
    let web = &app.settings().web;
    let router = Router::new()
        .nest("/api/v1", api)
        .route("/federate", get(federate::federate))
        .route("/version", get(status::version))
        .route("/metrics", get(lifecycle::metrics))
        .route("/-/reload", lifecycle::post_or_put(post(lifecycle::reload).put(lifecycle::reload)))
        .route("/-/quit", lifecycle::post_or_put(post(lifecycle::quit).put(lifecycle::quit)))
        .merge(pages::router())
        .with_state(app.clone())
        .merge(health::router(app.health.clone(), texts));
    let router = match web.route_prefix() {
        "" => router,
        prefix => {
            let home = format!("{prefix}/");
            let to_home = home.clone();
            Router::new()
                .route("/", get(async move || (StatusCode::FOUND, [(LOCATION, to_home)])))
                // Nesting serves the prefix without a slash behind it.
                .route(&home, get(pages::home).with_state(app.clone()))
                .nest(prefix, router)
        }
    };
    with_refusals(router, Arc::new(Words)).layer(middleware::from_fn_with_state(app, surround))
}

/// How the listener is served.
pub fn serve_options(app: &App, query_timeout: Duration) -> ServeOptions {
    let observer: Arc<dyn Observer> = Arc::new(BelowPrefix(app.clone()));
    let mut limits = Limits { request_time: query_timeout + ABOVE_QUERY_TIMEOUT, ..Limits::default() };
    for path in &mut limits.always_admitted {
        path.insert_str(0, app.settings().web.route_prefix());
    }
    ServeOptions { limits, observer: Some(observer), refusals: Arc::new(Words), compress: true }
}

/// Counts requests by their route without the prefix: dashboards know the peer's names, which are without it as well.
#[derive(Debug)]
struct BelowPrefix(App);

impl Observer for BelowPrefix {
    fn started(&self) {
        self.0.metrics.started();
    }

    fn finished(&self, observation: &Observation<'_>) {
        let route = match self.0.settings().web.below_prefix(observation.route) {
            Some("") => "/",
            Some(route) => route,
            None => observation.route,
        };
        self.0.metrics.finished(&Observation { route, ..*observation });
    }
}

/// Refusals in Prometheus's words.
#[derive(Clone, Copy, Debug)]
struct Words;

impl RefusalText for Words {
    fn body(&self, refusal: Refusal) -> RefusalBody {
        let text = match refusal {
            Refusal::MethodNotAllowed => "Method Not Allowed\n".to_owned(),
            other => format!("{other}\n"),
        };
        RefusalBody { content_type: "text/plain; charset=utf-8", text }
    }
}

/// Before every API path: not before the log is replayed, and no HEAD.
async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    if request.method() == Method::HEAD {
        return error::method_not_allowed();
    }
    // Nested routers see the path without what they are nested under.
    if !app.is_running() && !request.uri().path().ends_with("/status/walreplay") {
        return error::not_running(app.stop.is_cancelled());
    }
    next.run(request).await
}

/// Around every answer: `OPTIONS`, and the headers for browsers.
async fn surround(State(app): State<App>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(ORIGIN).filter(|origin| !origin.is_empty()).cloned();
    let (uri, is_get) = (request.uri().clone(), request.method() == Method::GET);
    if let Some(path) = clean_path::cleaned(uri.path()) {
        return error::redirect(&path, uri.query(), true);
    }
    let below = app.settings().web.below_prefix(uri.path());
    let is_api = below.is_some_and(|path| path.starts_with("/api/"));
    let mut response = if request.method() == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else if is_api {
        let response = next.run(request).await;
        match clean_path::without_end_slash(uri.path()) {
            Some(path) if error::is_unknown_path(&response) => error::redirect(path, uri.query(), is_get),
            _ => response,
        }
    } else {
        return next.run(request).await;
    };
    let headers = response.headers_mut();
    headers.append(VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = origin else { return response };
    if origin.to_str().is_ok_and(|text| app.settings().cors_origin.is_match(text)) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        for (name, value) in [
            (ACCESS_CONTROL_ALLOW_HEADERS, "Accept, Authorization, Content-Type, Origin"),
            (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
            (ACCESS_CONTROL_EXPOSE_HEADERS, "Date"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    response
}

#[cfg(test)]
mod tests;
