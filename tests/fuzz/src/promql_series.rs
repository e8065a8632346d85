//! The series that fuzzed queries are evaluated over: few, with everything that a sample can be.

use std::sync::Arc;

use cairn_model::histogram::{Buckets, CUSTOM_BUCKETS_SCHEMA, Counts, ResetHint, Span};
use cairn_model::{Histogram, Labels};
use cairn_promql::source::{HistogramPoint, NORMAL_NAN_BITS, STALE_NAN_BITS};
use cairn_promql::{SampleSource, Selection, SeriesData, SourceError};

/// Time of the first samples.
pub(crate) const FIRST_MS: i64 = 10_000_000;

/// Time of the last ones.
pub(crate) const LAST_MS: i64 = FIRST_MS + (N_SAMPLES - 1) * EVERY_MS;

const N_SAMPLES: i64 = 60;
const EVERY_MS: i64 = 10_000;

/// Sorted by labels, as a store gives them.
pub(crate) struct Series(Vec<SeriesData>);

impl Series {
    pub(crate) fn new() -> Self {
        let mut all = Vec::new();
        for i in 0..4u32 {
            let number = i.to_string();
            let labels = [("i", &*number), ("instance", "x:1"), ("job", if i < 2 { "a" } else { "b" })];
            all.push(floats("c", &labels, |at| counter(i, at)));
            all.push(floats("g", &labels, |at| gauge(i, at)));
        }
        for x in 0..24u32 {
            let labels = [("job", "a"), ("x", &*x.to_string())];
            all.push(floats("n", &labels, |at| Some(f64::from(x % 5) * f64::from(at))));
        }
        for (factor, le) in (1u32..).zip(["0.1", "1", "2.5", "10", "+Inf"]) {
            let labels = [("i", "0"), ("job", "a"), ("le", le)];
            all.push(floats("h_bucket", &labels, |at| Some(f64::from(at * factor + at % 3))));
        }
        for (factor, le) in (1u32..).zip(["-1", "1e300", "NaN", "x", "", "1", "1.0"]) {
            let labels = [("i", "0"), ("job", "a"), ("le", le)];
            all.push(floats("odd_le_bucket", &labels, |at| Some(f64::from(at * (9 - factor)))));
        }
        for version in ["1", "2"] {
            let labels =
                [("instance", "x:1"), ("job", if version == "1" { "a" } else { "b" }), ("version", version)];
            all.push(floats("target_info", &labels, |_| Some(1.0)));
        }
        all.push(floats("utf8 näme", &[("a.b", "ü"), ("job", "a")], |at| Some(f64::from(at))));
        let typed = [("__type__", "counter"), ("__unit__", "seconds"), ("job", "a")];
        all.push(floats("c", &typed, |at| Some(f64::from(at))));
        for kind in ["int", "float", "custom", "gauge", "changing"] {
            all.push(histograms("h", kind));
        }
        let mut mixed = histograms("mixed", "changing");
        mixed.histograms.retain(|point| point.time / EVERY_MS % 3 == 0);
        let other = floats("mixed", &[("kind", "changing")], |at| (at % 3 == 1).then(|| f64::from(at)));
        let is_free = |time: i64| mixed.histograms.iter().all(|point| point.time != time);
        let samples = other.times.iter().zip(&other.values).filter(|(time, _)| is_free(**time));
        (mixed.times, mixed.values) = samples.map(|(time, value)| (*time, *value)).unzip();
        all.push(mixed);
        all.sort_by(|a, b| a.labels.cmp(&b.labels));
        Self(all)
    }
}

impl SampleSource for Series {
    fn select(&self, selection: &Selection<'_>) -> Result<Vec<SeriesData>, SourceError> {
        let (start, end) = (selection.start.0, selection.end.0);
        let is_inside = |time: i64| start <= time && time <= end;
        let matching = self
            .0
            .iter()
            .filter(|one| selection.matchers.iter().all(|matcher| matcher.matches_labels(&one.labels)));
        let parts = matching.map(|one| {
            let kept: Vec<usize> = (0..one.times.len()).filter(|at| is_inside(one.times[*at])).collect();
            SeriesData {
                labels: Arc::clone(&one.labels),
                times: kept.iter().map(|at| one.times[*at]).collect(),
                values: kept.iter().map(|at| one.values[*at]).collect(),
                starts: kept.iter().filter_map(|at| one.starts.get(*at).copied()).collect(),
                histograms: one.histograms.iter().filter(|point| is_inside(point.time)).cloned().collect(),
                has_no_markers: false,
            }
        });
        Ok(parts.filter(|one| one.times.len() + one.histograms.len() > 0).collect())
    }
}

fn labels_of(name: &str, labels: &[(&str, &str)]) -> Arc<Labels> {
    Arc::new(Labels::from_pairs(labels.iter().copied().chain([("__name__", name)])))
}

