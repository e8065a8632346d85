use std::collections::BTreeMap;

use cairn_model::histogram::{Buckets, CUSTOM_BUCKETS_SCHEMA, Counts, Histogram, ResetHint, Span};
use cairn_promql::source::STALE_NAN_BITS;
use proptest::prelude::*;

use super::*;
use crate::codec::frozen;

/// (series, time, bits, start)
type Sample = (u64, i64, u64, i64);

/// Knows every series but 99.
#[derive(Default)]
struct Seen {
    series: Vec<WalSeries>,
    samples: Vec<Sample>,
    exemplars: Vec<(u64, Stored)>,
    histograms: Vec<(u64, HistogramPoint)>,
    late_histograms: usize,
    tips: BTreeMap<u64, Tip>,
    lost: usize,
}

impl Visit for Seen {
    fn series(&mut self, series: WalSeries) {
        self.series.push(series);
    }
    fn tip(&mut self, id: u64) -> Option<&mut Tip> {
        (id != 99).then(|| self.tips.entry(id).or_insert(Tip::of(id)))
    }
    fn sample(&mut self, id: u64, time: i64, bits: u64, start: i64, _is_late: bool) {
        self.samples.push((id, time, bits, start));
        let tip = self.tips.get_mut(&id).unwrap();
        tip.time = tip.time.max(time);
    }
    fn exemplar(&mut self, id: u64, exemplar: Stored) {
        self.exemplars.push((id, exemplar));
    }
    fn histogram(&mut self, id: u64, point: HistogramPoint, is_late: bool) {
        self.histograms.push((id, point));
        self.late_histograms += usize::from(is_late);
    }
    fn lost(&mut self) {
        self.lost += 1;
    }
}

fn read_all(records: &[Vec<u8>]) -> Result<Seen, RecordError> {
    let (mut seen, mut samples) = (Seen::default(), SamplesDecoder::new().unwrap());
    for record in records {
        read(record, &mut samples, &mut seen)?;
    }
    Ok(seen)
}

/// One record of each batch, as an appender writes them.
struct Writer {
    encoder: SamplesEncoder,
    tips: BTreeMap<u64, Tip>,
}

impl Writer {
    fn new() -> Self {
        Self { encoder: SamplesEncoder::new(1).unwrap(), tips: BTreeMap::new() }
    }

    fn record(&mut self, samples: &[Sample]) -> Vec<u8> {
        self.encoder.begin(0);
        for &(id, time, bits, start) in samples {
            self.encoder.push(self.tips.entry(id).or_insert(Tip::of(id)), time, bits, start);
        }
        let record = self.encoder.finish().unwrap().to_vec();
        self.encoder.written();
        record
    }
}

/// The series that every frozen record of them holds.
fn some_series() -> [WalSeries; 2] {
    let labels = Arc::new(Labels::from_pairs([("__name__", "up"), ("job", "a")]));
    [WalSeries { id: 300, labels }, WalSeries { id: 301, labels: Arc::new(Labels::empty()) }]
}

/// The samples that every frozen record of them holds.
fn some_samples() -> [Sample; 3] {
    let time = 1_700_000_000_000;
    [
        (300, time, 1f64.to_bits(), 0),
        (1, time, (-2.5f64).to_bits(), 0),
        (300, time + 15_000, STALE_NAN_BITS, 0),
    ]
}

fn write_series() -> Vec<u8> {
    let mut encoder = SeriesEncoder::new().unwrap();
    encoder.begin();
    some_series().iter().for_each(|series| encoder.push(series.id, &series.labels));
    encoder.finish().unwrap().to_vec()
}

#[test]
fn records_of_every_version_are_read_for_ever() {
    for version in 1..=RECORD_VERSION {
        let is_current = version == RECORD_VERSION;
        let series = frozen(&format!("wal-series-v{version}.hex"), &write_series(), is_current);
        let written = Writer::new().record(&some_samples());
        let samples = frozen(&format!("wal-samples-v{version}.hex"), &written, is_current);
        assert_eq!((series[0], samples[0]), (version, version));
        let seen = read_all(&[series, samples]).unwrap();
        assert_eq!(seen.series, some_series());
        assert_eq!(seen.samples, some_samples());
    }
}

/// The exemplars that every frozen record of them holds.
fn some_exemplars() -> [(u64, Stored); 2] {
    let time_ms = 1_700_000_000_000;
    let labels = Labels::from_pairs([("trace_id", "4bf92f3577b34da6")]);
    [
        (300, Stored { labels, value: 0.25, time_ms }),
        (7, Stored { labels: Labels::empty(), value: f64::NAN, time_ms: -1 }),
    ]
}

