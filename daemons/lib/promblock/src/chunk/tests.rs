use std::sync::Arc;

use cairn_model::Histogram;
use cairn_model::histogram::{Buckets, Counts, ResetHint, Span};
use proptest::prelude::*;

use super::*;
use crate::sample::STALE_NAN_BITS;

fn cut(samples: &[Sample]) -> Vec<Chunk> {
    let mut builder = ChunkBuilder::default();
    let mut chunks: Vec<Chunk> = samples.iter().filter_map(|sample| builder.push(sample).unwrap()).collect();
    chunks.extend(builder.finish());
    chunks
}

fn joined(chunks: &[Chunk]) -> Vec<Sample> {
    let mut samples = Vec::new();
    for chunk in chunks {
        let before = samples.len();
        decode(chunk.encoding, &chunk.data, &mut |sample| samples.push(sample)).unwrap();
        let part = &samples[before..];
        assert_eq!(part.len(), usize::from(chunk.n_samples));
        assert_eq!((part[0].time_ms, part[part.len() - 1].time_ms), (chunk.min_time, chunk.max_time));
    }
    samples
}

/// Equal to the last bit, but for what is known about resets.
#[track_caller]
fn assert_same(found: &[Sample], expected: &[Sample]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.time_ms, expected.time_ms);
        match (&found.value, &expected.value) {
            (Value::Float(found), Value::Float(expected)) => assert_eq!(found.to_bits(), expected.to_bits()),
            (Value::Histogram(found), Value::Histogram(expected)) => {
                let mut found = found.clone();
                if expected.reset_hint == ResetHint::Gauge && found.sum.to_bits() != STALE_NAN_BITS {
                    assert_eq!(found.reset_hint, ResetHint::Gauge);
                }
                found.reset_hint = expected.reset_hint;
                assert!(found.is_identical(expected), "{found:?}\n{expected:?}");
            }
            _ => panic!("another kind of sample"),
        }
    }
}

#[test]
fn a_float_chunk_byte_by_byte() {
    // By hand from the format page: count 3, zig-zag 1000, the bits of 1.5, delta 15000 as LEB128, XOR 0, then a
    // delta of deltas 0 and the same value again.
    let samples = [1000, 16_000, 31_000].map(|time| Sample::float(time, 1.5));
    let chunks = cut(&samples);
    let mut expected = vec![0, 3, 0xd0, 0x0f];
    expected.extend_from_slice(&1.5f64.to_bits().to_be_bytes());
    expected.extend_from_slice(&[0x98, 0x75, 0b0000_0000]);
    assert_eq!((chunks.len(), chunks[0].encoding, &chunks[0].data), (1, 1, &expected));
    assert_same(&joined(&chunks), &samples);
}

fn histogram(count: u64, sum: f64) -> Histogram {
    Histogram {
        reset_hint: ResetHint::Unknown,
        schema: 3,
        zero_threshold: 0.001,
        sum,
        positive_spans: vec![Span { offset: -2, length: 2 }, Span { offset: 3, length: 1 }],
        negative_spans: vec![Span { offset: 0, length: 1 }],
        custom_bounds: Arc::default(),
        counts: Counts::Int(Buckets {
            count: 4 * count,
            zero_count: count,
            positive: vec![count, 0, count],
            negative: vec![count],
        }),
    }
}

fn start_bits(chunk: &Chunk) -> u8 {
    chunk.data[2] >> 6
}

#[test]
fn a_counter_reset_starts_a_chunk_that_says_so() {
    let samples: Vec<Sample> = [1, 2, 5, 3, 4]
        .iter()
        .zip(0..)
        .map(|(&count, at)| Sample::histogram(at * 15_000, histogram(count, at as f64)))
        .collect();
    let chunks = cut(&samples);
    assert_eq!(chunks.iter().map(|chunk| chunk.n_samples).collect::<Vec<_>>(), [3, 2]);
    assert_eq!(chunks.iter().map(start_bits).collect::<Vec<_>>(), [0b00, 0b10]);
    let found = joined(&chunks);
    assert_same(&found, &samples);
    let hint = |sample: &Sample| match &sample.value {
        Value::Histogram(histogram) => histogram.reset_hint,
        Value::Float(_) => panic!("a float"),
    };
    assert_eq!(found.iter().map(hint).collect::<Vec<_>>()[..2], [ResetHint::Unknown, ResetHint::NoReset]);
}

#[test]
fn a_full_chunk_is_followed_by_one_without_a_reset() {
    let samples: Vec<Sample> =
        (0..300).map(|at| Sample::histogram(at * 15_000, histogram(at.cast_unsigned(), 0.5))).collect();
    let chunks = cut(&samples);
    assert!(chunks.len() >= 3);
    assert_eq!(start_bits(&chunks[1]), 0b01);
    assert_same(&joined(&chunks), &samples);
    let floats: Vec<Sample> = (0..300).map(|at| Sample::float(at, 0.0)).collect();
    assert_eq!(cut(&floats).iter().map(|chunk| chunk.n_samples).collect::<Vec<_>>(), [120, 120, 60]);
}

