//! The series that both stores hold: some of everything that an evaluation can trip over.

use std::collections::{BTreeMap, BTreeSet};

use cairn_bench_metrics::noise::Noise;

use crate::clock::{Clock, Life};
use crate::dataset_histograms;
use crate::values::{Model, values};

/// Labels of a series with values, sorted by name.
pub(crate) type Labels = Vec<(String, String)>;

/// One series.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    /// Its name among them.
    pub(crate) labels: Labels,
    /// Milliseconds and value, in order of time.
    pub(crate) samples: Vec<(i64, f64)>,
}

/// What queries do with a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Rates.
    Counter,
    /// Anything.
    Gauge,
    /// Buckets of a classic histogram.
    Buckets,
}

/// A metric as queries know it.
#[derive(Clone, Debug)]
pub(crate) struct Metric {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it is good for.
    pub(crate) usage: Use,
    /// Each label that a series of it has, with the values there are.
    pub(crate) labels: BTreeMap<String, BTreeSet<String>>,
}

/// All series and metrics.
#[derive(Debug, Default)]
pub(crate) struct Dataset {
    /// Every series.
    pub(crate) series: Vec<Series>,
    /// Every metric.
    pub(crate) metrics: Vec<Metric>,
}

/// Bits of the NaN that says: this series ended here.
const STALE: u64 = 0x7ff0_0000_0000_0002;

