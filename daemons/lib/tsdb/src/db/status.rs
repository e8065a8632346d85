//! Figures: counters, and what is in the head.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Inner;
use crate::append::Outcome;
use crate::stats::{Counters, HeadStats};

/// The label that holds a metric's name.
const METRIC_NAME: &str = "__name__";

/// A number that only grows.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counts since the database was opened.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) samples_stored: Count,
    pub(super) histograms_stored: Count,
    pub(super) exemplars_stored: Count,
    pub(super) exemplars_out_of_order: Count,
    duplicate: Count,
    duplicate_other_value: Count,
    out_of_order: Count,
    pub(super) samples_stored_late: Count,
    before_window: Count,
    too_old: Count,
    too_far_in_future: Count,
    pub(super) series_created: Count,
    pub(super) series_removed: Count,
    pub(super) blocks_cut: Count,
    pub(super) flushes: Count,
    pub(super) compactions: Count,
    pub(super) maintenance_failures: Count,
}

impl Tally {
    /// Counts an outcome that is not [`Outcome::Stored`].
    pub(super) fn count_refused(&self, outcome: Outcome) {
        match outcome {
            Outcome::Stored | Outcome::SeriesDropped | Outcome::InvalidHistogram => {}
            Outcome::Duplicate => self.duplicate.add(1),
            Outcome::DuplicateOtherValue { .. } => self.duplicate_other_value.add(1),
            Outcome::OutOfOrder => self.out_of_order.add(1),
            Outcome::BeforeWindow => self.before_window.add(1),
            Outcome::TooOld => self.too_old.add(1),
            Outcome::TooFarInFuture => self.too_far_in_future.add(1),
        }
    }
}

impl Inner {
    pub(super) fn counters(&self) -> Counters {
        let (exemplars, exemplar_series, max_exemplars) = {
            let ring = self.exemplar_ring();
            (ring.len() as u64, ring.n_series() as u64, ring.capacity() as u64)
        };
        let (blocks, blocks_bytes) = {
            let layout = self.layout();
            (layout.blocks.len() as u64, layout.blocks.iter().map(|block| block.meta.bytes()).sum())
        };
        let tally = &self.tally;
        Counters {
            samples_stored: tally.samples_stored.get(),
            samples_duplicate: tally.duplicate.get(),
            samples_duplicate_other_value: tally.duplicate_other_value.get(),
            samples_out_of_order: tally.out_of_order.get(),
            samples_stored_late: tally.samples_stored_late.get(),
            samples_before_window: tally.before_window.get(),
            samples_too_old: tally.too_old.get(),
            samples_too_far_in_future: tally.too_far_in_future.get(),
            histograms_stored: tally.histograms_stored.get(),
            exemplars_stored: tally.exemplars_stored.get(),
            exemplars_out_of_order: tally.exemplars_out_of_order.get(),
            exemplars,
            exemplar_series,
            max_exemplars,
            series_created: tally.series_created.get(),
            series_removed: tally.series_removed.get(),
            head_series: self.head.n_series() as u64,
            blocks_cut: tally.blocks_cut.get(),
            flushes: tally.flushes.get(),
            head_chunk_bytes: self.head.chunk_bytes() as u64,
            head_samples: self.head.n_samples(),
            compactions: tally.compactions.get(),
            maintenance_failures: tally.maintenance_failures.get(),
            blocks,
            blocks_bytes,
            wal_bytes: self.wal.bytes_on_disk(),
            damage_met: self.damage.count(),
        }
    }

    pub(super) fn head_stats(&self, limit: usize) -> HeadStats {
        let mut stats = HeadStats { max_time_ms: self.head.max_time(), ..HeadStats::default() };
        stats.min_time_ms = self.head.min_time();
        let flushed = self.layout().flushed;
        for series in self.head.all_series() {
            stats.n_series += 1;
            stats.n_chunks += series.lock().n_chunks(flushed);
        }
        let index = self.head.index();
        let mut by_pair: HashMap<String, u64> = HashMap::new();
        for name in index.names() {
            let (mut n_values, mut bytes) = (0, 0);
            let mut largest: Vec<(&str, u64)> = Vec::new();
            for (value, postings) in index.values(name) {
                n_values += 1;
                bytes += value.len() as u64;
                largest.push((value, postings.len()));
            }
            // Only the largest of each label can be among the largest of all.
            largest.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
            largest.truncate(limit);
            if name == METRIC_NAME {
                stats.series_by_metric =
                    largest.iter().map(|(value, count)| ((*value).to_owned(), *count)).collect();
            }
            for (value, count) in largest {
                by_pair.insert(format!("{name}={value}"), count);
            }
            stats.n_label_pairs += n_values;
            stats.values_by_label.push((name.to_owned(), n_values as u64));
            stats.bytes_by_label.push((name.to_owned(), bytes));
        }
        drop(index);
        stats.series_by_pair = by_pair.into_iter().collect();
        for list in [&mut stats.values_by_label, &mut stats.bytes_by_label, &mut stats.series_by_pair] {
            list.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            list.truncate(limit);
        }
        stats
    }
}
