//! The hand-written walk against messages that prost encodes.

use cairn_model::histogram::{Buckets, Counts, ResetHint, Span};
use prost::Message;

use super::*;

/// `io.prometheus.client`, as far as the format has it; the other half of every test here.
mod client {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct MetricFamily {
        #[prost(string, tag = "1")]
        pub(super) name: String,
        #[prost(string, tag = "2")]
        pub(super) help: String,
        #[prost(int32, tag = "3")]
        pub(super) r#type: i32,
        #[prost(message, repeated, tag = "4")]
        pub(super) metric: Vec<Metric>,
        #[prost(string, tag = "5")]
        pub(super) unit: String,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Metric {
        #[prost(message, repeated, tag = "1")]
        pub(super) label: Vec<LabelPair>,
        #[prost(message, optional, tag = "2")]
        pub(super) gauge: Option<Gauge>,
        #[prost(message, optional, tag = "3")]
        pub(super) counter: Option<Counter>,
        #[prost(message, optional, tag = "4")]
        pub(super) summary: Option<Summary>,
        #[prost(message, optional, tag = "5")]
        pub(super) untyped: Option<Gauge>,
        #[prost(message, optional, tag = "7")]
        pub(super) histogram: Option<Histogram>,
        #[prost(int64, tag = "6")]
        pub(super) timestamp_ms: i64,
    }

