//! Where a column has NaN and infinities. What a window with one of them comes to needs no look at its other values, and must not:
//! a single NaN in a long window would otherwise have it gone through again at each step.

use crate::windows::Window;

/// How many values of each kind come before each sample; empty when there are none at all.
#[derive(Debug, Default)]
pub(crate) struct NonFinite(Vec<[u32; 3]>);

const NAN: usize = 0;
const ABOVE: usize = 1;
const BELOW: usize = 2;

impl NonFinite {
    pub(crate) fn of(values: &[f64]) -> Self {
        if values.iter().all(|value| value.is_finite()) {
            return Self::default();
        }
        let mut counts = Vec::with_capacity(values.len() + 1);
        let mut count = [0; 3];
        counts.push(count);
        for value in values {
            if value.is_nan() {
                count[NAN] += 1;
            } else if value.is_infinite() {
                count[if *value > 0.0 { ABOVE } else { BELOW }] += 1;
            }
            counts.push(count);
        }
        Self(counts)
    }

    /// Whether a window has any.
    pub(crate) fn is_in(&self, window: &Window) -> bool {
        self.sum(window).is_some()
    }

    /// What the values of a window add up to, if one of them is not finite.
    pub(crate) fn sum(&self, window: &Window) -> Option<f64> {
        let (before, until) = (self.0.get(window.lo)?, self.0.get(window.hi)?);
        let has = |kind: usize| until[kind] > before[kind];
        match (has(NAN), has(ABOVE), has(BELOW)) {
            (false, false, false) => None,
            (false, true, false) => Some(f64::INFINITY),
            (false, false, true) => Some(f64::NEG_INFINITY),
            _ => Some(f64::NAN),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_adding() {
        let kinds = [1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
        // Every column of five values.
        for code in 0..4usize.pow(5) {
            let values: Vec<f64> = (0..5).map(|at| kinds[code / 4usize.pow(at) % 4]).collect();
            let known = NonFinite::of(&values);
            for (lo, hi) in [(0, 5), (1, 3), (2, 2), (4, 5)] {
                let window = Window { lo, hi, index: 0, start: 0, end: 0, time: 0 };
                let want: f64 = values[lo..hi].iter().sum();
                match known.sum(&window) {
                    None => assert!(want.is_finite(), "{values:?}"),
                    Some(sum) => assert!(sum == want || (sum.is_nan() && want.is_nan()), "{values:?}: {sum}"),
                }
                assert_eq!(known.is_in(&window), !want.is_finite());
            }
        }
    }
}