#[test]
fn markers_gauges_and_kinds_of_samples_in_one_series() {
    let stale = f64::from_bits(STALE_NAN_BITS);
    let gauge = |count| Histogram { reset_hint: ResetHint::Gauge, ..histogram(count, -1.0) };
    let float = Histogram {
        counts: Counts::Float(Buckets {
            count: 3.5,
            zero_count: f64::NAN,
            positive: vec![1.0, 0.25, -0.0],
            negative: vec![f64::INFINITY],
        }),
        ..histogram(0, f64::NEG_INFINITY)
    };
    let custom = Histogram {
        schema: -53,
        zero_threshold: 0.0,
        custom_bounds: [-0.0, 0.005, 0.1, 1.0 / 3.0, 33_554.43, 33_554.431, 1e300].into(),
        negative_spans: Vec::new(),
        counts: Counts::Int(Buckets {
            count: 1,
            zero_count: 0,
            positive: vec![0, 1, 0],
            negative: Vec::new(),
        }),
        ..histogram(0, 5.0)
    };
    let values = [
        histogram(1, 1.0),
        Histogram::without_observations(stale, false),
        Histogram::without_observations(stale, false),
        histogram(2, 1.0),
        gauge(9),
        gauge(2),
        float.clone(),
        float,
        Histogram::without_observations(stale, true),
        custom.clone(),
        custom,
    ];
    let mut samples: Vec<Sample> =
        values.into_iter().zip(0..).map(|(value, at)| Sample::histogram(at, value)).collect();
    samples.push(Sample::float(1000, stale));
    samples.push(Sample::float(1001, -0.0));
    assert_same(&joined(&cut(&samples)), &samples);
}

#[test]
fn zero_thresholds_keep_their_bits() {
    let all =
        [0.0, -0.0, 0.5, 1024.0, 2048.0, 1e-300, 0.1, f64::MIN_POSITIVE, 2f64.powi(-243), 2f64.powi(-244)];
    for zero_threshold in all {
        let sample = Sample::histogram(0, Histogram { zero_threshold, ..histogram(1, 0.0) });
        assert_same(&joined(&cut(std::slice::from_ref(&sample))), &[sample]);
    }
}

#[test]
fn what_contradicts_itself_is_refused() {
    let mut builder = ChunkBuilder::default();
    builder.push(&Sample::float(5, 1.0)).unwrap();
    assert!(builder.push(&Sample::float(5, 1.0)).is_err());
    let wrong = Histogram { positive_spans: vec![Span { offset: 0, length: 4 }], ..histogram(1, 1.0) };
    assert!(builder.push(&Sample::histogram(6, wrong)).is_err());
    assert_eq!(builder.finish().unwrap().n_samples, 1);
    assert!(decode(0, &[0, 0], &mut |_| ()).is_err() && decode(4, &[0, 0], &mut |_| ()).is_err());
}

fn any_float() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<u64>().prop_map(f64::from_bits),
        (0..1000i32).prop_map(f64::from),
        Just(f64::from_bits(STALE_NAN_BITS)),
        Just(0.0),
    ]
}

fn any_histogram() -> impl Strategy<Value = Histogram> {
    let spans = || prop::collection::vec((any::<i32>(), 0u32..4), 0..4);
    (spans(), spans(), -4i8..=8, any_float(), any_float(), any::<bool>(), any::<u64>()).prop_map(
        |(positive, negative, schema, zero_threshold, sum, is_float, seed)| {
            if sum.to_bits() == STALE_NAN_BITS {
                return Histogram::without_observations(sum, is_float);
            }
            let spans = |spans: &[(i32, u32)]| -> Vec<Span> {
                spans.iter().map(|&(offset, length)| Span { offset, length }).collect()
            };
            let len = |spans: &[(i32, u32)]| spans.iter().map(|span| span.1 as usize).sum::<usize>();
            let number = |index: usize| seed.rotate_left(u32::try_from(index).unwrap() * 7) >> 1;
            let counts = if is_float {
                Counts::Float(Buckets {
                    count: f64::from_bits(seed),
                    zero_count: 1.0,
                    positive: (0..len(&positive)).map(|index| f64::from_bits(number(index))).collect(),
                    negative: (0..len(&negative)).map(|index| index as f64).collect(),
                })
            } else {
                Counts::Int(Buckets {
                    count: seed,
                    zero_count: seed >> 3,
                    positive: (0..len(&positive)).map(number).collect(),
                    negative: (0..len(&negative)).map(|index| number(index) % 100).collect(),
                })
            };
            Histogram {
                reset_hint: ResetHint::Unknown,
                schema,
                zero_threshold,
                sum,
                positive_spans: spans(&positive),
                negative_spans: spans(&negative),
                custom_bounds: Arc::default(),
                counts,
            }
        },
    )
}

proptest! {
    #[test]
    fn any_samples_round_trip(
        values in prop::collection::vec(
            (1i64..1 << 40, prop_oneof![
                3 => any_float().prop_map(Value::Float),
                1 => any_histogram().prop_map(|histogram| Value::Histogram(Box::new(histogram))),
            ], 1usize..5),
            1..40,
        ),
        start in -(1i64 << 45)..1 << 45,
    ) {
        let mut time = start;
        let mut samples = Vec::new();
        for (step, value, times) in values {
            for _ in 0..times {
                time += step;
                samples.push(Sample { time_ms: time, value: value.clone() });
            }
        }
        assert_same(&joined(&cut(&samples)), &samples);
    }

    #[test]
    fn any_bytes_are_decoded_without_panic(encoding in 0u8..8, data in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut n_samples = 0;
        let _ = decode(encoding, &data, &mut |_| n_samples += 1);
        prop_assert!(n_samples <= u32::from(u16::MAX));
    }
}
