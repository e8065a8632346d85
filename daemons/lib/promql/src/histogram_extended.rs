//! `anchored` and `smoothed` windows over native histograms: the difference between the histograms at the very borders.

use std::sync::Arc;

use cairn_model::FloatHistogram;
use cairn_model::float_histogram::Combined;
use cairn_model::histogram::ResetHint;

use crate::annotations::{Combining, Note, Notes};
use crate::func_extended::Inside;
use crate::func_range::RangeCall;
use crate::func_rate::Difference;
use crate::histogram_column::HistogramColumn;
use crate::series::seconds;
use crate::windows::{Column, Window};

/// `rate`, `increase` or `delta` between the borders of a window; `inside` are the samples that count.
pub(crate) fn difference(
    call: &RangeCall,
    difference: Difference,
    histograms: &HistogramColumn<'_>,
    inside: Inside,
    window: &Window,
    notes: &mut Notes,
) -> Option<FloatHistogram> {
    let column = histograms.column;
    let Inside { first, last } = inside;
    let is_counter = difference != Difference::Delta;
    let values = &column.values[first..=last];
    if is_counter && values.iter().any(|value| value.reset_hint == ResetHint::Gauge) {
        notes.add(Note::NotCounter);
    }
    if !is_counter && [first, last].iter().any(|at| column.values[*at].reset_hint != ResetHint::Gauge) {
        notes.add(Note::NotGauge);
    }
    let has_custom_buckets = values[0].has_custom_buckets();
    if is_counter && values.iter().any(|value| value.has_custom_buckets() != has_custom_buckets) {
        notes.add(Note::MixedSchemas);
        return None;
    }
    let starts_between = call.is_smoothed() && column.times[first] < window.start && first < last;
    let left = if starts_between {
        interpolate(column, first, window.start, is_counter, notes)?
    } else {
        FloatHistogram::clone(&column.values[first])
    };
    let mut result = if call.is_smoothed() && column.times[last] > window.end {
        interpolate(column, last - 1, window.end, is_counter, notes)?
    } else {
        FloatHistogram::clone(&column.values[last])
    };
    note_combined(result.subtract(&left), Combining::Subtraction, notes)?;
    // An interpolated left border has already gone over the reset behind it.
    let first_compared = if starts_between { first + 2 } else { first + 1 };
    for at in (first_compared..=last).filter(|at| is_counter && histograms.is_reset(*at)) {
        note_combined(result.add(&column.values[at - 1]), Combining::Addition, notes)?;
    }
    if difference == Difference::Rate {
        result = result.divided(call.range_seconds);
    }
    result.reset_hint = ResetHint::Gauge;
    Some(result.compacted())
}

/// The histogram at `time` between number `at` and the next one. Across a counter's reset it comes from zero.
pub(crate) fn interpolate(
    column: Column<'_, Arc<FloatHistogram>>,
    at: usize,
    time: i64,
    is_counter: bool,
    notes: &mut Notes,
) -> Option<FloatHistogram> {
    let (before, after) = (&column.values[at], &column.values[at + 1]);
    if before.has_custom_buckets() != after.has_custom_buckets() {
        notes.add(Note::MixedSchemas);
        return None;
    }
    let share = seconds(time - column.times[at]) / seconds(column.times[at + 1] - column.times[at]);
    if is_counter && after.is_reset_since(before) {
        return Some(after.scaled(share));
    }
    let mut growth = FloatHistogram::clone(after);
    note_combined(growth.subtract(before), Combining::Subtraction, notes)?;
    let mut result = FloatHistogram::clone(before);
    note_combined(result.add(&growth.scaled(share)), Combining::Addition, notes)?;
    result.reset_hint = after.reset_hint;
    Some(result)
}

/// Says what is worth knowing about a sum or difference; nothing when there is none. Contradicting hints are not: whoever
/// looks for resets combines histograms from before and after.
pub(crate) fn note_combined<E>(
    combined: Result<Combined, E>,
    combining: Combining,
    notes: &mut Notes,
) -> Option<()> {
    match combined {
        Ok(combined) => {
            if combined.has_reconciled_bounds {
                notes.add(Note::ReconciledBounds(combining));
            }
            Some(())
        }
        Err(_) => {
            notes.add(Note::MixedSchemas);
            None
        }
    }
}
