//! Writing a block.

use std::path::{Path, PathBuf};

use cairn_disk::Fs;
use cairn_model::Labels;
use xxhash_rust::xxh3::Xxh3;

use crate::chunk::{Chunk, ChunkBuilder, ENCODING_FLOAT};
use crate::error::PromBlockError;
use crate::index::IndexWriter;
use crate::meta::{Compaction, META_VERSION, Meta, Stats};
use crate::sample::Sample;
use crate::segment::SegmentWriter;
use crate::ulid::Ulid;
use crate::{CHUNKS_DIR, INDEX_FILE, META_FILE, TOMBSTONES_FILE, tombstone};

/// Ending of the name of a directory that is being written; Prometheus removes such at its start.
pub const TEMPORARY_SUFFIX: &str = ".tmp-for-creation";

/// A finished block.
#[derive(Clone, Debug)]
pub struct Written {
    /// Its directory.
    pub path: PathBuf,
    /// What it says about itself.
    pub meta: Meta,
    /// Bytes of its index and chunks.
    pub bytes: u64,
    /// Whether a block of the same content lay there already, so that this one was dropped.
    pub was_there: bool,
}

/// Writes one block, series by series, under a temporary name. [`finish`](Self::finish) makes it durable and gives it
/// its own; dropped before, it leaves a directory that [`remove_leftovers`] removes.
pub struct BlockWriter<'a> {
    fs: &'a dyn Fs,
    dir: PathBuf,
    temporary: PathBuf,
    range: (i64, i64),
    index: IndexWriter,
    segments: SegmentWriter,
    stats: Stats,
    last_labels: Option<Labels>,
    last_time: Option<i64>,
    chunks: Vec<(Chunk, u64)>,
    /// Of all labels and chunks: part of the name.
    content: Xxh3,
}

impl std::fmt::Debug for BlockWriter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockWriter")
            .field("path", &self.temporary)
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}

impl<'a> BlockWriter<'a> {
    /// Starts a block in the directory `dir` that holds samples of `min_time..max_time` (milliseconds). One block of a
    /// range at a time.
    ///
    /// # Errors
    /// What the system says.
    pub fn create(fs: &'a dyn Fs, dir: &Path, min_time: i64, max_time: i64) -> Result<Self, PromBlockError> {
        let temporary = dir.join(format!("{}{TEMPORARY_SUFFIX}", Ulid::derive(min_time, 0)));
        if fs.exists(&temporary) {
            fs.remove_dir_all(&temporary).map_err(PromBlockError::io("remove", &temporary))?;
        }
        fs.create_dir_all(&temporary).map_err(PromBlockError::io("create", &temporary))?;
        Ok(Self {
            fs,
            dir: dir.to_owned(),
            range: (min_time, max_time),
            index: IndexWriter::create(fs, &temporary.join(INDEX_FILE))?,
            segments: SegmentWriter::create(fs, &temporary.join(CHUNKS_DIR))?,
            temporary,
            stats: Stats::default(),
            last_labels: None,
            last_time: None,
            chunks: Vec::new(),
            content: Xxh3::new(),
        })
    }

    /// Adds a series: its labels are greater than those of the one before it, its samples ascend in time. One without
    /// samples is left out.
    ///
    /// # Errors
    /// [`PromBlockError::Damaged`], naming the rule that labels or samples broke; else what the system says. The block
    /// cannot be finished then.
    pub fn add(
        &mut self,
        labels: &Labels,
        samples: impl IntoIterator<Item = Sample>,
    ) -> Result<(), PromBlockError> {
        let broken = |what| PromBlockError::damaged(&self.temporary, self.stats.num_series, what);
        if self.last_labels.as_ref().is_some_and(|last| last >= labels) {
            return Err(broken("series out of order"));
        }
        self.chunks.clear();
        let mut builder = ChunkBuilder::default();
        for sample in samples {
            if sample.time_ms < self.range.0 || sample.time_ms >= self.range.1 {
                return Err(broken("a sample outside of the block's range"));
            }
            let closed = builder
                .push(&sample)
                .map_err(|what| PromBlockError::damaged(&self.temporary, self.stats.num_series, what.0))?;
            if let Some(chunk) = closed {
                let reference = self.segments.push(self.fs, &chunk, &mut self.content)?;
                self.chunks.push((Chunk { data: Vec::new(), ..chunk }, reference));
            }
        }
        let Some(chunk) = builder.finish() else { return Ok(()) };
        let reference = self.segments.push(self.fs, &chunk, &mut self.content)?;
        self.chunks.push((Chunk { data: Vec::new(), ..chunk }, reference));
        for (name, value) in labels.iter() {
            for text in [name, value] {
                self.content.update(text.as_bytes());
                self.content.update(&[0xff]);
            }
        }
        self.index.push(labels, &self.chunks)?;
        for (chunk, _) in &self.chunks {
            let n_samples = u64::from(chunk.n_samples);
            self.stats.num_samples += n_samples;
            if chunk.encoding == ENCODING_FLOAT {
                self.stats.num_float_samples += n_samples;
            } else {
                self.stats.num_histogram_samples += n_samples;
            }
            self.last_time = self.last_time.max(Some(chunk.max_time));
        }
        self.stats.num_chunks += self.chunks.len() as u64;
        self.stats.num_series += 1;
        self.last_labels = Some(labels.clone());
        Ok(())
    }

