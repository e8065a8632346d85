//! Columns against the values they were made of.

use cairn_promql::source::{NORMAL_NAN_BITS, STALE_NAN_BITS};
use proptest::prelude::*;

use super::*;
use crate::codec::frozen;

fn encoded_floats(values: &[f64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    FloatEncoder::default().encode(values, &mut bytes);
    bytes
}

fn check_floats(values: &[f64]) -> usize {
    let bytes = encoded_floats(values);
    let mut decoded = vec![1.0];
    let mut decoder = FloatDecoder::default();
    let n = values.len();
    let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    for wanted in [0..n, n / 3..n, 0..n / 2, n / 4..n / 2, n..n] {
        decoded.truncate(1);
        let found = decoder.decode(&bytes, n, wanted.clone(), &mut decoded).unwrap();
        assert_eq!(found.n_bytes, bytes.len(), "{values:?}");
        let has_markers = values[wanted.clone()].iter().any(|value| value.to_bits() == STALE_NAN_BITS);
        assert!(!(found.has_no_markers && has_markers), "{values:?}");
        assert_eq!(bits(&decoded[1..]), bits(&values[wanted]));
    }
    bytes.len()
}

fn check_ints(values: &[i64]) -> usize {
    let mut bytes = Vec::new();
    IntEncoder::default().encode(values, false, &mut bytes);
    let mut with_marks = Vec::new();
    IntEncoder::default().encode(values, true, &mut with_marks);
    let n = values.len();
    let mut decoder = IntDecoder::default();
    for bytes in [&bytes, &with_marks] {
        for wanted in [0..n, n / 3..n, 0..n / 2, n / 4..n / 2, n..n, n - n / 20..n] {
            let mut decoded = vec![1];
            let found = decoder.decode(bytes, n, wanted.clone(), &mut decoded);
            assert_eq!(found.map(|found| found.n_bytes), Ok(bytes.len()));
            assert_eq!(&decoded[1..], &values[wanted]);
        }
    }
    bytes.len()
}

/// A column as it may come: each part of it of one kind, with strangers in between.
fn floats() -> impl Strategy<Value = Vec<f64>> {
    let stranger = prop_oneof![
        any::<f64>(),
        any::<u64>().prop_map(f64::from_bits),
        prop::sample::select(vec![
            0.0,
            -0.0,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MAX,
            f64::MIN_POSITIVE,
            f64::from_bits(1),
            f64::from_bits(STALE_NAN_BITS),
            f64::from_bits(NORMAL_NAN_BITS),
            f64::from_bits(u64::MAX),
            9_007_199_254_740_993.0,
            9_223_372_036_854_775_808.0,
            -9_223_372_036_854_775_808.0,
        ]),
    ];
    let part = (0u8..8, any::<i32>(), 0u32..40, 1usize..80).prop_flat_map(|(kind, base, noise, n)| {
        prop::collection::vec(any::<u64>(), n).prop_map(move |random| {
            let mut sum = f64::from(base);
            random
                .into_iter()
                .map(|random| {
                    let step = f64::from(u32::try_from(random >> 32 >> (32 - noise.min(32))).unwrap_or(0));
                    match kind {
                        0 => f64::from(base),
                        1 => f64::from(base) + step,
                        2 => f64::from(base) / 100.0 + step / 1000.0,
                        3 => (f64::from(base) + step) * 0.001,
                        4 => (f64::from(base) + step) / 1000.0 / 1000.0,
                        5 => {
                            sum += step / 7.0;
                            sum
                        }
                        6 => {
                            sum += if random % 11 == 0 { step } else { 0.0 };
                            sum
                        }
                        _ => f64::from_bits(random),
                    }
                })
                .collect::<Vec<f64>>()
        })
    });
    (prop::collection::vec(part, 1..4), prop::collection::vec((any::<prop::sample::Index>(), stranger), 0..4))
        .prop_map(|(parts, strangers)| {
            let mut column = parts.concat();
            for (at, stranger) in strangers {
                let at = at.index(column.len());
                column[at] = stranger;
            }
            column
        })
}

fn ints() -> impl Strategy<Value = Vec<i64>> {
    let step = prop_oneof![
        6 => Just(15_000i64),
        4 => 14_990i64..15_010,
        2 => (1i64..100).prop_map(|n| n * 1_000_000),
        1 => any::<i64>(),
        3 => Just(0),
    ];
    (any::<i64>(), prop::collection::vec(step, 0..300)).prop_map(|(first, steps)| {
        let mut value = first;
        let mut column = vec![value];
        column.extend(steps.into_iter().map(|step| {
            value = value.wrapping_add(step);
            value
        }));
        column
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_bit_of_every_float_comes_back(values in floats()) {
        check_floats(&values);
    }

    #[test]
    fn every_number_comes_back(values in ints()) {
        check_ints(&values);
    }

    #[test]
    fn cuts_and_garbage_are_never_a_panic(
        values in floats(),
        cut in any::<prop::sample::Index>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        garbage in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let mut bytes = encoded_floats(&values);
        bytes.truncate(cut.index(bytes.len() + 1));
        for (at, byte) in flips {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] ^= byte;
            }
        }
        for bytes in [&bytes, &garbage] {
            for n in [0, 1, values.len(), 65_535] {
                let mut out = Vec::new();
                let _ = FloatDecoder::default().decode(bytes, n, n / 2..n, &mut out);
                prop_assert!(out.len() <= n, "never more than was asked for");
            }
        }
    }
}

/// Columns of many marks: noise of some bits around a slope, of which a share is left out.
fn long_ints() -> impl Strategy<Value = Vec<i64>> {
    (any::<u64>(), 250usize..2100, 0u32..60, 1u64..8, any::<bool>(), 1i64..4).prop_map(
        |(seed, n, noise, share, is_sum, scale)| {
            let (mut state, mut sum) = (seed, 0i64);
            let draw = |_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                // The upper bits of a generator of this kind are the random ones; few numbers are large.
                let width = noise.min(u32::try_from(state >> 58).unwrap());
                let random = (state << 6 >> (63 - width)).cast_signed();
                let step = if (state >> 20).is_multiple_of(share) { random } else { 0 };
                sum = if is_sum { sum.wrapping_add(step) } else { step };
                sum.wrapping_mul(scale)
            };
            (0..n).map(draw).collect()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_read_from_several_marks_at_once_is_what_is_read_in_a_row(
        values in long_ints(),
        borders in any::<[prop::sample::Index; 2]>(),
    ) {
        check_ints(&values);
        let mut borders = borders.map(|border| border.index(values.len() + 1));
        borders.sort_unstable();
        let wanted = borders[0]..borders[1];
        for has_marks in [false, true] {
            let mut bytes = Vec::new();
            IntEncoder::default().encode(&values, has_marks, &mut bytes);
            let mut read = Vec::new();
            IntDecoder::default().decode(&bytes, values.len(), wanted.clone(), &mut read).unwrap();
            prop_assert_eq!(&read, &values[wanted.clone()]);
        }
    }

    #[test]
    fn damaged_marks_are_never_a_panic(
        values in long_ints(),
        flips in prop::collection::vec((0usize..60, any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = Vec::new();
        IntEncoder::default().encode(&values, true, &mut bytes);
        for (at, byte) in flips {
            let at = at % bytes.len();
            bytes[at] ^= byte;
        }
        let mut decoder = IntDecoder::default();
        let n = values.len();
        for bytes in [&bytes[..], &bytes[..cut.index(bytes.len())]] {
            for wanted in [0..n, n / 3..n, n - n / 20..n] {
                let mut read = Vec::new();
                let decoded = decoder.decode(bytes, n, wanted.clone(), &mut read);
                prop_assert!(decoded.is_err() || read.len() == wanted.len());
            }
        }
    }
}

/// A mark that does not say where the codes before it end.
#[test]
fn marks_that_contradict_the_codes_are_refused() {
    let [dense, _] = frozen_numbers();
    let long: Vec<i64> = dense.iter().cycle().take(1000).copied().collect();
    let mut bytes = Vec::new();
    IntEncoder::default().encode(&long, true, &mut bytes);
    let mut decoder = IntDecoder::default();
    let mut n_refused = 0;
    // Behind the first number and the length of the stream there are seven marks.
    for at in 4..20 {
        bytes[at] ^= 2;
        n_refused += usize::from(decoder.decode(&bytes, 1000, 0..1000, &mut Vec::new()).is_err());
        bytes[at] ^= 2;
    }
    assert_eq!(n_refused, 16);
    assert!(decoder.decode(&bytes, 1000, 0..1000, &mut Vec::new()).is_ok());
}

#[test]
fn ordinary_columns_are_small() {
    let n = 480u32;
    let size = |value: &dyn Fn(u32) -> f64| check_floats(&(0..n).map(value).collect::<Vec<_>>());
    let noise = |n: u32| n.wrapping_mul(2_654_435_761) >> 16;
    assert!(size(&|_| 1.0) <= 4, "a constant");
    assert!(size(&|_| 1_764_287_731.25) <= 10, "a constant with digits");
    assert!(size(&|n| f64::from(n * 15)) <= 6, "a steady counter");
    assert!(size(&|n| f64::from(n / 100)) <= 30, "a counter that hardly moves");
    // The noise of these has 4, 10 and 16 bits.
    assert!(size(&|at| f64::from(at * 100 + noise(at) % 16)) <= 480 * 6 / 8, "a counter");
    assert!(size(&|at| f64::from(noise(at) % 1024) / 100.0) <= 480 * 21 / 16, "a gauge with two digits");
    assert!(size(&|at| f64::from(noise(at)) * 0.001) <= 480 * 9 / 4, "milliseconds that were multiplied");
    let stale = size(&|at| if at == 479 { f64::from_bits(STALE_NAN_BITS) } else { f64::from(at) });
    assert!(stale <= 16, "a staleness marker costs little: {stale}");
}

#[test]
fn a_regular_column_of_times_is_a_few_bytes() {
    let regular: Vec<i64> = (0..480).map(|n| 1_764_287_731_123 + n * 15_000).collect();
    assert!(check_ints(&regular) <= 12);
    let mut once_late = regular;
    once_late[100] += 2;
    assert!(check_ints(&once_late) <= 30);
    for few in [&[][..], &[5], &[i64::MIN, i64::MAX], &[i64::MAX, i64::MIN, 0]] {
        check_ints(few);
    }
    assert_eq!(check_floats(&[]), 1);
}

/// Numbers that no build makes otherwise: many codes, all of them or few of them other than zero.
fn frozen_numbers() -> [Vec<i64>; 2] {
    let mut state = 1u64;
    let mut draw = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from(state >> 58).unwrap()
    };
    let mut sum = 0;
    let dense: Vec<i64> = (0..300)
        .map(|_| {
            sum += draw() - 20;
            sum
        })
        .collect();
    let sparse: Vec<i64> = (0..900)
        .map(|_| {
            sum += (draw() - 40).max(0);
            sum
        })
        .collect();
    [dense, sparse]
}

#[test]
fn columns_of_every_version_are_read() {
    for (numbers, kind) in frozen_numbers().iter().zip(["dense", "sparse"]) {
        for (has_marks, suffix) in [(false, ""), (true, "-marks")] {
            let mut bytes = Vec::new();
            IntEncoder::default().encode(numbers, has_marks, &mut bytes);
            let bytes = frozen(&format!("column-{kind}{suffix}-v2.hex"), &bytes, true);
            for wanted in [0..numbers.len(), numbers.len() - 3..numbers.len(), 130..140] {
                let mut read = Vec::new();
                IntDecoder::default().decode(&bytes, numbers.len(), wanted.clone(), &mut read).unwrap();
                assert_eq!(read, numbers[wanted]);
            }
        }
    }
}
