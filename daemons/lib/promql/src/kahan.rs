//! Sums that keep what plain addition would round away (Neumaier's variant of Kahan's summation), in the order of
//! operations that Prometheus uses, so that results agree to the last digit.

use crate::series::{ABSENT, is_absent};

/// A running sum: the total is `sum + compensation`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sum {
    pub(crate) sum: f64,
    pub(crate) compensation: f64,
}

impl Sum {
    /// Starts with one value.
    pub(crate) fn of(value: f64) -> Self {
        Self { sum: value, compensation: 0.0 }
    }

    /// Adds one value.
    pub(crate) fn add(&mut self, value: f64) {
        let total = self.sum + value;
        if total.is_infinite() {
            self.compensation = 0.0;
        } else if self.sum.abs() >= value.abs() {
            self.compensation += (self.sum - total) + value;
        } else {
            self.compensation += (value - total) + self.sum;
        }
        self.sum = total;
    }

    /// Adds another running sum.
    pub(crate) fn merge(mut self, later: Self) -> Self {
        self.add(later.sum);
        if self.sum.is_finite() {
            self.compensation += later.compensation;
        }
        self
    }

    /// The total.
    pub(crate) fn total(self) -> f64 {
        if self.sum.is_infinite() { self.sum } else { self.sum + self.compensation }
    }
}

/// Running sums side by side, one for each step.
#[derive(Clone, Debug)]
pub(crate) struct Sums {
    /// [`ABSENT`] where nothing was added.
    sums: Vec<f64>,
    compensations: Vec<f64>,
}

impl Sums {
    /// For `n` steps.
    pub(crate) fn new(n: usize) -> Self {
        Self { sums: vec![ABSENT; n], compensations: vec![0.0; n] }
    }

    /// Adds one value to each sum, as [`Sum::add`] does, where there is one.
    pub(crate) fn add(&mut self, values: &[f64]) {
        let sums = self.sums.chunks_mut(TOGETHER).zip(self.compensations.chunks_mut(TOGETHER));
        for ((sums, compensations), values) in sums.zip(values.chunks(TOGETHER)) {
            if are_usual(sums) & are_usual(values) {
                add_usual(sums, compensations, values);
            } else {
                add_any(sums, compensations, values);
            }
        }
    }

    /// The totals; [`ABSENT`] where nothing was added.
    pub(crate) fn totals(self) -> Vec<f64> {
        let Self { mut sums, compensations } = self;
        for (sum, compensation) in sums.iter_mut().zip(compensations) {
            if !is_absent(*sum) {
                *sum = Sum { sum: *sum, compensation }.total();
            }
        }
        sums
    }
}

/// Values that are added together, as long as nothing is special about any of them.
const TOGETHER: usize = 64;

/// Whether there is a number everywhere, none so large that a sum of two could overflow.
fn are_usual(values: &[f64]) -> bool {
    // As one comparison it is done several values at once.
    values.iter().fold(true, |all, value| all & (value.abs() < f64::MAX / 4.0))
}

/// What rounds away is found without asking which summand is the larger one (Knuth's TwoSum): it is exact either way, and this
/// way several values are added at once.
fn add_usual(sums: &mut [f64], compensations: &mut [f64], values: &[f64]) {
    for ((sum, compensation), value) in sums.iter_mut().zip(compensations).zip(values) {
        let total = *sum + value;
        let added = total - *sum;
        *compensation += (*sum - (total - added)) + (value - added);
        *sum = total;
    }
}

fn add_any(sums: &mut [f64], compensations: &mut [f64], values: &[f64]) {
    for ((sum, compensation), value) in sums.iter_mut().zip(compensations).zip(values) {
        if is_absent(*value) {
            continue;
        }
        let mut running = Sum { sum: *sum, compensation: *compensation };
        if is_absent(*sum) {
            running = Sum::of(*value);
        } else {
            running.add(*value);
        }
        (*sum, *compensation) = (running.sum, running.compensation);
    }
}

/// A mean that does not overflow where the sum would: from there on it is computed incrementally.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mean {
    /// The sum, or the mean once `is_incremental`.
    running: Sum,
    count: f64,
    is_incremental: bool,
}

impl Mean {
    /// Starts with one value.
    pub(crate) fn of(value: f64) -> Self {
        Self { running: Sum::of(value), count: 1.0, is_incremental: false }
    }

