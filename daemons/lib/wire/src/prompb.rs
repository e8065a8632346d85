//! The messages of Prometheus's remote protocols as structs, derived by hand so that no protoc is needed: for what is
//! written to a peer, and for small messages that are read. The receiver of remote write reads without them
//! ([`crate::remote_write`]).
//!
//! ```text
//! WriteRequest { timeseries = 1, metadata = 3 }        TimeSeries { labels = 1, samples = 2, exemplars = 3, histograms = 4 }
//! ReadRequest { queries = 1, accepted_response_types = 2 }
//! Query { start = 1, end = 2, matchers = 3, hints = 4 (not needed) }
//! ReadResponse { results = 1 }  QueryResult { timeseries = 1 }
//! ChunkedReadResponse { chunked_series = 1, query_index = 2 }  ChunkedSeries { labels = 1, chunks = 2 }
//! ```

use cairn_model::histogram::{Buckets, Counts, Span};
use prost::Message;

use crate::protobuf_reader::{Reader, Value};

/// `prometheus.Label`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Label {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// `prometheus.Sample`.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Sample {
    /// The value, bit for bit but for -0, which is left out as 0 is: the peer's code does the same.
    #[prost(double, tag = "1")]
    pub value: f64,
    /// Milliseconds since the epoch.
    #[prost(int64, tag = "2")]
    pub timestamp: i64,
}

/// `prometheus.Exemplar`.
#[derive(Clone, PartialEq, Message)]
pub struct Exemplar {
    /// Its labels.
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    /// Its value.
    #[prost(double, tag = "2")]
    pub value: f64,
    /// Milliseconds since the epoch.
    #[prost(int64, tag = "3")]
    pub timestamp: i64,
}

/// `prometheus.BucketSpan`.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct BucketSpan {
    /// Buckets left out before it.
    #[prost(sint32, tag = "1")]
    pub offset: i32,
    /// Buckets in it.
    #[prost(uint32, tag = "2")]
    pub length: u32,
}

/// `prometheus.Histogram`. Of the counts either the integers (with deltas) or the floats are set.
#[derive(Clone, PartialEq, Message)]
pub struct Histogram {
    /// Observations of an integer histogram.
    #[prost(uint64, optional, tag = "1")]
    pub count_int: Option<u64>,
    /// Observations of a float histogram.
    #[prost(double, optional, tag = "2")]
    pub count_float: Option<f64>,
    /// Their sum.
    #[prost(double, tag = "3")]
    pub sum: f64,
    /// The schema.
    #[prost(sint32, tag = "4")]
    pub schema: i32,
    /// Width of the zero bucket.
    #[prost(double, tag = "5")]
    pub zero_threshold: f64,
    /// Observations in it, of an integer histogram.
    #[prost(uint64, optional, tag = "6")]
    pub zero_count_int: Option<u64>,
    /// Observations in it, of a float histogram.
    #[prost(double, optional, tag = "7")]
    pub zero_count_float: Option<f64>,
    /// Where negative buckets lie.
    #[prost(message, repeated, tag = "8")]
    pub negative_spans: Vec<BucketSpan>,
    /// Each negative bucket minus the one before.
    #[prost(sint64, repeated, tag = "9")]
    pub negative_deltas: Vec<i64>,
    /// Negative buckets of a float histogram.
    #[prost(double, repeated, tag = "10")]
    pub negative_counts: Vec<f64>,
    /// Where positive buckets lie.
    #[prost(message, repeated, tag = "11")]
    pub positive_spans: Vec<BucketSpan>,
    /// Each positive bucket minus the one before.
    #[prost(sint64, repeated, tag = "12")]
    pub positive_deltas: Vec<i64>,
    /// Positive buckets of a float histogram.
    #[prost(double, repeated, tag = "13")]
    pub positive_counts: Vec<f64>,
    /// [`cairn_model::histogram::ResetHint::number`].
    #[prost(uint32, tag = "14")]
    pub reset_hint: u32,
    /// Milliseconds since the epoch.
    #[prost(int64, tag = "15")]
    pub timestamp: i64,
    /// Upper bounds of custom buckets.
    #[prost(double, repeated, tag = "16")]
    pub custom_values: Vec<f64>,
}

