//! `*_over_time`: one number out of each window.

use std::sync::Arc;

use crate::answer::{EvalError, Sample};
use crate::func_range::{Fill, RangeFunction, Tick, WithHistograms};
use crate::histogram_sum::{HistogramMean, HistogramSum};
use crate::kahan::{Mean, Sum, Variance};
use crate::non_finite::NonFinite;
use crate::quantile;
use crate::series::{ABSENT, seconds};
use crate::windows::{self, Column, Summary, Window, Windows};

/// `sum_over_time(r)`
pub(crate) const SUM: RangeFunction = RangeFunction::with_histograms(
    Fill::Windows(|_, column, windows, out| {
        let known = NonFinite::of(column.values);
        windows::fold(column, windows, out, |sum: Sum, window| {
            known.sum(window).unwrap_or_else(|| total(sum, window, column.values))
        });
    }),
    WithHistograms::Apart(|_, window, notes| {
        let mut sum = HistogramSum::of(&window.values[0]);
        window.values[1..].iter().for_each(|histogram| sum.add(histogram, notes));
        sum.finish(notes)
    }),
);

/// `avg_over_time(r)`
pub(crate) const AVG: RangeFunction = RangeFunction::with_histograms(
    Fill::Windows(|_, column, windows, out| {
        let known = NonFinite::of(column.values);
        windows::fold(column, windows, out, |sum: Sum, window| {
            known.sum(window).unwrap_or_else(|| mean(sum, window, column.values))
        });
    }),
    WithHistograms::Apart(|_, window, notes| {
        let mut mean = HistogramMean::of(&window.values[0]);
        window.values[1..].iter().for_each(|histogram| mean.add(histogram, notes));
        mean.finish(notes)
    }),
);

/// `min_over_time(r)`
pub(crate) const MIN: RangeFunction = RangeFunction::plain(Fill::Windows(|_, column, windows, out| {
    windows::fold(column, windows, out, |low: Extreme<false>, _| low.value);
}));

/// `max_over_time(r)`
pub(crate) const MAX: RangeFunction = RangeFunction::plain(Fill::Windows(|_, column, windows, out| {
    windows::fold(column, windows, out, |high: Extreme<true>, _| high.value);
}));

/// `ts_of_min_over_time(r)`
pub(crate) const TS_OF_MIN: RangeFunction = RangeFunction::plain(Fill::Windows(|_, column, windows, out| {
    windows::fold(column, windows, out, |low: Extreme<false>, _| seconds(low.time));
}));

/// `ts_of_max_over_time(r)`
pub(crate) const TS_OF_MAX: RangeFunction = RangeFunction::plain(Fill::Windows(|_, column, windows, out| {
    windows::fold(column, windows, out, |high: Extreme<true>, _| seconds(high.time));
}));

/// `stdvar_over_time(r)`
pub(crate) const STDVAR: RangeFunction = RangeFunction::plain(Fill::Windows(|_, column, windows, out| {
    fill_variance(column, windows, out, |variance| variance);
}));

/// `stddev_over_time(r)`
pub(crate) const STDDEV: RangeFunction = RangeFunction::plain(Fill::Windows(|_, column, windows, out| {
    fill_variance(column, windows, out, f64::sqrt);
}));

/// `count_over_time(r)`
pub(crate) const COUNT: RangeFunction = RangeFunction::with_histograms(
    Fill::Ends(|_, window| count(window)),
    WithHistograms::Both(|_, window, _| {
        let of_histograms = count(&window.histograms.window);
        Some(Sample::Float(window.of_floats.unwrap_or(0.0) + of_histograms))
    }),
);

/// `present_over_time(r)`: 1 where there is any sample.
pub(crate) const PRESENT: RangeFunction = RangeFunction::with_histograms(
    Fill::Ends(|_, _| 1.0),
    WithHistograms::Both(|_, _, _| Some(Sample::Float(1.0))),
);

/// `first_over_time(r)`
pub(crate) const FIRST: RangeFunction = RangeFunction::with_histograms(
    Fill::Ends(|column, window| column.values[window.lo]),
    WithHistograms::Both(|_, window, _| match window.floats.times.first() {
        Some(time) if *time < window.histograms.times[0] => window.of_floats.map(Sample::Float),
        _ => window.histograms.values.first().map(|one| Sample::Histogram(Arc::clone(one))),
    }),
);

/// `last_over_time(r)`
pub(crate) const LAST: RangeFunction = RangeFunction::with_histograms(
    Fill::Ends(|column, window| column.values[window.hi - 1]),
    WithHistograms::Both(|_, window, _| match (window.floats.times.last(), window.histograms.times.last()) {
        (Some(float), Some(histogram)) if float > histogram => window.of_floats.map(Sample::Float),
        _ => window.histograms.values.last().map(|one| Sample::Histogram(Arc::clone(one))),
    }),
);

