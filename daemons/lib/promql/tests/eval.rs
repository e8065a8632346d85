//! Evaluation: limits, shared reads, agreement between range and instant queries, hostile trees.

#![expect(clippy::unwrap_used, reason = "helpers of tests; clippy knows only the test functions themselves")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cairn_model::float_histogram::IndexedCount;
use cairn_model::histogram::ResetHint;
use cairn_model::{FloatHistogram, Histogram, Labels, TimeMs};
use cairn_promql::source::{HistogramPoint, TooManySamples};
use cairn_promql::{
    EvalError, Options, Sample, SampleSource, Selection, SeriesData, SourceError, Stop, Value, eval_instant,
    eval_range, parse,
};
use proptest::prelude::*;

/// Series in memory, with a count of reads.
#[derive(Default)]
struct Source {
    series: Vec<SeriesData>,
    n_reads: AtomicUsize,
}

impl Source {
    fn add(&mut self, labels: &[(&str, &str)], samples: impl Iterator<Item = (i64, f64)>) {
        let (times, values) = samples.unzip();
        let labels = Arc::new(Labels::from_pairs(labels.iter().copied()));
        self.series.push(SeriesData { labels, times, values, ..SeriesData::default() });
        self.series.sort_by(|a, b| a.labels.cmp(&b.labels));
    }

    /// Counters that are reset now and then, gauges with gaps, buckets, and one series that ends with a marker.
    fn usual() -> Self {
        let mut source = Self::default();
        for (index, host) in ["a", "b", "c"].into_iter().enumerate() {
            let slope = f64::from(u32::try_from(index).unwrap() + 1);
            let counter = move |i: i64| (i * 15_000, f64::from(i32::try_from(i % 37).unwrap()) * slope);
            source
                .add(&[("__name__", "requests_total"), ("host", host), ("job", "x")], (0..240).map(counter));
            let gauge =
                move |i: i64| (i * 15_000 + 7, (f64::from(i32::try_from(i).unwrap()) * slope).sin() * 10.0);
            source.add(&[("__name__", "load"), ("host", host)], (0..240).filter(|i| i % 50 < 40).map(gauge));
            for (le, share) in [("0.1", 1.0), ("1", 3.0), ("+Inf", 4.0)] {
                let bucket = move |i: i64| (i * 15_000, f64::from(i32::try_from(i).unwrap()) * share * slope);
                source.add(&[("__name__", "d_bucket"), ("host", host), ("le", le)], (0..240).map(bucket));
            }
        }
        let stale = f64::from_bits(cairn_promql::source::STALE_NAN_BITS);
        source.add(&[("__name__", "gone")], (0..20).map(|i| (i * 15_000, if i == 19 { stale } else { 1.0 })));
        source
    }
}

impl SampleSource for Source {
    fn select(&self, selection: &Selection<'_>) -> Result<Vec<SeriesData>, SourceError> {
        self.n_reads.fetch_add(1, Ordering::Relaxed);
        let selected =
            self.series.iter().filter(|s| selection.matchers.iter().all(|m| m.matches_labels(&s.labels)));
        Ok(selected
            .map(|s| {
                let inside = |t: &&i64| **t >= selection.start.0 && **t <= selection.end.0;
                let lo = s.times.iter().position(|t| inside(&t)).unwrap_or(0);
                let n = s.times.iter().filter(inside).count();
                SeriesData {
                    labels: Arc::clone(&s.labels),
                    times: s.times[lo..lo + n].to_vec().into(),
                    values: s.values[lo..lo + n].to_vec(),
                    histograms: s.histograms.iter().filter(|point| inside(&&point.time)).cloned().collect(),
                    ..SeriesData::default()
                }
            })
            .filter(|s| !s.times.is_empty() || !s.histograms.is_empty())
            .collect())
    }
}

struct Full;

impl SampleSource for Full {
    fn select(&self, _: &Selection<'_>) -> Result<Vec<SeriesData>, SourceError> {
        Err(TooManySamples.into())
    }
}

struct Broken;

