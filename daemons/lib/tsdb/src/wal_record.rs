//! What the write-ahead log's records say. `FORMAT.md` has the boxes.
//!
//! # To add a field to a series or a sample
//!
//! 1. Here: raise [`RECORD_VERSION`]; put the field into `WalSeries` and `push_series`, or as a column into
//!    `samples.rs` (encoder and decoder), and read it when `version` has it. Otherwise it gets what an older record means
//!    by not having it. What `read` does with older versions never changes. A new kind of record is a tag and a new version.
//! 2. Freeze records of the new version, of both kinds, as `testdata/wal-*-v<version>.hex`; the test here prints them.
//!    Those of older versions stay for ever; what the test expects of them has the new field's default.
//! 3. `db/write.rs` fills it in (a sample's comes from [`Sample`](crate::Sample)) and gives it to the head; `db/replay.rs`
//!    does the same after a restart. In the head a series' lies in `series.rs`, by way of `Head::insert`; a sample's lies in
//!    the open chunk: an encoding in `chunk.rs` with a number of its own, which the blocks must tell apart.
//! 4. `checkpoint.rs`: the log is dropped once the head is flushed, so a field of a series that is not there is lost with
//!    the next restart. Put it into `SavedSeries` and raise [`CHECKPOINT_FORMAT`](crate::checkpoint::CHECKPOINT_FORMAT).
//!    Freeze a checkpoint of that version too (`testdata/checkpoint-v<version>.hex`).
//! 5. If it shall outlive the head: a series' in `block/index.rs`; both on their way through `db/flush.rs` and
//!    `db/compact.rs`.
//! 6. `FORMAT.md` (`tests/tsdb/format_page.rs` compares), and the repository's CHANGELOG.md.

mod exemplars;
mod histograms;
mod samples;
mod unit;
mod value;

use std::io;
use std::sync::Arc;

use cairn_disk::Format;
use cairn_disk::compress::{Compressor, Decompressor};
use cairn_model::Labels;
use cairn_promql::source::HistogramPoint;

use crate::codec::{Malformed, Reader, put_labels, put_uvarint};
use crate::exemplars::Stored;
use crate::series::Tip;

pub(crate) use exemplars::push_exemplar;
pub(crate) use histograms::HistogramsEncoder;
pub(crate) use samples::{Mark as SamplesMark, SamplesDecoder, SamplesEncoder};
pub(crate) use unit::UnitEncoder;

/// Kind and version of the log's segments. Not raised for a new field or tag, which is what [`RECORD_VERSION`] is for:
/// raise this one only when a build could no longer tell records apart by their first byte. An older build then refuses
/// the segment without looking at them. Version 1, before the first release, had no record version and is not read.
pub const WAL_FORMAT: Format = Format::new(*b"CAIRNMWL", 2).reading_from(2);

/// The first byte of every record: the version that is written, and the highest that is read. Raise it for every change
/// of what a record says, a new tag included: an older build must refuse it, not skip it.
pub const RECORD_VERSION: u8 = 3;

/// Second byte. New series: id and labels, until the record ends.
pub const TAG_SERIES: u8 = 1;
/// Second byte. Float samples: in version 1 id, time, value until the record ends, since then columns.
pub const TAG_SAMPLES: u8 = 2;

/// Samples of one record, and of one holding of the commit lock, about a millisecond; a request that is kept whole holds it
/// for as many as it has.
pub(crate) const MAX_BATCH: usize = 10_000;

/// The log takes no longer record. The largest is a unit of a request that is kept whole. A receiver lets 64 MiB and two
/// million samples and buckets in; what one of those takes here is less than 60 bytes before it is compressed, and on the whole
/// less than it took in the request.
pub(crate) const MAX_RECORD_BYTES: usize = 128 << 20;

/// A record of series is closed at this size of its body...
const SERIES_BODY_BYTES: usize = 256 << 10;

/// ... so no body is longer than that and one set of labels, nor than a batch of samples of about 60 bytes each.
const MAX_BODY_BYTES: usize = 4 << 20;

