//! The daemon's configuration: which file, which defaults, what the keys come to.
//!
//! | module | answers |
//! |---|---|
//! | [`keys`] | which keys are there |
//! | [`limits`] | what does `limits_config` come to |
//! | [`units`] | how are durations and sizes written |
//! | [`loki`] | how is a Loki file read, and which of its keys mean nothing here |

pub mod keys;
pub mod limits;
pub mod loki;
pub mod print;
pub mod units;

use std::path::{Path, PathBuf};
use std::time::Duration;

use cairn_logdb::{Retention, RetentionRule, TenantRetention};
use cairn_runtime::logging::{LogFormat, LogLevel};
use cairn_runtime::{ConfigError, ConfigSource, ListenAddr, config};

use self::keys::{File, Ingester, strict};
use self::limits::Limits;
use self::units::{Bytes, Span};

/// Name of the configuration file in `/etc/cairn` that is read when none is named.
const NAME: &str = "log-store";
/// Where data lies unless a file or a flag says otherwise.
const DEFAULT_DATA_DIR: &str = "/var/lib/cairn-log-store";
/// Folder below Loki's `path_prefix` that holds Cairn's data, so that Loki's own files stay untouched.
const FOLDER_BESIDE_LOKI: &str = "cairn-log-store";
/// Loki's port.
const DEFAULT_PORT: u16 = 3100;
/// Loki listens on every address unless told otherwise.
const LOKI_DEFAULT_ADDRESS: &str = "0.0.0.0";

/// Who wrote the defaults that a file leaves open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// Cairn: loopback, a week of retention, old lines welcome.
    Cairn,
    /// Loki: every address, no retention unless switched on, lines older than a week refused.
    Loki,
}

/// The resolved configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whose defaults filled the gaps.
    pub flavour: Flavour,
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// Keys of a Loki file that mean nothing here, dotted.
    pub ignored_keys: Vec<String>,
    /// Whether `X-Scope-OrgID` names the tenant.
    pub auth_enabled: bool,
    /// `host:port` of the HTTP listener.
    pub listen: ListenAddr,
    /// Absolute path of the folder for everything that is stored.
    pub data_dir: PathBuf,
    /// Least severe level that is logged, when the file names one.
    pub log_level: Option<LogLevel>,
    /// Form of the log lines, when the file names one.
    pub log_format: Option<LogFormat>,
    /// What a tenant may push and ask.
    pub limits: Limits,
    /// How long entries are kept.
    pub retention: Retention,
    /// A head without a push for so long is written.
    pub chunk_idle_period: Duration,
    /// A head this old is written.
    pub max_chunk_age: Duration,
    /// Bytes at which a head is written.
    pub chunk_target_size: Option<Bytes>,
    /// Queries that run at once.
    pub max_concurrent_queries: usize,
    /// Queries that may wait for their turn.
    pub max_waiting_queries: usize,
}

