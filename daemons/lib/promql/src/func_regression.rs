//! `deriv` and `predict_linear`: the line through a window's samples with the least squared distance.

use crate::func_range::{Fill, RangeFunction};
use crate::kahan::Sum;
use crate::non_finite::NonFinite;
use crate::series::{ABSENT, seconds};
use crate::windows::{self, Column, Summary, Window, Windows};

/// `deriv(r)`
pub(crate) const DERIV: RangeFunction =
    RangeFunction::plain(Fill::Windows(|_, column, windows, out| fill_slope(column, windows, out)));

/// `predict_linear(r, seconds)`
pub(crate) const PREDICT_LINEAR: RangeFunction =
    RangeFunction::plain(Fill::Windows(|call, column, windows, out| {
        fill_prediction(&call.params[0], column, windows, out)
    }));

/// A line: value at `x = 0` and slope per second.
#[derive(Clone, Copy, Debug)]
struct Line {
    slope: f64,
    intercept: f64,
}

/// Fills in slopes. Time counts from each window's first sample.
fn fill_slope(column: Column<'_>, windows: Windows<'_>, out: &mut [f64]) {
    if windows::overlaps_little(column, windows) {
        for (window, out) in windows.iter().zip(out) {
            *out = match window.len() {
                0 | 1 => ABSENT,
                _ => line(column, &window, column.times[window.lo]).slope,
            };
        }
        return;
    }
    let known = NonFinite::of(column.values);
    windows::fold_incrementally(column, windows, out, |moments: Moments, window| match window.len() {
        0 | 1 => ABSENT,
        _ if known.is_in(window) => f64::NAN,
        _ => match moments.line().slope {
            slope if slope.is_finite() => slope,
            // Where sums overflow, the order of operations decides.
            _ => line(column, window, column.times[window.lo]).slope,
        },
    });
}

/// Fills in the value that the line has `ahead` seconds after each step.
fn fill_prediction(ahead: &[f64], column: Column<'_>, windows: Windows<'_>, out: &mut [f64]) {
    if windows::overlaps_little(column, windows) {
        for (window, out) in windows.iter().zip(out) {
            *out = match window.len() {
                0 | 1 => ABSENT,
                _ => {
                    let line = line(column, &window, window.time);
                    line.slope * ahead[window.index] + line.intercept
                }
            };
        }
        return;
    }
    let known = NonFinite::of(column.values);
    windows::fold_incrementally(column, windows, out, |moments: Moments, window| match window.len() {
        0 | 1 => ABSENT,
        // Unless there are samples before and behind the step, all sums that an infinity is in have the same sign, and their
        // difference is none.
        _ if known.is_in(window) && (window.end <= window.time || window.start >= window.time) => f64::NAN,
        _ => {
            let line = moments.line();
            if !line.slope.is_finite() || !line.intercept.is_finite() {
                let line = self::line(column, window, window.time);
                return line.slope * ahead[window.index] + line.intercept;
            }
            // The intercept of `moments` lies at the mean time, which is a fraction of a millisecond.
            let since_mean = seconds(window.time - moments.origin) - moments.mean_x;
            line.slope * (ahead[window.index] + since_mean) + line.intercept
        }
    });
}

/// In Prometheus's order of operations, with compensated sums. `origin` is where `x` is 0, milliseconds.
fn line(column: Column<'_>, window: &Window, origin: i64) -> Line {
    let values = &column.values[window.lo..window.hi];
    let first = values[0];
    if values.iter().all(|value| *value == first) {
        return constant(first);
    }
    let (mut sum_x, mut sum_y) = (Sum::default(), Sum::default());
    let (mut sum_xy, mut sum_xx) = (Sum::default(), Sum::default());
    for (time, y) in column.times[window.lo..window.hi].iter().zip(values) {
        let x = seconds(time - origin);
        sum_x.add(x);
        sum_y.add(*y);
        sum_xy.add(x * y);
        sum_xx.add(x * x);
    }
    #[expect(clippy::cast_precision_loss, reason = "no window holds 2^53 samples")]
    let n = values.len() as f64;
    let total = |sum: Sum| sum.sum + sum.compensation;
    let (sum_x, sum_y, sum_xy, sum_xx) = (total(sum_x), total(sum_y), total(sum_xy), total(sum_xx));
    let covariance = sum_xy - sum_x * sum_y / n;
    let variance = sum_xx - sum_x * sum_x / n;
    let slope = covariance / variance;
    Line { slope, intercept: sum_y / n - slope * sum_x / n }
}

