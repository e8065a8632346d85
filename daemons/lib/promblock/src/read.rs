//! Reading a block.

use std::path::{Path, PathBuf};

use cairn_disk::Fs;

use crate::error::PromBlockError;
use crate::index::IndexReader;
pub use crate::index::{ChunkMeta, SeriesEntry};
use crate::meta::Meta;
use crate::sample::Sample;
use crate::segment::SegmentReader;
use crate::tombstone::Tombstones;
use crate::ulid::Ulid;
use crate::{CHUNKS_DIR, INDEX_FILE, META_FILE, TOMBSTONES_FILE, chunk};

/// An open block. In memory are its symbols and tombstones, a series' entry and a chunk's samples at a time.
#[derive(Debug)]
pub struct BlockReader {
    meta: Meta,
    index: IndexReader,
    segments: SegmentReader,
    tombstones: Tombstones,
}

impl BlockReader {
    /// Opens a block's directory: description, symbols, tombstones. Series and chunks are read as they are asked for.
    ///
    /// # Errors
    /// [`PromBlockError`]: no block, of another version, or damaged in a part that all the rest needs.
    pub fn open(fs: &dyn Fs, dir: &Path) -> Result<Self, PromBlockError> {
        Ok(Self {
            meta: Meta::read(fs, &dir.join(META_FILE))?,
            index: IndexReader::open(fs, &dir.join(INDEX_FILE))?,
            segments: SegmentReader::open(fs, &dir.join(CHUNKS_DIR))?,
            tombstones: Tombstones::read(fs, &dir.join(TOMBSTONES_FILE))?,
        })
    }

    /// What the block says about itself.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// What was deleted from it.
    pub fn tombstones(&self) -> &Tombstones {
        &self.tombstones
    }

    /// How far [`next_series`](Self::next_series) has come, and how far it goes, in bytes of the index.
    pub fn position(&self) -> (u64, u64) {
        self.index.position()
    }

    /// The next series, ascending by labels; `None` after the last. A damaged stretch of the index is one error, after
    /// which it goes on; after an error of the system it is over.
    pub fn next_series(&mut self) -> Option<Result<SeriesEntry, PromBlockError>> {
        self.index.next_series()
    }

    /// Appends the samples of one chunk, ascending by time, without those that were deleted.
    ///
    /// # Errors
    /// [`PromBlockError`]: the chunk is damaged or of an encoding that is not known (then nothing was appended, and the
    /// others are worth trying), or the system failed ([`PromBlockError::is_io`]).
    pub fn samples(
        &mut self,
        series: &SeriesEntry,
        meta: &ChunkMeta,
        out: &mut Vec<Sample>,
    ) -> Result<(), PromBlockError> {
        let before = out.len();
        let outcome = self.decode(series, meta, out);
        if outcome.is_err() {
            out.truncate(before);
        }
        outcome
    }

    fn decode(
        &mut self,
        series: &SeriesEntry,
        meta: &ChunkMeta,
        out: &mut Vec<Sample>,
    ) -> Result<(), PromBlockError> {
        let deleted = self.tombstones.of(series.id);
        let (encoding, data) = self.segments.chunk(meta.reference)?;
        let mut last: Option<i64> = None;
        let mut is_ordered = true;
        let outcome = chunk::decode(encoding, data, &mut |sample: Sample| {
            let time = sample.time_ms;
            is_ordered &=
                last.is_none_or(|last| last < time) && meta.min_time <= time && time <= meta.max_time;
            last = Some(time);
            if is_ordered && !deleted.iter().any(|&(from, to)| from <= time && time <= to) {
                out.push(sample);
            }
        });
        let what = match outcome {
            Err(what) => what.0,
            Ok(()) if !is_ordered => {
                "a chunk whose samples are not in the order and range that the index says"
            }
            Ok(()) => return Ok(()),
        };
        let (path, offset) = self.segments.place(meta.reference);
        Err(PromBlockError::Damaged { path, offset, what })
    }
}

/// What lies in a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Directories of blocks, oldest name first.
    pub blocks: Vec<PathBuf>,
    /// Whether there is a log or a head of a Prometheus beside them: samples that are in no block yet.
    pub has_head: bool,
}

/// Finds blocks: the directory itself, or those in it that are named by a ULID and have a description.
///
/// # Errors
/// What the system says.
pub fn find_blocks(fs: &dyn Fs, dir: &Path) -> Result<Found, PromBlockError> {
    let entries = fs.list(dir).map_err(PromBlockError::io("list", dir))?;
    if entries.iter().any(|entry| entry.name == META_FILE && !entry.is_dir) {
        return Ok(Found { blocks: vec![dir.to_owned()], has_head: false });
    }
    let mut found = Found::default();
    for entry in entries.into_iter().filter(|entry| entry.is_dir) {
        let path = dir.join(&entry.name);
        if entry.name.parse::<Ulid>().is_ok() {
            if fs.exists(&path.join(META_FILE)) {
                found.blocks.push(path);
            }
        } else if ["wal", "wbl", "chunks_head"].contains(&entry.name.as_str()) {
            found.has_head |= !fs.list(&path).map_err(PromBlockError::io("list", &path))?.is_empty();
        }
    }
    found.blocks.sort_unstable();
    Ok(found)
}
