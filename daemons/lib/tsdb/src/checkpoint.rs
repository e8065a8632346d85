//! The series of the head as a file, so that the log before it can go.
//!
//! A checkpoint is named after the first log segment that is to be replayed after it, and is written after a flush: the
//! samples before that segment lie in blocks, and of each series only its labels, its number in the log, and its newest
//! sample are kept (also if that is a histogram), by which the next one is judged. (Version 1 held the head's chunks as well, which a later flush wrote
//! a second time.)
//!
//! # To add a field
//!
//! What the head must still know of a series after a restart has to be here, or it goes with the log (the whole list of
//! places is in [`wal_record`](crate::wal_record)). Raise [`CHECKPOINT_FORMAT`]'s version; put the field into
//! `SavedSeries`; write it in `push_series`; give `read_record` an arm for the new version and leave the others as they are;
//! take it from the head in `db/flush.rs`, give it back in `db/replay.rs`; freeze a file as
//! `testdata/checkpoint-v<version>.hex`.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_disk::checked::temporary_name;
use cairn_disk::compress::{DEFAULT_LEVEL, compress, decompress};
use cairn_disk::frame::{Frame, FrameReader};
use cairn_disk::header::HEADER_BYTES;
use cairn_disk::record_file::{RecordFileError, RecordFileWriter, open_record_file};
use cairn_disk::{Format, Fs, SegmentId};
use cairn_model::{Histogram, Labels, LabelsBuilder};
use cairn_promql::source::HistogramPoint;

use crate::chunk::histogram::{HistogramBuilder, decode};
use crate::chunk::{Chunk, Encoding};
use crate::codec::{Malformed, Reader, put_bytes, put_len, put_uvarint, put_varint};
use crate::series::{HISTOGRAM_BITS, MemSeries, Tip};

/// Kind and version of a checkpoint. The version is that of all its records, which have none of their own: a checkpoint is
/// written by one build at once, and a newer one is refused as a whole.
pub const CHECKPOINT_FORMAT: Format = Format::new(*b"CAIRNMCP", 3);

/// First record: the number that the next series gets.
pub const TAG_START: u8 = 1;
/// Version 1: series with their chunks, until the record ends.
pub const TAG_HEAD_SERIES: u8 = 2;
/// Since version 2: series with their newest samples, as a zstd frame.
pub const TAG_SERIES_TABLE: u8 = 3;

const PREFIX: &str = "checkpoint-";

/// A record has so many series: about 100 KiB before compression.
const SERIES_PER_RECORD: usize = 2048;

/// A record is closed at so many bytes of histograms.
const HISTOGRAM_BYTES_PER_RECORD: usize = 1 << 20;

/// A longer body is not read. The daemons' limits on labels are far below what this lets in for each series.
const MAX_BODY_BYTES: usize = 256 << 20;

/// A series as a checkpoint holds it.
#[derive(Debug, PartialEq)]
pub(crate) struct SavedSeries {
    pub(crate) id: u64,
    pub(crate) labels: Arc<Labels>,
    /// Its newest sample: time and value.
    pub(crate) last: Option<(i64, u64)>,
    /// That sample if it is a histogram; missing where a checkpoint before version 3 left it out.
    pub(crate) histogram: Option<Arc<Histogram>>,
    /// Samples that are in no block; only version 1 has them.
    pub(crate) chunks: Vec<Chunk>,
}

pub(crate) fn file_name(first_segment: SegmentId) -> String {
    format!("{PREFIX}{:010}", first_segment.0)
}

/// Checkpoints in a directory, newest first.
pub(crate) fn list(fs: &dyn Fs, dir: &Path) -> io::Result<Vec<(SegmentId, PathBuf)>> {
    let mut found: Vec<(SegmentId, PathBuf)> = fs
        .list(dir)?
        .into_iter()
        .filter_map(|entry| {
            let id = entry.name.strip_prefix(PREFIX)?.parse().ok()?;
            Some((SegmentId(id), dir.join(entry.name)))
        })
        .collect();
    found.sort_by_key(|(id, _)| std::cmp::Reverse(*id));
    Ok(found)
}

