//! Targets: from what discovery found to what is scraped under which labels.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cairn_model::gotext::quote;
use cairn_model::{Labels, LabelsBuilder, Metadata, TimeNs};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::config::file::StaticConfig;
use crate::config::protocol::HistogramKeys;
use crate::config::resolve::PoolConfig;
use crate::config::units::PromDuration;
use crate::relabel;
use crate::scrape::metadata::MetadataTable;

/// What may not stand in the path of a URL.
const NOT_IN_PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}')
    .add(b'%');

const SCRAPE_NATIVE: &str = "__scrape_native_histograms__";
const KEEP_CLASSIC: &str = "__always_scrape_classic_histograms__";
const CONVERT_CLASSIC: &str = "__convert_classic_histograms_to_nhcb__";

/// What relabelling made of one address.
#[derive(Debug)]
pub enum Discovered {
    /// It is to be scraped.
    Kept(Box<Target>),
    /// A rule dropped it; the labels it had before.
    Dropped(Labels),
}

/// How a target is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// Not scraped yet.
    #[default]
    Unknown,
    /// The last scrape was good.
    Up,
    /// The last scrape failed.
    Down,
}

impl Health {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// The last scrape of a target.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// Good or bad.
    pub health: Health,
    /// Why it was bad; empty when it was good.
    pub last_error: String,
    /// When it began.
    pub last_scrape: Option<TimeNs>,
    /// How long it took.
    pub last_duration: Duration,
}

/// One endpoint that is scraped.
#[derive(Debug)]
pub struct Target {
    /// Labels before relabelling.
    pub discovered: Labels,
    /// Labels of every series of the target: without any `__*`.
    pub labels: Labels,
    /// Where its page is.
    pub url: String,
    /// Time between two scrapes.
    pub interval: PromDuration,
    /// Longest scrape.
    pub timeout: PromDuration,
    /// What is stored of histograms.
    pub histograms: HistogramKeys,
    /// Set while the target must not be scraped, with the reason that every scrape of it fails with.
    forced_error: Mutex<Option<String>>,
    status: Mutex<Status>,
    metadata: Mutex<MetadataTable>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind these locks is replaced whole: a panic elsewhere leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Target {
    /// Identity over reloads and restarts: labels and address.
    pub fn key(&self) -> u64 {
        xxhash_rust::xxh3::xxh3_64_with_seed(self.url.as_bytes(), self.labels.stable_hash())
    }

    /// How the last scrape went.
    pub fn status(&self) -> Status {
        lock(&self.status).clone()
    }

    /// Notes how a scrape went.
    pub fn set_status(&self, status: Status) {
        *lock(&self.status) = status;
    }

    /// The reason why this target must fail without being asked.
    pub fn forced_error(&self) -> Option<String> {
        lock(&self.forced_error).clone()
    }

    /// Makes every scrape fail with this reason, or none.
    pub fn force_error(&self, reason: Option<String>) {
        *lock(&self.forced_error) = reason;
    }

    /// What the target says about its families, by name.
    pub fn metadata(&self) -> BTreeMap<String, Metadata> {
        lock(&self.metadata).iter().map(|(name, data)| (name.to_owned(), data.clone())).collect()
    }

    /// The same to be written to, by whoever reads a page of the target.
    pub(crate) fn metadata_table(&self) -> MutexGuard<'_, MetadataTable> {
        lock(&self.metadata)
    }
}

/// All targets of one group, one result for each address.
///
/// # Errors
/// One text for each address that makes no target; the others are not harmed.
pub fn discover(pool: &PoolConfig, group: &StaticConfig) -> Vec<Result<Discovered, String>> {
    group
        .targets
        .iter()
        .map(|address| {
            let mut labels = Labels::from_pairs(&group.labels).to_builder();
            labels.set("__address__", address);
            populate(pool, labels)
        })
        .collect()
}

