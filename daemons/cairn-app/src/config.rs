//! `app.toml`: what may be written in it ([`RawConfig`]) and what the daemon runs with ([`Config`]).

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cairn_runtime::config::{ConfigSource, load_or_default};
use cairn_runtime::{ByteSize, ConfigError, HumanDuration, ListenAddr};
use serde::Deserialize;

use crate::args::Args;

/// Highest rate of self traffic, in requests per second: beyond it one measures the loopback, not the application.
pub const MAX_SELF_TRAFFIC: f64 = 10_000.0;

/// Beside the code, where `scripts/up` keeps its state.
const LOCAL_DATA_DIR: &str = "./.cairn/cairn-app";
/// Where systemd names the folder that the unit's `LogsDirectory=` made. With it the packaged daemon writes
/// `/var/log/cairn-app/app.log` whatever its configuration leaves out.
const LOGS_DIRECTORY_VARIABLE: &str = "LOGS_DIRECTORY";

/// The file as written. Every key may be left out.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawConfig {
    listen: ListenAddr,
    data_dir: Option<PathBuf>,
    log_file: Option<PathBuf>,
    logger_name: String,
    environment: String,
    self_traffic_per_second: f64,
    limits: RawLimits,
}

/// The table `[limits]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawLimits {
    request_body: ByteSize,
    request_time: HumanDuration,
    concurrent_requests: usize,
    drain: HumanDuration,
}

impl Default for RawConfig {
    fn default() -> Self {
        Self {
            // Loopback: only a deployment's configuration opens an address.
            listen: "127.0.0.1:5000".parse().expect("a literal address"),
            data_dir: None,
            log_file: None,
            logger_name: "flask-app".to_owned(),
            environment: "development".to_owned(),
            self_traffic_per_second: 0.0,
            limits: RawLimits::default(),
        }
    }
}

impl Default for RawLimits {
    fn default() -> Self {
        Self {
            // What is posted is echoed, so it is held in memory twice.
            request_body: ByteSize::mib(1),
            // Above the slowest answer that `/slow` gives.
            request_time: HumanDuration::from_secs(60),
            concurrent_requests: 1024,
            // Above the slowest answer too would outlast systemd's patience; running requests of ten seconds are rare.
            drain: HumanDuration::from_secs(10),
        }
    }
}

/// What the daemon runs with.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Address of the HTTP listener.
    pub listen: ListenAddr,
    /// The log file.
    pub log_file: PathBuf,
    /// The name in each of its lines.
    pub logger_name: String,
    /// Value of the label `environment` of `flask_app_info`.
    pub environment: String,
    /// Requests per second that the application sends to itself.
    pub self_traffic_per_second: f64,
    /// Largest request body in bytes.
    pub request_body_bytes: usize,
    /// Longest time to answer.
    pub request_time: Duration,
    /// Requests at once.
    pub concurrent_requests: usize,
    /// Time for running requests to finish when stopping.
    pub drain: Duration,
}

/// Reads the configuration that `args` ask for. Arguments win over the file.
///
/// # Errors
/// [`ConfigError`], naming file, line, key and what was expected.
pub fn load(args: &Args) -> Result<(Config, ConfigSource), ConfigError> {
    let (raw, source) = load_or_default::<RawConfig>(args.common.config.as_deref(), "app")?;
    let name = source.to_string();
    let default_dir = default_data_dir(std::env::var_os(LOGS_DIRECTORY_VARIABLE));
    Ok((resolve(raw, args, Path::new(&name), default_dir)?, source))
}

/// The first folder of systemd's list (paths with colons between them), else the one beside the code.
fn default_data_dir(logs_directory: Option<OsString>) -> PathBuf {
    logs_directory
        .as_ref()
        .and_then(|list| std::env::split_paths(list).next())
        .filter(|dir| dir.is_absolute())
        .unwrap_or_else(|| PathBuf::from(LOCAL_DATA_DIR))
}

fn resolve(raw: RawConfig, args: &Args, source: &Path, default_dir: PathBuf) -> Result<Config, ConfigError> {
    let RawConfig { listen, data_dir, log_file, logger_name, environment, self_traffic_per_second, limits } =
        raw;
    let RawLimits { request_body, request_time, concurrent_requests, drain } = limits;
    let rule = |key: &str, message: String| Err(ConfigError::rule(source, key, message));

    let self_traffic = args.self_traffic.unwrap_or(self_traffic_per_second);
    if !(0.0..=MAX_SELF_TRAFFIC).contains(&self_traffic) {
        let key = if args.self_traffic.is_some() { "--self-traffic" } else { "self_traffic_per_second" };
        return rule(key, format!("expected a rate from 0 to {MAX_SELF_TRAFFIC}, got {self_traffic}"));
    }
    let breaks_the_line = logger_name.contains(" - ") || logger_name.chars().any(char::is_control);
    if logger_name.trim().is_empty() || breaks_the_line {
        return rule("logger_name", format!("expected a name without \" - \", got {logger_name:?}"));
    }
    if concurrent_requests == 0 {
        return rule("limits.concurrent_requests", "expected at least 1".to_owned());
    }
    if request_time.get().is_zero() {
        return rule("limits.request_time", "expected more than zero".to_owned());
    }
    let data_dir = args.common.data_dir.clone().or(data_dir).unwrap_or(default_dir);
    Ok(Config {
        listen: args.common.listen.clone().unwrap_or(listen),
        log_file: log_file.unwrap_or_else(|| data_dir.join("app.log")),
        logger_name,
        environment,
        self_traffic_per_second: self_traffic,
        request_body_bytes: request_body.as_usize(),
        request_time: request_time.get(),
        concurrent_requests,
        drain: drain.get(),
    })
}

