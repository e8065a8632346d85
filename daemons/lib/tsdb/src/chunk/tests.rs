//! The compressed chunk against the plain list of samples.

use proptest::prelude::*;

use super::*;

fn samples_of(chunk: &Chunk) -> Vec<(i64, u64)> {
    let mut samples = Vec::new();
    decode(&chunk.data, |time, bits| samples.push((time, bits))).unwrap();
    samples
}

/// Steps and values as they come: steady, jittering, wild.
fn samples() -> impl Strategy<Value = Vec<(i64, u64)>> {
    let step = prop_oneof![
        6 => Just(15_000i64),
        4 => 14_900i64..15_100,
        2 => 1i64..3_000_000,
        1 => 1i64..(1 << 40),
    ];
    let value = prop_oneof![
        4 => (0u32..1000).prop_map(|n| f64::from(n).to_bits()),
        2 => any::<f64>().prop_map(f64::to_bits),
        1 => any::<u64>(),
        1 => Just(cairn_promql::source::STALE_NAN_BITS),
        2 => Just(0u64),
    ];
    (any::<i32>(), prop::collection::vec((step, value), 1..200)).prop_map(|(start, steps)| {
        let mut time = i64::from(start) * 1000;
        steps
            .into_iter()
            .map(|(step, bits)| {
                time += step;
                (time, bits)
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn keeps_every_time_and_every_bit(samples in samples()) {
        let chunk = Chunk::from_samples(samples.iter().copied()).unwrap();
        prop_assert_eq!(samples_of(&chunk), samples.clone());
        prop_assert_eq!((chunk.min_time, chunk.max_time), (samples[0].0, samples[samples.len() - 1].0));
        prop_assert_eq!(usize::from(chunk.n_samples), samples.len());
    }

    #[test]
    fn a_cut_chunk_is_an_error_and_never_a_panic(samples in samples(), cut in any::<prop::sample::Index>()) {
        let chunk = Chunk::from_samples(samples).unwrap();
        let cut = cut.index(chunk.data.len());
        let decoded = decode(&chunk.data[..cut], |_, _| ());
        prop_assert!(decoded.is_err());
    }

    #[test]
    fn garbage_never_panics(data in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&data, |_, _| {});
    }
}

#[test]
fn extreme_times() {
    let samples = [(i64::MIN, 1), (-1, 2), (i64::MAX - 1, 3), (i64::MAX, 4)];
    assert_eq!(samples_of(&Chunk::from_samples(samples).unwrap()), samples);
}

#[test]
fn borders_of_the_fields_for_deltas() {
    for width in [14, 17, 20] {
        for dod in [
            -(1i64 << (width - 1)),
            -(1 << (width - 1)) + 1,
            (1 << (width - 1)) - 1,
            1 << (width - 1),
            (1 << (width - 1)) + 1,
        ] {
            let first = 10_000_000;
            let samples = [(0, 0), (first, 0), (first + first + dod, 0)];
            assert_eq!(samples_of(&Chunk::from_samples(samples).unwrap()), samples, "{width} bits, {dod}");
        }
    }
}

#[test]
fn bytes_are_prometheus_s() {
    // Three samples 15 s apart with the values 1, 2, 2: count, zig-zag time, first value, delta, XOR, "0" "0".
    let chunk =
        Chunk::from_samples([(0, 1f64.to_bits()), (15_000, 2f64.to_bits()), (30_000, 2f64.to_bits())])
            .unwrap();
    // XOR of 1.0 and 2.0 is 0x7ff0 << 48: 1 leading zero, 11 bits, all ones.
    let want = [
        0,
        3,
        0,
        0x3f,
        0xf0,
        0,
        0,
        0,
        0,
        0,
        0,
        0x98,
        0x75,
        0b1100_0010,
        0b0101_1111,
        0b1111_1111,
        0b0000_0000,
    ];
    assert_eq!(*chunk.data, want);
}

#[test]
fn steady_counters_cost_little() {
    let samples = (0..240).map(|n| (1_700_000_000_000 + i64::from(n) * 15_000, f64::from(n * 3).to_bits()));
    let chunk = Chunk::from_samples(samples).unwrap();
    assert!(chunk.data.len() < 240 * 4, "{} bytes", chunk.data.len());
}
