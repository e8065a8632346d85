//! Histogram notation: `{{schema:1 sum:4 count:4 buckets:[1 2 1] offset:-1}}`.

use std::sync::Arc;

use cairn_model::FloatHistogram;
use cairn_model::float_histogram::IndexedCount;
use cairn_model::histogram::ResetHint;
use cairn_model::number::parse_float;

/// A histogram of a script.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) histogram: Arc<FloatHistogram>,
    /// Whether the hint about counter resets was written down, and so must be met.
    pub(crate) has_hint: bool,
}

/// Reads what stands between the braces.
pub(crate) fn parse(text: &str) -> Written {
    let mut histogram = FloatHistogram {
        reset_hint: ResetHint::Unknown,
        schema: 0,
        zero_threshold: 0.0,
        zero_count: 0.0,
        count: 0.0,
        sum: 0.0,
        positive: Vec::new(),
        negative: Vec::new(),
        custom_bounds: Arc::default(),
    };
    let (mut has_hint, mut offset, mut negative_offset) = (false, 0, 0);
    let (mut buckets, mut negative_buckets) = (Vec::new(), Vec::new());
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (key, after) = rest.split_once(':').unwrap_or_else(|| panic!("no key: {text}"));
        let after = after.trim_start();
        let end = match after.strip_prefix('[') {
            Some(_) => after.find(']').unwrap_or_else(|| panic!("no closing bracket: {text}")) + 1,
            None => after.find(char::is_whitespace).unwrap_or(after.len()),
        };
        let (value, next) = after.split_at(end);
        rest = next.trim_start();
        let number = || parse_float(value).unwrap_or_else(|| panic!("no number: {value} in {text}"));
        let list = || numbers(value);
        match key.trim() {
            "schema" => histogram.schema = value.parse().unwrap(),
            "count" => histogram.count = number(),
            "sum" => histogram.sum = number(),
            "z_bucket" => histogram.zero_count = number(),
            "z_bucket_w" => histogram.zero_threshold = number(),
            "buckets" => buckets = list(),
            "n_buckets" => negative_buckets = list(),
            "offset" => offset = value.parse().unwrap(),
            "n_offset" => negative_offset = value.parse().unwrap(),
            "custom_values" => histogram.custom_bounds = list().into(),
            "counter_reset_hint" => {
                has_hint = true;
                histogram.reset_hint = match value {
                    "unknown" => ResetHint::Unknown,
                    "reset" => ResetHint::Reset,
                    "not_reset" => ResetHint::NoReset,
                    "gauge" => ResetHint::Gauge,
                    other => panic!("unknown hint: {other}"),
                };
            }
            other => panic!("unknown key of a histogram: {other}"),
        }
    }
    let indexed = |offset: i32, counts: Vec<f64>| {
        (offset..).zip(counts).map(|(index, count)| IndexedCount { index, count }).collect()
    };
    histogram.positive = indexed(offset, buckets);
    histogram.negative = indexed(negative_offset, negative_buckets);
    Written { histogram: Arc::new(histogram), has_hint }
}

fn numbers(list: &str) -> Vec<f64> {
    let inside = list.trim_start_matches('[').trim_end_matches(']');
    inside.split_whitespace().map(|text| parse_float(text).unwrap_or_else(|| panic!("{text}"))).collect()
}

/// As a script writes it, for messages.
pub(crate) fn print(histogram: &FloatHistogram) -> String {
    let list = |buckets: &[IndexedCount]| {
        let parts: Vec<String> = buckets.iter().map(|b| format!("{}:{}", b.index, b.count)).collect();
        parts.join(" ")
    };
    format!(
        "{{{{schema:{} count:{} sum:{} zero:{} width:{} positive:[{}] negative:[{}] bounds:{:?} hint:{:?}}}}}",
        histogram.schema,
        histogram.count,
        histogram.sum,
        histogram.zero_count,
        histogram.zero_threshold,
        list(&histogram.positive),
        list(&histogram.negative),
        histogram.custom_bounds,
        histogram.reset_hint
    )
}
