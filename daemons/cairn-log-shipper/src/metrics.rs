//! What the shipper counts, under its own names and under those of Promtail that dashboards and alerts rely on.
//!
//! The accounts close: for each destination, `read = delivered + dropped + buffered + held + joined + reread`, where
//! drops before the queue (`destination="queue"`) and the last three, which only stages that hold lines back have, count
//! for every destination.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::positions::Positions;

/// `destination` of lines that were dropped before they came to any.
const BEFORE_QUEUE: &str = "queue";
/// Seconds: from a push on loopback to Promtail's time-out.
const REQUEST_BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Why lines are given up. Promtail's words where it has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// The store refuses them for good, or the retries are used up.
    Ingester,
    /// As above, by a rate limit.
    RateLimited,
    /// Over the limit of the configuration.
    LineTooLong,
    /// A single line that the store finds too large.
    TooLarge,
    /// The destination was taken out of the configuration.
    DestinationRemoved,
    /// A stage says so, with a reason of the configuration.
    Stage(String),
}

impl DropReason {
    /// The label's value.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Ingester => "ingester_error",
            Self::RateLimited => "rate_limited",
            Self::LineTooLong => "line_too_long",
            Self::TooLarge => "request_too_large",
            Self::DestinationRemoved => "destination_removed",
            Self::Stage(reason) => reason,
        }
    }
}

