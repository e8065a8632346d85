//! Machines and their values.

use std::sync::Arc;

use crate::noise::Noise;
use crate::template::{Model, Part, Template};

/// Time from one sample of a series to the next.
pub const STEP_MS: i64 = 15_000;

/// What a scraper adds for each scrape; a sender of remote write sends it like everything else.
const REPORTS: [&str; 5] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
];

/// What all machines share.
#[derive(Debug)]
pub struct Fleet {
    template: Template,
}

/// One machine: its labels and where its values are.
#[derive(Debug)]
pub struct Host {
    /// Number of the machine, which names it.
    pub number: usize,
    fleet: Arc<Fleet>,
    /// Values, in the order of the template, then the reports.
    values: Vec<f64>,
    /// Observations by bucket, not cumulative, of each histogram; then their sum.
    histograms: Vec<(Vec<f64>, f64)>,
    /// How fast this machine is, in comparison.
    speed: f64,
    noise: Noise,
}

impl Fleet {
    /// A fleet of machines like this one.
    pub fn new(template: Template) -> Arc<Self> {
        Arc::new(Self { template })
    }

    /// The page.
    pub fn template(&self) -> &Template {
        &self.template
    }

    /// Series of each machine, the reports of its scrapes included.
    pub fn series_per_host(&self) -> usize {
        self.template.series.len() + REPORTS.len()
    }

    /// The labels of a machine's series, in the order of its values, each set sorted by name.
    pub fn labels(&self, host: usize) -> impl Iterator<Item = Vec<(String, String)>> {
        let target = target_labels(host);
        let reports = REPORTS.iter().map(|name| vec![("__name__".to_owned(), (*name).to_owned())]);
        let own = self.template.series.iter().map(|series| series.labels.clone());
        own.chain(reports).map(move |mut labels| {
            labels.extend(target.iter().cloned());
            labels.retain(|(_, value)| !value.is_empty());
            labels.sort();
            labels
        })
    }
}