/// `prometheus.TimeSeries`.
#[derive(Clone, PartialEq, Message)]
pub struct TimeSeries {
    /// Sorted by name.
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    /// Ascending by time.
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<Sample>,
    /// Exemplars.
    #[prost(message, repeated, tag = "3")]
    pub exemplars: Vec<Exemplar>,
    /// Ascending by time.
    #[prost(message, repeated, tag = "4")]
    pub histograms: Vec<Histogram>,
}

/// `prometheus.WriteRequest`, without its metadata.
#[derive(Clone, PartialEq, Message)]
pub struct WriteRequest {
    /// The series.
    #[prost(message, repeated, tag = "1")]
    pub timeseries: Vec<TimeSeries>,
}

/// `prometheus.ReadRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct ReadRequest {
    /// What is asked for.
    #[prost(message, repeated, tag = "1")]
    pub queries: Vec<Query>,
    /// 0: samples, 1: streamed chunks; most wanted first.
    #[prost(int32, repeated, tag = "2")]
    pub accepted_response_types: Vec<i32>,
}

/// `prometheus.Query`.
#[derive(Clone, PartialEq, Message)]
pub struct Query {
    /// First instant, in milliseconds.
    #[prost(int64, tag = "1")]
    pub start_timestamp_ms: i64,
    /// Last instant, in milliseconds.
    #[prost(int64, tag = "2")]
    pub end_timestamp_ms: i64,
    /// All of them must pass.
    #[prost(message, repeated, tag = "3")]
    pub matchers: Vec<LabelMatcher>,
}

/// `prometheus.LabelMatcher`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct LabelMatcher {
    /// 0 `=`, 1 `!=`, 2 `=~`, 3 `!~`.
    #[prost(int32, tag = "1")]
    pub kind: i32,
    /// The label.
    #[prost(string, tag = "2")]
    pub name: String,
    /// A text or a pattern.
    #[prost(string, tag = "3")]
    pub value: String,
}

/// `prometheus.QueryResult`.
#[derive(Clone, PartialEq, Message)]
pub struct QueryResult {
    /// The series.
    #[prost(message, repeated, tag = "1")]
    pub timeseries: Vec<TimeSeries>,
}

/// `prometheus.ReadResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct ReadResponse {
    /// One for each query, in their order.
    #[prost(message, repeated, tag = "1")]
    pub results: Vec<QueryResult>,
}

/// `prometheus.ChunkedReadResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct ChunkedReadResponse {
    /// One series, or a part of it.
    #[prost(message, repeated, tag = "1")]
    pub chunked_series: Vec<ChunkedSeries>,
    /// Position of the query in the request.
    #[prost(int64, tag = "2")]
    pub query_index: i64,
}

/// `prometheus.ChunkedSeries`.
#[derive(Clone, PartialEq, Message)]
pub struct ChunkedSeries {
    /// Sorted by name.
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    /// Ascending by time.
    #[prost(message, repeated, tag = "2")]
    pub chunks: Vec<Chunk>,
}

/// `prometheus.Chunk`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Chunk {
    /// First instant.
    #[prost(int64, tag = "1")]
    pub min_time_ms: i64,
    /// Last instant.
    #[prost(int64, tag = "2")]
    pub max_time_ms: i64,
    /// 1 floats, 2 histograms, 3 float histograms.
    #[prost(int32, tag = "3")]
    pub kind: i32,
    /// The samples.
    #[prost(bytes = "vec", tag = "4")]
    pub data: Vec<u8>,
}

/// The bytes of a message.
pub fn encode(message: &impl Message) -> Vec<u8> {
    message.encode_to_vec()
}

