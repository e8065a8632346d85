//! A selection: what blocks and head hold of the series that match, decoded on all cores and joined.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cairn_model::Matcher;
use cairn_promql::source::SeriesData;
use rayon::prelude::*;

use super::super::Inner;
use super::super::join::{Part, join};
use super::{HeadPart, SelectError, empty};
use crate::block::{Block, SeriesEntry, TimeColumns};
use crate::postings;

/// Series that one thread decodes in a row. Neighbours in a block lie in one page and share times, and handing over work
/// takes as long as decoding one or two of them.
const SERIES_IN_A_ROW: usize = 32;

/// Batches of the index that are read before their series are decoded: some ten thousand series.
const BATCHES_AT_ONCE: usize = 16;

impl Inner {
    /// The series that match and have samples in the range, ascending by labels.
    pub(super) fn select(
        &self,
        matchers: &[Matcher],
        start: i64,
        end: i64,
        budget: &Budget<'_>,
    ) -> Result<Vec<SeriesData>, SelectError> {
        if start > end {
            return Ok(Vec::new());
        }
        let snapshot = self.snapshot(matchers, start, end);
        let (start, end) = (snapshot.start, snapshot.end);
        // In the order in which they were written: blocks, then the head.
        let mut sources: Vec<Vec<Part>> = Vec::new();
        for block in &snapshot.blocks {
            sources.push(parts_of_block(block, matchers, (start, end), budget)?);
        }
        let has_head = !snapshot.head.is_empty();
        if has_head {
            sources.push(self.parts_of_head(snapshot.head, (start, end), budget)?);
        }
        sources.retain(|source| !source.is_empty());
        Ok(match <[Vec<Part>; 1]>::try_from(sources) {
            // A block has each series once, in their order: nothing is to be joined, and labels need not be compared.
            Ok([only]) if !has_head => only.into_par_iter().map(Part::alone).collect(),
            Ok([head]) => join(head),
            Err(sources) => join(sources.into_iter().flatten().collect()),
        })
    }

    fn parts_of_head(
        &self,
        head: Vec<HeadPart>,
        (start, end): (i64, i64),
        budget: &Budget<'_>,
    ) -> Result<Vec<Part>, SelectError> {
        let decoded: Vec<[Option<Part>; 2]> = head
            .into_par_iter()
            .with_min_len(SERIES_IN_A_ROW)
            .map(|series| {
                let [in_order, late] = series.decode(&self.damage, start, end);
                Ok([budget.part(in_order)?, budget.part(late)?])
            })
            .collect::<Result<_, SelectError>>()?;
        Ok(decoded.into_iter().flatten().flatten().collect())
    }
}

fn parts_of_block(
    block: &Block,
    matchers: &[Matcher],
    (start, end): (i64, i64),
    budget: &Budget<'_>,
) -> Result<Vec<Part>, SelectError> {
    let tombstones = block.tombstones();
    let (mut ids, is_exact) = postings::select(block, matchers)?;
    ids -= tombstones.whole();
    let times = Arc::new(TimeColumns::default());
    let mut parts = Vec::new();
    // However many series match, few that have no sample in the range are in memory at a time.
    for batches in block.batches_with(&ids).collect::<Vec<_>>().chunks(BATCHES_AT_ONCE) {
        let entries = block.series_entries(batches, &ids)?;
        let decoded: Vec<Vec<Part>> = entries
            .into_par_iter()
            .chunks(SERIES_IN_A_ROW)
            .map(|entries| {
                let mut samples = block.samples_with(Arc::clone(&times));
                let mut parts = Vec::with_capacity(entries.len());
                for SeriesEntry { number, labels, chunks } in entries {
                    if !is_exact && !matchers.iter().all(|matcher| matcher.matches_labels(&labels)) {
                        continue;
                    }
                    let mut part = empty(Arc::new(labels));
                    let deleted = tombstones.of(number);
                    for place in chunks.iter().filter(|place| place.is_seen(start, end, deleted)) {
                        samples.read(place, start, end, &mut part)?;
                    }
                    deleted.cut(&mut part);
                    parts.extend(budget.part(part)?);
                }
                Ok(parts)
            })
            .collect::<Result<_, SelectError>>()?;
        parts.extend(decoded.into_iter().flatten());
    }
    Ok(parts)
}

/// Samples that the selection may still load.
pub(super) struct Budget<'a> {
    left: AtomicUsize,
    limit: usize,
    trim: &'a (dyn Fn(&mut SeriesData) + Sync),
}

impl<'a> Budget<'a> {
    /// `trim` leaves out what nobody wants of the part of a series that a block, or the head, has in the range.
    pub(super) fn new(limit: usize, trim: &'a (dyn Fn(&mut SeriesData) + Sync)) -> Self {
        Self { left: AtomicUsize::new(limit), limit, trim }
    }

    /// Trims a part and counts its samples; `None` when there are none.
    fn part(&self, mut data: SeriesData) -> Result<Option<Part>, SelectError> {
        (self.trim)(&mut data);
        let of_histograms = data.histograms.iter().map(|point| point.histogram.n_samples());
        let n = data.times.len() + of_histograms.sum::<usize>();
        let take = |left: usize| left.checked_sub(n);
        match self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => Ok((n > 0).then(|| Part::new(data))),
            Err(_) => Err(SelectError::TooManySamples { limit: self.limit }),
        }
    }
}
