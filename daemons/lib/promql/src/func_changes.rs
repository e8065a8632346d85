//! `changes` and `resets`: how often a value changed or fell.

use crate::func_range::{Borders, Fill, RangeFunction};
use crate::series::ABSENT;
use crate::windows::{Column, Window};

/// Whether going from one value to the next counts.
pub(crate) type Counts = fn(f64, f64) -> bool;

/// `changes(r)`
pub(crate) const CHANGES: RangeFunction = RangeFunction {
    fill: Fill::Windows(|_, column, windows, out| fill(is_change, column, windows, out)),
    borders: Borders::Counted(is_change),
    wants_counter: false,
    check_params: None,
};

/// `resets(r)`
pub(crate) const RESETS: RangeFunction = RangeFunction {
    fill: Fill::Windows(|_, column, windows, out| fill(is_reset, column, windows, out)),
    borders: Borders::Counted(is_reset),
    wants_counter: false,
    check_params: None,
};

fn is_change(before: f64, after: f64) -> bool {
    before != after && !(before.is_nan() && after.is_nan())
}

fn is_reset(before: f64, after: f64) -> bool {
    after < before
}

/// Fills in how many pairs count in each window, from prefix counts.
fn fill(counts: Counts, column: Column<'_>, windows: &[Window], out: &mut [f64]) {
    let mut counted = 0.0;
    let mut until: Vec<f64> = Vec::with_capacity(column.values.len());
    until.extend(column.values.first().map(|_| 0.0));
    for pair in column.values.windows(2) {
        if counts(pair[0], pair[1]) {
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

    #[test]
    fn counts_inside_of_the_window_only() {
        let values = [1.0, 2.0, f64::NAN, f64::NAN, 1.0];
        let column = Column { times: &[0, 1, 2, 3, 4], values: &values };
        let window = |lo, hi| Window { lo, hi, index: 0, start: 0, end: 0, time: 0 };
        for (lo, hi, changes, resets) in [(0, 5, 3.0, 0.0), (2, 4, 0.0, 0.0), (4, 5, 0.0, 0.0)] {
            let mut out = [0.0];
            fill(is_change, column, &[window(lo, hi)], &mut out);
            assert_eq!(out[0], changes);
            fill(is_reset, column, &[window(lo, hi)], &mut out);
            assert_eq!(out[0], resets);
        }
    }
}
