//! What the write-ahead log's records say. `FORMAT.md` has the boxes.
//!
//! # To add a field to a series or a sample
//!
//! Encoders take structs apart without `..`, so a field of `WalSeries`, `WalSample` or of a struct on its way does not
//! compile until steps 1, 3 and 4 are done. Nothing reminds of the others.
//!
//! 1. Here: raise [`RECORD_VERSION`]; put the field into `WalSeries` or `WalSample`, write it in `push_series` or
//!    `SamplesRecord::push`, and read it in `read` when `version` has it. Otherwise it gets what an older record means by
//!    not having it. What `read` does with older versions never changes. A new kind of record is a tag and a new version.
//! 2. Freeze records of the new version, of both kinds, as `testdata/wal-*-v<version>.hex`; the test here prints them.
//!    Those of older versions stay for ever; what the test expects of them has the new field's default.
//! 3. `db/write.rs` fills it in (a sample's comes from [`Sample`](crate::Sample)) and gives it to the head; `db/open.rs`
//!    does the same after a restart. In the head a series' lies in `series.rs`, by way of `Head::insert`; a sample's lies in
//!    the open chunk: an encoding in `chunk.rs` with a number of its own, which `block/write.rs`, `block/read.rs` and
//!    `checkpoint.rs` must tell apart (they know only one so far, and take others for damage, so raise
//!    [`CHUNKS_FORMAT`](crate::block::CHUNKS_FORMAT) with it).
//! 4. `checkpoint.rs`: the log is dropped once the head is in a checkpoint, so a field that is not there is lost with
//!    the next restart. Put it into `SavedSeries` and raise [`CHECKPOINT_FORMAT`](crate::checkpoint::CHECKPOINT_FORMAT).
//!    Freeze a checkpoint of that version too (`testdata/checkpoint-v<version>.hex`).
//! 5. If it shall outlive the head: a series' in `block/index.rs`; both on their way through `db/cut.rs` and
//!    `db/compact.rs`. The number of a chunk's encoding is the first byte of each record of a block's `chunks`.
//! 6. `FORMAT.md` (`tests/tsdb/format_page.rs` compares), and the repository's CHANGELOG.md.

use std::sync::Arc;

use cairn_disk::Format;
use cairn_model::Labels;

use crate::codec::{Malformed, Reader, put_labels, put_uvarint, put_varint};

/// Kind and version of the log's segments. Not raised for a new field or tag, which is what [`RECORD_VERSION`] is for:
/// raise this one only when a build could no longer tell records apart by their first byte. An older build then refuses
/// the segment without looking at them. Version 1, before the first release, had no record version and is not read.
pub const WAL_FORMAT: Format = Format::new(*b"CAIRNMWL", 2).reading_from(2);

/// The first byte of every record: the version that is written, and the highest that is read. Raise it for every change
/// of what a record says, a new tag included: an older build must refuse it, not skip it.
pub const RECORD_VERSION: u8 = 1;

/// Second byte. New series: id and labels, until the record ends.
pub const TAG_SERIES: u8 = 1;
/// Second byte. Float samples: id, time, value, until the record ends.
pub const TAG_SAMPLES: u8 = 2;
// 3 tombstones, 4 exemplars, 5 metadata, 6 and 7 integer and float histograms: reserved for what they name.

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

/// A sample, as the log has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WalSample {
    /// The series' id.
    pub(crate) series: u64,
    pub(crate) time: i64,
    pub(crate) bits: u64,
}

fn start(record: &mut Vec<u8>, tag: u8) {
    record.clear();
    record.extend_from_slice(&[RECORD_VERSION, tag]);
}

/// Starts a record of series.
pub(crate) fn start_series(record: &mut Vec<u8>) {
    start(record, TAG_SERIES);
}

pub(crate) fn push_series(record: &mut Vec<u8>, series: &WalSeries) {
    let WalSeries { id, labels } = series;
    put_uvarint(record, *id);
    put_labels(record, labels);
}

/// Writes samples; ids and times as differences to the sample before, since a scrape has one time and neighbouring ids.
#[derive(Debug, Default)]
pub(crate) struct SamplesRecord {
    bytes: Vec<u8>,
    last_id: u64,
    last_time: i64,
}

impl SamplesRecord {
    pub(crate) fn clear(&mut self) {
        start(&mut self.bytes, TAG_SAMPLES);
        (self.last_id, self.last_time) = (0, 0);
    }