/// `ts_of_first_over_time(r)`
pub(crate) const TS_OF_FIRST: RangeFunction = RangeFunction::with_histograms(
    Fill::Ends(|column, window| seconds(column.times[window.lo])),
    WithHistograms::Both(|_, window, _| {
        let first = window.floats.times.first().into_iter().chain(window.histograms.times.first()).min();
        first.map(|time| Sample::Float(seconds(*time)))
    }),
);

/// `ts_of_last_over_time(r)`
pub(crate) const TS_OF_LAST: RangeFunction = RangeFunction::with_histograms(
    Fill::Ends(|column, window| seconds(column.times[window.hi - 1])),
    WithHistograms::Both(|_, window, _| {
        let last = window.floats.times.last().into_iter().chain(window.histograms.times.last()).max();
        last.map(|time| Sample::Float(seconds(*time)))
    }),
);

/// `mad_over_time(r)`
pub(crate) const MAD: RangeFunction =
    RangeFunction::plain(Fill::Values(|_, _, values| median_absolute_deviation(values)));

/// `quantile_over_time(q, r)`
pub(crate) const QUANTILE: RangeFunction = RangeFunction {
    check_params: Some(|evaluator, call, params| {
        for warning in quantile::out_of_range_warnings(&params[0]) {
            evaluator.annotations.warn(&warning, call.args[0].span);
        }
        Ok(())
    }),
    ..RangeFunction::plain(Fill::Watched(|call, column, windows, out, tick| {
        fill_quantiles(&call.params[0], column, windows, out, tick)
    }))
};

impl Summary for Sum {
    fn of(_: i64, value: f64) -> Self {
        Self::of(value)
    }
    fn merge(self, later: Self) -> Self {
        Sum::merge(self, later)
    }
}

impl Summary for Variance {
    fn of(_: i64, value: f64) -> Self {
        let mut variance = Self::default();
        variance.add(value);
        variance
    }
    fn merge(self, later: Self) -> Self {
        Variance::merge(self, later)
    }
}

/// The lowest or highest value and its time in milliseconds. NaN only when there is nothing else; of equal values the
/// first, and the time of the last.
#[derive(Clone, Copy)]
struct Extreme<const IS_MAX: bool> {
    time: i64,
    value: f64,
}

