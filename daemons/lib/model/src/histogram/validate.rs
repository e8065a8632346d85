//! What makes a native histogram acceptable, and the peer's words for what does not.

use super::{
    Buckets, CUSTOM_BUCKETS_SCHEMA, Counts, Histogram, MAX_EXPONENTIAL_SCHEMA, MIN_EXPONENTIAL_SCHEMA, Span,
};

/// Buckets and spans of one histogram, both signs together. Programs expose a few hundred; this only keeps one sample
/// within a record of the log and a page of a block.
pub const MAX_BUCKETS: usize = 1 << 16;

/// Why a histogram is refused; `Display` is what Prometheus says.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum HistogramError {
    /// Neither an exponential schema nor that of custom buckets.
    #[error(
        "histogram has an invalid schema, which must be between {MIN_EXPONENTIAL_SCHEMA} and \
         {MAX_EXPONENTIAL_SCHEMA} for exponential buckets, or {CUSTOM_BUCKETS_SCHEMA} for custom buckets, got schema \
         {schema}"
    )]
    Schema {
        /// The schema.
        schema: i8,
    },
    /// An integer histogram whose count is not that of its buckets, although its sum is a number.
    #[error(
        "{in_buckets} observations found in buckets, but the Count field is {count}: histogram's observation count \
         should equal the number of observations found in the buckets (in absence of NaN)"
    )]
    CountMismatch {
        /// Sum over all buckets.
        in_buckets: u128,
        /// What the histogram says.
        count: u64,
    },
    /// An integer histogram with more in its buckets than in all. Its sum is NaN: observations of NaN are in no bucket.
    #[error(
        "{in_buckets} observations found in buckets, but the Count field is {count}: histogram's observation count \
         should be at least the number of observations found in the buckets"
    )]
    CountTooSmall {
        /// Sum over all buckets.
        in_buckets: u128,
        /// What the histogram says.
        count: u64,
    },
    /// A float histogram with a negative count.
    #[error("histogram's observation count is negative")]
    NegativeCount,
    /// A float histogram with a negative zero bucket.
    #[error(
        "zero bucket has observation count of {count}: histogram has a bucket whose observation count is negative"
    )]
    NegativeZeroCount {
        /// The count.
        count: f64,
    },
    /// A bucket with a negative count.
    #[error(
        "{side}: bucket number {number} has observation count of {count}: histogram has a bucket whose observation \
         count is negative"
    )]
    NegativeBucket {
        /// `positive side` or `negative side`.
        side: &'static str,
        /// From 1.
        number: usize,
        /// The count.
        count: f64,
    },
    /// A span that goes back.
    #[error(
        "{side}: span number {number} with offset {offset}: histogram has a span whose offset is negative"
    )]
    NegativeOffset {
        /// `positive side`, `negative side` or `custom buckets`.
        side: &'static str,
        /// From 1.
        number: usize,
        /// The offset.
        offset: i32,
    },
    /// Spans for more or fewer buckets than there are.
    #[error(
        "{side}: spans need {needed} buckets, have {found} buckets: histogram spans specify different number of \
         buckets than provided"
    )]
    SpansMismatch {
        /// `positive side`, `negative side` or `custom buckets`.
        side: &'static str,
        /// What the spans say.
        needed: u64,
        /// What is there.
        found: usize,
    },
    /// Buckets past the last custom boundary.
    #[error(
        "custom buckets: only {bounds} custom bounds defined which is insufficient to cover total span length of \
         {length}: histogram custom bounds are too few"
    )]
    BoundsTooFew {
        /// How many boundaries.
        bounds: usize,
        /// How many buckets they would have to tell apart.
        length: u64,
    },
    /// Boundaries that do not ascend.
    #[error(
        "custom buckets: previous bound is {previous:.6} and current is {current:.6}: histogram custom bounds must be in \
         strictly increasing order"
    )]
    BoundsOrder {
        /// The one before.
        previous: f64,
        /// The one that is not larger.
        current: f64,
    },
    /// +Inf among the boundaries: it is there without being listed.
    #[error(
        "custom buckets: last +Inf bound must not be explicitly defined: histogram custom bounds must be finite"
    )]
    BoundsInfinite,
    /// NaN among the boundaries.
    #[error("custom buckets: histogram custom bounds must not be NaN")]
    BoundsNan,
    /// What only exponential buckets may have, or only custom ones.
    #[error("{0}")]
    Mixed(&'static str),
    /// More buckets or spans than anybody keeps.
    #[error("histogram has {found} buckets, spans and bounds, the limit is {MAX_BUCKETS}")]
    TooMany {
        /// How many.
        found: usize,
    },
}

const POSITIVE: &str = "positive side";
const NEGATIVE: &str = "negative side";
const CUSTOM: &str = "custom buckets";

