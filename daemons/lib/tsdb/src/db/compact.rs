//! Merging neighbouring blocks into longer ones: 2 h, 8 h, 32 h and so on, up to a tenth of the retention.
//!
//! Where blocks overlap, the one that was written first has the say. A merged block has the place of the first of its
//! parents in that order, so what was written between two of them, and is not merged with them, must not overlap with the
//! later one: its values would give way to values that gave way to them. Such blocks, which lie across the windows that are
//! merged (imported ones, those of another length, damaged ones), part a window into runs that are merged each for itself.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use cairn_promql::source::SeriesData;

use super::Inner;
use super::join::join_group;
use super::leftovers::remove_temporary;
use super::maintain::{MaintainError, Maintenance};
use super::place;
use crate::block::{Block, BlockError, BlockId, BlockMeta, BlockOrigin, BlockWriter, SeriesEntry};

/// Each level is so many times as long as the one below.
const LEVEL_FACTOR: i64 = 4;

/// The longest block is this part of the retention, so that whole blocks can go soon after their time...
const RETENTION_PART: i64 = 10;

/// ... and at most 31 days, as the peer has it.
const MAX_BLOCK_MS: i64 = 31 * 24 * 3600 * 1000;

/// More blocks than this are merged level by level: each has a batch of its index and a page in memory meanwhile.
const MAX_READ_AT_ONCE: usize = 16;

impl Inner {
    /// Merges until nothing is due.
    pub(super) fn compact(&self, now_ms: i64, maintenance: &mut Maintenance) -> Result<(), MaintainError> {
        loop {
            let (blocks, head_from) = (self.layout().blocks.clone(), self.settled_until());
            let is_mergeable = |block: &&Arc<Block>| !maintenance.not_merged.contains(&block.meta.id);
            let mergeable: Vec<Arc<Block>> = blocks.iter().filter(is_mergeable).cloned().collect();
            let ranges = level_ranges(self.options.block_ms, self.options.retention_ms);
            let Some(group) = due_group(&blocks, &mergeable, &ranges, head_from) else { return Ok(()) };
            if self.merge_undamaged(&group, now_ms, maintenance)? {
                self.tally.compactions.add(1);
            }
        }
    }

