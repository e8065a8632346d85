//! At which times a query is asked.

use cairn_bench_metrics::noise::Noise;

use crate::clock::{BEGIN_MS, LENGTH_MS, MINUTE_MS};

/// One time, or several. All end in .000 or .300, see `dialect`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// An instant query at a time in milliseconds.
    Instant(i64),
    /// A range query: start, end, step in milliseconds.
    Range(i64, i64, i64),
}

/// Most steps of a range query: enough to cross everything in the data, few enough to be quick.
const MAX_STEPS: u64 = 60;

/// Steps of range queries in seconds; some are primes, the last is longer than the data.
const STEPS: [i64; 12] = [1, 7, 15, 30, 37, 60, 61, 120, 299, 300, 3600, 9000];

impl Moment {
    /// Some moment in or near the data.
    pub(crate) fn any(noise: &mut Noise) -> Self {
        let time = any_time(noise);
        if noise.unit() < 0.5 {
            return Self::Instant(time);
        }
        let step = 1000 * STEPS[index(noise, STEPS.len())];
        let n_steps = i64::try_from(noise.draw() % MAX_STEPS).unwrap_or(0);
        // An end that is no step's time must not matter, but to `@ end()`.
        let rest = if noise.unit() < 0.3 { (step / 2) / 1000 * 1000 } else { 0 };
        Self::Range(time, time + n_steps * step + rest, step)
    }

    /// First and last time.
    pub(crate) fn ends(self) -> (i64, i64) {
        match self {
            Self::Instant(time) => (time, time),
            Self::Range(start, end, _) => (start, end),
        }
    }

    /// Path and parameters of the request.
    pub(crate) fn request(self) -> (&'static str, Vec<(&'static str, String)>) {
        match self {
            Self::Instant(time) => ("/api/v1/query", vec![("time", seconds(time))]),
            Self::Range(start, end, step) => (
                "/api/v1/query_range",
                vec![("start", seconds(start)), ("end", seconds(end)), ("step", seconds(step))],
            ),
        }
    }
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Instant(time) => write!(f, "time={}", seconds(*time)),
            Self::Range(start, end, step) => {
                write!(f, "start={} end={} step={}", seconds(*start), seconds(*end), seconds(*step))
            }
        }
    }
}

/// A time in or near the data.
pub(crate) fn any_time(noise: &mut Noise) -> i64 {
    let margin = 12 * MINUTE_MS;
    let span = LENGTH_MS + 2 * margin;
    let within = i64::try_from(noise.draw() % span.unsigned_abs()).unwrap_or(0);
    // Often where samples are, or a lookback or a usual window behind one.
    let grid = if noise.unit() < 0.6 { 15_000 } else { 1000 };
    let residue = if noise.unit() < 0.3 { 300 } else { 0 };
    BEGIN_MS - margin + within / grid * grid + residue
}

/// Milliseconds as seconds with three decimals.
pub(crate) fn seconds(ms: i64) -> String {
    format!("{}.{:03}", ms.div_euclid(1000), ms.rem_euclid(1000))
}

fn index(noise: &mut Noise, n: usize) -> usize {
    usize::try_from(noise.draw() % n as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_end_in_no_other_milliseconds_and_have_few_steps() {
        let mut noise = Noise::new(3);
        for _ in 0..1000 {
            let moment = Moment::any(&mut noise);
            let (start, end) = moment.ends();
            assert!([0, 300].contains(&start.rem_euclid(1000)) && [0, 300].contains(&end.rem_euclid(1000)));
            if let Moment::Range(_, _, step) = moment {
                assert!((end - start) / step <= 60 && step % 1000 == 0);
            }
        }
        assert_eq!(Moment::Instant(1_500).request().1, [("time", "1.500".to_owned())]);
    }
}