/// The line of equal values; infinities have none.
fn constant(value: f64) -> Line {
    if value.is_infinite() {
        return Line { slope: f64::NAN, intercept: f64::NAN };
    }
    Line { slope: 0.0, intercept: value }
}

/// Central moments of a run, which can be joined without losing digits (Chan, Golub and LeVeque, 1979).
#[derive(Clone, Copy)]
struct Moments {
    /// Where `x` is 0, milliseconds: the time of the run's first sample.
    origin: i64,
    n: f64,
    mean_x: f64,
    mean_y: f64,
    /// Sum of squared distances from the mean time.
    xx: f64,
    /// Sum of products of distances from both means.
    xy: f64,
    first_y: f64,
    is_constant: bool,
}

impl Summary for Moments {
    fn of(time: i64, value: f64) -> Self {
        Self {
            origin: time,
            n: 1.0,
            mean_x: 0.0,
            mean_y: value,
            xx: 0.0,
            xy: 0.0,
            first_y: value,
            is_constant: !value.is_nan(),
        }
    }

    fn merge(self, later: Self) -> Self {
        let n = self.n + later.n;
        let delta_x = later.mean_x + seconds(later.origin - self.origin) - self.mean_x;
        let delta_y = later.mean_y - self.mean_y;
        let weight = self.n * later.n / n;
        Self {
            origin: self.origin,
            n,
            mean_x: self.mean_x + delta_x * later.n / n,
            mean_y: self.mean_y + delta_y * later.n / n,
            xx: self.xx + later.xx + delta_x * delta_x * weight,
            xy: self.xy + later.xy + delta_x * delta_y * weight,
            first_y: self.first_y,
            is_constant: self.is_constant && later.is_constant && self.first_y == later.first_y,
        }
    }
}

impl Moments {
    /// The line, with `x` counted from the mean time.
    fn line(&self) -> Line {
        if self.is_constant {
            return constant(self.first_y);
        }
        Line { slope: self.xy / self.xx, intercept: self.mean_y }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Steps;
    use crate::windows::Placement;
    use proptest::prelude::*;

    #[test]
    fn infinities_give_what_plain_lines_give_however_windows_overlap() {
        let mut values: Vec<f64> = (0..120).map(|at| f64::from(at % 7)).collect();
        (values[40], values[90], values[91]) = (f64::INFINITY, f64::NEG_INFINITY, 1.7e308);
        let times: Vec<i64> = (0..120).map(|at| at * 1_000).collect();
        let column = Column::new(&times, &values);
        let steps = Steps { start: 0, step: 500, n: 250 };
        let placement = Placement { steps, range: 30_000, offset: 0, at: None };
        let mut borders = Vec::new();
        placement.borders(&times, &mut borders);
        let windows = Windows::new(placement, &borders);
        assert!(!windows::overlaps_little(column, windows));
        let (mut slopes, mut ahead) = (vec![0.0; 250], vec![0.0; 250]);
        fill_slope(column, windows, &mut slopes);
        fill_prediction(&vec![60.0; 250], column, windows, &mut ahead);
        for window in windows.iter().filter(|window| window.len() > 1) {
            let slope = line(column, &window, times[window.lo]).slope;
            let line = line(column, &window, window.time);
            for (got, want) in
                [(slopes[window.index], slope), (ahead[window.index], line.slope * 60.0 + line.intercept)]
            {
                let is_same = (got - want).abs() < 1e-6 || got == want || (got.is_nan() && want.is_nan());
                assert!(is_same, "at {}: {got} for {want}", window.end);
            }
        }
    }

    proptest! {
        #[test]
        fn incremental_lines_are_plain_lines(
            values in proptest::collection::vec(-1e3f64..1e3, 2..150),
            step in 1i64..2_000, range in 20_000i64..90_000, n in 30usize..60,
        ) {
            let times: Vec<i64> = (0..values.len()).map(|at| 1_700_000_000_000 + i64::try_from(at).unwrap() * 1_000).collect();
            let column = Column::new(&times, &values);
            let placement = Placement { steps: Steps { start: times[0], step, n }, range, offset: 0, at: None };
            let mut borders = Vec::new();
            placement.borders(&times, &mut borders);
            let windows = Windows::new(placement, &borders);
            let mut slopes = vec![0.0; n];
            windows::fold_incrementally(column, windows, &mut slopes, |m: Moments, _| m.line().slope);
            for window in windows.iter().filter(|window| window.len() > 1) {
                let want = line(column, &window, times[window.lo]).slope;
                prop_assert!((slopes[window.index] - want).abs() < 1e-6, "{} {}", slopes[window.index], want);
            }
        }
    }
}
