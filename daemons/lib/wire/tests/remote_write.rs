//! Remote write against messages derived for prost: what they encode is read as they read it, and what is no such
//! message is refused by both or by neither.

#![allow(
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "the messages below are the schema, as prost wants it"
)]

use cairn_model::histogram::{Counts, ResetHint};
use cairn_model::{Labels, MetricType};
use cairn_wire::remote_write::{RemoteWriteError, Version, WriteLimits, WriteRequest, decode, decompress};
use proptest::prelude::*;
use prost::Message;

mod v1 {
    use prost::Message;

    #[derive(Clone, PartialEq, Message)]
    pub struct WriteRequest {
        #[prost(message, repeated, tag = "1")]
        pub timeseries: Vec<TimeSeries>,
        #[prost(message, repeated, tag = "3")]
        pub metadata: Vec<MetricMetadata>,
    }
    #[derive(Clone, PartialEq, Message)]
    pub struct TimeSeries {
        #[prost(message, repeated, tag = "1")]
        pub labels: Vec<Label>,
        #[prost(message, repeated, tag = "2")]
        pub samples: Vec<Sample>,
        #[prost(message, repeated, tag = "3")]
        pub exemplars: Vec<Exemplar>,
        #[prost(message, repeated, tag = "4")]
        pub histograms: Vec<super::Histogram>,
    }
    #[derive(Clone, PartialEq, Message)]
    pub struct Label {
        #[prost(bytes, tag = "1")]
        pub name: Vec<u8>,
        #[prost(bytes, tag = "2")]
        pub value: Vec<u8>,
    }
    #[derive(Clone, PartialEq, Message)]
    pub struct Sample {
        #[prost(double, tag = "1")]
        pub value: f64,
        #[prost(int64, tag = "2")]
        pub timestamp: i64,
    }
    #[derive(Clone, PartialEq, Message)]
    pub struct Exemplar {
        #[prost(message, repeated, tag = "1")]
        pub labels: Vec<Label>,
        #[prost(double, tag = "2")]
        pub value: f64,
        #[prost(int64, tag = "3")]
        pub timestamp: i64,
    }
    #[derive(Clone, PartialEq, Message)]
    pub struct MetricMetadata {
        #[prost(int32, tag = "1")]
        pub kind: i32,
        #[prost(bytes, tag = "2")]
        pub metric_family_name: Vec<u8>,
        #[prost(bytes, tag = "4")]
        pub help: Vec<u8>,
        #[prost(bytes, tag = "5")]
        pub unit: Vec<u8>,
    }
}

mod v2 {
    use prost::Message;

    #[derive(Clone, PartialEq, Message)]
    pub struct Request {
        #[prost(string, repeated, tag = "4")]
        pub symbols: Vec<String>,
        #[prost(message, repeated, tag = "5")]
        pub timeseries: Vec<TimeSeries>,
    }
    #[derive(Clone, PartialEq, Message)]
    pub struct TimeSeries {
        #[prost(uint32, repeated, tag = "1")]
        pub labels_refs: Vec<u32>,
        #[prost(message, repeated, tag = "2")]
        pub samples: Vec<Sample>,
        #[prost(message, repeated, tag = "3")]
        pub histograms: Vec<super::Histogram>,
        #[prost(message, repeated, tag = "4")]
        pub exemplars: Vec<Exemplar>,
        #[prost(message, optional, tag = "5")]
        pub metadata: Option<Metadata>,
    }
    #[derive(Clone, PartialEq, Message)]
    pub struct Sample {
        #[prost(double, tag = "1")]
        pub value: f64,
        #[prost(int64, tag = "2")]
        pub timestamp: i64,
        #[prost(int64, tag = "3")]
        pub start_timestamp: i64,
    }
    #[derive(Clone, PartialEq, Message)]
    pub struct Exemplar {
        #[prost(uint32, repeated, tag = "1")]
        pub labels_refs: Vec<u32>,
        #[prost(double, tag = "2")]
        pub value: f64,
        #[prost(int64, tag = "3")]
        pub timestamp: i64,
    }
    #[derive(Clone, PartialEq, Message)]
    pub struct Metadata {
        #[prost(int32, tag = "1")]
        pub kind: i32,
        #[prost(uint32, tag = "3")]
        pub help_ref: u32,
        #[prost(uint32, tag = "4")]
        pub unit_ref: u32,
    }
}

