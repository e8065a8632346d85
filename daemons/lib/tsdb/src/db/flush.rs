//! Writing the head to blocks, so that the log before it can go.
//!
//! A flush takes all samples that are in memory, whatever their time, and leaves the series: blocks of level 0, one for
//! each window of time that is touched, which compaction merges later. So memory, the log and the time of the next start
//! are bounded by what was appended since the last flush, not by two hours of it.
//!
//! The order, and what a crash in between costs:
//!
//! 1. Under the commit lock: the log is cut, and a new generation begins. What is in memory by now is in earlier segments,
//!    and in chunks of earlier generations. Nothing is copied but the newest sample of each series.
//! 2. The chunks of earlier generations are written to blocks, the last of which names the segment at which replay may
//!    start. Up to there a crash replays the log as before; blocks without that mark hold samples twice for a while,
//!    which selections see once.
//! 3. In one step for every reader the blocks answer instead of those chunks.
//! 4. The chunks are forgotten, and series that can get no further sample leave.
//! 5. The series that are left go into a checkpoint, and the log before the cut goes.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, MutexGuard, PoisonError};

use cairn_disk::SegmentId;

use super::Inner;
use super::histograms::NewestHistograms;
use super::join::join_chunks;
use super::leftovers::Leftover;
use super::maintain::MaintainError;
use super::place;
use super::write::{Commit, LOOK_AHEAD};
use crate::append::AppendError;
use crate::block::{Block, BlockId, BlockMeta, BlockOrigin, BlockWriter};
use crate::checkpoint;
use crate::chunk::Chunk;
use crate::series::{Generation, MemSeries, Tip};

/// A window of time is flushed when it ended this part of its length ago: late samples mostly have come by then.
const BORDER_PART: i64 = 4;

/// However small the limit on memory, so much for each series: an open chunk takes about 150 bytes before it has a second
/// buffer of samples, and a flush of a few samples each would cost more than it frees.
const MIN_BYTES_PER_SERIES: usize = 160;

/// Nor is a chunk of fewer samples worth its place in a block.
const MIN_SAMPLES_PER_SERIES: u64 = 32;

/// A log this large is flushed, or one with so much for each series.
const MAX_WAL_BYTES: u64 = 96 << 20;
const MIN_WAL_BYTES_PER_SERIES: u64 = 64;

/// Nothing more is appended when memory is over the limit so many times: flushing fails, and goes on failing.
const HARD_FACTOR: usize = 4;

/// After a flush that failed appenders leave it alone for so long.
const RETRY_MS: i64 = 10_000;

/// The order of so many series is remembered from one flush to the next (a mebibyte). Where there are more, most are
/// newcomers.
const MAX_SORTED_SLOTS: usize = 256 << 10;

/// Series leave in groups of this size, so that appenders wait for a group only.
const DROP_GROUP: usize = 4096;

/// What flushing remembers from one time to the next.
#[derive(Debug)]
pub(super) struct Flushing {
    /// The last one failed: chunks wait although there are few of them.
    is_unfinished: bool,
    /// Why, and whether that was for a full disk.
    failure: Option<(String, bool)>,
    /// Not before this time by the callers' clock, unless maintenance asks.
    retry_at_ms: i64,
    /// The newest window of time whose end led to a flush.
    last_border: i64,
    /// Slots in the order that the labels of their series had in the last flush: nearly the order of the next one.
    sorted_slots: Vec<u32>,
}

impl Flushing {
    pub(super) fn new() -> Self {
        Self {
            is_unfinished: false,
            failure: None,
            retry_at_ms: i64::MIN,
            last_border: i64::MIN,
            sorted_slots: Vec::new(),
        }
    }
}

/// What step 1 takes.
struct Cut {
    /// Chunks of earlier ones are flushed.
    generation: Generation,
    first_segment: SegmentId,
    /// The newest samples at that moment, by slot.
    tips: Vec<Tip>,
    newest_histograms: NewestHistograms,
    next_id: u64,
}

impl Inner {
    /// Flushes if memory, the log or the time ask for it.
    pub(super) fn flush_if_due(&self, now_ms: i64) -> Result<(), MaintainError> {
        let mut flushing = self.flushing.lock().unwrap_or_else(PoisonError::into_inner);
        let border = self.border();
        let is_due = flushing.is_unfinished
            || self.is_full()
            || self.is_log_large()
            || border.is_some_and(|border| border > flushing.last_border);
        if !is_due {
            return Ok(());
        }
        self.flush_locked(now_ms, &mut flushing)?;
        flushing.last_border = flushing.last_border.max(border.unwrap_or(i64::MIN));
        Ok(())
    }

