//! One job: its keys filled in from `global`, checked, and compiled.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cairn_http::client::config::ClientConfig;
use cairn_http::client::keys::ClientKeys;
use cairn_model::gotext::quote;

use super::file::{Global, ScrapeConfig, StaticConfig};
use super::protocol::{HistogramKeys, NameEscaping, NameValidation, ScrapeProtocol, accept_header};
use super::resolve::{BadValue, PROMETHEUS_SCRAPE_INTERVAL, SCRAPE_TIMEOUT, bad};
use super::resolve_discovery::discoveries;
use super::units::PromDuration;
use crate::discovery::Discovery;
use crate::relabel::Rule;

/// How long an unused connection to a target is kept: longer than any usual interval.
const IDLE_TIME: Duration = Duration::from_secs(300);

/// Largest body that is read when no `body_size_limit` is set. Prometheus has no bound there; a store that must not be
/// killed by one target needs one, far above any real page.
const MAX_BODY_BYTES: u64 = 256 << 20;

/// Formats asked for when nothing is said; with native histograms, protobuf comes first.
const DEFAULT_PROTOCOLS: [ScrapeProtocol; 4] = [
    ScrapeProtocol::OpenMetricsText1,
    ScrapeProtocol::OpenMetricsText0,
    ScrapeProtocol::PrometheusText1,
    ScrapeProtocol::PrometheusText0,
];

/// One job, ready to run. Two of them are the same job with the same settings when `raw` is equal.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// The job's keys with the defaults filled in.
    pub raw: ScrapeConfig,
    /// Value of the label `job`.
    pub job_name: String,
    /// Time between two scrapes.
    pub interval: PromDuration,
    /// Longest scrape.
    pub timeout: PromDuration,
    /// Path of the page.
    pub metrics_path: String,
    /// `http` or `https`.
    pub scheme: String,
    /// Credentials, certificates, proxy: how targets are asked.
    pub client: ClientConfig,
    /// Where failed scrapes are logged.
    pub failure_log: Option<PathBuf>,
    /// Parameters of the request.
    pub params: BTreeMap<String, Vec<String>>,
    /// Whether labels of the body win.
    pub honor_labels: bool,
    /// Whether times in the body are used.
    pub honor_timestamps: bool,
    /// Whether series with times of their own become stale when they vanish.
    pub track_timestamps_staleness: bool,
    /// Whether gzip is asked for.
    pub has_compression: bool,
    /// Value of the header `Accept`.
    pub accept: String,
    /// Formats that are wanted, most wanted first.
    pub protocols: Vec<ScrapeProtocol>,
    /// Format of an answer that does not say what it is, or says something unknown.
    pub fallback_protocol: Option<ScrapeProtocol>,
    /// Which names of metrics and labels are valid.
    pub name_validation: NameValidation,
    /// What is stored of histograms; [`crate::target::Target::histograms`] holds for a target.
    pub histograms: HistogramKeys,
    /// Most buckets of a native histogram; 0: none.
    pub native_bucket_limit: u64,
    /// Least growth from one bucket of a native histogram to the next; 0: none.
    pub native_min_bucket_factor: f64,
    /// Whether the three extra report series are written.
    pub has_extra_metrics: bool,
    /// Caps.
    pub limits: Limits,
    /// Targets written out.
    pub static_groups: Vec<StaticConfig>,
    /// Who lists further targets, by the place in the file.
    pub discoveries: Vec<(String, Discovery)>,
    /// Rules for targets.
    pub relabel: Vec<Rule>,
    /// Rules for samples.
    pub metric_relabel: Vec<Rule>,
}

/// Caps of one job; 0 means none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a body after decompression, as configured.
    pub body_bytes: u64,
    /// Samples of one scrape.
    pub samples: u64,
    /// Labels of one series.
    pub labels: u64,
    /// Bytes of a label name.
    pub label_name_bytes: u64,
    /// Bytes of a label value.
    pub label_value_bytes: u64,
    /// Targets of the job.
    pub targets: u64,
    /// Dropped targets that the API lists.
    pub kept_dropped_targets: u64,
}

impl Limits {
    /// Most bytes that are read of a body: the configured cap, or the one that always holds.
    pub fn max_body_bytes(&self) -> u64 {
        if self.body_bytes == 0 { MAX_BODY_BYTES } else { self.body_bytes.min(MAX_BODY_BYTES) }
    }
}

/// A duration that is set; `0s` means "not set" to Prometheus.
pub(super) fn set(value: Option<PromDuration>) -> Option<PromDuration> {
    value.filter(|duration| duration.ms() > 0)
}

/// Names outside of the legacy set are escaped where they would not be valid.
pub(super) fn default_escaping(validation: NameValidation) -> NameEscaping {
    match validation {
        NameValidation::Utf8 => NameEscaping::AllowUtf8,
        NameValidation::Legacy => NameEscaping::Underscores,
    }
}

