//! The head as a file: series with their chunks, so that the log before it can go.
//!
//! A checkpoint is named after the first log segment that is to be replayed after it. It is written from memory, not
//! from the log: compressed chunks are a tenth of what the log's records take, and restoring them needs no appending.
//!
//! # To add a field
//!
//! What the head must still know after a restart has to be here, or it goes with the log (the whole list of places is in
//! [`wal_record`](crate::wal_record)). Raise [`CHECKPOINT_FORMAT`]'s version; put the field into `SavedSeries` or `Chunk`;
//! write it in `push_series`; give `read_series` an arm for the new version and leave the others as they are; take it from
//! the head in `MemSeries::save`, give it back in `db/open.rs`; freeze a file as `testdata/checkpoint-v<version>.hex`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_disk::checked::temporary_name;
use cairn_disk::frame::{Frame, FrameReader};
use cairn_disk::header::HEADER_BYTES;
use cairn_disk::record_file::{RecordFileError, RecordFileWriter, open_record_file};
use cairn_disk::{Format, Fs, SegmentId};
use cairn_model::Labels;

use crate::chunk::{Chunk, Encoding};
use crate::codec::{Malformed, Reader, put_bytes, put_labels, put_len, put_uvarint, put_varint};
use crate::head::Head;

/// Kind and version of a checkpoint. The version is that of all its records, which have none of their own: a checkpoint is
/// written by one build at once, and a newer one is refused as a whole.
pub const CHECKPOINT_FORMAT: Format = Format::new(*b"CAIRNMCP", 1);

/// First record: the number that the next series gets.
pub const TAG_START: u8 = 1;
/// Every other record: series with their chunks, until the record ends.
pub const TAG_HEAD_SERIES: u8 = 2;

const PREFIX: &str = "checkpoint-";

/// A record is closed once it is this long.
const RECORD_BYTES: usize = 256 << 10;

/// A series as a checkpoint holds it.
#[derive(Debug, PartialEq)]
pub(crate) struct SavedSeries {
    pub(crate) id: u64,
    pub(crate) labels: Arc<Labels>,
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

/// Writes everything in the head from `from_ms` on. Appends go on meanwhile: what they add is in the log from
/// `first_segment` on, and replay leaves out what a chunk has already. Answers the file's length.
pub(crate) fn write(
    fs: &dyn Fs,
    dir: &Path,
    first_segment: SegmentId,
    head: &Head,
    from_ms: i64,
) -> io::Result<u64> {
    let path = dir.join(file_name(first_segment));
    let temporary = temporary_name(&path);
    if fs.exists(&temporary) {
        fs.remove_file(&temporary)?;
    }
    let write = || -> io::Result<u64> {
        let mut writer = RecordFileWriter::create(fs, &temporary, CHECKPOINT_FORMAT)?;
        let mut record = vec![TAG_START];
        put_uvarint(&mut record, head.next_id());
        writer.push(&record)?;
        record.clear();
        for series in head.all_series() {
            if record.is_empty() {
                record.push(TAG_HEAD_SERIES);
            }
            push_series(&mut record, &series.save(from_ms));
            if record.len() >= RECORD_BYTES {
                writer.push(&record)?;
                record.clear();
            }
        }
        if !record.is_empty() {
            writer.push(&record)?;
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

fn push_series(record: &mut Vec<u8>, series: &SavedSeries) {
    let SavedSeries { id, labels, chunks } = series;
    put_uvarint(record, *id);
    put_labels(record, labels);
    put_len(record, chunks.len());
    // Floats without start timestamps are all that the head has.
    for Chunk { min_time, max_time, n_samples, encoding: _, data } in chunks {
        put_varint(record, *min_time);
        put_varint(record, *max_time);
        put_uvarint(record, u64::from(*n_samples));
        put_bytes(record, data);
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
        TAG_HEAD_SERIES => {
            while !reader.is_empty() {
                restore(read_series(version, &mut reader)?)?;
                report.n_series += 1;
            }
        }
        // The end that every record file has.
        0xff => {}
        _ => return Err(reader.malformed()),
    }
    Ok(())
}

fn read_series(version: u16, reader: &mut Reader<'_>) -> Result<SavedSeries, Malformed> {
    match version {
        1 => read_series_v1(reader),
        // The file's header lets no other version get here.
        _ => Err(reader.malformed()),
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
    Ok(SavedSeries { id, labels, chunks })
}

#[cfg(test)]
mod tests {
    use cairn_disk::TwinFs;

    use super::*;
    use crate::codec::frozen;

    const DIR: &str = "/";

    /// The head that every frozen checkpoint holds.
    fn some_head() -> Head {
        let head = Head::new();
        let time = 1_700_000_000_000;
        let first = Arc::new(Labels::from_pairs([("__name__", "up"), ("job", "a")]));
        let series = head.insert(1, first.stable_hash(), first);
        series.lock().commit(time, 1f64.to_bits(), i64::MAX);
        series.lock().commit(time + 15_000, 1f64.to_bits(), i64::MAX);
        let second = Arc::new(Labels::empty());
        head.insert(2, second.stable_hash(), second).lock().commit(-7, (-2.5f64).to_bits(), i64::MAX);
        head
    }

    #[test]
    fn checkpoints_of_every_version_are_read_for_ever() {
        let head = some_head();
        let saved: Vec<SavedSeries> = head.all_series().iter().map(|series| series.save(i64::MIN)).collect();
        let fs = TwinFs::new();
        write(&fs, Path::new(DIR), SegmentId(1), &head, i64::MIN).unwrap();
        let file = fs.open_read(&Path::new(DIR).join(file_name(SegmentId(1)))).unwrap();
        let mut written = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
        file.read_exact_at(&mut written, 0).unwrap();
        for version in 1..=CHECKPOINT_FORMAT.version {
            let is_current = version == CHECKPOINT_FORMAT.version;
            let bytes = frozen(&format!("checkpoint-v{version}.hex"), &written, is_current);
            let path = Path::new(DIR).join("frozen");
            fs.create_new(&path).unwrap().append(&bytes).unwrap();
            let mut found = Vec::new();
            let report = read(&fs, &path, |series| {
                found.push(series);
                Ok(())
            });
            let report = report.unwrap();
            assert_eq!((report.next_id, report.n_series, report.damage), (3, 2, Vec::new()));
            assert_eq!(found, saved);
            fs.remove_file(&path).unwrap();
        }
    }
}