#[derive(Clone, PartialEq, Message)]
pub struct Histogram {
    #[prost(oneof = "Count", tags = "1, 2")]
    pub count: Option<Count>,
    #[prost(double, tag = "3")]
    pub sum: f64,
    #[prost(sint32, tag = "4")]
    pub schema: i32,
    #[prost(double, tag = "5")]
    pub zero_threshold: f64,
    #[prost(uint64, tag = "6")]
    pub zero_count_int: u64,
    #[prost(double, tag = "7")]
    pub zero_count_float: f64,
    #[prost(message, repeated, tag = "8")]
    pub negative_spans: Vec<BucketSpan>,
    #[prost(sint64, repeated, tag = "9")]
    pub negative_deltas: Vec<i64>,
    #[prost(double, repeated, tag = "10")]
    pub negative_counts: Vec<f64>,
    #[prost(message, repeated, tag = "11")]
    pub positive_spans: Vec<BucketSpan>,
    #[prost(sint64, repeated, tag = "12")]
    pub positive_deltas: Vec<i64>,
    #[prost(double, repeated, tag = "13")]
    pub positive_counts: Vec<f64>,
    #[prost(int32, tag = "14")]
    pub reset_hint: i32,
    #[prost(int64, tag = "15")]
    pub timestamp: i64,
    #[prost(double, repeated, tag = "16")]
    pub custom_values: Vec<f64>,
    #[prost(int64, tag = "17")]
    pub start_timestamp: i64,
}
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Count {
    #[prost(uint64, tag = "1")]
    Int(u64),
    #[prost(double, tag = "2")]
    Float(f64),
}
#[derive(Clone, PartialEq, Message)]
pub struct BucketSpan {
    #[prost(sint32, tag = "1")]
    pub offset: i32,
    #[prost(uint32, tag = "2")]
    pub length: u32,
}

const LIMITS: WriteLimits = WriteLimits { decompressed_bytes: 1 << 20, items: 10_000 };

fn read(bytes: &[u8], version: Version) -> WriteRequest<'_> {
    decode(bytes, version, &LIMITS).unwrap()
}

fn label(name: &str, value: &str) -> v1::Label {
    v1::Label { name: name.into(), value: value.into() }
}

fn pairs<'r>(request: &'r WriteRequest<'_>, series: usize) -> Vec<(&'r str, &'r str)> {
    let text = |bytes| std::str::from_utf8(bytes).unwrap();
    let pairs = request.labels(&request.series[series]).unwrap();
    pairs.into_iter().map(|(name, value)| (text(name), text(value))).collect()
}

fn some_histogram() -> Histogram {
    Histogram {
        count: Some(Count::Int(12)),
        sum: 18.4,
        schema: 1,
        zero_threshold: 0.001,
        zero_count_int: 2,
        positive_spans: vec![BucketSpan { offset: 0, length: 2 }, BucketSpan { offset: -1, length: 2 }],
        positive_deltas: vec![1, 1, -1, 0],
        negative_spans: vec![BucketSpan { offset: 3, length: 1 }],
        negative_deltas: vec![5],
        reset_hint: 2,
        timestamp: 1000,
        start_timestamp: 7,
        ..Histogram::default()
    }
}

