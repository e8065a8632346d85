//! When a series has samples.
//!
//! All times end in milliseconds other than .500 and .800: those are the left borders of windows that must not meet a
//! sample, see `dialect`.

use cairn_bench_metrics::noise::Noise;

/// Where the data begin, in milliseconds: an hour before a leap day ends, so that dates change on the way.
pub(crate) const BEGIN_MS: i64 = 1_709_247_600_000;
/// How long they last.
pub(crate) const LENGTH_MS: i64 = 2 * 3_600_000;

/// One minute in milliseconds.
pub(crate) const MINUTE_MS: i64 = 60_000;
/// Interval of most series.
const INTERVAL_MS: i64 = 15_000;

/// Milliseconds within a second at which no sample may lie.
const FORBIDDEN: [i64; 2] = [500, 800];

/// The pattern of a series' samples.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Clock {
    /// At a fixed distance, first at an offset in milliseconds: queries at whole seconds meet samples exactly.
    Every(i64, i64),
    /// About each 15 s, as a scrape under load.
    Jitter,
    /// Anything from one to ninety seconds.
    Irregular,
}

impl Clock {
    /// Each 15 s at whole seconds.
    pub(crate) const WHOLE: Self = Self::Every(INTERVAL_MS, 0);
    /// Each 15 s, 300 ms later.
    pub(crate) const THIRD: Self = Self::Every(INTERVAL_MS, 300);

    /// Its times within the data.
    pub(crate) fn times(self, noise: &mut Noise) -> Vec<i64> {
        let mut times = Vec::new();
        let mut at = 0;
        while at < LENGTH_MS {
            let (time, step) = match self {
                Self::Every(interval, offset) => (at + offset, interval),
                Self::Jitter => (at + below(noise, 8_000), INTERVAL_MS),
                Self::Irregular => (at, 1_000 + below(noise, 89_000)),
            };
            let is_forbidden = FORBIDDEN.contains(&time.rem_euclid(1_000));
            times.push(BEGIN_MS + time + i64::from(is_forbidden));
            at += step;
        }
        times
    }
}

/// Anything from 0 up to a bound.
fn below(noise: &mut Noise, bound: i64) -> i64 {
    i64::try_from(noise.draw() % bound.unsigned_abs()).unwrap_or(0)
}

/// When a series is there, in minutes from the begin of the data.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    /// First minute.
    pub(crate) from: i64,
    /// End.
    pub(crate) until: i64,
    /// Without samples in between.
    pub(crate) gaps: &'static [(i64, i64)],
    /// Whether a staleness marker opens each gap, and stands at the end.
    pub(crate) is_marked: bool,
}

impl Life {
    /// From the begin to the end.
    pub(crate) const WHOLE: Self = Self { from: 0, until: 120, gaps: &[], is_marked: false };

    /// Whether a time belongs to it; and if not, whether it is to be marked.
    pub(crate) fn holds(&self, time_ms: i64) -> bool {
        let minute = (time_ms - BEGIN_MS).div_euclid(MINUTE_MS);
        let is_in = |&(from, until): &(i64, i64)| (from..until).contains(&minute);
        is_in(&(self.from, self.until)) && !self.gaps.iter().any(is_in)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_rise_and_keep_off_the_forbidden_milliseconds() {
        for clock in [Clock::WHOLE, Clock::THIRD, Clock::Jitter, Clock::Irregular, Clock::Every(240_000, 0)] {
            let times = clock.times(&mut Noise::new(7));
            assert!(times.is_sorted_by(|a, b| a < b), "{clock:?}");
            assert!(times.iter().all(|time| !FORBIDDEN.contains(&time.rem_euclid(1_000))), "{clock:?}");
        }
        assert_eq!(Clock::WHOLE.times(&mut Noise::new(7)).len(), 480);
    }

    #[test]
    fn life_has_gaps() {
        let life = Life { from: 10, until: 90, gaps: &[(20, 30)], is_marked: true };
        let held: Vec<i64> = (0..120).filter(|minute| life.holds(BEGIN_MS + minute * MINUTE_MS)).collect();
        assert_eq!(held, (10..20).chain(30..90).collect::<Vec<_>>());
    }
}
