//! Summaries: quantiles of what was observed in the last ten minutes, with sum and count of everything.
//!
//! prometheus-client has none, and its registry cannot name their type, so they are written behind the registry's text;
//! both text formats write them alike. Quantiles come from DDSketch, which is within 0.1% of the value; sketches of two
//! minutes each are joined, so that old values leave.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sketches_ddsketch::{Config, DDSketch};

use crate::exposition::push_escaped;

/// How long a value counts, as Prometheus's own summaries have it.
const MAX_AGE: Duration = Duration::from_secs(600);
/// Sketches that share [`MAX_AGE`].
const N_PARTS: u64 = 5;
const PART_MS: u128 = MAX_AGE.as_millis() / N_PARTS as u128;

/// Largest relative error of a quantile: intervals between scrapes differ by little.
const ACCURACY: f64 = 0.001;
/// Most bins of a sketch, 8 bytes each, made as they are needed. So many span seven powers of ten of that accuracy; of more the
/// lowest are joined.
const MAX_BINS: u32 = 8192;
/// What is smaller counts as nothing: a nanosecond.
const MIN_VALUE: f64 = 1e-9;

/// A family of summaries with one label.
#[derive(Debug)]
pub struct Summary {
    name: &'static str,
    help: &'static str,
    label: &'static str,
    quantiles: &'static [f64],
    since: Instant,
    by_value: Mutex<BTreeMap<String, Observed>>,
}

/// What was observed under one value of the label.
#[derive(Default)]
struct Observed {
    count: u64,
    sum: f64,
    /// Each with the number of its two minutes; at most [`N_PARTS`], oldest first.
    parts: Vec<(u64, DDSketch)>,
}

impl std::fmt::Debug for Observed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Observed").field("count", &self.count).field("sum", &self.sum).finish_non_exhaustive()
    }
}

impl Summary {
    /// A family without any summary yet.
    pub fn new(
        name: &'static str,
        help: &'static str,
        label: &'static str,
        quantiles: &'static [f64],
    ) -> Self {
        Self { name, help, label, quantiles, since: Instant::now(), by_value: Mutex::default() }
    }

    /// Shows the summary of this value from now on, whether something is observed or not.
    pub fn add(&self, value: &str) {
        self.lock().entry(value.to_owned()).or_default();
    }

    /// Takes the summary of this value away.
    pub fn remove(&self, value: &str) {
        self.lock().remove(value);
    }

    /// Adds a number to the summary of this value.
    pub fn observe(&self, value: &str, number: f64) {
        self.observe_at(value, number, self.part_at(Instant::now()));
    }

    /// Writes the family in text; the same for text 0.0.4 and OpenMetrics.
    pub fn encode(&self, out: &mut String) {
        self.encode_at(out, self.part_at(Instant::now()));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Observed>> {
        self.by_value.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number of the two minutes at this time.
    fn part_at(&self, now: Instant) -> u64 {
        let part = now.saturating_duration_since(self.since).as_millis() / PART_MS;
        u64::try_from(part).unwrap_or(u64::MAX)
    }

    fn observe_at(&self, value: &str, number: f64, part: u64) {
        let mut by_value = self.lock();
        if !by_value.contains_key(value) {
            by_value.insert(value.to_owned(), Observed::default());
        }
        let Some(observed) = by_value.get_mut(value) else { return };
        observed.count += 1;
        observed.sum += number;
        observed.parts.retain(|(number, _)| is_young(*number, part));
        match observed.parts.last_mut() {
            Some((number_of_part, sketch)) if *number_of_part == part => sketch.add(number),
            _ => {
                let mut sketch = DDSketch::new(Config::new(ACCURACY, MAX_BINS, MIN_VALUE));
                sketch.add(number);
                observed.parts.push((part, sketch));
            }
        }
    }

    fn encode_at(&self, out: &mut String, part: u64) {
        let Self { name, help, label, .. } = self;
        // Writing to a String does not fail.
        let _ = writeln!(out, "# HELP {name} {help}.\n# TYPE {name} summary");
        for (value, observed) in self.lock().iter() {
            let mut labels = format!("{label}=\"");
            push_escaped(&mut labels, value);
            labels.push('"');
            let young = observed.young(part);
            for quantile in self.quantiles {
                let found = young.as_ref().and_then(|sketch| sketch.quantile(*quantile).ok().flatten());
                let found = found.unwrap_or(f64::NAN);
                let _ = writeln!(out, "{name}{{{labels},quantile=\"{quantile}\"}} {found}");
            }
            let Observed { count, sum, .. } = observed;
            let _ = writeln!(out, "{name}_sum{{{labels}}} {sum}\n{name}_count{{{labels}}} {count}");
        }
    }
}

impl Observed {
    /// Everything that still counts.
    fn young(&self, part: u64) -> Option<DDSketch> {
        let mut young = self.parts.iter().filter(|(number, _)| is_young(*number, part));
        let mut all = young.next()?.1.clone();
        for (_, sketch) in young {
            // Refused only between sketches of different accuracy, of which there are none.
            let _ = all.merge(sketch);
        }
        Some(all)
    }
}

fn is_young(part: u64, now: u64) -> bool {
    now.saturating_sub(part) < N_PARTS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(summary: &Summary, part: u64) -> String {
        let mut out = String::new();
        summary.encode_at(&mut out, part);
        out
    }

    #[test]
    fn quantiles_are_of_the_last_minutes_and_sums_of_all() {
        let summary = Summary::new("wait_seconds", "Time waited", "queue", &[0.5, 0.99]);
        summary.add("idle");
        for i in 1..=1000 {
            summary.observe_at("a\"b", f64::from(i) / 1000.0, 0);
        }
        let before = text(&summary, 4);
        let value = |line: &str| -> f64 {
            let found = before.lines().find_map(|one| one.strip_prefix(line));
            found.unwrap_or_else(|| panic!("{line} is not in {before}")).parse().unwrap()
        };
        let near = |found: f64, want: f64| (found - want).abs() <= want * 0.02;
        assert!(near(value("wait_seconds{queue=\"a\\\"b\",quantile=\"0.5\"} "), 0.5), "{before}");
        assert!(near(value("wait_seconds{queue=\"a\\\"b\",quantile=\"0.99\"} "), 0.99), "{before}");
        assert!(near(value("wait_seconds_sum{queue=\"a\\\"b\"} "), 500.5), "{before}");

        summary.observe_at("a\"b", 8.0, 4);
        let joined = text(&summary, 4);
        assert!(joined.contains("_count{queue=\"a\\\"b\"} 1001\n"), "{joined}");
        // What was observed first no longer counts, but for sum and count.
        let later = text(&summary, 5);
        assert!(later.contains("quantile=\"0.5\"} 7.9") || later.contains("quantile=\"0.5\"} 8."), "{later}");
        assert!(later.contains("_count{queue=\"a\\\"b\"} 1001\n"), "{later}");
        summary.remove("a\"b");
        assert_eq!(
            text(&summary, 9),
            "# HELP wait_seconds Time waited.\n# TYPE wait_seconds summary\n\
             wait_seconds{queue=\"idle\",quantile=\"0.5\"} NaN\nwait_seconds{queue=\"idle\",quantile=\"0.99\"} NaN\n\
             wait_seconds_sum{queue=\"idle\"} 0\nwait_seconds_count{queue=\"idle\"} 0\n"
        );
    }
}