/// Series are written once, and their labels have much in common.
const SERIES_LEVEL: i32 = 3;

/// A shorter body is not worth a frame.
const MIN_COMPRESSED_BYTES: usize = 128;

/// The body follows as it is.
const RAW: u8 = 0;
/// The body follows as a zstd frame.
const COMPRESSED: u8 = 1;

/// What is being read, for errors.
const WHAT: &str = "write-ahead log record";

/// Second byte. Exemplars: series and exemplar, until the record ends.
pub const TAG_EXEMPLARS: u8 = 4;
/// Second byte. Native histograms of either kind: series, each with its samples as a chunk.
pub const TAG_HISTOGRAMS: u8 = 6;
/// Second byte, since version 3. Several records that hold together: length and record, until it ends.
pub const TAG_UNIT: u8 = 8;
// Tags: 3 tombstones, 5 metadata, 7: reserved for what they name.

/// Why a record cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    /// Nothing may be guessed about it, and nothing skipped: the start must end here.
    #[error(
        "record version {found}, this build reads up to {RECORD_VERSION}; use the newer build that wrote it, or move \
         the folder of the write-ahead log away, which loses what is only there"
    )]
    Version { found: u8 },
    /// An unknown tag, or content that no writer of its version produced.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// A new series, as the log has it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WalSeries {
    pub(crate) id: u64,
    pub(crate) labels: Arc<Labels>,
}

/// Writes records of new series.
#[derive(Debug)]
pub(crate) struct SeriesEncoder {
    body: Vec<u8>,
    record: Vec<u8>,
    compressor: Compressor,
}

impl SeriesEncoder {
    pub(crate) fn new() -> io::Result<Self> {
        let compressor = Compressor::new(SERIES_LEVEL)?;
        Ok(Self { body: Vec::new(), record: Vec::new(), compressor })
    }

    /// Starts a record.
    pub(crate) fn begin(&mut self) {
        self.body.clear();
    }

    pub(crate) fn push(&mut self, id: u64, labels: &Labels) {
        put_uvarint(&mut self.body, id);
        put_labels(&mut self.body, labels);
    }

    /// Whether the next series is to go into another record.
    pub(crate) fn is_full(&self) -> bool {
        self.body.len() >= SERIES_BODY_BYTES
    }

    pub(crate) fn finish(&mut self) -> io::Result<&[u8]> {
        self.record.clear();
        self.record.extend_from_slice(&[RECORD_VERSION, TAG_SERIES]);
        put_body(&mut self.compressor, &self.body, &mut self.record)?;
        self.body.shrink_to(SERIES_BODY_BYTES);
        Ok(&self.record)
    }
}

/// Starts a record of exemplars.
pub(crate) fn start_exemplars(record: &mut Vec<u8>) {
    record.clear();
    record.extend_from_slice(&[RECORD_VERSION, TAG_EXEMPLARS]);
}

/// Appends a body as it is if it is short, else as a zstd frame.
fn put_body(compressor: &mut Compressor, body: &[u8], record: &mut Vec<u8>) -> io::Result<()> {
    if body.len() < MIN_COMPRESSED_BYTES {
        record.push(RAW);
        record.extend_from_slice(body);
        return Ok(());
    }
    record.push(COMPRESSED);
    compressor.append(body, record)
}

/// The body that [`put_body`] appended, in `buffer` if it was compressed.
fn body<'a>(
    decompressor: &mut Decompressor,
    mut reader: Reader<'a>,
    buffer: &'a mut Vec<u8>,
) -> Result<Reader<'a>, Malformed> {
    match reader.byte()? {
        RAW => Ok(reader),
        COMPRESSED => {
            decompressor.decompress(reader.rest(), MAX_BODY_BYTES, buffer).map_err(|_| reader.malformed())?;
            Ok(Reader::new(buffer, WHAT))
        }
        _ => Err(reader.malformed()),
    }
}

/// What a replay does with a record's content.
pub(crate) trait Visit {
    fn series(&mut self, series: WalSeries);

    /// What is known of a series by its id, or `None` when no record named it: then its samples are passed over.
    fn tip(&mut self, id: u64) -> Option<&mut Tip>;

