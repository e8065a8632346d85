//! `anchored` and `smoothed` windows: values at the very borders instead of extrapolation.
//!
//! Anchored takes the last sample at or before each border, smoothed interpolates between the neighbours of each
//! border; both look one lookback beyond the window for them.

use std::sync::Arc;

use crate::annotations::{Note, Notes};
use crate::answer::{EvalError, Sample};
use crate::ast::{Call, Extension};
use crate::eval_range_vector::RangeSeries;
use crate::func::Compute;
use crate::func_changes::Counts;
use crate::func_range::{Borders, RangeCall, RangeFunction};
use crate::func_rate::Difference;
use crate::functions::FUNCTIONS;
use crate::histogram_extended;
use crate::series::{ABSENT, Series, seconds};
use crate::windows::{Column, Window};

/// Refuses functions for which bordered windows have no meaning. An error of evaluation rather than of parsing, as
/// in Prometheus.
pub(crate) fn check(call: &Call, function: &RangeFunction, extension: Extension) -> Result<(), EvalError> {
    if function.borders.allow(extension) {
        return Ok(());
    }
    let allowed: Vec<&str> = FUNCTIONS
        .iter()
        .filter(|other| matches!(&other.compute, Compute::Range(other) if other.borders.allow(extension)))
        .map(|other| other.name)
        .collect();
    Err(EvalError::Execution(format!(
        "{} modifier can only be used with: {} - not with {}",
        extension.as_str(),
        allowed.join(", "),
        call.function.name
    )))
}

impl Borders {
    fn allow(self, extension: Extension) -> bool {
        match (extension, self) {
            (Extension::None, _) | (_, Self::Interpolated(_)) | (Extension::Anchored, Self::Counted(_)) => {
                true
            }
            (Extension::Smoothed, Self::Counted(_)) | (_, Self::Refused) => false,
        }
    }
}

/// Which samples count in a window: from number `first` of their column to number `last`, at least one of them inside.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inside {
    pub(crate) first: usize,
    pub(crate) last: usize,
}

/// Fills in a function that [allows](check) bordered windows.
pub(crate) fn fill(
    call: &RangeCall,
    borders: Borders,
    series: &RangeSeries<'_>,
    out: &mut Series,
    notes: &mut Notes,
) {
    for window in series.windows.iter() {
        if series.histograms.is_empty() {
            out.values[window.index] = of_floats(call, borders, series.column, &window).unwrap_or(ABSENT);
        } else if let Some(sample) = of_both(call, borders, series, window.index, notes) {
            out.put(window.index, sample);
        }
    }
}

/// Which of the samples count: those inside, the one before, and for smoothed windows the one behind.
fn inside(call: &RangeCall, times: &[i64], window: &Window) -> Option<Inside> {
    // The last sample at or before the window's start, unless it is too old.
    let before =
        window.lo.checked_sub(1).filter(|at| times[*at] > window.start.saturating_sub(call.lookback));
    let first = before.unwrap_or(window.lo);
    let mut end = window.hi;
    let ends_early = end == 0 || times[end - 1] < window.end;
    if call.is_smoothed()
        && ends_early
        && end < times.len()
        && times[end] <= window.end.saturating_add(call.lookback)
    {
        end += 1;
    }
    let last = end.checked_sub(1).filter(|last| *last >= first && times[*last] > window.start)?;
    Some(Inside { first, last })
}

fn of_floats(call: &RangeCall, borders: Borders, column: Column<'_>, window: &Window) -> Option<f64> {
    let is_smoothed = call.is_smoothed();
    let times = column.times;
    let Inside { first, last } = inside(call, times, window)?;
    let difference = match borders {
        Borders::Interpolated(difference) => difference,
        Borders::Counted(counts) => {
            let n = (first + 1..=last).filter(|at| counts.float(column, *at)).count();
            #[expect(clippy::cast_precision_loss, reason = "no window holds 2^53 samples")]
            return Some(n as f64);
        }
        Borders::Refused => return None,
    };
    if times[first] > window.end {
        // The only sample lies behind the window.
        return None;
    }
    let is_counter = difference != Difference::Delta;
    let left = if is_smoothed && times[first] < window.start && first < last {
        interpolate(column, first, window.start, is_counter)
    } else {
        column.values[first]
    };
    let right = if is_smoothed && times[last] > window.end {
        interpolate(column, last - 1, window.end, is_counter)
    } else {
        column.values[last]
    };
    let mut result = right - left;
    if is_counter {
        let mut previous = left;
        for (time, value) in times[first..=last].iter().zip(&column.values[first..=last]) {
            if *time > window.start && *time < window.end {
                if *value < previous {
                    result += previous;
                }
                previous = *value;
            }
        }
        if right < previous {
            result += previous;
        }
    }
    Some(if difference == Difference::Rate { result / call.range_seconds } else { result })
}

/// One window of a series with histograms.
fn of_both(
    call: &RangeCall,
    borders: Borders,
    series: &RangeSeries<'_>,
    index: usize,
    notes: &mut Notes,
) -> Option<Sample> {
    let (floats, histograms) = (&series.windows.at(index), &series.histograms.windows().at(index));
    let histogram_times = series.histograms.column.times;
    if let Borders::Counted(counts) = borders {
        return count_both(call, counts, series, index);
    }
    let Borders::Interpolated(difference) = borders else { return None };
    let of_histograms = inside(call, histogram_times, histograms);
    match (inside(call, series.column.times, floats), of_histograms) {
        (Some(_), Some(_)) => {
            notes.add(Note::MixedTypes);
            None
        }
        (Some(_), None) => of_floats(call, borders, series.column, floats).map(Sample::Float),
        (None, Some(inside)) if histogram_times[inside.first] <= histograms.end => {
            let histograms_of = &series.histograms;
            histogram_extended::difference(call, difference, histograms_of, inside, histograms, notes)
                .map(|one| Sample::Histogram(Arc::new(one)))
        }
        (None, _) => None,
    }
}

/// How many samples count in an anchored window over both kinds, the last one at or before its start included.
fn count_both(call: &RangeCall, counts: Counts, series: &RangeSeries<'_>, index: usize) -> Option<Sample> {
    let (floats, histograms) = (&series.windows.at(index), &series.histograms.windows().at(index));
    if !series.has_samples(index) {
        return None;
    }
    let anchor = |times: &[i64], window: &Window| {
        let at = window.lo.checked_sub(1)?;
        (times[at] > window.start.saturating_sub(call.lookback)).then_some(times[at])
    };
    let float_anchor = anchor(series.column.times, floats);
    let histogram_anchor = anchor(series.histograms.column.times, histograms);
    let (mut floats, mut histograms) = (*floats, *histograms);
    match (float_anchor, histogram_anchor) {
        (Some(float), Some(histogram)) if float > histogram => floats.lo -= 1,
        (Some(_), None) => floats.lo -= 1,
        (_, Some(_)) => histograms.lo -= 1,
        (None, None) => {}
    }
    let counted = counts.in_windows(series.column.part(&floats), series.histograms.part(histograms));
    Some(Sample::Float(counted))
}

/// The value at `time` between sample `at` and the next one. Across a counter's reset it comes from zero.
fn interpolate(column: Column<'_>, at: usize, time: i64, is_counter: bool) -> f64 {
    let (before, after) = (column.values[at], column.values[at + 1]);
    let from = if is_counter && after < before { 0.0 } else { before };
    let share = seconds(time - column.times[at]) / seconds(column.times[at + 1] - column.times[at]);
    from + (after - from) * share
}