impl Config {
    /// Names of the keys in which `new` differs although a reload cannot change them.
    pub fn needs_restart(&self, new: &Config) -> Vec<&'static str> {
        let Config {
            listen,
            log_file,
            logger_name,
            environment,
            self_traffic_per_second: _,
            request_body_bytes,
            request_time,
            concurrent_requests,
            drain,
        } = new;
        [
            ("listen", *listen == self.listen),
            ("log_file", *log_file == self.log_file),
            ("logger_name", *logger_name == self.logger_name),
            ("environment", *environment == self.environment),
            ("limits.request_body", *request_body_bytes == self.request_body_bytes),
            ("limits.request_time", *request_time == self.request_time),
            ("limits.concurrent_requests", *concurrent_requests == self.concurrent_requests),
            ("limits.drain", *drain == self.drain),
        ]
        .into_iter()
        .filter_map(|(key, is_same)| (!is_same).then_some(key))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use cairn_runtime::config::{parse_toml, uncommented};
    use clap::Parser;

    use super::*;

    #[test]
    fn arguments_win_over_the_file_and_the_log_file_follows_the_data_dir() {
        let args = |words: &[&str]| Args::parse_from([&["cairn-app"], words].concat());
        let path = Path::new("t.toml");
        let resolve = |raw, args: &Args, path: &Path| resolve(raw, args, path, default_data_dir(None));
        let plain = resolve(RawConfig::default(), &args(&[]), path).unwrap();
        assert_eq!(plain.listen.as_str(), "127.0.0.1:5000");
        assert_eq!(plain.log_file, Path::new("./.cairn/cairn-app/app.log"));
        let flags = args(&["--listen", "127.0.0.1:0", "--data-dir", "/d", "--self-traffic", "2.5"]);
        let changed = resolve(RawConfig::default(), &flags, path).unwrap();
        assert_eq!(changed.listen.as_str(), "127.0.0.1:0");
        assert_eq!(changed.log_file, Path::new("/d/app.log"));
        assert_eq!(changed.self_traffic_per_second, 2.5);
        assert_eq!(plain.needs_restart(&changed), ["listen", "log_file"]);
        let error = resolve(RawConfig::default(), &args(&["--self-traffic", "NaN"]), path).unwrap_err();
        assert_eq!(error.to_string(), "t.toml: --self-traffic: expected a rate from 0 to 10000, got NaN");
    }

    #[test]
    fn under_systemd_the_log_goes_where_the_unit_says() {
        let log_file = |variable: Option<&str>, words: &[&str], toml: &str| {
            let raw = parse_toml(toml, Path::new("t.toml")).unwrap();
            let args = Args::parse_from([&["cairn-app"], words].concat());
            let default_dir = default_data_dir(variable.map(OsString::from));
            resolve(raw, &args, Path::new("t.toml"), default_dir).unwrap().log_file
        };
        let packaged = Path::new("/var/log/cairn-app/app.log");
        assert_eq!(log_file(Some("/var/log/cairn-app"), &[], ""), packaged);
        assert_eq!(log_file(Some("/var/log/cairn-app:/var/log/b"), &[], ""), packaged);
        assert_eq!(log_file(Some("/var/log/x"), &[], "data_dir = \"/d\""), Path::new("/d/app.log"));
        assert_eq!(
            log_file(Some("/var/log/x"), &["--data-dir", "/f"], "data_dir = \"/d\""),
            Path::new("/f/app.log")
        );
        assert_eq!(log_file(Some("/var/log/x"), &[], "log_file = \"/l\""), Path::new("/l"));
        for none in [None, Some("")] {
            assert_eq!(log_file(none, &[], ""), Path::new("./.cairn/cairn-app/app.log"));
        }
    }

    #[test]
    fn the_packaged_file_shows_every_key_with_its_default() {
        let packaged = include_str!("../../../packaging/cairn-app/app.toml");
        let args = Args::parse_from(["cairn-app"]);
        let under_systemd = |text: &str| {
            let path = Path::new("app.toml");
            resolve(parse_toml(text, path).unwrap(), &args, path, PathBuf::from("/var/log/cairn-app"))
                .unwrap()
        };
        let built_in = under_systemd("");
        assert_eq!(under_systemd(packaged), built_in);
        let shown = uncommented(packaged);
        assert_eq!(under_systemd(&shown), built_in);
        // Taking the types apart names every key that there is.
        let RawConfig {
            listen: _,
            data_dir,
            log_file,
            logger_name: _,
            environment: _,
            self_traffic_per_second: _,
            limits: _,
        } = parse_toml(&shown, Path::new("app.toml")).unwrap();
        assert!(data_dir.is_some() && log_file.is_some());
        for key in ["listen", "logger_name", "environment", "self_traffic_per_second"] {
            assert!(shown.contains(&format!("\n{key} = ")), "{key}");
        }
        for key in ["request_body", "request_time", "concurrent_requests", "drain"] {
            assert!(shown.contains(&format!("\n{key} = ")), "limits.{key}");
        }
    }
}
