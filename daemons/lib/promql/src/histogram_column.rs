//! The native histograms of one series of a range vector, and what lies in the window of each step.

use std::cell::OnceCell;
use std::sync::Arc;

use cairn_model::FloatHistogram;

use crate::windows::{Column, Window, Windows};

/// Histograms with their windows; no windows when there are no histograms.
pub(crate) struct HistogramColumn<'s> {
    pub(crate) column: Column<'s, Arc<FloatHistogram>>,
    windows: Windows<'s>,
    /// For each histogram whether the counter was reset since the one before it; found when first asked for, since each
    /// pair lies in many windows.
    resets: OnceCell<Vec<bool>>,
}

/// The histograms in one window, at least one.
#[derive(Clone, Copy)]
pub(crate) struct HistogramWindow<'s> {
    /// Milliseconds.
    pub(crate) times: &'s [i64],
    pub(crate) values: &'s [Arc<FloatHistogram>],
    pub(crate) window: Window,
    all: &'s HistogramColumn<'s>,
}

impl<'s> HistogramColumn<'s> {
    pub(crate) fn new(column: Column<'s, Arc<FloatHistogram>>, windows: Windows<'s>) -> Self {
        Self { column, windows, resets: OnceCell::new() }
    }

    /// Whether there is no histogram at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// How many samples the histograms count as, up to each of them: the first `n` of them as the number at `n`. Each lies in
    /// many windows.
    pub(crate) fn sizes(&self) -> Vec<u64> {
        let mut total = 0;
        let sizes = self.column.values.iter().map(|one| {
            total += one.n_samples() as u64;
            total
        });
        std::iter::once(0).chain(sizes).collect()
    }

    /// The windows of all steps; none without histograms.
    pub(crate) fn windows(&self) -> Windows<'s> {
        self.windows
    }

    /// What lies in the window of a step.
    pub(crate) fn in_window(&'s self, index: usize) -> Option<HistogramWindow<'s>> {
        self.windows.get(index).filter(|window| window.len() > 0).map(|window| self.part(window))
    }

    /// What lies in any window.
    pub(crate) fn part(&'s self, window: Window) -> HistogramWindow<'s> {
        HistogramWindow {
            times: &self.column.times[window.lo..window.hi],
            values: &self.column.values[window.lo..window.hi],
            window,
            all: self,
        }
    }

    /// Whether the counter was reset between the histogram before `at` and that one.
    pub(crate) fn is_reset(&self, at: usize) -> bool {
        let resets = self.resets.get_or_init(|| {
            let values = self.column.values;
            let pair = |at: usize| at > 0 && is_reset(self.column, at, &values[at - 1], &values[at]);
            (0..values.len()).map(pair).collect()
        });
        resets[at]
    }
}

fn is_reset(
    column: Column<'_, Arc<FloatHistogram>>,
    at: usize,
    before: &FloatHistogram,
    now: &FloatHistogram,
) -> bool {
    column.is_restarted(at) || now.is_reset_since(before)
}

impl HistogramWindow<'_> {
    /// Whether the counter was reset between the histogram before number `at` of the window, which is not the first, and
    /// that one.
    pub(crate) fn is_reset(&self, at: usize) -> bool {
        self.all.is_reset(self.window.lo + at)
    }

    /// See [`Column::start_inside`].
    pub(crate) fn start_inside(&self) -> Option<i64> {
        self.all.column.start_inside(&self.window)
    }

    /// See [`Column::has_overlapping_starts`].
    pub(crate) fn has_overlapping_starts(&self) -> bool {
        self.all.column.has_overlapping_starts(&self.window)
    }
}
