//! What start timestamps say about counters: a sample's start is when its counter was last known to be zero.

use crate::windows::{Column, Window};

impl<T> Column<'_, T> {
    /// Whether the counter was started anew between sample `at - 1` and sample `at`, by the start timestamp of the latter.
    pub(crate) fn is_restarted(&self, at: usize) -> bool {
        let (Some(&start), Some(before)) = (self.starts.get(at), at.checked_sub(1)) else { return false };
        let (previous, previous_start) = (self.times[before], self.starts[before]);
        if start == 0 || start >= self.times[at] {
            return false;
        }
        // Deltas start where the one before ended. A counter whose start nobody knows does so once: its first sample then
        // has no start, or itself as the start.
        let is_delta = start == previous && previous_start != 0 && previous_start < previous;
        start > previous || is_delta
    }

    /// When the counter of the window's first sample started, if that is inside of the window: there it was zero.
    pub(crate) fn start_inside(&self, window: &Window) -> Option<i64> {
        let start = self.starts.get(window.lo).copied().filter(|_| window.len() > 0)?;
        (start != 0 && start > window.start && start < self.times[window.lo]).then_some(start)
    }

    /// Whether a sample of the window claims to have started before the previous one was taken, though not where that one
    /// started.
    pub(crate) fn has_overlapping_starts(&self, window: &Window) -> bool {
        if self.starts.is_empty() {
            return false;
        }
        (window.lo + 1..window.hi).any(|at| {
            let start = self.starts[at];
            start != 0 && start < self.times[at - 1] && start != self.starts[at - 1]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restarted(samples: [(i64, i64); 2]) -> bool {
        let (times, starts) = (samples.map(|sample| sample.0), samples.map(|sample| sample.1));
        Column { times: &times, values: &[1.0, 1.0], starts: &starts }.is_restarted(1)
    }

    #[test]
    fn deltas_and_new_starts_are_resets() {
        assert!(restarted([(60, 0), (120, 90)]), "started in between");
        assert!(restarted([(60, 10), (120, 60)]), "a delta");
        assert!(!restarted([(60, 0), (120, 60)]), "a counter whose start is not known");
        assert!(!restarted([(60, 60), (120, 60)]), "the same, told otherwise");
        assert!(!restarted([(60, 10), (120, 10)]), "the same start");
        assert!(!restarted([(60, 60), (120, 120)]), "no length of time at all");
    }
}
