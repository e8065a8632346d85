//! Answers: the envelope, and times and values as Prometheus prints them.

use std::fmt::Write;

use axum::response::{IntoResponse, Response};
use cairn_model::number::{write_json_float, write_plain_float};
use cairn_model::{FloatHistogram, Labels, TimeMs};
use cairn_promql::{MatrixSeries, Point, Sample, Value};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use rayon::prelude::*;

/// `Content-Type` of every envelope; no charset, as Prometheus.
pub(crate) const ENVELOPE_TYPE: &str = "application/json";

/// Warnings and infos shown; the rest is counted.
const MAX_ANNOTATIONS: usize = 10;

/// A good answer: `data` as JSON text, with what is to be said beside it.
#[derive(Clone, Debug, Default)]
pub(super) struct Answered {
    /// The envelope up to the end of `data`.
    text: String,
    warnings: Vec<String>,
    infos: Vec<String>,
}

impl Answered {
    /// `data` as JSON text.
    pub(super) fn new(data: &str) -> Self {
        Self::written(|out| out.push_str(data))
    }

    /// `data` as `write` writes it: answers can be long, and this one is not copied any more.
    pub(super) fn written(write: impl FnOnce(&mut String)) -> Self {
        let mut text = String::from("{\"status\":\"success\",\"data\":");
        write(&mut text);
        Self { text, ..Self::default() }
    }

    /// Adds what may make the answer wrong, and what is worth knowing.
    pub(super) fn with(self, warnings: Vec<String>, infos: Vec<String>) -> Self {
        Self { warnings, infos, ..self }
    }

    /// Anything serde can print.
    pub(super) fn of<T: serde::Serialize + ?Sized>(data: &T) -> Self {
        // Strings, numbers, lists and maps with text keys: nothing that JSON cannot say.
        Self::new(&serde_json::to_string(data).unwrap_or_else(|_| "null".to_owned()))
    }
}

impl IntoResponse for Answered {
    fn into_response(self) -> Response {
        let mut body = self.text;
        for (key, kind, list) in [("warnings", "warning", &self.warnings), ("infos", "info", &self.infos)] {
            if list.is_empty() {
                continue;
            }
            let _ = write!(body, ",\"{key}\":[");
            for (index, text) in list.iter().take(MAX_ANNOTATIONS).enumerate() {
                if index > 0 {
                    body.push(',');
                }
                push_json_string(&mut body, text, true);
            }
            if list.len() > MAX_ANNOTATIONS {
                let more = list.len() - MAX_ANNOTATIONS;
                let _ = write!(body, ",\"{more} more {kind} annotations omitted\"");
            }
            body.push(']');
        }
        body.push('}');
        let mut response = body.into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(ENVELOPE_TYPE));
        response
    }
}

/// Writes a JSON string; `is_html_safe` escapes `<`, `>` and `&` as Go's encoder does.
pub(crate) fn push_json_string(out: &mut String, text: &str, is_html_safe: bool) {
    out.push('"');
    if is_plain(text.as_bytes()) {
        out.push_str(text);
    } else {
        push_escaped(out, text, is_html_safe);
    }
    out.push('"');
}

