//! Names and headers of segments.

use std::io;
use std::path::Path;

use super::SegmentId;
use crate::fs::Fs;
use crate::header::{Format, HEADER_BYTES, HeaderError};

/// Bytes before a segment's first record: file header, segment number, number of the first record, checksum.
pub const SEGMENT_HEADER_BYTES: usize = HEADER_BYTES + 8 + 8 + 4;

const SUFFIX: &str = ".wal";
/// Decimal digits in a name, so that a listing sorts by age.
const DIGITS: usize = 10;

/// The file name of a segment: `0000000042.wal`.
pub fn segment_name(id: SegmentId) -> String {
    format!("{:0DIGITS$}{SUFFIX}", id.0)
}

fn parse_name(name: &str) -> Option<SegmentId> {
    let digits = name.strip_suffix(SUFFIX)?;
    let all_digits = digits.len() >= DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    if all_digits { digits.parse().ok().map(SegmentId) } else { None }
}

/// Segments in a directory with their lengths, ascending.
pub(super) fn list(fs: &dyn Fs, dir: &Path) -> io::Result<Vec<(SegmentId, u64)>> {
    let mut segments: Vec<(SegmentId, u64)> = fs
        .list(dir)?
        .into_iter()
        .filter(|entry| !entry.is_dir)
        .filter_map(|entry| Some((parse_name(&entry.name)?, entry.len)))
        .collect();
    segments.sort_unstable();
    Ok(segments)
}

/// The header of a new segment.
pub(super) fn header(format: Format, id: SegmentId, first_record: u64) -> [u8; SEGMENT_HEADER_BYTES] {
    let mut header = [0; SEGMENT_HEADER_BYTES];
    header[..HEADER_BYTES].copy_from_slice(&format.header());
    header[16..24].copy_from_slice(&id.0.to_le_bytes());
    header[24..32].copy_from_slice(&first_record.to_le_bytes());
    let sum = crc32c::crc32c(&header[HEADER_BYTES..32]);
    header[32..].copy_from_slice(&sum.to_le_bytes());
    header
}

/// What the first bytes of a segment say.
pub(super) enum Opening {
    /// The number of its first record.
    Valid { first_record: u64 },
    /// Ends in its header: creation was interrupted, or no record followed.
    Unborn,
    /// The header is damaged, or belongs to another segment.
    Damaged,
}

/// Judges a segment by its first bytes.
///
/// Which of the versions that are read a segment has is not handed on: it says whether this build may look at the
/// records at all, and each record says by itself how it is to be read (its first byte is its own version).
///
/// # Errors
/// Only for a version that is not read: that must stop the start, everything else is reported and skipped.
pub(super) fn judge(
    format: Format,
    path: &Path,
    id: SegmentId,
    head: &[u8],
    file_len: u64,
) -> Result<Opening, HeaderError> {
    // No record is written before header and name are durable, so a file that ends in its header has none.
    let no_record = file_len <= SEGMENT_HEADER_BYTES as u64;
    let damaged = if no_record { Opening::Unborn } else { Opening::Damaged };
    match format.check(path, head) {
        Ok(_) => {}
        Err(error @ HeaderError::Version { .. }) => return Err(error),
        Err(_) => return Ok(damaged),
    }
    if no_record {
        return Ok(Opening::Unborn);
    }
    let Some(head) = head.first_chunk::<SEGMENT_HEADER_BYTES>() else { return Ok(damaged) };
    let sum = u32::from_le_bytes([head[32], head[33], head[34], head[35]]);
    let number = |at: usize| {
        u64::from_le_bytes(*head[at..].first_chunk().expect("the header has eight bytes at 16 and at 24"))
    };
    if crc32c::crc32c(&head[HEADER_BYTES..32]) != sum || number(16) != id.0 {
        return Ok(damaged);
    }
    Ok(Opening::Valid { first_record: number(24) })
}
