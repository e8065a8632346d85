//! The head as a file: series with their chunks, so that the log before it can go.
//!
//! A checkpoint is named after the first log segment that is to be replayed after it. It is written from memory, not
//! from the log: compressed chunks are a tenth of what the log's records take, and restoring them needs no appending.

use std::io;
use std::path::{Path, PathBuf};

use cairn_disk::checked::temporary_name;
use cairn_disk::frame::{Frame, FrameReader};
use cairn_disk::header::HEADER_BYTES;
use cairn_disk::record_file::{RecordFileError, RecordFileWriter, open_record_file};
use cairn_disk::{Format, Fs, SegmentId};
use cairn_model::Labels;

use crate::chunk::Chunk;
use crate::codec::{Malformed, Reader, put_bytes, put_labels, put_len, put_uvarint, put_varint};
use crate::head::Head;

/// Kind and version of a checkpoint.
pub const CHECKPOINT_FORMAT: Format = Format::new(*b"CAIRNMCP", 1);

/// First record: the number that the next series gets.
pub const TAG_START: u8 = 1;
/// Every other record: series with their chunks, until the record ends.
pub const TAG_HEAD_SERIES: u8 = 2;

const PREFIX: &str = "checkpoint-";

/// A record is closed once it is this long.
const RECORD_BYTES: usize = 256 << 10;

/// A series as a checkpoint holds it.
#[derive(Debug)]
pub(crate) struct SavedSeries {
    pub(crate) id: u64,
    pub(crate) labels: Labels,
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
            let chunks = series.lock().chunks_in(from_ms, i64::MAX);
            if record.is_empty() {
                record.push(TAG_HEAD_SERIES);
            }
            put_uvarint(&mut record, series.id);
            put_labels(&mut record, &series.labels);
            put_len(&mut record, chunks.len());
            for chunk in &chunks {
                put_varint(&mut record, chunk.min_time);
                put_varint(&mut record, chunk.max_time);
                put_uvarint(&mut record, u64::from(chunk.n_samples));
                put_bytes(&mut record, &chunk.data);
            }
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
    let file = open_record_file(fs, path, CHECKPOINT_FORMAT)?;
    let mut reader = FrameReader::new(&*file, HEADER_BYTES as u64).map_err(io)?;
    let mut report = ReadReport::default();
    loop {
        let (offset, trouble) = match reader.next_frame().map_err(io)? {
            Frame::Record { offset, record } => {
                (offset, read_record(record, &mut report, &mut restore).err().map(|error| error.to_string()))
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
    record: &[u8],
    report: &mut ReadReport,
    restore: &mut impl FnMut(SavedSeries) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let mut reader = Reader::new(record, "checkpoint record");
    match reader.byte()? {
        TAG_START => report.next_id = reader.uvarint()?,
        TAG_HEAD_SERIES => {
            while !reader.is_empty() {
                let id = reader.uvarint()?;
                let labels = reader.labels()?;
                let n_chunks = reader.uvarint()?;
                let mut chunks = Vec::new();
                for _ in 0..n_chunks {
                    let (min_time, max_time) = (reader.varint()?, reader.varint()?);
                    let n_samples = u16::try_from(reader.uvarint()?).map_err(|_| reader.malformed())?;
                    chunks.push(Chunk { min_time, max_time, n_samples, data: reader.bytes()?.into() });
                }
                restore(SavedSeries { id, labels, chunks })?;
                report.n_series += 1;
            }
        }
        // The end that every record file has.
        0xff => {}
        _ => return Err(reader.malformed()),
    }
    Ok(())
}