/// The histograms that every frozen record of them holds: of both kinds, a marker, a start timestamp.
fn some_histograms() -> Vec<(u64, HistogramPoint)> {
    let time = 1_700_000_000_000;
    let int = Histogram {
        reset_hint: ResetHint::NoReset,
        schema: 3,
        zero_threshold: 0.001,
        positive_spans: vec![Span { offset: -2, length: 2 }, Span { offset: 1, length: 1 }],
        counts: Counts::Int(Buckets { count: 9, zero_count: 1, positive: vec![5, 0, 3], negative: vec![] }),
        ..Histogram::without_observations(1.25, false)
    };
    let float = Histogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        positive_spans: vec![Span { offset: 0, length: 2 }],
        custom_bounds: [0.5].into(),
        counts: Counts::Float(Buckets {
            count: 1.5,
            zero_count: 0.0,
            positive: vec![0.5, 1.0],
            negative: vec![],
        }),
        ..Histogram::without_observations(-0.0, true)
    };
    let marker = Histogram::without_observations(f64::from_bits(STALE_NAN_BITS), false);
    let point = |time, start, histogram| HistogramPoint { time, start, histogram: Arc::new(histogram) };
    vec![
        (300, point(time, 0, int.clone())),
        (300, point(time + 15_000, 0, marker)),
        (300, point(time + 30_000, 7, int)),
        (2, point(-5, 0, float)),
    ]
}

#[test]
fn exemplars_and_histograms_of_every_version_are_read_for_ever() {
    let mut exemplars = Vec::new();
    start_exemplars(&mut exemplars);
    some_exemplars().iter().for_each(|(id, exemplar)| push_exemplar(&mut exemplars, *id, exemplar));
    let mut histograms = HistogramsEncoder::new(TAG_HISTOGRAMS).unwrap();
    histograms.begin();
    some_histograms().iter().for_each(|(id, point)| histograms.push(*id, point));
    let histograms = histograms.finish().unwrap();
    for version in 2..=RECORD_VERSION {
        let is_current = version == RECORD_VERSION;
        let exemplars = frozen(&format!("wal-exemplars-v{version}.hex"), &exemplars, is_current);
        let histograms = frozen(&format!("wal-histograms-v{version}.hex"), histograms, is_current);
        let seen = read_all(&[exemplars.clone(), histograms.clone()]).unwrap();
        assert_eq!(format!("{:?}", seen.exemplars), format!("{:?}", some_exemplars()));
        assert_eq!(seen.histograms.len(), some_histograms().len());
        for ((id, a), (want_id, b)) in seen.histograms.iter().zip(some_histograms()) {
            assert_eq!((*id, a.time, a.start), (want_id, b.time, b.start));
            assert!(a.histogram.is_identical(&b.histogram));
        }
        for record in [exemplars, histograms] {
            for len in 0..record.len() {
                let _ = read_all(&[record[..len].to_vec()]);
            }
        }
    }
}

#[test]
fn a_unit_of_every_version_is_read_for_ever() {
    let mut histograms = HistogramsEncoder::new(TAG_HISTOGRAMS).unwrap();
    histograms.begin();
    some_histograms().iter().for_each(|(id, point)| histograms.push(*id, point));
    let (mut writer, mut unit) = (Writer::new(), UnitEncoder::default());
    unit.begin();
    unit.push(&writer.record(&some_samples()));
    unit.push(&writer.record(&[(1, 1_700_000_015_000, 3f64.to_bits(), 0)]));
    unit.push(histograms.finish().unwrap());
    let mut late = HistogramsEncoder::new(TAG_LATE_HISTOGRAMS).unwrap();
    late.begin();
    some_histograms().iter().rev().for_each(|(id, point)| late.push(*id, point));
    unit.push(late.finish().unwrap());
    for version in 3..=RECORD_VERSION {
        let name = format!("wal-unit-v{version}.hex");
        let unit = frozen(&name, unit.finish(), version == RECORD_VERSION);
        let seen = read_all(std::slice::from_ref(&unit)).unwrap();
        assert_eq!((seen.samples.len(), seen.histograms.len(), seen.lost), (4, 8, 0));
        assert_eq!(seen.late_histograms, 4);
        assert_eq!(seen.samples[..3], some_samples());
        for len in 0..unit.len() {
            let _ = read_all(&[unit[..len].to_vec()]);
        }
    }
}

#[test]
fn units_of_one_record_are_that_record_and_none_is_in_another() {
    let record = Writer::new().record(&some_samples());
    let mut unit = UnitEncoder::default();
    unit.begin();
    assert!(unit.is_empty());
    unit.push(&record);
    assert_eq!(unit.finish(), record);
    unit.push(&record);
    let mut nested = UnitEncoder::default();
    nested.begin();
    nested.push(&record);
    nested.push(unit.finish());
    let mut seen = Seen::default();
    let read = read(nested.finish(), &mut SamplesDecoder::new().unwrap(), &mut seen);
    assert_eq!(read, Err(RecordError::Malformed(Malformed(WHAT))));
    assert!(seen.samples.is_empty(), "nothing of a unit that is malformed");
}

#[test]
fn a_newer_record_is_told_apart_from_damage() {
    for found in [RECORD_VERSION + 1, u8::MAX, 0] {
        assert!(
            matches!(read_all(&[vec![found, TAG_SAMPLES, 1]]), Err(RecordError::Version { found: f }) if f == found)
        );
    }
    let malformed = RecordError::Malformed(Malformed(WHAT));
    assert_eq!(read_all(&[vec![RECORD_VERSION, 99]]).err(), Some(malformed));
    assert_eq!(read_all(&[vec![]]).err(), Some(malformed));
}