fn time_of(at: u32) -> i64 {
    FIRST_MS + i64::from(at) * EVERY_MS
}

fn numbers() -> impl Iterator<Item = u32> {
    0..u32::try_from(N_SAMPLES).unwrap_or(0)
}

fn floats(name: &str, labels: &[(&str, &str)], value: impl Fn(u32) -> Option<f64>) -> SeriesData {
    let samples = numbers().filter_map(|at| Some((time_of(at), value(at)?)));
    let (times, values): (Vec<i64>, Vec<f64>) = samples.unzip();
    let has_starts = name == "c";
    let starts = times.iter().map(|time| time - time % 70_000).collect();
    let starts = if has_starts { starts } else { Vec::new() };
    SeriesData {
        labels: labels_of(name, labels),
        times: times.into(),
        values,
        starts,
        ..SeriesData::default()
    }
}

/// Grows, starts again now and then; some end or have gaps.
fn counter(series: u32, at: u32) -> Option<f64> {
    match series {
        1 if at == 30 => Some(f64::from_bits(STALE_NAN_BITS)),
        2 if at % 7 < 3 => None,
        3 if at > 40 => None,
        _ => Some(f64::from(at % (17 + series)) * 1.5),
    }
}

/// Everything that a number can be.
fn gauge(series: u32, at: u32) -> Option<f64> {
    let odd = [
        f64::from_bits(NORMAL_NAN_BITS),
        f64::INFINITY,
        f64::NEG_INFINITY,
        -0.0,
        f64::MAX,
        f64::MIN_POSITIVE / 8.0,
        -1e300,
        f64::from_bits(STALE_NAN_BITS),
    ];
    match series {
        0 => Some((f64::from(at) - 20.0) * 0.1),
        1 => Some(odd.get(at as usize % 11).copied().unwrap_or(f64::from(at))),
        2 if (20..45).contains(&at) => None,
        2 => Some(5.0),
        _ => Some(odd[at as usize % 3]),
    }
}

fn histograms(name: &str, kind: &str) -> SeriesData {
    let point = |at: u32| HistogramPoint {
        time: time_of(at),
        start: if kind == "int" { time_of(at) - 15_000 } else { 0 },
        histogram: Arc::new(histogram(kind, at)),
    };
    let labels = labels_of(name, &[("kind", kind), ("job", "a")]);
    SeriesData { labels, histograms: numbers().map(point).collect(), ..SeriesData::default() }
}

fn histogram(kind: &str, at: u32) -> Histogram {
    // A counter that starts again after 23 samples.
    let grown = u64::from(at % 23);
    if at == 33 {
        return Histogram::without_observations(f64::from_bits(STALE_NAN_BITS), kind == "float");
    }
    let int = Histogram {
        reset_hint: if at == 23 { ResetHint::Reset } else { ResetHint::Unknown },
        schema: 1,
        zero_threshold: 0.001,
        sum: f64::from(at) * 2.5,
        positive_spans: vec![Span { offset: -2, length: 2 }, Span { offset: 3, length: 1 }],
        negative_spans: vec![Span { offset: 0, length: 1 }],
        custom_bounds: Arc::default(),
        counts: Counts::Int(Buckets {
            count: 6 * grown + 1,
            zero_count: grown,
            positive: vec![grown, 2 * grown, 1],
            negative: vec![2 * grown],
        }),
    };
    match (kind, at % 4) {
        ("float", _) | ("changing", 1) => Histogram {
            schema: if at % 10 < 5 { 0 } else { 8 },
            sum: if at == 12 { f64::from_bits(NORMAL_NAN_BITS) } else { f64::from(at) },
            zero_threshold: f64::from(at % 3) * 0.25,
            counts: Counts::Float(Buckets {
                count: 4.5,
                zero_count: 0.5,
                positive: vec![1.0, 0.25, f64::from(at)],
                negative: vec![-1.5],
            }),
            ..int
        },
        ("custom", _) | ("changing", 2) => Histogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            zero_threshold: 0.0,
            positive_spans: vec![Span { offset: 0, length: 3 }],
            negative_spans: Vec::new(),
            custom_bounds: if at < 40 { Arc::from([-1.0, 2.0]) } else { Arc::from([-1.0, 1.0, 2.0]) },
            counts: Counts::Int(Buckets {
                count: 3 * grown,
                zero_count: 0,
                positive: vec![grown; 3],
                negative: Vec::new(),
            }),
            ..int
        },
        ("gauge", _) => Histogram { reset_hint: ResetHint::Gauge, ..int },
        ("changing", 3) => {
            Histogram { schema: -4, positive_spans: vec![Span { offset: -1, length: 3 }], ..int }
        }
        _ => int,
    }
}
