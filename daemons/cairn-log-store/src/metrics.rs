//! The daemon's own numbers: `cairn_log_store_*`, and those of Loki's names that have an honest value here.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use axum::extract::State;
use axum::response::Response;
use cairn_http::observe::{Observation, UNMATCHED};
use cairn_http::request_metrics::{RequestMetrics, method_label};
use cairn_http::{Observer, exposition, process};
use cairn_logdb::{Counters, Store};
use http::HeaderMap;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::app::App;
use crate::ingest::refusal::Reason;

/// Buckets of `loki_request_duration_seconds`: Loki's, since dashboards name them.
const LOKI_BUCKETS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0];
/// Tenants that have a label value of their own; the rest is `other`.
const MAX_TENANT_LABELS: usize = 1000;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TenantLabels {
    tenant: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DiscardLabels {
    reason: &'static str,
    tenant: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LokiRequestLabels {
    method: &'static str,
    route: String,
    status_code: u16,
    ws: &'static str,
}

/// All metrics of the daemon.
pub struct Metrics {
    registry: Registry,
    requests: RequestMetrics,
    loki_durations: Family<LokiRequestLabels, Histogram>,
    received_bytes: Family<TenantLabels, Counter>,
    received_lines: Family<TenantLabels, Counter>,
    received_metadata_bytes: Family<TenantLabels, Counter>,
    discarded_samples: Family<DiscardLabels, Counter>,
    discarded_bytes: Family<DiscardLabels, Counter>,
    pushes_failed: Counter,
    maintenance_failed: Counter,
    last_reload_successful: Gauge,
    tenants: Mutex<HashSet<String>>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Registers everything. `store` may be filled later; its numbers appear from then on.
    pub fn new(store: Arc<OnceLock<Store>>) -> Self {
        let mut registry = Registry::default();
        process::register(&mut registry);
        let own = registry.sub_registry_with_prefix("cairn_log_store");
        let requests = RequestMetrics::register(own);
        let pushes_failed = Counter::default();
        own.register("pushes_failed", "Pushes that could not be stored", pushes_failed.clone());
        let maintenance_failed = Counter::default();
        own.register(
            "maintenance_failed",
            "Rounds of maintenance that ended early",
            maintenance_failed.clone(),
        );
        let last_reload_successful = Gauge::default();
        last_reload_successful.set(1);
        own.register(
            "config_last_reload_successful",
            "Whether the last reading of the configuration succeeded",
            last_reload_successful.clone(),
        );
        own.register_collector(Box::new(StoreCollector { store: Arc::clone(&store), form: Form::Cairn }));
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        own.register("build", "Build of this daemon", build);

        let loki_build = Info::new([
            ("version", crate::api::LOKI_VERSION),
            ("revision", concat!("cairn-", env!("CARGO_PKG_VERSION"))),
            ("branch", "cairn"),
            ("goversion", ""),
        ]);
        registry.register("loki_build", "The Loki whose API this is", loki_build);
        registry.register_collector(Box::new(StoreCollector { store, form: Form::Loki }));
        let loki_durations: Family<_, _> = Family::new_with_constructor(|| Histogram::new(LOKI_BUCKETS));
        registry.register(
            "loki_request_duration_seconds",
            "Time spent serving HTTP requests",
            loki_durations.clone(),
        );
        let mut of_tenant = |name: &str, help: &str| {
            let family: Family<TenantLabels, Counter> = Family::default();
            registry.register(name, help, family.clone());
            family
        };
        let received_bytes =
            of_tenant("loki_distributor_bytes_received", "Bytes of lines and metadata received per tenant");
        let received_lines = of_tenant("loki_distributor_lines_received", "Lines received per tenant");
        let received_metadata_bytes = of_tenant(
            "loki_distributor_structured_metadata_bytes_received",
            "Bytes of structured metadata received per tenant",
        );
        let mut of_reason = |name: &str, help: &str| {
            let family: Family<DiscardLabels, Counter> = Family::default();
            registry.register(name, help, family.clone());
            family
        };
        let discarded_samples = of_reason("loki_discarded_samples", "Lines refused, by reason");
        let discarded_bytes = of_reason("loki_discarded_bytes", "Bytes of lines refused, by reason");
        Self {
            registry,
            requests,
            loki_durations,
            received_bytes,
            received_lines,
            received_metadata_bytes,
            discarded_samples,
            discarded_bytes,
            pushes_failed,
            maintenance_failed,
            last_reload_successful,
            tenants: Mutex::default(),
        }
    }

    /// Counts what of a push was stored.
    pub fn received(&self, tenant: &str, lines: u64, line_bytes: u64, metadata_bytes: u64) {
        let labels = TenantLabels { tenant: self.tenant_label(tenant) };
        self.received_lines.get_or_create(&labels).inc_by(lines);
        self.received_bytes.get_or_create(&labels).inc_by(line_bytes + metadata_bytes);
        self.received_metadata_bytes.get_or_create(&labels).inc_by(metadata_bytes);
    }

    /// Counts what of a push was refused.
    pub fn discarded(&self, tenant: &str, reason: Reason, lines: u64, bytes: u64) {
        let labels = DiscardLabels { reason: reason.as_str(), tenant: self.tenant_label(tenant) };
        self.discarded_samples.get_or_create(&labels).inc_by(lines);
        self.discarded_bytes.get_or_create(&labels).inc_by(bytes);
    }

    /// Counts a push that the engine could not store.
    pub fn push_failed(&self) {
        self.pushes_failed.inc();
    }

    /// Counts a round of maintenance that ended early.
    pub fn maintenance_failed(&self) {
        self.maintenance_failed.inc();
    }

    /// Notes how reading the configuration again went.
    pub fn reloaded(&self, is_good: bool) {
        self.last_reload_successful.set(i64::from(is_good));
    }

    /// The tenant's name while there are few: any client may invent names where tenants are told by a header.
    fn tenant_label(&self, tenant: &str) -> String {
        let mut known = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.contains(tenant) {
            if known.len() >= MAX_TENANT_LABELS {
                return "other".to_owned();
            }
            known.insert(tenant.to_owned());
        }
        tenant.to_owned()
    }
}

impl Observer for Metrics {
    fn started(&self) {
        self.requests.started();
    }

    fn finished(&self, observation: &Observation<'_>) {
        self.requests.finished(observation);
        let labels = LokiRequestLabels {
            method: method_label(observation.method),
            route: loki_route(observation.route),
            status_code: observation.status.as_u16(),
            ws: "false",
        };
        self.loki_durations.get_or_create(&labels).observe(observation.duration.as_secs_f64());
    }
}

/// Loki's name of a route: `/loki/api/v1/label/{name}/values` is `loki_api_v1_label_name_values`.
fn loki_route(template: &str) -> String {
    if template == UNMATCHED {
        return "other".to_owned();
    }
    template
        .trim_start_matches('/')
        .chars()
        .filter(|c| !matches!(c, '{' | '}'))
        .map(|c| if c == '/' { '_' } else { c })
        .collect()
}

/// `GET /metrics`.
pub(crate) async fn scrape(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    exposition::respond(&app.metrics.registry, &headers)
}

/// Under whose names a collector shows the engine's counters.
#[derive(Clone, Copy, Debug)]
enum Form {
    Cairn,
    Loki,
}

#[derive(Debug)]
struct StoreCollector {
    store: Arc<OnceLock<Store>>,
    form: Form,
}

impl Collector for StoreCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let Some(store) = self.store.get() else { return Ok(()) };
        let counters = store.counters();
        let (gauges, totals) = match self.form {
            Form::Cairn => cairn_values(&counters),
            Form::Loki => loki_values(&counters),
        };
        for (name, help, value) in gauges {
            let metric = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)?;
        }
        for (name, help, value) in totals {
            let metric = ConstCounter::new(value);
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)?;
        }
        Ok(())
    }
}

