//! A native histogram out of its message.

use std::sync::Arc;

use cairn_model::Histogram;
use cairn_model::histogram::{Buckets, Counts, HistogramError, ResetHint, Span};

use super::super::number::normal;
use super::wire::{Field, Fields, WireError};

/// The message field by field.
#[derive(Default)]
struct Raw {
    count: u64,
    count_float: f64,
    sum: f64,
    schema: i64,
    zero_threshold: f64,
    zero_count: u64,
    zero_count_float: f64,
    negative: Side,
    positive: Side,
}

#[derive(Default)]
struct Side {
    spans: Vec<Span>,
    deltas: Vec<i64>,
    counts: Vec<f64>,
}

/// Reads the native part of a histogram, compact. `name`: of the family, for errors.
pub(super) fn read(message: &[u8], name: &str, is_gauge: bool) -> Result<Histogram, String> {
    let raw = read_raw(message).map_err(|error| error.0)?;
    let is_float = raw.count_float > 0.0 || raw.zero_count_float > 0.0;
    for (side, of) in [("positive", &raw.positive), ("negative", &raw.negative)] {
        let needed: u64 = of.spans.iter().map(|span| u64::from(span.length)).sum();
        let have = if is_float { of.counts.len() } else { of.deltas.len() };
        if needed != have as u64 {
            return Err(format!(
                "histogram {}: {side} side: spans require {needed} buckets, have {have}",
                cairn_model::gotext::quote(name)
            ));
        }
    }
    let Ok(schema) = i8::try_from(raw.schema) else {
        return Err(format!(
            "histogram has an invalid schema, which must be between -4 and 8 for exponential buckets, or -53 for custom \
             buckets, got schema {}",
            raw.schema
        ));
    };
    let counts = if is_float {
        Counts::Float(Buckets {
            count: raw.count_float,
            zero_count: raw.zero_count_float,
            positive: raw.positive.counts,
            negative: raw.negative.counts,
        })
    } else {
        Counts::Int(Buckets {
            count: raw.count,
            zero_count: raw.zero_count,
            positive: absolute(&raw.positive.deltas, "positive side")?,
            negative: absolute(&raw.negative.deltas, "negative side")?,
        })
    };
    let mut histogram = Histogram {
        reset_hint: if is_gauge { ResetHint::Gauge } else { ResetHint::Unknown },
        schema,
        zero_threshold: raw.zero_threshold,
        sum: normal(raw.sum),
        positive_spans: raw.positive.spans,
        negative_spans: raw.negative.spans,
        custom_bounds: Arc::default(),
        counts,
    };
    histogram.compact(0);
    Ok(histogram)
}

fn read_raw(message: &[u8]) -> Result<Raw, WireError> {
    let mut raw = Raw::default();
    for field in Fields::new(message) {
        match field? {
            (1, field) => raw.count = field.varint("SampleCount")?,
            (2, field) => raw.sum = field.double("SampleSum")?,
            (4, field) => raw.count_float = field.double("SampleCountFloat")?,
            (5, field) => raw.schema = field.signed("Schema")?,
            (6, field) => raw.zero_threshold = field.double("ZeroThreshold")?,
            (7, field) => raw.zero_count = field.varint("ZeroCount")?,
            (8, field) => raw.zero_count_float = field.double("ZeroCountFloat")?,
            (9, field) => raw.negative.spans.push(span(field)?),
            (10, field) => field.signed_list("NegativeDelta", &mut raw.negative.deltas)?,
            (11, field) => field.double_list("NegativeCount", &mut raw.negative.counts)?,
            (12, field) => raw.positive.spans.push(span(field)?),
            (13, field) => field.signed_list("PositiveDelta", &mut raw.positive.deltas)?,
            (14, field) => field.double_list("PositiveCount", &mut raw.positive.counts)?,
            _ => {}
        }
    }
    Ok(raw)
}

fn span(field: Field<'_>) -> Result<Span, WireError> {
    let mut span = Span::default();
    for field in Fields::new(field.bytes("BucketSpan")?) {
        match field? {
            // The peer's decoder cuts to 32 bits as well.
            #[expect(clippy::cast_possible_truncation, reason = "a sint32 on the wire")]
            (1, field) => span.offset = field.signed("Offset")? as i32,
            #[expect(clippy::cast_possible_truncation, reason = "a uint32 on the wire")]
            (2, field) => span.length = field.varint("Length")? as u32,
            _ => {}
        }
    }
    Ok(span)
}

/// Counts from the differences between neighbours.
fn absolute(deltas: &[i64], side: &'static str) -> Result<Vec<u64>, String> {
    let mut count = 0i64;
    let each = deltas.iter().enumerate().map(|(index, delta)| {
        count = count.wrapping_add(*delta);
        u64::try_from(count).map_err(|_| {
            #[expect(clippy::cast_precision_loss, reason = "a number to show")]
            let count = count as f64;
            HistogramError::NegativeBucket { side, number: index + 1, count }.to_string()
        })
    });
    each.collect()
}