/// A host's page, step by step: constants, counters, gauges.
fn scrape(step: u32) -> Vec<Sample> {
    let time = 1_700_000_000_000 + i64::from(step) * 15_000;
    (1..=400u32)
        .map(|n| {
            let value = match n % 5 {
                0..=2 => f64::from(n),
                3 => f64::from(n * 1000 + step * n),
                _ => f64::from(n * 31 + step * 7) / 100.0,
            };
            (u64::from(n) + 1000, time, value.to_bits(), if n % 2 == 0 { 0 } else { 1_600_000_000_000 })
        })
        .collect()
}

#[test]
fn a_damaged_record_costs_what_refers_to_it_and_nothing_else() {
    let mut writer = Writer::new();
    let mut records: Vec<Vec<u8>> = Vec::new();
    let mut want = Vec::new();
    for step in 0..6 {
        let samples = scrape(step);
        if step == 4 {
            writer.encoder.start_period();
        }
        // Two requests a step: the damage concerns one of them.
        for half in samples.chunks(200) {
            records.push(writer.record(half));
            want.extend_from_slice(half);
        }
    }
    let seen = read_all(&records).unwrap();
    assert_eq!(seen.samples, want);
    assert_eq!(seen.lost, 0);

    let lost_record = 2;
    let without: Vec<Vec<u8>> =
        records.iter().enumerate().filter(|(n, _)| *n != lost_record).map(|(_, r)| r.clone()).collect();
    let seen = read_all(&without).unwrap();
    let is_there = |n: usize| n % 2 == 1 || n == 0 || n >= 8;
    let want: Vec<Sample> = want
        .chunks(200)
        .enumerate()
        .filter(|(n, _)| is_there(*n))
        .flat_map(|(_, half)| half.to_vec())
        .collect();
    assert_eq!(seen.samples, want);
    assert_eq!(seen.lost, 400, "two later records of the damaged one's series, up to the next period");
}

#[test]
fn a_series_twice_in_a_record_and_one_that_nobody_knows() {
    let mut writer = Writer::new();
    let samples = [(5, 10, 1, 0), (99, 10, 2, 0), (5, 20, 3, 0), (6, 20, 4, 7), (5, 30, 3, 0)];
    let record = writer.record(&samples);
    let next = writer.record(&[(99, 40, 5, 0), (5, 40, 6, 9)]);
    let seen = read_all(&[record, next]).unwrap();
    assert_eq!(seen.samples, [(5, 10, 1, 0), (5, 20, 3, 0), (6, 20, 4, 7), (5, 30, 3, 0), (5, 40, 6, 9)]);
}

#[test]
fn what_the_log_refused_can_be_written_again() {
    let mut writer = Writer::new();
    let first = writer.record(&scrape(0));
    // As after a refusal: tips put back, nothing noted as written.
    let tips = writer.tips.clone();
    writer.encoder.begin(0);
    for (id, time, bits, start) in scrape(1) {
        writer.encoder.push(writer.tips.get_mut(&id).unwrap(), time, bits, start);
    }
    writer.encoder.finish().unwrap();
    writer.tips = tips;
    let second = writer.record(&scrape(2));
    let seen = read_all(&[first, second]).unwrap();
    assert_eq!((seen.samples.len(), seen.lost), (800, 0));
    assert_eq!(seen.samples[400..], scrape(2));
}

#[test]
fn every_cut_and_every_flip_is_read_without_panic() {
    let mut writer = Writer::new();
    for bytes in [write_series(), writer.record(&some_samples()), writer.record(&scrape(0)[..20])] {
        for len in 0..bytes.len() {
            assert!(read_all(&[bytes[..len].to_vec()]).is_err() || len > 2, "cut to {len}");
        }
        for at in 1..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                let _ = read_all(&[flipped]);
            }
        }
    }
}

#[test]
fn a_steady_sample_takes_less_than_a_byte() {
    let mut writer = Writer::new();
    writer.record(&scrape(0));
    let bytes: usize = (1..10).map(|step| writer.record(&scrape(step)).len()).sum();
    assert!(bytes < 9 * 400, "{bytes} bytes");
}

proptest! {
    #[test]
    fn any_samples_come_back(batches: Vec<Vec<(u8, i64, u64, i64)>>) {
        let mut writer = Writer::new();
        let batches: Vec<Vec<Sample>> = batches
            .into_iter()
            .map(|batch| {
                batch.into_iter().map(|(id, time, bits, start)| (u64::from(id % 90) + 1, time / 2, bits, start)).collect()
            })
            .collect();
        let records: Vec<Vec<u8>> = batches.iter().map(|batch| writer.record(batch)).collect();
        let seen = read_all(&records).unwrap();
        prop_assert_eq!(seen.samples, batches.concat());
    }

    #[test]
    fn garbage_is_no_panic(garbage: Vec<u8>, tag in 0u8..10) {
        let mut record = vec![RECORD_VERSION, tag];
        record.extend(garbage);
        let _ = read_all(&[record]);
    }
}
