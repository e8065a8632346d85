//! Sums that keep what plain addition would round away (Neumaier's variant of Kahan's summation), in the order of
//! operations that Prometheus uses, so that results agree to the last digit.

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