/// Reasons that are shown as 0 from the start, so that alerts on them have a series.
const PRESET_REASONS: [DropReason; 5] = [
    DropReason::Ingester,
    DropReason::RateLimited,
    DropReason::LineTooLong,
    DropReason::TooLarge,
    DropReason::DestinationRemoved,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DestinationLabel {
    destination: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DropLabels {
    destination: String,
    reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HostLabel {
    host: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HostTenantReason {
    host: String,
    tenant: String,
    reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    status_code: String,
    host: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PathLabel {
    path: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: String,
}

type Families<L> = Family<L, Counter>;

/// Every metric.
#[derive(Debug)]
pub struct Metrics {
    /// Lines that were read.
    pub read_lines: Counter,
    /// Files found emptied and begun anew.
    pub truncations: Counter,
    /// NUL bytes skipped at the beginning of lines.
    pub nul_bytes: Counter,
    /// Lines cut at the limit.
    pub truncated_lines: Counter,
    /// Lines that became part of the entry of another line.
    pub joined_lines: Counter,
    /// Lines that were held by a stage when its file was closed or its configuration changed, and are read once more.
    pub reread_lines: Counter,
    /// Lines that a stage holds.
    pub held_lines: Gauge,
    /// Times that the kernel had more events than it could keep.
    pub inotify_overflows: Counter,
    /// Files that are open.
    pub files_active: Gauge,
    /// Writes of the positions that failed.
    pub positions_failures: Counter,
    /// Unix time of the last write of the positions.
    pub positions_last_sync: Gauge,
    /// Reloads that were taken.
    pub reload_success: Counter,
    /// Reloads that were refused.
    pub reload_fail: Counter,
    /// 1 after a reload that was taken, 0 after one that was refused.
    pub reload_last_successful: Gauge,
    /// Bytes under way.
    pub queue_bytes: Gauge,
    /// The bound on them.
    pub queue_limit_bytes: Gauge,
    failing: Gauge,
    failed: Families<ReasonLabel>,
    delivered: Families<DestinationLabel>,
    dropped: Families<DropLabels>,
    buffered: Family<DestinationLabel, Gauge>,
    retries: Families<DestinationLabel>,
    requests: Family<RequestLabels, Histogram, fn() -> Histogram>,
    sent_bytes: Families<HostLabel>,
    sent_entries: Families<HostLabel>,
    encoded_bytes: Families<HostLabel>,
    batch_retries: Families<HostLabel>,
    dropped_entries: Families<HostTenantReason>,
    dropped_bytes: Families<HostTenantReason>,
    path_read_bytes: Family<PathLabel, Gauge<u64, AtomicU64>>,
    path_file_bytes: Family<PathLabel, Gauge<u64, AtomicU64>>,
    path_lag_bytes: Family<PathLabel, Gauge<u64, AtomicU64>>,
    path_lines: Families<PathLabel>,
}

fn request_histogram() -> Histogram {
    Histogram::new(REQUEST_BUCKETS)
}

impl Metrics {
    /// Registers everything in `registry`, the root one.
    pub fn register(registry: &mut Registry) -> Arc<Self> {
        let version = vec![("version", env!("CARGO_PKG_VERSION"))];
        registry.register("promtail_build", "Build of the shipper", Info::new(version.clone()));
        let own = registry.sub_registry_with_prefix("cairn_log_shipper");
        own.register("build", "Build of the shipper", Info::new(version));
        macro_rules! register {
            ($registry:expr, $name:literal, $help:literal) => {{
                let metric = Default::default();
                $registry.register($name, $help, Clone::clone(&metric));
                metric
            }};
        }
        let metrics = Self {
            read_lines: register!(own, "read_lines", "Lines read from files"),
            truncations: register!(own, "file_truncations", "Files found emptied and begun anew"),
            nul_bytes: register!(own, "nul_bytes_skipped", "NUL bytes skipped at the beginning of lines"),
            truncated_lines: register!(own, "lines_truncated", "Lines cut at max_line_size"),
            joined_lines: register!(own, "joined_lines", "Lines that a stage has joined to another"),
            reread_lines: register!(
                own,
                "reread_lines",
                "Lines read again since a stage held them at a reload"
            ),
            held_lines: register!(own, "held_lines", "Lines that a stage holds back"),
            inotify_overflows: register!(own, "inotify_overflows", "Overflows of the kernel's event queue"),
            files_active: register!(own, "files_active", "Files that are open"),
            positions_failures: register!(own, "positions_write_failures", "Failed writes of the positions"),
            positions_last_sync: register!(
                own,
                "positions_last_sync_seconds",
                "Unix time of the last write of the positions"
            ),
            queue_bytes: register!(
                own,
                "queue_bytes",
                "Bytes read and not acknowledged by every destination"
            ),
            queue_limit_bytes: register!(
                own,
                "queue_limit_bytes",
                "Bound on queue_bytes; reading pauses there"
            ),
            reload_last_successful: register!(
                own,
                "config_last_reload_successful",
                "Whether the last reload was taken"
            ),
            delivered: register!(own, "delivered_lines", "Lines acknowledged by the destination"),
            dropped: register!(own, "dropped_lines", "Lines given up, by reason"),
            buffered: register!(own, "buffered_lines", "Lines read and neither delivered nor dropped"),
            retries: register!(own, "push_retries", "Repeated pushes"),
            path_lag_bytes: register!(own, "source_lag_bytes", "Bytes in the file that are not read yet"),
            failing: register!(own, "sources_failing", "Files that cannot be read"),
            failed: register!(registry, "promtail_targets_failed", "Failed attempts to tail a file"),
            reload_success: register!(registry, "promtail_config_reload_success", "Reloads that were taken"),
            reload_fail: register!(registry, "promtail_config_reload_fail", "Reloads that were refused"),
            requests: {
                let requests = Family::new_with_constructor(request_histogram as fn() -> Histogram);
                let help = "Duration of pushes; status code -1 without an answer";
                registry.register("promtail_request_duration_seconds", help, requests.clone());
                requests
            },
            sent_bytes: register!(registry, "promtail_sent_bytes", "Bytes of lines sent"),
            sent_entries: register!(registry, "promtail_sent_entries", "Lines sent"),
            encoded_bytes: register!(registry, "promtail_encoded_bytes", "Bytes sent after compression"),
            batch_retries: register!(registry, "promtail_batch_retries", "Repeated pushes"),
            dropped_entries: register!(registry, "promtail_dropped_entries", "Lines given up"),
            dropped_bytes: register!(registry, "promtail_dropped_bytes", "Bytes of lines given up"),
            // Gauges that are called _total: so they are in Promtail.
            path_read_bytes: register!(registry, "promtail_read_bytes_total", "Bytes read"),
            path_file_bytes: register!(registry, "promtail_file_bytes_total", "Bytes in the file"),
            path_lines: register!(registry, "promtail_read_lines", "Lines read"),
        };
        registry.register("promtail_files_active_total", "Files that are open", metrics.files_active.clone());
        metrics.dropped_before_queue(&DropReason::LineTooLong, 0);
        metrics.reload_last_successful.set(1);
        Arc::new(metrics)
    }

    /// Counts lines that were dropped before they came to any destination.
    pub fn dropped_before_queue(&self, reason: &DropReason, n_lines: usize) {
        let labels = DropLabels { destination: BEFORE_QUEUE.to_owned(), reason: reason.as_str().to_owned() };
        self.dropped.get_or_create(&labels).inc_by(n_lines as u64);
    }

    /// Counts a failed attempt to read a file.
    pub fn targets_failed(&self, error: &std::io::Error) {
        let reason = match error.kind() {
            std::io::ErrorKind::PermissionDenied => "permission",
            std::io::ErrorKind::Other => "too_many_files",
            _ => "io",
        };
        self.failed.get_or_create(&ReasonLabel { reason: reason.to_owned() }).inc();
    }

    /// How many files cannot be read at present.
    pub fn set_failing(&self, n: usize) {
        self.failing.set(i64::try_from(n).unwrap_or(i64::MAX));
    }

    /// The part of one destination.
    pub fn destination(self: &Arc<Self>, name: &str, host: &str, tenant: &str) -> DestinationMetrics {
        let destination = DestinationLabel { destination: name.to_owned() };
        let host = HostLabel { host: host.to_owned() };
        let parts = DestinationMetrics {
            delivered: self.delivered.get_or_create(&destination).clone(),
            retries: Retries {
                own: self.retries.get_or_create(&destination).clone(),
                promtail: self.batch_retries.get_or_create(&host).clone(),
            },
            buffered: Arc::default(),
            sent_bytes: self.sent_bytes.get_or_create(&host).clone(),
            sent_entries: self.sent_entries.get_or_create(&host).clone(),
            encoded_bytes: self.encoded_bytes.get_or_create(&host).clone(),
            buffered_gauge: self.buffered.get_or_create(&destination).clone(),
            name: name.to_owned(),
            host: host.host,
            tenant: tenant.to_owned(),
            all: Arc::clone(self),
        };
        for reason in &PRESET_REASONS {
            parts.dropped(reason, 0, 0);
        }
        parts
    }

    /// Sets the metrics that are told per file, just before they are shown.
    pub fn refresh(&self, positions: &Positions, queue: &crate::queue::Queue) {
        let as_i64 = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.queue_bytes.set(as_i64(queue.used_bytes()));
        self.queue_limit_bytes.set(as_i64(queue.limit_bytes()));
        for family in [&self.path_read_bytes, &self.path_file_bytes, &self.path_lag_bytes] {
            family.clear();
        }
        self.path_lines.clear();
        for entry in positions.entries() {
            let about = entry.about();
            let Some(open) = about.open else { continue };
            let path = PathLabel { path: about.path };
            // Lines are counted for every generation of a path; sizes are those of the file that has the name.
            let lines = entry.lines.load(Ordering::Relaxed);
            self.path_lines.get_or_create(&path).inc_by(lines);
            self.path_lag_bytes.get_or_create(&path).inc_by(open.size.saturating_sub(about.read.offset));
            if !open.is_rotated {
                self.path_read_bytes.get_or_create(&path).set(about.read.offset);
                self.path_file_bytes.get_or_create(&path).set(open.size);
            }
        }
    }
}

/// The metrics of one destination.
#[derive(Clone, Debug)]
pub struct DestinationMetrics {
    /// Repeated pushes.
    pub retries: Retries,
    delivered: Counter,
    buffered: Arc<AtomicI64>,
    buffered_gauge: Gauge,
    sent_bytes: Counter,
    sent_entries: Counter,
    encoded_bytes: Counter,
    name: String,
    host: String,
    tenant: String,
    all: Arc<Metrics>,
}

/// Repeated pushes, under both names.
#[derive(Clone, Debug)]
pub struct Retries {
    own: Counter,
    promtail: Counter,
}

impl Retries {
    /// Counts one.
    pub fn inc(&self) {
        self.own.inc();
        self.promtail.inc();
    }
}

impl DestinationMetrics {
    /// Lines were handed to the destination.
    pub fn took(&self, n_lines: usize) {
        self.change_buffered(i64::try_from(n_lines).unwrap_or(i64::MAX));
    }

    /// Lines were acknowledged.
    pub fn delivered(&self, n_lines: usize) {
        self.delivered.inc_by(n_lines as u64);
        self.change_buffered(-i64::try_from(n_lines).unwrap_or(i64::MAX));
    }

    /// Lines were given up.
    pub fn dropped(&self, reason: &DropReason, n_lines: usize, bytes: usize) {
        let reason = reason.as_str().to_owned();
        let own = DropLabels { destination: self.name.clone(), reason: reason.clone() };
        self.all.dropped.get_or_create(&own).inc_by(n_lines as u64);
        let promtail = HostTenantReason { host: self.host.clone(), tenant: self.tenant.clone(), reason };
        self.all.dropped_entries.get_or_create(&promtail).inc_by(n_lines as u64);
        self.all.dropped_bytes.get_or_create(&promtail).inc_by(bytes as u64);
        self.change_buffered(-i64::try_from(n_lines).unwrap_or(i64::MAX));
    }

    /// A request was answered, or not (status -1).
    pub fn request(&self, status: i64, took: Duration) {
        let labels = RequestLabels { status_code: status.to_string(), host: self.host.clone() };
        self.all.requests.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// A request was taken.
    pub fn sent(&self, line_bytes: usize, n_lines: usize, encoded_bytes: usize) {
        self.sent_bytes.inc_by(line_bytes as u64);
        self.sent_entries.inc_by(n_lines as u64);
        self.encoded_bytes.inc_by(encoded_bytes as u64);
    }

    fn change_buffered(&self, by: i64) {
        let now = self.buffered.fetch_add(by, Ordering::AcqRel) + by;
        self.buffered_gauge.set(now);
    }
}