    /// Takes one value in.
    pub(crate) fn add(&mut self, value: f64) {
        self.count += 1.0;
        if !self.is_incremental {
            let mut next = self.running;
            next.add(value);
            if !next.sum.is_infinite() {
                self.running = next;
                return;
            }
            self.is_incremental = true;
            self.running.sum /= self.count - 1.0;
            self.running.compensation /= self.count - 1.0;
        }
        let kept = (self.count - 1.0) / self.count;
        self.running.sum *= kept;
        self.running.compensation *= kept;
        self.running.add(value / self.count);
    }

    /// The mean.
    pub(crate) fn value(self) -> f64 {
        if self.is_incremental {
            self.running.sum + self.running.compensation
        } else {
            self.running.sum / self.count + self.running.compensation / self.count
        }
    }
}

/// Mean and variance in one pass (Welford), with compensated sums.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Variance {
    count: f64,
    mean: Sum,
    squares: Sum,
}

impl Variance {
    /// Takes one value in.
    pub(crate) fn add(&mut self, value: f64) {
        self.count += 1.0;
        let delta = value - (self.mean.sum + self.mean.compensation);
        self.mean.add(delta / self.count);
        self.squares.add(delta * (value - (self.mean.sum + self.mean.compensation)));
    }

    /// Joins two disjoint sets of values (Chan, Golub and LeVeque, 1979).
    pub(crate) fn merge(self, later: Self) -> Self {
        if self.count == 0.0 {
            return later;
        }
        if later.count == 0.0 {
            return self;
        }
        let count = self.count + later.count;
        let delta = later.mean.total() - self.mean.total();
        let mut mean = self.mean;
        mean.add(delta * later.count / count);
        let mut squares = self.squares.merge(later.squares);
        squares.add(delta * delta * self.count * later.count / count);
        Self { count, mean, squares }
    }

    /// The population variance.
    pub(crate) fn value(self) -> f64 {
        (self.squares.sum + self.squares.compensation) / self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sums_side_by_side_are_each_its_sum(
            columns in proptest::collection::vec(proptest::collection::vec(prop_oneof![
                6 => any::<f64>().prop_filter("no marker", |value| !is_absent(*value)),
                6 => -1e3f64..1e3,
                4 => Just(ABSENT),
                1 => Just(f64::NAN),
                1 => Just(f64::INFINITY),
                1 => Just(f64::NEG_INFINITY),
                1 => Just(f64::MAX),
                1 => Just(-0.0),
            ], 70), 0..12),
            plain in proptest::collection::vec(proptest::collection::vec(prop_oneof![
                6 => -1e3f64..1e3, 3 => -1e20f64..1e20, 1 => Just(f64::MAX / 5.0), 1 => Just(1e-310), 1 => Just(-0.0),
            ], 70), 0..12),
        ) {
            let columns = if plain.len() % 2 == 0 { plain } else { columns };
            let mut sums = Sums::new(70);
            let mut alone: Vec<Option<Sum>> = vec![None; 70];
            for column in &columns {
                sums.add(column);
                for (sum, value) in alone.iter_mut().zip(column).filter(|(_, value)| !is_absent(**value)) {
                    match sum {
                        Some(sum) => sum.add(*value),
                        None => *sum = Some(Sum::of(*value)),
                    }
                }
            }
            for (total, alone) in sums.totals().into_iter().zip(alone) {
                let want = alone.map_or(ABSENT, Sum::total);
                prop_assert_eq!(is_absent(total), is_absent(want));
                let is_same = total.to_bits() == want.to_bits() || (total.is_nan() && want.is_nan());
                prop_assert!(is_same, "{} for {}", total, want);
            }
        }
    }

    #[test]
    fn small_values_survive_large_ones() {
        let mut sum = Sum::default();
        for value in [1.0, 1e100, 1.0, -1e100] {
            sum.add(value);
        }
        assert_eq!(sum.total(), 2.0);
    }

    #[test]
    fn mean_does_not_overflow() {
        let mut mean = Mean::of(1.5e308);
        mean.add(1.5e308);
        assert!((mean.value() / 1.5e308 - 1.0).abs() < 1e-15);
        let mut infinite = Mean::of(f64::INFINITY);
        infinite.add(0.0);
        assert_eq!(infinite.value(), f64::INFINITY);
    }

    #[test]
    fn variance_of_parts_is_variance_of_the_whole() {
        let values = [0.0, 8.0, 8.0, 2.0, 3.0];
        let of = |values: &[f64]| {
            let mut variance = Variance::default();
            values.iter().for_each(|value| variance.add(*value));
            variance
        };
        assert!((of(&values).value() - 10.56).abs() < 1e-12);
        assert!((of(&values[..2]).merge(of(&values[2..])).value() - 10.56).abs() < 1e-12);
    }
}