    #[derive(Clone, PartialEq, Eq, prost::Message)]
    pub(super) struct LabelPair {
        #[prost(string, tag = "1")]
        pub(super) name: String,
        #[prost(string, tag = "2")]
        pub(super) value: String,
    }

    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub(super) struct Gauge {
        #[prost(double, tag = "1")]
        pub(super) value: f64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Counter {
        #[prost(double, tag = "1")]
        pub(super) value: f64,
        #[prost(message, optional, tag = "2")]
        pub(super) exemplar: Option<Exemplar>,
        #[prost(message, optional, tag = "3")]
        pub(super) start_timestamp: Option<Timestamp>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Summary {
        #[prost(uint64, tag = "1")]
        pub(super) sample_count: u64,
        #[prost(double, tag = "2")]
        pub(super) sample_sum: f64,
        #[prost(message, repeated, tag = "3")]
        pub(super) quantile: Vec<Quantile>,
        #[prost(message, optional, tag = "4")]
        pub(super) start_timestamp: Option<Timestamp>,
    }

    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub(super) struct Quantile {
        #[prost(double, tag = "1")]
        pub(super) quantile: f64,
        #[prost(double, tag = "2")]
        pub(super) value: f64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Histogram {
        #[prost(uint64, tag = "1")]
        pub(super) sample_count: u64,
        #[prost(double, tag = "4")]
        pub(super) sample_count_float: f64,
        #[prost(double, tag = "2")]
        pub(super) sample_sum: f64,
        #[prost(message, repeated, tag = "3")]
        pub(super) bucket: Vec<Bucket>,
        #[prost(sint32, tag = "5")]
        pub(super) schema: i32,
        #[prost(double, tag = "6")]
        pub(super) zero_threshold: f64,
        #[prost(uint64, tag = "7")]
        pub(super) zero_count: u64,
        #[prost(double, tag = "8")]
        pub(super) zero_count_float: f64,
        #[prost(message, repeated, tag = "9")]
        pub(super) negative_span: Vec<BucketSpan>,
        #[prost(sint64, repeated, packed = "false", tag = "10")]
        pub(super) negative_delta: Vec<i64>,
        #[prost(double, repeated, packed = "false", tag = "11")]
        pub(super) negative_count: Vec<f64>,
        #[prost(message, repeated, tag = "12")]
        pub(super) positive_span: Vec<BucketSpan>,
        #[prost(sint64, repeated, tag = "13")]
        pub(super) positive_delta: Vec<i64>,
        #[prost(double, repeated, tag = "14")]
        pub(super) positive_count: Vec<f64>,
        #[prost(message, optional, tag = "15")]
        pub(super) start_timestamp: Option<Timestamp>,
        #[prost(message, repeated, tag = "16")]
        pub(super) exemplars: Vec<Exemplar>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Bucket {
        #[prost(uint64, tag = "1")]
        pub(super) cumulative_count: u64,
        #[prost(double, tag = "4")]
        pub(super) cumulative_count_float: f64,
        #[prost(double, tag = "2")]
        pub(super) upper_bound: f64,
        #[prost(message, optional, tag = "3")]
        pub(super) exemplar: Option<Exemplar>,
    }

    #[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
    pub(super) struct BucketSpan {
        #[prost(sint32, tag = "1")]
        pub(super) offset: i32,
        #[prost(uint32, tag = "2")]
        pub(super) length: u32,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Exemplar {
        #[prost(message, repeated, tag = "1")]
        pub(super) label: Vec<LabelPair>,
        #[prost(double, tag = "2")]
        pub(super) value: f64,
        #[prost(message, optional, tag = "3")]
        pub(super) timestamp: Option<Timestamp>,
    }

    #[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
    pub(super) struct Timestamp {
        #[prost(int64, tag = "1")]
        pub(super) seconds: i64,
        #[prost(int32, tag = "2")]
        pub(super) nanos: i32,
    }
}

use client as c;

const NOTHING: Options = Options { wants_native: false, keeps_classic: false, converts_classic: false };
const NATIVE: Options = Options { wants_native: true, ..NOTHING };

fn body(families: &[c::MetricFamily]) -> Vec<u8> {
    families.iter().flat_map(Message::encode_length_delimited_to_vec).collect()
}

fn family(name: &str, kind: i32, metric: Vec<c::Metric>) -> c::MetricFamily {
    c::MetricFamily {
        name: name.into(),
        help: format!("Help of {name}"),
        r#type: kind,
        metric,
        unit: String::new(),
    }
}

fn label(name: &str, value: &str) -> c::LabelPair {
    c::LabelPair { name: name.into(), value: value.into() }
}

fn exemplar(trace: &str, value: f64, seconds: Option<i64>) -> c::Exemplar {
    let timestamp = seconds.map(|seconds| c::Timestamp { seconds, nanos: 5_000_000 });
    c::Exemplar { label: vec![label("trace_id", trace)], value, timestamp }
}

fn items(body: &[u8], options: Options) -> Vec<String> {
    let mut out = Vec::new();
    let read = parse(body, Format::Protobuf, options, |item, labels, exemplars| {
        out.push(match item {
            Item::Type { name, metric_type } => format!("type {name} {metric_type}"),
            Item::Help { name, text } => format!("help {name} {text}"),
            Item::Unit { name, unit } => format!("unit {name} {unit}"),
            Item::Sample(sample) => {
                let mut text = match &sample.value {
                    Value::Float(value) => format!("{} {value}", labels.unwrap()),
                    Value::Histogram(histogram) => {
                        format!("{} schema {} count {}", labels.unwrap(), histogram.schema, histogram.count())
                    }
                };
                if let Some(time) = sample.timestamp {
                    text.push_str(&format!(" @{time}"));
                }
                if let Some(start) = sample.start_ms {
                    text.push_str(&format!(" since {start}"));
                }
                for exemplar in exemplars {
                    text.push_str(&format!(
                        " # {} {} {:?}",
                        exemplar.labels, exemplar.value, exemplar.time_ms
                    ));
                }
                text
            }
        });
    });
    if let Err(error) = read {
        out.push(format!("error: {error}"));
    }
    out
}

fn classic() -> c::Histogram {
    let bucket = |upper_bound, cumulative_count, exemplar| c::Bucket {
        cumulative_count,
        upper_bound,
        exemplar,
        ..c::Bucket::default()
    };
    c::Histogram {
        sample_count: 5,
        sample_sum: 2.5,
        bucket: vec![bucket(0.5, 1, None), bucket(1.0, 3, Some(exemplar("x", 0.7, None)))],
        start_timestamp: Some(c::Timestamp { seconds: 10, nanos: 0 }),
        ..c::Histogram::default()
    }
}

fn native() -> c::Histogram {
    c::Histogram {
        schema: 3,
        zero_threshold: 1e-128,
        zero_count: 1,
        sample_count: 9,
        positive_span: vec![c::BucketSpan { offset: -2, length: 3 }, c::BucketSpan { offset: 1, length: 1 }],
        positive_delta: vec![1, 1, -2, 3],
        negative_span: vec![c::BucketSpan { offset: 4, length: 1 }],
        negative_delta: vec![2],
        exemplars: vec![exemplar("y", 0.1, Some(7)), exemplar("z", 0.2, None)],
        ..classic()
    }
}

fn histogram(of: c::Histogram) -> c::Metric {
    c::Metric { histogram: Some(of), ..c::Metric::default() }
}

#[test]
fn simple_families() {
    let counter = c::Metric {
        label: vec![label("b", "2"), label("a", "1"), label("none", "")],
        counter: Some(c::Counter {
            value: 3.0,
            exemplar: Some(exemplar("x", 1.0, Some(2))),
            start_timestamp: Some(c::Timestamp { seconds: 1, nanos: 500_000_000 }),
        }),
        ..c::Metric::default()
    };
    let gauge =
        c::Metric { gauge: Some(c::Gauge { value: f64::NAN }), timestamp_ms: -5, ..c::Metric::default() };
    let untyped = c::Metric { untyped: Some(c::Gauge { value: -1.0 }), ..c::Metric::default() };
    let mut families = [
        family("c_total", 0, vec![counter]),
        family("g", 1, vec![gauge]),
        family("empty", 1, vec![]),
        family("u.é", 3, vec![untyped, c::Metric::default()]),
    ];
    families[1].unit = "s".into();
    assert_eq!(
        items(&body(&families), NOTHING),
        [
            "help c_total Help of c_total",
            "type c_total counter",
            r#"{__name__="c_total", a="1", b="2"} 3 since 1500 # {trace_id="x"} 1 Some(2005)"#,
            "help g Help of g",
            "unit g s",
            "type g gauge",
            r#"{__name__="g"} NaN @-5"#,
            "help u.é Help of u.é",
            "type u.é unknown",
            r#"{__name__="u.é"} -1"#,
            r#"{__name__="u.é"} 0"#,
        ]
    );
}

#[test]
fn summaries() {
    let quantile =
        vec![c::Quantile { quantile: 0.5, value: 1.0 }, c::Quantile { quantile: 1.0, value: f64::NAN }];
    let summary = c::Summary { sample_count: 4, sample_sum: 1.5, quantile, start_timestamp: None };
    let metric = c::Metric { summary: Some(summary), timestamp_ms: 9, ..c::Metric::default() };
    assert_eq!(
        items(&body(&[family("s", 2, vec![metric])]), NOTHING)[2..],
        [
            r#"{__name__="s_count"} 4 @9"#,
            r#"{__name__="s_sum"} 1.5 @9"#,
            r#"{__name__="s", quantile="0.5"} 1 @9"#,
            r#"{__name__="s", quantile="1.0"} NaN @9"#,
        ]
    );
}

const CLASSIC_LINES: [&str; 5] = [
    r#"{__name__="h_count"} 5 since 10000"#,
    r#"{__name__="h_sum"} 2.5 since 10000"#,
    r#"{__name__="h_bucket", le="0.5"} 1 since 10000"#,
    r#"{__name__="h_bucket", le="1.0"} 3 since 10000 # {trace_id="x"} 0.7 None"#,
    r#"{__name__="h_bucket", le="+Inf"} 5 since 10000"#,
];

#[test]
fn classic_and_native_histograms() {
    let classic_page = body(&[family("h", 4, vec![histogram(classic())])]);
    assert_eq!(items(&classic_page, NATIVE)[2..], CLASSIC_LINES);
    let native_page = body(&[family("h", 4, vec![histogram(native())])]);
    let native_line = r#"{__name__="h"} schema 3 count 9 since 10000 # {trace_id="y"} 0.1 Some(7005)"#;
    assert_eq!(items(&native_page, NATIVE)[2..], [native_line]);
    let both = items(&native_page, Options { keeps_classic: true, ..NATIVE });
    assert_eq!(both[2], native_line);
    assert_eq!(both.len(), 8);
    assert_eq!(items(&native_page, NOTHING).len(), 7, "the native part is left out");
    let converted = Options { converts_classic: true, ..NATIVE };
    assert_eq!(items(&classic_page, converted)[2..], [r#"{__name__="h"} schema -53 count 5 since 10000"#]);
    let kept = items(&classic_page, Options { keeps_classic: true, ..converted });
    assert_eq!(kept[2..7], CLASSIC_LINES);
    assert_eq!(kept.len(), 8);
    assert_eq!(items(&native_page, converted)[2..], [native_line], "native ones are not converted");
}

#[test]
fn what_a_native_histogram_holds() {
    let page = body(&[family("h", 5, vec![histogram(native())])]);
    let mut parser = Parser::new(&page, Format::Protobuf, NATIVE);
    parser.next();
    parser.next();
    let Some(Ok(Item::Sample(Sample { value: Value::Histogram(read), .. }))) = parser.next() else {
        panic!()
    };
    assert_eq!(
        *read,
        Histogram {
            reset_hint: ResetHint::Gauge,
            schema: 3,
            zero_threshold: 1e-128,
            sum: 2.5,
            positive_spans: vec![Span { offset: -2, length: 2 }, Span { offset: 2, length: 1 }],
            negative_spans: vec![Span { offset: 4, length: 1 }],
            custom_bounds: std::sync::Arc::default(),
            counts: Counts::Int(Buckets {
                count: 9,
                zero_count: 1,
                positive: vec![1, 2, 3],
                negative: vec![2]
            }),
        }
    );
    assert_eq!(read.validate(), Ok(()));
}

#[test]
fn float_histograms() {
    let float = c::Histogram {
        sample_count_float: 2.5,
        zero_count_float: 0.5,
        positive_delta: vec![],
        positive_span: vec![c::BucketSpan { offset: 0, length: 2 }],
        positive_count: vec![1.5, 0.25],
        negative_span: vec![c::BucketSpan { offset: 0, length: 1 }],
        negative_delta: vec![],
        negative_count: vec![0.25],
        ..native()
    };
    let page = body(&[family("h", 4, vec![histogram(float)])]);
    let mut found = None;
    parse(&page, Format::Protobuf, NATIVE, |item, _, _| {
        if let Item::Sample(Sample { value: Value::Histogram(histogram), .. }) = item {
            found = Some(histogram.counts.clone());
        }
    })
    .unwrap();
    let want = Buckets { count: 2.5, zero_count: 0.5, positive: vec![1.5, 0.25], negative: vec![0.25] };
    assert_eq!(found, Some(Counts::Float(want)));
}

#[test]
fn refusals() {
    let says = |page: &[u8], want: &str| {
        assert_eq!(items(page, NATIVE).last(), Some(&format!("error: {want}")));
    };
    says(&[0xff; 8], "clientpb: invalid varint encountered");
    says(&[9, 1], "clientpb: insufficient length of buffer, expected at least 10 bytes, got 2 bytes");
    says(&[2, 0x0a, 9], "unexpected EOF");
    says(&[2, 0x08, 1], "proto: wrong wireType = 0 for field Name");
    says(&[1, 0x0c], "proto: illegal wireType 4");
    let one = |family: c::MetricFamily| body(&[family]);
    says(&one(family("", 1, vec![c::Metric::default()])), "invalid metric name: ");
    says(&one(family("a", 9, vec![c::Metric::default()])), "unknown metric type for metric \"a\": 9");
    let mut changed = native();
    changed.positive_span[0].length = 9;
    says(
        &one(family("h", 4, vec![histogram(changed)])),
        "histogram \"h\": positive side: spans require 10 buckets, have 4",
    );
    let mut changed = native();
    changed.positive_delta[2] = -5;
    says(
        &one(family("h", 4, vec![histogram(changed)])),
        "positive side: bucket number 3 has observation count of -3: histogram has a bucket whose observation count is \
         negative",
    );
    let changed = c::Histogram { schema: 1000, ..native() };
    says(
        &one(family("h", 4, vec![histogram(changed)])),
        "histogram has an invalid schema, which must be between -4 and 8 for exponential buckets, or -53 for custom \
         buckets, got schema 1000",
    );
    let nameless = c::Metric { label: vec![label("", "x")], ..c::Metric::default() };
    says(&one(family("a", 1, vec![nameless])), "invalid label name: ");
}

#[test]
fn keys_tell_series_apart_and_stay() {
    let with = |pairs: &[(&str, &str)]| c::Metric {
        label: pairs.iter().map(|(name, value)| label(name, value)).collect(),
        histogram: Some(classic()),
        ..c::Metric::default()
    };
    let page = body(&[
        family(
            "h",
            4,
            vec![with(&[]), with(&[("a", "b")]), with(&[("a", ""), ("b", "")]), with(&[("ab", "")])],
        ),
        family("h2", 4, vec![with(&[])]),
    ]);
    let keys = || {
        let mut parser = Parser::new(&page, Format::Protobuf, NOTHING);
        let mut keys = Vec::new();
        while let Some(item) = parser.next() {
            if let Item::Sample(sample) = item.unwrap() {
                keys.push(sample.key.to_vec());
            }
        }
        keys
    };
    let (first, second) = (keys(), keys());
    assert_eq!(first, second);
    let mut unique = first.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), first.len());
    assert_eq!(first.len(), 25);
}

proptest::proptest! {
    #[test]
    fn damaged_pages(changes in proptest::collection::vec((0usize..2000, proptest::num::u8::ANY), 0..6), cut in 0usize..2000) {
        let mut page = body(&[
            family("h", 4, vec![histogram(native()), histogram(classic())]),
            family("h2", 5, vec![histogram(native())]),
        ]);
        for (at, byte) in changes {
            let n = page.len();
            page[at % n] = byte;
        }
        page.truncate(cut.max(1));
        for options in [NOTHING, NATIVE, Options { wants_native: true, keeps_classic: true, converts_classic: true }] {
            let _ = parse(&page, Format::Protobuf, options, |_, _, _| ());
        }
    }

    #[test]
    fn counters_as_prost_writes_them(
        name in "[a-z]{1,9}",
        value in proptest::num::f64::NORMAL,
        labels in proptest::collection::btree_map("[a-z]{1,4}", ".{1,5}", 0..4),
        time in 1i64..,
    ) {
        let label = labels.iter().map(|(name, value)| label(name, value)).collect();
        let metric = c::Metric {
            label,
            counter: Some(c::Counter { value, exemplar: None, start_timestamp: None }),
            timestamp_ms: time,
            ..c::Metric::default()
        };
        let mut want = labels.clone();
        want.insert("__name__".into(), name.clone());
        let mut n = 0;
        parse(&body(&[family(&name, 0, vec![metric])]), Format::Protobuf, NATIVE, |item, labels, _| {
            if let Item::Sample(sample) = item {
                assert_eq!(labels, Some(&Labels::from_pairs(&want)));
                assert_eq!((&sample.value, sample.timestamp), (&Value::Float(value), Some(time)));
                n += 1;
            }
        }).unwrap();
        proptest::prop_assert_eq!(n, 1);
    }
}

#[test]
fn what_is_written_is_read_as_it_was() {
    use super::encode::{FamilyEncoder, FamilyType};
    let labels = || vec![("a".to_owned(), "1".to_owned())];
    let of = |counts, reset_hint| Histogram {
        reset_hint,
        schema: 3,
        zero_threshold: 0.5,
        positive_spans: vec![Span { offset: -2, length: 2 }, Span { offset: 3, length: 1 }],
        negative_spans: vec![Span { offset: 1, length: 1 }],
        counts,
        ..Histogram::without_observations(7.5, false)
    };
    let ints = Buckets { count: 15, zero_count: 1, positive: vec![1, 2, 3], negative: vec![8] };
    let floats = Buckets { count: 14.5, zero_count: 0.5, positive: vec![1.0, 2.0, 3.0], negative: vec![8.0] };
    let custom = Histogram {
        schema: cairn_model::histogram::CUSTOM_BUCKETS_SCHEMA,
        zero_threshold: 0.0,
        custom_bounds: std::sync::Arc::from([0.5, 1.0, 2.0]),
        positive_spans: vec![Span { offset: 1, length: 1 }],
        negative_spans: vec![],
        counts: Counts::Int(Buckets { count: 5, zero_count: 0, positive: vec![2], negative: vec![] }),
        ..of(
            Counts::Int(Buckets { count: 0, zero_count: 0, positive: vec![], negative: vec![] }),
            ResetHint::Unknown,
        )
    };
    let mut page = Vec::new();
    let mut family = FamilyEncoder::new("x.y".to_owned(), FamilyType::Untyped);
    family.number(labels(), -3, f64::NAN);
    family.number(vec![], 4, 0.0);
    family.finish(&mut page);
    let histograms = [
        of(Counts::Int(ints), ResetHint::Reset),
        of(Counts::Float(floats), ResetHint::Gauge),
        Histogram { zero_threshold: 0.0, ..Histogram::without_observations(0.0, true) },
        custom,
    ];
    for histogram in &histograms {
        let mut family = FamilyEncoder::new("h".to_owned(), FamilyType::of(histogram));
        family.histogram(labels(), 9, histogram);
        family.finish(&mut page);
    }
    let mut read = Vec::new();
    parse(&page, Format::Protobuf, NATIVE, |item, labels, _| {
        if let Item::Sample(sample) = item {
            let value = match &sample.value {
                Value::Float(value) => format!("{value}"),
                Value::Histogram(found) => {
                    format!(
                        "{:?} {} {:?} {:?}",
                        found.reset_hint, found.sum, found.positive_spans, found.counts
                    )
                }
            };
            read.push(format!("{} {value} @{:?}", labels.unwrap(), sample.timestamp));
        }
    })
    .unwrap();
    let spans = "[Span { offset: -2, length: 2 }, Span { offset: 3, length: 1 }]";
    let counts = "positive: [1.0, 2.0, 3.0], negative: [8.0] })";
    let want = [
        r#"{__name__="x.y", a="1"} NaN @Some(-3)"#.to_owned(),
        r#"{__name__="x.y"} 0 @Some(4)"#.to_owned(),
        format!(
            r#"{{__name__="h", a="1"}} Unknown 7.5 {spans} Float(Buckets {{ count: 15.0, zero_count: 1.0, {counts} @Some(9)"#
        ),
        format!(
            r#"{{__name__="h", a="1"}} Gauge 7.5 {spans} Float(Buckets {{ count: 14.5, zero_count: 0.5, {counts} @Some(9)"#
        ),
    ];
    assert_eq!(read[..4], want);
    assert!(read[4].starts_with(r#"{__name__="h", a="1"} Unknown 0 [] "#), "{}", read[4]);
    assert_eq!(
        read[5..],
        [
            r#"{__name__="h_count", a="1"} 5 @Some(9)"#,
            r#"{__name__="h_sum", a="1"} 7.5 @Some(9)"#,
            r#"{__name__="h_bucket", a="1", le="0.5"} 0 @Some(9)"#,
            r#"{__name__="h_bucket", a="1", le="1.0"} 2 @Some(9)"#,
            r#"{__name__="h_bucket", a="1", le="2.0"} 2 @Some(9)"#,
            r#"{__name__="h_bucket", a="1", le="+Inf"} 5 @Some(9)"#,
        ]
    );
}
