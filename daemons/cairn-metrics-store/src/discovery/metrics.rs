//! What service discovery counts, under Prometheus's names.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

const REFRESH_BUCKETS: [f64; 6] = [0.01, 0.1, 1.0, 5.0, 10.0, 30.0];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Source {
    mechanism: &'static str,
    /// The job.
    config: String,
}

/// Counters of all discoveries.
#[derive(Debug)]
pub struct DiscoveryMetrics {
    failures: Family<Source, Counter>,
    durations: Family<Source, Histogram>,
    /// Lists that differed from those before.
    pub updates: Counter,
    /// Files of targets that could not be read.
    pub file_read_errors: Counter,
    /// Lists over HTTP that could not be had.
    pub http_failures: Counter,
    /// Names looked up.
    pub dns_lookups: Counter,
    /// Names that got no answer.
    pub dns_failures: Counter,
}

impl DiscoveryMetrics {
    /// Registers everything.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            failures: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(REFRESH_BUCKETS)),
            updates: Counter::default(),
            file_read_errors: Counter::default(),
            http_failures: Counter::default(),
            dns_lookups: Counter::default(),
            dns_failures: Counter::default(),
        };
        registry.register(
            "prometheus_sd_refresh_failures",
            "Refreshes of service discovery that failed",
            metrics.failures.clone(),
        );
        registry.register(
            "prometheus_sd_refresh_duration_seconds",
            "Time that refreshes of service discovery took",
            metrics.durations.clone(),
        );
        for (name, help, counter) in [
            ("file_read_errors", "Files of targets that could not be read", &metrics.file_read_errors),
            ("http_failures", "Lists of targets over HTTP that could not be had", &metrics.http_failures),
            ("dns_lookups", "Names looked up for targets", &metrics.dns_lookups),
            ("dns_lookup_failures", "Names that got no answer", &metrics.dns_failures),
        ] {
            registry.register(format!("prometheus_sd_{name}"), help, counter.clone());
        }
        let scraping = registry.sub_registry_with_label(("name".into(), "scrape".into()));
        scraping.register(
            "prometheus_sd_updates",
            "Changes that service discovery made",
            metrics.updates.clone(),
        );
        scraping.register(
            "prometheus_sd_failed_configs",
            "Discoveries that did not start: none, since a configuration that cannot run is refused",
            Gauge::<i64>::default(),
        );
        metrics
    }

    /// Notes a list that was got.
    pub(super) fn refreshed(&self, mechanism: &'static str, job: &str, took: Duration) {
        let source = Source { mechanism, config: job.to_owned() };
        self.durations.get_or_create(&source).observe(took.as_secs_f64());
        // Shown from the first refresh on, so that the first failure is an increase.
        drop(self.failures.get_or_create(&source));
    }

    /// Notes a list that was not.
    pub(super) fn failed(&self, mechanism: &'static str, job: &str) {
        self.failures.get_or_create(&Source { mechanism, config: job.to_owned() }).inc();
    }
}
