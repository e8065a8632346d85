//! Sums and means of native histograms, with compensated summation of every bucket.

use cairn_model::FloatHistogram;
use cairn_model::float_histogram::Quantity;
use cairn_model::histogram::ResetHint;

use crate::annotations::{Combining, Note, Notes};
use crate::kahan::Sum;

impl Quantity for Sum {
    fn of(value: f64) -> Self {
        Self::of(value)
    }
    fn plus(self, other: Self) -> Self {
        self.merge(other)
    }
    fn times(self, factor: f64) -> Self {
        Self { sum: self.sum * factor, compensation: self.compensation * factor }
    }
    fn value(self) -> f64 {
        self.total()
    }
}

/// Which hints were seen among the histograms of a sum.
#[derive(Clone, Copy, Debug, Default)]
struct SeenHints {
    reset: bool,
    no_reset: bool,
}

impl SeenHints {
    fn add(&mut self, histogram: &FloatHistogram) {
        self.reset |= histogram.reset_hint == ResetHint::Reset;
        self.no_reset |= histogram.reset_hint == ResetHint::NoReset;
    }

    fn note(self, notes: &mut Notes) {
        if self.reset && self.no_reset {
            notes.add(Note::ResetConflict(Combining::Aggregation));
        }
    }
}

/// A running sum.
#[derive(Clone, Debug)]
pub(crate) struct HistogramSum {
    running: FloatHistogram<Sum>,
    hints: SeenHints,
    /// Exponential and custom buckets came together: there is no sum.
    is_void: bool,
}

impl HistogramSum {
    /// Starts with one histogram.
    pub(crate) fn of(first: &FloatHistogram) -> Self {
        let mut hints = SeenHints::default();
        hints.add(first);
        Self { running: first.map(Sum::of), hints, is_void: false }
    }

    /// Adds one histogram.
    pub(crate) fn add(&mut self, histogram: &FloatHistogram, notes: &mut Notes) {
        if self.is_void {
            return;
        }
        self.hints.add(histogram);
        self.is_void = !add(&mut self.running, histogram, notes);
    }

    /// The sum; none of incompatible histograms.
    pub(crate) fn finish(self, notes: &mut Notes) -> Option<FloatHistogram> {
        self.hints.note(notes);
        (!self.is_void).then(|| self.running.map(Sum::total).compacted())
    }
}

/// A running mean, which does not overflow where the sum would: from there on it is computed incrementally.
#[derive(Clone, Debug)]
pub(crate) struct HistogramMean {
    /// The sum, or the mean once `is_incremental`.
    running: FloatHistogram<Sum>,
    count: f64,
    is_incremental: bool,
    hints: SeenHints,
    is_void: bool,
}

impl HistogramMean {
    /// Starts with one histogram.
    pub(crate) fn of(first: &FloatHistogram) -> Self {
        let mut hints = SeenHints::default();
        hints.add(first);
        Self { running: first.map(Sum::of), count: 1.0, is_incremental: false, hints, is_void: false }
    }

    /// Takes one histogram in.
    pub(crate) fn add(&mut self, histogram: &FloatHistogram, notes: &mut Notes) {
        if self.is_void {
            return;
        }
        self.hints.add(histogram);
        self.count += 1.0;
        if !self.is_incremental {
            let mut next = self.running.clone();
            if !add(&mut next, histogram, notes) {
                self.is_void = true;
                return;
            }
            if !next.has_overflow() {
                self.running = next;
                return;
            }
            self.is_incremental = true;
            let before = self.count - 1.0;
            self.running = self.running.map(|sum| divided(sum, before));
        }
        self.running = self.running.scaled((self.count - 1.0) / self.count);
        self.is_void = !add(&mut self.running, &histogram.divided(self.count), notes);
    }

    /// The mean; none of incompatible histograms.
    pub(crate) fn finish(self, notes: &mut Notes) -> Option<FloatHistogram> {
        self.hints.note(notes);
        if self.is_void {
            return None;
        }
        let mean = if self.is_incremental || self.count == 1.0 {
            self.running.map(|mean| mean.sum + mean.compensation)
        } else {
            self.running.map(|sum| sum.sum / self.count + sum.compensation / self.count)
        };
        Some(mean.compacted())
    }
}

fn divided(sum: Sum, divisor: f64) -> Sum {
    Sum { sum: sum.sum / divisor, compensation: sum.compensation / divisor }
}

/// False when there is no sum.
fn add(running: &mut FloatHistogram<Sum>, histogram: &FloatHistogram, notes: &mut Notes) -> bool {
    match running.add(histogram) {
        Ok(combined) => {
            if combined.has_reconciled_bounds {
                notes.add(Note::ReconciledBounds(Combining::Aggregation));
            }
            true
        }
        Err(_) => {
            notes.add(Note::MixedSchemas);
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn histogram(count: f64, sum: f64) -> FloatHistogram {
        FloatHistogram {
            reset_hint: ResetHint::Unknown,
            schema: 0,
            zero_threshold: 0.0,
            zero_count: 0.0,
            count,
            sum,
            positive: Vec::new(),
            negative: Vec::new(),
            custom_bounds: Arc::default(),
        }
    }

    #[test]
    fn small_sums_survive_large_ones_and_counts_overflow_into_means() {
        let mut notes = Notes::default();
        let (mut sum, mut mean) =
            (HistogramSum::of(&histogram(f64::MAX, 1.0)), HistogramMean::of(&histogram(f64::MAX, 1.0)));
        for next in [histogram(1e308, 1e100), histogram(0.0, 1.0), histogram(0.0, -1e100)] {
            sum.add(&next, &mut notes);
            mean.add(&next, &mut notes);
        }
        let (sum, mean) = (sum.finish(&mut notes).unwrap(), mean.finish(&mut notes).unwrap());
        assert_eq!((sum.count, sum.sum), (f64::INFINITY, 2.0));
        assert!(
            (mean.count / 6.994_232_837_157_79e307 - 1.0).abs() < 1e-12 && (mean.sum - 0.5).abs() < 1e-12
        );
    }
}
