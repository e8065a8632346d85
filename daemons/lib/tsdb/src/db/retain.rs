//! Retention: whole blocks go that are too old, or too many bytes; queries see none of what is too old in the others.

use std::sync::Arc;

use super::Inner;
use super::maintain::MaintainError;
use crate::block::Block;

impl Inner {
    /// Removes the blocks that the retention no longer covers. What one before could not remove is not counted for the
    /// limit on bytes any more: it has to go first, and no other goes in its place.
    pub(super) fn retain(&self) -> Result<(), MaintainError> {
        self.clear_leftovers()?;
        let gone: Vec<Arc<Block>> = {
            let mut layout = self.layout_mut();
            let n_gone = self.n_expired(&layout.blocks);
            layout.blocks.drain(..n_gone).collect()
        };
        for block in &gone {
            tracing::info!(block = %block.meta.id, bytes = block.meta.bytes(), "block removed by retention");
        }
        self.remove_blocks(gone.iter().map(|block| block.meta.id.into()))
    }

    /// Newest sample. A block's own end is that of its window, which may lie after every sample of it; so a block counts
    /// only where it begins after all that the head has seen, as in a database that was restored and got no sample yet.
    pub(super) fn newest(&self, blocks: &[Arc<Block>]) -> Option<i64> {
        let head = self.head.max_time();
        let after_head = blocks.iter().filter(|block| head.is_none_or(|head| block.meta.min_time_ms > head));
        after_head.map(|block| block.meta.max_time_ms.saturating_sub(1)).max().or(head)
    }

    /// Samples before this time are not answered any more, also while the block that has them is still there.
    pub(super) fn oldest_served(&self, blocks: &[Arc<Block>]) -> i64 {
        match (self.newest(blocks), self.options.retention_ms) {
            (Some(newest), Some(retention)) => newest.saturating_sub(retention),
            _ => i64::MIN,
        }
    }

    /// How many blocks, from the oldest on, have to go. The age counts from the newest sample, not from a clock: a
    /// database that nobody writes to keeps what it has.
    fn n_expired(&self, blocks: &[Arc<Block>]) -> usize {
        let newest = self.newest(blocks);
        let too_old = |block: &Arc<Block>| match (newest, self.options.retention_ms) {
            // Exclusive, so the block's last sample is a millisecond older at least.
            (Some(newest), Some(retention)) => newest.saturating_sub(block.meta.max_time_ms) >= retention,
            _ => false,
        };
        let by_time = blocks.iter().take_while(|block| too_old(block)).count();
        let Some(limit) = self.options.retention_bytes else { return by_time };
        let mut total = blocks
            .iter()
            .map(|block| block.meta.bytes())
            .sum::<u64>()
            .saturating_add(self.wal.bytes_on_disk());
        let mut by_size = 0;
        while total > limit && by_size < blocks.len() {
            total = total.saturating_sub(blocks[by_size].meta.bytes());
            by_size += 1;
        }
        by_time.max(by_size)
    }
}