#[test]
fn every_field_of_version_1() {
    let request = v1::WriteRequest {
        timeseries: vec![
            v1::TimeSeries {
                labels: vec![label("__name__", "m"), label("job", "j")],
                samples: vec![
                    v1::Sample { value: 1.5, timestamp: 1000 },
                    v1::Sample { value: 0.0, timestamp: -5 },
                    v1::Sample { value: 0.0, timestamp: 0 },
                ],
                exemplars: vec![v1::Exemplar {
                    labels: vec![label("trace_id", "x")],
                    value: 2.0,
                    timestamp: 3,
                }],
                histograms: vec![some_histogram()],
            },
            v1::TimeSeries { labels: vec![label("__name__", "n")], ..v1::TimeSeries::default() },
        ],
        metadata: vec![v1::MetricMetadata {
            kind: 1,
            metric_family_name: b"m".into(),
            help: b"Help.".into(),
            unit: b"s".into(),
        }],
    };
    let bytes = request.encode_to_vec();
    let request = read(&bytes, Version::V1);
    assert_eq!(pairs(&request, 0), [("__name__", "m"), ("job", "j")]);
    assert_eq!(pairs(&request, 1), [("__name__", "n")]);
    let samples: Vec<_> =
        request.samples.iter().map(|s| (s.value.to_bits(), s.time_ms, s.start_ms)).collect();
    let bits = f64::to_bits;
    assert_eq!(samples, [(bits(1.5), 1000, 0), (bits(0.0), -5, 0), (bits(0.0), 0, 0)]);
    assert_eq!((request.series[0].samples.clone(), request.series[1].samples.clone()), (0..3, 3..3));
    let exemplar = request.exemplars[0].as_ref().unwrap();
    assert_eq!((&exemplar.labels, exemplar.time_ms), (&Labels::from_pairs([("trace_id", "x")]), Some(3)));
    let about = &request.metadata[0];
    assert_eq!((about.name.as_str(), about.metric_type), ("m", MetricType::Counter));
    assert_eq!((about.help.as_str(), about.unit.as_str()), ("Help.", "s"));

    let found = &request.histograms[0];
    let histogram = found.histogram.as_ref().unwrap();
    assert_eq!((found.time_ms, histogram.schema, histogram.reset_hint), (1000, 1, ResetHint::NoReset));
    let Counts::Int(buckets) = &histogram.counts else { panic!("{histogram:?}") };
    assert_eq!((buckets.count, buckets.zero_count), (12, 2));
    assert_eq!((&buckets.positive[..], &buckets.negative[..]), (&[1, 2, 1, 1][..], &[5][..]));
    assert_eq!((histogram.positive_spans[1].offset, histogram.positive_spans[1].length), (-1, 2));
}

#[test]
fn histograms_of_floats_and_what_no_histogram_is() {
    let with = |histogram| v1::WriteRequest {
        timeseries: vec![v1::TimeSeries { histograms: vec![histogram], ..v1::TimeSeries::default() }],
        metadata: Vec::new(),
    };
    let float = Histogram {
        count: Some(Count::Float(2.5)),
        zero_count_float: 0.5,
        positive_counts: vec![1.0, 1.0],
        custom_values: vec![1.0, 2.0],
        schema: -53,
        reset_hint: 3,
        ..Histogram::default()
    };
    let bytes = with(float).encode_to_vec();
    let request = read(&bytes, Version::V1);
    let histogram = request.histograms[0].histogram.as_ref().unwrap();
    assert!(histogram.has_custom_buckets());
    assert_eq!((&histogram.custom_bounds[..], histogram.reset_hint), (&[1.0, 2.0][..], ResetHint::Gauge));
    let Counts::Float(buckets) = &histogram.counts else { panic!("{histogram:?}") };
    assert_eq!((buckets.count, buckets.zero_count, &buckets.positive[..]), (2.5, 0.5, &[1.0, 1.0][..]));

    for (histogram, reason) in [
        (
            Histogram { positive_deltas: vec![1, -2], ..some_histogram() },
            "positive side: bucket number 2 has observation count of -1: histogram has a bucket whose observation \
             count is negative",
        ),
        (
            Histogram { schema: 1000, ..some_histogram() },
            "schema 1000: histogram has an invalid schema, which must be between -4 and 8 for exponential buckets, \
             or -53 for custom buckets",
        ),
    ] {
        let bytes = with(histogram).encode_to_vec();
        assert_eq!(read(&bytes, Version::V1).histograms[0].histogram, Err(reason.to_owned()));
    }
}

#[test]
fn labels_behind_samples_are_found_too() {
    let first = v1::TimeSeries { labels: vec![label("a", "1")], ..v1::TimeSeries::default() };
    let second = v1::TimeSeries {
        samples: vec![v1::Sample { value: 1.0, timestamp: 1 }],
        ..v1::TimeSeries::default()
    };
    let third =
        v1::TimeSeries { labels: vec![label("b", "2"), label("c", "3")], ..v1::TimeSeries::default() };
    let scattered = [first.encode_to_vec(), second.encode_to_vec(), third.encode_to_vec()].concat();
    let mut bytes = vec![0x0a, u8::try_from(scattered.len()).unwrap()];
    bytes.extend_from_slice(&scattered);
    let request = read(&bytes, Version::V1);
    assert_eq!(pairs(&request, 0), [("a", "1"), ("b", "2"), ("c", "3")]);
    assert_eq!(request.samples.len(), 1);
    let together =
        v1::TimeSeries { labels: vec![label("a", "1"), label("b", "2"), label("c", "3")], ..second };
    let bytes = v1::WriteRequest { timeseries: vec![together], metadata: vec![] }.encode_to_vec();
    let usual = read(&bytes, Version::V1);
    assert_eq!(usual.label_bytes(&usual.series[0]), request.label_bytes(&request.series[0]));
}

