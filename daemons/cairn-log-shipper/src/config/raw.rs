//! The file as written: Promtail's keys and types, for YAML and TOML alike. Nothing is checked here beyond the form;
//! [`super::Config`] is what the program works with.

use std::collections::BTreeMap;
use std::path::PathBuf;

use cairn_runtime::config::lenient_bytes;
use cairn_runtime::{ByteSize, HumanDuration};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};

use super::refused_keys::{NotBuilt, OutOfScope};

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawConfig {
    /// HTTP listener.
    pub server: RawServer,
    /// The old spelling of a single destination.
    pub client: Option<RawClient>,
    /// Destinations.
    pub clients: Vec<RawClient>,
    /// Promtail's positions file.
    pub positions: RawPositions,
    /// Sources.
    pub scrape_configs: Vec<RawScrape>,
    /// How often globs are walked.
    pub target_config: RawTargetConfig,
    /// Promtail's polling; Cairn is woken by the kernel.
    pub file_watch_config: Option<IgnoredAny>,
    /// Limits on lines.
    pub limits_config: RawLimits,
    /// Promtail's `global` block.
    pub global: Option<IgnoredAny>,
    /// Promtail's `options` block.
    pub options: Option<IgnoredAny>,
    /// Promtail's own tracing.
    pub tracing: Option<IgnoredAny>,
    /// Promtail's experimental write-ahead log.
    pub wal: Option<RawWal>,
    /// Cairn's own: how files are followed.
    pub tail: RawTail,
    /// Cairn's own: memory for lines that are under way.
    pub queue: RawQueue,
}

/// `server`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawServer {
    /// Address without port.
    pub http_listen_address: Option<String>,
    /// Port.
    pub http_listen_port: Option<u16>,
    /// Of no use here: nothing is served over gRPC.
    pub grpc_listen_address: Option<String>,
    /// As above. Promtail files usually say 0.
    pub grpc_listen_port: Option<u16>,
    /// Of no use here: `--log-level`.
    pub log_level: Option<String>,
    /// Of no use here: `--log-format`.
    pub log_format: Option<String>,
    /// Of no use here.
    pub external_url: Option<String>,
    /// Of no use here: readiness does not depend on a target.
    pub health_check_target: Option<bool>,
    /// Reloading is always on.
    pub enable_runtime_reload: Option<bool>,
    /// Of no use here.
    pub profiling_enabled: Option<bool>,
    /// Of no use here.
    pub register_instrumentation: Option<bool>,
    /// Of no use here.
    pub graceful_shutdown_timeout: Option<HumanDuration>,
    /// Promtail without a listener.
    pub disable: Option<bool>,
}

/// `client`, or one of `clients`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawClient {
    /// Shown in metrics.
    pub name: Option<String>,
    /// Push URL, with path.
    pub url: Option<String>,
    /// `X-Scope-OrgID`.
    pub tenant_id: Option<String>,
    /// Longest wait for a fuller batch.
    pub batchwait: Option<HumanDuration>,
    /// Bytes of lines in a batch.
    #[serde(deserialize_with = "optional_bytes")]
    pub batchsize: Option<ByteSize>,
    /// Longest time for one request.
    pub timeout: Option<HumanDuration>,
    /// Retries.
    pub backoff_config: RawBackoff,
    /// Labels for every stream.
    pub external_labels: BTreeMap<String, String>,
    /// Request headers.
    pub headers: BTreeMap<String, String>,
    /// Drop instead of retrying on 429.
    pub drop_rate_limited_batches: Option<bool>,
    /// Refused.
    pub basic_auth: Option<NotBuilt>,
    /// Refused.
    pub bearer_token: Option<NotBuilt>,
    /// Refused.
    pub bearer_token_file: Option<NotBuilt>,
    /// Refused.
    pub authorization: Option<NotBuilt>,
    /// Refused.
    pub oauth2: Option<NotBuilt>,
    /// Refused.
    pub tls_config: Option<NotBuilt>,
    /// Refused.
    pub proxy_url: Option<NotBuilt>,
    /// Of no use here: pushes are not redirected.
    pub follow_redirects: Option<bool>,
    /// Of no use here.
    pub enable_http2: Option<bool>,
}

/// `backoff_config`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawBackoff {
    /// First pause.
    pub min_period: Option<HumanDuration>,
    /// Longest pause.
    pub max_period: Option<HumanDuration>,
    /// Attempts; 0 for ever.
    pub max_retries: Option<u32>,
}

