//! `smoothed` instant selectors: the value at the very instant, interpolated between the samples around it.

use std::sync::Arc;

use cairn_model::histogram::ResetHint;

use crate::annotations::{Note, Notes};
use crate::answer::Sample;
use crate::histogram_extended;
use crate::loaded::LoadedSeries;
use crate::series::{Series, seconds};
use crate::windows::{Column, Placement};

/// Fills in the value between the samples before and after each step, where both lie within the lookback; the older one
/// alone where there is none behind.
pub(crate) fn fill(from: &LoadedSeries, placement: &Placement, to: &mut Series, notes: &mut Notes) {
    let (floats, histograms) = (from.floats.column(), from.histograms.column());
    for step in 0..placement.steps.n {
        let time = placement.end(step);
        let has_floats = around(floats.times, time, placement.range) != (None, None);
        let has_histograms =
            !histograms.times.is_empty() && around(histograms.times, time, placement.range) != (None, None);
        match (has_floats, has_histograms) {
            (true, true) => notes.add(Note::MixedTypes),
            (true, false) => {
                if let Some(value) = float_at(floats, time, placement.range) {
                    to.values[step] = value;
                }
            }
            (false, _) => {
                let (before, after) = around(histograms.times, time, placement.range);
                let Some(before) = before else { continue };
                let value = match after {
                    Some(after) if histograms.times[before] < time => {
                        let is_counter = histograms.values[before].reset_hint != ResetHint::Gauge
                            && histograms.values[after].reset_hint != ResetHint::Gauge;
                        histogram_extended::interpolate(histograms, before, time, is_counter, notes)
                            .map(Arc::new)
                    }
                    _ => Some(Arc::clone(&histograms.values[before])),
                };
                if let Some(value) = value {
                    to.put(step, Sample::Histogram(value));
                }
            }
        }
    }
}

/// The last sample at or before `time` and the first one behind, both within `range`.
fn around(times: &[i64], time: i64, range: i64) -> (Option<usize>, Option<usize>) {
    let next = times.partition_point(|other| *other <= time);
    let before = next.checked_sub(1).filter(|at| times[*at] > time.saturating_sub(range));
    let after = Some(next).filter(|at| *at < times.len() && times[*at] <= time.saturating_add(range));
    (before, after)
}

fn float_at(column: Column<'_>, time: i64, range: i64) -> Option<f64> {
    let Column { times, values, .. } = column;
    match around(times, time, range) {
        (Some(before), _) if times[before] == time => Some(values[before]),
        (Some(before), Some(after)) => {
            let share = seconds(time - times[before]) / seconds(times[after] - times[before]);
            Some(values[before] + (values[after] - values[before]) * share)
        }
        (Some(before), None) => Some(values[before]),
        (None, _) => None,
    }
}
