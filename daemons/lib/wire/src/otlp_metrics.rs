//! The body of an OTLP push of metrics: protobuf or JSON.
//!
//! The structs mirror `opentelemetry/proto/metrics/v1/metrics.proto`, derived by hand so that no protoc is needed; of a
//! oneof the fields are optional, which is the same bytes. In JSON, 64-bit numbers come as text or number, floats that
//! JSON cannot say as text, enums as number or name, and ids as hexadecimal text.

use prost::Message;
use serde::Deserialize;

use crate::otlp_json as json;
use crate::protobuf_reader::{ProtobufError, Reader, Value};

/// Most messages within one request: an empty one takes two bytes on the wire and a hundred times that in memory.
const MAX_ITEMS: usize = 300_000;

/// Most bytes of JSON; the shortest item there is three bytes long.
pub const MAX_JSON_BYTES: usize = 4 << 20;

/// Bounds and counts of histograms that are charged as one item: they are small in memory.
const NUMBERS_PER_ITEM: usize = 4;

/// Deepest nesting of a value that is walked; the decoder ends below it.
const MAX_DEPTH: usize = 100;

/// Why a body is no request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OtlpError {
    /// Not the message.
    #[error(transparent)]
    Walk(#[from] ProtobufError),
    /// Not the message.
    #[error("{0}")]
    Decode(String),
    /// More messages within it than are read.
    #[error(
        "the request has more than {MAX_ITEMS} data points, attributes and the like; send smaller batches"
    )]
    TooManyItems,
    /// More than [`MAX_JSON_BYTES`].
    #[error("the request has more than {MAX_JSON_BYTES} bytes of JSON; send smaller batches, or protobuf")]
    TooMuchJson,
}

