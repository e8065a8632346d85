//! From the file as written to a configuration that can be run: defaults filled in, rules compiled, every cross-field
//! check made.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_model::Labels;
use cairn_model::gotext::quote;
use cairn_tsdb::options::MAX_EXEMPLARS;

use super::file::{ConfigFile, Global};
use super::query::QuerySettings;
use super::resolve_external::{alertmanager_urls, external_labels};
use super::resolve_pool::{
    check_schemes, default_escaping, default_protocols, fill_scrape, parsed, protocols, resolve_pool, set,
};
use super::units::{PromDuration, PromSize};
use crate::otlp::OtlpSettings;

pub(crate) use super::resolve_pool::check_group;
pub use super::resolve_pool::{Limits, PoolConfig};

/// Whose habits hold for keys that a file leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A `prometheus.yml`: every minute, as Prometheus does.
    Prometheus,
    /// Cairn's own TOML, or no file at all: every 15 s.
    Cairn,
}

pub(super) const PROMETHEUS_SCRAPE_INTERVAL: PromDuration = PromDuration::from_ms(60_000);
const CAIRN_SCRAPE_INTERVAL: PromDuration = PromDuration::from_ms(15_000);
pub(super) const SCRAPE_TIMEOUT: PromDuration = PromDuration::from_ms(10_000);
const EVALUATION_INTERVAL: PromDuration = PromDuration::from_ms(60_000);

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

#[cfg(test)]
mod tests {
    use super::*;

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
