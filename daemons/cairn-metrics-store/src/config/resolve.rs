//! From the file as written to a configuration that can be run: defaults filled in, rules compiled, every cross-field
//! check made.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cairn_http::client::config::ClientConfig;
use cairn_http::client::keys::ClientKeys;
use cairn_model::Labels;
use cairn_model::gotext::quote;
use cairn_tsdb::options::MAX_EXEMPLARS;

use super::file::{Alertmanager, ConfigFile, Global, ScrapeConfig, StaticConfig};
use super::protocol::{HistogramKeys, NameEscaping, NameValidation, ScrapeProtocol, accept_header};
use super::query::QuerySettings;
use super::resolve_discovery::discoveries;
use super::units::{PromDuration, PromSize};
use crate::discovery::Discovery;
use crate::otlp::OtlpSettings;
use crate::relabel::Rule;

/// Whose habits hold for keys that a file leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A `prometheus.yml`: every minute, as Prometheus does.
    Prometheus,
    /// Cairn's own TOML, or no file at all: every 15 s.
    Cairn,
}

const PROMETHEUS_SCRAPE_INTERVAL: PromDuration = PromDuration::from_ms(60_000);
const CAIRN_SCRAPE_INTERVAL: PromDuration = PromDuration::from_ms(15_000);
const SCRAPE_TIMEOUT: PromDuration = PromDuration::from_ms(10_000);
const EVALUATION_INTERVAL: PromDuration = PromDuration::from_ms(60_000);

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

/// A value that cannot be used: where it stands in the file, and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct BadValue {
    /// `scrape_configs[1].relabel_configs[0]`, with the job's name where there is one.
    pub place: String,
    /// What is wrong, in Prometheus's words where it has some.
    pub message: String,
}

pub(super) fn bad<T>(place: impl Into<String>, message: impl Into<String>) -> Result<T, BadValue> {
    Err(BadValue { place: place.into(), message: message.into() })
}

/// A configuration that can be run.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address of the listener, where the file names one.
    pub listen: Option<String>,
    /// Folder of the database, where the file names one.
    pub data_dir: Option<PathBuf>,
    /// Whether the file turns the receiver of remote write on.
    pub has_remote_write_receiver: bool,
    /// Whether the file turns the receiver of OTLP on.
    pub has_otlp_receiver: bool,
    /// Labels that say which store this is.
    pub external_labels: Labels,
    /// Default step of subqueries.
    pub evaluation_interval: PromDuration,
    /// Jobs, in the order of the file.
    pub pools: Vec<Arc<PoolConfig>>,
    /// Retention, where the file sets it.
    pub retention_time: Option<PromDuration>,
    /// Retention by size, where the file sets it.
    pub retention_size: Option<PromSize>,
    /// Exemplars that are kept.
    pub max_exemplars: usize,
    /// How late a sample may be; 0 for not at all.
    pub out_of_order_window: PromDuration,
    /// Most series in the head, where the file sets it.
    pub max_head_series: Option<usize>,
    /// Whether the file allows the admin API.
    pub has_admin_api: bool,
    /// Where others find the store, where the file says it.
    pub external_url: Option<String>,
    /// What is in front of every path, where the file says it.
    pub route_prefix: Option<String>,
    /// How metrics that come over OTLP become series.
    pub otlp: OtlpSettings,
    /// Where queries are logged.
    pub query_log: Option<PathBuf>,
    /// What the file says about queries.
    pub query: QuerySettings,
    /// Addresses that alerts would go to.
    pub alertmanagers: Vec<String>,
    /// The file with every default filled in, as YAML.
    pub yaml: String,
}

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

