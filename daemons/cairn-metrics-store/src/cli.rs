//! The command line: Cairn's flags, and those of Prometheus that have a meaning here; `cli_not_taken.rs` has the others.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use cairn_runtime::logging::{LogFormat, LogLevel};
use cairn_runtime::{CommonArgs, Failure, ListenAddr, args};

use crate::cli_not_taken;
use crate::cli_query::QueryArgs;
use crate::config::Source;
use crate::config::resolve::Config;
use crate::config::units::{PromDuration, PromSize};
use crate::engine::EngineOptions;
use crate::exchange::Command;
use crate::web_address::WebAddress;

/// Folder of the database when nobody says otherwise.
pub(crate) const DEFAULT_DATA_DIR: &str = "/var/lib/cairn-metrics-store";
/// Prometheus's default, taken when its own flag names the configuration.
const PROMETHEUS_DATA_DIR: &str = "data/";
/// Loopback: only a deployment's configuration opens an address.
const DEFAULT_LISTEN: &str = "127.0.0.1:9090";
/// 15 days, when neither time nor size is set.
const DEFAULT_RETENTION: PromDuration = PromDuration::from_ms(15 * 24 * 3_600_000);

/// Arguments of the metrics store.
#[derive(clap::Parser, Clone, Debug)]
#[command(
    name = "cairn-metrics-store",
    version,
    about = "Metrics store with Prometheus's configuration and API",
    args_conflicts_with_subcommands = true,
    after_help = cli_not_taken::help()
)]
pub struct Args {
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The flags that every daemon has.
    #[command(flatten)]
    pub common: CommonArgs,

    /// prometheus.yml, as Prometheus takes it
    #[arg(long = "config.file", value_name = "FILE", conflicts_with = "config")]
    pub config_file: Option<PathBuf>,
    /// Same as --data-dir
    #[arg(long = "storage.tsdb.path", value_name = "DIR", conflicts_with = "data_dir")]
    pub storage_path: Option<PathBuf>,
    /// How long samples are kept; 0s keeps all [default: 15d, if no size is set either]
    #[arg(long = "storage.tsdb.retention.time", value_name = "DURATION")]
    pub retention_time: Option<PromDuration>,
    /// Most bytes kept on disk, such as 10GB; 0 for no limit
    #[arg(long = "storage.tsdb.retention.size", value_name = "SIZE")]
    pub retention_size: Option<PromSize>,
    /// Same as --listen
    #[arg(long = "web.listen-address", value_name = "ADDR", conflicts_with = "listen")]
    pub web_listen: Option<ListenAddr>,
    /// TLS and basic auth: refused, since this version has neither
    #[arg(long = "web.config.file", value_name = "FILE")]
    pub web_config: Option<PathBuf>,
    /// Allow reload and quit over HTTP
    #[arg(long = "web.enable-lifecycle")]
    pub enable_lifecycle: bool,
    /// Allow snapshots and deleting series over HTTP
    #[arg(long = "web.enable-admin-api")]
    pub enable_admin_api: bool,
    /// Take samples over remote write, at /api/v1/write
    #[arg(long = "web.enable-remote-write-receiver")]
    pub enable_remote_write: bool,
    /// Take metrics over OTLP, at /api/v1/otlp/v1/metrics
    #[arg(long = "web.enable-otlp-receiver")]
    pub enable_otlp: bool,
    /// Origins that browsers may ask from, a pattern for the whole origin
    #[arg(long = "web.cors.origin", value_name = "REGEX", default_value = ".*")]
    pub cors_origin: String,
    /// URL under which others find the store, or its path alone
    #[arg(long = "web.external-url", value_name = "URL")]
    pub external_url: Option<String>,
    /// What is in front of every path that is answered [default: the path of --web.external-url]
    #[arg(long = "web.route-prefix", value_name = "PATH")]
    pub route_prefix: Option<String>,
    /// No meaning: there are no console templates
    #[arg(long = "web.console.templates", value_name = "DIR")]
    pub console_templates: Option<String>,
    /// No meaning: there are no console templates
    #[arg(long = "web.console.libraries", value_name = "DIR")]
    pub console_libraries: Option<String>,
    /// Limits and features of queries
    #[command(flatten)]
    pub query: QueryArgs,
    /// Same as --log-level
    #[arg(long = "log.level", value_name = "LEVEL", value_enum)]
    pub prometheus_log_level: Option<LogLevel>,
    /// Same as --log-format
    #[arg(long = "log.format", value_name = "FORMAT", value_enum)]
    pub prometheus_log_format: Option<LogFormat>,
}

