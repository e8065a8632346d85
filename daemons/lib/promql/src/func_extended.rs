//! `anchored` and `smoothed` windows: values at the very borders instead of extrapolation.
//!
//! Anchored takes the last sample at or before each border, smoothed interpolates between the neighbours of each
//! border; both look one lookback beyond the window for them.

use crate::answer::EvalError;
use crate::ast::Extension;
use crate::func_changes;
use crate::func_range::RangeCall;
use crate::series::{ABSENT, seconds};
use crate::windows::{Column, Window};

/// Refuses functions for which bordered windows have no meaning. An error of evaluation rather than of parsing, as
/// in Prometheus.
pub(crate) fn check(function: &str, extension: Extension) -> Result<(), EvalError> {
    let allowed: &[&str] = match extension {
        Extension::None => return Ok(()),
        Extension::Anchored => &["changes", "delta", "increase", "rate", "resets"],
        Extension::Smoothed => &["delta", "increase", "rate"],
    };
    if allowed.contains(&function) {
        return Ok(());
    }
    Err(EvalError::Execution(format!(
        "{} modifier can only be used with: {} - not with {function}",
        extension.as_str(),
        allowed.join(", ")
    )))
}

/// Fills in `rate`, `increase`, `delta`, `changes` or `resets` over bordered windows.
pub(crate) fn fill(call: &RangeCall<'_>, column: Column<'_>, windows: &[Window], out: &mut [f64]) {
    for (window, out) in windows.iter().zip(out) {
        *out = value(call, column, window).unwrap_or(ABSENT);
    }
}

fn value(call: &RangeCall<'_>, column: Column<'_>, window: &Window) -> Option<f64> {
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
    if matches!(call.name, "changes" | "resets") {
        let values = &column.values[first..=last];
        let is_reset = call.name == "resets";
        let n = values.windows(2).filter(|pair| func_changes::counts(is_reset, pair[0], pair[1])).count();
        #[expect(clippy::cast_precision_loss, reason = "no window holds 2^53 samples")]
        return Some(n as f64);
    }
    if times[first] > window.end {
        // The only sample lies behind the window.
        return None;
    }
    let is_counter = call.name != "delta";
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
    Some(if call.name == "rate" { result / seconds(call.placement.range) } else { result })
}

/// The value at `time` between sample `at` and the next one. Across a counter's reset it comes from zero.
fn interpolate(column: Column<'_>, at: usize, time: i64, is_counter: bool) -> f64 {
    let (before, after) = (column.values[at], column.values[at + 1]);
    let from = if is_counter && after < before { 0.0 } else { before };
    let share = seconds(time - column.times[at]) / seconds(column.times[at + 1] - column.times[at]);
    from + (after - from) * share
}
