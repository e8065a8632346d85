//! Columns to chunks and back: floats with and without start timestamps, histograms among them.

use std::sync::Arc;

use cairn_model::Histogram;
use cairn_promql::source::{HistogramPoint, SeriesData};
use proptest::prelude::*;

use super::{Encoding, encode};

/// Samples of ascending time, each a float, a float with a start timestamp, or a histogram.
fn series() -> impl Strategy<Value = SeriesData> {
    let sample = (1i64..50_000, 0u8..8, any::<u64>(), -3i64..3);
    prop::collection::vec(sample, 0..600).prop_map(|samples| {
        let mut series = SeriesData::default();
        let mut time = -1_000_000;
        for (step, kind, bits, start) in samples {
            time += step;
            // Starts by stretches, as they come.
            let start = if (time / 200_000) % 2 == 0 { 0 } else { start };
            if kind == 0 {
                let histogram = Arc::new(Histogram::without_observations(bits as f64, bits % 2 == 0));
                series.histograms.push(HistogramPoint { time, start, histogram });
            } else {
                super::starts::push_float(&mut series, time, f64::from_bits(bits), start);
            }
        }
        series
    })
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn keeps_every_sample(series in series()) {
        let chunks = encode(&series);
        prop_assert!(chunks.is_sorted_by(|a, b| a.max_time < b.min_time));
        let mut found = SeriesData::default();
        for chunk in &chunks {
            chunk.decode_range(i64::MIN, i64::MAX, &mut found).unwrap();
        }
        prop_assert_eq!(&found.times, &series.times);
        prop_assert_eq!(bits(&found.values), bits(&series.values));
        prop_assert_eq!(&found.starts, &series.starts);
        prop_assert_eq!(found.histograms.len(), series.histograms.len());
        for (a, b) in found.histograms.iter().zip(&series.histograms) {
            prop_assert_eq!((a.time, a.start), (b.time, b.start));
            prop_assert!(a.histogram.is_identical(&b.histogram));
        }
        let n_samples: usize = chunks.iter().map(|chunk| usize::from(chunk.n_samples)).sum();
        prop_assert_eq!(n_samples, series.times.len() + series.histograms.len());
    }

    #[test]
    fn cuts_of_starts_never_panic(series in series(), cut in any::<prop::sample::Index>()) {
        for chunk in encode(&series).iter().filter(|chunk| chunk.encoding == Encoding::XorStarts) {
            let cut = cut.index(chunk.data.len());
            prop_assert!(super::starts::decode(&chunk.data[..cut], |_, _, _| ()).is_err());
        }
    }
}

#[test]
fn a_range_of_each_kind() {
    let mut series = SeriesData::default();
    for time in 0..10 {
        super::starts::push_float(&mut series, time, 1.0, if time < 5 { 0 } else { 3 });
    }
    let mut found = SeriesData::default();
    for chunk in encode(&series) {
        chunk.decode_range(3, 6, &mut found).unwrap();
    }
    assert_eq!((found.times.to_vec(), found.starts), (vec![3, 4, 5, 6], vec![0, 0, 3, 3]));
}

#[test]
fn steady_starts_cost_a_bit() {
    let (mut plain, mut with_starts) = (SeriesData::default(), SeriesData::default());
    for time in 0..240 {
        super::starts::push_float(&mut plain, time * 15_000, time as f64, 0);
        super::starts::push_float(&mut with_starts, time * 15_000, time as f64, 1_700_000_000_000);
    }
    let bytes = |series| encode(series).iter().map(|chunk| chunk.data.len()).sum::<usize>();
    assert!(bytes(&with_starts) <= bytes(&plain) + 240 / 8 + 12);
}