/// Reads the process's arguments; bad usage ends the process with exit code 64.
pub fn parse() -> Args {
    let mut args: Args = args::parse_explaining(std::env::args_os(), cli_not_taken::instead_of);
    if let Some(command) = &args.command {
        args.common = command.common();
    }
    args.common.log_level = args.common.log_level.or(args.prometheus_log_level);
    args.common.log_format = args.common.log_format.or(args.prometheus_log_format);
    args
}

/// How long and how much is kept; `None` means no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Age in milliseconds.
    pub time_ms: Option<i64>,
    /// Bytes on disk.
    pub bytes: Option<u64>,
}

impl std::fmt::Display for Retention {
    /// `15d`, `10GiB`, `15d or 10GiB`, as `status/runtimeinfo` shows it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.time_ms.map(PromDuration::from_ms), self.bytes.map(PromSize)) {
            (Some(time), Some(size)) => write!(f, "{time} or {size}"),
            (Some(time), None) => write!(f, "{time}"),
            (None, Some(size)) => write!(f, "{size}"),
            (None, None) => Ok(()),
        }
    }
}

impl Args {
    /// Refuses what this version cannot keep: a flag that is read past would leave a door open, or shut.
    ///
    /// # Errors
    /// [`Failure::Config`] naming the flag.
    pub fn check(&self) -> Result<(), Failure> {
        let refused = [("web.config.file", self.web_config.is_some(), "TLS and basic auth")];
        for (flag, is_given, what) in refused {
            if is_given {
                let message = format!("--{flag}: this version does not have {what}; leave the flag out");
                return Err(Failure::config(anyhow::anyhow!(message)));
            }
        }
        Ok(())
    }

    /// Where the configuration comes from.
    pub fn source(&self) -> Source {
        Source::choose(self.common.config.as_deref(), self.config_file.as_deref())
    }

    /// Address to bind.
    ///
    /// # Errors
    /// [`Failure::Config`] when the file's address is none.
    pub fn listen(&self, config: &Config) -> Result<ListenAddr, Failure> {
        if let Some(addr) = self.common.listen.as_ref().or(self.web_listen.as_ref()) {
            return Ok(addr.clone());
        }
        let text = config.listen.as_deref().unwrap_or(DEFAULT_LISTEN);
        text.parse().map_err(|error| Failure::config(anyhow::Error::new(error).context("key listen")))
    }

