//! `rate`, `increase`, `delta` (extrapolated to the window's borders) and `irate`, `idelta` (last two samples).

use crate::func_range::{Borders, Fill, RangeFunction, WithHistograms};
use crate::histogram_rate;
use crate::series::{ABSENT, seconds};
use crate::windows::{Column, Window, Windows};

/// What is made of the difference between a window's ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Difference {
    /// The plain difference, of a gauge.
    Delta,
    /// The growth of a counter over its resets.
    Increase,
    /// The growth per second.
    Rate,
}

/// `rate(r)`
pub(crate) const RATE: RangeFunction = extrapolated(
    Difference::Rate,
    Fill::Windows(|call, column, windows, out| {
        fill(Difference::Rate, call.range_seconds, column, windows, out);
    }),
);

/// `increase(r)`
pub(crate) const INCREASE: RangeFunction = extrapolated(
    Difference::Increase,
    Fill::Windows(|call, column, windows, out| {
        fill(Difference::Increase, call.range_seconds, column, windows, out);
    }),
);

/// `delta(r)`
pub(crate) const DELTA: RangeFunction = extrapolated(
    Difference::Delta,
    Fill::Windows(|call, column, windows, out| {
        fill(Difference::Delta, call.range_seconds, column, windows, out);
    }),
);

/// `irate(r)`
pub(crate) const IRATE: RangeFunction = RangeFunction {
    is_rate: true,
    histograms: WithHistograms::Both(|_, window, notes| histogram_rate::last_two(true, window, notes)),
    ..RangeFunction::plain(Fill::Ends(|column, window| {
        let is_restarted = window.len() > 1 && column.is_restarted(window.hi - 1);
        last_two(column, window, |before, last, seconds| {
            let growth = if last < before || is_restarted { last } else { last - before };
            growth / seconds
        })
    }))
};

/// `idelta(r)`
pub(crate) const IDELTA: RangeFunction = RangeFunction {
    histograms: WithHistograms::Both(|_, window, notes| histogram_rate::last_two(false, window, notes)),
    ..RangeFunction::plain(Fill::Ends(|column, window| {
        last_two(column, window, |before, last, _| last - before)
    }))
};

const fn extrapolated(difference: Difference, fill: Fill) -> RangeFunction {
    RangeFunction {
        fill,
        histograms: WithHistograms::Apart(match difference {
            Difference::Delta => {
                |call, window, notes| histogram_rate::extrapolated(Difference::Delta, call, window, notes)
            }
            Difference::Increase => {
                |call, window, notes| histogram_rate::extrapolated(Difference::Increase, call, window, notes)
            }
            Difference::Rate => {
                |call, window, notes| histogram_rate::extrapolated(Difference::Rate, call, window, notes)
            }
        }),
        is_rate: !matches!(difference, Difference::Delta),
        borders: Borders::Interpolated(difference),
        wants_counter: !matches!(difference, Difference::Delta),
        check_params: None,
    }
}

/// Up to this many counter resets in a window are added one by one, in the order of the samples, which gives
/// Prometheus's result to the last digit; beyond, prefix sums keep the cost of a window constant.
const FEW_RESETS: usize = 16;

/// A summand this many times larger than the result has rounded too much of it away.
const MAX_SHARE: f64 = (1 << 20) as f64;

/// Drops of a counter: where they are and what they took away.
struct Resets {
    /// Samples that are lower than the one before, ascending.
    at: Vec<usize>,
    /// Sum of the values before the first `i` drops.
    before: Vec<f64>,
}

impl Resets {
    fn of(column: Column<'_>) -> Self {
        let has_starts = !column.starts.is_empty();
        let mut resets = Self { at: Vec::new(), before: vec![0.0] };
        let mut sum = 0.0;
        for (index, pair) in column.values.windows(2).enumerate() {
            if pair[1] < pair[0] || (has_starts && column.is_restarted(index + 1)) {
                sum += pair[0];
                resets.at.push(index + 1);
                resets.before.push(sum);
            }
        }
        resets
    }

    /// Adds to `result` what drops inside the window took away.
    fn correct(&self, mut result: f64, window: &Window, values: &[f64], cursor: &mut usize) -> f64 {
        // A drop at the window's first sample happened outside.
        while self.at.get(*cursor).is_some_and(|at| *at <= window.lo) {
            *cursor += 1;
        }
        let inside = match self.at.get(*cursor) {
            Some(at) if *at < window.hi => self.at[*cursor..].partition_point(|at| *at < window.hi),
            // Nearly always.
            _ => return result,
        };
        if inside > FEW_RESETS {
            let until = self.before[*cursor + inside];
            let corrected = result + (until - self.before[*cursor]);
            let largest = until.abs().max(result.abs());
            if corrected.is_finite() && largest <= corrected.abs() * MAX_SHARE {
                return corrected;
            }
        }
        for at in &self.at[*cursor..*cursor + inside] {
            result += values[at - 1];
        }
        result
    }
}