fn v2_request(symbols: &[&str], timeseries: Vec<v2::TimeSeries>) -> Vec<u8> {
    let symbols = symbols.iter().map(|symbol| (*symbol).to_owned()).collect();
    v2::Request { symbols, timeseries }.encode_to_vec()
}

#[test]
fn every_field_of_version_2() {
    let series = v2::TimeSeries {
        labels_refs: vec![1, 2, 3, 4],
        samples: vec![v2::Sample { value: 1.5, timestamp: 1000, start_timestamp: 900 }],
        histograms: vec![some_histogram()],
        exemplars: vec![v2::Exemplar { labels_refs: vec![5, 6], value: 2.0, timestamp: 3 }],
        metadata: Some(v2::Metadata { kind: 2, help_ref: 7, unit_ref: 0 }),
    };
    let symbols = ["", "__name__", "m", "job", "j", "trace_id", "x", "Help."];
    let bytes = v2_request(&symbols, vec![series]);
    let request = read(&bytes, Version::V2);
    assert_eq!(pairs(&request, 0), [("__name__", "m"), ("job", "j")]);
    assert_eq!((request.samples[0].time_ms, request.samples[0].start_ms), (1000, 900));
    assert_eq!((request.histograms[0].time_ms, request.histograms[0].start_ms), (1000, 7));
    assert_eq!(request.exemplars[0].as_ref().unwrap().labels, Labels::from_pairs([("trace_id", "x")]));
    let about = &request.metadata[0];
    assert_eq!((about.name.as_str(), about.help.as_str()), ("m", "Help."));
    assert_eq!((about.metric_type, about.unit.as_str()), (MetricType::Gauge, ""));

    // The same series has the same bytes in both versions.
    let first = v1::TimeSeries {
        labels: vec![label("__name__", "m"), label("job", "j")],
        ..v1::TimeSeries::default()
    };
    let bytes = v1::WriteRequest { timeseries: vec![first], metadata: vec![] }.encode_to_vec();
    let old = read(&bytes, Version::V1);
    assert_eq!(old.label_bytes(&old.series[0]), request.label_bytes(&request.series[0]));
}

#[test]
fn references_that_lead_nowhere_spoil_their_series_only() {
    let with = |labels_refs| v2::TimeSeries { labels_refs, ..v2::TimeSeries::default() };
    let bytes = v2_request(&["", "a"], vec![with(vec![1, 5, 3]), with(vec![1, 9]), with(vec![1, 1])]);
    let request = read(&bytes, Version::V2);
    let faults: Vec<_> = request.series.iter().map(|series| series.fault.as_deref()).collect();
    assert_eq!(
        faults,
        [
            Some("parsing labels for series [1 5 3]: invalid labelRefs length 3"),
            Some(
                "parsing labels for series [1 9]: labelRefs 1 (name) = 9 (value) outside of symbols table (size 2)"
            ),
            None
        ]
    );
    assert_eq!(pairs(&request, 2), [("a", "a")]);
}

