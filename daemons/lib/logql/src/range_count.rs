//! Windows over counts and bytes: `count_over_time`, `rate`, `bytes_over_time`, `bytes_rate`, `absent_over_time`.
//!
//! An entry adds to a run of steps, from the first to the last whose window holds it. Only the two ends of the run
//! are noted; a sweep sums them up. So each entry costs O(1) whatever the window and the number of steps, entries may
//! come in any order, and whole numbers stay exact.

/// The changes of one series' window contents from step to step.
#[derive(Default)]
pub(crate) struct WindowCounts {
    /// Step, change of the number of entries, change of the amount.
    changes: Vec<(u32, i64, i64)>,
    /// Length at which equal steps are merged, so that memory follows the number of steps and not that of entries.
    merge_at: usize,
}

/// Shortest list that is worth merging.
const MERGE_FROM: usize = 256;

impl WindowCounts {
    /// Adds an entry of `amount` to the steps `first..=last`.
    pub(crate) fn add(&mut self, first: u32, last: u32, amount: i64) {
        self.change(first, 1, amount);
        self.change(last + 1, -1, -amount);
    }

    fn change(&mut self, step: u32, entries: i64, amount: i64) {
        // Starts and ends of runs alternate: look at the last two.
        let len = self.changes.len();
        if let Some(known) = self.changes[len.saturating_sub(2)..].iter_mut().find(|c| c.0 == step) {
            known.1 += entries;
            known.2 += amount;
            return;
        }
        self.changes.push((step, entries, amount));
        if self.changes.len() > self.merge_at.max(MERGE_FROM) {
            self.merge();
            self.merge_at = self.changes.len() * 2;
        }
    }

    fn merge(&mut self) {
        self.changes.sort_unstable_by_key(|c| c.0);
        self.changes.dedup_by(|next, kept| {
            let is_same = next.0 == kept.0;
            if is_same {
                kept.1 += next.1;
                kept.2 += next.2;
            }
            is_same
        });
    }

    /// Calls `on(step, entries, amount)` for every step with entries, ascending; `steps` is their number.
    pub(crate) fn sweep(mut self, steps: u32, mut on: impl FnMut(u32, i64, i64)) {
        self.merge();
        let (mut entries, mut amount) = (0, 0);
        for (at, change) in self.changes.iter().enumerate() {
            entries += change.1;
            amount += change.2;
            if entries > 0 {
                let until = self.changes.get(at + 1).map_or(steps, |next| next.0).min(steps);
                (change.0..until).for_each(|step| on(step, entries, amount));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn sweep_agrees_with_plain_sums(runs in proptest::collection::vec((0u32..40, 0u32..40, 0i64..9), 0..600)) {
            let mut counts = WindowCounts::default();
            let mut want = vec![(0i64, 0i64); 40];
            for (a, b, amount) in runs {
                let (first, last) = (a.min(b), a.max(b));
                counts.add(first, last, amount);
                for step in first..=last {
                    want[step as usize].0 += 1;
                    want[step as usize].1 += amount;
                }
            }
            let mut got = vec![(0, 0); 40];
            counts.sweep(40, |step, entries, amount| got[step as usize] = (entries, amount));
            proptest::prop_assert_eq!(got, want);
        }
    }
}
