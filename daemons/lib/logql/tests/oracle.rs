//! The engine against plain recomputation on random data, and trees against their text.

#![allow(clippy::unwrap_used, reason = "a test: whatever is not as it should be fails it")]

mod support;

use std::collections::BTreeMap;

use cairn_logql::ast::*;
use cairn_logql::{
    Direction, Expr, LogQuery, MetricValue, Options, parse, query_instant, query_logs, query_range,
};
use cairn_model::{Labels, MatchOp, Matcher, TimeNs};
use proptest::prelude::*;
use support::MemorySource;

/// A few streams with lines `level=... n=...` at random times.
fn source_of(lines: &[(u8, i64, u8)]) -> MemorySource {
    let mut source = MemorySource::default();
    for (stream, time, n) in lines {
        let stream = format!("s{}", stream % 3);
        let labels = Labels::from_pairs([("app", "x"), ("host", stream.as_str())]);
        let level = ["error", "info", "warn"][usize::from(n % 3)];
        source.push(&labels, *time, &format!("level={level} n={n}"), &[]);
    }
    source
}

fn metric(query: &str) -> MetricExpr {
    match parse(query).unwrap() {
        Expr::Metric(metric) => metric,
        Expr::Log(_) => panic!("{query} is a log query"),
    }
}

/// What the definition says: for each step and label set, the lines whose time is in the window.
fn naive(
    source: &MemorySource,
    labels_of: impl Fn(&Labels, &str) -> Option<Vec<(String, String)>>,
    steps: &[i64],
    range: i64,
) -> BTreeMap<Labels, Vec<(i64, f64)>> {
    let mut out: BTreeMap<Labels, Vec<(i64, f64)>> = BTreeMap::new();
    for step in steps {
        let mut counts: BTreeMap<Labels, f64> = BTreeMap::new();
        for (stream, entries) in source.streams() {
            for entry in entries {
                if entry.time.0 <= step - range || entry.time.0 > *step {
                    continue;
                }
                if let Some(labels) = labels_of(stream, std::str::from_utf8(&entry.line).unwrap()) {
                    *counts.entry(Labels::from_pairs(labels)).or_default() += 1.0;
                }
            }
        }
        for (labels, count) in counts {
            out.entry(labels).or_default().push((*step, count));
        }
    }
    out
}

