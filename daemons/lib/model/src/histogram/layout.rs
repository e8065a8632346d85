//! Buckets in fewer spans, or at a coarser resolution.

use super::{Counts, Histogram, MIN_EXPONENTIAL_SCHEMA, Span};

impl Histogram {
    /// Takes empty buckets out, and spans without buckets. Up to `max_empty` of them in a row stay between two others:
    /// they cost less than one more span. Does nothing to spans that do not fit the buckets.
    pub fn compact(&mut self, max_empty: usize) {
        let Self { positive_spans, negative_spans, counts, .. } = self;
        match counts {
            Counts::Int(buckets) => {
                rebuild(positive_spans, &mut buckets.positive, max_empty, |index| index);
                rebuild(negative_spans, &mut buckets.negative, max_empty, |index| index);
            }
            Counts::Float(buckets) => {
                rebuild(positive_spans, &mut buckets.positive, max_empty, |index| index);
                rebuild(negative_spans, &mut buckets.negative, max_empty, |index| index);
            }
        }
    }

    /// Buckets of both signs.
    pub fn n_buckets(&self) -> usize {
        match &self.counts {
            Counts::Int(buckets) => buckets.positive.len() + buckets.negative.len(),
            Counts::Float(buckets) => buckets.positive.len() + buckets.negative.len(),
        }
    }

    /// Merges exponential buckets until the schema is `schema`; each step halves their number. False, and nothing is
    /// changed: the schema is not finer than that, the buckets are custom ones, or spans and buckets do not fit.
    pub fn reduce_resolution(&mut self, schema: i8) -> bool {
        if self.has_custom_buckets() || schema < MIN_EXPONENTIAL_SCHEMA || schema >= self.schema {
            return false;
        }
        let shift = u32::from(self.schema.abs_diff(schema)).min(62);
        // Bucket `i` ends at base^i, so that those from 2i-1 to 2i end up in bucket i.
        let coarser = |index: i64| ((index - 1) >> shift) + 1;
        let Self { positive_spans, negative_spans, counts, .. } = self;
        let done = match counts {
            Counts::Int(buckets) => {
                fits(positive_spans, &buckets.positive)
                    && fits(negative_spans, &buckets.negative)
                    && rebuild(positive_spans, &mut buckets.positive, 0, coarser)
                    && rebuild(negative_spans, &mut buckets.negative, 0, coarser)
            }
            Counts::Float(buckets) => {
                fits(positive_spans, &buckets.positive)
                    && fits(negative_spans, &buckets.negative)
                    && rebuild(positive_spans, &mut buckets.positive, 0, coarser)
                    && rebuild(negative_spans, &mut buckets.negative, 0, coarser)
            }
        };
        if done {
            self.schema = schema;
        }
        done
    }
}

/// A kind of count.
trait Count: Copy + PartialEq + Default {
    fn plus(self, other: Self) -> Self;
}

impl Count for u64 {
    fn plus(self, other: Self) -> Self {
        self.saturating_add(other)
    }
}

impl Count for f64 {
    fn plus(self, other: Self) -> Self {
        self + other
    }
}

/// Whether the spans are as long as there are buckets, go forward, and stay within 32 bits.
fn fits<N>(spans: &[Span], buckets: &[N]) -> bool {
    let mut end = 0i64;
    let mut length = 0u64;
    for (number, span) in spans.iter().enumerate() {
        if number > 0 && span.offset < 0 {
            return false;
        }
        end += i64::from(span.offset) + i64::from(span.length);
        length += u64::from(span.length);
        if i32::try_from(end).is_err() {
            return false;
        }
    }
    length == buckets.len() as u64
}

