//! The store's own metrics: `cairn_metrics_store_*`, and Prometheus's names where dashboards rely on them.

mod lengths;
mod store;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

use cairn_http::exposition::{self, Format};
use cairn_http::request_metrics::RequestMetrics;
use cairn_http::{Observation, Observer};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::discovery::metrics::DiscoveryMetrics;
use crate::scrape::ScrapeManager;
use crate::storage::Storage;
use crate::version;

pub use lengths::LengthMetrics;
use store::{Shown, StoreCollector};

/// Prometheus's buckets for the duration of HTTP requests.
const HTTP_BUCKETS: [f64; 9] = [0.1, 0.2, 0.4, 1.0, 3.0, 8.0, 20.0, 60.0, 120.0];

/// What the scrape loops count.
#[derive(Debug, Default)]
pub struct ScrapeMetrics {
    /// Scrapes failed by `sample_limit`.
    pub over_sample_limit: Counter,
    /// Scrapes failed by `body_size_limit`.
    pub over_body_size_limit: Counter,
    /// Scrapes failed by a label limit.
    pub over_label_limits: Counter,
    /// Scrapes failed by `native_histogram_bucket_limit`.
    pub over_bucket_limit: Counter,
    /// Exemplars dropped: older than the newest of their series.
    pub exemplars_out_of_order: Counter,
    /// Samples dropped: another value is stored at that time.
    pub duplicates: Counter,
    /// Samples dropped: older than the newest of their series.
    pub out_of_order: Counter,
    /// Samples dropped: too old or too far in the future.
    pub out_of_bounds: Counter,
    /// Lists of targets over `target_limit`.
    pub over_target_limit: Counter,
    syncs: Family<ScrapeJob, Counter>,
    failed_syncs: Family<ScrapeJob, Counter>,
}

impl ScrapeMetrics {
    /// Notes that the loops of a job were compared with its targets.
    pub fn synced(&self, job: &str) {
        self.syncs.get_or_create(&ScrapeJob { scrape_job: job.to_owned() }).inc();
    }

