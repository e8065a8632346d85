//! Deleting: tombstones that hide samples at once, and rewriting the blocks that have them.
//!
//! A deletion covers what is stored when it begins and nothing later. Its steps, and why in this order:
//!
//! 1. The head is flushed. All that the deletion covers lies in blocks then, which are listed; what is appended after the cut of
//!    that flush lies in the head or in later blocks, out of its reach.
//! 2. Series whose newest sample is about to go begin anew (`Tip`): a sample at that very time is no duplicate any more, an older one
//!    not out of order. The newest sample is covered if it is the one that it was at the cut, and each that came in order since
//!    has a later time: so the times are compared, whatever lies in memory by now. A second flush puts the new tips into the
//!    checkpoint.
//! 3. Tombstones are written, block by block, and hide.
//!
//! A tip that is forgotten too early does no harm: the sample that it stood for is still there, and if it is sent again, it is there
//! twice, for everybody to see once, and only the older one is covered. One that is forgotten too late would: a sample that is hidden
//! already, sent again, would be a duplicate of it, acknowledged and seen by nobody. So tips go first, also on the disk; a crash
//! or an error in between leaves samples that were not deleted and whose series begin anew.

use std::path::Path;
use std::sync::{Arc, PoisonError};

use cairn_model::Matcher;
use roaring::RoaringBitmap;

use super::maintain::{MaintainError, Maintenance};
use super::view::{SelectError, visit_matching};
use super::write::Commit;
use super::{Inner, place};
use crate::block::{Block, ChunkPlace, Tombstones};
use crate::postings;
use crate::series::{MemSeries, Tip};

/// A block is rewritten by itself once deletions touch more than one series in so many: the peer's twentieth.
const REWRITE_ONE_IN: u64 = 20;

/// Series are looked at in groups of this size, so that appenders wait for a group only.
const COMMIT_GROUP: usize = 4096;

/// Why a deletion did not succeed. Some of it may have been done; repeating it is safe.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    /// The head could not be flushed, or tombstones could not be written.
    #[error(transparent)]
    Maintain(#[from] MaintainError),
    /// The series could not be found in a block.
    #[error(transparent)]
    Select(#[from] SelectError),
}

/// What is to be deleted.
#[derive(Clone, Copy)]
struct Range<'a> {
    matcher_sets: &'a [Vec<Matcher>],
    start: i64,
    end: i64,
}

impl Range<'_> {
    fn has(&self, time: i64) -> bool {
        (self.start..=self.end).contains(&time)
    }
}

/// What a deletion reaches.
struct Covered {
    blocks: Vec<Arc<Block>>,
    /// The newest samples in them, by slot.
    tips: Vec<Tip>,
}

impl Inner {
    /// Hides the samples in `start..=end` of every series that one of the sets of matchers selects. Durable when it
    /// answers; the answer is how many series were touched, counted once in each block.
    pub(super) fn delete(
        &self,
        matcher_sets: &[Vec<Matcher>],
        start: i64,
        end: i64,
        now_ms: i64,
    ) -> Result<u64, DeleteError> {
        if start > end {
            return Ok(0);
        }
        // Held to the end: nothing is merged or removed while tombstones are written.
        let _maintenance = self.maintenance.lock().unwrap_or_else(PoisonError::into_inner);
        let range = Range { matcher_sets, start, end };
        let covered = self.cover(now_ms)?;
        self.forget_tips(&covered, range, now_ms)?;
        let n_touched = self.hide(&covered, range)?;
        tracing::info!(start, end, series = n_touched, "samples deleted");
        Ok(n_touched)
    }

    /// Step 1.
    fn cover(&self, now_ms: i64) -> Result<Covered, MaintainError> {
        let (blocks, tips) = self.flush_and_list(now_ms)?;
        Ok(Covered { blocks, tips })
    }