    /// Folder of the database.
    pub fn data_dir(&self, config: &Config) -> PathBuf {
        let chosen =
            self.common.data_dir.as_ref().or(self.storage_path.as_ref()).or(config.data_dir.as_ref());
        let default = if self.config_file.is_some() { PROMETHEUS_DATA_DIR } else { DEFAULT_DATA_DIR };
        let dir = chosen.map_or(Path::new(default), PathBuf::as_path);
        std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned())
    }

    /// The file's retention, else the flags', else 15 days.
    pub fn retention(&self, config: &Config) -> Retention {
        let time = config.retention_time.or(self.retention_time);
        let size = config.retention_size.or(self.retention_size).filter(|size| size.0 > 0);
        let time = match time {
            None if size.is_none() => Some(DEFAULT_RETENTION),
            other => other.filter(|time| time.ms() > 0),
        };
        Retention { time_ms: time.map(PromDuration::ms), bytes: size.map(|size| size.0) }
    }

    /// Whether remote write is taken: by the flag, or by the file.
    pub fn has_remote_write(&self, config: &Config) -> bool {
        self.enable_remote_write || config.has_remote_write_receiver
    }

    /// Whether OTLP is taken: by the flag, or by the file.
    pub fn has_otlp(&self, config: &Config) -> bool {
        self.enable_otlp || config.has_otlp_receiver
    }

    /// Whether the admin API is on: by the flag, or by the file.
    pub fn has_admin_api(&self, config: &Config) -> bool {
        self.enable_admin_api || config.has_admin_api
    }

    /// Where API and pages are: by the flags, else by the file.
    ///
    /// # Errors
    /// [`Failure::Config`] when it is no address.
    pub fn web_address(&self, config: &Config, listen: SocketAddr) -> Result<WebAddress, Failure> {
        let external_url = self.external_url.as_ref().or(config.external_url.as_ref());
        let route_prefix = self.route_prefix.as_ref().or(config.route_prefix.as_ref());
        WebAddress::new(external_url.map(String::as_str), route_prefix.map(String::as_str), listen)
            .map_err(|error| Failure::config(anyhow::anyhow!(error)))
    }

    /// Limits and features of the query engine: by the flags, else by the file.
    pub fn engine_options(&self, config: &Config) -> EngineOptions {
        self.query.settings().or(config.query).engine_options()
    }

    /// The flags as `status/flags` shows them.
    pub fn shown(
        &self,
        config: &Config,
        listen: &str,
        web: &WebAddress,
        data_dir: &Path,
        retention: Retention,
    ) -> BTreeMap<&'static str, String> {
        let text =
            |value: &Option<String>, default: &str| value.clone().unwrap_or_else(|| default.to_owned());
        let file = match self.source() {
            Source::Yaml(path) | Source::Toml(path) => path.display().to_string(),
            Source::BuiltIn => String::new(),
        };
        let engine = self.engine_options(config);
        let duration = |ms| PromDuration::from_ms(ms).to_string();
        let timeout_ms = i64::try_from(engine.timeout.as_millis()).unwrap_or(i64::MAX);
        BTreeMap::from([
            ("config.file", file),
            ("enable-feature", self.query.features.join(",")),
            ("storage.tsdb.path", data_dir.display().to_string()),
            (
                "storage.tsdb.retention.time",
                PromDuration::from_ms(retention.time_ms.unwrap_or(0)).to_string(),
            ),
            ("storage.tsdb.retention.size", PromSize(retention.bytes.unwrap_or(0)).to_string()),
            ("web.listen-address", listen.to_owned()),
            ("web.config.file", String::new()),
            ("web.enable-lifecycle", self.enable_lifecycle.to_string()),
            ("web.enable-admin-api", self.has_admin_api(config).to_string()),
            ("web.enable-remote-write-receiver", self.has_remote_write(config).to_string()),
            ("web.enable-otlp-receiver", self.has_otlp(config).to_string()),
            ("web.cors.origin", self.cors_origin.clone()),
            (
                "web.external-url",
                text(self.external_url.as_ref().map_or(&config.external_url, |_| &self.external_url), ""),
            ),
            ("web.route-prefix", format!("/{}", web.route_prefix().trim_start_matches('/'))),
            ("web.console.templates", text(&self.console_templates, "consoles")),
            ("web.console.libraries", text(&self.console_libraries, "console_libraries")),
            ("query.lookback-delta", duration(engine.lookback_ms)),
            ("query.timeout", duration(timeout_ms)),
            ("query.max-concurrency", engine.max_concurrency.to_string()),
            ("query.max-samples", engine.max_samples.to_string()),
        ])
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::config::file::ConfigFile;
    use crate::config::resolve::Origin;

    fn read(words: &[&str]) -> Args {
        Args::try_parse_from(std::iter::once(&"x").chain(words)).unwrap()
    }

    fn config(yaml: &str) -> Config {
        let file: ConfigFile = serde_saphyr::from_str(yaml).unwrap();
        Config::resolve(file, Origin::Prometheus, Path::new("/etc")).unwrap()
    }

    #[test]
    fn flags_of_prometheus_in_both_spellings() {
        let args = read(&[
            "--config.file=/etc/prometheus/prometheus.yml",
            "--storage.tsdb.path",
            "/prometheus",
            "--web.listen-address=0.0.0.0:9090",
            "--web.enable-lifecycle",
            "--web.console.templates=/x",
            "--query.timeout",
            "30s",
        ]);
        let config = config("{}");
        assert_eq!(args.source(), Source::Yaml("/etc/prometheus/prometheus.yml".into()));
        assert_eq!(args.data_dir(&config), Path::new("/prometheus"));
        assert_eq!(args.listen(&config).unwrap().as_str(), "0.0.0.0:9090");
        assert!(args.enable_lifecycle);
        assert_eq!(args.engine_options(&config).timeout.as_secs(), 30);
        assert!(args.check().is_ok());
        let error = read(&["--web.config.file=x"]).check().unwrap_err();
        assert_eq!(error.code(), 78);
        assert!(error.to_string().contains("--web.config.file"), "{error}");
    }

    #[test]
    fn retention_of_file_flags_and_default() {
        let show = |flags: &[&str], yaml: &str| read(flags).retention(&config(yaml)).to_string();
        let size = "--storage.tsdb.retention.size=10GB";
        assert_eq!(show(&[], "{}"), "15d");
        assert_eq!(show(&[size], "{}"), "10GiB");
        assert_eq!(show(&["--storage.tsdb.retention.time=30d", size], "{}"), "30d or 10GiB");
        assert_eq!(show(&["--storage.tsdb.retention.time=0s"], "{}"), "");
        assert_eq!(show(&[size], "storage: {tsdb: {retention: {time: 7d}}}"), "1w or 10GiB");
    }
}