macro_rules! messages {
    ($($(#[$doc:meta])* $name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Message, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        pub struct $name {
            $($(#[$attribute])* pub $field: $type,)*
        }
    )*};
}

messages! {
    /// `ExportMetricsServiceRequest`.
    ExportRequest {
        /// What each resource sent.
        #[prost(message, repeated, tag = "1")]
        resource_metrics: Vec<ResourceMetrics>,
    }
    /// Metrics of one resource.
    ResourceMetrics {
        /// Who measured.
        #[prost(message, optional, tag = "1")]
        resource: Option<Resource>,
        /// By the library that measured.
        #[prost(message, repeated, tag = "2")]
        scope_metrics: Vec<ScopeMetrics>,
    }
    /// Who measured.
    Resource {
        /// What is known of it.
        #[prost(message, repeated, tag = "1")]
        attributes: Vec<KeyValue>,
    }
    /// Metrics of one library.
    ScopeMetrics {
        /// The library.
        #[prost(message, optional, tag = "1")]
        scope: Option<Scope>,
        /// Its metrics.
        #[prost(message, repeated, tag = "2")]
        metrics: Vec<Metric>,
        /// Schema of the scope.
        #[prost(string, tag = "3")]
        schema_url: String,
    }
    /// A library.
    Scope {
        /// Its name.
        #[prost(string, tag = "1")]
        name: String,
        /// Its version.
        #[prost(string, tag = "2")]
        version: String,
        /// What else is known of it.
        #[prost(message, repeated, tag = "3")]
        attributes: Vec<KeyValue>,
    }
    /// An attribute.
    KeyValue {
        /// Its name.
        #[prost(string, tag = "1")]
        key: String,
        /// Its value.
        #[prost(message, optional, tag = "2")]
        value: Option<AnyValue>,
    }
    /// At most one of the fields is set.
    AnyValue {
        /// A text.
        #[prost(string, optional, tag = "1")]
        string_value: Option<String>,
        /// Yes or no.
        #[prost(bool, optional, tag = "2")]
        bool_value: Option<bool>,
        /// A whole number.
        #[prost(int64, optional, tag = "3")]
        #[serde(deserialize_with = "json::some_number")]
        int_value: Option<i64>,
        /// A number.
        #[prost(double, optional, tag = "4")]
        #[serde(deserialize_with = "json::some_number")]
        double_value: Option<f64>,
        /// A list.
        #[prost(message, optional, tag = "5")]
        array_value: Option<ArrayValue>,
        /// A map.
        #[prost(message, optional, tag = "6")]
        kvlist_value: Option<KeyValueList>,
        /// Bytes; in JSON the base64 text of them.
        #[prost(bytes = "vec", optional, tag = "7")]
        #[serde(skip)]
        bytes_value: Option<Vec<u8>>,
    }
    /// A list of values.
    ArrayValue {
        /// The values.
        #[prost(message, repeated, tag = "1")]
        values: Vec<AnyValue>,
    }
    /// A map of values.
    KeyValueList {
        /// The entries.
        #[prost(message, repeated, tag = "1")]
        values: Vec<KeyValue>,
    }
    /// A metric; one of its kinds is set.
    Metric {
        /// Its name.
        #[prost(string, tag = "1")]
        name: String,
        /// What it means.
        #[prost(string, tag = "2")]
        description: String,
        /// Its unit, by UCUM.
        #[prost(string, tag = "3")]
        unit: String,
        /// Values of an instant.
        #[prost(message, optional, tag = "5")]
        gauge: Option<Gauge>,
        /// Sums.
        #[prost(message, optional, tag = "7")]
        sum: Option<Sum>,
        /// Histograms with bounds.
        #[prost(message, optional, tag = "9")]
        histogram: Option<Histogram>,
        /// Histograms with exponential bounds.
        #[prost(message, optional, tag = "10")]
        exponential_histogram: Option<ExponentialHistogram>,
        /// Quantiles.
        #[prost(message, optional, tag = "11")]
        summary: Option<Summary>,
    }
    /// Values of an instant.
    Gauge {
        /// The values.
        #[prost(message, repeated, tag = "1")]
        data_points: Vec<NumberDataPoint>,
    }
    /// Sums.
    Sum {
        /// The values.
        #[prost(message, repeated, tag = "1")]
        data_points: Vec<NumberDataPoint>,
        /// 1 delta, 2 cumulative.
        #[prost(int32, tag = "2")]
        #[serde(deserialize_with = "json::temporality")]
        aggregation_temporality: i32,
        /// Whether it only grows.
        #[prost(bool, tag = "3")]
        is_monotonic: bool,
    }
    /// Histograms with bounds.
    Histogram {
        /// The values.
        #[prost(message, repeated, tag = "1")]
        data_points: Vec<HistogramDataPoint>,
        /// 1 delta, 2 cumulative.
        #[prost(int32, tag = "2")]
        #[serde(deserialize_with = "json::temporality")]
        aggregation_temporality: i32,
    }
    /// Histograms with exponential bounds.
    ExponentialHistogram {
        /// The values.
        #[prost(message, repeated, tag = "1")]
        data_points: Vec<ExponentialHistogramDataPoint>,
        /// 1 delta, 2 cumulative.
        #[prost(int32, tag = "2")]
        #[serde(deserialize_with = "json::temporality")]
        aggregation_temporality: i32,
    }
    /// Quantiles.
    Summary {
        /// The values.
        #[prost(message, repeated, tag = "1")]
        data_points: Vec<SummaryDataPoint>,
    }
    /// A number.
    NumberDataPoint {
        /// When counting began, nanoseconds.
        #[prost(fixed64, tag = "2")]
        #[serde(deserialize_with = "json::number")]
        start_time_unix_nano: u64,
        /// When, in nanoseconds since the epoch.
        #[prost(fixed64, tag = "3")]
        #[serde(deserialize_with = "json::number")]
        time_unix_nano: u64,
        /// The value, or
        #[prost(double, optional, tag = "4")]
        #[serde(deserialize_with = "json::some_number")]
        as_double: Option<f64>,
        /// Samples of what was measured.
        #[prost(message, repeated, tag = "5")]
        exemplars: Vec<Exemplar>,
        /// the value.
        #[prost(sfixed64, optional, tag = "6")]
        #[serde(deserialize_with = "json::some_number")]
        as_int: Option<i64>,
        /// What was measured.
        #[prost(message, repeated, tag = "7")]
        attributes: Vec<KeyValue>,
        /// Bit 0: there is no value.
        #[prost(uint32, tag = "8")]
        flags: u32,
    }
    /// A histogram with bounds.
    HistogramDataPoint {
        /// When counting began, nanoseconds.
        #[prost(fixed64, tag = "2")]
        #[serde(deserialize_with = "json::number")]
        start_time_unix_nano: u64,
        /// When, in nanoseconds since the epoch.
        #[prost(fixed64, tag = "3")]
        #[serde(deserialize_with = "json::number")]
        time_unix_nano: u64,
        /// Observations.
        #[prost(fixed64, tag = "4")]
        #[serde(deserialize_with = "json::number")]
        count: u64,
        /// Their sum.
        #[prost(double, optional, tag = "5")]
        #[serde(deserialize_with = "json::some_number")]
        sum: Option<f64>,
        /// Observations in each bucket, one more than bounds.
        #[prost(fixed64, repeated, tag = "6")]
        #[serde(deserialize_with = "json::numbers")]
        bucket_counts: Vec<u64>,
        /// Upper bounds, ascending.
        #[prost(double, repeated, tag = "7")]
        #[serde(deserialize_with = "json::numbers")]
        explicit_bounds: Vec<f64>,
        /// Samples of what was measured.
        #[prost(message, repeated, tag = "8")]
        exemplars: Vec<Exemplar>,
        /// What was measured.
        #[prost(message, repeated, tag = "9")]
        attributes: Vec<KeyValue>,
        /// Bit 0: there is no value.
        #[prost(uint32, tag = "10")]
        flags: u32,
    }
    /// A histogram with exponential bounds.
    ExponentialHistogramDataPoint {
        /// What was measured.
        #[prost(message, repeated, tag = "1")]
        attributes: Vec<KeyValue>,
        /// When counting began, nanoseconds.
        #[prost(fixed64, tag = "2")]
        #[serde(deserialize_with = "json::number")]
        start_time_unix_nano: u64,
        /// When, in nanoseconds since the epoch.
        #[prost(fixed64, tag = "3")]
        #[serde(deserialize_with = "json::number")]
        time_unix_nano: u64,
        /// Observations.
        #[prost(fixed64, tag = "4")]
        #[serde(deserialize_with = "json::number")]
        count: u64,
        /// Their sum.
        #[prost(double, optional, tag = "5")]
        #[serde(deserialize_with = "json::some_number")]
        sum: Option<f64>,
        /// Each bucket is `2^(2^-scale)` as wide as the one before.
        #[prost(sint32, tag = "6")]
        scale: i32,
        /// Observations in the zero bucket.
        #[prost(fixed64, tag = "7")]
        #[serde(deserialize_with = "json::number")]
        zero_count: u64,
        /// Above zero.
        #[prost(message, optional, tag = "8")]
        positive: Option<ExponentialBuckets>,
        /// Below zero.
        #[prost(message, optional, tag = "9")]
        negative: Option<ExponentialBuckets>,
        /// Bit 0: there is no value.
        #[prost(uint32, tag = "10")]
        flags: u32,
        /// Samples of what was measured.
        #[prost(message, repeated, tag = "11")]
        exemplars: Vec<Exemplar>,
    }
    /// Buckets on one side of zero.
    ExponentialBuckets {
        /// Index of the first.
        #[prost(sint32, tag = "1")]
        offset: i32,
        /// Observations in each.
        #[prost(uint64, repeated, tag = "2")]
        #[serde(deserialize_with = "json::numbers")]
        bucket_counts: Vec<u64>,
    }
    /// Quantiles of one time.
    SummaryDataPoint {
        /// When counting began, nanoseconds.
        #[prost(fixed64, tag = "2")]
        #[serde(deserialize_with = "json::number")]
        start_time_unix_nano: u64,
        /// When, in nanoseconds since the epoch.
        #[prost(fixed64, tag = "3")]
        #[serde(deserialize_with = "json::number")]
        time_unix_nano: u64,
        /// Observations.
        #[prost(fixed64, tag = "4")]
        #[serde(deserialize_with = "json::number")]
        count: u64,
        /// Their sum.
        #[prost(double, tag = "5")]
        #[serde(deserialize_with = "json::number")]
        sum: f64,
        /// The quantiles.
        #[prost(message, repeated, tag = "6")]
        quantile_values: Vec<QuantileValue>,
        /// What was measured.
        #[prost(message, repeated, tag = "7")]
        attributes: Vec<KeyValue>,
        /// Bit 0: there is no value.
        #[prost(uint32, tag = "8")]
        flags: u32,
    }
    /// One quantile.
    QuantileValue {
        /// 0 to 1.
        #[prost(double, tag = "1")]
        #[serde(deserialize_with = "json::number")]
        quantile: f64,
        /// Its value.
        #[prost(double, tag = "2")]
        #[serde(deserialize_with = "json::number")]
        value: f64,
    }
    /// A sample of what was measured.
    Exemplar {
        /// When, in nanoseconds since the epoch.
        #[prost(fixed64, tag = "2")]
        #[serde(deserialize_with = "json::number")]
        time_unix_nano: u64,
        /// The value, or
        #[prost(double, optional, tag = "3")]
        #[serde(deserialize_with = "json::some_number")]
        as_double: Option<f64>,
        /// The span.
        #[prost(bytes = "vec", tag = "4")]
        #[serde(deserialize_with = "json::hex")]
        span_id: Vec<u8>,
        /// The trace.
        #[prost(bytes = "vec", tag = "5")]
        #[serde(deserialize_with = "json::hex")]
        trace_id: Vec<u8>,
        /// the value.
        #[prost(sfixed64, optional, tag = "6")]
        #[serde(deserialize_with = "json::some_number")]
        as_int: Option<i64>,
        /// Attributes that the metric does not have.
        #[prost(message, repeated, tag = "7")]
        filtered_attributes: Vec<KeyValue>,
    }
}

/// Reads a protobuf body. Its items are counted before any is built.
///
/// # Errors
/// [`OtlpError`]
pub fn decode_protobuf(body: &[u8]) -> Result<ExportRequest, OtlpError> {
    let mut left = MAX_ITEMS;
    count(Kind::Request, body, 0, &mut left)?;
    ExportRequest::decode(body).map_err(|error| OtlpError::Decode(error.to_string()))
}

/// Reads a JSON body.
///
/// # Errors
/// [`OtlpError`]
pub fn decode_json(body: &[u8]) -> Result<ExportRequest, OtlpError> {
    if body.len() > MAX_JSON_BYTES {
        return Err(OtlpError::TooMuchJson);
    }
    // Each item begins so; those within texts are counted along, which is on the safe side.
    if memchr::memchr_iter(b'{', body).count() > MAX_ITEMS {
        return Err(OtlpError::TooManyItems);
    }
    serde_json::from_slice(body).map_err(|error| OtlpError::Decode(error.to_string()))
}

/// Messages that have others in them.
#[derive(Clone, Copy)]
enum Kind {
    Request,
    ResourceMetrics,
    Resource,
    ScopeMetrics,
    Scope,
    Metric,
    Numbers,
    Histograms,
    Exponentials,
    Summaries,
    Number,
    HistogramPoint,
    ExponentialPoint,
    ExponentialBuckets,
    SummaryPoint,
    Exemplar,
    KeyValue,
    AnyValue,
    Array,
    Map,
}

impl Kind {
    fn child(self, field: u32) -> Option<Self> {
        Some(match (self, field) {
            (Self::Request, 1) => Self::ResourceMetrics,
            (Self::ResourceMetrics, 1) => Self::Resource,
            (Self::ResourceMetrics, 2) => Self::ScopeMetrics,
            (Self::ScopeMetrics, 1) => Self::Scope,
            (Self::ScopeMetrics, 2) => Self::Metric,
            (Self::Metric, 5 | 7) => Self::Numbers,
            (Self::Metric, 9) => Self::Histograms,
            (Self::Metric, 10) => Self::Exponentials,
            (Self::Metric, 11) => Self::Summaries,
            (Self::Numbers, 1) => Self::Number,
            (Self::Histograms, 1) => Self::HistogramPoint,
            (Self::Exponentials, 1) => Self::ExponentialPoint,
            (Self::Summaries, 1) => Self::SummaryPoint,
            (Self::ExponentialPoint, 8 | 9) => Self::ExponentialBuckets,
            (Self::Number, 5) | (Self::HistogramPoint, 8) | (Self::ExponentialPoint, 11) => Self::Exemplar,
            (Self::Resource | Self::ExponentialPoint | Self::Map, 1)
            | (Self::Scope, 3)
            | (Self::Number | Self::SummaryPoint | Self::Exemplar, 7)
            | (Self::HistogramPoint, 9) => Self::KeyValue,
            (Self::KeyValue, 2) | (Self::Array, 1) => Self::AnyValue,
            (Self::AnyValue, 5) => Self::Array,
            (Self::AnyValue, 6) => Self::Map,
            _ => return None,
        })
    }

    /// How many bounds or counts of a histogram a field holds, packed or not.
    fn numbers(self, field: u32, value: Value<'_>) -> usize {
        match (self, field, value) {
            (Self::HistogramPoint, 6 | 7, Value::Bytes(packed)) => packed.len() / 8,
            // The last byte of a varint is below 0x80.
            (Self::ExponentialBuckets, 2, Value::Bytes(packed)) => {
                packed.iter().filter(|byte| **byte < 0x80).count()
            }
            (Self::HistogramPoint, 6 | 7, _) | (Self::ExponentialBuckets, 2, _) => 1,
            _ => 0,
        }
    }
}

fn count(kind: Kind, bytes: &[u8], depth: usize, left: &mut usize) -> Result<(), OtlpError> {
    let mut reader = Reader::new("ExportMetricsServiceRequest", bytes);
    let mut n_numbers = 0;
    while let Some((field, value)) = reader.next()? {
        n_numbers += kind.numbers(field, value);
        let n_items = n_numbers / NUMBERS_PER_ITEM;
        n_numbers %= NUMBERS_PER_ITEM;
        *left = left.checked_sub(n_items).ok_or(OtlpError::TooManyItems)?;
        let Value::Bytes(inner) = value else { continue };
        *left = left.checked_sub(1).ok_or(OtlpError::TooManyItems)?;
        // The decoder refuses what is deeper.
        if let Some(child) = kind.child(field).filter(|_| depth < MAX_DEPTH) {
            count(child, inner, depth + 1, left)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Option<AnyValue> {
        Some(AnyValue { string_value: Some(text.to_owned()), ..AnyValue::default() })
    }

    #[test]
    fn json_and_protobuf_say_the_same() {
        let json = r#"{"resourceMetrics": [{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "a"}}]},
            "scopeMetrics": [{"scope": {"name": "s"}, "unknown": [1], "metrics": [
                {"name": "n", "unit": "1", "sum": {"aggregationTemporality": "AGGREGATION_TEMPORALITY_CUMULATIVE", "isMonotonic": true,
                    "dataPoints": [{"timeUnixNano": "1795224884348000000", "asInt": "7", "flags": 1,
                        "exemplars": [{"traceId": "0aFF", "asDouble": "NaN"}]}]}},
                {"name": "h", "histogram": {"aggregationTemporality": 2, "dataPoints": [
                    {"count": 3, "sum": "-Infinity", "bucketCounts": ["1", 2], "explicitBounds": [0.5]}]}}]}]}]}"#;
        let read = decode_json(json.as_bytes()).unwrap();
        let metrics = &read.resource_metrics[0].scope_metrics[0].metrics;
        let sum = metrics[0].sum.as_ref().unwrap();
        assert_eq!((sum.aggregation_temporality, sum.is_monotonic), (2, true));
        let point = &sum.data_points[0];
        assert_eq!(
            (point.time_unix_nano, point.as_int, point.flags),
            (1_795_224_884_348_000_000, Some(7), 1)
        );
        assert_eq!(point.exemplars[0].trace_id, [0x0a, 0xff]);
        assert!(point.exemplars[0].as_double.unwrap().is_nan());
        let histogram = &metrics[1].histogram.as_ref().unwrap().data_points[0];
        assert_eq!((histogram.sum, &histogram.bucket_counts), (Some(f64::NEG_INFINITY), &vec![1, 2]));

        let mut sent = read.clone();
        // NaN is not equal to itself.
        sent.resource_metrics[0].scope_metrics[0].metrics[0].sum = None;
        assert_eq!(decode_protobuf(&sent.encode_to_vec()).unwrap(), sent);
        assert!(decode_json(b"{\"resourceMetrics\": 1}").is_err());
        assert!(decode_protobuf(b"\x0a\x05x").is_err());
    }

    #[test]
    fn items_are_counted_before_they_are_built() {
        let attribute = KeyValue { key: String::new(), value: value("") };
        let resource = Resource { attributes: vec![attribute; MAX_ITEMS / 2] };
        let one = ResourceMetrics { resource: Some(resource), scope_metrics: Vec::new() };
        let request = ExportRequest { resource_metrics: vec![one] };
        assert_eq!(decode_protobuf(&request.encode_to_vec()), Err(OtlpError::TooManyItems));
        // A value within a value within a value.
        let mut deep = value("x");
        for _ in 0..200 {
            let values = vec![deep.unwrap()];
            deep = Some(AnyValue { array_value: Some(ArrayValue { values }), ..AnyValue::default() });
        }
        let resource = Resource { attributes: vec![KeyValue { key: "k".to_owned(), value: deep }] };
        let one = ResourceMetrics { resource: Some(resource), scope_metrics: Vec::new() };
        let request = ExportRequest { resource_metrics: vec![one] };
        assert!(matches!(decode_protobuf(&request.encode_to_vec()), Err(OtlpError::Decode(_))));
        assert_eq!(decode_json(&vec![b' '; MAX_JSON_BYTES + 1]), Err(OtlpError::TooMuchJson));
        let json = format!(r#"{{"resourceMetrics": [{}{{}}]}}"#, "{},".repeat(MAX_ITEMS));
        assert_eq!(decode_json(json.as_bytes()), Err(OtlpError::TooManyItems));
    }

    #[test]
    fn numbers_of_histograms_are_counted() {
        let n_numbers = (MAX_ITEMS + 1) * NUMBERS_PER_ITEM;
        let request = |metric: Metric| {
            let scope = ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() };
            let one = ResourceMetrics { resource: None, scope_metrics: vec![scope] };
            ExportRequest { resource_metrics: vec![one] }.encode_to_vec()
        };
        for n in [1000, n_numbers] {
            let point = HistogramDataPoint { explicit_bounds: vec![1.0; n], ..HistogramDataPoint::default() };
            let histogram = Some(Histogram { data_points: vec![point], aggregation_temporality: 2 });
            let bounds = request(Metric { histogram, ..Metric::default() });
            let positive = Some(ExponentialBuckets { offset: 0, bucket_counts: vec![300; n] });
            let point =
                ExponentialHistogramDataPoint { positive, ..ExponentialHistogramDataPoint::default() };
            let histogram = ExponentialHistogram { data_points: vec![point], aggregation_temporality: 2 };
            let buckets = request(Metric { exponential_histogram: Some(histogram), ..Metric::default() });
            for body in [bounds, buckets] {
                assert_eq!(decode_protobuf(&body).is_ok(), n == 1000);
            }
        }
    }
}
