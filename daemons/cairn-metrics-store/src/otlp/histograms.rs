//! Native histograms out of OTLP's.

use std::sync::Arc;

use cairn_model::Histogram;
use cairn_model::histogram::{
    Buckets, CUSTOM_BUCKETS_SCHEMA, Counts, MAX_EXPONENTIAL_SCHEMA, MIN_EXPONENTIAL_SCHEMA, Span,
};
use cairn_promql::source::STALE_NAN_BITS;
use cairn_wire::otlp_metrics::{ExponentialBuckets, ExponentialHistogramDataPoint, HistogramDataPoint};

/// Width of the zero bucket; OTLP's own is not looked at, as the peer does not.
const ZERO_THRESHOLD: f64 = 1e-128;

/// Empty buckets that are written out rather than begin a new span.
const MAX_GAP: i64 = 2;

/// A histogram with exponential buckets.
///
/// # Errors
/// In the peer's words: the buckets are wider than any schema has them.
pub(super) fn of_exponential(
    point: &ExponentialHistogramDataPoint,
    has_value: bool,
) -> Result<Histogram, String> {
    let (min, max) = (i32::from(MIN_EXPONENTIAL_SCHEMA), i32::from(MAX_EXPONENTIAL_SCHEMA));
    if point.scale < min {
        return Err(format!(
            "cannot convert exponential to native histogram. Scale must be >= {min}, was {}",
            point.scale
        ));
    }
    // Finer ones than there are: several buckets become one.
    let scale_down = point.scale.saturating_sub(max).max(0).unsigned_abs().min(63);
    let side = |buckets: Option<&ExponentialBuckets>| {
        let Some(buckets) = buckets else { return Ok((Vec::new(), Vec::new())) };
        // The first bucket of the peer's kind ends where the first of OTLP's begins.
        let index = |at: usize| ((i64::from(buckets.offset) + at as i64) >> scale_down) + 1;
        layout(buckets.bucket_counts.iter().enumerate().map(|(at, count)| (index(at), *count)))
    };
    let (positive_spans, positive) = side(point.positive.as_ref())?;
    let (negative_spans, negative) = side(point.negative.as_ref())?;
    Ok(Histogram {
        schema: i8::try_from(point.scale.min(max)).unwrap_or(MAX_EXPONENTIAL_SCHEMA),
        zero_threshold: ZERO_THRESHOLD,
        positive_spans,
        negative_spans,
        counts: Counts::Int(Buckets {
            count: if has_value { point.count } else { 0 },
            zero_count: point.zero_count,
            positive,
            negative,
        }),
        ..Histogram::without_observations(sum(point.sum, has_value), false)
    })
}

/// A histogram with bounds, as one with custom buckets.
///
/// # Errors
/// More buckets than a histogram can have.
pub(super) fn of_bounds(point: &HistogramDataPoint, has_value: bool) -> Result<Histogram, String> {
    let counts = point.bucket_counts.iter().enumerate().map(|(at, count)| (at as i64, *count));
    let (positive_spans, positive) = layout(counts.skip_while(|(_, count)| *count == 0))?;
    Ok(Histogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        positive_spans,
        custom_bounds: Arc::from(point.explicit_bounds.as_slice()),
        counts: Counts::Int(Buckets {
            count: if has_value { point.count } else { 0 },
            zero_count: 0,
            positive,
            negative: Vec::new(),
        }),
        ..Histogram::without_observations(sum(point.sum, has_value), false)
    })
}

fn sum(sum: Option<f64>, has_value: bool) -> f64 {
    if has_value { sum.unwrap_or_default() } else { f64::from_bits(STALE_NAN_BITS) }
}

/// Spans and counts of buckets with ascending indexes; those of equal ones are added up.
fn layout(buckets: impl Iterator<Item = (i64, u64)>) -> Result<(Vec<Span>, Vec<u64>), String> {
    let mut spans: Vec<Span> = Vec::new();
    let mut counts: Vec<u64> = Vec::new();
    // Index after the last bucket that was written.
    let mut next = 0;
    let mut last: Option<i64> = None;
    for (index, count) in buckets {
        if count == 0 {
            continue;
        }
        if last == Some(index) {
            if let Some(before) = counts.last_mut() {
                *before = before.wrapping_add(count);
            }
            continue;
        }
        last = Some(index);
        let gap = index - next;
        match spans.last_mut() {
            Some(span) if gap <= MAX_GAP => {
                span.length += u32::try_from(gap).unwrap_or_default() + 1;
                counts.extend((0..gap).map(|_| 0));
            }
            _ => {
                let offset = i32::try_from(gap).map_err(|_| "a bucket index beyond 32 bits".to_owned())?;
                spans.push(Span { offset, length: 1 });
            }
        }
        counts.push(count);
        next = index + 1;
    }
    Ok((spans, counts))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exponential(scale: i32, offset: i32, bucket_counts: Vec<u64>) -> ExponentialHistogramDataPoint {
        ExponentialHistogramDataPoint {
            scale,
            count: bucket_counts.iter().sum(),
            sum: Some(2.5),
            positive: Some(ExponentialBuckets { offset, bucket_counts }),
            ..ExponentialHistogramDataPoint::default()
        }
    }

    #[test]
    fn buckets_move_by_one_and_gaps_make_spans() {
        let histogram = of_exponential(&exponential(1, -3, vec![4, 0, 0, 2, 0, 0, 0, 0, 1]), true).unwrap();
        assert_eq!((histogram.schema, histogram.sum, histogram.zero_threshold), (1, 2.5, 1e-128));
        assert_eq!(histogram.positive_spans, [Span { offset: -2, length: 4 }, Span { offset: 4, length: 1 }]);
        let Counts::Int(buckets) = &histogram.counts else { panic!() };
        assert_eq!((buckets.count, &buckets.positive), (7, &vec![4, 0, 0, 2, 1]));

        // Two steps finer than there is: four become one.
        let histogram = of_exponential(&exponential(10, -4, vec![1, 1, 1, 1, 1, 7]), true).unwrap();
        assert_eq!(histogram.schema, 8);
        assert_eq!(histogram.positive_spans, [Span { offset: 0, length: 2 }]);
        let Counts::Int(buckets) = &histogram.counts else { panic!() };
        assert_eq!(buckets.positive, [4, 8]);
        assert_eq!(
            of_exponential(&exponential(-5, 0, vec![]), true).unwrap_err(),
            "cannot convert exponential to native histogram. Scale must be >= -4, was -5"
        );
        let stale = of_exponential(&exponential(0, 0, vec![]), false).unwrap();
        assert_eq!(stale.sum.to_bits(), STALE_NAN_BITS);
        assert!(of_exponential(&exponential(0, i32::MAX, vec![1]), true).is_err());
    }

    #[test]
    fn bounds_become_custom_buckets() {
        let point = HistogramDataPoint {
            count: 6,
            bucket_counts: vec![0, 2, 0, 4],
            explicit_bounds: vec![0.1, 0.5, 1.0],
            ..HistogramDataPoint::default()
        };
        let histogram = of_bounds(&point, true).unwrap();
        assert_eq!(&*histogram.custom_bounds, [0.1, 0.5, 1.0]);
        assert_eq!(histogram.positive_spans, [Span { offset: 1, length: 3 }]);
        let Counts::Int(buckets) = &histogram.counts else { panic!() };
        assert_eq!(buckets.positive, [2, 0, 4]);
    }
}