    /// Step 2.
    fn forget_tips(&self, covered: &Covered, range: Range<'_>, now_ms: i64) -> Result<(), MaintainError> {
        let selected: Vec<Arc<MemSeries>> = {
            let index = self.head.index();
            let mut slots = RoaringBitmap::new();
            for matchers in range.matcher_sets {
                let Ok((more, _)) = postings::select(&*index, matchers);
                slots |= more;
            }
            index.series_at(&slots).cloned().collect()
        };
        let mut n_forgotten = 0;
        for group in selected.chunks(COMMIT_GROUP) {
            let mut commit = self.commit();
            for series in group {
                let slot = series.slot as usize;
                let Commit { tips, histograms, .. } = &mut *commit;
                let (Some(tip), Some(at_cut)) = (tips.get_mut(slot), covered.tips.get(slot)) else {
                    continue;
                };
                let is_same = tip.id == series.id && at_cut.id == series.id && tip.time == at_cut.time;
                if is_same && tip.time != Tip::NEVER && range.has(tip.time) {
                    // Late samples may have come since the cut: the newest one of those is the newest there is.
                    let (time, bits, histogram) = series.lock().newest().unwrap_or((Tip::NEVER, 0, None));
                    *tip = Tip { time, bits, ..Tip::of(series.id) };
                    histograms.set_newest(series, histogram);
                    n_forgotten += 1;
                }
            }
        }
        if n_forgotten > 0 { self.flush(now_ms) } else { Ok(()) }
    }

    /// Step 3. Answers how many series were touched, counted once in each block.
    fn hide(&self, covered: &Covered, range: Range<'_>) -> Result<u64, DeleteError> {
        let Range { matcher_sets, start, end } = range;
        let mut n_touched = 0;
        for block in covered.blocks.iter().filter(|block| block.overlaps(start, end)) {
            let mut tombstones = Tombstones::clone(&block.tombstones());
            let before = tombstones.clone();
            for matchers in matcher_sets {
                visit_matching(block, &before, matchers, |entry| {
                    let is_inside =
                        |place: &ChunkPlace| range.has(place.min_time) && range.has(place.max_time);
                    if entry.chunks.iter().all(is_inside) {
                        tombstones.add_whole(entry.number);
                        n_touched += 1;
                    } else if entry
                        .chunks
                        .iter()
                        .any(|place| place.min_time <= end && place.max_time >= start)
                    {
                        tombstones.add(entry.number, start, end);
                        n_touched += 1;
                    }
                    Ok(())
                })?;
            }
            if tombstones != before {
                let dir = place::blocks(&self.options.dir).join(block.meta.id.to_string());
                self.write_tombstones(block, tombstones, &dir)?;
            }
        }
        Ok(n_touched)
    }

    fn write_tombstones(
        &self,
        block: &Block,
        tombstones: Tombstones,
        dir: &Path,
    ) -> Result<(), MaintainError> {
        tombstones
            .write(&*self.options.fs, dir)
            .map_err(|source| MaintainError::io("write deletions to", dir, source))?;
        block.set_tombstones(tombstones);
        Ok(())
    }

    /// Rewrites every block that has deletions, so that they take no space any more.
    pub(super) fn clean_tombstones(&self, now_ms: i64) -> Result<(), MaintainError> {
        let mut maintenance = self.maintenance.lock().unwrap_or_else(PoisonError::into_inner);
        self.rewrite_where(now_ms, &mut maintenance, |tombstones, _| !tombstones.is_empty())
    }

    /// Rewrites the blocks of which so much was deleted that it is worth the writing.
    pub(super) fn rewrite_deleted(
        &self,
        now_ms: i64,
        maintenance: &mut Maintenance,
    ) -> Result<(), MaintainError> {
        self.rewrite_where(now_ms, maintenance, |tombstones, n_series| {
            tombstones.n_series().saturating_mul(REWRITE_ONE_IN) > n_series
        })
    }

    fn rewrite_where(
        &self,
        now_ms: i64,
        maintenance: &mut Maintenance,
        is_due: impl Fn(&Tombstones, u64) -> bool,
    ) -> Result<(), MaintainError> {
        let blocks = self.layout().blocks.clone();
        for block in blocks {
            let is_due = is_due(&block.tombstones(), block.meta.n_series);
            if is_due && !maintenance.not_merged.contains(&block.meta.id) {
                self.merge_undamaged(&[block], now_ms, maintenance)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
