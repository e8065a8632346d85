//! Writing metric families in the protobuf form, each behind its length: what a page for another Prometheus needs.

use cairn_model::histogram::{Counts, ResetHint};
use cairn_model::{FloatHistogram, Histogram};
use prost::Message;

/// What all metrics of a family are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FamilyType {
    /// Nothing is known of them.
    Untyped,
    /// Histograms that count.
    Histogram,
    /// Histograms of what is there now.
    GaugeHistogram,
}

impl FamilyType {
    /// The type of a family with this histogram.
    pub fn of(histogram: &Histogram) -> Self {
        match histogram.reset_hint {
            ResetHint::Gauge => Self::GaugeHistogram,
            _ => Self::Histogram,
        }
    }

    fn number(self) -> i32 {
        match self {
            Self::Untyped => 3,
            Self::Histogram => 4,
            Self::GaugeHistogram => 5,
        }
    }
}

/// A family that is being put together.
#[derive(Clone, Debug)]
pub struct FamilyEncoder(messages::MetricFamily);

impl FamilyEncoder {
    /// Without metrics yet.
    pub fn new(name: String, kind: FamilyType) -> Self {
        Self(messages::MetricFamily { name: Some(name), r#type: Some(kind.number()), metric: Vec::new() })
    }

    /// Adds a number. Labels are pairs of name and value.
    pub fn number(&mut self, labels: Vec<(String, String)>, time_ms: i64, value: f64) {
        let untyped = Some(messages::Untyped { value: Some(value) });
        self.push(messages::Metric { untyped, ..metric(labels, time_ms) });
    }

    /// Adds a native histogram. One with custom buckets is written as the classic histogram that it was.
    pub fn histogram(&mut self, labels: Vec<(String, String)>, time_ms: i64, histogram: &Histogram) {
        let message = if histogram.has_custom_buckets() { classic(histogram) } else { native(histogram) };
        self.push(messages::Metric { histogram: Some(message), ..metric(labels, time_ms) });
    }

    fn push(&mut self, metric: messages::Metric) {
        self.0.metric.push(metric);
    }

    /// Appends the family to a page.
    pub fn finish(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.encode_length_delimited_to_vec());
    }
}

fn metric(labels: Vec<(String, String)>, time_ms: i64) -> messages::Metric {
    let pair = |(name, value)| messages::LabelPair { name: Some(name), value: Some(value) };
    messages::Metric {
        label: labels.into_iter().map(pair).collect(),
        timestamp_ms: Some(time_ms),
        untyped: None,
        histogram: None,
    }
}

/// With counts as floats, as the peer writes them whatever they were.
fn native(histogram: &Histogram) -> messages::Histogram {
    #[expect(clippy::cast_precision_loss, reason = "the form has floats")]
    let floats = |counts: &[u64]| counts.iter().map(|count| *count as f64).collect::<Vec<_>>();
    let (zero_count, positive, negative) = match &histogram.counts {
        #[expect(clippy::cast_precision_loss, reason = "the form has floats")]
        Counts::Int(buckets) => {
            (buckets.zero_count as f64, floats(&buckets.positive), floats(&buckets.negative))
        }
        Counts::Float(buckets) => (buckets.zero_count, buckets.positive.clone(), buckets.negative.clone()),
    };
    let spans = |spans: &[cairn_model::histogram::Span]| -> Vec<messages::BucketSpan> {
        let span = |span: &cairn_model::histogram::Span| messages::BucketSpan {
            offset: Some(span.offset),
            length: Some(span.length),
        };
        spans.iter().map(span).collect()
    };
    let mut positive_span = spans(&histogram.positive_spans);
    let negative_span = spans(&histogram.negative_spans);
    let is_recognised = !positive_span.is_empty()
        || !negative_span.is_empty()
        || histogram.zero_threshold > 0.0
        || zero_count > 0.0;
    if !is_recognised {
        // A span of nothing is how an empty histogram says that it is a native one.
        positive_span.push(messages::BucketSpan { offset: Some(0), length: Some(0) });
    }
    messages::Histogram {
        sample_count_float: Some(histogram.count()),
        sample_sum: Some(histogram.sum),
        schema: Some(i32::from(histogram.schema)),
        zero_threshold: Some(histogram.zero_threshold),
        zero_count_float: Some(zero_count),
        negative_span,
        negative_count: negative,
        positive_span,
        positive_count: positive,
        ..messages::Histogram::default()
    }
}

/// Without the bucket of everything, which may be left out in this form.
fn classic(histogram: &Histogram) -> messages::Histogram {
    let histogram = FloatHistogram::from(histogram);
    let mut below = 0.0;
    let bucket = |(bound, count): (&f64, f64)| {
        below += count;
        messages::Bucket { upper_bound: Some(*bound), cumulative_count_float: Some(below) }
    };
    messages::Histogram {
        sample_count_float: Some(histogram.count),
        sample_sum: Some(histogram.sum),
        bucket: histogram.custom_bounds.iter().zip(custom_bucket_counts(&histogram)).map(bucket).collect(),
        ..messages::Histogram::default()
    }
}

/// Observations in the bucket below each custom bound. What lies above the last one is only in the count.
pub fn custom_bucket_counts(histogram: &FloatHistogram) -> Vec<f64> {
    let mut counts = vec![0.0; histogram.custom_bounds.len()];
    for bucket in &histogram.positive {
        if let Some(count) = usize::try_from(bucket.index).ok().and_then(|index| counts.get_mut(index)) {
            *count += bucket.count;
        }
    }
    counts
}

/// `io.prometheus.client`, as far as it is written. Its fields say whether they are there (proto2).
mod messages {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct MetricFamily {
        #[prost(string, optional, tag = "1")]
        pub(super) name: Option<String>,
        #[prost(int32, optional, tag = "3")]
        pub(super) r#type: Option<i32>,
        #[prost(message, repeated, tag = "4")]
        pub(super) metric: Vec<Metric>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Metric {
        #[prost(message, repeated, tag = "1")]
        pub(super) label: Vec<LabelPair>,
        #[prost(message, optional, tag = "5")]
        pub(super) untyped: Option<Untyped>,
        #[prost(message, optional, tag = "7")]
        pub(super) histogram: Option<Histogram>,
        #[prost(int64, optional, tag = "6")]
        pub(super) timestamp_ms: Option<i64>,
    }