/// Whether a text is written as it is, whatever is to be escaped: nearly all are, and eight bytes are looked at together.
fn is_plain(text: &[u8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = ONES << 7;
    // The top bit of each byte that is less than `n`, and maybe of ones above such a byte, as in Hacker's Delight, 6-1.
    let less = |word: u64, n: u8| word.wrapping_sub(ONES * u64::from(n)) & !word & TOPS;
    let equal = |word: u64, byte: u8| less(word ^ (ONES * u64::from(byte)), 1);
    let special = |word: u64| {
        let escaped_in_go = equal(word, b'<') | equal(word, b'>') | equal(word, b'&');
        less(word, 0x20) | equal(word, b'"') | equal(word, b'\\') | escaped_in_go
    };
    let (words, rest) = text.as_chunks::<8>();
    words.iter().all(|word| special(u64::from_ne_bytes(*word)) == 0)
        && rest.iter().all(|byte| *byte >= 0x20 && !matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&'))
}

fn push_escaped(out: &mut String, text: &str, is_html_safe: bool) {
    let mut copied = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escaped = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            b'<' if is_html_safe => "\\u003c",
            b'>' if is_html_safe => "\\u003e",
            b'&' if is_html_safe => "\\u0026",
            0..=0x1f => {
                out.push_str(&text[copied..at]);
                let _ = write!(out, "\\u{byte:04x}");
                copied = at + 1;
                continue;
            }
            _ => continue,
        };
        out.push_str(&text[copied..at]);
        out.push_str(escaped);
        copied = at + 1;
    }
    out.push_str(&text[copied..]);
}

/// `{"a":"b"}`.
pub(crate) fn push_labels(out: &mut String, labels: &Labels) {
    out.push('{');
    for (index, (name, value)) in labels.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        push_json_string(out, name, false);
        out.push(':');
        push_json_string(out, value, false);
    }
    out.push('}');
}

/// Seconds of a sample: whole, or with exactly three decimals.
fn push_sample_time(out: &mut String, time: TimeMs) {
    let ms = time.0.unsigned_abs();
    if time.0 < 0 {
        out.push('-');
    }
    out.push_str(itoa::Buffer::new().format(ms / 1000));
    if !ms.is_multiple_of(1000) {
        out.push('.');
        // The one in front keeps the zeros.
        out.push_str(&itoa::Buffer::new().format(1000 + ms % 1000)[1..]);
    }
}

fn push_point(out: &mut String, point: Point) {
    out.push('[');
    push_sample_time(out, point.time);
    out.push_str(",\"");
    let _ = write_json_float(out, point.value);
    out.push_str("\"]");
}

fn push_histogram_point(out: &mut String, time: TimeMs, histogram: &FloatHistogram) {
    out.push('[');
    push_sample_time(out, time);
    out.push(',');
    push_histogram(out, histogram);
    out.push(']');
}

/// `{"count":"3","sum":"4.5","buckets":[[0,"1","2","3"]]}`: buckets that are populated, ascending. Their first number says
/// which bounds belong to them: 0 the upper one, 1 the lower one, 2 neither, 3 both.
fn push_histogram(out: &mut String, histogram: &FloatHistogram) {
    out.push_str("{\"count\":\"");
    let _ = write_json_float(out, histogram.count);
    out.push_str("\",\"sum\":\"");
    let _ = write_json_float(out, histogram.sum);
    out.push('"');
    let mut has_buckets = false;
    let zero = std::iter::once(histogram.zero_bucket());
    let all = histogram.negative_buckets().chain(zero).chain(histogram.positive_buckets());
    for bucket in all.filter(|bucket| bucket.count != 0.0) {
        out.push_str(if has_buckets { "," } else { ",\"buckets\":[" });
        has_buckets = true;
        let bounds = match (bucket.includes_lower, bucket.includes_upper) {
            (false, true) => 0,
            (true, false) => 1,
            (false, false) => 2,
            (true, true) => 3,
        };
        let _ = write!(out, "[{bounds}");
        for value in [bucket.lower, bucket.upper, bucket.count] {
            out.push_str(",\"");
            let _ = write_json_float(out, value);
            out.push('"');
        }
        out.push(']');
    }
    out.push_str(if has_buckets { "]}" } else { "}" });
}

