//! What `Options::count_samples` counts.

#![expect(clippy::unwrap_used, reason = "helpers of tests; clippy knows only the test functions themselves")]

use std::sync::Arc;

use cairn_model::{Histogram, Labels, TimeMs};
use cairn_promql::source::HistogramPoint;
use cairn_promql::{
    Options, SampleCounts, SampleSource, Selection, SeriesData, SourceError, eval_instant, eval_range, parse,
};

/// A sample every 10 s from 0 to 1000 s: one series of `one`, three of `three`, one of histograms, `native`.
struct Source;

impl SampleSource for Source {
    fn select(&self, selection: &Selection<'_>) -> Result<Vec<SeriesData>, SourceError> {
        let all = [("native", ""), ("one", ""), ("three", "a"), ("three", "b"), ("three", "c")];
        let series =
            all.iter().map(|(name, host)| Labels::from_pairs([("__name__", *name), ("host", *host)]));
        let selected =
            series.filter(|labels| selection.matchers.iter().all(|one| one.matches_labels(labels)));
        let times: Vec<i64> = (0..=100)
            .map(|i| i * 10_000)
            .filter(|time| (selection.start.0..=selection.end.0).contains(time))
            .collect();
        let point = |time: &i64| HistogramPoint {
            time: *time,
            start: 0,
            histogram: Arc::new(Histogram::without_observations(1.0, false)),
        };
        let data = |labels: Labels| match labels.value("__name__") {
            "native" => SeriesData {
                labels: Arc::new(labels),
                histograms: times.iter().map(point).collect(),
                ..SeriesData::default()
            },
            _ => SeriesData {
                labels: Arc::new(labels),
                times: times.clone().into(),
                values: vec![1.0; times.len()],
                ..SeriesData::default()
            },
        };
        Ok(selected.map(data).collect())
    }
}

fn options() -> Options<'static> {
    Options { count_samples: true, ..Options::default() }
}

fn range(query: &str, start: i64, step: i64, end: i64) -> SampleCounts {
    let [start, end] = [start, end].map(|seconds| TimeMs(seconds * 1000));
    let expr = parse(query).unwrap();
    eval_range(&Source, &expr, start, end, step * 1000, &options()).unwrap().counts.unwrap()
}

fn instant(query: &str, time: i64) -> (u64, u64) {
    let expr = parse(query).unwrap();
    let counts = eval_instant(&Source, &expr, TimeMs(time * 1000), &options()).unwrap().counts.unwrap();
    (counts.queryable[0], counts.read[0])
}

#[test]
fn of_instant_queries() {
    // A histogram without buckets counts as much as two numbers beside its time.
    let size = instant("native", 21).0;
    assert!(size > 1);
    for (query, queryable, read) in [
        ("1", 0, 0),
        ("\"text\"", 0, 0),
        ("one", 1, 1),
        ("three", 3, 3),
        ("one offset 10s", 1, 1),
        ("one @ 15", 1, 1),
        ("timestamp(native)", 1, 1),
        ("one[1m]", 6, 6),
        ("native[1m]", 6 * size, 6 * size),
        ("one[1m] @ 30", 4, 4),
        ("rate(three[1m])", 18, 18),
        ("sum(rate(three[1m] @ 30))", 12, 12),
        ("one[1m:5s]", 12, 12),
        ("max_over_time(three[1m:5s])", 36, 36),
        // At 185, 190, 195 and 200 s; each sample is read once.
        ("max_over_time(one[1m])[20s:5s]", 24, 8),
        // The windows of the outer call hold 4 values.
        ("sum_over_time(max_over_time(one[1m])[20s:5s])", 4, 8),
        ("rate(one[1m]) + on () group_right () rate(three[1m])", 24, 24),
    ] {
        assert_eq!(instant(query, 201), (queryable, read), "{query}");
    }
    let expr = parse("one").unwrap();
    let answer = eval_instant(&Source, &expr, TimeMs(201_000), &Options::default()).unwrap();
    assert_eq!(answer.counts, None);
}

#[test]
fn of_the_steps_of_range_queries() {
    for (query, queryable, read) in [
        ("one", [1, 1, 1, 1], [1, 1, 1, 1]),
        ("one @ 30", [1, 1, 1, 1], [1, 0, 0, 0]),
        ("rate(one[1m])", [6, 6, 6, 6], [6, 0, 1, 0]),
        ("rate(one[1m] @ 30)", [4, 4, 4, 4], [4, 0, 0, 0]),
        ("sum(rate(three[1m])) + sum(three)", [21, 21, 21, 21], [21, 3, 6, 3]),
        // What lies inside is at 145, 150, ... 200, then one more a step; each takes one sample.
        ("max_over_time(one[1m:5s])", [12, 12, 12, 12], [12, 1, 1, 1]),
        ("max_over_time(one[1m:5s] offset 1m)", [12, 12, 12, 12], [12, 1, 1, 1]),
    ] {
        let counts = range(query, 201, 5, 216);
        assert_eq!((&counts.queryable[..], &counts.read[..]), (&queryable[..], &read[..]), "{query}");
    }
    // Inner steps between the windows are evaluated, and used by none.
    let counts = range("max_over_time(one[20s:10s])", 200, 100, 400);
    assert_eq!((counts.queryable, counts.read), (vec![2, 2, 2], vec![2, 2, 2]));
    // Borders have neighbours up to the lookback away.
    let counts = range("increase(one[1m] anchored)", 700, 10, 710);
    assert_eq!((counts.queryable, counts.read), (vec![36, 36], vec![36, 1]));
}

#[test]
fn a_step_counts_what_it_would_count_alone() {
    for query in [
        "three",
        "native",
        "sum by (host) (three)",
        "rate(three[95s])",
        "histogram_count(rate(native[2m]))",
        "three - three offset 1m",
        "max_over_time(rate(three[1m])[3m:20s])",
        "max_over_time(rate(three[1m] @ 60)[3m:20s])",
        "absent_over_time(one[1m])",
        "predict_linear(one[2m] @ 100, time())",
        "three and on () one",
        "vector(scalar(one)) + timestamp(one)",
        "increase(three[1m] smoothed)",
        "sum(one @ end()) + count(three)",
    ] {
        let counts = range(query, 300, 35, 600);
        for (step, queryable) in counts.queryable.iter().enumerate() {
            let time = 300 + 35 * i64::try_from(step).unwrap();
            // `@ end()` stands for the end of the range query.
            let alone = instant(&query.replace("end()", "600"), time).0;
            assert_eq!(*queryable, alone, "{query} at {time}");
        }
        let read: u64 = counts.read.iter().sum();
        assert!(read > 0 && counts.read.len() == counts.queryable.len(), "{query}");
    }
}