    #[derive(Clone, PartialEq, Eq, prost::Message)]
    pub(super) struct LabelPair {
        #[prost(string, optional, tag = "1")]
        pub(super) name: Option<String>,
        #[prost(string, optional, tag = "2")]
        pub(super) value: Option<String>,
    }

    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub(super) struct Untyped {
        #[prost(double, optional, tag = "1")]
        pub(super) value: Option<f64>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Histogram {
        #[prost(double, optional, tag = "4")]
        pub(super) sample_count_float: Option<f64>,
        #[prost(double, optional, tag = "2")]
        pub(super) sample_sum: Option<f64>,
        #[prost(message, repeated, tag = "3")]
        pub(super) bucket: Vec<Bucket>,
        #[prost(sint32, optional, tag = "5")]
        pub(super) schema: Option<i32>,
        #[prost(double, optional, tag = "6")]
        pub(super) zero_threshold: Option<f64>,
        #[prost(double, optional, tag = "8")]
        pub(super) zero_count_float: Option<f64>,
        #[prost(message, repeated, tag = "9")]
        pub(super) negative_span: Vec<BucketSpan>,
        #[prost(double, repeated, packed = "false", tag = "11")]
        pub(super) negative_count: Vec<f64>,
        #[prost(message, repeated, tag = "12")]
        pub(super) positive_span: Vec<BucketSpan>,
        #[prost(double, repeated, packed = "false", tag = "14")]
        pub(super) positive_count: Vec<f64>,
    }

    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub(super) struct Bucket {
        #[prost(double, optional, tag = "4")]
        pub(super) cumulative_count_float: Option<f64>,
        #[prost(double, optional, tag = "2")]
        pub(super) upper_bound: Option<f64>,
    }

    #[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
    pub(super) struct BucketSpan {
        #[prost(sint32, optional, tag = "1")]
        pub(super) offset: Option<i32>,
        #[prost(uint32, optional, tag = "2")]
        pub(super) length: Option<u32>,
    }
}