    /// Flushes whatever there is; answers the blocks at that moment, which have all that was stored before the cut, and the
    /// newest samples at the cut, by slot.
    pub(super) fn flush_and_list(&self, now_ms: i64) -> Result<(Vec<Arc<Block>>, Vec<Tip>), MaintainError> {
        let mut flushing = self.flushing.lock().unwrap_or_else(PoisonError::into_inner);
        let cut = self.flush_locked(now_ms, &mut flushing)?;
        Ok((self.layout().blocks.clone(), cut.tips))
    }

    /// Flushes whatever there is.
    pub(super) fn flush(&self, now_ms: i64) -> Result<(), MaintainError> {
        let mut flushing = self.flushing.lock().unwrap_or_else(PoisonError::into_inner);
        self.flush_locked(now_ms, &mut flushing).map(drop)
    }

    /// For appenders, who hold no lock: asks for maintenance when the head is full, and flushes right here when that
    /// does not help. So memory stays bounded however fast samples come.
    pub(super) fn relieve(&self, now_ms: i64) {
        if !self.is_full() {
            return;
        }
        self.pressure.ask();
        if self.head.chunk_bytes() < self.relief_bytes() {
            return;
        }
        drop(self.flush_for_appenders(now_ms));
    }

    /// For appenders, before they append anything.
    ///
    /// # Errors
    /// [`AppendError::HeadTooLarge`]: flushing does not succeed, and memory holds no more.
    pub(super) fn make_room(&self, now_ms: i64) -> Result<(), AppendError> {
        let limit = self.max_chunk_bytes().saturating_mul(HARD_FACTOR);
        if self.head.chunk_bytes() < limit {
            return Ok(());
        }
        let flushing = self.flush_for_appenders(now_ms);
        let bytes = self.head.chunk_bytes();
        let Some((reason, is_no_space)) = flushing.failure.clone().filter(|_| bytes >= limit) else {
            return Ok(());
        };
        Err(AppendError::HeadTooLarge { bytes, limit, reason, is_no_space })
    }