/// Moves each bucket to `to(index)`, which must not fall, adding up those that meet, and writes spans and buckets anew.
fn rebuild<N: Count>(
    spans: &mut Vec<Span>,
    buckets: &mut Vec<N>,
    max_empty: usize,
    to: impl Fn(i64) -> i64,
) -> bool {
    if !fits(spans, buckets) {
        return false;
    }
    let mut new_spans: Vec<Span> = Vec::with_capacity(spans.len());
    let mut new_buckets: Vec<N> = Vec::with_capacity(buckets.len());
    let mut counts = buckets.iter().copied();
    let mut index = 0i64;
    // Index one past the last bucket that was written.
    let mut end = 0i64;
    for span in spans.iter() {
        index += i64::from(span.offset);
        for _ in 0..span.length {
            let (at, count) = (to(index), counts.next().unwrap_or_default());
            index += 1;
            if count == N::default() {
                continue;
            }
            let gap = at - end;
            match (new_spans.last_mut(), new_buckets.last_mut()) {
                (Some(_), Some(last)) if gap < 0 => {
                    *last = last.plus(count);
                    continue;
                }
                (Some(last), Some(_)) if gap <= i64::try_from(max_empty).unwrap_or(i64::MAX) => {
                    let n = usize::try_from(gap).unwrap_or(0);
                    last.length = last.length.saturating_add(u32::try_from(n + 1).unwrap_or(u32::MAX));
                    new_buckets.resize(new_buckets.len() + n, N::default());
                }
                // Within 32 bits: `fits` has seen to it, and coarser indexes are nearer to 0.
                _ => new_spans.push(Span { offset: i32::try_from(gap).unwrap_or(i32::MAX), length: 1 }),
            }
            new_buckets.push(count);
            end = at + 1;
        }
    }
    *spans = new_spans;
    *buckets = new_buckets;
    true
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{Buckets, ResetHint};
    use super::*;

    fn histogram(schema: i8, spans: &[(i32, u32)], counts: &[u64]) -> Histogram {
        Histogram {
            reset_hint: ResetHint::Unknown,
            schema,
            zero_threshold: 0.0,
            sum: 1.0,
            positive_spans: spans.iter().map(|&(offset, length)| Span { offset, length }).collect(),
            negative_spans: Vec::new(),
            custom_bounds: Arc::default(),
            counts: Counts::Int(Buckets {
                count: counts.iter().sum(),
                zero_count: 0,
                positive: counts.to_vec(),
                negative: Vec::new(),
            }),
        }
    }

    #[test]
    fn empty_buckets_go() {
        for (max_empty, spans, counts, want_spans, want_counts) in [
            (0, &[(-2, 3), (1, 2)][..], &[0, 1, 0, 0, 4][..], &[(-1, 1), (3, 1)][..], &[1, 4][..]),
            (3, &[(-2, 3), (1, 2)], &[0, 1, 0, 0, 4], &[(-1, 5)], &[1, 0, 0, 0, 4]),
            (0, &[(0, 2), (0, 1)], &[1, 2, 3], &[(0, 3)], &[1, 2, 3]),
            (0, &[(5, 0), (1, 1)], &[3], &[(6, 1)], &[3]),
            (0, &[(5, 2)], &[0, 0], &[], &[]),
            (0, &[(5, 3)], &[1, 2], &[(5, 3)], &[1, 2]),
        ] {
            let mut of = histogram(0, spans, counts);
            of.compact(max_empty);
            assert_eq!(of, histogram(0, want_spans, want_counts), "{spans:?} {counts:?}");
        }
    }

    #[test]
    fn coarser_buckets_hold_the_same() {
        // Bounds 2^-1, 2^-0.5, 1, 2^0.5, 2, 2^1.5 of schema 1 are 2^-1, 1, 1, 2, 2, 4 of schema 0.
        let mut of = histogram(1, &[(-2, 6)], &[1, 2, 4, 8, 16, 32]);
        assert!(of.reduce_resolution(0));
        assert_eq!(of, histogram(0, &[(-1, 4)], &[1, 6, 24, 32]));
        assert!(of.reduce_resolution(-4));
        assert_eq!(of, histogram(-4, &[(0, 2)], &[7, 56]));
        assert!(!of.reduce_resolution(-4), "not coarser");
        assert!(!of.reduce_resolution(-5), "there is no such schema");
    }

    #[test]
    fn nonsense_stays_as_it_is() {
        for spans in [&[(i32::MAX, 2)][..], &[(0, 1), (-1, 1)]] {
            let mut of = histogram(3, spans, &[1, 2]);
            let before = of.clone();
            of.compact(0);
            assert!(!of.reduce_resolution(0));
            assert_eq!(of, before);
        }
    }
}