impl Histogram {
    /// Checks that the parts fit together, in the order in which the peer does.
    ///
    /// # Errors
    /// [`HistogramError`], in the peer's words.
    pub fn validate(&self) -> Result<(), HistogramError> {
        match &self.counts {
            Counts::Int(buckets) => {
                self.check_shape(buckets, buckets.zero_count == 0)?;
                let sum = |counts: &[u64]| counts.iter().map(|&count| u128::from(count)).sum::<u128>();
                let in_buckets =
                    sum(&buckets.negative) + sum(&buckets.positive) + u128::from(buckets.zero_count);
                let count = buckets.count;
                if self.sum.is_nan() && in_buckets > u128::from(count) {
                    return Err(HistogramError::CountTooSmall { in_buckets, count });
                }
                if !self.sum.is_nan() && in_buckets != u128::from(count) {
                    return Err(HistogramError::CountMismatch { in_buckets, count });
                }
                Ok(())
            }
            Counts::Float(buckets) => {
                self.check_shape(buckets, buckets.zero_count == 0.0)?;
                // Not compared with the buckets: rounding makes honest sums differ.
                if buckets.count < 0.0 {
                    return Err(HistogramError::NegativeCount);
                }
                if buckets.zero_count < 0.0 {
                    return Err(HistogramError::NegativeZeroCount { count: buckets.zero_count });
                }
                for (side, counts) in [(NEGATIVE, &buckets.negative), (POSITIVE, &buckets.positive)] {
                    if let Some(at) = counts.iter().position(|&count| count < 0.0) {
                        return Err(HistogramError::NegativeBucket {
                            side,
                            number: at + 1,
                            count: counts[at],
                        });
                    }
                }
                Ok(())
            }
        }
    }

    fn check_shape<N>(&self, buckets: &Buckets<N>, is_zero_count_0: bool) -> Result<(), HistogramError> {
        let parts = [
            buckets.positive.len(),
            buckets.negative.len(),
            self.positive_spans.len(),
            self.negative_spans.len(),
            self.custom_bounds.len(),
        ];
        if let Some(&found) = parts.iter().find(|&&found| found > MAX_BUCKETS) {
            return Err(HistogramError::TooMany { found });
        }
        match self.schema {
            CUSTOM_BUCKETS_SCHEMA => {
                self.check_bounds(buckets.positive.len())?;
                let wrong = [
                    (!is_zero_count_0, "custom buckets: must have zero count of 0"),
                    (self.zero_threshold != 0.0, "custom buckets: must have zero threshold of 0"),
                    (!self.negative_spans.is_empty(), "custom buckets: must not have negative spans"),
                    (!buckets.negative.is_empty(), "custom buckets: must not have negative buckets"),
                ];
                let found = wrong.into_iter().find(|(is_wrong, _)| *is_wrong);
                found.map_or(Ok(()), |(_, text)| Err(HistogramError::Mixed(text)))
            }
            MIN_EXPONENTIAL_SCHEMA..=MAX_EXPONENTIAL_SCHEMA => {
                check_spans(POSITIVE, &self.positive_spans, buckets.positive.len(), 1)?;
                check_spans(NEGATIVE, &self.negative_spans, buckets.negative.len(), 1)?;
                if self.custom_bounds.is_empty() {
                    Ok(())
                } else {
                    Err(HistogramError::Mixed(
                        "histogram with exponential schema must not have custom bounds",
                    ))
                }
            }
            schema => Err(HistogramError::Schema { schema }),
        }
    }

    fn check_bounds(&self, n_buckets: usize) -> Result<(), HistogramError> {
        let mut previous = f64::NEG_INFINITY;
        for (index, &current) in self.custom_bounds.iter().enumerate() {
            if current.is_nan() {
                return Err(HistogramError::BoundsNan);
            }
            if index > 0 && current <= previous {
                return Err(HistogramError::BoundsOrder { previous, current });
            }
            previous = current;
        }
        if previous == f64::INFINITY {
            return Err(HistogramError::BoundsInfinite);
        }
        check_spans(CUSTOM, &self.positive_spans, n_buckets, 0)?;
        let reach = |span: &Span| u64::from(span.offset.unsigned_abs()) + u64::from(span.length);
        let length = self.positive_spans.iter().map(reach).sum();
        // One bucket more than boundaries: the last goes to +Inf.
        if self.custom_bounds.len() as u64 + 1 < length {
            return Err(HistogramError::BoundsTooFew { bounds: self.custom_bounds.len(), length });
        }
        Ok(())
    }
}

