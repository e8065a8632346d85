//! Writing the oldest part of the head to a block.

use std::path::Path;
use std::sync::Arc;

use cairn_promql::source::SeriesData;

use super::Inner;
use super::maintain::{MaintainError, Maintenance};
use super::{place, retain};
use crate::block::{Block, BlockId, BlockMeta, BlockOrigin, BlockWriter};
use crate::chunk::{self, Chunk};
use crate::series::MemSeries;

/// A block is cut once the head spans more than one and a half blocks: the newest half stays open for samples that
/// come late, which are accepted for half a block.
const SPAN_NUMERATOR: i64 = 3;
const SPAN_DENOMINATOR: i64 = 2;

impl Inner {
    /// Cuts blocks until the head is short enough.
    pub(super) fn cut_blocks(&self, now_ms: i64, maintenance: &mut Maintenance) -> Result<(), MaintainError> {
        let block_ms = self.options.block_ms;
        while let (Some(newest), Some(oldest)) = (self.head.max_time(), self.head.min_time()) {
            // A chunk may reach back before what the head still answers: the block length was shorter once.
            let oldest = oldest.max(self.layout().head_from);
            let span = newest.saturating_sub(oldest);
            if span <= block_ms / SPAN_DENOMINATOR * SPAN_NUMERATOR {
                break;
            }
            let start = oldest.div_euclid(block_ms).saturating_mul(block_ms);
            self.cut_block(start, start.saturating_add(block_ms), now_ms)?;
            maintenance.wants_checkpoint = true;
        }
        Ok(())
    }

    /// Moves everything before `end` from the head to a block.
    fn cut_block(&self, start: i64, end: i64, now_ms: i64) -> Result<(), MaintainError> {
        let from = {
            // From here on nothing is appended before `end`, so what is collected below is all there will be.
            let mut commit = self.commit();
            commit.floor = commit.floor.max(end);
            self.layout().head_from
        };
        let dir = place::blocks(&self.options.dir);
        let id = BlockId::derive(now_ms, &[start.to_le_bytes(), end.to_le_bytes()].concat());
        let written = self.write_block(&dir, id, start, from, end);
        if !matches!(written, Ok(Some(_))) {
            // Best effort: gives space back on a full disk. A leftover is removed when the database is opened.
            let _ = retain::remove_temporary(&*self.options.fs, &dir, id);
        }
        let block = match written? {
            Some(meta) => {
                tracing::info!(block = %meta.id, series = meta.n_series, samples = meta.n_samples, bytes = meta.bytes(), "block written");
                let damage = Arc::clone(&self.damage);
                Some(Block::open(&*self.options.fs, &dir.join(id.to_string()), damage)?)
            }
            None => None,
        };
        {
            // In one step for every reader: the block answers before `end`, the head from `end` on.
            let mut layout = self.layout_mut();
            layout.head_from = layout.head_from.max(end);
            layout.blocks.extend(block.map(Arc::new));
            layout.blocks.sort_by_key(|block| (block.meta.min_time_ms, block.meta.max_time_ms));
        }
        self.tally.blocks_cut.add(1);
        let removed = self.head.truncate(end);
        self.tally.series_removed.add(removed as u64);
        Ok(())
    }

    /// Writes the head's samples in `from..end`; `None` when there is none.
    fn write_block(
        &self,
        dir: &Path,
        id: BlockId,
        start: i64,
        from: i64,
        end: i64,
    ) -> Result<Option<BlockMeta>, MaintainError> {
        let io = |source| MaintainError::io("write a block in", dir, source);
        let mut all = self.head.all_series();
        all.sort_by(|a, b| a.labels.cmp(&b.labels));
        let mut writer = BlockWriter::create(&self.options.fs, dir, id).map_err(io)?;
        let mut min_time = start.max(from);
        for series in &all {
            let chunks = chunks_between(series, from, end)?;
            if let Some(first) = chunks.first() {
                min_time = min_time.min(first.min_time);
                writer.add(&series.labels, &chunks).map_err(io)?;
            }
        }
        if writer.is_empty() {
            return Ok(None);
        }
        let origin = BlockOrigin {
            min_time_ms: min_time,
            max_time_ms: end,
            level: 1,
            sources: vec![id],
            parents: Vec::new(),
            order: 0,
            wal_until: None,
            n_tombstones: 0,
        };
        writer.finish(origin).map(Some).map_err(io)
    }
}

/// The samples of a series in `from..end` as chunks. A chunk that crosses a border (the block length was changed between
/// two runs) is encoded anew.
fn chunks_between(series: &MemSeries, from: i64, end: i64) -> Result<Vec<Chunk>, MaintainError> {
    let chunks = series.lock().chunks_in(from, end - 1);
    let mut inside = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        if chunk.min_time >= from && chunk.max_time < end {
            inside.push(chunk);
            continue;
        }
        let mut samples = SeriesData::default();
        chunk.decode_range(from, end - 1, &mut samples).map_err(|_| MaintainError::HeadChunk {
            series: series.labels.to_string(),
            min_time_ms: chunk.min_time,
        })?;
        inside.extend(chunk::encode(&samples));
    }
    Ok(inside)
}