impl SampleSource for Broken {
    fn select(&self, _: &Selection<'_>) -> Result<Vec<SeriesData>, SourceError> {
        Err("block 7: checksum mismatch".into())
    }
}

const QUERIES: [&str; 45] = [
    "requests_total",
    "requests_total offset 3m",
    "load @ 600",
    "rate(requests_total[5m])",
    "increase(requests_total[7m])",
    "irate(requests_total[1m])",
    "sum by (host) (rate(requests_total[5m]))",
    "sum(rate(requests_total[5m])) / count(requests_total)",
    "sum by (host) (rate(requests_total{host!=\"a\"}[5m])) / sum by (host) (rate(requests_total[5m]))",
    "avg without (host) (load)",
    "stddev(load)",
    "max(load) - min(load)",
    "topk(2, load)",
    "bottomk by (host) (1, load)",
    "quantile(0.3, load)",
    "count_values(\"v\", round(load))",
    "limit_ratio(0.5, load)",
    "load > 3",
    "load > bool 3",
    "3 < load",
    "load * on (host) group_left (job) requests_total",
    "load + ignoring (job) requests_total",
    "load and load > 0",
    "load or requests_total",
    "load unless load > 0",
    "histogram_quantile(0.9, sum by (le) (rate(d_bucket[5m])))",
    "histogram_fraction(0, 0.5, rate(d_bucket[5m]))",
    "avg_over_time(load[10m])",
    "sum_over_time(load[10m])",
    "min_over_time(load[10m])",
    "max_over_time(load[10m])",
    "stddev_over_time(load[10m])",
    "quantile_over_time(0.7, load[10m])",
    "changes(requests_total[10m]) + resets(requests_total[10m])",
    "deriv(load[10m])",
    "predict_linear(load[10m], 600)",
    "double_exponential_smoothing(load[10m], 0.3, 0.4)",
    "max_over_time(rate(requests_total[1m])[10m:30s])",
    "absent(gone)",
    "absent_over_time(gone[2m])",
    "label_replace(load, \"h\", \"$1-\", \"host\", \"(.*)\")",
    "timestamp(load)",
    "scalar(gone) + time()",
    "hour(vector(time())) + minute()",
    "-load ^ 2 % 3 atan2 1",
];

/// Labels to value at one time.
fn at_instant(source: &Source, query: &str, time: i64) -> BTreeMap<String, f64> {
    match eval_instant(source, &parse(query).unwrap(), TimeMs(time), &Options::default()).unwrap().value {
        Value::Vector(vector) => vector
            .into_iter()
            .map(|s| match s.value {
                Sample::Float(value) => (s.labels.to_string(), value),
                Sample::Histogram(histogram) => panic!("{query}: {histogram}"),
            })
            .collect(),
        Value::Scalar(point) => [("{}".to_owned(), point.value)].into(),
        other => panic!("{query}: {other:?}"),
    }
}

#[test]
fn a_range_query_is_its_instant_queries() {
    let source = Source::usual();
    let (start, end, step) = (60_000, 3_700_000, 47_000);
    for query in QUERIES {
        let answer = eval_range(
            &source,
            &parse(query).unwrap(),
            TimeMs(start),
            TimeMs(end),
            step,
            &Options::default(),
        )
        .unwrap();
        let Value::Matrix(matrix) = answer.value else { panic!("{query}") };
        let mut by_time: BTreeMap<i64, BTreeMap<String, f64>> = BTreeMap::new();
        for series in matrix {
            for point in &series.points {
                by_time.entry(point.time.0).or_default().insert(series.labels.to_string(), point.value);
            }
        }
        for time in (start..=end).step_by(usize::try_from(step).unwrap()) {
            let got = by_time.remove(&time).unwrap_or_default();
            let want = at_instant(&source, query, time);
            assert_eq!(got.keys().collect::<Vec<_>>(), want.keys().collect::<Vec<_>>(), "{query} at {time}");
            for (labels, want) in &want {
                let got = got[labels];
                let is_close =
                    (got - want).abs() <= want.abs().max(1.0) * 1e-9 || (got.is_nan() && want.is_nan());
                assert!(is_close, "{query} at {time}: {labels} {got}, alone {want}");
            }
        }
        assert!(by_time.is_empty(), "{query}: steps that were not asked for");
    }
}