/// Fills in `rate`, `increase` or `delta`; `range` is the window's length in seconds.
fn fill(difference: Difference, range: f64, column: Column<'_>, windows: Windows<'_>, out: &mut [f64]) {
    let is_counter = difference != Difference::Delta;
    let resets = if is_counter { Resets::of(column) } else { Resets::of(Column::new(&[], &[])) };
    let has_starts = is_counter && !column.starts.is_empty();
    let mut cursor = 0;
    let mut regular = Regular::default();
    for (window, out) in windows.iter().zip(out) {
        let window = &window;
        let zero_at = if has_starts { column.start_inside(window) } else { None };
        if window.len() < 2 && zero_at.is_none() {
            *out = ABSENT;
            continue;
        }
        let (first, last) = (window.lo, window.hi - 1);
        let mut result = column.values[last] - column.values[first];
        if is_counter {
            result = resets.correct(result, window, column.values, &mut cursor);
            if zero_at.is_some() {
                result += column.values[first];
            }
        }
        let samples = covered(column, window, zero_at, result);
        let per = if difference == Difference::Rate { range } else { 1.0 };
        let factor = match regular.factor(&samples, window, is_counter, per) {
            Some(factor) => factor,
            None => extrapolation(&samples, window, is_counter) / per,
        };
        *out = result * factor;
    }
}

/// The last factor that was worked out. It has six divisions in it, and most windows of a series differ from the one before in
/// their values only, which mostly do not matter for it.
#[derive(Default)]
struct Regular {
    /// Milliseconds from the window's start to its first sample, to its last one, to its end; samples in it.
    shape: Option<(i64, i64, i64, usize)>,
    /// Seconds between first and last sample, and how many of them it goes on before, if it was not zero by then.
    between: f64,
    to_start: f64,
    factor: f64,
}

impl Regular {
    /// The factor of [`extrapolation`], divided by `per`, where the values do not matter for it.
    #[inline]
    fn factor(&mut self, samples: &Covered, window: &Window, is_counter: bool, per: f64) -> Option<f64> {
        if samples.zero_at.is_some() {
            return None;
        }
        let to = |time: i64| time.wrapping_sub(window.start);
        let shape = Some((to(samples.first), to(samples.last), to(window.end), samples.n));
        if shape != self.shape {
            let unlimited = Extent::of(samples, window);
            self.shape = shape;
            self.between = unlimited.covered;
            self.to_start = unlimited.to_start;
            self.factor = unlimited.factor() / per;
        }
        if is_counter && samples.growth > 0.0 && samples.first_value >= 0.0 {
            // By rearranging, the counter was not zero since the window's start; not so near that rounding could matter.
            let (left, right) = (self.between * samples.first_value, self.to_start * samples.growth);
            if !(left > right * 1.000_001 && left > 1e-290) {
                return None;
            }
        }
        Some(self.factor)
    }
}

#[inline]
fn covered(column: Column<'_>, window: &Window, zero_at: Option<i64>, growth: f64) -> Covered {
    let (first, last) = (window.lo, window.hi - 1);
    Covered {
        first: column.times[first],
        last: column.times[last],
        n: window.len(),
        zero_at,
        first_value: column.values[first],
        growth,
    }
}

/// What the samples of a window cover, and what they make of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Covered {
    /// Times of the first and the last sample, milliseconds.
    pub(crate) first: i64,
    pub(crate) last: i64,
    /// How many samples, at least one.
    pub(crate) n: usize,
    /// When the counter started at zero, if that is in the window and known.
    pub(crate) zero_at: Option<i64>,
    /// Value, or count of a histogram, of the first sample.
    pub(crate) first_value: f64,
    /// Growth of the value or count.
    pub(crate) growth: f64,
}

/// How far a series goes on beyond the samples of a window, seconds.
struct Extent {
    covered: f64,
    to_start: f64,
    to_end: f64,
}

impl Extent {
    /// As far as the series can be assumed to go on, whatever its values are.
    #[inline]
    fn of(samples: &Covered, window: &Window) -> Self {
        let between = seconds(samples.last - samples.first);
        let covered = samples.zero_at.map_or(between, |zero| seconds(samples.last - zero));
        let mut to_end = seconds(window.end - samples.last);
        #[expect(clippy::cast_precision_loss, reason = "no window holds 2^53 samples")]
        let average = if samples.n > 1 { between / (samples.n - 1) as f64 } else { 0.0 };
        // A gap larger than this means that the series starts or ends inside the window.
        let limit = average * 1.1;
        let mut to_start = 0.0;
        if samples.zero_at.is_none() {
            to_start = seconds(samples.first - window.start);
            if to_start >= limit {
                to_start = average / 2.0;
            }
        }
        if to_end >= limit {
            to_end = average / 2.0;
        }
        Self { covered, to_start, to_end }
    }

