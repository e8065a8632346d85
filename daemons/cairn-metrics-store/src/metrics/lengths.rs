//! How long things take, as summaries and histograms under Prometheus's names: the slices of queries, the intervals
//! between scrapes, comparing loops with targets.

use cairn_http::summary::Summary;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::engine::Timings;

/// Prometheus's classic buckets of these histograms, seconds.
const BUCKETS: [f64; 4] = [0.01, 0.1, 1.0, 10.0];
/// Prometheus's default buckets, seconds.
const SCRAPE_BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

const QUERY_QUANTILES: &[f64] = &[0.5, 0.9, 0.99];
const TARGET_QUANTILES: &[f64] = &[0.01, 0.05, 0.5, 0.9, 0.99];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Slice {
    slice: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Interval {
    interval: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Job {
    scrape_job: String,
}

/// See the module.
#[derive(Debug)]
pub struct LengthMetrics {
    queries: Summary,
    query_histograms: Family<Slice, Histogram>,
    intervals: Summary,
    interval_histograms: Family<Interval, Histogram>,
    syncs: Summary,
    sync_histograms: Family<Job, Histogram>,
    scrapes: Histogram,
}

impl LengthMetrics {
    /// Registers the histograms; the summaries are in [`encode`](Self::encode).
    pub(super) fn register(registry: &mut Registry) -> Self {
        fn buckets() -> Histogram {
            Histogram::new(BUCKETS)
        }
        let lengths = Self {
            queries: Summary::new(
                "prometheus_engine_query_duration_seconds",
                "Time that the parts of queries took",
                "slice",
                QUERY_QUANTILES,
            ),
            query_histograms: Family::new_with_constructor(buckets),
            intervals: Summary::new(
                "prometheus_target_interval_length_seconds",
                "Time from one scrape of a target to the next",
                "interval",
                TARGET_QUANTILES,
            ),
            interval_histograms: Family::new_with_constructor(buckets),
            syncs: Summary::new(
                "prometheus_target_sync_length_seconds",
                "Time that comparing the loops of a job with its targets took",
                "scrape_job",
                TARGET_QUANTILES,
            ),
            sync_histograms: Family::new_with_constructor(buckets),
            scrapes: Histogram::new(SCRAPE_BUCKETS),
        };
        registry.register(
            "prometheus_engine_query_duration_histogram_seconds",
            "Time that the parts of queries took",
            lengths.query_histograms.clone(),
        );
        registry.register(
            "prometheus_target_interval_length_histogram_seconds",
            "Time from one scrape of a target to the next",
            lengths.interval_histograms.clone(),
        );
        registry.register(
            "prometheus_target_sync_length_histogram_seconds",
            "Time that comparing the loops of a job with its targets took",
            lengths.sync_histograms.clone(),
        );
        registry.register(
            "prometheus_target_scrape_duration_seconds",
            "Time from a scrape's request to its samples being stored",
            lengths.scrapes.clone(),
        );
        // Dashboards show all four slices from the start.
        for slice in ["inner_eval", "prepare_time", "queue_time", "result_sort"] {
            lengths.queries.add(slice);
        }
        lengths
    }

    /// Notes an evaluated query.
    pub fn query(&self, timings: &Timings) {
        let slices = [
            ("queue_time", Some(timings.queued)),
            ("prepare_time", Some(timings.prepared)),
            ("inner_eval", Some(timings.evaluated)),
            ("result_sort", timings.sorted),
        ];
        for (slice, length) in slices.into_iter().filter_map(|(slice, length)| Some((slice, length?))) {
            self.queries.observe(slice, length.as_secs_f64());
            self.query_histograms.get_or_create(&Slice { slice }).observe(length.as_secs_f64());
        }
    }

    /// Notes the time from one scrape to the next of a target with this interval.
    pub fn interval(&self, interval: &str, seconds: f64) {
        self.intervals.observe(interval, seconds);
        self.interval_histograms.get_or_create(&Interval { interval: interval.to_owned() }).observe(seconds);
    }

    /// Notes that the loops of a job were compared with its targets.
    pub fn sync(&self, job: &str, seconds: f64) {
        self.syncs.observe(job, seconds);
        self.sync_histograms.get_or_create(&Job { scrape_job: job.to_owned() }).observe(seconds);
    }

    /// Notes a scrape, stored or failed.
    pub fn scrape(&self, seconds: f64) {
        self.scrapes.observe(seconds);
    }

    /// Forgets a job that is no longer there.
    pub fn forget_job(&self, job: &str) {
        self.syncs.remove(job);
        self.sync_histograms.remove(&Job { scrape_job: job.to_owned() });
    }

    /// Writes the summaries as text.
    pub fn encode(&self, out: &mut String) {
        for summary in [&self.queries, &self.intervals, &self.syncs] {
            summary.encode(out);
        }
    }
}