#[test]
fn a_selector_that_occurs_twice_is_read_once() {
    let source = Source::usual();
    let query = parse("rate(requests_total[5m]) / requests_total + requests_total offset 1m").unwrap();
    eval_range(&source, &query, TimeMs(600_000), TimeMs(900_000), 15_000, &Options::default()).unwrap();
    assert_eq!(source.n_reads.load(Ordering::Relaxed), 1);
}

#[test]
fn a_selector_that_is_a_part_of_another_one_is_read_with_it() {
    for (query, n_reads, want) in [
        (
            "sum by (host) (rate(requests_total{host!=\"a\"}[5m])) / sum by (host) (rate(requests_total[5m]))",
            1,
            2,
        ),
        ("requests_total{host=\"b\", job=\"x\"} + requests_total{job=\"x\"} + requests_total", 1, 1),
        ("requests_total{host=\"b\", job=\"x\"} + requests_total{job=\"x\", host=\"b\"}", 1, 1),
        ("requests_total{host=\"a\"} + ignoring (host) requests_total{host=\"b\"}", 2, 1),
        // It looks further back than the other one.
        ("rate(requests_total{host=\"a\"}[10m]) / rate(requests_total[5m])", 2, 1),
        ("rate(requests_total{host=\"a\"}[5m]) / rate(requests_total[10m])", 1, 1),
    ] {
        let source = Source::usual();
        let expr = parse(query).unwrap();
        let (start, end) = (TimeMs(900_000), TimeMs(1_500_000));
        let answer = eval_range(&source, &expr, start, end, 15_000, &Options::default()).unwrap();
        let Value::Matrix(matrix) = answer.value else { panic!("{query}") };
        assert_eq!((source.n_reads.into_inner(), matrix.len()), (n_reads, want), "{query}");
        assert!(matrix.iter().all(|series| series.points.len() == 41), "{query}");
    }
}

#[test]
fn limits_and_stops_are_told_apart() {
    let source = Source::usual();
    let query = parse("sum(rate(requests_total[5m]))").unwrap();
    let eval = |options: &Options<'_>| {
        eval_range(&source, &query, TimeMs(0), TimeMs(3_000_000), 1_000, options).map(|_| ())
    };
    assert!(matches!(
        eval(&Options { max_samples: 100, ..Options::default() }),
        Err(EvalError::TooManySamples)
    ));
    let timed_out = || Some(Stop::TimedOut);
    assert!(matches!(
        eval(&Options { stop: Some(&timed_out), ..Options::default() }),
        Err(EvalError::TimedOut)
    ));
    let canceled = || Some(Stop::Canceled);
    assert!(matches!(
        eval(&Options { stop: Some(&canceled), ..Options::default() }),
        Err(EvalError::Canceled)
    ));
    let broken = eval_instant(&Broken, &query, TimeMs(0), &Options::default());
    assert!(matches!(broken, Err(EvalError::Source(error)) if error.to_string().contains("block 7")));
    let refused = eval_instant(&Full, &query, TimeMs(0), &Options::default());
    assert!(matches!(refused, Err(EvalError::TooManySamples)));
    for (start, end, step) in [(0, -1, 1), (0, 1, 0), (0, 1, -1), (i64::MIN, i64::MAX, 1)] {
        let got = eval_range(&source, &query, TimeMs(start), TimeMs(end), step, &Options::default());
        assert!(matches!(got, Err(EvalError::BadData(_))), "{start} {end} {step}");
    }
}