type Values = Vec<(&'static str, &'static str, u64)>;

fn cairn_values(counters: &Counters) -> (Values, Values) {
    let gauges = vec![
        ("tenants", "Tenants with streams", counters.tenants),
        ("streams", "Streams of all tenants", counters.streams),
        ("chunks", "Chunks on disk", counters.chunks),
        ("chunk_bytes", "Bytes of the chunks on disk", counters.chunk_bytes),
        ("head_entries", "Entries in memory that are not in a chunk yet", counters.head_entries),
        ("head_bytes", "Memory of the heads in bytes", counters.head_bytes),
        ("wal_bytes", "Bytes of the write-ahead log on disk", counters.wal_bytes),
    ];
    let totals = vec![
        ("pushes", "Pushes acknowledged", counters.pushes),
        ("pushes_refused", "Pushes refused by the engine as a whole", counters.pushes_refused),
        ("entries_stored", "Entries stored", counters.entries_stored),
        ("entries_repeated", "Exact repeats left out while pushing", counters.entries_repeated),
        ("chunks_written", "Chunks written", counters.chunks_written),
        ("chunks_expired", "Chunks removed by retention", counters.chunks_expired),
        ("chunks_filtered", "Chunks that a query skipped by their filter", counters.chunks_filtered),
        ("chunks_read", "Chunks opened for a query", counters.chunks_read),
        ("chunks_damaged", "Chunks or blocks that could not be read", counters.chunks_damaged),
    ];
    (gauges, totals)
}

fn loki_values(counters: &Counters) -> (Values, Values) {
    let gauges = vec![("loki_ingester_memory_streams", "Active streams", counters.streams_active)];
    let totals = vec![("loki_ingester_chunks_flushed", "Chunks written to disk", counters.chunks_written)];
    (gauges, totals)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_dashboards_rely_on_are_there() {
        let metrics = Metrics::new(Arc::default());
        metrics.received("fake", 2, 10, 3);
        metrics.discarded("fake", Reason::LineTooLong, 1, 7);
        metrics.finished(&Observation {
            route: "/loki/api/v1/label/{name}/values",
            path: "/",
            method: &http::Method::GET,
            status: http::StatusCode::OK,
            duration: std::time::Duration::from_millis(3),
            response_bytes: 10,
        });
        let text = exposition::encode(&metrics.registry, exposition::Format::Text);
        for line in [
            "loki_distributor_bytes_received_total{tenant=\"fake\"} 13",
            "loki_distributor_lines_received_total{tenant=\"fake\"} 2",
            "loki_discarded_samples_total{reason=\"line_too_long\",tenant=\"fake\"} 1",
            "loki_request_duration_seconds_count{method=\"GET\",route=\"loki_api_v1_label_name_values\",status_code=\"200\",ws=\"false\"} 1",
            "cairn_log_store_config_last_reload_successful 1",
        ] {
            assert!(text.contains(line), "{line} is missing from\n{text}");
        }
        assert!(text.contains("loki_build_info{version="), "{text}");
    }
}
