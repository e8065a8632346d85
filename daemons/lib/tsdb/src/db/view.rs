//! Selections: matching series of blocks and head as one, each time once.

mod assemble;
mod export;
mod gather;
mod select;
mod shared_times;

use std::sync::Arc;

use cairn_model::{Labels, Matcher};
use cairn_promql::source::{SampleSource, Selection, SeriesData, SourceError, TooManySamples};

use self::select::Budget;
use super::Inner;
use crate::block::{Block, BlockError, SeriesEntry, Tombstones};
use crate::chunk::Chunk;
use crate::damage::DamageLog;
use crate::postings;

/// Why a selection failed.
#[derive(Debug, thiserror::Error)]
pub enum SelectError {
    /// The system failed while a block was read. Damage is no failure: it is left out and counted.
    #[error("read block")]
    Block(#[from] BlockError),
    /// More samples than one selection may load. The words are the peer's.
    #[error("query processing would load too many samples into memory in query execution")]
    TooManySamples {
        /// The limit.
        limit: usize,
    },
}

/// Answers selections. Each sees all that was stored before it began; cheap to make and to clone.
#[derive(Clone, Debug)]
pub struct View {
    inner: Arc<Inner>,
    damage_before: u64,
    max_samples: usize,
}

impl View {
    pub(super) fn new(inner: Arc<Inner>) -> Self {
        let damage_before = inner.damage.met();
        let max_samples = inner.options.max_select_samples;
        Self { inner, damage_before, max_samples }
    }

    /// A view of the same whose selections each load at most so many samples. A native histogram counts as several.
    #[must_use]
    pub fn with_max_samples(self, max_samples: usize) -> Self {
        Self { max_samples, ..self }
    }

    /// How many damaged places had to be left out of answers since this view was made. Selections of other views at
    /// the same time count, too: too many warnings while there is damage rather than an answer with a silent hole.
    pub fn left_out(&self) -> u64 {
        self.inner.damage.met().saturating_sub(self.damage_before)
    }

    /// The newest sample of each series in a range, which is the last one that a selection would give. The older ones of
    /// one series at a time are in memory.
    ///
    /// # Errors
    /// [`SelectError`]
    pub fn newest(&self, selection: &Selection<'_>) -> Result<Vec<SeriesData>, SelectError> {
        let Selection { matchers, start, end } = *selection;
        let mut found = self.inner.select(matchers, start.0, end.0, &self.budget(&keep_newest))?;
        // Blocks and head have each given their own newest.
        found.iter_mut().for_each(keep_newest);
        Ok(found)
    }
}

impl View {
    fn budget<'a>(&self, trim: &'a (dyn Fn(&mut SeriesData) + Sync)) -> Budget<'a> {
        Budget::new(self.max_samples, trim)
    }
}

impl SampleSource for View {
    fn select(&self, selection: &Selection<'_>) -> Result<Vec<SeriesData>, SourceError> {
        let Selection { matchers, start, end } = *selection;
        let found = self.inner.select(matchers, start.0, end.0, &self.budget(&|_| {}));
        found.map_err(|error| match error {
            SelectError::TooManySamples { .. } => TooManySamples.into(),
            SelectError::Block(_) => error.into(),
        })
    }
}

/// What the head contributes: copied under locks, decoded later.
pub(super) struct HeadPart {
    pub(super) labels: Arc<Labels>,
    /// Of samples that came in order; they ascend.
    chunks: Vec<Chunk>,
    /// Of the others.
    late: Vec<Chunk>,
}

impl HeadPart {
    /// What came in order, and the rest, which may be in any order.
    fn decode(&self, damage: &DamageLog, start: i64, end: i64) -> [SeriesData; 2] {
        [&self.chunks, &self.late].map(|chunks| {
            let mut part = empty(Arc::clone(&self.labels));
            decode_chunks(chunks, damage, (start, end), &mut part);
            part
        })
    }
}

/// Appends the samples of chunks of the head.
fn decode_chunks(chunks: &[Chunk], damage: &DamageLog, (start, end): (i64, i64), into: &mut SeriesData) {
    for chunk in chunks {
        // The head encoded it in this very process; a failure is a bug, and the rest is still an answer.
        if let Err(error) = chunk.decode_range(start, end, into) {
            damage.note(&error, chunk.min_time.unsigned_abs());
        }
    }
    into.has_no_markers = false;
}

/// A consistent picture of what overlaps a range.
pub(super) struct Snapshot {
    /// First instant that was asked for and that the retention still covers.
    pub(super) start: i64,
    /// Last instant that was asked for.
    pub(super) end: i64,
    /// In the order in which they were written.
    pub(super) blocks: Vec<Arc<Block>>,
    pub(super) head: Vec<HeadPart>,
}

impl Inner {
    /// Collects references to all that may have samples in the range. Holds the layout while it looks at the head, so
    /// that no block takes over from the head in between.
    pub(super) fn snapshot(&self, matchers: &[Matcher], start: i64, end: i64) -> Snapshot {
        let layout = self.layout();
        let start = start.max(self.oldest_served(&layout.blocks));
        let mut blocks: Vec<Arc<Block>> = layout
            .blocks
            .iter()
            .filter(|block| start <= end && block.overlaps(start, end))
            .cloned()
            .collect();
        blocks.sort_by_key(|block| block.meta.order);
        let mut head = Vec::new();
        if start <= end {
            let series: Vec<_> = {
                let index = self.head.index();
                let Ok((slots, _)) = postings::select(&*index, matchers);
                index.series_at(&slots).cloned().collect()
            };
            for series in series {
                let (chunks, late) = {
                    let series = series.lock();
                    (series.chunks_in(layout.flushed, start, end), series.late_in(layout.flushed, start, end))
                };
                if !chunks.is_empty() || !late.is_empty() {
                    head.push(HeadPart { labels: series.to_labels(), chunks, late });
                }
            }
        }
        Snapshot { start, end, blocks, head }
    }
}

/// Hands over the series of a block that match and of which something is left, ascending by labels.
pub(super) fn visit_matching(
    block: &Block,
    tombstones: &Tombstones,
    matchers: &[Matcher],
    mut visit: impl FnMut(SeriesEntry) -> Result<(), SelectError>,
) -> Result<(), SelectError> {
    let (mut ids, is_exact) = postings::select(block, matchers)?;
    ids -= tombstones.whole();
    block.visit_series(&ids, |entry| {
        let matches = is_exact || matchers.iter().all(|matcher| matcher.matches_labels(&entry.labels));
        if matches { visit(entry) } else { Ok(()) }
    })
}

fn empty(labels: Arc<Labels>) -> SeriesData {
    SeriesData { labels, ..SeriesData::default() }
}

/// Leaves the samples of the newest time, which may be several where some came late: who wins is decided by joining.
fn keep_newest(part: &mut SeriesData) {
    let of_histograms = part.histograms.iter().map(|point| point.time).max();
    let Some(newest) = part.times.iter().copied().max().max(of_histograms) else { return };
    let is_newest: Vec<bool> = part.times.iter().map(|time| *time == newest).collect();
    fn kept<T: Copy>(values: &[T], is_newest: &[bool]) -> Vec<T> {
        values.iter().zip(is_newest).filter(|(_, is_newest)| **is_newest).map(|(value, _)| *value).collect()
    }
    part.times = kept(&part.times, &is_newest).into();
    part.values = kept(&part.values, &is_newest);
    part.starts = kept(&part.starts, &is_newest);
    part.histograms.retain(|point| point.time == newest);
}