pub(super) fn check_schemes(
    validation: NameValidation,
    escaping: NameEscaping,
    place: &str,
) -> Result<(), BadValue> {
    if validation == NameValidation::Legacy && escaping == NameEscaping::AllowUtf8 {
        let message = "utf8 metric names requested but validation scheme is not set to UTF8";
        return bad(place, message);
    }
    Ok(())
}

pub(super) fn fill_scrape(raw: &mut ScrapeConfig, global: &Global, place: &str) -> Result<(), BadValue> {
    let interval = set(raw.scrape_interval).or(global.scrape_interval).unwrap_or(PROMETHEUS_SCRAPE_INTERVAL);
    let timeout =
        set(raw.scrape_timeout).unwrap_or(global.scrape_timeout.unwrap_or(SCRAPE_TIMEOUT).min(interval));
    if timeout > interval {
        let name = quote(&raw.job_name);
        let message =
            format!("scrape timeout greater than scrape interval for scrape config with job name {name}");
        return bad(place, message);
    }
    raw.scrape_interval = Some(interval);
    raw.scrape_timeout = Some(timeout);
    let scrapes_native =
        *raw.scrape_native_histograms.get_or_insert(global.scrape_native_histograms.unwrap_or_default());
    // A list of the whole file holds for a job as it is, unless the file leaves it to the defaults.
    let is_default =
        |list: &[String]| list == default_protocols(global.scrape_native_histograms.unwrap_or_default());
    raw.scrape_protocols.get_or_insert_with(|| match &global.scrape_protocols {
        Some(list) if !is_default(list) => list.clone(),
        _ => default_protocols(scrapes_native),
    });
    if let Some(fallback) = raw.fallback_scrape_protocol.as_deref() {
        let _: ScrapeProtocol = parsed(fallback, place)?;
    }
    let validation = raw
        .metric_name_validation_scheme
        .get_or_insert_with(|| global.metric_name_validation_scheme.clone().unwrap_or_default());
    let validation: NameValidation = parsed(validation, place)?;
    let escaping = raw.metric_name_escaping_scheme.get_or_insert_with(|| {
        // What a job validates otherwise than the whole file does, it escapes by its own default as well.
        let inherited = global.metric_name_escaping_scheme.clone();
        let is_same = global.metric_name_validation_scheme.as_deref().and_then(|text| text.parse().ok())
            == Some(validation);
        inherited.filter(|_| is_same).unwrap_or_else(|| default_escaping(validation).to_string())
    });
    check_schemes(validation, parsed(escaping, place)?, place)?;
    raw.metrics_path.get_or_insert_with(|| "/metrics".to_owned());
    let scheme = raw.scheme.get_or_insert_with(|| "http".to_owned());
    match scheme.as_str() {
        "http" | "https" => {}
        other => return bad(place, format!("unsupported scheme {}", quote(other))),
    }
    for (value, default) in [
        (&mut raw.honor_labels, false),
        (&mut raw.honor_timestamps, true),
        (&mut raw.track_timestamps_staleness, false),
        (&mut raw.enable_compression, true),
        (&mut raw.follow_redirects, true),
        (&mut raw.enable_http2, true),
        (&mut raw.extra_scrape_metrics, global.extra_scrape_metrics.unwrap_or(false)),
        (&mut raw.always_scrape_classic_histograms, global.always_scrape_classic_histograms.unwrap_or(false)),
        (
            &mut raw.convert_classic_histograms_to_nhcb,
            global.convert_classic_histograms_to_nhcb.unwrap_or(false),
        ),
    ] {
        value.get_or_insert(default);
    }
    if raw.scrape_failure_log_file.is_none() {
        raw.scrape_failure_log_file.clone_from(&global.scrape_failure_log_file);
    }
    raw.body_size_limit = raw.body_size_limit.or(global.body_size_limit);
    for (value, default) in [
        (&mut raw.sample_limit, global.sample_limit),
        (&mut raw.label_limit, global.label_limit),
        (&mut raw.label_name_length_limit, global.label_name_length_limit),
        (&mut raw.label_value_length_limit, global.label_value_length_limit),
        (&mut raw.target_limit, global.target_limit),
        (&mut raw.keep_dropped_targets, global.keep_dropped_targets),
    ] {
        *value = value.or(default);
    }
    Ok(())
}