/// A sorted window of 40,000 values moves that many with each step, so that one series alone can take minutes.
#[test]
fn what_a_subquery_holds_at_each_of_its_steps_counts_against_the_limit() {
    let source = Source::usual();
    let eval = |query: &str, max_samples: u64| {
        let options = Options { max_samples, ..Options::default() };
        eval_instant(&source, &parse(query).unwrap(), TimeMs(3_600_000), &options)
    };
    // A series of 3,600 values in it, of a selector or of no selector at all.
    for query in ["resets(timestamp(gone)[1h:1s])", "max_over_time(vector(time())[1h:1s])"] {
        assert!(matches!(eval(query, 3_500), Err(EvalError::TooManySamples)), "{query}");
        assert!(eval(query, 4_000).is_ok(), "{query}");
    }
    // So many scalars are in memory at once, while the innermost is computed.
    for (head, inner, tail) in [
        ("time() + (", "time()", ")"),
        ("min_of(time(), time()) + (", "time()", ")"),
        ("scalar(absent(gone)) + (", "time()", ")"),
        ("scalar(absent(vector(", "time()", ")))"),
        ("scalar(time() + vector(", "time()", "))"),
        ("scalar(quantile(time(), vector(", "time()", ")))"),
        ("scalar(topk(time(), vector(", "time()", ")))"),
        ("scalar(clamp_min(vector(", "time()", "), time()))"),
        ("scalar(histogram_quantile(time(), vector(", "time()", ")))"),
    ] {
        let scalars = format!("{}{inner}{}", head.repeat(20), tail.repeat(20));
        let query = format!("max_over_time(vector({scalars})[1h:1s])");
        assert!(matches!(eval(&query, 12_000), Err(EvalError::TooManySamples)), "{query}");
        eval(&query, 50 * 3_600).unwrap();
    }
}

#[test]
fn label_values_do_not_grow_without_limit() {
    let source = Source::usual();
    let eval = |query: &str, max_samples: u64| {
        let options = Options { max_samples, ..Options::default() };
        eval_instant(&source, &parse(query).unwrap(), TimeMs(60_000), &options)
    };
    let refused = |query: &str| match eval(query, 1_000_000) {
        Err(EvalError::Execution(message)) => message,
        other => panic!("{other:?}"),
    };
    let doubled = |n: usize| {
        let tail = ", \"host\", \"$1$1\", \"host\", \"(.*)\")";
        format!("{}load{}", "label_replace(".repeat(n), tail.repeat(n))
    };
    assert!(eval(&doubled(10), 1_000_000).is_ok());
    assert_eq!(
        refused(&doubled(40)),
        "label_replace() would make a label value of up to 65540 bytes, at most 65536 are allowed"
    );
    // Three series with 2 KiB each are charged for it.
    assert!(matches!(eval(&doubled(11), 500), Err(EvalError::TooManySamples)));
    assert!(eval(&doubled(11), 1_500).is_ok());
    let joined = format!("label_join(load, \"x\", \"{}\"{})", "-".repeat(1000), ", \"host\"".repeat(100));
    assert_eq!(
        refused(&joined),
        "label_join() would make a label value of up to 99100 bytes, at most 65536 are allowed"
    );
}

#[test]
fn quantiles_of_quantiles_are_evaluated_once() {
    let source = Source::usual();
    let query = format!(
        "{}d_bucket{}",
        "histogram_quantiles(".repeat(60),
        ", \"q\", 0.1, 0.2, 0.3, 0.4, 0.5)".repeat(60)
    );
    let query = parse(&query).unwrap();
    let answer = eval_instant(&source, &query, TimeMs(60_000), &Options::default()).unwrap();
    assert_eq!(answer.value, Value::Vector(Vec::new()));
}

#[test]
fn a_query_of_one_series_is_asked_whether_to_stop_while_it_computes() {
    let mut source = Source::default();
    let value = |i: i64| f64::from(i32::try_from(i * 7919 % 40_009).unwrap());
    source.add(&[("__name__", "m")], (0..44_000).map(|i| (i * 1000, value(i))));
    let n_asked = |query: &str| {
        let n_asked = AtomicUsize::new(0);
        let stop = || {
            n_asked.fetch_add(1, Ordering::Relaxed);
            None
        };
        let options = Options { stop: Some(&stop), ..Options::default() };
        let query = parse(query).unwrap();
        eval_range(&source, &query, TimeMs(40_000_000), TimeMs(44_000_000), 1000, &options).unwrap();
        n_asked.load(Ordering::Relaxed)
    };
    let (cheap, dear) = (n_asked("max_over_time(m[40000s])"), n_asked("quantile_over_time(0.5, m[40000s])"));
    assert!(dear > cheap + 50, "asked {cheap} and {dear} times");
}

