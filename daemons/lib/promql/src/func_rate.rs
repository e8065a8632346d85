//! `rate`, `increase`, `delta` (extrapolated to the window's borders) and `irate`, `idelta` (last two samples).

use crate::series::{ABSENT, seconds};
use crate::windows::{Column, Window};

/// Up to this many counter resets in a window are added one by one, in the order of the samples, which gives
/// Prometheus's result to the last digit; beyond, prefix sums keep the cost of a window constant.
const FEW_RESETS: usize = 16;

/// Drops of a counter: where they are and what they took away.
struct Resets {
    /// Samples that are lower than the one before, ascending.
    at: Vec<usize>,
    /// Sum of the values before the first `i` drops.
    before: Vec<f64>,
}

impl Resets {
    fn of(values: &[f64]) -> Self {
        let mut resets = Self { at: Vec::new(), before: vec![0.0] };
        let mut sum = 0.0;
        for (index, pair) in values.windows(2).enumerate() {
            if pair[1] < pair[0] {
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
        let inside = self.at[*cursor..].partition_point(|at| *at < window.hi);
        if inside <= FEW_RESETS {
            for at in &self.at[*cursor..*cursor + inside] {
                result += values[at - 1];
            }
            return result;
        }
        result + (self.before[*cursor + inside] - self.before[*cursor])
    }
}

/// Fills in `rate`, `increase` or `delta`; `range` is the window's length in seconds.
pub(crate) fn fill(name: &str, range: f64, column: Column<'_>, windows: &[Window], out: &mut [f64]) {
    let is_counter = name != "delta";
    let resets = if is_counter { Resets::of(column.values) } else { Resets::of(&[]) };
    let mut cursor = 0;
    for (window, out) in windows.iter().zip(out) {
        if window.len() < 2 {
            *out = ABSENT;
            continue;
        }
        let (first, last) = (window.lo, window.hi - 1);
        let mut result = column.values[last] - column.values[first];
        if is_counter {
            result = resets.correct(result, window, column.values, &mut cursor);
        }
        let factor = extrapolation(column, window, result, is_counter);
        *out = result * if name == "rate" { factor / range } else { factor };
    }
}

/// How much longer the window is than what the samples cover, as far as the series can be assumed to go on.
fn extrapolation(column: Column<'_>, window: &Window, result: f64, is_counter: bool) -> f64 {
    let (first, last) = (window.lo, window.hi - 1);
    let covered = seconds(column.times[last] - column.times[first]);
    let mut to_start = seconds(column.times[first] - window.start);
    let mut to_end = seconds(window.end - column.times[last]);
    #[expect(clippy::cast_precision_loss, reason = "no window holds 2^53 samples")]
    let average = covered / (last - first) as f64;
    // A gap larger than this means that the series starts or ends inside the window.
    let limit = average * 1.1;
    if to_start >= limit {
        to_start = average / 2.0;
    }
    if is_counter && result > 0.0 && column.values[first] >= 0.0 {
        // A counter cannot have been below zero.
        let to_zero = covered * (column.values[first] / result);
        if to_zero < to_start {
            to_start = to_zero;
        }
    }
    if to_end >= limit {
        to_end = average / 2.0;
    }
    (covered + to_start + to_end) / covered
}

/// Fills in `irate` or `idelta`.
pub(crate) fn fill_instant(is_rate: bool, column: Column<'_>, windows: &[Window], out: &mut [f64]) {
    for (window, out) in windows.iter().zip(out) {
        *out = ABSENT;
        if window.len() < 2 {
            continue;
        }
        let (before, last) = (window.hi - 2, window.hi - 1);
        let distance = column.times[last] - column.times[before];
        if distance == 0 {
            continue;
        }
        let (before, last) = (column.values[before], column.values[last]);
        let difference = if is_rate && last < before { last } else { last - before };
        *out = if is_rate { difference / seconds(distance) } else { difference };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Steps;
    use crate::windows::Placement;
    use proptest::prelude::*;

    /// The definition, window by window: the oracle.
    fn plain(name: &str, range: f64, column: Column<'_>, window: &Window) -> f64 {
        if window.len() < 2 {
            return ABSENT;
        }
        let values = &column.values[window.lo..window.hi];
        let mut result = values[values.len() - 1] - values[0];
        if name != "delta" {
            for pair in values.windows(2) {
                if pair[1] < pair[0] {
                    result += pair[0];
                }
            }
        }
        let factor = extrapolation(column, window, result, name != "delta");
        result * if name == "rate" { factor / range } else { factor }
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
            let column = Column { times: &times, values: &values };
            let placement = Placement { steps: Steps { start, step, n }, range, offset: 0, at: None };
            let mut windows = Vec::new();
            placement.windows(&times, &mut windows);
            for name in ["rate", "increase", "delta"] {
                let mut out = vec![0.0; n];
                fill(name, seconds(range), column, &windows, &mut out);
                for (window, got) in windows.iter().zip(&out) {
                    let want = plain(name, seconds(range), column, window);
                    prop_assert_eq!(got.to_bits(), want.to_bits(), "{} at {}: {} for {}", name, window.end, got, want);
                }
            }
        }
    }
}