pub(super) fn resolve_pool(raw: &ScrapeConfig, base: &Path, place: &str) -> Result<PoolConfig, BadValue> {
    for (index, group) in raw.static_configs.iter().enumerate() {
        check_group(group, &format!("{place}.static_configs[{index}]"))?;
    }
    let rules = |key: &str, list: &[super::file::RelabelConfig]| -> Result<Vec<Rule>, BadValue> {
        list.iter()
            .enumerate()
            .map(|(index, rule)| {
                Rule::new(rule).map_err(|error| BadValue {
                    place: format!("{place}.{key}[{index}]"),
                    message: error.to_string(),
                })
            })
            .collect()
    };
    let protocols = protocols(raw.scrape_protocols.as_deref().unwrap_or_default(), place)?;
    let escaping = parsed(raw.metric_name_escaping_scheme.as_deref().unwrap_or("allow-utf-8"), place)?;
    Ok(PoolConfig {
        job_name: raw.job_name.clone(),
        interval: raw.scrape_interval.unwrap_or_default(),
        timeout: raw.scrape_timeout.unwrap_or_default(),
        metrics_path: raw.metrics_path.clone().unwrap_or_default(),
        scheme: raw.scheme.clone().unwrap_or_default(),
        client: client_config(raw.client_keys(), base, place)?,
        failure_log: raw
            .scrape_failure_log_file
            .as_ref()
            .filter(|file| !file.is_empty())
            .map(|file| base.join(file)),
        params: raw.params.clone(),
        honor_labels: raw.honor_labels.unwrap_or_default(),
        honor_timestamps: raw.honor_timestamps.unwrap_or_default(),
        track_timestamps_staleness: raw.track_timestamps_staleness.unwrap_or_default(),
        has_compression: raw.enable_compression.unwrap_or_default(),
        accept: accept_header(&protocols, escaping),
        protocols,
        fallback_protocol: match raw.fallback_scrape_protocol.as_deref() {
            Some(name) => Some(parsed(name, place)?),
            None => None,
        },
        name_validation: parsed(raw.metric_name_validation_scheme.as_deref().unwrap_or("utf8"), place)?,
        histograms: HistogramKeys {
            scrapes_native: raw.scrape_native_histograms.unwrap_or_default(),
            keeps_classic: raw.always_scrape_classic_histograms.unwrap_or_default(),
            converts_classic: raw.convert_classic_histograms_to_nhcb.unwrap_or_default(),
        },
        native_bucket_limit: raw.native_histogram_bucket_limit.unwrap_or_default(),
        native_min_bucket_factor: raw.native_histogram_min_bucket_factor.unwrap_or_default(),
        has_extra_metrics: raw.extra_scrape_metrics.unwrap_or_default(),
        limits: Limits {
            body_bytes: raw.body_size_limit.unwrap_or_default().0,
            samples: raw.sample_limit.unwrap_or_default(),
            labels: raw.label_limit.unwrap_or_default(),
            label_name_bytes: raw.label_name_length_limit.unwrap_or_default(),
            label_value_bytes: raw.label_value_length_limit.unwrap_or_default(),
            targets: raw.target_limit.unwrap_or_default(),
            kept_dropped_targets: raw.keep_dropped_targets.unwrap_or_default(),
        },
        static_groups: raw.static_configs.clone(),
        discoveries: discoveries(raw, base, place)?,
        relabel: rules("relabel_configs", &raw.relabel_configs)?,
        metric_relabel: rules("metric_relabel_configs", &raw.metric_relabel_configs)?,
        raw: raw.clone(),
    })
}

/// How to ask, with connections kept from one scrape to the next.
fn client_config(keys: ClientKeys, base: &Path, place: &str) -> Result<ClientConfig, BadValue> {
    let config = keys.resolve(base).map_err(|message| BadValue { place: place.to_owned(), message })?;
    Ok(ClientConfig { idle_time: IDLE_TIME, ..config })
}

/// Checks one group of targets, of the main file or of a discovered one.
pub(crate) fn check_group(group: &StaticConfig, place: &str) -> Result<(), BadValue> {
    if let Some(target) = group.targets.iter().find(|target| target.contains('/')) {
        return bad(place, format!("{} is not a valid hostname", quote(target)));
    }
    if let Some(name) = group.labels.keys().find(|name| name.is_empty()) {
        return bad(place, format!("{} is not a valid label name", quote(name)));
    }
    Ok(())
}

pub(super) fn default_protocols(scrapes_native: bool) -> Vec<String> {
    let first = scrapes_native.then_some(ScrapeProtocol::PrometheusProto);
    first.into_iter().chain(DEFAULT_PROTOCOLS).map(|protocol| protocol.name().to_owned()).collect()
}

/// The formats of a list, each named once.
pub(super) fn protocols(names: &[String], place: &str) -> Result<Vec<ScrapeProtocol>, BadValue> {
    let mut list = Vec::with_capacity(names.len());
    for name in names {
        let protocol = parsed::<ScrapeProtocol>(name, place)?;
        if list.contains(&protocol) {
            return bad(place, format!("duplicated protocol in scrape_protocols, got {}", quote(name)));
        }
        list.push(protocol);
    }
    if list.is_empty() {
        return bad(place, "scrape_protocols is empty; leave it out for the default");
    }
    Ok(list)
}

/// A word of the file that has its own type.
pub(super) fn parsed<T: std::str::FromStr<Err = String>>(text: &str, place: &str) -> Result<T, BadValue> {
    text.parse().map_err(|message| BadValue { place: place.to_owned(), message })
}