    /// Time of the newest sample so far.
    pub fn last_time(&self) -> Option<i64> {
        self.last_time
    }

    /// Writes index and description, syncs everything, and renames the directory. `max_time` may be lowered to just
    /// behind the last sample: a Prometheus that takes the block refuses samples before it. Of a block without series
    /// nothing is left.
    ///
    /// The name follows from range and content, so that writing the same again is noticed, and keeps what is there.
    ///
    /// # Errors
    /// What the system says.
    pub fn finish(self, max_time: i64) -> Result<Option<Written>, PromBlockError> {
        let Self { fs, dir, temporary, range: (min_time, end), index, segments, stats, last_time, .. } = self;
        let Some(last_time) = last_time else {
            fs.remove_dir_all(&temporary).map_err(PromBlockError::io("remove", &temporary))?;
            return Ok(None);
        };
        let max_time = max_time.clamp(last_time + 1, end);
        let mut content = self.content;
        for number in [min_time, max_time] {
            content.update(&number.to_be_bytes());
        }
        let id = Ulid::derive(max_time, content.digest128());
        let path = dir.join(id.to_string());
        let meta = Meta {
            ulid: id.to_string(),
            min_time,
            max_time,
            stats,
            compaction: Compaction { level: 1, sources: vec![id.to_string()], hints: Vec::new() },
            version: META_VERSION,
        };
        let bytes = segments.finish(fs)? + index.finish(fs)?;
        let text = serde_json::to_vec_pretty(&meta)
            .map_err(|source| PromBlockError::Meta { path: temporary.join(META_FILE), source })?;
        for (name, content) in [(TOMBSTONES_FILE, tombstone::empty_file()), (META_FILE, text)] {
            let path = temporary.join(name);
            let file = fs.create_new(&path).map_err(PromBlockError::io("create", &path))?;
            file.append(&content).map_err(PromBlockError::io("write", &path))?;
            file.sync_data().map_err(PromBlockError::io("sync", &path))?;
        }
        fs.sync_dir(&temporary).map_err(PromBlockError::io("sync", &temporary))?;
        let was_there = fs.exists(&path.join(META_FILE));
        if was_there {
            fs.remove_dir_all(&temporary).map_err(PromBlockError::io("remove", &temporary))?;
        } else {
            fs.rename(&temporary, &path).map_err(PromBlockError::io("rename", &temporary))?;
        }
        fs.sync_dir(&dir).map_err(PromBlockError::io("sync", &dir))?;
        Ok(Some(Written { path, meta, bytes, was_there }))
    }
}

/// Removes what interrupted writers left in a directory; answers how many there were.
///
/// # Errors
/// What the system says.
pub fn remove_leftovers(fs: &dyn Fs, dir: &Path) -> Result<usize, PromBlockError> {
    let mut removed = 0;
    for entry in fs.list(dir).map_err(PromBlockError::io("list", dir))? {
        let is_ours =
            |name: &str| name.strip_suffix(TEMPORARY_SUFFIX).is_some_and(|stem| stem.parse::<Ulid>().is_ok());
        if entry.is_dir && is_ours(&entry.name) {
            let path = dir.join(entry.name);
            fs.remove_dir_all(&path).map_err(PromBlockError::io("remove", &path))?;
            removed += 1;
        }
    }
    Ok(removed)
}