impl Config {
    /// Fills in, checks and compiles. `base` is the folder of the file: relative paths start there.
    ///
    /// # Errors
    /// [`BadValue`]
    pub fn resolve(mut file: ConfigFile, origin: Origin, base: &Path) -> Result<Self, BadValue> {
        if origin == Origin::Prometheus {
            let own_keys = [
                ("listen", file.listen.is_some()),
                ("data_dir", file.data_dir.is_some()),
                ("enable_remote_write_receiver", file.enable_remote_write_receiver.is_some()),
                ("enable_otlp_receiver", file.enable_otlp_receiver.is_some()),
                ("enable_admin_api", file.enable_admin_api.is_some()),
                ("external_url", file.external_url.is_some()),
                ("route_prefix", file.route_prefix.is_some()),
                ("query", !file.query.is_empty()),
                ("storage.tsdb.max_head_series", file.storage.tsdb.max_head_series.is_some()),
            ];
            for (key, is_given) in own_keys {
                if is_given {
                    let message =
                        format!("unknown key: prometheus.yml has no `{key}`, use the flag, or Cairn's TOML");
                    return bad(key, message);
                }
            }
        }
        let max_head_series = match file.storage.tsdb.max_head_series {
            Some(limit) => match u32::try_from(limit) {
                // Series are numbered with 32 bits.
                Ok(limit @ 1..) => Some(limit as usize),
                _ => return bad("storage.tsdb.max_head_series", "must be 1 to 4294967295"),
            },
            None => None,
        };
        let query = QuerySettings::from_file(&file.query)?;
        let otlp = file.otlp.resolve()?;
        fill_global(&mut file.global, origin)?;
        let external_labels = external_labels(&file.global, origin)?;
        let mut names = BTreeSet::new();
        let mut pools = Vec::with_capacity(file.scrape_configs.len());
        for (index, raw) in file.scrape_configs.iter_mut().enumerate() {
            let place = format!("scrape_configs[{index}] (job {})", quote(&raw.job_name));
            if raw.job_name.is_empty() {
                return bad(format!("scrape_configs[{index}]"), "job_name is empty");
            }
            if !names.insert(raw.job_name.clone()) {
                let name = quote(&raw.job_name);
                return bad(place, format!("found multiple scrape configs with job name {name}"));
            }
            fill_scrape(raw, &file.global, &place)?;
            pools.push(Arc::new(resolve_pool(raw, base, &place)?));
        }
        let alertmanagers = alertmanager_urls(&file.alerting.alertmanagers)?;
        let yaml = serde_saphyr::to_string(&file).map_err(|error| BadValue {
            place: "the whole file".to_owned(),
            message: format!("print as YAML: {error}"),
        })?;
        Ok(Self {
            listen: file.listen.clone(),
            data_dir: file.data_dir.as_ref().map(|dir| base.join(dir)),
            external_labels,
            evaluation_interval: file.global.evaluation_interval.unwrap_or(EVALUATION_INTERVAL),
            pools,
            has_remote_write_receiver: file.enable_remote_write_receiver.unwrap_or(false),
            has_otlp_receiver: file.enable_otlp_receiver.unwrap_or(false),
            retention_time: file.storage.tsdb.retention.time,
            retention_size: file.storage.tsdb.retention.size,
            max_exemplars: file
                .storage
                .exemplars
                .max_exemplars
                .map_or(MAX_EXEMPLARS, |max| usize::try_from(max.max(0)).unwrap_or(usize::MAX)),
            out_of_order_window: file
                .storage
                .tsdb
                .out_of_order_time_window
                .unwrap_or(PromDuration::from_ms(0)),
            max_head_series,
            has_admin_api: file.enable_admin_api.unwrap_or(false),
            external_url: file.external_url.clone().filter(|url| !url.is_empty()),
            route_prefix: file.route_prefix.clone().filter(|prefix| !prefix.is_empty()),
            query_log: file
                .global
                .query_log_file
                .as_ref()
                .filter(|file| !file.is_empty())
                .map(|file| base.join(file)),
            query,
            otlp,
            alertmanagers,
            yaml,
        })
    }
}

/// A duration that is set; `0s` means "not set" to Prometheus.
fn set(value: Option<PromDuration>) -> Option<PromDuration> {
    value.filter(|duration| duration.ms() > 0)
}

fn fill_global(global: &mut Global, origin: Origin) -> Result<(), BadValue> {
    let default = match origin {
        Origin::Prometheus => PROMETHEUS_SCRAPE_INTERVAL,
        Origin::Cairn => CAIRN_SCRAPE_INTERVAL,
    };
    let interval = set(global.scrape_interval).unwrap_or(default);
    let timeout = set(global.scrape_timeout).unwrap_or(SCRAPE_TIMEOUT.min(interval));
    if timeout > interval {
        return bad("global", "global scrape timeout greater than scrape interval");
    }
    global.scrape_interval = Some(interval);
    global.scrape_timeout = Some(timeout);
    global.evaluation_interval = Some(set(global.evaluation_interval).unwrap_or(EVALUATION_INTERVAL));
    let scrapes_native = *global.scrape_native_histograms.get_or_insert(false);
    let names = global.scrape_protocols.get_or_insert_with(|| default_protocols(scrapes_native));
    protocols(names, "global")?;
    let validation = global.metric_name_validation_scheme.get_or_insert_with(|| "utf8".to_owned());
    let validation = parsed(validation, "global")?;
    let escaping =
        global.metric_name_escaping_scheme.get_or_insert_with(|| default_escaping(validation).to_string());
    check_schemes(validation, parsed(escaping, "global")?, "global")
}

