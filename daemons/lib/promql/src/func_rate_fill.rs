//! Fills in the windows of `rate`, `increase` and `delta`: in constant time each, and most of them several at once.

use std::ops::RangeInclusive;

use crate::func_rate::{Covered, Difference, Extent, covered, extrapolation};
use crate::series::ABSENT;
use crate::window_runs::Run;
use crate::windows::{Column, Window, Windows};

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
        let (earlier, later) = (column.values, column.values.get(1..).unwrap_or(&[]));
        for (number, (before, after)) in earlier.chunks(TOGETHER).zip(later.chunks(TOGETHER)).enumerate() {
            // Mostly there is none, and looking at some values at a time is done several values at once.
            let has_drop =
                before.iter().zip(after).fold(false, |any, (before, after)| any | (after < before));
            if !has_drop && !has_starts {
                continue;
            }
            for (at, (before, after)) in (number * TOGETHER + 1..).zip(before.iter().zip(after)) {
                if after < before || (has_starts && column.is_restarted(at)) {
                    sum += before;
                    resets.at.push(at);
                    resets.before.push(sum);
                }
            }
        }
        resets
    }

    /// Whether there is a drop between the first and the last of these samples.
    fn are_in(&self, samples: &RangeInclusive<usize>) -> bool {
        let behind = self.at.partition_point(|at| at <= samples.start());
        self.at.get(behind).is_some_and(|at| at <= samples.end())
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
pub(crate) fn fill(
    difference: Difference,
    range: f64,
    column: Column<'_>,
    windows: Windows<'_>,
    out: &mut [f64],
) {
    let is_counter = difference != Difference::Delta;
    let resets = if is_counter { Resets::of(column) } else { Resets::of(Column::new(&[], &[])) };
    let has_starts = is_counter && !column.starts.is_empty();
    let per = if difference == Difference::Rate { range } else { 1.0 };
    let mut filler =
        Filler { is_counter, has_starts, per, column, resets, cursor: 0, regular: Regular::default() };
    let runs = if has_starts { &[][..] } else { windows.runs(column.times) };
    if runs.is_empty() {
        filler.one_by_one(windows, 0, out);
    }
    for run in runs {
        let out = &mut out[run.first..run.first + run.n];
        if run.n < MIN_RUN {
            filler.one_by_one(windows, run.first, out)
        } else {
            filler.run(windows, *run, out)
        }
    }
}

/// Windows of a run that are filled in together: their values stay in the nearest cache.
const TOGETHER: usize = 64;

/// Shorter runs are filled in one by one.
const MIN_RUN: usize = 8;

struct Filler<'c> {
    is_counter: bool,
    has_starts: bool,
    /// What the growth is divided by.
    per: f64,
    column: Column<'c>,
    resets: Resets,
    cursor: usize,
    regular: Regular,
}