#[test]
fn absurd_times_do_not_overflow() {
    let source = Source::usual();
    for query in [
        "rate(load[290y])",
        "load offset 290y",
        "load offset -290y",
        "load @ 9223372036854774",
        "sum_over_time(load[1h:5m] @ -9223372036854774)",
        "last_over_time(load[1m] smoothed offset -290y)",
        "increase(requests_total[290y] smoothed)",
        "hour(vector(1e300)) + year(vector(-1e300))",
    ] {
        for time in [i64::MIN, -1, 0, i64::MAX] {
            let _ = eval_instant(&source, &parse(query).unwrap(), TimeMs(time), &Options::default());
        }
    }
    let endless = parse("max_over_time(load[200y:1ms])").unwrap();
    assert!(eval_instant(&source, &endless, TimeMs(0), &Options::default()).is_err());
}

#[test]
fn the_deepest_trees_evaluate_on_a_worker_s_stack() {
    let deep = [
        format!("{}load{}", "(".repeat(140), ")".repeat(140)),
        format!("{}load{}", "abs(".repeat(140), ")".repeat(140)),
        format!("{}load{}", "sum(".repeat(140), ")".repeat(140)),
        format!("load{}", " + load".repeat(1190)),
        format!("load{}", " or load".repeat(1190)),
        format!("load{}", " * 1 / 2".repeat(590)),
        format!("vector(1{})", " + 1".repeat(1190)),
        format!("load{}", " unless gone".repeat(1190)),
        format!("{}load{}", "(".repeat(140), " > 0) or load and load unless gone".repeat(140)),
        format!("max_over_time((load{})[5m:1m])", " + load".repeat(1100)),
        format!("{}load{}", "max_over_time(".repeat(70), "[1m:1m])".repeat(70)),
        format!("{}1{}", "-(".repeat(70), ")".repeat(70)),
    ];
    std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(move || {
            let source = Source::usual();
            for query in deep {
                let expr = parse(&query).unwrap_or_else(|error| panic!("{query}: {error}"));
                eval_instant(&source, &expr, TimeMs(900_000), &Options::default()).unwrap();
                let (start, end) = (TimeMs(600_000), TimeMs(900_000));
                eval_range(&source, &expr, start, end, 60_000, &Options::default()).unwrap();
            }
        })
        .unwrap()
        .join()
        .unwrap();
}