fn matrix(value: MetricValue) -> BTreeMap<Labels, Vec<(i64, f64)>> {
    match value {
        MetricValue::Matrix(series) => {
            let points = |s: &cairn_logql::Series| s.points.iter().map(|(t, v)| (t.0, *v)).collect();
            series.iter().map(|s| (s.labels.clone(), points(s))).collect()
        }
        other => panic!("no matrix: {other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn counts_and_rates_agree_with_the_definition(
        lines in proptest::collection::vec((0u8..3, 1_000i64..2_000, 0u8..30), 0..120),
        start in 900i64..1_500,
        length in 0i64..600,
        step in 1i64..200,
        range_ms in 1i64..3,
    ) {
        // Times are in nanoseconds, ranges in whole milliseconds: stretch the data to meet them.
        let ms = 1_000_000;
        let scaled: Vec<(u8, i64, u8)> = lines.iter().map(|(s, t, n)| (*s, t * ms / 100, *n)).collect();
        let source = source_of(&scaled);
        let (start, end, step) = (start * ms / 100, (start + length) * ms / 100, step * ms / 100);
        let first = start.div_euclid(step) * step;
        let steps: Vec<i64> = (0..).map(|i| first + i * step).take_while(|t| t - step < end).collect();
        let steps = if steps.is_empty() { vec![first] } else { steps };
        let range = range_ms * ms;
        let options = Options::default();
        let ask = |query: &str| {
            let query = query.replace("RANGE", &format!("[{range_ms}ms]"));
            matrix(query_range(&source, &metric(&query), TimeNs(start), TimeNs(end), step, &options).unwrap().value)
        };
        let pairs = |labels: &[(&str, &str)]| labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect::<Vec<_>>();

        let by_host = |stream: &Labels, line: &str| {
            line.contains("level=error").then(|| pairs(&[("host", stream.value("host"))]))
        };
        let want = naive(&source, by_host, &steps, range);
        prop_assert_eq!(ask(r#"sum by (host) (count_over_time({app="x"} |= "level=error" RANGE))"#), want.clone());

        let rates: BTreeMap<Labels, Vec<(i64, f64)>> = want
            .into_iter()
            .map(|(labels, points)| (labels, points.into_iter().map(|(t, v)| (t, v / (range_ms as f64 / 1000.0))).collect()))
            .collect();
        let got = ask(r#"sum by (host) (rate({app="x"} | logfmt | level="error" RANGE))"#);
        prop_assert_eq!(got.keys().collect::<Vec<_>>(), rates.keys().collect::<Vec<_>>());
        for (labels, points) in &rates {
            for (a, b) in points.iter().zip(&got[labels]) {
                prop_assert!(a.0 == b.0 && (a.1 - b.1).abs() < 1e-9, "{:?} {:?}", a, b);
            }
        }

        let by_level = |_: &Labels, line: &str| {
            Some(pairs(&[("level", line.split([' ', '=']).nth(1).unwrap())]))
        };
        prop_assert_eq!(
            ask(r#"sum by (level) (count_over_time({app="x"} | logfmt RANGE))"#),
            naive(&source, by_level, &steps, range)
        );

        // An instant query is the range query of one step.
        let last = *steps.last().unwrap();
        let query = metric(&format!(r#"count_over_time({{app="x"}}[{range_ms}ms])"#));
        let instant = query_instant(&source, &query, TimeNs(last), &options).unwrap().value;
        let MetricValue::Vector(samples) = instant else { panic!("no vector") };
        let total: f64 = samples.iter().map(|s| s.value).sum();
        let all = naive(&source, |_, _| Some(Vec::new()), &[last], range);
        prop_assert_eq!(total, all.values().flatten().map(|p| p.1).sum::<f64>());
    }

    #[test]
    fn logs_come_in_order_and_up_to_the_limit(
        lines in proptest::collection::vec((0u8..3, 0i64..100, 0u8..30), 0..80),
        limit in 1usize..50,
        forward in any::<bool>(),
    ) {
        let source = source_of(&lines);
        let Expr::Log(log) = parse(r#"{app="x"} | logfmt | n > 9"#).unwrap() else { panic!("a log query") };
        let direction = if forward { Direction::Forward } else { Direction::Backward };
        let query = LogQuery { start: TimeNs(10), end: TimeNs(90), limit, direction, interval: 0 };
        let answer = query_logs(&source, &log, &query, &Options::default()).unwrap();
        let mut want: Vec<i64> = source
            .streams()
            .flat_map(|(_, entries)| entries)
            .filter(|e| (10..90).contains(&e.time.0))
            .filter(|e| std::str::from_utf8(&e.line).unwrap().rsplit('=').next().unwrap().parse::<u8>().unwrap() > 9)
            .map(|e| e.time.0)
            .collect();
        want.sort_unstable();
        if !forward {
            want.reverse();
        }
        want.truncate(limit);
        let got: Vec<i64> = answer.entries.iter().map(|e| e.time.0).collect();
        prop_assert_eq!(got, want);
    }

    #[test]
    fn no_text_panics(text in r#"(\{|\}|\(|\)|\[5m\]|\||=|=~|!=|"a"|`b`|a|,| |sum|rate|by|json|logfmt|unwrap|drop|or|and|1|5s|2KB|-|offset|#|\n){0,30}"#) {
        let _ = parse(&text);
        let _ = cairn_logql::parse_selector(&text);
    }

    #[test]
    fn any_bytes_do_not_panic(text in ".{0,60}") {
        let _ = parse(&text);
    }

    #[test]
    fn printing_then_parsing_gives_the_same_tree(expr in expr()) {
        let text = expr.to_string();
        let parsed = parse(&text).map_err(|e| TestCaseError::fail(format!("{text}: {e}")))?;
        prop_assert_eq!(&parsed, &expr, "{}", text);
        let laid_out = cairn_logql::format(&expr);
        let parsed = parse(&laid_out).map_err(|e| TestCaseError::fail(format!("{laid_out}: {e}")))?;
        prop_assert_eq!(parsed.to_string(), text);
    }
}

/// A query from a stranger must not cost the stack: tests run on threads of 2 MiB, as the store's workers do.
#[test]
fn hostile_queries_are_refused_or_answered() {
    let source = source_of(&[(0, 5, 1)]);
    let options = Options::default();
    let deep = |open: &str, inner: &str, close: &str, n: usize| {
        format!("{}{inner}{}", open.repeat(n), close.repeat(n))
    };
    for query in [
        deep("(", "1", ")", 50_000),
        deep("(", "vector(1)", ")", 100),
        deep("sum(", "vector(1)", ")", 100),
        deep("sum(", "vector(1)", ")", 20_000),
        vec!["vector(1)"; 10_000].join("+"),
        vec!["vector(1)"; 512].join("+"),
        vec!["vector(1)"; 10_000].join("^"),
        vec!["1"; 500].join("^"),
        format!("{{a=\"b\"}} | {}", vec!["x=\"y\""; 20_000].join(" or ")),
        format!("{{a=\"b\"}} | {}", vec!["x=\"y\""; 512].join(" and ")),
        format!("{{a=\"b\"}} | {}", vec!["x=\"y\""; 20_000].join(" ")),
        format!("{{a=\"b\"}} | {}", deep("(", "x=\"y\"", ")", 30_000)),
        format!("{{a=\"b\"}} |= \"x\"{}", " or \"y\"".repeat(10_000)),
        format!("{{a=\"b\"}} | line_format `{}`", deep("{{if .a}}", "x", "{{end}}", 2_000)),
        format!("{{a=\"b\"}} | line_format `{{{{{}}}}}`", deep("(", ".a", ")", 30_000)),
        format!("{{a=\"b\"}} | json x=\"{}\"", "[0]".repeat(20_000)),
        format!("{{a=~\"{}\"}}", "(".repeat(50_000)),
        "x".repeat(cairn_logql::MAX_QUERY_BYTES + 1),
    ] {
        match parse(&query) {
            Err(error) => assert!(error.to_string().starts_with("parse error"), "{error}"),
            Ok(expr) => {
                let _ = (parse(&expr.to_string()), cairn_logql::format(&expr));
                if let Expr::Metric(metric) = expr {
                    let _ = query_instant(&source, &metric, TimeNs(5), &options);
                }
            }
        }
    }
}

fn name() -> impl Strategy<Value = String> {
    "[a-z]{4,6}_[0-9]"
}

fn matcher() -> impl Strategy<Value = Matcher> {
    let op = prop_oneof![
        Just(MatchOp::Equal),
        Just(MatchOp::NotEqual),
        Just(MatchOp::Regex),
        Just(MatchOp::NotRegex)
    ];
    (name(), op, "[a-z\"\\\\é\n]{0,5}").prop_map(|(name, op, value)| {
        let value =
            if matches!(op, MatchOp::Regex | MatchOp::NotRegex) { value.replace('\\', "") } else { value };
        Matcher::new(name, op, value).unwrap()
    })
}

fn cmp_op() -> impl Strategy<Value = CmpOp> {
    prop_oneof![Just(CmpOp::Equal), Just(CmpOp::NotEqual), Just(CmpOp::Greater), Just(CmpOp::LessOrEqual)]
}

fn label_filter() -> impl Strategy<Value = LabelFilter> {
    let leaf = prop_oneof![
        matcher().prop_map(LabelFilter::Text),
        (name(), cmp_op(), -1000i32..1000).prop_map(|(name, op, v)| LabelFilter::Number {
            name,
            op,
            value: f64::from(v) / 8.0
        }),
        (name(), cmp_op(), 1i64..10_000_000_000).prop_map(|(name, op, nanos)| LabelFilter::Duration {
            name,
            op,
            nanos
        }),
        (name(), cmp_op(), 0u64..10_000_000_000).prop_map(|(name, op, bytes)| LabelFilter::Bytes {
            name,
            op,
            bytes
        }),
        (name(), any::<bool>()).prop_map(|(name, negative)| LabelFilter::Ip {
            name,
            negative,
            pattern: "10.0.0.0/8".to_owned()
        }),
    ];
    leaf.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| LabelFilter::And(Box::new(a), Box::new(b))),
            (inner.clone(), inner).prop_map(|(a, b)| LabelFilter::Or(Box::new(a), Box::new(b))),
        ]
    })
}

fn stage() -> impl Strategy<Value = Stage> {
    let extraction = || (name(), name()).prop_map(|(name, source)| Extraction { name, source });
    let extractions = || proptest::collection::vec(extraction(), 0..3);
    let line_op = proptest::sample::select(&LineOp::ALL[..]);
    let choice = || prop_oneof![name().prop_map(LabelChoice::Name), matcher().prop_map(LabelChoice::Matcher)];
    let choices = || proptest::collection::vec(choice(), 1..3);
    prop_oneof![
        (line_op, proptest::collection::vec("[a-z \"é]{0,6}".prop_map(LineText::Text), 1..3))
            .prop_map(|(op, alternatives)| Stage::LineFilter(LineFilter { op, alternatives })),
        extractions().prop_map(Stage::Json),
        (any::<bool>(), any::<bool>(), extractions()).prop_map(|(strict, keep_empty, extractions)| {
            Stage::Logfmt(Logfmt { strict, keep_empty, extractions })
        }),
        Just(Stage::Regexp("(?P<x>.)".to_owned())),
        Just(Stage::Pattern("<a> <_>".to_owned())),
        Just(Stage::Unpack),
        Just(Stage::Decolorize),
        label_filter().prop_map(Stage::LabelFilter),
        Just(Stage::LineFormat("{{.a}} \"b\"".to_owned())),
        (name(), name()).prop_map(|(name, from)| {
            Stage::LabelFormat(vec![LabelFormat { name, value: LabelFormatValue::Rename(from) }])
        }),
        choices().prop_map(Stage::Drop),
        choices().prop_map(Stage::Keep),
    ]
}

fn log_expr() -> impl Strategy<Value = LogExpr> {
    (proptest::collection::vec(matcher(), 0..2), proptest::collection::vec(stage(), 0..4)).prop_map(
        |(mut matchers, mut stages)| {
            matchers.push(Matcher::equal("app", "x"));
            // `| drop a != "b"` is a matcher of drop: the language cannot say a line filter there.
            let mut after_name = false;
            stages.retain(|stage| {
                let is_negative = matches!(stage, Stage::LineFilter(f) if f.op.is_negative());
                let keeps = !(after_name && is_negative);
                after_name = matches!(stage, Stage::Drop(c) | Stage::Keep(c) if matches!(c.last(), Some(LabelChoice::Name(_))));
                keeps
            });
            LogExpr { matchers, stages }
        },
    )
}

fn grouping() -> impl Strategy<Value = Option<Grouping>> {
    let labels = proptest::collection::vec(name(), 0..3);
    proptest::option::of((any::<bool>(), labels).prop_map(|(without, labels)| Grouping { without, labels }))
}

fn range_agg() -> impl Strategy<Value = MetricExpr> {
    let unwrap = (name(), proptest::collection::vec(label_filter(), 0..2))
        .prop_map(|(label, filters)| Unwrap { label, conversion: Conversion::Bytes, filters });
    (log_expr(), proptest::option::of(unwrap), 1i64..100_000, 0i64..100_000, grouping()).prop_map(
        |(log, unwrap, range_ms, offset_ms, grouping)| {
            let is_values = unwrap.is_some();
            MetricExpr::Range(Box::new(RangeAgg {
                op: if is_values { RangeOp::QuantileOverTime } else { RangeOp::CountOverTime },
                parameter: is_values.then_some(0.5),
                log,
                unwrap,
                range: range_ms * 1_000_000,
                offset: offset_ms * 1_000_000,
                grouping: grouping.filter(|_| is_values),
            }))
        },
    )
}

fn expr() -> impl Strategy<Value = Expr> {
    let metric = range_agg().prop_recursive(3, 8, 2, |inner| {
        let binary_op = prop_oneof![
            Just(BinaryOp::And),
            Just(BinaryOp::Add),
            Just(BinaryOp::Power),
            Just(BinaryOp::Compare(CmpOp::Greater))
        ];
        prop_oneof![
            (inner.clone(), grouping()).prop_map(|(inner, grouping)| {
                MetricExpr::Vector(Box::new(VectorAgg { op: VectorOp::Sum, count: 0, grouping, inner }))
            }),
            (inner.clone(), 1usize..9).prop_map(|(inner, count)| {
                MetricExpr::Vector(Box::new(VectorAgg { op: VectorOp::Topk, count, grouping: None, inner }))
            }),
            (inner.clone(), inner.clone(), binary_op, proptest::option::of(name())).prop_map(
                |(left, right, op, on)| {
                    let matching = on.map(|label| Matching { on: true, labels: vec![label], group: None });
                    MetricExpr::Binary(Box::new(Binary { op, return_bool: false, matching, left, right }))
                }
            ),
            inner.prop_map(|inner| {
                MetricExpr::LabelReplace(Box::new(LabelReplace {
                    inner,
                    destination: "dst".to_owned(),
                    replacement: "$1".to_owned(),
                    source: "src".to_owned(),
                    regex: "(.*)".to_owned(),
                }))
            }),
        ]
    });
    prop_oneof![log_expr().prop_map(Expr::Log), metric.prop_map(Expr::Metric)]
}
