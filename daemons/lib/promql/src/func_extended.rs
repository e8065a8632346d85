//! `anchored` and `smoothed` windows: values at the very borders instead of extrapolation.
//!
//! Anchored takes the last sample at or before each border, smoothed interpolates between the neighbours of each
//! border; both look one lookback beyond the window for them.

use crate::answer::EvalError;
use crate::ast::{Call, Extension};
use crate::func::Compute;
use crate::func_range::{Borders, RangeCall, RangeFunction};
use crate::func_rate::Difference;
use crate::functions::FUNCTIONS;
use crate::series::{ABSENT, seconds};
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

/// Fills in a function that [allows](check) bordered windows.
pub(crate) fn fill(
    call: &RangeCall,
    borders: Borders,
    column: Column<'_>,
    windows: &[Window],
    out: &mut [f64],
) {
    for (window, out) in windows.iter().zip(out) {
        *out = value(call, borders, column, window).unwrap_or(ABSENT);
    }
}

fn value(call: &RangeCall, borders: Borders, column: Column<'_>, window: &Window) -> Option<f64> {
    let is_smoothed = call.extension == Extension::Smoothed;
    let times = column.times;
    // The last sample at or before the window's start, unless it is too old.
    let before =
        window.lo.checked_sub(1).filter(|at| times[*at] > window.start.saturating_sub(call.lookback));
    let first = before.unwrap_or(window.lo);
    let mut end = window.hi;
    let ends_early = end == 0 || times[end - 1] < window.end;
    if is_smoothed
        && ends_early
        && end < times.len()
        && times[end] <= window.end.saturating_add(call.lookback)
    {
        end += 1;
    }
    let last = end.checked_sub(1).filter(|last| *last >= first && times[*last] > window.start)?;
    let difference = match borders {
        Borders::Interpolated(difference) => difference,
        Borders::Counted(counts) => {
            let n = column.values[first..=last].windows(2).filter(|pair| counts(pair[0], pair[1])).count();
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

/// The value at `time` between sample `at` and the next one. Across a counter's reset it comes from zero.
fn interpolate(column: Column<'_>, at: usize, time: i64, is_counter: bool) -> f64 {
    let (before, after) = (column.values[at], column.values[at + 1]);
    let from = if is_counter && after < before { 0.0 } else { before };
    let share = seconds(time - column.times[at]) / seconds(column.times[at + 1] - column.times[at]);
    from + (after - from) * share
}
