//! Reading the log back: every whole record once, in order; what is torn is cut, what is damaged is named.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};

use super::segment::{self, Opening, SEGMENT_HEADER_BYTES};
use super::{SegmentId, WalError};
use crate::frame::{Frame, FrameReader};
use crate::fs::{Fs, create_dir_durably};
use crate::header::Format;

/// Why an engine refused a record; it stops the replay.
pub type ReplayError = Box<dyn Error + Send + Sync>;

/// Takes each whole record with the segment it lies in.
pub type Replay<'a> = &'a mut dyn FnMut(SegmentId, &[u8]) -> Result<(), ReplayError>;

/// What a replay found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplayReport {
    /// Segments that were read.
    pub segments: usize,
    /// Whole records that were handed over.
    pub records: u64,
    /// Bytes cut off the end of the last segment: a write that was under way when the process or the power died.
    pub torn_bytes: u64,
    /// Where that cut was made.
    pub cut_at: Option<(SegmentId, u64)>,
    /// Damage that a torn write does not explain, each costing the bytes it names. The segments are left as they are.
    pub damaged: Vec<Damage>,
    /// Records that should lie between two segments and do not: a segment is missing, or its end was lost.
    pub missing_records: u64,
}

impl ReplayReport {
    /// Whether something was lost that may have been acknowledged.
    pub fn is_damaged(&self) -> bool {
        !self.damaged.is_empty() || self.missing_records > 0
    }
}

/// A damaged part of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The segment.
    pub segment: SegmentId,
    /// Where the damage starts.
    pub offset: u64,
    /// How many bytes were skipped.
    pub bytes: u64,
}

/// A replay's findings and where the log goes on.
pub(super) struct Replayed {
    pub(super) report: ReplayReport,
    /// Segments that stay, with their lengths.
    pub(super) kept: BTreeMap<SegmentId, u64>,
    pub(super) next_id: SegmentId,
    pub(super) next_record: u64,
}

pub(super) fn replay_all(
    fs: &dyn Fs,
    dir: &Path,
    format: Format,
    replay: Replay<'_>,
) -> Result<Replayed, WalError> {
    let io = |action| move |source| WalError::io(action, dir, source);
    // Also where it exists: whoever made it may have been stopped before its name was durable.
    create_dir_durably(fs, dir).map_err(io("create"))?;
    let segments = look_at_headers(fs, dir, format)?;
    let mut replayed = Replayed {
        report: ReplayReport::default(),
        kept: BTreeMap::new(),
        next_id: SegmentId(segments.last().map_or(1, |found| found.id.0 + 1)),
        next_record: 0,
    };
    for (index, found) in segments.iter().enumerate() {
        let kept_len = match found.opening {
            Opening::Unborn => None,
            Opening::Damaged => {
                let damage = Damage { segment: found.id, offset: 0, bytes: found.len };
                replayed.report.damaged.push(damage);
                Some(found.len)
            }
            Opening::Valid { first_record } => {
                let next_first = segments[index + 1..].iter().find_map(|later| match later.opening {
                    Opening::Valid { first_record } => Some(first_record),
                    Opening::Unborn | Opening::Damaged => None,
                });
                replayed.read_segment(fs, found, first_record, next_first, replay)?
            }
        };
        match kept_len {
            Some(len) => {
                replayed.kept.insert(found.id, len);
            }
            None => {
                fs.remove_file(&found.path).map_err(|source| WalError::io("remove", &found.path, source))?;
            }
        }
    }
    // Also of segments that an earlier process removed and may not have made durable: what is not found now must not be
    // found later.
    fs.sync_dir(dir).map_err(io("sync"))?;
    Ok(replayed)
}

/// A segment as its name and its header describe it.
struct Found {
    id: SegmentId,
    path: PathBuf,
    len: u64,
    opening: Opening,
}