/// The message in these bytes, of a size that the caller has bounded.
///
/// # Errors
/// They are no such message, in words.
pub fn decode<M: Message + Default>(bytes: &[u8]) -> Result<M, String> {
    M::decode(bytes).map_err(|error| error.to_string())
}

/// Most queries of one [`ReadRequest`].
pub const MAX_READ_QUERIES: usize = 1000;
/// Most matchers of all its queries.
pub const MAX_READ_MATCHERS: usize = 10_000;

/// Decodes a [`ReadRequest`]. Its queries and matchers are counted before any is built: an empty one takes two bytes on
/// the wire and many times that in memory.
///
/// # Errors
/// The bytes are not the message, or it has more than [`MAX_READ_QUERIES`] or [`MAX_READ_MATCHERS`].
pub fn decode_read_request(bytes: &[u8]) -> Result<ReadRequest, String> {
    let (mut n_queries, mut n_matchers) = (0, 0);
    let mut request = Reader::new("ReadRequest", bytes);
    while let Some((field, value)) = request.next().map_err(|error| error.to_string())? {
        let (1, Value::Bytes(query)) = (field, value) else { continue };
        n_queries += 1;
        if n_queries > MAX_READ_QUERIES {
            return Err(format!(
                "the request has more than {MAX_READ_QUERIES} queries; send several requests"
            ));
        }
        let mut query = Reader::new("Query", query);
        while let Some((field, _)) = query.next().map_err(|error| error.to_string())? {
            n_matchers += usize::from(field == 3);
        }
        if n_matchers > MAX_READ_MATCHERS {
            return Err(format!(
                "the request has more than {MAX_READ_MATCHERS} matchers; send several requests"
            ));
        }
    }
    decode(bytes)
}

/// Appends a series to the bytes of a [`QueryResult`], which is nothing but its series.
pub fn push_series(result: &mut Vec<u8>, series: &TimeSeries) {
    prost::encoding::message::encode(1, series, result);
}

/// Appends the bytes of a [`QueryResult`] to those of a [`ReadResponse`].
pub fn push_result(response: &mut Vec<u8>, result: &Vec<u8>) {
    // The same on the wire as a message.
    prost::encoding::bytes::encode(1, result, response);
}

/// Bytes that labels take in a message, without their tags.
pub fn labels_len(labels: &[Label]) -> usize {
    labels.iter().map(Message::encoded_len).sum()
}

/// One frame of a stream: length as a varint, CRC32C of the message as four bytes, highest first, the message.
pub fn frame(message: &ChunkedReadResponse) -> Vec<u8> {
    let message = message.encode_to_vec();
    let mut frame = Vec::with_capacity(message.len() + 16);
    prost::encoding::encode_varint(message.len() as u64, &mut frame);
    frame.extend_from_slice(&crc32c::crc32c(&message).to_be_bytes());
    frame.extend_from_slice(&message);
    frame
}

/// The messages of a stream; `None` when its bytes are none, or damaged.
pub fn unframe(mut bytes: &[u8]) -> Option<Vec<ChunkedReadResponse>> {
    let mut messages = Vec::new();
    while !bytes.is_empty() {
        let length = usize::try_from(prost::encoding::decode_varint(&mut bytes).ok()?).ok()?;
        let (checksum, rest) = bytes.split_first_chunk::<4>()?;
        let (message, rest) = rest.split_at_checked(length)?;
        if u32::from_be_bytes(*checksum) != crc32c::crc32c(message) {
            return None;
        }
        messages.push(ChunkedReadResponse::decode(message).ok()?);
        bytes = rest;
    }
    Some(messages)
}