impl Config {
    /// Reads the file named, or Cairn's default file where it exists, or takes the built-in defaults.
    ///
    /// A name that ends in `.yaml` or `.yml` is a Loki file, any other Cairn's TOML.
    ///
    /// # Errors
    /// [`ConfigError`], which names file, place, key and what was expected.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        match config::find(file, NAME) {
            ConfigSource::File(path) if loki::is_loki_file(&path) => Self::load_loki(&path),
            ConfigSource::File(path) => Self::load_toml(&path),
            ConfigSource::BuiltIn => Self::resolve(File::default(), Flavour::Cairn, None, Vec::new()),
        }
    }

    /// Reads Cairn's own TOML.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_toml(path: &Path) -> Result<Self, ConfigError> {
        let file: strict::File = config::load_toml(path)?;
        Self::resolve(file.into(), Flavour::Cairn, Some(path), Vec::new())
    }

    /// Reads a Loki configuration.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_loki(path: &Path) -> Result<Self, ConfigError> {
        let (file, ignored_keys) = loki::read(path)?;
        Self::resolve(file, Flavour::Loki, Some(path), ignored_keys)
    }

    /// Where it was read from.
    pub fn source(&self) -> ConfigSource {
        self.file.clone().map_or(ConfigSource::BuiltIn, ConfigSource::File)
    }

    fn resolve(
        file: File,
        flavour: Flavour,
        path: Option<&Path>,
        ignored_keys: Vec<String>,
    ) -> Result<Self, ConfigError> {
        let File { auth_enabled, server, common, limits_config, ingester, compactor, querier, frontend } =
            file;
        let keys::Server { http_listen_address, http_listen_port, log_level, log_format } = server;
        let Ingester { chunk_idle_period, max_chunk_age, chunk_target_size } = ingester;
        let keys::Common { path_prefix } = common;
        let keys::Compactor { retention_enabled } = compactor;
        let keys::Querier { max_concurrent } = querier;
        let keys::Frontend { max_outstanding_per_tenant } = frontend;

        let is_loki = flavour == Flavour::Loki;
        let limits = if is_loki { Limits::loki() } else { Limits::cairn() }.with(limits_config);
        let address = http_listen_address.filter(|a| !a.is_empty());
        let default_address = if is_loki { LOKI_DEFAULT_ADDRESS } else { "127.0.0.1" };
        let data_dir = match (path_prefix, is_loki) {
            (Some(prefix), true) => prefix.join(FOLDER_BESIDE_LOKI),
            (Some(prefix), false) => prefix,
            (None, _) => PathBuf::from(DEFAULT_DATA_DIR),
        };
        let origin = path.unwrap_or(Path::new("built-in defaults"));
        let bad = |key: &str, problem: String| ConfigError::rule(origin, key, problem);
        check_limits(&limits)
            .map_err(|(key, problem)| bad(&format!("limits_config.{key}"), problem.to_owned()))?;
        let retention_enabled = retention_enabled.unwrap_or(!is_loki);
        let retention = retention(&limits, retention_enabled)
            .map_err(|problem| bad("limits_config.retention_stream", problem))?;
        let max_concurrent_queries = max_concurrent.unwrap_or(4);
        if max_concurrent_queries == 0 {
            return Err(bad("querier.max_concurrent", "expected at least 1".to_owned()));
        }
        if chunk_target_size.is_some_and(|size| size.0 == 0) {
            return Err(bad("ingester.chunk_target_size", "expected more than zero".to_owned()));
        }
        let listen = host_and_port(
            address.as_deref().unwrap_or(default_address),
            http_listen_port.unwrap_or(DEFAULT_PORT),
        );
        let listen =
            listen.parse::<ListenAddr>().map_err(|e| bad("server.http_listen_address", e.to_string()))?;
        Ok(Self {
            flavour,
            file: path.map(Path::to_owned),
            ignored_keys,
            // Loki's own default is true; every tutorial and every seed writes false, and so does Cairn.
            auth_enabled: auth_enabled.unwrap_or(is_loki),
            listen,
            data_dir: std::path::absolute(&data_dir).unwrap_or(data_dir),
            log_level: word(log_level.as_deref()).map_err(|problem| bad("server.log_level", problem))?,
            log_format: word(log_format.as_deref()).map_err(|problem| bad("server.log_format", problem))?,
            limits,
            retention,
            chunk_idle_period: chunk_idle_period.unwrap_or(Span::seconds(1800)).to_std(),
            max_chunk_age: max_chunk_age.unwrap_or(Span::hours(2)).to_std(),
            chunk_target_size,
            max_concurrent_queries,
            max_waiting_queries: max_outstanding_per_tenant.unwrap_or(2048),
        })
    }
}

/// `host:port`, with brackets around an IPv6 address.
fn host_and_port(host: &str, port: u16) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// Reads one of a flag's words.
fn word<T: clap::ValueEnum>(text: Option<&str>) -> Result<Option<T>, String> {
    text.map(|text| T::from_str(text, true)).transpose().map_err(|_| {
        let words: Vec<String> = T::value_variants()
            .iter()
            .filter_map(|variant| variant.to_possible_value().map(|value| value.get_name().to_owned()))
            .collect();
        format!("expected one of {}, got {:?}", words.join(", "), text.unwrap_or_default())
    })
}

/// Limits that would refuse everything if they were zero.
fn check_limits(limits: &Limits) -> Result<(), (&'static str, &'static str)> {
    const POSITIVE: &str = "expected more than zero";
    for (key, is_good) in [
        ("ingestion_rate_mb", limits.ingestion_rate_mb > 0.0),
        ("ingestion_burst_size_mb", limits.ingestion_burst_size_mb > 0.0),
        ("max_label_names_per_series", limits.max_label_names_per_series > 0),
        ("max_label_name_length", limits.max_label_name_length > 0),
        ("max_label_value_length", limits.max_label_value_length > 0),
        ("max_query_series", limits.max_query_series > 0),
        ("query_timeout", !limits.query_timeout.is_zero()),
        ("max_global_streams_per_user", limits.max_global_streams_per_user > 0),
    ] {
        if !is_good {
            return Err((key, POSITIVE));
        }
    }
    Ok(())
}

/// What the keys about retention come to; without the switch everything is kept.
fn retention(limits: &Limits, is_enabled: bool) -> Result<Retention, String> {
    if !is_enabled {
        return Ok(Retention::default());
    }
    let period = |span: Span| (!span.is_zero()).then(|| span.to_std());
    let mut rules = Vec::new();
    for rule in &limits.retention_stream {
        let matchers = cairn_logql::parse_selector(&rule.selector)
            .map_err(|error| format!("selector {:?}: {error}", rule.selector))?;
        rules.push(RetentionRule { matchers, priority: rule.priority, period: period(rule.period) });
    }
    let default = TenantRetention { period: period(limits.retention_period), rules };
    Ok(Retention { default, ..Retention::default() })
}

#[cfg(test)]
mod tests;