/// Names outside of the legacy set are escaped where they would not be valid.
fn default_escaping(validation: NameValidation) -> NameEscaping {
    match validation {
        NameValidation::Utf8 => NameEscaping::AllowUtf8,
        NameValidation::Legacy => NameEscaping::Underscores,
    }
}

fn check_schemes(validation: NameValidation, escaping: NameEscaping, place: &str) -> Result<(), BadValue> {
    if validation == NameValidation::Legacy && escaping == NameEscaping::AllowUtf8 {
        let message = "utf8 metric names requested but validation scheme is not set to UTF8";
        return bad(place, message);
    }
    Ok(())
}

fn fill_scrape(raw: &mut ScrapeConfig, global: &Global, place: &str) -> Result<(), BadValue> {
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

fn resolve_pool(raw: &ScrapeConfig, base: &Path, place: &str) -> Result<PoolConfig, BadValue> {
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

fn external_labels(global: &Global, origin: Origin) -> Result<Labels, BadValue> {
    if global.external_labels.keys().any(String::is_empty) {
        return bad("global.external_labels", "\"\" is not a valid label name");
    }
    Ok(Labels::from_pairs(global.external_labels.iter().map(|(name, value)| {
        // Cairn's own file has been expanded while it was read.
        let value = if origin == Origin::Prometheus { expand_env(value, &env_var) } else { value.clone() };
        (name.clone(), value)
    })))
}

fn env_var(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        tracing::warn!(name, "an external label names an environment variable that is not set");
        String::new()
    })
}

/// Replaces `$NAME` and `${NAME}`; `$$` is one dollar.
fn expand_env(text: &str, value_of: &dyn Fn(&str) -> String) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let (name, after) = match after.strip_prefix('{').and_then(|braced| braced.split_once('}')) {
            Some(parts) => parts,
            None => {
                let n = after.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
                after.split_at(n)
            }
        };
        if name.is_empty() {
            out.push('$');
        } else {
            out.push_str(&value_of(name));
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

fn alertmanager_urls(list: &[Alertmanager]) -> Result<Vec<String>, BadValue> {
    let mut urls = Vec::new();
    for (index, manager) in list.iter().enumerate() {
        let place = format!("alerting.alertmanagers[{index}]");
        if let Some(version) = manager.api_version.as_deref()
            && version != "v2"
        {
            return bad(
                place,
                format!("expected Alertmanager api version to be one of [v2] but got {version}"),
            );
        }
        let scheme = manager.scheme.as_deref().unwrap_or("http");
        let prefix = manager.path_prefix.as_deref().unwrap_or("").trim_matches('/');
        let slash = if prefix.is_empty() { "" } else { "/" };
        for group in &manager.static_configs {
            check_group(group, &place)?;
            urls.extend(
                group
                    .targets
                    .iter()
                    .map(|target| format!("{scheme}://{target}{slash}{prefix}/api/v2/alerts")),
            );
        }
    }
    Ok(urls)
}

fn default_protocols(scrapes_native: bool) -> Vec<String> {
    let first = scrapes_native.then_some(ScrapeProtocol::PrometheusProto);
    first.into_iter().chain(DEFAULT_PROTOCOLS).map(|protocol| protocol.name().to_owned()).collect()
}

/// The formats of a list, each named once.
fn protocols(names: &[String], place: &str) -> Result<Vec<ScrapeProtocol>, BadValue> {
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
fn parsed<T: std::str::FromStr<Err = String>>(text: &str, place: &str) -> Result<T, BadValue> {
    text.parse().map_err(|message| BadValue { place: place.to_owned(), message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environment_is_expanded_as_go_does() {
        let value_of = |name: &str| format!("<{name}>");
        for (text, want) in
            [("a", "a"), ("${HOST}-$REGION.x", "<HOST>-<REGION>.x"), ("$$5", "$5"), ("cost $", "cost $")]
        {
            assert_eq!(expand_env(text, &value_of), want);
        }
    }

    #[test]
    fn defaults_depend_on_whose_file_it_is() {
        for (origin, ms) in [(Origin::Prometheus, 60_000), (Origin::Cairn, 15_000)] {
            let file: ConfigFile = serde_saphyr::from_str("scrape_configs: [{job_name: a}]").unwrap();
            let config = Config::resolve(file, origin, Path::new("/")).unwrap();
            assert_eq!(config.pools[0].interval.ms(), ms);
            assert_eq!(config.pools[0].timeout.ms(), 10_000);
        }
    }
}
