//! Configuration: an existing `prometheus.yml` as it is, or the same keys in TOML.
//!
//! | file | holds |
//! |---|---|
//! | [`mod@file`] | the keys as written, one struct for each block |
//! | [`file_scrape`], [`file_discovery`] | the keys of a job, and of those who list its targets |
//! | [`file_otlp`] | the keys of `otlp`, and what they come to |
//! | [`protocol`] | exposition formats, schemes of names |
//! | [`query`] | limits and features of queries, of file and flags |
//! | [`resolve`] | defaults, cross-field checks, compiled rules: what the daemon runs on; `resolve_pool.rs` for a job, `resolve_discovery.rs` for service discovery, `resolve_external.rs` for external labels and Alertmanagers |
//! | [`units`] | durations and sizes |
//! | [`mod@check_files`] | the files that a configuration names, for `--check-config` |
//! | [`not_built`] | keys that are known and refused because nothing serves them yet |

pub mod check_files;
pub mod file;
pub mod file_discovery;
pub mod file_otlp;
pub mod file_scrape;
pub mod not_built;
pub mod protocol;
pub mod query;
pub mod resolve;
pub(crate) mod resolve_discovery;
mod resolve_external;
mod resolve_pool;
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

    /// Reads and checks it. `own_page` is what the built-in job scrapes: `localhost:9090/prefix/metrics`, or without the path
    /// where that is `/metrics`.
    ///
    /// # Errors
    /// [`ConfigError`], which names file, place and key.
    pub fn load(&self, own_page: &str) -> Result<Config, ConfigError> {
        let (path, file, origin) = match self {
            Self::Yaml(path) => (path.as_path(), load_yaml::<ConfigFile>(path)?, Origin::Prometheus),
            Self::Toml(path) => (path.as_path(), load_toml::<ConfigFile>(path)?, Origin::Cairn),
            Self::BuiltIn => (Path::new("built-in defaults"), built_in(own_page), Origin::Cairn),
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
fn built_in(own_page: &str) -> ConfigFile {
    let (address, path) = own_page.split_at(own_page.find('/').unwrap_or(own_page.len()));
    ConfigFile {
        scrape_configs: vec![ScrapeConfig {
            job_name: "prometheus".to_owned(),
            static_configs: vec![StaticConfig {
                targets: vec![address.to_owned()],
                ..StaticConfig::default()
            }],
            metrics_path: (!path.is_empty()).then(|| path.to_owned()),
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Args;

    /// What a configuration comes to, without the texts that only show it.
    fn effect(config: &Config) -> String {
        let args = Args::parse_from(["cairn-metrics-store"]);
        let Config {
            listen: _,
            data_dir: _,
            has_remote_write_receiver,
            has_otlp_receiver,
            external_labels,
            evaluation_interval,
            pools,
            retention_time: _,
            retention_size: _,
            max_exemplars,
            out_of_order_window,
            max_head_series: _,
            has_admin_api,
            external_url,
            route_prefix,
            query: _,
            query_log,
            otlp,
            alertmanagers,
            yaml: _,
        } = config;
        let mut out = format!(
            "{external_labels:?} {evaluation_interval:?} {alertmanagers:?} {has_remote_write_receiver} {has_otlp_receiver}\n"
        );
        out += &format!("{external_url:?} {route_prefix:?}\n");
        out += &format!("{} {:?}\n", args.listen(config).unwrap().as_str(), args.data_dir(config));
        out += &format!("{:?} {max_exemplars}\n", args.retention(config));
        out += &format!(
            "{out_of_order_window:?} {has_admin_api} {query_log:?} {otlp:?} {:?}\n",
            args.engine_options(config)
        );
        for pool in pools {
            let mut pool = resolve::PoolConfig::clone(pool);
            pool.raw = ScrapeConfig::default();
            out += &format!("{pool:?}\n");
        }
        out
    }

    #[test]
    fn without_a_file_the_store_scrapes_itself() {
        for (own_page, address, path) in
            [("x:1", "x:1", "/metrics"), ("[::1]:2/a/metrics", "[::1]:2", "/a/metrics")]
        {
            let config = Source::BuiltIn.load(own_page).unwrap();
            let pool = &config.pools[0];
            assert_eq!(
                (&pool.static_groups[0].targets[..], pool.metrics_path.as_str()),
                (&[address.to_owned()][..], path)
            );
        }
    }

    #[test]
    fn the_packaged_file_shows_every_key_with_its_default() {
        let packaged = include_str!("../../../packaging/cairn-metrics-store/metrics-store.toml");
        let shown = cairn_runtime::config::uncommented(packaged);
        let read =
            |text: &str| cairn_runtime::config::parse_toml::<ConfigFile>(text, Path::new("m.toml")).unwrap();
        let resolve = |file| Config::resolve(file, Origin::Cairn, Path::new("/etc/cairn")).unwrap();

        let config = resolve(read(packaged));
        // Nothing but the jobs is set.
        let jobs_only = ConfigFile { scrape_configs: read(packaged).scrape_configs, ..ConfigFile::default() };
        assert_eq!(effect(&config), effect(&resolve(jobs_only)));
        assert_eq!(effect(&config), effect(&resolve(read(&shown))));

        let targets = |config: &Config| -> Vec<String> {
            let groups = config.pools.iter().flat_map(|pool| &pool.static_groups);
            groups.flat_map(|group| group.targets.clone()).collect()
        };
        assert_eq!(
            targets(&config),
            ["127.0.0.1:9090", "127.0.0.1:5000", "127.0.0.1:12345", "127.0.0.1:3100"]
        );

        // A new key of `query` or `global` does not compile here until the packaged file has it.
        let file::Query {
            lookback_delta: Some(_),
            timeout: Some(_),
            max_concurrency: Some(_),
            max_samples: Some(_),
            experimental_functions: Some(_),
            delayed_name_removal: Some(_),
            start_timestamps: Some(_),
        } = read(&shown).query
        else {
            panic!("a key of [query] is missing in the packaged file:\n{shown}");
        };
        assert!(read(&shown).external_url.is_some() && read(&shown).route_prefix.is_some());
        let file::Global {
            scrape_interval: Some(_),
            scrape_timeout: Some(_),
            scrape_protocols: Some(_),
            metric_name_validation_scheme: Some(_),
            metric_name_escaping_scheme: Some(_),
            extra_scrape_metrics: Some(_),
            scrape_native_histograms: Some(_),
            always_scrape_classic_histograms: Some(_),
            convert_classic_histograms_to_nhcb: Some(_),
            scrape_failure_log_file: Some(_),
            evaluation_interval: Some(_),
            rule_query_offset: None,
            external_labels: _,
            body_size_limit: Some(_),
            sample_limit: Some(_),
            label_limit: Some(_),
            label_name_length_limit: Some(_),
            label_value_length_limit: Some(_),
            target_limit: Some(_),
            keep_dropped_targets: Some(_),
            query_log_file: Some(_),
        } = read(&shown).global
        else {
            panic!(
                "a key of [global] is missing in the packaged file, or without effect and in it:\n{shown}"
            );
        };
    }
}
