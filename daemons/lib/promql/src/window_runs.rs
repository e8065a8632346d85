//! Runs of windows that look alike. A target is scraped at fixed intervals, so that the windows of a series mostly differ in
//! their values only: each lies some samples further on than the one before, and has as many at the same distances.

use std::cell::OnceCell;

use crate::windows::{Window, Windows};

/// Adjacent windows of one shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Step of the first one.
    pub(crate) first: usize,
    /// How many.
    pub(crate) n: usize,
    /// How many samples each lies behind the one before.
    pub(crate) stride: usize,
}

/// The runs over one column of times: found when first asked for, and the same for all series with these times.
pub(crate) type Runs = OnceCell<Vec<Run>>;

/// Runs that are shorter than this on average are not worth the name.
const MIN_MEAN: usize = 4;

/// So many runs are looked at before the average counts: where a series begins, each window has one sample more than the one
/// before, and each side of a gap is like that.
const MIN_TRIED: usize = 64;

/// What has to be the same: how many samples, and milliseconds from the window's start to the first and the last of them.
#[derive(PartialEq, Eq)]
struct Shape(usize, i64, i64);

impl Shape {
    fn of(window: &Window, times: &[i64]) -> Self {
        if window.len() == 0 {
            return Self(0, 0, 0);
        }
        let to = |at: usize| times[at].wrapping_sub(window.start);
        Self(window.len(), to(window.lo), to(window.hi - 1))
    }
}

/// Divides all windows into runs, in order; none at all when most windows differ from the ones beside.
pub(crate) fn find(windows: Windows<'_>, times: &[i64]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut before: Option<(Window, Shape)> = None;
    for window in windows.iter() {
        let shape = Shape::of(&window, times);
        let stride = match &before {
            Some((last, same)) if *same == shape => Some(window.lo - last.lo),
            _ => None,
        };
        match (runs.last_mut(), stride) {
            (Some(run), Some(stride)) if run.n == 1 || run.stride == stride => {
                run.stride = stride;
                run.n += 1;
            }
            _ => {
                if runs.len() > MIN_TRIED && window.index < runs.len() * MIN_MEAN {
                    return Vec::new();
                }
                runs.push(Run { first: window.index, n: 1, stride: 0 });
            }
        }
        before = Some((window, shape));
    }
    if windows.len() < runs.len() * MIN_MEAN { Vec::new() } else { runs }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Steps;
    use crate::windows::Placement;
    use proptest::prelude::*;

    fn placed(
        times: &[i64],
        start: i64,
        step: i64,
        range: i64,
        n: usize,
        check: impl Fn(Windows<'_>, &[Run]),
    ) {
        let placement = Placement { steps: Steps { start, step, n }, range, offset: 0, at: None };
        let mut borders = Vec::new();
        placement.borders(times, &mut borders);
        let windows = Windows::new(placement, &borders);
        check(windows, &find(windows, times));
    }

    #[test]
    fn regular_samples_make_long_runs_and_others_none() {
        let regular: Vec<i64> = (0..400).map(|at| at * 15_000 + 7).collect();
        let mut gap = regular.clone();
        gap.drain(200..220);
        placed(&regular, 600_000, 15_000, 300_000, 300, |_, runs| {
            assert_eq!(runs, [Run { first: 0, n: 300, stride: 1 }]);
        });
        placed(&regular, 600_000, 60_000, 300_000, 80, |_, runs| {
            assert_eq!(runs, [Run { first: 0, n: 80, stride: 4 }]);
        });
        placed(&regular, 0, 15_000, 600_000, 300, |_, runs| {
            assert_eq!(runs[runs.len() - 1], Run { first: 40, n: 260, stride: 1 });
        });
        placed(&gap, 600_000, 15_000, 300_000, 300, |_, runs| {
            assert_eq!((runs[0].n, runs.iter().map(|run| run.n).sum::<usize>()), (161, 300));
        });
        let jittery: Vec<i64> = (0..400).map(|at| at * 15_000 + at * at % 31).collect();
        placed(&jittery, 600_000, 15_000, 300_000, 300, |_, runs| assert_eq!(runs, []));
    }

    proptest! {
        #[test]
        fn runs_are_all_windows_once_and_each_has_one_shape(
            gaps in proptest::collection::vec(prop_oneof![20 => Just(10i64), 1 => 11i64..60], 0..150),
            start in -50i64..300, step in prop_oneof![Just(10i64), Just(20), 1i64..50], range in 1i64..400, n in 1usize..90,
        ) {
            let times: Vec<i64> = gaps.iter().scan(0, |at, gap| { *at += gap; Some(*at) }).collect();
            placed(&times, start, step, range, n, |windows, runs| {
                let mut next = 0;
                for run in runs {
                    assert_eq!(run.first, next);
                    next += run.n;
                    let first = windows.at(run.first);
                    for behind in 0..run.n {
                        let window = windows.at(run.first + behind);
                        assert!(Shape::of(&window, &times) == Shape::of(&first, &times));
                        assert_eq!(window.lo, first.lo + behind * run.stride);
                    }
                }
                assert!(runs.is_empty() || next == n);
            });
        }
    }
}