impl<const IS_MAX: bool> Summary for Extreme<IS_MAX> {
    fn of(time: i64, value: f64) -> Self {
        Self { time, value }
    }
    fn merge(self, later: Self) -> Self {
        let is_beyond = if IS_MAX { later.value > self.value } else { later.value < self.value };
        if is_beyond || self.value.is_nan() {
            later
        } else if later.value == self.value {
            // The value stays that of the first: zeros differ by their signs.
            Self { time: later.time, ..self }
        } else {
            self
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "no window holds 2^53 samples")]
fn count(window: &Window) -> f64 {
    window.len() as f64
}

/// Sums from here on may have overflown on the way.
const NEARLY_TOO_LARGE: f64 = f64::MAX / 1e4;

fn total(sum: Sum, window: &Window, values: &[f64]) -> f64 {
    if sum.sum.abs() < NEARLY_TOO_LARGE {
        return sum.total();
    }
    // The sum overflows, now or on the way, or there is an infinity: the order of the values decides.
    let mut sum = Sum::default();
    values[window.lo..window.hi].iter().for_each(|value| sum.add(*value));
    sum.total()
}

fn mean(sum: Sum, window: &Window, values: &[f64]) -> f64 {
    if sum.sum.is_infinite() {
        // The sum overflowed, or there is an infinity: the order of the values decides.
        let values = &values[window.lo..window.hi];
        let mut mean = Mean::of(values[0]);
        values[1..].iter().for_each(|value| mean.add(*value));
        return mean.value();
    }
    let count = count(window);
    sum.sum / count + sum.compensation / count
}

fn fill_variance(column: Column<'_>, windows: Windows<'_>, out: &mut [f64], finish: impl Fn(f64) -> f64) {
    // One after the other, as Prometheus does, for equality to the last digit.
    let plain = |window: &Window| {
        let mut variance = Variance::default();
        column.values[window.lo..window.hi].iter().for_each(|value| variance.add(*value));
        variance.value()
    };
    if windows::overlaps_little(column, windows) {
        for (window, out) in windows.iter().zip(out) {
            *out = if window.len() == 0 { ABSENT } else { finish(plain(&window)) };
        }
        return;
    }
    let known = NonFinite::of(column.values);
    windows::fold_incrementally(column, windows, out, |variance: Variance, window| {
        if known.is_in(window) {
            return finish(f64::NAN);
        }
        let value = variance.value();
        // Where sums overflow, their order decides.
        finish(if value.is_finite() { value } else { plain(window) })
    });
}

/// Values that a memory move takes along in the time in which one is otherwise handled.
const MOVED_AT_ONCE: usize = 16;

/// Fills in quantiles; `q` has one value per step. The window's values are kept sorted as samples enter and leave.
fn fill_quantiles(
    q: &[f64],
    column: Column<'_>,
    windows: Windows<'_>,
    out: &mut [f64],
    tick: Tick<'_>,
) -> Result<(), EvalError> {
    let mut sorted: Vec<f64> = Vec::new();
    let (mut lo, mut hi) = (0, 0);
    let place = |sorted: &[f64], value: f64| {
        sorted.partition_point(|other| quantile::nan_first(*other, value).is_lt())
    };
    for (window, out) in windows.iter().zip(out) {
        let is_fresh = window.lo >= hi;
        if is_fresh {
            sorted.clear();
            sorted.extend_from_slice(&column.values[window.lo..window.hi]);
            sorted.sort_unstable_by(|a, b| quantile::nan_first(*a, *b));
            tick(sorted.len())?;
        } else {
            for value in &column.values[lo..window.lo] {
                let at = place(&sorted, *value);
                sorted.remove(at);
                tick((sorted.len() - at) / MOVED_AT_ONCE)?;
            }
            for value in &column.values[hi..window.hi] {
                let at = place(&sorted, *value);
                sorted.insert(at, *value);
                tick((sorted.len() - at) / MOVED_AT_ONCE)?;
            }
        }
        (lo, hi) = (window.lo, window.hi);
        *out = if sorted.is_empty() { ABSENT } else { quantile::of_sorted(q[window.index], &sorted) };
    }
    Ok(())
}

/// The median of the distances from the median; NaN if any value is.
fn median_absolute_deviation(values: &[f64]) -> f64 {
    if values.iter().any(|value| value.is_nan()) {
        return f64::NAN;
    }
    let mut values = values.to_vec();
    let median = quantile::of(0.5, &mut values);
    values.iter_mut().for_each(|value| *value = (*value - median).abs());
    quantile::of(0.5, &mut values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Steps;
    use crate::windows::Placement;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sorted_window_is_the_sorted_values(
            values in proptest::collection::vec(prop_oneof![Just(f64::NAN), -5.0f64..5.0, Just(1.0)], 1..80),
            step in 1i64..20, range in 1i64..40, n in 1usize..40,
        ) {
            let times: Vec<i64> = (0..values.len()).map(|at| i64::try_from(at).unwrap() * 3).collect();
            let column = Column::new(&times, &values);
            let placement = Placement { steps: Steps { start: 0, step, n }, range, offset: 0, at: None };
            let mut borders = Vec::new();
            placement.borders(&times, &mut borders);
            let windows = Windows::new(placement, &borders);
            let mut out = vec![0.0; n];
            fill_quantiles(&vec![0.7; n], column, windows, &mut out, &mut |_| Ok(())).unwrap();
            for (window, got) in windows.iter().zip(&out) {
                let mut inside = values[window.lo..window.hi].to_vec();
                let want = if inside.is_empty() { ABSENT } else { quantile::of(0.7, &mut inside) };
                prop_assert!(got.to_bits() == want.to_bits() || (got.is_nan() && want.is_nan()), "{} {}", got, want);
            }
        }

        #[test]
        fn incremental_sums_and_variances_agree_with_plain_ones(
            values in proptest::collection::vec(-1e6f64..1e6, 1..200),
            step in 1i64..5, range in 20i64..200, n in 20usize..80,
        ) {
            let times: Vec<i64> = (0..values.len()).map(|at| i64::try_from(at).unwrap()).collect();
            let column = Column::new(&times, &values);
            let placement = Placement { steps: Steps { start: 0, step, n }, range, offset: 0, at: None };
            let mut borders = Vec::new();
            placement.borders(&times, &mut borders);
            let windows = Windows::new(placement, &borders);
            let (mut sums, mut variances) = (vec![0.0; n], vec![0.0; n]);
            windows::fold_incrementally(column, windows, &mut sums, |sum: Sum, _| sum.total());
            windows::fold_incrementally(column, windows, &mut variances, |v: Variance, _| v.value());
            for window in windows.iter() {
                if window.len() == 0 { continue; }
                let inside = &values[window.lo..window.hi];
                let (mut sum, mut variance) = (Sum::default(), Variance::default());
                for value in inside { sum.add(*value); variance.add(*value); }
                prop_assert!((sums[window.index] - sum.total()).abs() <= 1e-9);
                prop_assert!((variances[window.index] - variance.value()).abs() <= variance.value().abs() * 1e-12 + 1e-9);
            }
        }
    }
}