/// `positions`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawPositions {
    /// A Promtail positions file, taken over once.
    pub filename: Option<PathBuf>,
    /// Of no use here: positions are written with the acknowledgement.
    pub sync_period: Option<HumanDuration>,
    /// Of no use here: a bad file is reported, and never stops the start.
    pub ignore_invalid_yaml: Option<bool>,
}

/// One of `scrape_configs`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawScrape {
    /// Name of the job.
    pub job_name: String,
    /// Files to tail.
    pub static_configs: Vec<RawStatic>,
    /// Steps on each line.
    pub pipeline_stages: Option<Vec<BTreeMap<String, serde_json::Value>>>,
    /// Refused.
    pub journal: Option<NotBuilt>,
    /// Refused.
    pub docker_sd_configs: Option<NotBuilt>,
    /// Refused.
    pub file_sd_configs: Option<NotBuilt>,
    /// Refused.
    pub relabel_configs: Option<NotBuilt>,
    /// Refused.
    pub syslog: Option<NotBuilt>,
    /// Refused.
    pub loki_push_api: Option<NotBuilt>,
    /// Refused.
    pub encoding: Option<NotBuilt>,
    /// Refused.
    pub decompression: Option<NotBuilt>,
    /// Refused.
    pub kubernetes_sd_configs: Option<OutOfScope>,
    /// Refused.
    pub consul_sd_configs: Option<OutOfScope>,
    /// Refused.
    pub consulagent_sd_configs: Option<OutOfScope>,
    /// Refused.
    pub kafka: Option<OutOfScope>,
    /// Refused.
    pub gcplog: Option<OutOfScope>,
    /// Refused.
    pub azure_event_hubs: Option<OutOfScope>,
    /// Refused.
    pub cloudflare: Option<OutOfScope>,
    /// Refused.
    pub heroku_drain: Option<OutOfScope>,
    /// Refused.
    pub gelf: Option<OutOfScope>,
    /// Refused.
    pub windows_events: Option<OutOfScope>,
}

/// One of `static_configs`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawStatic {
    /// Promtail wants it, usually `localhost`; it means nothing for files.
    pub targets: Vec<String>,
    /// Labels; `__path__` is the glob, `__path_exclude__` takes files out again.
    pub labels: BTreeMap<String, String>,
}

/// `target_config`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawTargetConfig {
    /// How often globs are walked.
    pub sync_period: Option<HumanDuration>,
    /// Refused when true.
    pub stdin: Option<bool>,
}

/// `limits_config`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawLimits {
    /// Refused when true.
    pub readline_rate_enabled: Option<bool>,
    /// Only with `readline_rate_enabled`.
    pub readline_rate: Option<f64>,
    /// Only with `readline_rate_enabled`.
    pub readline_burst: Option<u64>,
    /// Only with `readline_rate_enabled`.
    pub readline_rate_drop: Option<bool>,
    /// Refused unless 0.
    pub max_streams: Option<u64>,
    /// Longest line.
    #[serde(deserialize_with = "optional_bytes")]
    pub max_line_size: Option<ByteSize>,
    /// Cut longer lines rather than drop them.
    pub max_line_size_truncate: Option<bool>,
}

/// `wal`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RawWal {
    /// Refused when true.
    pub enabled: bool,
}

/// Cairn's `tail`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawTail {
    /// How long a rotated file is kept open without growing.
    pub rotate_wait: Option<HumanDuration>,
    /// How long a line without newline may stand still before it is sent; `"0"`: until the file is rotated.
    pub partial_flush: Option<HumanDuration>,
    /// How long the position of a file that is gone is remembered.
    pub positions_ttl: Option<HumanDuration>,
}

/// Cairn's `queue`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawQueue {
    /// Most bytes read and not yet acknowledged.
    pub bytes: Option<ByteSize>,
}

impl RawConfig {
    /// What runs without any file: the sample app's packaged log, to a store on this machine.
    pub fn built_in() -> Self {
        let labels = [("job", "flask-app"), ("__path__", "/var/log/cairn-app/*.log")];
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let scrape = RawScrape {
            job_name: "flask-app".to_owned(),
            static_configs: vec![RawStatic { targets: vec!["localhost".to_owned()], labels }],
            ..RawScrape::default()
        };
        Self { scrape_configs: vec![scrape], ..Self::default() }
    }
}

/// Sizes as Promtail's files write them: `1048576`, `256kb`.
fn optional_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ByteSize>, D::Error> {
    lenient_bytes::deserialize(deserializer).map(Some)
}