/// Label names and the values of each: the series are all combinations.
pub(crate) type Grid<'a> = &'a [(&'a str, &'a [&'a str])];

const GAPS: Life = Life { gaps: &[(17, 20), (41, 47), (70, 82)], ..Life::WHOLE };
const MARKED: Life = Life { is_marked: true, until: 111, ..GAPS };
const SERVERS: Grid = &[("job", &["api", "web"]), ("instance", &["a:80", "b:80", "c:81"])];

impl Dataset {
    /// The data of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        let mut all = Self::default();
        let mut noise = Noise::new(seed ^ 0x0da7_a5e7);
        all.counters(&mut noise);
        all.gauges(&mut noise);
        all.lives(&mut noise);
        all.partners(&mut noise);
        all.odd_labels(&mut noise);
        dataset_histograms::add(&mut all, &mut noise);
        all
    }

    fn counters(&mut self, noise: &mut Noise) {
        use Use::Counter as Usage;
        let requests: Grid = &[
            ("job", &["api", "web"]),
            ("instance", &["a:80", "b:80", "c:81"]),
            ("code", &["200", "404", "500"]),
            ("method", &["GET", "POST"]),
        ];
        self.add("requests_total", Usage, requests, Clock::Jitter, Life::WHOLE, Model::Counter(9.0), noise);
        let errors: Grid = &[("job", &["api"]), ("instance", &["a:80", "b:80"]), ("code", &["500"])];
        self.add("errors_total", Usage, errors, Clock::Jitter, GAPS, Model::Counter(2.0), noise);
        self.add("bytes_total", Usage, SERVERS, Clock::WHOLE, Life::WHOLE, Model::Counter(65536.0), noise);
        self.add("slow_total", Usage, SERVERS, Clock::Every(90_000, 0), GAPS, Model::Counter(1.0), noise);
        self.add("float_total", Usage, SERVERS, Clock::Jitter, MARKED, Model::FloatCounter, noise);
        self.add(
            "irregular_total",
            Usage,
            SERVERS,
            Clock::Irregular,
            Life::WHOLE,
            Model::Counter(5.0),
            noise,
        );
        self.add("flat_total", Usage, SERVERS, Clock::THIRD, GAPS, Model::Constant(12.0), noise);
    }

    fn gauges(&mut self, noise: &mut Noise) {
        use Use::Gauge as Usage;
        let mut gauge = |name, clock, life, model| self.add(name, Usage, SERVERS, clock, life, model, noise);
        gauge("temperature", Clock::Jitter, Life::WHOLE, Model::Gauge(-2.0));
        gauge("queue_length", Clock::WHOLE, Life::WHOLE, Model::Steps);
        gauge("ratio", Clock::THIRD, Life::WHOLE, Model::Ratio);
        gauge("flapping", Clock::WHOLE, MARKED, Model::Flag);
        gauge("constant", Clock::WHOLE, GAPS, Model::Constant(42.5));
        gauge("weird", Clock::THIRD, Life::WHOLE, Model::Special);
        gauge("huge", Clock::WHOLE, Life::WHOLE, Model::Huge);
        gauge("tiny", Clock::Jitter, Life::WHOLE, Model::Tiny);
        gauge("event_time_seconds", Clock::Every(60_000, 0), Life::WHOLE, Model::Date);
        gauge("line", Clock::WHOLE, Life::WHOLE, Model::Line);
        gauge("irregular", Clock::Irregular, GAPS, Model::Gauge(100.0));
    }

    /// Series that are not there all the time, or seldom.
    fn lives(&mut self, noise: &mut Noise) {
        use Use::Gauge as Usage;
        let one: Grid = &[("job", &["batch"]), ("run", &["1", "2"])];
        let mut gauge = |name, clock, life, model| self.add(name, Usage, one, clock, life, model, noise);
        gauge("gappy", Clock::WHOLE, GAPS, Model::Gauge(10.0));
        gauge("marked", Clock::WHOLE, MARKED, Model::Steps);
        gauge("late", Clock::Jitter, Life { from: 63, ..Life::WHOLE }, Model::Steps);
        gauge("early", Clock::WHOLE, Life { until: 37, is_marked: true, ..Life::WHOLE }, Model::Steps);
        gauge("once", Clock::WHOLE, Life { from: 50, until: 51, ..Life::WHOLE }, Model::Steps);
        // Just inside, on, and outside the lookback of five minutes.
        gauge("each_four_minutes", Clock::Every(240_000, 0), Life::WHOLE, Model::Steps);
        gauge("each_five_minutes", Clock::Every(300_000, 0), Life::WHOLE, Model::Steps);
        gauge("each_seven_minutes", Clock::Every(420_000, 300), Life::WHOLE, Model::Steps);
    }

    /// Metrics that are made to be matched with each other.
    fn partners(&mut self, noise: &mut Noise) {
        use Use::Gauge as Usage;
        let cpus: Grid = &[
            ("job", &["node"]),
            ("instance", &["a:80", "b:80", "d:80"]),
            ("cpu", &["0", "1"]),
            ("mode", &["idle", "user"]),
        ];
        self.add("cpu_usage", Usage, cpus, Clock::WHOLE, Life::WHOLE, Model::Ratio, noise);
        let limits: Grid = &[("job", &["node"]), ("instance", &["a:80", "b:80", "e:80"])];
        self.add("cpu_limit", Usage, limits, Clock::WHOLE, GAPS, Model::Steps, noise);
        for (instance, version, zone) in
            [("a:80", "1.2", "north"), ("b:80", "1.3", "north"), ("c:81", "1.3", "south")]
        {
            let info: Grid = &[
                ("job", &["api", "node"]),
                ("instance", &[instance]),
                ("version", &[version]),
                ("zone", &[zone]),
            ];
            self.add("build_info", Usage, info, Clock::Jitter, GAPS, Model::Constant(1.0), noise);
        }
        // Without their names they are the same: whatever drops names makes duplicates.
        for name in ["twin_a", "twin_b"] {
            self.add(name, Usage, SERVERS, Clock::WHOLE, Life::WHOLE, Model::Steps, noise);
        }
        // The same, but never at the same time.
        for (name, life) in [
            ("shift_day", Life { until: 60, ..Life::WHOLE }),
            ("shift_night", Life { from: 70, ..Life::WHOLE }),
        ] {
            self.add(name, Usage, &[("job", &["shift"])], Clock::WHOLE, life, Model::Steps, noise);
        }
    }

    fn odd_labels(&mut self, noise: &mut Noise) {
        let odd: Grid = &[
            ("job", &["", "api"]),
            (
                "label",
                &[
                    "",
                    " ",
                    "süß",
                    "世界",
                    "a\"b",
                    "back\\slash",
                    "two\nlines",
                    "<&>",
                    "7",
                    "$1",
                    "a.b",
                    "日\u{1f600}",
                ],
            ),
        ];
        self.add("odd", Use::Gauge, odd, Clock::WHOLE, GAPS, Model::Steps, noise);
        let names: Grid =
            &[("_", &["x"]), ("A", &["y"]), ("__meta", &["z"]), ("le", &["1"]), ("by", &["on"])];
        self.add("names", Use::Gauge, names, Clock::THIRD, Life::WHOLE, Model::Steps, noise);
        self.add("colon:name:sum", Use::Gauge, &[], Clock::WHOLE, Life::WHOLE, Model::Gauge(5.0), noise);
    }

    /// A metric with the series of a grid.
    #[expect(clippy::too_many_arguments, reason = "the columns of a table")]
    fn add(
        &mut self,
        name: &'static str,
        usage: Use,
        grid: Grid,
        clock: Clock,
        life: Life,
        model: Model,
        noise: &mut Noise,
    ) {
        for labels in combinations(grid) {
            let times = clock.times(noise);
            let values = values(model, times.len(), noise);
            self.push(name, usage, labels, samples(&times, &values, life));
        }
    }

    /// One series.
    pub(crate) fn push(
        &mut self,
        name: &'static str,
        usage: Use,
        mut labels: Labels,
        samples: Vec<(i64, f64)>,
    ) {
        let at = self.metrics.iter().position(|metric| metric.name == name).unwrap_or_else(|| {
            self.metrics.push(Metric { name, usage, labels: BTreeMap::new() });
            self.metrics.len() - 1
        });
        for (label, value) in &labels {
            self.metrics[at].labels.entry(label.clone()).or_default().insert(value.clone());
        }
        labels.push(("__name__".to_owned(), name.to_owned()));
        labels.sort();
        self.series.push(Series { labels, samples });
    }
}

/// Values at times, as far as the series lives, with its markers.
pub(crate) fn samples(times: &[i64], values: &[f64], life: Life) -> Vec<(i64, f64)> {
    let mut samples = Vec::new();
    let mut lived = false;
    for (time, value) in times.iter().zip(values) {
        let lives = life.holds(*time);
        if lives {
            samples.push((*time, *value));
        } else if lived && life.is_marked {
            samples.push((*time, f64::from_bits(STALE)));
        }
        lived = lives;
    }
    samples
}

/// Every combination of a grid's values; an empty value is no label.
pub(crate) fn combinations(grid: Grid) -> Vec<Labels> {
    grid.iter().fold(vec![Vec::new()], |all, (name, values)| {
        all.iter()
            .flat_map(|labels| {
                values.iter().map(move |value| {
                    let label = (!value.is_empty()).then(|| ((*name).to_owned(), (*value).to_owned()));
                    labels.iter().cloned().chain(label).collect()
                })
            })
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{BEGIN_MS, LENGTH_MS};

    #[test]
    fn data_repeat_and_no_series_is_there_twice() {
        let (one, other) = (Dataset::new(5), Dataset::new(5));
        assert!(one.metrics.len() > 40, "{}", one.metrics.len());
        let names: BTreeSet<_> = one.series.iter().map(|series| &series.labels).collect();
        assert_eq!(names.len(), one.series.len());
        for (a, b) in one.series.iter().zip(&other.series) {
            assert!(!a.samples.is_empty(), "{:?}", a.labels);
            assert!(
                a.samples.iter().zip(&b.samples).all(|(a, b)| a.0 == b.0 && a.1.to_bits() == b.1.to_bits())
            );
            assert!(a.samples.iter().all(|(time, _)| *time < BEGIN_MS + LENGTH_MS + 15_000));
        }
    }

    #[test]
    fn gap_is_opened_by_a_marker() {
        let marked = samples(&[BEGIN_MS, BEGIN_MS + 1_030_000], &[1.0, 2.0], MARKED);
        assert_eq!(marked[0], (BEGIN_MS, 1.0));
        assert_eq!(marked[1].1.to_bits(), STALE);
    }
}