    #[inline]
    fn factor(&self) -> f64 {
        (self.covered + self.to_start + self.to_end) / self.covered
    }
}

/// How much longer the window is than what the samples cover, as far as the series can be assumed to go on.
#[inline]
pub(crate) fn extrapolation(samples: &Covered, window: &Window, is_counter: bool) -> f64 {
    let mut extent = Extent::of(samples, window);
    if samples.zero_at.is_none() && is_counter && samples.growth > 0.0 && samples.first_value >= 0.0 {
        // A counter cannot have been below zero.
        let to_zero = extent.covered * (samples.first_value / samples.growth);
        if to_zero < extent.to_start {
            extent.to_start = to_zero;
        }
    }
    extent.factor()
}

/// What `f` makes of the last two values and the seconds between them; nothing for fewer than two, or for two at once.
fn last_two(column: Column<'_>, window: &Window, f: impl Fn(f64, f64, f64) -> f64) -> f64 {
    if window.len() < 2 {
        return ABSENT;
    }
    let (before, last) = (window.hi - 2, window.hi - 1);
    let distance = column.times[last] - column.times[before];
    if distance == 0 {
        return ABSENT;
    }
    f(column.values[before], column.values[last], seconds(distance))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Steps;
    use crate::windows::Placement;
    use proptest::prelude::*;

    /// The definition, window by window: the oracle.
    fn plain(difference: Difference, range: f64, column: Column<'_>, window: &Window) -> f64 {
        if window.len() < 2 {
            return ABSENT;
        }
        let values = &column.values[window.lo..window.hi];
        let mut result = values[values.len() - 1] - values[0];
        if difference != Difference::Delta {
            for pair in values.windows(2) {
                if pair[1] < pair[0] {
                    result += pair[0];
                }
            }
        }
        let is_counter = difference != Difference::Delta;
        let factor = extrapolation(&covered(column, window, None, result), window, is_counter);
        result * if difference == Difference::Rate { factor / range } else { factor }
    }

    #[test]
    fn far_values_before_a_window_do_not_matter_in_it() {
        for far in [1e300, f64::INFINITY, 1.7e308] {
            let values: Vec<f64> =
                [far, 0.0, far].into_iter().chain((0..200).map(|at| f64::from(at % 2 * 5))).collect();
            let times: Vec<i64> = (0..203).map(|at| at * 1000).collect();
            let column = Column::new(&times, &values);
            let placement = Placement {
                steps: Steps { start: 0, step: 1000, n: 210 },
                range: 60_000,
                offset: 0,
                at: None,
            };
            let mut borders = Vec::new();
            placement.borders(&times, &mut borders);
            let windows = Windows::new(placement, &borders);
            let mut out = vec![0.0; 210];
            fill(Difference::Increase, 60.0, column, windows, &mut out);
            for (window, got) in windows.iter().zip(&out) {
                let want = plain(Difference::Increase, 60.0, column, &window);
                let is_same = got.to_bits() == want.to_bits() || (got.is_nan() && want.is_nan());
                assert!(is_same, "at {}: {got} for {want}", window.end);
            }
        }
    }

    proptest! {
        #[test]
        fn incremental_is_plain(
            gaps in proptest::collection::vec(1i64..30_000, 0..150),
            values in proptest::collection::vec(0u32..50, 150),
            start in 0i64..1_000_000, step in 1i64..60_000, range in 1i64..600_000, n in 1usize..40,
        ) {
            let times: Vec<i64> = gaps.iter().scan(0, |at, gap| { *at += gap; Some(*at) }).collect();
            let values: Vec<f64> = values[..times.len()].iter().map(|v| f64::from(*v)).collect();
            let column = Column::new(&times, &values);
            let placement = Placement { steps: Steps { start, step, n }, range, offset: 0, at: None };
            let mut borders = Vec::new();
            placement.borders(&times, &mut borders);
            let windows = Windows::new(placement, &borders);
            for difference in [Difference::Rate, Difference::Increase, Difference::Delta] {
                let mut out = vec![0.0; n];
                fill(difference, seconds(range), column, windows, &mut out);
                for (window, got) in windows.iter().zip(&out) {
                    let want = plain(difference, seconds(range), column, &window);
                    prop_assert_eq!(got.to_bits(), want.to_bits(), "{:?} at {}: {} for {}", difference, window.end, got, want);
                }
            }
        }
    }
}
