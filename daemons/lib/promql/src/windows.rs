//! Windows over a column of samples: which samples lie in the window of each step.
//!
//! Both ends only move forward, so finding all windows costs one pass over the samples, and a [`Summary`] is kept
//! up to date as samples enter and leave: each sample is touched a constant number of times however long the
//! window is (two stacks: suffix summaries of the older part, one running summary of the newer).

use crate::series::{ABSENT, Steps};
use crate::window_runs::{self, Run, Runs};

/// Samples of one series and one kind, ascending by time, without staleness markers.
#[derive(Debug)]
pub(crate) struct Column<'a, T = f64> {
    /// Milliseconds.
    pub(crate) times: &'a [i64],
    pub(crate) values: &'a [T],
    /// Start timestamps, milliseconds, 0 where none is known; empty when they are unknown or not wanted.
    pub(crate) starts: &'a [i64],
}

// By hand: slices can be copied whatever they are of.
impl<T> Clone for Column<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Column<'_, T> {}

impl<'a, T> Column<'a, T> {
    /// Samples without start timestamps.
    pub(crate) fn new(times: &'a [i64], values: &'a [T]) -> Self {
        Self { times, values, starts: &[] }
    }

    /// The samples in a window.
    pub(crate) fn part(&self, window: &Window) -> Self {
        Self {
            times: &self.times[window.lo..window.hi],
            values: &self.values[window.lo..window.hi],
            starts: self.starts.get(window.lo..window.hi).unwrap_or(&[]),
        }
    }
}

/// What one step's window holds: samples `lo..hi`, those with `start < time <= end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) lo: usize,
    pub(crate) hi: usize,
    /// Which step.
    pub(crate) index: usize,
    /// Exclusive lower border, milliseconds.
    pub(crate) start: i64,
    /// Inclusive upper border, milliseconds.
    pub(crate) end: i64,
    /// The step's own time, milliseconds; differs from `end` under `offset` and `@`.
    pub(crate) time: i64,
}

/// A window's samples: from the first to behind the last, numbers in their column.
pub(crate) type Borders = (u32, u32);

/// The windows of all steps over one column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Windows<'s> {
    placement: Placement,
    /// One for each step, or none at all.
    borders: &'s [Borders],
    /// Whether no time is so far away that it could overflow.
    is_near: bool,
    /// Where their runs are kept, if anywhere.
    runs: Option<&'s Runs>,
}

impl<'s> Windows<'s> {
    pub(crate) fn new(placement: Placement, borders: &'s [Borders]) -> Self {
        let Placement { steps, range, offset, at } = placement;
        let is_small = |ms: i64| ms.unsigned_abs() < 1 << 60;
        let is_near = [steps.start, steps.end(), range, offset, at.unwrap_or(0)].into_iter().all(is_small);
        Self { placement, borders, is_near, runs: None }
    }

    /// The same, with a place for [`runs`](Self::runs). It belongs to these windows, and to their column's times.
    pub(crate) fn with_runs(self, runs: &'s Runs) -> Self {
        Self { runs: Some(runs), ..self }
    }

    /// The runs of windows that look alike, in order, all windows in one of them; none when there is no place for them, or
    /// most windows differ from the ones beside. `times` are the column's.
    pub(crate) fn runs(&self, times: &[i64]) -> &'s [Run] {
        match self.runs {
            Some(runs) if self.is_near => runs.get_or_init(|| window_runs::find(*self, times)),
            _ => &[],
        }
    }

    /// How many steps.
    pub(crate) fn len(&self) -> usize {
        self.borders.len()
    }

    /// Whether there is no step.
    pub(crate) fn is_empty(&self) -> bool {
        self.borders.is_empty()
    }

    /// The window of a step.
    pub(crate) fn get(&self, index: usize) -> Option<Window> {
        self.borders.get(index).map(|borders| self.window(index, *borders))
    }

    /// The window of a step that there is.
    pub(crate) fn at(&self, index: usize) -> Window {
        self.window(index, self.borders[index])
    }

    /// All of them, in order.
    pub(crate) fn iter(self) -> impl Iterator<Item = Window> + 's {
        self.borders.iter().enumerate().map(move |(index, borders)| self.window(index, *borders))
    }

    #[inline]
    fn window(&self, index: usize, (lo, hi): Borders) -> Window {
        let Placement { steps, range, offset, at } = self.placement;
        if self.is_near {
            #[expect(clippy::cast_possible_wrap, reason = "there are at most a million steps")]
            let time = steps.start.wrapping_add((index as i64).wrapping_mul(steps.step));
            let end = at.unwrap_or(time).wrapping_sub(offset);
            let start = end.wrapping_sub(range);
            return Window { lo: lo as usize, hi: hi as usize, index, start, end, time };
        }
        let end = self.placement.end(index);
        let start = end.saturating_sub(self.placement.range);
        let time = self.placement.steps.time(index);
        Window { lo: lo as usize, hi: hi as usize, index, start, end, time }
    }
}

impl Window {
    pub(crate) fn len(&self) -> usize {
        self.hi - self.lo
    }
}

/// How a selector places its windows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placement {
    pub(crate) steps: Steps,
    /// Length of the window, milliseconds.
    pub(crate) range: i64,
    /// How far back it is moved, milliseconds.
    pub(crate) offset: i64,
    /// The fixed time that `@` gives.
    pub(crate) at: Option<i64>,
}

impl Placement {
    /// Upper border of the window of step `index`.
    pub(crate) fn end(&self, index: usize) -> i64 {
        self.at.unwrap_or_else(|| self.steps.time(index)).saturating_sub(self.offset)
    }

