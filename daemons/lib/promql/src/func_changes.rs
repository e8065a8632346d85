//! `changes` and `resets`: how often a value changed or fell.

use cairn_model::FloatHistogram;

use crate::answer::Sample;
use crate::func_range::{Borders, Fill, MixedWindow, RangeFunction, WithHistograms};
use crate::histogram_column::HistogramWindow;
use crate::series::ABSENT;
use crate::windows::{Column, Windows};

/// What is counted: going from one sample to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counts {
    /// The value is another one.
    Changes,
    /// The counter fell, or was started anew.
    Resets,
}

/// `changes(r)`
pub(crate) const CHANGES: RangeFunction = RangeFunction {
    borders: Borders::Counted(Counts::Changes),
    ..RangeFunction::with_histograms(
        Fill::Windows(|_, column, windows, out| fill(Counts::Changes, column, windows, out)),
        WithHistograms::Both(|_, window, _| Some(Sample::Float(Counts::Changes.in_mixed(window)))),
    )
};

/// `resets(r)`
pub(crate) const RESETS: RangeFunction = RangeFunction {
    borders: Borders::Counted(Counts::Resets),
    ..RangeFunction::with_histograms(
        Fill::Windows(|_, column, windows, out| fill(Counts::Resets, column, windows, out)),
        WithHistograms::Both(|_, window, _| Some(Sample::Float(Counts::Resets.in_mixed(window)))),
    )
};

impl Counts {
    /// Whether number `at` of the column, which is not the first, counts.
    pub(crate) fn float(self, column: Column<'_>, at: usize) -> bool {
        let (before, after) = (column.values[at - 1], column.values[at]);
        match self {
            Self::Changes => before != after && !(before.is_nan() && after.is_nan()),
            Self::Resets => after < before || column.is_restarted(at),
        }
    }

    /// Whether a histogram counts that directly follows another one; `is_reset` knows more than the two.
    pub(crate) fn histogram(
        self,
        before: &FloatHistogram,
        after: &FloatHistogram,
        is_reset: impl FnOnce() -> bool,
    ) -> bool {
        match self {
            Self::Changes => !after.is_same(before),
            Self::Resets => is_reset(),
        }
    }

    /// How many samples of a window count. Going from numbers to histograms or back always does.
    fn in_mixed(self, window: &MixedWindow<'_>) -> f64 {
        self.in_windows(window.floats, window.histograms)
    }

    /// The same for the samples of two windows.
    pub(crate) fn in_windows(self, floats: Column<'_>, histograms: HistogramWindow<'_>) -> f64 {
        let (mut float, mut histogram) = (0, 0);
        let mut counted = 0.0;
        let mut was_histogram = None;
        while float < floats.times.len() || histogram < histograms.times.len() {
            let is_histogram = match (floats.times.get(float), histograms.times.get(histogram)) {
                (Some(float), Some(histogram)) => histogram < float,
                (float, _) => float.is_none(),
            };
            let counts = match was_histogram {
                None => false,
                Some(was_histogram) if was_histogram != is_histogram => true,
                Some(true) => {
                    let (before, after) = (&histograms.values[histogram - 1], &histograms.values[histogram]);
                    self.histogram(before, after, || histograms.is_reset(histogram))
                }
                Some(false) => self.float(floats, float),
            };
            if counts {
                counted += 1.0;
            }
            was_histogram = Some(is_histogram);
            if is_histogram { histogram += 1 } else { float += 1 }
        }
        counted
    }
}

/// Fills in how many pairs count in each window, from prefix counts.
fn fill(counts: Counts, column: Column<'_>, windows: Windows<'_>, out: &mut [f64]) {
    let mut counted = 0.0;
    let mut until: Vec<f64> = Vec::with_capacity(column.values.len());
    until.extend(column.values.first().map(|_| 0.0));
    for at in 1..column.values.len() {
        if counts.float(column, at) {
            counted += 1.0;
        }
        until.push(counted);
    }
    for (window, out) in windows.iter().zip(out) {
        *out = if window.len() == 0 { ABSENT } else { until[window.hi - 1] - until[window.lo] };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Steps;
    use crate::windows::Placement;

    #[test]
    fn counts_inside_of_the_window_only() {
        let values = [1.0, 2.0, f64::NAN, f64::NAN, 1.0];
        let column = Column::new(&[0, 1, 2, 3, 4], &values);
        let placement = Placement { steps: Steps::once(4), range: 5, offset: 0, at: None };
        for (lo, hi, changes, resets) in [(0, 5, 3.0, 0.0), (2, 4, 0.0, 0.0), (4, 5, 0.0, 0.0)] {
            let mut out = [0.0];
            fill(Counts::Changes, column, Windows::new(placement, &[(lo, hi)]), &mut out);
            assert_eq!(out[0], changes);
            fill(Counts::Resets, column, Windows::new(placement, &[(lo, hi)]), &mut out);
            assert_eq!(out[0], resets);
        }
    }
}
