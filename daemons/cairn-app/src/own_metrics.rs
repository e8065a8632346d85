//! `cairn_app_*` and `process_*`: what the daemon says about itself, through prometheus-client as it is.

use cairn_http::process;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

/// Every metric of the daemon but the application's own (`flask_app_*`).
#[derive(Debug)]
pub struct OwnMetrics {
    /// What `/metrics` shows.
    pub registry: Registry,
    /// The log file's.
    pub log: LogMetrics,
    /// Self traffic's.
    pub self_traffic: Family<OutcomeLabels, Counter>,
    /// `cairn_app_config_last_reload_successful`: 1, or 0 after a reload that was refused.
    pub last_reload_successful: Gauge,
}

/// Counters of the log file.
#[derive(Clone, Debug)]
pub struct LogMetrics {
    /// `cairn_app_log_lines_total`: lines accepted for writing.
    pub lines: Counter,
    /// `cairn_app_log_lines_dropped_total`: lines lost to a full buffer, a write error or the end.
    pub dropped: Counter,
    /// `cairn_app_log_write_errors_total`: writes and reopenings that failed.
    pub errors: Counter,
    /// `cairn_app_log_reopens_total`: times the file was opened again.
    pub reopens: Counter,
}

/// How a request of self traffic went: `ok` (any answer), `failed` (none), `skipped` (too many were still running).
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OutcomeLabels {
    /// The outcome.
    pub outcome: &'static str,
}

impl OwnMetrics {
    /// Makes the registry with all of them at zero.
    pub fn new() -> Self {
        let mut registry = Registry::default();
        process::register(&mut registry);
        let app = registry.sub_registry_with_prefix("cairn_app");
        app.register("build", "The daemon's version", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        let log = LogMetrics::register(app);
        let self_traffic = Family::default();
        app.register(
            "self_traffic_requests",
            "Requests that the application sent to itself",
            Family::clone(&self_traffic),
        );
        let last_reload_successful = Gauge::default();
        last_reload_successful.set(1);
        app.register(
            "config_last_reload_successful",
            "Whether the last configuration reload was taken",
            last_reload_successful.clone(),
        );
        Self { registry, log, self_traffic, last_reload_successful }
    }
}

impl Default for OwnMetrics {
    fn default() -> Self {
        Self::new()
    }
}

impl LogMetrics {
    /// Registers the log file's counters.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            lines: Counter::default(),
            dropped: Counter::default(),
            errors: Counter::default(),
            reopens: Counter::default(),
        };
        registry.register("log_lines", "Lines accepted for the log file", metrics.lines.clone());
        registry.register(
            "log_lines_dropped",
            "Lines of the log file that were lost",
            metrics.dropped.clone(),
        );
        registry.register(
            "log_write_errors",
            "Log file writes and reopenings that failed",
            metrics.errors.clone(),
        );
        registry.register("log_reopens", "Times the log file was opened again", metrics.reopens.clone());
        metrics
    }
}