    /// Notes a target that cannot be one.
    pub fn sync_failed(&self, job: &str) {
        self.failed_syncs.get_or_create(&ScrapeJob { scrape_job: job.to_owned() }).inc();
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ScrapeJob {
    scrape_job: String,
}

/// What the query engine counts.
#[derive(Debug, Default)]
pub struct QueryMetrics {
    /// Queries running or waiting.
    pub queries: Gauge,
    /// How many may run at once.
    pub concurrent_max: Gauge,
    /// Samples that queries looked at, each step for itself.
    pub samples: Counter,
    /// Samples read from the database for queries.
    pub samples_read: Counter,
    /// 1 while queries are logged.
    pub log_enabled: Gauge,
    /// Queries that could not be logged.
    pub log_failures: Counter,
}

/// What the receiver of remote write counts.
#[derive(Debug, Default)]
pub struct RemoteWriteMetrics {
    /// Samples kept.
    pub samples: Counter,
    /// Native histograms kept.
    pub histograms: Counter,
    /// Exemplars kept.
    pub exemplars: Counter,
    /// Samples and series refused.
    pub refused: Counter,
    /// Samples left out silently, as the peer does, because their labels are none.
    pub invalid_labels: Counter,
}

/// Everything that is counted, and the registry that shows it.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Scraping.
    pub scrape: ScrapeMetrics,
    /// Service discovery.
    pub discovery: DiscoveryMetrics,
    /// Queries.
    pub query: QueryMetrics,
    /// How long queries, scrapes and the like take.
    pub lengths: LengthMetrics,
    /// Remote write.
    pub remote_write: RemoteWriteMetrics,
    /// Writes that the write-ahead log refused.
    pub wal_writes_failed: Counter,
    /// 1 while the last configuration that was read is the one in use.
    pub reload_ok: Gauge,
    /// When a configuration was last taken, seconds since the epoch.
    pub reload_time: Gauge<f64, AtomicU64>,
    /// 1 once the API answers.
    pub ready: Gauge,
    /// Parts of the database that the start found damaged.
    pub damage_at_start: Gauge,
    http: HttpMetrics,
    store: Arc<OnceLock<Shown>>,
}

impl Metrics {
    /// Registers everything.
    pub fn new() -> Arc<Self> {
        let mut registry = Registry::default();
        cairn_http::process::register(&mut registry);
        let requests = RequestMetrics::register(registry.sub_registry_with_prefix("cairn_metrics_store"));
        let http = HttpMetrics::register(&mut registry, requests);
        let (scrape, query) = (ScrapeMetrics::default(), QueryMetrics::default());
        let remote_write = RemoteWriteMetrics::default();
        for (name, help, counter) in [
            (
                "cairn_metrics_store_remote_write_samples",
                "Samples kept of remote write",
                &remote_write.samples,
            ),
            (
                "cairn_metrics_store_remote_write_histograms",
                "Native histograms kept of remote write",
                &remote_write.histograms,
            ),
            (
                "cairn_metrics_store_remote_write_exemplars",
                "Exemplars kept of remote write",
                &remote_write.exemplars,
            ),
            (
                "cairn_metrics_store_remote_write_refused",
                "Samples and series of remote write that were refused",
                &remote_write.refused,
            ),
            (
                "prometheus_api_remote_write_invalid_labels_samples",
                "Samples of remote write left out because of their labels",
                &remote_write.invalid_labels,
            ),
        ] {
            registry.register(name, help, counter.clone());
        }
        let (wal_writes_failed, reload_ok, ready) = (Counter::default(), Gauge::default(), Gauge::default());
        let discovery = DiscoveryMetrics::register(&mut registry);
        let lengths = LengthMetrics::register(&mut registry);
        for (name, help, family) in [
            (
                "scrape_pool_sync",
                "Times that the loops of a job were compared with its targets",
                &scrape.syncs,
            ),
            ("sync_failed", "Targets that could not be made from what was found", &scrape.failed_syncs),
        ] {
            registry.register(format!("prometheus_target_{name}"), help, family.clone());
        }
        let reload_time = Gauge::<f64, AtomicU64>::default();
        let build = Family::<Vec<(&str, &str)>, Gauge>::default();
        build
            .get_or_create(&vec![
                ("version", version::PROMETHEUS_VERSION),
                ("revision", ""),
                ("branch", ""),
                ("goversion", ""),
            ])
            .set(1);
        registry.register("prometheus_build_info", "Version whose behaviour is served", build);
        let build = Family::<Vec<(&str, &str)>, Gauge>::default();
        build.get_or_create(&vec![("version", version::CAIRN_VERSION)]).set(1);
        registry.register("cairn_metrics_store_build_info", "Version of this program", build);
        for (name, help, counter) in [
            (
                "target_scrapes_exceeded_sample_limit",
                "Scrapes failed by sample_limit",
                &scrape.over_sample_limit,
            ),
            (
                "target_scrapes_exceeded_body_size_limit",
                "Scrapes failed by body_size_limit",
                &scrape.over_body_size_limit,
            ),
            (
                "target_scrape_pool_exceeded_target_limit",
                "Lists of targets over target_limit",
                &scrape.over_target_limit,
            ),
            (
                "target_scrape_pool_exceeded_label_limits",
                "Scrapes failed by a label limit",
                &scrape.over_label_limits,
            ),
            (
                "target_scrapes_exceeded_native_histogram_bucket_limit",
                "Scrapes failed by native_histogram_bucket_limit",
                &scrape.over_bucket_limit,
            ),
            (
                "target_scrapes_exemplar_out_of_order",
                "Exemplars dropped: older than the newest of their series",
                &scrape.exemplars_out_of_order,
            ),
            (
                "target_scrapes_sample_duplicate_timestamp",
                "Samples dropped because another value is stored at their time",
                &scrape.duplicates,
            ),
            (
                "target_scrapes_sample_out_of_order",
                "Samples dropped because their series has newer ones",
                &scrape.out_of_order,
            ),
            (
                "target_scrapes_sample_out_of_bounds",
                "Samples dropped because they are too old or too far in the future",
                &scrape.out_of_bounds,
            ),
            ("tsdb_wal_writes_failed", "Writes that the write-ahead log refused", &wal_writes_failed),
            ("engine_query_samples", "Samples that queries looked at, each step for itself", &query.samples),
            ("engine_query_samples_read", "Samples read for queries", &query.samples_read),
            ("engine_query_log_failures", "Queries that could not be logged", &query.log_failures),
        ] {
            registry.register(format!("prometheus_{name}"), help, counter.clone());
        }
        for (name, help, gauge) in [
            ("config_last_reload_successful", "Whether the last reload was good", &reload_ok),
            ("ready", "Whether the API answers", &ready),
            ("engine_query_log_enabled", "Whether queries are logged", &query.log_enabled),
            ("engine_queries", "Queries running or waiting", &query.queries),
            ("engine_queries_concurrent_max", "Queries that may run at once", &query.concurrent_max),
        ] {
            registry.register(format!("prometheus_{name}"), help, gauge.clone());
        }
        registry.register(
            "prometheus_config_last_reload_success_timestamp_seconds",
            "When a configuration was last taken",
            reload_time.clone(),
        );
        let damage_at_start = Gauge::default();
        registry.register(
            "cairn_metrics_store_damage_at_start",
            "Parts of the database that the start found damaged and left out",
            damage_at_start.clone(),
        );
        let store = Arc::new(OnceLock::new());
        registry.register_collector(Box::new(StoreCollector(Arc::clone(&store))));
        Arc::new(Self {
            registry,
            scrape,
            discovery,
            query,
            lengths,
            remote_write,
            wal_writes_failed,
            reload_ok,
            reload_time,
            ready,
            damage_at_start,
            http,
            store,
        })
    }