    /// A sample of a series that [`tip`](Self::tip) knows. `start` is 0 when unknown; `is_late`: it was not the newest one
    /// of its series when it was written.
    fn sample(&mut self, id: u64, time: i64, bits: u64, start: i64, is_late: bool);

    fn exemplar(&mut self, id: u64, exemplar: Stored);

    /// A native histogram. That no record named its series is for the visitor to find out.
    fn histogram(&mut self, id: u64, point: HistogramPoint);

    /// A sample could not be read, since one that it refers to was damaged.
    fn lost(&mut self);
}

/// Reads one record of any version up to [`RECORD_VERSION`].
///
/// # Errors
/// [`RecordError`], of which [`RecordError::Version`] must stop the start.
pub(crate) fn read(
    record: &[u8],
    samples: &mut SamplesDecoder,
    visit: &mut impl Visit,
) -> Result<(), RecordError> {
    let mut reader = Reader::new(record, WHAT);
    let version = reader.byte()?;
    if !(1..=RECORD_VERSION).contains(&version) {
        return Err(RecordError::Version { found: version });
    }
    match (version, reader.byte()?) {
        (3.., TAG_UNIT) => {
            for record in unit::records(reader)? {
                read(record, samples, visit)?;
            }
        }
        (1, TAG_SERIES) => read_series(reader, visit)?,
        (_, TAG_SERIES) => {
            read_series(body(&mut samples.decompressor, reader, &mut samples.body)?, visit)?;
        }
        (1, TAG_SAMPLES) => {
            let (mut id, mut time) = (0u64, 0i64);
            while !reader.is_empty() {
                id = id.wrapping_add(reader.varint()?.cast_unsigned());
                time = time.wrapping_add(reader.varint()?);
                let bits = reader.u64_le()?;
                if let Some(tip) = visit.tip(id) {
                    // Such a record may repeat what the checkpoint has.
                    let is_late = time <= tip.time;
                    visit.sample(id, time, bits, 0, is_late);
                }
            }
        }
        (_, TAG_SAMPLES) => samples.read(reader, visit)?,
        (2.., TAG_HISTOGRAMS) => {
            let body = body(&mut samples.decompressor, reader, &mut samples.body)?;
            histograms::read_histograms(body, |id, point| visit.histogram(id, point))?;
        }
        (2.., TAG_EXEMPLARS) => {
            exemplars::read_exemplars(&mut reader, |id, exemplar| visit.exemplar(id, exemplar))?;
        }
        _ => return Err(reader.malformed().into()),
    }
    Ok(())
}

fn read_series(mut reader: Reader<'_>, visit: &mut impl Visit) -> Result<(), Malformed> {
    while !reader.is_empty() {
        let id = reader.uvarint()?;
        visit.series(WalSeries { id, labels: Arc::new(reader.labels()?) });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
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
        fn histogram(&mut self, id: u64, point: HistogramPoint) {
            self.histograms.push((id, point));
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
            counts: Counts::Int(Buckets {
                count: 9,
                zero_count: 1,
                positive: vec![5, 0, 3],
                negative: vec![],
            }),
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
        let mut histograms = HistogramsEncoder::new().unwrap();
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
        let mut histograms = HistogramsEncoder::new().unwrap();
        histograms.begin();
        some_histograms().iter().for_each(|(id, point)| histograms.push(*id, point));
        let (mut writer, mut unit) = (Writer::new(), UnitEncoder::default());
        unit.begin();
        unit.push(&writer.record(&some_samples()));
        unit.push(&writer.record(&[(1, 1_700_000_015_000, 3f64.to_bits(), 0)]));
        unit.push(histograms.finish().unwrap());
        for version in 3..=RECORD_VERSION {
            let name = format!("wal-unit-v{version}.hex");
            let unit = frozen(&name, unit.finish(), version == RECORD_VERSION);
            let seen = read_all(std::slice::from_ref(&unit)).unwrap();
            assert_eq!((seen.samples.len(), seen.histograms.len(), seen.lost), (4, 4, 0));
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
}