/// `"resultType":...,"result":...` of a query's answer, without the braces around it.
pub(crate) fn push_value(out: &mut String, value: &Value) {
    match value {
        Value::Scalar(point) => {
            // Scalars and strings carry their time as a shortest float, and scalars no exponent.
            out.push_str("\"resultType\":\"scalar\",\"result\":[");
            let _ = write_plain_float(out, point.time.as_seconds());
            out.push_str(",\"");
            let _ = write_plain_float(out, point.value);
            out.push_str("\"]");
        }
        Value::String(time, text) => {
            out.push_str("\"resultType\":\"string\",\"result\":[");
            let _ = write_plain_float(out, time.as_seconds());
            out.push(',');
            push_json_string(out, text, true);
            out.push(']');
        }
        Value::Vector(samples) => {
            out.push_str("\"resultType\":\"vector\",\"result\":[");
            for (index, sample) in samples.iter().enumerate() {
                out.push_str(if index > 0 { ",{\"metric\":" } else { "{\"metric\":" });
                push_labels(out, &sample.labels);
                match &sample.value {
                    Sample::Float(value) => {
                        out.push_str(",\"value\":");
                        push_point(out, Point { time: sample.time, value: *value });
                    }
                    Sample::Histogram(histogram) => {
                        out.push_str(",\"histogram\":");
                        push_histogram_point(out, sample.time, histogram);
                    }
                }
                out.push('}');
            }
            out.push(']');
        }
        Value::Matrix(series) => {
            out.push_str("\"resultType\":\"matrix\",\"result\":[");
            push_matrix(out, series);
            out.push(']');
        }
    }
}

/// A matrix of more points than this is written on all cores.
const MAX_POINTS_OF_ONE: usize = 1 << 14;

/// `[1795225663.123,"0.123456"],`: what a point takes, about, so that memory is asked for once.
const POINT_BYTES: usize = 32;

fn push_matrix(out: &mut String, series: &[MatrixSeries]) {
    let n_points: usize = series.iter().map(|one| one.points.len()).sum();
    if n_points <= MAX_POINTS_OF_ONE {
        return push_some(out, series);
    }
    let n_parts = n_points.div_ceil(MAX_POINTS_OF_ONE);
    let written: Vec<String> = series
        .par_chunks(series.len().div_ceil(n_parts))
        .map(|some| {
            let n_points: usize = some.iter().map(|one| one.points.len()).sum();
            let mut out = String::with_capacity(n_points * POINT_BYTES);
            push_some(&mut out, some);
            out
        })
        .collect();
    out.reserve(written.iter().map(|part| part.len() + 1).sum());
    for (index, part) in written.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str(part);
    }
}

