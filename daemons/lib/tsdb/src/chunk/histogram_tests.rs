//! Chunks of histograms against the plain list of samples.

use std::sync::Arc;

use cairn_model::Histogram;
use cairn_model::histogram::{Buckets, CUSTOM_BUCKETS_SCHEMA, Counts, ResetHint, Span};
use cairn_promql::source::{HistogramPoint, STALE_NAN_BITS, SeriesData};
use proptest::prelude::*;

use super::Chunk;
use super::histogram::{HistogramBuilder, decode};

fn encode(points: &[HistogramPoint]) -> Vec<Chunk> {
    super::encode(&SeriesData { histograms: points.to_vec(), ..SeriesData::default() })
}

fn points_of(chunks: &[Chunk]) -> Vec<HistogramPoint> {
    let mut points = Vec::new();
    for chunk in chunks {
        let before = points.len();
        decode(&chunk.data, |point| points.push(point)).unwrap();
        let part = &points[before..];
        assert_eq!(part.len(), usize::from(chunk.n_samples));
        assert_eq!((part[0].time, part[part.len() - 1].time), (chunk.min_time, chunk.max_time));
    }
    points
}

fn same(a: &[HistogramPoint], b: &[HistogramPoint]) -> bool {
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .all(|(a, b)| (a.time, a.start) == (b.time, b.start) && a.histogram.is_identical(&b.histogram))
}

/// One layout and some sets of counts for it.
fn histograms() -> impl Strategy<Value = Vec<Histogram>> {
    let spans = prop::collection::vec((0i32..5, 0u32..4), 0..4);
    let bounds = prop::collection::vec(any::<i16>(), 0..6);
    let kinds = (any::<bool>(), any::<bool>(), -4i8..=8, -9i32..9);
    (spans.clone(), spans, bounds, kinds, any::<u64>(), 1usize..30).prop_map(
        |(positive, negative, bounds, (is_custom, is_float, schema, first), seed, n)| {
            let spans = |list: Vec<(i32, u32)>| -> Vec<Span> {
                list.into_iter().map(|(offset, length)| Span { offset, length }).collect()
            };
            let mut bounds: Vec<i16> = bounds;
            bounds.sort_unstable();
            bounds.dedup();
            let (mut positive, mut negative) = (spans(positive), spans(negative));
            if is_custom {
                let length = u32::try_from(bounds.len() + 1).unwrap();
                (positive, negative) = (vec![Span { offset: 0, length }], vec![]);
            } else if let Some(span) = positive.first_mut() {
                span.offset = first;
            }
            let bounds: Arc<[f64]> =
                if is_custom { bounds.into_iter().map(f64::from).collect() } else { Arc::default() };
            let n_of = |spans: &[Span]| spans.iter().map(|span| span.length as usize).sum::<usize>();
            let mut dice = seed;
            let mut roll = || {
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                dice >> (dice >> 60).max(8)
            };
            let (n_positive, n_negative) = (n_of(&positive), n_of(&negative));
            (0..n)
                .map(|_| {
                    let mut counts = |n: usize| -> Vec<u64> { (0..n).map(|_| roll() >> 8).collect() };
                    let (some, other) = (counts(n_positive), counts(n_negative));
                    let zero_count = if is_custom { 0 } else { counts(1)[0] };
                    let count = some.iter().chain(&other).sum::<u64>() + zero_count;
                    let sum = [1.5, f64::NAN, -0.0, f64::from_bits(roll())][(roll() % 4) as usize];
                    let sum = if sum.to_bits() == STALE_NAN_BITS { 2.0 } else { sum };
                    let float = |list: &[u64]| list.iter().map(|&n| n as f64 / 3.0).collect();
                    Histogram {
                        reset_hint: ResetHint::from_number((roll() % 4) as u8).unwrap(),
                        schema: if is_custom { CUSTOM_BUCKETS_SCHEMA } else { schema },
                        zero_threshold: if is_custom { 0.0 } else { 1e-9 },
                        sum,
                        positive_spans: positive.clone(),
                        negative_spans: negative.clone(),
                        custom_bounds: Arc::clone(&bounds),
                        counts: if is_float {
                            Counts::Float(Buckets {
                                count: count as f64,
                                zero_count: zero_count as f64,
                                positive: float(&some),
                                negative: float(&other),
                            })
                        } else {
                            Counts::Int(Buckets { count, zero_count, positive: some, negative: other })
                        },
                    }
                })
                .collect()
        },
    )
}