fn populate(pool: &PoolConfig, mut labels: LabelsBuilder) -> Result<Discovered, String> {
    let interval = pool.interval.to_string();
    let timeout = pool.timeout.to_string();
    for (name, value) in [
        ("job", pool.job_name.as_str()),
        ("__scrape_interval__", &interval),
        ("__scrape_timeout__", &timeout),
        ("__metrics_path__", &pool.metrics_path),
        ("__scheme__", &pool.scheme),
        (SCRAPE_NATIVE, as_text(pool.histograms.scrapes_native)),
        (KEEP_CLASSIC, as_text(pool.histograms.keeps_classic)),
        (CONVERT_CLASSIC, as_text(pool.histograms.converts_classic)),
    ] {
        // A label that discovery has set wins over the job's.
        if labels.get(name).is_none() {
            labels.set(name, value);
        }
    }
    for (name, values) in &pool.params {
        if let Some(first) = values.first() {
            labels.set(&format!("__param_{name}"), first);
        }
    }
    let discovered = labels.build();
    if !relabel::apply_all(&pool.relabel, &mut labels) {
        return Ok(Discovered::Dropped(discovered));
    }
    let Some(address) = labels.get("__address__").map(str::to_owned) else {
        return Ok(Discovered::Dropped(discovered));
    };
    if address.contains('/') {
        return Err(format!("{} is not a valid hostname", quote(&address)));
    }
    let (interval, timeout) = timing(&labels)?;
    let histograms = histograms(&labels)?;
    let url = url_of(pool, &labels, &address);
    if url.parse::<http::Uri>().is_err() {
        return Err(format!("{} is not a valid address", quote(&url)));
    }
    labels.retain(|name, _| !name.starts_with("__"));
    if labels.get("instance").is_none() {
        labels.set("instance", &address);
    }
    Ok(Discovered::Kept(Box::new(Target {
        discovered,
        labels: labels.build(),
        url,
        interval,
        timeout,
        histograms,
        forced_error: Mutex::default(),
        status: Mutex::default(),
        metadata: Mutex::default(),
    })))
}

fn as_text(is_on: bool) -> &'static str {
    if is_on { "true" } else { "false" }
}

/// What of histograms is stored, as relabelling left it.
fn histograms(labels: &LabelsBuilder) -> Result<HistogramKeys, String> {
    let read = |name: &str| match labels.get(name).unwrap_or("") {
        "true" => Ok(true),
        // Relabelling that takes the label away turns it off.
        "false" | "" => Ok(false),
        other => Err(format!("error parsing {name}: {} is neither true nor false", quote(other))),
    };
    Ok(HistogramKeys {
        scrapes_native: read(SCRAPE_NATIVE)?,
        keeps_classic: read(KEEP_CLASSIC)?,
        converts_classic: read(CONVERT_CLASSIC)?,
    })
}

/// Interval and timeout as relabelling left them.
fn timing(labels: &LabelsBuilder) -> Result<(PromDuration, PromDuration), String> {
    let read = |name: &str, what: &str| -> Result<PromDuration, String> {
        let text = labels.get(name).unwrap_or("");
        let duration: PromDuration =
            text.parse().map_err(|error| format!("error parsing scrape {what}: {error}"))?;
        if duration.ms() == 0 {
            return Err(format!("scrape {what} cannot be 0"));
        }
        Ok(duration)
    };
    let interval = read("__scrape_interval__", "interval")?;
    let timeout = read("__scrape_timeout__", "timeout")?;
    if timeout > interval {
        return Err(format!(
            "scrape timeout cannot be greater than scrape interval ({} > {})",
            quote(&timeout.to_string()),
            quote(&interval.to_string())
        ));
    }
    Ok((interval, timeout))
}

