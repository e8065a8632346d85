//! Everything about the daemon itself: readiness, build, configuration, and the answers of what Loki has and Cairn
//! needs not: rules, log level, flush.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use super::answer::json_response;
use super::error::{ApiError, ErrorKind};
use super::params::Params;
use super::request::Tenant;
use crate::app::App;
use crate::config::print::to_yaml;
use crate::json;

/// The version told to clients that choose features by Loki's version.
pub(crate) const LOKI_VERSION: &str = "3.5.0";

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

fn text(content_type: &'static str, body: impl Into<String>) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static(content_type))], body.into()).into_response()
}

/// `/-/reload`: reads the configuration again; the log tells what came of it.
pub(super) async fn reload(State(app): State<Arc<App>>) -> StatusCode {
    app.reload.request();
    StatusCode::OK
}

/// `/loki/api/v1/status/buildinfo`.
pub(super) async fn buildinfo() -> Response {
    let body = serde_json::json!({
        "version": LOKI_VERSION,
        "revision": concat!("cairn-", env!("CARGO_PKG_VERSION")),
        "branch": "cairn",
        "buildUser": "",
        "buildDate": "",
        "goVersion": "",
    });
    text(JSON, format!("{body}\n"))
}

/// `/config`.
pub(super) async fn config(State(app): State<Arc<App>>) -> Response {
    text(TEXT, to_yaml(&app.config()))
}

/// `/services`.
pub(super) async fn services(State(app): State<Arc<App>>) -> Response {
    let state = if app.health.check().is_ok() { "Running" } else { "Starting" };
    text(TEXT, ["server", "store", "maintenance"].map(|name| format!("{name} => {state}\n")).concat())
}

/// `/log_level`: tells it. Changing it takes a restart.
pub(super) async fn log_level() -> Response {
    let level = tracing::level_filters::LevelFilter::current().to_string().to_ascii_lowercase();
    text(JSON, format!("{{\"message\":\"Current log level is {level}\"}}\n"))
}

/// `/flush`: writes what is in memory to chunks.
pub(super) async fn flush(State(app): State<Arc<App>>) -> Result<StatusCode, ApiError> {
    let store = app.store()?.clone();
    let outcome = tokio::task::spawn_blocking(move || store.flush()).await;
    match outcome {
        Ok(Ok(_)) => Ok(StatusCode::NO_CONTENT),
        Ok(Err(error)) => {
            let kind = if error.is_no_space() { ErrorKind::Unavailable } else { ErrorKind::Internal };
            Err(ApiError::new(kind, error.to_string()).on_write())
        }
        Err(_panic) => {
            Err(ApiError::internal("internal error while flushing; see the log of the store").on_write())
        }
    }
}

/// `/prometheus/api/v1/rules`: there are none.
pub(super) async fn rules(params: Params) -> Response {
    prometheus_list(&params, "groups")
}

/// `/prometheus/api/v1/alerts`: there are none.
pub(super) async fn alerts(params: Params) -> Response {
    prometheus_list(&params, "alerts")
}

fn prometheus_list(params: &Params, name: &str) -> Response {
    let kind = params.get("type");
    if name == "groups" && !matches!(kind, "" | "alert" | "record") {
        let error = format!("not supported value {kind:?}");
        let body =
            serde_json::json!({"status": "error", "data": null, "errorType": "bad_data", "error": error});
        return (ErrorKind::BadRequest.status(), text(JSON, body.to_string())).into_response();
    }
    text(
        JSON,
        format!("{{\"status\":\"success\",\"data\":{{\"{name}\":[]}},\"errorType\":\"\",\"error\":\"\"}}"),
    )
}

/// `/loki/api/v1/rules` and `/api/prom/rules`: none, which Grafana takes for an empty list.
pub(super) async fn no_rule_groups() -> ApiError {
    ApiError::new(ErrorKind::NotFound, "no rule groups found").on_write()
}

/// `/loki/api/v1/drilldown-limits`.
pub(super) async fn drilldown_limits(State(app): State<Arc<App>>, _tenant: Tenant) -> Response {
    let config = app.config();
    let limits = &config.limits;
    let retention = config.retention.default.period.map_or_else(
        || "0s".to_owned(),
        |period| {
            cairn_model::duration::format_prometheus(i64::try_from(period.as_millis()).unwrap_or(i64::MAX))
        },
    );
    let mut fields = Vec::new();
    json::push_strings(&mut fields, &limits.discover_service_name);
    let names = String::from_utf8(fields).unwrap_or_default();
    let body = format!(
        "{{\"limits\":{{\"discover_log_levels\":{},\"discover_service_name\":{names},\
         \"max_entries_limit_per_query\":{},\"max_line_size_truncate\":{},\"max_query_bytes_read\":\"0B\",\
         \"max_query_length\":\"{}\",\"max_query_lookback\":\"{}\",\"max_query_range\":\"{}\",\
         \"max_query_series\":{},\"metric_aggregation_enabled\":false,\"pattern_persistence_enabled\":false,\
         \"query_timeout\":\"{}\",\"retention_period\":\"{retention}\",\"volume_enabled\":{},\
         \"volume_max_series\":{}}},\"pattern_ingester_enabled\":false,\"version\":\"{LOKI_VERSION}\"}}\n",
        limits.discover_log_levels,
        limits.max_entries_limit_per_query,
        limits.max_line_size_truncate,
        limits.max_query_length,
        limits.max_query_lookback,
        limits.max_query_range,
        limits.max_query_series,
        limits.query_timeout,
        limits.volume_enabled,
        limits.volume_max_series,
    );
    text(JSON, body)
}

/// `/loki/api/v1/format_query`.
pub(super) async fn format_query(params: Params) -> Response {
    let (status, body) = match cairn_logql::parse(params.get("query")) {
        Ok(expr) => {
            let mut out = b"{\"status\":\"success\",\"data\":".to_vec();
            json::push_string(&mut out, cairn_logql::format(&expr).as_bytes());
            out.push(b'}');
            (StatusCode::OK, out)
        }
        Err(error) => {
            let mut out = b"{\"status\":\"invalid-query\",\"error\":".to_vec();
            json::push_string(&mut out, error.to_string().as_bytes());
            out.push(b'}');
            (ErrorKind::BadRequest.status(), out)
        }
    };
    (status, json_response(body)).into_response()
}
