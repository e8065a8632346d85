//! When a target is scraped: spread over the interval, the same place after every restart.

use std::time::{Duration, SystemTime};

/// How far the real start of a scrape may be from its schedule for the samples to carry the scheduled time. Even
/// spacing compresses better, and nobody can tell 2 ms.
const TOLERANCE_MS: i64 = 2;

/// Milliseconds since the Unix epoch by the system's clock.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The grid of one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    interval_ms: i64,
    offset_ms: i64,
}

impl Schedule {
    /// Times that are `(key xor seed) mod interval` after the multiples of the interval. The target's key spreads the
    /// targets of one store, the seed keeps two stores from asking the same target at the same moment.
    pub(crate) fn new(interval_ms: i64, key: u64, seed: u64) -> Self {
        let interval_ms = interval_ms.max(1);
        let offset = (key ^ seed) % interval_ms.unsigned_abs();
        Self { interval_ms, offset_ms: i64::try_from(offset).unwrap_or(0) }
    }

    /// The first time of the grid after `now`. However late the last scrape was, missed times are left out.
    pub(crate) fn next_after(&self, now: i64) -> i64 {
        let since = (now - self.offset_ms).rem_euclid(self.interval_ms);
        now - since + self.interval_ms
    }

    /// Time of the samples of a scrape that was due at `due` and began at `began`.
    pub(crate) fn sample_time(&self, due: i64, began: i64) -> i64 {
        let tolerance = TOLERANCE_MS.min(self.interval_ms / 100);
        if (began - due).abs() <= tolerance { due } else { began }
    }

    /// Waiting time from `now` until `due`; never longer than an interval, in case the clock was set back.
    pub(crate) fn wait(&self, now: i64, due: i64) -> Duration {
        let ms = (due - now).clamp(0, self.interval_ms);
        Duration::from_millis(ms.unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_lie_on_a_grid_that_the_key_moves() {
        let schedule = Schedule::new(15_000, 7_000, 0);
        let first = schedule.next_after(1_700_000_000_123);
        assert_eq!(first % 15_000, 7_000);
        assert!(first > 1_700_000_000_123 && first <= 1_700_000_015_123);
        assert_eq!(schedule.next_after(first), first + 15_000);
        assert_eq!(schedule.next_after(first + 14_999), first + 15_000);
        assert_eq!(schedule.next_after(first + 40_000), first + 45_000, "missed times are left out");
    }

    #[test]
    fn targets_spread_over_the_interval() {
        let mut quarters = [0; 4];
        for target in 0..1000u64 {
            let key = xxhash_rust::xxh3::xxh3_64(&target.to_le_bytes());
            let schedule = Schedule::new(15_000, key, 42);
            quarters[usize::try_from(schedule.offset_ms / 3_750).unwrap()] += 1;
        }
        assert!(quarters.iter().all(|n| (150..350).contains(n)), "{quarters:?}");
    }

    #[test]
    fn a_little_late_is_on_time() {
        let schedule = Schedule::new(15_000, 0, 0);
        assert_eq!(schedule.sample_time(1000, 1002), 1000);
        assert_eq!(schedule.sample_time(1000, 1003), 1003);
        // A hundredth of a short interval is less than 2 ms.
        assert_eq!(Schedule::new(100, 0, 0).sample_time(1000, 1002), 1002);
    }
}
