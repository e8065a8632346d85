//! Hints about counter resets where samples have none.
//!
//! Of a selector under `histogram_count` and its kin only counts and sums are wanted, and Prometheus then reads histograms
//! without their buckets. Since nobody could find a reset without them later on, it looks for resets while reading, and the
//! hints that come of it can contradict each other where otherwise nothing would be known. Here all buckets are read; the
//! hints are worked out so that the answers, and what is said beside them, agree.

use std::sync::Arc;

use cairn_model::FloatHistogram;
use cairn_model::histogram::ResetHint;

use crate::loaded::{MaybeMarker, Samples};

/// Works out the hint of each histogram that says nothing and directly follows another one.
pub(crate) fn work_out(histograms: &mut Samples<Arc<FloatHistogram>>, float_times: &[i64]) {
    histograms.replace(|column| {
        let mut worked_out = Vec::with_capacity(column.values.len());
        for (at, histogram) in column.values.iter().enumerate() {
            let previous = at.checked_sub(1).filter(|previous| {
                let (from, to) = (column.times[*previous], column.times[at]);
                let is_after = float_times.partition_point(|time| *time <= from);
                float_times.get(is_after).is_none_or(|time| *time >= to)
            });
            worked_out.push(match previous {
                Some(previous) if histogram.reset_hint == ResetHint::Unknown && !histogram.is_marker() => {
                    let is_reset = histogram.is_reset_since(&column.values[previous]);
                    let reset_hint = if is_reset { ResetHint::Reset } else { ResetHint::NoReset };
                    Arc::new(FloatHistogram { reset_hint, ..FloatHistogram::clone(histogram) })
                }
                _ => Arc::clone(histogram),
            });
        }
        worked_out
    });
}