    pub(crate) fn push(&mut self, sample: WalSample) {
        let WalSample { series, time, bits } = sample;
        put_varint(&mut self.bytes, series.wrapping_sub(self.last_id).cast_signed());
        put_varint(&mut self.bytes, time.wrapping_sub(self.last_time));
        self.bytes.extend_from_slice(&bits.to_le_bytes());
        (self.last_id, self.last_time) = (series, time);
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// What a replay does with a record's content.
pub(crate) trait Visit {
    fn series(&mut self, series: WalSeries);
    fn sample(&mut self, sample: WalSample);
}

/// Reads one record of any version up to [`RECORD_VERSION`].
///
/// # Errors
/// [`RecordError`], of which [`RecordError::Version`] must stop the start.
pub(crate) fn read(record: &[u8], visit: &mut impl Visit) -> Result<(), RecordError> {
    let mut reader = Reader::new(record, "write-ahead log record");
    let version = reader.byte()?;
    if !(1..=RECORD_VERSION).contains(&version) {
        return Err(RecordError::Version { found: version });
    }
    match reader.byte()? {
        TAG_SERIES => {
            while !reader.is_empty() {
                let id = reader.uvarint()?;
                visit.series(WalSeries { id, labels: Arc::new(reader.labels()?) });
            }
        }
        TAG_SAMPLES => {
            let (mut series, mut time) = (0u64, 0i64);
            while !reader.is_empty() {
                series = series.wrapping_add(reader.varint()?.cast_unsigned());
                time = time.wrapping_add(reader.varint()?);
                visit.sample(WalSample { series, time, bits: reader.u64_le()? });
            }
        }
        _ => return Err(reader.malformed().into()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use cairn_promql::source::STALE_NAN_BITS;

    use super::*;
    use crate::codec::frozen;

    #[derive(Default)]
    struct Seen(Vec<WalSeries>, Vec<WalSample>);

    impl Visit for Seen {
        fn series(&mut self, series: WalSeries) {
            self.0.push(series);
        }
        fn sample(&mut self, sample: WalSample) {
            self.1.push(sample);
        }
    }

    /// The series that every frozen record of them holds.
    fn some_series() -> [WalSeries; 2] {
        let labels = Arc::new(Labels::from_pairs([("__name__", "up"), ("job", "a")]));
        [WalSeries { id: 300, labels }, WalSeries { id: 301, labels: Arc::new(Labels::empty()) }]
    }

    /// The samples that every frozen record of them holds.
    fn some_samples() -> [WalSample; 3] {
        let time = 1_700_000_000_000;
        [
            WalSample { series: 300, time, bits: 1f64.to_bits() },
            WalSample { series: 1, time, bits: (-2.5f64).to_bits() },
            WalSample { series: 300, time: time + 15_000, bits: STALE_NAN_BITS },
        ]
    }

    fn write_series() -> Vec<u8> {
        let mut record = vec![99];
        start_series(&mut record);
        some_series().iter().for_each(|series| push_series(&mut record, series));
        record
    }

    fn write_samples() -> Vec<u8> {
        let mut record = SamplesRecord::default();
        record.clear();
        some_samples().into_iter().for_each(|sample| record.push(sample));
        record.bytes().to_vec()
    }

    #[test]
    fn records_of_every_version_are_read_for_ever() {
        for version in 1..=RECORD_VERSION {
            let is_current = version == RECORD_VERSION;
            let series = frozen(&format!("wal-series-v{version}.hex"), &write_series(), is_current);
            let samples = frozen(&format!("wal-samples-v{version}.hex"), &write_samples(), is_current);
            assert_eq!((series[0], samples[0]), (version, version));
            let mut seen = Seen::default();
            read(&series, &mut seen).unwrap();
            read(&samples, &mut seen).unwrap();
            assert_eq!(seen.0, some_series());
            assert_eq!(seen.1, some_samples());
        }
    }

    #[test]
    fn a_newer_record_is_told_apart_from_damage() {
        for found in [RECORD_VERSION + 1, u8::MAX, 0] {
            let mut seen = Seen::default();
            assert_eq!(read(&[found, TAG_SAMPLES, 1], &mut seen), Err(RecordError::Version { found }));
            assert!(seen.0.is_empty() && seen.1.is_empty());
        }
        let malformed = Err(RecordError::Malformed(Malformed("write-ahead log record")));
        assert_eq!(read(&[RECORD_VERSION, 99], &mut Seen::default()), malformed);
        assert_eq!(read(&[], &mut Seen::default()), malformed);
    }

    #[test]
    fn every_cut_is_read_without_panic() {
        for bytes in [write_series(), write_samples()] {
            for len in 0..bytes.len() {
                let _ = read(&bytes[..len], &mut Seen::default());
            }
        }
    }

    #[test]
    fn a_scraped_sample_takes_ten_bytes() {
        let mut record = SamplesRecord::default();
        record.clear();
        let sample = WalSample { series: 1000, time: 1_700_000_000_000, bits: 0 };
        record.push(sample);
        let first = record.bytes().len();
        record.push(WalSample { series: 1001, ..sample });
        assert_eq!(record.bytes().len() - first, 10);
    }
}