    /// Merges a group, or remembers which of its blocks are damaged; answers whether it was merged.
    pub(super) fn merge_undamaged(
        &self,
        group: &[Arc<Block>],
        now_ms: i64,
        maintenance: &mut Maintenance,
    ) -> Result<bool, MaintainError> {
        match self.merge(group, now_ms) {
            Ok(()) => Ok(true),
            Err(MaintainError::Block(error)) if !error.is_io() => {
                // The damaged block stays as it is, with all that can still be read from it.
                let damaged = group.iter().filter(|block| block.check().is_err());
                let before = maintenance.not_merged.len();
                maintenance.not_merged.extend(damaged.map(|block| block.meta.id));
                tracing::error!(error = %error, "a damaged block is not merged");
                if maintenance.not_merged.len() == before {
                    return Err(MaintainError::Block(error));
                }
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Writes what is not deleted of a group of blocks to one, and removes the group. Of a group of one this gives the
    /// space of deleted samples back.
    fn merge(&self, group: &[Arc<Block>], now_ms: i64) -> Result<(), MaintainError> {
        self.clear_leftovers()?;
        let dir = place::blocks(&self.options.dir);
        let io = |source| MaintainError::io("write a block in", &dir, source);
        let mut parents: Vec<BlockId> = group.iter().map(|block| block.meta.id).collect();
        parents.sort_unstable();
        let mut sources: Vec<BlockId> =
            group.iter().flat_map(|block| block.meta.sources.iter().copied()).collect();
        sources.sort_unstable();
        sources.dedup();
        let name: Vec<u8> = parents.iter().flat_map(|id| id.0.to_le_bytes()).collect();
        let id = BlockId::derive(now_ms, &name);
        let mut writer = BlockWriter::create(&self.options.fs, &dir, id).map_err(io)?;
        if let Err(error) = merge_into(&mut writer, group) {
            drop(writer);
            remove_temporary(&*self.options.fs, &dir, id);
            return Err(match error {
                MergeError::Read(error) => error.into(),
                MergeError::Write(source) => io(source),
            });
        }
        if writer.is_empty() {
            drop(writer);
            remove_temporary(&*self.options.fs, &dir, id);
            return self.replace(&parents, None);
        }
        let range = |pick: fn(&BlockMeta) -> i64| group.iter().map(move |block| pick(&block.meta));
        let origin = BlockOrigin {
            min_time_ms: range(|meta| meta.min_time_ms).min().unwrap_or(0),
            max_time_ms: range(|meta| meta.max_time_ms).max().unwrap_or(0),
            level: group.iter().map(|block| block.meta.level).max().unwrap_or(0) + u32::from(group.len() > 1),
            sources,
            parents: parents.clone(),
            order: group.iter().map(|block| block.meta.order).min().unwrap_or(0),
            wal_until: group.iter().filter_map(|block| block.meta.wal_until).max(),
            n_tombstones: 0,
        };
        let finished = writer.finish(origin).map_err(io).and_then(|_| {
            let damage = Arc::clone(&self.damage);
            Ok(Block::open(&*self.options.fs, &dir.join(id.to_string()), damage)?)
        });
        let merged = finished.inspect_err(|_| self.undo_blocks(&[id.into()]))?;
        let meta = &merged.meta;
        tracing::info!(block = %meta.id, level = meta.level, parents = parents.len(), bytes = meta.bytes(), "blocks merged");
        self.replace(&parents, Some(merged))
    }

    /// Serves `merged` in place of its parents, and removes those.
    fn replace(&self, parents: &[BlockId], merged: Option<Block>) -> Result<(), MaintainError> {
        {
            let mut layout = self.layout_mut();
            layout.blocks.retain(|block| !parents.contains(&block.meta.id));
            layout.blocks.extend(merged.map(Arc::new));
            layout.blocks.sort_by_key(|block| (block.meta.min_time_ms, block.meta.max_time_ms));
        }
        self.remove_blocks(parents.iter().map(|&parent| parent.into()))
    }
}

/// Lengths of blocks by level, shortest first.
fn level_ranges(block_ms: i64, retention_ms: Option<i64>) -> Vec<i64> {
    let longest =
        retention_ms.map_or(MAX_BLOCK_MS, |retention| (retention / RETENTION_PART).min(MAX_BLOCK_MS));
    std::iter::successors(Some(block_ms), |range| range.checked_mul(LEVEL_FACTOR))
        .take_while(|&range| range == block_ms || range <= longest)
        .collect()
}

/// The next group of blocks to merge: two or more that lie in one aligned window of a level which the head has left behind,
/// so that no block can join them later. So the parts of a window that were flushed one after the other become one block,
/// then such blocks a longer one. Where several levels are due, as after an import or a long pause, the longest comes
/// first, so that samples are written once and not for each level; unless it has too many blocks to read side by side:
/// then shorter windows make fewer of them.
///
/// `all` are the blocks that are served, `mergeable` those of them that may be merged.
fn due_group(
    all: &[Arc<Block>],
    mergeable: &[Arc<Block>],
    ranges: &[i64],
    head_from: i64,
) -> Option<Vec<Arc<Block>>> {
    let group_of = |range: i64, most: usize| {
        let mut windows: BTreeMap<i64, Vec<Arc<Block>>> = BTreeMap::new();
        for block in mergeable {
            let window = block.meta.min_time_ms.div_euclid(range);
            let window_end = (window + 1).saturating_mul(range);
            if block.meta.max_time_ms <= window_end && window_end <= head_from {
                windows.entry(window).or_default().push(Arc::clone(block));
            }
        }
        windows
            .into_values()
            .flat_map(|window| runs_in_order(window, all))
            .find(|run| (2..=most).contains(&run.len()))
    };
    let longest_first = ranges.iter().rev().find_map(|&range| group_of(range, MAX_READ_AT_ONCE));
    longest_first.or_else(|| ranges.iter().find_map(|&range| group_of(range, usize::MAX)))
}

/// Parts a group so that no block of `all` outside of a part comes, in the order of writing, between the first of that
/// part and one with which it overlaps.
fn runs_in_order(mut group: Vec<Arc<Block>>, all: &[Arc<Block>]) -> Vec<Vec<Arc<Block>>> {
    let ids: HashSet<BlockId> = group.iter().map(|block| block.meta.id).collect();
    let outside: Vec<&BlockMeta> =
        all.iter().map(|block| &block.meta).filter(|meta| !ids.contains(&meta.id)).collect();
    group.sort_by_key(|block| block.meta.order);
    let mut runs: Vec<Vec<Arc<Block>>> = Vec::new();
    // Where the run begins. What is in runs before was written before it.
    let mut first = 0;
    for block in group {
        let meta = &block.meta;
        let is_parted = outside.iter().any(|other| {
            (first..meta.order).contains(&other.order)
                && other.min_time_ms < meta.max_time_ms
                && other.max_time_ms > meta.min_time_ms
        });
        match runs.last_mut() {
            Some(run) if !is_parted => run.push(block),
            _ => {
                first = meta.order;
                runs.push(vec![block]);
            }
        }
    }
    runs
}

enum MergeError {
    Read(BlockError),
    Write(std::io::Error),
}

/// Walks all blocks by ascending labels at once. In memory are a batch of the index and a page of each block, and the
/// samples of one series. Samples are encoded anew, so that small chunks become full ones; deleted ones are left out.
fn merge_into(writer: &mut BlockWriter, group: &[Arc<Block>]) -> Result<(), MergeError> {
    let mut group: Vec<&Arc<Block>> = group.iter().collect();
    // Where blocks overlap, what was written first stays.
    group.sort_by_key(|block| block.meta.order);
    let mut inputs: Vec<_> = group
        .iter()
        .map(|block| (block.samples(), block.tombstones(), block.all_series().peekable()))
        .collect();
    loop {
        let mut next: Option<cairn_model::Labels> = None;
        for (_, _, series) in &mut inputs {
            if let Some(Err(error)) = series.next_if(Result::is_err) {
                return Err(MergeError::Read(error));
            }
            if let Some(Ok(entry)) = series.peek()
                && next.as_ref().is_none_or(|labels| entry.labels < *labels)
            {
                next = Some(entry.labels.clone());
            }
        }
        let Some(labels) = next else { return Ok(()) };
        let mut parts: Vec<SeriesData> = Vec::with_capacity(inputs.len());
        for (samples, tombstones, series) in &mut inputs {
            let is_it = |entry: &Result<SeriesEntry, BlockError>| {
                entry.as_ref().is_ok_and(|entry| entry.labels == labels)
            };
            if let Some(Ok(entry)) = series.next_if(is_it) {
                let deleted = tombstones.of(entry.number);
                let mut part = SeriesData::default();
                for place in entry.chunks.iter().filter(|place| place.is_seen(i64::MIN, i64::MAX, deleted)) {
                    samples.read_checked(place, i64::MIN, i64::MAX, &mut part).map_err(MergeError::Read)?;
                }
                deleted.cut(&mut part);
                if !part.times.is_empty() || !part.histograms.is_empty() {
                    parts.push(part);
                }
            }
        }
        if parts.is_empty() {
            continue;
        }
        let joined = join_group(parts);
        if !joined.times.is_empty() || !joined.histograms.is_empty() {
            writer.add_samples(labels.iter(), &joined).map_err(MergeError::Write)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3600 * 1000;

    #[test]
    fn levels_grow_by_four_up_to_a_tenth_of_the_retention() {
        let day = 24 * HOUR;
        assert_eq!(level_ranges(2 * HOUR, Some(15 * day)), [2 * HOUR, 8 * HOUR, 32 * HOUR]);
        assert_eq!(level_ranges(2 * HOUR, Some(day)), [2 * HOUR]);
        assert_eq!(level_ranges(2 * HOUR, None).last(), Some(&(512 * HOUR)));
    }
}