    /// Flushes, unless another appender did so meanwhile or an attempt failed a moment ago.
    fn flush_for_appenders(&self, now_ms: i64) -> MutexGuard<'_, Flushing> {
        let mut flushing = self.flushing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_full()
            && flushing.retry_at_ms <= now_ms
            && let Err(error) = self.flush_locked(now_ms, &mut flushing)
        {
            // Appending goes on until memory is far over its limit, and maintenance tries again.
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "a full head was not written to blocks");
        }
        flushing
    }

    fn max_chunk_bytes(&self) -> usize {
        self.options.max_head_bytes.max(self.head.n_series().saturating_mul(MIN_BYTES_PER_SERIES))
    }

    /// Beyond this much in memory appenders flush themselves, or wait for the flush that is under way: maintenance does not
    /// keep up. Not simply a multiple of the limit, which follows the number of series: a million of them that are sent as
    /// fast as it goes would all have a second chunk while the first ones are written.
    fn relief_bytes(&self) -> usize {
        self.max_chunk_bytes().saturating_add(self.options.max_head_bytes)
    }

    fn max_samples(&self) -> u64 {
        let per_series = (self.head.n_series() as u64).saturating_mul(MIN_SAMPLES_PER_SERIES);
        self.options.max_head_samples.max(per_series)
    }

    /// Whether there is so much in memory or in the log that it has to go to blocks.
    fn is_full(&self) -> bool {
        self.head.chunk_bytes() >= self.max_chunk_bytes() || self.head.n_samples() >= self.max_samples()
    }

    fn is_log_large(&self) -> bool {
        let per_series = (self.head.n_series() as u64).saturating_mul(MIN_WAL_BYTES_PER_SERIES);
        self.wal.bytes_on_disk() >= MAX_WAL_BYTES.max(per_series)
    }

    /// The newest window of time that has samples in memory behind it.
    fn border(&self) -> Option<i64> {
        let block_ms = self.options.block_ms;
        let newest = self.head.max_time()?.saturating_sub(block_ms / BORDER_PART).div_euclid(block_ms);
        let oldest = self.head.min_time()?.div_euclid(block_ms);
        (newest > oldest).then_some(newest)
    }

    fn flush_locked(&self, now_ms: i64, flushing: &mut Flushing) -> Result<Cut, MaintainError> {
        flushing.is_unfinished = true;
        flushing.retry_at_ms = now_ms.saturating_add(RETRY_MS);
        let flushed = self.flush_steps(now_ms, &mut flushing.sorted_slots);
        self.pressure.answered();
        match &flushed {
            Ok(_) => {
                (flushing.is_unfinished, flushing.failure) = (false, None);
                flushing.retry_at_ms = i64::MIN;
            }
            Err(error) => flushing.failure = Some((whole_text(error), error.is_no_space())),
        }
        flushed
    }

    fn flush_steps(&self, now_ms: i64, sorted_slots: &mut Vec<u32>) -> Result<Cut, MaintainError> {
        self.clear_leftovers()?;
        let cut = self.cut()?;
        let mut all = self.head.all_series_after(sorted_slots);
        let windows = self.close_chunks(&all, cut.generation);
        if !windows.is_empty() {
            all.sort_by(|a, b| a.labels.cmp_labels(&b.labels));
            sorted_slots.clear();
            if all.len() <= MAX_SORTED_SLOTS {
                sorted_slots.extend(all.iter().map(|series| series.slot));
            }
            let written = self.write_blocks(&all, &windows, &cut, now_ms)?;
            self.publish(written, cut.generation);
            self.tally.flushes.add(1);
        }
        self.forget(&all, cut.generation);
        self.drop_ended(&all);
        self.save_series(&all, &cut)?;
        Ok(cut)
    }

    /// Step 1.
    fn cut(&self) -> Result<Cut, MaintainError> {
        // Most of what the cut has to make durable is so before anybody has to wait.
        self.wal.sync(self.wal.appended())?;
        // Whoever appends holds this lock from the log's record to the head's chunk: so all that is in earlier segments
        // is in chunks by now.
        let mut commit = self.commit();
        let first_segment = self.wal.cut()?;
        commit.samples.start_period();
        let Commit { tips, histograms, .. } = &mut *commit;
        histograms.tidy(tips);
        commit.generation += 1;
        self.head.begin_flush();
        let next_id = self.head.next_id();
        Ok(Cut {
            generation: commit.generation,
            first_segment,
            tips: commit.tips.clone(),
            newest_histograms: commit.histograms.all_newest().clone(),
            next_id,
        })
    }

    /// Closes chunks of earlier generations; answers the windows of time that they lie in.
    fn close_chunks(&self, all: &[Arc<MemSeries>], generation: Generation) -> BTreeSet<i64> {
        let mut windows = BTreeSet::new();
        let mut grown = 0;
        for series in asked_for(all) {
            let mut chunks = series.lock();
            grown += chunks.seal_before(generation, self.options.block_ms);
            windows.extend(
                chunks.before(generation).map(|chunk| chunk.min_time.div_euclid(self.options.block_ms)),
            );
        }
        self.head.resized(grown);
        windows
    }

    /// Step 2.
    fn write_blocks(
        &self,
        all: &[Arc<MemSeries>],
        windows: &BTreeSet<i64>,
        cut: &Cut,
        now_ms: i64,
    ) -> Result<Vec<Arc<Block>>, MaintainError> {
        let dir = place::blocks(&self.options.dir);
        let order = self.layout().blocks.iter().map(|block| block.meta.order).max().unwrap_or(0) + 1;
        let mut written: Vec<Leftover> = Vec::new();
        let mut blocks = Vec::with_capacity(windows.len());
        for &window in windows {
            // The segment tells it from one that was merged away: a merged block has the lowest order of its parents, so
            // an order may come again, and who bears the name of a parent is removed when the database is opened.
            let name =
                [window.to_le_bytes(), order.to_le_bytes(), cut.first_segment.0.to_le_bytes()].concat();
            let id = BlockId::derive(now_ms, &name);
            let start = window.saturating_mul(self.options.block_ms);
            let ends_log = Some(&window) == windows.last();
            let origin = BlockOrigin {
                min_time_ms: start,
                max_time_ms: start.saturating_add(self.options.block_ms),
                level: 0,
                sources: vec![id],
                parents: Vec::new(),
                order,
                wal_until: ends_log.then_some(cut.first_segment.0),
                n_tombstones: 0,
            };
            written.push(Leftover { id, ends_log });
            let block = self.write_block(&dir, id, all, cut.generation, window, origin).and_then(|meta| {
                tracing::info!(block = %meta.id, series = meta.n_series, samples = meta.n_samples, bytes = meta.bytes(), "block written");
                let damage = Arc::clone(&self.damage);
                Ok(Block::open(&*self.options.fs, &dir.join(id.to_string()), damage)?)
            });
            match block {
                Ok(block) => blocks.push(Arc::new(block)),
                Err(error) => {
                    // The one that failed may have its name already, too.
                    self.undo_blocks(&written);
                    return Err(error);
                }
            }
        }
        Ok(blocks)
    }

    fn write_block(
        &self,
        dir: &Path,
        id: BlockId,
        all: &[Arc<MemSeries>],
        generation: Generation,
        window: i64,
        origin: BlockOrigin,
    ) -> Result<BlockMeta, MaintainError> {
        let io = |source| MaintainError::io("write a block in", dir, source);
        let mut writer = BlockWriter::create(&self.options.fs, dir, id).map_err(io)?;
        for series in asked_for(all) {
            let mut chunks: Vec<Chunk> = series
                .lock()
                .before(generation)
                .filter(|chunk| chunk.min_time.div_euclid(self.options.block_ms) == window)
                .cloned()
                .collect();
            if chunks.windows(2).any(|pair| pair[1].min_time <= pair[0].max_time) {
                chunks = join_chunks(&chunks).map_err(|_| MaintainError::HeadChunk {
                    series: series.to_labels().to_string(),
                    min_time_ms: chunks[0].min_time,
                })?;
            }
            if !chunks.is_empty() {
                writer.add(series.labels.iter(), &chunks).map_err(io)?;
            }
        }
        writer.finish(origin).map_err(io)
    }

    /// Step 3.
    fn publish(&self, blocks: Vec<Arc<Block>>, generation: Generation) {
        self.tally.blocks_cut.add(blocks.len() as u64);
        let mut layout = self.layout_mut();
        layout.flushed = generation;
        layout.blocks.extend(blocks);
        layout.blocks.sort_by_key(|block| (block.meta.min_time_ms, block.meta.max_time_ms));
        self.head.end_flush();
    }

    /// Step 4: the chunks.
    fn forget(&self, all: &[Arc<MemSeries>], generation: Generation) {
        for series in asked_for(all) {
            let freed = series.lock().forget_before(generation);
            if freed > 0 {
                self.head.resized(-freed.cast_signed());
            }
        }
    }

    /// Step 4: series without a sample in memory that can get none without being out of order for everybody, or that
    /// never got one.
    fn drop_ended(&self, all: &[Arc<MemSeries>]) {
        let accepted_from = self.oldest_in_order();
        for group in all.chunks(DROP_GROUP) {
            let mut gone = Vec::new();
            {
                let mut commit = self.commit();
                for series in asked_for(group) {
                    let tip = &mut commit.tips[series.slot as usize];
                    if tip.id == series.id && tip.time < accepted_from && series.lock().is_empty() {
                        *tip = Tip::EMPTY;
                        series.mark_dropped();
                        gone.push(Arc::clone(series));
                    }
                }
                // While the lock is held: a slot that is free is not given to a new series by anybody.
                self.head.remove(&gone);
            }
            self.tally.series_removed.add(gone.len() as u64);
        }
        self.head.shrink();
    }

    /// Step 5.
    fn save_series(&self, all: &[Arc<MemSeries>], cut: &Cut) -> Result<(), MaintainError> {
        let (fs, dir) = (&*self.options.fs, &self.options.dir);
        let io = |action| move |source| MaintainError::io(action, dir, source);
        let series = all.iter().filter(|series| !series.is_dropped()).filter_map(|series| {
            let tip = cut.tips.get(series.slot as usize).filter(|tip| tip.id == series.id)?;
            let histogram = cut.newest_histograms.get(&series.slot).filter(|(id, _)| *id == series.id);
            Some((&**series, *tip, histogram.map(|(_, histogram)| histogram)))
        });
        self.save_exemplars()?;
        checkpoint::write(fs, dir, cut.first_segment, cut.next_id, series)
            .map_err(io("write a checkpoint in"))?;
        for (id, path) in checkpoint::list(fs, dir).map_err(io("list"))? {
            if id < cut.first_segment {
                fs.remove_file(&path).map_err(|source| MaintainError::io("remove", &path, source))?;
            }
        }
        self.wal.drop_before(cut.first_segment)?;
        Ok(())
    }
}

/// Each of the series, after memory was asked for the ones behind it: they lie anywhere.
fn asked_for(all: &[Arc<MemSeries>]) -> impl Iterator<Item = &Arc<MemSeries>> {
    all.iter().enumerate().map(|(at, series)| {
        if let Some(later) = all.get(at + LOOK_AHEAD) {
            later.prefetch();
        }
        series
    })
}

/// An error with what it comes from.
fn whole_text(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |error| error.source());
    sources.fold(error.to_string(), |text, source| format!("{text}: {source}"))
}
