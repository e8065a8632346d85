//! Taking in a block that another store wrote: its samples become a block of this database, beside whatever there is.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use cairn_promql::source::SeriesData;

use super::leftovers::remove_temporary;
use super::maintain::MaintainError;
use super::{Db, place};
use crate::block::{Block, BlockId, BlockMeta, BlockOrigin, BlockWriter};
use crate::chunk;

/// A block that is being written. Dropped before [`finish`](Self::finish), nothing of it is left.
#[derive(Debug)]
pub struct BlockImport {
    db: Db,
    id: BlockId,
    dir: PathBuf,
    /// Until it is finished.
    writer: Option<BlockWriter>,
    /// First and last time of its samples.
    range: Option<(i64, i64)>,
}

impl Db {
    /// Starts a block of samples from elsewhere, under the name that it has there.
    ///
    /// # Errors
    /// [`MaintainError`]: the disk is full, or the system failed otherwise.
    pub fn import(&self, id: BlockId) -> Result<BlockImport, MaintainError> {
        let dir = place::blocks(&self.inner.options.dir);
        let writer = BlockWriter::create(&self.inner.options.fs, &dir, id)
            .map_err(|source| MaintainError::io("write a block in", &dir, source))?;
        Ok(BlockImport { db: self.clone(), id, dir, writer: Some(writer), range: None })
    }

    /// Whether everything that came from these blocks is here: each is the source of a block, however often that was
    /// merged since.
    pub fn has_sources(&self, sources: &[BlockId]) -> bool {
        let layout = self.inner.layout();
        let is_here = |id: &BlockId| {
            layout.blocks.iter().any(|block| block.meta.id == *id || block.meta.sources.contains(id))
        };
        !sources.is_empty() && sources.iter().all(is_here)
    }
}

impl BlockImport {
    /// Adds a series with its samples, which ascend in time; series come in ascending order of their labels.
    ///
    /// # Errors
    /// [`MaintainError`]: the disk is full, or the system failed otherwise. The block cannot be finished then.
    pub fn add(&mut self, series: &SeriesData) -> Result<(), MaintainError> {
        let times = || series.times.iter().copied().chain(series.histograms.iter().map(|point| point.time));
        let (Some(first), Some(last)) = (times().min(), times().max()) else { return Ok(()) };
        let Some(writer) = &mut self.writer else { return Ok(()) };
        writer
            .add(series.labels.iter(), &chunk::encode(series))
            .map_err(|source| MaintainError::io("write a block in", &self.dir, source))?;
        self.range = Some(match self.range {
            None => (first, last),
            Some(range) => (range.0.min(first), range.1.max(last)),
        });
        Ok(())
    }

    /// Makes the block durable and serves it from now on; `sources` are the blocks that its samples come from, its own
    /// name among them. Where a block has a sample of a series at the same time already, that one counts; so whoever wants
    /// that of the head, too, calls [`Db::flush`] before. `None` when there was no sample.
    ///
    /// # Errors
    /// [`MaintainError`]: the disk is full, or the system failed otherwise. Nothing of the block is served; if it cannot
    /// be removed either, a restart may find it.
    pub fn finish(mut self, sources: Vec<BlockId>) -> Result<Option<BlockMeta>, MaintainError> {
        let inner = Arc::clone(&self.db.inner);
        let (Some(writer), Some((first, last))) = (self.writer.take(), self.range) else {
            self.remove();
            return Ok(None);
        };
        // No flush and no merge at the same time: the order of this block must be its own.
        let _maintenance = inner.maintenance.lock().unwrap_or_else(PoisonError::into_inner);
        let _flushing = inner.flushing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = inner.clear_leftovers() {
            drop(writer);
            self.remove();
            return Err(error);
        }
        let order = inner.layout().blocks.iter().map(|block| block.meta.order).max().unwrap_or(0) + 1;
        let origin = BlockOrigin {
            min_time_ms: first,
            max_time_ms: last.saturating_add(1),
            level: 1,
            sources,
            parents: Vec::new(),
            order,
            wal_until: None,
            n_tombstones: 0,
        };
        let io = |source| MaintainError::io("write a block in", &self.dir, source);
        let finished = writer.finish(origin).map_err(io).and_then(|meta| {
            let path = self.dir.join(self.id.to_string());
            Ok((meta, Block::open(&*inner.options.fs, &path, Arc::clone(&inner.damage))?))
        });
        let (meta, block) = finished.inspect_err(|_| inner.undo_blocks(&[self.id.into()]))?;
        let mut layout = inner.layout_mut();
        layout.blocks.push(Arc::new(block));
        layout.blocks.sort_by_key(|block| (block.meta.min_time_ms, block.meta.max_time_ms));
        Ok(Some(meta))
    }

    fn remove(&self) {
        remove_temporary(&*self.db.inner.options.fs, &self.dir, self.id);
    }
}

impl Drop for BlockImport {
    fn drop(&mut self) {
        if self.writer.take().is_some() {
            self.remove();
        }
    }
}