    /// Writes which of `times` lie in the window of each step.
    pub(crate) fn borders(&self, times: &[i64], out: &mut Vec<Borders>) {
        out.clear();
        let (mut lo, mut hi) = (0, 0);
        for index in 0..self.steps.n {
            let end = self.end(index);
            let start = end.saturating_sub(self.range);
            if index == 0 {
                // The column may begin long before the first window.
                lo = times.partition_point(|time| *time <= start);
                hi = times.partition_point(|time| *time <= end);
            }
            while lo < times.len() && times[lo] <= start {
                lo += 1;
            }
            hi = hi.max(lo);
            while hi < times.len() && times[hi] <= end {
                hi += 1;
            }
            #[expect(clippy::cast_possible_truncation, reason = "no series has 2^32 samples in memory")]
            out.push((lo as u32, hi as u32));
        }
    }
}

/// What is known about a run of samples, so that two adjacent runs can be joined.
pub(crate) trait Summary: Copy {
    /// About one sample.
    fn of(time: i64, value: f64) -> Self;
    /// About this run followed by `later`.
    fn merge(self, later: Self) -> Self;
}

/// Windows overlap so little that going through each of them is as cheap as keeping summaries.
const PLAIN_FACTOR: usize = 4;

/// Writes `finish(summary, &window)` for every window with samples, [`ABSENT`] for the others.
pub(crate) fn fold<S: Summary>(
    column: Column<'_>,
    windows: Windows<'_>,
    out: &mut [f64],
    finish: impl Fn(S, &Window) -> f64,
) {
    if overlaps_little(column, windows) {
        fold_plainly(column, windows, out, finish);
    } else {
        fold_incrementally(column, windows, out, finish);
    }
}

/// Whether going through each window costs about as much as going through the samples once.
pub(crate) fn overlaps_little(column: Column<'_>, windows: Windows<'_>) -> bool {
    let touched: usize = windows.iter().map(|window| window.len()).sum();
    touched <= column.times.len().saturating_mul(PLAIN_FACTOR)
}

/// Goes through each window by itself: the oracle of [`fold_incrementally`].
pub(crate) fn fold_plainly<S: Summary>(
    column: Column<'_>,
    windows: Windows<'_>,
    out: &mut [f64],
    finish: impl Fn(S, &Window) -> f64,
) {
    for (window, out) in windows.iter().zip(out) {
        let run = (window.lo..window.hi)
            .map(|at| S::of(column.times[at], column.values[at]))
            .reduce(Summary::merge);
        *out = run.map_or(ABSENT, |summary| finish(summary, &window));
    }
}

/// Keeps suffix summaries of the older samples and one running summary of the newer ones.
pub(crate) fn fold_incrementally<S: Summary>(
    column: Column<'_>,
    windows: Windows<'_>,
    out: &mut [f64],
    finish: impl Fn(S, &Window) -> f64,
) {
    // suffixes[i] sums up samples base + i .. middle; newer sums up middle .. next.
    let mut suffixes: Vec<S> = Vec::new();
    let (mut base, mut middle, mut next) = (0usize, 0usize, 0usize);
    let mut newer: Option<S> = None;
    let sample = |at: usize| S::of(column.times[at], column.values[at]);
    for (window, out) in windows.iter().zip(out) {
        if window.lo >= middle {
            // The older part has left the window: everything inside becomes the older part.
            (base, middle, next) = (window.lo, window.hi, window.hi);
            newer = None;
            suffixes.clear();
            let mut run: Option<S> = None;
            for at in (base..middle).rev() {
                let joined = run.map_or_else(|| sample(at), |later| sample(at).merge(later));
                suffixes.push(joined);
                run = Some(joined);
            }
            suffixes.reverse();
        }
        while next < window.hi {
            newer = Some(newer.map_or_else(|| sample(next), |run| run.merge(sample(next))));
            next += 1;
        }
        let older = suffixes.get(window.lo - base).copied().filter(|_| window.lo < middle);
        *out = match (older, newer) {
            (Some(older), Some(newer)) => finish(older.merge(newer), &window),
            (Some(run), None) | (None, Some(run)) => finish(run, &window),
            (None, None) => ABSENT,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Copy, Debug)]
    struct Extremes(f64, f64, u64);

    impl Summary for Extremes {
        fn of(_: i64, value: f64) -> Self {
            Self(value, value, 1)
        }
        fn merge(self, later: Self) -> Self {
            Self(self.0.min(later.0), self.1.max(later.1), self.2 + later.2)
        }
    }

    proptest! {
        #[test]
        fn incremental_is_plain(
            gaps in proptest::collection::vec(1i64..40, 0..120),
            values in proptest::collection::vec(-100.0f64..100.0, 120),
            start in -50i64..300, step in 1i64..50, range in 1i64..400, n in 1usize..60,
        ) {
            let times: Vec<i64> = gaps.iter().scan(0, |at, gap| { *at += gap; Some(*at) }).collect();
            let column = Column::new(&times, &values[..times.len()]);
            let placement = Placement { steps: Steps { start, step, n }, range, offset: 0, at: None };
            let mut borders = Vec::new();
            placement.borders(&times, &mut borders);
            let windows = Windows::new(placement, &borders);
            for (index, window) in windows.iter().enumerate() {
                let end = start + step * i64::try_from(index).unwrap();
                let inside: Vec<i64> = times.iter().copied().filter(|t| *t > end - range && *t <= end).collect();
                prop_assert_eq!(&times[window.lo..window.hi], &inside[..]);
            }
            let finish = |s: Extremes, _: &Window| s.0 * 1000.0 + s.1 + f64::from(u32::try_from(s.2).unwrap());
            let (mut plain, mut incremental) = (vec![0.0; n], vec![0.0; n]);
            fold_plainly(column, windows, &mut plain, finish);
            fold_incrementally(column, windows, &mut incremental, finish);
            let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&plain), bits(&incremental));
        }
    }
}