impl Filler<'_> {
    /// The windows from step `first` on, as many as `out` has places.
    fn one_by_one(&mut self, windows: Windows<'_>, first: usize, out: &mut [f64]) {
        let column = self.column;
        for (index, out) in (first..).zip(out) {
            let window = &windows.at(index);
            let zero_at = if self.has_starts { column.start_inside(window) } else { None };
            if window.len() < 2 && zero_at.is_none() {
                *out = ABSENT;
                continue;
            }
            let (first, last) = (window.lo, window.hi - 1);
            let mut result = column.values[last] - column.values[first];
            if self.is_counter {
                result = self.resets.correct(result, window, column.values, &mut self.cursor);
                if zero_at.is_some() {
                    result += column.values[first];
                }
            }
            let samples = covered(column, window, zero_at, result);
            let factor = match self.regular.factor(&samples, window, self.is_counter, self.per) {
                Some(factor) => factor,
                None => extrapolation(&samples, window, self.is_counter) / self.per,
            };
            *out = result * factor;
        }
    }

    /// The windows of a run, which have one factor, some at a time and several values at once; one by one where a counter
    /// was reset or comes from near zero. `out` has a place for each. There are no start timestamps.
    fn run(&mut self, windows: Windows<'_>, run: Run, out: &mut [f64]) {
        let first = windows.at(run.first);
        if first.len() < 2 {
            out.fill(ABSENT);
            return;
        }
        self.regular.look_at(&covered(self.column, &first, None, 0.0), &first, self.per);
        let (values, stride) = (self.column.values, run.stride);
        let (mut firsts, mut lasts) = ([0.0; TOGETHER], [0.0; TOGETHER]);
        for (number, out) in out.chunks_mut(TOGETHER).enumerate() {
            let (n, behind) = (out.len(), number * TOGETHER);
            let (lo, last) = (first.lo + behind * stride, first.hi - 1 + behind * stride);
            let (firsts, lasts) = if stride == 1 {
                (&values[lo..lo + n], &values[last..last + n])
            } else {
                for at in 0..n {
                    firsts[at] = values[lo + at * stride];
                    lasts[at] = values[last + at * stride];
                }
                (&firsts[..n], &lasts[..n])
            };
            let samples = lo..=last + (n - 1) * stride;
            let is_plain = !self.is_counter
                || !(self.resets.are_in(&samples) || self.regular.is_limited_in(firsts, lasts));
            if is_plain {
                for ((out, first), last) in out.iter_mut().zip(firsts).zip(lasts) {
                    *out = (last - first) * self.regular.factor;
                }
            } else {
                self.one_by_one(windows, run.first + behind, out);
            }
        }
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
        self.look_at(samples, window, per);
        let is_limited = is_counter && self.is_limited(samples.first_value, samples.growth);
        (!is_limited).then_some(self.factor)
    }

    /// Works the factor out for windows of this shape.
    #[inline]
    fn look_at(&mut self, samples: &Covered, window: &Window, per: f64) {
        let to = |time: i64| time.wrapping_sub(window.start);
        let shape = Some((to(samples.first), to(samples.last), to(window.end), samples.n));
        if shape != self.shape {
            let unlimited = Extent::of(samples, window);
            self.shape = shape;
            self.between = unlimited.covered;
            self.to_start = unlimited.to_start;
            self.factor = unlimited.factor() / per;
        }
    }

    /// Whether a counter may have been zero since the window's start, or so near that rounding could matter: then it is not
    /// known by itself how far it goes on.
    #[inline]
    fn is_limited(&self, first: f64, growth: f64) -> bool {
        // By rearranging the comparison in `extrapolation`.
        let (left, right) = (self.between * first, self.to_start * growth);
        (growth > 0.0) & (first >= 0.0) & !((left > right * 1.000_001) & (left > 1e-290))
    }

    /// Whether that is so in any of some windows, by their first and last values.
    fn is_limited_in(&self, firsts: &[f64], lasts: &[f64]) -> bool {
        firsts.iter().zip(lasts).fold(false, |any, (first, last)| any | self.is_limited(*first, last - first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::{Steps, is_absent, seconds};
    use crate::window_runs::Runs;
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
        fn runs_are_filled_in_as_their_windows_are(
            gaps in proptest::collection::vec(prop_oneof![60 => Just(15_000i64), 1 => Just(30_000), 1 => 15_001i64..90_000], 100..400),
            values in proptest::collection::vec(
                prop_oneof![90 => 0f64..9.0, 1 => Just(f64::NAN), 1 => Just(f64::INFINITY), 1 => Just(-1e300), 3 => Just(1e15)], 400),
            drops in 0u32..3, origin in prop_oneof![Just(0.0), Just(1e6), Just(-40.0)],
            start in 0i64..900_000, step in prop_oneof![Just(15_000i64), Just(60_000), 10_000i64..40_000],
            range in prop_oneof![Just(300_000i64), 1i64..600_000], n in 1usize..300,
        ) {
            let times: Vec<i64> = gaps.iter().scan(0, |at, gap| { *at += gap; Some(*at) }).collect();
            // A counter that is seldom reset, sometimes not even that, or a gauge.
            let counter = |sum: &mut f64, value: &f64| {
                *sum = if drops == 1 && *value > 8.8 { origin } else { *sum + value };
                Some(if drops == 2 { *value } else { *sum })
            };
            let values: Vec<f64> = values[..times.len()].iter().scan(origin, counter).collect();
            let column = Column::new(&times, &values);
            let placement = Placement { steps: Steps { start, step, n }, range, offset: 0, at: None };
            let mut borders = Vec::new();
            placement.borders(&times, &mut borders);
            let (windows, runs) = (Windows::new(placement, &borders), Runs::new());
            for difference in [Difference::Rate, Difference::Increase, Difference::Delta] {
                let (mut one_by_one, mut in_runs) = (vec![0.0; n], vec![0.0; n]);
                fill(difference, seconds(range), column, windows, &mut one_by_one);
                fill(difference, seconds(range), column, windows.with_runs(&runs), &mut in_runs);
                for (got, want) in in_runs.iter().zip(&one_by_one) {
                    prop_assert_eq!(got.is_nan(), want.is_nan());
                    prop_assert_eq!(is_absent(*got), is_absent(*want));
                    prop_assert!(got.is_nan() || got.to_bits() == want.to_bits(), "{} for {}", got, want);
                }
            }
        }

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
