//! Figures of the database and of the targets, read when `/metrics` is asked for.

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::scrape::ScrapeManager;
use crate::storage::Storage;

/// What is looked at.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) storage: Weak<Storage>,
    pub(super) manager: Weak<ScrapeManager>,
}

/// Figures that the database and the scrape manager keep themselves; read when `/metrics` is asked for.
#[derive(Debug)]
pub(super) struct StoreCollector(pub(super) Arc<OnceLock<Shown>>);

impl Collector for StoreCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let Some(shown) = self.0.get() else { return Ok(()) };
        if let Some(storage) = shown.storage.upgrade() {
            encode_storage(&mut encoder, &storage)?;
        }
        if let Some(manager) = shown.manager.upgrade() {
            let family = encoder.encode_descriptor(
                "prometheus_target_scrape_pool_targets",
                "Targets of a job",
                None,
                MetricType::Gauge,
            );
            let mut family = family?;
            for pool in manager.view().iter() {
                let labels = [("scrape_job", pool.job_name.as_str())];
                let count = u64::try_from(pool.targets.len()).unwrap_or(u64::MAX);
                ConstGauge::new(count).encode(family.encode_family(&labels)?)?;
            }
            let family = encoder.encode_descriptor(
                "prometheus_sd_discovered_targets",
                "Targets found for a job, kept or dropped",
                None,
                MetricType::Gauge,
            );
            let mut family = family?;
            for pool in manager.view().iter() {
                let labels = [("name", "scrape"), ("config", pool.job_name.as_str())];
                let count = u64::try_from(pool.targets.len() + pool.n_dropped).unwrap_or(u64::MAX);
                ConstGauge::new(count).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "times and sizes far below 2^53")]
fn encode_storage(encoder: &mut DescriptorEncoder<'_>, storage: &Storage) -> fmt::Result {
    let counters = storage.db().counters();
    let head = storage.db().head_stats(0);
    let mut gauge = |name: &str, help: &str, value: f64| -> fmt::Result {
        let name = format!("prometheus_tsdb_{name}");
        let metric = encoder.encode_descriptor(&name, help, None, MetricType::Gauge)?;
        ConstGauge::new(value).encode(metric)
    };
    gauge("head_series", "Series in the head", head.n_series as f64)?;
    gauge("head_chunks", "Chunks in the head", head.n_chunks as f64)?;
    // What Prometheus shows while its head is empty.
    let (min, max) = (head.min_time_ms.unwrap_or(i64::MAX), head.max_time_ms.unwrap_or(i64::MIN));
    gauge("head_min_time", "Oldest sample of the head, milliseconds", min as f64)?;
    gauge("head_max_time", "Newest sample of the head, milliseconds", max as f64)?;
    gauge("head_min_time_seconds", "Oldest sample of the head", (min / 1000) as f64)?;
    gauge("head_max_time_seconds", "Newest sample of the head", (max / 1000) as f64)?;
    gauge("exemplar_exemplars_in_storage", "Exemplars that are kept", counters.exemplars as f64)?;
    gauge(
        "exemplar_series_with_exemplars_in_storage",
        "Series that have exemplars",
        counters.exemplar_series as f64,
    )?;
    gauge("exemplar_max_exemplars", "Exemplars that can be kept", counters.max_exemplars as f64)?;
    gauge("blocks_loaded", "Blocks that are served", counters.blocks as f64)?;
    gauge("storage_blocks_bytes", "Bytes of blocks on disk", counters.blocks_bytes as f64)?;
    gauge("wal_storage_size_bytes", "Bytes of the write-ahead log", counters.wal_bytes as f64)?;
    let metric = encoder.encode_descriptor(
        "cairn_metrics_store_damage_set_aside",
        "Parts of the database that lie set aside as damaged, until somebody removes them",
        None,
        MetricType::Gauge,
    )?;
    ConstGauge::new(storage.db().set_aside().len() as u64).encode(metric)?;
    for (name, help, value) in [
        ("head_series_created", "Series created", counters.series_created),
        ("head_series_removed", "Series that left the head", counters.series_removed),
        ("out_of_order_samples", "Samples refused as out of order", counters.samples_out_of_order),
        ("exemplar_exemplars_appended", "Exemplars stored", counters.exemplars_stored),
        (
            "exemplar_out_of_order_exemplars",
            "Exemplars refused as out of order",
            counters.exemplars_out_of_order,
        ),
        (
            "head_out_of_order_samples_appended",
            "Samples stored although later ones of their series were there",
            counters.samples_stored_late,
        ),
        ("too_old_samples", "Samples refused as older than the window", counters.samples_before_window),
        (
            "out_of_bound_samples",
            "Samples refused as out of bounds",
            counters.samples_too_old + counters.samples_too_far_in_future,
        ),
        (
            "compactions",
            "Compactions and blocks cut from the head",
            counters.compactions + counters.blocks_cut,
        ),
        ("compactions_failed", "Rounds of upkeep that failed", counters.maintenance_failures),
    ] {
        let name = format!("prometheus_tsdb_{name}");
        let metric = encoder.encode_descriptor(&name, help, None, MetricType::Counter)?;
        ConstCounter::new(value).encode(metric)?;
    }
    let name = "prometheus_tsdb_head_samples_appended";
    let mut family = encoder.encode_descriptor(name, "Samples stored", None, MetricType::Counter)?;
    ConstCounter::new(counters.samples_stored).encode(family.encode_family(&[("type", "float")])?)?;
    let name = "cairn_metrics_store_damage_met";
    let metric =
        encoder.encode_descriptor(name, "Damaged chunks that queries left out", None, MetricType::Counter)?;
    ConstCounter::new(counters.damage_met).encode(metric)
}
