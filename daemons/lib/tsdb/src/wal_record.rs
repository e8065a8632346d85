//! What the write-ahead log's records say. `FORMAT.md` has the boxes.
//!
//! # To add a field to a series or a sample
//!
//! 1. Here: raise [`RECORD_VERSION`]; put the field into `WalSeries` with `SeriesEncoder::push` and `read_series`, or as a
//!    column into `samples.rs` (encoder and decoder). In `read`, pin the arm of the old form to the versions that have it
//!    and add one for the new form; what is done with older versions never changes, they get what they mean by not having
//!    the field. A new kind of record is a tag and a new version.
//! 2. Freeze records of the new version, of every kind, as `testdata/wal-*-v<version>.hex`; the test here prints them.
//!    Those of older versions stay for ever; what the test expects of them has the new field's default.
//! 3. A series' is filled in by `db/write.rs`, a sample's by `db/unit.rs`, from [`Sample`](crate::Sample), and given to the
//!    head; `db/replay.rs` does the same after a restart. In the head a series' lies in `series.rs`, by way of `Head::insert`; a sample's lies in
//!    the open chunk: an encoding in `chunk/encoding.rs` with a number of its own, which the blocks must tell apart.
//! 4. `checkpoint.rs`: the log is dropped once the head is flushed, so a field of a series that is not there is lost with
//!    the next restart. Put it into `SavedSeries` and raise [`CHECKPOINT_FORMAT`](crate::checkpoint::CHECKPOINT_FORMAT).
//!    Freeze a checkpoint of that version too (`testdata/checkpoint-v<version>.hex`).
//! 5. If it shall outlive the head: a series' in `block/index.rs`, a sample's in `block/write.rs` and `block/samples.rs`; both on
//!    their way through `db/flush.rs`, `db/compact.rs` and `db/join.rs`.
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
/// Second byte, since version 3. As [`TAG_HISTOGRAMS`], of samples that were not the newest of their series.
pub const TAG_LATE_HISTOGRAMS: u8 = 9;
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

    /// A native histogram; `is_late` as for [`sample`](Self::sample). That no record named its series is for the visitor to
    /// find out.
    fn histogram(&mut self, id: u64, point: HistogramPoint, is_late: bool);

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
        (2.., tag @ TAG_HISTOGRAMS) | (3.., tag @ TAG_LATE_HISTOGRAMS) => {
            let is_late = tag == TAG_LATE_HISTOGRAMS;
            let body = body(&mut samples.decompressor, reader, &mut samples.body)?;
            histograms::read_histograms(body, |id, point| visit.histogram(id, point, is_late))?;
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
mod tests;
