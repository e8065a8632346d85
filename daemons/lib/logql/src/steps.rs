//! The instants at which a metric query is answered.

use cairn_model::TimeNs;

/// Evenly spaced instants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Steps {
    /// The first one, nanoseconds.
    pub(crate) start: i64,
    /// Their distance, nanoseconds; positive.
    pub(crate) step: i64,
    /// How many.
    pub(crate) count: u32,
}

impl Steps {
    /// A single instant.
    pub(crate) fn instant(time: TimeNs) -> Self {
        Self { start: time.0, step: 1, count: 1 }
    }

    /// The multiples of `step` from below `start` to above `end`. `None` when `step` is not positive or there are more
    /// than 32 bits count.
    pub(crate) fn range(start: TimeNs, end: TimeNs, step: i64) -> Option<Self> {
        if step <= 0 {
            return None;
        }
        let first = start.0.div_euclid(step).checked_mul(step)?;
        let last = end.0.div_euclid(step) + i64::from(end.0.rem_euclid(step) > 0);
        let last = last.checked_mul(step)?.max(first);
        let count = u32::try_from(last.checked_sub(first)? / step).ok()?.checked_add(1)?;
        Some(Self { start: first, step, count })
    }

    /// The instant of a step.
    pub(crate) fn time(&self, index: u32) -> TimeNs {
        TimeNs(self.start + self.step * i64::from(index))
    }

    /// Which steps' windows `(T - range - offset, T - offset]` hold an entry of `time`: first and last.
    pub(crate) fn holding(&self, time: i64, range: i64, offset: i64) -> Option<(u32, u32)> {
        let moved = i128::from(time) + i128::from(offset) - i128::from(self.start);
        let step = i128::from(self.step);
        let first = (moved + step - 1).div_euclid(step).max(0);
        let last = (moved + i128::from(range) - 1).div_euclid(step).min(i128::from(self.count) - 1);
        if first > last {
            return None;
        }
        Some((u32::try_from(first).ok()?, u32::try_from(last).ok()?))
    }

    /// The entries that any window holds: first instant, and first instant behind.
    pub(crate) fn span(&self, range: i64, offset: i64) -> (TimeNs, TimeNs) {
        let first = self.start.saturating_sub(range).saturating_sub(offset).saturating_add(1);
        let last = self.time(self.count - 1).0.saturating_sub(offset).saturating_add(1);
        (TimeNs(first), TimeNs(last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn range_is_widened_to_multiples() {
        let steps = Steps::range(TimeNs(95), TimeNs(121), 10).unwrap();
        assert_eq!(steps, Steps { start: 90, step: 10, count: 5 });
        assert_eq!(Steps::range(TimeNs(90), TimeNs(90), 10).unwrap().count, 1);
        assert_eq!(Steps::range(TimeNs(90), TimeNs(90), 0), None);
    }

    proptest::proptest! {
        #[test]
        fn holding_agrees_with_the_definition(
            start in -50i64..50, step in 1i64..20, count in 1u32..20, time in -200i64..400, range in 1i64..60, offset in -30i64..30,
        ) {
            let steps = Steps { start, step, count };
            let inside: Vec<u32> = (0..count)
                .filter(|i| { let t = steps.time(*i).0; t - range - offset < time && time <= t - offset })
                .collect();
            let want = inside.first().copied().zip(inside.last().copied());
            proptest::prop_assert_eq!(steps.holding(time, range, offset), want);
            let (from, until) = steps.span(range, offset);
            proptest::prop_assert!(want.is_none() || (from.0 <= time && time < until.0));
        }
    }
}