#[test]
fn limits_hold_before_memory_is_taken() {
    let bomb = [0x0a, 0x00].repeat(20_000);
    let refused = decode(&bomb, Version::V1, &LIMITS).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "remote write request too large: more than 10000 series, samples and buckets"
    );
    assert!(decode(&[0x2a, 0x00].repeat(20_000), Version::V2, &LIMITS).is_err());
    // One long symbol, referred to again and again.
    let series = v2::TimeSeries { labels_refs: [1, 1].repeat(400), ..v2::TimeSeries::default() };
    let symbol = "x".repeat(500_000);
    let bytes = v2_request(&["", &symbol], vec![series; 3]);
    assert!(matches!(
        decode(&bytes, Version::V2, &LIMITS),
        Err(RemoteWriteError::TooLarge { what: "bytes of labels", .. })
    ));

    let block = snap::raw::Encoder::new().compress_vec(&vec![0; (1 << 20) + 1]).unwrap();
    let mut out = Vec::new();
    let refused = decompress(&block, &LIMITS, &mut out).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "remote write request too large: more than 1048576 bytes after decompression"
    );
    assert_eq!(decompress(b"nonsense", &LIMITS, &mut out).unwrap_err().to_string(), "s2: corrupt input");
    assert_eq!(decode(b"\x0a\x05", Version::V1, &LIMITS).unwrap_err().to_string(), "unexpected EOF");
}

/// What a request comes to, as text, in both readers' words.
fn shown(request: &WriteRequest<'_>) -> Option<String> {
    let mut out = String::new();
    for series in &request.series {
        let samples = &request.samples[series.samples.start as usize..series.samples.end as usize];
        let samples: Vec<_> = samples.iter().map(|s| (s.value.to_bits(), s.time_ms)).collect();
        out += &format!("{:?} {samples:?} {}\n", request.labels(series).ok()?, series.histograms.len());
    }
    Some(out)
}

fn shown_by_prost(bytes: &[u8]) -> Option<String> {
    let request = v1::WriteRequest::decode(bytes).ok()?;
    let mut out = String::new();
    for series in request.timeseries {
        let labels: Vec<_> = series.labels.iter().map(|l| (&l.name[..], &l.value[..])).collect();
        let samples: Vec<_> = series.samples.iter().map(|s| (s.value.to_bits(), s.timestamp)).collect();
        out += &format!("{labels:?} {samples:?} {}\n", series.histograms.len());
    }
    Some(out)
}

fn some_request() -> impl Strategy<Value = v1::WriteRequest> {
    let label = ("[a-c]{0,3}", "[a-c]{0,200}").prop_map(|(name, value)| label(&name, &value));
    let sample = (any::<f64>(), any::<i64>()).prop_map(|(value, timestamp)| v1::Sample { value, timestamp });
    let series =
        (proptest::collection::vec(label, 0..5), proptest::collection::vec(sample, 0..3), any::<bool>())
            .prop_map(|(labels, samples, has_histogram)| v1::TimeSeries {
                labels,
                samples,
                exemplars: Vec::new(),
                histograms: if has_histogram { vec![some_histogram()] } else { vec![] },
            });
    proptest::collection::vec(series, 0..6)
        .prop_map(|timeseries| v1::WriteRequest { timeseries, metadata: Vec::new() })
}

proptest! {
    #[test]
    fn reads_what_prost_wrote(request in some_request()) {
        let bytes = request.encode_to_vec();
        prop_assert_eq!(shown(&read(&bytes, Version::V1)), shown_by_prost(&bytes));
    }

    #[test]
    fn mutated_requests_are_read_alike_or_refused(
        request in some_request(),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
        cuts in any::<bool>(),
    ) {
        let mut bytes = request.encode_to_vec();
        if bytes.is_empty() {
            return Ok(());
        }
        for (at, value) in flips {
            *at.get_mut(&mut bytes) = value;
        }
        if cuts {
            bytes.truncate(cut.index(bytes.len()));
        }
        // Groups, overlong field numbers and varints: prost is stricter than the peer there. Whatever prost reads,
        // is read, and in the same way.
        if let Some(expected) = shown_by_prost(&bytes) {
            let found = decode(&bytes, Version::V1, &LIMITS).ok().and_then(|request| shown(&request));
            prop_assert_eq!(found, Some(expected));
        }
        check_bounds(&bytes);
    }

    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        check_bounds(&bytes);
    }
}

/// Whatever the bytes are: no panic in either version, labels readable or refused, no more items than the limit.
fn check_bounds(bytes: &[u8]) {
    let limits = WriteLimits { decompressed_bytes: 1 << 20, items: 50 };
    for version in [Version::V1, Version::V2] {
        let Ok(request) = decode(bytes, version, &limits) else { continue };
        assert!(request.series.len() + request.samples.len() + request.histograms.len() <= 50);
        for series in &request.series {
            let _ = request.labels(series);
        }
    }
}
