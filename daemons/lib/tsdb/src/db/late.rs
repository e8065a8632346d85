//! Judging late samples: those that are older than the newest one of their series, within the out-of-order window.
//!
//! They are rare, so what judging one needs is only gathered when there is one.
//!
//! A late sample is compared with what its series has in memory, not with blocks; the peer does not look there either. So another
//! value at the time of a sample in a block is acknowledged, and the one that came first is what everybody sees: a selection, a
//! flush and a merge of blocks all go by the order of writing (`db/join.rs`).

use std::collections::HashMap;

use cairn_promql::source::HistogramPoint;

use super::Inner;
use super::write::normal_bits;
use crate::append::{HistogramSample, Outcome, Row};
use crate::series::{MemSeries, SampleAt};
use crate::wal_record::MAX_BATCH;

/// The samples of a unit, and what becomes of those that were judged so far.
pub(super) struct Judged<'a, R> {
    pub(super) samples: &'a [R],
    pub(super) of_samples: &'a [Outcome],
    pub(super) histograms: &'a [HistogramSample],
    pub(super) of_histograms: &'a [Outcome],
}

/// The late samples of the unit that is being judged.
#[derive(Debug, Default)]
pub(super) struct LateBatch {
    /// Places among the floats of the unit of those that are stored, ascending.
    floats: Vec<usize>,
    /// The same among its histograms.
    histograms: Vec<usize>,
    /// What the unit stores, by series and time: it is not in memory yet. As far as `n_known`.
    taken: HashMap<(u64, i64), SampleAt>,
    /// Of floats and of histograms.
    n_known: (usize, usize),
}

impl LateBatch {
    pub(super) fn clear(&mut self) {
        self.floats.clear();
        self.histograms.clear();
        self.taken.clear();
        self.n_known = (0, 0);
    }

    /// Gives back the memory that a large unit took.
    pub(super) fn release(&mut self) {
        self.clear();
        self.taken = HashMap::new();
        self.floats.shrink_to(MAX_BATCH);
        self.histograms.shrink_to(MAX_BATCH);
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.taken.capacity() + self.floats.capacity() + self.histograms.capacity()
    }

    pub(super) fn n_stored(&self) -> usize {
        self.floats.len() + self.histograms.len()
    }

    /// Whether the float at a place of the unit is a late one that is stored.
    pub(super) fn is_late(&self, place: usize) -> bool {
        !self.floats.is_empty() && self.floats.binary_search(&place).is_ok()
    }

    /// The same of a histogram.
    pub(super) fn is_late_histogram(&self, place: usize) -> bool {
        !self.histograms.is_empty() && self.histograms.binary_search(&place).is_ok()
    }

    /// Judges the next float of the unit.
    pub(super) fn judge<R: Row>(
        &mut self,
        series: &MemSeries,
        time: i64,
        bits: u64,
        judged: &Judged<'_, R>,
    ) -> Outcome {
        let outcome = self.compare(series, time, &SampleAt::Float(bits), judged);
        if outcome == Outcome::Stored {
            self.floats.push(judged.of_samples.len());
        }
        outcome
    }

    /// Judges the next histogram of the unit.
    pub(super) fn judge_histogram<R: Row>(
        &mut self,
        series: &MemSeries,
        point: &HistogramPoint,
        judged: &Judged<'_, R>,
    ) -> Outcome {
        let outcome = self.compare(series, point.time, &SampleAt::of_histogram(&point.histogram), judged);
        if outcome == Outcome::Stored {
            self.histograms.push(judged.of_histograms.len());
        }
        outcome
    }

    /// What becomes of a late sample, by what its series has at that time.
    fn compare<R: Row>(
        &mut self,
        series: &MemSeries,
        time: i64,
        new: &SampleAt,
        judged: &Judged<'_, R>,
    ) -> Outcome {
        self.learn(judged);
        let in_memory;
        let there = match self.taken.get(&(series.id, time)) {
            Some(there) => Some(there),
            None => {
                in_memory = series.lock().sample_at(time);
                in_memory.as_ref()
            }
        };
        match (there, new) {
            (None, _) => Outcome::Stored,
            (Some(SampleAt::Float(there)), SampleAt::Float(bits)) if there == bits => Outcome::Duplicate,
            (Some(SampleAt::Float(there)), SampleAt::Float(_)) => {
                Outcome::DuplicateOtherValue { existing: f64::from_bits(*there) }
            }
            (Some(SampleAt::Histogram(there)), SampleAt::Histogram(new)) if there.is_identical(new) => {
                Outcome::Duplicate
            }
            (Some(SampleAt::Histogram(there)), SampleAt::Histogram(_)) => {
                Outcome::DuplicateOtherValue { existing: there.sum }
            }
            // Of the other kind.
            (Some(_), _) => Outcome::OutOfOrder,
        }
    }

    /// Notes what was judged since the last time.
    fn learn<R: Row>(&mut self, judged: &Judged<'_, R>) {
        let Judged { samples, of_samples, histograms, of_histograms } = judged;
        let is_stored = |outcome: &Outcome| *outcome == Outcome::Stored;
        for (row, outcome) in samples.iter().zip(*of_samples).skip(self.n_known.0) {
            if is_stored(outcome) {
                // Also a marker that ends a series of histograms: as such it is a float here.
                let bits = normal_bits(row.value());
                self.taken.insert((row.series().0.id, row.time_ms()), SampleAt::Float(bits));
            }
        }
        for (sample, outcome) in histograms.iter().zip(*of_histograms).skip(self.n_known.1) {
            if is_stored(outcome) {
                let there = SampleAt::of_histogram(&sample.histogram);
                self.taken.insert((sample.series.0.id, sample.time_ms), there);
            }
        }
        self.n_known = (of_samples.len(), of_histograms.len());
    }
}

impl Inner {
    /// From here on a sample may be older than the newest one of its series; `None` without a window.
    pub(super) fn late_from(&self) -> Option<i64> {
        let window = self.options.out_of_order_window_ms;
        (window > 0).then(|| self.head.max_time().unwrap_or(i64::MIN).saturating_sub(window))
    }

    /// Half a block behind the newest sample, so a block's time is over some time after its end; more where late samples
    /// are let in.
    pub(super) fn oldest_accepted(&self) -> i64 {
        self.oldest_in_order().min(self.late_from().unwrap_or(i64::MAX))
    }

    /// What is older is late, if it is let in at all.
    pub(super) fn oldest_in_order(&self) -> i64 {
        self.head.max_time().unwrap_or(i64::MIN).saturating_sub(self.options.block_ms / 2)
    }
}
