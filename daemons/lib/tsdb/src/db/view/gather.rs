//! What a selection finds: the series of each block and of the head, and those of all that have equal labels.

use std::sync::Arc;

use cairn_model::{Labels, Matcher};
use rayon::prelude::*;
use roaring::RoaringBitmap;

use super::{HeadPart, SelectError};
use crate::block::{Block, ChunkPlace, SeriesEntry, TimeColumns, Tombstones};
use crate::postings;

/// Up to so many batches of the index are read by one thread: waking others takes as long as reading one.
const BATCHES_OF_ONE: usize = 3;

/// A block, with the series in it that match and have chunks in the range.
pub(super) struct BlockPart {
    pub(super) block: Arc<Block>,
    pub(super) tombstones: Arc<Tombstones>,
    /// Time columns that were decoded, for all who read.
    pub(super) times: Arc<TimeColumns>,
    /// Ascending by labels.
    series: Vec<BlockSeries>,
}

/// A series of a block.
pub(super) struct BlockSeries {
    labels: Arc<Labels>,
    /// Its number in the block.
    pub(super) number: u32,
    /// Those that may have samples in the range.
    pub(super) chunks: Vec<ChunkPlace>,
}

/// Something that has labels.
pub(super) trait Labelled {
    fn labels(&self) -> &Arc<Labels>;
}

impl Labelled for BlockSeries {
    fn labels(&self) -> &Arc<Labels> {
        &self.labels
    }
}

impl Labelled for HeadPart {
    fn labels(&self) -> &Arc<Labels> {
        &self.labels
    }
}

/// All that a selection finds.
pub(super) struct Found {
    /// In the order in which they were written.
    pub(super) blocks: Vec<BlockPart>,
    /// Of the head, which was written last; ascending by labels.
    head: Vec<HeadPart>,
}

/// A block, and what of its index is to be read.
struct Selected<'a> {
    block: &'a Arc<Block>,
    tombstones: Arc<Tombstones>,
    /// Numbers of series.
    ids: RoaringBitmap,
    /// Whether those match for sure.
    is_exact: bool,
}

impl<'a> Selected<'a> {
    fn new(block: &'a Arc<Block>, matchers: &[Matcher]) -> Result<Self, SelectError> {
        let tombstones = block.tombstones();
        let (mut ids, is_exact) = postings::select(&**block, matchers)?;
        ids -= tombstones.whole();
        Ok(Self { block, tombstones, ids, is_exact })
    }

    fn read(self, matchers: &[Matcher], (start, end): (i64, i64)) -> Result<BlockPart, SelectError> {
        let Self { block, tombstones, ids, is_exact } = self;
        // However many series match, what has no sample in the range is let go of at once.
        let series = block.map_series(&ids, |SeriesEntry { number, labels, mut chunks }| {
            if !is_exact && !matchers.iter().all(|matcher| matcher.matches_labels(&labels)) {
                return None;
            }
            let deleted = tombstones.of(number);
            chunks.retain(|place| place.is_seen(start, end, deleted));
            (!chunks.is_empty()).then(|| BlockSeries { labels: Arc::new(labels), number, chunks })
        })?;
        Ok(BlockPart { block: Arc::clone(block), tombstones, times: Arc::default(), series })
    }
}

impl Found {
    /// Reads the index of each block.
    pub(super) fn read(
        blocks: &[Arc<Block>],
        mut head: Vec<HeadPart>,
        matchers: &[Matcher],
        range: (i64, i64),
    ) -> Result<Self, SelectError> {
        let selected: Vec<Selected<'_>> =
            blocks.iter().map(|block| Selected::new(block, matchers)).collect::<Result<_, _>>()?;
        let n_batches: usize = selected.iter().map(|one| one.block.n_batches_with(&one.ids)).sum();
        let read = |one: Selected<'_>| one.read(matchers, range);
        let blocks = if n_batches <= BATCHES_OF_ONE {
            selected.into_iter().map(read).collect::<Result<_, _>>()?
        } else {
            selected.into_par_iter().map(read).collect::<Result<_, _>>()?
        };
        head.par_sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(Self { blocks, head })
    }

    /// How many series there are at least, and nearly always exactly.
    pub(super) fn n_about(&self) -> usize {
        self.blocks.iter().map(|part| part.series.len()).chain([self.head.len()]).max().unwrap_or(0)
    }

    /// The labels at which ranges of about `n` series begin, but for the first one, which begins before all.
    pub(super) fn borders(&self, n: usize) -> Vec<Arc<Labels>> {
        fn every<T: Labelled>(n: usize, series: &[T]) -> Vec<Arc<Labels>> {
            series.iter().step_by(n).skip(1).map(|one| Arc::clone(one.labels())).collect()
        }
        match self.blocks.iter().max_by_key(|part| part.series.len()) {
            Some(part) if part.series.len() >= self.head.len() => every(n, &part.series),
            _ => every(n, &self.head),
        }
    }

    /// The series from one border on to the next one, which is not in it.
    pub(super) fn between(&self, from: Option<&Labels>, until: Option<&Labels>) -> Range<'_> {
        let blocks = self.blocks.iter().map(|part| within(&part.series, from, until)).collect();
        Range { blocks, head: within(&self.head, from, until) }
    }
}

fn within<'a, T: Labelled>(all: &'a [T], from: Option<&Labels>, until: Option<&Labels>) -> &'a [T] {
    let before = |border: &Labels| all.partition_point(|one| **one.labels() < *border);
    let (from, until) = (from.map_or(0, before), until.map_or(all.len(), before));
    &all[from..until.max(from)]
}

/// The series of a range of labels that were not taken yet.
pub(super) struct Range<'a> {
    blocks: Vec<&'a [BlockSeries]>,
    head: &'a [HeadPart],
}

/// Series with equal labels.
pub(super) struct Group<'a> {
    pub(super) labels: Arc<Labels>,
    /// Of blocks, each with the number of its block.
    pub(super) blocks: Vec<(usize, &'a BlockSeries)>,
    pub(super) head: Vec<&'a HeadPart>,
}

impl<'a> Range<'a> {
    /// Takes the next series, ascending by labels, into `group`; answers false when there is none.
    pub(super) fn next_into(&mut self, group: &mut Group<'a>) -> bool {
        let of_blocks = self.blocks.iter().filter_map(|series| series.first()).map(Labelled::labels);
        let of_head = self.head.first().map(Labelled::labels);
        // Nearly always all of them have the same series next, and that two sets are equal is seen sooner than which is less.
        let least = of_blocks.chain(of_head).reduce(|a, b| if a == b { a } else { a.min(b) });
        let Some(labels) = least.cloned() else { return false };
        group.blocks.clear();
        group.head.clear();
        for (number, series) in self.blocks.iter_mut().enumerate() {
            while let Some(one) = next_if(series, &labels) {
                group.blocks.push((number, one));
            }
        }
        while let Some(one) = next_if(&mut self.head, &labels) {
            group.head.push(one);
        }
        group.labels = labels;
        true
    }
}

fn next_if<'a, T: Labelled>(series: &mut &'a [T], labels: &Arc<Labels>) -> Option<&'a T> {
    let (first, rest) = series.split_first()?;
    if first.labels() != labels {
        return None;
    }
    *series = rest;
    Some(first)
}