/// A random expression of the language, not always well typed.
fn query() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "load",
        "requests_total",
        "gone",
        "d_bucket",
        "{job=~\".+\"}",
        "load[5m]",
        "requests_total[2m]",
        "1",
        "0",
        "-1",
        "NaN",
        "Inf",
        "0.5",
        "time()",
        "5m",
        "load @ 300",
        "load offset -2m",
        "\"le\"",
        "vector(1)",
        "load smoothed",
        "requests_total[1m] anchored",
        "d_bucket[3m] smoothed",
        "{__name__=~\"load|gone\"}",
        "latency",
        "latency[3m]",
        "latency[3m] anchored",
        "size[2m] smoothed",
        "mixed",
        "mixed[4m]",
        "mixed smoothed",
        "{host=\"a\"}",
    ])
    .prop_map(str::to_owned);
    let functions: Vec<&str> = cairn_promql::functions::FUNCTIONS.iter().map(|f| f.name).collect();
    leaf.prop_recursive(5, 40, 3, move |inner| {
        prop_oneof![
            (prop::sample::select(functions.clone()), prop::collection::vec(inner.clone(), 0..4))
                .prop_map(|(name, args)| format!("{name}({})", args.join(", "))),
            (
                prop::sample::select(vec!["sum", "avg", "min", "stddev", "count", "group", "max"]),
                prop::sample::select(vec!["", "by (host)", "without (le)", "by (__name__)"]),
                inner.clone()
            )
                .prop_map(|(op, by, arg)| format!("{op} {by} ({arg})")),
            (
                prop::sample::select(vec![
                    "topk",
                    "bottomk",
                    "quantile",
                    "limitk",
                    "limit_ratio",
                    "count_values"
                ]),
                inner.clone(),
                inner.clone()
            )
                .prop_map(|(op, param, arg)| format!("{op}({param}, {arg})")),
            (
                inner.clone(),
                prop::sample::select(vec![
                    "+",
                    "-",
                    "*",
                    "/",
                    "%",
                    "^",
                    "atan2",
                    "==",
                    "!= bool",
                    ">",
                    "< bool",
                    "and",
                    "or",
                    "unless",
                    "</",
                    "+ on (host)",
                    "* on (host) group_left (job)",
                    "== ignoring (job) fill (1)",
                    "- on (host) group_right () fill_left (2)",
                    "and on (host)",
                ]),
                inner.clone()
            )
                .prop_map(|(left, op, right)| format!("({left}) {op} ({right})")),
            inner.clone().prop_map(|arg| format!("({arg})[4m:1m]")),
            inner.prop_map(|arg| format!("-{arg}")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(20_000) })]

    #[test]
    fn any_query_is_answered_or_refused(query in query(), delayed_name_removal in any::<bool>()) {
        let Ok(expr) = parse(&query) else { return Ok(()) };
        let mut source = Source::usual();
        source.series.extend(histograms().series);
        source.series.sort_by(|a, b| a.labels.cmp(&b.labels));
        let options = Options { delayed_name_removal, ..Options::default() };
        let counting = Options { count_samples: true, ..options };
        if let Ok(answer) = eval_instant(&source, &expr, TimeMs(900_000), &options) {
            let counted = eval_instant(&source, &expr, TimeMs(900_000), &counting).unwrap();
            let total: u64 = counted.counts.unwrap().queryable.iter().sum();
            prop_assert_eq!(answer.stats.samples_queryable, total, "{}", query);
        }
        if let Ok(answer) = eval_range(&source, &expr, TimeMs(0), TimeMs(900_000), 61_000, &options) {
            let counted =
                eval_range(&source, &expr, TimeMs(0), TimeMs(900_000), 61_000, &counting).unwrap();
            let total: u64 = counted.counts.unwrap().queryable.iter().sum();
            prop_assert_eq!(answer.stats.samples_queryable, total, "{}", query);
            let Value::Matrix(matrix) = answer.value else { panic!("{query}") };
            for series in &matrix {
                prop_assert!(series.points.iter().all(|p| !cairn_promql::source::is_stale(p.value)), "{}", query);
                let times = series.points.iter().map(|point| point.time);
                let both = times.chain(series.histograms.iter().map(|point| point.time));
                let n_times = both.collect::<std::collections::BTreeSet<_>>().len();
                prop_assert_eq!(n_times, series.points.len() + series.histograms.len(), "{}", query);
            }
            prop_assert!(matrix.windows(2).all(|pair| pair[0].labels < pair[1].labels), "{}", query);
        }
    }
}