/// Spans from number `first_forward` on (from 0) must not go back: the first offset of exponential buckets is an index.
fn check_spans(
    side: &'static str,
    spans: &[Span],
    n_buckets: usize,
    first_forward: usize,
) -> Result<(), HistogramError> {
    for (index, span) in spans.iter().enumerate().skip(first_forward) {
        if span.offset < 0 {
            return Err(HistogramError::NegativeOffset { side, number: index + 1, offset: span.offset });
        }
    }
    let needed = spans.iter().map(|span| u64::from(span.length)).sum();
    if needed == n_buckets as u64 {
        Ok(())
    } else {
        Err(HistogramError::SpansMismatch { side, needed, found: n_buckets })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn exponential() -> Histogram {
        Histogram {
            reset_hint: super::super::ResetHint::Unknown,
            schema: 2,
            zero_threshold: 0.001,
            sum: 4.5,
            positive_spans: vec![Span { offset: -3, length: 2 }, Span { offset: 4, length: 1 }],
            negative_spans: vec![Span { offset: 0, length: 1 }],
            custom_bounds: Arc::default(),
            counts: Counts::Int(Buckets {
                count: 8,
                zero_count: 1,
                positive: vec![1, 2, 3],
                negative: vec![1],
            }),
        }
    }

    fn custom() -> Histogram {
        Histogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            zero_threshold: 0.0,
            positive_spans: vec![Span { offset: 0, length: 3 }],
            negative_spans: vec![],
            custom_bounds: [0.1, 2.0].into(),
            counts: Counts::Float(Buckets {
                count: 6.0,
                zero_count: 0.0,
                positive: vec![1.0, 2.0, 3.0],
                negative: vec![],
            }),
            ..exponential()
        }
    }

    fn says(base: Histogram, change: impl Fn(&mut Histogram), want: &str) {
        let mut changed = base;
        change(&mut changed);
        assert_eq!(changed.validate().map_err(|error| error.to_string()), Err(want.to_owned()));
    }

    fn ints(histogram: &mut Histogram) -> &mut Buckets<u64> {
        match &mut histogram.counts {
            Counts::Int(buckets) => buckets,
            Counts::Float(_) => panic!("an integer histogram"),
        }
    }

    fn floats(histogram: &mut Histogram) -> &mut Buckets<f64> {
        match &mut histogram.counts {
            Counts::Float(buckets) => buckets,
            Counts::Int(_) => panic!("a float histogram"),
        }
    }

    #[test]
    fn what_fits_together_passes() {
        assert_eq!(exponential().validate(), Ok(()));
        assert_eq!(custom().validate(), Ok(()));
        let mut with_nan = exponential();
        with_nan.sum = f64::NAN;
        ints(&mut with_nan).count = 9;
        assert_eq!(with_nan.validate(), Ok(()), "an observation of NaN is in no bucket");
    }

    #[test]
    fn counts_and_spans_in_the_peers_words() {
        says(
            exponential(),
            |h| ints(h).count = 10,
            "8 observations found in buckets, but the Count field is 10: histogram's observation count should equal \
             the number of observations found in the buckets (in absence of NaN)",
        );
        let too_small = |h: &mut Histogram| {
            h.sum = f64::NAN;
            ints(h).count = 7;
        };
        says(
            exponential(),
            too_small,
            "8 observations found in buckets, but the Count field is 7: histogram's observation count should be at \
             least the number of observations found in the buckets",
        );
        says(
            exponential(),
            |h| h.positive_spans[1].offset = -1,
            "positive side: span number 2 with offset -1: histogram has a span whose offset is negative",
        );
        says(
            exponential(),
            |h| h.negative_spans[0].length = 2,
            "negative side: spans need 2 buckets, have 1 buckets: histogram spans specify different number of buckets \
             than provided",
        );
        says(
            exponential(),
            |h| h.schema = 9,
            "histogram has an invalid schema, which must be between -4 and 8 for exponential buckets, or -53 for \
             custom buckets, got schema 9",
        );
        says(
            exponential(),
            |h| h.custom_bounds = [1.0].into(),
            "histogram with exponential schema must not have custom bounds",
        );
        says(
            exponential(),
            |h| ints(h).positive = vec![0; MAX_BUCKETS + 1],
            "histogram has 65537 buckets, spans and bounds, the limit is 65536",
        );
    }

    #[test]
    fn custom_buckets_in_the_peers_words() {
        says(
            custom(),
            |h| floats(h).positive[1] = -2.0,
            "positive side: bucket number 2 has observation count of -2: histogram has a bucket whose observation \
             count is negative",
        );
        says(
            custom(),
            |h| h.custom_bounds = [2.0, 2.0].into(),
            "custom buckets: previous bound is 2.000000 and current is 2.000000: histogram custom bounds must be in strictly \
             increasing order",
        );
        says(
            custom(),
            |h| h.custom_bounds = [2.0, f64::INFINITY].into(),
            "custom buckets: last +Inf bound must not be explicitly defined: histogram custom bounds must be finite",
        );
        says(
            custom(),
            |h| h.custom_bounds = [f64::NAN].into(),
            "custom buckets: histogram custom bounds must not be NaN",
        );
        says(
            custom(),
            |h| h.custom_bounds = [1.0].into(),
            "custom buckets: only 1 custom bounds defined which is insufficient to cover total span length of 3: \
             histogram custom bounds are too few",
        );
        says(custom(), |h| h.zero_threshold = 1.0, "custom buckets: must have zero threshold of 0");
        says(custom(), |h| floats(h).zero_count = 1.0, "custom buckets: must have zero count of 0");
        says(
            custom(),
            |h| h.positive_spans[0].offset = -1,
            "custom buckets: span number 1 with offset -1: histogram has a span whose offset is negative",
        );
        says(custom(), |h| floats(h).count = -1.0, "histogram's observation count is negative");
    }
}