fn url_of(pool: &PoolConfig, labels: &LabelsBuilder, address: &str) -> String {
    let mut params = pool.params.clone();
    for (name, value) in labels.iter() {
        if let Some(name) = name.strip_prefix("__param_") {
            let values = params.entry(name.to_owned()).or_default();
            match values.first_mut() {
                Some(first) => value.clone_into(first),
                None => values.push(value.to_owned()),
            }
        }
    }
    let scheme = labels.get("__scheme__").unwrap_or("http");
    let path = labels.get("__metrics_path__").unwrap_or("");
    let slash = if path.starts_with('/') || path.is_empty() { "" } else { "/" };
    let path = utf8_percent_encode(path, NOT_IN_PATH);
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, values) in &params {
        for value in values {
            query.append_pair(name, value);
        }
    }
    let query = query.finish();
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{scheme}://{address}{slash}{path}{mark}{query}")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::resolve::{Config, Origin};

    fn pool(yaml: &str) -> std::sync::Arc<PoolConfig> {
        let file = serde_saphyr::from_str(yaml).unwrap();
        let config = Config::resolve(file, Origin::Prometheus, Path::new("/")).unwrap();
        std::sync::Arc::clone(&config.pools[0])
    }

    fn first(yaml: &str) -> Result<Discovered, String> {
        let pool = pool(yaml);
        discover(&pool, &pool.static_groups[0]).remove(0)
    }

    #[test]
    fn labels_and_address_of_a_plain_target() {
        let Discovered::Kept(target) = first(
            "scrape_configs: [{job_name: app, scrape_interval: 10s, params: {a: [x y, z]}, static_configs: [{targets: ['h:1'], labels: {env: dev}}]}]",
        )
        .unwrap() else {
            panic!()
        };
        assert_eq!(target.labels.to_string(), r#"{env="dev", instance="h:1", job="app"}"#);
        assert_eq!(target.url, "http://h:1/metrics?a=x+y&a=z");
        assert_eq!(target.interval.ms(), 10_000);
        assert_eq!(target.discovered.get("__param_a"), Some("x y"));
        assert_eq!(target.discovered.get("__scrape_timeout__"), Some("10s"));
    }

    #[test]
    fn the_blackbox_pattern() {
        let Discovered::Kept(target) = first(
            "scrape_configs:
  - job_name: probe
    metrics_path: /probe
    static_configs: [{targets: ['example.org']}]
    relabel_configs:
      - {source_labels: [__address__], target_label: __param_target}
      - {source_labels: [__param_target], target_label: instance}
      - {target_label: __address__, replacement: '127.0.0.1:9115'}
      - {target_label: __scrape_interval__, replacement: 30s}",
        )
        .unwrap() else {
            panic!()
        };
        assert_eq!(target.labels.to_string(), r#"{instance="example.org", job="probe"}"#);
        assert_eq!(target.url, "http://127.0.0.1:9115/probe?target=example.org");
        assert_eq!(target.interval.ms(), 30_000);
    }

    #[test]
    fn dropped_and_impossible_targets() {
        let with = |rule: &str| {
            first(&format!(
                "scrape_configs: [{{job_name: a, static_configs: [{{targets: ['h:1']}}], relabel_configs: [{rule}]}}]"
            ))
        };
        assert!(matches!(with("{action: drop, source_labels: [job], regex: a}"), Ok(Discovered::Dropped(_))));
        assert!(matches!(with("{target_label: __address__, replacement: ''}"), Ok(Discovered::Dropped(_))));
        assert_eq!(
            with("{target_label: __address__, replacement: 'a/b'}").unwrap_err(),
            "\"a/b\" is not a valid hostname"
        );
        assert_eq!(
            with("{target_label: __scrape_timeout__, replacement: '90s'}").unwrap_err(),
            "scrape timeout cannot be greater than scrape interval (\"1m30s\" > \"1m\")"
        );
        let Ok(Discovered::Kept(target)) =
            with("{target_label: __scrape_native_histograms__, replacement: 'true'}")
        else {
            panic!()
        };
        assert!(target.histograms.scrapes_native && !target.histograms.keeps_classic);
        assert_eq!(
            with("{target_label: __always_scrape_classic_histograms__, replacement: 'maybe'}").unwrap_err(),
            "error parsing __always_scrape_classic_histograms__: \"maybe\" is neither true nor false"
        );
    }
}
