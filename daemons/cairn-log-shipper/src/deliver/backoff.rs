//! Exponential backoff with full jitter: each pause is drawn between nothing and a bound that doubles, so that shippers
//! that lost the same store do not come back in step.

use std::time::Duration;

use crate::config::Backoff;

/// The pauses between the attempts for one batch.
#[derive(Debug)]
pub(super) struct Pauses {
    bound: Duration,
    max: Duration,
}

impl Pauses {
    pub(super) fn new(backoff: &Backoff) -> Self {
        Self { bound: backoff.min, max: backoff.max }
    }

    /// How long to wait before the next attempt.
    pub(super) fn next_pause(&mut self) -> Duration {
        let bound = self.bound.min(self.max);
        self.bound = bound.saturating_mul(2);
        bound.mul_f64(rand::random::<f64>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_double_up_to_the_cap() {
        let backoff = Backoff { min: Duration::from_secs(1), max: Duration::from_secs(5), max_retries: 0 };
        let mut pauses = Pauses::new(&backoff);
        for bound in [1, 2, 4, 5, 5] {
            assert!(pauses.next_pause() <= Duration::from_secs(bound));
        }
    }
}
