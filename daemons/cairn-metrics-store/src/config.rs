//! Configuration: an existing `prometheus.yml` as it is, or the same keys in TOML.
//!
//! | file | holds |
//! |---|---|
//! | [`mod@file`] | the keys as written, one struct for each block |
//! | [`resolve`] | defaults, cross-field checks, compiled rules: what the daemon runs on |
//! | [`units`] | durations and sizes |
//! | [`not_built`] | keys that are known and refused because nothing serves them yet |

pub mod file;
pub mod not_built;
pub mod resolve;
pub mod units;

use std::path::{Path, PathBuf};

use cairn_runtime::config::{ConfigError, ConfigSource, load_toml, load_yaml};

use file::{ConfigFile, ScrapeConfig, StaticConfig};
use resolve::{Config, Origin};

/// Where the configuration comes from; kept for reloads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file in Prometheus's YAML.
    Yaml(PathBuf),
    /// A file in Cairn's TOML.
    Toml(PathBuf),
    /// No file: the store scrapes itself.
    BuiltIn,
}

impl Source {
    /// Chooses by what was given: `--config.file` is always YAML, `--config` goes by the name's ending, and without
    /// either `/etc/cairn/metrics-store.toml` is taken where it exists.
    pub fn choose(config: Option<&Path>, prometheus_file: Option<&Path>) -> Self {
        if let Some(path) = prometheus_file {
            return Self::Yaml(path.to_owned());
        }
        match cairn_runtime::config::find(config, "metrics-store") {
            ConfigSource::File(path) => {
                let is_yaml = path.extension().is_some_and(|ending| ending == "yml" || ending == "yaml");
                if is_yaml { Self::Yaml(path) } else { Self::Toml(path) }
            }
            ConfigSource::BuiltIn => Self::BuiltIn,
        }
    }

    /// Reads and checks it. `self_address` is the address that the built-in job scrapes.
    ///
    /// # Errors
    /// [`ConfigError`], which names file, place and key.
    pub fn load(&self, self_address: &str) -> Result<Config, ConfigError> {
        let (path, file, origin) = match self {
            Self::Yaml(path) => (path.as_path(), load_yaml::<ConfigFile>(path)?, Origin::Prometheus),
            Self::Toml(path) => (path.as_path(), load_toml::<ConfigFile>(path)?, Origin::Cairn),
            Self::BuiltIn => (Path::new("built-in defaults"), built_in(self_address), Origin::Cairn),
        };
        let base = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        Config::resolve(file, origin, base)
            .map_err(|error| ConfigError::rule(path, &error.place, error.message))
    }
}

/// One machine, one job: the store itself.
fn built_in(self_address: &str) -> ConfigFile {
    ConfigFile {
        scrape_configs: vec![ScrapeConfig {
            job_name: "prometheus".to_owned(),
            static_configs: vec![StaticConfig {
                targets: vec![self_address.to_owned()],
                ..StaticConfig::default()
            }],
            ..ScrapeConfig::default()
        }],
        ..ConfigFile::default()
    }
}

impl From<Source> for ConfigSource {
    fn from(source: Source) -> Self {
        match source {
            Source::Yaml(path) | Source::Toml(path) => Self::File(path),
            Source::BuiltIn => Self::BuiltIn,
        }
    }
}
