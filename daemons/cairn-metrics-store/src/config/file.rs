//! The configuration file as written: `prometheus.yml`, or the same keys in TOML.
//!
//! Every key that can be left out is an `Option`, so that [`super::resolve`] can tell "not said" from "said"; which
//! default then holds depends on whose file it is. Serialised again with the defaults filled in, these types are what
//! `/api/v1/status/config` shows.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use super::not_built as nb;
use super::units::{PromDuration, PromSize};

pub use super::file_otlp::Otlp;
pub use super::file_scrape::{RelabelConfig, ScrapeConfig, StaticConfig};

/// `key:` with nothing behind it means the same as no key: stock files have lists whose entries are all comments.
pub(super) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConfigFile {
    /// Address of the HTTP listener. Only in Cairn's TOML; the flag `--listen` wins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
    /// Folder of the database. Only in Cairn's TOML; the flag `--data-dir` wins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<String>,
    /// Whether `/api/v1/write` takes samples. Only in Cairn's TOML; the flag `--web.enable-remote-write-receiver` does the
    /// same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_remote_write_receiver: Option<bool>,
    /// Whether `/api/v1/otlp/v1/metrics` takes metrics. Only in Cairn's TOML; the flag `--web.enable-otlp-receiver` does
    /// the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_otlp_receiver: Option<bool>,
    /// Whether snapshots and deleting series over HTTP are allowed. Only in Cairn's TOML; the flag
    /// `--web.enable-admin-api` does the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_admin_api: Option<bool>,
    /// Where others find the store, or the path of that. Only in Cairn's TOML; the flag `--web.external-url` wins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_url: Option<String>,
    /// What is in front of every path of the listener. Only in Cairn's TOML; the flag `--web.route-prefix` wins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route_prefix: Option<String>,
    /// Queries. Only in Cairn's TOML; the flags `--query.*` and `--enable-feature` win.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Query::is_empty")]
    pub query: Query,
    /// Defaults of all jobs.
    #[serde(deserialize_with = "or_default")]
    pub global: Global,
    /// Where alerts would go. Read and listed; nothing is sent while there are no rules.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Alerting::is_empty")]
    pub alerting: Alerting,
    /// Jobs.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub scrape_configs: Vec<ScrapeConfig>,
    /// Metrics that are pushed over OTLP.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Otlp::is_empty")]
    pub otlp: Otlp,
    /// Retention.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Storage::is_empty")]
    pub storage: Storage,
    #[serde(skip_serializing)]
    pub(super) runtime: nb::Runtime,
    #[serde(skip_serializing)]
    pub(super) rule_files: nb::RuleFiles,
    #[serde(skip_serializing)]
    pub(super) scrape_config_files: nb::ScrapeConfigFiles,
    #[serde(skip_serializing)]
    pub(super) remote_write: nb::RemoteWrite,
    #[serde(skip_serializing)]
    pub(super) remote_read: nb::RemoteRead,
    #[serde(skip_serializing)]
    pub(super) tracing: nb::Tracing,
}

/// `global:`
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Global {
    /// Time from one scrape to the next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scrape_interval: Option<PromDuration>,
    /// Longest duration of one scrape.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scrape_timeout: Option<PromDuration>,
    /// Formats offered to targets, most wanted first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scrape_protocols: Option<Vec<String>>,
    /// Which names are valid: `utf8`, `legacy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric_name_validation_scheme: Option<String>,
    /// What targets are asked to do with names outside of ASCII: `allow-utf-8`, `underscores`, `dots`, `values`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric_name_escaping_scheme: Option<String>,
    /// Whether three more report series are written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra_scrape_metrics: Option<bool>,
    /// Whether native histograms are stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scrape_native_histograms: Option<bool>,
    /// Whether classic buckets are stored of histograms that are native as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub always_scrape_classic_histograms: Option<bool>,
    /// Whether classic histograms become native ones with custom buckets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub convert_classic_histograms_to_nhcb: Option<bool>,
    /// File to which failed scrapes are logged, one JSON object a line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scrape_failure_log_file: Option<String>,
    /// Time between two evaluations of a rule, and the default step of subqueries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evaluation_interval: Option<PromDuration>,
    /// How far rules look back; without effect while there are no rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule_query_offset: Option<PromDuration>,
    /// Labels that say which store this is; `${NAME}` is replaced from the environment.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub external_labels: BTreeMap<String, String>,
    /// Largest body after decompression; 0: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_size_limit: Option<PromSize>,
    /// Most samples of one scrape after relabelling; 0: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample_limit: Option<u64>,
    /// Most labels of one series; 0: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_limit: Option<u64>,
    /// Longest label name in bytes; 0: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_name_length_limit: Option<u64>,
    /// Longest label value in bytes; 0: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_value_length_limit: Option<u64>,
    /// Most targets of a job; 0: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_limit: Option<u64>,
    /// Most dropped targets that are remembered for the API; 0: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_dropped_targets: Option<u64>,
    /// File to which queries are logged, one JSON object a line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_log_file: Option<String>,
}

/// `query:`
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Query {
    /// How far an instant selector looks back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lookback_delta: Option<PromDuration>,
    /// Longest query, its waiting included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<PromDuration>,
    /// Queries that run at once; more wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_concurrency: Option<u64>,
    /// Most samples that one query holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_samples: Option<u64>,
    /// Whether experimental functions and aggregations are taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub experimental_functions: Option<bool>,
    /// Whether names are dropped at the end of a query only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delayed_name_removal: Option<bool>,
    /// Whether `rate` and its kin use the start timestamps of samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_timestamps: Option<bool>,
}

/// `storage:`
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Storage {
    /// The database.
    #[serde(deserialize_with = "or_default")]
    pub tsdb: StorageTsdb,
    /// Exemplars.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Exemplars::is_empty")]
    pub exemplars: Exemplars,
}

/// `storage.exemplars:`
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Exemplars {
    /// How many are kept, of all series together, at most about a million; 0, and as with Prometheus less: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_exemplars: Option<i64>,
}

/// `storage.tsdb:`
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct StorageTsdb {
    /// How long and how much is kept; wins over the flags.
    #[serde(deserialize_with = "or_default")]
    pub retention: Retention,
    /// How much older than the newest sample one may be that comes after later ones of its series; 0: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out_of_order_time_window: Option<PromDuration>,
    /// Most series in the head. Only in Cairn's TOML.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_head_series: Option<u64>,
}

/// `storage.tsdb.retention:`
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Oldest data kept; 0: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<PromDuration>,
    /// Most bytes kept on disk; 0: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<PromSize>,
}

/// `alerting:`
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Alerting {
    #[serde(skip_serializing)]
    pub(super) alert_relabel_configs: nb::AlertRelabelConfigs,
    /// Alertmanagers.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub alertmanagers: Vec<Alertmanager>,
}

/// `alerting.alertmanagers[]`
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Alertmanager {
    /// `http`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    /// What stands before `/api/v2/alerts`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_prefix: Option<String>,
    /// Longest duration of one request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<PromDuration>,
    /// `v2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// Alertmanagers written out.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub static_configs: Vec<StaticConfig>,
    #[serde(skip_serializing)]
    pub(super) file_sd_configs: nb::FileSdOfAlertmanager,
    #[serde(skip_serializing)]
    pub(super) basic_auth: nb::BasicAuth,
    #[serde(skip_serializing)]
    pub(super) tls_config: nb::TlsConfig,
}

impl Alerting {
    fn is_empty(&self) -> bool {
        self.alertmanagers.is_empty()
    }
}

impl Exemplars {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Query {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Storage {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
