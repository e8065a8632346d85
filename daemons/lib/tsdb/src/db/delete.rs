//! Deleting: tombstones that hide samples at once, and rewriting the blocks that have them.
//!
//! A deletion covers what is stored when it begins and nothing later. So the head is flushed first, after which all that
//! it covers lies in blocks; what is appended meanwhile lies in the head, out of its reach.

use std::path::Path;
use std::sync::{Arc, PoisonError};

use cairn_model::Matcher;
use roaring::RoaringBitmap;

use super::maintain::{MaintainError, Maintenance};
use super::view::{SelectError, visit_matching};
use super::{Inner, place};
use crate::block::{Block, Tombstones};
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
        let blocks = self.flush_and_list(now_ms)?;
        let mut n_touched = 0;
        for block in blocks.iter().filter(|block| block.overlaps(start, end)) {
            let mut tombstones = Tombstones::clone(&block.tombstones());
            let before = tombstones.clone();
            for matchers in matcher_sets {
                visit_matching(block, &before, matchers, |entry| {
                    let inside = |time: i64| time >= start && time <= end;
                    if entry.chunks.iter().all(|place| inside(place.min_time) && inside(place.max_time)) {
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
        self.forget_deleted_tips(matcher_sets, start, end, now_ms)?;
        tracing::info!(start, end, series = n_touched, "samples deleted");
        Ok(n_touched)
    }

    /// Series whose newest sample was deleted begin anew: one at that very time is no duplicate, an older one not out of
    /// order. A second flush lets them leave the head, so that a restart does not know better.
    fn forget_deleted_tips(
        &self,
        matcher_sets: &[Vec<Matcher>],
        start: i64,
        end: i64,
        now_ms: i64,
    ) -> Result<(), MaintainError> {
        let selected: Vec<Arc<MemSeries>> = {
            let index = self.head.index();
            let mut slots = RoaringBitmap::new();
            for matchers in matcher_sets {
                let Ok((more, _)) = postings::select(&*index, matchers);
                slots |= more;
            }
            index.series_at(&slots).cloned().collect()
        };
        let mut n_forgotten = 0;
        for group in selected.chunks(COMMIT_GROUP) {
            let mut commit = self.commit();
            for series in group {
                let Some(tip) = commit.tips.get_mut(series.slot as usize) else { continue };
                // What came after the flush is not deleted, and then mostly the newest sample is in memory. A late one
                // that came meanwhile keeps the tip as well: then the same sample again is taken for a duplicate.
                if tip.id == series.id && tip.time >= start && tip.time <= end && series.lock().is_empty() {
                    *tip = Tip::of(series.id);
                    n_forgotten += 1;
                }
            }
        }
        if n_forgotten > 0 { self.flush(now_ms) } else { Ok(()) }
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
