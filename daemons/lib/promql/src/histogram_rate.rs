//! `rate`, `increase`, `delta`, `irate` and `idelta` of native histograms.

use std::sync::Arc;

use cairn_model::FloatHistogram;
use cairn_model::histogram::ResetHint;

use crate::annotations::{Combining, Note, Notes};
use crate::answer::Sample;
use crate::func_range::{MixedWindow, RangeCall};
use crate::func_rate::{Covered, Difference, extrapolation};
use crate::histogram_column::HistogramWindow;
use crate::histogram_extended::note_combined;
use crate::series::seconds;

/// The growth over a window, extrapolated to its borders.
pub(crate) fn extrapolated(
    difference: Difference,
    call: &RangeCall,
    histograms: HistogramWindow<'_>,
    notes: &mut Notes,
) -> Option<FloatHistogram> {
    let is_counter = difference != Difference::Delta;
    let start = histograms.start_inside().filter(|_| is_counter);
    let n = histograms.values.len();
    if n < 2 && start.is_none() {
        return None;
    }
    if is_counter && histograms.has_overlapping_starts() {
        notes.add(Note::StartOverlap);
    }
    let growth = if is_counter {
        counter_growth(histograms, start.is_some(), notes)?
    } else {
        gauge_growth(histograms, notes)?
    };
    let covered = Covered {
        first: histograms.times[0],
        last: histograms.times[n - 1],
        n,
        zero_at: start,
        first_value: histograms.values[0].count,
        growth: growth.count,
    };
    let factor = extrapolation(&covered, &histograms.window, is_counter);
    let factor = if difference == Difference::Rate { factor / call.range_seconds } else { factor };
    let mut result = growth.scaled(factor);
    result.reset_hint = ResetHint::Gauge;
    Some(result.compacted())
}

fn gauge_growth(histograms: HistogramWindow<'_>, notes: &mut Notes) -> Option<FloatHistogram> {
    let [first, .., last] = histograms.values else { return None };
    let is_gauge = |histogram: &FloatHistogram| histogram.reset_hint == ResetHint::Gauge;
    if first.has_custom_buckets() != last.has_custom_buckets() {
        notes.add(Note::MixedSchemas);
        return None;
    }
    if !is_gauge(first) || !is_gauge(last) {
        notes.add(Note::NotGauge);
    }
    let mut growth = FloatHistogram::clone(last);
    note_combined(growth.subtract(first), Combining::Subtraction, notes)?;
    Some(growth)
}

/// The last histogram less the first one, and every one before a reset added. `from_zero`: the counter started in the
/// window, so that the first histogram is growth as well.
fn counter_growth(
    histograms: HistogramWindow<'_>,
    from_zero: bool,
    notes: &mut Notes,
) -> Option<FloatHistogram> {
    let values = histograms.values;
    let last = values.last()?;
    if values.iter().any(|value| value.reset_hint == ResetHint::Gauge) {
        notes.add(Note::NotCounter);
    }
    // Right before a reset, the first one has no part in the growth: its layout does not matter then.
    let is_first_void = from_zero || (values.len() > 1 && histograms.is_reset(1));
    let compared = if is_first_void && !from_zero { &values[1..] } else { values };
    let has_custom_buckets = compared[0].has_custom_buckets();
    if compared.iter().any(|value| value.has_custom_buckets() != has_custom_buckets) {
        notes.add(Note::MixedSchemas);
        return None;
    }
    let mut growth = FloatHistogram::clone(last);
    if let Some(schema) = compared.iter().map(|value| value.schema).min() {
        growth.reduce_to_schema(schema);
    }
    if !is_first_void {
        note_combined(growth.subtract(&values[0]), Combining::Subtraction, notes)?;
    }
    let first_pair = if is_first_void && !from_zero { 2 } else { 1 };
    for at in (first_pair..values.len()).filter(|at| histograms.is_reset(*at)) {
        note_combined(growth.add(&values[at - 1]), Combining::Addition, notes)?;
    }
    Some(growth)
}

/// What becomes of the last two samples of a window, one of which may be a histogram; `is_rate`: growth per second.
pub(crate) fn last_two(is_rate: bool, window: &MixedWindow<'_>, notes: &mut Notes) -> Option<Sample> {
    let histograms = window.histograms;
    let n = histograms.values.len();
    let [.., last] = histograms.values else { return None };
    let last_time = histograms.times[n - 1];
    let before_time = n.checked_sub(2).map(|at| histograms.times[at]);
    let floats = window.floats;
    // Floats that are newer than one of the two, or that there is nothing else beside.
    let is_float_among =
        floats.times.last().is_some_and(|time| before_time.is_none_or(|before| *time > before));
    if is_float_among {
        let n_newer = floats.times.iter().rev().take(2).filter(|time| **time > last_time).count();
        if n_newer == 2 {
            return window.of_floats.map(Sample::Float);
        }
        notes.add(Note::MixedTypes);
        return None;
    }
    let before = &histograms.values[n.checked_sub(2)?];
    let is_gauge = |histogram: &FloatHistogram| histogram.reset_hint == ResetHint::Gauge;
    if is_rate && (is_gauge(last) || is_gauge(before)) {
        notes.add(Note::NotCounter);
    }
    if !is_rate && (!is_gauge(last) || !is_gauge(before)) {
        notes.add(Note::NotGauge);
    }
    let mut growth = FloatHistogram::clone(last);
    if !is_rate || !histograms.is_reset(n - 1) {
        note_combined(growth.subtract(before), Combining::Subtraction, notes)?;
    }
    if is_rate {
        growth = growth.divided(seconds(last_time - before_time?));
    }
    growth.reset_hint = ResetHint::Gauge;
    Some(Sample::Histogram(Arc::new(growth.compacted())))
}