/// Histograms that grow and are reset now and then, a counter and a gauge, and a series of both kinds of samples.
fn histograms() -> Source {
    let mut source = Source::default();
    for (name, hint) in [("latency", ResetHint::Unknown), ("size", ResetHint::Gauge)] {
        for (host, schema) in [("a", 2), ("b", 3)] {
            let point = |i: i64| {
                let n = f64::from(u32::try_from(i % 53).unwrap());
                let counts = [n, 2.0 * n, (n / 4.0).floor()];
                let histogram = FloatHistogram {
                    reset_hint: hint,
                    schema,
                    zero_threshold: 0.01,
                    zero_count: n,
                    count: n + counts.iter().sum::<f64>(),
                    sum: n * 3.5,
                    positive: (i32::from(schema)..)
                        .zip(counts)
                        .map(|(index, count)| IndexedCount { index, count })
                        .collect(),
                    negative: Vec::new(),
                    custom_bounds: Arc::default(),
                };
                let histogram = Arc::new(Histogram::from(&histogram));
                HistogramPoint { time: i * 15_000, start: 0, histogram }
            };
            let labels = Labels::from_pairs([("__name__", name), ("host", host)]);
            let histograms = (0..240).filter(|i| i % 70 < 60).map(point).collect();
            source.series.push(SeriesData { labels: Arc::new(labels), histograms, ..SeriesData::default() });
        }
    }
    let mut mixed = source.series[0].clone();
    mixed.labels = Arc::new(Labels::from_pairs([("__name__", "mixed"), ("host", "a")]));
    mixed.histograms.retain(|point| point.time % 60_000 == 0);
    mixed.times = (0..240).map(|i| i * 15_000).filter(|time| time % 60_000 != 0).collect();
    mixed.values = mixed.times.iter().map(|time| f64::from(u32::try_from(*time).unwrap())).collect();
    source.series.push(mixed);
    source.series.sort_by(|a, b| a.labels.cmp(&b.labels));
    source
}

const HISTOGRAM_QUERIES: [&str; 26] = [
    "latency",
    "mixed",
    "rate(latency[5m])",
    "increase(latency[3m] anchored)",
    "rate(latency[3m] smoothed)",
    "latency smoothed",
    "irate(mixed[2m])",
    "delta(size[5m])",
    "sum(latency)",
    "avg(rate(latency[5m]))",
    "count(mixed or latency)",
    "sum_over_time(size[4m])",
    "avg_over_time(size[4m])",
    "last_over_time(mixed[4m])",
    "first_over_time(mixed[4m])",
    "count_over_time(mixed[4m])",
    "changes(mixed[4m]) + resets(latency[20m])",
    "histogram_quantile(0.9, sum(rate(latency[5m])))",
    "histogram_fraction(0, 3, latency)",
    "histogram_stddev(latency)",
    "latency + ignoring (host) group_left size{host=\"a\"}",
    "latency == latency",
    "2 * size - size",
    "size </ 2",
    "limitk(1, latency)",
    "histogram_count(max_over_time(histogram_count(latency)[5m:1m]) * latency)",
];

#[test]
fn a_range_query_of_histograms_is_its_instant_queries() {
    let source = histograms();
    let (start, end, step) = (60_000, 3_700_000, 47_000);
    for query in HISTOGRAM_QUERIES {
        let expr = parse(query).unwrap();
        let options = Options::default();
        let range = eval_range(&source, &expr, TimeMs(start), TimeMs(end), step, &options).unwrap().value;
        let Value::Matrix(matrix) = range else { panic!("{query}: no matrix") };
        let mut n_samples = 0;
        for time in (start..=end).step_by(47_000) {
            let mut at_step = BTreeMap::new();
            for series in &matrix {
                let floats = series.points.iter().filter(|point| point.time.0 == time);
                let histograms = series.histograms.iter().filter(|point| point.time.0 == time);
                let texts = floats
                    .map(|point| point.value.to_string())
                    .chain(histograms.map(|point| format!("{:?}", point.histogram)));
                at_step.extend(texts.map(|text| (series.labels.to_string(), text)));
            }
            n_samples += at_step.len();
            let instant = eval_instant(&source, &expr, TimeMs(time), &options).unwrap().value;
            let Value::Vector(vector) = instant else { panic!("{query}: no vector") };
            let alone: BTreeMap<String, String> = vector
                .into_iter()
                .map(|sample| match sample.value {
                    Sample::Float(value) => (sample.labels.to_string(), value.to_string()),
                    Sample::Histogram(histogram) => (sample.labels.to_string(), format!("{histogram:?}")),
                })
                .collect();
            assert_eq!(at_step, alone, "{query} at {time}");
        }
        assert!(n_samples > 10, "{query} has too few results to tell anything: {n_samples}");
    }
}