/// Labels that a target has from its job and its service discovery: what a real fleet carries along.
fn target_labels(host: usize) -> Vec<(String, String)> {
    let zone = ["a", "b", "c"][host % 3];
    let role = ["web", "database", "cache", "worker", "gateway"][host % 5];
    [
        ("cluster", "production-1".to_owned()),
        ("env", "production".to_owned()),
        ("instance", instance(host)),
        ("job", "node".to_owned()),
        ("region", "eu-central-1".to_owned()),
        ("role", role.to_owned()),
        ("availability_zone", format!("eu-central-1{zone}")),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

/// The label `instance` of a machine.
pub fn instance(host: usize) -> String {
    format!("node-{host:05}.example.internal:9100")
}

impl Host {
    /// A machine, at its first step.
    pub fn new(fleet: &Arc<Fleet>, number: usize) -> Self {
        let mut noise = Noise::new(0x0ca1_4000 + number as u64);
        let speed = 0.5 + noise.unit();
        let template = &fleet.template;
        let mut values: Vec<f64> =
            template.series.iter().map(|series| start(series.model, series.first, &mut noise)).collect();
        values.resize(fleet.series_per_host(), 0.0);
        let histograms =
            template.histograms.iter().map(|histogram| (vec![0.0; histogram.bounds.len()], 0.0)).collect();
        Self { number, fleet: Arc::clone(fleet), values, histograms, speed, noise }
    }

    /// Values in the order of [`Fleet::labels`].
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// When this machine is scraped within a step.
    pub fn offset_ms(&self) -> i64 {
        let spread = Noise::new(self.number as u64).draw() % STEP_MS.unsigned_abs();
        spread.cast_signed()
    }

    /// Goes one step on; `time_ms` is the time of the values.
    pub fn step(&mut self, time_ms: i64) {
        let Self { fleet, values, histograms, speed, noise, .. } = self;
        let template = &fleet.template;
        for (histogram, (counts, sum)) in template.histograms.iter().zip(&mut *histograms) {
            observe(&histogram.bounds, histogram.rate * *speed, counts, sum, noise);
        }
        for (series, value) in template.series.iter().zip(&mut *values) {
            *value = match series.model {
                Model::Constant => continue,
                Model::IntCounter { mean, activity } => {
                    if noise.unit() >= activity {
                        continue;
                    }
                    *value + noise.whole(mean * *speed)
                }
                Model::FloatCounter { mean, activity, scale } => {
                    if noise.unit() >= activity {
                        continue;
                    }
                    ((*value * scale).round() + noise.whole(mean * *speed * scale)) / scale
                }
                Model::Walk { spread, quantum, activity } => {
                    if noise.unit() >= activity {
                        continue;
                    }
                    walk(*value, series.first, spread, quantum, noise)
                }
                Model::Duration { mean } => (mean * (0.7 + 0.6 * noise.unit()) * 1e9).round() / 1e9,
                #[expect(clippy::cast_precision_loss, reason = "milliseconds of our era are below 2^53")]
                Model::Clock => time_ms as f64 / 1000.0 + (noise.unit() * 1e6).round() / 1e9,
                Model::Histogram { index, part } => {
                    let (counts, sum) = &histograms[index];
                    match part {
                        Part::Bucket(bucket) => counts[..=bucket].iter().sum(),
                        Part::Sum => *sum,
                        Part::Count => counts.iter().sum(),
                    }
                }
            };
        }
        let first_report = template.series.len();
        let scraped = to_f64(first_report);
        let duration = ((0.02 + 0.03 * noise.unit()) * 1e9).round() / 1e9;
        values[first_report..].copy_from_slice(&[1.0, duration, scraped, scraped, 0.0]);
    }
}

/// Where a machine starts: those of a fleet were not started at the same moment.
fn start(model: Model, first: f64, noise: &mut Noise) -> f64 {
    match model {
        Model::IntCounter { .. } => (first * 20.0 * noise.unit()).floor(),
        Model::FloatCounter { scale, .. } => (first * 20.0 * noise.unit() * scale).round() / scale,
        Model::Walk { quantum, .. } => (first * (0.5 + noise.unit()) / quantum).round() * quantum,
        _ => first,
    }
}

fn walk(value: f64, first: f64, spread: f64, quantum: f64, noise: &mut Noise) -> f64 {
    let reach = (first.abs() * spread).max(2.0 * quantum);
    let moved = value + reach * (noise.unit() - 0.5);
    // Back towards where it began, so that it stays in sight of it; divided last, so that decimals stay short.
    let drawn = moved + (first - moved) * 0.02;
    let steps = (drawn / quantum).round();
    let next = if quantum < 1.0 { steps / (1.0 / quantum).round() } else { steps * quantum };
    if first >= 0.0 { next.max(0.0) } else { next }
}

/// Some observations, most of them small.
fn observe(bounds: &[f64], rate: f64, counts: &mut [f64], sum: &mut f64, noise: &mut Noise) {
    let n = noise.whole(rate);
    if n == 0.0 {
        return;
    }
    let mut left = n;
    for (bucket, bound) in bounds.iter().enumerate() {
        let is_last = bucket + 1 == bounds.len();
        let here = if is_last { left } else { (left * (0.3 + 0.5 * noise.unit())).round().min(left) };
        counts[bucket] += here;
        left -= here;
        let upper = if bound.is_finite() { *bound } else { bounds[bounds.len().saturating_sub(2)] * 2.0 };
        *sum += here * upper * (0.5 + 0.5 * noise.unit());
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
fn to_f64(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::PAGE;

    #[test]
    fn counters_only_grow_histograms_agree_and_runs_repeat() {
        let fleet = Fleet::new(Template::parse(PAGE).unwrap());
        let run = || {
            let mut host = Host::new(&fleet, 7);
            let mut pages = Vec::new();
            for step in 0..200 {
                host.step(1_700_000_000_000 + step * STEP_MS);
                pages.push(host.values().to_vec());
            }
            pages
        };
        let pages = run();
        assert_eq!(pages, run());
        let mut n_changed = 0usize;
        for (index, series) in fleet.template.series.iter().enumerate() {
            let values: Vec<f64> = pages.iter().map(|page| page[index]).collect();
            n_changed += values.windows(2).filter(|pair| pair[0] != pair[1]).count();
            match series.model {
                Model::IntCounter { .. } | Model::FloatCounter { .. } | Model::Histogram { .. } => {
                    assert!(values.is_sorted(), "{}", series.text);
                }
                _ => {}
            }
            assert!(values.iter().all(|value| value.is_finite()), "{}", series.text);
        }
        let share = n_changed * 100 / (199 * fleet.template.series.len());
        assert!((20..45).contains(&share), "{share} % of the samples differ from the one before");
        let labels: Vec<_> = fleet.labels(7).collect();
        assert_eq!((labels.len(), fleet.series_per_host()), (938, 938));
        assert!(labels.iter().all(|set| set.is_sorted_by(|a, b| a.0 < b.0)));
    }
}