/// Some layouts one after the other, with markers, steps and start timestamps among them.
fn points() -> impl Strategy<Value = Vec<HistogramPoint>> {
    let step = prop_oneof![6 => Just(15_000i64), 2 => 1i64..40_000, 1 => 1i64..(1 << 50)];
    let extras = prop::collection::vec((step, any::<bool>(), prop::option::weighted(0.3, 1i64..9)), 1..60);
    (prop::collection::vec(histograms(), 1..4), extras, any::<i32>()).prop_map(|(layouts, extras, start)| {
        let mut time = i64::from(start) * 1000;
        let histograms = layouts.into_iter().flatten().zip(extras.iter().cycle());
        histograms
            .map(|(histogram, &(step, is_marker, start))| {
                time += step;
                let histogram = if is_marker && step % 3 == 0 {
                    Histogram::without_observations(f64::from_bits(STALE_NAN_BITS), histogram.is_float())
                } else {
                    histogram
                };
                HistogramPoint { time, start: start.unwrap_or(0), histogram: Arc::new(histogram) }
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn keeps_every_bit(points in points()) {
        for point in &points {
            prop_assert_eq!(point.histogram.validate(), Ok(()));
        }
        let decoded = points_of(&encode(&points));
        prop_assert!(same(&decoded, &points), "{:?}\n{:?}", decoded, points);
    }

    #[test]
    fn a_cut_chunk_is_an_error_and_never_a_panic(points in points(), cut in any::<prop::sample::Index>()) {
        let chunk = &encode(&points)[0];
        let cut = cut.index(chunk.data.len());
        prop_assert!(decode(&chunk.data[..cut], |_| ()).is_err());
    }

    #[test]
    fn flipped_bits_never_panic(points in points(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut data = encode(&points)[0].data.to_vec();
        let at = at.index(data.len());
        data[at] ^= 1 << bit;
        let _ = decode(&data, |_| ());
    }

    #[test]
    fn garbage_never_panics(data in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&data, |_| ());
    }
}

fn steady(n: u64, n_buckets: u32) -> HistogramPoint {
    let positive: Vec<u64> = (0..u64::from(n_buckets)).map(|bucket| n * (bucket % 7) + bucket).collect();
    let histogram = Histogram {
        positive_spans: vec![Span { offset: -5, length: n_buckets }],
        counts: Counts::Int(Buckets {
            count: positive.iter().sum(),
            zero_count: 0,
            positive,
            negative: vec![],
        }),
        ..Histogram::without_observations(n as f64 * 1.5, false)
    };
    HistogramPoint {
        time: 1_700_000_000_000 + n.cast_signed() * 15_000,
        start: 0,
        histogram: Arc::new(histogram),
    }
}

#[test]
fn steady_histograms_cost_little() {
    let points: Vec<_> = (0..240).map(|n| steady(n, 40)).collect();
    let chunks = encode(&points);
    assert_eq!(chunks.len(), 1);
    let bytes = chunks[0].data.len();
    assert!(bytes < 240 * 10, "{bytes} bytes for 240 samples of 40 buckets");
}

#[test]
fn another_layout_and_a_full_chunk_begin_a_new_one() {
    let mut builder = HistogramBuilder::new(&steady(0, 4));
    assert!(builder.push(&steady(1, 4)));
    assert!(!builder.push(&steady(2, 5)), "one bucket more");
    assert!(!builder.push(&steady(1, 4)), "not later");
    assert!(!builder.push(&HistogramPoint { start: 7, ..steady(2, 4) }), "the first with a start timestamp");
    let marker = Histogram::without_observations(f64::from_bits(STALE_NAN_BITS), false);
    assert!(builder.push(&HistogramPoint { histogram: Arc::new(marker), ..steady(2, 4) }));
    assert!(builder.push(&steady(3, 4)), "a marker does not end a chunk");
    assert!((4..240).all(|n| builder.push(&steady(n, 4))));
    assert!(!builder.push(&steady(240, 4)), "full");
}

#[test]
fn a_claimed_size_allocates_nothing() {
    // 65,000 buckets claimed by a span, and no bits for them.
    let mut data = vec![0, 1, 0, 0];
    data.extend_from_slice(&[0; 8]);
    data.extend_from_slice(&[1, 0, 0xe8, 0xfb, 0x03, 0, 0]);
    data.extend_from_slice(&[0; 8]);
    assert!(decode(&data, |_| ()).is_err());
}