impl Histogram {
    /// The message of a histogram at a time.
    pub fn of(time_ms: i64, histogram: &cairn_model::Histogram) -> Self {
        let spans = |spans: &[Span]| {
            spans.iter().map(|span| BucketSpan { offset: span.offset, length: span.length }).collect()
        };
        let common = Self {
            sum: histogram.sum,
            schema: histogram.schema.into(),
            zero_threshold: histogram.zero_threshold,
            negative_spans: spans(&histogram.negative_spans),
            positive_spans: spans(&histogram.positive_spans),
            reset_hint: histogram.reset_hint.number().into(),
            timestamp: time_ms,
            custom_values: histogram.custom_bounds.to_vec(),
            ..Self::default()
        };
        match &histogram.counts {
            Counts::Int(Buckets { count, zero_count, positive, negative }) => Self {
                count_int: Some(*count),
                zero_count_int: Some(*zero_count),
                positive_deltas: deltas(positive),
                negative_deltas: deltas(negative),
                ..common
            },
            Counts::Float(Buckets { count, zero_count, positive, negative }) => Self {
                count_float: Some(*count),
                zero_count_float: Some(*zero_count),
                positive_counts: positive.clone(),
                negative_counts: negative.clone(),
                ..common
            },
        }
    }
}

/// Each number minus the one before. Wraps, as the peer's sums do when they are read.
fn deltas(counts: &[u64]) -> Vec<i64> {
    let mut before = 0u64;
    let delta = |count: &u64| {
        let delta = count.wrapping_sub(before).cast_signed();
        before = *count;
        delta
    };
    counts.iter().map(delta).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote_write::{self, Version, WriteLimits};

    #[test]
    fn frames_are_checked() {
        let message = |query_index| ChunkedReadResponse { chunked_series: Vec::new(), query_index };
        let mut stream = [frame(&message(0)), frame(&message(7))].concat();
        assert_eq!(unframe(&stream), Some(vec![message(0), message(7)]));
        assert_eq!(unframe(&stream[..stream.len() - 1]), None);
        *stream.last_mut().unwrap() ^= 1;
        assert_eq!(unframe(&stream), None);
    }

    const STALE: u64 = 0x7ff0_0000_0000_0002;

    /// What is written here is what the receiver reads.
    #[test]
    fn a_series_with_everything_comes_back() {
        let histogram = cairn_model::Histogram {
            zero_threshold: 0.25,
            positive_spans: vec![Span { offset: -2, length: 2 }, Span { offset: 3, length: 1 }],
            counts: Counts::Int(Buckets {
                count: 12,
                zero_count: 2,
                positive: vec![7, 1, 2],
                negative: vec![],
            }),
            ..cairn_model::Histogram::without_observations(25.5, false)
        };
        let float = cairn_model::Histogram {
            negative_spans: vec![Span { offset: 1, length: 1 }],
            counts: Counts::Float(Buckets {
                count: 0.5,
                zero_count: 0.0,
                positive: vec![],
                negative: vec![0.5],
            }),
            ..cairn_model::Histogram::without_observations(1.0, true)
        };
        let label = |name: &str, value: &str| Label { name: name.to_owned(), value: value.to_owned() };
        let series = TimeSeries {
            labels: vec![label("__name__", "m"), label("a", "b")],
            samples: vec![Sample { value: f64::from_bits(STALE), timestamp: 5 }],
            exemplars: vec![Exemplar { labels: vec![label("trace_id", "x")], value: 1.0, timestamp: 4 }],
            histograms: vec![Histogram::of(6, &histogram), Histogram::of(7, &float)],
        };
        let plain = WriteRequest { timeseries: vec![series] }.encode_to_vec();
        let read = remote_write::decode(&plain, Version::V1, &WriteLimits::default()).unwrap();
        assert_eq!(read.labels(&read.series[0]).unwrap(), [(&b"__name__"[..], &b"m"[..]), (b"a", b"b")]);
        assert_eq!((read.samples[0].time_ms, read.samples[0].value.to_bits()), (5, STALE));
        assert_eq!(read.exemplars[0].as_ref().unwrap().labels.value("trace_id"), "x");
        assert!(read.histograms[0].histogram.as_ref().unwrap().is_identical(&histogram));
        assert!(read.histograms[1].histogram.as_ref().unwrap().is_identical(&float));
        assert_eq!((read.histograms[0].time_ms, read.histograms[1].time_ms), (6, 7));
    }
}
