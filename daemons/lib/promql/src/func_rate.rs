//! `rate`, `increase`, `delta` (extrapolated to the window's borders) and `irate`, `idelta` (last two samples).

use crate::func_range::{Borders, Fill, RangeFunction, WithHistograms};
use crate::func_rate_fill::fill;
use crate::histogram_rate;
use crate::series::{ABSENT, seconds};
use crate::windows::{Column, Window};

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

/// A window with samples, and the growth in it.
#[inline]
pub(crate) fn covered(column: Column<'_>, window: &Window, zero_at: Option<i64>, growth: f64) -> Covered {
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
pub(crate) struct Extent {
    pub(crate) covered: f64,
    pub(crate) to_start: f64,
    to_end: f64,
}

impl Extent {
    /// As far as the series can be assumed to go on, whatever its values are.
    #[inline]
    pub(crate) fn of(samples: &Covered, window: &Window) -> Self {
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
    pub(crate) fn factor(&self) -> f64 {
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