/// Writes the series of the head with their newest samples (for histograms the tips have a stand-in) as they were when the log was cut before `first_segment`.
/// Answers the file's length.
pub(crate) fn write<'a>(
    fs: &dyn Fs,
    dir: &Path,
    first_segment: SegmentId,
    next_id: u64,
    series: impl Iterator<Item = (&'a MemSeries, Tip, Option<&'a Arc<Histogram>>)>,
) -> io::Result<u64> {
    let path = dir.join(file_name(first_segment));
    let temporary = temporary_name(&path);
    if fs.exists(&temporary) {
        fs.remove_file(&temporary)?;
    }
    let write = || -> io::Result<u64> {
        let mut writer = RecordFileWriter::create(fs, &temporary, CHECKPOINT_FORMAT)?;
        let mut record = vec![TAG_START];
        put_uvarint(&mut record, next_id);
        writer.push(&record)?;
        let mut table = Table::default();
        for (series, tip, histogram) in series {
            table.push_series(series, tip, histogram);
            if table.n_series >= SERIES_PER_RECORD || table.histograms.len() >= HISTOGRAM_BYTES_PER_RECORD {
                writer.push(&table.take_record()?)?;
            }
        }
        if table.n_series > 0 {
            writer.push(&table.take_record()?)?;
        }
        let bytes = writer.finish()?;
        fs.rename(&temporary, &path)?;
        fs.sync_dir(dir)?;
        Ok(bytes)
    };
    let written = write();
    if written.is_err() {
        // Best effort: gives space back on a full disk. A leftover is removed when the database is opened.
        let _ = fs.remove_file(&temporary);
    }
    written
}

/// Series of one record: texts once, then what refers to them.
#[derive(Default)]
struct Table<'a> {
    n_series: usize,
    numbers: HashMap<&'a str, usize>,
    texts: Vec<u8>,
    series: Vec<u8>,
    /// Values of the newest samples, apart: they look like nothing else.
    values: Vec<u8>,
    /// Those of them that are histograms.
    histograms: Vec<u8>,
    last_id: u64,
    last_time: i64,
}

impl<'a> Table<'a> {
    fn push_series(&mut self, series: &'a MemSeries, tip: Tip, histogram: Option<&Arc<Histogram>>) {
        put_varint(&mut self.series, series.id.wrapping_sub(self.last_id).cast_signed());
        put_len(&mut self.series, series.labels.len());
        for (name, value) in series.labels.iter() {
            for text in [name, value] {
                let next = self.numbers.len();
                let number = *self.numbers.entry(text).or_insert_with(|| {
                    put_bytes(&mut self.texts, text.as_bytes());
                    next
                });
                put_len(&mut self.series, number);
            }
        }
        if tip.time == Tip::NEVER {
            self.series.push(0);
        } else {
            self.series.push(1);
            put_varint(&mut self.series, tip.time.wrapping_sub(self.last_time));
            self.values.extend_from_slice(&tip.bits.to_le_bytes());
            if tip.is_histogram() {
                let point = |histogram| HistogramPoint { time: tip.time, start: 0, histogram };
                let chunk =
                    histogram.map(|known| HistogramBuilder::new(&point(Arc::clone(known))).snapshot());
                put_bytes(&mut self.histograms, chunk.as_ref().map_or(&[], |chunk| &chunk.data));
            }
            self.last_time = tip.time;
        }
        self.last_id = series.id;
        self.n_series += 1;
    }

    fn take_record(&mut self) -> io::Result<Vec<u8>> {
        let Self { n_series, numbers, texts, series, values, histograms, .. } = std::mem::take(self);
        let mut body = Vec::with_capacity(texts.len() + series.len() + values.len() + histograms.len() + 24);
        put_len(&mut body, numbers.len());
        body.extend_from_slice(&texts);
        put_len(&mut body, n_series);
        put_bytes(&mut body, &series);
        put_bytes(&mut body, &values);
        body.extend_from_slice(&histograms);
        let mut record = vec![TAG_SERIES_TABLE];
        record.extend_from_slice(&compress(&body, DEFAULT_LEVEL)?);
        Ok(record)
    }
}

/// What reading a checkpoint found besides its series.
#[derive(Debug, Default)]
pub(crate) struct ReadReport {
    pub(crate) next_id: u64,
    pub(crate) n_series: usize,
    /// What was damaged, in words, with the place.
    pub(crate) damage: Vec<String>,
}