    /// From now on figures of the database and the targets are shown too.
    pub fn show(&self, storage: &Arc<Storage>, manager: &Arc<ScrapeManager>) {
        let shown = Shown { storage: Arc::downgrade(storage), manager: Arc::downgrade(manager) };
        // A second call would show the same.
        let _ = self.store.set(shown);
    }

    /// What `/metrics` shows, without OpenMetrics's end marker. Counting the head walks its series: not for async threads.
    pub fn encode(&self, format: Format) -> String {
        let mut text = exposition::encode(&self.registry, format);
        self.lengths.encode(&mut text);
        text
    }
}

impl Observer for Metrics {
    fn started(&self) {
        self.http.requests.started();
    }

    fn finished(&self, observation: &Observation<'_>) {
        self.http.finished(observation);
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct HandlerCode {
    handler: String,
    code: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Handler {
    handler: String,
}

#[derive(Debug)]
struct HttpMetrics {
    requests: RequestMetrics,
    by_code: Family<HandlerCode, Counter>,
    duration: Family<Handler, Histogram>,
}

impl HttpMetrics {
    fn register(registry: &mut Registry, requests: RequestMetrics) -> Self {
        let by_code = Family::<HandlerCode, Counter>::default();
        let duration = Family::<Handler, Histogram>::new_with_constructor(|| Histogram::new(HTTP_BUCKETS));
        registry.register("prometheus_http_requests", "HTTP requests answered", by_code.clone());
        registry.register(
            "prometheus_http_request_duration_seconds",
            "Time from a request's headers to the answer's last byte",
            duration.clone(),
        );
        Self { requests, by_code, duration }
    }

    fn finished(&self, observation: &Observation<'_>) {
        self.requests.finished(observation);
        // `/label/{name}/values` is `/label/:name/values` to Prometheus's dashboards.
        let handler = observation.route.replace('{', ":").replace('}', "");
        self.duration
            .get_or_create(&Handler { handler: handler.clone() })
            .observe(observation.duration.as_secs_f64());
        self.by_code.get_or_create(&HandlerCode { handler, code: observation.status.as_u16() }).inc();
    }
}