fn push_some(out: &mut String, series: &[MatrixSeries]) {
    for (index, one) in series.iter().enumerate() {
        out.push_str(if index > 0 { ",{\"metric\":" } else { "{\"metric\":" });
        push_labels(out, &one.labels);
        if !one.points.is_empty() {
            out.push_str(",\"values\":[");
            for (index, point) in one.points.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                push_point(out, *point);
            }
            out.push(']');
        }
        if !one.histograms.is_empty() {
            out.push_str(",\"histograms\":[");
            for (index, sample) in one.histograms.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                push_histogram_point(out, sample.time, &sample.histogram);
            }
            out.push(']');
        }
        out.push('}');
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cairn_model::histogram::{Buckets, Counts, Span};
    use cairn_promql::{HistogramSample, VectorSample};

    use super::*;

    fn text(value: &Value) -> String {
        let mut out = String::new();
        push_value(&mut out, value);
        out
    }

    #[test]
    fn eight_bytes_together_are_as_each_for_itself() {
        for byte in 0..128u8 {
            for (before, after) in (0..12).flat_map(|before| (0..12).map(move |after| (before, after))) {
                let text = format!("{}{}{}", "a".repeat(before), char::from(byte), "é".repeat(after));
                for is_html_safe in [false, true] {
                    let (mut at_once, mut escaped) = (String::new(), String::from("\""));
                    push_json_string(&mut at_once, &text, is_html_safe);
                    push_escaped(&mut escaped, &text, is_html_safe);
                    assert_eq!(at_once, escaped + "\"", "{text:?}");
                }
                let is_special = byte < 0x20 || b"\"\\<>&".contains(&byte);
                assert_eq!(is_plain(text.as_bytes()), !is_special, "{text:?}");
            }
        }
    }

    #[test]
    fn a_long_matrix_is_written_as_its_series_one_by_one() {
        let series: Vec<MatrixSeries> = (0..37u8)
            .map(|number| MatrixSeries {
                labels: Arc::new(Labels::from_pairs([("n", number.to_string())])),
                points: (0..3000)
                    .map(|at| Point { time: TimeMs(at * 500), value: f64::from(number) })
                    .collect(),
                histograms: Vec::new(),
            })
            .collect();
        let mut one_by_one = String::new();
        push_some(&mut one_by_one, &series);
        let mut written = String::new();
        push_matrix(&mut written, &series);
        assert!(written == one_by_one);
    }

    #[test]
    fn values_as_captured_from_prometheus() {
        let labels = Arc::new(Labels::from_pairs([("__name__", "up"), ("path", "<a>\"\\\n\u{1}")]));
        let at = |ms, value| Point { time: TimeMs(ms), value };
        let sample = VectorSample {
            labels: Arc::clone(&labels),
            time: TimeMs(1_795_225_693_185),
            value: Sample::Float(1e21),
        };
        assert_eq!(
            text(&Value::Vector(vec![sample])),
            r#""resultType":"vector","result":[{"metric":{"__name__":"up","path":"<a>\"\\\n\u0001"},"value":[1795225693.185,"1e+21"]}]"#
        );
        let points = vec![at(1_795_225_663_000, f64::NAN), at(1_795_223_972_160, -0.0)];
        let series = MatrixSeries { labels: Arc::new(Labels::empty()), points, histograms: Vec::new() };
        assert_eq!(
            text(&Value::Matrix(vec![series])),
            r#""resultType":"matrix","result":[{"metric":{},"values":[[1795225663,"NaN"],[1795223972.160,"-0"]]}]"#
        );
        assert_eq!(
            text(&Value::Scalar(at(4000, 1e21))),
            r#""resultType":"scalar","result":[4,"1000000000000000000000"]"#
        );
        assert_eq!(
            text(&Value::String(TimeMs(4500), "a<b".to_owned())),
            r#""resultType":"string","result":[4.5,"a\u003cb"]"#
        );
        assert_eq!(text(&Value::Vector(Vec::new())), r#""resultType":"vector","result":[]"#);
        let stored = cairn_model::Histogram {
            zero_threshold: 0.001,
            positive_spans: vec![Span { offset: 0, length: 2 }],
            counts: Counts::Float(Buckets {
                count: 8.0,
                zero_count: 2.0,
                positive: vec![1.0, 0.0],
                negative: vec![],
            }),
            schema: 1,
            ..cairn_model::Histogram::without_observations(25.0, true)
        };
        let histogram = Arc::new(FloatHistogram::from(&stored));
        let sample = HistogramSample { time: TimeMs(1000), histogram: Arc::clone(&histogram) };
        let series =
            MatrixSeries { labels: Arc::new(Labels::empty()), points: vec![], histograms: vec![sample] };
        assert_eq!(
            text(&Value::Matrix(vec![series])),
            r#""resultType":"matrix","result":[{"metric":{},"histograms":[[1,{"count":"8","sum":"25","buckets":[[3,"-0.001","0.001","2"],[0,"0.7071067811865475","1","1"]]}]]}]"#
        );
        let empty = Arc::new(FloatHistogram::empty_like(&histogram));
        let sample = VectorSample {
            labels: Arc::new(Labels::empty()),
            time: TimeMs(1000),
            value: Sample::Histogram(empty),
        };
        assert_eq!(
            text(&Value::Vector(vec![sample])),
            r#""resultType":"vector","result":[{"metric":{},"histogram":[1,{"count":"0","sum":"0"}]}]"#
        );
        let mut out = String::new();
        push_sample_time(&mut out, TimeMs(-1_500));
        assert_eq!(out, "-1.500");
    }
}