fn look_at_headers(fs: &dyn Fs, dir: &Path, format: Format) -> Result<Vec<Found>, WalError> {
    let listed = segment::list(fs, dir).map_err(|source| WalError::io("list", dir, source))?;
    listed
        .into_iter()
        .map(|(id, len)| {
            let path = dir.join(segment::segment_name(id));
            let io = |action| move |source| (action, source);
            let read_head = || {
                let file = fs.open_read(&path).map_err(io("open"))?;
                let mut head = [0; SEGMENT_HEADER_BYTES];
                let head_len = usize::try_from(len).unwrap_or(usize::MAX).min(SEGMENT_HEADER_BYTES);
                file.read_exact_at(&mut head[..head_len], 0).map_err(io("read"))?;
                Ok((head, head_len))
            };
            let (head, head_len) =
                read_head().map_err(|(action, source)| WalError::io(action, &path, source))?;
            let opening = segment::judge(format, &path, id, &head[..head_len], len)?;
            Ok(Found { id, path, len, opening })
        })
        .collect()
}

impl Replayed {
    /// Replays one segment. Answers its length, or `None` when there is no record in it and it may go: the header
    /// of the next one repeats the number that the next record has.
    ///
    /// `next_first` is the number of the first record of the following segment. What stands here from that number on
    /// was written again there, after a sync of this one failed, and is not looked at: so nothing is replayed
    /// twice. If this segment ends before that number, records are missing.
    fn read_segment(
        &mut self,
        fs: &dyn Fs,
        found: &Found,
        first_record: u64,
        next_first: Option<u64>,
        replay: Replay<'_>,
    ) -> Result<Option<u64>, WalError> {
        let Found { id, path, len, .. } = found;
        let io = |action| move |source| WalError::io(action, path, source);
        let file = fs.open_read(path).map_err(io("open"))?;
        let mut reader = FrameReader::new(&*file, SEGMENT_HEADER_BYTES as u64).map_err(io("read"))?;
        let mut number = first_record;
        let mut torn = None;
        while next_first.is_none_or(|next_first| number < next_first) {
            match reader.next_frame().map_err(io("read"))? {
                Frame::Record { offset, record } => {
                    let refused = |source| WalError::Replay { path: path.clone(), offset, source };
                    replay(*id, record).map_err(refused)?;
                    self.report.records += 1;
                    number += 1;
                }
                Frame::Damaged { offset, bytes } => {
                    self.report.damaged.push(Damage { segment: *id, offset, bytes });
                    number += 1;
                }
                Frame::Torn { offset, bytes } => {
                    torn = Some((offset, bytes));
                    break;
                }
                Frame::End => break,
            }
        }
        self.report.segments += 1;
        self.next_record = self.next_record.max(number);
        self.report.missing_records += next_first.unwrap_or(number).saturating_sub(number);
        let has_records = number > first_record;
        match torn {
            None => {
                if next_first.is_none() && has_records {
                    // Whoever wrote it may have been killed before its sync. From now on its records are known, so a
                    // client that sends them again is told that they are there.
                    file.sync_data().map_err(io("sync"))?;
                }
                Ok(has_records.then_some(*len))
            }
            // A segment is synced before another one goes on, so this is no torn write. It stays for a person to
            // look at; later records lie in other segments.
            Some((offset, bytes)) if next_first.is_some() => {
                self.report.damaged.push(Damage { segment: *id, offset, bytes });
                Ok(Some(*len))
            }
            Some((offset, bytes)) => {
                let writable = fs.open_write(path).map_err(io("open"))?;
                writable.truncate(offset).map_err(io("cut"))?;
                writable.sync_data().map_err(io("sync"))?;
                self.report.torn_bytes += bytes;
                self.report.cut_at = Some((*id, offset));
                tracing::warn!(path = %path.display(), offset, bytes, "cut the torn tail of the write-ahead log");
                Ok(has_records.then_some(offset))
            }
        }
    }
}