/// Reads a checkpoint. Damage in one record costs the series in it; it is named in the report.
///
/// # Errors
/// Only when the file is of another kind or a newer version, or the system fails.
pub(crate) fn read(
    fs: &dyn Fs,
    path: &Path,
    mut restore: impl FnMut(SavedSeries) -> Result<(), Malformed>,
) -> Result<ReadReport, RecordFileError> {
    let io = |source| RecordFileError::Io { path: path.to_owned(), source };
    let (file, version) = open_record_file(fs, path, CHECKPOINT_FORMAT)?;
    let mut reader = FrameReader::new(&*file, HEADER_BYTES as u64).map_err(io)?;
    let mut report = ReadReport::default();
    loop {
        let (offset, trouble) = match reader.next_frame().map_err(io)? {
            Frame::Record { offset, record } => {
                let read = read_record(version, record, &mut report, &mut restore);
                (offset, read.err().map(|error| error.to_string()))
            }
            Frame::Damaged { offset, bytes } | Frame::Torn { offset, bytes } => {
                (offset, Some(format!("checksum mismatch in {bytes} bytes")))
            }
            Frame::End => break,
        };
        if let Some(trouble) = trouble {
            report.damage.push(format!("{}: {trouble} at byte {offset}", path.display()));
        }
        if reader.offset() == offset {
            // Torn: the reader does not get past it.
            break;
        }
    }
    Ok(report)
}

fn read_record(
    version: u16,
    record: &[u8],
    report: &mut ReadReport,
    restore: &mut impl FnMut(SavedSeries) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let mut reader = Reader::new(record, "checkpoint record");
    match reader.byte()? {
        TAG_START => report.next_id = reader.uvarint()?,
        TAG_HEAD_SERIES if version == 1 => {
            while !reader.is_empty() {
                restore(read_series_v1(&mut reader)?)?;
                report.n_series += 1;
            }
        }
        TAG_SERIES_TABLE if version >= 2 => {
            let body = decompress(reader.rest(), MAX_BODY_BYTES).map_err(|_| reader.malformed())?;
            read_table(version, &body, &mut |series| {
                report.n_series += 1;
                restore(series)
            })?;
        }
        // The end that every record file has.
        0xff => {}
        _ => return Err(reader.malformed()),
    }
    Ok(())
}

fn read_table(
    version: u16,
    body: &[u8],
    restore: &mut impl FnMut(SavedSeries) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let mut reader = Reader::new(body, "checkpoint record");
    let n_texts = reader.count()?;
    let texts: Vec<&str> = (0..n_texts).map(|_| reader.str()).collect::<Result<_, _>>()?;
    let n_series = reader.count()?;
    let mut series = Reader::new(reader.bytes()?, "checkpoint record");
    // Before version 3 values were the rest.
    let mut values =
        Reader::new(if version >= 3 { reader.bytes()? } else { reader.rest() }, "checkpoint record");
    let mut histograms = Reader::new(if version >= 3 { reader.rest() } else { &[] }, "checkpoint record");
    let (mut id, mut time) = (0u64, 0i64);
    for _ in 0..n_series {
        id = id.wrapping_add(series.varint()?.cast_unsigned());
        let n_labels = series.count()?;
        let mut builder = LabelsBuilder::new();
        for _ in 0..n_labels {
            let mut text = || -> Result<&str, Malformed> {
                let number = usize::try_from(series.uvarint()?).map_err(|_| series.malformed())?;
                texts.get(number).copied().ok_or(series.malformed())
            };
            let name = text()?;
            builder.set(name, text()?);
        }
        let last = match series.byte()? {
            0 => None,
            1 => {
                time = time.wrapping_add(series.varint()?);
                Some((time, values.u64_le()?))
            }
            _ => return Err(series.malformed()),
        };
        let mut histogram = None;
        if version >= 3 && last.is_some_and(|(_, bits)| bits == HISTOGRAM_BITS) {
            let chunk = histograms.bytes()?;
            if !chunk.is_empty() {
                decode(chunk, |point| histogram = Some(point.histogram))?;
            }
        }
        restore(SavedSeries { id, labels: Arc::new(builder.build()), last, histogram, chunks: Vec::new() })?;
    }
    if series.is_empty() && values.is_empty() && histograms.is_empty() {
        Ok(())
    } else {
        Err(reader.malformed())
    }
}

fn read_series_v1(reader: &mut Reader<'_>) -> Result<SavedSeries, Malformed> {
    let id = reader.uvarint()?;
    let labels = Arc::new(reader.labels()?);
    let n_chunks = reader.uvarint()?;
    let mut chunks = Vec::new();
    for _ in 0..n_chunks {
        let (min_time, max_time) = (reader.varint()?, reader.varint()?);
        let n_samples = u16::try_from(reader.uvarint()?).map_err(|_| reader.malformed())?;
        let (encoding, data) = (Encoding::Xor, reader.bytes()?.into());
        chunks.push(Chunk { min_time, max_time, n_samples, encoding, data });
    }
    Ok(SavedSeries { id, labels, last: None, histogram: None, chunks })
}

#[cfg(test)]
mod tests;
