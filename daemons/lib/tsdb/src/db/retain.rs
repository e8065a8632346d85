//! Retention: whole blocks go that are too old, or too many bytes; queries see none of what is too old in the others.

use std::io;
use std::path::Path;
use std::sync::Arc;

use cairn_disk::Fs;
use cairn_disk::checked::temporary_name;

use super::Inner;
use super::maintain::MaintainError;
use super::place;
use crate::block::{Block, BlockId};

impl Inner {
    /// Removes the blocks that the retention no longer covers.
    pub(super) fn retain(&self) -> Result<(), MaintainError> {
        let gone: Vec<Arc<Block>> = {
            let mut layout = self.layout_mut();
            let n_gone = self.n_expired(&layout.blocks);
            layout.blocks.drain(..n_gone).collect()
        };
        let dir = place::blocks(&self.options.dir);
        for block in gone {
            let name = block.meta.id.to_string();
            tracing::info!(block = %name, bytes = block.meta.bytes(), "block removed by retention");
            remove_block(&*self.options.fs, &dir, &name)
                .map_err(|source| MaintainError::io("remove", &dir.join(&name), source))?;
        }
        Ok(())
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

/// Removes a block in two steps, so that a crash never leaves half a block under its own name. Readers that hold it open
/// go on reading.
pub(super) fn remove_block(fs: &dyn Fs, dir: &Path, name: &str) -> io::Result<()> {
    let path = dir.join(name);
    let temporary = temporary_name(&path);
    fs.rename(&path, &temporary)?;
    fs.sync_dir(dir)?;
    fs.remove_dir_all(&temporary)
}

/// Removes what an interrupted write left.
pub(super) fn remove_temporary(fs: &dyn Fs, dir: &Path, id: BlockId) -> io::Result<()> {
    fs.remove_dir_all(&temporary_name(&dir.join(id.to_string())))
}
